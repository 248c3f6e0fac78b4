"""The command rules: what is in force, where it comes from, and one sentence for every mistake."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from apmkit.cli import main
from apmkit.payment import programmes, rulebook


def call(*words):
    return CliRunner().invoke(main, ["rules", *words])


def test_the_list_has_every_programme_and_counts_values_in_doubt():
    lines = call("list").output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == programmes()
    for line in lines[1:]:
        name, _, parameters, doubtful, *_ = line.split()
        statuses = rulebook(name).table()["status"]
        assert int(parameters) == len(rulebook(name).parameters)
        assert int(doubtful) == sum(status in ("unconfirmed", "partly confirmed") for status in statuses)


def test_a_day_shows_value_day_source_and_status():
    text = call("show", "mssp", "basic_e.sharing_rate", "--on", "2022-01-01").output
    row = next(line for line in text.splitlines() if line.startswith("basic_e.sharing_rate "))
    assert row.split() == ["basic_e.sharing_rate", "0.5", "share", "of", "savings", "2019-07-01", "reproduced"]
    assert "Source: 42 CFR 425.605" in text


def test_each_value_ends_on_the_day_of_the_next():
    text = call("show", "next_generation_aco", "sequestration").output
    spans = [line.split()[-4:-2] for line in text.splitlines() if line.startswith("sequestration ")]
    assert spans == [["2016-01-01", "2019-01-01"], ["2019-01-01", "2021-01-01"], ["2021-01-01", "2022-01-01"]]


@pytest.mark.parametrize("name", programmes())
def test_json_and_csv_hold_every_dated_value(name):
    dated = [(p.name, str(d.effective), d.value) for p in rulebook(name).parameters.values() for d in p.history]
    records = json.loads(call("show", name, "--format", "json").output, parse_constant=pytest.fail)
    assert [(row["parameter"], row["effective"], row["value"]) for row in records] == dated
    rows = list(csv.DictReader(io.StringIO(call("show", name, "--format", "csv").output)))
    assert [(row["parameter"], row["effective"]) for row in rows] == [each[:2] for each in dated]


def test_a_day_without_rules_says_so():
    assert call("show", "cjr", "--on", "2030-01-01").output.endswith("Nothing was in force on 2030-01-01.\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show"], "Missing argument 'NAME'. The programmes are aco_reach, alberta,"),
        (["show", "MSSP"], "There are no rules of 'MSSP'; did you mean mssp?"),
        (["show", "ontario", "hardcap"], "no parameter 'hardcap'; did you mean hard_cap?"),
        (["show", "ontario", "zzz"], "no parameter 'zzz'; apmkit rules show ontario lists them."),
        (["show", "cjr", "--on", "2020-13-01"], "'2020-13-01' is not a day; write it as YYYY-MM-DD"),
        (["show", "cjr", "--on", ""], "'' is not a day"),
        (["show", "absent.yml"], "absent.yml cannot be read: No such file"),
        (["show", "cjr", "--format", "xml"], "'xml' is not one of 'table', 'csv', 'json'"),
    ],
)
def test_a_mistake_is_answered_in_one_sentence(words, sentence):
    result = call(*words)
    assert result.exit_code == 2
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_a_file_of_ones_own_is_checked(tmp_path):
    file = tmp_path / "own.yml"
    file.write_text("programme: own\ntitle: Own\ncountry: US\ncurrency: USD\nparameters: {}\n", encoding="utf-8")
    assert "own.yml, line 5: parameters must be names with their values" in call("show", str(file)).output
