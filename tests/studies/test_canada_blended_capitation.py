"""The study of blended capitation: what can be checked by hand, and what must hold of any draw."""

import numpy as np
import pandas as pd
import pytest

from apmkit import studies
from apmkit.payment import capitation_dial_table, ontario_fho, rulebook
from apmkit.studies import StudyError
from apmkit.studies import canada_blended_capitation as blend
from apmkit.studies import canada_blended_capitation_experiments as experiments
from apmkit.studies import canada_blended_capitation_figures as figures
from apmkit.studies import canada_blended_capitation_words as words

STUDY = studies.get("canada/blended_capitation")
SMALL = STUDY.parameters(panel_size=600, n_practices=24, seed=3)


@pytest.fixture(scope="module")
def practices():
    return blend.practices_of(SMALL)


@pytest.fixture(scope="module")
def bonus(practices):
    return experiments.bonus_table(practices, SMALL.rules_on)


def test_each_province_pays_by_the_day_asked_or_by_its_first_one():
    assert blend.days(STUDY.parameters(rules_on="2012-04-01"))["Alberta"] == "2016-11-01"
    assert blend.days(STUDY.parameters(rules_on="2024-05-01")) == dict.fromkeys(blend.MODELS, "2024-05-01")


def test_the_bonus_is_the_share_of_base_capitation_less_fees_elsewhere_of_enrolled_patients(practices, bonus):
    base = ontario_fho(practices, on=SMALL.rules_on).table["base_capitation"]
    people = practices.patients
    away = people["fees_elsewhere"].where(people["enrolled"], 0).groupby(people["practice"]).sum()
    share = rulebook("ontario").on(SMALL.rules_on)["fho.access_bonus_share"]
    expected = (share * base - away).clip(lower=0) / practices.practice("physicians")
    np.testing.assert_allclose(bonus["bonus"], expected, atol=0.02)


def test_the_headline_is_the_mean_outside_cities_less_the_mean_in_cities(bonus):
    result = STUDY.run(SMALL)
    row = result.estimates["bonus_gap"].table.iloc[0]
    urban = bonus["urban"]
    assert row["estimate"] == pytest.approx(bonus.loc[~urban, "bonus"].mean() - bonus.loc[urban, "bonus"].mean())
    assert np.isnan(row["ci_low"])
    assert "no interval" in result.sentences[0]


def test_an_emergency_visit_pays_nothing_anywhere_and_a_visit_elsewhere_costs_alberta_its_fee():
    table = STUDY.run(SMALL).estimates["marginal"].details["marginal"]["mean"].unstack("change")
    assert (table["emergency_visit"] == 0).all()
    assert table.loc["Alberta", "visit_elsewhere"] == pytest.approx(-table.loc["Fee-for-service", "visit"], abs=0.02)
    assert (table.loc[["Fee-for-service", "FHG", "BC LFP"], "visit_elsewhere"] == 0).all()


def test_moving_visits_to_hospitals_pays_alberta_by_the_fees_and_a_bonus_never_more_than_that(practices):
    moved = experiments.redirected(practices, blend.models_of(SMALL), 0.25)
    people = practices.patients
    fees = (people["fees_elsewhere"] * people["enrolled"]).sum() / people["visits_elsewhere"].sum()
    assert moved.loc["Alberta", "per_visit"] == pytest.approx(fees, rel=1e-4)
    assert 0 <= moved.loc["FHO", "per_visit"] <= fees + 0.01
    assert (moved.loc[["Fee-for-service", "FHG", "BC LFP"], "practice"] == 0).all()


def test_at_the_same_total_every_model_pays_what_the_base_pays(practices):
    totals = blend.compared(practices, SMALL).revenue.sum()
    np.testing.assert_allclose(totals, totals["Fee-for-service"])
    as_ruled = blend.compared(practices, SMALL.model_copy(update={"budget": "as_ruled"})).revenue.sum()
    assert as_ruled.nunique() == len(blend.MODELS)


def test_fees_of_a_group_are_what_it_brings_under_fee_for_service(practices):
    found = blend.pay_by_group(practices, SMALL)["Fee-for-service"]
    people = practices.patients
    old = people["age"] >= 75
    fees = (people["fees"] + people["fees_outside_basket"])[old].sum() / old.sum()
    assert found["Age", "75 and over"] == pytest.approx(fees, abs=0.01)


