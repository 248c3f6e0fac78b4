"""Ridge-augmented synthetic control: Ben-Michael, Feller & Rothstein (2021)."""

import json
from pathlib import Path

import numpy as np
import pytest

from apmkit.errors import PanelError
from apmkit.synth import augmented_synthetic_control, synthetic_control

EXPECTED = Path(__file__).parents[1] / "expected" / "synth"


@pytest.fixture(scope="module")
def pysyncon():
    return {k: v["values"] for k, v in json.loads((EXPECTED / "pysyncon.json").read_text())["entries"].items()}


@pytest.fixture(scope="module")
def means(basque_frame):
    years = basque_frame[basque_frame["year"].between(1964, 1969)]
    return years.groupby("regionno")[["invest", "school.high", "sec.agriculture"]].mean()


def effect(estimate):
    return estimate.table["estimate"].iloc[0]


def weights(estimate):
    return estimate.details["donor_weights"].set_index("unit")["weight"].sort_index()


def test_the_ridge_chosen_is_that_of_pysyncon(prop99, basque, means, pysyncon, agrees):
    chosen = augmented_synthetic_control(prop99, placebo=None).diagnostics["ridge"]
    with_predictors = augmented_synthetic_control(basque, predictors=means, placebo=None).diagnostics["ridge"]
    theirs = [pysyncon["AugSynth.prop99"]["ridge"], pysyncon["AugSynth.basque.residualized"]["ridge"]]
    agrees([chosen, with_predictors], theirs, within=1e-10, what="augmented_synthetic_control",
           package="pysyncon 1.7.0", case="ridge by cross-validation")  # fmt: skip


def test_with_residualised_predictors_effect_and_weights_agree_with_pysyncon(basque, means, pysyncon, agrees):
    theirs = pysyncon["AugSynth.basque.residualized"]
    ours = augmented_synthetic_control(basque, ridge=theirs["ridge"], predictors=means, placebo=None)
    names = [int(name) for name in theirs["weights"]]
    agrees([effect(ours), *weights(ours)[names]], [theirs["estimate"], *theirs["weights"].values()], within=1e-6,
           what="augmented_synthetic_control", package="pysyncon 1.7.0", case="AugSynth.basque")  # fmt: skip
    balance = ours.details["predictor_balance"]
    np.testing.assert_allclose(balance["synthetic"], balance["treated"], rtol=1e-10)


def test_on_outcomes_effect_and_weights_agree_with_pysyncon_as_far_as_its_solver_goes(prop99, pysyncon, agrees):
    theirs = pysyncon["AugSynth.prop99"]
    ours = augmented_synthetic_control(prop99, ridge=theirs["ridge"], placebo=None)
    names = list(theirs["weights"])
    agrees([effect(ours), *weights(ours)[names]], [theirs["estimate"], *theirs["weights"].values()], within=5e-6,
           what="augmented_synthetic_control", package="pysyncon 1.7.0", case="AugSynth.prop99")  # fmt: skip


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("ridge", [0.5, 400.0])
def test_weights_are_the_dense_formula_on_top_of_the_synthetic_control(prop99, ridge, intercept):
    ours = weights(augmented_synthetic_control(prop99, ridge=ridge, intercept=intercept, placebo=None))
    plain = weights(synthetic_control(prop99, intercept=intercept, placebo=None)).to_numpy()
    before = prop99.outcomes[:, :19]
    if intercept:
        before = before - before.mean(axis=1, keepdims=True)
    california = prop99.units == "California"
    pool, own = before[~california], before[california][0]
    own, pool = own - pool.mean(axis=0), pool - pool.mean(axis=0)
    correction = pool @ np.linalg.solve(pool.T @ pool + ridge * np.eye(19), own - plain @ pool)
    np.testing.assert_allclose(ours, plain + correction, atol=1e-9)
    assert ours.sum() == pytest.approx(1)


def test_cross_validation_is_that_of_refitting_without_each_period(prop99):
    estimate = augmented_synthetic_control(prop99, placebo=None)
    table = estimate.details["cross_validation"]
    errors = []
    for year in prop99.periods[:19]:
        short = prop99.restrict(prop99.units != "", prop99.periods != year)
        w = weights(augmented_synthetic_control(short, ridge=table["ridge"][8], placebo=None))
        row = prop99.outcomes[:, prop99.periods == year][:, 0]
        own = prop99.units == "California"
        errors.append((row[own].item() - w[prop99.units[~own]].to_numpy() @ row[~own]) ** 2)
    assert table["error"][8] == pytest.approx(np.mean(errors), rel=1e-7)
    assert table["se"][8] == pytest.approx(np.std(errors, ddof=1) / np.sqrt(19), rel=1e-7)
    least = table.loc[table["error"].idxmin()]
    allowed = table[table["error"] <= least["error"] + least["se"]]
    assert estimate.diagnostics["ridge"] == allowed["ridge"].max()
    assert augmented_synthetic_control(prop99, rule="min", placebo=None).diagnostics["ridge"] == least["ridge"]


def test_a_huge_ridge_is_the_synthetic_control_and_none_at_all_fits_exactly(prop99):
    huge = augmented_synthetic_control(prop99, ridge=1e14, placebo=None)
    assert effect(huge) == pytest.approx(effect(synthetic_control(prop99, placebo=None)), abs=1e-6)
    assert huge.diagnostics["weight_moved_by_ridge"] < 1e-7
    exact = augmented_synthetic_control(prop99, ridge=0.0, placebo=None)
    assert exact.diagnostics["pre_rmspe"] < 1e-9
    assert exact.diagnostics["negative_weight"] < -0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ridge": -1.0}, "ridge=-1.0 is negative"),
        ({"rule": "two_se"}, "rule='two_se' is not known"),
        ({"predictors": lambda m: m.assign(twice=2 * m["invest"])}, "4 predictors cannot be balanced by 16 donors"),
        ({"predictors": lambda m: m.drop(index=17)}, "no row for 1 units"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_the_remedy(basque, means, options, message):
    if "predictors" in options:
        options = {"predictors": options["predictors"](means)}
    with pytest.raises(PanelError, match=message):
        augmented_synthetic_control(basque, **options)


def test_two_periods_before_treatment_need_a_given_ridge(basque):
    short = basque.restrict(basque.units > 0, basque.periods >= 1968)
    with pytest.raises(PanelError, match="2 periods before treatment are too few to choose a ridge"):
        augmented_synthetic_control(short)
    assert np.isfinite(effect(augmented_synthetic_control(short, ridge=1.0, placebo=None)))
