"""Tables and figures of the study of avoidable hospital stays."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from apmkit.estimate import Estimate
from apmkit.plots.style import PALETTE, axes, name_rows
from apmkit.studies.canada_metro_acsc_equity_words import CONDITIONS, METHOD_WORDS, NAMES, PLACEBOS, Outcome


def inference_table(estimate: Estimate, digits: int) -> pd.DataFrame:
    """The ways of inference with the column names a reader sees."""
    rows = estimate.details["inference"]

    def text(values: pd.Series, digits: int = digits) -> pd.Series:
        return values.map(lambda value: "" if np.isnan(value) else f"{value:,.{digits}f}")

    return pd.DataFrame(
        {
            "How": rows["method"].map(METHOD_WORDS),
            "Standard error": text(rows["se"]),
            "Degrees of freedom": text(rows["df"], 1),
            "95% from": text(rows["ci_low"]),
            "95% to": text(rows["ci_high"]),
            "p": rows["p_value"],
        }
    )


def index_table(rows: pd.DataFrame, used: pd.DataFrame) -> pd.DataFrame:
    """Slope index and relative index of each area, one column a period, with 95% intervals.

    Parameters
    ----------
    rows : DataFrame
        From `area_periods`.
    used : DataFrame
        From `changes`; its doses order the areas.
    """
    columns = {}
    for name, short, write in (
        ("slope_index", "Slope index", "{:,.0f} ({:,.0f} to {:,.0f})"),
        ("relative_index", "Relative index", "{:.2f} ({:.2f} to {:.2f})"),
    ):
        for start, period in rows.set_index("area").groupby("first_fiscal_year"):
            ends = [period[name] + side * 1.96 * period[f"{name}_se"] for side in (0, -1, 1)]
            values = np.exp(ends) if name == "relative_index" else ends
            columns[f"{short} from {start}-{(start + 1) % 100:02d}"] = pd.Series(
                [write.format(*three) for three in zip(*values, strict=True)], period.index
            )
    table = pd.DataFrame(columns).fillna("").rename_axis("Area").reset_index()
    return table.sort_values("Area", key=lambda area: area.map(used["dose"]), kind="stable", ignore_index=True)


def gradients(rows: pd.DataFrame, used: pd.DataFrame):
    """Figure: rate by income quintile in both periods, one panel per area, in the order of dose.

    Parameters
    ----------
    rows : DataFrame
        From `rows_of`.
    used : DataFrame
        From `changes`.
    """
    areas = used.sort_values(["dose", "province"]).index
    columns = 5
    figure, panels = plt.subplots(
        -(-len(areas) // columns), columns, figsize=(7.2, 1.75 * -(-len(areas) // columns)), sharex=True, sharey=True,
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for ax in panels.flat[len(areas) :]:
        ax.set_visible(False)
    for ax, area in zip(panels.flat, areas, strict=False):
        groups = rows[(rows["area"] == area) & rows["income_quintile"].notna()].groupby("first_fiscal_year")
        for (_, group), colour, mark in zip(groups, (PALETTE["grey"], PALETTE["blue"]), ("o", "D"), strict=True):
            group = group.sort_values("income_quintile")
            ax.errorbar(group["income_quintile"].astype(int), group["age_standardised_rate"], 1.96 * group["se"],
                        color=colour, marker=mark, ms=3.5, lw=1.2)  # fmt: skip
        ax.set_title(f"{area}, {used.loc[area, 'province']} ({used.loc[area, 'dose']:+.1f})", fontsize=8)
        ax.set_xticks(range(1, 6))
    panels[0, 0].set_ylim(bottom=0)
    figure.supxlabel("Neighbourhood income quintile, 1 is poorest", fontsize=9)
    figure.supylabel("Stays per 100,000 people a year", fontsize=9)
    return panels[0, 0]


def indices(rows: pd.DataFrame, used: pd.DataFrame, name: str, measure: Outcome):
    """Figure: the outcome of every area in both periods with 95% intervals, in the order of dose."""
    areas = used.sort_values(["dose", "province"]).index
    ax = axes(None, 0.8 + 0.3 * len(areas))
    first, last = sorted(rows["first_fiscal_year"].unique())
    for start, colour, mark, shift in ((first, PALETTE["grey"], "o", 0.14), (last, PALETTE["blue"], "D", -0.14)):
        own = rows[rows["first_fiscal_year"] == start].set_index("area").loc[areas]
        ax.errorbar(own[name], np.arange(len(areas)) + shift, xerr=1.96 * own[f"{name}_se"], fmt=mark, ms=4.5,
                    color=colour, label=f"from {start}-{(start + 1) % 100:02d}")  # fmt: skip
    ax.set_yticks(range(len(areas)), [f"{area} ({used.loc[area, 'dose']:+.1f})" for area in areas])
    ax.set_xlabel(measure.axis.replace("\n", " "))
    ax.legend(frameon=False, loc="lower right")
    return ax


def dose_figure(used: pd.DataFrame, estimate: Estimate, measure: Outcome, *, line: bool = True):
    """Figure: change of the outcome against the dose; areas with intervals, provinces named, the slope."""
    ax = axes(None, 4.4)
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    spread = used.groupby("province").cumcount() - (used.groupby("province")["dose"].transform("size") - 1) / 2
    at = used["dose"] + 0.12 * spread
    ax.errorbar(at, used["change"], 1.96 * used["se"], fmt="none", ecolor=PALETTE["light"], lw=1.2)
    ax.scatter(at, used["change"], s=30 * used["weight"].clip(0.3, 4), color=PALETTE["blue"], zorder=3)
    doses = used.groupby("province")["dose"].first().sort_values()
    for number, (province, dose) in enumerate(doses.items()):  # neighbours at two heights do not hide each other
        ax.annotate(province, (dose, 1), xycoords=("data", "axes fraction"), xytext=(0, 2 + 11 * (number % 2)),
                    textcoords="offset points", ha="center", fontsize="small", color=PALETTE["grey"])  # fmt: skip
    if line:
        x = np.array([used["dose"].min(), used["dose"].max()])
        slope = estimate.table["estimate"].iloc[0] / 10
        mean = np.average(used[["dose", "change"]], axis=0, weights=used["weight"])
        ax.plot(x, mean[1] + slope * (x - mean[0]), color=PALETTE["orange"], lw=1.8)
    ax.set_xlabel("Change of the province's alternative share between the periods (percentage points)")
    ax.set_ylabel(f"Change of {measure.short}\n({measure.unit})")
    return ax


def interval_rows(rows: Mapping[str, tuple[float, float, float]], xlabel: str, marked: tuple[str, ...] = ()):
    """Figure: estimates with 95% intervals, one row each; rows named in `marked` are orange."""
    ax = axes(None, 0.8 + 0.36 * len(rows))
    for at, (name, (value, low, high)) in enumerate(rows.items()):
        colour = PALETTE["orange"] if name in marked else PALETTE["blue"]
        ax.plot([low, high], [at, at], color=colour, lw=1.6)
        ax.plot([value], [at], "o", color=colour, ms=6)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    name_rows(ax, list(rows))
    ax.set_xlabel(xlabel)
    return ax


def by_method(estimate: Estimate) -> dict[str, tuple[float, float, float]]:
    """Rows of `interval_rows` for the ways of inference that give an interval."""
    rows = estimate.details["inference"].dropna(subset=["ci_low", "ci_high"])
    value = estimate.table["estimate"].iloc[0]
    return {METHOD_WORDS[row.method]: (value, row.ci_low, row.ci_high) for row in rows.itertuples()}


def by_condition(found: Mapping[str, Estimate]) -> tuple[dict[str, tuple[float, float, float]], tuple[str, ...]]:
    """Rows of `interval_rows` for every condition, and the names of placebos."""
    rows = {
        CONDITIONS[name].words: tuple(estimate.table[["estimate", "ci_low", "ci_high"]].iloc[0])
        for name, estimate in found.items()
    }
    return rows, tuple(CONDITIONS[name].words for name in PLACEBOS)


def by_province(table: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """Rows of `interval_rows` from `without_each_province`."""
    columns = table[["estimate", "ci_low", "ci_high"]]
    return {f"without {NAMES[code]}": tuple(row) for code, row in columns.iterrows()}
