"""Figures of designs with few treated units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE, axes, broken_lines, detail, name_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate


def synthetic_paths(estimate: Estimate, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """The treated unit and its synthetic control over time; lines break where a period is missing.

    Parameters
    ----------
    estimate : Estimate
        From a design with few treated units.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome; the column name by default.

    Raises
    ------
    ApmkitError
        The estimate has no synthetic path.
    """
    path = detail(estimate, "path")
    ax = axes(ax)
    treated, blue, orange = _treated_name(estimate), PALETTE["blue"], PALETTE["orange"]
    lines = path.set_index("period")
    broken_lines(ax, lines[["treated"]], color=blue, lw=2.2)
    broken_lines(ax, lines[["synthetic"]], color=orange, lw=2.0, ls="--")
    shifted = ", shifted" if "time_weights" in estimate.details else ""
    names = {treated: ("treated", blue), f"Synthetic {treated}{shifted}": ("synthetic", orange)}
    name_ends(ax, lines.index[-1], {name: (lines[column].iloc[-1], colour) for name, (column, colour) in names.items()})
    return _over_time(ax, estimate, label or estimate.outcome)


def placebo_gaps(estimate: Estimate, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """The gap of the treated unit among the gaps that the same method finds for donors; lines break where a period is
    missing. With one treated unit the donor of most weight and the donor of the largest gap after treatment are named.

    Parameters
    ----------
    estimate : Estimate
        From a design with few treated units, with placebos.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome; the column name by default.

    Raises
    ------
    ApmkitError
        The estimate has no placebos.
    """
    gaps, path = detail(estimate, "placebo_gaps"), detail(estimate, "path")
    ax = axes(ax)
    wide = gaps.pivot_table(index="period", columns="unit", values="gap")
    broken_lines(ax, wide, color=PALETTE["light"], lw=0.9)
    broken_lines(ax, path.set_index("period")[["gap"]], color=PALETTE["blue"], lw=2.4)
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ends = {_treated_name(estimate): (path["gap"].iloc[-1], PALETTE["blue"])}
    weights = estimate.details["donor_weights"]
    if set(wide) <= set(weights["unit"]):
        placebos = estimate.details["placebos"].set_index("unit")["estimate"]
        named = [placebos.abs().idxmax()]
        if weights["weight"].iloc[0] > weights["weight"].iloc[-1]:
            named.append(weights["unit"].iloc[0])
        ends |= {str(unit): (wide[unit].iloc[-1], PALETTE["grey"]) for unit in named}
    name_ends(ax, wide.index[-1], ends)
    kind = "donors as placebos" if estimate.diagnostics["n_treated"] == 1 else "placebo sets"
    ax.set_title(f"Grey: {wide.shape[1]} {kind}", color=PALETTE["grey"], fontsize="small")
    return _over_time(ax, estimate, f"Gap in {label or estimate.outcome}")


def gap_intervals(estimate: Estimate, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """The gap between the treated unit and its synthetic control, with the interval of each period after treatment.

    Parameters
    ----------
    estimate : Estimate
        From `apmkit.synth.conformal_intervals`.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome; the column name by default.

    Raises
    ------
    ApmkitError
        The estimate has no path of gaps or no row for each period.
    """
    path, table = detail(estimate, "path"), estimate.table
    if "period" not in table:
        raise ApmkitError("This estimate has no effect for each period: it comes from conformal_intervals(panel).")
    ax, blue = axes(ax), PALETTE["blue"]
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    bounded = table[np.isfinite(table["ci_low"]) & np.isfinite(table["ci_high"])]
    if len(bounded):
        period, low, high = (bounded[name] for name in ("period", "ci_low", "ci_high"))
        ax.fill_between(period, low, high, color=PALETTE["sky"], alpha=0.35, lw=0)
        level = f"{100 * estimate.level:.6g}%"
        ax.vlines(period, low, high, color=blue, lw=1.2, label=f"{level} interval for each period")
        ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    else:
        ax.set_title("No finite interval", color=PALETTE["grey"], fontsize="small")
    broken_lines(ax, path.set_index("period")[["gap"]], color=blue, lw=2.2)
    return _over_time(ax, estimate, f"Gap in {label or estimate.outcome}")


def donor_weights(estimate: Estimate, *, ax: Axes | None = None, most: int = 20) -> Axes:
    """Weights of the donors, largest on top; those that round to zero are counted on the axis.

    Parameters
    ----------
    estimate : Estimate
        From a design with few treated units.
    ax : Axes, optional
        Where to draw.
    most : int
        Number of donors shown.

    Raises
    ------
    ApmkitError
        The estimate has no donor weights.
    """
    weights = detail(estimate, "donor_weights")
    shown = weights[weights["weight"] >= 0.0005].head(most)
    ax = axes(ax, height=1.2 + 0.28 * len(shown))
    bars = ax.barh(shown["unit"].astype(str), shown["weight"], color=PALETTE["blue"], height=0.65)
    ax.bar_label(bars, fmt="%.3f", padding=3, fontsize="small", color=PALETTE["grey"])
    ax.invert_yaxis()
    ax.margins(x=0.12)
    rest = len(weights) - len(shown)
    share = weights["weight"].iloc[len(shown) :].sum()
    ax.set_xlabel("Weight" + (f" ({rest} other donors share {share:.3f})" if rest else ""))
    ax.set_ylabel(estimate.panel.unit)
    ax.tick_params(axis="y", length=0)
    return ax


def _treated_name(estimate: Estimate) -> str:
    units = estimate.panel.units[np.isfinite(estimate.panel.cohorts)]
    return str(units[0]) if len(units) == 1 else f"{len(units)} treated units"


def _over_time(ax: Axes, estimate: Estimate, label: str) -> Axes:
    from matplotlib.ticker import MaxNLocator

    ax.axvline(estimate.panel.cohorts.min() - 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(estimate.panel.time)
    ax.set_ylabel(label)
    return ax
