"""Medicare Shared Savings Program: eleven layouts of one file, one row per ACO and year."""

import io
import warnings
from collections.abc import Mapping

import pandas as pd

from apmkit.datasets.catalogue import Column, DataError, Dataset
from apmkit.datasets.states import US_STATES
from apmkit.datasets.tables import blank, coded, dates, flags, numbers

# Names that CMS used before (or beside) those of the codebook, in lower case.
_EARLIER_NAMES = {
    "aco_num": "aco_id",
    "start_date": "current_start_date",
    "maxsharerate": "qualperfshare",
    "n_ab_year": "n_ab_year_py",
    "n_ab_year_esrd": "n_ab_year_esrd_py",
    "n_ab_year_dis": "n_ab_year_dis_py",
    "n_ab_year_aged_dual": "n_ab_year_aged_dual_py",
    "n_ab_year_aged_nondual": "n_ab_year_aged_nondual_py",
}

# PY2013: the columns in file order. Headers 13 to 34 are one place out, so names go by position.
_PY2013_HEADER_START = ["ACO Identifier", "ACO Name", "Start Date", "Track 2 ACO"]
_PY2013 = """
aco_id aco_name current_start_date track2 adv_pay - adv_pay_amt qualscore qualperfshare finalsharerate
minimum_loss_rate minsavperc abtotbnchmk abtotexp bnchmkminexp earnsaveloss shared_losses n_ab n_ab_year_py
n_ab_year_esrd_py n_ab_year_dis_py n_ab_year_aged_dual_py n_ab_year_aged_nondual_py
n_ben_age_0_64 n_ben_age_65_74 n_ben_age_75_84 n_ben_age_85plus n_ben_female n_ben_male
n_ben_race_white n_ben_race_black n_ben_race_asian n_ben_race_hisp n_ben_race_native n_ben_race_other
per_capita_exp_all_esrd_py per_capita_exp_all_dis_py per_capita_exp_all_agdu_py per_capita_exp_all_agnd_py
capann_inp_all capann_inp_s_trm capann_inp_l_trm capann_inp_rehab capann_inp_psych capann_hsp capann_snf
capann_inp_other capann_pb capann_ambpay capann_hha capann_dme
adm adm_s_trm adm_l_trm adm_rehab adm_psych chf_adm copd_adm pneu_adm readm_rate_1000 prov_rate_1000 p_snf_adm
p_edv_vis p_edv_vis_hosp p_ct_vis p_mri_vis p_em_total p_em_pcp_vis p_em_sp_vis p_nurse_vis p_fqhc_rhc_vis
n_cah n_fqhc n_rhc n_eta n_fac_other n_pcp n_spec n_np n_pa n_cns
cms_hcc_riskscore_esrd_by1 cms_hcc_riskscore_dis_by1 cms_hcc_riskscore_agdu_by1 cms_hcc_riskscore_agnd_by1
cms_hcc_riskscore_esrd_by2 cms_hcc_riskscore_dis_by2 cms_hcc_riskscore_agdu_by2 cms_hcc_riskscore_agnd_by2
cms_hcc_riskscore_esrd_by3 cms_hcc_riskscore_dis_by3 cms_hcc_riskscore_agdu_by3 cms_hcc_riskscore_agnd_by3
cms_hcc_riskscore_esrd_py cms_hcc_riskscore_dis_py cms_hcc_riskscore_agdu_py cms_hcc_riskscore_agnd_py
""".split()  # noqa: SIM905

_TRACK_FLAGS = {
    "track1": "1",
    "track2": "2",
    "current_track_1": "1",
    "current_track_1_plus": "1+",
    "current_track_2": "2",
    "current_track_3": "3",
    **{f"current_basic_{level}": f"BASIC {level.upper()}" for level in "abcde"},
    "current_enhanced": "ENHANCED",
}
_TRACK_CODES = {**{level: f"BASIC {level}" for level in "ABCDE"}, "EN": "ENHANCED"}
TWO_SIDED = frozenset({"1+", "2", "3", "BASIC C", "BASIC D", "BASIC E", "ENHANCED"})
_ENROLMENT = ("esrd", "disabled", "aged_dual", "aged_nondual")
_READ_APART = {"current_track", "risk_model", "aco_id", "aco_state"}
_NOT_IN_EVERY_FILE = ["aco_state", "shared_losses", "minimum_loss_rate"]


