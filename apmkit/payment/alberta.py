"""Alberta's Blended Capitation Model: most of a rate for each patient, a little of each fee, less visits elsewhere."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.capitation import LARGEST_FACTOR, CapitationSchedule, schedule_notes, schedule_of
from apmkit.payment.inputs import rules_in_force
from apmkit.payment.practices import Practices, of_others
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, RulesInForce, as_day
from apmkit.payment.tables import columns


def alberta_blended_capitation(
    practices: Practices,
    *,
    on: str | datetime.date,
    rules: Rulebook | None = None,
    schedule: CapitationSchedule | None = None,
    health_profile: Mapping[float, float] | None = None,
    joined: str | datetime.date | None = None,
) -> Payment:
    """One year of the Blended Capitation Model: 85 % of a rate for each affiliated patient and 15 % of their fees.

    The rate varies by age, sex and health profile. When an affiliated patient sees a family doctor elsewhere, the fee
    of that visit is taken back from the clinic's capitation (negation), except in the first year after the clinic
    joins. Capitation less negation does not fall below zero; sources do not say where it stops. Patients who are not
    affiliated, and services outside the basket, are paid by fee. The rules of the day `on` hold for the whole year.

    Parameters
    ----------
    practices : Practices
        Canadian; a practice is a clinic. Patient columns: `enrolled` (affiliated), `risk_score`, `fees`,
        `fees_elsewhere`, `fees_outside_basket`, `months`.
    on : str or date
        The day whose rules pay, YYYY-MM-DD; from November 2016.
    rules : Rulebook, optional
        The shipped rules `alberta` unless given.
    schedule : CapitationSchedule, optional
        Rates by age and sex; an illustrative one unless given.
    health_profile : mapping, optional
        Multiplier of the rate by the lowest `risk_score` of each group, the first from 0: {0: 0.8, 1: 1.1, 2: 1.5}.
        Illustrative groups unless given.
    joined : str or date, optional
        The day the clinics joined; for a year from it there is no negation. Longer ago unless given.

    Returns
    -------
    Payment
        Details: affiliated patients, their mean multiplier, outside use, and negation that found no capitation left.

    Raises
    ------
    PaymentError
        A column is missing, the groups do not begin at 0 or hold no multipliers, the clinics join after `on`, or the
        practices are not Canadian.
    RulesError
        The model was not in force on that day.

    References
    ----------
    Alberta Medical Association, Blended Capitation Model, frequently asked questions; Alberta government, page on the
    blended capitation clinical alternative relationship plan.

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": "A", "age": [40, 70], "sex": ["F", "M"], "enrolled": True,
    ...     "risk_score": [0.5, 1.5], "fees": 100.0, "fees_elsewhere": [40.0, 0.0], "fees_outside_basket": 0.0})
    >>> clinic = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="Canada")
    >>> bands = pd.DataFrame({"age_from": 0, "age_to": [None, None], "sex": ["F", "M"], "rate": [150.0, 250.0]})
    >>> paid = alberta_blended_capitation(
    ...     clinic, on="2019-04-01", schedule=CapitationSchedule(bands), health_profile={0: 1.0, 1: 2.0})
    >>> paid.table.iloc[0].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'capitation': 552.5, 'blended_fees': 30.0, 'negation': -40.0, 'fees_not_enrolled': 0.0,
     'fees_outside_basket': 0.0, 'total': 542.5}
    """
    terms = rules_in_force("alberta", rules, on, practices)
    capitation_share = terms["capitation_share"]
    schedule = schedule_of(schedule, terms, "illustrative_base_rate")
    notes = [*practices.notes, *schedule_notes(schedule)]
    if health_profile is None:
        steps = columns("the health profile", terms["illustrative_health_profile"], "risk_from", "multiplier")
        groups = dict(zip(*steps, strict=True))
        notes.append("The health profile groups are illustrative, made up for teaching; give your own health_profile.")
    else:
        groups = health_profile
    profile = _profile(groups)
    capitation = capitation_share * practices.total(
        "risk_score", "age_and_sex", "enrolled", "months", of=_paid, terms=(schedule, *profile)
    )
    outside = practices.total("fees_elsewhere", "enrolled")
    if _negation_free(terms, joined):
        owed = np.zeros(len(capitation))
        notes.append("The clinics are in their first year, which is free of negation.")
    else:
        owed = terms["negation.share"] * outside
    negation = np.minimum(owed, np.maximum(capitation - terms["negation.floor"], 0))
    affiliated = practices.total("enrolled")
    multiplied = practices.total("risk_score", "enrolled", of=_multiplied, terms=profile)
    return Payment.from_components(
        model=f"Alberta Blended Capitation Model, rules of {terms.day}",
        currency=practices.currency,
        components={
            "capitation": capitation,
            "blended_fees": terms["fee_share"] * practices.total("fees", "enrolled"),
            "negation": -negation,
            "fees_not_enrolled": practices.total("fees", "enrolled", of=of_others),
            "fees_outside_basket": practices.total("fees_outside_basket"),
        },
        index=practices.index,
        details=pd.DataFrame(
            {
                "enrolled": affiliated,
                "mean_multiplier": multiplied / np.where(affiliated, affiliated, np.nan),
                "outside_use": outside,
                "negation_not_taken": owed - negation,
            },
            index=practices.index,
        ),
        terms=[terms],
        notes=notes,
    )


def _profile(groups: Mapping[float, float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Lowest risk scores and multipliers of the health profile groups, checked."""
    if not isinstance(groups, Mapping) or not all(isinstance(x, Real) for pair in groups.items() for x in pair):
        raise PaymentError("health_profile must map risk scores to multipliers, for instance {0: 0.8, 1: 1.1}.")
    starts, multipliers = np.array(sorted(groups.items()), dtype=float).reshape(-1, 2).T
    if not len(starts) or starts[0] != 0 or not np.isfinite(starts).all():
        raise PaymentError("health_profile must begin at a risk score of 0, so that every patient has a group.")
    if not ((multipliers >= 0) & (multipliers <= LARGEST_FACTOR)).all():
        raise PaymentError(
            f"health_profile has the multipliers {multipliers.tolist()}; each must be from 0 to {LARGEST_FACTOR}, so "
            "0.8 for 80 %."
        )
    return tuple(starts.tolist()), tuple(multipliers.tolist())


def _multipliers(risk: np.ndarray, starts: Sequence[float], multipliers: Sequence[float]) -> np.ndarray:
    """The multiplier of each patient's health profile group."""
    return np.array(multipliers)[np.searchsorted(starts, risk, side="right") - 1]


def _multiplied(risk: np.ndarray, enrolled: np.ndarray, *profile: Sequence[float]) -> np.ndarray:
    return _multipliers(risk, *profile) * enrolled


def _paid(risk, age_and_sex, enrolled, months, schedule, *profile):
    return schedule.paid(age_and_sex, enrolled, months) * _multipliers(risk, *profile)


def _negation_free(terms: RulesInForce, joined: str | datetime.date | None) -> bool:
    if joined is None:
        return False
    first = as_day(joined)
    if first > terms.day:
        raise PaymentError(f"The clinics joined on {first}, after {terms.day}; give a day from then on.")
    return pd.Timestamp(terms.day) < pd.Timestamp(first) + pd.DateOffset(
        months=round(12 * terms["negation.free_years"])
    )
