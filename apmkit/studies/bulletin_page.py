"""The page of a bulletin, as Markdown and as HTML, with the numbers behind it."""

from __future__ import annotations

import base64
import io
import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from apmkit.studies.bulletin import LEVEL, State, comparison, false_alarms
from apmkit.studies.markdown import plain, table
from apmkit.studies.runs import new_folder, runs_folder, stamped, write_json
from apmkit.words import rounded

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def write(before: State, after: State, *, words: tuple[str, str], out: Path | None = None) -> Path:
    """Write a bulletin into a new folder of the runs folder.

    The folder holds ``bulletin.md`` with ``bulletin.svg``, ``bulletin.html`` (one file to send), ``bulletin.csv`` (the
    table), ``before.json``, and ``results.json`` with the results after, which `apmkit results` lists.

    Parameters
    ----------
    before, after : State
    words : tuple of str
        What to call the two versions of the data.
    out : path, optional
        The runs folder or a folder inside it.

    Raises
    ------
    StudyError
        The folder cannot be made or written.
    """
    compared = comparison(before, after)
    with new_folder(runs_folder(out), "bulletin", [before["time"], after["time"]]) as (folder, final):
        drawn, alt = _svg(compared, words) if _numbers(compared) else ("", "")
        text = page(compared, before, after, words)
        picture = f"![{plain(alt)}](bulletin.svg)"
        (folder / "bulletin.md").write_text(text.replace(_HERE, picture if drawn else ""), encoding="utf-8")
        if drawn:
            (folder / "bulletin.svg").write_text(drawn, encoding="utf-8")
        (folder / "bulletin.html").write_text(_html(text, drawn, alt), encoding="utf-8")
        compared.to_csv(folder / "bulletin.csv", index=False)
        write_json(folder / "before.json", before)
        write_json(folder / "results.json", [stamped(record, final) for record in after["studies"].values()])
    return final


_HERE = "<!-- figure -->"
_ALT = "Estimate and interval of each study before and after, side by side, each study on its own scale."


def _numbers(compared: pd.DataFrame) -> bool:
    return bool(compared[["estimate_before", "estimate_after"]].notna().any(axis=None))


def figure(compared: pd.DataFrame, words: tuple[str, str]) -> Figure:
    """Old and new interval of each study."""
    from apmkit import plots

    return plots.revisions(compared, before=words[0], after=words[1])


