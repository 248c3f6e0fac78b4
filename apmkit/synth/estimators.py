"""Synthetic control, synthetic difference-in-differences and plain difference-in-differences for few treated units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from apmkit.errors import PanelError
from apmkit.estimate import Estimate
from apmkit.panel import Panel
from apmkit.synth.comparison import Comparison, Weigh
from apmkit.synth.judgement import Design, Placebo, Variance, judge
from apmkit.synth.predictors import PredictorWeights
from apmkit.synth.weights import TIES_ONLY, OutcomeWeights, synthetic_did_weights, uniform_weights


def synthetic_control(
    panel: Panel,
    *,
    intercept: bool = False,
    predictors: pd.DataFrame | None = None,
    v: Sequence[float] | None = None,
    v_periods: tuple[int, int] | None = None,
    max_pre_fit: float | None = None,
    placebo: Placebo | None = "permutation",
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Effect on the treated unit, against a weighted average of donors that moved like it before treatment.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort. Several treated units are averaged; units never treated are the donors.
    intercept : bool
        Let the synthetic control run parallel to the treated unit, at a constant distance.
    predictors : DataFrame, optional
        One row per unit, one column per predictor. Donors are then chosen to be close in these, not in all outcomes
        before treatment; put outcomes among them.
    v : sequence of float, shape (n_predictors,), optional
        Importance of each predictor. By default it is found: it minimises the mean squared gap over `v_periods`. That
        loss has many local minima: compare a few seeds.
    v_periods : (int, int), optional
        First and last period of that search; all periods before treatment by default.
    max_pre_fit : float, optional
        How far the paths may be apart before treatment, in standard deviations of the donors, for a p-value and an
        interval to be given. By default 1, or 2 with an intercept; ``math.inf`` judges any fit. See Notes.
    placebo : {"permutation", "in_space", None}
        Apply the method to every other unit as if it had been treated, with the treated unit among its donors
        (permutation) or not (in space), or give no inference. See Notes.
    draws : int
        With several treated units, how many random sets of units stand in for them, where more sets exist than that.
    level : float
        Level of the confidence interval, which rests on the placebo standard error.
    seed : int
        Of the random placebo sets and of the search for `v`.

    Returns
    -------
    Estimate
        One row: the mean gap after treatment, in units of the outcome. Its p-value is the rank of the ratio of the root
        mean squared gap after treatment to the one before; it cannot be below 1 / (placebos + 1). `details` holds
        `donor_weights`, `path`, `placebos`, `placebo_gaps`, `variance_placebos` (behind the standard error: donors as
        placebos for each other, the treated units left out) and, with predictors, `predictor_balance`.

    Raises
    ------
    PanelError
        The panel has gaps, weights, several cohorts, no period before treatment or fewer than two donors; `predictors`
        or `v` do not fit the panel; an argument is not known.

    Notes
    -----
    Ranks. By permutation, the treated unit and the placebos go through the same steps, so that the p-value is exact
    when treatment was assigned at random and has no effect. Placebos in space have one donor less. With eight donors
    and two factors, 1,000 simulated panels without an effect gave the smallest p-value, 1/9, in 12% by permutation and
    in 15% in space. The price is power: a placebo that leans on the treated unit takes up part of its effect, and an
    effect of ten times the noise ranked first in 76% of panels by permutation and in 92% in space.

    Refusal. The distance before treatment (`pre_fit` in `diagnostics`) is the root mean squared gap over the standard
    deviation across donors, averaged over periods, as in a standardised difference. It is one for a donor that is
    compared with the plain mean of all, so that above one the weights achieve nothing; synthetic controls are for
    close fits (Abadie 2021, sec. 3) and biased without one (Ferman & Pinto 2021). With an intercept, gap and donors are
    taken as deviations from their own means before treatment; noise alone then gives about one, and the limit is two.
    Above the limit the estimate is shown and p-value and interval are withheld; `withheld` in `diagnostics` says why.
    A `DesignWarning` is given then, and in levels from a quarter on, where balance is commonly called poor.

    References
    ----------
    Abadie, A. and Gardeazabal, J. (2003), American Economic Review 93(1). Abadie, A., Diamond, A. and Hainmueller, J.
    (2010), JASA 105(490). Abadie, A. (2021), Journal of Economic Literature 59(2). With an intercept: Doudchenko, N.
    and Imbens, G. (2016), NBER 22791; Ferman, B. and Pinto, C. (2021), Quantitative Economics 12(4). Standard error:
    Arkhangelsky, D. et al. (2021), American Economic Review 111(12), algorithm 4.

    Examples
    --------
    >>> frame = pd.DataFrame({
    ...     "province": list("aaaabbbbcccc"), "year": [2018, 2019, 2020, 2021] * 3,
    ...     "visits": [5.0, 6.0, 5.0, 3.0, 4.0, 5.0, 4.0, 5.0, 6.0, 7.0, 6.0, 7.0],
    ...     "start": [2021] * 4 + [None] * 8,
    ... })
    >>> panel = Panel(frame, unit="province", time="year", outcome="visits", cohort="start")
    >>> estimate = synthetic_control(panel)
    >>> estimate.details["donor_weights"].round(3)
      unit  weight
    0    b     0.5
    1    c     0.5
    >>> estimate.table[["term", "estimate"]].round(3)
      term  estimate
    0  ATT      -3.0
    """
    comparison, describe = Comparison.of(panel), None
    if predictors is None:
        if v is not None or v_periods is not None:
            raise PanelError("v and v_periods weigh predictors: give predictors too, or leave them out.")
        ridge = TIES_ONLY * comparison.noise
        weigh: Weigh = OutcomeWeights(ridge, intercept)
        settings = {"intercept": intercept, "zeta_omega": ridge}
    else:
        if intercept:
            raise PanelError("intercept=True matches paths of the outcome: leave it out when predictors are given.")
        weigh = chosen = PredictorWeights.of(comparison, predictors, v, v_periods, seed)

        def describe(estimated):
            return {"predictor_balance": chosen.balance(comparison, estimated.weights[0])}

        settings = {"intercept": False, "v": "found" if v is None else "given"}
    return judge(
        Design(
            comparison,
            weigh,
            "Synthetic control" + (" with intercept" if intercept else ""),
            kind="rmspe_ratio",
            shifted=intercept,
            settings=settings,
            describe=describe,
        ),
        max_pre_fit=max_pre_fit,
        placebo=placebo,
        draws=draws,
        level=level,
        seed=seed,
        call=f"synthetic_control(panel, intercept={intercept}, "
        f"predictors={None if predictors is None else list(predictors.columns)}, v={v if v is None else list(v)}, "
        f"v_periods={v_periods}, max_pre_fit={max_pre_fit}, placebo={placebo!r}, draws={draws}, level={level}, "
        f"seed={seed})",
    )


