"""Figures of the study of screening bonuses."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd

from apmkit import plots
from apmkit.estimate import Estimate
from apmkit.plots.style import PALETTE, axes
from apmkit.studies.canada_screening_bonus import BONUS, LAST, LAUNCH
from apmkit.studies.canada_screening_bonus_words import with_interval


def _years(quarters):
    return 2000 + quarters / 4


def _dates(ax) -> None:
    for quarter, name in ((BONUS, "bonus"), (LAUNCH, "launch")):
        ax.axvline(_years(quarter - 0.5), color=PALETTE["grey"], lw=0.9, ls=":")
        ax.annotate(name, (_years(quarter - 0.5), 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
                    textcoords="offset points", va="top", fontsize="small", color=PALETTE["grey"])  # fmt: skip
    ax.margins(y=0.12)


def _fit(ax, found: Estimate) -> None:
    """The fitted path and the path without the bonus; of a difference, both carried on the comparison group."""
    path = found.details["series"]
    base = found.details["groups"]["control"].to_numpy() if "groups" in found.details else 0
    years, after = _years(path["period"]), path["period"] >= BONUS
    fitted, without = path["fitted"] + base, path[["counterfactual", "counterfactual_low", "counterfactual_high"]]
    ax.plot(years, fitted, color=PALETTE["blue"], lw=1.8)
    middle, low, high = (without[name] + base for name in without)
    ax.plot(years[after], middle[after], color=PALETTE["orange"], lw=1.8, ls="--")
    ax.fill_between(years[after], low[after], high[after], color=PALETTE["orange"], alpha=0.15, lw=0)


def both_series(series: pd.DataFrame, found: Estimate, last_period: str):
    """Figure: both groups by quarter, the chosen fit, and the path without the bonus with its 95 percent interval."""
    ax = axes(None)
    wide = series.pivot(index="quarter", columns="group", values="screened")
    used = wide.index <= LAST[last_period]
    for group, colour in (("eligible", PALETTE["grey"]), ("comparison", PALETTE["green"])):
        ax.plot(_years(wide.index[used]), wide[group][used], "o", color=colour, ms=3.5)
        ax.plot(_years(wide.index[~used]), wide[group][~used], "o", mfc="white", mec=colour, ms=3.5)
    _fit(ax, found)
    _dates(ax)
    end = found.details["series"].iloc[-1]
    base = found.details["groups"]["control"].iloc[-1] if "groups" in found.details else 0
    plots.name_ends(
        ax,
        _years(wide.index[-1]),
        {
            "eligible": (wide["eligible"].iloc[-1], PALETTE["grey"]),
            "comparison": (wide["comparison"].iloc[-1], PALETTE["green"]),
            "fitted": (end["fitted"] + base, PALETTE["blue"]),
            "without bonus": (end["counterfactual"] + base, PALETTE["orange"]),
        },
    )
    ax.set(xlabel="Year", ylabel="Patients screened, percent", ylim=(0, None))
    return ax


def two_worlds(series: Mapping[str, pd.DataFrame], found: Mapping[str, Estimate], told: Mapping[str, Estimate]):
    """Figure: the eligible series of each world with the same analysis; `told` has the numbers to write."""
    _, both = plt.subplots(1, 2, figsize=(7.2, 3.9), layout="constrained", sharey=True)
    for ax, (world, rows) in zip(both, series.items(), strict=True):
        path = found[world].details["series"]
        shown = rows[(rows["group"] == "eligible") & (rows["quarter"] <= path["period"].max())]
        ax.plot(_years(shown["quarter"]), shown["screened"], "o", color=PALETTE["grey"], ms=3)
        _fit(ax, found[world])
        _dates(ax)
        ax.set_title(f"{world}\nslope change {with_interval(told[world])}", fontsize="small")
        ax.set(xlabel="Year", ylim=(0, None))
    both[0].set_ylabel("Patients screened, percent")
    return both[0]


def choices(every: Mapping[str, Estimate], truth: float, label: str):
    """Figure: the estimate and interval of every analysis, with the truth as a line."""
    ax = plots.intervals(every, label=label, digits=2)
    ax.axvline(truth, color=PALETTE["orange"], lw=1.4, ls="--")
    ax.annotate("truth", (truth, 1), xycoords=("data", "axes fraction"), xytext=(3, 2), textcoords="offset points",
                fontsize="small", color=PALETTE["orange"], annotation_clip=False)  # fmt: skip
    return ax
