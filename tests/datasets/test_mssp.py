"""Facts about the programme's files hold in the harmonised frame, year by year."""

import gzip

import numpy as np
import pandas as pd
import pytest

from apmkit import datasets
from apmkit.datasets.store import SHIPPED
from apmkit.datasets.tables import read_csv

YEARS = list(range(2013, 2024))
ROWS = dict(zip(YEARS, [220, 333, 392, 432, 472, 548, 475, 513, 475, 482, 453], strict=True))


def published(year):
    file = next(file for file in datasets.describe("mssp").files if file.year == year)
    return read_csv(gzip.decompress((SHIPPED / file.name).read_bytes()), file.name)


def of(frame, aco_id, year):
    return frame[(frame["aco_id"] == aco_id) & (frame["year"] == year)].iloc[0]


@pytest.fixture(params=YEARS)
def one_year(request, mssp):
    return mssp[mssp["year"] == request.param]


def test_rows_per_year_are_the_published_ones(mssp):
    assert mssp["year"].value_counts().to_dict() == ROWS


def test_identifiers_are_persistent(mssp):
    assert mssp["aco_id"].str.fullmatch(r"A\d{4}").all()
    assert mssp["aco_id"].nunique() == 969
    spans = mssp.groupby("aco_id")["year"].agg(["min", "max", "size"])
    assert (spans["size"] == 11).sum() == 50
    assert (spans["max"] - spans["min"] + 1 == spans["size"]).all(), "no interior gaps"


def test_first_switch_to_two_sided_risk_is_staggered_and_never_undone(mssp):
    entry = mssp.groupby("aco_id")["year"].min()
    first = mssp[mssp["two_sided"]].groupby("aco_id")["year"].min().reindex(entry.index)
    assert ((first > entry).sum(), first.isna().sum(), (first == entry).sum()) == (245, 575, 149)
    assert set(first[first > entry]) == set(range(2016, 2024))
    ordered = mssp.sort_values(["aco_id", "year"])
    was_two_sided = ordered.groupby("aco_id")["two_sided"].shift(fill_value=False)
    assert not (was_two_sided & ~ordered["two_sided"]).any()


def test_benchmark_minus_expenditures_is_arithmetic(one_year):
    difference = one_year["benchmark"] - one_year["expenditures"]
    assert (difference - one_year["benchmark_minus_expenditures"]).abs().max() <= 1.5


def test_generated_savings_are_the_difference_or_zero(one_year):
    generated = one_year["generated_savings"]
    assert generated.notna().all()
    assert (generated == one_year["benchmark_minus_expenditures"])[generated != 0].all()


def test_savings_are_generated_exactly_from_the_minimum_savings_rate_on(one_year):
    reached = one_year["savings_rate"] >= one_year["minimum_savings_rate"]
    odd = one_year[(one_year["generated_savings"] > 0) != reached]
    on_a_rounded_minimum = {2021: {"A1488", "A2833"}}
    assert set(odd["aco_id"]) == on_a_rounded_minimum.get(one_year["year"].iloc[0], set())


def test_savings_rate_is_the_difference_over_the_benchmark(one_year):
    rate = one_year["benchmark_minus_expenditures"] / one_year["benchmark"]
    assert (one_year["savings_rate"] - rate).abs().max() < 5.1e-5


def test_spending_is_the_person_year_mean_of_enrolment_types(one_year):
    kinds = ("esrd", "disabled", "aged_dual", "aged_nondual")
    total = sum(one_year[f"person_years_{kind}"] * one_year[f"spending_per_capita_{kind}"] for kind in kinds)
    ratio = (total / one_year["person_years"] / one_year["spending_per_capita"]).dropna()
    assert ratio.between(0.997, 1.003).all()
    assert len(ratio) > 0.85 * len(one_year)


def test_spending_times_person_years_is_expenditures_over_the_period(one_year):
    annual = one_year["expenditures"] * 12 / one_year["performance_months"]
    ratio = annual / (one_year["spending_per_capita"] * one_year["person_years"])
    longer_than_a_year = one_year["performance_months"] > 12
    assert (ratio[~longer_than_a_year] - 1).abs().max() < 0.0012
    assert ratio[longer_than_a_year].between(0.9, 1.2).all()


def test_performance_periods_other_than_a_year_are_in_2013_and_2019_only(mssp):
    months = mssp.groupby("year")["performance_months"].value_counts()
    assert months[2013].to_dict() == {12: 106, 18: 87, 21: 27}
    assert months[2019].to_dict() == {12: 309, 6: 166}
    assert (mssp.loc[~mssp["year"].isin([2013, 2019]), "performance_months"] == 12).all()


@pytest.mark.parametrize(
    ("column", "low", "high"),
    [
        ("savings_rate", -0.02, 0.06),
        ("minimum_savings_rate", 0.01, 0.04),
        ("quality_score", 0.7, 1.0),
        ("final_sharing_rate", 0.35, 0.6),
        ("maximum_sharing_rate", 0.4, 0.6),
        ("final_loss_rate", 0.3, 0.6),
    ],
)
def test_no_year_has_rates_in_another_unit(mssp, column, low, high):
    medians = mssp.groupby("year")[column].median().dropna()
    assert medians.between(low, high).all()
    assert mssp[column].abs().max() <= 1


