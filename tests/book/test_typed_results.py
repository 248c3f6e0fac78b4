"""No number on a page that looks like a result is typed: it comes from the run, or carries a citation in its sentence.

Exercises may type what they give; their solutions may repeat it. What a reader computes by hand from what is given is
code, like any other result.
"""

import ast
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
PAGES = sorted((ROOT / "book").glob("*.md"))
MODULES = sorted((ROOT / "apmkit" / "studies").glob("*.py"))

_N = r"\d[\d,]*(?:\.\d+)?"
_WORD = r"(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty)"
_UNIT = r"(?:%|per ?cent\b|percentage points?\b|dollars\b|millions?\b|billions?\b)"
RESULT = re.compile(
    "|".join(
        [
            rf"(?:\$|\b(?:CAD|USD|C\$|US\$))\s?[-−]?{_N}",  # an amount
            rf"[-−]?{_N}\s?(?:{_UNIT}|points?\b)",  # a share, a change, a large number
            rf"\b{_WORD}\s{_UNIT}",
            r"\bp(?:-value)?(?:\s(?:is|of|was))?\s?[=<>]?\s?0?\.\d+",  # a p-value
            r"(?<![\w.])[-−]?\d+\.\d+(?![\w.]*\w)",  # a decimal
            r"(?<![\w.])\d{1,3}(?:,\d{3})+\b",  # a count
            rf"\[\s?[-−]?{_N}\s?(?:,|to|;)\s?[-−]?{_N}\s?\]",  # an interval
            r"\b\d+ (?:of|in|out of) (?:the )?\d+\b",  # a number of cases
            rf"\b{_WORD} (?:of|out of) (?:the )?{_WORD}\b",
        ]
    ),
    re.IGNORECASE,
)

# What is chosen and not found: levels and what they promise, the ends of a scale, and what a rate is counted per.
_CHOSEN = re.compile(
    r"\b(?:80|90|95|99)(?:\s?%| percent) (?:intervals?|bands?|level|power|chance|CI|from|to)\b|"
    r"(?:\bchance of|\bhold) (?:80|95)(?:\s?%| percent)|\"95%\"|"
    r"\b(?:in|be|near|nearest to|below|above|nominal|at|at the) (?:95|5)(?:\s?%| percent)|"
    r"\b0\.05 or (?:below|less)|\bat most 0\.05|\b(?:95|80|50|5) (?:of|in) 100\b|"
    r"\b(?:from 0 to|at 0|at) ?(?:100)?%|\bper 1(?:0{2})?,000\b",
    re.IGNORECASE,
)

# Each with the reason why it is no result. Keyed to the text, so that who changes the sentence looks again.
_THRESHOLD, _UNIT_OF_SLOPE = "a threshold that the code beside it has too", "the unit of a slope"
ALLOWED = {
    "book/course.md": dict.fromkeys(("numbers | 30%", "each number | 30%", "briefing | 40%"), "shares of a mark"),
    "book/exercises.md": {"1,234 could mean two things": "an example of what cannot be read"},
    "book/teach.md": {"CC BY 4.0": "a licence"},
    "notebooks/canada/metro_acsc_equity.ipynb": {"A slope of CODE for each 10 points": _UNIT_OF_SLOPE},
    "notebooks/methods/difference_in_differences.ipynb": {"a score of 0.99 or more": _THRESHOLD},
    "notebooks/canada/fhg_to_fho.ipynb": {"in fewer than 80% of draws": _THRESHOLD},
    "apmkit/studies/canada_fhg_to_fho_words.py": {"in at least 80% of draws": _THRESHOLD},
    "apmkit/studies/methods_estimators_on_trial.py": {"at least 90 percent of its intervals": _THRESHOLD},
    "apmkit/studies/us_county_aco_penetration.py": dict.fromkeys(
        ("10 points more ACO share", "Change for ten percentage points", "Change since 2011 for ten percentage points"),
        _UNIT_OF_SLOPE,
    ),
    "apmkit/studies/us_mssp_downside_risk_words.py": {"A log point of 0.01 is about": "what the unit means"},
    "apmkit/studies/us_mssp_settlement_money.py": {"Highest sharing rate of 50 %": "the name of a changed rule"},
    "apmkit/studies/us_mssp_settlement_words.py": {"cheques within 0.1 %": _THRESHOLD},
}


