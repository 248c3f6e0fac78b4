"""Does the answer depend on when treatment is said to start, or on one donor?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from apmkit.errors import PanelError
from apmkit.estimate import Estimate
from apmkit.panel import Panel
from apmkit.synth.comparison import Comparison
from apmkit.synth.estimators import synthetic_control


def in_time_placebo(
    panel: Panel, period: int, *, method: Callable[..., Estimate] = synthetic_control, **options
) -> Estimate:
    """The effect found when treatment is said to start in `period`, before it did; a sound design finds none.

    Parameters
    ----------
    panel : Panel
    period : int
        Pretended first treated period. Periods from the true one on are left out.
    method : callable
        Of this room, for one cohort: `synthetic_control`, `augmented_synthetic_control`, `synthetic_did` or
        `difference_in_differences`.
    **options
        For `method`.

    Returns
    -------
    Estimate

    Raises
    ------
    PanelError
        `period` is not between the second period of the panel and the last one before treatment; or as in `method`.

    References
    ----------
    Abadie, A., Diamond, A. and Hainmueller, J. (2015), American Journal of Political Science 59(2).
    """
    Comparison.of(panel)
    return method(panel.backdate(period), **options)


def leave_one_donor_out(
    panel: Panel, *, method: Callable[..., Estimate] = synthetic_control, **options
) -> pd.DataFrame:
    """The estimate without each donor that has weight in it.

    Parameters
    ----------
    panel : Panel
    method : callable
        Of this room, for one cohort: `synthetic_control`, `augmented_synthetic_control`, `synthetic_did` or
        `difference_in_differences`.
    **options
        For `method`.

    Returns
    -------
    DataFrame
        One row per donor with a weight, largest first: `unit` left out, its `weight` in the full
        estimate, `estimate` and `pre_rmspe` without it.

    Raises
    ------
    PanelError
        Fewer than three donors; or as in `method`.

    References
    ----------
    Abadie, A., Diamond, A. and Hainmueller, J. (2015), American Journal of Political Science 59(2).
    """
    if np.isinf(panel.cohorts).sum() < 3:
        raise PanelError(f"The panel has {np.isinf(panel.cohorts).sum()} donors: leaving one out needs at least three.")
    weights = method(panel, placebo=None, **options).details["donor_weights"]
    weights = weights[weights["weight"] != 0].reset_index(drop=True)
    without = [method(panel.restrict(panel.units != unit), placebo=None, **options) for unit in weights["unit"]]
    return weights.assign(
        estimate=[e.table["estimate"].iloc[0] for e in without],
        pre_rmspe=[e.diagnostics["pre_rmspe"] for e in without],
    )
