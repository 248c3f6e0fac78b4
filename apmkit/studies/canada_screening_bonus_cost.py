"""What one more screened person cost under each reading of the simulated series."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from apmkit.estimate import Estimate
from apmkit.studies.canada_screening_bonus import BONUS, LAST, ScreeningBonusParameters, analyses

PAID, YEARS = 50.0e6, 4
"""CAD paid for the colorectal bonus in 2006/07 to 2009/10 (Kiran et al. 2014), and the fiscal years."""
ELIGIBLE = 3_713_971
"""People eligible for colorectal screening in Ontario in 2009/10 (Kiran & Glazier 2012)."""
_MIDDLE = (LAST["2010-Q1"] - BONUS) / 2


def people(found: Estimate) -> tuple[float, float, float]:
    """Additional people up to date with screening, mean of the four years that were paid, with a 95 percent interval.

    Level change plus slope change up to the middle of the four years; windows that end earlier are carried on.
    """
    terms = ["level change", "slope change"]
    table = found.table.set_index("term").loc[terms]
    weights = np.array([1.0, _MIDDLE])
    mean = float(weights @ table["estimate"])
    variance = float(weights @ found.covariance.loc[terms, terms].to_numpy() @ weights)
    half = special.stdtrit(float(table["df"].min()), 0.975) * np.sqrt(variance)
    low, mid, high = (ELIGIBLE * value / 100 for value in (mean - half, mean, mean + half))
    return mid, low, high


def cost_of(mid: float, low: float, high: float) -> tuple[float, float, float]:
    """CAD a year per additional person, with the bounds that the interval of people gives; missing without a bound.

    The money is known and the people are not, so bounds of the cost are the money over the bounds of the people. Where
    that interval includes nobody, the cost has no upper bound, and where it holds nobody else, there is no cost at all.

    >>> [round(value) for value in cost_of(100_000, 50_000, 200_000)]
    [125, 62, 250]
    """
    yearly = PAID / YEARS
    return tuple(yearly / count if count > 0 else np.nan for count in (mid, high, low))


def cost_by_choice(parameters: ScreeningBonusParameters) -> pd.DataFrame:
    """People added and cost of each, by analysis of the same series; the truth of the simulated world first.

    Returns
    -------
    DataFrame
        By analysis: `people` and `cost` with `_low` and `_high`, numbers; missing where there is no bound.
    """
    true_people = ELIGIBLE / 100 * parameters.true_bonus_slope / 4 * _MIDDLE
    rows = {"Truth of this world": (true_people, np.nan, np.nan, cost_of(true_people, 0, 0)[0], np.nan, np.nan)}
    for name, found in analyses(parameters).items():
        mid, low, high = people(found)
        rows[name] = (mid, low, high, *cost_of(mid, low, high))
    columns = ["people", "people_low", "people_high", "cost", "cost_low", "cost_high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def cost_table(found: pd.DataFrame) -> pd.DataFrame:
    """The costs with the column names and words a reader sees."""

    def count(value: float) -> str:
        return f"{round(value, -3):,.0f}".replace("-", "−")

    def cad(row: pd.Series) -> str:
        if np.isnan(row["people_low"]):
            return f"{row['cost']:,.0f}" if row["people"] > 0 else "nobody was added"
        if np.isnan(row["cost_low"]):
            return "none: all of the interval is a fall"
        middle = f"{row['cost']:,.0f}" if row["people"] > 0 else "no estimate"
        high = "no upper bound" if np.isnan(row["cost_high"]) else f"{row['cost_high']:,.0f}"
        return f"{middle} [{row['cost_low']:,.0f} to {high}]"

    def added(row: pd.Series) -> str:
        known = not np.isnan(row["people_low"])
        return count(row["people"]) + (f" [{count(row['people_low'])} to {count(row['people_high'])}]" if known else "")

    return pd.DataFrame(
        {
            "Analysis": found.index,
            "People added, mean of four years": [added(row) for _, row in found.iterrows()],
            "CAD a year for each": [cad(row) for _, row in found.iterrows()],
        }
    )


def cost_sentence(found: pd.DataFrame) -> str:
    """How far apart the readings are."""
    every = found.drop(index="Truth of this world")
    bounded = every["cost_high"].notna().sum()
    cheapest = every["cost_low"].min()
    return (
        f"Of {len(every)} readings of one simulated series, {bounded} put an upper bound on the cost of one more person"
        + (f"; the lowest bound of all is CAD {cheapest:,.0f} a year." if np.isfinite(cheapest) else ".")
    )
