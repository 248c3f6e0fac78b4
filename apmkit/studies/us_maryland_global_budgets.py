"""Did Maryland's hospital global budgets, or its Total Cost of Care Model, change Medicare cost and hospital use?"""

from __future__ import annotations

from typing import Literal

import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.one_treated import fits_exactly
from apmkit.studies.us_states import (
    METHOD_WORDS,
    METHODS,
    OUTCOMES,
    OWN_REFORMS,
    effect,
    like_in_advantage,
    number,
    short_unit,
    state_panel,
    state_years,
)
from apmkit.studies.us_states_words import finding, fit_sentence, shown, trends_sentence

TREATED, STATE = "MD", "Maryland"

MODELS = {"global_budgets": ("county", 2014), "total_cost_of_care": ("state", 2019)}
"""File and first treated year of each model."""

MODEL_WORDS = {
    "global_budgets": "Hospital global budgets, from January 2014",
    "total_cost_of_care": "Total Cost of Care Model, from January 2019",
}

NEIGHBOURS = ("DC", "DE", "PA", "VA", "WV")

_FEWEST_BEFORE = 3


class MarylandParameters(Parameters):
    """Parameters of the study; see ``apmkit studies us/maryland_global_budgets``."""

    model: Literal[tuple(MODELS)] = Field(
        "global_budgets", description="Hospital budgets of 2014 (cost, 2007-2017) or the model of 2019 (from 2014)."
    )
    outcome: Literal[tuple(OUTCOMES)] = Field(
        "cost_per_capita", description="What may have changed; only cost_per_capita reaches back before 2014."
    )
    estimator: Literal[tuple(METHODS)] = Field("synthetic_control", description="How Maryland is compared.")
    donors: Literal["all", "no_own_reform", "like_in_advantage"] = Field(
        "no_own_reform",
        description="All states; those without such a reform; of these, the half most like it in Medicare Advantage.",
    )
    leave_out: tuple[Literal[NEIGHBOURS], ...] = Field(
        (), description="Neighbours that are no donors, because patients cross the border."
    )
    first_year: int = Field(2007, ge=2007, le=2016, description="First year used; the file by state starts in 2014.")
    leave_out_years: tuple[Literal["2020", "2021"], ...] = Field(
        (), description="COVID years to leave out; they lie after the model of 2019."
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.model == "global_budgets":
            if self.outcome != "cost_per_capita":
                raise ValueError(
                    f"outcome={self.outcome} is known from 2014 on, when the budgets began: it needs "
                    "model=total_cost_of_care"
                )
            if self.leave_out_years:
                raise ValueError(
                    "leave_out_years concerns the years from 2020 on: it needs model=total_cost_of_care; "
                    "the file by county ends in 2017"
                )
        latest = self.start - _FEWEST_BEFORE
        if self.from_year > latest:
            raise ValueError(
                f"first_year={self.first_year} leaves fewer than {_FEWEST_BEFORE} years before {self.start}; "
                f"give {latest} or earlier"
            )
        return self

    @property
    def source(self) -> str:
        """The file: by county or by state."""
        return MODELS[self.model][0]

    @property
    def start(self) -> int:
        """First treated year."""
        return MODELS[self.model][1]

    @property
    def from_year(self) -> int:
        """First year used."""
        return max(self.first_year, 2007 if self.source == "county" else 2014)


def sample(parameters: MarylandParameters) -> pd.DataFrame:
    """Maryland and its donors in the years to compare; rows of `state_years`."""
    frame = state_years(parameters.source)
    left_out = set(parameters.leave_out)
    if parameters.donors != "all":
        left_out |= set(OWN_REFORMS) - {TREATED}
    rows = frame[
        (frame["year"] >= parameters.from_year)
        & ~frame["year"].isin([int(year) for year in parameters.leave_out_years])
        & ~frame["state"].isin(left_out)
    ]
    if parameters.donors == "like_in_advantage":
        alike = like_in_advantage(rows, TREATED, parameters.start - 1)
        rows = rows[rows["state"].isin([TREATED, *alike])]
    return rows


def maryland_panel(parameters: MarylandParameters) -> apm.Panel:
    """The panel of states of one set of parameters."""
    return state_panel(sample(parameters), TREATED, parameters.start, parameters.outcome)


def alternatives(parameters: MarylandParameters) -> dict[str, apm.Estimate]:
    """The effect under one other choice of donors or years at a time, by a name that says which."""
    changes: dict[str, dict] = {
        "All other states": {"donors": "all"},
        "No state with a reform like it": {"donors": "no_own_reform"},
        "Most like it in Medicare Advantage": {"donors": "like_in_advantage"},
        "Without the District of Columbia": {"leave_out": ("DC",)},
        "Without all neighbours": {"leave_out": NEIGHBOURS},
    }
    if parameters.model == "global_budgets":
        changes |= {"From 2009, as Roberts et al.": {"first_year": 2009}, "From 2010": {"first_year": 2010}}
    else:
        changes |= {"Without 2020 and 2021": {"leave_out_years": ("2020", "2021")}}
    found = {"As chosen": effect(maryland_panel(parameters), parameters.estimator)}
    for name, change in changes.items():
        varied = STUDY.parameters(**(parameters.plain() | change))
        if varied != parameters:
            found[name] = effect(maryland_panel(varied), parameters.estimator)
    return found


def by_outcome(parameters: MarylandParameters) -> pd.DataFrame:
    """The step of 2019 for each outcome by three methods, with the column names a reader sees."""
    rows = []
    for name, measure in OUTCOMES.items():
        other = STUDY.parameters(model="total_cost_of_care", outcome=name, donors=parameters.donors)
        panel, row = maryland_panel(other), {"Outcome": measure.axis.replace("\n", " ")}
        for method in ("synthetic_control", "difference_in_differences", "differential_trend"):
            found = effect(panel, method)
            p = f"{found.table['p_value'].iloc[0]:.2f}"
            judged = "not judged" if "withheld" in found.diagnostics else "exact fit" if fits_exactly(found) else p
            row[METHOD_WORDS[method]] = f"{number(measure).format(found.table['estimate'].iloc[0])} ({judged})"
        rows.append(row)
    return pd.DataFrame(rows)


_NOTES = {
    "cost_per_capita": "Maryland sets the prices of its hospitals: cost at prices paid moves with them as well as with "
    "care.",
    "standardised_cost": "Price-standardised cost removes the regulated prices, and with them what a budget does "
    "through prices.",
    "inpatient_stays": "Observation stays are not counted: care moved there looks like fewer stays.",
    "readmissions": "Readmissions are a share of stays: they move when fewer and sicker patients are admitted.",
    "ed_visits": "Visits fell everywhere in 2020; how far differs between states.",
}


def estimate(parameters: MarylandParameters) -> Result:
    """The gap between Maryland and its comparison, with both assumptions on trends beside it."""
    measure, panel = OUTCOMES[parameters.outcome], maryland_panel(parameters)
    names = dict.fromkeys([parameters.estimator, "difference_in_differences", "differential_trend"])
    found = {name: effect(panel, name) for name in names}
    chosen = found[parameters.estimator]
    trends = trends_sentence({METHOD_WORDS[name]: e for name, e in found.items()}, measure)
    floor = chosen.diagnostics["p_value_floor"]
    notes = (
        f"With {len(panel.units)} states p cannot be below {floor:.3f}.",
        fit_sentence(chosen, measure),
        _NOTES[parameters.outcome],
    )
    if parameters.model == "total_cost_of_care":
        notes += ("The years before 2019 were under hospital global budgets: this is a change on top of them.",)
    axis = f"Gap in {measure.words} since {parameters.start}, {short_unit(measure)}"
    answer = f"{finding(chosen, measure, STATE)} {shown(chosen)}"
    return Result(found, parameters.estimator, (answer, trends), notes, axis)


STUDY = Study(
    name="us/maryland_global_budgets",
    title="Did hospital global budgets lower Medicare cost in Maryland?",
    country="United States",
    data=("gv_county", "gv_state"),
    Parameters=MarylandParameters,
    estimate=estimate,
    grid={
        "model": tuple(MODELS),
        "outcome": tuple(OUTCOMES),
        "estimator": tuple(METHODS),
        "donors": ("all", "no_own_reform", "like_in_advantage"),
        "leave_out_years": ((), ("2020", "2021")),
    },
)
