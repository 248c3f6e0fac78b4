"""Two contracts side by side."""

from __future__ import annotations

import pandas as pd

from apmkit.contract.classification import classify
from apmkit.contract.completeness import completeness
from apmkit.contract.engines import engines
from apmkit.contract.preferred_design import design_score, preferred_design
from apmkit.contract.record import Contract, Gap, check_contract
from apmkit.contract.terms import THEMES

CONTRACT = "Contract"


def describe(contract: Contract) -> pd.DataFrame:
    """Every field of a contract in words; index theme and field, one column value.

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> describe(gallery("ontario_fho")).loc[("Provider partnerships and the role of physicians", "payee"), "value"]
    'physician group'
    """
    check_contract(contract)
    rows = {
        (CONTRACT, field): in_words(getattr(contract, field)) for field in ("country", "jurisdiction", "starts", "ends")
    }
    for theme, field, value, unconfirmed in contract.fields():
        rows[THEMES[theme], field] = in_words(value) + (" (unconfirmed)" if unconfirmed else "")
    for payment, row in zip(contract.payments, engines(contract).itertuples(), strict=True):
        rules = f", rules of {row.rules}" if row.rules else ""
        own = "".join(f", {name} = {value}" for name, value in (payment.terms | payment.rule_values).items())
        words = f"{row.engine}{rules}{own}" if row.engine else f"none: {row.why_none}"
        rows[THEMES["finance"], f"{payment.name}.engine"] = words
    return pd.Series(rows, name="value").rename_axis(["theme", "field"]).to_frame()


def results(contract: Contract) -> dict[str, str]:
    """What follows from a contract, in words: category, payments, preferred design, completeness, engines."""
    found = classify(contract)
    known = completeness(contract).loc["All themes"]
    by = sorted(set(engines(contract)["engine"]) - {""})
    return {
        "HCP-LAN category": found.category + (f" (nearest {' and '.join(found.nearest)})" if found.nearest else ""),
        "categories of the payments": ", ".join(found.parts),
        "preferred design": design_score(contract),
        "fields filled": f"{known['share']:.0%}, {known['unconfirmed']:.0f} unconfirmed",
        "engines": ", ".join(by) or "none",
    }


def compare(a: Contract, b: Contract) -> pd.DataFrame:
    """Two contracts side by side: what follows from each, its criteria and its fields; differences first.

    Payments meet by their names. Fields that only one contract has are empty for the other.

    Returns
    -------
    DataFrame
        Index theme and field; one column for each contract, and differs (bool), rows that differ first.

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> table = compare(gallery("mssp_track_1"), gallery("mssp_basic_e"))
    >>> table.iloc[0].iloc[:2].tolist()
    ['3A', '3B']
    """
    check_contract(a)
    check_contract(b)
    names = [a.name, b.name if b.name != a.name else f"{b.name} (2)"]
    columns = [_column(contract).rename(name) for contract, name in zip((a, b), names, strict=True)]
    table = pd.concat(columns, axis=1).fillna("")
    order = {theme: place for place, theme in enumerate(["Result", "Preferred design", CONTRACT, *THEMES.values()])}
    place = table.index.get_level_values("theme").map(order)
    table["differs"] = table[names[0]] != table[names[1]]
    return table.iloc[pd.DataFrame({"same": ~table["differs"].to_numpy(), "theme": place}).sort_values(
        ["same", "theme"], kind="stable").index]  # fmt: skip


def _column(contract: Contract) -> pd.Series:
    follows = {("Result", name): words for name, words in results(contract).items()}
    judged = {("Preferred design", name): verdict for name, verdict in preferred_design(contract)["verdict"].items()}
    follows = pd.Series(follows | judged, dtype=object).rename_axis(["theme", "field"])
    return pd.concat([follows, describe(contract)["value"]])


def in_words(value: object) -> str:
    """The value of a field as a reader sees it."""
    if value is None:
        return "missing"
    if isinstance(value, Gap):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "; ".join(value) or "none"
    return str(value)
