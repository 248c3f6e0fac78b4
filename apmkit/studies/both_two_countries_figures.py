"""Figures and tables of the study of the two countries: small multiples, changes, reach, spending, crosswalk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from apmkit.contract.terms import PAYMENT_TYPES
from apmkit.plots.style import PALETTE, axes, name_ends
from apmkit.studies.both_two_countries import (
    MEASURES,
    TEN,
    TwoCountriesParameters,
    changes,
    contributions,
    crosswalk,
    name_of,
    unit,
)
from apmkit.studies.both_two_countries_spending import levels, spending, spending_index, spread, us_reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axis_of(parameters: TwoCountriesParameters) -> str:
    """The level of the measure, as on an axis."""
    words = MEASURES[parameters.measure].removesuffix(" per person")
    return f"{words[0].upper()}{words[1:]} ({'%' if parameters.measure == 'alternative_share' else unit(parameters)})"


def small_multiples(frame: pd.DataFrame, parameters: TwoCountriesParameters) -> Axes:
    """Figure: the measure in each province over time, Canada dashed, flagged values as rings.

    Parameters
    ----------
    frame : DataFrame
        From `province_years`.
    """
    window = frame[frame["year"].between(parameters.first_year, parameters.last_year)]
    wide = window.pivot(index="year", columns="province", values=parameters.measure)
    order = [name for name in wide.loc[wide.index[-1], list(TEN)].sort_values(ascending=False).index if name in TEN]
    figure, axes = plt.subplots(2, 5, figsize=(10.4, 5.0), sharex=True, sharey=True, layout="constrained")
    for ax, place in zip(axes.flat, order, strict=True):
        ax.plot(wide.index, wide["CA"], color=PALETTE["light"], lw=1.2, ls="--")
        ax.plot(wide.index, wide[place], color=PALETTE["blue"], lw=2)
        marked = window[(window["province"] == place) & window["flag"].notna()]
        ax.plot(marked["year"], marked[parameters.measure], "o", mfc="white", mec=PALETTE["orange"], mew=1.6, ms=7)
        ax.set_title(name_of(place), fontsize="x-small", weight="bold" if place == parameters.place else "normal")
        ax.set_ylim(0, None)
    figure.supylabel(axis_of(parameters), fontsize="medium")
    figure.supxlabel("Fiscal year, by the calendar year in which it starts", fontsize="medium")
    return axes[-1, 0]


def first_to_last(frame: pd.DataFrame, parameters: TwoCountriesParameters) -> Axes:
    """Figure: the first and the last level of each province, joined by a line, in the order of the change."""
    table = changes(frame, parameters).sort_values("change")
    ax = axes(None, 4.4)
    y = np.arange(len(table))
    ax.hlines(y, table["first"], table["last"], color=PALETTE["light"], lw=2.5, zorder=1)
    ax.scatter(table["first"], y, color="white", edgecolor=PALETTE["grey"], s=42, zorder=2, label="first year")
    ax.scatter(table["last"], y, color=PALETTE["blue"], s=48, zorder=3, label="last year")
    for at, row in zip(y, table.itertuples(), strict=True):
        text = f"{row.change:+.1f}" if parameters.measure == "alternative_share" else f"{row.change:+,.0f}"
        years = f"{int(row.first_year)} to {int(row.last_year)}"
        ax.annotate(f"{text}  ({years})", (1.01, at), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    ax.set_yticks(y, [name_of(place) for place in table.index])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(axis_of(parameters))
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    return ax


def contribution_bars(frame: pd.DataFrame, parameters: TwoCountriesParameters) -> Axes:
    """Figure: how much of the change of the ten provinces' share each of them makes up."""
    parts = contributions(frame, parameters)
    bars = parts["within"].rename(name_of).sort_values()
    bars = pd.concat([pd.Series({"Money moved between provinces": parts["between"].sum()}), bars])
    ax = axes(None)
    colours = [PALETTE["grey"], *([PALETTE["blue"]] * len(parts))]
    ax.barh(range(len(bars)), bars, color=colours, height=0.7)
    for at, value in enumerate(bars):
        ax.annotate(f" {value:+.1f} ", (value, at), ha="left" if value > 0 else "right", va="center", fontsize="small")
    ax.margins(x=0.08)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.set_yticks(range(len(bars)), bars.index)
    ax.tick_params(axis="y", length=0)
    ends = parts.attrs
    ax.set_xlabel(f"Part of the change {ends['first_year']} to {ends['last_year']} (percentage points)")
    return ax


