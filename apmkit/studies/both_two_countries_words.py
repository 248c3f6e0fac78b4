"""What the page on the two countries says: sentences that follow the run, and its small tables."""

from __future__ import annotations

import pandas as pd

from apmkit.contract import gallery
from apmkit.studies.both_published_evidence_rows import current_rows
from apmkit.studies.both_two_countries import (
    COMPARABLE,
    TEN,
    TwoCountriesParameters,
    changes,
    contributions,
    crosswalk,
    fiscal,
    name_of,
    scope_table,
    unit,
)
from apmkit.studies.both_two_countries_spending import spending, spending_index, spread, us_reach
from apmkit.words import listed


def range_sentence(frame: pd.DataFrame, parameters: TwoCountriesParameters) -> str:
    """The smallest and the largest change among the ten provinces."""
    table = changes(frame, parameters).loc[list(TEN), "change"].sort_values()
    digits = 1 if parameters.measure == "alternative_share" else 0
    fell = [name_of(place) for place in table.index[table < 0]]
    text = (
        f"Among the ten provinces the change runs from {table.iloc[0]:+,.{digits}f} ({name_of(table.index[0])}) to "
        f"{table.iloc[-1]:+,.{digits}f} ({name_of(table.index[-1])}) {unit(parameters)}."
    )
    return f"{text} It fell in {listed(fell)}." if fell else f"{text} It fell in none."


def part_sentence(frame: pd.DataFrame, parameters: TwoCountriesParameters) -> str:
    """How much of the change of the ten one province makes up."""
    parts = contributions(frame, parameters)
    total = parts.to_numpy().sum()
    largest = (parts["within"] * (1 if total > 0 else -1)).idxmax()
    ends = [fiscal(parts.attrs[end]) for end in ("first_year", "last_year")]
    moral = f' So "Canada moved to alternative payment" is in large part a sentence about {name_of(largest)}.'
    if not parts.loc[largest, "within"] > total / 2 > 0:
        moral = ""
    return (
        f"From {ends[0]} to {ends[1]} the alternative share of the ten provinces together changed by "
        f"{total:+.1f} points. "
        f"{name_of(largest)} alone makes up {parts.loc[largest, 'within']:+.1f} of it; money that moved between "
        f"provinces adds {parts['between'].sum():+.1f}.{moral}"
    )


def flag_sentence(frame: pd.DataFrame) -> str:
    """Which values are marked, and how large a marked jump is beside a usual step."""
    marked = frame[frame["flag"].notna()]
    steps = frame.sort_values("year").groupby("province")["alternative_share"].diff().abs()
    usual = steps[frame["flag"].isna()].median()
    lines = []
    for (place, flag), rows in marked.groupby(["province", "flag"], sort=False):
        years = listed(fiscal(year) for year in rows["year"])
        lines.append(f"* **{name_of(place)}, {years}:** {flag}. Step to the first of these years: "
                     f"{steps[rows.index[0]]:.1f} points.")  # fmt: skip
    return f"A usual step from one year to the next is {usual:.1f} points.\n\n" + "\n".join(lines)


def jump_sentence(frame: pd.DataFrame, parameters: TwoCountriesParameters, n: int = 4) -> str:
    """The largest steps of the share in the window between values that are not marked."""
    own = frame[frame["province"].isin(TEN) & frame["year"].between(parameters.first_year, parameters.last_year)]
    own = own.sort_values(["province", "year"])
    own = own.assign(step=own.groupby("province")["alternative_share"].diff())
    before = own.groupby("province")["flag"].shift().notna()
    largest = own[own["flag"].isna() & ~before].nlargest(n, "step", keep="first")
    steps = listed(
        f"{name_of(row.province)} {fiscal(row.year)} ({row.step:+.1f} points)" for row in largest.itertuples()
    )
    return f"The largest steps up in the share are those of {steps}."


def first_year_sentence(frame: pd.DataFrame, parameters: TwoCountriesParameters, later: int = 2005) -> str:
    """How a later first year changes the picture."""
    now = changes(frame, parameters)["change"]
    other = changes(frame, parameters.model_copy(update={"first_year": later}))["change"]
    turned = [name_of(place) for place in TEN if now[place] * other[place] < 0]
    signs = f"the sign turns in {listed(turned)}" if turned else "no sign turns"
    return f"With {fiscal(later)} as the first year, {signs}."


