"""The commands about payment contracts."""

from __future__ import annotations

import re
from pathlib import Path

import click

from apmkit.cli import screen
from apmkit.errors import ApmkitError


@click.group(
    epilog="""
\b
Examples:
  apmkit contracts list
  apmkit contracts show ontario_fho
  apmkit contracts compare mssp_track_1 mssp_basic_e
  apmkit contracts new mine.yml
"""
)
def contracts():
    """Payment contracts: what they pay for, their HCP-LAN category, and how they compare."""


@contracts.command("list", epilog="Example: apmkit contracts list")
def list_contracts():
    """List the contracts of the gallery."""
    from apmkit.contract import gallery_table

    table = gallery_table().reset_index()
    columns = ["name", "country", "category", "payments", "preferred design", "engines"]
    click.echo(screen.table(table[columns]))
    click.echo(
        "\ncategory, payments: HCP-LAN; preferred design: criteria after Cattel et al. (2020), our reading of them."
    )


@contracts.command(
    epilog="""
\b
Examples:
  apmkit contracts show ontario_fho
  apmkit contracts show mine.yml
"""
)
@click.argument("name")
def show(name):
    """Show a contract: every field, its category with reasons, gaps, tasks and sources.

    NAME is a contract of `apmkit contracts list`, or the path of a .yml file, which is checked.
    """
    from apmkit import contract as described

    record = described.read_contract(name)
    click.echo(described.classify(record).summary() + "\n")
    if record.note:
        click.echo(f"{record.note}\n")
    fields = described.describe(record).reset_index()
    for theme, rows in fields.groupby("theme", sort=False):
        click.echo(f"{theme}\n{screen.table(rows[['field', 'value']])}\n")
    judged = described.preferred_design(record).reset_index()
    click.echo(f"Preferred design (Cattel et al. 2020, our reading): {described.design_score(record)}")
    click.echo(screen.table(judged[["criterion", "verdict", "reason"]]))
    click.echo("\nTasks of primary care that each payment supports (a theory, our reading)")
    click.echo(screen.table(described.task_matrix(record).reset_index()))
    counts = described.completeness(record).reset_index()
    click.echo("\nWhat is known")
    click.echo(screen.table(counts.assign(share=counts["share"].map("{:.0%}".format))))
    click.echo("\nSources")
    for source in record.sources:
        where = source.url or (source.doi and f"doi:{source.doi}") or "no address"
        click.echo(f"* {source.citation} {where} ({source.status}; {', '.join(source.supports)})")
    if not record.sources:
        click.echo("None are given.")


@contracts.command(
    epilog="""
\b
Examples:
  apmkit contracts compare mssp_track_1 mssp_basic_e
  apmkit contracts compare mine.yml ontario_fho --all
  apmkit contracts compare ontario_fhg ontario_fho --format csv > compared.csv
"""
)
@click.argument("first")
@click.argument("second")
@click.option("--all", "all_", is_flag=True, help="Show rows that are alike too.")
@click.option("--format", "format_", type=click.Choice(["table", "csv"]), default="table", show_default=True)
def compare(first, second, all_, format_):
    """Compare two contracts side by side: what follows from each, then every field; differences first.

    FIRST and SECOND are contracts of `apmkit contracts list`, or paths of .yml files.
    """
    from apmkit.contract import compare, read_contract

    table = compare(read_contract(first), read_contract(second)).reset_index()
    shown = table if all_ else table[table["differs"]]
    if format_ == "csv":
        click.echo(shown.to_csv(index=False), nl=False)
        return
    click.echo(screen.table(shown.drop(columns="differs")) if len(shown) else "The two contracts do not differ.")
    if not all_:
        click.echo(f"\n{len(table) - len(shown)} rows are alike: --all shows them.")


@contracts.command(epilog="Example: apmkit contracts new mine.yml")
@click.argument("file", type=click.Path(path_type=Path))
def new(file):
    """Write a contract to fill in, with a comment on every field; an existing file is never overwritten."""
    from apmkit.contract import template

    if file.suffix not in (".yml", ".yaml"):
        raise ApmkitError(f"{file} must end in .yml: write for instance {file.with_suffix('.yml')}.")
    name = re.sub(r"[^a-z0-9_]+", "_", file.stem.lower()).lstrip("_0123456789") or "my_contract"
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(template(name))
    except FileExistsError:
        raise ApmkitError(f"{file} exists already: choose another name, or remove it first.") from None
    except OSError as error:
        raise ApmkitError(f"{file} cannot be written: {error.strerror}.") from None
    click.echo(f"Fill in {file}, then check it with: apmkit contracts show {file}")


COMMANDS = (contracts,)
