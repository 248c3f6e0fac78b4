"""The gallery of real contracts, and a template for one's own."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

import pandas as pd

from apmkit.contract.classification import classify
from apmkit.contract.comparison import results
from apmkit.contract.record import Contract, ContractError

GALLERY = Path(__file__).parent / "gallery"


def read_contract(name: str | Path) -> Contract:
    """A contract of the gallery by its name, or one of your own by the path of its file, which ends in .yml.

    Raises
    ------
    ContractError
        There is no such contract, or its file is wrong; the message names the line.

    Examples
    --------
    >>> read_contract("bc_lfp").title
    'British Columbia Longitudinal Family Physician payment model'
    """
    if not isinstance(name, str | Path):
        raise ContractError(f"{name!r} names no contract; give a name of the gallery or the path of a .yml file.")
    if isinstance(name, Path) or name.endswith((".yml", ".yaml")):
        return Contract.from_yaml(name)
    return gallery(name)


def gallery(name: str | None = None) -> Contract | dict[str, Contract]:
    """One contract of the gallery, or without a name all of them, by name.

    Raises
    ------
    ContractError
        There is none of that name.

    Examples
    --------
    >>> len(gallery()) >= 18
    True
    >>> gallery("ontario_fo")
    Traceback (most recent call last):
        ...
    apmkit.contract.record.ContractError: The gallery has no contract 'ontario_fo'; did you mean ontario_fho?
    """
    if name is None:
        return dict(_gallery())
    if name not in _gallery():
        near = difflib.get_close_matches(str(name), _gallery(), n=1)
        meant = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(_gallery())}, or give a .yml file."
        raise ContractError(f"The gallery has no contract {name!r}; {meant}")
    return _gallery()[name]


@cache
def _gallery() -> dict[str, Contract]:
    """The contracts by name: United States first, each country in the order of the alphabet."""
    contracts = [Contract.from_yaml(path) for path in sorted(GALLERY.glob("*.yml"))]
    return {contract.name: contract for contract in sorted(contracts, key=lambda c: c.country == "Canada")}


def gallery_table() -> pd.DataFrame:
    """The gallery at a glance, one row a contract.

    Returns
    -------
    DataFrame
        Index name; columns title, country, category, payments (their categories), reason, preferred design, fields
        filled, engines, and placed elsewhere (another placement where it differs, empty where not).
    """
    rows = {}
    for name, contract in gallery().items():
        follows, found = results(contract), classify(contract)
        differs = found.agrees is False
        rows[name] = {
            "title": contract.title,
            "country": contract.country,
            "category": follows["HCP-LAN category"],
            "payments": follows["categories of the payments"],
            "reason": found.reason,
            "preferred design": follows["preferred design"],
            "fields filled": follows["fields filled"],
            "engines": follows["engines"],
            "placed elsewhere": " + ".join(contract.placement.categories) if differs else "",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def placements() -> pd.DataFrame:
    """Derived categories of the gallery beside placements found elsewhere; why they differ, where they do.

    Returns
    -------
    DataFrame
        Index name; columns derived, placed, agrees, why, citation, status.
    """
    rows = {}
    for name, contract in gallery().items():
        if (placed := contract.placement) is not None:
            found = classify(contract)
            derived = ", ".join(found.nearest or found.parts)
            rows[name] = (derived, ", ".join(placed.categories), found.agrees, placed.difference or "",
                          placed.citation, placed.status)  # fmt: skip
    columns = ["derived", "placed", "agrees", "why", "citation", "status"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("name")
