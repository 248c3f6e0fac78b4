"""Figures and tables of the study of published evidence: gap map, forests of narrow groups, tables for readers."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from apmkit.plots.style import PALETTE, axes
from apmkit.studies.both_published_evidence import (
    Group,
    PublishedEvidenceParameters,
    group_rows,
    group_table,
    not_poolable,
    pool,
    why_not,
)
from apmkit.studies.both_published_evidence_rows import FAMILIES, OUTCOMES, VERDICTS, no_effect, shown
from apmkit.studies.tables import table as table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = {
    "better": ("o", "blue", True),
    "worse": ("D", "orange", True),
    "unclear": ("s", "grey", True),
    "either way": ("P", "purple", True),
    "not tested": ("o", "grey", False),
    "context": (".", "light", True),
    "retracted": ("X", "orange", True),
}


def gap_map(rows: pd.DataFrame) -> Axes:
    """Figure: one mark for each row, by model family and outcome; families of the two countries apart.

    Parameters
    ----------
    rows : DataFrame
        From `evidence_rows`.
    """
    from matplotlib.lines import Line2D

    order = [*FAMILIES, *sorted(set(rows["family"]) - set(FAMILIES))]
    countries = ["US", "Canada"]
    lines = [(c, f) for c in countries for f in order if ((rows["country"] == c) & (rows["family"] == f)).any()]
    height = {line: at + (line[0] == countries[1]) * 0.9 for at, line in enumerate(lines)}
    ax = plt.subplots(figsize=(10.4, 1.6 + 0.44 * len(lines)), layout="constrained")[1]
    for (country, family), y in height.items():
        ax.axhline(y, color=PALETTE["light"], lw=0.5, zorder=0)
        for x, outcome in enumerate(OUTCOMES):
            cell = rows[(rows["country"] == country) & (rows["family"] == family) & (rows["outcome_group"] == outcome)]
            found = sorted(cell["verdict"], key=list(VERDICTS).index)
            for at, verdict in enumerate(found):
                across, down = at % 5, at // 5
                right = x + 0.16 * (across - (min(len(found), 5) - 1) / 2)
                _mark(ax, right, y + 0.3 * (down - (len(found) - 1) // 5 / 2), verdict)
    for country in countries:
        own = [y for (c, _), y in height.items() if c == country]
        if own:
            ax.text(-0.55, min(own) - 0.62, "United States" if country == "US" else country, weight="bold", va="center")
    ax.set_yticks(list(height.values()), [family for _, family in height])
    ax.set_ylim(max(height.values()) + 0.6, -1.0)
    ax.set_xlim(-0.6, len(OUTCOMES) - 0.4)
    ax.set_xticks(range(len(OUTCOMES)), [name.replace(" ", "\n") for name in OUTCOMES], fontsize="small")
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    handles = [
        Line2D([], [], ls="", marker=mark, ms=7, mec=PALETTE[colour], mfc=PALETTE[colour] if full else "none",
               label=VERDICTS[name])
        for name, (mark, colour, full) in _MARKS.items()
    ]  # fmt: skip
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(-0.3, 0), ncols=2, frameon=False, fontsize="small")
    return ax


def _mark(ax: Axes, x: float, y: float, verdict: str) -> None:

    mark, colour, full = _MARKS[verdict]
    ax.plot([x], [y], mark, ms=6.5, mec=PALETTE[colour], mfc=PALETTE[colour] if full else "none", mew=1.2)


def forest_rows(rows: pd.DataFrame, parameters: PublishedEvidenceParameters, group: Group, ax: Axes | None = None):
    """Figure: every effect of a group with its interval as printed; usable ones filled; below them the mean, if any.

    Parameters
    ----------
    rows : DataFrame
        From `evidence_rows`.
    ax : Axes, optional
        Where to draw.
    """
    own = _effects(rows, group)
    reasons = why_not(own, parameters)
    refusal = not_poolable(own, reasons)
    if ax is None:
        ax = plt.subplots(figsize=(9.0, forest_height(len(own))), layout="constrained")[1]
    names = []
    for y, (index, row) in enumerate(own.iterrows()):
        used = reasons[index] == ""
        colour = PALETTE["blue"] if used and not refusal else PALETTE["grey"]
        low, middle, high = shown(row[["effect_low", "effect", "effect_high"]].astype(float), group.measure)
        if used and np.isnan(low):  # an interval from a p-value is dashed
            half = 1.96 * row["effect_se"]
            ends = shown(np.array([row["effect"] - half, row["effect"] + half]), group.measure)
            ax.hlines(y, *ends, color=colour, lw=1.3, ls="--")
        ax.hlines(y, low, high, color=colour, lw=1.6)
        ax.plot([middle], [y], "s", ms=7, mec=colour, mfc=colour if used else "white", mew=1.4)
        interval = "no interval" if np.isnan(low) else f"[{_number(low, group)}, {_number(high, group)}]"
        ax.annotate(f"{_number(middle, group)} {interval}", (1.01, y), xycoords=("axes fraction", "data"), va="center",
                    fontsize="small")  # fmt: skip
        names.append(_wrapped(f"{row['label']}: {row['outcome']}"))
    bottom = len(own)
    if not refusal:
        found = pool(rows, parameters, group)
        mean = found.table.iloc[0]
        if "prediction" in found.details:
            ends = found.details["prediction"].iloc[0]
            ax.hlines(bottom, ends["low"], ends["high"], color=PALETTE["orange"], lw=1.2)
        ax.fill([mean.ci_low, mean.estimate, mean.ci_high, mean.estimate], bottom + np.array([0, -0.25, 0, 0.25]),
                color=PALETTE["orange"], zorder=3)  # fmt: skip
        text = f"{_number(mean.estimate, group)} [{_number(mean.ci_low, group)}, {_number(mean.ci_high, group)}]"
        ax.annotate(text, (1.01, bottom), xycoords=("axes fraction", "data"), va="center", fontsize="small")
        names.append("Mean effect")
    ax.axvline(no_effect(group.measure), color=PALETTE["grey"], lw=0.9)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(group.unit[0].upper() + group.unit[1:])
    title = group.title if not refusal else f"{group.title}\nNot pooled: {refusal}"
    ax.set_title(title, fontsize="small", color=PALETTE["grey"])
    return ax


def _effects(rows: pd.DataFrame, group: Group) -> pd.DataFrame:
    own = group_rows(rows, group)
    return own[own["effect"].notna() & (own["verdict"] != "context")]


def forest_height(rows: int) -> float:
    """Height in inches of a forest of so many rows."""
    return 1.3 + 0.36 * (rows + 1)


def forests(rows: pd.DataFrame, parameters: PublishedEvidenceParameters, groups: dict[str, Group]):
    """Figure: the forests of several groups, one below the other, each on a scale of its own."""
    with_numbers = [g for g in groups.values() if len(_effects(rows, g))]
    heights = [forest_height(len(_effects(rows, g))) for g in with_numbers]
    axes = plt.subplots(len(heights), 1, figsize=(9.0, sum(heights)), height_ratios=heights, layout="constrained",
                        squeeze=False)[1][:, 0]  # fmt: skip
    for ax, group in zip(axes, with_numbers, strict=True):
        forest_rows(rows, parameters, group, ax)
    return axes[-1]


def _number(value: float, group: Group) -> str:
    digits = {"percent": 1, "USD per person-year": 0, "USD per episode": 0}
    return f"{value:,.{digits.get(group.measure, 2)}f}"


def _wrapped(text: str, width: int = 44) -> str:
    return "\n".join(textwrap.wrap(text, width, max_lines=2, placeholder=" …"))


def rounding(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> Axes:
    """Figure: how far rounding of both ends can move the standard error of an interval, by its width."""
    steps = rows.set_index("id")["interval_steps"].dropna()
    ax = axes(None, 3.6)
    narrow = steps < parameters.least_steps
    for chosen, colour in ((narrow, "orange"), (~narrow, "blue")):
        width, heads = np.unique(steps[chosen], return_counts=True)
        ax.scatter(width, 100 / width, s=30 * heads, color=PALETTE[colour], alpha=0.8, lw=0)
    ax.axvline(parameters.least_steps - 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    ax.set(xscale="log", xlabel="Width of the interval, in units of its last printed digit (area: number of rows)")
    ax.set_ylabel("Error of the standard error\nby rounding, at most (%)")
    ax.set_xticks([1, 2, 5, 10, 100, 1000, 10000, 100000], ["1", "2", "5", "10", "100", "1,000", "10,000", "100,000"])
    ax.annotate(
        "not pooled", (parameters.least_steps - 0.6, 104), ha="right", fontsize="small", color=PALETTE["orange"]
    )
    return ax


def living_table(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> pd.DataFrame:
    """Every row as a reader sees it: what was found, how it reads, and why it is not pooled."""
    printed = [
        "in words only"
        if np.isnan(row.estimate)
        else f"{row.estimate:g}" + ("" if np.isnan(row.ci_low) else f" [{row.ci_low:g}, {row.ci_high:g}]")
        for row in rows.itertuples()
    ]
    doi = rows["doi"].fillna("")
    return pd.DataFrame(
        {
            "Row": rows["id"],
            "Model": rows["model"],
            "Study": rows["author"] + " (" + rows["year"].astype("str") + ")",
            "Outcome": rows["outcome"],
            "Effect": printed,
            "Unit": rows["unit"],
            "Reads as": rows["verdict"],
            "Alone not to be pooled, since": why_not(rows, parameters),
            "DOI": doi.mask((rows["doi_status"] != "read") & (doi != ""), doi + " (unconfirmed)"),
        }
    )


def readable_groups(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> pd.DataFrame:
    """`group_table` with the names a reader sees, the groups with most usable rows first."""
    table = group_table(rows, parameters).sort_values(["usable", "rows"], ascending=False, kind="stable")
    table["why_not"] = table["why_not"].mask(table["why_not"] == "", "can be pooled")
    names = {
        **{"family": "Model family", "outcome_group": "Outcome", "why_not": "Pooled?", "measure": "Effect measure"},
        **{"rows": "Rows", "programmes": "Programmes", "with_interval": "With interval", "usable": "Usable"},
    }
    return table[list(names)].rename(columns=names)
