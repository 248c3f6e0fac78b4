"""Did blended capitation change what practices do? A simulation under two published studies that disagree."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit.errors import DesignWarning
from apmkit.estimate import Estimate
from apmkit.payment import calibrate_effort
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.arithmetic import calculated
from apmkit.studies.canada_fhg_to_fho_words import finding
from apmkit.studies.canada_fhg_to_fho_world import (
    COVARIATES,
    OUTCOMES,
    RULES_ON,
    SCENARIOS,
    WAVES,
    World,
    outcomes_of,
    percent,
    rows_of,
    simulate,
)

AFTER_WAVES = int(WAVES[-1])
"""From this year on nobody switches: a comparison across practices starts here."""

ESTIMATORS: dict[str, tuple[str, Callable[[pd.DataFrame], Estimate]]] = {
    "twfe": ("Two-way fixed effects", lambda rows: apm.twfe(_panel(rows))),
    "never_treated": (
        "Callaway-Sant'Anna, never treated",
        lambda rows: apm.callaway_santanna(_panel(rows)).aggregate("simple"),
    ),
    "not_yet_treated": (
        "Callaway-Sant'Anna, not yet treated",
        lambda rows: apm.callaway_santanna(_panel(rows), control="not_yet_treated").aggregate("simple"),
    ),
    "doubly_robust": (
        "Callaway-Sant'Anna, doubly robust",
        lambda rows: apm.callaway_santanna(_panel(rows), covariates=["age", "outside_use"]).aggregate("simple"),
    ),
    "imputation": ("Imputation", lambda rows: apm.imputation(_panel(rows)).aggregate("simple")),
    "sun_abraham": ("Sun-Abraham", lambda rows: apm.sun_abraham(_panel(rows)).aggregate("simple")),
    "synthetic_did": (
        "Synthetic difference-in-differences",
        lambda rows: apm.staggered_synthetic_did(_panel(rows), variance="jackknife"),
    ),
    "cross_section": ("Weighted comparison across practices", lambda rows: _cross_section(rows)),
}
"""Words for each estimator, and how it gives one number in logs."""

WORLDS: dict[str, dict[str, float]] = {
    "All assumptions hold": {},
    "Chosen for money": {"level_selection": 2.0},
    "Falling before": {"trend_selection": 1.0},
    "Uneven effects": {"heterogeneity": 1.0},
    "Anticipation": {"anticipation": 0.5},
}
"""What is broken in each world; everything else in it is off."""
_OFF = {"level_selection": 0.0, "trend_selection": 0.0, "heterogeneity": 0.0, "anticipation": 0.0}


class FhgToFhoParameters(Parameters):
    """Parameters of the study; see ``apmkit studies canada/fhg_to_fho``."""

    scenario: Literal[tuple(SCENARIOS)] = Field(
        "some_2020", description="Study whose findings are true in the simulation; the two are never averaged."
    )
    outcome: Literal[tuple(OUTCOMES)] = Field(
        "after_hours", description="What may have changed; emergency visits are in hong_2024 only."
    )
    estimator: Literal[tuple(ESTIMATORS)] = Field("not_yet_treated", description="How the effect is estimated.")
    first_year: int = Field(2003, ge=2003, le=2006, description="First year used.")
    last_year: int = Field(2014, ge=2012, le=2014, description="Last year used.")
    level_selection: float = Field(
        1.0, ge=0, le=3, description="How strongly practices switch that would be paid more on their present work."
    )
    trend_selection: float = Field(
        0.5, ge=0, le=3, description="How strongly practices switch whose work was falling anyway."
    )
    heterogeneity: float = Field(
        0.5, ge=0, le=1, description="How much effects grow with time and are larger for those who switch first."
    )
    anticipation: float = Field(
        0.0, ge=0, le=1, description="Share of the effect that comes in the year before the switch."
    )
    n_practices: int = Field(240, ge=120, le=600, description="Number of simulated practices.")
    seed: int = Field(1, ge=0, le=9999, description="Seed of the simulation.")

    @model_validator(mode="after")
    def _consistent(self):
        if self.outcome not in outcomes_of(self.scenario):
            raise ValueError(
                f"outcome={self.outcome} was not measured by {SCENARIOS[self.scenario]}; use scenario=hong_2024"
            )
        if self.estimator == "synthetic_did" and self.first_year > 2005:
            raise ValueError(
                "estimator=synthetic_did needs two years before the first switches of 2007; give first_year=2005 or "
                "earlier"
            )
        return self

    @property
    def words(self) -> str:
        """Words for the outcome."""
        return OUTCOMES[self.outcome].words


def _panel(rows: pd.DataFrame) -> apm.Panel:
    return apm.Panel(
        rows, unit="practice", time="year", outcome="outcome", cohort="switch",
        covariates=list(COVARIATES), balanced=True,
    )  # fmt: skip


def _cross_section(rows: pd.DataFrame) -> Estimate:
    """Practices under FHO less practices under FHG once the waves are over, weighted to the same covariates."""
    late = rows[rows["year"] >= AFTER_WAVES]
    means = late.groupby("practice")[["outcome", *COVARIATES]].mean()
    means["fho"] = late.groupby("practice")["switch"].first().notna().astype(float)
    return apm.inverse_probability_weighting(
        means.reset_index(), outcome="outcome", treatment="fho", covariates=list(COVARIATES)
    )


def in_percent(estimate: Estimate) -> Estimate:
    """An estimate in logs as a change in percent; the ends of intervals are transformed as they are."""
    table = estimate.table.copy()
    factor = 100 * np.exp(table["estimate"].to_numpy())
    table[["estimate", "ci_low", "ci_high"]] = 100 * np.expm1(table[["estimate", "ci_low", "ci_high"]])
    table["se"] *= factor
    covariance = estimate.covariance * np.outer(factor, factor)
    return replace(estimate, table=table, covariance=covariance, combination=None)


def world_of(parameters: FhgToFhoParameters) -> World:
    """The history of this page."""
    return simulate(parameters, np.random.default_rng([parameters.seed, 0]))


def truth_of(world: World, parameters: FhgToFhoParameters, estimator: str | None = None) -> float:
    """What an estimator should find, in percent: the mean effect in the practice-years that it averages."""
    across = (estimator or parameters.estimator) == "cross_section"
    return world.truth(AFTER_WAVES if across else parameters.first_year, parameters.last_year)


def estimated(world: World, parameters: FhgToFhoParameters, estimators=tuple(ESTIMATORS)) -> dict[str, Estimate]:
    """The effect in percent by each of the estimators; those that the rules forbid are left out."""
    rows = rows_of(world, parameters.first_year, parameters.last_year)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        for name in estimators:
            if name != "synthetic_did" or parameters.first_year <= 2005:
                found[name] = in_percent(ESTIMATORS[name][1](rows))
    return found


def event_study(world: World, parameters: FhgToFhoParameters) -> Estimate:
    """Effects in percent by years since the switch, against practices that never switch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        panel = _panel(rows_of(world, parameters.first_year, parameters.last_year))
        return in_percent(apm.callaway_santanna(panel, base_period="universal").aggregate("event"))


