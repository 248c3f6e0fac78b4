import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import ApmkitError
from apmkit.payment import Practices, bc_lfp, rulebook
from apmkit.payment.rulebook import RulesError


def practice(hours=10.0, **patients):
    table = {
        "practice": "A",
        "age": 40,
        "sex": "F",
        "enrolled": [True, True, False],
        "risk_score": [1.0, 0.99, 5.0],
        "visits": [4, 3, 3],
        "months": [6, 12, 12],
    }
    physicians = pd.DataFrame({"practice": ["A"], "physicians": [1], "hours": [hours]})
    return Practices(pd.DataFrame({**table, **patients}), physicians, "Canada")


def test_a_year_by_hand():
    result = bc_lfp(practice(), on="2023-02-01")
    assert result.table.iloc[0].to_dict() == {
        "time": 1300.0,  # 130 x 10
        "visits": 250.0,  # 25 x 10
        "panel_complexity": 17.0,  # 34 x 6 / 12 for the first patient; the third is not on the panel
        "total": 1567.0,
    }
    assert result.details.iloc[0].to_dict() == {
        "panel": 2.0,
        "complex_patients": 1.0,
        "panel_per_physician": 2.0,
        "share_outside_panel": 0.3,
        "eligible": False,
    }


def test_the_threshold_of_complexity_is_the_users():
    amounts = [
        bc_lfp(practice(), on="2023-02-01", complex_from=x).table["panel_complexity"].item() for x in (0.9, 1, 1.1)
    ]
    assert amounts == [51, 17, 0]


def test_the_conditions_are_a_panel_of_250_and_at_most_30_per_cent_of_visits_outside_it():
    n = 250
    rows = {"enrolled": [True] * n + [False], "risk_score": 1.0, "months": 12}
    for outside, panel, eligible in ((3, n, True), (4, n, False), (3, n - 1, False)):
        visits = np.zeros(n + 1)
        visits[0], visits[-1] = 7, outside
        patients = pd.DataFrame({"practice": "A", "age": 40, "sex": "F", **rows, "visits": visits})
        if panel < n:
            patients = patients.drop(index=1)
        result = bc_lfp(Practices(patients, practice().practices, "Canada"), on="2023-02-01")
        assert result.details["eligible"].item() == eligible
        assert any("miss a condition" in note for note in result.notes) != eligible


def test_the_model_begins_in_february_2023_and_says_that_later_rates_are_unknown():
    with pytest.raises(RulesError, match="was not in force on 2023-01-31"):
        bc_lfp(practice(), on="2023-01-31")
    assert any("later ones are not known" in note for note in bc_lfp(practice(), on="2025-01-01").notes)


def test_other_rates_can_be_tried_and_are_marked():
    result = bc_lfp(practice(), on="2025-01-01", rules=rulebook("bc_lfp").with_values({"visit_rate": 30}))
    assert result.table["visits"].item() == 300
    assert any("given by the user" in note.lower() and "visit_rate" in note for note in result.notes)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.floats(0.01, 9)), min_size=1), st.floats(0, 5000))
def test_a_visit_pays_25_and_an_hour_130_whoever_comes_and_the_sum_holds_to_the_cent(people, hours):
    visits, enrolled, risk = map(np.array, zip(*people, strict=True))
    patients = {"visits": visits, "enrolled": enrolled, "risk_score": risk, "months": 12}
    patients = pd.DataFrame({"practice": "A", "age": 40, "sex": "F", **patients})
    table = pd.DataFrame({"practice": ["A"], "physicians": [1], "hours": [hours]})
    practices = Practices(patients, table, "Canada")
    result = bc_lfp(practices, on="2023-02-01")
    more = practices.change(patients={"visits": visits + 1}, practices={"hours": [hours + 2]})
    assert bc_lfp(more, on="2023-02-01").total.item() - result.total.item() == pytest.approx(
        25 * len(visits) + 2 * 130, abs=0.011
    )
    row = result.table.iloc[0]
    assert round(row[result.components].sum() * 100) == round(row["total"] * 100)


@pytest.mark.parametrize("column", ["enrolled", "risk_score", "visits"])
def test_a_missing_column_is_named(column):
    given = practice()
    with pytest.raises(ApmkitError, match=f"patients has no column {column}, which this model needs"):
        bc_lfp(Practices(given.patients.drop(columns=column), given.practices, "Canada"), on="2023-02-01")


def test_missing_hours_a_negative_threshold_and_american_practices_are_refused():
    given = practice()
    with pytest.raises(ApmkitError, match="practices has no column hours"):
        bc_lfp(Practices(given.patients, given.practices.drop(columns="hours"), "Canada"), on="2023-02-01")
    with pytest.raises(ApmkitError, match="complex_from is -1; give a risk score of 0 or more"):
        bc_lfp(given, on="2023-02-01", complex_from=-1)
    with pytest.raises(ApmkitError, match="complex_from is '1'; give a risk score of 0 or more"):
        bc_lfp(given, on="2023-02-01", complex_from="1")
    with pytest.raises(ApmkitError, match="rules is of type str; give a Rulebook"):
        bc_lfp(given, on="2023-02-01", rules="bc_lfp")
    with pytest.raises(ApmkitError, match="Practices are needed, not DataFrame"):
        bc_lfp(given.patients, on="2023-02-01")
    with pytest.raises(ApmkitError, match="pays practices in Canada, but these are in US"):
        bc_lfp(Practices(given.patients, given.practices, "US"), on="2023-02-01")
