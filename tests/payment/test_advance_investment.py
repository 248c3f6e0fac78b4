"""Advances follow the scores of beneficiaries, and come back out of shared savings only."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmkit.errors import PaymentError
from apmkit.payment import rulebook
from apmkit.payment.advance_investment import advance_by_month, advance_investment_payments, recoup_advance
from apmkit.payment.mssp import settle_mssp
from apmkit.payment.rulebook import RulesError

DAY = "2024-01-01"
BANDS = [(24, 0), (34, 20), (44, 24), (54, 28), (64, 32), (74, 36), (84, 40), (100, 45)]


def plain_quarter(scores, limit=10_000):
    """One ACO's quarterly payment, beneficiary by beneficiary."""
    total = 0
    for score in sorted(scores, reverse=True)[:limit]:
        total += next(usd for end, usd in BANDS if score <= end)
    return total


def test_an_aco_of_three_groups_by_hand():
    rows = pd.DataFrame({"aco": "A1", "low_income": [True, False, False], "deprivation": [10, 50, 20]})
    rows["beneficiaries"] = [1_500, 2_000, 2_500]
    payment = advance_investment_payments(rows, on=DAY)
    # 1,500 x 45 (dual, score 100) + 2,000 x 28 (score 50) + 2,500 x 0 (score 20) = 123,500 a quarter
    assert payment.table.loc["A1", "quarter_1"] == 123_500
    assert payment.total["A1"] == 250_000 + 8 * 123_500
    assert payment.details.loc["A1", "mean_score"] == pytest.approx((1_500 * 100 + 2_000 * 50 + 2_500 * 20) / 6_000)


@pytest.mark.parametrize(
    ("score", "usd"),
    [
        (1, 0),
        (24, 0),
        (25, 20),
        (34, 20),
        (35, 24),
        (45, 28),
        (55, 32),
        (65, 36),
        (75, 40),
        (84, 40),
        (85, 45),
        (100, 45),
    ],
)
def test_the_amount_changes_at_the_ends_of_the_bands(score, usd):
    payment = advance_investment_payments(pd.DataFrame({"aco": ["A"], "score": [score]}), on=DAY)
    assert payment.table.loc["A", "quarter_1"] == usd


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(1, 100), st.integers(0, 9_000)), min_size=1, max_size=12
    ).filter(lambda rows: all(sum(n for name, _, n in rows if name == aco) > 0 for aco in {row[0] for row in rows}))
)
def test_groups_pay_as_beneficiaries_counted_one_by_one(rows):
    frame = pd.DataFrame(rows, columns=["aco", "score", "beneficiaries"])
    payment = advance_investment_payments(frame, on=DAY)
    for aco in frame["aco"].unique():
        of_aco = frame[frame["aco"] == aco]
        scores = np.repeat(of_aco["score"], of_aco["beneficiaries"]).tolist()
        assert payment.table.loc[aco, "quarter_1"] == plain_quarter(scores)
        assert payment.details.loc[aco, "beneficiaries_counted"] == min(len(scores), 10_000)
    assert (payment.table.drop(columns="total").sum(axis=1).round(2) == payment.total.round(2)).all()


def test_a_poorer_population_is_never_paid_less_and_no_aco_more_than_the_highest_rate():
    scores = np.random.default_rng(3).integers(1, 90, 300)
    low, high = (
        advance_investment_payments(pd.DataFrame({"aco": "A", "score": scores + up}), on=DAY).total["A"]
        for up in (0, 10)
    )
    assert low <= high <= 250_000 + 8 * 300 * 45


def test_the_schedule_by_month_adds_up_and_a_quarter_comes_in_its_first_month():
    payment = advance_investment_payments(pd.DataFrame({"aco": ["A", "B"], "score": [100, 30]}), on=DAY)
    months = advance_by_month(payment)
    assert months.shape == (2, 24)
    np.testing.assert_array_equal(months.sum(axis=1), payment.total)
    np.testing.assert_array_equal(months.loc["B", months.columns[months.loc["B"] > 0]].index, range(1, 25, 3))


def test_practices_can_be_paid_in_place_of_acos():
    patients = pd.DataFrame({"practice": ["P", "Q", "P"], "score": [90, 90, 1]})
    assert advance_investment_payments(patients, on=DAY, by="practice").table["quarter_2"].to_dict() == {
        "P": 45,
        "Q": 45,
    }


def test_every_value_it_rests_on_was_read_in_the_rule():
    payment = advance_investment_payments(pd.DataFrame({"aco": ["A"], "score": [90]}), on=DAY)
    assert payment.unconfirmed == []
    assert set(payment.rules["status"]) == {"primary"}


def test_a_beneficiary_whose_address_has_no_rank_scores_50():
    rows = pd.DataFrame({"aco": ["A", "B", "C"], "low_income": [False, False, True], "deprivation": [np.nan, 20, None]})
    payment = advance_investment_payments(rows, on=DAY)
    assert payment.details["mean_score"].tolist() == [50, 20, 100]
    assert payment.table["quarter_1"].tolist() == [28, 0, 45]  # 42 CFR 425.630(f)(2)(ii)(C) and (iii)


