"""The coefficients of an event study, split at the reference period and checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apmkit.errors import ApmkitError, warn
from apmkit.estimate import Estimate
from apmkit.options import check_estimate, numbers


@dataclass(frozen=True)
class Coefficients:
    """Coefficients in the order of time, with none for the reference period, from which time is counted.

    Attributes
    ----------
    times : ndarray of int, shape (terms,)
        Relative times as the estimate labels them.
    steps : ndarray of int, shape (terms,)
        Periods since the reference: ..., -2, -1, 1, 2, ...
    estimates : ndarray, shape (terms,)
    covariance : ndarray, shape (terms, terms)
    n_before : int
        Coefficients before the reference.
    """

    times: np.ndarray
    steps: np.ndarray
    estimates: np.ndarray
    covariance: np.ndarray
    n_before: int

    @classmethod
    def of(cls, estimate: Estimate) -> Coefficients:
        """Read them from an event study.

        Raises
        ------
        ApmkitError
            The terms have no relative time or are not relative to one period; no covariance, or a singular one; no
            coefficient before or after the reference; a time is missing, not whole, or occurs twice.

        Warns
        -----
        DesignWarning
            There are fewer than five clusters for each coefficient.
        """
        check_estimate(estimate)
        table = estimate.table
        if "relative_time" not in table or "cohort" in table:
            raise ApmkitError('These terms are not an event study: call aggregate("event") first, or use event_study.')
        if estimate.diagnostics.get("base_period") == "varying":
            raise ApmkitError(
                "Coefficients before treatment are changes from one period to the next here: estimate with "
                "base_period='universal', so that all are relative to the last period before treatment."
            )
        reference = -1 - int(estimate.diagnostics.get("anticipation", 0))
        times = numbers(table["relative_time"], "relative_time")
        broken = times[times != np.round(times)]
        if len(broken):
            raise ApmkitError(f"Relative time {broken[0]} is not a whole number: count periods since treatment began.")
        times = times.astype(int)
        values, covariance = table["estimate"].to_numpy(dtype=float), estimate.covariance.to_numpy(dtype=float)
        is_reference = times == reference
        if (is_reference & ((values != 0) | (np.diag(covariance) > 0))).any():
            raise ApmkitError(
                f"Relative time {reference} has an estimate of its own, so it is not the reference of the others: use "
                "event_study, sun_abraham or callaway_santanna(base_period='universal')."
            )
        order = np.flatnonzero(~is_reference)[np.argsort(times[~is_reference], kind="stable")]
        times, values, covariance = times[order], values[order], covariance[np.ix_(order, order)]
        steps = times - reference
        n_before = int((steps < 0).sum())
        if not 0 < n_before < len(times):
            where = "before" if n_before == 0 else "after"
            raise ApmkitError(
                f"There is no coefficient {where} the reference period {reference}: use an event study with periods "
                "on both sides of it."
            )
        expected = np.setdiff1d(np.arange(times[0], times[-1] + 1), [reference])
        if not np.array_equal(times, expected):
            twice = times[:-1][np.diff(times) == 0]
            gap = np.setdiff1d(expected, times)
            what = f"occurs twice: {twice[0]}" if len(twice) else f"is missing: {gap[0]}"
            raise ApmkitError(
                f"A relative time {what}; the times must follow each other: number the periods 1, 2, 3, or give an "
                "Estimate of consecutive times."
            )
        if not np.isfinite(values).all() or not np.isfinite(covariance).all():
            raise ApmkitError(
                f"{estimate.estimator} has no covariance of these coefficients: use an estimator with standard errors."
            )
        variance = np.diag(covariance)
        scale = np.sqrt(np.where(variance > 0, variance, 1.0))
        smallest = np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0]
        if (variance <= 0).any() or smallest < 1e-10:
            raise ApmkitError(
                f"The covariance of the {len(times)} coefficients is singular ({estimate.n_clusters} clusters): keep "
                "fewer periods, or use more or finer clusters."
            )
        if estimate.n_clusters < 5 * len(times):
            warn(
                f"{estimate.n_clusters} clusters stand behind the covariance of {len(times)} coefficients, which is "
                "taken as known: results that rest on all of them are too sure; keep fewer periods, or pool them."
            )
        return cls(times, steps, values, covariance, n_before)

    @property
    def before(self) -> slice:
        """Positions of the coefficients before the reference period."""
        return slice(0, self.n_before)

    @property
    def after(self) -> slice:
        """Positions of the coefficients after the reference period."""
        return slice(self.n_before, None)

    @property
    def changes(self) -> np.ndarray:
        """Matrix that takes coefficients to their changes from period to period, zero at the reference."""
        path = np.insert(np.eye(len(self.times)), self.n_before, 0.0, axis=0)
        return np.diff(path, axis=0)
