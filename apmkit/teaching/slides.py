"""Slides of a page: what it says first, its figures and tables, without its code.

A slide has the heading of its section and the key points of the text: a sentence in bold, else the first of a
paragraph; lists, boxes and formulas as they are. The whole text is in the notes of the slide. The file is a document
that a script turns into a deck: without the script, on a phone and on paper everything is there.
"""

from __future__ import annotations

import difflib
import html
import re
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from apmkit.teaching.assignment import TeachingError

if TYPE_CHECKING:
    from bs4 import Tag
    from nbformat import NotebookNode

_LEFT_OUT = {"Rerun this page", "What if?", "Sources", "What agrees with what"}
_WORDS_FOR_A_SLIDE = 90
_WORDS_WITH_A_FIGURE = 40
_SHORT_SENTENCE = 8
_ROWS = 12
_LINES = 14
_NO_ALT = "No description has been provided for this image"  # what nbconvert writes
_SENTENCE = re.compile(r"(?<!\bal)(?<!\bvs)(?<!\b[A-Z])(?<!\be\.g)(?<!\bi\.e)[.!?](?=\s)")

_DECK = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
{scripts}
</head>
<body>
<main>
{slides}
</main>
<nav aria-label="Slides">
<button type="button" id="before" aria-label="Previous slide">&#8592;</button>
<output id="place" aria-live="polite"></output>
<button type="button" id="next" aria-label="Next slide">&#8594;</button>
<button type="button" id="notes" aria-pressed="false">Notes</button>
</nav>
<script>
{script}
</script>
</body>
</html>
"""


@dataclass
class Slide:
    """One slide: HTML of what it shows and of its notes."""

    title: str
    kind: str = "text"
    shown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    words: int = 0


def write_slides(name: str, out: str | Path | None = None, *, progress: bool = False) -> tuple[Path, int]:
    """Write the slides of a page into one HTML file that needs nothing else.

    The notebook is run first, unless the book has a copy that was run with the present notebook, library and data.

    Parameters
    ----------
    name : str
        A page with a notebook, such as ``us/mssp_downside_risk``, or the path of an executed notebook.
    out : path, optional
        By default ``us-mssp_downside_risk-slides.html`` in the working directory.
    progress : bool
        Show a progress bar if the notebook is run.

    Returns
    -------
    (Path, int)
        The file and the number of slides.

    Raises
    ------
    TeachingError
        There is no such page, the notebook of that path has not been run, or the file cannot be written.
    NotebookError
        A cell failed.
    """
    stem = Path(name).parent.name if name.endswith(".ipynb") else name.replace("/", "-")
    out = Path(out if out is not None else f"{stem or 'notebook'}-slides.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise TeachingError(f"{out} must end in .html: slides are a page for the browser, which can print them as PDF.")
    if not out.resolve().parent.is_dir():
        raise TeachingError(f"{out.parent} is no folder: make it, or give another file.")
    notebook = _read(Path(name)) if name.endswith(".ipynb") else _executed(name, progress)
    text, number = deck(notebook, source="" if name.endswith(".ipynb") else name)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TeachingError(f"{out} cannot be written ({error.strerror}): give another file.") from None
    return out.resolve(), number


def _read(path: Path) -> NotebookNode:
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise TeachingError(f"There is no notebook {path}: give the name of a page, or an executed notebook.") from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        raise TeachingError(f"{path} cannot be read as a notebook: give an executed notebook.") from None
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if code and not any(cell.get("outputs") for cell in code):
        raise TeachingError(f"{path} has not been run: run it, or give the name of its page and apmkit runs it.")
    return notebook


def _executed(name: str, progress: bool) -> NotebookNode:
    """The notebook of a page with its outputs, run here unless the book has them."""
    from apmkit.studies.book import stale_notebooks
    from apmkit.studies.execution import NotebookError, execute_notebook
    from apmkit.studies.study import notebooks_folder, repository

    folder = notebooks_folder()
    found = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.ipynb"))
        if ".ipynb_checkpoints" not in path.parts
    }
    if name not in found:
        close = difflib.get_close_matches(name, found, n=1, cutoff=0.5)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise TeachingError(f"There is no page {name!r}{meant}: the pages with a notebook are {', '.join(found)}.")
    root = repository()
    if root is not None:
        of_the_book = root / "book" / "notebooks"
        if found[name] not in stale_notebooks(folder, of_the_book):
            return _read(of_the_book / f"{name}.ipynb")
    print(f"Running {name}, which the book does not have as it is now ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return execute_notebook(found[name], Path(scratch) / "run.ipynb", cwd=found[name].parent, progress=progress)
        except NotebookError as error:
            raise NotebookError(f"{name} {error}.") from None


def deck(notebook: NotebookNode, *, source: str = "") -> tuple[str, int]:
    """Slides of an executed notebook as one page of HTML, and their number.

    Parameters
    ----------
    notebook : NotebookNode
    source : str
        Name of the page in the book, for the last slide.
    """
    from bs4 import BeautifulSoup

    from apmkit.studies.webpage import to_html

    page = BeautifulSoup(to_html(notebook, title="slides"), "html.parser")
    slides = _slides(page.body)
    slides.append(_last(source))
    title = slides[0].title
    total = len(slides)
    text = _DECK.format(
        title=html.escape(title),
        style=files("apmkit.teaching").joinpath("deck.css").read_text(encoding="utf-8"),
        script=files("apmkit.teaching").joinpath("deck.js").read_text(encoding="utf-8"),
        scripts="\n".join(str(script) for script in page.head.find_all("script")),
        slides="\n".join(_section(slide, place, total) for place, slide in enumerate(slides, start=1)),
    )
    return text, total


def _section(slide: Slide, place: int, total: int) -> str:
    level = "h1" if place == 1 else "h2"
    notes = f'<aside class="notes" aria-label="Notes">{"".join(slide.notes)}</aside>' if slide.notes else ""
    return (
        f'<section class="slide {slide.kind}" id="slide-{place}" tabindex="-1">'
        f'<{level}>{html.escape(slide.title)}</{level}><div class="shown">{"".join(slide.shown)}</div>{notes}'
        f'<p class="place">{place} / {total}</p></section>'
    )


def _last(source: str) -> Slide:
    from apmkit import __version__, datasets, studies

    lines = []
    if source:
        lines.append(
            f"The page with its code, its sources and its exercises: <code>notebooks/{source}</code> in the book."
        )
    if source in studies.names():
        lines.append(f"Try another choice: <code>apmkit studies {source}</code> lists the parameters.")
        lines += [html.escape(datasets.describe(name).attribution) for name in studies.get(source).data]
    lines.append(f"Made with apmkit {__version__}. Text and figures: CC BY 4.0.")
    return Slide("About these slides", shown=[f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"])


def _slides(body: Tag) -> list[Slide]:
    slides: list[Slide] = []
    blocks = list(_blocks(body))
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.name in ("h1", "h2", "h3"):
            for link in block.find_all("a", class_="anchor-link"):
                link.decompose()
            slides.append(Slide(block.get_text(" ", strip=True), "title" if block.name == "h1" else "text"))
        elif slides and slides[-1].title not in _LEFT_OUT:
            _place(slides, block, before_output=following is not None and _is_output(following))
    return [slide for slide in slides if slide.title not in _LEFT_OUT and (slide.shown or slide.kind == "title")]


def _blocks(element: Tag):
    """Headings, paragraphs, lists, boxes and outputs in the order of the page; folded parts and menus left out."""
    for child in element.find_all(recursive=False):
        classes = child.get("class") or []
        if child.name == "details" or "input" in classes:
            continue
        if "output_subarea" in classes or "admonition" in classes or child.name != "div":
            if not child.find("script") and not child.select_one(".what-if") and child.name not in ("script", "style"):
                yield child
        else:
            yield from _blocks(child)


def _is_output(block: Tag) -> bool:
    return block.find(["svg", "img", "table", "pre"]) is not None


def _place(slides: list[Slide], block: Tag, *, before_output: bool) -> None:
    """Put a block on the slide at the end, or on a new one of the same section.

    A figure or a table takes the text before it and, where there is room, the text after it.
    """
    now = slides[-1]
    if block.get_text(strip=True) == "You will learn":
        slides.append(Slide("You will learn"))
        return
    shown = _shown(block, whole=now.title == "Exercises")
    if shown is None:
        return
    picture = block.find(["svg", "img"]) is not None
    words = 0 if picture else len(re.findall(r"\w+", shown.get_text(" ")))
    if _is_output(block):
        if now.shown and (now.kind != "text" or now.words > _WORDS_WITH_A_FIGURE):
            now = _another(slides)
        now.kind = "figure" if picture else "table"
        words = 0
    elif now.shown:
        room = _WORDS_FOR_A_SLIDE if now.kind in ("text", "title") else _WORDS_WITH_A_FIGURE
        if now.words + words > room or (before_output and now.kind != "text"):
            now = _another(slides)
    for image in shown.find_all("img", alt=_NO_ALT):
        image["alt"] = f"Figure of the slide: {now.title}"
    now.shown.append(str(shown))
    now.words += words
    if block.name == "p" and str(shown) != str(block):
        now.notes.append(str(block))


def _another(slides: list[Slide]) -> Slide:
    slides.append(Slide(slides[-1].title))
    return slides[-1]


def _shown(block: Tag, *, whole: bool) -> Tag | None:
    """What a slide shows of a block; none of it, where it is too long or said elsewhere."""
    text = block.get_text(" ", strip=True)
    if not text and block.find(["svg", "img"]) is None:
        return None
    if block.name == "p":
        if text.startswith("Reading time") or (whole and not re.match(r"\d+\s*\.", text)):
            return None
        return block if whole or "$" in text[:2] or "\\begin" in text else _key_sentences(block)
    if (pre := block.find("pre")) is not None and len(pre.get_text().splitlines()) > _LINES:
        return None
    if (table := block.find("table")) is not None:
        _shorten(table)
    return block


def _shorten(table: Tag) -> None:
    rows = table.select("tbody > tr")
    for row in rows[_ROWS:]:
        row.decompose()
    if len(rows) > _ROWS:
        from bs4 import BeautifulSoup

        more = f"<p>The page has {len(rows) - _ROWS} more rows.</p>"
        table.insert_after(BeautifulSoup(more, "html.parser"))


def _key_sentences(paragraph: Tag) -> Tag:
    """The sentences with something in bold, else the first one, or two where that is short."""
    from bs4 import BeautifulSoup, NavigableString

    sentences: list[list] = [[]]
    for node in paragraph.contents:
        if not isinstance(node, NavigableString):
            sentences[-1].append(str(node))
            continue
        rest = str(node)
        while (end := _SENTENCE.search(rest)) is not None:
            sentences[-1].append(html.escape(rest[: end.end()], quote=False))
            sentences.append([])
            rest = rest[end.end() :]
        sentences[-1].append(html.escape(rest, quote=False))
    texts = ["".join(parts).strip() for parts in sentences]
    texts = [text for text in texts if text]
    chosen = [text for text in texts if "<strong>" in text]
    if not chosen:
        chosen = texts[: 1 if len(texts[0].split()) > _SHORT_SENTENCE else 2]
    return BeautifulSoup(f"<p>{' '.join(chosen)}</p>", "html.parser").p
