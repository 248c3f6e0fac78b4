"""Primary Care First pays by risk group, visit and quarter; a second, plain implementation pays the same."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import ApmkitError
from apmkit.payment import Practices, primary_care_first, rulebook
from apmkit.payment.rulebook import RulesError


def year(country="US", practices=(), **columns):
    patients = {
        "practice": ["A", "A", "B"],
        "age": 70,
        "sex": "F",
        "risk_score": [1.0, 1.4, 2.5],
        "months": [12, 6, 12],
        "visits": [3, 2, 10],
        "fees": [500.0, 300.0, 900.0],
        "fees_outside_basket": [10.0, 0.0, 20.0],
    }
    table = pd.DataFrame({"practice": ["A", "B"], "physicians": [1, 1]} | dict(practices))
    return Practices(pd.DataFrame(patients | columns), table, country=country)


def simulated(seed, n=60):
    random = np.random.default_rng(seed)
    patients = pd.DataFrame(
        {
            "practice": np.arange(n) % 3,
            "age": 70,
            "sex": "F",
            "risk_score": random.lognormal(0, 0.7, n) * random.choice([1, 2, 3], 3)[np.arange(n) % 3],
            "enrolled": (random.random(n) < 0.8) | (np.arange(n) < 3),
            "months": random.integers(0, 13, n),
            "visits": random.poisson(3, n),
            "fees": random.gamma(2, 200, n).round(2),
        }
    )
    return Practices(patients, pd.DataFrame({"practice": [0, 1, 2], "physicians": [1, 2, 3]}), country="US")


def test_worked_by_hand():
    paid = primary_care_first(year(), on="2021-01-01", geographic=[1.0, 1.1], adjustment=[[0.5, -0.1, 0, 0.2], [0] * 4])
    # A: mean risk 1.2 is in the second group: 18 months x 45 = 810; 5 visits x 40.82 = 204.10.
    # B: mean risk 2.5, the fourth: 12 x 175 = 2,100; 10 visits x 40.82 x 1.1 = 449.02.
    assert paid.table["population_payment"].tolist() == [810, 2100]
    assert paid.table["visit_fees"].tolist() == [204.10, 449.02]
    # A quarter of 1,014.10 each: x (0.5 - 0.1 + 0 + 0.2) = 152.115, to the cent 152.11 or 152.12.
    assert paid.table["performance_adjustment"]["A"] == pytest.approx(1014.10 / 4 * 0.6, abs=0.005)
    assert paid.table["performance_adjustment"]["B"] == 0
    # Visits of attributed beneficiaries are paid no fee; services outside the basket are.
    assert paid.table["fees_in_basket"].tolist() == [0, 0]
    assert paid.table["fees_outside_basket"].tolist() == [10, 20]
    assert paid.details["risk_group"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("risk", "amount"),
    [(0.3, 28), (1.199, 28), (1.2, 45), (1.499, 45), (1.5, 100), (1.999, 100), (2.0, 175), (6.0, 175)],
)
def test_the_group_follows_the_mean_risk(risk, amount):
    paid = primary_care_first(year(risk_score=risk, months=12), on="2023-12-31")
    assert paid.details["monthly_amount"].tolist() == [amount, amount]


def test_patients_who_are_not_attributed_stay_fee_for_service():
    paid = primary_care_first(year(enrolled=[True, False, True]), on="2021-01-01")
    assert paid.table.loc["A", ["population_payment", "visit_fees", "fees_in_basket"]].tolist() == [336, 122.46, 300]
    assert paid.details["attributed"].tolist() == [1, 1]


def test_the_adjustment_may_stand_in_the_table_of_practices():
    column = primary_care_first(year(practices={"performance_adjustment": [-0.1, 0.5]}), on="2021-01-01")
    given_ = primary_care_first(year(), on="2021-01-01", adjustment=pd.Series({"B": 0.5, "A": -0.1}))
    assert column.table.equals(given_.table)
    assert column.table["performance_adjustment"]["A"] < 0
    assert any("taken to be 0" in note for note in primary_care_first(year(), on="2021-01-01").notes)


def test_visits_elsewhere_cut_the_monthly_amount_from_july_2022():
    # A: 810 of population payment, 2 of 4 + 2 visits elsewhere (the patient with 3 visits has 1, the other 2 of 2).
    practices = year(visits=[3, 1, 10], visits_elsewhere=[1, 1, 0])
    before, after = (primary_care_first(practices, on=day, adjustment=0.5) for day in ("2022-06-30", "2022-07-01"))
    assert "leakage_cut" not in before.table
    assert after.table["leakage_cut"].tolist() == [-270, 0]
    # The adjustment is of what is left: (810 - 270 + 4 x 40.82) / 2 = 351.64.
    assert after.table.loc["A", "performance_adjustment"] == 351.64
    assert after.details["leakage"].tolist() == pytest.approx([1 / 3, 0])
    assert "primary_care_first.leakage_cut" in after.unconfirmed
    past = primary_care_first(practices, on="2023-01-01", leakage=pd.Series({"B": 0.1, "A": 1.0}))
    assert past.table["leakage_cut"].tolist() == [-810, -210]
    unknown = primary_care_first(year(), on="2023-01-01")
    assert unknown.table["leakage_cut"].tolist() == [0, 0]
    assert any("leakage is taken to be 0" in note for note in unknown.notes)
    # Only the visits of attributed beneficiaries count, and nobody's visits are no leakage.
    none = year(enrolled=[True, False, True], visits=[0, 1, 10], visits_elsewhere=[0, 5, 0])
    assert primary_care_first(none, on="2023-01-01").details["leakage"].tolist() == [0, 0]


def plain(practices, geographic, quarters):
    """The same rules once more, patient by patient."""
    totals = []
    for name in practices.index:
        rows = [row for row in practices.patients.to_dict("records") if row["practice"] == name]
        members = [row for row in rows if row["enrolled"]]
        mean = sum(row["risk_score"] for row in members) / len(members)
        amount = 28 if mean < 1.2 else 45 if mean < 1.5 else 100 if mean < 2 else 175
        base = sum(amount * row["months"] + 40.82 * geographic * row["visits"] for row in members)
        adjusted = sum(base / 4 * (1 + rate) for rate in quarters)
        totals.append(adjusted + sum(row["fees"] for row in rows if not row["enrolled"]))
    return totals


@given(
    seed=st.integers(0, 10_000),
    geographic=st.floats(0.8, 1.3),
    quarters=st.lists(st.floats(-0.1, 0.5), min_size=4, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_a_plain_second_implementation_pays_the_same(seed, geographic, quarters):
    practices = simulated(seed)
    paid = primary_care_first(practices, on="2022-01-01", geographic=geographic, adjustment=[quarters] * 3)
    assert paid.total.to_numpy() == pytest.approx(plain(practices, geographic, quarters), abs=0.03)
    cents = np.rint(paid.table * 100).astype(int)
    assert (cents[paid.components].sum(axis=1) == cents["total"]).all()
    # The adjustment stays within its limits.
    base = paid.table["population_payment"] + paid.table["visit_fees"]
    assert paid.table["performance_adjustment"].between(-0.1 * base - 0.01, 0.5 * base + 0.01).all()


@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_another_currency_scales_every_component(seed, factor):
    practices, book = simulated(seed), rulebook("primary_care_first")
    groups = book.on("2021-01-01")["population_payment"]
    scaled = book.with_values(
        {
            "population_payment": [{**row, "amount": factor * row["amount"]} for row in groups],
            "visit_fee": 40.82 * factor,
        }
    )
    before = primary_care_first(practices, on="2021-01-01", adjustment=0.2)
    other = practices.change(patients={"fees": practices.patients["fees"] * factor})
    after = primary_care_first(other, on="2021-01-01", adjustment=0.2, rules=scaled)
    assert after.table.to_numpy() == pytest.approx(factor * before.table.to_numpy(), abs=0.05 * (1 + factor))


def test_a_better_adjustment_pays_more():
    totals = [primary_care_first(year(), on="2021-01-01", adjustment=rate).total["A"] for rate in (-0.1, 0, 0.2, 0.5)]
    assert totals == sorted(set(totals))


def test_small_practices_are_named_and_what_is_not_checked_is_said():
    notes = " ".join(primary_care_first(year(), on="2021-01-01").notes)
    assert "2 practices (first A) have fewer than 125" in notes
    assert "70 %" in notes
    large = year(**{name: np.tile(year().patients[name], 130) for name in year().patients})
    assert "fewer than" not in " ".join(primary_care_first(large, on="2021-01-01").notes)


@pytest.mark.parametrize("day", ["2020-12-31", "2026-01-01"])
def test_the_model_pays_in_its_five_years_only(day):
    with pytest.raises(RulesError, match="was not in force"):
        primary_care_first(year(), on=day)


def groups(*rows):
    return rulebook("primary_care_first").with_values({"population_payment": [*rows]})


@pytest.mark.parametrize(
    ("practices", "options", "sentence"),
    [
        (year(), {"rules": groups({"risk_from": 1, "amount": 30})}, "population_payment has a gap or an overlap"),
        (
            year(),
            {"rules": groups(*[{"risk_from": 0, "amount": 30}] * 2)},
            "population_payment has a gap or an overlap",
        ),
        (year(), {"rules": groups({"from": 0, "amount": 30})}, "needs the numbers risk_from and amount"),
        (year(), {"rules": groups({"risk_from": 0, "amount": float("nan")})}, "needs the numbers risk_from and amount"),
        (year(), {"adjustment": 20}, "adjustment is 20, but must be from -0.1 to 0.5; write 0.2 for 20 %"),
        (year(), {"adjustment": -0.2}, "adjustment is -0.2, but must be from -0.1 to 0.5."),
        (
            year(),
            {"adjustment": [[0, 0, 0]] * 2},
            "adjustment has shape (2, 3); give one number, or an array of shape (2, 4)",
        ),
        (year(), {"geographic": -1}, "geographic is -1"),
        (year(), {"geographic": 105}, "geographic is 105, but must be from 0.5 to 2"),
        (year(), {"leakage": 0.1}, "Leakage cuts nothing on 2021-01-01"),
        (year(), {"leakage": 24, "on": "2023-01-01"}, "leakage is 24, but must be from 0 to 1; write 0.24 for 24 %"),
        (year("Canada"), {}, "Primary Care First pays practices in US, but these are in Canada"),
        (year(enrolled=[True, True, False]), {}, "Practice B has no attributed beneficiaries"),
        (year(visits=[1, 2, np.nan]), {}, "visits of patients is missing in row 3"),
        (year(months=13), {}, "at most 12 months"),
        (year(practices={"performance_adjustment": [0.1, 0.9]}), {}, "adjustment is 0.9"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(practices, options, sentence):
    with pytest.raises(ApmkitError) as caught:
        primary_care_first(practices, **{"on": "2021-01-01", **options})
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
