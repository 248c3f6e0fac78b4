"""Published effects of payment models, one row each, and the second reading of the Canadian ones."""

import numpy as np
import pandas as pd

from apmkit.datasets.tables import blank, coded, integers, numbers

_WHERE = {
    "US": ("US", ""),
    "CA": ("Canada", ""),
    **{f"CA-{code}": ("Canada", code) for code in ("AB", "BC", "MB", "NB", "NL", "NS", "ON", "PE", "QC", "SK")},
}
_DIRECTIONS = {name: name for name in ("up", "down", "ambiguous", "none")} | {"": "none"}
_SCALES = {"identity": "identity", "log": "log"}
_NORMAL = 1.959964
_ROUNDED = 0.02
"""How far an SE may be from the one that its interval gives, as a share: the source may have rounded otherwise."""

# The row of the first reading that is the same effect; rows of the second reading that are not here have none.
_SAME_EFFECT = {
    **{"glazier2009_ah": "CA001", "glazier2009_ed": "CA002"},
    **{"kralj2013_services": "CA004", "kralj2013_quality": "CA005"},
    **{"some2020_capitated": "CA006", "some2020_nonenrolled": "CA007", "some2020_ah": "CA008"},
    **{"some2020_noninc": "CA009", "hong2024_services": "CA010", "hong2024_ah": "CA011"},
    **{"hong2024_ed_lessurgent": "CA012", "hong2024_ed_urgent": "CA013", "kiran2015_dm_rr": "CA014"},
    **{"kiran2015_dm_team_vs_ffs": "CA017", "kiran2015_dm_team_vs_nonteam": "CA018"},
    **{"kiran2015_cx_team_vs_ffs": "CA019", "kiran2015_cx_team_vs_nonteam": "CA020"},
    **{"kiran2014_crc_pre": "CA023", "kiran2014_crc_post": "CA024", "pprompt_pap": "CA030", "pprompt_mam": "CA031"},
    **{"kiran2018_pre": "CA032", "kiran2018_post": "CA033", "teamed2022_city_team": "CA034"},
    **{"teamed2022_city_nonteam": "CA035", "rudoler2017": "CA041", "strumpf2017_pc": "CA060"},
    **{"strumpf2017_sp": "CA061", "lavergne2016_contacts": "CA070", "lavergne2016_cont": "CA071"},
    **{"lavergne2016_adm": "CA072", "lavergne2016_cost": "CA073", "manns2012_acsc": "CA080"},
    **{"manns2012_eye": "CA081", "manns2012_hba1c": "CA082", "mcalister2018_edind": "CA083"},
    **{"mcalister2018_ed": "CA084", "mcalister2018_hospind": "CA085", "mcalister2018_hosp": "CA086"},
}


def published_effects(raw: pd.DataFrame) -> pd.DataFrame:
    """Effects as printed; `interval_steps` counts how many units of the last printed digit an interval is wide."""
    # Messages name a row as it is counted in the file, the header first, and by its id.
    raw = raw.set_axis([f"row {at} ({name})" for at, name in enumerate(raw["id"], start=2)])
    low, high = numbers(raw["ci_low"], "ci_low"), numbers(raw["ci_high"], "ci_high")
    digits = raw[["estimate", "ci_low", "ci_high"]].apply(_decimals).max(axis=1)
    frame = pd.DataFrame(
        {
            "id": blank(raw["id"]),
            "model": blank(raw["model"]),
            "country": coded(raw["country"], {code: name for code, (name, _) in _WHERE.items()}, "country"),
            "province": blank(coded(raw["country"], {code: area for code, (_, area) in _WHERE.items()}, "country")),
            "program": blank(raw["program"]),
            "author": blank(raw["evaluation_author"]),
            "year": integers(raw["year"], "year"),
            "doi": blank(raw["doi"]),
            "doi_status": blank(raw["doi_status"]),
            "design": blank(raw["design"]),
            "outcome_domain": blank(raw["outcome_domain"]),
            "outcome": blank(raw["outcome"]),
            "unit": blank(raw["unit"]),
            "scale": coded(raw["scale"].str.strip(), _SCALES, "scale"),
            "estimate": numbers(raw["estimate"], "estimate"),
            "se": numbers(raw["se"], "se"),
            "se_source": blank(raw["se_source"]),
            "ci_low": low,
            "ci_high": high,
            "ci_level": numbers(raw["ci_level"], "ci_level"),
            "p": blank(raw["p"]),
            "sample_size": blank(raw["sample_size"]),
            "period": blank(raw["period"]),
            "good_direction": coded(raw["good_direction"].str.strip(), _DIRECTIONS, "good_direction"),
            "source_read": blank(raw["source_read"]),
            "notes": blank(raw["notes"]),
        }
    )
    told = raw["notes"].str.casefold()
    return frame.assign(
        interval_steps=((high - low) * 10.0**digits).round(),
        retracted=told.str.contains("retracted"),
        conference=raw["source_read"].str.casefold().str.contains("confex|conference|seminar"),
    ).sort_values("id", ignore_index=True)


