import pytest

from apmkit import datasets

PROVINCES = {"NL", "PE", "NS", "NB", "QC", "ON", "MB", "SK", "AB", "BC"}
TERRITORIES = {"YT", "NT", "NU"}


def test_payments_of_provinces_add_up_to_canada_exactly():
    frame = datasets.load("npdb_payments")
    by_year = frame.set_index("province").groupby("fiscal_year_start")["payments"]
    for _, payments in by_year:
        assert payments.drop("CA").sum() == pytest.approx(payments["CA"], abs=1000)
    assert set(frame["province"]) == PROVINCES | TERRITORIES | {"CA"}


def test_parts_of_payments_add_up_and_shares_follow():
    frame = datasets.load("npdb_payments").dropna(subset="payments")
    parts = frame["fee_for_service_payments"] + frame["alternative_payments"]
    assert (parts - frame["payments"]).abs().max() < 1
    assert (frame["alternative_payments"] / frame["payments"] - frame["alternative_share"]).abs().max() < 1e-9
    assert (frame["alternative_share"] - frame["alternative_share_published"]).abs().max() < 1e-4


def test_payments_that_are_not_comparable_are_flagged():
    frame = datasets.load("npdb_payments").dropna(subset="flag")
    flags = frame.groupby("flag")[["province", "fiscal_year_start"]].agg(list)
    cells = {flag: set(zip(*row, strict=True)) for flag, row in zip(flags.index, flags.to_numpy(), strict=True)}
    assert cells == {
        "under-counted": {("ON", 2023), ("CA", 2023)},
        "alternative payments estimated": {("ON", 2001)}
        | {(area, year) for area in ("MB", "CA") for year in (2001, 2002, 2003)},
        "alternative share jumps": {("NB", 2022)},
    }


def test_ontarios_alternative_share_rose_as_published():
    frame = datasets.load("npdb_payments").query("province == 'ON'").set_index("fiscal_year_start")
    assert frame["alternative_share"].loc[[2002, 2012]].round(3).tolist() == [0.114, 0.369]


def test_payments_are_in_dollars():
    payments = datasets.load("npdb_payments").rename(columns={"fiscal_year_start": "year"})
    people = datasets.load("population")
    both = payments.merge(people, on=["province", "year"]).query("year == 2021").dropna(subset="payments")
    assert (both["payments"] / both["population"]).between(500, 2000).all()
    assert len(both) >= 11


def test_forecasts_of_expenditure_are_marked():
    frame = datasets.load("nhex")
    assert set(frame.loc[frame["status"] == "forecast", "year"]) == {2023, 2024}
    assert set(frame["province"]) == PROVINCES
    wide = frame.pivot(index=["province", "year"], columns="use_of_funds", values="per_capita")
    assert (wide["Sub-Total"] + wide["Capital"] - wide["Total"]).abs().max() < 0.02


def test_physicians_add_up_over_groups_sexes_and_provinces():
    frame = datasets.load("physicians")
    groups = frame.pivot(index=["province", "year"], columns="group", values="physicians")
    assert (groups["family_medicine"] + groups["specialists"] == groups["all"]).all()
    canada = frame["province"] == "CA"
    totals = frame[~canada].groupby(["year", "group"])["physicians"].sum()
    assert (totals == frame[canada].set_index(["year", "group"])["physicians"]).all()
    assert (frame["rural"] + frame["urban"] + frame["location_unknown"] == frame["physicians"]).all()


def test_a_blank_age_of_a_province_means_none():
    frame = datasets.load("physicians").query("province != 'CA'")
    assert (frame.filter(like="age_").sum(axis=1) == frame["physicians"]).all()


def test_hospitalisation_areas_and_confidence_limits():
    frame = datasets.load("metro_hospitalisation")
    assert frame["area"].nunique() == 19
    overall = frame[frame["indicator"] == "Ambulatory Care Sensitive Conditions: Overall"]
    assert (overall.groupby("area")["period"].nunique() == 2).sum() == 15
    assert set(overall[["first_fiscal_year", "last_fiscal_year"]].apply(tuple, axis=1)) == {(2006, 2010), (2011, 2015)}
    assert frame["age_standardised_rate"].between(frame["ci_low"], frame["ci_high"]).all()
    assert set(frame["income_quintile"].dropna()) == {1, 2, 3, 4, 5}
    assert frame["use_with_caution"].sum() == 204


def test_population_adds_up_to_canada():
    frame = datasets.load("population").query("year >= 1951 and not (province == 'NT+NU' and year == 1991)")
    canada = frame["province"] == "CA"
    totals = frame[~canada].groupby("year")["population"].sum()
    assert (totals == frame[canada].set_index("year")["population"]).all()
    assert frame.query("province == 'CA'")["year"].max() == 2025


def test_life_expectancy_has_one_value_a_province_period_and_table():
    frame = datasets.load("life_expectancy")
    assert set(frame["province"]) == PROVINCES
    assert (frame["last_year"] - frame["first_year"] == 2).all()
    assert frame["table"].value_counts().to_dict() == {"39-10-0007-01": 340, "13-10-0063-01": 100}


def test_unmet_need_is_long_and_a_fraction():
    frame = datasets.load("unmet_need")
    assert list(frame.columns) == ["year", "province", "unmet_need"]
    assert set(frame["province"]) == PROVINCES
    value = frame[(frame["province"] == "BC") & (frame["year"] == 2023)]["unmet_need"].item()
    assert value == pytest.approx(0.111)
