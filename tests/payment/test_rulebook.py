"""Rules: the value in force is the last one dated on or before the day, and a loose file is refused."""

import datetime

import numpy as np
import pandas as pd
import pytest

from apmkit.errors import PaymentError
from apmkit.payment import programmes, rulebook
from apmkit.payment.rulebook import RulesError
from apmkit.payment.tables import columns

GOOD = """\
programme: example
title: An example
country: Canada
currency: CAD
parameters:
  tier.rate:
    label: A rate
    unit: share of savings
    values:
      2019-07-01: 0.5
      2021-01-01: 0.6
      2022-01-01: null
    citation: A source
    status:
      2019-07-01: primary
      2021-01-01: unconfirmed
      2022-01-01: primary
  bands:
    label: A table
    unit: CAD per patient
    values:
      2019-07-01:
        - {from: 0, to: null, rate: 3}
    citation: Another source
    status: secondary
    note: It is short.
"""


def written(tmp_path, text):
    path = tmp_path / "example.yml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def example(tmp_path):
    return rulebook(written(tmp_path, GOOD))


@pytest.mark.parametrize("programme", programmes())
def test_every_rule_holds_from_its_day_until_the_day_before_the_next(programme):
    book, day = rulebook(programme), datetime.timedelta(days=1)
    for name, parameter in book.parameters.items():
        before = None
        for dated in parameter.history:
            for when, value in (
                (dated.effective - day, before),
                (dated.effective, dated.value),
                (dated.effective + day, dated.value),
            ):
                terms = book.on(when)
                assert (terms[name] if name in terms else None) == value, (name, when)  # noqa: SIM401
            before = dated.value


def test_a_rule_is_refused_before_its_first_day_and_after_its_end(example):
    with pytest.raises(
        RulesError, match=r"tier\.rate was not in force on 2019-06-30 \(it came into force on 2019-07-01"
    ):
        example.on("2019-06-30")["tier.rate"]
    with pytest.raises(RulesError, match="and ended on 2022-01-01"):
        example.on(datetime.date(2022, 1, 1))["tier.rate"]
    with pytest.raises(RulesError, match=r"no parameter 'tier\.rat'; did you mean tier\.rate\?"):
        example.on("2020-01-01")["tier.rat"]


def test_rules_in_force_remember_what_was_asked_for_with_its_own_status(example):
    terms = example.on("2021-06-30")
    assert terms.used.empty
    assert "bands" in terms
    assert terms.used.empty
    assert terms["tier.rate"] == 0.6
    assert terms.used.iloc[0].to_dict() == {
        "programme": "example",
        "parameter": "tier.rate",
        "value": 0.6,
        "unit": "share of savings",
        "effective": datetime.date(2021, 1, 1),
        "status": "unconfirmed",
        "citation": "A source",
    }
    early = example.on("2019-07-01")
    early["tier.rate"]
    assert early.used["status"].tolist() == ["primary"]


def test_a_users_value_holds_whenever_the_rule_does_and_says_whose_it_is(example):
    own = example.with_values({"tier.rate": 0.9})
    terms = own.on("2020-01-01")
    assert terms["tier.rate"] == 0.9
    assert terms.used["status"].tolist() == ["user"]
    assert "tier.rate" not in own.on("2019-06-30")
    assert "tier.rate" not in own.on("2022-01-01")
    assert example.on("2020-01-01")["tier.rate"] == 0.5
    with pytest.raises(RulesError, match=r"tier\.rate must be a number like 0\.6, not 'half'"):
        example.with_values({"tier.rate": "half"})
    with pytest.raises(RulesError, match="no parameter 'rate'"):
        example.with_values({"rate": 1})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"tier.rate": 60}, "tier.rate is 60, but a share is at most 1; write 0.6 for 60 %"),
        ({"tier.rate": -0.1}, "tier.rate is -0.1; give a number of 0 or more"),
        ({"tier.rate": float("nan")}, "tier.rate is nan; give a finite number"),
        ({"tier.rate": True}, "tier.rate must be a number like 0.6, not True"),
        ([0.6], "values are of type list; give them by name"),
    ],
)
def test_a_users_value_that_cannot_stand_in_its_place_is_refused(example, values, sentence):
    with pytest.raises(RulesError) as caught:
        example.with_values(values)
    assert sentence in str(caught.value)


def test_a_users_value_may_be_negative_where_the_rule_is_and_a_number_of_numpy():
    book = rulebook("primary_care_first").with_values({"adjustment_lowest": -0.2, "visit_fee": np.int64(50)})
    assert book.on("2021-01-01")["adjustment_lowest"] == -0.2
    assert book.on("2021-01-01")["visit_fee"] == 50


def test_values_of_a_table_stay_as_they_were_written(tmp_path):
    text = GOOD[: GOOD.index("  bands:")].replace("0.5", "1").replace("0.6", "0.25")
    assert rulebook(written(tmp_path, text)).table()["value"].map(repr).tolist() == ["1", "0.25", "None"]


