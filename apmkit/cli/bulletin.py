"""The command that says what new data changed."""

from __future__ import annotations

from pathlib import Path

import click

from apmkit.cli.progress import progress_option, visible


@click.command(
    epilog="""
\b
Examples:
  apmkit bulletin                                keeps what the studies say now, for the next bulletin
  apmkit datasets add mssp ~/Downloads/mssp_2024.csv --year 2024
  apmkit bulletin --dataset mssp                 what the new file changed
  apmkit bulletin --dataset mssp --without 2023  what a year changed that is there already
"""
)
@click.option("--dataset", metavar="NAME", help="Only the studies that read this data set.")
@click.option("--without", type=int, metavar="YEAR", help="Compare with the data set without one of its years.")
@click.option("--out", metavar="FOLDER", help="A folder inside the runs folder.  [default: runs]")
@progress_option
def bulletin(dataset, without, out, progress):
    """Rerun what depends on new data and write a page of what changed.

    The page, as Markdown and HTML, has each estimate before and after, whether conclusions changed, and the versions of
    data and software. Before is what the last bulletin found; it is kept with your own data. A bulletin that is
    interrupted changes nothing.
    """
    from apmkit.studies import bulletin as bulletins
    from apmkit.studies import bulletin_page
    from apmkit.studies.runs import runs_folder

    if without is not None and dataset is None:
        raise click.UsageError(f"Say which data set is to lack {without}: --dataset NAME --without {without}.")
    folder: Path = runs_folder(out)
    try:
        if without is not None:
            before, after = bulletins.with_and_without(dataset, without, progress=visible(progress))
            words = (f"without {without}", f"with {without}")
        else:
            before, after = bulletins.since_last(dataset, progress=visible(progress))
            words = (f"bulletin of {before['time'][:10]}" if before else "", "now")
        if before is None:
            kept = bulletins.keep(after, None)
            click.echo(
                f"This is the first bulletin, so there is nothing to compare with: what {len(after['studies'])} "
                f"studies say now is kept in {kept}. Run it again when data have changed; --dataset NAME --without "
                "YEAR shows what a year changed that is there already."
            )
            return
        if not after["studies"]:
            click.echo(f"Nothing to tell: the data are those of the last bulletin, {before['time'][:10]}.")
            return
        written = bulletin_page.write(before, after, words=words, out=folder)
        if without is None:
            bulletins.keep(after, before)
    except KeyboardInterrupt as interrupted:
        interrupted.add_note("The last bulletin is as it was; run it again.")
        raise
    click.echo(
        "\n".join(
            [*bulletin_page.findings(bulletins.comparison(before, after)), f"The page is {written / 'bulletin.html'}"]
        )
    )
