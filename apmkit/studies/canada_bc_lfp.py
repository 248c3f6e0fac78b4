"""Did British Columbia's Longitudinal Family Physician model raise payments and supply, and did access follow?"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit.datasets.states import PROVINCES
from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study, StudyError
from apmkit.studies.canada_bc_lfp_words import MEASURES, TREATED, finding, fit_sentence
from apmkit.studies.one_treated import METHODS, Measure, pretended_starts, quietly

TREATMENT_YEAR = 2023
"""The model began on 1 February 2023."""

BUDGET, BUDGET_YEARS = 1.1e9, 3
"""CAD of British Columbia's Budget 2023 for the model and related incentives, and the years it covers."""

_NAMES = {code: name for name, code in PROVINCES.items()}
_DONORS = ("AB", "MB", "NB", "NL", "NS", "ON", "PE", "QC", "SK")
_FEWEST_BEFORE = 3

METHOD_WORDS = {
    "synthetic_control": "Synthetic control",
    "synthetic_control_intercept": "Synthetic control with intercept",
    "synthetic_did": "Synthetic difference-in-differences",
    "difference_in_differences": "Difference-in-differences",
}


class BcLfpParameters(Parameters):
    """Parameters of the study; see ``apmkit studies canada/bc_lfp``."""

    outcome: Literal[tuple(MEASURES)] = Field(
        "payments_per_capita", description="What may have changed; unmet_need is described and not tested."
    )
    estimator: Literal[tuple(METHODS)] = Field(
        "synthetic_control", description="How British Columbia is compared with the donor provinces."
    )
    leave_out: tuple[Literal[_DONORS], ...] = Field(
        ("ON",), description="Provinces that are no donors; Ontario's payments of 2023-24 are under-counted."
    )
    first_year: int = Field(
        2010, ge=1999, le=2020, description="First year used; physicians start in 2015 and unmet need in 2018."
    )
    last_year: int = Field(
        2024, ge=2023, le=2035, description="Last year used, or the last one in the data if that is earlier."
    )
    partly_treated: Literal["leave_out", "pre", "post"] = Field(
        "leave_out", description="Where payments of 2022-23 belong, two months of which the model covers."
    )
    treatment_year: int = Field(
        2023, ge=2002, le=2023, description="First treated year; one before 2023 is a placebo, run on untreated years."
    )

    @model_validator(mode="after")
    def _consistent(self):
        measure = MEASURES[self.outcome]
        if len(_DONORS) - len(self.leave_out) < 3:
            raise ValueError(f"leave_out={','.join(self.leave_out)} leaves fewer than three donors; name at most six")
        if self.partly_treated != "leave_out" and (not measure.fiscal or self.treatment_year != TREATMENT_YEAR):
            raise ValueError(
                f"partly_treated={self.partly_treated} concerns payments of 2022-23 only: it needs "
                f"outcome=payments_per_capita and treatment_year={TREATMENT_YEAR}"
            )
        if measure.last_untouched < self.treatment_year < TREATMENT_YEAR:
            raise ValueError(
                f"treatment_year={self.treatment_year} leaves no untreated year after the pretended start: give "
                f"{TREATMENT_YEAR}, or at most {measure.last_untouched} for outcome={self.outcome}"
            )
        start = max(self.first_year, measure.first_year)
        partial_year = measure.fiscal and not self.is_placebo and self.partly_treated != "pre"
        before = max(self.treatment_year - start - partial_year, 0)
        if before < _FEWEST_BEFORE:
            raise ValueError(
                f"{self.outcome} from {start} has {before} year{'' if before == 1 else 's'} before "
                f"treatment_year={self.treatment_year} and needs {_FEWEST_BEFORE}; give an earlier first_year or a "
                "later treatment_year"
            )
        return self

    @property
    def measure(self) -> Measure:
        """The outcome."""
        return MEASURES[self.outcome]

    @property
    def is_placebo(self) -> bool:
        """Whether the treatment year is a pretended one."""
        return self.treatment_year != TREATMENT_YEAR


