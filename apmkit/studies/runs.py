"""Run a study's notebook into a folder of its own, and read what earlier runs found."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, model_validator

from apmkit.errors import ApmkitFailure
from apmkit.studies.execution import NotebookError, execute_notebook
from apmkit.studies.parameters import Parameters, as_typed
from apmkit.studies.study import MIME, Study, StudyError

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode


_FOLDER_AT_FAULT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG}


class RunFailed(ApmkitFailure):
    """A notebook stopped before its result; the message names the cell, the error and the folder that is kept."""


def runs_folder(out: str | Path | None = None) -> Path:
    """The folder that takes results: `out`, which must be the runs folder or inside it.

    The runs folder is ``runs`` in the working directory, or what the environment variable ``APMKIT_RUNS`` names.

    Raises
    ------
    StudyError
        `out` is elsewhere, `results` would pass over it, a file is in its place, or it cannot be reached.
    """
    root = Path(os.environ.get("APMKIT_RUNS") or "runs").resolve()
    folder = root if out is None else Path(out).resolve()
    if not folder.is_relative_to(root):
        raise StudyError(
            f"{str(out)!r} is outside the runs folder {root}: give a folder inside it, or name another runs folder in "
            "the environment variable APMKIT_RUNS."
        )
    if _passed_over(folder.relative_to(root).parts):
        raise StudyError(
            f"{str(out)!r} would be missing from apmkit results: give a folder whose name does not start with . and "
            "does not end with -failed."
        )
    try:
        blocked = any(path.exists() and not path.is_dir() for path in (folder, *folder.parents))
    except OSError as error:
        raise _unwritable(folder, error) from None
    if blocked:
        raise StudyError(f"{folder} cannot hold results, a file is in its place: move the file or give another folder.")
    return folder


def _passed_over(names: tuple[str, ...]) -> bool:
    """Whether a folder is hidden or holds the remains of a failed run."""
    return any(name.startswith(".") or name.endswith("-failed") for name in names)


def _unwritable(folder: Path, error: OSError) -> StudyError:
    return StudyError(
        f"{folder} cannot be written: {error.strerror or error}; mend that, or name another runs folder in the "
        "environment variable APMKIT_RUNS."
    )


@contextmanager
def new_folder(parent: Path, study: str, content: Any) -> Iterator[tuple[Path, Path]]:
    """A folder to write results in, and the one it becomes once all of them are there.

    If the block fails, what it wrote is kept in a folder whose name ends in ``-failed``.

    Raises
    ------
    StudyError
        The folder cannot be made or written.
    """
    now = datetime.now(UTC)
    digest = hashlib.sha256(f"{now.isoformat()} {os.getpid()} {study} {content}".encode()).hexdigest()[:6]
    final = parent / f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}-{study.replace('/', '-')}-{digest}"
    unfinished = parent / f".{final.name}"
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(parent, error) from None
    try:
        yield unfinished, final
    except BaseException as error:
        if any(unfinished.iterdir()):
            unfinished.rename(failed(final))
            error.add_note(f"What was done is in {failed(final)}.")
        else:
            unfinished.rmdir()
        if isinstance(error, OSError) and error.errno in _FOLDER_AT_FAULT:
            raise _unwritable(parent, error) from None
        raise
    unfinished.rename(final)


def failed(folder: Path) -> Path:
    """Where the remains of a failed run are kept."""
    return folder.with_name(f"{folder.name}-failed")


def run(study: Study, parameters: Parameters, *, out: Path | None = None, progress: bool = False) -> Path:
    """Execute the notebook of a study and keep the executed copy, an HTML page of it and ``result.json``.

    Parameters
    ----------
    study : Study
    parameters : Parameters
        From ``study.parameters(...)``.
    out : path, optional
        The runs folder or a folder inside it.
    progress : bool
        Show a progress bar over the cells.

    Returns
    -------
    Path
        A new folder; it appears only when all files are complete.

    Raises
    ------
    DataError
        A file that the study reads is absent, changed or truncated.
    RunFailed
        A cell failed, the kernel died, or no result was recorded.
    """
    from apmkit.studies.webpage import to_html

    study.checksums()  # without its data nothing starts
    with new_folder(runs_folder(out), study.name, parameters.plain()) as (folder, final):
        stem = study.name.rpartition("/")[2]
        notebook = folder / f"{stem}.ipynb"
        kept = f"the executed copy is {failed(final) / notebook.name}."
        try:
            executed = execute_notebook(study.notebook, notebook, parameters.plain(), cwd=folder, progress=progress)
        except NotebookError as error:
            raise RunFailed(f"{study.name} {error}; {kept}") from error
        record = recorded(executed)
        if record is None:
            raise RunFailed(f"{study.name} recorded no result: end it with studies.record(result); {kept}")
        if (record["study"], record["parameters"]) != (study.name, parameters.plain()):
            raise RunFailed(
                f"{study.name} recorded a result for {_differences(record, study, parameters)}: read the parameters "
                f"with study.from_cell(globals()); {kept}"
            )
        try:
            page = to_html(executed, title=study.title)
        except StudyError as error:
            raise RunFailed(f"{study.name} ran, but its page was not made: {_first_line(error)}; {kept}") from error
        (folder / f"{stem}.html").write_text(page, encoding="utf-8")
        write_json(folder / "result.json", stamped(record, final))
    return final


def recorded(notebook: NotebookNode) -> dict[str, Any] | None:
    """The result that `apmkit.studies.record` left in an executed notebook, the last if there are several."""
    found = [
        output.data[MIME]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if MIME in output.get("data", {})
    ]
    return json.loads(json.dumps(found[-1])) if found else None


def _differences(record, study: Study, parameters: Parameters) -> str:
    if record["study"] != study.name:
        return f"the study {record['study']}"
    asked = parameters.plain()
    return ", ".join(f"{k}={v!r} and not {asked[k]!r}" for k, v in record["parameters"].items() if v != asked[k])


def stamped(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The record with the name of its run and the time, in UTC, at which it was complete."""
    return {"run": folder.name, "time": datetime.now(UTC).isoformat(timespec="seconds"), **record}


