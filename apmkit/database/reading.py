"""One pass over the rows of a database: units are put together, checked and added to the sums of their group."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from apmkit.columns import check_cohorts, show, starts_of_treatment, warn_of_starts
from apmkit.database.arrow import batches
from apmkit.database.source import NEVER, READ_THE_ROWS, Database, dense
from apmkit.database.sums import Sums
from apmkit.errors import PanelError

_UNITS_AT_ONCE = 30_000
_MOST_BYTES = 150_000_000
_STREAMS = 4


class _OutOfOrder(Exception):
    """Units are not in ascending order."""


class _Refused(Exception):
    """Rows are wrong; the argument is a function that queries the first of them and raises the error to tell."""


def summed(source: Database, covariates: list[str]) -> dict[str, Any]:
    """What a `Panel` keeps of a database."""
    if covariates:
        raise PanelError(
            f"covariates={covariates!r} belong to single units, and a panel of a file or relation keeps sums over "
            f"groups of them: {READ_THE_ROWS}."
        )
    source.check()
    (periods, shift), keys, labels = source.periods(), None, {}
    if "cluster" in source.columns:
        keys, labels["clusters"] = source.clusters()
    sums = _read(source, periods, shift, keys)
    cohorts = sums.cohorts
    if source.first_cohort is not None:
        cohorts = np.where(cohorts == NEVER, np.inf, cohorts + float(source.first_cohort))
    if "cohort" in source.columns:
        cohorts = check_cohorts(cohorts, source.columns["cohort"], periods)
    sums = sums.restricted(np.ones(len(cohorts), dtype=bool), np.ones(len(periods), dtype=bool), cohorts)
    return {
        "periods": periods,
        "sums": sums,
        "cohorts": sums.cohorts,
        "observed": sums.observed,
        "covariates": {},
        **labels,
    }


def _read(source: Database, periods: np.ndarray, shift: np.ndarray, cluster_keys: np.ndarray | None) -> Sums:
    """Sums over all units. Rows that are not in the order of their units are sorted first."""
    import duckdb

    for relations in (source.parts(min(_STREAMS, os.cpu_count() or 1)), [source.relation.order(source.unit)]):
        most = _MOST_BYTES // len(relations)
        readings = [_Reading(source, periods, shift, cluster_keys, most) for _ in relations]
        # A connection answers no other query while rows stream from it.
        streams = [source.rows(relation, periods) for relation in relations]
        try:
            with ThreadPoolExecutor(len(relations)) as pool:
                list(pool.map(_Reading.collect, readings, streams))
        except _OutOfOrder:
            continue
        except _Refused as refused:
            refused.args[0]()
            raise PanelError(
                "The rows read do not pass their checks, but a query finds none that is wrong: make sure that nothing "
                "writes to them, and that outcomes are small enough to be added."
            ) from None
        except duckdb.Error as error:
            raise PanelError(f"DuckDB cannot read these columns as numbers: {str(error).splitlines()[0]}") from None
        return _Reading.finished(readings)
    raise PanelError(f"Column {source.columns['unit']!r} has no order: cast it to text or whole numbers.")


class _Reading:
    """What is kept between batches: rows of a unit cut off by the end of a batch, and sums so far."""

    def __init__(self, source: Database, periods, shift, cluster_keys: np.ndarray | None, most_bytes: int):
        self.source, self.periods, self.dense = source, periods, dense(periods)
        # A constant for each period that keeps the products small; it cancels in every estimate.
        self.shift, self.most_bytes = shift, most_bytes
        self.cluster_order = None if cluster_keys is None else np.argsort(cluster_keys)
        self.cluster_keys = None if cluster_keys is None else cluster_keys[self.cluster_order]
        self.parts: list[Sums] = []
        self.units: list[tuple] = []
        self.waiting = np.empty((0, len(periods) + 1))
        self.n_units = self.n_waiting = 0
        self.entered_late, self.unseen = [], []

    def collect(self, relation) -> None:
        """Read all rows."""
        with closing(batches(relation)) as stream:
            self._collect(stream)
        self._pool(everything=True)

    def _collect(self, stream) -> None:
        rest: dict[str, np.ndarray] = {}
        for batch in stream:
            begins, n_rows = batch["step"] > 0, len(batch["step"])
            first, last = (begins.argmax(), n_rows - 1 - begins[::-1].argmax()) if begins.any() else (n_rows, n_rows)
            head = {name: np.concatenate([rest[name], values[:first]]) if rest else values[:first].copy()
                    for name, values in batch.items()}  # fmt: skip
            if first < n_rows:
                if rest:
                    self._take(head)
                self._take({name: values[first:last] for name, values in batch.items()})
                head = {name: values[last:].copy() for name, values in batch.items()}
            rest = head
        if rest:
            self._take(rest)

    @staticmethod
    def finished(readings: list[_Reading]) -> Sums:
        """All sums; warns of units whose treatment may have started before it was seen."""
        whole, *others = readings
        for part in others:
            whole._add(part)
        whole._pool(everything=True)
        whole._warn()
        return whole.parts[0]

    def _add(self, later: _Reading) -> None:
        """Add what another read of units that come after these."""
        place = self.n_units
        self.parts += [replace(sums, first=np.where(sums.first < 0, -1, sums.first + place)) for sums in later.parts]
        for kept, more in ((self.entered_late, later.entered_late), (self.unseen, later.unseen)):
            kept += [(n, first + place, period) for n, first, period in more]
        self.n_units += later.n_units

    def _take(self, rows: dict[str, np.ndarray]) -> None:
        """Add the rows of whole units."""
        step, y = rows["step"], rows["outcome"]
        begins = step > 0
        n, n_rows, n_periods = np.count_nonzero(begins), len(step), len(self.periods)
        if n == 0:
            return
        if step.max() == 2:
            raise _OutOfOrder
        period = rows["period"] if self.dense else np.searchsorted(self.periods, rows["period"])
        if not np.isfinite(y.sum()):
            raise _Refused(partial(self.source.refuse_not_finite, "outcome"))
        full = n_rows == n * n_periods and begins[::n_periods].all()
        full = full and (period.reshape(n, -1) == np.arange(n_periods, dtype=period.dtype)).all()
        cell = None if full else (np.cumsum(begins) - 1) * n_periods + period

        def by_period(values):
            if full:
                return values.reshape(n, n_periods)
            filled = np.full(n * n_periods, np.nan)
            filled[cell] = values
            return filled.reshape(n, n_periods)

        def by_unit(role, values):
            changes = values[1:] != values[:-1]
            if (changes > begins[1:]).any():
                raise _Refused(partial(self.source.refuse_changes, role))
            return values[::n_periods] if full else values[begins]

        outcomes = by_period(y)
        if not full and n_rows != n * n_periods - np.count_nonzero(np.isnan(outcomes)):
            raise _Refused(self.source.refuse_repeats)
        weights = cluster = None
        if "weights" in rows:
            if not (rows["weights"].min() > 0 and np.isfinite(rows["weights"].max())):
                raise _Refused(self.source.refuse_weights)
            weights = by_unit("weights", rows["weights"])
        if self.cluster_keys is not None:
            keys = by_unit("cluster", rows["cluster"])
            cluster = self.cluster_order[np.searchsorted(self.cluster_keys, keys)]
        if "treatment" in rows:
            cohorts = self._cohorts_from_treatment(by_period(rows["treatment"]), rows["treatment"])
        else:
            coded = self.source.first_cohort is not None
            cohorts = by_unit("cohort", rows["cohort"] if coded else np.fmin(rows["cohort"], np.inf)).copy()
        units = self._room(n)
        np.subtract(outcomes, self.shift, out=units[:, :-1])
        units[:, -1] = 1.0
        if weights is not None:
            units *= weights[:, None]
        if not full:
            units[:, :-1][np.isnan(outcomes)] = 0.0
        self.units.append((cohorts, None if full else ~np.isnan(outcomes), cluster))
        self.n_units, self.n_waiting = self.n_units + n, self.n_waiting + n
        if self.n_waiting >= _UNITS_AT_ONCE:
            self._pool()

    def _room(self, n: int) -> np.ndarray:
        """Rows for `n` more units after those that wait."""
        end = self.n_waiting + n
        if end > len(self.waiting):
            larger = np.empty((max(end, _UNITS_AT_ONCE), len(self.periods) + 1))
            larger[: self.n_waiting] = self.waiting[: self.n_waiting]
            self.waiting = larger
        return self.waiting[self.n_waiting : end]

    def _pool(self, everything: bool = False) -> None:
        """Turn the units that wait into sums, and add these to earlier ones that are no larger."""
        if self.units:
            cohorts, observed, cluster = zip(*self.units, strict=True)
            if all(seen is None for seen in observed):
                seen = None
            else:
                whole = (np.ones((len(some), len(self.periods)), dtype=bool) for some in cohorts)
                seen = np.concatenate([w if o is None else o for o, w in zip(observed, whole, strict=True)])
            cluster = None if cluster[0] is None else np.concatenate(cluster)
            place = self.n_units - self.n_waiting
            units = self.waiting[: self.n_waiting]
            self.parts.append(Sums.of_units(np.concatenate(cohorts), seen, units, cluster, place))
            self.units, self.n_waiting = [], 0
        while len(self.parts) > 1 and (everything or len(self.parts[-2].rows) <= 2 * len(self.parts[-1].rows)):
            self.parts[-2:] = [Sums.merged(self.parts[-2:])]
        size = sum(part.rows.nbytes for part in self.parts)
        if size > self.most_bytes:
            groups = sum(len(part.units) for part in self.parts)
            raise PanelError(
                f"The first {self.n_units:,} units of {self.source.columns['unit']!r} fall into {groups:,} groups by "
                f"cohort, observed periods and cluster: their sums do not fit in {_MOST_BYTES / 1e6:.0f} MB; choose "
                f"coarser clusters, or {READ_THE_ROWS}."
            )

    def _cohorts_from_treatment(self, treated, values):
        if not np.isin(values, (0.0, 1.0)).all():
            raise _Refused(self.source.refuse_other_treatment)
        found = starts_of_treatment(treated)
        if found.off.any():
            raise _Refused(self.source.refuse_switches)
        for kept, units, period in (
            (self.entered_late, found.late, found.first),
            (self.unseen, found.unseen, found.start),
        ):
            kept.append((len(units), self.n_units + units[:1], period[units[:1]]))
        return np.where(found.starts, self.periods[found.start].astype(float), np.inf)

    def _warn(self) -> None:
        counts, firsts = [], []
        for kept in (self.entered_late, self.unseen):
            counts.append(sum(n for n, _, _ in kept))
            place, period = next(((p, t) for n, p, t in kept if n), (None, None))
            name = "" if place is None else f"{show(self.source.unit_names(place)[0])} in {self.periods[period[0]]}"
            firsts.append(f"{self.source.columns['unit']} {name}")
        warn_of_starts(*counts, *firsts)
