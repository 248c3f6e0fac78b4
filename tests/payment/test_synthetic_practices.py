"""Made-up practices are reproducible, have the moments they claim, and refuse what cannot be."""

import numpy as np
import pandas as pd
import pytest

from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import practice_assumptions, synthetic_practices

COUNTRIES = ("US", "Ontario")


@pytest.fixture(scope="module", params=COUNTRIES)
def large(request):
    """150,000 patients; the assumptions behind them; the country."""
    country = request.param
    practices = synthetic_practices(country, n_practices=100, physicians=1, patients_per_physician=1500, seed=4)
    return practices, practice_assumptions(country)["value"], country


@pytest.mark.parametrize("country", COUNTRIES)
def test_the_same_seed_gives_the_same_patients_and_another_seed_others(country):
    one, two, other = (
        synthetic_practices(country, n_practices=5, patients_per_physician=60, seed=seed) for seed in (7, 7, 8)
    )
    pd.testing.assert_frame_equal(one.patients, two.patients)
    pd.testing.assert_frame_equal(one.practices, two.practices)
    assert one.patients["fees"].sum() != other.patients["fees"].sum()


def test_another_year_keeps_the_people_and_draws_their_care_again():
    first, second = (synthetic_practices("Ontario", n_practices=5, patients_per_physician=60, year=y) for y in (0, 1))
    people = ["practice", "age", "sex", "risk_score", "enrolled"]
    pd.testing.assert_frame_equal(first.patients[people], second.patients[people])
    pd.testing.assert_frame_equal(first.practices, second.practices)
    visits = np.corrcoef(first.patients["visits"], second.patients["visits"])[0, 1]
    assert 0.2 < visits < 0.95


def test_synthetic_practices_say_so_and_are_of_their_country(large):
    practices, _, country = large
    assert practices.synthetic
    assert "synthetic" in practices.notes[0]
    assert practices.currency == {"US": "USD", "Ontario": "CAD"}[country]


def test_means_and_shares_are_those_assumed(large):
    practices, assumed, _ = large
    people = practices.patients
    assert people["risk_score"].mean() == pytest.approx(1, abs=1e-9)
    everywhere = people["visits"] + people["visits_elsewhere"]
    observed = {
        "female": (people["sex"] == "F").mean(),
        "enrolled": people["enrolled"].mean(),
        "visits": everywhere.mean(),
        "elsewhere": people["visits_elsewhere"].sum() / everywhere.sum(),
        "after_hours": people["visits_after_hours"].sum() / people["visits"].sum(),
        "fee": people["fees"].sum() / people["visits"].sum(),
        "fee_outside_basket": people["fees_outside_basket"].sum() / people["visits"].sum(),
        "ed_visits": people["ed_visits"].mean(),
        "ed_less_urgent": people["ed_visits_less_urgent"].sum() / people["ed_visits"].sum(),
        "admissions": people["admissions"].mean(),
    }
    for name, value in observed.items():
        assert value == pytest.approx(assumed[name], rel=0.06), name
    assert people["spending"].mean() == pytest.approx(assumed["spending"], rel=0.1)
    assert (people["episode"] != "").mean() == pytest.approx(assumed["joint_replacement"], rel=0.15)


def test_ages_follow_the_bands(large):
    practices, assumed, _ = large
    age = practices.patients["age"]
    for name, share in assumed[assumed.index.str.startswith("age_")].items():
        low, high = map(int, name.split("_")[1:])
        assert age.between(low, high).mean() == pytest.approx(share, abs=0.005), name
    assert assumed[assumed.index.str.startswith("age_")].sum() == pytest.approx(1)


def test_morbidity_rises_with_age_and_drives_use(large):
    people = large[0].patients
    correlation = people[["age", "risk_score", "visits", "ed_visits", "admissions", "spending"]].corr()
    assert correlation.loc["age", "risk_score"] > 0.2
    assert (correlation.loc["risk_score", ["visits", "ed_visits", "admissions", "spending"]] > 0.1).all()


def test_visits_vary_more_than_counts_of_one_rate_and_practices_differ(large):
    practices = large[0]
    visits = practices.patient("visits")
    assert visits.var() > 2 * visits.mean()
    chance = visits.std() / np.sqrt(practices.n_patients)
    assert (practices.sums(visits) / practices.n_patients).std() > 2 * chance.mean()


def test_cost_is_concentrated_as_in_the_province():
    practices = synthetic_practices("Ontario", n_practices=50, physicians=2, seed=11)
    cost = np.sort(practices.patient("spending"))[::-1]
    top = {share: cost[: int(share * len(cost))].sum() / cost.sum() for share in (0.01, 0.05)}
    # Wodchis et al. (2016): 33 % and 65 %.
    assert top[0.01] == pytest.approx(0.33, abs=0.07)
    assert top[0.05] == pytest.approx(0.65, abs=0.1)


def test_patients_of_cities_see_other_doctors_and_those_of_the_country_the_emergency_department(large):
    practices = large[0]
    urban = practices.practices["urban"].to_numpy()
    own, away, ed = (practices.sums(practices.patient(c)) for c in ("visits", "visits_elsewhere", "ed_visits"))
    outside, ed = away / (own + away), ed / practices.n_patients
    assert outside[urban].mean() > 1.5 * outside[~urban].mean()
    assert ed[urban].mean() < ed[~urban].mean()


