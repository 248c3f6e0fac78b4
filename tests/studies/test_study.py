"""Parameters are refused in one sentence; the registry, the classes and the notebooks agree."""

import ast
import hashlib
import json
from typing import Annotated, Literal

import nbformat
import pytest
from pydantic import Field

from apmkit import studies
from apmkit.contract import read_contract
from apmkit.studies import Parameters, StudyError
from apmkit.studies.parameters import NameOrFile

REAL = studies.names()


def cell_parameters(notebook):
    """Assignments of the cell tagged `parameters`, read and not run."""
    cells = nbformat.read(notebook, as_version=4).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    found = {}
    for statement in ast.parse(cell.source).body:
        assert isinstance(statement, ast.Assign), f"{notebook.name}: {ast.unparse(statement)} is no plain assignment"
        (target,) = statement.targets
        found[target.id] = ast.literal_eval(statement.value)
    return found


@pytest.mark.parametrize("name", REAL)
def test_parameters_cell_has_the_names_and_defaults_of_the_class(name):
    study = studies.get(name)
    found = cell_parameters(study.notebook)
    assert list(found) == list(study.Parameters.model_fields)
    assert json.dumps(found) == json.dumps(study.parameters().plain())


@pytest.mark.parametrize("name", REAL)
def test_notebook_checks_its_parameters_and_records_its_result(name):
    code = [cell.source for cell in nbformat.read(studies.get(name).notebook, as_version=4).cells if "source" in cell]
    assert any(f'studies.get("{name}")' in cell and ".from_cell(globals())" in cell for cell in code)
    assert any("studies.record(result)" in cell for cell in code)


