"""Variances of regression estimates under correlation within clusters, periods, or both."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.errors import EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.inference.cluster_sums import of_arrays, of_estimate, regression_of, residual_cells
from apmkit.options import numbers

Kind = Literal["CR0", "CR1", "CR2", "CR3"]
COUNTED = ("none", "nested", "full")


def cluster_variance(
    estimate: Estimate,
    kind: Kind = "CR2",
    *,
    by: Literal["cluster", "two_way"] = "cluster",
    fixed_effects: Literal["none", "nested", "full"] = "nested",
) -> Estimate:
    """The same two-way fixed effects estimate with another cluster variance.

    ``"CR0"`` has no factor. ``"CR1"`` multiplies it by G/(G-1) x (n-1)/(n-K). ``"CR2"`` (Bell and McCaffrey) corrects
    the residuals of each cluster so that the variance is unbiased when errors are independent with equal variance and
    gives each term its own Satterthwaite degrees of freedom: the choice with few clusters or clusters of unequal size.
    In a weighted regression it is that of rows times the root of their weights, for errors with variance inverse to the
    weight; R clubSandwich takes another root of the same matrix there, and its fourth digits differ. ``"CR3"`` is the
    jackknife over clusters, (G-1)/G times the sum of squared changes when one cluster is left out; R clubSandwich
    leaves out the (G-1)/G.

    Parameters
    ----------
    estimate : Estimate
        From `twfe`, `event_study` or `sun_abraham`. Aggregate first.
    kind : {"CR0", "CR1", "CR2", "CR3"}
    by : {"cluster", "two_way"}
        Clusters of the panel; or clusters and periods, for shocks that hit all clusters in one period. Two-way is
        there for CR0 and CR1, with the smaller number of clusters in G, as in R fixest.
    fixed_effects : {"none", "nested", "full"}
        Which fixed effects K of CR1 counts: none (R plm ``"sss"``), those not nested in clusters (R fixest, pyfixest),
        or all (R sandwich ``"HC1"`` after `lm`, Stata `reg`).

    Returns
    -------
    Estimate
        With the new `se`, interval and p value, from t(G - 1); for CR2 from t(`df`), a column of the table.

    Raises
    ------
    EstimationError
        The estimate is not from a regression, or an option is not known or has no meaning together with another.

    Warns
    -----
    DesignWarning
        A term is not identified without one of the clusters: CR3 is missing, CR2 leaves that direction out. Or each
        period has an effect of its own, so that the part of periods in a two-way variance is zero.

    References
    ----------
    Bell, R. and McCaffrey, D. (2002), Survey Methodology 28(2); Pustejovsky, J. and Tipton, E. (2018), Journal of
    Business & Economic Statistics 36(4), theorems 1 and 2 (as corrected in 2023), for CR2 and its degrees of freedom;
    Cameron, A. C., Gelbach, J. and Miller, D. (2011), Journal of Business & Economic Statistics 29(2), on two ways;
    MacKinnon, J., Nielsen, M. and Webb, M. (2023), Journal of Applied Econometrics 38(5), on CV3.

    Examples
    --------
    >>> import pandas as pd
    >>> from apmkit import Panel, twfe
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccddee"), "year": [2020, 2021] * 5,
    ...     "visits": [5.0, 4.0, 6.0, 4.0, 5.0, 5.0, 7.0, 8.0, 6.0, 6.5], "start": [2021] * 4 + [None] * 6,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> cluster_variance(twfe(panel), "CR2").table[["estimate", "se", "df"]].round(3)
       estimate     se     df
    0      -2.0  0.577  2.273
    """
    if kind not in ("CR0", "CR1", "CR2", "CR3"):
        raise EstimationError(f"kind={kind!r} is not known: give 'CR0', 'CR1', 'CR2' or 'CR3'.")
    if by not in ("cluster", "two_way"):
        raise EstimationError(f"by={by!r} is not known: give 'cluster' or 'two_way'.")
    if fixed_effects not in COUNTED:
        raise EstimationError(f"fixed_effects={fixed_effects!r} is not known: give 'none', 'nested' or 'full'.")
    combination, _ = regression_of(estimate)
    n_clusters = estimate.n_clusters
    call = f"cluster_variance({estimate.call}, {kind!r}, by={by!r}, fixed_effects={fixed_effects!r})"
    if by == "two_way":
        if kind not in ("CR0", "CR1"):
            raise EstimationError(f"{kind} is not defined for two ways of clustering: give kind='CR1'.")
        n_clusters = min(n_clusters, len(estimate.panel.periods))
        factor = 1.0 if kind == "CR0" else _factor(estimate, n_clusters, fixed_effects, two_way=True)
        covariance = factor * _two_way(estimate)
        return with_covariance(estimate, covariance, n_clusters - 1.0, kind, call, factor=factor, by="two_way")
    if kind in ("CR0", "CR1"):
        factor = 1.0 if kind == "CR0" else _factor(estimate, n_clusters, fixed_effects)
        combination = replace(combination, factor=factor, adjusted=None)
        df = n_clusters - 1.0
    else:
        sums = of_estimate(estimate)
        scores, alone = sums.adjusted(-0.5 if kind == "CR2" else -1.0)
        factor = 1.0 if kind == "CR2" else (n_clusters - 1) / n_clusters
        df = sums.satterthwaite() if kind == "CR2" else n_clusters - 1.0
        _warn_of_deciding_clusters(estimate, kind, alone)
        if kind == "CR3":
            scores[alone.any(axis=1)] = np.nan
        combination = replace(combination, factor=factor, adjusted=scores)
    covariance = combination.covariance()
    return with_covariance(estimate, covariance, df, kind, call, combination=combination, factor=factor)


def driscoll_kraay(estimate: Estimate, lags: int | None = None) -> Estimate:
    """The same two-way fixed effects estimate with a variance for errors correlated between all units and over time.

    The sums of scores over units in each period are treated as a time series, with Bartlett weights 1 - lag/(lags + 1).
    It needs many periods: with less than about 20 its standard errors are far too small.

    Parameters
    ----------
    estimate : Estimate
        From `twfe`, `event_study` or `sun_abraham`. Aggregate first.
    lags : int, optional
        The fourth root of the number of periods, rounded down, by default, as in R plm.

    Returns
    -------
    Estimate
        With the new `se`, interval and p value, from t(periods - 1); no small-sample factor.

    Raises
    ------
    EstimationError
        The estimate is not from a regression, `lags` is not between 0 and the number of periods less 1, or the scores
        of a term sum to zero in every period.

    References
    ----------
    Driscoll, J. and Kraay, A. (1998), Review of Economics and Statistics 80(4).
    """
    cells = _cell_scores(estimate)[1]
    scores, n_periods = cells.sum(axis=1), cells.shape[2]
    if (silent := _silent(scores, cells)).any():
        raise EstimationError(
            f"The scores of {_some(estimate.table['term'][silent])} sum to zero in every period, as each period has an "
            "effect of its own, so nothing varies over time: use cluster_variance, or pool terms."
        )
    if lags is None:
        lags = math.floor(n_periods**0.25)
    if not isinstance(lags, (int, np.integer)) or not 0 <= lags < n_periods:
        raise EstimationError(f"lags={lags!r} is not a whole number from 0 to {n_periods - 1}, the periods less one.")
    if n_periods < 20:
        warn(
            f"Driscoll-Kraay standard errors rest on {n_periods} periods: with less than about 20 they are too small; "
            "use cluster_variance."
        )
    covariance = scores @ scores.T
    for lag in range(1, lags + 1):
        lagged = scores[:, lag:] @ scores[:, :-lag].T
        covariance += (1 - lag / (lags + 1)) * (lagged + lagged.T)
    call = f"driscoll_kraay({estimate.call}, lags={lags})"
    return with_covariance(estimate, covariance, n_periods - 1.0, "Driscoll-Kraay", call, factor=1.0, lags=lags)


def cluster_covariance(
    x: np.ndarray,
    residuals: np.ndarray,
    clusters: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    kind: Kind = "CR2",
) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of the coefficients of a least squares regression, and their degrees of freedom.

    The array behind `cluster_variance`, for designs other than panels. K of CR1 is the number of columns.

    Parameters
    ----------
    x : ndarray, shape (n, k)
        All regressors, the constant and fixed effects among them.
    residuals : ndarray, shape (n,)
    clusters : ndarray, shape (n,)
        Label of the cluster of each row.
    weights : ndarray, shape (n,), optional
        Weights of the regression; CR2 and CR3 take the working variance to be inverse to them.
    kind : {"CR0", "CR1", "CR2", "CR3"}

    Returns
    -------
    covariance : ndarray, shape (k, k)
    degrees_of_freedom : ndarray, shape (k,)
        Satterthwaite for CR2, the number of clusters less one otherwise.

    Raises
    ------
    EstimationError
        Lengths differ, a number is missing, there is one cluster, regressors are collinear, `kind` is not known, or for
        CR3 a coefficient is not identified without one of the clusters.

    Examples
    --------
    >>> x = np.column_stack([np.ones(8), [0, 0, 0, 0, 1, 1, 1, 1]])
    >>> y = np.array([1.0, 2, 2, 3, 3, 3, 5, 6])
    >>> residuals = y - x @ np.linalg.lstsq(x, y)[0]
    >>> covariance, df = cluster_covariance(x, residuals, np.repeat(["a", "b", "c", "d"], 2))
    >>> float(covariance[1, 1].round(6)), float(df[1].round(6))
    (1.8125, 2.0)
    """
    x, residuals, clusters = numbers(x, "x"), numbers(residuals, "residuals"), np.asarray(clusters)
    if x.ndim != 2 or residuals.shape != (len(x),) or clusters.shape != (len(x),):
        raise EstimationError(
            f"x has shape {x.shape}, residuals {residuals.shape}, clusters {clusters.shape}: give (n, k), (n,), (n,)."
        )
    if not np.isfinite(x).all() or not np.isfinite(residuals).all() or pd.isna(clusters).any():
        raise EstimationError("x, residuals or clusters hold a missing or infinite number: drop such rows first.")
    if weights is not None:
        weights = numbers(weights, "weights")
        if weights.shape != (len(x),) or not ((weights > 0) & np.isfinite(weights)).all():
            raise EstimationError("weights must be one finite number above zero for each row: drop the other rows.")
    if kind not in ("CR0", "CR1", "CR2", "CR3"):
        raise EstimationError(f"kind={kind!r} is not known: give 'CR0', 'CR1', 'CR2' or 'CR3'.")
    n, k = x.shape
    if n <= k:
        raise EstimationError(f"{n} rows cannot carry {k} coefficients: drop regressors or add rows.")
    sums, labels = of_arrays(x, residuals, clusters, weights)
    g = len(labels)
    if g < 2:
        raise EstimationError(f"clusters holds one cluster, {labels[0]}: a variance needs several.")
    if kind in ("CR0", "CR1"):
        scores = sums.directions @ sums.scores.T
        factor = 1.0 if kind == "CR0" else g / (g - 1) * (n - 1) / (n - k)
        return factor * scores @ scores.T, np.full(k, g - 1.0)
    scores, alone = sums.adjusted(-0.5 if kind == "CR2" else -1.0)
    if kind == "CR2":
        return scores @ scores.T, sums.satterthwaite()
    if alone.any():
        column, cluster = (int(at[0]) for at in np.nonzero(alone))
        raise EstimationError(
            f"Column {column} of x is not identified without cluster {labels[cluster]}: CR3 does not exist; use 'CR2'."
        )
    return (g - 1) / g * scores @ scores.T, np.full(k, g - 1.0)


