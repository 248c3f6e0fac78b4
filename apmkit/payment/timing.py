"""When the components of a year's payment arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from apmkit.errors import PaymentError

_YEAR = tuple(range(1, 13))
_LONGEST = 120


@dataclass(frozen=True)
class Timing:
    """The months of the year for which equal parts of a component are paid, and when they arrive.

    Parameters
    ----------
    months : tuple of int
        Months of the year, 1 to 12, in order.
    lag : int
        Months between the month paid for and the month of arrival.
    at_start : bool
        Whether money arrives on the first day of its month, before that month's costs, or on the last.

    Raises
    ------
    PaymentError
        A month is not one of the year, the months are out of order, or the lag is negative.

    Examples
    --------
    >>> Timing((3, 6, 9, 12), lag=3).arrivals
    array([ 6,  9, 12, 15])
    """

    months: tuple[int, ...]
    lag: int = 0
    at_start: bool = False

    def __post_init__(self):
        months = tuple(self.months) if isinstance(self.months, Iterable) else ()
        if not months or sorted(set(months)) != list(months) or not set(months) <= set(_YEAR):
            raise PaymentError(f"months={self.months!r} of a timing must be months from 1 to 12 in order, each once.")
        object.__setattr__(self, "months", months)
        object.__setattr__(self, "lag", whole_months(self.lag, "lag"))

    @property
    def arrivals(self) -> np.ndarray:
        """Month of arrival of each part, 1 the first of the year; above 12 in the next."""
        return np.array(self.months) + self.lag

    def split(self, cents: np.ndarray) -> np.ndarray:
        """Amounts in whole cents, shape (n,), cut into equal parts, shape (n, parts), that add up to them exactly.

        Cents that are left over go to the first parts, the method of the largest remainder with equal shares.
        """
        parts = len(self.months)
        whole, left = np.divmod(np.abs(cents)[:, None], parts)
        return np.sign(cents)[:, None] * (whole + (np.arange(parts) < left))


def whole_months(value, name: str) -> int:
    """A number of months, refused where it is negative or broken."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= value <= _LONGEST:
        raise PaymentError(f"{name}={value!r} must be a whole number of months, 0 to {_LONGEST}.")
    return int(value)


CLAIMS = Timing(_YEAR, lag=1)
"""Claims are paid a month later: an assumption; Medicare needs about two weeks, a practice's billing as much again."""
MONTHLY = Timing(_YEAR)
IN_ADVANCE_MONTHLY = Timing(_YEAR, at_start=True)
IN_ADVANCE_QUARTERLY = Timing((1, 4, 7, 10), at_start=True)
IN_ADVANCE = Timing((1,), at_start=True)
AFTER_QUARTER = Timing((3, 6, 9, 12), lag=3)
AFTER_HALF_YEAR = Timing((6, 12), lag=3)
AFTER_YEAR = Timing((12,), lag=3)
SETTLEMENT = Timing((12,), lag=9)
"""A settlement of the year in September of the next: an assumption for what is measured after the year's end."""

TIMING: Mapping[str, Timing] = {
    # Fee-for-service and salary.
    "fees_in_basket": CLAIMS,
    "fees_after_hours": CLAIMS,
    "fees_outside_basket": CLAIMS,
    "salary": MONTHLY,
    "overhead": MONTHLY,
    # CPC+: fees quarterly in advance (American Academy of Family Physicians, Comprehensive Primary Care Plus), the
    # incentive at the start of the year (Frier Levitt). That the upfront payment comes with the fees is assumed.
    "care_management_fee": IN_ADVANCE_QUARTERLY,
    "upfront_payment": IN_ADVANCE_QUARTERLY,
    "incentive_in_advance": IN_ADVANCE,
    "incentive_repaid": SETTLEMENT,
    "claims_reduction": CLAIMS,
    # Primary Care First: population payment and adjustment quarterly; that the adjustment comes a quarter later is
    # assumed.
    "population_payment": IN_ADVANCE_QUARTERLY,
    "leakage_cut": IN_ADVANCE_QUARTERLY,
    "visit_fees": CLAIMS,
    "performance_adjustment": AFTER_QUARTER,
    # Canada: capitation is monthly (Ontario Ministry of Health, page on FHG and FHO); that it comes on the first day,
    # and when all else comes, is assumed.
    "base_capitation": IN_ADVANCE_MONTHLY,
    "capitation": IN_ADVANCE_MONTHLY,
    "comprehensive_care": IN_ADVANCE_MONTHLY,
    "roster_disincentive": IN_ADVANCE_MONTHLY,
    "fees": CLAIMS,
    "fees_not_enrolled": CLAIMS,
    "blended_fees": CLAIMS,
    "shadow_billing": CLAIMS,
    "comprehensive_premium": CLAIMS,
    "after_hours_premium": CLAIMS,
    "negation": CLAIMS,
    "time": CLAIMS,
    "visits": CLAIMS,
    "panel_complexity": AFTER_QUARTER,
    "access_bonus": AFTER_HALF_YEAR,
    "preventive_bonuses": AFTER_YEAR,
}
"""The timing of each component, by its name."""
