"""The grid of a study is estimated once, by any number of workers the same, and again when what decides it changes."""

import json
import shlex
import time

import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

from apmkit import studies
from apmkit.studies import Study, StudyError, specifications
from apmkit.studies.page_parts import example_commands
from apmkit.studies.sweep import forbidden, points

WITH_GRID = [name for name in studies.names() if studies.get(name).grid]
NUMBERS = ["estimate", "ci_low", "ci_high"]


def with_grid(toy, **grid):
    return Study(toy.name, toy.title, toy.country, (), toy.Parameters, toy.estimate, grid)


@pytest.fixture
def estimate(tmp_path):
    yield lambda study, **options: specifications.specifications(study, folder=tmp_path / "grids", **options)
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.parametrize("name", WITH_GRID)
def test_a_grid_is_of_a_size_that_can_be_estimated_and_looked_at(name):
    study = studies.get(name)
    allowed = [point for point in points(study.grid) if forbidden(study, point) is None]
    assert 4 <= len(allowed) <= specifications.LIMIT
    assert {name: getattr(study.parameters(), name) for name in study.grid} in allowed


@pytest.mark.parametrize("name", [name for name in WITH_GRID if not studies.get(name).own])
def test_a_study_with_a_grid_says_what_it_measures_and_in_which_unit(name):
    assert ", " in studies.get(name).run().axis


@pytest.mark.parametrize("name", WITH_GRID)
def test_the_page_of_a_study_with_a_grid_shows_its_parameters_and_its_panel(name):
    cells = json.loads(studies.get(name).notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    for call in ("studies.show_parameters(study, parameters)", "studies.show_what_if(study, parameters, "):
        assert sum(call in cell for cell in code) == 1, call


@pytest.mark.parametrize("name", studies.names())
def test_the_commands_of_a_page_are_accepted(name):
    from click.testing import CliRunner

    from apmkit.cli import main

    study = studies.get(name)
    run, sweep = example_commands(study)
    assert run.startswith(f"apmkit run {name} -p ")
    parameter, _, value = shlex.split(run)[-1].partition("=")
    assert study.parameters(**{parameter: value}) != study.parameters()
    refused = CliRunner().invoke(main, [*shlex.split(sweep)[1:], "-p", "nothing=1"])
    assert "no parameter 'nothing'" in refused.output  # the grid was read before
    axes = dict(word.split("=", 1) for word in shlex.split(sweep) if "=" in word)
    assert set(axes) <= set(study.Parameters.model_fields)


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ({"outcome": ("cost", "price")}, "outcome='price' is not allowed; give one of cost, visits"),
        ({"outcom": ("cost", "visits")}, "no parameter 'outcom'"),
        ({"first": (2, 3)}, "the grid has first=2, 3; give at least two values, each once, the default 1 among them"),
        ({"first": (1,)}, "give at least two values"),
        ({"leave_out": ((), ("on",), ("on",))}, "each once"),
    ],
)
def test_a_wrong_grid_is_refused_when_the_study_is_made(toy, grid, sentence):
    with pytest.raises(StudyError, match=sentence):
        with_grid(toy, **grid)


def test_every_combination_is_there_with_its_answer_or_the_reason_why_there_is_none(toy, estimate):
    study = with_grid(toy, outcome=("cost", "visits"), log=(False, True), leave_out=((), ("on",)))
    table = estimate(study, jobs=2)
    names = ["parameters.outcome", "parameters.log", "parameters.leave_out"]
    assert table[names].iloc[[0, 1, 2, 7]].to_numpy().tolist() == [
        ["cost", "false", "none"], ["cost", "false", "on"], ["cost", "true", "none"], ["visits", "true", "on"],
    ]  # fmt: skip
    assert table["estimate"].tolist()[:2] == [5.0, 5.0]
    assert table["problem"].tolist() == [""] * 6 + ["log=true needs outcome=cost."] * 2
    assert table["estimate"].isna().tolist() == [False] * 6 + [True] * 2
    assert set(table["axis"]) == {"Mean of cost, dollars", "Mean of log cost, dollars", "Mean of visits, visits", ""}
    assert specifications.row_of(study, table, study.parameters(outcome="visits", leave_out="on")) == 5
    assert specifications.row_of(study, table, study.parameters(first=2)) is None
    assert specifications.row_of(study, table, study.parameters(leave_out="qc")) is None


