"""A new study runs at once on the user's own data; what cannot work is refused before anything is written."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from apmkit.cli import main
from apmkit.studies import registry, scaffold, study

ROOT = Path(__file__).resolve().parents[2]


def clinics():
    """60 clinics in 8 years; 30 are treated, and lose 4 visits."""
    rng, years = np.random.default_rng(1), np.arange(2014, 2022)
    start = np.repeat([2017, 2019, 0], [15, 15, 30])
    frame = pd.DataFrame({"clinic": [f"{i:03d}" for i in range(60) for _ in years], "year": np.tile(years, 60)})
    frame["start"] = np.repeat(start, len(years))
    frame["rostered"] = ((frame["start"] > 0) & (frame["year"] >= frame["start"])).astype(int)
    frame["visits"] = rng.normal(100, 3, 60).repeat(8) + rng.normal(0, 2, len(frame)) - 4 * frame["rostered"]
    frame["cost $ {net}"] = 10 * frame["visits"] + rng.normal(0, 5, len(frame))
    return frame.assign(start=frame["start"].where(frame["start"] > 0).astype("Int64"))


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The places of a clone into which a study is written, with the user's file beside it."""
    root = tmp_path / "clone"
    for folder in ("apmkit/studies", "notebooks", "tests/studies", "book"):
        (root / folder).mkdir(parents=True)
    for name in ("apmkit/__init__.py", "apmkit/studies/__init__.py", "apmkit/studies/registry.py", "book/_toc.yml"):
        shutil.copy(ROOT / name, root / name)
    monkeypatch.setattr(study, "repository", lambda: root)
    monkeypatch.setattr(scaffold, "repository", lambda: root)
    monkeypatch.chdir(root)
    clinics().to_csv(tmp_path / "clinics.csv", index=False)
    return root


def call(*words):
    return CliRunner().invoke(main, ["new-study", *map(str, words)])


COLUMNS = ("--unit", "clinic", "--time", "year", "--outcome", "visits", "--cohort", "start")


def files(root):
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_it_writes_three_files_and_one_line_in_each_of_the_lists(clone):
    before = files(clone)
    result = call("us/clinics", "--data", "../clinics.csv", *COLUMNS)
    assert result.exit_code == 0, result.output
    after = files(clone)
    lists = {"apmkit/studies/registry.py": '    "us/clinics",', "book/_toc.yml": "      - file: notebooks/us/clinics"}
    made = {"apmkit/studies/us_clinics.py", "notebooks/us/clinics.ipynb", "tests/studies/test_us_clinics.py"}
    assert after.keys() - before.keys() == made
    for name, line in lists.items():
        lines = after[name].splitlines()
        lines.remove(line)
        assert lines == before[name].splitlines()
    parts = {p["caption"]: p["chapters"] for p in yaml.safe_load(after["book/_toc.yml"])["parts"]}
    assert parts["United States"][-1] == {"file": "notebooks/us/clinics"}
    for shown in (*made, *lists, "To undo:", "apmkit run us/clinics"):
        assert shown in result.output


