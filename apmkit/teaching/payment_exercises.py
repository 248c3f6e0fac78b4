"""Exercises on what a payment model pays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

import pandas as pd

from apmkit.teaching.exercise import Exercise, Solution, normal, pick

_DAY = "2023-12-31"
_YEARS = (2022, 2023)  # shipped, and settled by one set of rules: files added later change nobody's numbers


# -- minimum savings ---------------------------------------------------------------------------------------------------


def _size(random: Random) -> dict[str, Any]:
    return {"beneficiaries": 5000 + int(random.random() * 55_000), "per_person": 9000 + int(random.random() * 5000)}


def _class_of_size(beneficiaries: int) -> Mapping[str, float]:
    from apmkit.payment import rulebook

    table = rulebook("mssp").on(_DAY)["minimum_savings_rate.table"]
    return next(row for row in table if row["from"] <= beneficiaries <= (row["to"] or math.inf))


def _ask_minimum(given) -> str:
    row = _class_of_size(given["beneficiaries"])
    return (
        f"An accountable care organization at one-sided risk has {given['beneficiaries']:,} beneficiaries and a "
        f"benchmark of {given['per_person']:,} dollars per person and year. From {row['from']:,} to {row['to']:,} "
        f"beneficiaries the minimum savings rate falls on a straight line from {row['rate_at_from']:.1%} to "
        f"{row['rate_at_to']:.1%} of the benchmark.\n\nHow many dollars must its patients cost less than the "
        "benchmark in the whole year, before Medicare shares any savings?"
    )


def _solve_minimum(given) -> Solution:
    from apmkit.payment import minimum_savings_rate

    benchmark = given["beneficiaries"] * given["per_person"]
    row = _class_of_size(given["beneficiaries"])
    rate = float(minimum_savings_rate(given["beneficiaries"], on=_DAY))
    return Solution(
        rate * benchmark,
        {
            "the rate is that of the smallest ACO of the class: go down the line": row["rate_at_from"] * benchmark,
            "the rate is that of the largest ACO of the class: go up the line": row["rate_at_to"] * benchmark,
            "it is the amount for one person: the whole year of all is asked": rate * given["per_person"],
        },
    )


# -- settlement --------------------------------------------------------------------------------------------------------


def _aco(random: Random) -> dict[str, Any]:
    from apmkit.payment import published_aco_years

    rows = published_aco_years()
    rows = rows[
        rows["year"].isin(_YEARS)
        & rows["met_quality_standard"].eq(True)
        & rows["final_sharing_rate"].gt(0)
        & rows["advance_payment_amount"].fillna(0).eq(0)
    ].sort_values(["year", "aco_id"])
    row = rows.iloc[int(random.random() * len(rows))]
    minimum = round(float(row["minimum_savings_rate"]), 4)
    return {
        "aco_id": str(row["aco_id"]),
        "year": int(row["year"]),
        "track": str(row["track"]),
        "benchmark": round(float(row["benchmark"])),
        "minimum_savings_rate": minimum,
        "final_sharing_rate": round(float(row["final_sharing_rate"]), 4),
        "savings_rate": round(minimum + 0.002 + 0.04 * random.random(), 4),
    }


def _expenditures(given) -> int:
    return round(given["benchmark"] * (1 - given["savings_rate"]))


def _ask_settlement(given) -> str:
    return (
        f"ACO {given['aco_id']} was on the track {given['track']} in {given['year']} and met the quality standard. "
        f"Its benchmark was {given['benchmark']:,} dollars, its minimum savings rate "
        f"{given['minimum_savings_rate']:.2%} and its final sharing rate {given['final_sharing_rate']:.2%}. Suppose "
        f"that its patients had cost {_expenditures(given):,} dollars.\n\nHow many dollars would Medicare have paid "
        "the ACO, after sequestration?"
    )


def _start_settlement(given) -> str:
    return f"apmkit rules show mssp --on {given['year']}-12-31"


def _solve_settlement(given) -> Solution:
    from apmkit.payment import settle_mssp

    names = ("aco_id", "year", "track", "benchmark", "minimum_savings_rate", "final_sharing_rate")
    aco = {name: given[name] for name in names} | {"expenditures": _expenditures(given), "met_quality_standard": True}
    payment = settle_mssp(pd.DataFrame([aco])).table.iloc[0]
    saved = given["benchmark"] - _expenditures(given)
    above = saved - given["minimum_savings_rate"] * given["benchmark"]
    kept = payment["total"] / payment["shared_savings"]
    mistakes = {
        "sequestration is not taken off": float(payment["shared_savings"]),
        "these are all savings: the ACO is paid its share": float(saved),
    }
    if given["minimum_savings_rate"]:
        first_dollar = "only savings above the minimum are shared: they count from the first dollar"
        mistakes[first_dollar] = float(given["final_sharing_rate"] * above * kept)
    return Solution(float(payment["total"]), mistakes)


# -- fees and capitation -----------------------------------------------------------------------------------------------


def _practice(random: Random) -> dict[str, Any]:
    return {"seed": int(random.random() * 2**48), "fee": 30 + int(random.random() * 400) / 10}


def practice(given: Mapping[str, Any]) -> pd.DataFrame:
    """A made-up practice: `age`, `sex`, `factor` of its capitation schedule and `visits` of 400 patients."""
    from apmkit.payment import illustrative_schedule

    random = Random(given["seed"])
    older = 20 * random.random()
    people = []
    for patient in range(1, 401):
        age = min(max(int(normal(random, 32 + older, 22)), 0), 99)
        sex = pick(random, "FM")
        need = math.exp(normal(random, -0.3, 0.8))
        people.append((patient, age, sex, round(need, 6), random.random()))
    table = pd.DataFrame(people, columns=["patient", "age", "sex", "need", "_drawn"])
    table.insert(3, "factor", illustrative_schedule(1.0).rates(table["age"], table["sex"]).round(2))
    table["visits"] = (2.2 * table["factor"] * table["need"] + table["_drawn"]).astype(int)
    return table.drop(columns=["need", "_drawn"])


def _ask_practice(given) -> str:
    return (
        f"A practice of 400 patients is paid {given['fee']:.2f} dollars for each visit. The payer offers capitation "
        "instead: a base rate per patient and year, times a factor for age and sex. Visits stay as they are. One row "
        "of the file is one patient: `age` in years, `sex`, the `factor`, and `visits` in the "
        "year.\n\nAt which base rate does the practice earn as much as from fees?"
    )


def _start_practice(given) -> str:
    return (
        f'import pandas as pd\n\npatients = pd.read_csv("{given["file"]}")\nfee = {given["fee"]:.2f}\npatients.head()'
    )


def _solve_practice(given) -> Solution:
    from apmkit.payment import Practices, fee_for_service, illustrative_schedule

    patients = practice(given)
    patients = patients.assign(practice="A", fees=given["fee"] * patients["visits"])
    one = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="Canada", synthetic=True)
    fees = float(fee_for_service(one, on=_DAY).table["total"].iloc[0])
    weighted = float(illustrative_schedule(1.0).rates(patients["age"], patients["sex"]).sum())
    return Solution(
        fees / weighted,
        {
            "fees are divided by patients: divide by the sum of their factors": fees / len(patients),
            "these are all fees of the practice: a rate per patient is asked": fees,
        },
    )


def _nothing(given) -> str:
    return ""


EXERCISES = (
    Exercise(
        name="minimum_savings",
        title="How much must an ACO save before it is paid?",
        page="generated/payment_models",
        minutes=20,
        needs="paper",
        unit="dollars",
        tolerance=0.002,
        draw=_size,
        question=_ask_minimum,
        start=_nothing,
        solve=_solve_minimum,
    ),
    Exercise(
        name="settlement",
        title="What is an ACO paid at the end of the year?",
        page="notebooks/us/mssp_settlement",
        minutes=30,
        needs="command",
        unit="dollars",
        tolerance=0.002,
        draw=_aco,
        question=_ask_settlement,
        start=_start_settlement,
        solve=_solve_settlement,
    ),
    Exercise(
        name="break_even",
        title="At which capitation rate does a practice lose nothing?",
        page="generated/payment_models",
        minutes=30,
        needs="spreadsheet",
        unit="dollars per patient and year",
        tolerance=0.002,
        draw=_practice,
        question=_ask_practice,
        start=_start_practice,
        solve=_solve_practice,
        data=practice,
    ),
)
