"""Every published settlement is rebuilt, and what is not is listed with its reason."""

import numpy as np
import pandas as pd
import pytest

from apmkit.datasets import load
from apmkit.errors import PaymentError
from apmkit.payment import explain_settlement, published_aco_years, reconcile_mssp, rulebook

YEARS = range(2013, 2024)


@pytest.fixture(scope="module")
def data():
    return load("mssp")


@pytest.fixture(scope="module")
def found(data):
    return reconcile_mssp(data)


@pytest.mark.parametrize("year", YEARS)
def test_every_paid_aco_is_rebuilt_within_a_tenth_of_a_percent_and_to_the_dollar_where_rates_are_exact(found, year):
    row = found.years.loc[year]
    assert row["acos"] == (found.rows["year"] == year).sum()
    assert row["paid"] == row["within_0.1%"] == row["within_rounding"] > 50
    assert row["exact_rate"] == row["exact_within_dollar"] > 0
    assert row["rebuilt_paid"] == pytest.approx(row["published_paid"], rel=3e-5)


def test_rates_are_exact_for_every_paid_aco_in_five_years(found):
    exact = found.years.query("exact_rate == paid").index
    assert exact.tolist() == [2013, 2014, 2021, 2022, 2023]
    assert (found.years.loc[exact, "within_dollar"] == found.years.loc[exact, "paid"]).all()


def test_no_aco_is_paid_that_was_not_and_none_goes_unpaid_that_was(found):
    assert ((found.rows["published"] > 0) == (found.rows["rebuilt"] > 0)).all()
    assert ((found.rows["published"] < 0) == (found.rows["rebuilt"] < 0)).all()


def test_losses_are_rebuilt_but_for_four_limited_by_a_revenue_that_is_not_published(found):
    years = found.years
    assert years["owing"].to_dict() == {
        **dict.fromkeys(YEARS, 0),
        2013: 1,
        2016: 4,
        2017: 11,
        2018: 11,
        2019: 6,
        2023: 20,
    }
    missed = years["owing"] - years["losses_within_0.1%"]
    assert missed[missed > 0].to_dict() == {2019: 1, 2023: 3}
    differing = found.exceptions.query("not agrees")
    assert differing["aco_id"].tolist() == ["A2392", "A1241", "A4627", "A5293"]
    assert (
        differing["reason"]
        .str.endswith("a limit on participant revenue, which is not published, can make it lower")
        .all()
    )
    assert (differing["rebuilt"] < differing["published"]).all()


def test_losses_before_disaster_adjustments_follow_the_loss_rate_wherever_no_limit_binds(data, found):
    details = found.payment.details.reset_index(drop=True)
    losing = (details["loss_rate"] > 0).to_numpy()
    relief = published_aco_years(data)["disaster_adjustment"].abs().fillna(0)
    before = (relief - data["earned_savings"].clip(upper=0))[losing]
    expected = -found.payment.table["shared_losses"].to_numpy()[losing]
    agree = np.abs(before - expected) <= 1 + found.rows["rounding"][losing]
    assert (agree.sum(), (~agree).sum()) == (76, 8)
    assert (before[~agree] < expected[~agree.to_numpy()]).all()
    assert not details.loc[losing, "revenue_known"][~agree].any()


def test_every_exception_is_listed_with_its_reason(found):
    kinds = found.exceptions.groupby(["year", found.exceptions["reason"].str[:30]]).size().unstack(fill_value=0)
    assert kinds["Past the minimum savings rate "].loc[lambda n: n > 0].to_dict() == {
        2013: 6,
        2014: 6,
        2015: 1,
        2017: 3,
    }
    assert kinds["Negative generated savings on "].loc[lambda n: n > 0].to_dict() == {2018: 59, 2019: 50}
    assert kinds["Loss cancelled by the disaster"].loc[lambda n: n > 0].to_dict() == {2020: 1, 2021: 15, 2022: 15}
    assert kinds["Minimum savings rate outside t"].loc[lambda n: n > 0].to_dict() == {2017: 1}
    assert kinds["Loss before the disaster adjus"].loc[lambda n: n > 0].to_dict() == {2019: 1, 2023: 3}
    assert kinds.to_numpy().sum() == len(found.exceptions) == found.years["exceptions"].sum()


def test_every_row_that_differs_and_every_unpaid_saving_is_an_exception(data, found):
    listed = found.rows.merge(found.exceptions[["year", "aco_id"]], how="left", indicator=True)["_merge"] == "both"
    assert listed[~found.rows["within_0.1%"]].all()
    odd = (data["generated_savings"] != 0) & (data["earned_savings"].fillna(0) == 0)
    assert listed[odd.to_numpy()].all()


def test_advance_payments_were_recouped_up_to_what_was_earned(data):
    recouped = data[data["advance_payment_recouped"] > 0]
    assert len(recouped) == 55
    assert (recouped["advance_payment_recouped"] <= recouped["earned_savings"] + 1).all()
    in_full = np.minimum(recouped["advance_payment_amount"], recouped["earned_savings"])
    assert ((recouped["advance_payment_recouped"] - in_full).abs() <= 1).all()


def test_a_wrong_rule_is_found(data):
    acos = data[data["year"] == 2022]
    for change in ({"sequestration.rate": 0.01}, {"basic_b.sharing_rate": 0.45}):
        found = reconcile_mssp(acos.assign(final_sharing_rate=np.nan), rules=rulebook("mssp").with_values(change))
        assert found.years.loc[2022, "within_0.1%"] < 304
        assert found.exceptions["reason"].str.startswith("The rules give another amount").any()


