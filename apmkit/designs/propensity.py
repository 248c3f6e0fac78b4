"""Probability of treatment given covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from apmkit.columns import count
from apmkit.errors import ApmkitError, EstimationError, warn

NEAR = 0.01
"""Propensities this close to 0 or 1 are named in a warning."""


@dataclass(frozen=True, eq=False)
class Propensity:
    """A fitted logit.

    Attributes
    ----------
    regressors : ndarray, shape (n, k)
        Intercept and standardised covariates.
    probability : ndarray, shape (n,)
    influence : ndarray, shape (n, k)
        Of each row on the coefficients.
    """

    regressors: np.ndarray
    probability: np.ndarray
    influence: np.ndarray


def fit_propensity(treated: np.ndarray, covariates: np.ndarray, names: Sequence[str]) -> Propensity:
    """Logit by maximum likelihood (Newton-Raphson) on standardised covariates.

    Raises
    ------
    EstimationError
        Covariates separate treated and untreated rows, or there are more coefficients than rows in a group.
    """
    x = np.column_stack([np.ones(len(treated)), covariates])
    smaller = min(int(treated.sum()), int((~treated).sum()))
    if smaller < 2:
        raise EstimationError(
            f"One group has {count(smaller, 'row')}: a comparison needs at least two treated and two others."
        )
    coefficients = np.zeros(x.shape[1])
    coefficients[0] = special.logit(treated.mean())
    for _ in range(50):
        p = special.expit(x @ coefficients)
        information = (x * (p * (1 - p))[:, None]).T @ x
        if np.linalg.cond(information) > 1e14 or np.abs(x @ coefficients).max() > 40:
            break
        step = np.linalg.solve(information, x.T @ (treated - p))
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-10:
            p = special.expit(x @ coefficients)
            scores = x * (treated - p)[:, None]
            return Propensity(x, p, np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, scores.T).T)
    raise EstimationError(
        f"The covariates{_separating(treated, covariates, names)} tell treated and untreated rows apart without error: "
        "there is nobody to compare with; leave out or coarsen that covariate, or restrict both groups to where they "
        "overlap."
    )


def _separating(treated, covariates, names) -> str:
    one, zero = covariates[treated], covariates[~treated]
    apart = (one.min(axis=0) > zero.max(axis=0)) | (one.max(axis=0) < zero.min(axis=0))
    return f", {names[int(np.flatnonzero(apart)[0])]!r} alone," if apart.any() else " together"


def overlapping(values: np.ndarray, estimand: str, trim: float | None) -> np.ndarray:
    """Rows whose propensity is not closer than `trim` to 0 or 1 (to 1 only, for the treated); warns of extremes."""
    if trim is not None and (isinstance(trim, bool) or not isinstance(trim, (int, float)) or not 0 < trim < 0.5):
        raise ApmkitError(f"trim={trim!r} is not between 0 and 0.5: give 0.01 to leave out propensities above 0.99.")
    far = values if estimand == "ATT" else np.maximum(values, 1 - values)
    if trim is not None:
        return far <= 1 - trim
    extreme = int((far > 1 - NEAR).sum())
    if extreme:
        warn(
            f"{count(extreme, 'row')} with a propensity within {NEAR} of "
            f"{'1' if estimand == 'ATT' else '0 or 1'}, up to {far.max():.4f}: few rows carry much weight; "
            f"trim={NEAR} leaves them out and changes who the effect is for."
        )
    return np.ones(len(values), dtype=bool)
