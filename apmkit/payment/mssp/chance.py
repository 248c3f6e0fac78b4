"""Pay by chance: how often an ACO without any effect is paid or owes, and what."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from apmkit.errors import PaymentError
from apmkit.options import check_level, numbers
from apmkit.payment.mssp.minimum_savings_rate import minimum_savings_rate as rate_of_table
from apmkit.payment.mssp.minimum_savings_rate import sizes_of
from apmkit.payment.mssp.savings_spread import SavingsSpread, results
from apmkit.payment.mssp.settlement import settle_mssp
from apmkit.payment.rulebook import Rulebook, rulebook

_SIZES = (5_000, 10_000, 20_000, 50_000)
_HIGHEST_MINIMUM = 0.3
_ALIKE = (
    "quality_score",
    "met_quality_standard",
    "met_alternative_standard",
    "final_sharing_rate",
    "final_loss_rate",
    "participant_revenue",
    "loss_limit",
    "disaster_adjustment",
    "revenue_category",
    "agreement_start",
    "advance_investment_balance",
)
_SETTLED_AT_ONCE = 200_000


def chance_of_payment(
    n_assigned,
    *,
    spread: SavingsSpread,
    year: int,
    track: str = "BASIC B",
    minimum_savings_rate: float | Sequence[float] | None = None,
    effect: float = 0.0,
    rules: Rulebook | None = None,
) -> pd.DataFrame:
    """Probability that chance alone carries an ACO past its minimum savings rate, or past its minimum loss rate.

    The savings rate S is normal around `effect` with the standard deviation of `spread` at the ACO's size, so that
    P(S >= m) = 1 - Phi((m - effect) / sd), and on a two-sided track P(S <= -m) = Phi((-m - effect) / sd).

    Parameters
    ----------
    n_assigned : int or array-like
        Assigned beneficiaries.
    spread : SavingsSpread
        From `savings_spread` or `sampling_spread`.
    year : int
        Performance year: the rules on its last day.
    track : str
        As in ``apmkit.load("mssp")``, for instance "BASIC E".
    minimum_savings_rate : float or array-like, optional
        Chosen by two-sided ACOs (the loss rate is the same); without it the rate of the table for the size.
    effect : float
        True savings, share of the benchmark.
    rules : Rulebook, optional
        Default: those that ship with apmkit.

    Returns
    -------
    DataFrame
        One row per size: `beneficiaries`, `track`, `minimum` ("table" or "chosen"), `spread`, `minimum_savings_rate`,
        `standard_deviation`, `chance_of_savings`, `savings_low`, `savings_high`, `chance_of_losses`, `losses_low`,
        `losses_high`. The ends are those of the spread's bootstrap, missing if it has none. Savings of ACOs that fail
        the quality standard and losses that a disaster cancels are counted; savings below the minimum, of which
        low-revenue ACOs have a share from 2024, are not.

    Raises
    ------
    PaymentError
        A size is below 1, the minimum is no fraction, or there was no such track in that year.

    References
    ----------
    42 CFR 425.604(b), 425.605(b), 425.610(b).

    Examples
    --------
    >>> from apmkit.payment.mssp.savings_spread import sampling_spread
    >>> table = chance_of_payment([5_000, 20_000], spread=sampling_spread(), year=2022)
    >>> table["chance_of_savings"].round(2).tolist()
    [0.1, 0.05]
    """
    sizes = sizes_of(n_assigned).ravel()
    _check(spread, effect)
    book = rulebook("mssp") if rules is None else rules
    minimum = _minimum(sizes, minimum_savings_rate, year, book)
    two_sided = _two_sided(track, year, book)
    deviations = np.vstack([spread.standard_deviation(sizes), spread.replicates(sizes)])
    savings = ndtr((effect - minimum) / deviations)
    losses = ndtr((-minimum - effect) / deviations) * two_sided
    ends = {"savings": spread.interval(savings[1:]), "losses": spread.interval(losses[1:])}
    return pd.DataFrame(
        {
            "beneficiaries": sizes,
            "track": track,
            "minimum": "table" if minimum_savings_rate is None else "chosen",
            "spread": spread.source,
            "minimum_savings_rate": minimum,
            "standard_deviation": deviations[0],
            "chance_of_savings": savings[0],
            "savings_low": ends["savings"][0],
            "savings_high": ends["savings"][1],
            "chance_of_losses": losses[0],
            "losses_low": ends["losses"][0],
            "losses_high": ends["losses"][1],
        }
    )


def expected_payment(
    n_assigned,
    *,
    spread: SavingsSpread,
    year: int,
    benchmark_per_beneficiary: float,
    track: str = "BASIC B",
    minimum_savings_rate: float | Sequence[float] | None = None,
    effect: float = 0.0,
    n_points: int = 4_000,
    rules: Rulebook | None = None,
    **aco,
) -> pd.DataFrame:
    """What an ACO is paid and owes on average by chance alone, settled by the rules of its track.

    Each size is settled by `settle_mssp` at `n_points` savings rates of equal probability, the midpoints of slices of
    the normal distribution of `chance_of_payment`; the averages are the expected amounts.

    Parameters
    ----------
    n_assigned, spread, year, track, minimum_savings_rate, effect, rules
        As for `chance_of_payment`.
    benchmark_per_beneficiary : float
        USD of the year.
    n_points : int
        Savings rates settled for each size.
    **aco
        Other columns of `settle_mssp`, alike for all: by default `quality_score` 1, `met_quality_standard` True, high
        revenue, the first year of the agreement, and loss limits on the benchmark alone.

    Returns
    -------
    DataFrame
        One row per size: `beneficiaries`, `track`, `expected_savings` and `expected_losses` (USD per ACO, losses
        negative), `expected_payment` (their sum), `share_of_benchmark` (the sum over the benchmark).

    Raises
    ------
    PaymentError
        As `chance_of_payment` and `settle_mssp`, or the benchmark or `n_points` is not above 0.

    Examples
    --------
    >>> from apmkit.payment.mssp.savings_spread import sampling_spread
    >>> expected_payment(5_000, spread=sampling_spread(), year=2022, benchmark_per_beneficiary=12_000)[
    ...     ["expected_savings", "expected_losses"]].round(-3).to_dict("records")
    [{'expected_savings': 123000.0, 'expected_losses': 0.0}]
    """
    sizes = sizes_of(n_assigned).ravel()
    _check(spread, effect)
    if unknown := [name for name in aco if name not in _ALIKE]:
        raise PaymentError(f"expected_payment takes no {unknown[0]}; what is alike for all may be {', '.join(_ALIKE)}.")
    if not (benchmark_per_beneficiary > 0 and isinstance(n_points, Integral) and n_points > 0):
        raise PaymentError(
            f"benchmark_per_beneficiary={benchmark_per_beneficiary!r} and n_points={n_points!r} must be above 0, and "
            "n_points a whole number."
        )
    book = rulebook("mssp") if rules is None else rules
    minimum = _minimum(sizes, minimum_savings_rate, year, book)
    given = {
        "quality_score": 1.0,
        "met_quality_standard": True,
        "revenue_category": "high",
        "agreement_start": f"{year}-01-01",
        **aco,
    }
    deviates = ndtri((np.arange(n_points) + 0.5) / n_points)
    deviations = spread.standard_deviation(sizes)
    sums = np.zeros((2, len(sizes)))
    at_once = max(1, _SETTLED_AT_ONCE // len(sizes))
    for first in range(0, n_points, at_once):
        rate = effect + np.outer(deviates[first : first + at_once], deviations)
        benchmark = np.broadcast_to(sizes * benchmark_per_beneficiary, rate.shape)
        rows = {
            "beneficiaries": np.broadcast_to(sizes, rate.shape).ravel(),
            "minimum_savings_rate": np.broadcast_to(minimum, rate.shape).ravel(),
            "benchmark": benchmark.ravel(),
            # Spending cannot be negative: such savings rates are a rounding of the normal distribution.
            "expenditures": np.maximum(benchmark * (1 - rate), 0).ravel(),
        }
        frame = pd.DataFrame({**rows, "year": year, "track": track, **given})
        total = settle_mssp(frame, rules=book, unknown_revenue="benchmark").total.to_numpy().reshape(rate.shape)
        sums += np.maximum(total, 0).sum(axis=0), np.minimum(total, 0).sum(axis=0)
    savings, losses = sums / n_points
    return pd.DataFrame(
        {
            "beneficiaries": sizes,
            "track": track,
            "expected_savings": savings,
            "expected_losses": losses,
            "expected_payment": savings + losses,
            "share_of_benchmark": (savings + losses) / (sizes * benchmark_per_beneficiary),
        }
    )


def payments_and_chance(
    data: pd.DataFrame,
    spreads: Sequence[SavingsSpread],
    *,
    sizes: Sequence[int] = _SIZES,
    by_year: bool = True,
    level: float = 0.95,
) -> pd.DataFrame:
    """Published shares of ACOs paid, beside what chance alone would do at their sizes and minimum savings rates.

    Parameters
    ----------
    data : DataFrame
        As from ``apmkit.load("mssp")``: `year`, `savings_rate`, `minimum_savings_rate`, `beneficiaries`,
        `earned_savings`.
    spreads : sequence of SavingsSpread
        From `savings_spread` and `sampling_spread`.
    sizes : sequence of int
        Ends of the groups by assigned beneficiaries.
    by_year : bool
        Whether each year is apart, or all years are together.
    level : float
        Level of the intervals, after Wilson (1927), as if rows were independent; over all years, in which an ACO has
        several rows, they are too narrow.

    Returns
    -------
    DataFrame
        `year` (if by year), `size`, `acos` (ACO-years), `beneficiaries` (mean), `mean_savings_rate`, `share_past`
        (savings rate at or above the minimum), `past_low`, `past_high`, `share_past_centred` (the same of savings
        rates less the mean of all ACOs that year), `share_paid`, `share_owing`, and one column by spread: the mean
        probability without effect of being past the minimum.

    Raises
    ------
    PaymentError
        A column is missing.

    Examples
    --------
    >>> import apmkit
    >>> from apmkit.payment.mssp.savings_spread import sampling_spread
    >>> table = payments_and_chance(apmkit.load("mssp"), [sampling_spread()], by_year=False)
    >>> table[["size", "acos"]].head(2).to_dict("records")
    [{'size': 'under 5,000', 'acos': 161}, {'size': '5,000 to 9,999', 'acos': 1637}]
    """
    needed = ["year", "savings_rate", "minimum_savings_rate", "beneficiaries", "earned_savings"]
    check_level(level)
    if isinstance(spreads, SavingsSpread) or not all(isinstance(each, SavingsSpread) for each in spreads):
        raise PaymentError("spreads must be a list of SavingsSpread, as savings_spread and sampling_spread give them.")
    if not len(sizes) or not all(a < b for a, b in itertools.pairwise([0, *sizes])):
        raise PaymentError(f"sizes is {list(sizes)}; give numbers of beneficiaries above 0, each larger than the last.")
    frame = results(data, needed).dropna(subset=needed[1:4])
    minimum, edges = frame["minimum_savings_rate"].to_numpy(), [-np.inf, *sizes, np.inf]
    labels = [f"under {sizes[0]:,}", *(f"{a:,} to {b - 1:,}" for a, b in itertools.pairwise(sizes))]
    frame["size"] = pd.cut(frame["beneficiaries"], edges, right=False, labels=[*labels, f"{sizes[-1]:,} or more"])
    frame["past"] = frame["savings_rate"] >= minimum
    frame["centred"] = frame["savings_rate"] - frame.groupby("year")["savings_rate"].transform("mean") >= minimum
    frame["paid"], frame["owing"] = frame["earned_savings"] > 0, frame["earned_savings"] < 0
    chances = {f"chance by {spread.source}": spread for spread in spreads}
    for name, spread in chances.items():
        frame[name] = ndtr(-minimum / spread.standard_deviation(frame["beneficiaries"]))
    groups = frame.groupby([*(["year"] if by_year else []), "size"], observed=True)
    table = groups.agg(
        acos=("past", "size"),
        beneficiaries=("beneficiaries", "mean"),
        mean_savings_rate=("savings_rate", "mean"),
        share_past=("past", "mean"),
        share_past_centred=("centred", "mean"),
        share_paid=("paid", "mean"),
        share_owing=("owing", "mean"),
    )
    low, high = _wilson(table["share_past"].to_numpy(), table["acos"].to_numpy(), level)
    table.insert(4, "past_low", low)
    table.insert(5, "past_high", high)
    table[list(chances)] = groups[list(chances)].mean()
    table = table.reset_index()
    return table.assign(size=table["size"].astype(str))


def _wilson(share: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    z2 = ndtri((1 + level) / 2) ** 2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def _check(spread: SavingsSpread, effect: float) -> None:
    if not isinstance(spread, SavingsSpread):
        raise PaymentError(
            f"spread is of type {type(spread).__name__}; give what savings_spread or sampling_spread give."
        )
    if not isinstance(effect, Real) or not abs(effect) < 1:
        raise PaymentError(f"effect is {effect!r}; give a share of the benchmark, 0.02 for 2 %.")


def _minimum(sizes: np.ndarray, given, year: int, book: Rulebook) -> np.ndarray:
    if given is None:
        return rate_of_table(sizes, on=f"{year}-12-31", rules=book)
    rates = numbers(given, "minimum_savings_rate")
    if not ((rates >= 0) & (rates <= _HIGHEST_MINIMUM)).all():
        value = rates[~((rates >= 0) & (rates <= _HIGHEST_MINIMUM))].flat[0]
        raise PaymentError(f"minimum_savings_rate is {value:g}; give a share of the benchmark, 0.02 for 2 %.")
    try:
        return np.broadcast_to(rates, sizes.shape)
    except ValueError:
        raise PaymentError(f"{rates.size} minimum savings rates do not go with {sizes.size} sizes.") from None


def _two_sided(track: str, year: int, book: Rulebook) -> bool:
    """Whether the track shares losses that year, by settling a loss past every minimum."""
    loss = {"year": year, "track": track, "benchmark": 1e6, "expenditures": 1.9e6, "minimum_savings_rate": 0.02}
    rest = {"quality_score": 1.0, "met_quality_standard": True, "agreement_start": f"{year}-01-01"}
    settled = settle_mssp(pd.DataFrame([{**loss, **rest}]), rules=book, unknown_revenue="benchmark")
    return bool(settled.table["shared_losses"].item() < 0)
