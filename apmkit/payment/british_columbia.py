"""British Columbia's Longitudinal Family Physician model: pay for time, for visits and for the panel."""

from __future__ import annotations

import datetime
from numbers import Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.inputs import rules_in_force
from apmkit.payment.practices import Practices, of_others
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook


def bc_lfp(
    practices: Practices,
    *,
    on: str | datetime.date,
    rules: Rulebook | None = None,
    complex_from: float = 1.0,
) -> Payment:
    """One year of the Longitudinal Family Physician model at the rates of its launch.

    Payment = hours x hourly rate + visits x visit rate + patients with medical complexity x least complexity payment.
    Hours that count are those with patients, those of care without the patient (results, letters, calls) and those of
    clinical administration. A visit is paid the same however long it takes. Sources state the payment for complexity
    as "at least" its rate, so the panel payment is a lower bound. The rates were those of 1 February 2023; later
    schedules are not among the rules.

    Parameters
    ----------
    practices : Practices
        Canadian. Patient columns: `enrolled` (on the panel), `risk_score`, `visits`, `months`. Practice column:
        `hours`, those that count, of all physicians in the year.
    on : str or date
        The day whose rules pay, YYYY-MM-DD; from February 2023.
    rules : Rulebook, optional
        The shipped rules `bc_lfp` unless given.
    complex_from : float
        Lowest `risk_score` of a patient with medical complexity, an assumption: sources do not define it.

    Returns
    -------
    Payment
        Details: patients on the panel and those with complexity, panel per physician, share of visits by patients
        outside the panel, and whether the practice meets the conditions of panel and share.

    Raises
    ------
    PaymentError
        A column is missing, `complex_from` is negative, or the practices are not Canadian.
    RulesError
        The model was not in force on that day.

    References
    ----------
    European Observatory on Health Systems and Policies, Health Systems Monitor, "New physician payment model in
    British Columbia", citing Lavergne (2022); British Columbia Ministry of Health, page on the model.

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": "A", "age": [40, 70], "sex": ["F", "M"], "enrolled": True,
    ...     "risk_score": [0.5, 1.5], "visits": [2, 4]})
    >>> practice = Practices(
    ...     patients, pd.DataFrame({"practice": ["A"], "physicians": [1], "hours": [3.0]}), country="Canada")
    >>> bc_lfp(practice, on="2023-02-01").table.iloc[0].to_dict()
    {'time': 390.0, 'visits': 150.0, 'panel_complexity': 34.0, 'total': 574.0}
    """
    if not isinstance(complex_from, Real) or not complex_from >= 0:
        raise PaymentError(f"complex_from is {complex_from!r}; give a risk score of 0 or more.")
    terms = rules_in_force("bc_lfp", rules, on, practices)
    panel, all_visits = practices.total("enrolled"), practices.total("visits")
    complexity = {"of": _complex, "terms": (float(complex_from),)}
    per_physician = panel / practices.practice("physicians")
    outside = practices.total("visits", "enrolled", of=of_others) / np.where(all_visits, all_visits, 1)
    eligible = (per_physician >= terms["least_panel"]) & (outside <= terms["most_outside_panel"])
    notes = [
        *practices.notes,
        "Rates are those of the launch on 1 February 2023; later ones are not known here.",
        "The payment for complexity is a lower bound, and which patients are complex is an assumption.",
    ]
    if not eligible.all():
        notes.append(f"{(~eligible).sum()} of {len(eligible)} practices miss a condition of the model.")
    return Payment.from_components(
        model=f"British Columbia LFP, rules of {terms.day}",
        currency=practices.currency,
        components={
            "time": terms["hourly_rate"] * practices.practice("hours"),
            "visits": terms["visit_rate"] * all_visits,
            "panel_complexity": terms["complexity_rate"]
            * practices.total("enrolled", "risk_score", "months", **complexity),
        },
        index=practices.index,
        details=pd.DataFrame(
            {
                "panel": panel,
                "complex_patients": practices.total("enrolled", "risk_score", **complexity),
                "panel_per_physician": per_physician,
                "share_outside_panel": outside,
                "eligible": eligible,
            },
            index=practices.index,
        ),
        terms=[terms],
        notes=notes,
    )


def _complex(enrolled: np.ndarray, risk: np.ndarray, *others) -> np.ndarray:
    """Whether each patient is on the panel and complex; with months, for what part of the year."""
    *months, complex_from = others
    complexity = enrolled * (risk >= complex_from)
    return complexity * months[0] / 12 if months else complexity
