"""How alike treated and untreated rows are, before and after weighting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from apmkit.columns import finite
from apmkit.designs.sample import check_columns, matrix, names_of, two_groups
from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate


def balance_table(
    data: pd.DataFrame | Estimate,
    *,
    treatment: str | None = None,
    covariates: str | Sequence[str] = (),
    weights: str | None = None,
    estimand: str = "ATT",
) -> pd.DataFrame:
    """Means, standardised differences and variance ratios of covariates, before and after weighting.

    Parameters
    ----------
    data : DataFrame or Estimate
        One row per observation; or a weighted estimate, which has its table already.
    treatment : str
        Column of 0 and 1.
    covariates : str or list of str
        Columns of numbers.
    weights : str, optional
        Column of weights, not negative; without it the columns `_after` equal those before.
    estimand : {"ATT", "ATE"}
        Differences are in standard deviations of the treated (ATT), or of both groups, root of the mean variance (ATE),
        before weighting in either case.

    Returns
    -------
    DataFrame
        Indexed by covariate: `mean_treated_before`, `mean_control_before`, `difference_before`,
        `variance_ratio_before` (treated over control), and the same `_after`.

    Raises
    ------
    ApmkitError
        A column is unusable, a weight is negative, a group has no weight, or the estimate is not a weighted one.

    References
    ----------
    Austin (2009), Stat Med 28, eqs. 1 and 2; Stuart (2010), Stat Sci 25, section 4.1.

    Examples
    --------
    >>> frame = pd.DataFrame({"joined": [1, 1, 0, 0, 0], "age": [60.0, 70.0, 50.0, 60.0, 70.0]})
    >>> balance_table(frame, treatment="joined", covariates="age")["difference_before"].round(3).item()
    0.707
    """
    if isinstance(data, Estimate):
        if "balance" not in data.details:
            raise ApmkitError(f"{data.estimator} has no balance table: it weights nobody.")
        if treatment is not None or weights is not None or len(covariates):
            raise ApmkitError("A weighted estimate has its balance table already: give it alone.")
        return data.details["balance"].copy()
    covariates = names_of(covariates, "covariates")
    if treatment is None or not covariates:
        raise ApmkitError("Give treatment and at least one of covariates.")
    check_columns(data, {"weights": weights}, treatment=treatment, covariates=covariates)
    treated = two_groups(data, treatment)
    w = np.ones(len(data)) if weights is None else finite(data, weights)
    if (w < 0).any():
        raise ApmkitError(f"Column {weights!r} holds {w.min():g}: weights are zero or above.")
    for value in (1, 0):
        if w[treated == bool(value)].sum() == 0:
            raise ApmkitError(f"Column {weights!r} gives no weight to rows with {treatment!r} = {value}: check it.")
    check_estimand(estimand)
    return balance(matrix(data, covariates), covariates, treated, w, estimand)


def check_estimand(estimand: str) -> None:
    if estimand not in ("ATT", "ATE"):
        raise ApmkitError(f"estimand={estimand!r} is not known: give 'ATT' (of the treated) or 'ATE' (of everyone).")


def balance(x: np.ndarray, names: Sequence[str], treated: np.ndarray, weights: np.ndarray, estimand: str):
    """The table of `balance_table` from arrays."""
    before = _moments(x, treated, np.ones(len(x)))
    after = _moments(x, treated, weights)
    unit = np.sqrt(before[1][1] if estimand == "ATT" else (before[1][0] + before[1][1]) / 2)
    columns = {}
    for when, (means, variances) in {"before": before, "after": after}.items():
        columns[f"mean_treated_{when}"], columns[f"mean_control_{when}"] = means[1], means[0]
        gap = means[1] - means[0]
        columns[f"difference_{when}"] = np.divide(gap, unit, out=np.full(len(gap), np.nan), where=unit > 0)
        columns[f"variance_ratio_{when}"] = np.divide(
            variances[1], variances[0], out=np.full(len(gap), np.nan), where=variances[0] > 0
        )
    return pd.DataFrame(columns, index=pd.Index(names, name="covariate"))


def _moments(x, treated, weights):
    """Weighted means and unbiased variances by group, untreated first; each shape (2, n_covariates)."""
    means, variances = [], []
    for group in (~treated, treated):
        w = weights[group] / weights[group].sum()
        means.append(w @ x[group])
        free = 1 - (w**2).sum()
        variances.append(w @ (x[group] - means[-1]) ** 2 / free if free > 1e-12 else np.full(x.shape[1], np.nan))
    return np.array(means), np.array(variances)


def effective_sizes(treated: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Effective sample size of each group, (sum w)^2 / sum w^2 (Kish 1965)."""
    return {
        name: float(weights[group].sum() ** 2 / (weights[group] ** 2).sum())
        for name, group in {"treated": treated, "control": ~treated}.items()
    }
