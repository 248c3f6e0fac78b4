"""The model of effort reproduces its studies, solves the problem it states, and moves as theory says."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import (
    PaymentTerms,
    calibrate_effort,
    ontario_fhg,
    ontario_fho,
    respond_practices,
    reward_one_task,
    rulebook,
    synthetic_practices,
)

# As printed in the abstracts: change from FHG to FHO, and its 95 % interval.
PUBLISHED = {
    "some_2020": {"services": -0.15, "after_hours": 0.08, "outside_basket": 0.15, "not_enrolled": -0.05},
    "hong_2024": {"services": -0.14, "after_hours": -0.27, "ed_less_urgent": 0.27, "ed_urgent": 0.10},
}
INTERVALS = {
    "services": (-0.15, -0.13),
    "after_hours": (-0.29, -0.25),
    "ed_less_urgent": (0.23, 0.31),
    "ed_urgent": (0.07, 0.13),
}
MODELS = {scenario: calibrate_effort(scenario) for scenario in PUBLISHED}
SAME = {"shadow_billing_premium": 1.0, "fhg.comprehensive_premium": 0.0}
scenarios = st.sampled_from(sorted(PUBLISHED))
shares = st.floats(0, 1)
premiums = st.floats(0, 2)


def changes(model, *terms):
    table = model.respond(terms)
    outcomes = table["outcome"].unique()
    values = table["change"].to_numpy().reshape(len(terms), len(outcomes))
    return [dict(zip(outcomes, row, strict=True)) for row in values]


@pytest.mark.parametrize("scenario", PUBLISHED)
@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
def test_each_study_is_reproduced_exactly_whatever_the_untested_assumption(scenario, ratio):
    model = calibrate_effort(scenario, relative_elasticity=ratio)
    found = model.respond(model.after).set_index("outcome")["change"]
    for outcome, change in PUBLISHED[scenario].items():
        assert found[outcome] == pytest.approx(change, abs=1e-12), outcome
    assert found["regular_hours"] * 0.91 + found["after_hours"] * 0.09 == pytest.approx(found["services"], abs=1e-12)


@pytest.mark.parametrize("scenario", PUBLISHED)
def test_nothing_changes_under_the_terms_of_before(scenario):
    model = MODELS[scenario]
    assert np.abs(model.respond(model.before)["change"]).max() < 1e-12


@pytest.mark.parametrize("scenario", PUBLISHED)
def test_only_what_a_study_measured_is_predicted(scenario):
    outcomes = set(MODELS[scenario].respond(PaymentTerms(0.5))["outcome"])
    assert outcomes == {"regular_hours", *PUBLISHED[scenario], "referrals"}


@pytest.mark.parametrize("scenario", PUBLISHED)
def test_referrals_rise_as_services_fall_by_a_third_study_and_say_that_this_is_untested(scenario):
    model = MODELS[scenario]
    # Sarma et al. (2018): 5 to 7 % more a year after the same move.
    half, full = changes(model, PaymentTerms(0.5, 0.3), model.after)
    assert full["referrals"] == pytest.approx(0.06)
    assert half["referrals"] / half["services"] == pytest.approx(full["referrals"] / full["services"])
    assert any("assumed and untested" in note for note in model.notes)
    table = model.respond(model.after).set_index("outcome")
    assert table.loc["referrals", ["ci_low", "ci_high"]].isna().all()


def test_intervals_are_those_published_and_missing_where_none_are():
    hong = MODELS["hong_2024"].respond(MODELS["hong_2024"].after).set_index("outcome")
    for outcome, (low, high) in INTERVALS.items():
        assert hong.loc[outcome, ["ci_low", "ci_high"]].tolist() == pytest.approx([low, high], abs=0.003), outcome
    some = MODELS["some_2020"].respond(MODELS["some_2020"].after)
    assert some[["ci_low", "ci_high"]].isna().all(axis=None)


def test_intervals_are_wider_at_a_higher_level_and_the_same_for_the_same_seed():
    model, terms = MODELS["hong_2024"], PaymentTerms(1.0)
    narrow, wide, again = (model.respond(terms, level=level) for level in (0.5, 0.95, 0.95))
    wider = wide["ci_high"] - wide["ci_low"] > narrow["ci_high"] - narrow["ci_low"]
    assert wider.equals(wide["outcome"] != "referrals")
    assert wide.equals(again)


@pytest.mark.parametrize("scenario", PUBLISHED)
@pytest.mark.parametrize("terms", [PaymentTerms(0.85, 0.3), PaymentTerms(0.3, 1.0), PaymentTerms(1.0)])
def test_the_response_is_the_work_that_a_numerical_search_finds_best(scenario, terms):
    model = MODELS[scenario]

    def loss(work):
        return -(terms.prices + model.intrinsic) @ work + work @ model.cost @ work / 2

    best = optimize.minimize(loss, model.work, method="BFGS", options={"gtol": 1e-10}).x
    found = model.respond(terms).set_index("outcome")["change"]
    assert found[["regular_hours", "after_hours"]].tolist() == pytest.approx(best / model.work - 1, abs=1e-6)


@pytest.mark.parametrize("scenario", PUBLISHED)
def test_costs_are_convex_and_own_elasticities_have_the_ratio_assumed(scenario):
    model = calibrate_effort(scenario, relative_elasticity=1.5)
    assert (np.linalg.eigvalsh(model.cost) > 0).all()
    own = np.diag(model.elasticities)
    assert own[1] / own[0] == pytest.approx(1.5)


def test_with_equal_elasticities_the_studies_disagree_on_whether_tasks_compete():
    assert MODELS["some_2020"].cost[0, 1] > 0
    assert MODELS["hong_2024"].cost[0, 1] < 0
    assert calibrate_effort("hong_2024", relative_elasticity=3.0).cost[0, 1] > 0


@settings(max_examples=60, deadline=None)
@given(scenarios, shares, shares, premiums)
def test_more_capitation_never_brings_more_services(scenario, one, other, premium):
    low, high = sorted((one, other))
    less, more = changes(MODELS[scenario], PaymentTerms(low, premium), PaymentTerms(high, premium))
    assert more["services"] <= less["services"] + 1e-12
    assert more["regular_hours"] <= less["regular_hours"] + 1e-12


@settings(max_examples=60, deadline=None)
@given(scenarios, shares, premiums, premiums)
def test_a_higher_premium_after_hours_never_brings_less_work_after_hours(scenario, share, one, other):
    low, high = sorted((one, other))
    less, more = changes(MODELS[scenario], PaymentTerms(share, low), PaymentTerms(share, high))
    assert more["after_hours"] >= less["after_hours"] - 1e-12


@settings(max_examples=60, deadline=None)
@given(scenarios, shares, premiums, premiums)
def test_no_task_falls_below_nothing_under_any_terms(scenario, share, premium, comprehensive):
    (found,) = changes(MODELS[scenario], PaymentTerms(share, premium, comprehensive))
    assert found["regular_hours"] > -1
    assert found["after_hours"] > -1


def test_prices_come_from_the_rules_and_doubtful_ones_are_named():
    rules = rulebook("ontario")
    terms = rules.on("2012-04-01")
    model = MODELS["hong_2024"]
    assert model.after.prices[0] == pytest.approx(terms["shadow_billing_premium"])
    assert model.before.prices[0] == pytest.approx(1 + terms["fhg.comprehensive_premium"])
    assert "after_hours_premium" in " ".join(model.notes)
    dearer = calibrate_effort("hong_2024", rules=rules.with_values({"shadow_billing_premium": 0.5}))
    # A smaller loss of pay with the same loss of services: a stronger response to prices.
    assert dearer.elasticities.iloc[0, 0] > model.elasticities.iloc[0, 0]
    assert "user" in set(dearer.rules["status"])


@pytest.fixture(scope="module")
def practices():
    return synthetic_practices("Ontario", n_practices=6, patients_per_physician=150, seed=3)


def test_practices_respond_as_the_model_says(practices):
    model = MODELS["hong_2024"]
    after = respond_practices(practices, model, model.after)
    enrolled = practices.patient("enrolled") == 1

    def ratio(column, rows=enrolled):
        return after.patient(column)[rows].sum() / practices.patient(column)[rows].sum() - 1

    change = model.respond(model.after).set_index("outcome")["change"]
    assert ratio("visits_after_hours") == pytest.approx(-0.27)
    assert ratio("fees_after_hours") == pytest.approx(-0.27)
    regular = (after.patient("visits") - after.patient("visits_after_hours"))[enrolled].sum()
    before = (practices.patient("visits") - practices.patient("visits_after_hours"))[enrolled].sum()
    assert regular / before - 1 == pytest.approx(change["regular_hours"])
    assert ratio("ed_visits_less_urgent", slice(None)) == pytest.approx(0.27)
    for column in ("visits", "fees", "fees_outside_basket"):
        kept = slice(None) if column == "fees_outside_basket" else ~enrolled
        assert ratio(column, kept) == pytest.approx(0, abs=1e-12)
    assert after.synthetic


def test_services_outside_the_basket_and_patients_not_enrolled_respond_only_in_the_study_that_measured_them(practices):
    model = MODELS["some_2020"]
    after = respond_practices(practices, model, model.after)
    others = practices.patient("enrolled") == 0
    assert after.patient("visits")[others].sum() / practices.patient("visits")[others].sum() == pytest.approx(0.95)
    outside = after.patient("fees_outside_basket").sum() / practices.patient("fees_outside_basket").sum()
    assert outside == pytest.approx(1.15)
    assert (after.patient("ed_visits") == practices.patient("ed_visits")).all()


@pytest.mark.parametrize("scenario", PUBLISHED)
def test_a_response_changes_fee_pay_by_more_than_blended_capitation(practices, scenario):
    model = MODELS[scenario]
    after = respond_practices(practices, model, model.after)
    lost = {
        engine: engine(after, on="2012-04-01").total.sum() / engine(practices, on="2012-04-01").total.sum() - 1
        for engine in (ontario_fhg, ontario_fho)
    }
    assert lost[ontario_fhg] < lost[ontario_fho]


def test_a_reward_of_one_task_moves_effort_from_the_other_and_can_lower_the_outcome():
    table = reward_one_task([0.0, 0.5, 1.0])
    intermediate, overall = (table[table["rewarded"] == name].reset_index() for name in ("intermediate", "global"))
    assert intermediate["measured"].is_monotonic_increasing
    assert intermediate["unmeasured"].is_monotonic_decreasing
    assert intermediate["outcome"].iloc[-1] < 1 < overall["outcome"].iloc[-1]
    # By hand: elasticity 0.3, substitution 0.6, weight 0.3 and reward 1.
    assert intermediate.loc[2, ["measured", "unmeasured"]].tolist() == pytest.approx([1.3, 0.82])
    assert intermediate.loc[2, "outcome"] == pytest.approx(0.3 * 1.3 + 0.7 * 0.82)
    assert overall.loc[2, "measured"] == pytest.approx(1 + 0.3 * (0.3 - 0.6 * 0.7))


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 0.95), st.floats(0, 1))
def test_rewarding_the_outcome_never_lowers_it_and_one_task_does_where_tasks_compete_enough(substitution, weight):
    table = reward_one_task([0.0, 1.0], substitution=substitution, weight=weight)
    intermediate, overall = (
        table.query("rewarded == @name and reward == 1")["outcome"].item() for name in ("intermediate", "global")
    )
    assert overall >= 1 - 1e-12
    gain = weight - (1 - weight) * substitution
    assert np.sign(round(intermediate - 1, 12)) == np.sign(round(0.3 * gain, 12))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: PaymentTerms(85), "85 % is 0.85"),
        (lambda: PaymentTerms(-0.1), "from 0 to 1"),
        (lambda: PaymentTerms("all"), "from 0 to 1"),
        (lambda: PaymentTerms(float("nan")), "from 0 to 1"),
        (lambda: PaymentTerms(0.85, 30), "30 % is 0.3"),
        (lambda: calibrate_effort("average"), "write some_2020 or hong_2024"),
        (lambda: calibrate_effort("some_2020", after_hours_share=9), "0.09 for 9 %"),
        (lambda: calibrate_effort("some_2020", relative_elasticity=0), "above 0"),
        (lambda: calibrate_effort("some_2020", relative_elasticity=40), "no convex cost"),
        (lambda: calibrate_effort("some_2020", rules={}), "give a Rulebook"),
        (lambda: respond_practices(None, MODELS["some_2020"], PaymentTerms(1)), "Practices are needed"),
        (lambda: respond_practices(synthetic_practices(n_practices=1), "some_2020", PaymentTerms(1)), "EffortModel"),
        (
            lambda: respond_practices(synthetic_practices(n_practices=1), MODELS["some_2020"], [PaymentTerms(1)]),
            "alone",
        ),
        (lambda: calibrate_effort(["some_2020"]), "write some_2020 or hong_2024"),
        (lambda: calibrate_effort("some_2020", rules=rulebook("ontario").with_values(SAME)), "pay the same"),
        (lambda: MODELS["some_2020"].respond([]), "one or several"),
        (lambda: MODELS["some_2020"].respond(0.85), "one or several"),
        (lambda: reward_one_task(substitution=1), "substitution=1"),
        (lambda: reward_one_task(weight=30), "weight=30"),
        (lambda: reward_one_task([10.0]), "smaller rewards"),
        (lambda: reward_one_task([-1.0]), "at least 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(call, words):
    with pytest.raises(ApmkitError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_terms_too_far_from_the_study_are_refused():
    model = calibrate_effort("some_2020", relative_elasticity=12)
    with pytest.raises(PaymentError, match="less than no work"):
        model.respond(PaymentTerms(0.0, 2.0, 2.0))


def test_a_part_that_exceeds_its_whole_is_refused(practices):
    wrong = practices.change({"visits_after_hours": practices.patient("visits") + 1})
    with pytest.raises(PaymentError, match="visits_after_hours exceeds visits in row 1"):
        respond_practices(wrong, MODELS["some_2020"], PaymentTerms(1))


def test_responses_by_capitation_share_fall_in_a_line():
    terms = [PaymentTerms(share, 0.3) for share in (0, 0.5, 1)]
    values = [found["services"] for found in changes(MODELS["hong_2024"], *terms)]
    steps = [later - earlier for earlier, later in pairwise(values)]
    assert steps[0] == pytest.approx(steps[1])
