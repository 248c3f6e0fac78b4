"""A regression on something that few clusters differ in, with every answer that few clusters allow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from apmkit.columns import checksum, finite
from apmkit.designs.sample import check_columns
from apmkit.errors import ApmkitError, EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.inference.cluster_sums import of_arrays
from apmkit.inference.cluster_variance import cluster_covariance
from apmkit.inference.cluster_weights import ClusterWeights, Kind
from apmkit.inference.few_clusters import FEW
from apmkit.inference.wild_bootstrap import bootstrap_tests
from apmkit.options import check_level

MOST_PERMUTATIONS = 50_000
"""All orders of the clusters are used once where there are no more, which is so up to eight clusters."""


def clustered_regression(
    data: pd.DataFrame,
    *,
    outcome: str,
    regressor: str,
    cluster: str,
    controls: Sequence[str] = (),
    weights: str | None = None,
    bootstrap_weights: Kind = "webb",
    draws: int = 9_999,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Slope of an outcome on a regressor, with inference for few clusters by several ways side by side.

    Made for a cross-section, for instance of changes, in which whole clusters share their dose. The estimate carries
    the CR2 variance with Satterthwaite degrees of freedom. Beside it stand CR1 with t(G - 1), the restricted wild
    cluster bootstrap and, where the regressor is constant within clusters, its permutation among clusters.

    Parameters
    ----------
    data : DataFrame
        One row per unit.
    outcome, regressor, cluster : str
        Columns.
    controls : list of str
        Columns of further regressors; a constant is always there.
    weights : str, optional
        Column of weights above zero.
    bootstrap_weights : {"webb", "rademacher", "mammen"}
        Webb's six points for fewer than about ten clusters.
    draws : int
        Of the bootstrap, and of the permutation where more than 50,000 orders exist.
    level : float
    seed : int

    Returns
    -------
    Estimate
        One term, the regressor. `details` holds `inference`: one row per `method` with `se`, `df`, `p_value`,
        `ci_low`, `ci_high`; the permutation, of the estimate and of its t statistic, has no interval. It is exact if
        doses were assigned to clusters by lot and change no outcome; else it asks how unusual the slope is.
        `diagnostics` holds `effective_clusters`: how many clusters of equal weight would carry as much.

    Notes
    -----
    No way is exact with few clusters of unlike size. With eight clusters of one to three units each, doses in two
    clumps and no effect, 1,000 simulated draws were rejected at 5% by CR1 in 9.9%, the wild bootstrap in 8.2%, CR2 in
    6.0%, permutation of the t statistic in 5.9% and of the estimate in 4.2%.

    Raises
    ------
    ApmkitError
        A column is absent, missing or not finite, a weight is not above zero, or an option is not known.
    EstimationError
        Fewer than three clusters, too few rows, or regressors that repeat each other.

    Warns
    -----
    DesignWarning
        There are few clusters.

    References
    ----------
    Bell, R. and McCaffrey, D. (2002), Survey Methodology 28(2); Webb, M. (2023), Canadian Journal of Economics 56(3);
    MacKinnon, J. and Webb, M. (2020), Journal of Econometrics 218(2), on permutation with few clusters; Carter, A.,
    Schnepel, K. and Steigerwald, D. (2017), Review of Economics and Statistics 99(4), on effective clusters.

    Examples
    --------
    >>> import warnings
    >>> warnings.simplefilter("ignore")
    >>> frame = pd.DataFrame({
    ...     "province": list("aabbccddee"), "dose": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
    ...     "change": [0.1, -0.4, 1.2, 0.7, 1.4, 1.1, 3.3, 2.2, 3.1, 3.0],
    ... })
    >>> found = clustered_regression(frame, outcome="change", regressor="dose", cluster="province")
    >>> found.table[["term", "estimate", "se", "df"]].round(3)
       term  estimate     se     df
    0  dose      0.82  0.075  1.954
    >>> found.details["inference"]["p_value"].round(3).tolist()
    [0.0, 0.009, 0.04, 0.017, 0.017]
    """
    check_level(level)
    controls = [controls] if isinstance(controls, str) else list(controls)
    columns = check_columns(
        data, {"weights": weights}, outcome=outcome, regressor=regressor, cluster=cluster, controls=controls
    )
    if data[cluster].isna().any():
        raise ApmkitError(f"Column {cluster!r} has rows without a cluster: drop them or name one.")
    y, dose = finite(data, outcome), finite(data, regressor)
    mass = np.ones(len(y)) if weights is None else finite(data, weights)
    if (mass <= 0).any():
        raise ApmkitError(f"Column {weights!r} holds {mass.min():g}: weights are above zero; drop rows without weight.")
    x = np.column_stack([dose, np.ones(len(y)), *(finite(data, name) for name in controls)])
    labels, codes = np.unique(data[cluster].to_numpy(), return_inverse=True)
    if len(labels) < 3:
        raise EstimationError(f"{cluster!r} has {len(labels)} clusters: a standard error between them needs three.")

    y = y - y.mean()  # a constant is among the regressors, so that a shift changes nothing but rounding
    root = np.sqrt(mass)
    scaled = np.abs(x * root[:, None]).max(axis=0)
    if len(y) <= x.shape[1] or np.linalg.matrix_rank(x * root[:, None] / scaled, tol=1e-9) < x.shape[1]:
        raise EstimationError(
            f"{len(y)} rows do not tell {x.shape[1]} coefficients apart: {regressor!r} does not vary beyond the "
            "controls; leave some out."
        )
    coefficients = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]
    residuals, slope = y - x @ coefficients, float(coefficients[0])
    given = None if weights is None else mass
    variances = {kind: cluster_covariance(x, residuals, codes, weights=given, kind=kind) for kind in ("CR1", "CR2")}
    covariance, df = variances["CR2"]
    terms = pd.DataFrame({"term": [regressor]})
    fields = {"estimand": "slope", "outcome": outcome, "n_obs": len(y), "n_units": len(y), "n_clusters": len(labels)}
    rows = []
    for kind, (matrix, degrees) in variances.items():
        row = Estimate.from_covariance(
            terms, np.array([slope]), matrix[:1, :1], level=level, degrees_of_freedom=degrees[:1], estimator=kind,
            **fields,
        ).table.iloc[0]  # fmt: skip
        rows.append((kind, row["se"], row["df"], row["p_value"], row["ci_low"], row["ci_high"]))

    sums, _ = of_arrays(x, residuals, codes, given)
    signs = ClusterWeights.of(len(labels), bootstrap_weights, draws, seed)
    factor = len(labels) / (len(labels) - 1) * (len(y) - 1) / (len(y) - x.shape[1])
    wild = next(bootstrap_tests(sums, [slope], factor, signs, restricted=True, level=level))
    if wild is None:
        raise EstimationError(f"The slope on {regressor!r} has no variance between clusters: nothing can be inferred.")
    rows.append((f"wild bootstrap ({bootstrap_weights})", np.nan, np.nan, wild.p_value, wild.ci_low, wild.ci_high))

    within = _net_of(x[:, 1:] * root[:, None], dose * root)
    parts = np.bincount(codes, within**2)
    effective = float(parts.sum() ** 2 / np.square(parts).sum())
    diagnostics = {"effective_clusters": effective, "bootstrap_p_error": wild.p_value_error, "left_out": {}}
    first = np.array([dose[codes == at][0] for at in range(len(labels))])
    if np.array_equal(first[codes], dose):
        found, n, exact = _permuted(y, first, codes, x[:, 1:], root, draws, seed)
        rows += [(name, np.nan, np.nan, p, np.nan, np.nan) for name, p in found.items()]
        diagnostics |= {"permutations": n, "permutation_exact": exact}
    if len(labels) < FEW:
        warn(
            f"{len(labels)} clusters of {cluster!r} are few (fewer than {FEW}) and carry as much as {effective:.1f} of "
            "equal weight: read all rows of details['inference'], not the smallest p value."
        )
    return Estimate.from_covariance(
        terms,
        np.array([slope]),
        covariance[:1, :1],
        level=level,
        degrees_of_freedom=df[:1],
        estimator="Least squares, CR2" if weights is None else "Weighted least squares, CR2",
        diagnostics=diagnostics,
        details={"inference": pd.DataFrame(rows, columns=["method", "se", "df", "p_value", "ci_low", "ci_high"])},
        call=f"clustered_regression(data, outcome={outcome!r}, regressor={regressor!r}, cluster={cluster!r}, "
        f"controls={controls!r}, weights={weights!r}, bootstrap_weights={bootstrap_weights!r}, draws={draws}, "
        f"level={level}, seed={seed})",
        seed=seed,
        data_sha256=checksum(data, columns),
        **fields,
    )


