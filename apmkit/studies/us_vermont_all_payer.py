"""Can anyone tell whether Vermont's All-Payer ACO Model changed Medicare cost? One state, few years before, COVID."""

from __future__ import annotations

from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit import datasets
from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.one_treated import fits_exactly
from apmkit.studies.us_states import (
    METHOD_WORDS,
    METHODS,
    OUTCOMES,
    OWN_REFORMS,
    effect,
    exact_fits,
    like_in_advantage,
    short_unit,
    state_panel,
    state_years,
)
from apmkit.studies.us_states_words import falls_and_rises, finding, fit_sentence
from apmkit.synth import placebo_detectable, placebo_power

TREATED, STATE = "VT", "Vermont"

YEARS_2017 = {"leave_out": "2017 left out", "before": "2017 counted as before", "after": "2017 counted as after"}

REPORTED = {"a patient": 600, "in the whole state": 1_143}
"""Falls in dollars a year, second-hand: a press report of 2021 on the first federal evaluation, patients of the
organization in 2018 and 2019; an opinion article on the third, all of the state's beneficiaries in 2018 to 2021."""


class VermontParameters(Parameters):
    """Parameters of the study; see ``apmkit studies us/vermont_all_payer``."""

    outcome: Literal[tuple(OUTCOMES)] = Field("standardised_cost", description="What may have changed.")
    estimator: Literal[tuple(METHODS)] = Field("synthetic_control", description="How Vermont is compared.")
    year_2017: Literal[tuple(YEARS_2017)] = Field(
        "leave_out", description="Where 2017 belongs: the model's first year, before Medicare took part at scale."
    )
    last_year: int = Field(2024, ge=2018, le=2035, description="Last year used; 2019 is the last one before COVID.")
    leave_out_years: tuple[Literal["2020", "2021"], ...] = Field((), description="COVID years to leave out.")
    donors: Literal["all", "no_own_reform", "like_in_advantage"] = Field(
        "no_own_reform",
        description="All states; those without such a reform; of these, the half most like it in Medicare Advantage.",
    )

    @model_validator(mode="after")
    def _consistent(self):
        latest = max(datasets.years("gv_state"))
        if self.last_year > latest:
            raise ValueError(
                f"last_year={self.last_year} is after the last year in the data, {latest}; add a newer file with "
                "'apmkit datasets add gv_state FILE'"
            )
        unused = [year for year in self.leave_out_years if int(year) > self.last_year]
        if unused:
            raise ValueError(f"leave_out_years={','.join(unused)} is after last_year={self.last_year}; leave it away")
        return self

    @property
    def start(self) -> int:
        """First treated year."""
        return 2017 if self.year_2017 == "after" else 2018


def sample(parameters: VermontParameters) -> pd.DataFrame:
    """Vermont and its donors in the years to compare; rows of `state_years`."""
    left_out = set() if parameters.donors == "all" else set(OWN_REFORMS) - {TREATED}
    years = {int(year) for year in parameters.leave_out_years}
    if parameters.year_2017 == "leave_out":
        years.add(2017)
    frame = state_years("state")
    rows = frame[(frame["year"] <= parameters.last_year) & ~frame["year"].isin(years) & ~frame["state"].isin(left_out)]
    if parameters.donors == "like_in_advantage":
        rows = rows[rows["state"].isin([TREATED, *like_in_advantage(rows, TREATED, 2016)])]
    return rows


def vermont_panel(parameters: VermontParameters) -> apm.Panel:
    """The panel of states of one set of parameters."""
    return state_panel(sample(parameters), TREATED, parameters.start, parameters.outcome)


def _varied(parameters: VermontParameters, **change) -> VermontParameters:
    return STUDY.parameters(**(parameters.plain() | change))


