"""Figures of the studies of one American state."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

import apmkit as apm
from apmkit.estimate import Estimate
from apmkit.plots.style import PALETTE, axes, broken_lines, name_ends, name_rows
from apmkit.studies import tables
from apmkit.studies.one_treated import Measure, equal_weights
from apmkit.studies.us_states import METHOD_WORDS, number, short_unit

table = partial(tables.table, precision=2)


def state_lines(rows: pd.DataFrame, estimate: Estimate, column: str, label: str):
    """Figure: every state in grey, the treated one in blue, the donors of most weight named.

    Parameters
    ----------
    rows : DataFrame
        From `state_years`, for the states and years to show.
    column : str
        What to show, times one.
    """
    wide = rows.pivot_table(index="year", columns="area", values=column)
    treated = str(estimate.panel.units[np.isfinite(estimate.panel.cohorts)][0])
    weights = estimate.details["donor_weights"]
    named = [] if equal_weights(estimate) else list(weights["unit"].head(3))
    ax = axes(None)
    broken_lines(ax, wide.drop(columns=treated), color=PALETTE["light"], lw=0.8)
    broken_lines(ax, wide[named], color=PALETTE["grey"], lw=1.2)
    broken_lines(ax, wide[[treated]], color=PALETTE["blue"], lw=2.6)
    broken_lines(ax, wide.median(axis=1).to_frame(), color=PALETTE["orange"], lw=1.8, ls="--")
    ends = {name: (wide[name].iloc[-1], PALETTE["grey"]) for name in named}
    ends |= {"median": (wide.iloc[-1].median(), PALETTE["orange"])}
    name_ends(ax, wide.index[-1], ends | {treated: (wide[treated].iloc[-1], PALETTE["blue"])})
    ax.axvline(estimate.panel.cohorts.min() - 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    ax.set(xlabel="Year", ylabel=label)
    return ax


def two_assumptions(panel: apm.Panel, measure: Measure):
    """Figure: the treated unit less the mean of its donors, and where each assumption on trends puts it.

    Under parallel trends the difference would have stayed at its mean before treatment, under differential trends on
    the line through the years before. The effect is the mean distance of the later points from each.
    """
    treated = np.isfinite(panel.cohorts)
    gap = panel.outcomes[treated].mean(axis=0) - panel.outcomes[~treated].mean(axis=0)
    before = panel.periods < panel.cohorts.min()
    slope, level = np.polyfit(panel.periods[before] - panel.periods[before].mean(), gap[before], 1)
    line = level + slope * (panel.periods - panel.periods[before].mean())
    ax = axes(None)
    ax.plot(panel.periods, np.full(len(gap), level), color=PALETTE["orange"], lw=2, ls="--")
    ax.plot(panel.periods, line, color=PALETTE["purple"], lw=2, ls="-.")
    ax.plot(panel.periods[before], gap[before], "o", color=PALETTE["blue"], ms=7)
    ax.plot(panel.periods[~before], gap[~before], "D", color=PALETTE["blue"], mfc="none", mew=2, ms=7)
    ax.axvline(panel.cohorts.min() - 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    name_ends(
        ax,
        panel.periods[-1],
        {"Parallel trends": (level, PALETTE["orange"]), "Differential trends": (line[-1], PALETTE["purple"])},
    )
    ax.set(xlabel="Year", ylabel=f"{panel.units[treated][0]} less mean of donors\n({measure.unit})")
    return ax


def method_table(found: Mapping[str, Estimate], measure: Measure, what: str = "Method") -> pd.DataFrame:
    """Estimates side by side, with the column names a reader sees; what is withheld says so."""
    rows, written = [], number(measure)
    for name, estimate in found.items():
        row, checks = estimate.table.iloc[0], estimate.diagnostics
        withheld = "withheld" in checks
        interval = f"{written.format(row['ci_low'])} to {written.format(row['ci_high'])}"
        rows.append(
            {
                what: name,
                f"Gap, {short_unit(measure)}": written.format(row["estimate"]),
                "95% interval from placebos": "withheld" if withheld else interval,
                "Rank": "withheld" if withheld else f"{checks['rank']} of {checks['n_placebos'] + 1}",
                "p": "withheld" if withheld else f"{row['p_value']:.2f}",
                "Typical gap before": written.format(checks["pre_rmspe"]),
            }
        )
    return pd.DataFrame(rows)


def donor_table(without: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """The gap without each donor that carries weight; `without` comes from `leave_one_donor_out`."""
    shown = without[without["weight"] >= 0.005].head(8)
    return pd.DataFrame(
        {
            "Left out": shown["unit"],
            "Its weight": shown["weight"].map("{:.0%}".format),
            f"Gap, {short_unit(measure)}": shown["estimate"].map(number(measure).format),
            "Typical gap before": shown["pre_rmspe"].map(number(measure).format),
        }
    )


def start_points(starts: pd.DataFrame, estimate: Estimate, measure: Measure):
    """Figure: the gap found for each pretended start, with the estimate as a dashed line."""
    ax = axes(None, height=3.2)
    ax.plot(starts["start"], starts["estimate"], "o", color=PALETTE["blue"], ms=7)
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.axhline(estimate.table["estimate"].iloc[0], color=PALETTE["orange"], lw=1.4, ls="--")
    ax.set(xlabel="Pretended start", ylabel=f"Gap\n({measure.unit})")
    ax.set_xticks(starts["start"])
    return ax


def sign_dots(found: pd.DataFrame, measure: Measure):
    """Figure: one dot for each combination of choices, a row for each method.

    Parameters
    ----------
    found : DataFrame
        With `estimator`, `covid` and `estimate`.
    """
    methods = [name for name in METHOD_WORDS if name in set(found["estimator"])]
    colours = dict(zip(found["covid"].unique(), ("blue", "orange", "green"), strict=False))
    ax = axes(None, height=0.9 + 0.5 * len(methods))
    for covid, part in found.groupby("covid", sort=False):
        heights = [methods.index(name) + 0.18 * (list(colours).index(covid) - 1) for name in part["estimator"]]
        ax.plot(part["estimate"], heights, "o", color=PALETTE[colours[covid]], alpha=0.85, ms=5.5, label=covid)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    name_rows(ax, [METHOD_WORDS[name].replace(", ", ",\n") for name in methods])
    ax.set_xlabel(f"Gap ({measure.unit})")
    ax.legend(frameon=False, fontsize="small", loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    return ax


def published_pairs(published: pd.DataFrame):
    """Figure: published changes with their intervals, the two assumptions on trends side by side.

    Parameters
    ----------
    published : DataFrame
        `outcome`, `trends`, `estimate`, `ci_low`, `ci_high`.
    """
    ax = axes(None, height=2.8)
    labels = [f"{row.outcome.capitalize()}, {row.trends} trends" for row in published.itertuples()]
    for at, row in enumerate(published.itertuples()):
        colour = PALETTE["orange" if row.trends == "parallel" else "purple"]
        ax.hlines(at, row.ci_low, row.ci_high, color=colour, lw=2)
        ax.plot(row.estimate, at, "o", color=colour, ms=7)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    name_rows(ax, labels)
    ax.set_xlabel("Change per 100 beneficiary-years (95% interval)")
    return ax
