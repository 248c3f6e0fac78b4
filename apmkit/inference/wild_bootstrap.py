"""The wild cluster bootstrap for regressions with few clusters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from apmkit.errors import EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.inference.cluster_sums import ClusterSums, of_estimate, regression_of
from apmkit.inference.cluster_weights import ClusterWeights, Kind
from apmkit.options import check_estimate, check_level


def wild_bootstrap(
    estimate: Estimate,
    term: str | None = None,
    *,
    weights: Kind = "rademacher",
    restricted: bool = True,
    draws: int = 99_999,
    level: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Test that a term is zero, and its interval, by the wild cluster bootstrap.

    The residuals of each cluster are multiplied by one random weight, and the t statistic is compared with those of the
    outcomes made so. It keeps its size with about ten clusters or more, where the t test rejects too often. It fails
    when one or two clusters are treated: restricted it hardly ever rejects, unrestricted far too often; use
    `randomisation_test` or a synthetic control then.

    Parameters
    ----------
    estimate : Estimate
        From `twfe`, `event_study` or `sun_abraham`, also after `aggregate`, with CR0 or CR1.
    term : str, optional
        All terms by default, each by itself.
    weights : {"rademacher", "webb", "mammen"}
        Signs; six points (Webb), for fewer than about ten clusters; or Mammen's two points.
    restricted : bool
        Impose the hypothesis on the residuals, which is more reliable.
    draws : int
        Bootstrap draws. Where there are no more than `draws` ways to choose signs, all are used once.
    level : float, optional
        Level of the interval; that of the estimate by default.
    seed : int

    Returns
    -------
    DataFrame
        `term`, `estimate`, `t`, `p_value`, `ci_low`, `ci_high`, `p_value_error` (the Monte Carlo error of the p value,
        zero if all signs are used), `draws`. The interval holds the values that the test does not reject; where it
        never rejects, a bound is infinite. The p value counts draws at least as extreme as the data, as Roodman et al.
        do but for ties, which they leave out.

    Raises
    ------
    ApmkitError
        An option is not known, `draws` is too small, there is no such term, a term does not vary, or the estimate is
        not from a regression.

    Warns
    -----
    DesignWarning
        There are so few clusters that p values come in large steps, or few clusters are treated.

    References
    ----------
    Cameron, A. C., Gelbach, J. and Miller, D. (2008), Review of Economics and Statistics 90(3), with the null imposed;
    Roodman, D., MacKinnon, J., Nielsen, M. and Webb, M. (2019), Stata Journal 19(1), on speed and intervals; Webb, M.
    (2023), Canadian Journal of Economics 56(3); MacKinnon, J. and Webb, M. (2017), Journal of Applied Econometrics
    32(2), on few treated clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from apmkit import Panel, twfe
    >>> random = np.random.default_rng(1)
    >>> frame = pd.DataFrame({
    ...     "clinic": np.repeat(np.arange(10), 2), "year": [2020, 2021] * 10, "visits": random.normal(size=20),
    ...     "start": np.repeat([2021.0] * 5 + [np.nan] * 5, 2),
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> wild_bootstrap(twfe(panel))[["term", "p_value", "draws"]]
      term   p_value  draws
    0  ATT  0.302734   1024
    """
    check_estimate(estimate)
    level = estimate.level if level is None else level
    check_level(level)
    combination, _ = regression_of(estimate)
    if combination.adjusted is not None:
        raise EstimationError(
            "The bootstrap compares t statistics with CR1 standard errors: give it the estimate as it was before "
            f"cluster_variance({estimate.diagnostics.get('cluster_variance')!r})."
        )
    if term is not None:
        return wild_bootstrap(
            estimate.term(term), weights=weights, restricted=restricted, draws=draws, level=level, seed=seed
        )
    sums = of_estimate(estimate)
    signs = ClusterWeights.of(len(sums.scores), weights, draws, seed)
    _warn_of_steps(signs, estimate, level)
    rows = []
    values = estimate.table["estimate"].to_numpy()
    tests = bootstrap_tests(sums, values, combination.factor, signs, restricted=restricted, level=level)
    for name, value, found in zip(estimate.table["term"], values, tests, strict=True):
        if found is None:
            raise EstimationError(f"{name!r} has no variance between clusters: there is nothing to resample.")
        rows.append((name, value, *found, signs.draws))
    columns = ["term", "estimate", "t", "p_value", "ci_low", "ci_high", "p_value_error", "draws"]
    return pd.DataFrame(rows, columns=columns)


class BootstrapTest(NamedTuple):
    """What the wild cluster bootstrap says of one coefficient."""

    t: float
    p_value: float
    ci_low: float
    ci_high: float
    p_value_error: float


