"""A bulletin compares what studies say before and after new data, and nothing is lost when it stops."""

import copy
import json
import math

import pytest
from click.testing import CliRunner

from apmkit import datasets, studies
from apmkit.cli import main
from apmkit.studies import StudyError, bulletin, bulletin_page, runs

UNMET = "Year,AB,BC,MB,NB,NL,NS,ON,PE,QC,SK\n2025,8,9,8,9,10,9,8,9,8,7\n"


def call(*words):
    return CliRunner().invoke(main, ["bulletin", *map(str, words)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APMKIT_RUNS", str(tmp_path / "runs"))
    return tmp_path


@pytest.fixture(scope="module")
def vermont():
    """States without and with 2024 of the only study whose last year follows this table, and others that read it."""
    return bulletin.with_and_without("gv_state", 2024)


def test_before_is_what_the_study_says_of_the_shorter_window_and_after_what_it_says_by_default(vermont):
    study = studies.get("us/vermont_all_payer")
    row = bulletin.comparison(*vermont).set_index("study").loc[study.name]
    short, whole = (study.run(study.parameters(last_year=year)).estimates["gap"].table.iloc[0] for year in (2023, 2024))
    assert (row["window_before"], row["window_after"]) == ("last_year=2023", "last_year=2024")
    assert row["estimate_before"] == pytest.approx(short["estimate"], rel=1e-9)
    assert row["estimate_after"] == pytest.approx(whole["estimate"], rel=1e-9)
    assert row["moved"] != 0
    assert row["moved_in_se"] == pytest.approx((whole["estimate"] - short["estimate"]) / short["se"], rel=1e-9)


def test_a_state_names_checksums_years_and_versions_and_the_year_is_back_afterwards(vermont):
    before, after = vermont
    assert max(before["data"]["gv_state"]["years"]) == 2023
    assert max(after["data"]["gv_state"]["years"]) == 2024
    assert after["data"]["gv_state"]["sha256"] == datasets.checksum("gv_state")
    assert before["data"]["gv_state"]["sha256"] != datasets.checksum("gv_state")
    assert before["versions"] == after["versions"] == studies.study.versions()
    assert json.loads(json.dumps(after, allow_nan=False)) == after


@pytest.mark.parametrize("name", studies.names())
def test_a_parameter_that_follows_the_data_has_the_last_year_as_its_default(name):
    study = studies.get(name)
    for parameter, (dataset, lag) in study.latest.items():
        assert dataset in study.data
        assert study.Parameters.model_fields[parameter].default == max(datasets.describe(dataset).years) - lag


def state_of(estimate, low, high, p, **record):
    row = {"term": "ATT", "estimate": estimate, "se": 1.0, "ci_low": low, "ci_high": high, "p_value": p}
    found = {"outcome": "y", "n_obs": 4, "n_units": 2, "n_clusters": 2, "table": [row], "diagnostics": {}}
    study = {"study": "us/x", "parameters": {}, "data": {"x": "a" * 64}, "headline": "att", "estimates": {"att": found},
             "sentences": ["It <b>fell</b>."], "axis": "Effect, $ a year", "looks": 1}  # fmt: skip
    about = {
        "time": "2026-01-02T00:00:00+00:00",
        "versions": {"apmkit": "1"},
        "data": {"x": {"sha256": "a" * 64, "years": [1]}},
    }
    return {**about, "studies": {"us/x": {**study, **record}}}


def test_a_conclusion_changes_with_sign_and_interval_and_is_named():
    before, after = state_of(-2.0, -4.0, 0.5, 0.1), state_of(3.0, 1.0, 5.0, 0.004, looks=2)
    row = bulletin.comparison(before, after).iloc[0]
    assert (row["moved"], row["moved_in_se"]) == (5.0, 5.0)
    assert row["sign_changed"]
    assert row["conclusion_changed"]
    found = " ".join(bulletin_page.findings(bulletin.comparison(before, after)))
    assert "The conclusion of us/x changed from “zero not excluded” to “above zero”." in found
    assert "The sign of us/x changed." in found
    assert "5.00 standard errors, up" in found
    same = " ".join(bulletin_page.findings(bulletin.comparison(before, before)))
    assert "0 of 1 estimates moved, 1 stayed" in same
    assert "No conclusion changed" in same


@pytest.mark.parametrize(
    ("p", "looks", "alarm"), [(0.02, 1, True), (0.02, 2, False), (0.008, 2, True), (0.008, 3, False)]
)
def test_what_counts_as_clear_depends_on_the_number_of_looks(p, looks, alarm):
    row = bulletin.comparison(state_of(2, 1, 3, p), state_of(2, 1, 3, p, looks=looks)).iloc[0]
    assert row["alarm"] == alarm


def test_a_study_without_an_answer_and_a_new_one_are_said_to_be_so():
    refused = state_of(1, 0, 2, 0.05, error="us/x: the window is too short.")
    found = bulletin.comparison(refused, state_of(1, 0, 2, 0.05))
    assert not found["conclusion_changed"].iloc[0]
    assert "us/x has no answer before: the window is too short." in bulletin_page.findings(found)
    new = bulletin.comparison({**refused, "studies": {}}, state_of(1, 0, 2, 0.05))
    assert "us/x is looked at for the first time." in bulletin_page.findings(new)
    assert math.isnan(new["moved"].iloc[0])


def test_p_from_placebos_decides_where_it_does_and_its_interval_is_left_out():
    placebo = state_of(2.0, 1.0, 3.0, 0.11)
    placebo["studies"]["us/x"]["estimates"]["att"]["diagnostics"] = {"p_value_floor": 0.1}
    row = bulletin.comparison(placebo, placebo).iloc[0]
    assert row["conclusion_after"] == "zero not excluded"
    assert math.isnan(row["ci_low_after"])


def test_false_alarms_of_repeated_looks_are_those_of_the_literature():
    # Armitage, McPherson and Rowe (1969), table 2: repeated tests at the 5% level.
    known = {1: 0.05, 2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193}
    found = bulletin.false_alarms(10)
    assert found.loc[list(known), "each_at_95"].tolist() == pytest.approx(list(known.values()), abs=0.004)
    assert (found["corrected"] < 0.05).all()


def test_the_first_bulletin_keeps_the_second_has_nothing_to_tell_the_third_tells_what_a_new_file_changed(folder):
    first = call("--dataset", "unmet_need")
    assert first.exit_code == 0, first.output
    assert first.output.startswith("This is the first bulletin")
    assert not (folder / "runs").exists()
    assert call("--dataset", "unmet_need").output.startswith("Nothing to tell: the data are those of the last bulletin")

    (folder / "unmet.csv").write_text(UNMET)
    datasets.add("unmet_need", folder / "unmet.csv")
    third = call("--dataset", "unmet_need")
    assert third.exit_code == 0, third.output
    (made,) = (folder / "runs").iterdir()
    names = {"before.json", "bulletin.csv", "bulletin.html", "bulletin.md", "bulletin.svg", "results.json"}
    assert {path.name for path in made.iterdir()} == names
    text = (made / "bulletin.md").read_text()
    assert "| unmet\\_need | 2018 to 2024 | 2018 to 2025 |" in text
    assert datasets.checksum("unmet_need")[:12] in text
    assert "This is look number 2" in text
    assert {record["study"] for record in runs.results(folder / "runs")} == {
        s.name for s in bulletin.readers("unmet_need")
    }
    assert call("--dataset", "unmet_need").output.startswith("Nothing to tell")


def test_a_change_of_the_software_is_told():
    before, after = state_of(1, 0, 2, 0.05), state_of(1, 0, 2, 0.05)
    assert bulletin_page.software(before, after).startswith("The software is the same")
    after["versions"] = {"apmkit": "2"}
    assert "need not come from the data alone. Before: apmkit 1. After: apmkit 2." in bulletin_page.software(
        before, after
    )


def test_the_page_is_one_file_without_requests_and_shows_texts_as_texts(folder):
    made = bulletin_page.write(state_of(1, 0, 2, 0.05), state_of(2, 1, 3, 0.01), words=("<i>old</i>", "new"))
    page = (made / "bulletin.html").read_text()
    assert 'src="data:image/svg+xml;base64,' in page
    assert not any(mark in page for mark in ("<script src", "http://", "https://", "<b>fell", "<i>old"))
    assert page.count("<script") == 1  # what scrolls is reached from the keyboard
    assert "It &lt;b&gt;fell" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--without", "2023"], "Say which data set is to lack 2023: --dataset NAME --without 2023."),
        (["--dataset", "msp"], "There is no data set 'msp'"),
        (["--dataset", "mssp", "--without", "2031"], "mssp holds no 2031, only 2013 to 2023"),
        (["--dataset", "metro_hospitalisation"], "No study reads metro_hospitalisation"),
        (["--out", ".."], "is outside the runs folder"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(folder, monkeypatch, words, sentence):
    if "metro_hospitalisation" in words:
        monkeypatch.setattr(bulletin, "readers", lambda dataset: [])
    result = call(*words)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_interrupted_bulletin_leaves_the_last_one_as_it_was(folder, monkeypatch):
    call("--dataset", "unmet_need")
    kept = bulletin.last()
    (folder / "unmet.csv").write_text(UNMET)
    datasets.add("unmet_need", folder / "unmet.csv")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.Future.result", interrupted)
    result = call("--dataset", "unmet_need")
    assert result.exit_code == 130
    assert result.stderr == "Error: Interrupted. The last bulletin is as it was; run it again.\n"
    assert bulletin.last() == kept
    assert not (folder / "runs").exists()


def test_other_studies_stay_in_what_is_kept(user_folder):
    one, two = state_of(1, 0, 2, 0.05), state_of(2, 1, 3, 0.01)
    two["studies"] = {"us/y": {**copy.deepcopy(two["studies"]["us/x"]), "study": "us/y"}}
    bulletin.keep(one, None)
    bulletin.keep(two, bulletin.last())
    assert list(bulletin.last()["studies"]) == ["us/x", "us/y"]
    assert bulletin.last()["versions"] == two["versions"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"time": 1'])
def test_a_damaged_record_of_the_last_bulletin_is_refused(user_folder, content):
    bulletin.keep(state_of(1, 0, 2, 0.05), None).write_text(content)
    with pytest.raises(StudyError, match="is damaged: delete it, and the next bulletin is the first"):
        bulletin.last()