def published(scenario: str) -> pd.DataFrame:
    """What a study reports, in percent, for the outcomes of the simulation: `change`, `ci_low`, `ci_high`."""
    return 100 * calibrate_effort(scenario, on=RULES_ON).targets.loc[outcomes_of(scenario)]


def repeated(parameters: FhgToFhoParameters, *, draws: int = 30, jobs: int = -1) -> pd.DataFrame:
    """How far estimators are off, and how often their intervals hold the truth, in worlds with one thing broken.

    Each draw has other reasons to switch and other shocks, with the same practices.

    Returns
    -------
    DataFrame
        One row per world and estimator: `world`, `estimator`, `truth` and `bias` (percentage points, mean of draws),
        `bias_se` (its Monte Carlo error), `coverage` (share of 95 percent intervals that hold the truth).
        Sun-Abraham is absent: without covariates it is Callaway-Sant'Anna against the never treated.
    """
    from joblib import Parallel, delayed

    done = Parallel(n_jobs=jobs)(delayed(_drawn)(parameters, world, draws) for world in WORLDS)
    return pd.DataFrame([row for rows in done for row in rows])


def _drawn(parameters, world, draws):
    names = STUDY.grid["estimator"]
    broken = parameters.model_copy(update=_OFF | WORLDS[world])
    random = np.random.default_rng([parameters.seed, 1, list(WORLDS).index(world)])
    errors, holds, truths = ({name: [] for name in names} for _ in range(3))
    for _ in range(draws):
        drawn = simulate(broken, random)
        for name, found in estimated(drawn, broken, names).items():
            row, truth = found.table.iloc[0], truth_of(drawn, broken, name)
            errors[name].append(row["estimate"] - truth)
            holds[name].append(row["ci_low"] <= truth <= row["ci_high"])
            truths[name].append(truth)
    return [
        {
            "world": world, "estimator": name, "truth": np.mean(truths[name]), "bias": np.mean(errors[name]),
            "bias_se": np.std(errors[name], ddof=1) / np.sqrt(draws), "coverage": np.mean(holds[name]),
        }
        for name in names if errors[name]
    ]  # fmt: skip


