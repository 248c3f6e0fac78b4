"""The "what if" panel: menus and sliders over sets of choices that were estimated beforehand, in one piece of HTML."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apmkit.studies.study import Study

if TYPE_CHECKING:
    import pandas as pd

_HERE = Path(__file__).parent


def panel(study: Study, table: pd.DataFrame, *, default: int, start: int, source: str) -> str:
    """HTML with its own data, style and script: it needs no server, no network and no other file.

    Without JavaScript it shows the sentence of the set it starts with, and a table of the sets that differ from the
    default in one choice.

    Parameters
    ----------
    study : Study
        With a `grid`.
    table : DataFrame
        From `apmkit.studies.specifications.specifications`.
    default, start : int
        Rows of the table: the defaults, and the set to start with.
    source : str
        Where the data come from.
    """
    values = {name: list(table[f"parameters.{name}"].unique()) for name in study.grid}
    axes = [axis for axis in table["axis"].unique() if axis]
    numbers = table[["estimate", "ci_low", "ci_high"]].to_numpy().tolist()
    sets = [
        problem or [axes.index(axis), *map(_short, three), sentence]
        for problem, axis, three, sentence in zip(
            table["problem"], table["axis"], numbers, table["sentence"], strict=True
        )
    ]
    data = {
        "study": study.name,
        "names": list(values),
        "values": list(values.values()),
        "axes": axes,
        "level": f"{100 * table['level'].max():.6g}%",
        "default": default,
        "start": start,
        "sets": sets,
    }
    # A sentence cannot end the script element that holds it.
    content = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    places = {name: table.loc[start, f"parameters.{name}"] for name in values}
    controls = "\n".join(_control(study, name, values[name], places[name], table.loc[default]) for name in values)
    script, style = ((_HERE / f"what_if.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    return f"""\
<style>{style}</style>
<div class="what-if">
<form hidden>
{controls}
<button type="button">Back to the defaults</button>
</form>
<p class="says" role="status" aria-live="polite">{escape(table.loc[start, "sentence"])}</p>
<div class="drawing"></div>
<p class="source">Source: {escape(source)}</p>
<p class="command" hidden>A page with these choices: <code></code></p>
<script type="application/json">{content}</script>
<div class="plain">{_plain(study, table, table.loc[default])}</div>
</div>
<script>{script}</script>"""


def _short(value: float) -> float | None:
    """Six digits, more than a figure shows."""
    return float(f"{value:.6g}") if value == value else None


def _control(study: Study, name: str, values: list[str], chosen: str, default: pd.Series) -> str:
    at, usual = f"what-if-{name}", default[f"parameters.{name}"]
    label = f'<label for="{at}"><b>{_words(name)}</b> {escape(study.Parameters.model_fields[name].description)}</label>'
    if not study.Parameters.choices(name):
        return (
            f'<div>{label}<span class="slider"><input type="range" id="{at}" min="0" max="{len(values) - 1}" '
            f'value="{values.index(chosen)}"><output for="{at}"></output></span></div>'
        )
    options = "".join(
        f"<option{' selected' * (value == chosen)}>{_words(value)}{' (default)' * (value == usual)}</option>"
        for value in values
    )
    return f'<div>{label}<select id="{at}">{options}</select></div>'


def _words(name: Any) -> str:
    return escape(str(name).replace("_", " ").replace(",", ", "))


def _plain(study: Study, table: pd.DataFrame, default: pd.Series) -> str:
    """A table of the default and of every set that differs from it in one choice."""
    names = [f"parameters.{name}" for name in study.grid]
    rows = [f"<tr><th>default</th><td>{escape(default['sentence'])}</td></tr>"]
    for name in names:
        others = [other for other in names if other != name]
        alone = table[(table[others] == default[others]).all(axis=1) & (table[name] != default[name])]
        rows += [
            f"<tr><th>{_words(name.removeprefix('parameters.'))}: {_words(row[name])}</th>"
            f"<td>{escape(row['sentence'] or row['problem'])}</td></tr>"
            for _, row in alone.iterrows()
        ]
    head = "<tr><th>One choice changed</th><th>What is found</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
