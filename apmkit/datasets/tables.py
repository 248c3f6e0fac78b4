"""Published text into columns: one reader and one set of conversions for every layout."""

import csv
import io
from pathlib import Path

import pandas as pd

from apmkit.datasets.catalogue import DataError, Dataset
from apmkit.datasets.store import decompressed

# What publishers print for "suppressed", "not applicable" and "not reported".
MISSING = ["", "*", "-", ".", "^", "~", "N/A", "P4R", "Not applicable"]


def read_csv(data: bytes, name: str) -> pd.DataFrame:
    """Read a published table as text, all columns, nothing taken for missing.

    Raises
    ------
    DataError
        If it is no CSV table, or a row has more or fewer fields than the header (a truncated file).
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(field.strip() for field in row)]
    except csv.Error as error:  # an open quote, for instance, makes one field of the rest of the file
        raise DataError(f"{name} is not a CSV table: {error}.") from None
    if len(rows) < 2 or len(rows[0]) < 2 or "\0" in text:
        raise DataError(f"{name} is not a CSV table with a header and rows.")
    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise DataError(f"{name} is truncated or damaged: row {number} has {len(row)} fields, the header {width}.")
    header = [column.strip() for column in rows[0]]
    if repeated := sorted({column for column in header if header.count(column) > 1}):
        raise DataError(f"{name} has the column {repeated[0]!r} twice; keep one.")
    return pd.DataFrame(rows[1:], columns=header, dtype=str)


def read_user_file(path: Path, dataset: Dataset) -> bytes:
    """CSV bytes of a file that a user wants to add; a workbook gives its first sheet that has the expected columns."""
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return decompressed(path)
    if path.suffix.lower() != ".xlsx" or not dataset.layout:
        kinds = ".csv, .csv.gz or .xlsx" if dataset.layout else ".csv or .csv.gz"
        raise DataError(f"{path.name} is not a {kinds} file; save the table as one of these.")
    try:
        sheets = pd.read_excel(path, sheet_name=None, dtype=str, keep_default_na=False)
    except Exception as error:  # openpyxl raises whatever its ZIP and XML layers raise
        raise DataError(f"{path.name} cannot be read as a workbook ({type(error).__name__}).") from None
    for sheet in sheets.values():
        if set(dataset.layout) <= set(sheet.columns):
            return sheet[list(dataset.layout)].to_csv(index=False).encode()
    raise DataError(f"No sheet of {path.name} has the columns {', '.join(dataset.layout)}.")


def blank(text: pd.Series) -> pd.Series:
    """Stripped text, with every mark for a missing value made missing."""
    stripped = text.astype("str").str.strip()
    return stripped.mask(stripped.isin(MISSING))


def numbers(text: pd.Series, name: str) -> pd.Series:
    """Text as floats, without ``$``, ``%`` and thousands commas; accountants' ``(1,330)`` is -1330.

    Raises
    ------
    DataError
        If a value is neither a number nor a mark for a missing value.
    """
    values = pd.to_numeric(text, errors="coerce").astype(float)
    rest = text[values.isna()]
    rest = blank(rest[~rest.isin(MISSING)]).dropna()
    if rest.empty:
        return values
    plain = rest.str.replace(r"[$,%\s]", "", regex=True).str.replace(r"^\((.+)\)$", r"-\1", regex=True)
    cleaned = pd.to_numeric(plain, errors="coerce")
    if cleaned.isna().any():
        wrong = rest[cleaned.isna()]
        holds = f"Column {name!r} holds {wrong.iloc[0]!r}{_where(wrong)}"
        raise DataError(f"{holds}, which is not a number; write one or leave it blank.")
    values[rest.index] = cleaned
    return values


def integers(text: pd.Series, name: str) -> pd.Series:
    """Text as integers, none missing."""
    values = numbers(text, name)
    if (odd := values.isna() | (values % 1 != 0)).any():
        wrong = text[odd]
        raise DataError(f"Column {name!r} holds {wrong.iloc[0]!r}{_where(wrong)}, not a whole number.")
    return values.astype(int)


def flags(text: pd.Series, name: str) -> pd.Series:
    """Text 0 and 1 as nullable booleans."""
    values = numbers(text, name)
    if not values.dropna().isin([0, 1]).all():
        odd = text[values.notna() & ~values.isin([0, 1])].iloc[0]
        raise DataError(f"Column {name!r} holds {odd!r}; it takes 0 and 1 only.")
    return values.astype("boolean")


def dates(text: pd.Series, name: str) -> pd.Series:
    """Month/day/year, with or without a time or a century, and spreadsheet serial numbers, as dates."""
    day = blank(text).str.split(" ").str[0]
    serial = pd.to_numeric(day, errors="coerce")
    values = pd.to_datetime(serial, unit="D", origin="1899-12-30").astype("datetime64[s]")
    for form in ("%m/%d/%Y", "%m/%d/%y", "%Y-%m-%d"):
        values = values.fillna(pd.to_datetime(day.where(values.isna()), format=form, errors="coerce"))
    if (unread := values.isna() & day.notna()).any():
        raise DataError(f"Column {name!r} holds {day[unread].iloc[0]!r}, which is not a date.")
    return values


def coded(text: pd.Series, codes: dict[str, str], name: str) -> pd.Series:
    """Text replaced by its code; unknown text is refused."""
    values = text.map(codes)
    if (unknown := values.isna() & text.notna()).any():
        value = text[unknown].iloc[0]
        holds = f"holds {value!r}{_where(text[unknown])}" if value else f"is blank in {unknown.sum()} rows"
        raise DataError(f"Column {name!r} {holds}; known are {', '.join(filter(None, codes))}.")
    return values


def _where(wrong: pd.Series) -> str:
    """The row of the first value, where the index holds names of rows."""
    return f" in {wrong.index[0]}" if isinstance(wrong.index[0], str) else ""


def require_valid(frame: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """The frame, if its columns are the codebook's, no key occurs twice and every value keeps its range.

    Raises
    ------
    DataError
        Naming the key or the column and value at fault.
    """
    if list(frame.columns) != dataset.columns:
        odd = sorted(set(frame.columns) ^ set(dataset.columns))
        raise DataError(f"Columns of {dataset.name} differ from its codebook: {', '.join(odd) or 'their order'}.")
    if (twice := frame.duplicated(list(dataset.key))).any():
        row = ", ".join(f"{column} {frame.loc[twice, column].iloc[0]}" for column in dataset.key)
        raise DataError(f"{dataset.name} has two rows for {row}; keep one.")
    for entry in dataset.codebook:
        if entry.within is None:
            continue
        low, high = entry.within
        values = frame[entry.column]
        if (outside := (values < low) | (values > high)).any():
            value = values[outside].iloc[0]
            raise DataError(
                f"Column {entry.column!r} ({entry.source or 'computed'}) holds {value:g}, outside {low:g} to {high:g} "
                f"{entry.unit}; check the file's units."
            )
    return frame


def broken(frame: pd.DataFrame, rules: dict[str, pd.Series], dataset: Dataset) -> list[str]:
    """One sentence for each rule that rows break, with the key of the first of them."""
    sentences = []
    for rule, breaks in rules.items():
        if breaks.any():
            first = ", ".join(str(value) for value in frame.loc[breaks, list(dataset.key)].iloc[0])
            sentences.append(f"In {breaks.sum()} of {len(frame)} rows {rule} (first: {first}).")
    return sentences
