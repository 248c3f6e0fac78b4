"""What the studies of one American state share: Medicare by state and year, comparisons, and their checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pandas as pd

import apmkit as apm
from apmkit.datasets.states import US_STATES
from apmkit.estimate import Estimate
from apmkit.studies import one_treated
from apmkit.studies.one_treated import Measure, quietly
from apmkit.synth import differential_trend, gaps_of_exact_fits, without_trends

OUTCOMES = {
    "cost_per_capita": Measure(
        words="Medicare cost per beneficiary at prices paid",
        axis="Medicare cost at prices paid\n(dollars per beneficiary a year)",
        unit="dollars per beneficiary a year",
        figure="{:,.0f} dollars",
        per="a year",
        first_year=2007,
        last_untouched=2013,
    ),
    "standardised_cost": Measure(
        words="price-standardised Medicare cost per beneficiary",
        axis="Price-standardised Medicare cost\n(dollars per beneficiary a year)",
        unit="dollars per beneficiary a year",
        figure="{:,.0f} dollars",
        per="a year",
        first_year=2014,
        last_untouched=2016,
    ),
    "inpatient_stays": Measure(
        words="inpatient stays",
        axis="Inpatient stays per 1,000 beneficiaries",
        unit="stays per 1,000 beneficiaries",
        figure="{:.1f}",
        per="per 1,000",
        first_year=2014,
        last_untouched=2016,
    ),
    "readmissions": Measure(
        words="the readmission rate",
        axis="Readmissions (% of stays)",
        unit="percentage points",
        figure="{:.2f}",
        per="percentage points",
        first_year=2014,
        last_untouched=2016,
    ),
    "ed_visits": Measure(
        words="emergency department visits",
        axis="Emergency department visits per 1,000 beneficiaries",
        unit="visits per 1,000 beneficiaries",
        figure="{:.1f}",
        per="per 1,000",
        first_year=2014,
        last_untouched=2016,
    ),
}
"""Outcomes with the first year in which a file has them."""


def number(measure: Measure) -> str:
    """How an amount is written where its unit stands elsewhere.

    >>> number(OUTCOMES["cost_per_capita"]), short_unit(OUTCOMES["cost_per_capita"])
    ('{:,.0f}', 'dollars a year')
    """
    return measure.figure.split()[0]


def short_unit(measure: Measure) -> str:
    """The unit, where the words for the outcome say that it is per beneficiary."""
    return measure.unit.replace(" per beneficiary", "")


NAMES = {code: name for name, code in US_STATES.items()}

OWN_REFORMS = ("MD", "VT", "PA")
"""States in which Medicare itself paid hospitals or organizations in a new, statewide or rural, all-payer way:
Maryland from 2014, Vermont from 2017, rural Pennsylvania from 2019."""


@cache
def state_years(source: str) -> pd.DataFrame:
    """One row per state and year; the District of Columbia counts as a state.

    Parameters
    ----------
    source : {"county", "state"}
        The file by county, summed to states (2007-2017, cost at prices paid), or the file by state (from 2014).

    Returns
    -------
    DataFrame
        `state` (code), `area` (name), `year`, `ma_share` (fraction), `ffs_beneficiaries` and columns of `OUTCOMES`.
    """
    if source == "county":
        rows = apm.load("gv_county")
        known = rows[rows["total_cost"].notna() & (rows["state"] != "VI")]
        sums = known.groupby(["state", "year"], as_index=False)[
            ["total_cost", "ffs_beneficiaries", "ma_beneficiaries", "beneficiaries"]
        ].sum()
        frame = sums.assign(
            cost_per_capita=sums["total_cost"] / sums["ffs_beneficiaries"],
            ma_share=sums["ma_beneficiaries"] / sums["beneficiaries"],
        )
    else:
        rows = apm.load("gv_state")
        frame = rows.assign(
            cost_per_capita=rows["spending_per_capita"],
            standardised_cost=rows["spending_per_capita_standardised"],
            inpatient_stays=rows["inpatient_stays_per_1000"],
            readmissions=100 * rows["readmission_rate"],
            ed_visits=rows["ed_visits_per_1000"],
        )
    frame = frame.assign(area=frame["state"].map(NAMES))
    columns = [name for name in OUTCOMES if name in frame]
    keys = ["state", "area", "year", "ma_share", "ffs_beneficiaries"]
    return frame[[*keys, *columns]].sort_values(["state", "year"], ignore_index=True)


def like_in_advantage(frame: pd.DataFrame, treated: str, last_before: int) -> list[str]:
    """The half of the other states whose Medicare Advantage share was closest to the treated one's before treatment.

    Parameters
    ----------
    frame : DataFrame
        From `state_years`.
    treated : str
        Code of the state.
    last_before : int
        Last year before treatment; shares of this year are compared.
    """
    share = frame[frame["year"] == last_before].set_index("state")["ma_share"]
    distance = (share.drop(treated) - share[treated]).abs().sort_values()
    return sorted(distance.index[: len(distance) // 2])


METHODS: dict[str, Callable[..., Estimate]] = {
    "synthetic_control": apm.synthetic_control,
    "synthetic_control_intercept": partial(apm.synthetic_control, intercept=True),
    "augmented_synthetic_control": apm.augmented_synthetic_control,
    "synthetic_did": apm.synthetic_did,
    "difference_in_differences": apm.difference_in_differences,
    "differential_trend": differential_trend,
}

METHOD_WORDS = {
    "synthetic_control": "Synthetic control",
    "synthetic_control_intercept": "Synthetic control with intercept",
    "augmented_synthetic_control": "Augmented synthetic control",
    "synthetic_did": "Synthetic difference-in-differences",
    "difference_in_differences": "Difference-in-differences, parallel trends",
    "differential_trend": "Difference-in-differences, differential trends",
}


def state_panel(frame: pd.DataFrame, treated: str, start: int, outcome: str) -> apm.Panel:
    """A panel of states of which one is treated from `start` on; units carry their full names."""
    rows = frame.assign(start=np.where(frame["state"] == treated, float(start), np.nan))
    return apm.Panel(rows, unit="area", time="year", outcome=outcome, cohort="start", balanced=True)


def effect(panel: apm.Panel, method: str, **options) -> Estimate:
    """The effect by one method; a poor fit is not warned of, the sentence says it."""
    return quietly(METHODS[method], panel, **options)


def by_method(panel: apm.Panel, **options) -> dict[str, Estimate]:
    """The effect by every method, under the words for it."""
    return {METHOD_WORDS[name]: effect(panel, name, **options) for name in METHODS}


def pretended_starts(panel: apm.Panel, method: str) -> pd.DataFrame:
    """Effects of starts that never were, in the years before treatment."""
    return one_treated.pretended_starts(panel, METHODS[method])


def exact_fits(estimate: Estimate) -> tuple[float, float]:
    """The lowest and the highest gap over all mixes of donors that fit the years before as exactly as this one."""
    return gaps_of_exact_fits(estimate.panel, intercept=bool(estimate.diagnostics.get("intercept")))


def conformal(panel: apm.Panel, method: str) -> Estimate:
    """The gap in each year after treatment, with intervals at the highest level that the years before allow."""
    before = int((panel.periods < panel.cohorts.min()).sum())
    level = min(0.95, int(100 * before / (before + 1)) / 100)
    if method == "differential_trend":
        panel, method = without_trends(panel), "difference_in_differences"
    return quietly(apm.conformal_intervals, panel, method=method, level=level)
