"""Figures of comparisons and doses show the numbers of their tables."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import apmkit as apm
from apmkit import plots

mpl.use("Agg")
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def panel(make_frame, make_panel):
    frame = make_frame(starts=(2012, 2013, 2014, None))
    frame["dose"] = np.random.default_rng(0).uniform(1, 3, 60)[frame["unit"]]
    frame["x"] = np.random.default_rng(1).normal(size=len(frame))
    return make_panel(frame, covariates=["dose", "x"])


@pytest.mark.parametrize("controls", [[], ["x"]])
def test_comparisons_stand_at_their_weight_and_estimate_by_kind(panel, controls):
    parts = apm.bacon_decomposition(panel, controls=controls)
    ax = plots.bacon(parts, label="Visits", named=3)
    shown = np.concatenate([line.get_xydata() for line in ax.lines if line.get_linestyle() == "None"])
    expected = parts[["weight", "estimate"]].to_numpy()
    np.testing.assert_allclose(shown[np.lexsort(shown.T)], expected[np.lexsort(expected.T)])
    mean = next(line for line in ax.lines if line.get_linestyle() == "--")
    coefficient = apm.twfe(panel, controls=controls).table["estimate"][0]
    np.testing.assert_allclose(mean.get_ydata(), coefficient)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(legend) == parts["kind"].nunique()
    share = parts.groupby("kind")["weight"].sum()
    assert f"treated vs never treated ({share['treated vs never treated']:.0%} of the weight)" in legend
    largest = parts.iloc[0]
    assert f"{largest.treated} vs {largest.comparison}" in [text.get_text() for text in ax.texts]
    assert ax.get_ylabel() == "Visits"


def test_a_table_that_is_no_decomposition_is_refused(panel):
    with pytest.raises(apm.ApmkitError, match="lacks the columns comparison, kind, treated: give the result"):
        plots.bacon(apm.bacon_decomposition(panel)[["estimate", "weight"]])


@pytest.mark.parametrize(("effect", "title"), [("ATT", "Level"), ("ACRT", "Slope")])
def test_a_dose_response_shows_estimates_intervals_band_and_mean(panel, effect, title):
    result = apm.dose_response(panel, dose="dose", effect=effect, degree=2, doses=[1.5, 2, 2.5])
    ax = result.plot()
    curve, table = ax.lines[0], result.table[1:]
    np.testing.assert_allclose(curve.get_xydata(), table[["dose", "estimate"]])
    band, interval = (collection.get_datalim(ax.transData) for collection in ax.collections)
    assert interval.y0 == pytest.approx(table["ci_low"].min())
    assert interval.y1 == pytest.approx(table["ci_high"].max())
    bounds = result.uniform_band()[1:]
    assert (band.y0, band.y1) == (pytest.approx(bounds["low"].min()), pytest.approx(bounds["high"].max()))
    np.testing.assert_allclose(ax.lines[1].get_ydata(), result.table["estimate"][0])
    assert ax.get_title(loc="left") + ax.get_title() == title
    assert "dose" in ax.get_xlabel()


def test_an_estimate_without_doses_is_refused(panel):
    with pytest.raises(apm.ApmkitError, match="has no doses: draw a result of dose_response"):
        plots.dose_response(apm.twfe(panel))
