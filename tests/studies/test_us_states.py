"""The studies of Maryland and Vermont, and what they share."""

import warnings

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import studies, synth
from apmkit.errors import DesignWarning, EstimationError
from apmkit.studies import StudyError, one_treated
from apmkit.studies import us_maryland_counties as counties
from apmkit.studies import us_maryland_global_budgets as maryland
from apmkit.studies import us_states as states
from apmkit.studies import us_states_words as words
from apmkit.studies import us_vermont_all_payer as vermont

MARYLAND, VERMONT = studies.get("us/maryland_global_budgets"), studies.get("us/vermont_all_payer")


@pytest.fixture(scope="module")
def default():
    return MARYLAND.run()


@pytest.fixture(scope="module")
def panel():
    return maryland.maryland_panel(MARYLAND.parameters())


def test_counties_summed_to_states_agree_with_the_file_by_state():
    both = states.state_years("county").merge(states.state_years("state"), on=["state", "year"])
    assert len(both) == 51 * 4
    assert (both["cost_per_capita_x"] / both["cost_per_capita_y"] - 1).abs().max() < 0.007


def test_cost_of_a_state_is_cost_over_beneficiaries_of_its_counties():
    rows = apm.load("gv_county").query("state == 'MD' and year == 2013")
    own = states.state_years("county").query("state == 'MD' and year == 2013")["cost_per_capita"].item()
    assert own == pytest.approx(rows["total_cost"].sum() / rows["ffs_beneficiaries"].sum())


def test_differences_in_differences_are_differences_of_mean_changes(panel, default):
    wide = maryland.sample(MARYLAND.parameters()).pivot(index="year", columns="area", values="cost_per_capita")
    change = wide.loc[2014:].mean() - wide.loc[:2013].mean()
    expected = change["Maryland"] - change.drop("Maryland").mean()
    assert default.estimates["difference_in_differences"].table["estimate"].item() == pytest.approx(expected)


def test_differential_trends_are_the_departure_from_the_line_through_the_years_before(panel, default):
    treated = np.isfinite(panel.cohorts)
    gap = panel.outcomes[treated][0] - panel.outcomes[~treated].mean(axis=0)
    before = panel.periods < 2014
    line = np.polyval(np.polyfit(panel.periods[before], gap[before], 1), panel.periods)
    expected = (gap - line)[~before].mean()
    assert default.estimates["differential_trend"].table["estimate"].item() == pytest.approx(expected)


def test_a_line_through_two_years_is_refused(panel):
    short = panel.restrict(np.ones(len(panel.units), dtype=bool), panel.periods >= 2012)
    with pytest.raises(EstimationError, match="three periods before treatment, not 2"):
        synth.without_trends(short)


def test_p_is_never_below_one_over_the_number_of_states(panel):
    for estimate in states.by_method(panel).values():
        assert estimate.table["p_value"].item() >= 1 / len(panel.units)


def test_the_numbers_of_maryland_among_states_are_those_of_its_counties():
    frame = counties.county_years()
    effects, ranks = counties.county_effects(frame), counties.state_ranks(frame)
    for name, estimate in effects.items():
        assert ranks.loc["MD", name] == pytest.approx(estimate.table["estimate"].item(), rel=1e-8)
    assert len(ranks) == 51


def test_published_standard_errors_are_consistent_with_their_intervals():
    rows = counties.PUBLISHED
    assert ((rows["ci_low"] + rows["ci_high"]) / 2 - rows["estimate"]).abs().max() < 0.02
    clear = (rows["ci_low"] > 0) | (rows["ci_high"] < 0)
    assert dict(zip(rows["outcome"] + " " + rows["trends"], clear, strict=True)) == {
        "hospital stays parallel": False,
        "hospital stays differential": True,
        "primary care visits parallel": True,
        "primary care visits differential": False,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"outcome": "ed_visits"}, "it needs model=total_cost_of_care"),
        ({"leave_out_years": ("2020",)}, "the file by county ends in 2017"),
        ({"first_year": 2012}, "leaves fewer than 3 years before 2014; give 2011 or earlier"),
    ],
)
def test_maryland_refuses_what_the_files_cannot_answer(values, message):
    with pytest.raises(StudyError, match=message):
        MARYLAND.parameters(**values)


def test_a_fit_that_is_too_poor_is_not_judged():
    parameters = MARYLAND.parameters(
        model="total_cost_of_care", outcome="inpatient_stays", estimator="difference_in_differences"
    )
    assert "no p-value" in MARYLAND.run(parameters).sentences[0]


