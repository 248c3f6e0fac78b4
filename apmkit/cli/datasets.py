"""The commands about data sets."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from apmkit.cli import screen
from apmkit.cli.progress import progress_option, visible


@click.group(
    epilog="""
\b
Examples:
  apmkit datasets list
  apmkit datasets show mssp
  apmkit datasets check
  apmkit datasets add mssp ~/Downloads/mssp_2024.csv --year 2024
"""
)
def datasets():
    """The real data that the studies use."""


def _years(name: str) -> str:
    """First and last year that `load` reads, with what the user added; a damaged added file is for `check` to tell."""
    from apmkit import datasets

    try:
        years = datasets.years(name)
    except datasets.DataError:
        years = datasets.describe(name).years
    return "-".join(map(str, sorted({min(years), max(years)})))


@datasets.command("list")
def list_datasets():
    """List the data sets."""
    import pandas as pd

    from apmkit import datasets

    found = map(datasets.describe, datasets.names())
    rows = [(d.name, _years(d.name), d.unit_of_observation, d.title) for d in found]
    click.echo(screen.table(pd.DataFrame(rows, columns=["name", "years", "one row is", "title"])))


@datasets.command(epilog="Example: apmkit datasets show mssp")
@click.argument("name")
def show(name):
    """Show source, licence, attribution, files, known problems, layout and codebook of a data set."""
    import pandas as pd

    from apmkit import datasets

    d = datasets.describe(name)
    facts = {
        "Publisher": d.publisher,
        "Licence": f"{d.licence}, {d.licence_url}",
        "Source": d.source_url,
        "Citation": d.citation,
        "Attribution": d.attribution,
        "One row is": d.unit_of_observation,
        "Years": _years(d.name),
        **({"Your own copy": f"{d.how_to_get}."} if d.how_to_get else {}),
        **({"Layout of a file to add": ", ".join(d.layout)} if d.layout else {}),
    }
    click.echo("\n".join([f"{d.name}: {d.title}", "", *(f"{key}: {value}" for key, value in facts.items()), ""]))
    click.echo("\n".join(["Known problems:", *(f"  * {problem}" for problem in d.known_problems), ""]))
    files = [(f.name, f"{f.rows:,}", f.sha256, f"{f.copy_used}. {f.note}".strip()) for f in d.files]
    click.echo(
        screen.table(pd.DataFrame(files, columns=["file", "rows", "SHA-256 of the published file", "copy used"]))
    )
    columns = [(c.column, c.unit, c.years or "all", c.meaning) for c in d.codebook]
    click.echo("\n" + screen.table(pd.DataFrame(columns, columns=["column", "unit", "years", "meaning"])))
    click.echo(f"\nLoad it: apmkit.load({d.name!r})")


@datasets.command()
@click.argument("name", required=False)
@progress_option
@click.pass_context
def check(ctx, name, progress):
    """Compare data files with their checksums, codebook and accounting rules; all of them by default."""
    import pandas as pd

    from apmkit import datasets

    chosen = datasets.names() if name is None else [name]
    bar = {"label": "Checking", "show_pos": True, "hidden": not visible(progress), "file": sys.stderr}
    with click.progressbar(chosen, **bar) as checked:
        files = pd.concat([datasets.check(each) for each in checked])
    click.echo(screen.table(files.astype(object).fillna("")))
    absent = files["origin"] == "not shipped"
    for each in sorted(set(files.loc[absent, "dataset"]) - set(files.loc[files["origin"] == "added", "dataset"])):
        click.echo(f"{each} is not shipped: {datasets.describe(each).how_to_get}.")
    unseen = files["invariants"].str.startswith("not checked", na=False)
    wrong = files[~absent & ~unseen & (files[["checksum", "invariants"]] != "ok").any(axis=1)]
    if len(wrong):
        click.echo(
            f"Error: {len(wrong)} of {len(files)} files cannot be relied on: {', '.join(wrong['file'])}.", err=True
        )
        ctx.exit(1)


@datasets.command(epilog="Example: apmkit datasets add mssp ~/Downloads/mssp_2024.csv --year 2024")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--year", type=int, help="Year of the file, where its name does not tell.")
@click.option("--replace", is_flag=True, help="Put it in the place of years that are there already.")
def add(name, file, year, replace):
    """Add a newly published file to a data set.

    It is checked first; from then on it is part of the data set. The copy lies in your own data folder.
    """
    from apmkit import datasets

    copy = datasets.add(name, file, year=year, replace=replace)
    click.echo(f"{file.name} is now part of {name}; the copy is {copy}")
    click.echo(f"See what it changed: apmkit bulletin --dataset {name}")
