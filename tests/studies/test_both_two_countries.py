"""The study of the two countries: arithmetic on published counts, traps left out, programmes side by side."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import apmkit as apm
from apmkit import studies
from apmkit.studies import StudyError
from apmkit.studies import both_two_countries as two
from apmkit.studies import both_two_countries_figures as figures
from apmkit.studies import both_two_countries_spending as spent
from apmkit.studies import both_two_countries_words as words

mpl.use("Agg")
STUDY = studies.get("both/two_countries")


@pytest.fixture(scope="module")
def frame():
    return two.province_years()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_the_headline_is_the_difference_of_two_published_shares():
    paid = apm.load("npdb_payments").set_index(["province", "fiscal_year_start"])["alternative_share_published"]
    found = STUDY.run().estimates["change"].table.set_index("term")
    assert found.loc["Canada", "estimate"] == pytest.approx(100 * (paid["CA", 2022] - paid["CA", 1999]), abs=0.01)
    assert found.loc["Nova Scotia", "estimate"] == pytest.approx(100 * (paid["NS", 2023] - paid["NS", 1999]), abs=0.01)
    assert found["ci_low"].isna().all()


def test_marked_values_are_left_out_and_can_be_kept(frame):
    out, kept = (two.change(frame, "ON", STUDY.parameters(flagged=choice)) for choice in ("leave_out", "keep"))
    assert (out["last_year"], kept["last_year"]) == (2022, 2023)
    jump = STUDY.parameters(last_year=2022, place="NB")
    assert two.change(frame, "NB", jump)["last_year"] == 2021


def test_payments_per_person_are_payments_over_people(frame):
    row = frame.set_index(["province", "year"]).loc["QC", 2010]
    people = apm.load("population").set_index(["province", "year"]).loc[("QC", 2010), "population"]
    assert row["payments_per_person"] == pytest.approx(row["payments"] / people)
    parts = row["alternative_per_person"] + row["fee_for_service_per_person"]
    assert parts == pytest.approx(row["payments_per_person"], abs=0.01)


def test_the_parts_add_up_to_the_change_of_the_ten(frame):
    parts = two.contributions(frame, STUDY.parameters())
    first, last = (
        np.average(part["alternative_share"], weights=part["payments"])
        for part in (
            frame[frame["province"].isin(two.TEN) & (frame["year"] == parts.attrs[end])]
            for end in ("first_year", "last_year")
        )
    )
    assert parts.to_numpy().sum() == pytest.approx(last - first)
    assert parts["within"].idxmax() == "ON"
    assert parts.attrs["last_year"] == 2021


def test_reach_is_beneficiaries_of_acos_over_those_of_original_medicare():
    reach = spent.us_reach()
    assert list(reach.index) == list(range(2014, 2024))
    assert (reach["two_sided"] < reach["in_aco"]).all()
    assert 35 < reach.loc[2023, "in_aco"] < 37


def test_constant_dollars_and_purchasing_power_are_published_prices_times_current_dollars(frame):
    key, column = ("ON", 2010), "payments_per_person"
    current, constant, power = (
        two.province_years(dollars).set_index(["province", "year"]).loc[key, column]
        for dollars in ("current", "constant", "purchasing_power")
    )
    canada = apm.load("price_levels").query("country == 'Canada'").set_index("year")
    assert constant / current == pytest.approx(np.prod(1 + canada.loc[2011:2023, "inflation"] / 100))
    assert current / power == pytest.approx(canada.loc[2010, "ppp"])
    powered = STUDY.run(STUDY.parameters(measure=column, dollars="purchasing_power"))
    assert "USD" in powered.sentences[0]
    assert "2022-23" in powered.sentences[0]


def test_levels_are_of_one_year_and_a_us_dollar_stays_one():
    table = spent.levels().set_index("what")
    assert table.attrs["year"] == 2022
    medicare = table.loc["Original Medicare, its beneficiaries"]
    assert medicare["median"] == medicare["median_ppp"]
    care = table.loc["All health spending, all residents"]
    assert care["median"] / care["median_ppp"] == pytest.approx(1.225042)


def test_growth_above_inflation_starts_at_100_and_spread_has_no_unit():
    spending = spent.spending()
    index = spent.spending_index(spending, 2016)
    assert np.allclose(index.loc[index["year"] == 2016, "index"], 100)
    ohio = spending[spending["place"] == "OH"].set_index("year")["spending"]
    us = apm.load("price_levels").query("country == 'United States'").set_index("year")["prices"]
    expected = 100 * ohio[2020] / ohio[2016] / (us[2020] / us[2016])
    assert index[(index["place"] == "OH") & (index["year"] == 2020)]["index"].item() == pytest.approx(expected)
    doubled = spending.assign(spending=2 * spending["spending"])
    assert np.allclose(spent.spread(spending).dropna(), spent.spread(doubled).dropna())


def test_every_canadian_contract_has_a_neighbour_and_none_answers_for_total_cost():
    found = two.crosswalk().set_index("canada")
    assert len(found) == 9
    assert found["overlap"].between(0, 1).all()
    nearest = found.loc["Ontario Family Health Organization"]
    assert (nearest["nearest"], nearest["overlap"]) == ("Comprehensive Primary Care Plus, Track 2", 1.0)
    assert two.scope_table().loc["total cost"].to_dict() == {"Canada": 0, "US": 8}


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"first_year": 2015, "last_year": 2012}, "the years at both ends overlap"),
        ({"first_year": 2012, "last_year": 2014, "average_years": 3}, "average_years=3"),
        ({"place": "YT"}, "place='YT' is not allowed"),
        ({"dollars": "constant"}, "measure=alternative_share is a share"),
    ],
)
def test_wrong_choices_are_refused(choice, reason):
    with pytest.raises(StudyError, match=reason):
        STUDY.parameters(**choice)


def test_a_place_with_too_few_years_is_refused(frame):
    some = frame[(frame["province"] != "NL") | (frame["year"] == 2010)]
    with pytest.raises(StudyError, match="Newfoundland and Labrador has 1 usable years and needs 2"):
        two.changes(some, STUDY.parameters())


@pytest.mark.parametrize("measure", two.MEASURES)
def test_figures_and_sentences_hold_for_each_measure(frame, measure):
    parameters = STUDY.parameters(measure=measure, place="ON", average_years=3, spending_from=2018)
    figures.small_multiples(frame, parameters)
    figures.first_to_last(frame, parameters)
    figures.spending_panels(parameters)
    assert "In Ontario" in STUDY.run(parameters).sentences[0]
    assert "Among the ten provinces" in words.range_sentence(frame, parameters)


def test_what_the_page_says_of_evidence_and_reach_follows_the_tables():
    assert "none was evaluated in both countries" in words.evidence_sentence()
    assert words.reach_sentence().startswith("In 2014 ACOs")
    assert len(figures.readable_crosswalk()) == 9
