"""The reference pages of the book: the public functions from their docstrings, and what agrees with other packages."""

from __future__ import annotations

import csv
import importlib
import inspect
from collections import defaultdict
from pathlib import Path

import apmkit

_ROOMS = {
    "apmkit.panel": "The data of a study",
    "apmkit.estimate": "The result",
    "apmkit.did": "Difference-in-differences",
    "apmkit.synth": "Few treated units",
    "apmkit.designs": "Other designs",
    "apmkit.inference": "Inference, sensitivity and power",
    "apmkit.synthesis": "Synthesis of published estimates",
    "apmkit.payment": "Payment models",
    "apmkit.contract": "Contracts",
    "apmkit.plots": "Figures",
    "apmkit.datasets": "Real data",
    "apmkit.studies": "Studies",
    "apmkit.errors": "Errors and warnings",
}


def api_page() -> str:
    """Return the page of all public names, by room, for Sphinx to fill from their docstrings."""
    rooms = defaultdict(set)
    for name, home in apmkit._HOMES.items():
        if inspect.ismodule(thing := getattr(apmkit, name)):
            rooms[home] |= {f"{home}.{inner}" for inner in thing.__all__ if callable(getattr(thing, inner))}
        else:
            rooms[home].add(f"apmkit.{name}")
    parts = [
        "# Reference of the library",
        "Every public name, from its docstring. `import apmkit as apm`, then `apm.Panel(...)` and so on; figures are "
        "in `apm.plots`, data in `apm.datasets`.",
    ]
    for home, title in _ROOMS.items():
        names = sorted(rooms.pop(home), key=lambda name: (name.rpartition(".")[2][0].islower(), name))
        parts.append(f"(api-{home.replace('.', '-')})=\n## {title}\n\n{_first_line(home)}")
        parts += [_directive(name) for name in names]
    if rooms:
        raise KeyError(f"The reference has no title for {sorted(rooms)}.")
    return "\n\n".join([*parts, ""])


def _first_line(module: str) -> str:
    return inspect.getdoc(importlib.import_module(module)).partition("\n")[0]


def _directive(name: str) -> str:
    home, _, own = name.rpartition(".")
    thing = getattr(importlib.import_module(home), own)
    if inspect.isclass(thing):
        members = "" if issubclass(thing, BaseException | Warning) else "   :members:\n"
        return f"```{{eval-rst}}\n.. autoclass:: {name}\n{members}```"
    return f"```{{eval-rst}}\n.. autofunction:: {name}\n```"


def agreement_page(table: Path) -> str:
    """Return the page of what agrees with which package to how many digits.

    Parameters
    ----------
    table : path
        CSV file with columns `what`, `package`, `case`, `numbers` and `digits`, written by the tests.
    """
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    groups = defaultdict(list)
    for row in rows:
        groups[row["what"], row["package"]].append(row)
    lines = ["| Function | Package | Comparisons | Numbers | Digits that agree |", "| --- | --- | --- | --- | --- |"]
    for (what, package), members in sorted(groups.items()):
        digits = [int(row["digits"]) for row in members]
        span = f"{min(digits)}" if min(digits) == max(digits) else f"{min(digits)} to {max(digits)}"
        numbers = sum(int(row["numbers"]) for row in members)
        lines.append(f"| `{what}` | {package} | {len(members)} | {numbers:,} | {span} |")
    each = ["| Function | Package | Case | Numbers | Digits |", "| --- | --- | --- | --- | --- |"]
    each += [f"| `{r['what']}` | {r['package']} | {r['case']} | {r['numbers']} | {r['digits']} |" for r in rows]
    return "\n".join(
        [
            "# What agrees with other packages",
            "",
            f"The tests compare {len(rows):,} results, {sum(int(row['numbers']) for row in rows):,} numbers in all, "
            "with other packages. The tests write this table and each run of them checks it. Digits are decimal "
            "places of numbers up to one and significant digits of larger ones, at most 12; the least of a comparison "
            "counts. Few digits mean a random method, a search that stops early, or a grid; the docstring of the "
            "function and its test say which.",
            "",
            *lines,
            "",
            ":::{dropdown} Each comparison",
            *each,
            ":::",
            "",
        ]
    )
