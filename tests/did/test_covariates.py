"""What covariates may and may not do to effects of cohorts and periods, and what is said of them."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apmkit as apm
from apmkit.did import conditional, doubly_robust
from apmkit.did.kernel import Combination
from apmkit.did.scores import Scores
from apmkit.errors import ApmkitError, DesignWarning, EstimationError

METHODS = ["doubly_robust", "inverse_probability", "outcome_regression"]
NAMES = ["age", "risk"]
few = settings(
    max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32 - 1)
kinds = {
    "method": st.sampled_from(METHODS),
    "unbalanced": st.sampled_from(["pairs", "repeated_cross_sections"]),
    "drop": st.sampled_from([0.0, 0.1]),
    "weights": st.sampled_from([None, "unit", "cell"]),
    "seed": seeds,
}


@pytest.fixture
def adjusted(make_frame):
    """A frame in which the chance of treatment and trends depend on `age` and `risk`."""

    def make(seed=0, n_units=120, discrete=False, **options):
        frame = make_frame(n_units=n_units, n_periods=5, starts=(2012, 2013, None, None), seed=seed, **options)
        x = np.random.default_rng(seed).normal(size=(n_units, 2))
        x = np.round(x).clip(-1, 1) if discrete else x
        frame[NAMES] = x[frame["unit"]]
        frame["age"] += 0.0 if discrete else 0.4 * frame["cohort"].notna()
        return frame.assign(y=frame["y"] + 0.3 * (frame["year"] - 2010) * frame["age"] + 0.2 * frame["risk"])

    return make


@pytest.fixture
def effects(make_panel):
    def estimate(frame, covariates=NAMES, columns=None, **options):
        columns = {"weights": "weight" if "weight" in frame else None, **(columns or {})}
        panel = make_panel(frame, covariates=[name for name in frame if name in (*NAMES, "extra")], **columns)
        return apm.callaway_santanna(panel, covariates=covariates, **options)

    return estimate


def assert_same(one, other, estimate=1.0, atol=1e-10):
    for a, b in ((one, other), *((one.aggregate(by), other.aggregate(by)) for by in ("simple", "event", "cohort"))):
        np.testing.assert_allclose(b.table["estimate"], estimate * a.table["estimate"], rtol=1e-9, atol=atol)
        np.testing.assert_allclose(b.covariance, estimate**2 * a.covariance, rtol=1e-8, atol=atol)


def assert_same_overlap(one, other):
    a, b = (dict(result.diagnostics.get("overlap", {})) for result in (one, other))
    for key in ("lowest", "highest") if a else ():
        assert a.pop(key) == pytest.approx(b.pop(key))
    assert a == b


# -- what does not matter ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
@few
@given(**kinds)
def test_order_of_rows_and_names_of_units_do_not_matter(adjusted, effects, method, unbalanced, drop, weights, seed):
    frame = adjusted(seed, drop=drop, weights=weights)
    names = np.random.default_rng(seed).permutation(120)
    renamed = frame.sample(frac=1, random_state=seed % 1000).assign(unit=lambda f: names[f["unit"]].astype(str))
    design = {"method": method, "unbalanced": unbalanced}
    assert_same(effects(frame, **design), effects(renamed, **design))


@pytest.mark.usefixtures("quiet")
@few
@given(factor=st.sampled_from([-1000.0, 7.0]), shift=st.sampled_from([-1e6, 3.0]), **kinds)
def test_units_of_outcome_and_covariates_do_not_matter(
    adjusted, effects, method, unbalanced, drop, weights, seed, factor, shift
):
    frame = adjusted(seed, drop=drop, weights=weights)
    design = {"method": method, "unbalanced": unbalanced}
    one = effects(frame, **design)
    assert_same(one, effects(frame.assign(y=frame["y"] * factor), **design), factor, atol=1e-10 * factor**2)
    moved = frame.assign(age=frame["age"] * factor + shift, risk=frame["risk"] - frame["age"])
    assert_same(one, effects(moved, **design), atol=1e-8)


@pytest.mark.usefixtures("quiet")
@few
@given(**kinds)
def test_a_level_of_a_hundred_million_does_not_matter(adjusted, effects, method, unbalanced, drop, weights, seed):
    frame = adjusted(seed, drop=drop, weights=weights)
    design = {"method": method, "unbalanced": unbalanced}
    one, other = (effects(frame.assign(y=frame["y"] + level), **design) for level in (0.0, 1e8))
    np.testing.assert_allclose(other.table["estimate"], one.table["estimate"], rtol=0, atol=3e-7)
    np.testing.assert_allclose(other.table["se"], one.table["se"], rtol=0, atol=3e-7)


@pytest.mark.usefixtures("quiet")
@few
@given(**kinds)
def test_a_panel_twice_over_halves_the_variance_and_clusters_of_copies_undo_it(
    adjusted, effects, method, unbalanced, drop, weights, seed
):
    frame = adjusted(seed, drop=drop, weights=weights).assign(original=lambda f: f["unit"])
    twice = pd.concat([frame, frame.assign(unit=frame["unit"] + 1000)], ignore_index=True)
    design = {"method": method, "unbalanced": unbalanced}
    one, two = effects(frame, **design), effects(twice, **design)
    np.testing.assert_allclose(two.table["estimate"], one.table["estimate"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(two.covariance, one.covariance / 2, rtol=1e-8, atol=1e-12)
    assert_same(one, effects(twice, columns={"cluster": "original"}, **design))


@pytest.mark.usefixtures("quiet")
@few
@given(**kinds)
def test_a_constant_covariate_adjusts_for_nothing(adjusted, effects, method, unbalanced, drop, weights, seed):
    frame = adjusted(seed, drop=drop, weights=weights).assign(extra=3.0)
    design = {"method": method, "unbalanced": unbalanced}
    assert_same(effects(frame, (), **design), effects(frame, ["extra"], **design))
    assert_same(effects(frame, **design), effects(frame, [*NAMES, "extra"], **design))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{}, {"drop": 0.01}, {"weights": "unit"}], ids=["plain", "ragged", "weighted"])
@pytest.mark.parametrize("cluster", ["unit", "state"])
def test_strata_of_few_values_give_what_units_give(method, options, cluster, adjusted, effects, monkeypatch):
    frame = adjusted(n_units=1200, discrete=True, **options)
    design = {"method": method, "columns": {"cluster": cluster}, "unbalanced": "repeated_cross_sections"}
    for design["unbalanced"] in ("pairs", "repeated_cross_sections"):
        by_strata = effects(frame, **design)
        assert isinstance(by_strata.combination, Combination)
        with monkeypatch.context() as patch:
            patch.setattr(conditional, "WEIGHTS_KEPT", 0)
            by_units = effects(frame, **design)
        assert isinstance(by_units.combination, Scores)
        assert_same(by_units, by_strata)
        np.testing.assert_allclose(by_strata.influence, by_units.influence, rtol=0, atol=1e-12)
        assert_same_overlap(by_strata, by_units)


@pytest.mark.usefixtures("quiet")
def test_fully_saturated_covariates_make_all_methods_the_mean_of_the_strata(adjusted, effects):
    frame = adjusted(n_units=1200, discrete=True).assign(age=lambda f: (f["age"] > 0).astype(float))
    results = [effects(frame, ["age"], method=method) for method in METHODS]
    for other in results[1:]:
        assert_same(results[0], other)
    parts = [effects(part, ()).table for _, part in frame.groupby("age")]
    sizes = [part.groupby("cohort")["unit"].nunique() for _, part in frame.groupby("age")]
    shares = np.array([size.loc[parts[0]["cohort"]] for size in sizes])
    means = np.average([part["estimate"] for part in parts], axis=0, weights=shares)
    np.testing.assert_allclose(results[0].table["estimate"], means, rtol=0, atol=1e-12)


# -- what a result can do ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
def test_everything_an_estimate_can_do_works_given_covariates(adjusted, effects):
    result = effects(adjusted(), columns={"cluster": "state"})
    influence = result.influence
    np.testing.assert_allclose(influence.T @ influence, result.covariance, rtol=0, atol=1e-14)
    event = result.aggregate("event")
    np.testing.assert_allclose(event.influence.T @ event.influence, event.covariance, rtol=0, atol=1e-14)
    band = event.uniform_band(draws=200)
    assert (band["low"] < event.table["ci_low"]).all()
    assert event.joint_test()["df"] == 2
    assert event.overall.table["se"][0] == pytest.approx(np.sqrt((event.overall.influence**2).sum().iloc[0]))
    assert result.term("ATT(2012, 2013)").table["se"][0] == result.table.set_index("term").loc["ATT(2012, 2013)", "se"]
    with pytest.raises(ApmkitError, match="weights on outcomes of units, not of cohort x period cells"):
        result.weights("ATT(2012, 2013)")


@pytest.mark.usefixtures("quiet")
def test_weights_of_strata_sum_to_one_after_and_minus_one_before(adjusted, effects):
    result = effects(adjusted(n_units=1200, discrete=True))
    cells = result.weights("ATT(2012, 2013)")
    assert cells.loc[2012, 2013] == pytest.approx(1)
    assert cells.loc[2012, 2011] == pytest.approx(-1)
    np.testing.assert_allclose(cells.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(cells.sum(axis=0), 0, atol=1e-12)


@pytest.mark.usefixtures("quiet")
def test_the_call_states_what_departs_from_the_plain_estimator(adjusted, effects):
    result = effects(adjusted(), method="inverse_probability", anticipation=1)
    assert result.call == (
        "callaway_santanna(panel, covariates=['age', 'risk'], method='inverse_probability', anticipation=1, "
        "control='never_treated', base_period='varying', unbalanced='pairs', small_sample='none', level=0.95)"
    )
    assert result.diagnostics["method"] == "inverse_probability"


def test_a_covariate_that_changes_enters_with_its_value_in_the_earlier_period(adjusted, effects):
    frame = adjusted()
    drift = np.random.default_rng(1).normal(size=len(frame))
    changing = frame.assign(age=frame["age"] + drift)
    ours = effects(changing, base_period="universal").table.set_index("term")["estimate"]
    for cohort, period, base in ((2012, 2014, 2011), (2013, 2010, 2012)):
        at = changing[changing["year"] == min(period, base)].set_index("unit")["age"]
        fixed = effects(changing.assign(age=at.loc[changing["unit"]].to_numpy()), base_period="universal")
        term = f"ATT({cohort}, {period})"
        assert ours[term] == pytest.approx(fixed.table.set_index("term")["estimate"][term], abs=1e-12)


# -- anticipation ------------------------------------------------------------------------------------------------------


def test_effects_of_anticipation_are_measured_from_the_last_period_before_it(adjusted, effects):
    frame = adjusted()
    early = effects(frame, anticipation=1).table
    universal = effects(frame, anticipation=1, base_period="universal").table.set_index("term")
    since = early[early["relative_time"] >= -1].set_index("term")
    pd.testing.assert_frame_equal(since, universal.loc[since.index])
    without = effects(frame, ()).table.set_index("term")["estimate"]
    base = frame.groupby(["cohort", "year"], dropna=False)["y"].mean().unstack(level=1)
    never, first = base.iloc[-1], base.loc[2012]
    plain = effects(frame, (), anticipation=1).table.set_index("term")["estimate"]
    assert plain["ATT(2012, 2012)"] == pytest.approx((first - never)[2012] - (first - never)[2010], abs=1e-12)
    assert without["ATT(2012, 2012)"] == pytest.approx((first - never)[2012] - (first - never)[2011], abs=1e-12)


def test_averages_since_treatment_leave_out_the_time_of_anticipation(adjusted, effects):
    result = effects(adjusted(), anticipation=1)
    rows = result.table[result.table["relative_time"] >= 0]
    sizes = {2012: 30, 2013: 30}
    mean = np.average(rows["estimate"], weights=rows["cohort"].map(sizes))
    assert result.aggregate("simple").table["estimate"][0] == pytest.approx(mean)
    event = result.aggregate("event")
    assert set(event.table["relative_time"]) == {-2, -1, 0, 1, 2}
    assert event.overall.table["estimate"][0] == pytest.approx(event.table["estimate"].iloc[2:].mean())
    assert event.joint_test()["df"] == 1


def test_units_about_to_be_treated_are_no_comparison_where_they_anticipate(adjusted, effects):
    # In 2012 the cohort of 2013 anticipates, so only the never treated are left, whatever the control.
    frame = adjusted()
    one, other = (
        effects(frame, anticipation=1, control=control).table.set_index("term")
        for control in ("never_treated", "not_yet_treated")
    )
    pd.testing.assert_series_equal(one.loc["ATT(2012, 2012)"], other.loc["ATT(2012, 2012)"])


def test_cohorts_that_may_anticipate_from_the_start_are_left_out(adjusted, effects):
    with pytest.warns(DesignWarning, match="units that may anticipate treatment from the first period 2010: 30"):
        result = effects(adjusted(), (), anticipation=2)
    assert set(result.table["cohort"]) == {2013}
    with pytest.raises(EstimationError, match="With anticipation=3 no cohort has a period before it anticipates"):
        effects(adjusted(), anticipation=3)


@pytest.mark.parametrize("value", [-1, 0.5, True, "1"])
def test_anticipation_is_a_count(value, adjusted, effects):
    with pytest.raises(EstimationError, match=r"anticipation=.* is not a count of periods"):
        effects(adjusted(), anticipation=value)


# -- what is refused or said -------------------------------------------------------------------------------------------


def test_an_unknown_covariate_or_method_is_named(adjusted, effects):
    with pytest.raises(
        EstimationError, match=r"covariates names 'income', which is no covariate of the panel \(there: age, risk\)"
    ):
        effects(adjusted(), ["income"])
    with pytest.raises(EstimationError, match="method='ipw' is not known: give 'doubly_robust' or 'inverse_prob"):
        effects(adjusted(), method="ipw")


def test_a_covariate_that_follows_from_others_is_named(adjusted, effects):
    frame = adjusted().assign(extra=lambda f: f["age"] - 2 * f["risk"] + 1)
    with pytest.raises(EstimationError, match="Covariate 'extra' follows from 'age' and 'risk': leave one of them out"):
        effects(frame, [*NAMES, "extra"])


def test_a_constant_covariate_is_said_to_adjust_for_nothing(adjusted, effects):
    with pytest.warns(DesignWarning, match="Covariate 'extra' does not vary in the estimation sample"):
        effects(adjusted().assign(extra=1.0), ["extra"])


def test_perfect_separation_leaves_no_effect_and_says_so(adjusted, effects):
    frame = adjusted().assign(extra=lambda f: f["cohort"].notna() + 0.1 * f["risk"].clip(-1, 1))
    for method in ("doubly_robust", "inverse_probability"):
        with pytest.raises(
            EstimationError, match=r"Covariates extra leave no effect .* propensity score reaches 0.999"
        ):
            effects(frame, ["extra"], method=method)


def test_effects_without_overlap_are_left_out_and_named(adjusted, effects):
    frame = adjusted().assign(extra=lambda f: (f["cohort"] == 2012) * 1.0 + 0.1 * f["risk"].clip(-1, 1))
    with pytest.warns(DesignWarning, match=r"effects without overlap, where a propensity score reaches 0.999: 4"):
        result = effects(frame, ["extra"])
    assert set(result.table["cohort"]) == {2013}
    assert set(result.details["overlap"]["term"]) == set(result.table["term"])


def test_units_with_propensity_scores_near_one_are_named(adjusted, effects):
    frame = adjusted(n_units=1000)
    random = np.random.default_rng(0).normal(size=1000)
    frame["extra"] = random[frame["unit"]] + frame["cohort"].notna()
    odd = frame.loc[frame["cohort"].isna(), "unit"].iloc[0]
    frame.loc[frame["unit"] == odd, "extra"] = 8.0
    with pytest.warns(DesignWarning, match=rf"reaches 0.99 for 1 unit \({odd}\).* these 1 comparison units at 0.995"):
        result = effects(frame, ["extra"])
    overlap, table = result.diagnostics["overlap"], result.details["overlap"]
    assert overlap["near_one"] == overlap["trimmed"] == {"count": 1, "first": [str(odd)]}
    assert 0.995 < overlap["highest"] == table["highest_comparison"].max() < 0.999
    assert 0 < overlap["lowest"] == table["lowest"].min()
    assert table["term"].tolist() == result.table["term"].tolist()


def test_a_cohort_too_small_for_its_covariates_is_named(adjusted, effects):
    frame = adjusted()
    last = frame.loc[frame["cohort"] == 2013, "unit"].unique()[5:]
    with pytest.warns(DesignWarning, match="Fewer than 7 units for 2 covariates in cohort 2013: its effects"):
        effects(frame[~frame["unit"].isin(last)])


def test_a_propensity_score_that_does_not_converge_is_an_error_with_a_remedy(adjusted, effects, monkeypatch):
    monkeypatch.setattr(doubly_robust, "STEPS", 2)
    with pytest.raises(EstimationError, match="propensity score of cohort 2012 did not converge: use fewer covariates"):
        effects(adjusted())


def test_results_given_covariates_can_be_kept_as_json(adjusted, effects):
    kept = json.loads(effects(adjusted()).to_json())
    assert kept["diagnostics"]["covariates"] == NAMES
    assert 0 < kept["diagnostics"]["overlap"]["lowest"] < kept["diagnostics"]["overlap"]["highest"] < 1


@pytest.mark.usefixtures("quiet")
def test_too_few_units_to_fit_the_outcome_leave_effects_out(adjusted, effects):
    frame = adjusted()
    few_controls = frame.loc[frame["cohort"].isna(), "unit"].unique()[2:]
    with pytest.raises(
        EstimationError, match="units too few or covariates collinear on one side; use fewer covariates"
    ):
        effects(frame[~frame["unit"].isin(few_controls)], method="outcome_regression")


@pytest.mark.usefixtures("quiet")
def test_a_value_that_only_comparison_units_have_does_no_harm(adjusted, effects):
    # Their propensity score goes to zero and their coefficient to minus infinity: they get no weight.
    frame = adjusted(n_units=400)
    lone = frame.loc[frame["cohort"].isna(), "unit"].unique()[:9]
    frame["extra"] = frame["unit"].isin(lone).astype(float)
    kept = frame[frame["extra"] == 0]
    one = effects(frame, ["age", "extra"], method="inverse_probability")
    other = effects(kept, ["age"], method="inverse_probability")
    np.testing.assert_allclose(one.table["estimate"], other.table["estimate"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(one.table["se"], other.table["se"], rtol=0, atol=1e-8)
