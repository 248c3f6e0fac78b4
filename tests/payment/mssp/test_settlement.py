"""Settlement of ACO-years: worked cases, properties, a second implementation, and refusals."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import PaymentError
from apmkit.payment import rulebook, settle_mssp
from apmkit.payment.rulebook import RulesError

SPEC = importlib.util.spec_from_file_location("plain_settlement", Path(__file__).with_name("plain_settlement.py"))
plain = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(plain)

B = {"year": 2022, "track": "BASIC B", "beneficiaries": 10_000, "met_quality_standard": True, "benchmark": 100e6}
E = {**B, "track": "BASIC E", "minimum_savings_rate": 0.01, "participant_revenue": 40e6}
ENHANCED = {**B, "track": "ENHANCED", "minimum_savings_rate": 0.01, "quality_score": 0.8}
CENT = 0.0051


def settled(*acos, **options):
    return settle_mssp(pd.DataFrame(list(acos)), **options)


def total(aco, **changes):
    return settled({**aco, **changes}).total.iloc[0]


def reason(aco, **changes):
    return settled({**aco, **changes}).details["reason"].iloc[0]


# -- worked cases ------------------------------------------------------------------------------------------------------


def test_savings_are_shared_from_the_first_dollar_once_the_minimum_is_reached():
    # 10,000 beneficiaries: minimum 3 %. 0.98 x 0.4 x 3,000,000 and nothing at one dollar less.
    assert total(B, expenditures=97_000_000) == pytest.approx(1_176_000)
    assert total(B, expenditures=97_000_001) == 0
    assert reason(B, expenditures=97_000_001) == "Savings below the minimum savings rate"


def test_sequestration_comes_before_the_payment_limit():
    # Gross 0.5 x 20.4 m = 10.2 m; less 2 % is 9.996 m, below the limit of 10 m.
    payment = settled({**E, "expenditures": 79.6e6})
    assert payment.table.iloc[0][["shared_savings", "sequestration", "payment_limit"]].tolist() == [10.2e6, -204e3, 0]
    # Gross 11 m, less 2 % is 10.78 m, cut to 10 m.
    payment = settled({**E, "expenditures": 78e6})
    assert payment.table.iloc[0][["sequestration", "payment_limit", "total"]].tolist() == [-220e3, -780e3, 10e6]
    assert payment.details["reason"].iloc[0] == "Savings shared, held to the payment limit"


@pytest.mark.parametrize(("year", "kept"), [(2018, 0.98), (2019, 1), (2020, 1), (2021, 0.98)])
def test_payments_for_2019_and_2020_are_not_sequestered(year, kept):
    aco = {"year": year, "track": "1", "beneficiaries": 10_000, "benchmark": 100e6, "expenditures": 90e6}
    assert total(aco, final_sharing_rate=0.5) == pytest.approx(kept * 5e6)


def test_quality_scales_the_sharing_rate_to_2020_and_opens_the_highest_rate_from_2021():
    aco = {**E, "expenditures": 90e6, "quality_score": 0.8, "met_quality_standard": True}
    assert total(aco, year=2020) == pytest.approx(0.5 * 0.8 * 10e6)
    assert total(aco, year=2021) == pytest.approx(0.98 * 0.5 * 10e6)


def test_the_alternative_standard_pays_the_highest_rate_times_the_score_from_2023():
    aco = {**E, "expenditures": 90e6, "met_quality_standard": False, "met_alternative_standard": True}
    assert total(aco, year=2023, quality_score=0.6) == pytest.approx(0.98 * 0.5 * 0.6 * 10e6)
    assert total(aco, year=2022, quality_score=0.6) == 0
    assert reason(aco, year=2022) == "Quality standard not met: no savings shared"


def test_low_revenue_basic_acos_share_half_below_the_minimum_from_2024():
    aco = {**B, "year": 2024, "expenditures": 99e6, "revenue_category": "low", "agreement_start": "2024-01-01"}
    assert total(aco) == pytest.approx(0.98 * 0.2 * 1e6)
    for change in (
        {"year": 2023},
        {"revenue_category": "high"},
        {"agreement_start": "2023-01-01"},
        {"beneficiaries": 4_999},
        {"track": "ENHANCED", "minimum_savings_rate": 0.02},
    ):
        assert total(aco, **change) == 0


@pytest.mark.parametrize(
    ("score", "met", "rate"), [(0.8, True, 0.40), (0.6, True, 0.55), (0.2, True, 0.75), (0.8, False, 0.75)]
)
def test_enhanced_losses_scale_with_quality_between_40_and_75_percent(score, met, rate):
    aco = {**ENHANCED, "year": 2024, "expenditures": 110e6, "quality_score": score, "met_quality_standard": met}
    assert total(aco) == pytest.approx(-rate * 10e6)


def test_basic_losses_are_30_percent_up_to_the_lower_of_two_limits():
    aco = {**E, "year": 2024}
    assert total(aco, expenditures=105e6) == pytest.approx(-0.3 * 5e6)
    assert total(aco, expenditures=112e6) == pytest.approx(-0.08 * 40e6)
    assert total(aco, expenditures=120e6, participant_revenue=90e6) == pytest.approx(-0.04 * 100e6)
    assert reason(aco, expenditures=112e6) == "Losses owed, held to the loss limit"


@pytest.mark.parametrize(("year", "limit"), [(2016, 5e6), (2017, 7.5e6), (2018, 10e6), (2019, 10e6)])
def test_the_loss_limit_of_track_2_grows_over_three_years(year, limit):
    aco = {"year": year, "track": "2", "benchmark": 100e6, "expenditures": 140e6, "quality_score": 1.0}
    assert total(aco, minimum_savings_rate=0.02, agreement_start="2016-01-01") == -limit


def test_only_low_revenue_acos_of_track_1_plus_are_limited_by_revenue():
    aco = {**E, "year": 2019, "track": "1+", "expenditures": 130e6}
    assert total(aco, revenue_category="low") == pytest.approx(-0.08 * 40e6)
    assert total(aco, revenue_category="high", participant_revenue=np.nan) == pytest.approx(-0.04 * 100e6)


def test_one_sided_acos_owe_nothing():
    assert total(B, expenditures=150e6) == 0
    assert reason(B, expenditures=150e6) == "One-sided track: losses are not shared"


def test_the_emergency_cancels_losses_of_2020_to_2022_and_five_twelfths_of_2023():
    aco = {**ENHANCED, "expenditures": 110e6}
    assert [total(aco, year=year) for year in (2020, 2021, 2022)] == [0, 0, 0]
    assert total(aco, year=2023) == pytest.approx(-4e6 * 7 / 12, abs=CENT)
    assert total(aco, year=2024) == -4e6


def test_a_disaster_adjustment_lowers_a_loss_and_never_turns_it_into_a_payment():
    aco = {**ENHANCED, "year": 2024, "expenditures": 110e6}
    assert total(aco, disaster_adjustment=-1e6) == -3e6
    assert total(aco, disaster_adjustment=-9e6) == 0
    assert total(aco, disaster_adjustment=-9e6, expenditures=90e6) > 0


def test_a_disaster_adjustment_that_is_given_wins_over_months_but_for_a_year_that_was_all_emergency():
    aco = {**ENHANCED, "expenditures": 110e6, "disaster_adjustment": -1e6}
    assert total(aco, year=2023) == -3e6
    assert total(aco, year=2021) == 0


@pytest.mark.parametrize(
    ("track", "limit"),
    [("BASIC A", 0.10), ("BASIC B", 0.10), ("BASIC C", 0.10), ("BASIC D", 0.10), ("BASIC E", 0.10), ("ENHANCED", 0.20),
     ("1", 0.10), ("1+", 0.10), ("2", 0.15), ("3", 0.20)],
)  # fmt: skip
def test_no_track_is_paid_more_than_its_share_of_the_benchmark(track, limit):
    aco = {**E, "track": track, "year": 2022 if track[0] in "BE" else 2019, "quality_score": 1.0}
    assert total(aco, expenditures=40e6) == limit * 100e6


def test_savings_below_the_minimum_are_shared_from_5_000_beneficiaries_and_scale_with_the_alternative_standard():
    aco = {**B, "year": 2024, "expenditures": 99e6, "revenue_category": "low", "agreement_start": "2024-01-01"}
    assert total(aco, beneficiaries=5_000) == pytest.approx(0.98 * 0.2 * 1e6)
    alternative = {"met_quality_standard": False, "met_alternative_standard": True, "quality_score": 0.6}
    assert total(aco, **alternative) == pytest.approx(0.98 * 0.2 * 0.6 * 1e6)
    assert total(aco, met_quality_standard=False, met_alternative_standard=False) == 0


def test_advance_investment_payments_are_recouped_from_shared_savings_only():
    saving = {**B, "expenditures": 95e6}
    assert total(saving, advance_investment_balance=500_000) == 1_960_000 - 500_000
    assert total(saving, advance_investment_balance=5e6) == 0
    assert total(B, expenditures=105e6, advance_investment_balance=500_000) == 0


def test_published_rates_win_over_rates_from_quality():
    assert total(B, expenditures=95e6, final_sharing_rate=0.25) == pytest.approx(0.98 * 0.25 * 5e6)
    assert total(ENHANCED, year=2024, expenditures=110e6, final_loss_rate=0.5) == -5e6


def test_a_what_if_changes_the_rule_and_says_so():
    rules = rulebook("mssp").with_values({"basic_e.sharing_rate": 0.6, "sharing.first_dollar": 0})
    payment = settled({**E, "expenditures": 90e6}, rules=rules)
    assert payment.total.iloc[0] == pytest.approx(0.98 * 0.6 * (10e6 - 1e6))
    assert "Values given by the user" in payment.notes[-1]


def test_tracks_are_read_in_the_ways_that_cms_and_the_rules_write_them():
    names = ["BASIC E", "basic_e", "Basic-E", "e"]
    payment = settled(*({**E, "track": name, "expenditures": 90e6} for name in names))
    assert payment.details["track"].tolist() == ["basic_e"] * 4
    assert settled({**ENHANCED, "track": "EN", "expenditures": 90e6}).details["track"].iloc[0] == "enhanced"


def test_a_result_says_which_values_it_rests_on_that_are_not_confirmed():
    assert settled({**B, "expenditures": 95e6}).unconfirmed == []
    track_1_plus = {**E, "year": 2019, "track": "1+", "expenditures": 130e6}
    assert settled(track_1_plus).unconfirmed == [
        "mssp.track_1_plus.loss_limit_benchmark",
        "mssp.track_1_plus.loss_limit_revenue",
    ]


def test_a_loss_with_unknown_revenue_is_refused_or_marked():
    aco = {**E, "year": 2024, "expenditures": 105e6, "participant_revenue": np.nan}
    with pytest.raises(PaymentError, match="participant_revenue is missing; it limits this loss"):
        settled(aco)
    payment = settled(aco, {**E, "expenditures": 90e6}, unknown_revenue="benchmark")
    assert payment.details["revenue_known"].tolist() == [False, True]
    assert payment.notes[0].startswith("In 1 of 2 rows the loss limit depends on a participant revenue")


# -- properties --------------------------------------------------------------------------------------------------------


def test_ten_thousand_random_contracts_agree_with_plain_arithmetic_to_the_cent():
    acos = plain.random_contracts(10_000, seed=3)
    expected = np.array([plain.settle(aco) for aco in acos.to_dict("records")])
    payment = settle_mssp(acos)
    assert np.abs(payment.total.to_numpy() - expected).max() <= 0.0101  # one cent of rounding
    held = payment.table["payment_limit"].lt(0).groupby(payment.details["track"]).sum()
    assert (held > 10).all()  # the limit of every track binds, so that a wrong one is found
    assert payment.details["reason"].nunique() == len(payment.details["reason"].cat.categories)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_payments_keep_to_the_limits_and_the_parts_add_up(seed):
    acos = plain.random_contracts(300, seed)
    payment = settle_mssp(acos)
    money, paid = payment.table, payment.total.to_numpy()
    highest, limit = (np.array([plain.TRACKS[track][part] for track in acos["track"]]) for part in (0, 1))
    saving = (acos["benchmark"] - acos["expenditures"]).to_numpy()
    assert np.all(paid <= limit * acos["benchmark"] + CENT)
    assert np.all(paid <= highest * np.maximum(saving, 0) + CENT)
    assert np.all(paid[acos["track"].isin(plain.ONE_SIDED)] >= 0)
    assert np.all(paid[saving >= 0] >= 0)
    assert np.all(paid >= -0.75 * np.maximum(-saving, 0) - CENT)
    cents = np.rint(money.drop(columns="total") * 100).sum(axis=1)
    assert np.array_equal(cents, np.rint(paid * 100))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), more=st.floats(0, 0.2))
def test_who_saves_more_is_never_paid_less(seed, more):
    acos = plain.random_contracts(300, seed)
    better = acos.assign(expenditures=(acos["expenditures"] - more * acos["benchmark"]).clip(0))
    assert np.all(settle_mssp(better).total >= settle_mssp(acos).total - CENT)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([0.5, 2.0, 8.0]))
def test_a_change_of_currency_scales_every_part(seed, factor):
    acos = plain.random_contracts(300, seed)
    rate = (acos["benchmark"] - acos["expenditures"]).abs() / acos["benchmark"]
    acos = acos[(200 * rate - (200 * rate).round()).abs() > 1e-6]  # at a minimum rate half a cent decides
    money = ["benchmark", "expenditures", "participant_revenue", "disaster_adjustment", "advance_investment_balance"]
    scaled = acos.assign(**{name: acos[name] * factor for name in money})
    ours, theirs = settle_mssp(acos).table, settle_mssp(scaled).table
    assert np.abs(theirs - factor * ours).to_numpy().max() <= 0.01 * (1 + factor) + 1e-6


def test_the_order_of_rows_does_not_matter():
    acos = plain.random_contracts(500, seed=5)
    mixed = acos.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(settle_mssp(mixed).table.sort_index(), settle_mssp(acos).table)


# -- refusals ----------------------------------------------------------------------------------------------------------

WRONG = {
    "percent quality": ({"quality_score": 73}, "quality_score is 73; write it as a fraction, 0.73 for 73 %"),
    "percent minimum": ({"minimum_savings_rate": 2}, "minimum_savings_rate is 2; write it as a fraction, 0.02 for 2 %"),
    "percent sharing": ({"final_sharing_rate": 50}, "final_sharing_rate is 50; write it as a fraction, 0.5 for 50 %"),
    "track not yet": ({"year": 2018}, "there was no basic_e in 2018; the tracks were track_1, track_1_plus, track_2"),
    "track no longer": ({"track": "Track 1"}, "there was no track_1 in 2022; the tracks were basic_a"),
    "unknown track": ({"track": "BASIC F"}, "there is no track 'BASIC F'; did you mean basic_"),
    "no track": ({"track": None}, "track is missing; write for instance BASIC E"),
    "negative benchmark": ({"benchmark": -1e6}, "benchmark is -1e.06; give the total benchmark in USD, above 0"),
    "zero benchmark": ({"benchmark": 0}, "benchmark is 0; give the total benchmark in USD, above 0"),
    "missing expenditures": ({"expenditures": np.nan}, "expenditures is missing; give the total expenditures in USD"),
    "infinite expenditures": ({"expenditures": np.inf}, "expenditures is infinite"),
    "no choice": ({"minimum_savings_rate": np.nan}, "minimum_savings_rate is missing; give the rate that this two-sid"),
    "no quality": ({"met_quality_standard": None, "expenditures": 9e7}, "met_quality_standard is missing; write True"),
    "positive relief": (
        {"disaster_adjustment": 5.0},
        "disaster_adjustment is 5; write what the loss shrinks by as a n",
    ),
    "revenue category": ({"revenue_category": "middle"}, "revenue_category is 'middle'; write low or high"),
    "no revenue": ({"participant_revenue": 0}, "participant_revenue is 0; give the Part A and B revenue in USD"),
    "a sign": ({"benchmark": "$100,000"}, "benchmark is .*100,000.; give a number, without"),
    "a day": ({"benchmark": pd.Timestamp("2022-01-01")}, "benchmark is Timestamp.* give a number"),
    "a word": ({"met_quality_standard": "yes"}, "met_quality_standard is 'yes'; write True or False"),
    "half met": ({"met_quality_standard": 0.5}, "met_quality_standard is 0.5; write True or False"),
    "half a year": ({"year": 2022.5}, "year is 2022.5; performance years are whole numbers from 2013"),
    "early year": ({"year": 2011}, "year is 2011; performance years are whole numbers from 2013"),
}


@pytest.mark.parametrize(("change", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_refused_in_one_sentence_that_names_the_aco(change, sentence):
    good = {**E, "aco_id": "A1001", "expenditures": 105e6}
    with pytest.raises(PaymentError, match=sentence) as refused:
        settled({**good, "aco_id": "A1000"}, {**good, **change})
    assert "A1001" in str(refused.value)
    assert str(refused.value).endswith((".", "?"))
    assert "\n" not in str(refused.value)


def test_an_aco_year_that_stands_twice_is_refused():
    aco = {**B, "aco_id": "A1001", "expenditures": 95e6}
    with pytest.raises(PaymentError, match="ACO A1001 in 2022 has more than one row"):
        settled(aco, aco)


def test_a_table_without_a_needed_column_is_refused_with_the_name_that_comes_near():
    with pytest.raises(PaymentError, match="has no column benchmark; rename 'Benchmark'"):
        settle_mssp(pd.DataFrame([{"year": 2022, "track": "BASIC B", "Benchmark": 1.0, "expenditures": 1.0}]))
    with pytest.raises(PaymentError, match="has repeats: name the rows in a column aco_id or reset it"):
        settle_mssp(pd.concat([pd.DataFrame([{**B, "expenditures": 95e6}])] * 2))
    with pytest.raises(PaymentError, match="There are no ACO-years"):
        settle_mssp(pd.DataFrame())
    with pytest.raises(PaymentError, match="must be a DataFrame with one row per ACO-year, not list"):
        settle_mssp([])


def test_names_that_miss_an_optional_column_by_a_letter_are_refused_and_not_left_out():
    with pytest.raises(PaymentError, match="has a column disaster_adjustmnt, but no disaster_adjustment; name it"):
        settled({**ENHANCED, "year": 2024, "expenditures": 110e6, "disaster_adjustmnt": -1e6})
    with pytest.raises(PaymentError, match="has no column benchmark; rename 'BENCHMARK'"):
        settled({"year": 2022, "track": "BASIC B", "BENCHMARK": 1.0, "expenditures": 1.0})


def test_columns_that_stand_twice_and_acos_without_a_name_are_refused():
    table = pd.DataFrame([{**B, "expenditures": 95e6}])
    with pytest.raises(PaymentError, match="has the column benchmark twice; keep one"):
        settle_mssp(pd.concat([table, table[["benchmark"]]], axis=1))
    with pytest.raises(PaymentError, match="Row 0 has no aco_id"):
        settle_mssp(table.assign(aco_id=np.nan))


def test_an_agreement_does_not_begin_after_the_year():
    aco = {**B, "year": 2024, "expenditures": 99e6, "revenue_category": "low", "agreement_start": "2025-01-01"}
    with pytest.raises(PaymentError, match="agreement_start is 2025-01-01; it cannot be after the year"):
        total(aco)


def test_rules_that_are_no_rulebook_are_refused():
    with pytest.raises(PaymentError, match="rules is of type str; give a Rulebook"):
        settled({**B, "expenditures": 95e6}, rules="mssp")


def test_rules_of_another_programme_are_refused():
    with pytest.raises(PaymentError, match="The rules of cjr know no track: give rules of mssp"):
        settled({**B, "expenditures": 95e6}, rules=rulebook("cjr"))


def test_a_loss_of_track_2_needs_its_agreement_start():
    aco = {"year": 2017, "track": "2", "benchmark": 1e8, "expenditures": 1.3e8, "quality_score": 1.0}
    with pytest.raises(PaymentError, match="agreement_start is needed, and the table has no such column; the loss lim"):
        settled({**aco, "minimum_savings_rate": 0.02})


def test_savings_below_the_minimum_need_what_decides_on_them_from_2024():
    with pytest.raises(PaymentError, match="revenue_category is needed"):
        settled({**B, "year": 2024, "expenditures": 99e6})
    with pytest.raises(PaymentError, match="agreement_start is '1 May'; write the day as YYYY-MM-DD"):
        settled({**B, "year": 2024, "expenditures": 99e6, "revenue_category": "low", "agreement_start": "1 May"})


def test_rules_are_read_on_the_last_day_of_the_performance_year():
    terms = rulebook("mssp").on("2018-12-31")
    with pytest.raises(RulesError, match="was not in force on 2018-12-31"):
        terms["basic_a.sharing_rate"]
    used = settled({**B, "year": 2019, "expenditures": 95e6, "quality_score": 1.0}).rules
    assert used.loc[used["parameter"] == "sequestration.rate", "value"].tolist() == [0]
