"""California's tobacco programme: Abadie, Diamond & Hainmueller (2010), Arkhangelsky et al. (2021)."""

import numpy as np
import pytest

from apmkit.synth import (
    difference_in_differences,
    in_time_placebo,
    leave_one_donor_out,
    synthetic_control,
    synthetic_did,
)
from apmkit.synth.comparison import Comparison, fit
from apmkit.synth.weights import SyntheticDidWeights

ENTRY = {
    "sdid": synthetic_did,
    "sc": synthetic_control,
    "did": difference_in_differences,
}


def effect(estimate):
    return estimate.table["estimate"].iloc[0]


def losses(prop99, omega, zeta):
    """Mean squared distance of centred and of raw paths before 1989, with the ridge, for weights by state."""
    comparison = Comparison.of(prop99)
    y = comparison.outcomes[:, : comparison.n_pre]
    weights = np.array([omega[unit] for unit in prop99.units[comparison.donors]])
    weights = weights / weights.sum()
    gap = y[comparison.treated[0]] - weights @ y[comparison.donors]
    ridge = zeta**2 * weights @ weights
    return np.square(gap - gap.mean()).mean() + ridge, np.square(gap).mean() + ridge


def test_estimates_agree_with_synthdid_as_far_as_its_solver_goes(prop99, expected, agrees):
    r = "R synthdid 0.0.9"
    sdid, did = effect(synthetic_did(prop99)), effect(difference_in_differences(prop99))
    agrees(did, expected["synthdid.prop99.did"]["estimate"], within=1e-10, what="difference_in_differences",
           package=r, case="synthdid.prop99.did")  # fmt: skip
    # Frank-Wolfe stops early; the donor weights here have a lower loss.
    agrees(sdid, expected["synthdid.prop99.sdid"]["estimate"], within=2e-4, what="synthetic_did", package=r,
           case="synthdid.prop99.sdid")  # fmt: skip
    assert sdid == pytest.approx(expected["synthdid.prop99.sdid"]["estimate"], abs=0.01)


def test_estimates_round_to_the_published_ones(prop99, expected):
    published = expected["published.prop99"]
    assert effect(difference_in_differences(prop99)) == pytest.approx(published["did"], abs=5e-4)
    assert effect(synthetic_did(prop99)) == pytest.approx(published["sdid"], abs=0.01)
    # The published synthetic control stops short of the optimum, as the test of its loss below shows.
    assert effect(synthetic_control(prop99)) == pytest.approx(published["sc"], abs=0.11)


def test_regularisation_and_time_weights_equal_those_of_synthdid(prop99, expected, agrees):
    estimate = synthetic_did(prop99, placebo=None)
    r = expected["synthdid.prop99.sdid"]
    ours = [estimate.diagnostics["zeta_omega"], estimate.diagnostics["zeta_lambda"]]
    agrees(ours, [r["zeta_omega"], r["zeta_lambda"]], within=1e-10, what="synthetic_did", package="R synthdid 0.0.9",
           case="regularisation")  # fmt: skip
    agrees(estimate.details["time_weights"]["weight"], r["lambda"], within=1e-6, what="synthetic_did",
           package="R synthdid 0.0.9", case="time weights")  # fmt: skip


def test_synthetic_did_weights_agree_with_synthdid_at_a_loss_no_higher(prop99, expected):
    estimate = synthetic_did(prop99, placebo=None)
    r = expected["synthdid.prop99.sdid"]
    ours = estimate.details["donor_weights"].set_index("unit")["weight"]
    assert max(abs(ours[unit] - weight) for unit, weight in r["omega"].items()) < 0.005
    assert losses(prop99, ours, r["zeta_omega"])[0] <= losses(prop99, r["omega"], r["zeta_omega"])[0]


def test_synthetic_control_is_the_optimum_that_synthdid_stops_short_of(prop99, expected):
    estimate = synthetic_control(prop99)
    ours = estimate.details["donor_weights"].set_index("unit")["weight"]
    r = expected["synthdid.prop99.sc"]["omega"]
    assert losses(prop99, ours, 0)[1] < losses(prop99, r, 0)[1]
    assert effect(estimate) == pytest.approx(-19.514, abs=5e-4)
    assert losses(prop99, ours, 0)[1] == pytest.approx(estimate.diagnostics["pre_rmspe"] ** 2, rel=1e-12)


@pytest.mark.parametrize(
    ("method", "entries"),
    [
        ("sdid", [f"synthdid.prop99.sdid.placebo_se.seed{i}" for i in (1, 2, 3)]),
        ("sc", ["synthdid.prop99.sc.placebo_se"]),
        ("did", ["synthdid.prop99.did.placebo_se"]),
    ],
)
def test_placebo_standard_error_lies_within_the_monte_carlo_error_of_synthdid(prop99, expected, method, entries):
    estimate = ENTRY[method](prop99)
    effects = estimate.details["variance_placebos"]["estimate"]
    # R draws 200 of the 38 placebos with replacement; this is the standard error of its standard deviation.
    deviations = np.square(effects - effects.mean())
    monte_carlo = deviations.std() / np.sqrt(200) / (2 * effects.std())
    for entry in entries:
        assert estimate.table["se"].iloc[0] == pytest.approx(expected[entry], abs=3 * monte_carlo)


