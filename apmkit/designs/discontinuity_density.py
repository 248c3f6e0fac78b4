"""Do people choose their side of a cutoff? A test of the density of the running variable."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import special

from apmkit.columns import count, finite
from apmkit.designs.discontinuity import bandwidth_pair, sides_of
from apmkit.designs.discontinuity_fit import KERNELS, Side
from apmkit.designs.sample import check_columns
from apmkit.errors import ApmkitError, EstimationError
from apmkit.options import check_level

TEST_ORDER = 3

FEWEST = 23
"""Distinct values that each bandwidth holds on each side."""

# Pilot bandwidths minimise the mean squared error when the running variable is normal, with a uniform kernel: variance
# constant over squared bias constant of a boundary fit, for the density (order 2) and its second derivative (order 4).
PILOT_DENSITY = 320 / 21 / 4 * 6**2
PILOT_CURVATURE = 3276 / 11 * 120**2


def density_test(
    data: pd.DataFrame,
    *,
    running: str,
    cutoff: float = 0.0,
    bandwidth: float | tuple[float, float] | None = None,
    kernel: str = "triangular",
) -> pd.Series:
    """Test that the density of the running variable has no jump at the cutoff.

    A jump says that some people or clinics chose their side, so that those near the cutoff may differ in more than the
    rule. The distribution function is fitted on each side by a local polynomial whose slope is the density: of order
    two to choose the bandwidth, of order three to test. Choices in both directions can cancel, so no jump is no proof.

    Parameters
    ----------
    data : DataFrame
    running : str
        Column of numbers.
    cutoff : float
    bandwidth : float or (float, float), optional
        One for both sides, or one below and one above. By default on each side the median of the three that have
        the least mean squared error for its density, for the difference of the densities and for their sum.
    kernel : {"triangular", "epanechnikov", "uniform"}

    Returns
    -------
    Series
        `statistic` (standard normal without a jump), `p_value`, `density_below`, `density_above` with `se_below`,
        `se_above` (jackknife), `bandwidth_below`, `bandwidth_above`, `n_below`, `n_above` (rows within).

    Raises
    ------
    ApmkitError
        A column or an option is unusable.
    EstimationError
        Fewer than 23 distinct values on a side, or than four within a given bandwidth; or values in too few places.

    Warns
    -----
    DesignWarning
        Values of the running variable repeat.

    References
    ----------
    Cattaneo, M. D., Jansson, M. and Ma, X. (2020), Journal of the American Statistical Association 115(531); (2018),
    Stata Journal 18(1), for the bandwidths.

    Examples
    --------
    >>> frame = pd.DataFrame({"score": np.random.default_rng(0).normal(size=2000)})
    >>> print(f"{density_test(frame, running='score', cutoff=0.3)['p_value']:.2f}")
    0.87
    """
    sides = _sides(data, running, cutoff, kernel)
    fits = _fits(sides, bandwidth, kernel, running)
    below, above = fits
    statistic = (above.density - below.density) / np.hypot(above.se, below.se)
    return pd.Series({
        "statistic": statistic, "p_value": 2 * special.ndtr(-abs(statistic)),
        "density_below": below.density, "density_above": above.density, "se_below": below.se, "se_above": above.se,
        "bandwidth_below": below.bandwidth, "bandwidth_above": above.bandwidth,
        "n_below": below.n_near, "n_above": above.n_near,
    })  # fmt: skip


def density_curves(
    data: pd.DataFrame,
    *,
    running: str,
    cutoff: float = 0.0,
    bandwidth: float | tuple[float, float] | None = None,
    kernel: str = "triangular",
    level: float = 0.95,
    points: int = 41,
) -> pd.DataFrame:
    """The densities that `density_test` compares, over the rows it uses.

    Parameters
    ----------
    data, running, cutoff, bandwidth, kernel
        As in `density_test`.
    level : float
        Level of the pointwise intervals.
    points : int
        On each side.

    Returns
    -------
    DataFrame
        `running`, `density`, `ci_low`, `ci_high`, `side`.

    Raises
    ------
    ApmkitError, EstimationError
        As in `density_test`.
    """
    check_level(level)
    if not isinstance(points, Integral) or points < 2:
        raise ApmkitError(f"points={points!r} is not a whole number of at least 2: give the points of each curve.")
    sides = _sides(data, running, cutoff, kernel)
    curves = []
    for name, fit in zip(("below", "above"), _fits(sides, bandwidth, kernel, running), strict=True):
        x = np.linspace(*sorted((0.0, fit.end)), points)
        slopes = np.arange(1.0, TEST_ORDER + 1) * x[:, None] ** np.arange(TEST_ORDER)
        density = slopes @ fit.coefficients[1:]
        half = special.ndtri(0.5 + level / 2) * np.sqrt(np.einsum("pk,kl,pl->p", slopes, fit.covariance, slopes))
        curves.append(pd.DataFrame({
            "running": x + cutoff, "density": density, "ci_low": density - half, "ci_high": density + half,
            "side": name,
        }))  # fmt: skip
    return pd.concat(curves, ignore_index=True)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A local polynomial for the distribution function on one side of the cutoff.

    Attributes
    ----------
    coefficients : ndarray, shape (order + 1,)
    covariance : ndarray, shape (order, order)
        Of all but the intercept, by the jackknife.
    end : float
        Farthest value used, less the cutoff.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    bandwidth: float
    n_near: int
    end: float

    @classmethod
    def of(cls, side: Side, n: int, bandwidth: float, order: int, kernel: str) -> _Fit:
        near = side.within(bandwidth, kernel)
        weights = near.coefficients(order, bandwidth, kernel)
        # A row raises the distribution function at each row no smaller; rows out of reach raise all or none, and
        # weights of a derivative sum to zero.
        after = np.cumsum(weights[1:, ::-1], axis=1)[:, ::-1]
        scores = (after[:, np.searchsorted(near.x, near.x, "left")] - weights[1:]) / (n - 1)
        end = near.x[np.abs(near.x).argmax()]
        return cls(weights @ near.y[:, 0], scores @ scores.T, bandwidth, len(near.x), end)

    @property
    def density(self) -> float:
        return float(self.coefficients[1])

    @property
    def se(self) -> float:
        return float(np.sqrt(self.covariance[0, 0]))


def _sides(data, running, cutoff, kernel):
    check_columns(data, running=running)
    if kernel not in tuple(KERNELS):
        raise ApmkitError(f"kernel={kernel!r} is not known: give {', '.join(map(repr, KERNELS))}.")
    values = finite(data, running)
    if len(values) < 2:
        raise EstimationError(f"Column {running!r} has one row: a density needs more.")
    ranked = np.sort(values)
    share = np.searchsorted(ranked, values, "right") / (len(values) - 1)
    return sides_of(values, [share], cutoff, running)


def _fits(sides, bandwidth, kernel, running):
    widths = _bandwidths(sides, kernel, running) if bandwidth is None else bandwidth_pair(bandwidth, "below, above")
    n = sum(len(side.x) for side in sides)
    for side, width in zip(sides, widths, strict=True):
        distinct = side.within(width, kernel).distinct
        if distinct <= TEST_ORDER:
            raise EstimationError(
                f"Column {running!r} has {count(distinct, 'distinct value')} within {width:g} of the cutoff on "
                f"one side, and the test needs {TEST_ORDER + 1}: use a wider bandwidth."
            )
    return [_Fit.of(side, n, width, TEST_ORDER, kernel) for side, width in zip(sides, widths, strict=True)]


def _bandwidths(sides, kernel, running):
    x = np.concatenate([side.x for side in sides])
    n, sd, farthest = len(x), x.std(ddof=1), [np.abs(side.x).max() for side in sides]
    distances = [np.unique(np.abs(side.x)) for side in sides]
    for name, distance in zip(("below", "above"), distances, strict=True):
        if len(distance) < FEWEST:
            raise EstimationError(
                f"Column {running!r} has {count(len(distance), 'distinct value')} {name} the cutoff, and {FEWEST} are "
                "needed to choose a bandwidth: give bandwidth."
            )
    fewest = [distance[FEWEST - 1] for distance in distances]
    z = x.mean() / sd
    normal = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore"):  # no curvature of the normal density: the pilot is as wide as the data
        pilot = sd * (PILOT_DENSITY / (n * normal * (z**2 - 1) ** 2)) ** (1 / 5)
        curvature_pilot = sd * (PILOT_CURVATURE / (n * normal * (z**4 - 6 * z**2 + 3) ** 2)) ** (1 / 9)
    pilot, curvature_pilot = (max(min(width, max(farthest)), max(fewest)) for width in (pilot, curvature_pilot))
    variance, bias = np.array([
        (n * pilot * _Fit.of(side, n, pilot, 2, kernel).covariance[0, 0],
         _boundary_bias(kernel) * _Fit.of(side, n, curvature_pilot, 4, kernel).coefficients[3])
        for side in sides
    ]).T  # fmt: skip

    def best(variance, bias, fewest, farthest):
        width = (variance / (4 * n * bias**2)) ** (1 / 5) if bias else np.inf
        return min(max(width, fewest), farthest)

    shared = [best(variance.sum(), b, max(fewest), max(farthest)) for b in (bias[1] - bias[0], bias.sum())]
    return tuple(
        float(np.median([best(*each), *shared])) for each in zip(variance, bias, fewest, farthest, strict=True)
    )


def _boundary_bias(kernel):
    """Bias of the slope of a local quadratic at a boundary, for a bandwidth and a cubic coefficient of one."""
    u, weight = np.polynomial.legendre.leggauss(8)
    u = (u + 1) / 2
    weighted = (weight * KERNELS[kernel](u))[:, None] * u[:, None] ** np.arange(3)
    return float(np.linalg.solve(weighted.T @ u[:, None] ** np.arange(3), weighted.T @ u**3)[1])
