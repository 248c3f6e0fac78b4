"""One palette, one style, and what several figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.options import check_estimate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""A box behind words, so that no line strikes them through."""


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


def source(figure: Axes | Figure, text: str) -> None:
    """Write where the data of a figure come from, in small type below it."""
    figure.figure.text(0.01, -0.03, f"Source: {text}", fontsize=8, color=PALETTE["grey"], ha="left", va="top")


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
                    color=ends[name][1], annotation_clip=False, bbox=PAPER)  # fmt: skip


def name_rows(ax: Axes, names: Sequence[str], **text) -> None:
    """Names for the rows 0, 1, ... of a figure, the first at the top."""
    ax.set_yticks(range(len(names)), names, **text)
    ax.set_ylim(len(names) - 0.5, -0.5)


def detail(estimate: Estimate, name: str) -> pd.DataFrame:
    """A supporting table of an estimate, refused where it has none of that name."""
    check_estimate(estimate)
    if name not in estimate.details:
        raise ApmkitError(f"This estimate ({estimate.estimator}) has no {name}: it has {sorted(estimate.details)}.")
    return estimate.details[name]


def axes(ax: Axes | None, height: float = 4.2) -> Axes:
    """`ax`, or the axes of a new figure, `height` inches high.

    Raises
    ------
    ApmkitError
        matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        raise ApmkitError("Figures need matplotlib and seaborn: pip install 'apmkit[notebooks]'.") from None

    return plt.subplots(figsize=(7.2, height), layout="constrained")[1] if ax is None else ax
