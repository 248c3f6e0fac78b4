"""Run a study over all combinations of some parameters, as functions and without notebooks."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from apmkit.studies.parameters import Parameters
from apmkit.studies.runs import failed, new_folder, runs_folder, stamped, to_frame, write_json
from apmkit.studies.study import Study, StudyError

# The number of threads decides the order of sums in linear algebra, and with it the last digits.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def combinations(
    study: Study, grid: Mapping[str, str], fixed: Mapping[str, Any]
) -> tuple[list[Parameters], dict[Parameters, str]]:
    """All combinations of the values in `grid`, checked.

    Parameters
    ----------
    study : Study
    grid : mapping of str to str
        For each parameter ``a,b`` or ``2014:2018`` (whole numbers, both ends included) or ``all``; ``a,b+c`` are two
        values of a parameter that takes several at once.
    fixed : mapping
        Values of other parameters.

    Returns
    -------
    sets : list of Parameters
    skipped : dict of Parameters to str
        Combinations that a rule between parameters forbids, and the rule's sentence.

    Raises
    ------
    StudyError
        A name or value is not allowed, a parameter is both fixed and in the grid, or no combination is allowed.

    Examples
    --------
    >>> from pydantic import Field, create_model
    >>> first = (int, Field(2014, ge=2013, le=2020, description="First year."))
    >>> logs = (bool, Field(False, description="Take logarithms."))
    >>> few = create_model("Few", __base__=Parameters, first=first, logs=logs)
    >>> study = Study("us/few", "Few", "United States", (), few, estimate=print)
    >>> sets, skipped = combinations(study, {"first": "2014:2015", "logs": "all"}, {})
    >>> [(p.first, p.logs) for p in sets]
    [(2014, False), (2014, True), (2015, False), (2015, True)]
    """
    study.each_alone(**fixed)
    both = [name for name in grid if name in fixed]
    if both:
        raise StudyError(f"{both[0]} is both fixed and in the grid: give it once.")
    sets: dict[Parameters, None] = {}
    skipped: dict[Parameters, str] = {}
    for point in points({name: _values(study, name, text) for name, text in grid.items()}):
        values = {**fixed, **point}
        why = forbidden(study, values)
        if why is None:
            sets[study.parameters(**values)] = None
        else:
            skipped[study.each_alone(**values)] = why
    if not sets:
        others = f"none of these {len(skipped)} combinations is allowed; the first: " if len(skipped) > 1 else ""
        raise StudyError(f"{study.name}: {others}{next(iter(skipped.values()))}")
    return list(sets), skipped


def points(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of the values of several parameters; the last parameter changes fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def forbidden(study: Study, values: Mapping[str, Any]) -> str | None:
    """The sentence of the rule between parameters that forbids these values; none if they are allowed."""
    try:
        study.parameters(**values)
    except StudyError as error:
        return str(error).removeprefix(f"{study.name}: ")
    return None


def _values(study: Study, name: str, text: str) -> list[Any]:
    known = study.Parameters.model_fields
    if name in known and text == "all":
        if not study.Parameters.choices(name):
            raise StudyError(
                f"{name}=all is not allowed, {name} is a {study.Parameters.allowed(name)}: give a list such as "
                f"{name}=1,2 or a range such as {name}=1:3."
            )
        return [[c] if study.Parameters.takes_several(name) else c for c in study.Parameters.choices(name)]
    low, colon, high = text.partition(":")
    if colon and name in known and known[name].annotation is int:
        try:
            values = range(int(low), int(high) + 1)
        except ValueError:
            raise StudyError(f"{name}={text!r} is not a range: write {name}=2014:2018, both ends included.") from None
        if not values:
            raise StudyError(f"The range {name}={text!r} is empty: write the lower end first.")
        study.each_alone(**{name: values[0]})
        study.each_alone(**{name: values[-1]})
        return list(values)
    values = [part.strip() for part in text.split(",")]
    if "" in values:
        raise StudyError(f"--grid {name}={text} has an empty value: write {name}=first,second or {name}=all.")
    if name in known and study.Parameters.takes_several(name):
        values = [value.split("+") if "+" in value else value for value in values]
    for value in values:
        study.each_alone(**{name: value})
    return values


def sweep(
    study: Study,
    sets: list[Parameters],
    skipped: Mapping[Parameters, str] = MappingProxyType({}),
    *,
    jobs: int = 1,
    out: Path | None = None,
    progress: bool = False,
) -> tuple[Path, list[dict[str, Any]]]:
    """Estimate with each set of parameters and keep ``results.json`` and ``results.csv`` in a new folder.

    If it is interrupted, both files hold what was finished, in a folder whose name ends in ``-failed``.

    Parameters
    ----------
    study : Study
    sets : list of Parameters
    skipped : mapping of Parameters to str, optional
        Both from `combinations`; those skipped are not estimated and stand in both files with the reason.
    jobs : int
        Processes; the numbers do not depend on it.
    out : path, optional
        The runs folder or a folder inside it.
    progress : bool
        Show a progress bar over the sets.

    Returns
    -------
    folder : Path
    records : list of dict
        In the order of `sets`, then `skipped`; one that failed holds `error` in place of estimates, one that was
        skipped holds `skipped`.

    Raises
    ------
    StudyError
        `jobs` is below 1.
    DataError
        A file that the study reads is absent, changed or truncated.
    """
    from joblib.externals.loky import BrokenProcessPool

    study.checksums()  # without its data nothing starts
    with new_folder(runs_folder(out), f"{study.name}-sweep", [p.plain() for p in sets]) as (folder, final):
        records = []
        try:
            records.extend(in_workers(estimated, study, sets, jobs=jobs, progress=progress))
        except BrokenProcessPool:
            lost = "A worker process died, perhaps for want of memory: sweep fewer sets or use fewer jobs."
            records += [_without_result(study, parameters, error=lost) for parameters in sets[len(records) :]]
        except KeyboardInterrupt:
            if records:
                _write(folder, [stamped(record, failed(final)) for record in records])
            raise
        records += [_without_result(study, parameters, skipped=why) for parameters, why in skipped.items()]
        records = [stamped(record, final) for record in records]
        _write(folder, records)
    return final, records


def in_workers(
    function: Callable[[Study, Parameters], Any],
    study: Study,
    sets: Sequence[Parameters],
    *,
    jobs: int,
    progress: bool | None = False,
) -> Iterator[Any]:
    """What a function of the study and one set gives for each set, in their order, from warm processes.

    Raises
    ------
    StudyError
        `jobs` is below 1.
    """
    from joblib.externals.loky import get_reusable_executor
    from tqdm import tqdm

    if jobs < 1:
        raise StudyError(f"jobs={jobs} is not allowed; give 1 or more.")
    work = get_reusable_executor(jobs, env=ONE_THREAD).map(function, itertools.repeat(study), sets)
    return iter(
        tqdm(work, desc=study.name, total=len(sets), unit="set", disable=None if progress is None else not progress)
    )


def _write(folder: Path, records: list[dict[str, Any]]) -> None:
    write_json(folder / "results.json", records)
    to_frame(records).to_csv(folder / "results.csv", index=False)


def estimated(study: Study, parameters: Parameters) -> dict[str, Any]:
    """The record of one set, with `warnings`; one that failed holds `error`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            record = study.run(parameters).to_dict()
        except Exception as error:  # one set must not lose the others
            record = _without_result(study, parameters, error=f"{type(error).__name__}: {error}")
    return {**record, "warnings": list(dict.fromkeys(str(w.message) for w in caught))}


def _without_result(study: Study, parameters: Parameters, **why: str) -> dict[str, Any]:
    return {"study": study.name, "parameters": parameters.plain(), **why}
