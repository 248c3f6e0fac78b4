"""The Markdown that generated pages are made of."""

from __future__ import annotations

import re


def anchor(kind: str, name: str) -> str:
    """A label such as ``data-gv-county``."""
    return f"{kind}-{name.replace('/', '-').replace('_', '-')}"


def outcomes(*lines: str) -> str:
    """What a reader will learn, as a list; the build writes the reading time below it."""
    return "**You will learn**\n\n" + "\n".join(f"* {line}" for line in lines)


def plain(text: str) -> str:
    """One line of Markdown that shows `text` as it is."""
    return re.sub(r"([\\`*_\[\]<>$|{}~])", r"\\\1", " ".join(text.split()))


def table(header: tuple[str, ...], rows) -> str:
    """A table of cells that are Markdown already."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))


def dropdown(title: str, body: str) -> str:
    """A part of a page that opens on a click."""
    return f":::{{dropdown}} {title}\n{body}\n:::"
