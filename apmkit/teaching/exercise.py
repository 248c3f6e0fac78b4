"""What an exercise is, and those there are."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from apmkit.teaching.assignment import TeachingError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Solution:
    """The answer of an exercise for one student.

    Attributes
    ----------
    answer : float
    mistakes : mapping of str to float
        What a common mistake gives, by the mistake in words, so that marking can name it.
    """

    answer: float
    mistakes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Exercise:
    """A task whose numbers depend on the student.

    Attributes
    ----------
    name : str
    title : str
        What it asks, in a few words.
    page : str
        Page of the book to read first, as a path without ending.
    minutes : int
        For a student who has read the page.
    needs : str
        "paper" (the book and a calculator), "spreadsheet", "command" (one command at a terminal) or "Python".
    unit : str
        Of the answer.
    tolerance : float
        How far an answer may be off and still be right, as a share of the right one.
    draw : function of Random
        The parameters of a student: plain values. It takes nothing but ``random()``.
    question : function of the parameters
        The task in Markdown, with the student's parameters.
    start : function of the parameters
        The command or the code that the work begins with; empty for paper.
    solve : function of the parameters
        The `Solution`, by a run of the library.
    data : function of the parameters, optional
        The table that a student gets as a file. Then the parameters are not told: they would give the data away.
    """

    name: str
    title: str
    page: str
    minutes: int
    needs: str
    unit: str
    tolerance: float
    draw: Callable[[Random], dict[str, Any]] = field(repr=False)
    question: Callable[[Mapping[str, Any]], str] = field(repr=False)
    start: Callable[[Mapping[str, Any]], str] = field(repr=False)
    solve: Callable[[Mapping[str, Any]], Solution] = field(repr=False)
    data: Callable[[Mapping[str, Any]], pd.DataFrame] | None = field(default=None, repr=False)


def exercises() -> tuple[Exercise, ...]:
    """All exercises.

    >>> len(exercises()) >= 6
    True
    """
    from apmkit.teaching import estimation_exercises, payment_exercises

    return (*payment_exercises.EXERCISES, *estimation_exercises.EXERCISES)


def exercise(name: str) -> Exercise:
    """The exercise of this name.

    >>> exercise("power").unit
    'dollars per person and year'

    Raises
    ------
    TeachingError
        There is none; the message lists those there are.
    """
    found = {each.name: each for each in exercises()}
    if name not in found:
        close = difflib.get_close_matches(name, found, n=1, cutoff=0.5)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise TeachingError(f"There is no exercise {name!r}{meant}: the exercises are {', '.join(found)}.")
    return found[name]


def pick(random: Random, values):
    """One of several values."""
    return values[int(random.random() * len(values))]


def pick_several(random: Random, values, number: int) -> list:
    """So many different values, in the order given."""
    places = sorted((random.random(), place) for place in range(len(values)))[:number]
    return [values[place] for place in sorted(place for _, place in places)]


def normal(random: Random, mean: float, sd: float) -> float:
    """A draw from a normal distribution that, rounded, is the same on every machine."""
    from statistics import NormalDist

    return NormalDist(mean, sd).inv_cdf(random.random() + 2**-54)
