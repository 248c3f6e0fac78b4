"""The "what if" panels of the built book in headless Chromium. Build it first: make check-book."""

import itertools
import json
from pathlib import Path

import pytest

from apmkit import studies

pytestmark = pytest.mark.browser

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
PHONE = {"width": 390, "height": 844}
PAPER = {"width": 718, "height": 1046}  # A4 less margins of a centimetre, at 96 pixels an inch
PANELS = [f"notebooks/{name}" for name in studies.names() if studies.get(name).grid]


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
