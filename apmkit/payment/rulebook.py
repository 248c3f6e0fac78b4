"""The parameters of a payment model: each by the day it came into force, with unit, source and status."""

from __future__ import annotations

import copy
import datetime
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from apmkit import strict_yaml
from apmkit.errors import ApmkitError, PaymentError

RULES = Path(__file__).parent / "rules"
STATUSES = ("primary", "secondary", "reproduced", "partly confirmed", "unconfirmed")
_TOP = ("programme", "title", "country", "currency", "parameters")
_PARAMETER = ("label", "unit", "values", "citation", "status", "note")
_CURRENCIES = {"US": "USD", "Canada": "CAD"}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_USED = ["programme", "parameter", "value", "unit", "effective", "status", "citation"]


class RulesError(ApmkitError):
    """A rules file, a parameter or a day that cannot be used; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Dated:
    """A value and the day from which it is in force; `value` is None where the rule ends on that day."""

    effective: datetime.date
    value: Any
    citation: str
    status: str


@dataclass(frozen=True)
class Parameter:
    """One parameter of a programme: what it is, its unit, and what it was, in the order of the days."""

    name: str
    label: str
    unit: str
    history: tuple[Dated, ...]
    note: str = ""

    def on(self, day: datetime.date) -> Dated | None:
        """What is in force on a day: the last value dated on or before it; None before the first and after the end."""
        past = [dated for dated in self.history if dated.effective <= day]
        return past[-1] if past and past[-1].value is not None else None


@dataclass(frozen=True, eq=False)
class RulesInForce:
    """The rules of one programme on one day; it remembers which of them were asked for.

    Examples
    --------
    >>> terms = rulebook("mssp").on("2022-01-01")
    >>> terms["basic_e.sharing_rate"]
    0.5
    >>> terms.used["unit"].tolist()
    ['share of savings']
    """

    rulebook: Rulebook
    day: datetime.date
    _asked: dict[str, Dated] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str):
        parameter = self.rulebook.parameter(name)
        found = parameter.on(self.day)
        if found is None:
            raise RulesError(f"{self.rulebook.title}: {name} was not in force on {self.day} ({_in_force(parameter)}).")
        self._asked[name] = found
        return copy.deepcopy(found.value)  # whoever changes a list leaves the shipped rules as they are

    def __contains__(self, name: str) -> bool:
        return name in self.rulebook.parameters and self.rulebook.parameters[name].on(self.day) is not None

    @property
    def used(self) -> pd.DataFrame:
        """The values asked for so far: programme, parameter, value, unit, effective, status, citation."""
        rows = [
            (
                self.rulebook.programme,
                name,
                d.value,
                self.rulebook.parameters[name].unit,
                d.effective,
                d.status,
                d.citation,
            )
            for name, d in self._asked.items()
        ]
        return pd.DataFrame(rows, columns=_USED, dtype=object)


@dataclass(frozen=True, eq=False)
class Rulebook:
    """All rules of one programme, read from one file.

    `parameters` maps the name of each rule to its `Parameter`.
    """

    programme: str
    title: str
    country: str
    currency: str
    parameters: Mapping[str, Parameter]

    def parameter(self, name: str) -> Parameter:
        """One parameter by its name.

        Raises
        ------
        RulesError
            There is none of that name.
        """
        if name not in self.parameters:
            near = difflib.get_close_matches(str(name).lower(), self.parameters, n=1, cutoff=0.4)
            meant = f"did you mean {near[0]}?" if near else f"apmkit rules show {self.programme} lists them."
            raise RulesError(f"The rules of {self.programme} have no parameter {name!r}; {meant}")
        return self.parameters[name]

    def on(self, day: str | datetime.date) -> RulesInForce:
        """The rules in force on a day, YYYY-MM-DD.

        Raises
        ------
        RulesError
            The day is no calendar day in that form.
        """
        return RulesInForce(self, as_day(day))

    def with_values(self, values: Mapping[str, Any]) -> Rulebook:
        """A copy in which some parameters have another value whenever they are in force, with the status "user".

        Examples
        --------
        >>> generous = rulebook("mssp").with_values({"basic_e.sharing_rate": 0.6})
        >>> generous.on("2022-01-01")["basic_e.sharing_rate"]
        0.6

        Raises
        ------
        RulesError
            A parameter is unknown, or the value cannot stand in its place: another kind, a percent for a share, not
            finite, or negative where the rule's own is not.
        """
        if not isinstance(values, Mapping):
            raise RulesError(f"values are of type {type(values).__name__}; give them by name, as in {{'rate': 0.6}}.")
        changed = dict(self.parameters)
        for name, value in values.items():
            parameter = self.parameter(name)
            value = value.item() if isinstance(value, np.generic) else value
            before = next(dated.value for dated in reversed(parameter.history) if dated.value is not None)
            if wrong := _unlike(value, before, parameter.unit):
                raise RulesError(f"{name} {wrong}.")
            history = (
                dated if dated.value is None else Dated(dated.effective, value, "given by the user", "user")
                for dated in parameter.history
            )
            changed[name] = replace(parameter, history=tuple(history))
        return replace(self, parameters=changed)

    def table(self, on: str | datetime.date | None = None) -> pd.DataFrame:
        """What is in force on a day, or without a day every dated value.

        Columns: parameter, value, unit, effective, status, citation, label, note.
        """
        day = None if on is None else as_day(on)
        rows = [
            (p.name, d.value, p.unit, d.effective, d.status, d.citation, p.label, p.note)
            for p in self.parameters.values()
            for d in (p.history if day is None else filter(None, [p.on(day)]))
        ]
        return pd.DataFrame(rows, columns=[*_USED[1:], "label", "note"], dtype=object)


def programmes() -> list[str]:
    """Names of the programmes whose rules ship with apmkit.

    Examples
    --------
    >>> "mssp" in programmes()
    True
    """
    return sorted(file.stem for file in RULES.glob("*.yml"))


def rulebook(programme: str | Path) -> Rulebook:
    """The rules of a programme by its name, or of a file of your own.

    Parameters
    ----------
    programme : str or Path
        A name of `programmes()`, or the path of a file that ends in .yml.

    Raises
    ------
    RulesError
        There is no such programme, or its file breaks a rule of the format; the message names file and line.

    Examples
    --------
    >>> rulebook("mssp").title
    'Medicare Shared Savings Program'
    """
    if isinstance(programme, Path) or str(programme).endswith((".yml", ".yaml")):
        return read_rules(Path(programme))
    if programme not in programmes():
        near = difflib.get_close_matches(str(programme).lower(), programmes(), n=1)
        meant = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(programmes())}."
        raise RulesError(f"There are no rules of {programme!r}; {meant}")
    return _shipped(programme)


@cache
def _shipped(programme: str) -> Rulebook:
    return read_rules(RULES / f"{programme}.yml")


def as_day(day: str | datetime.date) -> datetime.date:
    """A calendar day from YYYY-MM-DD; a date stays what it is."""
    if isinstance(day, datetime.date) and day is not pd.NaT:
        return day.date() if isinstance(day, datetime.datetime) else day
    try:
        if not _DAY.fullmatch(day):
            raise ValueError
        return datetime.date.fromisoformat(day)
    except (ValueError, TypeError):
        raise RulesError(f"{day!r} is not a day; write it as YYYY-MM-DD, for instance 2022-01-01.") from None


def rules_on(day: str | datetime.date, programme: str, rules: Rulebook | None) -> RulesInForce:
    """The shipped rules of a programme on a day, or those given instead.

    Raises
    ------
    PaymentError
        `rules` is no Rulebook.
    RulesError
        The day is none.
    """
    book = rulebook(programme) if rules is None else rules
    if not isinstance(book, Rulebook):
        raise PaymentError(f"rules is of type {type(book).__name__}; give a Rulebook, as rulebook({programme!r}) does.")
    return book.on(day)


def pooled(terms: Iterable[RulesInForce]) -> pd.DataFrame:
    """The values that several readings of rules used, each once."""
    frames = [reading.used for reading in terms]
    if not frames:
        return pd.DataFrame(columns=_USED)
    if len(frames) == 1:
        return frames[0]
    table = pd.concat(frames, ignore_index=True)
    return table[~table.duplicated(["programme", "parameter", "effective", "status"])].reset_index(drop=True)


def read_rules(path: Path) -> Rulebook:
    """Read one rules file; see `rulebook`."""
    top = strict_yaml.read(path)
    name = path.name
    _only(top, _TOP, _TOP, name, "a rules file")
    for key in _TOP[:-1]:
        _text(top, key, name)
    if top["programme"] != path.stem:
        raise RulesError(
            f"{name}, line {top.lines['programme']}: programme is {top['programme']}, but the file is {path.stem}."
        )
    if _CURRENCIES.get(top["country"]) != top["currency"]:
        raise RulesError(f"{name}, line {top.lines['country']}: write country US with USD, or Canada with CAD.")
    if not isinstance(top["parameters"], strict_yaml.Mapping) or not top["parameters"]:
        raise RulesError(f"{name}, line {top.lines['parameters']}: parameters must be names with their values.")
    parameters = {key: _parameter(top["parameters"], key, name) for key in top["parameters"]}
    return Rulebook(**{key: top[key] for key in _TOP[:-1]}, parameters=parameters)


def _parameter(parameters: strict_yaml.Mapping, key: str, name: str) -> Parameter:
    place = f"{name}, line {parameters.lines[key]}"
    record = parameters[key]
    if not _NAME.fullmatch(key):
        raise RulesError(f"{place}: {key!r} must be small letters, digits and _, in words joined by dots.")
    if not isinstance(record, strict_yaml.Mapping):
        raise RulesError(f"{place}: {key} is a bare value; give it label, unit, values by day, citation and status.")
    _only(record, _PARAMETER, _PARAMETER[:-1], name, key)
    for part in ("label", "unit", *(["note"] if "note" in record else [])):
        _text(record, part, name)
    dated = record["values"]
    if not isinstance(dated, strict_yaml.Mapping) or not dated:
        raise RulesError(
            f"{name}, line {record.lines['values']}: {key} needs each value under the day it came into force."
        )
    days = []
    for text in dated:
        try:
            days.append(as_day(text))
        except RulesError as error:
            raise RulesError(f"{name}, line {dated.lines[text]}: {error}") from None
    if days != sorted(days):
        raise RulesError(f"{name}, line {dated.line}: put the days of {key} in order, the earliest first.")
    if next(iter(dated.values())) is None:
        raise RulesError(f"{name}, line {dated.line}: {key} begins with null; begin with its first value.")
    kinds = {_kind(value) for value in dated.values() if value is not None}
    if len(kinds) > 1:
        raise RulesError(
            f"{name}, line {dated.line}: the values of {key} are of several kinds ({', '.join(sorted(kinds))})."
        )
    for text, value in dated.items():
        if wrong := _no_share(value, record["unit"]):
            raise RulesError(f"{name}, line {dated.lines[text]}: {key} {wrong}.")
    citations, statuses = (_by_day(record, part, dated, name) for part in ("citation", "status"))
    for status in statuses:
        if status not in STATUSES:
            raise RulesError(
                f"{name}, line {record.lines['status']}: {key} has the status {status!r}; write {', '.join(STATUSES)}."
            )
    values = map(Dated, days, dated.values(), citations, statuses)
    return Parameter(key, record["label"], record["unit"], tuple(values), record.get("note", ""))


def _only(record: strict_yaml.Mapping, known: Iterable[str], needed: Iterable[str], name: str, what: str) -> None:
    for key in record:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"it may have {', '.join(known)}."
            raise RulesError(f"{name}, line {record.lines[key]}: {what} has no {key}; {meant}")
    for key in needed:
        if key not in record:
            raise RulesError(f"{name}, line {record.line}: {what} lacks its {key}.")


def _text(record: strict_yaml.Mapping, key: str, name: str) -> str:
    if not isinstance(record[key], str) or not record[key].strip():
        raise RulesError(f"{name}, line {record.lines[key]}: {key} must be a text.")
    return record[key]


def _by_day(record: strict_yaml.Mapping, key: str, dated: strict_yaml.Mapping, name: str) -> list[str]:
    """One text for every value, given once for all or under the same days."""
    given = record[key]
    if not isinstance(given, strict_yaml.Mapping):
        return [_text(record, key, name)] * len(dated)
    if list(given) != list(dated):
        raise RulesError(
            f"{name}, line {record.lines[key]}: {key} must have the same days as values, in the same order."
        )
    return [_text(given, day, name) for day in dated]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth value"
    for kind, types in {"number": Real, "text": str, "list": list, "mapping": dict}.items():
        if isinstance(value, types):
            return kind
    return type(value).__name__


def _no_share(value: Any, unit: str) -> str:
    """What is wrong with the numbers of a share above 1; nothing where the unit is another."""
    numbers = value.values() if isinstance(value, dict) else [value]
    large = [number for number in numbers if _kind(number) == "number" and abs(number) > 1]
    if not unit.startswith("share") or not large:
        return ""
    return f"is {large[0]:g}, but a share is at most 1; write {large[0] / 100:g} for {large[0]:g} %"


def _unlike(value: Any, before: Any, unit: str) -> str:
    """Why a value cannot stand in the place of another; nothing where it can."""
    kind = _kind(before)
    if _kind(value) != kind:
        return f"must be a {kind} like {before!r}, not {value!r}"
    if kind == "number":
        if not math.isfinite(value):
            return f"is {value!r}; give a finite number"
        if value < 0 <= before:
            return f"is {value!r}; give a number of 0 or more"
    return _no_share(value, unit)


def _in_force(parameter: Parameter) -> str:
    first = parameter.history[0].effective
    ended = [dated.effective for dated in parameter.history if dated.value is None]
    return f"it came into force on {first}" + (f" and ended on {ended[-1]}" if ended else "")
