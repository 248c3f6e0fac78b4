"""The glossary is in order, and pages lead to it."""

import re
from pathlib import Path

import nbformat
import pytest

from apmkit import studies

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
PAGES = sorted((ROOT / "book").glob("*.md"))
GLOSSARY = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
(_LIST,) = re.findall(r"```\{glossary\}\n(.*?)\n```", GLOSSARY, flags=re.DOTALL)
# The names of each entry, of which the first is the usual one: "accountable care organization", "ACO".
ENTRIES = [re.findall(r"^(?! )(.+)$", entry, flags=re.MULTILINE) for entry in _LIST.split("\n\n")]
FIRST = {name.casefold(): names[0] for names in ENTRIES for name in names}
# What somebody new to payment reform, or to its evaluation, has to look up first.
NEEDED = """
    APM, ACO, MSR, DiD, shared savings, capitation, fee-for-service, benchmark, attribution, parallel trends,
    event study, synthetic control, confidence interval, p-value, standard error, cluster, placebo, prediction interval,
    CR2, wild cluster bootstrap, one-sided risk, two-sided risk, global budget,
    risk adjustment, regression to the mean
"""


def text_of(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


def linked(text):
    """The terms that a text links to, as written there."""
    roles = [" ".join(role.split()) for role in re.findall(r"\{term\}`([^`]+)`", text)]
    return {match[1] if (match := re.fullmatch(r".*<(.+)>", role)) else role for role in roles}


def test_the_glossary_is_alphabetical_and_names_nothing_twice():
    firsts = [names[0].casefold() for names in ENTRIES]
    assert firsts == sorted(firsts)
    assert len(FIRST) == sum(map(len, ENTRIES))
    assert all(re.search(r"^    \S.{20}", entry, flags=re.MULTILINE) for entry in _LIST.split("\n\n"))


def test_the_glossary_has_what_a_newcomer_needs():
    assert [name for name in re.split(r",\s+", NEEDED.strip()) if name.casefold() not in FIRST] == []


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.stem)
def test_a_linked_term_is_in_the_glossary(path):
    assert {term for term in linked(text_of(path)) if term.casefold() not in FIRST} == set()


def test_every_term_is_linked_from_a_page():
    pages = [path for path in PAGES if path.stem != "glossary"]
    seen = {FIRST.get(term.casefold()) for path in [*pages, *NOTEBOOKS] for term in linked(text_of(path))}
    assert [names[0] for names in ENTRIES if names[0] not in seen] == []


@pytest.mark.parametrize("name", studies.names())
def test_the_page_of_a_study_links_terms(name):
    assert len(linked(text_of(ROOT / "notebooks" / f"{name}.ipynb"))) >= 3
