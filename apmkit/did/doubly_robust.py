"""The two-period estimators of Sant'Anna and Zhao (2020) as weights on outcomes and a centring.

Units that share a side (treated or comparison) and the values of their covariates form a stratum; a stratum may be one
unit. Given the covariates, each estimator is linear in the outcomes, and so is its influence function:

    estimate = sum over strata and slices of a_s y_s
    score_i  = w_i (a_s Y_i - c_s)                     for a unit i of stratum s with weight w_i

with y_s the weighted sum of a stratum's outcomes. A panel has one slice, the change between two periods. Repeated
cross-sections have two, the later period and, with a negative sign, the earlier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

TRIMMED, VIOLATED = 0.995, 0.999
STEPS = 100

NO_COMPARISON = "effects that no comparison identifies"
NO_OVERLAP = f"effects without overlap, where a propensity score reaches {VIOLATED}"
NO_RANK = "effects with units too few or covariates collinear on one side"


@dataclass(frozen=True, eq=False)
class Slice:
    """Strata in one period, or in the change between two.

    Attributes
    ----------
    sign : float
        How the slice enters the estimate.
    x : ndarray, shape (strata, p)
        Covariates, the first of them one.
    mass : ndarray, shape (strata,)
        Sum of weights.
    y : ndarray, shape (strata, j)
        Weighted sums of j outcomes.
    """

    sign: float
    x: np.ndarray
    mass: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class LinearForm:
    """An estimator on the strata of some slices, and its propensity scores.

    Attributes
    ----------
    weights : list of ndarray, shape (strata,)
        One for each slice, the same for all outcomes.
    centrings : list of ndarray, shape (strata, j)
    propensity : ndarray, shape (strata,), or None
        Largest over the slices.
    """

    weights: list[np.ndarray]
    centrings: list[np.ndarray]
    propensity: np.ndarray | None = None


class NotIdentified(Exception):
    """This comparison has no estimate; the message names the effects of which this is so."""


class NotConverged(Exception):
    """The propensity score found no optimum."""


def linear_form(slices: list[Slice], treated: np.ndarray, method: str, *, by_pairs: bool) -> LinearForm:
    """Weights and centring of one comparison.

    Parameters
    ----------
    slices : list of Slice
    treated : ndarray of bool, shape (strata,)
    method : {"doubly_robust", "inverse_probability", "outcome_regression"}
        Inverse-probability weights add up to one on each side (Hajek).
    by_pairs : bool
        Whether the slices are changes. Otherwise the doubly robust estimator of levels also fits the treated in each
        period, which makes it locally efficient.

    Raises
    ------
    NotIdentified
        A side is empty, the covariates are collinear among the units of a side, or propensity scores reach 0.999.
    NotConverged
        The propensity score has no optimum within 100 steps.

    References
    ----------
    Sant'Anna, P. and Zhao, J. (2020), Journal of Econometrics 219(1), eq. 2.2 (outcome regression), 3.1
    (doubly robust, panel) and 3.4 (doubly robust, repeated cross-sections), theorems 1 and 2 for the influence
    functions; Abadie, A. (2005), Review of Economic Studies 72(1), for the weights.
    """
    regress, weigh = method != "inverse_probability", method != "outcome_regression"
    efficient = method == "doubly_robust" and not by_pairs
    n_treated = [s.mass[treated].sum() for s in slices]
    if min(n_treated) <= 0 or min(s.mass[~treated].sum() for s in slices) <= 0:
        raise NotIdentified(NO_COMPARISON)
    fitted_p, information = _propensity(slices, treated) if weigh else (None, None)
    # An effect is an average over the treated of all slices.
    mean_x = sum(s.mass[treated] @ s.x[treated] for s in slices) / sum(n_treated)
    weights, centrings = [], []
    gap, through_p = 0.0, 0.0
    for k, s in enumerate(slices):
        a, c = np.zeros(len(treated)), np.zeros_like(s.y)
        fit, target = 0.0, mean_x
        if weigh:
            odds = np.where(fitted_p[k] < TRIMMED, fitted_p[k] / (1 - fitted_p[k]), 0.0)
            odds[treated] = 0.0
            total = odds @ s.mass
            if total <= 0:
                raise NotIdentified(NO_OVERLAP)
            odds /= total
            target = mean_x - (odds * s.mass) @ s.x
        if regress:
            control_a, beta = _regression(s, ~treated, target)
            a -= control_a
            fit = s.x @ beta
            c -= control_a[:, None] * fit
            gap = gap - s.sign * beta
        if weigh:
            residual = s.y - s.mass[:, None] * fit
            mean = odds @ residual
            a -= odds
            c -= odds[:, None] * (fit + mean)
            through_p = through_p + s.sign * s.x.T @ (odds[:, None] * (residual - s.mass[:, None] * mean))
        if efficient:
            treated_a, gamma = _regression(s, treated, mean_x)
            a += treated_a
            c += treated_a[:, None] * (s.x @ gamma)
            gap = gap + s.sign * gamma
        else:
            a += treated / n_treated[k]
            c += (treated / n_treated[k])[:, None] * (treated @ s.y / n_treated[k])
        weights.append(s.sign * a)
        centrings.append(s.sign * c)
    for k, s in enumerate(slices):
        if regress:
            centrings[k] -= treated[:, None] * ((s.x - mean_x) @ gap) / sum(n_treated)
        if weigh:
            centrings[k] += (treated - fitted_p[k])[:, None] * (s.x @ np.linalg.solve(information, through_p))
    seen = [s.mass > 0 for s in slices]
    return LinearForm(weights, centrings, np.where(seen, fitted_p, 0.0).max(axis=0) if weigh else None)


def _regression(s: Slice, side: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights that make the fitted value at `target` from the outcomes of a side, and its coefficients."""
    x = np.where(side[:, None], s.x, 0.0)
    gram = (x * s.mass[:, None]).T @ x
    if is_singular(gram):
        raise NotIdentified(NO_RANK)
    solved = np.linalg.solve(gram, np.column_stack([target, x.T @ s.y]))
    return x @ solved[:, 0], solved[:, 1:]