def province_years() -> pd.DataFrame:
    """All outcomes, one row per province and year.

    Returns
    -------
    DataFrame
        `province`, `year` (of payments: the calendar year in which the fiscal year starts), `payments_per_capita`
        (CAD, nominal, over the population of 1 July of `year`), `alternative_share` (percent of payments),
        `family_physicians`, `family_physicians_per_100k`, `unmet_need` (percent) and `population`.
    """
    keys = ["province", "year"]
    payments = apm.load("npdb_payments").rename(columns={"fiscal_year_start": "year"})
    family = apm.load("physicians").query("group == 'family_medicine'").rename(columns={"physicians": "heads"})
    frame = (
        apm.load("population")[[*keys, "population"]]
        .merge(payments[[*keys, "payments", "alternative_share"]], on=keys, how="left")
        .merge(family[[*keys, "heads"]], on=keys, how="left")
        .merge(apm.load("unmet_need")[[*keys, "unmet_need"]], on=keys, how="left")
    )
    frame = frame[frame["province"].isin(("BC", *_DONORS)) & (frame["year"] >= 1999)]
    return pd.DataFrame(
        {
            "province": frame["province"].map(_NAMES),
            "year": frame["year"],
            "payments_per_capita": frame["payments"] / frame["population"],
            "alternative_share": frame["alternative_share"] * 100,
            "family_physicians": frame["heads"],
            "family_physicians_per_100k": frame["heads"] / frame["population"] * 100_000,
            "unmet_need": frame["unmet_need"] * 100,
            "population": frame["population"],
        }
    ).sort_values(["province", "year"], ignore_index=True)


def province_panel(frame: pd.DataFrame, parameters: BcLfpParameters) -> apm.Panel:
    """British Columbia and its donors in the years to compare.

    Parameters
    ----------
    frame : DataFrame
        From `province_years`.
    """
    measure = parameters.measure
    last = measure.last_untouched if parameters.is_placebo else parameters.last_year
    left_out = [_NAMES[code] for code in parameters.leave_out]
    rows = frame[
        frame["year"].between(parameters.first_year, last)
        & ~frame["province"].isin(left_out)
        & frame[parameters.outcome].notna()
    ]
    start = parameters.treatment_year
    if measure.fiscal and parameters.partly_treated == "leave_out":
        rows = rows[rows["year"] != TREATMENT_YEAR - 1]
    elif parameters.partly_treated == "post":
        start = TREATMENT_YEAR - 1
    rows = rows.assign(start=np.where(rows["province"] == TREATED, float(start), np.nan))
    return apm.Panel(rows, unit="province", time="year", outcome=parameters.outcome, cohort="start", balanced=True)


def effect(panel: apm.Panel, parameters: BcLfpParameters, estimator: str | None = None) -> Estimate:
    """The effect by one estimator; no placebos where the outcome is only described.

    A poor fit before treatment is not warned of here: `fit_sentence` says it.
    """
    placebo = "in_space" if parameters.measure.tested else None
    return quietly(METHODS[estimator or parameters.estimator], panel, placebo=placebo)


def _varied(parameters: BcLfpParameters, **change) -> BcLfpParameters | None:
    """Parameters with a change, or none if the rules between them forbid it."""
    try:
        return STUDY.parameters(**(parameters.plain() | change))
    except StudyError:
        return None


def other_outcomes(frame: pd.DataFrame, parameters: BcLfpParameters) -> dict[str, dict[str, Estimate]]:
    """The outcomes not chosen whose data reach far enough back for the treatment year, by each method."""
    found = {}
    for outcome in MEASURES:
        varied = _varied(parameters, outcome=outcome, partly_treated="leave_out")
        if varied is not None and outcome != parameters.outcome:
            panel = province_panel(frame, varied)
            found[outcome] = {name: effect(panel, varied, name) for name in METHODS}
    return found


