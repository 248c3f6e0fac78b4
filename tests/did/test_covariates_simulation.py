"""Given covariates, tests have their size and intervals their coverage, and two models guard each other."""

import warnings

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.errors import DesignWarning

METHODS = ["doubly_robust", "inverse_probability", "outcome_regression"]
STARTS, PERIODS = np.array([2.0, 3.0, np.inf]), 4

pytestmark = pytest.mark.slow


def draw(random, n_units, *, treatment, trend, effect):
    """A panel in which `treatment` (x) is the log odds of each start against never, and `trend` (x) grows with time."""
    x = random.normal(size=n_units)
    odds = np.exp(np.column_stack([treatment(x), treatment(x) - 0.2, np.zeros(n_units)]))
    below = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    cohort = STARTS[(random.uniform(size=(n_units, 1)) > below).sum(axis=1)]
    time = np.arange(PERIODS)
    y = x[:, None] + trend(x)[:, None] * time + 0.5 * np.cumsum(random.normal(size=(n_units, PERIODS)), axis=1)
    y += (time >= cohort[:, None]) * (effect + 0.5 * random.normal(size=(n_units, 1)))
    frame = pd.DataFrame({"unit": np.repeat(np.arange(n_units), PERIODS), "year": np.tile(time, n_units)})
    frame["y"], frame["x"] = y.ravel(), np.repeat(x, PERIODS)
    frame["cohort"] = np.repeat(np.where(np.isinf(cohort), np.nan, cohort), PERIODS)
    return apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort", covariates=["x"])


def linear(x):
    return 0.5 * x - 0.5


def curved(x):
    return 0.6 * x**2 + 0.5 * x - 1.0


def estimates(draws, n_units, **world):
    """Simple averages of each method, shape (draws, methods), and whether their intervals miss the effect."""
    random = np.random.default_rng(11)
    values, missed = np.zeros((2, draws, len(METHODS) + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        for i in range(draws):
            panel = draw(random, n_units, effect=1.0, **world)
            for j, method in enumerate(METHODS):
                row = apm.callaway_santanna(panel, covariates=["x"], method=method).aggregate("simple").table.iloc[0]
                values[i, j], missed[i, j] = row["estimate"], not row["ci_low"] <= 1.0 <= row["ci_high"]
            row = apm.callaway_santanna(panel).aggregate("simple").table.iloc[0]
            values[i, -1], missed[i, -1] = row["estimate"], not row["ci_low"] <= 1.0 <= row["ci_high"]
    labels = [*METHODS, "no covariates"]
    return pd.DataFrame(values, columns=labels), pd.DataFrame(missed, columns=labels)


def far_from_one(values):
    """Bias in standard errors of the simulation."""
    return (values.mean() - 1) / (values.std() / np.sqrt(len(values)))


def test_with_selection_on_a_covariate_intervals_cover_in_95_percent_and_without_it_they_do_not():
    values, missed = estimates(1000, 1000, treatment=linear, trend=lambda x: 0.3 * x)
    assert missed[METHODS].mean().between(0.035, 0.065).all()
    assert far_from_one(values)[METHODS].abs().max() < 4
    assert missed["no covariates"].mean() > 0.5


@pytest.mark.parametrize(
    ("world", "right", "wrong"),
    [
        ({"treatment": curved, "trend": lambda x: 0.5 * x}, "outcome_regression", "inverse_probability"),
        ({"treatment": linear, "trend": lambda x: 0.3 * x**2}, "inverse_probability", "outcome_regression"),
        ({"treatment": curved, "trend": lambda x: 0.5 * x**2}, None, "doubly_robust"),
    ],
    ids=["propensity wrong", "regression wrong", "both wrong"],
)
def test_doubly_robust_effects_need_one_of_the_two_models(world, right, wrong):
    values, _ = estimates(300, 600, **world)
    distance = far_from_one(values).abs()
    if right is not None:
        assert distance["doubly_robust"] < 4
        assert distance[right] < 4
    assert distance[wrong] > 10
