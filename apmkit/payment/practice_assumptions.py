"""What synthetic practices take for granted: every number, with its source or its reason."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from numbers import Real

import pandas as pd

from apmkit.errors import PaymentError

FLAVOURS = ("US", "Ontario")

_ACO = "mean over ACOs, Shared Savings Program public use file of performance year 2023"
_WODCHIS = "CAD 30.5 bn a year in 2009-11 (Wodchis et al. 2016, CMAJ), 13.1 million residents (Statistics Canada)"
_CENSUS = "2011 Census, Ontario: 17.0 % under 15, 68.4 % from 15 to 64, 14.6 % older"
_KIRAN = "Kiran et al. 2023, J Am Board Fam Med 36(1):130: group continuity 76.2 % in capitation without teams"
_ATTACHED = "share of Ontarians attached to a primary care provider in 2017 (validation study, PMC8956282)"
_WALK_IN = "Lapointe-Shaw et al. 2023, CMAJ Open 11(2):E345: share of visits to enrolling physicians after hours"
_ED = "5,337,956 visits of 12.9 million Ontarians in 2008 (Canadian Family Physician, cfp.ca/highwire/markup/27638)"
_ADMITTED = "51.5 per 1,000 Ontarians of selected ages in 2019 (PLoS One 2021, e0251877)"
_BY_AGE = "admissions of Ontarians rise from 24.2 per 1,000 at age 20 to 224.9 at 90 (PLoS One 2021, e0251877)"
_SAME = "assumed, as there is no count in the public tables used here"

# name: (unit, (value, reason) for the US, (value, reason) for Ontario)
_TABLE: dict[str, tuple[str, tuple[float, str], tuple[float, str]]] = {
    "patients_per_physician": (
        "patients",
        (400, "assumed: Medicare patients are a part of the panel of an American physician"),
        (1888, "mean number seen and rostered in 2010/11 (McLeod et al. 2016, CMAJ Open 4(4):E679)"),
    ),
    "panel_sd": ("SD of log panel size", *[(0.2, "assumed")] * 2),
    "female": (
        "share of patients",
        (0.567, _ACO),
        (0.507, "Ontario, 1 July 2008 (Ontario Ministry of Finance, 2006 Census factsheet 2)"),
    ),
    "risk_by_decade": (
        "rise of log risk in ten years of age",
        (0.25, "assumed somewhat below Ontario's, as the young in Medicare are disabled"),
        (0.32, _BY_AGE),
    ),
    "risk_sd": (
        "SD of log risk at one age",
        (0.7, "assumed: risk scores are skewed, most below 1"),
        (0.9, "assumed: with age and chance it gives the concentration of cost in Wodchis et al. 2016"),
    ),
    "practice_risk_sd": (
        "SD of log risk between practices",
        (0.15, "SD of the mean score of aged non-dual beneficiaries over ACOs, performance year 2023"),
        (0.15, "assumed as in the US"),
    ),
    "urban": (
        "share of practices in cities",
        (0.75, "about a quarter of people around small practices live in the country (jabfm.org/highwire/markup/9262)"),
        (0.77, "share of encounters with patients of large urban areas (Canadian Family Physician 2024, 70(10):e156)"),
    ),
    "visits": (
        "primary care visits per patient and year, everywhere",
        (3.83, _ACO),
        (3.5, "assumed"),
    ),
    "visits_by_risk": ("elasticity of visits with risk", *[(0.5, "assumed: visits rise less than cost")] * 2),
    "visits_dispersion": (
        "variance of patients' own rates, of mean 1",
        *[(0.6, "assumed: visits vary more than Poisson counts; this makes them negative binomial")] * 2,
    ),
    "practice_visits_sd": ("SD of log visits between practices", *[(0.2, "assumed: styles of practice differ")] * 2),
    "elsewhere": (
        "share of visits to other family doctors",
        (0.24, f"assumed as in Ontario: {_KIRAN}"),
        (0.24, _KIRAN),
    ),
    "elsewhere_rural": (
        "outside use in the country, relative to cities",
        *[(0.5, "assumed: there are few walk-in clinics outside cities")] * 2,
    ),
    "elsewhere_old": (
        "outside use at 80, relative to age 25",
        *[(0.4, "continuity is 1.45 times higher at 80 than from 16 to 34 (Kiran et al. 2023)")] * 2,
    ),
    "elsewhere_sd": ("SD of log outside use between practices", *[(0.2, "assumed: some have a clinic next door")] * 2),
    "after_hours": ("share of visits in the practice", (0.05, _SAME), (0.09, _WALK_IN)),
    "after_hours_sd": ("SD of log share after hours between practices", *[(0.3, "assumed: hours differ")] * 2),
    "fee": (
        "fee per visit",
        (90, "assumed: about Medicare's price of an office visit of an established patient, USD"),
        (40, "assumed: about the price of an intermediate assessment, CAD"),
    ),
    "fee_outside_basket": ("fees outside the basket per visit", *[(8, "assumed: some procedures and forms")] * 2),
    "fee_cv": ("coefficient of variation of a fee", *[(0.5, "assumed: services differ in length")] * 2),
    "ed_visits": ("per patient and year", (0.623, _ACO), (0.413, _ED)),
    "ed_by_risk": (
        "elasticity of ED visits with risk",
        *[(0.8, "assumed: above that of visits, below that of cost")] * 2,
    ),
    "ed_rural": ("ED visits in the country, relative to cities", *[(1.4, "assumed: hospitals replace clinics")] * 2),
    "ed_less_urgent": (
        "share of ED visits",
        (0.473, "assumed as in Ontario"),
        (0.473, "triage levels IV and V: 38.9 % + 8.4 % of visits (same table as ED visits)"),
    ),
    "admissions": ("per patient and year", (0.259, _ACO), (0.0515, _ADMITTED)),
    "spending": ("all care, per patient and year", (12358, _ACO), (2330, _WODCHIS)),
    "spending_by_admission": (
        "mean cost of an admission",
        (15000, "assumed, USD"),
        (10000, "assumed, CAD"),
    ),
    "spending_sd": (
        "SD of log cost of one admission and of all other care",
        (1.0, "assumed"),
        (1.6, "assumed: with risk it gives the concentration of cost in Wodchis et al. 2016"),
    ),
    "spending_by_ed_visit": ("mean cost of an ED visit", (600, "assumed, USD"), (300, "assumed, CAD")),
    "joint_replacement": (
        "patients with a hip or knee replacement per patient and year",
        (0.0097, "640,021 in 2013-14 (Middleton et al. 2017, J Arthroplasty 32(9)) among 33 million beneficiaries"),
        (0.004, "assumed"),
    ),
    "spending_by_joint_replacement": (
        "mean cost of an episode of 90 days",
        (25000, "assumed, USD"),
        (15000, "assumed, CAD"),
    ),
    "joint_replacement_age": ("years of age, the youngest", *[(50, "assumed: few are younger")] * 2),
    "joint_replacement_sd": ("SD of log cost of an episode", *[(0.45, "assumed")] * 2),
    "enrolled": (
        "share of patients on the roster",
        (1.0, "Medicare patients are assigned by claims"),
        (0.854, _ATTACHED),
    ),
    "hours_per_physician": ("hours a year", *[(1900, "assumed: 40 hours in 47 weeks, rounded")] * 2),
    "hours_sd": ("SD of log hours between practices", *[(0.15, "assumed")] * 2),
    "quality": ("mean quality score", *[(0.8, "assumed")] * 2),
    "quality_sd": ("SD of quality, and of rates of prevention, between practices", *[(0.08, "assumed")] * 2),
    "rate_flu65": ("mean share of patients vaccinated against influenza", *[(0.65, "assumed")] * 2),
    "rate_pap": ("mean share of women with a cervical smear", *[(0.7, "assumed")] * 2),
    "rate_mammogram": ("mean share of women with a mammogram", *[(0.65, "assumed")] * 2),
    "rate_child_immunisation": ("mean share of children immunised", *[(0.85, "assumed")] * 2),
    "rate_colorectal": ("mean share of patients screened for colorectal cancer", *[(0.6, "assumed")] * 2),
}

AGE_BANDS = {
    "US": ((20, 65, 75, 85, 100), (0.090, 0.472, 0.322, 0.116), _ACO),
    "Ontario": (
        (0, 15, 65, 75, 85, 100),
        (0.170, 0.684, 0.077, 0.048, 0.021),
        f"{_CENSUS}; even within bands, and parts above 65 assumed",
    ),
}
"""Age bands (edges in years, shares of patients, source): ages are even within a band."""

RATES = tuple(name for name in _TABLE if name.startswith("rate_"))
"""Rates of preventive care, as the columns of practices are called."""

# Beyond 3, what is drawn on this scale leaves the range of anything real.
_LOGARITHMIC = ("SD of log", "rise of log", "elasticity")
_SHARES = (
    *("female", "urban", "elsewhere", "after_hours", "ed_less_urgent", "joint_replacement", "enrolled", "quality"),
    *RATES,
)


def practice_assumptions(country: str = "US") -> pd.DataFrame:
    """What synthetic practices of a country assume, and why.

    Parameters
    ----------
    country : str
        "US" (patients of Medicare) or "Ontario".

    Returns
    -------
    DataFrame
        By assumption: `value`, `unit`, `reason` (a source, or that it is assumed). The shares of age bands come last.

    Raises
    ------
    PaymentError
        There are no assumptions for that country.

    Examples
    --------
    >>> practice_assumptions("Ontario")["value"][["after_hours", "elsewhere"]].tolist()
    [0.09, 0.24]
    """
    at = 1 + FLAVOURS.index(check_flavour(country))
    rows = {name: (float(entry[at][0]), entry[0], entry[at][1]) for name, entry in _TABLE.items()}
    edges, shares, reason = AGE_BANDS[country]
    for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
        rows[f"age_{low}_{high - 1}"] = (share, "share of patients", reason)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "unit", "reason"]).rename_axis("assumption")


def check_flavour(country: str) -> str:
    """The country, refused where nothing is known of its patients."""
    if country not in FLAVOURS:
        raise PaymentError(f"There are no assumptions for synthetic practices in {country!r}: write US or Ontario.")
    return country


def assumed(country: str, changes: Mapping[str, float] | None) -> dict[str, float]:
    """Assumptions by name, some of them changed by the user."""
    at = 1 + FLAVOURS.index(check_flavour(country))
    values = {name: float(entry[at][0]) for name, entry in _TABLE.items()}
    if changes is not None and not isinstance(changes, Mapping):
        raise PaymentError(f"assumptions is of type {type(changes).__name__}: give a mapping of values by name.")
    for name, value in (changes or {}).items():
        if name not in values:
            near = difflib.get_close_matches(str(name), values, n=1)
            hint = f"did you mean {near[0]}?" if near else "practice_assumptions() lists them."
            raise PaymentError(f"There is no assumption {name!r} of synthetic practices: {hint}")
        limit = 1 if name in _SHARES else 3 if _TABLE[name][0].startswith(_LOGARITHMIC) else 1e9
        if not isinstance(value, Real) or not 0 <= value <= limit:
            kind = "a share from 0 to 1, such as 0.2 for 20 %" if limit == 1 else f"a number from 0 to {limit:g}"
            raise PaymentError(f"The assumption {name} is {value!r}: give {kind}.")
        values[name] = float(value)
    return values
