"""Money: what a payment is made of, who gains and loses, what one more visit pays, where effort goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import PaymentError
from apmkit.plots.style import PALETTE, axes, name_ends

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from apmkit.payment.cash_flow import CashFlow
    from apmkit.payment.model_comparison import ModelComparison
    from apmkit.payment.result import Payment

_ATTRIBUTES = {
    "risk": "Mean risk score of the practice",
    "age": "Mean age of the practice, years",
    "outside_use": "Share of visits that go to other doctors",
}
_COLOURS = [colour for name, colour in PALETTE.items() if name not in ("grey", "light")]


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
    ax.locator_params(axis="x", nbins=5)
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
    from apmkit.payment.cash_flow import CashFlow

    if not isinstance(flows, Mapping) or not all(isinstance(flow, CashFlow) for flow in flows.values()):
        raise PaymentError("cash draws what cash_flow returns: give it by the name to write beside the line.")
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


def gains_and_losses(comparison: ModelComparison, *, by: str = "risk", ax: Axes | None = None) -> Axes:
    """What each practice gains or loses under each model against the base, by its risk, age or outside use.

    Parameters
    ----------
    comparison : ModelComparison
    by : str
        "risk", "age" or "outside_use".
    ax : Axes, optional
        Where to draw.
    """
    from apmkit.payment.model_comparison import practice_attribute

    values = practice_attribute(comparison.practices, by)
    changes = comparison.changes
    ax = axes(ax)
    ends = {}
    for colour, (label, change) in zip(_repeat(len(changes.columns)), changes.items(), strict=True):
        ax.plot(values, change, "o", ms=4, color=colour, alpha=0.7)
        slope, level = np.polyfit(values, change, 1) if np.ptp(values) > 0 else (0.0, change.mean())
        line = np.array([values.min(), values.max()])
        ax.plot(line, level + slope * line, color=colour, lw=1.6)
        ends[label] = (level + slope * line[1], colour)
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    name_ends(ax, values.max(), ends)
    ax.set_xlabel(_ATTRIBUTES[by])
    ax.set_ylabel(f"Gain against {comparison.base}, {comparison.currency} per patient")
    return ax


def marginal_revenue(table: pd.DataFrame, *, currency: str = "", ax: Axes | None = None) -> Axes:
    """What one more visit or patient pays under each model: the mean of practices, and their range.

    Parameters
    ----------
    table : DataFrame
        From `apmkit.payment.marginal_revenue`.
    currency : str
        For the axis.
    ax : Axes, optional
        Where to draw.
    """
    _check(table, ("model", "change", "mean", "lowest", "highest"), "marginal_revenue")
    changes = list(table.index.get_level_values("change").unique())
    ax = axes(ax, height=1.2 + 0.24 * (len(table) + 2 * len(changes)))
    where, names, at = [], [], 0
    for change in changes:
        rows = table.xs(change, level="change")
        at += 1
        ax.text(0.99, at, f"One more {change.replace('_', ' ')}", transform=ax.get_yaxis_transform(), ha="right",
                va="center", fontsize="small", color=PALETTE["grey"])  # fmt: skip
        for model, row in rows.iterrows():
            at += 1
            ax.barh(at, row["mean"], color=PALETTE["blue" if row["mean"] >= 0 else "orange"])
            ax.hlines(at, row["lowest"], row["highest"], color=PALETTE["grey"], lw=1.2)
            where.append(at)
            names.append(model)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_yticks(where, names)
    ax.invert_yaxis()
    ax.set_xlabel(f"Change of pay, {currency}" if currency else "Change of pay")
    return ax


def risk_adjustment(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Payment less spending per patient by risk group, for each way to adjust.

    Parameters
    ----------
    table : DataFrame
        From `apmkit.payment.risk_adjustment_effect`.
    ax : Axes, optional
        Where to draw.
    """
    _check(table, ("method", "group", "error"), "risk_adjustment_effect")
    ax = axes(ax)
    methods = table.index.get_level_values("method").unique()
    width = 0.8 / len(methods)
    for at, (method, colour) in enumerate(zip(methods, _repeat(len(methods)), strict=True)):
        error = table.loc[method, "error"]
        where = error.index + (at - (len(methods) - 1) / 2) * width
        ax.bar(where, error, width=0.9 * width, color=colour, label=method.replace("_", " "))
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_xticks(table.index.get_level_values("group").unique())
    ax.set_xlabel("Group by risk, lowest first")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylabel("Payment less spending per patient")
    ax.legend(frameon=False, fontsize="small")
    return ax


