"""Avoidable hospital stays by neighbourhood income in fifteen cities, and the change in how physicians are paid."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import special, stats

import apmkit as apm
from apmkit.errors import DesignWarning
from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.canada_metro_acsc_equity_words import (
    CONDITIONS,
    OUTCOMES,
    PLACEBOS,
    STEP,
    caution,
    finding,
    inference_sentence,
)

PROVINCE_OF = {
    "Calgary": "AB",
    "Edmonton": "AB",
    "Vancouver": "BC",
    "Victoria": "BC",
    "Winnipeg": "MB",
    "Fredericton": "NB",
    "Moncton": "NB",
    "Saint John": "NB",
    "St. John's": "NL",
    "Halifax": "NS",
    "Hamilton": "ON",
    "London": "ON",
    "Toronto": "ON",
    "Regina": "SK",
    "Saskatoon": "SK",
}
"""Province of each metropolitan area that has both periods; the data set names areas only."""

PROVINCES = tuple(sorted(set(PROVINCE_OF.values())))
FEWEST_PROVINCES = 4

_NORMAL = special.ndtri(0.975)


class MetroParameters(Parameters):
    """Parameters of the study; see ``apmkit studies canada/metro_acsc_equity``."""

    outcome: Literal[tuple(OUTCOMES)] = Field(
        "slope_index", description="What changes: absolute gap by income, relative gap by income, or the rate of all."
    )
    condition: Literal[tuple(CONDITIONS)] = Field(
        "overall", description="Stays counted; injury and falls are placebos, which no family doctor's pay should move."
    )
    weights: Literal["equal", "random_effects", "precision", "population"] = Field(
        "equal", description="Weight of an area: one each; 1/(se^2 + tau^2); 1/se^2; or its population."
    )
    lag: int = Field(0, ge=0, le=2, description="Years by which payment comes before the stays.")
    adjust_level: bool = Field(False, description="Hold the outcome of the first period constant.")
    leave_out: tuple[Literal[PROVINCES], ...] = Field((), description="Provinces to leave out.")
    index_weights: Literal["population", "precision"] = Field(
        "population", description="Weight of a neighbourhood quintile in the slope and relative index."
    )

    @model_validator(mode="after")
    def _consistent(self):
        left = len(PROVINCES) - len(self.leave_out)
        if left < FEWEST_PROVINCES:
            raise ValueError(
                f"leave_out={','.join(self.leave_out)} leaves {left} provinces and {FEWEST_PROVINCES} are needed; name "
                f"at most {len(PROVINCES) - FEWEST_PROVINCES}"
            )
        return self


@cache
def rows_of(condition: str) -> pd.DataFrame:
    """Rows of the data set `metro_hospitalisation` for one condition, with `se`, from the published limits.

    The limits lie symmetrically about the rate, so the standard error is their distance over 2 x 1.96.
    """
    rows = apm.load("metro_hospitalisation")
    rows = rows[rows["indicator"] == CONDITIONS[condition].indicator]
    return rows.assign(se=(rows["ci_high"] - rows["ci_low"]) / (2 * _NORMAL))


@cache
def area_periods(condition: str, index_weights: str) -> pd.DataFrame:
    """Rate, slope index and relative index of every area and period.

    Returns
    -------
    DataFrame
        `area`, `province` (missing for areas with one period), `first_fiscal_year`, `last_fiscal_year`, `population`
        (person-years), `caution` (quintiles that CIHI marks), `lack_of_fit_p`, and for each of `OUTCOMES` the value
        and ``<outcome>_se``; the relative index as its logarithm.
    """
    found = []
    for (area, first, last), group in rows_of(condition).groupby(["area", "first_fiscal_year", "last_fiscal_year"]):
        quintiles, whole = group[group["income_quintile"].notna()], group[group["income_quintile"].isna()].iloc[0]
        columns = {"rate": "age_standardised_rate", "se": "se", "population": "denominator", "rank": "income_quintile"}
        slope = apm.slope_index_of_inequality(quintiles, **columns, weights=index_weights)
        relative = apm.relative_index_of_inequality(quintiles, **columns, weights=index_weights)
        values = {
            "rate": (whole["age_standardised_rate"], whole["se"]),
            "slope_index": slope.table[["estimate", "se"]].iloc[0],
            "relative_index": relative.table[["estimate", "se"]].iloc[0],
        }
        row = {
            "area": area,
            "province": PROVINCE_OF.get(area),
            "first_fiscal_year": first,
            "last_fiscal_year": last,
            "population": quintiles["denominator"].sum(),
            "caution": int(quintiles["use_with_caution"].sum()),
            "lack_of_fit_p": slope.diagnostics["lack_of_fit_p"],
        }
        for name, (value, se) in values.items():
            row |= {name: value, f"{name}_se": se}
        found.append(row)
    return pd.DataFrame(found)


def only_one_period(condition: str) -> list[str]:
    """Areas that cannot be compared, because one of the two periods is missing."""
    periods = rows_of(condition).groupby("area")["first_fiscal_year"].nunique()
    return sorted(periods.index[periods < 2])


@cache
def doses(condition: str, lag: int) -> pd.Series:
    """Change in the alternative share of clinical payments by province, percentage points, between the periods.

    Means over the fiscal years that the stays pool, `lag` years earlier.
    """
    share = apm.load("npdb_payments").pivot(index="fiscal_year_start", columns="province", values="alternative_share")
    windows = (
        rows_of(condition)[["first_fiscal_year", "last_fiscal_year"]].drop_duplicates().sort_values("first_fiscal_year")
    )
    means = [100 * share.loc[first - lag : last - lag].mean() for first, last in windows.itertuples(index=False)]
    return (means[-1] - means[0])[list(PROVINCES)].rename("dose")


def changes(parameters: MetroParameters) -> pd.DataFrame:
    """One row per area with both periods.

    Returns
    -------
    DataFrame
        By `area`: `province`, `dose` (percentage points), `dose_step` (in steps of 10 points), `before`, `after`,
        `change`, `se` of the change, `population` (person-years of both periods) and `weight`.
    """
    name = parameters.outcome
    wide = area_periods(parameters.condition, parameters.index_weights).dropna(subset="province")
    wide = wide[~wide["province"].isin(parameters.leave_out)].pivot(index="area", columns="first_fiscal_year")
    first, last = wide[name].columns
    frame = pd.DataFrame(
        {
            "province": wide["province"][first],
            "before": wide[name][first],
            "after": wide[name][last],
            "change": wide[name][last] - wide[name][first],
            "se": np.hypot(wide[f"{name}_se"][first], wide[f"{name}_se"][last]),
            "population": wide["population"].sum(axis=1),
        }
    )
    frame["dose"] = frame["province"].map(doses(parameters.condition, parameters.lag))
    frame["dose_step"] = frame["dose"] / STEP
    frame["weight"] = _weights(frame, parameters)
    return frame


def _weights(frame: pd.DataFrame, parameters: MetroParameters) -> pd.Series:
    """Weights with mean one."""
    if parameters.weights == "equal":
        mass = pd.Series(1.0, frame.index)
    elif parameters.weights == "population":
        mass = frame["population"].astype(float)
    else:
        between = between_areas(frame) ** 2 if parameters.weights == "random_effects" else 0.0
        mass = 1 / (frame["se"] ** 2 + between)
    return mass / mass.mean()


def between_areas(frame: pd.DataFrame) -> float:
    """Standard deviation of true changes between areas of like dose (REML), beyond the error of published rates."""
    found = apm.meta_analysis(frame, estimate="change", se="se", moderators=["dose_step"])
    return float(found.details["heterogeneity"].loc["tau", "estimate"])


def slope_on_dose(frame: pd.DataFrame, *, adjust_level: bool = False) -> Estimate:
    """Change of the outcome per 10 points of alternative share, with inference for few provinces.

    Parameters
    ----------
    frame : DataFrame
        From `changes`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)  # the page says it: effective clusters stand in the notes
        return apm.clustered_regression(
            frame,
            outcome="change",
            regressor="dose_step",
            cluster="province",
            controls=["before"] if adjust_level else [],
            weights="weight",
        )