@pytest.mark.parametrize(
    ("rows", "parts"), [([{"from": 0, "rate": None}], ("rate",)), ([], ("rate",)), (3, ("rate",)), ([{"a": 1}], ("b",))]
)
def test_a_rule_that_is_a_table_is_read_by_its_columns_or_refused(rows, parts):
    assert [part.tolist() for part in columns("x", [{"from": 0, "rate": 3}], "rate", "from")] == [[3.0], [0.0]]
    with pytest.raises(PaymentError, match=f"Each row of bands needs the numbers {parts[0]}"):
        columns("bands", rows, *parts)


def test_a_list_changed_by_a_reader_leaves_the_shipped_rules_as_they_are():
    rulebook("aco_reach").on("2024-01-01")["corridors.global"][0]["share"] = 0.1
    assert rulebook("aco_reach").on("2024-01-01")["corridors.global"][0]["share"] == 1


def test_a_table_shows_every_value_or_those_of_a_day(example):
    assert len(example.table()) == 4
    assert example.table("2021-01-01")["parameter"].tolist() == ["tier.rate", "bands"]
    assert example.table("2022-01-01")["parameter"].tolist() == ["bands"]


@pytest.mark.parametrize(
    "day", ["2022-1-1", "20220101", "01/01/2022", "2022-02-30", 2022, None, pd.NaT, "2022-01-01T00:00"]
)
def test_what_is_no_day_is_refused(example, day):
    with pytest.raises(RulesError, match="is not a day; write it as YYYY-MM-DD"):
        example.on(day)


def test_an_unknown_programme_is_refused_with_a_suggestion():
    with pytest.raises(RulesError, match="did you mean mssp"):
        rulebook("mspp")
    with pytest.raises(RulesError, match=r"choose one of .*mssp"):
        rulebook("quebec")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("programme: example", "programme: other", "line 1: programme is other, but the file is example"),
        ("title: An example\n", "", "line 1: a rules file lacks its title"),
        ("title: An example", "title: 5", "line 2: title must be a text"),
        ("currency: CAD", "currency: USD", "line 3: write country US with USD, or Canada with CAD"),
        ("country: Canada", "country: ON", "line 3: YAML reads ON as a truth value"),
        ("currency: CAD", "currency: CAD\nauthor: me", "line 5: a rules file has no author"),
        ("  tier.rate:\n", "  Tier.Rate:\n", "line 6: 'Tier.Rate' must be small letters"),
        ("    unit: share of savings\n", "", "line 7: tier.rate lacks its unit"),
        ("    citation: A source\n", "", "line 7: tier.rate lacks its citation"),
        ("    citation: A source\n", "    citation: ''\n", "line 13: citation must be a text"),
        (
            "    citation: A source\n",
            "    citaton: A source\n",
            "line 13: tier.rate has no citaton; did you mean citation?",
        ),
        ("2019-07-01: 0.5", "2019-7-1: 0.5", "line 10: '2019-7-1' is not a day"),
        ("2019-07-01: 0.5", "2019-06-31: 0.5", "line 10: '2019-06-31' is not a day"),
        ("2019-07-01: 0.5", "2019-07-01: 0.5\n      2019-07-01: 0.4", "line 11: 2019-07-01 is given twice"),
        ("2019-07-01: 0.5", "2023-07-01: 0.5", "line 10: put the days of tier.rate in order"),
        ("2019-07-01: 0.5", "2019-07-01: null", "line 10: tier.rate begins with null"),
        ("2019-07-01: 0.5", "2019-07-01: half", "line 10: the values of tier.rate are of several kinds (number, text)"),
        ("2019-07-01: 0.5", "2019-07-01: 50", "line 10: tier.rate is 50, but a share is at most 1; write 0.5 for 50 %"),
        ("2019-07-01: 0.5", "2019-07-01: ON", "line 10: YAML reads ON as a truth value"),
        ("2019-07-01: 0.5", "2019-07-01: &half 0.5", "line 10: anchors and aliases are not read"),
        (
            "    status: secondary\n",
            "    status: sure\n",
            "line 25: bands has the status 'sure'; write primary, secondary",
        ),
        ("      2021-01-01: unconfirmed\n", "", "line 14: status must have the same days as values"),
        ("    note: It is short.", "    note: 3", "line 26: note must be a text"),
    ],
)
def test_a_loose_rules_file_is_refused_with_file_and_line(tmp_path, old, new, sentence):
    assert old in GOOD
    with pytest.raises(ValueError, match=r"example\.yml") as caught:
        rulebook(written(tmp_path, GOOD.replace(old, new, 1)))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("parameters: 3", "line 5: parameters must be names with their values"),
        ("parameters: {}", "line 5: parameters must be names with their values"),
        (
            "parameters:\n  rate: {label: A, unit: b, values: {}, citation: c, status: primary}",
            "line 6: rate needs each value under the day it came into force",
        ),
        ("parameters:\n  rate: 0.5", "line 6: rate is a bare value; give it label, unit, values by day"),
        (
            "parameters:\n  rate: {label: A, unit: b, values: 0.5, citation: c, status: primary}",
            "line 6: rate needs each value under the day it came into force",
        ),
    ],
)
def test_a_bare_number_is_refused(tmp_path, parameters, sentence):
    head = GOOD[: GOOD.index("parameters:")]
    with pytest.raises(RulesError) as caught:
        rulebook(written(tmp_path, head + parameters + "\n"))
    assert sentence in str(caught.value)
