"""apmkit contracts: list, show, compare, and a template that is never written over a file."""

import csv
import io

import pytest
from click.testing import CliRunner

from apmkit.cli import main
from apmkit.contract import THEMES, gallery


def call(*words, columns=None):
    return CliRunner(env={"COLUMNS": columns and str(columns)}).invoke(main, ["contracts", *map(str, words)])


def refused(result, sentence):
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr


@pytest.mark.parametrize("words", [[], ["list"], ["show"], ["compare"], ["new"]])
def test_help_has_an_example(words):
    result = call(*words, "--help")
    assert result.exit_code == 0
    assert "apmkit contracts" in result.stdout.partition("Example")[2]


def test_list_names_every_contract():
    result = call("list")
    assert result.exit_code == 0
    for name in gallery():
        assert f"\n{name} " in result.stdout


@pytest.mark.parametrize("name", ["bc_lfp", "aco_reach_global", "vermont_all_payer"])
def test_show_gives_category_fields_design_tasks_and_sources_within_the_terminal(name):
    result = call("show", name, columns=100)
    assert result.exit_code == 0, result.output
    for part in (gallery(name).title, "HCP-LAN", *THEMES.values(), "Preferred design", "Tasks", "Sources"):
        assert part in result.stdout


def test_compare_shows_differences_and_with_all_every_row():
    short, long = (
        list(
            csv.DictReader(
                io.StringIO(call("compare", "mssp_track_1", "mssp_basic_e", "--format", "csv", *more).stdout)
            )
        )
        for more in ([], ["--all"])
    )
    assert {row["differs"] for row in short} == {"True"}
    assert len(long) > len(short)
    assert long[: len(short)] == short
    assert short[0]["mssp_track_1"] == "3A"
    assert "rows are alike" in call("compare", "mssp_track_1", "mssp_basic_e").stdout
    assert "do not differ" in call("compare", "bc_lfp", "bc_lfp").stdout


def test_new_writes_a_contract_that_reads_and_never_overwrites(tmp_path):
    file = tmp_path / "1 My-Contract.yml"
    assert call("new", file).exit_code == 0
    shown = call("show", file)
    assert shown.exit_code == 0, shown.output
    assert "My contract: HCP-LAN 1 or 2C" in shown.stdout
    file.write_text("mine", encoding="utf-8")
    refused(call("new", file), "exists already: choose another name")
    assert file.read_text(encoding="utf-8") == "mine"
    refused(call("new", tmp_path / "mine"), "must end in .yml")
    refused(call("new", tmp_path / "nowhere" / "mine.yml"), "cannot be written: No such file or directory")


def test_mistakes_are_one_sentence(tmp_path):
    refused(call("show"), "The contracts are aco_reach_global, ")
    refused(call("show", "ontario_fo"), "did you mean ontario_fho?")
    refused(call("show", tmp_path / "absent.yml"), "cannot be read: No such file or directory")
    file = tmp_path / "mine.yml"
    assert call("new", file).exit_code == 0
    file.write_text(file.read_text(encoding="utf-8").replace("  attribution:", "  atribution:"), encoding="utf-8")
    refused(call("show", file), "population has no field atribution; did you mean attribution?")
