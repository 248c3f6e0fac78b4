"""Intervals under a bound on how fast a difference in trends can change its slope."""

from __future__ import annotations

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
        lengths = [half_length(x, m) for x in path]
        best = int(np.argmin(lengths))
        x, shortest = path[best], lengths[best]
        for start, end in zip(path[max(best - 1, 0) : best + 1], path[max(best, 1) : best + 2], strict=False):
            along = optimize.minimize_scalar(
                lambda share, a=start, b=end: half_length(a + share * (b - a), m),
                bounds=(0.0, 1.0),
                method="bounded",
                options={"xatol": 1e-9},
            )
            if along.fun < shortest:
                x, shortest = start + along.x * (end - start), along.fun
        centre = float((fixed + free @ x) @ coefficients.estimates)
        return centre - shortest, centre + shortest

    return interval


def _penalised_path(quadratic: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Corners of the path of the minimisers of x'Qx/2 + q'x + penalty sum |x|, from a prohibitive penalty to none.

    Between corners the path is straight: only x other than zero move, and one starts or stops being zero at each corner
    (Osborne, Presnell and Turlach 2000; Efron et al. 2004).
    """
    size = len(linear)
    x, sign = np.zeros(size), np.zeros(size)
    corners = [x]
    penalty, dropped = np.inf, -1
    while size:
        active = sign != 0
        inside = np.linalg.solve(quadratic[np.ix_(active, active)], np.c_[-linear[active], sign[active]])
        start, rate = np.zeros((2, size))
        start[active], rate[active] = inside.T
        # At a penalty p the active x are start - p rate, and the gradient of the others is level - p tilt.
        level, tilt = linear + quadratic @ start, quadratic @ rate
        joins = np.full((2, size), -np.inf)
        for row, side in zip(joins, (1.0, -1.0), strict=True):
            meets = ~active & (np.abs(tilt + side) > 1e-14)
            row[meets] = level[meets] / (tilt[meets] + side)
        leaves = np.full(size, -np.inf)
        moving = active & (rate != 0)
        leaves[moving] = start[moving] / rate[moving]
        events = np.vstack([joins, leaves])
        events[events >= penalty * (1 - 1e-12)] = -np.inf
        if dropped >= 0:
            events[:2, dropped][events[:2, dropped] >= penalty * (1 - 1e-7)] = -np.inf
        kind, index = np.unravel_index(np.argmax(events), events.shape)
        penalty = max(events[kind, index], 0.0)
        x = np.where(active, start - penalty * rate, 0.0)
        corners.append(x)
        if penalty == 0:
            break
        dropped = index if kind == 2 else -1
        sign[index] = 0.0 if kind == 2 else (-1.0 if kind == 0 else 1.0)
        x[index] = 0.0
    return np.array(corners)


def folded_normal_quantile(mean: float, level: float) -> float:
    """Quantile of |Z + mean|, Z standard normal."""
    low, high = mean + special.ndtri(level), mean + special.ndtri(0.5 + level / 2)
    if mean > 9:
        return float(low)
    return optimize.brentq(lambda c: special.ndtr(c - mean) - special.ndtr(-c - mean) - level, low, high + 1e-9,
                           xtol=1e-14)  # fmt: skip