def _decimals(text: pd.Series) -> pd.Series:
    return text.str.strip().str.partition(".")[2].str.len()


def second_reading(raw: pd.DataFrame) -> pd.DataFrame:
    """The second reading; `first_reading` names the row of published_effects that is the same effect."""
    year = raw["study"].str.extract(r"\b((?:19|20)\d\d)\b")[0].fillna(raw["id"].str.extract(r"((?:19|20)\d\d)")[0])
    return pd.DataFrame(
        {
            "id": blank(raw["id"]),
            "first_reading": raw["id"].map(_SAME_EFFECT).astype("str").where(raw["id"].isin(list(_SAME_EFFECT))),
            "study": blank(raw["study"]),
            "year": integers(year, "study"),
            "doi": blank(raw["doi"]),
            "province": blank(raw["province"]),
            "programme": blank(raw["programme"]),
            "design": blank(raw["design"]),
            "n": blank(raw["n"]),
            "period": blank(raw["period"]),
            "outcome": blank(raw["outcome"]),
            "measure": blank(raw["measure"]),
            "estimate": numbers(raw["estimate"], "estimate"),
            "ci_low": numbers(raw["ci_low"], "ci_low"),
            "ci_high": numbers(raw["ci_high"], "ci_high"),
            "unit": blank(raw["unit"]),
            "comparison": blank(raw["comparison"]),
            "read_at": blank(raw["read_at"]),
            "status": blank(raw["status"]),
        }
    )


def effect_rules(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """An interval has both ends and encloses its estimate; an SE that is said to follow from it does."""
    logarithmic = frame["scale"] == "log"
    low, high = frame["ci_low"], frame["ci_high"]
    with np.errstate(divide="ignore", invalid="ignore"):
        width = (high - low).where(~logarithmic, np.log(high.where(high > 0)) - np.log(low.where(low > 0)))
    level_given = frame["ci_level"].fillna(95) == 95
    derived = frame["se_source"].str.startswith("derived_from_ci", na=False) & level_given
    expected = width / (2 * _NORMAL)
    named = frame[["id", "model", "program", "author", "outcome", "unit"]]
    ratio = frame["unit"].str.contains(r"\bratio\b|relative risk", case=False, na=False)
    return {
        "id, model, program, evaluation_author, outcome or unit is blank; fill it in": named.isna().any(axis=1),
        "one of ci_low and ci_high is blank; give both or none": low.isna() != high.isna(),
        "ci_low to ci_high does not enclose estimate; check the three": low.notna()
        & ~frame["estimate"].between(low, high),
        "scale is log for a unit that is no ratio, or identity for a ratio; change scale": ratio != logarithmic,
        "a ratio in estimate, ci_low or ci_high is not above zero; give it as printed, not its logarithm": logarithmic
        & (frame[["estimate", "ci_low", "ci_high"]] <= 0).any(axis=1),
        "se is not above zero; leave it blank": frame["se"] <= 0,
        "se is not the one that ci_low and ci_high give; leave it blank": derived
        & ((frame["se"] / expected - 1).abs() > _ROUNDED),
        "a retracted article has an estimate; leave it blank": frame["retracted"] & frame["estimate"].notna(),
    }


def second_reading_rules(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """An interval or range has both ends and encloses its estimate."""
    low, high = frame["ci_low"], frame["ci_high"]
    return {
        "one end of the interval is missing": low.isna() != high.isna(),
        "the interval does not enclose the estimate": low.notna() & ~frame["estimate"].between(low, high),
    }
