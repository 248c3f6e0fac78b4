"""Figures of interrupted time series, weighting and regression to the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apmkit.plots.style import PALETTE, axes, detail, name_ends
from apmkit.words import rounded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate


def interrupted_series(
    estimate: Estimate, *, ax: Axes | None = None, label: str | None = None, digits: int | None = None
) -> Axes:
    """Observed points, the fitted line, and dashed what it would have been without the change; the effect at the end.

    The band around the dashed line is the interval of the line, not of single points.

    Parameters
    ----------
    estimate : Estimate
        From an interrupted time series.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome; the column name by default.
    digits : int, optional
        Decimals of the effect.

    Raises
    ------
    ApmkitError
        The estimate has no series.
    """
    series, found = detail(estimate, "series"), estimate.diagnostics
    ax = axes(ax)
    period, blue, orange = series["period"].to_numpy(), PALETTE["blue"], PALETTE["orange"]
    used, later = series["used"].to_numpy(), period >= found["first_period_after"]
    ax.plot(period[used], series["observed"][used], "o", color=PALETTE["grey"], ms=3.5, label="observed")
    if not used.all():
        ax.plot(period[~used], series["observed"][~used], "o", mfc="white", mec=PALETTE["grey"], ms=3.5,
                label="left out: transition")  # fmt: skip
    for part, name in ((period < found["start"], "fitted"), (later, None)):
        ax.plot(period[part], series["fitted"][part], color=blue, lw=2, label=name)
    without = series[later]
    ax.plot(without["period"], without["counterfactual"], color=orange, lw=1.8, ls="--", label="without the change")
    ax.fill_between(without["period"], without["counterfactual_low"], without["counterfactual_high"], color=orange,
                    alpha=0.15, lw=0, label=f"{100 * estimate.level:.6g}% interval of that line")  # fmt: skip
    ax.axvline(found["start"] - 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    last = series.iloc[-1]
    ax.annotate("", (last["period"], last["fitted"]), (last["period"], last["counterfactual"]),
                arrowprops={"arrowstyle": "->", "color": blue, "lw": 1.2, "shrinkA": 0, "shrinkB": 0})  # fmt: skip
    precision = (last["effect_high"] - last["effect_low"]) / 4
    effect, low, high = (rounded(last[f"effect{end}"], precision, digits) for end in ("", "_low", "_high"))
    ax.annotate(f"{effect}\n[{low}, {high}]", (last["period"], (last["fitted"] + last["counterfactual"]) / 2),
                xytext=(8, 0), textcoords="offset points", va="center", fontsize="small", color=blue,
                annotation_clip=False)  # fmt: skip
    ax.margins(x=0.1)
    ax.set_xlabel("Period")
    ax.set_ylabel(label or _of(estimate))
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    return ax


def _of(estimate: Estimate) -> str:
    return f"{estimate.outcome}, difference" if "groups" in estimate.details else estimate.outcome


def love(estimate: Estimate, *, ax: Axes | None = None, limit: float = 0.1) -> Axes:
    """Standardised differences of the covariates before and after weighting, largest before on top (Love 2002).

    Parameters
    ----------
    estimate : Estimate
        From a design that weights a cross-section.
    ax : Axes, optional
        Where to draw.
    limit : float
        Difference marked as much, in standard deviations.

    Raises
    ------
    ApmkitError
        The estimate has no balance table.
    """
    table = detail(estimate, "balance")
    table = table.reindex(table["difference_before"].abs().sort_values(ascending=False).index)
    ax = axes(ax, height=1.3 + 0.32 * len(table))
    rows = np.arange(len(table))
    ax.hlines(rows, table["difference_before"], table["difference_after"], color=PALETTE["light"], lw=1.2)
    ax.plot(table["difference_before"], rows, "o", mfc="white", mec=PALETTE["orange"], ms=6, label="before weighting")
    ax.plot(table["difference_after"], rows, "o", color=PALETTE["blue"], ms=6, label="after")
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    for side in (-limit, limit):
        ax.axvline(side, color=PALETTE["grey"], lw=0.8, ls=":")
    ax.set_yticks(rows, [str(name).replace("_", " ") for name in table.index])
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlabel("Treated less untreated, in standard deviations")
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return ax


def change_of_selected(
    estimate: Estimate, *, ax: Axes | None = None, label: str | None = None, digits: int | None = None
) -> Axes:
    """Mean of the selected before and after, and dashed where selection alone would have taken them.

    The bar at the dashed end is the interval of the remaining change, drawn around the expected value.

    Parameters
    ----------
    estimate : Estimate
        From `regression_to_the_mean`.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome; the column name by default.
    digits : int, optional
        Decimals of the remaining change.

    Raises
    ------
    ApmkitError
        The estimate is not a check of regression to the mean.
    """
    detail(estimate, "references")
    means = estimate.details["means"].set_index("group")
    rows = estimate.table.set_index("term")
    ax = axes(ax)
    blue, orange, grey = PALETTE["blue"], PALETTE["orange"], PALETTE["grey"]
    start, end = means.loc["selected"]
    expected, remaining = start + rows.loc["expected change", "estimate"], rows.loc["remaining change"]
    half = (remaining["ci_high"] - remaining["ci_low"]) / 2
    ends = {"selected": (end, blue), "expected from selection alone": (expected, orange)}
    ax.plot([0, 1], [start, end], "o-", color=blue, lw=2.2)
    ax.plot([0, 1], [start, expected], "--", color=orange, lw=2)
    ax.errorbar([1], [expected], yerr=[half], fmt="o", color=orange, lw=1.4, capsize=4)
    if np.isfinite(means.loc["not selected", "before"]):
        ax.plot([0, 1], means.loc["not selected"], "o-", color=grey, lw=1.4)
        ends["not selected"] = (means.loc["not selected", "after"], grey)
    name_ends(ax, 1, ends)
    amount, low, high = (rounded(remaining[c], remaining["se"], digits) for c in ("estimate", "ci_low", "ci_high"))
    ax.set_title(f"Remaining change {amount} ({100 * estimate.level:.6g}% CI {low} to {high})", fontsize="small")
    ax.set_xticks([0, 1], ["Period of selection", "After"])
    ax.set_xlim(-0.15, 1.15)
    ax.set_ylabel(label or f"Mean of {estimate.outcome}")
    return ax