def write_json(path: Path, content: Any) -> None:
    """Write JSON that any reader accepts: no NaN."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def results(folder: Path, study: str | None = None) -> list[dict[str, Any]]:
    """Records of all complete runs and sweeps under a folder, oldest first.

    Parameters
    ----------
    folder : path
        From `runs_folder`.
    study : str, optional
        Only the records of this study.

    Warns
    -----
    UserWarning
        A result file cannot be read; it is left out.
    """
    records = []
    for path in sorted(folder.rglob("result*.json"), key=lambda p: p.parent.name):
        if path.name not in ("result.json", "results.json") or _passed_over(path.relative_to(folder).parts[:-1]):
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            entries = content if isinstance(content, list) else [content]
            for entry in entries:
                _Record.model_validate(entry)
            records += [entry for entry in entries if study in (None, entry["study"])]
        except (ValueError, OSError):
            warnings.warn(f"{path} is damaged and left out: delete its folder and run it again.", stacklevel=2)
    return records


class _Row(BaseModel):
    term: str
    estimate: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None


class _Estimate(BaseModel):
    outcome: str
    n_obs: int
    n_units: int
    n_clusters: int
    table: list[_Row] = Field(min_length=1)
    diagnostics: dict[str, Any] = {}


_NUMBERS = ("estimate", "se", "ci_low", "ci_high", "p_value")
_SIZES = ("n_obs", "n_units", "n_clusters")


class _Record(BaseModel):
    """What a record must hold to be listed."""

    run: str
    time: str
    study: str
    parameters: dict[str, Any]
    data: dict[str, str] = {}
    versions: dict[str, str] = {}
    error: str | None = None
    skipped: str | None = None
    headline: str | None = None
    estimates: dict[str, _Estimate] = {}

    @model_validator(mode="after")
    def _complete(self):
        if self.error is None and self.skipped is None and self.headline not in self.estimates:
            raise ValueError("a record without error or skipped has estimates and a headline among them")
        return self


def to_frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Records as one row per term of each estimate; a set of a sweep that failed or was skipped is one row.

    Columns are `run`, `time`, `study`, ``parameters.<name>``, `name` of the estimate, whether it is the `headline`, the
    columns of its table, `n_obs`, `n_units`, `n_clusters`, `error`, `skipped`, ``data.<name>`` (SHA-256) and
    ``versions.<name>``.
    """
    import pandas as pd

    rows = []
    for record in records:
        about = {key: record[key] for key in ("run", "time", "study")}
        about |= {f"parameters.{name}": _cell(value) for name, value in record["parameters"].items()}
        after = {f"{key}.{name}": v for key in ("data", "versions") for name, v in record.get(key, {}).items()}
        for name, estimate in record.get("estimates", {}).items():
            sizes = {key: estimate[key] for key in _SIZES}
            for term in estimate["table"]:
                rows.append({**about, "name": name, "headline": name == record["headline"], **term, **sizes, **after})
        rows += [{**about, why: record[why], **after} for why in ("error", "skipped") if why in record]
    if not rows:
        return pd.DataFrame(columns=["run", "time", "study", "name", "headline", *_Row.model_fields, *_SIZES])
    frame = pd.DataFrame(rows)
    return frame.astype({key: "Int64" for key in _SIZES if key in frame})


def headlines(records: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per record that was not skipped: run, study, changed parameters, and the first term of the headline.

    The interval is left out where p comes from placebos: the two rest on different reasoning and can disagree. `data`
    is the start of a checksum over those of all data sets.
    """
    import pandas as pd

    rows = []
    for record in records:
        if "skipped" in record:
            continue
        row = {"run": record["run"], "study": record["study"], "changed": changed(record)}
        if "error" in record:
            row["error"] = record["error"]
        else:
            headline = record["estimates"][record["headline"]]
            first = headline["table"][0]
            row |= {"outcome": headline["outcome"], "term": first["term"]}
            row |= {key: first[key] for key in _NUMBERS}
            if "p_value_floor" in headline.get("diagnostics", {}):
                row |= {"ci_low": None, "ci_high": None}
            row["data"] = _data_checksum(record)
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.astype({key: float for key in _NUMBERS if key in frame})


def changed(record: dict[str, Any]) -> str:
    """The parameters of a record that differ from the study's defaults, as they are typed."""
    from apmkit.studies.registry import get, names

    defaults = get(record["study"]).parameters().plain() if record["study"] in names() else {}
    values = {k: v for k, v in record["parameters"].items() if k not in defaults or defaults[k] != v}
    return " ".join(f"{name}={as_typed(value)}" for name, value in values.items()) or "(defaults)"


def _data_checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record.get("data", {}), sort_keys=True).encode()).hexdigest()[:7]


def _cell(value: Any) -> Any:
    return as_typed(value) if isinstance(value, list) else value


def _first_line(error: BaseException | str) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
