"""Outcomes of the study of Ontario's move to capitation, and how what is found about them is said."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from apmkit.estimate import Estimate
from apmkit.studies.one_treated import Measure

TREATED = "Ontario"

MEASURES = {
    "payments_per_capita": Measure(
        words="clinical payments to physicians",
        axis="Clinical payments to physicians\n(CAD per person a year)",
        unit="CAD per person a year",
        figure="CAD {:,.0f}",
        per="a person",
        first_year=1999,
        last_untouched=2000,
        fiscal=True,
    ),
    "physician_spending": Measure(
        words="spending on physicians",
        axis="Spending on physicians\n(CAD per person a year)",
        unit="CAD per person a year",
        figure="CAD {:,.0f}",
        per="a person",
        first_year=1985,
        last_untouched=2000,
    ),
}


def verdict(table: pd.DataFrame) -> str:
    """That no effect is claimed, and how many conditions fail.

    Parameters
    ----------
    table : DataFrame
        From `conditions`; at least one fails, since nine donors cannot give a p-value of 0.05.
    """
    start = "This design does not hold, so no effect is claimed:"
    failed = table.loc[~table["holds"], "condition"]
    if len(failed) == len(table):
        return f"{start} all {len(table)} conditions it needs fail."
    named = ", ".join(name if name.startswith(TREATED) else name[0].lower() + name[1:] for name in failed)
    return (
        f"{start} {len(failed)} of the {len(table)} conditions it needs {'fails' if len(failed) == 1 else 'fail'} "
        f"({named})."
    )


def finding(estimate: Estimate, measure: Measure) -> str:
    """The gap, and what the placebos or the library say about it."""
    found, gap = estimate.diagnostics, estimate.table["estimate"].iloc[0]
    after = estimate.details["path"]["period"].iloc[found["n_pre_periods"] :].to_list()
    side = "below" if gap < 0 else "above"
    text = (
        f"From {measure.year(after[0])} to {measure.year(after[-1])} {measure.words} in {TREATED} lay on average "
        f"{measure.write(gap)} {side} the comparison with {found['n_donors']} other provinces"
    )
    if "withheld" in found:
        return (
            f"{text}; p-value and interval are withheld, because before the start the paths are "
            f"{found['pre_fit']:.2f} standard deviations of the donors apart."
        )
    p = estimate.table["p_value"].iloc[0]
    return f"{text}: rank {found['rank']} of {found['n_placebos'] + 1} among placebos, permutation p = {p:.2f}."


def contrast(mixed: Mapping[str, float]) -> str:
    """How much more Ontario moved than what it is compared with; `mixed` comes from `contamination`."""
    rest = mixed["own"] - mixed["comparison"]
    return (
        f"The alternative share rose by {mixed['own']:.1f} percentage points in {TREATED} and by "
        f"{mixed['comparison']:.1f} in the comparison, so a contrast of {rest:.1f} points is what the gap compares."
        if mixed["comparison"] > 0
        else f"The alternative share rose by {mixed['own']:.1f} percentage points in {TREATED} and did not rise in the "
        "comparison."
    )


def starts_sentence(starts: pd.DataFrame, estimate: Estimate, measure: Measure) -> str:
    """What pretended starts show; `starts` comes from `pretended_starts`."""
    if starts.empty:
        return "There are too few years before the start to pretend an earlier one: the design cannot be tested so."
    gap, n = abs(estimate.table["estimate"].iloc[0]), len(starts)
    larger = int((starts["estimate"].abs() >= gap).sum())
    years = measure.years(starts["start"].to_list())
    told = f"each year from {years}" if n > 1 else years
    one = "This is a test with one draw, and it proves nothing either way." if n == 1 else ""
    return (
        f"Told that the wave began in {told}, before it did, the same method finds {measure.span(starts['estimate'])}; "
        f"{larger or 'none'} of {n} {'is' if larger == 1 else 'are'} at least as large as the gap. {one}"
    ).strip()


def range_sentence(found: Mapping[str, Estimate], measure: Measure) -> str:
    """How far the methods disagree."""
    values = [estimate.table["estimate"].iloc[0] for estimate in found.values()]
    below = sum(value < 0 for value in values)
    signs = (
        "They do not even agree on the sign" if 0 < below < len(values) else "They agree on the sign, not on the size"
    )
    return f"{len(found)} methods on the same rows give {measure.span(values)}. {signs}."


def range_of_donors(outside: pd.DataFrame, measure: Measure) -> str:
    """Whether Ontario lies within what donors can be mixed to; `outside` comes from `outside_range`."""
    n, years = int(outside["outside"].sum()), outside.index[outside["outside"]].to_list()
    if not n:
        return f"In all {len(outside)} years before the start {TREATED} lies between the lowest and the highest donor."
    above = int((outside["own"] > outside["high"]).sum())
    how = "above every donor" if above == n else "below every donor" if above == 0 else "outside the donors"
    listed = ", ".join(measure.year(year) for year in years) if n <= 3 else f"{n} of {len(outside)} years before"
    return (
        f"In {listed} {TREATED} lies {how}. No mix with weights that sum to one can equal it there, "
        "however the weights are chosen."
    )


def moved_sentence(rise: pd.Series, points: int) -> str:
    """Which donors moved too; `rise` comes from `share_rise`."""
    moved = rise.drop(TREATED)[lambda r: r >= points]
    listed = ", ".join(f"{name} ({value:.0f})" for name, value in moved.items())
    told = f"The share of {TREATED} rose by {rise[TREATED]:.0f} percentage points"
    if moved.empty:
        return f"{told}; that of no other province rose by {points} or more."
    return (
        f"{told}. So did that of other provinces, by {points} points or more: {listed}. They are treated too, by "
        "reforms of their own."
    )


def effect_text(row) -> str:
    """A published effect with its interval, or how it was read where no interval is printed."""
    text = f"{row.estimate:g} {row.unit}"
    if pd.notna(row.ci_low):
        return f"{text} ({row.ci_level:.0f}% CI {row.ci_low:g} to {row.ci_high:g})"
    return f"{text} (no interval printed{f'; {row.notes}' if pd.notna(row.notes) else ''})"
