"""Practices: the patients and practices on which payment models for primary care run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.tables import has_optional

_SHARES = ("quality_score", "rate_")  # beginnings of names
_POSITIVE = frozenset({"risk_score", "physicians"})
_MONTHS_OF_YEAR = 12
OLDEST = 120
"""Highest age that is read."""


@dataclass(frozen=True, eq=False)
class Practices:
    """One year of primary care: a table of patients and a table of their practices, checked once.

    Practice, age and sex are read once; for others, make new `Practices` or use `change`.

    Parameters
    ----------
    patients : DataFrame
        One row per patient. Always needed: `practice`, `age` (whole years at the start), `sex` ("F" or "M"). Asked for
        by the models that need them: `risk_score` (mean 1), `enrolled` (on the roster), `months` (enrolled, of 12),
        `visits` (of services in the basket, in the practice), `visits_after_hours` (of `visits`), `visits_elsewhere`
        (to other family doctors), `fees`, `fees_after_hours` (of `fees`), `fees_elsewhere` (fee-for-service value of
        the same visits), `fees_outside_basket`, `ed_visits`, `admissions`, `spending` (all care).
    practices : DataFrame
        One row per practice. Always needed: `practice`, `physicians`. Asked for: `hours`, `quality_score` (0 to 1), ...
    country : str
        "US" or "Canada": the currency of all amounts.
    synthetic : bool
        Whether these are made-up patients; every result on them says so.

    Raises
    ------
    PaymentError
        There are no patients, a column is missing, an age or a sex cannot be read, a practice is unknown or doubled.

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": ["A", "A"], "age": [70, 34], "sex": ["F", "M"], "fees": [300.0, 120.0]})
    >>> practices = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="Canada")
    >>> practices.sums(practices.patient("fees"))
    array([420.])
    """

    patients: pd.DataFrame
    practices: pd.DataFrame
    country: str
    synthetic: bool = False
    index: pd.Index = field(init=False, repr=False)
    _rows: np.ndarray = field(init=False, repr=False)
    _kept: dict = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self):
        for table, needed, what in (
            (self.patients, ("practice", "age", "sex"), "patients"),
            (self.practices, ("practice", "physicians"), "practices"),
        ):
            if not isinstance(table, pd.DataFrame):
                raise PaymentError(f"{what} must be a DataFrame, not {type(table).__name__}.")
            if table.empty:
                raise PaymentError(f"There are no {what}: give a table with at least one row.")
            if not table.columns.is_unique:
                twice = table.columns[table.columns.duplicated()][0]
                raise PaymentError(f"The table of {what} has the column {twice} twice; keep one.")
            for column in needed:
                if column not in table:
                    raise PaymentError(f"The table of {what} has no column {column}; it has {_list(table.columns)}.")
        if self.country not in ("US", "Canada"):
            raise PaymentError(f"country is {self.country!r}; write US or Canada.")
        index = pd.Index(self.practices["practice"], name="practice")
        if index.hasnans:
            raise PaymentError("A practice in the table of practices has no name; give each one.")
        if not index.is_unique:
            raise PaymentError(f"Practice {index[index.duplicated()][0]} has two rows; give each practice one.")
        codes, names = pd.factorize(self.patients["practice"], use_na_sentinel=False)
        rows = index.get_indexer(names)[codes]
        if (rows < 0).any():
            unknown = self.patients["practice"].iloc[int(np.argmin(rows))]
            raise PaymentError(
                f"Patients are in practice {unknown}, which the table of practices does not have; add it."
            )
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "_rows", rows)
        if (self.n_patients == 0).any():
            raise PaymentError(f"Practice {index[int(np.argmin(self.n_patients))]} has no patients; leave it out.")
        age = self.patient("age")
        if (wrong := (age != np.floor(age)) | (age > OLDEST)).any():
            raise PaymentError(f"An age is {age[wrong][0]:g}; give whole years from 0 to {OLDEST}.")
        if not self.patients["sex"].isin(["F", "M"]).all():
            odd = self.patients["sex"][~self.patients["sex"].isin(["F", "M"])].iloc[0]
            raise PaymentError(f"A sex is {odd!r}; the schedules know F and M.")
        self.practice("physicians")

    @property
    def currency(self) -> str:
        """USD or CAD."""
        return {"US": "USD", "Canada": "CAD"}[self.country]

    @property
    def n_patients(self) -> np.ndarray:
        """Patients of each practice, in the order of `index`."""
        return np.bincount(self._rows, minlength=len(self.index))

    @property
    def rows(self) -> np.ndarray:
        """For each patient, the position of the practice in `index`."""
        return self._rows

    @cached_property
    def age_and_sex(self) -> np.ndarray:
        """For each patient the age, for men after the ages of women: a place in a table by sex and age."""
        return self.patient("age").astype(int) + (OLDEST + 1) * self.patients["sex"].eq("M").to_numpy(dtype=bool)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a result on these practices must say."""
        return ("The patients are synthetic: no amount is that of a real practice.",) if self.synthetic else ()

    def patient(self, column: str) -> np.ndarray:
        """One column of the patients as numbers, checked.

        Raises
        ------
        PaymentError
            The column is absent, or holds something missing, negative or no number.
        """
        table = self.patients
        if column == "months" and column not in table:
            return self._whole_year
        known, values = self._kept.get(column, (None, None))
        if known is not None and column in table and _same_memory(known, table[column]):
            return values
        values = _numbers(table, column, "patients")
        if column == "months" and (values > _MONTHS_OF_YEAR).any():
            raise PaymentError(f"months has the value {values.max():g}; a patient is enrolled for at most 12 months.")
        if column == "enrolled" and not np.isin(values, (0, 1)).all():
            raise PaymentError("enrolled must be true or false for each patient.")
        values.flags.writeable = False
        self._kept[column] = table[column], values
        return values

    def practice(self, column: str) -> np.ndarray:
        """One column of the practices as numbers, checked as `patient` does; quality_score and rates are shares."""
        values = _numbers(self.practices, column, "practices")
        if column.startswith(_SHARES) and (wrong := values > 1).any():
            raise PaymentError(
                f"{column} of practice {self.index[int(np.argmax(wrong))]} is {values[wrong][0]:g}; "
                f"give it as a share from 0 to 1, for instance {min(values[wrong][0] / 100, 1):g}."
            )
        return values

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of an array over the patients of each practice."""
        return np.bincount(self._rows, weights=values, minlength=len(self.index))

    def total(
        self, *columns: str, of: Callable[..., np.ndarray] | None = None, terms: tuple[Hashable, ...] = ()
    ) -> np.ndarray:
        """Sums over the patients of each practice of a product of columns, or of what a function makes of them.

        They are kept: models that pay the same patients ask for the same sums.

        Parameters
        ----------
        columns : str
            As `patient` takes them, or age_and_sex.
        of : callable, optional
            Of as many arrays as columns, then `terms`; a function of a module, so that it is known again.
        terms : tuple

        Raises
        ------
        PaymentError
            As `patient`.

        Examples
        --------
        >>> patients = pd.DataFrame({"practice": "A", "age": 40, "sex": "F", "fees": [9.0, 5.0], "enrolled": [1, 0]})
        >>> practices = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="Canada")
        >>> practices.total("fees"), practices.total("fees", "enrolled")
        (array([14.]), array([9.]))
        """
        values = [self.age_and_sex if column == "age_and_sex" else self.patient(column) for column in columns]
        key = (of, terms, columns)
        known, sums = self._kept.get(key, ((), None))
        if sums is None or any(a is not b for a, b in zip(known, values, strict=True)):
            sums = self.sums(reduce(np.multiply, values) if of is None else of(*values, *terms))
            sums.flags.writeable = False
            self._kept[key] = values, sums
        return sums

    def change(self, patients: Mapping | None = None, practices: Mapping | None = None) -> Practices:
        """A copy with some columns replaced or added."""
        tables = self.patients.assign(**(patients or {})), self.practices.assign(**(practices or {}))
        checked = {"practice", "age", "sex"}
        if not set(patients or ()) <= {*self.patients} - checked or "practice" in (practices or ()):
            return Practices(*tables, self.country, self.synthetic)
        changed = copy.copy(self)  # who is in which practice stays, and so do sums of the other columns
        for name, value in zip(("patients", "practices", "_kept"), (*tables, dict(self._kept)), strict=True):
            object.__setattr__(changed, name, value)
        changed.practice("physicians")
        return changed

    @cached_property
    def _whole_year(self) -> np.ndarray:
        has_optional(self.patients, "months", "patients")  # refuses a name that is nearly it
        months = np.full(len(self.patients), float(_MONTHS_OF_YEAR))
        months.flags.writeable = False
        return months


def of_others(values: np.ndarray, enrolled: np.ndarray) -> np.ndarray:
    """Values of patients who are not enrolled, for `Practices.total`."""
    return values * (1 - enrolled)


def _same_memory(one: pd.Series, other: pd.Series) -> bool:
    """Whether two columns are one; pandas copies a column that two of its objects share before it changes one."""
    if not isinstance(one.dtype, np.dtype) or one.dtype != other.dtype:
        return False
    return one.to_numpy().__array_interface__ == other.to_numpy().__array_interface__


def _numbers(table: pd.DataFrame, column: str, what: str) -> np.ndarray:
    if column not in table:
        raise PaymentError(f"The table of {what} has no column {column}, which this model needs; add it.")
    try:
        values = table[column].to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise PaymentError(f"The column {column} of {what} is not numeric; give numbers.") from None
    if (wrong := ~np.isfinite(values)).any():
        raise PaymentError(
            f"The column {column} of {what} is missing in row {int(np.argmax(wrong)) + 1} or infinite; fill or drop it."
        )
    low = values <= 0 if column in _POSITIVE else values < 0
    if low.any():
        least = "above 0" if column in _POSITIVE else "0 or more"
        raise PaymentError(
            f"The column {column} of {what} is {values[low][0]:g} in row {int(np.argmax(low)) + 1}; it must be {least}."
        )
    return values


def _list(columns: pd.Index) -> str:
    return ", ".join(map(str, columns))
