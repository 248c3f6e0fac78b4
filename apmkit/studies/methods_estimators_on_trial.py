"""Which estimator finds a known effect? Simulated reforms, each with one assumption broken."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

import apmkit as apm
from apmkit.errors import DesignWarning, EstimationError
from apmkit.estimate import Estimate
from apmkit.panel import Panel
from apmkit.plots.style import axes
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.shocks import fading

WORLDS = {
    "plain": "All assumptions hold; one effect for all",
    "uneven effects": "Effects grow with time and differ between cohorts",
    "anticipation": "Practices respond one period before the start",
    "differential trends": "The treated were on another trend",
    "past spending": "Practices join after a bad year",
    "few clusters": "Regions start, not practices, and share shocks",
    "exit": "Effects differ, and treated practices with high spending leave",
}
"""What is broken in each simulated world."""

ESTIMATORS: dict[str, tuple[str, Callable[[Panel], Estimate]]] = {
    "twfe": ("Two-way fixed effects", apm.twfe),
    "sun_abraham": ("Sun-Abraham", lambda panel: apm.sun_abraham(panel).aggregate("simple")),
    "callaway_santanna": (
        "Callaway-Sant'Anna, never treated",
        lambda panel: apm.callaway_santanna(panel).aggregate("simple"),
    ),
    "not_yet_treated": (
        "Callaway-Sant'Anna, not yet treated",
        lambda panel: apm.callaway_santanna(panel, control="not_yet_treated").aggregate("simple"),
    ),
    "anticipation_allowed": (
        "Callaway-Sant'Anna, one period of anticipation",
        lambda panel: apm.callaway_santanna(panel, anticipation=1).aggregate("simple"),
    ),
    "doubly_robust": (
        "Callaway-Sant'Anna, doubly robust on first outcome",
        lambda panel: apm.callaway_santanna(panel, covariates=["first"]).aggregate("simple"),
    ),
    "imputation": ("Imputation", lambda panel: apm.imputation(panel).aggregate("simple")),
    "two_stage": ("Two-stage", apm.two_stage),
    "synthetic_did": (
        "Synthetic difference-in-differences, practices without gaps",
        lambda panel: apm.staggered_synthetic_did(panel.restrict(panel.observed.all(axis=1)), variance="jackknife"),
    ),
    "cr2": ("Two-way fixed effects, errors for few clusters", lambda panel: apm.cluster_variance(apm.twfe(panel))),
}
"""Words for each estimator, and how it gives one number."""

STARTS = (0.4, 0.55, 0.7)
"""When cohorts start, as a share of the periods."""


class TrialParameters(Parameters):
    """Parameters of the simulated worlds; see ``apmkit studies methods/estimators_on_trial``."""

    effect: float = Field(
        -0.5, ge=-5, le=5, description="Effect in the first period, in standard deviations of a shock."
    )
    growth: float = Field(0.5, ge=0, le=2, description="Growth per period, as a share of it, where effects are uneven.")
    anticipation: float = Field(0.5, ge=0, le=1, description="Share of the effect one period early.")
    trend: float = Field(0.1, ge=0, le=1, description="Extra rise per period among the treated, where trends differ.")
    selection: float = Field(2.0, ge=0, le=10, description="How strongly a bad year leads to joining.")
    clusters: int = Field(12, ge=6, le=50, description="Number of regions, where regions start.")
    exit: float = Field(0.3, ge=0, le=0.5, description="Chance per period that a treated practice leaves.")
    units: int = Field(150, ge=60, le=2_000, description="Practices in each simulated panel.")
    periods: int = Field(8, ge=6, le=20, description="Periods in each simulated panel.")
    draws: int = Field(60, ge=20, le=2_000, description="Simulated panels for each world.")
    seed: int = Field(1, ge=0, le=1_000_000, description="Seed of the simulation.")


@dataclass(frozen=True)
class Draw:
    """One simulated panel: outcomes without treatment, effects, and who was seen; shape (units, periods)."""

    starts: np.ndarray
    cluster: np.ndarray
    untreated: np.ndarray
    effects: np.ndarray
    observed: np.ndarray


def simulate(world: str, parameters: TrialParameters, random: np.random.Generator) -> Draw:
    """Draw one panel of a world.

    Outcomes have practice effects, period effects and shocks that fade by half in a period. A third of the practices
    are never treated; the others start in three waves.
    """
    n, periods = parameters.units, parameters.periods
    starts = np.array([*(round(share * periods) for share in STARTS), np.inf])
    cluster = np.arange(n)
    shocks = fading(random.normal(size=(n, periods)))
    wave = 2 * n // 9
    sizes = [wave, wave, wave, n - 3 * wave]
    if world == "few clusters":
        cluster = np.arange(n) % parameters.clusters
        shocks += 0.5 * fading(random.normal(size=(parameters.clusters, periods)))[cluster]
        waves = np.resize([3, 0, 1, 2], parameters.clusters)
        own_start = starts[random.permutation(waves)[cluster]]
    elif world == "past spending":
        own_start = np.full(n, np.inf)
        for start in starts[:-1]:
            pull = parameters.selection * shocks[:, int(start) - 1] + random.logistic(size=n)
            pull[np.isfinite(own_start)] = -np.inf
            own_start[np.argsort(-pull)[:wave]] = start
    else:
        own_start = random.permutation(np.repeat(starts, sizes))
    time = np.arange(periods)
    since = time - own_start[:, None]
    untreated = random.normal(size=(n, 1)) + 0.2 * time + shocks
    if world == "differential trends":
        untreated += parameters.trend * time * np.isfinite(own_start)[:, None]
    effects = np.where(since >= 0, parameters.effect, 0.0)
    if world == "uneven effects":
        size = np.select([own_start == starts[0], own_start == starts[1]], [1.5, 1.0], 0.5)[:, None]
        effects *= size * (1 + parameters.growth * np.maximum(since, 0))
    if world == "anticipation":
        effects = np.where(since == -1, parameters.anticipation * parameters.effect, effects)
    observed = np.ones((n, periods), dtype=bool)
    if world == "exit":
        effects = effects * (1 + random.normal(size=(n, 1)))
        likely = 2 * parameters.exit / (1 + np.exp(-2 * (shocks + effects - parameters.effect)))
        leaves = (random.uniform(size=(n, periods)) < likely) & (since >= 0)
        observed[:, 1:] = ~np.logical_or.accumulate(leaves, axis=1)[:, :-1]
    return Draw(own_start, cluster, untreated, effects, observed)


def panel_of(draw: Draw, *, with_effect: bool) -> Panel:
    """The panel that an evaluator would see."""
    unit, period = np.nonzero(draw.observed)
    outcomes = draw.untreated + draw.effects if with_effect else draw.untreated
    frame = pd.DataFrame(
        {
            "practice": unit,
            "period": period,
            "spending": outcomes[unit, period],
            "start": np.where(np.isinf(draw.starts), np.nan, draw.starts)[unit],
            "region": draw.cluster[unit],
            "first": draw.untreated[unit, 0],
        }
    )
    clustered = len(np.unique(draw.cluster)) < len(draw.cluster)
    return Panel(
        frame, unit="practice", time="period", outcome="spending", cohort="start",
        cluster="region" if clustered else None, covariates=["first"],
    )  # fmt: skip


def trial(parameters: TrialParameters, worlds: Sequence[str] = tuple(WORLDS)) -> pd.DataFrame:
    """Every estimator on each of the worlds.

    Each world is drawn `draws` times, once with its effects and once, from the same shocks, without any. The truth is
    the mean effect over all treated practices and periods, also of practices that left.

    Returns
    -------
    DataFrame
        One row per world and estimator: `world`, `estimator`, `effect` (mean truth), `bias`, `bias_se` (its Monte Carlo
        error), `rmse`, `size` (share of draws without effects that reject at 5 percent), `coverage` (share of 95
        percent intervals that hold the truth), `power` (share of draws with effects that reject), and `draws` (those in
        which the estimator gave an answer).
    """
    from joblib import Parallel, delayed

    scores = Parallel(n_jobs=-1)(delayed(_on_trial)(world, parameters) for world in worlds)
    return pd.DataFrame([row for rows in scores for row in rows])


def _on_trial(world: str, parameters: TrialParameters) -> list[dict]:
    random = np.random.default_rng([parameters.seed, list(WORLDS).index(world)])
    found, truths = {name: [] for name in ESTIMATORS}, []
    for _ in range(parameters.draws):
        draw = simulate(world, parameters, random)
        truths.append(draw.effects[np.arange(parameters.periods) >= draw.starts[:, None]].mean())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            panels = [panel_of(draw, with_effect=effect) for effect in (True, False)]
            for name, (_, estimator) in ESTIMATORS.items():
                found[name].append(_answers(estimator, panels, truths[-1]))
    return [
        {"world": world, "estimator": name, "effect": np.mean(truths),
         **_score(np.array([answer for answer in answers if answer is not None]))}
        for name, answers in found.items()
    ]  # fmt: skip


def _answers(estimator, panels, truth) -> tuple[float, ...] | None:
    """Error, whether the interval holds the truth, and whether zero is rejected with and without effects."""
    try:
        real, null = (estimator(panel).table.iloc[0] for panel in panels)
    except EstimationError:
        return None
    return (real.estimate - truth, real.ci_low <= truth <= real.ci_high, real.p_value < 0.05, null.p_value < 0.05)


def _score(answers: np.ndarray) -> dict[str, float]:
    if len(answers) < 2:
        return dict.fromkeys(("bias", "bias_se", "rmse", "size", "coverage", "power"), np.nan) | {"draws": len(answers)}
    error, covers, rejects, rejects_null = answers.T
    return {
        "bias": error.mean(),
        "bias_se": error.std(ddof=1) / np.sqrt(len(error)),
        "rmse": np.sqrt((error**2).mean()),
        "size": rejects_null.mean(),
        "coverage": covers.mean(),
        "power": rejects.mean(),
        "draws": len(error),
    }


def bias_of(table: pd.DataFrame, estimator: str) -> Estimate:
    """Bias of one estimator in each world, with its Monte Carlo error."""
    rows = table[(table["estimator"] == estimator) & (table["draws"] > 1)]
    return Estimate.from_covariance(
        pd.DataFrame({"term": rows["world"]}),
        rows["bias"].to_numpy(),
        np.diag(rows["bias_se"] ** 2),
        estimand="bias",
        estimator=ESTIMATORS[estimator][0],
        outcome="spending",
        n_obs=int(rows["draws"].sum()),
        n_units=int(rows["draws"].max()),
        n_clusters=int(rows["draws"].max()),
        details={"trial": table},
    )


def estimate(parameters: TrialParameters) -> Result:
    """Bias of every estimator in every world."""
    table = trial(parameters)
    scores = table[table["estimator"] == "callaway_santanna"].set_index("world")
    honest = [world for world in scores.index if scores.loc[world, "coverage"] >= 0.9]
    broken = [world for world in scores.index if scores.loc[world, "coverage"] < 0.9]
    says = f"In {len(honest)} of {len(scores)} worlds at least 90 percent of its intervals hold the truth"
    return Result(
        estimates={name: bias_of(table, name) for name in ESTIMATORS},
        headline="callaway_santanna",
        sentences=(
            f"Callaway-Sant'Anna on simulated data. {says}"
            + (f"; it fails with {', '.join(broken)}." if broken else "."),
        ),
        notes=("All data are simulated; the size of a bias depends on how strongly an assumption is broken.",),
    )


def plot(table: pd.DataFrame, *, ax=None):
    """Estimators by worlds: the bias as a share of the effect, coloured by how often intervals hold the truth.

    Parameters
    ----------
    table : DataFrame
        From `trial`.
    ax : Axes, optional
        Where to draw.
    """
    import seaborn as sns

    share = table.assign(share=100 * table["bias"] / table["effect"].abs().replace(0, np.nan))
    wide = {
        column: share.pivot_table(index="estimator", columns="world", values=column, dropna=False)
        .reindex(index=list(ESTIMATORS), columns=list(WORLDS))
        for column in ("bias", "share", "coverage")
    }  # fmt: skip
    if wide["share"].isna().all(axis=None):
        words = wide["bias"].map(lambda value: "" if np.isnan(value) else f"{value:+.2f}")
    else:
        words = wide["share"].map(lambda value: "" if np.isnan(value) else f"{value:+.0f}%")
    words += wide["coverage"].map(lambda value: "" if np.isnan(value) else f"\n{100 * value:.0f}")
    if ax is None:
        ax = axes(None, height=1.2 + 0.5 * len(ESTIMATORS))
        ax.figure.set_figwidth(9)
    sns.heatmap(
        wide["coverage"], ax=ax, cmap="cividis", vmin=0, vmax=1, annot=words, fmt="", linewidths=0.8,
        linecolor="white", annot_kws={"fontsize": 8},
    )  # fmt: skip
    names = [textwrap.fill(words, 24) for words, _ in ESTIMATORS.values()]
    ax.set_yticks(ax.get_yticks(), names, rotation=0, fontsize=8.5)
    ax.set_xticks(ax.get_xticks(), [world.replace(" ", "\n") for world in WORLDS], rotation=0, fontsize=8.5)
    ax.collections[0].colorbar.ax.tick_params(labelsize=8)
    ax.collections[0].colorbar.set_label("Share of 95% intervals that hold the truth", size=9)
    ax.tick_params(length=0)
    ax.set_xlabel("")
    ax.set_ylabel("")
    return ax


STUDY = Study(
    name="methods/estimators_on_trial",
    title="Which estimator finds a known effect?",
    country="Simulation",
    data=(),
    Parameters=TrialParameters,
    estimate=estimate,
)
