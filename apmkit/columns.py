"""Columns of a user's data, checked and coded."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from apmkit.errors import PanelError, warn


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "unit"), count(1200, "unit")
    ('1 unit', '1,200 units')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def show(value) -> str:
    """A value as Python writes it, without the name of its NumPy type."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def some(values, most: int = 8) -> str:
    """The first of several values, and how many more there are."""
    text = ", ".join(show(v) for v in values[:most])
    return text + (f" and {len(values) - most} more" if len(values) > most else "")


def first_row(data, bad) -> str:
    """How many rows are missing, and the first."""
    rows = np.flatnonzero(np.asarray(bad))
    return f"is missing in {len(rows):,} of {len(data):,} rows, first at index {show(data.index[rows[0]])}"


def to_numbers(series: pd.Series) -> str:
    """How to make numbers of a column that has none."""
    if pd.api.types.is_datetime64_any_dtype(series) or isinstance(series.dtype, pd.PeriodDtype):
        return "take the year by .dt.year, or number months by .dt.year * 12 + .dt.month"
    if isinstance(series.dtype, pd.CategoricalDtype):
        return "convert the category by .astype(float)"
    return "pandas.to_numeric converts text"


def checksum(data: pd.DataFrame, columns: list[str]) -> str:
    """SHA-256 of some columns, independent of the order of the rows and of their index."""
    rows = pd.util.hash_pandas_object(data[columns], index=False).to_numpy()
    return hashlib.sha256("\n".join(columns).encode() + np.sort(rows).tobytes()).hexdigest()


def of_numbers(series: pd.Series) -> bool:
    """Whether a column is of real numbers or truth values."""
    return pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_complex_dtype(series)


def finite(data: pd.DataFrame, column: str) -> np.ndarray:
    """A column of finite numbers."""
    series = data[column]
    if series.isna().any():
        raise PanelError(f"Column {column!r} {first_row(data, series.isna())}: drop those rows or fill them.")
    if not of_numbers(series):
        raise PanelError(
            f"Column {column!r} is of type {series.dtype}, first value {show(series.iloc[0])}: it must be numeric; "
            f"{to_numbers(series)}."
        )
    values = series.to_numpy(dtype=float)
    usable = np.abs(values) < 1e150  # squares of more are infinite
    if not usable.all():
        bad = int(usable.argmin())
        raise PanelError(
            f"Column {column!r} holds {values[bad]} at index {show(data.index[bad])}: drop or mend such rows."
        )
    return values


def period_numbers(data: pd.DataFrame, column: str, *, missing: bool = False) -> np.ndarray:
    """A column of numbered periods; missing values allowed or not."""
    series = data[column]
    if not of_numbers(series) and not (missing and series.isna().all()):
        raise PanelError(
            f"Column {column!r} is of type {series.dtype}, first value {show(series.dropna().iloc[0])}: give whole "
            f"numbers, for instance the year, or quarters counted from the first; {to_numbers(series)}."
        )
    if not missing and pd.api.types.is_integer_dtype(series):
        return series.to_numpy()
    return series.to_numpy(dtype=float, na_value=np.nan)


def check_whole(values, broken, column) -> None:
    """Refuse a value that is marked as broken or has a fraction."""
    broken = broken | (np.isfinite(values) & (values != np.floor(values)))
    if broken.any():
        raise PanelError(f"Column {column!r} holds {values[broken][0]:g}: give whole numbers, for instance the year.")


def codes(values) -> tuple[np.ndarray, pd.Index]:
    """Positions of `values` among their sorted distinct labels; a table look-up where these are dense integers."""
    array = np.asarray(values)
    if np.issubdtype(array.dtype, np.integer):
        array = array.astype(np.int64, copy=False)
        low, high = int(array.min()), int(array.max())
        if high - low < 4 * len(array) + 1024:
            shifted = array - low
            present = np.zeros(high - low + 1, dtype=bool)
            present[shifted] = True
            labels = pd.Index(np.flatnonzero(present) + low)
            return (shifted if present.all() else (np.cumsum(present) - 1)[shifted]), labels
    codes, labels = pd.factorize(values, sort=True)
    return codes, pd.Index(labels)


def constant(row_values, unit_codes, n, data, unit, column) -> np.ndarray:
    """One value for each of `n` units from the values of their rows, which must agree."""
    per_unit = np.empty(n, dtype=row_values.dtype)
    per_unit[unit_codes] = row_values
    changed = per_unit[unit_codes] != row_values
    if changed.any():
        row = int(np.flatnonzero(changed)[0])
        raise PanelError(
            f"Column {column!r} changes within {count(len(np.unique(unit_codes[changed])), 'unit')}, first {unit} "
            f"{show(data[unit].iloc[row])}: give each unit one value in all its rows."
        )
    return per_unit


class Starts(NamedTuple):
    """Where treatment starts for each of n units, from a column of 0 and 1."""

    starts: np.ndarray
    """Whether it starts, shape (n,)."""
    start: np.ndarray
    """Position of the first treated period, shape (n,)."""
    first: np.ndarray
    """Position of the first observed period, shape (n,)."""
    off: np.ndarray
    """Where it switches off, shape (n, n_periods)."""
    late: np.ndarray
    """Units that enter under treatment."""
    unseen: np.ndarray
    """Units not observed just before they are first seen treated."""


def starts_of_treatment(treated: np.ndarray) -> Starts:
    """Starts of treatment from 0 and 1 by unit and period, missing where not observed."""
    so_far = np.fmax.accumulate(np.nan_to_num(treated), axis=1)
    first, start, unit = (~np.isnan(treated)).argmax(axis=1), so_far.argmax(axis=1), np.arange(len(treated))
    starts = so_far[:, -1] == 1
    return Starts(
        starts,
        start,
        first,
        (treated == 0) & (so_far == 1),
        np.flatnonzero((first > 0) & (treated[unit, first] == 1)),
        np.flatnonzero(starts & (start > first) & np.isnan(treated[unit, start - 1])),
    )


def warn_of_starts(late: int, unseen: int, first_late: str, first_unseen: str) -> None:
    """Warn of units whose treatment may have started earlier: how many of each kind, and the first with its period."""
    if late:
        warn(
            f"Already treated when they enter: {count(late, 'unit')}, first {first_late}; their first period is taken "
            "for the start of treatment: give cohort if it was earlier."
        )
    if unseen:
        warn(
            f"Not observed just before they are first seen treated: {count(unseen, 'unit')}, first {first_unseen}; "
            "treatment may have started earlier: give cohort if it did."
        )


def check_cohorts(cohorts: np.ndarray, column: str, periods: np.ndarray) -> np.ndarray:
    """First treated periods, whole numbers; infinity after the last period."""
    check_whole(cohorts, np.isneginf(cohorts), column)
    if np.any(cohorts == 0) and periods[0] > 0:
        raise PanelError(
            f"Column {column!r} holds 0, before the first period {periods[0]}: mark never-treated units by a "
            f"missing value, for instance data[{column!r}].replace(0, float('nan')), and units treated before the "
            "panel begins by a negative number."
        )
    return np.where(cohorts > periods[-1], np.inf, cohorts)
