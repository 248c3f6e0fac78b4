"""Event studies for the tests: of given coefficients, random, and of diff-diff."""

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate


def event_study(times, estimates, covariance, **fields):
    defaults = {"estimand": "ATT", "estimator": "made", "outcome": "y", "n_obs": 9_000, "n_units": 900,
                "n_clusters": 900}  # fmt: skip
    terms = pd.DataFrame({"term": [f"time {t}" for t in times], "relative_time": times})
    return Estimate.from_covariance(terms, np.array(estimates), np.array(covariance), **{**defaults, **fields})


def random_study(seed, before=None, after=None):
    random = np.random.default_rng(seed)
    before = before or int(random.integers(1, 8))
    after = after or int(random.integers(1, 6))
    root = random.normal(size=(before + after, before + after + 2)) * random.uniform(0.2, 2)
    times = [*range(-1 - before, -1), *range(after)]
    return event_study(times, random.normal(size=len(times)), root @ root.T / len(times))


def study_of_diff_diff():
    """Results of diff-diff with four periods before treatment and three after, and the same as an Estimate."""
    import diff_diff

    random, units, periods = np.random.default_rng(2), 80, 8
    frame = pd.DataFrame({"unit": np.repeat(np.arange(units), periods), "t": np.tile(np.arange(periods), units)})
    frame["treated"] = (frame["unit"] < 40).astype(int)
    frame["y"] = random.normal(size=units)[frame["unit"]] + random.normal(size=len(frame))
    frame["y"] += (frame["t"] >= 5) * frame["treated"]
    results = diff_diff.TwoWayFixedEffects(cluster="unit").fit(
        frame, outcome="y", treatment="treated", time="t", unit="unit", event_study=True, post_periods=[5, 6, 7],
        reference_period=4,
    )  # fmt: skip
    used = ~np.asarray(results.is_reference)
    return results, event_study(np.asarray(results.event_time)[used] - 5, np.asarray(results.att)[used], results.vcov)
