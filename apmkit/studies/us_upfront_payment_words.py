"""Sentences of the study of upfront payment; they follow the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from apmkit.columns import count
from apmkit.words import listed

if TYPE_CHECKING:
    from apmkit.studies.us_upfront_payment import Start, UpfrontPaymentParameters

NAMES = {
    "fee_for_service": "fee-for-service",
    "cpc_plus_1": "CPC+ Track 1",
    "cpc_plus_2": "CPC+ Track 2",
    "primary_care_first": "Primary Care First",
    "shared_savings": "shared savings alone",
    "advance": "shared savings with the advance",
}
"""Models inside a sentence; `named` marks those whose rules are in doubt."""


def named(model: str) -> str:
    """A model inside a sentence, marked."""
    from apmkit.studies.us_upfront_payment import mark

    return NAMES[model] + mark(model)


def usd(value: float) -> str:
    """An amount to the nearest hundred dollars."""
    return f"USD {round(value, -2):,.0f}"


def share_in_words(share: float) -> str:
    """A share of practices."""
    return "no practice" if share == 0 else "every practice" if share == 1 else f"{share:.0%} of practices"


def finding(table: pd.DataFrame, parameters: UpfrontPaymentParameters) -> tuple[str, ...]:
    """The answer: what the model chosen needs as it pays, what timing alone asks for, and for whom it lasts."""
    row, name = table.loc[parameters.model], named(parameters.model)
    others = table["need_equal_totals"].drop(parameters.model)
    least = others.idxmin()
    return (
        f"Synthetic practices with {parameters.patients:,} Medicare patients a physician that pay a nurse from month 1 "
        f"and hold {count(parameters.opening_cash, 'day')} of costs in cash: under {name} "
        f"{share_in_words(row['can_start'])} can pay all bills for five years. To do so the median practice would "
        f"need {usd(row['need'])} a physician.",
        f"With the same total for every model, the timing of {name} by itself asks for "
        f"{usd(row['need_equal_totals'])}, that of {named(least)} for {usd(others[least])}. These are calculations "
        "on assumed costs, without intervals.",
    )


def in_short(table: pd.DataFrame, patients: int) -> str:
    """Who can start as the models pay, with this many Medicare patients a physician."""
    able = [named(model) for model, share in table["can_start"].items() if share >= 0.9]
    unable = [named(model) for model, share in table["can_start"].items() if share <= 0.1]
    parts = [f"at least nine in ten can start under {listed(able)}"] if able else []
    parts += [f"at most one in ten can start under {listed(unable)}"] if unable else []
    some = [f"{share:.0%} under {named(model)}" for model, share in table["can_start"].items() if 0.1 < share < 0.9]
    parts += [f"of all practices {listed(some)}"] if some else []
    return f"As the models pay, with {patients:,} Medicare patients a physician: {'; '.join(parts)}."


def equal_totals_in_words(table: pd.DataFrame, started: Start) -> str:
    """Where the need is least and most when all totals are the same, and when the low point comes."""
    flows = started.equal["existing"]
    existing, new = table["need_existing"], table["need_new"]
    low, high = existing.idxmin(), existing.idxmax()
    month = {m: int(flows[m].by_practice["lowest_month"].median()) for m in flows}
    text = (
        f"If every model brought the same total, the median practice that exists would need "
        f"{usd(existing[low])} a physician under {named(low)} and "
        f"{usd(existing[high])} under {named(high)}; one that opens anew would need {usd(new[low])} and "
        f"{usd(new[high])}. "
    )
    if started.nurse.sum() > 0:
        gap = existing["advance"] - existing["shared_savings"]
        text += (
            f"The advance moves the lowest point from month {month['shared_savings']} to month {month['advance']}"
            + (
                ", and the need is the same"
                if abs(gap) < 100
                else f", and the need {'rises' if gap > 0 else 'falls'} by {usd(abs(gap))}"
            )
            + ": where savings just pay for the nurse, an advance that is taken back out of them puts the gap off."
        )
    return text


def as_paid_in_words(table: pd.DataFrame, started: Start) -> str:
    """What the models pay beside each other, against the cost of the nurse."""
    nurse = (started.nurse / started.physicians).median()
    extra = table["pay"] - table.loc["fee_for_service", "pay"]
    upfront = extra[["cpc_plus_1", "cpc_plus_2", "primary_care_first"]]
    low, high = upfront.idxmin(), upfront.idxmax()
    aco = extra["shared_savings"]
    return (
        f"A year of the nurse costs {usd(nurse)} a physician. Above fee-for-service, {named(low)} pays "
        f"{usd(upfront[low])} a year and {named(high)} {usd(upfront[high])}. At this savings rate the ACO brings "
        f"{usd(aco)}" + (", less than the nurse costs." if aco < nurse else ", more than the nurse costs, but later.")
    )


def below_zero_in_words(table: pd.DataFrame) -> str:
    """Months below zero under shared savings with the advance and without, and under fees."""
    months = table["months_below"]

    def told(model: str) -> str:
        return f"{months[model]:.0f} under {named(model)}"

    return (
        "Months of 60 in which the median practice is below zero at some time: "
        f"{listed([told(model) for model in ('fee_for_service', 'shared_savings', 'advance', 'cpc_plus_1')])}."
    )


def range_in_words(table: pd.DataFrame, models: tuple[str, ...]) -> str:
    """Range of the need over other choices, by model, and the choice that moves it most."""
    parts = []
    for model in models:
        column = table[model]
        largest = (column - column["As chosen"]).abs().idxmax()
        if column.max() - column.min() < 50:
            parts.append(f"under {named(model)} it stays at {usd(column.iloc[0])}")
        else:
            parts.append(
                f"under {named(model)} it runs from {usd(column.min())} to {usd(column.max())}, moved most by "
                f'"{largest[0].lower() + largest[1:]}"'
            )
    return f"Over {len(table)} sets of choices the median need moves: {'; '.join(parts)}."


def size_in_words(days: pd.DataFrame, model: str) -> str:
    """What an own nurse does to the smallest practice."""
    medians = days.groupby(["nurse", "physicians"])[model].median()
    small, large = medians.index.get_level_values("physicians").min(), 4
    shared, whole = medians["Nurses shared", small], medians["Whole nurses only", small]
    text = (
        f"Under {named(model)} the median practice with {count(int(small), 'physician')} needs {shared:.0f} days "
        f"of costs if nurses are shared and {whole:.0f} if it must hire a whole one"
    )
    if ("Whole nurses only", large) in medians.index:
        text += f"; with {large} physicians it needs {medians['Whole nurses only', large]:.0f} days either way"
    return text + "."


def recoupment_in_words(savings: pd.DataFrame) -> str:
    """What an ACO without savings keeps, and where advance and savings meet."""
    none = savings[savings["earned"] <= 0]
    gain = savings["kept_advanced"] - savings["kept_alone"]
    parts = []
    if len(none):
        row = none.iloc[-1]
        parts.append(
            f"An ACO that never earns shared savings keeps the whole advance of USD {row['advanced'] / 1e6:.2f} "
            f"million if it stays five years, and would owe USD {row['owed_on_leaving'] / 1e6:.2f} million if it left "
            "after the third."
        )
    same = gain[gain < 1]
    if len(same):
        parts.append(
            f"From savings of {100 * same.index.min():.1f}% a year on, both ACOs end with the same money: the advance "
            "was a loan without interest. Below, what is not taken back is a grant."
        )
    return " ".join(parts)


def published_in_words(advances: pd.DataFrame) -> str:
    """What became of the advances of the ACO Investment Model."""
    had = advances[advances["advanced"] > 0]
    nothing, full = (had["recouped"] == 0).sum(), (had["outstanding"] < 1).sum()
    left = had[had["outstanding"] >= 1]
    return (
        f"The published files show {len(had)} ACOs of that model with an advance, "
        f"USD {had['advanced'].sum() / 1e6:.1f} million in all. Of it "
        f"{had['recouped'].sum() / had['advanced'].sum():.0%} was taken back out of shared savings: from {full} ACOs "
        f"everything, from {nothing} nothing. Of the {len(left)} with something outstanding, "
        f"{(left['last'] <= 2019).sum()} are last seen in 2019 or before."
    )
