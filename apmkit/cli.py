"""The command `apmkit`."""

from __future__ import annotations

import re
import sys
import traceback
import warnings
from pathlib import Path

import click

from apmkit import __version__
from apmkit.errors import ApmkitError, ApmkitFailure
from apmkit.studies import screen


class _Commands(click.Group):
    """Turns every error into one sentence: exit 2 for what the user can mend, 1 for what failed."""

    def invoke(self, ctx):
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
            try:
                return super().invoke(ctx)
            except (click.exceptions.Exit, click.Abort):
                raise
            except (Exception, KeyboardInterrupt) as error:
                if ctx.params["debug"]:
                    traceback.print_exception(error)
                raise _sentence(error) from None


def _lesson(error: click.UsageError) -> str:
    """The message of click, with the names there are and an example where something is missing."""
    text = error.format_message()
    if isinstance(error, click.NoSuchOption) and error.option_name == "--debug":
        return "--debug goes before the command: write apmkit --debug run ..."
    if not isinstance(error, click.MissingParameter) or error.ctx is None:
        return text
    if error.param.name == "name":
        from apmkit import datasets, studies

        of_data = error.ctx.parent.command.name == "datasets"
        kind, names = ("data sets", datasets.names()) if of_data else ("studies", studies.names())
        text += f" The {kind} are {', '.join(names)}."
    example = re.search(r"apmkit \w.*", error.ctx.command.epilog or "")
    return f"{text} Write for instance: {example[0]}" if example else text


def _sentence(error: BaseException) -> click.ClickException:
    if isinstance(error, click.UsageError):
        text, code = _lesson(error), error.exit_code
    elif isinstance(error, click.ClickException):
        text, code = error.format_message(), error.exit_code
    elif isinstance(error, KeyboardInterrupt):
        text, code = " ".join(["Interrupted.", *getattr(error, "__notes__", [])]), 130
    elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("apmkit"):
        package = error.name.partition(".")[0]
        extra = "book" if package == "jupyter_book" else "notebooks"
        text, code = f"This needs the package {package}: install it with pip install 'apmkit[{extra}]'.", 1
    elif isinstance(error, ApmkitError):
        text, code = str(error), 2
    elif isinstance(error, ApmkitFailure):
        text, code = str(error), 1
    else:
        text, code = f"{type(error).__name__}: {error} (apmkit --debug ... shows where).", 1
    shown = click.ClickException(text)
    shown.exit_code = code
    return shown


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
\b
Examples:
  apmkit studies                           what there is
  apmkit studies us/mssp_downside_risk     its parameters
  apmkit run us/mssp_downside_risk -p control=never_treated
  apmkit sweep us/mssp_downside_risk --grid outcome=all --jobs 2
  apmkit results --format csv > results.csv
  apmkit book --open
""",
)
@click.version_option(__version__, message="apmkit %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug):
    """Evaluate health-care payment reform: case studies you can rerun with your own parameters.

    A study is a notebook with parameters. `run` executes it, `sweep` repeats its estimate over many sets of
    parameters, `results` lists what was found, `book` builds the pages.
    """


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


_study = click.argument("name")
_set = click.option("-p", "set_", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
_file = click.option(
    "-f", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Parameters as YAML; -p wins."
)
_out = click.option("--out", metavar="FOLDER", help="A folder inside the runs folder.  [default: runs]")
_progress = click.option(
    "--progress/--no-progress", default=None, help="Show a progress bar.  [default: only on a terminal]"
)


def _visible(progress: bool | None) -> bool:
    return sys.stderr.isatty() if progress is None else progress


@main.command(epilog="Example: apmkit studies us/mssp_downside_risk")
@click.argument("name", required=False)
def studies(name):
    """List the studies, or show the parameters of one."""
    from apmkit import studies

    if name is not None:
        study = studies.get(name)
        click.echo(f"{study.name}: {study.title}\nData: {', '.join(study.data)}\n")
        click.echo(screen.table(study.parameter_table()))
        click.echo(f"\nRun it: apmkit run {study.name} -p NAME=VALUE")
        return
    import pandas as pd

    found = map(studies.get, studies.names())
    rows = [(s.name, s.title, s.country, ", ".join(s.data), len(s.Parameters.model_fields)) for s in found]
    click.echo(screen.table(pd.DataFrame(rows, columns=["name", "title", "country", "data", "parameters"])))


@main.command(
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
@_progress
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
    folder = runs.run(study, parameters, out=out, progress=_visible(progress))
    record = runs.results(folder)[0]
    click.echo("\n".join([*record["sentences"], *record["notes"], f"Results are in {folder}"]))


@main.command(
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
@_progress
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
    folder, records = sweep_sets(study, sets, skipped, jobs=jobs, out=out, progress=_visible(progress))
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


@main.command(
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


@main.command(epilog="Example: apmkit book --open")
@click.option("--open", "open_", is_flag=True, help="Open the book in a browser.")
@click.option("--all", "all_", is_flag=True, help="Run every notebook and build every page, also the unchanged.")
@click.option("--jobs", type=click.IntRange(min=1), help="Notebooks run at a time.  [default: one per processor]")
def book(open_, all_, jobs):
    """Run the notebooks that changed and build the book."""
    from apmkit.studies.book import build_book
    from apmkit.studies.study import repository

    index = build_book(repository() or Path.cwd(), all=all_, jobs=jobs)
    click.echo(f"The book is at {index}\nOpen {index.as_uri()}")
    if open_:
        import webbrowser

        webbrowser.open(index.as_uri())


@main.group(
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
@_progress
@click.pass_context
def check(ctx, name, progress):
    """Compare data files with their checksums, codebook and accounting rules; all of them by default."""
    import pandas as pd

    from apmkit import datasets

    chosen = datasets.names() if name is None else [name]
    bar = {"label": "Checking", "show_pos": True, "hidden": not _visible(progress), "file": sys.stderr}
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
