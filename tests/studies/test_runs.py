"""A run is complete or it is not a run."""

import errno
import json
import sys
from dataclasses import replace

import nbformat
import papermill
import pytest

from apmkit import datasets
from apmkit.cli import screen
from apmkit.studies import StudyError, runs
from apmkit.studies.sweep import sweep


def only(folder, pattern):
    (found,) = folder.glob(pattern)
    return found


def test_a_run_leaves_notebook_page_and_result_and_uses_this_python(toy, tmp_path, monkeypatch):
    other = tmp_path / "jupyter" / "kernels" / "python3"
    other.mkdir(parents=True)
    spec = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Other", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    parameters = toy.parameters(outcome="visits", leave_out=["on"])

    folder = runs.run(toy, parameters)

    assert folder.parent == tmp_path / "runs"
    assert [f.name for f in folder.parent.iterdir()] == [folder.name]
    assert sorted(f.name for f in folder.iterdir()) == ["result.json", "toy.html", "toy.ipynb"]
    cells = nbformat.read(folder / "toy.ipynb", as_version=4).cells
    assert sys.executable in [o.text.strip() for c in cells for o in c.get("outputs", []) if "text" in o]
    result = json.loads((folder / "result.json").read_text())
    assert result["run"] == folder.name
    expected = json.loads(json.dumps(toy.run(parameters).to_dict()))
    assert {k: v for k, v in result.items() if k not in ("run", "time")} == expected
    assert runs.results(folder.parent) == [result]


@pytest.mark.parametrize("start", [runs.run, lambda study, parameters: sweep(study, [parameters])])
def test_nothing_starts_without_the_data(toy, tmp_path, monkeypatch, start):
    from apmkit.datasets import store

    monkeypatch.setattr(store, "SHIPPED", tmp_path)
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path / "data"))
    study = replace(toy, data=("npdb_payments",))
    with pytest.raises(datasets.DataError, match=r"lacks cihi_npdb_.* download National Physician Database payments"):
        start(study, study.parameters())
    assert not (tmp_path / "runs").exists()


def test_a_failing_cell_is_named_and_its_traceback_kept(toy, tmp_path):
    with pytest.raises(runs.RunFailed) as failure:
        runs.run(toy, toy.parameters(trouble="error"))
    kept = only(tmp_path / "runs", "*")
    assert kept.name.endswith("-failed")
    assert str(failure.value) == (
        f"us/toy failed in cell [4] with RuntimeError: the numbers ran out; the executed copy is {kept / 'toy.ipynb'}."
    )
    assert "Traceback" in (kept / "toy.ipynb").read_text()
    assert runs.results(tmp_path / "runs") == []


def test_a_kernel_that_dies_is_reported_with_its_cell(toy, tmp_path):
    with pytest.raises(runs.RunFailed, match=r"us/toy died in cell \[4\], perhaps for want of memory; the executed"):
        runs.run(toy, toy.parameters(trouble="exit"))
    assert only(tmp_path / "runs", "*").name.endswith("-failed")


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ("silent", r"us/toy recorded no result: end it with studies.record\(result\)"),
        ("other", "recorded a result for first=2 and not 1, trouble='none' and not 'other': read the parameters"),
    ],
)
def test_a_notebook_that_records_nothing_or_something_else_has_failed(toy, tmp_path, trouble, sentence):
    with pytest.raises(runs.RunFailed, match=sentence):
        runs.run(toy, toy.parameters(trouble=trouble))
    assert only(tmp_path / "runs", "*").name.endswith("-failed")


def test_plain_papermill_runs_the_notebook_and_records_the_result(toy, tmp_path):
    done = papermill.execute_notebook(
        toy.notebook, tmp_path / "done.ipynb", {"first": 2}, kernel_name="python3", progress_bar=False
    )
    assert runs.recorded(done)["parameters"] == toy.parameters(first=2).plain()


def test_results_take_nothing_half_written_failed_or_damaged(toy, tmp_path):
    root = tmp_path / "runs"
    record = {"run": "a", "time": "2026-01-01T00:00:00+00:00", **toy.run().to_dict()}
    for name in ("20260101T000000-us-toy-a", "20260102T000000-us-toy-b-failed", ".20260103T000000-us-toy-c"):
        (root / name).mkdir(parents=True)
        runs.write_json(root / name / "result.json", record)
    damaged = root / "20260104T000000-us-toy-d"
    damaged.mkdir()
    (damaged / "result.json").write_text('{"run": ')
    (damaged / "result_old.json").write_text("[]")
    with pytest.warns(UserWarning, match=r"20260104T000000-us-toy-d/result\.json is damaged and left out"):
        found = runs.results(root)
    assert found == [record]


