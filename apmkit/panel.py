"""A panel of units over time, checked once, at the door."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from apmkit.columns import count, show, some
from apmkit.database.reading import summed
from apmkit.database.source import READ_THE_ROWS, Database, is_database
from apmkit.errors import PanelError, warn
from apmkit.frame import arranged

if TYPE_CHECKING:
    import duckdb


class Panel:
    """Outcomes of units over time, with the time each unit was first treated.

    Parameters
    ----------
    data : DataFrame, path or DuckDB relation
        One row per unit and period, in any order. A path names a parquet file, or several by ``*``. The rows of a path
        or relation stay there: one pass over them keeps sums over groups of units. Rows that are not sorted by unit
        are sorted first, on disk where memory is short.
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
    sums : Sums or None
        Of a path or relation: sums over groups of units that share cohort and observed periods. Then `cohorts`,
        `observed`, `treated` and `counts` have one row for each group, and what belongs to single units (`units`,
        `outcomes`, `weights`, `cluster_codes`, `to_frame`) is not there.

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
        data: pd.DataFrame | str | Path | duckdb.DuckDBPyRelation,
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
        in_memory = isinstance(data, pd.DataFrame)
        if not in_memory and not is_database(data):
            raise PanelError(
                "data must be a pandas DataFrame, the path of a parquet file or a DuckDB relation, not "
                f"{type(data).__name__}: read the file first."
            )
        if cohort is not None and treatment is not None:
            raise PanelError("Give cohort or treatment, not both: each says when a unit was treated.")
        if cohort is None and treatment is None:
            raise PanelError("Give cohort (first treated period, missing if never) or treatment (a column of 0 and 1).")
        named = {"unit": unit, "time": time, "outcome": outcome, "cohort": cohort, "treatment": treatment,
                 "cluster": cluster, "weights": weights}  # fmt: skip
        columns = {role: name for role, name in named.items() if name is not None and (role, name) != ("cluster", unit)}
        covariates = [covariates] if isinstance(covariates, str) else list(covariates)
        source = None if in_memory else Database.opened(data, columns)
        data = data if in_memory else source.relation
        named |= {f"covariates[{i}]": column for i, column in enumerate(covariates)}
        for role, column in named.items():
            if column is not None and column not in data.columns:
                raise PanelError(
                    f"{role}={column!r} is not a column of the data; the columns are {some(list(data.columns))}."
                )
            if in_memory and column is not None and isinstance(data[column], pd.DataFrame):
                raise PanelError(f"{role}={column!r} names {data[column].shape[1]} columns of the data: keep one.")
        self.unit, self.time, self.outcome, self.cluster = unit, time, outcome, cluster or unit
        self.sums, self.source = None, source
        vars(self).update(arranged(data, columns, covariates) if in_memory else summed(source, covariates))
        if len(self.periods) < 2:
            raise PanelError(f"Column {time!r} holds one period, {self.periods[0]}: a panel needs at least two.")
        if self.n_clusters < 2:
            raise PanelError(
                f"Column {self.cluster!r} holds one cluster, {show(self._a_cluster())}: "
                "standard errors need several; choose a finer cluster."
            )

        cells = self.n_units * len(self.periods)
        if missing := cells - self.n_obs:
            text = (
                f"{missing:,} of {cells:,} unit-periods are not observed ({self.n_interior_gaps:,} of them inside a "
                "unit's own span, the rest before it enters or after it leaves)"
            )
            if balanced:
                rows = np.flatnonzero(~self.observed.all(axis=1))
                row = rows[0] if self.sums is None else rows[np.argmin(self.sums.first[rows, 0])]
                name = self.first_units(np.arange(len(self.cohorts)) == row, 1)[0]
                raise PanelError(
                    f"{text}, first {unit} {show(name)} in {self.periods[self.observed[row].argmin()]}: "
                    "complete the data or leave out balanced=True."
                )
            warn(f"Ragged panel: {text}. Estimators use what is observed.")
        if not np.isfinite(self.cohorts).any():
            warn(f"No unit is treated by the last period, {self.periods[-1]}: only donors or controls here.")

    def __getattr__(self, name: str):
        if name in ("units", "outcomes", "weights", "cluster_codes", "clusters") and vars(self).get("sums") is not None:
            raise PanelError(
                f"A panel of a file or relation keeps sums over groups of units, not its {name}: {READ_THE_ROWS}."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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
        return int(self.observed.sum(axis=1) @ self.counts)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.counts.sum())

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return self.n_units if self.cluster == self.unit else len(self.clusters)

    @cached_property
    def counts(self) -> np.ndarray:
        """Units behind each row of `cohorts` and `observed`: one, but in a panel of a file or relation."""
        return np.ones(len(self.cohorts), dtype=np.int64) if self.sums is None else self.sums.units

    @property
    def cluster_sizes(self) -> np.ndarray:
        """Units in each cluster, shape (n_clusters,), for clusters larger than units."""
        if self.sums is None:
            return np.bincount(self.cluster_codes)
        return np.bincount(self.sums.cluster, weights=self.sums.members).astype(int)

    def _a_cluster(self):
        return self.first_units(self.counts > 0, 1)[0] if self.cluster == self.unit else self.clusters[0]

    def first_units(self, rows: np.ndarray, most: int = 10) -> list:
        """Names of the first units of the rows of `cohorts` where the mask `rows` is true."""
        if self.sums is None:
            return self.units[rows][:most].tolist()
        places = self.sums.first[rows]
        return self.source.unit_names(np.sort(places[places >= 0])[:most])

    @property
    def n_interior_gaps(self) -> int:
        """Unit-periods that are missing between a unit's first and last observation."""
        seen = self.observed
        span = np.logical_or.accumulate(seen, axis=1) & np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
        return int((span & ~seen).sum(axis=1) @ self.counts)

    @cached_property
    def treated(self) -> np.ndarray:
        """Whether a unit is under treatment in a period, shape (n_units, n_periods)."""
        return self.periods[None, :] >= self.cohorts[:, None]

    @property
    def cohort_sizes(self) -> pd.Series:
        """Units by first treated period; never-treated units under ``"never"``."""
        labels, of_row = np.unique(self.cohorts, return_inverse=True)
        counts = np.bincount(of_row, weights=self.counts).astype(int)
        index = ["never" if np.isinf(g) else int(g) for g in labels]
        return pd.Series(counts, index=pd.Index(index, name="cohort", dtype=object), name="units")

    @property
    def checksum(self) -> str:
        """SHA-256 of units, periods, outcomes, cohorts, clusters and weights, independent of the order of the rows.

        Of a file or relation, of its rows: it takes another pass over them.
        """
        digest = hashlib.sha256()
        if self.sums is not None:
            for part in (self.source.checksum, self.periods, self.cohorts, self.observed, self.counts):
                digest.update(part)
            return digest.hexdigest()
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
            One for each row of `cohorts`.
        periods : ndarray of bool, shape (n_periods,), optional
            Units not observed in these periods are left out too, and periods in which no unit is left. Units first
            treated after the last period count as never treated.

        Raises
        ------
        PanelError
            Fewer than two periods or two clusters are left.
        """
        return self._part(units, np.ones(len(self.periods), dtype=bool) if periods is None else periods)

    def _part(self, units, periods, cohorts=None) -> Panel:
        units = units & self.observed[:, periods].any(axis=1)
        periods = periods & self.observed[units].any(axis=0)
        if periods.sum() < 2:
            raise PanelError(
                f"Column {self.time!r} keeps {count(int(periods.sum()), 'period')} in the estimation sample: "
                "an effect needs one before and one after; use a longer panel."
            )
        cohorts = (self.cohorts if cohorts is None else cohorts)[units]
        cohorts = np.where(cohorts > self.periods[periods][-1], np.inf, cohorts)
        part = object.__new__(Panel)
        part.unit, part.time, part.outcome, part.cluster = self.unit, self.time, self.outcome, self.cluster
        part.periods, part.sums, part.source = self.periods[periods], self.sums, self.source
        if self.sums is not None:
            part.covariates, part.sums = {}, self.sums.restricted(units, periods, cohorts)
            part.cohorts, part.observed = part.sums.cohorts, part.sums.observed
            if self.cluster != self.unit:
                present, codes = np.unique(part.sums.cluster, return_inverse=True)
                part.sums, part.clusters = replace(part.sums, cluster=codes), self.clusters[present]
        else:

            def kept(values):
                return values[units] if values.ndim == 1 else values[units][:, periods]

            part.units, part.outcomes, part.cohorts = self.units[units], kept(self.outcomes), cohorts
            part.weights = None if self.weights is None else kept(self.weights)
            part.covariates = {name: kept(values) for name, values in self.covariates.items()}
            present, part.cluster_codes = np.unique(self.cluster_codes[units], return_inverse=True)
            part.clusters = self.clusters[present]
        if part.n_clusters < 2:
            raise PanelError(
                f"One cluster of column {self.cluster!r}, {show(part._a_cluster())}, is left in the estimation sample: "
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
        cohorts = np.where(np.isfinite(self.cohorts), float(period), np.inf)
        return self._part(np.ones(len(cohorts), dtype=bool), before, cohorts)

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
        missing = self.n_units * len(self.periods) - self.n_obs
        shape = "balanced" if self.is_balanced else f"{missing:,} unit-periods not observed"
        return (
            f"Panel of {self.outcome}: {self.n_units:,} units x {len(self.periods)} periods "
            f"({self.periods[0]} to {self.periods[-1]}), {self.n_obs:,} rows, "
            f"{treated:,} treated unit{'s' * (treated != 1)} in {cohorts} cohort{'s' * (cohorts != 1)}, {shape}"
        )
