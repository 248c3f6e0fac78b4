"""The built book as files: links that lead somewhere, pages that load fast. Build it first: make check-book."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
PAGES = [*CHAPTERS, "genindex", "search"]
WEIGHT = 1_500_000  # bytes of a page and its pictures; scripts, styles and fonts are shared by all pages


class Page(HTMLParser):
    """What a page refers to, and the places in it that others can refer to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.pictures, self.anchors = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links |= {found[key] for key in ("href", "src", "data", "poster") if found.get(key)}
        if tag == "img":
            self.pictures.add(found["src"])


@cache
def parsed(file):
    return Page(file.read_text(encoding="utf-8"))


def target(file, link):
    """The file on the disk that a link of this page leads to, or None if it leads out of the book."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    return (file.parent / unquote(parts.path)).resolve() if parts.path else file


def dead_links(file):
    """Links of a page into the book that lead nowhere."""
    dead = []
    for link in sorted(parsed(file).links):
        to = target(file, link)
        if to is None:
            continue
        fragment = unquote(urlsplit(link).fragment)
        if not to.is_file() or (fragment and to.suffix == ".html" and fragment not in parsed(to).anchors):
            dead.append(link)
    return dead


def test_the_check_of_links_finds_dead_ones(tmp_path):
    (tmp_path / "other.html").write_text('<p id="here">', encoding="utf-8")
    page = tmp_path / "page.html"
    links = [
        "other.html",
        "other.html#here",
        "other.html#there",
        "gone.html",
        "#top",
        "https://doi.org/10.1/x",
        "gone.svg",
    ]
    page.write_text(f"<h1 id=top>{''.join(f'<a href={link}></a>' for link in links)}<img src=gone.png>", "utf-8")
    assert dead_links(page) == ["gone.html", "gone.png", "gone.svg", "other.html#there"]


@pytest.mark.parametrize("name", PAGES)
def test_no_link_into_the_book_is_dead(name):
    file = HTML / f"{name}.html"
    assert len(parsed(file).links) > 20
    assert dead_links(file) == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_and_its_pictures_load_fast(name):
    file = HTML / f"{name}.html"
    pictures = {target(file, link) for link in parsed(file).pictures} - {None}
    assert file.stat().st_size + sum(picture.stat().st_size for picture in pictures) < WEIGHT


def test_every_built_page_is_in_the_table_of_contents():
    built = {file.relative_to(HTML).with_suffix("").as_posix() for file in HTML.rglob("*.html")}
    assert {name for name in built if not name.startswith("_static/")} == set(PAGES)