@pytest.mark.parametrize("method", ENTRY.values())
def test_placebo_table_gives_the_rank_the_p_value_and_the_standard_error(prop99, method):
    estimate = method(prop99)
    placebos, diagnostics = estimate.details["placebos"], estimate.diagnostics
    assert len(placebos) == 38
    statistic = placebos["ratio"] if method is synthetic_control else placebos["estimate"].abs()
    above = (statistic >= diagnostics["statistic"]).sum()
    assert diagnostics["rank"] == 1 + above
    assert estimate.table["p_value"].iloc[0] == pytest.approx((1 + above) / 39)
    assert diagnostics["p_value_floor"] == pytest.approx(1 / 39)
    assert estimate.table["se"].iloc[0] == pytest.approx(estimate.details["variance_placebos"]["estimate"].std(ddof=0))
    assert sorted([diagnostics["rank"], *placebos["rank"]]) == list(range(1, 40))
    gaps = estimate.details["placebo_gaps"].pivot(index="unit", columns="period", values="gap")
    np.testing.assert_allclose(gaps.loc[placebos["unit"], 1989:].mean(axis=1), placebos["estimate"])


@pytest.mark.parametrize("method", ENTRY.values())
def test_a_permuted_placebo_is_the_method_with_california_among_the_donors(prop99, method):
    permuted = prop99.restrict(prop99.units != "")
    permuted.cohorts = np.where(permuted.units == "Nevada", 1989.0, np.inf)
    placebo = method(prop99).details["placebos"].set_index("unit").loc["Nevada", "estimate"]
    assert placebo == pytest.approx(effect(method(permuted, placebo=None)), abs=1e-9)


def test_a_placebo_in_space_is_the_method_applied_to_the_panel_without_california(prop99):
    without = prop99.restrict(prop99.units != "California")
    without.cohorts = np.where(without.units == "Nevada", 1989.0, np.inf)
    for method in (synthetic_control, difference_in_differences):
        estimate = method(prop99, placebo="in_space")
        placebo = estimate.details["placebos"].set_index("unit").loc["Nevada", "estimate"]
        assert placebo == pytest.approx(effect(method(without, placebo=None)), abs=1e-6)
        spread = method(prop99).details["variance_placebos"].set_index("unit").loc["Nevada", "estimate"]
        assert spread == placebo


def test_the_variance_of_synthetic_did_keeps_the_regularisation_of_the_estimate_as_in_synthdid(prop99):
    estimate = synthetic_did(prop99)
    without = prop99.restrict(prop99.units != "California")
    without.cohorts = np.where(without.units == "Nevada", 1989.0, np.inf)
    comparison = Comparison.of(without)
    weigh = SyntheticDidWeights(12**0.25, Comparison.of(prop99).noise)
    nevada = fit(comparison, weigh, comparison.treated[None], comparison.donors[None])
    placebo = estimate.details["variance_placebos"].set_index("unit").loc["Nevada", "estimate"]
    assert placebo == pytest.approx(nevada.effect[0], abs=1e-9)


@pytest.mark.parametrize("method", ENTRY.values())
def test_path_holds_the_treated_outcomes_and_gaps_that_average_to_the_estimate(prop99, method):
    estimate = method(prop99, placebo=None)
    path = estimate.details["path"].set_index("period")
    np.testing.assert_allclose(path["treated"], prop99.outcomes[prop99.units == "California"][0])
    np.testing.assert_allclose(path["treated"] - path["synthetic"], path["gap"], atol=1e-10)
    assert path.loc[1989:, "gap"].mean() == pytest.approx(effect(estimate))
    if method is synthetic_control:
        weights = estimate.details["donor_weights"].set_index("unit")["weight"].reindex(prop99.units, fill_value=0)
        np.testing.assert_allclose(path["synthetic"], weights.to_numpy() @ prop99.outcomes, atol=1e-9)
    else:
        time_weights = estimate.details["time_weights"].set_index("period")["weight"]
        assert (path["gap"].loc[:1988] * time_weights).sum() == pytest.approx(0, abs=1e-10)


def test_in_time_placebo_uses_no_period_after_the_true_start(prop99):
    estimate = in_time_placebo(prop99, 1980)
    assert estimate.details["path"]["period"].iloc[-1] == 1988
    assert estimate.diagnostics["n_pre_periods"] == 10
    assert estimate.table["p_value"].iloc[0] > 0.1
    assert abs(effect(estimate)) < abs(effect(synthetic_control(prop99))) / 2


@pytest.mark.parametrize("method", ENTRY.values())
def test_leaving_one_donor_out_is_the_estimate_on_the_panel_without_it(prop99, method):
    table = leave_one_donor_out(prop99, method=method)
    weights = method(prop99, placebo=None).details["donor_weights"]
    assert list(table["unit"]) == list(weights.loc[weights["weight"] > 0, "unit"])
    last = table.iloc[-1]
    alone = method(prop99.restrict(prop99.units != last["unit"]), placebo=None)
    assert last["estimate"] == pytest.approx(effect(alone))
