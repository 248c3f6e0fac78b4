"""Counties with their Medicare cost by year and the share of beneficiaries assigned to ACOs, with what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

import apmkit as apm
from apmkit import datasets

STARTS = (2012, 2013, 2014)
"""Years in which the ACOs of 2014 started."""

BEFORE = 2011
"""Last year before the program."""

_TRUNCATED = 20
"""Names of the table of assignment end after so many characters."""


@dataclass(frozen=True, eq=False)
class Counties:
    """A balanced panel of counties.

    Attributes
    ----------
    frame : DataFrame
        One row per county: `fips`, `state`, `county`, `dose_2012`, `dose_2013`, `dose_2014` (assigned in 2014 to ACOs
        that had started by then, in percent of fee-for-service beneficiaries of 2014), and of the last year before the
        program `ffs_beneficiaries`, `ma_share`, `average_age`, `cost`.
    years : ndarray of int, shape (n_years,)
    cost, ma_share : ndarray, shape (n_counties, n_years)
        Dollars per fee-for-service beneficiary; Medicare Advantage share in percent.
    counts : mapping of str to int
        What was joined and what left out, in words.
    """

    frame: pd.DataFrame
    years: np.ndarray
    cost: np.ndarray
    ma_share: np.ndarray
    counts: Mapping[str, float]

    @property
    def dose(self) -> np.ndarray:
        """Dose in each year, shape (n_counties, n_years): none before the program, that of 2014 from then on."""
        columns = [f"dose_{min(max(year, STARTS[0]), STARTS[-1])}" for year in self.years]
        return self.frame[columns].to_numpy() * (self.years > BEFORE)

    def start(self, least: float) -> np.ndarray:
        """First year in which a county has at least this dose; missing where it never has."""
        doses = self.frame[[f"dose_{year}" for year in STARTS]].to_numpy()
        reached = doses >= least
        return np.where(reached.any(axis=1), np.array(STARTS)[reached.argmax(axis=1)], np.nan)


def name_key(county: pd.Series) -> pd.Series:
    """Names as both tables would write them: cut, in small letters, without blanks, dots and hyphens.

    >>> name_key(pd.Series(["De Kalb", "DeKalb", "Colonial Heights City"])).tolist()
    ['dekalb', 'dekalb', 'colonialheightscit']
    """
    return county.str[:_TRUNCATED].str.lower().str.replace("[^a-z]", "", regex=True)


def assignment() -> pd.DataFrame:
    """The table of assignment by ACO and county, with `aco_id`, `start` (year of the ACO) and `hidden` (suppressed)."""
    rows = apm.load("mssp_county_assignment")
    acos = datasets.aco_identifiers().drop_duplicates("aco_num").set_index("aco_num")
    return rows.assign(
        aco_id=rows["aco_num"].map(acos["aco_id"]),
        start=pd.to_datetime(rows["aco_num"].map(acos["first_agreement_start"])).dt.year,
        hidden=rows["beneficiaries"].isna(),
    )


def assigned_by_start(suppressed: str) -> pd.DataFrame:
    """Beneficiaries assigned in 2014 by county and start of their ACO, cells under 11 filled in.

    Parameters
    ----------
    suppressed : {"zero", "aco_totals", "ten"}
        What stands for a suppressed cell: nobody; an equal share of what the ACO's own total lacks; or ten people.

    Returns
    -------
    DataFrame
        `state`, `key`, `start`, `assigned`, `suppressed` (number of such cells).
    """
    rows = assignment()
    cell = 10.0 if suppressed == "ten" else 0.0
    if suppressed == "aco_totals":
        cell = rows["aco_id"].map(hidden_cell_means(rows))
    return (
        rows.assign(assigned=rows["beneficiaries"].fillna(cell), key=name_key(rows["county"]))
        .groupby(["state", "key", "start"], as_index=False)
        .agg(assigned=("assigned", "sum"), suppressed=("hidden", "sum"))
    )


def hidden_cell_means(rows: pd.DataFrame) -> pd.Series:
    """Mean of the suppressed cells of each ACO: its published total less the cells shown, over their number.

    Parameters
    ----------
    rows : DataFrame
        From `assignment`.
    """
    by_aco = rows.groupby("aco_id").agg(shown=("beneficiaries", "sum"), hidden=("hidden", "sum"))
    results = apm.load("mssp")
    total = results[results["year"] == STARTS[-1]].set_index("aco_id")["beneficiaries"]
    return (total.reindex(by_aco.index) - by_aco["shown"]) / by_aco["hidden"]


def counties(suppressed: str, smallest: int, last_year: int) -> Counties:
    """Counties with costs in all years from 2007 and a dose.

    Counties whose name stands in no row of the assignment have nobody assigned. In Alaska and outside the states the
    two tables cut the land differently, so that counties without a match there are left out.

    Parameters
    ----------
    suppressed : {"zero", "aco_totals", "ten"}
    smallest : int
        Fewest fee-for-service beneficiaries in 2011.
    last_year : int
    """
    made_of = tuple(datasets.checksum(name) for name in ("gv_county", "mssp", "mssp_county_assignment"))
    return _counties(suppressed, smallest, last_year, made_of)


@lru_cache(maxsize=32)
def _counties(suppressed: str, smallest: int, last_year: int, made_of: tuple[str, ...]) -> Counties:
    # A sweep asks for the same counties many times; other data are other counties.
    costs = apm.load("gv_county")
    costs = costs[(costs["year"] <= last_year) | (costs["year"] == STARTS[-1])]
    costs = costs.assign(key=name_key(costs["county"]))
    assigned = assigned_by_start(suppressed)
    known = costs[(costs["year"] == STARTS[-1]) & ~costs["fips"].str.endswith("999")].dropna(subset=["state"])
    wide = assigned.pivot(index=["state", "key"], columns="start", values="assigned").fillna(0.0)
    people = assigned.groupby(["state", "key"])["assigned"].sum()
    matched = people.index.isin(pd.MultiIndex.from_frame(known[["state", "key"]]))
    counts = {
        "counties in the assignment": len(people),
        "of these with a match": int(matched.sum()),
        "assigned beneficiaries without a match, %": float(100 * people[~matched].sum() / people.sum()),
        "suppressed cells": int(assigned["suppressed"].sum()),
        "counties in the costs": len(known),
    }
    frame = known[["fips", "state", "county", "key", "ffs_beneficiaries"]].merge(
        wide.cumsum(axis=1).reset_index(), on=["state", "key"], how="left"
    )
    absent = frame[STARTS[-1]].isna()
    elsewhere = frame["state"].isin(["AK", "VI", "PR"]) & absent
    counts["without a match in Alaska and the islands, left out"] = int(elsewhere.sum())
    counts["in no row of the assignment, read as nobody assigned"] = int((absent & ~elsewhere).sum())
    frame = frame[~elsewhere & (frame["ffs_beneficiaries"] > 0)]
    for year in STARTS:
        frame[f"dose_{year}"] = 100 * frame[year].fillna(0.0) / frame["ffs_beneficiaries"]
    base = costs[costs["year"] == BEFORE].set_index("fips")
    frame = frame.drop(columns=["ffs_beneficiaries", "key", *STARTS]).set_index("fips")
    frame["ffs_beneficiaries"] = base["ffs_beneficiaries"]
    frame["ma_share"], frame["average_age"] = 100 * base["ma_share"], base["average_age"]
    frame["cost"] = base["cost_per_capita"]
    small = ~(frame["ffs_beneficiaries"] >= smallest)
    counts[f"with fewer than {smallest:,} beneficiaries in {BEFORE}, left out"] = int(small.sum())
    frame = frame[~small]
    within = costs[costs["year"] <= last_year]
    cost = within.pivot(index="fips", columns="year", values="cost_per_capita").reindex(frame.index)
    share = 100 * within.pivot(index="fips", columns="year", values="ma_share").reindex(frame.index)
    complete = cost.notna().all(axis=1) & share.notna().all(axis=1) & frame["average_age"].notna()
    counts["without cost or Medicare Advantage share in some year, left out"] = int((~complete).sum())
    counts["counties used"] = int(complete.sum())
    return Counties(
        frame[complete].reset_index(),
        cost.columns.to_numpy(),
        cost[complete].to_numpy(),
        share[complete].to_numpy(),
        counts,
    )
