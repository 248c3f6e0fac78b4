"""The commands about payment models."""

from __future__ import annotations

import json

import click

from apmkit.cli import screen
from apmkit.cli.settle import settle


@click.group(
    epilog="""
\b
Examples:
  apmkit rules list
  apmkit rules show mssp --on 2022-01-01
  apmkit rules show ontario access_bonus
"""
)
def rules():
    """The rules of payment models: each value with its day, source and status."""


@rules.command("list", epilog="Example: apmkit rules list")
def list_rules():
    """List the programmes whose rules there are."""
    import pandas as pd

    from apmkit.payment.rulebook import programmes, rulebook

    rows = []
    for book in map(rulebook, programmes()):
        days = book.table()["effective"]
        unsure = book.table()["status"].isin(["unconfirmed", "partly confirmed"]).sum()
        rows.append((book.programme, book.country, len(book.parameters), unsure, days.min(), days.max(), book.title))
    columns = ["programme", "country", "parameters", "values not confirmed", "first", "last", "title"]
    click.echo(screen.table(pd.DataFrame(rows, columns=columns)))


@rules.command(
    epilog="""
\b
Examples:
  apmkit rules show mssp --on 2022-01-01
  apmkit rules show mssp basic_e --on 2022-01-01
  apmkit rules show my_rules.yml --format csv > my_rules.csv
"""
)
@click.argument("name")
@click.argument("parameter", required=False)
@click.option("--on", metavar="YYYY-MM-DD", help="Only what is in force on this day.  [default: every dated value]")
@click.option("--format", "format_", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def show(name, parameter, on, format_):
    """Show the rules of a programme, or of a rules file of your own.

    NAME is a programme of `apmkit rules list`, or the path of a .yml file, which is checked. PARAMETER keeps the
    parameters whose name begins with it. A value is in force from its day until the next.
    """
    from apmkit.payment.rulebook import rulebook

    book = rulebook(name)
    chosen = [each for each in book.parameters if each.startswith(parameter or "")]
    if not chosen:
        book.parameter(parameter)
    values = book.table(on)
    values = values[values["parameter"].isin(chosen)]
    if format_ == "csv":
        click.echo(values.to_csv(index=False), nl=False)
        return
    if format_ == "json":
        click.echo(json.dumps(values.astype({"effective": str}).to_dict("records"), indent=1))
        return
    click.echo(f"{book.title} ({book.country}, {book.currency})" + (f", in force on {on}" if on else "") + "\n")
    if values.empty:
        click.echo(f"Nothing was in force on {on}.")
        return
    until = values.groupby("parameter")["effective"].shift(-1)
    values = values.assign(**{"from": values["effective"], "until": until.astype(object).fillna("")})
    shown = values[values["value"].notna()]
    columns = ["parameter", "value", "unit", "from", *([] if on else ["until"]), "status"]
    click.echo(screen.table(shown.assign(value=shown["value"].map(screen.value))[columns]))
    for each, rows in shown.groupby("parameter", sort=False):
        sources = "; ".join(rows["citation"].unique())
        said = [f"{each}: {rows['label'].iloc[0]}. Source: {sources}.", rows["note"].iloc[0]]
        click.echo("\n" + screen.paragraph(" ".join(said).strip()))


COMMANDS = (rules, settle)
