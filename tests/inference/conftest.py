"""Panels for the tests of inference."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def staggered(n_units=40, n_periods=6, starts=(2012, 2013, np.nan), n_states=10, seed=0, missing=0.0):
    """Units of unequal states, cohorts by state, shocks to states; one row per observed unit and year, in any order."""
    random = np.random.default_rng(seed)
    # States grow from one to the next.
    state = np.sort(np.minimum((random.beta(1, 1.6, n_units) * n_states).astype(int), n_states - 1))
    state[:n_states] = np.arange(n_states)
    start = np.array(starts, dtype=float)[state % len(starts)]
    unit, year = np.repeat(np.arange(n_units), n_periods), np.tile(2010 + np.arange(n_periods), n_units)
    shocks = random.normal(size=(n_states, n_periods))
    y = random.normal(size=n_units)[unit] + 0.5 * (year - 2010) + random.normal(size=len(unit))
    y += 0.7 * shocks[state[unit], year - 2010] + np.where(year >= start[unit], 0.5, 0.0)
    frame = pd.DataFrame({"unit": unit, "year": year, "y": y, "cohort": start[unit], "state": state[unit]})
    frame["by_unit"] = random.uniform(0.5, 3.0, n_units)[unit]
    frame["by_row"] = random.uniform(0.5, 3.0, len(frame))
    frame = frame[random.uniform(size=len(frame)) >= missing]
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


@pytest.fixture
def make_frame():
    return staggered


@pytest.fixture
def castle(make_panel):
    """The panel of states behind the values from R."""
    frame = pd.read_csv(Path(__file__).parents[1] / "expected" / "did" / "castle.csv")
    start = frame[frame["post"] > 0].groupby("state")["year"].min()
    return make_panel(frame.assign(cohort=frame["state"].map(start)), unit="state", outcome="l_homicide")
