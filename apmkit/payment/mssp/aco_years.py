"""The table of ACO-years that is settled, its columns checked."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.rulebook import Rulebook, RulesInForce
from apmkit.payment.tables import has_optional

FIRST_YEAR = 2013
_LAST_YEAR = 2100
_LARGEST_MINIMUM = 0.3  # the table ends at 12.2 %; CMS once used 25.42 % for an ACO of 152 beneficiaries
_AMOUNTS = (
    "beneficiaries",
    "met_quality_standard",
    "met_alternative_standard",
    "participant_revenue",
    "loss_limit",
    "disaster_adjustment",
    "advance_investment_balance",
)
_NEEDED = ("year", "track", "benchmark", "expenditures")
_ABOVE_ZERO = {"benchmark": "the total benchmark", "participant_revenue": "the Part A and B revenue"}
_OTHERS = ("aco_id", "revenue_category", "agreement_start")
_SHARES = {
    "quality_score": 1.0,
    "final_sharing_rate": 1.0,
    "final_loss_rate": 1.0,
    "minimum_savings_rate": _LARGEST_MINIMUM,
}
_SPELLINGS = {"1+": "track_1_plus", "track_1+": "track_1_plus", "en": "enhanced"}


@dataclass(frozen=True, eq=False)
class AcoYears:
    """ACO-years as columns of numbers, with the rules of their performance years.

    Rules are those in force on the last day of the performance year.
    """

    frame: pd.DataFrame
    rules: Rulebook
    _read: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.frame, pd.DataFrame):
            raise PaymentError(f"acos must be a DataFrame with one row per ACO-year, not {type(self.frame).__name__}.")
        if not isinstance(self.rules, Rulebook):
            raise PaymentError(
                f"rules is of type {type(self.rules).__name__}; give a Rulebook, as rulebook('mssp') does."
            )
        if self.frame.empty:
            raise PaymentError("There are no ACO-years: give a table with at least one row.")
        names = self.frame.columns
        if names.has_duplicates:
            raise PaymentError(f"The table of ACO-years has the column {names[names.duplicated()][0]} twice; keep one.")
        for column in _NEEDED:
            if column not in self.frame:
                alike = {str(name).strip().lower(): name for name in names}
                near = difflib.get_close_matches(column, alike, n=1)
                raise PaymentError(
                    f"The table of ACO-years has no column {column}; "
                    + (f"rename {alike[near[0]]!r}." if near else f"{', '.join(_NEEDED)} are always needed.")
                )
        for column in (*_SHARES, *_AMOUNTS, *_OTHERS):
            has_optional(self.frame, column, "ACO-years")
        if "aco_id" in self.frame and (unnamed := self.frame["aco_id"].isna().to_numpy()).any():
            raise PaymentError(f"Row {self.frame.index[unnamed][0]} has no aco_id; name every ACO or drop the column.")
        if "aco_id" in self.frame and (twice := self.frame.duplicated(["year", "aco_id"]).to_numpy()).any():
            raise PaymentError(
                f"{self.place(twice)} has more than one row; give each ACO one row a year, and settle the two halves "
                "of 2019 as two tables."
            )
        if "aco_id" not in self.frame and not self.frame.index.is_unique:
            raise PaymentError("The index of the ACO-years has repeats: name the rows in a column aco_id or reset it.")
        for column in (*_SHARES, *_AMOUNTS):
            self.numbers(column)

    @cached_property
    def index(self) -> pd.Index:
        """Year and ACO where there is a column aco_id, else the index of the table."""
        if "aco_id" in self.frame:
            return pd.MultiIndex.from_frame(self.frame[["year", "aco_id"]])
        return self.frame.index

    def place(self, wrong: np.ndarray) -> str:
        """The first row of several, in words."""
        row = int(np.argmax(wrong))
        year = self.frame["year"].iloc[row] if "year" in self.frame else ""
        if "aco_id" in self.frame:
            return f"ACO {self.frame['aco_id'].iloc[row]} in {year}"
        return f"Row {self.frame.index[row]} ({year})"

    def numbers(self, column: str) -> np.ndarray:
        """A column as numbers; NaN where it is missing, and everywhere if there is no such column.

        Raises
        ------
        PaymentError
            A value is no number, infinite, or outside what the column can hold.
        """
        if column not in self._read:
            self._read[column] = self._numbers(column)
        return self._read[column]

    def _numbers(self, column: str) -> np.ndarray:
        if column not in self.frame:
            return np.full(len(self.frame), np.nan)
        try:
            if getattr(self.frame[column].dtype, "kind", "O") in "mMc":
                raise TypeError
            values = self.frame[column].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise self._no_number(column) from None
        if (wrong := np.isinf(values)).any():
            raise PaymentError(f"{self.place(wrong)}: {column} is infinite; give a number or leave it empty.")
        if column in _SHARES:
            self._refuse(
                values > _SHARES[column], column, values, "write it as a fraction, {percent:g} for {value:g} %"
            )
        if column == "disaster_adjustment":
            self._refuse(values > 0, column, values, "write what the loss shrinks by as a negative amount")
        elif column.startswith("met_"):
            self._refuse(~np.isnan(values) & ~np.isin(values, (0, 1)), column, values, "write True or False")
        elif column in _ABOVE_ZERO:
            self._refuse(values <= 0, column, values, f"give {_ABOVE_ZERO[column]} in USD, above 0")
        else:
            self._refuse(values < 0, column, values, "it cannot be negative")
        return values

    def _no_number(self, column: str) -> PaymentError:
        given = self.frame[column]
        wrong = (pd.to_numeric(given.astype(object), errors="coerce").isna() & given.notna()).to_numpy()
        if not wrong.any():
            return PaymentError(f"Column {column} holds no numbers; give numbers.")
        remedy = "write True or False" if column.startswith("met_") else "give a number, without $, % and commas"
        return PaymentError(f"{self.place(wrong)}: {column} is {given.iloc[int(np.argmax(wrong))]!r}; {remedy}.")

    def needed(self, column: str, rows: np.ndarray, why: str) -> np.ndarray:
        """A column as numbers that must be there in some rows.

        Raises
        ------
        PaymentError
            It is missing in one of them.
        """
        values = self.numbers(column)
        self.require(column, rows & np.isnan(values), why)
        return values

    def require(self, column: str, missing: np.ndarray, why: str) -> None:
        """Refuse a table in which a column is missing where it decides."""
        if missing.any():
            state = "is missing" if column in self.frame else "is needed, and the table has no such column"
            raise PaymentError(f"{self.place(missing)}: {column} {state}; {why}.")

    @cached_property
    def year(self) -> np.ndarray:
        """Performance years."""
        values = self.needed("year", np.full(len(self.frame), True), "give the performance year")
        wrong = (values != np.floor(values)) | (values < FIRST_YEAR) | (values > _LAST_YEAR)
        self._refuse(wrong, "year", values, f"performance years are whole numbers from {FIRST_YEAR}")
        return values.astype(int)

    @cached_property
    def benchmark(self) -> np.ndarray:
        """Benchmarks in USD, above 0."""
        return self.needed("benchmark", np.full(len(self.frame), True), "give the total benchmark in USD")

    @cached_property
    def expenditures(self) -> np.ndarray:
        """Expenditures in USD."""
        return self.needed("expenditures", np.full(len(self.frame), True), "give the total expenditures in USD")

    @cached_property
    def low_revenue(self) -> np.ndarray:
        """1 for low-revenue ACOs, 0 for high-revenue ones, NaN where revenue_category is not given."""
        if "revenue_category" not in self.frame:
            return np.full(len(self.frame), np.nan)
        code, words = pd.factorize(self.frame["revenue_category"])
        for position, word in enumerate(words):
            if word not in ("low", "high"):
                raise PaymentError(f"{self.place(code == position)}: revenue_category is {word!r}; write low or high.")
        return np.array([*(words == "low"), np.nan], dtype=float)[code]

    @cached_property
    def agreement_start(self) -> np.ndarray:
        """First days of the agreement periods; NaT where they are not given."""
        if "agreement_start" not in self.frame:
            return np.full(len(self.frame), np.datetime64("NaT", "D"))
        days = self.frame["agreement_start"]
        read = pd.to_datetime(days, errors="coerce", format=None if days.dtype.kind == "M" else "ISO8601")
        if (wrong := (read.isna() & days.notna()).to_numpy()).any():
            given = days.iloc[int(np.argmax(wrong))]
            raise PaymentError(f"{self.place(wrong)}: agreement_start is {given!r}; write the day as YYYY-MM-DD.")
        day = read.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
        if (late := day.astype("datetime64[Y]").astype(float) + 1970 > self.year).any():
            raise PaymentError(f"{self.place(late)}: agreement_start is {day[late][0]}; it cannot be after the year.")
        return day

    @cached_property
    def _groups(self) -> tuple[np.ndarray, list[tuple[RulesInForce, str]]]:
        """For each row the position of its year and track among the pairs of rules and track that occur."""
        track, tracks = pd.factorize(self.frame["track"])
        if (track < 0).any():
            raise PaymentError(f"{self.place(track < 0)}: track is missing; write for instance BASIC E.")
        known = [name.removesuffix(".sharing_rate") for name in self.rules.parameters if name.endswith(".sharing_rate")]
        if not known:
            raise PaymentError(f"The rules of {self.rules.programme} know no track: give rules of mssp.")
        names = [self._track(given, known, track == code) for code, given in enumerate(tracks)]
        code = (self.year - FIRST_YEAR) * len(names) + track
        group = np.full(code.max() + 1, -1)
        present = np.flatnonzero(np.bincount(code))
        group[present] = np.arange(len(present))
        in_force = {
            year: self.rules.on(f"{year}-12-31") for year in {FIRST_YEAR + each // len(names) for each in present}
        }
        pairs = [(in_force[FIRST_YEAR + each // len(names)], names[each % len(names)]) for each in present]
        for position, (terms, name) in enumerate(pairs):
            if f"{name}.sharing_rate" not in terms:
                wrong = group[code] == position
                there = [each for each in known if f"{each}.sharing_rate" in terms]
                raise PaymentError(
                    f"{self.place(wrong)}: there was no {name} in {terms.day.year}; the tracks were {', '.join(there)}."
                )
        return group[code], pairs

    def _track(self, given, known: list[str], rows: np.ndarray) -> str:
        plain = "_".join(str(given).strip().lower().removesuffix(".0").replace("-", " ").split())
        for name in (plain, _SPELLINGS.get(plain), f"track_{plain}", f"basic_{plain}"):
            if name in known:
                return name
        near = difflib.get_close_matches(plain, known, n=1, cutoff=0.4)
        meant = f"did you mean {near[0]}?" if near else f"the tracks are {', '.join(known)}."
        raise PaymentError(f"{self.place(rows)}: there is no track {given!r}; {meant}")

    @cached_property
    def track(self) -> pd.Categorical:
        """Names of the tracks as the rules have them."""
        group, pairs = self._groups
        names = list(dict.fromkeys(name for _, name in pairs))
        return pd.Categorical.from_codes(np.array([names.index(name) for _, name in pairs])[group], names)

    @cached_property
    def readings(self) -> list[RulesInForce]:
        """The rules of each performance year; they remember what was asked of them."""
        return list({id(terms): terms for terms, _ in self._groups[1]}.values())

    def is_basic(self) -> np.ndarray:
        """Rows on a level of the BASIC track."""
        group, pairs = self._groups
        return np.array([name.startswith("basic_") for _, name in pairs])[group]

    def has_rule(self, *rules: str) -> np.ndarray:
        """Rows whose track has one of several rules."""
        group, pairs = self._groups
        return np.array([any(f"{name}.{rule}" in terms for rule in rules) for terms, name in pairs])[group]

    def rule(
        self, name: str, rows: np.ndarray, *, of_track: bool = False, absent: float = np.nan, equals: str | None = None
    ) -> np.ndarray:
        """Value of a rule for some rows, by year (or by year and track); `absent` in others and where there is none.

        With `equals`, 1 where the rule is that text and 0 where it is another.
        """
        group, pairs = self._groups
        values = np.full(len(pairs), absent)
        members = np.flatnonzero(rows)
        for position in np.flatnonzero(np.bincount(group[members], minlength=len(pairs))):
            terms, track = pairs[position]
            full = f"{track}.{name}" if of_track else name
            if full in terms:
                values[position] = terms[full] if equals is None else terms[full] == equals
        result = np.full(len(group), absent)
        result[members] = values[group[members]]
        return result

    def years_of(self, rows: np.ndarray):
        """Each performance year among some rows: its rules and its rows."""
        group, pairs = self._groups
        for terms in self.readings:
            members = np.array([each is terms for each, _ in pairs])[group] & rows
            if members.any():
                yield terms, members

    def _refuse(self, wrong: np.ndarray, column: str, values: np.ndarray, remedy: str) -> None:
        if wrong.any():
            value = values[wrong][0]
            text = remedy.format(value=value, percent=value / 100)
            raise PaymentError(f"{self.place(wrong)}: {column} is {value:g}; {text}.")
