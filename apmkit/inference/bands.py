"""Confidence bands that hold for all terms of an estimate at once."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate


def uniform_band(estimate: Estimate, level: float | None = None, *, draws: int = 9_999, seed: int = 0) -> pd.DataFrame:
    """Bounds that cover every term at once with probability `level`, in large samples.

    The critical value is a quantile of the largest absolute t statistic, simulated from the covariance; with the
    estimate's degrees of freedom where its reference is a t distribution.

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
        `level` is not between 0 and 1, fewer than 100 draws, or there is no covariance.

    References
    ----------
    Montiel Olea, J. L. and Plagborg-Moller, M. (2019), Journal of Applied Econometrics 34(1), algorithm 1;
    Callaway, B. and Sant'Anna, P. (2021), Journal of Econometrics 225(2), algorithm 1.
    """
    level = estimate.level if level is None else level
    if not 0 < level < 1:
        raise ApmkitError(f"level={level} is not between 0 and 1: give 0.95 for a 95% band.")
    if draws < 100:
        raise ApmkitError(f"draws={draws} is too few for a quantile: give at least 100.")
    covariance = estimate.covariance.to_numpy()
    if np.isnan(covariance).any():
        raise ApmkitError(f"{estimate.estimator} has no covariance: its inference is by permutation.")
    se = np.sqrt(np.diag(covariance))
    varies = se > 0
    values, vectors = np.linalg.eigh(covariance[np.ix_(varies, varies)] / np.outer(se[varies], se[varies]))
    root = vectors * np.sqrt(np.maximum(values, 0))
    random = np.random.default_rng(seed)
    t = np.abs(random.standard_normal((draws, len(values))) @ root.T).max(axis=1, initial=0.0)
    if math.isfinite(estimate.degrees_of_freedom):
        t /= np.sqrt(random.chisquare(estimate.degrees_of_freedom, draws) / estimate.degrees_of_freedom)
    critical = float(np.quantile(t, level))
    center = estimate.table["estimate"]
    return pd.DataFrame(
        {"term": estimate.table["term"], "estimate": center, "low": center - critical * se,
         "high": center + critical * se, "critical_value": critical}
    )  # fmt: skip
