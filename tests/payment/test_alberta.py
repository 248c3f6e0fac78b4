import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import ApmkitError
from apmkit.payment import CapitationSchedule, Practices, alberta_blended_capitation, rulebook
from apmkit.payment.rulebook import RulesError

SCHEDULE = CapitationSchedule(
    pd.DataFrame({"age_from": 0, "age_to": [None, None], "sex": ["F", "M"], "rate": [200.0, 100.0]})
)
GROUPS = {0: 0.5, 1: 1.0, 2: 3.0}


def clinic(**patients):
    table = {
        "practice": "A",
        "age": 40,
        "sex": ["F", "M", "F"],
        "enrolled": [True, True, False],
        "risk_score": [2.0, 0.99, 1.0],
        "fees": [300.0, 100.0, 80.0],
        "fees_elsewhere": [60.0, 15.0, 500.0],
        "fees_outside_basket": [10.0, 0.0, 5.0],
    }
    physicians = pd.DataFrame({"practice": ["A"], "physicians": [1]})
    return Practices(pd.DataFrame({**table, **patients}), physicians, "Canada")


def paid(practices, **terms):
    given = {"on": "2019-04-01", "schedule": SCHEDULE, "health_profile": GROUPS, **terms}
    return alberta_blended_capitation(practices, **given)


def test_a_year_by_hand():
    result = paid(clinic())
    assert result.table.iloc[0].to_dict() == {
        "capitation": 552.5,  # 85 % of 200 x 3 + 100 x 0.5; the third patient is not affiliated
        "blended_fees": 60.0,  # 15 % of 300 + 100
        "negation": -75.0,  # 60 + 15
        "fees_not_enrolled": 80.0,
        "fees_outside_basket": 15.0,
        "total": 632.5,
    }
    assert result.details.iloc[0].to_dict() == {
        "enrolled": 2.0,
        "mean_multiplier": 1.75,
        "outside_use": 75.0,
        "negation_not_taken": 0.0,
    }


def test_there_is_no_negation_in_the_first_year_and_from_its_anniversary_there_is():
    days = ["2019-04-01", "2020-03-31", "2020-04-01"]
    negation = [paid(clinic(), on=day, joined="2019-04-01").table["negation"].item() for day in days]
    assert negation == [0, 0, -75]
    assert any("free of negation" in note for note in paid(clinic(), joined="2019-01-01").notes)


def test_half_a_year_without_negation_can_be_tried():
    rules = rulebook("alberta").with_values({"negation.free_years": 0.5})
    days = ["2019-09-30", "2019-10-01"]
    assert [paid(clinic(), on=day, joined="2019-04-01", rules=rules).table["negation"].item() for day in days] == [
        0,
        -75,
    ]


def test_negation_stops_at_the_capitation_of_the_clinic():
    result = paid(clinic(fees_elsewhere=[600.0, 0.0, 0.0]))
    assert result.table["negation"].item() == -552.5
    assert result.details["negation_not_taken"].item() == 47.5


def test_the_model_begins_in_november_2016():
    with pytest.raises(RulesError, match="was not in force on 2016-10-31"):
        paid(clinic(), on="2016-10-31")
    assert paid(clinic(), on="2016-11-01").total.item() == 632.5


def test_illustrative_terms_are_marked_and_own_terms_are_not():
    shipped = alberta_blended_capitation(clinic(), on="2019-04-01")
    assert {"alberta.illustrative_base_rate", "alberta.illustrative_health_profile"} <= set(shipped.unconfirmed)
    assert sum("illustrative" in note for note in shipped.notes) == 3
    assert paid(clinic()).unconfirmed == ["alberta.negation.floor"]


def test_other_shares_can_be_tried():
    rules = rulebook("alberta").with_values({"capitation_share": 0.5, "fee_share": 0.5})
    table = paid(clinic(), rules=rules).table
    assert (table["capitation"].item(), table["blended_fees"].item()) == (325, 200)


cents = st.integers(0, 10**7).map(lambda amount: amount / 100)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(cents, cents, cents, st.booleans(), st.floats(0.01, 9)), min_size=1), st.floats(1, 500))
def test_capitation_ignores_visits_the_floor_holds_and_a_visit_pays_fifteen_per_cent(people, fee):
    fees, elsewhere, outside, enrolled, risk = map(np.array, zip(*people, strict=True))
    table = pd.DataFrame({"practice": "A", "age": 40, "sex": "F", "fees": fees, "fees_elsewhere": elsewhere})
    table = table.assign(fees_outside_basket=outside, enrolled=enrolled, risk_score=risk)
    practices = Practices(table, pd.DataFrame({"practice": ["A"], "physicians": [1]}), "Canada")
    result = paid(practices)
    row = result.table.iloc[0]
    assert row["capitation"] + row["negation"] >= 0
    assert round(row[result.components].sum() * 100) == round(row["total"] * 100)
    busier = paid(practices.change(patients={"fees": table["fees"].to_numpy() + np.eye(1, len(table))[0] * fee}))
    assert busier.table["capitation"].item() == row["capitation"]
    share = 0.15 if enrolled[0] else 1
    assert busier.total.item() - row["total"] == pytest.approx(share * fee, abs=0.02)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"health_profile": {0.5: 1.0}}, "health_profile must begin at a risk score of 0"),
        ({"health_profile": {}}, "health_profile must begin at a risk score of 0"),
        ({"health_profile": {0: -1.0}}, r"multipliers \[-1.0\]; each must be from 0 to 20"),
        ({"health_profile": {0: 80, 1: 110}}, r"multipliers \[80.0, 110.0\]; .*, so 0.8 for 80 %"),
        ({"health_profile": {"0": 0.8, "10": 2.0, "2": 1.1}}, "health_profile must map risk scores to multipliers"),
        ({"health_profile": [0.8, 1.1]}, "health_profile must map risk scores to multipliers"),
        ({"health_profile": {0: 1.0, np.inf: 2.0}}, "health_profile must begin at a risk score of 0"),
        ({"joined": pd.NaT}, "NaT is not a day"),
        ({"rules": "alberta"}, r"rules is of type str; give a Rulebook, as rulebook\('alberta'\) does"),
        ({"health_profile": {0: "high"}}, "health_profile must map risk scores to multipliers"),
        ({"joined": "2020-01-01"}, "joined on 2020-01-01, after 2019-04-01"),
        ({"joined": "April 2019"}, "'April 2019' is not a day"),
    ],
)
def test_bad_terms_are_refused_in_one_sentence(terms, message):
    with pytest.raises(ApmkitError, match=message):
        paid(clinic(), **terms)


def test_patients_without_a_risk_score_and_american_clinics_are_refused():
    practices = clinic()
    with pytest.raises(ApmkitError, match="no column risk_score, which this model needs"):
        paid(Practices(practices.patients.drop(columns="risk_score"), practices.practices, "Canada"))
    with pytest.raises(ApmkitError, match="pays practices in Canada, but these are in US"):
        paid(Practices(practices.patients, practices.practices, "US"))
