"""Averages of the effects of cohorts and periods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate

LABELS = {"simple": None, "event": "relative_time", "cohort": "cohort", "calendar": "period"}


def aggregate(estimate: Estimate, by: str) -> Estimate:
    """Average effects of cohorts and periods into one number, or by event time, cohort or period.

    Effects are weighted by the size of their cohort. Where the estimator treats these shares as estimated
    (Callaway-Sant'Anna), the covariance carries their error; where it takes them as given (Sun-Abraham, imputation) it
    does not, and each cohort and period counts by its observations.

    Parameters
    ----------
    estimate : Estimate
        With one term for each cohort and period.
    by : {"simple", "event", "cohort", "calendar"}
        ``"event"`` keeps times before treatment; the others average over times since treatment only.

    Returns
    -------
    Estimate
        Its `overall` is the mean of the rows since treatment: over event times or periods with equal weights, over
        cohorts by size.

    Raises
    ------
    ApmkitError
        `by` is not known, or the terms are not effects of cohorts and periods.

    References
    ----------
    Callaway, B. and Sant'Anna, P. (2021), Journal of Econometrics 225(2), table 1 and section 4.2.
    """
    if by not in tuple(LABELS):
        raise ApmkitError(f"by={by!r} is not known: give one of {', '.join(map(repr, LABELS))}.")
    table = estimate.table
    _refuse_other_variance(estimate)
    if estimate.aggregated_by is not None:
        raise ApmkitError(
            f"This result is already aggregated by {estimate.aggregated_by!r}: aggregate the estimate it came from, or "
            "take its overall."
        )
    if not {"cohort", "period"} <= set(table.columns):
        raise ApmkitError(
            f"{estimate.estimator} does not give effects by cohort and period, so there is nothing to aggregate: "
            "use callaway_santanna, sun_abraham or imputation."
        )
    label = LABELS[by]
    used = table["relative_time"].to_numpy() >= 0
    if by == "event":
        used = np.ones(len(table), dtype=bool)
    if not used.any():
        raise ApmkitError(f'There is no effect after treatment to aggregate by {by!r}: aggregate by "event".')
    if label is None:
        members, rows = [used], pd.DataFrame({"term": ["ATT"]})
    else:
        values = table[label].to_numpy()
        present = np.unique(values[used])
        members = [used & (values == value) for value in present]
        rows = pd.DataFrame({"term": [f"{label}={value}" for value in present], label: present})
    result = _average(estimate, members, rows)
    return replace(result, aggregated_by=by, call=f"{estimate.call}.aggregate({by!r})")


def _refuse_other_variance(estimate: Estimate) -> None:
    if "cluster_variance" in estimate.diagnostics and (estimate.combination is None or "df" in estimate.table):
        raise ApmkitError(
            f"{estimate.diagnostics['cluster_variance']} is a variance of these terms, not of their averages: "
            "aggregate first, then ask for the variance."
        )


def _average(estimate: Estimate, members, rows: pd.DataFrame) -> Estimate:
    combination, cohort = estimate.combination, estimate.table["cohort"].to_numpy()
    members = np.array(members, dtype=float)
    size = members @ combination.size
    matrix = members * combination.size / size[:, None]
    shift = None
    if combination.share_mass is not None:
        # A cohort's share in an average moves with the number of its units. With s the size of terms, S their sum over
        # a row and a the effects, one more unit of cohort g moves the row by sum_j a_j (1{g_j = g} - s_j m_g / S) / S,
        # m_g the number of the row's terms that belong to g.
        groups = combination.groups
        own = cohort[None, :] == groups.cohorts[:, None]
        effects = members * combination.estimates
        terms_of_group = members @ own.T
        gain = effects @ own.T / size[:, None]
        loss = (effects @ combination.size)[:, None] * terms_of_group / size[:, None] ** 2
        shift = combination.share_mass * (gain - loss)
    return _rebuilt(estimate, combination.averaged(matrix, size, shift), rows)


def overall(result: Estimate) -> Estimate:
    """One number over the rows of an average by event time, cohort or period; see `aggregate`."""
    _refuse_other_variance(result)
    return replace(_overall(result), aggregated_by=None, call=f"{result.call}.overall")


def _overall(result: Estimate) -> Estimate:
    if result.aggregated_by == "cohort":
        per_cohort = result.combination.size
        shares = result.combination.share_mass
        if shares is not None:
            # Size of an estimated-share row is shares x number of its periods; a cohort counts by its units.
            groups = result.combination.groups
            unit_mass = groups.n * shares
            per_cohort = np.array([unit_mass[groups.cohorts == g].sum() for g in result.table["cohort"]])
        combination = replace(result.combination, size=per_cohort)
        return _average(replace(result, combination=combination), [np.ones(len(result.table))],
                        pd.DataFrame({"term": ["ATT"]}))  # fmt: skip
    since = (
        np.ones(len(result.table))
        if result.aggregated_by == "calendar"
        else (result.table["relative_time"] >= 0).to_numpy(float)
    )
    matrix = (since / since.sum())[None, :]
    combination = result.combination.averaged(matrix, np.ones(1))
    return _rebuilt(result, combination, pd.DataFrame({"term": ["ATT"]}))


def _rebuilt(estimate: Estimate, combination, rows: pd.DataFrame) -> Estimate:
    fresh = Estimate.from_covariance(
        rows,
        combination.estimates,
        combination.covariance(),
        level=estimate.level,
        degrees_of_freedom=estimate.degrees_of_freedom,
        estimand=estimate.estimand,
        estimator=estimate.estimator,
        outcome=estimate.outcome,
        n_obs=estimate.n_obs,
        n_units=estimate.n_units,
        n_clusters=estimate.n_clusters,
    )
    return replace(estimate, table=fresh.table, covariance=fresh.covariance, combination=combination)
