"""Several cohorts: synthetic difference-in-differences by cohort, and synthetic controls fitted together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.errors import PanelError, warn
from apmkit.estimate import Estimate
from apmkit.panel import Panel
from apmkit.synth.comparison import Comparison, Fit, fit
from apmkit.synth.judgement import Variance, distance_before, pre_fit_limit, withheld
from apmkit.synth.placebo import rank_p_value
from apmkit.synth.pooling import PooledWeights
from apmkit.synth.variance import FitAll, bootstrap, jackknife
from apmkit.synth.weights import synthetic_did_weights

By = Literal["simple", "event", "cohort"]


def staggered_synthetic_did(
    panel: Panel,
    *,
    by: By = "simple",
    max_pre_fit: float | None = None,
    variance: Variance | None = "placebo",
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Synthetic difference-in-differences for each cohort against the never treated, averaged.

    With one cohort the effect is that of `synthetic_did`.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort or several, each with at least two periods before treatment.
    by : {"simple", "event", "cohort"}
        One number; by time since treatment; by first treated period. Cells count by their treated units, so that
        "simple" weighs cohorts by treated unit-periods.
    max_pre_fit : float, optional
        As in `synthetic_control`, 2 by default, for the root mean square over treated units of each cohort's distance.
    variance : {"placebo", "jackknife", "bootstrap", None}
        Placebo: never-treated units stand in for all cohorts at once, and the p-value is the rank of the absolute
        estimate when the cohorts are dealt at random to all units. Jackknife and bootstrap go over units, need two
        treated units in each cohort, and give p-values from the normal distribution. None gives no inference.
    draws : int
        Random placebos or samples.
    level : float
    seed : int

    Returns
    -------
    Estimate
        Rows by `by`, with `relative_time` or `cohort`. By event time there are rows before treatment too, as far back
        as all cohorts are observed; later rows rest on fewer cohorts. `details` holds `cohorts` (`cohort`, `n_treated`,
        `n_pre_periods`, `estimate`, `pre_rmspe`, `pre_fit`), `cells` (`cohort`, `period`, `relative_time`, `gap`) and
        `donor_weights` (`cohort`, `unit`, `weight`).

    Raises
    ------
    PanelError
        The panel has gaps, weights, no treated unit, a cohort with fewer than two periods before treatment, or fewer
        than two donors; an argument is not known.
    EstimationError
        Jackknife or bootstrap with one treated unit in a cohort.

    References
    ----------
    Arkhangelsky, D. et al. (2021), American Economic Review 111(12), appendix A and algorithms 2 to 4. Clarke, D.,
    Pailanir, D., Athey, S. and Imbens, G. (2023), arXiv 2301.11859, sec. 4.
    """
    comparisons = Comparison.by_cohort(panel)
    weighs = [synthetic_did_weights(c) for c in comparisons]
    frozen = [replace(w, noise=c.noise) for w, c in zip(weighs, comparisons, strict=True)]

    def together(rules) -> FitAll:
        return lambda treated, donors: [
            fit(c, rule, sets, donors) for c, rule, sets in zip(comparisons, rules, treated, strict=True)
        ]

    return _judge(
        comparisons, together(weighs), together(frozen),
        name="Staggered synthetic difference-in-differences", shifted=True, settings={}, by=by,
        max_pre_fit=max_pre_fit, variance=variance, draws=draws, level=level, seed=seed,
        call=f"staggered_synthetic_did(panel, by={by!r}, max_pre_fit={max_pre_fit}, variance={variance!r}, "
        f"draws={draws}, level={level}, seed={seed})",
    )  # fmt: skip