def opposite_readings(parameters: FhgToFhoParameters) -> pd.DataFrame:
    """What must be true beside the effect so that one study's world is read as the other's result, after hours.

    In the world of Somé et al. those who switch are given a lower level all along, in the world of Hong et al. a
    yearly rise of their own: as much as arithmetic needs for the other study's number. Nothing else is broken.

    Returns
    -------
    DataFrame
        By scenario: `truth`, `needed` (percent; a level, or a rise a year), `within` and `across` with their
        intervals: the estimate against practices not yet switched, and that of the comparison across practices.
    """
    quiet = parameters.model_copy(update=_OFF | {"outcome": "after_hours", "first_year": 2003, "last_year": 2014})
    some, hong = (np.log1p(published(s).loc["after_hours", "change"] / 100) for s in SCENARIOS)
    needed = {"some_2020": {"gap": hong - some}, "hong_2024": {"push": (some - hong) / _years_of_push(quiet)}}
    rows = {}
    for scenario, wrong in needed.items():
        world_parameters = quiet.model_copy(update={"scenario": scenario})
        world = simulate(world_parameters, np.random.default_rng([parameters.seed, 2]), **wrong)
        found = estimated(world, world_parameters, ("not_yet_treated", "cross_section"))
        rows[scenario] = {"truth": truth_of(world, quiet, "twfe"), "needed": percent(*wrong.values())}
        for kind, estimate in zip(("within", "across"), found.values(), strict=True):
            row = estimate.table.iloc[0]
            rows[scenario] |= {kind: row["estimate"], f"{kind}_low": row["ci_low"], f"{kind}_high": row["ci_high"]}
    return pd.DataFrame.from_dict(rows, orient="index")


def _years_of_push(parameters) -> float:
    """How many years of a trend of those who switch end up in the estimate against the not yet treated."""
    random = (np.random.default_rng(parameters.seed) for _ in range(2))
    worlds = [simulate(parameters, r, push=push) for r, push in zip(random, (0.0, 1.0), strict=True)]
    with_push, without = (rows_of(world, parameters.first_year, parameters.last_year) for world in worlds[::-1])
    return _log_effect(with_push) - _log_effect(without)


def _log_effect(rows: pd.DataFrame) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return ESTIMATORS["not_yet_treated"][1](rows).table["estimate"].iloc[0]


def truths(world: World, parameters: FhgToFhoParameters) -> Estimate:
    """The true effects as an estimate without interval: they are known, not estimated."""
    values = {
        "over all years since the switch": truth_of(world, parameters, "twfe"),
        f"{AFTER_WAVES} on": truth_of(world, parameters, "cross_section"),
    }
    return calculated(
        values, values.values(), estimand="true effect", estimator="simulation", outcome=parameters.words,
        n_obs=world.effects.size, n_units=len(world.starts), seed=parameters.seed,
    )  # fmt: skip


def estimate(parameters: FhgToFhoParameters) -> Result:
    """The effect in the simulated history by every estimator, beside the truth."""
    world = world_of(parameters)
    found = estimated(world, parameters)
    chosen, truth = found[parameters.estimator], truth_of(world, parameters)
    return Result(
        estimates={**found, "truth": truths(world, parameters)},
        headline=parameters.estimator,
        sentences=(finding(chosen, truth, parameters.words, ESTIMATORS[parameters.estimator][0]),),
        notes=(
            "All practices are simulated; only the mean effects are calibrated, to one of two studies that disagree.",
            "Intervals count chance between practices, not the choice of the scenario.",
        ),
        axis=f"Effect on {parameters.words}, percent, in the world of {SCENARIOS[parameters.scenario]}",
    )


STUDY = Study(
    name="canada/fhg_to_fho",
    title="Which estimator finds what blended capitation did, when two studies disagree?",
    country="Simulation",
    data=(),
    Parameters=FhgToFhoParameters,
    estimate=estimate,
    grid={
        "scenario": tuple(SCENARIOS),
        "outcome": ("services", "after_hours"),
        # Without covariates Sun-Abraham repeats the comparison with the never treated.
        "estimator": tuple(name for name in ESTIMATORS if name != "sun_abraham"),
        "first_year": (2003, 2005),
        "last_year": (2012, 2014),
    },
)
