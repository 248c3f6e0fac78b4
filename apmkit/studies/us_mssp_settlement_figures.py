"""Tables and figures of the study of settlements."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from apmkit.payment.mssp import SavingsSpread, minimum_savings_rate
from apmkit.plots.style import PALETTE, axes, name_ends
from apmkit.studies.tables import table as table
from apmkit.studies.us_mssp_settlement_money import shares
from apmkit.studies.us_mssp_settlement_words import NO_EFFECT

_COLOURS = {"sampling": "blue", "year_to_year": "orange", "published": "green"}
_TICKS = (1_000, 3_000, 10_000, 30_000, 100_000)


def years_table(years: pd.DataFrame) -> pd.DataFrame:
    """Settlements by year, with the column names a reader sees."""

    def both(kind: str) -> pd.Series:
        shown = {name: (years[f"{name}_{kind}"] / 1e6).map("{:,.1f}".format) for name in ("published", "rebuilt")}
        return shown["published"] + " (" + shown["rebuilt"] + ")"

    return pd.DataFrame(
        {
            "Year": years.index,
            "ACOs": years["acos"],
            "Paid": years["paid"],
            "of these within 0.1 %": years["within_0.1%"],
            "within USD 1": years["within_dollar"],
            "Paid, million USD (rebuilt)": both("paid"),
            "Owing": years["owing"],
            "of these within 0.1 % ": years["losses_within_0.1%"],
            "Owed, million USD (rebuilt)": both("owed"),
            "Exceptions": years["exceptions"],
        }
    )


def exceptions_table(exceptions: pd.DataFrame, many: int = 10) -> pd.DataFrame:
    """The exceptions, those whose amounts differ first; a reason shared by many that agree has one row."""
    ordered = exceptions.sort_values(["agrees", "year", "aco_id"])
    shared = ordered.groupby("reason")["agrees"].transform("size").ge(many) & ordered["agrees"]
    alone = ordered[~shared]
    rows = pd.DataFrame(
        {
            "Year": alone["year"].astype(str),
            "ACO": alone["aco_name"] + " (" + alone["aco_id"] + ")",
            "Track": alone["track"],
            "Published, USD": alone["published"],
            "Rebuilt, USD": alone["rebuilt"],
            "Agree": alone["agrees"].map({True: "yes", False: "no"}),
            "Reason": alone["reason"],
        }
    )
    together = [
        {"Year": f"{part['year'].min()} to {part['year'].max()}", "ACO": f"{len(part)} ACO-years", "Agree": "yes",
         "Track": ", ".join(sorted(part["track"].unique())), "Reason": reason}
        for reason, part in ordered[shared].groupby("reason", sort=False)
    ]  # fmt: skip
    return pd.concat([rows, pd.DataFrame(together, columns=rows.columns)], ignore_index=True)


def steps_table(steps: pd.DataFrame) -> pd.DataFrame:
    """One settlement as a reader sees it; a step whose rule is in doubt says so."""
    money = steps["unit"] == "USD"
    values = np.where(money, steps["value"].map("{:,.2f}".format), (100 * steps["value"]).map("{:.4g} %".format))
    units = steps["unit"].str.replace("share of ", "of ")
    return pd.DataFrame(
        {
            "Step": steps["step"],
            "Value": np.where(money, "USD " + pd.Series(values), pd.Series(values) + " " + units),
            "How": steps["how"],
            "Rule": steps["citation"],
            "Status of the rule": steps["status"],
        }
    )


def who_is_paid(groups: pd.DataFrame):
    """Figure: the share of ACO-years that were paid, by track, size and revenue, with intervals."""
    rows = []
    for by in ("Track", "Beneficiaries", "Revenue"):
        rows += [(by, name, *values) for name, *values in shares(groups.dropna(subset=by), by).itertuples()]
    found = pd.DataFrame(rows, columns=["by", "name", "rows", "acos", "share", "low", "high"])
    ax = axes(None, height=1 + 0.3 * (len(found) + found["by"].nunique()))
    y, ticks, labels = 0.0, [], []
    for colour, (_, some) in zip(("blue", "green", "orange"), found.groupby("by", sort=False), strict=False):
        for row in some.itertuples():
            ax.plot([100 * row.low, 100 * row.high], [y, y], color=PALETTE[colour], lw=1.8)
            ax.plot([100 * row.share], [y], "o", color=PALETTE[colour], ms=6)
            ticks, labels = [*ticks, y], [*labels, f"{row.name} ({row.rows:,})"]
            y += 1
        y += 0.8
    ax.set_yticks(ticks, labels)
    ax.set_ylim(y - 1, -0.7)
    ax.set_xlim(0, 100)
    ax.set_xlabel("Share of ACO-years that were paid, %")
    return ax


def cliff_figure(lines: pd.DataFrame):
    """Figure: payment over savings rate, of a made-up ACO under two tracks."""
    ax = axes(None, height=3.8)
    ends = {}
    for colour, (track, line) in zip(("blue", "orange"), lines.groupby("track", sort=False), strict=False):
        # A gap in the line at each jump, so that no slope is drawn where there is none.
        jump = np.abs(line["payment"].diff()) > 0.005
        ax.plot(100 * line["savings_rate"], 100 * line["payment"].mask(jump), color=PALETTE[colour], lw=2)
        name = f"Track {track}" if len(track) == 1 else track
        ends[f"{name},\nminimum {100 * line['minimum'].iloc[0]:g}%"] = (
            100 * line["payment"].iloc[-1], PALETTE[colour]
        )  # fmt: skip
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.set(xlabel="Savings rate, % of benchmark", ylabel="Paid (above 0) or owed,\n% of benchmark")
    name_ends(ax, 100 * lines["savings_rate"].max(), ends)
    return ax


def funnel(rows: pd.DataFrame, three: Mapping[str, SavingsSpread], year: int):
    """Figure: savings rates of a year by size, the minimum of the table, and where chance puts 95 % of them."""
    ax = axes(None, height=4.6)
    rows = rows[rows["year"] == year]
    for paid, colour, label in ((True, "black", "paid"), (False, PALETTE["light"], "not paid")):
        some = rows[(rows["earned_savings"] > 0) == paid]
        ax.plot(some["beneficiaries"], 100 * some["savings_rate"], "o", ms=3.5, alpha=0.6, color=colour,
                label=label)  # fmt: skip
    sizes = np.geomspace(rows["beneficiaries"].min(), rows["beneficiaries"].max(), 200)
    ends = {}
    for name, spread in three.items():
        half = 196 * spread.standard_deviation(sizes)
        for side in (-1, 1):
            ax.plot(sizes, side * half, color=PALETTE[_COLOURS[name]], lw=1.4)
        ends[NO_EFFECT[name]] = (
            half[-1], PALETTE[_COLOURS[name]]
        )  # fmt: skip
    minimum = minimum_savings_rate(sizes, on=f"{year}-12-31")
    ax.plot(sizes, 100 * minimum, color="black", lw=1.6, ls="--", label="minimum of the table")
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    _sizes(ax, sizes)
    ax.set_ylim(*(np.array([-115, 115]) * rows["savings_rate"].abs().max()))
    ax.set_ylabel(f"Savings rate of {year}, %")
    name_ends(ax, sizes[-1], ends)
    ax.legend(frameon=False, fontsize="small", ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def share_by_year(by_year: pd.DataFrame):
    """Figure: published shares past the minimum, with intervals, beside the shares by chance without effect."""
    ax = axes(None, height=4)
    years, ends = by_year.index, {}
    low, high = _by(by_year, "sampling"), _by(by_year, "published")
    ax.fill_between(years, low, high, color=PALETTE["light"], alpha=0.4, lw=0)
    for name, colour in _COLOURS.items():
        values = _by(by_year, name)
        ax.plot(years, values, color=PALETTE[colour], lw=1.6)
        ends[NO_EFFECT[name]] = (
            values.iloc[-1], PALETTE[colour]
        )  # fmt: skip
    share = 100 * by_year["share_past"]
    bars = 100 * np.array([by_year["share_past"] - by_year["past_low"], by_year["past_high"] - by_year["share_past"]])
    ax.errorbar(years, share, bars, fmt="o", color="black", ms=5, label="published")
    ax.plot(years, 100 * by_year["share_past_centred"], "o", mfc="white", color="black", ls="none", ms=5,
            label="published, less the mean savings rate of the year")  # fmt: skip
    ax.set_xticks(years[:: 1 + len(years) // 8])
    ax.set_ylim(0, 80 if share.max() < 75 else 100)
    ax.set(xlabel="Performance year", ylabel="Past the minimum savings rate,\n% of ACOs")
    name_ends(ax, years[-1], ends)
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def lasting(found: pd.DataFrame, lag: int, parts: int = 10):
    """Figure: pairs of savings rates, and means by tenths of the earlier one with intervals clustered by ACO."""
    ax = axes(None, height=4.6)
    style = {"ms": 2, "alpha": 0.25, "color": PALETTE["grey"], "rasterized": True}
    ax.plot(100 * found["before"], 100 * found["after"], "o", **style)
    ax.figure.set_dpi(220)  # of the points, which as drawings would weigh more than the rest of the page
    tenth = pd.qcut(found["before"], parts, labels=False)
    for _, some in found.groupby(tenth):
        mean = some["after"].mean()
        sums = (some["after"] - mean).groupby(some["aco_id"]).sum()
        half = 196 * np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(some)
        ax.errorbar(100 * some["before"].mean(), 100 * mean, half, fmt="o", color=PALETTE["blue"], ms=6)
    ends = 100 * found["before"].quantile([0.005, 0.995]).to_numpy()
    ax.plot(ends, ends, color=PALETTE["orange"], lw=1.4)
    name_ends(
        ax, 1.1 * ends[1], {"all of it lasts": (ends[1], PALETTE["orange"]), "nothing lasts": (0, PALETTE["green"])}
    )
    ax.plot(ends, [0, 0], color=PALETTE["green"], lw=1.4)
    ax.set_xlim(*(1.1 * ends))
    ax.set_ylim(*(1.1 * ends))
    later = "a year" if lag == 1 else f"{lag} years"
    ax.set_xlabel("Savings rate less the mean of its year, percentage points")
    ax.set_ylabel(f"The same, {later} later")
    return ax


def _by(by_year: pd.DataFrame, name: str) -> pd.Series:
    return 100 * by_year[f"chance by {NO_EFFECT[name]}"]


def _sizes(ax, sizes: np.ndarray) -> None:
    ax.set_xscale("log")
    shown = [tick for tick in _TICKS if sizes[0] <= tick <= sizes[-1]]
    ax.set_xticks(shown, [f"{tick:,}" for tick in shown])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("Assigned beneficiaries")
