"""Few periods before treatment: lines to continue, exact fits, and the effects that placebos would have shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import linprog

from apmkit.errors import EstimationError
from apmkit.estimate import Estimate
from apmkit.panel import Panel
from apmkit.synth.estimators import difference_in_differences


def without_trends(panel: Panel) -> Panel:
    """The panel less a straight line for each unit, fitted to the periods before treatment and continued after it.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort.

    Raises
    ------
    EstimationError
        There are fewer than three periods before treatment, through which any line would run.

    Examples
    --------
    >>> rows = pd.DataFrame({"state": ["A"] * 4 + ["B"] * 4, "year": [1, 2, 3, 4] * 2,
    ...                      "cost": [1.0, 2, 3, 7, 5, 5, 5, 5], "start": [4.0] * 4 + [None] * 4})
    >>> panel = Panel(rows, unit="state", time="year", outcome="cost", cohort="start")
    >>> without_trends(panel).outcomes[0].round(1).tolist()
    [2.0, 2.0, 2.0, 5.0]
    """
    before = panel.periods < panel.cohorts.min()
    if before.sum() < 3:
        raise EstimationError(f"A trend needs three periods before treatment, not {before.sum()}: add earlier ones.")
    centred = panel.periods - panel.periods[before].mean()
    slope = panel.outcomes[:, before] @ centred[before] / np.square(centred[before]).sum()
    rows = pd.DataFrame(panel.outcomes - slope[:, None] * centred, index=panel.units, columns=panel.periods)
    long = rows.rename_axis(index=panel.unit, columns=panel.time).stack().rename(panel.outcome).reset_index()
    starts = pd.Series(np.where(np.isfinite(panel.cohorts), panel.cohorts, np.nan), panel.units)
    long["start"] = long[panel.unit].map(starts)
    return Panel(long, unit=panel.unit, time=panel.time, outcome=panel.outcome, cohort="start", balanced=True)


def differential_trend(panel: Panel, **options) -> Estimate:
    """Difference-in-differences if each unit's own trend before treatment had gone on.

    Treated unit and placebos lose their own line, so that they go through the same steps and ranks stay exact.

    Parameters
    ----------
    panel : Panel
        As for `without_trends`.
    **options
        For `difference_in_differences`.

    Raises
    ------
    EstimationError
        As in `without_trends`.

    Examples
    --------
    >>> rows = pd.DataFrame({"state": [*"AAAABBBBCCCC"], "year": [1, 2, 3, 4] * 3,
    ...                      "cost": [1.0, 2, 3, 7] + [5] * 8, "start": [4.0] * 4 + [None] * 8})
    >>> panel = Panel(rows, unit="state", time="year", outcome="cost", cohort="start")
    >>> round(differential_trend(panel, placebo=None).table["estimate"].item(), 6)
    3.0
    """
    return difference_in_differences(without_trends(panel), **options)


def gaps_of_exact_fits(panel: Panel, *, intercept: bool = False) -> tuple[float, float]:
    """The lowest and the highest gap over all synthetic controls that follow the treated unit exactly before treatment.

    With fewer periods than donors many do. Their gaps are linear in the weights: a linear program finds the ends.

    Parameters
    ----------
    panel : Panel
        Balanced, with one treated unit.
    intercept : bool
        Whether a constant distance is allowed.

    Raises
    ------
    EstimationError
        No mix of donors follows the treated unit exactly.

    Examples
    --------
    >>> rows = pd.DataFrame({"state": [*"AABBCCDD"], "year": [1, 2] * 4, "cost": [2.0, 7, 1, 3, 3, 4, 2, 6],
    ...                      "start": [2.0] * 2 + [None] * 6})
    >>> panel = Panel(rows, unit="state", time="year", outcome="cost", cohort="start")
    >>> [round(gap, 6) for gap in gaps_of_exact_fits(panel)]
    [1.0, 3.5]
    """
    treated, before = np.isfinite(panel.cohorts), panel.periods < panel.cohorts.min()
    values = panel.outcomes
    if intercept:
        values = values - values[:, before].mean(axis=1, keepdims=True)
    own, donors = values[treated][0], values[~treated]
    after = donors[:, ~before].mean(axis=1)
    equal = np.vstack([donors[:, before].T, np.ones(len(donors))])
    found = [linprog(sign * after, A_eq=equal, b_eq=[*own[before], 1.0], bounds=(0, 1)) for sign in (1, -1)]
    if any(each.status != 0 for each in found):
        unit = panel.units[treated][0]
        raise EstimationError(f"No mix of donors follows {unit} exactly before treatment: use fewer periods before it.")
    gap = own[~before].mean()
    return float(gap + found[1].fun), float(gap - found[0].fun)


def placebo_power(estimate: Estimate, effects: Sequence[float], share: float = 0.05) -> pd.DataFrame:
    """How often an effect would have been found, had each donor in turn been the treated unit.

    The gap that the method finds for a donor is moved by the effect. It counts as found when it is then among the
    `share` of all units with the largest gaps, in size.

    Parameters
    ----------
    estimate : Estimate
        With placebos in space.
    effects : sequence of float
        In units of the outcome; sizes, since falls and rises are averaged.
    share : float
        Of the units, those that would be called unusual.

    Returns
    -------
    DataFrame
        `effect`, `power`.

    Examples
    --------
    >>> rows = pd.DataFrame({"state": [*"AABBCCDD"], "year": [1, 2] * 4, "cost": [2.0, 7, 1, 3, 3, 4, 2, 6],
    ...                      "start": [2.0] * 2 + [None] * 6})
    >>> panel = Panel(rows, unit="state", time="year", outcome="cost", cohort="start")
    >>> placebo_power(difference_in_differences(panel), [1, 6])["power"].tolist()
    [0.3333333333333333, 1.0]
    """
    gaps = estimate.details["placebos"]["estimate"].to_numpy()
    ranks = max(int(share * (len(gaps) + 1)), 1)
    bars = np.array([np.sort(np.abs(np.delete(gaps, at)))[-ranks] for at in range(len(gaps))])
    sizes = np.asarray(effects, dtype=float)[:, None]
    power = (np.abs(gaps + sizes) > bars).mean(axis=1) / 2 + (np.abs(gaps - sizes) > bars).mean(axis=1) / 2
    return pd.DataFrame({"effect": sizes[:, 0], "power": power})


def placebo_detectable(estimate: Estimate, power: float = 0.8) -> float:
    """The smallest effect that `placebo_power` finds with this power, in units of the outcome.

    Parameters
    ----------
    estimate : Estimate
        With placebos in space.
    power : float

    Examples
    --------
    >>> rows = pd.DataFrame({"state": [*"AABBCCDD"], "year": [1, 2] * 4, "cost": [2.0, 7, 1, 3, 3, 4, 2, 6],
    ...                      "start": [2.0] * 2 + [None] * 6})
    >>> panel = Panel(rows, unit="state", time="year", outcome="cost", cohort="start")
    >>> round(placebo_detectable(difference_in_differences(panel)), 1)
    4.0
    """
    largest = 3 * estimate.details["placebos"]["estimate"].abs().max()
    curve = placebo_power(estimate, np.linspace(0, largest, 601))
    return float(curve.loc[curve["power"] >= power, "effect"].iloc[0])
