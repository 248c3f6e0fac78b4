"""The page on two-way weights says true things at every parameter."""

import re
import warnings

import numpy as np
import pytest

import apmkit as apm
from apmkit.errors import DesignWarning
from apmkit.studies import methods_weights as weights

SETS = [
    {},
    {"growth": 0.0},
    {"timing": "early", "never_treated": 0.0},
    {"timing": "late", "never_treated": 0.5, "seed": 7},
    {"growth": 0.5, "never_treated": 0.5},
    {"growth": -5.0, "never_treated": 0.0},
]


@pytest.fixture(params=SETS, ids=str)
def world(request):
    parameters = weights.STUDY.parameters(**request.param)
    frame = weights.simulate(parameters)
    return parameters, frame, weights.STUDY.run(parameters)


def test_trends_are_parallel_and_effects_are_those_asked_for(world):
    parameters, frame, _ = world
    treated = frame["period"] >= frame["start"]
    assert (frame.loc[~treated, "effect"] == 0).all()
    expected = parameters.effect + parameters.growth * (frame["period"] - frame["start"])
    np.testing.assert_allclose(frame.loc[treated, "effect"], expected[treated])
    untreated = (frame["visits"] - frame["effect"]).to_numpy().reshape(-1, weights.PERIODS)
    starts = frame["start"].to_numpy()[:: weights.PERIODS]
    slope = (untreated - untreated.mean(axis=0)) @ (np.arange(weights.PERIODS) - 4.5) / 82.5
    for start in np.unique(starts[~np.isnan(starts)]):
        own = slope[starts == start]
        assert abs(own.mean()) < 4 * parameters.noise / np.sqrt(82.5 * len(own))


def test_weights_times_true_effects_are_the_estimate_without_noise(world):
    parameters, frame, result = world
    for name, (_, estimator) in weights.ESTIMATORS.items():
        bare = frame.assign(visits=frame["effect"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            exact = estimator(weights.panel_of(bare)).table["estimate"][0]
        expected = weights.without_noise(result.estimates[name], parameters)
        assert exact == pytest.approx(expected, abs=1e-9)


def test_only_two_way_fixed_effects_weighs_negatively(world):
    parameters, frame, result = world
    truth = frame.loc[frame["period"] >= frame["start"], "effect"].mean()
    table = weights.comparison(parameters, result.estimates, truth).set_index("Estimator")
    assert (table["Negative weights"].drop("Two-way fixed effects") == 0).all()
    cells = apm.treatment_weights(result.estimates["twfe"])
    said = weights.negative_in_words(cells)
    count = (cells["weight"] < -1e-12).sum()
    assert said.startswith(f"Of {len(cells)} effects {count} " if count else f"None of the {len(cells)}")


def test_the_reading_follows_the_numbers(world):
    parameters, frame, result = world
    effects = frame.loc[frame["period"] >= frame["start"], "effect"]
    said = weights.without_noise(result.estimates["twfe"], parameters)
    reading = result.sentences[1]
    if parameters.growth == 0:
        assert "the same everywhere" in reading
    elif "sign is wrong" in reading:
        assert said * effects.mean() < 0
    elif "outside the range" in reading:
        assert not effects.min() <= said <= effects.max()
    else:
        assert effects.min() <= said <= effects.max()


def test_signs_are_wrong_exactly_at_the_growths_named(world):
    parameters, _, result = world
    lines = weights.by_growth(parameters, result.estimates["twfe"], np.linspace(-2, 2, 41))
    assert lines["true mean"].iloc[20] == pytest.approx(lines["two-way"].iloc[20])
    wrong = lines.index[lines["true mean"] * lines["two-way"] < 0]
    text = weights.signs_in_words(lines)
    named = [tuple(map(float, pair)) for pair in re.findall(r"([+-][\d.]+) to ([+-][\d.]+)", text)]
    inside = [rate for rate in lines.index if any(low - 1e-9 <= rate <= high + 1e-9 for low, high in named)]
    np.testing.assert_allclose(inside, wrong)


def test_the_same_seed_gives_the_same_clinics():
    one, other, third = (weights.simulate(weights.STUDY.parameters(seed=seed)) for seed in (1, 1, 2))
    assert one.equals(other)
    assert not one["visits"].equals(third["visits"])
