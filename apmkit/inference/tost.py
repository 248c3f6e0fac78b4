"""What an estimate rules out: tests that an effect, or a pre-trend, is small."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
import pandas as pd
from scipy import special

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.inference.joint import before_treatment, named
from apmkit.options import check_estimate
from apmkit.words import rounded


def equivalence(
    estimate: Estimate, margin: float, terms: str | list[str] | None = None, *, level: float = 0.95
) -> pd.Series:
    """Two one-sided tests that every one of `terms` lies within `margin` of zero.

    The usual test takes no effect for granted until the data contradict it; this one takes an effect of at least
    `margin` for granted. So a small p value is evidence that there is nothing as large as the margin.

    Parameters
    ----------
    estimate : Estimate
    margin : float
        Smallest effect that would matter, above zero, in units of the outcome. Choose it before seeing the estimate.
    terms : str or list of str, optional
        By default the only term, or in an event study all terms before treatment.
    level : float
        One less the size of the test.

    Returns
    -------
    Series
        `margin`; `p_value` that all terms lie within it, the largest over terms; `rules_out`, the smallest margin that
        the test accepts at `level`; `term`, the one that decides; `low` and `high`, its two-sided interval at
        ``2 * level - 1``; `sentence`.

    Raises
    ------
    ApmkitError
        The margin is not above zero, `level` is not between 0.5 and 1, a term does not exist or has no standard error,
        or there are several terms and none before treatment.

    References
    ----------
    Schuirmann, D. J. (1987), Journal of Pharmacokinetics and Biopharmaceutics 15(6); for pre-trends Hartman, E. and
    Hidalgo, F. D. (2018), American Journal of Political Science 62(4), and Dette, H. and Schumann, M. (2024), Journal
    of Business & Economic Statistics 42(4), whose intersection-union test of the largest coefficient this is.

    Examples
    --------
    >>> trial = Estimate.from_covariance(
    ...     pd.DataFrame({"term": ["ATT"]}), np.array([0.3]), np.array([[0.25]]), estimand="ATT", estimator="published",
    ...     outcome="visits", n_obs=400, n_units=80, n_clusters=80,
    ... )
    >>> equivalence(trial, 1.5)["sentence"]
    'visits: the data rule out a rise or fall of more than 1.13 (95% confidence).'
    """
    check_estimate(estimate)
    if not isinstance(margin, Real) or not 0 < margin < math.inf:
        raise ApmkitError(f"margin={margin!r} must be above zero: the smallest effect that would matter.")
    if not isinstance(level, Real) or not 0.5 < level < 1:
        raise ApmkitError(f"level={level!r} is not between 0.5 and 1: give 0.95 for a test of size 5%.")
    pretrend = terms is None and len(estimate.table) > 1
    if terms is not None:
        chosen = named(estimate, terms)
    else:
        chosen = before_treatment(estimate) if pretrend else np.ones(1, dtype=bool)
    table = estimate.table[chosen]
    if pretrend:  # the reference period is zero by definition
        table = table[(table["estimate"] != 0) | (table["se"] != 0)]
        if table.empty:
            raise ApmkitError("No term before treatment has a standard error: the outcome does not vary there.")
    values, se = table["estimate"].to_numpy(dtype=float), table["se"].to_numpy(dtype=float)
    without = ~np.isfinite(values) | ~(np.isfinite(se) & (se > 0))
    if without.any():
        raise ApmkitError(f"{table['term'][without].iloc[0]!r} has no standard error: name other terms.")
    df = table["df"].to_numpy() if "df" in table else np.full(len(table), float(estimate.degrees_of_freedom))
    reach = np.abs(values) + special.stdtrit(df, level) * se
    worst = int(np.argmax(reach))
    row, rules_out = table.iloc[worst], float(reach[worst])
    half = rules_out - abs(row["estimate"])
    what = "a difference in trends before treatment" if pretrend else "a rise or fall"
    return pd.Series(
        {
            "margin": float(margin),
            "p_value": float(special.stdtr(df, (np.abs(values) - margin) / se).max()),
            "rules_out": rules_out,
            "term": row["term"],
            "low": row["estimate"] - half,
            "high": row["estimate"] + half,
            "sentence": f"{estimate.outcome}: the data rule out {what} of more than {_upwards(rules_out, row['se'])} "
            f"({100 * level:.6g}% confidence).",
        }
    )


def _upwards(value: float, precision: float) -> str:
    """A number in as many digits as `rounded` gives, and no less: what is ruled out may not be rounded down."""
    digits = max(0, 1 - math.floor(math.log10(precision)))
    return rounded(math.ceil(value * 10**digits * (1 - 1e-12)) / 10**digits, precision)
