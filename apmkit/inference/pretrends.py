"""What a test of pre-trends can miss, and what passing it does to the estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.inference.coefficients import Coefficients
from apmkit.options import check_estimate, check_level, check_seed

Test = Literal["individual", "joint"]


def pretrend_power(
    estimate: Estimate,
    slope: float | None = None,
    *,
    power: float | None = None,
    test: Test = "individual",
    level: float | None = None,
    seed: int = 0,
) -> pd.Series:
    """How likely a pre-trend test finds a linear violation, or the slope that it finds with a given power.

    Parameters
    ----------
    estimate : Estimate
        An event study relative to the last period before treatment.
    slope : float, optional
        Change per period of the difference in trends, in units of the outcome.
    power : float, optional
        Instead of `slope`: power at which the (positive) slope is sought, 0.5 by default.
    test : {"individual", "joint"}
        The test passes if no coefficient before treatment differs significantly from zero, or if a Wald test of all
        does not reject.
    level : float, optional
        One less the size of each such test; the level of the estimate by default.
    seed : int
        Seed of the numerical integration with more than two coefficients before treatment, accurate to about 1e-5.

    Returns
    -------
    Series
        `slope`, `power`; `size`, the chance that the test fails without a violation; `bayes_factor`, how much more
        likely passing is with this violation than without, (1 - power) / (1 - size); `likelihood_ratio` of the
        coefficients before treatment, with to without it.

    Raises
    ------
    ApmkitError
        Both `slope` and `power`, a power that is not between size and one, an unknown test; or as in `sensitivity`.

    References
    ----------
    Roth, J. (2022), American Economic Review: Insights 4(3), sections II.A to II.C.

    Examples
    --------
    >>> times = [-3, -2, 0]
    >>> published = Estimate.from_covariance(
    ...     pd.DataFrame({"term": [f"year {t}" for t in times], "relative_time": times}),
    ...     np.array([0.2, -0.1, 2.0]), 0.04 * np.eye(3) + 0.04, estimand="ATT", estimator="published",
    ...     outcome="visits", n_obs=4_000, n_units=800, n_clusters=800,
    ... )
    >>> round(float(pretrend_power(published, power=0.5)["slope"]), 3)
    0.264
    """
    pretest = _Pretest.of(estimate, test, level, seed)
    if slope is not None and power is not None:
        raise ApmkitError("Give slope, to get the power, or power, to get the slope; not both.")
    size = 1 - pretest.pass_probability(0.0)
    if slope is None:
        power = 0.5 if power is None else power
        if not isinstance(power, Real) or not size < power < 1:
            raise ApmkitError(
                f"power={power!r} is not between the size of the test, {size:.3f}, and one: give 0.5 or 0.8."
            )
        high = float(np.sqrt(pretest.covariance[0, 0]))
        while 1 - pretest.pass_probability(high) < power:
            high *= 2
        slope = optimize.brentq(lambda b: 1 - pretest.pass_probability(b) - power, 0.0, high, xtol=1e-9 * high)
    else:
        _check_slope(slope)
    trend, values = pretest.trend(slope), pretest.coefficients.estimates[pretest.coefficients.before]
    passing = pretest.pass_probability(slope)
    return pd.Series(
        {
            "slope": slope,
            "power": 1 - passing,
            "size": size,
            "bayes_factor": passing / (1 - size),
            "likelihood_ratio": float(np.exp(np.linalg.solve(pretest.covariance, trend) @ (values - trend / 2))),
        }
    )


def trend_after_pretest(
    estimate: Estimate, slope: float, *, test: Test = "individual", level: float | None = None, seed: int = 0
) -> pd.DataFrame:
    """What an event study shows on average if there is a linear violation and no effect, and its pre-trend test passed.

    Parameters
    ----------
    estimate : Estimate
    slope : float
        Change per period of the difference in trends, in units of the outcome.
    test, level, seed
        As in `pretrend_power`.

    Returns
    -------
    DataFrame
        `relative_time`, `estimate`, `trend` (its value under the violation, the bias after treatment) and `if_passed`
        (the mean over studies that pass, the bias after treatment in those).

    Raises
    ------
    ApmkitError
        As in `pretrend_power`, or such a violation hardly ever passes.

    References
    ----------
    Roth, J. (2022), American Economic Review: Insights 4(3), section II.B and proposition 1; Tallis, G. M. (1961),
    Journal of the Royal Statistical Society B 23(1), on the mean of a truncated normal.
    """
    pretest = _Pretest.of(estimate, test, level, seed)
    _check_slope(slope)
    if pretest.pass_probability(slope) < 1e-4:
        raise ApmkitError(
            f"A violation of slope={slope:g} passes the test less than once in 10,000 times: try a smaller."
        )
    coefficients = pretest.coefficients
    trend, before = slope * coefficients.steps, coefficients.before
    regression = np.linalg.solve(pretest.covariance, coefficients.covariance[before]).T
    shift = regression @ (pretest.mean_if_passed(slope) - trend[before])
    return pd.DataFrame(
        {
            "relative_time": coefficients.times,
            "estimate": coefficients.estimates,
            "trend": trend,
            "if_passed": trend + shift,
        }
    )


def _check_slope(slope: float) -> None:
    if not isinstance(slope, Real) or not math.isfinite(slope):
        raise ApmkitError(f"slope={slope!r} is not a finite number: give a change per period in units of the outcome.")


@dataclass(frozen=True)
class _Pretest:
    """A test of the coefficients before treatment: `critical` bounds each |t|, or the Wald statistic."""

    coefficients: Coefficients
    test: Test
    critical: float
    seed: int

    @classmethod
    def of(cls, estimate: Estimate, test: Test, level: float | None, seed: int) -> _Pretest:
        if test not in ("individual", "joint"):
            raise ApmkitError(f"test={test!r} is not known: give 'individual' or 'joint'.")
        check_estimate(estimate)
        check_seed(seed)
        level = estimate.level if level is None else level
        check_level(level)
        coefficients = Coefficients.of(estimate)
        k, df = coefficients.n_before, estimate.degrees_of_freedom
        if test == "individual":
            critical = special.ndtri(0.5 + level / 2) if math.isinf(df) else special.stdtrit(df, 0.5 + level / 2)
        else:
            critical = stats.chi2.ppf(level, k) if math.isinf(df) else k * stats.f.ppf(level, k, df)
        return cls(coefficients, test, float(critical), seed)

    @property
    def covariance(self) -> np.ndarray:
        return self.coefficients.covariance[self.coefficients.before, self.coefficients.before]

    def trend(self, slope: float) -> np.ndarray:
        return slope * self.coefficients.steps[self.coefficients.before]

    def pass_probability(self, slope: float) -> float:
        trend = self.trend(slope)
        if self.test == "joint":
            return float(_within(self.critical, len(trend), trend @ np.linalg.solve(self.covariance, trend)))
        half = self.critical * np.sqrt(np.diag(self.covariance))
        return _box(-half, half, trend, self.covariance, self.seed)

    def mean_if_passed(self, slope: float) -> np.ndarray:
        """Mean of the coefficients before treatment over the samples that pass."""
        trend, covariance, passing = self.trend(slope), self.covariance, self.pass_probability(slope)
        k = len(trend)
        if self.test == "joint":
            distance = trend @ np.linalg.solve(covariance, trend)
            return trend * _within(self.critical, k + 2, distance) / passing
        half = self.critical * np.sqrt(np.diag(covariance))
        edges = np.zeros(k)
        for i in range(k):
            others = np.arange(k) != i
            variance, on_i = covariance[i, i], covariance[others, i] / covariance[i, i]
            left = covariance[np.ix_(others, others)] - np.outer(on_i, covariance[others, i])
            for edge in (-half[i], half[i]):
                density = math.exp(-((edge - trend[i]) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
                mean = trend[others] + on_i * (edge - trend[i])
                edges[i] -= math.copysign(density, edge) * _box(-half[others], half[others], mean, left, self.seed)
        return trend + covariance @ edges / passing


def _within(bound: float, df: int, distance: float) -> float:
    """Chance that a chi-squared variable with this noncentrality is at most `bound`."""
    return stats.ncx2.cdf(bound, df, distance) if distance > 0 else stats.chi2.cdf(bound, df)


def _box(low: np.ndarray, high: np.ndarray, mean: np.ndarray, covariance: np.ndarray, seed: int) -> float:
    """Chance that a normal vector lies between `low` and `high`."""
    if not len(mean):
        return 1.0
    sd = np.sqrt(np.diag(covariance))
    low, high = (low - mean) / sd, (high - mean) / sd
    if len(mean) == 1:
        return float(special.ndtr(high[0]) - special.ndtr(low[0]))
    correlation, random = covariance / np.outer(sd, sd), np.random.default_rng(seed)
    normal = stats.multivariate_normal(cov=correlation, allow_singular=True, seed=random, abseps=1e-5, releps=1e-5)
    return float(np.clip(normal.cdf(high, lower_limit=low), 0.0, 1.0))
