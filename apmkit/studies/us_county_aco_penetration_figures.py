"""Tables and figures of the study of ACO penetration by county."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from apmkit import plots
from apmkit.estimate import Estimate
from apmkit.plots.style import PALETTE, axes
from apmkit.studies.tables import table as table
from apmkit.studies.us_county_aco_penetration import (
    BEFORE,
    POINTS,
    UNITS,
    CountyPenetrationParameters,
    mass,
)
from apmkit.studies.us_county_aco_penetration_counties import Counties

GROUPS = {"under 2 %": (-1, 2), "2 to 10 %": (2, 10), "10 to 25 %": (10, 25), "over 25 %": (25, 101)}
_COLOURS = ("grey", "sky", "blue", "purple")


def doses(by_fill: Mapping[str, Counties]) -> Axes:
    """How many counties have how large a dose, by what stands for suppressed cells."""
    ax = axes(None, height=3.6)
    for (name, used), colour in zip(by_fill.items(), ("light", "blue", "orange"), strict=True):
        dose = np.sort(used.frame["dose_2014"])
        ax.plot(dose, 100 * np.arange(1, len(dose) + 1) / len(dose), color=PALETTE[colour], lw=1.8, label=name)
    ax.set(xlabel="Assigned to ACOs in 2014, % of fee-for-service beneficiaries", xlim=(-1, 60), ylim=(0, 101))
    ax.set_ylabel("Counties with this dose or less, %")
    ax.legend(frameon=False, fontsize="small", loc="lower right", title="A suppressed cell counts as")
    return ax


def paths(used: Counties, parameters: CountyPenetrationParameters) -> Axes:
    """Mean cost by group of dose less that of the lowest group, 2011 set to zero; no model, no adjustment."""
    ax, weight = axes(None, height=3.8), mass(used, parameters)
    values = used.cost if parameters.scale == "level" else 100 * np.log(used.cost)
    dose = used.frame["dose_2014"].to_numpy()
    means = {}
    for name, (low, high) in GROUPS.items():
        members = (dose > low) & (dose <= high)
        if members.any():
            means[name] = np.average(values[members], axis=0, weights=weight[members])
    lowest, *others = means
    base = int(np.flatnonzero(used.years == BEFORE)[0])
    ends = {}
    for name, colour in zip(others, _COLOURS[1:], strict=False):
        gap = means[name] - means[lowest]
        gap = gap - gap[base]
        ax.plot(used.years, gap, "o-", ms=4, color=PALETTE[colour])
        ends[name] = (gap[-1], PALETTE[colour])
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.axvline(BEFORE + 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    plots.name_ends(ax, used.years[-1], ends)
    ax.set(xlabel="Year", ylabel=f"Difference from counties {lowest},\n{UNITS[parameters.scale]}, {BEFORE} = 0")
    return ax


def curves(levels: Estimate, slopes: Estimate, parameters: CountyPenetrationParameters) -> Axes:
    """Levels and slopes by dose side by side."""
    unit = UNITS[parameters.scale]
    _, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.0), layout="constrained")
    plots.dose_response(levels, ax=left, dose_label="Assigned in 2014, %", label=f"Change against none, {unit}")
    plots.dose_response(slopes, ax=right, dose_label="Assigned in 2014, %", label=f"For 10 points more, {unit}")
    left.set_title("Level: needs parallel trends")
    right.set_title("Slope: needs strong parallel trends")
    right.get_legend().remove()
    # Slopes are per ten points because their dose is in tens.
    right.xaxis.set_major_formatter(lambda tens, _: f"{POINTS * tens:g}")
    return left


def counts_table(used: Counties) -> pd.DataFrame:
    """What was joined and left out, with the column names a reader sees."""
    shown = [f"{value:.2f}" if isinstance(value, float) else f"{value:,}" for value in used.counts.values()]
    words = [name[0].upper() + name[1:] for name in used.counts]
    return pd.DataFrame({"What": words, "Number": shown})


def bounds_table(found: Mapping[str, tuple[Counties, Estimate]]) -> pd.DataFrame:
    """The slope by what stands for suppressed cells."""
    rows = []
    for name, (used, estimate) in found.items():
        row, dose = estimate.table.iloc[0], used.frame["dose_2014"]
        rows.append((name, dose.mean(), int((dose == 0).sum()), row.estimate, row.ci_low, row.ci_high, row.p_value))
    columns = ["A suppressed cell counts as", "Mean dose, %", "Counties without any", "10 points more", "95% from",
               "to", "p"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def inference_table(found: Estimate) -> pd.DataFrame:
    """The slope with every inference for clusters."""
    labels = {"method": "Inference by state", "se": "Standard error", "df": "Degrees of freedom", "p_value": "p",
              "ci_low": "95% from", "ci_high": "to"}  # fmt: skip
    return found.details["inference"][list(labels)].rename(columns=labels)