def test_a_grid_is_estimated_again_only_if_what_decides_it_has_changed(toy, estimate, tmp_path, monkeypatch):
    study = with_grid(toy, first=(1, 2))
    first = estimate(study)
    kept = tmp_path / "grids" / "us" / "toy.json"
    files = json.loads(kept.read_text())["files"]
    assert {"studies/study.py", "estimate.py"} <= set(files)
    assert not [name for name in files if name.startswith("cli/")]

    kept.write_text(kept.read_text().replace("5.0", "5.5"))  # to see that it is read
    assert estimate(study)["estimate"].iloc[0] == 5.5
    for name, other in (("versions", lambda: {"pandas": "99"}), ("_PACKAGE", tmp_path)):
        with monkeypatch.context() as changed:
            changed.setattr(specifications, name, other)
            changed.setattr(specifications, "_estimated", lambda *_: pytest.fail("estimated again"))
            with pytest.raises(pytest.fail.Exception, match="estimated again"):
                estimate(study)
    assert estimate(with_grid(toy, first=(1, 3)))["estimate"].tolist() == [5.0, 7.0]
    pd.testing.assert_frame_equal(estimate(study), first)
    kept.write_text(kept.read_text()[:100])
    pd.testing.assert_frame_equal(estimate(study), first)


def test_a_set_that_fails_is_named_and_what_is_no_answer_is_not_kept(toy, estimate, tmp_path):
    with pytest.raises(StudyError, match=r"us/toy failed with trouble=error: RuntimeError: the numbers ran out"):
        estimate(with_grid(toy, trouble=("none", "error")))
    with pytest.raises(StudyError, match=r"A worker of us/toy died, perhaps for want of memory"):
        estimate(with_grid(toy, trouble=("none", "exit")))
    with pytest.raises(StudyError, match=r"us/toy has no grid"):
        estimate(toy)
    assert not list(tmp_path.glob("grids/**/*.json"))


def test_too_large_a_grid_is_refused_before_anything_is_estimated(toy, estimate):
    scales = tuple(1 + k / 1000 for k in range(100))
    with pytest.raises(StudyError, match=r"has 300 sets; leave out values until at most 200 remain"):
        estimate(with_grid(toy, scale=scales, first=(1, 2, 3)))


def test_numbers_are_the_same_with_one_worker_and_with_four(toy, tmp_path):
    real = studies.registry.importlib.import_module("apmkit.studies.canada_bc_lfp").STUDY
    few = Study(real.name, real.title, real.country, real.data, real.Parameters, real.estimate,
                {"estimator": real.grid["estimator"], "leave_out": ((), ("ON",))})  # fmt: skip
    for study in (with_grid(toy, outcome=("cost", "visits"), first=(1, 2, 3)), few):
        one, four = (specifications.specifications(study, jobs=n, folder=tmp_path / str(n)) for n in (1, 4))
        assert one["sentence"].nunique() >= 5
        pd.testing.assert_frame_equal(one, four, check_exact=False, rtol=1e-12, atol=0)
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_GRID)
def test_the_whole_grid_takes_less_than_a_minute_on_two_cores_and_has_no_gaps(name, tmp_path):
    study = studies.get(name)
    start = time.perf_counter()
    table = specifications.specifications(study, jobs=2, folder=tmp_path)
    assert time.perf_counter() - start < 60
    answered = table[table["problem"] == ""]
    assert answered["estimate"].notna().all()
    assert (answered["sentence"] != "").all()
    assert len(answered) >= len(table) / 4
    four = specifications.specifications(study, jobs=4, folder=tmp_path / "four")
    pd.testing.assert_frame_equal(table, four, check_exact=False, rtol=1e-12, atol=0)


def test_the_sentence_counts_sides_of_zero_and_intervals():
    rows = pd.DataFrame({"axis": "Effect, dollars", "estimate": [1.0, 1.0, 3.0], "level": 0.9,
                         "ci_low": [0.5, 0.5, 2.0], "ci_high": [2.0, 2.0, 4.0]})  # fmt: skip
    assert specifications.in_words(rows) == (
        "Effect, dollars: 3 sets of choices with 2 different answers, from 1.00 to 3.00. All lie above zero. "
        "None of the 3 intervals (90%) include zero."
    )
    assert specifications.in_words(rows.assign(ci_low=float("nan"))).endswith("above zero. They have no intervals.")
