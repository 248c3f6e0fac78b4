"""The command that settles Shared Savings Program ACOs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apmkit.cli import screen

if TYPE_CHECKING:
    import pandas as pd

_COUNTS = {
    "acos": "ACOs",
    "paid": "paid",
    "within_0.1%": "within 0.1 %",
    "within_dollar": "within $1",
    "within_rounding": "within $1 and rounding",
    "exact_rate": "exact rate",
    "exact_within_dollar": "of these within $1",
    "owing": "owing",
    "losses_within_0.1%": "losses within 0.1 %",
    "losses_within_dollar": "losses within $1",
    "exceptions": "exceptions",
}
_MONEY = {
    "published_paid": "paid, published",
    "rebuilt_paid": "paid, rebuilt",
    "published_owed": "owed, published",
    "rebuilt_owed": "owed, rebuilt",
}


@click.command(
    epilog="""
\b
Examples:
  apmkit settle                              every published year
  apmkit settle --year 2019 --exceptions     each exception with its amounts
  apmkit settle --aco A2772 --year 2019      one settlement step by step
  apmkit settle --file my_acos.csv           your own ACOs
  apmkit settle --file my_acos.csv --format csv > settled.csv

\b
A file of your own has one row per ACO and year. Columns, money in USD and rates as fractions:
  always        year, track, benchmark, expenditures
  one-sided     beneficiaries
  two-sided     minimum_savings_rate
  quality       quality_score (to 2020; for losses of ENHANCED and Tracks 2 and 3 in all
                years), met_quality_standard (from 2021)
  losses        participant_revenue or loss_limit (BASIC C to E, Track 1+)
  2024 on       revenue_category (low or high), agreement_start
  if any        aco_id, final_sharing_rate, final_loss_rate, met_alternative_standard,
                disaster_adjustment, advance_investment_balance
"""
)
@click.option("--year", type=int, help="Only this performance year.")
@click.option("--aco", metavar="ACO_ID", help="One ACO; with --year, its settlement step by step.")
@click.option("--exceptions", is_flag=True, help="List each exception with its amounts.")
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own ACOs, .csv or .parquet."
)
@click.option(
    "--unknown-revenue",
    type=click.Choice(["refuse", "benchmark"]),
    default="refuse",
    show_default=True,
    help="Of your own ACOs: a loss whose limit needs a revenue that is not given.",
)
@click.option("--format", "format_", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def settle(year, aco, exceptions, file, unknown_revenue, format_):
    """Settle ACOs of the Medicare Shared Savings Program.

    Every published ACO-year, with those you added, is settled by the rules of its year and compared with what CMS
    published. What differs, and what the published columns do not settle by the rule alone, is listed with its reason.
    """
    if file is not None and exceptions:
        raise click.UsageError("--exceptions compares with what CMS published: leave it out, or leave out --file.")
    from apmkit.payment.mssp import explain_settlement, published_aco_years, reconcile_mssp, settle_mssp

    acos = _own(file) if file else _published()
    acos = _chosen(acos, year, aco)
    if file is None:
        unknown_revenue = "benchmark"
    if aco is not None and (len(acos) == 1 or file is not None):
        steps = explain_settlement(acos if file else published_aco_years(acos), unknown_revenue=unknown_revenue)
        _write(steps, format_, _steps_as_text)
    elif file is not None:
        payment = settle_mssp(acos, unknown_revenue=unknown_revenue)
        if format_ == "json":
            click.echo(payment.to_json())
        else:
            _write(payment.to_frame().reset_index(), format_, lambda _: _settled_as_text(payment))
    else:
        found = reconcile_mssp(acos)
        if aco is not None:
            rows = found.rows[["year", "aco_id", "track", "published", "rebuilt", "difference"]]
            rows = rows.assign(reason=found.payment.details["reason"].to_numpy())
            _write(rows, format_, lambda _: f"{screen.table(_rounded(rows))}\n\nAdd --year for the steps of one year.")
        elif format_ == "json":
            both = {"years": found.years.reset_index(), "exceptions": found.exceptions}
            click.echo(json.dumps({name: json.loads(part.to_json(orient="records")) for name, part in both.items()}))
        else:
            rows = found.exceptions if exceptions else found.years.reset_index()
            _write(rows, format_, lambda _: _reconciled_as_text(found, exceptions))


def _published() -> pd.DataFrame:
    from apmkit import datasets

    return datasets.load("mssp")


def _own(file: Path) -> pd.DataFrame:
    import pandas as pd

    kind = file.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise click.UsageError(f"{file.name} is neither .csv nor .parquet: save it as one of them.")
    try:
        if kind == ".parquet":
            import duckdb

            frame = duckdb.read_parquet(str(file)).df()
        else:
            frame = pd.read_csv(file, dtype={"track": str, "aco_id": str}, skipinitialspace=True, encoding="utf-8-sig")
    except Exception as error:  # each reader has its own errors, none of them in words for a user
        if isinstance(error, UnicodeDecodeError):
            reason = "it is not in UTF-8: save it as CSV UTF-8"
        elif file.stat().st_size == 0 or isinstance(error, pd.errors.EmptyDataError):
            reason = "it is empty: give a header and one row per ACO and year"
        else:
            reason = f"it is damaged or no {kind[1:]} file: save it again"
        raise click.UsageError(f"{file.name} cannot be read; {reason}.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise click.UsageError(f"{file.name} has rows with more cells than its header: look for commas inside numbers.")
    if twice := [name for name in frame if name.removesuffix(".1") != name and name.removesuffix(".1") in frame]:
        raise click.UsageError(f"{file.name} has the column {twice[0].removesuffix('.1')} twice: keep one.")
    if len(frame.columns) == 1 and ";" in frame.columns[0]:
        raise click.UsageError(
            f"{file.name} separates cells by semicolons: save it with commas, and points in numbers."
        )
    if "ABtotBnchmk" in frame:
        raise click.UsageError(
            f"{file.name} is a file as CMS publishes it: write apmkit datasets add mssp {file}, then apmkit settle."
        )
    return frame


def _chosen(acos: pd.DataFrame, year: int | None, aco: str | None) -> pd.DataFrame:
    for column, value, option in (("year", year, "--year"), ("aco_id", aco, "--aco")):
        if value is None:
            continue
        if column not in acos:
            raise click.UsageError(f"{option} needs the column {column}, which the file does not have.")
        rows = acos[acos[column] == value]
        if rows.empty:
            known = acos[column].drop_duplicates().sort_values()
            shown = ", ".join(map(str, known)) if len(known) <= 20 else f"{known.iloc[0]} to {known.iloc[-1]}"
            raise click.UsageError(f"There is no {column} {value} here: choose one of {shown}.")
        acos = rows
    return acos


def _write(frame: pd.DataFrame, format_: str, as_text) -> None:
    if format_ == "csv":
        click.echo(frame.to_csv(index=False), nl=False)
    elif format_ == "json":
        click.echo(frame.to_json(orient="records", date_format="iso", double_precision=15))
    else:
        click.echo(as_text(frame))


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Dollars without cents."""
    money = frame.select_dtypes("number").columns.difference(["year"])
    return frame.assign(**{name: frame[name].round().add(0.0).map("{:,.0f}".format) for name in money})


