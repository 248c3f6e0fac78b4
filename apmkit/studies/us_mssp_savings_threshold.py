"""Does being paid change what an ACO does next? A discontinuity at the minimum savings rate."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit import datasets
from apmkit.errors import ApmkitError, DesignWarning
from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study, StudyError
from apmkit.words import rounded

OUTCOMES = {
    "spending_growth": ("growth of spending per beneficiary", "percentage points"),
    "quality_score": ("quality score", "points of 100"),
    "leaves": ("chance of having left the program", "percentage points"),
    "savings_rate": ("savings rate", "percentage points of the benchmark"),
}
"""Words for each outcome, and its unit."""

_AFTER = {1: "the next year", 2: "the second year after", 3: "the third year after"}

BEFORE = {
    "log_size": "size, log of person-years",
    "spending_before": "spending in the third benchmark year, USD a head",
    "risk_score": "risk score, aged and not dually eligible",
    "share_85": "beneficiaries aged 85 and over, %",
    "minimum": "minimum savings rate, %",
    "years_in": "years in the program",
}
"""Covariates known before the settlement, and words for them."""

_ADJUSTED = ("log_size", "risk_score")


class SavingsThresholdParameters(Parameters):
    """Parameters of the study; see ``apmkit studies us/mssp_savings_threshold``."""

    outcome: Literal[tuple(OUTCOMES)] = Field("spending_growth", description="What may change after the settlement.")
    effect: Literal["paid", "passing"] = Field(
        "paid", description="Effect of being paid (fuzzy), or of passing the minimum savings rate (sharp)."
    )
    risk: Literal["all", "one_sided", "two_sided"] = Field(
        "all", description="Which ACOs; those that chose a minimum of zero are always left out."
    )
    first_year: int = Field(2013, ge=2013, le=2035, description="First settled year.")
    last_year: int = Field(2022, ge=2013, le=2035, description="Last settled year; the year after it must be known.")
    leave_out_years: tuple[Literal["2013", "2019", "2020"], ...] = Field(
        (), description="Settled years to leave out: 2013 is up to 21 months, 2019 lacks rows, 2020 is a COVID year."
    )
    years_after: int = Field(
        1, ge=1, le=3, description="Years from the settled year to the outcome; money arrives late in the next year."
    )
    order: int = Field(1, ge=1, le=2, description="Order of the polynomial on each side.")
    bandwidth: float = Field(
        1.0, ge=0.4, le=3, description="Multiple of the bandwidth with the least mean squared error."
    )
    donut: float = Field(0.0, ge=0, le=1, description="Leave out ACOs this close to the minimum, percentage points.")
    adjust: bool = Field(False, description="Adjust for size and risk score.")

    @model_validator(mode="after")
    def _consistent(self):
        years = set(range(self.first_year, self.last_year + 1)) - {int(year) for year in self.leave_out_years}
        if not years:
            raise ValueError(
                f"first_year={self.first_year}, last_year={self.last_year} and the years left out keep no year; widen"
            )
        latest = max(datasets.years("mssp"))
        if self.last_year >= latest:
            raise ValueError(
                f"last_year={self.last_year} has no next year in the data, which end in {latest}; give {latest - 1} or "
                "earlier, or add a newer file with 'apmkit datasets add mssp FILE'"
            )
        if min(years) + self.years_after > latest:
            raise ValueError(
                f"years_after={self.years_after} leads from {min(years)} beyond {latest}, the last year in the data; "
                "lower it or give an earlier first_year"
            )
        return self


def aco_years(years_after: int = 1) -> pd.DataFrame:
    """One row per ACO and performance year, with the margin, the payment and what came after.

    Parameters
    ----------
    years_after : int
        From the settled year to the outcomes.

    Returns
    -------
    DataFrame
        The columns of ``load("mssp")``, those of `BEFORE`, and `margin` (savings rate less minimum savings rate, in
        percentage points), `paid` (1 or 0), `payment` (in percent of the benchmark), the outcomes as in `OUTCOMES` with
        ``next_`` before their names (missing where that year is not in the data or, but for `next_leaves`, the ACO is
        not), and `rebased` (that year belongs to another agreement).
    """
    # Rates from the amounts and from the table of sizes: printed ones are rounded, which moves ACOs over the cutoff.
    frame = apm.published_aco_years().sort_values(["aco_id", "year"], ignore_index=True)
    rate = 100 * frame["benchmark_minus_expenditures"] / frame["benchmark"]
    by_aco = frame.groupby("aco_id")
    following = by_aco["year"].shift(-years_after) == frame["year"] + years_after
    columns = ["spending_per_capita", "quality_score", "agreement_start"]
    after = by_aco[columns].shift(-years_after).where(following)
    share_85 = 100 * frame["beneficiaries_age_85plus"] / frame["beneficiaries"]
    return frame.assign(
        margin=rate - 100 * frame["minimum_savings_rate"],
        paid=(frame["earned_savings"] > 0).astype(int),
        payment=100 * frame["earned_savings"].clip(lower=0) / frame["benchmark"],
        log_size=np.log(frame["person_years"]),
        spending_before=_benchmark_year(frame),
        risk_score=frame["risk_score_aged_nondual"],
        share_85=share_85,
        minimum=100 * frame["minimum_savings_rate"],
        years_in=frame["year"] - pd.to_datetime(frame["first_agreement_start"]).dt.year,
        next_spending_growth=100 * np.log(after["spending_per_capita"] / frame["spending_per_capita"]),
        next_quality_score=100 * after["quality_score"],
        next_leaves=100 * (~following).astype(float).where(frame["year"] + years_after <= frame["year"].max()),
        next_savings_rate=rate.groupby(frame["aco_id"]).shift(-years_after).where(following),
        rebased=(after["agreement_start"] != frame["agreement_start"]).where(following),
    )


def _benchmark_year(frame: pd.DataFrame) -> pd.Series:
    """Spending per person-year in benchmark year 3, over the four enrolment types as they were then."""
    types = ("esrd", "disabled", "aged_dual", "aged_nondual")
    years = pd.concat([frame[f"person_years_{name}_by3"] for name in types], axis=1)
    spending = pd.concat([frame[f"spending_per_capita_{name}_by3"] for name in types], axis=1)
    total = (years.to_numpy() * spending.fillna(0.0).to_numpy()).sum(axis=1)
    return pd.Series(total, frame.index) / years.sum(axis=1, skipna=False)


def select(frame: pd.DataFrame, parameters: SavingsThresholdParameters, *, zero_minimum: bool = False) -> pd.DataFrame:
    """ACO-years of the window and the kind of risk asked for, with outcomes less the mean of their year.

    ACOs that chose a minimum of zero are left out unless `zero_minimum`: their payment rises from nothing at the cutoff
    and does not jump.

    Raises
    ------
    StudyError
        Nobody is left, or nobody is paid.
    """
    leave_out = [int(year) for year in parameters.leave_out_years]
    chosen = frame[
        frame["year"].between(parameters.first_year, parameters.last_year)
        & ~frame["year"].isin(leave_out)
        & frame["margin"].notna()
    ]
    if not zero_minimum:
        chosen = chosen[chosen["minimum_savings_rate"] > 0]
    if parameters.risk != "all":
        chosen = chosen[chosen["two_sided"] == (parameters.risk == "two_sided")]
    if len(chosen) < 100:
        raise StudyError(
            f"{len(chosen)} ACO-years are left, too few for a discontinuity: widen the window or use risk=all."
        )
    chosen = chosen.copy()
    for name in OUTCOMES:
        column = f"next_{name}"
        chosen[name] = chosen[column] - chosen.groupby("year")[column].transform("mean")
    return chosen


def jump(chosen: pd.DataFrame, parameters: SavingsThresholdParameters, **changes) -> Estimate:
    """The jump at the minimum savings rate under these parameters, ACOs as clusters.

    Parameters
    ----------
    chosen : DataFrame
        From `select`.
    parameters : SavingsThresholdParameters
    **changes
        `outcome`, `effect`, `order`, `bandwidth`, `donut`, `adjust` to use in place of the parameters', `kernel`, and
        `column`, a column to use as it is.
    """
    values = parameters.plain() | changes
    column = values.get("column") or values["outcome"]
    covariates = list(_ADJUSTED) if values["adjust"] else []
    rows = chosen.dropna(subset=[column, *covariates])
    options = options_of(parameters) | {
        "order": values["order"],
        "kernel": values.get("kernel", "triangular"),
        "donut": values["donut"],
        "covariates": covariates,
        "treatment": "paid" if values["effect"] == "paid" and not values.get("column") else None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        found = apm.regression_discontinuity(rows, outcome=column, **options)
        if values["bandwidth"] != 1:
            h, b = found.details["bandwidths"].loc[0, ["h", "b"]]
            width = (values["bandwidth"] * h, values["bandwidth"] * b)
            found = apm.regression_discontinuity(rows, outcome=column, bandwidth=width, **options)
    return found


def options_of(parameters: SavingsThresholdParameters) -> dict:
    """What every check of this page shares: running variable, cutoff, clusters, order."""
    return {"running": "margin", "cutoff": 0.0, "cluster": "aco_id", "order": parameters.order}


def outcomes_table(chosen: pd.DataFrame, parameters: SavingsThresholdParameters) -> pd.DataFrame:
    """The effect on every outcome, p-values also adjusted for their number (Holm).

    Returns
    -------
    DataFrame
        `outcome`, `unit`, `estimate`, `ci_low`, `ci_high`, `p_value`, `p_holm`, `detectable` (with 80 % power), `rows`.
    """
    rows = []
    for outcome, (_, unit) in OUTCOMES.items():
        name = outcome_words(outcome, parameters.years_after)
        found = jump(chosen, parameters, outcome=outcome)
        row = found.table.iloc[0]
        rows.append((name, unit, row.estimate, row.ci_low, row.ci_high, row.p_value, detectable(found), found.n_obs))
    columns = ["outcome", "unit", "estimate", "ci_low", "ci_high", "p_value", "detectable", "rows"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(6, "p_holm", apm.adjust_p_values(table["p_value"]))
    return table


def detectable(found: Estimate) -> float:
    """The smallest effect found with 80 % power."""
    return float(apm.minimum_detectable_effect(found)["minimum_detectable_effect"].iloc[0])


def alternatives(frame: pd.DataFrame, parameters: SavingsThresholdParameters) -> tuple[dict[str, Estimate], dict]:
    """The headline effect under one other choice at a time, and the choices that have no answer with the reason."""
    chosen = select(frame, parameters)
    choices = {
        "as chosen": {},
        "quadratic on each side": {"order": 2},
        "straight lines": {"order": 1},
        "half the bandwidth": {"bandwidth": parameters.bandwidth / 2},
        "twice the bandwidth": {"bandwidth": parameters.bandwidth * 2},
        "all rows within the bandwidth count alike": {"kernel": "uniform"},
        "without those within 0.1 points": {"donut": 0.1},
        "without those within 0.25 points": {"donut": 0.25},
        "adjusted for size and risk score": {"adjust": True},
        "not adjusted": {"adjust": False},
        "of being paid": {"effect": "paid"},
        "of passing the minimum": {"effect": "passing"},
    }
    plain = parameters.plain()
    same = [name for name, change in choices.items() if change and all(plain.get(k) == v for k, v in change.items())]
    found, impossible = {}, {}
    for name, change in choices.items():
        if name in same:
            continue
        try:
            found[name] = jump(chosen, parameters, **change)
        except ApmkitError as error:
            impossible[name] = str(error)
    others = {"with ACOs that chose a minimum of zero": (parameters, True)}
    for year in ("2013", "2019", "2020"):
        left = {*parameters.leave_out_years, year}
        if year not in parameters.leave_out_years and parameters.first_year <= int(year) <= parameters.last_year:
            others[f"without {year}"] = (parameters.model_copy(update={"leave_out_years": tuple(left)}), False)
    for name, (varied, zero) in others.items():
        try:
            found[name] = jump(select(frame, varied, zero_minimum=zero), varied)
        except ApmkitError as error:
            impossible[name] = str(error)
    return found, impossible


def subgroups(frame: pd.DataFrame, parameters: SavingsThresholdParameters) -> tuple[dict[str, Estimate], dict]:
    """The effect in parts of the sample, and the parts that are too small with the reason."""
    chosen = select(frame, parameters)
    size = chosen["person_years"].median()
    parts = {
        "one-sided risk": ~chosen["two_sided"],
        "two-sided risk": chosen["two_sided"],
        "smaller ACOs": chosen["person_years"] < size,
        "larger ACOs": chosen["person_years"] >= size,
        "first three years in the program": chosen["years_in"] <= 2,
        "later years in the program": chosen["years_in"] > 2,
        "years up to 2018": chosen["year"] <= 2018,
        "years from 2019": chosen["year"] >= 2019,
    }
    if parameters.outcome != "leaves":
        parts["outcome under the same agreement"] = chosen["rebased"].eq(False)
        parts["outcome under a new agreement"] = chosen["rebased"].eq(True)
    found, impossible = {}, {}
    for name, members in parts.items():
        rows = chosen[members.to_numpy(dtype=bool)]
        try:
            if len(rows.dropna(subset=[parameters.outcome])) < 150:
                raise StudyError(f"{len(rows)} ACO-years, fewer than 150.")
            found[name] = jump(rows, parameters)
        except ApmkitError as error:
            impossible[name] = str(error)
    return found, impossible


def plain_comparison(chosen: pd.DataFrame, outcome: str) -> Estimate:
    """Mean of the paid less mean of the unpaid: what a report without a design would say; ACOs are clusters."""
    rows = chosen.dropna(subset=[outcome])
    x = np.column_stack([np.ones(len(rows)), rows["paid"]])
    y = rows[outcome].to_numpy()
    slopes = np.linalg.lstsq(x, y)[0]
    covariance, df = apm.cluster_covariance(x, y - x @ slopes, rows["aco_id"].to_numpy(), kind="CR1")
    return Estimate.from_covariance(
        pd.DataFrame({"term": ["difference"]}), slopes[1:], covariance[1:, 1:], degrees_of_freedom=float(df[1]),
        estimand="Mean of paid less mean of unpaid ACOs", estimator="Difference of means, clustered by ACO",
        outcome=outcome, n_obs=len(rows), n_units=rows["aco_id"].nunique(), n_clusters=rows["aco_id"].nunique(),
    )  # fmt: skip


def outcome_words(outcome: str, years_after: int) -> str:
    """Words for an outcome and when it is measured.

    >>> outcome_words("spending_growth", 1), outcome_words("leaves", 2)
    ('growth of spending per beneficiary to the next year', 'chance of having left the program the second year after')
    """
    to = " to" if outcome == "spending_growth" else ""
    return f"{OUTCOMES[outcome][0]}{to} {_AFTER[years_after]}"


def rules_agree(frame: pd.DataFrame) -> tuple[int, int]:
    """ACO-years that the payment rules pay exactly when they were paid, and all of them."""
    rows = apm.reconcile_mssp(frame).rows
    return int(((rows["rebuilt"] > 0) == (rows["published"] > 0)).sum()), len(rows)


def estimate(parameters: SavingsThresholdParameters) -> Result:
    """Effect on the next year of being paid, or of passing the minimum savings rate."""
    chosen = select(aco_years(parameters.years_after), parameters)
    found = jump(chosen, parameters)
    name, unit = outcome_words(parameters.outcome, parameters.years_after), OUTCOMES[parameters.outcome][1]
    cause = "Being paid" if parameters.effect == "paid" else "Passing the minimum savings rate"
    row = found.table.iloc[0]
    if row.ci_low <= 0 <= row.ci_high:
        sentence = found.sentence(f"Effect of {cause.lower()} on the {name}", unit=unit)
    else:
        way = "lowered" if row.estimate < 0 else "raised"
        near, far = (rounded(value, row.se) for value in sorted(np.abs([row.ci_low, row.ci_high])))
        size = rounded(abs(row.estimate), row.se)
        sentence = f"{cause} {way} the {name} by {size} {unit} (95% CI {near} to {far})."
    notes = [
        "The answer is for ACOs at the minimum savings rate, not for those far above or below it.",
        "Outcomes are less the mean of all ACOs of the settled year.",
    ]
    if parameters.outcome != "leaves":
        notes.append("ACOs that left the program in between have no later year and are not in this number.")
    elif parameters.years_after == 1:
        notes.append("Who is gone the next year left before the settlement was known: this should not jump.")
    if parameters.outcome == "quality_score":
        notes.append("What the quality score measures changed between years.")
    if parameters.outcome == "savings_rate":
        notes.append("The savings rate depends on the benchmark, which is set again when an agreement ends.")
    return Result(
        estimates={
            "effect": found,
            "paid_share": jump(chosen.dropna(subset=[parameters.outcome]), parameters, column="paid"),
            "payment": jump(chosen.dropna(subset=[parameters.outcome]), parameters, column="payment"),
            "plain_comparison": plain_comparison(chosen, parameters.outcome),
        },
        headline="effect",
        sentences=(sentence,),
        notes=tuple(notes),
        axis=f"Effect on the {name}, {unit}",
    )


STUDY = Study(
    name="us/mssp_savings_threshold",
    title="Does being paid change what an ACO does next?",
    country="United States",
    data=("mssp",),
    Parameters=SavingsThresholdParameters,
    estimate=estimate,
    latest={"last_year": ("mssp", 1)},
    grid={
        "outcome": tuple(OUTCOMES),
        "risk": ("all", "one_sided", "two_sided"),
        "order": (1, 2),
        "bandwidth": (0.5, 1.0, 2.0),
        "years_after": (1, 2),
    },
)
