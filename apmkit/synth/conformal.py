"""Conformal inference over time (Chernozhukov, Wuethrich & Zhu 2021): is the gap after treatment like those before?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.errors import PanelError, warn
from apmkit.estimate import Estimate
from apmkit.panel import Panel
from apmkit.synth.augmented import augmented_synthetic_control, augmented_weights
from apmkit.synth.comparison import Comparison, Weigh, fit, pooled
from apmkit.synth.estimators import difference_in_differences, synthetic_control, synthetic_did
from apmkit.synth.judgement import pre_fit_limit, withheld
from apmkit.synth.weights import TIES_ONLY, OutcomeWeights, synthetic_did_weights, uniform_weights

Method = Literal[
    "synthetic_control",
    "synthetic_control_intercept",
    "augmented_synthetic_control",
    "synthetic_did",
    "difference_in_differences",
]
_POINTS = 32
_ROUNDS = 7
_DOUBLINGS = 2.0 ** np.arange(-2, 24)


def conformal_test(
    panel: Panel,
    *,
    method: Method = "synthetic_control",
    null: float | Sequence[float] = 0.0,
    permutations: Literal["moving_block", "iid"] = "moving_block",
    draws: int = 9_999,
    q: float = 1.0,
    seed: int = 0,
) -> pd.Series:
    """Test of the whole path of effects on the treated: residuals under the null, permuted over time.

    The null is taken off the outcomes after treatment and the method is fitted to all periods, so that these residuals
    are alike before and after when the null is true.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort. Several treated units are averaged.
    method : str
        How the outcome without treatment is predicted: "synthetic_control", "synthetic_control_intercept",
        "augmented_synthetic_control" (with the ridge chosen before treatment), "synthetic_did" (its donor weights, all
        periods alike) or "difference_in_differences".
    null : float or sequence of float, shape (n_post_periods,)
        Effect in each period after treatment, in units of the outcome.
    permutations : {"moving_block", "iid"}
        All cyclic shifts of the residuals, which serial correlation does not invalidate, or random orders.
    draws : int
        Random orders; not used by shifts.
    q : float
        The statistic is the sum of absolute residuals after treatment to the power `q`, over the square root of their
        number, to the power 1/q. One is robust to heavy tails, and large values look for short, large effects.
    seed : int
        Of random orders.

    Returns
    -------
    Series
        `statistic`; `p_value`; `p_value_floor`, the least it can be; `n_permutations`, the one observed included.

    Raises
    ------
    PanelError
        As in `synthetic_control`; `null` has the wrong length; an argument is not known.

    Notes
    -----
    The p-value is exact for random orders when residuals are exchangeable over time, and close to it for shifts when
    they are stationary and there are many periods. It does not use the assignment of treatment to units.

    References
    ----------
    Chernozhukov, V., Wuethrich, K. and Zhu, Y. (2021), JASA 116(536), eqs. 2 to 4 and secs. 2.2 and 2.3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> outcome = rng.normal(size=(6, 24))
    >>> outcome[0, 20:] += 3
    >>> frame = pd.DataFrame({"unit": np.repeat(range(6), 24), "year": [*range(2000, 2024)] * 6,
    ...                       "y": outcome.ravel(), "start": [2020] * 24 + [None] * 120})
    >>> panel = Panel(frame, unit="unit", time="year", outcome="y", cohort="start")
    >>> conformal_test(panel, method="difference_in_differences").round(3).to_dict()
    {'statistic': 5.091, 'p_value': 0.042, 'p_value_floor': 0.042, 'n_permutations': 24.0}
    """
    comparison, weigh, _ = _proxy(panel, method)
    n_periods, n_pre = len(panel.periods), comparison.n_pre
    n_post = n_periods - n_pre
    effect = np.asarray(null, dtype=float)
    if effect.shape not in ((), (n_post,)) or not np.isfinite(effect).all():
        raise PanelError(f"null has shape {effect.shape}: give one finite effect, or one for each of {n_post} periods.")
    if permutations not in ("moving_block", "iid"):
        raise PanelError(f"permutations={permutations!r} is not known: give 'moving_block' or 'iid'.")
    if not q >= 1 or draws < 1:
        raise PanelError(f"q={q!r} and draws={draws!r} must be at least 1.")
    target = pooled(comparison, comparison.treated[None])
    target[0, n_pre:] -= effect
    residual = np.abs(_residuals(comparison, weigh, target, np.arange(n_periods))[0])
    if permutations == "moving_block":
        order = (np.arange(n_periods)[:, None] + np.arange(n_periods)) % n_periods
    else:
        rng = np.random.default_rng(seed)
        order = rng.permuted(np.broadcast_to(np.arange(n_periods), (draws + 1, n_periods)), axis=1)
        order[0] = np.arange(n_periods)
    largest = residual.max() or 1.0
    sums = np.power(residual[order[:, n_pre:]] / largest, q).sum(axis=1)
    values = largest * np.power(sums / math.sqrt(n_post), 1 / q)
    return pd.Series(
        {
            "statistic": values[0],
            "p_value": float((values >= values[0] * (1 - 1e-9)).mean()),
            "p_value_floor": 1 / len(order),
            "n_permutations": len(order),
        },
        name="conformal test",
    )


def conformal_intervals(
    panel: Panel, *, method: Method = "synthetic_control", max_pre_fit: float | None = None, level: float = 0.95
) -> Estimate:
    """Effect in each period after treatment, with intervals from inverting the conformal test.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort. For an interval, 1 / (1 - level) periods are needed, one of them after treatment.
    method : str
        As in `conformal_test`.
    max_pre_fit : float, optional
        As in `synthetic_control`: above it p-values and intervals are withheld.
    level : float

    Returns
    -------
    Estimate
        One row for each period after treatment, with `period`, `relative_time`, the gap of `method`, its p-value (null
        of no effect in that period) and an interval; no standard error. Each period is tested with the periods before
        treatment only. Where the accepted values are not one interval, it spans them all. `details` as from `method`.

    Raises
    ------
    PanelError
        As in `conformal_test`.

    Notes
    -----
    With one period after treatment, shifts and random orders are the same: the p-value is the rank of its absolute
    residual among all, and nothing is random. Intervals hold period by period, not for all at once.

    References
    ----------
    Chernozhukov, V., Wuethrich, K. and Zhu, Y. (2021), JASA 116(536), algorithm 1.
    """
    if not isinstance(level, (int, float)) or not 0 < level < 1:
        raise PanelError(f"level={level!r} is not between 0 and 1: give 0.95 for 95% intervals.")
    comparison, weigh, estimate = _proxy(panel, method)
    shifted = method not in ("synthetic_control", "augmented_synthetic_control")
    limit = pre_fit_limit(max_pre_fit, shifted)
    n_pre, periods = comparison.n_pre, panel.periods
    found = estimate()
    path = found.details["path"]
    gaps = path["gap"].to_numpy()[n_pre:]
    alpha = 1 - level
    unbounded = 1 / (n_pre + 1) > alpha + 1e-12
    if unbounded:
        warn(
            f"{n_pre} periods before treatment give no bound at level {level:g}: p-values cannot be below "
            f"{1 / (n_pre + 1):.3f}; use a level up to {n_pre / (n_pre + 1):.3f} or add earlier periods."
        )
    low, high, p_values = np.full(len(gaps), -np.inf), np.full(len(gaps), np.inf), np.empty(len(gaps))
    target = pooled(comparison, comparison.treated[None])[0]
    inside = fit(comparison, weigh, comparison.treated[None], comparison.donors[None])
    # A nearly perfect fit before treatment says nothing of how far the search must go; the noise of the donors does.
    step = max(float(inside.pre_rmspe[0]), 0.01 * comparison.noise) or 1.0
    for at in range(len(gaps)):
        columns = np.append(np.arange(n_pre), n_pre + at)

        def p_of(effects: np.ndarray, columns=columns) -> np.ndarray:
            paths = np.repeat(target[None, columns], len(effects), axis=0)
            paths[:, -1] -= effects
            residual = np.abs(_residuals(comparison, weigh, paths, columns))
            return (residual >= residual[:, -1:] * (1 - 1e-9)).mean(axis=1)

        p_values[at] = p_of(np.zeros(1))[0]
        if not unbounded:
            centre = inside.gap[0, n_pre + at]
            low[at] = centre - _reach(lambda d, c=centre: p_of(c - d) > alpha + 1e-12, step)
            high[at] = centre + _reach(lambda d, c=centre: p_of(c + d) > alpha + 1e-12, step)
    diagnostics = dict(found.diagnostics)
    if diagnostics["pre_fit"] > limit:
        diagnostics["withheld"] = withheld(found.estimator, diagnostics["pre_fit"], limit, shifted=shifted)
        warn(diagnostics["withheld"])
        low[:], high[:], p_values[:] = np.nan, np.nan, np.nan
    terms = pd.DataFrame(
        {
            "term": [f"gap in {period}" for period in periods[n_pre:]],
            "period": periods[n_pre:],
            "relative_time": periods[n_pre:] - comparison.start,
        }
    )
    result = Estimate.from_covariance(
        terms,
        gaps,
        np.full((len(gaps), len(gaps)), np.nan),
        level=level,
        p_values=p_values,
        estimand="effect on the treated by period",
        estimator=f"{found.estimator}, conformal",
        outcome=panel.outcome,
        n_obs=panel.n_obs,
        n_units=len(panel.units),
        n_clusters=len(panel.units),
        diagnostics={
            **diagnostics,
            "inference": f"conformal, ranks among {n_pre + 1} periods",
            "p_value": "rank of the absolute residual among periods",
            "smallest_p_value": 1 / (n_pre + 1),
        },
        details=found.details,
        call=f"conformal_intervals(panel, method={method!r}, max_pre_fit={max_pre_fit}, level={level})",
        panel=panel,
    )
    return replace(result, table=result.table.assign(ci_low=low, ci_high=high))


def _proxy(panel: Panel, method: str) -> tuple[Comparison, Weigh, Callable[[], Estimate]]:
    """How the outcome without treatment is predicted from all periods, and the estimate from those before."""
    comparison = Comparison.of(panel)
    ties = TIES_ONLY * comparison.noise
    if method == "synthetic_control":
        return comparison, OutcomeWeights(ties, False), lambda: synthetic_control(panel, placebo=None)
    if method == "synthetic_control_intercept":
        return comparison, OutcomeWeights(ties, True), lambda: synthetic_control(panel, intercept=True, placebo=None)
    if method == "difference_in_differences":
        return comparison, uniform_weights, lambda: difference_in_differences(panel, placebo=None)
    if method == "synthetic_did":
        ridge = synthetic_did_weights(comparison).strength * comparison.noise
        return comparison, OutcomeWeights(ridge, True), lambda: synthetic_did(panel, placebo=None)
    if method == "augmented_synthetic_control":
        weigh = augmented_weights(comparison)
        everyone = comparison.treated[None], comparison.donors[None]
        ridge = float(weigh.best(*weigh.cross_validation(comparison, *everyone))[0])
        return (
            comparison,
            replace(weigh, ridge=ridge),
            lambda: augmented_synthetic_control(panel, ridge=ridge, placebo=None),
        )
    raise PanelError(f"method={method!r} is not known: give one of {', '.join(Method.__args__)}.")


def _residuals(comparison: Comparison, weigh: Weigh, paths: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Gaps of paths of the treated (paths, columns) in the periods they were fitted to."""
    donors = comparison.outcomes[comparison.donors][:, columns]
    outcomes = np.vstack([donors, paths])
    n = len(donors)
    all_periods = replace(comparison, outcomes=outcomes, n_pre=len(columns))
    treated = np.arange(n, len(outcomes))[:, None]
    return fit(all_periods, weigh, treated, np.broadcast_to(np.arange(n), (len(paths), n))).gap


def _reach(accepted: Callable[[np.ndarray], np.ndarray], step: float) -> float:
    """The farthest accepted distance: doubled until nothing is accepted, then narrowed down."""
    tried = step * _DOUBLINGS
    inside = np.flatnonzero(accepted(tried))
    if len(inside) and inside[-1] == len(tried) - 1:
        return math.inf
    near, far = (tried[inside[-1]], tried[inside[-1] + 1]) if len(inside) else (0.0, tried[0])
    for _ in range(_ROUNDS):
        grid = np.linspace(near, far, _POINTS + 2)
        inside = np.flatnonzero(accepted(grid[1:-1])) + 1
        last = inside[-1] if len(inside) else 0
        near, far = grid[last], grid[last + 1]
    return float(near)