@pytest.mark.parametrize("name", REAL)
def test_study_names_itself_and_registered_data(name):
    from apmkit import datasets

    study = studies.get(name)
    assert study.name == name
    assert bool(study.data or study.own) != (study.country == "Simulation")
    assert set(study.data) <= set(datasets.names())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"outcom": "cost"},
            "us/toy: no parameter 'outcom' (did you mean 'outcome'?), only outcome, first, scale, level, log, "
            "leave_out, trouble.",
        ),
        ({"outcome": "price"}, "us/toy: outcome='price' is not allowed; give one of cost, visits."),
        ({"outcome": "../x"}, "us/toy: outcome='../x' is not allowed; give one of cost, visits."),
        ({"first": 4}, "us/toy: first=4 is not allowed; give a whole number from 1 to 3."),
        ({"first": "two"}, "us/toy: first='two' is not allowed; give a whole number from 1 to 3."),
        ({"first": 1.5}, "us/toy: first=1.5 is not allowed; give a whole number from 1 to 3."),
        ({"scale": float("nan")}, "us/toy: scale=nan is not allowed; give a number from 0.5 to 2."),
        ({"level": "99"}, "us/toy: level='99' is not allowed; give one of 90, 95."),
        ({"log": "perhaps"}, "us/toy: log='perhaps' is not allowed; give one of false, true."),
        ({"leave_out": "on,ab"}, "us/toy: leave_out='ab' is not allowed; give none, or any of on, qc."),
        ({"leave_out": "qc,qc"}, "us/toy: leave_out=qc,qc names a value twice; name each once."),
        ({"leave_out": True}, "us/toy: leave_out=True is not allowed; give none, or any of on, qc."),
        ({"log": True, "outcome": "visits"}, "us/toy: log=true needs outcome=cost."),
        (
            {"first": 0, "scale": 3},
            "us/toy: first=0 is not allowed; give a whole number from 1 to 3; scale=3 is not allowed; give a number "
            "from 0.5 to 2.",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_in_a_sentence_that_says_what_is_allowed(toy, values, sentence):
    with pytest.raises(StudyError) as refused:
        toy.parameters(**values)
    assert str(refused.value) == sentence


def test_values_typed_as_text_become_the_values_of_the_class(toy):
    typed = toy.parameters(first="2", scale="1.5", level="90", log="true", leave_out="on,qc")
    assert typed == toy.parameters(first=2, scale=1.5, level=90, log=True, leave_out=["on", "qc"])
    assert typed.plain()["leave_out"] == ["on", "qc"]
    assert toy.parameters(leave_out="").leave_out == toy.parameters(leave_out="none").leave_out == ()
    assert toy.parameters(trouble="none").trouble == "none"


def test_changed_lists_only_what_differs_from_the_defaults(toy):
    assert toy.parameters(first=1, outcome="visits").changed() == {"outcome": "visits"}


def test_a_cell_that_forgets_a_parameter_is_refused(toy):
    cell = {**toy.parameters().plain(), "other": 1}
    assert toy.from_cell(cell) == toy.parameters()
    del cell["scale"]
    with pytest.raises(StudyError, match="does not set scale: us/toy needs each"):
        toy.from_cell(cell)


def test_a_class_that_leaves_a_parameter_open_cannot_be_written():
    with pytest.raises(TypeError, match="'free' of Open allows too much"):

        class Open(Parameters):
            free: str = Field("x", description="Any text.")

    with pytest.raises(TypeError, match="'half' of HalfOpen allows too much"):

        class HalfOpen(Parameters):
            half: int = Field(1, ge=0, description="No upper end.")

    with pytest.raises(TypeError, match="'some' of Unclear: 'none' stands for no value at all"):

        class Unclear(Parameters):
            some: tuple[Literal["none", "all"], ...] = Field((), description="Members.")

    with pytest.raises(TypeError, match="'bare' of Bare needs a default and a description"):

        class Bare(Parameters):
            bare: bool = Field(False)


class OwnFile(Parameters):
    contract: Annotated[str, NameOrFile(("bc_lfp", "ontario_fho"), read_contract)] = Field(
        "bc_lfp", description="A contract."
    )


OWN = studies.Study("us/own", "Own", "Simulation", (), OwnFile, estimate=print)
CONTRACT = """name: mine
title: Mine
country: US
finance:
  payments:
    - name: fees
      type: fee_for_service
      engine: fee_for_service
"""


def test_a_parameter_can_be_a_name_or_a_file_which_is_read_before_anything_runs(tmp_path, monkeypatch):
    file = tmp_path / "mine.yml"
    file.write_text(CONTRACT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    given = OWN.parameters(contract="mine.yml")
    assert given.contract == str(file)
    assert given == OWN.parameters(contract=file)
    assert OWN.each_alone(contract="mine.yml").contract == str(file)
    assert given.checksums() == {"contract": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert OWN.parameters().checksums() == {}
    assert OwnFile.choices("contract") == ("bc_lfp", "ontario_fho")
    assert OwnFile.allowed("contract") == "bc_lfp, ontario_fho, or the path of a .yml file"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("ontario", "contract='ontario' is not allowed; give one of bc_lfp, ontario_fho, or the path of a .yml file."),
        ("/etc/hostname", "contract='/etc/hostname' is not allowed; give one of bc_lfp"),
        (5, "contract=5 is not allowed; give one of bc_lfp"),
        (None, "contract=None is not allowed; give one of bc_lfp"),
        (["bc_lfp"], "contract=['bc_lfp'] is not allowed; give one of bc_lfp"),
        ("absent.yml", "absent.yml cannot be read: No such file or directory."),
        ("a\0.yml", "us/own: 'a\\x00.yml' is no path of a file (embedded null byte); give another."),
        ("wrong.yml", "us/own: wrong.yml, line 4: YAML reads yes as a truth value; put it in quotes, or write true"),
        ("meant.yml", "us/own: meant.yml, line 7: finance.payments.1.type cannot be 'fee_for_servic'; did you mean"),
        (".", "contract='.' is not allowed; give one of bc_lfp"),
    ],
)
def test_a_file_that_is_absent_or_wrong_is_refused_in_its_own_sentence(tmp_path, monkeypatch, given, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.yml").write_text(CONTRACT.replace("finance", "jurisdiction: yes\nfinance"), encoding="utf-8")
    (tmp_path / "meant.yml").write_text(CONTRACT.replace("fee_for_service", "fee_for_servic", 1), encoding="utf-8")
    with pytest.raises(StudyError) as refused:
        OWN.parameters(contract=given)
    assert sentence in str(refused.value)
    assert not str(refused.value).endswith("?.")
    assert "\n" not in str(refused.value)


def test_parameter_table_gives_name_meaning_default_and_allowed(toy):
    table = toy.parameter_table().set_index("name")
    assert list(table.columns) == ["meaning", "default", "allowed"]
    assert table.loc["first"].tolist() == ["First of the numbers to use.", "1", "whole number from 1 to 3"]
    assert table.loc["log"].tolist() == ["Take logarithms.", "false", "false, true"]
    assert table.loc["leave_out", ["default", "allowed"]].tolist() == ["none", "none, or any of on, qc"]


@pytest.mark.parametrize("name", REAL)
def test_every_default_is_shown_as_it_can_be_typed(name):
    study = studies.get(name)
    shown = study.parameter_table().set_index("name")["default"]
    assert shown.ne("").all()
    assert study.parameters(**shown) == study.parameters()


def test_an_unknown_study_is_refused_with_the_nearest_name():
    with pytest.raises(StudyError) as refused:
        studies.get("us/mssp_downside_risks")
    assert str(refused.value) == (
        "There is no study 'us/mssp_downside_risks' (did you mean 'us/mssp_downside_risk'?): the studies are "
        f"{', '.join(REAL)}."
    )


def test_a_result_must_have_its_headline_and_come_from_a_run(toy):
    from toy import estimate

    bare = estimate(toy.parameters())
    with pytest.raises(ValueError, match=r"names no study: get it from study\.run"):
        bare.to_dict()
    with pytest.raises(ValueError, match="headline 'other' is not among the estimates mean, again"):
        studies.Result(bare.estimates, "other", ())


def test_to_dict_holds_parameters_estimates_and_versions_as_plain_json(toy):
    record = toy.run(toy.parameters(first=2)).to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["parameters"]["first"] == 2
    assert record["estimates"]["mean"]["table"][0]["estimate"] == 6
    assert set(record["versions"]) == {"apmkit", "python", "numpy", "pandas", "scipy"}


def test_versions_of_a_result_and_of_its_estimates_agree(toy):
    record = toy.run().to_dict()
    for estimate in record["estimates"].values():
        assert estimate["provenance"]["versions"].items() <= record["versions"].items()


def test_to_dict_holds_the_checksum_of_each_data_set(toy):
    from dataclasses import replace

    from apmkit import datasets

    record = replace(toy, data=("unmet_need",)).run().to_dict()
    assert record["data"] == {"unmet_need": datasets.checksum("unmet_need")}
