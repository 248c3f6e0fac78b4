"""A line before and a line after: the regression behind interrupted time series, and its errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from apmkit.columns import count
from apmkit.designs.autoregression import fit_autoregression
from apmkit.designs.sample import dependent_columns
from apmkit.errors import ApmkitError, EstimationError, warn
from apmkit.estimate import Estimate

FEW = 8
"""Points on either side of the start below which a line and its errors are hardly known."""


@dataclass(frozen=True, eq=False)
class Design:
    """Periods, which of them are used, and the regressors of all of them."""

    periods: np.ndarray
    kept: np.ndarray
    start: int
    first_after: int
    names: list[str]
    regressors: np.ndarray


def check_whole_number(value, name: str, least: int, remedy: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ApmkitError(f"{name}={value!r} is not a whole number of at least {least}: {remedy}.")


def design_of(periods, time, start, season, harmonics, transition, other_event=None) -> Design:
    """The regressors of all periods, refused where they cannot be told apart."""
    if isinstance(start, bool) or not isinstance(start, (int, np.integer)):
        raise ApmkitError(f"start={start!r} is not a whole number: give the first {time!r} under the new rule.")
    check_whole_number(transition, "transition", 0, "give how many periods from the start on are left out")
    first_after = start + transition
    kept = (periods < start) | (periods >= first_after)
    before, behind = int((periods < start).sum()), int((periods >= first_after).sum())
    if before < 3 or behind < 2:
        raise EstimationError(
            f"Column {time!r} ({periods[0]} to {periods[-1]}) has {count(before, 'period')} before start={start} and "
            f"{behind} after start and transition: at least 3 and 2 are needed; check start or use a longer series."
        )
    since = (periods - first_after).astype(float)
    on = (periods >= first_after).astype(float)
    columns = {"level": np.ones(len(periods)), "slope": since, "level change": on, "slope change": on * since}
    columns |= _seasonal(periods, season, harmonics)
    if other_event is not None:
        check_whole_number(other_event, "other_event", periods[0] + 1, f"give its first {time!r}, within the series")
        later = (periods >= other_event).astype(float)
        columns |= {"other level change": later, "other slope change": later * (periods - other_event)}
    regressors = np.column_stack(list(columns.values()))
    names = list(columns)
    n, k = int(kept.sum()), len(names)
    if n <= k:
        raise EstimationError(
            f"{n} points cannot carry {k} coefficients: give harmonics=1, leave out season or other_event, or use a "
            "longer series."
        )
    dependent = dependent_columns(regressors[kept])
    if dependent:
        raise EstimationError(
            f"{names[dependent[0]]!r} cannot be told from the other coefficients in these periods: leave out season or "
            "other_event, or use a longer series."
        )
    if min(before, behind) < FEW:
        warn(f"{before} points before and {behind} after start={start}: with fewer than {FEW} on either side the line "
             "and the correlation of its errors are hardly known.")  # fmt: skip
    gaps = int(periods[-1] - periods[0]) + 1 - len(periods)
    if gaps:
        warn(f"{count(gaps, 'period')} of {time!r} missing between {periods[0]} and {periods[-1]}: taken as gaps.")
    return Design(periods, kept, int(start), int(first_after), names, regressors)


def _seasonal(periods, season, harmonics) -> dict[str, np.ndarray]:
    if season is None:
        if harmonics is not None:
            raise ApmkitError("harmonics needs season: give season=12 for months or 4 for quarters.")
        return {}
    check_whole_number(season, "season", 2, "give 12 for months or 4 for quarters")
    if harmonics is None:
        place = periods % season
        return {f"season {j + 1}": (place == j).astype(float) for j in range(1, season)}
    check_whole_number(harmonics, "harmonics", 1, "give the number of pairs of sine and cosine")
    if 2 * harmonics > season:
        raise ApmkitError(f"harmonics={harmonics} is more than half of season={season}: give at most {season // 2}.")
    columns = {}
    for j in range(1, harmonics + 1):
        angle = 2 * np.pi * j * (periods % season) / season
        columns[f"cosine {j}"] = np.cos(angle)
        if 2 * j < season:  # at half the season the sine is zero in every period
            columns[f"sine {j}"] = np.sin(angle)
    return columns


def contrasts_of(design: Design, start, transition, after) -> tuple[list[str], np.ndarray]:
    """Terms and their weights on the coefficients."""
    periods = design.periods
    after = int(periods[-1] - start) if after is None else after
    after = [after] if np.ndim(after) == 0 else list(dict.fromkeys(after))
    for k in after:
        check_whole_number(k, "after", transition, "count periods from the start, past those of the transition")
        if start + k > periods[-1]:
            raise ApmkitError(f"after={k} is {start + k}, past the last period {periods[-1]}: give at most "
                              f"{periods[-1] - start}.")  # fmt: skip
    steps = np.array(after) + start - design.first_after
    mean = (periods[periods >= design.first_after] - design.first_after).mean()
    pairs = np.vstack([[[1, 0], [0, 1], [1, mean]], np.column_stack([np.ones(len(steps)), steps])])
    contrasts = np.zeros((len(pairs), len(design.names)))
    contrasts[:, 2:4] = pairs
    return ["level change", "slope change", "mean effect", *(f"effect after {k}" for k in after)], contrasts


def estimate_of(
    design, series, terms, contrasts, errors, lags, level, outcome, *, left_out=None, groups=None, **told
) -> Estimate:
    """Fit the regression to a series over all periods of the design and report the terms; `told` is for the result."""
    if errors not in ("ar", "newey_west"):
        raise ApmkitError(f"errors={errors!r} is not known: give 'ar' or 'newey_west'.")
    kept, regressors, periods = design.kept, design.regressors[design.kept], design.periods[design.kept]
    middle = series[kept].mean()
    y = series[kept] - middle
    n, k = regressors.shape
    least_squares = np.linalg.lstsq(regressors, y, rcond=None)[0]
    residuals = y - regressors @ least_squares
    if residuals @ residuals <= n * (8 * np.finfo(float).eps * np.abs(series).max()) ** 2:
        raise EstimationError(
            f"Column {outcome!r} does not vary around its line: there is nothing to take standard errors from."
        )
    if lags is None:
        lags = 1 if errors == "ar" else int(4 * (n / 100) ** (2 / 9))
    check_whole_number(
        lags, "lags", 1 if errors == "ar" else 0, "give the order of the autoregression or the last Newey-West lag"
    )
    if lags >= n - k:
        raise EstimationError(f"lags={lags} is too many for {n} points and {k} coefficients: give at most {n - k - 1}.")
    effect = np.zeros(k)
    effect[2:4] = 1
    vectors = np.vstack([contrasts, np.eye(k), design.regressors * effect, design.regressors * (1 - effect)])
    found = {}
    if errors == "ar":
        fit = fit_autoregression(y, regressors, periods, lags)
        coefficients, covariance, innovations = fit.coefficients, fit.covariance, fit.innovations
        df = fit.degrees_of_freedom(vectors)
        found = {"autoregression": [float(v) for v in fit.autoregression]}
    else:
        coefficients, covariance = least_squares, _newey_west(regressors, residuals, periods, lags)
        innovations, df = residuals, float(n - k)
    residuals = y - regressors @ coefficients
    coefficients[0] += middle
    everything = Estimate.from_covariance(
        pd.DataFrame({"term": [*terms, *design.names, *[""] * (2 * len(series))]}),
        vectors @ coefficients,
        vectors @ covariance @ vectors.T,
        level=level,
        degrees_of_freedom=df,
        estimand="effect on the series",
        outcome=outcome,
        n_obs=n,
        n_units=1 if groups is None else 2,
        n_clusters=1,
        **told,
    )
    m, whole = len(terms), everything.table
    transition = {"periods of transition": {"count": int((~kept).sum())}} if not kept.all() else {}
    return replace(
        everything,
        table=whole.iloc[:m].reset_index(drop=True),
        covariance=everything.covariance.iloc[:m, :m],
        degrees_of_freedom=float(np.min(df[:m])) if errors == "ar" else df,
        diagnostics={
            "left_out": {**(left_out or {}), **transition},
            "errors": errors,
            "lags": int(lags),
            **found,
            "reference_distribution": "t, Satterthwaite degrees of freedom" if errors == "ar" else "t(n - k)",
            "n_before": int((periods < design.first_after).sum()),
            "n_after": int((periods >= design.first_after).sum()),
            "start": design.start,
            "first_period_after": design.first_after,
            "durbin_watson": float((np.diff(residuals) ** 2).sum() / (residuals @ residuals)),
            **_ljung_box(innovations, lags if errors == "ar" else 0),
        },
        details={
            "series": _paths(design, series, whole.iloc[m + k :]),
            "coefficients": whole.iloc[m : m + k].reset_index(drop=True),
            "autocorrelation": _autocorrelation(innovations),
            **({} if groups is None else {"groups": groups}),
        },
    )


def _newey_west(regressors, residuals, periods, lags) -> np.ndarray:
    n, k = regressors.shape
    bread = np.linalg.inv(regressors.T @ regressors)
    scores = regressors * residuals[:, None]
    weights = np.maximum(0, 1 - np.abs(np.subtract.outer(periods, periods)) / (lags + 1))
    return n / (n - k) * bread @ (scores.T @ weights @ scores) @ bread


def _paths(design: Design, series, rows: pd.DataFrame) -> pd.DataFrame:
    effect, without = rows.iloc[: len(series)], rows.iloc[len(series) :]
    frame = {"period": design.periods, "observed": series, "used": design.kept}
    frame["fitted"] = np.where(design.kept, effect["estimate"].to_numpy() + without["estimate"].to_numpy(), np.nan)
    names = {"estimate": "", "ci_low": "_low", "ci_high": "_high"}
    frame |= {f"counterfactual{end}": without[column].to_numpy() for column, end in names.items()}
    after = design.periods >= design.first_after
    frame |= {f"effect{end}": np.where(after, effect[column].to_numpy(), np.nan) for column, end in names.items()}
    return pd.DataFrame(frame)


def _autocorrelation(residuals) -> pd.DataFrame:
    """By lag, with the bound of two standard errors under independence."""
    n = len(residuals)
    lags = np.arange(1, min(n // 2, 24) + 1)
    centred = residuals - residuals.mean()
    values = np.array([centred[h:] @ centred[:-h] for h in lags]) / (centred @ centred)
    return pd.DataFrame({"lag": lags, "autocorrelation": values, "bound": 1.96 / np.sqrt(n)})


def _ljung_box(residuals, fitted_lags) -> dict:
    """Ljung & Box (1978) over min(10, n/5) lags, less those that were fitted."""
    n = len(residuals)
    lags = max(min(10, n // 5), fitted_lags + 1)
    correlation = np.array([residuals[h:] @ residuals[:-h] for h in range(1, lags + 1)]) / (residuals @ residuals)
    statistic = n * (n + 2) * float((correlation**2 / (n - np.arange(1, lags + 1))).sum())
    return {
        "ljung_box": statistic,
        "ljung_box_lags": lags,
        "ljung_box_p": float(stats.chi2.sf(statistic, lags - fitted_lags)),
    }
