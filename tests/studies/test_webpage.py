"""The page of a run stands alone and reads like the book."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup

from apmkit.studies.webpage import plain_markdown, to_html

VALUES = {
    "effect": {"text/plain": "-12.3456"},
    "count": {"text/plain": "4795"},
    "who": {"text/plain": "'ACOs'"},
    "title": {"text/plain": "'My _b_ <script>*</script>'"},
    "figure": {"image/png": "aGVsbG8=\n", "text/plain": "<Figure>"},
    "numpy": {"text/plain": "np.float64(1.5)"},
}
v4 = nbformat.v4


def page(*cells):
    return to_html(v4.new_notebook(cells=list(cells)), title="Costs & <visits>")


def code(source, *tags, text="shown"):
    return v4.new_code_cell(source, metadata={"tags": list(tags)}, outputs=[v4.new_output("stream", text=text)])


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("fell by {glue:text}`effect:.1f` for {glue:text}`who`", "fell by -12.3 for ACOs"),
        ("of {glue:text}`title`", r"of My \_b\_ \<script\>\*\</script\>"),
        ("{glue:text}`effect:.0f`% and {glue}`effect`", "-12% and -12.3456"),
        ("{cite:t}`callaway2021` and {cite:p}`bazemore2018,sun2021`",
         "Callaway and Sant'Anna (2021) and (Bazemore et al., 2018; Sun and Abraham, 2021)"),
        ("{cite:t}`holmstrom1991`, {cite:p}`clarke2023`", "Holmström and Milgrom (1991), (Clarke et al., 2023)"),
        ("{glue:text}`count:,` of {glue:text}`count:.1f`", "4,795 of 4795.0"),
        ("{cite}`unheard_of`", "(unheard_of)"),
        ("{term}`ATT`, {doc}`the data <../data>`, {math}`x^2`", "ATT, the data, $x^2$"),
        ("if ({term}`parallel\ntrends`) holds", "if (parallel trends) holds"),
        ("(label)=\n# Title", "\n# Title"),
        ("[data](../../book/data.md) [site](https://example.org/x.md)", "data [site](https://example.org/x.md)"),
        ("```python\n{glue:text}`effect`\n```", "```python\n{glue:text}`effect`\n```"),
        ("```{math}\nx\n```", "$$\nx\n$$"),
    ],
)  # fmt: skip
def test_roles_become_text(myst, markdown):
    assert plain_markdown(myst, VALUES) == markdown


def test_a_value_that_is_absent_or_cannot_be_formatted_is_an_error():
    with pytest.raises(
        ValueError, match="uses 'other', which no cell has glued: glue it, or use one of effect, count, who, title"
    ):
        plain_markdown("{glue:text}`other:.1f`", VALUES)
    with pytest.raises(ValueError, match=r"shows as np\.float64\(1\.5\), which '\.1f' cannot format: glue a float"):
        plain_markdown("{glue:text}`numpy:.1f`", VALUES)


def test_directives_become_blocks_and_nest():
    text = "::::{admonition} This & that\n:class: tip\n\nOne\n\n:::{dropdown} Solution\n**Two**\n:::\n::::\nThree"
    shown = page(v4.new_markdown_cell(text))
    assert '<p class="admonition-title">This &amp; that</p>' in shown
    assert re.search(r"<summary>Solution</summary>\s*<p><strong>Two</strong></p>\s*</details>", shown)
    assert re.search(r"</div>\s*<p>Three</p>", shown)
    assert '<p class="admonition-title">Note</p>' in page(v4.new_markdown_cell("```{note}\nHear.\n```"))
    assert "<details><summary>Answer</summary>" in page(
        v4.new_markdown_cell("```{admonition} Answer\n:class: tip, dropdown\nYes.\n```")
    )


def test_glued_figure_is_shown_in_place():
    shown = plain_markdown("```{glue:figure} figure\n:name: fig\nThe caption.\n```", VALUES)
    assert 'src="data:image/png;base64,aGVsbG8="' in shown
    assert "The caption." in shown


def test_figure_keeps_its_words_and_no_text_of_theirs_is_markup():
    data, words = {"image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg'/>"}, 'Costs "rise" <b>'
    figure = v4.new_output("display_data", data=data, metadata={"image/svg+xml": {"alt": words}})
    shown = page(v4.new_code_cell("1", outputs=[figure]))
    assert BeautifulSoup(shown, "html.parser").img["alt"] == words
    assert "<b>" not in shown


def test_tags_fold_or_remove_cells_as_in_the_book():
    shown = page(
        code("plain_cell"), code("folded_input", "hide-input"), code("folded_cell", "hide-cell"),
        code("folded_output", "hide-output"), code("gone_cell", "remove-cell", text="gone_text"),
        code("gone_input", "remove-input", text="kept_text"), code("kept_code", "remove-output", text="gone_output"),
    )  # fmt: skip
    assert [shown.count(f"<summary>Show {what}</summary>") for what in ("code", "code and output", "output")] == [1] * 3
    assert "kept_text" in shown
    assert "kept_code" in shown
    assert not re.search("gone_cell|gone_text|gone_input|gone_output", shown)


def test_page_shows_the_parameters_used_and_not_the_defaults_beside_them():
    shown = page(code("first_default", "parameters"), code("first_used", "injected-parameters"))
    assert "first_used" in shown
    assert "first_default" not in shown
    assert "first_default" in page(code("first_default", "parameters"))


def test_page_asks_for_nothing_from_elsewhere():
    shown = page(v4.new_markdown_cell("Formula $x^2$."), code("1 + 1"))
    scripts = re.findall(r"<script[^>]*>", shown)
    assert scripts == ["<script>"] * 3  # settings of MathJax, itself, and what scrolls
    outside = re.sub(r"<script>.*?</script>", "", shown, flags=re.DOTALL)
    assert not re.search(r"<link|@import|https?://", outside)
    assert "MathJax" not in page(v4.new_markdown_cell("It cost $5."))
    assert "<title>Costs &amp; &lt;visits&gt;</title>" in shown
