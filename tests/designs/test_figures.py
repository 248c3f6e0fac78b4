"""Figures of the other designs show the numbers of their estimates."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import plots

mpl.use("Agg")
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def line_of(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def test_an_interrupted_series_shows_points_lines_band_and_effect(make_series):
    result = apm.interrupted_time_series(make_series(), time="t", outcome="y", start=30, transition=2)
    ax = result.plot(label="Visits", digits=2)
    series = result.details["series"]
    used, later = series[series["used"]], series[series["period"] >= 32]
    np.testing.assert_allclose(line_of(ax, "observed").get_xydata(), used[["period", "observed"]])
    assert line_of(ax, "left out: transition").get_xdata().tolist() == [30, 31]
    np.testing.assert_allclose(line_of(ax, "without the change").get_xydata(), later[["period", "counterfactual"]])
    assert line_of(ax, "without the change").get_linestyle() == "--"
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()],
                               [later["counterfactual_low"].min(), later["counterfactual_high"].max()])  # fmt: skip
    row = result.table.iloc[-1]
    text = f"{row['estimate']:.2f}\n[{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    assert text in [t.get_text() for t in ax.texts]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Period", "Visits")


def test_a_comparison_says_that_it_shows_a_difference(make_series):
    both = pd.concat([make_series().assign(area="a"), make_series(seed=1).assign(area="b")])
    result = apm.comparative_interrupted_time_series(both, time="t", outcome="y", group="area", treated="a", start=30)
    assert result.plot().get_ylabel() == "y, difference"


def test_a_love_plot_shows_differences_before_and_after_the_largest_on_top(make_people):
    result = apm.inverse_probability_weighting(
        make_people(), outcome="cost", treatment="joined", covariates=["age", "risk", "sex"]
    )
    ax = plots.love(result)
    table = result.details["balance"].loc[[label.get_text() for label in ax.get_yticklabels()]]
    assert table["difference_before"].abs().is_monotonic_decreasing
    np.testing.assert_allclose(line_of(ax, "before weighting").get_xdata(), table["difference_before"])
    np.testing.assert_allclose(line_of(ax, "after").get_xdata(), table["difference_after"])
    assert type(result.plot()) is type(ax)


def test_the_change_of_the_selected_stands_beside_what_selection_explains():
    random = np.random.default_rng(0)
    y = random.normal(10, 2, size=(500, 1)) + random.normal(0, 2, size=(500, 2))
    frame = pd.DataFrame(y, columns=["before", "after"])
    result = apm.regression_to_the_mean(frame, before="before", after="after", threshold=13)
    ax = result.plot(label="Spending", digits=2)
    means, (observed, expected, _) = result.details["means"].iloc[0], result.table["estimate"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [means["before"], means["before"] + observed])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [means["before"], means["before"] + expected])
    row = result.table.iloc[2]
    bar = ax.containers[0].lines[2][0].get_segments()[0][:, 1]
    np.testing.assert_allclose(np.diff(bar), row["ci_high"] - row["ci_low"])
    assert ax.get_title() == (
        f"Remaining change {row['estimate']:.2f} (95% CI {row['ci_low']:.2f} to {row['ci_high']:.2f})"
    )


def test_other_estimates_are_refused(make_series):
    result = apm.interrupted_time_series(make_series(), time="t", outcome="y", start=30)
    for figure in (plots.love, plots.change_of_selected):
        with pytest.raises(apm.ApmkitError, match=r"interrupted time series\) has no"):
            figure(result)
