"""Readers find their way in the built book: by search, by the glossary, to the notebook behind a page."""

import json
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
NOTEBOOKS = [name for name in CHAPTERS if name.startswith("notebooks/")]
# Lists to look things up in.
LOOKED_UP = {"generated/parameters", "generated/agreement", "generated/api", "glossary", "bibliography"}


@pytest.fixture(scope="module")
def page():
    from playwright.sync_api import sync_playwright

    assert (HTML / "index.html").exists(), "the book is not built: run make check-book"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = chromium.new_context(offline=True)
        yield context.new_page()
        chromium.close()


def address(name):
    return (HTML / f"{name}.html").as_uri()


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("global budgets hospitals", "lower Medicare cost in Maryland"),  # a study
        ("Primary Care First", "Payment models of both countries"),  # a payment model
        ("autocorrelation", "Glossary"),  # a term
        ("conformal", "what would have happened otherwise"),  # a method
        ("ambulatory care sensitive", "avoidable hospital stays"),  # a word of a Canadian study
    ],
)
def test_search_finds_what_is_there_without_a_server(page, term, found):
    page.goto(f"{address('search')}?q={term.replace(' ', '+')}")
    page.wait_for_selector("#search-results ul.search li a")
    page.wait_for_function(
        "() => document.querySelector('#search-results .search-summary')?.innerText.includes('found')"
    )
    titles = page.locator("#search-results li a").all_inner_texts()
    assert any(found in title for title in titles), titles


def test_search_says_when_nothing_is_found(page):
    page.goto(f"{address('search')}?q=zzyzx")
    page.wait_for_function("() => document.querySelector('#search-results')?.innerText.includes('did not match')")
    assert page.locator("#search-results li a").count() == 0


@pytest.mark.parametrize("name", ["notebooks/us/mssp_settlement", "notebooks/canada/bc_lfp", "which_design"])
def test_a_linked_term_leads_to_its_entry(page, name):
    page.goto(address(name))
    link = page.locator("article a[href*='glossary.html#term-']").first
    term = link.get_attribute("href").partition("#")[2]
    link.click()
    page.wait_for_url("**/glossary.html#*")
    entry = page.locator(f"dt[id='{term}']")
    assert entry.inner_text().strip()
    assert entry.locator("xpath=following-sibling::dd").first.inner_text().strip()
    assert 0 <= entry.bounding_box()["y"] < page.viewport_size["height"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_says_what_a_reader_will_learn_and_how_long_it_takes(page, name):
    page.goto(address(name))
    text = page.locator("article").inner_text()
    assert ("You will learn" in text) == ("Reading time: about" in text) == (name not in LOOKED_UP)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_buttons_lead_to_the_notebook_itself(page, name):
    page.goto(address(name))
    links = page.evaluate("() => [...document.querySelectorAll('.bd-header-article a')].map(a => a.href)")
    for service in (
        "https://mybinder.org/v2/gh/apmkit/apmkit/main?urlpath=lab/tree/",
        "https://colab.research.google.com/github/apmkit/apmkit/blob/main/",
        "https://github.com/apmkit/apmkit/edit/main/",
    ):
        assert f"{service}{name}.ipynb" in links, service
    (download,) = [link for link in links if link.startswith("file:") and link.endswith(".ipynb")]
    copy = json.loads((HTML / download.removeprefix(f"{HTML.as_uri()}/")).read_text(encoding="utf-8"))
    assert "papermill" not in copy["metadata"]
    assert [cell["outputs"] for cell in copy["cells"] if cell.get("outputs")] == []
