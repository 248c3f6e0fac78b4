"""How much single clusters decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.options import check_estimate
from apmkit.plots.style import PALETTE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate


def cluster_influence(
    estimate: Estimate, term: str | None = None, *, top: int = 15, ax: Axes | None = None, label: str | None = None
) -> Axes:
    """The estimate without each of the clusters that change it most, beside the one with all and its interval.

    Parameters
    ----------
    estimate : Estimate
        From `jackknife`.
    term : str, optional
        Which term; not needed if there is one.
    top : int
        How many clusters to show.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome.

    Raises
    ------
    ApmkitError
        The estimate is not from `jackknife`, `term` is needed or not known, or `top` is not at least 1.
    """
    check_estimate(estimate)
    if "leave_one_out" not in estimate.details or "cluster" not in estimate.details["leave_one_out"]:
        raise ApmkitError("This estimate does not say what each cluster changes: make it with jackknife.")
    if term is None and len(estimate.table) > 1:
        raise ApmkitError(
            f"Name one of the {len(estimate.table)} terms, for instance {estimate.table['term'].iloc[0]!r}."
        )
    if top < 1:
        raise ApmkitError(f"top={top} shows no cluster: give at least 1.")
    row = estimate.term(term or estimate.table["term"].iloc[0]).table.iloc[0]
    rows = estimate.details["leave_one_out"]
    rows = rows[(rows["term"] == row["term"]) & rows["estimate"].notna()].head(top)
    ax = axes(ax, height=1.2 + 0.3 * len(rows))
    if np.isfinite(row["ci_low"]):
        ax.axvspan(row["ci_low"], row["ci_high"], color=PALETTE["sky"], alpha=0.25, lw=0)
        ax.annotate(f"{100 * estimate.level:.6g}% interval with all", (row["ci_low"], 1), xytext=(2, 3),
                    xycoords=("data", "axes fraction"), textcoords="offset points", fontsize="small")  # fmt: skip
    y = np.arange(len(rows))
    ax.hlines(y, row["estimate"], rows["estimate"], color=PALETTE["light"], lw=1.5)
    ax.plot(rows["estimate"], y, "o", color=PALETTE["blue"], ms=5.5)
    ax.axvline(row["estimate"], color=PALETTE["blue"], lw=1.2)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_yticks(y, [f"without {cluster}" for cluster in rows["cluster"]])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(label or f"Effect on {estimate.outcome}")
    return ax
