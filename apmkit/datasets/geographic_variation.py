"""Medicare Geographic Variation by county and state, and the counties where beneficiaries of an ACO live."""

import pandas as pd

from apmkit.datasets.states import US_STATES
from apmkit.datasets.tables import blank, coded, integers, numbers

# The county file writes "NA" for areas outside the fifty states; the FIPS code says which.
_FIPS_OUTSIDE_STATES = {"11": "DC", "78": "VI"}


def county(raw: pd.DataFrame) -> pd.DataFrame:
    """County-years; zeros that stand for suppressed or unknown values are missing."""
    fips = raw["state_and_county_fips_code"].str.zfill(5)
    outside = fips.str[:2].map(_FIPS_OUTSIDE_STATES)
    state = coded(raw["state"].where(raw["state"] != "NA"), US_STATES, "state").fillna(outside)
    enrolled = blank(raw["ma_participation_rate"]).notna()
    ffs = numbers(raw["ffs_beneficiaries"], "ffs_beneficiaries")
    cost = numbers(raw["total_actual_costs"], "total_actual_costs")
    return pd.DataFrame(
        {
            "year": integers(raw["year"], "year"),
            "fips": fips,
            "state": state,
            "county": raw["county"].str.strip(),
            "beneficiaries": _known(raw, "beneficiaries_with_part_a_and_part_b", enrolled),
            "ffs_beneficiaries": ffs,
            "ma_beneficiaries": _known(raw, "ma_beneficiaries", enrolled),
            "ma_share": numbers(raw["ma_participation_rate"], "ma_participation_rate") / 100,
            "average_age": _known(raw, "average_age", ffs > 0),
            "total_cost": cost.where(cost != 0),
            "cost_per_capita": _known(raw, "actual_per_capita_costs", cost != 0),
        }
    )


def _known(raw: pd.DataFrame, column: str, known: pd.Series) -> pd.Series:
    return numbers(raw[column], column).where(known)


def state(raw: pd.DataFrame) -> pd.DataFrame:
    """State-years; percents as fractions."""
    return pd.DataFrame(
        {
            "year": integers(raw["year"], "year"),
            "state": coded(raw["state"], {code: code for code in US_STATES.values()}, "state"),
            "ffs_beneficiaries": numbers(raw["benes_om"], "benes_om"),
            "ma_share": numbers(raw["ma_rate_pct"], "ma_rate_pct") / 100,
            "spending_per_capita": numbers(raw["spend_pc_actual"], "spend_pc_actual"),
            "spending_per_capita_standardised": numbers(raw["spend_pc_std"], "spend_pc_std"),
            "inpatient_stays_per_1000": numbers(raw["ip_stays_per_1000"], "ip_stays_per_1000"),
            "readmission_rate": numbers(raw["readmit_rate_pct"], "readmit_rate_pct") / 100,
            "ed_visits_per_1000": numbers(raw["ed_visits_per_1000"], "ed_visits_per_1000"),
        }
    )


def aco_county_assignment(raw: pd.DataFrame) -> pd.DataFrame:
    """Assigned beneficiaries by ACO and county; suppressed cells missing, empty ones zero."""
    states = US_STATES | {"U.S. Possessions": "PI"}
    frame = pd.DataFrame(
        {
            "year": integers(raw["Year"], "Year"),
            "aco_num": raw["ACO_ID"].str.strip(),
            "state": coded(raw["State_Name"], states, "State_Name"),
            "county": raw["County_Name"].str.strip(),
            "ssa_state": raw["State_ID"].str.zfill(2),
            "ssa_county": raw["County_ID"].str.zfill(3),
            "beneficiaries": numbers(raw["Tot_AB"], "Tot_AB"),
            "person_years": numbers(raw["Tot_AB_Psn_Yrs"], "Tot_AB_Psn_Yrs"),
        }
    )
    for name, source in {"esrd": "ESRD", "disabled": "DIS", "aged_dual": "AGDU", "aged_nondual": "AGND"}.items():
        text = raw[f"AB_Psn_Yrs_{source}"]
        frame[f"person_years_{name}"] = numbers(text, f"AB_Psn_Yrs_{source}").mask(text == ".", 0.0)
    return frame


def county_rules(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Cost per beneficiary is cost over beneficiaries."""
    per_capita = frame["total_cost"] / frame["ffs_beneficiaries"]
    return {"cost per capita is not cost over beneficiaries": (per_capita - frame["cost_per_capita"]).abs() > 0.02}
