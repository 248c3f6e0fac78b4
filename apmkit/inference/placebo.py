"""The same design where no effect can be: other dates, other outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from apmkit.errors import ApmkitError, PanelError
from apmkit.estimate import Estimate
from apmkit.inference.outcomes import adjust_p_values
from apmkit.options import check_panel, estimated, numbers
from apmkit.panel import Panel

COLUMNS = ["estimate", "se", "ci_low", "ci_high", "p_value"]


def placebo_dates(
    panel: Panel, estimator: Callable[[Panel], Estimate], dates: Sequence[int] | None = None
) -> pd.DataFrame:
    """The effect found if treatment is said to start earlier, on periods before it did; a sound design finds none.

    Parameters
    ----------
    panel : Panel
    estimator : callable
        Takes a panel and returns an Estimate of one term, for instance `apmkit.twfe` or
        ``lambda panel: apmkit.callaway_santanna(panel).aggregate("simple")``.
    dates : sequence of int, optional
        Pretended starts. By default every period between the second one and the last before anyone was treated.

    Returns
    -------
    DataFrame
        One row for each date: `date`, `estimate`, `se`, `ci_low`, `ci_high`, `p_value`, and `p_adjusted` (Holm), to
        read all rows together.

    Raises
    ------
    PanelError
        A date is not one of those periods, or there is none; or as in `estimator`.
    ApmkitError
        The estimator returns several terms.

    References
    ----------
    Imbens, G. and Wooldridge, J. (2009), Journal of Economic Literature 47(1), section 5.11.

    Examples
    --------
    >>> import apmkit
    >>> frame = pd.DataFrame({"clinic": [*range(40)] * 6, "year": sorted([*range(2018, 2024)] * 40)})
    >>> frame["visits"] = frame.index % 7 / 10
    >>> frame["start"] = frame["clinic"].map(lambda clinic: 2022 if clinic < 20 else None)
    >>> panel = Panel(frame, unit="clinic", time="year", outcome="visits", cohort="start")
    >>> placebo_dates(panel, apmkit.twfe)["date"].tolist()
    [2019, 2020, 2021]
    """
    check_panel(panel)
    if dates is None:
        dates = panel.periods[panel.periods < panel.cohorts.min()][1:].tolist()
        if not dates:
            raise PanelError(
                f"Column {panel.time!r} has fewer than two periods before treatment: a placebo date needs one earlier."
            )
    else:
        dates = np.atleast_1d(numbers(dates, "dates"))
        if not len(dates) or len(np.unique(dates)) < len(dates) or (dates != np.round(dates)).any():
            raise PanelError(f"dates={dates.tolist()} must be whole numbers, each once: leave it out to try all.")
    return _table("date", {int(date): estimated(estimator, panel.backdate(int(date))) for date in dates})


def placebo_outcomes(
    data: pd.DataFrame, outcomes: Sequence[str], estimator: Callable[[Panel], Estimate], **columns
) -> pd.DataFrame:
    """The effect found on outcomes that the reform cannot move; a sound design finds none.

    Parameters
    ----------
    data : DataFrame
        One row per unit and period.
    outcomes : sequence of str
        Columns that treatment cannot affect but whose trends would differ for the same reasons.
    estimator : callable
        Takes a panel and returns an Estimate of one term.
    **columns
        Of `apmkit.Panel`: `unit`, `time`, `cohort`, ...

    Returns
    -------
    DataFrame
        One row for each outcome: `outcome`, `estimate`, `se`, `ci_low`, `ci_high`, `p_value`, `p_adjusted` (Holm).

    Raises
    ------
    ApmkitError
        No outcome is named, one is named twice, or the estimator returns several terms.
    PanelError
        As in `apmkit.Panel`.

    References
    ----------
    Lipsitch, M., Tchetgen Tchetgen, E. and Cohen, T. (2010), Epidemiology 21(3), on negative controls.
    """
    outcomes = list(outcomes) if isinstance(outcomes, (list, tuple, pd.Index)) else [outcomes]
    if not outcomes or outcomes[0] is None:
        raise ApmkitError("outcomes names no column of the data: give at least one.")
    if twice := [name for name in outcomes if outcomes.count(name) > 1]:
        raise ApmkitError(f"outcomes names {twice[0]!r} twice: once is enough.")
    return _table("outcome", {name: estimated(estimator, Panel(data, outcome=name, **columns)) for name in outcomes})


def _table(label: str, estimates: dict) -> pd.DataFrame:
    for key, estimate in estimates.items():
        if len(estimate.table) != 1:
            raise ApmkitError(
                f"The estimator gives {len(estimate.table)} terms for {label} {key}, and one is compared: let it end "
                'with aggregate("simple") or term(...).'
            )
    rows = pd.concat([estimate.table[COLUMNS] for estimate in estimates.values()], ignore_index=True)
    rows.insert(0, label, list(estimates))
    return rows.assign(p_adjusted=adjust_p_values(rows["p_value"]))
