"""Outcomes of the study of British Columbia's payment model, and how what is found about them is said."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate
from apmkit.studies.one_treated import Measure, equal_weights, years_after

TREATED = "British Columbia"


MEASURES = {
    "payments_per_capita": Measure(
        words="clinical payments to physicians",
        axis="Clinical payments (CAD per person)",
        unit="CAD per person",
        figure="CAD {:,.0f}",
        per="a person",
        first_year=1999,
        last_untouched=2021,
        fiscal=True,
    ),
    # Counts are dated by year: 2023 is the first year that the model can have touched.
    "family_physicians_per_100k": Measure(
        words="family physicians",
        axis="Family physicians per 100,000 people",
        unit="per 100,000 people",
        figure="{:.1f}",
        per="per 100,000 people",
        first_year=2015,
        last_untouched=2022,
    ),
    "unmet_need": Measure(
        words="reports of unmet health care need",
        axis="Unmet health care need (% of people)",
        unit="percentage points",
        figure="{:.1f}",
        per="percentage points",
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


def _gaps(estimates) -> list[float]:
    return [estimate.table["estimate"].iloc[0] for estimate in estimates]


def by_other_methods(methods: Mapping[str, Estimate], chosen: str, measure: Measure) -> str:
    """The range of gaps, and of ranks where tested, of the methods that are not the chosen one."""
    others = [estimate for name, estimate in methods.items() if name != chosen]
    ranks = _ranks(others)
    ends = " to ".join(dict.fromkeys(str(end(ranks)) for end in (min, max) if ranks))
    return measure.span(_gaps(others)) + (f", rank {ends}" if ends else "")


def _clause(estimate: Estimate, measure: Measure, where: str = "") -> str:
    gap = estimate.table["estimate"].iloc[0]
    return f"{measure.words}{where} were {measure.write(gap)} {'below' if gap < 0 else 'above'}"


def _rank(estimate: Estimate) -> str:
    found, p = estimate.diagnostics, estimate.table["p_value"].iloc[0]
    if "rank" not in found:
        return "described, not tested"
    rank = f"rank {found['rank']} of {found['n_placebos'] + 1}"
    if "withheld" in found:
        return f"{rank}, p-value withheld because the paths are too far apart before"
    lowest = ", the lowest possible" if np.isclose(p, found["p_value_floor"]) else ""
    return f"{rank}, permutation p = {p:.2f}{lowest}"


def finding(estimate: Estimate, measure: Measure, *, pretended: bool = False) -> str:
    """The gap after treatment in plain words, with its rank among placebos."""
    after = years_after(estimate)
    when = f"n {measure.years(after)}{', on average,' if len(after) > 1 else ''}"
    return (
        (f"Pretending that the model began in {measure.year(after[0])}: i" if pretended else "I")
        + f"{when} {_clause(estimate, measure, f' in {TREATED}')} what the comparison with "
        f"{estimate.diagnostics['n_donors']} other provinces implies ({_rank(estimate)})."
    )


def other_findings(found: Mapping[str, Mapping[str, Estimate]], chosen: str) -> str:
    """Estimates by outcome and method in one sentence, to stand after the finding for another outcome."""
    if not found:
        return "The other outcomes have too few years before this start to compare."
    clauses = []
    for outcome, methods in found.items():
        measure = MEASURES[outcome]
        others = f"; other methods: {by_other_methods(methods, chosen, measure)}" if measure.tested else ""
        clauses.append(f"{_clause(methods[chosen], measure)} it ({_rank(methods[chosen])}{others})")
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
    if equal_weights(estimate):
        return f"All {len(weights)} donors carry the same weight."
    largest = weights.iloc[0]
    return (
        f"{largest['unit']} carries {largest['weight']:.0%} of the weight; the comparison is as narrow as if it used "
        f"{estimate.diagnostics['effective_donors']:.1f} donors equally."
    )


def donor_sentence(estimate: Estimate, without: pd.DataFrame, measure: Measure) -> str:
    """What the donor of most weight does to the gap.

    Parameters
    ----------
    estimate : Estimate
    without : DataFrame
        From `leave_one_donor_out`.
    """
    if equal_weights(estimate):
        return f"Without one of the donors the gap is {measure.span(without['estimate'])}."
    unit, weight = estimate.details["donor_weights"].iloc[0]
    rest = measure.span(without.loc[without["unit"] == unit, "estimate"])
    if "placebos" not in estimate.details:
        return f"Without {unit} the gap is {rest}."
    own = estimate.details["placebos"].set_index("unit").loc[unit, "estimate"]
    return (
        f"{unit} was itself {measure.write(own)} {'below' if own < 0 else 'above'} its own comparison in "
        f"{measure.years(years_after(estimate))}. Weighted by {weight:.0%}, that moves the gap of {TREATED} "
        f"{'up' if own < 0 else 'down'} by {measure.write(own * weight)}. Without {unit} the gap is {rest}."
    )


def size_sentence(estimate: Estimate, measure: Measure) -> str:
    """Where the gap would rank by its size alone, for an estimate that is ranked by a ratio; else nothing."""
    if "ratio" not in estimate.diagnostics["p_value"]:
        return ""
    placebos, gap = estimate.details["placebos"].set_index("unit"), abs(_gaps([estimate])[0])
    sizes = placebos["estimate"].abs()
    if gap >= sizes.max():
        return "By size alone the gap is the largest too."
    unit = sizes.idxmax()
    closer = estimate.diagnostics["pre_rmspe"] < placebos.loc[unit, "pre_rmspe"]
    why = ": its comparison followed it more closely before" if closer else ""
    ratio = f" By the ratio it ranks first{why}." if estimate.diagnostics["rank"] == 1 else ""
    return (
        f"By size alone the placebo of {unit} has the largest gap, {measure.write(sizes[unit])}, and {TREATED} ranks "
        f"{1 + (sizes > gap).sum()} of {len(sizes) + 1}.{ratio}"
    )


def placebo_fit_sentence(estimate: Estimate) -> str:
    """How many placebos fit much worse than the treated unit, and so say little."""
    placebos = estimate.details["placebos"]
    poor = int((placebos["pre_rmspe"] > 2 * estimate.diagnostics["pre_rmspe"]).sum())
    return (
        f"Before treatment {poor or 'none'} of {len(placebos)} placebos {'misses its' if poor == 1 else 'miss their'} "
        f"province by more than twice as much as the comparison misses {TREATED}."
    )


def placebo_sentence(starts: pd.DataFrame, measure: Measure) -> str:
    """What pretended starts show; `starts` comes from `placebo_starts`."""
    if starts.empty:
        return "There are too few years before treatment to pretend an earlier start."
    years, gaps = starts["start"].to_list(), measure.span(starts["estimate"])
    first = int((starts["rank"] == 1).sum())
    doubt = ", so a first rank alone proves little" if first else ""
    if len(starts) == 1:
        told, found = "that the model began in", "a gap of"
        ranked = f"it {'ranks' if first else 'does not rank'} first"
    else:
        told, found = "one by one that the model began in each year from", "gaps of"
        ranked = f"{first or 'none'} of {len(starts)} {'ranks' if first == 1 else 'rank'} first"
    tested = "" if starts["rank"].isna().all() else f"; {ranked}{doubt}"
    return f"Told {told} {measure.years(years)}, when nothing had begun, the same method finds {found} {gaps}{tested}."


def range_sentence(found: Mapping[str, Estimate], measure: Measure) -> str:
    """How far the gap moves with choices that could as well have been made."""
    gaps = {name: estimate.table["estimate"].iloc[0] for name, estimate in found.items()}
    low, high = min(gaps, key=gaps.get), max(gaps, key=gaps.get)
    ranks = _ranks(found.values())
    first = f"; it ranks first in {ranks.count(1) or 'none'} of them" if ranks else ""
    return (
        f"Over {len(found)} choices of method, donors and years the gap runs from {measure.span([gaps[low]])} ({low}) "
        f"to {measure.span([gaps[high]])} ({high}){first}."
    )


def place_sentence(sets: pd.DataFrame, estimate: Estimate, measure: Measure) -> str:
    """Where the gap lies among those of all sets of choices.

    Parameters
    ----------
    sets : DataFrame
        Rows of `specifications` for the outcome of `estimate`.
    """
    (gap,), gaps = _gaps([estimate]), sets["estimate"].dropna()
    lower, higher = (gaps < gap - 1e-9).sum(), (gaps > gap + 1e-9).sum()
    ends = {"upper": lower, "lower": higher}
    end = next((f" So this gap is near the {name} end." for name, n in ends.items() if n >= 0.8 * len(gaps)), "")
    return (
        f"Over {len(gaps)} sets of choices that can be defended the gap runs from {measure.span(gaps)}; {lower} are "
        f"lower and {higher} higher.{end}"
    )


def starts_sentence(starts: pd.DataFrame) -> str:
    """How many pretended starts rank first, where the outcome is tested; `starts` comes from `placebo_starts`."""
    if starts["rank"].isna().all():
        return ""
    first, doubt = int((starts["rank"] == 1).sum()), "; a first rank alone proves little"
    years = f"{len(starts)} earlier year{'s' if len(starts) > 1 else ''}"
    return f"Of starts pretended in {years}, {first or 'none'} rank{'s' if first == 1 else ''} first" + (
        f"{doubt}." if first else "."
    )


def _ranks(estimates) -> list[int]:
    return [estimate.diagnostics["rank"] for estimate in estimates if "rank" in estimate.diagnostics]


def detectable_sentence(estimate: Estimate, measure: Measure) -> str:
    """Which gap would have ranked first, and what it is worth."""
    last = estimate.details["path"].iloc[estimate.diagnostics["n_pre_periods"] - 1]
    gap, level = smallest_first(estimate), f"level of {TREATED} in {measure.year(int(last['period']))}"
    if gap > last["treated"]:
        return (
            f"To rank first a gap would have to exceed the whole {level}: before treatment a placebo was followed "
            "almost exactly."
        )
    share = gap / last["treated"]
    return f"A steady gap larger than {measure.write(gap)} ({share:.0%} of the {level}) would have ranked first."


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


def supply_sentence(frame: pd.DataFrame, estimate: Estimate | None) -> str:
    """How the number of family physicians, the population and the rate moved in British Columbia.

    Parameters
    ----------
    frame : DataFrame
        From `province_years`.
    estimate : Estimate, optional
        For the rate of family physicians; its path gives the comparison.
    """
    heads = frame[(frame["province"] == TREATED) & frame["family_physicians"].notna()].set_index("year")
    before, last = MEASURES["family_physicians_per_100k"].last_untouched, heads.index.max()
    counts = heads[["family_physicians", "population"]]
    grown = counts.loc[last] / counts.loc[before]
    text = (
        f"From {before} to {last} the number of family physicians in {TREATED} changed by "
        f"{grown['family_physicians'] - 1:+.1%} and the population by {grown['population'] - 1:+.1%}."
    )
    if estimate is None:
        return text
    path = estimate.details["path"]
    start, end = path.iloc[estimate.diagnostics["n_pre_periods"] - 1], path.iloc[-1]
    own, other = end["treated"] - start["treated"], end["synthetic"] - start["synthetic"]
    return (
        f"{text} The rate per 100,000 changed by {own:+.1f}, from {start['treated']:.1f} in {start['period']:.0f} to "
        f"{end['treated']:.1f} in {end['period']:.0f}; that of the comparison changed by {other:+.1f}."
    )


def full_years_sentence(frame: pd.DataFrame) -> str:
    """Which full fiscal years of payments there are after the model began."""
    measure = MEASURES["payments_per_capita"]
    known = frame.loc[(frame["province"] == TREATED) & frame["payments_per_capita"].notna(), "year"]
    full = sorted(known[known > measure.last_untouched + 1])
    count = "One full year" if len(full) == 1 else f"{len(full)} full years"
    return f"{count} of payments after the start: {measure.years(full)}."


def policy_sentence(estimate: Estimate, measure: Measure, budget: float, sets: pd.DataFrame | None) -> str:
    """The gap set against what the province budgeted.

    Parameters
    ----------
    estimate : Estimate
    measure : Measure
    budget : float
        CAD a person and year.
    sets : DataFrame, optional
        Rows of `specifications` for payments, where the estimate is of payments since the model began.
    """
    budgeted = f"he province budgeted about CAD {budget:.0f} a person and year for the model and related incentives"
    if sets is None:
        return f"This run does not ask about payments since the model began. For scale, t{budgeted}."
    (gap,) = _gaps([estimate])
    stated = f"The gap is {measure.span([gap])}"
    if gap <= 0:
        return f"{stated}: no rise above the comparison is seen. For scale, t{budgeted}."
    least, most = sets["estimate"].min() / budget, sets["estimate"].max() / budget
    return (
        f"{stated}. T{budgeted}, so the gap is {gap / budget:.1f} times that, and {least:.1f} to {most:.1f} times over "
        "all sets of choices. The gap cannot be taken for the cost of the model."
    )
