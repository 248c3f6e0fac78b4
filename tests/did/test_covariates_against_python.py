"""The numbers of diff-diff and csdid given covariates, on random panels."""

import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

CSDID = json.loads((Path(__file__).parents[1] / "expected" / "did" / "csdid_covariates.json").read_text())
METHODS = {"inverse_probability": "ipw", "outcome_regression": "reg"}
KINDS = {
    "balanced": {},
    "not yet treated": {"control": "not_yet_treated"},
    "anticipation": {"anticipation": 1, "base_period": "universal"},
    "weighted": {"weights": "unit"},
    "clustered": {"cluster": "state"},
}

pytestmark = pytest.mark.usefixtures("quiet")


def with_covariates(frame):
    """Two covariates on which trends and the chance of treatment depend."""
    random = np.random.default_rng(len(frame))
    age, risk = random.normal(size=(2, frame["unit"].max() + 1))
    age += 0.4 * frame.groupby("unit")["cohort"].first().notna().to_numpy()
    frame = frame.assign(age=age[frame["unit"]], risk=risk[frame["unit"]])
    return frame.assign(y=frame["y"] + 0.3 * (frame["year"] - 2010) * frame["age"] + 0.2 * frame["risk"])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_weighting_and_regression_are_those_of_diff_diff(kind, method, seed, make_frame, make_panel, agrees):
    # Its doubly robust estimator divides the weights of the comparison units by the number of treated; Sant'Anna and
    # Zhao, R and apmkit let them add up to one.
    from diff_diff import CallawaySantAnna, SurveyDesign

    design = dict(KINDS[kind])
    weights, cluster = design.pop("weights", None), design.pop("cluster", None)
    frame = with_covariates(make_frame(n_units=150, n_periods=5, starts=(2012, 2013, None), seed=seed, weights=weights))
    columns = ({"weights": "weight"} if weights else {}) | ({"cluster": cluster} if cluster else {})
    panel = make_panel(frame, covariates=["age", "risk"], **columns)
    ours = apm.callaway_santanna(panel, covariates=["age", "risk"], method=method, **design)

    theirs = {"control_group": design.pop("control", "never_treated"), **design}
    model = CallawaySantAnna(estimation_method=METHODS[method], cluster=cluster, pscore_trim=1e-6, **theirs)
    given = {"survey_design": SurveyDesign(weights="weight")} if weights else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(
            frame.assign(first=frame["cohort"].fillna(0).astype(int)),
            outcome="y", unit="unit", time="year", first_treat="first", covariates=["age", "risk"], **given,
        )  # fmt: skip
    rows = [fit.group_time_effects[key] for key in zip(ours.table["cohort"], ours.table["period"], strict=True)]
    # With clusters, diff-diff multiplies by G/(G-1).
    groups = len(panel.clusters)
    factor = np.sqrt((groups - 1) / groups) if cluster else 1.0
    about = {"what": "callaway_santanna", "package": f"diff-diff {version('diff-diff')}", "within": 1e-6}
    case = f"random panels given covariates, {METHODS[method]}"
    agrees(ours.table["estimate"], [row["effect"] for row in rows], case=case, **about)
    agrees(ours.table["se"], [factor * row["se"] for row in rows], case=f"{case}, standard errors", **about)


@pytest.mark.parametrize("name", CSDID["entries"])
def test_doubly_robust_effects_and_anticipation_are_those_of_csdid(name, make_frame, make_panel, agrees):
    entry = CSDID["entries"][name]
    frame = with_covariates(make_frame(**entry["frame"]))
    columns = {"weights": "weight"} if "weights" in entry["frame"] else {}
    panel = make_panel(frame, covariates=["age", "risk"], **columns)
    ours = apm.callaway_santanna(panel, covariates=["age", "risk"], **entry["design"])
    expected = pd.DataFrame(entry["values"]).set_index(["cohort", "period"])
    table = ours.table.set_index(["cohort", "period"])
    assert sorted(table.index) == sorted(expected.index)
    table = table.loc[expected.index]
    about = {"package": f"csdid {CSDID['version']}", "within": 1e-10, "case": "random panels given covariates, dr"}
    agrees(table["estimate"], expected["estimate"], what="callaway_santanna", **about)
    agrees(table["se"], expected["se"], what="callaway_santanna", **about)
    for by in ("simple", "event"):
        row = (ours.aggregate(by) if by == "simple" else ours.aggregate(by).overall).table.iloc[0]
        agrees([row["estimate"], row["se"]], entry[by], what="aggregate", **about)
