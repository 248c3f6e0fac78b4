import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import (
    CapitationSchedule,
    Practices,
    access_bonus,
    ontario_fhg,
    ontario_fho,
    rulebook,
    synthetic_practices,
)
from apmkit.payment.rulebook import RulesError

RATES = {("F", False): 140.0, ("F", True): 300.0, ("M", False): 110.0, ("M", True): 290.0}
BASE = CapitationSchedule(
    pd.DataFrame(
        {
            "age_from": [65 * old for _, old in RATES],
            "age_to": [None if old else 64 for _, old in RATES],
            "sex": [sex for sex, _ in RATES],
            "rate": list(RATES.values()),
        }
    )
)
FLAT = CapitationSchedule(pd.DataFrame({"age_from": 0, "age_to": [None, None], "sex": ["F", "M"], "rate": 24.0}))
BONUS_RATES = {
    "rate_flu65": 0.75,
    "rate_pap": 0.6,
    "rate_mammogram": 0.5,
    "rate_child_immunisation": 0.95,
    "rate_colorectal": 0.45,
}


def practice(patients, **columns):
    table = pd.DataFrame({"practice": ["A"], "physicians": [1], **columns})
    return Practices(pd.DataFrame({"practice": "A", **patients}), table, country="Canada")


@pytest.fixture(scope="module")
def small():
    """Three enrolled patients, one of them for six months, and one who is not enrolled."""
    return practice(
        {
            "age": [40, 70, 66, 30],
            "sex": ["F", "M", "F", "M"],
            "enrolled": [True, True, True, False],
            "months": [12, 12, 6, 12],
            "fees": [200.0, 300.0, 100.0, 80.0],
            "fees_after_hours": [50.0, 0.0, 0.0, 40.0],
            "fees_elsewhere": [35.0, 0.0, 25.0, 500.0],
            "fees_outside_basket": [20.0, 10.0, 0.0, 5.0],
        },
        **BONUS_RATES,
    )


def one(fees=0.0, enrolled=True, n=1, **patients):
    """A practice of patients who are alike."""
    zero = {"fees_after_hours": 0.0, "fees_elsewhere": 0.0, "fees_outside_basket": 0.0}
    return practice(
        {"age": [40] * n, "sex": "F", "enrolled": enrolled, "fees": fees, **zero, **patients}, **BONUS_RATES
    )


def paid(engine, practices, on, component, **terms):
    return engine(practices, on=on, comprehensive_care=FLAT, **terms).table[component].item()


def test_a_fho_year_by_hand(small):
    table = ontario_fho(small, on="2015-04-01", schedule=BASE, comprehensive_care=FLAT).table
    assert table.iloc[0].to_dict() == {
        "base_capitation": 580.0,  # 140 + 290 + 300 x 6 / 12
        "comprehensive_care": 60.0,  # 24 + 24 + 24 x 6 / 12
        "shadow_billing": 90.0,  # 15 % of 200 + 300 + 100
        "access_bonus": 47.82,  # 18.59 % of 580 = 107.822, less 35 + 25; the fourth patient is not enrolled
        "after_hours_premium": 15.0,  # 30 % of 50
        "preventive_bonuses": 4620.0,  # 1,100 + 220 + 0 + 2,200 + 1,100
        "fees_not_enrolled": 80.0,
        "fees_outside_basket": 35.0,
        "total": 5527.82,
    }


def test_a_fhn_year_by_hand(small):
    rules = rulebook("ontario").with_values({"fhn.roster_limit": 2})
    table = ontario_fho(small, on="2015-04-01", model="FHN", rules=rules, schedule=BASE, comprehensive_care=FLAT).table
    assert table["access_bonus"].item() == 59.77  # 20.65 % of 580 = 119.77, less 60
    assert table["roster_disincentive"].item() == -96.67  # half of 580 for the one of three patients above the limit
    assert paid(ontario_fho, small, "2015-04-01", "roster_disincentive", model="FHN", schedule=BASE) == 0


