"""Tables of text that fit the terminal."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("estimate", "se", "ci_low", "ci_high", "p_value")


def width() -> int | None:
    """Columns of the terminal, or of the environment variable ``COLUMNS``; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or os.environ.get("COLUMNS") else None


def table(frame: pd.DataFrame) -> str:
    """A table of text, cells wrapped between words where the terminal is narrower."""
    text = [list(map(str, frame.columns)), *frame.astype(str).to_numpy().tolist()]
    return "\n".join(line for row in _fit(text, width()) for line in row)


def headlines(frame: pd.DataFrame) -> str:
    """The table of `apmkit.studies.runs.headlines`; in a narrow terminal a row's choices stand below its numbers."""
    frame = frame.assign(run=frame["run"].str.rpartition("-")[2]) if "run" in frame else frame
    wide = frame.to_string(index=False, na_rep="", float_format=_rounded)
    room = width()
    if room is None or max(map(len, wide.splitlines())) <= room:
        return wide
    shown = [name for name in ("run", "outcome", *_NUMBERS, "data") if name in frame]
    cells = frame[shown].astype(object).fillna("")
    text = [
        [_rounded(c) if name in _NUMBERS else c for name, c in zip(shown, row, strict=True)]
        for row in cells.to_numpy().tolist()
    ]
    header, *rows = _fit([shown, *text], room)
    lines = list(header)
    below = [name for name in ("study", "changed", "error") if name in frame]
    for row, said in zip(rows, frame[below].fillna("").to_numpy().tolist(), strict=True):
        lines += row + textwrap.wrap(
            " ".join(filter(None, said)), room, initial_indent=" " * 4, subsequent_indent=" " * 4
        )
    return "\n".join(lines)


def _rounded(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _fit(text: list[list[str]], room: int | None) -> list[list[str]]:
    """Lines of each row, columns on the left; the widest columns are narrowed first, and words are broken last."""
    columns = list(zip(*text, strict=True))
    widths = [max(1, *map(len, column)) for column in columns]
    gap = "  "
    if room is not None:
        words = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
        gap = gap if sum(words) + len(gap) * (len(words) - 1) <= room else " "
        room -= len(gap) * (len(widths) - 1)
        while sum(widths) > room and max(widths) > 1:
            loose = [i for i, (now, word) in enumerate(zip(widths, words, strict=True)) if now > max(word, 1)]
            widths[max(loose or range(len(widths)), key=widths.__getitem__)] -= 1
    return [_row(cells, widths, gap) for cells in text]


def _row(cells: list[str], widths: list[int], gap: str) -> list[str]:
    parts = [
        textwrap.wrap(cell, size, break_on_hyphens=False) or [""] for cell, size in zip(cells, widths, strict=True)
    ]
    lines = itertools.zip_longest(*parts, fillvalue="")
    return [gap.join(f"{part:<{size}}" for part, size in zip(line, widths, strict=True)).rstrip() for line in lines]


def value(given) -> str:
    """A number, a text, a list or a table of a file in one line."""
    if isinstance(given, dict):
        return ", ".join(f"{name} {value(part)}" for name, part in given.items())
    if isinstance(given, list):
        return "; ".join(map(value, given))
    return "none" if given is None else f"{given:,.15g}" if isinstance(given, float) else str(given)


def paragraph(text: str) -> str:
    """A paragraph, wrapped where it goes to a terminal."""
    room = width()
    return text if room is None else textwrap.fill(text, room, subsequent_indent="  ")
