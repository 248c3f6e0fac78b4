import json
from pathlib import Path

import pandas as pd
import pytest

from apmkit.panel import Panel

EXPECTED = Path(__file__).parents[1] / "expected" / "synth"


@pytest.fixture(scope="session")
def expected():
    """Values from R by entry."""
    return {
        name: entry["values"] for name, entry in json.loads((EXPECTED / "expected.json").read_text())["entries"].items()
    }


@pytest.fixture(scope="session")
def prop99():
    frame = pd.read_csv(EXPECTED / "california_prop99.csv")
    return Panel(frame, unit="State", time="Year", outcome="PacksPerCapita", treatment="treated")


@pytest.fixture(scope="session")
def basque_frame():
    frame = pd.read_csv(EXPECTED / "basque.csv")
    return frame[frame["regionno"] != 1].astype({"regionno": int, "year": int})


@pytest.fixture(scope="session")
def basque(basque_frame):
    """The Basque Country (17) against the other regions, treated from 1970."""
    start = basque_frame["regionno"].map({17: 1970.0})
    return Panel(basque_frame.assign(start=start), unit="regionno", time="year", outcome="gdpcap", cohort="start")


@pytest.fixture(scope="session")
def basque_predictors(basque_frame):
    """Predictors of the vignette: means over the years it names, schooling in per cent of all levels."""

    def mean(column, first, last):
        years = basque_frame[basque_frame["year"].between(first, last)]
        return years.groupby("regionno")[column].mean()

    schooling = ["school.illit", "school.prim", "school.med", "school.high"]
    sectors = ["agriculture", "energy", "industry", "construction", "services.venta", "services.nonventa"]
    table = pd.DataFrame(
        {
            **{column: mean(column, 1964, 1969) for column in [*schooling, "invest"]},
            "gdpcap": mean("gdpcap", 1960, 1969),
            **{f"sec.{name}": mean(f"sec.{name}", 1961, 1969) for name in sectors},
            "popdens": mean("popdens", 1969, 1969),
        }
    )
    table["school.high"] += mean("school.post.high", 1964, 1969)
    table[schooling] = 100 * table[schooling].div(table[schooling].sum(axis=1), axis=0)
    return table
