"""Tables of the study of upfront payment: other choices, size of practice, savings, and published advances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

import apmkit as apm
from apmkit.studies.us_upfront_payment import (
    PATIENTS,
    PHYSICIANS_PER_NURSE,
    Start,
    UpfrontPaymentParameters,
    label,
    start,
)
from apmkit.studies.us_upfront_payment_aco import Assumptions, aco_years, advance_of

MEDICAL_HOME = 7_691
"""USD a month for each clinician: staff of medical homes in Utah (Magill et al. 2015)."""

_DOUBTFUL = ("unconfirmed", "partly confirmed")


def varied(parameters: UpfrontPaymentParameters, models: tuple[str, ...]) -> pd.DataFrame:
    """Median need as paid, USD a physician, under one other choice at a time: choices by model."""
    changes: Mapping[str, dict] = {
        "As chosen": {},
        "The practice opens anew" if parameters.existing else "The practice exists": {
            "existing": not parameters.existing
        },
        **{f"{n} Medicare patients a physician": {"patients": n} for n in (PATIENTS[0], PATIENTS[2], 400)},
        "Claims paid after 3 months": {"claims_lag": 3},
        "Opens anew, claims after 3 months": {"existing": False, "claims_lag": 3},
        "Nurse at half the cost": {"nurse_cost": max(500, parameters.nurse_cost // 2)},
        "Nurse at twice the cost": {"nurse_cost": min(40_000, 2 * parameters.nurse_cost)},
        "Costs of medical homes in Utah": {"nurse_cost": PHYSICIANS_PER_NURSE * MEDICAL_HOME},
        "No costs of starting": {"start_up": 0},
        "Running costs 5% above fees": {"cost_ratio": 1.05},
        "The same running costs everywhere": {"same_costs": True},
        "Half of the CPC+ incentive repaid": {"earned": 0.5},
        "Primary Care First adjusted by -10%": {"adjustment": -0.1},
        "ACO of 5,000 beneficiaries": {"aco_size": 5_000},
        "ACO of 15,000 beneficiaries": {"aco_size": 15_000},
        "No beneficiary with low income": {"low_income": 0.0},
        "Settled after 6 months": {"settlement_months": 6},
        "Settled after 12 months": {"settlement_months": 12},
        "The ACO saves nothing": {"savings_rate": 0.0},
        "The ACO saves 6%": {"savings_rate": 0.06},
    }
    same, rows = start(parameters, opens=()).practices, {}
    for name, change in changes.items():
        own = {key: value for key, value in change.items() if key in type(parameters).model_fields}
        rest = {key: value for key, value in change.items() if key not in own}
        found = start(
            parameters.model_copy(update=own),
            replace(Assumptions(), **rest),
            practices=None if "patients" in change else same,
            opens=(),
            models=models,
        )
        rows[name] = {model: found.need(found.paid[model]).median() for model in models}
    return pd.DataFrame.from_dict(rows, orient="index")


def by_size(parameters: UpfrontPaymentParameters, models: tuple[str, ...]) -> pd.DataFrame:
    """Opening cash needed, in days of running costs: by nurse (shared or whole), practice, physicians and model."""
    practices = apm.synthetic_practices(
        "US", n_practices=120, physicians=3, patients_per_physician=parameters.patients, seed=parameters.seed
    )
    parts = {}
    for words, whole in (("Nurses shared", False), ("Whole nurses only", True)):
        found = start(parameters, Assumptions(whole_nurses=whole), practices=practices, opens=(), models=models)
        days = {m: 365 * found.paid[m].by_practice["working_capital"] / found.before for m in models}
        parts[words] = pd.DataFrame(days).assign(physicians=found.physicians.clip(upper=6).astype(int))
    return pd.concat(parts, names=["nurse", "practice"]).set_index("physicians", append=True)


def published_advances() -> pd.DataFrame:
    """The ACO Investment Model in the published files: what each ACO was advanced, and what came back.

    Returns
    -------
    DataFrame
        By ACO: `advanced`, `recouped`, `outstanding` (after the last settlement published), `first`, `last` (years
        seen), `years_paid` (years with shared savings).
    """
    frame = apm.load("mssp")
    inside = frame.groupby("aco_id")["aco_investment_model"].transform("max").fillna(False).astype(bool)
    rows = frame[inside].sort_values(["aco_id", "year"])
    # The column of the amount is what is outstanding before the settlement of that year.
    known = rows.dropna(subset=["advance_payment_amount"])
    by_aco = known.groupby("aco_id")
    recouped = by_aco["advance_payment_recouped"].sum()
    left = by_aco["advance_payment_amount"].last() - by_aco["advance_payment_recouped"].last()
    outstanding = left.clip(lower=0)
    years = rows.groupby("aco_id")["year"]
    return pd.DataFrame(
        {
            "advanced": recouped + outstanding,
            "recouped": recouped,
            "outstanding": outstanding,
            "first": years.min(),
            "last": years.max(),
            "years_paid": (rows["earned_savings"] > 0).groupby(rows["aco_id"]).sum(),
        }
    )


def savings_table(spending: float, rates: tuple[float, ...], a: Assumptions | None = None) -> pd.DataFrame:
    """Money of the ACO in five years by savings rate, USD: `earned`, `advanced`, `recouped`, `kept_alone` and
    `kept_advanced` (what reaches the ACO without and with the advance), `balance` (never paid back), and
    `owed_on_leaving` (what it would owe if it left after the settlement of the third year)."""
    years = aco_years(rates, spending, a)
    sums = years.groupby(level="rate")[["earned", "recouped"]].sum()
    last, third = years.xs(years.index.get_level_values("year").max(), level="year"), years.xs(3, level="year")
    advanced = last["advanced"]
    return pd.DataFrame(
        {
            "earned": sums["earned"],
            "advanced": advanced,
            "recouped": sums["recouped"],
            "kept_alone": sums["earned"],
            "kept_advanced": sums["earned"] + advanced - sums["recouped"],
            "balance": last["balance"],
            "owed_on_leaving": third["balance"],
        }
    )


def doubtful_values(started: Start) -> pd.DataFrame:
    """Values of payment rules on this page that are unconfirmed or only partly confirmed: by model, with status."""
    parts = []
    for model, paid in {**started.payments, "advance": advance_of(Assumptions())}.items():
        rules = paid.rules[paid.rules["status"].isin(_DOUBTFUL)]
        if len(rules):
            rules = rules.assign(model=label(model), value=rules["value"].map(_as_text))
            parts.append(rules[["model", "parameter", "value", "unit", "status"]])
    empty = pd.DataFrame(columns=["model", "parameter", "value", "unit", "status"])
    return pd.concat([empty, *parts], ignore_index=True).drop_duplicates(["model", "parameter"])


def _as_text(value) -> str:
    """A value of a rule in a table: a list with commas, bands by their numbers."""
    if isinstance(value, list):
        return "; ".join(map(_as_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {number:g}" for name, number in value.items())
    return f"{value:g}" if isinstance(value, int | float) else str(value)