def test_what_it_writes_passes_the_style_of_the_repository(clone):
    call("us/clinics", "--data", "../clinics.csv", *COLUMNS)
    made = ["apmkit/studies/us_clinics.py", "notebooks/us/clinics.ipynb", "tests/studies/test_us_clinics.py"]
    shutil.copy(ROOT / "pyproject.toml", clone)
    ours = ["--config", 'lint.isort.known-first-party = ["apmkit"]']
    for command in (["check", *ours], ["format", "--check"]):
        run = subprocess.run([sys.executable, "-m", "ruff", *command, *made], cwd=clone, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout


def test_a_second_study_of_that_name_is_refused_and_nothing_changes(clone):
    call("us/clinics", "--data", "../clinics.csv", *COLUMNS)
    before = files(clone)
    result = call("us/clinics", "--data", "../clinics.csv", *COLUMNS)
    assert result.exit_code == 2
    assert "apmkit/studies/us_clinics.py is there already and stays as it is" in result.stderr
    assert files(clone) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["../clinics"],
            "'../clinics' cannot be the name of a study: write country/subject, country one of us, canada",
        ),
        (["us/../../x"], "cannot be the name of a study"),
        (["us/x\n"], "cannot be the name of a study"),
        (["us/Clinics"], "cannot be the name of a study"),
        (["us/x;import os"], "cannot be the name of a study"),
        (["france/clinics"], "cannot be the name of a study"),
        (["us/" + 80 * "x"], "60 letters at most"),
        (["us/mssp_downside_risk"], "There is a study us/mssp_downside_risk already: choose another name."),
        (
            ["us/x", "--outcome", "cost"],
            "clinics.csv has no column 'cost': the columns are clinic, year, start, rostered",
        ),
        (["us/x", "--unit", "unit"], "clinics.csv has no column 'unit': the columns are clinic, year"),
        (["us/x", "--outcome", "year"], "Column 'year' is named twice"),
        (["us/x", "--outcome", "clinic"], "Column 'clinic' is named twice"),
        (["us/x", "--treatment", "rostered"], "Give --cohort or --treatment, not both"),
        (["us/x", "--title", "two\nlines"], "The title must be one line of text."),
        (["us/x", "--data", "absent.csv"], "absent.csv cannot be read (No such file or directory)"),
        (["us/x", "--table", "t"], "clinics.csv is no database and has no table 't'"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence_before_anything_is_written(clone, words, sentence):
    before = files(clone)
    options = [*COLUMNS, "--data", "../clinics.csv"]
    if "--outcome" in words:
        del options[options.index("--outcome") : options.index("--outcome") + 2]
    result = call(words[0], *options, *words[1:])
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert files(clone) == before


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda f: pd.concat([f, f.iloc[:1]]),
            "Columns 'clinic' and 'year' repeat in 1 row, first clinic '000' in 2014",
        ),
        (lambda f: f.assign(visits=f["visits"].where(f.index != 3)), "Column 'visits' is missing in 1 of 480 rows"),
        (
            lambda f: f.assign(visits=f["visits"].astype(object).mask(f.index == 7, "n/a ")),
            "Column 'visits' of clinics.csv holds 'n/a ' in row 8 of the data: write numbers without signs",
        ),
        (
            lambda f: f.assign(year=f["year"].astype(str) + "-01-01"),
            "Column 'year' of clinics.csv holds '2014-01-01' in row 1 of the data, and text in 479 more rows: write",
        ),
        (lambda f: f.assign(start=f["start"].mask(f.index == 0, 2016)), "Column 'start' changes within 1 unit"),
        (lambda f: f.assign(start=2014), "No unit of 'visits' starts treatment after the first period"),
        (lambda f: f.iloc[:0], "The data have no rows"),
    ],
)
def test_data_that_are_no_panel_are_refused_by_the_panel_itself(clone, spoil, sentence):
    spoil(clinics()).to_csv(clone.parent / "clinics.csv", index=False)
    before = files(clone)
    result = call("us/x", "--data", "../clinics.csv", *COLUMNS)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert files(clone) == before


def test_without_a_clone_it_says_where_one_is(monkeypatch):
    monkeypatch.setattr(study, "repository", lambda: None)
    monkeypatch.setattr(scaffold, "repository", lambda: None)
    result = call("us/x", "--data", "clinics.csv", *COLUMNS)
    assert result.exit_code == 2
    assert "A new study needs a clone of the repository: git clone" in result.stderr


def test_texts_of_the_user_stay_texts(clone):
    evil = 'x"); import os; os.abort() #\\ ${name} {glue:text}`a` <script>'
    clinics().rename(columns={"visits": evil}).to_csv(clone.parent / "it's.csv", index=False)
    words = [evil if word == "visits" else word for word in COLUMNS]
    result = call("us/evil", "--data", "../it's.csv", *words, "--title", evil)
    assert result.exit_code == 0, result.output
    module = (clone / "apmkit/studies/us_evil.py").read_text()
    values = {}
    for statement in ast.parse(module).body:
        if getattr(getattr(statement, "targets", [None])[0], "id", "") == "OUTCOMES":
            values = ast.literal_eval(statement.value)
    assert list(values) == [evil]
    assert not set('"`$<>{}\\;') & set(values[evil][0])
    first = json.loads((clone / "notebooks/us/evil.ipynb").read_text())["cells"][0]["source"]
    heading = "".join(first).splitlines()[1]
    assert r"\{glue:text\}\`a\` \<script\>" in heading


