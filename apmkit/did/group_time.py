"""Group-time average treatment effects of Callaway and Sant'Anna (2021), without covariates."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from apmkit.did.kernel import (
    Combination,
    Groups,
    Moments,
    check_small_sample,
    finish,
    fixest_factor,
)
from apmkit.did.sample import Sample
from apmkit.errors import EstimationError
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
        (R ``did`` with ``allow_unbalanced_panel=TRUE``). Of weights that change over time, pairs take those of the
        later period, so that the inverse chance of still being observed corrects for exit.
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
    sample, by_pairs = Sample.of(panel), unbalanced == "pairs"
    if by_pairs:
        # No pair of periods uses them, so they must not count in the shares of cohorts either.
        sample.drop_never_untreated()
        sample.drop_seen_once()
    groups = Groups.of(sample.panel)
    moments = Moments.of(groups, centre_units=by_pairs)
    periods, cohorts = sample.panel.periods, groups.cohorts
    if control == "never_treated" and not np.isinf(cohorts).any():
        raise EstimationError(
            "No unit is never treated in this panel: use control='not_yet_treated', or add units that never start."
        )

    chosen = [
        (cohort, t, base)
        for cohort in np.unique(cohorts[np.isfinite(cohorts)])
        for t, base in _comparisons(int(np.searchsorted(periods, cohort)) - 1, len(periods), base_period)
    ]
    cohort, t, base = np.array(chosen, dtype=int).T
    treated = cohorts == cohort[:, None]
    controls = np.broadcast_to(np.isinf(cohorts), treated.shape)
    if control == "not_yet_treated":
        controls = (cohorts > periods[np.maximum(t, base)][:, None]) & ~treated
    weights, centring, identified = _differences(groups, moments.total, treated, controls, t, base, by_pairs)
    frame = pd.DataFrame(
        {
            "term": [f"ATT({g}, {period})" for g, period in zip(cohort, periods[t], strict=True)],
            "cohort": cohort,
            "period": periods[t],
            "relative_time": periods[t] - cohort,
        }
    )
    if not (identified & (frame["relative_time"] >= 0)).any():
        raise EstimationError(
            "No treated cohort can be compared after treatment: no unit is observed both before and after, "
            f"or none is left to compare with under control={control!r}."
        )
    sample.note("effects that no comparison identifies", frame["term"][~identified].tolist())
    frame = frame[identified].reset_index(drop=True)
    sample.warn_of_lone_clusters(moments, frame)
    n_obs, n_clusters = sample.panel.n_obs, len(sample.panel.clusters)
    factor = fixest_factor(n_clusters, n_obs, len(frame), len(periods)) if small_sample == "fixest" else 1.0
    share_mass = groups.profile.sum(axis=1) / np.count_nonzero(groups.profile, axis=1)
    size = np.array([(groups.n * share_mass)[cohorts == g].sum() for g in frame["cohort"]])
    combination = Combination(moments, weights[identified], centring[identified], factor, size, share_mass)
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


def _comparisons(last_before: int, n_periods: int, base_period: str) -> list[tuple[int, int]]:
    """Positions of each period and the one it is compared with, for a cohort last untreated at `last_before`."""
    if base_period == "universal":
        return [(t, last_before) for t in range(n_periods) if t != last_before]
    return [(t, min(t - 1, last_before)) for t in range(1, n_periods)]


def _differences(groups, total, treated, controls, t, base, by_pairs):
    """Mean of the treated less mean of the controls, at `t` less at `base`; masks have shape (terms, groups).

    By pairs, the means are over units observed in both periods, with their weight in the later one: weights for those
    that left by then must count. All units of a side are centred on the mean of their side.
    """
    profile, mass, total = groups.profile.T, groups.mass.T, total.T
    both = (profile[t] > 0) & (profile[base] > 0) if by_pairs else True
    weights, centring = np.zeros((*treated.shape, len(profile))), np.zeros(treated.shape)
    identified, term = np.ones(len(t), dtype=bool), np.arange(len(t))
    for side, sign in ((treated & both, 1.0), (controls & both, -1.0)):
        for period, direction in ((t, sign), (base, -sign)):
            weighed = np.maximum(t, base) if by_pairs else period
            size = (side * mass[weighed]).sum(axis=1, keepdims=True)
            identified &= size[:, 0] > 0
            per_unit = side * profile[weighed] / np.where(size > 0, size, 1.0)
            mean = (per_unit * total[period]).sum(axis=1, keepdims=True)
            weights[term, :, period] += direction * per_unit
            centring += direction * per_unit * mean
    return weights, centring, identified
