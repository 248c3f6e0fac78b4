"""Payment models: dated, cited rules and the engines that pay by them."""

from apmkit.payment.advance_investment import advance_by_month, advance_investment_payments, recoup_advance
from apmkit.payment.alberta import alberta_blended_capitation
from apmkit.payment.british_columbia import bc_lfp
from apmkit.payment.capitation import CapitationSchedule, illustrative_schedule
from apmkit.payment.capitation_dial import capitation_dial, capitation_dial_table
from apmkit.payment.cash_flow import CashFlow, Costs, cash_flow
from apmkit.payment.cpc_plus import cpc_plus
from apmkit.payment.effort import EffortModel, PaymentTerms, calibrate_effort, respond_practices
from apmkit.payment.episodes import bpci_advanced, cjr, episodes_of
from apmkit.payment.fee_for_service import fee_for_service, salary
from apmkit.payment.global_budget import all_payer_growth, budget_and_fees, maryland_global_budget
from apmkit.payment.model_comparison import ModelComparison, compare_models, marginal_revenue
from apmkit.payment.mssp import (
    Benchmark,
    Reconciliation,
    SavingsSpread,
    chance_of_payment,
    expected_payment,
    explain_settlement,
    minimum_savings_rate,
    mssp_benchmark,
    payments_and_chance,
    published_aco_years,
    reconcile_mssp,
    sampling_spread,
    savings_reliability,
    savings_spread,
    settle_mssp,
)
from apmkit.payment.multitask import reward_one_task
from apmkit.payment.ontario import access_bonus, ontario_fhg, ontario_fho
from apmkit.payment.practice_assumptions import practice_assumptions
from apmkit.payment.practices import Practices
from apmkit.payment.primary_care_first import primary_care_first
from apmkit.payment.reach import aco_reach, next_generation_aco
from apmkit.payment.result import Payment
from apmkit.payment.risk_adjustment import coding_drift, risk_adjustment_effect
from apmkit.payment.rulebook import Rulebook, programmes, rulebook
from apmkit.payment.spending import path_to_target, price_and_quantity, primary_care_share, reference_shares
from apmkit.payment.synthetic_practices import synthetic_practices
from apmkit.payment.timing import Timing

__all__ = [
    "Benchmark",
    "CapitationSchedule",
    "CashFlow",
    "Costs",
    "EffortModel",
    "ModelComparison",
    "Payment",
    "PaymentTerms",
    "Practices",
    "Reconciliation",
    "Rulebook",
    "SavingsSpread",
    "Timing",
    "access_bonus",
    "aco_reach",
    "advance_by_month",
    "advance_investment_payments",
    "alberta_blended_capitation",
    "all_payer_growth",
    "bc_lfp",
    "bpci_advanced",
    "budget_and_fees",
    "calibrate_effort",
    "capitation_dial",
    "capitation_dial_table",
    "cash_flow",
    "chance_of_payment",
    "cjr",
    "coding_drift",
    "compare_models",
    "cpc_plus",
    "episodes_of",
    "expected_payment",
    "explain_settlement",
    "fee_for_service",
    "illustrative_schedule",
    "marginal_revenue",
    "maryland_global_budget",
    "minimum_savings_rate",
    "mssp_benchmark",
    "next_generation_aco",
    "ontario_fhg",
    "ontario_fho",
    "path_to_target",
    "payments_and_chance",
    "practice_assumptions",
    "price_and_quantity",
    "primary_care_first",
    "primary_care_share",
    "programmes",
    "published_aco_years",
    "reconcile_mssp",
    "recoup_advance",
    "reference_shares",
    "respond_practices",
    "reward_one_task",
    "risk_adjustment_effect",
    "rulebook",
    "salary",
    "sampling_spread",
    "savings_reliability",
    "savings_spread",
    "settle_mssp",
    "synthetic_practices",
]
