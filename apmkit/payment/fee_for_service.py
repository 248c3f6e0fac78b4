"""Fee-for-service and salary: the two ways of payment that others are compared with, in both countries."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.inputs import check_practices, per_practice
from apmkit.payment.practices import Practices
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import as_day


def fee_for_service(practices: Practices, *, on: str | datetime.date) -> Payment:
    """A fee for each service.

    The amounts are those of the table of patients. What is in the basket of services that capitation covers, and what
    is done after hours, is shown apart, so that the components stand beside those of other models.

    Parameters
    ----------
    practices : Practices
        With the column `fees` of patients; `fees_after_hours` and `fees_outside_basket` are used where given.
    on : str or date
        A day of the year paid. No dated rule enters, since the fees are given.

    Returns
    -------
    Payment
        Components `fees_in_basket`, `fees_after_hours` and `fees_outside_basket`; details `patients` and
        `per_patient`.

    Raises
    ------
    PaymentError
        A column is absent or holds a value that is no fee.

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": ["A", "A"], "age": [70, 34], "sex": ["F", "M"], "fees": [300.0, 120.0],
    ...                          "fees_after_hours": [50.0, 0.0]})
    >>> practices = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="Canada")
    >>> fee_for_service(practices, on="2019-01-01").table.loc["A"].to_dict()
    {'fees_in_basket': 370.0, 'fees_after_hours': 50.0, 'total': 420.0}
    """
    check_practices(practices)
    components = fees_of(practices)
    return Payment.from_components(
        model="Fee-for-service",
        currency=practices.currency,
        components=components,
        index=practices.index,
        details=pd.DataFrame(
            {"patients": practices.n_patients, "per_patient": sum(components.values()) / practices.n_patients},
            index=practices.index,
        ),
        notes=(
            f"The fees are those of the table of patients, taken as the ones in force on {as_day(on)}.",
            *practices.notes,
        ),
    )


def fees_of(practices: Practices, patients: np.ndarray | bool = True) -> dict[str, np.ndarray]:
    """Fees by component and practice; those in the basket only of `patients` (a mask), those outside it of all."""
    fees = practices.patient("fees")
    components = {"fees_in_basket": fees * patients}
    if "fees_after_hours" in practices.patients:
        after_hours = practices.patient("fees_after_hours")
        if (wrong := after_hours > fees).any():
            row = int(np.argmax(wrong))
            raise PaymentError(
                f"fees_after_hours is {after_hours[row]:g} in row {row + 1} of patients, above fees of {fees[row]:g}, "
                "which include it; add it to fees."
            )
        components = {
            "fees_in_basket": (fees - after_hours) * patients,
            "fees_after_hours": after_hours * patients,
        }
    if "fees_outside_basket" in practices.patients:
        components["fees_outside_basket"] = practices.patient("fees_outside_basket")
    return {name: practices.sums(values) for name, values in components.items()}


def salary(practices: Practices, *, on: str | datetime.date, salary, overhead=0.0) -> Payment:
    """A salary for each physician, whatever is done.

    Ontario's community health centres are paid like this: a salaried team on a programme budget, governed by its
    community. No rate is part of apmkit, so the user gives them.

    Parameters
    ----------
    practices : Practices
        Any patients; they change nothing.
    on : str or date
        A day of the year paid. No dated rule enters, since the salary is given.
    salary : float, array of shape (n,) or Series by practice
        Of one physician for the year.
    overhead : float, array of shape (n,) or Series by practice
        Budget of the practice for staff and rooms for the year, for each physician.

    Returns
    -------
    Payment
        Components `salary` and `overhead`; details `physicians` and `patients`.

    Raises
    ------
    PaymentError
        A salary or an overhead is negative, or missing for a practice.

    References
    ----------
    Institute for Clinical Evaluative Sciences (2012), report on Ontario's primary care models, p. 10.

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": ["A"], "age": [70], "sex": ["F"]})
    >>> practices = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [2]}), country="Canada")
    >>> salary(practices, on="2019-01-01", salary=200_000).total["A"]
    np.float64(400000.0)
    """
    check_practices(practices)
    physicians = practices.practice("physicians")
    return Payment.from_components(
        model="Salary",
        currency=practices.currency,
        components={
            "salary": physicians * per_practice(salary, "salary", practices),
            "overhead": physicians * per_practice(overhead, "overhead", practices),
        },
        index=practices.index,
        details=pd.DataFrame({"physicians": physicians, "patients": practices.n_patients}, index=practices.index),
        notes=(
            f"Salary and overhead are given by the user for the year of {as_day(on)}; no published rate enters.",
            *practices.notes,
        ),
    )
