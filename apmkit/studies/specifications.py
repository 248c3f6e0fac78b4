"""All reasonable sets of choices of a study, estimated once and kept until something that decides them changes."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apmkit
from apmkit.errors import ApmkitError
from apmkit.studies.parameters import Parameters, as_typed
from apmkit.studies.study import Study, StudyError, repository, versions
from apmkit.studies.sweep import forbidden, in_workers, points
from apmkit.words import rounded

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 200
"""Most sets of one study: more take long to estimate and cannot be told apart in a figure."""

_PACKAGE = Path(apmkit.__file__).parent
_NUMBERS = ("estimate", "ci_low", "ci_high", "level")


def specifications(
    study: Study, *, jobs: int | None = None, progress: bool | None = False, folder: Path | None = None
) -> pd.DataFrame:
    """The headline under every combination of the study's grid, other parameters at their defaults.

    Parameters
    ----------
    study : Study
        With a `grid`.
    jobs : int, optional
        Processes; the numbers do not depend on it. By default one per processor.
    progress : bool, optional
        Show a progress bar over the sets; with None on a terminal only.
    folder : path, optional
        Where they are kept; ``book/generated/grids`` in a clone, the folder of the user's data elsewhere.

    Returns
    -------
    DataFrame
        One row per combination, the last parameter changing fastest: ``parameters.<name>`` for those of the grid, as
        typed at the command line; `axis`, `estimate`, `ci_low`, `ci_high`, `level` and `sentence`; and `problem`, the
        reason where there is no estimate. There is no interval where p comes from placebos: the two can disagree.

    Raises
    ------
    StudyError
        The study has no grid, it has more than `LIMIT` sets, or a set failed.
    DataError
        A file that the study reads is absent, changed or truncated.
    """
    import pandas as pd

    path = (_kept_in() if folder is None else folder) / f"{study.name}.json"
    kept = _read(path)
    if kept is None or kept["digest"] != _digest(study, kept["files"]):
        kept = _estimated(study, jobs or os.cpu_count() or 1, progress)
        _write(path, kept)
    return pd.DataFrame(kept["rows"]).astype(dict.fromkeys(_NUMBERS, float))


def _kept_in() -> Path:
    from apmkit.datasets import user_data_folder

    root = repository()
    return root / "book" / "generated" / "grids" if root else user_data_folder() / "grids"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _write(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:  # a classroom's shared clone may be read-only; the numbers are there all the same
        warnings.warn(f"{path} cannot be written ({error.strerror}): it is estimated again next time.", stacklevel=3)


def _digest(study: Study, files: Iterable[str]) -> str | None:
    """Checksum of what decides the numbers: the grid, the data, the versions and the modules that were loaded."""
    grid = {name: [as_typed(value) for value in values] for name, values in study.grid.items()}
    decided = [study.name, grid, study.parameters().plain(), versions(), study.checksums()]
    digest = hashlib.sha256(json.dumps(decided).encode())
    for name in files:
        try:
            digest.update(hashlib.sha256((_PACKAGE / name).read_bytes()).digest())
        except FileNotFoundError:
            return None
    return digest.hexdigest()


def _estimated(study: Study, jobs: int, progress: bool | None) -> dict[str, Any]:
    from joblib.externals.loky import BrokenProcessPool, get_reusable_executor

    if not study.grid:
        raise StudyError(f"{study.name} has no grid: give its Study the choices that others could have made.")
    every = points(study.grid)
    rules = [forbidden(study, point) for point in every]
    sets = [study.parameters(**point) for point, rule in zip(every, rules, strict=True) if rule is None]
    if len(sets) > LIMIT:
        raise StudyError(
            f"The grid of {study.name} has {len(sets)} sets; leave out values until at most {LIMIT} remain."
        )
    get_reusable_executor(jobs).shutdown(wait=True)  # new workers, which load what this study needs and no more
    try:
        answers = list(in_workers(_estimate, study, sets, jobs=jobs, progress=progress))
    except BrokenProcessPool:
        raise StudyError(f"A worker of {study.name} died, perhaps for want of memory: use fewer jobs.") from None
    left = iter(answers)
    rows = []
    for point, rule in zip(every, rules, strict=True):
        choices = {f"parameters.{name}": as_typed(value) for name, value in point.items()}
        rows.append(choices | _BLANK | ({"problem": rule} if rule else next(left)[0]))
    default = {f"parameters.{name}": as_typed(getattr(study.parameters(), name)) for name in study.grid}
    if why := next(row["problem"] for row in rows if default.items() <= row.items()):
        raise StudyError(f"{study.name} has no answer with its defaults: {why}")
    tables = (p.relative_to(_PACKAGE).as_posix() for p in _PACKAGE.rglob("*") if p.suffix in {".yml", ".csv"})
    files = sorted({name for _, loaded in answers for name in loaded}.union(tables))
    return {"study": study.name, "digest": _digest(study, files), "files": files, "rows": rows}


_BLANK = {"axis": "", **dict.fromkeys(_NUMBERS), "sentence": "", "problem": ""}


def _estimate(study: Study, parameters: Parameters) -> tuple[dict[str, Any], list[str]]:
    """What one set gives, and the modules of the library that the worker has loaded by then."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = study.run(parameters)
        if not result.axis:
            raise TypeError("the result names no axis")
        headline = result.estimates[result.headline]
        first = headline.table.iloc[0]
        by_placebos = "p_value_floor" in headline.diagnostics
        bounds = {end: None if by_placebos else _finite(first[end]) for end in ("ci_low", "ci_high")}
        found = {"estimate": _finite(first["estimate"]), **bounds, "level": headline.level}
        row = {"axis": result.axis, **found, "sentence": " ".join(result.sentences)}
    except ApmkitError as error:  # an answer too: with these choices there is none
        row = {"problem": str(error)}
    except Exception as error:
        choices = " ".join(f"{name}={as_typed(value)}" for name, value in parameters.changed().items()) or "defaults"
        raise StudyError(f"{study.name} failed with {choices}: {type(error).__name__}: {error}.") from None
    loaded = (getattr(m, "__file__", None) for n, m in list(sys.modules.items()) if n.partition(".")[0] == "apmkit")
    here = (Path(file) for file in loaded if file)
    return row, [file.relative_to(_PACKAGE).as_posix() for file in here if file.is_relative_to(_PACKAGE)]


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < float("inf") else None


