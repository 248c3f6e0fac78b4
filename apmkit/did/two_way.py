"""Projection on unit and period effects, group by group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class TwoWay:
    """Unit and period effects on the cells of groups.

    Attributes
    ----------
    n : ndarray, shape (n_groups,)
        Number of units, or the sum of their weights.
    profile : ndarray, shape (n_groups, n_periods)
        Weight of a cell within its unit; zero where it does not enter.
    """

    n: np.ndarray
    profile: np.ndarray

    @cached_property
    def share(self) -> np.ndarray:
        """Weight of each period in the mean of a unit, shape (n_groups, n_periods); zero if the unit has no cell."""
        total = self.profile.sum(axis=1, keepdims=True)
        return self.profile / np.where(total > 0, total, 1.0)

    @cached_property
    def period_inverse(self) -> np.ndarray:
        """Generalised inverse of the period block of the normal equations, shape (n_periods, n_periods)."""
        mass = self.n[:, None] * self.profile
        gram = np.diag(mass.sum(axis=0)) - mass.T @ self.share
        return np.linalg.pinv(gram, rcond=1e-11, hermitian=True)

    def within(self, x: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """Deviations from the unit's mean over its cells; `x` has shape (..., groups of the part, n_periods)."""
        return x - (x * self.share[part]).sum(axis=-1, keepdims=True)

    def period_effects(self, sums: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """Period effects, shape (..., n_periods), of sums over units of shape (..., groups of the part, n_periods).

        Those of several parts add up.
        """
        return (self.profile[part] * self.within(sums, part)).sum(axis=-2) @ self.period_inverse

    def residual(self, x: np.ndarray) -> np.ndarray:
        """What unit and period effects do not explain of a regressor with one value per group and period."""
        effects = self.period_effects(self.n[:, None] * x)
        return self.within(x) - self.within(np.broadcast_to(effects[..., None, :], x.shape))
