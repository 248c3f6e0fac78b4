"""Pages as a screen reader tells them: an extension of Sphinx, named in ``_config.yml``.

Figures get the words that `apmkit.plots.show` gave them, which MyST-NB leaves in the notebook. Entries of the
bibliography get the role of an item in a list: Sphinx calls them ``doc-biblioentry``, which was withdrawn and may not
stand in a list.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils import nodes

_SVG = "image/svg+xml"


def setup(app) -> dict[str, Any]:
    """Complete each page when it is read, and correct it when it is written."""
    app.connect("doctree-read", lambda app, doctree: add_words(doctree, Path(app.env.doc2path(app.env.docname))))
    app.connect("html-page-context", _correct)
    return {"version": "2", "parallel_read_safe": True, "parallel_write_safe": True}


def add_words(doctree: nodes.document, page: Path) -> None:
    """Give the figures of a page that is an executed notebook their words."""
    from docutils import nodes

    if page.suffix != ".ipynb":
        return
    words = {}
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if alt := output.get("metadata", {}).get(_SVG, {}).get("alt"):
                lines = "".join(output["data"][_SVG]).splitlines()
                words[hashlib.sha256(os.linesep.join(lines).encode()).hexdigest()] = alt  # what MyST-NB calls the file
    for image in doctree.findall(nodes.image):
        if alt := words.get(Path(image["uri"]).stem):
            image["alt"] = alt


def _correct(app, name, template, context, doctree) -> None:
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
