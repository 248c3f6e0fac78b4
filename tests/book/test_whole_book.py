"""The PDF and the EPUB hold every page once, in order, with links that lead to pages of the same file."""

import shutil
import subprocess
import zipfile
from itertools import chain, groupby
from pathlib import Path
from unicodedata import normalize
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NullObject, NumberObject

from apmkit.cli import main
from apmkit.errors import ApmkitError, ApmkitFailure
from apmkit.studies import book, book_epub, book_pdf
from apmkit.studies.book_pdf import Chapter

ROOT = Path(__file__).resolve().parents[2]
TOC = """\
format: jb-book
root: index
parts:
  - caption: First
    chapters: [{file: a}, {file: sub/b}]
  - caption: Second
    chapters: [{file: c}]
"""
CONFIG = """\
title: A book
author: Nobody
copyright: "2026"
only_build_toc_files: true
execute: {execute_notebooks: 'off'}
parse: {myst_enable_extensions: [dollarmath, colon_fence]}
repository: {url: "https://github.com/nobody/book"}
launch_buttons: {binderhub_url: "https://example.org"}
sphinx: {extra_extensions: [apmkit.studies.book_epub]}
"""
BOOK = [Chapter(None, "index", "A book"), Chapter("First", "a", "Page A"), Chapter("First", "sub/b", "Page B")]