def _factor(estimate: Estimate, n_clusters: int, fixed_effects: str, two_way: bool = False) -> float:
    regression = estimate.combination.regression
    n_periods = len(estimate.panel.periods)
    # Periods are nested in the second way of clustering; one constant is left, as fixest counts.
    counted = {"none": 0, "nested": 1 if two_way else n_periods, "full": n_periods + estimate.n_units - 1}
    k = len(regression.residual) + counted[fixed_effects]
    if estimate.n_obs <= k:
        raise EstimationError(f"{estimate.n_obs} rows cannot carry {k} coefficients: give fixed_effects='nested'.")
    return n_clusters / (n_clusters - 1) * (estimate.n_obs - 1) / (estimate.n_obs - k)


def _cell_scores(estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """Cluster of each pair of group and cluster, and its scores by period, shape (terms, pairs, n_periods)."""
    group, cells = residual_cells(estimate)
    return estimate.combination.moments.cluster, estimate.combination.weights[:, group] * cells


def _silent(by_period: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Terms whose scores sum to zero in every period, but for rounding."""
    return (by_period**2).sum(axis=1) <= 1e-18 * (cells**2).sum(axis=(1, 2))


def _two_way(estimate: Estimate) -> np.ndarray:
    """Covariance by clusters, plus by periods, less by both; eigenvalues below zero are set to zero."""
    cluster, cells = _cell_scores(estimate)
    by_both = np.zeros((estimate.n_clusters, len(cells), cells.shape[2]))
    np.add.at(by_both, cluster, cells.transpose(1, 0, 2))
    by_cluster, by_period = by_both.sum(axis=2), by_both.sum(axis=0)
    if (silent := _silent(by_period, cells)).any():
        warn(
            f"The scores of {_some(estimate.table['term'][silent])} sum to zero in every period, as each period has an "
            "effect of its own: shocks to periods leave no trace and the two-way variance is too small; use "
            "by='cluster', or pool terms."
        )
    within = np.einsum("cjt,clt->jl", by_both, by_both, optimize=True)
    covariance = by_cluster.T @ by_cluster + by_period @ by_period.T - within
    values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-12 * max(values[-1], 0.0):
        warn(
            "The two-way variance is negative in some direction, which few clusters or periods can bring about: it is "
            "set to zero there; compare with clustering by one of the two."
        )
        covariance = (vectors * np.maximum(values, 0)) @ vectors.T
    return covariance


def _warn_of_deciding_clusters(estimate: Estimate, kind: str, alone: np.ndarray) -> None:
    if not alone.any():
        return
    terms, clusters = estimate.table["term"][alone.any(axis=1)], estimate.panel.clusters[alone.any(axis=0)]
    what = "their CR3 variance is missing" if kind == "CR3" else "their CR2 variance is too small"
    warn(
        f"Not identified without one {estimate.panel.cluster} ({_some(clusters)}): {_some(terms)}; {what}; pool terms, "
        "or use randomisation_test or synthetic control."
    )


def _some(names) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def with_covariance(estimate, covariance, df, kind, call, combination=None, **diagnostics) -> Estimate:
    """The same estimates with another covariance, its degrees of freedom and what is said of both."""
    columns = ["estimate", "se", "ci_low", "ci_high", "p_value", "df"]
    fresh = Estimate.from_covariance(
        estimate.table.drop(columns=columns, errors="ignore"),
        estimate.table["estimate"].to_numpy(),
        covariance,
        level=estimate.level,
        degrees_of_freedom=df,
        estimand=estimate.estimand,
        estimator=estimate.estimator,
        outcome=estimate.outcome,
        n_obs=estimate.n_obs,
        n_units=estimate.n_units,
        n_clusters=estimate.n_clusters,
    )
    told = {
        "cluster_variance": kind,
        "small_sample": kind,
        "variance_factor": diagnostics.pop("factor"),
        "reference_distribution": "t(Satterthwaite)" if np.ndim(df) else f"t({df:.0f})",
        **diagnostics,
    }
    return replace(
        estimate,
        table=fresh.table,
        covariance=fresh.covariance,
        degrees_of_freedom=fresh.degrees_of_freedom,
        combination=combination,
        diagnostics={**estimate.diagnostics, **told},
        call=call,
    )
