"""Claims that hold for any data: invariance, known effects, the reach of placebo inference, and refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from apmkit.errors import DesignWarning, EstimationError, PanelError
from apmkit.panel import Panel
from apmkit.synth import (
    augmented_synthetic_control,
    difference_in_differences,
    in_time_placebo,
    leave_one_donor_out,
    synthetic_control,
    synthetic_did,
)


def synthetic_control_with_intercept(panel, **options):
    return synthetic_control(panel, intercept=True, **options)


def augmented_with_intercept(panel, **options):
    return augmented_synthetic_control(panel, intercept=True, **options)


METHODS = (
    synthetic_control,
    synthetic_control_with_intercept,
    augmented_with_intercept,
    synthetic_did,
    difference_in_differences,
)
seeds = st.integers(0, 10_000)
few = settings(max_examples=4, deadline=None)
pytestmark = pytest.mark.filterwarnings("ignore:.*(withheld|misses the treated):apmkit.errors.DesignWarning")


def simulate(seed=0, n_donors=9, n_pre=10, n_post=4, n_treated=1, effect=0.0, noise=0.3):
    """Units on two common factors; the first `n_treated` gain `effect` after `n_pre` periods."""
    rng = np.random.default_rng(seed)
    n, n_periods = n_donors + n_treated, n_pre + n_post
    factors = rng.normal(size=(2, n_periods)).cumsum(axis=1)
    loadings = rng.uniform(size=(n, 2))
    loadings[:n_treated] = 0.5
    outcome = 20 + loadings @ factors + rng.normal(scale=noise, size=(n, n_periods))
    outcome[:n_treated, n_pre:] += effect
    unit, time = np.divmod(np.arange(n * n_periods), n_periods)
    return pd.DataFrame(
        {
            "unit": np.array([f"u{i:02d}" for i in range(n)])[unit],
            "year": 2000 + time,
            "y": outcome.ravel(),
            "start": np.where(unit < n_treated, 2000.0 + n_pre, np.nan),
        }
    )


def panel_of(frame, **options):
    return Panel(frame, unit="unit", time="year", outcome="y", cohort="start", **options)


def numbers(estimate):
    return estimate.table[["estimate", "se", "ci_low", "ci_high", "p_value"]].to_numpy()[0]


@few
@given(seed=seeds)
def test_order_of_rows_and_names_of_units_change_nothing(seed):
    frame = simulate(seed)
    names = {name: f"v{(7 * i + 3) % 10}" for i, name in enumerate(frame["unit"].unique())}
    shuffled = frame.sample(frac=1, random_state=seed).assign(unit=lambda f: f["unit"].map(names))
    for method in METHODS:
        one, other = method(panel_of(frame)), method(panel_of(shuffled))
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-6, atol=1e-8)
        weights = one.details["donor_weights"].set_index("unit")["weight"].rename(names)
        np.testing.assert_allclose(
            other.details["donor_weights"].set_index("unit")["weight"][weights.index], weights, atol=1e-6
        )


@few
@given(seed=seeds, factor=st.sampled_from([1e-3, 0.74, 1e6]), shift=st.sampled_from([-1990, 500]))
def test_currency_scales_and_later_years_shift_the_result(seed, factor, shift):
    frame = simulate(seed)
    moved = frame.assign(y=factor * frame["y"], year=frame["year"] + shift, start=frame["start"] + shift)
    for method in METHODS:
        one, other = method(panel_of(frame)), method(panel_of(moved))
        np.testing.assert_allclose(numbers(other)[:4], factor * numbers(one)[:4], rtol=1e-6, atol=1e-8 * factor)
        assert numbers(other)[4] == numbers(one)[4]
        assert (other.details["path"]["period"] - one.details["path"]["period"] == shift).all()


@few
@given(seed=seeds)
def test_a_hundred_million_added_to_every_outcome_changes_nothing(seed):
    frame = simulate(seed)
    for method in METHODS:
        one, other = method(panel_of(frame)), method(panel_of(frame.assign(y=frame["y"] + 1e8)))
        np.testing.assert_allclose(numbers(other)[:4], numbers(one)[:4], atol=1e-5)


@few
@given(seed=seeds)
def test_a_donor_equal_to_the_treated_unit_takes_all_the_weight(seed):
    frame = simulate(seed)
    frame.loc[frame["unit"] == "u03", "y"] = frame.loc[frame["unit"] == "u00", "y"].to_numpy()
    estimate = synthetic_control(panel_of(frame))
    weights = estimate.details["donor_weights"].set_index("unit")["weight"]
    assert weights["u03"] == pytest.approx(1, abs=1e-9)
    assert numbers(estimate)[0] == pytest.approx(0, abs=1e-9)
    assert estimate.diagnostics["effective_donors"] == pytest.approx(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_treated", [1, 3])
def test_a_known_effect_is_found(method, n_treated):
    effects = [
        numbers(method(panel_of(simulate(seed, effect=5.0, n_treated=n_treated)), placebo=None))[0]
        for seed in range(40)
    ]
    assert np.mean(effects) == pytest.approx(5, abs=4 * np.std(effects) / np.sqrt(40))
    assert np.std(effects) < 1.5


@pytest.mark.parametrize("method", METHODS)
def test_a_large_effect_reaches_the_floor_of_the_p_value_and_not_less(method):
    panel = panel_of(simulate(effect=50.0, n_donors=8))
    assert numbers(method(panel))[4] in (pytest.approx(1 / 9), pytest.approx(2 / 9))
    estimate = method(panel, placebo="in_space")
    assert numbers(estimate)[4] == pytest.approx(1 / 9)
    assert estimate.diagnostics["p_value_floor"] == pytest.approx(1 / 9)
    assert estimate.diagnostics["rank"] == 1


@few
@given(seed=seeds)
def test_a_constant_added_to_one_unit_changes_nothing_where_distances_may_differ(seed):
    frame = simulate(seed)
    moved = frame.assign(y=frame["y"] + frame["unit"].map({"u00": 40.0, "u04": -7.0}).fillna(0))
    for method in METHODS[1:]:
        np.testing.assert_allclose(numbers(method(panel_of(moved))), numbers(method(panel_of(frame))), atol=1e-6)


@few
@given(seed=seeds)
def test_a_second_copy_of_every_donor_changes_no_effect(seed):
    frame = simulate(seed)
    copies = frame[frame["start"].isna()].assign(unit=lambda f: f["unit"] + "b")
    for method in (synthetic_control, synthetic_control_with_intercept, augmented_with_intercept,
                   difference_in_differences):  # fmt: skip
        one = method(panel_of(frame), placebo=None)
        other = method(panel_of(pd.concat([frame, copies])), placebo=None)
        assert numbers(other)[0] == pytest.approx(numbers(one)[0], abs=1e-5)


@pytest.mark.parametrize("method", [synthetic_did, difference_in_differences])
def test_the_jackknife_leaves_out_each_unit_with_weights_kept(method):
    frame = simulate(n_treated=3)
    full = method(panel_of(frame), variance="jackknife")
    weights = full.details["donor_weights"].set_index("unit")["weight"]
    time_weights = full.details["time_weights"]["weight"].to_numpy()
    wide = frame.pivot(index="unit", columns="year", values="y")
    treated = ["u00", "u01", "u02"]
    left_out = []
    for unit in wide.index:
        donors = weights.drop(unit, errors="ignore")
        gap = wide.loc[[u for u in treated if u != unit]].mean() - (donors / donors.sum()) @ wide.loc[donors.index]
        left_out.append(gap.iloc[10:].mean() - gap.iloc[:10] @ time_weights)
    n = len(wide)
    assert full.table["se"].iloc[0] == pytest.approx(np.sqrt((n - 1) ** 2 / n * np.var(left_out, ddof=1)), rel=1e-9)
    z = abs(full.table["estimate"].iloc[0]) / full.table["se"].iloc[0]
    assert full.table["p_value"].iloc[0] == pytest.approx(2 * norm.sf(z))


@pytest.mark.filterwarnings("ignore")
def test_the_jackknife_agrees_with_diff_diff_as_far_as_its_solver_goes(agrees):
    from diff_diff import SyntheticDiD

    frame = simulate(n_treated=3)
    theirs = SyntheticDiD(variance_method="jackknife").fit(
        frame.assign(ever=frame["start"].notna().astype(int)),
        outcome="y", treatment="ever", unit="unit", time="year", post_periods=[2010, 2011, 2012, 2013],
    )  # fmt: skip
    ours = numbers(synthetic_did(panel_of(frame), variance="jackknife"))
    agrees(ours[:2], [theirs.att, theirs.se], within=1e-4, what="synthetic_did", package="diff-diff 3.13.0",
           case="three treated units, jackknife")  # fmt: skip


def test_the_bootstrap_of_difference_in_differences_is_that_of_two_means():
    frame = simulate(n_treated=6, n_donors=12)
    wide = frame.pivot(index="unit", columns="year", values="y").to_numpy()
    change = wide[:, 10:].mean(axis=1) - wide[:, :10].mean(axis=1)
    exact = np.sqrt(change[:6].var() / 6 + change[6:].var() / 12)
    estimate = difference_in_differences(panel_of(frame), variance="bootstrap", draws=2_000)
    # Random group sizes add a little to the variance of two independent means.
    assert estimate.table["se"].iloc[0] == pytest.approx(exact, rel=0.12)
    again = difference_in_differences(panel_of(frame), variance="bootstrap", draws=2_000)
    assert numbers(estimate)[1] == numbers(again)[1]


@pytest.mark.parametrize("variance", ["jackknife", "bootstrap"])
def test_one_treated_unit_has_no_variance_over_units(variance):
    with pytest.raises(EstimationError, match=f"One unit, 'u00'.*variance='{variance}' needs two treated units"):
        synthetic_did(panel_of(simulate()), variance=variance)


@pytest.mark.parametrize("method", METHODS)
def test_a_bad_fit_withholds_p_value_and_interval_and_says_why(method):
    frame = simulate()
    with pytest.warns(DesignWarning, match="p-value and interval are withheld.*raise max_pre_fit"):
        refused = method(panel_of(frame), max_pre_fit=1e-3)
    judged = method(panel_of(frame), max_pre_fit=np.inf)
    assert numbers(refused)[0] == numbers(judged)[0]
    assert np.isnan(numbers(refused)[1:]).all()
    assert np.isfinite(numbers(judged)).all()
    assert refused.diagnostics["withheld"].startswith(refused.estimator)
    assert "withheld" not in judged.diagnostics


def test_distance_before_is_one_for_the_typical_donor_against_the_mean_of_all():
    frame = simulate(n_donors=8)
    panel = panel_of(frame)
    before = panel.outcomes[1:, :10]
    squares = []
    for unit in range(8):
        own = before[unit] - before.mean(axis=0)
        squares.append(np.square(own).mean())
    spread = synthetic_control(panel, placebo=None).diagnostics
    assert np.sqrt(np.mean(squares)) == pytest.approx(spread["pre_rmspe"] / spread["pre_fit"], rel=0.1)


def test_several_treated_units_are_averaged_and_placebo_sets_have_their_number():
    frame = simulate(n_treated=2, n_donors=6)
    estimate = synthetic_control(panel_of(frame))
    assert estimate.diagnostics["n_placebos"] == 27
    assert len(estimate.details["variance_placebos"]) == 15
    assert synthetic_control(panel_of(frame), placebo="in_space").diagnostics["n_placebos"] == 15
    treated = frame[frame["unit"].isin(["u00", "u01"])].groupby("year")["y"].mean()
    np.testing.assert_allclose(estimate.details["path"]["treated"], treated)


def test_regularisation_grows_with_the_number_of_treated_observations():
    frame = simulate(n_treated=2, n_post=4)
    zeta = synthetic_did(panel_of(frame), placebo=None).diagnostics["zeta_omega"]
    donors = frame[frame["start"].isna() & (frame["year"] < 2010)]
    changes = donors.sort_values(["unit", "year"]).groupby("unit")["y"].diff().dropna()
    assert zeta == pytest.approx((2 * 4) ** 0.25 * changes.std(), rel=1e-9)


def test_random_placebo_sets_repeat_with_the_seed_and_differ_without():
    panel = panel_of(simulate(n_treated=3, n_donors=12))
    one, same, other = (synthetic_did(panel, draws=50, seed=seed) for seed in (1, 1, 2))
    assert "random sets" in one.diagnostics["inference"]
    assert one.diagnostics["n_placebos"] == 50
    np.testing.assert_array_equal(numbers(one), numbers(same))
    assert numbers(one)[1] != numbers(other)[1]
    assert numbers(one)[0] == numbers(other)[0]


def test_two_donors_give_a_p_value_and_no_standard_error():
    estimate = difference_in_differences(panel_of(simulate(n_donors=2, effect=9.0)))
    assert np.isnan(numbers(estimate)[1:4]).all()
    assert numbers(estimate)[4] == pytest.approx(1 / 3)
    assert "permutation p = 0.333" in estimate.sentence()


def test_as_many_treated_as_donors_leave_no_placebo_among_donors_and_warn():
    panel = panel_of(simulate(n_donors=3, n_treated=3))
    with pytest.warns(DesignWarning, match="No inference: as many treated units as donors"):
        estimate = difference_in_differences(panel, placebo="in_space")
    assert np.isnan(numbers(estimate)[1:]).all()
    assert "placebos" not in estimate.details
    with pytest.warns(DesignWarning, match="No standard error: as many treated units as donors"):
        estimate = difference_in_differences(panel)
    assert np.isnan(numbers(estimate)[1:4]).all()
    assert estimate.diagnostics["p_value_floor"] == pytest.approx(1 / 20)


def test_without_placebo_there_is_no_inference_and_the_estimate_is_the_same():
    panel = panel_of(simulate())
    estimate = synthetic_did(panel, placebo=None)
    assert numbers(estimate)[0] == numbers(synthetic_did(panel))[0]
    assert np.isnan(numbers(estimate)[1:]).all()


def test_an_intercept_takes_up_a_constant_distance_that_donors_cannot_reach():
    frame = simulate(noise=0.05)
    frame.loc[frame["unit"] == "u00", "y"] += 100
    with pytest.warns(DesignWarning, match="p-value and interval are withheld"):
        far = synthetic_control(panel_of(frame))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        near = synthetic_control(panel_of(frame), intercept=True)
    assert numbers(far)[0] == pytest.approx(100, abs=5)
    assert abs(numbers(near)[0]) < 1
    gap = near.details["path"]["gap"]
    assert gap[:10].mean() == pytest.approx(0, abs=1e-10)


def test_results_survive_serialisation_and_another_level():
    estimate = synthetic_control(panel_of(simulate()))
    assert '"p_value_floor"' in estimate.to_json()
    wide = estimate.with_level(0.99)
    assert wide.table["ci_low"].iloc[0] < estimate.table["ci_low"].iloc[0]
    assert wide.table["p_value"].iloc[0] == estimate.table["p_value"].iloc[0]


# -- refusals ----------------------------------------------------------------------------------------------------------


def ragged(frame):
    return frame[~((frame["unit"] == "u04") & (frame["year"] == 2003))]


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (ragged, r"1 of 10 units of 'unit' miss periods: 'u04' \(1 missing, first 2003\); drop them"),
        (lambda f: f.assign(start=np.nan), "No unit is treated"),
        (lambda f: f.assign(start=f["start"].mask(f["unit"] == "u01", 2008.0)), r"2 different periods \(2008, 2010\)"),
        (
            lambda f: f.assign(start=f["start"].mask(f["unit"] == "u00", 2000.0)),
            "starts in 2000, and no earlier period",
        ),
        (lambda f: f[f["unit"].isin(["u00", "u01"])], "has 1 never-treated units"),
    ],
)
def test_panels_that_cannot_serve_are_refused_with_the_remedy(method, change, message):
    with pytest.raises(PanelError, match=message):
        method(panel_of(change(simulate())))


def test_weights_are_refused():
    with pytest.raises(PanelError, match="leave out weights="):
        synthetic_control(panel_of(simulate().assign(w=2.0), weights="w"))


def test_synthetic_did_with_one_period_before_treatment_is_refused():
    with pytest.raises(PanelError, match="Only 2000 lies before treatment"):
        synthetic_did(panel_of(simulate(n_pre=1)))


def predictors_of(frame):
    outcomes = frame.set_index(["year", "unit"])["y"]
    return pd.DataFrame({f"y{year}": outcomes[year] for year in (2000, 2009)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"placebo": "in_time"}, "placebo='in_time' is not known"),
        ({"max_pre_fit": 0}, "max_pre_fit=0 is not above zero"),
        ({"draws": 0}, "draws=0 leaves no placebo"),
        ({"v": [1.0]}, "give predictors too"),
        ({"predictors": [1, 2]}, "must be a DataFrame indexed by 'unit'"),
        ({"predictors": lambda t: t.drop(index="u05")}, "no row for 1 units, first 'u05'"),
        ({"predictors": lambda t: pd.concat([t, t.loc[["u05"]]])}, "several rows for unit 'u05'"),
        ({"predictors": lambda t: t.assign(x="a")}, "Predictor 'x' is of type"),
        ({"predictors": lambda t: t.assign(x=t["y2000"].mask(t.index == "u02"))}, "'x' is missing for unit 'u02'"),
        ({"predictors": lambda t: t.assign(x=1.0)}, "Predictor 'x' is the same for all units"),
        ({"predictors": lambda t: t[[]]}, "predictors has no column"),
        ({"predictors": lambda t: t, "v": [1.0]}, "v has shape"),
        ({"predictors": lambda t: t, "v": [1.0, -1.0]}, "not negative"),
        ({"predictors": lambda t: t, "v_periods": (2011, 2013)}, "choose within 2000 to 2009"),
        ({"predictors": lambda t: t, "intercept": True}, "leave it out when predictors are given"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_the_remedy(options, message):
    frame = simulate()
    if callable(options.get("predictors")):
        options = options | {"predictors": options["predictors"](predictors_of(frame))}
    with pytest.raises(PanelError, match=message):
        synthetic_control(panel_of(frame), **options)


def test_in_time_placebo_outside_the_time_before_treatment_is_refused():
    for period in (2000, 2010):
        with pytest.raises(PanelError, match=r"cannot be a placebo start; those that can: 2001, .*2009"):
            in_time_placebo(panel_of(simulate()), period)


def test_leaving_out_one_of_two_donors_is_refused():
    with pytest.raises(PanelError, match="at least three"):
        leave_one_donor_out(panel_of(simulate(n_donors=2)))
