"""State of the data files: checksum, rows, years and accounting rules of each."""

from collections.abc import Callable

import pandas as pd

from apmkit.datasets import mssp, store
from apmkit.datasets.catalogue import DataError, DataFile, Dataset, describe, names
from apmkit.datasets.loading import broken_rules, build, year_columns
from apmkit.datasets.store import Source


def years(name: str) -> list[int]:
    """Years in a data set, with those a user added, without reading it where each year is a file of its own.

    Raises
    ------
    DataError
        There is no such data set, or an added file was damaged.

    Examples
    --------
    >>> years("mssp")[:2]
    [2013, 2014]
    """
    withheld = store.withheld_year(name)
    return [year for year in _years(describe(name)) if year != withheld]


def _years(dataset: Dataset) -> list[int]:
    if by_file := store.file_years(dataset):
        return by_file
    added = [store.read_added(path, year) for year, path in store.added_files(dataset).items()]
    later = {year for source in added for year in _covered(dataset, build(dataset, [source]))}
    return sorted(later | set(range(dataset.years[0], dataset.years[1] + 1)))


def _covered(dataset: Dataset, frame: pd.DataFrame) -> list[int]:
    """Years in the frame's columns of years, in order; a table of periods has two such columns."""
    return sorted({int(year) for column in year_columns(dataset) for year in frame[column]})


def check(name: str | None = None) -> pd.DataFrame:
    """Check the files of one data set, or of all.

    Returns
    -------
    pandas.DataFrame
        One row per file: `dataset`, `file`, `origin` (shipped, not shipped or added), `checksum` (ok, or what is
        wrong), `rows`, `years`, `invariants` (ok, or the first rule that is broken). The last three are empty for a
        file that cannot be used. A file that its licence keeps out of the installed package is not shipped.

    Examples
    --------
    >>> check("unmet_need")[["checksum", "rows", "years", "invariants"]].values.tolist()
    [['ok', 70, '2018-2024', 'ok']]
    """
    chosen = names() if name is None else [name]
    return pd.DataFrame([row for each in chosen for row in _rows(describe(each))]).astype({"rows": "Int64"})


def _rows(dataset: Dataset) -> list[dict]:
    readers: list[tuple[str, str, Callable[[], Source]]] = [
        (file.name, _origin(file, dataset), lambda file=file: store.read_shipped(file)) for file in dataset.files
    ]
    readers += [
        (path.name, "added", lambda path=path, year=year: store.read_added(path, year))
        for year, path in store.added_files(dataset).items()
    ]
    return [
        {"dataset": dataset.name, "file": file, "origin": origin, **_state(dataset, read)}
        for file, origin, read in readers
    ]


def _origin(file: DataFile, dataset: Dataset) -> str:
    return "not shipped" if dataset.how_to_get and not store.is_shipped(file) else "shipped"


def _state(dataset: Dataset, read: Callable[[], Source]) -> dict:
    unusable = {"rows": None, "years": "", "invariants": ""}
    try:
        source = read()
    except DataError as error:
        return {"checksum": str(error), **unusable}
    if dataset.period_column is None and source.year is None:
        return {"checksum": "ok", "rows": len(mssp.read_crosswalk(source.data)), "years": "", "invariants": "ok"}
    try:
        fixed = [store.read_shipped(file) for file in dataset.files if file.year is None and dataset.layout == ()]
    except DataError:  # told in the row of the damaged file
        return {"checksum": "ok", **unusable, "invariants": "not checked: a file that belongs to it is damaged"}
    try:
        frame = build(dataset, [*fixed, source])
    except DataError as error:
        return {"checksum": "ok", **unusable, "invariants": str(error)}
    years = frame[next(entry.column for entry in dataset.codebook if entry.unit == "year")]
    return {
        "checksum": "ok",
        "rows": len(frame),
        "years": f"{years.min()}-{years.max()}" if years.min() < years.max() else str(years.min()),
        "invariants": next(iter(broken_rules(dataset, frame)), "ok"),
    }