def test_donors_with_a_reform_of_their_own_are_left_out_by_default(panel):
    assert "Vermont" not in panel.units
    assert "Vermont" in maryland.maryland_panel(MARYLAND.parameters(donors="all")).units
    assert len(maryland.maryland_panel(MARYLAND.parameters(donors="like_in_advantage")).units) == 25


@pytest.mark.parametrize(("place", "years", "start"), [("leave_out", 3, 2018), ("before", 4, 2018), ("after", 3, 2017)])
def test_2017_goes_where_the_parameter_says(place, years, start):
    used = vermont.vermont_panel(VERMONT.parameters(year_2017=place))
    assert np.min(used.cohorts) == start
    assert (used.periods < start).sum() == years


def test_vermont_gets_no_verdict_from_an_exact_fit():
    first = VERMONT.run().sentences[0]
    assert first.startswith("No verdict: 3 years before are matched exactly")


@pytest.mark.parametrize("estimator", ["synthetic_control", "synthetic_control_intercept"])
def test_many_mixes_fit_few_years_exactly_and_their_gaps_enclose_the_estimate(estimator):
    found = VERMONT.run(VERMONT.parameters(estimator=estimator)).estimates["gap"]
    assert one_treated.fits_exactly(found)
    low, high = states.exact_fits(found)
    gap = found.table["estimate"].item()
    assert low + 100 < gap < high - 100


def test_the_gap_of_one_mix_is_both_ends():
    wide = pd.DataFrame({"A": [1, 2, 5], "B": [0, 0, 0], "C": [2, 4, 6]}, index=[2000, 2001, 2002])
    rows = wide.rename_axis("year").reset_index().melt("year", var_name="area", value_name="y")
    rows["start"] = np.where(rows["area"] == "A", 2002.0, np.nan)
    panel = apm.Panel(rows, unit="area", time="year", outcome="y", cohort="start")
    found = states.effect(panel, "synthetic_control", placebo=None)
    assert states.exact_fits(found) == pytest.approx((2, 2))


def test_an_exact_fit_is_said_in_the_table_of_outcomes():
    assert maryland.by_outcome(MARYLAND.parameters()).iloc[1, 1].endswith("(exact fit)")


def test_no_verdict_where_the_library_withholds_one():
    parameters = VERMONT.parameters(outcome="inpatient_stays", estimator="difference_in_differences")
    assert "too poor for the method to be judged" in VERMONT.run(parameters).sentences[0]


def test_a_year_after_the_data_is_refused_with_the_way_to_add_one():
    with pytest.raises(StudyError, match="apmkit datasets add gv_state FILE"):
        VERMONT.parameters(last_year=2030)


def test_covid_years_after_the_window_are_refused():
    with pytest.raises(StudyError, match="after last_year=2019"):
        VERMONT.parameters(last_year=2019, leave_out_years=("2020",))


def test_power_by_placebos_starts_near_the_share_called_unusual_and_ends_at_one(panel):
    estimate = states.effect(panel, "synthetic_did")
    largest = estimate.details["placebos"]["estimate"].abs().max()
    power = synth.placebo_power(estimate, [0, 3 * largest])["power"]
    assert power.iloc[0] == pytest.approx(2 / 49, abs=1 / 49)
    assert power.iloc[1] == 1
    assert synth.placebo_power(estimate, [synth.placebo_detectable(estimate)])["power"].item() >= 0.8


def test_pretended_starts_use_no_treated_year(panel):
    starts = states.pretended_starts(panel, "difference_in_differences")
    assert starts["start"].tolist() == [2010, 2011, 2012, 2013]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        own = apm.in_time_placebo(panel, 2012, method=apm.difference_in_differences)
    assert starts.set_index("start").loc[2012, "estimate"] == pytest.approx(own.table["estimate"].item())


def test_sentences_follow_the_sign():
    result = MARYLAND.run(MARYLAND.parameters(donors="like_in_advantage"))
    gap = result.estimates["synthetic_control"].table["estimate"].item()
    assert words.side(gap) in result.sentences[0]


def test_a_year_left_out_is_named():
    parameters = MARYLAND.parameters(model="total_cost_of_care", leave_out_years=("2020", "2021"))
    assert MARYLAND.run(parameters).sentences[0].startswith("From 2019 to 2024 without 2020 and 2021, ")


def test_signs_of_vermont_are_counted_for_each_outcome():
    every = pd.DataFrame({"outcome": ["ed_visits"] * 3 + ["readmissions"], "estimate": [-1.0, 2.0, 3.0, -1.0]})
    assert vermont.sign_table(every)[["Falls", "Rises"]].to_numpy().tolist() == [[1, 2], [1, 0]]
    assert "For 1 of 2 outcomes" in vermont.signs_sentence(every, VERMONT.parameters(outcome="ed_visits"))
