"""Which function of `apmkit.payment` computes each payment of a contract, from which rules."""

from __future__ import annotations

import difflib

import pandas as pd

from apmkit.contract.record import Contract, ContractError


def engines(contract: Contract) -> pd.DataFrame:
    """The engine and the rules file of each payment, or why there is none.

    Returns
    -------
    DataFrame
        Index payment; columns engine, rules (each empty where there is none), why_none.

    Raises
    ------
    ContractError
        An engine is no function of `apmkit.payment`, or a rules file does not ship with apmkit.

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> engines(gallery("cpc_plus_track_1"))["engine"].tolist()
    ['fee_for_service', 'cpc_plus', 'cpc_plus']
    """
    from apmkit import payment as models

    known = [name for name in models.__all__ if name.islower()]
    for each in contract.payments:
        for what, given, names in (("engine", each.engine, known), ("rules file", each.rules, models.programmes())):
            if given is not None and given not in names:
                near = difflib.get_close_matches(given, names, n=1)
                meant = f"did you mean {near[0]}?" if near else "leave it out and say why in no_engine."
                raise ContractError(f"Payment {each.name} of {contract.name} names the {what} {given!r}; {meant}")
    rows = {each.name: (each.engine or "", each.rules or "", each.no_engine or "") for each in contract.payments}
    columns = ["engine", "rules", "why_none"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("payment")
