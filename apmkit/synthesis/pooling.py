"""Fixed and random effects, and regression on moderators, one estimate per study."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from apmkit.columns import checksum, finite, show
from apmkit.errors import EstimationError, PanelError, warn
from apmkit.estimate import Estimate
from apmkit.options import check_level
from apmkit.synthesis.heterogeneity import (
    METHODS,
    Weighted,
    between_study_variance,
    check_method,
    variance_interval,
)


def meta_analysis(
    data: pd.DataFrame,
    *,
    estimate: str = "estimate",
    se: str = "se",
    label: str | None = None,
    method: str = "REML",
    knapp_hartung: bool = False,
    moderators: Sequence[str] = (),
    tolerance: float = 6e-5,
    level: float = 0.95,
) -> Estimate:
    """Mean of the effects that several studies found, or how they move with moderators.

    Parameters
    ----------
    data : DataFrame
        One row per study. Estimates must share a scale and be independent; see `multilevel_meta_analysis` for several
        estimates of a study.
    estimate, se : str
        Columns of estimates and their standard errors.
    label : str, optional
        Column that names the studies; the index by default.
    method : str
        ``"fixed"`` (one true effect), or the estimator of the variance between studies: ``"REML"``, ``"ML"``,
        ``"DL"``, ``"PM"``, ``"EB"``, ``"HE"``, ``"HS"`` or ``"SJ"``.
    knapp_hartung : bool
        Standard errors that carry the error of that variance, with a t distribution. Wise with few studies; tests keep
        their size where studies are of like precision, and reject a little too often where they are not.
    moderators : list of str
        Columns of numbers that may explain why effects differ.
    tolerance : float
        REML and ML stop at a step below this share of the mean sampling variance. The default stops where metafor
        does with its own default; 1e-12 gives the maximum, which differs in the fifth digit where convergence is slow.
    level : float
        Level of all intervals.

    Returns
    -------
    Estimate
        The mean effect, or a constant and one slope per moderator. `details` holds `studies` (with weights in
        percent), `heterogeneity` (tau2, tau, I2 in percent and H2 with intervals; from Q where `method` is
        ``"fixed"``) and, without moderators, `prediction`: where the true effect of a new study may lie, from the
        same reference distribution as the interval of the mean. `diagnostics` holds Q with its p-value; with moderators
        also the test of all of them (`QM`) and `R2`, the share in percent of the variance that they explain.

    Raises
    ------
    PanelError
        A column is absent, missing or not finite, or a standard error is not above zero.
    EstimationError
        Fewer than two studies, more coefficients than studies, moderators that repeat each other, an unknown method,
        estimates that are all alike with `knapp_hartung`, or no convergence.

    References
    ----------
    Viechtbauer, W. (2010), Journal of Statistical Software 36(3), whose package metafor gives the same numbers;
    Knapp, G. and Hartung, J. (2003), Statistics in Medicine 22(17); Higgins, J., Thompson, S. and Spiegelhalter, D.
    (2009), Journal of the Royal Statistical Society A 172(1), on prediction.

    Examples
    --------
    >>> import pandas as pd
    >>> studies = pd.DataFrame({"estimate": [-0.9, -1.6, -1.3, -0.2], "se": [0.4, 0.3, 0.5, 0.2]})
    >>> result = meta_analysis(studies, knapp_hartung=True)
    >>> result.table[["term", "estimate"]].round(3)
              term  estimate
    0  mean effect    -0.954
    >>> result.details["heterogeneity"].loc["I2", "estimate"].round(1)
    np.float64(77.0)
    """
    check_level(level)
    check_method(method, tolerance)
    if method == "fixed" and knapp_hartung:
        raise EstimationError("knapp_hartung belongs to random effects: choose a method other than 'fixed'.")
    y, variance = estimates_and_variances(data, estimate, se)
    names, design = design_of(data, moderators)
    k, p = design.shape
    if k <= p:
        raise EstimationError(f"{k} studies cannot carry {p} coefficients: leave out moderators or add studies.")
    labels = labels_of(data, label)
    tau2, tau2_se = between_study_variance(y, variance, design, method, tolerance)
    fit, plain = Weighted.of(y, variance, design, tau2), Weighted.of(y, variance, design)
    covariance, df = fit.inverse, math.inf
    if knapp_hartung:
        if fit.q < 1e-14 * (k - p):
            raise EstimationError(
                "The estimates do not differ from their fit, so Knapp and Hartung's standard error is zero: give "
                "knapp_hartung=False."
            )
        covariance, df = fit.inverse * fit.q / (k - p), k - p
        if fit.q < k - p:
            warn(
                "The estimates lie closer to their mean than their standard errors and tau2 lead to expect, and the "
                "Knapp-Hartung standard error is smaller than the other: read knapp_hartung=False beside it."
            )
    heterogeneity = _heterogeneity(y, variance, design, plain, tau2, method, level)
    diagnostics = {
        "method": f"{method}: {METHODS[method]}",
        "Q": plain.q,
        "Q_df": k - p,
        "Q_p_value": float(stats.chi2.sf(plain.q, k - p)),
        "tau2_se": tau2_se,
        "reference_distribution": f"t({k - p})" if knapp_hartung else "normal",
    }
    details = {"studies": study_table(labels, y, variance, 100 * fit.weights / fit.weights.sum(), level)}
    details["heterogeneity"] = heterogeneity
    if p == 1 and method != "fixed":
        half = _quantile(level, df) * math.sqrt(tau2 + covariance[0, 0])
        centre = fit.coefficients[0]
        details["prediction"] = pd.DataFrame({"low": [centre - half], "high": [centre + half], "level": [level]})
    if p > 1:
        slopes = fit.coefficients[1:]
        wald = float(slopes @ np.linalg.solve(covariance[1:, 1:], slopes))
        diagnostics["QM"] = wald if math.isinf(df) else wald / (p - 1)
        diagnostics["QM_p_value"] = float(
            stats.chi2.sf(wald, p - 1) if math.isinf(df) else stats.f.sf(wald / (p - 1), p - 1, df)
        )
        without = between_study_variance(y, variance, design[:, :1], method, tolerance)[0]
        diagnostics["R2"] = max(0.0, 100 * (without - tau2) / without) if without > 0 else math.nan
    return Estimate.from_covariance(
        pd.DataFrame({"term": names}),
        fit.coefficients,
        covariance,
        level=level,
        degrees_of_freedom=df,
        estimand="mean of true effects" if method != "fixed" else "common effect",
        estimator="Fixed effect meta-analysis" if method == "fixed" else f"Random effects meta-analysis ({method})",
        outcome=estimate,
        n_obs=k,
        n_units=k,
        n_clusters=k,
        diagnostics=diagnostics,
        details=details,
        call=f"meta_analysis(data, estimate={estimate!r}, se={se!r}, method={method!r}, "
        f"knapp_hartung={knapp_hartung}, moderators={names[1:]!r}, tolerance={tolerance}, level={level})",
        data_sha256=checksum(data, [estimate, se, *names[1:]]),
    )


def estimates_and_variances(data: pd.DataFrame, estimate: str, se: str) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and squared standard errors, checked."""
    check_columns(data, [estimate, se])
    if len(data) < 2:
        raise EstimationError(f"A synthesis needs at least two studies and there is {len(data)}: add studies.")
    y, errors = finite(data, estimate), finite(data, se)
    if (errors <= 0).any():
        row = int(np.flatnonzero(errors <= 0)[0])
        raise PanelError(
            f"Column {se!r} holds {errors[row]:g} at index {show(data.index[row])}: a standard error is above zero; "
            "leave out estimates without one."
        )
    return y, errors**2


