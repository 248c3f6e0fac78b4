"""What would move a contract to another category: every change of one field of one payment."""

from __future__ import annotations

import pandas as pd

from apmkit.contract.classification import classify
from apmkit.contract.comparison import in_words
from apmkit.contract.preferred_design import design_score
from apmkit.contract.record import Contract
from apmkit.contract.terms import PAID

_SCOPES = ("primary care", "physician services", "condition", "hospital", "total cost")
_FIELDS = {
    "linked_to_quality": (True, False),
    "downside": (True, False),
    "scope": _SCOPES,
    "paid": ("in advance", "afterwards"),
    "part": ("main", "supplement"),
}


def category_moves(contract: Contract) -> pd.DataFrame:
    """Every change of one field of one payment that changes the contract's HCP-LAN category.

    Fields are those that decide a category: link to quality, downside, scope, when it is paid, main part or supplement.
    Values that a type of payment cannot have are left out.

    Returns
    -------
    DataFrame
        Columns payment, field, was, becomes (values in words), category (the new one) and design (the new score
        against the preferred design). No rows where one field alone moves nothing.

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> moves = category_moves(gallery("mssp_basic_e")).set_index(["payment", "field"])["category"]
    >>> moves["shared_savings", "downside"]
    '3A'
    """
    now, rows = classify(contract).category, []
    for payment in contract.payments:
        for field, values in _FIELDS.items():
            was = getattr(payment, field)
            for value in values if field != "paid" else PAID.get(payment.type, ()):
                changed = contract.change(payment.name, **{field: value})
                if value != was and (category := classify(changed).category) != now:
                    rows.append((payment.name, field, in_words(was), in_words(value), category, design_score(changed)))
    return pd.DataFrame(rows, columns=["payment", "field", "was", "becomes", "category", "design"])
