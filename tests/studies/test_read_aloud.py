"""Figures of the book keep the words that their notebook gave them."""

import hashlib
import json
from types import SimpleNamespace

from docutils import nodes
from docutils.utils import new_document

from apmkit.studies import read_aloud


def test_a_figure_gets_its_own_words_and_a_picture_of_the_page_keeps_its_own(tmp_path):
    drawings = {"<svg>1\n</svg>": "Costs rise.", "<svg>2</svg>": "Costs fall.", "<svg>3</svg>": None}
    outputs = [
        {
            "data": {"image/svg+xml": svg.splitlines(keepends=True)},
            "metadata": {"image/svg+xml": {"alt": alt}} if alt else {},
        }
        for svg, alt in drawings.items()
    ]
    page = tmp_path / "page.ipynb"
    page.write_text(json.dumps({"cells": [{"cell_type": "markdown"}, {"outputs": outputs}]}), encoding="utf-8")
    document = new_document("page")
    for svg in reversed(drawings):
        document += nodes.image(uri=f"/images/{hashlib.sha256(svg.encode()).hexdigest()}.svg")
    document += nodes.image(uri="logo.svg", alt="A logo.")
    read_aloud.add_words(document, page)
    assert [image.get("alt") for image in document.findall(nodes.image)] == [
        None,
        "Costs fall.",
        "Costs rise.",
        "A logo.",
    ]


def test_the_bibliography_is_a_list_of_items():
    handlers = {}
    read_aloud.setup(SimpleNamespace(connect=handlers.__setitem__))
    context = {"body": '<div role="list"><div role="doc-biblioentry">A book</div></div>'}
    handlers["html-page-context"](None, "bibliography", "page.html", context, None)
    assert context["body"] == '<div role="list"><div role="listitem">A book</div></div>'
