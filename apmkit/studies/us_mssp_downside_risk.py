"""Did taking two-sided risk lower spending and use? Accountable care organizations in Medicare, 2013 on."""

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

OUTCOMES = {
    "spending_per_capita": ("Medicare spending per beneficiary", "dollars a year"),
    "inpatient_spending": ("inpatient spending per beneficiary", "dollars a year"),
    "snf_spending": ("skilled nursing facility spending per beneficiary", "dollars a year"),
    "admissions_per_1000": ("hospital admissions", "per 1,000 beneficiaries"),
    "ed_visits_per_1000": ("emergency department visits", "per 1,000 beneficiaries"),
    "snf_admissions_per_1000": ("skilled nursing facility stays", "per 1,000 beneficiaries"),
    "em_visits_per_1000": ("office and other evaluation and management visits", "per 1,000 beneficiaries"),
    "em_pcp_visits_per_1000": ("evaluation and management visits in primary care", "per 1,000 beneficiaries"),
    "quality_score": ("quality score", "on a scale of 0 to 1"),
    "savings_rate": ("savings rate", "as a share of the benchmark"),
}
"""Column, words for it, unit."""


class DownsideRiskParameters(Parameters):
    """Parameters of the study; see ``apmkit studies us/mssp_downside_risk``."""

    outcome: Literal[tuple(OUTCOMES)] = Field("spending_per_capita", description="What may have changed.")
    control: Literal["not_yet_treated", "never_treated"] = Field(
        "not_yet_treated", description="Who stands in for ACOs under two-sided risk."
    )
    estimator: Literal["callaway_santanna", "imputation", "sun_abraham", "twfe"] = Field(
        "callaway_santanna", description="How the comparison is made; only callaway_santanna uses control."
    )
    first_year: int = Field(2014, ge=2013, le=2018, description="First performance year of the window.")
    last_year: int = Field(2023, ge=2017, le=2035, description="Last performance year of the window.")
    leave_out_years: tuple[Literal["2019", "2020", "2021"], ...] = Field(
        (), description="Years to leave out: 2019 lacks half-year rows, 2020 and 2021 are COVID years."
    )
    sample: Literal["all", "balanced"] = Field(
        "all", description="All ACOs, or only those present in every year of the window."
    )
    weights: Literal["none", "person_years", "staying"] = Field(
        "none", description="Count ACOs equally, by person-years when first seen, or by the inverse chance of staying."
    )
    scale: Literal["level", "log"] = Field("level", description="Outcome as it is, or its logarithm (about percent).")

    @model_validator(mode="after")
    def _consistent(self):
        if self.scale == "log" and self.outcome in ("quality_score", "savings_rate"):
            raise ValueError(f"outcome={self.outcome} can be zero or negative and has no logarithm; use scale=level")
        window = set(range(self.first_year, self.last_year + 1)) - {int(year) for year in self.leave_out_years}
        if len(window) < 2:
            raise ValueError(
                f"first_year={self.first_year}, last_year={self.last_year} and the years left out keep "
                f"{len(window)} year{'' if len(window) == 1 else 's'}; at least two are needed"
            )
        latest = max(datasets.years("mssp"))
        if self.last_year > latest:
            raise ValueError(
                f"last_year={self.last_year} is after the last performance year in the data, {latest}; "
                "add a newer file with 'apmkit datasets add mssp FILE'"
            )
        return self


def aco_years() -> pd.DataFrame:
    """One row per ACO and performance year, with entry, exit and first switch.

    Returns
    -------
    DataFrame
        The columns of ``load("mssp")`` and `cohort` (first two-sided year, missing if never), `entry`, `last_seen`,
        `always_two_sided` (two-sided from entry) and `stays` (seen in the next year; missing in the last).
    """
    frame = apm.load("mssp").sort_values(["aco_id", "year"], ignore_index=True)
    by_aco = frame.groupby("aco_id")["year"]
    frame["entry"], frame["last_seen"] = by_aco.transform("min"), by_aco.transform("max")
    first_switch = frame[frame["two_sided"]].groupby("aco_id")["year"].min()
    frame["cohort"] = frame["aco_id"].map(first_switch)
    frame["always_two_sided"] = frame["cohort"] == frame["entry"]
    stays = by_aco.shift(-1).eq(frame["year"] + 1).astype(float)
    frame["stays"] = stays.where(frame["year"] < frame["year"].max())
    return frame


