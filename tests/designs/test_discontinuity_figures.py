"""Figures of a discontinuity show the numbers of the results they take."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import plots
from apmkit.errors import ApmkitError

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(3)
    age = random.uniform(55, 75, size=900)
    return pd.DataFrame({"age": age, "visits": 3 + 0.1 * age + (age >= 65) + random.normal(size=900)})


def test_the_jump_is_drawn_with_bins_lines_and_bands(frame):
    estimate = apm.regression_discontinuity(frame, outcome="visits", running="age", cutoff=65)
    ax = estimate.plot(label="Visits per year", running="Age, years")
    bins, curve = estimate.details["bins"], estimate.details["curve"]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), bins[["running", "outcome"]])
    for line, side in zip(ax.lines[1:3], ("above", "below"), strict=True):
        np.testing.assert_allclose(line.get_xydata(), curve.loc[curve["side"] == side, ["running", "outcome"]])
    intervals = np.array(ax.collections[0].get_segments())[:, :, 1]
    np.testing.assert_allclose(intervals, bins[["ci_low", "ci_high"]])
    assert ax.lines[-1].get_xdata()[0] == 65
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Age, years", "Visits per year")
    with pytest.raises(ApmkitError, match="has no cutoff"):
        plots.discontinuity(apm.Estimate.from_covariance(
            pd.DataFrame({"term": ["a"]}), np.ones(1), np.eye(1), estimand="ATT", estimator="a trial", outcome="y",
            n_obs=2, n_units=2, n_clusters=2,
        ))  # fmt: skip


def test_the_density_is_drawn_with_a_histogram_that_no_bar_carries_over_the_cutoff(frame):
    ax = plots.density(frame, running="age", cutoff=65, bandwidth=(4, 5))
    curves = apm.density_curves(frame, running="age", cutoff=65, bandwidth=(4, 5))
    for line, side in zip(ax.lines[:2], ("below", "above"), strict=True):
        np.testing.assert_allclose(line.get_xydata(), curves.loc[curves["side"] == side, ["running", "density"]])
    edges = np.array([bar.get_x() for bar in ax.patches])
    assert np.abs(edges - 65).min() == pytest.approx(0, abs=1e-9)
    first = ax.patches[5]
    low = first.get_x()
    inside = ((frame["age"] >= low) & (frame["age"] < low + first.get_width())).sum()
    assert first.get_height() * first.get_width() * 900 == pytest.approx(inside)
    p = apm.density_test(frame, running="age", cutoff=65, bandwidth=(4, 5))["p_value"]
    assert ax.texts[0].get_text() == f"test of a jump: p = {p:.3f}"


def test_bandwidths_are_drawn_with_their_intervals_and_rows(frame):
    table = apm.bandwidth_sensitivity(frame, outcome="visits", running="age", cutoff=65, multiples=[0.5, 1, 2])
    ax = plots.bandwidths(table, label="Visits")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), table[["bandwidth", "estimate"]])
    assert [text.get_text() for text in ax.texts] == [f"{n:,}" for n in table["n_below"] + table["n_above"]]
    assert ax.get_ylabel() == "Visits"
    with pytest.raises(ApmkitError, match="no column 'multiple'"):
        plots.bandwidths(table.drop(columns="multiple"))
