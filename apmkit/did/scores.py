"""Estimates that rest on scores of clusters, where weights on all outcomes of all units would be too many to keep."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from apmkit.did.kernel import Groups
from apmkit.errors import ApmkitError
from apmkit.panel import Panel


@dataclass(frozen=True, eq=False)
class Scores:
    """Estimates with the score of each cluster, and what their averages need; in use like `kernel.Combination`.

    Attributes
    ----------
    groups : Groups
    estimates : ndarray, shape (terms,)
    values : ndarray, shape (terms, n_clusters)
    factor : float
        Small-sample factor of the covariance.
    size : ndarray, shape (terms,)
        Weight of a term when terms are averaged.
    share_mass : ndarray, shape (n_groups,)
        What one unit adds to the share of its cohort.
    """

    groups: Groups
    estimates: np.ndarray
    values: np.ndarray
    factor: float
    size: np.ndarray
    share_mass: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        raise ApmkitError(
            "These effects have weights on outcomes of units, not of cohort x period cells, because covariates take "
            "too many values: leave out covariates, or give some of few values, to see weights."
        )

    def covariance(self) -> np.ndarray:
        return self.factor * (self.values @ self.values.T)

    def influence(self) -> np.ndarray:
        """Scores of the clusters, shape (n_clusters, terms), scaled so that their cross-product is the covariance."""
        return math.sqrt(self.factor) * self.values.T

    def averaged(self, matrix: np.ndarray, size: np.ndarray, shift: np.ndarray | None = None) -> Scores:
        """Linear combinations `matrix` (rows, terms) of the terms; `shift` (rows, n_groups) adds to a unit's score."""
        values = matrix @ self.values
        if shift is not None:
            panel = self.groups.panel
            per_unit = shift[:, self.groups.of_unit]
            if panel.weights is not None and panel.weights.ndim == 1:
                per_unit = per_unit * panel.weights
            values += sums_by_cluster(panel, per_unit)
        return Scores(self.groups, matrix @ self.estimates, values, self.factor, size, self.share_mass)


def sums_by_cluster(panel: Panel, per_unit: np.ndarray, units: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Sums over the `units` of each cluster, shape (rows, n_clusters), of values of shape (rows, units)."""
    codes = panel.cluster_codes[units]
    if panel.cluster == panel.unit:
        sums = np.zeros((len(per_unit), len(panel.clusters)))
        sums[:, codes] = per_unit
        return sums
    shape = len(panel.clusters), len(codes)
    belongs = sparse.csc_array((np.ones(len(codes)), codes, np.arange(len(codes) + 1)), shape=shape)
    return (belongs @ per_unit.T).T
