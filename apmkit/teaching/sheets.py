"""The sheets of students and the key of the lecturer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apmkit.studies.markdown import plain
from apmkit.teaching.assignment import TeachingError, name_of, outside_git, random_of, sheet_code
from apmkit.teaching.exercise import Exercise

if TYPE_CHECKING:
    import pandas as pd

_NEEDS = {
    "paper": "the book and a calculator",
    "spreadsheet": "a spreadsheet, or Python",
    "command": "apmkit at a terminal; no programming",
    "Python": "apmkit in Python, such as a notebook",
}


def parameters_of(secret: bytes, exercise: Exercise, student: str) -> dict:
    """What this student works with."""
    return exercise.draw(random_of(secret, exercise.name, student))


def sheet(secret: bytes, exercise: Exercise, student: str, *, data: str = "") -> str:
    """The task of a student in Markdown, without the answer and without the secret.

    Parameters
    ----------
    secret : bytes
    exercise : Exercise
    student : str
    data : str
        Name of the file with the student's data, where the exercise has one.

    Raises
    ------
    TeachingError
        The name cannot be used.
    """
    from apmkit import __version__

    parameters = parameters_of(secret, exercise, student)
    language = "console" if exercise.needs == "command" else "python"
    start = exercise.start({**parameters, "file": data} if data else parameters)
    return "\n\n".join(
        [
            f"# {exercise.title}",
            f"**Student:** {plain(name_of(student))}  \n**Exercise:** `{exercise.name}`  \n"
            f"**Sheet:** `{sheet_code(secret, exercise.name, student)}`",
            f"Read first: `{exercise.page}.html` in the folder of the book. You need {_NEEDS[exercise.needs]}. "
            f"About {exercise.minutes} minutes.",
            "## Your task",
            *([f"Your data are in `{data}`. Nobody else has the same."] if data else []),
            exercise.question(parameters),
            *([f"## A start\n\n```{language}\n{start}\n```"] if start else []),
            "## Hand in",
            f"One number in {exercise.unit}, with four significant digits and a point for decimals, the code of "
            "this sheet, and one sentence that says what the number means.",
            f"Made with apmkit {__version__}.\n",
        ]
    )


def make_sheets(
    secret: bytes, exercises: Sequence[Exercise], students: Sequence[str], folder: str | Path
) -> list[Path]:
    """Write the sheet, and where needed the data, of each student in each exercise.

    Returns
    -------
    list of Path
        The sheets; data lie beside them.

    Raises
    ------
    TeachingError
        A name cannot be used, or the folder cannot be written.
    """
    folder = Path(folder)
    made = []
    try:
        for exercise in exercises:
            for student in students:
                # The code keeps apart names that look alike as file names.
                short = re.sub(r"\W+", "_", name_of(student)).strip("_")[:40]
                stem = f"{exercise.name}-{short}-{sheet_code(secret, exercise.name, student)}"
                folder.mkdir(parents=True, exist_ok=True)
                file = f"{stem}.csv" if exercise.data else ""
                if exercise.data:
                    exercise.data(parameters_of(secret, exercise, student)).to_csv(folder / file, index=False)
                made.append(folder / f"{stem}.md")
                made[-1].write_text(sheet(secret, exercise, student, data=file), encoding="utf-8")
    except OSError as error:
        raise TeachingError(f"{folder} cannot be written ({error.strerror}): give another folder.") from None
    return made


def key(
    secret: bytes,
    exercises: Sequence[Exercise],
    students: Sequence[str],
    *,
    out: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """The answers of all students, worked out by the library.

    Parameters
    ----------
    secret : bytes
    exercises : sequence of Exercise
    students : sequence of str
    out : path, optional
        A CSV file to write the key to, outside of any git repository.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per student and exercise: `student`, `exercise`, `sheet` (its code), `answer`, `unit`, `tolerance` (a
        share of the answer), `parameters` (JSON).

    Raises
    ------
    TeachingError
        A name cannot be used, or the file cannot be written or could be published.
    """
    import pandas as pd

    if out is not None:
        outside_git(Path(out), "the key")
        if not Path(out).resolve().parent.is_dir():  # told before the work and not after it
            raise TeachingError(f"{out} cannot be written (its folder is not there): give another file.")
    pairs = [(student, exercise) for student in students for exercise in exercises]
    if progress:
        from tqdm import tqdm

        pairs = tqdm(pairs, "Answers")
    table = pd.DataFrame([_answer(secret, exercise, student) for student, exercise in pairs])
    if out is not None:
        try:
            table.to_csv(out, index=False)
        except OSError as error:
            raise TeachingError(f"{out} cannot be written ({error.strerror}): give another file.") from None
    return table


def _answer(secret: bytes, exercise: Exercise, student: str) -> dict:
    parameters = parameters_of(secret, exercise, student)
    return {
        "student": name_of(student),
        "exercise": exercise.name,
        "sheet": sheet_code(secret, exercise.name, student),
        "answer": float(f"{exercise.solve(parameters).answer:.8g}"),
        "unit": exercise.unit,
        "tolerance": exercise.tolerance,
        "parameters": json.dumps(parameters),
    }
