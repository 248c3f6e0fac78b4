"""Probability of treatment given covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy import linalg

from apmkit.columns import count
from apmkit.did.doubly_robust import NotConverged, NotIdentified, logit
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
    """Logit by maximum likelihood on standardised covariates.

    Raises
    ------
    EstimationError
        Covariates separate treated and untreated rows.
    """
    x = np.column_stack([np.ones(len(treated)), covariates])
    try:
        p, information = logit(x, treated, np.ones(len(treated)))
        # Spread of treatment that is left along the direction with least; none where covariates decide.
        apart = linalg.eigh(information, x.T @ x, eigvals_only=True)[0] < 1e-7
    except (NotIdentified, NotConverged):
        apart = True
    if apart:
        raise EstimationError(
            f"The covariates{_separating(treated, covariates, names)} tell rows with and without treatment apart for "
            "some values: nobody is there to compare with; leave out or coarsen that covariate, or restrict both "
            "groups to where they overlap."
        )
    return Propensity(x, p, np.linalg.solve(information, (x * (treated - p)[:, None]).T).T)


def _separating(treated, covariates, names) -> str:
    one, zero = covariates[treated], covariates[~treated]
    apart = (one.min(axis=0) > zero.max(axis=0)) | (one.max(axis=0) < zero.min(axis=0))
    return f", {names[int(np.flatnonzero(apart)[0])]!r} alone," if apart.any() else " together"


def overlapping(values: np.ndarray, estimand: str, trim: float | None) -> np.ndarray:
    """Rows whose propensity is not closer than `trim` to 0 or 1 (to 1 only, for the treated); warns of extremes."""
    if trim is not None and (not isinstance(trim, Real) or not 0 < trim < 0.5):
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
