"""The simulated switch from enhanced fees to blended capitation: what is built in, and what estimators make of it."""

import numpy as np
import pandas as pd
import pytest

from apmkit import studies
from apmkit.studies import StudyError
from apmkit.studies import canada_fhg_to_fho as fho
from apmkit.studies import canada_fhg_to_fho_figures as figures
from apmkit.studies import canada_fhg_to_fho_words as words
from apmkit.studies.canada_fhg_to_fho_world import OUTCOMES, WAVES, YEARS, percent, simulate

STUDY = studies.get("canada/fhg_to_fho")
HONEST = {"level_selection": 0, "trend_selection": 0, "heterogeneity": 0, "anticipation": 0}


def drawn(**values):
    parameters = STUDY.parameters(**values)
    return fho.world_of(parameters), parameters


@pytest.mark.parametrize("heterogeneity", [0, 1])
@pytest.mark.parametrize(("scenario", "truth"), [("some_2020", 8.0), ("hong_2024", -27.0)])
def test_the_mean_effect_is_the_published_one_and_the_two_studies_stay_apart(scenario, truth, heterogeneity):
    world, parameters = drawn(scenario=scenario, heterogeneity=heterogeneity)
    assert fho.truth_of(world, parameters) == pytest.approx(truth, abs=1e-6)


def test_services_and_emergency_visits_are_those_of_hong():
    published = fho.published("hong_2024")["change"]
    for outcome in ("services", "ed_less_urgent", "ed_urgent"):
        world, parameters = drawn(scenario="hong_2024", outcome=outcome)
        # Of services, the share after hours differs a little from the 9 percent of the calibration.
        assert fho.truth_of(world, parameters) == pytest.approx(published[outcome], abs=0.2)


def test_as_many_practices_switch_in_each_wave_and_half_stay():
    world, parameters = drawn()
    sizes = pd.Series(world.starts).value_counts()
    assert set(sizes[WAVES]) == {parameters.n_practices // 12}
    assert sizes[np.inf] == parameters.n_practices / 2


def test_effects_come_with_the_switch_and_before_it_only_with_anticipation():
    world, _ = drawn(anticipation=0)
    assert (world.effects[world.starts[:, None] > YEARS] == 0).all()
    early, _ = drawn(anticipation=0.5)
    before = early.effects[early.starts[:, None] == YEARS + 1]
    np.testing.assert_allclose(before, 0.5 * np.log(1.08))


def test_selection_makes_those_who_switch_work_less_or_fall_faster():
    plain, _ = drawn(**HONEST)
    money, _ = drawn(**HONEST | {"level_selection": 3})
    falling, _ = drawn(**HONEST | {"trend_selection": 3})
    gap = [w.start.level["services"][np.isfinite(w.starts)].mean() for w in (plain, money)]
    assert gap[1] < gap[0] - 0.03
    fall = [w.drift[np.isfinite(w.starts)].mean() for w in (plain, falling)]
    assert fall[1] < fall[0] - 0.005


def test_over_draws_what_fails_is_what_should_fail():
    parameters = STUDY.parameters(scenario="hong_2024", outcome="services", n_practices=120)
    table = fho.repeated(parameters, draws=8, jobs=1).set_index(["world", "estimator"])
    clear = table["bias"].abs() > 4 * table["bias_se"]
    within = [name for name in fho.ESTIMATORS if name not in ("cross_section", "sun_abraham")]
    assert not clear["All assumptions hold"][within].any()
    assert not clear["Chosen for money"][within].any()
    assert clear["Chosen for money", "cross_section"]
    assert clear["Falling before"][["never_treated", "imputation"]].all()
    bias = table["bias"].abs()["Falling before"]
    assert bias["doubly_robust"] < bias["never_treated"]
    assert clear["Anticipation"][["never_treated", "not_yet_treated"]].all()


def test_sun_abraham_without_covariates_is_callaway_santanna_against_the_never_treated():
    result = STUDY.run(STUDY.parameters(n_practices=120))
    both = [result.estimates[name].table["estimate"].item() for name in ("sun_abraham", "never_treated")]
    assert both[0] == pytest.approx(both[1])


def test_percent_transforms_ends_of_intervals_and_standard_errors():
    world, parameters = drawn()
    (found,) = fho.estimated(world, parameters, ("twfe",)).values()
    rows = fho.rows_of(world, 2003, 2014)
    log = fho.ESTIMATORS["twfe"][1](rows).table.iloc[0]
    row = found.table.iloc[0]
    assert row["ci_low"] == pytest.approx(percent(log["ci_low"]))
    assert row["se"] == pytest.approx(100 * np.exp(log["estimate"]) * log["se"])
    assert found.covariance.iloc[0, 0] == pytest.approx(row["se"] ** 2)


def test_a_level_gap_gives_the_other_reading_and_leaves_the_comparison_over_time_alone():
    several = [fho.opposite_readings(STUDY.parameters(n_practices=300, seed=seed)) for seed in range(6)]
    some, hong = (pd.DataFrame([r.loc[s] for r in several]).mean() for s in ("some_2020", "hong_2024"))
    assert some["needed"] == pytest.approx(100 * (0.73 / 1.08 - 1))
    assert some["across"] == pytest.approx(-27, abs=5)
    assert some["within"] == pytest.approx(8, abs=2.5)
    assert hong["within"] == pytest.approx(8, abs=2.5)
    assert hong["across"] > 50


def test_the_same_seed_gives_the_same_history_and_another_another():
    parameters = STUDY.parameters()
    one, two = (simulate(parameters, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.untreated, two.untreated)
    assert not np.array_equal(one.untreated, simulate(parameters, np.random.default_rng(4)).untreated)


def test_what_a_study_did_not_measure_and_too_few_years_are_refused():
    with pytest.raises(StudyError, match="was not measured by Somé"):
        STUDY.parameters(scenario="some_2020", outcome="ed_urgent")
    with pytest.raises(StudyError, match="needs two years before"):
        STUDY.parameters(estimator="synthetic_did", first_year=2006)
    late = STUDY.run(STUDY.parameters(first_year=2006))
    assert "synthetic_did" not in late.estimates


def test_words_follow_the_numbers():
    world, parameters = drawn()
    (found,) = fho.estimated(world, parameters, ("twfe",)).values()
    row = found.table.iloc[0]
    assert "holds the truth" in words.finding(found, row["estimate"], "services", "Two-way fixed effects")
    assert "misses the truth" in words.finding(found, row["ci_high"] + 1, "services", "Two-way fixed effects")
    table = fho.published("some_2020")
    shown = figures.published_table({"A": table}, {name: o.words for name, o in OUTCOMES.items()})
    assert shown["A"].tolist() == ["-15% (no interval given)", "+8% (no interval given)"]
