"""What a figure of a discontinuity shows: binned means and the local polynomial."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from apmkit.designs.discontinuity_fit import Side

SIDES = ("below", "above")


def binned_means(sides: list[Side], level: float) -> pd.DataFrame:
    """Means of quantile-spaced bins on each side, with t intervals.

    The number of bins has the least integrated mean squared error, by spacings: curvature from a global polynomial of
    order four, variance from neighbours. A value of the running variable is never split between bins.

    Returns
    -------
    DataFrame
        `running` and `outcome` (means of a bin), `ci_low`, `ci_high` (missing with one row), `n`, `side`. Measured from
        the cutoff and from the mean of the outcome.

    References
    ----------
    Calonico, S., Cattaneo, M. D. and Titiunik, R. (2015), Journal of the American Statistical Association 110(512).
    """
    return pd.concat([_bins(side.x, side.y[:, 0], level).assign(side=name)
                      for name, side in zip(SIDES, sides, strict=True)], ignore_index=True)  # fmt: skip


def _bins(x, y, level):
    n, distinct = len(x), int(np.count_nonzero(np.diff(x))) + 1
    bins = 1
    noise = float((np.diff(y) ** 2).sum()) / (2 * n)
    if distinct > 1:
        slope = np.polynomial.Polynomial.fit(x, y, min(4, distinct - 1)).deriv()
        bias = n / 24 * float((np.diff(x) ** 2 * slope((x[1:] + x[:-1]) / 2) ** 2).sum())
        # A constant outcome has neither curvature nor noise: any number of bins shows it.
        best = 20 if noise == 0 else int(np.ceil((2 * bias * n / noise) ** (1 / 3)))
        bins = min(distinct, max(1, best))
    edges = np.quantile(x, np.arange(1, bins) / bins)
    _, at = np.unique(np.searchsorted(edges, x, side="right"), return_inverse=True)
    size = np.bincount(at)
    mean = np.bincount(at, y) / size
    squares = np.bincount(at, (y - mean[at]) ** 2)
    several = size > 1
    half = np.full(len(size), np.nan)
    df = size[several] - 1
    half[several] = special.stdtrit(df, 0.5 + level / 2) * np.sqrt(squares[several] / df / size[several])
    return pd.DataFrame({
        "running": np.bincount(at, x) / size, "outcome": mean, "ci_low": mean - half, "ci_high": mean + half, "n": size,
    })  # fmt: skip


def local_curve(sides: list[Side], h: float, order: int, kernel: str, level: float) -> pd.DataFrame:
    """The polynomials fitted at the cutoff, drawn over the rows they use, with pointwise conventional intervals.

    Returns
    -------
    DataFrame
        `running`, `outcome`, `ci_low`, `ci_high`, `side`. Measured from the cutoff and from the mean of the outcome.
    """
    return pd.concat([_curve(side.within(h, kernel), h, order, kernel, level).assign(side=name)
                      for name, side in zip(SIDES, sides, strict=True)], ignore_index=True)  # fmt: skip


def _curve(near, h, order, kernel, level, points=41):
    weights = near.coefficients(order, h, kernel)
    end = near.x[0] if near.x[0] < 0 else near.x[-1]
    grid = np.linspace(min(end, 0.0), max(end, 0.0), points)
    powers = grid[:, None] ** np.arange(order + 1)
    scores = np.stack([near.influence(row, weights)[:, 0] for row in weights])
    if near.cluster is not None:
        scores = np.stack([np.bincount(near.cluster, row) for row in scores])
    fit = powers @ (weights @ near.y[:, 0])
    variance = np.einsum("pk,kl,pl->p", powers, scores @ scores.T, powers)
    half = special.ndtri(0.5 + level / 2) * np.sqrt(np.maximum(variance, 0))
    return pd.DataFrame({"running": grid, "outcome": fit, "ci_low": fit - half, "ci_high": fit + half})
