"""Did counties with more ACO patients spend less? A dose response with a dose that nobody drew by lot."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit.errors import DesignWarning
from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.us_county_aco_penetration_counties import BEFORE, STARTS, Counties, counties

POINTS = 10.0
"""Percentage points of dose that an effect is for."""

DOSES = (5.0, 10.0, 20.0, 30.0, 40.0)
"""Where the dose response is shown, percent."""

UNITS = {"level": "dollars a year", "log": "percent"}


class CountyPenetrationParameters(Parameters):
    """Parameters of the study; see ``apmkit studies us/county_aco_penetration``."""

    suppressed: Literal["zero", "aco_totals", "ten"] = Field(
        "aco_totals", description="Cells under 11: nobody, an equal share of what the ACO's total lacks, or ten people."
    )
    trends: Literal["parallel", "differential"] = Field(
        "parallel", description="Without ACOs counties change alike, or each goes on along its own line of 2007-2011."
    )
    comparison: Literal["nation", "state"] = Field(
        "nation", description="Compare counties across the nation, or only with others in their state."
    )
    covariates: Literal["none", "ma_before", "ma_each_year"] = Field(
        "none", description="Medicare Advantage share: not used, of 2011 with an effect by year, or of each year."
    )
    weights: Literal["beneficiaries", "none"] = Field(
        "beneficiaries", description="Count counties by their fee-for-service beneficiaries of 2011, or equally."
    )
    scale: Literal["level", "log"] = Field("level", description="Cost in dollars, or its logarithm (about percent).")
    smallest: int = Field(1_000, ge=0, le=20_000, description="Fewest fee-for-service beneficiaries in 2011.")
    last_year: int = Field(2017, ge=2014, le=2017, description="Last year of the window, which begins in 2007.")
    treated_from: float = Field(
        2.0, ge=0.5, le=10, description="For the curve by dose: percent assigned from which a county counts as reached."
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.covariates == "ma_before" and self.trends == "differential":
            raise ValueError(
                "covariates=ma_before lets trends differ by Medicare Advantage and trends=differential by county, the "
                "same thing twice; use trends=parallel or covariates=none"
            )
        return self


def data(parameters: CountyPenetrationParameters) -> Counties:
    """The counties of these parameters."""
    return counties(parameters.suppressed, parameters.smallest, parameters.last_year)


def mass(used: Counties, parameters: CountyPenetrationParameters) -> np.ndarray:
    """Weight of each county, with mean one."""
    if parameters.weights == "none":
        return np.ones(len(used.frame))
    people = used.frame["ffs_beneficiaries"].to_numpy()
    return people / people.mean()


def detrended(values: np.ndarray, years: np.ndarray) -> np.ndarray:
    """Each row less its own straight line, fitted to the years up to 2011 and continued."""
    before = years <= BEFORE
    centred = years - years[before].mean()
    slope = (values[:, before] @ centred[before]) / np.square(centred[before]).sum()
    return values - values[:, before].mean(axis=1, keepdims=True) - slope[:, None] * centred


def outcomes(used: Counties, parameters: CountyPenetrationParameters) -> np.ndarray:
    """Cost by county and year, in dollars or 100 times its logarithm, less own trends if they may differ."""
    values = used.cost if parameters.scale == "level" else 100 * np.log(used.cost)
    return detrended(values, used.years) if parameters.trends == "differential" else values


def _controls(used: Counties, parameters: CountyPenetrationParameters) -> list[np.ndarray]:
    """Control variables, each of shape (n_counties, n_years)."""
    if parameters.covariates == "none":
        return []
    if parameters.covariates == "ma_before":
        share = used.frame["ma_share"].to_numpy()[:, None]
        return [share * (used.years == year) for year in used.years if year != BEFORE]
    share = used.ma_share
    return [detrended(share, used.years) if parameters.trends == "differential" else share]


def regression(
    used: Counties, parameters: CountyPenetrationParameters, dose: np.ndarray, years: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the two-way fixed effects regression, net of county effects.

    Parameters
    ----------
    used : Counties
    parameters : CountyPenetrationParameters
    dose : ndarray, shape (n_counties, n_years)
    years : ndarray of bool, shape (n_years,), optional
        Years to use; all by default.

    Returns
    -------
    x : ndarray, shape (n, k)
        The dose first, in tens of points; controls; year effects, unless counties are compared within states, where
        state-by-year effects are taken out as county effects are.
    y, clusters, weights : ndarray, shape (n,)
    """
    years = np.ones(len(used.years), dtype=bool) if years is None else years
    states, codes = np.unique(used.frame["state"].to_numpy(), return_inverse=True)
    weight = mass(used, parameters)
    columns = [dose / POINTS, *_controls(used, parameters)]
    columns = [outcomes(used, parameters)[:, years], *(column[:, years] for column in columns)]
    # A placebo in early years leaves controls by year that are constant there.
    columns = columns[:2] + [column for column in columns[2:] if np.ptp(column, axis=1).max() > 0]
    columns = [column - column.mean(axis=1, keepdims=True) for column in columns]
    if parameters.comparison == "state":
        total = np.bincount(codes, weight)
        for at, column in enumerate(columns):
            sums = np.zeros((len(states), column.shape[1]))
            np.add.at(sums, codes, weight[:, None] * column)
            columns[at] = column - (sums / total[:, None])[codes]
        # A state with one county has nobody to compare it with and no row that is not zero.
    else:
        n_years = int(years.sum())
        columns += [np.tile(np.eye(n_years)[at] - 1 / n_years, (len(weight), 1)) for at in range(1, n_years)]
    y, *x = (column.ravel() for column in columns)
    n_years = int(years.sum())
    return np.column_stack(x), y, np.repeat(codes, n_years), np.repeat(weight, n_years)