def staggered_synthetic_control(
    panel: Panel,
    *,
    nu: float | None = None,
    intercept: bool = False,
    by: By = "simple",
    max_pre_fit: float | None = None,
    variance: Literal["placebo", "bootstrap"] | None = "placebo",
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Partially pooled synthetic control: donors close to each cohort, and on average close to all.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort or several. The treated units of a cohort are averaged.
    nu : float, optional
        Between 0 (each cohort by itself) and 1 (only the average over cohorts). By default the distance of the average
        over the average distance when each cohort is fitted by itself: high where misfits do not cancel out.
    intercept : bool
        Take outcomes as deviations from each unit's mean before treatment.
    by, max_pre_fit, draws, level, seed
        As in `staggered_synthetic_did`; `max_pre_fit` is 1 by default, or 2 with an intercept.
    variance : {"placebo", "bootstrap", None}
        As in `staggered_synthetic_did`.

    Returns
    -------
    Estimate
        As from `staggered_synthetic_did`. `diagnostics` holds `nu`, and `separate_rmspe` and `pooled_rmspe`: the
        root mean squared gap before treatment of cohorts and of their average.

    Raises
    ------
    PanelError
        As in `staggered_synthetic_did`, with one period before treatment enough; `nu` is not between 0 and 1.
    EstimationError
        As in `staggered_synthetic_did`.

    Notes
    -----
    The loss is nu times the squared pooled distance plus 1 - nu times the squared separate distance, both over time
    before treatment and in units of the fit with nu = 0 (Ben-Michael et al., eqs. 5 to 7). R augsynth leaves these
    units out, so that its weights at the same nu between 0 and 1 differ.

    References
    ----------
    Ben-Michael, E., Feller, A. and Rothstein, J. (2022), Journal of the Royal Statistical Society B 84(2).
    """
    if nu is not None and not 0 <= nu <= 1:
        raise PanelError(f"nu={nu!r} is not between 0 and 1: give 0 to fit each cohort by itself, or leave it out.")
    if variance == "jackknife":
        raise PanelError("variance='jackknife' keeps weights that belong together: give 'placebo' or 'bootstrap'.")
    comparisons = Comparison.by_cohort(panel)
    pooling = PooledWeights(comparisons, nu, intercept)
    if nu is None:
        used = float(pooling.heuristic([c.treated[None] for c in comparisons], comparisons[0].donors[None])[0])
    else:
        used = float(nu)
    diagnostics = {"nu": used, "intercept": intercept}
    return _judge(
        comparisons, pooling, pooling,
        name="Staggered synthetic control" + (" with intercept" if intercept else ""), shifted=intercept,
        settings=diagnostics, by=by, max_pre_fit=max_pre_fit, variance=variance, draws=draws, level=level, seed=seed,
        call=f"staggered_synthetic_control(panel, nu={nu}, intercept={intercept}, by={by!r}, "
        f"max_pre_fit={max_pre_fit}, variance={variance!r}, draws={draws}, level={level}, seed={seed})",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Average:
    """Averages over cells of cohort and period, counted by treated units.

    Attributes
    ----------
    terms : DataFrame
    cells : list of ndarray of bool, shape (terms, n_periods)
        For each cohort, the periods in each term.
    """

    terms: pd.DataFrame
    cells: list[np.ndarray]

    @classmethod
    def of(cls, comparisons: Sequence[Comparison], by: By) -> _Average:
        since = [c.panel.periods - c.start for c in comparisons]
        if by == "simple":
            return cls(pd.DataFrame({"term": ["ATT"]}), [(s >= 0)[None] for s in since])
        if by == "cohort":
            starts = [c.start for c in comparisons]
            own = np.eye(len(starts), dtype=bool)
            terms = pd.DataFrame({"term": [f"cohort {start}" for start in starts], "cohort": starts})
            return cls(terms, [own[:, [g]] & (s >= 0)[None] for g, s in enumerate(since)])
        if by == "event":
            shared = set(since[0][since[0] < 0]).intersection(*since)
            times = np.array(sorted(shared | {e for s in since for e in s[s >= 0]}))
            terms = pd.DataFrame({"term": [f"time {e}" for e in times], "relative_time": times})
            return cls(terms, [times[:, None] == s[None] for s in since])
        raise PanelError(f"by={by!r} is not known: give 'simple', 'event' or 'cohort'.")

    def __call__(self, gaps: Sequence[np.ndarray], sizes: np.ndarray) -> np.ndarray:
        total, count = 0.0, 0.0
        for g, (gap, cells) in enumerate(zip(gaps, self.cells, strict=True)):
            total = total + sizes[:, [g]] * (gap @ cells.T)
            count = count + sizes[:, [g]] * cells.sum(axis=1)
        return total / count


def _judge(
    comparisons, fit_all, frozen, *, name, shifted, settings, by, max_pre_fit, variance, draws, level, seed, call
) -> Estimate:
    if variance not in ("placebo", "jackknife", "bootstrap", None):
        raise PanelError(f"variance={variance!r} is not known: give 'placebo', 'jackknife', 'bootstrap' or None.")
    if draws < 1:
        raise PanelError(f"draws={draws} leaves no placebo: give at least 1, or variance=None.")
    average, limit = _Average.of(comparisons, by), pre_fit_limit(max_pre_fit, shifted)
    panel, donors = comparisons[0].panel, comparisons[0].donors
    sizes = np.array([[len(c.treated) for c in comparisons]], dtype=float)
    fits = fit_all([c.treated[None] for c in comparisons], donors[None])
    estimates = average([f.gap for f in fits], sizes)[0]

    n_terms = len(estimates)
    covariance, p_values = np.full((n_terms, n_terms), np.nan), np.full(n_terms, np.nan)
    diagnostics = {}
    if variance is None:
        diagnostics["inference"] = "none: not asked for"
    elif variance == "placebo":
        ranked = _dealt(comparisons, fit_all, np.arange(len(panel.units)), average, draws, seed)
        p_values = np.array([rank_p_value(*pair) for pair in zip(np.abs(estimates), np.abs(ranked).T, strict=True)])
        others = _dealt(comparisons, frozen, donors, average, draws, seed)
        if others is None:
            warn("No standard error: as many treated units as donors leave no placebo among the donors; add donors.")
        else:
            deviations = others - others.mean(axis=0)
            covariance = deviations.T @ deviations / draws
        diagnostics |= {
            "inference": f"permutation over {draws} random deals of the cohorts to all units",
            "p_value": "rank of the absolute estimate",
            "p_value_floor": 1 / (1 + draws),
            "standard_error": "placebo (Arkhangelsky et al. 2021, algorithm 4, cohorts dealt to donors)",
        }
    else:
        if variance == "jackknife":
            covariance = jackknife(comparisons, fits, average)
        else:
            covariance = bootstrap(comparisons, frozen, average, draws=draws, seed=seed)
        p_values = None
        diagnostics |= {"inference": f"normal, {variance}", "standard_error": f"{variance} over units"}

    cohorts, cells, weights = _tables(comparisons, fits, shifted)
    share = sizes[0] / sizes.sum()
    distance = math.sqrt((share * np.square(cohorts["pre_fit"])).sum())
    if variance is not None and distance > limit:
        covariance, p_values = np.full_like(covariance, np.nan), np.full(n_terms, np.nan)
        diagnostics["withheld"] = withheld(name, distance, limit, shifted=shifted)
        warn(diagnostics["withheld"])
    diagnostics = {
        "n_treated": int(sizes.sum()),
        "n_cohorts": len(comparisons),
        "n_donors": len(donors),
        "pre_fit": distance,
        "separate_rmspe": math.sqrt((share * np.square(cohorts["pre_rmspe"])).sum()),
        "pooled_rmspe": _pooled_rmspe(comparisons, fits, share),
        **settings,
        **diagnostics,
        "left_out": {},
    }
    return Estimate.from_covariance(
        average.terms, estimates, covariance, level=level, p_values=p_values,
        estimand="ATT", estimator=name, outcome=panel.outcome, n_obs=panel.n_obs, n_units=len(panel.units),
        n_clusters=len(panel.units), diagnostics=diagnostics,
        details={"cohorts": cohorts, "cells": cells, "donor_weights": weights}, call=call, seed=seed, panel=panel,
    )  # fmt: skip


def _dealt(comparisons, fit_all: FitAll, units, average, draws, seed) -> np.ndarray | None:
    """Estimates (draws, terms) when the places of the treated are dealt at random to `units`; None without donors."""
    sizes = [len(c.treated) for c in comparisons]
    if len(units) <= sum(sizes) + 1:
        return None
    order = np.random.default_rng(seed).permuted(np.broadcast_to(units, (draws, len(units))), axis=1)
    *treated, donors = np.split(order, np.cumsum(sizes), axis=1)
    fits = fit_all(treated, np.sort(donors, axis=1))
    return average([f.gap for f in fits], np.broadcast_to(np.array(sizes, dtype=float), (draws, len(sizes))))


def _pooled_rmspe(comparisons, fits: Sequence[Fit], share) -> float:
    """Root mean squared average gap by time before treatment; cohorts observed later count as zero before that."""
    longest = max(c.n_pre for c in comparisons)
    mean = np.zeros(longest)
    for c, f, s in zip(comparisons, fits, share, strict=True):
        mean[longest - c.n_pre :] += s * f.gap[0, : c.n_pre]
    return float(np.sqrt(np.square(mean).mean()))


def _tables(comparisons, fits: Sequence[Fit], shifted: bool):
    cohorts, cells, weights = [], [], []
    for c, f in zip(comparisons, fits, strict=True):
        cohorts.append(
            {
                "cohort": c.start,
                "n_treated": len(c.treated),
                "n_pre_periods": c.n_pre,
                "estimate": f.effect[0],
                "pre_rmspe": f.pre_rmspe[0],
                "pre_fit": distance_before(c, f.gap[0], shifted=shifted),
            }
        )
        periods = c.panel.periods
        cells.append(
            pd.DataFrame({"cohort": c.start, "period": periods, "relative_time": periods - c.start, "gap": f.gap[0]})
        )
        weights.append(
            pd.DataFrame({"cohort": c.start, "unit": c.panel.units[c.donors], "weight": f.weights[0]}).sort_values(
                "weight", ascending=False, kind="stable"
            )
        )
    return pd.DataFrame(cohorts), pd.concat(cells, ignore_index=True), pd.concat(weights, ignore_index=True)
