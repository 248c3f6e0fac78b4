"""Each page says what a reader will learn; each exercise has a solution that runs with its page; times are counted."""

import ast
import re
import shlex
from pathlib import Path

import nbformat
import pytest
import yaml
from click.testing import CliRunner
from docutils.core import publish_doctree

from apmkit import teaching
from apmkit.cli import main
from apmkit.studies import reading_time

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
NAMES = [path.relative_to(ROOT / "notebooks").with_suffix("").as_posix() for path in NOTEBOOKS]
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
# To look things up in, not to read through; and the front page.
REFERENCE = {"bibliography", "glossary"}
PAGES = [
    chapter["file"]
    for part in TOC["parts"]
    for chapter in part["chapters"]
    if not chapter["file"].startswith(("notebooks/", "generated/")) and chapter["file"] not in REFERENCE
]
EXERCISES = (ROOT / "book" / "exercises.md").read_text(encoding="utf-8")
WITHOUT_EXERCISES = {"methods/bulletin"}  # a report on other pages
OUTCOMES = re.compile(r"^\*\*You will learn\*\*\n\n(?:[*-] .+\n(?:  .+\n)*){2,}", re.MULTILINE)


def text_of(path):
    return "\n\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown") + "\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_says_what_a_reader_will_learn_and_types_no_reading_time(path):
    text = text_of(path)
    assert OUTCOMES.search(text)
    assert "Reading time" not in text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_a_reader_will_learn_and_types_no_reading_time(name):
    text = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
    assert OUTCOMES.search(text)
    assert "Reading time" not in text


def exercises_of(path):
    """By number, the text and the hidden code of each exercise of a notebook."""
    found, inside, now = {}, False, None
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code":
            if inside and now and "hide-cell" in cell.metadata.get("tags", []):
                found[now]["code"].append(cell.source)
            continue
        for part in re.split(r"^(?=## |\*\*\d+\.\*\*)", cell.source, flags=re.MULTILINE):
            if part.startswith("## "):
                inside, now = part.startswith("## Exercises"), None
            elif inside and (number := re.match(r"\*\*(\d+)\.\*\*", part)):
                now = int(number[1])
                found[now] = {"text": part, "code": []}
            elif inside and now:
                found[now]["text"] += part
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_every_exercise_has_a_solution_in_prose_or_in_code_that_the_page_runs(path):
    exercises = exercises_of(path)
    assert len(exercises) >= 3 or path.relative_to(ROOT / "notebooks").with_suffix("").as_posix() in WITHOUT_EXERCISES
    assert sorted(exercises) == list(range(1, len(exercises) + 1))
    for number, exercise in exercises.items():
        prose = re.findall(r"\{dropdown\} .+\n([\s\S]*?)\n:::", exercise["text"])
        assert prose or exercise["code"], number
        assert all(len(text.split()) >= 5 for text in prose), number
        for code in exercise["code"]:
            statements = [node for node in ast.parse(code).body if not isinstance(node, ast.Import | ast.ImportFrom)]
            assert statements, number
            assert any(isinstance(node, ast.Call) for node in ast.walk(ast.Module(statements, []))), number


# -- reading time ------------------------------------------------------------------------------------------------------

PAGE = """
A page
======

**You will learn**

* something,
* and more.

{text}
"""


def shown(text):
    doctree = publish_doctree(PAGE.format(text=text))
    reading_time.add_reading_time(doctree)
    return doctree


def test_reading_time_stands_below_what_a_reader_will_learn():
    lines = shown("word " * 900).astext().split("\n\n")
    assert lines[lines.index("and more.") + 1] == "Reading time: about 5 minutes."


def test_reading_time_counts_figures_and_not_code_or_what_is_folded():
    hidden = ".. class:: dropdown\n\n   " + "word " * 1500 + "\n\n::\n\n   " + "code " * 1500
    plain, more = shown("word " * 900), shown("word " * 900 + "\n\n" + hidden)
    assert reading_time.minutes(plain) == reading_time.minutes(more) == 5
    assert reading_time.minutes(shown("word " * 900 + "\n\n.. image:: a.png\n\n.. image:: b.png\n")) == 6
    assert reading_time.minutes(shown("word " * 1900 + "\n\n" + "word " * 400)) == 15
    assert reading_time.minutes(shown("")) == 1


def test_a_page_without_the_list_has_no_reading_time():
    doctree = publish_doctree("word " * 900)
    reading_time.add_reading_time(doctree)
    assert "Reading time" not in doctree.astext()


# -- the pages for lecturers -------------------------------------------------------------------------------------------


def test_the_page_lists_the_exercises_there_are():
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (\d+) \|$", EXERCISES, flags=re.MULTILINE)
    listed = [(name, title, int(minutes)) for name, title, _, minutes in rows]
    assert listed == [(e.name, e.title, e.minutes) for e in teaching.exercises()]


def test_exercises_name_pages_that_exist():
    pages = {chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]}
    assert {exercise.page for exercise in teaching.exercises()} <= pages


def test_the_course_names_exercises_that_exist_and_minutes_that_add_up():
    course = (ROOT / "book" / "course.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", course)) - {"apmkit"}
    assert named == {exercise.name for exercise in teaching.exercises()}
    for table in re.findall(r"\| Minutes .*\n\| --- .*\n((?:\|.*\n)+)", course):
        assert sum(map(int, re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE))) == 90
    plan = (ROOT / "book" / "teach.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| Minutes .*\n\| --- .*\n((?:\|.*\n)+)", plan)
    assert sum(map(int, re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE))) == 75
    assert sum(map(int, re.findall(r"\| (\d+)% \|", course))) == 100


def test_the_commands_on_the_page_about_exercises_work_in_this_order(tmp_path, monkeypatch):
    work = tmp_path / "course"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "students.csv").write_text(re.search(r"```text\n(.*?)```", EXERCISES, flags=re.DOTALL)[1])
    (work / "answers.csv").write_text("student,exercise,answer\nAnna,settlement,1\n")
    commands = re.findall(r"^apmkit .+$", EXERCISES, flags=re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert result.exit_code == 0, (command, result.output)
    assert (tmp_path / "key.csv").is_file()
    assert (tmp_path / "marks.csv").is_file()
