"""The study of British Columbia's Longitudinal Family Physician model."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import apmkit as apm
from apmkit import plots, studies
from apmkit.errors import DesignWarning
from apmkit.studies import StudyError
from apmkit.studies import canada_bc_lfp as lfp
from apmkit.studies.canada_bc_lfp_figures import gap_table, outcome_table, province_lines, table
from apmkit.studies.canada_bc_lfp_words import (
    MEASURES,
    access_sentence,
    detectable_sentence,
    donor_sentence,
    finding,
    full_years_sentence,
    other_findings,
    place_sentence,
    placebo_fit_sentence,
    placebo_sentence,
    policy_sentence,
    range_sentence,
    size_sentence,
    smallest_first,
    starts_sentence,
    supply_sentence,
    weights_sentence,
)
from apmkit.studies.one_treated_figures import placebo_dots
from apmkit.synth import leave_one_donor_out

mpl.use("Agg")

STUDY = studies.get("canada/bc_lfp")


@pytest.fixture(scope="module")
def frame():
    return lfp.province_years()


@pytest.fixture(scope="module")
def default():
    return STUDY.run()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def panel(frame, **values):
    return lfp.province_panel(frame, STUDY.parameters(**values))


def test_payments_are_divided_by_the_population_of_the_year_in_which_the_fiscal_year_starts(frame):
    payments = apm.load("npdb_payments").query("province == 'BC' and fiscal_year == '2023-2024'")["payments"].item()
    people = apm.load("population").query("province == 'BC' and year == 2023")["population"].item()
    row = frame.query("province == 'British Columbia' and year == 2023")
    assert row["payments_per_capita"].item() == pytest.approx(payments / people)


def test_each_of_the_ten_provinces_appears_once_a_year(frame):
    assert frame.groupby("year")["province"].nunique().eq(10).all()
    assert not frame.duplicated(["province", "year"]).any()


def test_by_default_eight_donors_remain_and_the_partly_treated_year_is_left_out(frame):
    used = panel(frame)
    assert len(used.units) == 9
    assert "Ontario" not in used.units
    assert used.periods.tolist() == [*range(2010, 2022), 2023]


@pytest.mark.parametrize(("choice", "start", "has_2022"), [("leave_out", 2023, 0), ("pre", 2023, 1), ("post", 2022, 1)])
def test_the_partly_treated_year_goes_where_the_parameter_says(frame, choice, start, has_2022):
    used = panel(frame, partly_treated=choice)
    assert np.nanmin(used.cohorts) == start
    assert (used.periods == 2022).sum() == has_2022


def test_physicians_and_unmet_need_use_all_years_shipped(frame):
    assert panel(frame, outcome="family_physicians_per_100k").periods.tolist() == list(range(2015, 2025))
    assert panel(frame, outcome="unmet_need").periods.tolist() == list(range(2018, 2025))


def test_a_pretended_start_sees_no_treated_year(frame):
    assert panel(frame, treatment_year=2017).periods.max() == 2021
    assert panel(frame, outcome="family_physicians_per_100k", treatment_year=2020).periods.max() == 2022


def test_the_headline_is_the_estimator_chosen_and_all_four_are_kept(default):
    assert default.headline == "synthetic_control"
    assert list(default.estimates) == list(lfp.METHODS)
    other = STUDY.run(STUDY.parameters(estimator="synthetic_did"))
    assert other.headline == "synthetic_did"
    assert other.estimates["synthetic_did"].table.equals(default.estimates["synthetic_did"].table)


def test_difference_in_differences_is_the_difference_of_mean_changes(frame, default):
    wide = frame[frame["year"].between(2010, 2023) & (frame["year"] != 2022) & (frame["province"] != "Ontario")]
    wide = wide.pivot_table(index="year", columns="province", values="payments_per_capita")
    change = wide.loc[2023] - wide.loc[:2021].mean()
    expected = change["British Columbia"] - change.drop("British Columbia").mean()
    assert default.estimates["difference_in_differences"].table["estimate"].item() == pytest.approx(expected)


def test_p_stays_at_or_above_one_over_the_number_of_donors_plus_one_and_the_notes_say_so(default):
    for estimate in default.estimates.values():
        assert estimate.table["p_value"].item() >= 1 / 9
    assert "With 8 donors p cannot be below 0.111." in default.notes


def test_unmet_need_has_an_estimate_and_no_p_value():
    result = STUDY.run(STUDY.parameters(outcome="unmet_need"))
    row = result.estimates[result.headline].table.iloc[0]
    assert np.isfinite(row["estimate"])
    assert np.isnan(row["p_value"])
    assert np.isnan(row["se"])
    assert "not tested" in result.sentences[0]


@pytest.mark.parametrize("estimator", list(lfp.METHODS))
def test_a_gap_just_above_the_smallest_that_ranks_first_does_and_one_just_below_does_not(frame, estimator):
    parameters = STUDY.parameters(estimator=estimator)
    rows = lfp.province_panel(frame, parameters).to_frame()
    found = lfp.effect(lfp.province_panel(frame, parameters), parameters)
    smallest, observed = smallest_first(found), found.table["estimate"].item()
    for factor, first in ((1.01, True), (0.99, False)):
        after = (rows["province"] == "British Columbia") & (rows["year"] >= 2023)
        moved = rows.assign(y=rows["payments_per_capita"] + after * (factor * smallest - observed))
        again = apm.Panel(moved, unit="province", time="year", outcome="y", cohort="cohort")
        assert (lfp.effect(again, parameters).diagnostics["rank"] == 1) is first


def test_a_placebo_that_was_followed_exactly_leaves_no_gap_that_could_rank_first():
    parameters = STUDY.parameters(outcome="family_physicians_per_100k", treatment_year=2018)
    estimate = STUDY.run(parameters).estimates["synthetic_control"]
    assert estimate.details["placebos"]["pre_rmspe"].min() < 1e-4
    assert "would have to exceed the whole level of British Columbia in 2017" in detectable_sentence(
        estimate, parameters.measure
    )


def test_pretended_starts_leave_three_years_before_and_rank_nothing_untested(frame):
    parameters = STUDY.parameters(estimator="difference_in_differences")
    starts = lfp.placebo_starts(lfp.province_panel(frame, parameters), parameters)
    assert starts["start"].tolist() == list(range(2013, 2022))
    parameters = STUDY.parameters(outcome="unmet_need")
    assert lfp.placebo_starts(lfp.province_panel(frame, parameters), parameters)["rank"].isna().all()


def test_a_pretended_start_that_many_mixes_follow_exactly_is_left_out(frame):
    parameters = STUDY.parameters()
    panel = lfp.province_panel(frame, parameters)
    starts = lfp.placebo_starts(panel, parameters)
    assert starts["start"].tolist() == list(range(2014, 2022))
    # Three years before 2013: a linear program finds mixes that fit exactly and have gaps far apart.
    own, donors = panel.outcomes[np.isfinite(panel.cohorts)][0], panel.outcomes[np.isinf(panel.cohorts)]
    before = panel.periods < 2013
    after = before ^ (panel.periods < 2023)
    equal = np.vstack([donors[:, before].T, np.ones(len(donors))])
    ends = []
    for sign in (1, -1):
        cost = sign * donors[:, after].mean(axis=1)
        found = linprog(cost, A_eq=equal, b_eq=[*own[before], 1.0], bounds=(0, 1))
        assert found.status == 0
        ends.append(own[after].mean() - sign * found.fun)
    assert max(ends) - min(ends) > 5


def test_alternatives_change_one_choice_each_and_repeat_none(frame):
    found = lfp.alternatives(frame, STUDY.parameters())
    assert "Without Ontario" not in found
    assert "From 2010-11" not in found
    assert "2022-23 left out" not in found
    assert found["All nine donors"].diagnostics["n_donors"] == 9
    assert found["2022-23 counted as after"].diagnostics["n_post_periods"] == 2
    assert found["As chosen"].table.equals(STUDY.run().estimates["synthetic_control"].table)


def test_outcomes_whose_data_start_too_late_for_a_pretended_start_are_left_out(frame):
    found = lfp.other_outcomes(frame, STUDY.parameters())
    assert {outcome: list(methods) for outcome, methods in found.items()} == {
        "family_physicians_per_100k": list(lfp.METHODS),
        "unmet_need": list(lfp.METHODS),
    }
    early = lfp.other_outcomes(frame, STUDY.parameters(treatment_year=2018))
    assert set(early) == {"family_physicians_per_100k"}
    assert "too few years" in other_findings({}, "synthetic_control")


def test_the_finding_names_direction_rank_and_years(default):
    estimate, measure = default.estimates["synthetic_control"], MEASURES["payments_per_capita"]
    value = estimate.table["estimate"].item()
    (sentence,) = default.sentences
    assert sentence.startswith("In 2023-24 ")
    assert f"CAD {value:,.0f} a person above" in sentence
    assert f"rank {estimate.diagnostics['rank']} of 9" in sentence
    mirrored = pd.DataFrame(estimate.panel.to_frame())
    mirrored["payments_per_capita"] *= -1
    flipped = apm.Panel(mirrored, unit="province", time="year", outcome="payments_per_capita", cohort="cohort")
    assert "below" in finding(lfp.effect(flipped, STUDY.parameters()), measure)


def test_sentences_follow_the_numbers(frame, default):
    measure = MEASURES["payments_per_capita"]
    starts = pd.DataFrame({"start": [2015, 2016, 2017], "estimate": [-4.0, 9.0, 0.2], "rank": [1, 3, 1]})
    assert placebo_sentence(starts, measure) == (
        "Told one by one that the model began in each year from 2015-16 to 2017-18, when nothing had begun, the same "
        "method finds gaps of minus CAD 4 to CAD 9 a person; 2 of 3 rank first, so a first rank alone proves little."
    )
    assert placebo_sentence(starts.iloc[[1]], measure) == (
        "Told that the model began in 2016-17, when nothing had begun, the same method finds a gap of CAD 9 a person; "
        "it does not rank first."
    )
    estimate = default.estimates["synthetic_control"]
    assert measure.write(smallest_first(estimate)) in detectable_sentence(estimate, measure)
    largest = estimate.details["donor_weights"]["weight"].max()
    assert f"carries {largest:.0%} of the weight" in weights_sentence(estimate)
    poor = (estimate.details["placebos"]["pre_rmspe"] > 2 * estimate.diagnostics["pre_rmspe"]).sum()
    assert placebo_fit_sentence(estimate).startswith(f"Before treatment {poor} of 8 placebos")
    gaps = [found.table["estimate"].item() for found in default.estimates.values()]
    ranks = [found.diagnostics["rank"] for found in default.estimates.values()]
    assert range_sentence(default.estimates, measure) == (
        f"Over 4 choices of method, donors and years the gap runs from CAD {min(gaps):.0f} a person (synthetic_did) to "
        f"CAD {max(gaps):.0f} a person (synthetic_control); it ranks first in {ranks.count(1)} of them."
    )
    assert starts_sentence(starts) == (
        "Of starts pretended in 3 earlier years, 2 rank first; a first rank alone proves little."
    )
    assert starts_sentence(starts.iloc[[1]]) == "Of starts pretended in 1 earlier year, none rank first."
    assert starts_sentence(starts.assign(rank=np.nan)) == ""
    level = frame.query("province == 'British Columbia'").set_index("year")["unmet_need"]
    assert f"from {level[2022]:.1f}% in 2022 to {level[2024]:.1f}% in 2024" in access_sentence(frame)


def test_the_place_among_all_sets_is_counted_and_named_where_it_is_near_an_end(default):
    measure, estimate = MEASURES["payments_per_capita"], default.estimates["synthetic_control"]
    gap = estimate.table["estimate"].item()
    sets = pd.DataFrame({"estimate": [*np.linspace(gap - 90, gap - 10, 9), gap, gap + 5, np.nan]})
    assert place_sentence(sets, estimate, measure) == (
        f"Over 11 sets of choices that can be defended the gap runs from CAD {gap - 90:.0f} to CAD {gap + 5:.0f} a "
        "person; 9 are lower and 1 higher. So this gap is near the upper end."
    )
    assert place_sentence(sets.iloc[6:], estimate, measure).endswith("3 are lower and 1 higher.")


def test_a_p_value_that_is_withheld_is_said_to_be(frame):
    result = STUDY.run(STUDY.parameters(leave_out="AB,MB,NB,NL,NS,ON", first_year=1999))
    assert "withheld" in result.estimates[result.headline].diagnostics
    assert "p-value withheld because the paths are too far apart before)" in result.sentences[0]


def test_tables_show_rank_and_p_only_for_tested_outcomes(default):
    tested = gap_table(default.estimates, MEASURES["payments_per_capita"], "Method").set_index("Method")
    assert tested["Rank"].str.endswith(" of 9").all()
    gaps = [estimate.table["estimate"].item() for estimate in default.estimates.values()]
    assert tested["Gap after (CAD per person)"].tolist() == gaps
    untested = STUDY.run(STUDY.parameters(outcome="unmet_need"))
    assert "p" not in gap_table(untested.estimates, MEASURES["unmet_need"])


def test_the_donor_sentence_multiplies_the_weight_of_the_largest_donor_by_its_own_gap(default):
    measure, estimate = MEASURES["payments_per_capita"], default.estimates["synthetic_control"]
    with pytest.warns(DesignWarning):
        without = leave_one_donor_out(estimate.panel)
    unit, weight = estimate.details["donor_weights"].iloc[0]
    own = estimate.details["placebos"].set_index("unit").loc[unit, "estimate"]
    rest = without.set_index("unit").loc[unit, "estimate"]
    assert donor_sentence(estimate, without, measure) == (
        f"{unit} was itself CAD {abs(own):.0f} a person {'below' if own < 0 else 'above'} its own comparison in "
        f"2023-24. Weighted by {weight:.0%}, that moves the gap of British Columbia {'up' if own < 0 else 'down'} by "
        f"CAD {abs(own) * weight:.0f} a person. Without {unit} the gap is CAD {rest:.0f} a person."
    )


def test_equal_weights_single_out_no_donor(default):
    estimate = default.estimates["difference_in_differences"]
    assert weights_sentence(estimate) == "All 8 donors carry the same weight."
    without = pd.DataFrame({"unit": ["Alberta", "Quebec"], "estimate": [60.0, 90.0]})
    assert donor_sentence(estimate, without, MEASURES["payments_per_capita"]) == (
        "Without one of the donors the gap is CAD 60 to CAD 90 a person."
    )


def test_the_rank_by_size_is_told_only_where_the_ratio_is_ranked(frame, default):
    measure, estimate = MEASURES["payments_per_capita"], default.estimates["synthetic_control"]
    sizes = estimate.details["placebos"].set_index("unit")["estimate"].abs()
    rank = 1 + (sizes > abs(estimate.table["estimate"].item())).sum()
    assert rank > 1
    assert f"placebo of {sizes.idxmax()} has the largest gap, CAD {sizes.max():.0f}" in size_sentence(estimate, measure)
    assert f"British Columbia ranks {rank} of 9. By the ratio it ranks first" in size_sentence(estimate, measure)
    assert size_sentence(default.estimates["synthetic_did"], measure) == ""
    parameters = STUDY.parameters()
    rows = lfp.province_panel(frame, parameters).to_frame()
    rows["y"] = rows["payments_per_capita"] + 1000 * (rows["year"].ge(2023) & rows["province"].eq("British Columbia"))
    raised = apm.Panel(rows, unit="province", time="year", outcome="y", cohort="cohort")
    assert size_sentence(lfp.effect(raised, parameters), measure) == "By size alone the gap is the largest too."


def test_the_gap_is_set_against_the_budget_only_where_it_is_a_rise(frame, default):
    measure = MEASURES["payments_per_capita"]
    risen = default.estimates["synthetic_control"]
    times = risen.table["estimate"].item() / 50
    told = policy_sentence(risen, measure, 50, pd.DataFrame({"estimate": [10.0, 30.0, 120.0]}))
    assert f"the gap is {times:.1f} times that, and 0.2 to 2.4 times over all sets" in told
    assert "does not ask about payments since the model began" in policy_sentence(risen, measure, 50, None)


def test_supply_is_told_with_the_change_of_the_comparison_where_there_is_one(frame):
    found = lfp.other_outcomes(frame, STUDY.parameters())["family_physicians_per_100k"]["synthetic_control"]
    path = found.details["path"].set_index("period")
    moved = path.loc[2024, "synthetic"] - path.loc[2022, "synthetic"]
    own = frame.query("province == 'British Columbia'").set_index("year")["family_physicians_per_100k"]
    told = supply_sentence(frame, found)
    assert f"changed by {own[2024] - own[2022]:+.1f}, from {own[2022]:.1f} in 2022 to {own[2024]:.1f} in 2024" in told
    assert told.endswith(f"that of the comparison changed by {moved:+.1f}.")
    assert "rate" not in supply_sentence(frame, None)


def test_full_years_of_payments_are_counted_in_the_data(frame):
    assert full_years_sentence(frame) == "One full year of payments after the start: 2023-24."
    later = frame["province"].eq("British Columbia") & frame["year"].eq(2024)
    grown = frame.assign(payments_per_capita=frame["payments_per_capita"].mask(later, 900.0))
    assert full_years_sentence(grown) == "2 full years of payments after the start: 2023-24 to 2024-25."


def test_the_table_of_outcomes_gives_the_range_of_the_methods_not_chosen(frame, default):
    found = {"payments_per_capita": default.estimates, **lfp.other_outcomes(frame, STUDY.parameters())}
    shown = outcome_table(found, default.headline).set_index("Outcome")
    others = [e for name, e in default.estimates.items() if name != default.headline]
    gaps, ranks = [e.table["estimate"].item() for e in others], [e.diagnostics["rank"] for e in others]
    assert shown["By the other methods"].iloc[0] == (
        f"CAD {min(gaps):.0f} to CAD {max(gaps):.0f} a person, rank {min(ranks)} to {max(ranks)}"
    )
    assert shown.loc[MEASURES["unmet_need"].axis, "Rank"] == "not tested"
    assert "Source: CIHI" in table(shown.reset_index(), "CIHI").to_html()


def test_a_year_left_out_breaks_the_lines_and_the_lone_year_after_it_is_a_dot(default):
    estimate = default.estimates["synthetic_control"]
    for ax in (plots.synthetic_paths(estimate), plots.placebo_gaps(estimate)):
        line = next(line for line in ax.lines if line.get_color() == plots.PALETTE["blue"])
        years, values = line.get_xdata(), line.get_ydata()
        assert years.tolist() == list(range(2010, 2024))
        assert np.flatnonzero(np.isnan(values)).tolist() == [12]
        assert line.get_markevery() == [13]


def test_figures_name_the_donors_that_matter_and_hide_no_placebo(frame, default):
    estimate = default.estimates["synthetic_control"]
    placebos = estimate.details["placebos"].set_index("unit")["estimate"]
    leading = estimate.details["donor_weights"]["unit"]
    named = {text.get_text() for text in plots.placebo_gaps(estimate).texts}
    assert named == {"British Columbia", leading[0], placebos.abs().idxmax()}
    named = {text.get_text() for text in province_lines(frame, estimate, MEASURES["payments_per_capita"]).texts}
    assert named == {"British Columbia", "Ontario", *leading[:3], placebos.abs().idxmax()}
    ax = placebo_dots({"Synthetic control": estimate}, MEASURES["payments_per_capita"])
    diamond, dots = ax.lines[:2]
    assert diamond.get_markerfacecolor() == "none"
    assert sorted(dots.get_xdata()) == sorted(placebos)


def test_the_budget_a_person_is_the_yearly_budget_over_the_population(frame):
    people = apm.load("population").query("province == 'BC' and year == 2023")["population"].item()
    assert lfp.budget_per_person(frame) == pytest.approx(1.1e9 / 3 / people)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"outcome": "unmet_need", "treatment_year": 2019}, "has 1 year before treatment_year=2019 and needs 3"),
        ({"first_year": 2020}, "has 2 years before treatment_year=2023 and needs 3"),
        ({"treatment_year": 2022}, "leaves no untreated year after the pretended start: give 2023, or at most 2021"),
        ({"leave_out": "ON,ON"}, "names a value twice"),
        ({"leave_out": "ON,AB,MB,NB,NL,NS,PE"}, "leaves fewer than three donors"),
        ({"leave_out": "BC"}, "any of AB, MB"),
        ({"outcome": "unmet_need", "partly_treated": "pre"}, "concerns payments of 2022-23 only"),
        ({"treatment_year": 2015, "partly_treated": "post"}, "concerns payments of 2022-23 only"),
        ({"last_year": 2022}, "whole number from 2023 to 2035"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused_in_one_sentence(values, message):
    with pytest.raises(StudyError, match=message) as caught:
        STUDY.parameters(**values)
    assert "\n" not in str(caught.value)
