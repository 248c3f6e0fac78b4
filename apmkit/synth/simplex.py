"""Least squares over the simplex, many problems at once, solved exactly."""

from __future__ import annotations

import numpy as np

_SMALLEST_RIDGE = 1e-9
_TOLERANCE = 1e-13


def simplex_least_squares(points: np.ndarray, ridge: np.ndarray | float = 0.0) -> np.ndarray:
    """Weights of the point of each convex hull that is nearest to the origin.

    Minimises ``|points @ w|^2 + ridge^2 |w|^2`` over ``w >= 0`` with ``sum(w) = 1``. The weights of a synthetic control
    are this problem with `points` = outcomes of the donors less those of the treated unit. An active-set method
    (Wolfe 1976, "Finding the nearest point in a polytope"; Lawson & Hanson 1974, ch. 23) ends at a point that meets the
    Karush-Kuhn-Tucker conditions up to rounding, where Frank-Wolfe or interior-point methods stop near one.

    Parameters
    ----------
    points : ndarray, shape (problems, rows, weights)
    ridge : ndarray of shape (problems,), or float
        At least 1e-9 of the largest entry is used, which picks the weights of least norm where many fit equally well.

    Returns
    -------
    ndarray, shape (problems, weights)

    Examples
    --------
    >>> simplex_least_squares(np.array([[[1.0, -1.0, 0.0], [1.0, 1.0, 3.0]]]))
    array([[0.5, 0.5, 0. ]])
    """
    count, _, size = points.shape
    scale = np.abs(points).max(axis=(1, 2), initial=0.0)
    scale = np.where(scale > 0, scale, 1.0)
    points = points / scale[:, None, None]
    ridge = np.maximum(np.broadcast_to(ridge, count) / scale, _SMALLEST_RIDGE)

    weights = np.zeros((count, size))
    support = np.ones((count, size), dtype=bool)
    open_ = np.arange(count)
    while open_.size:
        # Start from all donors and drop every negative weight at once: close to the solution after a few rounds.
        weights[open_] = _unconstrained(points[open_], ridge[open_], support[open_])
        negative = support[open_] & (weights[open_] <= 0)
        support[open_] &= ~negative
        open_ = open_[negative.any(axis=1)]

    open_, loss = np.arange(count), np.full(count, np.inf)
    while open_.size:
        slack, now = optimality(points[open_], ridge[open_], weights[open_])
        slack[support[open_]] = 0
        enter = slack.argmin(axis=1)
        unfinished = (slack.min(axis=1) < -_TOLERANCE) & (now < loss[open_])
        loss[open_] = now
        open_, enter = open_[unfinished], enter[unfinished]
        support[open_, enter] = True
        _descend(points, ridge, weights, support, open_)
    return weights + 0.0  # no negative zeros


def optimality(points: np.ndarray, ridge: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduced gradient (at an optimum: zero where a weight is positive, else not negative) and loss of each problem."""
    fit = points @ weights[:, :, None]
    gradient = (points.transpose(0, 2, 1) @ fit)[:, :, 0] + np.square(ridge)[:, None] * weights
    loss = (weights * gradient).sum(axis=1)
    return gradient - loss[:, None], loss


def _descend(points, ridge, weights, support, open_):
    """Move to the minimum on each support; where a weight would turn negative, stop there and drop it."""
    while open_.size:
        start = weights[open_]
        move = _unconstrained(points[open_], ridge[open_], support[open_]) - start
        blocked = support[open_] & (start + move <= 0)
        limits = np.where(blocked, start / np.where(blocked, -move, 1.0), np.inf)
        limits[blocked & (start == 0)] = 0.0
        step = np.minimum(limits.min(axis=1), 1.0)
        drop = blocked & (limits <= step[:, None])
        weights[open_] = np.where(drop, 0.0, np.maximum(start + step[:, None] * move, 0.0))
        support[open_] &= ~drop
        open_ = open_[blocked.any(axis=1)]


def _unconstrained(points, ridge, support):
    """Minimum over weights on the support that sum to one and may be negative.

    These are the normalised solution of ``points @ u = 0, sum(u) = 1`` by ridge regression. The singular value
    decomposition keeps the condition number that normal equations would square, and is small however many donors.
    """
    count, rows, _ = points.shape
    used = np.argsort(~support, axis=1, kind="stable")[:, : support.sum(axis=1).max()]
    system = np.ones((count, rows + 1, used.shape[1]))
    system[:, :rows] = np.take_along_axis(points, used[:, None, :], axis=2)
    system *= np.take_along_axis(support, used, axis=1)[:, None, :]
    left, values, right = np.linalg.svd(system, full_matrices=False)
    shrunk = left[:, -1] * values / (np.square(values) + np.square(ridge)[:, None])
    solution = np.zeros(support.shape)
    np.put_along_axis(solution, used, (shrunk[:, None, :] @ right)[:, 0], axis=1)
    return solution / solution.sum(axis=1, keepdims=True)
