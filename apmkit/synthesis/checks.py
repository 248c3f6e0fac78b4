"""What a synthesis rests on: each study in turn, small-study effects, and effects from counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from apmkit.columns import finite, show
from apmkit.errors import EstimationError, PanelError, warn
from apmkit.synthesis.heterogeneity import Weighted, between_study_variance, check_method
from apmkit.synthesis.pooling import check_columns, estimates_and_variances, labels_of, meta_analysis


def leave_one_out(data: pd.DataFrame, *, label: str | None = None, **options) -> pd.DataFrame:
    """The mean effect without each study in turn.

    Parameters
    ----------
    data : DataFrame
        One row per study, at least three.
    label : str, optional
        Column that names the studies; the index by default.
    **options
        As in `meta_analysis`, without moderators.

    Returns
    -------
    DataFrame
        One row for each study left out: `left_out`, `estimate`, `se`, `ci_low`, `ci_high`, `p_value`, `tau2`, `I2`.

    Raises
    ------
    EstimationError
        Fewer than three studies, moderators are given, or as in `meta_analysis`.

    Examples
    --------
    >>> import pandas as pd
    >>> studies = pd.DataFrame({"estimate": [-0.9, -1.6, -1.3, -0.2], "se": [0.4, 0.3, 0.5, 0.2]})
    >>> leave_one_out(studies, method="DL")["estimate"].round(2).tolist()
    [-1.0, -0.69, -0.88, -1.34]
    """
    check_columns(data, [])
    if options.get("moderators"):
        raise EstimationError("leave_one_out is about a mean effect: leave moderators out of it.")
    if len(data) < 3:
        raise EstimationError(f"Leaving out one of {len(data)} studies leaves no synthesis: it needs at least three.")
    rows = []
    for at, name in enumerate(labels_of(data, label)):
        result = meta_analysis(data.iloc[np.arange(len(data)) != at], label=label, **options)
        numbers = result.table.loc[0, ["estimate", "se", "ci_low", "ci_high", "p_value"]]
        spread = result.details["heterogeneity"]["estimate"]
        rows.append({"left_out": name, **numbers, "tau2": spread["tau2"], "I2": spread["I2"]})
    return pd.DataFrame(rows)


def egger_test(
    data: pd.DataFrame, *, estimate: str = "estimate", se: str = "se", method: str = "REML", tolerance: float = 6e-5
) -> pd.Series:
    """Whether small studies find other effects than large ones, as happens if null results stay in the drawer.

    A regression of the estimates on their standard errors with random effects. A small p-value can also mean that small
    studies were of other programmes; a large one, with few studies, means little.

    Parameters
    ----------
    data : DataFrame
        One row per study, at least three.
    estimate, se : str
        Columns of estimates and their standard errors.
    method : str
        Estimator of the variance between studies, as in `meta_analysis`.
    tolerance : float
        As in `meta_analysis`.

    Returns
    -------
    Series
        `slope` (change of the effect with the standard error), `statistic` (normal), `p_value`, and `limit`, the effect
        that an infinitely large study would find by this line.

    Raises
    ------
    EstimationError
        Fewer than three studies, all standard errors are alike, or as in `meta_analysis`.

    Warns
    -----
    DesignWarning
        There are fewer than ten studies: the test hardly ever detects anything (Sterne et al. 2011).

    References
    ----------
    Egger, M., Davey Smith, G., Schneider, M. and Minder, C. (1997), BMJ 315; Sterne, J. A. C. et al. (2011), BMJ 343;
    the random-effects form of Viechtbauer (2010), Journal of Statistical Software 36(3).

    Examples
    --------
    >>> import pandas as pd, warnings
    >>> studies = pd.DataFrame({"estimate": [-0.9, -1.6, -1.3, -0.2], "se": [0.4, 0.3, 0.5, 0.2]})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     round(egger_test(studies)["p_value"], 2)
    np.float64(0.34)
    """
    check_method(method, tolerance)
    y, variance = estimates_and_variances(data, estimate, se)
    if len(y) < 3:
        raise EstimationError(f"A line through {len(y)} studies shows nothing: the test needs at least three.")
    error = np.sqrt(variance)
    if np.ptp(error) <= 1e-12 * error.max():
        raise EstimationError(f"All standard errors in {se!r} are alike: large and small studies cannot be compared.")
    if len(y) < 10:
        warn(
            f"The test has {len(y)} studies: with fewer than ten it hardly ever detects anything; read the funnel plot."
        )
    design = np.column_stack([np.ones(len(y)), error])
    tau2 = between_study_variance(y, variance, design, method, tolerance)[0]
    fit = Weighted.of(y, variance, design, tau2)
    statistic = fit.coefficients[1] / np.sqrt(fit.inverse[1, 1])
    return pd.Series(
        {"slope": fit.coefficients[1], "statistic": statistic, "p_value": 2 * stats.norm.sf(abs(statistic)),
         "limit": fit.coefficients[0]}
    )  # fmt: skip


def log_risk_ratio(
    data: pd.DataFrame, *, treated_events: str, treated_others: str, control_events: str, control_others: str
) -> pd.DataFrame:
    """Logarithm of the risk ratio and its standard error from the counts of two groups.

    In a study with an empty cell one half is added to all four of its cells.

    Parameters
    ----------
    data : DataFrame
        One row per study.
    treated_events, treated_others, control_events, control_others : str
        Columns of counts: people with and without the event.

    Returns
    -------
    DataFrame
        `estimate` and `se`, with the index of `data`.

    Raises
    ------
    PanelError
        A count is missing or negative, or a group is empty.

    References
    ----------
    Viechtbauer, W. (2010), Journal of Statistical Software 36(3), table 1.

    Examples
    --------
    >>> import pandas as pd
    >>> trials = pd.DataFrame({"te": [4], "to": [119], "ce": [11], "co": [128]})
    >>> log_risk_ratio(trials, treated_events="te", treated_others="to", control_events="ce",
    ...                control_others="co").round(3)
       estimate     se
    0    -0.889  0.571
    """
    columns = [treated_events, treated_others, control_events, control_others]
    check_columns(data, columns)
    counts = np.column_stack([finite(data, name) for name in columns])
    if (counts < 0).any():
        row, column = (int(at[0]) for at in np.nonzero(counts < 0))
        raise PanelError(
            f"Column {columns[column]!r} holds {counts[row, column]:g} at index {show(data.index[row])}: a count is "
            "zero or more."
        )
    empty = (counts[:, :2].sum(axis=1) == 0) | (counts[:, 2:].sum(axis=1) == 0)
    if empty.any():
        raise PanelError(f"A group has nobody in it at index {show(data.index[empty.argmax()])}: leave that study out.")
    counts = counts + 0.5 * (counts == 0).any(axis=1, keepdims=True)
    a, b, c, d = counts.T
    return pd.DataFrame(
        {
            "estimate": np.log(a / (a + b)) - np.log(c / (c + d)),
            "se": np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)),
        },
        index=data.index,
    )
