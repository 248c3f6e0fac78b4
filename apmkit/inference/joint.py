"""A joint test of several estimates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from apmkit.errors import ApmkitError, warn
from apmkit.estimate import Estimate
from apmkit.options import check_estimate


def joint_test(estimate: Estimate, terms: list[str] | None = None) -> pd.Series:
    """Wald test that all `terms` are zero.

    Parameters
    ----------
    estimate : Estimate
    terms : list of str, optional
        By default the terms before treatment, or before it is anticipated, a test of pre-trends. A test that does not
        reject is not evidence that trends are parallel; it may only lack power.

    Returns
    -------
    Series
        `statistic`, `df`, `p_value`. Chi-squared where the estimate's reference is the normal distribution; F with the
        estimate's degrees of freedom, the statistic divided by `df`, where it is t.

    Raises
    ------
    ApmkitError
        A term does not exist, there are none, there is no covariance, it is singular and the estimates contradict it,
        or there are no more clusters than terms.

    Warns
    -----
    DesignWarning
        There are fewer than five clusters for each term.

    References
    ----------
    Roth, J. (2022), American Economic Review: Insights 4(3), on what a pre-trend test can miss.
    """
    check_estimate(estimate)
    chosen = before_treatment(estimate) if terms is None else named(estimate, terms)
    values, covariance = known(estimate, chosen)
    tested, clusters = int(chosen.sum()), estimate.n_clusters
    if clusters <= tested:
        raise ApmkitError(
            f"{clusters} clusters cannot test {tested} terms together: name fewer terms, pool them, or use finer "
            "clusters."
        )
    if clusters < 5 * tested:
        warn(
            f"{tested} terms are tested together with {clusters} clusters: such a test rejects far too often; name "
            "fewer terms, or pool them."
        )
    scale = np.sqrt(np.where(np.diag(covariance) > 0, np.diag(covariance), 1.0))
    standardised = covariance / np.outer(scale, scale)
    df = int(np.linalg.matrix_rank(standardised, tol=1e-9, hermitian=True))
    if df == 0:
        raise ApmkitError("These terms have no variance: the outcome does not vary where they are estimated.")
    t = values / scale
    solved = np.linalg.pinv(standardised, rcond=1e-9, hermitian=True) @ t
    if np.abs(standardised @ solved - t).max() > 1e-6 * np.abs(t).max():
        raise ApmkitError(
            "The covariance of these terms is singular and says of a sum of them that it is known for sure: name fewer."
        )
    wald = float(t @ solved)
    if math.isinf(estimate.degrees_of_freedom):
        return pd.Series({"statistic": wald, "df": df, "p_value": stats.chi2.sf(wald, df)})
    return pd.Series(
        {"statistic": wald / df, "df": df, "p_value": stats.f.sf(wald / df, df, estimate.degrees_of_freedom)}
    )


def named(estimate: Estimate, terms: str | list[str]) -> np.ndarray:
    """Where the named terms are in the table."""
    names = estimate.table["term"]
    terms = list(terms) if isinstance(terms, (list, tuple, pd.Series, pd.Index, np.ndarray)) else [terms]
    unknown = [term for term in terms if term not in set(names)]
    if unknown or not terms:
        what = f"There is no term {unknown[0]!r}" if unknown else "No term is named"
        raise ApmkitError(f"{what}: the terms are {', '.join(names)}.")
    return names.isin(terms).to_numpy()


def before_treatment(estimate: Estimate) -> np.ndarray:
    """Where the terms before treatment, or before it is anticipated, are in the table."""
    times = estimate.table.get("relative_time")
    if times is None or not pd.api.types.is_numeric_dtype(times):
        raise ApmkitError("These estimates have no relative time: name the terms to test.")
    chosen = (times < -estimate.diagnostics.get("anticipation", 0)).to_numpy()
    if not chosen.any():
        raise ApmkitError("There is no term before treatment: name the terms to test.")
    return chosen


def known(estimate: Estimate, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and covariance of the chosen terms, all of them there."""
    values = estimate.table["estimate"].to_numpy(dtype=float)[chosen]
    covariance = estimate.covariance.to_numpy(dtype=float)[np.ix_(chosen, chosen)]
    missing = ~np.isfinite(values) | ~np.isfinite(covariance).all(axis=1)
    if missing.any():
        term = estimate.table["term"].to_numpy()[chosen][missing][0]
        raise ApmkitError(f"{estimate.estimator} has no covariance of {term!r}: use an estimator with standard errors.")
    return values, covariance
