"""Effects with their intervals, and the weights behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate


def event_study(
    estimate: Estimate, *, ax: Axes | None = None, label: str | None = None, band: bool = True, seed: int = 0
) -> Axes:
    """Effects by time since treatment with pointwise intervals and, shaded, a band that holds for all at once.

    Parameters
    ----------
    estimate : Estimate
        With a `relative_time` for each term.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome; the column name by default.
    band : bool
        Draw the uniform band.
    seed : int
        Seed of the band's simulation.

    Raises
    ------
    ApmkitError
        The terms have no relative time.
    """
    table = estimate.table
    if "relative_time" not in table:
        raise ApmkitError('This estimate has no relative time: call aggregate("event") first.')
    ax = axes(ax)
    time, blue, grey = table["relative_time"].to_numpy(), PALETTE["blue"], PALETTE["grey"]
    level = f"{100 * estimate.level:.6g}%"
    if band:
        bounds = estimate.uniform_band(seed=seed)
        varies = (bounds["high"] > bounds["low"]).to_numpy()
        ax.vlines(time[varies], bounds["low"][varies], bounds["high"][varies], color=PALETTE["sky"], alpha=0.45, lw=7,
                  label=f"{level} band for all at once")  # fmt: skip
    ax.vlines(
        time,
        table["ci_low"],
        table["ci_high"],
        color=blue,
        lw=1.8,
        label=f"{level} interval for each",
    )
    ax.plot(time, table["estimate"], "o", color=blue, ms=5.5)
    if -1 not in time and (time < -1).any():
        ax.plot([-1], [0], "o", mfc="white", mec=grey, ms=5.5, label="reference")
    ax.axhline(0, color=grey, lw=0.9)
    ax.axvline(-0.5, color=grey, lw=0.9, ls=":")
    ax.set_xticks(np.arange(time.min(), time.max() + 1))
    ax.set_xlabel("Periods since treatment began")
    ax.set_ylabel(label or f"Effect on {estimate.outcome}")
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    return ax


def intervals(
    estimates: Mapping[str, Estimate], *, ax: Axes | None = None, label: str | None = None, digits: int | None = None
) -> Axes:
    """One row with estimate and interval for each named estimate; its first term, or the term of that name.

    Parameters
    ----------
    estimates : mapping of str to Estimate
        In the order to show, from the top.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome.
    digits : int, optional
        Write the numbers at the right with so many decimals.
    """
    rows = []
    for name, estimate in estimates.items():
        terms = estimate.table["term"]
        at = int(np.flatnonzero(terms == name)[0]) if (terms == name).any() else 0
        rows.append(estimate.table.iloc[at])
    if not rows:
        raise ApmkitError("There is no estimate to show.")
    ax = axes(ax, height=0.9 + 0.42 * len(rows))
    for y, row in enumerate(rows):
        ax.plot([row.ci_low, row.ci_high], [y, y], color=PALETTE["blue"], lw=1.8)
        ax.plot([row.estimate], [y], "o", color=PALETTE["blue"], ms=6)
        if digits is not None:
            text = f"{row.estimate:,.{digits}f} [{row.ci_low:,.{digits}f}, {row.ci_high:,.{digits}f}]"
            ax.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_yticks(range(len(rows)), list(estimates))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(label or f"Effect on {next(iter(estimates.values())).outcome}")
    return ax


def weights_heatmap(estimate: Estimate, term: str | None = None, *, ax: Axes | None = None) -> Axes:
    """The weights an estimator puts on the outcomes of each cohort in each period: blue adds, red subtracts.

    Treated cells are framed. A treated cell in red is an effect that counts negatively.

    Parameters
    ----------
    estimate : Estimate
        From difference-in-differences.
    term : str, optional
        Which term; not needed if there is one.
    ax : Axes, optional
        Where to draw.
    """
    frame = estimate.weights(term)
    ax = axes(ax, height=1.2 + 0.42 * len(frame))
    import seaborn as sns
    from matplotlib.patches import Rectangle

    limit = float(np.abs(frame.to_numpy()).max())
    numbers = frame.round(2).to_numpy() + 0.0  # adding zero turns -0.0 into 0.0
    sns.heatmap(frame, ax=ax, cmap="RdBu", center=0, vmin=-limit, vmax=limit, linewidths=0.5, linecolor="white",
                annot=numbers if len(frame.columns) <= 12 else False, fmt=".2f", annot_kws={"fontsize": 7.5},
                cbar_kws={"label": "Weight on the cell"})  # fmt: skip
    for row, cohort in enumerate(frame.index):
        for column, period in enumerate(frame.columns):
            if cohort != "never" and period >= cohort:
                ax.add_patch(Rectangle((column, row), 1, 1, fill=False, ec="black", lw=1.2))
    ax.set_xlabel("Period")
    ax.set_ylabel("First treated period")
    ax.tick_params(axis="y", rotation=0)
    return ax
