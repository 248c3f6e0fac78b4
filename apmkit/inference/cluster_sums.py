"""What the clusters of a regression contribute: enough for every cluster variance and for the wild bootstrap.

With Q an orthonormal basis of the regressors (fixed effects among them, in a weighted regression times the root of the
weights), cluster g enters through Q_g'Q_g and Q_g'e_g alone, and a coefficient is d'Q'y for one vector d. Fixed effects
that lie within clusters need no columns: the rest is taken net of them, which leaves the hat matrix between other
columns as it is (Pustejovsky and Tipton 2018, theorem 2, which holds for working variances inverse to the weights).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from apmkit.database.source import READ_THE_ROWS
from apmkit.errors import EstimationError
from apmkit.estimate import Estimate
from apmkit.options import check_estimate

BLOCK = 4_000_000
"""Numbers in a block of cluster matrices, so that memory does not grow with the number of clusters."""


@dataclass(frozen=True, eq=False)
class ClusterSums:
    """Sums over clusters in the coordinates of an orthonormal basis Q.

    Attributes
    ----------
    scores : ndarray, shape (n_clusters, rank)
        Q_g'e_g, e the residuals.
    directions : ndarray, shape (terms, rank)
        The coefficients are directions @ Q'y.
    kind : ndarray of int, shape (n_clusters,)
        Clusters of one kind have the same Q_g'Q_g.
    gram : callable
        ``gram(a, b)`` gives Q_g'Q_g of the kinds from a to b - 1, shape (b - a, rank, rank).
    """

    scores: np.ndarray
    directions: np.ndarray
    kind: np.ndarray
    gram: Callable[[int, int], np.ndarray]

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Clusters in blocks: which, the place of their kind in the block, and Q_g'Q_g of the kinds there."""
        order = np.argsort(self.kind, kind="stable")
        size = max(1, BLOCK // max(1, self.scores.shape[1] ** 2))
        for start in range(0, len(order), size):
            members = order[start : start + size]
            kinds = self.kind[members]
            yield members, kinds - kinds[0], self.gram(kinds[0], kinds[-1] + 1)

    def projected(self) -> np.ndarray:
        """Q_g'Q_g d for each term, shape (terms, n_clusters, rank)."""
        result = np.empty((len(self.directions), *self.scores.shape))
        for members, kind, gram in self.blocks():
            result[:, members] = np.einsum("jq,bqp->jbp", self.directions, gram)[:, kind]
        return result

    def adjusted(self, power: float) -> tuple[np.ndarray, np.ndarray]:
        """Scores d'(I - Q_g'Q_g)^power Q_g'e_g, shape (terms, n_clusters): power -1/2 is CR2, -1 the jackknife.

        Where a cluster alone decides a direction, an eigenvalue of one, that direction counts as zero (the
        Moore-Penrose inverse); the second result, shape (terms, n_clusters), says which terms rest on such a cluster.
        """
        shape = len(self.directions), len(self.scores)
        scores, alone = np.empty(shape), np.empty(shape, dtype=bool)
        length = np.linalg.norm(self.directions, axis=1)[:, None]
        for members, kind, gram in self.blocks():
            shrunk, vectors, decided = _shrinkage(gram)
            turned = self.directions @ vectors  # (kinds, terms, rank)
            inner = np.einsum("bqp,bq->bp", vectors[kind], self.scores[members])
            scores[:, members] = np.einsum("bjp,bp->jb", (turned * shrunk[:, None, :] ** power)[kind], inner)
            on_decided = np.linalg.norm(turned * decided[:, None, :], axis=2).T
            alone[:, members] = (on_decided > 1e-7 * length)[:, kind]
        return scores, alone

    def satterthwaite(self) -> np.ndarray:
        """Degrees of freedom of CR2 for each term under independent errors, shape (terms,).

        Pustejovsky and Tipton (2018), Satterthwaite approximation: with p_g = (I - H)_g' A_g X_g M c for the contrast c
        of a term, (sum of p_g'p_g)^2 / sum of (p_g'p_h)^2; p_g'p_h = [g = h] own_g - shared_g . shared_h.
        """
        terms, n_clusters = len(self.directions), len(self.scores)
        own, shared = np.empty((terms, n_clusters)), np.empty((terms, *self.scores.shape))
        for members, kind, gram in self.blocks():
            shrunk, vectors, _ = _shrinkage(gram)
            turned = self.directions @ vectors
            part = np.where(np.isfinite(shrunk), 1 - shrunk, 0.0)[:, None, :] * turned
            root = shrunk[:, None, :] ** -0.5
            own[:, members] = (turned * part * root**2).sum(axis=2).T[:, kind]
            shared[:, members] = np.einsum("bjp,bqp->jbq", part * root, vectors)[:, kind]
        inside = (shared**2).sum(axis=2)
        cross = np.einsum("jgp,jgq->jpq", shared, shared, optimize=True)
        total = (own - inside).sum(axis=1)
        squares = (own**2 - 2 * own * inside).sum(axis=1) + (cross**2).sum(axis=(1, 2))
        return total**2 / squares


def _shrinkage(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues of I - Q_g'Q_g (infinite where zero, so that a negative power is zero), vectors, where zero."""
    values, vectors = np.linalg.eigh(gram)
    decided = values > 1 - 1e-9
    return np.where(decided, np.inf, 1 - values), vectors, decided


def of_estimate(estimate: Estimate) -> ClusterSums:
    """The sums behind a two-way fixed effects estimate.

    Raises
    ------
    EstimationError
        The estimate is not from a regression.
    """
    combination, regression = regression_of(estimate)
    group, cells = residual_cells(estimate)
    groups, basis = combination.moments.groups, regression.basis
    n_clusters, rank = groups.panel.n_clusters, len(basis)
    scores = np.zeros((n_clusters, rank))
    by_group = np.moveaxis(basis * groups.profile, 0, 2)  # (groups, periods, rank)
    starts = combination.moments.starts
    if len(cells) == len(groups.n):
        pair_scores = np.einsum("ktp,kt->kp", by_group, cells)
    else:
        pair_scores = np.concatenate([cells[a:b] @ by_group[k] for k, (a, b) in enumerate(itertools.pairwise(starts))])
    cluster, mass = combination.moments.cluster, combination.moments.rows[:, -1]
    np.add.at(scores, cluster, pair_scores)
    directions = np.tensordot(combination.weights * groups.n[:, None], basis, axes=([1, 2], [1, 2]))
    kind, pairs = np.arange(n_clusters), (cluster, group, mass)
    if len(cells) == n_clusters:
        # One group in each cluster: those with the same group and weight are of one kind.
        kinds, of_pair = np.unique(np.column_stack([group, mass]), axis=0, return_inverse=True)
        kind = np.empty(n_clusters, dtype=int)
        kind[cluster] = of_pair.ravel()
        pairs = np.arange(len(kinds)), kinds[:, 0].astype(int), kinds[:, 1]
    counts = sparse.csr_array((pairs[2], pairs[:2]), shape=(int(kind.max()) + 1, len(groups.n)))

    def gram(a: int, b: int) -> np.ndarray:
        part = counts[a:b].tocsc()
        used = np.flatnonzero(np.diff(part.indptr))
        own = np.moveaxis(basis[:, used] * np.sqrt(groups.profile[used]), 0, 1)
        return (part[:, used] @ (own @ own.transpose(0, 2, 1)).reshape(len(used), -1)).reshape(b - a, rank, rank)

    return ClusterSums(scores, directions, kind, gram)


def of_arrays(
    x: np.ndarray, residuals: np.ndarray, clusters: np.ndarray, weights: np.ndarray | None
) -> tuple[ClusterSums, np.ndarray]:
    """The sums of a regression given by arrays, and the labels of its clusters in the order of the sums."""
    labels, codes = np.unique(clusters, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    root = np.ones(len(order)) if weights is None else np.sqrt(weights[order])
    scale = np.linalg.norm(x, axis=0)
    basis, r = np.linalg.qr(x[order] / np.where(scale > 0, scale, 1.0) * root[:, None])
    if np.abs(np.diag(r)).min() < 1e-9 * np.abs(np.diag(r)).max():
        raise EstimationError("The regressors are collinear: leave one of them out.")
    starts = np.searchsorted(codes[order], np.arange(len(labels) + 1))
    scores = np.add.reduceat(basis * (residuals[order] * root)[:, None], starts[:-1], axis=0)
    directions = np.linalg.inv(r) / scale[:, None]

    def gram(a: int, b: int) -> np.ndarray:
        rows = basis[starts[a] : starts[b]]
        return np.add.reduceat(rows[:, :, None] * rows[:, None, :], starts[a:b] - starts[a], axis=0)

    return ClusterSums(scores, directions, np.arange(len(labels)), gram), labels


def regression_of(estimate: Estimate):
    """The combination of an estimate and its regression.

    Raises
    ------
    EstimationError
        The estimate is not from a regression.
    """
    check_estimate(estimate)
    combination, variance = estimate.combination, estimate.diagnostics.get("cluster_variance")
    if combination is None and variance:
        raise EstimationError(f"{variance} keeps no sums of the regression: give the estimate as it was before.")
    if getattr(combination, "regression", None) is None:
        raise EstimationError(
            f"{estimate.estimator} is no two-way fixed effects regression with its sums at hand: use twfe, event_study "
            "or sun_abraham, or multiplier_bootstrap, which takes any influence function."
        )
    return combination, combination.regression


def residual_cells(estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """Group, and sum of residuals by period, of each pair of group and cluster: shapes (pairs,) and (pairs, n_periods).

    Where a period is not observed the number has no meaning; weights on it are zero.

    Raises
    ------
    EstimationError
        The estimate is not from a regression, or its panel keeps no rows of single units.
    """
    combination, regression = regression_of(estimate)
    if combination.moments.cluster is None:
        raise EstimationError(f"A panel of a file or relation keeps no scores of single units: {READ_THE_ROWS}.")
    moments, effects = combination.moments, regression.effects
    group = np.repeat(np.arange(len(moments.groups.n)), np.diff(moments.starts))
    sums = moments.rows[:, :-1]
    within = sums - (sums * effects.share[group]).sum(axis=1, keepdims=True)
    return group, within - moments.rows[:, -1:] * effects.within(regression.fitted)[group]
