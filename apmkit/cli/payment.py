"""The commands about payment models."""

from __future__ import annotations

import json

import click

from apmkit.cli import screen


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
    values = book.table(on)
    if parameter is not None:
        chosen = values["parameter"].str.startswith(parameter)
        if not chosen.any():
            book.parameter(parameter)
            values = values[:0]
        values = values[chosen]
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
    shown = values.assign(value=["ended" if value is None else screen.value(value) for value in values["value"]])
    columns = ["parameter", "label", "value", "unit", "effective", "status", "citation"]
    click.echo(screen.table(shown[columns].rename(columns={"effective": "in force from"})))
    for _, row in values[values["note"] != ""].drop_duplicates("parameter").iterrows():
        click.echo(f"\n{row['parameter']}: {row['note']}")


COMMANDS = (rules,)
