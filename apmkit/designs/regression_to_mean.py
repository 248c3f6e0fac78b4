"""Regression to the mean: how far would those selected for high values have fallen anyway?"""

from __future__ import annotations

from numbers import Real

import numpy as np
import pandas as pd
from scipy import stats

from apmkit.columns import checksum, count, finite
from apmkit.designs.sample import check_columns, clusters, covariance_of, two_groups
from apmkit.errors import ApmkitError, EstimationError, warn
from apmkit.estimate import Estimate

REFERENCES = {
    "earlier_selection": "units that the same rule would have selected a period earlier",
    "earlier_line": "line from the earlier period to the period of selection",
    "not_selected": "line through the units that were not selected",
    "normal": "normal formula",
}


def regression_to_the_mean(
    data: pd.DataFrame,
    *,
    before: str,
    after: str,
    threshold: float | None = None,
    selected: str | None = None,
    earlier: str | None = None,
    reliability: float | None = None,
    reference: str | None = None,
    cluster: str | None = None,
    level: float = 0.95,
) -> Estimate:
    """Split the change of units selected for high values into what selection alone explains and what remains.

    Units chosen because they spent much in one period were partly unlucky in it, and spend less in the next with no
    programme at all. What they would have done is taken from up to four references, and the change beyond it remains:

    * "earlier_selection" (needs `earlier` and `threshold`): the mean change, one period earlier, of units above the
      same threshold then. No programme existed, so all of it is selection and trend. Needs no shape, only that the
      two periods are alike: put amounts in prices of one year.
    * "earlier_line" (needs `earlier`): the least-squares line from `earlier` to `before` over all units, applied to
      the values of the selected.
    * "not_selected": the line from `before` to `after` through units not selected, carried on to the selected.
      Selection by `before` does not bend it; a curve beyond the threshold would.
    * "normal": mean fall (1 - r) s C(z) with z = (threshold - mean) / s and C(z) the mean of a standard normal beyond z
      (Barnett et al. 2005): for normal values without trend. The reliability r is that given, or the correlation of
      `earlier` and `before`.

    Parameters
    ----------
    data : DataFrame
        One row per unit, selected or not.
    before, after : str
        Columns with the outcome in the period of selection and after it.
    threshold : float, optional
        Units with `before` above it were selected.
    selected : str, optional
        Column of 0 and 1 with who was selected, in place of `threshold`.
    earlier : str, optional
        Column with the outcome in the period before that of selection.
    reliability : float, optional
        Correlation of two periods of a unit without a programme, between 0 and 1, taken as known.
    reference : str, optional
        Which of the four the result reports; the first that the data allow by default.
    cluster : str, optional
        Column with the level at which units are correlated.
    level : float
        Level of the intervals.

    Returns
    -------
    Estimate
        Terms "observed change" (mean of after less before among the selected), "expected change" (from selection alone)
        and "remaining change"; delta method, normal reference distribution. `details["references"]`: for each reference
        that the data allow, `expected`, `remaining` with `se`, `ci_low`, `ci_high`. `details["means"]`: for the figure.
        `diagnostics`: `n_selected`, `share_explained` (expected over observed), `reliability`.

    Raises
    ------
    ApmkitError
        A column or an option is unusable, or neither or both of `threshold` and `selected` are given.
    EstimationError
        Fewer than two units on one side, values that do not vary, or a reference that the data do not allow.

    References
    ----------
    Barnett, van der Pols & Dobson (2005), Int J Epidemiol 34, box 2. Davis (1976), Am J Epidemiol 104. Galton (1886),
    J Anthropol Inst 15.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(0)
    >>> lasting = random.normal(10, 2, size=5000)
    >>> year = lambda: lasting + random.normal(0, 2, size=5000)
    >>> frame = pd.DataFrame({"y2020": year(), "y2021": year(), "y2022": year()})
    >>> result = regression_to_the_mean(frame, earlier="y2020", before="y2021", after="y2022", threshold=14)
    >>> result.table[["term", "estimate"]].round(1)
                   term  estimate
    0   observed change      -2.6
    1   expected change      -2.4
    2  remaining change      -0.2
    """
    optional = {"earlier": earlier, "selected": selected, "cluster": cluster}
    columns = check_columns(data, optional, before=before, after=after)
    if (threshold is None) == (selected is None):
        raise ApmkitError("Give threshold or selected, one of them: it says which units were selected.")
    if threshold is not None and not (isinstance(threshold, Real) and np.isfinite(threshold)):
        raise ApmkitError(
            f"threshold={threshold!r} is not a finite number: give the value above which units were selected."
        )
    if reliability is not None and not (isinstance(reliability, Real) and 0 <= reliability < 1):
        raise ApmkitError(f"reliability={reliability!r} is not from 0 to below 1: give a correlation within units.")
    if reference is not None and reference not in tuple(REFERENCES):
        raise ApmkitError(f"reference={reference!r} is not known: give one of {', '.join(REFERENCES)}.")
    x, y = finite(data, before), finite(data, after)
    middle = x.mean()
    x, y = x - middle, y - middle
    cut = None if threshold is None else float(threshold) - middle
    chosen = x > cut if selected is None else two_groups(data, selected)
    rule = f"{before!r} above {threshold:g}" if selected is None else f"{selected!r} = 1"
    if chosen.sum() < 2:
        raise EstimationError(f"{count(int(chosen.sum()), 'unit')} with {rule}: two are needed; change the rule.")
    _refuse_constant(x, before)
    if x[chosen].mean() < x.mean():
        warn(
            f"The selected have a mean of {before!r} below that of all units: the check is for selection of high "
            "values; turn the sign of the outcome for selection of low ones."
        )
    p = None if earlier is None else finite(data, earlier) - middle
    if p is not None:
        _refuse_constant(p, earlier)

    at_selected = chosen / chosen.sum()
    gap = at_selected * (x - x[chosen].mean())  # influence on the mean of `before` among the selected
    expected = {}
    if p is not None and cut is not None and (p > cut).sum() >= 2:
        change = x - p
        then = p > cut
        mean = change[then].mean()
        expected["earlier_selection"] = mean, then / then.sum() * (change - mean)
    if p is not None:
        value, influence, slope = _line(p, x, np.ones(len(x), dtype=bool), x[chosen].mean())
        expected["earlier_line"] = value - x[chosen].mean(), influence + (slope - 1) * gap
    if (~chosen).sum() > 2 and np.ptp(x[~chosen]) > 0:
        value, influence, slope = _line(x, y, ~chosen, x[chosen].mean())
        expected["not_selected"] = value - x[chosen].mean(), influence + (slope - 1) * gap
    r, r_influence = _reliability(reliability, p, x)
    if cut is not None and r is not None:
        expected["normal"] = _normal(x, cut, r, r_influence)
    if reference is None:
        if not expected:
            raise EstimationError(f"All units have {rule}: give earlier, or the units that were not selected.")
        reference = next(name for name in REFERENCES if name in expected)
    if reference not in expected:
        raise EstimationError(
            f"reference={reference!r} ({REFERENCES[reference]}) cannot be had from these "
            f"data, which allow {', '.join(expected) or 'none'}: give the columns it needs."
        )
    observed = (y - x)[chosen].mean()
    own = at_selected * (y - x - observed)
    at, n_clusters = clusters(data, cluster)
    table = pd.DataFrame({"term": list(expected), "words": [REFERENCES[name] for name in expected]})
    every = _estimate(
        table,
        np.array([observed - value for value, _ in expected.values()]),
        np.column_stack([own - influence for _, influence in expected.values()]),
        at, n_clusters, level, after,
    ).table.rename(columns={"estimate": "remaining", "term": "reference"})  # fmt: skip
    every.insert(2, "expected", [value for value, _ in expected.values()])
    value, influence = expected[reference]
    return _estimate(
        pd.DataFrame({"term": ["observed change", "expected change", "remaining change"]}),
        np.array([observed, value, observed - value]),
        np.column_stack([own, influence, own - influence]),
        at, n_clusters, level, after,
        diagnostics={
            "reference": reference,
            "reference_distribution": "normal",
            "n_selected": int(chosen.sum()),
            "share_explained": float(value / observed) if observed else np.nan,
            "reliability": None if r is None else float(r),
        },
        details={
            "references": every,
            "means": pd.DataFrame({
                "group": ["selected", "not selected"],
                "before": [x[chosen].mean() + middle, x[~chosen].mean() + middle if (~chosen).any() else np.nan],
                "after": [y[chosen].mean() + middle, y[~chosen].mean() + middle if (~chosen).any() else np.nan],
            }),
        },
        call=f"regression_to_the_mean(before={before!r}, after={after!r}, {rule}, reference={reference!r})",
        data_sha256=checksum(data, columns),
    )  # fmt: skip


