"""Add a newly published file to a data set: validated first, copied in one step, never over what is there."""

import re
import warnings
from datetime import date
from pathlib import Path

import pandas as pd

from apmkit.datasets import mssp, store
from apmkit.datasets.catalogue import DataError, Dataset, describe
from apmkit.datasets.loading import broken_rules, build, read_table, replace_periods
from apmkit.datasets.store import Source
from apmkit.datasets.tables import read_csv, read_user_file

# Units whose level changes slowly: a median that leaves the years before by this factor is in another unit.
_STEADY_UNITS = (
    *("USD per person-year", "per 1,000 person-years", "per 1,000 discharges"),
    *("days", "score", "fraction", "persons", "person-years"),
)
_JUMP = 3
# Fewer rows a year than this share of what is usual mean a file that is cut off.
_LEAST_SHARE_OF_ROWS = 0.75
_RECENT_YEARS = 5


def add(name: str, file: str | Path, *, year: int | None = None, replace: bool = False) -> Path:
    """Add a published file to a data set; from then on it is part of `load(name)`.

    The file is checked before it is copied into the user's data folder: columns, numbers, units, duplicates, number of
    rows and the accounting rules of the data set.

    Parameters
    ----------
    name
        Data set, one of `names()`.
    file
        The file as its publisher gives it: ``.csv``, ``.csv.gz`` or, for tables of one sheet, ``.xlsx``.
    year
        Year of the file, where each year is a file of its own (mssp); by default it is read from the file name.
    replace
        Whether years that are there already may be replaced.

    Returns
    -------
    pathlib.Path
        Where the copy is.

    Raises
    ------
    DataError
        If the file is refused; the message says why and what to do.
    """
    dataset = describe(name)
    path = Path(file)
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    try:
        data = read_user_file(path, dataset)
        if dataset.period_column is None:
            year = _year_in_name(path.name) if year is None else year
            _validate_year(dataset, Source(path.name, data, year, added=True), replace)
        elif year is None:
            data = _merged_table(dataset, Source(path.name, data, None, added=True), replace)
        else:
            raise DataError(f"{name} has its years in column {dataset.period_column!r}; leave year out.")
    except DataError as error:
        reason = re.sub(rf"^{re.escape(path.name)}\b", "It", str(error))
        raise DataError(f"{path.name} was not added: {reason}") from None
    return store.write_added(dataset, year, data)


def _year_in_name(name: str) -> int:
    found = set(re.findall(r"(?<!\d)20\d\d(?!\d)", name))
    if len(found) != 1:
        raise DataError("Its name does not tell the year; give it with year= (--year).")
    return int(found.pop())


def _refuse_present(dataset: Dataset, present: set[str], replace: bool) -> None:
    if present and not replace:
        raise DataError(
            f"{dataset.name} already has {', '.join(sorted(present))}; "
            "to put this file in its place, use replace=True (--replace)."
        )


def _validate_year(dataset: Dataset, source: Source, replace: bool) -> None:
    """Refuse a file of one year that is not what the publisher gives for that year."""
    if not dataset.years[0] <= source.year <= date.today().year:
        raise DataError(f"PY{source.year} is not a year from {dataset.years[0]} to {date.today().year}.")
    there = {file.year for file in dataset.files} | set(store.added_files(dataset))
    _refuse_present(dataset, {f"PY{source.year}"} if source.year in there else set(), replace)
    template = max((file for file in dataset.files if (file.year or 9999) <= source.year), key=lambda file: file.year)
    as_shipped = store.read_shipped(template)
    mssp.require_columns(read_csv(source.data, source.name), read_csv(as_shipped.data, template.name), dataset)
    fixed = [store.read_shipped(file) for file in dataset.files if file.year is None]
    frame = build(dataset, [*fixed, source])
    _refuse_broken(dataset, frame)
    others = build(dataset, store.sources(dataset, without=source.year))
    replaced = template.rows if template.year == source.year else None
    there = _rows_of_added(dataset, source.year) or replaced or 0
    usual = replaced or others["year"].value_counts().sort_index()[-_RECENT_YEARS:].median()
    _refuse_odd_size(len(frame), usual, f" (it would replace {there})" if there else "")
    _refuse_blank_columns(dataset, frame, build(dataset, [*fixed, as_shipped]))
    _refuse_other_units(dataset, frame, others)
    repeated = others.merge(frame, on=["aco_id", "expenditures"], suffixes=("", "_new"))
    if len(repeated) > len(frame) / 2:
        raise DataError(f"It repeats the expenditures of PY{repeated['year'].iloc[0]}; check the year.")
    if len(frame) < there:
        warnings.warn(f"{source.name} replaces {there} rows by {len(frame)}.", stacklevel=3)


