"""Practices: what a payment model is given is checked once, at the door."""

import pickle

import numpy as np
import pandas as pd
import pytest

from apmkit.errors import PaymentError
from apmkit.payment import Practices


def patients(**columns):
    table = {"practice": ["A", "B", "A"], "age": [70, 3, 41], "sex": ["F", "M", "M"], "fees": [10.0, 20.0, 30.0]}
    return pd.DataFrame(table | columns)


def practices(**columns):
    return pd.DataFrame({"practice": ["A", "B"], "physicians": [2, 1]} | columns)


def test_sums_and_counts_are_those_of_each_practice():
    year = Practices(patients(), practices(), country="Canada")
    assert year.sums(year.patient("fees")).tolist() == [40.0, 20.0]
    assert year.n_patients.tolist() == [2, 1]
    assert year.index.tolist() == ["A", "B"]
    assert year.currency == "CAD"
    assert year.patient("months").tolist() == [12, 12, 12]


def test_a_changed_copy_leaves_the_first_as_it_was():
    year = Practices(patients(), practices(), country="US", synthetic=True)
    more = year.change(patients={"fees": [1, 2, 3]}, practices={"hours": [5, 6]})
    assert more.patient("fees").tolist() == [1, 2, 3]
    assert more.practice("hours").tolist() == [5, 6]
    assert year.patient("fees").tolist() == [10, 20, 30]
    assert "synthetic" in more.notes[0]
    assert Practices(patients(), practices(), country="US").notes == ()


@pytest.mark.parametrize(
    ("left", "right", "country", "sentence"),
    [
        (patients()[:0], practices(), "US", "There are no patients"),
        (patients(), practices()[:0], "US", "There are no practices"),
        ({"practice": ["A"]}, practices(), "US", "patients must be a DataFrame, not dict"),
        (patients().drop(columns="sex"), practices(), "US", "The table of patients has no column sex"),
        (patients(), practices(), "Ontario", "country is 'Ontario'; write US or Canada"),
        (patients(practice=["A", "B", "C"]), practices(), "US", "Patients are in practice C, which"),
        (patients(practice=["A", "A", "A"]), practices(), "US", "Practice B has no patients"),
        (patients(), practices(practice=["A", "A"]), "US", "Practice A has two rows"),
        (patients(age=[70.5, 3, 4]), practices(), "US", "An age is 70.5"),
        (patients(age=[170, 3, 4]), practices(), "US", "An age is 170"),
        (patients(age=[-1, 3, 4]), practices(), "US", "age of patients is -1 in row 1; it must be 0 or more"),
        (patients(sex=["F", "M", "X"]), practices(), "US", "A sex is 'X'"),
        (patients(age=[np.inf, 3, 4]), practices(), "US", "age of patients is missing in row 1 or infinite"),
        (patients(), practices(practice=["A", None]), "US", "A practice in the table of practices has no name"),
        (pd.concat([patients(), patients()[["age"]]], axis=1), practices(), "US", "has the column age twice; keep one"),
        (patients(), practices(physicians=[0, 1]), "US", "physicians of practices is 0 in row 1; it must be above 0"),
    ],
)
def test_tables_that_cannot_serve_are_refused(left, right, country, sentence):
    with pytest.raises(PaymentError) as caught:
        Practices(left, right, country=country)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "asked", "sentence"),
    [
        ({}, "visits", "no column visits, which this model needs"),
        ({"visits": [1, np.nan, 2]}, "visits", "visits of patients is missing in row 2"),
        ({"visits": [1, -2, 2]}, "visits", "visits of patients is -2 in row 2"),
        ({"visits": ["a", "b", "c"]}, "visits", "visits of patients is not numeric"),
        ({"risk_score": [1, 0, 2]}, "risk_score", "must be above 0"),
        ({"enrolled": [1, 2, 0]}, "enrolled", "enrolled must be true or false"),
        ({"months": [1, 13, 0]}, "months", "at most 12 months"),
        ({"Months": [1, 3, 0]}, "months", "has a column Months, but no months; name it months"),
    ],
)
def test_a_column_of_patients_is_checked_when_it_is_asked_for(columns, asked, sentence):
    with pytest.raises(PaymentError) as caught:
        Practices(patients(**columns), practices(), country="US").patient(asked)
    assert sentence in str(caught.value)


def test_a_quality_score_in_percent_is_refused_with_the_share():
    year = Practices(patients(), practices(quality_score=[0.8, 73]), country="US")
    with pytest.raises(PaymentError, match=r"quality_score of practice B is 73; give it as a share .* instance 0\.73"):
        year.practice("quality_score")


def test_sums_are_kept_until_a_column_changes():
    year = Practices(patients(enrolled=[True, True, False]), practices(), country="Canada")
    before = year.total("fees", "enrolled")
    assert before.tolist() == [10.0, 20.0]
    assert year.total("fees", "enrolled") is before
    for change, expected in (
        (lambda table: table.__setitem__("fees", table["fees"] * 2), [20.0, 40.0]),
        (lambda table: table.__setitem__((slice(None)), table.assign(fees=1.0)), [1.0, 1.0]),
        (lambda table: table.loc.__setitem__((0, "fees"), 7.0), [7.0, 1.0]),
        (lambda table: table.iloc.__setitem__((2, table.columns.get_loc("enrolled")), True), [8.0, 1.0]),
    ):
        change(year.patients)
        assert year.total("fees", "enrolled").tolist() == expected


def test_a_changed_copy_keeps_the_sums_of_other_columns_only():
    year = Practices(patients(enrolled=True, visits=[1, 2, 3]), practices(), country="Canada")
    fees, visits = year.total("fees"), year.total("visits", "enrolled")
    more = year.change({"visits": [2, 2, 3]})
    assert more.total("fees") is fees
    assert more.total("visits", "enrolled").tolist() == [5.0, 2.0]
    assert year.total("visits", "enrolled") is visits
    moved = year.change({"practice": ["B", "A", "A"]})
    assert moved.total("fees").tolist() == [50.0, 10.0]
    assert year.change({"age": [1, 2, 3]}).age_and_sex.tolist() != year.age_and_sex.tolist()
    with pytest.raises(PaymentError, match="physicians"):
        year.change(practices={"physicians": 0})


def test_what_is_kept_cannot_be_overwritten_and_does_not_outlive_a_pickle():
    year = Practices(patients(visits=[1, 2, 3]), practices(), country="Canada")
    for kept in (year.total("visits"), year.patient("visits"), year.patient("fees"), year.patient("months")):
        with pytest.raises(ValueError, match="read-only"):
            kept[0] = 5
    again = pickle.loads(pickle.dumps(year))
    again.patients["visits"] = [4, 4, 4]
    assert again.total("visits").tolist() == [8.0, 4.0]
    assert year.total("visits").tolist() == [4.0, 2.0]


def test_a_name_that_is_nearly_months_is_refused_in_a_changed_copy_too():
    year = Practices(patients(), practices(), country="Canada")
    assert year.patient("months").tolist() == [12, 12, 12]
    with pytest.raises(PaymentError, match="months"):
        year.change({"month": 6.0}).patient("months")
