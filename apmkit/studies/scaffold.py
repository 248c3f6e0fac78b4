"""A new case study on the user's own data: notebook, module, test and the lines that list them."""

from __future__ import annotations

import ast
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import yaml

from apmkit.errors import DesignWarning
from apmkit.studies.markdown import plain
from apmkit.studies.own_data import OwnData
from apmkit.studies.study import StudyError, repository

if TYPE_CHECKING:
    import pandas as pd

COUNTRIES = {"us": "United States", "canada": "Canada", "both": "Both countries"}
"""First word of a name; country of the study and part of the book."""

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(rf"(?P<country>{'|'.join(COUNTRIES)})/(?P<subject>[a-z][a-z0-9]*(_[a-z0-9]+)*)")
_LONGEST = 60
_CODE = re.compile(r"^```code (?P<tags>[\w -]*?)\n(?P<source>.*?)^```$", re.M | re.S)


def new_study(
    name: str,
    data: OwnData,
    *,
    columns: Mapping[str, str],
    outcomes: Sequence[str],
    title: str | None = None,
) -> list[Path]:
    """Write a study that runs at once, after its data were found fit for it.

    Parameters
    ----------
    name : str
        ``country/subject``: us, canada or both, and lower-case words joined by ``_``.
    data : OwnData
    columns : mapping of str to str
        What `apmkit.Panel` calls a column, and its name: ``unit``, ``time``, ``cohort`` or ``treatment``, and where
        wanted ``cluster`` and ``weights``.
    outcomes : sequence of str
        Columns to study; the first is the default.
    title : str, optional
        The question, one line.

    Returns
    -------
    list of Path
        Files written: module, notebook, test; then files with one line more: the registry and the table of contents.

    Raises
    ------
    StudyError
        There is no clone, the name is not allowed or taken, or the title has several lines.
    OwnDataError
        The file cannot be read, or lacks a column.
    PanelError
        The rows are no panel: see `apmkit.Panel`.
    EstimationError
        The default estimator has nothing to compare.
    """
    root = repository()
    if root is None:
        raise StudyError(
            "A new study needs a clone of the repository: git clone https://github.com/apmkit/apmkit, install it with "
            "pip install -e '.[book,test]', and run this there."
        )
    country, subject = _parts(name)
    module = f"{country}_{subject}"
    files = {
        root / "apmkit" / "studies" / f"{module}.py": "module.txt",
        root / "notebooks" / country / f"{subject}.ipynb": "notebook.md",
        root / "tests" / "studies" / f"test_{module}.py": "test.txt",
    }
    for path in files:
        if path.exists():
            raise StudyError(f"{path.relative_to(root)} is there already and stays as it is: choose another name.")
    title = f"What changed in {_words(outcomes[0])}?" if title is None else title.strip()
    if not title.isprintable() or not title:
        raise StudyError("The title must be one line of text.")
    _check(data, columns, outcomes)

    class_name = "".join(word.capitalize() for word in subject.split("_")) + "Parameters"
    cell = {"outcome": outcomes[0], "control": "not_yet_treated", "estimator": "callaway_santanna",
            "sample": "all", "scale": "level"}  # fmt: skip
    values = {
        "name": name,
        "module": module,
        "country": COUNTRIES[country],
        "class_name": class_name,
        "label": module.replace("_", "-"),
        "key": module,
        "heading": plain(title),
        "words": plain(_words(outcomes[0])),
        "title": _literal(title),
        "file": _literal(data.file),
        "table": _literal(data.table),
        "text": _literal(data.text),
        "columns": _literal(dict(columns)),
        "outcomes": _literal({outcome: (_words(outcome), "") for outcome in outcomes}),
        "outcome": _literal(outcomes[0]),
        "cell": "\n".join(f"{parameter} = {_literal(value)}" for parameter, value in cell.items()),
    }
    texts = {path: _filled(template, values) for path, template in files.items()}
    lists = {
        root / "apmkit" / "studies" / "registry.py": lambda text: registered(text, name),
        root / "book" / "_toc.yml": lambda text: listed(text, f"notebooks/{name}", COUNTRIES[country]),
    }
    texts |= {path: with_line(path.read_text(encoding="utf-8")) for path, with_line in lists.items()}
    for path, text in texts.items():  # the lists last: until then nothing knows of the study
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        path.parent.mkdir(exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    return list(texts)


def _parts(name: str) -> tuple[str, str]:
    """Country and subject of a name that is allowed and free."""
    from apmkit.studies.registry import NAMES

    found = _NAME.fullmatch(name)
    if found is None or len(name) > _LONGEST:
        raise StudyError(
            f"{name!r} cannot be the name of a study: write country/subject, country one of {', '.join(COUNTRIES)}, "
            f"the subject lower-case words joined by _, {_LONGEST} letters at most; for instance us/clinic_visits."
        )
    if name in NAMES:
        raise StudyError(f"There is a study {name} already: choose another name.")
    return found["country"], found["subject"]


def _check(data: OwnData, columns: Mapping[str, str], outcomes: Sequence[str]) -> None:
    """Refuse data that cannot answer; all that is asked is what the study asks with its defaults."""
    import apmkit as apm

    used = [*(name for role, name in columns.items() if role != "cluster"), *outcomes]
    if twice := [name for name in used if used.count(name) > 1]:
        raise StudyError(
            f"Column {twice[0]!r} is named twice: unit, time, outcome and the others are different columns."
        )
    frame: pd.DataFrame = data.load([*columns.values(), *outcomes])
    for name in (column for column in used if column != columns["unit"]):
        _check_numbers(data, frame[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)  # the study shows them as notes each time it runs
        for outcome in outcomes:
            panel = apm.Panel(frame, outcome=outcome, **columns)
            apm.callaway_santanna(panel, control="not_yet_treated", base_period="universal").aggregate("simple")


def _check_numbers(data: OwnData, column: pd.Series) -> None:
    """Refuse text among numbers by the cell that holds it; `Panel` could only name the column."""
    import pandas as pd

    if not pd.api.types.is_string_dtype(column):
        return
    wrong = column.notna() & pd.to_numeric(column, errors="coerce").isna()
    if wrong.any():
        first = wrong.idxmax()
        more = f", and text in {wrong.sum() - 1} more rows" if wrong.sum() > 1 else ""
        raise StudyError(
            f"Column {column.name!r} of {data.name} holds {column[first]!r} in row {first + 1} of the data{more}: "
            "write numbers without signs and separators, whole years, 0 and 1, or leave a cell empty."
        )


def _words(column: str) -> str:
    """Words for a column that no figure or page takes for markup."""
    return " ".join(re.findall(r"[\w%.,+-]+", column.replace("_", " "))) or "the outcome"


def _literal(value: Any) -> str:
    """A value as Python source, texts in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=True)
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    return repr(value)


def _filled(template: str, values: Mapping[str, str]) -> str:
    text = Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)
    return _notebook(text) if template.endswith(".md") else text


def _notebook(text: str) -> str:
    """The notebook of a text in which fenced blocks ``code TAGS`` are cells."""
    import nbformat

    cells, at = [], 0
    for found in _CODE.finditer(text):
        cells += [(text[at : found.start()], None), (found["source"], found)]
        at = found.end()
    cells.append((text[at:], None))
    made = []
    for source, code in cells:
        if code is None and source.strip():
            made.append(nbformat.v4.new_markdown_cell(source.strip()))
        elif code is not None:
            made.append(nbformat.v4.new_code_cell(source.strip(), metadata={"tags": code["tags"].split()}))
    for number, cell in enumerate(made):
        cell["id"] = f"c{number:02d}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(
        cells=made, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
    )
    return nbformat.writes(notebook) + "\n"


def registered(text: str, name: str) -> str:
    """The source of the registry with one more name.

    >>> print(registered('NAMES = (\\n    "us/a",\\n)\\n', "us/b"))
    NAMES = (
        "us/a",
        "us/b",
    )
    <BLANKLINE>
    """
    lines = text.splitlines(keepends=True)
    names = _names(text)
    closing = lines[names.end_lineno - 1]
    lines.insert(names.end_lineno - 1, f"    {_literal(name)},\n")
    new = "".join(lines)
    if closing.strip() != ")" or ast.literal_eval(_names(new)) != (*ast.literal_eval(names), name):
        raise StudyError(
            "NAMES in apmkit/studies/registry.py is not one name on each line: write it so, then try again."
        )
    return new


def _names(text: str) -> ast.Tuple:
    return next(
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["NAMES"]
    )


def listed(text: str, file: str, part: str) -> str:
    """The table of contents with one more page at the end of a part, which is made if it is not there.

    >>> print(listed("parts:\\n  - caption: Canada\\n    chapters:\\n      - file: a\\n", "b", "Canada"))
    parts:
      - caption: Canada
        chapters:
          - file: a
          - file: b
    <BLANKLINE>
    """
    lines = text.rstrip("\n").split("\n")
    head, line = f"  - caption: {part}", f"      - file: {file}"
    if head in lines:
        start = lines.index(head) + 1
        at = next((n for n in range(start, len(lines)) if lines[n].startswith("  - ")), len(lines))
        lines.insert(at, line)
    else:
        lines += [head, "    chapters:", line]
    new = "\n".join(lines) + "\n"
    expected = yaml.safe_load(text)
    parts = {each["caption"]: each for each in expected["parts"]}
    if part not in parts:
        parts[part] = {"caption": part, "chapters": []}
        expected["parts"].append(parts[part])
    parts[part]["chapters"].append({"file": file})
    try:
        fits = yaml.safe_load(new) == expected
    except yaml.YAMLError:
        fits = False
    if not fits:
        raise StudyError(
            f"book/_toc.yml has another layout than expected: add '- file: {file}' by hand, then try again."
        )
    return new


def path_from(root: Path, file: Path) -> str:
    """A file's path as a study keeps it: from the top of the clone, so that it names no folder of one's own."""
    try:
        return Path(os.path.relpath(file.resolve(), root)).as_posix()
    except ValueError:  # another drive of Windows
        return file.resolve().as_posix()
