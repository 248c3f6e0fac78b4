"""Ontario's patient enrolment models: blended fee-for-service (FHG) and blended capitation (FHN, FHO)."""

from __future__ import annotations

import datetime
from numbers import Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.options import numbers
from apmkit.payment.capitation import CapitationSchedule, schedule_notes, schedule_of
from apmkit.payment.inputs import rules_in_force
from apmkit.payment.practices import Practices, of_others
from apmkit.payment.preventive_bonuses import preventive_bonuses
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook

_CENT = 0.01  # fees may come rounded
_AGREEMENTS = {"FHO": "fho.agreement_before_fho_plus", "FHN": "fhn.agreement"}
_COMPREHENSIVE_CARE = "comprehensive_care.illustrative_base_rate"


def ontario_fhg(
    practices: Practices,
    *,
    on: str | datetime.date,
    rules: Rulebook | None = None,
    comprehensive_care: CapitationSchedule | None = None,
) -> Payment:
    """One year of a Family Health Group: fees in full, with premiums and bonuses for enrolled patients.

    Components: fees in the basket and outside it; the comprehensive premium on services of the basket to enrolled
    patients; the premium on their services after hours; the comprehensive care payment by age and sex; preventive
    bonuses. The rules of the day `on` hold for the whole year.

    Parameters
    ----------
    practices : Practices
        Canadian. Patient columns: `enrolled`, `fees`, `fees_after_hours`, `fees_outside_basket`, `months`. Practice
        columns for the bonuses, each optional: `rate_flu65`, `rate_pap`, `rate_mammogram`, `rate_child_immunisation`,
        `rate_colorectal` (shares from 0 to 1).
    on : str or date
        The day whose rules pay, YYYY-MM-DD; from 2004.
    rules : Rulebook, optional
        The shipped rules `ontario` unless given.
    comprehensive_care : CapitationSchedule, optional
        Rates of the comprehensive care payment; an illustrative one unless given.

    Returns
    -------
    Payment
        Details: enrolled patients, and enrolled patients per physician.

    Raises
    ------
    PaymentError
        A column is missing or cannot be right, or the practices are not Canadian.
    RulesError
        The model was not in force on that day.

    References
    ----------
    Ontario Ministry of Health, page on Family Health Groups; Section of General and Family Practice of the Ontario
    Medical Association, letter on the award for 2024-28 (premium).

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": "A", "age": [40, 70], "sex": ["F", "M"], "enrolled": [True, False],
    ...     "fees": [200.0, 300.0], "fees_after_hours": [50.0, 0.0], "fees_outside_basket": [20.0, 0.0]})
    >>> practice = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="Canada")
    >>> ontario_fhg(practice, on="2015-04-01").table["comprehensive_premium"].item()
    20.0
    """
    terms = rules_in_force("ontario", rules, on, practices)
    premium = terms["fhg.comprehensive_premium"]
    schedule = schedule_of(comprehensive_care, terms, _COMPREHENSIVE_CARE)
    enrolled, roster = _rosters(practices)
    categories = terms["preventive.fhg_categories"]
    paid = (roster >= terms["preventive.fhg_least_roster"]).astype(float) if categories else np.zeros(len(roster))
    bonuses, bonus_notes = preventive_bonuses(practices, terms, categories, paid)
    return Payment.from_components(
        model=f"Ontario FHG, rules of {terms.day}",
        currency=practices.currency,
        components={
            "fees": practices.total("fees"),
            "fees_outside_basket": practices.total("fees_outside_basket"),
            "comprehensive_premium": premium * practices.total("fees", "enrolled"),
            "after_hours_premium": terms["after_hours_premium"] * _after_hours(practices),
            "comprehensive_care": schedule.total(practices),
            "preventive_bonuses": bonuses,
        },
        index=practices.index,
        details=pd.DataFrame({"enrolled": enrolled, "enrolled_per_physician": roster}, index=practices.index),
        terms=[terms],
        notes=[*practices.notes, *schedule_notes(schedule), *bonus_notes],
    )