def test_a_fhg_year_by_hand(small):
    rules = rulebook("ontario").with_values({"preventive.fhg_least_roster": 3})
    table = ontario_fhg(small, on="2015-04-01", rules=rules, comprehensive_care=FLAT).table
    assert table.iloc[0].to_dict() == {
        "fees": 680.0,
        "fees_outside_basket": 35.0,
        "comprehensive_premium": 60.0,  # 10 % of the fees of enrolled patients, 600
        "after_hours_premium": 15.0,
        "comprehensive_care": 60.0,
        "preventive_bonuses": 4620.0,
        "total": 5470.0,
    }
    assert paid(ontario_fhg, small, "2015-04-01", "preventive_bonuses") == 0  # three patients, not 650


def test_the_published_example_of_a_prorated_bonus():
    """575 enrolled patients and 75 % vaccinated are paid CAD 633 (575 / 1000 x 1,100), YES Corp, 22 May 2024."""
    practices = one(n=575).change(practices={"rate_child_immunisation": [0.0]})
    assert paid(ontario_fho, practices, "2025-03-31", "preventive_bonuses") == 632.5


@pytest.mark.parametrize(
    ("engine", "component", "steps"),
    [
        (ontario_fho, "shadow_billing", [("2010-12-31", 100), ("2011-01-01", 150)]),
        (ontario_fho, "shadow_billing", [("2023-03-31", 150), ("2023-04-01", 194.1)]),
        (ontario_fho, "after_hours_premium", [("2010-12-31", 50), ("2011-01-01", 150)]),
        (ontario_fhg, "after_hours_premium", [("2023-03-31", 150), ("2023-04-01", 250)]),
        (ontario_fhg, "comprehensive_premium", [("2026-03-31", 100), ("2026-04-01", 150), ("2027-04-01", 200)]),
    ],
)
def test_premiums_change_on_their_day(engine, component, steps):
    practices = one(fees=1000.0, fees_after_hours=500.0)
    assert [paid(engine, practices, day, component) for day, _ in steps] == [amount for _, amount in steps]


def test_the_hard_cap_holds_per_physician_and_was_suspended_for_a_time():
    practices = one(fees=100_000.0, enrolled=False).change(practices={"physicians": [1]})
    days = ["2020-03-31", "2020-04-01", "2021-09-30", "2021-10-01"]
    assert [paid(ontario_fho, practices, day, "fees_not_enrolled") for day in days] == [45e3, 100e3, 100e3, 57e3]
    two = practices.change(practices={"physicians": [2]})
    result = ontario_fho(two, on="2020-03-31")
    assert result.table["fees_not_enrolled"].item() == 90_000
    assert result.details["fees_above_hard_cap"].item() == 10_000
    assert any("suspended" in note for note in ontario_fho(two, on="2020-04-01").notes)


def test_screening_bonuses_end_for_capitation_in_2024_and_stay_in_the_fhg():
    practices = one(n=1000)
    kept = 1100 + 2200
    assert paid(ontario_fho, practices, "2024-03-31", "preventive_bonuses") == kept + 220 + 1100
    assert paid(ontario_fho, practices, "2024-04-01", "preventive_bonuses") == kept
    assert paid(ontario_fhg, practices, "2024-04-01", "preventive_bonuses") == kept + 220 + 1100
    assert paid(ontario_fhg, practices, "2006-03-31", "preventive_bonuses") == 0


def test_models_and_the_access_bonus_begin_and_end_on_their_days():
    practices = one()
    assert paid(ontario_fho, practices, "2003-12-31", "access_bonus", model="FHN", schedule=BASE) == 0
    assert paid(ontario_fho, practices, "2004-01-01", "access_bonus", model="FHN", schedule=BASE) == 28.91
    assert paid(ontario_fho, practices, "2026-03-31", "access_bonus", schedule=BASE) == 26.03
    for engine, day, terms in (
        (ontario_fho, "2005-12-31", {}),
        (ontario_fho, "2026-04-01", {}),
        (ontario_fho, "2001-12-31", {"model": "FHN"}),
        (ontario_fhg, "2003-12-31", {}),
    ):
        with pytest.raises(RulesError, match=f"was not in force on {day}"):
            engine(practices, on=day, **terms)


def test_results_name_what_is_illustrative_and_unconfirmed(small):
    result = ontario_fho(small, on="2015-04-01")
    assert any("illustrative schedule" in note for note in result.notes)
    assert {"ontario.fho.illustrative_base_rate", "ontario.after_hours_premium"} <= set(result.unconfirmed)
    own = ontario_fho(small, on="2015-04-01", schedule=BASE, comprehensive_care=FLAT)
    assert not any("illustrative" in text for text in (*own.notes, *own.unconfirmed))