def reach_lines(frame: pd.DataFrame) -> Axes:
    """Figure: two panels that must not be read on one scale: Canada's share of money, and the US share of people."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
    canada = frame[frame["province"] == "CA"].set_index("year")
    left.plot(canada.index, canada["alternative_share"], color=PALETTE["blue"], lw=2)
    marked = canada[canada["flag"].notna()]
    left.plot(marked.index, marked["alternative_share"], "o", mfc="white", mec=PALETTE["orange"], mew=1.6, ms=7)
    left.set(title="Canada: share of MONEY", ylabel="Alternative share of clinical payments (%)", xlabel="Fiscal year")
    reach = us_reach()
    for name, colour, words in (("in_aco", "green", "in any ACO"), ("two_sided", "purple", "under two-sided risk")):
        right.plot(reach.index, reach[name], color=PALETTE[colour], lw=2)
        right.annotate(words, (reach.index[-1], reach[name].iloc[-1]), xytext=(4, 0), textcoords="offset points",
                       va="center", fontsize="small", color=PALETTE[colour], annotation_clip=False)  # fmt: skip
    right.set(title="United States: share of PEOPLE", ylabel="Beneficiaries of original Medicare (%)", xlabel="Year")
    for ax in (left, right):
        ax.set_ylim(0, None)
        ax.title.set_fontsize("small")
    figure.get_layout_engine().set(wspace=0.08)
    return left


def spending_panels(parameters: TwoCountriesParameters) -> Axes:
    """Figure: growth of spending per person above inflation in every province and state, and their medians."""
    table = spending_index(spending(), parameters.spending_from)
    axes = plt.subplots(1, 2, figsize=(9.6, 3.9), sharey=True, sharex=True, layout="constrained")[1]
    titles = {
        "Canada": "Provinces: all health spending per person, CAD",
        "United States": "States: original Medicare per beneficiary, USD",
    }
    for ax, (country, title) in zip(axes, titles.items(), strict=True):
        wide = table[table["country"] == country].pivot(index="year", columns="place", values="index")
        ax.plot(wide.index, wide, color=PALETTE["light"], lw=0.8)
        ax.plot(wide.index, wide.median(axis=1), color=PALETTE["blue"], lw=2.4)
        ends = wide.iloc[-1]
        for place in (ends.idxmax(), ends.idxmin()):
            ax.annotate(place, (wide.index[-1], ends[place]), xytext=(3, 0), textcoords="offset points", va="center",
                        fontsize="small", color=PALETTE["grey"], annotation_clip=False)  # fmt: skip
        ax.axhline(100, color=PALETTE["grey"], lw=0.7)
        ax.set_title(title, fontsize="small")
        ax.set_xlabel("Year")
    axes[0].set_ylabel(f"Spending per person above inflation\n({parameters.spending_from} = 100)")
    return axes[0]


def spread_lines(parameters: TwoCountriesParameters) -> Axes:
    """Figure: standard deviation over mean of spending per person, between provinces and between states."""
    table = spread(spending()).dropna().loc[parameters.spending_from :]
    ax = axes(None, 3.6)
    colours = {"Canada": PALETTE["blue"], "United States": PALETTE["green"]}
    for country, colour in colours.items():
        ax.plot(table.index, table[country], color=colour, lw=2)
    ax.set_ylim(0, None)
    last = {country: (table[country].iloc[-1], colour) for country, colour in colours.items()}
    name_ends(ax, table.index[-1], last)
    ax.set(xlabel="Year", ylabel="Standard deviation\nover mean (%)")
    return ax


def readable_levels() -> pd.DataFrame:
    """`levels` with the names a reader sees."""
    found = levels()

    def span(row, suffix: str = "") -> str:
        return f"{row['median' + suffix]:,.0f} ({row['lowest' + suffix]:,.0f} to {row['highest' + suffix]:,.0f})"

    return pd.DataFrame(
        {
            f"Per person in {found.attrs['year']}: median (lowest to highest)": found["what"],
            "Own currency": [f"{row['currency']} {span(row)}" for _, row in found.iterrows()],
            "USD, purchasing power": [span(row, "_ppp") for _, row in found.iterrows()],
        }
    )


def readable_crosswalk() -> pd.DataFrame:
    """`crosswalk` with the names a reader sees."""
    found = crosswalk()

    def words(kinds) -> str:
        return ", ".join(name.replace("_", " ") for name in PAYMENT_TYPES if name in kinds)

    return pd.DataFrame(
        {
            "In Canada": found["canada"],
            "HCP-LAN": found["category"],
            "Nearest in the US by types of payment": found["nearest"],
            "HCP-LAN (US)": found["us_category"],
            "Overlap of types": found["overlap"].map("{:.0%}".format),
            "Both pay by": found["shared"].map(words),
            "Only the Canadian": found["only_canada"].map(words),
            "Only the American": found["only_us"].map(words),
        }
    )
