"""The multiplier bootstrap: for any estimate with an influence function."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import special

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.inference.cluster_weights import ClusterWeights, Kind
from apmkit.options import check_estimate, check_level


def multiplier_bootstrap(
    estimate: Estimate,
    *,
    weights: Kind = "mammen",
    draws: int = 9_999,
    level: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Standard errors, pointwise intervals and a uniform band from random weights on the influence of clusters.

    The influence of each cluster is multiplied by one random weight of mean 0 and variance 1. With many clusters it
    gives what the covariance gives; with few it is no better, as nothing is estimated again (see `wild_bootstrap`).

    Parameters
    ----------
    estimate : Estimate
        With an `influence`, also after `aggregate`.
    weights : {"mammen", "rademacher", "webb"}
        Mammen's two points, as in the article; signs, as R did draws them; or six points.
    draws : int
    level : float, optional
        The level of the estimate by default.
    seed : int

    Returns
    -------
    DataFrame
        `term`, `estimate`, `se` (interquartile range of the draws over that of the normal distribution), `ci_low`,
        `ci_high`, `band_low`, `band_high`, `critical_value` (of the band, which holds for all terms at once).

    Raises
    ------
    ApmkitError
        An option is not known, `draws` is too small, or the estimate has no influence function.

    References
    ----------
    Callaway, B. and Sant'Anna, P. (2021), Journal of Econometrics 225(2), algorithm 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from apmkit import Panel, callaway_santanna
    >>> random = np.random.default_rng(1)
    >>> frame = pd.DataFrame({
    ...     "clinic": np.repeat(np.arange(60), 3), "year": [2019, 2020, 2021] * 60, "visits": random.normal(size=180),
    ...     "start": np.repeat([2020.0] * 15 + [2021.0] * 15 + [np.nan] * 30, 3),
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> multiplier_bootstrap(callaway_santanna(panel).aggregate("event"))["term"].tolist()
    ['relative_time=-1', 'relative_time=0', 'relative_time=1']
    """
    check_estimate(estimate)
    level = estimate.level if level is None else level
    check_level(level)
    influence = estimate.influence.to_numpy()
    random = ClusterWeights.of(len(influence), weights, draws, seed)
    moved = np.concatenate([block.T @ influence for block in random.blocks()])
    quartiles = np.quantile(moved, [0.25, 0.75], axis=0)
    se = (quartiles[1] - quartiles[0]) / (2 * special.ndtri(0.75))
    varies = se > 0
    if not varies.any():
        raise ApmkitError("No term varies between clusters: there is nothing to resample.")
    band = float(np.quantile(np.abs(moved[:, varies] / se[varies]).max(axis=1), level))
    df, centre = estimate.degrees_of_freedom, estimate.table["estimate"].to_numpy()
    point = float(special.ndtri(0.5 + level / 2) if math.isinf(df) else special.stdtrit(df, 0.5 + level / 2))
    return pd.DataFrame(
        {
            "term": estimate.table["term"],
            "estimate": centre,
            "se": se,
            "ci_low": centre - point * se,
            "ci_high": centre + point * se,
            "band_low": centre - band * se,
            "band_high": centre + band * se,
            "critical_value": band,
        }
    )
