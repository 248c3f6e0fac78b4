"""Ridge-augmented synthetic control (Ben-Michael, Feller & Rothstein 2021)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.errors import PanelError
from apmkit.estimate import Estimate
from apmkit.panel import Panel
from apmkit.synth.comparison import Comparison, Fit, pooled
from apmkit.synth.judgement import Design, Placebo, judge
from apmkit.synth.predictors import checked
from apmkit.synth.weights import TIES_ONLY, closest

_GRID = 1e-8 ** np.linspace(0, 1, 21)
"""Ridges that are tried, in units of the largest squared singular value of the donors' outcomes."""


def augmented_synthetic_control(
    panel: Panel,
    *,
    ridge: float | None = None,
    rule: Literal["one_se", "min"] = "one_se",
    intercept: bool = False,
    predictors: pd.DataFrame | None = None,
    max_pre_fit: float | None = None,
    placebo: Placebo | None = "permutation",
    draws: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Effect on the treated unit, with a synthetic control whose misfit before treatment is corrected by ridge
    regression.

    Weights may turn negative: where no average of donors comes close, the correction extrapolates, the more the smaller
    the ridge. The sum of negative weights is in `diagnostics`.

    Parameters
    ----------
    panel : Panel
        Balanced, with one cohort and, without `ridge`, at least three periods before treatment.
    ridge : float, optional
        Penalty of the regression, in squared units of the outcome. By default the one of 21 values, equally spaced in
        logs, that predicts the treated unit best in each period before treatment from the others.
    rule : {"one_se", "min"}
        The largest ridge whose mean squared error is within one standard error of the least, or the one with the least.
    intercept : bool
        Take outcomes as deviations from each unit's mean before treatment.
    predictors : DataFrame, optional
        One row per unit, one column per predictor, which the weights then balance exactly. Outcomes enter less their
        regression on them.
    max_pre_fit, placebo, draws, level, seed
        As in `synthetic_control`.

    Returns
    -------
    Estimate
        As from `synthetic_control`; `details` holds `cross_validation` (`ridge`, `error`, `se`) where a ridge was
        chosen, and `predictor_balance` with predictors.

    Raises
    ------
    PanelError
        As in `synthetic_control`; `ridge` is negative, or there are too few periods to choose one; as many predictors
        as donors, or predictors that are collinear among donors.

    Notes
    -----
    With X the outcomes of the donors (rows) before treatment less their mean over donors, x those of the treated unit,
    and w the synthetic control weights, the weights are ``w + (x - w X) (X'X + ridge I)^-1 X'``. R augsynth leaves the
    last period before treatment out of the cross-validation, though it is closest to what is predicted; here each
    period is held out once. At the same ridge the results are the same.

    References
    ----------
    Ben-Michael, E., Feller, A. and Rothstein, J. (2021), JASA 116(536), eqs. 8 and 16, secs. 5.3 and 6.

    Examples
    --------
    >>> frame = pd.DataFrame({
    ...     "province": list("aaaabbbbcccc"), "year": [2018, 2019, 2020, 2021] * 3,
    ...     "visits": [8.0, 9.0, 8.0, 6.0, 4.0, 5.0, 4.0, 5.0, 6.0, 7.0, 6.0, 7.0],
    ...     "start": [2021] * 4 + [None] * 8,
    ... })
    >>> panel = Panel(frame, unit="province", time="year", outcome="visits", cohort="start")
    >>> estimate = augmented_synthetic_control(panel, ridge=0.1, placebo=None)
    >>> estimate.details["donor_weights"].round(2)
      unit  weight
    0    c    1.98
    1    b   -0.98
    """
    comparison = Comparison.of(panel)
    if rule not in ("one_se", "min"):
        raise PanelError(f"rule={rule!r} is not known: give 'one_se' or 'min'.")
    if ridge is not None and not ridge >= 0:
        raise PanelError(f"ridge={ridge!r} is negative: give a penalty of zero or more, or leave it out.")
    weigh = augmented_weights(comparison, rule, intercept, predictors)
    everyone = comparison.treated[None], comparison.donors[None]
    tried = None
    if ridge is None:
        tried = weigh.cross_validation(comparison, *everyone)
        ridge = float(weigh.best(*tried)[0])
    else:
        weigh = replace(weigh, ridge=ridge)
    frozen = replace(weigh, ridge=ridge)
    weights = frozen(comparison, *everyone)[0][0]
    plain = closest(*frozen.outcomes(comparison, *everyone), frozen.ties, intercept=False)[0]

    def describe(estimated: Fit) -> dict[str, pd.DataFrame]:
        tables = {}
        if tried is not None:
            ridges, errors = tried
            tables["cross_validation"] = pd.DataFrame(
                {"ridge": ridges[0], "error": errors[0].mean(axis=0), "se": _standard_error(errors)[0]}
            )
        if predictors is not None:
            values = weigh.predictors
            tables["predictor_balance"] = pd.DataFrame(
                {
                    "predictor": predictors.columns,
                    "treated": values[comparison.treated].mean(axis=0),
                    "synthetic": estimated.weights[0] @ values[comparison.donors],
                    "donor_mean": values[comparison.donors].mean(axis=0),
                }
            )
        return tables

    return judge(
        Design(
            comparison,
            weigh,
            "Augmented synthetic control" + (" with intercept" if intercept else ""),
            kind="rmspe_ratio",
            shifted=intercept,
            settings={
                "ridge": ridge,
                "ridge_rule": "given" if tried is None else rule,
                "negative_weight": float(np.minimum(weights, 0).sum()),
                "weight_moved_by_ridge": float(np.abs(weights - plain).sum() / 2),
            },
            frozen=frozen,
            describe=describe,
        ),
        max_pre_fit=max_pre_fit,
        placebo=placebo,
        draws=draws,
        level=level,
        seed=seed,
        call=f"augmented_synthetic_control(panel, ridge={None if tried is not None else ridge}, rule={rule!r}, "
        f"intercept={intercept}, predictors={None if predictors is None else list(predictors.columns)}, "
        f"max_pre_fit={max_pre_fit}, placebo={placebo!r}, draws={draws}, level={level}, seed={seed})",
    )


def augmented_weights(
    comparison: Comparison, rule: str = "one_se", intercept: bool = False, predictors: pd.DataFrame | None = None
) -> AugmentedWeights:
    """Weights that find their own ridge, with predictors checked."""
    values = None
    if predictors is not None:
        values = checked(comparison, predictors).to_numpy(dtype=float)
        centred = values[comparison.donors] - values[comparison.donors].mean(axis=0)
        if len(comparison.donors) <= values.shape[1] + 1 or np.linalg.matrix_rank(centred) < values.shape[1]:
            raise PanelError(
                f"{values.shape[1]} predictors cannot be balanced by {len(comparison.donors)} donors, because the "
                "donors are too few or their predictors collinear: give fewer predictors."
            )
    return AugmentedWeights(TIES_ONLY * comparison.noise, rule, intercept, values)


@dataclass(frozen=True, eq=False)
class AugmentedWeights:
    """Synthetic control weights plus a ridge correction of their misfit.

    Attributes
    ----------
    ties : float
        Ridge of the synthetic control weights, which only settles ties.
    rule : str
    intercept : bool
    predictors : ndarray, shape (n_units, n_predictors), optional
    ridge : float, optional
        Found by cross-validation for each comparison where None.
    """

    ties: float
    rule: str
    intercept: bool
    predictors: np.ndarray | None = None
    ridge: float | None = None

    def __call__(self, comparison: Comparison, treated: np.ndarray, donors: np.ndarray):
        """Donor weights, which may be negative, and with an intercept uniform time weights."""
        target, pool = self.outcomes(comparison, treated, donors)
        ridge = self.ridge
        if ridge is None:
            ridge = self.best(*self.cross_validation(comparison, treated, donors))
        weights = closest(target, pool, self.ties, intercept=False)
        ridge = np.broadcast_to(ridge, len(target))[:, None]
        left, values, right = np.linalg.svd(pool, full_matrices=False)
        miss = ((target - (weights[:, None] @ pool)[:, 0])[:, None] @ right.transpose(0, 2, 1))[:, 0]
        weights = weights + (left @ (_shrunk(values, ridge) * miss)[:, :, None])[:, :, 0]
        if self.predictors is not None:
            z, own = self._centred_predictors(treated, donors)
            missed = own - (weights[:, None] @ z)[:, 0]
            weights = weights + (missed[:, None] @ np.linalg.pinv(z))[:, 0]
        n_pre = comparison.n_pre
        return weights, np.full((len(donors), n_pre), 1 / n_pre if self.intercept else 0.0)

    def outcomes(self, comparison: Comparison, treated: np.ndarray, donors: np.ndarray):
        """What is matched: outcomes before treatment of the treated (sets, n_pre) and the donors (sets, m, n_pre).

        Less the mean over donors and, with predictors, less the donors' regression on these.
        """
        n_pre = comparison.n_pre
        target, pool = pooled(comparison, treated)[:, :n_pre], comparison.outcomes[donors][:, :, :n_pre]
        if self.intercept:
            target = target - target.mean(axis=1, keepdims=True)
            pool = pool - pool.mean(axis=2, keepdims=True)
        mean = pool.mean(axis=1)
        target, pool = target - mean, pool - mean[:, None]
        if self.predictors is not None:
            z, own = self._centred_predictors(treated, donors)
            slopes = np.linalg.pinv(z) @ pool
            target, pool = target - (own[:, None] @ slopes)[:, 0], pool - z @ slopes
        return target, pool

    def cross_validation(self, comparison: Comparison, treated: np.ndarray, donors: np.ndarray):
        """Ridges (sets, 21) and squared errors in each period held out, shape (sets, n_pre, 21).

        Raises
        ------
        PanelError
            There are fewer than three periods before treatment.
        """
        n_pre = comparison.n_pre
        if n_pre < 3:
            raise PanelError(
                f"{n_pre} periods before treatment are too few to choose a ridge by cross-validation: give ridge=, or "
                "add earlier periods."
            )
        target, pool = self.outcomes(comparison, treated, donors)
        ridges = np.square(np.linalg.svd(pool, compute_uv=False)[:, :1]) * _GRID
        kept = np.array([np.delete(np.arange(n_pre), t) for t in range(n_pre)])
        n_sets, m = pool.shape[:2]
        folds = pool[:, :, kept].transpose(0, 2, 1, 3).reshape(n_sets * n_pre, m, n_pre - 1)
        goals = target[:, kept].reshape(n_sets * n_pre, n_pre - 1)
        held, goal = pool.transpose(0, 2, 1).reshape(-1, m), target.reshape(-1)
        weights = closest(goals, folds, self.ties, intercept=False)
        left, values, right = np.linalg.svd(folds, full_matrices=False)
        miss = ((goals - (weights[:, None] @ folds)[:, 0])[:, None] @ right.transpose(0, 2, 1))[:, 0]
        along = (held[:, None] @ left)[:, 0]
        shrunk = _shrunk(values[:, None], np.repeat(ridges, n_pre, axis=0)[:, :, None])
        predicted = (weights * held).sum(axis=1)[:, None] + (shrunk @ (along * miss)[:, :, None])[:, :, 0]
        return ridges, np.square(goal[:, None] - predicted).reshape(n_sets, n_pre, -1)

    def best(self, ridges: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """The ridge of each set."""
        mean = errors.mean(axis=1)
        least = mean.argmin(axis=1)[:, None]
        if self.rule == "min":
            return np.take_along_axis(ridges, least, axis=1)[:, 0]
        limit = np.take_along_axis(mean, least, axis=1) + np.take_along_axis(_standard_error(errors), least, axis=1)
        return np.where(mean <= limit, ridges, 0).max(axis=1)

    def _centred_predictors(self, treated, donors):
        z = self.predictors[donors]
        mean = z.mean(axis=1)
        return z - mean[:, None], self.predictors[treated].mean(axis=1) - mean


def _standard_error(errors: np.ndarray) -> np.ndarray:
    """Of the mean over periods held out, shape (sets, ridges)."""
    return errors.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])


def _shrunk(values: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Singular values of the ridge inverse; 0 where there is nothing to invert."""
    squares = np.square(values)
    used = squares > 1e-24 * squares.max(axis=-1, keepdims=True)
    return np.divide(values, squares + ridge, out=np.zeros(np.broadcast_shapes(values.shape, ridge.shape)), where=used)
