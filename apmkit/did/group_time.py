"""Group-time average treatment effects of Callaway and Sant'Anna (2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.did.blocks import Blockwise, blocks_of_groups
from apmkit.did.conditional import Compared, Comparisons, conditional
from apmkit.did.controls import known_covariates
from apmkit.did.doubly_robust import NO_COMPARISON
from apmkit.did.kernel import (
    Groups,
    Moments,
    check_small_sample,
    finish,
    fixest_factor,
)
from apmkit.did.sample import Sample
from apmkit.errors import EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.panel import Panel


def callaway_santanna(
    panel: Panel,
    *,
    covariates: Sequence[str] = (),
    method: Literal["doubly_robust", "inverse_probability", "outcome_regression"] = "doubly_robust",
    control: Literal["never_treated", "not_yet_treated"] = "never_treated",
    base_period: Literal["varying", "universal"] = "varying",
    anticipation: int = 0,
    unbalanced: Literal["pairs", "repeated_cross_sections"] = "pairs",
    small_sample: Literal["none", "fixest"] = "none",
    level: float = 0.95,
) -> Estimate:
    """Effect of treatment on each cohort in each period, against units that are not treated.

    It rests on parallel trends: without treatment, the outcomes of a cohort would have changed as those of the units it
    is compared with. With `covariates` this need hold only among units with the same covariates, and for each of their
    values there must be units to compare with (overlap: no unit is certain to be treated).

    Parameters
    ----------
    panel : Panel
    covariates : list of str
        Names of covariates of the panel that trends may depend on. Of one that changes over time, a comparison takes
        the value in the earlier of its two periods (R ``did`` likewise), with repeated cross-sections the value in the
        period of the outcome; it must not be moved by the treatment.
    method : {"doubly_robust", "inverse_probability", "outcome_regression"}
        How covariates enter: by weighting the units compared with by their odds of being treated (logit, weights
        adding up to one), by a linear regression of their outcome changes, or by both. With both, the effect is
        consistent if either model is right. Without covariates all three are the same.
    control : {"never_treated", "not_yet_treated"}
        Who stands in for the treated: units never treated in the panel, or all units not treated (nor anticipating
        treatment) by the later of the two periods compared.
    base_period : {"varying", "universal"}
        Before treatment, compare each period with the one before it, or every period with the last one before
        treatment.
    anticipation : int
        Units of time before treatment in which it may already have effects. Effects from then on are compared with the
        last period before (Callaway and Sant'Anna 2021, eq. 2.8), as in ``csdid``; R ``did`` 2.3.0 with a varying base
        compares the periods of anticipation with the one before each, which may hold such effects too. Averages since
        treatment leave out these periods. A unit first treated after the panel ends counts as never treated: leave
        out those that start so soon after that they may anticipate.
    unbalanced : {"pairs", "repeated_cross_sections"}
        In a ragged panel, compare the units observed in both periods, or the means of all units observed in each
        (R ``did`` with ``allow_unbalanced_panel=TRUE``). Of weights that change over time, pairs take those of the
        later period, so that the inverse chance of still being observed corrects for exit. Doubly robust standard
        errors of cross-sections are not those of R's DRDID 1.2.3, which adds a term of the influence function (the
        regression of the earlier period) that has to be subtracted.
    small_sample : {"none", "fixest"}
        Factor and reference distribution of the standard errors. ``"none"`` is R ``did``.
    level : float
        Level of the confidence intervals.

    Returns
    -------
    Estimate
        One term for each cohort and period, in units of the outcome. `aggregate` averages them with the estimated
        shares of the cohorts. With propensity scores, `diagnostics["overlap"]` has their range and the units near one,
        and `details["overlap"]` a row for each term.

    Raises
    ------
    EstimationError
        There is no unit to compare with, no cohort has a period before treatment, a covariate is unknown, follows from
        others or leaves no effect identified, the propensity score does not converge, or an argument is not known.

    Warns
    -----
    DesignWarning
        Effects that are left out, because nobody can be compared, a propensity score reaches 0.999, or units are too
        few or their covariates collinear; units whose propensity score reaches 0.99, where comparison units above
        0.995 get no weight (as R ``did``); a cohort of fewer units than five more than covariates.

    References
    ----------
    Callaway, B. and Sant'Anna, P. (2021), Journal of Econometrics 225(2), eq. 2.8 and 2.9, given covariates 2.2
    to 2.7, and theorem 2;
    Sant'Anna, P. and Zhao, J. (2020), Journal of Econometrics 219(1), eq. 3.1 (panel) and 3.4 (repeated
    cross-sections).

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccdd"), "year": [2020, 2021] * 4,
    ...     "visits": [5.0, 4.0, 6.0, 4.0, 5.0, 5.0, 7.0, 8.0], "start": [2021] * 4 + [None] * 4,
    ... })
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> callaway_santanna(panel).aggregate("simple").table[["term", "estimate"]]
      term  estimate
    0  ATT      -2.0
    """
    for name, value, allowed in (
        ("method", method, ("doubly_robust", "inverse_probability", "outcome_regression")),
        ("control", control, ("never_treated", "not_yet_treated")),
        ("base_period", base_period, ("varying", "universal")),
        ("unbalanced", unbalanced, ("pairs", "repeated_cross_sections")),
    ):
        if value not in allowed:
            raise EstimationError(f"{name}={value!r} is not known: give {' or '.join(map(repr, allowed))}.")
    if isinstance(anticipation, bool) or not isinstance(anticipation, (int, np.integer)) or anticipation < 0:
        raise EstimationError(f"anticipation={anticipation!r} is not a count of periods: give 0, 1, 2 or more.")
    check_small_sample(small_sample)
    sample, by_pairs = Sample.of(panel), unbalanced == "pairs"
    covariates = known_covariates(panel, covariates, "covariates")
    if anticipation:
        _drop_without_base(sample, anticipation, by_pairs)
    if by_pairs:
        # No pair of periods uses them, so they must not count in the shares of cohorts either.
        sample.drop_never_untreated()
        sample.drop_seen_once()
    periods, cohorts = sample.panel.periods, np.unique(sample.panel.cohorts)
    if control == "never_treated" and not np.isinf(cohorts).any():
        raise EstimationError(
            "No unit is never treated in this panel: use control='not_yet_treated', or add units that never start."
        )
    if covariates:
        _warn_of_small_cohorts(sample.panel, covariates)

    chosen = [
        (cohort, t, base)
        for cohort in cohorts[np.isfinite(cohorts)]
        for t, base in _comparisons(int(np.searchsorted(periods, cohort - anticipation)) - 1, len(periods), base_period)
    ]
    cohort, t, base = np.array(chosen, dtype=int).T
    last = periods[np.maximum(t, base)] + anticipation if control == "not_yet_treated" else np.full(len(t), np.inf)
    comparisons = Comparisons(cohort, t, base, last)
    frame = pd.DataFrame(
        {
            "term": [f"ATT({g}, {period})" for g, period in zip(cohort, periods[t], strict=True)],
            "cohort": cohort,
            "period": periods[t],
            "relative_time": periods[t] - cohort,
        }
    )
    if covariates:
        compared = conditional(sample.panel, comparisons, covariates, method, by_pairs)
    else:
        compared = _differences(sample.panel, comparisons, by_pairs)
    identified = compared.identified
    if not (identified & (periods[t] >= cohort)).any():
        if covariates:
            raise EstimationError(
                f"Covariates {', '.join(covariates)} leave no effect after treatment: all are "
                f"{' or '.join(compared.unidentified)}; use fewer covariates, or pool their values."
            )
        raise EstimationError(
            "No treated cohort can be compared after treatment: no unit is observed both before and after, "
            f"or none is left to compare with under control={control!r}."
        )
    for reason, terms in compared.unidentified.items():
        sample.note(reason, frame["term"].iloc[terms].tolist())
    names = frame["term"]
    if not identified.all():
        frame = frame[identified].reset_index(drop=True)
    sample.warn_of_lone_clusters(compared.moments, frame)
    n_obs, n_clusters = sample.panel.n_obs, sample.panel.n_clusters
    factor = fixest_factor(n_clusters, n_obs, len(frame), len(periods)) if small_sample == "fixest" else 1.0
    design = {"control": control, "base_period": base_period, "unbalanced": unbalanced}
    if anticipation:
        design = {"anticipation": anticipation} | design
    if covariates:
        design = {"covariates": covariates, "method": method} | design
    options = design | {"small_sample": small_sample, "level": level}
    overlap = compared.overlap
    result = finish(
        compared.combination(factor, frame["cohort"].to_numpy()),
        frame,
        sample=sample,
        estimator="Callaway-Sant'Anna",
        small_sample=small_sample,
        level=level,
        call=f"callaway_santanna(panel, {', '.join(f'{name}={value!r}' for name, value in options.items())})",
        diagnostics=design | ({} if overlap is None else {"overlap": overlap.diagnostics()}),
    )
    return result if overlap is None else replace(result, details={"overlap": overlap.table(names)})


def _drop_without_base(sample: Sample, anticipation: int, by_pairs: bool) -> None:
    """Leave out units that may anticipate treatment from the start."""
    while (early := sample.panel.cohorts <= sample.panel.periods[0] + anticipation).any():
        if not np.isfinite(sample.panel.cohorts[~early]).any():
            raise EstimationError(
                f"With anticipation={anticipation} no cohort has a period before it anticipates treatment: add earlier "
                "periods, or lower anticipation."
            )
        sample.drop(early, f"units that may anticipate treatment from the first period {sample.panel.periods[0]}")
    if by_pairs:
        panel = sample.panel
        untouched = panel.observed & (panel.periods < panel.cohorts[:, None] - anticipation)
        sample.drop(~untouched.any(axis=1), "units without any period before they may anticipate treatment")


def _warn_of_small_cohorts(panel: Panel, covariates: list[str]) -> None:
    cohorts, counts = np.unique(panel.cohorts, return_counts=True)
    few = counts < len(covariates) + 5
    if few.any():
        named = ", ".join("never treated" if np.isinf(g) else f"{g:.0f}" for g in cohorts[few])
        warn(
            f"Fewer than {len(covariates) + 5} units for {len(covariates)} covariates in cohort {named}: its effects "
            "and standard errors cannot be trusted; use fewer covariates, or read averages over cohorts."
        )


def _comparisons(last_before: int, n_periods: int, base_period: str) -> list[tuple[int, int]]:
    """Positions of each period and the one it is compared with, for a cohort last untreated at `last_before`."""
    if base_period == "universal":
        return [(t, last_before) for t in range(n_periods) if t != last_before]
    return [(t, min(t - 1, last_before)) for t in range(1, n_periods)]


def _differences(panel: Panel, comparisons: Comparisons, by_pairs: bool) -> Compared:
    """Mean of the treated less mean of the controls, at a period less at the one it is compared with.

    By pairs, the means are over units observed in both periods, with their weight in the later one: weights for those
    that left by then must count. All units of a side are centred on the mean of their side.
    """
    groups = Groups.of(panel)
    moments = Moments.of(groups, centre_units=by_pairs)
    profile, mass, total = groups.profile.T, groups.mass.T, moments.total.T
    t, base = comparisons.t, comparisons.base
    shape, term = (len(t), len(groups.n), len(profile)), np.arange(len(t))
    parts = blocks_of_groups(shape)

    def terms_of_means(part):
        """Sign, period, mass and weights of units of each of the four means, for a slice of the groups."""
        cohorts = groups.cohorts[part]
        both = (profile[t, part] > 0) & (profile[base, part] > 0) if by_pairs else True
        treated, controls = cohorts == comparisons.cohort[:, None], comparisons.controls(cohorts)
        for side, sign in ((treated & both, 1.0), (controls & both, -1.0)):
            for period, direction in ((t, sign), (base, -sign)):
                weighed = np.maximum(t, base) if by_pairs else period
                yield direction, period, side * mass[weighed, part], side * profile[weighed, part]

    sizes, sums = np.zeros((4, len(t))), np.zeros((4, len(t)))
    for part in parts:
        for i, (_, period, masses, profiles) in enumerate(terms_of_means(part)):
            sizes[i] += masses.sum(axis=1)
            sums[i] += (profiles * total[period, part]).sum(axis=1)
    identified = (sizes > 0).all(axis=0)
    sizes = np.where(sizes > 0, sizes, 1.0)
    centring = np.zeros(shape[:2])
    for part in parts:
        for (direction, _, _, profiles), size, total_of in zip(terms_of_means(part), sizes, sums, strict=True):
            centring[:, part] += direction * profiles * (total_of / size**2)[:, None]

    def block(part):
        weights = np.zeros((len(t), part.stop - part.start, len(profile)))
        for (direction, period, _, profiles), size in zip(terms_of_means(part), sizes, strict=True):
            weights[term, :, period] += direction * profiles / size[:, None]
        return weights

    weights = Blockwise(shape, parts, block).smallest()
    unidentified = {} if identified.all() else {NO_COMPARISON: np.flatnonzero(~identified).tolist()}
    return Compared(moments, identified, unidentified, weights, centring)
