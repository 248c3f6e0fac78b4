"""The study of Ontario's move to capitation: a design that does not hold."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import studies
from apmkit.errors import ApmkitError
from apmkit.studies import StudyError
from apmkit.studies import canada_ontario_capitation_wave as wave
from apmkit.studies import canada_ontario_capitation_wave_figures as figures
from apmkit.studies import canada_ontario_capitation_wave_words as words
from apmkit.synth import gaps_of_exact_fits

mpl.use("Agg")

STUDY = studies.get("canada/ontario_capitation_wave")


@pytest.fixture(scope="module")
def default():
    return STUDY.run()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def holds(**values):
    parameters = STUDY.parameters(**values)
    return wave.conditions(STUDY.run(parameters).estimates, parameters).set_index("condition")["holds"]


def test_ontarios_share_rose_from_11_to_37_percent_the_most_of_any_province():
    share = apm.load("npdb_payments").pivot(index="fiscal_year_start", columns="province", values="alternative_share")
    assert share.loc[[2002, 2012], "ON"].round(3).tolist() == [0.114, 0.369]
    rise = wave.share_rise(STUDY.parameters(start_year=2003))
    assert rise.index[0] == "Ontario"
    assert rise["Ontario"] == pytest.approx(100 * (share.loc[2012, "ON"] - share.loc[2002, "ON"]))


def test_a_rise_is_measured_from_a_year_that_is_used():
    share = apm.load("npdb_payments").pivot(index="fiscal_year_start", columns="province", values="alternative_share")
    rise = wave.share_rise(STUDY.parameters(estimated_values="leave_out"))
    assert rise["Ontario"] == pytest.approx(100 * (share.loc[2012, "ON"] - share.loc[2000, "ON"]))


def test_payments_are_divided_by_the_population_of_the_year_in_which_the_fiscal_year_starts():
    payments = apm.load("npdb_payments").query("province == 'ON' and fiscal_year == '2009-2010'")["payments"].item()
    people = apm.load("population").query("province == 'ON' and year == 2009")["population"].item()
    row = wave.province_years().query("province == 'Ontario' and year == 2009")
    assert row["payments_per_capita"].item() == pytest.approx(payments / people)


def test_by_default_three_years_before_nine_donors_and_two_estimated_values(default):
    panel = default.estimates[default.headline].panel
    assert panel.periods.tolist() == list(range(1999, 2013))
    assert len(panel.units) == 10
    assert "2 of 30 values before are estimates, 4 in all years" in default.notes[1]


def test_the_first_sentence_claims_no_effect_and_counts_the_conditions(default):
    rows = wave.conditions(default.estimates, default.parameters)
    assert default.sentences[0] == words.verdict(rows)
    assert (
        default.sentences[0]
        == f"This design does not hold, so no effect is claimed: all {len(rows)} conditions it needs fail."
    )
    one = rows.assign(holds=[True] * (len(rows) - 1) + [False])
    assert words.verdict(one).endswith(f"1 of the {len(rows)} conditions it needs fails (chance can be told).")


@pytest.mark.parametrize("estimator", list(wave.METHODS))
@pytest.mark.parametrize("donors", ["all", "least_moved"])
def test_under_no_choice_can_chance_be_told(estimator, donors):
    assert not holds(outcome="physician_spending", first_year=1985, estimator=estimator, donors=donors)[
        "Chance can be told"
    ]


def test_each_condition_can_hold_where_its_cause_is_gone():
    assert holds(outcome="physician_spending", first_year=1985)["Years before"]
    assert holds(estimated_values="leave_out")["Values measured"]
    assert holds(donors="least_moved")["Donors untreated"]
    assert "Values measured" not in holds(outcome="physician_spending")
    assert "Ontario inside the range of the donors" not in holds(estimator="difference_in_differences")


def test_an_exact_fit_with_fewer_years_than_donors_is_no_good_fit():
    assert not holds(estimator="synthetic_control_intercept", start_year=2001)["Fit before"]


def test_exact_fits_have_gaps_on_both_sides_of_the_one_that_the_library_takes():
    parameters = STUDY.parameters(estimator="synthetic_control_intercept", estimated_values="leave_out")
    estimate = STUDY.run(parameters).estimates["synthetic_control_intercept"]
    low, high = gaps_of_exact_fits(estimate.panel, intercept=True)
    assert low <= estimate.table["estimate"].item() <= high
    assert high - low > 20
    with pytest.raises(ApmkitError, match="No mix of donors follows Ontario exactly"):
        gaps_of_exact_fits(wave.province_panel(STUDY.parameters(outcome="physician_spending", first_year=1985)))


def test_where_the_library_withholds_the_p_value_the_finding_says_so():
    found = STUDY.run(
        STUDY.parameters(estimator="difference_in_differences", start_year=2003, donors="least_moved",
                         estimated_values="leave_out")
    )  # fmt: skip
    headline = found.estimates[found.headline]
    assert "withheld" in headline.diagnostics
    assert np.isnan(headline.table["p_value"].item())
    assert "p-value and interval are withheld" in found.sentences[1]


def test_the_contrast_is_the_rise_less_the_weighted_rise_of_donors(default):
    mixed = wave.contamination(default.estimates[default.headline], default.parameters)
    weights = default.estimates[default.headline].details["donor_weights"].set_index("unit")["weight"]
    rise = wave.share_rise(default.parameters)
    assert mixed["comparison"] == pytest.approx(sum(rise[name] * weight for name, weight in weights.items()))
    assert f"{mixed['own'] - mixed['comparison']:.1f} points" in default.sentences[2]


def test_provinces_that_moved_are_named_where_there_are_any():
    rise = pd.Series({"Ontario": 25.0, "New Brunswick": 18.0, "Quebec": 3.0})
    assert words.moved_sentence(rise, 5).endswith("New Brunswick (18). They are treated too, by reforms of their own.")
    assert words.moved_sentence(rise, 20).endswith("that of no other province rose by 20 or more.")


def test_ontario_is_outside_the_donors_in_the_years_in_which_it_is_highest(default):
    outside = wave.outside_range(default.estimates[default.headline].panel)
    wide = wave.province_years().pivot(index="year", columns="province", values="payments_per_capita").loc[1999:2001]
    assert outside["outside"].tolist() == (wide["Ontario"] > wide.drop(columns="Ontario").max(axis=1)).tolist()
    assert "1999-00, 2000-01 Ontario lies above every donor" in words.range_of_donors(
        outside, default.parameters.measure
    )


def test_published_rows_keep_their_numbers_and_say_when_no_interval_was_printed():
    rows = wave.published()
    assert set(rows["year"]) == {2009, 2013, 2020, 2024}
    table = figures.published_table(rows)
    assert table["Effect"].str.contains("no interval printed").sum() == rows["ci_low"].isna().sum()
    assert "-14 percent difference (95% CI -15 to -13)" in table["Effect"].to_list()


def test_pretended_starts_need_two_years_before(default):
    panel = default.estimates[default.headline].panel
    assert wave.pretended_starts(panel, "synthetic_control")["start"].tolist() == [2001]
    short = wave.province_panel(STUDY.parameters(start_year=2001))
    none = wave.pretended_starts(short, "synthetic_control")
    assert none.empty
    assert "too few years" in words.starts_sentence(
        none, default.estimates[default.headline], words.MEASURES["physician_spending"]
    )


def test_figures_draw_every_province(default):
    rise, parameters = wave.share_rise(default.parameters), default.parameters
    ax = figures.share_lines(wave.province_years(), rise, 5, 2002, 2012)
    assert {text.get_text() for text in ax.texts} == set(wave.NAMES.values())
    points = wave.dose_points(parameters)
    assert {text.get_text() for text in figures.dose_figure(points, parameters.measure).texts} == set(points.index)
    figures.range_figure(default.estimates[default.headline], parameters.measure)
    starts = pd.DataFrame({"start": [2001], "estimate": [-40.0]})
    figures.starts_figure(starts, default.estimates[default.headline], parameters.measure)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first_year": 1990}, "first_year=1990 is before 1999"),
        ({"first_year": 2000, "start_year": 2001}, "leaves 1 year before start_year=2001 and 2 are needed"),
        ({"first_year": 2000, "estimated_values": "leave_out"}, "leaves 1 year before start_year=2002"),
        ({"outcome": "physician_spending", "estimated_values": "leave_out"}, "concerns outcome=payments_per_capita"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused_in_one_sentence(values, message):
    with pytest.raises(StudyError, match=message):
        STUDY.parameters(**values)


def test_too_few_donors_are_refused_with_the_remedy():
    with pytest.raises(ApmkitError, match="give more points, or donors=all"):
        STUDY.run(STUDY.parameters(donors="least_moved", moved_points=3, estimated_values="leave_out"))
