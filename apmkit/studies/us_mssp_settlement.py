"""Every cheque of the Shared Savings Program rebuilt: who is paid, and is it luck or skill?"""

from __future__ import annotations

from typing import Literal

import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit import datasets
from apmkit.payment.mssp import published_aco_years, reconcile_mssp
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.arithmetic import calculated
from apmkit.studies.us_mssp_settlement_luck import pairs, past_by_year, past_estimate, persistence, spreads
from apmkit.studies.us_mssp_settlement_money import by_chance, scenarios
from apmkit.studies.us_mssp_settlement_words import NO_EFFECT, persistence_sentence, rebuilt_sentence, share_sentence


class SettlementParameters(Parameters):
    """Parameters of the study; see ``apmkit studies us/mssp_settlement``."""

    first_year: int = Field(2013, ge=2013, le=2035, description="First performance year.")
    last_year: int = Field(
        2023, ge=2013, le=2035, description="Last performance year; near misses, expected payments and what-ifs use it."
    )
    minimum_size: int = Field(
        0, ge=0, le=50_000, description="Leave out ACO-years with fewer assigned beneficiaries (for luck or skill)."
    )
    lag: int = Field(1, ge=1, le=5, description="Years between the two savings rates that are compared.")
    spread: Literal["sampling", "year_to_year", "published"] = Field(
        "year_to_year", description="Spread of savings rates that stands for chance in sentences; the page shows all."
    )
    aco: Literal[
        "A1409-2018", "A1070-2020", "A2342-2023", "A3702-2023", "A2164-2023", "A1241-2023", "A1070-2022", "A2950-2017"
    ] = Field("A1409-2018", description="ACO and year settled step by step, whatever the other parameters.")
    what_if_minimum: float = Field(
        0.0, ge=0.0, le=0.1, description="Minimum savings rate of every ACO in the what-if, share of the benchmark."
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.last_year - self.first_year < self.lag:
            raise ValueError(
                f"first_year={self.first_year} and last_year={self.last_year} hold no two years {self.lag} apart; "
                "widen the window or lower lag"
            )
        latest = max(datasets.years("mssp"))
        if self.last_year > latest:
            raise ValueError(
                f"last_year={self.last_year} is after the last performance year in the data, {latest}; "
                "add a newer file with 'apmkit datasets add mssp FILE'"
            )
        return self


def window(parameters: SettlementParameters) -> pd.DataFrame:
    """Published ACO-years of the window, all sizes."""
    frame = apm.load("mssp")
    return frame[frame["year"].between(parameters.first_year, parameters.last_year)].reset_index(drop=True)


def large_enough(frame: pd.DataFrame, parameters: SettlementParameters) -> pd.DataFrame:
    """ACO-years with the least number of beneficiaries asked for."""
    return frame[frame["beneficiaries"] >= parameters.minimum_size].reset_index(drop=True)


def chosen_aco(parameters: SettlementParameters) -> pd.DataFrame:
    """The row of the ACO-year that is settled step by step, from all years."""
    aco, year = parameters.aco.split("-")
    frame = published_aco_years()
    return frame[(frame["aco_id"] == aco) & (frame["year"] == int(year))]


def estimate(parameters: SettlementParameters) -> Result:
    """How far a savings rate lasts, how many pass their minimum, and what the rules make of it."""
    frame = window(parameters)
    used = large_enough(frame, parameters)
    lasts = persistence(pairs(used, parameters.lag))
    three = spreads(used)
    years = reconcile_mssp(frame).years
    past = past_estimate(used)
    by_year = past_by_year(used, three)
    no_effect = by_chance(frame, parameters.last_year, three)
    options = scenarios(parameters.last_year, parameters.what_if_minimum)
    sums = years[["paid", "within_0.1%", "within_dollar", "owing", "losses_within_0.1%", "exceptions"]].sum()
    about = {"n_obs": len(frame), "n_units": frame["aco_id"].nunique()}
    about["estimator"] = "Payment rules applied to published columns"
    return Result(
        estimates={
            "persistence": lasts,
            "past_minimum": past,
            "rebuilt": calculated(
                sums.index, sums, estimand="ACO-years settled as published", outcome="ACO-years", **about
            ),
            "payment_by_chance": calculated(
                [f"{n:,} beneficiaries, {NO_EFFECT[name]}" for n in no_effect.index for name in no_effect],
                no_effect.to_numpy().ravel(), estimand="Mean payment to an ACO without effect",
                outcome="USD per ACO and year", **about,
            ),
            "what_if": calculated(
                options.index[1:], options["change"].iloc[1:], estimand="Change in payments less losses",
                outcome="USD", **about,
            ),
        },
        headline="persistence",
        sentences=(
            persistence_sentence(lasts, parameters.lag),
            share_sentence(by_year, parameters.spread),
            rebuilt_sentence(years),
        ),
        notes=(
            "A savings rate is measured against a benchmark set by rules: it is not an effect of the program.",
            "What lasts need not be skill: an error in a benchmark lasts as long as the agreement.",
            "Payments by chance and what-ifs are arithmetic: nobody changes what they do.",
        ),
        axis="Correlation of an ACO's savings rates in two years, from -1 to 1",
    )  # fmt: skip


STUDY = Study(
    name="us/mssp_settlement",
    title="Every cheque rebuilt: who is paid, and is it luck or skill?",
    country="United States",
    data=("mssp",),
    Parameters=SettlementParameters,
    estimate=estimate,
    latest={"last_year": ("mssp", 0)},
    grid={
        "first_year": (2013, 2016),
        "minimum_size": (0, 5000, 10_000),
        "lag": (1, 2, 3),
        "spread": ("sampling", "year_to_year", "published"),
    },
)
