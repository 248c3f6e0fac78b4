"""Weights of maximum entropy under balance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp, softmax

from apmkit.columns import some
from apmkit.errors import EstimationError


def entropy_weights(gaps: np.ndarray, names: Sequence[str], treatment: str) -> np.ndarray:
    """Positive weights that sum to one and make the weighted mean of `gaps` zero, closest to equal ones in entropy.

    Parameters
    ----------
    gaps : ndarray, shape (n_controls, n_covariates)
        Standardised covariates of the untreated less the means of the treated.
    names : list of str
        Of the covariates, for messages.
    treatment : str
        Column, for messages.

    Raises
    ------
    EstimationError
        The means of the treated lie outside of what the untreated can be weighted to.
    """
    outside = (gaps.min(axis=0) >= -1e-12) & (gaps.max(axis=0) > 1e-12)
    outside |= (gaps.max(axis=0) <= 1e-12) & (gaps.min(axis=0) < -1e-12)
    if outside.any():
        name = names[int(np.flatnonzero(outside)[0])]
        raise EstimationError(
            f"The mean of {name!r} among the treated is not inside the range of rows with {treatment!r} = 0, so no "
            "weights reach it: leave it out, or restrict both groups to where they overlap."
        )
    multipliers = np.zeros(gaps.shape[1])
    for _ in range(200):
        weights = softmax(gaps @ multipliers)
        imbalance = weights @ gaps
        if np.abs(imbalance).max() < 1e-12:
            return weights
        curvature = (gaps * weights[:, None]).T @ gaps - np.outer(imbalance, imbalance)
        step = -np.linalg.lstsq(curvature, imbalance, rcond=None)[0]
        # Halve the step until the dual falls enough; near its floor a fall is lost in rounding.
        size, value = 1.0, logsumexp(gaps @ multipliers)
        slack = 1e-13 * max(1.0, abs(value))
        while logsumexp(gaps @ (multipliers + size * step)) > value + 1e-4 * size * (imbalance @ step) + slack:
            size /= 2
        multipliers = multipliers + size * step
        if np.abs(gaps @ multipliers).max() > 500:
            break
    raise EstimationError(
        f"No weights on rows with {treatment!r} = 0 balance {some(list(names))} at once: leave some out, lower "
        "moments, or restrict both groups to where they overlap."
    )
