"""Contracts: where they stand in the HCP-LAN framework, and which tasks of primary care their payments support."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.contract import Contract

_LEVELS = {
    "paid per act": PALETTE["blue"],
    "paid in advance": PALETTE["green"],
    "paid by time": PALETTE["purple"],
    "rewarded": PALETTE["sky"],
    "discouraged": PALETTE["orange"],
    "not paid": "#F0F0F0",
    "cannot be told": "white",
}


def contract_categories(contracts: Iterable[Contract] | None = None, *, ax: Axes | None = None) -> Axes:
    """Where contracts stand in the HCP-LAN framework: a filled dot for the whole, a ring for each payment.

    Several filled dots mean that a gap or a choice of the provider leaves the category open; a contract without any is
    outside the framework, and a square marks the nearest category.

    Parameters
    ----------
    contracts : iterable of Contract, optional
        The gallery by default.
    ax : Axes, optional
        Where to draw.

    Raises
    ------
    ApmkitError
        There are no contracts.
    """
    from apmkit.contract import CATEGORIES, classify, gallery

    found = [classify(contract) for contract in (gallery().values() if contracts is None else contracts)]
    if not found:
        raise ApmkitError("There is no contract to draw: give some, or leave them out for the gallery.")
    place = {code: x for x, code in enumerate(CATEGORIES)}
    ax = axes(ax, height=1.4 + 0.33 * len(found))
    styles = {
        "a payment": {"marker": "o", "mfc": "white", "mec": PALETTE["grey"], "ms": 5},
        "the contract": {"marker": "o", "mfc": PALETTE["blue"], "mec": PALETTE["blue"], "ms": 8},
        "nearest, outside the framework": {"marker": "s", "mfc": "white", "mec": PALETTE["orange"], "ms": 7},
    }
    for name, style in styles.items():
        points = [
            (place[code], y)
            for y, each in enumerate(found)
            for code in {"a payment": each.parts, "the contract": each.category.split(" or ")}.get(name, each.nearest)
            if code in place
        ]
        xs, ys = zip(*points, strict=True) if points else ((), ())
        ax.plot(xs, ys, ls="", label=name, **style)
    for start, end in ((0, 0), (4, 6)):
        ax.axvspan(start - 0.5, end + 0.5, color="#F4F4F4", lw=0, zorder=0)
    ax.set_xticks(range(len(place)), list(place), fontsize="small")
    ax.set_xlim(-0.5, len(place) - 0.5)
    ax.set_yticks(range(len(found)), [textwrap.fill(_title(each.contract), 42) for each in found], fontsize="small")
    ax.set_ylim(len(found) - 0.4, -0.6)
    ax.tick_params(length=0)
    ax.set_xlabel("HCP-LAN category")
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False,
                     fontsize="small")  # fmt: skip
    return ax


def contract_tasks(contract: Contract, *, ax: Axes | None = None) -> Axes:
    """Which tasks of primary care each payment of a contract supports: a theory from the type of payment.

    Parameters
    ----------
    contract : Contract
    ax : Axes, optional
        Where to draw.
    """
    from matplotlib.patches import Patch, Rectangle

    from apmkit.contract import task_matrix

    matrix = task_matrix(contract)
    rows, columns = matrix.shape
    ax = axes(ax, height=2.4 + 0.36 * rows)
    for y, levels in enumerate(matrix.to_numpy()):
        for x, level in enumerate(levels):
            ax.add_patch(Rectangle((x + 0.03, y + 0.05), 0.94, 0.9, **_style(level)))
    ax.set_xlim(0, columns)
    ax.set_ylim(rows, 0)
    names = [name.replace("_", " ").capitalize() for name in matrix.columns]
    ax.set_xticks([x + 0.5 for x in range(columns)], names, fontsize="small", rotation=35, ha="right")
    ax.set_yticks([y + 0.5 for y in range(rows)], [textwrap.fill(task, 30) for task in matrix.index], fontsize="small")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    shown = [level for level in _LEVELS if (matrix == level).any(axis=None)]
    patches = [Patch(label=level, **_style(level)) for level in shown]
    ax.figure.legend(handles=patches, loc="outside upper center", ncols=4, frameon=False, fontsize="small")
    ax.set_title(_title(contract))
    return ax


def _title(contract: Contract) -> str:
    """The title as it is: between two dollar signs matplotlib would read a formula."""
    return contract.title.replace("$", r"\$")


def _style(level: str) -> dict[str, str | None]:
    hatch = "///" if level == "cannot be told" else None
    return {"facecolor": _LEVELS[level], "edgecolor": PALETTE["light"], "hatch": hatch}