def _steps_as_text(steps: pd.DataFrame) -> str:
    values = [
        f"{value:,.2f}" if unit == "USD" else f"{value:.6f}"
        for value, unit in zip(steps["value"], steps["unit"], strict=True)
    ]
    lines = [screen.table(steps[["step"]].assign(value=values, unit=steps["unit"], how=steps["how"])), "", "Rules:"]
    for row in steps[steps["citation"] != ""].itertuples():
        lines.append(screen.paragraph(f"{row.step}: {row.citation} ({row.status})."))
    return "\n".join(lines)


def _settled_as_text(payment) -> str:
    table = payment.table.loc[:, payment.table.ne(0).any() | (payment.table.columns == "total")]
    shown = table.map("{:,.2f}".format).assign(reason=payment.details["reason"])
    return f"{screen.table(shown.reset_index())}\n\n{payment.summary()}"


def _reconciled_as_text(found, exceptions: bool) -> str:
    years = found.years.reset_index()
    counts = years[["year", *_COUNTS]].rename(columns=_COUNTS)
    money = years[["year"]].join((years[list(_MONEY)] / 1e6).map("{:,.3f}".format).rename(columns=_MONEY))
    parts = [screen.table(counts), "Million USD:\n" + screen.table(money), screen.paragraph(found.summary())]
    if exceptions and not found.exceptions.empty:
        parts.append(screen.table(_rounded(found.exceptions.drop(columns="agrees"))))
    elif not found.exceptions.empty:
        grouped = found.exceptions.groupby(["year", "reason"], sort=False)["aco_id"].agg(["size", ", ".join])
        parts += ["Exceptions; --exceptions lists them with their amounts."]
        parts += [
            screen.paragraph(f"{year}, {row['size']}: {reason}: {row['join']}.")
            for (year, reason), row in grouped.iterrows()
        ]
    return "\n\n".join(parts)