def row_of(study: Study, table: pd.DataFrame, parameters: Parameters) -> int | None:
    """Which row of `specifications` these parameters are; none if they differ from all of them."""
    choices = {f"parameters.{name}": as_typed(getattr(parameters, name)) for name in study.grid}
    same = (table[list(choices)] == list(choices.values())).all(axis=1)
    if any(name not in study.grid for name in parameters.changed()) or not same.any():
        return None
    return int(same.idxmax())


def in_words(rows: pd.DataFrame) -> str:
    """Range, signs and intervals of sets that share an axis.

    >>> import pandas as pd
    >>> in_words(pd.DataFrame({"axis": "Effect on visits, per 100", "estimate": [-2.0, -1.0, 0.5],
    ...                        "ci_low": [-3.0, -2.5, -1.0], "ci_high": [-1.0, 0.5, 2.0], "level": 0.95}))
    'Effect on visits, per 100: 3 sets of choices, from -2.00 to 0.50. 67% lie below zero, 33% above. 2 of the 3 \
intervals (95%) include zero.'
    >>> in_words(pd.DataFrame({"axis": "Score, points", "estimate": [2.0, 2.0], "ci_low": None, "ci_high": None}))
    'Score, points: 2 sets of choices, all with the answer 2.0. All lie above zero. They have no intervals.'
    """
    estimates, known = rows["estimate"].dropna(), rows.dropna(subset=["ci_low", "ci_high"])
    low, high, different = estimates.min(), estimates.max(), estimates.round(12).nunique()
    precision = (known["ci_high"] - known["ci_low"]).median() / 4 if len(known) else (high - low) / 4 or abs(high)
    text = f"{rows['axis'].iloc[0]}: {len(estimates)} sets of choices"
    ends = f"from {rounded(low, precision)} to {rounded(high, precision)}"
    if different == 1:
        text += f", {'all with' if len(estimates) > 1 else 'with'} the answer {rounded(low, precision)}."
    else:
        text += f" with {different} different answers, {ends}." if different < len(estimates) else f", {ends}."
    below, above = (estimates < 0).mean(), (estimates > 0).mean()
    if 1 in (below, above):
        text += f" All lie {'below' if below else 'above'} zero."
    else:
        text += f" {below:.0%} lie below zero, {above:.0%} above" + (
            ", the others at zero." if (estimates == 0).any() else "."
        )
    if known.empty:
        return f"{text} They have no intervals."
    zero = ((known["ci_low"] <= 0) & (known["ci_high"] >= 0)).sum()
    count = {0: "None", len(known): "All"}.get(zero, str(zero))
    return f"{text} {count} of the {len(known)} intervals ({100 * known['level'].iloc[0]:.6g}%) include zero."