def read_crosswalk(workbook: bytes) -> pd.DataFrame:
    """The CMS crosswalk: identifier since 2018 (`aco_id`), identifier before (`aco_num`), first agreement start."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cannot parse header or footer", category=UserWarning)
        sheet = pd.read_excel(io.BytesIO(workbook), sheet_name="ACO ID Crosswalk")
    return sheet.set_axis(["aco_id", "first_agreement_start", "aco_num"], axis=1)


def columns_by_cms_name(raw: pd.DataFrame) -> pd.DataFrame:
    """One year's table with today's CMS column names in lower case."""
    if list(raw.columns[: len(_PY2013_HEADER_START)]) == _PY2013_HEADER_START:
        if raw.shape[1] != len(_PY2013):
            raise DataError(f"The PY2013 file has {raw.shape[1]} columns, not the {len(_PY2013)} that CMS published.")
        raw = raw.set_axis(_PY2013, axis=1).drop(columns="-")
        return raw.assign(track1=raw["track2"].map({"0": "1", "1": "0"}))
    named = raw.loc[:, raw.columns != ""]  # a spreadsheet's row numbers come without a name
    return named.set_axis(named.columns.str.lower(), axis=1).rename(columns=_EARLIER_NAMES)


def require_columns(raw: pd.DataFrame, shipped: pd.DataFrame, dataset: Dataset) -> None:
    """Refuse a file that lacks a column of the codebook which the shipped file of that (or the latest) year has."""
    present, known = columns_by_cms_name(raw), columns_by_cms_name(shipped)
    needed = [entry.source for entry in dataset.codebook if entry.source and entry.source.lower() in known]
    if missing := [source for source in needed if source.lower() not in present]:
        raise DataError(
            f"It lacks {len(missing)} of the {len(needed)} columns expected: {', '.join(missing[:8])}"
            f"{' and others' if len(missing) > 8 else ''}; add the file as CMS published it."
        )


def tidy(tables: Mapping[int, pd.DataFrame], crosswalk: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """One frame of all years from the tables of text that CMS published.

    Parameters
    ----------
    tables
        Published tables by performance year.
    crosswalk
        From `read_crosswalk`.
    dataset
        The registry's record; its codebook gives names, order and units of the columns.
    """
    named = {year: _with_identifiers(columns_by_cms_name(table), year) for year, table in sorted(tables.items())}
    with_track = [table.assign(year=year, current_track=_track(table, year)) for year, table in named.items()]
    raw = pd.concat(with_track, ignore_index=True)
    raw = raw.reindex(columns=raw.columns.union(_NOT_IN_EVERY_FILE, sort=False), fill_value="")
    columns = {entry.column: _converted(raw, entry) for entry in dataset.codebook}
    columns["year"] = raw["year"]
    columns["track"] = raw["current_track"]
    columns["two_sided"] = raw["current_track"].isin(TWO_SIDED)
    columns["aco_id"] = _persistent_id(raw["aco_id"], crosswalk)
    columns["state"] = _state_codes(raw["aco_state"])
    columns["earned_savings"] += numbers(raw["shared_losses"], "shared_losses").fillna(0)
    adjustment = columns["regional_adjustment"]
    columns["positive_regional_adjustment"] = (adjustment > 0).astype("boolean").mask(adjustment.isna())
    in_dollars = adjustment.abs().groupby(raw["year"]).transform("max") > 1
    columns["regional_adjustment"] = adjustment.where(in_dollars)
    frame = pd.DataFrame(columns)
    frame["first_agreement_start"] = _first_start(frame, crosswalk)
    frame["performance_months"] = _performance_months(frame)
    return _complete_2013(frame, numbers(raw["minimum_loss_rate"], "minimum_loss_rate"))


def _converted(raw: pd.DataFrame, entry: Column) -> pd.Series:
    """A codebook column as its unit says; one that no file holds is computed by the caller and missing until then."""
    name = entry.source or ""
    source = name.lower()
    if source not in raw or source in _READ_APART:
        return pd.Series(None, index=raw.index, dtype="datetime64[s]" if entry.unit == "date" else float)
    text = raw[source]
    match entry.unit:
        case "date":
            return dates(text, name)
        case "boolean":
            return flags(text, name)
        case "category":
            return blank(text).str.lower().str.removesuffix(" revenue")
        case "fraction":
            return _fractions(text, raw["year"], name)
        case "text" | "identifier":
            return text.str.strip()
        case _:
            return numbers(text, name)


def _fractions(text: pd.Series, year: pd.Series, name: str) -> pd.Series:
    """Rates as fractions.

    CMS prints them as fractions in some years and percents in others, with or without the sign. A value with the sign
    is a percent, except in 2013, which prints 0.02% for 2 %. Without it the size tells: no rate is over 150 %, and
    every year has one over 1.5 %, so a largest value over 1.5 means percent.
    """
    values = numbers(text, name)
    signed = text.str.strip().str.endswith("%") & (year != 2013)
    in_percent = signed | (values.mask(signed).abs().groupby(year).transform("max") > 1.5)
    return values.where(~in_percent, values / 100)


def _track(raw: pd.DataFrame, year: int) -> pd.Series:
    """Track of each ACO, from the letter code (2022 on) or from the one flag that is set."""
    if "current_track" in raw:
        track = coded(raw["current_track"].str.strip(), _TRACK_CODES, "Current_Track")
    else:
        present = [flag for flag in _TRACK_FLAGS if flag in raw]
        if not present:
            raise DataError(f"The PY{year} file has neither Current_Track nor track flags; add the file CMS published.")
        is_set = raw[present] == "1"
        if (wrong := is_set.sum(axis=1) != 1).any():
            raise DataError(f"In PY{year}, {raw.loc[wrong, 'aco_id'].iloc[0]} is on no track or on several.")
        track = is_set.idxmax(axis=1).map(_TRACK_FLAGS)
    if "risk_model" in raw and (wrong := (raw["risk_model"] == "Two-Sided") != track.isin(TWO_SIDED)).any():
        raise DataError(f"In PY{year}, {raw.loc[wrong, 'aco_id'].iloc[0]} has a Risk_Model that its track rules out.")
    return track


def _with_identifiers(table: pd.DataFrame, year: int) -> pd.DataFrame:
    """The table without blanks around its identifiers; a row without one is a footnote or a total."""
    if "aco_id" not in table:
        raise DataError(f"The PY{year} file lacks ACO_ID; add the file CMS published.")
    identifiers = table["aco_id"].str.strip()
    if (odd := ~identifiers.str.fullmatch(r"A\d{4,5}")).any():
        raise DataError(
            f"Column 'ACO_ID' holds {identifiers[odd].iloc[0]!r} in row {odd.to_numpy().argmax() + 2} of PY{year}, no "
            "ACO identifier (A and four digits, or five before 2018); delete footnotes and totals."
        )
    return table.assign(aco_id=identifiers)


def _persistent_id(published: pd.Series, crosswalk: pd.DataFrame) -> pd.Series:
    """Identifiers of 2018 and later; the encrypted ones before (A and five digits) go through the crosswalk."""
    encrypted = published.str.fullmatch(r"A\d{5}")
    linked = published.where(~encrypted, published.map(crosswalk.set_index("aco_num")["aco_id"]))
    if linked.isna().any():
        raise DataError(f"ACO {published[linked.isna()].iloc[0]} is not in the CMS crosswalk of identifiers.")
    return linked


def _state_codes(published: pd.Series) -> pd.Series:
    """``New York,  New Jersey`` and ``NY, NJ`` both as ``NY,NJ``."""
    listed = blank(published)
    return listed.map({states: _codes_of(states) for states in listed.dropna().unique()}).astype("str")


def _codes_of(states: str) -> str:
    codes = [US_STATES.get(state.strip(), state.strip()) for state in states.split(",")]
    if unknown := set(codes) - set(US_STATES.values()):
        raise DataError(f"Column 'ACO_State' holds {unknown.pop()!r}, which is no US state.")
    return ",".join(codes)


def _first_start(frame: pd.DataFrame, crosswalk: pd.DataFrame) -> pd.Series:
    """First day in the programme: the crosswalk, else the file, else the start of an initial agreement."""
    known = frame["aco_id"].map(crosswalk.set_index("aco_id")["first_agreement_start"])
    initial = frame["agreement_start"].where(frame["agreement_type"] == "initial")
    own = frame["first_agreement_start"].fillna(initial)
    return known.fillna(own.groupby(frame["aco_id"]).transform("min"))


def _performance_months(frame: pd.DataFrame) -> pd.Series:
    """Months that the totals cover: the first period of 2012 starters was longer, half of 2019's ACOs left in June."""
    start = frame["agreement_start"]
    first = 12.0 + 12 * (2013 - start.dt.year) - (start.dt.month - 1)
    half_a_year = _part_of_year(frame).between(0.45, 0.55)
    return first.where(frame["year"] == 2013, pd.Series(12.0, index=frame.index).mask(half_a_year, 6.0))


