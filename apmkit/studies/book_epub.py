"""The whole book as an EPUB: what a reader of e-books does not run becomes text and MathML.

`write_epub` runs Sphinx's own builder, which loads this module as an extension (``_config.yml``); pages of other
formats stay as they are.
"""

from __future__ import annotations

import html
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apmkit

if TYPE_CHECKING:
    from docutils import nodes

# A solution stays apart from the text also where a reader does not fold it.
_STYLE = """
details, div.admonition { margin: 1em 0; padding: 0 .8em; border-left: .25em solid #0072b2; }
summary, p.admonition-title { font-weight: bold; }
table { border-collapse: collapse; font-size: .8em; }
th, td { padding: .2em .4em; border-bottom: 1px solid #999; text-align: left; vertical-align: top; }
caption { text-align: left; font-weight: bold; }
img { max-width: 100%; height: auto; }
.highlight { padding: .1em .5em; background: #f6f6f6; }
pre { white-space: pre-wrap; }
"""
# Scripts, what only they show, what only a screen uses, and the code of figures, which paper does not show either.
_LEFT_OUT = (
    "script, style, form, button, [hidden], .headerlink, .what-if .drawing, details.above-input, "
    ".sd-octicon, .sd-summary-state-marker"
)
_STYLES = {"pygments.css", "epub.css"}
"""The others are for browsers."""
_SIZES = re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])")  # of brackets, which MathML finds by itself
_DOTS = re.compile(r"\\dots(?![a-zA-Z])")
_MATH = re.compile(r"\\[\[(](.*)\\[\])]", re.DOTALL)


def write_epub(root: str | Path) -> Path:
    """Write the built book under `root` as ``_build/book.epub``.

    Raises
    ------
    apmkit.studies.book.BookError
        If a page cannot be written; the message lists what Sphinx says.
    """
    from apmkit.studies.book import jupyter_book

    folder = Path(root).resolve() / "_build"
    print("Writing the EPUB ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder / "epub", ignore_errors=True)  # whatever lies there would be packed
    jupyter_book(folder.parent, builder="epub")
    _pack(folder / "epub" / "book.epub", folder / "book.epub")
    return folder / "book.epub"


def _pack(made: Path, target: Path) -> None:
    """Copy an EPUB, with what its standard asks of figures and of the list of files."""
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(target, "w") as new:
        for file in old.infolist():
            place, content = Path(file.filename), old.read(file)
            if place.suffix == ".css" and place.name not in _STYLES:
                continue
            if place.suffix == ".svg":
                content = _figure(content)
            elif place.suffix == ".opf":
                content = _listed(content.decode(), old).encode()
            new.writestr(file, content)  # compressed as it was: the first file of an EPUB is not


def _figure(content: bytes) -> bytes:
    """A figure of Matplotlib without document type, each path with a course, and no name given twice."""
    content = re.sub(rb"<!DOCTYPE[^>]*>", b"", content)
    content = re.sub(rb"<path (?![^>]*\bd=)", b'<path d="" ', content)
    return re.sub(rb'(<image [^>]*?)\bid="[^"]*"', rb"\1", content)


def _listed(content: str, book: zipfile.ZipFile) -> str:
    """The list of files without the styles that are left out, and with a word on pages that have formulas."""

    def entry(match: re.Match) -> str:
        name = html.unescape(match["name"])
        if name.endswith(".css") and Path(name).name not in _STYLES:
            return ""
        formulas = name.endswith(".xhtml") and b"<math" in book.read(name)
        return match[0].replace(" />", ' properties="mathml" />') if formulas else match[0]

    return re.sub(r'<item id="[^"]*" href="(?P<name>[^"]*)" [^>]*/>', entry, content)


def setup(app) -> dict[str, Any]:
    """Describe the book as an EPUB must be, and change the pages of an EPUB."""
    app.connect("config-inited", _describe)
    app.connect("builder-inited", _without_browser)
    app.connect("html-page-context", _page)
    return {"version": "1", "parallel_read_safe": True}


def _describe(app, config) -> None:
    """Set what an EPUB says of itself; for every format, or Sphinx would read all pages again for each."""
    name = "apmkit-" + re.sub(r"\W+", "-", config.html_title).lower()
    described = {
        "version": apmkit.__version__,
        "epub_basename": "book",
        "epub_title": config.html_title,
        "epub_author": config.author,
        "epub_publisher": config.author,
        "epub_contributor": config.author,
        "epub_description": "Case studies of payment reform in the United States and Canada, with data and method",
        "epub_copyright": f"{config.copyright}, {config.author}. CC BY 4.0",
        "epub_identifier": name,
        "epub_uid": name,
        "epub_show_urls": "no",
        "epub_use_index": False,
        "epub_tocdup": False,
    }
    for key, value in described.items():
        setattr(config, key, value)


def _without_browser(app) -> None:
    if app.builder.name == "epub":
        app.config.html_extra_path = []  # MathJax
        app.config.html_theme_options.pop("launch_buttons", None)


def _page(app, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if app.builder.name == "epub" and "body" in context:
        context["body"] = readable(context["body"])
        context["css_files"] = [file for file in context["css_files"] if Path(file.filename).name in _STYLES]
        context["metatags"] = f"{context.get('metatags', '')}<style>{_STYLE}</style>"


def readable(body: str) -> str:
    r"""Return a page's HTML as XHTML without scripts and controls, its formulas as MathML.

    Raises
    ------
    docutils.utils.math.MathError
        A formula uses a command that has no translation.

    >>> readable('<p>Half<br>of <span class="math">\\(\\frac{1}{2}\\)</span></p><script>1 < 2</script>')[:62]
    '<p>Half<br/>of <math xmlns="http://www.w3.org/1998/Math/MathML'
    """
    from bs4 import BeautifulSoup, Comment

    page = BeautifulSoup(body, "html.parser")
    for element in page.select(_LEFT_OUT):
        element.decompose()
    for comment in page.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for formula in page.select(".math"):
        content = _MATH.search(formula.get_text())[1]
        formula.replace_with(BeautifulSoup(_mathml(content, block=formula.name == "div"), "html.parser"))
    for fraction in page.select("mfrac"):
        fraction.attrs = {}  # no reader asks for a size
    for label in page.select("details.below-input > summary"):
        label.string = "Output"
    for block in page.select("p, ul, ol, div, table, pre"):
        for around in block.parents:
            if around.name in {"p", "span", "cite", "em", "strong"}:  # which hold no blocks
                around.name = "div"
    return page.decode()


def _mathml(formula: str, *, block: bool) -> str:
    from docutils.utils.math import latex2mathml

    return latex2mathml.tex2mathml(_DOTS.sub(r"\\ldots", _SIZES.sub("", formula)).strip(), as_block=block)
