"""Can a small practice start? Cash by month of synthetic US practices under six ways to pay for a nurse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

import apmkit as apm
from apmkit.payment.cash_flow import CashFlow, Costs, cash_flow
from apmkit.payment.cpc_plus import cpc_plus
from apmkit.payment.fee_for_service import fee_for_service
from apmkit.payment.practices import Practices
from apmkit.payment.primary_care_first import primary_care_first
from apmkit.payment.result import Payment
from apmkit.studies import Parameters, Result, Study
from apmkit.studies.arithmetic import calculated
from apmkit.studies.us_upfront_payment_aco import MONTHS, YEARS, Assumptions, aco_months, aco_years, advance_of

MODELS = {
    "fee_for_service": "Fee-for-service",
    "cpc_plus_1": "CPC+ Track 1",
    "cpc_plus_2": "CPC+ Track 2",
    "primary_care_first": "Primary Care First",
    "shared_savings": "Shared savings alone",
    "advance": "Shared savings, advanced",
}
"""Words for each way of payment; `label` marks those whose rules are in doubt."""
PATIENTS = (89, 144, 214)
"""Medicare patients of a primary care practitioner: quartiles of practices that applied for CPC+ (Singh et al. 2020,
table 1)."""
N_PRACTICES = 40
PHYSICIANS_PER_NURSE = 4
FIXED_SHARE = 0.8
"""Share of running costs that does not depend on visits; it matters only where costs are the same everywhere."""
PAID_ON = "2021-01-01"
"""A day on which both CPC+ and Primary Care First paid."""


class UpfrontPaymentParameters(Parameters):
    """Parameters of the simulated start; see ``apmkit studies us/upfront_payment``."""

    model: Literal[tuple(MODELS)] = Field("shared_savings", description="Way of payment that heads the page.")
    physicians: int = Field(2, ge=1, le=8, description="Mean number of physicians in a practice.")
    patients: int = Field(
        PATIENTS[1],
        ge=50,
        le=1_000,
        description="Mean number of Medicare patients of a physician; of practices that applied for CPC+, half had "
        f"{PATIENTS[0]} to {PATIENTS[2]}.",
    )
    existing: bool = Field(
        True, description="Whether a practice exists and still gets claims of the months before; else it opens anew."
    )
    opening_cash: int = Field(60, ge=0, le=365, description="Cash on the first day, in days of running costs before.")
    claims_lag: int = Field(1, ge=0, le=6, description="Months until a claim is paid.")
    nurse_cost: int = Field(
        8_000,
        ge=500,
        le=40_000,
        description="Cost of a full-time nurse, one for 4 physicians, USD a month.",
    )
    start_up: int = Field(10_000, ge=0, le=200_000, description="Costs of starting, USD a physician, in month 1.")
    savings_rate: float = Field(0.04, ge=-0.05, le=0.15, description="Savings of the ACO, share of its benchmark.")
    seed: int = Field(1, ge=0, le=1_000_000, description="Seed of the synthetic practices.")


@dataclass(frozen=True, eq=False)
class Start:
    """Practices that start, what it costs them, and their cash under each way of payment.

    Attributes
    ----------
    practices : Practices
        Synthetic.
    before : Series
        Running costs a year before the start, by practice.
    nurse : Series
        Cost of the nurse a year, by practice.
    payments : dict of str to Payment
        One year of what each model pays a practice, without the money of the ACO.
    aco : DataFrame
        By year, with the advance and without: see `aco_years`.
    paid : dict of str to CashFlow
        Cash as the models pay, with start-up costs, from the opening cash chosen.
    equal : dict of str to dict of str to CashFlow
        Cash when every model brings just the running costs, from nothing: of practices that exist ("existing") and of
        those that open ("new").
    """

    practices: Practices
    before: pd.Series
    nurse: pd.Series
    payments: dict[str, Payment]
    aco: pd.DataFrame
    paid: dict[str, CashFlow]
    equal: dict[str, dict[str, CashFlow]]

    @property
    def physicians(self) -> pd.Series:
        """By practice."""
        return pd.Series(self.practices.practice("physicians"), index=self.practices.index)

    def need(self, flow: CashFlow) -> pd.Series:
        """Opening cash that keeps a practice at or above zero, USD a physician."""
        return flow.by_practice["working_capital"] / self.physicians

    def surplus(self, flow: CashFlow) -> pd.Series:
        """What is left of the money of five years after all costs, USD a physician a year."""
        table = flow.by_practice
        owed = flow.table.get("claims_before", pd.Series(0.0, flow.table.index)).groupby(level=0).sum()
        left = table["closing_balance"] - table["opening_cash"] - owed
        return left / self.physicians / YEARS


@cache
def mark(model: str) -> str:
    """† where the model pays by values of rules that are unconfirmed or only partly confirmed, else nothing."""
    few = apm.synthetic_practices("US", n_practices=1, patients_per_physician=50)
    paid = {**_yearly(few, Assumptions()), "advance": advance_of(Assumptions())}
    return "†" if model in paid and paid[model].unconfirmed else ""


def label(model: str) -> str:
    """Words for a model in figures and tables, marked."""
    return MODELS[model] + mark(model)


def start(
    parameters: UpfrontPaymentParameters,
    assumptions: Assumptions | None = None,
    *,
    practices: Practices | None = None,
    opens: tuple[str, ...] = ("existing", "new"),
    models: tuple[str, ...] = tuple(MODELS),
) -> Start:
    """Cash of practices under each way of payment.

    Parameters
    ----------
    parameters : UpfrontPaymentParameters
    assumptions : Assumptions, optional
    practices : Practices, optional
        Practices to use in place of the synthetic ones, for instance one's own.
    opens : tuple of str
        For which practices cash at equal totals is found: "existing", "new".
    models : tuple of str
        Ways of payment of which cash as paid is found.
    """
    a = assumptions or Assumptions()
    if practices is None:
        practices = apm.synthetic_practices(
            "US",
            n_practices=N_PRACTICES,
            physicians=parameters.physicians,
            patients_per_physician=parameters.patients,
            seed=parameters.seed,
        )
    payments = _yearly(practices, a)
    fees = payments["fee_for_service"].total
    before, costs, nurse = _costs(practices, fees, parameters, a)
    spending = practices.patient("spending").mean()
    aco = aco_years([parameters.savings_rate], spending, a).loc[parameters.savings_rate]
    share = pd.Series(practices.n_patients / a.aco_size, index=practices.index)
    claims = _claims_before(fees, parameters.claims_lag)
    own = {"start_up": -pd.DataFrame({1: parameters.start_up * practices.practice("physicians")}, practices.index)}
    paid = {}
    for model in models:
        extra = own | (claims if parameters.existing else {})
        if model in ("shared_savings", "advance"):
            extra |= {name: _shared_out(months, share) for name, months in aco_months(aco, model, a).items()}
        paid[model] = cash_flow(
            [payments.get(model, payments["fee_for_service"])] * YEARS,
            practices,
            costs=costs,
            opening_cash=parameters.opening_cash / 365 * before,
            claims_lag=parameters.claims_lag,
            extra=extra,
        )
    equal = {
        kind: _equal_totals(practices, payments, before, nurse, costs, claims, kind, parameters, a) for kind in opens
    }
    return Start(practices, before, nurse, payments, aco, paid, equal)


def _yearly(practices: Practices, a: Assumptions) -> dict[str, Payment]:
    """What each model pays practices for a year."""
    return {
        "fee_for_service": fee_for_service(practices, on=PAID_ON),
        "cpc_plus_1": cpc_plus(practices, on=PAID_ON, track=1, quality=a.earned, utilisation=a.earned),
        "cpc_plus_2": cpc_plus(practices, on=PAID_ON, track=2, quality=a.earned, utilisation=a.earned),
        "primary_care_first": primary_care_first(practices, on=PAID_ON, adjustment=a.adjustment),
    }


def _costs(practices, fees, parameters, a):
    """Running costs a year before the start, all running costs, and those of the nurse a year."""
    physicians, visits = practices.practice("physicians"), practices.sums(practices.patient("visits"))
    nurses = physicians / PHYSICIANS_PER_NURSE
    nurse = pd.Series(parameters.nurse_cost * (np.ceil(nurses) if a.whole_nurses else nurses), index=practices.index)
    if a.same_costs:
        common = Costs.illustrative(practices, FIXED_SHARE)
        fixed, per_visit = a.cost_ratio * common.per_physician, a.cost_ratio * common.per_visit
    else:
        running = a.cost_ratio * fees
        fixed, per_visit = FIXED_SHARE * running / (MONTHS * physicians), (1 - FIXED_SHARE) * running / visits
    before = pd.Series(MONTHS * fixed * physicians + per_visit * visits, index=practices.index)
    costs = Costs(
        fixed + nurse / physicians,
        per_visit,
        "Running costs and the cost of the nurse are assumptions, not measured.",
    )
    return before, costs, MONTHS * nurse


def _claims_before(fees: pd.Series, lag: int) -> dict[str, pd.DataFrame]:
    """Claims of the months before the start: paid at the ends of the first months, so usable on the next first day."""
    if not lag:
        return {}
    return {"claims_before": pd.DataFrame(np.outer(fees / MONTHS, [0, *[1] * lag]), index=fees.index)}


def _shared_out(months: np.ndarray, share: pd.Series) -> pd.DataFrame:
    """Money of the ACO by month, to practices by their share of its beneficiaries."""
    return pd.DataFrame(np.outer(share, months), index=share.index)


def _equal_totals(practices, payments, before, nurse, costs, claims, kind, parameters, a) -> dict[str, CashFlow]:
    """Cash when each model brings just the running costs of five years, so that only the timing differs."""
    old = claims if kind == "existing" else {}
    flows = {}
    for model in MODELS:
        if model in payments:
            paid, extra = _scaled(payments[model], before + nurse), {}
        else:
            paid = _scaled(payments["fee_for_service"], before)
            unit = pd.DataFrame({"earned": 1.0, "recouped": 0.0}, index=pd.RangeIndex(1, YEARS + 1, name="year"))
            if model == "advance":
                unit.loc[:2, "recouped"] = 1.0
            months = aco_months(unit, "shared_savings", a)["shared_savings"]
            extra = {"shared_savings": _shared_out(months, nurse)}
            if model == "advance":
                back = aco_months(unit, "advance", a)["recouped"]
                ahead = np.zeros(2 * MONTHS)
                ahead[::3] = 0.25
                extra |= {"advance": _shared_out(ahead, nurse), "recouped": _shared_out(back, nurse)}
        flows[model] = cash_flow(
            [paid] * YEARS, practices, costs=costs, claims_lag=parameters.claims_lag, extra=old | extra
        )
    return flows


def _scaled(paid: Payment, totals: pd.Series) -> Payment:
    """The same payment with another total for each practice; cents that rounding leaves go to the first component."""
    parts = paid.table[paid.components].mul(totals / paid.total, axis=0).round(2)
    parts[paid.components[0]] += totals.round(2) - parts.sum(axis=1)
    return Payment.from_components(
        model=paid.model,
        currency=paid.currency,
        components={name: parts[name].to_numpy() for name in parts},
        index=paid.table.index,
    )


def measures(started: Start) -> pd.DataFrame:
    """One row per model: medians over practices, and shares of them.

    Returns
    -------
    DataFrame
        `pay`: in an average year, USD a physician, fees included; `need`: opening cash that would keep a practice at or
        above zero, USD a physician, as paid, and `need_existing`, `need_new` at equal totals; `months_below`: months of
        60 below zero at some time; `can_start`: share of practices never below zero; `surplus`: USD a physician a year.
    """
    rows = {}
    for model, flow in started.paid.items():
        physicians, low = started.physicians, flow.table[["lowest", "balance"]].min(axis=1).unstack("month")
        below = (low.loc[:, : MONTHS * YEARS] < 0).sum(axis=1)
        surplus = started.surplus(flow)
        costs = (started.before + started.nurse) / physicians - flow.table["start_up"].groupby(level=0).sum() / (
            physicians * YEARS
        )
        rows[model] = {
            "pay": (surplus + costs).median(),
            "need": started.need(flow).median(),
            **{f"need_{kind}": started.need(flows[model]).median() for kind, flows in started.equal.items()},
            "months_below": below.median(),
            "can_start": (low >= 0).all(axis=1).mean(),
            "surplus": surplus.median(),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def estimate(parameters: UpfrontPaymentParameters) -> Result:
    """Opening cash needed under each way of payment, as paid and at equal totals."""
    from apmkit.studies.us_upfront_payment_words import finding

    started = start(parameters, opens=("existing" if parameters.existing else "new",))
    table = measures(started).rename(columns={f"need_{kind}": "need_equal_totals" for kind in ("existing", "new")})
    shown = ["need", "need_equal_totals", "months_below", "can_start", "surplus"]
    about = {
        "estimand": "Opening cash needed, and what follows from it", "estimator": "Calculation on synthetic practices",
        "outcome": "cash, USD a physician", "n_obs": len(started.practices.patients),
        "n_units": len(started.practices.index), "seed": parameters.seed,
    }  # fmt: skip
    estimates = {model: calculated(shown, row, **about) for model, row in table[shown].iterrows()}
    return Result(
        estimates=estimates,
        headline=parameters.model,
        sentences=finding(table, parameters),
        notes=(
            "The practices, their patients and their costs are synthetic: no amount is that of a real practice.",
            "† Rests on values of payment rules that are unconfirmed or only partly confirmed.",
            "Numbers are medians over practices and have no sampling error, so they have no intervals.",
        ),
        axis="Opening cash that a practice needs, USD a physician",
    )


STUDY = Study(
    name="us/upfront_payment",
    title="Can a small practice start?",
    country="United States",
    data=("mssp",),
    Parameters=UpfrontPaymentParameters,
    estimate=estimate,
    grid={
        "model": tuple(MODELS),
        "patients": (*PATIENTS, 400),
        "claims_lag": (1, 3),
        "savings_rate": (0.0, 0.04),
    },
)
