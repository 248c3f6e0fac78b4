"""Intervals cover the truth as often as they claim, with serially correlated errors and uneven effects."""

import warnings

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.errors import DesignWarning

DRAWS, UNITS, PERIODS = 1000, 200, 5
STARTS, SHARES = np.array([2.0, 3.0, np.inf]), np.array([0.25, 0.25, 0.5])
MEAN_EFFECT = {2.0: np.array([0, 0, 1.0, 1.5, 2.0]), 3.0: np.array([0, 0, 0, 0.5, 0.25]), np.inf: np.zeros(5)}

pytestmark = pytest.mark.slow


def draw(seed):
    """Cohorts at random, a random walk in the errors, wider in the first cohort, effects that vary by unit."""
    random = np.random.default_rng(seed)
    cohort = random.choice(STARTS, size=UNITS, p=SHARES)
    untreated = random.normal(size=(UNITS, 1)) + np.array([0, 1, -1, 0.5, 2])
    untreated += np.cumsum(random.normal(size=(UNITS, PERIODS)), axis=1) * np.where(cohort == 2, 1.5, 1.0)[:, None]
    untreated += random.normal(size=(UNITS, PERIODS))
    exposed = np.arange(PERIODS) >= cohort[:, None]
    effects = np.stack([MEAN_EFFECT[g] for g in cohort]) + exposed * random.normal(size=(UNITS, 1)) * 0.5
    return cohort, untreated, effects


def panel_of(cohort, outcomes):
    frame = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(UNITS), PERIODS),
            "year": np.tile(np.arange(PERIODS), UNITS),
            "y": outcomes.ravel(),
            "cohort": np.repeat(np.where(np.isinf(cohort), np.nan, cohort), PERIODS),
        }
    )
    return apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort")


def mean_effect(n_by_cohort):
    """Mean over treated cells when cohorts have these numbers of units."""
    cells = [(n, value) for g, n in n_by_cohort.items() for value in MEAN_EFFECT[g][int(g) :]]
    return np.average([value for _, value in cells], weights=[n for n, _ in cells])


NULL = {
    "twfe": apm.twfe,
    "event_study": lambda panel: apm.event_study(panel, bins=(-2, 0)),
    "sun_abraham": lambda panel: apm.sun_abraham(panel).aggregate("simple"),
    "never_treated": lambda panel: apm.callaway_santanna(panel).aggregate("simple"),
    "not_yet_treated": lambda panel: apm.callaway_santanna(panel, control="not_yet_treated").aggregate("simple"),
    "two_stage": apm.two_stage,
    "imputation": lambda panel: apm.imputation(panel).aggregate("simple"),
}


@pytest.fixture(scope="module")
def rejections():
    """Share of draws in which a true null hypothesis is rejected at 5 %, by estimator and design."""
    rejected = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        for seed in range(DRAWS):
            cohort, untreated, effects = draw(seed)
            panel = panel_of(cohort, untreated)
            for name, estimator in NULL.items():
                p = estimator(panel).table["p_value"].to_numpy()
                rejected.setdefault(("no effect", name), []).append(p[-1] < 0.05)
            # Estimated shares belong to the population's mean effect, given ones to that of the cohorts drawn.
            population = mean_effect({2.0: 0.25, 3.0: 0.25})
            drawn = mean_effect({g: (cohort == g).sum() for g in (2.0, 3.0)})
            panel = panel_of(cohort, untreated + effects)
            for name in ("never_treated", "not_yet_treated", "sun_abraham", "two_stage", "imputation"):
                row = NULL[name](panel).table.iloc[0]
                truth = population if name.endswith("treated") else drawn
                rejected.setdefault(("uneven effects", name), []).append(not row["ci_low"] <= truth <= row["ci_high"])
    return {key: np.mean(values) for key, values in rejected.items()}


# A constant effect moves estimate and truth alike, so this is also how often intervals miss a constant effect.
@pytest.mark.parametrize("name", NULL)
def test_a_true_null_of_no_effect_is_rejected_in_five_percent(name, rejections):
    assert 0.035 <= rejections["no effect", name] <= 0.065


@pytest.mark.parametrize("name", ["never_treated", "not_yet_treated", "sun_abraham"])
def test_intervals_cover_a_mean_of_uneven_effects_in_95_percent(name, rejections):
    assert 0.035 <= rejections["uneven effects", name] <= 0.065


@pytest.mark.parametrize("name", ["imputation", "two_stage"])
def test_intervals_of_imputation_cover_a_mean_of_uneven_effects_in_at_least_95_percent(name, rejections):
    assert 0.001 <= rejections["uneven effects", name] <= 0.065
