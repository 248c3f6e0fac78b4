"""From a design to an Estimate: the effect, how well the paths met before treatment, and what can be inferred."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.errors import PanelError, warn
from apmkit.estimate import Estimate
from apmkit.synth.comparison import Comparison, Fit, Weigh, fit, pooled
from apmkit.synth.placebo import Placebos, Statistic, placebo_frames, rank_p_value, statistic
from apmkit.synth.variance import bootstrap, jackknife

_POOR_FIT = 0.25
_MAX_PRE_FIT = {False: 1.0, True: 2.0}

_STATISTICS = {
    "rmspe_ratio": "ratio of the root mean squared gap after treatment to the one before",
    "absolute_effect": "absolute estimate",
}

Placebo = Literal["permutation", "in_space"]
Variance = Literal["placebo", "jackknife", "bootstrap"]


@dataclass(frozen=True, eq=False)
class Design:
    """A comparison and how it is weighed.

    Attributes
    ----------
    comparison : Comparison
    weigh : callable
    name : str
    kind : str
        What is ranked among placebos.
    shifted : bool
        Whether a constant distance before treatment is taken out.
    settings : mapping
        For the diagnostics.
    frozen : callable, optional
        `weigh` with the regularisation of the estimate, for its variance.
    describe : callable, optional
        From the fit to further details.
    """

    comparison: Comparison
    weigh: Weigh
    name: str
    kind: Statistic
    shifted: bool
    settings: Mapping = field(default_factory=dict)
    frozen: Weigh | None = None
    describe: Callable[[Fit], dict[str, pd.DataFrame]] | None = None


def judge(
    design: Design,
    *,
    max_pre_fit: float | None,
    placebo: Placebo | None,
    draws: int,
    level: float,
    seed: int,
    call: str,
    variance: Variance = "placebo",
) -> Estimate:
    """Estimate, and infer unless the fit before treatment is too poor."""
    if placebo not in ("permutation", "in_space", None):
        raise PanelError(f"placebo={placebo!r} is not known: give 'permutation', 'in_space' or None.")
    if variance not in ("placebo", "jackknife", "bootstrap"):
        raise PanelError(f"variance={variance!r} is not known: give 'placebo', 'jackknife' or 'bootstrap'.")
    if draws < 1:
        raise PanelError(f"draws={draws} leaves no placebo: give at least 1, or placebo=None.")
    comparison, panel = design.comparison, design.comparison.panel
    limit = pre_fit_limit(max_pre_fit, design.shifted)
    estimated = fit(comparison, design.weigh, comparison.treated[None], comparison.donors[None])
    path, details = _details(comparison, estimated)
    if design.describe is not None:
        details |= design.describe(estimated)
    diagnostics = _pre_fit(comparison, path, estimated, design.shifted) | dict(design.settings)

    square, p_values = np.nan, np.array([np.nan])
    if variance != "placebo":
        if variance == "jackknife":
            square = jackknife([comparison], [estimated], _mean_gap(comparison)).item()
        else:
            frozen = design.frozen or design.weigh
            square = bootstrap(
                [comparison], lambda treated, donors: [fit(comparison, frozen, treated[0], donors)],
                _mean_gap(comparison), draws=draws, seed=seed,
            ).item()  # fmt: skip
        p_values = None
        diagnostics |= {"inference": f"normal, {variance}", "standard_error": f"{variance} (Arkhangelsky et al. 2021)"}
    elif placebo is None:
        diagnostics["inference"] = "none: not asked for"
    else:
        square, p_values = _placebo_inference(design, estimated, placebo, draws, seed, diagnostics, details)

    too_far = diagnostics["pre_fit"]
    asked = placebo is not None or variance != "placebo"
    if asked and too_far > limit:
        square, p_values = np.nan, np.array([np.nan])
        diagnostics["withheld"] = withheld(design.name, too_far, limit, shifted=design.shifted)
        warn(diagnostics["withheld"])
    elif not design.shifted and too_far > _POOR_FIT:
        warn(
            f"{design.name} misses the treated unit before treatment by {too_far:.2f} standard deviations of the "
            f"donors (above {_POOR_FIT}): its gap afterwards may be misfit; try intercept=True or synthetic_did, or "
            "other donors."
        )
    return Estimate.from_covariance(
        pd.DataFrame({"term": ["ATT"]}),
        estimated.effect,
        np.array([[square]]),
        level=level,
        p_values=p_values,
        estimand="ATT",
        estimator=design.name,
        outcome=panel.outcome,
        n_obs=panel.n_obs,
        n_units=len(panel.units),
        n_clusters=len(panel.units),
        diagnostics=diagnostics,
        details=details,
        call=call,
        seed=seed,
        panel=panel,
    )


def pre_fit_limit(max_pre_fit: float | None, shifted: bool) -> float:
    """The largest distance before treatment at which a result is judged."""
    if max_pre_fit is None:
        return _MAX_PRE_FIT[shifted]
    if not max_pre_fit > 0:
        raise PanelError(f"max_pre_fit={max_pre_fit!r} is not above zero: give a number, or math.inf to judge any fit.")
    return float(max_pre_fit)


def withheld(name: str, distance: float, limit: float, *, shifted: bool) -> str:
    """The sentence that says why nothing is inferred."""
    of = "of donors around their own means" if shifted else "across donors"
    return (
        f"{name}: p-value and interval are withheld, because before treatment the paths are {distance:.2f} standard "
        f"deviations {of} apart (above {limit:g}); choose other donors or another design, or raise max_pre_fit."
    )


def distance_before(comparison: Comparison, gap: np.ndarray, *, shifted: bool) -> float:
    """Root mean squared gap before treatment over the spread of the donors; missing where these do not vary.

    The spread is the standard deviation across donors, averaged over periods, as for a standardised difference. Where
    a constant distance is allowed, gap and donors are both taken as deviations from their own means.
    """
    before, donors = gap[: comparison.n_pre], comparison.outcomes[comparison.donors, : comparison.n_pre]
    if shifted:
        before, donors = before - before.mean(), donors - donors.mean(axis=1, keepdims=True)
    spread = _spread(donors)
    return math.sqrt(np.square(before).mean()) / spread if spread > 0 else math.nan


def _spread(donors: np.ndarray) -> float:
    """Standard deviation across donors, averaged over periods."""
    return float(donors.std(axis=0).mean())


def _mean_gap(comparison: Comparison):
    return lambda gaps, sizes: gaps[0][:, comparison.n_pre :].mean(axis=1, keepdims=True)


def _placebo_inference(design, estimated, placebo, draws, seed, diagnostics, details):
    """Placebo variance and rank p-value; adds what they rest on to diagnostics and details."""
    comparison, n_donors = design.comparison, len(design.comparison.donors)
    others = Placebos.among_donors(comparison, design.frozen or design.weigh, draws, seed)
    if others is None:
        what = "inference" if placebo == "in_space" else "standard error"
        warn(f"No {what}: as many treated units as donors leave no placebo among the donors; add donors.")
    ranked = others if placebo == "in_space" else Placebos.among_all(comparison, design.weigh, draws, seed)
    if ranked is None:
        diagnostics["inference"] = "none: as many treated units as donors leave no placebo"
        return np.nan, np.array([np.nan])
    square = np.nan
    if others is not None and n_donors >= 3:
        square = float(others.fit.effect.var())
        details["variance_placebos"] = pd.DataFrame({"unit": others.labels, "estimate": others.fit.effect})
    scale = float(comparison.outcomes.std())
    observed = float(statistic(estimated, design.kind, scale)[0])
    values = statistic(ranked.fit, design.kind, scale)
    p_value = rank_p_value(observed, values)
    details["placebos"], details["placebo_gaps"] = placebo_frames(
        ranked, observed, values, scale, comparison.panel.periods
    )
    if ranked is others:
        kind, pool = "placebo in space", f"{n_donors} donors"
    else:
        kind, pool = "permutation", f"{len(comparison.panel.units)} units"
    sets = "all" if ranked.enumerated else "random"
    diagnostics |= {
        "inference": f"{kind} over {sets} sets of {len(comparison.treated)} of {pool}",
        "p_value": f"rank of the {_STATISTICS[design.kind]}",
        "statistic": observed,
        "rank": int(1 + (values > observed).sum()),
        "n_placebos": len(values),
        "p_value_floor": 1 / (1 + len(values)),
        "standard_error": "placebo (Arkhangelsky et al. 2021, algorithm 4)",
    }
    return square, np.array([p_value])


def _details(comparison: Comparison, estimated: Fit) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    panel = comparison.panel
    treated = pooled(comparison, comparison.treated[None])[0] + comparison.level
    path = pd.DataFrame(
        {"period": panel.periods, "treated": treated, "synthetic": treated - estimated.gap[0], "gap": estimated.gap[0]}
    )
    donors = pd.DataFrame({"unit": panel.units[comparison.donors], "weight": estimated.weights[0]})
    details = {
        "donor_weights": donors.sort_values("weight", ascending=False, kind="stable", ignore_index=True),
        "path": path,
    }
    if estimated.time_weights.any():
        details["time_weights"] = pd.DataFrame({"period": comparison.pre_periods, "weight": estimated.time_weights[0]})
    return path, details


def _pre_fit(comparison: Comparison, path: pd.DataFrame, estimated: Fit, shifted: bool) -> dict:
    """How close the paths were before treatment, in the outcome's units and against its own spread."""
    n_pre = comparison.n_pre
    treated = path["treated"].to_numpy()[:n_pre]
    rmspe = float(estimated.pre_rmspe[0])
    spread = _spread(comparison.outcomes[comparison.donors, :n_pre])
    varies = treated.std() > 1e-12 * max(1.0, np.abs(treated).max())
    return {
        "n_treated": len(comparison.treated),
        "n_donors": len(comparison.donors),
        "n_pre_periods": n_pre,
        "n_post_periods": len(path) - n_pre,
        "pre_rmspe": rmspe,
        "pre_r2": 1 - rmspe**2 / float(treated.var()) if varies else np.nan,
        "pre_rmspe_to_sd": rmspe / spread if spread > 0 else np.nan,
        "pre_fit": distance_before(comparison, estimated.gap[0], shifted=shifted),
        "effective_donors": float(1 / np.square(estimated.weights[0]).sum()),
        "left_out": {},
    }
