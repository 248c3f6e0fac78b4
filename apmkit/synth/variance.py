"""Jackknife and bootstrap over units, for one cohort or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from apmkit.columns import show
from apmkit.errors import EstimationError
from apmkit.synth.comparison import Comparison, Fit, pooled

FitAll = Callable[[Sequence[np.ndarray], np.ndarray], list[Fit]]
"""From treated sets of each cohort (sets, n) and donor sets (sets, m) to the fits of each cohort."""

Aggregate = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]
"""From gaps of each cohort (sets, n_periods) and treated units (sets, cohorts) to estimates (sets, terms)."""


def jackknife(comparisons: Sequence[Comparison], fits: Sequence[Fit], aggregate: Aggregate) -> np.ndarray:
    """Covariance from leaving out one unit at a time, weights kept (Arkhangelsky et al. 2021, algorithm 3).

    Deviations are taken from the mean of the leave-one-out estimates, as in R synthdid; the paper takes them from the
    estimate, which adds a term of smaller order.

    Raises
    ------
    EstimationError
        A cohort has one treated unit, or one donor carries all the weight.
    """
    _several_treated(comparisons, "jackknife")
    donors = comparisons[0].donors
    n_units = len(donors) + sum(len(c.treated) for c in comparisons)
    gaps, sizes, first = [], np.empty((n_units, len(comparisons))), len(donors)
    for g, (comparison, estimated) in enumerate(zip(comparisons, fits, strict=True)):
        weights, size = estimated.weights[0], len(comparison.treated)
        if (weights > 1 - 1e-9).any():
            name = show(comparison.panel.units[donors[weights.argmax()]])
            raise EstimationError(
                f"Donor {name} carries all the weight, so that the jackknife cannot leave it out: use "
                "variance='placebo'."
            )
        target, pool = pooled(comparison, comparison.treated[None])[0], comparison.outcomes[donors]
        gap = np.tile(target - weights @ pool, (n_units, 1))
        without = (weights @ pool - weights[:, None] * pool) / (1 - weights)[:, None]
        gap[: len(donors)] = target - without
        own = slice(first, first + size)
        gap[own] += (target - comparison.outcomes[comparison.treated]) / (size - 1)
        sizes[:, g], sizes[own, g] = size, size - 1
        first += size
        gap -= (gap[:, : comparison.n_pre] @ estimated.time_weights[0])[:, None]
        gaps.append(gap)
    left_out = aggregate(gaps, sizes)
    deviations = left_out - left_out.mean(axis=0)
    return (n_units - 1) / n_units * deviations.T @ deviations


def bootstrap(
    comparisons: Sequence[Comparison], fit_all: FitAll, aggregate: Aggregate, *, draws: int, seed: int
) -> np.ndarray:
    """Covariance over samples of units drawn with replacement (Arkhangelsky et al. 2021, algorithm 2).

    Samples without a treated unit of each cohort or with fewer than two donors are drawn again.

    Raises
    ------
    EstimationError
        A cohort has one treated unit.
    """
    _several_treated(comparisons, "bootstrap")
    rng = np.random.default_rng(seed)
    n_units = len(comparisons[0].panel.units)
    label = np.full(n_units, -1)
    for g, comparison in enumerate(comparisons):
        label[comparison.treated] = g
    estimates = []
    while len(estimates) < draws:
        sample = rng.integers(n_units, size=n_units)
        counts = np.bincount(label[sample] + 1, minlength=len(comparisons) + 1)
        if counts[0] < 2 or (counts[1:] == 0).any():
            continue
        treated = [sample[None, label[sample] == g] for g in range(len(comparisons))]
        fits = fit_all(treated, sample[None, label[sample] == -1])
        estimates.append(aggregate([f.gap for f in fits], counts[None, 1:].astype(float))[0])
    deviations = np.array(estimates) - np.mean(estimates, axis=0)
    return deviations.T @ deviations / draws


def _several_treated(comparisons, what):
    for comparison in comparisons:
        if len(comparison.treated) < 2:
            raise EstimationError(
                f"One unit, {show(comparison.panel.units[comparison.treated[0]])}, is first treated in "
                f"{comparison.start}: variance={what!r} needs two treated units in each cohort; use variance='placebo'."
            )