def test_a_registry_or_contents_of_another_layout_are_left_alone():
    with pytest.raises(study.StudyError, match="one name on each line"):
        scaffold.registered('NAMES = ("us/a",)\n', "us/b")
    with pytest.raises(study.StudyError, match="another layout than expected"):
        scaffold.listed('parts: [{caption: "Canada", chapters: [{file: a}]}]\n', "b", "Canada")
    with_new_part = scaffold.listed("parts:\n  - caption: A\n    chapters:\n      - file: a\n", "b", "Canada")
    assert yaml.safe_load(with_new_part)["parts"][1] == {"caption": "Canada", "chapters": [{"file": "b"}]}


@pytest.mark.parametrize("kind", ["csv", "parquet", "duckdb"])
def test_in_a_clone_the_new_study_runs_its_tests_pass_and_the_result_names_the_file(tmp_path, kind):
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "apmkit", clone / "apmkit", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("tests/studies", "tests/book"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "notebooks", clone / "notebooks")
    shutil.copytree(ROOT / "book", clone / "book", ignore=shutil.ignore_patterns("notebooks", "generated", "_*"))
    for name in ("pyproject.toml", "conftest.py", "tests/conftest.py", "book/_toc.yml", "_config.yml"):
        shutil.copy(ROOT / name, clone / name)
    data, table = tmp_path / f"clinics.{kind}", []
    frame = clinics()
    if kind == "duckdb":
        table = ["--table", "all clinics"]
        with duckdb.connect(str(data)) as connection:
            connection.register("frame", frame)
            connection.execute('CREATE TABLE "all clinics" AS SELECT * FROM frame')
    elif kind == "parquet":  # without units never treated some estimators have no answer, and the notebook says so
        frame = frame[frame["start"].notna()]
        duckdb.from_df(frame).write_parquet(str(data))
    else:
        frame.to_csv(data, index=False)

    def run(*command):
        places = {"PYTHONPATH": str(clone), "APMKIT_RUNS": str(tmp_path / "runs")}
        done = subprocess.run(
            [sys.executable, *command], cwd=clone, env={**os.environ, **places}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def apmkit(*words):
        return run("-c", "from apmkit.cli import main; main(prog_name='apmkit')", *words)

    columns = ["--unit", "clinic", "--time", "year", "--treatment", "rostered"]
    apmkit(
        "new-study",
        "us/clinics",
        "--data",
        str(data),
        *table,
        *columns,
        "--outcome",
        "visits",
        "--outcome",
        "cost $ {net}",
    )
    assert ": visits" not in apmkit("studies", "us/clinics")
    said = apmkit("run", "us/clinics")
    assert said.startswith("Visits fell by ")
    (page,) = (tmp_path / "runs").glob("*/clinics.ipynb")
    outputs = [output for cell in json.loads(page.read_text())["cells"] for output in cell.get("outputs", [])]
    assert all(output["data"].get("text/markdown", "text") for output in outputs if "data" in output)
    (record,) = json.loads(apmkit("results", "--format", "json"))
    name = "clinics.duckdb:all clinics" if table else data.name
    assert record["data"] == {name: hashlib.sha256(data.read_bytes()).hexdigest()}
    assert record["estimates"]["att"]["table"][0]["estimate"] == pytest.approx(-4, abs=0.8)
    passed = run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/studies/test_us_clinics.py",
        *(f"tests/studies/test_{name}.py" for name in ("bulletin", "specifications", "study")),
        *(f"tests/book/test_{name}.py" for name in ("glossary", "launch", "pages", "teaching_pages")),
        "-k",
        "clinics",
    )
    assert " passed" in passed
    assert "failed" not in passed


def test_names_of_shipped_studies_follow_the_rule_for_new_ones():
    countries = {name.partition("/")[0] for name in registry.NAMES} - {"methods"}
    assert countries <= set(scaffold.COUNTRIES)
