"""Slides have the findings, figures and caveats of a page, no code, and work with keys, on paper and on a phone."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from apmkit.cli import main
from apmkit.studies import book
from apmkit.studies.study import repository
from apmkit.teaching import slides

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 200" width="400pt" height="200pt"><path d="M0 0"/></svg>'
)
WIDE = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}
LONG = " ".join(["word"] * 60) + "."


def ran(source, *tags, **data):
    outputs = [new_output("display_data", data)] if data else []
    return new_code_cell(source, outputs=outputs, metadata={"tags": list(tags)})


def table(rows):
    body = "".join(f"<tr><td>row {i}</td><td>{i}</td></tr>" for i in range(rows))
    return f"<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>{body}</tbody></table>"


def page():
    glued = new_output("display_data", {"application/papermill.record/text/plain": "12.34"})
    glued["metadata"]["scrapbook"] = {"name": "fall"}
    first = "# Did it work & pay?\n\n:::{admonition} In short\nIt fell by {glue:text}`fall:.1f` dollars.\n:::\n\n"
    first += "**You will learn**\n\n* one,\n* two."
    design = (
        "## The design\n\nWe compare. Smith et al. did so too, and vs. Jones. A third sentence is for the notes.\n\n"
    )
    design += "First a remark that is long enough to stand alone here. **The assumption:** $a < b$ & c. And more."
    exercises = "## Exercises\n\n**1.** Why? Say it.\n\n:::{dropdown} Solution\nBecause of the secret reason.\n:::"
    cells = [
        new_markdown_cell(first),
        ran("x = 1", "parameters"),
        new_code_cell("glue('fall', 12.34)", outputs=[glued]),
        new_markdown_cell("## Rerun this page\n\nNot on a slide."),
        new_markdown_cell(design),
        ran("plot_it()", "hide-input", **{"image/svg+xml": SVG}),
        new_markdown_cell("The figure shows it."),
        ran("show()", **{"text/html": table(30)}),
        ran("menus()", **{"text/html": "<div class='what-if'><script>alert(1)</script>choose</div>"}),
        new_markdown_cell(f"## What the data cannot show\n\n* {LONG}\n\n{LONG}"),
        new_markdown_cell(exercises),
        ran("print('the hidden answer')", "hide-cell", **{"text/plain": "the hidden answer"}),
        new_markdown_cell("## Sources\n\nNot on a slide."),
    ]
    return new_notebook(cells=cells)


@pytest.fixture
def deck():
    text, number = slides.deck(page())
    parsed = BeautifulSoup(text, "html.parser")
    found = parsed.select("section.slide")
    assert len(found) == number
    return parsed, found


def titles(found):
    return [each.find(["h1", "h2"]).get_text() for each in found]


def test_slides_follow_the_sections_and_leave_out_what_is_for_readers_of_the_page(deck):
    assert titles(deck[1]) == [
        "Did it work & pay?",
        "You will learn",
        "The design",
        "The design",
        "What the data cannot show",
        "What the data cannot show",
        "Exercises",
        "About these slides",
    ]
    assert [each.select_one(".place").get_text() for each in deck[1]] == [f"{n} / 8" for n in range(1, 9)]


def test_code_solutions_and_menus_are_left_out_and_numbers_are_those_of_the_run(deck):
    text = deck[0].get_text()
    for absent in (
        "plot_it",
        "x = 1",
        "secret reason",
        "hidden answer",
        "Not on a slide",
        "choose",
        "alert",
        "papermill",
    ):
        assert absent not in text
    assert "It fell by 12.3 dollars." in deck[1][0].get_text()
    assert [image["alt"] for image in deck[0].select("img")] == ["Figure of the slide: The design"]


def test_a_paragraph_gives_its_bold_or_first_sentence_and_the_rest_to_the_notes(deck):
    shown = deck[1][2].select_one(".shown").get_text()
    assert "We compare. Smith et al. did so too, and vs. Jones." in shown
    assert "third sentence" not in shown
    assert "The assumption: $a < b$ & c." in shown
    assert "A third sentence is for the notes." in deck[1][2].select_one(".notes").get_text()
    assert "Why? Say it." in deck[1][6].get_text()


def test_a_long_table_is_cut_and_says_so(deck):
    (body,) = deck[0].select("tbody")
    assert len(body.select("tr")) == 12
    assert "The page has 18 more rows." in deck[0].get_text()


def test_the_file_needs_nothing_else(deck):
    text = str(deck[0])
    assert not re.findall(r"""\ssrc=["'](?!data:)""", text)
    assert deck[0].select("link") == []
    assert "@import" not in text


