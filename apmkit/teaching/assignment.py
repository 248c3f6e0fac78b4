"""Who gets which numbers: a lecturer's secret, the names of students, and what is drawn from both.

The numbers of a student follow from HMAC-SHA256 of the exercise and the student's name under the secret, so they need
no list that could be lost, and are the same on every machine. Without the secret nobody can tell what another student
got, or what a name would get. It does not hide how an answer is worked out: the library is public.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import os
import secrets
import unicodedata
import warnings
from pathlib import Path
from random import Random

from apmkit.errors import ApmkitError

_SHORTEST = 32
_LONGEST = 4096
_LONGEST_NAME = 80


class TeachingError(ApmkitError):
    """An exercise, a secret, a name or an answer that cannot be used; the message says why and what to do."""


def make_secret(path: str | Path) -> Path:
    """Write a new secret of 256 random bits, which only the user may read.

    Parameters
    ----------
    path : path
        Outside of any git repository, so that it cannot be published by accident.

    Raises
    ------
    TeachingError
        There is a file already, the folder cannot be written, or it belongs to a git repository.
    """
    path = Path(path)
    outside_git(path, "the secret")
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(32)}\n")
    except FileExistsError:
        raise TeachingError(
            f"{path} exists and is kept: a new secret would change every student's numbers, so give a new file."
        ) from None
    except OSError as error:
        raise TeachingError(f"{path} cannot be written ({error.strerror}): give another file.") from None
    return path


def read_secret(path: str | Path) -> bytes:
    """The secret in a file, without blanks, line ends and an editor's byte-order mark around it.

    A file that others may read too is used, with a warning.

    Raises
    ------
    TeachingError
        There is no such file, it is too short to be a secret or too long, is no text in UTF-8, or lies in a git
        repository.
    """
    path = Path(path)
    make = "apmkit exercises secret FILE makes one"
    try:
        with path.open("rb") as file:
            secret = file.read(_LONGEST + 1).removeprefix(b"\xef\xbb\xbf").strip()
            mode = os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        raise TeachingError(f"There is no secret file {path}: {make}.") from None
    except OSError as error:
        raise TeachingError(
            f"The secret file {path} cannot be read ({error.strerror}): give yourself the right to read it, or a copy "
            "of it; a new secret would change every student's numbers."
        ) from None
    if not _SHORTEST <= len(secret) <= _LONGEST:
        raise TeachingError(
            f"The secret file {path} must hold {_SHORTEST} to {_LONGEST} characters, so that it cannot be guessed: "
            f"{make}."
        )
    if b"\0" in secret:  # an editor that saves as UTF-16 would change every student's numbers
        raise TeachingError(f"The secret file {path} is not the text that was made: save it in UTF-8.")
    outside_git(path, "the secret")
    if os.name == "posix" and mode & 0o077:
        warnings.warn(f"Others on this computer may read the secret file {path}: chmod 600 {path}.", stacklevel=2)
    return secret


def outside_git(path: Path, what: str) -> None:
    """Refuse a place from which `what` could be published with a repository."""
    folder = path.expanduser().resolve().parent
    repository = next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)
    if repository is not None:
        raise TeachingError(
            f"{path} is in the git repository {repository}: keep {what} outside, where it cannot be published with it."
        )


def name_of(student: str) -> str:
    """A student's name as it is drawn from: upper and lower case and blanks around it make no difference.

    >>> name_of("  Anna  Löwe ") == name_of("anna löwe")
    True

    Raises
    ------
    TeachingError
        The name is empty, too long, has a control character, or begins as a formula of a spreadsheet does.
    """
    name = " ".join(unicodedata.normalize("NFC", student).split()).casefold()
    if not name:
        raise TeachingError("A student has no name: give a name or a number.")
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise TeachingError(
            f"The student {student[:20]!r}... needs a name of at most {_LONGEST_NAME} printable characters."
        )
    if formula(name):
        raise TeachingError(
            f"The student {student!r} begins with {name[0]}, which a spreadsheet takes for a formula: leave it out."
        )
    return name


def formula(text: str) -> bool:
    """Whether a spreadsheet would take a cell for a formula.

    >>> formula("=1+1"), formula("\uff1d1"), formula("anna")
    (True, True, False)
    """
    return unicodedata.normalize("NFKC", text[:1])[:1] in tuple("=+-@\t\r")


def random_of(secret: bytes, exercise: str, student: str) -> Random:
    """The random numbers of a student in an exercise.

    Take only ``random()`` from it: that is the one sequence that Python promises never to change.
    """
    return Random(int.from_bytes(_digest(secret, "numbers", exercise, student)))


def sheet_code(secret: bytes, exercise: str, student: str) -> str:
    """The code on a student's sheet, by which a sheet made with another secret or for another name is found out.

    >>> sheet_code(b"k" * 32, "power", "Anna") == sheet_code(b"k" * 32, "power", "anna ")
    True
    """
    return _digest(secret, "sheet", exercise, student).hex()[:8]


def _digest(secret: bytes, purpose: str, exercise: str, student: str) -> bytes:
    message = "\0".join(("apmkit exercise 1", purpose, exercise, name_of(student)))
    return hmac.new(secret, message.encode(), hashlib.sha256).digest()


def students_of(path: str | Path) -> list[str]:
    """The students in the column ``student`` of a CSV file.

    Raises
    ------
    TeachingError
        The file cannot be read, has no such column or no student, or names one twice.
    """
    seen: dict[str, str] = {}
    for line, row in read_table(Path(path), ("student",)):
        student = row["student"]
        try:
            name = name_of(student)
        except TeachingError as error:
            raise TeachingError(f"{path}, line {line}: {error}") from None
        if name in seen:
            raise TeachingError(
                f"{path}, line {line}: {student!r} and {seen[name]!r} are the same name; tell them apart."
            )
        seen[name] = student.strip()
    return list(seen.values())


def read_table(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Line and cells of each row of a CSV file, all as text, with at least these columns and one row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            separator = max(",;\t", key=head.count)  # spreadsheets of some languages write semicolons
            reader = csv.DictReader(file, restkey="", restval="", delimiter=separator, strict=True)
            reader.fieldnames = [name.strip().casefold() for name in reader.fieldnames or ()]
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise TeachingError(
            f"There is no file {path}: give a CSV file with the columns {', '.join(columns)}."
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise TeachingError(
            f"{path} cannot be read as a CSV file: save it as CSV in UTF-8, separated by commas."
        ) from None
    absent = [column for column in columns if column not in reader.fieldnames]
    if absent:
        raise TeachingError(
            f"{path} has no column {', '.join(absent)}, only {', '.join(reader.fieldnames)[:100] or 'an empty line'}: "
            "name it in the first line."
        )
    if not rows:
        raise TeachingError(f"{path} has no rows: write one line for each student below the names of the columns.")
    for line, row in rows:
        if "" in row and isinstance(row[""], list):
            raise TeachingError(
                f"{path}, line {line}: there are more values than names of columns; put a value that has a comma into "
                "quotation marks."
            )
    return rows
