"""The study of avoidable hospital stays by neighbourhood income and the change in how physicians are paid."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import studies
from apmkit.studies import StudyError
from apmkit.studies import canada_metro_acsc_equity as metro
from apmkit.studies import canada_metro_acsc_equity_figures as figures
from apmkit.studies import canada_metro_acsc_equity_words as words

mpl.use("Agg")

STUDY = studies.get("canada/metro_acsc_equity")


@pytest.fixture(scope="module")
def default():
    return STUDY.run()


@pytest.fixture(scope="module")
def used():
    return metro.changes(STUDY.parameters())


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_fifteen_areas_of_eight_provinces_have_both_periods_and_four_have_one(used):
    rows = apm.load("metro_hospitalisation")
    overall = rows[rows["indicator"] == words.CONDITIONS["overall"].indicator]
    periods = overall.groupby("area")["first_fiscal_year"].nunique()
    assert set(periods.index[periods == 2]) == set(metro.PROVINCE_OF) == set(used.index)
    assert used["province"].nunique() == 8
    assert metro.only_one_period("overall") == ["Montréal", "Ottawa–Gatineau", "Québec", "Sherbrooke"]


@pytest.mark.parametrize("condition", list(words.CONDITIONS))
def test_every_condition_has_all_five_quintiles_in_both_periods(condition):
    rows = metro.rows_of(condition)
    rows = rows[rows["area"].isin(metro.PROVINCE_OF)]
    assert rows.groupby(["area", "first_fiscal_year"]).size().eq(6).all()
    assert len(rows) == 15 * 2 * 6


def test_published_limits_are_symmetric_and_as_of_independent_events():
    rows = metro.rows_of("overall")
    middle = (rows["ci_low"] + rows["ci_high"]) / 2
    assert (middle - rows["age_standardised_rate"]).abs().max() <= 0.0051
    ratio = rows["se"] / (rows["age_standardised_rate"] / np.sqrt(rows["numerator"]))
    assert ratio.between(0.99, 1.08).all()


def test_the_slope_index_of_toronto_is_that_of_a_weighted_line_through_its_quintiles():
    rows = (
        metro.rows_of("overall")
        .query("area == 'Toronto' and first_fiscal_year == 2006")
        .dropna(subset="income_quintile")
    )
    rows = rows.sort_values("income_quintile", ascending=False)
    share = (rows["denominator"] / rows["denominator"].sum()).to_numpy()
    middle = np.cumsum(share) - share / 2
    slope = np.polyfit(middle, rows["age_standardised_rate"].to_numpy(), 1, w=np.sqrt(share))[0]
    table = metro.area_periods("overall", "population").set_index(["area", "first_fiscal_year"])
    assert table.loc[("Toronto", 2006), "slope_index"] == pytest.approx(slope)
    assert table.loc[("Toronto", 2006), "rate"] == 255.35


def test_the_dose_is_the_difference_of_mean_shares_in_the_years_pooled():
    share = apm.load("npdb_payments").query("province == 'SK'").set_index("fiscal_year_start")["alternative_share"]
    for lag in (0, 2):
        expected = 100 * (share.loc[2011 - lag : 2015 - lag].mean() - share.loc[2006 - lag : 2010 - lag].mean())
        assert metro.doses("overall", lag)["SK"] == pytest.approx(expected)


def test_no_estimated_payments_enter_the_dose():
    flagged = apm.load("npdb_payments").query("flag == 'alternative payments estimated'")["fiscal_year_start"]
    assert flagged.max() < 2006 - 2


def test_the_headline_is_the_least_squares_slope_per_ten_points(default, used):
    slope = np.polyfit(used["dose"] / 10, used["change"], 1)[0]
    assert default.estimates["slope"].table["estimate"].item() == pytest.approx(slope)
    assert f"changed by {slope:+,.1f} stays per 100,000 people" in default.sentences[0]


def test_the_last_sentence_says_that_nothing_before_can_be_tested(default):
    assert default.sentences[-1].startswith("This is an association: two periods allow no test at all")


def test_p_values_of_three_ways_are_told_and_counted(default):
    p = default.estimates["slope"].details["inference"].set_index("method")["p_value"]
    assert f"{p['CR2']:.2f} by CR2, {p['wild bootstrap (webb)']:.2f} by the wild bootstrap" in default.sentences[1]
    assert default.sentences[1].endswith("None is at 0.05 or below.")
    relative = STUDY.run(STUDY.parameters(outcome="relative_index"))
    small = (relative.estimates["slope"].details["inference"].set_index("method")["p_value"] <= 0.05)[
        ["CR2", "wild bootstrap (webb)", "permutation of the estimate"]
    ].sum()
    assert f"{small} of 3 are at 0.05 or below, so they disagree" in relative.sentences[1]
    assert "a factor of" in relative.sentences[0]
    # Enumerated by hand over the 40,320 orders: 0.0523, which two decimals would hide.
    assert "0.052 by permutation" in relative.sentences[1]


def test_random_effects_weights_lie_between_equal_ones_and_those_of_published_errors():
    spread = {
        name: metro.changes(STUDY.parameters(weights=name))["weight"].std()
        for name in ("equal", "random_effects", "precision")
    }
    assert spread["equal"] == 0 < spread["random_effects"] < spread["precision"]


def test_leaving_out_provinces_leaves_fewer_clusters():
    found = STUDY.run(STUDY.parameters(leave_out="NB,ON")).estimates["slope"]
    assert (found.n_clusters, found.n_units) == (6, 9)
    table = metro.without_each_province(STUDY.parameters())
    assert table.loc["NB", "estimate"] == pytest.approx(
        STUDY.run(STUDY.parameters(leave_out="NB")).estimates["slope"].table["estimate"].item()
    )


def test_five_or_more_provinces_cannot_be_left_out():
    with pytest.raises(StudyError, match="leaves 3 provinces and 4 are needed"):
        STUDY.parameters(leave_out="NB,ON,AB,BC,SK")


def test_the_slope_that_would_be_found_is_that_of_the_t_test(default):
    from scipy import stats

    estimate, row = default.estimates["slope"], default.estimates["slope"].table.iloc[0]
    effect = metro.detectable(estimate)
    critical = stats.t.ppf(0.975, row["df"])
    assert stats.t.cdf(effect / row["se"] - critical, row["df"]) == pytest.approx(0.8)


def test_conditions_stand_side_by_side_in_percent_of_their_own_level():
    parameters = STUDY.parameters()
    found = metro.every_condition(parameters)
    assert list(found) == list(words.CONDITIONS)
    frame = metro.changes(parameters)
    expected = 100 * STUDY.run().estimates["slope"].table["estimate"].item() / frame["before"].mean()
    assert found["overall"].table["estimate"].item() == pytest.approx(expected)
    assert "stays for falls" in words.placebo_sentence(found, "overall", 0)
    assert "itself a placebo" in words.placebo_sentence(found, "injury", 0)
    assert "placebo" in STUDY.run(STUDY.parameters(condition="injury")).notes[-1]


def test_doses_are_split_at_their_widest_gap():
    told = words.dose_sentence(metro.doses("overall", 0))
    assert "Newfoundland and Labrador up to 1.7, and Ontario, Saskatchewan, New Brunswick from 6.6" in told
    assert told.endswith("a comparison of 5 provinces with 3.")
    assert "No two provinces are 10 points apart" in told
    even = words.dose_sentence(pd.Series({"AB": 0.0, "BC": 4.0, "MB": 8.0, "ON": 12.0}))
    assert (
        even
        == "The doses run from 0.0 to 12.0 percentage points. Between neighbours they are at most 4.0 points apart."
    )


def test_figures_and_tables_show_every_area(default, used):
    rows, estimate = metro.area_periods("overall", "population"), default.estimates["slope"]
    measure = words.OUTCOMES["slope_index"]
    table = figures.index_table(rows, used).set_index("Area")
    assert len(table) == 19
    assert table.loc["Toronto", "Slope index from 2006-07"] == "234 (227 to 242)"
    assert table.loc["Montréal"].tolist()[::2] == ["", ""]
    assert len(figures.indices(rows, used, "slope_index", measure).get_yticklabels()) == 15
    assert len(figures.gradients(metro.rows_of("overall"), used).figure.axes) == 15
    texts = {text.get_text() for text in figures.dose_figure(used, estimate, measure).texts}
    assert texts == set(metro.PROVINCES)
    assert len(figures.inference_table(estimate, 1)) == 5
    figures.interval_rows(figures.by_method(estimate), "slope")
    figures.interval_rows(*figures.by_condition({"overall": estimate})[:1], "slope", ("stays for falls",))
    figures.interval_rows(figures.by_province(metro.without_each_province(STUDY.parameters())), "slope")
