"""What money buys in the two countries."""

import pandas as pd

from apmkit.datasets.tables import coded, integers, numbers

_COUNTRIES = {name: name for name in ("Canada", "United States")}


def price_levels(raw: pd.DataFrame) -> pd.DataFrame:
    """Purchasing power parity and consumer prices by country and year; `prices` chains the yearly changes."""
    frame = pd.DataFrame(
        {
            "country": coded(raw["country"], _COUNTRIES, "country"),
            "year": integers(raw["year"], "year"),
            "ppp": numbers(raw["ppp"], "ppp"),
            "inflation": numbers(raw["inflation"], "inflation"),
        }
    ).sort_values(["country", "year"], ignore_index=True)
    chained = (1 + frame["inflation"] / 100).groupby(frame["country"]).cumprod()
    return frame.assign(prices=chained / chained.groupby(frame["country"]).transform("first"))
