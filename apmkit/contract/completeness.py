"""How much of a contract is known: filled, absent with a reason, missing."""

from __future__ import annotations

import pandas as pd

from apmkit.contract.record import Contract, Gap, check_contract, filled
from apmkit.contract.terms import THEMES


def completeness(contract: Contract) -> pd.DataFrame:
    """How many fields of each theme are filled, absent with a stated reason, or missing; payments count as finance.

    A field that does not apply is not counted.

    Returns
    -------
    DataFrame
        Index theme, the last row all of them; columns fields, filled, unconfirmed (of the filled), absent, missing,
        share (filled of fields, 0 to 1), sources (how many support the theme).

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> table = completeness(gallery("ontario_fho"))
    >>> bool((table["filled"] + table["absent"] + table["missing"] == table["fields"]).all())
    True
    """
    check_contract(contract)
    rows = []
    for theme, _, value, unconfirmed in contract.fields():
        if not (isinstance(value, Gap) and value.gap == "does not apply"):
            rows.append((theme, filled(value), filled(value) and unconfirmed, isinstance(value, Gap), value is None))
    counts = pd.DataFrame(rows, columns=["theme", "filled", "unconfirmed", "absent", "missing"])
    counts = counts.groupby("theme").sum().reindex(list(THEMES), fill_value=0).astype(int)
    counts["sources"] = [sum(theme in source.supports for source in contract.sources) for theme in THEMES]
    counts.index = pd.Index([THEMES[theme] for theme in THEMES], name="theme")
    counts.loc["All themes"] = [*counts.drop(columns="sources").sum(), len(contract.sources)]
    counts.insert(0, "fields", counts[["filled", "absent", "missing"]].sum(axis=1))
    counts.insert(5, "share", counts["filled"] / counts["fields"].where(counts["fields"] > 0))
    return counts


def gaps(contract: Contract) -> pd.DataFrame:
    """Every field that is not filled, and every filled one that is unconfirmed; one row each.

    Returns
    -------
    DataFrame
        Columns theme, field, state (missing, unconfirmed, or the stated gap), note.
    """
    check_contract(contract)
    rows = []
    for theme, name, value, unconfirmed in contract.fields():
        if value is None:
            rows.append((THEMES[theme], name, "missing", ""))
        elif isinstance(value, Gap):
            rows.append((THEMES[theme], name, value.gap, value.note))
        elif unconfirmed:
            rows.append((THEMES[theme], name, "unconfirmed", ""))
    return pd.DataFrame(rows, columns=["theme", "field", "state", "note"])
