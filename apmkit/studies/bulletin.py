"""What new data change: the studies that read them, before and after.

A *state* is what the studies say of one version of the data: plain values, fit for JSON. The state of the last bulletin
is kept in the folder of the user's data; the next bulletin compares with it.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apmkit.errors import ApmkitError
from apmkit.studies.parameters import as_typed
from apmkit.studies.study import Study, StudyError, versions
from apmkit.studies.sweep import ONE_THREAD

if TYPE_CHECKING:
    import pandas as pd

State = dict[str, Any]
_NUMBERS = ("estimate", "se", "ci_low", "ci_high", "p_value")
LEVEL = 0.05
"""Share of histories with a false alarm that is accepted."""


def readers(dataset: str | None = None) -> list[Study]:
    """Studies that read a data set, or any data; simulations read none.

    Raises
    ------
    DataError
        There is no such data set.

    Examples
    --------
    >>> "us/mssp_downside_risk" in [study.name for study in readers("mssp")]
    True
    """
    from apmkit import datasets, studies

    if dataset is not None:
        datasets.describe(dataset)
    every = [studies.get(name) for name in studies.names()]
    return [study for study in every if (study.data or study.own if dataset is None else dataset in study.data)]


def with_and_without(dataset: str, year: int, *, progress: bool | None = False) -> tuple[State, State]:
    """What the studies of a data set say without one of its years, and with it.

    Raises
    ------
    DataError
        There is no such data set, or it does not hold the year.
    StudyError
        No study reads it, or a worker died.
    """
    before, after = states(_some(readers(dataset), dataset), [{dataset: year}, {}], progress=progress)
    return before, looked_at(after, before)


def since_last(dataset: str | None = None, *, progress: bool | None = False) -> tuple[State | None, State]:
    """What studies said at the last bulletin, and what those say whose data changed since; `keep` ends the bulletin.

    Returns
    -------
    before : dict or None
        None at the first bulletin.
    after : dict
        Of the studies whose data differ; at the first bulletin of all.
    """
    before = last()
    chosen = _some(readers(dataset), dataset)
    if before is not None:
        there = before["studies"]
        chosen = [s for s in chosen if s.name not in there or there[s.name]["data"] != s.checksums()]
    (after,) = states(chosen, [{}], progress=progress)
    return before, looked_at(after, before)


def _some(studies: list[Study], dataset: str | None) -> list[Study]:
    if not studies:
        raise StudyError(f"No study reads {dataset}: apmkit studies shows what each reads.")
    return studies


def states(
    studies: Iterable[Study], withheld: Sequence[Mapping[str, int]], *, progress: bool | None = False
) -> list[State]:
    """What studies say of versions of the data, each up to the last year there is.

    Each version has a process of its own: studies keep tables between runs, and one must not see those of another.

    Parameters
    ----------
    studies : iterable of Study
    withheld : sequence of mapping of str to int
        For each version the data sets that lack a year; empty for the data as they are.
    progress : bool, optional
        Show a progress bar; with None on a terminal only.

    Raises
    ------
    DataError
        A data set does not hold the year, or a file is absent, changed or truncated.
    StudyError
        A worker died.
    """
    from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor
    from tqdm import tqdm

    studies = list(studies)
    data = [_versions_of_data(studies, without) for without in withheld]
    records: list[dict[str, Any]] = [{} for _ in withheld]
    pools = [ProcessPoolExecutor(max_workers=1, env=ONE_THREAD) for _ in withheld]
    try:
        hidden = None if progress is None else not progress
        for study in tqdm(studies, desc="Studies", unit="study", disable=hidden):
            tasks = [pool.submit(_record, study, without) for pool, without in zip(pools, withheld, strict=True)]
            for version, task in zip(records, tasks, strict=True):
                version[study.name] = task.result()
    except BrokenProcessPool:
        raise StudyError("A worker died, perhaps for want of memory: close other programs and try again.") from None
    finally:
        for pool in pools:
            pool.shutdown(kill_workers=True)  # after Ctrl-C nobody waits for what is running
    about = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "versions": versions()}
    return [{**about, "data": of, "studies": found} for of, found in zip(data, records, strict=True)]


@contextmanager
def _without(withheld: Mapping[str, int]) -> Iterator[None]:
    from apmkit import datasets

    with ExitStack() as stack:
        for name, year in withheld.items():
            stack.enter_context(datasets.withheld(name, year))
        yield


def _versions_of_data(studies: Iterable[Study], withheld: Mapping[str, int]) -> dict[str, Any]:
    from apmkit import datasets

    with _without(withheld):
        names = dict.fromkeys(name for study in studies for name in study.data)
        shipped = {name: {"sha256": datasets.checksum(name), "years": datasets.years(name)} for name in names}
        return shipped | {own.name: {"sha256": own.checksum(), "years": []} for study in studies for own in study.own}


def _record(study: Study, withheld: Mapping[str, int]) -> dict[str, Any]:
    with _without(withheld):
        return _answer(study)


def _answer(study: Study) -> dict[str, Any]:
    """The result up to the last year there is; where a rule of the study forbids that, with its defaults."""
    from apmkit import datasets

    latest = {parameter: max(datasets.years(name)) - lag for parameter, (name, lag) in study.latest.items()}
    about = {"study": study.name, "data": study.checksums(), "looks": 1}
    refused = ""
    for values in (latest, {}) if latest else ({},):
        try:
            parameters = study.parameters(**values)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = study.run(parameters)
        except ApmkitError as error:  # an answer too: on these data there is none
            refused = refused or str(error)
            continue
        return {**about, **result.to_dict(), "axis": result.axis}
    return {**about, "parameters": study.each_alone(**latest).plain(), "error": refused}


def looked_at(after: State, before: State | None) -> State:
    """The state with the number of times that each study has been looked at."""
    earlier = before["studies"] if before else {}
    looked = {
        name: {**record, "looks": earlier.get(name, {}).get("looks", 0) + 1}
        for name, record in after["studies"].items()
    }
    return {**after, "studies": looked}


def comparison(before: State, after: State) -> pd.DataFrame:
    """The headline of each study before and after.

    Returns
    -------
    DataFrame
        One row per study of `after`: `study`, `axis`, and with the endings ``_before`` and ``_after`` `estimate`,
        `se`, `ci_low`, `ci_high`, `p_value`, `conclusion`, `sentence`, `window` and `error`; then `moved`,
        `moved_in_se` (in standard errors before), `sign_changed`, `conclusion_changed`, `looks`, `threshold` (what p
        must be below at this look for an alarm that counts all looks) and `alarm`.
    """
    import pandas as pd

    rows = []
    for name, new in after["studies"].items():
        old = before["studies"].get(name)
        row = {"study": name, "axis": new.get("axis", "")}
        for when, record in (("before", old), ("after", new)):
            row |= {f"{key}_{when}": value for key, value in _headline(record).items()}
        row["moved"] = row["estimate_after"] - row["estimate_before"]
        row["moved_in_se"] = row["moved"] / row["se_before"] if row["se_before"] > 0 else math.nan
        row["sign_changed"] = row["estimate_before"] * row["estimate_after"] < 0
        both = row["error_before"] == row["error_after"] == "" and old is not None
        row["conclusion_changed"] = both and row["conclusion_before"] != row["conclusion_after"]
        row["looks"], row["threshold"] = new["looks"], threshold(new["looks"])
        row["alarm"] = bool(row["p_value_after"] < row["threshold"])
        rows.append(row)
    return pd.DataFrame(rows)


def _headline(record: Mapping[str, Any] | None) -> dict[str, Any]:
    blank = {**dict.fromkeys(_NUMBERS, math.nan), "conclusion": "no answer", "sentence": "", "window": "", "error": ""}
    if record is None:
        return {**blank, "conclusion": "not looked at"}
    window = _window(record)
    if "error" in record:
        return {**blank, "window": window, "error": record["error"]}
    headline = record["estimates"][record["headline"]]
    first = headline["table"][0]
    numbers = {key: math.nan if first[key] is None else first[key] for key in _NUMBERS}
    if "p_value_floor" in headline["diagnostics"]:  # p from placebos: the interval rests on other reasoning
        numbers |= {"ci_low": math.nan, "ci_high": math.nan}
    said = " ".join(record["sentences"])
    return {**blank, **numbers, "conclusion": conclusion(numbers), "sentence": said, "window": window}


def _window(record: Mapping[str, Any]) -> str:
    """The parameters that follow the data, as typed."""
    from apmkit import studies

    names = studies.get(record["study"]).latest if record["study"] in studies.names() else {}
    return " ".join(f"{name}={as_typed(record['parameters'][name])}" for name in names)


def conclusion(numbers: Mapping[str, float]) -> str:
    """What a number says of zero: by its interval, and where it has none by p.

    >>> conclusion({"estimate": 2.0, "ci_low": 1.0, "ci_high": 3.0, "p_value": 0.01})
    'above zero'
    >>> conclusion({"estimate": 2.0, "ci_low": float("nan"), "ci_high": float("nan"), "p_value": 0.08})
    'zero not excluded'
    """
    if math.isfinite(numbers["ci_low"]) and math.isfinite(numbers["ci_high"]):
        clear = numbers["ci_low"] > 0 or numbers["ci_high"] < 0
    elif math.isfinite(numbers["p_value"]):
        clear = numbers["p_value"] < LEVEL
    else:
        return "a number without interval"
    return ("above zero" if numbers["estimate"] > 0 else "below zero") if clear else "zero not excluded"


def threshold(look: int) -> float:
    """What p must be below at a look so that over all looks, however many, false alarms stay within `LEVEL`.

    The thresholds of all looks, ``LEVEL / (k (k + 1))``, sum to `LEVEL`; by Boole's inequality this holds however the
    looks depend on each other.

    >>> round(sum(threshold(look) for look in range(1, 100_000)), 4)
    0.05
    """
    return LEVEL / (look * (look + 1))


def false_alarms(looks: int, *, draws: int = 100_000, seed: int = 0) -> pd.DataFrame:
    """Share of histories with at least one false alarm, by number of looks, by simulation.

    Nothing ever changes, and each look adds as much independent information as the first.

    Returns
    -------
    DataFrame
        Rows 1 to `looks`; columns `each_at_95`, where each look has a 95% interval of its own, and `corrected`, where
        each has the `threshold` of its number.
    """
    import numpy as np
    import pandas as pd
    from scipy import special

    number = np.arange(1, looks + 1)
    sums = np.random.default_rng(seed).standard_normal((draws, looks)).cumsum(axis=1)
    p = 2 * special.ndtr(-np.abs(sums) / np.sqrt(number))
    found = {"each_at_95": p < LEVEL, "corrected": p < threshold(number)}
    shares = {name: np.logical_or.accumulate(alarm, axis=1).mean(axis=0) for name, alarm in found.items()}
    return pd.DataFrame(shares, index=pd.Index(number, name="looks"))


# -- the state of the last bulletin ------------------------------------------------------------------------------------


def _baseline() -> Path:
    from apmkit.datasets import user_data_folder

    return user_data_folder() / "bulletin" / "last.json"


def last() -> State | None:
    """The state of the last bulletin; None if there was none.

    Raises
    ------
    StudyError
        Its file is damaged.
    """
    path = _baseline()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {key: kept[key] for key in ("time", "versions", "data", "studies")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise StudyError(
            f"{path} is damaged: delete it, and the next bulletin is the first; --dataset NAME --without YEAR compares "
            "without it."
        ) from None


def keep(after: State, before: State | None) -> Path:
    """Keep a state for the next bulletin, with what is known of other studies.

    Raises
    ------
    StudyError
        The folder of the user's data cannot be written.
    """
    path = _baseline()
    joined = {key: {**(before or {}).get(key, {}), **after[key]} for key in ("data", "studies")}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps({**after, **joined}, indent=1, allow_nan=False), encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise StudyError(
            f"{path} cannot be written ({error.strerror}): name another folder in the environment variable APMKIT_DATA."
        ) from None
    return path
