"""A contract to fill in: every field with what it means and which values it may have."""

from __future__ import annotations

import textwrap
from typing import Any, Literal, get_args, get_origin

from apmkit.contract.record import UNCOUNTED, Component, Contract, Gap, _Theme
from apmkit.contract.terms import PAYMENT_TYPES, TASKS, THEMES

_HEAD = """\
# A payment contract. Check it with: apmkit contracts show {file}
# Replace each {{gap: not found}} by a value, or by the gap that is true:
#   {gaps}; a note may follow, as in {{gap: not found, note: "searched in ..."}}.
# Texts with a colon, and years alone, need quotes.
name: {name}
title: My contract
country: US                # US or Canada
jurisdiction: {{gap: not found}}
starts: {{gap: not found}}   # YYYY-MM-DD, YYYY-MM or "YYYY"
ends: {{gap: not found}}
"""
_TAIL = """\

# Where the facts come from: one entry a source, with the themes that rest on it.
# sources:
#   - citation: Author (year). Title.
#     url: https://...
#     doi: 10....
#     supports: [{themes}]
#     status: primary      # primary, secondary or unconfirmed
"""


def template(name: str = "my_contract") -> str:
    """A YAML file that can be read at once, with every field a stated gap, to be filled in.

    Parameters
    ----------
    name : str
        The contract's name: small letters, digits and _.

    Examples
    --------
    >>> print(template().splitlines()[4])
    name: my_contract
    """
    reasons = ", ".join(_allowed(Gap.model_fields["gap"].annotation))
    text = [_HEAD.format(file=f"{name}.yml", name=name, gaps=reasons)]
    for theme, title in THEMES.items():
        record = Contract.model_fields[theme].annotation
        text.append(f"\n# {title}\n{theme}:\n{_lines(record, 2)}")
        if theme == "finance":
            types = textwrap.fill(", ".join(PAYMENT_TYPES), 96, initial_indent="    # ", subsequent_indent="    # ")
            text.append(
                f"  payments:\n    # Types of payment:\n{types}\n    - name: fees\n      type: fee_for_service\n"
                f"{_lines(Component, 6)}"
                f"      # targets: [visits]     # where the contract names the tasks: {', '.join(TASKS)}\n"
                "      # optional: true        # where the provider may choose it or leave it\n"
                "      no_engine: not yet looked for   # or engine: a function of apmkit.payment, and its rules: file\n"
                "      # terms: {model: FHN}          # your own terms of the engine\n"
                "      # rule_values: {hard_cap: 60000}  # your own values in place of those of the rules\n"
            )
    return "".join([*text, _TAIL.format(themes=", ".join(THEMES))])


def _lines(record: type[_Theme], indent: int) -> str:
    lines = ""
    for name, field in record.model_fields.items():
        if name not in UNCOUNTED:
            allowed = _allowed(field.annotation)
            choice = f" Write {', '.join(allowed)}." if allowed else ""
            lines += f"{' ' * indent}# {field.description}{choice}\n{' ' * indent}{name}: {{gap: not found}}\n"
    return lines


def _allowed(kind: Any) -> list[str]:
    """The words that a field may have, beside gaps; none where any text will do."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if getattr(kind, "__name__", "") == "bool":
        return ["true", "false"]
    return [word for part in get_args(kind) if part is not Gap for word in _allowed(part)]
