"""A contract held against the theoretically preferred design of value-based payment of Cattel et al. (2020).

Of the paper the abstract and the beginning of the introduction were read, not the whole. The abstract names two
components and five properties of the larger one; the eight criteria here are our reading of it.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from apmkit.contract.record import Component, Contract, Gap, check_contract, filled

VERDICTS = ("met", "partly", "not met", "cannot be told")

Verdict = tuple[str, str, str]


def preferred_design(contract: Contract) -> pd.DataFrame:
    """Which features of the theoretically preferred design a contract has; one row a criterion.

    The base payment is the population-based main payments; without any, the settlement against a benchmark or target
    price (a virtual budget); without one, the main payments. Payments that a provider may choose are left out.

    Returns
    -------
    DataFrame
        Index criterion; columns verdict (met, partly, not met, cannot be told), reason, field (what it rests on).

    References
    ----------
    Cattel, D., Eijkenaar, F. and Schut, F.T. (2020). Value-based provider payment: towards a theoretically preferred
    design. Health Economics, Policy and Law 15(1), 94-112. doi:10.1017/S1744133118000397 (abstract; the criteria are
    our reading of it).

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> preferred_design(gallery("physician_fee_schedule")).loc["fixed", "verdict"]
    'not met'
    """
    check_contract(contract)
    rows = {criterion: judge(contract) for criterion, judge in CRITERIA.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["verdict", "reason", "field"])
    return frame.rename_axis("criterion")


def design_score(contract: Contract) -> str:
    """How many of the criteria of `preferred_design` are met, partly met and cannot be told, as words.

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> design_score(gallery("physician_fee_schedule"))
    '0 of 8 met'
    """
    verdicts = preferred_design(contract)["verdict"]
    score = f"{(verdicts == 'met').sum()} of {len(verdicts)} met"
    for verdict, words in (("partly", "partly"), ("cannot be told", "cannot be told")):
        if count := (verdicts == verdict).sum():
            score += f", {count} {words}"
    return score


def _base(contract: Contract) -> tuple[str, list[Component]]:
    """The base payment: "population", "virtual" or "act or time", and its payments."""
    payments = [payment for payment in contract.payments if not payment.optional] or list(contract.payments)
    mains = [payment for payment in payments if payment.part == "main"] or payments
    population = [
        p
        for p in mains
        if p.type == "capitation" or (p.type in ("global_budget", "episode") and p.paid == "in advance")
    ]
    if population:
        return "population", population
    virtual = [payment for payment in payments if payment.type in ("shared_savings", "episode", "global_budget")]
    return ("virtual", virtual) if virtual else ("act or time", mains)


def _names(payments: list[Component], field: str) -> str:
    return ", ".join(f"payments.{payment.name}.{field}" for payment in payments)


def _unknown(value: object, field: str) -> Verdict:
    return "cannot be told", f"{field} is {value if isinstance(value, Gap) else 'missing'}.", field


def _group(contract: Contract) -> Verdict:
    field, payee = "providers.payee", contract.providers.payee
    if not filled(payee):
        return _unknown(payee, field)
    verdict = {"multidisciplinary group": "met", "physician group": "partly", "community board": "partly",
               "hospital": "partly", "practice": "partly"}.get(payee, "not met")  # fmt: skip
    words = {
        "met": "the money goes to a group of several professions",
        "partly": "several people share the money, but not providers of the whole range of care",
        "not met": "each physician is paid alone",
    }
    return verdict, f"Payee is the {payee}: {words[verdict]}.", field


def _cohesive(contract: Contract) -> Verdict:
    kind, base = _base(contract)
    scopes = {payment.scope for payment in base}
    field = _names(base, "scope")
    if kind == "act or time":
        return "not met", "The base pays acts or hours one by one, not a set of care.", _names(base, "type")
    known = {scope for scope in scopes if filled(scope)}
    if not known:
        return _unknown(base[0].scope, field)
    if "total cost" in known:
        return "met", "The base covers the total cost of care.", field
    return "partly", f"The base covers a part of care: {', '.join(sorted(known))}.", field


def _predefined(contract: Contract) -> Verdict:
    field, known = "population.known", contract.population.known
    if not filled(known):
        return _unknown(known, field)
    return {
        "before the year": ("met", "Providers know the population before the year.", field),
        "after the year": ("partly", "There is a population, but it is known only afterwards.", field),
        "no population": ("not met", "Payment rests on no population.", field),
    }[known]


def _fixed(contract: Contract) -> Verdict:
    kind, base = _base(contract)
    field = _names(base, "type")
    if kind == "population":
        mains = [payment for payment in contract.payments if payment.part == "main" and not payment.optional]
        others = [payment.name for payment in mains if payment.type in ("fee_for_service", "hourly")]
        if others:
            return "partly", f"It is fixed, but what {' and '.join(others)} pay beside it rises with volume.", field
        return "met", "The base is set in advance and does not rise with volume.", field
    if kind == "virtual":
        return "partly", "Fees are paid and compared with a fixed amount afterwards: a virtual budget.", field
    if all(payment.type == "salary" for payment in base):
        return "partly", "A salary does not rise with volume, but it is fixed for a person, not a population.", field
    return "not met", "The base rises with the volume of acts or hours.", field


def _risk_adjusted(contract: Contract) -> Verdict:
    _, base = _base(contract)
    field = _names(base, "risk_adjustment")
    found = [payment.risk_adjustment for payment in base if filled(payment.risk_adjustment)]
    if not found:
        return _unknown(base[0].risk_adjustment, field)
    best = max(found, key=("none", "age and sex", "health status").index)
    return {
        "health status": ("met", "The base is adjusted for health status.", field),
        "age and sex": ("partly", "The base is adjusted for age and sex only.", field),
        "none": ("not met", "The base is not adjusted for risk.", field),
    }[best]


def _risk_limited(contract: Contract) -> Verdict:
    field, limits = "finance.risk_limits", contract.finance.risk_limits
    if not filled(limits):
        return _unknown(limits, field)
    if not limits:
        return "not met", "No limit of the provider's risk is part of the contract.", field
    return "met", f"Named are: {'; '.join(limits)}.", field


def _explicit(contract: Contract) -> Verdict:
    rewards = [payment for payment in contract.payments if payment.type == "performance_bonus"]
    linked = [payment for payment in contract.payments if payment.linked_to_quality is True]
    separate = [payment for payment in linked if payment in rewards]
    if separate:
        return "met", "A payment of its own rewards measured quality.", _names(separate, "linked_to_quality")
    if linked:
        return "partly", "Quality changes another payment; it has none of its own.", _names(linked, "linked_to_quality")
    unknown = [payment for payment in contract.payments if not filled(payment.linked_to_quality)]
    if unknown:
        return _unknown(unknown[0].linked_to_quality, _names(unknown, "linked_to_quality"))
    return "not met", "No payment depends on measured quality.", _names(list(contract.payments), "linked_to_quality")


def _small(contract: Contract) -> Verdict:
    verdict, _, field = _explicit(contract)
    if verdict != "met":
        if verdict == "cannot be told":
            return _unknown(None, field)
        return "not met", "There is no payment of its own for measured quality whose size could be small.", field
    separate = [p for p in contract.payments if p.type == "performance_bonus" and p.linked_to_quality is True]
    field = _names(separate, "part")
    parts = {payment.part for payment in separate}
    if parts == {"supplement"}:
        return "met", "The reward of quality is a supplement to the base.", field
    if "main" in parts:
        return "not met", "The reward of quality is itself a main part.", field
    return _unknown(next(part for part in parts if not filled(part)), field)


CRITERIA: dict[str, Callable[[Contract], Verdict]] = {
    "paid to a multidisciplinary provider group": _group,
    "for a cohesive set of care": _cohesive,
    "for a predefined population": _predefined,
    "fixed": _fixed,
    "adjusted for the population's risk": _risk_adjusted,
    "with measures that limit risk": _risk_limited,
    "explicit reward of measured value": _explicit,
    "which is small beside the base": _small,
}
"""The criteria: six of the base payment, two of the explicit reward."""
