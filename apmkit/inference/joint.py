"""A joint test of several estimates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from apmkit.errors import ApmkitError, warn
from apmkit.estimate import Estimate


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
        A term does not exist, there are none, there is no covariance, or there are no more clusters than terms.

    Warns
    -----
    DesignWarning
        There are fewer than five clusters for each term.

    References
    ----------
    Roth, J. (2022), American Economic Review: Insights 4(3), on what a pre-trend test can miss.
    """
    table = estimate.table
    if terms is None:
        if "relative_time" not in table:
            raise ApmkitError("These estimates have no relative time: name the terms to test.")
        chosen = (table["relative_time"] < -estimate.diagnostics.get("anticipation", 0)).to_numpy()
        if not chosen.any():
            raise ApmkitError("There is no term before treatment: name the terms to test.")
    else:
        terms = [terms] if isinstance(terms, str) else list(terms)
        unknown = sorted(set(terms) - set(table["term"]))
        if unknown or not terms:
            what = f"There is no term {unknown[0]!r}" if unknown else "No term is named"
            raise ApmkitError(f"{what}: the terms are {', '.join(table['term'])}.")
        chosen = table["term"].isin(terms).to_numpy()
    covariance = estimate.covariance.to_numpy()[np.ix_(chosen, chosen)]
    if np.isnan(covariance).any():
        raise ApmkitError(f"{estimate.estimator} has no covariance of these terms: its inference is by permutation.")
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
    values = table["estimate"].to_numpy()[chosen]
    scale = np.sqrt(np.where(np.diag(covariance) > 0, np.diag(covariance), 1.0))
    standardised = covariance / np.outer(scale, scale)
    df = int(np.linalg.matrix_rank(standardised, tol=1e-9, hermitian=True))
    if df == 0:
        raise ApmkitError("These terms have no variance: the outcome does not vary where they are estimated.")
    wald = float(values / scale @ np.linalg.pinv(standardised, rcond=1e-9, hermitian=True) @ (values / scale))
    if math.isinf(estimate.degrees_of_freedom):
        return pd.Series({"statistic": wald, "df": df, "p_value": stats.chi2.sf(wald, df)})
    return pd.Series(
        {"statistic": wald / df, "df": df, "p_value": stats.f.sf(wald / df, df, estimate.degrees_of_freedom)}
    )
