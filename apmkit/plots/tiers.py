"""Several outcomes of one reform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE, PAPER, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def outcomes(report: pd.DataFrame, *, ax: Axes | None = None, size: float = 0.05) -> Axes:
    """Effects in standard errors by tier; filled where the adjusted p value is below `size`.

    Outcomes have different units, so each effect is divided by its standard error and its interval likewise.

    Parameters
    ----------
    report : DataFrame
        From `apmkit.inference.outcome_report`.
    ax : Axes, optional
        Where to draw.
    size : float
        Largest adjusted p value that counts as a finding.

    Raises
    ------
    ApmkitError
        The frame is not such a report.
    """
    if not isinstance(report, pd.DataFrame):
        raise ApmkitError(f"A report is needed, not {type(report).__name__}: make it with outcome_report.")
    missing = {"tier", "outcome", "estimate", "se", "ci_low", "ci_high", "p_adjusted", "tier_p_value"} - set(report)
    if missing or not len(report):
        raise ApmkitError(f"The report has no {min(missing, default='rows')}: make it with outcome_report.")
    new_tier = (report["tier"] != report["tier"].shift()).to_numpy()
    y = np.arange(len(report)) + np.cumsum(new_tier)
    ax = axes(ax, height=1.1 + 0.36 * (y[-1] + 1))
    se = report["se"].to_numpy()
    scaled = report[["estimate", "ci_low", "ci_high"]].to_numpy() / se[:, None]
    found = (report["p_adjusted"] <= size).to_numpy()
    ax.hlines(y, scaled[:, 1], scaled[:, 2], color=PALETTE["blue"], lw=1.8)
    for chosen, fill in ((found, PALETTE["blue"]), (~found, "white")):
        ax.plot(scaled[chosen, 0], y[chosen], "o", mfc=fill, mec=PALETTE["blue"], ms=6)
    for row in np.flatnonzero(new_tier):
        tier = report["tier"].iloc[row]
        text = f"{tier.capitalize()} outcomes"
        if (report["tier"] == tier).sum() > 1:
            text += f", joint {_p(report['tier_p_value'].iloc[row])}"
        ax.annotate(text, (0, y[row] - 1), xycoords=("axes fraction", "data"), xytext=(4, 0),
                    textcoords="offset points", va="center", fontsize="small", weight="bold", bbox=PAPER)  # fmt: skip
    for height, p in zip(y, report["p_adjusted"], strict=True):
        ax.annotate(_p(p), (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_yticks(y, report["outcome"])
    ax.set_ylim(y[-1] + 0.7, -0.7)
    ax.set_xlabel("Effect in standard errors; p adjusted within its group")
    return ax


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
