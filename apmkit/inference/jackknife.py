"""The jackknife over clusters: each left out once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from apmkit.errors import ApmkitError, DesignWarning, warn
from apmkit.estimate import Estimate
from apmkit.inference.cluster_variance import with_covariance
from apmkit.options import check_panel, estimated
from apmkit.panel import Panel


def jackknife(panel: Panel, estimator: Callable[[Panel], Estimate]) -> Estimate:
    """An estimate with the jackknife covariance, and what it would be without each cluster.

    The estimator runs once for each cluster. For a two-way fixed effects regression
    ``cluster_variance(estimate, "CR3")`` is the same covariance at once.

    Parameters
    ----------
    panel : Panel
    estimator : callable
        Takes a panel and gives an Estimate.

    Returns
    -------
    Estimate
        With `se`, interval and p value from the jackknife and t(clusters - 1). ``details["leave_one_out"]`` has one row
        for each cluster and term: `cluster`, `term`, `estimate` without the cluster, `change` from the estimate with
        all clusters, and `change_in_se`, the change over the jackknife standard error; largest change first.

    Raises
    ------
    ApmkitError
        The estimator gives no Estimate.
    PanelError
        The panel is of a file or relation and so keeps no single units.

    Warns
    -----
    DesignWarning
        A term does not exist without one of the clusters: its standard error is missing.

    References
    ----------
    MacKinnon, J., Nielsen, M. and Webb, M. (2023), Journal of Applied Econometrics 38(5), on CV3; by the same
    authors (2023), Stata Journal 23(4), on influential clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from apmkit import Panel, twfe
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccddee"), "year": [2020, 2021] * 5,
    ...     "visits": [5.0, 4.0, 6.0, 4.0, 5.0, 5.0, 7.0, 8.0, 6.0, 6.5], "start": [2021] * 4 + [None] * 6,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> jackknife(panel, twfe).details["leave_one_out"][["cluster", "estimate"]].head(2)
      cluster  estimate
    0       a      -2.5
    1       b      -1.5
    """
    check_panel(panel)
    cluster_codes, n_clusters = panel.cluster_codes, panel.n_clusters
    whole = estimated(estimator, panel)
    terms = whole.table["term"]
    without = np.empty((n_clusters, len(terms)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        for cluster in range(n_clusters):
            try:
                table = estimator(panel.restrict(cluster_codes != cluster)).table
            except ApmkitError:
                without[cluster] = np.nan
                continue
            without[cluster] = table.set_index("term")["estimate"].reindex(terms).to_numpy()
    change = without - whole.table["estimate"].to_numpy()
    missing = np.isnan(change)
    if missing.any():
        at, lost = np.flatnonzero(missing.any(axis=1)), terms[missing.any(axis=0)].iloc[0]
        others = f" (and without {len(at) - 1} more)" if len(at) > 1 else ""
        warn(
            f"Without {panel.cluster} {panel.clusters[at[0]]}{others} there is no estimate of {lost}: its jackknife "
            "standard error is missing; pool terms or use randomisation_test."
        )
    covariance = (n_clusters - 1) / n_clusters * change.T @ change
    result = with_covariance(
        whole, covariance, n_clusters - 1.0, "jackknife", f"jackknife(panel, {whole.call})",
        factor=(n_clusters - 1) / n_clusters,
    )  # fmt: skip
    se = result.table["se"].to_numpy()
    table = pd.DataFrame(
        {
            "cluster": np.repeat(panel.clusters.to_numpy(), len(terms)),
            "term": np.tile(terms, n_clusters),
            "estimate": without.ravel(),
            "change": change.ravel(),
            "change_in_se": np.divide(change, se, out=np.full(change.shape, np.nan), where=se > 0).ravel(),
        }
    )
    order = np.argsort(-np.abs(table["change"].to_numpy()), kind="stable")
    details = {**whole.details, "leave_one_out": table.iloc[order].reset_index(drop=True)}
    return replace(result, details=details, n_clusters=n_clusters)
