"""The built book in headless Chromium, from the disk and without a network. Build it first: make check-book."""

import itertools
import json
from pathlib import Path

import pytest
import yaml

from apmkit import studies

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
STUDIES = [page for page in CHAPTERS if page.startswith("notebooks/")]
WIDE, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
PAPER = {"width": 718, "height": 1046}  # A4 less margins of a centimetre, at 96 pixels an inch

CONTRAST = """() => {
  const pixel = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const canvas = pixel.getContext('2d', {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; }
    return [255, 255, 255, 255];
  };
  const text = [...document.querySelectorAll('article p, article li, article td, article th, article a, article h2')];
  return text.filter(e => e.offsetParent && e.innerText.trim()).map(e => {
    const [a, b] = [luminance(rgba(getComputedStyle(e).color)), luminance(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName, e.innerText.slice(0, 40)];
  }).sort((x, y) => x[0] - y[0])[0];
}"""


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


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert (HTML / "index.html").exists(), "the book is not built: run make check-book"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page and return it with the list of everything that went wrong on it."""
    contexts = []

    def open_page(name, viewport=WIDE, query="", scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        problems = []
        page.on("console", lambda m: problems.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(f"script: {error}"))
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else problems.append(r.url))
        page.goto((HTML / f"{name}.html").as_uri() + query, wait_until="load")
        page.evaluate("() => window.MathJax?.startup?.promise")
        return page, problems

    yield open_page
    for context in contexts:
        context.close()


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


@pytest.mark.parametrize("name", [TOC["root"], *STUDIES])
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", CHAPTERS)
def test_text_can_be_read_in_light_and_dark_mode(visit, name, scheme):
    page, _ = visit(name, scheme=scheme)
    ratio, *where = page.evaluate(CONTRAST)
    assert ratio >= 4.5, where  # WCAG 2.1, level AA


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


# -- "what if" panels --------------------------------------------------------------------------------------------------

WITH_GRID = {f"notebooks/{name}" for name in studies.names() if studies.get(name).grid}
PANELS = [page for page in STUDIES if page in WITH_GRID]


def choose(page, control, place):
    """Choose the value at this place of a menu or a slider, and give the sentence and the figure that follow."""
    control.evaluate(
        """(e, place) => {
             if (e.type === 'range') e.value = place; else e.selectedIndex = place;
             e.dispatchEvent(new Event('input', {bubbles: true}));
           }""",
        place,
    )
    return page.locator(".what-if .says").inner_text(), page.locator(".what-if .drawing").inner_html()


def panel_shows(page):
    """What a reader of a panel sees: sentence, figure, and the command unless it is hidden."""
    panel = page.locator(".what-if")
    return (
        panel.locator(".says").inner_text(),
        panel.locator("svg").inner_html(),
        panel.locator(".command").inner_text(),
    )


def panel_of(page):
    """The data of a panel, its controls, and what stands for a place of each."""
    data = json.loads(page.locator(".what-if script[type='application/json']").text_content())
    controls = page.locator(".what-if select, .what-if input").all()
    places = list(itertools.product(*(range(len(values)) for values in data["values"])))
    assert len(controls) == len(data["names"])
    assert len(places) == len(data["sets"])
    return data, controls, places


@pytest.mark.parametrize("name", PANELS)
def test_each_control_of_a_what_if_panel_changes_figure_and_sentence(visit, name):
    page, problems = visit(name)
    data, controls, places = panel_of(page)
    at_first = places[data["start"]]
    first = choose(page, controls[0], at_first[0])
    assert first[0].startswith(data["sets"][data["start"]][-1])
    for i, control in enumerate(controls):
        assert page.locator(f"label[for='{control.get_attribute('id')}']").inner_text().strip()
        for place in set(range(len(data["values"][i]))) - {at_first[i]}:
            sentence, figure = choose(page, control, place)
            found = data["sets"][places.index((*at_first[:i], place, *at_first[i + 1 :]))]
            assert (found if isinstance(found, str) else found[-1]) in sentence
            assert sentence != first[0]
            assert figure != first[1]
            assert f"{data['names'][i]}={data['values'][i][place]}" in page.locator(".what-if .command").text_content()
        assert choose(page, control, at_first[i]) == first
    assert problems == []


@pytest.mark.parametrize("name", PANELS)
def test_a_what_if_panel_says_why_a_combination_has_no_answer(visit, name):
    page, _ = visit(name)
    data, controls, places = panel_of(page)
    for at in [at for at, found in enumerate(data["sets"]) if isinstance(found, str)][:1]:
        for control, place in zip(controls, places[at], strict=True):
            sentence, figure = choose(page, control, place)
        assert sentence == f"These choices have no answer. {data['sets'][at]}"
        assert "chosen" not in figure.replace("chosen set", "")
        assert page.locator(".what-if .command").is_hidden()
    page.get_by_role("button", name="Back to the defaults").click()
    assert data["sets"][data["default"]][-1] in page.locator(".what-if .says").inner_text()


@pytest.mark.parametrize("name", PANELS)
def test_a_what_if_panel_can_be_used_from_the_keyboard(visit, name):
    page, _ = visit(name)
    data, controls, places = panel_of(page)
    at_first = places[data["start"]]
    controls[0].focus()
    for control, at in zip(controls, at_first, strict=True):
        assert control.evaluate("e => e === document.activeElement")
        before = panel_shows(page)
        keys = ("End", "Home") if control.get_attribute("type") == "range" else ("ArrowDown", "ArrowUp")
        page.keyboard.press(keys[at > 0])
        assert panel_shows(page) != before
        choose(page, control, at)
        page.keyboard.press("Tab")
    choose(page, controls[0], at_first[0] - 1 if at_first[0] else 1)
    page.keyboard.press("Enter")  # the button back to the defaults
    assert "These are the defaults." in page.locator(".what-if .says").inner_text()


@pytest.mark.parametrize("name", PANELS)
def test_a_what_if_panel_prints_what_the_page_shows_at_first(visit, name):
    page, _ = visit(name, viewport=PAPER)
    data, controls, places = panel_of(page)
    other = (places[data["start"]][0] + 1) % len(data["values"][0])
    chosen = choose(page, controls[0], other)[0]
    page.emulate_media(media="print")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".what-if .says").inner_text().startswith(data["sets"][data["start"]][-1])
    assert page.locator(".what-if form").is_hidden()
    assert page.locator(".what-if svg").bounding_box()["width"] <= PAPER["width"]
    page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    assert page.locator(".what-if .says").inner_text() == chosen


@pytest.mark.parametrize("name", PANELS)
def test_without_scripts_a_what_if_panel_is_a_sentence_and_a_table(browser, name):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((HTML / f"{name}.html").as_uri())
    assert page.locator(".what-if form").is_hidden()
    assert page.locator(".what-if .says").inner_text().strip()
    study = studies.get(name.removeprefix("notebooks/"))
    assert page.locator(".what-if tbody tr").count() == 1 + sum(len(values) - 1 for values in study.grid.values())
    assert page.locator(".what-if table").is_visible()
    context.close()


@pytest.mark.parametrize("name", PANELS)
def test_a_what_if_panel_fits_a_phone_and_weighs_little(visit, name):
    page, _ = visit(name, viewport=PHONE)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('.what-if :is(select, input, svg, .says)')]
                 .map(e => e.getBoundingClientRect()).map(box => [box.left, box.right])"""
    )
    assert min(left for left, _ in boxes) >= 0
    assert max(right for _, right in boxes) <= PHONE["width"]
    assert len(page.locator(".what-if").inner_html().encode()) < 200_000
