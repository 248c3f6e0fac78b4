"""A panel of units over time, checked once, at the door."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from apmkit.columns import check_whole, codes, constant, count, finite, first_row, period_numbers, show, some
from apmkit.errors import PanelError, warn


class Panel:
    """Outcomes of units over time, with the time each unit was first treated.

    Parameters
    ----------
    data : DataFrame
        One row per unit and period, in any order.
    unit, time, outcome : str
        Columns. `time` holds whole numbers, for instance years; `outcome` holds finite numbers.
    cohort : str, optional
        Column with the first treated period of the unit, missing for never-treated units and constant within a unit.
    treatment : str, optional
        Column of 0 and 1 to derive the cohort from, instead of `cohort`. Treatment may not switch off.
    cluster : str, optional
        Column with the level at which errors are correlated, constant within a unit. The unit itself by default.
    weights : str, optional
        Column of positive weights.
    covariates : list of str, optional
        Columns of finite numbers that describe the units.
    balanced : bool
        Refuse a panel in which a unit misses a period. By default gaps are counted and warned of.

    Attributes
    ----------
    units : Index, shape (n_units,)
    periods : ndarray of int, shape (n_periods,)
    outcomes : ndarray, shape (n_units, n_periods)
        Missing where the unit was not observed.
    cohorts : ndarray, shape (n_units,)
        First treated period; infinity for units not treated by the last period.
    weights : ndarray, shape (n_units,) or (n_units, n_periods), or None
        One weight per unit where it is constant over time.
    covariates : dict of str to ndarray, shape (n_units,) or (n_units, n_periods)
        One value per unit where it is constant over time; missing where the unit was not observed.
    cluster_codes : ndarray of int, shape (n_units,)
    clusters : Index, shape (n_clusters,)

    Raises
    ------
    PanelError
        A column is absent or of the wrong type; a value is missing, infinite or duplicated; cohort, cluster or
        treatment contradict each other within a unit; a weight is not positive; fewer than two periods;
        fewer than two clusters; a gap, if `balanced`.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": ["a", "a", "b", "b"], "year": [2020, 2021] * 2,
    ...     "visits": [5.0, 4.0, 5.0, 5.0], "start": [2021, 2021, None, None],
    ... })
    >>> Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    Panel of visits: 2 units x 2 periods (2020 to 2021), 4 rows, 1 treated unit in 1 cohort, balanced
    """

    def __init__(
        self,
        data: pd.DataFrame,
        *,
        unit: str,
        time: str,
        outcome: str,
        cohort: str | None = None,
        treatment: str | None = None,
        cluster: str | None = None,
        weights: str | None = None,
        covariates: Sequence[str] = (),
        balanced: bool = False,
    ):
        if not isinstance(data, pd.DataFrame):
            raise PanelError(f"data must be a pandas DataFrame, not {type(data).__name__}: read the file first.")
        if cohort is not None and treatment is not None:
            raise PanelError("Give cohort or treatment, not both: each says when a unit was treated.")
        if cohort is None and treatment is None:
            raise PanelError("Give cohort (first treated period, missing if never) or treatment (a column of 0 and 1).")
        named = {"unit": unit, "time": time, "outcome": outcome, "cohort": cohort, "treatment": treatment,
                 "cluster": cluster, "weights": weights}  # fmt: skip
        covariates = [covariates] if isinstance(covariates, str) else list(covariates)
        named |= {f"covariates[{i}]": column for i, column in enumerate(covariates)}
        for role, column in named.items():
            if column is not None and column not in data.columns:
                raise PanelError(
                    f"{role}={column!r} is not a column of the data; the columns are {some(list(data.columns))}."
                )
            if column is not None and isinstance(data[column], pd.DataFrame):
                raise PanelError(f"{role}={column!r} names {data[column].shape[1]} columns of the data: keep one.")
        if len(data) == 0:
            raise PanelError("The data have no rows: check the filter that made them.")
        self.unit, self.time, self.outcome, self.cluster = unit, time, outcome, cluster or unit

        for column in (unit, time, cluster):
            if column is not None and data[column].isna().any():
                raise PanelError(f"Column {column!r} {first_row(data, data[column].isna())}: fill or drop such rows.")
        unit_codes, self.units = codes(data[unit])
        times = period_numbers(data, time)
        if times.dtype == float:
            check_whole(times, np.isinf(times), time)
        time_codes, periods = codes(times)
        self.periods = np.asarray(periods, dtype=np.int64)
        if len(self.periods) < 2:
            raise PanelError(f"Column {time!r} holds one period, {self.periods[0]}: a panel needs at least two.")
        n, t = len(self.units), len(self.periods)

        y = finite(data, outcome)
        cell = unit_codes * t + time_codes
        filled = np.full(n * t, np.nan)
        filled[cell] = y
        if len(y) - np.count_nonzero(~np.isnan(filled)):
            twice = pd.Series(cell).duplicated().to_numpy()
            row = int(np.flatnonzero(twice)[0])
            raise PanelError(
                f"Columns {unit!r} and {time!r} repeat in {count(int(twice.sum()), 'row')}, first {unit} "
                f"{show(data[unit].iloc[row])} in {data[time].iloc[row]:.0f}: keep one row for each, or add them up."
            )
        self.outcomes = filled.reshape(n, t)

        if treatment is not None:
            self.cohorts = self._cohorts_from_treatment(data, treatment, cell)
        else:
            self.cohorts = self._cohorts_from_column(data, cohort, unit_codes)
        if cluster is None or cluster == unit:
            self.cluster_codes, self.clusters = np.arange(n), self.units
        else:
            row_codes, self.clusters = codes(data[cluster])
            self.cluster_codes = constant(row_codes, unit_codes, n, data, unit, cluster)
        if len(self.clusters) < 2:
            raise PanelError(
                f"Column {self.cluster!r} holds one cluster, {show(self.clusters[0])}: "
                "standard errors need several; choose a finer cluster."
            )
        self.weights = None if weights is None else self._weights(data, weights, unit_codes, cell)
        self.covariates = {name: self._unit_values(finite(data, name), unit_codes, cell) for name in covariates}

        missing = n * t - len(y)
        if missing:
            gaps = self.n_interior_gaps
            text = (
                f"{missing:,} of {n * t:,} unit-periods are not observed "
                f"({gaps:,} of them inside a unit's own span, the rest before it enters or after it leaves)"
            )
            if balanced:
                unit_at, period_at = (int(i[0]) for i in np.nonzero(~self.observed))
                raise PanelError(
                    f"{text}, first {unit} {show(self.units[unit_at])} in {self.periods[period_at]}: "
                    "complete the data or leave out balanced=True."
                )
            warn(f"Ragged panel: {text}. Estimators use what is observed.")
        if not np.isfinite(self.cohorts).any():
            warn(f"No unit is treated by the last period, {self.periods[-1]}: only donors or controls here.")

    def _cohorts_from_column(self, data, column, unit_codes):
        values = np.fmin(period_numbers(data, column, missing=True), np.inf)  # missing is never
        cohorts = constant(values, unit_codes, len(self.units), data, self.unit, column)
        check_whole(cohorts, np.isneginf(cohorts), column)
        if np.any(cohorts == 0) and self.periods[0] > 0:
            raise PanelError(
                f"Column {column!r} holds 0, before the first period {self.periods[0]}: mark never-treated units by a "
                f"missing value, for instance data[{column!r}].replace(0, float('nan')), and units treated before the "
                "panel begins by a negative number."
            )
        return np.where(cohorts > self.periods[-1], np.inf, cohorts)

    def _cohorts_from_treatment(self, data, column, cell):
        values = finite(data, column)
        if not np.isin(values, (0.0, 1.0)).all():
            other = values[~np.isin(values, (0.0, 1.0))][0]
            raise PanelError(f"Column {column!r} holds {other:g}: treatment is 0 or 1.")
        treated = np.full(self.outcomes.size, np.nan)
        treated[cell] = values
        treated = treated.reshape(self.outcomes.shape)
        so_far = np.fmax.accumulate(np.nan_to_num(treated), axis=1)
        off = (treated == 0) & (so_far == 1)
        if off.any():
            unit_at, period_at = (int(i[0]) for i in np.nonzero(off))
            raise PanelError(
                f"Treatment {column!r} switches off for {count(int(off.any(axis=1).sum()), 'unit')}, "
                f"first {self.unit} {show(self.units[unit_at])} in {self.periods[period_at]}: these designs need "
                "treatment that stays on; end such units there, or give cohort to study the first switch."
            )
        first = (~np.isnan(treated)).argmax(axis=1)
        late = np.flatnonzero((first > 0) & (treated[np.arange(len(treated)), first] == 1))
        if len(late):
            warn(
                f"Already treated when they enter: {count(len(late), 'unit')}, first {self.unit} "
                f"{show(self.units[late[0]])} in {self.periods[first[late[0]]]}; their first period is taken for the "
                "start of treatment: give cohort if it was earlier."
            )
        starts, starting = so_far[:, -1] == 1, so_far.argmax(axis=1)
        unseen = np.flatnonzero(starts & (starting > first) & np.isnan(treated[np.arange(len(treated)), starting - 1]))
        if len(unseen):
            warn(
                f"Not observed just before they are first seen treated: {count(len(unseen), 'unit')}, first "
                f"{self.unit} {show(self.units[unseen[0]])} in {self.periods[starting[unseen[0]]]}; treatment "
                "may have started earlier: give cohort if it did."
            )
        return np.where(starts, self.periods[starting].astype(float), np.inf)

    def _weights(self, data, column, unit_codes, cell):
        values = finite(data, column)
        if (values <= 0).any():
            bad = values <= 0
            raise PanelError(
                f"Column {column!r} has {count(int(bad.sum()), 'weight')} not above zero, first {values[bad][0]:g} "
                f"for {self.unit} {show(data[self.unit].to_numpy()[bad][0])}: drop those rows or mend the weights."
            )
        return self._unit_values(values, unit_codes, cell, absent=0.0)

    def _unit_values(self, values, unit_codes, cell, absent=np.nan):
        """One value per unit where it is constant over time, otherwise one per unit and period."""
        per_unit = np.empty(len(self.units))
        per_unit[unit_codes] = values
        if np.array_equal(per_unit[unit_codes], values):
            return per_unit
        per_cell = np.full(self.outcomes.size, absent)
        per_cell[cell] = values
        return per_cell.reshape(self.outcomes.shape)

    @cached_property
    def observed(self) -> np.ndarray:
        """Where an outcome exists, shape (n_units, n_periods)."""
        return ~np.isnan(self.outcomes)

    @cached_property
    def is_balanced(self) -> bool:
        """Whether every unit is observed in every period."""
        return bool(self.observed.all())

    @property
    def n_obs(self) -> int:
        """Number of observed unit-periods."""
        return int(self.observed.sum())

    @property
    def n_interior_gaps(self) -> int:
        """Unit-periods that are missing between a unit's first and last observation."""
        seen = self.observed
        span = np.logical_or.accumulate(seen, axis=1) & np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
        return int((span & ~seen).sum())

    @cached_property
    def treated(self) -> np.ndarray:
        """Whether a unit is under treatment in a period, shape (n_units, n_periods)."""
        return self.periods[None, :] >= self.cohorts[:, None]

    @property
    def cohort_sizes(self) -> pd.Series:
        """Units by first treated period; never-treated units under ``"never"``."""
        labels, counts = np.unique(self.cohorts, return_counts=True)
        index = ["never" if np.isinf(g) else int(g) for g in labels]
        return pd.Series(counts, index=pd.Index(index, name="cohort", dtype=object), name="units")

    @property
    def checksum(self) -> str:
        """SHA-256 of units, periods, outcomes, cohorts, clusters and weights, independent of the order of the rows."""
        digest = hashlib.sha256()
        digest.update(pd.util.hash_pandas_object(pd.Series(self.units), index=False).to_numpy().tobytes())
        arrays = [self.periods, self.outcomes, self.cohorts, self.cluster_codes, *self.covariates.values()]
        for array in arrays + ([] if self.weights is None else [self.weights]):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def restrict(self, units: np.ndarray, periods: np.ndarray | None = None) -> Panel:
        """A part of the panel.

        Parameters
        ----------
        units : ndarray of bool, shape (n_units,)
        periods : ndarray of bool, shape (n_periods,), optional
            Units not observed in these periods are left out too, and periods in which no unit is left. Units first
            treated after the last period count as never treated.

        Raises
        ------
        PanelError
            Fewer than two periods or two clusters are left.
        """
        periods = np.ones(len(self.periods), dtype=bool) if periods is None else periods
        units = units & self.observed[:, periods].any(axis=1)
        periods = periods & self.observed[units].any(axis=0)
        if periods.sum() < 2:
            raise PanelError(
                f"Column {self.time!r} keeps {count(int(periods.sum()), 'period')} in the estimation sample: "
                "an effect needs one before and one after; use a longer panel."
            )
        part = object.__new__(Panel)
        part.unit, part.time, part.outcome, part.cluster = self.unit, self.time, self.outcome, self.cluster
        part.units, part.periods = self.units[units], self.periods[periods]
        part.outcomes, part.cohorts = self.outcomes[units][:, periods], self.cohorts[units]
        part.cohorts = np.where(part.cohorts > part.periods[-1], np.inf, part.cohorts)

        def kept(values):
            return values[units] if values.ndim == 1 else values[units][:, periods]

        part.weights = None if self.weights is None else kept(self.weights)
        part.covariates = {name: kept(values) for name, values in self.covariates.items()}
        present, part.cluster_codes = np.unique(self.cluster_codes[units], return_inverse=True)
        part.clusters = self.clusters[present]
        if len(part.clusters) < 2:
            raise PanelError(
                f"One cluster of column {self.cluster!r}, {show(part.clusters[0])}, is left in the estimation sample: "
                "standard errors need several; choose a finer cluster or a wider sample."
            )
        return part

    def backdate(self, period: int) -> Panel:
        """The periods before anyone was treated, with `period` as the pretended start of all treated units.

        Raises
        ------
        PanelError
            `period` is not between the second of these periods and the last.
        """
        before = self.periods < self.cohorts.min()
        untouched = self.periods[before]
        if len(untouched) < 2 or not untouched[0] < period <= untouched[-1]:
            listed = ", ".join(map(str, untouched[1:])) or "none"
            raise PanelError(f"period={period} cannot be a placebo start; those that can: {listed}.")
        kept = self.observed[:, before].any(axis=1)
        part = self.restrict(kept, before)
        part.cohorts = np.where(np.isfinite(self.cohorts[kept]), float(period), np.inf)
        return part

    def to_frame(self) -> pd.DataFrame:
        """One row per observed unit-period: unit, time, outcome, `cohort` (missing if never), cluster and weights.

        A column that already has the name `cohort` keeps it, and the cohort is called `first_treated`.
        """
        unit_at, period_at = np.nonzero(self.observed)
        cohort = self.cohorts[unit_at]
        columns = {
            self.unit: self.units[unit_at],
            self.time: self.periods[period_at],
            self.outcome: self.outcomes[unit_at, period_at],
        }
        if self.cluster != self.unit:
            columns[self.cluster] = self.clusters[self.cluster_codes[unit_at]]
        columns["first_treated" if "cohort" in columns else "cohort"] = np.where(np.isinf(cohort), np.nan, cohort)
        if self.weights is not None:
            columns["weights"] = self.weights[unit_at] if self.weights.ndim == 1 else self.weights[unit_at, period_at]
        for name, values in self.covariates.items():
            columns[name] = values[unit_at] if values.ndim == 1 else values[unit_at, period_at]
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        sizes = self.cohort_sizes
        treated = int(sizes.drop("never", errors="ignore").sum())
        cohorts = len(sizes.drop("never", errors="ignore"))
        shape = "balanced" if self.is_balanced else f"{self.outcomes.size - self.n_obs:,} unit-periods not observed"
        return (
            f"Panel of {self.outcome}: {len(self.units):,} units x {len(self.periods)} periods "
            f"({self.periods[0]} to {self.periods[-1]}), {self.n_obs:,} rows, "
            f"{treated:,} treated unit{'s' * (treated != 1)} in {cohorts} cohort{'s' * (cohorts != 1)}, {shape}"
        )