def alternatives(frame: pd.DataFrame, parameters: BcLfpParameters) -> dict[str, Estimate]:
    """The effect under one other choice of donors or years at a time, by a name that says which."""
    measure = parameters.measure
    changes: dict[str, dict] = {
        "All nine donors": {"leave_out": ()},
        "Without Ontario": {"leave_out": ("ON",)},
        "Without Ontario and New Brunswick": {"leave_out": ("ON", "NB")},
        "Without Ontario and Nova Scotia": {"leave_out": ("ON", "NS")},
        **{
            f"From {measure.year(year)}": {"first_year": year}
            for year in (2000, 2005, 2010, 2015, 2018)
            if year >= measure.first_year
        },
    }
    if measure.fiscal:
        changes |= {
            f"2022-23 {words}": {"partly_treated": choice}
            for choice, words in (("leave_out", "left out"), ("pre", "counted as before"), ("post", "counted as after"))
        }
    found = {"As chosen": effect(province_panel(frame, parameters), parameters)}
    for name, change in changes.items():
        varied = _varied(parameters, **change)
        if varied is not None and not _same(varied, parameters):
            found[name] = effect(province_panel(frame, varied), varied)
    return found


def _same(one: BcLfpParameters, other: BcLfpParameters) -> bool:
    """Whether two sets select the same rows; years before the data start make no difference."""
    starts = [max(p.first_year, p.measure.first_year) for p in (one, other)]
    rest = [p.model_dump(exclude={"first_year", "leave_out"}) | {"leave_out": set(p.leave_out)} for p in (one, other)]
    return starts[0] == starts[1] and rest[0] == rest[1]


def placebo_starts(panel: apm.Panel, parameters: BcLfpParameters) -> pd.DataFrame:
    """Effects of pretended starts in the years before treatment; a sound design finds none.

    Returns
    -------
    DataFrame
        One row per pretended start with `start`, `estimate`, `pre_rmspe`, and `rank` and `p_value` where the outcome
        is tested.
    """
    placebo = "in_space" if parameters.measure.tested else None
    return pretended_starts(panel, METHODS[parameters.estimator], _FEWEST_BEFORE, placebo=placebo)


def budget_per_person(frame: pd.DataFrame) -> float:
    """CAD a person and year that the province budgeted for the model and related incentives."""
    people = frame.loc[(frame["province"] == TREATED) & (frame["year"] == TREATMENT_YEAR), "population"].item()
    return BUDGET / BUDGET_YEARS / people


_NOTES = {
    "payments_per_capita": "Payments are in current dollars and to all physicians, whose fees rose with the Physician "
    "Master Agreement of 2022 too: the gap is not the model's alone.",
    "family_physicians_per_100k": "Physicians are counted as heads, not as full-time equivalents.",
    "unmet_need": "Unmet need is described and not tested: the source gives no confidence intervals.",
}


def estimate(parameters: BcLfpParameters) -> Result:
    """The gap between British Columbia and its comparison, by all four estimators."""
    measure = parameters.measure
    panel = province_panel(province_years(), parameters)
    found = {name: effect(panel, parameters, name) for name in METHODS}
    chosen = found[parameters.estimator]
    notes = [fit_sentence(chosen, measure), _NOTES[parameters.outcome]]
    if measure.tested:
        floor = chosen.diagnostics["p_value_floor"]
        notes.insert(0, f"With {chosen.diagnostics['n_donors']} donors p cannot be below {floor:.3f}.")
    sentence = finding(chosen, measure, pretended=parameters.is_placebo)
    axis = f"Gap in {measure.words}, {measure.unit}"
    return Result(found, parameters.estimator, (sentence,), tuple(notes), axis)


STUDY = Study(
    name="canada/bc_lfp",
    title="Did a new payment model for family physicians raise payments and supply, and did access follow?",
    country="Canada",
    data=("npdb_payments", "physicians", "population", "unmet_need"),
    Parameters=BcLfpParameters,
    estimate=estimate,
    grid={
        "outcome": tuple(MEASURES),
        "estimator": tuple(METHODS),
        "leave_out": ((), ("ON",), ("ON", "NB", "NS")),
        "first_year": (2005, 2010, 2015),
        "partly_treated": ("leave_out", "pre", "post"),
    },
)
