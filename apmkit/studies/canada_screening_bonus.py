"""Did Ontario's bonuses of 2006 raise colorectal screening? A simulation with a second event in 2008."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit.errors import DesignWarning
from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.canada_screening_bonus_words import choices_sentence, described, finding
from apmkit.studies.shocks import fading

BONUS, LAUNCH = 25, 33
"""Quarters since January 2000 in which the bonus (April 2006) and ColonCancerCheck (April 2008) begin."""
LAST = {"2008-Q1": 32, "2010-Q1": 40, "2010-Q4": 43}
"""Number of the last quarter, by the name of the quarter."""
SLOPES = {"eligible": 3.0, "comparison": 2.5}
"""Points a year before the bonus: Kiran et al. (2014) for the province, and assumed."""
STARTS = {"eligible": 16.0, "comparison": 10.0}
"""Percent screened at the start of 2000: 18 in 2000/01 in the province (Kiran & Glazier 2012), and assumed."""
PHASE_IN = 8
"""Quarters until the launch has its whole effect: the test is due every two years."""
SHARED_SD, OWN_SD = 0.7, 0.5
"""Standard deviations in points of shocks of both series and of one; assumed."""
DRAWS = 60
"""Simulated pairs of series on which analyses are tried."""
WORLDS = {
    "The bonus did all": {"true_bonus_slope": 1.7, "launch_effect": 0.0},
    "The launch did all": {"true_bonus_slope": 0.0, "launch_effect": 7.0},
}
"""Two worlds with nearly the same eligible series."""
MEASURES = {
    "slope": ("slope change", 4, "percentage points a year"),
    "level": ("level change", 1, "percentage points"),
}
"""Term of the regression, quarters in the unit, and the unit."""


class ScreeningBonusParameters(Parameters):
    """Parameters of the study; see ``apmkit studies canada/screening_bonus``."""

    true_bonus_slope: float = Field(
        0.0, ge=-5, le=5, description="World: what the bonus adds to the slope, in percentage points a year."
    )
    launch_effect: float = Field(
        7.0, ge=-20, le=20, description="World: what the launch of 2008 adds within two years, in percentage points."
    )
    launch_reach: float = Field(
        1.0, ge=0, le=2, description="World: effect of the launch on the comparison group, as a share of the other."
    )
    last_period: Literal["2008-Q1", "2010-Q1", "2010-Q4"] = Field(
        "2010-Q1", description="Analysis: last quarter used; the first ends before the launch."
    )
    model_launch: bool = Field(False, description="Analysis: give the launch a level and a slope of its own.")
    comparison: bool = Field(False, description="Analysis: subtract the comparison group.")
    measure: Literal["slope", "level"] = Field("slope", description="Analysis: change of slope or of level in 2006.")
    seed: int = Field(1, ge=0, le=1_000_000, description="Seed of the simulation.")

    @model_validator(mode="after")
    def _consistent(self):
        if self.model_launch and LAST[self.last_period] < LAUNCH:
            raise ValueError(
                f"last_period={self.last_period} ends before the launch, which cannot be modelled then; give "
                "model_launch=false or a later last_period"
            )
        return self

    @property
    def truth(self) -> float:
        """What the headline should find; the simulated bonus changes the slope alone."""
        return self.true_bonus_slope if self.measure == "slope" else 0.0


def simulate(parameters: ScreeningBonusParameters, draw: int = 0) -> pd.DataFrame:
    """Percent of patients screened by quarter, 2000 to 2010.

    The shocks depend on the seed and the draw alone, so that two worlds can be compared quarter by quarter.

    Returns
    -------
    DataFrame
        Columns `quarter` (0 is January to March 2000), `group` (eligible for the bonus, or comparison), `screened`.
    """
    quarter = np.arange(LAST["2010-Q4"] + 1)
    random = np.random.default_rng([parameters.seed, draw])
    shocks = fading(random.normal(size=(3, len(quarter))))
    launch = parameters.launch_effect * np.clip((quarter - LAUNCH + 1) / PHASE_IN, 0, 1)
    added = {
        "eligible": parameters.true_bonus_slope / 4 * np.maximum(quarter - BONUS, 0) + launch,
        "comparison": parameters.launch_reach * launch,
    }
    groups = []
    for own, group in zip(shocks[1:], added, strict=True):
        noise = SHARED_SD * shocks[0] + OWN_SD * own
        screened = STARTS[group] + SLOPES[group] / 4 * quarter + added[group] + noise
        groups.append(pd.DataFrame({"quarter": quarter, "group": group, "screened": screened}))
    return pd.concat(groups, ignore_index=True)


def analyse(series: pd.DataFrame, last_period: str, model_launch: bool, comparison: bool) -> Estimate:
    """The interrupted time series that an evaluator with these choices would report, per quarter.

    Warnings are kept in the diagnostics: they belong to one of many analyses.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DesignWarning)
        found = _fitted(series, last_period, model_launch, comparison)
    told = [str(warning.message) for warning in caught if issubclass(warning.category, DesignWarning)]
    return replace(found, diagnostics={**found.diagnostics, "warnings": told})


def _fitted(series: pd.DataFrame, last_period: str, model_launch: bool, comparison: bool) -> Estimate:
    window = series[series["quarter"] <= LAST[last_period]]
    columns = {"time": "quarter", "outcome": "screened", "start": BONUS}
    columns |= {"other_event": LAUNCH} if model_launch else {}
    if comparison:
        return apm.comparative_interrupted_time_series(window, **columns, group="group", treated="eligible")
    return apm.interrupted_time_series(window[window["group"] == "eligible"], **columns)


