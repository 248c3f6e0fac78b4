"""The check of links that lead out of the book tells what is gone from what turns programs away."""

import importlib.util
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_spec = importlib.util.spec_from_file_location("external_links", HERE / "external_links.py")
links = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(links)


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/api/handles/"):
            found = self.path == "/api/handles/10.1/known"
            code, body = (200 if found else 404), json.dumps({"responseCode": 1 if found else 100}).encode()
        else:
            code, body = {"/here": 200, "/refused": 403, "/busy": 429}.get(self.path, 404), b""
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    server = HTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def book(tmp_path):
    def make(*addresses):
        anchors = "".join(f'<a class="x" href="{address}">a</a>' for address in addresses)
        (tmp_path / "index.html").write_text(f"<p>{anchors}</p>", encoding="utf-8")
        (tmp_path / "page.html").write_text(f"<p>{anchors}<a href='other.html'></a></p>", encoding="utf-8")
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("path", "said"), [("/here", "alive"), ("/gone", "dead: 404"), ("/refused", "turns programs"), ("/busy", "turns")]
)
def test_a_site_is_alive_dead_or_turns_programs_away(site, path, said):
    assert links.answer(site + path).startswith(said)


def test_a_doi_is_asked_for_at_the_register(site, monkeypatch):
    assert links.asked_at("https://doi.org/10.1016/S0277-9536(96)00073-1").startswith(
        "https://doi.org/api/handles/10.1016/"
    )
    assert links.asked_at("https://arxiv.org/abs/1") == "https://arxiv.org/abs/1"
    monkeypatch.setattr(links, "asked_at", lambda address: f"{site}/api/handles/{address}")
    assert links.answer("10.1/known") == "alive"
    assert links.answer("10.1/unknown").startswith("dead")


def test_links_are_listed_with_their_pages_and_without_the_buttons(book):
    folder = book(
        "https://a.org/x?b=1&amp;c=2", "https://mybinder.org/v2/gh/x", "https://github.com/apmkit/apmkit/edit/main/a"
    )
    assert links.external(folder) == {"https://a.org/x?b=1&c=2": ["index.html", "page.html"]}


def test_what_is_dead_comes_first_and_fails(book, site, capsys):
    assert links.main(book(f"{site}/here", f"{site}/gone", f"{site}/refused")) == 1
    shown = capsys.readouterr().out
    assert shown.startswith(f"dead: 404 Not Found\n    {site}/gone\n    on index.html, page.html\n")
    assert "3 links, 1 alive, 1 dead or silent." in shown
    assert links.main(book(f"{site}/here", f"{site}/refused")) == 0


def test_without_a_network_and_without_a_book_it_says_so(book, tmp_path, capsys):
    assert links.main(book("http://127.0.0.1:1/x")) == 2
    assert "No network: none of the 1 links above could be asked." in capsys.readouterr().err
    assert links.main(tmp_path / "none") == 2
    assert "build it first: make book" in capsys.readouterr().err


# -- the list of references --------------------------------------------------------------------------------------------

BIB = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^@\w+\{([^,\s]+),(.*?)(?=^@|\Z)", BIB, flags=re.MULTILINE | re.DOTALL))
# None was found; most have another address.
WITHOUT_DOI = {"bell2002", "holm1979", "kralj2013", "mcleod2016", "some2020", "trombley2022"}


def field(entry, name):
    match = re.search(rf"\b{name}\s*=\s*\{{(.*?)\}}\s*(?:,|\}}|$)", entry, flags=re.MULTILINE)
    return match and match[1]


def test_no_reference_is_there_twice():
    assert len(ENTRIES) == len(re.findall(r"^@", BIB, flags=re.MULTILINE))
    dois = Counter(doi.casefold() for entry in ENTRIES.values() if (doi := field(entry, "doi")))
    assert [doi for doi, times in dois.items() if times > 1] == []


def test_articles_have_a_doi_of_the_usual_form():
    articles = {key: field(ENTRIES[key], "doi") for key in re.findall(r"^@article\{([^,]+),", BIB, flags=re.MULTILINE)}
    assert {key for key, doi in articles.items() if doi is None} == WITHOUT_DOI
    assert [doi for doi in articles.values() if doi and not re.fullmatch(r"10\.\d{4,5}/\S+", doi)] == []


def test_every_reference_is_cited():
    pages = [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").rglob("*.ipynb"), *(ROOT / "apmkit").rglob("*.py")]
    roles = [role for page in pages for role in re.findall(r"\{cite:?\w*\}`([^`]+)`", page.read_text("utf-8"))]
    cited = {key.strip() for role in roles for key in role.split(",")}
    assert sorted(set(ENTRIES) - cited) == []


def test_dois_in_the_text_and_the_library_are_those_of_the_list():
    listed = {doi.casefold() for entry in ENTRIES.values() if (doi := field(entry, "doi"))}
    files = [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").rglob("*.ipynb"), *(ROOT / "apmkit").rglob("*.py")]
    found = {doi for file in files for doi in re.findall(r"\b10\.\d{4,5}/[\w./()-]*\w", file.read_text("utf-8"))}
    assert found
    assert {doi for doi in found if doi.casefold() not in listed} == set()
