"""Hospital global budgets as in Maryland: revenue is set for the year, and unit rates follow volume to meet it."""

from __future__ import annotations

import datetime
from numbers import Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.options import numbers
from apmkit.payment.result import Payment, doubts
from apmkit.payment.rulebook import Rulebook, RulesInForce, rules_on
from apmkit.payment.tables import Table

_FACTORS = ("demographic", "quality", "uncompensated_care", "payer_mix")
_LARGEST_GROWTH = 0.5  # a year; what is beyond is taken for a percentage
_LARGEST_POPULATION_GROWTH = 0.1
_LEAST_VOLUME = 0.01


def maryland_global_budget(
    hospitals: pd.DataFrame, *, on: str | datetime.date, rules: Rulebook | None = None
) -> Payment:
    """A year's global budget of each hospital, and what it collects at the volumes it had.

    budget = base x (1 + inflation) x (1 + demographic) x (1 + quality) x (1 + uncompensated care) x (1 + payer mix)
    + variable cost factor x market shift - shift to unregulated settings. The approved unit rate is the budget over
    the expected volume. At other volumes the hospital moves its rates to meet the budget, within the corridor.

    Parameters
    ----------
    hospitals : DataFrame
        One row per hospital: `hospital`, `base_revenue` (USD, last year's permanent revenue) and `inflation` (growth,
        0.03 for 3 %). Zero where absent: `demographic`, `quality`, `uncompensated_care`, `payer_mix` (growth of
        revenue, negative for a cut), `market_shift` (USD at full charges of the care that came from other hospitals,
        negative where it left), `unregulated` (USD taken off for care moved to unregulated settings). Together or
        not at all: `expected_volume` and `volume` (any one unit, for instance case-mix adjusted discharges); without
        them volume is as expected.
    on : str or date
        A day of the rate year.
    rules : Rulebook, optional
        Rules of your own; the shipped ones by default.

    Returns
    -------
    Payment
        One row per hospital. Components: `base`, one for each step, and `outside_corridor` (what the corridor of unit
        rates keeps it from collecting, or lets it collect beyond the budget). Details: growth of the budget, change of
        volume, change of the unit rate.

    Raises
    ------
    PaymentError
        A column is absent or out of bounds, or a budget is negative.
    RulesError
        There were no global budgets on that day.

    Notes
    -----
    What is collected off the budget is usually made good in the next year's rates; that year is not worked out here.

    References
    ----------
    Maryland Health Services Cost Review Commission, Global Budget Revenue; COMAR 10.37.10.04-2 and 10.37.10.04-3.

    Examples
    --------
    >>> hospitals = pd.DataFrame({"hospital": ["A"], "base_revenue": [100e6], "inflation": [0.03],
    ...                           "demographic": [0.01], "market_shift": [2e6]})
    >>> maryland_global_budget(hospitals, on="2015-07-01").table.loc["A"].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'base': 100000000.0, 'inflation': 3000000.0, 'demographic': 1030000.0, 'quality': 0.0, 'uncompensated_care': 0.0,
     'payer_mix': 0.0, 'market_shift': 1000000.0, 'unregulated': 0.0, 'outside_corridor': 0.0, 'total': 105030000.0}
    """
    terms = rules_on(on, "maryland", rules)
    terms["global_budget.agreement"]  # refuses a day before there were global budgets
    table = Table(hospitals, "hospitals", "hospital")
    names = table.names
    base = table.numbers("base_revenue", least=0.01)
    absent = [column for column in (*_FACTORS, "market_shift", "unregulated") if column not in table]
    zero = np.zeros(len(names))
    components, budget = {"base": base}, base
    for column in ("inflation", *_FACTORS):
        growth = zero if column in absent else table.numbers(column, -_LARGEST_GROWTH, _LARGEST_GROWTH)
        components[column] = budget * growth
        budget = budget + components[column]
    shift = left = zero
    if "market_shift" in table:
        shift = terms["market_shift.variable_cost_factor"] * table.numbers("market_shift")
    if "unregulated" in table:
        left = table.numbers("unregulated", least=0)
    components |= {"market_shift": shift, "unregulated": -left}
    budget = budget + shift - left
    if (budget < 0).any():
        name = names[int(np.argmin(budget))]
        raise PaymentError(f"The budget of hospital {name} is negative; look at its shifts, which exceed its revenue.")
    volume_change = rate = zero
    if "volume" in table or "expected_volume" in table:
        expected, volume = (table.numbers(column, least=_LEAST_VOLUME) for column in ("expected_volume", "volume"))
        volume_change, rate = volume / expected - 1, _rate_change(expected, volume, terms)
    components["outside_corridor"] = budget * ((1 + volume_change) * (1 + rate) - 1)
    return Payment.from_components(
        model=terms.rulebook.title,
        currency="USD",
        components=components,
        index=names,
        details=pd.DataFrame(
            {
                "budget_growth": budget / base - 1,
                "volume_change": volume_change,
                "rate_change": rate,
            },
            index=names,
        ),
        terms=[terms],
        notes=[f"Taken as zero, for the table has no such columns: {', '.join(absent)}."] if absent else [],
    )


