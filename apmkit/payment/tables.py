"""Tables of hospitals, episodes or ACOs that a user gives, and rules that are tables: their columns, checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError

_NEARLY = 0.901  # of the letters


def has_optional(frame: pd.DataFrame, column: str, what: str) -> bool:
    """Whether a table of `what` has a column it may lack; a name that misses it by a letter is refused.

    Raises
    ------
    PaymentError
        The column is absent, but another is nearly it: its values would be left out.
    """
    if column in frame:
        return True
    alike = {str(name).strip().lower(): name for name in frame.columns}
    if near := difflib.get_close_matches(column, alike, n=1, cutoff=_NEARLY):
        name = alike[near[0]]
        raise PaymentError(f"The table of {what} has a column {name}, but no {column}; name it {column}, or drop it.")
    return False


@dataclass(frozen=True, eq=False)
class Table:
    """A table of a user: what its rows are (`what`, plural) and the column that names them (`row`).

    Raises
    ------
    PaymentError
        It is no DataFrame, is empty, or its rows are not named.
    """

    frame: pd.DataFrame
    what: str
    row: str

    def __post_init__(self):
        if not isinstance(self.frame, pd.DataFrame):
            raise PaymentError(f"{self.what} must be a DataFrame, not {type(self.frame).__name__}.")
        if self.frame.empty:
            raise PaymentError(f"There are no {self.what}: give a table with at least one row.")
        if self._column(self.row).isna().any():
            raise PaymentError(f"The column {self.row} of {self.what} is missing in some rows; name each of them.")

    def __contains__(self, column: str) -> bool:
        return has_optional(self.frame, column, self.what)

    @property
    def names(self) -> pd.Index:
        """The rows by name, each once.

        Raises
        ------
        PaymentError
            A name occurs twice.
        """
        names = pd.Index(self.frame[self.row], name=self.row)
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise PaymentError(f"{self.row} {twice} has more than one row of {self.what}; give each one row.")
        return names

    def groups(self) -> tuple[np.ndarray, pd.Index]:
        """For each row the position of its name among the names, in order of appearance."""
        codes, names = pd.factorize(self.frame[self.row])
        return codes, pd.Index(names, name=self.row)

    def numbers(self, column: str, least: float = -np.inf, most: float = np.inf) -> np.ndarray:
        """A column of finite numbers from `least` to `most`.

        Raises
        ------
        PaymentError
            The column is absent, or a value is missing, no number or out of bounds.
        """
        given = self._column(column)
        try:
            values = given.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise PaymentError(f"The column {column} of {self.what} is not numeric; give numbers.") from None
        if (wrong := ~np.isfinite(values)).any():
            raise PaymentError(f"{column} of {self._place(wrong)} is missing or infinite; fill it or drop the row.")
        if (wrong := (values < least) | (values > most)).any():
            value = values[wrong][0]
            bounds = f"at least {least:g}" if np.isinf(most) else f"from {least:g} to {most:g}"
            share = f", so {value / 100:g} for {value:g} %" if most < value <= 100 and most <= 1 else ""
            raise PaymentError(f"{column} of {self._place(wrong)} is {value:g}; it must be {bounds}{share}.")
        return values

    def words(self, column: str, known: Iterable[str]) -> np.ndarray:
        """A column of words, each of them known.

        Raises
        ------
        PaymentError
            The column is absent, or holds another word.
        """
        known = list(known)
        values = self._column(column).to_numpy(dtype=object)
        if (wrong := ~np.isin(values.astype(str), known)).any():
            choices = f"{', '.join(known[:-1])} or {known[-1]}"
            raise PaymentError(f"{column} of {self._place(wrong)} is {values[wrong][0]!r}; write {choices}.")
        return values.astype(str)

    def flags(self, column: str) -> np.ndarray:
        """A column of true and false."""
        values = self.numbers(column)
        if (wrong := ~np.isin(values, (0, 1))).any():
            raise PaymentError(f"{column} of {self._place(wrong)} is {values[wrong][0]:g}; write True or False.")
        return values.astype(bool)

    def _column(self, column: str) -> pd.Series:
        if column not in self.frame:
            has = ", ".join(map(str, self.frame.columns))
            raise PaymentError(f"The table of {self.what} has no column {column}, which is needed; it has {has}.")
        if self.frame.columns.tolist().count(column) > 1:
            raise PaymentError(f"The table of {self.what} has the column {column} twice; keep one.")
        return self.frame[column]

    def _place(self, wrong: np.ndarray) -> str:
        return f"{self.row} {self.frame[self.row].iloc[int(np.argmax(wrong))]}"


def columns(name: str, rows: Iterable[Mapping[str, float]], *parts: str) -> list[np.ndarray]:
    """The columns of a rule that is a table, as numbers.

    Raises
    ------
    PaymentError
        There are no rows, or one lacks a column or has no finite number in it.

    Examples
    --------
    >>> columns("corridors", [{"from": 0, "share": 0.5}, {"from": 0.05, "share": 0.35}], "from", "share")
    [array([0.  , 0.05]), array([0.5 , 0.35])]
    """
    try:
        table = np.array([[float(row[part]) for part in parts] for row in rows])
    except (KeyError, TypeError, ValueError):
        table = np.empty((0, 0))
    if not table.size or not np.isfinite(table).all():
        raise PaymentError(f"Each row of {name} needs the numbers {' and '.join(parts)}.")
    return list(table.T)
