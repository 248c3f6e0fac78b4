"""A figure on a page has words that hold its numbers, and a source."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from apmkit import plots
from apmkit.errors import ApmkitError
from apmkit.plots.shown import in_words

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch):
    import IPython.display

    seen = []
    monkeypatch.setattr(IPython.display, "display", lambda shown, metadata: seen.append((shown, metadata)))
    return seen


def rows(number):
    ax = plt.subplots()[1]
    for y in range(number):
        ax.plot([y - 1.5, y + 250], [y, y])
        ax.plot([y], [y], "o")
    ax.set_yticks(range(number), [f"choice {chr(97 + y)}" for y in range(number)])
    ax.set_xlabel("Effect on visits,\nper 100")
    return ax


def test_a_figure_is_shown_with_words_source_and_then_closed(displayed):
    plots.show(rows(2), alt="Two intervals.", source="invented.")
    [(figure, metadata)] = displayed
    assert metadata["image/svg+xml"] == metadata["image/png"]
    assert metadata["image/png"]["alt"].startswith(
        "Two intervals. Horizontal axis: Effect on visits, per 100, from 0 to "
    )
    assert "Rows: choice a: 0 (−1.5 to 250); choice b: 1 (−0.5 to 251)." in metadata["image/png"]["alt"]
    assert [text.get_text() for text in figure.texts] == ["Source: invented."]
    assert not plt.fignum_exists(figure.number)


@pytest.mark.parametrize("lacking", ["alt", "source"])
def test_a_figure_without_words_or_source_is_not_shown(displayed, lacking):
    given = {"alt": "Two intervals.", "source": "invented."} | {lacking: " "}
    with pytest.raises(ApmkitError, match=f"The figure has no {lacking}"):
        plots.show(rows(2), **given)
    assert displayed == []


def test_many_rows_are_named_without_their_numbers():
    assert "choice a; choice b" in in_words(rows(13).figure)


def test_very_many_rows_are_left_to_the_sentence():
    assert in_words(rows(21).figure).endswith("from 0 to 250.")


def test_what_is_not_drawn_is_not_told():
    ax = rows(2)
    ax.lines[2].set_data([np.nan, np.nan], [1, 1])
    assert "choice b: 1." in in_words(ax.figure)
    ax.lines[3].set_data([np.nan], [1])
    assert in_words(ax.figure).endswith("choice a: 0 (−1.5 to 250); choice b.")


def test_a_line_that_leads_to_a_point_is_no_interval():
    ax = plt.subplots()[1]
    ax.hlines([0, 1], 5, [7, 4])
    ax.axhline(0, 0, 9)
    ax.plot([7, 4], [0, 1], "o")
    ax.set_yticks([0, 1], ["without Ohio", "without Utah"])
    assert in_words(ax.figure) == "Rows: without Ohio: 7; without Utah: 4."


def test_bars_have_their_numbers():
    ax = plt.subplots()[1]
    ax.barh(["fees", "salary"], [12, -3])
    assert "Rows: fees: 12; salary: −3." in in_words(ax.figure)


def test_panels_are_named_and_an_axis_is_told_once():
    figure, panels = plt.subplots(1, 2)
    for ax, name in zip(panels, ("Ontario", "Quebec"), strict=True):
        ax.plot(np.arange(2000, 2011), np.arange(11))
        ax.set(xlabel="Year", ylabel="Share, %")
        ax.set_title(name, loc="left")
    text = in_words(figure)
    assert text.startswith("Panels: Ontario; Quebec. Horizontal axis: Year")
    assert text.count("Year") == text.count("Share") == 1


def test_columns_have_their_numbers():
    ax = plt.subplots()[1]
    ax.vlines([0, 1], [1, 2], [3, 4])
    ax.scatter([0, 1], [2, 3])
    ax.set_xticks([0, 1], ["before", "after"])
    assert "Columns: before: 2 (1 to 3); after: 3 (2 to 4)." in in_words(ax.figure)
