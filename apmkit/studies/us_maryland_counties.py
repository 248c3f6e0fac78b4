"""Maryland's counties against others, with parallel and with differential trends, as in Roberts et al. (2018)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

import apmkit as apm
from apmkit.errors import DesignWarning
from apmkit.estimate import Estimate
from apmkit.studies.one_treated import estimates_of
from apmkit.studies.us_maryland_global_budgets import NEIGHBOURS, TREATED, MarylandParameters
from apmkit.synth import placebo_detectable, without_trends

START = 2014

PUBLISHED = pd.DataFrame(
    [
        ("hospital stays", "parallel", -0.47, -1.65, 0.72),
        ("hospital stays", "differential", -1.24, -2.46, -0.02),
        ("primary care visits", "parallel", 10.6, 4.6, 16.6),
        ("primary care visits", "differential", -0.8, -10.6, 9.0),
    ],
    columns=["outcome", "trends", "estimate", "ci_low", "ci_high"],
)
"""Roberts et al. (2018): change per 100 beneficiaries a year from 2009-2013 to 2015, 8 counties of Maryland and 27
others; JAMA Internal Medicine 178(2), doi 10.1001/jamainternmed.2017.7455."""

OFFICIAL = pd.DataFrame(
    [
        ("haber2019", "2014-2018", "Medicare cost", "percent", -2.8),
        ("haber2019", "2014-2018", "Medicare hospital cost", "percent", -4.1),
        ("mathematica2024", "2019-2022", "Medicare fee-for-service cost", "percent", -2.1),
        ("mathematica2024", "2019-2022", "hospital admissions", "percent", -16.2),
        ("mathematica2024", "2019-2022", "outpatient emergency department visits", "percent", -5.9),
    ],
    columns=["source", "years", "outcome", "unit", "estimate"],
)
"""What the evaluations for the federal government report, without the intervals that their summaries leave out."""


def county_years(first_year: int = 2007, controls: Literal["all", "neighbours"] = "all") -> pd.DataFrame:
    """Counties with a cost in every year, one row each per year.

    Parameters
    ----------
    first_year : int
    controls : {"all", "neighbours"}
        Counties of all other states, or of Delaware, the District of Columbia, Pennsylvania, Virginia, West Virginia.

    Returns
    -------
    DataFrame
        `fips`, `state`, `year`, `cost_per_capita`, `weight` (mean fee-for-service beneficiaries before 2014) and
        `start`.
    """
    frame = apm.load("gv_county")
    frame = frame[frame["cost_per_capita"].notna() & (frame["year"] >= first_year) & (frame["state"] != "VI")]
    if controls == "neighbours":
        frame = frame[frame["state"].isin([TREATED, *NEIGHBOURS])]
    complete = frame.groupby("fips")["year"].transform("size") == frame["year"].nunique()
    frame = frame[complete]
    before = frame[frame["year"] < START].groupby("fips")["ffs_beneficiaries"].mean()
    return frame.assign(
        weight=frame["fips"].map(before), start=np.where(frame["state"] == TREATED, float(START), np.nan)
    )[["fips", "state", "year", "cost_per_capita", "weight", "start"]].reset_index(drop=True)


def county_effects(frame: pd.DataFrame) -> dict[str, Estimate]:
    """Weighted two-way fixed effects, under both assumptions on trends, clustered by county.

    For differential trends each county first loses its own line, fitted before 2014.

    Parameters
    ----------
    frame : DataFrame
        From `county_years`.
    """
    columns = {"unit": "fips", "time": "year", "outcome": "cost_per_capita", "cohort": "start"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        detrended = without_trends(apm.Panel(frame, **columns)).to_frame()[["fips", "year", "cost_per_capita"]]
        other = frame.drop(columns="cost_per_capita").merge(detrended, on=["fips", "year"], validate="one_to_one")
        return {
            name: apm.twfe(apm.Panel(rows, **columns, weights="weight"))
            for name, rows in {"Parallel trends": frame, "Differential trends": other}.items()
        }


def state_ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """The same two numbers for every state in Maryland's place, its counties against those of all others.

    Returns
    -------
    DataFrame
        By state, `Parallel trends` and `Differential trends` in dollars; Maryland's are those of `county_effects`.
    """
    wide = frame.pivot(index="fips", columns="year", values="cost_per_capita")
    weight = frame.groupby("fips")["weight"].first().reindex(wide.index).to_numpy()
    state = frame.groupby("fips")["state"].first().reindex(wide.index)
    years = wide.columns.to_numpy(dtype=float)
    before = years < START
    values = wide.to_numpy()
    centred = years - years[before].mean()
    slope = values[:, before] @ centred[before] / np.square(centred[before]).sum()
    change = values[:, ~before].mean(axis=1) - values[:, before].mean(axis=1)
    # A line through the mean of the years before is higher by slope x distance in the mean of those after.
    beyond = change - slope * centred[~before].mean()
    rows = {}
    for name in sorted(state.unique()):
        own = (state == name).to_numpy()
        rows[name] = [
            np.average(c[own], weights=weight[own]) - np.average(c[~own], weights=weight[~own])
            for c in (change, beyond)
        ]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["Parallel trends", "Differential trends"])


def size_sentence(methods: Mapping[str, Estimate], estimate: Estimate, parameters: MarylandParameters) -> str:
    """The methods' gaps and the smallest effect that would be found, beside what evaluations of the budgets report."""
    level = estimate.details["path"]["treated"].iloc[estimate.diagnostics["n_pre_periods"] - 1]
    gaps, least = 100 * estimates_of(methods) / level, 100 * placebo_detectable(estimate) / level
    text = (
        f"Over the {len(methods)} methods the gap is {gaps.min():+.1f}% to {gaps.max():+.1f}% of the level in the last "
        f"year before. By the method chosen, an effect of {least:.1f}% or more would be found with a chance of 80%."
    )
    if parameters.model != "global_budgets":
        return text
    reported = OFFICIAL.loc[OFFICIAL["outcome"].str.fullmatch("Medicare(?: fee-for-service)? cost"), "estimate"].abs()
    text += f" Federal evaluations report falls in cost of {reported.min():.1f}% and {reported.max():.1f}%"
    seen = "" if reported.max() >= least else ": too little to be seen with states as units"
    return f"{text}{seen}."


def counties_sentence(effects: dict[str, Estimate], ranks: pd.DataFrame) -> str:
    """Both assumptions, with the interval that takes counties for independent, and the rank among states."""
    parts = []
    for name, found in effects.items():
        row = found.table.iloc[0]
        size = ranks[name].abs()
        rank = int((size > size[TREATED]).sum()) + 1
        sign = "a fall" if row["estimate"] < 0 else "a rise"
        parts.append(
            f"with {name.lower()} {sign} of {abs(row['estimate']):,.0f} dollars (95% interval {row['ci_low']:,.0f} to "
            f"{row['ci_high']:,.0f}; rank {rank} of {len(size)} states, p = {rank / len(size):.2f})"
        )
    clear = [found.table["p_value"].iloc[0] < 0.05 for found in effects.values()]
    told = (
        "One assumption gives a clear answer and the other does not."
        if clear[0] != clear[1]
        else f"Both intervals {'exclude' if clear[0] else 'include'} zero."
    )
    return f"{'; '.join(parts).capitalize()}. {told}"
