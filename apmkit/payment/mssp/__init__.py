"""The Medicare Shared Savings Program: who is paid, who owes, and why."""

from apmkit.payment.mssp.benchmark import Benchmark, mssp_benchmark
from apmkit.payment.mssp.minimum_savings_rate import minimum_savings_rate
from apmkit.payment.mssp.settlement import settle_mssp

__all__ = ["Benchmark", "minimum_savings_rate", "mssp_benchmark", "settle_mssp"]
