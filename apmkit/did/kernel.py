"""The kernel: an estimator is a weight matrix and a centring.

Units of one cohort that are observed in the same periods form a group k. With W (terms x groups x periods) and
c (terms x groups), and a unit's weight w_i,

    estimate = sum over units of w_i W_k . Y_i
    score_i  = w_i (W_k . Y_i - c_k), summed within clusters
    covariance = factor x sum over clusters of score score'

Estimators differ in W and c only. In a balanced panel the groups are the cohorts. A ragged panel has more groups, and
weights that change over time make every unit its own group; nothing else changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from apmkit.database.source import READ_THE_ROWS
from apmkit.database.sums import Sums, alike
from apmkit.did.blocks import Blockwise
from apmkit.did.sample import Sample
from apmkit.errors import ApmkitError, EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.panel import Panel


@dataclass(frozen=True, eq=False)
class Groups:
    """Units that share a cohort and the periods in which they are observed.

    Attributes
    ----------
    of_unit : ndarray of int, shape (n_units,)
        Group of each unit, or of each row of `panel.cohorts`.
    cohorts : ndarray, shape (n_groups,)
        First treated period; infinity if never treated.
    n : ndarray, shape (n_groups,)
        Number of units, or the sum of their weights.
    profile : ndarray, shape (n_groups, n_periods)
        One where observed, zero elsewhere; the weight itself where weights change over time.
    """

    panel: Panel
    of_unit: np.ndarray
    cohorts: np.ndarray
    n: np.ndarray
    profile: np.ndarray

    @classmethod
    def of(cls, panel: Panel) -> Groups:
        if panel.sums is not None:
            profile = panel.observed.astype(float)
            return cls(panel, np.arange(len(profile)), panel.cohorts, panel.sums.total[:, -1], profile)
        weights = panel.weights
        if weights is not None and weights.ndim == 2:
            n_units = len(panel.units)
            return cls(panel, np.arange(n_units), panel.cohorts, np.ones(n_units), weights)
        first, of_unit = alike(panel.cohorts, None if panel.is_balanced else panel.observed)
        n = np.bincount(of_unit, weights=weights).astype(float)
        return cls(panel, of_unit.astype(np.int64), panel.cohorts[first], n, panel.observed[first].astype(float))

    @cached_property
    def mass(self) -> np.ndarray:
        """Observations (or weight) of a group in each period, shape (n_groups, n_periods)."""
        return self.n[:, None] * self.profile

    @cached_property
    def treated(self) -> np.ndarray:
        """Whether a group is under treatment in a period, shape (n_groups, n_periods)."""
        return self.panel.periods[None, :] >= self.cohorts[:, None]


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums of outcomes from which every estimate and covariance follows.

    Attributes
    ----------
    groups : Groups
    rows : ndarray, shape (pairs, n_periods + 1)
        For each pair of group and cluster the weighted sum of outcomes by period, zero where not observed, and the
        sum of weights. Sorted by group.
        In a panel of a file or relation with units as clusters, fewer rows with the same cross-products.
    cluster : ndarray of int, shape (pairs,), or None
        None where rows stand for no cluster of their own.
    starts : ndarray of int, shape (n_groups + 1,)
        Where the rows of each group begin.
    squares : ndarray, shape (n_groups, n_periods + 1)
        Sums like those of `rows` by group, with the squares of the units' weights.
    """

    groups: Groups
    rows: np.ndarray
    cluster: np.ndarray
    starts: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, groups: Groups, *, centre_units: bool = True) -> Moments:
        """Collect the moments of a panel.

        A constant per period, and per unit where the weights of a unit sum to zero over time, cancels in every
        estimate. Taking it out first keeps the products small and the covariance exact.
        """
        panel = groups.panel
        if panel.sums is not None:
            return cls._of_sums(groups, panel.sums, centre_units)
        # Sixteen bits are sorted in linear time.
        group = groups.of_unit.astype(np.uint16) if len(groups.n) < 2**16 else groups.of_unit
        order = np.argsort(group, kind="stable")
        group = groups.of_unit[order]
        outcomes = panel.outcomes.take(order, axis=0)
        absent = None if panel.is_balanced else np.isnan(outcomes)
        rows = np.empty((len(outcomes), outcomes.shape[1] + 1))
        y = rows[:, :-1]
        np.subtract(outcomes, outcomes.mean(axis=0) if absent is None else np.nanmean(outcomes, axis=0), out=y)
        if absent is None:
            if centre_units:
                y -= np.einsum("it->i", y)[:, None] / y.shape[1]
        else:
            if centre_units:
                y -= np.nanmean(y, axis=1, keepdims=True)
            y[absent] = 0.0
        rows[:, -1], weighted = 1.0, rows
        if panel.weights is not None and panel.weights.ndim == 1:
            weight = panel.weights[order][:, None]
            rows *= weight
            weighted = rows * weight
        cluster = panel.cluster_codes[order]
        every_group = np.arange(len(groups.n) + 1)
        squares = np.add.reduceat(weighted, np.searchsorted(group, every_group[:-1]), axis=0)
        if panel.cluster != panel.unit:
            pair = group * panel.n_clusters + cluster
            present, at = np.unique(pair, return_inverse=True)
            sums = np.zeros((len(present), rows.shape[1]))
            np.add.at(sums, at, rows)
            rows, cluster, group = sums, present % panel.n_clusters, present // panel.n_clusters
        moments = cls(groups, rows, cluster, np.searchsorted(group, every_group), squares)
        if weighted is rows:
            vars(moments)["total"] = squares[:, :-1]
        return moments

    @classmethod
    def _of_sums(cls, groups: Groups, sums: Sums, centre_units: bool) -> Moments:
        observed = sums.observed
        level = sums.total[:, :-1].sum(axis=0) / (groups.n @ observed)

        def centred(values, seen):
            y = np.where(seen, values[:, :-1] - values[:, -1:] * level, 0.0)
            if centre_units:
                y = np.where(seen, y - y.sum(axis=1, keepdims=True) / seen.sum(axis=1, keepdims=True), 0.0)
            return np.column_stack([y, values[:, -1]])

        starts = np.searchsorted(sums.group, np.arange(len(observed) + 1))
        rows, squares = centred(sums.rows, observed[sums.group]), centred(sums.squares, observed)
        moments = cls(groups, rows, sums.cluster, starts, squares)
        # Rows that only share their cross-products with those of units do not add up to the totals.
        vars(moments)["total"] = centred(sums.total, observed)[:, :-1]
        return moments

    @cached_property
    def total(self) -> np.ndarray:
        """Weighted sum of outcomes, shape (n_groups, n_periods)."""
        return np.add.reduceat(self.rows[:, :-1], self.starts[:-1], axis=0)

    @cached_property
    def cross(self) -> np.ndarray:
        """Cross-products of the rows of each group, shape (n_groups, n_periods + 1, n_periods + 1)."""
        return np.stack(
            [self.rows[a:b].T @ self.rows[a:b] for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]
        )

    def clusters_of_cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Treated cohorts, and how many clusters each has in each period, shape (n_cohorts, n_periods)."""
        groups, panel = self.groups, self.groups.panel
        group = np.flatnonzero(np.isfinite(groups.cohorts))
        cohorts, cohort = np.unique(groups.cohorts[group], return_inverse=True)
        counts = np.zeros((len(cohorts), groups.profile.shape[1]), dtype=int)
        if panel.cluster == panel.unit:
            units = np.bincount(groups.of_unit, weights=panel.counts).astype(int)
            np.add.at(counts, cohort, units[group, None] * (groups.profile[group] > 0))
            return cohorts, counts
        # A cluster can be in several groups of a cohort.
        group = np.repeat(np.arange(len(groups.n)), np.diff(self.starts))
        treated = np.isfinite(groups.cohorts[group])
        cohort = np.searchsorted(cohorts, groups.cohorts[group[treated]])
        pair, at = np.unique(cohort * panel.n_clusters + self.cluster[treated], return_inverse=True)
        seen = np.zeros((len(pair), counts.shape[1]), dtype=bool)
        np.logical_or.at(seen, at, groups.profile[group[treated]] > 0)
        np.add.at(counts, pair // panel.n_clusters, seen)
        return cohorts, counts


@dataclass(frozen=True, eq=False)
class Combination:
    """Estimates as weights on outcomes, with what their covariance and averages need.

    Attributes
    ----------
    moments : Moments
    weights : ndarray or Blockwise, shape (terms, n_groups, n_periods)
    centring : ndarray, shape (terms, n_groups)
    factor : float
        Small-sample factor of the covariance.
    size : ndarray, shape (terms,)
        Weight of a term when terms are averaged.
    share_mass : ndarray, shape (n_groups,), or None
        What one unit adds to the share of its cohort, if averages are to carry the error of estimated shares.
    regression : Regression or None
        The regression behind the weights, where there is one (`apmkit.did.regression.Regression`).
    adjusted : ndarray, shape (terms, n_clusters), or None
        Scores of the clusters to use in place of those of the moments, for instance those of CR2.
    """

    moments: Moments
    weights: np.ndarray | Blockwise
    centring: np.ndarray
    factor: float
    size: np.ndarray
    share_mass: np.ndarray | None = None
    regression: Any = None
    adjusted: np.ndarray | None = None

    @property
    def groups(self) -> Groups:
        return self.moments.groups

    @cached_property
    def estimates(self) -> np.ndarray:
        total = self.moments.total
        return sum(np.tensordot(w, total[part], axes=([1, 2], [0, 1])) for part, w in self.blocks())

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Slices of the groups, and their weights."""
        if isinstance(self.weights, Blockwise):
            yield from ((part, self.weights.block(part)) for part in self.weights.parts)
        else:
            yield slice(0, self.weights.shape[1]), self.weights

    def covariance(self) -> np.ndarray:
        moments = self.moments
        panel = moments.groups.panel
        n_groups, width = len(moments.starts) - 1, moments.rows.shape[1]
        apart = self.adjusted is None and panel.cluster == panel.unit
        if apart and n_groups * width <= len(moments.rows) and not isinstance(self.weights, Blockwise):
            coefficients = np.concatenate([self.weights, -self.centring[:, :, None]], axis=2)
            half = coefficients.transpose(1, 0, 2) @ moments.cross
            covariance = np.einsum("gjt,lgt->jl", half, coefficients, optimize=True)
            products = np.einsum("jgt,gtt->j", coefficients**2, moments.cross)
            if (np.diag(covariance) > 1e-9 * products).all():
                return self.factor * covariance
        # By scores also where the products cancel: outcomes without noise would leave a variance below zero.
        if apart:
            return self.factor * sum(score @ score.T for _, score in self._scores_of_rows())
        score = self._scores()
        return self.factor * score @ score.T

    def influence(self) -> np.ndarray:
        """Scores of the clusters, shape (n_clusters, terms), scaled so that their cross-product is the covariance."""
        if self.moments.cluster is None and self.adjusted is None:
            raise EstimationError(f"A panel of a file or relation keeps no scores of single units: {READ_THE_ROWS}.")
        return math.sqrt(self.factor) * self._scores().T

    def _scores(self) -> np.ndarray:
        if self.adjusted is not None:
            return self.adjusted
        moments = self.moments
        scores = np.zeros((len(self.size), moments.groups.panel.n_clusters))
        for rows, score in self._scores_of_rows():
            if moments.groups.panel.cluster == moments.groups.panel.unit:
                scores[:, moments.cluster[rows]] = score
            else:
                np.add.at(scores.T, moments.cluster[rows], score.T)
        return scores

    def _scores_of_rows(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Slices of the rows of the moments, and their scores, shape (terms, rows in the slice)."""
        starts, rows = self.moments.starts, self.moments.rows
        for part, weights in self.blocks():
            coefficients = np.concatenate([weights, -self.centring[:, part, None]], axis=2)
            first, last = starts[part.start], starts[part.stop]
            if last - first == part.stop - part.start:
                yield slice(first, last), np.einsum("jkt,kt->jk", coefficients, rows[first:last])
                continue
            score = np.empty((len(coefficients), last - first))
            for group, (a, b) in enumerate(zip(starts[part], starts[part.start + 1 : part.stop + 1], strict=True)):
                score[:, a - first : b - first] = coefficients[:, group, :] @ rows[a:b].T
            yield slice(first, last), score

    def averaged(self, matrix: np.ndarray, size: np.ndarray, shift: np.ndarray | None = None) -> Combination:
        """Linear combinations `matrix` (rows, terms) of the terms; `shift` (rows, n_groups) moves the centring."""
        centring = matrix @ self.centring
        weights = self.weights
        return Combination(
            self.moments,
            weights.averaged(matrix) if isinstance(weights, Blockwise) else np.tensordot(matrix, weights, axes=(1, 0)),
            centring if shift is None else centring - shift,
            self.factor,
            size,
            self.share_mass,
            self.regression,
            None if self.adjusted is None else matrix @ self.adjusted,
        )


def fixest_factor(n_clusters: int, n_obs: int, n_coefficients: int, n_periods: int) -> float:
    """Small-sample factor of R's fixest: G/(G-1) x (n-1)/(n-K); unit effects are nested in the clusters."""
    k = n_coefficients + n_periods
    if n_obs <= k:
        raise EstimationError(
            f"{n_obs} rows cannot carry {n_coefficients} effects and {n_periods} periods: add units or pool effects."
        )
    return n_clusters / (n_clusters - 1) * (n_obs - 1) / (n_obs - k)


def finish(
    combination: Combination,
    terms: pd.DataFrame,
    *,
    sample: Sample,
    estimator: str,
    small_sample: str,
    level: float,
    call: str,
    diagnostics: dict | None = None,
) -> Estimate:
    """An Estimate from a combination and its labelled terms."""
    from apmkit.inference.few_clusters import warn_of_few_clusters

    panel = sample.panel
    estimate = Estimate.from_covariance(
        terms,
        combination.estimates,
        combination.covariance(),
        level=level,
        degrees_of_freedom=panel.n_clusters - 1 if small_sample == "fixest" else math.inf,
        estimand="ATT",
        estimator=estimator,
        outcome=panel.outcome,
        n_obs=panel.n_obs,
        n_units=panel.n_units,
        n_clusters=panel.n_clusters,
        diagnostics={
            "left_out": sample.left_out,
            "small_sample": small_sample,
            "variance_factor": combination.factor,
            "reference_distribution": "t(clusters - 1)" if small_sample == "fixest" else "normal",
            "cluster": panel.cluster,
            **warn_of_few_clusters(panel),
            "groups": len(combination.groups.n),
            **(diagnostics or {}),
        },
        call=call,
        panel=panel,
        given=None if panel is sample.given else sample.given,
        combination=combination,
    )
    if not (estimate.table["se"] > 0).any():
        warn(
            f"{panel.outcome!r} does not vary beyond unit effects, period effects and the estimates: standard errors "
            "of zero mean nothing; check the column."
        )
    return estimate


def check_small_sample(value: str) -> None:
    if value not in ("none", "fixest"):
        raise EstimationError(f"small_sample={value!r} is not known: give 'none' or 'fixest'.")


def cell_weights(estimate: Estimate, term: str | None) -> pd.DataFrame:
    """Weights on cohort x period means for one term, summed over the groups of a cohort.

    Raises
    ------
    ApmkitError
        The estimator has no such weights, or there is no such term.
    """
    combination = estimate.combination
    if combination is None:
        raise ApmkitError(f"{estimate.estimator} has no weights on cohort x period cells.")
    names = estimate.table["term"].tolist()
    if term is None and len(names) > 1:
        raise ApmkitError(f"Name one of the {len(names)} terms, for instance term={names[0]!r}.")
    if term is not None and term not in names:
        raise ApmkitError(f"There is no term {term!r}: the terms are {', '.join(names)}.")
    groups = combination.groups
    w = combination.weights[names.index(term) if term else 0] * groups.n[:, None]
    labels = ["never" if np.isinf(g) else int(g) for g in groups.cohorts]
    frame = pd.DataFrame(
        w, index=pd.Index(labels, name="cohort"), columns=pd.Index(groups.panel.periods, name="period")
    )
    return frame.groupby(level=0, sort=False).sum()