def _net_of(others: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What is left of values, shape (..., n), after regression on `others`, shape (n, k)."""
    basis = np.linalg.qr(others / np.maximum(np.abs(others).max(axis=0), 1e-300))[0]
    return values - (values @ basis) @ basis.T


@cache
def _every_order(g: int) -> np.ndarray:
    """All orders of g clusters, the given one first, shape (g!, g)."""
    return np.array(list(itertools.permutations(range(g))), dtype=np.int8)


def _permuted(y, doses, codes, others, root, draws, seed) -> tuple[dict[str, float], int, bool]:
    """P values of the slope and its t statistic among orders of the clusters' doses, their number, whether all."""
    g = len(doses)
    exact = math.factorial(g) <= MOST_PERMUTATIONS
    if exact:
        orders = _every_order(g)
    else:
        random = np.random.default_rng(seed)
        orders = np.vstack([np.arange(g), random.permuted(np.tile(np.arange(g), (draws, 1)), axis=1)])
    outcome = _net_of(others * root[:, None], y * root)
    moved = _net_of(others * root[:, None], (doses[orders] - doses.mean())[:, codes] * root)
    squares = np.square(moved).sum(axis=1)
    varies = squares > 1e-12 * squares.max()  # an order may fall together with a control
    moved, squares = moved[varies], squares[varies]
    slopes = moved @ outcome / squares
    contributions = moved * (outcome - slopes[:, None] * moved)
    scores = np.stack([contributions[:, codes == at].sum(axis=1) for at in range(g)], axis=1)
    t = slopes * squares / np.sqrt(np.square(scores).sum(axis=1))
    values = {"permutation of the estimate": np.abs(slopes), "permutation of the t statistic": np.abs(t)}
    return {name: float((v >= v[0] * (1 - 1e-9)).mean()) for name, v in values.items()}, len(slopes), exact
