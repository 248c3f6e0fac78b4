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
from apmkit.estimate import Estimate
from apmkit.panel import Panel
from apmkit.studies import Parameters, Result, Study
from apmkit.words import rounded

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
    return f"{apart}: it does not weigh the effects by their shares."


def comparison(parameters: WeightsParameters, found: dict[str, Estimate], truth: float) -> pd.DataFrame:
    """A table of the estimators: what they say, what they would say without noise, and the effects they use."""
    rows = []
    for key, (words, _) in ESTIMATORS.items():
        row, used = found[key].table.iloc[0], apm.treatment_weights(found[key])
        rows.append(
            {
                "Estimator": words,
                "Estimate": f"{row['estimate']:.2f}",
                "95% interval": f"{row['ci_low']:.2f} to {row['ci_high']:.2f}",
                "Without noise": f"{without_noise(found[key], parameters):.2f}",
                "Effects it uses": int((used["weight"].abs() > 1e-12).sum()),
                "Negative weights": int((used["weight"] < -1e-12).sum()),
                "Interval holds the true mean": "yes" if row["ci_low"] <= truth <= row["ci_high"] else "no",
            }
        )
    return pd.DataFrame(rows)


def by_growth(parameters: WeightsParameters, twfe: Estimate, grid: np.ndarray) -> pd.DataFrame:
    """True mean effect and two-way coefficient without noise, by growth of the effect; the weights stay the same."""
    cells = apm.treatment_weights(twfe)
    effects = np.array(
        [
            true_effect(parameters.model_copy(update={"growth": float(rate)}), cells["relative_time"].to_numpy())
            for rate in grid
        ]
    )
    return pd.DataFrame({"true mean": effects @ cells["share"], "two-way": effects @ cells["weight"]}, index=grid)


def data_in_words(parameters: WeightsParameters, panel: Panel, truth: float) -> str:
    """Size and timing of the panel, and the true effect."""
    sizes = panel.cohort_sizes
    *first, last = (cohort for cohort in sizes.index if cohort != "never")
    never = int(sizes.get("never", 0))
    later = (
        "the same in every later period" if parameters.growth == 0 else f"{parameters.growth:+g} in each later period"
    )
    return (
        f"The panel has {len(panel.units):,} clinics over {len(panel.periods)} periods. Clinics start in periods "
        f"{', '.join(map(str, first))} and {last}, {sizes[first[0]]:,} of them in the first wave; "
        f"{f'{never:,} never start' if never else 'none is never treated'}. The true effect is {parameters.effect:+g} "
        f"visits per 100 patients in the first period and {later}. Over all treated clinics and periods its mean is "
        f"{rounded(truth, 0.1)}."
    )


def negative_in_words(cells: pd.DataFrame) -> str:
    """How many effects count negatively, and the lowest weight."""
    negative = cells[cells["weight"] < -1e-12]
    if negative.empty:
        return (
            f"None of the {len(cells)} effects has a weight below zero here; the weights still differ from the shares."
        )
    lowest = negative.loc[negative["weight"].idxmin()]
    return (
        f"Of {len(cells)} effects {len(negative)} have a weight below zero, together {negative['weight'].sum():.2f}. "
        f"The lowest, {lowest['weight']:.3f}, belongs to the cohort of period {lowest['cohort']:.0f} in period "
        f"{lowest['period']:.0f}. Clinics of that cohort serve as controls there: the larger their effect, the smaller "
        "the coefficient."
    )


def shape_in_words(cells: pd.DataFrame) -> str:
    """Weight beside share of the first and of the latest time under treatment."""
    first = cells[cells["relative_time"] == 0][["weight", "share"]].sum()
    latest = cells[cells["relative_time"] == cells["relative_time"].max()][["weight", "share"]].sum()
    return (
        f"First periods of treatment hold {first['weight']:.0%} of the weight and {first['share']:.0%} of the treated "
        f"observations; the latest period of the first cohort {latest['weight']:.1%} and {latest['share']:.1%}."
    )