def coding_drift(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Money paid for better coding alone, by year and rule.

    Parameters
    ----------
    table : DataFrame
        From `apmkit.payment.coding_drift`.
    ax : Axes, optional
        Where to draw.
    """
    _check(table, ("method", "year", "overpayment_share"), "coding_drift")
    ax = axes(ax)
    share = 100 * table["overpayment_share"].unstack("method", sort=False)
    ends = {}
    for colour, (method, values) in zip(_repeat(len(share.columns)), share.items(), strict=True):
        ax.plot(share.index, values, color=colour, marker="o", ms=4, lw=1.8)
        ends[method.replace("_", " ")] = (values.iloc[-1], colour)
    name_ends(ax, share.index[-1], ends)
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_xlabel("Years of drift")
    ax.set_ylabel("Overpayment, % of spending")
    return ax


def capitation_dial(table: pd.DataFrame, *, currency: str = "CAD", share: float | None = None) -> Axes:
    """Marginal pay, and the spread of revenue, from fees alone to capitation alone.

    Parameters
    ----------
    table : DataFrame
        From `apmkit.payment.capitation_dial_table`.
    currency : str
        For the axes.
    share : float, optional
        A position of the dial to mark.
    """
    import matplotlib.pyplot as plt

    _check(table, ("share", "visit", "enrolled_patient", "visit_elsewhere", "sd_between"), "capitation_dial_table")
    panels = (
        ({"enrolled_patient": ("enrolled patient", "green"), "visit": ("visit", "blue"),
          "visit_elsewhere": ("visit elsewhere,\nif charged", "orange")}, f"Pay for one more, {currency}"),
        ({"sd_between": ("between practices", "blue"), "sd_within": ("between years", "orange")},
         f"SD of revenue, {currency} per patient"),
    )  # fmt: skip
    _, both = plt.subplots(2, figsize=(7.2, 6), sharex=True, layout="constrained")
    shares = 100 * table.index.to_numpy()
    for ax, (lines, label) in zip(both, panels, strict=True):
        ends = {}
        for column, (words, colour) in lines.items():
            if table[column].notna().all():
                ax.plot(shares, table[column], "o-", color=PALETTE[colour], lw=1.8, ms=4)
                ends[words] = (table[column].iloc[-1], PALETTE[colour])
        ax.axhline(0, color=PALETTE["grey"], lw=0.9)
        if share is not None:
            ax.axvline(100 * share, color=PALETTE["light"], lw=1.2, zorder=0)
        ax.margins(y=0.13)  # two lines of words at a lowest end
        name_ends(ax, shares[-1], ends)
        ax.set_ylabel(label)
    both[1].set_xlabel("Share of fees that capitation replaces, %")
    return both[1]


def effort(responses: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Change of services, and of services after hours (dashed), as capitation replaces fees: one colour a scenario.

    Parameters
    ----------
    responses : DataFrame
        From `EffortModel.respond`, for terms that differ in capitation share; of several scenarios below each other.
    ax : Axes, optional
        Where to draw.
    """
    _check(responses, ("scenario", "outcome", "capitation_share", "change"), "EffortModel.respond")
    ax = axes(ax)
    ends, last = {}, 0.0
    scenarios = responses["scenario"].unique()
    for colour, scenario in zip(_repeat(len(scenarios)), scenarios, strict=True):
        table = responses[responses["scenario"] == scenario]
        for outcome, dashes in (("services", "-"), ("after_hours", "--")):
            rows = table[table["outcome"] == outcome].sort_values("capitation_share")
            share = 100 * rows["capitation_share"]
            ax.plot(share, 100 * rows["change"], ls=dashes, color=colour, lw=1.8)
            if rows["ci_low"].notna().all():
                ax.fill_between(share, 100 * rows["ci_low"], 100 * rows["ci_high"], color=colour, alpha=0.2, lw=0)
            label = f"{outcome.replace('_', ' ')}, {scenario}"
            ends[label] = (100 * rows["change"].iloc[-1], colour)
            last = max(last, share.iloc[-1])
    name_ends(ax, last, ends)
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_xlabel("Share of fees that capitation replaces, %")
    ax.set_ylabel("Change, %")
    ax.set_title("Simulated by a model calibrated to studies that disagree")
    return ax


def multitask(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Effort and global outcome by reward: for the intermediate outcome in full lines, for the global one dashed.

    Parameters
    ----------
    table : DataFrame
        From `apmkit.payment.reward_one_task`.
    ax : Axes, optional
        Where to draw.
    """
    _check(table, ("rewarded", "reward", "measured", "unmeasured", "outcome"), "reward_one_task")
    ax = axes(ax)
    names = {"measured": "measured task", "unmeasured": "unmeasured task", "outcome": "global outcome"}
    for column, colour in zip(names, _COLOURS, strict=False):
        for rewarded, dashes in (("intermediate", "-"), ("global", "--")):
            rows = table[table["rewarded"] == rewarded]
            ax.plot(rows["reward"], rows[column], ls=dashes, color=colour, lw=1.8,
                    label=f"{names[column]}, {rewarded} outcome rewarded")  # fmt: skip
    ax.axhline(1, color=PALETTE["grey"], lw=0.9)
    ax.set_xlabel("Reward per unit, relative to the unrewarded benefit of a task")
    ax.set_ylabel("Relative to no reward")
    ax.legend(frameon=False, fontsize="small")
    return ax


def chance(curves: pd.DataFrame, observed: pd.DataFrame | None = None, *, ax: Axes | None = None) -> Axes:
    """Probability that chance alone reaches the minimum savings rate, by size, with published shares as points.

    Parameters
    ----------
    curves : DataFrame
        One or several results of `chance_of_payment`, one below the other: a line for each spread and minimum savings
        rate, with a band where the spread has an interval.
    observed : DataFrame, optional
        From `payments_and_chance` over all years: shares of ACOs past their minimum, with intervals, as filled points;
        open points are the shares once the mean of each year is taken off.
    ax : Axes, optional
        Where to draw.

    Raises
    ------
    PaymentError
        A column of those results is missing.
    """
    _check(curves, ("spread", "minimum", "chance_of_savings"), "chance_of_payment")
    if observed is not None:
        _check(observed, ("share_past", "past_low"), "payments_and_chance")
    ax = axes(ax)
    colours = dict(zip(curves["spread"].unique(), _COLOURS, strict=False))
    chosen = curves["minimum_savings_rate"].where(curves["minimum"] == "chosen")
    for (spread, rate), line in curves.groupby(["spread", chosen.fillna(np.inf)], sort=False):
        words = "minimum of the table" if np.isinf(rate) else f"minimum {100 * rate:g}%"
        style = {"color": colours[spread], "ls": "-" if np.isinf(rate) else "--"}
        line = line.sort_values("beneficiaries")
        ax.plot(line["beneficiaries"], 100 * line["chance_of_savings"], label=f"{spread}, {words}", **style)
        ax.fill_between(line["beneficiaries"], 100 * line["savings_low"], 100 * line["savings_high"],
                        color=colours[spread], alpha=0.15, lw=0)  # fmt: skip
    if observed is not None:
        columns = ["beneficiaries", "share_past", "past_low", "past_high", "share_past_centred"]
        x, share, low, high, centred = observed[columns].to_numpy(dtype=float).T
        ends = 100 * np.array([share - low, high - share])
        ax.errorbar(x, 100 * share, ends, fmt="o", color=PALETTE["grey"], label="published share past the minimum")
        ax.plot(x, 100 * centred, "o", mfc="white", color=PALETTE["grey"], ls="none",
                label="the same less the mean saving of the year")  # fmt: skip
    ax.set_xscale("log")
    sizes = (2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set_xticks([], minor=True)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Assigned beneficiaries")
    ax.set_ylabel("Past the minimum savings rate, %")
    ax.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(0, -0.22))
    return ax


def _repeat(number):
    return [_COLOURS[i % len(_COLOURS)] for i in range(number)]


def _check(table, columns, maker):
    """Refuse what is not the table that a figure draws."""
    known = [*getattr(table, "columns", ()), *getattr(getattr(table, "index", None), "names", ())]
    if lacking := [column for column in columns if column not in known]:
        raise PaymentError(f"There is no column {lacking[0]}: give what {maker} returns.")
