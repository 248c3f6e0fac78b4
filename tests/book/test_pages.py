"""Generated pages say all that the registry and the studies say."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from apmkit import datasets, studies
from apmkit.cli import main
from apmkit.studies import markdown, pages, payment_pages

AGREEMENT = Path(__file__).parents[2] / "book" / "agreement.csv"
RERUN = (Path(__file__).parents[2] / "book" / "rerun.md").read_text(encoding="utf-8")


def visible_text(markdown):
    tokens = MarkdownIt("commonmark").parse(markdown)
    return "".join(child.content for token in tokens if token.children for child in token.children)


@pytest.mark.parametrize(
    "text", ["a | b", "* and _x_ and `y`", "$5 to $6", "[x](y) <b> {term}`z`", r"back\slash", "~a~"]
)
def test_text_from_the_registry_is_shown_as_it_is(text):
    assert visible_text(markdown.plain(text)) == text


def test_the_data_page_has_every_data_set_with_source_licence_checksums_and_codebook():
    page = pages.data_page()
    for name in datasets.names():
        record = datasets.describe(name)
        start = page.index(f"(data-{name.replace('_', '-')})=\n## ")
        section = page[start : page.find("\n## ", page.index("\n## ", start) + 4)]
        expected = [record.source_url, record.licence_url, markdown.plain(record.attribution)]
        expected += [file.sha256 for file in record.files]
        expected += [f"| `{column.column}` | {markdown.plain(column.unit)} |" for column in record.codebook]
        expected += [f"* {markdown.plain(problem)}" for problem in record.known_problems]
        assert [text for text in expected if text not in section] == []


def test_the_data_page_puts_what_studies_use_first_and_says_which_study():
    page = pages.data_page()
    sections = re.findall(r"^\(data-([a-z-]+)\)=$", page, flags=re.MULTILINE)
    overview = re.findall(r"^\| \[(\w+)\]\(#data-[a-z-]+\) \|.*\| (.*) \|$", page, flags=re.MULTILINE)
    assert [name.replace("_", "-") for name, _ in overview] == sections
    assert sorted(name for name, _ in overview) == datasets.names()
    users = {name: {study for study in studies.names() if name in studies.get(study).data} for name in datasets.names()}
    for name, used_by in overview:
        assert set(re.findall(r"\(\.\./notebooks/(.*?)\.ipynb\)", used_by)) == users[name], name
        assert users[name] or used_by == "no study yet", name
    in_use = [bool(users[name]) for name, _ in overview]
    assert in_use == sorted(in_use, reverse=True)


def test_the_data_page_says_how_yearly_files_were_joined():
    page = pages.data_page()
    record = datasets.describe("mssp")
    years = [file.year for file in record.files if file.year]
    assert f"The {len(years)} files of {min(years)} to {max(years)} have different layouts." in page
    assert f"of the {len(record.codebook)} columns of the codebook" in page


def test_the_parameter_page_has_every_parameter_of_every_study_with_its_default():
    page = pages.parameters_page()
    for name in studies.names():
        for row in studies.get(name).parameter_table().itertuples():
            line = rf"^\| `{row.name}` \| .+ \| `{re.escape(row.default)}` \| .+ \|$"
            assert re.search(line, page, flags=re.MULTILINE), row.name


def test_all_rows_of_a_table_have_as_many_cells_as_its_header():
    for page in (
        pages.data_page(),
        pages.parameters_page(),
        payment_pages.models_page(),
        payment_pages.contracts_page(),
    ):
        for table in re.findall(r"(?:^\|.*\|\n?)+", page, flags=re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table.splitlines()[0]


@pytest.mark.parametrize("line", re.findall(r"^apmkit .+$", RERUN, flags=re.MULTILINE))
def test_every_command_on_the_page_about_rerunning_starts_its_work(line, monkeypatch, tmp_path):
    def start(*_, **__):
        raise click.exceptions.Exit(0)

    for work in ("studies.runs.run", "studies.sweep.sweep", "studies.book.build_book", "datasets.add"):
        monkeypatch.setattr(f"apmkit.{work}", start)
    monkeypatch.setattr("apmkit.datasets.years", lambda name: [2013, 2024])  # as if the file of 2024 were added
    monkeypatch.setenv("APMKIT_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_acos.csv").write_text(
        "year,track,beneficiaries,benchmark,expenditures,met_quality_standard\n2022,BASIC B,10000,1e8,9.5e7,True\n"
    )
    monkeypatch.setattr("apmkit.studies.scaffold.new_study", start)
    words = shlex.split(line)[1:]
    if "us/clinics" in words and words[0] == "run":
        words[1] = studies.names()[0]  # as if the command before had made it
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("position", "check"), [(1, "len(panel.periods) == 11"), (0, "payment.rules['status'].eq('user').any()")]
)
def test_the_python_on_the_page_about_rerunning_runs(position, check):
    code = re.findall(r"```python\n(.*?)```", RERUN, flags=re.DOTALL)[position]
    check = f"\nassert {check}\n"
    done = subprocess.run([sys.executable, "-"], input=code + check, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unchanged_page_is_not_written_again(tmp_path):
    notebooks, generated = tmp_path / "notebooks", tmp_path / "generated"
    (notebooks / "us").mkdir(parents=True)
    shown = {"metadata": {"tags": ["front-page"]}, "outputs": [{"data": {"image/svg+xml": ["<svg>", "</svg>"]}}]}
    other = {"metadata": {}, "outputs": [{"data": {"image/svg+xml": "<svg/>"}}]}
    (notebooks / "us" / "study.ipynb").write_text(json.dumps({"cells": [shown, other]}))
    pages.write(generated, AGREEMENT, notebooks)
    before = {path.name: path.stat().st_mtime_ns for path in generated.iterdir()}
    made = ["agreement.md", "api.md", "contracts.md", "data.md", "parameters.md", "payment_models.md", "us-study.svg"]
    assert sorted(before) == made
    assert (generated / "us-study.svg").read_text() == "<svg></svg>"
    pages.write(generated, AGREEMENT, notebooks)
    assert {path.name: path.stat().st_mtime_ns for path in generated.iterdir()} == before
