"""Luck or skill: how the savings rates of ACOs scatter, how many pass by chance, and what lasts from year to year."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate
from apmkit.payment.mssp import SavingsSpread, payments_and_chance, sampling_spread, savings_spread
from apmkit.studies.study import StudyError

ALL_PAIRS, SAME, OTHER, DIFFERENCE = "all pairs", "one agreement", "two agreements", "one less two agreements"
_FEWEST = 30


def spreads(frame: pd.DataFrame, *, n_boot: int = 0) -> dict[str, SavingsSpread]:
    """The three spreads of savings rates, from the narrowest."""
    return {
        "sampling": sampling_spread(),
        "year_to_year": savings_spread(frame, kind="year_to_year", n_boot=n_boot),
        "published": savings_spread(frame, kind="published", n_boot=n_boot),
    }


def past_by_year(frame: pd.DataFrame, three: Mapping[str, SavingsSpread]) -> pd.DataFrame:
    """By year: the share past the minimum savings rate with its interval, the same of centred rates, and by chance."""
    return payments_and_chance(frame, list(three.values()), sizes=[1]).astype({"year": int}).set_index("year")


def past_estimate(frame: pd.DataFrame) -> Estimate:
    """Share of ACOs past their minimum savings rate in each year; an ACO's years are one cluster."""
    past = (frame["savings_rate"] >= frame["minimum_savings_rate"]).astype(float)
    years = np.sort(frame["year"].unique())
    share = past.groupby(frame["year"]).mean()
    score = (past - frame["year"].map(share)) / frame["year"].map(frame["year"].value_counts())
    by_aco = score.groupby([frame["aco_id"], frame["year"]]).sum().unstack(fill_value=0.0)[years].to_numpy()
    return Estimate.from_covariance(
        pd.DataFrame({"term": [str(year) for year in years]}),
        share.loc[years].to_numpy(),
        by_aco.T @ by_aco * len(by_aco) / (len(by_aco) - 1),
        estimand="Share of ACOs past the minimum savings rate",
        estimator="Mean by year, clustered by ACO",
        outcome="share of ACOs",
        n_obs=len(frame),
        n_units=len(by_aco),
        n_clusters=len(by_aco),
    )


def pairs(frame: pd.DataFrame, lag: int) -> pd.DataFrame:
    """Savings rates of the same ACO `lag` years apart, each less the mean of all ACOs that year.

    Returns
    -------
    DataFrame
        `aco_id`, `year` (the later one), `before`, `after`, `same_agreement`, `beneficiaries` (the smaller number).
    """
    rates = frame.dropna(subset=["savings_rate", "beneficiaries"])
    rates = rates.assign(rate=rates["savings_rate"] - rates.groupby("year")["savings_rate"].transform("mean"))
    rates = rates[["aco_id", "year", "rate", "agreement_start", "beneficiaries"]]
    both = rates.merge(rates.assign(year=rates["year"] + lag), on=["aco_id", "year"], suffixes=("", "_before"))
    return pd.DataFrame(
        {
            "aco_id": both["aco_id"],
            "year": both["year"],
            "before": both["rate_before"],
            "after": both["rate"],
            "same_agreement": both["agreement_start"] == both["agreement_start_before"],
            "beneficiaries": both[["beneficiaries", "beneficiaries_before"]].min(axis=1),
        }
    )