def reach_sentence() -> str:
    """How far shared savings reach in original Medicare."""
    reach = us_reach()
    first, last = reach.iloc[0], reach.iloc[-1]
    return (
        f"In {reach.index[0]} ACOs of the Medicare Shared Savings Program had {first['in_aco']:.0f}% of the people in "
        f"original Medicare, {first['two_sided']:.1f}% under two-sided risk; in {reach.index[-1]} it was "
        f"{last['in_aco']:.0f}% and {last['two_sided']:.0f}%."
    )


def scope_sentence() -> str:
    """Whether contracts of each country answer for total cost."""
    table = scope_table()
    total = table.sum()
    wide = table.loc["total cost"]
    return (
        f"Of the {total['US']} US contracts in the gallery {wide['US']} answer for the total cost of care; of the "
        f"{total['Canada']} Canadian ones {wide['Canada'] or 'none'}. "
        f"{table.loc['primary care', 'Canada']} Canadian contracts stop at primary care."
    )


def crosswalk_sentence() -> str:
    """How well the nearest contracts meet."""
    found = crosswalk()
    same = found[found["overlap"] == 1]
    pairs = "; ".join(f"{row.canada} and {row.nearest}" for row in same.itertuples()) or "none"
    far = found.loc[found["overlap"].idxmin()]
    return (
        f"{len(same)} of the {len(found)} Canadian contracts have a US contract with the same types of payment: "
        f"{pairs}. "
        f"The furthest is the {far.canada}, whose nearest neighbour shares {far.overlap:.0%} of the types."
    )


def spending_sentence(parameters: TwoCountriesParameters) -> str:
    """Median growth and spread of spending in both countries."""
    base = parameters.spending_from
    table = spending_index(spending(), base)
    last = int(table.groupby("country")["year"].max().min())
    now = table[table["year"] == last].groupby("country")["index"]
    middle, low, high = now.median(), now.min(), now.max()
    forecast = table.loc[(table["year"] == last) & (table["country"] == "Canada"), "forecast"].any()
    note = ", a forecast for Canada" if forecast else ""
    apart = spread(spending()).loc[last]
    return (
        f"From {base} to {last}{note}, spending per person moved against consumer prices by "
        f"{middle['Canada'] - 100:+.0f}% in the median province ({low['Canada'] - 100:+.0f}% to "
        f"{high['Canada'] - 100:+.0f}%), and by {middle['United States'] - 100:+.0f}% in the median state "
        f"({low['United States'] - 100:+.0f}% to {high['United States'] - 100:+.0f}%), for people in original Medicare "
        f"only. In {last} the standard deviation between provinces was {apart['Canada']:.0f}% of the mean, that "
        f"between states {apart['United States']:.0f}%."
    )


def evidence_sentence() -> str:
    """Which model families were evaluated in both countries."""
    rows = current_rows()
    rows = rows[~rows["verdict"].isin(["context", "retracted"])]
    countries = rows.groupby("family")["country"].agg(set)
    both = sorted(countries[[len(found) > 1 for found in countries]].index)
    outcomes = rows.groupby("outcome_group")["country"].agg(set)
    shared = sorted(outcomes[[len(found) > 1 for found in outcomes]].index)
    shared = [name for name in shared if "other" not in name.casefold()]
    text = (
        f"Of the {len(countries)} model families with an effect in the table of published effects, "
        f"{len(both) or 'none'} {'were' if len(both) > 1 else 'was'} evaluated in both countries"
    )
    text += f": {listed(both)}." if both else "."
    return f"{text} The outcomes meet more often: {listed(name.lower() for name in shared)} were studied in both."


def comparable_table() -> pd.DataFrame:
    """What can be set side by side."""
    return pd.DataFrame({"What": list(COMPARABLE), "Comparable?": list(COMPARABLE.values())})


def gallery_sentence() -> str:
    """How many contracts the crosswalk has."""
    countries = pd.Series([contract.country for contract in gallery().values()]).value_counts()
    return (
        f"The gallery describes {countries['US']} contracts of the United States and {countries['Canada']} of Canada."
    )


def travel_table() -> pd.DataFrame:
    """Questions to ask before a lesson travels, with what the two countries answer."""
    rows = [
        ("Who is the payer?", "Many; Medicare sets the pattern for people of 65 and over",
         "One public payer in each province for physicians and hospitals"),
        ("Who is covered by what is evaluated?", "Mostly older people, in original Medicare", "All residents"),
        ("How does a patient count for a practice?", "By where most visits went, counted afterwards in most models",
         "By signing up with a practice, in enrolment models"),
        ("What was the alternative?", "Fee-for-service with other payers beside it", "Fee-for-service of one payer"),
        ("What is at stake?", "Often a share of the total cost of care", "The income of a primary care practice"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["Ask", "United States", "Canada"])
