"""Marks what students hand in."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from apmkit.teaching.assignment import TeachingError, formula, name_of, read_table, sheet_code
from apmkit.teaching.exercise import Exercise, Solution, exercise
from apmkit.teaching.sheets import parameters_of

_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_UNKNOWN = "no common mistake gives this number"
_SAME = 5e-4
"""How far a number with four significant digits may be from the one that was copied, as a share of it."""
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


def mark_file(secret: bytes, path: str | Path, *, progress: bool = False) -> list[Mark]:
    """Mark a CSV file with the columns ``student``, ``exercise`` and ``answer``, and if given ``sheet``.

    A row that cannot be marked says why, and the others are marked. Of a student with several answers to an exercise
    none is marked: they would be guesses. A wrong answer that is right for another student of the file says so.

    Raises
    ------
    TeachingError
        The file cannot be read, or a column is absent.
    """
    from tqdm import tqdm

    rows = [row for _, row in read_table(Path(path), ("student", "exercise", "answer"))]
    times = Counter(_whose(row) for row in rows)
    marks = [_mark_row(secret, row, times[_whose(row)]) for row in tqdm(rows, "Marking", disable=not progress)]
    return [_copied(one, row["answer"], marks) for one, row in zip(marks, rows, strict=True)]


def _whose(row: Mapping[str, str]) -> tuple[str, str]:
    try:
        return name_of(row["student"]), row["exercise"].strip()
    except TeachingError:
        return row["student"], row["exercise"].strip()


def _mark_row(secret: bytes, row: Mapping[str, str], times: int) -> Mark:
    try:
        if times > 1:
            raise TeachingError(
                f"There are {times} answers of this student to this exercise: keep the one that counts."
            )
        return mark(secret, row["exercise"].strip(), row["student"], row["answer"], code=row.get("sheet", ""))
    except TeachingError as error:
        return Mark(_shown(row["student"]), _shown(row["exercise"]), "not marked", str(error))


def _shown(text: str) -> str:
    """What a student wrote, so that neither a terminal nor a spreadsheet takes it for a command."""
    text = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))[:80]
    return f"'{text}" if formula(text) else text


def _copied(one: Mark, given: str, marks: Iterable[Mark]) -> Mark:
    if one.remark != _UNKNOWN:
        return one
    number = _number(given)
    for other in marks:
        if other.exercise == one.exercise and other.answer and abs(number / other.answer - 1) <= _SAME:
            return replace(one, remark=f"it is the answer to the sheet of {other.student}")
    return one


def _number(given: str) -> float:
    text = given.strip().replace("\u2212", "-")  # the minus sign that a word processor writes
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
    return _UNKNOWN
