"""Outcomes of the study of British Columbia's payment model, and how what is found about them is said and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate

TREATED = "British Columbia"


@dataclass(frozen=True)
class Measure:
    """An outcome: words for it, its unit, and which years the model cannot have touched."""

    words: str
    axis: str
    unit: str
    amount: str
    first_year: int
    last_untouched: int
    fiscal: bool = False
    tested: bool = True

    def write(self, value: float) -> str:
        """An amount without its sign."""
        return self.amount.format(abs(value))

    def year(self, year: int) -> str:
        """A year as the source names it."""
        return f"{year}-{(year + 1) % 100:02d}" if self.fiscal else str(year)

    def years(self, years) -> str:
        """Several years: the one, or the first and the last."""
        return self.year(years[0]) if len(years) == 1 else f"{self.year(years[0])} to {self.year(years[-1])}"


MEASURES = {
    "payments_per_capita": Measure(
        words="clinical payments to physicians",
        axis="Clinical payments (CAD per person)",
        unit="CAD per person",
        amount="CAD {:,.0f} a person",
        first_year=1999,
        last_untouched=2021,
        fiscal=True,
    ),
    # Counts are dated by year: 2023 is the first year that the model can have touched.
    "family_physicians_per_100k": Measure(
        words="family physicians",
        axis="Family physicians per 100,000 people",
        unit="per 100,000 people",
        amount="{:.1f} per 100,000 people",
        first_year=2015,
        last_untouched=2022,
    ),
    "unmet_need": Measure(
        words="reports of unmet health care need",
        axis="Unmet health care need (% of people)",
        unit="percentage points",
        amount="{:.1f} percentage points",
        first_year=2018,
        last_untouched=2022,
        tested=False,
    ),
}


def smallest_first(estimate: Estimate) -> float:
    """The smallest constant gap after treatment that would have ranked first among the placebos.

    Parameters
    ----------
    estimate : Estimate
        With placebos. The statistic that is ranked is the one of its p-value: the ratio of gaps after to gaps before,
        so that the answer is the largest placebo ratio times the treated unit's own gap before; or the absolute
        estimate, so that it is the largest placebo estimate.

    Returns
    -------
    float
        In units of the outcome.
    """
    placebos = estimate.details["placebos"]
    if "ratio" in estimate.diagnostics["p_value"]:
        return float(placebos["ratio"].max() * estimate.diagnostics["pre_rmspe"])
    return float(placebos["estimate"].abs().max())


def gap_table(estimates: Mapping[str, Estimate], measure: Measure, what: str = "Choice") -> pd.DataFrame:
    """Estimates side by side, with the column names a reader sees.

    Parameters
    ----------
    estimates : mapping of str to Estimate
    measure : Measure
    what : str
        Name of the first column, which holds the names of the estimates.

    Returns
    -------
    DataFrame
        One row per estimate: its name, the mean gap after treatment, the root mean squared gap before, the size of the
        comparison and, where tested, rank and p.
    """
    rows = []
    for name, estimate in estimates.items():
        found = estimate.diagnostics
        row = {
            what: name,
            f"Gap after ({measure.unit})": estimate.table["estimate"].iloc[0],
            "Typical gap before": found["pre_rmspe"],
            "Donors": found["n_donors"],
            "Years before": found["n_pre_periods"],
            "Years after": found["n_post_periods"],
        }
        if "rank" in found:
            row |= {
                "Rank": f"{found['rank']} of {found['n_placebos'] + 1}",
                "p": estimate.table["p_value"].iloc[0],
                "Lowest possible p": found["p_value_floor"],
            }
        rows.append(row)
    return pd.DataFrame(rows)


def placebo_dots(estimates: Mapping[str, Estimate], measure: Measure):
    """Figure: the gap of British Columbia by each method, among the gaps of donors treated as placebos."""
    import matplotlib.pyplot as plt

    from apmkit.plots import PALETTE

    ax = plt.subplots(figsize=(7.2, 0.9 + 0.5 * len(estimates)), layout="constrained")[1]
    for row, estimate in enumerate(estimates.values()):
        if "placebos" in estimate.details:
            gaps = estimate.details["placebos"]["estimate"]
            ax.plot(gaps, [row] * len(gaps), "o", color=PALETTE["light"], ms=6)
        ax.plot(estimate.table["estimate"].iloc[:1], [row], "D", color=PALETTE["blue"], ms=8)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_yticks(range(len(estimates)), list(estimates))
    ax.set_ylim(len(estimates) - 0.5, -0.5)
    ax.set_xlabel(f"Gap after ({measure.unit})")
    return ax


def _clause(estimate: Estimate, measure: Measure, where: str = "") -> str:
    gap = estimate.table["estimate"].iloc[0]
    return f"{measure.words}{where} were {measure.write(gap)} {'below' if gap < 0 else 'above'}"


def _rank(estimate: Estimate) -> str:
    found, p = estimate.diagnostics, estimate.table["p_value"].iloc[0]
    if "rank" not in found:
        return "described, not tested"
    lowest = ", the lowest possible" if np.isclose(p, found["p_value_floor"]) else ""
    return f"rank {found['rank']} of {found['n_placebos'] + 1}, permutation p = {p:.2f}{lowest}"


def finding(estimate: Estimate, measure: Measure, *, pretended: bool = False) -> str:
    """The gap after treatment in plain words, with its rank among placebos."""
    after = estimate.details["path"]["period"].iloc[estimate.diagnostics["n_pre_periods"] :].to_list()
    when = f"n {measure.years(after)}{', on average,' if len(after) > 1 else ''}"
    return (
        (f"Pretending that the model began in {measure.year(after[0])}: i" if pretended else "I")
        + f"{when} {_clause(estimate, measure, f' in {TREATED}')} what the comparison with "
        f"{estimate.diagnostics['n_donors']} other provinces implies ({_rank(estimate)})."
    )


def other_findings(found: Mapping[str, Estimate]) -> str:
    """Estimates by outcome in one sentence, to stand after the finding for another outcome."""
    if not found:
        return "The other outcomes have too few years before this start to compare."
    clauses = [f"{_clause(found[name], MEASURES[name])} it ({_rank(found[name])})" for name in found]
    return f"By the same comparison {', and '.join(clauses)}."


def fit_sentence(estimate: Estimate, measure: Measure) -> str:
    """How far the paths were apart before treatment."""
    found = estimate.diagnostics
    share = found["pre_rmspe_to_sd"]
    return (
        f"Before treatment the paths are typically {measure.write(found['pre_rmspe'])} apart, {share:.2f} standard "
        f"deviations of the donors: a {'close' if share <= 0.25 else 'poor'} fit."
    )


def weights_sentence(estimate: Estimate) -> str:
    """Which donors the comparison leans on."""
    weights = estimate.details["donor_weights"]
    largest = weights.iloc[0]
    return (
        f"{largest['unit']} carries {largest['weight']:.0%} of the weight; the comparison is worth "
        f"{estimate.diagnostics['effective_donors']:.1f} donors of equal weight."
    )


def placebo_fit_sentence(estimate: Estimate) -> str:
    """How many placebos fit much worse than the treated unit, and so say little."""
    placebos = estimate.details["placebos"]
    poor = int((placebos["pre_rmspe"] > 2 * estimate.diagnostics["pre_rmspe"]).sum())
    return (
        f"Before treatment {poor} of {len(placebos)} placebos miss their province by more than twice as much as the "
        f"comparison misses {TREATED}."
    )


def placebo_sentence(starts: pd.DataFrame, measure: Measure) -> str:
    """What pretended starts show; `starts` comes from `placebo_starts`."""
    if starts.empty:
        return "There are too few years before treatment to pretend an earlier start."
    extremes = starts["estimate"].agg(["min", "max"])
    low, high = (f"{'minus ' if value < 0 else ''}{measure.write(value)}" for value in extremes)
    years = measure.years(starts["start"].to_list())
    found = f"a gap of {low}" if len(starts) == 1 else f"gaps from {low} to {high}"
    first = "" if starts["rank"].isna().all() else f"; {int((starts['rank'] == 1).sum())} of {len(starts)} rank first"
    return f"Told that the model began in {years}, the same method finds {found}{first}. Nothing had begun then."


def range_sentence(found: Mapping[str, Estimate], measure: Measure) -> str:
    """How far the gap moves with choices that could as well have been made."""
    gaps = {name: estimate.table["estimate"].iloc[0] for name, estimate in found.items()}
    low, high = min(gaps, key=gaps.get), max(gaps, key=gaps.get)
    ends = [f"{'minus ' if gaps[name] < 0 else ''}{measure.write(gaps[name])} ({name})" for name in (low, high)]
    ranks = [estimate.diagnostics["rank"] for estimate in found.values() if "rank" in estimate.diagnostics]
    first = f" It ranks first in {sum(rank == 1 for rank in ranks)} of them." if ranks else ""
    return f"Over these {len(found)} choices the gap runs from {ends[0]} to {ends[1]}.{first}"


def detectable_sentence(estimate: Estimate, measure: Measure) -> str:
    """Which gap would have ranked first, and what it is worth."""
    if "placebos" not in estimate.details:
        return "This outcome is not tested, so no gap could have ranked first."
    last = estimate.details["path"].iloc[estimate.diagnostics["n_pre_periods"] - 1]
    gap = smallest_first(estimate)
    return (
        f"A steady gap larger than {measure.write(gap)} ({gap / last['treated']:.0%} of the level of {TREATED} in "
        f"{measure.year(int(last['period']))}) would have ranked first."
    )


def access_sentence(frame: pd.DataFrame) -> str:
    """How reports of unmet need moved since the last year before the model, in British Columbia and elsewhere.

    Parameters
    ----------
    frame : DataFrame
        From `province_years`.
    """
    wide = frame.pivot_table(index="year", columns="province", values="unmet_need")
    before, last = MEASURES["unmet_need"].last_untouched, wide.index.max()
    own, others = wide[TREATED], wide.drop(columns=TREATED)
    better = int((others.loc[last] - others.loc[before] < own[last] - own[before]).sum())
    return (
        f"The share of people with an unmet health care need moved from {own[before]:.1f}% in {before} to "
        f"{own[last]:.1f}% in {last} in {TREATED}, and from {others.loc[before].median():.1f}% to "
        f"{others.loc[last].median():.1f}% in the median of the other provinces; in {better} of these "
        f"{others.shape[1]} it fell by more or rose by less."
    )
