"""The HCP-LAN category of a contract and of each payment, derived from the fields of the record.

The definitions are those of the framework's refresh of 2017. The rules that lead from a record to a category are our
reading of them, written out in `_category` (one payment) and `_whole` (the contract). A field that is missing or a
stated gap leaves every category open that its values could lead to.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from apmkit.contract.record import Component, Contract, check_contract, filled
from apmkit.contract.terms import CATEGORIES, PAID

OUTSIDE = "outside the framework"

_ORDER = {code: place for place, code in enumerate(CATEGORIES)}
_NEAREST = {"salary": "4N", "hourly": "1"}
_DECIDING = {
    "linked_to_quality": ("link to quality", (True, False)),
    "downside": ("downside", (True, False)),
    "scope": ("scope", ("primary care", "total cost")),
    "paid": ("when it is paid", ("in advance", "afterwards")),
}


@dataclass(frozen=True, eq=False)
class Classification:
    """The HCP-LAN category of a contract, with its reasons.

    `category` is one code, several joined by "or" where a gap or a choice leaves it open, or "outside the framework".
    `parts` are the categories of all payments; `nearest` are those of the main payments of a contract outside.
    `payments` has one row a payment: category and reason.
    """

    contract: Contract
    category: str
    reason: str
    parts: tuple[str, ...]
    nearest: tuple[str, ...]
    payments: pd.DataFrame

    @property
    def agrees(self) -> bool | None:
        """Whether the placement that the record quotes names the same categories; None where it quotes none."""
        if self.contract.placement is None:
            return None
        derived = set(self.nearest or self.parts)
        beyond = derived - {"1"}
        return set(self.contract.placement.categories) in (derived, beyond)

    def summary(self) -> str:
        """Category and reasons in words."""
        nearest = f" (nearest {' and '.join(self.nearest)})" if self.nearest else ""
        lines = [f"{self.contract.title}: HCP-LAN {self.category}{nearest}", self.reason, ""]
        lines += [f"* {name}: {row.category}. {row.reason}" for name, row in self.payments.iterrows()]
        placement = self.contract.placement
        if placement is not None and not self.agrees:
            lines += [
                "",
                f"Placed as {' + '.join(placement.categories)} elsewhere ({placement.citation}; {placement.status}). "
                f"{placement.difference or 'The record does not say why.'}",
            ]
        return "\n".join(lines)


def classify(contract: Contract) -> Classification:
    """The HCP-LAN category of a contract and of each of its payments, with reasons in words.

    A payment is placed by its type, its link to quality, its downside, its scope and when it is paid. The contract
    takes the category of its main payments: population-based ones first, then a settlement with a benchmark, through
    which all fees of its scope run, then the furthest step of category 2 that is paid on top of fees. Salaries and
    hourly pay have no place in the framework; then the nearest category is named. Payer and provider count as one
    organisation (4C) only where the record says so.

    References
    ----------
    Health Care Payment Learning & Action Network (2017). Alternative Payment Model (APM) Framework: refresh for 2017.
    The MITRE Corporation. Definitions: its summary page, and HL7 Da Vinci, code system hcp-lan-apm-framework. That a
    model is placed by the dominant form of payment: AMDA (2016), Final APM Framework Released.

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> classify(gallery("mssp_track_1")).category
    '3A'
    >>> classify(gallery("ontario_chc")).nearest
    ('4N',)
    """
    check_contract(contract)
    one = contract.providers.payer_and_provider_are_one is True
    states = _states(contract.payments, one)
    outcomes = _outcomes(contract.payments, one)
    codes = _sorted(code for code, _ in outcomes)
    mains = {_NEAREST.get(each, each) for state in states for each, main in state if main}
    parts = {_NEAREST.get(each, each) for state in states for each, _ in state}
    rows = {payment.name: (payment.type, *_row(payment, one)) for payment in contract.payments}
    return Classification(
        contract=contract,
        category=" or ".join(codes),
        reason=_reason(contract, outcomes, mains, one),
        parts=tuple(_sorted(parts)),
        nearest=tuple(_sorted(mains or parts)) if codes == [OUTSIDE] else (),
        payments=pd.DataFrame.from_dict(rows, orient="index", columns=["type", "category", "reason"]).rename_axis(
            "payment"
        ),
    )


def _states(payments: Sequence[Component], one: bool) -> set[frozenset]:
    """Every set of (category, is it a main part?) that payments can have together; pay by time stands by its type."""
    states = {frozenset()}
    for payment in payments:
        mains = (payment.part == "main",) if filled(payment.part) else (True, False)
        found = {payment.type if code == OUTSIDE else code for code in _possible(payment, one)}
        with_it = {state | {(code, main)} for state in states for code in found for main in mains}
        states = with_it | (states if payment.optional else set())
    return {state for state in states if state}


def _outcomes(payments: Sequence[Component], one: bool) -> set[tuple[str, str]]:
    """The categories that a contract of these payments can have, each with the rule that leads to it."""
    return {_whole(state) for state in _states(payments, one)}


def _sorted(codes: Iterable[str]) -> list[str]:
    return sorted(set(codes), key=_rank)


def _rank(code: str) -> int:
    return _ORDER.get(code, len(_ORDER))


def _possible(payment: Component, one: bool) -> dict[str, str]:
    """The categories that a payment can have, each with its reason; a gap may stand for any of its values."""
    values = (_values(payment, field) for field in _DECIDING)
    return dict(_category(payment.type, *each, one) for each in itertools.product(*values))


def _values(payment: Component, field: str) -> tuple:
    given = getattr(payment, field)
    if filled(given):
        return (given,)
    return PAID.get(payment.type, _DECIDING[field][1]) if field == "paid" else _DECIDING[field][1]


def _category(kind: str, linked: bool, downside: bool, scope: str, paid: str, one: bool) -> tuple[str, str]:
    """The category of one payment whose fields are known, and why."""
    if kind in _NEAREST:
        like = {
            "salary": "like a capitation it does not rise with the number of acts",
            "hourly": "like a fee it rises with the work done",
        }
        return OUTSIDE, f"The framework has no place for {kind} pay; nearest is {_NEAREST[kind]}: {like[kind]}."
    if kind == "fee_for_service":
        if linked:
            return "2C", "A fee for each act whose amount depends on measured quality."
        return "1", "A fee for each act, whatever its quality."
    if kind in ("care_management_fee", "infrastructure_payment"):
        return "2A", "It pays for infrastructure and operations, such as care coordination, teams or technology."
    if kind == "pay_for_reporting":
        return "2B", "It pays for reporting data."
    if kind == "performance_bonus":
        if linked:
            return "2C", "It rewards measured quality."
        return "1", "A bonus that does not rest on measured quality has no link to quality and value."
    if kind == "shared_savings" or paid == "afterwards":
        what = {
            "shared_savings": "Spending is settled against a benchmark",
            "episode": "An episode is settled against a target price",
            "global_budget": "Spending is settled against a budget",
        }[kind]
        if not linked:
            return "3N", f"{what}, and quality does not change the amount."
        if downside:
            return "3B", f"{what}, quality changes the amount, and the provider can owe money."
        return "3A", f"{what}, quality changes the amount, and only savings are shared."
    what = {
        "capitation": "A fixed amount for each patient",
        "episode": "A price paid in advance for all care of an episode",
        "global_budget": "A budget for all care",
    }[kind]
    if not linked:
        return "4N", f"{what} that does not depend on quality."
    if one:
        return "4C", f"{what}, linked to quality, inside an organisation that is payer and provider in one."
    if kind == "global_budget" or scope == "total cost":
        part = " of a hospital: comprehensive within its walls only" if scope == "hospital" else ""
        return "4B", f"{what}{part}, linked to quality."
    return "4A", f"{what}, linked to quality, for a part of care ({scope})."


def _row(payment: Component, one: bool) -> tuple[str, str]:
    found = _possible(payment, one)
    codes = _sorted(found)
    if len(codes) == 1:
        return codes[0], found[codes[0]]
    reasons = " ".join(f"{code}: {found[code]}" for code in codes)
    return " or ".join(codes), f"{reasons} Open: {'; '.join(_open(payment))}."


def _open(payment: Component) -> list[str]:
    """The gaps of a payment on which its category depends."""
    found = []
    for field, (words, _) in _DECIDING.items():
        variants = (payment.model_copy(update={field: value}) for value in _values(payment, field))
        if len({frozenset(_possible(variant, one=False)) for variant in variants}) > 1:
            found.append(f"{words} ({getattr(payment, field) or 'missing'})")
    return found


def _whole(state: frozenset[tuple[str, bool]]) -> tuple[str, str]:
    """The category of a contract from those of its payments, and the rule that leads to it."""
    every = {code for code, _ in state}
    mains = {code for code, main in state if main} or every
    population = {code for code in mains if code.startswith("4")}
    settled = {code for code in every if code.startswith("3")}
    value = {code for code in every if code.startswith("2")}
    if population and not mains & _NEAREST.keys():
        return max(population, key=_rank), "population"
    if settled:
        return max(settled, key=_rank), "settled"
    if mains & _NEAREST.keys():
        return OUTSIDE, "outside"
    if value:
        return max(value, key=_rank), "value"
    if population := {code for code in every if code.startswith("4")}:
        return "1", "small capitation"
    return "1", "fees"


_RULES = {
    "population": "A population-based payment is a main part, and the framework goes by the dominant form of payment",
    "settled": "Fees are settled against a benchmark or a target price, so that all of them run through it",
    "value": "No main part is population-based and nothing is settled, so the furthest step of category 2 decides",
    "small capitation": "Fees are the main part, and what is paid on top of them is a capitation of smaller size",
    "fees": "Only fees, or money like them, without a link to quality",
}


def _reason(contract: Contract, outcomes: set[tuple[str, str]], mains: set[str], one: bool) -> str:
    nearest = " and ".join(_sorted(mains))
    outside = f"A main part is paid by time, which the framework does not cover; nearest is {nearest}"
    sentences = []
    for rule in sorted({rule for _, rule in outcomes}, key=[*_RULES, "outside"].index, reverse=True):
        codes = _sorted(code for code, by in outcomes if by == rule)
        sentences.append(f"{' or '.join(codes)}: {_RULES.get(rule, outside)}.")
    if len(outcomes) == 1:
        return sentences[0]
    choices, unknown = [], []
    for place, payment in enumerate(contract.payments):
        before, after = contract.payments[:place], contract.payments[place + 1 :]
        if payment.optional:
            chosen = payment.model_copy(update={"optional": False})
            if _outcomes((*before, chosen, *after), one) != _outcomes((*before, *after), one):
                choices.append(payment.name)
        missing = _open(payment)
        if not filled(payment.part):
            sizes = (payment.model_copy(update={"part": part}) for part in ("main", "supplement"))
            as_main, as_supplement = (_outcomes((*before, each, *after), one) for each in sizes)
            if as_main != as_supplement:
                missing.append(f"whether it is a main part ({payment.part or 'missing'})")
        if missing:
            unknown.append(f"of {payment.name} {', '.join(missing)}")
    if choices:
        sentences.append(f"It depends on whether the provider chooses {' and '.join(choices)}.")
    if unknown:
        sentences.append(f"The record leaves open {'; '.join(unknown)}.")
    return " ".join(sentences)
