"""How much an ACO must save before it shares, by its number of assigned beneficiaries."""

from __future__ import annotations

import datetime

import numpy as np
from numpy.typing import ArrayLike

from apmkit.errors import PaymentError
from apmkit.options import numbers
from apmkit.payment.rulebook import Rulebook, RulesInForce, rules_on


def minimum_savings_rate(
    n_assigned: ArrayLike, *, on: str | datetime.date = "2023-12-31", rules: Rulebook | None = None
) -> np.ndarray | float:
    """Minimum savings rate of a one-sided ACO, or the variable rate that a two-sided ACO can choose.

    The rule gives rates at both ends of classes of size; between them the rate falls on a straight line. Small
    populations vary more by chance, so they must save more.

    Parameters
    ----------
    n_assigned : array-like
        Assigned beneficiaries, at least 1.
    on : str or date
        Day on which the rule is read.
    rules : Rulebook, optional
        Rules to use in place of the shipped ones.

    Returns
    -------
    numpy.ndarray or float
        Share of the benchmark, in the shape of `n_assigned`.

    Raises
    ------
    PaymentError
        A number of beneficiaries is missing or below 1.

    References
    ----------
    42 CFR 425.604(b) and 425.605(b)(1).

    Examples
    --------
    >>> minimum_savings_rate([5000, 8238, 60000]).round(4)
    array([0.039 , 0.0318, 0.02  ])
    """
    return rate_of_size(n_assigned, rules_on(on, "mssp", rules))


def rate_of_size(n_assigned: ArrayLike, terms: RulesInForce) -> np.ndarray | float:
    """`minimum_savings_rate` under rules already read."""
    n = sizes_of(n_assigned)
    table = terms["minimum_savings_rate.table"]
    start, end, high, low = (
        np.array([row[part] if row[part] is not None else np.inf for row in table], dtype=float)
        for part in ("from", "to", "rate_at_from", "rate_at_to")
    )
    row = np.clip(np.searchsorted(start, n, side="right") - 1, 0, None)
    rate = high[row] - np.minimum((n - start[row]) / (end - start)[row], 1) * (high - low)[row]
    return rate if n.ndim else float(rate)


def sizes_of(n_assigned: ArrayLike) -> np.ndarray:
    """Numbers of assigned beneficiaries, each at least 1."""
    n = numbers(n_assigned, "n_assigned")
    if (wrong := ~(np.isfinite(n) & (n >= 1))).any():
        raise PaymentError(f"A number of assigned beneficiaries is {n[wrong].flat[0]:g}; give at least 1 for each ACO.")
    return n
