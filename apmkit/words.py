"""Results in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError

if TYPE_CHECKING:
    from apmkit.estimate import Estimate


def sentence(estimate: Estimate, outcome: str | None, unit: str, digits: int | None) -> str:
    """A result of one term with its uncertainty; see `Estimate.sentence`."""
    if len(estimate.table) > 1:
        raise ApmkitError(
            f"A sentence says one number and there are {len(estimate.table)}: choose one, for instance "
            f"term({estimate.table['term'].iloc[0]!r}), or aggregate."
        )
    row = estimate.table.iloc[0]
    name = outcome or estimate.outcome
    precision = row.se if np.isfinite(row.se) and row.se > 0 else abs(row.estimate) / 10
    unit = f" {unit}" if unit else ""

    def amount(value: float) -> str:
        return rounded(abs(value), precision, digits)

    def change(value: float) -> str:
        return f"a {'fall' if value < 0 else 'rise'} of {amount(value)}"

    percent = f"{100 * estimate.level:.6g}%"
    if "withheld" in estimate.diagnostics:
        return f"{name}: the estimate is {change(row.estimate)}{unit}. {estimate.diagnostics['withheld']}"
    floor = estimate.diagnostics.get("p_value_floor")
    if floor is not None or not np.isfinite(row.ci_low):
        evidence = []
        if np.isfinite(row.p_value):
            evidence.append(f"permutation p = {row.p_value:.3f}")
        if floor is not None:
            evidence.append(f"with these donors p cannot be below {floor:.3f}")
        if np.isfinite(row.ci_low):
            evidence.append(
                f"{percent} CI from placebos {rounded(row.ci_low, precision, digits)} to "
                f"{rounded(row.ci_high, precision, digits)}"
            )
        known = f" ({'; '.join(evidence)})" if evidence else ""
        return f"{name}: the estimate is {change(row.estimate)}{unit}{known}."
    if row.ci_low > 0 or row.ci_high < 0:
        near, far = sorted((row.ci_low, row.ci_high), key=abs)
        verb = "fell" if row.estimate < 0 else "rose"
        return f"{name} {verb} by {amount(row.estimate)}{unit} ({percent} CI {amount(near)} to {amount(far)})."
    return (
        f"{name}: no clear change. The estimate is {change(row.estimate)}{unit}; "
        f"the data cannot rule out {change(row.ci_low)} or {change(row.ci_high)} ({percent} CI)."
    )


def rounded(value: float, precision: float, digits: int | None = None) -> str:
    """A number with as many decimals as two significant digits of `precision` need, or with `digits` decimals.

    >>> rounded(11025.4, 103.0), rounded(0.01951, 0.0042)
    ('11,025', '0.0195')
    """
    if digits is None:
        digits = max(0, 1 - math.floor(math.log10(precision))) if precision > 0 else 1
    return f"{value:,.{digits}f}"


def listed(names: Iterable[str]) -> str:
    """Names joined by commas and "and".

    >>> listed(["Ontario"]), listed(["Alberta", "Ontario", "Quebec"])
    ('Ontario', 'Alberta, Ontario and Quebec')
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def shown_p(value: float) -> str:
    """A p-value as text.

    >>> shown_p(0.00004), shown_p(0.0312)
    ('p < 0.001', 'p = 0.031')
    """
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def excludes_zero(estimate: Estimate) -> bool:
    """Whether the interval of the first term excludes zero."""
    row = estimate.table.iloc[0]
    return bool(row["ci_low"] > 0 or row["ci_high"] < 0)