def test_bonuses_say_which_of_their_terms_are_in_doubt(small):
    assert "ontario.preventive.full_roster" in ontario_fho(small, on="2024-03-31").unconfirmed
    assert "ontario.preventive.full_roster" not in ontario_fho(small, on="2024-04-01").unconfirmed
    assert "ontario.preventive.fhg_least_roster" in ontario_fhg(small, on="2024-04-01").unconfirmed


def test_a_bonus_without_its_column_is_noted_and_not_paid(small):
    less = Practices(small.patients, small.practices.drop(columns="rate_pap"), "Canada")
    result = ontario_fho(less, on="2015-04-01")
    assert result.table["preventive_bonuses"].item() == 4400
    assert any("want of the practice columns rate_pap" in note for note in result.notes)


money = st.floats(0, 1e6).map(lambda x: round(x, 2))
pairs = st.lists(st.tuples(money, money), min_size=1, max_size=12)


@given(pairs, st.floats(0, 1), st.data())
def test_the_access_bonus_is_between_nothing_and_its_maximum_and_pools_by_group(pairs, share, data):
    base, outside = np.array(pairs).T
    group = data.draw(st.lists(st.integers(0, 3), min_size=len(base), max_size=len(base)))
    bonus = access_bonus(base, outside, max_share=share, group=group)
    assert (bonus["access_bonus"] >= 0).all()
    assert (bonus["access_bonus"] <= bonus["maximum"] * (1 + 1e-12)).all()
    sums = bonus.groupby(group).sum()
    expected = (sums["maximum"] - sums["outside_use"]).clip(lower=0)
    assert sums["access_bonus"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)


@given(money, money, st.floats(0, 1000))
def test_each_dollar_at_a_walk_in_clinic_takes_a_dollar_of_the_bonus_down_to_nothing(base, outside, more):
    before, after = access_bonus([base, base], [outside, outside + more], max_share=0.2)["access_bonus"]
    assert before - after == pytest.approx(min(more, before), abs=1e-6)


def test_the_access_bonus_falls_with_walk_in_clinics_but_not_with_emergency_visits():
    """The puzzle: the same patients in a city, with walk-in clinics at hand, cost their practice its bonus."""
    away = {"fees_elsewhere": [0.0, 0.0], "ed_visits": [0, 0]}
    alone = one(n=2, **away)
    city = alone.change(patients={"fees_elsewhere": [35.0, 10.0]})
    emergency = alone.change(patients={"ed_visits": [5, 9]})
    bonus = [paid(ontario_fho, p, "2019-04-01", "access_bonus", schedule=BASE) for p in (alone, city, emergency)]
    assert bonus == [52.05, 7.05, 52.05]  # 18.59 % of 280; less 45
    totals = [ontario_fho(p, on="2019-04-01", schedule=BASE).total.item() for p in (alone, emergency)]
    assert totals[0] == totals[1]


def test_practices_in_cities_keep_a_smaller_part_of_the_bonus():
    practices = synthetic_practices("Ontario", n_practices=40, physicians=2, seed=3)
    result = ontario_fho(practices, on="2019-04-01")
    kept = result.table["access_bonus"] / result.details["access_bonus_maximum"]
    urban = practices.practices["urban"].to_numpy(dtype=bool)
    assert kept[urban].mean() < kept[~urban].mean()


def test_pooling_shares_the_bonus_of_a_group_by_base_capitation():
    patients = {"practice": ["A", "A", "B"], "age": 40, "sex": "F", "enrolled": True, "fees": 0.0}
    zero = {"fees_after_hours": 0.0, "fees_elsewhere": [0.0, 0.0, 30.0], "fees_outside_basket": 0.0}
    table = pd.DataFrame({"practice": ["A", "B"], "physicians": 1, "town": ["X", "X"]})
    practices = Practices(pd.DataFrame({**patients, **zero}), table, "Canada")
    alone = ontario_fho(practices, on="2015-04-01", schedule=BASE).table["access_bonus"]
    together = ontario_fho(practices, on="2015-04-01", schedule=BASE, group="town").table["access_bonus"]
    assert alone.tolist() == [52.05, 0.0]  # 18.59 % of 280; 18.59 % of 140 = 26.026 less 30
    assert together.tolist() == [32.05, 16.03]  # 78.078 - 30 = 48.078, two thirds and one third


