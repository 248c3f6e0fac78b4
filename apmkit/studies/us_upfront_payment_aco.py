"""The small ACO of the study of upfront payment: its advance, its settlements, and the months in which money moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from apmkit.payment.advance_investment import advance_by_month, advance_investment_payments
from apmkit.payment.mssp import settle_mssp
from apmkit.payment.result import Payment

YEARS = 5
"""Length of an agreement."""
MONTHS = 12
AGREEMENT_FROM = "2024-01-01"
"""First day of the agreement: the earliest with advance investment payments."""


@dataclass(frozen=True)
class Assumptions:
    """What the page takes for granted beside its parameters; each is varied once on the page.

    Parameters
    ----------
    cost_ratio : float
        Running costs before the start as a share of fees.
    same_costs : bool
        Whether running costs a physician and a visit are the same everywhere; else each practice breaks even before.
    whole_nurses : bool
        Whether each practice hires whole nurses; else practices share them by the physician.
    earned : float
        Share of the CPC+ incentive that a practice keeps.
    adjustment : float
        Performance-based adjustment of Primary Care First.
    aco_size : int
        Assigned beneficiaries of the ACO to which a practice belongs.
    low_income : float
        Share of them with Medicaid or the low-income subsidy; the others are spread evenly over deprivation.
    settlement_months : int
        Months from the end of a year to its settlement.
    """

    cost_ratio: float = 1.0
    same_costs: bool = False
    whole_nurses: bool = False
    earned: float = 1.0
    adjustment: float = 0.0
    aco_size: int = 8_000
    low_income: float = 0.2
    settlement_months: int = 9


def advance_of(a: Assumptions) -> Payment:
    """Advance investment payments of one ACO."""
    others = np.full(100, a.aco_size * (1 - a.low_income) / 100)
    score, people = np.append(np.arange(1, 101), 100), np.append(others, a.aco_size * a.low_income)
    frame = pd.DataFrame({"aco": "ACO", "score": score, "beneficiaries": people})
    return advance_investment_payments(frame, on=AGREEMENT_FROM)


def aco_years(rates, spending: float, a: Assumptions | None = None) -> pd.DataFrame:
    """What a small ACO is paid for each year, by savings rate, with the advance and without.

    Parameters
    ----------
    rates : sequence of float
        Savings as shares of the benchmark, the same in each year.
    spending : float
        Benchmark, USD a beneficiary a year.
    a : Assumptions, optional

    Returns
    -------
    DataFrame
        By savings rate and year of the agreement (1 the first): `earned` (shared savings after sequestration),
        `advanced` (since the start, by the settlement of that year), `recouped`, `balance` (after it), `minimum`
        (savings rate).
    """
    a = a or Assumptions()
    rates = np.asarray(rates, dtype=float)
    by_month = advance_by_month(advance_of(a)).to_numpy()[0]
    recouped, rows = np.zeros(len(rates)), []
    for year in range(1, YEARS + 1):
        advanced = by_month[: MONTHS * year + a.settlement_months].sum()
        frame = pd.DataFrame(
            {
                "year": int(AGREEMENT_FROM[:4]) + year - 1,
                "track": "BASIC A",
                "beneficiaries": a.aco_size,
                "benchmark": spending * a.aco_size,
                "expenditures": spending * a.aco_size * (1 - rates),
                "met_quality_standard": True,
                "revenue_category": "low",
                "agreement_start": AGREEMENT_FROM,
                "advance_investment_balance": advanced - recouped,
            }
        )
        settled = settle_mssp(frame)
        taken = -settled.table["advance_investment_recoupment"].to_numpy()
        recouped = recouped + taken
        rows.append(
            pd.DataFrame(
                {
                    "rate": rates,
                    "year": year,
                    "earned": settled.total.to_numpy() + taken,
                    "advanced": advanced,
                    "recouped": taken,
                    "balance": advanced - recouped,
                    "minimum": settled.details["minimum_savings_rate"].to_numpy(),
                }
            )
        )
    return pd.concat(rows).set_index(["rate", "year"]).sort_index()


def aco_months(aco: pd.DataFrame, model: str, a: Assumptions) -> dict[str, np.ndarray]:
    """Money of the ACO by month. A settlement comes on the last day of its month, so it is there on the next first."""
    months = np.zeros(MONTHS * YEARS + a.settlement_months + 1)
    earned, taken = months.copy(), months.copy()
    at = MONTHS * aco.index.to_numpy() + a.settlement_months
    earned[at], taken[at] = aco["earned"], -aco["recouped"]
    if model == "shared_savings":
        return {"shared_savings": earned}
    advance = advance_by_month(advance_of(a)).to_numpy()[0]
    months[: len(advance)] = advance
    return {"advance": months, "shared_savings": earned, "recouped": taken}


def advance_terms() -> dict[str, float]:
    """The one-time payment of the advance in USD, and the number of its quarterly payments."""
    components = advance_of(Assumptions()).table.iloc[0].drop("total")
    return {"one_time": components["one_time"], "quarters": len(components) - 1}