def heterogeneity_in_words(parameters: WeightsParameters, twfe: Estimate) -> str:
    """How much effects would have to differ to undo the coefficient, and how much they do."""
    cells, summary = apm.treatment_weights(twfe), apm.negative_weights(twfe)
    true = true_effect(parameters, cells["relative_time"].to_numpy())
    spread = float(np.sqrt(cells["share"] @ (true - cells["share"] @ true) ** 2))
    if np.isinf(summary["sd_opposite"]):
        flip = "No differences between effects could turn the sign of all of them, because no weight is negative."
    else:
        flip = (
            "All effects could even have the opposite sign if their standard deviation were "
            f"{rounded(summary['sd_opposite'], 0.1)} or more."
        )
    return (
        "With this coefficient and these weights the mean effect could be zero if effects had a standard deviation of "
        f"{rounded(summary['sd_zero'], 0.1)} or more across treated observations. {flip} The true standard deviation "
        f"here is {rounded(spread, 0.1)}."
    )


def comparisons_in_words(parts: pd.DataFrame) -> str:
    """Weight and mean of the comparisons with earlier treated clinics, and of the others."""
    unsound = parts["kind"] == "later vs earlier treated"
    with_earlier, others = (
        np.average(rows["estimate"], weights=rows["weight"]) for rows in (parts[unsound], parts[~unsound])
    )
    return (
        f"Comparisons of later with earlier treated clinics hold {parts.loc[unsound, 'weight'].sum():.0%} of the "
        f"weight; their mean is {rounded(with_earlier, 0.1)}. The others have a mean of {rounded(others, 0.1)}, and "
        f"the two together give the coefficient of {rounded(parts['weight'] @ parts['estimate'], 0.1)}."
    )


def left_out_in_words(table: pd.DataFrame) -> str:
    """Which estimators say nothing of some effects."""
    every = table["Effects it uses"].max()
    fewer = table.loc[table["Effects it uses"] < every, "Estimator"].tolist()
    if not fewer:
        return f"All of them use the same {every} effects."
    return (
        f"Fewer than the {every} effects are used by: {'; '.join(fewer)}. Once every clinic is treated, nobody is left "
        "to compare with, and these estimators say nothing of such effects. Their mean is of the others, so it can "
        "differ from the line."
    )


def signs_in_words(lines: pd.DataFrame) -> str:
    """Where, by growth of the effect, the two-way coefficient has the wrong sign."""
    wrong = (lines["true mean"] * lines["two-way"] < 0).to_numpy()
    if not wrong.any():
        return "With this timing the sign is right at every growth shown; the size is right only where nothing grows."
    ends = np.flatnonzero(np.diff(np.concatenate([[False], wrong, [False]]).astype(int))).reshape(-1, 2)
    stretches = [f"{lines.index[first]:+.1f} to {lines.index[after - 1]:+.1f}" for first, after in ends]
    return f"With this timing the sign is wrong where the effect grows by {', and by '.join(stretches)} per period."


def estimate(parameters: WeightsParameters) -> Result:
    """The two-way coefficient and the estimators that weigh effects by their shares, on one simulated reform."""
    frame = simulate(parameters)
    found = estimates(panel_of(frame))
    sentence = found["twfe"].sentence("Two-way fixed effects: simulated visits", unit="per 100 patients")
    return Result(
        estimates=found,
        headline="twfe",
        sentences=(sentence, reading(parameters, found, frame)),
        notes=("All data are simulated, and trends are parallel: what goes wrong are the weights.",),
        axis="Two-way coefficient, visits per 100 patients",
    )


STUDY = Study(
    name="methods/weights",
    title="What does two-way fixed effects average?",
    country="Simulation",
    data=(),
    Parameters=WeightsParameters,
    estimate=estimate,
    grid={
        "timing": tuple(STARTS),
        "growth": (-1.0, -0.5, 0.0, 0.5, 1.0),
        "never_treated": (0.0, 0.1, 0.3, 0.6),
    },
)
