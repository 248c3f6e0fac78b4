"""Published effects made comparable: model family, outcome, effect measure, and what each row says."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

import apmkit as apm
from apmkit import datasets

FAMILIES = {
    "Medical homes": ("MAPCP", "FQHC APCP", "PCMH"),
    "Comprehensive Primary Care": ("CPC classic", "CPC+", "PCF"),
    "Primary care capitation": ("primary care capitation",),
    "Shared-savings ACOs": ("MSSP", "Pioneer ACO", "commercial ACO", "ACO"),
    "Global budget and quality bonus": ("global budget + P4P",),
    "Hospital global budgets": ("hospital global budget",),
    "Episode bundles": ("CJR", "BPCI"),
    "Blended capitation": (
        *("blended capitation v enhanced FFS", "blended capitation v blended FFS"),
        *("non-team blended capitation", "non-team capitation"),
    ),
    "Team capitation": ("team capitation v enhanced FFS", "team blended capitation", "team capitation"),
    "Enrolment, after-hours duty": ("medical home with after-hours duty",),
    "Prevention bonuses": ("P4P preventive bonus", "P4P + reminders"),
    "Targeted fees and bonuses": ("fee incentive", "complex-care incentive", "access bonus"),
    "Teams under fee-for-service": ("team-based FFS", "team-based FFS (no payment change)"),
    "Primary care networks": ("primary care network",),
    "Learning, no new payment": ("learning collaborative (no payment change)",),
    "Reviews": ("primary care reform",),
}
"""Model families, in the order of the gap map, and the models as the table names them."""

_FAMILY_OF = {model: family for family, models in FAMILIES.items() for model in models}

# The first pattern that the outcome or its domain matches.
_OUTCOMES = {
    "Spending": r"^spending:",
    "Emergency visits": r"\bED\b(?!$)|\bemergency|^(?!.*admission).*\bED$",
    "Readmissions": r"readmission",
    "Hospital stays": r"hospitali[sz]|admission|hospital (stays|use)",
    "After-hours care": r"after-hours",
    "Screening": r"screening|mammo|\bPap\b",
    "Diabetes care": r"diabetes|HbA1c|retinal|eye exam",
    "After the hospital": r"post-acute|post-discharge|discharge|attempt|institution",
    "Visits and services": r"visits|services|contacts",
    "Other quality": r"^quality:|^experience:",
}
OUTCOMES = (*_OUTCOMES, "Who is treated, other")
"""Outcome groups, in the order of the gap map."""

# "same, low-enrolment regions" continues the row before it.
_OUTCOME_OF = {"CA063": "Emergency visits", "CA064": "Emergency visits"}
_PER_ENROLMENT = ("CA062", "CA063", "CA064")

_MEASURES = {
    **dict.fromkeys(("percent change", "percent difference", "percent"), ("percent", 1.0)),
    **dict.fromkeys(("rate ratio", "incidence rate ratio"), ("percent", 1.0)),
    **dict.fromkeys(("risk ratio", "relative risk"), ("risk ratio", 1.0)),
    "odds ratio": ("odds ratio", 1.0),
    "USD PBPM": ("USD per person-year", 12.0),
    **dict.fromkeys(("USD per beneficiary-quarter", "USD per enrollee-quarter"), ("USD per person-year", 4.0)),
    **dict.fromkeys(("USD per beneficiary-year", "USD per patient-year"), ("USD per person-year", 1.0)),
    "percent per year (reads as percentage points)": ("percentage points per year", 1.0),
}
_ON_LOGARITHMS = ("percent", "risk ratio", "odds ratio")
_PERCENT_UNITS = ("percent change", "percent difference", "percent")

VERDICTS = {
    "better": "better, interval or p clear of no effect",
    "worse": "worse, interval or p clear of no effect",
    "unclear": "cannot be told from no effect",
    "either way": "clear change, neither good nor bad",
    "not tested": "a number or words, neither interval nor p",
    "context": "a level, a trend, an association or a review",
    "retracted": "article retracted, no number",
}
"""What a row says, and words for it."""


def evidence_rows(effects: pd.DataFrame | None = None, second: pd.DataFrame | None = None) -> pd.DataFrame:
    """Published effects with family, outcome group, measure, comparable effect and verdict.

    Parameters
    ----------
    effects, second : DataFrame, optional
        As ``load("published_effects")`` and ``load("published_effects_second_reading")`` give them, the default.

    Returns
    -------
    DataFrame
        The columns of `effects` and `family`, `outcome_group`, `measure`, `label`, `effect`, `effect_low`,
        `effect_high`, `effect_se` (on logarithms where the measure is percent or a ratio; dollars by person-year),
        `se_from` (interval, print, p-value or nothing), `verdict`, `second_reading` (none, agrees, or what differs).

    Examples
    --------
    >>> rows = evidence_rows().set_index("id")
    >>> rows.loc["CA012", ["family", "outcome_group", "measure", "verdict"]].tolist()
    ['Blended capitation', 'Emergency visits', 'percent', 'worse']
    """
    rows = apm.load("published_effects") if effects is None else effects.copy()
    rows["family"] = rows["model"].map(_FAMILY_OF).fillna(rows["model"])
    rows["outcome_group"] = [
        _OUTCOME_OF.get(row.id) or outcome_group(row.outcome_domain, row.outcome) for row in rows.itertuples()
    ]
    known = [_MEASURES.get(unit, (unit, 1.0)) for unit in rows["unit"]]
    dose = rows["id"].isin(_PER_ENROLMENT)
    rows["measure"] = pd.Series([measure for measure, _ in known], index=rows.index).mask(
        dose, "rate ratio by regional enrolment"
    )
    first = rows["author"].str.split(r" et al| \(|[,/&]", n=1, regex=True).str[0].str.strip()
    rows["label"] = rows["id"] + " " + first + " " + rows["year"].astype("str")
    scale = pd.Series([factor for _, factor in known], index=rows.index)
    for name, printed in (("effect", "estimate"), ("effect_low", "ci_low"), ("effect_high", "ci_high")):
        rows[name] = _comparable(rows[printed], rows["unit"], rows["scale"] == "log", scale)
    rows["effect_se"], rows["se_from"] = _standard_errors(rows, scale)
    rows["verdict"] = [_verdict(row) for row in rows.itertuples()]
    rows["second_reading"] = _compared(rows, second)
    return rows


def current_rows() -> pd.DataFrame:
    """`evidence_rows` of the table as it is now, built once for each version of it; do not change it in place."""
    return _rows_of(datasets.checksum("published_effects"), datasets.checksum("published_effects_second_reading"))


@lru_cache(maxsize=2)
def _rows_of(*_checksums: str) -> pd.DataFrame:
    return evidence_rows()


def outcome_group(domain: str, outcome: str) -> str:
    """The outcome group of an outcome in words.

    >>> [outcome_group("utilization", text) for text in ("less-urgent ED visits", "diabetes ACSC admissions + ED")]
    ['Emergency visits', 'Hospital stays']
    """
    text = f"{domain}: {outcome}"
    return next((name for name, pattern in _OUTCOMES.items() if re.search(pattern, text)), OUTCOMES[-1])


def on_logarithms(measure: str) -> bool:
    """Whether effects of this measure are compared as logarithms."""
    return measure in _ON_LOGARITHMS or measure.startswith("rate ratio")


def shown(value, measure: str):
    """A comparable effect as it is shown: percent, a ratio, or as it is."""
    if measure == "percent":
        return 100 * np.expm1(value)
    return np.exp(value) if on_logarithms(measure) else value


def no_effect(measure: str) -> float:
    """The number that stands for no effect, as shown."""
    return 1.0 if on_logarithms(measure) and measure != "percent" else 0.0


def _comparable(values: pd.Series, unit: pd.Series, log: pd.Series, factor: pd.Series) -> pd.Series:
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.log1p(values.where(values > -100) / 100)
        ratio = np.log(values.where(values > 0))
    return (values * factor).mask(unit.isin(_PERCENT_UNITS), percent).mask(log, ratio)


def exact_p(text: str | float) -> float:
    """A p-value that is printed as one number; missing for ``<0.001``, ``ns`` and none.

    >>> [exact_p("0.02"), exact_p("<0.001")]
    [0.02, nan]
    """
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _standard_errors(rows: pd.DataFrame, factor: pd.Series) -> tuple[pd.Series, pd.Series]:
    """From the interval; else as printed; else from an exact p-value, as if the estimate were normal."""
    width = rows["effect_high"] - rows["effect_low"]
    from_interval = width / (2 * stats.norm.ppf(0.5 + rows["ci_level"].fillna(95) / 200))
    printed = (rows["se"] * factor).where(
        ~rows["unit"].isin(_PERCENT_UNITS), rows["se"] / (100 + rows["estimate"]).where(rows["estimate"] > -100)
    )
    p = rows["p"].map(exact_p).astype(float)
    z = pd.Series(stats.norm.isf(p.where((p > 0) & (p < 1)) / 2), index=rows.index)
    from_p = rows["effect"].abs().where(rows["effect"] != 0) / z
    found = {"interval": from_interval, "print": printed, "p-value": from_p}
    se, origin = pd.Series(np.nan, index=rows.index), pd.Series("nothing", index=rows.index)
    for name, values in found.items():
        origin = origin.mask(se.isna() & values.notna(), name)
        se = se.fillna(values)
    return se, origin


def is_context(row) -> bool:
    """Whether a row is no effect of a model: a trend of one group, a description, an association, a review."""
    text = f"{row.outcome_domain} {row.design} {row.outcome} {row.notes if isinstance(row.notes, str) else ''}"
    return bool(re.search(r"\b(slope|trend)\b.*(before|after)|descriptive|review|not a programme effect", text))


def _verdict(row) -> str:
    if row.retracted:
        return "retracted"
    if is_context(row):
        return "context"
    clear = _clear(row)
    if clear is None or math.isnan(row.effect):
        return "unclear" if row.p in ("ns", "mixed") else "not tested"
    if not clear:
        return "unclear"
    if row.good_direction not in ("up", "down"):
        return "either way"
    return "better" if (row.effect > 0) == (row.good_direction == "up") else "worse"


def _clear(row) -> bool | None:
    """Whether the interval, or else p at 0.05, excludes no effect; None where neither is printed."""
    if not math.isnan(row.effect_low):
        return row.effect_low > 0 or row.effect_high < 0
    text = row.p if isinstance(row.p, str) else ""
    number = exact_p(text.lstrip("<"))
    if math.isnan(number):
        return False if text == "ns" else None
    return number < 0.05 or text == "<0.05"


def _compared(rows: pd.DataFrame, second: pd.DataFrame | None) -> pd.Series:
    second = apm.load("published_effects_second_reading") if second is None else second
    other = second.dropna(subset="first_reading").drop_duplicates("first_reading").set_index("first_reading")
    told = {}
    for row in rows.itertuples():
        if row.id not in other.index:
            told[row.Index] = "none"
            continue
        again = other.loc[row.id]
        parts = []
        if again["estimate"] != row.estimate:
            parts.append(f"estimate {again['estimate']:g}, not {row.estimate:g}")
        if not _same((again["ci_low"], again["ci_high"]), (row.ci_low, row.ci_high)):
            kind = "range" if "range" in again["unit"] else "interval"
            first = "none" if math.isnan(row.ci_low) else f"{row.ci_low:g} to {row.ci_high:g}"
            parts.append(f"{kind} {again['ci_low']:g} to {again['ci_high']:g}, first reading: {first}")
        told[row.Index] = "; ".join(parts) or "agrees"
    return pd.Series(told)


def _same(one, other) -> bool:
    return bool(np.allclose(np.array(one, float), np.array(other, float), equal_nan=True, rtol=1e-12, atol=0))
