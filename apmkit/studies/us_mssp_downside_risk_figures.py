"""Tables and figures of the study of two-sided risk."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import apmkit as apm
from apmkit import plots
from apmkit.estimate import Estimate
from apmkit.plots.style import PALETTE, axes
from apmkit.studies.tables import table as table
from apmkit.studies.us_mssp_downside_risk import (
    OUTCOMES,
    DownsideRiskParameters,
    aco_panel,
    by_side,
    drift_before,
    effects,
    exit_bounds,
    mean_without,
    select,
)

_SIDES = {"switched": "switched later", "never": "never two-sided", "always": "two-sided from entry (set apart)"}
_COUNTED = {
    "log_person_years": ("Person-years", "%", 100),
    "risk_score_aged_nondual": ("Risk score of aged patients without Medicaid", "points", 1),
}


def sides(frame: pd.DataFrame) -> Axes:
    """How many ACOs have one-sided and two-sided risk in each year."""
    counts = frame.groupby(["year", "two_sided"]).size().unstack(fill_value=0)
    ax = axes(None, height=3.4)
    ax.bar(counts.index, counts[False], color=PALETTE["light"], label="one-sided")
    ax.bar(counts.index, counts[True], bottom=counts[False], color=PALETTE["blue"], label="two-sided")
    ax.set_xticks(counts.index)
    ax.set(xlabel="Performance year", ylabel="ACOs")
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def sides_table(frame: pd.DataFrame) -> pd.DataFrame:
    """What ACOs were at entry and how many are still there, by what they did later."""
    latest = frame["year"].max()
    at_entry = frame[frame["year"] == frame["entry"]].set_index("aco_id")
    mean = at_entry["year"].map(frame.groupby("year")["spending_per_capita"].mean())
    relative = at_entry["spending_per_capita"] / mean
    rows = []
    for side, members in by_side(frame).items():
        ids = members["aco_id"]
        rows.append(
            {
                "ACOs": _SIDES[side],
                "Number": len(ids),
                "Median entry year": int(members["entry"].median()),
                "Median person-years at entry": f"{at_entry.loc[ids, 'person_years'].median():,.0f}",
                "Median spending at entry, % of all ACOs that year": f"{100 * relative.loc[ids].median():.0f}",
                f"Still there in {latest}": f"{(members['last_seen'] == latest).mean():.0%}",
            }
        )
    return pd.DataFrame(rows)


def tracks_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Tracks of ACOs that switched, in their first two-sided year."""
    first = frame[(frame["year"] == frame["cohort"]) & ~frame["always_two_sided"]]
    tracks = pd.crosstab(first["cohort"].astype(int), first["track"])
    return tracks.rename_axis(index="First two-sided year", columns=None).reset_index()


def staying(rates: pd.DataFrame) -> Axes:
    """Shares of ACOs seen again the next year, from `stay_rates`."""
    ax = axes(None, height=3.4)
    for column, colour, label in (("one_sided", "grey", "one-sided"), ("two_sided", "blue", "two-sided")):
        ax.plot(rates.index, 100 * rates[column], "o-", color=PALETTE[colour], label=label)
    ax.axvline(2019, color=PALETTE["grey"], ls=":", lw=1)
    ax.annotate("glide path begins", (2019, 100), xytext=(4, 6), textcoords="offset points", fontsize="small")
    ax.set(xlabel="Performance year", ylabel="ACOs seen again the next year, %", ylim=(50, 104))
    ax.set_xticks(rates.index)
    ax.legend(frameon=False, ncols=2, loc="lower left")
    return ax


def weight_maps(found: Mapping[str, Estimate]) -> Axes:
    """The weights of each estimate on cohorts and years, one map below the other."""
    height = 4.1 * len(found)
    _, below = plt.subplots(len(found), 1, figsize=(7.6, height), layout="constrained", squeeze=False)
    for ax, (title, estimate) in zip(below[:, 0], found.items(), strict=True):
        plots.weights_heatmap(estimate, ax=ax)
        ax.set_title(title)
        ax.set(xlabel="Performance year", ylabel="First two-sided year")
    return ax


def cohorts(found: Estimate, panel: apm.Panel, label: str) -> Axes:
    """Effect and interval of each cohort, with its number of ACOs."""
    sizes = panel.cohort_sizes
    named = {f"{year} ({sizes[year]} ACOs)": found.term(f"cohort={year}") for year in found.table["cohort"]}
    ax = plots.intervals(named, label=label)
    ax.set_ylabel("First two-sided year")
    return ax