def stay_rates(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of ACOs seen again the next year, by year and side; columns `one_sided`, `two_sided`."""
    known = frame.dropna(subset=["stays"])
    rates = known.groupby(["year", "two_sided"])["stays"].mean().unstack()
    return rates.rename(columns={False: "one_sided", True: "two_sided"}).rename_axis(columns=None)


def by_side(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """One row per ACO: those that `switched`, that `never` took two-sided risk, and that `always` had it."""
    acos = frame.drop_duplicates("aco_id")
    always, never = acos["always_two_sided"], acos["cohort"].isna()
    return {"switched": acos[~never & ~always], "never": acos[never], "always": acos[always]}


def gap_of_2019(frame: pd.DataFrame) -> tuple[int, int]:
    """How many ACOs began in July 2019 and are first seen in 2020, and how many settled for half of 2019."""
    in_2019 = frame[frame["year"] == 2019]
    began = frame[(frame["year"] == 2020) & (frame["agreement_start"] == "2019-07-01")]
    return int((~began["aco_id"].isin(in_2019["aco_id"])).sum()), int((in_2019["performance_months"] == 6).sum())


def staying_weights(frame: pd.DataFrame) -> pd.Series:
    """Inverse of the chance that an ACO is still in the program, given what was known of it each year before.

    A logit of staying to the next year on side, size, spending, risk score of aged beneficiaries, savings rate,
    quality and year; the chances multiply from entry on. Missing covariates take the mean of their year.

    Returns
    -------
    Series
        Aligned with `frame`; 1 in the year of entry, and cut at the 99th percentile.

    References
    ----------
    Robins, Rotnitzky and Zhao (1995), Journal of the American Statistical Association 90(429), section 3.
    """
    import statsmodels.api as sm

    covariates = pd.DataFrame(
        {
            "two_sided": frame["two_sided"].astype(float),
            "size": np.log(frame["person_years"]),
            "spending": np.log(frame["spending_per_capita"]),
            "risk": frame["risk_score_aged_nondual"],
            "savings": frame["savings_rate"],
            "quality": frame["quality_score"],
        }
    )
    covariates = covariates.fillna(covariates.groupby(frame["year"]).transform("mean"))
    years = pd.get_dummies(frame["year"], prefix="year", drop_first=True, dtype=float)
    covariates = covariates - covariates.mean()
    # The last year has no next year; its dummy would be constant among the rows that are fitted.
    design = sm.add_constant(pd.concat([covariates, years.drop(columns=f"year_{frame['year'].max()}")], axis=1))
    known = frame["stays"].notna()
    fit = sm.Logit(frame.loc[known, "stays"], design[known]).fit(disp=0)
    chance = pd.Series(fit.predict(design), index=frame.index)
    survival = chance.groupby(frame["aco_id"]).shift(1, fill_value=1.0).groupby(frame["aco_id"]).cumprod()
    weight = 1 / survival
    return weight.clip(upper=weight.quantile(0.99))


def select(frame: pd.DataFrame, parameters: DownsideRiskParameters, outcome: str | None = None) -> pd.DataFrame:
    """Rows of the estimation sample: the window, ACOs not two-sided from entry, and a known outcome.

    Raises
    ------
    StudyError
        No ACO is present in every year of the window.
    """
    outcome = outcome or parameters.outcome
    leave_out = [int(year) for year in parameters.leave_out_years]
    chosen = frame[
        frame["year"].between(parameters.first_year, parameters.last_year)
        & ~frame["year"].isin(leave_out)
        & ~frame["always_two_sided"]
        & frame[outcome].notna()
    ].copy()
    if parameters.sample == "balanced":
        span = chosen["year"].nunique()
        chosen = chosen[chosen.groupby("aco_id")["year"].transform("size") == span]
        if chosen.empty:
            raise StudyError(
                f"No ACO is present in all {span} years of the window: use sample=all or a shorter window."
            )
    if parameters.scale == "log":
        if (chosen[outcome] <= 0).any():
            raise StudyError(f"{outcome} is zero for some ACOs and has no logarithm: use scale=level.")
        chosen[outcome] = np.log(chosen[outcome])
    if parameters.weights == "person_years":
        chosen["weight"] = chosen.groupby("aco_id")["person_years"].transform("first")
    elif parameters.weights == "staying":
        chosen["weight"] = staying_weights(frame).loc[chosen.index]
    return chosen


def mean_without(chosen: pd.DataFrame, outcome: str) -> float:
    """Mean of an outcome over the rows of `select` without two-sided risk."""
    return chosen.loc[~(chosen["year"] >= chosen["cohort"]), outcome].mean()


def aco_panel(chosen: pd.DataFrame, parameters: DownsideRiskParameters, outcome: str | None = None) -> apm.Panel:
    """The panel of ACOs and years; it is ragged, and the page says how."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return apm.Panel(
            chosen,
            unit="aco_id",
            time="year",
            outcome=outcome or parameters.outcome,
            cohort="cohort",
            weights=None if parameters.weights == "none" else "weight",
        )


