"""Regression discontinuity agrees with rdrobust and the density test with rddensity, bandwidths included."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

EXPECTED = Path(__file__).parents[1] / "expected" / "designs"
DATA = pd.read_csv(EXPECTED / "discontinuity.csv")
RDROBUST = json.loads((EXPECTED / "rdrobust.json").read_text(encoding="utf-8"))
RDDENSITY = json.loads((EXPECTED / "rddensity.json").read_text(encoding="utf-8"))
COLUMNS = ["estimate", "se", "ci_low", "ci_high", "p_value"]


def package(fixture):
    return f"{fixture['package']} {fixture['version']}"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("entry", RDROBUST["entries"], ids=lambda entry: entry["case"])
def test_all_three_rows_and_both_bandwidths_agree_with_rdrobust(entry, agrees):
    fit = apm.regression_discontinuity(DATA[: entry["rows"]], outcome="visits", **entry["arguments"])
    sizes = fit.details["bandwidths"]
    ours = [*fit.details["estimates"][COLUMNS].to_numpy().T.ravel(), *sizes.loc[0, ["h", "b"]]]
    theirs = [*np.concatenate([entry[column] for column in COLUMNS]), entry["h"], entry["b"]]
    agrees(ours, theirs, within=1e-7, what="regression_discontinuity", package=package(RDROBUST), case=entry["case"])
    assert sizes["n_h"].tolist() == entry["n_h"]
    assert sizes["n_b"].tolist() == entry["n_b"]
    if "first_stage" in entry:
        ours = fit.details["first_stage"][["estimate", "se"]].to_numpy().T
        theirs = [entry["first_stage"][column] for column in ("estimate", "se")]
        agrees(ours, theirs, within=1e-7, what="regression_discontinuity", package=package(RDROBUST),
               case=f"{entry['case']}: jump of treatment")  # fmt: skip
    if "slopes" in entry:
        np.testing.assert_allclose(fit.details["covariates"]["slope"], entry["slopes"], atol=1e-7)


def test_the_fixture_covers_what_it_should():
    arguments = [entry["arguments"] for entry in RDROBUST["entries"]]
    assert {a.get("kernel", "triangular") for a in arguments} == {"triangular", "epanechnikov", "uniform"}
    assert {a.get("order", 1) for a in arguments} == {0, 1, 2, 3}
    for name in ("treatment", "cluster", "covariates", "bandwidth"):
        assert any(name in a for a in arguments)
    assert len(RDDENSITY["entries"]) == 12


def test_the_number_of_bins_is_that_of_rdplot():
    fit = apm.regression_discontinuity(DATA, outcome="visits", running="score")
    assert fit.details["bins"].groupby("side").size()[["below", "above"]].tolist() == RDROBUST["bins"]["J"]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("entry", RDDENSITY["entries"], ids=lambda entry: entry["case"])
def test_the_density_test_and_its_bandwidths_agree_with_rddensity(entry, agrees):
    names = ["statistic", "p_value", "density_below", "density_above", "se_below", "se_above", "bandwidth_below",
             "bandwidth_above"]  # fmt: skip
    ours = apm.density_test(DATA[: entry["rows"]], **entry["arguments"])[names]
    agrees(ours, [entry[name] for name in names], within=1e-7, what="density_test", package=package(RDDENSITY),
           case=entry["case"])  # fmt: skip
