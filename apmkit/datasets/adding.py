"""Add a newly published file to a data set: validated first, copied in one step, never over what is there."""

import re
from datetime import date
from pathlib import Path

import pandas as pd

from apmkit.datasets import mssp, store
from apmkit.datasets.catalogue import DataError, Dataset, describe
from apmkit.datasets.loading import broken_rules, build, load, read_table, replace_periods
from apmkit.datasets.store import Source
from apmkit.datasets.tables import read_csv, read_user_file


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
            year = year or _year_in_name(path.name)
            _validate_year(dataset, Source(path.name, data, year, added=True), replace)
        elif year is None:
            data = _merged_table(dataset, Source(path.name, data, None, added=True), replace)
        else:
            raise DataError(f"{name} has its years in column {dataset.period_column!r}; leave year out.")
    except DataError as error:
        raise DataError(f"{path.name} was not added: {error}") from None
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
    shipped = read_csv(store.read_shipped(template).data, template.name)
    mssp.require_columns(read_csv(source.data, source.name), shipped, dataset)
    frame = build(dataset, [*(store.read_shipped(file) for file in dataset.files if file.year is None), source])
    _refuse_broken(dataset, frame)
    _refuse_odd_size(len(frame), template.rows)
    others = load(dataset.name).query("year != @source.year")
    repeated = others.merge(frame, on=["aco_id", "expenditures"], suffixes=("", "_new"))
    if len(repeated) > len(frame) / 2:
        raise DataError(f"It repeats the expenditures of PY{repeated['year'].iloc[0]}; check the year.")


def _merged_table(dataset: Dataset, source: Source, replace: bool) -> bytes:
    """What was added before with this file's periods in it, once they are valid."""
    table = read_table(dataset, source)
    _refuse_broken(dataset, build(dataset, [source]))
    periods = table[dataset.period_column]
    earlier = [read_table(dataset, other) for other in _present(dataset)]
    present = {period for other in earlier for period in other[dataset.period_column]}
    _refuse_present(dataset, present & set(periods), replace)
    if present:
        usual = len(earlier[0]) / earlier[0][dataset.period_column].nunique()
        _refuse_odd_size(len(table) / periods.nunique(), usual)
    for year, path in store.added_files(dataset).items():
        table = replace_periods(dataset, read_table(dataset, store.read_added(path, year)), table)
    return table.to_csv(index=False).encode()


def _present(dataset: Dataset) -> list[Source]:
    """What `load` reads; nothing where a table is neither shipped nor added yet."""
    nothing_yet = not any(map(store.is_shipped, dataset.files)) and not store.added_files(dataset)
    return [] if nothing_yet else store.sources(dataset)


def _refuse_broken(dataset: Dataset, frame: pd.DataFrame) -> None:
    if broken := broken_rules(dataset, frame):
        raise DataError(broken[0])


def _refuse_odd_size(rows: float, usual: float) -> None:
    if not usual / 2 <= rows <= usual * 2:
        raise DataError(f"It has {rows:.0f} rows a year where {usual:.0f} are usual; it may be cut off or doubled.")
