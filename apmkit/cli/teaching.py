"""The commands for lecturers: slides, exercises, marking."""

from __future__ import annotations

import os
from pathlib import Path

import click

from apmkit.cli import screen
from apmkit.cli.progress import progress_option, visible

_PATH = click.Path(path_type=Path)
_secret = click.option(
    "--secret-file", type=_PATH, required=True, metavar="FILE", help="Your secret, outside of any git repository."
)
_students = click.option("--students", type=_PATH, metavar="FILE", help="A CSV file with a column student.")


@click.command(
    epilog="""
\b
Examples:
  apmkit slides us/mssp_downside_risk
  apmkit slides methods/power --out power.html
  apmkit slides runs/seminar/20260301T101500000-us-mssp_settlement-1a2b3c/notebook.ipynb
"""
)
@click.argument("name")
@click.option("--out", type=_PATH, metavar="FILE", help="The file to write.  [default: NAME-slides.html, here]")
@progress_option
def slides(name, out, progress):
    """Write slides of a study or of a page on methods: one HTML file that opens without a network.

    NAME is a page with a notebook, such as us/mssp_downside_risk, or the executed notebook of a run. A page that has
    changed since it was run is run first.
    """
    from apmkit.teaching.slides import write_slides

    path, number = write_slides(name, out, progress=visible(progress))
    click.echo(f"{number} slides are in {path}\nOpen {path.as_uri()}")


@click.group(
    epilog="""
\b
Examples:
  apmkit exercises list
  apmkit exercises secret ../secret.txt
  apmkit exercises make all --students students.csv --secret-file ../secret.txt --out sheets
  apmkit exercises key --students students.csv --secret-file ../secret.txt --out ../key.csv
"""
)
def exercises():
    """Exercises with numbers of each student's own, which follow from the name and your secret."""


@exercises.command("list", epilog="Example: apmkit exercises list")
def list_exercises():
    """List the exercises."""
    import pandas as pd

    from apmkit import teaching

    rows = [(e.name, e.title, e.needs, e.minutes, e.page) for e in teaching.exercises()]
    click.echo(screen.table(pd.DataFrame(rows, columns=["name", "question", "needs", "minutes", "read first"])))


@exercises.command(epilog="Example: apmkit exercises secret ../secret.txt")
@click.argument("file", type=_PATH)
def secret(file):
    """Make a secret. Keep it and do not share it: it decides every student's numbers."""
    from apmkit import teaching

    click.echo(f"Your secret is in {teaching.make_secret(file)}: keep a copy, and show it to nobody.")


@exercises.command(
    epilog="""
\b
Examples:
  apmkit exercises make settlement --student anna --secret-file ../secret.txt
  apmkit exercises make all --students students.csv --secret-file ../secret.txt --out sheets
"""
)
@click.argument("exercise")
@click.option("--student", metavar="NAME", help="One student; or give --students.")
@_students
@_secret
@click.option("--out", type=_PATH, default=Path("sheets"), show_default=True, metavar="FOLDER")
def make(exercise, student, students, secret_file, out):
    """Write the sheet of each student: the task with the student's own numbers, and how to begin.

    EXERCISE is a name, or all.
    """
    from apmkit import teaching

    chosen = teaching.exercises() if exercise == "all" else [teaching.exercise(exercise)]
    names = _one_or_file(student, students)
    made = teaching.make_sheets(teaching.read_secret(secret_file), chosen, names, out)
    number = "1 sheet is" if len(made) == 1 else f"{len(made)} sheets are"
    click.echo(f"{number} in {out}: hand each student the files with the name in it.")


