"""Regression discontinuity: the jump of an outcome at a cutoff of a running variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

import numpy as np
import pandas as pd
from scipy import special

from apmkit.columns import checksum, count, finite
from apmkit.designs.discontinuity_bandwidth import mse_bandwidths
from apmkit.designs.discontinuity_fit import KERNELS, Jumps, Side, beyond_polynomials, covariate_slopes
from apmkit.designs.discontinuity_picture import SIDES, binned_means, local_curve
from apmkit.designs.sample import check_columns, clusters, dependent_columns, matrix, names_of, two_groups
from apmkit.errors import ApmkitError, EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.inference.few_clusters import FEW
from apmkit.options import check_level


def regression_discontinuity(
    data: pd.DataFrame,
    *,
    outcome: str,
    running: str,
    cutoff: float = 0.0,
    treatment: str | None = None,
    bandwidth: float | tuple[float, float] | None = None,
    kernel: str = "triangular",
    order: int = 1,
    covariates: str | Sequence[str] = (),
    cluster: str | None = None,
    donut: float = 0.0,
    level: float = 0.95,
) -> Estimate:
    """Effect of a rule that treats those at or above a cutoff, on those at the cutoff.

    Local polynomials on each side. The row to report is the conventional estimate with the interval and p-value of the
    robust bias-corrected one: the interval is centred on the bias-corrected estimate and counts its noise, so the
    estimate is not at its middle.

    Parameters
    ----------
    data : DataFrame
        One row per observation.
    outcome, running : str
        Columns of numbers.
    cutoff : float
        Rows at the cutoff count as above.
    treatment : str, optional
        Column of 0 and 1 for a fuzzy design, in which the cutoff shifts the chance of treatment: the effect is the
        jump of the outcome over that of treatment. By default all above are treated and none below.
    bandwidth : float or (float, float), optional
        Distance from the cutoff within which rows are used; with a second number, that for the bias. One number
        serves for both. By default both have the least mean squared error, for the jump of the outcome.
    kernel : {"triangular", "epanechnikov", "uniform"}
    order : int
        Order of the polynomial, 1 or 2 as a rule; higher ones give weight to far rows (Gelman & Imbens 2019).
    covariates : str or list of str
        Columns of numbers, fixed before the rule applied. They narrow the interval; they do not mend a design.
    cluster : str, optional
        Column with the level at which errors are correlated.
    donut : float
        Leave out rows closer to the cutoff than this.
    level : float
        Level of the intervals.

    Returns
    -------
    Estimate
        One term, "effect". `details["estimates"]` has the rows conventional, bias-corrected (with the conventional
        standard error) and robust (bias-corrected, with its own); `details["first_stage"]` the same for the jump of
        treatment; `details["bandwidths"]` by side the bandwidths `h` and `b`, rows in all (`n`) and within (`n_h`,
        `n_b`), and distinct values; `details["bins"]` and `details["curve"]` the picture; `details["covariates"]` their
        slopes. The normal distribution is the reference.

    Raises
    ------
    ApmkitError
        A column or an option is unusable, or treatment is not 0 or 1.
    EstimationError
        No row on one side, fewer than order + 2 distinct values within the bandwidth, an outcome that does not vary,
        covariates that are collinear, or no jump of treatment.

    Warns
    -----
    DesignWarning
        Values of the running variable repeat, the jump of treatment is weak, or few clusters on one side.

    Notes
    -----
    Variance is by three nearest neighbours; with clusters, residuals with CR1's factor on each side. Clusters on
    both sides have their scores added across the cutoff: rdrobust takes the sides for independent, which overstates
    the error when rows of a cluster move together. The bandwidth of a fuzzy design is that of the outcome, rdrobust's
    ``sharpbw=True``: its default depends on the level of the outcome and changes when a constant is added.

    References
    ----------
    Calonico, S., Cattaneo, M. D. and Titiunik, R. (2014), Econometrica 82(6), theorems 1 and 3; Calonico, S., Cattaneo,
    M. D. and Farrell, M. H. (2020), Econometrics Journal 23(2); Calonico, S. et al. (2019), Review of Economics and
    Statistics 101(3), with covariates; Feir, D., Lemieux, T. and Marmer, V. (2016), Journal of Business & Economic
    Statistics 34(2), on weak jumps; Gelman, A. and Imbens, G. (2019), ibid. 37(3).

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> age = random.uniform(55, 75, size=2000)
    >>> visits = 3 + 0.1 * (age - 65) + 0.8 * (age >= 65) + random.normal(size=2000)
    >>> frame = pd.DataFrame({"age": age, "visits": visits})
    >>> result = regression_discontinuity(frame, outcome="visits", running="age", cutoff=65)
    >>> print(result.sentence("Visits"))
    Visits rose by 0.86 (95% CI 0.49 to 1.26).
    """
    names = names_of(covariates, "covariates")
    used = check_columns(
        data, {"treatment": treatment, "cluster": cluster}, outcome=outcome, running=running, covariates=names
    )
    _check_options(kernel, order, donut)
    check_level(level)
    values = finite(data, running)
    columns = [finite(data, outcome)]
    if treatment is not None:
        columns.append(two_groups(data, treatment).astype(float))
    of_row, n_clusters = clusters(data, cluster)
    sides = sides_of(
        values, columns, cutoff, running, donut,
        covariates=matrix(data, names), cluster=None if cluster is None else of_row,
    )  # fmt: skip
    kept = np.abs(values - cutoff) >= donut
    rule = "given"
    if bandwidth is None:
        h, b = mse_bandwidths(sides, order, kernel)
        rule = "least mean squared error"
    else:
        h, b = bandwidth_pair(bandwidth, "estimate, bias")
    sizes = _sizes(sides, h, b, kernel)
    _check_sizes(sizes, running, order)
    _check_outcome(sides, max(h, b), kernel, outcome)
    if cluster is not None and n_clusters >= FEW:
        _warn_of_few_clusters(sides, h, kernel, cluster)
    slopes = _slopes(sides, order, h, kernel, names) if names else np.zeros((0, len(columns)))
    adjusted = [side.adjusted(slopes) for side in sides]

    jumps = Jumps.at_cutoff(adjusted, h, b, order, kernel)
    details = {"bandwidths": sizes}
    diagnostics = {}
    if treatment is None:
        estimates = _rows(jumps.sizes[:, 0], jumps.se(np.array([1.0])), level)
    else:
        details["first_stage"] = _rows(jumps.sizes[:, 1], jumps.se(np.array([0.0, 1.0])), level)
        diagnostics["first_stage_f"] = _first_stage_f(details["first_stage"], treatment)
        jump, share = jumps.sizes[0]
        gradient = np.array([1 / share, -jump / share**2])
        # The ratio is corrected by the bias of its linearisation, not by the ratio of corrected jumps.
        ratio = jump / share - np.array([0.0, gradient @ (jumps.sizes[0] - jumps.sizes[1])])
        estimates = _rows(ratio, jumps.se(gradient), level)
    details["estimates"] = estimates
    details["bins"] = binned_means(sides, level)
    details["curve"] = local_curve(adjusted, h, order, kernel, level)
    for table in (details["bins"], details["curve"]):
        table["running"] += cutoff
        table[["outcome", "ci_low", "ci_high"]] += columns[0][kept].mean()
    if names:
        details["covariates"] = pd.DataFrame({"covariate": names, "slope": slopes[:, 0]})

    robust = estimates.iloc[2]
    near = [side.within(h, kernel) for side in sides]
    n = sum(len(side.x) for side in near)
    dropped = int((~kept).sum())
    estimate = Estimate.from_covariance(
        pd.DataFrame({"term": ["effect"]}), np.array([robust.estimate]), np.array([[robust.se**2]]), level=level,
        estimand="Effect at the cutoff" if treatment is None else "Effect at the cutoff on those it moves",
        estimator=f"{'sharp' if treatment is None else 'fuzzy'} regression discontinuity",
        outcome=outcome, n_obs=n, n_units=n,
        n_clusters=n if cluster is None else len(np.unique(np.concatenate([side.cluster for side in near]))),
        diagnostics={
            "left_out": {"closer than the donut": {"count": dropped, "first": None}} if dropped else {},
            "running": running, "cutoff": cutoff, "kernel": kernel, "order": order, "bandwidth_rule": rule,
            "variance": "three nearest neighbours" if cluster is None else f"CR1 by {cluster}",
            "reference_distribution": "normal", **diagnostics,
        },
        details=details,
        call=f"regression_discontinuity(data, outcome={outcome!r}, running={running!r}, cutoff={cutoff!r}, "
        f"treatment={treatment!r}, bandwidth={bandwidth!r}, kernel={kernel!r}, order={order}, covariates={names!r}, "
        f"cluster={cluster!r}, donut={donut!r}, level={level!r})",
        data_sha256=checksum(data, used),
    )  # fmt: skip
    return replace(estimate, table=estimate.table.assign(estimate=estimates["estimate"].iloc[0]))


def sides_of(values, columns, cutoff, running, donut=0.0, *, covariates=None, cluster=None) -> list[Side]:
    """Rows below and above the cutoff in the order of the running variable, outcomes less their means."""
    check_cutoff(cutoff)
    kept = np.abs(values - cutoff) >= donut
    if not kept.any():
        raise EstimationError(
            f"All rows are closer than donut={donut:g} to the cutoff {cutoff:g}: give a smaller donut."
        )
    y = np.column_stack(columns)
    covariates = np.empty((len(values), 0)) if covariates is None else covariates
    y, covariates = y - y[kept].mean(axis=0), covariates - covariates[kept].mean(axis=0)
    order = np.argsort(values, kind="stable")
    order = order[kept[order]]
    tolerance = 8 * np.finfo(float).eps * float(np.abs(values).max())
    sides = []
    for at in (order[values[order] < cutoff], order[values[order] >= cutoff]):
        if len(at) == 0:
            raise EstimationError(
                f"Column {running!r} runs from {values[kept].min():g} to {values[kept].max():g} and has no row "
                f"{SIDES[len(sides)]} the cutoff {cutoff:g}: check the cutoff, its unit and the donut."
            )
        sides.append(
            Side(values[at] - cutoff, y[at], covariates[at], None if cluster is None else cluster[at], tolerance)
        )
    distinct, n = sum(side.distinct for side in sides), sum(len(side.x) for side in sides)
    if 1 - distinct / n >= 0.2:
        warn(
            f"Column {running!r} repeats its values, {distinct:,} distinct in {count(n, 'row')}: the estimate "
            "extrapolates between few values near the cutoff; see whether order and bandwidth change it."
        )
    return sides


def check_cutoff(cutoff) -> None:
    if not isinstance(cutoff, Real) or not np.isfinite(cutoff):
        raise ApmkitError(f"cutoff={cutoff!r} is not a finite number: give the value at which the rule switches.")


def _check_options(kernel, order, donut):
    if kernel not in tuple(KERNELS):
        raise ApmkitError(f"kernel={kernel!r} is not known: give {', '.join(map(repr, KERNELS))}.")
    if not isinstance(order, (int, np.integer)) or isinstance(order, bool) or order < 0:
        raise ApmkitError(f"order={order!r} is not the order of a polynomial: give 1 for straight lines, or 2.")
    if not isinstance(donut, Real) or not 0 <= donut < np.inf:
        raise ApmkitError(f"donut={donut!r} is not a distance: give zero or a positive number.")


def bandwidth_pair(bandwidth, meaning: str) -> tuple[float, float]:
    """Two bandwidths from one or two."""
    pair = bandwidth if isinstance(bandwidth, (tuple, list, np.ndarray)) else (bandwidth, bandwidth)
    if len(pair) != 2 or not all(isinstance(v, Real) and 0 < v < np.inf for v in pair):
        raise ApmkitError(f"bandwidth={bandwidth!r} is not usable: give a positive number, or two ({meaning}).")
    return float(pair[0]), float(pair[1])


def _sizes(sides, h, b, kernel):
    rows = []
    for name, side in zip(SIDES, sides, strict=True):
        near, wide = side.within(h, kernel), side.within(b, kernel)
        rows.append((name, h, b, len(side.x), len(near.x), len(wide.x), near.distinct, wide.distinct))
    return pd.DataFrame(rows, columns=["side", "h", "b", "n", "n_h", "n_b", "distinct_h", "distinct_b"])


def _check_sizes(sizes, running, order):
    for row in sizes.itertuples():
        for width, n, distinct in ((row.h, row.n_h, row.distinct_h), (row.b, row.n_b, row.distinct_b)):
            if distinct < order + 2:
                raise EstimationError(
                    f"Column {running!r} has {count(distinct, 'distinct value')} in {count(n, 'row')} within "
                    f"{width:g} {row.side} the cutoff, and order {order} needs {order + 2}: use a wider bandwidth."
                )


def _check_outcome(sides, width, kernel, outcome):
    y = np.concatenate([side.within(width, kernel).y[:, 0] for side in sides])
    if np.ptp(y) == 0:
        raise EstimationError(
            f"Column {outcome!r} does not vary within {width:g} of the cutoff: there is nothing to explain; check it."
        )


def _warn_of_few_clusters(sides, h, kernel, cluster):
    for name, side in zip(SIDES, sides, strict=True):
        found = len(np.unique(side.within(h, kernel).cluster))
        if found < 10:
            warn(
                f"Column {cluster!r} has {count(found, 'cluster')} {name} the cutoff within the bandwidth: the "
                "interval is likely too narrow; use finer clusters."
            )


def _slopes(sides, order, h, kernel, names):
    dependent = dependent_columns(beyond_polynomials(sides, order, h, kernel)[:, : len(names)])
    if dependent:
        raise EstimationError(
            f"Column {names[dependent[0]]!r} does not vary within the bandwidth beyond the running variable and the "
            "covariates before it: leave it out."
        )
    return covariate_slopes(sides, order, h, kernel)


def _rows(values, se, level):
    values, se = values[[0, 1, 1]], se[[0, 0, 1]]
    half = special.ndtri(0.5 + level / 2) * se
    ratio = np.divide(values, se, out=np.full(3, np.nan), where=se > 0)
    return pd.DataFrame({
        "method": ["conventional", "bias-corrected", "robust"], "estimate": values, "se": se,
        "ci_low": values - half, "ci_high": values + half, "p_value": 2 * special.ndtr(-np.abs(ratio)),
    })  # fmt: skip


def _first_stage_f(rows, treatment):
    jump, se = rows.loc[0, ["estimate", "se"]]
    if abs(jump) <= 1e-12:
        raise EstimationError(
            f"Column {treatment!r} does not jump at the cutoff: the rule moves no one there; check the cutoff."
        )
    f = float((jump / se) ** 2) if se > 0 else np.inf
    if f < 10:
        warn(
            f"Column {treatment!r} jumps by {jump:.3g} at the cutoff with F = {f:.1f}, below 10: the interval of the "
            "ratio cannot be trusted; report the jump of the outcome itself (leave out treatment)."
        )
    return f
