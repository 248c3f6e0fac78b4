"""Who is paid, where the minimum savings rate cuts, what chance costs and what other rules would have paid."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

import apmkit as apm
from apmkit.payment.mssp import (
    Benchmark,
    SavingsSpread,
    expected_payment,
    mssp_benchmark,
    published_aco_years,
    settle_mssp,
)
from apmkit.payment.rulebook import Rulebook, rulebook

SIZES = (5_000, 10_000, 20_000, 50_000)
_POINTS = 201


def groups(frame: pd.DataFrame) -> pd.DataFrame:
    """The ACO-years with what they are compared by: `Track`, `Beneficiaries` and `Revenue` as text, and `paid`."""
    labels = ["under 5,000", "5,000 to 9,999", "10,000 to 19,999", "20,000 to 49,999", "50,000 or more"]
    size = pd.cut(frame["beneficiaries"], [-np.inf, *SIZES, np.inf], right=False, labels=labels)
    return frame.assign(
        paid=frame["earned_savings"] > 0,
        Track=frame["track"].where(~frame["track"].isin(["1", "1+", "2", "3"]), "Track " + frame["track"]),
        Beneficiaries=size,
        Revenue=frame["revenue_category"] + " revenue",
    )


def shares(frame: pd.DataFrame, by: str, outcome: str = "paid", level: float = 0.95) -> pd.DataFrame:
    """The share of ACO-years with an outcome in each group, with intervals that count an ACO's years as one cluster.

    The interval is Wilson's, at the number of independent rows that has the cluster-robust variance of the share.

    Returns
    -------
    DataFrame
        By group: `rows`, `acos`, `share`, `low`, `high`.

    References
    ----------
    Wilson (1927), Journal of the American Statistical Association 22(158).
    """
    rows, z2 = {}, ndtri(0.5 + level / 2) ** 2
    for name, some in frame.groupby(by, observed=True):
        n, share = len(some), float(some[outcome].mean())
        sums = (some[outcome] - share).groupby(some["aco_id"]).sum()
        clusters = len(sums)
        variance = float((sums**2).sum()) / n**2 * clusters / max(clusters - 1, 1)
        effective = min(n, share * (1 - share) / variance) if variance > 0 else clusters
        middle = (share + z2 / (2 * effective)) / (1 + z2 / effective)
        half = np.sqrt(z2 * (share * (1 - share) / effective + z2 / (4 * effective**2))) / (1 + z2 / effective)
        rows[name] = (n, clusters, share, max(middle - half, 0.0), min(middle + half, 1.0))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["rows", "acos", "share", "low", "high"])


@cache
def acos_of(year: int) -> pd.DataFrame:
    """The ACOs of a year with what their settlement needs; do not change it in place."""
    acos = published_aco_years()
    return acos[acos["year"] == year].reset_index(drop=True)


def near_misses(year: int, n: int = 6) -> pd.DataFrame:
    """ACOs that saved, and missed their minimum savings rate by least.

    Returns
    -------
    DataFrame
        `aco_name`, `track`, `savings_rate`, `minimum_savings_rate`, `saved` and `short` (USD), and `would_be` (USD):
        what the same savings would have paid with a minimum of zero.
    """
    acos = acos_of(year)
    details = settle_mssp(acos, unknown_revenue="benchmark").details
    below = (details["reason"] == "Savings below the minimum savings rate").to_numpy()
    missed = acos[below].assign(saved=lambda rows: rows["benchmark"] - rows["expenditures"])
    missed["short"] = missed["minimum_savings_rate"] * missed["benchmark"] - missed["saved"]
    missed["would_be"] = settle_mssp(missed.assign(minimum_savings_rate=0.0)).total.to_numpy()
    missed = missed.assign(gap=missed["short"] / missed["benchmark"]).nsmallest(n, "gap")
    columns = ["aco_name", "track", "savings_rate", "minimum_savings_rate", "saved", "short", "would_be"]
    return missed[columns].reset_index(drop=True)


def cliff(year: int, beneficiaries: int = 10_000) -> pd.DataFrame:
    """Payment by savings rate of a made-up ACO under a one-sided and a two-sided track of the year.

    Full quality, no advance, losses limited on the benchmark alone. Rates in the columns are shares of the benchmark.

    Returns
    -------
    DataFrame
        `track`, `minimum` (its minimum savings rate), `savings_rate`, `payment`.
    """
    terms = rulebook("mssp").on(f"{year}-12-31")

    def first(*tracks: str) -> str:
        names = {"1": "track_1", "2": "track_2", "3": "track_3", "BASIC B": "basic_b", "ENHANCED": "enhanced"}
        return next(track for track in tracks if f"{names[track]}.sharing_rate" in terms)

    of_table = float(apm.minimum_savings_rate(beneficiaries, on=terms.day))
    rate = np.round(np.arange(-0.1, 0.1001, 0.0005), 4)
    lines = []
    for track, minimum in ((first("BASIC B", "1"), of_table), (first("ENHANCED", "3", "2"), 0.02)):
        rows = pd.DataFrame({"savings_rate": rate}).assign(track=track, minimum=minimum, year=year, benchmark=1e8)
        rows = rows.assign(
            expenditures=rows["benchmark"] * (1 - rows["savings_rate"]), beneficiaries=beneficiaries, quality_score=1.0,
            met_quality_standard=True, revenue_category="high", agreement_start=f"{year}-01-01",
            disaster_adjustment=0.0, minimum_savings_rate=minimum,
        )  # fmt: skip
        rows["payment"] = settle_mssp(rows, unknown_revenue="benchmark").total / rows["benchmark"]
        lines.append(rows[["track", "minimum", "savings_rate", "payment"]])
    return pd.concat(lines, ignore_index=True)


def made_up_benchmark() -> Benchmark:
    """The benchmark of an invented ACO in a first agreement from 2022: an example of the steps, not of an amount."""
    by_type = {
        "enrolment": ["esrd", "disabled", "aged_dual", "aged_nondual"],
        "person_years_by3": [60.0, 940.0, 1_000.0, 8_000.0],
        "person_years": [60.0, 940.0, 1_000.0, 8_000.0],
        "spending_by1": [80_000.0, 10_000.0, 15_000.0, 9_500.0],
        "spending_by2": [82_000.0, 10_300.0, 15_500.0, 9_800.0],
        "spending_by3": [85_000.0, 10_600.0, 16_000.0, 10_100.0],
        "regional_spending": [88_000.0, 11_000.0, 16_800.0, 10_700.0],
        "national_spending": [84_000.0, 10_500.0, 16_200.0, 10_200.0],
    }
    alike = {
        "aco": "made up", "risk_by1": 1.0, "risk_by2": 1.01, "risk_by3": 1.02, "risk": 1.08, "national_share": 0.1,
        "national_trend_by1": 1.06, "national_trend_by2": 1.03, "regional_trend_by1": 1.07, "regional_trend_by2": 1.03,
        "national_update": 1.05, "regional_update": 1.06,
    }  # fmt: skip
    return mssp_benchmark(pd.DataFrame({**by_type, **alike}), agreement_start="2022-01-01")


def benchmark_per_head(frame: pd.DataFrame, year: int) -> float:
    """Benchmark of a year's ACOs per assigned beneficiary and twelve months, USD."""
    rows = frame[frame["year"] == year]
    return float((rows["benchmark"] * 12 / rows["performance_months"]).sum() / rows["beneficiaries"].sum())


