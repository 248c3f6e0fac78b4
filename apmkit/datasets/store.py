"""Bytes of data files: those shipped with the package and those a user added, each checked against its SHA-256."""

import contextlib
import gzip
import hashlib
import os
import re
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from apmkit.datasets.catalogue import DataError, DataFile, Dataset, describe

SHIPPED = Path(__file__).parent / "files"
_WHOLE_TABLE = "added"
_RESTORE = "reinstall apmkit to restore it (in a clone: git checkout -- apmkit/datasets/files)"
_withheld: ContextVar[dict[str, int]] = ContextVar("withheld", default={})  # noqa: B039 (never changed in place)
_ADDED_NAME = re.compile(rf"(?:{_WHOLE_TABLE}|(?P<year>\d{{4}}))\.(?P<sha256>[0-9a-f]{{64}})\.csv")


@dataclass(frozen=True)
class Source:
    """One file that `load` reads; `year` is set where each year is a file of its own."""

    name: str
    data: bytes
    year: int | None
    added: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def user_data_folder() -> Path:
    """Folder of the files a user added: the variable APMKIT_DATA, or the platform's place for application data.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"APMKIT_DATA": "course/data"}):
    ...     user_data_folder().as_posix()
    'course/data'
    """
    if chosen := os.environ.get("APMKIT_DATA"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "apmkit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "apmkit"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "apmkit"


def decompressed(path: Path) -> bytes:
    """Content of a file, without its gzip layer if it has one."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path.name} is truncated or not a gzip file; get a fresh copy.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def read_shipped(file: DataFile) -> Source:
    """A shipped file, checked against the registry."""
    if not is_shipped(file):
        raise DataError(f"{file.name} is not part of this installation.")
    data = decompressed(SHIPPED / file.name)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DataError(f"{file.name} does not match its SHA-256 in the registry; {_RESTORE}.")
    return Source(file.name, data, file.year, added=False)


def is_shipped(file: DataFile) -> bool:
    """Whether the file is part of this installation; tables under CIHI's notice are not part of the wheel."""
    return (SHIPPED / file.name).exists()


def added_files(dataset: Dataset) -> dict[int | None, Path]:
    """Files a user added, by year; the key is None where one file holds all added years."""
    found: dict[int | None, Path] = {}
    for path in sorted((user_data_folder() / dataset.name).glob("*.csv")):
        if (named := _ADDED_NAME.fullmatch(path.name)) is None:
            warnings.warn(
                f"{path} is not read: apmkit did not put it there; add it with 'apmkit datasets add {dataset.name} "
                "FILE' or move it elsewhere.",
                stacklevel=2,
            )
            continue
        year = int(named["year"]) if named["year"] else None
        if year in found:
            raise DataError(f"Two added files hold the same years of {dataset.name}; delete {path} or {found[year]}.")
        found[year] = path
    return found


def read_added(path: Path, year: int | None) -> Source:
    """An added file, checked against the SHA-256 in its name."""
    data = decompressed(path)
    if hashlib.sha256(data).hexdigest() != _ADDED_NAME.fullmatch(path.name)["sha256"]:
        raise DataError(f"{path} was changed or truncated after it was added; delete it and add the original again.")
    return Source(path.name, data, year, added=True)


def write_added(dataset: Dataset, year: int | None, data: bytes) -> Path:
    """Put a validated file into the user's folder in one step and remove the one it replaces."""
    folder = user_data_folder() / dataset.name
    before = added_files(dataset).get(year)
    path = folder / f"{year or _WHOLE_TABLE}.{hashlib.sha256(data).hexdigest()}.csv"
    # Not a file of `tempfile`: those are for their owner alone, and a shared folder is for colleagues too.
    temporary = path.with_suffix(f".{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
        if before and before != path:
            before.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise DataError(f"{folder} cannot be written: {error.strerror or error}.") from None
    return path


@contextlib.contextmanager
def withheld(name: str, year: int) -> Iterator[None]:
    """Inside the block a data set is as if one of its years had not been published yet; other processes see all of it.

    It acts on what is loaded inside the block, not on tables that a caller has kept from before.

    Raises
    ------
    DataError
        There is no such data set, or it does not hold the year.

    Examples
    --------
    >>> from apmkit import datasets
    >>> with datasets.withheld("mssp", 2023):
    ...     max(datasets.years("mssp")), int(datasets.load("mssp")["year"].max())
    (2022, 2022)
    """
    from apmkit.datasets.checking import years

    if year not in (there := years(name)):
        raise DataError(f"{name} holds no {year}, only {min(there)} to {max(there)}; choose one of those years.")
    before = _withheld.set({**_withheld.get(), name: year})
    try:
        yield
    finally:
        _withheld.reset(before)


def withheld_year(name: str) -> int | None:
    """The year of a data set that is withheld at present."""
    return _withheld.get().get(name)


def sources(dataset: Dataset, *, without: int | None = None) -> list[Source]:
    """Every file that `load` reads: shipped ones, and added ones, which stand for the shipped file of their year.

    The files of the year `without` are left out, and those of a year that is withheld.
    """
    without = withheld_year(dataset.name) if without is None else without
    added = added_files(dataset)
    files = [file for file in dataset.files if file.year is None or file.year not in {without, *added}]
    if without is not None:
        added.pop(without, None)
    missing = [file.name for file in files if not is_shipped(file)]
    if missing and not (dataset.how_to_get and added):
        remedy = dataset.how_to_get or _RESTORE
        raise DataError(f"The data set {dataset.name!r} lacks {missing[0]} in this installation: {remedy}.")
    here = [read_shipped(file) for file in files if is_shipped(file)]
    return here + [read_added(path, year) for year, path in added.items()]


def file_years(dataset: Dataset) -> list[int]:
    """Years that have a file of their own, shipped or added."""
    return sorted({file.year for file in dataset.files if file.year} | {year for year in added_files(dataset) if year})


def checksum(name: str) -> str:
    """One SHA-256 of everything that `load(name)` reads, files that a user added included.

    Examples
    --------
    >>> len(checksum("population"))
    64
    """
    lines = sorted(f"{source.name} {source.sha256}\n" for source in sources(describe(name)))
    if (year := withheld_year(name)) is not None:
        lines.append(f"without {year}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()
