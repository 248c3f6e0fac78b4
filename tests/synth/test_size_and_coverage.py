"""Without an effect: how often each method says there is one, and how often its interval holds the truth."""

import numpy as np
import pandas as pd
import pytest

from apmkit.panel import Panel
from apmkit.synth import (
    augmented_synthetic_control,
    difference_in_differences,
    staggered_synthetic_control,
    staggered_synthetic_did,
    synthetic_control,
    synthetic_did,
)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")]
DRAWS = 1000


def panels(starts, n_units, n_periods, seed):
    """Panels of units on a common factor, none of which has an effect; the first units are called treated."""
    rng = np.random.default_rng(seed)
    years = 2000 + np.arange(n_periods)
    start = np.array([*map(float, starts), *[np.nan] * (n_units - len(starts))])
    frame = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(n_units), n_periods),
            "year": np.tile(years, n_units),
            "start": np.repeat(start, n_periods),
        }
    )
    for _ in range(DRAWS):
        factor = rng.normal(size=n_periods).cumsum()
        y = rng.normal(size=(n_units, 1)) * factor + rng.normal(size=(n_units, n_periods))
        yield Panel(frame.assign(y=y.ravel()), unit="unit", time="year", outcome="y", cohort="start")


def results(method, starts, n_units, n_periods, seed, **options):
    options["max_pre_fit"] = np.inf
    every = enumerate(panels(starts, n_units, n_periods, seed))
    return pd.DataFrame([method(panel, seed=i, **options).table.iloc[0] for i, panel in every])


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (synthetic_control, {}),
        (synthetic_control, {"intercept": True}),
        (augmented_synthetic_control, {"ridge": 5.0}),
        (synthetic_did, {}),
        (difference_in_differences, {}),
    ],
)
def test_ranks_by_permutation_are_exact(method, options):
    # With 20 units p is one of 0.05, 0.10, ..., 1.
    p = results(method, [2006], 20, 9, seed=1, **options)["p_value"]
    assert 0.035 <= (p <= 0.05 + 1e-9).mean() <= 0.065
    assert (p <= 0.5 + 1e-9).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("method", "starts"),
    [(staggered_synthetic_did, [2005, 2006, 2006]), (staggered_synthetic_control, [2004, 2005])],
)
def test_ranks_among_random_deals_are_exact(method, starts):
    # A deal that is the true one counts as a tie, which is rare with 240 deals or more: size is just under 0.05.
    p = results(method, starts, 16, 7, seed=2, draws=19)["p_value"]
    assert 0.035 <= (p <= 0.05 + 1e-9).mean() <= 0.065
    assert (p <= 0.5 + 1e-9).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("method", [synthetic_control, synthetic_did, difference_in_differences])
def test_intervals_from_placebos_cover_nine_times_in_ten_or_more(method):
    # The normal interval takes one treated unit for a draw from the placebos, whose number is small.
    found = results(method, [2006], 20, 9, seed=3)
    assert 0.90 <= ((found["ci_low"] <= 0) & (found["ci_high"] >= 0)).mean() <= 0.97


@pytest.mark.parametrize(
    ("variance", "low", "high"), [("placebo", 0.92, 0.97), ("jackknife", 0.92, 0.99), ("bootstrap", 0.90, 0.99)]
)
def test_intervals_of_several_treated_units_cover(variance, low, high):
    found = results(synthetic_did, [2006] * 8, 30, 9, seed=4, variance=variance, draws=40, **NO_RANKS[variance])
    assert low <= ((found["ci_low"] <= 0) & (found["ci_high"] >= 0)).mean() <= high


NO_RANKS = {"placebo": {"placebo": "in_space"}, "jackknife": {}, "bootstrap": {}}
