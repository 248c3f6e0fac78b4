"""How far savings rates of ACOs scatter, how that falls with size, and how much of it stays from year to year."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from apmkit.errors import PaymentError
from apmkit.options import check_level, check_seed
from apmkit.payment.mssp.minimum_savings_rate import rate_of_size, sizes_of
from apmkit.payment.rulebook import Rulebook, rules_on

_COLUMNS = ("aco_id", "year", "savings_rate", "beneficiaries")
_NUMBERS = ("year", "savings_rate", "beneficiaries", "minimum_savings_rate", "earned_savings")
_STEPS, _REPLICATE_STEPS = 200, 12
_TYPICAL = (5_000, 10_000, 20_000, 50_000)


@dataclass(frozen=True, eq=False)
class SavingsSpread:
    """Variance of the savings rate of an ACO with n assigned beneficiaries: `fixed` + `sampling` / n.

    Attributes
    ----------
    source : str
        Where it comes from.
    fixed : float
        Variance that does not fall with size, shares of the benchmark squared.
    sampling : float
        Variance times beneficiaries of the part that falls with size.
    draws : array, shape (n_boot, 2)
        `fixed` and `sampling` of bootstrap samples of ACOs; no rows if it is not estimated.
    level : float
        Level of intervals.
    n_rows, n_acos : int
        ACO-years (or pairs of years) and ACOs it is estimated from; 0 if it is not estimated.
    note : str
        What it holds and what not.
    """

    source: str
    fixed: float
    sampling: float
    draws: np.ndarray = field(repr=False)
    level: float
    n_rows: int
    n_acos: int
    note: str

    def standard_deviation(self, n_assigned) -> np.ndarray:
        """Standard deviation of the savings rate at some sizes, shares of the benchmark."""
        return np.sqrt(self.fixed + self.sampling / sizes_of(n_assigned))

    def replicates(self, n_assigned) -> np.ndarray:
        """Standard deviations of the bootstrap samples, shape (n_boot, sizes)."""
        return np.sqrt(self.draws[:, :1] + self.draws[:, 1:] / sizes_of(n_assigned))

    def interval(self, values: np.ndarray) -> np.ndarray:
        """Ends of the interval of bootstrapped values, shape (2, ...); NaN if there are none."""
        if not len(values):
            return np.full((2, *values.shape[1:]), np.nan)
        return np.quantile(values, [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)

    @property
    def table(self) -> pd.DataFrame:
        """Standard deviations: `part`, `estimate`, `ci_low`, `ci_high`, in shares of the benchmark.

        The part that does not fall with size, the part of one beneficiary (divide by the root of n), and the whole at
        5,000 to 50,000 beneficiaries.
        """
        sizes = np.array(_TYPICAL)
        estimate = np.concatenate([np.sqrt([self.fixed, self.sampling]), self.standard_deviation(sizes)])
        low, high = self.interval(np.hstack([np.sqrt(self.draws), self.replicates(sizes)]))
        part = ["does not fall with size", "of one beneficiary", *(f"all, {n:,} beneficiaries" for n in _TYPICAL)]
        return pd.DataFrame({"part": part, "estimate": estimate, "ci_low": low, "ci_high": high})


def savings_spread(
    data: pd.DataFrame,
    *,
    kind: Literal["published", "year_to_year"] = "published",
    level: float = 0.95,
    n_boot: int = 300,
    seed: int = 0,
) -> SavingsSpread:
    """Estimate from published results how the spread of savings rates depends on the number of beneficiaries.

    Savings rates are taken as normal around the mean of their year with variance a + b / n, and a >= 0 and b > 0 are
    found by maximum likelihood (Fisher scoring: squared deviations on 1 / n, weighted by the inverse squared
    variance). Published rates have heavier tails than that; `payments_and_chance` shows how far shares then differ
    from probabilities. With ``kind="year_to_year"`` the same is done for the change from one year to the next over the
    root of 2, which leaves out all that stays. Intervals are percentiles over resampled ACOs.

    Parameters
    ----------
    data : DataFrame
        `aco_id`, `year`, `savings_rate` (share of the benchmark), `beneficiaries` (assigned), as from
        ``apmkit.load("mssp")``.
    kind : str
        "published": all of the spread, with true differences between ACOs and with errors of their benchmarks, so an
        upper bound of chance. "year_to_year": what changes between neighbouring years; it leaves out true differences,
        but also chance in the base years of a benchmark, which lasts as long as the agreement.
    level : float
        Level of the intervals.
    n_boot : int
        Bootstrap samples of ACOs.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    SavingsSpread

    Raises
    ------
    PaymentError
        A column is missing or cannot be used, or fewer than 30 ACOs have what is needed.

    Examples
    --------
    >>> import apmkit
    >>> spread = savings_spread(apmkit.load("mssp"), n_boot=20)
    >>> round(float(spread.standard_deviation(10_000)), 3)
    0.049
    """
    if kind not in ("published", "year_to_year"):
        raise PaymentError(f"kind is {kind!r}; write published or year_to_year.")
    _check_bootstrap(level, n_boot, seed)
    frame = _usable(data)
    if kind == "year_to_year":
        frame = neighbouring_years(frame)
        values = ((frame["savings_rate"] - frame["savings_rate_before"]) / np.sqrt(2)).to_numpy()
        inverse = ((1 / frame["beneficiaries"] + 1 / frame["beneficiaries_before"]) / 2).to_numpy()
    else:
        values, inverse = frame["savings_rate"].to_numpy(), 1 / frame["beneficiaries"].to_numpy()
    if np.ptp(values) == 0:
        raise PaymentError("All savings rates are the same: a spread needs rates that differ.")
    aco, names = pd.factorize(frame["aco_id"])
    if len(names) < 30:
        raise PaymentError(f"Only {len(names)} ACOs have what a spread {kind} needs; give results of at least 30.")
    year = np.eye(frame["year"].nunique())[pd.factorize(frame["year"])[0]]
    once = np.ones((1, len(values)))
    estimate = _fit(
        values, inverse, year, once, np.array([[values.var() / 2, values.var() / 2 / inverse.mean()]]), _STEPS
    )
    weights = resampled(len(names), n_boot, seed)[:, aco]
    start = np.repeat(estimate, n_boot, axis=0)
    return SavingsSpread(
        source={"published": "published savings rates", "year_to_year": "changes from year to year"}[kind],
        fixed=float(estimate[0, 0]),
        sampling=float(estimate[0, 1]),
        draws=_fit(values, inverse, year, weights, start, _REPLICATE_STEPS) if n_boot else np.empty((0, 2)),
        level=level,
        n_rows=len(values),
        n_acos=len(names),
        note={
            "published": "Holds true differences between ACOs and benchmark errors: an upper bound of chance.",
            "year_to_year": "Leaves out what stays: true differences, and chance in the base years of a benchmark.",
        }[kind],
    )


def sampling_spread(*, on: str | datetime.date = "2023-12-31", rules: Rulebook | None = None) -> SavingsSpread:
    """The spread that the table of minimum savings rates implies: chance among beneficiaries alone, a lower bound.

    Where the table was set, a rate m at n beneficiaries keeps an ACO without effect from being paid with confidence c,
    so that its standard deviation is m / z(c). Times the root of n this should be one number; the mean of its squares
    over the sizes is taken.

    Parameters
    ----------
    on : str or date
        Day on which the table is read.
    rules : Rulebook, optional
        Default: those that ship with apmkit.

    References
    ----------
    42 CFR 425.604(b); CMS-1345-P (2011), pages 265-268.

    Examples
    --------
    >>> round(float(sampling_spread().standard_deviation(5_000)), 3)
    0.03
    """
    terms = rules_on(on, "mssp", rules)
    size, confidence = pd.DataFrame(terms["minimum_savings_rate.confidence"])[
        ["beneficiaries", "confidence"]
    ].T.to_numpy()
    deviation = rate_of_size(size, terms) / ndtri(confidence)
    return SavingsSpread(
        source="sampling alone",
        fixed=0.0,
        sampling=float(np.mean(size * deviation**2)),
        draws=np.empty((0, 2)),
        level=0.95,
        n_rows=0,
        n_acos=0,
        note="Chance among the beneficiaries of one year: a lower bound; its confidence levels are partly confirmed.",
    )


def savings_reliability(data: pd.DataFrame, *, level: float = 0.95, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Luck or skill: how far the savings rate of an ACO in one year tells that in another.

    Savings rates are measured from the mean of their year. The correlation of two years is the share of the spread that
    lasts; `all pairs of years` is the intraclass correlation, variance between ACOs over all variance. What lasts need
    not be skill: an error in the benchmark lasts as long as the agreement, which the rows on one and on two agreement
    periods tell apart.

    Parameters
    ----------
    data : DataFrame
        As for `savings_spread`; with `agreement_start` also the rows by agreement period.
    level, n_boot, seed
        Of intervals, by percentiles over resampled ACOs.

    Returns
    -------
    DataFrame
        `pairs_of_years`, `pairs`, `acos`, `correlation`, `ci_low`, `ci_high`.

    Raises
    ------
    PaymentError
        A column is missing or cannot be used.

    Examples
    --------
    >>> import apmkit
    >>> table = savings_reliability(apmkit.load("mssp"), n_boot=20).set_index("pairs_of_years")
    >>> round(table.loc["1 year apart", "correlation"].item(), 2)
    0.62
    """
    _check_bootstrap(level, n_boot, seed)
    frame = _usable(data)
    frame["savings_rate"] -= frame.groupby("year")["savings_rate"].transform("mean")
    pairs = frame.merge(frame, on="aco_id", suffixes=("", "_before"))
    pairs = pairs[pairs["year"] > pairs["year_before"]]
    apart = pairs["year"] - pairs["year_before"]
    small = np.minimum(pairs["beneficiaries"], pairs["beneficiaries_before"]) < 10_000
    groups = {f"{n} year{'s' * (n > 1)} apart": apart == n for n in (1, 2, 3)}
    groups |= {"1 year apart, under 10,000 beneficiaries": (apart == 1) & small}
    groups |= {"1 year apart, 10,000 beneficiaries or more": (apart == 1) & ~small}
    if "agreement_start" in pairs:
        same = pairs["agreement_start"] == pairs["agreement_start_before"]
        groups |= {"1 year apart, one agreement period": (apart == 1) & same}
        groups |= {"1 year apart, two agreement periods": (apart == 1) & ~same}
    groups |= {"all pairs of years": apart > 0}
    rows = []
    for name, chosen in groups.items():
        if (some := pairs[chosen])["aco_id"].nunique() < 3:
            continue
        codes, acos = pd.factorize(some["aco_id"])
        x, y = some["savings_rate_before"].to_numpy(), some["savings_rate"].to_numpy()
        sums = np.zeros((len(acos), 6))
        np.add.at(sums, codes, np.column_stack([np.ones_like(x), x, y, x * x, y * y, x * y]))
        drawn = _correlation(resampled(len(acos), n_boot, seed) @ sums)
        ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if n_boot else (np.nan, np.nan)
        rows.append((name, len(some), len(acos), _correlation(sums.sum(axis=0)).item(), *ends))
    return pd.DataFrame(rows, columns=["pairs_of_years", "pairs", "acos", "correlation", "ci_low", "ci_high"])