def measured(found: Estimate, measure: str) -> Estimate:
    """One term of the regression in the unit of its measure, a slope by year instead of quarter."""
    term, factor, unit = MEASURES[measure]
    row = found.term(term).table.iloc[0]
    return Estimate.from_covariance(
        pd.DataFrame({"term": [term]}),
        np.array([factor * row["estimate"]]),
        np.array([[(factor * row["se"]) ** 2]]),
        degrees_of_freedom=float(row["df"]),
        estimand=f"{term}, {unit}",
        estimator=found.estimator,
        outcome="screened, percent",
        n_obs=found.n_obs,
        n_units=found.n_units,
        n_clusters=found.n_clusters,
        diagnostics=dict(found.diagnostics),
    )


def choices(windows: tuple[str, ...] = tuple(LAST)) -> list[tuple[str, bool, bool]]:
    """Every analysis that can be done: last quarter, whether the launch is modelled, whether there is a comparison."""
    every = product(windows, (False, True), (False, True))
    return [(last, launch, control) for last, launch, control in every if not launch or LAST[last] >= LAUNCH]


@lru_cache(maxsize=4)
def _analyses(world: ScreeningBonusParameters) -> dict[str, Estimate]:
    series = simulate(world)
    return {described(*choice): analyse(series, *choice) for choice in choices()}


def analyses(parameters: ScreeningBonusParameters) -> dict[str, Estimate]:
    """Every analysis of the same two series, by what the analysis does; kept, for the sets of a grid share a world."""
    chosen = ("last_period", "model_launch", "comparison", "measure")
    return _analyses(ScreeningBonusParameters(**parameters.model_dump(exclude=set(chosen))))


def by_choice(parameters: ScreeningBonusParameters) -> dict[str, Estimate]:
    """The measure under every analysis of the same two series, by what the analysis does."""
    return {name: measured(found, parameters.measure) for name, found in analyses(parameters).items()}


def trial(parameters: ScreeningBonusParameters, draws: int = DRAWS) -> pd.DataFrame:
    """Analyses that end before the launch and at the last quarter of the run (2010-Q1 if that is before), over draws.

    Returns
    -------
    DataFrame
        One row per analysis: `analysis`, `truth`, `bias` with its Monte Carlo error `bias_se`, `coverage` (share of
        95 percent intervals that hold the truth), `rejects` (share that exclude zero), `width` (median width of the
        intervals) and `warned` (share of draws in which the library warned of the fit).
    """
    from joblib import Parallel, delayed

    late = parameters.last_period if LAST[parameters.last_period] >= LAUNCH else "2010-Q1"
    found = Parallel(n_jobs=-1)(delayed(_rows)(parameters, late, draw) for draw in range(1, draws + 1))
    rows = pd.DataFrame(
        [row for rows in found for row in rows], columns=["analysis", "error", "covers", "rejects", "width", "warned"]
    )
    scores = rows.groupby("analysis", sort=False).agg(
        bias=("error", "mean"), bias_se=("error", "sem"), coverage=("covers", "mean"), rejects=("rejects", "mean"),
        width=("width", "median"), warned=("warned", "mean"),
    )  # fmt: skip
    scores.insert(0, "truth", parameters.truth)
    return scores.reset_index()


def _rows(parameters: ScreeningBonusParameters, late: str, draw: int) -> list[tuple]:
    series, rows = simulate(parameters, draw), []
    for choice in choices(("2008-Q1", late)):
        found = measured(analyse(series, *choice), parameters.measure)
        row, warned = found.table.iloc[0], bool(found.diagnostics["warnings"])
        error, width = row["estimate"] - parameters.truth, row["ci_high"] - row["ci_low"]
        covers = row["ci_low"] <= parameters.truth <= row["ci_high"]
        rows.append((described(*choice), error, covers, row["p_value"] < 0.05, width, warned))
    return rows


def in_world(parameters: ScreeningBonusParameters, world: str) -> ScreeningBonusParameters:
    """The same analysis and the same shocks in one of the two worlds."""
    return parameters.model_copy(update=WORLDS[world])


def estimate(parameters: ScreeningBonusParameters) -> Result:
    """The chosen analysis, and all others of the same two series."""
    every = by_choice(parameters)
    chosen = every[described(parameters.last_period, parameters.model_launch, parameters.comparison)]
    unit = MEASURES[parameters.measure][2]
    return Result(
        estimates={"bonus": chosen} | {f"{parameters.measure}: {name}": found for name, found in every.items()},
        headline="bonus",
        sentences=(finding(chosen, parameters, unit), choices_sentence(every, parameters, unit)),
        notes=(
            "All data are simulated: nothing here says what the bonus of 2006 did in Ontario.",
            "Level and slope before the bonus are published ones; the comparison group and shocks are assumed.",
            *chosen.diagnostics["warnings"],
        ),
        axis=f"{parameters.measure.capitalize()} change when the bonus began, {unit}",
    )


STUDY = Study(
    name="canada/screening_bonus",
    title="Did the screening bonus work, or the program launched after it?",
    country="Simulation",
    data=(),
    Parameters=ScreeningBonusParameters,
    estimate=estimate,
    grid={
        "last_period": ("2008-Q1", "2010-Q1", "2010-Q4"),
        "model_launch": (False, True),
        "comparison": (False, True),
        "measure": ("slope", "level"),
    },
)
