"""The numbers of R's did given covariates; the call that made each stands in the fixture."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

EXPECTED = Path(__file__).parents[1] / "expected" / "did"
ENTRIES = {
    name: entry["values"]
    for name, entry in json.loads((EXPECTED / "did_covariates.json").read_text())["entries"].items()
}
METHODS = {"dr": "doubly_robust", "ipw": "inverse_probability", "reg": "outcome_regression"}
# DRDID 1.2.3 has the sign of one term of these influence functions wrong: test_covariates_against_dense_formulas.py.
WRONG_ERRORS = "did.sim_ragged.x1x2.nevertreated.dr.unit.unweighted"
AGGREGATES = {"event": "dynamic", "cohort": "group_agg", "calendar": "calendar"}
LABELS = {"event": "relative_time", "cohort": "cohort", "calendar": "period"}

pytestmark = pytest.mark.usefixtures("quiet")


@cache
def _effects(name):
    data, method = name.split(".")[1], name.split(".")[4]
    frame = pd.read_csv(EXPECTED / f"{data}.csv")
    frame["cohort"] = frame["cohort"].replace(0, np.nan)
    panel = apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort", covariates=["x1", "x2"])
    return apm.callaway_santanna(
        panel,
        covariates=["x1", "x2"],
        method=METHODS[method],
        unbalanced="repeated_cross_sections" if data == "sim_ragged" else "pairs",
    )


@pytest.fixture
def same(agrees):
    def compare(name, what, ours, estimates, errors):
        package = "R did 2.3.0"
        agrees(ours["estimate"], estimates, within=1e-11, what=what, package=package, case=name)
        if name != WRONG_ERRORS:
            agrees(ours["se"], errors, within=1e-11, what=what, package=package, case=f"{name}, standard errors")

    return compare


@pytest.mark.parametrize("name", ENTRIES)
def test_effects_given_covariates_are_those_of_r_did(name, same):
    values = pd.DataFrame({key: ENTRIES[name][key] for key in ("group", "t", "att", "se")})
    table = _effects(name).table.set_index(["cohort", "period"])
    assert len(table) == len(values)
    table = table.loc[list(zip(values["group"], values["t"], strict=True))]
    same(name, "callaway_santanna", table, values["att"], values["se"])


@pytest.mark.parametrize("name", ENTRIES)
def test_averages_given_covariates_are_those_of_r_did(name, same):
    simple = ENTRIES[name]["simple"]
    result = _effects(name)
    same(name, "aggregate", result.aggregate("simple").table, [simple["overall_att"]], [simple["overall_se"]])
    for by, key in AGGREGATES.items():
        expected = ENTRIES[name][key]
        average = result.aggregate(by)
        table = average.table.set_index(LABELS[by])
        assert sorted(table.index) == sorted(expected["egt"])
        same(name, "aggregate", table.loc[expected["egt"]], expected["att_egt"], expected["se_egt"])
        same(name, "aggregate", average.overall.table, [expected["overall_att"]], [expected["overall_se"]])
