import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import plots
from apmkit.synth import conformal_intervals, difference_in_differences, synthetic_control, synthetic_did

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    mpl.pyplot.close("all")


def words(ax):
    return {text.get_text() for text in ax.texts}


def test_paths_show_the_outcomes_and_name_their_lines(prop99):
    estimate = synthetic_control(prop99, placebo=None)
    ax = estimate.plot()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), estimate.details["path"]["treated"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), estimate.details["path"]["synthetic"])
    assert words(ax) == {"California", "Synthetic California"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Year", "PacksPerCapita")
    assert "Synthetic California, shifted" in words(synthetic_did(prop99, placebo=None).plot())


def test_placebo_gaps_draw_every_placebo_and_the_treated(prop99):
    estimate = difference_in_differences(prop99)
    ax = plots.placebo_gaps(estimate, label="packs per person")
    drawn = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == len(prop99.periods)]
    assert len(drawn) == 39
    np.testing.assert_array_equal(drawn[-1], estimate.details["path"]["gap"])
    assert ax.get_ylabel() == "Gap in packs per person"
    assert ax.get_title(loc="left") + ax.get_title() == "Grey: 38 donors as placebos"


def test_placebos_of_several_treated_units_are_called_sets():
    unit, year = np.repeat(np.arange(5), 6), np.tile(np.arange(2015, 2021), 5)
    visits = np.random.default_rng(2).normal(size=30)
    frame = pd.DataFrame({"unit": unit, "year": year, "visits": visits, "start": np.where(unit < 2, 2020.0, np.nan)})
    panel = apm.Panel(frame, unit="unit", time="year", outcome="visits", cohort="start")
    ax = plots.placebo_gaps(difference_in_differences(panel))
    assert ax.get_title(loc="left") + ax.get_title() == "Grey: 9 placebo sets"


def test_gaps_with_intervals_draw_the_bounds_of_each_period(prop99):
    shorter = prop99.restrict(prop99.units != "", prop99.periods <= 1991)
    estimate = conformal_intervals(shorter, method="difference_in_differences", level=0.9)
    ax = estimate.plot(label="packs per person")
    assert ax.get_ylabel() == "Gap in packs per person"
    bars = next(c for c in ax.collections if c.get_label() == "90% interval for each period")
    drawn = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(drawn, estimate.table[["ci_low", "ci_high"]])
    np.testing.assert_array_equal(ax.lines[-2].get_ydata(), estimate.details["path"]["gap"])
    with pytest.raises(ValueError, match="no effect for each period: it comes from conformal_intervals"):
        plots.gap_intervals(synthetic_control(prop99, placebo=None))


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
def test_gaps_without_a_finite_interval_say_so(prop99):
    ax = plots.gap_intervals(conformal_intervals(prop99, method="difference_in_differences", level=0.99))
    assert ax.get_title(loc="left") + ax.get_title() == "No finite interval"


def test_donor_weights_count_the_donors_that_are_not_drawn(prop99):
    estimate = synthetic_control(prop99, placebo=None)
    ax = plots.donor_weights(estimate, most=4)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], estimate.details["donor_weights"]["weight"][:4])
    rest = estimate.details["donor_weights"]["weight"][4:].sum()
    assert ax.get_xlabel() == f"Weight (34 other donors share {rest:.3f})"


def test_a_figure_that_the_estimate_cannot_fill_is_refused(prop99):
    with pytest.raises(ValueError, match="has no placebo_gaps: it has"):
        plots.placebo_gaps(synthetic_control(prop99, placebo=None))
