"""The study of ACO penetration by county: its dose, its join, its slope and its sentences."""

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import datasets, studies
from apmkit.studies import StudyError
from apmkit.studies import us_county_aco_penetration as county
from apmkit.studies import us_county_aco_penetration_counties as counties
from apmkit.studies import us_county_aco_penetration_figures as figures
from apmkit.studies import us_county_aco_penetration_words as words

STUDY = studies.get("us/county_aco_penetration")


@pytest.fixture(scope="module")
def parameters():
    return STUDY.parameters()


@pytest.fixture(scope="module")
def used(parameters):
    return county.data(parameters)


@pytest.fixture(scope="module")
def default():
    return STUDY.run()


def test_every_aco_of_the_assignment_has_an_identifier_and_a_start():
    rows = counties.assignment()
    assert rows["aco_id"].notna().all()
    assert set(rows["start"]) == set(counties.STARTS)
    assert datasets.aco_identifiers()["aco_id"].notna().all()


def test_the_mean_of_suppressed_cells_lies_within_their_bounds_and_restores_each_total():
    rows = counties.assignment()
    means = counties.hidden_cell_means(rows)
    assert means.between(0, 10).all()
    filled = rows["beneficiaries"].fillna(rows["aco_id"].map(means)).groupby(rows["aco_id"]).sum()
    published = apm.load("mssp").query("year == 2014").set_index("aco_id")["beneficiaries"]
    assert filled.to_numpy() == pytest.approx(published.loc[filled.index].to_numpy())


def test_bounds_contain_the_dose_of_every_county(used):
    low, high = (counties.counties(name, 1_000, 2017).frame.set_index("fips")["dose_2014"] for name in ("zero", "ten"))
    middle = used.frame.set_index("fips")["dose_2014"]
    assert (low <= middle + 1e-9).all()
    assert (middle <= high + 1e-9).all()


def test_the_dose_grows_with_the_starts_and_is_none_before(used):
    dose = used.dose
    assert (dose[:, used.years <= 2011] == 0).all()
    assert (np.diff(dose[:, used.years >= 2011], axis=1) >= -1e-9).all()
    assert (dose[:, used.years == 2014] == dose[:, used.years == 2017]).all()


def test_what_was_left_out_adds_up(used):
    counts = used.counts
    left = sum(value for name, value in counts.items() if name.endswith("left out"))
    assert counts["counties in the costs"] - left == counts["counties used"] == len(used.frame) == len(used.cost)
    assert counts["assigned beneficiaries without a match, %"] < 1


@pytest.mark.parametrize("comparison", ["nation", "state"])
def test_the_slope_is_that_of_a_regression_with_all_dummies(used, comparison):
    some = used.frame["state"].isin(["VT", "NH", "ME", "MA", "CT"]).to_numpy()
    small = counties.Counties(used.frame[some].reset_index(drop=True), used.years, used.cost[some],
                              used.ma_share[some], {})  # fmt: skip
    parameters = STUDY.parameters(comparison=comparison, covariates="ma_each_year")
    found = county.slope(small, parameters).table["estimate"].iloc[0]
    n, t = small.cost.shape
    units, years = np.repeat(np.arange(n), t), np.tile(np.arange(t), n)
    group = years
    if comparison == "state":
        group = pd.factorize(np.repeat(small.frame["state"].to_numpy(), t) + years.astype(str))[0]
    x = np.column_stack([small.dose.ravel() / 10, small.ma_share.ravel(), units[:, None] == np.arange(n),
                         group[:, None] == np.arange(1, group.max() + 1)]).astype(float)  # fmt: skip
    root = np.sqrt(np.repeat(county.mass(small, parameters), t))
    direct = np.linalg.lstsq(x * root[:, None], small.cost.ravel() * root)[0][0]
    assert found == pytest.approx(direct, rel=1e-6)


def test_the_event_study_is_that_of_a_regression_of_changes(used, default):
    row = default.estimates["event"].table.set_index("term").loc["2015"]
    change = used.cost[:, used.years == 2015].ravel() - used.cost[:, used.years == 2011].ravel()
    weight = used.frame["ffs_beneficiaries"]
    fit = np.polyfit(used.frame["dose_2014"] / 10, change, 1, w=np.sqrt(weight))
    assert row["estimate"] == pytest.approx(fit[0])
    assert row["relative_time"] == 3


def test_a_planted_slope_is_found_beside_own_lines_of_counties(used):
    parameters = STUDY.parameters(trends="differential")
    before = county.slope(used, parameters).table["estimate"].iloc[0]
    lines = np.random.default_rng(1).normal(0, 50, len(used.frame))[:, None] * (used.years - 2007)
    planted = counties.Counties(used.frame, used.years, used.cost - 5 * used.dose + lines, used.ma_share, {})
    after = county.slope(planted, parameters).table["estimate"].iloc[0]
    assert after - before == pytest.approx(-50 * 1.0, abs=1e-6)


def test_inference_by_other_ways_is_of_the_same_slope(used, parameters, default):
    other = county.by_inference(used, parameters)
    assert other.table["estimate"].iloc[0] == pytest.approx(default.estimates["slope"].table["estimate"].iloc[0])
    cr2 = other.details["inference"].set_index("method").loc["CR2"]
    assert cr2["se"] == pytest.approx(default.estimates["slope"].table["se"].iloc[0], rel=1e-3)


def test_leaving_out_a_state_is_a_new_regression_without_it(used, parameters):
    slopes = county.without_each_state(used, parameters)
    kept = (used.frame["state"] != "CA").to_numpy()
    fewer = counties.Counties(used.frame[kept].reset_index(drop=True), used.years, used.cost[kept],
                              used.ma_share[kept], {})  # fmt: skip
    assert slopes["CA"] == pytest.approx(county.slope(fewer, parameters).table["estimate"].iloc[0])


def test_an_effect_on_all_assigned_alone_is_read_back_as_a_share_of_their_cost(used, parameters, default):
    share = county.per_assigned(default.estimates["slope"], used, parameters)
    mean = np.average(used.frame["cost"], weights=county.mass(used, parameters))
    assert share["estimate"] == pytest.approx(1000 * default.estimates["slope"].table["estimate"].iloc[0] / mean)


def test_sentences_and_tables_follow_their_numbers(used, parameters, default):
    event = default.estimates["event"]
    p = event.joint_test()["p_value"]
    assert ("not on parallel paths" in words.drift_sentence(event, parameters)) == (p < 0.05)
    assert "test nothing" in words.drift_sentence(event, STUDY.parameters(trends="differential"))
    assert len(figures.counts_table(used)) == len(used.counts)
    early, found = county.pretended(used, parameters), default.estimates["slope"]
    rose = sum(each.table["estimate"].iloc[0] for each in early.values()) > 0
    assert ("cost rose with the dose" in words.direction_sentence(early, found)) == rose


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"covariates": "ma_before", "trends": "differential"}, "the same thing twice"),
        ({"suppressed": "five"}, "zero"),
        ({"last_year": 2018}, "from 2014 to 2017"),
        ({"treated_from": 0}, "number from 0.5 to 10"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused_in_one_sentence(values, message):
    with pytest.raises(StudyError, match=message) as caught:
        STUDY.parameters(**values)
    assert "\n" not in str(caught.value)
