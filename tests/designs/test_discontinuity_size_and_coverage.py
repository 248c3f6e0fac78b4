"""The robust interval covers the truth and the density test keeps its size, bandwidths chosen from the data."""

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")]

DRAWS = 1_000


def coverage(draw, truth, seed, **options):
    random = np.random.default_rng(seed)
    covered = np.zeros((DRAWS, 2))
    for i in range(DRAWS):
        rows = apm.regression_discontinuity(draw(random), outcome="y", running="x", **options).details["estimates"]
        covered[i] = ((rows["ci_low"] <= truth) & (truth <= rows["ci_high"]))[[0, 2]]
    return covered.mean(axis=0)


def curved(random, n=1000):
    """Slopes and curvature that differ between the sides."""
    x = random.uniform(-1, 1, size=n)
    below = 0.48 + 1.27 * x - 0.5 * x**2 + 0.7 * x**3
    above = 0.52 + 0.84 * x - 3.0 * x**2 + 4.0 * x**3
    return pd.DataFrame({"x": x, "y": np.where(x < 0, below, above) + 0.1295 * random.normal(size=n)})


def test_the_robust_interval_covers_nearly_as_often_as_it_claims():
    _, robust = coverage(curved, 0.04, seed=1)
    assert 0.92 <= robust <= 0.965


def test_the_robust_interval_covers_in_a_wide_bandwidth_where_the_conventional_one_fails():
    def draw(random):
        x = random.uniform(-1, 1, size=600)
        return pd.DataFrame({"x": x, "y": 0.04 * (x >= 0) + 3 * np.sign(x) * x**2 + 0.3 * random.normal(size=600)})

    conventional, robust = coverage(draw, 0.04, seed=6, bandwidth=0.5)
    assert conventional < 0.7
    assert 0.925 <= robust <= 0.965


def test_the_robust_interval_of_a_fuzzy_design_covers():
    def draw(random):
        frame = curved(random)
        treated = random.uniform(size=len(frame)) < np.where(frame["x"] >= 0, 0.9, 0.1)
        frame["y"] = frame["y"] - 0.04 * (frame["x"] >= 0) + 0.5 * treated
        return frame.assign(treated=treated * 1)

    _, robust = coverage(draw, 0.5, seed=2, treatment="treated")
    assert 0.92 <= robust <= 0.97


def test_clusters_that_lie_on_both_sides_are_covered_for():
    def draw(random):
        frame = curved(random)
        clinic = random.integers(0, 100, size=len(frame))
        return frame.assign(clinic=clinic, y=frame["y"] + 0.2 * random.normal(size=100)[clinic])

    _, robust = coverage(draw, 0.04, seed=3, cluster="clinic")
    assert 0.92 <= robust <= 0.965


def test_the_density_test_keeps_its_size_and_finds_a_jump():
    random = np.random.default_rng(4)
    honest, moved = np.zeros(DRAWS), np.zeros(DRAWS)
    for i in range(DRAWS):
        x = random.normal(0.2, 1, size=2000)
        honest[i] = apm.density_test(pd.DataFrame({"x": x}), running="x")["p_value"] < 0.05
        # Half of those just below step over the cutoff.
        stepped = np.where((x > -0.3) & (x < 0) & (random.uniform(size=2000) < 0.5), -x, x)
        moved[i] = apm.density_test(pd.DataFrame({"x": stepped}), running="x")["p_value"] < 0.05
    assert 0.035 <= honest.mean() <= 0.065
    assert moved.mean() > 0.5
