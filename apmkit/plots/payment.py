"""Money: what a payment is made of, who gains and loses, what one more visit pays, where effort goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apmkit.plots.style import PALETTE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