def _rows_of_added(dataset: Dataset, year: int) -> int | None:
    """Rows of the file added for a year; none where there is none, or where it was damaged since."""
    path = store.added_files(dataset).get(year)
    try:
        return path and len(read_csv(store.read_added(path, year).data, path.name))
    except DataError:
        return None


def _refuse_blank_columns(dataset: Dataset, frame: pd.DataFrame, template: pd.DataFrame) -> None:
    """Refuse a column that is mostly empty though the publisher's latest layout has it in nearly every row."""
    filled, usual = ((table.notna() & (table != "")).mean() for table in (frame, template))
    for entry in dataset.codebook:
        if usual[entry.column] > 0.9 and filled[entry.column] < 0.5:
            raise DataError(
                f"Column {entry.column!r} ({entry.source or 'computed'}) is empty in {1 - filled[entry.column]:.0%} of "
                "the rows; add the file as its publisher gives it."
            )


def _refuse_other_units(dataset: Dataset, frame: pd.DataFrame, others: pd.DataFrame) -> None:
    """Refuse a column whose median leaves the medians of the years that are there already."""
    for entry in dataset.codebook:
        # Where values fall on both sides of zero the median can be anywhere.
        if entry.unit not in _STEADY_UNITS or entry.within is None or entry.within[0] < 0:
            continue
        median, there = frame[entry.column].median(), others.groupby("year")[entry.column].median()
        if median < there.min() / _JUMP or median > there.max() * _JUMP:
            raise DataError(
                f"Column {entry.column!r} ({entry.source}) has the median {median:.4g} {entry.unit}, where other years "
                f"have {there.min():.4g} to {there.max():.4g}; check the file's units."
            )


def _merged_table(dataset: Dataset, source: Source, replace: bool) -> bytes:
    """What was added before with this file's periods in it, once they are valid."""
    table = read_table(dataset, source)
    frame = build(dataset, [source])
    _refuse_broken(dataset, frame)
    _refuse_future(dataset, frame)
    added = _readable(dataset, replace)
    earlier = [read_table(dataset, other) for other in (*_shipped(dataset), *added)]
    periods = table[dataset.period_column]
    present = {period for other in earlier for period in other[dataset.period_column]}
    _refuse_present(dataset, present & set(periods), replace)
    if present:
        usual = len(earlier[0]) / earlier[0][dataset.period_column].nunique()
        _refuse_odd_size(len(table) / periods.nunique(), usual)
    for other in added:
        table = replace_periods(dataset, read_table(dataset, other), table)
    return table.to_csv(index=False).encode()


def _shipped(dataset: Dataset) -> list[Source]:
    return [store.read_shipped(file) for file in dataset.files if store.is_shipped(file)]


def _readable(dataset: Dataset, replace: bool) -> list[Source]:
    """Files added before; to replace one that was damaged, it is left out."""
    found = []
    for year, path in store.added_files(dataset).items():
        try:
            found.append(store.read_added(path, year))
        except DataError as error:
            if not replace:
                raise
            warnings.warn(f"{error} It is left out, with every year that only it held.", stacklevel=4)
    return found


def _refuse_future(dataset: Dataset, frame: pd.DataFrame) -> None:
    latest = max(frame[entry.column].max() for entry in dataset.codebook if entry.unit == "year")
    if latest > date.today().year:
        raise DataError(f"It holds the year {latest}, which has not begun; check column {dataset.period_column!r}.")


def _refuse_broken(dataset: Dataset, frame: pd.DataFrame) -> None:
    if broken := broken_rules(dataset, frame):
        raise DataError(broken[0])


def _refuse_odd_size(rows: float, usual: float, replaces: str = "") -> None:
    if not usual * _LEAST_SHARE_OF_ROWS <= rows <= usual / _LEAST_SHARE_OF_ROWS:
        raise DataError(
            f"It has {rows:.0f} rows a year{replaces} where {usual:.0f} are usual; it may be cut off or doubled."
        )
