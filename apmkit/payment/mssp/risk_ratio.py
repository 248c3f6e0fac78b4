"""How a benchmark follows the risk of an ACO's beneficiaries."""

from __future__ import annotations

import numpy as np

from apmkit.errors import PaymentError
from apmkit.payment.mssp.benchmark_steps import EnrolmentTable, Steps
from apmkit.payment.rulebook import RulesInForce


def risk_ratios(inputs: EnrolmentTable, terms: RulesInForce, steps: Steps, dollars: np.ndarray) -> np.ndarray:
    """Risk of the performance year over that of base year 3 by the rule in force, shape (ACOs, types).

    Parameters
    ----------
    dollars : array
        Historical benchmark times person years of the performance year, the weights of types in the aggregate.

    Raises
    ------
    PaymentError
        The rule names no known method, or a column it needs cannot be used.

    References
    ----------
    42 CFR 425.604(a)(1)-(3) before July 2019; 42 CFR 425.605(a)(1) and 425.610(a)(2) after, where paragraph (ii) sets
    the limit from 2024.
    """
    method = terms["benchmark.risk_method"]
    if method not in _METHODS:
        raise PaymentError(f"benchmark.risk_method is {method!r}; write one of {', '.join(_METHODS)}.")
    return _METHODS[method](inputs, terms, steps, dollars)


def _newly_and_continuously(inputs: EnrolmentTable, terms: RulesInForce, steps: Steps, dollars) -> np.ndarray:
    """HCC for the newly assigned; demographic factors for the continuously assigned, or HCC if it fell."""
    new, hcc, demographic = (
        inputs.factor(name) for name in ("risk_ratio_new", "risk_ratio_continuous", "demographic_ratio_continuous")
    )
    share = inputs.grid("continuous_share", least=0, most=1)
    continuous = np.where(hcc < 1, hcc, demographic)
    ratio = share * continuous + (1 - share) * new
    words = (
        "share of continuously assigned times demographic ratio (HCC ratio if it fell) plus the rest times HCC ratio"
    )
    steps.add("risk ratio", words, ratio, None, "factor", ["benchmark.risk_method"])
    return ratio


def _by_type(inputs: EnrolmentTable, terms: RulesInForce, steps: Steps, dollars) -> np.ndarray:
    cap = terms["benchmark.risk_cap"]
    ratio = np.minimum(_change(inputs, "risk"), 1 + cap)
    words = f"risk score of the year / by3, at most {1 + cap:g}"
    steps.add("risk ratio", words, ratio, None, "factor", ["benchmark.risk_method", "benchmark.risk_cap"])
    return ratio


def _in_aggregate(inputs: EnrolmentTable, terms: RulesInForce, steps: Steps, dollars: np.ndarray) -> np.ndarray:
    """HCC by type; where their mean grew past the limit, each type at most the limit."""
    names = ["benchmark.risk_method", "benchmark.risk_cap"]
    hcc, demographic = _change(inputs, "risk"), _change(inputs, "demographic")
    weights = dollars / dollars.sum(axis=1, keepdims=True)
    growth, limit = (weights * hcc).sum(axis=1), (weights * demographic).sum(axis=1) + terms["benchmark.risk_cap"]
    words = "risk score of the year / by3; total weighted by benchmark dollars"
    steps.add("risk ratio before limit", words, hcc, growth, "factor", names)
    words = f"demographic score of the year / by3; total is the limit, their mean plus {terms['benchmark.risk_cap']:g}"
    steps.add("demographic ratio", words, demographic, limit, "factor", names)
    over = (growth > limit)[:, None]
    ratio = np.where(over, np.minimum(hcc, limit[:, None]), hcc)
    words = "each type at most the limit where the total before is over it"
    steps.add("risk ratio", words, ratio, (weights * ratio).sum(axis=1), "factor", names)
    return ratio


def _change(inputs: EnrolmentTable, name: str) -> np.ndarray:
    return inputs.grid(name, above=0) / inputs.grid(f"{name}_by3", above=0)


_METHODS = {
    "newly and continuously assigned": _newly_and_continuously,
    "capped by enrolment type": _by_type,
    "capped in aggregate": _in_aggregate,
}
