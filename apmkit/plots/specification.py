"""All sets of reasonable choices by the size of their estimate, and what each chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.plots.style import PALETTE, axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_PREFIX = "parameters."
_LINE = 0.21
_MARKS = ("orange", "purple", "green")


def specification_curve(
    table: pd.DataFrame, *, mark: Mapping[str, Mapping[str, Any]] | None = None, label: str | None = None
) -> Axes:
    """Estimates and intervals of many sets of choices from low to high; below, what each set chose.

    A curve shows how far an answer depends on choices. It is no test, and a count of sets is no p-value.

    Parameters
    ----------
    table : DataFrame
        One row per set: `estimate`, `ci_low`, `ci_high` (missing where a number has no interval) and a column
        ``parameters.<name>`` for each choice, as in ``results.csv`` of ``apmkit sweep``. Choices that do not vary are
        not shown.
    mark : mapping of str to mapping, optional
        Sets to mark, at most three: a name to write beside each, and its choices.
    label : str, optional
        What was estimated, with its unit.

    Returns
    -------
    Axes
        Those of the curve; the choices are in the other axes of its figure.

    Raises
    ------
    ApmkitError
        A column is missing, there is no estimate, or a choice to mark is not in the table.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"parameters.sample": ["all", "balanced"], "estimate": [1.0, -0.5],
    ...                       "ci_low": [0.2, -2.0], "ci_high": [1.8, 1.0]})
    >>> ax = specification_curve(table, mark={"default": {"sample": "all"}}, label="Effect on visits, per 100")
    >>> [text.get_text() for text in ax.figure.axes[1].get_yticklabels()]
    ['all', 'balanced']

    References
    ----------
    Simonsohn, U., Simmons, J. P. and Nelson, L. D. (2020), Nature Human Behaviour 4, 1208-1214.
    """
    missing = [name for name in ("estimate", "ci_low", "ci_high") if name not in table]
    if missing:
        raise ApmkitError(f"The table has no column {missing[0]!r}: give one row per set with estimate and interval.")
    rows = table.dropna(subset=["estimate"]).sort_values("estimate", kind="stable", ignore_index=True)
    if rows.empty:
        raise ApmkitError("There is no estimate to show.")
    choices = {n.removeprefix(_PREFIX): rows[n].astype(str) for n in table.columns if n.startswith(_PREFIX)}
    values = {name: table[_PREFIX + name].astype(str).unique() for name in choices}
    marked = {name: _places(choices, wanted) for name, wanted in (mark or {}).items()}
    varying = {name: choices[name] for name in choices if len(values[name]) > 1}
    lines = sum(1 + len(values[name]) for name in varying)

    top = axes(None, height=3.0 + _LINE * lines)
    if varying:
        grid = top.figure.add_gridspec(2, 1, height_ratios=(2.7, _LINE * lines))
        top.set_subplotspec(grid[0])
        _draw_choices(top.figure.add_subplot(grid[1], sharex=top), varying, values, marked)
    _draw_curve(top, rows, marked)
    # Above the curve, where there is room for it: at its side the label would be longer than the axis.
    top.set_title(label or "Estimate", loc="left", fontsize="medium", pad=18)
    top.tick_params(axis="x", length=0, labelbottom=False)
    top.set_xlim(-0.8, len(rows) - 0.2)
    top.figure.axes[-1].set_xlabel(f"{len(rows)} sets of choices, from the lowest estimate to the highest")
    return top


def _places(choices: Mapping[str, pd.Series], wanted: Mapping[str, Any]) -> np.ndarray:
    """Where the sets with these choices stand on the curve."""
    same = np.ones(len(next(iter(choices.values()), ())), dtype=bool)
    for name, value in wanted.items():
        if name not in choices:
            raise ApmkitError(f"The table has no choice {name!r}, only {', '.join(choices)}.")
        same &= (choices[name] == str(value)).to_numpy()
    return np.flatnonzero(same)


def _draw_curve(ax: Axes, rows: pd.DataFrame, marked: Mapping[str, np.ndarray]) -> None:
    x, few = np.arange(len(rows)), len(rows) < 60
    ax.vlines(x, rows["ci_low"], rows["ci_high"], color=PALETTE["sky"], lw=1.8 if few else 1.0)
    ax.plot(x, rows["estimate"], "o", color=PALETTE["blue"], ms=4.5 if few else 2.2)
    ax.axhline(0, color=PALETTE["grey"], lw=0.9)
    for (name, places), color in zip(marked.items(), _MARKS, strict=False):
        for at in places:
            row, left = rows.iloc[at], at < len(rows) / 2
            ax.axvline(at, color=PALETTE[color], lw=0.8, ls=":")
            ax.vlines(at, row["ci_low"], row["ci_high"], color=PALETTE[color], lw=2.2)
            ax.plot(at, row["estimate"], "D", color=PALETTE[color], ms=6)
            ax.annotate(name, (at, 1), xycoords=("data", "axes fraction"), xytext=(3 if left else -3, 2),
                        textcoords="offset points", ha="left" if left else "right", fontsize="small",
                        color=PALETTE[color])  # fmt: skip


def _draw_choices(
    ax: Axes,
    varying: Mapping[str, pd.Series],
    values: Mapping[str, np.ndarray],
    marked: Mapping[str, np.ndarray],
) -> None:
    ticks, labels, y = [], [], 0
    for name, chosen in varying.items():
        ax.annotate(name.replace("_", " "), (0, y), xycoords=("axes fraction", "data"), xytext=(-8, 0),
                    textcoords="offset points", ha="right", va="center", fontsize=8.5, weight="bold")  # fmt: skip
        for value in values[name]:
            y += 1
            x = np.flatnonzero((chosen == value).to_numpy())
            ax.plot(x, np.full(len(x), y), "|", color=PALETTE["blue"], ms=7, mew=1.4)
            for places, color in zip(marked.values(), _MARKS, strict=False):
                own = np.intersect1d(places, x)
                ax.plot(own, np.full(len(own), y), "D", color=PALETTE[color], ms=5)
            ticks.append(y)
            labels.append(value.replace("_", " "))
        y += 1
    ax.set_yticks(ticks, labels, fontsize=8)
    ax.set_ylim(y - 0.3, -0.7)
    ax.tick_params(length=0, labelbottom=False)
    ax.spines[:].set_visible(False)
