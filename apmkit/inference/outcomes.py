"""Several outcomes at once: how sure is each, and each kind, when many are looked at?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.inference.joint import joint_test
from apmkit.options import check_draws, check_estimate, check_seed, numbers

TIERS = ("global", "intermediate", "process")


def adjust_p_values(p, method: Literal["holm", "benjamini_hochberg"] = "holm") -> np.ndarray:
    """P values adjusted for their number.

    Parameters
    ----------
    p : array of float, shape (tests,)
    method : {"holm", "benjamini_hochberg"}
        Holm bounds the chance of one false finding or more, whatever the dependence; Benjamini-Hochberg the expected
        share of false among all findings, if tests are independent or positively dependent.

    Returns
    -------
    ndarray, shape (tests,)

    Raises
    ------
    ApmkitError
        A p value is not between 0 and 1 or is missing, there is none, or `method` is not known.

    References
    ----------
    Holm, S. (1979), Scandinavian Journal of Statistics 6(2); Benjamini, Y. and Hochberg, Y. (1995), Journal of the
    Royal Statistical Society B 57(1).

    Examples
    --------
    >>> adjust_p_values([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = numbers(p, "p")
    if p.ndim != 1 or not len(p):
        raise ApmkitError("There is no p value to adjust: give one for each test.")
    if not ((p >= 0) & (p <= 1)).all():
        raise ApmkitError(f"p={p[~((p >= 0) & (p <= 1))][0]} is not a p value: leave out tests that have none.")
    if method == "benjamini_hochberg":
        return stats.false_discovery_control(p)
    if method != "holm":
        raise ApmkitError(f"method={method!r} is not known: give 'holm' or 'benjamini_hochberg'.")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def romano_wolf(estimates: Mapping[str, Estimate], *, draws: int = 9_999, seed: int = 0) -> pd.Series:
    """Step-down p values of several outcomes that use how their estimates depend on each other.

    The joint distribution of the t statistics follows from the influence of each cluster on each estimate (a multiplier
    bootstrap with normal weights), so outcomes that move together cost less than Holm's correction takes.

    Parameters
    ----------
    estimates : mapping of str to Estimate
        By outcome; each of one term, from a panel, with the same clusters.
    draws : int
        Simulated draws.
    seed : int
        Seed of the simulation.

    Returns
    -------
    Series
        Adjusted p value by outcome, in the order given; no smaller than the unadjusted one or ``1 / (draws + 1)``.

    Raises
    ------
    ApmkitError
        An estimate has several terms, no influence function, no variance or other clusters than the first; fewer
        than 99 draws.

    References
    ----------
    Romano, J. and Wolf, M. (2005), Econometrica 73(4), algorithm 3.1; Romano, J. and Wolf, M. (2016), Statistics &
    Probability Letters 113, eq. 3 for the p values.
    """
    check_draws(draws)
    check_seed(seed)
    stacked = _stacked(estimates)
    table, covariance = stacked.table, stacked.covariance.to_numpy()
    se = table["se"].to_numpy()
    if (se <= 0).any():
        raise ApmkitError(f"{table['term'][int(np.argmin(se))]!r} has no variance: leave it out.")
    values, vectors = np.linalg.eigh(covariance / np.outer(se, se))
    random = np.random.default_rng(seed)
    t = np.abs(random.standard_normal((draws, len(se))) @ (vectors * np.sqrt(np.maximum(values, 0))).T)
    df = stacked.degrees_of_freedom
    if math.isfinite(df):
        t /= np.sqrt(random.chisquare(df, draws) / df)[:, None]
    observed = np.abs(table["estimate"].to_numpy()) / se
    order = np.argsort(-observed, kind="stable")
    # At each step the largest statistic is compared with the largest draw among the hypotheses not yet rejected.
    largest = np.maximum.accumulate(t[:, order[::-1]], axis=1)[:, ::-1]
    p = (1 + (largest >= observed[order]).sum(axis=0)) / (draws + 1)
    raw = np.array([estimate.table["p_value"].iloc[0] for estimate in estimates.values()])
    p = np.maximum(p, raw[order])
    adjusted = np.empty(len(se))
    adjusted[order] = np.maximum.accumulate(p)
    return pd.Series(adjusted, index=pd.Index(table["term"], name="outcome"), name="p_adjusted")


def outcome_report(
    estimates: Mapping[str, Estimate],
    tiers: Mapping[str, Literal["global", "intermediate", "process"]],
    *,
    method: Literal["holm", "benjamini_hochberg", "romano_wolf"] = "holm",
    seed: int = 0,
) -> pd.DataFrame:
    """Effects on several outcomes, grouped by how close they are to what matters, adjusted within each group.

    Parameters
    ----------
    estimates : mapping of str to Estimate
        By outcome; each of one term.
    tiers : mapping of str to {"global", "intermediate", "process"}
        What kind of outcome each is: an end in itself (health, total spending, patients' experience); a step towards it
        (blood pressure, admissions for one condition); or what providers do (visits, screening). Rewarding one task may
        move effort from another, so a rise in process alone is no success.
    method : {"holm", "benjamini_hochberg", "romano_wolf"}
        Adjustment within a tier.
    seed : int
        Seed of Romano-Wolf.

    Returns
    -------
    DataFrame
        Global outcomes first: `tier`, `outcome`, `estimate`, `se`, `ci_low`, `ci_high`, `p_value`, `p_adjusted`, and
        `tier_p_value`, of the hypothesis that no outcome of the tier changed: a Wald test where influence functions
        over the same clusters give their joint covariance, otherwise the smallest p value adjusted by Holm.

    Raises
    ------
    ApmkitError
        An outcome has no tier or an unknown one, an estimate has several terms or no p value; as in `romano_wolf`.

    References
    ----------
    Bazemore, A. et al. (2018), Journal of the American Board of Family Medicine 31(3), on rewarding global rather than
    intermediate outcomes; Holmstrom, B. and Milgrom, P. (1991), Journal of Law, Economics, & Organization 7, on effort
    moved between tasks.

    Examples
    --------
    >>> def published(estimate, se):
    ...     return Estimate.from_covariance(
    ...         pd.DataFrame({"term": ["ATT"]}), np.array([estimate]), np.array([[se**2]]), estimand="ATT",
    ...         estimator="published", outcome="", n_obs=400, n_units=80, n_clusters=80,
    ...     )
    >>> report = outcome_report(
    ...     {"visits": published(0.4, 0.1), "spending": published(-20.0, 15.0), "mortality": published(0.0, 0.2)},
    ...     {"visits": "process", "spending": "global", "mortality": "global"},
    ... )
    >>> report[["tier", "outcome", "p_value", "p_adjusted"]].round(3)
          tier    outcome  p_value  p_adjusted
    0   global   spending    0.182       0.365
    1   global  mortality    1.000       1.000
    2  process     visits    0.000       0.000
    """
    _check_single(estimates)
    check_seed(seed)
    if not isinstance(tiers, Mapping):
        raise ApmkitError(f"tiers is of type {type(tiers).__name__}: give a dict of the tier of each outcome.")
    if method not in ("holm", "benjamini_hochberg", "romano_wolf"):
        raise ApmkitError(f"method={method!r} is not known: give 'holm', 'benjamini_hochberg' or 'romano_wolf'.")
    for name in estimates:
        if tiers.get(name) not in TIERS:
            raise ApmkitError(
                f"Outcome {name!r} has the tier {tiers.get(name)!r}: say whether it is {', '.join(map(repr, TIERS))}."
            )
    parts = []
    for tier in TIERS:
        members = {name: estimate for name, estimate in estimates.items() if tiers[name] == tier}
        if not members:
            continue
        rows = pd.concat([estimate.table for estimate in members.values()], ignore_index=True)
        rows = rows[["estimate", "se", "ci_low", "ci_high", "p_value"]]
        if method == "romano_wolf":
            adjusted = romano_wolf(members, seed=seed).to_numpy()
        else:
            adjusted = adjust_p_values(rows["p_value"], method)
        rows.insert(0, "outcome", list(members))
        rows.insert(0, "tier", tier)
        parts.append(rows.assign(p_adjusted=adjusted, tier_p_value=_tier_p_value(members, rows["p_value"])))
    return pd.concat(parts, ignore_index=True)


def _tier_p_value(members: Mapping[str, Estimate], p: pd.Series) -> float:
    if len(members) == 1:
        return float(p.iloc[0])
    try:
        return float(joint_test(_stacked(members), list(members))["p_value"])
    except ApmkitError:  # without a joint covariance, what holds whatever the dependence
        return float(adjust_p_values(p).min())


def _check_single(estimates: Mapping[str, Estimate]) -> None:
    if not isinstance(estimates, Mapping) or not estimates:
        raise ApmkitError(f"estimates is {type(estimates).__name__} without any: give a dict of one for each outcome.")
    for name, estimate in estimates.items():
        check_estimate(estimate)
        if len(estimate.table) != 1:
            raise ApmkitError(
                f"The estimate of {name!r} has {len(estimate.table)} terms, and one is compared: choose it with "
                'term(...), or aggregate("simple").'
            )
        if not np.isfinite(estimate.table["p_value"].iloc[0]):
            raise ApmkitError(f"The estimate of {name!r} has no p value: leave it out.")


def _stacked(estimates: Mapping[str, Estimate]) -> Estimate:
    """One estimate with a term for each outcome, its covariance from the influence of clusters on all of them."""
    _check_single(estimates)
    parts = {name: estimate.influence.iloc[:, 0] for name, estimate in estimates.items()}
    first_name, first = next(iter(parts.items()))
    cluster = estimates[first_name].panel.cluster
    for name, part in parts.items():
        if estimates[name].panel.cluster != cluster or not part.index.isin(first.index).any():
            raise ApmkitError(
                f"The estimates of {first_name!r} and {name!r} share no cluster: estimate both on panels with the same "
                "clusters."
            )
    influence = pd.concat(parts, axis=1).fillna(0.0)
    covariance = influence.to_numpy().T @ influence.to_numpy()
    return Estimate.from_covariance(
        pd.DataFrame({"term": list(parts)}),
        np.array([estimate.table["estimate"].iloc[0] for estimate in estimates.values()]),
        covariance,
        degrees_of_freedom=min(estimate.degrees_of_freedom for estimate in estimates.values()),
        estimand="several",
        estimator="several outcomes",
        outcome=", ".join(parts),
        n_obs=sum(estimate.n_obs for estimate in estimates.values()),
        n_units=max(estimate.n_units for estimate in estimates.values()),
        n_clusters=len(influence),
    )