def test_parts_are_parts_of_their_whole_and_no_visit_costs_nothing(large):
    people = large[0].patients
    for part, whole in (
        ("visits_after_hours", "visits"),
        ("fees_after_hours", "fees"),
        ("ed_visits_less_urgent", "ed_visits"),
        ("episode_spending", "spending"),
    ):
        assert (people[part] <= people[whole] + 0.005).all(), part
    assert ((people["visits"] == 0) == (people["fees"] == 0)).all()
    assert ((people["episode"] == "") == (people["episode_spending"] == 0)).all()


def test_practices_carry_what_the_models_ask_for(large):
    practices = large[0]
    for name in ("hours", "quality_score", *(f"rate_{c}" for c in ("flu65", "pap", "mammogram", "colorectal"))):
        values = practices.practice(name)
        assert np.ptp(values) > 0, name
    assert (practices.practice("rate_child_immunisation") <= 1).all()


def test_an_assumption_can_be_changed():
    options = {"n_practices": 10, "patients_per_physician": 400, "seed": 2}
    changed = {"visits": 6.0, "elsewhere": 0.0, "visits_dispersion": 0, "fee_cv": 0, "enrolled": 1}
    practices = synthetic_practices("Ontario", assumptions=changed, **options)
    assert practices.patient("visits").mean() == pytest.approx(6, rel=0.05)
    assert not practices.patient("visits_elsewhere").any()
    assert practices.patient("enrolled").all()
    np.testing.assert_allclose(practices.patient("fees"), 40 * practices.patient("visits"))


def test_numbers_of_practices_physicians_and_patients_are_those_asked_for():
    practices = synthetic_practices("US", n_practices=400, physicians=3, patients_per_physician=20, seed=1)
    doctors = practices.practice("physicians")
    assert len(practices.index) == 400
    assert doctors.min() >= 1
    assert doctors.mean() == pytest.approx(3, rel=0.1)
    assert practices.n_patients.sum() / doctors.sum() == pytest.approx(20, rel=0.05)


def test_every_assumption_has_a_unit_and_a_reason():
    for country in COUNTRIES:
        table = practice_assumptions(country)
        assert (table["unit"].str.len() > 3).all()
        assert (table["reason"].str.len() > 6).all()


@pytest.mark.parametrize("name", [n for n in practice_assumptions("Ontario").index if not n.startswith("age_")])
def test_every_assumption_is_one_that_the_practices_rest_on(name):
    def tables(**assumptions):
        few = {"patients_per_physician": 100, **assumptions}
        made = synthetic_practices("Ontario", n_practices=20, physicians=1, assumptions=few, seed=2)
        return made.patients, made.practices

    value = practice_assumptions("Ontario")["value"][name]
    patients, practices = tables(**{name: value * 0.7})
    same_patients, same_practices = tables()
    assert not (patients.equals(same_patients) and practices.equals(same_practices))


def test_rates_of_prevention_are_assumptions_too():
    practices = synthetic_practices(n_practices=300, patients_per_physician=1, assumptions={"rate_flu65": 0.2}, seed=1)
    assert practices.practice("rate_flu65").mean() == pytest.approx(0.2, abs=0.02)
    assert practices.practice("rate_pap").mean() == pytest.approx(practice_assumptions()["value"]["rate_pap"], abs=0.02)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"country": "Canada"}, "'Canada': write US or Ontario"),
        ({"country": "UK"}, "write US or Ontario"),
        ({"n_practices": 0}, "n_practices=0"),
        ({"n_practices": 2.5}, "whole number"),
        ({"physicians": 0}, "physicians=0"),
        ({"patients_per_physician": 0}, "empty panel"),
        ({"year": -1}, "year=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"assumptions": {"visit": 3}}, "did you mean visits"),
        ({"assumptions": {"enrolled": 85}}, "a share from 0 to 1, such as 0.2 for 20 %"),
        ({"assumptions": {"rate_pap": 70}}, "a share from 0 to 1"),
        ({"assumptions": {"visits": -1}}, "from 0 to 1e"),
        ({"assumptions": {"visits": "many"}}, "from 0 to 1e"),
        ({"assumptions": {"visits": 1e19}}, "from 0 to 1e"),
        ({"assumptions": {"risk_sd": 90}}, "from 0 to 3"),
        ({"assumptions": {3: 4}}, "no assumption 3"),
        ({"assumptions": ["visits"]}, "type list"),
        ({"assumptions": {"patients_per_physician": 0}, "patients_per_physician": None}, "empty panel"),
        ({"n_practices": True}, "n_practices=True"),
        ({"assumptions": {"spending": 100}}, "raise it or lower those"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(options, words):
    with pytest.raises(ApmkitError, match=words) as error:
        synthetic_practices(**{"n_practices": 3, "patients_per_physician": 30, **options})
    assert "\n" not in str(error.value)


def test_assumptions_of_an_unknown_country_are_refused():
    with pytest.raises(PaymentError, match="write US or Ontario"):
        practice_assumptions("Quebec")
