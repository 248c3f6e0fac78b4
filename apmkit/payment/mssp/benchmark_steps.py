"""Inputs of a benchmark by ACO and enrolment type, and the record of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.rulebook import RulesInForce
from apmkit.payment.tables import Table

_FACTORS = (0.5, 2.0)
_SOURCES = (("citation", "; "), ("status", ", "))


@dataclass(frozen=True, eq=False)
class EnrolmentTable:
    """A table with one row per ACO and enrolment type, read as arrays of shape (ACOs, types)."""

    frame: pd.DataFrame
    types: Sequence[str]

    @cached_property
    def acos(self) -> pd.Index:
        """The ACOs, in order of appearance."""
        return self._order[1]

    def grid(self, column: str, *, least: float = -np.inf, above: float = -np.inf, most: float = np.inf) -> np.ndarray:
        """A column as an array, shape (ACOs, types).

        Raises
        ------
        PaymentError
            The column is absent, or a value is missing, no number, below `least`, not above `above` or over `most`.
        """
        order, acos = self._order
        values = self._table.numbers(column, least, most)[order].reshape(len(acos), -1)
        if (wrong := values <= above).any():
            self._refuse(wrong, column, values, f"it must be above {above:g}")
        return values

    def factor(self, column: str) -> np.ndarray:
        """A column of growth factors, 1.03 for growth of 3 %.

        Raises
        ------
        PaymentError
            As `grid`, or a value can be no such factor.
        """
        values = self.grid(column)
        low, high = _FACTORS
        if (wrong := (values < low) | (values > high)).any():
            self._refuse(wrong, column, values, "give a factor, for instance 1.03 for growth of 3 %")
        return values

    def blend(self, kind: str, name: str) -> np.ndarray:
        """National, regional or blended factors of growth."""
        if kind != "blend":
            return self.factor(f"{kind}_{name}")
        share = self.grid("national_share", least=0, most=1)
        return share * self.factor(f"national_{name}") + (1 - share) * self.factor(f"regional_{name}")

    @cached_property
    def _table(self) -> Table:
        return Table(self.frame, "ACOs by enrolment type", "aco")

    @cached_property
    def _order(self) -> tuple[np.ndarray, pd.Index]:
        """Rows by ACO and then by type, and the ACOs."""
        codes, acos = self._table.groups()
        words = self._table.words("enrolment", self.types)
        cells = codes * len(self.types) + pd.Index(self.types).get_indexer(words)
        counts = np.bincount(cells, minlength=len(acos) * len(self.types))
        for wrong, what in ((counts > 1, "more than one row"), (counts == 0, "no row")):
            if wrong.any():
                aco, kind = divmod(int(np.argmax(wrong)), len(self.types))
                raise PaymentError(
                    f"aco {acos[aco]} has {what} for {self.types[kind]}; give one for each of {', '.join(self.types)}."
                )
        return np.argsort(cells), acos

    def _refuse(self, wrong: np.ndarray, column: str, values: np.ndarray, remedy: str) -> None:
        aco, kind = np.argwhere(wrong)[0]
        raise PaymentError(f"{column} of aco {self.acos[aco]}, {self.types[kind]}, is {values[aco, kind]:g}; {remedy}.")


@dataclass(frozen=True, eq=False)
class Steps:
    """What was worked out, in order, for all ACOs."""

    acos: pd.Index
    types: Sequence[str]
    terms: RulesInForce
    _rows: list[tuple] = field(default_factory=list, repr=False)

    def add(
        self,
        step: str,
        formula: str,
        values: np.ndarray,
        total: np.ndarray | None,
        unit: str,
        parameters: Sequence[str],
    ) -> None:
        """Record a step: values by ACO and type, their total if it means something, and the rules it follows."""
        for name in parameters:
            self.terms[name]  # a look-up is what the result remembers
        rules = [self.terms.rulebook.parameter(name).on(self.terms.day) for name in parameters]
        citation, status = (sep.join(dict.fromkeys(getattr(rule, part) for rule in rules)) for part, sep in _SOURCES)
        cells = np.column_stack([values, np.full(len(values), np.nan) if total is None else total])
        self._rows.append((step, formula, cells, unit, citation, status))

    def frame(self) -> pd.DataFrame:
        """All steps, ACO by ACO."""
        step, formula, cells, unit, citation, status = zip(*self._rows, strict=True)
        n = len(self.acos)
        table = pd.DataFrame(np.stack(cells, axis=1).reshape(n * len(cells), -1), columns=[*self.types, "total"])
        words = {"aco": np.repeat(self.acos, len(cells)), "step": step * n, "formula": formula * n}
        for position, (name, column) in enumerate(words.items()):
            table.insert(position, name, column)
        return table.assign(unit=unit * n, citation=citation * n, status=status * n)