def test_an_advance_comes_back_out_of_savings_only():
    years = pd.DataFrame({2024: [-10.0, 0.0], 2025: [70.0, 30.0], 2026: [70.0, 30.0]}, index=["A", "B"])
    table = recoup_advance(pd.Series({"A": 100.0, "B": 100.0}), years, on=DAY)
    assert table.loc["A", "recouped"].tolist() == [0, 70, 30]
    assert table.loc["A", "paid"].tolist() == [-10, 0, 40]
    assert table.loc["B", "balance"].tolist() == [100, 70, 40]


@given(
    balance=st.floats(0, 1e7).map(lambda x: round(x, 2)),
    years=st.lists(st.floats(-1e7, 1e7).map(lambda x: round(x, 2)), min_size=1, max_size=6),
)
def test_what_is_recouped_and_what_is_left_add_up_to_the_cent(balance, years):
    table = recoup_advance(pd.Series({"A": balance}), pd.DataFrame([years], index=["A"]), on=DAY)
    assert round(100 * table["recouped"].sum()) == round(100 * (balance - table["balance"].iloc[-1]))
    assert (table["recouped"] >= 0).all()
    assert (table["balance"].diff().dropna() <= 0).all()
    left = balance
    for earned, row in zip(years, table.itertuples(), strict=True):
        taken = min(left, max(earned, 0))
        left = round(left - taken, 2)
        assert (row.recouped, row.balance) == pytest.approx((taken, left), abs=0.005)


def test_settlement_recoups_as_this_schedule_does():
    aco = {"year": 2024, "track": "BASIC B", "beneficiaries": 10_000, "met_quality_standard": True, "benchmark": 1e8}
    settled = settle_mssp(pd.DataFrame([{**aco, "expenditures": 9.5e7, "advance_investment_balance": 1_234_567.89}]))
    earned = settled.total - settled.table["advance_investment_recoupment"]
    table = recoup_advance(pd.Series([1_234_567.89]), earned.to_frame(2024), on=DAY)
    assert table["paid"].tolist() == settled.total.tolist()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"score": 0.85}, "score of aco A is 0.85; it must be from 1 to 100"),
        ({"score": 85.5}, "A score is 85.5; give whole numbers"),
        ({"score": 101}, "score of aco A is 101; it must be from 1 to 100"),
        ({"score": np.nan}, "score of aco A is missing"),
        ({"beneficiaries": -5}, "beneficiaries of aco A is -5; it must be at least 0"),
        ({"beneficiaries": 0}, "aco A has no assigned beneficiaries"),
        ({"aco": None}, "column aco of assigned beneficiaries is missing"),
    ],
)
def test_bad_beneficiaries_are_refused(changed, says):
    rows = pd.DataFrame([{"aco": "A", "score": 50, "beneficiaries": 10, **changed}])
    with pytest.raises(PaymentError, match=says):
        advance_investment_payments(rows, on=DAY)


def test_without_scores_income_and_deprivation_are_asked_for():
    with pytest.raises(PaymentError, match="no column low_income, which is needed"):
        advance_investment_payments(pd.DataFrame({"aco": ["A"]}), on=DAY)
    with pytest.raises(PaymentError, match="no column deprivation, which is needed"):
        advance_investment_payments(pd.DataFrame({"aco": ["A"], "low_income": [False]}), on=DAY)


def test_an_empty_table_an_early_day_and_bands_with_a_gap_are_refused():
    with pytest.raises(PaymentError, match="There are no assigned beneficiaries"):
        advance_investment_payments(pd.DataFrame({"aco": [], "score": []}), on=DAY)
    rows = pd.DataFrame({"aco": ["A"], "score": [50]})
    with pytest.raises(RulesError, match="was not in force on 2023-01-01"):
        advance_investment_payments(rows, on="2023-01-01")
    gap = [{"from": 1, "to": 50, "usd": 0}, {"from": 52, "to": 100, "usd": 40}]
    rules = rulebook("mssp").with_values({"advance_investment.payment_by_score": gap})
    with pytest.raises(PaymentError, match="has a gap or an overlap"):
        advance_investment_payments(rows, on=DAY, rules=rules)


@pytest.mark.parametrize(
    ("balance", "savings", "says"),
    [
        (
            pd.Series({"A": -1.0}),
            pd.DataFrame({1: [5.0]}, index=["A"]),
            "balance of A is -1.00; what is owed is 0 or more",
        ),
        (pd.Series({"A": 1.0}), pd.DataFrame({1: [5.0]}, index=["B"]), "must have the same ACOs"),
        (pd.Series({"A": np.nan}), pd.DataFrame({1: [5.0]}, index=["A"]), "balance has missing or infinite amounts"),
        (1.0, pd.DataFrame({1: [5.0]}, index=["A"]), "balance must be a Series"),
        (pd.Series({"A": 1.0}), pd.DataFrame({1: ["x"]}, index=["A"]), "shared_savings is not numeric"),
    ],
)
def test_bad_balances_are_refused(balance, savings, says):
    with pytest.raises(PaymentError, match=says):
        recoup_advance(balance, savings, on=DAY)


def test_another_payment_has_no_schedule_by_month():
    aco = {"year": 2022, "track": "BASIC B", "beneficiaries": 10_000, "met_quality_standard": True}
    with pytest.raises(PaymentError, match="has no one-time payment and quarters"):
        advance_by_month(settle_mssp(pd.DataFrame([{**aco, "benchmark": 1e8, "expenditures": 9e7}])))
