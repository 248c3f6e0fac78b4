"""Canadian tables of CIHI and Statistics Canada, by province or metropolitan area and year."""

import pandas as pd

from apmkit.datasets.states import PROVINCES
from apmkit.datasets.tables import blank, coded, integers, numbers

_CODES = {code: code for code in PROVINCES.values()}

# CIHI's own notes on values that are not comparable with those beside them; Canada's totals contain them.
_PAYMENT_FLAGS = {
    "under-counted": [("ON", 2023), ("CA", 2023)],
    "alternative payments estimated": [
        ("ON", 2001),
        *((province, year) for province in ("MB", "CA") for year in (2001, 2002, 2003)),
    ],
    "alternative share jumps": [("NB", 2022)],
}

_PHYSICIAN_GROUPS = {
    "All physicians": "all",
    "Family medicine physicians": "family_medicine",
    "Specialists": "specialists",
}
_PHYSICIAN_COLUMNS = {
    "physicians": "Number of Physicians",
    "female": "female",
    "male": "male",
    "sex_unknown": "unk_sex",
    "age_under_25": "<25",
    **{f"age_{low}_{low + 4}": f"{low}-{low + 4}" for low in range(25, 70, 5)},
    "age_70_and_over": "70+",
    "age_unknown": "age_unk",
    "graduates_canada": "Canadian grads",
    "graduates_international": "Interntl grads",
    "graduates_unknown": "Grad location UNK",
    "rural": "rural",
    "urban": "urban",
    "location_unknown": "geo_unk",
}

_RATIO_COLUMNS = {
    "numerator": "Numerator (crude)",
    "denominator": "Denominator (crude)",
    "crude_rate": "Crude rate (per 100,000 population)",
    "age_standardised_rate": "Age-standardized rate (per 100,000 population)",
    "ci_low": "Age-standardized rate — Lower confidence limit",
    "ci_high": "Age-standardized rate — Upper confidence limit",
    "rate_ratio": "Rate ratio",
    "rate_ratio_ci_low": "Rate ratio — Lower confidence limit",
    "rate_ratio_ci_high": "Rate ratio — Upper confidence limit",
    "rate_difference": "Rate difference (per 100,000 population)",
    "rate_difference_ci_low": "Rate difference — Lower confidence limit",
    "rate_difference_ci_high": "Rate difference — Upper confidence limit",
}


def physician_payments(raw: pd.DataFrame) -> pd.DataFrame:
    """Clinical payments in CAD; `flag` marks values that CIHI notes as not comparable."""
    frame = pd.DataFrame(
        {
            "province": coded(raw["prov"], _CODES, "prov"),
            "fiscal_year": raw["fiscal_year"].str.strip(),
            "fiscal_year_start": integers(raw["fiscal_year_start"], "fiscal_year_start"),
            "payments": numbers(raw["total_k"], "total_k") * 1000,
            "fee_for_service_payments": numbers(raw["ffs_k"], "ffs_k") * 1000,
            "alternative_payments": numbers(raw["alt_k"], "alt_k") * 1000,
            "alternative_share": numbers(raw["alt_share"], "alt_share"),
            "alternative_share_published": numbers(raw["alt_share_published"], "alt_share_published"),
        }
    )
    flag_of = {cell: flag for flag, cells in _PAYMENT_FLAGS.items() for cell in cells}
    cells = pd.Series(list(zip(frame["province"], frame["fiscal_year_start"], strict=True)), index=frame.index)
    return frame.assign(flag=cells.map(flag_of).astype("str"))


def health_expenditure(raw: pd.DataFrame) -> pd.DataFrame:
    """Health expenditure per capita; the last years are forecasts (`status`)."""
    return pd.DataFrame(
        {
            "province": coded(raw["province"], PROVINCES, "province"),
            "year": integers(raw["year"], "year"),
            "status": coded(raw["status"], {"actual": "actual", "forecast": "forecast"}, "status"),
            "use_of_funds": raw["use_of_funds"].str.strip(),
            "per_capita": numbers(raw["per_capita_current_dollars"], "per_capita_current_dollars"),
        }
    )


def physicians(raw: pd.DataFrame) -> pd.DataFrame:
    """Counts of physicians by province, year and group, with sex, age, place of graduation and location."""
    frame = pd.DataFrame(
        {
            "province": coded(raw["registration_location_code"], PROVINCES, "registration_location_code"),
            "year": integers(raw["data_year"], "data_year"),
            "group": coded(raw["provider"], _PHYSICIAN_GROUPS, "provider"),
        }
    )
    return frame.assign(**{name: numbers(raw[source], source) for name, source in _PHYSICIAN_COLUMNS.items()})


