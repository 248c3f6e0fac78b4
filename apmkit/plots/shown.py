"""A figure on a page: its source line, and for those who cannot see it, its text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.plots.style import source as draw_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_VALUES, _MOST_NAMES = 12, 20  # more are tiring to hear


def show(figure: Axes | Figure, *, alt: str, source: str) -> None:
    """Show a figure in a notebook, with the source of its data below it, and close it.

    Parameters
    ----------
    figure : Axes or Figure
    alt : str
        One sentence on what is to be seen. `in_words` adds axes, units and estimates to it.
    source : str
        Where the data come from, with a full stop.

    Raises
    ------
    ApmkitError
        There is no sentence or no source.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from IPython.utils.capture import capture_output
    >>> figure, ax = plt.subplots()
    >>> line = ax.plot([2014, 2015], [100, 97])
    >>> with capture_output():  # a notebook shows it
    ...     show(ax, alt="Cost falls over two years.", source="invented.")
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    for name, text in (("alt", alt), ("source", source)):
        if not text.strip():
            raise ApmkitError(f"The figure has no {name}: give it one sentence.")
    figure = figure.figure  # a figure's own is itself
    text = f"{alt} {in_words(figure)}".strip()
    draw_source(figure, source)
    display(figure, metadata={kind: {"alt": text} for kind in ("image/svg+xml", "image/png")})
    plt.close(figure)


def in_words(figure: Figure) -> str:
    """Panels, axes with their range, and the estimates with intervals of a figure, where there are few.

    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> lines = ax.hlines([0, 1], [-2, 1], [4, 2.5]), ax.plot([1, 2], [0, 1], "o")
    >>> ticks = ax.set_yticks([0, 1], ["visits", "stays"])
    >>> text = ax.set_xlabel("Change, %")
    >>> in_words(figure)
    'Horizontal axis: Change, %, from −2 to 4. Rows: visits: 1 (−2 to 4); stays: 2 (1 to 2.5).'
    >>> plt.close(figure)
    """
    panels = [ax for ax in figure.axes if ax.get_visible() and ax.axison and ax.get_label() != "<colorbar>"]
    titles = [" ".join(ax.get_title(loc="left").split() or ax.get_title().split()) for ax in panels]
    found = [f"Panels: {'; '.join(filter(None, titles))}."] if len(panels) > 1 and any(titles) else []
    rows = []
    for side, name, many in (("x", "Horizontal", "Columns"), ("y", "Vertical", "Rows")):
        overall = getattr(figure, f"get_sup{side}label")()
        spans: dict[str, list[str]] = {}
        for ax in panels:
            axis = getattr(ax, f"{side}axis")
            names = _names(axis)
            if names and axis.get_tick_params().get(f"label{'bottom' if side == 'x' else 'left'}", True):
                rows.append((many, _values(ax, side, names) or list(names.values())))
            label = " ".join((axis.get_label_text() or overall).split())
            if label:
                spans.setdefault(label, []).extend(ends if (ends := _ends(axis)) and not names else [])
        found += [
            f"{name} axis: {label}{f', from {ends[0]} to {ends[-1]}' if len(ends) == 2 else ''}."
            for label, ends in spans.items()
        ]
    if sum(len(texts) for _, texts in rows) <= _MOST_NAMES:
        found += [f"{many}: {'; '.join(texts)}." for many, texts in rows]
    return " ".join(dict.fromkeys(found))


def _ends(axis) -> list[str]:
    """The first and the last number that the axis shows."""
    low, high = sorted(axis.get_view_interval())
    ticks = [at for at in axis.get_major_locator()() if low <= at <= high]
    texts = [text for text in map(str, axis.get_major_formatter().format_ticks(ticks)) if text]
    return [text.replace("$\\mathdefault{", "").replace("}$", "") for text in (texts[0], texts[-1])] if texts else []


def _names(axis) -> dict[float, str]:
    """Texts at ticks by position; none where ticks are numbers."""
    low, high = sorted(axis.get_view_interval())
    texts = {
        float(at): " ".join(label.get_text().split())
        for at, label in zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
        if low <= at <= high
    }
    return texts if any(c.isalpha() for text in texts.values() for c in text) else {}


def _values(ax: Axes, side: str, names: dict[float, str]) -> list[str]:
    """Estimate and interval at each name, where no name has two."""
    if len(names) > _MOST_VALUES:
        return []
    points = _by_place(_points(ax), side)
    spans = {at: found for at, found in _by_place(_spans(ax, side), side).items() if at in names}
    if any(len(set(points.get(at, ()))) > 1 for at in names) or not points.keys() & names.keys():
        return []
    texts = []
    for at, name in names.items():
        if at not in points:
            texts.append(name)
            continue
        value = points[at][0]
        ends = [end for span in spans.get(at, ()) for end in span]
        # A line that ends at the point is no interval: it leads there from somewhere else.
        span = f" ({_short(min(ends))} to {_short(max(ends))})" if ends and min(ends) < value < max(ends) else ""
        texts.append(f"{name}: {_short(value)}{span}")
    return texts


def _by_place(found: Iterator[tuple], side: str) -> dict[float, list]:
    places: dict[float, list] = {}
    for x, y in found:
        at, value = (x, y) if side == "x" else (y, x)
        if np.isfinite(np.ma.filled(np.ma.asarray(value, dtype=float), np.nan)).all():
            places.setdefault(round(float(at), 6), []).append(value)
    return places


def _points(ax: Axes) -> Iterator[tuple[float, float]]:
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer

    bars = [container for container in ax.containers if isinstance(container, BarContainer)]
    if len(bars) == 1:
        for bar in bars[0]:
            (x, y), (right, top) = bar.get_xy(), (bar.get_x() + bar.get_width(), bar.get_y() + bar.get_height())
            yield (right, (y + top) / 2) if bars[0].orientation == "horizontal" else ((x + right) / 2, top)
    for line in ax.lines:
        if line.get_marker() not in ("None", None, "", " ") and line.get_transform() == ax.transData:
            yield from line.get_xydata()
    for collection in ax.collections:
        if isinstance(collection, PathCollection):
            yield from collection.get_offsets()


def _spans(ax: Axes, side: str) -> Iterator[tuple]:
    """Lines that stand for intervals: each at one place of the axis of names."""
    from matplotlib.collections import LineCollection

    drawn = [line.get_xydata() for line in ax.lines if line.get_transform() == ax.transData]  # not a line at zero
    straight = [ends for ends in drawn if len(ends) == 2]
    straight += [part for c in ax.collections if isinstance(c, LineCollection) for part in c.get_segments()]
    for (x1, y1), (x2, y2) in (part for part in straight if len(part) == 2):
        if side == "y" and y1 == y2:
            yield (x1, x2), y1
        elif side == "x" and x1 == x2:
            yield x1, (y1, y2)


def _short(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")  # a hyphen is not read aloud
