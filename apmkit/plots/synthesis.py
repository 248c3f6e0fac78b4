"""Figures of a synthesis: forest and funnel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.options import check_estimate
from apmkit.plots.style import PALETTE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate


def forest(estimate: Estimate, *, ax: Axes | None = None, label: str | None = None, digits: int = 2) -> Axes:
    """Each study with its interval, the size of its square its weight, and below them the mean effect as a diamond.

    Where the synthesis has a prediction interval, a thin line shows it: where the true effect of a new study may lie.

    Parameters
    ----------
    estimate : Estimate
        From `meta_analysis` or `multilevel_meta_analysis`, without moderators.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the effect; the column name by default.
    digits : int
        Decimals of the numbers at the right.

    Raises
    ------
    ApmkitError
        The estimate has no studies, or several terms.
    """
    studies = _studies(estimate)
    k, blue, grey = len(studies), PALETTE["blue"], PALETTE["grey"]
    ax = axes(ax, height=1.2 + 0.3 * (k + 1))
    row = estimate.table.iloc[0]
    size = 20 + 180 * np.sqrt(np.clip(studies["weight"], 0, None) / max(studies["weight"].max(), 1e-12))
    y = np.arange(k)
    ax.hlines(y, studies["ci_low"], studies["ci_high"], color=blue, lw=1.4)
    ax.scatter(studies["estimate"], y, s=size, marker="s", color=blue, zorder=3)
    prediction = estimate.details.get("prediction")
    if prediction is not None:
        ax.hlines([k + 0.4], prediction["low"], prediction["high"], color=PALETTE["orange"], lw=1.2)
    ax.fill([row.ci_low, row.estimate, row.ci_high, row.estimate], k + 0.4 + np.array([0, -0.3, 0, 0.3]),
            color=PALETTE["orange"], zorder=3)  # fmt: skip
    ax.axvline(0, color=grey, lw=0.9)
    ax.axvline(row.estimate, color=PALETTE["orange"], lw=0.8, ls=":")
    labels, numbers = [*studies["label"].astype(str), "Mean effect"], studies[["estimate", "ci_low", "ci_high"]]
    ax.set_yticks([*y, k + 0.4], labels)
    ax.set_ylim(k + 1, -0.7)
    for at, (middle, low, high) in zip([*y, k + 0.4], [*numbers.to_numpy(), (row.estimate, row.ci_low, row.ci_high)],
                                       strict=True):  # fmt: skip
        middle, low, high = (round(value, digits) + 0.0 for value in (middle, low, high))  # no -0.00
        text = f"{middle:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"
        ax.annotate(text, (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(label or f"Effect ({estimate.outcome})")
    level = f"{100 * estimate.level:.6g}%"
    note = f"{level} intervals" + ("; thin orange line: prediction for a new study" if prediction is not None else "")
    ax.set_title(note, color=grey, fontsize="small")
    return ax


def funnel(estimate: Estimate, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Effects against their standard errors, precise studies on top, with the region where 95 in 100 lie if all
    studies estimate the mean effect. A gap at one side of the foot hints at missing small studies.

    Parameters
    ----------
    estimate : Estimate
        From `meta_analysis` or `multilevel_meta_analysis`, without moderators.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the effect; the column name by default.

    Raises
    ------
    ApmkitError
        The estimate has no studies, or several terms.
    """
    studies, grey = _studies(estimate), PALETTE["grey"]
    ax = axes(ax)
    centre, foot = estimate.table["estimate"].iloc[0], 1.08 * studies["se"].max()
    ax.fill([centre, centre - 1.96 * foot, centre + 1.96 * foot], [0, foot, foot], color=PALETTE["light"], alpha=0.35)
    ax.axvline(centre, color=PALETTE["orange"], lw=1.2)
    ax.annotate(
        "mean effect",
        (centre, foot),
        xytext=(4, 5),
        textcoords="offset points",
        va="bottom",
        fontsize="small",
        color=PALETTE["orange"],
    )
    ax.axvline(0, color=grey, lw=0.9)
    ax.scatter(studies["estimate"], studies["se"], color=PALETTE["blue"], s=34, zorder=3)
    ax.set_ylim(foot, 0)
    ax.set_xlabel(label or f"Effect ({estimate.outcome})")
    ax.set_ylabel("Standard error (small studies below)")
    ax.set_title("Shaded: where 95 in 100 studies of one true effect lie", color=grey, fontsize="small")
    return ax


def _studies(estimate: Estimate):
    check_estimate(estimate)
    if "studies" not in estimate.details:
        raise ApmkitError(f"This estimate ({estimate.estimator}) is no synthesis: call meta_analysis first.")
    if len(estimate.table) > 1:
        raise ApmkitError("This synthesis has moderators and so no single mean effect: leave them out for this figure.")
    return estimate.details["studies"]
