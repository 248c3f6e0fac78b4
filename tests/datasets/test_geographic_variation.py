import pytest

from apmkit import datasets


@pytest.fixture(scope="module")
def county():
    return datasets.load("gv_county")


def test_counties_have_the_published_rows_and_every_state(county):
    assert len(county) == 35_142
    assert county["fips"].str.fullmatch(r"\d{5}").all()
    assert county["state"].nunique() == 52
    assert set(county.loc[county["fips"] == "11001", "state"]) == {"DC"}
    assert set(county.loc[county["fips"].str.startswith("78"), "state"]) == {"VI"}


def test_cost_per_beneficiary_is_cost_over_beneficiaries(county):
    per_capita = county["total_cost"] / county["ffs_beneficiaries"]
    assert (per_capita / county["cost_per_capita"] - 1).abs().max() < 1e-4


def test_zeros_that_stand_for_unknown_are_missing(county):
    assert not (county["cost_per_capita"] == 0).any()
    assert county.loc[county["ffs_beneficiaries"] == 0, "average_age"].isna().all()
    assert (county["ma_share"].isna() == county["beneficiaries"].isna()).all()
    assert county["ma_share"].isna().sum() == 1247
    share = county["ma_beneficiaries"] / county["beneficiaries"]
    assert (share - county["ma_share"]).abs().max() < 0.001


def test_counties_add_up_to_the_state_table(county):
    states = datasets.load("gv_state").set_index(["year", "state"])
    sums = county.groupby(["year", "state"])[["ffs_beneficiaries", "total_cost"]].sum()
    both = sums.merge(states, on=["year", "state"], suffixes=("", "_state")).query("year <= 2017")
    assert len(both) == 4 * 51
    assert (both["ffs_beneficiaries"] / both["ffs_beneficiaries_state"] - 1).abs().max() < COUNTS
    cost = both["total_cost"] / both["ffs_beneficiaries"]
    assert (cost / both["spending_per_capita"] - 1).abs().max() < COSTS


COUNTS = 0.001
COSTS = 0.006


def test_states_have_eleven_years_and_fractions():
    frame = datasets.load("gv_state")
    assert len(frame) == 51 * 11
    assert frame.groupby("state")["year"].nunique().eq(11).all()
    assert frame["ma_share"].between(0, 0.8).all()
    assert frame["readmission_rate"].between(0.05, 0.3).all()


def test_assignment_by_county_suppresses_small_cells_only():
    frame = datasets.load("mssp_county_assignment")
    assert len(frame) == 72_749
    assert frame["beneficiaries"].min() == 11
    assert frame["beneficiaries"].isna().sum() == 64_910
    mssp = datasets.load("mssp").query("year == 2014")
    assert frame["aco_num"].nunique() == len(mssp)
    assert frame["beneficiaries"].sum() / mssp["beneficiaries"].sum() == pytest.approx(0.977, abs=0.0006)
