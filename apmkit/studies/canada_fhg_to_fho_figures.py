"""Figures of the study of practices that move from enhanced fees to blended capitation."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from apmkit.estimate import Estimate
from apmkit.plots import PALETTE, event_study, name_ends
from apmkit.plots.style import axes, name_rows
from apmkit.studies.canada_fhg_to_fho_words import signed
from apmkit.studies.canada_fhg_to_fho_world import WAVES, YEARS, World, percent


def paths(world: World, words: str):
    """Mean outcome of early and late switchers and of stayers, with intervals; dashed without the switch."""
    middle = WAVES.mean()
    groups = {
        f"switch {WAVES[0]}-{int(np.floor(middle))}": (world.starts < middle, "blue"),
        f"switch {int(np.ceil(middle))}-{WAVES[-1]}": (
            np.isfinite(world.starts) & (world.starts > middle),
            "purple",
        ),
        "stay": (np.isinf(world.starts), "grey"),
    }
    observed = world.untreated + world.effects
    base = observed[np.isinf(world.starts), np.searchsorted(YEARS, WAVES[0] - 1)].mean()
    ax, ends = axes(None), {}
    for name, (who, colour) in groups.items():
        mean = observed[who].mean(axis=0) - base
        half = 1.96 * observed[who].std(axis=0, ddof=1) / np.sqrt(who.sum())
        line = 100 * np.exp(mean)
        ax.fill_between(YEARS, 100 * np.exp(mean - half), 100 * np.exp(mean + half), color=PALETTE[colour], alpha=0.12)
        ax.plot(YEARS, line, color=PALETTE[colour], lw=2)
        if name != "stay":
            without = 100 * np.exp(world.untreated[who].mean(axis=0) - base)
            ax.plot(YEARS, without, color=PALETTE[colour], lw=1.2, ls="--")
        ends[name] = (line[-1], PALETTE[colour])
    name_ends(ax, YEARS[-1], ends)
    ax.axvspan(WAVES[0] - 0.5, WAVES[-1] + 0.5, color=PALETTE["light"], alpha=0.25, lw=0)
    ax.set_xlabel("Year; shaded: years in which practices switch")
    ax.set_ylabel(textwrap.fill(f"{words[0].upper()}{words[1:]} per patient, stayers {WAVES[0] - 1} = 100", 40))
    return ax


def event_beside_truth(event: Estimate, world: World, words: str):
    """The event study in percent, with the true mean effects as crosses."""
    ax = event_study(event, band=False, label=textwrap.fill(f"Effect on {words}, percent", 40))
    since = (YEARS - world.starts[:, None])[np.isfinite(world.starts)]
    effects = world.effects[np.isfinite(world.starts)]
    times = event.table["relative_time"].to_numpy()
    truth = [percent(effects[since == time].mean()) for time in times]
    ax.plot(times, truth, "x", color=PALETTE["orange"], ms=7, mew=1.8, label="truth")
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    return ax


def beside_truth(
    found: Mapping[str, Mapping[str, Estimate]], truths: Mapping[str, Mapping[str, float]], names: Mapping[str, str]
):
    """A panel for each scenario: estimates with intervals, and the truth of each estimator as a cross."""
    rows = list(next(iter(found.values())))
    _, panels = plt.subplots(1, len(found), figsize=(7.8, 1.3 + 0.42 * len(rows)), layout="constrained", sharey=True)
    for ax, (scenario, estimates) in zip(np.atleast_1d(panels), found.items(), strict=True):
        for y, name in enumerate(rows):
            row, truth = estimates[name].table.iloc[0], truths[scenario][name]
            holds = row["ci_low"] <= truth <= row["ci_high"]
            colour = PALETTE["blue"] if holds else PALETTE["orange"]
            ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, lw=1.8)
            ax.plot([row["estimate"]], [y], "o" if holds else "s", color=colour, ms=5.5)
            ax.plot([truth], [y], "x", color="black", ms=7, mew=1.6)
        ax.axvline(0, color=PALETTE["grey"], lw=0.9)
        ax.set_title(f"World of {scenario}", fontsize="small")
        ax.set_xlabel("Effect, percent")
    name_rows(ax, [textwrap.fill(names[name], 26) for name in rows], fontsize="small")
    return np.atleast_1d(panels)[0]


def worlds_map(table: pd.DataFrame, names: Mapping[str, str]):
    """Estimators by worlds: bias in percentage points; below it and as colour, coverage."""
    import seaborn as sns

    order = {"index": list(dict.fromkeys(table["estimator"])), "columns": list(dict.fromkeys(table["world"]))}
    bias, coverage = (
        table.pivot(index="estimator", columns="world", values=c).reindex(**order) for c in ("bias", "coverage")
    )
    words = bias.map("{:+.1f}".format) + "\n" + coverage.map("{:.0%}".format)
    ax = axes(None, height=1.2 + 0.5 * len(bias))
    ax.figure.set_figwidth(7.8)
    sns.heatmap(coverage, ax=ax, cmap="cividis", vmin=0, vmax=1, annot=words, fmt="", linewidths=0.8,
                linecolor="white", annot_kws={"fontsize": 8})  # fmt: skip
    ax.set_yticks(ax.get_yticks(), [textwrap.fill(names[name], 24) for name in bias.index], rotation=0, fontsize=8.5)
    ax.set_xticks(ax.get_xticks(), [textwrap.fill(world, 12) for world in bias], rotation=0, fontsize=8.5)
    ax.collections[0].colorbar.set_label("Share of 95% intervals that hold the truth", size=9)
    ax.tick_params(length=0)
    ax.set(xlabel="", ylabel="")
    return ax


def published_table(rows: Mapping[str, pd.DataFrame], words: Mapping[str, str]) -> pd.DataFrame:
    """What the two studies report, one column each; a dash where a study did not look."""

    def text(row: pd.Series) -> str:
        interval = f" ({signed(row['ci_low'], 0)} to {signed(row['ci_high'], 0)})" if row.notna().all() else ""
        return signed(row["change"], 0) + (interval or " (no interval given)")

    table = pd.DataFrame({study: found.apply(text, axis=1) for study, found in rows.items()})
    table = table.reindex([name for name in words if name in table.index]).fillna("-")
    table.index = [words[name][0].upper() + words[name][1:] for name in table.index]
    return table.rename_axis("Change, FHO against FHG").reset_index()
