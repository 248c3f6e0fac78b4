"""Imputation of untreated outcomes: Borusyak, Jaravel and Spiess (2024), and Gardner's (2022) two stages."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.did.blocks import Blockwise, blocks_of_groups
from apmkit.did.kernel import (
    Combination,
    Groups,
    Moments,
    check_small_sample,
    finish,
    fixest_factor,
)
from apmkit.did.regression import fit_regression
from apmkit.did.sample import Sample
from apmkit.did.two_way import TwoWay
from apmkit.errors import EstimationError
from apmkit.estimate import Estimate
from apmkit.panel import Panel


def imputation(
    panel: Panel,
    *,
    small_sample: Literal["none", "fixest"] = "none",
    level: float = 0.95,
) -> Estimate:
    """Effect of treatment on each cohort in each period, against outcomes imputed from untreated observations.

    Unit and period effects are fitted to untreated observations only; the effect is what treated observations add.
    In a balanced panel extended two-way fixed effects (Wooldridge 2025), one regression with a dummy for each cohort
    and period under treatment, gives the same numbers, and without weights ``small_sample="fixest"`` its standard
    errors too. In a ragged panel that regression also learns unit effects from treated observations; this does not.

    Parameters
    ----------
    panel : Panel
    small_sample : {"none", "fixest"}
        Factor and reference distribution of the standard errors. ``"none"`` is R ``didimputation``.
    level : float
        Level of the confidence intervals.

    Returns
    -------
    Estimate
        One term for each treated cohort and period. `aggregate` weights them by their observations. The standard
        errors are conservative: residuals are centred on the mean effect of a cohort in a period.

    Raises
    ------
    EstimationError
        No treated unit has an untreated observation, or no period with treated units has untreated ones.

    References
    ----------
    Borusyak, K., Jaravel, X. and Spiess, J. (2024), Review of Economic Studies 91(6), theorem 2 and eq. 8;
    Wooldridge, J. (2025), Empirical Economics 69, on extended two-way fixed effects.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccdd"), "year": [2020, 2021] * 4,
    ...     "visits": [5.0, 4.0, 6.0, 4.0, 5.0, 5.0, 7.0, 8.0], "start": [2021] * 4 + [None] * 4,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> imputation(panel).aggregate("simple").table["estimate"].round(6).tolist()
    [-2.0]
    """
    check_small_sample(small_sample)
    first_stage = _FirstStage.of(panel)
    groups, periods = first_stage.groups, first_stage.groups.panel.periods
    labels, cells = [], []
    for cohort in np.unique(groups.cohorts[np.isfinite(groups.cohorts)]):
        for t in np.flatnonzero(periods >= cohort):
            cell = np.zeros(groups.profile.shape, dtype=bool)
            cell[groups.cohorts == cohort, t] = first_stage.usable[groups.cohorts == cohort, t]
            if cell.any():
                labels.append((f"ATT({cohort:.0f}, {periods[t]})", int(cohort), periods[t], periods[t] - int(cohort)))
                cells.append(cell)
    terms = pd.DataFrame(labels, columns=["term", "cohort", "period", "relative_time"])
    return first_stage.estimate(
        np.array(cells), terms, "imputation", small_sample, level,
        f"imputation(panel, small_sample={small_sample!r}, level={level})", conservative=True,
    )  # fmt: skip


def imputation_pretrends(
    panel: Panel,
    *,
    periods: int,
    small_sample: Literal["none", "fixest"] = "fixest",
    level: float = 0.95,
) -> Estimate:
    """Differences before treatment, among untreated observations only; `joint_test` tests that all are zero.

    Untreated outcomes are regressed on unit effects, period effects and dummies for the last `periods` periods before
    treatment; earlier ones are the reference. Observations under treatment do not enter: where trends are parallel and
    errors independent and of equal variance, testing first does not distort the intervals of `imputation`.

    Parameters
    ----------
    panel : Panel
    periods : int
        How many periods before treatment to test. Few periods give more power against late divergence.
    small_sample : {"none", "fixest"}
        Factor and reference distribution of the standard errors. ``"fixest"`` is R ``fixest`` on the same rows.
    level : float
        Level of the confidence intervals.

    Returns
    -------
    Estimate
        One term for each of the `periods` periods before treatment, in units of the outcome.

    Raises
    ------
    EstimationError
        `periods` is no whole number above zero, or no treated unit is observed earlier than that.

    References
    ----------
    Borusyak, K., Jaravel, X. and Spiess, J. (2024), Review of Economic Studies 91(6), section 4.4.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aaabbbcccddd"), "year": [2019, 2020, 2021] * 4,
    ...     "visits": [5.0, 6, 4, 6, 9, 4, 5, 5, 5, 7, 8, 8], "start": [2021] * 6 + [None] * 6,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> leads = imputation_pretrends(panel, periods=1)
    >>> leads.table[["relative_time", "estimate"]].round(6).to_dict("list")
    {'relative_time': [-1], 'estimate': [1.5]}
    """
    if isinstance(periods, bool) or not isinstance(periods, int | np.integer) or periods < 1:
        raise EstimationError(f"periods={periods!r} is no whole number above zero: give for instance periods=3.")
    sample = Sample.of(panel)
    sample.drop_never_untreated()
    untreated = (sample.panel.observed & ~sample.panel.treated).sum(axis=1)
    sample.drop(untreated == 1, "units with one untreated period, which show no change")
    groups = Groups.of(sample.panel)
    # Observations under treatment have no weight.
    groups = replace(groups, profile=groups.profile * ~groups.treated)
    start = np.where(np.isinf(groups.cohorts), np.nan, groups.cohorts)
    relative = np.where(groups.profile > 0, groups.panel.periods[None, :] - start[:, None], np.nan)
    if not (relative < -periods).any():
        raise EstimationError(
            f"periods={periods}: no treated unit is observed earlier than that before its treatment, so there is no "
            f"reference; give at most {max(int(-np.nanmin(relative, initial=0)) - 1, 0)}."
        )
    times = np.arange(-periods, 0)
    regressors = (relative[None] == times[:, None, None]).astype(float)
    times, regressors = times[regressors.any(axis=(1, 2))], regressors[regressors.any(axis=(1, 2))]
    terms = pd.DataFrame({"term": [f"relative_time={e}" for e in times], "relative_time": times})
    result = fit_regression(
        sample, groups, regressors, terms, "imputation, untreated observations", small_sample, level,
        f"imputation_pretrends(panel, periods={periods}, small_sample={small_sample!r}, level={level})",
        {"reference": f"relative times before -{periods}"},
    )  # fmt: skip
    return replace(result, n_obs=int((sample.panel.observed & ~sample.panel.treated).sum(axis=1) @ sample.panel.counts))


def two_stage(
    panel: Panel,
    *,
    by: Literal["simple", "event"] = "simple",
    small_sample: Literal["none", "fixest"] = "none",
    level: float = 0.95,
) -> Estimate:
    """Gardner's two-stage estimator: the numbers of `imputation`, with standard errors of a second regression.

    Parameters
    ----------
    panel : Panel
    by : {"simple", "event"}
        One effect, or one for each time since treatment. The latter includes times before treatment but -1, as means
        of first-stage residuals.
    small_sample : {"none", "fixest"}
        Factor and reference distribution of the standard errors. ``"none"`` is R ``did2s``.
    level : float
        Level of the confidence intervals.

    Raises
    ------
    EstimationError
        No treated unit has an untreated observation, or no period with treated units has untreated ones.

    References
    ----------
    Gardner, J. (2022), Two-stage differences in differences, arXiv:2207.05943, section 4.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccdd"), "year": [2020, 2021] * 4,
    ...     "visits": [5.0, 4.0, 6.0, 4.0, 5.0, 5.0, 7.0, 8.0], "start": [2021] * 4 + [None] * 4,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> two_stage(panel).table["estimate"].round(6).tolist()
    [-2.0]
    """
    if by not in ("simple", "event"):
        raise EstimationError(f"by={by!r} is not known: give 'simple' or 'event'.")
    check_small_sample(small_sample)
    first_stage = _FirstStage.of(panel)
    groups = first_stage.groups
    if by == "simple":
        terms = pd.DataFrame({"term": ["ATT"]})
        cells = (first_stage.usable & groups.treated)[None]
    else:
        start = np.where(np.isinf(groups.cohorts), np.nan, groups.cohorts)
        relative = groups.panel.periods[None, :] - start[:, None]
        times = np.unique(relative[first_stage.usable & np.isfinite(relative)])
        times = times[times != -1].astype(int)
        terms = pd.DataFrame({"term": [f"relative_time={e}" for e in times], "relative_time": times})
        cells = (relative[None] == times[:, None, None]) & first_stage.usable
    return first_stage.estimate(
        cells, terms, "two-stage", small_sample, level,
        f"two_stage(panel, by={by!r}, small_sample={small_sample!r}, level={level})", conservative=False,
    )  # fmt: skip


class _FirstStage:
    """Unit and period effects of untreated observations, and which cells they reach."""

    def __init__(self, sample: Sample):
        self.sample = sample
        self.groups = groups = Groups.of(sample.panel)
        self.effects = TwoWay(groups.n, groups.profile * ~groups.treated)

    @classmethod
    def of(cls, panel: Panel) -> _FirstStage:
        sample = Sample.of(panel)
        sample.drop_never_untreated()
        stage = cls(sample)
        bare = ~(stage.effects.profile.sum(axis=0) > 0)
        if bare.any():
            sample.note("periods in which no unit is untreated", [str(p) for p in sample.panel.periods[bare]])
            sample.panel = sample.panel.restrict(np.ones(len(sample.panel.cohorts), dtype=bool), periods=~bare)
            stage = cls(sample)
        stage.usable = stage.groups.profile > 0
        if not (stage.usable & stage.groups.treated).any():
            raise EstimationError(
                "Every period with treated units lacks untreated ones: effects cannot be told from period effects; "
                "add units that start later or never."
            )
        return stage

    def estimate(self, cells, terms, estimator, small_sample, level, call, *, conservative: bool) -> Estimate:
        """Mean of outcome minus imputed outcome over the cells of each term, shape (terms, groups, periods)."""
        groups, effects, sample = self.groups, self.effects, self.sample
        moments = Moments.of(groups)
        parts = blocks_of_groups(cells.shape)
        size = sum(np.einsum("jkt,kt->j", cells[:, part], groups.mass[part]) for part in parts)

        def own_and_unit(part):
            """Weights on the cells themselves, and through the unit effects of their imputed outcomes."""
            own = cells[:, part] * groups.profile[part] / size[:, None, None]
            return own, own.sum(axis=2, keepdims=True) * effects.share[part]

        # What the means of the imputed outcomes put on untreated cells: through unit effects, then period effects.
        period_load = sum(np.tensordot(np.subtract(*own_and_unit(part)), groups.n[part], axes=(1, 0)) for part in parts)
        period_weight = period_load @ effects.period_inverse

        def block(part):
            own, unit_part = own_and_unit(part)
            spread = period_weight[:, None, :] - (period_weight @ effects.share[part].T)[:, :, None]
            return own - unit_part - effects.profile[part] * spread

        balance = np.abs(sum(np.tensordot(block(part), groups.n[part], axes=(1, 0)) for part in parts)).max(axis=1)
        identified = balance < 1e-8
        if not identified.all():
            sample.note("effects that no comparison identifies", terms["term"][~identified].tolist())
            if not identified.any():
                raise EstimationError(
                    "The untreated observations do not connect the periods: no effect is identified; "
                    "use a longer panel or more untreated units."
                )
            terms = terms[identified].reset_index(drop=True)
            cells, size, period_weight = cells[identified], size[identified], period_weight[identified]

        period_effects = effects.period_effects(moments.total)
        weights = Blockwise((len(terms), *cells.shape[1:]), parts, block).smallest()
        combination = Combination(moments, weights, np.zeros(cells.shape[:2]), 1.0, size)
        if conservative:
            centre = self._mean_effects(cells, moments, period_effects)
        else:
            centre = np.einsum("j,jkt->kt", combination.estimates, cells)
        centring = np.empty(cells.shape[:2])
        for part in parts:
            own, _ = own_and_unit(part)
            centring[:, part] = block(part) @ period_effects + np.einsum("jkt,kt->jk", own, centre[part])

        sample.warn_of_lone_clusters(moments, terms)
        panel = groups.panel
        factor = 1.0
        if small_sample == "fixest":
            factor = fixest_factor(panel.n_clusters, panel.n_obs, len(terms), len(panel.periods))
        return finish(
            replace(combination, centring=centring, factor=factor),
            terms, sample=sample, estimator=estimator, small_sample=small_sample, level=level, call=call,
        )  # fmt: skip

    def _mean_effects(self, cells, moments, period_effects) -> np.ndarray:
        """Mean effect by cohort and period, weighted by squared weights of the units (their eq. 8)."""
        groups, effects = self.groups, self.effects
        total, n = moments.squares[:, :-1], moments.squares[:, -1:]
        unit_effect = (effects.share * (total - n * period_effects)).sum(axis=1, keepdims=True)
        gain = groups.profile**2 * (total - n * period_effects - unit_effect)
        mean = np.einsum("jkt,kt->j", cells, gain) / np.einsum("jkt,kt->j", cells, groups.profile**2 * n)
        return np.einsum("j,jkt->kt", mean, cells)