def other_choices(parameters: VermontParameters) -> pd.DataFrame:
    """The gap under every other method and every other place of 2017, one choice changed at a time.

    Returns
    -------
    DataFrame
        By name, `estimate` and `p_value`; the latter is missing where it is withheld, and for augmented synthetic
        control, whose placebos take long and which hardly differs from synthetic control here.
    """
    panel, found = vermont_panel(parameters), {}
    for name in METHODS:
        if name != parameters.estimator:
            placebo = None if name == "augmented_synthetic_control" else "permutation"
            found[METHOD_WORDS[name]] = effect(panel, name, placebo=placebo)
    for name, words in YEARS_2017.items():
        if name != parameters.year_2017:
            found[words] = effect(vermont_panel(_varied(parameters, year_2017=name)), parameters.estimator)
    rows = {name: e.table[["estimate", "p_value"]].iloc[0] for name, e in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def signs(parameters: VermontParameters) -> pd.DataFrame:
    """Every method, place of 2017 and handling of COVID for each outcome.

    Returns
    -------
    DataFrame
        One row per combination: `outcome`, `estimator`, `year_2017`, `covid` and `estimate`.
    """
    windows = {"all years": {}, "without 2020 and 2021": {"leave_out_years": ("2020", "2021")}}
    windows["up to 2019"] = {"last_year": 2019}
    rows = []
    for outcome, year, (covid, change) in product(OUTCOMES, YEARS_2017, windows.items()):
        plain = {"donors": parameters.donors, "outcome": outcome, "year_2017": year}
        panel = vermont_panel(STUDY.parameters(**plain, **change))
        for name in METHODS:
            found = effect(panel, name, placebo=None).table["estimate"].iloc[0]
            rows.append((outcome, name, year, covid, found))
    return pd.DataFrame(rows, columns=["outcome", "estimator", "year_2017", "covid", "estimate"])


def sign_table(every: pd.DataFrame) -> pd.DataFrame:
    """Falls, rises and range by outcome, with the column names a reader sees; `every` comes from `signs`."""
    rows = []
    for name, part in every.groupby("outcome", sort=False):
        measure, falls = OUTCOMES[name], int((part["estimate"] < 0).sum())
        span = measure.span(part["estimate"])
        rows.append(
            {"Outcome": measure.axis.replace("\n", " "), "Falls": falls, "Rises": len(part) - falls, "Gap": span}
        )
    return pd.DataFrame(rows)


def signs_sentence(every: pd.DataFrame, parameters: VermontParameters) -> str:
    """For how many combinations the outcome falls, and for how many outcomes the sign is open."""
    own = every.loc[every["outcome"] == parameters.outcome, "estimate"]
    mixed = every.groupby("outcome")["estimate"].agg(lambda e: e.min() < 0 < e.max())
    measure = OUTCOMES[parameters.outcome]
    return (
        f"Over {len(own)} combinations of method, place of 2017 and handling of COVID, the gap in {measure.words} runs "
        f"from {measure.span(own)}; {falls_and_rises(own)}. For {int(mixed.sum())} of "
        f"{len(mixed)} outcomes the sign depends on the choice."
    )


def reported_sentence(found: Estimate, parameters: VermontParameters) -> str:
    """How probable it is that falls of the sizes reported elsewhere would be found; `found` has placebos."""
    if not OUTCOMES[parameters.outcome].unit.startswith("dollars"):
        return "For this outcome no published size is set beside it."
    power = placebo_power(found, list(REPORTED.values()))["power"]
    told = [f"{size:,} dollars with a chance of {p:.0%}" for size, p in zip(REPORTED.values(), power, strict=True)]
    return (
        "Reports on the federal evaluations, quoted below, give two sizes. As effects in the whole state this "
        f"page would find {' and '.join(told)}."
    )


def reasons_against(found: Estimate, others: pd.DataFrame, parameters: VermontParameters) -> list[str]:
    """Why no verdict should be given; none if nothing stands against one.

    Parameters
    ----------
    found : Estimate
        With placebos.
    others : DataFrame
        From `other_choices`.
    """
    measure, checks, gap = OUTCOMES[parameters.outcome], found.diagnostics, found.table["estimate"].iloc[0]
    reasons = []
    if "withheld" in checks:
        reasons.append("the fit before is too poor for the method to be judged")
    if fits_exactly(found):
        reasons.append(
            f"{checks['n_pre_periods']} years before are matched exactly by many mixes of {checks['n_donors']} donors, "
            f"with gaps from {measure.span(exact_fits(found))}"
        )
    against = int((np.sign(others["estimate"]) != np.sign(gap)).sum())
    if against:
        reasons.append(f"{against} of {len(others)} other reasonable choices turn the sign")
    p, known = found.table["p_value"].iloc[0], others["p_value"].dropna()
    unusual = int((known <= 0.05).sum())
    if p <= 0.05 and unusual < len(known):
        reasons.append(f"p is at most 0.05 here, and under {unusual or 'none'} of {len(known)} other choices")
    if p > 0.05 and abs(gap) < (smallest := placebo_detectable(found)):
        reasons.append(f"only an effect of {measure.write(smallest)} or more would be found with a chance of 80%")
    return reasons


def verdict(found: Estimate, others: pd.DataFrame, parameters: VermontParameters) -> str:
    """The verdict, or that there is none, and why."""
    reasons = reasons_against(found, others, parameters)
    if reasons:
        return f"No verdict: {'; '.join(reasons)}."
    p = found.table["p_value"].iloc[0]
    if p > 0.05:
        return f"No effect is seen: the gap is not unusual among states (p = {p:.2f})."
    floor = found.diagnostics["p_value_floor"]
    return (
        f"The gap is unusual among states (p = {p:.2f}, at best {floor:.2f}) under this and every other "
        "choice that can be ranked. This is one state: what else changed there in these years is in the gap too."
    )


def estimate(parameters: VermontParameters) -> Result:
    """The gap between Vermont and its comparison, and whether a verdict can be given."""
    measure, panel = OUTCOMES[parameters.outcome], vermont_panel(parameters)
    found = effect(panel, parameters.estimator)
    before = found.diagnostics["n_pre_periods"]
    notes = (
        f"With {len(panel.units)} states p cannot be below {found.diagnostics['p_value_floor']:.3f}.",
        f"By ranks over time, {before} years before allow no p below {1 / (before + 1):.2f} and no 95% interval.",
        fit_sentence(found, measure),
    )
    told = verdict(found, other_choices(parameters), parameters)
    axis = f"Gap in {measure.words}, {short_unit(measure)}"
    return Result({"gap": found}, "gap", (told, finding(found, measure, STATE)), notes, axis)


STUDY = Study(
    name="us/vermont_all_payer",
    title="Did Vermont's all-payer model lower Medicare cost? When not to conclude",
    country="United States",
    data=("gv_state",),
    Parameters=VermontParameters,
    estimate=estimate,
    latest={"last_year": ("gv_state", 0)},
    grid={
        "outcome": tuple(OUTCOMES),
        "estimator": tuple(METHODS),
        "year_2017": tuple(YEARS_2017),
        "last_year": (2019, 2024),
    },
)
