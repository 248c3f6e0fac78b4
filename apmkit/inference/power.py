"""What a study can find: minimum detectable effects and power, from its result or from its plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy import optimize, special

from apmkit.errors import ApmkitError, PanelError
from apmkit.estimate import Estimate
from apmkit.options import check_level, check_panel, numbers
from apmkit.panel import Panel


@dataclass(frozen=True)
class Precision:
    """The standard error that a planned study will have.

    Attributes
    ----------
    design : str
    se : float
        In units of the outcome.
    degrees_of_freedom : float
        Of the reference t distribution; infinity for the normal.

    Raises
    ------
    ApmkitError
        A number is not above zero.
    """

    design: str
    se: float
    degrees_of_freedom: float = math.inf

    def __post_init__(self):
        for name in ("se", "degrees_of_freedom"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not value > 0:
                raise ApmkitError(f"{name}={value!r} of {self.design} is not above zero: give a number that is.")


def minimum_detectable_effect(study: Estimate | Precision, *, power: float = 0.8, level: float = 0.95) -> pd.DataFrame:
    """The smallest effect that a study finds with the given power.

    Of a finished study it says what could have been found, not whether the estimate is true: power at the
    estimate itself only restates its p-value (Hoenig & Heisey 2001). Solved from the noncentral t distribution, so that
    `power_curve` at this effect gives `power`; (t_{1 - a/2} + t_power) x SE approximates it.

    Parameters
    ----------
    study : Estimate or Precision
        A result, or a plan from `did_precision`, `cluster_trial_precision` or `stepped_wedge_precision`.
    power : float
        Chance to find the effect.
    level : float
        Level of the intervals; an effect is found when zero is outside.

    Returns
    -------
    DataFrame
        By term: `term`, `se`, `degrees_of_freedom`, `minimum_detectable_effect`; a plan has one term, its design.

    Raises
    ------
    ApmkitError
        `power` is not between 1 - `level` and 1, or an estimate has no standard error.

    References
    ----------
    Bloom, H. S. (1995), Evaluation Review 19(5); Hoenig, J. M. and Heisey, D. M. (2001), American Statistician 55(1).

    Examples
    --------
    >>> plan = cluster_trial_precision(sd=10, icc=0.05, clusters=(20, 20), cluster_size=50)
    >>> minimum_detectable_effect(plan)["minimum_detectable_effect"].round(3).item()
    2.388
    """
    check_level(level)
    if not isinstance(power, Real) or not 1 - level < power < 1:
        raise ApmkitError(f"power={power!r} is not between {1 - level:.3g} and 1: give 0.8 for 80%.")
    terms, se, df = _terms(study)

    def shortfall(ratio):
        return float(_power(np.array(ratio), df, level)) - power

    most = 4.0
    while shortfall(most) < 0:
        most *= 2
    ratio = optimize.brentq(shortfall, 0.0, most, xtol=1e-13, rtol=1e-14)
    return pd.DataFrame({"term": terms, "se": se, "degrees_of_freedom": df, "minimum_detectable_effect": ratio * se})


def power_curve(study: Estimate | Precision, effects=None, *, level: float = 0.95) -> pd.DataFrame:
    """Chance to find effects of several sizes.

    Parameters
    ----------
    study : Estimate or Precision
        With one term.
    effects : array of float, optional
        In units of the outcome; from zero to five standard errors by default.
    level : float
        Level of the intervals.

    Returns
    -------
    DataFrame
        `effect`, `power`.

    Raises
    ------
    ApmkitError
        The estimate has several terms or no standard error, or an effect is not a finite number.
    """
    check_level(level)
    terms, se, df = _terms(study)
    if len(terms) > 1:
        raise ApmkitError(f"A curve is of one term and there are {len(terms)}: choose one, for instance "
                          f"term({terms[0]!r}).")  # fmt: skip
    effects = np.linspace(0, 5 * se[0], 41) if effects is None else effects_of(effects)
    return pd.DataFrame({"effect": effects, "power": _power(effects / se[0], df, level)})


def did_precision(panel: Panel, *, treated: int, controls: int, before: int, after: int) -> Precision:
    """Precision of a difference-in-differences planned on units like those of a panel.

    Takes the change of each unit from `before` to `after` periods, over all windows of consecutive periods
    without treatment, and its variance across clusters. That variance holds any serial correlation; the formula of
    Burlig et al. with average variances and covariances is the same number for the whole window.

    Parameters
    ----------
    panel : Panel
        Only unit-periods without treatment are used; units with a gap in a window are left out of it.
    treated, controls : int
        Planned numbers of clusters (units, if the panel has no larger clusters).
    before, after : int
        Planned numbers of periods.

    Returns
    -------
    Precision
        With `treated` + `controls` - 2 degrees of freedom.

    Raises
    ------
    ApmkitError
        A number is not positive, or there are not three clusters in all.
    PanelError
        No window has so many periods without treatment in two clusters, or weights vary over time.

    References
    ----------
    Burlig, F., Preonas, L. and Woerman, M. (2020), Journal of Development Economics 144.
    """
    check_panel(panel)
    positive_whole(treated=treated, controls=controls, before=before, after=after)
    if treated + controls < 3:
        raise ApmkitError(f"treated={treated} and controls={controls} leave no degree of freedom: plan three in all.")
    changes, clean = clean_windows(panel, before, after)
    weights = np.ones(len(changes)) if panel.weights is None else panel.weights
    if weights.ndim == 2:
        raise PanelError("Weights of the panel vary over time: give it weights that are constant within a unit.")
    mass = weights[:, None] * clean
    total = mass.sum(axis=0)
    centred = mass * (changes - (mass * changes).sum(axis=0) / np.where(total > 0, total, 1))
    scores, sizes = np.zeros((2, panel.n_clusters, changes.shape[1]))
    np.add.at(scores, panel.cluster_codes, centred)
    np.add.at(sizes, panel.cluster_codes, mass)
    clusters = np.count_nonzero(sizes, axis=0)
    usable = clusters > 1
    if not usable.any():
        raise PanelError(
            f"No {before + after} consecutive periods are without treatment and gap in two clusters: plan fewer "
            "periods."
        )
    size = total[usable] / clusters[usable]
    # Windows with more clusters say more of the variance.
    variance = ((scores[:, usable] / size) ** 2).sum() / (clusters[usable] - 1).sum()
    se = math.sqrt(variance * (1 / treated + 1 / controls))
    return Precision(
        f"difference-in-differences, {before} periods before and {after} after", se, treated + controls - 2
    )


def clean_windows(panel: Panel, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """Changes of units over windows of consecutive periods, and where they rest on untreated outcomes only.

    Returns
    -------
    changes, clean : ndarray, shape (n_units, n_windows)
    """
    usable = panel.observed & ~panel.treated
    outcomes = np.where(usable, panel.outcomes, np.nan)
    counts = usable.sum(axis=0)
    mean = np.divide(np.nansum(outcomes, axis=0), counts, out=np.zeros(len(counts)), where=counts > 0)
    filled = np.where(usable, outcomes - mean, 0.0)
    windows = max(len(panel.periods) - before - after + 1, 0)

    def sums(values, start, length):
        total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
        return total[:, start + length : start + length + windows] - total[:, start : start + windows]

    changes = sums(filled, before, after) / after - sums(filled, 0, before) / before
    return changes, sums(usable.astype(int), 0, before + after) == before + after


def cluster_trial_precision(
    *, sd: float, icc: float, clusters: tuple[int, int], cluster_size: float, cv: float = 0.0
) -> Precision:
    """Precision of a trial that assigns whole clusters, for instance clinics, and compares means of their patients.

    Parameters
    ----------
    sd : float
        Standard deviation of the outcome among patients.
    icc : float
        Intra-cluster correlation: share of the variance that lies between clusters.
    clusters : (int, int)
        Treated and control.
    cluster_size : float
        Mean number of patients.
    cv : float
        Coefficient of variation of the numbers of patients.

    Returns
    -------
    Precision
        With clusters - 2 degrees of freedom.

    Raises
    ------
    ApmkitError
        A number is out of its range, or there are not three clusters in all.

    References
    ----------
    Donner, A. and Klar, N. (2000), Design and Analysis of Cluster Randomization Trials in Health Research, chapter 5;
    Eldridge, S. M., Ashby, D. and Kerry, S. (2006), International Journal of Epidemiology 35(5), for unequal sizes.
    """
    _check_clusters(sd, icc, cluster_size)
    if not isinstance(cv, Real) or not 0 <= cv < math.inf:
        raise ApmkitError(f"cv={cv!r} is not a coefficient of variation: give zero or a positive number.")
    try:
        treated, controls = clusters
    except (TypeError, ValueError):
        raise ApmkitError(f"clusters={clusters!r} is not a pair: give (treated, control).") from None
    positive_whole(treated=treated, controls=controls)
    if treated + controls < 3:
        raise ApmkitError(f"clusters={clusters!r} leave no degree of freedom: plan three in all.")
    effect_of_design = 1 + ((1 + cv**2) * cluster_size - 1) * icc
    se = sd * math.sqrt(effect_of_design / cluster_size * (1 / treated + 1 / controls))
    return Precision("cluster trial", se, treated + controls - 2)


def stepped_wedge_precision(
    *, sd: float, icc: float, schedule, cluster_size: float, autocorrelation: float = 1.0
) -> Precision:
    """Precision of a stepped-wedge trial: clusters start treatment at different times, with other patients each period.

    Generalised least squares on means by cluster and period, with effects of periods.

    Parameters
    ----------
    sd : float
        Standard deviation of the outcome among patients of a period.
    icc : float
        Intra-cluster correlation within a period.
    schedule : array of 0 and 1, shape (clusters, periods)
        Where treatment is on.
    cluster_size : float
        Patients of a cluster in a period.
    autocorrelation : float
        Correlation of a cluster's effects one period apart, decaying as a power of the distance. One is Hussey and
        Hughes's constant effect, which overstates precision when effects drift.

    Returns
    -------
    Precision
        With the normal distribution as reference.

    Raises
    ------
    ApmkitError
        A number is out of its range, or the schedule is not of 0 and 1 or cannot tell treatment from periods.

    References
    ----------
    Hussey, M. A. and Hughes, J. P. (2007), Contemporary Clinical Trials 28(2); Kasza, J. et al. (2019), Statistical
    Methods in Medical Research 28(3), for the decay.

    Examples
    --------
    Four steps of six clusters, all under control in the first period:

    >>> schedule = np.repeat(np.triu(np.ones((4, 5)), 1), 6, axis=0)
    >>> round(stepped_wedge_precision(sd=1.0, icc=0.05, schedule=schedule, cluster_size=20).se, 4)
    0.0691
    """
    _check_clusters(sd, icc, cluster_size)
    if not isinstance(autocorrelation, Real) or not 0 <= autocorrelation <= 1:
        raise ApmkitError(f"autocorrelation={autocorrelation!r} is not between 0 and 1: give 1 for a constant effect.")
    on = numbers(schedule, "schedule")
    if on.ndim != 2 or not np.isin(on, (0.0, 1.0)).all():
        raise ApmkitError("schedule is not a table of 0 and 1: give one row for each cluster and one column a period.")
    distance = np.abs(np.subtract.outer(np.arange(on.shape[1]), np.arange(on.shape[1])))
    within = sd**2 * (1 - icc) / cluster_size
    inverse = np.linalg.inv(sd**2 * icc * float(autocorrelation) ** distance + within * np.eye(on.shape[1]))
    centred = on - on.mean(axis=0)  # the effects of periods take up what clusters share
    information = np.einsum("ct,ts,cs->", centred, inverse, centred)
    if information <= 1e-12 * np.abs(inverse).max():
        raise ApmkitError("schedule treats all clusters alike in every period: let some start later.")
    return Precision("stepped wedge", 1 / math.sqrt(information))


def _terms(study):
    if isinstance(study, Precision):
        return [study.design], np.array([study.se]), study.degrees_of_freedom
    if not isinstance(study, Estimate):
        raise ApmkitError(
            f"Power is of an Estimate or a Precision, not of {type(study).__name__}: give a result, or a plan from "
            "did_precision, cluster_trial_precision or stepped_wedge_precision."
        )
    se = study.table["se"].to_numpy(dtype=float)
    if not (np.isfinite(se) & (se > 0)).all():
        raise ApmkitError(f"{study.estimator} has a term without a standard error: power needs one.")
    return study.table["term"].tolist(), se, study.degrees_of_freedom


def _power(ratio: np.ndarray, df: float, level: float) -> np.ndarray:
    """Chance that an estimate lies significantly on either side of zero, by effect over standard error."""
    if math.isinf(df):
        critical = special.ndtri(0.5 + level / 2)
        return special.ndtr(ratio - critical) + special.ndtr(-ratio - critical)
    # The square of a noncentral t is a noncentral F, which holds both tails.
    return 1 - special.ncfdtr(1, df, ratio**2, special.stdtrit(df, 0.5 + level / 2) ** 2)


def effects_of(effects) -> np.ndarray:
    """Effects as an array of finite numbers."""
    values = np.atleast_1d(numbers(effects, "effects"))
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ApmkitError("effects must be finite numbers in units of the outcome: give at least one.")
    return values


def positive_whole(**numbers: int) -> None:
    """Refuse a number that counts nothing."""
    for name, value in numbers.items():
        if not isinstance(value, Integral) or value < 1:
            raise ApmkitError(f"{name}={value!r} is not a positive whole number: say how many there will be.")


def _check_clusters(sd, icc, cluster_size):
    if not isinstance(sd, Real) or not 0 < sd < math.inf:
        raise ApmkitError(f"sd={sd!r} is not a standard deviation: give a positive number.")
    if not isinstance(icc, Real) or not 0 <= icc < 1:
        raise ApmkitError(f"icc={icc!r} is not a share: give a number from 0 to below 1.")
    if not isinstance(cluster_size, Real) or not 1 <= cluster_size < math.inf:
        raise ApmkitError(f"cluster_size={cluster_size!r} is not usable: give the mean number of patients, 1 or more.")
