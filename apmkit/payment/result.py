"""Payment: what every payment model returns."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.rulebook import RulesInForce, pooled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOUBTFUL = ("unconfirmed", "partly confirmed")
_LARGEST = 2.0**53 / 100


@dataclass(frozen=True, eq=False)
class Payment:
    """Money by row (practice, hospital, ACO-year) and component, which adds up to the cent.

    Attributes
    ----------
    model : str
        What pays.
    currency : str
        USD or CAD.
    table : DataFrame
        One row each; one column for each component (negative where it is taken or owed) and `total`, their sum.
    details : DataFrame
        Rates, counts and reasons of the same rows; no money that is paid.
    rules : DataFrame
        The dated values it rests on: programme, parameter, value, unit, effective, status, citation.
    notes : tuple of str
        What a reader must know beside the numbers.
    """

    model: str
    currency: str
    table: pd.DataFrame
    details: pd.DataFrame
    rules: pd.DataFrame
    notes: tuple[str, ...]

    @classmethod
    def from_components(
        cls,
        *,
        model: str,
        currency: str,
        components: Mapping[str, np.ndarray],
        index: pd.Index,
        details: pd.DataFrame | None = None,
        terms: Iterable[RulesInForce] = (),
        notes: Iterable[str] = (),
    ) -> Payment:
        """A payment from amounts, each rounded to cents before it is added.

        Raises
        ------
        PaymentError
            An amount is no finite number, or too large to be exact in cents.
        """
        if not len(index):
            raise PaymentError(f"{model} has nobody to pay: give at least one row.")
        columns, total = {}, np.zeros(len(index))
        for name, amounts in components.items():
            cents = np.rint(np.asarray(amounts, dtype=float) * 100)
            wrong = ~(np.abs(cents) < _LARGEST * 100)
            if wrong.any():
                raise PaymentError(
                    f"{model}: {name.replace('_', ' ')} of {_row_name(index, wrong)} is no amount of money that can be "
                    "kept to the cent; look for missing or very large inputs in that row."
                )
            columns[name] = cents / 100 + 0.0
            total += cents
        if (wrong := ~(np.abs(total) < _LARGEST * 100)).any():
            raise PaymentError(f"{model}: the total of {_row_name(index, wrong)} is too large to keep to the cent.")
        columns["total"] = total / 100 + 0.0
        rules = pooled(terms)
        return cls(
            model=model,
            currency=currency,
            table=pd.DataFrame(columns, index=index),
            details=pd.DataFrame(index=index) if details is None else details,
            rules=rules,
            notes=(*notes, *doubts(rules)),
        )

    @property
    def components(self) -> list[str]:
        """Names of the components."""
        return list(self.table.columns[:-1])

    @property
    def total(self) -> pd.Series:
        """What each row is paid in all; negative where it owes."""
        return self.table["total"]

    @property
    def unconfirmed(self) -> list[str]:
        """Names of the parameters it rests on that are unconfirmed or only partly confirmed."""
        doubtful = self.rules[self.rules["status"].isin(_DOUBTFUL)]
        return list(dict.fromkeys(doubtful["programme"] + "." + doubtful["parameter"]))

    def to_frame(self) -> pd.DataFrame:
        """Components, total and details side by side."""
        return pd.concat([self.table, self.details], axis=1)

    def to_json(self) -> str:
        """All of it as JSON; missing details are null."""
        parts = {"table": self.table, "details": self.details, "rules": self.rules.astype({"effective": str})}
        frames = {
            name: json.loads(part.to_json(orient="split", date_format="iso", double_precision=15))
            for name, part in parts.items()
        }
        return json.dumps({"model": self.model, "currency": self.currency, **frames, "notes": list(self.notes)})

    def summary(self) -> str:
        """The sum of each component over all rows, and what to know beside it."""
        sums = (np.rint(self.table * 100).sum() / 100).map("{:,.2f}".format)
        width, amount = max(map(len, sums.index)), max(map(len, sums))
        lines = [f"{name.replace('_', ' '):<{width}}  {value:>{amount}}" for name, value in sums.items()]
        rows = "1 row" if len(self.table) == 1 else f"{len(self.table):,} rows"
        return "\n".join([f"{self.model}: {rows}, {self.currency}", *lines, *self.notes])

    def plot(self, ax: Axes | None = None) -> Axes:
        """How the components add up to the total, over all rows."""
        from apmkit.plots.payment import components

        return components(self, ax=ax)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        shown = self.table.rename(columns=lambda name: name.replace("_", " "))
        frame = shown.to_html(max_rows=20, float_format="{:,.2f}".format, border=0)
        return f"<p>{html.escape(self.model)}, {self.currency}</p>{frame}" + (f"<ul>{notes}</ul>" if notes else "")


def _row_name(index: pd.Index, wrong: np.ndarray) -> str:
    """The first row that is wrong, as a reader would name it."""
    row = index[int(np.argmax(wrong))]
    return ", ".join(map(str, row)) if isinstance(row, tuple) else str(row)


def doubts(rules: pd.DataFrame) -> list[str]:
    """Sentences on the values of `rules` that are in doubt or a user's own."""
    names: dict[str, dict[str, None]] = {}
    for status, name in zip(rules["status"], rules["parameter"], strict=True):
        names.setdefault(status, {})[name] = None
    found = [f"This rests on values that are {s}: {', '.join(names[s])}." for s in _DOUBTFUL if s in names]
    return [*found, *([f"Values given by the user: {', '.join(names['user'])}."] if "user" in names else [])]
