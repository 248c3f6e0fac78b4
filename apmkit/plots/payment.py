"""Money: what a payment is made of, who gains and loses, what one more visit pays, where effort goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import PaymentError
from apmkit.plots.style import PALETTE, axes, name_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.payment.cash_flow import CashFlow
    from apmkit.payment.result import Payment


def components(payment: Payment, *, ax: Axes | None = None) -> Axes:
    """How the components of a payment add up to its total, over all rows: what is paid in blue, taken in orange.

    Parameters
    ----------
    payment : Payment
    ax : Axes, optional
        Where to draw.
    """
    sums = payment.table.sum()
    ends = sums.drop("total").cumsum()
    starts = ends - sums.drop("total")
    left = np.append(np.minimum(starts, ends), min(sums["total"], 0))
    ax = axes(ax, height=1.2 + 0.42 * len(sums))
    colours = [PALETTE["blue"] if value >= 0 else PALETTE["orange"] for value in sums]
    colours[-1] = PALETTE["grey"]
    ax.barh(range(len(sums)), sums.abs(), left=left, color=colours)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_yticks(range(len(sums)), [name.replace("_", " ").capitalize() for name in sums.index])
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel(f"{payment.currency}, all rows")
    ax.set_title(payment.model)
    return ax


def cash(flows: Mapping[str, CashFlow], practice=None, *, ax: Axes | None = None) -> Axes:
    """Cash under several models, the lowest point marked.

    It jumps on the first and the last day of a month, when money comes, and falls between them with the costs.

    Parameters
    ----------
    flows : mapping of str to CashFlow
        By the name to write beside the line.
    practice : optional
        Label of one practice; without it the sum of all.
    ax : Axes, optional
        Where to draw.

    Raises
    ------
    PaymentError
        There are no flows, more than the palette has colours, several currencies, or no such practice.
    """
    if not flows or len(flows) > len(PALETTE):
        raise PaymentError(f"cash draws 1 to {len(PALETTE)} flows, not {len(flows)}; choose some of them.")
    currencies = {flow.currency for flow in flows.values()}
    if len(currencies) > 1:
        raise PaymentError("The flows are in USD and CAD; draw those of one country.")
    for name, flow in flows.items():
        if practice is not None and practice not in flow.opening_cash.index:
            raise PaymentError(f"{name} has no practice {practice}; take one of opening_cash.index.")
    ax = axes(ax)
    last, ends = max(len(flow.balance.columns) for flow in flows.values()), {}
    for (name, flow), colour in zip(flows.items(), PALETTE.values(), strict=False):
        opening = flow.opening_cash.sum() if practice is None else flow.opening_cash[practice]
        months = flow.table.groupby("month").sum() if practice is None else flow.table.loc[practice]
        first_day = months["lowest"] - months["fixed_costs"] - months["visit_costs"]
        heights = np.column_stack([first_day, months["lowest"], months["balance"]]).ravel()
        days = (months.index.to_numpy()[:, None] + [-1, 0, 0]).ravel()
        # Nothing moves after the last month, so that all lines end together.
        days, heights = np.concatenate([[0], days, [last]]), np.concatenate([[opening], heights, heights[-1:]])
        ax.plot(days, heights, color=colour, lw=1.6)
        ax.plot(days[heights.argmin()], heights.min(), "o", color=colour, ms=5)
        ends[name] = (heights[-1], colour)
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_xlabel("Month")
    ax.set_ylabel(f"Balance, {min(currencies)}, {'all practices' if practice is None else f'practice {practice}'}")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    name_ends(ax, last, ends)
    return ax
