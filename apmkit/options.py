"""What users give to public functions, checked; each refusal is one sentence."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError, PanelError

if TYPE_CHECKING:
    from apmkit.estimate import Estimate


def check_level(level: float) -> None:
    """Refuse a confidence level that is none."""
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ApmkitError(f"level={level!r} is not between 0 and 1: give 0.95 for a 95% confidence interval.")


def check_draws(draws: int) -> None:
    """Refuse so few draws that no p value or quantile follows."""
    if not isinstance(draws, Integral) or draws < 99:
        raise ApmkitError(f"draws={draws!r} is too few: give a whole number of at least 99, better 9,999.")


def check_seed(seed: int) -> None:
    """Refuse a seed that starts no sequence, or a new one each time."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise ApmkitError(f"seed={seed!r} is not a whole number of at least zero: the same seed gives the same result.")


def check_estimate(value) -> None:
    """Refuse what is no Estimate."""
    from apmkit.estimate import Estimate

    if not isinstance(value, Estimate):
        raise ApmkitError(
            f"An Estimate is needed, not {type(value).__name__}: give the result of an estimator, or make one of "
            "published numbers by Estimate.from_covariance."
        )


def check_panel(value) -> None:
    """Refuse what is no Panel."""
    from apmkit.panel import Panel

    if not isinstance(value, Panel):
        raise PanelError(
            f"A Panel is needed, not {type(value).__name__}: apmkit.Panel(data, unit=..., time=..., outcome=..., "
            "cohort=...)."
        )


def check_estimator(value) -> None:
    """Refuse what is no function of a panel."""
    if not callable(value):
        raise ApmkitError(
            f"estimator is of type {type(value).__name__}: give a function that takes a panel, for instance "
            "apmkit.twfe, without calling it."
        )


def estimated(estimator, panel) -> Estimate:
    """What an estimator makes of a panel, which must be an Estimate."""
    from apmkit.estimate import Estimate

    check_estimator(estimator)
    result = estimator(panel)
    if not isinstance(result, Estimate):
        raise ApmkitError(f"The estimator gives {type(result).__name__}: it must give an Estimate.")
    return result


def numbers(values, name: str) -> np.ndarray:
    """Values as an array of floats."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ApmkitError(f"{name} must hold numbers only: it cannot be read as an array of them.") from None


def check_covariance(labels, estimates: np.ndarray, covariance: np.ndarray) -> None:
    """Refuse estimates or a covariance that do not fit their labels, or a covariance that is none."""
    k = len(labels)
    if estimates.shape != (k,) or covariance.shape != (k, k):
        raise ApmkitError(
            f"There are {k} terms, but estimates of shape {estimates.shape} and a covariance of shape "
            f"{covariance.shape}: give one estimate for each term, and a row and a column of the covariance."
        )
    if np.isinf(covariance).any() or np.isinf(estimates).any():
        raise ApmkitError("An estimate or a variance is infinite: give finite numbers, or leave such terms out.")
    variance = np.diag(covariance)
    scale = np.nanmax(np.abs(variance), initial=0.0)
    if (variance < -1e-9 * scale).any():
        raise ApmkitError(
            f"The variance of {labels[int(np.nanargmin(variance))]!r} is negative: the covariance given is not a "
            "covariance."
        )
    if np.nanmax(np.abs(covariance - covariance.T), initial=0.0) > 1e-6 * scale:
        raise ApmkitError("The covariance is not symmetric: give the covariance of each pair of terms twice.")