def effects(panel: apm.Panel, parameters: DownsideRiskParameters) -> dict[str, Estimate]:
    """Headline effect `att`, and `event` and `cohort` where the estimator gives them.

    Event estimates before the switch are changes from the last year before it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        if parameters.estimator == "twfe":
            return {"att": apm.twfe(panel), "event": apm.event_study(panel)}
        if parameters.estimator == "callaway_santanna":
            by_cohort = apm.callaway_santanna(panel, control=parameters.control, base_period="universal")
        else:
            by_cohort = getattr(apm, parameters.estimator)(panel)
    return {
        "att": by_cohort.aggregate("simple"),
        "event": by_cohort.aggregate("event"),
        "cohort": by_cohort.aggregate("cohort"),
    }


def exit_bounds(chosen: pd.DataFrame, parameters: DownsideRiskParameters, quantile: float = 0.1) -> dict[str, Estimate]:
    """The headline effect if those that left had fared very well or very badly.

    After an ACO leaves, its outcome is taken to have changed since its last year like the low or the high `quantile`
    of the ACOs that stayed over the same span. ``"low"`` fills switchers low and the others high, ``"high"`` the
    reverse. Not a confidence interval: the range that the missing years alone allow.

    Parameters
    ----------
    chosen : DataFrame
        From `select`, unweighted.
    quantile : float
        Between 0 (the worst case) and 0.5 (leavers changed like the median stayer).

    References
    ----------
    Horowitz, J. L. and Manski, C. F. (2000), Journal of the American Statistical Association 95(449), section 2.
    """
    if not 0 <= quantile <= 0.5:
        raise StudyError(f"quantile={quantile} is not between 0 and 0.5.")
    wide = chosen.pivot(index="aco_id", columns="year", values=parameters.outcome)
    cohort = chosen.groupby("aco_id")["cohort"].first().reindex(wide.index)
    values, switches = wide.to_numpy(), cohort.notna().to_numpy()
    last = values.shape[1] - 1 - np.isfinite(values)[:, ::-1].argmax(axis=1)
    filled = {"low": values.copy(), "high": values.copy()}
    for end in range(values.shape[1]):
        for start in range(end):
            gone = last == start
            change = values[:, end] - values[:, start]
            change = change[np.isfinite(change)]
            if not gone.any() or not len(change):
                continue
            down, up = np.quantile(change, [quantile, 1 - quantile])
            for name, own, other in (("low", down, up), ("high", up, down)):
                filled[name][gone, end] = values[gone, start] + np.where(switches[gone], own, other)
    unweighted = parameters.model_copy(update={"weights": "none"})
    bounds = {}
    for name, matrix in filled.items():
        long = pd.DataFrame(matrix, index=wide.index, columns=wide.columns).stack().dropna().rename(parameters.outcome)
        long = long.reset_index().assign(cohort=lambda f: f["aco_id"].map(cohort))
        bounds[name] = effects(aco_panel(long, unweighted), unweighted)["att"]
    return bounds


def alternatives(frame: pd.DataFrame, parameters: DownsideRiskParameters) -> tuple[dict[str, Estimate], dict[str, str]]:
    """The headline effect under one other choice at a time.

    Returns
    -------
    dict of str to Estimate
        By a name that says which choice was changed.
    dict of str to str
        Choices that cannot be estimated, and why.
    """
    changes: dict[str, dict] = {"as chosen": {}}
    other = "never_treated" if parameters.control == "not_yet_treated" else "not_yet_treated"
    if parameters.estimator == "callaway_santanna":
        changes[f"against {other.replace('_', ' ')} ACOs"] = {"control": other}
    words = {
        "callaway_santanna": "Callaway-Sant'Anna",
        "imputation": "imputation",
        "sun_abraham": "Sun-Abraham",
        "twfe": "two-way fixed effects",
    }
    for estimator, name in words.items():
        if estimator != parameters.estimator:
            changes[name] = {"estimator": estimator}
    if parameters.sample == "all":
        changes["ACOs present in every year"] = {"sample": "balanced"}
    for weights, name in (
        ("none", "each ACO counts once"),
        ("person_years", "weighted by person-years"),
        ("staying", "weighted by the inverse chance of staying"),
    ):
        if weights != parameters.weights:
            changes[name] = {"weights": weights}
    if not parameters.leave_out_years:
        changes["without 2019"] = {"leave_out_years": ("2019",)}
        changes["without 2020 and 2021"] = {"leave_out_years": ("2020", "2021")}
    if parameters.last_year > 2019 and parameters.first_year < 2018:
        changes["up to 2019"] = {"last_year": 2019}
    found, impossible = {}, {}
    for name, change in changes.items():
        try:
            varied = STUDY.parameters(**(parameters.plain() | change))
            found[name] = effects(aco_panel(select(frame, varied), varied), varied)["att"]
        except ApmkitError as error:
            impossible[name] = str(error)
    return found, impossible


def drift_before(event: Estimate) -> float | None:
    """p-value of a joint test that nothing happened before the switch; None where that cannot be tested."""
    if not (event.table["relative_time"] < 0).any():
        return None
    try:
        return float(event.joint_test()["p_value"])
    except ApmkitError:
        return None


def words(parameters: DownsideRiskParameters) -> tuple[str, str]:
    """Words for the outcome and its unit under these parameters."""
    name, unit = OUTCOMES[parameters.outcome]
    return name, "log points" if parameters.scale == "log" else unit


def estimate(parameters: DownsideRiskParameters) -> Result:
    """Effect of the first years under two-sided risk on one outcome."""
    chosen = select(aco_years(), parameters)
    found = effects(aco_panel(chosen, parameters), parameters)
    name, unit = words(parameters)
    sentences = [found["att"].sentence(name[0].upper() + name[1:], unit=unit)]
    drift = drift_before(found["event"])
    if drift is not None and drift < 0.05:
        sentences.append("Before the switch the groups were already drifting apart: this is not risk alone.")
    notes = [
        "ACOs chose when to take risk, and those that never did are largely leavers and late entrants.",
        "ACOs under two-sided risk from their first year have no time before and are left out.",
    ]
    if parameters.outcome == "savings_rate":
        notes.append("The savings rate follows the benchmark, which the rules reset: it is not an outcome of care.")
    if parameters.outcome == "quality_score":
        notes.append(
            "What the quality score measures changed between years; period effects absorb only common changes."
        )
    return Result(
        estimates=found,
        headline="att",
        sentences=tuple(sentences),
        notes=tuple(notes),
        axis=f"Effect on {name}, {unit}",
    )


STUDY = Study(
    name="us/mssp_downside_risk",
    title="Did taking two-sided risk lower spending and use?",
    country="United States",
    data=("mssp",),
    Parameters=DownsideRiskParameters,
    estimate=estimate,
    latest={"last_year": ("mssp", 0)},
    grid={
        "outcome": ("spending_per_capita", "admissions_per_1000", "ed_visits_per_1000"),
        "estimator": ("callaway_santanna", "imputation", "twfe"),
        "first_year": (2013, 2014, 2015),
        "leave_out_years": ((), ("2019",), ("2020", "2021")),
        "weights": ("none", "person_years"),
    },
)
