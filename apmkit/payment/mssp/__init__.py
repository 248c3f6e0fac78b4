"""The Medicare Shared Savings Program: who is paid, who owes, and why."""

from apmkit.payment.mssp.minimum_savings_rate import minimum_savings_rate
from apmkit.payment.mssp.settlement import settle_mssp

__all__ = ["minimum_savings_rate", "settle_mssp"]
