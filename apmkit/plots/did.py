"""What a two-way coefficient averages, and effects by dose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE, axes, name_ends

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate

_MARKS = {
    "treated vs never treated": ("o", "blue"),
    "earlier vs later treated": ("^", "green"),
    "later vs earlier treated": ("s", "orange"),
    "between treated cohorts": ("^", "green"),
    "within cohorts": ("D", "purple"),
}


def bacon(decomposition: pd.DataFrame, *, ax: Axes | None = None, label: str | None = None, named: int = 6) -> Axes:
    """Each comparison by its weight and its estimate; the line is their weighted mean, the two-way coefficient.

    Parameters
    ----------
    decomposition : DataFrame
        From `bacon_decomposition`.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome.
    named : int
        How many comparisons to name, by weight.

    Raises
    ------
    ApmkitError
        The table is not one of `bacon_decomposition`.
    """
    missing = {"treated", "comparison", "kind", "estimate", "weight"} - set(getattr(decomposition, "columns", ()))
    if missing:
        raise ApmkitError(
            f"The table lacks the columns {', '.join(sorted(missing))}: give the result of bacon_decomposition."
        )
    ax = axes(ax, height=4.6)
    for kind, (marker, colour) in _MARKS.items():
        rows = decomposition[decomposition["kind"] == kind]
        if len(rows):
            ax.plot(rows["weight"], rows["estimate"], marker, color=PALETTE[colour], ms=7, alpha=0.85,
                    label=f"{kind} ({rows['weight'].sum():.0%} of the weight)")  # fmt: skip
    mean = float(decomposition["weight"] @ decomposition["estimate"])
    ax.axhline(mean, color=PALETTE["grey"], lw=1.2, ls="--")
    ax.set_xlim(0, decomposition["weight"].max() * 1.3)
    largest = decomposition[decomposition["kind"] != "within cohorts"].nlargest(named, "weight")
    width, height = np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())
    for row in largest.itertuples():
        right = (largest["weight"] - row.weight) / width
        near = (np.abs(largest["estimate"] - row.estimate) < 0.05 * height) & (right > 0) & (right < 0.15)
        # A name that would run into another point stands on the left.
        ax.annotate(f"{row.treated:.0f} vs {row.comparison}", (row.weight, row.estimate),
                    xytext=(-7 if near.any() else 7, 0), ha="right" if near.any() else "left", va="center",
                    textcoords="offset points", fontsize="x-small", color=PALETTE[_MARKS[row.kind][1]])  # fmt: skip
    ax.annotate(f"two-way fixed effects {mean:.3g}", (1, mean), xycoords=("axes fraction", "data"), xytext=(0, 3),
                textcoords="offset points", ha="right", fontsize="small", color=PALETTE["grey"])  # fmt: skip
    ax.set_xlabel("Weight of the comparison")
    ax.set_ylabel(label or "Estimate of the comparison")
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return ax


def dose_response(
    estimate: Estimate,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    dose_label: str | None = None,
    band: bool = True,
    seed: int = 0,
) -> Axes:
    """Levels or slopes by dose with pointwise intervals and, shaded, a band that holds for all doses at once.

    Parameters
    ----------
    estimate : Estimate
        From `apmkit.dose_response`.
    ax : Axes, optional
        Where to draw.
    label, dose_label : str, optional
        Axis labels with units.
    band : bool
        Draw the uniform band.
    seed : int
        Seed of the band's simulation.

    Raises
    ------
    ApmkitError
        The terms have no dose.
    """
    if "dose" not in estimate.table:
        raise ApmkitError("This estimate has no doses: draw a result of dose_response.")
    ax = axes(ax)
    curve = estimate.table["dose"].notna().to_numpy()
    table, blue, grey = estimate.table[curve], PALETTE["blue"], PALETTE["grey"]
    dose, level = table["dose"].to_numpy(), f"{100 * estimate.level:.6g}%"
    if band:
        bounds = estimate.uniform_band(seed=seed)[curve]
        ax.fill_between(dose, bounds["low"], bounds["high"], color=PALETTE["sky"], alpha=0.3, lw=0,
                        label=f"{level} band for all at once")  # fmt: skip
    ax.fill_between(dose, table["ci_low"], table["ci_high"], color=blue, alpha=0.3, lw=0,
                    label=f"{level} interval for each")  # fmt: skip
    ax.plot(dose, table["estimate"], color=blue, lw=2, marker="o", ms=3 if len(dose) > 1 else 6)
    mean = float(estimate.table["estimate"].iloc[int(np.flatnonzero(~curve)[0])])
    ax.plot([dose.min(), dose.max()], [mean, mean], color=grey, lw=1.2, ls="--")
    ax.axhline(0, color=grey, lw=0.9)
    name_ends(ax, dose.max(), {f"mean {mean:.3g}": (mean, grey)})
    outcome = estimate.outcome
    slope = estimate.estimand == "ACRT"
    ax.set_xlabel(dose_label or f"Dose: {estimate.diagnostics['dose']}")
    ax.set_ylabel(label or (f"Effect of one more unit of dose on {outcome}" if slope else f"Effect on {outcome}"))
    ax.set_title("Slope" if slope else "Level")
    ax.legend(frameon=False, fontsize="small", loc="best")
    return ax
