"""Terrorism in the Basque Country: Abadie & Gardeazabal (2003), as in the vignette of R Synth."""

import numpy as np
import pytest

from apmkit.panel import Panel
from apmkit.synth import synthetic_control

WINDOW = (1960, 1969)


def loss_v(estimate):
    gap = estimate.details["path"].set_index("period")["gap"].loc[WINDOW[0] : WINDOW[1]]
    return float(np.square(gap).mean())


@pytest.fixture(scope="module")
def given(basque, basque_predictors, expected):
    return synthetic_control(basque, predictors=basque_predictors, v=expected["Synth.basque"]["v"], placebo=None)


def test_with_the_importances_of_synth_losses_and_gaps_agree(given, basque_predictors, expected, agrees):
    r = expected["Synth.basque"]
    balance = given.details["predictor_balance"].set_index("predictor")
    scale = basque_predictors.std()
    loss_w = (balance["importance"] * np.square((balance["treated"] - balance["synthetic"]) / scale)).sum()
    # Synth solves for the weights with an interior-point method that stops about 1e-6 short of the optimum.
    assert loss_w <= r["loss_w"]
    assert loss_w == pytest.approx(r["loss_w"], abs=2e-6)
    assert loss_v(given) == pytest.approx(r["loss_v"], abs=1e-6)
    path = given.details["path"]
    assert list(path["period"]) == r["years"]
    agrees(path["gap"], r["gap"], within=1e-5, what="synthetic_control", package="R Synth 1.1.8",
           case="Synth.basque, gaps with its v")  # fmt: skip
    agrees([loss_w, loss_v(given)], [r["loss_w"], r["loss_v"]], within=2e-6, what="synthetic_control",
           package="R Synth 1.1.8", case="Synth.basque, losses with its v")  # fmt: skip


def test_importances_are_shares_and_the_balance_table_shows_the_given_ones(given, expected):
    v = np.array(expected["Synth.basque"]["v"])
    np.testing.assert_allclose(given.details["predictor_balance"]["importance"], v / v.sum(), rtol=1e-12)


def test_importances_found_here_fit_no_worse_than_those_of_synth(basque, basque_predictors, expected):
    found = synthetic_control(basque, predictors=basque_predictors, v_periods=WINDOW, placebo=None)
    assert loss_v(found) <= expected["Synth.basque"]["loss_v"]
    assert found.details["predictor_balance"]["importance"].sum() == pytest.approx(1)


def test_outcomes_alone_fit_no_worse_than_predictors(basque, basque_frame, expected):
    years = basque_frame[basque_frame["year"] >= WINDOW[0]]
    panel = Panel(
        years.assign(start=years["regionno"].map({17: 1970.0})),
        unit="regionno", time="year", outcome="gdpcap", cohort="start",
    )  # fmt: skip
    outcomes_only = synthetic_control(panel, placebo=None)
    assert loss_v(outcomes_only) <= expected["Synth.basque"]["loss_v"]
    assert loss_v(outcomes_only) == pytest.approx(outcomes_only.diagnostics["pre_rmspe"] ** 2)


def test_placebos_search_their_own_importances(basque, basque_predictors):
    few = basque_predictors[["gdpcap", "invest", "school.high"]]
    estimate = synthetic_control(basque, predictors=few, v_periods=WINDOW, placebo="in_space")
    assert len(estimate.details["placebos"]) == 16
    assert estimate.diagnostics["p_value_floor"] == pytest.approx(1 / 17)
