"""Notebooks are run once, failures are loud, and a build with warnings is no build."""

import hashlib
import io
import json
import multiprocessing
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from apmkit.errors import ApmkitError
from apmkit.studies import book

CONFIG = "title: A book\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"


def write_notebook(path, *code):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A page"), *map(new_code_cell, code)]), path)


def outputs(path):
    return [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "_library_digest", lambda: "library")
    monkeypatch.setattr(book, "_data_digest", lambda: "data")
    return tmp_path / "notebooks", tmp_path / "book" / "notebooks"


def test_a_failing_notebook_is_named_keeps_its_traceback_and_runs_again_while_the_others_are_done(folders):
    sources, targets = folders
    write_notebook(sources / "us" / "good.ipynb", "print(6 * 7)")
    write_notebook(sources / "bad.ipynb", "rate = 0", "1 / rate", "print('never')")

    with pytest.raises(book.BookError, match=r"bad.ipynb failed in cell \[2\] with ZeroDivisionError: division"):
        book.execute_notebooks(sources, targets, jobs=2)
    assert [output["text"] for output in outputs(targets / "us" / "good.ipynb")] == [["42\n"]]
    (failure,) = [output for output in outputs(targets / "bad.ipynb") if output["output_type"] == "error"]
    assert failure["ename"] == "ZeroDivisionError"
    assert failure["traceback"]

    write_notebook(sources / "bad.ipynb", "rate = 1", "1 / rate")
    assert book.execute_notebooks(sources, targets, jobs=2) == [sources / "bad.ipynb"]
    assert book.execute_notebooks(sources, targets, jobs=2) == []
    assert sorted(path.name for path in targets.rglob("*") if path.is_file()) == ["bad.ipynb", "good.ipynb"]


@pytest.mark.parametrize("terminal", [False, True])
def test_the_progress_bar_is_drawn_on_a_terminal_only(folders, monkeypatch, terminal):
    shown = io.StringIO()
    shown.isatty = lambda: terminal
    monkeypatch.setattr("sys.stderr", shown)
    write_notebook(folders[0] / "page.ipynb", "1")
    book.execute_notebooks(*folders)
    assert ("Running notebooks" in shown.getvalue()) == terminal


def test_a_notebook_whose_process_dies_is_named(folders):
    sources, targets = folders
    write_notebook(sources / "page.ipynb", "print('still here')", "import os; os._exit(1)")
    with pytest.raises(book.BookError, match=r"page.ipynb died in cell \[2\]"):
        book.execute_notebooks(sources, targets)
    assert outputs(targets / "page.ipynb")[0]["text"] == ["still here\n"]
    assert list(book.stale_notebooks(sources, targets)) == [sources / "page.ipynb"]


def _die(*_):
    os._exit(1)


def test_a_worker_that_dies_is_a_failure_with_a_remedy(folders, monkeypatch):
    sources, targets = folders
    write_notebook(sources / "page.ipynb", "1")
    monkeypatch.setattr(book, "_execute", _die)
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(book.multiprocessing, "get_context", lambda _: fork)
    with pytest.raises(book.BookError, match=r"page.ipynb lost its process, perhaps for want of memory: run fewer"):
        book.execute_notebooks(sources, targets)


@pytest.mark.parametrize(
    ("changed", "other"), [("_library_digest", "x"), ("_data_digest", "x"), ("versions", {"pandas": "99"})]
)
def test_a_changed_library_changed_data_or_another_package_make_a_notebook_stale(folders, monkeypatch, changed, other):
    sources, targets = folders
    write_notebook(sources / "page.ipynb", "1")
    ((_, digest),) = book.stale_notebooks(sources, targets).values()
    write_notebook(targets / "page.ipynb", "1")
    executed = nbformat.read(targets / "page.ipynb", as_version=4)
    executed.metadata["apmkit"] = {"digest": digest}
    nbformat.write(executed, targets / "page.ipynb")
    assert book.stale_notebooks(sources, targets) == {}
    assert list(book.stale_notebooks(sources, targets, all=True)) == [sources / "page.ipynb"]

    monkeypatch.setattr(book, changed, lambda: other)
    assert list(book.stale_notebooks(sources, targets)) == [sources / "page.ipynb"]


@pytest.mark.parametrize("content", ["", '{"cells": [], "meta', '{"cells": [], "metadata": {}}'])
def test_an_unfinished_copy_is_never_taken_for_a_result(folders, content):
    sources, targets = folders
    write_notebook(sources / "page.ipynb", "1")
    targets.mkdir(parents=True)
    (targets / "page.ipynb").write_text(content)
    assert list(book.stale_notebooks(sources, targets)) == [sources / "page.ipynb"]


def test_checkpoints_are_not_run(folders):
    sources, targets = folders
    write_notebook(sources / "us" / ".ipynb_checkpoints" / "page-checkpoint.ipynb", "1")
    assert book.stale_notebooks(sources, targets) == {}


def test_a_folder_without_a_book_is_refused(tmp_path):
    with pytest.raises(ApmkitError, match=r"holds no book: _config.yml is missing; run this in a clone"):
        book.build_book(tmp_path)


def test_a_number_of_jobs_below_one_is_refused(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "book" / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    with pytest.raises(ApmkitError, match="jobs is 0; it must be 1 or more"):
        book.build_book(tmp_path, jobs=0)


def test_a_warning_fails_the_build_and_also_the_next_one_until_it_is_mended(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "book" / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    page = tmp_path / "book" / "index.md"
    page.write_text("# A book\n\nSee {term}`nothing`.\n")
    for _ in range(2):
        with pytest.raises(book.BookError, match=r"(?s)did not build.*index.md:3: WARNING: term not in glossary.*log"):
            book.render(tmp_path)
    page.write_text("# A book\n\nSee everything.\n")
    assert book.render(tmp_path) == tmp_path / "_build" / "html" / "index.html"


def test_the_checksum_of_the_library_follows_its_code_and_its_registry(tmp_path, monkeypatch):
    monkeypatch.setattr(book.apmkit, "__file__", str(tmp_path / "__init__.py"))
    seen = set()
    for name, text in (("__init__.py", "a = 1"), ("__init__.py", "a = 2"), ("rules.yml", "a: 1"), ("notes.txt", "a")):
        (tmp_path / name).write_text(text)
        seen.add(book._library_digest())
    assert len(seen) == 3


def test_the_checksum_of_the_data_follows_the_files_a_user_added(tmp_path, monkeypatch):
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path))
    before = book._data_digest()
    content = b"year,province,unmet_need\n"
    (tmp_path / "unmet_need").mkdir()
    (tmp_path / "unmet_need" / f"added.{hashlib.sha256(content).hexdigest()}.csv").write_bytes(content)
    assert book._data_digest() != before
