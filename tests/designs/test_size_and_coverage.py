"""Tests reject a true null as often as they claim, and intervals cover the truth, in 1,000 draws of each design."""

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

DRAWS = 1_000
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet")]


def misses(estimate, truth=0.0, row=0):
    low, high = estimate.table.loc[row, ["ci_low", "ci_high"]]
    return not low <= truth <= high


def rates(draw):
    """Share of draws that miss, by what `draw` of a seed reports."""
    return pd.DataFrame([draw(seed) for seed in range(DRAWS)]).mean()


@pytest.mark.parametrize(("n", "rho"), [(24, 0.0), (48, 0.4), (96, 0.4)])
def test_autoregressive_intervals_of_a_series_hold_their_level(make_series, n, rho):
    def draw(seed):
        frame = make_series(n, seed, n // 2, rho, level=-2.0, slope=0.1)
        table = apm.interrupted_time_series(frame, time="t", outcome="y", start=n // 2)
        return {"level": misses(table, -2.0, 0), "slope": misses(table, 0.1, 1)}

    missed = rates(draw)
    # Satterthwaite's degrees of freedom err on the safe side where little is known of the autocorrelation.
    assert missed.between(0.02, 0.065).all(), missed


def test_newey_west_intervals_hold_their_level_in_long_series_and_not_in_short_ones(make_series):
    def draw(seed):
        frame = make_series(400, seed, 200, rho=0.0, level=0.0, slope=0.0)
        roles = {"time": "t", "outcome": "y", "start": 200, "errors": "newey_west"}
        long = apm.interrupted_time_series(frame, lags=1, **roles)
        short = apm.interrupted_time_series(frame.loc[176:223], **roles)
        return {"long": misses(long), "short": misses(short)}

    missed = rates(draw)
    assert 0.035 <= missed["long"] <= 0.065, missed
    assert 0.09 <= missed["short"] <= 0.15, missed


def test_a_control_takes_up_what_the_series_share(make_series):
    def draw(seed):
        shared = np.cumsum(np.random.default_rng([7, seed]).normal(size=60))
        treated = make_series(60, 2 * seed, 30, 0.2)
        control = make_series(60, 2 * seed + 1, 30, 0.2, level=0.0, slope=0.0)
        both = pd.concat([treated.assign(area="a"), control.assign(area="b")])
        both["y"] += shared[both["t"]]
        result = apm.comparative_interrupted_time_series(
            both, time="t", outcome="y", group="area", treated="a", start=30
        )
        return {"level": misses(result, -2.0, 0), "slope": misses(result, 0.1, 1)}

    missed = rates(draw)
    assert missed.between(0.02, 0.065).all(), missed


def outside(intervals, truth):
    return not any(low <= truth <= high for low, high in intervals.to_numpy())


@pytest.mark.parametrize("kind", [{"errors": "robust"}, {"cluster": "group"}])
def test_the_anderson_rubin_set_holds_its_level_however_weak_the_instruments(make_encouraged, kind):
    def draw(seed, strength):
        frame = make_encouraged(500, seed, strength, instruments=2, clusters=50)
        result = apm.instrumental_variables(
            frame, outcome="y", treatment="d", instruments=["z0", "z1"], controls="w", **kind
        )
        return {"set": outside(result.details["anderson_rubin"], 0.5), "interval": misses(result, 0.5)}

    missed = rates(lambda seed: draw(seed, 0.5))
    assert missed.between(0.035, 0.065).all(), missed
    # Of no concern to the set how weak they are: it holds the truth in the same draws.
    assert all(draw(seed, 0.0)["set"] == draw(seed, 0.5)["set"] for seed in range(60))


def test_weighting_holds_its_level_with_uneven_effects(make_people):
    large = make_people(2_000_000, seed=10**6)
    truth = {"ATE": -1.0, "ATT": -1.0 + 0.4 * large.loc[large["joined"] == 1, "risk"].mean()}
    roles = {"outcome": "cost", "treatment": "joined", "covariates": ["risk", "age", "sex"]}

    def draw(seed):
        frame, found = make_people(500, seed), {}
        for estimand, value in truth.items():
            for estimator in (apm.inverse_probability_weighting, apm.augmented_ipw):
                result = estimator(frame, **roles, estimand=estimand)
                found[f"{estimator.__name__}, {estimand}"] = misses(result, value)
        for moments in (1, 2):
            result = apm.entropy_balancing(frame, **roles, moments=moments)
            found[f"entropy balancing, {moments}"] = misses(result, truth["ATT"])
        return found

    missed = rates(draw)
    assert missed.between(0.035, 0.065).all(), missed


def test_what_remains_beyond_regression_to_the_mean_holds_its_level():
    effect = -1.0

    def draw(seed):
        random = np.random.default_rng(seed)
        y = random.normal(10, 2, size=(1_000, 1)) + random.normal(0, 2, size=(1_000, 3))
        y[:, 2] += effect * (y[:, 1] > 12)
        frame = pd.DataFrame(y, columns=["y0", "y1", "y2"])
        result = apm.regression_to_the_mean(frame, earlier="y0", before="y1", after="y2", threshold=12)
        rows = result.details["references"].set_index("reference")
        return (rows["ci_low"] > effect) | (rows["ci_high"] < effect)

    missed = rates(draw)
    assert len(missed) == 4
    assert missed.between(0.035, 0.065).all(), missed
