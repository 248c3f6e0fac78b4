"""Cash by month: when a payment model's money arrives, what a practice spends meanwhile, and what it needs to start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from apmkit.columns import count
from apmkit.errors import PaymentError
from apmkit.payment.fee_for_service import fees_of
from apmkit.payment.inputs import check_practices, per_practice
from apmkit.payment.practices import Practices
from apmkit.payment.result import Payment
from apmkit.payment.timing import CLAIMS, MONTHLY, TIMING, Timing, whole_months

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MONTHS = 12
_LARGEST = 1e12


@dataclass(frozen=True, eq=False)
class Costs:
    """What it costs to run a practice; each a number, or one for each practice.

    Parameters
    ----------
    per_physician : float, array of shape (n,) or Series by practice
        Fixed costs a month for each physician: staff, rooms, and what physicians pay themselves.
    per_visit : float, array of shape (n,) or Series by practice
        Costs of a visit.
    note : str
        Where they come from.
    """

    per_physician: float | np.ndarray | pd.Series
    per_visit: float | np.ndarray | pd.Series
    note: str = "Costs are given by the user."

    @classmethod
    def illustrative(cls, practices: Practices, fixed_share: float = 0.8) -> Costs:
        """Assumed costs at which the practices together just break even under fee-for-service.

        Not measured costs: they make what is left a matter of timing and of what a model pays beside fees.

        Parameters
        ----------
        practices : Practices
            With the columns `fees` and `visits` of patients.
        fixed_share : float
            Share of costs that does not depend on visits, assumed.

        Raises
        ------
        PaymentError
            The share is not one, or there are no visits to spread costs over.
        """
        check_practices(practices)
        if not 0 <= fixed_share <= 1:
            raise PaymentError(f"fixed_share={fixed_share!r} must be a share from 0 to 1.")
        revenue = sum(fees.sum() for fees in fees_of(practices).values())
        visits = practices.patient("visits").sum()
        if fixed_share < 1 and not visits:
            raise PaymentError("No patient has a visit, so no cost can depend on visits; take fixed_share=1.")
        per_physician = fixed_share * revenue / (_MONTHS * practices.practice("physicians").sum())
        per_visit = (1 - fixed_share) * revenue / visits if visits else 0.0
        return cls(
            round(per_physician, 2),
            round(per_visit, 2),
            f"Costs are an assumption: {per_physician:,.0f} {practices.currency} a month for each physician and "
            f"{per_visit:,.2f} a visit, at which these practices together break even under fee-for-service.",
        )


@dataclass(frozen=True, eq=False)
class CashFlow:
    """Cash of each practice by month.

    Attributes
    ----------
    model : str
    currency : str
    table : DataFrame
        By practice and month (1 the first): what each component brings, `fixed_costs` and `visit_costs` (negative),
        `lowest`, the balance before the money that comes on the last day, and `balance`, that at the month's end.
    opening_cash : Series
        By practice.
    notes : tuple of str
        What a reader must know beside the numbers.
    """

    model: str
    currency: str
    table: pd.DataFrame
    opening_cash: pd.Series
    notes: tuple[str, ...]

    @property
    def balance(self) -> pd.DataFrame:
        """Balance at the end of each month: practices by month."""
        return self._by_month(self.table["balance"])

    @property
    def by_practice(self) -> pd.DataFrame:
        """By practice: `opening_cash`, `received`, `costs`, `closing_balance`; `lowest_balance` and `lowest_month`, the
        month of it; `months_below_zero`; and `working_capital`, the opening cash with which it would never be below."""
        lowest = self._by_month(self.table[["lowest", "balance"]].min(axis=1))
        costs = self._by_month(-self.table[["fixed_costs", "visit_costs"]].sum(axis=1)).sum(axis=1)
        closing = self.balance.iloc[:, -1]
        # Sums of floats that stand for whole cents are rounded back to them.
        return pd.DataFrame(
            {
                "opening_cash": self.opening_cash,
                "received": (closing - self.opening_cash + costs).round(2),
                "costs": costs.round(2),
                "closing_balance": closing,
                "lowest_balance": lowest.min(axis=1),
                "lowest_month": lowest.idxmin(axis=1),
                "months_below_zero": (lowest < 0).sum(axis=1),
                "working_capital": (self.opening_cash - lowest.min(axis=1)).clip(lower=0).round(2),
            }
        )

    def _by_month(self, values: pd.Series) -> pd.DataFrame:
        months = self.table.index.levels[1]
        return pd.DataFrame(values.to_numpy().reshape(-1, len(months)), index=self.opening_cash.index, columns=months)

    def summary(self) -> str:
        """How many practices run out of cash, what they need, and what to know beside it."""
        need = self.by_practice
        short = int((need["months_below_zero"] > 0).sum())
        lines = [
            f"{self.model}: cash of {len(need):,} practices over {len(self.balance.columns)} months, {self.currency}",
            f"Below zero at some time: {short:,} of {len(need):,}.",
            f"Opening cash that keeps a practice above zero: median {need['working_capital'].median():,.0f}, "
            f"highest {need['working_capital'].max():,.0f}.",
        ]
        return "\n".join([*lines, *self.notes])

    def plot(self, practice=None, *, ax: Axes | None = None) -> Axes:
        """The balance by month of one practice, or of all together."""
        from apmkit.plots.payment import cash

        return cash({self.model: self}, practice, ax=ax)

    def __repr__(self) -> str:
        return self.summary()


def cash_flow(
    payments: Payment | Sequence[Payment],
    practices: Practices,
    *,
    costs: Costs | None = None,
    opening_cash=0.0,
    claims_lag: int = 1,
    timing: Mapping[str, Timing] | None = None,
    extra: Mapping | None = None,
) -> CashFlow:
    """Cash by month of practices that start with nothing outstanding.

    Each component of a year's payment is cut into equal parts that arrive as `TIMING` says, and add up to the
    component to the cent. Costs fall due within each month of the years paid: after the money of its first day, before
    that of its last. The months after the last year hold only what still arrives.

    Parameters
    ----------
    payments : Payment or sequence of Payment
        What a model pays, one year after the other.
    practices : Practices
        The practices paid, with the column `visits` of patients.
    costs : Costs, optional
        By default `Costs.illustrative(practices)`, an assumption.
    opening_cash : float, array of shape (n,) or Series by practice
        Cash on the first day; negative for debt.
    claims_lag : int
        Months until claims are paid.
    timing : mapping of str to Timing, optional
        Timing of components by name, for those that arrive otherwise or are not in `TIMING`.
    extra : mapping of str to float, array of shape (months,) or (n, months), Series or DataFrame by practice, optional
        Other money by month, negative where it is taken: an advance and its recoupment, a loan, claims of the year
        before. It arrives on the first day; a single number, and a Series by practice, in the first month.

    Returns
    -------
    CashFlow

    Raises
    ------
    PaymentError
        A payment is not of these practices, a component has no timing, a lag or a cost is negative.

    Examples
    --------
    >>> from apmkit.payment.fee_for_service import fee_for_service
    >>> patients = pd.DataFrame({"practice": ["A"], "age": [70], "sex": ["F"], "fees": [1200.0], "visits": [12]})
    >>> practices = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="US")
    >>> cash = cash_flow(fee_for_service(practices, on="2021-01-01"), practices, costs=Costs(50, 20))
    >>> cash.balance.loc["A", [1, 2, 3, 13]].tolist()
    [-70.0, -40.0, -10.0, 360.0]
    >>> cash.by_practice.loc["A", ["working_capital", "months_below_zero"]].tolist()
    [140.0, 6.0]
    """
    check_practices(practices)
    years = list(payments) if isinstance(payments, Sequence) else [payments]
    _check_payments(years, practices)
    costs = Costs.illustrative(practices) if costs is None else costs
    for name, given in (("extra", extra), ("timing", timing)):
        if given is not None and not isinstance(given, Mapping):
            raise PaymentError(f"{name} is of type {type(given).__name__}; give a mapping by name.")
    due = _timing_of(years, timing or {}, whole_months(claims_lag, "claims_lag"))
    other = {name: _by_month(values, name, practices) for name, values in (extra or {}).items()}
    if taken := set(other) & {*due, "fixed_costs", "visit_costs", "lowest", "balance"}:
        raise PaymentError(f"{min(taken)} is a column of the cash flow already; give the money in extra another name.")
    paid_months = _MONTHS * len(years)
    last = [t.arrivals[-1] + _MONTHS * year for year, paid in enumerate(years) for t in map(due.get, paid.components)]
    shape = (len(practices.index), max(paid_months, *last, *(values.shape[1] for values in other.values())))

    flows = {name: np.zeros(shape, dtype=np.int64) for name in [*due, *other, "fixed_costs", "visit_costs"]}
    for year, paid in enumerate(years):
        for name in paid.components:
            cents = np.rint(paid.table[name].to_numpy() * 100).astype(np.int64)
            flows[name][:, due[name].arrivals - 1 + _MONTHS * year] += due[name].split(cents)
    for name, values in other.items():
        flows[name][:, : values.shape[1]] = values
    for name, yearly in _yearly_costs(costs, practices).items():
        flows[name][:, :paid_months] = -np.tile(MONTHLY.split(yearly), len(years))

    opening = _cents(per_practice(opening_cash, "opening_cash", practices, least=-np.inf), "opening_cash")
    balance = opening[:, None] + np.cumsum(sum(flows.values()), axis=1)
    at_end = sum((flows[name] for name, t in due.items() if not t.at_start), np.zeros(shape, dtype=np.int64))
    columns = {**flows, "lowest": balance - at_end, "balance": balance}
    months = range(1, shape[1] + 1)
    when = (
        f"Nothing is outstanding at the start, claims are paid after {count(claims_lag, 'month')}, and costs end with "
        f"month {paid_months}."
    )
    return CashFlow(
        model=", then ".join(dict.fromkeys(paid.model for paid in years)),
        currency=practices.currency,
        table=pd.DataFrame(
            {name: cents.ravel() / 100 for name, cents in columns.items()},
            index=pd.MultiIndex.from_product([practices.index, months], names=[practices.index.name, "month"]),
        ),
        opening_cash=pd.Series(opening / 100, index=practices.index),
        notes=tuple(dict.fromkeys([when, costs.note, *(note for paid in years for note in paid.notes)])),
    )


def _check_payments(years: list[Payment], practices: Practices) -> None:
    if not years:
        raise PaymentError("There is no payment; give one for each year.")
    for paid in years:
        if not isinstance(paid, Payment):
            raise PaymentError(f"A Payment is needed, not {type(paid).__name__}: give what a payment model returns.")
        if not paid.table.index.equals(practices.index):
            raise PaymentError(
                f"{paid.model} pays other practices than those given; give the practices it was made of."
            )


def _timing_of(years: list[Payment], timing: Mapping[str, Timing], claims_lag: int) -> dict[str, Timing]:
    """Timing of each component, in the order of the payments."""
    names = list(dict.fromkeys(name for paid in years for name in paid.components))
    if unknown := [name for name in timing if name not in names]:
        raise PaymentError(f"timing has {unknown[0]!r}, which is no component; there are {', '.join(names)}.")
    due = {}
    for name in names:
        found = timing.get(name, TIMING.get(name))
        if not isinstance(found, Timing):
            raise PaymentError(f"{name} has no timing; give timing={{{name!r}: Timing(months, lag)}}.")
        due[name] = replace(CLAIMS, lag=claims_lag) if found is CLAIMS else found
    return due


def _by_month(values, name: str, practices: Practices) -> np.ndarray:
    """Money by practice and month in cents."""
    if isinstance(values, pd.Series):
        values = values.to_frame()
    array = values if isinstance(values, pd.DataFrame) else np.atleast_2d(np.asarray(values))
    months = array.shape[-1]
    if not months:
        raise PaymentError(f"{name} in extra has no month; give at least one amount.")
    return _cents(per_practice(array, name, practices, least=-np.inf, columns=months), name)


def _cents(amounts: np.ndarray, name: str) -> np.ndarray:
    """Money in whole cents, refused where sums of it over months would no longer be exact."""
    if (wrong := np.abs(amounts) > _LARGEST).any():
        raise PaymentError(
            f"{name} is {amounts[wrong][0]:g}, too large to be kept to the cent; give at most {_LARGEST:g}."
        )
    return np.rint(100 * amounts).astype(np.int64)


def _yearly_costs(costs: Costs, practices: Practices) -> dict[str, np.ndarray]:
    """Costs of a year in cents."""
    if not isinstance(costs, Costs):
        raise PaymentError(f"costs is of type {type(costs).__name__}; give Costs(per_physician, per_visit).")
    fixed = practices.practice("physicians") * per_practice(costs.per_physician, "per_physician", practices) * _MONTHS
    visits = practices.sums(practices.patient("visits")) * per_practice(costs.per_visit, "per_visit", practices)
    return {
        "fixed_costs": _cents(fixed, "per_physician in a year"),
        "visit_costs": _cents(visits, "per_visit in a year"),
    }
