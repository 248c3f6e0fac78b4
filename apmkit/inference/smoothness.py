"""Intervals under a bound on how fast a difference in trends can change its slope."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from apmkit.inference.coefficients import Coefficients


def smoothness_interval(
    coefficients: Coefficients, weights: np.ndarray, level: float
) -> Callable[[float], tuple[float, float]]:
    """Fixed-length interval of the weighted effect for any bound `m` on second differences of the violation.

    The estimator is the weighted sum of the effects less a weighted sum of the coefficients before treatment, and must
    remove any linear trend. With x_k the weight it puts on the second difference of the violation k periods before the
    reference, it is free in x alone: its variance is quadratic in x, its worst bias is m (constant + sum |x_k|). So the
    best estimators for all m lie on one path of least squares with an absolute-value penalty, computed once.

    Parameters
    ----------
    coefficients : Coefficients
    weights : ndarray, shape (coefficients after the reference,)
    level : float

    References
    ----------
    Rambachan, A. and Roth, J. (2023), Review of Economic Studies 90(5), section 4 and eq. 17; Armstrong, T. and
    Kolesar, M. (2018), Econometrica 86(2), section 3.
    """
    k, after = coefficients.n_before, coefficients.steps[coefficients.after]
    # Nearest to the reference first, the weights before are x_0 - 2 x_1 + x_2, x_1 - 2 x_2 + x_3, ..., and no linear
    # trend is left if x_0 is the response of the weighted effect to a trend of slope one.
    before = np.eye(k) - 2 * np.eye(k, k, 1) + np.eye(k, k, 2)
    fixed = np.concatenate([before[::-1, 0] * (weights @ after), weights])
    free = np.vstack([before[::-1, 1:], np.zeros((len(weights), k - 1))])
    later = np.maximum(after[:, None] - np.arange(len(after))[None, :], 0)
    constant = float(np.abs(weights @ later).sum())

    covariance = coefficients.covariance
    path = _penalised_path(free.T @ covariance @ free, free.T @ covariance @ fixed)

    def half_length(x: np.ndarray, m: float) -> float:
        v = fixed + free @ x
        sd = float(np.sqrt(v @ covariance @ v))
        return sd * folded_normal_quantile(m * (constant + np.abs(x).sum()) / sd, level)

    def interval(m: float) -> tuple[float, float]:
        x, shortest = min(((x, half_length(x, m)) for x in path), key=lambda pair: pair[1])
        for start, end in itertools.pairwise(path):
            along = optimize.minimize_scalar(
                lambda share, a=start, b=end: half_length(a + share * (b - a), m),
                bounds=(0.0, 1.0),
                method="bounded",
                options={"xatol": 1e-9},
            )
            if along.fun < shortest:
                x, shortest = start + along.x * (end - start), along.fun
        centre = (fixed + free @ x) @ coefficients.estimates
        return float(centre - shortest), float(centre + shortest)

    return interval


def _penalised_path(quadratic: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Corners of the path of the minimisers of x'Qx/2 + q'x + penalty sum |x|, from a prohibitive penalty to none.

    Between corners the path is straight: only x other than zero move, and one starts or stops being zero at each corner
    (Osborne, Presnell and Turlach 2000; Efron et al. 2004).
    """
    size = len(linear)
    if size == 0:
        return np.zeros((1, 0))
    sign, penalty, corners = np.zeros(size), np.inf, []
    while penalty > 0:
        active = sign != 0
        inside = np.linalg.solve(quadratic[np.ix_(active, active)], np.c_[-linear[active], sign[active]])
        start, rate = np.zeros((2, size))
        start[active], rate[active] = inside.T
        # At a penalty p the active x are start - p rate, and the gradient of the others is level - p tilt. As p falls,
        # one joins when its gradient outgrows p on either side, and one leaves when it has shrunk to zero.
        level, tilt = linear + quadratic @ start, quadratic @ rate
        events = np.full((3, size), -np.inf)
        for row, side in enumerate((1.0, -1.0)):
            outgrows = ~active & (1 + side * tilt > 1e-12)
            events[row, outgrows] = side * level[outgrows] / (1 + side * tilt[outgrows])
        shrinks = active & (sign * rate < 0)
        events[2, shrinks] = start[shrinks] / rate[shrinks]
        events[events > penalty * (1 + 1e-9)] = -np.inf
        kind, index = np.unravel_index(np.argmax(events), events.shape)
        penalty = min(penalty, max(events[kind, index], 0.0))
        corners.append(np.where(active, start - penalty * rate, 0.0))
        sign[index] = (-1.0, 1.0, 0.0)[kind]
    return np.array(corners)


def folded_normal_quantile(mean: float, level: float) -> float:
    """Quantile of |Z + mean|, Z standard normal."""
    low, high = mean + special.ndtri(level), mean + special.ndtri(0.5 + level / 2)
    if mean > 9:
        return float(low)
    return optimize.brentq(lambda c: special.ndtr(c - mean) - special.ndtr(-c - mean) - level, low, high + 1e-9,
                           xtol=1e-14)  # fmt: skip