def test_a_damaged_payment_is_found(data):
    acos = data[data["year"] == 2022].copy()
    paid = acos.index[acos["earned_savings"] > 0][0]
    acos.loc[paid, "earned_savings"] *= 1.002
    found = reconcile_mssp(acos)
    assert found.exceptions.query("not agrees")["aco_id"].tolist() == [acos.loc[paid, "aco_id"]]
    assert "1 of them because the amounts differ" in found.summary()


def later_year(data):
    """The ACOs of 2023 as if in 2024: no emergency, and half the rate below the minimum for new low-revenue ACOs."""
    acos = data[data["year"] == 2023].copy()
    acos["year"] = 2024
    difference = acos["benchmark_minus_expenditures"]
    below = (
        (difference > 0) & (acos["generated_savings"] == 0) & ~acos["two_sided"]
        & (acos["revenue_category"] == "low") & (acos["beneficiaries"] >= 5000)
    )  # fmt: skip
    acos.loc[below, "agreement_start"] = pd.Timestamp("2024-01-01")
    acos.loc[below, "final_sharing_rate"] = 0.2
    acos.loc[below, "generated_savings"] = difference[below]
    acos.loc[below, "earned_savings"] = (0.98 * 0.2 * difference[below]).round()
    return acos, below


def test_a_later_year_in_the_layout_of_the_latest_is_settled_by_its_own_rules(data):
    acos, below = later_year(data)
    found = reconcile_mssp(pd.concat([data[data["year"] == 2023], acos]))
    row = found.years.loc[2024]
    assert below.sum() == 17
    assert row["paid"] == row["exact_within_dollar"] == 313 + below.sum()
    reasons = found.payment.details.loc[2024, "reason"]
    assert (reasons == "Savings below the minimum shared at the reduced rate for low-revenue ACOs").sum() == below.sum()
    assert found.years.loc[2023, "paid"] == 313


def test_rates_scaled_by_the_alternative_standard_are_taken_as_fine_as_the_score(data):
    acos, _ = later_year(data)
    row = acos.index[(acos["track"] == "ENHANCED") & (acos["earned_savings"] > 1e7)][0]
    acos.loc[row, "quality_score"] = 0.5678
    acos.loc[row, "final_sharing_rate"] = round(0.75 * 0.5678, 4)  # printed with the four places of the other rates
    acos.loc[row, "earned_savings"] = round(0.98 * 0.75 * 0.5678 * acos.loc[row, "benchmark_minus_expenditures"])
    found = reconcile_mssp(acos)
    scaled = found.rows.loc[found.rows["aco_id"] == acos.loc[row, "aco_id"]].iloc[0]
    assert abs(scaled["difference"]) <= 1
    assert not scaled["exact_rate"]


def test_an_aco_that_left_during_the_year_is_an_exception_with_that_reason(data):
    acos, _ = later_year(data)
    paid, owing = acos.index[acos["earned_savings"] > 1e6][0], acos.index[acos["earned_savings"] < -1e6][0]
    acos.loc[[paid, owing], "mid_year_termination"] = True
    found = reconcile_mssp(acos.assign(earned_savings=acos["earned_savings"].where(acos.index != paid, 0)))
    reasons = found.exceptions.set_index("aco_id")["reason"]
    for row in (paid, owing):
        assert reasons[acos.loc[row, "aco_id"]].startswith("Left the program during the year")


def test_results_without_a_published_column_are_refused(data):
    with pytest.raises(PaymentError, match="have no column quality_score; give them as apmkit"):
        reconcile_mssp(data.drop(columns="quality_score"))


def test_a_settlement_is_explained_from_numbers_written_as_text():
    aco = {"year": "2022", "track": "BASIC B", "beneficiaries": "10000", "met_quality_standard": True}
    steps = explain_settlement(pd.DataFrame([{**aco, "benchmark": "100000000", "expenditures": "95000000"}]))
    assert steps["value"].iloc[-1] == 1_960_000


# -- one settlement explained ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("year", "aco"),
    [(2019, "A2772"), (2021, "A1080"), (2023, "A1539"), (2015, "A2355"), (2019, "A1498"), (2023, "A5226")],
)
def test_the_steps_of_a_settlement_lead_to_what_was_published(data, year, aco):
    acos = published_aco_years(data.query("year == @year and aco_id == @aco"))
    steps = explain_settlement(acos, unknown_revenue="benchmark").set_index("step")
    assert steps["value"].iloc[-1] == pytest.approx(acos["earned_savings"].iloc[0], abs=1)
    moved = steps.loc[(steps["unit"] == "USD") & (steps["citation"] != ""), "value"]
    assert moved.sum() + steps["value"].get("Spared by the disaster adjustment", 0) * (
        steps["citation"].get("Spared by the disaster adjustment") == ""
    ) == pytest.approx(steps["value"].iloc[-1], abs=0.011)
    assert steps.loc["Minimum savings rate", "citation"].startswith("42 CFR 425.60")


def test_words_of_a_step_follow_the_rule(data):
    steps = explain_settlement(published_aco_years(data.query("year == 2019 and aco_id == 'A2772'"))).set_index("step")
    assert steps.loc["Sharing rate", "how"] == "Highest rate of the track, 0.5, times quality score 0.9869"
    assert steps.loc["Cut by the payment limit", "how"] == "At most 10 % of the benchmark is paid: 7,663,350.70"
    assert steps.loc["Paid", "how"] == "Savings shared, held to the payment limit"


def test_only_one_settlement_is_explained_at_a_time(data):
    with pytest.raises(ValueError, match="There are 2 ACO-years; choose one row to explain"):
        explain_settlement(data.head(2))