def metropolitan_hospitalisation(raw: pd.DataFrame) -> pd.DataFrame:
    """Hospitalisation indicators by metropolitan area, income quintile and pooled fiscal years."""
    period = raw["Fiscal years pooled"].str.strip()
    starts = period.str.findall(r"(\d{4})\W\d{4}")
    frame = pd.DataFrame(
        {
            "period": period,
            "first_fiscal_year": starts.str[0].astype(int),
            "last_fiscal_year": starts.str[-1].astype(int),
            "area": raw["CMA name"].str.strip(),
            "indicator": raw["Indicator"].str.strip(),
            "income_quintile": numbers(
                raw["Neighbourhood income quintile"].str.partition(" (")[0], "Neighbourhood income quintile"
            ).astype("Int64"),
        }
    )
    frame = frame.assign(**{name: numbers(raw[source], source) for name, source in _RATIO_COLUMNS.items()})
    return frame.assign(use_with_caution=raw["Interpretation note"].str.strip() == "Use with caution")


def population(raw: pd.DataFrame) -> pd.DataFrame:
    """Population on 1 July; until 1991 the Northwest Territories and Nunavut are one area, NT+NU."""
    areas = PROVINCES | {"Northwest Territories including Nunavut": "NT+NU"}
    return pd.DataFrame(
        {
            "province": coded(raw["GEO"], areas, "GEO"),
            "year": integers(raw["year"], "year"),
            "population": integers(raw["VALUE"], "VALUE"),
        }
    )


def life_expectancy(raw: pd.DataFrame) -> pd.DataFrame:
    """Life expectancy at birth over three years; the footnote marks and subdivisions in area names are dropped."""
    area = raw["geo"].str.replace(r"( by .*?)?( \d+)+$", "", regex=True)
    years = raw["period"].str.extract(r"^(\d{4}) to (\d{4})$").astype(int)
    frame = pd.DataFrame(
        {
            "province": coded(area, PROVINCES, "geo"),
            "first_year": years[0],
            "last_year": years[1],
            "life_expectancy": numbers(raw["life_expectancy_birth"], "life_expectancy_birth"),
            "table": raw["table"].str.strip(),
        }
    )
    # Table 13-10-0063 lists Ontario twice, by health unit and by network, with the same values.
    return frame.drop_duplicates(ignore_index=True)


def unmet_need(raw: pd.DataFrame) -> pd.DataFrame:
    """Share of people who report an unmet health care need, one row per province and year."""
    long = raw.melt(id_vars="Year", var_name="province", value_name="percent")
    frame = pd.DataFrame(
        {
            "year": integers(long["Year"], "Year"),
            "province": coded(long["province"], _CODES, "province"),
            "unmet_need": numbers(blank(long["percent"]), "unmet_need") / 100,
        }
    )
    return frame.sort_values(["year", "province"], ignore_index=True)


def payment_rules(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Parts add up to totals, and the provinces to Canada."""
    parts = frame["fee_for_service_payments"] + frame["alternative_payments"]
    return {
        "fiscal_year does not begin in fiscal_year_start": (
            frame["fiscal_year"].str[:4] != frame["fiscal_year_start"].astype("str")
        ),
        "fee-for-service and alternative payments do not add up to the total": (parts - frame["payments"]).abs() > 1000,
        "the provinces do not add up to Canada": _not_sum_of_provinces(frame, "payments", ["fiscal_year_start"], 1000),
    }


def physician_rules(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Sexes add up to the count, and the provinces to Canada."""
    return {
        "the sexes do not add up to the count": frame[["female", "male", "sex_unknown"]].sum(axis=1)
        != frame["physicians"],
        "the provinces do not add up to Canada": _not_sum_of_provinces(frame, "physicians", ["year", "group"], 0),
    }


def hospitalisation_rules(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Crude rates follow from counts, and confidence limits enclose the rate."""
    crude = frame["numerator"] / frame["denominator"] * 100_000
    return {
        "the crude rate is not cases over population": (crude - frame["crude_rate"]).abs() > 0.01,
        "the confidence limits do not enclose the rate": ~frame["age_standardised_rate"].between(
            frame["ci_low"], frame["ci_high"]
        ),
    }


def population_rules(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """From 1951 the provinces and territories add up to Canada; NT+NU repeats its parts in 1991."""
    counted = frame.mask((frame["province"] == "NT+NU") & (frame["year"] >= 1991))
    broken = _not_sum_of_provinces(counted.reindex(frame.index), "population", ["year"], 0)
    return {"the provinces do not add up to Canada": broken & (frame["year"] >= 1951)}


def _not_sum_of_provinces(frame: pd.DataFrame, column: str, by: list[str], tolerance: float) -> pd.Series:
    """Rows of Canada that differ from the sum of the other rows of their period."""
    is_canada = frame["province"] == "CA"
    provinces = frame[column].mask(is_canada).groupby([frame[name] for name in by]).transform("sum")
    return is_canada & ((provinces - frame[column]).abs() > tolerance)
