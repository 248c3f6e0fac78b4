"""How long a page takes to read, counted by the build: an extension of Sphinx, named in ``_config.yml``.

The line stands below the list of what a reader will learn; a page without that list has none. Counted is what a reader
sees: text, and a while for each figure and table; not code, and nothing that is folded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils import nodes

HEADING = "You will learn"
_WORDS_A_MINUTE = 180
_MINUTES_A_PICTURE = 0.5
_FOLDED = {"dropdown", "sd-dropdown", "toggle", "tag_hide-cell", "tag_hide-output", "tag_remove-cell", "what-if"}


def setup(app) -> dict[str, Any]:
    """Add the line to each page when it is read."""
    app.connect("doctree-read", lambda app, doctree: add_reading_time(doctree))
    return {"version": "1", "parallel_read_safe": True}


def add_reading_time(doctree: nodes.document) -> None:
    """Say below the list of what a reader will learn how long the page takes."""
    from docutils import nodes

    for paragraph in doctree.findall(nodes.paragraph):
        if paragraph.astext().strip() == HEADING:
            outcomes = paragraph.next_node(nodes.bullet_list, descend=False, siblings=True)
            number = minutes(doctree)
            line = nodes.paragraph("", f"Reading time: about {number} minute{'s' if number > 1 else ''}.")
            outcomes.parent.insert(outcomes.parent.index(outcomes) + 1, line)
            return


def minutes(doctree: nodes.document) -> int:
    """Minutes to read a page, in steps of five from ten minutes on.

    >>> from docutils.core import publish_doctree
    >>> minutes(publish_doctree("word " * 900))
    5
    """
    from docutils import nodes

    words = pictures = 0
    for node in doctree.findall(nodes.Node):
        if _hidden(node):
            continue
        if isinstance(node, nodes.Text) and not isinstance(node.parent, nodes.raw):
            words += len(re.findall(r"\w+", node.astext()))
        elif isinstance(node, nodes.image | nodes.table) or (isinstance(node, nodes.raw) and "<table" in node.astext()):
            pictures += 1
    found = words / _WORDS_A_MINUTE + pictures * _MINUTES_A_PICTURE
    return max(1, round(found)) if found < 10 else 5 * round(found / 5)


def _hidden(node: nodes.Node) -> bool:
    """Whether a node is code, or in a part that is closed when the page opens."""
    from docutils import nodes

    while node is not None:
        if isinstance(node, nodes.literal_block | nodes.comment | nodes.Invisible):
            return True
        if isinstance(node, nodes.Element) and _FOLDED & {*node.get("classes", ()), node.get("design_component", "")}:
            return True
        node = node.parent
    return False
