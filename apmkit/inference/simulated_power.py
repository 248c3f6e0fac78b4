"""Power by simulation: placebo reforms drawn from a panel's own untreated history."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import special

from apmkit.errors import ApmkitError, DesignWarning, PanelError
from apmkit.estimate import Estimate
from apmkit.inference.power import clean_windows, effects_of, positive_whole
from apmkit.options import check_level, check_panel, check_seed, estimated
from apmkit.panel import Panel


def simulated_power(
    panel: Panel,
    estimator: Callable[[Panel], Estimate],
    effects,
    *,
    treated: int,
    controls: int,
    before: int,
    after: int,
    draws: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Chance that an estimator finds effects of several sizes, in a panel's own history.

    Each draw takes a window of consecutive periods without treatment, draws clusters to treat and to compare, estimates
    the effect of this reform that never was, and then adds each constant effect. A constant effect on treated cells
    moves an estimate by as much and leaves its standard error, so one estimate serves all effects; the first draw
    checks that. Power at zero is the size of the test.

    Parameters
    ----------
    panel : Panel
    estimator : callable
        Takes a panel and returns an Estimate of one term with a standard error, for instance `apmkit.twfe` or
        ``lambda panel: apmkit.callaway_santanna(panel).aggregate("simple")``.
    effects : array of float
        In units of the outcome.
    treated, controls : int
        Clusters (units, if the panel has no larger clusters) in each draw.
    before, after : int
        Periods in each draw.
    draws : int
    level : float
        Level of the intervals; an effect is found when zero is outside.
    seed : int

    Returns
    -------
    DataFrame
        `effect`, `power`, and `simulation_error`, the standard error of `power` from the number of draws.

    Raises
    ------
    ApmkitError
        A number is not positive, or the estimator returns several terms, no standard error, or an estimate that a
        constant effect does not move by as much.
    PanelError
        No window of so many periods has so many clusters without treatment or gap.

    References
    ----------
    Bertrand, M., Duflo, E. and Mullainathan, S. (2004), Quarterly Journal of Economics 119(1), on placebo reforms;
    Burlig, F., Preonas, L. and Woerman, M. (2020), Journal of Development Economics 144.

    Examples
    --------
    >>> import apmkit
    >>> random = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"unit": np.repeat(np.arange(60), 8), "year": np.tile(np.arange(8), 60)})
    >>> frame["y"], frame["start"] = random.normal(size=480), np.nan
    >>> with warnings.catch_warnings(action="ignore"):
    ...     panel = Panel(frame, unit="unit", time="year", outcome="y", cohort="start")
    >>> plan = {"treated": 20, "controls": 20, "before": 3, "after": 3, "draws": 100}
    >>> simulated_power(panel, apmkit.twfe, [0.0, 1.0], **plan)["power"].tolist()
    [0.07, 0.9]
    """
    check_panel(panel)
    check_level(level)
    check_seed(seed)
    positive_whole(treated=treated, controls=controls, before=before, after=after, draws=draws)
    effects = effects_of(effects)
    _, clean = clean_windows(panel, before, after)
    members = np.zeros((panel.n_clusters, clean.shape[1]), dtype=int)
    np.add.at(members, panel.cluster_codes, clean)
    windows = np.flatnonzero(np.count_nonzero(members, axis=0) >= treated + controls)
    if not len(windows):
        most = int(np.count_nonzero(members, axis=0).max(initial=0))
        raise PanelError(
            f"No {before + after} consecutive periods have {treated + controls} clusters without treatment and gap, at "
            f"most {most}: draw fewer clusters or periods."
        )
    random = np.random.default_rng(seed)
    estimates, errors = np.empty(draws), np.empty(draws)
    with warnings.catch_warnings():
        for draw in range(draws):
            window = random.choice(windows)
            drawn = random.choice(np.flatnonzero(members[:, window]), size=treated + controls, replace=False)
            placebo = _placebo(panel, clean[:, window], window, before, after, drawn, treated)
            fit = _one_term(estimated(estimator, placebo))
            estimates[draw], errors[draw] = fit.table.loc[0, ["estimate", "se"]]
            if draw == 0:
                _check_shift(estimator, placebo, fit)
                warnings.simplefilter("ignore", DesignWarning)  # the first draw has said it
    df = fit.degrees_of_freedom
    critical = special.ndtri(0.5 + level / 2) if np.isinf(df) else special.stdtrit(df, 0.5 + level / 2)
    power = (np.abs(estimates[:, None] + effects) > critical * errors[:, None]).mean(axis=0)
    return pd.DataFrame({"effect": effects, "power": power, "simulation_error": np.sqrt(power * (1 - power) / draws)})


def _placebo(panel, clean, window, before, after, drawn, treated) -> Panel:
    """The panel of a window, in which the first `treated` of the drawn clusters are said to be treated."""
    periods = np.zeros(len(panel.periods), dtype=bool)
    periods[window : window + before + after] = True
    start = float(panel.periods[window + before])
    cohorts = np.where(np.isin(panel.cluster_codes, drawn[:treated]), start, np.inf)
    return panel._part(clean & np.isin(panel.cluster_codes, drawn), periods, cohorts)


def _one_term(fit: Estimate) -> Estimate:
    if len(fit.table) != 1:
        raise ApmkitError(
            f"The estimator gives {len(fit.table)} terms, and power is of one: let it end with "
            'aggregate("simple") or term(...).'
        )
    if not fit.table["se"].item() > 0:
        raise ApmkitError(f"{fit.estimator} gives no standard error: power by simulation needs one.")
    return fit


def _check_shift(estimator, placebo: Panel, fit: Estimate) -> None:
    """Add one constant effect for true, and see that the estimate moves by it and its standard error stays."""
    everyone, always = np.ones(placebo.n_units, dtype=bool), np.ones(len(placebo.periods), dtype=bool)
    moved = placebo._part(everyone, always)
    effect = 3 * fit.table["se"].item()
    moved.outcomes = placebo.outcomes + effect * placebo.treated
    again = estimator(moved)
    found = again.table.loc[0, ["estimate", "se"]].to_numpy(dtype=float)
    expected = fit.table.loc[0, ["estimate", "se"]].to_numpy(dtype=float) + np.array([effect, 0.0])
    if not np.allclose(found, expected, rtol=0, atol=1e-6 * effect):
        raise ApmkitError(
            f"A constant effect of {effect:.3g} moves {fit.estimator} from {fit.table['estimate'].item():.3g} to "
            f"{found[0]:.3g} with standard error {found[1]:.3g} for {expected[1]:.3g}: use an estimator that it shifts."
        )