def test_the_dial_keeps_the_total_and_moves_pay_from_visits_to_patients(practices):
    years = [blend.practices_of(SMALL, year=year) for year in (1, 2)]
    table = capitation_dial_table(practices, years)
    assert table.index.tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(table["per_patient"], table["per_patient"].iloc[0], rtol=1e-6)
    np.testing.assert_allclose(table["visit"], (1 - table.index) * table["visit"].iloc[0], atol=0.01)
    np.testing.assert_allclose(table["visit_elsewhere"], -table.index * table["visit"].iloc[0], atol=0.02)
    assert table["sd_between"].is_monotonic_decreasing


def test_between_the_two_days_three_bonuses_go(practices):
    table = experiments.two_days(practices)
    kept = rulebook("ontario").on(experiments.AFTER)["preventive.capitation_categories"]
    gone = set(rulebook("ontario").on(experiments.BEFORE)["preventive.capitation_categories"]) - set(kept)
    assert gone == {"pap", "mammogram", "colorectal"}
    assert table.loc["preventive_bonuses", "change"] < 0
    assert table["change"].drop("total").sum() == pytest.approx(table.loc["total", "change"])


def test_the_two_studies_stay_apart_and_reach_what_they_found(practices):
    path = experiments.effort_path()
    last = path[path["capitation_share"] == path["capitation_share"].max()].set_index(["scenario", "outcome"])["change"]
    assert last["Somé 2020", "after_hours"] == pytest.approx(0.08)
    assert last["Hong 2024", "after_hours"] == pytest.approx(-0.27)
    table = experiments.behaviour(practices, SMALL.rules_on)
    assert table["after_hours"].rank().tolist() == [2, 3, 1]


def test_numbers_that_rest_on_doubtful_values_are_marked(practices):
    assert words.marginal_mark("FHO", "visit", "2019-04-01") == "†"
    assert words.marginal_mark("FHO", "visit", "2024-05-01") == "‡"
    assert words.marginal_mark("FHO", "emergency_visit", "2019-04-01") == ""
    assert words.marginal_mark("Alberta", "visit", "2019-04-01") == ""
    paid = blend.payments(practices, SMALL)
    table = words.rules_table(paid)
    doubtful = {name for payment in paid.values() for name in payment.unconfirmed}
    assert table["Status"].str.contains("†|‡").sum() == len(doubtful)
    shown = figures.component_table(blend.by_component(paid, practices), blend.days(SMALL)).set_index(
        "CAD per physician and year"
    )
    assert shown.loc["Base capitation", "FHO"].endswith("†")
    assert shown.loc["Base capitation", "BC LFP"] == ""


def test_a_draw_without_practices_outside_cities_is_refused(monkeypatch):
    made = blend.practices_of(SMALL)
    monkeypatch.setattr(blend.apm, "synthetic_practices", lambda *_, **__: made.change(practices={"urban": True}))
    with pytest.raises(StudyError, match="no practice is outside the cities"):
        blend.practices_of(SMALL)


def test_words_follow_the_numbers():
    place = pd.DataFrame({"kept": [0.5, 0.5], "bonus": [100.0, 100.0]}, index=["outside cities", "in cities"])
    assert "as much as in cities" in words.finding(place, "2019-04-01")
    place.loc["in cities"] = [0.9, 300.0]
    assert "CAD 200† less than in cities" in words.finding(place, "2019-04-01")
    links = pd.DataFrame(
        {
            "correlation": [0.5, 0.5, 0.1],
            "ci_low": [0.4, 0.4, -0.1],
            "ci_high": [0.6, 0.6, 0.3],
            "published": ["higher", "lower", "lower"],
        },
        index=["Emergency visits", "Visits", "Visits after hours"],
    )
    assert words.link_sentence(links) == (
        "The simulation shares the published direction for emergency visits; it has the opposite one for visits; it "
        "shows no clear relation for visits after hours."
    )


def test_groups_are_named_in_words():
    index = pd.MultiIndex.from_tuples([("Visits elsewhere", "none"), ("Visits elsewhere", "1"), ("Age", "0-14")])
    told = words.group_sentence(pd.DataFrame({"FHO": [12.0, -3.0, 4.0], "FHN": [1.0, 2.0, -5.0]}, index=index))
    assert told == (
        "Highest and lowest change per patient. FHO: plus CAD 12 for patients with no visits elsewhere, minus CAD 3 "
        "for patients with one visit elsewhere; FHN: plus CAD 2 for patients with one visit elsewhere, minus CAD 5 for "
        "ages 0-14."
    )
