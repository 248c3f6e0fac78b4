"""The command settle: published years, one ACO, own files, and one sentence for every mistake."""

import io
import json

import pandas as pd
import pytest
from click.testing import CliRunner

from apmkit.cli import main
from apmkit.datasets import load

WRONG = """aco_id,year,track,beneficiaries,benchmark,expenditures,minimum_savings_rate,met_quality_standard
X1,2022,BASIC B,10000,100000000,95000000,,True
X2,2022,1,10000,100000000,95000000,,True
"""
GOOD = WRONG.replace(",1,", ",BASIC A,")


def call(*words):
    return CliRunner().invoke(main, ["settle", *map(str, words)])


@pytest.fixture(scope="module")
def data():
    return load("mssp")


@pytest.fixture(autouse=True)
def read_once(data, monkeypatch):
    """The published years are read once for all these tests."""
    monkeypatch.setattr("apmkit.datasets.load", lambda name: {"mssp": data}[name])


@pytest.fixture
def own(tmp_path):
    def write(text=GOOD, name="own.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(result, sentence):
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr


def test_every_year_is_shown_and_every_exception_named():
    result = call()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:12]] == [str(year) for year in range(2013, 2024)]
    assert lines[1].split() == ["2013", "220", "52", "52", "52", "52", "52", "52", "1", "1", "1", "6"]
    assert "2,230 of 2,230 paid ACO-years are rebuilt within 0.1 %" in result.stdout
    listed = pd.read_csv(io.StringIO(call("--exceptions", "--format", "csv").stdout))
    assert len(listed) == 161
    assert all(aco in result.stdout for aco in listed["aco_id"])


def test_one_year_and_its_exceptions():
    result = call("--year", 2019, "--exceptions")
    assert result.stdout.count("on a one-sided track, which owes nothing") == 50
    assert "a limit on participant revenue, which is not published, can make it lower" in result.stdout
    found = json.loads(call("--year", 2019, "--format", "json").stdout)
    assert [year["paid"] for year in found["years"]] == [239]
    assert len(found["exceptions"]) == 51


def test_one_aco_over_the_years_and_step_by_step():
    over = pd.read_csv(io.StringIO(call("--aco", "A2772", "--format", "csv").stdout))
    assert over["year"].tolist() == list(range(2016, 2024))
    steps = call("--aco", "A2772", "--year", 2019)
    assert "Paid                         7,663,350.70" in steps.stdout
    assert "times quality score 0.9869" in steps.stdout
    assert "Cut by the payment limit: 42 CFR 425.604(e)" in steps.stdout


def test_a_file_of_own_acos_is_settled(own):
    result = call("--file", own())
    assert result.exit_code == 0, result.output
    assert "1,960,000.00" in result.stdout
    table = pd.read_csv(io.StringIO(call("--file", own(), "--format", "csv").stdout))
    assert table["total"].tolist() == [1_960_000, 1_960_000]
    assert json.loads(call("--file", own(), "--format", "json").stdout)["currency"] == "USD"
    assert "Sequestration" in call("--file", own(), "--aco", "X1").stdout


def test_a_parquet_file_is_read_like_a_csv(own, tmp_path):
    import duckdb

    path = tmp_path / "own.parquet"
    duckdb.read_csv(str(own())).write_parquet(str(path))
    assert call("--file", path, "--format", "csv").stdout == call("--file", own(), "--format", "csv").stdout


def test_mistakes_are_one_sentence(own):
    refused(call("--year", 1999), "There is no year 1999 here: choose one of 2013, 2014")
    refused(call("--aco", "A9"), "There is no aco_id A9 here: choose one of A1001 to A5309")
    refused(call("--file", own(WRONG)), "ACO X2 in 2022: there was no track_1 in 2022; the tracks were basic_a")
    refused(call("--file", own("", "own.xlsx")), "own.xlsx is neither .csv nor .parquet")
    refused(
        call("--file", own("ACO_ID,ABtotBnchmk\nA1,5\n")), "is a file as CMS publishes it: write apmkit datasets add"
    )
    refused(call("--file", own("year,track\n2022,BASIC B\n")), "has no column benchmark")
    refused(call("--file", own("year,track\n2022,BASIC B\n"), "--aco", "X1"), "--aco needs the column aco_id")


UNREADABLE = {
    "empty": (b"", "it is empty: give a header"),
    "blank": (b"\n\n", "it is empty: give a header"),
    "other letters": ("aco_id,year\né,2022\n".encode("latin-1"), "it is not in UTF-8: save it as CSV UTF-8"),
    "rows of several lengths": (b"a\n1\n1,2,3\n", "it is damaged or no csv file: save it again"),
    "commas inside numbers": (GOOD.replace("95000000", "95,000,000").encode(), "more cells than its header"),
    "semicolons": (GOOD.replace(",", ";").encode(), "separates cells by semicolons"),
    "a column twice": (GOOD.replace("benchmark", "year").encode(), "has the column year twice"),
}


@pytest.mark.parametrize(("content", "sentence"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    refused(call("--file", path), sentence)


def test_junk_under_the_name_of_parquet_and_options_that_do_not_go_together_are_refused(tmp_path, own):
    path = tmp_path / "own.parquet"
    path.write_bytes(b"junk")
    refused(call("--file", path), "own.parquet cannot be read; it is damaged or no parquet file")
    refused(call("--file", own(), "--exceptions"), "leave it out, or leave out --file")


def test_help_teaches_with_examples():
    text = call("--help").stdout
    assert "apmkit settle --aco A2772 --year 2019" in text
    assert "always        year, track, benchmark, expenditures" in text
