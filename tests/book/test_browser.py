"""The built book in headless Chromium, from the disk and without a network. Build it first: make check-book."""

from pathlib import Path

import pytest
import yaml

from apmkit import studies

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
STUDIES = [page for page in CHAPTERS if page.startswith("notebooks/")]
WIDE, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
PAPER = {"width": 718, "height": 1046}  # A4 less margins of a centimetre, at 96 pixels an inch

BROKEN_WORDS = """() => {
  const broken = [];
  for (const cell of document.querySelectorAll('article td, article th')) {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    for (let node; node = walker.nextNode();)
      for (const word of node.data.matchAll(/[\\p{L}\\p{N}_.,%+\\u2212]+|(?<![\\p{L}\\p{N}])-\\d[\\d.,]*/gu)) {
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1) broken.push(word[0]);
      }
  }
  return broken;
}"""


@pytest.mark.parametrize("name", [*CHAPTERS, "genindex", "search"])
def test_page_opens_from_disk_without_errors_or_external_requests(visit, name):
    page, problems = visit(name)
    assert page.locator("main").inner_text().strip()
    assert page.evaluate("() => [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)") == []
    assert page.locator("mjx-merror").count() == 0
    assert problems == []


@pytest.mark.parametrize("name", STUDIES)
def test_page_of_a_notebook_has_figures_or_tables_and_no_traceback(visit, name):
    page, _ = visit(name)
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('.cell_output img, .cell_output svg, figure img')]
                 .map(e => e.getBoundingClientRect()).filter(r => r.width > 200 && r.height > 100).length"""
    )
    tables = page.locator(".cell_output table").count()
    assert sizes >= 1
    if name.removeprefix("notebooks/") in studies.names():
        assert sizes >= 2
        assert tables >= 1
    else:
        assert sizes + tables >= 2
    assert page.locator(".cell_output .output.traceback, .cell_output .stderr").count() == 0


@pytest.mark.parametrize("name", CHAPTERS)
def test_page_does_not_scroll_sideways_on_a_phone(visit, name):
    page, problems = visit(name, viewport=PHONE)
    assert page.evaluate("() => document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert problems == []


@pytest.mark.parametrize("name", STUDIES)
def test_figures_keep_a_readable_size_on_a_phone(visit, name):
    page, _ = visit(name, viewport=PHONE)
    widths = page.evaluate(
        """() => [...document.querySelectorAll('.cell_output img, figure img')]
                 .map(e => e.getBoundingClientRect().width).filter(width => width > 0)"""
    )
    assert widths
    assert min(widths) >= 560


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("name", CHAPTERS)
def test_tables_break_no_word_and_no_number(visit, name, viewport):
    page, _ = visit(name, viewport=viewport)
    assert page.evaluate(BROKEN_WORDS) == []


@pytest.mark.parametrize("name", STUDIES)
def test_a_printed_study_cuts_no_table_and_keeps_solutions_folded(visit, name):
    page, _ = visit(name, viewport=PAPER)
    page.emulate_media(media="print")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details").count() > 0
    assert page.locator("details[open]").count() == 0
    rights = page.evaluate("() => [...document.querySelectorAll('table')].map(e => e.getBoundingClientRect().right)")
    assert max(rights) <= PAPER["width"]


def test_codebooks_that_were_opened_fit_on_paper(visit):
    page, _ = visit("generated/data", viewport=PAPER)
    page.emulate_media(media="print")
    page.evaluate("() => document.querySelectorAll('details').forEach(details => { details.open = true; })")
    rights = page.evaluate("() => [...document.querySelectorAll('table')].map(e => e.getBoundingClientRect().right)")
    assert max(rights) <= PAPER["width"]


def test_search_finds_a_term(visit):
    page, problems = visit("search", query="?q=synthetic+control")
    page.wait_for_selector("#search-results ul.search li a")
    assert page.locator("#search-results li a").count() >= 1
    page, problems = visit("search", query="?q=donor")
    page.wait_for_selector("#search-results ul.search li a")
    assert "Glossary" in page.locator("#search-results").inner_text()
    page.wait_for_timeout(500)
    assert problems == []


def test_the_switch_changes_between_light_and_dark(visit):
    page, problems = visit("index")
    seen = set()
    for _ in range(3):
        page.locator("button.theme-switch-button:visible").first.click()
        seen.add(page.evaluate("() => document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}
    assert problems == []


def test_there_is_one_search_field(visit):
    page, _ = visit("index")
    assert page.locator("button.search-button-field:visible, button.search-button:visible").count() == 1


def test_links_to_the_source_lead_to_the_source_notebook(visit):
    page, _ = visit(STUDIES[0])
    hrefs = page.evaluate("() => [...document.querySelectorAll('.bd-header-article a')].map(a => a.href)")
    source = f"{STUDIES[0]}.ipynb"
    for service in ("https://mybinder.org/", "https://github.com/"):
        assert any(href.startswith(service) and href.endswith(source) for href in hrefs), (service, hrefs)


@pytest.mark.parametrize(("viewport", "screens"), [(WIDE, 1), (PHONE, 1.25)], ids=["wide", "phone"])
def test_the_front_page_begins_with_a_finding_and_its_whole_picture(visit, viewport, screens):
    page, problems = visit("index", viewport=viewport)
    finding = page.locator("article p", has_text="One result.").first.bounding_box()
    picture = page.locator("article figure img").first.bounding_box()
    assert finding["y"] < picture["y"]
    assert picture["y"] + picture["height"] <= screens * viewport["height"]
    assert picture["x"] + picture["width"] <= viewport["width"]
    assert problems == []
