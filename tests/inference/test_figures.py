"""Figures of sensitivity and of several outcomes show the numbers they take."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from apmkit import plots
from apmkit.errors import ApmkitError
from apmkit.inference import breakdown, sensitivity, trend_after_pretest
from apmkit.inference.honest import original_interval
from tests.inference.event_studies import event_study

mpl.use("Agg")
STUDY = event_study([-4, -3, -2, 0, 1], [0.1, -0.2, 0.1, 2.0, 2.2], np.eye(5) * 0.03 + 0.02)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("kind", ["relative_magnitudes", "smoothness"])
def test_sensitivity_shows_each_interval_the_original_and_the_breakdown(kind):
    limit = breakdown(STUDY, kind)
    m = np.linspace(0, 1.5 * limit, 7)
    ax = plots.sensitivity(STUDY, kind, m, label="Visits")
    original, robust = (np.array(c.get_segments()) for c in ax.collections)
    np.testing.assert_allclose(original[0, :, 1], original_interval(STUDY))
    assert original[0, 0, 0] < 0
    table = sensitivity(STUDY, kind, m)
    np.testing.assert_allclose(robust[:, 0, 0], m)
    np.testing.assert_allclose(robust[:, :, 1], table[["low", "high"]])
    assert any(np.allclose(line.get_xdata(), limit) for line in ax.lines)
    assert [text.get_text() for text in ax.texts] == [f"zero enters at {limit:.3g}"]
    assert ax.get_ylabel() == "Visits\n(95% intervals)"


def test_no_breakdown_is_drawn_outside_the_bounds_shown():
    ax = plots.sensitivity(STUDY, m=[0, 0.1])
    assert not ax.texts
    assert len(plots.sensitivity(STUDY, m=0.1).collections) == 2


def test_a_pretrend_figure_shows_the_violation_and_its_mean_after_passing():
    ax = plots.pretrend(STUDY, 0.1)
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    table = trend_after_pretest(STUDY, 0.1)
    np.testing.assert_allclose(drawn["violation"], np.insert(table["trend"], 3, 0.0))
    np.testing.assert_allclose(drawn["its mean if the test passed"], np.insert(table["if_passed"], 3, 0.0))


def test_outcomes_are_shown_in_standard_errors_by_tier():
    report = pd.DataFrame({
        "tier": ["global", "process", "process"], "outcome": ["spending", "visits", "calls"],
        "estimate": [-20.0, 3.0, 0.1], "se": [10.0, 1.0, 0.2], "ci_low": [-40.0, 1.0, -0.3], "ci_high": [0.0, 5.0, 0.5],
        "p_value": [0.046, 0.003, 0.6], "p_adjusted": [0.046, 0.006, 0.6], "tier_p_value": [0.046, 0.006, 0.006],
    })  # fmt: skip
    ax = plots.outcomes(report)
    segments = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(segments[:, :, 0], [[-4, 0], [1, 5], [-1.5, 2.5]])
    found, others = (line.get_xdata() for line in ax.lines[:2])
    np.testing.assert_allclose(found, [-2, 3])
    np.testing.assert_allclose(others, [0.5])
    texts = [text.get_text() for text in ax.texts]
    assert "Process outcomes, joint p = 0.006" in texts
    assert "p = 0.600" in texts
    with pytest.raises(ApmkitError, match="The report has no ci_high"):
        plots.outcomes(report.drop(columns="ci_high"))