def correlations(found: pd.DataFrame, parts: Mapping[str, np.ndarray | pd.Series]) -> Estimate:
    """Correlations of `before` and `after` in parts of the pairs, with their covariance clustered by ACO.

    The score of a pair with standardised u and v is u v - r (u² + v²) / 2, over the number of pairs. Parts with fewer
    than 30 ACOs are left out. With both parts by agreement, their difference is the last term.

    Raises
    ------
    StudyError
        The first part has too few ACOs.
    """
    codes, acos = pd.factorize(found["aco_id"])
    terms, values, scores, sizes = [], [], [], {}
    for name, part in parts.items():
        keep = np.asarray(part, dtype=bool)
        if found.loc[keep, "aco_id"].nunique() < _FEWEST:
            continue
        u, v = ((c - c.mean()) / c.std() for c in found.loc[keep, ["before", "after"]].to_numpy().T)
        r = float(np.mean(u * v))
        score = np.zeros(len(found))
        score[keep] = (u * v - r * (u**2 + v**2) / 2) / keep.sum()
        terms, values = [*terms, name], [*values, r]
        scores.append(np.bincount(codes, score, minlength=len(acos)))
        sizes[name] = int(keep.sum())
    if not terms or terms[0] != next(iter(parts)):
        raise StudyError(f"Fewer than {_FEWEST} ACOs have both years: widen the window or lower lag or minimum_size.")
    if SAME in terms and OTHER in terms:
        one, two = terms.index(SAME), terms.index(OTHER)
        terms.append(DIFFERENCE)
        values.append(values[one] - values[two])
        scores.append(scores[one] - scores[two])
    matrix = np.column_stack(scores)
    return Estimate.from_covariance(
        pd.DataFrame({"term": terms}),
        np.array(values),
        matrix.T @ matrix * len(acos) / (len(acos) - 1),
        estimand="Correlation of savings rates",
        estimator="Pearson correlation, clustered by ACO",
        outcome="savings rate less the mean of its year",
        n_obs=len(found),
        n_units=len(acos),
        n_clusters=len(acos),
        diagnostics={"pairs": sizes},
    )


def persistence(found: pd.DataFrame) -> Estimate:
    """The headline: correlation over all pairs, within one agreement, across two, and the difference."""
    same = found["same_agreement"]
    return correlations(found, {ALL_PAIRS: np.ones(len(found)), SAME: same, OTHER: ~same})


def shuffled(found: pd.DataFrame, draws: int = 500, seed: int = 0) -> np.ndarray:
    """Correlations after giving each ACO the later savings rate of another one, drawn within the year."""
    rng, ordered = np.random.default_rng(seed), found.sort_values("year")
    before, after, year = (ordered[name].to_numpy() for name in ("before", "after", "year"))
    return np.array(
        [np.corrcoef(before, after[np.lexsort((rng.random(len(after)), year))])[0, 1] for _ in range(draws)]
    )


def other_choices(rows: pd.DataFrame, lag: int) -> dict[str, Estimate]:
    """The headline under one other choice at a time; choices with too few ACOs are left out."""
    found = pairs(rows, lag)
    ranked = rows.assign(savings_rate=rows.groupby("year")["savings_rate"].rank(pct=True))
    full_year = rows[rows["performance_months"] == 12]
    always = rows.groupby("aco_id")["year"].transform("size") == rows["year"].nunique()
    own_track = rows.assign(
        savings_rate=rows["savings_rate"] - rows.groupby(["year", "track"])["savings_rate"].transform("mean")
    )
    every = np.ones(len(found))
    tried = {
        "as chosen": (found, every),
        "both years in one agreement": (found, found["same_agreement"]),
        "years in two agreements": (found, ~found["same_agreement"]),
        "under 10,000 beneficiaries": (found, found["beneficiaries"] < 10_000),
        "10,000 beneficiaries or more": (found, found["beneficiaries"] >= 10_000),
        "less the mean of year and track": (pairs(own_track, lag), None),
        "ranks in place of rates": (pairs(ranked, lag), None),
        "performance periods of 12 months": (pairs(full_year, lag), None),
        "ACOs present in every year": (pairs(rows[always], lag), None),
        **{f"{n} years apart": (pairs(rows, n), None) for n in (2, 3, 4) if n != lag},
        "before 2019": (found, found["year"] < 2019),
        "from 2019": (found, found["year"] - lag >= 2019),
    }
    results = {}
    for name, (some, part) in tried.items():
        try:
            results[name] = correlations(some, {name: np.ones(len(some)) if part is None else part})
        except StudyError:
            continue
    return results


def leavers(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean distance from the savings rate of the year, of ACOs seen again the next year and of those that are not."""
    rate = frame["savings_rate"] - frame.groupby("year")["savings_rate"].transform("mean")
    there = pd.MultiIndex.from_frame(frame[["aco_id", "year"]])
    again = pd.MultiIndex.from_arrays([frame["aco_id"], frame["year"] + 1]).isin(there)
    rows = pd.DataFrame({"rate": rate, "again": again})[frame["year"] < frame["year"].max()]
    table = rows.groupby("again")["rate"].agg(["size", "mean"])
    return table.rename(index={True: "seen again", False: "gone"})
