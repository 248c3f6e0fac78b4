"""Marks what students hand in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apmkit.teaching.assignment import TeachingError, name_of, read_table, sheet_code
from apmkit.teaching.exercise import Exercise, Solution, exercise
from apmkit.teaching.sheets import parameters_of

_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SLIPS = {-1: "the sign is the other way round", 100: "it is 100 times too large", 0.01: "it is 100 times too small"}


@dataclass(frozen=True)
class Mark:
    """A marked answer.

    Attributes
    ----------
    student, exercise : str
    mark : str
        "right", "wrong", or "not marked" where an answer in a file cannot be read.
    remark : str
        What is wrong, as far as it can be told without the answer.
    answer : float or None
        The right answer.
    """

    student: str
    exercise: str
    mark: str
    remark: str
    answer: float | None = None


def mark(secret: bytes, name: str, student: str, given: str, *, code: str = "") -> Mark:
    """Mark one answer.

    Parameters
    ----------
    secret : bytes
        From `read_secret`; the one the sheet was made with.
    name : str
        Of the exercise.
    student : str
    given : str
        The answer as the student wrote it.
    code : str
        The code on the sheet, to be sure that sheet, name and secret belong together.

    Raises
    ------
    TeachingError
        There is no such exercise, the answer is no number, or the code belongs to another sheet.
    """
    task = exercise(name)
    number = _number(given)
    if code and code.strip().lower() != sheet_code(secret, name, student):
        raise TeachingError(
            f"The sheet {code.strip()[:20]!r} is not that of {student} in {name}: check the name, the code, and that "
            "the secret is the one that the sheets were made with."
        )
    solution = task.solve(parameters_of(secret, task, student))
    if _close(number, solution.answer, task):
        return Mark(name_of(student), name, "right", f"within {100 * task.tolerance:g}% of the answer", solution.answer)
    return Mark(name_of(student), name, "wrong", _mistake(number, solution, task), solution.answer)


def mark_file(secret: bytes, path: str | Path) -> list[Mark]:
    """Mark a CSV file with the columns ``student``, ``exercise`` and ``answer``, and if given ``sheet``.

    A row that cannot be marked says why, and the others are marked.

    Raises
    ------
    TeachingError
        The file cannot be read, or a column is absent.
    """
    return [
        _mark_row(secret, row) for row in read_table(Path(path), ("student", "exercise", "answer")).to_dict("records")
    ]


def _mark_row(secret: bytes, row: Mapping[str, str]) -> Mark:
    try:
        return mark(secret, row["exercise"].strip(), row["student"], row["answer"], code=row.get("sheet", ""))
    except TeachingError as error:
        return Mark(row["student"].strip(), row["exercise"].strip(), "not marked", str(error))


def _number(given: str) -> float:
    text = given.strip()
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    raise TeachingError(
        f"The answer {given[:40]!r} is not a number: write digits with a point for decimals and nothing else, as in "
        "-1234.5."
    )


def _close(number: float, answer: float, task: Exercise) -> bool:
    return abs(number - answer) <= task.tolerance * abs(answer)


def _mistake(number: float, solution: Solution, task: Exercise) -> str:
    for words, value in solution.mistakes.items():
        if _close(number, value, task):
            return words
    for factor, words in _SLIPS.items():
        if _close(number, factor * solution.answer, task):
            return words
    return "no common mistake gives this number"
