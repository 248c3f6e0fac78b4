"""Randomisation inference: what the estimate would be had others been treated."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from apmkit.errors import ApmkitError, DesignWarning, EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.options import check_draws, check_estimator, check_panel, check_seed
from apmkit.panel import Panel

BLOCK = 4_000_000
"""Numbers in a block of assignments."""


def randomisation_test(
    panel: Panel,
    estimator: Callable[[Panel], Estimate | float],
    *,
    term: str | None = None,
    studentised: bool = False,
    within: str | None = None,
    draws: int = 999,
    seed: int = 0,
) -> pd.Series:
    """Test that treatment changes no outcome, by giving the cohorts to other clusters.

    Exact in any sample, also with one treated cluster, if treatment was assigned at random among clusters (within the
    strata of `within`): the hypothesis is that no outcome of any unit is changed. Without random assignment it asks how
    unusual the estimate is among placebo assignments. Studentised it is in large samples also a test that the mean
    effect is zero.

    Parameters
    ----------
    panel : Panel
        Each cluster holds units of one cohort.
    estimator : callable
        Takes a panel and gives an Estimate, or a number.
    term : str, optional
        Which term of the estimate; not needed if there is one.
    studentised : bool
        Take the t statistic of the term, not its estimate.
    within : str, optional
        A covariate of the panel that is constant within clusters: cohorts change hands within its values only.
    draws : int
        Random assignments. Where no more are possible, all are used once and the p value is exact.
    seed : int

    Returns
    -------
    Series
        `statistic`, `p_value` (two-sided; the data count as one draw), `p_value_error` (its Monte Carlo error, zero if
        exact), `draws`, `exact`.

    Raises
    ------
    ApmkitError
        A cluster holds several cohorts, `within` is no covariate or varies within clusters, only one assignment is
        possible, `draws` is too small, or the statistic is no number.

    Warns
    -----
    DesignWarning
        So few assignments are possible that the p value cannot fall below 0.05.

    References
    ----------
    Fisher, R. A. (1935), The Design of Experiments, section 21; Young, A. (2019), Quarterly Journal of Economics
    134(2); MacKinnon, J. and Webb, M. (2020), Journal of Econometrics 218(2), on studentised statistics
    with few treated clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from apmkit import Panel, twfe
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccddee"), "year": [2020, 2021] * 5,
    ...     "visits": [5.0, 2.0, 6.0, 4.0, 5.0, 5.0, 7.0, 8.0, 6.0, 6.5], "start": [2021] * 4 + [None] * 6,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> randomisation_test(panel, twfe)[["p_value", "draws", "exact"]].tolist()
    [0.1, 10, True]
    """
    check_panel(panel)
    check_estimator(estimator)
    check_draws(draws)
    check_seed(seed)
    assignments = _Assignments.of(panel, within, draws, seed)

    def statistic(of_panel: Panel) -> float:
        return _number(estimator(of_panel), term, studentised)

    found = estimator(panel)
    observed = _number(found, term, studentised)
    values = None if studentised else _by_contributions(panel, found, term, assignments, statistic)
    if values is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            values = np.array([statistic(assignments.panel(row)) for block in assignments.blocks() for row in block])
    count = int((np.abs(values) >= abs(observed) * (1 - 1e-9)).sum())
    exact = assignments.enumerated
    p = count / len(values) if exact else (count + 1) / (len(values) + 1)
    error = 0.0 if exact else math.sqrt(p * (1 - p) / len(values))
    return pd.Series(
        {"statistic": observed, "p_value": p, "p_value_error": error, "draws": len(values), "exact": exact},
        dtype=object,
    )


@dataclass(frozen=True, eq=False)
class _Assignments:
    """Ways to give the cohorts to the clusters.

    Attributes
    ----------
    source : Panel
    cohorts : ndarray, shape (n_cohorts,)
    given : ndarray of int, shape (n_clusters,)
        The cohort of each cluster, as its place in `cohorts`.
    strata : list of ndarray of int
        Clusters among which cohorts change hands.
    """

    source: Panel
    cohorts: np.ndarray
    given: np.ndarray
    strata: list[np.ndarray]
    draws: int
    enumerated: bool
    seed: int

    @classmethod
    def of(cls, panel: Panel, within: str | None, draws: int, seed: int) -> _Assignments:
        cohorts, codes = np.unique(panel.cohorts, return_inverse=True)
        given = _per_cluster(panel, codes, "cohorts", "cluster the panel by unit, or by the level of assignment")
        stratum = np.zeros(len(given), dtype=int)
        if within is not None:
            if within not in panel.covariates:
                known = ", ".join(panel.covariates) or "none"
                raise ApmkitError(
                    f"within={within!r} is no covariate of the panel (there: {known}): build the panel with "
                    f"covariates=[{within!r}]."
                )
            if panel.covariates[within].ndim == 2:
                raise ApmkitError(f"within={within!r} changes over time: give a covariate that is constant in a unit.")
            values = np.unique(panel.covariates[within], return_inverse=True)[1]
            stratum = _per_cluster(panel, values, f"values of {within!r}", "give one that is constant in a cluster")
        strata = [np.flatnonzero(stratum == value) for value in np.unique(stratum)]
        possible = math.prod(_arrangements_of(np.bincount(given[members])) for members in strata)
        if possible == 1:
            raise ApmkitError(
                "Only one assignment is possible: all clusters that could change hands are of one cohort; use coarser "
                "strata or add clusters that are never treated."
            )
        if possible < 20:
            warn(
                f"Only {possible} assignments are possible, so the p value cannot fall below {1 / possible:.3g}: add "
                "clusters."
            )
        return cls(panel, cohorts, given, strata, draws, possible <= draws, seed)

    def blocks(self) -> Iterator[np.ndarray]:
        """Cohorts of the clusters, as places, shape (assignments of the block, n_clusters)."""
        size = max(1, BLOCK // len(self.given))
        if self.enumerated:
            every = itertools.product(*(_arrangements(self.given[members]) for members in self.strata))
            order = np.argsort(np.concatenate(self.strata))
            while some := list(itertools.islice(every, size)):
                yield np.array([np.concatenate(parts) for parts in some])[:, order]
            return
        random = np.random.default_rng(self.seed)
        for start in range(0, self.draws, size):
            block = np.tile(self.given, (min(size, self.draws - start), 1))
            for members in self.strata:
                block[:, members] = random.permuted(block[:, members], axis=1)
            yield block

    def panel(self, assignment: np.ndarray) -> Panel:
        """The panel with the cohorts of one assignment."""
        moved = self.source.restrict(np.ones(len(self.source.units), dtype=bool))
        moved.cohorts = self.cohorts[assignment][self.source.cluster_codes]
        return moved


def _per_cluster(panel: Panel, values: np.ndarray, what: str, remedy: str) -> np.ndarray:
    """The value that all units of a cluster share, shape (n_clusters,)."""
    result = np.empty(len(panel.clusters), dtype=int)
    result[panel.cluster_codes] = values
    mixed = np.flatnonzero(result[panel.cluster_codes] != values)
    if len(mixed):
        cluster = panel.clusters[panel.cluster_codes[mixed[0]]]
        raise ApmkitError(f"{panel.cluster} {cluster} holds units with different {what}: {remedy}.")
    return result


def _arrangements_of(counts: np.ndarray) -> int:
    """Number of distinct orders of a list in which the entries occur so often."""
    result, places = 1, int(counts.sum())
    for count in counts:
        result *= math.comb(places, int(count))
        places -= int(count)
    return result


def _arrangements(codes: np.ndarray) -> Iterator[np.ndarray]:
    """All distinct orders of a list."""
    values, counts = np.unique(codes, return_counts=True)
    if len(values) == 1:
        yield codes
        return
    for places in itertools.combinations(range(len(codes)), int(counts[0])):
        rest = np.setdiff1d(np.arange(len(codes)), places)
        for order in _arrangements(np.repeat(values[1:], counts[1:])):
            result = np.full(len(codes), values[0])
            result[rest] = order
            yield result


def _number(result: Estimate | float, term: str | None, studentised: bool) -> float:
    if isinstance(result, Estimate):
        if term is None and len(result.table) > 1:
            raise ApmkitError(
                f"The estimate has {len(result.table)} terms: name one, for instance "
                f"term={result.table['term'].iloc[0]!r}, or aggregate."
            )
        row = (result if term is None else result.term(term)).table.iloc[0]
        value = row["estimate"] / row["se"] if studentised else row["estimate"]
    elif studentised or term is not None:
        raise ApmkitError("The estimator gives a number: leave out term and studentised, or give an Estimate.")
    else:
        value = result
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise ApmkitError(
            f"The estimator gives {type(value).__name__}: it must give an Estimate or a number."
        ) from None
    if not math.isfinite(value):
        raise EstimationError(f"The statistic is {value} for one assignment: use another estimator or term.")
    return value


def _by_contributions(panel, found, term, assignments, statistic) -> np.ndarray | None:
    """Estimates under all assignments at once, where they are sums over units of weights that depend on the cohort
    alone.

    So they are if each unit is a cluster, observed in every period, with the same weight, and all are used: then the
    sizes of the cohorts, and with them the weights, are the same under every assignment. Nothing if that does not hold.
    """
    if not isinstance(found, Estimate) or getattr(found.combination, "weights", None) is None:
        return None
    found = found if term is None else found.term(term)
    groups, weights = found.combination.moments.groups, found.combination.weights[0]
    plain = found.panel is panel and panel.is_balanced and panel.weights is None and panel.cluster == panel.unit
    if not plain or not np.array_equal(groups.cohorts, assignments.cohorts):
        return None
    y = panel.outcomes - panel.outcomes.mean(axis=0)
    contributions = (y - y.mean(axis=1, keepdims=True)) @ weights.T
    units = np.arange(len(y))
    values = [contributions[units, block].sum(axis=1) for block in assignments.blocks()]
    # An estimator that also depends on outcomes, for instance to choose a term, is not such a sum.
    scale = np.abs(contributions).max(axis=1).sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        for row, value in zip(next(assignments.blocks())[:3], values[0], strict=False):
            if abs(statistic(assignments.panel(row)) - value) > 1e-9 * scale:
                return None
    return np.concatenate(values)
