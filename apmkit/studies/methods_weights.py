"""What does two-way fixed effects average? A simulated staggered reform with a known effect in every cell."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

import apmkit as apm
from apmkit.errors import DesignWarning
from apmkit.estimate import Estimate, rounded
from apmkit.panel import Panel
from apmkit.studies import Parameters, Result, Study

PERIODS = 10
STARTS = {"spread": (3, 6, 9), "early": (3, 4, 5), "late": (7, 8, 9)}
"""First treated period of the three cohorts, by the name of the timing."""

ESTIMATORS: dict[str, tuple[str, Callable[[Panel], Estimate]]] = {
    "twfe": ("Two-way fixed effects", apm.twfe),
    "callaway_santanna": (
        "Callaway-Sant'Anna, not yet treated",
        lambda panel: apm.callaway_santanna(panel, control="not_yet_treated").aggregate("simple"),
    ),
    "sun_abraham": ("Sun-Abraham", lambda panel: apm.sun_abraham(panel).aggregate("simple")),
    "imputation": ("Imputation", lambda panel: apm.imputation(panel).aggregate("simple")),
    "two_stage": ("Two-stage", apm.two_stage),
}
"""Words for each estimator, and how it gives one number."""


class WeightsParameters(Parameters):
    """Parameters of the simulated reform; see ``apmkit studies methods/weights``."""

    timing: Literal["spread", "early", "late"] = Field(
        "spread", description="When the three cohorts start: periods 3, 6, 9; 3, 4, 5; or 7, 8, 9."
    )
    effect: float = Field(
        -1.0, ge=-10, le=10, description="Effect in the first treated period, visits per 100 patients."
    )
    growth: float = Field(-1.0, ge=-5, le=5, description="What each further period adds to the effect.")
    never_treated: float = Field(0.1, ge=0, le=0.8, description="Share of clinics that never start.")
    clinics: int = Field(200, ge=60, le=2_000, description="Number of clinics.")
    noise: float = Field(2.0, ge=0.1, le=20, description="Standard deviation of the shocks of a clinic.")
    seed: int = Field(1, ge=0, le=1_000_000, description="Seed of the simulation.")


def true_effect(parameters: WeightsParameters, relative_time: np.ndarray) -> np.ndarray:
    """Effect by time since treatment; zero before."""
    return np.where(relative_time >= 0, parameters.effect + parameters.growth * np.maximum(relative_time, 0), 0.0)


def simulate(parameters: WeightsParameters) -> pd.DataFrame:
    """Visits of clinics over ten periods.

    Every clinic has a level of its own, every period a shock common to all, and trends are parallel. Cohorts are of one
    size. Columns `clinic`, `period`, `start` (missing if never), `visits`, and `effect`, which nobody sees outside a
    simulation.
    """
    random = np.random.default_rng(parameters.seed)
    n = parameters.clinics
    never = round(parameters.never_treated * n)
    starts = np.concatenate([np.full(never, np.nan), np.resize(STARTS[parameters.timing], n - never).astype(float)])
    clinic, period = np.repeat(np.arange(n), PERIODS), np.tile(np.arange(1, PERIODS + 1), n)
    effect = true_effect(parameters, np.nan_to_num(period - starts[clinic], nan=-1.0))
    visits = 50 + random.normal(0, 5, n)[clinic] + np.cumsum(random.normal(0.3, 1, PERIODS))[period - 1]
    visits += effect + random.normal(0, parameters.noise, len(clinic))
    return pd.DataFrame(
        {"clinic": clinic, "period": period, "start": starts[clinic], "visits": visits, "effect": effect}
    )


def panel_of(frame: pd.DataFrame) -> Panel:
    """The panel that an evaluator would see."""
    return Panel(frame, unit="clinic", time="period", outcome="visits", cohort="start")


def estimates(panel: Panel) -> dict[str, Estimate]:
    """One number from each estimator that can give one."""
    found = {}
    with warnings.catch_warnings():
        # Without never-treated clinics the last cohort has nobody to be compared with; the page says so in words.
        warnings.simplefilter("ignore", DesignWarning)
        for name, (_, estimator) in ESTIMATORS.items():
            found[name] = estimator(panel)
    return found


def without_noise(estimate: Estimate, parameters: WeightsParameters) -> float:
    """What an estimator would say without noise: its weights times the true effects."""
    cells = apm.treatment_weights(estimate)
    return float(cells["weight"] @ true_effect(parameters, cells["relative_time"].to_numpy()))


def reading(parameters: WeightsParameters, found: dict[str, Estimate], frame: pd.DataFrame) -> str:
    """Where the two-way coefficient lies, noise apart, beside the true effects that it averages."""
    effects = frame.loc[frame["period"] >= frame["start"], "effect"]
    truth, said = effects.mean(), without_noise(found["twfe"], parameters)
    spread = effects.max() - effects.min()
    if spread < 1e-9:
        return "Here the effect is the same everywhere, so every average of it is right, two-way fixed effects too."
    apart = f"Without noise it would say {rounded(said, 0.1)}, and the true mean effect is {rounded(truth, 0.1)}"
    if abs(said - truth) < 0.05 * spread:
        return f"{apart}: close, for the weights happen to balance."
    if said * truth < 0:
        return f"{apart}: the sign is wrong."
    if not effects.min() <= said <= effects.max():
        return f"{apart}: the coefficient is outside the range of all true effects, so it is no average of them."
    return f"{apart}: the coefficient is an average with other weights than the shares of the effects."


def estimate(parameters: WeightsParameters) -> Result:
    """The two-way coefficient and the estimators that weigh effects by their shares, on one simulated reform."""
    frame = simulate(parameters)
    found = estimates(panel_of(frame))
    sentence = found["twfe"].sentence("Two-way fixed effects: simulated visits", unit="per 100 patients")
    return Result(
        estimates=found,
        headline="twfe",
        sentences=(sentence, reading(parameters, found, frame)),
        notes=("All data are simulated, and trends are parallel: only the weights are wrong.",),
    )


STUDY = Study(
    name="methods/weights",
    title="What does two-way fixed effects average?",
    country="Simulation",
    data=(),
    Parameters=WeightsParameters,
    estimate=estimate,
)
