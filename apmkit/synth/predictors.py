"""Donor weights from predictors, with the importance of each predictor given or found (Abadie & Gardeazabal 2003)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from apmkit.errors import PanelError
from apmkit.synth.comparison import Comparison, pooled
from apmkit.synth.simplex import simplex_least_squares

_RIDGE = 1e-6
_LOG_RANGE = 6.0
"""Searched importances differ by at most a factor exp(12), so that every problem is well-posed."""
_CANDIDATES, _POLISHED = 2_000, 10


@dataclass(frozen=True, eq=False)
class PredictorWeights:
    """Donors that come closest in predictors (Abadie & Gardeazabal 2003; Abadie, Diamond & Hainmueller 2010, sec. 2.3).

    Donor weights minimise the distance in predictors, each scaled by its standard deviation over all units and weighted
    by its importance v. Where v is not given, it minimises the mean squared gap in the outcome over `window`.

    Attributes
    ----------
    values : ndarray, shape (n_units, n_predictors)
        Scaled predictors.
    table : DataFrame, shape (n_units, n_predictors)
        As given.
    importance : ndarray, shape (n_predictors,), or None
        Sums to one; searched for each comparison where None.
    window : ndarray of bool, shape (n_pre,)
    seed : int
        Of the starting points of the search.
    """

    values: np.ndarray
    table: pd.DataFrame
    importance: np.ndarray | None
    window: np.ndarray
    seed: int

    @classmethod
    def of(
        cls,
        comparison: Comparison,
        predictors: pd.DataFrame,
        v: Sequence[float] | None,
        v_periods: tuple[int, int] | None,
        seed: int,
    ) -> PredictorWeights:
        """Check and scale the predictors.

        Raises
        ------
        PanelError
            `predictors` misses a unit or a value, is not numeric, or does not vary; `v` has the wrong length, a
            negative value or only zeros; no period before treatment lies in `v_periods`.
        """
        table = checked(comparison, predictors)
        raw = table.to_numpy(dtype=float)
        centred = raw - raw.mean(axis=0)
        return cls(centred / centred.std(axis=0, ddof=1), table, _importance(v, table.columns),
                   _window(comparison, v_periods), seed)  # fmt: skip

    def __call__(self, comparison: Comparison, treated: np.ndarray, donors: np.ndarray):
        """Donor weights, and time weights of zero."""
        importance = self.importances(comparison, treated, donors)
        distance = self.values[donors] - self.values[treated].mean(axis=1)[:, None, :]
        weights = _closest(distance, importance)
        return weights, np.zeros((len(donors), comparison.n_pre))

    def importances(self, comparison: Comparison, treated: np.ndarray, donors: np.ndarray) -> np.ndarray:
        """Importance of each predictor in each comparison, shape (sets, n_predictors); rows sum to one."""
        if self.importance is not None:
            return np.broadcast_to(self.importance, (len(donors), len(self.importance)))
        columns = np.flatnonzero(self.window)
        distance = self.values[donors] - self.values[treated].mean(axis=1)[:, None, :]
        gaps = comparison.outcomes[donors][:, :, columns] - pooled(comparison, treated)[:, None, columns]
        return np.array([_search(d, g, self.seed) for d, g in zip(distance, gaps, strict=True)])

    def balance(self, comparison: Comparison, weights: np.ndarray) -> pd.DataFrame:
        """Each predictor for the treated, their synthetic control and the mean donor, with its importance."""
        raw = self.table.to_numpy(dtype=float)
        treated, donors = comparison.treated, comparison.donors
        return pd.DataFrame(
            {
                "predictor": self.table.columns,
                "treated": raw[treated].mean(axis=0),
                "synthetic": weights @ raw[donors],
                "donor_mean": raw[donors].mean(axis=0),
                "importance": self.importances(comparison, treated[None], donors[None])[0],
            }
        )


def checked(comparison: Comparison, predictors: pd.DataFrame) -> pd.DataFrame:
    """One row for each unit of the panel.

    Raises
    ------
    PanelError
        `predictors` misses a unit or a value, is not numeric, or does not vary.
    """
    units = comparison.panel.units
    if not isinstance(predictors, pd.DataFrame):
        raise PanelError(
            f"predictors must be a DataFrame indexed by {comparison.panel.unit!r}, not {type(predictors).__name__}."
        )
    if predictors.index.has_duplicates:
        twice = predictors.index[predictors.index.duplicated()][0]
        raise PanelError(f"predictors has several rows for unit {twice!r}: keep one row for each unit.")
    absent = units.difference(predictors.index)
    if len(absent):
        raise PanelError(
            f"predictors has no row for {len(absent)} units, first {absent[0]!r}: index it by "
            f"{comparison.panel.unit!r} and add the row, or drop the unit from the panel."
        )
    table = predictors.loc[units]
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise PanelError(f"Predictor {column!r} is of type {table[column].dtype}: it must be numeric.")
        if not np.isfinite(table[column].to_numpy(dtype=float, na_value=np.nan)).all():
            bad = table.index[~np.isfinite(table[column].to_numpy(dtype=float, na_value=np.nan))][0]
            raise PanelError(f"Predictor {column!r} is missing for unit {bad!r}: fill it or drop the unit.")
        if table[column].nunique() < 2:
            raise PanelError(f"Predictor {column!r} is the same for all units: drop it.")
    if table.shape[1] == 0:
        raise PanelError("predictors has no column: give at least one, or leave predictors out.")
    return table


def _closest(distance: np.ndarray, importance: np.ndarray) -> np.ndarray:
    points = np.sqrt(importance)[:, :, None] * distance.transpose(0, 2, 1)
    return simplex_least_squares(points, _RIDGE * np.sqrt(importance.max(axis=1)))


def _search(distance: np.ndarray, gaps: np.ndarray, seed: int) -> np.ndarray:
    """Importance with the least mean squared gap; `distance` is (donors, predictors), `gaps` (donors, periods).

    The loss has many local minima. Random importances are tried all at once; of each set of donors they pick the best
    is kept, and gradient descent improves the leaders.
    """
    n_predictors = distance.shape[1]
    rng = np.random.default_rng(seed)
    logs = np.vstack([np.zeros(n_predictors), rng.normal(scale=_LOG_RANGE / 2, size=(_CANDIDATES, n_predictors))])
    logs = np.clip(logs, -_LOG_RANGE, _LOG_RANGE)
    candidates = np.exp(logs)
    weights = _closest(np.broadcast_to(distance, (len(logs), *distance.shape)), candidates)
    losses = np.square(weights @ gaps).mean(axis=1)
    _, donor_set = np.unique(weights > 0, axis=0, return_inverse=True)
    ordered = np.argsort(losses, kind="stable")
    leaders = ordered[np.sort(np.unique(donor_set[ordered], return_index=True)[1])][:_POLISHED]
    found = [
        minimize(_loss, logs[i], args=(distance, gaps), jac=True, method="L-BFGS-B",
                 bounds=[(-_LOG_RANGE, _LOG_RANGE)] * n_predictors)
        for i in leaders
    ]  # fmt: skip
    importance = np.exp(min(found, key=lambda result: result.fun).x)
    return importance / importance.sum()


def _loss(log_importance: np.ndarray, distance: np.ndarray, gaps: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean squared gap and its gradient, by differentiating the equations of the positive donor weights."""
    importance = np.exp(log_importance)
    weights = _closest(distance[None], importance[None])[0]
    used = weights > 0
    gap, step = weights @ gaps, distance[used]
    n = len(step)
    equations = np.ones((n + 1, n + 1))
    equations[:n, :n] = (step * importance) @ step.T + _RIDGE**2 * importance.max() * np.eye(n)
    equations[n, n] = 0.0
    pull = np.linalg.solve(equations, np.append(gaps[used] @ gap, 0.0))[:n]
    slope = -2 / len(gap) * (pull @ step) * (weights @ distance)
    return float(gap @ gap) / len(gap), importance * slope


def _importance(v: Sequence[float] | None, names: pd.Index) -> np.ndarray | None:
    if v is None:
        return None
    importance = np.asarray(v, dtype=float)
    if importance.shape != (len(names),):
        raise PanelError(
            f"v has shape {importance.shape}, but there are {len(names)} predictors: give one value for each."
        )
    if not np.isfinite(importance).all() or (importance < 0).any() or importance.sum() == 0:
        raise PanelError("v must hold finite values that are not negative, at least one of them positive.")
    return importance / importance.sum()


def _window(comparison: Comparison, v_periods: tuple[int, int] | None) -> np.ndarray:
    periods = comparison.pre_periods
    if v_periods is None:
        return np.ones(len(periods), dtype=bool)
    window = (periods >= v_periods[0]) & (periods <= v_periods[1])
    if not window.any():
        raise PanelError(
            f"v_periods={v_periods} holds no period before treatment: choose within {periods[0]} to {periods[-1]}."
        )
    return window