def scalar_fho(practices, model, on):
    """The same rules patient by patient, in plain Python."""
    terms = rulebook("ontario").on(on)
    result = {}
    for _, row in practices.practices.iterrows():
        people = [p for _, p in practices.patients.iterrows() if p.practice == row.practice]
        roster = [p for p in people if p.enrolled]
        base = sum(RATES[p.sex, p.age >= 65] * p.months / 12 for p in roster)
        bonus = terms[f"{model.lower()}.access_bonus_share"] * base - sum(p.fees_elsewhere for p in roster)
        prevention = 0
        for kind in terms["preventive.capitation_categories"]:
            steps = [s["bonus"] for s in terms[f"preventive.{kind}"] if row[f"rate_{kind}"] >= s["at_least"]]
            prevention += max(steps, default=0) * row.physicians
        least = terms["preventive.full_roster"]
        if least and len(roster) / row.physicians < least:
            prevention *= len(roster) / row.physicians / least
        amounts = [
            base,
            sum(24 * p.months / 12 for p in roster),
            terms["shadow_billing_premium"] * sum(p.fees for p in roster),
            max(bonus, 0),
            terms["after_hours_premium"] * sum(p.fees_after_hours for p in roster),
            prevention,
            min(sum(p.fees for p in people if not p.enrolled), terms["hard_cap"] * row.physicians),
            sum(p.fees_outside_basket for p in people),
        ]
        if model == "FHN":
            excess = max(len(roster) - terms["fhn.roster_limit"] * row.physicians, 0)
            amounts.append(-base * excess / max(len(roster), 1) * (1 - terms["fhn.rate_above_limit"]))
        result[row.practice] = sum(amounts)
    return result


@st.composite
def random_practices(draw):
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(3, 25)), draw(st.integers(1, 3))
    fees = random.integers(0, 10 ** draw(st.integers(3, 7)), (4, n)) / 100
    patients = pd.DataFrame(
        {
            "practice": [*range(k), *random.integers(0, k, n - k)],
            "age": random.integers(0, 110, n),
            "sex": random.choice(["F", "M"], n),
            "enrolled": random.random(n) < draw(st.sampled_from([0.0, 0.5, 1.0])),
            "months": random.integers(1, 13, n),
            "fees": fees[0],
            "fees_after_hours": np.minimum(fees[1], fees[0]),
            "fees_elsewhere": fees[2] / 10,
            "fees_outside_basket": fees[3],
        }
    )
    table = pd.DataFrame({"practice": range(k), "physicians": random.integers(1, 4, k)})
    table = table.assign(**{name: random.integers(0, 101, k) / 100 for name in BONUS_RATES})
    return Practices(patients, table, "Canada")


@settings(max_examples=60, deadline=None)
@given(random_practices(), st.sampled_from(["FHO", "FHN"]), st.sampled_from(["2008-01-01", "2019-04-01", "2024-04-01"]))
def test_agrees_with_a_plain_scalar_implementation_and_adds_up_to_the_cent(practices, model, on):
    result = ontario_fho(practices, on=on, model=model, schedule=BASE, comprehensive_care=FLAT)
    assert result.total.to_dict() == pytest.approx(scalar_fho(practices, model, on), abs=0.051)
    cents = (result.table * 100).round().astype(int)
    assert (cents[result.components].sum(axis=1) == cents["total"]).all()


@settings(max_examples=40, deadline=None)
@given(random_practices(), st.sampled_from([0.5, 3.0]))
def test_capitation_ignores_services_and_money_scales_with_the_currency(practices, scale):
    fees = [column for column in practices.patients if column.startswith("fees")]
    scaled = practices.change(patients={column: practices.patients[column] * scale for column in fees})
    before = ontario_fho(practices, on="2020-06-01", schedule=BASE, comprehensive_care=FLAT)
    after = ontario_fho(scaled, on="2020-06-01", schedule=BASE, comprehensive_care=FLAT)
    for component in ("base_capitation", "comprehensive_care", "preventive_bonuses"):
        assert (after.table[component] == before.table[component]).all()
    for component in ("shadow_billing", "after_hours_premium", "fees_not_enrolled", "fees_outside_basket"):
        tolerance = 0.011 * max(scale, 1)
        assert after.table[component].to_numpy() == pytest.approx(
            before.table[component].to_numpy() * scale, abs=tolerance
        )


