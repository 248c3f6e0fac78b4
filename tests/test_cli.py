"""The command line: one sentence for every mistake, exit 2 for what the user can mend, 1 for what failed."""

import gzip
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import apmkit
from apmkit import datasets, studies
from apmkit.cli import main


def call(*words, columns=None):
    return CliRunner(env={"COLUMNS": columns and str(columns)}).invoke(main, [str(word) for word in words])


def in_a_shell(*words):
    command = [sys.executable, "-c", "from apmkit.cli import main; main(prog_name='apmkit')", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refused(result, sentence):
    """The result is one line on stderr that holds the sentence, exit 2."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr


# -- the command itself ------------------------------------------------------------------------------------------------


def test_importing_the_command_imports_no_pandas():
    code = "import sys, apmkit.cli; print(sorted({'pandas', 'numpy', 'pydantic', 'joblib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version_and_help():
    assert call("--version").stdout == f"apmkit {apmkit.__version__}\n"
    for words in (
        [],
        ["run"],
        ["sweep"],
        ["results"],
        ["book"],
        ["studies"],
        ["datasets"],
        ["datasets", "add"],
        ["new-study"],
        ["bulletin"],
    ):
        result = call(*words, "--help")
        assert result.exit_code == 0
        assert "Example" in result.stdout


def test_in_a_shell_an_error_is_one_sentence_on_stderr_and_debug_gives_the_traceback():
    result = in_a_shell("run", "us/nothing")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (f"Error: There is no study 'us/nothing': the studies are {', '.join(studies.names())}.\n")
    result = in_a_shell("--debug", "run", "us/nothing")
    assert result.returncode == 2
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith(f"{studies.names()[-1]}.\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rum"], "No such command 'rum'"),
        (
            ["run"],
            f"Missing argument 'NAME'. The studies are {', '.join(studies.names())}. Write for instance: apmkit "
            "run us/mssp_downside_risk",
        ),
        (["datasets", "show"], "The data sets are gv_county"),
        (
            ["datasets", "add", "mssp"],
            "Missing argument 'FILE'. Write for instance: apmkit datasets add mssp ~/Downloads",
        ),
        (["run", "--debug", "us/toy"], "--debug goes before the command: write apmkit --debug run ..."),
        (["run", "us/toy", "--outcome", "cost"], "No such option"),
        (["datasets", "remove"], "No such command 'remove'"),
    ],
)
def test_usage_errors_are_one_sentence_too(words, sentence):
    refused(call(*words), sentence)


def test_an_unforeseen_error_is_a_failure_that_points_to_debug(monkeypatch):
    def broken():
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(datasets, "names", broken)
    result = call("datasets", "list")
    assert result.exit_code == 1
    assert result.stderr == "Error: ZeroDivisionError: division by zero (apmkit --debug ... shows where).\n"


def test_an_interruption_says_where_the_remains_are_and_exits_130(toy, tmp_path, monkeypatch):
    def interrupted(source, target, *_, **__):
        target.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("papermill.execute_notebook", interrupted)
    result = call("run", "us/toy")
    (kept,) = (tmp_path / "runs").iterdir()
    assert result.exit_code == 130
    assert result.stderr == f"Error: Interrupted. What was done is in {kept}.\n"


@pytest.mark.parametrize("kind", [ValueError, np.linalg.LinAlgError, RuntimeError, KeyError])
def test_an_error_of_another_package_is_no_mistake_of_the_user(monkeypatch, kind):
    def broken():
        raise kind("Singular matrix")

    monkeypatch.setattr(datasets, "names", broken)
    result = call("datasets", "list")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {kind.__name__}: ")
    assert "apmkit --debug" in result.stderr


@pytest.mark.parametrize(
    ("missing", "words", "extra"),
    [
        ("papermill", ["run", "us/toy"], "notebooks"),
        ("joblib", ["sweep", "us/toy", "--grid", "outcome=all"], "notebooks"),
        ("tqdm", ["sweep", "us/toy", "--grid", "outcome=all"], "notebooks"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(toy, monkeypatch, missing, words, extra):
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    result = call(*words)
    assert result.exit_code == 1
    assert result.stderr == f"Error: This needs the package {missing}: install it with pip install 'apmkit[{extra}]'.\n"


def test_book_without_jupyter_book_names_the_extra_before_a_notebook_runs(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("apmkit.studies.book.execute_notebooks", lambda *_, **__: pytest.fail("a notebook was run"))
    result = call("book")
    assert result.exit_code == 1
    assert result.stderr == "Error: This needs the package jupyter_book: install it with pip install 'apmkit[book]'.\n"


def test_the_data_commands_need_no_extra(tmp_path, monkeypatch):
    """tqdm, joblib and the other packages of the extras are not imported."""
    extras = ("joblib", "linearmodels", "matplotlib", "papermill", "seaborn", "statsmodels", "tqdm", "nbconvert")
    block = f"import sys; sys.modules.update(dict.fromkeys({extras}))"
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path))
    for words in ("datasets list", "datasets show mssp", "datasets check population", "studies"):
        code = f"{block}; from apmkit.cli import main; main({words.split()!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), words


# -- studies -----------------------------------------------------------------------------------------------------------


def test_studies_lists_the_studies_and_the_parameters_of_one(toy):
    listed = call("studies").stdout.splitlines()
    assert listed[0].split() == ["name", "title", "parameters"]
    assert listed[1].startswith("us/toy  What is the mean?  ")
    shown = call("studies", "us/toy").stdout
    assert "first      First of the numbers to use.  1        whole number from 1 to 3" in shown
    refused(call("studies", "us/tyo"), "There is no study 'us/tyo' (did you mean 'us/toy'?): the studies are us/toy.")


@pytest.mark.parametrize("name", [[], *([name] for name in apmkit.studies.names())])
def test_a_terminal_of_80_columns_holds_the_table_of_parameters_with_its_words_whole(name):
    narrow = call("studies", *name, columns=80).stdout
    assert max(map(len, narrow.splitlines()[3:])) <= 80
    assert set(narrow.split()) == set(call("studies", *name).stdout.split())


def test_every_real_study_is_listed():
    result = call("studies")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["name", *apmkit.studies.names()]


# -- run ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["../../etc/passwd"], "There is no study '../../etc/passwd': the studies are us/toy."),
        (["us/toy", "-p", "outcom=cost"], "no parameter 'outcom' (did you mean 'outcome'?), only outcome, first"),
        (["us/toy", "-p", "outcome=../cost"], "outcome='../cost' is not allowed; give one of cost, visits."),
        (["us/toy", "-p", "first=two"], "first='two' is not allowed; give a whole number from 1 to 3."),
        (["us/toy", "-p", "first=9"], "first='9' is not allowed; give a whole number from 1 to 3."),
        (["us/toy", "-p", "first"], "-p first is not name=value: write for instance -p first=1."),
        (["us/toy", "-p", "first=1", "-p", "first=2"], "-p first is given twice: give it once."),
        (["us/toy", "--out", "../elsewhere"], "'../elsewhere' is outside the runs folder"),
        (["us/toy", "-f", "absent.yml"], "File 'absent.yml' does not exist."),
    ],
)
def test_run_refuses_before_anything_starts(toy, tmp_path, monkeypatch, words, sentence):
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))
    refused(call("run", *words), sentence)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("first: [1", "mine.yml is not YAML (line 1): write one 'name: value' on each line."),
        ("just text", "mine.yml holds no parameters: write one 'name: value' on each line."),
        ("", "mine.yml holds no parameters"),
        ("1: 2", "no parameter '1', only outcome"),
        ("!!python/object/apply:os.getcwd []", "mine.yml holds no parameters"),
        ("first: 2\nfirst: 3", "mine.yml gives first twice: give it once."),
        ("first: 2\noutcome: {a: b}", "mine.yml is nested in line 2: write one 'name: value' on each line, a list as"),
        ("frist: 2", "no parameter 'frist' (did you mean 'first'?)"),
        ("first: 2.5", "first='2.5' is not allowed; give a whole number from 1 to 3."),
    ],
)
def test_a_wrong_parameter_file_is_refused(toy, tmp_path, text, sentence):
    (tmp_path / "mine.yml").write_text(text)
    refused(call("run", "us/toy", "-f", "mine.yml"), sentence)


def test_run_takes_a_file_and_p_wins_and_results_list_it(toy, tmp_path):
    (tmp_path / "mine.yml").write_text("outcome: visits\nfirst: 3\nleave_out: [qc]\n")
    result = call("run", "us/toy", "-f", "mine.yml", "-p", "first=2", "--out", "runs/seminar", "--progress")
    assert result.exit_code == 0, result.output
    assert "Executing" in result.stderr
    assert result.stdout.startswith("visits rose by 4.0 (95% CI 1.2 to 6.8).\nInvented numbers.\nResults are in ")
    (folder,) = (tmp_path / "runs" / "seminar").iterdir()
    assert str(folder) in result.stdout
    (listed,) = json.loads(call("results", "--format", "json").stdout)
    assert listed["run"] == folder.name
    assert listed["parameters"] == toy.parameters(outcome="visits", first=2, leave_out=["qc"]).plain()


@pytest.mark.parametrize("text", ["leave_out: ON", "leave_out: [ON]", "leave_out:\n- ON\nlast_year: 2024\n"])
def test_ontario_in_a_file_is_ontario_and_no_truth_value(tmp_path, monkeypatch, text):
    started = []
    monkeypatch.setattr("apmkit.studies.runs.run", lambda study, parameters, **_: started.append(parameters))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yml").write_text(text)
    call("run", "canada/bc_lfp", "-f", "mine.yml")
    assert [parameters.leave_out for parameters in started] == [("ON",)]


def test_run_reports_a_failing_notebook_without_traceback(toy, tmp_path):
    result = call("run", "us/toy", "-p", "trouble=error", "--no-progress")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: us/toy failed in cell [4] with RuntimeError: the numbers ran out; the exec")
    assert result.stderr.count("\n") == 1
    (kept,) = (tmp_path / "runs").iterdir()
    assert kept.name.endswith("-failed")
    assert call("results", "--format", "json").stdout == "[]\n"


# -- sweep and results -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Missing option '--grid'. Write for instance: apmkit sweep us/mssp_downside_risk --grid outcome=all"),
        (["--grid", "outcom=all"], "no parameter 'outcom' (did you mean 'outcome'?)"),
        (["--grid", "outcome"], "--grid outcome is not name=value: write for instance --grid outcome=cost."),
        (["--grid", "outcome=cost,price"], "outcome='price' is not allowed; give one of cost, visits."),
        (["--grid", "scale=all"], "scale=all is not allowed, scale is a number from 0.5 to 2"),
        (["--grid", "first=1:9"], "first=9 is not allowed; give a whole number from 1 to 3."),
        (["--grid", "first=all", "-p", "first=1"], "first is both fixed and in the grid: give it once."),
        (["--grid", "log=true", "-p", "outcome=visits"], "log=true needs outcome=cost."),
        (["--grid", "log=all", "--jobs", "0"], "0 is not in the range x>=1"),
        (["--grid", "log=all", "--out", "/tmp"], "'/tmp' is outside the runs folder"),
    ],
)
def test_sweep_refuses_before_anything_runs(toy, tmp_path, words, sentence):
    refused(call("sweep", "us/toy", *words), sentence)
    assert not (tmp_path / "runs").exists()


def test_sweep_prints_a_row_for_each_set_and_fails_if_one_does(toy):
    result = call("sweep", "us/toy", "--grid", "outcome=all", "--grid", "trouble=none,error", "-p", "first=2")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "changed",
        "outcome",
        "term",
        "estimate",
        "se",
        "ci_low",
        "ci_high",
        "p_value",
        "data",
        "error",
    ]
    assert len(lines) == 6
    assert "RuntimeError: the numbers ran out." in lines[2]
    assert result.stderr == "Error: 2 of 4 sets failed; the column error says why.\n"


def test_sweep_names_what_it_skips(toy):
    result = call("sweep", "us/toy", "--grid", "outcome=all", "--grid", "log=all", "-p", "first=2")
    assert result.exit_code == 0, result.output
    table, _, after = result.stdout.partition("Skipped 1 of 4 combinations, which the study does not allow:\n")
    assert len(table.splitlines()) == 4
    assert after.startswith("  outcome=visits first=2 log=true: log=true needs outcome=cost.\nResults are in ")
    assert len(call("results").stdout.splitlines()) == 4
    assert len(json.loads(call("results", "--format", "json").stdout)) == 4


def test_results_as_table_csv_and_json_hold_every_set_of_every_sweep(toy):
    assert "No results in" in call("results").stderr
    swept = call("sweep", "us/toy", "--grid", "first=1:3", "--progress")
    assert swept.exit_code == 0, swept.output
    assert "3/3" in swept.stderr
    call("sweep", "us/toy", "--grid", "outcome=visits")
    table = call("results").stdout
    assert len(table.splitlines()) == 5
    assert "outcome=visits" in table
    assert "(defaults)" in table
    frame = pd.read_csv(io.StringIO(call("results", "--format", "csv").stdout))
    assert frame.loc[frame["headline"], "estimate"].tolist() == [5, 6, 7, 3]
    assert frame["run"].nunique() == 2
    assert len(json.loads(call("results", "--format", "json", "--study", "us/toy").stdout)) == 4
    refused(call("results", "--study", "us/other"), "There is no study 'us/other'")
    refused(call("results", "--format", "xml"), "'xml' is not one of 'table', 'csv', 'json'")
    refused(call("results", "--out", "/etc"), "'/etc' is outside the runs folder")


def test_a_terminal_of_80_columns_holds_the_results_with_what_was_changed_below(toy):
    call("sweep", "us/toy", "--grid", "first=1,3", "-p", "outcome=visits", "-p", "leave_out=on,qc", "-p", "scale=1.25")
    lines = call("results", columns=80).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    run = json.loads(call("results", "--format", "json").stdout)[0]["run"].rpartition("-")[2]
    assert lines[0].split() == ["run", "outcome", "estimate", "se", "ci_low", "ci_high", "p_value", "data"]
    assert lines[1].split()[:3] == [run, "visits", "3.75"]
    assert lines[2] == "    us/toy outcome=visits scale=1.25 leave_out=on,qc"
    assert len(lines) == 5


def test_csv_of_no_results_has_its_header(toy):
    assert pd.read_csv(io.StringIO(call("results", "--format", "csv").stdout)).columns[0] == "run"


# -- book --------------------------------------------------------------------------------------------------------------


def test_book_passes_its_options_on_and_opens_the_first_page(monkeypatch, tmp_path):
    built, opened = [], []

    def build_book(root, *, all, jobs):
        built.append((root, all, jobs))
        return tmp_path / "index.html"

    monkeypatch.setattr("apmkit.studies.book.build_book", build_book)
    monkeypatch.setattr("webbrowser.open", opened.append)
    result = call("book", "--open", "--all", "--jobs", "3")
    index = tmp_path / "index.html"
    assert result.stdout == f"The book is at {index}\nOpen {index.as_uri()}\n"
    ((root, *options),) = built
    assert (root / "_config.yml").is_file()
    assert options == [True, 3]
    assert opened == [(tmp_path / "index.html").as_uri()]


# -- data --------------------------------------------------------------------------------------------------------------


def test_datasets_list_and_show():
    listed = call("datasets", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == datasets.names()
    shown = call("datasets", "show", "unmet_need").stdout
    assert "Publisher: Statistics Canada" in shown
    assert "unmet_need  fraction" in shown
    for name in datasets.names():
        record, shown = datasets.describe(name), call("datasets", "show", name).stdout
        told = [record.attribution, record.licence_url, *record.known_problems, *record.layout, record.how_to_get or ""]
        told += [text for file in record.files for text in (file.name, file.sha256, file.copy_used, file.note)]
        told += [text for column in record.codebook for text in (column.column, column.meaning, column.years or "")]
        assert [text for text in told if text not in shown] == []
    refused(call("datasets", "show", "nothing"), "There is no data set 'nothing'; choose one of gv_county")


def test_datasets_check_says_ok_or_names_the_file_and_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path))
    fine = call("datasets", "check", "unmet_need")
    assert fine.exit_code == 0, fine.output
    damaged = tmp_path / "unmet_need" / f"added.{'0' * 64}.csv"
    damaged.parent.mkdir()
    damaged.write_text("year,province,unmet_need\n")
    result = call("datasets", "check", "unmet_need")
    assert result.exit_code == 1
    assert result.stderr == f"Error: 1 of 2 files cannot be relied on: {damaged.name}.\n"
    refused(call("datasets", "check", "nothing"), "There is no data set 'nothing'")


def test_datasets_check_takes_what_the_licence_keeps_out_of_the_wheel_for_no_fault(monkeypatch, tmp_path):
    from apmkit.datasets import store

    shipped = store.SHIPPED / datasets.describe("npdb_payments").files[0].name
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(store, "SHIPPED", tmp_path)
    result = call("datasets", "check", "npdb_payments")
    assert result.exit_code == 0
    assert "npdb_payments is not shipped: CIHI's notice keeps it out of the installed package" in result.stdout
    published = tmp_path / "payments.csv"
    published.write_bytes(gzip.decompress(shipped.read_bytes()))
    assert call("datasets", "add", "npdb_payments", published).exit_code == 0
    result = call("datasets", "check", "npdb_payments")
    assert result.exit_code == 0
    assert "npdb_payments is not shipped" not in result.stdout
    result = call("datasets", "check", "unmet_need")
    assert result.exit_code == 1
    assert "1 of 1 files cannot be relied on" in result.stderr


def test_datasets_check_shows_its_progress_on_request():
    assert "Checking" in call("datasets", "check", "unmet_need", "--progress").stderr
    assert call("datasets", "check", "unmet_need", "--no-progress").stderr == ""


def test_datasets_add_refuses_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path / "data"))
    wrong = tmp_path / "unmet_2025.csv"
    wrong.write_text("a,b\n1,2\n")
    refused(call("datasets", "add", "unmet_need", tmp_path / "absent.csv"), "There is no file")
    refused(call("datasets", "add", "unmet_need", wrong), "unmet_2025.csv was not added: ")
    refused(call("datasets", "add", "mssp", wrong, "--year", "soon"), "'soon' is not a valid integer.")
    assert not (tmp_path / "data").exists()


def test_datasets_add_puts_a_new_year_into_the_data(monkeypatch, tmp_path):
    from apmkit.datasets import store

    monkeypatch.setenv("APMKIT_DATA", str(tmp_path / "data"))
    (file,) = datasets.describe("unmet_need").files
    table = pd.read_csv(store.SHIPPED / file.name)
    last = table["Year"].max()
    new = tmp_path / "unmet.csv"
    table[table["Year"] == last].assign(Year=last + 1).to_csv(new, index=False)
    result = call("datasets", "add", "unmet_need", new)
    assert result.exit_code == 0, result.output
    assert "unmet.csv is now part of unmet_need" in result.stdout
    assert result.stdout.endswith("See what it changed: apmkit bulletin --dataset unmet_need\n")
    assert datasets.load("unmet_need")["year"].max() == last + 1
    refused(call("datasets", "add", "unmet_need", new), "--replace")
    assert call("datasets", "add", "unmet_need", new, "--replace").exit_code == 0
