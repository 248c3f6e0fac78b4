"""A file of the user's own that a study reads: CSV, parquet, or a table of a DuckDB database."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from apmkit.database.source import quote
from apmkit.errors import ApmkitError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_DATABASES = {".duckdb", ".db", ".ddb"}
_PARQUET = {".parquet", ".pq"}
_TEXT = {".csv", ".tsv"}


class OwnDataError(ApmkitError):
    """A file of the user's own cannot be read, or lacks something; the message says what there is."""


@dataclass(frozen=True)
class OwnData:
    """A file that stays where it is; `apmkit new-study` writes this into a study.

    Attributes
    ----------
    file : str
        Path, from the top of the clone if it is not absolute. The ending tells the kind: .csv, .tsv, .parquet, .duckdb.
    table : str, optional
        Table or view of a DuckDB database.
    text : tuple of str
        Columns of names: of a CSV file they are read as they are written, so that 007 stays 007.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "clinics.csv").write_text("clinic,visits\\n007,5\\n008,6\\n")
    ...     data = OwnData(f"{folder}/clinics.csv", text=("clinic",))
    ...     data.columns(), data.load(["clinic"])["clinic"].tolist()
    (['clinic', 'visits'], ['007', '008'])
    """

    file: str
    table: str | None = None
    text: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where the file is."""
        from apmkit.studies.study import repository

        return (repository() or Path()) / self.file

    @property
    def name(self) -> str:
        """Name of the file, and of the table."""
        return self.path.name if self.table is None else f"{self.path.name}:{self.table}"

    def checksum(self) -> str:
        """SHA-256 of the file.

        Raises
        ------
        OwnDataError
            The file is not there or cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise OwnDataError(
                f"{self.file} cannot be read ({error.strerror or error}): put the file there, or change the path in "
                "the module of the study."
            ) from None

    def columns(self) -> list[str]:
        """Names of all columns.

        Raises
        ------
        OwnDataError
            The file or table is not there, or is of another kind.
        """
        return list(_read(self, None, self.checksum()).columns)

    def load(self, columns: Sequence[str]) -> pd.DataFrame:
        """Some of the columns, all rows.

        Raises
        ------
        OwnDataError
            The file or table is not there, is of another kind, or lacks a column.
        """
        there = self.columns()
        if missing := [column for column in columns if column not in there]:
            semicolons = ": save it with commas in place of semicolons" if len(there) == 1 and ";" in there[0] else ""
            raise OwnDataError(
                f"{self.name} has no column {missing[0]!r}: the columns are {', '.join(there)}{semicolons}."
            )
        if twice := [column for column in columns if there.count(column) > 1]:
            raise OwnDataError(f"{self.name} has two columns {twice[0]!r}: rename one.")
        return _read(self, tuple(dict.fromkeys(columns)), self.checksum()).copy()


@lru_cache(maxsize=4)  # a sweep reads the same rows for each set of parameters; the checksum tells when they change
def _read(data: OwnData, columns: tuple[str, ...] | None, checksum: str) -> pd.DataFrame:
    """The chosen columns; with None no rows and every column."""
    import duckdb
    import pandas as pd

    kind = data.path.suffix.lower()
    if kind not in _TEXT | _PARQUET | _DATABASES:
        raise OwnDataError(f"{data.name} ends in {kind or 'nothing'}: give a .csv, .tsv, .parquet or .duckdb file.")
    if (data.table is None) == (kind in _DATABASES):
        raise OwnDataError(
            f"{data.name} is a database: name a table by --table; it has {_tables(data)}."
            if data.table is None
            else f"{data.path.name} is no database and has no table {data.table!r}: leave the table away."
        )
    try:
        if kind in _TEXT:
            return _read_text(data, columns, "\t" if kind == ".tsv" else ",")
        with _connected(data, kind) as connection:
            rows = connection.read_parquet(str(data.path)) if kind in _PARQUET else connection.table(_quoted(data))
            return (rows.limit(0) if columns is None else rows.select(*map(duckdb.ColumnExpression, columns))).df()
    except duckdb.CatalogException:
        raise OwnDataError(f"{data.path.name} has no table {data.table!r}: it has {_tables(data)}.") from None
    except UnicodeDecodeError:
        raise OwnDataError(f"{data.name} is no text in UTF-8: save it as CSV UTF-8.") from None
    except pd.errors.ParserWarning:
        raise OwnDataError(
            f"{data.name} has more values in its first row than names of columns: put values that have a comma into "
            "quotation marks, or write decimals with a point."
        ) from None
    except (duckdb.Error, ValueError, OSError) as error:  # what pandas says of a broken or foreign text is a ValueError
        raise OwnDataError(f"{data.name} cannot be read as {kind[1:]} ({_reason(error)}): give another file.") from None


def _read_text(data: OwnData, columns: tuple[str, ...] | None, separator: str) -> pd.DataFrame:
    import pandas as pd

    how = {"sep": separator, "encoding": "utf-8-sig"}
    if columns is None:  # names as they are written: read_csv would rename the second of two that are the same
        return pd.DataFrame(columns=pd.read_csv(data.path, header=None, nrows=1, dtype=str, **how).iloc[0].fillna(""))
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # Every column, though few are asked for: else a row with a value too many would lose it without a word.
        rows = pd.read_csv(data.path, dtype=dict.fromkeys(data.text, str), index_col=False, **how)
    return rows[list(columns)]


def _connected(data: OwnData, kind: str) -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(str(data.path), read_only=True) if kind in _DATABASES else duckdb.connect()


def _quoted(data: OwnData) -> str:
    return ".".join(map(quote, data.table.split(".")))


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def _tables(data: OwnData) -> str:
    import duckdb

    try:
        with _connected(data, data.path.suffix.lower()) as connection:
            found = connection.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
    except duckdb.Error as error:
        raise OwnDataError(
            f"{data.path.name} cannot be read as a database ({_reason(error)}): give another file."
        ) from None
    return ", ".join(name if schema == "main" else f"{schema}.{name}" for schema, name in sorted(found)) or "none"