@pytest.mark.parametrize(
    "broken",
    [
        {"study": "us/toy"},
        "study",
        None,
        {"run": None},
        {"time": 3},
        {"parameters": []},
        {"headline": "other"},
        {"estimates": {}},
        {"estimates": {"mean": {"table": []}}},
        {"error": 3},
    ],
)
def test_a_record_that_lacks_something_is_left_out_with_a_warning(toy, tmp_path, broken):
    record = {"run": "a", "time": "2026-01-01T00:00:00+00:00", **toy.run().to_dict()}
    whole = {**record, **broken} if isinstance(broken, dict) and "study" not in broken else broken
    for name, content in (("20260101T000000-us-toy-a", record), ("20260102T000000-us-toy-b", whole)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        runs.write_json(tmp_path / "runs" / name / "result.json", content)
    with pytest.warns(UserWarning, match=r"us-toy-b/result\.json is damaged and left out"):
        found = runs.results(tmp_path / "runs")
    assert found == [record]
    assert len(runs.headlines(found)) == 1
    assert len(runs.to_frame(found)) == 2


def test_an_interrupted_run_leaves_no_result(tmp_path):
    def interrupted(parent, *written):
        with runs.new_folder(parent, "us/toy", {}) as (folder, _):
            for name in written:
                (folder / name).touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        interrupted(tmp_path / "some", "part")
    kept = only(tmp_path / "some", "*")
    assert kept.name.endswith("-failed")
    assert stopped.value.__notes__ == [f"What was done is in {kept}."]
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


def test_a_runs_folder_that_cannot_be_written_is_named(toy, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(runs.Path, "mkdir", refused)
    with pytest.raises(StudyError, match=r"runs cannot be written: Permission denied; .* APMKIT_RUNS"):
        runs.run(toy, toy.parameters())


def test_a_full_disk_is_named_with_the_remedy(tmp_path):
    with (
        pytest.raises(StudyError, match=r"runs cannot be written: No space left on device; .* APMKIT_RUNS"),
        runs.new_folder(tmp_path / "runs", "us/toy", {}),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(FileNotFoundError, match="data"),
        runs.new_folder(tmp_path / "runs", "us/toy", {}),
    ):
        raise FileNotFoundError(errno.ENOENT, "No such file", "data")


@pytest.mark.parametrize("name", ["runs/x-failed", "runs/.hidden", "runs/.hidden/inside"])
def test_a_folder_that_results_pass_over_is_refused(toy, name):
    with pytest.raises(StudyError, match="would be missing from apmkit results: give a folder whose name"):
        runs.runs_folder(name)


def test_a_name_that_is_too_long_is_refused(toy, tmp_path):
    with pytest.raises(StudyError, match=r"cannot be written: File name too long; .* APMKIT_RUNS"):
        runs.run(toy, toy.parameters(), out=f"runs/{'x' * 300}")
    (tmp_path / "runs").mkdir(exist_ok=True)
    with pytest.raises(StudyError, match=r"cannot be written: File name too long; .* APMKIT_RUNS"):
        runs.runs_folder(f"runs/{'x' * 300}")


def test_results_go_to_the_runs_folder_or_inside_it_and_nowhere_else(toy, tmp_path):
    root = tmp_path / "runs"
    assert runs.runs_folder() == root
    assert runs.runs_folder("runs/seminar") == root / "seminar"
    root.mkdir()
    (root / "away").symlink_to(tmp_path)
    for outside in ("..", "runs/../x", "/tmp", "runs/away", "runs2"):
        with pytest.raises(
            StudyError, match=r"is outside the runs folder .*: give a folder inside it, or name another"
        ):
            runs.runs_folder(outside)
    (root / "file").touch()
    for blocked in ("runs/file", "runs/file/deeper"):
        with pytest.raises(StudyError, match="cannot hold results, a file is in its place"):
            runs.runs_folder(blocked)


@pytest.mark.parametrize("empty", [False, True])
def test_without_the_variable_the_runs_folder_is_in_the_working_directory(toy, tmp_path, monkeypatch, empty):
    if empty:
        monkeypatch.setenv("APMKIT_RUNS", "")
    else:
        monkeypatch.delenv("APMKIT_RUNS")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert runs.runs_folder() == tmp_path / "elsewhere" / "runs"


def test_frame_has_a_row_for_each_estimate_and_the_headline_marked(toy):
    record = {"run": "a", "time": "t", **toy.run(toy.parameters(leave_out=["on", "qc"])).to_dict()}
    record["data"] = {"mssp": "abc"}
    frame = runs.to_frame([record])
    assert frame["name"].tolist() == ["mean", "again"]
    assert frame["headline"].tolist() == [True, False]
    assert frame.loc[0, ["parameters.leave_out", "estimate", "n_obs", "data.mssp"]].tolist() == ["on,qc", 5.0, 3, "abc"]
    assert {"se", "ci_low", "ci_high", "p_value", "versions.apmkit"} <= set(frame.columns)


def test_the_frame_of_nothing_has_its_header_and_sizes_stay_whole_beside_a_failed_set(toy):
    assert {"run", "study", "name", "estimate", "p_value", "n_obs"} <= set(runs.to_frame([]).columns)
    record = {"run": "a", "time": "t", **toy.run().to_dict()}
    lost = {**{key: record[key] for key in ("run", "time", "study", "parameters")}, "error": "lost"}
    assert ",3,3,3," in runs.to_frame([record, lost]).to_csv(index=False)


def test_headlines_give_no_interval_beside_a_p_value_from_placebos_and_tell_data_apart(toy):
    record = {"run": "a", "time": "t", **toy.run().to_dict(), "data": {"mssp": "abc"}}
    placebo = json.loads(json.dumps({**record, "data": {"mssp": "abd"}}))
    placebo["estimates"]["mean"]["diagnostics"]["p_value_floor"] = 0.1
    table = runs.headlines([record, placebo, record])
    assert table["ci_low"].isna().tolist() == table["ci_high"].isna().tolist() == [False, True, False]
    assert table["p_value"].notna().all()
    assert "None" not in screen.headlines(runs.headlines([placebo]))
    assert table["data"].str.len().tolist() == [7, 7, 7]
    assert table["data"][0] == table["data"][2] != table["data"][1]
    assert runs.to_frame([placebo])["ci_low"].notna().all()
