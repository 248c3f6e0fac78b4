"""With ten clusters of unequal size the usual standard errors reject too often; CR2 and the wild bootstrap do not."""

import warnings

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.errors import DesignWarning

DRAWS, PERIODS, START = 1_000, 8, 4
SIZES = np.array([2, 2, 3, 3, 4, 5, 6, 8, 10, 14])
STATE = np.repeat(np.arange(len(SIZES)), SIZES)
EFFECT = 1.0


def draw(seed):
    """Five of ten states treated at random; shocks of states that persist; units that differ."""
    random = np.random.default_rng(seed)
    treated = np.isin(STATE, random.choice(len(SIZES), 5, replace=False))
    shocks = random.normal(size=(len(SIZES), PERIODS))
    for t in range(1, PERIODS):
        shocks[:, t] = 0.5 * shocks[:, t - 1] + np.sqrt(0.75) * shocks[:, t]
    y = random.normal(size=(len(STATE), 1)) + shocks[STATE] + random.normal(size=(len(STATE), PERIODS))
    y += EFFECT * treated[:, None] * (np.arange(PERIODS) >= START)
    frame = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(len(STATE)), PERIODS),
            "year": np.tile(np.arange(PERIODS), len(STATE)),
            "y": y.ravel(),
            "cohort": np.repeat(np.where(treated, START, np.nan), PERIODS),
            "state": np.repeat(STATE, PERIODS),
        }
    )
    return apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort", cluster="state")


@pytest.fixture(scope="module")
def missed():
    """Share of draws in which the interval misses the effect, which is the size of the test of the true effect."""
    result = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        for seed in range(DRAWS):
            estimate = apm.twfe(draw(seed))
            tables = {kind: apm.cluster_variance(estimate, kind).table for kind in ("CR1", "CR2", "CR3")}
            tables["restricted"] = apm.wild_bootstrap(estimate, draws=1_999)
            tables["webb"] = apm.wild_bootstrap(estimate, weights="webb", draws=999, seed=seed)
            for name, table in tables.items():
                low, high = table[["ci_low", "ci_high"]].iloc[0]
                result.setdefault(name, []).append(not low <= EFFECT <= high)
    return {name: np.mean(values) for name, values in result.items()}


@pytest.mark.slow
def test_cr1_with_a_t_distribution_rejects_the_truth_too_often(missed):
    assert missed["CR1"] > 0.08


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CR2", "restricted", "webb"])
def test_cr2_and_the_wild_bootstrap_reject_the_truth_in_about_five_percent(name, missed):
    assert 0.035 <= missed[name] <= 0.065


@pytest.mark.slow
def test_the_jackknife_is_close_and_on_the_safe_side_of_cr1(missed):
    assert missed["CR3"] <= 0.065