def _svg(compared: pd.DataFrame, words: tuple[str, str]) -> tuple[str, str]:
    """The figure and what it shows in words."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from apmkit import plots
    from apmkit.plots.shown import in_words

    stream = io.StringIO()
    with mpl.rc_context():
        plots.use_style()
        drawn = figure(compared, words)
        alt = f"{_ALT} {in_words(drawn)}"
        plots.source(drawn, "the data named below; own calculation.")
        drawn.savefig(stream, format="svg", metadata={"Date": None}, bbox_inches="tight")
        plt.close(drawn)
    return stream.getvalue(), alt


def _html(text: str, drawn: str, alt: str) -> str:
    import nbformat

    from apmkit.studies.webpage import to_html

    data = base64.b64encode(drawn.encode()).decode()
    shown = f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">' if drawn else ""
    cell = nbformat.v4.new_markdown_cell(text.replace(_HERE, shown))
    return to_html(nbformat.v4.new_notebook(cells=[cell]), title="What new data changed")


def page(compared: pd.DataFrame, before: State, after: State, words: tuple[str, str]) -> str:
    """The page; ``<!-- figure -->`` marks the place of the figure."""
    parts = [
        "# What new data changed",
        f"{after['time'][:10]}. Before: {plain(words[0])}. After: {plain(words[1])}.",
        "\n".join(f"* {plain(sentence)}" for sentence in findings(compared)),
        _HERE,
        "## The estimates",
        table(HEADER, estimates(compared)),
        "In brackets, the move in standard errors of the earlier estimate. The two estimates share most of their data, "
        "so this is a scale and no test.",
        "## In words",
        *sentences(compared),
        "## Repeated looks",
        looks(compared),
        "## The data",
        table(
            ("Data", "Years before", "Years after", "SHA-256 before", "SHA-256 after"), versions_of_data(before, after)
        ),
        software(before, after),
        "",
    ]
    return "\n\n".join(parts)


def findings(compared: pd.DataFrame) -> list[str]:
    """What moved and what changed, in sentences."""
    both = compared[compared["moved"].notna()]
    moved = both[both["moved"].abs() > 1e-9 * both["estimate_before"].abs()]
    found = [f"{len(moved)} of {len(compared)} estimates moved, {len(both) - len(moved)} stayed as they were."]
    if moved["moved_in_se"].notna().any():
        most = moved.loc[moved["moved_in_se"].abs().idxmax()]
        found.append(
            f"The largest move is {abs(most['moved_in_se']):.2f} standard errors, "
            f"{'up' if most['moved'] > 0 else 'down'}, of {most['study']}."
        )
    changed = compared[compared["conclusion_changed"]]
    found += [
        f"The conclusion of {row.study} changed from “{row.conclusion_before}” to “{row.conclusion_after}”."
        for row in changed.itertuples()
    ] or ["No conclusion changed: what was clear is still clear, on the same side of zero, and nothing else is."]
    found += [f"The sign of {row.study} changed." for row in compared[compared["sign_changed"]].itertuples()]
    for row in compared.itertuples():
        for when in ("before", "after"):
            if error := getattr(row, f"error_{when}"):
                found.append(f"{row.study} has no answer {when}: {error.removeprefix(f'{row.study}: ')}")
        if row.conclusion_before == "not looked at":
            found.append(f"{row.study} is looked at for the first time.")
    return found


HEADER = ("Study", "Before", "After", "Moved (standard errors)", "Conclusion")


def estimates(compared: pd.DataFrame) -> list[tuple[str, ...]]:
    """Rows of the table of estimates, as Markdown."""
    rows = []
    for _, row in compared.iterrows():
        precision = next((row[se] for se in ("se_before", "se_after") if row[se] > 0), abs(row["estimate_after"]) / 100)
        cells = []
        for when in ("before", "after"):
            value, low, high = (row[f"{key}_{when}"] for key in ("estimate", "ci_low", "ci_high"))
            shown = rounded(value, precision) if math.isfinite(value) else "no answer"
            if math.isfinite(low):
                shown += f" ({rounded(low, precision)} to {rounded(high, precision)})"
            cells.append(f"{shown}<br>{plain(row[f'window_{when}'])}".removesuffix("<br>"))
        moved = rounded(row["moved"], precision) if math.isfinite(row["moved"]) else ""
        moved += f" ({row['moved_in_se']:+.2f})" if math.isfinite(row["moved_in_se"]) else ""
        said = row["conclusion_after"]
        if row["conclusion_changed"]:
            said = f"**changed**: {row['conclusion_before']}, now {said}"
        rows.append((f"{plain(row['study'])}<br>{plain(row['axis'])}", *cells, moved, said))
    return rows


def sentences(compared: pd.DataFrame) -> list[str]:
    """What each study says before and after, a paragraph each."""
    return [
        f"**{plain(row.study)}**\n\n* Before: {plain(row.sentence_before or row.error_before or row.conclusion_before)}"
        f"\n* After: {plain(row.sentence_after or row.error_after)}"
        for row in compared.itertuples()
    ]


def looks(compared: pd.DataFrame) -> str:
    """What repeated looks do to false alarms, and which estimates are clear when all looks are counted."""
    most = int(compared["looks"].max())
    chance = false_alarms(most).loc[most, "each_at_95"]
    clear = [f"{row.study} (p {p_text(row.p_value_after)})" for row in compared[compared["alarm"]].itertuples()]
    below = compared.loc[compared["looks"].idxmax(), "threshold"]
    said = f"clear are: {plain(', '.join(clear))}." if clear else "no estimate is clear."
    return (
        f"A 95% interval is for one look. This is look number {most} (of the studies looked at most). If nothing had "
        "ever changed, and each look brought as much new information as the first, "
        f"{chance:.0%} of such histories would have shown at least one interval without zero by now. The intervals "
        "here are not widened for that. A rule that counts all looks: at look k, take an estimate for clear only if p "
        f"is below {LEVEL}/(k(k+1)), now {below:.2g}. Then false alarms over all looks at a study, however many, stay "
        f"within {LEVEL:.0%}. By this rule, {said} It counts the looks at each study and not the number of studies."
    )


def p_text(p: float) -> str:
    """A p-value in words."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def versions_of_data(before: State, after: State) -> list[tuple[str, ...]]:
    """Rows of the table of data versions, as Markdown."""

    def years(version):
        found = version.get("years", [])
        return f"{min(found)} to {max(found)}" if found else ""

    rows = []
    for name, new in after["data"].items():
        old = before["data"].get(name, {})
        sums = (f"`{version.get('sha256', '')[:12]}`" if version else "" for version in (old, new))
        rows.append((plain(name), years(old), years(new), *sums))
    return rows


def software(before: State, after: State) -> str:
    """The versions of the software, and what it means if they differ."""
    new = ", ".join(f"{name} {version}" for name, version in after["versions"].items())
    if before["versions"] == after["versions"]:
        return f"The software is the same before and after: {new}."
    old = ", ".join(f"{name} {version}" for name, version in before["versions"].items())
    return f"The software changed too, so a move need not come from the data alone. Before: {old}. After: {new}."
