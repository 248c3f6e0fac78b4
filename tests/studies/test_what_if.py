"""The panel is one piece of HTML that needs nothing else, shows text as it is, and says something without scripts."""

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from apmkit.studies import Study, what_if
from apmkit.studies.parameters import as_typed
from apmkit.studies.sweep import points

SENTENCE = 'Costs rose by 2 & more: "</script><script>alert(1)</script>".'


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def study(toy):
    grid = {"outcome": ("cost", "visits"), "first": (1, 2, 3), "leave_out": ((), ("on", "qc"))}
    return Study(toy.name, toy.title, toy.country, (), toy.Parameters, toy.estimate, grid)


@pytest.fixture
def table(study):
    every = [{f"parameters.{n}": as_typed(v) for n, v in point.items()} for point in points(study.grid)]
    frame = pd.DataFrame(every).assign(axis="Effect, dollars", ci_low=0.123456789, ci_high=3.0, level=0.9, problem="")
    frame["estimate"] = range(12)
    frame["sentence"] = [f"{SENTENCE} {k}" for k in range(12)]
    frame.loc[11, ["axis", "sentence", "problem"]] = ["", "", "first=3 needs <costs>."]
    frame.loc[11, ["estimate", "ci_low", "ci_high"]] = float("nan")
    return frame


def data_of(html):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, flags=re.DOTALL)[1])


def test_the_panel_has_a_labelled_control_for_each_parameter_and_every_set(study, table):
    html = what_if.panel(study, table, default=0, start=3, source="invented.")
    elements = Elements(html).found
    controls = [attributes["id"] for tag, attributes in elements if tag in ("select", "input")]
    assert controls == ["what-if-outcome", "what-if-first", "what-if-leave_out"]
    assert [attributes["for"] for tag, attributes in elements if tag == "label"] == controls
    (slider,) = [attributes for tag, attributes in elements if tag == "input"]
    assert (slider["type"], slider["min"], slider["max"], slider["value"]) == ("range", "0", "2", "1")
    assert "<option>visits</option>" in html
    assert '<p class="source">Source: invented.</p>' in html
    assert "<option selected>on, qc</option>" in html
    data = data_of(html)
    assert (data["default"], data["start"], data["level"]) == (0, 3, "90%")
    assert data["sets"][4] == [0, 4, 0.123457, 3, f"{SENTENCE} 4"]
    assert data["sets"][11] == "first=3 needs <costs>."


def test_text_is_shown_as_it_is_and_ends_no_script(study, table):
    html = what_if.panel(study, table, default=0, start=0, source="invented.")
    assert sum(tag == "script" for tag, _ in Elements(html).found) == 2
    assert f"{SENTENCE} 0" in Elements(html).text


def test_without_scripts_there_is_the_sentence_and_a_row_for_each_choice_changed_alone(study, table):
    html = what_if.panel(study, table, default=0, start=0, source="invented.")
    rows = Elements(html[html.index("<tbody>") : html.index("</tbody>")])
    assert sum(tag == "tr" for tag, _ in rows.found) == 1 + 1 + 2 + 1
    assert rows.text.startswith(f"default{SENTENCE} 0outcome: visits{SENTENCE} 6first: 2{SENTENCE} 2first: 3")
    assert "<form hidden>" in html


def test_the_panel_asks_nothing_of_a_network_and_its_script_is_small(study, table):
    html = what_if.panel(study, table, default=0, start=0, source="invented.")
    assert set(re.findall(r"https?://[^'\"\s)]+", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\bfetch\b|XMLHttpRequest|\bimport\b|innerHTML|\beval\b", html)
    script = (what_if._HERE / "what_if.js").read_bytes()
    assert len(script) < 8_000
    assert max(map(len, script.splitlines())) <= 140
