"""The commands that run studies and build the book."""

from __future__ import annotations

from pathlib import Path

import click

from apmkit.cli import screen
from apmkit.cli.bulletin import bulletin
from apmkit.cli.own_study import new_study
from apmkit.cli.progress import progress_option, visible


def _assignments(study, pairs: tuple[str, ...], option: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name):
            defaults = study.parameter_table().set_index("name")["default"]
            example = name if name in defaults else defaults.index[0]
            raise click.UsageError(
                f"{option} {pair} is not name=value: write for instance {option} {example}={defaults[example]}."
            )
        if name in values:
            raise click.UsageError(f"{option} {name} is given twice: give it once.")
        values[name] = value
    return values


def _given(study, file: Path | None, set_: tuple[str, ...]) -> dict:
    from apmkit.studies.parameter_file import read_parameters

    return {**(read_parameters(file) if file else {}), **_assignments(study, set_, "-p")}


def _data(study) -> list[str]:
    return [*study.data, *(own.name for own in study.own)]


_study = click.argument("name")
_set = click.option("-p", "set_", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
_file = click.option(
    "-f", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Parameters as YAML; -p wins."
)
_out = click.option("--out", metavar="FOLDER", help="A folder inside the runs folder.  [default: runs]")


@click.command(epilog="Example: apmkit studies us/mssp_downside_risk")
@click.argument("name", required=False)
def studies(name):
    """List the studies, or show the parameters of one."""
    from apmkit import studies

    if name is not None:
        study = studies.get(name)
        click.echo(f"{study.name}: {study.title}\nData: {', '.join(_data(study))}\n")
        click.echo(screen.table(study.parameter_table()))
        click.echo(f"\nRun it: apmkit run {study.name} -p NAME=VALUE")
        return
    import pandas as pd

    found = map(studies.get, studies.names())
    rows = [(s.name, s.title, len(s.Parameters.model_fields)) for s in found]
    click.echo(screen.table(pd.DataFrame(rows, columns=["name", "title", "parameters"])))


@click.command(
    epilog="""
\b
Examples:
  apmkit run us/mssp_downside_risk
  apmkit run us/mssp_downside_risk -p control=never_treated -p first_year=2015
  apmkit run canada/bc_lfp -f mine.yml --out runs/seminar
"""
)
@_study
@_set
@_file
@_out
@progress_option
def run(name, set_, file, out, progress):
    """Execute the notebook of a study.

    A new folder under runs/ receives the executed notebook, an HTML page of it and result.json. Parameters are checked
    before anything starts: `apmkit studies NAME` lists what is allowed.
    """
    from apmkit import studies
    from apmkit.studies import runs

    study = studies.get(name)
    parameters = study.parameters(**_given(study, file, set_))
    runs.runs_folder(out)
    folder = runs.run(study, parameters, out=out, progress=visible(progress))
    record = runs.results(folder)[0]
    click.echo("\n".join([*record["sentences"], *record["notes"], f"Results are in {folder}"]))


@click.command(
    epilog="""
\b
Examples:
  apmkit sweep us/mssp_downside_risk --grid outcome=all --grid control=all --jobs 2
  apmkit sweep us/mssp_downside_risk --grid first_year=2013:2016 -p outcome=ed_visits_per_1000
"""
)
@_study
@click.option(
    "--grid",
    multiple=True,
    required=True,
    metavar="NAME=VALUES",
    help="Values a,b or 2014:2018 or all (every allowed value), sets a,a+b; may be repeated, all combinations are run.",
)
@_set
@_file
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@_out
@progress_option
@click.pass_context
def sweep(ctx, name, grid, set_, file, jobs, out, progress):
    """Estimate a study over all combinations of some parameters, without notebooks.

    A new folder under runs/ receives results.csv and results.json. A combination that fails is reported in its row; one
    that the rules of the study forbid is skipped and named.
    """
    from apmkit import studies
    from apmkit.studies import runs
    from apmkit.studies.sweep import combinations
    from apmkit.studies.sweep import sweep as sweep_sets

    study = studies.get(name)
    fixed = _given(study, file, set_)
    sets, skipped = combinations(study, _assignments(study, grid, "--grid"), fixed)
    folder, records = sweep_sets(study, sets, skipped, jobs=jobs, out=out, progress=visible(progress))
    click.echo(screen.headlines(runs.headlines(records).drop(columns=["run", "study"])))
    if skipped:
        click.echo(f"Skipped {len(skipped)} of {len(records)} combinations, which the study does not allow:")
        for record in records[len(sets) :]:
            click.echo(f"  {runs.changed(record)}: {record['skipped']}")
    click.echo(f"Results are in {folder}")
    failed = sum("error" in record for record in records)
    if failed:
        click.echo(f"Error: {failed} of {len(sets)} sets failed; the column error says why.", err=True)
        ctx.exit(1)


@click.command(
    epilog="""
\b
Examples:
  apmkit results
  apmkit results --study canada/bc_lfp --format csv > results.csv
"""
)
@click.option("--format", "format_", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--study", "name", metavar="NAME", help="Only this study.")
@_out
def results(format_, name, out):
    """List every run and every set of every sweep.

    The table shows the headline, the end of the name of each run's folder and a checksum of its data: rows of the same
    parameters on other data differ in it. csv and json hold all estimates, parameters, data checksums and versions.
    """
    from apmkit import studies
    from apmkit.studies import runs

    if name is not None:
        studies.get(name)
    folder = runs.runs_folder(out)
    records = runs.results(folder, name)
    if format_ == "json":
        import json

        click.echo(json.dumps(records, indent=1))
    elif format_ == "csv":
        click.echo(runs.to_frame(records).to_csv(index=False), nl=False)
    elif records:
        click.echo(screen.headlines(runs.headlines(records)))
    else:
        click.echo(f"No results in {folder}: make some with apmkit run or apmkit sweep.", err=True)


@click.command(epilog="Example: apmkit book --open")
@click.option("--open", "open_", is_flag=True, help="Open the book in a browser.")
@click.option("--all", "all_", is_flag=True, help="Run every notebook and build every page, also the unchanged.")
@click.option("--pdf", is_flag=True, help="Also print the book into one PDF; needs Chromium, Chrome or Edge.")
@click.option("--epub", is_flag=True, help="Also write the book as an EPUB.")
@click.option("--jobs", type=click.IntRange(min=1), help="Notebooks run at a time.  [default: one per processor]")
def book(open_, all_, pdf, epub, jobs):
    """Run the notebooks that changed and build the book."""
    from apmkit.studies import book_epub, book_pdf
    from apmkit.studies.book import build_book
    from apmkit.studies.study import repository

    root = repository() or Path.cwd()
    if pdf:
        book_pdf.chromium()  # said before notebooks run, if there is none
    index = build_book(root, all=all_, jobs=jobs)
    click.echo(f"The book is at {index}\nOpen {index.as_uri()}")
    if pdf:
        _say_written(book_pdf.write_pdf(root, jobs=jobs))
    if epub:
        _say_written(book_epub.write_epub(root))
    if open_:
        import webbrowser

        webbrowser.open(index.as_uri())


def _say_written(file: Path) -> None:
    click.echo(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")


COMMANDS = (studies, run, sweep, results, book, new_study, bulletin)
