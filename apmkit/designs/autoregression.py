"""Linear regression with autoregressive errors by restricted maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from apmkit.errors import EstimationError, warn

LIMIT = 3.5
"""Bound on the inverse hyperbolic tangent of a partial autocorrelation: 0.998."""


@dataclass(frozen=True, eq=False)
class AutoregressiveFit:
    """Coefficients and what their degrees of freedom need.

    Attributes
    ----------
    coefficients : ndarray, shape (k,)
    covariance : ndarray, shape (k, k)
    autoregression : ndarray, shape (order,)
    innovations : ndarray, shape (n,)
        Standardised residuals without their autocorrelation.
    parameter_covariance : ndarray, shape (order + 1, order + 1), or None
        Of the parameters of the errors, from the curvature of the likelihood; None where it has no peak.
    slopes : ndarray, shape (order + 1, k, k)
        Derivatives of `covariance` by these parameters.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    autoregression: np.ndarray
    innovations: np.ndarray
    parameter_covariance: np.ndarray | None
    slopes: np.ndarray

    def degrees_of_freedom(self, vectors: np.ndarray) -> np.ndarray:
        """Satterthwaite's for each combination of coefficients, between 2 and n - k; shape (len(vectors),)."""
        most = len(self.innovations) - len(self.coefficients)
        if self.parameter_covariance is None:
            return np.full(len(vectors), 2.0)
        variance = np.einsum("vk,kl,vl->v", vectors, self.covariance, vectors)
        slopes = np.einsum("vk,pkl,vl->vp", vectors, self.slopes, vectors)
        spread = np.einsum("vp,pq,vq->v", slopes, self.parameter_covariance, slopes)
        return np.clip(np.divide(2 * variance**2, spread, out=np.full(len(vectors), np.inf), where=spread > 0), 2, most)


def fit_autoregression(y: np.ndarray, regressors: np.ndarray, periods: np.ndarray, order: int) -> AutoregressiveFit:
    """Fit the regression with a stationary autoregression of `order` in its errors.

    Partial autocorrelations are searched on the scale of their inverse hyperbolic tangent, so that every step is
    stationary. Periods may have gaps.

    Raises
    ------
    EstimationError
        The search did not converge.

    References
    ----------
    Patterson & Thompson (1971), Biometrika 58 (restricted likelihood); Monahan (1984), Biometrika 71 (partial
    autocorrelations); Fai & Cornelius (1996), J Stat Comput Simul 54 (Satterthwaite degrees of freedom).
    """
    n, k = regressors.shape
    distance = np.abs(np.subtract.outer(periods, periods))
    # What the regressors explain is taken out first, so that the level of the outcome takes no part in the search.
    explained = np.linalg.lstsq(regressors, y)[0]
    y = y - regressors @ explained

    def solve(u):
        correlation = _autocorrelations(_autoregression(np.tanh(u)), int(distance.max()))[distance]
        root = linalg.cholesky(correlation, lower=True)
        white = linalg.solve_triangular(root, np.column_stack([regressors, y]), lower=True)
        q, r = np.linalg.qr(white[:, :-1])
        coefficients = linalg.solve_triangular(r, q.T @ white[:, -1])
        innovations = white[:, -1] - white[:, :-1] @ coefficients
        log_det = np.log(np.diag(root)).sum() + np.log(np.abs(np.diag(r))).sum()
        return coefficients, r, innovations, log_det

    def profile(u):
        try:
            _, _, innovations, log_det = solve(u)
        except np.linalg.LinAlgError:  # singular to working precision
            return np.inf
        return log_det + (n - k) / 2 * np.log(innovations @ innovations)

    def full(theta):
        _, _, innovations, log_det = solve(theta[:-1])
        return log_det + (n - k) / 2 * theta[-1] + innovations @ innovations / (2 * np.exp(theta[-1]))

    def covariance(theta):
        inverse = linalg.solve_triangular(solve(theta[:-1])[1], np.eye(k))
        return np.exp(theta[-1]) * inverse @ inverse.T

    starts = np.outer(np.arctanh([-0.6, -0.3, 0.0, 0.3, 0.6, 0.9]), np.eye(order)[0])
    with np.errstate(invalid="ignore"):  # differences where the likelihood is infinite on both sides
        best = optimize.minimize(
            profile, min(starts, key=profile), method="L-BFGS-B", bounds=[(-LIMIT, LIMIT)] * order,
            options={"ftol": 1e-14, "gtol": 1e-7},
        )  # fmt: skip
    if not np.isfinite(best.fun):
        raise EstimationError(f"An autoregression of order {order} does not fit these errors: give fewer lags.")
    coefficients, _, innovations, _ = solve(best.x)
    theta = np.append(best.x, np.log(innovations @ innovations / (n - k)))
    step = 1e-3 * np.eye(order + 1)
    slopes = np.array([(covariance(theta + h) - covariance(theta - h)) / 2e-3 for h in step])
    curvature = np.array([[full(theta + g + h) - full(theta + g - h) - full(theta - g + h) + full(theta - g - h)
                           for g in step] for h in step]) / 4e-6  # fmt: skip
    peaked = np.abs(best.x).max() < LIMIT - 1e-3 and np.linalg.eigvalsh(curvature)[0] > 1e-6
    if not peaked:
        warn(f"The errors are close to a random walk, or an autoregression of order {order} has no clear fit: a level "
             "change can hardly be told from drift, and 2 degrees of freedom are used.")  # fmt: skip
    return AutoregressiveFit(
        coefficients + explained,
        covariance(theta),
        _autoregression(np.tanh(best.x)),
        innovations / np.exp(theta[-1] / 2),
        np.linalg.inv(curvature) if peaked else None,
        slopes,
    )


def _autoregression(partial: np.ndarray) -> np.ndarray:
    """Coefficients of the autoregression with these partial autocorrelations (Durbin-Levinson)."""
    phi = np.empty(0)
    for value in partial:
        phi = np.append(phi - value * phi[::-1], value)
    return phi


def _autocorrelations(phi: np.ndarray, most: int) -> np.ndarray:
    """Autocorrelations of lags 0 to `most` from the Yule-Walker equations, shape (most + 1,)."""
    p = len(phi)
    lag = np.abs(np.subtract.outer(np.arange(1, p + 1), np.arange(1, p + 1)))
    equations = np.eye(p)
    np.subtract.at(equations, (np.arange(p)[:, None] + 0 * lag, np.maximum(lag - 1, 0)), np.where(lag > 0, phi, 0.0))
    size = max(most, p) + 1
    start = np.zeros(size)
    start[0], start[1 : p + 1] = 1, np.linalg.solve(equations, phi)
    # Beyond the order each follows from those before it: a banded system.
    bands = np.zeros((p + 1, size))
    bands[0] = 1
    for j in range(1, p + 1):
        bands[j, p + 1 - j :] = -phi[j - 1]
    return linalg.solve_banded((p, 0), bands, start)[: most + 1]
