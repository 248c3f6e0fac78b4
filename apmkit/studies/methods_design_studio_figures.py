"""Tables and figures of the design studio."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from apmkit.payment import ModelComparison, Practices
from apmkit.plots.style import PALETTE, axes, name_rows
from apmkit.studies.tables import table


def show(frame: pd.DataFrame, source: str) -> None:
    """Show a table in a notebook."""
    from IPython.display import display

    display(table(frame, source))


def summary_table(as_ruled: pd.DataFrame, same_total: pd.DataFrame, money: str) -> pd.DataFrame:
    """Level by the rules, and spread and gainers at the same total; both from `ModelComparison.summary`."""
    return pd.DataFrame(
        {
            "Model": as_ruled.index,
            f"{money} per physician, by its rates": as_ruled["per_physician"].map("{:,.0f}".format).to_numpy(),
            "SD between practices": same_total["sd_between"].map("{:,.1f}".format).to_numpy(),
            "SD between years": same_total["sd_within"].map("{:,.1f}".format).to_numpy(),
            "Practices that gain": same_total["gainers"].map("{:.0%}".format).to_numpy(),
        }
    )


def sickness(practices: Practices, money: str):
    """Figure: mean risk of each practice against visits and fees per patient, which is what the simulation assumes."""
    people = practices.n_patients
    risk, visits, fees = (practices.sums(practices.patient(name)) / people for name in ("risk_score", "visits", "fees"))
    _, both = plt.subplots(1, 2, figsize=(7.2, 3.4), layout="constrained")
    for ax, values, label in zip(
        both, (visits, fees), ("Visits per patient", f"Fees per patient, {money}"), strict=True
    ):
        ax.plot(risk, values, "o", color=PALETTE["blue"], ms=5)
        ax.set(xlabel="Mean risk of the practice", ylabel=label, ylim=(0, None))
    return both[0]


def revenue_dots(comparison: ModelComparison):
    """Figure: revenue per patient of each practice under each model, with the mean as a line."""
    revenue = comparison.revenue.div(comparison.practices.n_patients, axis=0)
    ax = axes(None, 1.2 + 0.6 * revenue.shape[1])
    aside = 0.3 * (np.argsort(np.argsort(comparison.practices.index)) / max(len(revenue) - 1, 1) - 0.5)
    for row, (label, values) in enumerate(revenue.items()):
        colour = PALETTE["grey" if label == comparison.base else "blue"]
        ax.plot(values, row + aside, "o", ms=4, alpha=0.7, color=colour)
        ax.vlines(values.mean(), row - 0.32, row + 0.32, color=colour, lw=2)
    ax.set_yticks(range(revenue.shape[1]), list(revenue.columns))
    ax.set_ylim(revenue.shape[1] - 0.4, -0.6)
    ax.set_xlabel(f"Revenue per patient of a practice, {comparison.currency} a year (line: mean of practices)")
    return ax


def gap_dots(choices: pd.DataFrame, subject: str, money: str):
    """Figure: gain of practices with the sickest and the healthiest patients under each choice."""
    rows = range(len(choices))
    ax = axes(None, 1.3 + 0.3 * len(choices))
    ax.hlines(rows, choices["healthiest"], choices["sickest"], color=PALETTE["light"], lw=2)
    for name, colour, marker in (("sickest", "orange", "D"), ("healthiest", "blue", "o")):
        ax.plot(choices[name], rows, marker, color=PALETTE[colour], label=f"fifth with the {name} patients")
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    name_rows(ax, list(choices.index))
    ax.set_xlabel(f"Gain under {subject} over fees at the same total, {money} per patient")
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    return ax
