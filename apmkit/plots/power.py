"""Power by effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE, axes, name_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def power(
    curves: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    target: float = 0.8,
    ax: Axes | None = None,
    label: str | None = None,
) -> Axes:
    """Chance to find an effect by its size, and where it reaches a target.

    Parameters
    ----------
    curves : DataFrame or mapping of str to DataFrame
        From `power_curve` or `simulated_power`; several by name. The band of a simulated curve is two standard
        errors from its number of draws.
    target : float
        Draw a line at this power.
    ax : Axes, optional
        Where to draw.
    label : str, optional
        Axis label with the unit of the outcome.

    Raises
    ------
    ApmkitError
        There is no curve, or a table is no curve.
    """
    if not isinstance(curves, (pd.DataFrame, Mapping)):
        raise ApmkitError(f"curves is of type {type(curves).__name__}: give one from power_curve, or several by name.")
    named = {"": curves} if isinstance(curves, pd.DataFrame) else dict(curves)
    for name, curve in named.items():
        if not isinstance(curve, pd.DataFrame) or not {"effect", "power"} <= set(curve.columns):
            raise ApmkitError(f"Table {name!r} has no columns 'effect' and 'power': give one from power_curve.")
    if not named:
        raise ApmkitError("There is no curve to show.")
    ax = axes(ax)
    ends = {}
    for (name, curve), colour in zip(named.items(), _colours(len(named)), strict=True):
        curve = curve.sort_values("effect")
        ax.plot(curve["effect"], curve["power"], color=colour, lw=2)
        if "simulation_error" in curve:
            half = 2 * curve["simulation_error"]
            ax.fill_between(curve["effect"], np.maximum(curve["power"] - half, 0),
                            np.minimum(curve["power"] + half, 1), color=colour, alpha=0.2, lw=0)  # fmt: skip
        ends[name] = (curve["power"].iloc[-1], colour)
    ax.set_ylim(0, 1.02)
    ax.axhline(target, color=PALETTE["grey"], lw=0.9, ls=":")
    if len(named) > 1:
        name_ends(ax, max(curve["effect"].max() for curve in named.values()), ends)
    ax.set_xlabel(label or "Effect")
    ax.set_ylabel("Chance to find it")
    return ax


def _colours(number):
    palette = [colour for name, colour in PALETTE.items() if name not in ("grey", "light")]
    return [palette[i % len(palette)] for i in range(number)]