def budget_and_fees(
    budget: float,
    expected_volume: float,
    volumes: np.ndarray,
    *,
    on: str | datetime.date,
    rules: Rulebook | None = None,
) -> pd.DataFrame:
    """What a hospital collects at each volume under a global budget and under fees at the same approved rate.

    Parameters
    ----------
    budget : float
        Revenue approved for the year, USD.
    expected_volume : float
        Volume on which unit rates were approved.
    volumes : array
        Volumes to work out, in the same unit.
    on : str or date
        A day of the rate year.
    rules : Rulebook, optional
        Rules of your own; the shipped ones by default.

    Returns
    -------
    DataFrame
        By volume: `fee_for_service` and `global_budget` (USD), `rate_change` (of the unit rate, within the corridor),
        `marginal_share` (what one more unit brings, as a share of the approved rate: 0 inside the corridor, 1 less the
        corridor where volume is above it, 1 plus the corridor where it is below) and `market_shift_share` (what it
        brings in next year's budget if it came from another hospital). Its `attrs["notes"]` names values in doubt.

    Raises
    ------
    PaymentError
        The budget or a volume is no number above 0.

    Examples
    --------
    >>> table = budget_and_fees(100e6, 10_000, [9_000, 10_000, 10_400, 11_000], on="2015-07-01")
    >>> table[["fee_for_service", "global_budget", "marginal_share"]].round(2)  # doctest: +NORMALIZE_WHITESPACE
             fee_for_service  global_budget  marginal_share
    volume
    9000.0        90000000.0     94500000.0            1.05
    10000.0      100000000.0    100000000.0            0.00
    10400.0      104000000.0    100000000.0            0.00
    11000.0      110000000.0    104500000.0            0.95
    """
    terms = rules_on(on, "maryland", rules)
    for name, value in (("budget", budget), ("expected_volume", expected_volume)):
        if not isinstance(value, Real) or not 0 < value < np.inf:
            raise PaymentError(f"{name} is {value!r}; give a number above 0.")
    volumes = np.atleast_1d(numbers(volumes, "volumes"))
    if volumes.ndim != 1 or not volumes.size or not ((volumes > 0) & (volumes < np.inf)).all():
        raise PaymentError("volumes must be a list of numbers above 0.")
    fees = budget / expected_volume * volumes
    rate = _rate_change(expected_volume, volumes, terms)
    unlimited = expected_volume / volumes - 1
    table = pd.DataFrame(
        {
            "fee_for_service": fees,
            "global_budget": fees * (1 + rate),
            "rate_change": rate,
            "marginal_share": np.where(np.isclose(rate, unlimited, atol=1e-12), 0.0, 1 + rate),
            "market_shift_share": terms["market_shift.variable_cost_factor"],
        },
        index=pd.Index(volumes, name="volume"),
    )
    table.attrs["notes"] = tuple(doubts(terms.used))
    return table


def all_payer_growth(
    budgets: Payment, *, population_growth: float, on: str | datetime.date, rules: Rulebook | None = None
) -> pd.Series:
    """Growth of all hospitals' approved revenue per head against the limit agreed with Medicare.

    Parameters
    ----------
    budgets : Payment
        Of `maryland_global_budget`, all hospitals of the State.
    population_growth : float
        Of residents, over the same year.
    on : str or date
        A day of the rate year.
    rules : Rulebook, optional
        Rules of your own; the shipped ones by default.

    Returns
    -------
    Series
        `growth` (per head), `limit`, `room` (USD that could be added, negative where it must go) and `status` of the
        limit's value.

    Raises
    ------
    PaymentError
        The growth of the population is no share from -0.1 to 0.1, or the payment is of another model.

    Examples
    --------
    >>> hospitals = pd.DataFrame({"hospital": ["A"], "base_revenue": [100e6], "inflation": [0.045]})
    >>> budgets = maryland_global_budget(hospitals, on="2015-07-01")
    >>> float(round(all_payer_growth(budgets, population_growth=0.005, on="2015-07-01")["room"], 2))
    -402100.0
    """
    if not isinstance(budgets, Payment) or "outside_corridor" not in budgets.table:
        what = budgets.model if isinstance(budgets, Payment) else type(budgets).__name__
        raise PaymentError(f"The all-payer limit needs the result of maryland_global_budget, not of {what}.")
    if not isinstance(population_growth, Real) or not abs(population_growth) <= _LARGEST_POPULATION_GROWTH:
        raise PaymentError(
            f"population_growth is {population_growth!r}; give a share from -0.1 to 0.1, so 0.005 for 0.5 %."
        )
    terms = rules_on(on, "maryland", rules)
    base = budgets.table["base"].sum()
    approved = (budgets.total - budgets.table["outside_corridor"]).sum()
    limit = terms["all_payer.growth_limit"]
    return pd.Series(
        {
            "growth": approved / base / (1 + population_growth) - 1,
            "limit": limit,
            "room": base * (1 + population_growth) * (1 + limit) - approved,
            "status": terms.used["status"].iloc[0],
        }
    )


def _rate_change(expected: np.ndarray | float, volume: np.ndarray, terms: RulesInForce) -> np.ndarray:
    """Change of unit rates that brings revenue back to the budget, as far as the corridor lets it."""
    corridor = terms["unit_rate.corridor"]
    return np.clip(expected / volume - 1, -corridor, corridor)
