"""The cost of one more screened person: money over people, and no number where people may be none."""

import numpy as np
import pytest

from apmkit import studies
from apmkit.studies import canada_screening_bonus as screen
from apmkit.studies import canada_screening_bonus_cost as cost

STUDY = studies.get("canada/screening_bonus")


def test_the_cost_is_the_yearly_money_over_the_people_and_its_bounds_change_places():
    assert cost.cost_of(100_000, 50_000, 200_000) == pytest.approx((125, 62.5, 250))


def test_people_that_may_be_none_leave_the_cost_without_an_upper_bound_and_a_fall_without_any():
    middle, low, high = cost.cost_of(50_000, -10_000, 100_000)
    assert (middle, low) == (250, 125)
    assert np.isnan(high)
    assert np.isnan(cost.cost_of(-50_000, -90_000, -10_000)).all()


def test_people_are_level_and_slope_to_the_middle_of_the_paid_years():
    found = screen.analyse(screen.simulate(STUDY.parameters()), "2010-Q1", False, False)
    terms = found.table.set_index("term")["estimate"]
    percent = cost.ELIGIBLE / 100
    expected = percent * (terms["level change"] + 7.5 * terms["slope change"])
    assert cost.people(found)[0] == pytest.approx(expected)
    # All quarters after the bonus of this window are those of the four years.
    mean = found.term("mean effect").table.iloc[0]
    assert cost.people(found)[0] == pytest.approx(percent * mean["estimate"])
    assert cost.people(found)[1] == pytest.approx(percent * mean["ci_low"], rel=0.15)


def test_without_an_effect_nobody_was_added_and_the_table_says_so():
    table = cost.cost_table(cost.cost_by_choice(STUDY.parameters()))
    assert table["CAD a year for each"].iloc[0] == "nobody was added"
    assert table["CAD a year for each"].str.contains("no upper bound").any()
    assert len(table) == 1 + len(screen.choices())


def test_with_an_effect_alone_the_truth_is_money_over_people():
    rows = cost.cost_by_choice(STUDY.parameters(true_bonus_slope=1.7, launch_effect=0.0))
    truth = rows.loc["Truth of this world"]
    assert truth["people"] == pytest.approx(cost.ELIGIBLE * 0.017 / 4 * 7.5)
    assert truth["cost"] == pytest.approx(12.5e6 / truth["people"])
    assert "10 put an upper bound" in cost.cost_sentence(rows)
