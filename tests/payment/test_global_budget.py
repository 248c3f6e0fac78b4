import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import (
    all_payer_growth,
    budget_and_fees,
    fee_for_service,
    maryland_global_budget,
    rulebook,
    synthetic_practices,
)
from apmkit.payment.rulebook import RulesError

ON = "2015-07-01"


def hospital(**columns):
    return pd.DataFrame([{"hospital": "A", "base_revenue": 200e6, "inflation": 0.02, **columns}])


def test_a_budget_is_built_step_by_step_as_by_hand():
    table = maryland_global_budget(
        hospital(
            demographic=0.01,
            quality=-0.005,
            uncompensated_care=0.002,
            payer_mix=-0.001,
            market_shift=-4e6,
            unregulated=500_000.0,
        ),
        on=ON,
    ).table.loc["A"]
    # 200,000,000 x 1.02 = 204,000,000; x 1.01 = 206,040,000; x 0.995 = 205,009,800; x 1.002 = 205,419,819.60;
    # x 0.999 = 205,214,399.78; less half of 4,000,000; less 500,000
    assert table["inflation"] == 4_000_000
    assert table["demographic"] == 2_040_000
    assert table["quality"] == -1_030_200
    assert table["uncompensated_care"] == 410_019.60
    assert table["payer_mix"] == -205_419.82
    assert table["market_shift"] == -2_000_000
    assert table["unregulated"] == -500_000
    assert table["total"] == 202_714_399.78


@pytest.mark.parametrize(
    ("volume", "rate", "total"),
    [
        (10_000, 0.0, 204e6),
        (9_700, 10_000 / 9_700 - 1, 204e6),  # rates rise 3.1 %, within the corridor
        (10_400, 10_000 / 10_400 - 1, 204e6),
        (9_000, 0.05, 204e6 * 0.9 * 1.05),  # rates could rise by 5 % only
        (12_000, -0.05, 204e6 * 1.2 * 0.95),
    ],
)
def test_unit_rates_move_with_volume_within_the_corridor(volume, rate, total):
    payment = maryland_global_budget(hospital(expected_volume=10_000, volume=volume), on=ON)
    assert payment.details.loc["A", "rate_change"] == pytest.approx(rate)
    assert payment.total["A"] == pytest.approx(total, abs=0.005)


def test_what_the_table_does_not_have_is_named_in_a_note():
    payment = maryland_global_budget(hospital(demographic=0.01), on=ON)
    assert payment.notes[0].endswith("quality, uncompensated_care, payer_mix, market_shift, unregulated.")
    assert payment.unconfirmed == []


def test_an_optional_column_that_misses_its_name_by_a_letter_is_not_taken_as_zero():
    with pytest.raises(PaymentError, match="has a column market_shfit, but no market_shift; name it market_shift"):
        maryland_global_budget(hospital(market_shfit=1e6), on=ON)
    assert maryland_global_budget(hospital(market_shift=0, beds=250), on=ON).total["A"] == 204e6


def test_an_unconfirmed_value_is_named_only_where_it_is_used():
    shifted = maryland_global_budget(hospital(market_shift=1e6), on=ON)
    assert shifted.unconfirmed == ["maryland.market_shift.variable_cost_factor"]
    busy = maryland_global_budget(hospital(expected_volume=1, volume=2), on=ON)
    assert busy.unconfirmed == ["maryland.unit_rate.corridor"]


RATE = st.floats(-0.2, 0.2)
HOSPITALS = st.lists(
    st.fixed_dictionaries(
        {
            "base_revenue": st.floats(1e6, 2e9),
            "inflation": RATE,
            "demographic": RATE,
            "quality": RATE,
            "uncompensated_care": RATE,
            "payer_mix": RATE,
            "market_shift": st.floats(-1e5, 1e5),
            "expected_volume": st.floats(10, 1e5),
            "ratio": st.floats(0.3, 3),
        }
    ),
    min_size=1,
    max_size=6,
).map(
    lambda rows: pd.DataFrame(rows).assign(
        hospital=range(len(rows)), volume=lambda t: t["expected_volume"] * t["ratio"]
    )
)


@given(HOSPITALS)
@settings(max_examples=40, deadline=None)
def test_components_add_up_and_charges_stay_in_the_corridor(hospitals):
    payment = maryland_global_budget(hospitals, on=ON)
    cents = (payment.table * 100).round()
    assert (cents[payment.components].sum(axis=1) == cents["total"]).all()
    assert (payment.details["rate_change"].abs() <= 0.05).all()
    budget = payment.total - payment.table["outside_corridor"]
    approved = budget * hospitals["volume"] / hospitals["expected_volume"]
    assert (payment.total <= approved * 1.05 + 0.1).all()
    assert (payment.total >= approved * 0.95 - 0.1).all()


@given(HOSPITALS, st.sampled_from([0.5, 3.0]))
@settings(max_examples=25, deadline=None)
def test_another_currency_scales_the_budget(hospitals, rate):
    money = ["base_revenue", "market_shift"]
    other = hospitals.assign(**{column: hospitals[column] * rate for column in money})
    ours, theirs = (maryland_global_budget(table, on=ON).total for table in (hospitals, other))
    assert np.abs(theirs - rate * ours).max() <= 0.05 * (1 + rate)


