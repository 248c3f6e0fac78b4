"""Capitation by age and sex: schedules of rates, checked, and what they pay."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.options import numbers
from apmkit.payment.practices import OLDEST, Practices
from apmkit.payment.rulebook import RulesInForce

_SHIPPED = Path(__file__).parent / "schedules" / "illustrative_age_sex.csv"
_PERIODS = {"year": 1, "month": 12}
LARGEST_FACTOR = 20


@dataclass(frozen=True, eq=False)
class CapitationSchedule:
    """What is paid for an enrolled patient of each age and sex.

    Parameters
    ----------
    bands : DataFrame
        One row per band of ages and sex: `age_from` and `age_to` (whole years, both included; blank in the last band,
        which is open), `sex` ("F" or "M"), and either `rate` (money per patient) or `factor` (multiple of `base_rate`).
        Together they must cover every age from 0 once for each sex.
    base_rate : float, optional
        Money per patient for a factor of 1; needed with `factor`, refused with `rate`.
    per : {"year", "month"}
        What the money is for.
    name : str
        What to call it in results.
    illustrative : bool
        Whether the rates are for teaching only; results say so.

    Raises
    ------
    PaymentError
        A column is missing or unknown, ages have a gap or an overlap, a sex has no bands, a rate is negative or
        missing, or a factor looks like money; the message names the band.

    Examples
    --------
    >>> bands = pd.DataFrame({"age_from": [0, 65, 0, 65], "age_to": [64, None, 64, None], "sex": list("FFMM"),
    ...                       "rate": [140.0, 300.0, 110.0, 290.0]})
    >>> CapitationSchedule(bands).rates([64, 65, 101], ["F", "F", "M"])
    array([140., 300., 290.])
    """

    bands: pd.DataFrame
    base_rate: float | None = None
    per: str = "year"
    name: str = "schedule of the user"
    illustrative: bool = False
    _by_sex: dict[str, tuple[np.ndarray, np.ndarray]] = field(init=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.bands, pd.DataFrame):
            raise PaymentError(
                f"{self.name}: bands must be a DataFrame, not {type(self.bands).__name__}; CapitationSchedule.read "
                "reads a CSV file."
            )
        if self.per not in tuple(_PERIODS):
            raise PaymentError(f"{self.name}: per is {self.per!r}; rates are per year or per month.")
        value = self._value_column()
        start, end, money = (self._numbers(column) for column in ("age_from", "age_to", value))
        if value == "factor":
            if (money > LARGEST_FACTOR).any():
                row = int(np.argmax(money))
                raise PaymentError(
                    f"{self.name}: the factor of {self._band(row)} is {money[row]:g}, which looks like money; "
                    "give amounts in a column rate instead."
                )
            money = money * self.base_rate
        by_sex = {sex: self._lookup(sex, start, end, money * _PERIODS[self.per]) for sex in ("F", "M")}
        object.__setattr__(self, "_by_sex", by_sex)

    @classmethod
    def read(cls, path: str | Path, **terms) -> CapitationSchedule:
        """A schedule from a CSV file; lines that begin with # are remarks. `terms` are those of the class."""
        path = Path(path)
        try:
            bands = pd.read_csv(path, comment="#")
        except FileNotFoundError:
            raise PaymentError(f"There is no schedule {path}; give the path of a CSV file.") from None
        except OSError as error:
            raise PaymentError(f"{path} cannot be read ({error.strerror}); give the path of a CSV file.") from None
        except (ValueError, UnicodeDecodeError) as error:
            raise PaymentError(f"{path.name} cannot be read as a CSV file ({str(error).splitlines()[0]}).") from None
        return cls(bands, **{"name": path.stem, **terms})

    def rates(self, age, sex) -> np.ndarray:
        """Money per patient and year, for as many ages in whole years as sexes "F" or "M".

        Raises
        ------
        PaymentError
            An age is negative or missing, a sex is another, or there are not as many of both.
        """
        age, sex = numbers(age, "age"), np.asarray(sex, dtype=object)
        if age.ndim != 1 or age.shape != sex.shape:
            raise PaymentError(f"There are {age.size} ages and {sex.size} sexes; give two lists of one length.")
        of_sex = {code: sex == code for code in self._by_sex}
        if not ((age >= 0).all() and np.logical_or.reduce(list(of_sex.values())).all()):
            raise PaymentError(
                f"{self.name} has rates for ages from 0 and for the sexes F and M only; mend the others."
            )
        rates = np.empty(len(age))
        for code, (starts, money) in self._by_sex.items():
            mine = of_sex[code]
            rates[mine] = money[np.searchsorted(starts, age[mine], side="right") - 1]
        return rates

    def pay(self, practices: Practices) -> np.ndarray:
        """Money for each patient: the rate for the months enrolled, nothing for those who are not."""
        return self.paid(practices.age_and_sex, practices.patient("enrolled"), practices.patient("months"))

    def total(self, practices: Practices) -> np.ndarray:
        """Money for all patients of each practice."""
        return practices.total("age_and_sex", "enrolled", "months", of=_paid, terms=(self,))

    def paid(self, age_and_sex: np.ndarray, enrolled: np.ndarray, months: np.ndarray) -> np.ndarray:
        """As `pay`, for patients at places as in `Practices.age_and_sex`."""
        ages = np.arange(OLDEST + 1)
        rates = self.rates(np.tile(ages, 2), np.repeat(["F", "M"], len(ages)))
        return rates[age_and_sex] * enrolled * months / 12

    def _value_column(self) -> str:
        known = {"age_from", "age_to", "sex", "rate", "factor"}
        for column in self.bands.columns:
            if self.bands.columns.tolist().count(column) > 1:
                raise PaymentError(f"{self.name} has the column {column} twice; keep one.")
            if column not in known:
                raise PaymentError(
                    f"{self.name} has a column {column}; it may have age_from, age_to, sex and rate or factor."
                )
        for column in ("age_from", "age_to", "sex"):
            if column not in self.bands:
                raise PaymentError(f"{self.name} has no column {column}; add it.")
        given = [column for column in ("rate", "factor") if column in self.bands]
        if len(given) != 1:
            raise PaymentError(f"{self.name} must have one column of money, rate or factor; it has {len(given)}.")
        if (given == ["factor"]) != (self.base_rate is not None):
            raise PaymentError(f"{self.name}: give base_rate with a column factor, and only then.")
        if self.base_rate is not None and not (isinstance(self.base_rate, Real) and 0 < self.base_rate < np.inf):
            raise PaymentError(f"{self.name}: base_rate is {self.base_rate!r}; it must be above 0.")
        return given[0]

    def _numbers(self, column: str) -> np.ndarray:
        try:
            values = self.bands[column].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise PaymentError(f"{self.name}: the column {column} is not numeric; give numbers.") from None
        ages = column in ("age_from", "age_to")
        open_ended = np.isnan(values) & (column == "age_to")
        wrong = ~(values >= 0) | np.isinf(values) | (ages & (values != np.floor(values)))
        if (wrong & ~open_ended).any():
            row = int(np.argmax(wrong & ~open_ended))
            kind = "a whole number of years" if ages else "0 or more"
            raise PaymentError(f"{self.name}: {column} of {self._band(row)} is {values[row]:g}; it must be {kind}.")
        return np.where(open_ended, np.inf, values)

    def _lookup(self, sex: str, start: np.ndarray, end: np.ndarray, money: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First ages and rates of the bands of one sex, which must cover every age once."""
        odd = ~self.bands["sex"].isin(["F", "M"]).to_numpy()
        if odd.any():
            raise PaymentError(f"{self.name}: a band has the sex {self.bands['sex'][odd].iloc[0]!r}; write F or M.")
        rows = np.flatnonzero(self.bands["sex"] == sex)
        if not len(rows):
            raise PaymentError(f"{self.name} has no bands of sex {sex}; give every age a rate for F and for M.")
        rows = rows[np.argsort(start[rows], kind="stable")]
        expected = 0.0
        for row in rows:
            if end[row] < start[row]:
                raise PaymentError(f"{self.name}: {self._band(row)} ends before it begins; swap the two ages.")
            if start[row] > expected:
                raise PaymentError(
                    f"{self.name}: ages {expected:.0f} to {start[row] - 1:.0f} of sex {sex} have no rate, a gap before "
                    f"{self._band(row)}; add the band."
                )
            if start[row] < expected:
                raise PaymentError(
                    f"{self.name}: {self._band(row)} overlaps the band before it; give each age one rate."
                )
            expected = end[row] + 1
        if np.isfinite(expected):
            raise PaymentError(
                f"{self.name}: ages {expected:.0f} and over of sex {sex} have no rate; leave age_to of the last band "
                "blank."
            )
        return start[rows], money[rows]

    def _band(self, row: int) -> str:
        first, last, sex = (self.bands[column].iloc[row] for column in ("age_from", "age_to", "sex"))
        return f"ages {first:g} and over of sex {sex}" if pd.isna(last) else f"ages {first:g} to {last:g} of sex {sex}"


def _paid(*values: np.ndarray | CapitationSchedule) -> np.ndarray:
    *columns, schedule = values
    return schedule.paid(*columns)


@lru_cache(maxsize=32)
def illustrative_schedule(base_rate: float) -> CapitationSchedule:
    """The shape that ships with apmkit, for teaching: relative use of family doctors by age and sex.

    No agreement pays by it and no data were fitted: use is 1 in the first five years, lowest at school age, rises with
    age to 2.5, and is higher for women of 15 to 64. The rates of an agreement must come from its text.

    Parameters
    ----------
    base_rate : float
        Money per patient and year for a factor of 1.

    References
    ----------
    That rates by age and sex alone pay too little for patients with low income: Sibley and Glazier (2012), Health
    Policy 104:186-192.

    Examples
    --------
    >>> illustrative_schedule(150).rates([0, 10, 30, 30, 95], ["F", "F", "F", "M", "M"])
    array([150.,  75., 180., 120., 375.])
    """
    return CapitationSchedule.read(
        _SHIPPED, base_rate=base_rate, name="illustrative schedule by age and sex", illustrative=True
    )


def schedule_of(schedule: CapitationSchedule | None, terms: RulesInForce, base_rate: str) -> CapitationSchedule:
    """The user's schedule, or the illustrative one at the base rate of that name in the rules."""
    if schedule is None:
        return illustrative_schedule(terms[base_rate])
    if not isinstance(schedule, CapitationSchedule):
        raise PaymentError(
            f"A schedule must be a CapitationSchedule, not {type(schedule).__name__}; CapitationSchedule(DataFrame) or "
            "CapitationSchedule.read(path) makes one."
        )
    return schedule


def schedule_notes(*schedules: CapitationSchedule) -> list[str]:
    """What a result must say of the schedules it pays by."""
    if any(schedule.illustrative for schedule in schedules):
        return [
            "Capitation follows an illustrative schedule, made up for teaching: its rates are in no agreement; give "
            "your own CapitationSchedule."
        ]
    return []
