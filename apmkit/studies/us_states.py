"""What the studies of one American state share: Medicare by state and year, comparisons, and their checks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np
import pandas as pd
from scipy.optimize import linprog

import apmkit as apm
from apmkit.datasets.states import US_STATES
from apmkit.errors import ApmkitError, DesignWarning
from apmkit.estimate import Estimate
from apmkit.studies.canada_bc_lfp_words import Measure

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


def without_trends(panel: apm.Panel) -> apm.Panel:
    """The panel less a straight line for each unit, fitted to the periods before treatment and continued after it.

    Raises
    ------
    ApmkitError
        There are fewer than three periods before treatment, through which any line would run.
    """
    before = panel.periods < panel.cohorts.min()
    if before.sum() < 3:
        raise ApmkitError(f"A trend needs three periods before treatment, not {before.sum()}: add earlier ones.")
    centred = panel.periods - panel.periods[before].mean()
    outcomes = panel.outcomes
    slope = outcomes[:, before] @ centred[before] / np.square(centred[before]).sum()
    rows = pd.DataFrame(outcomes - slope[:, None] * centred, index=panel.units, columns=panel.periods)
    long = rows.rename_axis(index=panel.unit, columns=panel.time).stack().rename(panel.outcome).reset_index()
    starts = pd.Series(np.where(np.isfinite(panel.cohorts), panel.cohorts, np.nan), panel.units)
    long["start"] = long[panel.unit].map(starts)
    return apm.Panel(long, unit=panel.unit, time=panel.time, outcome=panel.outcome, cohort="start", balanced=True)


def differential_trend(panel: apm.Panel, **options) -> Estimate:
    """Difference-in-differences if each unit's own trend before treatment had gone on.

    Treated unit and placebos lose their own line, so that they go through the same steps and ranks stay exact.
    """
    return apm.difference_in_differences(without_trends(panel), **options)


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return METHODS[method](panel, **options)


def by_method(panel: apm.Panel, **options) -> dict[str, Estimate]:
    """The effect by every method, under the words for it."""
    return {METHOD_WORDS[name]: effect(panel, name, **options) for name in METHODS}


def pretended_starts(panel: apm.Panel, method: str, fewest_before: int = 3) -> pd.DataFrame:
    """Effects of starts that never were, in the years before treatment; a sound design finds none.

    Returns
    -------
    DataFrame
        `start`, `estimate`, `rank` and `p_value`; the last two are missing where the library withholds them.
    """
    before, rows = panel.periods[panel.periods < panel.cohorts.min()], []
    for start in before[fewest_before:]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            found = apm.in_time_placebo(panel, int(start), method=METHODS[method])
        row = found.table.iloc[0]
        rank = None if "withheld" in found.diagnostics else found.diagnostics["rank"]
        rows.append((int(start), row["estimate"], rank, row["p_value"]))
    return pd.DataFrame(rows, columns=["start", "estimate", "rank", "p_value"])


def placebo_power(estimate: Estimate, effects: Sequence[float], share: float = 0.05) -> pd.DataFrame:
    """How often an effect would have been found, had each state in turn been the treated one.

    The gap that the method finds for a state without the reform is moved by the effect. It counts as found when it is
    then among the `share` of all states with the largest gaps, in size.

    Parameters
    ----------
    estimate : Estimate
        With placebos.
    effects : sequence of float
        In units of the outcome; sizes, since falls and rises are averaged.
    share : float
        Of the states, those that would be called unusual.

    Returns
    -------
    DataFrame
        `effect`, `power`.
    """
    gaps = estimate.details["placebos"]["estimate"].to_numpy()
    ranks = max(int(share * (len(gaps) + 1)), 1)
    bars = np.array([np.sort(np.abs(np.delete(gaps, at)))[-ranks] for at in range(len(gaps))])
    sizes = np.asarray(effects, dtype=float)[:, None]
    power = (np.abs(gaps + sizes) > bars).mean(axis=1) / 2 + (np.abs(gaps - sizes) > bars).mean(axis=1) / 2
    return pd.DataFrame({"effect": sizes[:, 0], "power": power})


def detectable(estimate: Estimate, power: float = 0.8) -> float:
    """The smallest effect that `placebo_power` finds with this power, in units of the outcome."""
    largest = 3 * estimate.details["placebos"]["estimate"].abs().max()
    curve = placebo_power(estimate, np.linspace(0, largest, 601))
    return float(curve.loc[curve["power"] >= power, "effect"].iloc[0])


def fits_exactly(estimate: Estimate) -> bool:
    """Whether the comparison runs through the treated state in every year before treatment."""
    return bool(estimate.diagnostics["pre_rmspe"] <= 1e-6 * abs(estimate.details["path"]["treated"].mean()))


def gaps_of_exact_fits(estimate: Estimate) -> tuple[float, float]:
    """The lowest and the highest gap over all mixes of donors that fit the years before exactly.

    With fewer years than donors many mixes do. Their gaps are linear in the weights: a linear program finds the ends.

    Parameters
    ----------
    estimate : Estimate
        A synthetic control, with or without intercept, that `fits_exactly`.
    """
    panel = estimate.panel
    treated, before = np.isfinite(panel.cohorts), panel.periods < panel.cohorts.min()
    values = panel.outcomes
    if estimate.diagnostics.get("intercept"):
        values = values - values[:, before].mean(axis=1, keepdims=True)
    own, donors = values[treated][0], values[~treated]
    after = donors[:, ~before].mean(axis=1)
    equal = np.vstack([donors[:, before].T, np.ones(len(donors))])
    least, most = (
        sign * linprog(sign * after, A_eq=equal, b_eq=[*own[before], 1.0], bounds=(0, 1)).fun for sign in (1, -1)
    )
    gap = own[~before].mean()
    return float(gap - most), float(gap - least)


def estimates_of(found: Mapping[str, Estimate]) -> pd.Series:
    """The one number of each estimate, by name."""
    return pd.Series({name: estimate.table["estimate"].iloc[0] for name, estimate in found.items()})


def conformal(panel: apm.Panel, method: str) -> Estimate:
    """The gap in each year after treatment, with intervals at the highest level that the years before allow."""
    before = int((panel.periods < panel.cohorts.min()).sum())
    level = min(0.95, int(100 * before / (before + 1)) / 100)
    if method == "differential_trend":
        panel, method = without_trends(panel), "difference_in_differences"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return apm.conformal_intervals(panel, method=method, level=level)