def without_each_province(parameters: MetroParameters) -> pd.DataFrame:
    """The slope without each province in turn.

    Returns
    -------
    DataFrame
        By province left out: `estimate`, `ci_low`, `ci_high`, `p_value` (CR2) and `permutation_p`.
    """
    frame, found = changes(parameters), {}
    for province in sorted(frame["province"].unique()):
        estimate = slope_on_dose(frame[frame["province"] != province], adjust_level=parameters.adjust_level)
        row = estimate.table.iloc[0]
        permuted = estimate.details["inference"].set_index("method").loc["permutation of the estimate", "p_value"]
        found[province] = (row["estimate"], row["ci_low"], row["ci_high"], row["p_value"], permuted)
    columns = ["estimate", "ci_low", "ci_high", "p_value", "permutation_p"]
    return pd.DataFrame.from_dict(found, orient="index", columns=columns)


def every_condition(parameters: MetroParameters) -> dict[str, Estimate]:
    """The slope for each condition, placebos last, relative to the mean rate where outcomes differ in level.

    Absolute outcomes are divided by the mean of the first period over areas, so that rare conditions can stand beside
    common ones: these are in percent.
    """
    found = {}
    for name in CONDITIONS:
        frame = changes(parameters.model_copy(update={"condition": name}))
        if parameters.outcome != "relative_index":
            scale = 100 / frame["before"].mean()
            frame[["change", "before"]] *= scale
        found[name] = slope_on_dose(frame, adjust_level=parameters.adjust_level)
    return found


