"""What every study page shows of its parameters and choices follows the run."""

import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

from apmkit import ApmkitError, plots, studies
from apmkit.studies import Study, runs, specifications
from apmkit.studies.sweep import combinations, sweep


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """What is displayed, in its order."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda shown, metadata=None: found.append(shown))
    monkeypatch.setattr(specifications, "_kept_in", lambda: tmp_path / "grids")
    yield found
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def study(toy):
    grid = {"outcome": ("cost", "visits"), "first": (1, 2, 3), "log": (False, True)}
    return Study(toy.name, toy.title, toy.country, (), toy.Parameters, toy.estimate, grid)


def test_the_header_has_every_parameter_what_the_run_changed_and_commands(study, shown):
    studies.show_parameters(study, study.parameters(first=2, leave_out="on,qc"))
    table, text = shown
    assert list(table.data["Name"]) == list(study.Parameters.model_fields)
    assert text.data == (
        "This run differs from the defaults in: first = 2, leave\\_out = on,qc.\n\n"
        "From a terminal, one other choice, and all combinations of two:\n\n```bash\n"
        "apmkit run us/toy -p outcome=visits\n"
        "apmkit sweep us/toy --grid outcome=cost,visits --grid first=1,2 --jobs 2\n```"
    )


def test_the_curve_has_what_the_run_measures_and_the_others_are_summed_up(study, shown):
    studies.show_specifications(study, study.parameters(outcome="visits"), source="invented.")
    text, figure = shown
    assert "**Mean of visits, visits: 3 sets of choices, from" in text.data
    assert "* Mean of cost, dollars: 3 sets of choices" in text.data
    assert (
        "3 further combinations have no answer, most often for this reason: log=true needs outcome=cost." in text.data
    )
    assert "no p-value" in text.data
    curve = figure.axes[0]
    assert curve.get_title(loc="left") == "Mean of visits, visits"
    assert [note.get_text() for note in curve.texts] == ["this run"]
    assert "Source: invented." in [note.get_text() for note in figure.texts]


def test_a_run_that_is_no_set_of_the_grid_says_so_and_marks_the_defaults(study, shown):
    studies.show_specifications(study, study.parameters(scale=2), source="invented.")
    text, figure = shown
    assert "`scale=1.0`" in text.data
    assert "This run has `scale=2.0` and is not among them." in text.data
    assert "None of the 2 other sets give a lower number than the defaults." in text.data
    assert [note.get_text() for note in figure.axes[0].texts] == ["default"]
    studies.show_what_if(study, study.parameters(scale=2), source="invented.")
    assert '"start":0' in shown[-1].data
    studies.show_what_if(study, study.parameters(first=3), source="invented.")
    assert '"start":4' in shown[-1].data


def test_the_curve_draws_a_sweep_of_ones_own(toy):
    _, records = sweep(toy, *combinations(toy, {"first": "1:3", "level": "all"}, {}))
    table = runs.to_frame(records).query("headline")
    ax = plots.specification_curve(table, mark={"mine": {"first": 2, "level": 95}}, label="Mean cost, dollars")
    below = ax.figure.axes[1]
    assert [tick.get_text() for tick in below.get_yticklabels()] == ["1", "2", "3", "90", "95"]
    assert below.get_xlabel().startswith("6 sets of choices")
    drawn = ax.lines[0].get_ydata()
    assert list(drawn) == sorted(table["estimate"])
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.parametrize(
    ("table", "options", "sentence"),
    [
        ({"estimate": [1.0]}, {}, "no column 'ci_low'"),
        ({"estimate": [None], "ci_low": [None], "ci_high": [None]}, {}, "no estimate to show"),
        (
            {"estimate": [1.0], "ci_low": [0.0], "ci_high": [2.0], "parameters.a": ["x"]},
            {"mark": {"default": {"b": 1}}},
            "no choice 'b', only a",
        ),
    ],
)
def test_a_table_that_is_no_curve_is_refused(table, options, sentence):
    with pytest.raises(ApmkitError, match=sentence):
        plots.specification_curve(pd.DataFrame(table), **options)
