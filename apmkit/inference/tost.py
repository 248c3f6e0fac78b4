"""What an estimate rules out: tests that an effect, or a pre-trend, is small."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
import pandas as pd
from scipy import special

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate, rounded


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
    'visits: the data rule out a rise or fall of more than 1.12 (95% confidence).'
    """
    if not isinstance(margin, Real) or not 0 < margin < math.inf:
        raise ApmkitError(f"margin={margin!r} must be above zero: the smallest effect that would matter.")
    if not isinstance(level, (int, float)) or not 0.5 < level < 1:
        raise ApmkitError(f"level={level!r} is not between 0.5 and 1: give 0.95 for a test of size 5%.")
    table = estimate.table
    chosen, pretrend = _chosen(table, terms)
    if not (np.isfinite(chosen["se"]) & (chosen["se"] > 0)).all():
        raise ApmkitError(
            f"{chosen['term'].iloc[0]!r} has no standard error: use an estimator whose inference is not by permutation."
        )
    df = estimate.degrees_of_freedom
    normal = math.isinf(df)
    quantile = special.ndtri(level) if normal else special.stdtrit(df, level)
    size, se = chosen["estimate"].abs().to_numpy(), chosen["se"].to_numpy()
    worst = int(np.argmax(size + quantile * se))
    t = ((size - margin) / se).max()
    p_value = float(special.ndtr(t) if normal else special.stdtr(df, t))
    row, rules_out = chosen.iloc[worst], float((size + quantile * se)[worst])
    what = "a difference in trends before treatment" if pretrend else "a rise or fall"
    return pd.Series(
        {
            "margin": float(margin),
            "p_value": p_value,
            "rules_out": rules_out,
            "term": row["term"],
            "low": row["estimate"] - quantile * row["se"],
            "high": row["estimate"] + quantile * row["se"],
            "sentence": f"{estimate.outcome}: the data rule out {what} of more than {rounded(rules_out, row['se'])} "
            f"({100 * level:.6g}% confidence).",
        }
    )


def _chosen(table: pd.DataFrame, terms: str | list[str] | None) -> tuple[pd.DataFrame, bool]:
    """The rows to test, and whether they are the pre-trends."""
    if terms is not None:
        terms = [terms] if isinstance(terms, str) else list(terms)
        unknown = sorted(set(terms) - set(table["term"]))
        if unknown or not terms:
            what = f"There is no term {unknown[0]!r}" if unknown else "No term is named"
            raise ApmkitError(f"{what}: the terms are {', '.join(table['term'])}.")
        return table[table["term"].isin(terms)], False
    if len(table) == 1:
        return table, False
    if "relative_time" not in table or not (table["relative_time"] < 0).any():
        raise ApmkitError("There are several terms and none before treatment: name the terms to test.")
    return table[table["relative_time"] < 0], True