def ontario_fho(
    practices: Practices,
    *,
    on: str | datetime.date,
    model: str = "FHO",
    rules: Rulebook | None = None,
    schedule: CapitationSchedule | None = None,
    comprehensive_care: CapitationSchedule | None = None,
    group: str | None = None,
) -> Payment:
    """One year of a Family Health Organization or Network: capitation for enrolled patients, blended with fees.

    Components: base capitation by age and sex; comprehensive care payment; shadow billing, a premium on services of
    the basket to enrolled patients; access bonus (see `access_bonus`); premium on their services after hours;
    preventive bonuses; fees for patients who are not enrolled, up to the hard cap per physician; fees outside the
    basket in full; and, in a FHN, what is taken off base capitation above 2,400 patients per physician. The rules of
    the day `on` hold for the whole year.

    Parameters
    ----------
    practices : Practices
        Canadian. Patient columns: `enrolled`, `fees`, `fees_after_hours`, `fees_elsewhere`, `fees_outside_basket`,
        `months`. Emergency visits are not read: they do not count as outside use. Practice columns for the bonuses,
        each optional: `rate_flu65`, `rate_pap`, `rate_mammogram`, `rate_child_immunisation`, `rate_colorectal`.
    on : str or date
        The day whose rules pay, YYYY-MM-DD; from 2002 for the FHN, from 2006 for the FHO until the FHO+ of April 2026,
        which is not among the rules.
    model : {"FHO", "FHN"}
    rules : Rulebook, optional
        The shipped rules `ontario` unless given.
    schedule, comprehensive_care : CapitationSchedule, optional
        Rates of base capitation and of the comprehensive care payment; illustrative ones unless given.
    group : str, optional
        Practice column with the group whose access bonus is pooled; each practice is a group of its own unless given.

    Returns
    -------
    Payment
        Details: enrolled patients, enrolled patients per physician, the highest access bonus, outside use, and fees
        that the hard cap leaves unpaid.

    Raises
    ------
    PaymentError
        A column is missing or cannot be right, the model is unknown, or the practices are not Canadian.
    RulesError
        The model was not in force on that day.

    References
    ----------
    BMC Health Serv Res 2013;13:446, table 1; Glazier et al. (2019), Health Aff 38:624-632 (access bonus); Ontario
    Ministry of Health, page on Family Health Organizations.

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": "A", "age": [40, 70], "sex": ["F", "M"], "enrolled": True, "fees": 200.0,
    ...     "fees_after_hours": 0.0, "fees_elsewhere": [35.0, 0.0], "fees_outside_basket": 0.0})
    >>> practice = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="Canada")
    >>> bands = pd.DataFrame({"age_from": 0, "age_to": [None, None], "sex": ["F", "M"], "rate": [150.0, 250.0]})
    >>> paid = ontario_fho(practice, on="2015-04-01", schedule=CapitationSchedule(bands))
    >>> paid.table[["base_capitation", "shadow_billing", "access_bonus"]].iloc[0].tolist()
    [400.0, 60.0, 39.36]
    """
    if model not in tuple(_AGREEMENTS):
        raise PaymentError(f"model is {model!r}; write FHO or FHN.")
    name = model.lower()
    terms = rules_in_force("ontario", rules, on, practices)
    terms[_AGREEMENTS[model]]  # refuses a day outside the agreement
    schedule = schedule_of(schedule, terms, f"{name}.illustrative_base_rate")
    comprehensive_care = schedule_of(comprehensive_care, terms, _COMPREHENSIVE_CARE)
    enrolled, roster = _rosters(practices)
    physicians = practices.practice("physicians")
    base = schedule.total(practices)
    access = access_bonus(
        base,
        practices.total("fees_elsewhere", "enrolled"),
        max_share=terms[f"{name}.access_bonus_share"],
        group=None if group is None else _groups(practices, group),
    )
    full_roster = terms["preventive.full_roster"]
    prorated = np.minimum(roster / full_roster, 1.0) if full_roster else np.ones(len(roster))
    bonuses, bonus_notes = preventive_bonuses(practices, terms, terms["preventive.capitation_categories"], prorated)
    not_enrolled = practices.total("fees", "enrolled", of=of_others)
    capped = np.minimum(not_enrolled, terms["hard_cap"] * physicians) if "hard_cap" in terms else not_enrolled
    components = {
        "base_capitation": base,
        "comprehensive_care": comprehensive_care.total(practices),
        "shadow_billing": terms["shadow_billing_premium"] * practices.total("fees", "enrolled"),
        "access_bonus": access["access_bonus"],
        "after_hours_premium": terms["after_hours_premium"] * _after_hours(practices),
        "preventive_bonuses": bonuses,
        "fees_not_enrolled": capped,
        "fees_outside_basket": practices.total("fees_outside_basket"),
    }
    if model == "FHN":
        above = 1 - np.minimum(terms["fhn.roster_limit"] / np.maximum(roster, 1), 1)
        components["roster_disincentive"] = -(1 - terms["fhn.rate_above_limit"]) * above * base
    return Payment.from_components(
        model=f"Ontario {model}, rules of {terms.day}",
        currency=practices.currency,
        components=components,
        index=practices.index,
        details=pd.DataFrame(
            {
                "enrolled": enrolled,
                "enrolled_per_physician": roster,
                "access_bonus_maximum": access["maximum"].to_numpy(),
                "outside_use": access["outside_use"].to_numpy(),
                "fees_above_hard_cap": not_enrolled - capped,
            },
            index=practices.index,
        ),
        terms=[terms],
        notes=[
            *practices.notes,
            *schedule_notes(schedule, comprehensive_care),
            *(
                []
                if "hard_cap" in terms
                else ["The hard cap was suspended on that day; the first day of the suspension is assumed."]
            ),
            *bonus_notes,
        ],
    )