def _part_of_year(frame: pd.DataFrame) -> pd.Series:
    """Years that the totals cover: expenditures over person-years times expenditures per person-year."""
    return frame["expenditures"] / (frame["person_years"] * frame["spending_per_capita"])


def _complete_2013(frame: pd.DataFrame, minimum_loss_rate: pd.Series) -> pd.DataFrame:
    """Three columns that PY2013 does not print and that follow from those it does."""
    first = frame["year"] == 2013
    rate = frame["benchmark_minus_expenditures"] / frame["benchmark"]
    shared = (rate >= frame["minimum_savings_rate"]) | (frame["two_sided"] & (rate <= minimum_loss_rate))
    person_years = frame[[f"person_years_{kind}" for kind in _ENROLMENT]].to_numpy()
    spending = frame[[f"spending_per_capita_{kind}" for kind in _ENROLMENT]].to_numpy()
    per_capita = (person_years * spending).sum(axis=1) / frame["person_years"]
    computed = {
        "savings_rate": rate,
        "generated_savings": frame["benchmark_minus_expenditures"].where(shared, 0.0),
        "spending_per_capita": per_capita,
    }
    return frame.assign(**{name: frame[name].where(~first, values) for name, values in computed.items()})


def rules(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Accounting rules of the programme, each with the rows that break it.

    A savings rate within 0.0001 of the minimum may fall on either side, because both are printed rounded. From 2024,
    low-revenue ACOs on BASIC tracks can share savings below the minimum (42 CFR 425.605(h)).
    """
    part = _part_of_year(frame)
    in_2013 = frame["year"] == 2013  # over 12, 18 or 21 months, and without a printed total per person-year
    covers_its_months = part.between(0.95, 2.1).where(in_2013, (part - frame["performance_months"] / 12).abs() <= 0.01)
    difference = frame["benchmark_minus_expenditures"]
    generated = frame["generated_savings"]
    rate = difference / frame["benchmark"]
    margin = rate - frame["minimum_savings_rate"]
    below_minimum_allowed = (
        (frame["year"] >= 2024) & (frame["revenue_category"] == "low") & frame["track"].str.startswith("BASIC")
    )
    contradicts = ((generated > 0) != (margin >= 0)) & (margin.abs() > 1e-4)
    return {
        "BnchmkMinExp is not ABtotBnchmk - ABtotExp within $1.50": (
            ~((frame["benchmark"] - frame["expenditures"] - difference).abs() <= 1.5)
        ),
        "GenSaveLoss is neither 0 nor BnchmkMinExp": (generated != 0) & ~((generated - difference).abs() <= 1.5),
        "GenSaveLoss is above 0 without the savings rate reaching the minimum, or the reverse": (
            contradicts & ~(below_minimum_allowed & (generated > 0))
        ),
        "ABtotExp is not N_AB_Year_PY x Per_Capita_Exp_TOTAL_PY (check the units of all three)": ~covers_its_months,
        "Sav_rate is not BnchmkMinExp / ABtotBnchmk": ~((frame["savings_rate"] - rate).abs() <= 1e-4),
    }
