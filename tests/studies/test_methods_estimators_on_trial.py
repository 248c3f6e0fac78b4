"""The simulated worlds break what they say they break, and the scores are those of the draws."""

import numpy as np
import pandas as pd
import pytest

from apmkit import studies
from apmkit.studies import methods_estimators_on_trial as on_trial

PARAMETERS = on_trial.TrialParameters(draws=24, units=90)


@pytest.fixture(scope="module")
def table():
    return on_trial.trial(PARAMETERS).set_index(["world", "estimator"])


def test_every_estimator_answers_in_every_world(table):
    assert list(table.index) == [(world, name) for world in on_trial.WORLDS for name in on_trial.ESTIMATORS]
    assert (table["draws"] == 24).all()
    assert table.notna().all(axis=None)


def test_nothing_is_biased_where_all_assumptions_hold(table):
    plain = table.loc["plain"]
    assert (plain["bias"].abs() < 4 * plain["bias_se"]).all()


def test_two_way_fixed_effects_misses_growing_effects_and_the_others_do_not(table):
    uneven = table.loc["uneven effects"]
    biased = uneven["bias"].abs() > 4 * uneven["bias_se"]
    assert biased[biased].index.tolist() == ["twfe", "cr2"]


def test_allowing_for_anticipation_repairs_it(table):
    world = table.loc["anticipation"]
    assert abs(world.loc["callaway_santanna", "bias"]) > 4 * world.loc["callaway_santanna", "bias_se"]
    assert abs(world.loc["anticipation_allowed", "bias"]) < 4 * world.loc["anticipation_allowed", "bias_se"]


def test_all_fail_where_trends_differ(table):
    world = table.loc["differential trends"]
    assert (world["bias"].abs() > 3 * world["bias_se"]).all()


def test_scores_are_those_of_the_answers():
    answers = np.array([[0.5, 1, 1, 0], [-0.1, 1, 0, 0], [0.2, 0, 1, 1], [0.0, 1, 1, 0]])
    score = on_trial._score(answers)
    assert score["bias"] == pytest.approx(0.15)
    assert score["rmse"] == pytest.approx(np.sqrt(0.3 / 4))
    assert (score["coverage"], score["power"], score["size"], score["draws"]) == (0.75, 0.75, 0.25, 4)


def test_a_seed_gives_the_same_numbers_for_one_world_as_for_all(table):
    alone = on_trial.trial(PARAMETERS, worlds=["exit"]).set_index(["world", "estimator"])
    pd.testing.assert_frame_equal(alone, table.loc[["exit"]])


@pytest.mark.parametrize(
    ("world", "off"),
    [("anticipation", {"anticipation": 0}), ("differential trends", {"trend": 0}), ("exit", {"exit": 0})],
)
def test_a_strength_of_zero_switches_the_fault_off(world, off):
    draw = on_trial.simulate(world, on_trial.TrialParameters(**off), np.random.default_rng(0))
    before = np.arange(8) < draw.starts[:, None]
    assert (draw.effects[before] == 0).all()
    assert draw.observed.all()
    change = np.diff(draw.untreated, axis=1).mean(axis=1)
    treated = np.isfinite(draw.starts)
    assert abs(change[treated].mean() - change[~treated].mean()) < 0.1


def test_the_headline_is_the_bias_and_names_where_intervals_fail(table, monkeypatch):
    monkeypatch.setattr(on_trial, "trial", lambda parameters: table.reset_index())
    result = on_trial.estimate(PARAMETERS)
    bias = result.estimates["callaway_santanna"].table.set_index("term")
    np.testing.assert_allclose(bias["estimate"], table.xs("callaway_santanna", level="estimator")["bias"])
    (sentence,) = result.sentences
    assert "past spending" in sentence
    assert "simulated" in sentence


def test_the_figure_has_a_cell_for_every_estimator_and_world(table):
    ax = on_trial.plot(table.reset_index())
    assert len(ax.texts) == len(on_trial.WORLDS) * len(on_trial.ESTIMATORS)


def test_a_strength_outside_its_range_is_refused():
    study = studies.get("methods/estimators_on_trial")
    with pytest.raises(studies.StudyError, match="clusters=3 is not allowed; give a whole number from 6 to 50"):
        study.parameters(clusters=3)
