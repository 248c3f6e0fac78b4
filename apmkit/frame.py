"""Rows of a DataFrame as arrays by unit and period, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from apmkit.columns import (
    check_cohorts,
    check_whole,
    codes,
    constant,
    count,
    finite,
    first_row,
    period_numbers,
    show,
    starts_of_treatment,
    warn_of_starts,
)
from apmkit.errors import PanelError


def arranged(data: pd.DataFrame, columns: dict[str, str], covariates: list[str]) -> dict[str, Any]:
    """What a `Panel` keeps of a DataFrame; `columns` gives the column of each role."""
    if len(data) == 0:
        raise PanelError("The data have no rows: check the filter that made them.")
    unit, time, outcome = columns["unit"], columns["time"], columns["outcome"]
    for column in (unit, time, columns.get("cluster", unit)):
        if data[column].isna().any():
            raise PanelError(f"Column {column!r} {first_row(data, data[column].isna())}: fill or drop such rows.")
    unit_codes, units = codes(data[unit])
    times = period_numbers(data, time)
    if times.dtype == float:
        check_whole(times, np.isinf(times), time)
    time_codes, periods = codes(times)
    periods = np.asarray(periods, dtype=np.int64)
    n, t = len(units), len(periods)

    y = finite(data, outcome)
    cell = unit_codes * t + time_codes
    outcomes = _by_period(y, cell, n, t)
    if len(y) - np.count_nonzero(~np.isnan(outcomes)):
        twice = pd.Series(cell).duplicated().to_numpy()
        row = int(np.flatnonzero(twice)[0])
        raise PanelError(
            f"Columns {unit!r} and {time!r} repeat in {count(int(twice.sum()), 'row')}, first {unit} "
            f"{show(data[unit].iloc[row])} in {data[time].iloc[row]:.0f}: keep one row for each, or add them up."
        )
    if "treatment" in columns:
        cohorts = _cohorts_from_treatment(data, columns, cell, units, periods)
    else:
        values = np.fmin(period_numbers(data, columns["cohort"], missing=True), np.inf)  # missing is never
        cohorts = check_cohorts(
            constant(values, unit_codes, n, data, unit, columns["cohort"]), columns["cohort"], periods
        )
    cluster_codes, clusters = np.arange(n), units
    if "cluster" in columns:
        row_codes, clusters = codes(data[columns["cluster"]])
        cluster_codes = constant(row_codes, unit_codes, n, data, unit, columns["cluster"])

    def unit_values(values, absent=np.nan):
        """One value per unit where it is constant over time, otherwise one per unit and period."""
        per_unit = np.empty(n)
        per_unit[unit_codes] = values
        return per_unit if np.array_equal(per_unit[unit_codes], values) else _by_period(values, cell, n, t, absent)

    weights = columns.get("weights")
    return {
        "units": units,
        "periods": periods,
        "outcomes": outcomes,
        "cohorts": cohorts,
        "cluster_codes": cluster_codes,
        "clusters": clusters,
        "weights": None if weights is None else unit_values(_positive(data, weights, unit), absent=0.0),
        "covariates": {name: unit_values(finite(data, name)) for name in covariates},
    }


def _by_period(values, cell, n, t, absent=np.nan) -> np.ndarray:
    filled = np.full(n * t, absent)
    filled[cell] = values
    return filled.reshape(n, t)


def _positive(data, column, unit) -> np.ndarray:
    values = finite(data, column)
    if (values <= 0).any():
        bad = values <= 0
        raise PanelError(
            f"Column {column!r} has {count(int(bad.sum()), 'weight')} not above zero, first {values[bad][0]:g} "
            f"for {unit} {show(data[unit].to_numpy()[bad][0])}: drop those rows or mend the weights."
        )
    return values


def _cohorts_from_treatment(data, columns, cell, units, periods) -> np.ndarray:
    unit, column = columns["unit"], columns["treatment"]
    values = finite(data, column)
    if not np.isin(values, (0.0, 1.0)).all():
        other = values[~np.isin(values, (0.0, 1.0))][0]
        raise PanelError(f"Column {column!r} holds {other:g}: treatment is 0 or 1.")
    found = starts_of_treatment(_by_period(values, cell, len(units), len(periods)))
    if found.off.any():
        unit_at, period_at = (int(i[0]) for i in np.nonzero(found.off))
        raise PanelError(
            f"Treatment {column!r} switches off for {count(int(found.off.any(axis=1).sum()), 'unit')}, "
            f"first {unit} {show(units[unit_at])} in {periods[period_at]}: these designs need "
            "treatment that stays on; end such units there, or give cohort to study the first switch."
        )

    def first_of(units_at, position):
        return f"{unit} {show(units[units_at[0]])} in {periods[position[units_at[0]]]}" if len(units_at) else ""

    warn_of_starts(
        len(found.late), len(found.unseen), first_of(found.late, found.first), first_of(found.unseen, found.start)
    )
    return np.where(found.starts, periods[found.start].astype(float), np.inf)
