"""A sweep covers all combinations, gives the same on any number of workers, and survives what fails."""

import csv
import json

import pytest
from joblib.externals.loky import get_reusable_executor

from apmkit import studies
from apmkit.studies import StudyError, runs
from apmkit.studies.sweep import combinations, sweep


@pytest.fixture
def workers():
    """Workers that know the toy study and nothing older."""
    yield
    get_reusable_executor().shutdown(wait=True)


def test_grid_takes_lists_ranges_and_all(toy):
    sets, skipped = combinations(toy, {"outcome": "all", "first": "1:2", "level": "90,95"}, {"scale": "2"})
    assert len(sets) == 8
    assert skipped == {}
    assert {(p.outcome, p.first, p.level) for p in sets} == {
        (o, f, v) for o in ("cost", "visits") for f in (1, 2) for v in (90, 95)
    }
    assert {p.scale for p in sets} == {2.0}
    assert [p.log for p in combinations(toy, {"log": "all"}, {})[0]] == [False, True]
    assert [p.leave_out for p in combinations(toy, {"leave_out": "all"}, {})[0]] == [("on",), ("qc",)]
    assert [p.leave_out for p in combinations(toy, {"leave_out": "none,qc"}, {})[0]] == [(), ("qc",)]
    assert [p.leave_out for p in combinations(toy, {"leave_out": "on,on+qc"}, {})[0]] == [("on",), ("on", "qc")]
    assert len(combinations(toy, {"first": "2,2,3"}, {})[0]) == 2


def test_rules_between_parameters_are_asked_of_whole_combinations_only(toy):
    sets, skipped = combinations(toy, {"outcome": "cost"}, {"log": "true"})
    assert [(p.outcome, p.log) for p in sets] == [("cost", True)]
    assert skipped == {}


def test_a_value_that_needs_another_one_can_be_in_the_grid_beside_it():
    study = studies.get("canada/bc_lfp")
    sets, _ = combinations(study, {"first_year": "2019:2020"}, {"partly_treated": "pre"})
    assert [p.first_year for p in sets] == [2019, 2020]


def test_combinations_that_a_rule_forbids_are_skipped_with_the_rule(toy):
    sets, skipped = combinations(toy, {"outcome": "all", "log": "all", "first": "1,1"}, {})
    assert [(p.outcome, p.log) for p in sets] == [("cost", False), ("cost", True), ("visits", False)]
    assert [(p.plain()["outcome"], p.plain()["log"], why) for p, why in skipped.items()] == [
        ("visits", True, "log=true needs outcome=cost.")
    ]


@pytest.mark.parametrize(
    ("name", "grid", "expected"),
    [
        ("us/mssp_downside_risk", {"outcome": "all", "scale": "all"}, {"quality_score", "savings_rate"}),
        ("canada/bc_lfp", {"outcome": "all", "first_year": "2010:2020"}, {"payments_per_capita"}),
    ],
)
def test_a_real_study_is_swept_over_all_that_its_rules_allow(name, grid, expected):
    sets, skipped = combinations(studies.get(name), grid, {})
    assert {p.outcome for p in sets} == set(studies.get(name).Parameters.choices("outcome"))
    assert {p.outcome for p in skipped} == expected


