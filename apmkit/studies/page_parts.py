"""What every page of a study shows: its parameters and commands, its specification curve, and other choices to try."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from apmkit.studies.markdown import plain
from apmkit.studies.parameters import Parameters, as_typed
from apmkit.studies.specifications import in_words, row_of, specifications
from apmkit.studies.study import Study
from apmkit.studies.sweep import forbidden

if TYPE_CHECKING:
    import pandas as pd


def show_parameters(study: Study, parameters: Parameters) -> None:
    """Show in a notebook the table of parameters, what this run changed, and the commands to run it again.

    Parameters
    ----------
    study : Study
    parameters : Parameters
        Those of the run.
    """
    from IPython.display import Markdown, display

    table = study.parameter_table().rename(columns=str.capitalize)
    style = table.style.hide().format(escape="html")
    style = style.set_properties(**{"text-align": "left", "vertical-align": "top"})
    display(style.set_properties(subset=["Meaning"], **{"min-width": "15em"}))  # a sentence, beside lists of names
    changed = ", ".join(f"{name} = {as_typed(value)}" for name, value in parameters.changed().items())
    run = f"This run differs from the defaults in: {plain(changed)}." if changed else "This run uses the defaults."
    commands = "\n".join(example_commands(study))
    display(
        Markdown(
            f"{run}\n\nFrom a terminal, one other choice, and all combinations of two:\n\n```bash\n{commands}\n```"
        )
    )


def example_commands(study: Study) -> list[str]:
    """One run with another value of a parameter, and a sweep over two parameters (one, if there is but one).

    >>> from apmkit import studies
    >>> for command in example_commands(studies.get("us/mssp_downside_risk")):
    ...     print(command)
    apmkit run us/mssp_downside_risk -p outcome=admissions_per_1000
    apmkit sweep us/mssp_downside_risk --grid outcome=spending_per_capita,admissions_per_1000 \
--grid estimator=callaway_santanna,imputation --jobs 2
    """
    others = {}
    for name in [*study.grid, *study.Parameters.model_fields]:
        default = study.Parameters.model_fields[name].default
        values = study.grid.get(name) or study.Parameters.some_values(name)
        fit = [value for value in values if value != default and forbidden(study, {name: value}) is None]
        if fit:
            others.setdefault(name, (default, fit[0]))
    first, (_, value) = next(iter(others.items()))
    axes = [
        f"--grid {quote(f'{name}=' + ','.join(as_typed(value).replace(',', '+') for value in values))}"
        for name, values in list(others.items())[:2]
    ]
    return [
        f"apmkit run {study.name} -p {quote(f'{first}={as_typed(value)}')}",
        f"apmkit sweep {study.name} {' '.join(axes)} --jobs 2",
    ]


def show_specifications(study: Study, parameters: Parameters, *, source: str) -> None:
    """Show in a notebook the specification curve of a study and what it says.

    The curve has the sets that measure what this run measures, in its unit; the others are summed up in words.

    Parameters
    ----------
    study : Study
        With a `grid`.
    parameters : Parameters
        Those of the run.
    source : str
        For the line below the figure.
    """
    from IPython.display import Markdown, display

    from apmkit import plots

    table = specifications(study)
    names = list(study.grid)
    marks = {"default": study.parameters()}
    if row_of(study, table, parameters) is not None and parameters.changed():
        marks = {"this run": parameters, **marks}
    here = table.loc[row_of(study, table, next(iter(marks.values()))), "axis"]
    groups = dict(list(table[table["axis"] != ""].groupby("axis", sort=False)))
    default = table.loc[row_of(study, table, study.parameters())]
    display(Markdown("\n\n".join([_fixed(study, parameters), *_findings(table, groups, here, default)])))
    ax = plots.specification_curve(
        groups[here],
        mark={mark: {name: as_typed(getattr(chosen, name)) for name in names} for mark, chosen in marks.items()},
        label=here,
    )
    plots.show(ax, alt=f"{_CURVE} {in_words(groups[here])}", source=source)


_CURVE = (
    "Specification curve: estimate and interval of every set of choices, sorted by size; below it, which choices each "
    "set makes."
)


def _fixed(study: Study, parameters: Parameters) -> str:
    """Which parameters vary and at what value the others are kept."""
    varied = ", ".join(f"`{name}`" for name in study.grid)
    rest = [name for name in study.Parameters.model_fields if name not in study.grid]
    defaults = study.parameters()
    kept = ", ".join(f"`{name}={as_typed(getattr(defaults, name))}`" for name in rest)
    text = f"Others could have chosen otherwise. The figure repeats the estimate with every combination of {varied}"
    text += f"; the other parameters keep their defaults ({kept})." if kept else "."
    elsewhere = [name for name in parameters.changed() if name in rest]
    if elsewhere:
        values = ", ".join(f"`{name}={as_typed(getattr(parameters, name))}`" for name in elsewhere)
        text += f" This run has {values} and is not among them."
    return text


_NAMED = 4
"""Most other axes that are summed up one by one; a longer list is not read."""


def _findings(table: pd.DataFrame, groups: dict[str, pd.DataFrame], here: str, default: pd.Series) -> list[str]:
    found = [f"**{plain(in_words(groups[here]))}**"]
    if default["axis"] == here:
        estimates = groups[here]["estimate"].dropna()
        others = len(estimates) - 1
        lower = (estimates < default["estimate"]).sum()
        count = {0: "None", others: "All"}.get(lower, str(lower))
        found[0] += f" {count} of the {others} other sets give a lower number than the defaults."
    others = [f"* {plain(in_words(rows))}" for axis, rows in groups.items() if axis != here]
    if len(others) > _NAMED:
        found.append(f"{len(others)} other outcomes and units have curves of their own, which the menus below show.")
    elif others:
        told = "\n".join(others)
        found.append(f"Other outcomes and units have curves of their own, which the menus below show:\n\n{told}")
    without = table[table["problem"] != ""]
    if len(without):
        reasons = without["problem"].value_counts()
        found.append(
            f"{len(without)} further combinations have no answer, most often for this reason: {plain(reasons.index[0])}"
        )
    found.append(
        "All sets use the same data. The curve shows how far the answer depends on choices. It is no test: "
        "a share of sets is not a probability, and there is no p-value in it."
    )
    return found


def show_what_if(study: Study, parameters: Parameters, *, source: str) -> None:
    """Show in a notebook menus and sliders over the sets of a study that change a figure and a sentence in the browser.

    Parameters
    ----------
    study : Study
        With a `grid`.
    parameters : Parameters
        Those of the run; the menus start there, or at the defaults if no set has them.
    source : str
        For the line below the figure.
    """
    from IPython.display import HTML, display

    from apmkit.studies.what_if import panel

    table = specifications(study)
    start = row_of(study, table, parameters)
    default = row_of(study, table, study.parameters())
    display(HTML(panel(study, table, default=default, start=default if start is None else start, source=source)))