def slope(used: Counties, parameters: CountyPenetrationParameters, dose=None, years=None) -> Estimate:
    """Two-way fixed effects: change in cost for ten points more of the dose, CR2 variance by state.

    Parameters
    ----------
    used : Counties
    parameters : CountyPenetrationParameters
    dose, years
        As in `regression`; by default the dose by start of the ACOs, in all years.
    """
    x, y, clusters, weight = regression(used, parameters, used.dose if dose is None else dose, years)
    root = np.sqrt(weight)
    coefficients = np.linalg.lstsq(x * root[:, None], y * root)[0]
    covariance, df = apm.cluster_covariance(x, y - x @ coefficients, clusters, weights=weight, kind="CR2")
    n = len(used.frame)
    return Estimate.from_covariance(
        pd.DataFrame({"term": ["10 points more"]}), coefficients[:1], covariance[:1, :1],
        degrees_of_freedom=float(df[0]), estimand="Change for ten percentage points more of the dose",
        estimator="Two-way fixed effects with a dose, CR2", outcome="cost per beneficiary", n_obs=len(y), n_units=n,
        n_clusters=used.frame["state"].nunique(),
        diagnostics={"reference_distribution": "t, Satterthwaite", "left_out": {}},
    )  # fmt: skip


def event(used: Counties, parameters: CountyPenetrationParameters) -> Estimate:
    """By year: change in cost since 2011 for ten points more of the dose of 2014, CR1 variance by state.

    One regression of changes for each year; its slopes are those of one regression with the dose times each year.
    """
    y, weight = outcomes(used, parameters), mass(used, parameters)
    dose = used.frame["dose_2014"].to_numpy() / POINTS
    states, codes = np.unique(used.frame["state"].to_numpy(), return_inverse=True)
    base = int(np.flatnonzero(used.years == BEFORE)[0])
    if parameters.comparison == "state":
        others = (codes[:, None] == np.arange(len(states))).astype(float)
    else:
        others = np.ones((len(dose), 1))
    if parameters.covariates == "ma_before":
        others = np.column_stack([others, used.frame["ma_share"]])
    root, estimates, scores = np.sqrt(weight), [], []
    at = [number for number in range(len(used.years)) if number != base]
    for number in at:
        known = others
        if parameters.covariates == "ma_each_year":
            known = np.column_stack([others, used.ma_share[:, number] - used.ma_share[:, base]])
        net = root * dose - _fitted(root[:, None] * known, root * dose)
        change = root * (y[:, number] - y[:, base])
        change = change - _fitted(root[:, None] * known, change)
        estimates.append(net @ change / (net @ net))
        scores.append(np.bincount(codes, net * (change - estimates[-1] * net)) / (net @ net))
    scores, g = np.array(scores), len(states)
    relative = used.years[at] - STARTS[0]
    return Estimate.from_covariance(
        pd.DataFrame({"term": [str(year) for year in used.years[at]], "relative_time": relative}),
        np.array(estimates), scores @ scores.T * g / (g - 1), degrees_of_freedom=g - 1.0,
        estimand="Change since 2011 for ten percentage points more of the dose of 2014",
        estimator="Event study by dose, clustered by state", outcome="cost per beneficiary",
        n_obs=len(dose) * len(used.years), n_units=len(dose), n_clusters=g,
    )  # fmt: skip


