"""The whole book as one PDF: each built page printed by Chromium, then bound in the order of the table of contents."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from apmkit.errors import ApmkitError, ApmkitFailure
from apmkit.strict_yaml import read

if TYPE_CHECKING:
    from pypdf import PageObject, PdfWriter

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
_SECONDS = 600
"""Longest that printing one page may take: a busy machine is slow, a browser that hangs is not waited for."""


@dataclass(frozen=True)
class Chapter:
    """A page of the book: its part (none for the front page), its name in the table of contents, and its title."""

    part: str | None
    name: str
    title: str


def chapters(root: Path) -> list[Chapter]:
    """The pages of the built book under `root`, in the order of its table of contents.

    Raises
    ------
    ApmkitError
        If a page is not built.
    """
    toc = read(root / "book" / "_toc.yml")
    names = [(None, toc["root"])]
    names += [(part["caption"], chapter["file"]) for part in toc["parts"] for chapter in part["chapters"]]
    return [Chapter(part, name, _title(_built(root, name))) for part, name in names]


def _built(root: Path, name: str) -> Path:
    return root / "_build" / "html" / f"{name}.html"


def _title(page: Path) -> str:
    from bs4 import BeautifulSoup

    try:
        heading = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one("article h1")
    except FileNotFoundError:
        raise ApmkitError(f"{page} is missing: build the book first, with apmkit book.") from None
    for link in heading.select("a.headerlink"):
        link.decompose()
    return " ".join(heading.get_text().split())


def write_pdf(root: str | Path, *, jobs: int | None = None) -> Path:
    """Print the built book under `root` into ``_build/book.pdf``, with bookmarks, page numbers and links between pages.

    Parameters
    ----------
    root : path
    jobs : int, optional
        Pages printed at a time; by default one per processor.

    Raises
    ------
    ApmkitError
        If there is no Chromium, or a page is not built.
    ApmkitFailure
        If Chromium does not print a page.
    """
    from pypdf import PdfReader

    root = Path(root).resolve()
    browser, book, config = chromium(), chapters(root), read(root / "_config.yml")
    title, author, target = config["title"], config["author"], root / "_build" / "book.pdf"
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.pdf" for number in range(len(book))]
        pages = [_built(root, chapter.name) for chapter in book]
        _print(browser, list(zip(pages, files, strict=True)), jobs)
        starts = _starts([len(PdfReader(file).pages) for file in files])
        front = Path(folder) / "contents.html"
        front.write_text(contents(book, starts, title, author, root), encoding="utf-8")
        _print(browser, [(front, front.with_suffix(".pdf"))], 1)
        writer = bind(book, files, front.with_suffix(".pdf"), root / "_build" / "html")
        writer.metadata = {"/Title": title, "/Author": author}
        writer.compress_identical_objects()
        writer.write(target)
    return target


def chromium() -> str:
    """Return the program of an installed Chromium, Chrome or Edge.

    Raises
    ------
    ApmkitError
        If there is none, or ``APMKIT_CHROMIUM`` names none.
    """
    if named := os.environ.get("APMKIT_CHROMIUM"):
        if found := shutil.which(named):
            return found
        raise ApmkitError(f"APMKIT_CHROMIUM is {named}, which is no program: give the path of Chromium or Chrome.")
    found = next(filter(None, map(shutil.which, (*_NAMES, *_PLACES))), None)
    if found is None:
        raise ApmkitError(
            "The PDF is printed by Chromium, Chrome or Edge, and none is found: install one (on Debian and Ubuntu: "
            "apt-get install chromium), or name its program in the environment variable APMKIT_CHROMIUM."
        )
    return found


def _print(browser: str, sheets: list[tuple[Path, Path]], jobs: int | None) -> None:
    from tqdm import tqdm

    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        printed = pool.map(lambda sheet: _print_one(browser, *sheet), sheets)
        list(
            tqdm(
                printed,
                total=len(sheets),
                desc="Printing pages",
                unit="page",
                disable=True if len(sheets) < 2 else None,
            )
        )


def _print_one(browser: str, page: Path, target: Path) -> None:
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # Chromium demands it
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *(browser, "--headless", *as_root, "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--no-pdf-header-footer", "--disable-pdf-tagging"),
            "--virtual-time-budget=60000",  # formulas are typeset before the page is printed
            *(f"--print-to-pdf={target}", page.as_uri()),
        ]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise ApmkitFailure(f"{browser} did not print {page} in {_SECONDS} seconds.") from None
    if result.returncode or not target.exists():
        said = result.stderr.strip().splitlines() or ["nothing"]
        raise ApmkitFailure(f"{browser} did not print {page}; it said: {said[-1]}")


def _starts(lengths: list[int]) -> list[int]:
    """Number of the first sheet of each page."""
    return [1 + sum(lengths[:number]) for number in range(len(lengths))]


def contents(book: list[Chapter], starts: list[int], title: str, author: str, root: Path) -> str:
    """The sheet before the front page, as HTML: title, author, and every page with its number."""
    lists = []
    numbered = zip(book, starts, strict=True)
    for part, pages in groupby(numbered, key=lambda each: each[0].part):
        rows = (
            f'<tr><td><a href="{_built(root, page.name).as_uri()}">{escape(page.title)}</a></td><td>{start}</td></tr>'
            for page, start in pages
        )
        lists.append(f"<h2>{escape(part or 'This book')}</h2><table>{''.join(rows)}</table>")
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>
@page {{ margin: 2cm }}
body {{ font: 11pt/1.4 sans-serif }} a {{ color: inherit; text-decoration: none }}
h1 {{ font-size: 28pt; margin: 4cm 0 .5cm }} h1 + p {{ break-after: page }}
h2 {{ font-size: 12pt; margin: .5cm 0 .1cm; break-after: avoid }}
table {{ width: 100%; border-collapse: collapse }} td:last-child {{ text-align: right; vertical-align: bottom }}
</style></head><body><h1>{escape(title)}</h1><p>{escape(author)}</p>{"".join(lists)}</body></html>"""