def test_no_column_jumps_by_a_factor_of_ten_between_years(mssp):
    stable = [
        column
        for column in mssp
        if column.endswith(("_per_1000", "_spending", "_discharges"))
        or column.startswith(("spending_per_capita", "risk_score", "person_years", "updated", "historical", "snf_"))
    ]
    assert len(stable) > 60
    # Visits to health centres did grow that much; the other inpatient column is zero at the median.
    medians = (
        mssp.groupby("year")[stable]
        .median()
        .drop(columns=["fqhc_rhc_visits_per_1000", "other_inpatient_spending", "snf_waiver"])
    )
    assert (medians.max() / medians.min() < 4).all()


def test_2013_columns_agree_with_2014_for_the_same_acos(mssp):
    columns = [
        entry.column
        for entry in datasets.describe("mssp").codebook
        if entry.unit in ("per 1,000 person-years", "USD per person-year", "persons", "score")
    ]
    years = {year: mssp[mssp["year"] == year].set_index("aco_id")[columns] for year in (2013, 2014)}
    for column in columns:
        pair = pd.concat([years[2013][column], years[2014][column]], axis=1).dropna()
        if len(pair):
            assert pair.corr().iloc[0, 1] > 0.6, column
            assert pair.median().pipe(lambda both: both.max() <= 1.3 * both.min() + 2), column


def test_earned_savings_of_2013_follow_from_rate_and_savings(mssp):
    first = mssp[mssp["year"] == 2013]
    paid = first[first["earned_savings"] > 0]
    assert len(paid) == 52
    assert (0.98 * paid["final_sharing_rate"] * paid["generated_savings"] - paid["earned_savings"]).abs().max() < 1
    assert ((first["generated_savings"] > 0) & (first["earned_savings"] == 0)).sum() == 6
    assert first.loc[first["earned_savings"] < 0, "earned_savings"].tolist() == [-3986552.12]


def test_known_values_of_one_aco(mssp):
    assert of(mssp, "A1001", 2013)["expenditures"] == 573516045.50
    assert of(mssp, "A1001", 2013)["beneficiaries"] == 36268
    assert of(mssp, "A1001", 2013)["beneficiaries_other"] == 476
    assert of(mssp, "A1001", 2013)["minimum_savings_rate"] == pytest.approx(0.023373146)
    assert of(mssp, "A1001", 2014)["savings_rate"] == pytest.approx(0.07135345566)
    assert of(mssp, "A1001", 2014)["em_visits_per_1000"] == 14814.26125
    last = of(mssp, "A1001", 2023)
    assert last[["savings_rate", "quality_score", "final_sharing_rate"]].tolist() == pytest.approx(
        [0.0909, 0.8991, 0.75]
    )
    assert last[["earned_savings", "ed_visits_per_1000", "track"]].tolist() == [73426268, 539, "ENHANCED"]
    assert of(mssp, "A1006", 2015)["state"] == "NJ,NY"


@pytest.mark.parametrize("year", [2019, 2020, 2021, 2022, 2023])
def test_two_sided_is_the_published_risk_model(mssp, year):
    raw = published(year).rename(columns=str.lower)
    expected = raw.set_index("aco_id")["risk_model"] == "Two-Sided"
    actual = mssp[mssp["year"] == year].set_index("aco_id")["two_sided"]
    assert actual[expected.index].tolist() == expected.tolist()


def test_tracks_are_the_ten_of_the_programme(mssp):
    assert set(mssp["track"]) == {"1", "1+", "2", "3", *(f"BASIC {level}" for level in "ABCDE"), "ENHANCED"}


def test_suppressed_cells_are_missing_and_no_mark_is_left(mssp):
    raw = published(2023)
    suppressed = (raw["N_Ben_Race_Native"] == "*").sum()
    assert mssp.loc[mssp["year"] == 2023, "beneficiaries_native"].isna().sum() == suppressed > 0
    text = mssp.select_dtypes("str").drop(columns="aco_name")
    assert not text.isin(["*", "-", ".", "^", "~", "", "N/A"]).any().any()


def test_dates_are_first_days_of_agreements(mssp):
    start = mssp["agreement_start"]
    assert start.notna().all()
    assert (start.dt.day == 1).all()
    assert set(start.dt.month) == {1, 4, 7}
    assert (start.dt.year <= mssp["year"]).all()
    assert not (mssp["first_agreement_start"] > start).any()
    assert mssp.groupby("aco_id")["first_agreement_start"].nunique().max() == 1


def test_the_codebook_tells_the_years_of_each_column(mssp):
    for entry in datasets.describe("mssp").codebook:
        covered = mssp.groupby("year")[entry.column].apply(lambda values: values.notna().any())
        assert [year for year in YEARS if entry.covers(year)] == covered.index[covered].tolist(), entry.column


def test_one_sided_acos_left_more_often_before_2020(mssp):
    ordered = mssp.sort_values(["aco_id", "year"])
    stays = ordered.groupby("aco_id")["year"].shift(-1) == ordered["year"] + 1
    in_2019 = ordered["year"] == 2019
    rates = stays[in_2019].groupby(ordered.loc[in_2019, "two_sided"]).mean()
    assert rates.round(2).tolist() == [0.81, 0.92]


def test_money_columns_are_plain_floats(mssp):
    assert mssp[["benchmark", "earned_savings", "spending_per_capita"]].dtypes.eq(np.float64).all()
