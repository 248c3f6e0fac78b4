"""The Medicare Shared Savings Program: benchmarks, who is paid, who owes, why, and how much of it is chance."""

from apmkit.payment.mssp.benchmark import Benchmark, mssp_benchmark
from apmkit.payment.mssp.chance import chance_of_payment, expected_payment, payments_and_chance
from apmkit.payment.mssp.explanation import explain_settlement
from apmkit.payment.mssp.minimum_savings_rate import minimum_savings_rate
from apmkit.payment.mssp.reconciliation import Reconciliation, published_aco_years, reconcile_mssp
from apmkit.payment.mssp.savings_spread import SavingsSpread, sampling_spread, savings_reliability, savings_spread
from apmkit.payment.mssp.settlement import settle_mssp

__all__ = [
    "Benchmark",
    "Reconciliation",
    "SavingsSpread",
    "chance_of_payment",
    "expected_payment",
    "explain_settlement",
    "minimum_savings_rate",
    "mssp_benchmark",
    "payments_and_chance",
    "published_aco_years",
    "reconcile_mssp",
    "sampling_spread",
    "savings_reliability",
    "savings_spread",
    "settle_mssp",
]