def _fitted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x @ np.linalg.lstsq(x, y)[0]


def curve(used: Counties, parameters: CountyPenetrationParameters, effect: str = "ATT") -> Estimate:
    """Levels or slopes by dose (Callaway, Goodman-Bacon and Sant'Anna), against counties below `treated_from`.

    It uses neither covariates nor states. Slopes are per ten points.
    """
    rows = used.frame[["fips", "state", "dose_2014"]].assign(
        start=used.start(parameters.treated_from), weight=mass(used, parameters)
    )
    wide = pd.DataFrame(outcomes(used, parameters), index=used.frame["fips"], columns=used.years)
    long = wide.stack().rename("cost").rename_axis(["fips", "year"]).reset_index().merge(rows, on="fips")
    long["dose"] = long["dose_2014"] / (POINTS if effect == "ACRT" else 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        panel = apm.Panel(
            long, unit="fips", time="year", outcome="cost", cohort="start", cluster="state", covariates=["dose"],
            weights="weight",
        )  # fmt: skip
        doses = [dose for dose in DOSES if dose > parameters.treated_from]
        if effect == "ACRT":
            doses = [dose / POINTS for dose in doses]
        return apm.dose_response(panel, dose="dose", effect=effect, degree=2, doses=doses)


def pretended(used: Counties, parameters: CountyPenetrationParameters) -> dict[int, Estimate]:
    """The slope if ACOs had come, at the dose of 2014, in a year before they came; the years up to 2011 only."""
    early = used.years <= BEFORE
    plain = parameters.model_copy(update={"trends": "parallel"})
    dose = used.frame["dose_2014"].to_numpy()[:, None]
    return {
        start: slope(used, plain, dose * (used.years >= start), early)
        for start in range(int(used.years[0]) + 1, BEFORE + 1)
    }


def alternatives(parameters: CountyPenetrationParameters) -> dict[str, Estimate]:
    """The slope under one other choice at a time."""
    changes = {
        "as chosen": {},
        "suppressed cells: nobody": {"suppressed": "zero"},
        "suppressed cells: shares of the ACO's total": {"suppressed": "aco_totals"},
        "suppressed cells: ten people": {"suppressed": "ten"},
        "parallel trends": {"trends": "parallel"},
        "each county on its own line": {"trends": "differential"},
        "within the nation": {"comparison": "nation"},
        "within states": {"comparison": "state"},
        "Medicare Advantage not used": {"covariates": "none"},
        "trends by Medicare Advantage of 2011": {"covariates": "ma_before"},
        "given Medicare Advantage of each year": {"covariates": "ma_each_year"},
        "counted by beneficiaries": {"weights": "beneficiaries"},
        "each county counts once": {"weights": "none"},
        "all sizes": {"smallest": 0},
        "from 5,000 beneficiaries": {"smallest": 5_000},
        "up to 2014": {"last_year": 2014},
    }
    found, plain = {}, parameters.plain()
    for name, change in changes.items():
        if change and all(plain[key] == value for key, value in change.items()):
            continue
        both = {"trends", "covariates"} & set(change)
        varied = plain | change
        if both and varied["covariates"] == "ma_before" and varied["trends"] == "differential":
            continue
        varied = STUDY.parameters(**varied)
        found[name] = slope(data(varied), varied)
    return found


def by_inference(used: Counties, parameters: CountyPenetrationParameters) -> Estimate:
    """The slope with every inference for clusters: CR1, CR2 and the wild bootstrap, in ``details["inference"]``."""
    x, y, clusters, weight = regression(used, parameters, used.dose)
    names = ["dose", *(f"control_{number}" for number in range(1, x.shape[1]))]
    rows = pd.DataFrame(x, columns=names).assign(cost=y, state=clusters, weight=weight)
    return apm.clustered_regression(
        rows, outcome="cost", regressor="dose", cluster="state", controls=names[1:], weights="weight",
        bootstrap_weights="rademacher", draws=1_999,
    )  # fmt: skip


def without_each_state(used: Counties, parameters: CountyPenetrationParameters) -> pd.Series:
    """The slope without each state in turn, by state."""
    x, y, clusters, weight = regression(used, parameters, used.dose)
    states = np.unique(used.frame["state"].to_numpy())
    root = np.sqrt(weight)
    x, y = x * root[:, None], y * root
    gram, cross = x.T @ x, x.T @ y
    slopes = {}
    for code, state in enumerate(states):
        rows = clusters == code
        slopes[state] = np.linalg.solve(gram - x[rows].T @ x[rows], cross - x[rows].T @ y[rows])[0]
    return pd.Series(slopes)


def balance(used: Counties, parameters: CountyPenetrationParameters) -> dict[str, Estimate]:
    """What went with the dose before the program: slopes in standard deviations for ten points more, CR2 by state."""
    frame, first = used.frame, 0
    base = int(np.flatnonzero(used.years == BEFORE)[0])
    known = {
        "cost of 2011": frame["cost"],
        "growth of cost, 2007 to 2011": 100 * np.log(used.cost[:, base] / used.cost[:, first]),
        "Medicare Advantage share of 2011": frame["ma_share"],
        "change of the Medicare Advantage share, 2007 to 2011": used.ma_share[:, base] - used.ma_share[:, first],
        "mean age of 2011": frame["average_age"],
        "size (log of beneficiaries)": np.log(frame["ffs_beneficiaries"]),
    }
    weight = mass(used, parameters)
    x = np.column_stack([np.ones(len(frame)), frame["dose_2014"] / POINTS])
    root, found = np.sqrt(weight), {}
    for name, values in known.items():
        values = np.asarray(values, dtype=float)
        centred = values - np.average(values, weights=weight)
        y = centred / np.sqrt(np.average(centred**2, weights=weight))
        coefficients = np.linalg.lstsq(x * root[:, None], y * root)[0]
        residuals, states = y - x @ coefficients, frame["state"].to_numpy()
        covariance, df = apm.cluster_covariance(x, residuals, states, weights=weight, kind="CR2")
        found[name] = Estimate.from_covariance(
            pd.DataFrame({"term": [name]}), coefficients[1:], covariance[1:, 1:], degrees_of_freedom=float(df[1]),
            estimand="Difference for ten points more", estimator="Weighted least squares, CR2", outcome=name,
            n_obs=len(y), n_units=len(y), n_clusters=len(np.unique(states)),
        )  # fmt: skip
    return found


def per_assigned(found: Estimate, used: Counties, parameters: CountyPenetrationParameters) -> pd.Series:
    """The slope per assigned person if nobody else was affected, in percent of the mean cost of 2011.

    Returns
    -------
    Series
        `estimate`, `ci_low`, `ci_high`, and `detectable` with 80 % power.
    """
    row = found.table.iloc[0]
    least = apm.minimum_detectable_effect(found)["minimum_detectable_effect"].iloc[0]
    values = pd.Series({**row[["estimate", "ci_low", "ci_high"]], "detectable": least}) * 100 / POINTS
    if parameters.scale == "log":
        return values
    return 100 * values / np.average(used.frame["cost"], weights=mass(used, parameters))


def axis_of(parameters: CountyPenetrationParameters) -> str:
    """What the headline measures, with its unit."""
    return f"Change in cost per beneficiary for 10 points more ACO share, {UNITS[parameters.scale]}"


def estimate(parameters: CountyPenetrationParameters) -> Result:
    """Change in county cost that goes with ten percentage points more beneficiaries assigned to ACOs."""
    used = data(parameters)
    found = slope(used, parameters)
    by_year = event(used, parameters)
    unit = UNITS[parameters.scale]
    sentences = [found.sentence("Cost per beneficiary where ten points more were assigned to ACOs", unit=unit)]
    drift = float(by_year.joint_test()["p_value"])
    if drift < 0.05 and parameters.trends == "parallel":
        sentences.append("Counties of different dose were drifting apart before the program: this is not ACOs alone.")
    return Result(
        estimates={"slope": found, "event": by_year, "levels": curve(used, parameters)},
        headline="slope",
        sentences=tuple(sentences),
        notes=(
            "ACOs formed where providers chose to: the dose was not drawn by lot.",
            "The dose after 2014 is that of 2014; counties gained and lost ACOs since.",
            "Costs are not standardised for prices, and are of people in fee-for-service Medicare only.",
        ),
        axis=axis_of(parameters),
    )


STUDY = Study(
    name="us/county_aco_penetration",
    title="Did counties with more ACO patients spend less?",
    country="United States",
    data=("gv_county", "mssp_county_assignment", "mssp"),
    Parameters=CountyPenetrationParameters,
    estimate=estimate,
    grid={
        "suppressed": ("zero", "aco_totals", "ten"),
        "trends": ("parallel", "differential"),
        "comparison": ("nation", "state"),
        "covariates": ("none", "ma_before", "ma_each_year"),
        "weights": ("beneficiaries", "none"),
        "scale": ("level", "log"),
    },
)
