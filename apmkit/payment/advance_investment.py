"""Advance investment payments of the Medicare Shared Savings Program: money before savings, paid back out of them."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, RulesInForce, rules_on
from apmkit.payment.tables import Table, columns

_MONTHS_OF_QUARTER = 3
_NOTES = (
    "The assigned beneficiaries are taken to stay the same over all quarters.",
    "Whether an ACO is new, low-revenue and inexperienced with performance-based risk is not checked.",
)


def advance_investment_payments(
    assigned: pd.DataFrame, *, on: str | datetime.date, rules: Rulebook | None = None, by: str = "aco"
) -> Payment:
    """What a new ACO is paid in advance: once at its start, then each quarter by the scores of its beneficiaries.

    A beneficiary with Medicaid or the Part D low-income subsidy scores 100, any other the national percentile rank of
    the Area Deprivation Index at home. The score sets the amount a quarter; beneficiaries count up to a limit, the
    highest scores first.

    Parameters
    ----------
    assigned : DataFrame
        Assigned beneficiaries, one row each, or for groups of the same score with their number in `beneficiaries`:
        `aco` (or the column named by `by`); `score` (1 to 100), or `low_income` (Medicaid or the subsidy, true or
        false) and `deprivation` (national percentile rank, 1 to 100; missing where the address has none, which scores
        50).
    on : str or date
        First day of the agreement period.
    rules : Rulebook, optional
        Default: those that ship with apmkit.
    by : str
        The column that names who is paid, for instance "practice".

    Returns
    -------
    Payment
        One row per ACO. Components: `one_time`, `quarter_1` to `quarter_8`. Details: `beneficiaries`,
        `beneficiaries_counted`, `mean_score` (of those counted), `usd_per_beneficiary` (a quarter, of those counted).

    Raises
    ------
    PaymentError
        A column is missing, a score is no whole number from 1 to 100, or an ACO has no beneficiaries.
    RulesError
        The agreement began before 2024.

    References
    ----------
    42 CFR 425.630(f).

    Examples
    --------
    >>> assigned = pd.DataFrame({"aco": ["A1", "A1"], "score": [100, 30], "beneficiaries": [4000, 8000]})
    >>> payment = advance_investment_payments(assigned, on="2024-01-01")
    >>> payment.table.loc["A1", ["one_time", "quarter_1", "quarter_8"]].tolist()
    [250000.0, 300000.0, 300000.0]
    >>> payment.details.loc["A1", "beneficiaries_counted"].item()
    10000.0
    """
    terms = rules_on(on, "mssp", rules)
    table = Table(assigned, "assigned beneficiaries", by)
    codes, names = table.groups()
    people = table.numbers("beneficiaries", least=0) if "beneficiaries" in table else np.ones(len(assigned))
    total = np.bincount(codes, people)
    if (empty := total == 0).any():
        raise PaymentError(f"{by} {names[int(np.argmax(empty))]} has no assigned beneficiaries; leave it out.")
    score = _scores(table, terms)
    counted = _highest_first(codes, score, people, terms["advance_investment.beneficiary_limit"])
    paid = counted * _by_score(score, terms["advance_investment.payment_by_score"])
    quarterly, n_counted = np.bincount(codes, paid), np.bincount(codes, counted)
    one_time = np.full(len(names), terms["advance_investment.one_time"], dtype=float)
    quarters = {f"quarter_{n}": quarterly for n in range(1, terms["advance_investment.quarters"] + 1)}
    details = pd.DataFrame(
        {
            "beneficiaries": total,
            "beneficiaries_counted": n_counted,
            "mean_score": np.bincount(codes, counted * score) / n_counted,
            "usd_per_beneficiary": quarterly / n_counted,
        },
        index=names,
    )
    return Payment.from_components(
        model="Advance investment payments",
        currency="USD",
        components={"one_time": one_time, **quarters},
        index=names,
        details=details,
        terms=[terms],
        notes=_NOTES,
    )


def advance_by_month(payment: Payment) -> pd.DataFrame:
    """Advance investment payments by month of the agreement period, as `cash_flow` takes them in `extra`.

    Parameters
    ----------
    payment : Payment
        From `advance_investment_payments`.

    Returns
    -------
    DataFrame
        One row per ACO, one column per month from 1. The one-time payment comes in month 1, as the rule says; that each
        quarter's comes in its first month is an assumption, since the rule names no month.

    Raises
    ------
    PaymentError
        The payment is not from `advance_investment_payments`.

    Examples
    --------
    >>> assigned = pd.DataFrame({"aco": ["A1"], "score": [100], "beneficiaries": [1000]})
    >>> advance_by_month(advance_investment_payments(assigned, on="2024-01-01")).loc["A1", [1, 2, 4]].tolist()
    [295000.0, 0.0, 45000.0]
    """
    quarters = [name for name in payment.components if name.startswith("quarter_")]
    if not quarters or "one_time" not in payment.components:
        raise PaymentError(f"{payment.model} has no one-time payment and quarters; give an advance investment payment.")
    months = np.zeros((len(payment.table), _MONTHS_OF_QUARTER * len(quarters)))
    months[:, ::_MONTHS_OF_QUARTER] = payment.table[quarters]
    months[:, 0] += payment.table["one_time"]
    return pd.DataFrame(months, index=payment.table.index, columns=pd.RangeIndex(1, months.shape[1] + 1, name="month"))


def recoup_advance(
    balance: pd.Series, shared_savings: pd.DataFrame, *, on: str | datetime.date, rules: Rulebook | None = None
) -> pd.DataFrame:
    """Pay an advance back out of shared savings, year after year, until nothing is left; losses take nothing.

    Parameters
    ----------
    balance : Series
        What each ACO has been advanced, USD.
    shared_savings : DataFrame
        What each ACO (row) earned by settlement in each year (column), USD; negative where it owed losses.
    on : str or date
        First day of the agreement period.
    rules : Rulebook, optional
        Default: those that ship with apmkit.

    Returns
    -------
    DataFrame
        One row per ACO and year: `shared_savings`, `recouped`, `paid` (what is left to the ACO), `balance` (after it).

    Raises
    ------
    PaymentError
        A balance is negative or missing, an amount is no number, or the two are not of the same ACOs.

    References
    ----------
    42 CFR 425.630(g).

    Examples
    --------
    >>> years = pd.DataFrame({2024: [-50_000.0], 2025: [400_000.0], 2026: [900_000.0]}, index=["A1"])
    >>> recoup_advance(pd.Series({"A1": 1_000_000.0}), years, on="2024-01-01")["balance"].tolist()
    [1000000.0, 600000.0, 0.0]
    """
    share = rules_on(on, "mssp", rules)["advance_investment.recoupment"]
    if not (isinstance(balance, pd.Series) and isinstance(shared_savings, pd.DataFrame)):
        raise PaymentError("balance must be a Series by ACO and shared_savings a DataFrame of ACOs by year.")
    if not balance.index.equals(shared_savings.index) or not balance.index.is_unique:
        raise PaymentError("balance and shared_savings must have the same ACOs in the same order, each once.")
    earned = np.rint(100 * _amounts(shared_savings, "shared_savings"))
    advanced = np.rint(100 * _amounts(balance, "balance"))
    if (wrong := advanced < 0).any():
        row = int(np.argmax(wrong))
        raise PaymentError(f"balance of {balance.index[row]} is {balance.iloc[row]:,.2f}; what is owed is 0 or more.")
    taken = np.minimum(np.rint(share * np.maximum(earned, 0)).cumsum(axis=1), advanced[:, None])
    recouped = np.diff(taken, axis=1, prepend=0)
    columns = {
        "shared_savings": earned,
        "recouped": recouped,
        "paid": earned - recouped,
        "balance": advanced[:, None] - taken,
    }
    index = pd.MultiIndex.from_product([balance.index, shared_savings.columns], names=["aco", "year"])
    return pd.DataFrame({name: cents.ravel() / 100 for name, cents in columns.items()}, index=index)


def _amounts(values: pd.DataFrame | pd.Series, name: str) -> np.ndarray:
    try:
        amounts = values.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise PaymentError(f"{name} is not numeric; give USD.") from None
    if not np.isfinite(amounts).all():
        raise PaymentError(f"{name} has missing or infinite amounts; give 0 where there is none.")
    return amounts


def _scores(table: Table, terms: RulesInForce) -> np.ndarray:
    if "score" in table:
        score = table.numbers("score", least=1, most=100)
    else:
        low_income = table.flags("low_income")
        rank = _ranks(table, terms)
        score = np.where(low_income, terms["advance_investment.dual_score"], rank)
    if (broken := score != np.floor(score)).any():
        raise PaymentError(f"A score is {score[broken][0]:g}; give whole numbers from 1 to 100.")
    return score


def _ranks(table: Table, terms: RulesInForce) -> np.ndarray:
    """Ranks of deprivation; where an address could not be matched, the score that stands in for one."""
    if "deprivation" in table and (unknown := table.frame["deprivation"].isna()).any():
        given = table.frame["deprivation"].mask(unknown, terms["advance_investment.unknown_score"])
        table = Table(table.frame.assign(deprivation=given), table.what, table.row)
    return table.numbers("deprivation", least=1, most=100)


def _highest_first(codes: np.ndarray, score: np.ndarray, people: np.ndarray, limit: float) -> np.ndarray:
    """How many of each row count when those with the highest scores come first and `limit` count in all."""
    order = np.lexsort((-score, codes))
    before = np.cumsum(people[order]) - people[order]
    first = np.flatnonzero(np.diff(codes[order], prepend=-1))
    before -= np.repeat(before[first], np.diff(np.append(first, len(codes))))
    counted = np.empty_like(people)
    counted[order] = np.clip(limit - before, 0, people[order])
    return counted


def _by_score(score: np.ndarray, bands: list[dict]) -> np.ndarray:
    start, end, usd = columns("advance_investment.payment_by_score", bands, "from", "to", "usd")
    if start[0] != 1 or end[-1] != 100 or (start[1:] != end[:-1] + 1).any():
        raise PaymentError(
            "advance_investment.payment_by_score has a gap or an overlap; its bands must go from 1 to 100."
        )
    return usd[np.searchsorted(start, score, side="right") - 1]
