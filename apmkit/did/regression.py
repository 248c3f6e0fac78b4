"""Two-way fixed effects regressions: one effect, an event study, and Sun and Abraham (2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy.linalg import qr, solve_triangular

from apmkit.did.blocks import Blockwise, blocks_of_groups
from apmkit.did.controls import control_regressors, known_covariates, unit_groups
from apmkit.did.kernel import (
    Combination,
    Groups,
    Moments,
    check_small_sample,
    finish,
    fixest_factor,
)
from apmkit.did.sample import Sample
from apmkit.did.two_way import TwoWay
from apmkit.errors import EstimationError
from apmkit.estimate import Estimate
from apmkit.panel import Panel


def twfe(
    panel: Panel,
    *,
    controls: Sequence[str] = (),
    small_sample: Literal["none", "fixest"] = "fixest",
    level: float = 0.95,
) -> Estimate:
    """One effect of treatment by two-way fixed effects.

    The regression of the outcome on unit effects, period effects and a treatment dummy. With staggered timing it also
    compares units with others already treated, and may weight some effects negatively; see `bacon_decomposition` and
    `negative_weights`.

    Parameters
    ----------
    panel : Panel
    controls : list of str
        Covariates of the panel. One that is constant within units enters once for each period but the first. A control
        that treatment itself moves hides a part of the effect.
    small_sample : {"none", "fixest"}
        Factor and reference distribution of the standard errors. ``"fixest"`` is R ``fixest``.
    level : float
        Level of the confidence interval.

    Returns
    -------
    Estimate
        One term, in units of the outcome; coefficients of controls in ``details["controls"]``.

    Raises
    ------
    EstimationError
        Treatment does not vary beyond unit, period and controls; a control is no covariate of the panel.

    References
    ----------
    Goodman-Bacon, A. (2021), Journal of Econometrics 225(2), eq. 2.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccdd"), "year": [2020, 2021] * 4,
    ...     "visits": [5.0, 4.0, 6.0, 4.0, 5.0, 5.0, 7.0, 8.0], "start": [2021] * 4 + [None] * 4,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> twfe(panel).table["estimate"].round(6).tolist()
    [-2.0]
    """
    sample = Sample.of(panel)
    sample.drop_seen_once()
    estimator = "two-way fixed effects"
    controls = known_covariates(sample.panel, controls, "controls")
    if not controls:
        groups, effect = Groups.of(sample.panel), pd.DataFrame({"term": ["ATT"]})
        return fit_regression(
            sample, groups, groups.treated[None].astype(float), effect, estimator, small_sample, level,
            f"twfe(panel, small_sample={small_sample!r}, level={level})",
        )  # fmt: skip
    names, values = control_regressors(sample, controls)
    groups = unit_groups(sample.panel)
    call = f"twfe(panel, controls={controls!r}, small_sample={small_sample!r}, level={level})"
    terms = pd.DataFrame({"term": ["ATT", *names]})
    fit = fit_regression(
        sample, groups, np.concatenate([groups.treated[None], values]), terms, estimator, small_sample, level, call
    )
    rows = fit.table[1:].reset_index(drop=True)
    return replace(fit.term("ATT"), details={"controls": rows}, call=call)


def event_study(
    panel: Panel,
    *,
    bins: tuple[int, int] | None = None,
    small_sample: Literal["none", "fixest"] = "fixest",
    level: float = 0.95,
) -> Estimate:
    """Effects by time since treatment in one two-way fixed effects regression.

    The period before treatment, relative time -1, is the reference; never-treated units belong to it too.

    Parameters
    ----------
    panel : Panel
    bins : (int, int), optional
        Pool relative times at or before the first number and at or after the second. Nothing is pooled by default.
    small_sample : {"none", "fixest"}
        Factor and reference distribution of the standard errors. ``"fixest"`` is R ``fixest``.
    level : float
        Level of the confidence intervals.

    Returns
    -------
    Estimate
        One term for each relative time but -1. Where effects differ between cohorts a term mixes relative times
        (Sun and Abraham 2021); compare with `sun_abraham`.

    Raises
    ------
    EstimationError
        No unit is observed at relative time -1, or `bins` do not enclose -1 and 0.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aaabbbcccddd"), "year": [2019, 2020, 2021] * 4,
    ...     "visits": [5.0, 5, 4, 6, 6, 4, 5, 5, 5, 7, 7, 8], "start": [2021] * 6 + [None] * 6,
    ... })
    >>> event_study(Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")).table["term"].tolist()
    ['relative_time=-2', 'relative_time=0']
    """
    sample = Sample.of(panel)
    sample.drop_seen_once()
    groups = Groups.of(sample.panel)
    relative = groups.panel.periods[None, :] - np.where(np.isinf(groups.cohorts), np.nan, groups.cohorts)[:, None]
    if bins is not None:
        try:
            low, high = bins
            low, high = float(low), float(high)
        except (TypeError, ValueError):
            raise EstimationError(
                f"bins={bins!r} is no pair of whole numbers: give for instance bins=(-4, 4)."
            ) from None
        if int(low) != low or int(high) != high or not low <= -2 or not high >= 0:
            raise EstimationError(
                f"bins={bins!r} must be whole numbers, at most -2 and at least 0: -1 is the reference."
            )
        relative = np.where(np.isnan(relative), np.nan, np.clip(relative, low, high))
    seen = groups.profile > 0
    if not (seen & (relative == -1)).any():
        raise EstimationError(
            "No treated unit is observed in the period just before its treatment, relative time -1: "
            "there is no reference; check the cohort and time columns, and where the panel skips years number its "
            "periods 1, 2, 3."
        )
    times = np.unique(relative[seen & np.isfinite(relative)])
    times = times[times != -1].astype(int)
    terms = pd.DataFrame({"term": [f"relative_time={e}" for e in times], "relative_time": times})
    shape = len(times), *seen.shape
    regressors = Blockwise(
        shape, blocks_of_groups(shape), lambda part: (relative[part] == times[:, None, None]).astype(float)
    )
    return fit_regression(
        sample, groups, regressors, terms, "two-way fixed effects event study", small_sample, level,
        f"event_study(panel, bins={bins!r}, small_sample={small_sample!r}, level={level})",
        {"reference": "relative time -1"},
    )  # fmt: skip


def sun_abraham(
    panel: Panel,
    *,
    small_sample: Literal["none", "fixest"] = "fixest",
    level: float = 0.95,
) -> Estimate:
    """Effect of treatment on each cohort in each period, from one saturated regression.

    The reference of a cohort is the last period before treatment in which it is observed, relative time -1 unless the
    panel has gaps. It is compared with never-treated units; without any, with the last cohort, and periods in which all
    are treated are left out.

    Parameters
    ----------
    panel : Panel
    small_sample : {"none", "fixest"}
        Factor and reference distribution of the standard errors. ``"fixest"`` is R ``fixest::sunab``.
    level : float
        Level of the confidence intervals.

    Returns
    -------
    Estimate
        One term for each cohort and period but its reference. `aggregate` averages them with the observed shares,
        taken as given.

    Raises
    ------
    EstimationError
        There is one cohort and no never-treated unit, or no effect is identified.

    References
    ----------
    Sun, L. and Abraham, S. (2021), Journal of Econometrics 225(2), eq. 26 and definition 2.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aaabbbcccddd"), "year": [2019, 2020, 2021] * 4,
    ...     "visits": [5.0, 5, 4, 6, 6, 4, 5, 5, 5, 7, 7, 8], "start": [2021] * 6 + [None] * 6,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> sun_abraham(panel).aggregate("simple").table["estimate"].round(6).tolist()
    [-2.0]
    """
    sample = Sample.of(panel)
    cohorts, periods = sample.panel.cohorts, sample.panel.periods
    last = cohorts.max()
    diagnostics = {"compared_with": "never-treated units" if np.isinf(last) else f"the last cohort, {last:.0f}"}
    if np.isfinite(last):
        if (cohorts == last).all():
            raise EstimationError(
                f"All units start treatment in {last:.0f}: there is nobody to compare with; add units that start later "
                "or never."
            )
        after = periods >= last
        sample.note("periods in which no unit is untreated", [str(p) for p in periods[after]])
        sample.panel = sample.panel.restrict(np.ones(len(cohorts), dtype=bool), periods=~after)
    sample.drop_seen_once()
    untreated = (sample.panel.observed & ~sample.panel.treated).any(axis=1)
    seen_before = np.isin(sample.panel.cohorts, sample.panel.cohorts[untreated])
    if not (seen_before & (sample.panel.cohorts < last)).any():
        raise EstimationError("No treated cohort is observed before its treatment: add earlier periods.")
    sample.drop(~seen_before, "units of cohorts never observed before treatment")
    groups = Groups.of(sample.panel)
    cohorts, periods, seen = groups.cohorts, groups.panel.periods, groups.profile > 0
    labels, at = [], []
    for cohort in np.unique(cohorts[cohorts < last]):
        observed = np.flatnonzero(seen[cohorts == cohort].any(axis=0))
        reference = observed[periods[observed] < cohort].max()
        for t in observed:
            if t != reference:
                labels.append((f"ATT({cohort:.0f}, {periods[t]})", int(cohort), periods[t], periods[t] - int(cohort)))
                at.append(t)
    terms = pd.DataFrame(labels, columns=["term", "cohort", "period", "relative_time"])
    shape, term = (len(terms), *seen.shape), np.arange(len(terms))

    def dummies(part):
        x = np.zeros((shape[0], part.stop - part.start, shape[2]))
        x[term, :, at] = cohorts[part] == terms["cohort"].to_numpy()[:, None]
        return x

    return fit_regression(
        sample, groups, Blockwise(shape, blocks_of_groups(shape), dummies), terms, "Sun-Abraham", small_sample, level,
        f"sun_abraham(panel, small_sample={small_sample!r}, level={level})", diagnostics,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Regression:
    """What a variance estimator or a bootstrap needs of a two-way regression.

    Attributes
    ----------
    effects : TwoWay
    residual : ndarray or Blockwise, shape (n_regressors, n_groups, n_periods)
        What unit and period effects leave of the regressors.
    fitted : ndarray, shape (n_groups, n_periods)
        Period effects, and regressors times coefficients.
    """

    effects: TwoWay
    residual: np.ndarray | Blockwise
    fitted: np.ndarray

    @cached_property
    def basis(self) -> np.ndarray:
        """Orthonormal basis of period effects and regressors net of unit effects, shape (rank, n_groups, n_periods).

        Units count with their weight. The period effects come first.
        """
        inverse, vectors = np.linalg.eigh(self.effects.period_inverse)
        kept = inverse > 1e-11 * inverse.max()
        shape = (int(kept.sum()), *self.residual.shape[1:])
        along_periods = (vectors[:, kept] * np.sqrt(inverse[kept])).T[:, None, :]
        periods = self.effects.within(np.broadcast_to(along_periods, shape))
        root = np.sqrt(self.effects.n[:, None] * self.effects.profile)
        residual = np.asarray(self.residual)
        scale = np.sqrt(((residual * root) ** 2).sum(axis=(1, 2), keepdims=True))
        columns = (residual / scale).reshape(len(scale), -1)
        r = qr((columns * root.ravel()).T, mode="r")[0][: len(columns)]
        return np.concatenate([periods, solve_triangular(r, columns, trans="T").reshape(residual.shape)])


def fit_regression(
    sample, groups, regressors, terms, estimator, small_sample, level, call, diagnostics=None
) -> Estimate:
    """Coefficients of `regressors`, shape (terms, n_groups, n_periods), next to unit and period effects."""
    check_small_sample(small_sample)
    moments, effects = Moments.of(groups), TwoWay(groups.n, groups.profile)
    shape, root = regressors.shape, np.sqrt(groups.mass)
    parts = blocks_of_groups(shape)

    def of_regressors(part):
        return regressors.block(part) if isinstance(regressors, Blockwise) else regressors[:, part]

    explained = sum(effects.period_effects(groups.n[part, None] * of_regressors(part), part) for part in parts)

    def residual_of(part):
        return effects.within(of_regressors(part) - explained[:, None, :], part)

    scale = np.sqrt(sum(((of_regressors(part) * root[part]) ** 2).sum(axis=(1, 2)) for part in parts))
    r = np.empty((0, shape[0]))
    for part in parts:
        columns = (residual_of(part) * root[part]).reshape(shape[0], -1).T / np.where(scale > 0, scale, 1.0)
        r = qr(np.concatenate([r, columns]), mode="r")[0][: shape[0]]
    independent = np.abs(np.diag(r)) > 1e-9
    if not independent.any():
        raise EstimationError(
            "Treatment does not vary beyond units and periods: every unit starts at the same time, or none is left to "
            "compare with; add units that start later or never."
        )
    identified = independent.copy()
    if not independent.all():
        # A regressor that others explain leaves the fit. The coefficients of those others then depend on which one
        # left, so they are not reported either.
        kept = r[:, independent]
        shared = np.linalg.lstsq(kept, r[:, ~independent])[0]
        identified[independent] = (np.abs(shared) < 1e-6).all(axis=1)
        if not identified.any():
            raise EstimationError(
                "No effect is identified: without units that are never treated, effects by relative time are known "
                "only up to a straight line; add units that never start, pool times with bins, or use sun_abraham."
            )
        sample.note("effects that no comparison identifies", terms["term"][~identified].tolist())
        r = qr(kept, mode="r")[0][: kept.shape[1]]
        scale = scale[independent]
    # r belongs to regressors of length one.
    inverse_gram = solve_triangular(r, solve_triangular(r, np.eye(len(r)), trans="T")) / np.outer(scale, scale)
    shape = len(scale), *shape[1:]
    residual = Blockwise(shape, parts, lambda part: residual_of(part)[independent]).smallest()

    def block(part):
        left = residual.block(part) if isinstance(residual, Blockwise) else residual[:, part]
        return np.tensordot(inverse_gram, left * groups.profile[part], axes=(1, 0))

    weights = Blockwise(shape, parts, block).smallest()
    size = sum(np.einsum("jkt,kt->j", of_regressors(part), groups.mass[part]) for part in parts)[independent]
    fit = Combination(moments, weights, np.zeros(shape[:2]), 1.0, size)
    coefficients = fit.estimates
    fitted = np.concatenate(
        [np.tensordot(coefficients, of_regressors(part)[independent], axes=(0, 0)) for part in parts]
    )
    fitted += effects.period_effects(moments.total - groups.n[:, None] * fitted)
    centring = [np.einsum("jkt,kt->jk", of_part, fitted[part]) for part, of_part in fit.blocks()]

    sample.warn_of_lone_clusters(moments, terms)
    factor = 1.0
    if small_sample == "fixest":
        seen = groups.profile > 0
        n_obs = int(seen.sum(axis=1) @ np.bincount(groups.of_unit, weights=groups.panel.counts))
        factor = fixest_factor(groups.panel.n_clusters, n_obs, len(scale), int(seen.any(axis=0).sum()))
    told = slice(None) if identified.all() else identified[independent]
    return finish(
        Combination(
            moments, weights[told], np.concatenate(centring, axis=1)[told], factor, size[told],
            regression=Regression(effects, residual, fitted),
        ),
        terms if identified.all() else terms[identified].reset_index(drop=True),
        sample=sample, estimator=estimator, small_sample=small_sample, level=level, call=call, diagnostics=diagnostics,
    )  # fmt: skip
