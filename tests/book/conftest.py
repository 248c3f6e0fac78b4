"""Pages of the built book in headless Chromium, from the disk and without a network."""

from pathlib import Path

import pytest

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE = {"width": 1400, "height": 1000}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert (HTML / "index.html").exists(), "the book is not built: run make check-book"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page and return it with the list of everything that went wrong on it."""
    contexts = []

    def open_page(name, viewport=WIDE, query="", scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        problems = []
        page.on("console", lambda m: problems.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(f"script: {error}"))
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else problems.append(r.url))
        page.goto((HTML / f"{name}.html").as_uri() + query, wait_until="load")
        page.evaluate("() => window.MathJax?.startup?.promise")
        return page, problems

    yield open_page
    for context in contexts:
        context.close()
