"""The minimum savings rate, against the rates that CMS printed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmkit.datasets import load
from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import minimum_savings_rate, rulebook
from apmkit.payment.rulebook import RulesError


@pytest.fixture(scope="module")
def published():
    acos = load("mssp")
    return acos.assign(gap=(acos["minimum_savings_rate"] - minimum_savings_rate(acos["beneficiaries"])).abs())


def test_it_is_the_printed_rate_of_every_one_sided_aco_but_one_in_every_year(published):
    one_sided = published[~published["two_sided"]]
    assert one_sided["year"].nunique() == 11
    other = one_sided[one_sided["gap"] > 5.1e-5]
    assert other[["year", "aco_id", "beneficiaries"]].to_numpy().tolist() == [[2017, "A1653", 152]]


def test_where_rates_are_printed_in_full_it_agrees_to_nine_places(published):
    in_full = published[published["year"].isin([2013, 2014, 2018]) & ~published["two_sided"]]
    assert len(in_full) == 998
    assert in_full["gap"].max() < 1e-9


def test_every_two_sided_aco_has_a_fixed_choice_of_its_year_or_the_rate_of_the_table(published):
    two_sided = published[published["two_sided"]]
    for year, acos in two_sided.groupby("year"):
        choices = rulebook("mssp").on(f"{year}-12-31")["minimum_savings_rate.choices"]
        assert (
            np.isclose(acos["minimum_savings_rate"].to_numpy()[:, None], choices).any(axis=1) | (acos["gap"] < 5.1e-5)
        ).all()


@pytest.mark.parametrize(
    ("n", "rate"),
    [(1, 0.122), (499, 0.122), (500, 0.122), (999, 0.087), (3000, 0.05), (4999, 0.039), (5000, 0.039), (5999, 0.036),
     (20_000, 0.025), (59_999, 0.02), (60_000, 0.02), (2_000_000, 0.02)],
)  # fmt: skip
def test_ends_of_the_classes_have_the_rates_of_the_rule(n, rate):
    assert minimum_savings_rate(n) == pytest.approx(rate, abs=1e-12)


@given(n=st.integers(1, 200_000))
def test_larger_acos_need_never_save_a_larger_share(n):
    assert minimum_savings_rate(n + 1) <= minimum_savings_rate(n) + 1e-12


def test_it_keeps_the_shape_and_reads_series():
    assert minimum_savings_rate([[5000, 6000]]).shape == (1, 2)
    assert minimum_savings_rate(pd.Series([60_000])).tolist() == [0.02]


def test_a_number_below_one_and_a_day_before_the_programme_are_refused():
    with pytest.raises(PaymentError, match="A number of assigned beneficiaries is 0; give at least 1"):
        minimum_savings_rate([5000, 0])
    with pytest.raises(PaymentError, match="is nan; give at least 1"):
        minimum_savings_rate(np.nan)
    with pytest.raises(PaymentError, match="is inf; give at least 1"):
        minimum_savings_rate(np.inf)
    with pytest.raises(ApmkitError, match="n_assigned must hold numbers only"):
        minimum_savings_rate("many")
    with pytest.raises(RulesError, match="was not in force on 2011-01-01"):
        minimum_savings_rate(5000, on="2011-01-01")
