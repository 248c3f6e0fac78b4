"""Figures of a regression discontinuity: the jump, the density of the running variable, other bandwidths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apmkit.columns import finite
from apmkit.designs.discontinuity_density import density_curves, density_test
from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE, axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate


def discontinuity(
    estimate: Estimate, *, ax: Axes | None = None, label: str | None = None, running: str | None = None
) -> Axes:
    """Binned means of the outcome with intervals, and the local polynomial of each side with its band.

    The jump of the lines is the conventional estimate of a sharp design.

    Parameters
    ----------
    estimate : Estimate
        From `regression_discontinuity`.
    ax : Axes, optional
        Where to draw.
    label, running : str, optional
        Axis labels with units; the column names by default.

    Raises
    ------
    ApmkitError
        The estimate is of another design.
    """
    if "bins" not in estimate.details:
        raise ApmkitError(f"{estimate.estimator} has no cutoff: give an estimate from regression_discontinuity.")
    bins, found = estimate.details["bins"], estimate.diagnostics
    ax = axes(ax)
    level = f"{100 * estimate.level:.6g}%"
    grey, blue = PALETTE["grey"], PALETTE["blue"]
    ax.vlines(bins["running"], bins["ci_low"], bins["ci_high"], color=PALETTE["light"], lw=1.2)
    ax.plot(bins["running"], bins["outcome"], "o", color=grey, ms=3.5, label=f"mean of a bin with {level} interval")
    for first, (_, curve) in enumerate(estimate.details["curve"].groupby("side")):
        ax.plot(curve["running"], curve["outcome"], color=blue, lw=2, label=None if first else "local polynomial")
        ax.fill_between(curve["running"], curve["ci_low"], curve["ci_high"], color=blue, alpha=0.2, lw=0,
                        label=None if first else f"{level} interval of the line")  # fmt: skip
    _finish(ax, found["cutoff"], running or found["running"], label or estimate.outcome)
    return ax


def density(
    data: pd.DataFrame,
    *,
    running: str,
    cutoff: float = 0.0,
    bandwidth: float | tuple[float, float] | None = None,
    kernel: str = "triangular",
    level: float = 0.95,
    ax: Axes | None = None,
    label: str | None = None,
) -> Axes:
    """Histogram of the running variable near the cutoff, the density fitted on each side, and the test of a jump.

    Parameters
    ----------
    data, running, cutoff, bandwidth, kernel
        As in `density_test`.
    level : float
        Level of the bands.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the running variable; its column name by default.

    Raises
    ------
    ApmkitError, EstimationError
        As in `density_test`.
    """
    chosen = {"running": running, "cutoff": cutoff, "bandwidth": bandwidth, "kernel": kernel}
    test, curves = density_test(data, **chosen), density_curves(data, **chosen, level=level)
    ax = axes(ax)
    values = finite(data, running)
    low, high = curves["running"].min(), curves["running"].max()
    width = (high - low) / 40
    # An edge of a bar lies on the cutoff, so that no bar holds rows of both sides.
    edges = cutoff + width * np.arange(np.floor((low - cutoff) / width), np.ceil((high - cutoff) / width) + 1)
    counts = np.diff(np.searchsorted(np.sort(values), edges, "left"))
    ax.bar(edges[:-1], counts / (len(values) * width), width=width, align="edge", color=PALETTE["light"],
           edgecolor="white", lw=0.5)  # fmt: skip
    for side, colour in (("below", PALETTE["blue"]), ("above", PALETTE["orange"])):
        curve = curves[curves["side"] == side]
        ax.plot(curve["running"], curve["density"], color=colour, lw=2, label=f"{side} the cutoff")
        ax.fill_between(curve["running"], curve["ci_low"], curve["ci_high"], color=colour, alpha=0.2, lw=0)
    ax.set_ylim(bottom=0)
    _finish(ax, cutoff, label or running, f"Density, {100 * level:.6g}% bands")
    p = test["p_value"]
    words = f"test of a jump: {'p < 0.001' if p < 0.001 else f'p = {p:.3f}'}"
    ax.annotate(words, (1, 1), xycoords="axes fraction", ha="right", va="bottom",
                fontsize="small")  # fmt: skip
    return ax


def bandwidths(table: pd.DataFrame, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Estimates with robust intervals by bandwidth; the number of rows above each.

    Parameters
    ----------
    table : DataFrame
        From `bandwidth_sensitivity`.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome.

    Raises
    ------
    ApmkitError
        The table is another one.
    """
    if "multiple" not in table:
        raise ApmkitError("The table has no column 'multiple': give one from bandwidth_sensitivity.")
    ax = axes(ax)
    blue = PALETTE["blue"]
    ax.vlines(table["bandwidth"], table["ci_low"], table["ci_high"], color=blue, lw=1.8)
    ax.plot(table["bandwidth"], table["estimate"], "o", color=blue, ms=5.5)
    for row in table.itertuples():
        ax.annotate(f"{row.n_below + row.n_above:,}", (row.bandwidth, row.ci_high), xytext=(0, 4), ha="center",
                    textcoords="offset points", fontsize="x-small", color=PALETTE["grey"])  # fmt: skip
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_xlabel("Bandwidth (rows within above each interval)")
    ax.set_ylabel(label or "Effect at the cutoff")
    return ax


def _finish(ax, cutoff, running, label):
    ax.axvline(cutoff, color=PALETTE["grey"], lw=0.9, ls=":")
    ax.set_xlabel(running)
    ax.set_ylabel(label)
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
