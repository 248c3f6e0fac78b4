"""Risk adjustment of capitation: whom it pays too little, what a cap does, and what better coding costs."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.inputs import check_practices, per_practice
from apmkit.payment.model_comparison import quantile_groups
from apmkit.payment.practices import Practices

_MOST_YEARS = 100
_AGE_BANDS = np.array([1, 18, 35, 50, 65, 70, 75, 80, 85])


def risk_adjustment_effect(
    practices: Practices, *, growth=0.05, cap: float = 0.03, by: str = "patients", groups: int = 5
) -> pd.DataFrame:
    """Capitation against what care costs, by risk group, under four ways to adjust it.

    All pay for total cost of care, `spending`, and the first three the same in all:

    * ``none``: the same for each patient;
    * ``age_sex``: the mean of the patient's age band and sex;
    * ``morbidity``: in proportion to the risk score;
    * ``morbidity_capped``: likewise, but the mean score of a practice counts only up to `cap` above that of a base
      year. Scores fallen since then are paid as they are: the cap limits growth alone.

    The risk score of synthetic patients causes their spending, so that it predicts better than any real score: read
    errors on them as what is left at best.

    Parameters
    ----------
    practices : Practices
        With `risk_score` and `spending`.
    growth : float, array of shape (n,) or Series by practice
        True growth of the mean risk score since the base year.
    cap : float
        Growth that is paid at most; 0.03 for the 3 % of the Shared Savings Program (42 CFR 425.605).
    by : str
        Groups of "patients" by risk score, or of "practices" by mean risk score.
    groups : int
        Number of groups of the same size, the first with the lowest risk.

    Returns
    -------
    DataFrame
        By `method` and `group`: `patients`, `risk` (mean score), `spending` and `payment` (mean per patient), `error`
        (payment less spending), `error_share` (of spending).

    Raises
    ------
    PaymentError
        A column is missing, nothing is spent, a share is not one, or there are too many groups.
    """
    check_practices(practices)
    risk, spending = practices.patient("risk_score"), practices.patient("spending")
    if not spending.sum():
        raise PaymentError("The spending of all patients is 0: risk adjustment needs what care costs.")
    _check_share("cap", cap)
    growth = _rise(growth, "growth", practices)
    mean = spending.mean()
    per_point = mean / risk.mean()
    paid = np.minimum(1, (1 + cap) / (1 + growth))[practices.rows]
    payments = {
        "none": np.full(len(risk), mean),
        "age_sex": _cell_means(practices, spending),
        "morbidity": per_point * risk,
        "morbidity_capped": per_point * risk * paid,
    }
    if by == "patients":
        group = quantile_groups(risk, groups, "patients")
    elif by == "practices":
        group = quantile_groups(practices.sums(risk) / practices.n_patients, groups, "practices")[practices.rows]
    else:
        raise PaymentError(f"by={by!r} is unknown: write patients or practices.")
    tables = []
    for payment in payments.values():
        frame = pd.DataFrame({"group": group, "risk": risk, "spending": spending, "payment": payment})
        table = frame.groupby("group").mean()
        table.insert(0, "patients", frame["group"].value_counts().sort_index())
        table["error"] = table["payment"] - table["spending"]
        table["error_share"] = table["error"] / table["spending"].where(table["spending"] > 0)
        tables.append(table)
    return pd.concat(tables, keys=list(payments), names=["method"])


def coding_drift(practices: Practices, *, drift=0.02, years: int = 5, cap: float = 0.03) -> pd.DataFrame:
    """Money paid for risk scores that rise by more complete coding, while patients are no sicker.

    In year t the scores of a practice have risen by ``(1 + drift)^t``. A payer pays spending per point of risk

    * ``uncapped``: as coded;
    * ``capped``: mean score of a practice up to `cap` above that of year 0;
    * ``normalised``: as coded, divided by the growth of the mean score of all practices;
    * ``normalised_capped``: normalised first, then capped.

    Parameters
    ----------
    practices : Practices
        With `risk_score` and `spending`, those of year 0.
    drift : float, array of shape (n,) or Series by practice
        Rise of scores a year.
    years : int
        1 to 100.
    cap : float
        Growth since year 0 that is paid at most.

    Returns
    -------
    DataFrame
        By `method` and `year`: `score` (mean, as coded), `payment` (total), `overpayment` (against scores without
        drift), `overpayment_share`, and `moved` (what practices gain or lose beyond their share of the overpayment:
        half the sum of absolute differences).

    Raises
    ------
    PaymentError
        A column is missing, nothing is spent, a share is not one, or there is no year.

    Examples
    --------
    >>> from apmkit.payment import synthetic_practices
    >>> practices = synthetic_practices(n_practices=4, patients_per_physician=50)
    >>> drift = coding_drift(practices, drift=0.02, years=3)
    >>> drift.xs(3, level="year")["overpayment_share"].round(4).tolist()
    [0.0612, 0.03, 0.0, 0.0]
    """
    check_practices(practices)
    _check_share("cap", cap)
    if not isinstance(years, Integral) or not 1 <= years <= _MOST_YEARS:
        raise PaymentError(f"years={years!r} cannot be paid: give a whole number from 1 to {_MOST_YEARS}.")
    drift = _rise(drift, "drift", practices)
    risk, spending = practices.sums(practices.patient("risk_score")), practices.patient("spending").sum()
    if not spending:
        raise PaymentError("The spending of all patients is 0: the money paid for risk needs what care costs.")
    owed = spending * (risk / risk.sum())
    year = np.arange(years + 1)[:, None]
    coded = (1 + drift) ** year
    overall = (coded * risk).sum(axis=1, keepdims=True) / risk.sum()
    factors = {
        "uncapped": coded,
        "capped": np.minimum(coded, 1 + cap),
        "normalised": coded / overall,
        "normalised_capped": np.minimum(coded / overall, 1 + cap),
    }
    tables = []
    for factor in factors.values():
        paid = factor * owed
        total = paid.sum(axis=1)
        table = pd.DataFrame({"score": overall.ravel() * risk.sum() / len(practices.rows), "payment": total})
        table["overpayment"] = total - spending
        table["overpayment_share"] = table["overpayment"] / spending
        table["moved"] = np.abs(paid - owed * (total / spending)[:, None]).sum(axis=1) / 2
        tables.append(table.rename_axis("year"))
    return pd.concat(tables, keys=list(factors), names=["method"])


def _cell_means(practices, spending):
    band = np.searchsorted(_AGE_BANDS, practices.patient("age"), side="right")
    cell = 2 * band + (practices.patients["sex"] == "F").to_numpy()
    return (np.bincount(cell, spending) / np.maximum(np.bincount(cell), 1))[cell]


def _check_share(name, value):
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise PaymentError(f"{name}={value!r} is no share: give 0.03 for 3 %.")


def _rise(values, name, practices):
    return per_practice(values, name, practices, least=-0.99, most=1.0)
