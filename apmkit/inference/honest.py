"""How far may trends differ before a conclusion changes?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.inference.coefficients import Coefficients
from apmkit.inference.relative_magnitudes import relative_magnitudes_interval
from apmkit.inference.smoothness import smoothness_interval
from apmkit.options import check_level, numbers

Kind = Literal["relative_magnitudes", "smoothness"]
Weights = Literal["first", "average"] | Sequence[float] | Mapping[int, float]
INTERVALS = {"relative_magnitudes": relative_magnitudes_interval, "smoothness": smoothness_interval}


def sensitivity(
    estimate: Estimate,
    kind: Kind = "relative_magnitudes",
    m: float | Sequence[float] | None = None,
    *,
    weights: Weights = "first",
    level: float | None = None,
) -> pd.DataFrame:
    """Intervals of an effect that stay valid if trends are not parallel, by how far they may depart.

    Parameters
    ----------
    estimate : Estimate
        An event study relative to the last period before treatment, for instance from `event_study`, `sun_abraham` or
        ``callaway_santanna(base_period="universal").aggregate("event")``, or made from published coefficients with
        `Estimate.from_covariance`.
    kind : {"relative_magnitudes", "smoothness"}
        What bounds the violation of parallel trends: from one period to the next it changes after treatment at most
        `m` times as much as it ever did before; or its slope changes by at most `m` from one period to the next, in
        units of the outcome, so that ``m=0`` allows any linear trend.
    m : float or sequence of float, optional
        By default 0, 0.25, ..., 2 for relative magnitudes; for smoothness ten values from zero to the largest change
        of slope before treatment that the data do not exclude (with one coefficient before, to its standard error).
    weights : {"first", "average"}, sequence, or mapping of relative time to weight
        Which effect: of the first period of treatment, the mean of all, or a weighted sum.
    level : float, optional
        The level of the estimate by default.

    Returns
    -------
    DataFrame
        `m`, `low`, `high`; in units of the outcome.

    Raises
    ------
    ApmkitError
        `kind` is not known, `m` is negative, `level` is not between 0 and 1, the weights do not fit, or the estimate is
        not an event study that can be used: terms not relative to one reference period, none before or after it, gaps
        between relative times, no covariance, or a singular one.

    Warns
    -----
    DesignWarning
        There are fewer than five clusters for each coefficient.

    Notes
    -----
    Estimates are taken as normal with a known covariance. Smoothness uses the shortest fixed-length interval around an
    affine estimator; relative magnitudes the conditional test with a least favourable first stage (C-LF) on the moments
    after treatment, as R ``HonestDiD`` does (with one period after treatment it adds those before). Both are exact
    here. HonestDiD 0.2.6 simulates critical values, and searches a grid that ends 20 standard errors from zero and so
    cuts wide intervals off; for weights that a rising trend makes fall, it and diff-diff add a bias that is not there.
    diff-diff 3.13 truncates the conditional test at the second largest statistic, which is not its conditional bound,
    so its intervals for relative magnitudes differ.

    References
    ----------
    Rambachan, A. and Roth, J. (2023), Review of Economic Studies 90(5); Andrews, I., Roth, J. and Pakes, A. (2023),
    Review of Economic Studies 90(6); Armstrong, T. and Kolesar, M. (2018), Econometrica 86(2).

    Examples
    --------
    >>> times = [-3, -2, 0, 1]
    >>> published = Estimate.from_covariance(
    ...     pd.DataFrame({"term": [f"year {t}" for t in times], "relative_time": times}),
    ...     np.array([0.2, -0.1, 2.0, 2.5]), 0.04 * np.eye(4) + 0.04, estimand="ATT", estimator="published",
    ...     outcome="visits", n_obs=4_000, n_units=800, n_clusters=800,
    ... )
    >>> sensitivity(published, m=[0, 1]).round(3)
         m    low   high
    0  0.0  1.446  2.554
    1  1.0  1.032  2.968
    >>> sensitivity(published, "smoothness", m=0.5).round(3)
         m    low   high
    0  0.5  0.628  3.237
    """
    coefficients, effect, level = _checked(estimate, kind, weights, level)
    m = _default(coefficients, kind, level) if m is None else m
    values = np.atleast_1d(numbers(m, "m"))
    if values.ndim > 1 or not len(values):
        raise ApmkitError(f"m={m!r} must be one number or a list of numbers.")
    fit = np.isfinite(values) & (values >= 0)
    if not fit.all():
        raise ApmkitError(f"m={values[~fit][0]:g} cannot bound a violation: give numbers of at least zero.")
    interval = INTERVALS[kind](coefficients, effect, level)
    low, high = np.transpose([interval(value) for value in values])
    return pd.DataFrame({"m": values, "low": low, "high": high})


def breakdown(
    estimate: Estimate,
    kind: Kind = "relative_magnitudes",
    *,
    weights: Weights = "first",
    level: float | None = None,
) -> float:
    """The smallest `m` at which the interval of `sensitivity` includes zero.

    Parameters
    ----------
    estimate, kind, weights, level
        As in `sensitivity`.

    Returns
    -------
    float
        To six digits. Zero if no violation is needed, infinity if none is enough.

    Raises
    ------
    ApmkitError
        As in `sensitivity`.

    References
    ----------
    Rambachan, A. and Roth, J. (2023), Review of Economic Studies 90(5), section 5.

    Examples
    --------
    >>> times = [-2, 0]
    >>> published = Estimate.from_covariance(
    ...     pd.DataFrame({"term": ["before", "after"], "relative_time": times}), np.array([0.1, 1.0]),
    ...     np.array([[0.02, 0.01], [0.01, 0.02]]), estimand="ATT", estimator="published", outcome="visits",
    ...     n_obs=400, n_units=80, n_clusters=80,
    ... )
    >>> round(breakdown(published), 2)
    3.24
    """
    coefficients, effect, level = _checked(estimate, kind, weights, level)
    interval = INTERVALS[kind](coefficients, effect, level)

    def includes_zero(m: float) -> bool:
        low, high = interval(m)
        return low <= 0 <= high

    if includes_zero(0.0):
        return 0.0
    low, high = 0.0, 1.0 if kind == "relative_magnitudes" else _default(coefficients, kind, level)[-1]
    for _ in range(40):
        if includes_zero(high):
            break
        low, high = high, 2 * high
    else:
        return math.inf
    while high - low > 1e-7 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if includes_zero(middle) else (middle, high)
    return high


def original_interval(
    estimate: Estimate, *, weights: Weights = "first", level: float | None = None
) -> tuple[float, float]:
    """The interval of the same effect if trends are parallel, with the reference distribution of the estimate."""
    coefficients, effect, level = _checked(estimate, "smoothness", weights, level)
    after = coefficients.after
    centre = float(effect @ coefficients.estimates[after])
    df = estimate.degrees_of_freedom
    critical = special.ndtri(0.5 + level / 2) if math.isinf(df) else special.stdtrit(df, 0.5 + level / 2)
    half = float(critical * np.sqrt(effect @ coefficients.covariance[after, after] @ effect))
    return centre - half, centre + half


def _checked(estimate, kind, weights, level) -> tuple[Coefficients, np.ndarray, float]:
    if kind not in INTERVALS:
        raise ApmkitError(f"kind={kind!r} is not known: give {' or '.join(map(repr, INTERVALS))}.")
    coefficients = Coefficients.of(estimate)
    level = estimate.level if level is None else level
    check_level(level)
    times = coefficients.times[coefficients.after]
    since = times >= 0
    if isinstance(weights, str):
        if weights not in ("first", "average"):
            raise ApmkitError(f"weights={weights!r} is not known: give 'first', 'average', or a weight for each time.")
        effect = (times == 0) * 1.0 if weights == "first" else since / max(since.sum(), 1)
    elif isinstance(weights, Mapping):
        unknown = [time for time in weights if time not in times]
        if unknown:
            raise ApmkitError(f"weights names relative time {unknown[0]}, which has no effect; those that have: "
                              f"{', '.join(map(str, times))}.")  # fmt: skip
        effect = numbers([weights.get(int(time), 0.0) for time in times], "weights")
    else:
        effect = numbers(weights, "weights")
    if effect.shape != times.shape or not np.isfinite(effect).all() or not effect.any():
        raise ApmkitError(
            f"weights must be {len(times)} finite numbers that are not all zero, one for each of the relative times "
            f"{', '.join(map(str, times))}."
        )
    return coefficients, effect, float(level)


def _default(coefficients: Coefficients, kind: Kind, level: float) -> np.ndarray:
    if kind == "relative_magnitudes":
        return np.linspace(0, 2, 9)
    before, covariance = coefficients.before, coefficients.covariance
    if coefficients.n_before == 1:
        return np.linspace(0, np.sqrt(covariance[0, 0]), 10)
    bends = np.diff(coefficients.changes[before], axis=0)
    se = np.sqrt(np.einsum("ij,jk,ik->i", bends, covariance, bends))
    return np.linspace(0, float((np.abs(bends @ coefficients.estimates) + special.ndtri(level) * se).max()), 10)