def synthetic_did(
    panel: Panel,
    *,
    max_pre_fit: float | None = None,
    placebo: Placebo | None = "permutation",
    variance: Variance = "placebo",
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Difference-in-differences against donors that ran parallel, from periods that resemble those after treatment.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort and at least two periods before treatment.
    max_pre_fit, placebo, level, seed
        As in `synthetic_control`; `max_pre_fit` is 2 by default.
    variance : {"placebo", "jackknife", "bootstrap"}
        Placebo variance with a p-value by rank, or with several treated units a variance over units: leaving out one at
        a time, or drawing them with replacement, with a p-value from the normal distribution.
    draws : int
        Random placebo sets, where more exist than that, or samples of the bootstrap.

    Returns
    -------
    Estimate
        One row: the average effect on the treated. Its p-value is the rank of the absolute estimate among the
        placebos. `details` holds `donor_weights`, `time_weights`, `path` (the synthetic path is moved by its
        time-weighted distance before treatment, so that the gaps after treatment average to the estimate), `placebos`
        and `placebo_gaps`.

    Raises
    ------
    PanelError
        As in `synthetic_control`; or there is only one period before treatment.
    EstimationError
        Jackknife or bootstrap with one treated unit.

    References
    ----------
    Arkhangelsky, D., Athey, S., Hirshberg, D., Imbens, G. and Wager, S. (2021), American Economic Review 111(12),
    algorithms 1 to 4. The variance keeps the regularisation of the estimate, as in R synthdid; placebos that are ranked
    find their own, as permutation demands.
    """
    comparison = Comparison.of(panel)
    weigh = synthetic_did_weights(comparison)
    frozen = replace(weigh, noise=comparison.noise)
    zeta = {"zeta_omega": weigh.strength * comparison.noise, "zeta_lambda": TIES_ONLY * comparison.noise}
    return judge(
        Design(
            comparison,
            weigh,
            "Synthetic difference-in-differences",
            kind="absolute_effect",
            shifted=True,
            settings=zeta,
            frozen=frozen,
        ),
        max_pre_fit=max_pre_fit,
        placebo=placebo,
        variance=variance,
        draws=draws,
        level=level,
        seed=seed,
        call=f"synthetic_did(panel, max_pre_fit={max_pre_fit}, placebo={placebo!r}, variance={variance!r}, "
        f"draws={draws}, level={level}, seed={seed})",
    )


def difference_in_differences(
    panel: Panel,
    *,
    max_pre_fit: float | None = None,
    placebo: Placebo | None = "permutation",
    variance: Variance = "placebo",
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Difference-in-differences with all donors and periods weighted alike, and placebo inference.

    The estimate is that of two-way fixed effects with one cohort. Clustered standard errors say nothing with one
    treated unit; here inference is the same as for `synthetic_control` and `synthetic_did`, to stand beside them.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort.
    max_pre_fit, placebo, level, seed
        As in `synthetic_control`; `max_pre_fit` is 2 by default.
    variance : {"placebo", "jackknife", "bootstrap"}
        Placebo variance with a p-value by rank, or with several treated units a variance over units: leaving out one at
        a time, or drawing them with replacement, with a p-value from the normal distribution.
    draws : int
        Random placebo sets, where more exist than that, or samples of the bootstrap.

    Returns
    -------
    Estimate
        As from `synthetic_did`.

    Raises
    ------
    PanelError
        As in `synthetic_control`.
    EstimationError
        Jackknife or bootstrap with one treated unit.
    """
    return judge(
        Design(
            Comparison.of(panel), uniform_weights, "Difference-in-differences", kind="absolute_effect", shifted=True
        ),
        max_pre_fit=max_pre_fit,
        placebo=placebo,
        variance=variance,
        draws=draws,
        level=level,
        seed=seed,
        call=f"difference_in_differences(panel, max_pre_fit={max_pre_fit}, placebo={placebo!r}, "
        f"variance={variance!r}, draws={draws}, level={level}, seed={seed})",
    )
