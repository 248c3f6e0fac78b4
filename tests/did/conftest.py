"""Panels for the tests of the difference-in-differences kernel."""

import numpy as np
import pandas as pd
import pytest


def _frame(
    n_units=60,
    n_periods=6,
    starts=(2012, 2013, 2014, None),
    seed=0,
    noise=1.0,
    drop=0.0,
    ends=False,
    weights=None,
    n_clusters=12,
    effect=lambda exposure: 1.0 + 0.2 * exposure,
):
    """Staggered adoption with unit, period, cluster and idiosyncratic noise; one row per observed unit and year.

    `drop` is the share of rows lost at random, `ends` cuts both ends of each unit's span, `weights` is None, "unit" or
    "cell". Units take the starts in turn, clusters in blocks.
    """
    random = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_units), n_periods)
    year = np.tile(2010 + np.arange(n_periods), n_units)
    start = np.array([np.nan if s is None else s for s in starts], dtype=float)[np.arange(n_units) % len(starts)]
    cluster = np.arange(n_units) * n_clusters // n_units
    exposure = year - start[unit]
    y = random.normal(size=n_units)[unit] + random.normal(size=n_periods)[year - 2010]
    y += np.where(exposure >= 0, effect(np.nan_to_num(exposure)), 0.0)
    shocks = random.normal(size=(n_clusters, n_periods))
    y += noise * (random.normal(size=len(y)) + 0.5 * shocks[cluster[unit], year - 2010])
    frame = pd.DataFrame({"unit": unit, "year": year, "y": y, "cohort": start[unit], "state": cluster[unit]})
    if weights is not None:
        draws = random.uniform(0.5, 3.0, size=n_units if weights == "unit" else len(frame))
        frame["weight"] = draws[unit] if weights == "unit" else draws
    keep = random.uniform(size=len(frame)) >= drop
    if ends:
        first, last = random.integers(0, 3, n_units), n_periods - random.integers(0, 3, n_units)
        keep &= (year - 2010 >= first[unit]) & (year - 2010 < last[unit])
    return frame[keep].sample(frac=1, random_state=seed).reset_index(drop=True)


@pytest.fixture
def make_frame():
    return _frame
