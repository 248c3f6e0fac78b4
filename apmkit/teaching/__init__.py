"""What a lecturer needs: exercises with numbers of each student's own, their marking, and slides of a page.

from apmkit import teaching

secret = teaching.read_secret("secret.txt")
teaching.make_sheets(secret, [teaching.exercise("power")], ["anna", "ben"], "sheets")
teaching.key(secret, teaching.exercises(), ["anna", "ben"])
teaching.mark(secret, "power", "anna", "312.4")
"""

from apmkit.teaching.assignment import TeachingError, make_secret, read_secret, sheet_code, students_of
from apmkit.teaching.exercise import Exercise, Solution, exercise, exercises
from apmkit.teaching.marking import Mark, mark, mark_file
from apmkit.teaching.sheets import key, make_sheets, sheet

__all__ = [
    "Exercise",
    "Mark",
    "Solution",
    "TeachingError",
    "exercise",
    "exercises",
    "key",
    "make_secret",
    "make_sheets",
    "mark",
    "mark_file",
    "read_secret",
    "sheet",
    "sheet_code",
    "students_of",
]
