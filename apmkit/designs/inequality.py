"""How unequal a rate is along an order of groups: slope and relative index of inequality."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from apmkit.columns import checksum, finite, show
from apmkit.designs.sample import check_columns
from apmkit.errors import ApmkitError, EstimationError
from apmkit.estimate import Estimate
from apmkit.options import check_level

WEIGHTS = ("population", "precision")


def slope_index_of_inequality(
    data: pd.DataFrame,
    *,
    rate: str,
    se: str,
    population: str,
    rank: str,
    weights: str = "population",
    level: float = 0.95,
) -> Estimate:
    """How much higher a rate is at the bottom of the social order than at its top, by the line that fits best.

    Groups are laid end to end from the most to the least advantaged, each as wide as its share of the population, and
    the rates are regressed on the middle of each group. The slope compares the two ends of the whole order, so that
    places can be compared whose groups differ in size. It is a summary of the gradient, whether or not that is a line.

    Parameters
    ----------
    data : DataFrame
        One row per group of one place and time.
    rate, se : str
        Columns of rates and their standard errors; of a published interval, its width over 2 x 1.96.
    population : str
        Column of the size of each group.
    rank : str
        Column that orders the groups, smallest for the least advantaged (quintile 1 is the poorest).
    weights : {"population", "precision"}
        Weigh groups by size, so that the slope has the same meaning in each place; or by 1 / se^2.
    level : float
        Level of the confidence interval.

    Returns
    -------
    Estimate
        One term, ``"SII"``, in units of the rate: above zero where the least advantaged have more. Rates of groups are
        taken as independent; the standard error is that of a weighted sum of them and needs no line. `diagnostics`
        holds `lack_of_fit_p`, of Q against chi-squared: small where the gradient is no line. `details` holds `groups`:
        `rank`, `position` (0 at the top), `rate`, `se`, `fitted`.

    Raises
    ------
    ApmkitError
        A column is absent, missing or not finite; a standard error, a size or (for the relative index) a rate is not
        above zero; fewer than three groups; two groups of one rank.

    References
    ----------
    Mackenbach, J. and Kunst, A. (1997), Social Science & Medicine 44(6), on both indices; Moreno-Betancur, M. et al.
    (2015), Epidemiology 26(4), who define them as the best linear and log-linear approximation.

    Examples
    --------
    >>> quintiles = pd.DataFrame({
    ...     "quintile": [1, 2, 3, 4, 5], "people": [200, 200, 200, 200, 200],
    ...     "stays": [50.0, 42.0, 41.0, 33.0, 34.0], "se": [2.0, 2.0, 2.0, 2.0, 2.0],
    ... })
    >>> slope_index_of_inequality(
    ...     quintiles, rate="stays", se="se", population="people", rank="quintile"
    ... ).table[["term", "estimate", "se"]].round(3)
      term  estimate     se
    0  SII      20.5  3.162
    """
    return _index(data, rate, se, population, rank, weights, level, relative=False)


def relative_index_of_inequality(
    data: pd.DataFrame,
    *,
    rate: str,
    se: str,
    population: str,
    rank: str,
    weights: str = "population",
    level: float = 0.95,
) -> Estimate:
    """How many times as high a rate is at the bottom of the social order as at its top, as a logarithm.

    As `slope_index_of_inequality`, for the logarithm of the rate, whose standard error is se / rate.

    Parameters
    ----------
    data, rate, se, population, rank, weights, level
        As in `slope_index_of_inequality`.

    Returns
    -------
    Estimate
        One term, ``"log RII"``; the exponential of estimate and bounds is the ratio. `details` holds `groups`, with
        logarithms of rates.

    Raises
    ------
    ApmkitError
        As in `slope_index_of_inequality`.

    References
    ----------
    Moreno-Betancur, M. et al. (2015), Epidemiology 26(4): the ratio of a log-linear model, where Mackenbach and Kunst
    (1997) divide the ends of the line of `slope_index_of_inequality`, which can fall below zero.

    Examples
    --------
    >>> quintiles = pd.DataFrame({
    ...     "quintile": [1, 2, 3, 4, 5], "people": [200, 200, 200, 200, 200],
    ...     "stays": [50.0, 42.0, 41.0, 33.0, 34.0], "se": [2.0, 2.0, 2.0, 2.0, 2.0],
    ... })
    >>> found = relative_index_of_inequality(
    ...     quintiles, rate="stays", se="se", population="people", rank="quintile"
    ... )
    >>> np.exp(found.table[["estimate", "ci_low", "ci_high"]]).round(2)
       estimate  ci_low  ci_high
    0      1.66    1.42     1.94
    """
    return _index(data, rate, se, population, rank, weights, level, relative=True)


def _index(data, rate, se, population, rank, weights, level, *, relative: bool) -> Estimate:
    check_level(level)
    columns = check_columns(data, rate=rate, se=se, population=population, rank=rank)
    if weights not in WEIGHTS:
        raise ApmkitError(f"weights={weights!r} is not known: give 'population' or 'precision'.")
    if len(data) < 3:
        raise EstimationError(f"A gradient needs at least three groups and there are {len(data)}: use a difference.")
    order = np.argsort(-finite(data, rank), kind="stable")
    ranks = finite(data, rank)[order]
    if (np.diff(ranks) == 0).any():
        twice = ranks[:-1][np.diff(ranks) == 0][0]
        raise ApmkitError(f"Column {rank!r} holds {twice:g} twice: give one row per group, of one place and time.")
    y, errors, size = (_above_zero(data, name, relative or name != rate)[order] for name in (rate, se, population))
    if relative:
        y, errors = np.log(y), errors / y
    share = size / size.sum()
    position = np.cumsum(share) - share / 2
    mass = share if weights == "population" else 1 / errors**2
    design = np.column_stack([np.ones(len(y)), position])
    of_rates = np.linalg.solve(design.T @ (mass[:, None] * design), design.T * mass)
    coefficients = of_rates @ y
    precise = np.linalg.lstsq(design / errors[:, None], y / errors, rcond=None)[0]
    q = float(np.square((y - design @ precise) / errors).sum())
    name, what = ("log RII", "relative") if relative else ("SII", "slope")
    groups = {"rank": ranks, "position": position, "rate": y, "se": errors, "fitted": design @ coefficients}
    return Estimate.from_covariance(
        pd.DataFrame({"term": [name]}),
        coefficients[1:],
        np.array([[np.square(of_rates[1] * errors).sum()]]),
        level=level,
        estimand=f"{what} index of inequality",
        estimator=f"Regression on social rank, weights by {weights}",
        outcome=rate,
        n_obs=len(y),
        n_units=len(y),
        n_clusters=len(y),
        diagnostics={
            "weights": weights,
            "lack_of_fit_Q": q,
            "lack_of_fit_df": len(y) - 2,
            "lack_of_fit_p": float(stats.chi2.sf(q, len(y) - 2)),
        },
        details={"groups": pd.DataFrame(groups)},
        call=f"{what}_index_of_inequality(data, rate={rate!r}, se={se!r}, population={population!r}, rank={rank!r}, "
        f"weights={weights!r}, level={level})",
        data_sha256=checksum(data, columns),
    )


def _above_zero(data: pd.DataFrame, column: str, needed: bool) -> np.ndarray:
    values = finite(data, column)
    if needed and (values <= 0).any():
        row = int((values <= 0).argmax())
        raise ApmkitError(
            f"Column {column!r} holds {values[row]:g} at index {show(data.index[row])}: it must be above zero; leave "
            "out or merge such groups."
        )
    return values
