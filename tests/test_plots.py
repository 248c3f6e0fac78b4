"""Figures show the numbers of the estimates they take."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import plots

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def effects():
    random = np.random.default_rng(5)
    unit, year = np.repeat(np.arange(60), 6), np.tile(np.arange(2018, 2024), 60)
    start = np.array([2020, 2022, np.nan])[unit % 3]
    frame = pd.DataFrame({"unit": unit, "year": year, "start": start})
    frame["visits"] = random.normal(size=360) + 2.0 * (year >= start)
    return apm.callaway_santanna(apm.Panel(frame, unit="unit", time="year", outcome="visits", cohort="start"))


def test_an_event_study_shows_every_estimate_its_interval_and_the_band(effects):
    event = effects.aggregate("event")
    ax = event.plot(label="Visits")
    points = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(points.get_xydata(), event.table[["relative_time", "estimate"]])
    band, intervals = (np.array(c.get_segments())[:, :, 1] for c in ax.collections)
    np.testing.assert_allclose(intervals, event.table[["ci_low", "ci_high"]])
    np.testing.assert_allclose(band, event.uniform_band()[["low", "high"]])
    assert ax.get_ylabel() == "Visits"
    assert [text.get_text() for text in ax.get_legend().get_texts()][:2] == [
        "95% band for all at once",
        "95% interval for each",
    ]


def test_weights_frame_the_treated_cells(effects):
    ax = plots.weights_heatmap(effects.aggregate("simple"))
    frames = {(patch.get_x(), patch.get_y()) for patch in ax.patches}
    assert frames == {(year - 2018, 0) for year in range(2020, 2024)} | {(year - 2018, 1) for year in (2022, 2023)}
    assert ax.get_xlabel() == "Period"


def test_intervals_stand_in_the_order_given_with_their_numbers(effects):
    simple = effects.aggregate("simple")
    ax = plots.intervals({"one": simple, "two": simple.with_level(0.5)}, digits=1, label="Visits")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["one", "two"]
    row = simple.table.iloc[0]
    assert ax.texts[0].get_text() == f"{row['estimate']:.1f} [{row['ci_low']:.1f}, {row['ci_high']:.1f}]"


def test_effects_by_cohort_and_period_are_shown_each_by_its_name(effects):
    ax = effects.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == effects.table["term"].tolist()


def test_a_figure_that_cannot_be_drawn_says_why(effects):
    with pytest.raises(apm.ApmkitError, match=r'no relative time: call aggregate\("event"\) first'):
        plots.event_study(effects.aggregate("simple"))
    with pytest.raises(apm.ApmkitError, match="There is no estimate to show"):
        plots.intervals({})


def test_a_missing_package_is_named_with_the_extra_that_has_it(effects, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(apm.ApmkitError, match=r"pip install 'apmkit\[notebooks\]'"):
        effects.aggregate("event").plot()
