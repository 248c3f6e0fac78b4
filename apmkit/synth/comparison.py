"""Treated units, donors and the weights that make one look like the other before treatment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from apmkit.columns import show
from apmkit.errors import PanelError
from apmkit.panel import Panel

_BLOCK = 2**24
"""Numbers held at once while many comparisons are fitted together."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """One cohort of a balanced panel: its treated units, the donors, and the periods before and after.

    Attributes
    ----------
    outcomes : ndarray, shape (n_units, n_periods)
        Less `level`, so that large levels cost no digits.
    treated, donors : ndarray of int
        Positions of the units.
    n_pre : int
        Number of periods before treatment.
    """

    panel: Panel
    outcomes: np.ndarray
    level: float
    treated: np.ndarray
    donors: np.ndarray
    n_pre: int

    @classmethod
    def of(cls, panel: Panel) -> Comparison:
        """Split a panel with one cohort.

        Raises
        ------
        PanelError
            As in `by_cohort`; or units are first treated in several periods.
        """
        cohorts = cls.by_cohort(panel)
        if len(cohorts) > 1:
            listed = ", ".join(str(cohort.start) for cohort in cohorts)
            raise PanelError(
                f"Units are first treated in {len(cohorts)} different periods ({listed}): use staggered_synthetic_did "
                "or staggered_synthetic_control, or restrict the panel to one of these cohorts and the never treated."
            )
        return cohorts[0]

    @classmethod
    def by_cohort(cls, panel: Panel) -> list[Comparison]:
        """One comparison for each cohort, with the never-treated units as donors of all.

        Raises
        ------
        PanelError
            The panel has gaps, weights, no treated unit, a cohort with no period before treatment, or fewer than two
            donors.
        """
        if not isinstance(panel, Panel):
            raise PanelError(
                f"These designs take a Panel, not {type(panel).__name__}: apmkit.Panel(data, unit=..., time=..., "
                "outcome=..., cohort=...)."
            )
        if panel.weights is not None:
            raise PanelError(
                "The panel has weights, which designs with few treated units do not use: leave out weights=, "
                "or weight the outcome when aggregating it."
            )
        starts = np.unique(panel.cohorts[np.isfinite(panel.cohorts)])
        if len(starts) == 0:
            raise PanelError("No unit is treated by the last period: mark the treated unit in cohort= or treatment=.")
        if not panel.is_balanced:
            gaps = ~panel.observed
            ragged = np.flatnonzero(gaps.any(axis=1))
            listed = ", ".join(
                f"{show(panel.units[i])} ({gaps[i].sum()} missing, first {panel.periods[gaps[i].argmax()]})"
                for i in ragged[:5]
            )
            more = f" and {len(ragged) - 5} more" if len(ragged) > 5 else ""
            raise PanelError(
                f"{len(ragged)} of {len(panel.units)} units of {panel.unit!r} miss periods: {listed}{more}; drop them "
                "or choose a window in which all units are observed."
            )
        if not (panel.periods < starts[0]).any():
            raise PanelError(
                f"Treatment starts in {starts[0]:.0f}, and no earlier period is in the panel: add periods before it."
            )
        donors = np.flatnonzero(np.isinf(panel.cohorts))
        if len(donors) < 2:
            raise PanelError(
                f"The panel has {len(donors)} never-treated units to serve as donors: at least two are needed."
            )
        level = float(panel.outcomes.mean())
        outcomes = panel.outcomes - level
        return [
            cls(
                panel,
                outcomes,
                level,
                np.flatnonzero(panel.cohorts == start),
                donors,
                int((panel.periods < start).sum()),
            )
            for start in starts
        ]

    @property
    def start(self) -> int:
        """First treated period."""
        return int(self.panel.cohorts[self.treated[0]])

    @property
    def pre_periods(self) -> np.ndarray:
        """Periods before treatment."""
        return self.panel.periods[: self.n_pre]

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the donors' first differences before treatment (Arkhangelsky et al. 2021, eq. 2.2)."""
        return float(noise(self.outcomes[self.donors, : self.n_pre]))


def noise(outcomes: np.ndarray) -> np.ndarray:
    """Standard deviation of first differences over units and periods, the last two axes; 0 where there is only one."""
    changes = np.diff(outcomes, axis=-1)
    if changes.shape[-1] * changes.shape[-2] < 2:
        return np.zeros(outcomes.shape[:-2])
    return changes.std(axis=(-2, -1), ddof=1)


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights and gaps of several comparisons at once.

    Attributes
    ----------
    weights : ndarray, shape (comparisons, donors)
        Sum to one.
    time_weights : ndarray, shape (comparisons, n_pre)
        Sum to one, or all zero where the level of the gap is not adjusted.
    gap : ndarray, shape (comparisons, n_periods)
        Treated less weighted donors, less the time-weighted gap before treatment.
    n_pre : int
    """

    weights: np.ndarray
    time_weights: np.ndarray
    gap: np.ndarray
    n_pre: int

    @property
    def effect(self) -> np.ndarray:
        """Mean gap after treatment."""
        return self.gap[:, self.n_pre :].mean(axis=1)

    @property
    def pre_rmspe(self) -> np.ndarray:
        """Root mean squared gap before treatment."""
        return np.sqrt(np.square(self.gap[:, : self.n_pre]).mean(axis=1))

    @property
    def post_rmspe(self) -> np.ndarray:
        """Root mean squared gap after treatment."""
        return np.sqrt(np.square(self.gap[:, self.n_pre :]).mean(axis=1))


Weigh = Callable[[Comparison, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a comparison, treated sets (sets, n) and donor sets (sets, m), donor weights (sets, m) and time weights."""


def fit(comparison: Comparison, weigh: Weigh, treated_sets: np.ndarray, donor_sets: np.ndarray) -> Fit:
    """Compare each set of units (a row of `treated_sets`) with the donors in the same row of `donor_sets`."""
    n_sets, n_donors = donor_sets.shape
    n_periods = comparison.outcomes.shape[1]
    blocks = -(-n_sets * n_donors * (n_donors + n_periods) // _BLOCK)
    parts = []
    for rows in np.array_split(np.arange(n_sets), max(blocks, 1)):
        weights, time_weights = weigh(comparison, treated_sets[rows], donor_sets[rows])
        target, donors = pooled(comparison, treated_sets[rows]), comparison.outcomes[donor_sets[rows]]
        gap = target - (weights[:, None, :] @ donors)[:, 0]
        gap -= (time_weights * gap[:, : comparison.n_pre]).sum(axis=1, keepdims=True)
        parts.append((weights, time_weights, gap))
    return Fit(*(np.concatenate(part) for part in zip(*parts, strict=True)), n_pre=comparison.n_pre)


def pooled(comparison: Comparison, sets: np.ndarray) -> np.ndarray:
    """Mean outcome of each set of units, shape (sets, n_periods)."""
    return comparison.outcomes[sets].mean(axis=1)
