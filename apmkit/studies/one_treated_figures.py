"""Figures that studies of one treated state or province share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from apmkit.estimate import Estimate
from apmkit.plots.style import PALETTE, axes, name_rows
from apmkit.studies.one_treated import Measure


def placebo_dots(estimates: Mapping[str, Estimate], measure: Measure) -> Axes:
    """Figure: the gap of the treated unit by each method, among the gaps of donors treated as placebos."""
    ax = axes(None, 0.9 + 0.5 * len(estimates))
    for row, estimate in enumerate(estimates.values()):
        ax.plot(estimate.table["estimate"].iloc[:1], [row], "D", mfc="none", mec=PALETTE["blue"], mew=2, ms=11)
        if "placebos" in estimate.details:
            gaps = estimate.details["placebos"]["estimate"].sort_values()
            heights = row + np.resize([-0.12, 0.12], len(gaps))  # neighbours at two heights hide each other less
            ax.plot(gaps, heights, "o", color=PALETTE["grey"], alpha=0.75, ms=4.5)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    name_rows(ax, list(estimates))
    ax.set_xlabel(f"Gap after ({measure.unit})")
    return ax
