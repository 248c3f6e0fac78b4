"""Intervals that let a violation after treatment be as large as those seen before it, times a factor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from apmkit.inference.coefficients import Coefficients


def relative_magnitudes_interval(
    coefficients: Coefficients, weights: np.ndarray, level: float
) -> Callable[[float], tuple[float, float]]:
    """Interval of the weighted effect if a violation changes at most `m` times as much after treatment as before.

    The set of violations is a union over the period before treatment with the largest change and over its sign; the
    interval covers the values not rejected for one of them by the conditional test with a least favourable first stage
    of size (1 - level) / 10. For one member of the union, with r its change and e_t the changes of the effect, the
    moments are |change_t - e_t| <= m r. Without the e_t there remain three kinds of inequality: the effect is at most,
    and at least, the weighted coefficients by m r times the sum of |weights on changes|; and m r is not negative.
    All are linear in two estimates, so no linear program is solved and the first stage's critical value is an integral
    over angles.

    Parameters
    ----------
    coefficients : Coefficients
    weights : ndarray, shape (coefficients after the reference,)
    level : float

    References
    ----------
    Rambachan, A. and Roth, J. (2023), Review of Economic Studies 90(5), eq. 8 and section 3; Andrews, I., Roth, J. and
    Pakes, A. (2023), Review of Economic Studies 90(6), sections 4 and 5.
    """
    changes, covariance, k = coefficients.changes, coefficients.covariance, coefficients.n_before
    effect = np.concatenate([np.zeros(k), weights])

    def interval(m: float) -> tuple[float, float]:
        bounds = []
        for largest in np.concatenate([changes[:k], -changes[:k]]):
            two = np.vstack([effect, largest])
            forms = _inequalities(changes[k:], largest, m, weights, covariance)
            found = _accepted(forms, two @ coefficients.estimates, two @ covariance @ two.T, 1 - level)
            if found is not None:
                bounds.append(found)
        low, high = np.transpose(bounds)
        return float(low.min()), float(high.max())

    return interval


def _inequalities(
    after: np.ndarray, largest: np.ndarray, m: float, weights: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """The inequalities free of the changes of the effect, shape (inequalities, 2).

    Each is linear in (estimated effect less effect, largest change before), and at most zero under the hypothesis. Each
    is a sum of moments, divided by the sum of their standard deviations, as the test lets all moments be violated in
    proportion to these. They are the vertices of the dual of the linear program that defines the statistic.
    """
    sd_up, sd_down = (
        np.sqrt(np.einsum("tj,jk,tk->t", rows, covariance, rows))
        for rows in (after - m * largest, -after - m * largest)
    )
    on_changes = np.cumsum(weights[::-1])[::-1]
    size, up = np.abs(on_changes), on_changes > 0
    total = m * size.sum()
    return np.vstack(
        [
            np.array([1.0, -total]) / (size @ np.where(up, sd_up, sd_down)),
            np.array([-1.0, -total]) / (size @ np.where(up, sd_down, sd_up)),
            np.c_[np.zeros(len(size)), -2 * m / (sd_up + sd_down)],
        ]
    )


def _accepted(
    forms: np.ndarray, estimates: np.ndarray, covariance: np.ndarray, size: float
) -> tuple[float, float] | None:
    """Lowest and highest effect not rejected, given estimates and covariance of (effect, largest change before)."""
    first_stage = size / 10
    values, vectors = np.linalg.eigh(covariance)
    loadings = forms @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    critical = _least_favourable(loadings, 1 - first_stage)
    second_stage = (size - first_stage) / (1 - first_stage)
    effect, change = estimates

    def rejected(theta: np.ndarray) -> np.ndarray:
        statistics = forms[:, :1] * (effect - theta) + forms[:, 1:] * change
        return _reject(statistics, loadings @ loadings.T, critical, second_stage)

    # The first stage rejects outside.
    low = effect - (critical - forms[0, 1] * change) / forms[0, 0]
    high = effect - (critical - forms[1, 1] * change) / forms[1, 0]
    if low >= high:
        return None
    grid = np.linspace(low, high, 801)
    inside = np.flatnonzero(~rejected(grid))
    if not len(inside):
        return None

    def edge(outer: int, inner: int) -> float:
        a, b = grid[np.clip(outer, 0, len(grid) - 1)], grid[inner]
        for _ in range(5):
            points = np.linspace(a, b, 65)
            # The inner end is accepted.
            first = int(np.argmin(np.append(rejected(points[:-1]), False)))
            a, b = points[max(first - 1, 0)], points[first]
        return float(b)

    return edge(inside[0] - 1, inside[0]), edge(inside[-1] + 1, inside[-1])


def _reject(statistics: np.ndarray, covariance: np.ndarray, critical: float, size: float) -> np.ndarray:
    """Whether the conditional test rejects that all statistics (rows) have a mean of at most zero, for each column."""
    largest = statistics.argmax(axis=0)
    value = statistics.max(axis=0)
    variance = np.diag(covariance)[largest]
    varies = variance > 0
    sd = np.sqrt(np.where(varies, variance, 1.0))
    ratio = covariance[:, largest] / np.where(varies, variance, 1.0)
    # The largest stays the largest between these values, given what is independent of it.
    with np.errstate(divide="ignore", invalid="ignore"):
        switch = (statistics - ratio * value) / (1 - ratio)
    low = np.where(ratio < 1 - 1e-12, switch, -np.inf).max(axis=0)
    high = np.where(ratio > 1 + 1e-12, switch, np.inf).min(axis=0)
    high = np.minimum(high, critical)
    below_value, below_low, below_high = (special.log_ndtr(-bound / sd) for bound in (value, low, high))
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.exp(below_value - below_low) * np.expm1(below_high - below_value) / np.expm1(below_high - below_low)
    return (value > critical) | (varies & (value > 0) & (tail < size))


def _least_favourable(loadings: np.ndarray, probability: float) -> float:
    """Quantile of the largest of several linear forms in two independent standard normals.

    In the direction of an angle the largest form is the radius times h, so it exceeds c with probability
    exp(-(c / h)^2 / 2) where h > 0.
    """
    angle = (np.arange(2_000) + 0.5) * (2 * np.pi / 2_000)
    h = (loadings @ np.vstack([np.cos(angle), np.sin(angle)])).max(axis=0)
    inverse = 0.5 / h[h > 0] ** 2
    share = (1 - probability) * len(angle)
    top = float(h.max()) * np.sqrt(-2 * np.log(1 - probability))
    return optimize.brentq(lambda c: np.exp(-inverse * c * c).sum() - share, 0.0, top, xtol=1e-12 * top)
