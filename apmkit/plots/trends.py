"""How robust an event study is to trends that are not parallel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from apmkit.plots.style import PALETTE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate
    from apmkit.inference.honest import Kind, Weights

BOUNDS = {
    "relative_magnitudes": "Largest change in trend after treatment, as a multiple of the largest before",
    "smoothness": "Largest change in the slope of the trend from one period to the next",
}


def sensitivity(
    estimate: Estimate,
    kind: Kind = "relative_magnitudes",
    m: Sequence[float] | None = None,
    *,
    weights: Weights = "first",
    level: float | None = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The interval under parallel trends beside those that allow for departures, and where zero enters them.

    Parameters
    ----------
    estimate, kind, m, weights, level
        As in `apmkit.inference.sensitivity`.
    label : str, optional
        Axis label with the unit of the outcome; the column name by default.
    ax : Axes, optional
        Where to draw.

    Raises
    ------
    ApmkitError
        As in `apmkit.inference.sensitivity`.
    """
    from apmkit.inference.honest import breakdown, original_interval
    from apmkit.inference.honest import sensitivity as intervals

    table = intervals(estimate, kind, m, weights=weights, level=level)
    original = original_interval(estimate, weights=weights, level=level)
    limit = breakdown(estimate, kind, weights=weights, level=level)
    ax = axes(ax)
    at, blue, grey = table["m"].to_numpy(), PALETTE["blue"], PALETTE["grey"]
    step = np.diff(np.unique(at)).min() if len(np.unique(at)) > 1 else max(at[0], 1.0)
    parallel = at.min() - step
    ax.vlines([parallel], *original, color=PALETTE["orange"], lw=3)
    ax.vlines(at, table["low"], table["high"], color=blue, lw=3)
    ax.axhline(0, color=grey, lw=0.9)
    if at.min() <= limit <= at.max():
        ax.axvline(limit, color=grey, lw=0.9, ls="--")
        ax.annotate(f"zero enters at {limit:.3g}", (limit, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
                    textcoords="offset points", ha="center", fontsize="small", color=grey)  # fmt: skip
    shown = at if len(at) <= 11 else at[:: -(-len(at) // 11)]
    ax.set_xticks([parallel, *shown], ["parallel\ntrends", *(f"{value:.3g}" for value in shown)])
    ax.set_xlabel(BOUNDS[kind])
    level = estimate.level if level is None else level
    ax.set_ylabel(f"{label or f'Effect on {estimate.outcome}'}\n({100 * level:.6g}% intervals)")
    return ax


def pretrend(estimate: Estimate, slope: float, *, label: str | None = None, ax: Axes | None = None, **options) -> Axes:
    """An event study beside a linear violation and what it looks like on average if its pre-trend test passed.

    Parameters
    ----------
    estimate : Estimate
    slope : float
        Change per period of the difference in trends, in units of the outcome.
    label : str, optional
        Axis label with the unit of the outcome; the column name by default.
    ax : Axes, optional
        Where to draw.
    **options
        For `apmkit.inference.trend_after_pretest`.
    """
    from apmkit.inference.pretrends import trend_after_pretest
    from apmkit.plots.effects import event_study

    expected = trend_after_pretest(estimate, slope, **options).set_index("relative_time")
    # All are zero in the reference period.
    expected = expected.reindex(range(expected.index[0], expected.index[-1] + 1), fill_value=0.0)
    ax = event_study(estimate, ax=ax, label=label, band=False)
    lines = {"trend": ("violation", "orange", "-"), "if_passed": ("its mean if the test passed", "purple", "--")}
    for column, (name, colour, dashes) in lines.items():
        ax.plot(expected.index, expected[column], color=PALETTE[colour], ls=dashes, lw=1.6, label=name)
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return ax
