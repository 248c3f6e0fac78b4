"""Bands that hold for all terms at once."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from apmkit.estimate import Estimate
from apmkit.inference import uniform_band


def estimate(values, covariance, **fields):
    terms = pd.DataFrame({"term": [f"t{i}" for i in range(len(values))]})
    defaults = {"estimand": "ATT", "estimator": "made", "outcome": "y", "n_obs": 9, "n_units": 3, "n_clusters": 3}
    return Estimate.from_covariance(terms, np.array(values), np.array(covariance), **{**defaults, **fields})


COVARIANCE = 0.6 ** np.abs(np.subtract.outer(range(6), range(6))) * np.outer(range(1, 7), range(1, 7))


def test_a_band_covers_all_terms_at_once_as_often_as_it_claims():
    random, truth = np.random.default_rng(1), np.arange(6.0)
    width = uniform_band(estimate(truth, COVARIANCE), 0.9, draws=20_000)["critical_value"][0]
    draws = random.multivariate_normal(truth, COVARIANCE, size=20_000)
    covered = (np.abs(draws - truth) <= width * np.sqrt(np.diag(COVARIANCE))).all(axis=1).mean()
    assert covered == pytest.approx(0.9, abs=0.008)
    pointwise = (np.abs(draws - truth) <= stats.norm.ppf(0.95) * np.sqrt(np.diag(COVARIANCE))).all(axis=1).mean()
    assert pointwise < 0.75


def test_a_band_is_wider_than_intervals_and_narrower_than_bonferronis():
    made = estimate(np.zeros(6), COVARIANCE)
    band = uniform_band(made)
    assert (band["low"] < made.table["ci_low"]).all()
    assert (band["high"] > made.table["ci_high"]).all()
    assert 1.96 < band["critical_value"][0] < stats.norm.ppf(1 - 0.025 / 6)
    np.testing.assert_allclose((band["low"] + band["high"]) / 2, band["estimate"], atol=1e-12)


@pytest.mark.parametrize("df", [np.inf, 5])
def test_the_band_of_one_term_is_its_interval(df):
    made = estimate([1.0], [[4.0]], degrees_of_freedom=df)
    band = uniform_band(made, draws=200_000)
    assert band["low"][0] == pytest.approx(made.table["ci_low"][0], rel=0.02)
    assert band["high"][0] == pytest.approx(made.table["ci_high"][0], rel=0.02)


def test_independent_terms_have_the_critical_value_of_sidak():
    band = uniform_band(estimate(np.zeros(5), np.eye(5)), draws=200_000)
    assert band["critical_value"][0] == pytest.approx(stats.norm.ppf(0.5 + 0.5 * 0.95 ** (1 / 5)), abs=0.015)


def test_terms_that_move_together_need_no_wider_band():
    band = uniform_band(estimate(np.zeros(3), np.ones((3, 3))), draws=200_000)
    assert band["critical_value"][0] == pytest.approx(1.96, abs=0.015)


def test_a_term_without_variance_has_a_band_without_width():
    covariance = COVARIANCE.copy()
    covariance[0], covariance[:, 0] = 0.0, 0.0
    band = uniform_band(estimate(np.ones(6), covariance))
    assert band["low"][0] == band["high"][0] == 1.0
    nothing = uniform_band(estimate([1.0, 2.0], np.zeros((2, 2))))
    assert nothing["low"].tolist() == [1.0, 2.0]


def test_the_seed_decides_the_band():
    made = estimate(np.zeros(6), COVARIANCE)
    pd.testing.assert_frame_equal(uniform_band(made, seed=3), uniform_band(made, seed=3))
    assert uniform_band(made, seed=3)["critical_value"][0] != uniform_band(made, seed=4)["critical_value"][0]


def test_the_level_is_that_of_the_estimate_unless_given():
    made = estimate(np.zeros(6), COVARIANCE, level=0.8)
    pd.testing.assert_frame_equal(uniform_band(made), uniform_band(made, 0.8))
    assert uniform_band(made, 0.99)["critical_value"][0] > uniform_band(made)["critical_value"][0]


def test_what_has_no_band_is_refused():
    made = estimate([1.0], [[1.0]])
    with pytest.raises(ValueError, match=r"level=95 is not between 0 and 1: give 0\.95"):
        uniform_band(made, 95)
    with pytest.raises(ValueError, match="draws=10 is too few: give a whole number of at least 99"):
        uniform_band(made, draws=10)
    with pytest.raises(ValueError, match="made has no covariance of 't0': use an estimator with standard errors"):
        uniform_band(estimate([1.0], [[np.nan]]))
