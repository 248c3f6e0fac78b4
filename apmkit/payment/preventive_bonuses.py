"""Preventive bonuses of Ontario: fixed amounts for reaching a share of the enrolled patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from apmkit.errors import PaymentError
from apmkit.payment.practices import Practices
from apmkit.payment.rulebook import RulesInForce
from apmkit.payment.tables import columns, has_optional

_ROUNDING = 1e-9  # a rate of 0.7 may arrive as 0.6999999999999999


def preventive_bonus(rates, steps: Sequence[Mapping[str, float]]) -> np.ndarray:
    """The bonus of one physician at each rate: that of the highest step reached, nothing below the first.

    Parameters
    ----------
    rates : array of float
        Shares of the patients who were due and had the service, from 0 to 1.
    steps : list of mappings
        `at_least` (a share) and `bonus` (money), from the lowest step to the highest.

    Raises
    ------
    PaymentError
        The steps do not rise, are not shares, or lack their bonus.

    Examples
    --------
    >>> preventive_bonus([0.59, 0.60, 0.9], [{"at_least": 0.6, "bonus": 220}, {"at_least": 0.8, "bonus": 2200}])
    array([   0.,  220., 2200.])
    """
    at_least, bonus = columns("a preventive bonus", steps, "at_least", "bonus")
    if (np.diff(at_least) <= 0).any() or not ((at_least > 0) & (at_least <= 1)).all():
        raise PaymentError(f"The steps of a bonus must rise from above 0 to at most 1; they are {at_least.tolist()}.")
    return np.append(0.0, bonus)[np.searchsorted(at_least, np.asarray(rates, dtype=float) + _ROUNDING, side="right")]


def preventive_bonuses(
    practices: Practices, terms: RulesInForce, categories: Sequence[str], share: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Bonuses of each practice, summed over its categories, and what to note.

    The rate of a category is the practice column `rate_<category>`, for instance `rate_flu65`; every physician of a
    practice is taken to have the practice's rate. A category without a column is not paid, and noted.

    Parameters
    ----------
    practices : Practices
    terms : RulesInForce
        Of the rules `ontario`; each category has its steps as `preventive.<category>`.
    categories : list of str
        The categories paid in this model on that day.
    share : array of float
        Share of the bonus that each practice is paid because of the size of its roster.
    """
    total, absent = np.zeros(len(practices.index)), []
    for category in categories:
        column = f"rate_{category}"
        if not has_optional(practices.practices, column, "practices"):
            absent.append(column)
            continue
        total += preventive_bonus(practices.practice(column), terms[f"preventive.{category}"])
    notes = [f"No preventive bonus is paid for want of the practice columns {', '.join(absent)}."] if absent else []
    return total * share * practices.practice("physicians"), notes
