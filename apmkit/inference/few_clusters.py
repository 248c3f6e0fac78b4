"""How many clusters there really are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from apmkit.database.source import READ_THE_ROWS
from apmkit.errors import ApmkitError, EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.options import check_estimate
from apmkit.panel import Panel

FEW = 30
"""Fewer clusters than this are few: Cameron and Miller (2015), section VI, name 20 to 50 depending on their balance."""


def effective_clusters(estimate: Estimate) -> pd.Series:
    """The number of clusters of equal weight that would carry as much of each estimate.

    With gamma_g the part of cluster g in the variance of a term if errors were independent, (sum of gamma_g)^2 over the
    sum of gamma_g^2. Far below the number of clusters, few clusters decide: use CR2 or the wild bootstrap. Errors are
    taken as independent because unit effects absorb what is common to a cluster at all times.

    Parameters
    ----------
    estimate : Estimate
        From difference-in-differences without covariates.

    Returns
    -------
    Series
        By term.

    Raises
    ------
    ApmkitError
        The estimate has no weights on outcomes, or its panel keeps no single units.

    References
    ----------
    Carter, A., Schnepel, K. and Steigerwald, D. (2017), Review of Economics and Statistics 99(4); MacKinnon, J.,
    Nielsen, M. and Webb, M. (2023), Journal of Econometrics 232(2), on independent errors.

    Examples
    --------
    >>> import pandas as pd
    >>> from apmkit import Panel, twfe
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccdd"), "year": [2020, 2021] * 4,
    ...     "visits": [5.0, 4.0, 6.0, 4.0, 5.0, 5.0, 7.0, 8.0], "start": [2021] * 2 + [None] * 6,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> effective_clusters(twfe(panel)).round(3).to_dict()
    {'ATT': 1.714}
    """
    check_estimate(estimate)
    combination = estimate.combination
    if getattr(combination, "weights", None) is None:
        raise ApmkitError(
            f"{estimate.estimator} has no weights on outcomes from which to count clusters: use an estimator of "
            "difference-in-differences without covariates, and its result before another variance."
        )
    moments = combination.moments
    if moments.cluster is None:
        raise EstimationError(f"A panel of a file or relation keeps no scores of single units: {READ_THE_ROWS}.")
    profile, weights = moments.groups.profile, combination.weights
    per_weight = np.divide(1.0, profile, out=np.zeros(profile.shape), where=profile > 0)
    squares = np.stack([(weights[term] ** 2 * per_weight).sum(axis=1) for term in range(len(weights))])
    group = np.repeat(np.arange(len(profile)), np.diff(moments.starts))
    parts = np.zeros((estimate.n_clusters, len(weights)))
    np.add.at(parts, moments.cluster, (squares[:, group] * moments.rows[:, -1]).T)
    total = parts.sum(axis=0)
    return pd.Series(
        total**2 / (parts**2).sum(axis=0),
        index=pd.Index(estimate.table["term"], name="term"),
        name="effective_clusters",
    )


def warn_of_few_clusters(panel: Panel) -> dict[str, Any]:
    """Warn where few clusters, or one treated cluster, carry the standard errors; what `diagnostics` says of them."""
    starts, n_clusters = np.isfinite(panel.cohorts), panel.n_clusters
    if panel.cluster == panel.unit:
        treated = int(panel.counts[starts].sum())
        first = panel.first_units(starts, 1)[0] if treated == 1 else None  # names of units are a query in a database
    else:
        of_rows = panel.cluster_codes[starts] if panel.sums is None else panel.sums.cluster[starts[panel.sums.group]]
        codes = np.unique(of_rows)
        treated, first = len(codes), panel.clusters[codes[0]]
    if treated == 1:
        warn(
            f"A single {panel.cluster}, {first}, is treated: cluster standard errors and the wild bootstrap fail "
            "there; use randomisation_test or synthetic control."
        )
    elif n_clusters < FEW:
        warn(
            f"{n_clusters} clusters of {panel.cluster!r} are few (fewer than {FEW}): standard errors may be too small; "
            "for a regression use cluster_variance with 'CR2' or wild_bootstrap, otherwise compare with "
            "randomisation_test."
        )
    return {"treated_clusters": treated, "few_clusters": n_clusters < FEW or treated == 1}