@given(st.floats(1e6, 1e9), st.floats(10, 1e5), st.floats(0.3, 3))
@settings(max_examples=40, deadline=None)
def test_revenue_at_a_volume_agrees_with_the_budget_of_a_hospital_at_that_volume(budget, expected, ratio):
    row = budget_and_fees(budget, expected, [expected * ratio], on=ON).iloc[0]
    one = pd.DataFrame([{"hospital": "A", "base_revenue": budget, "inflation": 0.0}])
    paid = maryland_global_budget(one.assign(expected_volume=expected, volume=expected * ratio), on=ON)
    assert row["global_budget"] == pytest.approx(paid.total["A"], abs=0.02)
    assert row["fee_for_service"] == pytest.approx(budget * ratio)


def test_marginal_revenue_is_that_of_one_more_unit():
    volumes = np.array([5_000.0, 9_000.0, 9_800.0, 10_000.0, 10_300.0, 12_000.0])
    table, more = (budget_and_fees(1e8, 10_000, v, on=ON) for v in (volumes, volumes + 1e-3))
    slope = (more["global_budget"].to_numpy() - table["global_budget"].to_numpy()) / (1e-3 * 1e8 / 10_000)
    np.testing.assert_allclose(table["marginal_share"], slope, atol=1e-3)
    assert table["marginal_share"].tolist() == [1.05, 1.05, 0, 0, 0, 0.95]
    assert (table["market_shift_share"] == 0.5).all()
    assert "unit_rate.corridor, market_shift.variable_cost_factor" in table.attrs["notes"][0]


def test_growth_per_head_is_held_against_the_limit():
    hospitals = pd.DataFrame({"hospital": ["A", "B"], "base_revenue": [60e6, 40e6], "inflation": [0.03, 0.05]})
    budgets = maryland_global_budget(hospitals.assign(expected_volume=1, volume=2), on=ON)
    result = all_payer_growth(budgets, population_growth=0.004, on=ON)
    # (61.8 + 42.0) / 100 / 1.004 - 1; what is collected at other volumes is no part of it
    assert result["growth"] == pytest.approx(1.038 / 1.004 - 1)
    assert result["limit"] == 0.0358
    assert result["room"] == pytest.approx(100e6 * 1.004 * 1.0358 - 103.8e6)
    assert result["status"] == "primary"
    assert all_payer_growth(budgets, population_growth=0.004, on="2018-01-01")["status"] == "unconfirmed"


def test_bad_hospitals_are_refused_with_the_row_and_the_remedy():
    for columns, message in (
        ({"base_revenue": 0}, "base_revenue of hospital A is 0; it must be at least 0.01"),
        ({"inflation": -2}, "inflation of hospital A is -2; it must be from -0.5 to 0.5"),
        ({"inflation": 3}, "inflation of hospital A is 3; it must be from -0.5 to 0.5, so 0.03 for 3 %"),
        ({"quality": 1}, "quality of hospital A is 1; .* so 0.01 for 1 %"),
        ({"unregulated": -5.0}, "unregulated of hospital A is -5; it must be at least 0"),
        ({"unregulated": 1e9}, "The budget of hospital A is negative"),
        ({"volume": 10}, "has no column expected_volume"),
        ({"volume": 0, "expected_volume": 10}, "volume of hospital A is 0; it must be at least 0.01"),
    ):
        with pytest.raises(PaymentError, match=message):
            maryland_global_budget(hospital(**columns), on=ON)
    with pytest.raises(PaymentError, match="hospital A has more than one row of hospitals; give each one row"):
        maryland_global_budget(pd.concat([hospital(), hospital()]), on=ON)
    with pytest.raises(RulesError, match="was not in force on 2013-12-31"):
        maryland_global_budget(hospital(), on="2013-12-31")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1e6, 100, [50, 0]), "volumes must be a list of numbers above 0"),
        ((1e6, 100, []), "volumes must be a list of numbers above 0"),
        ((1e6, 100, ["many"]), "volumes must hold numbers only"),
        (("1e6", 100, [50]), "budget is '1e6'; give a number above 0"),
        ((1e6, np.nan, [50]), "expected_volume is nan; give a number above 0"),
    ],
)
def test_volumes_that_cannot_be_worked_out_are_refused(arguments, message):
    with pytest.raises(ApmkitError, match=message):
        budget_and_fees(*arguments, on=ON)


@pytest.mark.parametrize("growth", [-3, 0.5, np.nan, "0.005", None])
def test_population_growth_in_percent_or_in_words_is_refused(growth):
    with pytest.raises(PaymentError, match=r"population_growth is .*, so 0.005 for 0.5 %"):
        all_payer_growth(maryland_global_budget(hospital(), on=ON), population_growth=growth, on=ON)


def test_the_all_payer_limit_is_of_global_budgets_only():
    fees = fee_for_service(synthetic_practices(n_practices=2), on=ON)
    with pytest.raises(PaymentError, match="needs the result of maryland_global_budget, not of"):
        all_payer_growth(fees, population_growth=0.0, on=ON)


def test_a_wider_corridor_can_be_tried():
    rules = rulebook("maryland").with_values({"unit_rate.corridor": 0.1})
    paid = maryland_global_budget(hospital(expected_volume=100, volume=92), on=ON, rules=rules)
    assert paid.total["A"] == 204e6