def by_chance(frame: pd.DataFrame, year: int, three: Mapping[str, SavingsSpread]) -> pd.DataFrame:
    """Mean payment to a one-sided ACO without effect by size (rows) and spread (columns), USD a year."""
    track = cliff(year)["track"].iloc[0]
    head = benchmark_per_head(frame, year)
    return pd.DataFrame(
        {
            name: expected_payment(SIZES, spread=spread, year=year, benchmark_per_beneficiary=head, track=track)
            .set_index("beneficiaries")["expected_payment"]
            for name, spread in three.items()
        }
    ).rename(index=int)  # fmt: skip


def bill_by_chance(year: int, three: Mapping[str, SavingsSpread]) -> pd.DataFrame:
    """What the ACOs of a year would be paid and owe on average if their savings rates were chance around zero.

    Each keeps its benchmark, size, track, minimum and sharing rate, and is settled at 201 savings rates that are
    equally probable.

    Returns
    -------
    DataFrame
        Rows "published" (what happened) and one by spread; `paid_acos`, `paid`, `owed` (USD).
    """
    acos = acos_of(year)
    actual = acos["earned_savings"]
    rows = {"as published": (int((actual > 0).sum()), actual.clip(lower=0).sum(), -actual.clip(upper=0).sum() + 0.0)}
    deviates = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
    many = acos.drop(columns=["aco_id", "disaster_adjustment", "final_loss_rate"])
    many = many.loc[many.index.repeat(_POINTS)].reset_index(drop=True)
    for name, spread in three.items():
        rate = np.outer(spread.standard_deviation(acos["beneficiaries"]), deviates).ravel()
        spent = many["benchmark"] * np.maximum(1 - rate, 0)
        total = settle_mssp(many.assign(expenditures=spent), unknown_revenue="benchmark").total / _POINTS
        rows[name] = ((total > 0).sum() / _POINTS, total.clip(lower=0).sum(), -total.clip(upper=0).sum() + 0.0)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["paid_acos", "paid", "owed"])