def _correlation(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    return (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))


def _fit(
    values: np.ndarray, inverse: np.ndarray, year: np.ndarray, weights: np.ndarray, start: np.ndarray, steps: int
) -> np.ndarray:
    """Variances a + b / n by Fisher scoring, for each row of `weights`; `year` marks the year of each value."""
    a, b = start.T
    for _ in range(steps):
        variance = a[:, None] + b[:, None] * inverse
        share = weights / variance
        mean = (share * values) @ year / (share @ year)
        squares = (values - mean @ year.T) ** 2
        share = share / variance
        s0, s1, s2 = share.sum(axis=1), share @ inverse, share @ inverse**2
        t0, t1 = (share * squares).sum(axis=1), (share * squares) @ inverse
        next_b = (s0 * t1 - s1 * t0) / (s0 * s2 - s1**2)
        next_a = (t0 - next_b * s1) / s0
        # On the border of what variances can be, the other part takes all.
        next_b = np.where(next_a < 0, t1 / s2, next_b)
        next_a = np.where(next_b < 0, t0 / s0, np.maximum(next_a, 0))
        next_b = np.maximum(next_b, 1e-9)
        done = max(np.abs(next_a - a).max() / values.var(), np.abs(next_b - b).max() / b.max()) < 1e-9
        a, b = next_a, next_b
        if done:
            break
    return np.column_stack([a, b])