@settings(max_examples=15, deadline=None)
@given(st.floats(1, 500))
def test_one_more_visit_pays_a_fhg_more_than_the_fee_and_a_fho_the_shadow_share_of_it(fee):
    def gain(engine, **who):
        before, after = (engine(one(fees=fees, **who), on="2019-04-01").total.item() for fees in (1000.0, 1000.0 + fee))
        return after - before

    assert gain(ontario_fhg) == pytest.approx(1.10 * fee, abs=0.02)
    assert gain(ontario_fho) == pytest.approx(0.15 * fee, abs=0.02)
    assert gain(ontario_fhg, enrolled=False) == pytest.approx(fee, abs=0.02)
    assert gain(ontario_fho, enrolled=False) == pytest.approx(fee, abs=0.02)
    at_cap = [ontario_fho(one(fees=f, enrolled=False), on="2019-04-01").total.item() for f in (45e3, 45e3 + fee)]
    assert at_cap[0] == at_cap[1]


@pytest.mark.parametrize(
    ("change", "terms", "message"),
    [
        ({"practices": {"rate_flu65": [73.0]}}, {}, "rate_flu65 of practice A is 73; .* for instance 0.73"),
        ({"patients": {"fees_after_hours": 900.0}}, {}, "fees_after_hours is above fees in row 1"),
        ({"patients": {"enrolled": 0.5}}, {}, "enrolled must be true or false"),
        ({}, {"model": "FHT"}, "model is 'FHT'; write FHO or FHN"),
        ({}, {"group": "town"}, "no column town; name the column"),
        ({}, {"schedule": pd.DataFrame()}, "must be a CapitationSchedule, not DataFrame"),
        ({}, {"on": "2019-13-01"}, "'2019-13-01' is not a day"),
        ({}, {"on": pd.NaT}, "NaT is not a day"),
        ({}, {"rules": "ontario"}, "rules is of type str; give a Rulebook"),
        ({}, {"rules": rulebook("mssp")}, "pays practices in US, but these are in Canada"),
        ({}, {"model": ["FHO"]}, r"model is \['FHO'\]; write FHO or FHN"),
        ({}, {"group": ["A"]}, "no column .* name the column that holds the group"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(small, change, terms, message):
    with pytest.raises(ApmkitError, match=message):
        ontario_fho(small.change(**change), **{"on": "2019-04-01", **terms})


def test_a_table_of_patients_in_place_of_practices_is_refused(small):
    for engine in (ontario_fhg, ontario_fho):
        with pytest.raises(PaymentError, match="Practices are needed, not DataFrame"):
            engine(small.patients, on="2019-04-01")


@pytest.mark.parametrize("column", ["enrolled", "fees", "fees_after_hours", "fees_elsewhere", "fees_outside_basket"])
def test_a_missing_column_is_named(small, column):
    less = Practices(small.patients.drop(columns=column), small.practices, "Canada")
    with pytest.raises(PaymentError, match=f"no column {column}, which this model needs"):
        ontario_fho(less, on="2019-04-01")


def test_american_practices_and_empty_panels_are_refused(small):
    with pytest.raises(PaymentError, match="pays practices in Canada, but these are in US"):
        ontario_fhg(Practices(small.patients, small.practices, "US"), on="2019-04-01")
    with pytest.raises(PaymentError, match="There are no patients"):
        Practices(small.patients.iloc[:0], small.practices, "Canada")


@pytest.mark.parametrize(
    ("base", "outside", "terms", "message"),
    [
        ([100.0], [-1.0], {}, "outside_use holds a negative"),
        ([np.nan], [1.0], {}, "base_capitation holds a negative, missing"),
        ([100.0, 1.0], [1.0], {}, "2 capitations and 1 amounts"),
        ([100.0], [1.0], {"max_share": 20}, "max_share is 20; give a share"),
        ([100.0], [1.0], {"max_share": "0.2"}, "max_share is '0.2'; give a share"),
        ([100.0], [1.0], {"group": ["A", "B"]}, "group must name the group of every practice"),
    ],
)
def test_an_access_bonus_of_bad_input_is_refused(base, outside, terms, message):
    with pytest.raises(ApmkitError, match=message):
        access_bonus(base, outside, **{"max_share": 0.2, **terms})
