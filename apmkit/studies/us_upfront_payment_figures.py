"""Figures of the study of upfront payment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from apmkit.payment.cash_flow import CashFlow
from apmkit.plots.style import PALETTE, PAPER, name_ends
from apmkit.studies.us_upfront_payment import Start, label
from apmkit.studies.us_upfront_payment_aco import MONTHS, YEARS

COLOURS = {
    "fee_for_service": PALETTE["grey"],
    "cpc_plus_1": PALETTE["sky"],
    "cpc_plus_2": PALETTE["blue"],
    "primary_care_first": PALETTE["green"],
    "shared_savings": PALETTE["orange"],
    "advance": PALETTE["purple"],
}
_NOT_MONEY = ("fixed_costs", "visit_costs", "lowest", "balance", "start_up", "claims_before")


def _axes(height: float = 4.2, **options):
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7.2, height), layout="constrained", **options)[1]


def arrivals(started: Start, months: int = 36):
    """Figure: money by month and physician when every model pays the same total; what is taken back is below zero.

    Parameters
    ----------
    months : int
        Months shown.
    """
    grid = _axes(5.4, nrows=3, ncols=2, sharex=True, sharey=True)
    physicians = started.physicians.sum()
    cost = (started.before + started.nurse).sum() / MONTHS / physicians
    flows = next(iter(started.equal.values()))
    for ax, (model, flow) in zip(grid.ravel(), flows.items(), strict=True):
        money = flow.table.drop(columns=[name for name in _NOT_MONEY if name in flow.table])
        by_month = (money.groupby(level="month").sum() / physicians).loc[:months]
        paid, taken = by_month.clip(lower=0).sum(axis=1), by_month.clip(upper=0).sum(axis=1)
        ax.bar(by_month.index, paid, width=0.9, color=COLOURS[model])
        ax.bar(by_month.index, taken, width=0.9, color=COLOURS[model], alpha=0.45)
        ax.axhline(cost, color=PALETTE["grey"], lw=1, ls="--")
        ax.axhline(0, color=PALETTE["grey"], lw=0.7)
        ax.set_title(label(model), fontsize="small", color=COLOURS[model])
        ax.set_xticks(range(0, months + 1, 12))
    grid[1, 0].set_ylabel("Money of the month, USD a physician")
    for ax in grid[-1]:
        ax.set_xlabel("Month")
    for ax in grid.ravel():
        ax.yaxis.set_major_formatter("{x:,.0f}")
    grid[0, 0].annotate("running costs", (months, cost), xytext=(0, 3), textcoords="offset points", fontsize="x-small",
                        color=PALETTE["grey"], ha="right", va="bottom")  # fmt: skip
    return grid[-1, 0]


def balances(flows: Mapping[str, CashFlow], started: Start, *, months: int = MONTHS * YEARS):
    """Figure: cash a physician at the lowest point of each month, all practices together, the lowest of all marked."""
    ax = _axes(4.4)
    ends = {}
    for model, flow in flows.items():
        low = flow.table["lowest"].groupby(level="month").sum().loc[:months] / started.physicians.sum()
        ax.plot(low.index, low, color=COLOURS[model], lw=1.7)
        ax.plot(low.idxmin(), low.min(), "o", color=COLOURS[model], ms=5)
        ends[label(model)] = (low.iloc[-1], COLOURS[model])
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    name_ends(ax, months, ends)
    ax.set_xticks(range(0, months + 1, 12))
    ax.set_xlabel("Month")
    ax.set_ylabel("Lowest cash of the month, USD a physician")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    return ax


def totals(started: Start, table: pd.DataFrame):
    """Figure: money of an average year by model, median practice, against running costs before and with the nurse."""
    ax = _axes(3.4)
    physicians = started.physicians
    before = (started.before / physicians).median()
    after = ((started.before + started.nurse) / physicians).median()
    rows = table["pay"].rename(label)
    ax.barh(rows.index, rows, color=[COLOURS[model] for model in table.index])
    for where, value in enumerate(rows):
        ax.annotate(f"{value:,.0f}", (value, where), xytext=(4, 0), textcoords="offset points", va="center",
                    fontsize="small", bbox=PAPER)  # fmt: skip
    for cost, words, style, side in ((before, "costs before", ":", "right"), (after, "with the nurse", "--", "left")):
        ax.axvline(cost, color="black", lw=1, ls=style)
        ax.annotate(words, (cost, -0.65), xytext=(-4 if side == "right" else 4, 0), textcoords="offset points",
                    fontsize="x-small", ha=side, va="bottom")  # fmt: skip
    ax.set_ylim(len(rows) - 0.5, -1)
    ax.set_xlim(right=1.17 * max(rows.max(), after))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("Money of an average year, USD a physician")
    return ax


def who_can_start(started: Start, *, days: int = 365, chosen: int = 60):
    """Figure: share of practices that never fall below zero, by opening cash in days of running costs before."""
    ax = _axes(4.2)
    at = np.arange(days + 1)
    ends = {}
    for model, flow in started.paid.items():
        needed = 365 * flow.by_practice["working_capital"] / started.before
        share = 100 * (needed.to_numpy()[:, None] <= at).mean(axis=0)
        ax.plot(at, share, color=COLOURS[model], lw=1.8, drawstyle="steps-post")
        ends[label(model)] = (share[-1], COLOURS[model])
    ax.axvline(chosen, color=PALETTE["grey"], lw=1, ls=":")
    ax.set_ylim(-3, 105)
    name_ends(ax, days, ends)
    ax.set_xlabel("Opening cash, days of running costs")
    ax.set_ylabel("Practices never below zero, %")
    return ax


def need_by_size(days: pd.DataFrame, models: tuple[str, ...], *, chosen: int = 60):
    """Figure: opening cash needed by number of physicians: medians, and the middle half of practices."""
    left, right = _axes(4.0, ncols=2, sharey=True)
    for ax, (nurse, part) in zip((left, right), days.groupby("nurse"), strict=True):
        for offset, model in zip(np.linspace(-0.15, 0.15, len(models)), models, strict=True):
            grouped = part.groupby("physicians")[model]
            low, middle, high = (grouped.quantile(q) for q in (0.25, 0.5, 0.75))
            ax.vlines(middle.index + offset, low, high, color=COLOURS[model], lw=1.2)
            ax.plot(middle.index + offset, middle, "o-", color=COLOURS[model], ms=4, lw=1.4, label=label(model))
        ax.axhline(chosen, color=PALETTE["grey"], lw=1, ls=":")
        ax.set_title(nurse, fontsize="medium")
        ax.set_xlabel("Physicians in the practice")
        sizes = part.index.get_level_values("physicians").unique().sort_values()
        ax.set_xticks(sizes, [f"{size}+" if size == sizes.max() else f"{size}" for size in sizes])
    left.set_ylabel("Cash needed, days of running costs")
    right.legend(frameon=False, fontsize="small")
    return left


def advance_by_savings(savings: pd.DataFrame, minimum: float, chosen: float):
    """Figure: what reaches the ACO in five years by savings rate, with the advance and without."""
    ax = _axes(4.0)
    rate = 100 * savings.index.to_numpy()
    ends = {}
    for column, model in (("kept_alone", "shared_savings"), ("kept_advanced", "advance")):
        values = savings[column] / 1e6
        ax.plot(rate, values, color=COLOURS[model], lw=1.8)
        ends[label(model)] = (values.iloc[-1], COLOURS[model])
    ax.plot(rate, savings["balance"] / 1e6, color=PALETTE["grey"], lw=1.4, ls="--")
    ends["never paid back"] = (savings["balance"].iloc[-1] / 1e6, PALETTE["grey"])
    ax.axvline(100 * minimum, color=PALETTE["light"], lw=1)
    top = ax.get_ylim()[1]
    ax.axvline(100 * chosen, color=PALETTE["grey"], lw=1, ls=":")
    # Each name on the side away from the other line.
    for at, words, left in (
        (minimum, "minimum savings rate", minimum <= chosen),
        (chosen, "this page", minimum > chosen),
    ):
        ax.annotate(words, (100 * at, top), xytext=(-4 if left else 4, 0), textcoords="offset points", va="top",
                    ha="right" if left else "left", fontsize="x-small", color=PALETTE["grey"])  # fmt: skip
    name_ends(ax, rate[-1], ends)
    ax.set_xlabel("Savings of the ACO in each year, % of the benchmark")
    ax.set_ylabel("In five years, million USD")
    return ax


def published(advances: pd.DataFrame):
    """Figure: each ACO of the ACO Investment Model: what was taken back of its advance, and what was outstanding."""
    rows = advances[advances["advanced"] > 0].sort_values(["recouped", "advanced"], ascending=[False, False])
    ax = _axes(3.6)
    where = np.arange(1, len(rows) + 1)
    ax.bar(where, rows["recouped"] / 1e6, color=PALETTE["blue"], label="taken back out of shared savings")
    ax.bar(where, rows["outstanding"] / 1e6, bottom=rows["recouped"] / 1e6, color=PALETTE["light"],
           label="outstanding when last seen")  # fmt: skip
    ax.set_ylim(top=1.05 * rows["advanced"].max() / 1e6)
    ax.set_xlabel("ACOs, by what was taken back")
    ax.set_ylabel("Advance, million USD")
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return ax
