"""Confidence bands that hold for all terms of an estimate at once."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate
from apmkit.inference.joint import known
from apmkit.options import check_draws, check_estimate, check_level, check_seed


def uniform_band(estimate: Estimate, level: float | None = None, *, draws: int = 9_999, seed: int = 0) -> pd.DataFrame:
    """Bounds that cover every term at once with probability `level`, in large samples.

    The critical value is a quantile of the largest absolute t statistic, simulated from the covariance; with the
    estimate's degrees of freedom where its reference is a t distribution (the smallest where terms differ).

    Parameters
    ----------
    estimate : Estimate
    level : float, optional
        The level of the estimate by default.
    draws : int
        Simulated draws.
    seed : int
        Seed of the simulation.

    Returns
    -------
    DataFrame
        `term`, `estimate`, `low`, `high`, `critical_value`.

    Raises
    ------
    ApmkitError
        `level` is not between 0 and 1, fewer than 99 draws, or there is no covariance.

    References
    ----------
    Montiel Olea, J. L. and Plagborg-Moller, M. (2019), Journal of Applied Econometrics 34(1), algorithm 1;
    Callaway, B. and Sant'Anna, P. (2021), Journal of Econometrics 225(2), algorithm 1.
    """
    check_estimate(estimate)
    level = estimate.level if level is None else level
    check_level(level)
    check_draws(draws)
    check_seed(seed)
    values, covariance = known(estimate, np.ones(len(estimate.table), dtype=bool))
    se = np.sqrt(np.diag(covariance))
    varies = se > 0
    spread, vectors = np.linalg.eigh(covariance[np.ix_(varies, varies)] / np.outer(se[varies], se[varies]))
    root = vectors * np.sqrt(np.maximum(spread, 0))
    random = np.random.default_rng(seed)
    t = np.abs(random.standard_normal((draws, len(spread))) @ root.T).max(axis=1, initial=0.0)
    if math.isfinite(estimate.degrees_of_freedom):
        t /= np.sqrt(random.chisquare(estimate.degrees_of_freedom, draws) / estimate.degrees_of_freedom)
    critical = float(np.quantile(t, level))
    return pd.DataFrame(
        {
            "term": estimate.table["term"],
            "estimate": values,
            "low": values - critical * se,
            "high": values + critical * se,
            "critical_value": critical,
        }
    )
