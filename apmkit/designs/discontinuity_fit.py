"""Local polynomials beside a cutoff: coefficients as weights on outcomes, jumps and their variance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apmkit.columns import count
from apmkit.errors import EstimationError

NEIGHBOURS = 3
"""Fewest neighbours with which the variance of an outcome is estimated, the number in Calonico et al. (2014)."""

KERNELS = {
    "triangular": lambda u: np.clip(1 - np.abs(u), 0, None),
    "epanechnikov": lambda u: 0.75 * np.clip(1 - u * u, 0, None),
    "uniform": lambda u: 0.5 * (np.abs(u) <= 1),
}


@dataclass(frozen=True, eq=False)
class Side:
    """Rows on one side of the cutoff, sorted by the running variable.

    Attributes
    ----------
    x : ndarray, shape (n,)
        Running variable less the cutoff.
    y : ndarray, shape (n, m)
        Outcome and, in a fuzzy design, treatment, each less its mean.
    covariates : ndarray, shape (n, q)
    cluster : ndarray of int, shape (n,), or None
    tolerance : float
        Distances that differ by no more than this differ by rounding.
    """

    x: np.ndarray
    y: np.ndarray
    covariates: np.ndarray
    cluster: np.ndarray | None
    tolerance: float

    def within(self, bandwidth: float, kernel: str) -> Side:
        """The rows with weight."""
        weighted = KERNELS[kernel](self.x / bandwidth) > 0
        cluster = None if self.cluster is None else self.cluster[weighted]
        return replace(
            self, x=self.x[weighted], y=self.y[weighted], covariates=self.covariates[weighted], cluster=cluster
        )

    def adjusted(self, slopes: np.ndarray) -> Side:
        """Outcomes less `slopes` (q, m) times the covariates."""
        return replace(self, y=self.y - self.covariates @ slopes, covariates=self.covariates[:, :0])

    @property
    def distinct(self) -> int:
        """Number of distinct values of the running variable."""
        return int(np.count_nonzero(np.diff(self.x))) + 1 if len(self.x) else 0

    def powers(self, order: int) -> np.ndarray:
        return self.x[:, None] ** np.arange(order + 1)

    def coefficients(self, order: int, bandwidth: float, kernel: str) -> np.ndarray:
        """Weights on outcomes that give the coefficients of a local polynomial, shape (order + 1, n)."""
        root = np.sqrt(KERNELS[kernel](self.x / bandwidth))
        powers = (self.x / bandwidth)[:, None] ** np.arange(order + 1)
        q, r = np.linalg.qr(root[:, None] * powers)
        return np.linalg.solve(r, q.T) * root / bandwidth ** np.arange(order + 1.0)[:, None]

    def influence(self, weights: np.ndarray, fit: np.ndarray) -> np.ndarray:
        """What each row adds to the error of `weights @ y`, shape (n, m).

        By nearest neighbours; with clusters by residuals of the polynomial with coefficients `fit`, scaled as CR1.
        """
        if self.cluster is None:
            return weights[:, None] * self._beside_neighbours
        n, k, clusters = len(self.x), len(fit), len(np.unique(self.cluster))
        if clusters < 2 or n <= k:
            raise EstimationError(
                f"{count(n, 'row')} in {count(clusters, 'cluster')} on one side of the cutoff give no standard error: "
                "use a wider bandwidth or finer clusters."
            )
        residuals = self.y - self.powers(k - 1) @ (fit @ self.y)
        return np.sqrt((n - 1) / (n - k) * clusters / (clusters - 1)) * weights[:, None] * residuals

    @property
    def _beside_neighbours(self) -> np.ndarray:
        """Outcomes less the mean of their nearest neighbours, scaled to the variance of the outcome, shape (n, m).

        Neighbours are the rows no farther away than the third nearest, all ties included.
        """
        x, n = self.x, len(self.x)
        nearest = min(NEIGHBOURS, n - 1)
        steps = np.arange(1, nearest + 1)
        at = np.arange(n)[:, None]
        down = np.where(at >= steps, x[:, None] - x[np.maximum(at - steps, 0)], np.inf)
        up = np.where(at + steps < n, x[np.minimum(at + steps, n - 1)] - x[:, None], np.inf)
        reach = np.partition(np.hstack([down, up]), nearest - 1, axis=1)[:, [nearest - 1]] + self.tolerance
        low = np.searchsorted(x, x, "left")[at[:, 0] - (down <= reach).sum(axis=1)]
        high = np.searchsorted(x, x, "right")[at[:, 0] + (up <= reach).sum(axis=1)]
        total = np.vstack([np.zeros((1, self.y.shape[1])), np.cumsum(self.y, axis=0)])
        neighbours = (high - low - 1)[:, None]
        mean = (total[high] - total[low] - self.y) / neighbours
        return np.sqrt(neighbours / (neighbours + 1)) * (self.y - mean)


def covariate_slopes(sides: list[Side], order: int, bandwidth: float, kernel: str) -> np.ndarray:
    """Slopes of outcomes on covariates common to `sides`, next to a polynomial on each, shape (q, m)."""
    values = beyond_polynomials(sides, order, bandwidth, kernel)
    n_covariates = sides[0].covariates.shape[1]
    return np.linalg.lstsq(values[:, :n_covariates], values[:, n_covariates:], rcond=1e-9)[0]


def beyond_polynomials(sides: list[Side], order: int, bandwidth: float, kernel: str) -> np.ndarray:
    """Covariates, then outcomes, less a polynomial on each side, weighted, shape (n, q + m).

    What a polynomial explains up to rounding becomes zero.
    """
    left, size = [], 0.0
    for side in (s.within(bandwidth, kernel) for s in sides):
        root = np.sqrt(KERNELS[kernel](side.x / bandwidth))[:, None]
        q, _ = np.linalg.qr(root * (side.x / bandwidth)[:, None] ** np.arange(order + 1))
        values = root * np.hstack([side.covariates, side.y])
        left.append(values - q @ (q.T @ values))
        size = size + (values**2).sum(axis=0)
    values = np.vstack(left)
    return np.where((values**2).sum(axis=0) > 1e-20 * size, values, 0.0)


@dataclass(frozen=True, eq=False)
class Jumps:
    """Jumps of outcome and treatment at the cutoff: conventional in the first row, bias-corrected in the second.

    Attributes
    ----------
    sizes : ndarray, shape (2, m)
    influence : ndarray, shape (2, n, m)
    cluster : ndarray of int, shape (n,), or None
    """

    sizes: np.ndarray
    influence: np.ndarray
    cluster: np.ndarray | None

    @classmethod
    def at_cutoff(cls, sides: list[Side], h: float, b: float, order: int, kernel: str) -> Jumps:
        """Fit `order` within `h`, and its bias by the next order within `b`."""
        sizes, influence, cluster = 0.0, [], []
        for side, sign in zip(sides, (-1, 1), strict=True):
            near = side.within(max(h, b), kernel)
            main, wide = near.coefficients(order, h, kernel), near.coefficients(order + 1, b, kernel)
            corrected = main[0] - (main[0] @ near.x ** (order + 1)) * wide[order + 1]
            sizes = sizes + sign * np.stack([main[0], corrected]) @ near.y
            both = near.influence(main[0], main), near.influence(corrected, wide)
            influence.append(sign * np.stack(both))
            cluster.append(near.cluster)
        clustered = sides[0].cluster is not None
        return cls(sizes, np.concatenate(influence, axis=1), np.concatenate(cluster) if clustered else None)

    def se(self, gradient: np.ndarray) -> np.ndarray:
        """Standard errors, conventional and robust, of a combination of the jumps, shape (2,)."""
        scores = self.influence @ gradient
        if self.cluster is not None:
            scores = np.stack([np.bincount(self.cluster, row) for row in scores])
        return np.sqrt((scores**2).sum(axis=1))