def check_columns(data: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse what is no table, and columns that are not there."""
    if not isinstance(data, pd.DataFrame):
        raise PanelError(f"data must be a pandas DataFrame, not {type(data).__name__}: one row for each estimate.")
    for column in columns:
        if column not in data.columns:
            raise PanelError(f"{column!r} is not a column of the data; the columns are {', '.join(map(str, data))}.")


def design_of(data: pd.DataFrame, moderators: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names of the coefficients and the design: a constant and the moderators."""
    moderators = list(moderators) if isinstance(moderators, (list, tuple, pd.Index)) else [moderators]
    check_columns(data, moderators)
    design = np.column_stack([np.ones(len(data)), *(finite(data, name) for name in moderators)])
    names = ["intercept", *moderators] if moderators else ["mean effect"]
    scaled = design / np.maximum(np.abs(design).max(axis=0), 1e-300)
    for width in range(2, design.shape[1] + 1):
        if np.linalg.matrix_rank(scaled[:, :width], tol=1e-9) < width:
            raise EstimationError(
                f"Moderator {names[width - 1]!r} does not vary beyond {', '.join(names[: width - 1])}: leave it out."
            )
    return names, design


def labels_of(data: pd.DataFrame, label: str | None) -> np.ndarray:
    """Names of the rows."""
    if label is None:
        return data.index.to_numpy()
    check_columns(data, [label])
    return data[label].to_numpy()


def study_table(labels, y, variance, weight, level: float) -> pd.DataFrame:
    """One row per estimate with its interval and its weight in percent."""
    half = stats.norm.ppf(0.5 + level / 2) * np.sqrt(variance)
    return pd.DataFrame(
        {"label": labels, "estimate": y, "se": np.sqrt(variance), "ci_low": y - half, "ci_high": y + half,
         "weight": weight}
    )  # fmt: skip


def _quantile(level: float, df: float) -> float:
    return float(stats.norm.ppf(0.5 + level / 2) if math.isinf(df) else stats.t.ppf(0.5 + level / 2, df))


def _heterogeneity(y, variance, design, plain: Weighted, tau2: float, method: str, level: float) -> pd.DataFrame:
    df = len(y) - design.shape[1]
    if method == "fixed":
        h2 = plain.q / df
        values = np.array([[0.0, 0.0, max(0.0, 100 * (1 - 1 / h2)) if h2 > 0 else 0.0, h2], *[[math.nan] * 4] * 2])
    else:
        bounds = variance_interval(y, variance, design, level)
        typical = df / np.trace(plain.projection)
        t = np.array([tau2, *bounds])
        values = np.column_stack([t, np.sqrt(t), 100 * t / (t + typical), t / typical + 1])
    return pd.DataFrame(values.T, index=["tau2", "tau", "I2", "H2"], columns=["estimate", "low", "high"])