def resampled(n_acos: int, n_boot: int, seed: int) -> np.ndarray:
    """How often each ACO is drawn in each bootstrap sample, shape (n_boot, n_acos)."""
    return np.random.default_rng(seed).multinomial(n_acos, np.full(n_acos, 1 / n_acos), size=n_boot).astype(float)


def neighbouring_years(frame: pd.DataFrame) -> pd.DataFrame:
    """Pairs of neighbouring years of the same ACO; columns of the earlier one end in `_before`."""
    before = frame.assign(year=frame["year"] + 1)
    return frame.merge(before, on=["aco_id", "year"], suffixes=("", "_before"))


def _check_bootstrap(level: float, n_boot: int, seed: int) -> None:
    check_level(level)
    check_seed(seed)
    if not isinstance(n_boot, Integral) or n_boot < 0:
        raise PaymentError(f"n_boot is {n_boot!r}; give a whole number, 0 for no intervals.")


def results(data: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns of published results; those with a fixed meaning as numbers."""
    for column in columns:
        if not isinstance(data, pd.DataFrame) or column not in data:
            raise PaymentError(f"The results have no column {column}; needed are {', '.join(columns)}.")
    frame = data[list(columns)].copy()
    for column in frame.columns.intersection(_NUMBERS):
        try:
            frame[column] = frame[column].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise PaymentError(f"Column {column} of the results holds text; give numbers.") from None
    return frame


def _usable(data: pd.DataFrame) -> pd.DataFrame:
    kept = results(data, _COLUMNS)
    if "agreement_start" in data:
        kept["agreement_start"] = data["agreement_start"]
    frame = kept.dropna(subset=["savings_rate", "beneficiaries"]).reset_index(drop=True)
    if (twice := frame.duplicated(["aco_id", "year"])).any():
        aco, year = (frame.loc[twice, column].iloc[0] for column in ("aco_id", "year"))
        raise PaymentError(f"ACO {aco} has two rows in {year}; give each ACO one a year.")
    sizes_of(frame["beneficiaries"])
    if (high := ~(frame["savings_rate"].abs() <= 1)).any():
        value = frame.loc[high, "savings_rate"].iloc[0]
        raise PaymentError(
            f"A savings_rate is {value:g}; give shares of the benchmark, {value / 100:g} for {value:g} %."
        )
    return frame