def what_if(year: int, rules: Rulebook, *, minimum: float | Literal["as chosen", "table"] = "as chosen") -> pd.Series:
    """A year's ACOs settled under other rules, with the savings they had: arithmetic, nobody changes what they do.

    Parameters
    ----------
    rules : Rulebook
        From ``rulebook("mssp").with_values(...)``. Where it changes the highest sharing rate of a track,
        published rates move in proportion, so that quality counts as it did.
    minimum : float or str
        Minimum savings and loss rate of every ACO; that of the table for its size; or the one it had.

    Returns
    -------
    Series
        `paid_acos`, `paid`, `owing_acos`, `owed`, and `net`, paid less owed (USD).
    """
    acos = acos_of(year)
    day, shipped = f"{year}-12-31", rulebook("mssp")
    tracks = settle_mssp(acos, unknown_revenue="benchmark").details["track"].astype(str).to_numpy()
    old, new = shipped.on(day), rules.on(day)
    ratio = {track: new[f"{track}.sharing_rate"] / old[f"{track}.sharing_rate"] for track in set(tracks)}
    changed = acos.assign(final_sharing_rate=acos["final_sharing_rate"] * [ratio[track] for track in tracks])
    if minimum == "table":
        changed["minimum_savings_rate"] = apm.minimum_savings_rate(
            acos["beneficiaries"].to_numpy(), on=day, rules=rules
        )
    elif minimum != "as chosen":
        changed["minimum_savings_rate"] = minimum
    total = settle_mssp(changed, rules=rules, unknown_revenue="benchmark").total
    paid, owed = total.clip(lower=0).sum(), -total.clip(upper=0).sum() + 0.0
    return pd.Series(
        {
            "paid_acos": (total > 0).sum(),
            "paid": paid,
            "owing_acos": (total < 0).sum(),
            "owed": owed,
            "net": paid - owed,
        }
    )


@cache
def scenarios(year: int, minimum: float) -> pd.DataFrame:
    """A year under other minimum and sharing rates; `change` is net of the rules in force, USD.

    Do not change it in place.
    """
    rules = rulebook("mssp")
    rates = {name: rules.parameter(name) for name in rules.parameters if name.endswith(".sharing_rate")}
    highest = {name: rate.on(pd.Timestamp(f"{year}-12-31").date()) for name, rate in rates.items()}
    more = {name: min(dated.value + 0.1, 1.0) for name, dated in highest.items() if dated}
    limits = {name: 1.0 for name in rules.parameters if name.endswith(".payment_limit")}
    rows = {
        "The rules in force": what_if(year, rules),
        f"Minimum of {100 * minimum:g} % for every ACO": what_if(year, rules, minimum=minimum),
        "Minimum of the table for every ACO": what_if(year, rules, minimum="table"),
        "Highest sharing rates 10 points higher": what_if(year, rules.with_values(more)),
        "Highest sharing rate of 50 % on every track": what_if(year, rules.with_values(dict.fromkeys(more, 0.5))),
        "No payment limit": what_if(year, rules.with_values(limits)),
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.assign(change=table["net"] - table["net"].iloc[0])
