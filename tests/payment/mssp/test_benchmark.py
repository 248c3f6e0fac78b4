"""Benchmarks follow the rules of the day on which an agreement period began."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apmkit
from apmkit.errors import PaymentError
from apmkit.payment import rulebook
from apmkit.payment.mssp.benchmark import mssp_benchmark
from apmkit.payment.rulebook import RulesError

TYPES = ["esrd", "disabled", "aged_dual", "aged_nondual"]
ALIKE = {
    "person_years_by3": [50.0, 950.0, 1000.0, 8000.0],
    "person_years": [50.0, 950.0, 1000.0, 8000.0],
    "spending_by1": [80_000.0, 9_000.0, 15_000.0, 9_500.0],
    "spending_by2": [82_000.0, 9_200.0, 15_500.0, 9_800.0],
    "spending_by3": [85_000.0, 9_500.0, 16_000.0, 10_000.0],
    "regional_spending": [90_000.0, 10_500.0, 17_000.0, 10_600.0],
    "national_spending": [84_000.0, 10_000.0, 16_500.0, 10_000.0],
}
FACTORS = {
    "national_trend_by1": 1.06,
    "national_trend_by2": 1.03,
    "regional_trend_by1": 1.08,
    "regional_trend_by2": 1.04,
    "national_update": 1.05,
    "regional_update": 1.07,
    "prospective_update": 1.04,
    "national_share": 0.25,
    "national_growth": 500.0,
    "risk_by1": 1.00,
    "risk_by2": 1.01,
    "risk_by3": 1.02,
    "risk": 1.02,
    "demographic_by3": 1.0,
    "demographic": 1.0,
    "risk_ratio_new": 1.0,
    "risk_ratio_continuous": 1.0,
    "demographic_ratio_continuous": 1.0,
    "continuous_share": 0.8,
}


def acos(name="A1", **changed):
    return pd.DataFrame({"aco": name, "enrolment": TYPES, **ALIKE, **FACTORS, **changed})


def values(result, step, aco="A1"):
    rows = result.of(aco)
    row = rows[rows["step"] == step]
    assert len(row) == 1, f"{step} occurs {len(row)} times"
    return row[TYPES].to_numpy(dtype=float)[0]


def test_a_first_agreement_of_2015_takes_national_trends_weights_10_30_60_and_flat_dollars():
    result = mssp_benchmark(
        acos(risk_ratio_new=1.10, risk_ratio_continuous=1.05, demographic_ratio_continuous=1.01),
        agreement_start="2015-01-01",
    )
    # Aged, not dual: 9,500 x 1.06 x 1.02 / 1.00 = 10,271.40; 9,800 x 1.03 x 1.02 / 1.01 = 10,193.9406
    assert values(result, "spending by1 at by3")[3] == pytest.approx(10_271.40)
    assert values(result, "spending by2 at by3")[3] == pytest.approx(10_193.9406, abs=1e-4)
    # 0.1 x 10,271.40 + 0.3 x 10,193.9406 + 0.6 x 10,000 = 10,085.3222
    assert values(result, "historical benchmark")[3] == pytest.approx(10_085.3222, abs=1e-4)
    # HCC of the continuously assigned rose, so demographic: 0.8 x 1.01 + 0.2 x 1.10 = 1.028
    np.testing.assert_allclose(values(result, "risk ratio"), 1.028)
    # 10,085.3222 x 1.028 + 500 = 10,867.7112
    assert values(result, "updated benchmark")[3] == pytest.approx(10_867.7112, abs=1e-4)
    assert (result.table["adjusted_by"] == "none").all()


def test_a_fallen_hcc_score_counts_for_the_continuously_assigned_before_july_2019():
    result = mssp_benchmark(
        acos(risk_ratio_continuous=0.95, demographic_ratio_continuous=1.01), agreement_start="2015-01-01"
    )
    np.testing.assert_allclose(values(result, "risk ratio"), 0.8 * 0.95 + 0.2)


def test_a_renewal_of_2016_weighs_base_years_alike_and_adds_prior_savings():
    result = mssp_benchmark(acos(), agreement_start="2016-01-01", agreement_period=2, prior_savings=100.0)
    # (10,271.40 + 10,193.9406 + 10,000) / 3 + 100
    assert values(result, "historical benchmark")[3] == pytest.approx(10_155.1135 + 100, abs=1e-4)
    assert result.table["adjusted_by"].item() == "prior savings"


def test_a_renewal_of_2017_follows_its_region_alone():
    result = mssp_benchmark(acos(), agreement_start="2017-01-01", agreement_period=2)
    np.testing.assert_allclose(values(result, "trend by1 to by3"), 1.08)
    np.testing.assert_allclose(values(result, "update"), 1.07)
    # Below its region: 35 % of 10,600 less (9,500 x 1.08 x 1.02 + 9,800 x 1.04 x 1.02 / 1.01 + 10,000) / 3
    base = (9_500 * 1.08 * 1.02 + 9_800 * 1.04 * 1.02 / 1.01 + 10_000) / 3
    assert values(result, "regional adjustment")[3] == pytest.approx(0.35 * (10_600 - base))
    assert set(result.rules["status"]) == {"primary"}


def test_an_agreement_of_2022_blends_trends_and_caps_risk_by_enrolment_type():
    result = mssp_benchmark(acos(risk=[1.20, 1.02, 0.90, 1.03]), agreement_start="2022-01-01")
    # 0.25 x 1.06 + 0.75 x 1.08 = 1.075
    np.testing.assert_allclose(values(result, "trend by1 to by3"), 1.075)
    np.testing.assert_allclose(values(result, "update"), 0.25 * 1.05 + 0.75 * 1.07)
    np.testing.assert_allclose(values(result, "risk ratio"), [1.03, 1.0, 0.90 / 1.02, 1.03 / 1.02])


@pytest.mark.parametrize(
    ("times", "regional", "weight"),
    [(1, 1.2, 0.35), (2, 1.2, 0.5), (9, 1.2, 0.5), (1, 0.9, 0.15), (2, 0.9, 0.25), (3, 0.9, 0.35), (4, 0.9, 0.5)],
)
def test_the_regional_weight_goes_by_sign_and_by_how_often_it_was_applied(times, regional, weight):
    flat = dict.fromkeys(("spending_by1", "spending_by2", "spending_by3"), 10000.0)
    one = dict.fromkeys(FACTORS, 1.0)
    rows = acos(**one, **flat, regional_spending=10_000 * regional, national_spending=1e6)
    result = mssp_benchmark(rows, agreement_start="2021-01-01", agreement_period=2, times_regional=times)
    np.testing.assert_allclose(values(result, "regional adjustment"), weight * 10_000 * (regional - 1))


@pytest.mark.parametrize(
    ("start", "regional", "share"),
    [("2021-01-01", 3.0, 0.05), ("2021-01-01", 0.1, -0.05), ("2024-01-01", 3.0, 0.05), ("2024-01-01", 0.1, 0)],
)
def test_the_regional_adjustment_keeps_the_limits_of_its_day(start, regional, share):
    rows = acos(regional_spending=regional * np.array(ALIKE["spending_by3"]))
    result = mssp_benchmark(rows, agreement_start=start)
    np.testing.assert_allclose(values(result, "regional adjustment"), share * np.array(ALIKE["national_spending"]))


def test_from_2024_a_regional_adjustment_below_0_counts_only_in_types_of_an_aco_above_0_over_all():
    national = np.array(ALIKE["national_spending"])
    # One type costs more than its region: held to -1.5 % of national spending, the others to 5 %, the sum above 0.
    rows = acos(regional_spending=np.array([0.1, 3.0, 3.0, 3.0]) * np.array(ALIKE["spending_by3"]))
    result = mssp_benchmark(rows, agreement_start="2024-01-01")
    np.testing.assert_allclose(values(result, "regional adjustment"), [-0.015, 0.05, 0.05, 0.05] * national)
    rows = acos(regional_spending=np.array([1.1, 1.1, 1.1, 0.1]) * np.array(ALIKE["spending_by3"]))
    small = mssp_benchmark(rows, agreement_start="2021-01-01", agreement_period=2).table.iloc[0]
    later = mssp_benchmark(rows, agreement_start="2024-01-01", agreement_period=2, prior_savings=40.0).table.iloc[0]
    assert small["regional_adjustment"] < 0
    assert (later["regional_adjustment"], later["prior_savings_adjustment"]) == (0, 20)
    assert later["adjusted_by"] == "prior savings"


def test_from_2024_a_third_of_the_update_is_the_prospective_trend():
    result = mssp_benchmark(acos(), agreement_start="2024-01-01")
    # 1/3 x 1.04 + 2/3 x (0.25 x 1.05 + 0.75 x 1.07) = 1.04 / 3 + 2 x 1.065 / 3
    np.testing.assert_allclose(values(result, "update"), (1.04 + 2 * 1.065) / 3)
    both = result.table[["updated_benchmark", "updated_without_prospective_trend"]].iloc[0]
    assert both["updated_benchmark"] / both["updated_without_prospective_trend"] == pytest.approx(
        (1.04 + 2 * 1.065) / 3 / 1.065
    )


def test_from_2024_the_risk_limit_holds_over_all_types_after_demographic_change():
    result = mssp_benchmark(acos(risk=1.02 * 1.10, demographic=1.02), agreement_start="2024-01-01")
    np.testing.assert_allclose(values(result, "risk ratio"), 1.05)
    # One type rises by 10 %, the others do not: all together stay below the limit, so nothing is taken.
    spread = mssp_benchmark(acos(risk=[1.02 * 1.10, 1.02, 1.02, 1.02]), agreement_start="2024-01-01")
    np.testing.assert_allclose(values(spread, "risk ratio"), [1.10, 1, 1, 1])
    # All together pass it: no type may grow by more than the limit, and the one below it keeps its own growth.
    steep = mssp_benchmark(acos(risk=[1.02 * 1.10, 1.02 * 0.9, 1.02 * 1.10, 1.02 * 1.10]), agreement_start="2024-01-01")
    assert steep.steps.set_index("step").loc["risk ratio before limit", "total"] > 1.03
    np.testing.assert_allclose(values(steep, "risk ratio"), [1.03, 0.9, 1.03, 1.03])


@pytest.mark.parametrize(("prior", "chosen"), [(10.0, "regional"), (900.0, "prior savings"), (-50.0, "regional")])
def test_the_higher_of_prior_savings_and_regional_adjustment_counts(prior, chosen):
    result = mssp_benchmark(acos(), agreement_start="2024-01-01", agreement_period=2, prior_savings=prior)
    row = result.table.iloc[0]
    assert row["adjusted_by"] == chosen
    assert row["prior_savings_adjustment"] == pytest.approx(0.5 * max(prior, 0))
    adjustment = values(result, "historical benchmark") - values(result, "weighted base years")
    heads = np.array(ALIKE["person_years_by3"])
    assert adjustment @ heads / heads.sum() == pytest.approx(
        max(row["regional_adjustment"], row["prior_savings_adjustment"])
    )


def test_prior_savings_stop_at_5_percent_of_national_spending():
    result = mssp_benchmark(acos(), agreement_start="2024-01-01", agreement_period=2, prior_savings=1e5)
    heads = np.array(ALIKE["person_years_by3"])
    assert result.table["prior_savings_adjustment"].item() == pytest.approx(
        0.05 * np.array(ALIKE["national_spending"]) @ heads / heads.sum()
    )


def test_the_benchmark_in_dollars_is_the_sum_over_enrolment_types():
    rows = acos(person_years=[60.0, 900.0, 1_100.0, 8_200.0])
    result = mssp_benchmark(rows, agreement_start="2022-01-01")
    dollars = values(result, "updated benchmark") * [60.0, 900.0, 1_100.0, 8_200.0]
    assert result.table["benchmark"].item() == pytest.approx(dollars.sum())
    assert result.table["updated_benchmark"].item() == pytest.approx(dollars.sum() / 10_260)


def test_many_acos_at_once_are_each_as_alone_whatever_the_order_of_rows():
    rows = pd.concat([acos("A1"), acos("A2", risk=1.3, regional_spending=9_000.0)]).sample(frac=1, random_state=1)
    prior = pd.Series({"A2": 300.0, "A1": 100.0})
    both = mssp_benchmark(rows, agreement_start="2024-01-01", agreement_period=2, prior_savings=prior)
    for name in ("A1", "A2"):
        alone = mssp_benchmark(
            rows[rows["aco"] == name], agreement_start="2024-01-01", agreement_period=2, prior_savings=prior[name]
        )
        pd.testing.assert_frame_equal(alone.table, both.table.loc[[name]], check_exact=False)
        pd.testing.assert_frame_equal(alone.of(name), both.of(name))


def test_every_step_has_a_formula_a_citation_and_a_status_and_the_result_says_it_cannot_be_checked():
    for start, period in (("2014-01-01", 1), ("2017-01-01", 2), ("2020-01-01", 1), ("2024-01-01", 1)):
        result = mssp_benchmark(acos(), agreement_start=start, agreement_period=period)
        for column in ("formula", "citation", "status"):
            assert result.steps[column].str.len().gt(0).all()
        assert result.steps["citation"].str.contains("42 CFR 425").all()
        assert "cannot be checked on published columns" in result.summary()
        assert result.to_frame() is result.table
        assert "<table" in result._repr_html_()


@settings(max_examples=40, deadline=None)
@given(
    rate=st.floats(0.2, 5.0),
    start=st.sampled_from(["2014-01-01", "2019-07-01", "2024-01-01"]),
    risk=st.floats(0.7, 1.4),
    regional=st.floats(0.6, 1.6),
)
def test_in_another_currency_the_benchmark_is_the_same_and_it_never_falls_with_risk(rate, start, risk, regional):
    money = [name for name in ALIKE if "spending" in name] + ["national_growth"]
    rows = acos(risk=risk, risk_ratio_new=risk, risk_ratio_continuous=risk)
    rows["regional_spending"] *= regional
    plain = mssp_benchmark(rows, agreement_start=start).table["benchmark"].item()
    scaled = rows.assign(**{name: rows[name] * rate for name in money})
    assert mssp_benchmark(scaled, agreement_start=start).table["benchmark"].item() == pytest.approx(rate * plain)
    riskier = rows.assign(risk=rows["risk"] * 1.02, risk_ratio_new=rows["risk_ratio_new"] * 1.02)
    assert mssp_benchmark(riskier, agreement_start=start).table["benchmark"].item() >= plain * (1 - 1e-12)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"spending_by2": [82_000.0, -1.0, 15_500.0, 9_800.0]}, "spending_by2 of aco A1 is -1; it must be at least 0"),
        ({"risk_by3": [1.0, 0.0, 1.0, 1.0]}, "risk_by3 of aco A1, disabled, is 0; it must be above 0"),
        ({"national_share": 25.0}, "national_share of aco A1 is 25; it must be from 0 to 1, so 0.25 for 25 %"),
        ({"national_update": 5.0}, "national_update of aco A1, esrd, is 5; give a factor, for instance 1.03"),
        ({"regional_update": 0.03}, "regional_update of aco A1, esrd, is 0.03; give a factor"),
        ({"spending_by1": np.nan}, "spending_by1 of aco A1 is missing"),
        ({"person_years": 0.0}, "aco A1 has no person_years"),
        ({"enrolment": ["esrd", "disabled", "aged_dual", "aged"]}, "enrolment of aco A1 is 'aged'"),
        ({"enrolment": ["esrd", "disabled", "aged_dual", "aged_dual"]}, "aco A1 has more than one row for aged_dual"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(changed, says):
    with pytest.raises(PaymentError, match=says.replace("(", r"\(")) as error:
        mssp_benchmark(acos(**changed), agreement_start="2022-01-01")
    assert "\n" not in str(error.value)


def test_a_benchmark_below_0_is_refused():
    with pytest.raises(PaymentError, match=r"benchmark of aco A1 comes out at -\S+ USD per head; it must be above 0"):
        mssp_benchmark(acos(national_growth=-90_000.0), agreement_start="2015-01-01")


def test_a_missing_enrolment_type_is_named():
    with pytest.raises(PaymentError, match="aco A1 has no row for aged_dual; give one for each of esrd, disabled"):
        mssp_benchmark(acos().drop(index=2), agreement_start="2022-01-01")


def test_a_missing_column_is_named():
    with pytest.raises(PaymentError, match="no column national_share, which is needed"):
        mssp_benchmark(acos().drop(columns="national_share"), agreement_start="2022-01-01")


def test_base_year_weights_that_do_not_sum_to_1_are_refused():
    rules = rulebook("mssp").with_values({"benchmark.first.base_year_weights": [0.1, 0.3, 0.5]})
    with pytest.raises(PaymentError, match=r"which sum to 0.9; give three that sum to 1"):
        mssp_benchmark(acos(), agreement_start="2022-01-01", rules=rules)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("benchmark.risk_method", "benchmark.risk_method is 'other'"),
        ("benchmark.first.trend", "no column other_trend_by1"),
    ],
)
def test_a_rule_of_an_unknown_kind_is_refused(rule, says):
    with pytest.raises(PaymentError, match=says):
        mssp_benchmark(acos(), agreement_start="2022-01-01", rules=rulebook("mssp").with_values({rule: "other"}))


@pytest.mark.parametrize(("start", "period"), [("2012-03-31", 1), ("2015-12-31", 2)])
def test_an_agreement_before_its_rule_existed_is_refused(start, period):
    with pytest.raises(RulesError, match="was not in force on"):
        mssp_benchmark(acos(), agreement_start=start, agreement_period=period)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prior_savings": 50.0}, "A first agreement period has no prior savings"),
        ({"agreement_period": 0}, "agreement_period is 0; give a whole number from 1"),
        ({"times_regional": 1.5}, "times_regional is 1.5"),
        ({"agreement_period": 2, "prior_savings": pd.Series({"B": 1.0})}, "prior_savings has no value for aco A1"),
        ({"agreement_period": 2, "prior_savings": np.nan}, "prior_savings must be numbers"),
    ],
)
def test_bad_options_are_refused(options, says):
    with pytest.raises(PaymentError, match=says):
        mssp_benchmark(acos(), agreement_start="2024-01-01", **options)


def test_an_unknown_aco_is_named():
    with pytest.raises(PaymentError, match="There is no ACO 'Z'"):
        mssp_benchmark(acos(), agreement_start="2022-01-01").of("Z")


def test_published_regional_adjustments_before_2024_go_past_the_limit_of_2024():
    data = apmkit.load("mssp").dropna(subset=["regional_adjustment"])
    share = data["regional_adjustment"] / data["historical_benchmark"]
    assert set(data["year"]) == {2022, 2023}
    assert -0.05 < share.min() < -0.03


def test_published_prior_savings_of_2016_go_with_savings_times_the_sharing_rate():
    data = apmkit.load("mssp")
    before = data[data["year"] <= 2015]
    per_head = before["benchmark_minus_expenditures"] / before["person_years"]
    mean = before.assign(per_head=per_head).groupby("aco_id")[["per_head", "final_sharing_rate"]].mean()
    published = data[data["year"] == 2016].set_index("aco_id")["prior_savings_adjustment"]
    published = published[published > 0]
    ours = (mean["per_head"] * mean["final_sharing_rate"])[published.index]
    assert len(published) == 85
    assert np.corrcoef(published, ours)[0, 1] > 0.9
    assert 0.8 < (published / ours).median() < 1
