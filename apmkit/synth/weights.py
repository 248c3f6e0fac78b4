"""How each estimator weighs donors and periods before treatment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apmkit.errors import PanelError
from apmkit.synth.comparison import Comparison, noise, pooled
from apmkit.synth.simplex import simplex_least_squares

TIES_ONLY = 1e-6
"""Ridge in units of the noise that only settles ties, as in R synthdid."""


@dataclass(frozen=True)
class OutcomeWeights:
    """Donors whose outcomes before treatment come closest (Abadie, Diamond & Hainmueller 2010, outcomes only).

    With an intercept the paths may differ by a constant: both are taken as deviations from their mean before treatment
    (Doudchenko & Imbens 2016; Ferman & Pinto 2021). The ridge only settles ties; `sc_estimate` of
    R synthdid has the same.
    """

    ridge: float
    intercept: bool

    def __call__(self, comparison: Comparison, treated: np.ndarray, donors: np.ndarray):
        """Donor weights and, with an intercept, uniform time weights."""
        n_pre = comparison.n_pre
        target, pool = pooled(comparison, treated)[:, :n_pre], comparison.outcomes[donors][:, :, :n_pre]
        weights = closest(target, pool, self.ridge, self.intercept)
        return weights, np.full((len(donors), n_pre), 1 / n_pre if self.intercept else 0.0)


@dataclass(frozen=True)
class SyntheticDidWeights:
    """Donor and time weights of synthetic difference-in-differences (Arkhangelsky et al. 2021, algorithm 1).

    R synthdid finds both by Frank-Wolfe, which it stops early and restarts after setting small weights to zero. Both
    problems are strictly convex, so the restart does not change their solution; here they are solved exactly.

    Attributes
    ----------
    strength : float
        Ridge of the donor weights in units of the noise: the fourth root of the number of treated unit-periods.
    noise : float, optional
        Standard deviation of first differences; that of the donors of each comparison by default.
    """

    strength: float
    noise: float | None = None

    def __call__(self, comparison: Comparison, treated: np.ndarray, donors: np.ndarray):
        """Donor weights and time weights."""
        n_pre = comparison.n_pre
        target, pool = pooled(comparison, treated), comparison.outcomes[donors]
        scale = noise(pool[:, :, :n_pre]) if self.noise is None else self.noise
        weights = closest(target[:, :n_pre], pool[:, :, :n_pre], self.strength * scale, intercept=True)
        later, earlier = pool[:, :, n_pre:].mean(axis=2), pool[:, :, :n_pre].transpose(0, 2, 1)
        return weights, closest(later, earlier, TIES_ONLY * scale, intercept=True)


def synthetic_did_weights(comparison: Comparison) -> SyntheticDidWeights:
    """With the regularisation of Arkhangelsky et al. (2021), eq. 2.2.

    Raises
    ------
    PanelError
        There is one period before treatment.
    """
    if comparison.n_pre < 2:
        raise PanelError(
            f"Only {comparison.pre_periods[0]} lies before treatment in {comparison.start}: synthetic "
            "difference-in-differences needs two such periods; add earlier ones or use difference_in_differences."
        )
    n_post = len(comparison.panel.periods) - comparison.n_pre
    return SyntheticDidWeights((len(comparison.treated) * n_post) ** 0.25)


def uniform_weights(comparison: Comparison, treated: np.ndarray, donors: np.ndarray):
    """The weights of difference-in-differences: all donors and all periods before treatment alike."""
    n_sets, n_donors = donors.shape
    return np.full((n_sets, n_donors), 1 / n_donors), np.full((n_sets, comparison.n_pre), 1 / comparison.n_pre)


def closest(target: np.ndarray, candidates: np.ndarray, ridge: np.ndarray | float, intercept: bool) -> np.ndarray:
    """Simplex weights of `candidates` (sets, n, length) with the least mean squared distance to `target`."""
    distance = candidates - target[:, None, :]
    if intercept:
        distance = distance - distance.mean(axis=2, keepdims=True)
    return simplex_least_squares(distance.transpose(0, 2, 1) / np.sqrt(target.shape[1]), ridge)