def sentences(text):
    """The sentences of MyST prose with code, formulas, roles and links taken out; citations are kept as `CITED`."""
    text = re.sub(r"^---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = re.sub(r"^(`{3,})(?!\{(?:glossary|figure|admonition)).*?^\1[ ]*$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)
    text = re.sub(r"(?<![\\\w$])\$(?=\S)[^$]*?(?<=\S)\$(?!\d)", "FORMULA", text)
    text = re.sub(r"\{cite:?\w*\}`[^`]*`", "CITED", text)
    text = re.sub(r"(?:\{[^}\s]*\})?`[^`]*`", "CODE", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"^\*\*\d+\.\*\*|^ *\d+\.(?= )|^:[\w-]+:.*$", "", text, flags=re.MULTILINE)
    blocks = re.split(r"\n\s*\n|\n(?=\s*[*-] )|\n(?=\s*\|)|\n(?=:)", text)
    for block in blocks:
        yield from re.split(r"(?<=[.!?])[*\"”)]*\s+(?=[A-Z*\"“])", " ".join(block.split()))


def typed(text):
    """What looks like a result in the sentences of a text, each with its sentence."""
    for sentence in sentences(text):
        if "CITED" not in sentence:
            yield from ((match[0], sentence) for match in RESULT.finditer(_CHOSEN.sub("CHOSEN", sentence)))


def typed_on_a_page(text):
    """As `typed`; of an exercise what its solution adds to what it gives."""
    body, *exercises = re.split(r"^## Exercises$", text, flags=re.MULTILINE)
    yield from typed(body)
    for part in re.split(r"^(?=\*\*\d+\.\*\*)", "".join(exercises), flags=re.MULTILINE):
        given, *solution = re.split(r"^:::+\{dropdown\}.*$", part, flags=re.MULTILINE)
        numbers = set(re.findall(r"\d[\d,.]*\d|\d", given))
        for found, sentence in typed("\n\n".join(solution)):
            if not set(re.findall(r"\d[\d,.]*\d|\d", found)) <= numbers:
                yield found, sentence


def prose_of(notebook):
    return "\n\n".join(cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "markdown")


def said_by_code(notebook):
    """The texts that cells of code print, show or glue into the prose."""
    for cell in nbformat.read(notebook, 4).cells:
        for node in ast.walk(ast.parse(cell.source if cell.cell_type == "code" else "")):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"print", "Markdown", "glue"}:
                yield from literals(ast.unparse(node))


def literals(module):
    """The texts in a module that can reach a page, without its docstrings; `CODE` for what an f-string computes."""
    tree = ast.parse(module)
    skip = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skip.add(node.value)
        if isinstance(node, ast.JoinedStr):
            skip |= {inner for inner in ast.walk(node) if inner is not node}
    for node in ast.walk(tree):
        if node in skip:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "CODE" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def found_in(name):
    path = ROOT / name
    if path.suffix == ".py":
        texts = literals(path.read_text(encoding="utf-8"))
        return [hit for text in texts if _SENTENCE.search(text) for hit in typed(text)]
    if path.suffix == ".ipynb":
        return [*typed_on_a_page(prose_of(path)), *(hit for text in said_by_code(path) for hit in typed(text))]
    return list(typed_on_a_page(path.read_text(encoding="utf-8")))


# Labels of axes and styles are no sentences.
_SENTENCE = re.compile(r"(?:[\w,%]+ ){8}|\w \w+ \w+.*[a-z%)]\.(?:\s|$)", re.DOTALL)
NAMES = [path.relative_to(ROOT).as_posix() for path in [*PAGES, *NOTEBOOKS, *MODULES]]


@pytest.mark.parametrize("name", NAMES)
def test_no_result_is_typed(name):
    allowed = ALLOWED.get(name, {})
    assert [hit for hit in found_in(name) if not any(text in hit[1] for text in allowed)] == []


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in ALLOWED.items() for text in texts])
def test_what_is_allowed_is_still_there(name, text):
    assert any(text in sentence for _, sentence in found_in(name))


@pytest.mark.parametrize(
    "text",
    [
        "Spending fell by 12 percent.",
        "It cost $1,234 a person.",
        "The gap was CAD 85.",
        "This was clear (p = 0.03).",
        "The slope is -0.25 a year.",
        "In 1,204 practices nothing changed.",
        "The effect is 3 [1, 5].",
        "It passes in 7 of 9 years.",
        "Eight of nine provinces rose.",
        "Rates fell by five percentage points.",
        "It was found {cite:p}`smith2020`. Costs rose by 4%.",
        "| Ontario | 4.2 |",
        "* a first point\n* a fall of 3 points",
        "## Exercises\n\n**1.** What if half leave?\n\n:::{dropdown} Solution\nThe share falls to 30 percent.\n:::",
    ],
)
def test_a_typed_result_is_found(text):
    assert list(typed_on_a_page(text))


@pytest.mark.parametrize(
    "text",
    [
        "It fell by {glue:text}`fall:.1f` percent.",
        "It fell by 12 percent {cite:p}`smith2020`.",
        "From 2012 to 2023-24, on 1 April, after 12 months.",
        "Lines are 95% intervals; tests at the 5 percent level, with 80 percent power.",
        "Let $p = 0.05$ and `alpha=0.1`.",
        "```python\nrate = 0.25\n```",
        "## Exercises\n\n**1.** Pay $20 and 4 percent.\n\n:::{dropdown} Solution\nFour percent of 20: 4 percent.\n:::",
    ],
)
def test_what_is_no_typed_result_is_left_alone(text):
    assert list(typed_on_a_page(text)) == []


def test_texts_in_code_are_read_without_docstrings_and_without_what_is_computed():
    module = (
        '"""It fell by 3 percent."""\na = f"It fell by {x:.1f} percent and by 4 percent."\nb = "a rise of 5 percent"\n'
    )
    assert [hit[0] for text in literals(module) for hit in typed(text)] == ["4 percent", "5 percent"]
