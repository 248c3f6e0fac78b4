"""Estimates before and after new data."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def revisions(table: pd.DataFrame, *, before: str = "before", after: str = "after") -> Figure:
    """Old and new interval of each study side by side, each study on its own scale; a point where there is none.

    Parameters
    ----------
    table : DataFrame
        With `axis` and, ending in ``_before`` and ``_after``, `estimate`, `ci_low` and `ci_high`, one row per study.
    before, after : str
        Words for the two versions of the data.

    Raises
    ------
    ApmkitError
        No row has an estimate.
    """
    import matplotlib.pyplot as plt

    shown = table[table[["estimate_before", "estimate_after"]].notna().any(axis=1)]
    if shown.empty:
        raise ApmkitError("There is no estimate to show.")
    figure = plt.figure(figsize=(7.2, 1.45 * len(shown)), layout="constrained")
    for ax, (_, row) in zip(np.ravel(figure.subplots(len(shown), 1)), shown.iterrows(), strict=True):
        for y, (when, color) in enumerate((("before", PALETTE["grey"]), ("after", PALETTE["blue"]))):
            ax.plot([row[f"ci_low_{when}"], row[f"ci_high_{when}"]], [y, y], color=color, lw=2.2)
            ax.plot([row[f"estimate_{when}"]], [y], "o", color=color, ms=6.5)
        ax.axvline(0, color=PALETTE["grey"], lw=0.9)
        ax.set_yticks([0, 1], [before, after])
        ax.set_ylim(1.6, -0.6)
        ax.set_title("\n".join(textwrap.wrap(row["axis"], 80)), fontsize="small")
        ax.tick_params(labelsize="small")
    return figure
