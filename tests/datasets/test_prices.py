"""What money buys: parity and prices of the two countries."""

import pytest

from apmkit import datasets


def test_a_us_dollar_is_the_unit_and_a_canadian_dollar_buys_less():
    ppp = datasets.load("price_levels").pivot(index="year", columns="country", values="ppp").dropna()
    assert ppp.index[[0, -1]].tolist() == [1990, 2022]
    assert (ppp["United States"] == 1).all()
    assert ppp["Canada"].between(1.15, 1.30).all()


def test_prices_chain_the_yearly_changes():
    canada = datasets.load("price_levels").query("country == 'Canada'").set_index("year")
    assert canada["prices"][1990] == 1
    assert canada["prices"][2001] / canada["prices"][2000] == pytest.approx(1 + canada["inflation"][2001] / 100)
