"""The rows of a panel in a parquet file or a DuckDB relation: their columns, and what is refused of them."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from apmkit.columns import count, show
from apmkit.errors import PanelError

_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_FRACTIONS = {"FLOAT", "DOUBLE"}
ROWS_APART = 2_000_000
"""Fewer rows are not worth a stream of their own."""
NEVER = 255
"""Stands for no cohort where cohorts are streamed as bytes."""
READ_THE_ROWS = "read the rows into memory: Panel(relation.df(), ...)"


def quote(name: str) -> str:
    """A column's name as SQL writes it.

    >>> print(quote('net "visits" of all'))
    "net ""visits"" of all"
    """
    return '"' + name.replace('"', '""') + '"'


def is_database(data) -> bool:
    """Whether `data` is a path or a DuckDB relation."""
    return isinstance(data, str | Path) or type(data).__name__ == "DuckDBPyRelation"


def dense(periods: np.ndarray) -> bool:
    """Whether periods are few and without a gap, so that one byte holds their place."""
    return len(periods) == periods[-1] - periods[0] + 1 <= 256


@dataclass
class Database:
    """Rows of a panel in a database, and the roles of their columns.

    Attributes
    ----------
    relation : duckdb relation
    columns : dict of str to str
        Column of each role: unit, time, outcome, and where given cohort, treatment, cluster, weights.
    """

    relation: Any
    columns: dict[str, str]
    _path: str = ""
    _connection: Any = field(default=None, repr=False)
    _spill: Any = field(default=None, repr=False)

    @classmethod
    def opened(cls, data, columns: dict[str, str]) -> Database:
        """A relation as it is, or the parquet files of a path with at most 512 MB of DuckDB's memory."""
        if not isinstance(data, str | Path):
            return cls(data, columns)
        import duckdb

        spill = tempfile.TemporaryDirectory(prefix="apmkit-", ignore_cleanup_errors=True)
        connection = duckdb.connect(config={"memory_limit": "512MB", "temp_directory": spill.name})
        try:
            relation = connection.read_parquet(str(data))
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise PanelError(
                f"{str(data)!r} cannot be read as parquet ({reason}): give the path of a file, or of several by *."
            ) from None
        return cls(relation, columns, str(data), connection, spill)

    def __getattr__(self, name: str) -> str:
        """The quoted column of a role."""
        if name.startswith("_") or name not in self.__dict__.get("columns", {}):
            raise AttributeError(name)
        return quote(self.columns[name])

    def __reduce__(self):
        if not self._path:
            raise PanelError(
                "A DuckDB relation belongs to this process and cannot be copied or pickled: write it to a parquet file "
                "and build the panel from its path."
            )
        return Database.opened, (self._path, self.columns)

    @cached_property
    def types(self) -> dict[str, str]:
        """Type of the column of each role."""
        of_column = dict(zip(self.relation.columns, map(str, self.relation.types), strict=True))
        return {role: of_column[column] for role, column in self.columns.items()}

    def one(self, *aggregates: str) -> tuple:
        """One row of aggregates."""
        return self.relation.aggregate(", ".join(aggregates)).fetchall()[0]

    def unit_names(self, places: np.ndarray) -> list:
        """Names of units by their place among all, in ascending order."""
        import duckdb

        units = self.relation.aggregate(f"{self.unit} AS unit", self.unit)
        placed = units.project("unit, row_number() OVER (ORDER BY unit) - 1 AS place")
        wanted = [duckdb.ConstantExpression(int(place)) for place in places]
        found = placed.filter(duckdb.ColumnExpression("place").isin(*wanted)).order("place")
        return [unit for unit, _ in found.fetchall()]

    @cached_property
    def checksum(self) -> bytes:
        """SHA-256 of the number of rows and the sum of their MD5 numbers, whatever their order."""
        texts = ", ".join(f"coalesce({quote(column)}::VARCHAR, '')" for column in dict.fromkeys(self.columns.values()))
        total = self.one("count(*)", f"sum(md5_number_upper(concat_ws('|', {texts}))::HUGEINT)")
        return hashlib.sha256(repr(total).encode()).digest()

    # -- refusals ------------------------------------------------------------------------------------------------------

    def missing(self, role: str) -> str:
        """SQL for a missing value."""
        isnan = f" OR isnan({getattr(self, role)})" if self.types[role] in _FRACTIONS else ""
        return f"({getattr(self, role)} IS NULL{isnan})"

    def first(self, condition: str, role: str) -> tuple[int, Any, str]:
        """How many rows meet a condition, the value of a role in the first, and where that is."""
        bad = self.relation.filter(condition)
        n = bad.aggregate("count(*)").fetchall()[0][0]
        if n == 0:
            return 0, None, ""
        unit, time, value = (
            bad.order(f"{self.unit}, {self.time}")
            .limit(1)
            .project(f"{self.unit} AS unit, {self.time} AS time, {getattr(self, role)} AS value")
            .fetchall()[0]
        )
        where = f"for {self.columns['unit']} {show(unit)}" if role != "unit" else ""
        when = f"in {self.columns['time']} {show(time)}" if role != "time" else ""
        return n, value, f"{where} {when}".strip()

    def refuse_missing(self, role: str, remedy: str) -> None:
        n, _, where = self.first(self.missing(role), role)
        if n:
            total = self.one("count(*)")[0]
            raise PanelError(
                f"Column {self.columns[role]!r} is missing in {n:,} of {total:,} rows, first {where}: {remedy}."
            )

    def refuse_not_finite(self, role: str) -> None:
        self.refuse_missing(role, "drop those rows or fill them")
        n, value, where = self.first(f"isinf({getattr(self, role)}::DOUBLE)", role)
        if n:
            raise PanelError(f"Column {self.columns[role]!r} holds {value} {where}: drop or mend such rows.")

    def refuse_changes(self, role: str) -> None:
        """Refuse a column that changes within a unit."""
        value = f"CASE WHEN {self.missing(role)} THEN NULL ELSE {getattr(self, role)} END"
        changed = self.relation.aggregate(
            f"{self.unit} AS unit, count(DISTINCT {value}) + max({self.missing(role)}::INTEGER) AS n", self.unit
        ).filter("n > 1")
        n, unit = changed.aggregate("count(*), min(unit)").fetchall()[0]
        what = f"Column {self.columns[role]!r} changes within {count(n, 'unit')}, first {self.columns['unit']}"
        remedy = "give each unit one value in all its rows" if role != "weights" else READ_THE_ROWS
        raise PanelError(f"{what} {show(unit)}: {remedy}.")

    def refuse_repeats(self) -> None:
        twice = self.relation.aggregate(
            f"{self.unit} AS unit, {self.time} AS time, count(*) AS n", f"{self.unit}, {self.time}"
        ).filter("n > 1")
        n = twice.aggregate("sum(n - 1)").fetchall()[0][0]
        unit, time, _ = twice.order("unit, time").limit(1).fetchall()[0]
        raise PanelError(
            f"Columns {self.columns['unit']!r} and {self.columns['time']!r} repeat in {count(int(n), 'row')}, first "
            f"{self.columns['unit']} {show(unit)} in {time:.0f}: keep one row for each, or add them up."
        )

    def refuse_weights(self) -> None:
        self.refuse_not_finite("weights")
        n, value, where = self.first(f"{self.weights} <= 0", "weights")
        raise PanelError(
            f"Column {self.columns['weights']!r} has {count(n, 'weight')} not above zero, first {value:g} {where}: "
            "drop those rows or mend the weights."
        )

    def refuse_other_treatment(self) -> None:
        self.refuse_not_finite("treatment")
        _, value, where = self.first(f"{self.treatment}::DOUBLE NOT IN (0, 1)", "treatment")
        raise PanelError(f"Column {self.columns['treatment']!r} holds {value:g} {where}: treatment is 0 or 1.")

    def refuse_switches(self) -> None:
        on, off = (f"{self.treatment}::DOUBLE = {value}" for value in (1, 0))
        switched = self.relation.aggregate(
            f"{self.unit} AS unit, min({self.time}) FILTER ({on}) AS start, max({self.time}) FILTER ({off}) AS stop",
            self.unit,
        ).filter("stop > start")
        n = switched.aggregate("count(*)").fetchall()[0][0]
        unit, start, _ = switched.order("unit").limit(1).fetchall()[0]
        import duckdb

        col, const = duckdb.ColumnExpression, duckdb.ConstantExpression
        rows = self.relation.filter(col(self.columns["unit"]) == const(unit))
        later = rows.filter(col(self.columns["time"]) > const(start)).filter(off)
        at = later.aggregate(f"min({self.time})").fetchall()[0][0]
        raise PanelError(
            f"Treatment {self.columns['treatment']!r} switches off for {count(n, 'unit')}, first "
            f"{self.columns['unit']} {show(unit)} in {at:.0f}: these designs need treatment that stays on; end such "
            "units there, or give cohort to study the first switch."
        )

    # -- reading -------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Refuse columns of the wrong type and missing names of units, periods and clusters."""
        if self.one("count(*)")[0] == 0:
            raise PanelError("The data have no rows: check the filter that made them.")
        for role in ("unit", "time", "cluster"):
            if role in self.columns and (
                self.one(f"count(*) - count({getattr(self, role)})")[0] or self.types[role] in _FRACTIONS
            ):
                self.refuse_missing(role, "fill or drop such rows")
        for role in ("time", "outcome", "cohort", "treatment", "weights"):
            kind = self.types.get(role, "DOUBLE")
            numeric = kind in _WHOLE | _FRACTIONS | {"BOOLEAN"} or kind.startswith("DECIMAL")
            if numeric or (role == "cohort" and not self.one(f"count({self.cohort})")[0]):
                continue
            value = self.one(f"any_value({getattr(self, role)})")[0]
            dated = kind.startswith(("DATE", "TIMESTAMP"))
            must = "give whole numbers, for instance the year" if role in ("time", "cohort") else "it must be numeric"
            remedy = "take the year by SQL's year(...)" if dated else "SQL's CAST converts text"
            raise PanelError(
                f"Column {self.columns[role]!r} is of type {kind}, first value {show(value)}: {must}; {remedy}."
            )
        if self.types["time"] not in _WHOLE:
            n, value, _ = self.first(f"isinf({self.time}::DOUBLE) OR {self.time} != floor({self.time})", "time")
            if n:
                raise PanelError(
                    f"Column {self.columns['time']!r} holds {value:g}: give whole numbers, for instance the year."
                )

    def periods(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct periods, and about the mean outcome of each: that in the first rows.

        These rows are enough for the periods too where they hold every number in the range.
        """
        low, high = (int(end) for end in self.one(f"min({self.time})", f"max({self.time})"))

        def distinct(relation, *more):
            return relation.aggregate(", ".join([f"{self.time}::BIGINT AS time", *more]), self.time).order("time").df()

        level = f"coalesce(avg({self.outcome}::DOUBLE) FILTER (isfinite({self.outcome}::DOUBLE)), 0) AS level"
        early = distinct(self.relation.limit(100_000), level)
        periods = early["time"].to_numpy(np.int64)
        if len(periods) < high - low + 1:
            periods = distinct(self.relation)["time"].to_numpy(np.int64)
        return periods, np.interp(periods, early["time"], early["level"])

    def clusters(self) -> tuple[np.ndarray, pd.Index]:
        """Hashes of the clusters and their labels, both in the order of the labels."""
        found = self.relation.aggregate(f"{self.cluster} AS label, hash({self.cluster}) AS key", self.cluster)
        frame = found.order("label").df()
        if frame["key"].duplicated().any():
            raise PanelError(f"Two labels of {self.columns['cluster']!r} share a hash: number the clusters.")
        return frame["key"].to_numpy(np.uint64), pd.Index(frame["label"].tolist())

    @cached_property
    def first_cohort(self) -> int | None:
        """The first cohort, where all are whole numbers so near it that one byte holds their distance."""
        if self.types.get("cohort") not in _WHOLE:
            return None
        low, high = self.one(f"min({self.cohort})", f"max({self.cohort})")
        return int(low) if low is not None and high - low < NEVER else None

    def parts(self, most: int) -> list:
        """The relation as at most so many that can be read at the same time, each with all rows of its units.

        They are ranges of units, in ascending order. The relation of a user is one: its connection reads one at a time.
        """
        import duckdb

        unit, n_rows = duckdb.ColumnExpression(self.columns["unit"]), self.one("count(*)")[0]
        most = min(most, n_rows // ROWS_APART) if self._connection is not None else 1
        cuts = [self.relation.project(self.unit).limit(1, n_rows * i // most).fetchall()[0][0] for i in range(1, most)]
        bounds = [duckdb.ConstantExpression(cut) for cut in sorted(set(cuts))]
        parts = []
        for low, high in itertools.pairwise([None, *bounds, None]):
            part = self.relation if len(bounds) == 0 else self._connection.cursor().read_parquet(self._path)
            part = part if low is None else part.filter(unit >= low)
            parts.append(part if high is None else part.filter(unit < high))
        return parts

    def rows(self, relation, periods: np.ndarray):
        """What to stream: a column for each role, and `step`: 1 where a unit begins, 2 where units are out of order.

        Periods are counted from the first where they are few and without a gap, cohorts from `first_cohort`.
        """
        import duckdb

        before = f"lag({self.unit}) OVER ()"
        step = (
            f"CASE WHEN {self.unit} = {before} THEN 0::UTINYINT WHEN {self.unit} < {before} THEN 2::UTINYINT "
            "ELSE 1::UTINYINT END"
        )
        time = duckdb.ColumnExpression(self.columns["time"]).cast("BIGINT")
        if dense(periods):
            time = (time - duckdb.ConstantExpression(int(periods[0]))).cast("UTINYINT")
        chosen = [duckdb.SQLExpression(step).alias("step"), time.alias("period")]
        for role in ("outcome", "cohort", "treatment", "weights"):
            if role not in self.columns:
                continue
            value = duckdb.ColumnExpression(self.columns[role])
            if role == "cohort" and self.first_cohort is not None:
                since = (value.cast("BIGINT") - duckdb.ConstantExpression(self.first_cohort)).cast("UTINYINT")
                value = duckdb.CoalesceOperator(since, duckdb.ConstantExpression(NEVER).cast("UTINYINT"))
            else:
                value = value.cast("DOUBLE")
            chosen.append(value.alias(role))
        if "cluster" in self.columns:
            chosen.append(duckdb.SQLExpression(f"hash({self.cluster})").alias("cluster"))
        return relation.select(*chosen)
