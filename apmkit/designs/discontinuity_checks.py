"""Checks of a regression discontinuity: covariates that should not jump, false cutoffs, other bandwidths."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd

from apmkit.columns import finite
from apmkit.designs.discontinuity import bandwidth_pair, check_cutoff, regression_discontinuity
from apmkit.designs.sample import check_columns, names_of
from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.inference.outcomes import adjust_p_values


def covariate_tests(
    data: pd.DataFrame, *, covariates: str | Sequence[str], running: str, cutoff: float = 0.0, **options
) -> pd.DataFrame:
    """The jump at the cutoff of what the rule cannot have changed.

    A jump says that those just above differ from those just below in more than the rule, as when people choose their
    side. Each covariate has its own bandwidth unless one is given.

    Parameters
    ----------
    data : DataFrame
    covariates : str or list of str
        Columns of numbers, fixed before the rule applied.
    running : str
    cutoff : float
    **options
        For `regression_discontinuity`.

    Returns
    -------
    DataFrame
        `covariate`, `estimate`, `se`, `ci_low`, `ci_high`, `p_value`, `p_holm` (adjusted for their number),
        `bandwidth`, `n_below`, `n_above`.

    Raises
    ------
    ApmkitError, EstimationError
        As in `regression_discontinuity`.

    References
    ----------
    Lee, D. S. (2008), Journal of Econometrics 142(2), proposition 2; Holm (1979) as in `adjust_p_values`.
    """
    names = names_of(covariates, "covariates")
    if not names:
        raise ApmkitError("covariates is empty: name the columns that the rule cannot have changed.")
    rows = [_row(regression_discontinuity(data, outcome=name, running=running, cutoff=cutoff, **options))
            for name in names]  # fmt: skip
    table = pd.DataFrame({"covariate": names}).join(pd.DataFrame(rows))
    table.insert(table.columns.get_loc("p_value") + 1, "p_holm", adjust_p_values(table["p_value"]))
    return table


def placebo_cutoffs(
    data: pd.DataFrame,
    *,
    outcome: str,
    running: str,
    cutoff: float = 0.0,
    cutoffs: Sequence[float] | None = None,
    **options,
) -> pd.DataFrame:
    """The jump at cutoffs where no rule switches; a sound design finds none.

    Only rows on the same side of the true cutoff are used, so that its effect cannot enter.

    Parameters
    ----------
    data : DataFrame
    outcome, running : str
    cutoff : float
        The true one.
    cutoffs : list of float, optional
        False ones; by default the median of the running variable on each side.
    **options
        For `regression_discontinuity`.

    Returns
    -------
    DataFrame
        `cutoff`, `estimate`, `se`, `ci_low`, `ci_high`, `p_value`, `bandwidth`, `n_below`, `n_above`.

    Raises
    ------
    ApmkitError, EstimationError
        A false cutoff is the true one, or as in `regression_discontinuity`.

    References
    ----------
    Imbens, G. and Lemieux, T. (2008), Journal of Econometrics 142(2), section 7.
    """
    check_columns(data, outcome=outcome, running=running)
    values = finite(data, running)
    check_cutoff(cutoff)
    if cutoffs is None:
        sides = [v for v in (values[values < cutoff], values[values >= cutoff]) if len(v)]
        cutoffs = [float(np.median(v)) for v in sides]
    rows = []
    for false in np.atleast_1d(np.asarray(cutoffs, dtype=object)):
        check_cutoff(false)
        if false == cutoff:
            raise ApmkitError(f"cutoffs holds the true cutoff {cutoff:g}: give values at which no rule switches.")
        same = data[values < cutoff] if false < cutoff else data[values >= cutoff]
        fit = regression_discontinuity(same, outcome=outcome, running=running, cutoff=false, **options)
        rows.append({"cutoff": false, **_row(fit)})
    return pd.DataFrame(rows)


def bandwidth_sensitivity(
    data: pd.DataFrame,
    *,
    outcome: str,
    running: str,
    multiples: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
    bandwidth: float | tuple[float, float] | None = None,
    **options,
) -> pd.DataFrame:
    """The estimate at multiples of the bandwidth; that of the bias moves along.

    Narrower bandwidths trade bias for noise. An estimate that drifts as the bandwidth grows rests on the polynomial.

    Parameters
    ----------
    data : DataFrame
    outcome, running : str
    multiples : list of float
    bandwidth : float or (float, float), optional
        What is multiplied; by default the bandwidth of least mean squared error.
    **options
        For `regression_discontinuity`.

    Returns
    -------
    DataFrame
        `multiple`, `estimate`, `se`, `ci_low`, `ci_high`, `p_value`, `bandwidth`, `n_below`, `n_above`.

    Raises
    ------
    ApmkitError, EstimationError
        A multiple is not positive, or as in `regression_discontinuity`.

    References
    ----------
    Cattaneo, M. D., Idrobo, N. and Titiunik, R. (2020), A Practical Introduction to Regression Discontinuity Designs,
    section 5.
    """
    multiples = np.atleast_1d(np.asarray(multiples, dtype=object))
    for multiple in multiples:
        if not isinstance(multiple, Real) or not 0 < multiple < np.inf:
            raise ApmkitError(f"multiples holds {multiple!r}: give positive numbers.")
    if bandwidth is None:
        chosen = regression_discontinuity(data, outcome=outcome, running=running, **options).details["bandwidths"]
        bandwidth = tuple(chosen.loc[0, ["h", "b"]])
    pair = bandwidth_pair(bandwidth, "estimate, bias")
    rows = []
    for multiple in multiples:
        scaled = tuple(float(multiple) * width for width in pair)
        fit = regression_discontinuity(data, outcome=outcome, running=running, bandwidth=scaled, **options)
        rows.append({"multiple": multiple, **_row(fit)})
    return pd.DataFrame(rows)


def _row(fit: Estimate) -> dict:
    sizes = fit.details["bandwidths"]
    below, above = sizes["n_h"]
    return {**fit.table.iloc[0].drop("term"), "bandwidth": sizes.loc[0, "h"], "n_below": below, "n_above": above}
