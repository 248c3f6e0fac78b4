"""Pages of the built book as axe-core judges them, by WCAG 2.1 level AA, and figures for those who cannot see them."""

import json
from pathlib import Path

import pytest
import yaml

from apmkit.studies.webpage import to_html

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
NOTEBOOKS = [page for page in CHAPTERS if page.startswith("notebooks/")]
WIDE, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}


def serious(page):
    """Serious and critical violations on a page: rule, remedy, element."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        (violation["id"], node["failureSummary"], node["html"])
        for violation in Axe().run(page, options=WCAG).response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light")], ids=["light", "dark", "phone"]
)
@pytest.mark.parametrize("name", [*CHAPTERS, "genindex", "search"])
def test_axe_finds_no_serious_violation(visit, name, viewport, scheme):
    page, _ = visit(name, viewport=viewport, scheme=scheme)
    assert serious(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation_on_the_page_of_a_run(browser, tmp_path, scheme):
    import nbformat

    notebook = nbformat.read(ROOT / "book" / "notebooks" / "us" / "mssp_downside_risk.ipynb", as_version=4)
    file = tmp_path / "page.html"
    file.write_text(to_html(notebook, title="Downside risk"), encoding="utf-8")
    page = browser.new_page(viewport=PHONE, color_scheme=scheme)
    page.goto(file.as_uri())
    assert serious(page) == []
    assert "No description" not in page.content()
    page.close()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_figure_says_what_it_shows_and_where_it_is_from(name):
    cells = json.loads((ROOT / "book" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [
        output for cell in cells for output in cell.get("outputs", []) if "image/svg+xml" in output.get("data", {})
    ]
    assert outputs
    for output in outputs:
        alt = output["metadata"].get("image/svg+xml", {}).get("alt", "")
        assert len(alt.split()) >= 8
        assert "nan" not in alt.split()
        assert "Source: " in "".join(output["data"]["image/svg+xml"]), alt


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_picture_has_words_of_its_own(visit, name):
    page, _ = visit(name)
    pictures = page.evaluate("() => [...document.querySelectorAll('article img')].map(e => [e.alt, e.src])")
    assert [source for alt, source in pictures if len(alt.split()) < 8 or "/" in alt.split()[0]] == []
    unnamed = "article svg[role=img]:not([aria-label], [aria-hidden=true]), .what-if svg:not([aria-label])"
    assert page.locator(unnamed).count() == 0