@pytest.mark.parametrize(
    ("grid", "fixed", "sentence"),
    [
        ({"outcom": "all"}, {}, r"no parameter 'outcom' \(did you mean 'outcome'\?\), only outcome, first"),
        ({"outcome": "cost,price"}, {}, "outcome='price' is not allowed; give one of cost, visits"),
        ({"scale": "all"}, {}, "scale=all is not allowed, scale is a number from 0.5 to 2: give a list such as"),
        ({"first": "1:9"}, {}, "first=9 is not allowed; give a whole number from 1 to 3"),
        ({"first": "1:900000000000"}, {}, "first=900000000000 is not allowed"),
        ({"first": "3:1"}, {}, "The range first='3:1' is empty: write the lower end first"),
        ({"first": "1:"}, {}, "first='1:' is not a range: write first=2014:2018"),
        ({"outcome": "cost,"}, {}, "--grid outcome=cost, has an empty value"),
        ({"outcome": "all"}, {"outcome": "cost"}, "outcome is both fixed and in the grid: give it once"),
        ({"outcome": "all"}, {"frist": 1}, "no parameter 'frist'"),
        ({"first": "all,4"}, {}, "first='all' is not allowed"),
        ({"leave_out": "on+ab"}, {}, "leave_out='ab' is not allowed; give none, or any of on, qc"),
        ({"leave_out": "on+"}, {}, "leave_out='' is not allowed"),
        ({"leave_out": "on+on"}, {}, "leave_out=on,on names a value twice"),
        ({"outcome": "cost+visits"}, {}, r"outcome='cost\+visits' is not allowed; give one of cost, visits"),
        ({"outcome": "all"}, {"first": 9}, "first=9 is not allowed"),
        ({"outcome": "visits"}, {"log": True}, r"^us/toy: log=true needs outcome=cost\.$"),
        (
            {"outcome": "visits", "first": "1:2"},
            {"log": True},
            r"^us/toy: none of these 2 combinations is allowed; the first: log=true needs outcome=cost\.$",
        ),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_runs(toy, grid, fixed, sentence):
    with pytest.raises(StudyError, match=sentence):
        combinations(toy, grid, fixed)


def test_numbers_do_not_depend_on_the_number_of_workers(toy, workers):
    sets, _ = combinations(toy, {"outcome": "all", "first": "1:3"}, {})
    _, alone = sweep(toy, sets, jobs=1)
    _, together = sweep(toy, sets, jobs=2)
    assert [record["parameters"] for record in alone] == [p.plain() for p in sets]
    for one, other in zip(alone, together, strict=True):
        assert one["estimates"] == other["estimates"]
    assert len({record["estimates"]["mean"]["table"][0]["estimate"] for record in alone}) == 5


def test_a_failing_set_is_reported_in_its_row_and_loses_no_other(toy):
    folder, records = sweep(toy, *combinations(toy, {"trouble": "none,error", "first": "1,3"}, {}))
    assert [record.get("error") for record in records] == [None, None] + ["RuntimeError: the numbers ran out."] * 2
    assert records[1]["warnings"] == ["One number only."]
    assert json.loads((folder / "results.json").read_text()) == records
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["parameters.trouble"], row["name"], row["error"]) for row in rows[-2:]] == [
        ("error", "", "RuntimeError: the numbers ran out.")
    ] * 2
    assert [float(row["estimate"]) for row in rows[:4]] == [5, 5, 7, 7]


def test_what_was_skipped_stands_in_both_files_with_the_reason(toy):
    folder, records = sweep(toy, *combinations(toy, {"outcome": "all", "log": "true"}, {}))
    assert [record.get("skipped") for record in records] == [None, "log=true needs outcome=cost."]
    assert json.loads((folder / "results.json").read_text()) == records == runs.results(folder)
    with (folder / "results.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert (last["parameters.outcome"], last["estimate"], last["skipped"]) == (
        "visits",
        "",
        "log=true needs outcome=cost.",
    )
    assert runs.headlines(records)["changed"].tolist() == ["log=true"]


def test_a_worker_that_dies_is_reported_and_what_was_done_is_kept(toy, workers):
    _, records = sweep(toy, *combinations(toy, {"trouble": "none,exit"}, {}), jobs=2)
    assert len(records) == 2
    assert records[1]["error"].startswith("A worker process died, perhaps for want of memory")


def test_an_interrupted_sweep_keeps_what_was_finished_and_lists_none_of_it(toy, tmp_path, monkeypatch, workers):
    def interrupted(work, **_):
        yield next(iter(work))
        raise KeyboardInterrupt

    monkeypatch.setattr("tqdm.tqdm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(toy, combinations(toy, {"first": "1:3"}, {})[0])
    (kept,) = (tmp_path / "runs").iterdir()
    assert kept.name.endswith("-failed")
    assert [record["parameters"]["first"] for record in json.loads((kept / "results.json").read_text())] == [1]
    assert runs.results(tmp_path / "runs") == []


def test_jobs_below_one_are_refused(toy):
    with pytest.raises(StudyError, match="jobs=0 is not allowed; give 1 or more"):
        sweep(toy, [toy.parameters()], jobs=0)
