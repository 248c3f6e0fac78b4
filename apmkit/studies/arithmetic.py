"""Results that are calculated and not estimated."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate


def calculated(terms: Iterable[str], values: Iterable[float], *, n_units: int, **fields) -> Estimate:
    """Numbers that follow by arithmetic: without sampling error, so without interval and p-value.

    Parameters
    ----------
    terms, values : iterables of str and of float
    n_units : int
        Also the number of clusters.
    **fields
        `estimand`, `estimator`, `outcome`, `n_obs` and what else an `Estimate` takes.

    Examples
    --------
    >>> paid = calculated(["A", "B"], [3, 4], n_units=2, estimand="Pay", estimator="Rules", outcome="CAD", n_obs=2)
    >>> paid.table[["estimate", "ci_low"]].to_numpy().tolist()
    [[3.0, nan], [4.0, nan]]
    """
    names, numbers = pd.DataFrame({"term": list(terms)}), np.array([float(value) for value in values])
    unknown = np.full(len(numbers), np.nan)
    covariance = np.full((len(numbers), len(numbers)), np.nan)
    return Estimate.from_covariance(
        names, numbers, covariance, p_values=unknown, n_units=n_units, n_clusters=n_units, **fields
    )