def bind(book: list[Chapter], files: list[Path], front: Path, html: Path) -> PdfWriter:
    """Put printed pages behind each other: the contents, then `book`; number the sheets, add bookmarks, join the links.

    Parameters
    ----------
    book : list of Chapter
    files, front : paths
        The printed pages, and the printed contents.
    html : path
        Folder that the pages were printed from: links into it become links inside the PDF.
    """
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter()
    places: dict[tuple[str, str], tuple[int, Any]] = {}  # page and anchor: sheet and height on it
    names = []  # of each sheet
    for name, file in [("", front), *((chapter.name, file) for chapter, file in zip(book, files, strict=True))]:
        reader, start = PdfReader(file), len(writer.pages)
        places[name, ""] = (start, None)
        for anchor, place in reader.named_destinations.items():
            places[name, anchor.removeprefix("/")] = (start + reader.get_destination_page_number(place), place.top)
        for sheet in reader.pages:
            writer.add_page(sheet)
            names.append(name)
    before = names.count("")
    for number, (sheet, name) in enumerate(zip(writer.pages, names, strict=True)):
        _join(writer, sheet, name, places, html)
        if number >= before:
            _stamp(writer, sheet, str(number - before + 1))
    writer.set_page_label(0, before - 1, style="/r")
    writer.set_page_label(before, len(names) - 1, style="/D")
    for part, members in groupby(book, key=lambda chapter: chapter.part):
        pages = [(chapter.title, names.index(chapter.name)) for chapter in members]
        parent = writer.add_outline_item(title=part, page_number=pages[0][1]) if part else None
        for title, sheet in pages:
            writer.add_outline_item(title=title, page_number=sheet, parent=parent)
    return writer


def _join(writer: PdfWriter, sheet: PageObject, name: str, places: dict, html: Path) -> None:
    """Let links to pages of the book lead to their sheets, and drop links to other files of this machine."""
    from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject

    kept = ArrayObject()
    for reference in sheet.get("/Annots", ()):
        link = reference.get_object()
        address = str(link.get("/A", {}).get("/URI", ""))
        if address.startswith("file:"):
            target = _place(address, places, html)
        elif "/Dest" in link:
            target = places.get((name, str(link["/Dest"]).removeprefix("/")))
        else:
            kept.append(reference)
            continue
        if target:
            number, top = target
            height = NullObject() if top is None else FloatObject(top)
            goal = [writer.pages[number].indirect_reference, NameObject("/XYZ"), NullObject(), height, NullObject()]
            link.pop("/A", None)
            link[NameObject("/Dest")] = ArrayObject(goal)
            kept.append(reference)
    sheet[NameObject("/Annots")] = kept


def _place(address: str, places: dict, html: Path) -> tuple[int, Any] | None:
    """Where a link to a file leads: to the anchor, to the page if the anchor is not known, or nowhere in the book."""
    parts = urlparse(address)
    path = Path(url2pathname(parts.path))
    if not path.is_relative_to(html):
        return None
    name = path.relative_to(html).with_suffix("").as_posix()
    return places.get((name, unquote(parts.fragment)), places.get((name, "")))


def _stamp(writer: PdfWriter, sheet: PageObject, number: str) -> None:
    """Write a number at the foot of a sheet."""
    from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject

    def stream(content: str):
        made = DecodedStreamObject()
        made.set_data(content.encode())
        return writer._add_object(made)

    font = DictionaryObject()
    for key, value in (("/Type", "/Font"), ("/Subtype", "/Type1"), ("/BaseFont", "/Helvetica")):
        font[NameObject(key)] = NameObject(value)
    resources = sheet["/Resources"]
    resources.setdefault(NameObject("/Font"), DictionaryObject()).get_object()[NameObject("/Number")] = font
    drawn = sheet.raw_get("/Contents")
    drawn = drawn if isinstance(drawn.get_object(), ArrayObject) else [drawn]
    middle = float(sheet.mediabox.width) / 2 - 2.5 * len(number)
    text = f"Q BT /Number 9 Tf 0.3 g {middle:.1f} 14 Td ({number}) Tj ET"
    sheet[NameObject("/Contents")] = ArrayObject([stream("q"), *drawn, stream(text)])
