"""Which function of `apmkit.payment` computes each payment of a contract, from which rules, and whom it can pay."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

import pandas as pd

from apmkit.contract.record import Component, Contract, ContractError, check_contract

_PAYS = {
    **dict.fromkeys(("fee_for_service", "salary", "cpc_plus", "primary_care_first"), "practices"),
    **dict.fromkeys(("ontario_fhg", "ontario_fho", "alberta_blended_capitation", "bc_lfp"), "practices"),
    **dict.fromkeys(("settle_mssp", "aco_reach", "next_generation_aco", "advance_investment_payments"), "ACOs"),
    **dict.fromkeys(("bpci_advanced", "cjr"), "those who run episodes"),
    "maryland_global_budget": "hospitals",
}
"""Whom an engine pays."""


def engines(contract: Contract) -> pd.DataFrame:
    """The engine and the rules file of each payment, or why there is none.

    Returns
    -------
    DataFrame
        Index payment; columns engine, rules (each empty where there is none), why_none.

    Raises
    ------
    ContractError
        An engine pays nobody, or takes no such term, or a rules file does not ship with apmkit.

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> engines(gallery("cpc_plus_track_1"))["engine"].tolist()
    ['fee_for_service', 'cpc_plus', 'cpc_plus']
    """
    from apmkit.payment import programmes

    check_contract(contract)
    for each in contract.payments:
        for what, given, names in (("engine", each.engine, list(_PAYS)), ("rules file", each.rules, programmes())):
            if given is not None and given not in names:
                raise _unknown(contract, each, f"the {what} {given!r}", given, names, "say why in no_engine")
        for term in each.terms:
            if term not in (known := _terms(each.engine)):
                raise _unknown(contract, each, f"the term {term!r} of {each.engine}", term, known, "leave it out")
    rows = {each.name: (each.engine or "", each.rules or "", each.no_engine or "") for each in contract.payments}
    columns = ["engine", "rules", "why_none"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("payment")


def _unknown(contract: Contract, payment: Component, what: str, given: str, known: list[str], remedy: str):
    near = difflib.get_close_matches(given, known, n=1)
    meant = f"did you mean {near[0]}?" if near else f"write {', '.join(known) or 'none'}, or {remedy}."
    return ContractError(f"Payment {payment.name} of {contract.name} names {what}; {meant}")


def _terms(engine: str) -> list[str]:
    """The keyword arguments of an engine that a record can give: one number, text or truth value each."""
    from apmkit import payment

    scalar = (bool, int, float, str)
    return [
        name
        for name, each in signature(getattr(payment, engine)).parameters.items()
        if each.kind is Parameter.KEYWORD_ONLY and name != "on"
        and (each.default is Parameter.empty or isinstance(each.default, scalar))
    ]  # fmt: skip


def practice_payments(contract: Contract) -> pd.DataFrame:
    """Which payments of a contract can be computed for practices and their patients, and how.

    Fees that no engine of their own pays are the fees of the patients.

    Returns
    -------
    DataFrame
        Index payment; columns computed (bool), how (in words, or why not).

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> practice_payments(gallery("mssp_basic_e"))["computed"].to_dict()
    {'fees': True, 'shared_savings': False}
    """
    engines(contract)
    rows = {each.name: _how(each) for each in contract.payments}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["computed", "how"]).rename_axis("payment")


def _how(payment: Component) -> tuple[bool, str]:
    from apmkit import payment as models

    if payment.engine is None and payment.type == "fee_for_service":
        return True, "the fees of the patients, as they are"
    if payment.engine is None:
        return False, payment.no_engine
    if (pays := _PAYS[payment.engine]) != "practices":
        return False, f"{payment.engine} pays {pays}, not practices"
    needed = signature(getattr(models, payment.engine)).parameters
    for name in _terms(payment.engine):
        if needed[name].default is Parameter.empty and name not in payment.terms:
            return False, f"{payment.engine} needs {name}, which the record does not give in terms"
    return True, f"{payment.engine}" + (f", rules of {payment.rules}" if payment.rules else "")


def practice_model(contract: Contract, *, on: str | datetime.date) -> tuple[Callable, Mapping[str, Any]]:
    """A contract as a model that pays practices, for `apmkit.payment.compare_models`.

    Only payments that `practice_payments` computes are in it. An engine pays all its payments, fees among them, at
    once: so there can be only one beside fees.

    Parameters
    ----------
    contract : Contract
    on : str or date
        The day whose rules pay.

    Returns
    -------
    tuple
        The engine and its keyword arguments.

    Raises
    ------
    ContractError
        No payment reaches practices, several engines would each pay the fees, or payments give an engine different
        terms.
    RulesError
        A value that the contract gives is not one of the rules, or cannot stand there.

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> engine, terms = practice_model(gallery("ontario_fhn"), on="2019-04-01")
    >>> engine.__name__, terms
    ('ontario_fho', {'on': '2019-04-01', 'model': 'FHN'})
    """
    from apmkit import payment as models

    computed = practice_payments(contract)["computed"]
    paid = [each for each in contract.payments if computed[each.name]]
    if not paid:
        raise ContractError(f"No payment of {contract.name} can be computed for practices; practice_payments says why.")
    names = {each.engine or "fee_for_service" for each in paid}
    names = names - {"fee_for_service"} or names
    if len(names) > 1:
        raise ContractError(
            f"{contract.name} names the engines {' and '.join(sorted(names))}, each of which pays for all that "
            "practices do; name one of them, and say no_engine for the other payments."
        )
    (name,) = names
    mine = [each for each in paid if each.engine == name]
    terms = _merged(contract, mine, "terms")
    if values := _merged(contract, mine, "rule_values"):
        terms["rules"] = models.rulebook(next(each.rules for each in mine if each.rule_values)).with_values(values)
    return getattr(models, name), {"on": on, **terms}


def _merged(contract: Contract, payments: list[Component], field: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for payment in payments:
        for name, value in getattr(payment, field).items():
            if merged.setdefault(name, value) != value:
                raise ContractError(
                    f"Payments of {contract.name} give {name} as {merged[name]!r} and as {value!r}; give it once."
                )
    return merged
