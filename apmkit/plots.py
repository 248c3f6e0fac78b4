"""Figures from Estimates: one palette, intervals always, units on the axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate

PALETTE = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#007A5A",
    "purple": "#8F4B8B",
    "sky": "#56B4E9",
    "grey": "#6B6B6B",
    "light": "#BDBDBD",
}
"""Colours after Okabe and Ito (2008), told apart with colour-blind eyes and in print."""


def use_style() -> None:
    """Set fonts, colours and sizes for all figures of a session; SVG inside Jupyter."""
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=list(PALETTE.values()),
        rc={
            "figure.figsize": (7.2, 4.2),
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titlesize": "medium",
            "svg.fonttype": "none",
            "svg.hashsalt": "apmkit",
        },
    )
    mpl.rcParams["font.sans-serif"] = ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"]
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    set_matplotlib_formats("svg")


def plot(estimate: Estimate, **options) -> Axes:
    """The figure that fits an estimate: event study, paths of a synthetic control, or intervals of its terms."""
    if "path" in estimate.details:
        return synthetic_paths(estimate, **options)
    if "relative_time" in estimate.table and "cohort" not in estimate.table:
        return event_study(estimate, **options)
    return intervals({row.term: estimate for row in estimate.table.itertuples()}, **options)


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
    ax = _axes(ax)
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
    ax = _axes(ax, height=0.9 + 0.42 * len(rows))
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
    ax = _axes(ax, height=1.2 + 0.42 * len(frame))
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
    path = _detail(estimate, "path")
    ax = _axes(ax)
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
    gaps, path = _detail(estimate, "placebo_gaps"), _detail(estimate, "path")
    ax = _axes(ax)
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
    kind = "donors as placebos" if estimate.diagnostics["n_treated"] == 1 else "placebo sets of donors"
    ax.set_title(f"Grey: {wide.shape[1]} {kind}", color=PALETTE["grey"], fontsize="small")
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
    weights = _detail(estimate, "donor_weights")
    shown = weights[weights["weight"] >= 0.0005].head(most)
    ax = _axes(ax, height=1.2 + 0.28 * len(shown))
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


def broken_lines(ax: Axes, frame: pd.DataFrame, **style) -> None:
    """A line for each column over the index, broken where a period is missing; a period alone is a dot."""
    periods = frame.index.to_numpy()
    steps = np.diff(periods)
    frame = frame.reindex(np.union1d(periods, periods[:-1][steps > steps.min()] + steps.min()))
    missing = np.pad(frame.isna().all(axis=1), 1, constant_values=True)
    alone = missing[:-2] & missing[2:]
    ax.plot(frame.index, frame, marker="o", ms=2 * style["lw"] + 2, markevery=list(np.flatnonzero(alone)), **style)


def name_ends(ax: Axes, x: float, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write names at the right ends of lines, moved apart where they would overlap.

    Parameters
    ----------
    ax : Axes
        With its lines drawn.
    x : float
        Where the lines end.
    ends : mapping of str to (float, str)
        Height and colour by name.
    """
    names = sorted(ends, key=lambda name: ends[name][0])
    apart = 0.05 * np.diff(ax.get_ylim()).item()
    wanted = np.array([ends[name][0] for name in names])
    steps = apart * np.arange(len(names))
    placed = np.maximum.accumulate(wanted - steps)
    # Halfway between pushing up from below and pushing down from above.
    placed = (placed + np.minimum.accumulate((wanted - steps)[::-1])[::-1]) / 2 + steps
    for name, height in zip(names, placed, strict=True):
        ax.annotate(name, (x, height), xytext=(9, 0), textcoords="offset points", va="center", fontsize="small",
                    color=ends[name][1], annotation_clip=False)  # fmt: skip


def _detail(estimate: Estimate, name: str):
    if name not in estimate.details:
        raise ApmkitError(f"This estimate ({estimate.estimator}) has no {name}: it has {sorted(estimate.details)}.")
    return estimate.details[name]


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


def source(ax: Axes, text: str) -> None:
    """Write where the data of a figure come from, in small type below it."""
    ax.figure.text(0.01, -0.03, f"Source: {text}", fontsize=8, color=PALETTE["grey"], ha="left", va="top")


def _axes(ax: Axes | None, height: float = 4.2) -> Axes:
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        raise ApmkitError("Figures need matplotlib and seaborn: pip install 'apmkit[notebooks]'.") from None

    return plt.subplots(figsize=(7.2, height), layout="constrained")[1] if ax is None else ax