def detectable(estimate: Estimate, power: float = 0.8) -> float:
    """The slope that a test at 5% would find with this chance, with the estimate's standard error and degrees."""
    row = estimate.table.iloc[0]
    return float((stats.t.ppf(0.975, row["df"]) + stats.t.ppf(power, row["df"])) * row["se"])


def estimate(parameters: MetroParameters) -> Result:
    """Change of the outcome per 10 points of alternative share."""
    frame, measure = changes(parameters), OUTCOMES[parameters.outcome]
    found = slope_on_dose(frame, adjust_level=parameters.adjust_level)
    sentences = (finding(found, measure, CONDITIONS[parameters.condition]), inference_sentence(found), caution())
    notes = [
        f"{len(frame)} areas in {found.n_clusters} provinces, which carry as much as "
        f"{found.diagnostics['effective_clusters']:.1f} provinces of equal weight.",
        f"Left out, with one period only: {', '.join(only_one_period(parameters.condition))}.",
        f"A slope of {measure.amount(detectable(found))} would be found with a chance of 80%.",
    ]
    if parameters.condition in PLACEBOS:
        notes.append("This is a placebo: a slope here speaks against reading the others as the work of payment.")
    if parameters.weights == "precision":
        notes.append("Published errors leave out differences between areas, so these weights favour the largest city.")
    axis = f"Change in {measure.short} per {STEP:.0f} points of alternative share, {measure.unit}"
    return Result({"slope": found}, "slope", sentences, tuple(notes), axis)


STUDY = Study(
    name="canada/metro_acsc_equity",
    title="Did avoidable hospital stays become more or less equal where physicians moved off fee-for-service?",
    country="Canada",
    data=("metro_hospitalisation", "npdb_payments"),
    Parameters=MetroParameters,
    estimate=estimate,
    grid={
        "outcome": tuple(OUTCOMES),
        "weights": ("equal", "random_effects", "population"),
        "lag": (0, 1, 2),
        "adjust_level": (False, True),
        "leave_out": ((), ("NB",), ("ON",)),
    },
)
