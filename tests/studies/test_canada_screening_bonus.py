"""The simulated screening bonus: what is drawn, what each analysis should find, and what is refused."""

import numpy as np
import pytest

import apmkit as apm
from apmkit import studies
from apmkit.studies import StudyError
from apmkit.studies import canada_screening_bonus as screen
from apmkit.studies import canada_screening_bonus_words as words

STUDY = studies.get("canada/screening_bonus")


def mean_path(**values):
    """The eligible and the comparison series less the shocks, which depend on the seed alone."""
    still = {"true_bonus_slope": 0.0, "launch_effect": 0.0}
    drawn, base = (screen.simulate(STUDY.parameters(**v)) for v in ({**still, **values}, still))
    added = drawn["screened"] - base["screened"]
    return [added[drawn["group"] == group].to_numpy() for group in ("eligible", "comparison")]


def test_the_bonus_adds_a_slope_to_the_eligible_alone():
    eligible, comparison = mean_path(true_bonus_slope=2.0)
    np.testing.assert_allclose(eligible[[24, 25, 29, 33]], [0, 0, 2, 4], atol=1e-12)
    np.testing.assert_allclose(comparison, 0, atol=1e-12)


def test_the_launch_builds_up_over_two_years_in_both_groups_by_its_reach():
    eligible, comparison = mean_path(launch_effect=8.0, launch_reach=0.5)
    np.testing.assert_allclose(eligible[[32, 33, 40, 43]], [0, 1, 8, 8], atol=1e-12)
    np.testing.assert_allclose(comparison, eligible / 2, atol=1e-12)


def test_slopes_are_the_published_ones():
    rows = apm.load("published_effects").set_index("id")["estimate"]
    assert screen.SLOPES["eligible"] == rows["CA023"]
    assert screen.WORLDS["The bonus did all"]["true_bonus_slope"] == pytest.approx(rows["CA024"] - rows["CA023"])


@pytest.mark.parametrize("world", list(screen.WORLDS))
def test_both_worlds_go_from_the_published_level_of_2000_to_that_of_2009(world):
    """Kiran & Glazier (2012): 18 percent in 2000/01, 51 percent in 2009/10. The mean of seeds leaves the path."""
    paths = []
    for seed in range(40):
        rows = screen.simulate(STUDY.parameters(**screen.WORLDS[world], seed=seed))
        paths.append(rows[rows["group"] == "eligible"].set_index("quarter")["screened"])
    path = sum(paths) / len(paths)
    assert path.loc[1:4].mean() == pytest.approx(18, abs=0.6)
    assert path.loc[37:40].mean() == pytest.approx(51, abs=0.8)


def test_sets_of_choices_in_one_world_are_analysed_once():
    first = screen.analyses(STUDY.parameters(seed=3))
    assert screen.analyses(STUDY.parameters(seed=3, measure="level", comparison=True)) is first
    assert screen.analyses(STUDY.parameters(seed=4)) is not first


def test_the_level_of_a_series_does_not_decide_whether_its_errors_are_taken_for_a_random_walk():
    """In this draw a launch left out makes the fitted errors drift; one point more once changed the interval."""
    series = screen.simulate(STUDY.parameters(), draw=7)
    raised = series.assign(screened=series["screened"] + 1)
    rows = [
        screen.analyse(one, "2010-Q1", False, False).term("slope change").table[["estimate", "ci_low", "ci_high"]]
        for one in (series, raised)
    ]
    np.testing.assert_allclose(*rows, rtol=1e-3)


def test_one_series_is_the_analysis_of_the_library_by_year():
    series = screen.simulate(STUDY.parameters())
    alone = series[(series["group"] == "eligible") & (series["quarter"] <= 40)]
    library = apm.interrupted_time_series(alone, time="quarter", outcome="screened", start=25).term("slope change")
    row, own = library.table.iloc[0], STUDY.run().estimates["bonus"].table.iloc[0]
    np.testing.assert_allclose(
        own[["estimate", "ci_low", "ci_high"]].astype(float),
        4 * row[["estimate", "ci_low", "ci_high"]].astype(float),
    )


@pytest.mark.parametrize("comparison", [False, True])
def test_modelling_the_launch_removes_it_whatever_its_size(comparison):
    """Until early 2010 the launch is a step and a line, which the second break takes up exactly."""
    found = [
        screen.analyse(screen.simulate(STUDY.parameters(launch_effect=size)), "2010-Q1", True, comparison)
        for size in (0.0, 15.0)
    ]
    slopes = [estimate.term("slope change").table["estimate"].iloc[0] for estimate in found]
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-4)


def test_only_a_group_that_the_launch_reached_alike_removes_it():
    def slope(**values):
        return STUDY.run(STUDY.parameters(comparison=True, **values)).estimates["bonus"].table["estimate"].iloc[0]

    assert slope(launch_effect=0.0) == pytest.approx(slope(launch_effect=15.0), abs=1e-6)
    assert slope(launch_effect=15.0, launch_reach=0.5) - slope(launch_effect=0.0) > 1


def test_a_launch_left_out_is_taken_for_the_bonus():
    scores = screen.trial(STUDY.parameters(), draws=6).set_index("analysis")
    assert scores.loc["One series to 2010-Q1", "bias"] > 1
    assert abs(scores.loc["Two series to 2010-Q1", "bias"]) < 0.6
    assert len(scores) == 6


def test_a_launch_cannot_be_modelled_before_it_is_there():
    with pytest.raises(StudyError, match="ends before the launch"):
        STUDY.parameters(last_period="2008-Q1", model_launch=True)


def test_the_sentence_follows_the_measure_and_the_truth():
    result = STUDY.run(STUDY.parameters(measure="level", true_bonus_slope=3.0))
    assert "changes the level by 0.00 percentage points" in result.sentences[0]
    assert "level" in result.axis.lower()
    assert words.number(-0.001) == "0.00"


def test_every_value_of_the_bonus_is_marked_as_unconfirmed():
    table = words.bonus_table()
    assert table.map(lambda text: text.endswith("†")).all(axis=None)
    assert table["CAD per physician and year"].iloc[-1] == "4,000 †"
