"""How much true effects differ between studies: estimators of their variance, its interval, and what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy import optimize, stats

from apmkit.errors import EstimationError

METHODS = {
    "fixed": "one true effect, no heterogeneity",
    "DL": "DerSimonian and Laird (1986)",
    "HE": "Hedges and Olkin (1985)",
    "HS": "Hunter and Schmidt (1990)",
    "SJ": "Sidik and Jonkman (2005)",
    "ML": "maximum likelihood",
    "REML": "restricted maximum likelihood",
    "PM": "Paule and Mandel (1982)",
    "EB": "empirical Bayes, Morris (1983)",
}
_STEPS = 2_000


def check_method(method: str, tolerance: float) -> None:
    """Refuse an estimator of the variance between studies that is not there, or a tolerance that is none."""
    if not isinstance(method, str) or method not in METHODS:
        raise EstimationError(f"method={method!r} is not known: give one of {', '.join(map(repr, METHODS))}.")
    if not isinstance(tolerance, Real) or not 0 < tolerance <= 0.01:
        raise EstimationError(f"tolerance={tolerance!r} is not a small share: give at most 0.01, for instance 1e-12.")


@dataclass(frozen=True, eq=False)
class Weighted:
    """A weighted regression of estimates on a design with weights ``1 / (variance + tau2)``.

    Attributes
    ----------
    weights : ndarray, shape (k,)
    projection : ndarray, shape (k, k)
        P, with ``y' P y`` the weighted sum of squared residuals.
    inverse : ndarray, shape (p, p)
        Covariance of the coefficients.
    coefficients : ndarray, shape (p,)
    q : float
        ``y' P y``.
    """

    weights: np.ndarray
    projection: np.ndarray
    inverse: np.ndarray
    coefficients: np.ndarray
    q: float

    @classmethod
    def of(cls, y: np.ndarray, variance: np.ndarray, design: np.ndarray, tau2: float = 0.0) -> Weighted:
        weights = 1 / (variance + tau2)
        weighted = design * weights[:, None]
        inverse = np.linalg.inv(design.T @ weighted)
        projection = np.diag(weights) - weighted @ inverse @ weighted.T
        # The design has a constant, which takes up the level of the estimates without loss of digits.
        level = y.mean()
        coefficients = inverse @ (weighted.T @ (y - level))
        residual = y - level - design @ coefficients
        coefficients[0] += level
        return cls(weights, projection, inverse, coefficients, float(residual @ (weights * residual)))


def between_study_variance(
    y: np.ndarray, variance: np.ndarray, design: np.ndarray, method: str, tolerance: float = 6e-5
) -> tuple[float, float]:
    """Variance of true effects between studies, and its standard error.

    Parameters
    ----------
    y, variance : ndarray, shape (k,)
        Estimates and their squared standard errors.
    design : ndarray, shape (k, p)
        A constant and the moderators.
    method : str
        A key of `METHODS`.
    tolerance : float
        The likelihood methods stop at a step below this share of the mean sampling variance.

    Raises
    ------
    EstimationError
        An iterative method does not converge.

    References
    ----------
    Viechtbauer, W. (2005), Journal of Educational and Behavioral Statistics 30(3), and Viechtbauer, W., Lopez-Lopez,
    J., Sanchez-Meca, J. and Marin-Martinez, F. (2015), Psychological Methods 20(3), for all of them.
    """
    k, p = design.shape
    df, y = k - p, y - y.mean()
    if method == "fixed":
        return 0.0, math.nan
    if method in ("ML", "REML"):
        return _likelihood(y, variance, design, tolerance, restricted=method == "REML")
    if method in ("PM", "EB"):
        tau2 = _root(lambda value: Weighted.of(y, variance, design, value).q - df, y)
        fit = Weighted.of(y, variance, design, tau2)
        if method == "EB":
            return tau2, math.sqrt(2 * k**2 / df) / fit.weights.sum()
        return tau2, _moment_se(fit.projection, df, tau2)
    if method == "HE":
        projection = np.eye(k) - design @ np.linalg.pinv(design)
        spread = projection * variance
        tau2 = max((y @ projection @ y - np.trace(spread)) / df, 0.0)
        return tau2, math.sqrt(2 * (spread * spread.T).sum() + 4 * tau2 * np.trace(spread) + 2 * tau2**2 * df) / df
    if method == "SJ":
        start = float(y.var())
        projection = Weighted.of(y, variance, design, start).projection
        spread = projection * variance
        tau2 = start * float(y @ projection @ y) / df
        inner = (spread * spread.T).sum() + 2 * tau2 * (spread * projection).sum()
        return tau2, start / df * math.sqrt(2 * (inner + tau2**2 * (projection**2).sum()))
    fit = Weighted.of(y, variance, design)
    if method == "HS":
        scale = fit.weights.sum()
        tau2 = max((fit.q - k) / scale, 0.0)
        trace, squared = np.trace(fit.projection), (fit.projection**2).sum()
        return tau2, math.sqrt(2 * df + 4 * tau2 * trace + 2 * tau2**2 * squared) / scale
    tau2 = max((fit.q - df) / np.trace(fit.projection), 0.0)
    return tau2, _moment_se(fit.projection, df, tau2)


def _moment_se(projection: np.ndarray, df: int, tau2: float) -> float:
    trace = np.trace(projection)
    return math.sqrt(2 * df + 4 * tau2 * trace + 2 * tau2**2 * (projection**2).sum()) / trace


def _likelihood(y, variance, design, tolerance, *, restricted: bool) -> tuple[float, float]:
    """Fisher scoring from the estimate of Hedges and Olkin, halving steps that lead below zero or back and forth."""
    tau2 = between_study_variance(y, variance, design, "HE")[0]
    previous = 0.0
    for _ in range(_STEPS):
        fit = Weighted.of(y, variance, design, tau2)
        projected = fit.projection @ y
        if restricted:
            expected, information = np.trace(fit.projection), (fit.projection**2).sum()
        else:
            expected, information = fit.weights.sum(), (fit.weights**2).sum()
        step = float(projected @ projected - expected) / information
        if step * previous < 0 and abs(step) > abs(previous) / 2:
            step /= 2  # around the maximum back and forth
        previous = step
        while tau2 + step < 0 and abs(step) > tolerance * variance.mean() / 2:
            step /= 2
        new = max(tau2 + step, 0.0)
        change, tau2 = abs(new - tau2), new
        if change <= tolerance * variance.mean():
            break
    else:
        raise EstimationError(
            f"The variance between studies did not converge in {_STEPS} steps: use method='PM' or method='DL'."
        )
    fit = Weighted.of(y, variance, design, tau2)
    information = (fit.projection**2).sum() if restricted else (fit.weights**2).sum()
    return tau2, math.sqrt(2 / information)


def _root(function, y: np.ndarray) -> float:
    """Where a decreasing function of tau2 crosses zero, zero if it starts below."""
    if function(0.0) <= 0:
        return 0.0
    high = max(float(y.var()), 1e-8)
    while function(high) > 0:
        high *= 4
    return float(optimize.brentq(function, 0.0, high, xtol=1e-300, rtol=1e-14))


def variance_interval(y: np.ndarray, variance: np.ndarray, design: np.ndarray, level: float) -> tuple[float, float]:
    """Interval of the variance between studies by the Q-profile; both ends are zero where Q is improbably small.

    References
    ----------
    Viechtbauer, W. (2007), Statistics in Medicine 26(1), section 3.
    """
    df = design.shape[0] - design.shape[1]
    low, high = (
        _root(lambda value, target=target: Weighted.of(y, variance, design, value).q - target, y)
        for target in stats.chi2.ppf([0.5 + level / 2, 0.5 - level / 2], df)
    )
    return low, high
