"""The Medicare Shared Savings Program: who is paid, who owes, and why."""

from apmkit.payment.mssp.benchmark import Benchmark, mssp_benchmark
from apmkit.payment.mssp.explanation import explain_settlement
from apmkit.payment.mssp.minimum_savings_rate import minimum_savings_rate
from apmkit.payment.mssp.reconciliation import Reconciliation, published_aco_years, reconcile_mssp
from apmkit.payment.mssp.settlement import settle_mssp

__all__ = [
    "Benchmark",
    "Reconciliation",
    "explain_settlement",
    "minimum_savings_rate",
    "mssp_benchmark",
    "published_aco_years",
    "reconcile_mssp",
    "settle_mssp",
]
