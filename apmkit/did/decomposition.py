"""What a two-way fixed effects coefficient averages: comparisons of cohorts, and effects with their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from apmkit.did.controls import control_regressors, known_covariates, unit_groups
from apmkit.did.kernel import Groups, Moments, cell_weights
from apmkit.did.sample import Sample
from apmkit.did.two_way import TwoWay
from apmkit.errors import ApmkitError, EstimationError
from apmkit.estimate import Estimate
from apmkit.options import check_estimate
from apmkit.panel import Panel

KINDS = (
    "treated vs never treated",
    "earlier vs later treated",
    "later vs earlier treated",
    "between treated cohorts",
    "within cohorts",
)


def bacon_decomposition(panel: Panel, *, controls: Sequence[str] = ()) -> pd.DataFrame:
    """The comparisons of two cohorts of which the two-way fixed effects coefficient is the weighted mean.

    Comparisons of later with earlier treated cohorts use units as controls whose own effect may still be changing:
    where effects grow or fade they pull the coefficient away from every effect.

    Parameters
    ----------
    panel : Panel
        Balanced. Units treated from the first period are left out, as `twfe` leaves them out.
    controls : list of str
        Covariates of the panel, as in `twfe`. A pair of treated cohorts is then one comparison, and units of one
        cohort are compared with each other, because controls make their predicted treatment differ.

    Returns
    -------
    DataFrame
        `treated` and `comparison` (cohorts; ``"never"``, or missing within cohorts), `kind`, `estimate` in units of
        the outcome, and `weight`. The weights sum to one, and the weighted mean is the coefficient of `twfe`.

    Raises
    ------
    EstimationError
        The panel is not balanced, its weights change over time, or there is one cohort and no never-treated unit.

    References
    ----------
    Goodman-Bacon, A. (2021), Journal of Econometrics 225(2), theorem 1; with controls, the section on
    controlling for time-varying covariates.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aaabbbccc"), "year": [2019, 2020, 2021] * 3,
    ...     "visits": [5.0, 4, 3, 6, 6, 4, 5, 5, 5], "start": [2020] * 3 + [2021] * 3 + [None] * 3,
    ... })
    >>> parts = bacon_decomposition(Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start"))
    >>> parts[["treated", "comparison", "estimate", "weight"]].round(3).to_dict("split")["data"]
    ... # doctest: +NORMALIZE_WHITESPACE
    [[2020, 'never', -1.5, 0.333], [2021, 'never', -2.0, 0.333], [2020, 2021, -1.0, 0.167], [2021, 2020, -1.0, 0.167]]
    """
    sample = Sample.of(panel)
    panel = sample.panel
    if not panel.is_balanced:
        cells = panel.n_units * len(panel.periods)
        raise EstimationError(
            f"The decomposition needs a balanced panel and {cells - panel.n_obs:,} of {cells:,} unit-periods are not "
            "observed: keep the units observed in every period."
        )
    if panel.sums is None and panel.weights is not None and panel.weights.ndim == 2:
        raise EstimationError(
            "The decomposition needs weights that are constant within units: give each unit one weight."
        )
    groups = Groups.of(panel)
    if len(groups.n) == 1:
        raise EstimationError(
            f"All units start treatment in {groups.cohorts[0]:.0f}: there is nobody to compare with; add units that "
            "start later or never."
        )
    controls = known_covariates(panel, controls, "controls")
    table = _controlled(sample, groups, controls) if controls else _plain(groups)
    order = pd.Categorical(table["kind"], KINDS)
    return table.iloc[np.lexsort((-table["weight"], order.codes))].reset_index(drop=True)


def treatment_weights(estimate: Estimate, term: str | None = None) -> pd.DataFrame:
    """The weight that an estimate puts on the effect in each cohort and period under treatment.

    Parameters
    ----------
    estimate : Estimate
        From any difference-in-differences estimator of this package.
    term : str, optional
        Which term; not needed if there is one.

    Returns
    -------
    DataFrame
        `cohort`, `period`, `relative_time`, `share` of all observations under treatment (by their weights, if the
        panel has weights), and `weight`. Both sum to one where the estimate is of an effect of treatment.

    Raises
    ------
    ApmkitError
        The estimator has no such weights, or there is no such term.

    References
    ----------
    de Chaisemartin, C. and D'Haultfoeuille, X. (2020), American Economic Review 110(9), theorem 1.

    Examples
    --------
    >>> import apmkit as apm
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aaabbb"), "year": [2019, 2020, 2021] * 2,
    ...     "visits": [5.0, 4, 3, 6, 6, 4], "start": [2020] * 3 + [2021] * 3,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> treatment_weights(apm.twfe(panel, small_sample="none"))["weight"].round(3).tolist()
    [1.0, -0.5, 0.5]
    """
    check_estimate(estimate)
    weights = cell_weights(estimate, term)
    groups = estimate.combination.groups
    labels = ["never" if np.isinf(g) else int(g) for g in groups.cohorts]
    mass = pd.DataFrame(groups.mass, index=pd.Index(labels, name="cohort"), columns=weights.columns)
    cells = pd.DataFrame(
        {"weight": weights.stack(), "share": mass.groupby(level=0, sort=False).sum().stack()}
    ).reset_index()  # fmt: skip
    cells = cells[(cells["cohort"] != "never") & (cells["share"] > 0)].astype({"cohort": int})
    cells = cells[cells["period"] >= cells["cohort"]].reset_index(drop=True)
    cells["share"] /= cells["share"].sum()
    cells["relative_time"] = cells["period"] - cells["cohort"]
    return cells[["cohort", "period", "relative_time", "share", "weight"]]


def negative_weights(estimate: Estimate, term: str | None = None) -> pd.Series:
    """How far an estimate can be from the effects it averages when effects differ between cohorts and periods.

    Parameters
    ----------
    estimate : Estimate
        Of one effect of treatment, for instance from `twfe`.
    term : str, optional
        Which term; not needed if there is one.

    Returns
    -------
    Series
        `effects` (cells of cohort and period under treatment), `negative` (of those, with a weight below zero),
        `negative_sum` (of their weights), `sd_zero` and `sd_opposite`, in units of the outcome: the smallest standard
        deviation of effects over treated observations with which the mean effect could be zero, and with which every
        effect could have the sign opposite to the estimate. Infinite where no differences between effects could do so.

    Raises
    ------
    ApmkitError
        The weights do not sum to one: the term is no effect of treatment. Or the estimator has no weights.

    References
    ----------
    de Chaisemartin, C. and D'Haultfoeuille, X. (2020), American Economic Review 110(9), corollary 1.

    Examples
    --------
    >>> import apmkit as apm
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aaabbb"), "year": [2019, 2020, 2021] * 2,
    ...     "visits": [5.0, 4, 3, 6, 6, 4], "start": [2020] * 3 + [2021] * 3,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> negative_weights(apm.twfe(panel, small_sample="none")).round(3).to_dict()
    ... # doctest: +NORMALIZE_WHITESPACE
    {'effects': 3.0, 'negative': 1.0, 'negative_sum': -0.5, 'sd_zero': 0.535, 'sd_opposite': 0.943}
    """
    cells = treatment_weights(estimate, term)
    total = float(cells["weight"].sum())
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise ApmkitError(
            f"The weights of this term on effects of treatment sum to {round(total, 3) + 0:g}, not to one: choose a "
            "term that measures an effect."
        )
    row = 0 if term is None else estimate.table["term"].tolist().index(term)
    size = abs(float(estimate.table["estimate"].iloc[row]))
    # Per observation, so that weights have mean one; from the largest.
    cells = cells.assign(ratio=cells["weight"] / cells["share"]).sort_values("ratio", ascending=False)
    ratio, share = cells["ratio"].to_numpy(), cells["share"].to_numpy()
    spread = math.sqrt(share @ (ratio - 1) ** 2)
    negative = cells.loc[cells["weight"] < -1e-12, "weight"]
    # Sums over the cells from each one to the smallest: P, S and T of the corollary.
    p, s, t = (np.cumsum(values[::-1])[::-1] for values in (share, share * ratio, share * ratio**2))
    beyond = np.flatnonzero(ratio < -s / np.where(p < 1 - 1e-12, 1 - p, np.inf))
    opposite = math.inf
    if len(negative) and len(beyond):
        at = beyond[0]
        opposite = size / math.sqrt(t[at] + s[at] ** 2 / (1 - p[at]))
    return pd.Series(
        {
            "effects": len(cells),
            "negative": len(negative),
            "negative_sum": float(negative.sum()),
            "sd_zero": size / spread if spread > 1e-9 else math.inf,
            "sd_opposite": opposite,
        }
    )


def _label(cohort: float) -> object:
    return "never" if math.isinf(cohort) else int(cohort)


def _pairs(groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """Places of the earlier and the later cohort of every pair; never treated is the latest."""
    return np.triu_indices(len(groups.n), 1)


def _means(groups: Groups, values: np.ndarray) -> np.ndarray:
    """Weighted mean of a unit's values by cohort, shape (n_cohorts, n_periods)."""
    weights = groups.panel.weights
    sums = np.zeros(groups.profile.shape)
    np.add.at(sums, groups.of_unit, values if weights is None else values * weights[:, None])
    return sums / groups.n[:, None]


def _plain(groups: Groups) -> pd.DataFrame:
    """The pairs of cohorts; two treated cohorts make two comparisons."""
    mean, treated = Moments.of(groups).total / groups.n[:, None], groups.treated
    exposed = treated.mean(axis=1)
    early, late = _pairs(groups)
    both = np.isfinite(groups.cohorts[late])

    def contrast(after: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Change of the earlier cohort less change of the later one between two sets of periods."""
        gap = mean[early] - mean[late]
        return (gap * after).sum(axis=1) / after.sum(axis=1) - (gap * before).sum(axis=1) / before.sum(axis=1)

    mass = groups.n[early] * groups.n[late]
    between = treated[early] & ~treated[late]
    forward = contrast(between, ~treated[early])
    early_cohorts = [_label(g) for g in groups.cohorts[early]]
    late_cohorts = [_label(g) for g in groups.cohorts[late]]
    first = pd.DataFrame({
        "treated": early_cohorts, "comparison": late_cohorts,
        "kind": np.where(both, "earlier vs later treated", "treated vs never treated"), "estimate": forward,
        "weight": mass * (exposed[early] - exposed[late]) * (1 - exposed[early]),
    })  # fmt: skip
    early, late, mass, between = early[both], late[both], mass[both], between[both]
    second = pd.DataFrame({
        "treated": [_label(g) for g in groups.cohorts[late]], "comparison": [_label(g) for g in groups.cohorts[early]],
        "kind": "later vs earlier treated", "estimate": -contrast(treated[late], between),
        "weight": mass * exposed[late] * (exposed[early] - exposed[late]),
    })  # fmt: skip
    table = pd.concat([first, second], ignore_index=True)
    table["weight"] /= table["weight"].sum()
    return table


def _controlled(sample: Sample, groups: Groups, controls: Sequence[str]) -> pd.DataFrame:
    """The pairs of cohorts by what controls leave of treatment, and the comparisons within cohorts."""
    _, regressors = control_regressors(sample, controls)
    units = unit_groups(sample.panel)
    residual = TwoWay(units.n, units.profile).residual(
        np.concatenate([groups.treated[groups.of_unit][None], regressors])
    )
    root = np.sqrt(units.mass).ravel()
    d, x = residual[0], residual[1:].reshape(len(regressors), -1)
    slopes = np.linalg.lstsq((x * root).T, d.ravel() * root)[0]
    d = d - (slopes @ x).reshape(d.shape)
    y = sample.panel.outcomes - sample.panel.outcomes.mean(axis=0)
    y -= y.mean(axis=1, keepdims=True)
    own, mean = _means(groups, d), _means(groups, y)
    within = d - own[groups.of_unit]
    variance_within = float((units.mass * within**2).sum())
    early, late = _pairs(groups)
    gap = own[early] - own[late]
    mass = groups.n[early] * groups.n[late] / groups.n.sum()
    variance = (gap**2).sum(axis=1)
    never = np.isinf(groups.cohorts[late])
    table = pd.DataFrame({
        "treated": [_label(g) for g in groups.cohorts[early]], "comparison": [_label(g) for g in groups.cohorts[late]],
        "kind": np.where(never, "treated vs never treated", "between treated cohorts"),
        "estimate": (gap * (mean[early] - mean[late])).sum(axis=1) / variance,
        "weight": mass * variance,
    })  # fmt: skip
    # Where controls do not vary within cohorts there is nothing to compare there.
    if variance_within > 1e-12 * float((units.mass * d**2).sum()):
        estimate = float((units.mass * within * y).sum()) / variance_within
        table = table.astype({"treated": object})
        table.loc[len(table)] = [None, None, "within cohorts", estimate, variance_within]
    table["weight"] /= table["weight"].sum()
    return table
