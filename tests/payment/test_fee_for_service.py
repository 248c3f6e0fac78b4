"""Fee-for-service and salary pay what the table of patients and the user say, cut into components."""

import pandas as pd
import pytest

from apmkit.errors import PaymentError
from apmkit.payment import Practices, fee_for_service, salary
from apmkit.payment.rulebook import RulesError


def year(country="US", **columns):
    patients = pd.DataFrame(
        {"practice": ["A", "A", "B"], "age": [70, 40, 8], "sex": ["F", "M", "F"], "fees": [100.01, 200.5, 50.0]}
        | columns
    )
    return Practices(patients, pd.DataFrame({"practice": ["A", "B"], "physicians": [2, 1.5]}), country=country)


def test_fees_are_split_into_basket_after_hours_and_outside_and_add_up():
    paid = fee_for_service(
        year(fees_after_hours=[20.0, 0.0, 5.0], fees_outside_basket=[1.0, 2.0, 3.0]), on="2021-06-30"
    )
    # A: 100.01 + 200.50 = 300.51, of which 20 after hours; outside 3. B: 50, of which 5 after hours; outside 3.
    assert paid.table.loc["A"].tolist() == [280.51, 20.0, 3.0, 303.51]
    assert paid.table.loc["B"].tolist() == [45.0, 5.0, 3.0, 53.0]
    assert paid.details["per_patient"].tolist() == [303.51 / 2, 53.0]


def test_a_component_that_is_not_given_is_left_out_and_not_zero():
    assert fee_for_service(year(), on="2021-01-01").components == ["fees_in_basket"]


def test_the_currency_is_that_of_the_country():
    assert fee_for_service(year("Canada"), on="2021-01-01").currency == "CAD"


def test_salary_is_paid_for_each_physician_whatever_is_done():
    paid = salary(year("Canada"), on="2019-01-01", salary=pd.Series({"B": 300_000, "A": 200_000}), overhead=10_000)
    assert paid.table.loc["A"].tolist() == [400_000, 20_000, 420_000]
    assert paid.table.loc["B"].tolist() == [450_000, 15_000, 465_000]
    busier = salary(year("Canada", fees=[900.0] * 3), on="2019-01-01", salary=[200_000, 300_000], overhead=10_000)
    assert busier.table.equals(paid.table)
    assert any("given by the user" in note for note in paid.notes)


@pytest.mark.parametrize(
    ("pay", "sentence"),
    [
        (lambda: fee_for_service(year().patients, on="2021-01-01"), "Practices are needed, not DataFrame"),
        (lambda: fee_for_service(year(fees=[1, -2, 3]), on="2021-01-01"), "fees of patients is -2 in row 2"),
        (
            lambda: fee_for_service(year(fees_after_hours=[0, 300, 0]), on="2021-01-01"),
            "300 in row 2 of patients, above",
        ),
        (lambda: salary(year(), on="2021-01-01", salary=-1), "salary is -1, but must be at least 0"),
        (lambda: salary(year(), on="2021-01-01", salary="high"), "salary is not numeric"),
        (lambda: salary(year(), on="2021-01-01", salary=[1, 2, 3]), "salary has shape (3,); give one number"),
        (lambda: salary(year(), on="2021-01-01", salary=[1, float("nan")]), "salary is missing or infinite"),
        (lambda: salary(year(), on="2021-01-01", salary=pd.Series({"A": 1})), "salary has no value for practice B"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(pay, sentence):
    with pytest.raises(PaymentError) as caught:
        pay()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_day_that_is_none_is_refused():
    with pytest.raises(RulesError, match="2021-13-01"):
        fee_for_service(year(), on="2021-13-01")