def _propensity(slices: list[Slice], treated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chances of being treated by logit, shape (slices, strata), and the information matrix."""
    x, mass = np.concatenate([s.x for s in slices]), np.concatenate([s.mass for s in slices])
    p, information = logit(x, np.tile(treated, len(slices)), mass)
    if p[mass > 0].max() >= VIOLATED:
        raise NotIdentified(NO_OVERLAP)
    return p.reshape(len(slices), -1), information


def logit(x: np.ndarray, treated: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximum likelihood by Newton's method: probabilities, and the information matrix.

    A step is halved until the slope along it no longer grows, which in a concave likelihood cannot fail.
    Where a covariate value belongs to one side alone the probabilities converge to 0 or 1, the coefficients do not.
    """
    total = mass.sum()
    b = np.zeros(x.shape[1])
    b[0] = np.log(mass[treated].sum() / mass[~treated].sum())
    p = expit(x @ b)
    gradient = x.T @ (mass * (treated - p))
    if is_singular((x * mass[:, None]).T @ x):
        raise NotIdentified(NO_RANK)
    for _ in range(STEPS):
        information = (x * (mass * p * (1 - p))[:, None]).T @ x
        if np.abs(gradient).max() <= 1e-12 * total:
            return p, information
        try:
            step = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError:
            raise NotIdentified(NO_OVERLAP) from None
        slope = gradient @ step
        for halving in range(STEPS):
            p = expit(x @ (b + step / 2**halving))
            gradient = x.T @ (mass * (treated - p))
            if abs(gradient @ step) <= slope:
                break
        b = b + step / 2**halving
    raise NotConverged


def is_singular(gram: np.ndarray) -> bool:
    """Whether columns with these cross-products are collinear."""
    size = np.sqrt(np.diag(gram))
    return bool((size == 0).any() or np.linalg.cond(gram / np.outer(size, size)) > 1e12)
