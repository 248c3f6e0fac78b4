"""Episode payment: a bundle of care at a target price, settled once a year against what was spent."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.inputs import check_practices
from apmkit.payment.practices import Practices
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, rules_on
from apmkit.payment.tables import Table

_TYPES = ("medical", "surgical")
_CATEGORIES = ("excellent", "good", "acceptable", "below acceptable")


def bpci_advanced(episodes: pd.DataFrame, *, on: str | datetime.date, rules: Rulebook | None = None) -> Payment:
    """Settle Bundled Payments for Care Improvement Advanced.

    The benchmark price less Medicare's discount is the target price. Target less actual spending, summed over the
    episode categories of an initiator, is its reconciliation amount. The composite quality score q (0 to 1, the mean
    over episodes) lowers a payment by 10 % x (1 - q) and a repayment by 10 % x q. Neither can pass 20 % of the target
    amount.

    Parameters
    ----------
    episodes : DataFrame
        One row per initiator and category: `initiator`, `category`, `type` ("medical" or "surgical"), `episodes`
        (count), `spending` (USD, all their episodes), `benchmark_price` (USD per episode, already adjusted for case
        mix and trend), `quality_score` (0 to 1).
    on : str or date
        A day of the performance period.
    rules : Rulebook, optional
        Rules of your own; the shipped ones by default.

    Returns
    -------
    Payment
        One row per initiator, positive where Medicare pays. Components: `benchmark`, `discount`, `spending`,
        `quality`, `stop_limit`. Details: episodes, target price (USD per episode), savings rate, quality score, reason.

    Raises
    ------
    PaymentError
        A column is absent or out of bounds, or an initiator has two rows of one category.
    RulesError
        The model was not running on that day.

    Notes
    -----
    Benchmark prices are taken as given, and the trimming of outlying episodes as done.

    References
    ----------
    Centers for Medicare & Medicaid Services, BPCI Advanced model; sources of each value in the rules file.

    Examples
    --------
    >>> hips = pd.DataFrame({"initiator": ["A"], "category": ["hip fracture"], "type": ["surgical"], "episodes": [100],
    ...                      "spending": [2_750_000.0], "benchmark_price": [30_000.0], "quality_score": [0.8]})
    >>> payment = bpci_advanced(hips, on="2022-07-01")
    >>> payment.table.loc["A"].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'benchmark': 3000000.0, 'discount': -90000.0, 'spending': -2750000.0, 'quality': -3200.0, 'stop_limit': 0.0,
     'total': 156800.0}
    """
    terms = rules_on(on, "bpci_advanced", rules)
    table, codes, initiators = _read(episodes, "initiator")
    count, spending = table.numbers("episodes", least=1), table.numbers("spending", least=0)
    price, score = table.numbers("benchmark_price", least=0), table.numbers("quality_score", 0, 1)
    rate = pd.Series(table.words("type", _TYPES))
    rate = rate.map({kind: terms[f"discount.{kind}"] for kind in rate.unique()}).to_numpy()

    def summed(values):
        return np.bincount(codes, weights=values)

    benchmark, discount, spent = (_cents(summed(v)) for v in (count * price, -count * price * rate, spending))
    target = benchmark + discount
    difference = _cents(target - spent)
    score = summed(count * score) / summed(count)
    largest = terms["quality.largest_adjustment"]
    quality = _cents(largest * np.where(difference > 0, -(1 - score) * difference, -score * difference))
    owed = difference + quality
    limited = np.clip(owed, -_cents(terms["stop.loss"] * target), _cents(terms["stop.gain"] * target))
    return Payment.from_components(
        model=terms.rulebook.title,
        currency="USD",
        components={
            "benchmark": benchmark,
            "discount": discount,
            "spending": -spent,
            "quality": quality,
            "stop_limit": limited - owed,
        },
        index=initiators,
        details=pd.DataFrame(
            {
                "episodes": summed(count),
                "target_price": target / summed(count),
                "savings_rate": _rate(difference, target),
                "quality_score": score,
                "reason": _reasons(owed, limited),
            },
            index=initiators,
        ),
        terms=[terms],
        notes=episodes.attrs.get("notes", ()),
    )


def cjr(episodes: pd.DataFrame, *, on: str | datetime.date, rules: Rulebook | None = None) -> Payment:
    """Settle Comprehensive Care for Joint Replacement.

    The target price blends the hospital's own and the region's price, at weights that move to the region, less a
    discount that quality lowers. Target less actual spending, summed over the hospital's categories, is paid or owed
    within the limits of the performance year. A hospital below acceptable quality is not paid; in the first year none
    repays. Where the discount of repayments is the smaller one, spending between the two targets moves no money.

    Parameters
    ----------
    episodes : DataFrame
        One row per hospital and category: `hospital`, `category` (MS-DRG and fracture), `episodes` (count), `spending`
        (USD, all their episodes), `regional_price` and, while it counts, `hospital_price` (USD per episode before the
        discount), `quality` ("excellent", "good", "acceptable" or "below acceptable", one for the hospital), and
        `rural` (True for the hospitals with lower stop-loss; False where absent).
    on : str or date
        A day of the performance year.
    rules : Rulebook, optional
        Rules of your own; the shipped ones by default.

    Returns
    -------
    Payment
        One row per hospital, positive where Medicare pays. Components: `expected`, `discount`, `spending`,
        `not_payable` (gains refused for quality, and amounts between the two targets), `stop_limit`. Details: episodes,
        target price (USD per episode), savings rate, discount rate, quality, reason.

    Raises
    ------
    PaymentError
        A column is absent or out of bounds, or a hospital has two qualities or two rows of one category.
    RulesError
        The model was not running on that day.

    Notes
    -----
    Prices are taken as given: from October 2021 the regional price must hold its adjustments for risk and market
    trend. Repayment for spending after the episode is left out.

    References
    ----------
    42 CFR 510.300, 510.305 and 510.315.

    Examples
    --------
    >>> knees = pd.DataFrame({"hospital": ["A"], "category": ["470"], "episodes": [50], "spending": [1_000_000.0],
    ...                       "regional_price": [24_000.0], "hospital_price": [21_000.0], "quality": ["good"]})
    >>> payment = cjr(knees, on="2017-06-30")
    >>> payment.table.loc["A"].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'expected': 1100000.0, 'discount': -22000.0, 'spending': -1000000.0, 'not_payable': 0.0, 'stop_limit': -24100.0,
     'total': 53900.0}
    """
    terms = rules_on(on, "cjr", rules)
    table, codes, hospitals = _read(episodes, "hospital")
    count, spending = table.numbers("episodes", least=1), table.numbers("spending", least=0)
    own = terms["target.hospital_share"]
    price = (1 - own) * table.numbers("regional_price", least=0)
    if own:
        price = price + own * table.numbers("hospital_price", least=0)
    quality = _one_each(table.words("quality", _CATEGORIES), codes, hospitals, "quality")
    rural = table.flags("rural") if "rural" in table else np.zeros(len(codes), dtype=bool)
    rural = _one_each(rural, codes, hospitals, "rural")

    def summed(values):
        return np.bincount(codes, weights=values)

    less = terms["quality.reduction"]
    if absent := [category for category in _CATEGORIES if category not in less]:
        raise PaymentError(f"quality.reduction of the rules has no {absent[0]}; give all of {', '.join(_CATEGORIES)}.")
    reduction = pd.Series(less, dtype=float).loc[quality].to_numpy()
    expected, spent = _cents(summed(count * price)), _cents(summed(spending))
    pays, repays = terms["discount.payment"] - reduction, terms["discount.repayment"] - reduction
    gains = expected - _cents(pays * expected) > spent
    rate = np.where(gains, pays, repays)
    discount = -_cents(rate * expected)
    target = expected + discount
    difference = _cents(target - spent)
    refused = gains & ~np.isin(quality, terms["quality.paid"])
    between = ~gains & (difference > 0)
    owed = np.where(refused | between, 0.0, difference)
    loss = np.where(rural, terms["stop.loss_rural"] if rural.any() else 0, terms["stop.loss"])
    limited = np.clip(owed, -_cents(loss * target), _cents(terms["stop.gain"] * target))
    reason = _reasons(owed, limited)
    reason[refused] = "no payment: quality below acceptable"
    reason[between] = "none: spending lies between the targets of payment and repayment"
    reason[(owed < 0) & (loss == 0)] = "no repayment: the stop-loss limit is zero"
    return Payment.from_components(
        model=terms.rulebook.title,
        currency="USD",
        components={
            "expected": expected,
            "discount": discount,
            "spending": -spent,
            "not_payable": owed - difference,
            "stop_limit": limited - owed,
        },
        index=hospitals,
        details=pd.DataFrame(
            {
                "episodes": summed(count),
                "target_price": target / summed(count),
                "savings_rate": _rate(difference, target),
                "discount_rate": rate,
                "quality": quality,
                "reason": reason,
            },
            index=hospitals,
        ),
        terms=[terms],
        notes=episodes.attrs.get("notes", ()),
    )


def episodes_of(practices: Practices, prices: Mapping[str, float], types: Mapping[str, str]) -> pd.DataFrame:
    """The episodes of a panel of patients, as `bpci_advanced` takes them: bundles on the patients capitation pays for.

    Parameters
    ----------
    practices : Practices
        Its patients have `episode` (category; empty or missing where none) and `episode_spending`, its practices
        `quality_score`.
    prices : mapping of str to float
        Benchmark price by category, per episode.
    types : mapping of str to str
        "medical" or "surgical" by category.

    Returns
    -------
    DataFrame
        One row per practice and category that has episodes: `initiator`, `category`, `type`, `episodes`, `spending`,
        `benchmark_price`, `quality_score`. Its `attrs["notes"]` says where patients are synthetic, and so does what is
        paid for them.

    Raises
    ------
    PaymentError
        There are no episodes, or a category has no price or type.
    """
    check_practices(practices)
    if "episode" not in practices.patients:
        raise PaymentError("The table of patients has no column episode, which bundles need; add it.")
    patients = pd.DataFrame(
        {
            "initiator": practices.index[practices.rows],
            "category": practices.patients["episode"].to_numpy(dtype=object),
            "spending": practices.patient("episode_spending"),
            "quality_score": practices.practice("quality_score")[practices.rows],
        }
    )
    patients = patients[patients["category"].notna() & (patients["category"] != "")]
    if patients.empty:
        raise PaymentError("No patient has an episode; fill the column episode with categories of care.")
    for name, known in (("prices", prices), ("types", types)):
        for category in patients["category"].unique():
            if category not in known:
                raise PaymentError(f"{name} has no entry for {category!r}; give one for each category of episodes.")
    rows = patients.groupby(["initiator", "category"], sort=False).agg(
        episodes=("spending", "size"), spending=("spending", "sum"), quality_score=("quality_score", "first")
    )
    rows = rows.reset_index()
    rows = rows.assign(type=rows["category"].map(types), benchmark_price=rows["category"].map(prices))
    rows.attrs["notes"] = practices.notes
    return rows


def _read(episodes: pd.DataFrame, row: str) -> tuple[Table, np.ndarray, pd.Index]:
    table = Table(episodes, "episodes", row)
    categories = Table(episodes, "episodes", "category").frame[[row, "category"]]
    if (twice := categories.duplicated()).any():
        first = categories[twice].iloc[0]
        raise PaymentError(f"{row} {first[row]} has two rows of category {first['category']}; add them up.")
    return table, *table.groups()


def _one_each(values: np.ndarray, codes: np.ndarray, names: pd.Index, column: str) -> np.ndarray:
    """The value of each name, which all its rows must share."""
    first = np.empty(len(names), dtype=values.dtype)
    first[codes[::-1]] = values[::-1]
    if (differs := first[codes] != values).any():
        name = names[codes[int(np.argmax(differs))]]
        raise PaymentError(f"{names.name} {name} has two values of {column}; give it the same in all its rows.")
    return first


def _cents(amounts: np.ndarray) -> np.ndarray:
    """Amounts in whole cents, so that limits and sums of them are kept to the cent."""
    return np.rint(amounts * 100) / 100


def _rate(amounts: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.divide(amounts, target, out=np.full(len(target), np.nan), where=target > 0)


def _reasons(owed: np.ndarray, limited: np.ndarray) -> np.ndarray:
    cut = np.abs(owed - limited) > 0.005
    return np.select(
        [(owed > 0) & cut, owed > 0, (owed < 0) & cut, owed < 0],
        ["paid up to the stop-gain limit", "paid", "repays up to the stop-loss limit", "repays"],
        "none: spending is at the target",
    ).astype(object)
