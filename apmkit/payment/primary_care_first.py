"""Primary Care First: a population-based payment, a flat fee for a visit, and an adjustment for performance."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.fee_for_service import fees_of
from apmkit.payment.inputs import attributed, per_practice, rules_in_force, too_few
from apmkit.payment.practices import Practices
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook
from apmkit.payment.tables import columns

_QUARTERS = 4


def primary_care_first(
    practices: Practices,
    *,
    on: str | datetime.date,
    rules: Rulebook | None = None,
    geographic=1.0,
    adjustment=None,
    leakage=None,
) -> Payment:
    """A year of Medicare's payment under Primary Care First.

    For its attributed beneficiaries a practice gets, instead of visit fees, an amount for each month that depends on
    their mean risk score, and a flat fee for each visit, adjusted for local costs. From July 2022 the monthly amount
    is cut by leakage, the share of their primary care visits that they make elsewhere. All together is adjusted each
    quarter for performance, from -10 % to +50 %. The rest stays fee-for-service.

    Parameters
    ----------
    practices : Practices
        In the US. Columns of patients: `fees`, `risk_score`, `visits`; where given `enrolled` (attributed; else all
        are), `months`, `visits_elsewhere`, `fees_after_hours`, `fees_outside_basket`.
    on : str or date
        A day of the year paid, 2021 to 2025.
    rules : Rulebook, optional
        Other rules than the shipped ones, for instance from `with_values`.
    geographic : float, array of shape (n,) or Series by practice
        Factor of local costs on the visit fee, 0.5 to 2.
    adjustment : float, array of shape (n,) or (n, 4), Series or DataFrame by practice, optional
        Performance-based adjustment as a share, for the year or for each quarter. Without it the column
        `performance_adjustment` of practices, and without that 0. The measures behind it (acute hospital use, and from
        the second year a gateway of quality measures) are not modelled.
    leakage : float, array of shape (n,) or Series by practice, optional
        Share of visits elsewhere in the past year. Without it that of this year where `visits_elsewhere` is given, so
        that a further visit elsewhere would cut this year's pay; and without that 0.

    Returns
    -------
    Payment
        Components `population_payment`, from July 2022 `leakage_cut` (at most 0), `visit_fees`,
        `performance_adjustment` and, of patients not attributed and of services outside the basket, `fees_in_basket`,
        `fees_after_hours`, `fees_outside_basket`. Details: attributed beneficiaries, their mean risk score, the risk
        group (1 the lowest), monthly amount, visits, adjustment, and leakage where it counts.

    Raises
    ------
    PaymentError
        An adjustment or a leakage leaves its range, a practice has nobody attributed, or a column is missing.
    RulesError
        Primary Care First was not in force on that day.

    References
    ----------
    Centers for Medicare & Medicaid Services, Primary Care First Request for Applications, 24 October 2019; each
    value's own source is in `rules` of the result.

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": "A", "age": 70, "sex": ["F", "M"], "fees": 500.0,
    ...                          "risk_score": [0.9, 1.3], "visits": [3, 5]})
    >>> practices = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="US")
    >>> paid = primary_care_first(practices, on="2021-01-01", adjustment=0.5)
    >>> paid.table.loc["A"].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'population_payment': 672.0, 'visit_fees': 326.56, 'performance_adjustment': 499.28, 'fees_in_basket': 0.0,
     'total': 1497.84}
    """
    terms = rules_in_force("primary_care_first", rules, on, practices)
    own = attributed(practices)
    beneficiaries = practices.sums(own)
    if (nobody := beneficiaries == 0).any():
        raise PaymentError(
            f"Practice {practices.index[int(np.argmax(nobody))]} has no attributed beneficiaries, so its risk group is "
            "unknown; leave it out."
        )
    risk = practices.sums(practices.patient("risk_score") * own) / beneficiaries
    start, amounts = _groups(terms["population_payment"])
    group = np.searchsorted(start, risk, side="right") - 1
    amount = amounts[group]
    visits = practices.sums(practices.patient("visits") * own)
    population = amount * practices.sums(practices.patient("months") * own)
    visit_fees = visits * terms["visit_fee"] * per_practice(geographic, "geographic", practices, least=0.5, most=2.0)
    notes = [
        "Not checked: whether at least "
        f"{100 * terms['minimum_primary_care_share']:g} % of revenue is from primary care, as the model asks."
    ]
    if adjustment is None and "performance_adjustment" in practices.practices:
        adjustment = practices.practices["performance_adjustment"].to_numpy()
    elif adjustment is None:
        adjustment = 0.0
        notes.append("No performance-based adjustment was given; it is taken to be 0.")
    adjustment = per_practice(
        adjustment,
        "adjustment",
        practices,
        least=terms["adjustment_lowest"],
        most=terms["adjustment_highest"],
        columns=_QUARTERS,
    )
    cut = {}
    if "leakage_cut" in terms:
        leakage, about_leakage = _leakage(practices, own, visits, leakage)
        notes += about_leakage
        cut = {"leakage_cut": -terms["leakage_cut"] * leakage * population}
    elif leakage is not None:
        raise PaymentError(f"Leakage cuts nothing on {terms.day}, before July 2022; leave leakage out.")
    # Every quarter has a fourth of the year's payment.
    adjusted = (population + visit_fees + cut.get("leakage_cut", 0.0)) * adjustment.mean(axis=1)
    return Payment.from_components(
        model="Primary Care First",
        currency=practices.currency,
        components={
            "population_payment": population,
            **cut,
            "visit_fees": visit_fees,
            "performance_adjustment": adjusted,
            **fees_of(practices, ~own),
        },
        index=practices.index,
        details=pd.DataFrame(
            {
                "attributed": beneficiaries.astype(int),
                "mean_risk": risk,
                "risk_group": group + 1,
                "monthly_amount": amount,
                "visits": visits,
                "adjustment": adjustment.mean(axis=1),
                **({"leakage": leakage} if cut else {}),
            },
            index=practices.index,
        ),
        terms=[terms],
        notes=(*notes, *too_few(practices, beneficiaries, terms["minimum_beneficiaries"]), *practices.notes),
    )


def _leakage(practices: Practices, own: np.ndarray, visits: np.ndarray, leakage) -> tuple[np.ndarray, list[str]]:
    """The share of visits elsewhere of each practice, and where it comes from."""
    if leakage is not None:
        return per_practice(leakage, "leakage", practices, most=1.0), []
    if "visits_elsewhere" not in practices.patients:
        return np.zeros(len(visits)), ["Visits elsewhere are unknown; leakage is taken to be 0."]
    away = practices.sums(practices.patient("visits_elsewhere") * own)
    return away / np.maximum(visits + away, 1e-12), ["Leakage is taken to be this year's own."]


def _groups(table: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Where each risk group begins, and its monthly amount."""
    start, amounts = columns("population_payment", table, "risk_from", "amount")
    if start[0] != 0 or (np.diff(start) <= 0).any():
        raise PaymentError("population_payment has a gap or an overlap; let risk_from begin at 0 and rise.")
    return start, amounts