def _estimate(terms, estimates, influence, at, n_clusters, level, outcome, **fields) -> Estimate:
    return Estimate.from_covariance(
        terms,
        estimates,
        covariance_of(influence, at, n_clusters),
        level=level,
        estimand="change of the selected beyond regression to the mean",
        estimator="regression to the mean",
        outcome=outcome,
        n_obs=len(at),
        n_units=len(at),
        n_clusters=n_clusters,
        **fields,
    )


def _refuse_constant(values, column) -> None:
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise EstimationError(f"Column {column!r} does not vary: without spread nothing regresses to the mean.")


def _line(x, y, rows, at) -> tuple[float, np.ndarray, float]:
    """Least-squares line through `rows`, read at a point: value, influence of each row, slope."""
    n, centre = rows.sum(), x[rows].mean()
    spread = ((x - centre)[rows] ** 2).sum()
    slope = (x - centre)[rows] @ y[rows] / spread
    residuals = rows * (y - y[rows].mean() - slope * (x - centre))
    value = y[rows].mean() + slope * (at - centre)
    return value, residuals * (1 / n + (at - centre) * (x - centre) / spread), slope


def _reliability(given, earlier, before) -> tuple[float | None, np.ndarray | float]:
    """Within-unit correlation with the influence of each row."""
    if given is not None:
        return float(given), 0.0
    if earlier is None:
        return None, 0.0
    a, b = ((v - v.mean()) / v.std() for v in (earlier, before))
    r = (a * b).mean()
    return float(r), (a * b - r * (a**2 + b**2) / 2) / len(a)


def _normal(x, cut, r, r_influence) -> tuple[float, np.ndarray]:
    """Expected change -(1 - r) s C(z) of normal values above the cut, with the influence of each row."""
    n, mean, s = len(x), x.mean(), x.std()
    z = (cut - mean) / s
    beyond = np.exp(stats.norm.logpdf(z) - stats.norm.logsf(z))
    mean_influence = (x - mean) / n
    s_influence = ((x - mean) ** 2 - s**2) / (2 * s * n)
    z_influence = -(mean_influence + z * s_influence) / s
    turn = beyond * (beyond - z)
    return -(1 - r) * s * beyond, -(
        (1 - r) * (s_influence * beyond + s * turn * z_influence) - r_influence * s * beyond
    )
