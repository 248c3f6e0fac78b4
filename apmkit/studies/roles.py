"""Roles of the bibliography as readers aloud know them: an extension of Sphinx, named in ``_config.yml``.

Sphinx calls an entry ``doc-biblioentry``, a role that was withdrawn and may not stand in a list.
"""

from __future__ import annotations

from typing import Any


def setup(app) -> dict[str, Any]:
    """Correct each page when it is written."""
    app.connect("html-page-context", _correct)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _correct(app, name, template, context, doctree) -> None:
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
