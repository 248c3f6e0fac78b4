"""Tables and figures of the study of the minimum savings rate."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import apmkit as apm
from apmkit import plots
from apmkit.estimate import Estimate
from apmkit.payment.mssp import minimum_savings_rate
from apmkit.plots.style import PALETTE, axes
from apmkit.studies.tables import table as table
from apmkit.studies.us_mssp_savings_threshold import (
    BEFORE,
    OUTCOMES,
    SavingsThresholdParameters,
    options_of,
    outcomes_table,
)

_SHORT = {
    "spending_growth": "Spending growth, points",
    "quality_score": "Quality, points of 100",
    "leaves": "Has left, points",
    "savings_rate": "Savings rate, points",
}


def minimums(frame: pd.DataFrame) -> Axes:
    """The minimum savings rate of each ACO-year by size: set by size, or chosen under two-sided risk."""
    ax = axes(None, height=3.8)
    shown = frame[frame["beneficiaries"] >= 1_000]
    for two_sided, colour, label in ((False, "light", "one-sided"), (True, "orange", "two-sided")):
        rows = shown[shown["two_sided"] == two_sided]
        style = {"ms": 2.6, "alpha": 0.6, "color": PALETTE[colour], "label": label, "rasterized": True}
        ax.plot(rows["beneficiaries"], rows["minimum"], "o", **style)
    ax.figure.set_dpi(220)  # of the points, which as drawings would weigh more than the rest of the page
    sizes = np.geomspace(5_000, 200_000, 200)
    ax.plot(sizes, 100 * minimum_savings_rate(sizes), color=PALETTE["blue"], lw=1.6, label="set by size")
    ax.set_xscale("log")
    ax.set_xticks([3_000, 10_000, 30_000, 100_000], ["3,000", "10,000", "30,000", "100,000"])
    ax.set(xlabel="Assigned beneficiaries", ylabel="Minimum savings rate, %", ylim=(-0.2, 5))
    ax.legend(frameon=False, fontsize="small", ncols=3, loc="lower left", bbox_to_anchor=(0, 1), markerscale=2)
    return ax


def wrapped(text: str) -> str:
    """A label of an axis in lines short enough for its height."""
    return "\n".join(textwrap.wrap(text[0].upper() + text[1:], 40))


def first_stage(paid: Estimate, payment: Estimate) -> Axes:
    """Share paid and size of the payment by margin, one above the other; the jump is the rule."""
    _, (above, below) = plt.subplots(2, 1, figsize=(7.2, 6.2), layout="constrained", sharex=True)
    plots.discontinuity(paid, ax=above, label="Share paid", running="")
    plots.discontinuity(payment, ax=below, label="Payment, % of the benchmark", running="")
    below.get_legend().remove()
    above.set_xlabel("")
    below.set(xlabel="Savings rate less minimum savings rate, percentage points", xlim=(-10, 10), ylim=(-0.5, 6))
    return above


def before_table(chosen: pd.DataFrame, parameters: SavingsThresholdParameters) -> pd.DataFrame:
    """The jump of what was known before the settlement, each with its own rows, and p-values adjusted by Holm."""
    rows = []
    for name, words in BEFORE.items():
        found = apm.regression_discontinuity(chosen.dropna(subset=[name]), outcome=name, **options_of(parameters))
        row = found.table.iloc[0]
        rows.append((words, row.estimate, row.ci_low, row.ci_high, row.p_value))
    result = pd.DataFrame(rows, columns=["Known before", "Jump", "95% from", "to", "p"])
    result["p, adjusted"] = apm.adjust_p_values(result["p"])
    return result


def outcomes_of(
    by_years_after: Mapping[int, pd.DataFrame], parameters: SavingsThresholdParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Effects on all outcomes at several distances: one table to compute with and one to show, adjusted by Holm."""
    parts = [
        outcomes_table(chosen, parameters.model_copy(update={"years_after": years}))
        for years, chosen in by_years_after.items()
    ]
    every = pd.concat(parts, ignore_index=True)
    every["p_holm"] = apm.adjust_p_values(every["p_value"])
    shown = pd.DataFrame(
        {
            "Outcome and unit": [_SHORT[name] for name in OUTCOMES] * len(parts),
            "Year": [f"{years:+d}" for years in by_years_after for _ in OUTCOMES],
            "Effect": every["estimate"],
            "95% from": every["ci_low"],
            "to": every["ci_high"],
            "p, adjusted": every["p_holm"],
            "Found from": every["detectable"],
        }
    )
    return every, shown


def estimates_table(found: Mapping[str, Estimate], what: str) -> pd.DataFrame:
    """One row per estimate, p-values adjusted for their number by Holm."""
    rows = [(name, *each.table.iloc[0][["estimate", "ci_low", "ci_high", "p_value"]], each.n_obs)
            for name, each in found.items()]  # fmt: skip
    result = pd.DataFrame(rows, columns=[what, "Effect", "95% from", "to", "p", "ACO-years near the minimum"])
    result.insert(5, "p, adjusted", apm.adjust_p_values(result["p"]))
    return result
