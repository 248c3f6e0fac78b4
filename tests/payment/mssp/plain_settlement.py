"""The settlement of one ACO-year in plain arithmetic, written from 42 CFR part 425 without the library's rules.

Kept to check the vectorised engine, and to time it against. Values stand here a second time on purpose.
"""

import math

import numpy as np
import pandas as pd

TABLE = [
    (1, 499, 12.2, 12.2), (500, 999, 12.2, 8.7), (1000, 2999, 8.7, 5.0), (3000, 4999, 5.0, 3.9),
    (5000, 5999, 3.9, 3.6), (6000, 6999, 3.6, 3.4), (7000, 7999, 3.4, 3.2), (8000, 8999, 3.2, 3.1),
    (9000, 9999, 3.1, 3.0), (10000, 14999, 3.0, 2.7), (15000, 19999, 2.7, 2.5), (20000, 49999, 2.5, 2.2),
    (50000, 59999, 2.2, 2.0),
]  # fmt: skip

# Highest sharing rate, payment limit, first and last year.
TRACKS = {
    "1": (0.50, 0.10, 2013, 2021),
    "1+": (0.50, 0.10, 2018, 2021),
    "2": (0.60, 0.15, 2013, 2021),
    "3": (0.75, 0.20, 2016, 2021),
    "BASIC A": (0.40, 0.10, 2019, 2100),
    "BASIC B": (0.40, 0.10, 2019, 2100),
    "BASIC C": (0.50, 0.10, 2019, 2100),
    "BASIC D": (0.50, 0.10, 2019, 2100),
    "BASIC E": (0.50, 0.10, 2019, 2100),
    "ENHANCED": (0.75, 0.20, 2019, 2100),
}
# Limits on losses: share of participants' revenue, share of the benchmark.
REVENUE_LIMITS = {"1+": (0.08, 0.04), "BASIC C": (0.02, 0.01), "BASIC D": (0.04, 0.02), "BASIC E": (0.08, 0.04)}
LOSS_RATES = {"2": (0.40, 0.60), "3": (0.40, 0.75), "ENHANCED": (0.40, 0.75)}
ONE_SIDED = {"1", "BASIC A", "BASIC B"}


def minimum_rate(n):
    for low, high, at_low, at_high in TABLE:
        if low <= n <= high:
            return (at_low - (n - low) / (high - low) * (at_low - at_high)) / 100
    return 0.02


def sharing_rate(aco, highest, halved):
    if aco["year"] <= 2020:
        rate = highest * aco["quality_score"] if aco["met_quality_standard"] else 0.0
    elif aco["met_quality_standard"]:
        rate = highest
    elif aco["year"] >= 2023 and aco["met_alternative_standard"]:
        rate = highest * aco["quality_score"]
    else:
        rate = 0.0
    return rate / 2 if halved else rate


def loss_rate(aco, highest):
    if aco["track"] in REVENUE_LIMITS:
        return 0.30
    low, high = LOSS_RATES[aco["track"]]
    if not (aco["met_quality_standard"] or (aco["year"] >= 2023 and aco["met_alternative_standard"])):
        return high
    return min(max(1 - highest * aco["quality_score"], low), high)


def loss_limit(aco):
    track, benchmark = aco["track"], aco["benchmark"]
    if track in REVENUE_LIMITS:
        of_revenue, of_benchmark = REVENUE_LIMITS[track]
        if track == "1+" and aco["revenue_category"] == "high":
            return of_benchmark * benchmark
        return min(of_revenue * aco["participant_revenue"], of_benchmark * benchmark)
    if track == "2":
        nth = aco["year"] - max(int(aco["agreement_start"][:4]), 2013)
        return (0.05, 0.075, 0.10)[min(nth, 2)] * benchmark
    return 0.15 * benchmark


def settle(aco):
    """What one ACO is paid (positive) or owes (negative), in USD to the cent."""
    highest, cap, first, last = TRACKS[aco["track"]]
    assert first <= aco["year"] <= last
    benchmark = aco["benchmark"]
    saving = benchmark - aco["expenditures"]
    minimum = minimum_rate(aco["beneficiaries"]) if aco["track"] in ONE_SIDED else aco["minimum_savings_rate"]
    reached = abs(saving) >= minimum * benchmark - 0.005
    halved = (
        not reached
        and aco["year"] >= 2024
        and aco["track"].startswith("BASIC")
        and aco["revenue_category"] == "low"
        and aco["beneficiaries"] >= 5000
        and aco["agreement_start"] >= "2024-01-01"
    )
    if saving > 0 and (reached or halved):
        kept = 1.0 if aco["year"] in (2019, 2020) else 0.98
        paid = min(kept * sharing_rate(aco, highest, halved) * saving, cap * benchmark)
        return round(paid - min(paid, aco["advance_investment_balance"]), 2)
    if saving < 0 and reached and aco["track"] not in ONE_SIDED:
        owed = min(loss_rate(aco, highest) * -saving, loss_limit(aco))
        months = 12 if aco["year"] in (2020, 2021, 2022) else 5 if aco["year"] == 2023 else 0
        if months < 12 and not math.isnan(aco["disaster_adjustment"]):
            return -round(owed - min(-aco["disaster_adjustment"], owed), 2)
        return -round(owed * (1 - months / 12), 2)
    return 0.0


def random_contracts(n, seed):
    """Random contracts of every track in the years in which it existed; one in five far from its benchmark.

    Sizes and savings often stand exactly where a rule sets in.
    """
    random = np.random.default_rng(seed)
    track = random.choice(list(TRACKS), n)
    first, last = (np.array([TRACKS[name][part] for name in track]) for part in (2, 3))
    benchmark = random.uniform(1e6, 1e9, n).round(2)
    year = random.integers(first, np.minimum(last, 2026) + 1)
    rate = random.normal(0.01, np.where(random.random(n) < 0.2, 0.4, 0.06))
    edge = random.choice([-0.02, -0.01, 0, 0.01, 0.02], n)
    rate = np.where(random.random(n) < 0.1, edge, rate)
    return pd.DataFrame(
        {
            "year": year,
            "track": track,
            "beneficiaries": np.where(random.random(n) < 0.1, 5_000, random.integers(100, 90_000, n)),
            "benchmark": benchmark,
            "expenditures": (benchmark * (1 - rate)).round(2).clip(0),
            "minimum_savings_rate": np.where(
                np.isin(track, list(ONE_SIDED)), np.nan, random.choice([0, 0.005, 0.01, 0.015, 0.02], n)
            ),
            "quality_score": random.uniform(0, 1, n).round(4),
            "met_quality_standard": random.random(n) < 0.8,
            "met_alternative_standard": random.random(n) < 0.5,
            "participant_revenue": (benchmark * random.uniform(0.02, 0.9, n)).round(2),
            "disaster_adjustment": np.where(random.random(n) < 0.2, -random.uniform(0, 5e6, n).round(2), np.nan),
            "revenue_category": random.choice(["low", "high"], n),
            "agreement_start": [f"{each}-01-01" for each in year - random.integers(0, 4, n)],
            "advance_investment_balance": np.where(random.random(n) < 0.2, random.uniform(0, 2e6, n).round(2), 0),
        }
    )
