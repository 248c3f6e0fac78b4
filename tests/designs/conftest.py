"""Data for the tests of the other designs."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from apmkit.errors import DesignWarning

EXPECTED = Path(__file__).parents[1] / "expected" / "designs"


@pytest.fixture(scope="session")
def expected():
    """Values of other packages, each with the call that made it."""
    return json.loads((EXPECTED / "packages.json").read_text(encoding="utf-8"))


@pytest.fixture
def messages():
    """A call's result and the texts of its warnings, all of which point at the test's own file."""

    def run(call):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DesignWarning)
            result = call()
        caught = [w for w in caught if issubclass(w.category, DesignWarning)]
        assert all("tests" in w.filename for w in caught)
        return result, [str(w.message) for w in caught]

    return run


def _series(n=60, seed=0, start=30, rho=0.3, level=-2.0, slope=0.1):
    """One series with autoregressive errors of one lag."""
    random = np.random.default_rng(seed)
    t, noise = np.arange(n), random.normal(size=n + 50)
    error = np.zeros(n + 50)
    for i in range(1, n + 50):
        error[i] = rho * error[i - 1] + noise[i]
    on = t >= start
    return pd.DataFrame({"t": t, "y": 20 + 0.05 * t + level * on + slope * on * (t - start) + error[50:]})


def _people(n=800, seed=0, effect=-1.0):
    """A cross-section in which treatment depends on two covariates and the effect on one."""
    random = np.random.default_rng(seed)
    risk, age, sex = random.normal(size=n), random.gamma(4, 1, size=n), random.integers(0, 2, n)
    treated = (0.6 * risk + 0.2 * (age - 4) + 0.4 * sex + random.logistic(size=n) > 0.3) * 1
    cost = 5 + risk + 0.5 * age - 0.3 * sex + effect * treated + 0.4 * treated * risk + random.normal(size=n)
    return pd.DataFrame({"joined": treated, "risk": risk, "age": age, "sex": sex, "cost": cost,
                         "clinic": random.integers(0, 40, n)})  # fmt: skip


def _encouraged(n=300, seed=0, strength=0.4, effect=0.5, instruments=2, clusters=30):
    """A treatment that an unseen trait moves, instruments, one control and clusters."""
    random = np.random.default_rng(seed)
    z, trait, w = random.normal(size=(n, instruments)), random.normal(size=n), random.normal(size=n)
    group = np.arange(n) % clusters
    shock = random.normal(size=clusters)[group]
    d = strength * z.sum(axis=1) + trait + 0.3 * w + random.normal(size=n)
    y = effect * d - trait + w + 0.3 * shock + random.normal(size=n) * (1 + 0.3 * np.abs(z[:, 0]))
    frame = pd.DataFrame({"y": y, "d": d, "w": w, "group": group})
    return frame.assign(**{f"z{j}": z[:, j] for j in range(instruments)})


@pytest.fixture
def make_series():
    return _series


@pytest.fixture
def make_people():
    return _people


@pytest.fixture
def make_encouraged():
    return _encouraged
