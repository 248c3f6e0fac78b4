"""Several estimates per study: a multilevel model, with standard errors that survive if it is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import optimize

from apmkit.columns import checksum
from apmkit.errors import EstimationError, PanelError, warn
from apmkit.estimate import Estimate
from apmkit.options import check_level
from apmkit.synthesis.pooling import check_columns, design_of, estimates_and_variances, study_table


def multilevel_meta_analysis(
    data: pd.DataFrame,
    *,
    study: str,
    estimate: str = "estimate",
    se: str = "se",
    label: str | None = None,
    moderators: Sequence[str] = (),
    robust: bool = True,
    level: float = 0.95,
) -> Estimate:
    """Mean effect where a study gives several estimates, which then are not independent.

    True effects vary between studies and, within a study, between its estimates; both variances are fitted by
    restricted maximum likelihood. Sampling errors are taken as independent. As estimates from one sample are not, the
    standard errors are by default cluster-robust, with studies as clusters: they need the model for weights only.

    Parameters
    ----------
    data : DataFrame
        One row per estimate.
    study : str
        Column that names the study (or the sample) of each estimate.
    estimate, se : str
        Columns of estimates and their standard errors.
    label : str, optional
        Column that names the estimates; the study by default.
    moderators : list of str
        Columns of numbers that may explain why effects differ.
    robust : bool
        Bias-reduced cluster-robust variance (CR2) with Satterthwaite's degrees of freedom, one for each term; otherwise
        the variance of the model, normal.
    level : float
        Level of the confidence intervals.

    Returns
    -------
    Estimate
        The mean effect, or a constant and one slope per moderator; column `df` of the table where `robust`. `details`
        holds `studies` (one row per estimate, weights in percent) and `heterogeneity` (variance between studies and
        between the estimates of a study).

    Raises
    ------
    PanelError
        A column is absent or missing, or a standard error is not above zero.
    EstimationError
        Fewer than two studies, no study with several estimates, moderators that repeat each other,
        estimates that are all alike with `robust`, or no convergence.

    Warns
    -----
    DesignWarning
        Degrees of freedom below four: a robust p-value cannot be trusted (Tipton 2015).

    References
    ----------
    Van den Noortgate, W., Lopez-Lopez, J., Marin-Martinez, F. and Sanchez-Meca, J. (2013), Behavior Research Methods
    45(2), on the model; Pustejovsky, J. E. and Tipton, E. (2018), Journal of Business & Economic Statistics 36(4),
    eq. 6 and 11, on CR2; Tipton, E. (2015), Psychological Methods 20(3).

    Examples
    --------
    >>> import pandas as pd
    >>> effects = pd.DataFrame({
    ...     "study": list("aabbbccddeeff"), "se": 0.1,
    ...     "estimate": [0.1, 0.2, 0.5, 0.4, 0.6, -0.1, 0.0, 0.3, 0.2, 0.4, 0.5, 0.2, 0.1],
    ... })
    >>> multilevel_meta_analysis(effects, study="study").table[["estimate", "se", "df"]].round(2)
       estimate    se   df
    0      0.24  0.08  5.0
    """
    check_level(level)
    y, variance = estimates_and_variances(data, estimate, se)
    names, design = design_of(data, moderators)
    check_columns(data, [study] if label is None else [study, label])
    if data[study].isna().any():
        raise PanelError(f"Column {study!r} is missing at index {data.index[data[study].isna()][0]!r}: name the study.")
    codes, studies = pd.factorize(data[study])
    if len(studies) <= design.shape[1]:
        raise EstimationError(
            f"Column {study!r} has too few studies ({len(studies)}) for coefficients ({design.shape[1]}) and their "
            "variance: add studies or leave out moderators."
        )
    if len(studies) == len(y):
        raise EstimationError(f"No study in {study!r} has several estimates: use meta_analysis.")
    same = codes[:, None] == codes
    centred = y - y.mean()  # the constant takes the mean up without loss of digits
    between, within = _variances(centred, variance, design, same)
    working = np.diag(variance + within) + between * same
    inverse_working = np.linalg.inv(working)
    weighted = inverse_working @ design
    bread = np.linalg.inv(design.T @ weighted)
    coefficients = bread @ weighted.T @ centred
    covariance, df = bread, np.full(len(names), math.inf)
    if robust:
        residual = centred - design @ coefficients
        if (residual**2 / variance).sum() < 1e-14:
            raise EstimationError(
                "The estimates do not differ from their fit, so the robust standard error is zero: give robust=False."
            )
        covariance, df = _robust(residual, design, working, inverse_working, bread, codes)
        if df.min() < 4:
            term = names[int(df.argmin())]
            warn(
                f"{term!r} has {df.min():.1f} degrees of freedom, too few for a robust p-value: read it as a rough "
                "guide, or use robust=False."
            )
    coefficients[0] += y.mean()
    return Estimate.from_covariance(
        pd.DataFrame({"term": names}),
        coefficients,
        covariance,
        level=level,
        degrees_of_freedom=df if robust else math.inf,
        estimand="mean of true effects",
        estimator="Multilevel meta-analysis (REML)",
        outcome=estimate,
        n_obs=len(y),
        n_units=len(studies),
        n_clusters=len(studies),
        diagnostics={
            "studies": len(studies),
            "variance": "CR2, clustered by study" if robust else "of the model",
            "reference_distribution": "t (Satterthwaite)" if robust else "normal",
        },
        details={
            "studies": study_table(
                data[label or study].to_numpy(),
                y,
                variance,
                100 * inverse_working.sum(axis=0) / inverse_working.sum(),
                level,
            ),
            "heterogeneity": pd.DataFrame(
                {"estimate": [between, within, math.sqrt(between), math.sqrt(within)]},
                index=["tau2 between studies", "tau2 within studies", "tau between studies", "tau within studies"],
            ),
        },
        call=f"multilevel_meta_analysis(data, study={study!r}, estimate={estimate!r}, se={se!r}, "
        f"moderators={names[1:]!r}, robust={robust}, level={level})",
        data_sha256=checksum(data, [study, estimate, se, *names[1:]]),
    )


def _variances(y, variance, design, same) -> tuple[float, float]:
    """Variances between and within studies by restricted maximum likelihood, in units of the spread of `y`."""
    scale = max(float(y.var()), float(variance.mean()))
    parts = (same.astype(float), np.eye(len(y)))

    def objective(theta):
        working = np.diag(variance / scale + theta[1]) + theta[0] * same
        inverse = np.linalg.inv(working)
        weighted = inverse @ design
        inner = design.T @ weighted
        projection = inverse - weighted @ np.linalg.solve(inner, weighted.T)
        projected = projection @ y
        value = np.linalg.slogdet(working)[1] + np.linalg.slogdet(inner)[1] + y @ projected / scale
        slope = [(projection * part).sum() - projected @ part @ projected / scale for part in parts]
        return value, np.array(slope)

    best = None
    for start in ((0.5, 0.5), (0.9, 0.05), (0.05, 0.9), (0.0, 0.0)):
        found = optimize.minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * 2,
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1_000},
        )  # fmt: skip
        if np.isfinite(found.fun) and (best is None or found.fun < best.fun):
            best = found
    projected_slope = np.where((best.x <= 0) & (best.jac > 0), 0.0, best.jac)
    if np.abs(projected_slope).max() > 1e-4:
        raise EstimationError("The variances between and within studies did not converge: check the standard errors.")
    between, within = best.x * scale
    return float(between), float(within)


def _robust(residual, design, working, inverse_working, bread, codes) -> tuple[np.ndarray, np.ndarray]:
    """CR2 covariance of the coefficients and Satterthwaite's degrees of freedom of each."""
    leftover = working - design @ bread @ design.T
    k, p = design.shape
    scores, maps = np.zeros((codes.max() + 1, p)), np.zeros((codes.max() + 1, p, k))
    for study in range(codes.max() + 1):
        own = np.flatnonzero(codes == study)
        root = np.linalg.cholesky(working[np.ix_(own, own)]).T
        values, vectors = np.linalg.eigh(root @ leftover[np.ix_(own, own)] @ root.T)
        inverse_root = np.where(values > 1e-10 * values.max(), values, np.inf) ** -0.5
        adjust = root.T @ (vectors * inverse_root) @ vectors.T @ root
        own_map = bread @ (design[own].T @ inverse_working[np.ix_(own, own)]) @ adjust
        scores[study] = own_map @ residual[own]
        maps[study][:, own] = own_map
    products = np.einsum("gpi,ij,hpj->pgh", maps, leftover, maps, optimize=True)
    df = np.trace(products, axis1=1, axis2=2) ** 2 / (products**2).sum(axis=(1, 2))
    return scores.T @ scores, df