def access_bonus(base_capitation, outside_use, *, max_share: float, group=None) -> pd.DataFrame:
    """The access bonus: a share of base capitation, less what enrolled patients cost at other family doctors.

    Bonus of a group = max(0, max_share x base capitation - outside use), both summed over its practices, and shared
    among them in proportion to base capitation. Every dollar billed at a walk-in clinic lowers it by a dollar; a visit
    to an emergency department lowers it by nothing. That is the puzzle: practices in cities, whose patients have
    walk-in clinics at hand, lose it, and sending patients to the emergency department keeps it.

    Parameters
    ----------
    base_capitation : array of float, shape (practices,)
        Base capitation of a year.
    outside_use : array of float, shape (practices,)
        Fees of the year for services of the basket that enrolled patients had from family doctors outside the group.
    max_share : float
        Highest bonus as a share of base capitation, from 0 to 1.
    group : array, optional
        Group of each practice; each is its own unless given.

    Returns
    -------
    DataFrame
        Columns `maximum`, `outside_use`, `access_bonus`; one row per practice.

    Raises
    ------
    PaymentError
        An amount is negative or missing, lengths differ, or the share is none.

    References
    ----------
    Glazier et al. (2019), Do incentive payments reward the wrong providers?, Health Aff 38:624-632.

    Examples
    --------
    >>> bonus = access_bonus([100_000, 100_000], [5_000, 30_000], max_share=0.20)
    >>> bonus["access_bonus"].tolist()
    [15000.0, 0.0]
    """
    base, outside = numbers(base_capitation, "base_capitation"), numbers(outside_use, "outside_use")
    for values, name in ((base, "base_capitation"), (outside, "outside_use")):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise PaymentError(f"{name} holds a negative, missing or infinite amount; give money of 0 or more.")
    if base.ndim != 1 or base.shape != outside.shape:
        raise PaymentError(
            f"There are {base.size} capitations and {outside.size} amounts of outside use; give lists of one length."
        )
    if not isinstance(max_share, Real) or not 0 <= max_share <= 1:
        raise PaymentError(f"max_share is {max_share!r}; give a share from 0 to 1, for instance 0.2.")
    group = np.arange(len(base)) if group is None else np.asarray(group)
    if group.shape != base.shape or pd.isna(group).any():
        raise PaymentError("group must name the group of every practice; give one for each.")
    maximum = max_share * base
    codes, _ = pd.factorize(group)
    pooled = np.bincount(codes, weights=maximum)
    kept = np.maximum(pooled - np.bincount(codes, weights=outside), 0.0)
    share = np.divide(kept, pooled, out=np.zeros_like(kept), where=pooled > 0)
    return pd.DataFrame({"maximum": maximum, "outside_use": outside, "access_bonus": maximum * share[codes]})


def _rosters(practices: Practices) -> tuple[np.ndarray, np.ndarray]:
    """The enrolled patients of each practice, in all and per physician."""
    enrolled = practices.total("enrolled")
    return enrolled, enrolled / practices.practice("physicians")


def _after_hours(practices: Practices) -> np.ndarray:
    """Fees of enrolled patients after hours."""
    return practices.total("fees_after_hours", "fees", "enrolled", of=_part)


def _part(after_hours: np.ndarray, fees: np.ndarray, enrolled: np.ndarray) -> np.ndarray:
    if (wrong := after_hours > fees + _CENT).any():
        raise PaymentError(
            f"fees_after_hours is above fees in row {int(np.argmax(wrong)) + 1} of the patients; it is a part of them."
        )
    return after_hours * enrolled


def _groups(practices: Practices, column: str) -> pd.Series:
    if column not in practices.practices.columns.tolist():
        raise PaymentError(f"The table of practices has no column {column}; name the column that holds the group.")
    return practices.practices[column]
