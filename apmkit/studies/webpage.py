"""An executed notebook as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import ast
import html
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from apmkit.studies.markdown import plain
from apmkit.studies.study import StudyError, repository

if TYPE_CHECKING:
    from nbformat import NotebookNode

_GLUE = "application/papermill.record/"
_ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
_OPEN = re.compile(r"^\s*(`{3,}|~{3,}|:{3,})\s*(?:\{([\w:-]+)\}\s*(.*))?")
_OPTION = re.compile(r"^\s*:([\w-]+):\s*(.*)$")
_LABEL = re.compile(r"^\([\w:-]+\)=\s*$", re.MULTILINE)
_BOOK_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:)[^)]*\.(?:md|ipynb)(?:#[^)]*)?\)")
_ACCENT = re.compile(r"""\\([`'^"~])\{?(\w)\}?""")

# Cells keep the meaning that their tags have in the book.
_TEMPLATE = """\
{%- extends 'basic/index.html.j2' -%}
{%- macro folded(name, body) -%}
<details class="folded"><summary>{{ name }}</summary>{{ body }}</details>
{%- endmacro -%}
{%- block codecell -%}
{%- if 'hide-cell' in cell.metadata.get('tags', []) -%}{{ folded('Show code and output', super()) }}
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}
{%- block input_group -%}
{%- if 'hide-input' in cell.metadata.get('tags', []) -%}{{ folded('Show code', super()) }}
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}
{%- block output_group -%}
{%- if 'hide-output' in cell.metadata.get('tags', []) -%}{{ folded('Show output', super()) }}
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}
{%- block data_svg -%}
{%- set alt = output.metadata.get('image/svg+xml', {}).get('alt') -%}
<div class="output_svg output_subarea {{ extra_class }}"><img {% if alt %}alt="{{ alt | escape_html }}" {% endif %}
src="data:image/svg+xml;base64,{{ output.data['image/svg+xml'] | text_base64 | escape_html }}"></div>
{%- endblock -%}
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #8881; }}
body {{ max-width: 56rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif; }}
pre {{ overflow-x: auto; padding: .6rem .8rem; margin: .5rem 0; background: var(--soft); font-size: .85rem; }}
img, svg {{ max-width: 100%; height: auto; }}
[class^=output_] img {{ background: #fff; }}
.output_html, .text_cell_render {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .9rem; }}
th, td {{ padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }}
.admonition, details {{ border: 1px solid var(--line); padding: .3rem .9rem; margin: 1rem 0; }}
.admonition, details {{ border-left: .25rem solid #48c; }}
.admonition-title, summary {{ font-weight: 600; }}
summary {{ cursor: pointer; }}
details.folded {{ border-left-color: var(--line); }}
.anchor-link {{ display: none; }}
{light}
@media (prefers-color-scheme: dark) {{
{dark}
}}
</style>
{scripts}
</head>
<body>
{body}
<script>
for (const box of document.querySelectorAll("pre, .output_html, .text_cell_render"))
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; // can be scrolled from the keyboard
</script>
</body>
</html>
"""


def to_html(notebook: NotebookNode, *, title: str) -> str:
    """The page.

    Parameters
    ----------
    notebook : NotebookNode
        Executed. MyST in its text is turned into HTML: `glue` and `cite` roles, admonitions, dropdowns.
    title : str

    Raises
    ------
    StudyError
        The text asks for a glued value that no cell has set.
    """
    from copy import deepcopy

    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter
    from traitlets.config import Config

    notebook = deepcopy(notebook)
    values = glued(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source, values)
        elif cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not any(key.startswith(_GLUE) for key in o.get("data", {}))]
    tags = {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])}
    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_cell_tags = {"remove-cell"} | (
        {"parameters"} if "injected-parameters" in tags else set()  # the values used, not the defaults as well
    )
    config.TagRemovePreprocessor.remove_input_tags = {"remove-input"}
    config.TagRemovePreprocessor.remove_all_outputs_tags = {"remove-output"}
    exporter = HTMLExporter(
        config=config,
        template_name="basic",
        raw_template=_TEMPLATE,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    body, _ = exporter.from_notebook_node(notebook)
    return _PAGE.format(
        title=html.escape(title),
        body=body,
        light=HtmlFormatter(style="default").get_style_defs(".highlight pre"),
        dark=HtmlFormatter(style="github-dark").get_style_defs(".highlight pre"),
        scripts=_mathjax() if any(_has_math(cell) for cell in notebook.cells) else "",
    )


def _has_math(cell) -> bool:
    return cell.cell_type == "markdown" and re.search(r"\$[^$\s][^$]*\$|\\begin\{|\\\(|\$\$", cell.source) is not None


def _mathjax() -> str:
    """The book's own copy of MathJax; without it formulas stay as TeX."""
    script = _of_the_book("_extra/mathjax/tex-svg.js")
    if not script:
        return ""
    settings = '{options: {enableMenu: false}, tex: {inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]]}}'
    return f"<script>MathJax = {settings};</script>\n<script>{script}</script>"


def _of_the_book(name: str) -> str:
    """A file of the book, empty when apmkit was installed without it."""
    root = repository()
    path = root and root / "book" / name
    return path.read_text(encoding="utf-8") if path and path.is_file() else ""


def glued(notebook: NotebookNode) -> dict[str, dict[str, Any]]:
    """Values that the notebook glued, by name; each by MIME type."""
    return {
        output.metadata.scrapbook.name: {key.removeprefix(_GLUE): value for key, value in output.data.items()}
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "scrapbook" in output.get("metadata", {})
    }


def plain_markdown(text: str, values: dict[str, dict[str, Any]]) -> str:
    """MyST Markdown as Markdown that any converter reads.

    >>> plain_markdown("Costs fell by {glue:text}`fall:.1f` dollars.", {"fall": {"text/plain": "12.34"}})
    'Costs fell by 12.3 dollars.'
    """
    return "\n".join(_blocks(_BOOK_LINK.sub(r"\1", _LABEL.sub("", text)).split("\n"), values))


def _blocks(lines: list[str], values) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(lines):
        if (fence := _OPEN.match(lines[at])) is None:
            start = at
            while at < len(lines) and _OPEN.match(lines[at]) is None:
                at += 1
            out.append(_with_roles("\n".join(lines[start:at]), values))
            continue
        marks, name, argument = fence.groups()
        end = next((n for n in range(at + 1, len(lines)) if _closes(lines[n].strip(), marks)), len(lines))
        body = lines[at + 1 : end]
        if name == "math":
            out += ["$$", *body, "$$"]
        elif name in (None, "code", "code-block"):
            out += [f"```{argument or lines[at].strip().lstrip(marks[0])}", *body, "```"]
        else:
            out += ["", *_directive(name, argument, body, values), ""]
        at = end + 1
    return out


def _with_roles(text: str, values) -> str:
    return _ROLE.sub(lambda found: _role(found[1], found[2].replace("\n", " "), values), text)


def _closes(line: str, marks: str) -> bool:
    return len(line) >= len(marks) and set(line) == {marks[0]}


def _directive(name: str, argument: str, body: list[str], values) -> list[str]:
    options = {}
    while body and (option := _OPTION.match(body[0])):
        options[option[1]] = option[2]
        body = body[1:]
    inner = ["", *_blocks(body, values), ""]
    if name.startswith("glue"):
        return [_shown(argument, values), *inner]
    title = html.escape(_with_roles(argument, values) or name.capitalize())
    if name == "dropdown" or "dropdown" in options.get("class", ""):
        return [f"<details><summary>{title}</summary>", *inner, "</details>"]
    return [f'<div class="admonition {name}"><p class="admonition-title">{title}</p>', *inner, "</div>"]


def _role(name: str, text: str, values) -> str:
    if name == "glue:text":
        key, colon, spec = text.rpartition(":")
        key, spec = (key, spec) if colon else (text, "")
        return plain(_formatted(_value(key, values)["text/plain"], spec))  # text as it is, as in the book
    if name.startswith("glue"):
        return _shown(text, values)
    if name.startswith("cite"):
        return _cited(text, in_sentence=name == "cite:t")
    if name == "math":
        return f"${text}$"
    return re.sub(r"\s*<[^>]*>$", "", text)


def _value(key: str, values) -> dict[str, Any]:
    if key not in values:
        raise StudyError(f"The text uses {key!r}, which no cell has glued: glue it, or use one of {', '.join(values)}.")
    return values[key]


def _shown(key: str, values) -> str:
    value = _value(key.strip(), values)
    if "image/png" in value:
        return f'<img alt="{html.escape(key)}" src="data:image/png;base64,{value["image/png"].strip()}">'
    return value.get("text/html") or _formatted(value["text/plain"], "")


def _formatted(shown: str, spec: str) -> str:
    """A value from the way it was displayed, formatted as in the book: the last letter of `spec` says what it is."""
    try:
        value = ast.literal_eval(shown)
    except (SyntaxError, ValueError):
        value = shown
    kinds = {"": str, "s": str, **dict.fromkeys("bcdoxX", int), **dict.fromkeys("eEfFgGn%", float)}
    kind = kinds.get(spec[-1:], lambda as_it_is: as_it_is)
    try:
        return format(kind(value), spec)
    except (TypeError, ValueError):
        raise StudyError(
            f"A glued value shows as {shown}, which {spec!r} cannot format: glue a float or int."
        ) from None


def _cited(keys: str, *, in_sentence: bool) -> str:
    """Author and year of each key from the book's bibliography, the key itself where it is not to be had."""
    entries = re.split(r"^@\w+\{", _of_the_book("references.bib"), flags=re.MULTILINE)
    parts = []
    for key in map(str.strip, keys.split(",")):
        entry = next((e for e in entries if e.startswith(f"{key},")), "")
        people = re.search(r"^\s*(?:author|editor)\s*=\s*\{(.*)\},?\s*$", entry, re.MULTILINE)
        year = re.search(r"\byear\s*=\s*[{\"]?(\d{4})", entry)
        if people is None or year is None:
            parts.append(key)
            continue
        who = _surnames(people[1])
        parts.append(f"{who} ({year[1]})" if in_sentence else f"{who}, {year[1]}")
    return ", ".join(parts) if in_sentence else f"({'; '.join(parts)})"


def _surnames(people: str) -> str:
    names = [
        name.strip("{} ")
        if name.startswith("{")
        else re.sub("[{}]", "", name.partition(",")[0] if "," in name else name.split()[-1])
        for name in _ACCENT.sub(_accented, people).replace(r"\oe", "œ").split(" and ")
    ]
    if len(names) > 2 or names[-1] == "others":
        return f"{names[0]} et al."
    return " and ".join(names)


def _accented(found: re.Match) -> str:
    mark = {"`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308"}[found[1]]
    return unicodedata.normalize("NFC", found[2] + mark)