def exit_ranges(frame: pd.DataFrame, parameters: DownsideRiskParameters) -> pd.DataFrame:
    """From where to where exit allows the estimate to lie, by quantile that leavers are given; 0 is the worst case."""
    unweighted = select(frame, parameters.model_copy(update={"weights": "none"}))
    found = {}
    for quantile in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        bounds = exit_bounds(unweighted, parameters, quantile)
        found[quantile] = {side: bounds[side].table["estimate"].iloc[0] for side in ("low", "high")}
    return pd.DataFrame.from_dict(found, orient="index")


def exits(ranges: pd.DataFrame, observed: float, label: str) -> Axes:
    """The range that exit allows by quantile, from `exit_ranges`, beside the estimate from the years observed."""
    shown = ranges.drop(index=0.0)
    ax = axes(None, height=3.6)
    ax.fill_between(shown.index, shown["low"], shown["high"], color=PALETTE["sky"], alpha=0.5)
    ax.plot(shown.index, shown["low"], "o-", color=PALETTE["blue"])
    ax.plot(shown.index, shown["high"], "o-", color=PALETTE["blue"])
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.axhline(observed, color=PALETTE["orange"], lw=1.2, ls="--", label="estimate from the years observed")
    ax.legend(frameon=False, fontsize="small", loc="upper right")
    ax.set(xlabel="Quantile of change that leavers are given", ylabel=label)
    ax.set_xticks(shown.index)
    return ax


def counted_table(frame: pd.DataFrame, parameters: DownsideRiskParameters) -> pd.DataFrame:
    """Change in size and sickness of those counted; column `clear` says whether the interval excludes zero."""
    sized = frame.assign(log_person_years=np.log(frame["person_years"]))
    level = parameters.model_copy(update={"scale": "level", "outcome": "spending_per_capita"})
    rows = []
    for column, (words, measure, times) in _COUNTED.items():
        found = effects(aco_panel(select(sized, level, column), level, column), level)
        for when, one in (("all years", found["att"]), ("first year", found["event"].term("relative_time=0"))):
            value = times * one.table.iloc[0][["estimate", "ci_low", "ci_high"]]
            shown = [f"{number:+.1f}" if times > 1 else f"{number:+.3f}" for number in value]
            rows.append(
                {
                    "Who is counted": f"{words}, {measure}",
                    "Since the switch": when,
                    "Change": shown[0],
                    "95% interval": f"{shown[1]} to {shown[2]}",
                    "clear": value["ci_low"] > 0 or value["ci_high"] < 0,
                }
            )
    return pd.DataFrame(rows)


def means(frame: pd.DataFrame, parameters: DownsideRiskParameters) -> Axes:
    """Mean outcome by year of ACOs that never took two-sided risk, switched, or had it from entry."""
    window = frame[frame["year"].between(parameters.first_year, parameters.last_year)]
    conditions = [window["always_two_sided"], window["cohort"].notna()]
    kind = np.select(conditions, ["two-sided from entry", "switched"], "never two-sided")
    by_kind = window.assign(kind=kind).groupby(["year", "kind"])[parameters.outcome].mean().unstack()
    ax = axes(None, height=3.6)
    for name, colour in (("never two-sided", "grey"), ("switched", "blue"), ("two-sided from entry", "orange")):
        ax.plot(by_kind.index, by_kind[name], "o-", color=PALETTE[colour], label=name)
    ax.set(xlabel="Performance year", ylabel=",\n".join(OUTCOMES[parameters.outcome]))
    ax.set_xticks(by_kind.index)
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), fontsize="small")
    return ax


def outcomes_table(frame: pd.DataFrame, parameters: DownsideRiskParameters) -> pd.DataFrame:
    """The effect on every outcome under otherwise the same parameters, with the test of the years before."""
    rows = []
    for column, (words, measure) in OUTCOMES.items():
        one = parameters.model_copy(update={"outcome": column, "scale": "level"})
        chosen = select(frame, one)
        found = effects(aco_panel(chosen, one), one)
        effect, drift = found["att"].table.iloc[0], drift_before(found["event"])
        mean = mean_without(chosen, column)
        form = "{:,.4f}" if abs(mean) < 2 else "{:,.1f}"
        rows.append(
            {
                "Outcome": f"{words[0].upper()}{words[1:]}, {measure}",
                "Mean without two-sided risk": form.format(mean),
                "Effect": form.format(effect["estimate"]),
                "95% interval": f"{form.format(effect['ci_low'])} to {form.format(effect['ci_high'])}",
                "Effect, % of mean": "-" if column == "savings_rate" else f"{100 * effect['estimate'] / mean:.1f}",
                "p, years before": "-" if drift is None else "< 0.001" if drift < 0.001 else f"{drift:.3f}",
            }
        )
    return pd.DataFrame(rows)
