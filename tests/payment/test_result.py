"""Payment: components are kept to the cent and add up."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmkit.errors import PaymentError
from apmkit.payment import Payment, rulebook

amounts = st.floats(-1e11, 1e11)


def payment(**components):
    index = pd.Index([f"row {i}" for i in range(len(next(iter(components.values()))))])
    arrays = {name: np.asarray(values, dtype=float) for name, values in components.items()}
    return Payment.from_components(model="A model", currency="USD", components=arrays, index=index)


@given(st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=20))
def test_the_components_add_up_to_the_cent(rows):
    fees, bonus, owed = np.array(rows).T
    table = payment(fees=fees, bonus=bonus, owed=owed).table
    cents = [[round(value * 100) for value in row] for row in table.to_numpy()]
    assert [sum(row[:-1]) for row in cents] == [row[-1] for row in cents]
    assert np.abs(table["fees"].to_numpy() - fees).max() <= 0.0051 + 1e-5


@pytest.mark.parametrize("amount", [np.nan, np.inf, 1e15])
def test_an_amount_that_cannot_be_kept_to_the_cent_is_refused_with_its_row(amount):
    with pytest.raises(PaymentError, match="A model: care fee of row 1 is no amount of money"):
        payment(care_fee=[1.0, amount])


def test_a_total_too_large_for_cents_is_refused_although_its_parts_are_not():
    with pytest.raises(PaymentError, match="the total of row 0 is too large to keep to the cent"):
        payment(fees=[8e13], bonus=[8e13])


def test_a_row_with_a_name_in_two_parts_is_named_as_text():
    index = pd.MultiIndex.from_arrays([["A", "B"], np.array([2021, 2022])])
    with pytest.raises(PaymentError, match="fees of B, 2022 is no amount"):
        Payment.from_components(model="M", currency="USD", components={"fees": np.array([1.0, np.nan])}, index=index)


def test_rows_of_one_name_stay_apart_side_by_side():
    details = pd.DataFrame({"rate": [0.1, 0.2]}, index=["A", "A"])
    found = Payment.from_components(
        model="A model", currency="USD", components={"fees": [1.0, 2.0]}, index=details.index, details=details
    )
    assert found.to_frame()[["fees", "rate"]].to_numpy().tolist() == [[1.0, 0.1], [2.0, 0.2]]


def test_nobody_to_pay_is_refused():
    with pytest.raises(PaymentError, match="has nobody to pay"):
        payment(fees=[])


def test_no_amount_is_minus_zero():
    assert not np.signbit(payment(fees=[-0.001], owed=[0.001]).table.to_numpy()).any()


def test_it_says_when_it_rests_on_a_value_that_is_not_confirmed(tmp_path):
    path = tmp_path / "example.yml"
    part = "label: A, unit: USD, values: {2020-01-01: 1}, citation: none"
    path.write_text(
        "programme: example\ntitle: Example\ncountry: US\ncurrency: USD\nparameters:\n"
        f"  sure: {{{part}, status: primary}}\n  guessed: {{{part}, status: unconfirmed}}\n"
        f"  half: {{{part}, status: partly confirmed}}\n  unread: {{{part}, status: unconfirmed}}\n",
        encoding="utf-8",
    )
    terms = rulebook(path).with_values({"sure": 2}).on("2021-01-01")
    amount = np.array([float(terms["sure"] + terms["guessed"] + terms["half"])])
    found = Payment.from_components(
        model="Example", currency="USD", components={"fees": amount}, index=pd.Index(["A"]), terms=[terms, terms]
    )
    assert found.unconfirmed == ["example.guessed", "example.half"]
    assert found.notes == (
        "This rests on values that are unconfirmed: guessed.",
        "This rests on values that are partly confirmed: half.",
        "Values given by the user: sure.",
    )
    assert found.rules["parameter"].tolist() == ["sure", "guessed", "half"]
    for shown in (found.summary(), repr(found), found._repr_html_(), found.to_json()):
        assert "unconfirmed: guessed" in shown


def test_the_summary_sums_over_rows_and_json_holds_everything():
    found = payment(fees=[1.005, 2.0], owed=[-0.5, 0.0])
    assert found.summary().splitlines() == ["A model: 2 rows, USD", "fees    3.00", "owed   -0.50", "total   2.50"]
    record = json.loads(found.to_json())
    assert record["table"]["data"] == found.table.to_numpy().tolist()
    assert found.to_frame().columns.tolist() == ["fees", "owed", "total"]
    assert found.components == ["fees", "owed"]
    assert found.total.tolist() == [0.5, 2.0]


def test_names_in_html_are_escaped():
    table = Payment.from_components(
        model="<b>A</b>", currency="USD", components={"fees": np.ones(1)}, index=pd.Index(["<i>"]), notes=["<u>"]
    )
    assert not any(tag in table._repr_html_() for tag in ("<b>", "<i>", "<u>"))
