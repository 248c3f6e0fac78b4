"""A warm build shows what changed on every page that shows it, and leaves the other pages alone."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from apmkit.studies import book

CONFIG = """\
title: A book
author: Nobody
only_build_toc_files: true
execute: {execute_notebooks: 'off'}
bibtex_bibfiles: [references.bib]
sphinx: {extra_extensions: [apmkit.studies.stale_pages]}
"""
PAGES = ("page", "other", "linking", "alone", "shows")
TOC = "format: jb-book\nroot: index\nchapters:\n" + "".join(f"  - file: {name}\n" for name in PAGES)
WORK = "@article{one, author = {Name, A.}, title = {{%s}}, journal = {J}, year = {2020}}\n"


def glue(folder, value):
    """A notebook that ran and glued a value."""
    output = new_output(
        "display_data",
        data={"application/papermill.record/text/plain": repr(value)},
        metadata={"scrapbook": {"name": "answer", "mime_prefix": "application/papermill.record/"}},
    )
    cells = [new_markdown_cell("# A study"), new_code_cell("1", outputs=[output])]
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    nbformat.write(new_notebook(cells=cells, metadata=language), folder / "page.ipynb")


@pytest.fixture
def pages(tmp_path):
    folder = tmp_path / "book"
    folder.mkdir()
    (tmp_path / "_config.yml").write_text(CONFIG)
    (folder / "_toc.yml").write_text(TOC)
    (folder / "references.bib").write_text(WORK % "First title")
    (folder / "index.md").write_text("# A book\n\nBegin.\n")
    (folder / "shows.md").write_text("# A value\n\nFound: {glue:text}`page.ipynb::answer:s`.\n")
    (folder / "other.md").write_text("# Old name\n\n```{bibliography}\n:all:\n```\n")
    (folder / "linking.md").write_text("# Links\n\nSee [](other.md) and {cite}`one`.\n")
    (folder / "alone.md").write_text("# Alone\n\nNothing.\n")
    glue(folder, "seven")
    return folder


def built(pages):
    """Build, and return the text of each page and when it was written."""
    book.render(pages.parent)
    html = {path.stem: path for path in (pages.parent / "_build" / "html").glob("*.html")}
    return {name: (path.read_text(), path.stat().st_mtime_ns) for name, path in html.items()}


def test_a_new_value_of_a_notebook_reaches_the_pages_that_show_it_and_no_other_page_is_written(pages):
    first = built(pages)
    assert "seven" in first["shows"][0]
    glue(pages, "eleven")
    second = built(pages)
    assert "eleven" in second["shows"][0]
    assert "seven" not in second["shows"][0]
    for name in ("other", "linking", "alone"):
        assert second[name] == first[name], name


def test_a_new_title_reaches_the_navigation_of_every_page_and_links_to_it(pages):
    assert built(pages)["alone"][0].count("Old name") > 0
    (pages / "other.md").write_text("# New name\n\n```{bibliography}\n:all:\n```\n")
    second = built(pages)
    for name in ("index", "page", "linking", "alone"):
        assert "New name" in second[name][0], name
        assert "Old name" not in second[name][0], name


def test_a_label_that_goes_is_missed_by_the_page_that_links_to_it(pages):
    (pages / "other.md").write_text("# Old name\n\n(here)=\n## A part\n\n```{bibliography}\n:all:\n```\n")
    (pages / "linking.md").write_text("# Links\n\nSee {ref}`here` and {cite}`one`.\n")
    assert "A part" in built(pages)["linking"][0]
    (pages / "other.md").write_text("# Old name\n\n## A part\n\n```{bibliography}\n:all:\n```\n")
    with pytest.raises(book.BookError, match=r"linking\.md.*undefined label: 'here'"):
        book.render(pages.parent)