@pytest.fixture
def built(tmp_path):
    """A book whose pages are built, as far as the PDF needs it."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "_toc.yml").write_text(TOC)
    (tmp_path / "_config.yml").write_text(CONFIG)
    for name in ("index", "a", "sub/b", "c"):
        page = tmp_path / "_build" / "html" / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        heading = f'<h1>Page {name} &amp; more<a class="headerlink" href="#x">#</a></h1>'
        page.write_text(f'<article>{heading}<p id="x">Text.</p></article>')
    return tmp_path


def test_the_pages_of_the_pdf_are_those_of_the_table_of_contents_in_its_order(built):
    pages = book_pdf.chapters(built)
    assert [(page.part, page.name) for page in pages] == [
        (None, "index"),
        ("First", "a"),
        ("First", "sub/b"),
        ("Second", "c"),
    ]
    assert pages[2].title == "Page sub/b & more"


def test_a_page_that_is_not_built_is_named_with_the_remedy(built):
    (built / "_build" / "html" / "c.html").unlink()
    with pytest.raises(ApmkitError, match=r"c\.html is missing: build the book first, with apmkit book"):
        book_pdf.chapters(built)


def test_the_contents_name_every_page_with_its_number_and_escape_titles(built):
    pages = [*BOOK[:2], Chapter("First", "sub/b", "Less < more")]
    sheet = book_pdf.contents(pages, [1, 4, 9], "A & B", "Nobody", built)
    assert "<h1>A &amp; B</h1>" in sheet
    assert "Less &lt; more</a></td><td>9</td>" in sheet
    assert sheet.count("<h2>") == 2


def printed(path, sheets, links=(), anchors=()):
    """A PDF as Chromium prints one: blank sheets, links from the first, names of places on the last."""
    writer = PdfWriter()
    for _ in range(sheets):
        page = writer.add_blank_page(200, 300)
        page[NameObject("/Contents")] = ArrayObject()
    for address in links:
        writer.add_annotation(0, Link(rect=(0, 0, 9, 9), url=address))
    places = DictionaryObject()
    for name in anchors:
        place = [writer.pages[-1].indirect_reference, NameObject("/XYZ"), *map(NumberObject, (0, 120, 0))]
        places[NameObject(f"/{name}")] = ArrayObject(place)
    writer.root_object[NameObject("/Dests")] = places
    writer.write(path)
    return path


def leads_to(pdf, sheet):
    """Where the links of a sheet lead: numbers of sheets, or addresses."""
    numbers = {page.indirect_reference.idnum: number for number, page in enumerate(pdf.pages)}
    links = [link.get_object() for link in pdf.pages[sheet].get("/Annots", ())]
    return [
        (numbers[list.__getitem__(link["/Dest"], 0).idnum], link["/Dest"][3]) if "/Dest" in link else link["/A"]["/URI"]
        for link in links
    ]


def test_links_between_pages_lead_inside_the_pdf_and_no_path_of_the_machine_stays(built):
    html = built / "_build" / "html"
    links = [
        (html / "sub" / "b.html").as_uri() + "#place",
        (html / "sub" / "b.html").as_uri() + "#nowhere",
        (html / "search.html").as_uri(),
        (built / "elsewhere.html").as_uri(),
        "https://example.org/",
    ]
    files = [
        printed(built / "0.pdf", 2, links),
        printed(built / "1.pdf", 1),
        printed(built / "2.pdf", 3, anchors=["place"]),
    ]
    front = printed(built / "front.pdf", 1, [(html / "a.html").as_uri()])
    target = built / "book.pdf"
    book_pdf.bind(BOOK, files, front, html).write(target)

    pdf = PdfReader(target)
    assert len(pdf.pages) == 1 + 2 + 1 + 3
    assert leads_to(pdf, 0) == [(3, NullObject())]
    assert leads_to(pdf, 1) == [(6, 120), (4, NullObject()), "https://example.org/"]
    assert b"file:" not in target.read_bytes()
    assert str(built).encode() not in target.read_bytes()


def test_sheets_are_numbered_from_the_front_page_on_and_bookmarks_name_parts_and_pages(built):
    files = [printed(built / f"{number}.pdf", sheets) for number, sheets in enumerate((2, 1, 3))]
    target = built / "book.pdf"
    book_pdf.bind(BOOK, files, printed(built / "front.pdf", 2), built).write(target)
    pdf = PdfReader(target)
    assert [page.extract_text().strip() for page in pdf.pages] == ["", "", "1", "2", "3", "4", "5", "6"]
    assert pdf.page_labels == ["i", "ii", "1", "2", "3", "4", "5", "6"]
    first, part, pages = pdf.outline
    assert [first.title, part.title, *(page.title for page in pages)] == ["A book", "First", "Page A", "Page B"]
    assert [pdf.get_destination_page_number(mark) for mark in (first, part, *pages)] == [2, 4, 4, 5]


def test_without_a_browser_the_remedy_is_named(monkeypatch):
    monkeypatch.delenv("APMKIT_CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ApmkitError, match=r"none is found: install one .*apt-get install chromium.*APMKIT_CHROMIUM"):
        book_pdf.chromium()
    monkeypatch.setenv("APMKIT_CHROMIUM", "/nowhere/chrome")
    with pytest.raises(ApmkitError, match="APMKIT_CHROMIUM is /nowhere/chrome, which is no program"):
        book_pdf.chromium()


def test_the_command_says_so_before_it_runs_a_notebook(monkeypatch):
    monkeypatch.setenv("APMKIT_CHROMIUM", "/nowhere/chrome")
    monkeypatch.setattr(book, "build_book", lambda *_, **__: pytest.fail("notebooks ran"))
    result = CliRunner().invoke(main, ["book", "--pdf"])
    assert result.exit_code == 2
    assert "APMKIT_CHROMIUM is /nowhere/chrome" in result.output


def test_a_page_that_is_not_printed_is_an_error_with_what_the_browser_said(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "starting\nno display\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ApmkitFailure, match=r"chrome did not print .*page\.html; it said: no display"):
        book_pdf._print_one("chrome", tmp_path / "page.html", tmp_path / "page.pdf")


def test_a_page_of_the_epub_is_xhtml_without_scripts_and_controls():
    page = book_epub.readable(
        '<p>One<br>two<a class="headerlink" href="#x">#</a></p><div class="what-if"><form><select></select></form>'
        '<p class="says">It falls.</p><div class="drawing"></div><p hidden>no</p></div><script>1 < 2</script>'
        "<details><summary>Solution</summary><p>Seven.</p></details><p>A <span><p>b</p></span></p>"
    )
    tree = ElementTree.fromstring(f"<body>{page}</body>")
    assert {each.tag for each in tree.iter()} == {"body", "p", "br", "div", "details", "summary"}
    assert ["".join(each.itertext()) for each in tree.iter("p")] == ["Onetwo", "It falls.", "Seven.", "b"]


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        (r'<span class="math">\(\hat\tau \le 1, \dots, N\)</span>', "τˆ≤1,…,N"),
        (r'<div class="math">\[\Big(\sum_i \frac{a}{b}\Big)^2\]</div>', "(∑iab)2"),
    ],
)
def test_formulas_of_the_epub_are_mathml(formula, shown):
    tree = ElementTree.fromstring(f"<body>{book_epub.readable(formula)}</body>")
    assert tree[0].tag == "{http://www.w3.org/1998/Math/MathML}math"
    assert "".join("".join(tree.itertext()).split()) == shown


def test_an_epub_of_a_small_book(tmp_path):
    folder = tmp_path / "book"
    folder.mkdir()
    (tmp_path / "_config.yml").write_text(CONFIG)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters: [{file: second}]\n")
    (folder / "figure.svg").write_text(
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">'
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><defs><path id="space"/></defs></svg>'
    )
    (folder / "index.md").write_text("# A book\n\n```{image} figure.svg\n:alt: Nothing.\n```\n\nSee [](second.md).\n")
    (folder / "second.md").write_text("# Second\n\nHalf: $\\frac{1}{2}$.\n")
    book.render(tmp_path)
    written = book_epub.write_epub(tmp_path)
    assert "0 added, 0 changed" in (tmp_path / "_build" / "book.log").read_text()  # what the pages read is used again
    with zipfile.ZipFile(written) as epub:
        check(epub)
        names = epub.namelist()
        (figure,) = [name for name in names if name.endswith(".svg") and "figure" in name]
        assert b"DOCTYPE" not in epub.read(figure)
        assert b'<path d="" id="space"/>' in epub.read(figure)
        assert b"<math" in epub.read("second.xhtml")
        assert spine(epub)[:2] == ["index.xhtml", "second.xhtml"]


OPF = "{http://www.idpf.org/2007/opf}"


def spine(epub):
    """Files of an EPUB in the order of reading."""
    package = ElementTree.fromstring(epub.read("content.opf"))
    files = {item.get("id"): item.get("href") for item in package.iter(f"{OPF}item")}
    return [files[item.get("idref")] for item in package.iter(f"{OPF}itemref")]


def check(epub):
    """What every EPUB must keep to."""
    first = epub.infolist()[0]
    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    assert epub.read(first) == b"application/epub+zip"
    container = ElementTree.fromstring(epub.read("META-INF/container.xml"))
    assert [each.get("full-path") for each in container.iter() if each.get("full-path")] == ["content.opf"]
    package = ElementTree.fromstring(epub.read("content.opf"))
    listed = {item.get("href"): item.get("properties") or "" for item in package.iter(f"{OPF}item")}
    assert len(listed) == len(set(listed))
    assert {*listed, "mimetype", "content.opf", "META-INF/container.xml"} == set(epub.namelist())
    for name in epub.namelist():
        content = epub.read(name)
        if name.endswith((".xhtml", ".opf", ".ncx", ".svg")):
            tree = ElementTree.fromstring(content)
        if name.endswith(".xhtml"):
            assert {each.tag.rpartition("}")[2] for each in tree.iter()}.isdisjoint(
                {"script", "form", "button", "select"}
            )
            assert ("mathml" in listed[name]) == (b"<math" in content), name
            links = [each.get(key) or "" for each in tree.iter() for key in ("href", "src")]
            assert not [link for link in links if link.startswith(("file:", "/"))], name


@pytest.mark.browser
def test_the_pdf_of_the_book_has_every_page_with_its_bookmark_and_no_path_of_a_machine():
    pdf = PdfReader(ROOT / "_build" / "book.pdf")
    pages = book_pdf.chapters(ROOT)
    parts = [(part, list(members)) for part, members in groupby(pages, key=lambda page: page.part)]
    titles = [[page.title for page in members] for _, members in parts]
    found = [[mark.title for mark in each] if isinstance(each, list) else each.title for each in pdf.outline]
    assert found == [*titles[0], *chain.from_iterable(zip([part for part, _ in parts[1:]], titles[1:], strict=True))]
    marks = [pdf.outline[0], *(mark for each in pdf.outline if isinstance(each, list) for mark in each)]
    starts = [pdf.get_destination_page_number(mark) for mark in marks]
    assert starts == sorted(set(starts))
    for page, start in zip(pages, starts, strict=True):
        text = "".join(normalize("NFKC", pdf.pages[start].extract_text()).split())  # fonts join letters: ff
        assert "".join(page.title.split()) in text, page.name
    outside = [link["/A"]["/URI"] for page in pdf.pages for link in _links(page) if "/A" in link]
    assert outside
    assert not [address for address in outside if not str(address).startswith(("http://", "https://", "mailto:"))]
    assert str(ROOT).encode() not in (ROOT / "_build" / "book.pdf").read_bytes()
    assert str(ROOT) not in str(pdf.metadata)


def _links(page):
    return [link.get_object() for link in page.get("/Annots", ())]


@pytest.mark.browser
def test_the_epub_of_the_book_has_every_page_in_order_and_is_well_formed():
    with zipfile.ZipFile(ROOT / "_build" / "book.epub") as epub:
        check(epub)
        pages = [f"{page.name}.xhtml" for page in book_pdf.chapters(ROOT)]
        assert [name for name in spine(epub) if name in pages] == pages
        everything = b"".join(epub.read(name) for name in pages)
        assert everything.count(b"<summary") > len(pages) / 2  # solutions
        assert b"MathML" in everything
        assert str(ROOT).encode() not in everything
