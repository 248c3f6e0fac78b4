"""Group-time average treatment effects of Callaway and Sant'Anna (2021), without covariates."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from apmkit.did.kernel import (
    Combination,
    EstimationError,
    Groups,
    Moments,
    Sample,
    check_small_sample,
    finish,
    fixest_factor,
)
from apmkit.estimate import Estimate
from apmkit.panel import Panel


def callaway_santanna(
    panel: Panel,
    *,
    control: Literal["never_treated", "not_yet_treated"] = "never_treated",
    base_period: Literal["varying", "universal"] = "varying",
    unbalanced: Literal["pairs", "repeated_cross_sections"] = "pairs",
    small_sample: Literal["none", "fixest"] = "none",
    level: float = 0.95,
) -> Estimate:
    """Effect of treatment on each cohort in each period, against units that are not treated.

    Parameters
    ----------
    panel : Panel
    control : {"never_treated", "not_yet_treated"}
        Who stands in for the treated: units never treated in the panel, or all units not treated by the later of the
        two periods compared.
    base_period : {"varying", "universal"}
        Before treatment, compare each period with the one before it, or every period with the last one before
        treatment.
    unbalanced : {"pairs", "repeated_cross_sections"}
        In a ragged panel, compare the units observed in both periods, or the means of all units observed in each
        (R ``did`` with ``allow_unbalanced_panel=TRUE``).
    small_sample : {"none", "fixest"}
        Factor and reference distribution of the standard errors. ``"none"`` is R ``did``.
    level : float
        Level of the confidence intervals.

    Returns
    -------
    Estimate
        One term for each cohort and period, in units of the outcome. `aggregate` averages them with the estimated
        shares of the cohorts.

    Raises
    ------
    EstimationError
        There is no unit to compare with, no cohort has a period before treatment, or an argument is not known.

    References
    ----------
    Callaway, B. and Sant'Anna, P. (2021), Journal of Econometrics 225(2), eq. 2.8 and 2.9 and theorem 2.

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
        ("control", control, ("never_treated", "not_yet_treated")),
        ("base_period", base_period, ("varying", "universal")),
        ("unbalanced", unbalanced, ("pairs", "repeated_cross_sections")),
    ):
        if value not in allowed:
            raise EstimationError(f"{name}={value!r} is not known: give {allowed[0]!r} or {allowed[1]!r}.")
    check_small_sample(small_sample)
    sample = Sample.of(panel)
    groups = Groups.of(sample.panel)
    by_pairs = unbalanced == "pairs"
    moments = Moments.of(groups, centre_units=by_pairs)
    periods, cohorts = sample.panel.periods, groups.cohorts
    if control == "never_treated" and not np.isinf(cohorts).any():
        raise EstimationError(
            "No unit is never treated in this panel: use control='not_yet_treated', or add units that never start."
        )

    terms, weights, centring, not_identified = [], [], [], []
    for cohort in np.unique(cohorts[np.isfinite(cohorts)]):
        treated = cohorts == cohort
        last_before = int(np.searchsorted(periods, cohort)) - 1
        for t in range(len(periods)):
            base = t - 1 if base_period == "varying" and t <= last_before else last_before
            if base < 0 or base == t:
                continue
            not_yet = (cohorts > periods[max(t, base)]) & ~treated
            controls = np.isinf(cohorts) if control == "never_treated" else not_yet
            compare = _pairs if by_pairs else _cross_sections
            w, c = compare(groups, moments.total, treated, controls, t, base)
            label = f"ATT({cohort:.0f}, {periods[t]})"
            if w is None:
                not_identified.append(label)
                continue
            terms.append((label, int(cohort), periods[t], periods[t] - int(cohort)))
            weights.append(w)
            centring.append(c)
    if not terms or all(t[3] < 0 for t in terms):
        raise EstimationError(
            "No treated cohort can be compared after treatment: no unit is observed both before and after, "
            f"or none is left to compare with under control={control!r}."
        )
    sample.note("effects that no comparison identifies", not_identified)
    sample.warn_of_small_groups()
    frame = pd.DataFrame(terms, columns=["term", "cohort", "period", "relative_time"])
    n_obs, n_clusters = sample.panel.n_obs, len(sample.panel.clusters)
    factor = fixest_factor(n_clusters, n_obs, len(terms), len(periods)) if small_sample == "fixest" else 1.0
    share_mass = groups.profile.sum(axis=1) / np.count_nonzero(groups.profile, axis=1)
    size = np.array([(groups.n * share_mass)[cohorts == g].sum() for g in frame["cohort"]])
    combination = Combination(moments, np.array(weights), np.array(centring), factor, size, share_mass)
    return finish(
        combination,
        frame,
        sample=sample,
        estimator="Callaway-Sant'Anna",
        small_sample=small_sample,
        level=level,
        call=f"callaway_santanna(panel, control={control!r}, base_period={base_period!r}, unbalanced={unbalanced!r}, "
        f"small_sample={small_sample!r}, level={level})",
        diagnostics={"control": control, "base_period": base_period, "unbalanced": unbalanced},
    )


def _pairs(groups, total, treated, controls, t, base):
    """Mean change of the units observed in both periods; all units of a side are centred on their pooled change."""
    both = (groups.profile[:, t] > 0) & (groups.profile[:, base] > 0)
    mass = groups.mass[:, base]
    w, c = np.zeros_like(groups.profile), np.zeros(len(groups.n))
    for side, sign in ((treated & both, 1.0), (controls & both, -1.0)):
        if not side.any():
            return None, None
        per_unit = sign * groups.profile[side, base] / mass[side].sum()
        w[side, t], w[side, base] = per_unit, -per_unit
        pooled = (per_unit * (total[side, t] - total[side, base])).sum() * sign
        c[side] = per_unit * pooled
    return w, c


def _cross_sections(groups, total, treated, controls, t, base):
    """Difference of the means of all units observed in each period."""
    w, c = np.zeros_like(groups.profile), np.zeros(len(groups.n))
    for side, sign in ((treated, 1.0), (controls, -1.0)):
        for period, direction in ((t, sign), (base, -sign)):
            mass = groups.mass[side, period]
            if not mass.any():
                return None, None
            per_unit = direction * groups.profile[side, period] / mass.sum()
            w[side, period] = per_unit
            c[side] += per_unit * (groups.profile[side, period] * total[side, period]).sum() / mass.sum()
    return w, c