# -- where the notebook comes from -------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one page, not yet run."""
    (tmp_path / "notebooks" / "us").mkdir(parents=True)
    source = new_notebook(cells=[new_markdown_cell("# A page"), new_code_cell("print(6 * 7)")])
    nbformat.write(source, tmp_path / "notebooks" / "us" / "page.ipynb")
    for module in ("apmkit.studies.study", "apmkit.studies.webpage"):
        monkeypatch.setattr(f"{module}.repository", lambda: tmp_path)
    monkeypatch.setattr(book, "_library_digest", lambda: "library")
    monkeypatch.setattr(book, "_data_digest", lambda: "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_page_is_run_if_the_book_does_not_have_it_and_not_twice(checkout):
    first = CliRunner().invoke(main, ["slides", "us/page"])
    assert first.exit_code == 0, first.output
    assert "Running us/page" in first.output
    assert ">42\n<" in (checkout / "us-page-slides.html").read_text(encoding="utf-8")
    book.execute_notebooks(checkout / "notebooks", checkout / "book" / "notebooks")
    again = CliRunner().invoke(main, ["slides", "us/page", "--out", "again.html"])
    assert again.output.startswith("2 slides are in ")
    changed = new_notebook(cells=[new_markdown_cell("# A page"), new_code_cell("1 / 0")])
    nbformat.write(changed, checkout / "notebooks" / "us" / "page.ipynb")
    failed = CliRunner().invoke(main, ["slides", "us/page"])
    assert failed.exit_code == 1
    assert "Error: us/page failed in cell [1] with ZeroDivisionError" in failed.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["us/pagee"], "There is no page 'us/pagee' (did you mean 'us/page'?): the pages with a notebook are us/page."),
        (["../../etc/passwd"], "There is no page"),
        (["none.ipynb"], "There is no notebook none.ipynb"),
        (["broken.ipynb"], "broken.ipynb cannot be read as a notebook"),
        (["notebooks/us/page.ipynb"], "page.ipynb has not been run: run it, or give the name of its page"),
        (["us/page", "--out", "slides.pdf"], "slides.pdf must end in .html"),
        (["us/page", "--out", "none/slides.html"], "none is no folder"),
        ([], "Write for instance: apmkit slides us/mssp_downside_risk"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_sentence(checkout, arguments, said):
    (checkout / "broken.ipynb").write_text('{"cells": 1}')
    result = CliRunner().invoke(main, ["slides", *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1


# -- in the browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


def executed():
    folder = repository() / "book" / "notebooks"
    found = [folder / "us" / "mssp_downside_risk.ipynb", folder / "methods" / "power.ipynb"]
    assert all(path.is_file() for path in found), "the book is not built: run make check-book"
    return found


@pytest.fixture(scope="module", params=[0, 1], ids=["study", "method"])
def file(request, tmp_path_factory):
    text, number = slides.deck(nbformat.read(executed()[request.param], 4))
    path = tmp_path_factory.mktemp("slides") / "slides.html"
    path.write_text(text, encoding="utf-8")
    return path, number


def opened(chromium, file, viewport, **options):
    page = chromium.new_context(viewport=viewport, **options).new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else problems.append(r.url))
    page.goto(file[0].as_uri(), wait_until="load")
    page.evaluate("() => window.MathJax?.startup?.promise")
    return page, problems


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_slide_fits_the_screen_and_keys_lead_through_all(chromium, file, scheme):
    page, problems = opened(chromium, file, WIDE, color_scheme=scheme)
    for place in range(1, file[1] + 1):
        assert page.locator("#place").inner_text() == f"{place} / {file[1]}"
        assert page.locator(".slide.now").get_attribute("id") == f"slide-{place}"
        over = page.evaluate(
            """() => { const s = document.querySelector('.slide.now');
                 return [s.scrollHeight - s.clientHeight, s.scrollWidth - s.clientWidth,
                         ...[...s.querySelectorAll('svg, img, table')].filter(e => !e.parentElement.closest('svg'))
                            .map(e => e.getBoundingClientRect().bottom - innerHeight)]; }"""
        )
        assert max(over) <= 1, place
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    assert page.locator("#place").inner_text().startswith("1 /")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#place").inner_text().startswith(f"{file[1] - 1} /")
    page.keyboard.press("n")
    assert page.locator("#notes").get_attribute("aria-pressed") == "true"
    assert problems == []


@pytest.mark.browser
def test_on_a_phone_and_without_scripts_the_slides_are_a_page_to_scroll(chromium, file):
    for options in ({}, {"java_script_enabled": False}):
        page = chromium.new_context(viewport=PHONE, **options).new_page()
        page.goto(file[0].as_uri())
        assert page.locator(".slide:visible").count() == file[1]
    page, problems = opened(chromium, file, PHONE)
    assert page.evaluate("() => document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert problems == []


@pytest.mark.browser
def test_paper_has_one_slide_a_page(chromium, file):
    page, _ = opened(chromium, file, WIDE)
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == file[1]
