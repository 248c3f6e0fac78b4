"""The bandwidth with the least mean squared error at a cutoff."""

from __future__ import annotations

import numpy as np

from apmkit.columns import count
from apmkit.designs.discontinuity_fit import Side, covariate_slopes
from apmkit.errors import EstimationError

PILOT = {"triangular": 2.576, "epanechnikov": 2.34, "uniform": 1.843}
"""Constants of the rule of thumb by kernel (Calonico et al. 2014, supplement)."""

FEWEST_DISTINCT = 10
"""Distinct values that a preliminary bandwidth holds on each side when values repeat."""


def mse_bandwidths(sides: list[Side], order: int, kernel: str) -> tuple[float, float]:
    """Bandwidths of the estimate and of its bias, common to both sides.

    Three steps, each with the bandwidth at which squared bias and variance of its target balance: the derivative
    that drives the bias of the bias, the derivative that drives the bias, the jump. A regularisation term, three
    times the variance of the estimated curvature, keeps the bandwidth from exploding where curvature is near zero.

    Raises
    ------
    EstimationError
        Too few distinct values, or no variance of the outcome around its neighbours.

    References
    ----------
    Calonico, S., Cattaneo, M. D. and Titiunik, R. (2014), Econometrica 82(6), with its supplement; Calonico, S.,
    Cattaneo, M. D. and Farrell, M. H. (2020), Econometrics Journal 23(2); with covariates, Calonico et al. (2019),
    Review of Economics and Statistics 101(3).
    """
    x = np.concatenate([side.x for side in sides])
    widest = [np.abs(side.x).max() for side in sides]
    distinct = sum(side.distinct for side in sides)
    smallest = 0.0
    if 1 - distinct / len(x) >= 0.2:
        values = [np.unique(np.abs(side.x)) for side in sides]
        smallest = max(v[min(FEWEST_DISTINCT, len(v)) - 1] for v in values) + 1e-8 * max(widest)
    quartiles = np.quantile(x, [0.25, 0.75])
    spread = min(x.std(ddof=1), (quartiles[1] - quartiles[0]) / 1.349)
    pilot = max(min(PILOT[kernel] * spread * distinct**-0.2, max(widest)), smallest)
    if pilot <= 0:
        raise EstimationError(
            "Half of the running variable is one value, so no bandwidth can be chosen: give bandwidth."
        )

    def balanced(derivative, fit_order, bias_order, bias_bandwidths, regularised):
        parts = [
            _error_terms(side, derivative, fit_order, bias_order, pilot, bandwidth, kernel)
            for side, bandwidth in zip(sides, bias_bandwidths, strict=True)
        ]
        (v_low, b_low, r_low), (v_high, b_high, r_high) = parts
        variance = (2 * derivative + 1) * (v_low + v_high)
        squared_bias = (b_high - b_low) ** 2 + regularised * (r_low + r_high)
        if not variance > 0 or not squared_bias > 0:
            raise EstimationError(
                "The outcome does not vary around its neighbours, so no bandwidth can be chosen: give bandwidth."
            )
        width = (variance / (2 * (fit_order + 1 - derivative) * squared_bias)) ** (1 / (2 * fit_order + 3))
        return min(width, max(widest))

    # A little wider than the data, so that the triangular kernel gives weight to the farthest row.
    everything = [w * (1 + 1e-8) for w in widest]
    third = max(balanced(order + 2, order + 2, order + 3, everything, False), smallest)
    b = balanced(order + 1, order + 1, order + 2, (third, third), True)
    h = balanced(0, order, order + 1, (b, b), True)
    return h, b


def _error_terms(side, derivative, order, bias_order, bandwidth, bias_bandwidth, kernel):
    """Variance, bias and regularisation of a derivative at the cutoff, at a bandwidth of one."""
    near = side.within(bandwidth, kernel)
    for part, needed in ((near, order), (side.within(bias_bandwidth, kernel), bias_order)):
        if part.distinct <= needed:
            raise EstimationError(
                f"{count(part.distinct, 'distinct value')} of the running variable in a preliminary bandwidth on one "
                f"side of the cutoff are too few to choose a bandwidth, which needs {needed + 1}: give bandwidth."
            )
    if side.covariates.shape[1]:
        side = side.adjusted(covariate_slopes([side], order, bandwidth, kernel))
        near = side.within(bandwidth, kernel)
    fit = near.coefficients(order, bandwidth, kernel)
    variance = _variance(near, fit, derivative) * bandwidth ** (2 * derivative + 1)
    per_curvature = fit[derivative] @ near.x ** (order + 1) / bandwidth ** (order + 1 - derivative)
    wide = side.within(bias_bandwidth, kernel)
    curve = wide.coefficients(bias_order, bias_bandwidth, kernel)
    bias = per_curvature * (curve[order + 1] @ wide.y[:, 0])
    return variance, bias, 3 * per_curvature**2 * _variance(wide, curve, order + 1)


def _variance(side: Side, fit: np.ndarray, derivative: int) -> float:
    scores = side.influence(fit[derivative], fit)[:, 0]
    if side.cluster is not None:
        scores = np.bincount(side.cluster, scores)
    return float(scores @ scores)