@exercises.command(
    epilog="Example: apmkit exercises key --students students.csv --secret-file ../secret.txt --out ../key.csv"
)
@click.argument("exercise", nargs=-1)
@click.option("--student", metavar="NAME", help="One student; or give --students.")
@_students
@_secret
@click.option("--out", type=_PATH, required=True, metavar="FILE", help="A CSV file, outside of any git repository.")
@progress_option
def key(exercise, student, students, secret_file, out, progress):
    """Work out the answer of every student and write them to a CSV file.

    All exercises, or those named. A run of the library gives each answer; a class of 30 takes about a minute.
    """
    from apmkit import teaching

    chosen = [teaching.exercise(name) for name in exercise] or teaching.exercises()
    names = _one_or_file(student, students)
    found = teaching.key(teaching.read_secret(secret_file), chosen, names, out=out, progress=visible(progress))
    click.echo(f"{len(found)} answers are in {out}: show it to nobody.")


@click.command(
    epilog="""
\b
Examples:
  apmkit check settlement --student anna --secret-file ../secret.txt --answer 1234567
  apmkit check --answers answers.csv --secret-file ../secret.txt --out ../marks.csv
"""
)
@click.argument("exercise", required=False)
@click.option("--student", metavar="NAME")
@click.option("--answer", metavar="NUMBER", help="As the student wrote it.")
@click.option("--sheet", default="", metavar="CODE", help="The code on the sheet, to be sure that it is the student's.")
@click.option("--answers", type=_PATH, metavar="FILE", help="CSV: student, exercise, answer, and if you like sheet.")
@_secret
@click.option("--show", is_flag=True, help="Show the right answers too.")
@click.option("--out", type=_PATH, metavar="FILE", help="Write the marks of --answers to a CSV file.")
@progress_option
def check(exercise, student, answer, sheet, answers, secret_file, show, out, progress):
    """Mark what students hand in, without giving the answers away.

    One answer of one student, or all in a file.
    """
    from apmkit import teaching

    one = {"EXERCISE": exercise, "--student": student, "--answer": answer}
    if answers is None:
        absent = [name for name, value in one.items() if value is None]
        if absent:
            raise click.UsageError(
                f"{' and '.join(absent)} missing: give EXERCISE, --student and --answer, or --answers FILE."
            )
        if out:
            raise click.UsageError("--out takes the marks of a file: give --answers FILE.")
        found = [teaching.mark(teaching.read_secret(secret_file), exercise, student, answer, code=sheet)]
        told = found[0]
        click.echo(f"{told.student}, {told.exercise}: {told.mark}; {told.remark}.")
        if show:
            click.echo(f"The answer is {told.answer:.8g} {teaching.exercise(exercise).unit}.")
        return
    extra = [name for name, value in {**one, "--sheet": sheet or None}.items() if value is not None]
    if extra:
        raise click.UsageError(f"{' and '.join(extra)} and --answers do not go together: the file has both.")
    found = teaching.mark_file(teaching.read_secret(secret_file), answers, progress=visible(progress))
    table = _marks(found, show)
    if out:
        try:
            table.to_csv(out, index=False)
        except OSError as error:
            raise teaching.TeachingError(
                f"{out} cannot be written ({error.strerror or error}): give another file."
            ) from None
    click.echo(screen.table(table))
    counts = {kind: sum(each.mark == kind for each in found) for kind in ("right", "wrong", "not marked")}
    click.echo(", ".join(f"{number} {kind}" for kind, number in counts.items()))
    if counts["wrong"] > 2 and not counts["right"]:
        click.echo("No answer is right: is this the secret that the sheets were made with?", err=True)


def _marks(found, show: bool):
    import pandas as pd

    table = pd.DataFrame(
        [(m.student, m.exercise, m.mark, m.remark) for m in found], columns=["student", "exercise", "mark", "remark"]
    )
    if show:
        table["answer"] = ["" if m.answer is None else f"{m.answer:.8g}" for m in found]
    return table


def _one_or_file(student: str | None, students: os.PathLike | None) -> list[str]:
    from apmkit import teaching

    if (student is None) == (students is None):
        raise click.UsageError("Give either --student NAME or --students FILE.")
    return [student] if student is not None else teaching.students_of(students)


COMMANDS = (slides, exercises, check)