def bootstrap_tests(
    sums: ClusterSums, values: Sequence[float], factor: float, signs: ClusterWeights, *, restricted: bool, level: float
) -> Iterator[BootstrapTest | None]:
    """The test of each coefficient of any regression; none for one without variance between clusters.

    Parameters
    ----------
    sums : ClusterSums
    values : sequence of float
        The coefficients, in the order of ``sums.directions``; the first ones if there are fewer.
    factor : float
        Of their CR1 variance.
    signs : ClusterWeights
    restricted : bool
    level : float
    """
    for value, direction, projected in zip(values, sums.directions, sums.projected(), strict=False):
        statistics = _Statistics.of(sums, direction, projected, value, signs, restricted)
        se = math.sqrt(factor * statistics.variance)
        if not se > 0:
            yield None
            continue
        p = statistics.p_value(value)
        error = 0.0 if signs.enumerated else math.sqrt(p * (1 - p) / signs.draws)
        yield BootstrapTest(value / se, p, *statistics.interval(value, level), error)


@dataclass(frozen=True, eq=False)
class _Statistics:
    """Bootstrap numerators and variances as polynomials in the distance of the hypothesis from the estimate.

    Under the hypothesis that the coefficient is b0, with distance = estimate - b0, the restricted residuals are linear
    in the distance. So is the bootstrap numerator, and the bootstrap variance is quadratic: one pass over the draws
    serves every b0 (Roodman et al. 2019).
    """

    numerator: np.ndarray
    variances: np.ndarray
    variance: float

    @classmethod
    def of(cls, sums: ClusterSums, direction, projected, value, signs, restricted) -> _Statistics:
        squared = direction @ direction
        scores = [sums.scores] + ([projected / squared] if restricted else [])
        own = [part @ direction for part in scores]
        # Scores of the bootstrap sample: own x weight - projected @ (what the weighted scores sum to).
        left = np.hstack([*scores, *(part[:, None] * projected for part in own)]).T
        cross = projected.T @ projected
        degrees = len(scores)
        numerator, variances = np.empty((degrees, signs.draws)), np.zeros((2 * degrees - 1, signs.draws))
        at = 0
        for block in signs.blocks():
            here = slice(at, at + block.shape[1])
            at += block.shape[1]
            moved = (left @ block).reshape(2 * degrees, len(direction), -1)
            squares = block**2 if signs.kind != "rademacher" else None
            numerator[:, here] = np.tensordot(direction, moved[:degrees], axes=(0, 1))
            for i in range(degrees):
                spread = cross @ moved[i]
                for j in range(degrees):
                    product = own[i] * own[j]
                    variances[i + j, here] += product.sum() if squares is None else product @ squares
                    variances[i + j, here] += np.einsum("pb,pb->b", spread - 2 * moved[degrees + i], moved[j])
        return cls(numerator, variances, float(own[0] @ own[0]))

    def p_value(self, distance: float) -> float:
        """Share of draws at least as extreme as the data when the hypothesis is this far from the estimate."""
        numerator, variance = self.numerator[0], self.variances[0]
        if len(self.numerator) == 2:
            numerator = numerator + distance * self.numerator[1]
            variance = variance + distance * (self.variances[1] + distance * self.variances[2])
        # Ties, first of all the draw that is the data, are told from rounding.
        bound = distance**2 / self.variance * np.maximum(variance, 0.0)
        return float(np.mean(numerator**2 >= bound * (1 - 1e-9)))

    def interval(self, value: float, level: float) -> tuple[float, float]:
        """Values that are not rejected: from the estimate outwards, to where the p value first falls to 1 - level."""
        alpha = 1 - level
        bounds = []
        for side in (-1.0, 1.0):
            inside, outside = 0.0, math.sqrt(self.variance)
            while self.p_value(-side * outside) > alpha and outside < 1e3 * math.sqrt(self.variance):
                inside, outside = outside, 1.5 * outside
            if self.p_value(-side * outside) > alpha:
                bounds.append(side * math.inf)
                continue
            for _ in range(40):
                middle = (inside + outside) / 2
                if self.p_value(-side * middle) > alpha:
                    inside = middle
                else:
                    outside = middle
            bounds.append(value + side * outside)
        return bounds[0], bounds[1]


def _warn_of_steps(signs: ClusterWeights, estimate: Estimate, level: float) -> None:
    if signs.enumerated and 2 / signs.draws > (1 - level) / 5:
        warn(
            f"{signs.n_clusters} clusters have {signs.draws} choices of signs, so p values come in steps of "
            f"{2 / signs.draws:.3g}: use weights='webb', or randomisation_test."
        )
    panel, treated = estimate.panel, estimate.diagnostics["treated_clusters"]
    if treated <= 2:
        warn(
            f"{treated} of {signs.n_clusters} clusters of {panel.cluster!r} {'is' if treated == 1 else 'are'} treated: "
            "the wild bootstrap fails there; use randomisation_test or synthetic control."
        )
