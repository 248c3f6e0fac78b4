"""Tables and figures of the study of Ontario's move to capitation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate
from apmkit.plots.style import PALETTE, axes, broken_lines, name_ends
from apmkit.studies.canada_ontario_capitation_wave_words import TREATED, effect_text
from apmkit.studies.one_treated import Measure


def conditions_table(conditions: pd.DataFrame) -> pd.DataFrame:
    """The conditions of the design with the column names a reader sees."""
    return pd.DataFrame(
        {
            "Condition": conditions["condition"],
            "The design needs": conditions["needed"],
            "Found": conditions["found"],
            "Holds": conditions["holds"].map({True: "yes", False: "no"}),
        }
    )


def published_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Published comparisons of physicians or patients with the column names a reader sees."""
    return pd.DataFrame(
        {
            "Study": [f"{row.author} ({row.year})" for row in rows.itertuples()],
            "Compared": rows["program"],
            "Design": rows["design"],
            "Outcome": rows["outcome"],
            "Effect": [effect_text(row) for row in rows.itertuples()],
        }
    )


def share_lines(frame: pd.DataFrame, rise: pd.Series, points: int, start: int, last: int):
    """Figure: the alternative share of every province; donors that moved too are orange, hollow points estimates.

    Parameters
    ----------
    frame : DataFrame
        From `province_years`.
    rise : Series
        From `share_rise`.
    """
    rows = frame[frame["alternative_share"].notna() & (frame["year"] <= last)]
    wide = rows.pivot(index="year", columns="province", values="alternative_share")
    moved = [name for name, value in rise.items() if value >= points and name != TREATED]
    colour = {name: PALETTE["orange"] if name in moved else PALETTE["light"] for name in wide} | {
        TREATED: PALETTE["blue"]
    }
    ax = axes(None, 4.6)
    for name in wide:
        ax.plot(wide.index, wide[name], color=colour[name], lw=2.6 if name == TREATED else 1.3)
    guessed = rows[rows["estimated"]]
    ax.scatter(guessed["year"], guessed["alternative_share"], s=34, zorder=3, facecolor="white",
               edgecolor=[colour[name] for name in guessed["province"]])  # fmt: skip
    ax.axvline(start - 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    dark = {**colour, **{name: PALETTE["grey"] for name in wide if colour[name] == PALETTE["light"]}}
    name_ends(ax, wide.index[-1], {name: (wide[name].iloc[-1], dark[name]) for name in wide})
    ax.set(xlabel="Fiscal year, by the calendar year in which it starts", ylim=(0, None))
    ax.set_ylabel("Alternative payments\n(% of clinical payments)")
    return ax


def range_figure(estimate: Estimate, measure: Measure):
    """Figure: Ontario, its comparison, and the range of the donors, which no weighted average can leave."""
    panel, path = estimate.panel, estimate.details["path"].set_index("period")
    donors = panel.outcomes[np.isinf(panel.cohorts)]
    ax = axes(None)
    ax.fill_between(panel.periods, donors.min(axis=0), donors.max(axis=0), color=PALETTE["light"], alpha=0.45, lw=0)
    broken_lines(ax, path[["synthetic"]], color=PALETTE["orange"], lw=1.8, ls="--")
    broken_lines(ax, path[["treated"]], color=PALETTE["blue"], lw=2.4)
    ax.axvline(panel.cohorts.min() - 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    ends = {
        TREATED: (path["treated"].iloc[-1], PALETTE["blue"]),
        "Comparison": (path["synthetic"].iloc[-1], PALETTE["orange"]),
        "Range of donors": (donors[:, -1].min(), PALETTE["grey"]),
    }
    name_ends(ax, panel.periods[-1], ends)
    ax.set(xlabel="Fiscal year, by its first calendar year" if measure.fiscal else "Year", ylabel=measure.axis)
    return ax


def starts_figure(starts: pd.DataFrame, estimate: Estimate, measure: Measure):
    """Figure: gaps found for pretended starts beside the gap for the true one."""
    true, gap = estimate.panel.cohorts.min(), estimate.table["estimate"].iloc[0]
    ax = axes(None, 3.2)
    ax.plot(starts["start"], starts["estimate"], "o", color=PALETTE["grey"], ms=7, label="pretended start")
    ax.plot([true], [gap], "D", color=PALETTE["blue"], ms=9, label="start chosen")
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.margins(x=0.12)
    ax.set_xticks([*starts["start"], int(true)][:: max(1, len(starts) // 8)])
    ax.set(xlabel="Start told to the method", ylabel=f"Gap ({measure.unit})")
    ax.legend(frameon=False)
    return ax


def dose_figure(points: pd.DataFrame, measure: Measure):
    """Figure: change of the outcome against the rise of the alternative share; one point per province."""
    ax = axes(None)
    for name, row in points.iterrows():
        colour = PALETTE["blue"] if name == TREATED else PALETTE["grey"]
        ax.plot(row["rise"], row["change"], "o", color=colour, ms=9 if name == TREATED else 6)
        ax.annotate(name, (row["rise"], row["change"]), xytext=(7, 3), textcoords="offset points", fontsize="small",
                    color=colour)  # fmt: skip
    ax.margins(x=0.24)
    ax.set_xlabel("Rise of the alternative share (percentage points)")
    ax.set_ylabel(f"Change of {measure.words}\n(% of the level before, current dollars)")
    return ax
