"""One settlement step by step: each amount, how it follows from those above it, and the rule that says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.mssp.aco_years import AcoYears
from apmkit.payment.mssp.minimum_savings_rate import rate_of_size
from apmkit.payment.mssp.settlement import settle_mssp
from apmkit.payment.rulebook import Rulebook, RulesInForce, rulebook

_NUMBERS = ("benchmark", "expenditures", "beneficiaries", "quality_score", "advance_investment_balance")


def explain_settlement(
    acos: pd.DataFrame,
    *,
    rules: Rulebook | None = None,
    unknown_revenue: Literal["refuse", "benchmark"] = "refuse",
) -> pd.DataFrame:
    """The settlement of one ACO-year as a table of steps, down to what is paid or owed.

    Parameters
    ----------
    acos : DataFrame
        One row as for `settle_mssp`, for instance one of `published_aco_years()`.
    rules, unknown_revenue
        As for `settle_mssp`.

    Returns
    -------
    pandas.DataFrame
        One row a step: `step`, `value`, `unit`, `how`, and for steps that rest on a rule its `citation` and `status`.
        Amounts that are taken away are negative; the last row is the sum of the amounts that move.

    Raises
    ------
    PaymentError
        There is not exactly one row, or it cannot be settled.

    Examples
    --------
    >>> aco = {"year": 2022, "track": "BASIC B", "beneficiaries": 10_000, "met_quality_standard": True}
    >>> steps = explain_settlement(pd.DataFrame([{**aco, "benchmark": 100e6, "expenditures": 95e6}]))
    >>> steps.set_index("step").loc["Sequestration", "how"]
    '2 % of shared savings, before the payment limit'
    """
    if len(acos) != 1:
        raise PaymentError(f"There are {len(acos):,} ACO-years; choose one row to explain.")
    book = rules or rulebook("mssp")
    payment = settle_mssp(acos, rules=book, unknown_revenue=unknown_revenue)
    table = AcoYears(acos, book)
    read = {name: table.numbers(name) for name in _NUMBERS if name in acos}
    given, found, money = acos.assign(**read).iloc[0], payment.details.iloc[0], payment.table.iloc[0]
    steps = _Steps(book.on(f"{int(given['year'])}-12-31"))
    difference = given["benchmark"] - given["expenditures"]
    steps.add("Benchmark", given["benchmark"], "USD", "Given: expected spending on the assigned beneficiaries")
    steps.add("Expenditures", given["expenditures"], "USD", "Given: spending on them in the performance year")
    steps.add("Benchmark less expenditures", difference, "USD", "Above 0 a saving, below 0 a loss")
    steps.add(
        "Savings rate", found["savings_rate"], "share of benchmark", "Benchmark less expenditures, over benchmark"
    )
    _minimum(steps, given, found["minimum_savings_rate"])
    if not np.isnan(found["sharing_rate"]):
        _savings(steps, given, found, money)
    elif found["generated_savings"] < 0:
        _losses(steps, given, found, money)
    outcome = {1: "Paid", 0: "Neither paid nor owed", -1: "Owed"}[int(np.sign(money["total"]))]
    steps.add(outcome, money["total"], "USD", str(found["reason"]))
    return pd.DataFrame(steps.rows, columns=["step", "value", "unit", "how", "citation", "status"])


@dataclass(frozen=True)
class _Steps:
    terms: RulesInForce
    rows: list[tuple] = field(default_factory=list)

    def add(self, step: str, value: float, unit: str, how: str, *parameters: str) -> None:
        """A step with the sources of those of its rules that are in force."""
        rules = [self.terms.rulebook.parameter(name).on(self.terms.day) for name in parameters if name in self.terms]
        citation = "; ".join(dict.fromkeys(rule.citation for rule in rules))
        status = ", ".join(dict.fromkeys(rule.status for rule in rules))
        self.rows.append((step, float(value), unit, how, citation, status))


def _minimum(steps: _Steps, given: pd.Series, rate: float) -> None:
    n, how, rule = given.get("beneficiaries"), "Given", "minimum_savings_rate.choices"
    if pd.notna(n) and np.isclose(rate, rate_of_size(n, steps.terms), rtol=1e-9):
        how, rule = f"From the table, for {n:,.0f} assigned beneficiaries", "minimum_savings_rate.table"
    steps.add("Minimum savings rate", rate, "share of benchmark", how, rule)


def _savings(steps: _Steps, given: pd.Series, found: pd.Series, money: pd.Series) -> None:
    track, terms = found["track"], steps.terms
    steps.add(
        "Sharing rate",
        found["sharing_rate"],
        "share of savings",
        _sharing_in_words(given, found, terms[f"{track}.sharing_rate"]),
        f"{track}.sharing_rate",
        "quality.rule",
    )
    steps.add(
        "Shared savings",
        money["shared_savings"],
        "USD",
        f"Sharing rate times savings{_first_dollar(steps)}",
        "sharing.first_dollar",
    )
    steps.add(
        "Sequestration",
        money["sequestration"],
        "USD",
        f"{100 * terms['sequestration.rate']:g} % of shared savings, before the payment limit",
        "sequestration.rate",
    )
    limit = terms[f"{track}.payment_limit"]
    steps.add(
        "Cut by the payment limit",
        money["payment_limit"],
        "USD",
        f"At most {100 * limit:g} % of the benchmark is paid: {limit * given['benchmark']:,.2f}",
        f"{track}.payment_limit",
    )
    if money["advance_investment_recoupment"]:
        steps.add(
            "Recoupment",
            money["advance_investment_recoupment"],
            "USD",
            f"Balance of advance investment payments: {given['advance_investment_balance']:,.2f}",
        )


def _first_dollar(steps: _Steps) -> str:
    return ", from the first dollar" if steps.terms["sharing.first_dollar"] == 1 else ""


def _sharing_in_words(given: pd.Series, found: pd.Series, highest: float) -> str:
    rate, score = found["sharing_rate"], given.get("quality_score")
    if rate == 0:
        return "Quality standard not met"
    if np.isclose(rate, highest, rtol=1e-12):
        return f"Highest rate of the track, {highest:g}"
    if pd.notna(score) and np.isclose(rate, highest * score, rtol=1e-9):
        return f"Highest rate of the track, {highest:g}, times quality score {score:g}"
    return f"The highest rate of the track is {highest:g}"


def _losses(steps: _Steps, given: pd.Series, found: pd.Series, money: pd.Series) -> None:
    track, terms = found["track"], steps.terms
    if f"{track}.loss_rate" in terms:
        how = "Fixed for the track"
    else:
        low, high = terms[f"{track}.loss_rate_floor"], terms[f"{track}.loss_rate_ceiling"]
        how = f"1 less highest sharing rate times quality score, from {low:g} to {high:g}"
    steps.add(
        "Loss rate",
        found["loss_rate"],
        "share of losses",
        how,
        f"{track}.loss_rate",
        f"{track}.loss_rate_floor",
        f"{track}.loss_rate_ceiling",
    )
    steps.add(
        "Shared losses",
        money["shared_losses"],
        "USD",
        f"Loss rate times losses{_first_dollar(steps)}",
        "sharing.first_dollar",
    )
    steps.add(
        "Spared by the loss limit",
        money["loss_limit"],
        "USD",
        "Limit of the track" if found["revenue_known"] else "Limit on the benchmark alone, as revenue is not known",
        f"{track}.loss_limit_revenue",
        f"{track}.loss_limit_benchmark",
    )
    steps.add(
        "Spared by the disaster adjustment",
        money["disaster_adjustment"],
        "USD",
        "Extreme and uncontrollable circumstances",
        "disaster.emergency_months",
    )
