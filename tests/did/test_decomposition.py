"""What a two-way coefficient averages: the numbers of R's bacondecomp, of diff-diff, and of dense computations."""

import json
import math
import warnings
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import apmkit as apm

EXPECTED = Path(__file__).parents[1] / "expected" / "did"
BACON = {
    name: entry["values"] for name, entry in json.loads((EXPECTED / "bacondecomp.json").read_text())["entries"].items()
}
PACKAGE = "R bacondecomp 0.1.3"
few = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
panels = {"seed": st.integers(0, 2**32 - 1), "never": st.booleans(), "weights": st.sampled_from([None, "unit"])}
pytestmark = pytest.mark.usefixtures("quiet")


def oracle_panel(name, **columns):
    frame = pd.read_csv(EXPECTED / f"{name}.csv")
    if name == "castle":
        frame["cohort"] = frame["state"].map(frame[frame["post"] > 0].groupby("state")["year"].min())
        return apm.Panel(frame, unit="state", time="year", outcome="l_homicide", cohort="cohort", **columns)
    frame["cohort"] = frame["cohort"].replace(0, np.nan)
    return apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort", **columns)


def keyed(frame, treated="treated", comparison="comparison"):
    """Rows by their pair of cohorts, as text."""
    label = [f"{t} {c}" for t, c in zip(frame[treated], frame[comparison].replace("Inf", "never"), strict=True)]
    return frame.assign(pair=label).set_index("pair").sort_index()


def staggered(make_frame, make_panel, seed, never, weights=None):
    frame = make_frame(seed=seed, starts=(2012, 2013, None) if never else (2012, 2013, 2015), weights=weights)
    random = np.random.default_rng(seed)
    frame["x"] = random.normal(size=len(frame)) + 0.4 * (frame["year"] >= frame["cohort"])
    frame["z"] = random.normal(size=60)[frame["unit"]] + 0.5 * (frame["cohort"] == 2012)
    return make_panel(frame, covariates=["x", "z"], weights=None if weights is None else "weight")


@pytest.mark.parametrize("name", ["castle", "sim_staggered"])
def test_comparisons_of_cohorts_are_those_of_r(name, agrees):
    values = BACON[f"bacon.{name}"]
    ours = keyed(apm.bacon_decomposition(oracle_panel(name)))
    theirs = keyed(pd.DataFrame(values.get("rows") or values["two_by_twos"]), "treated", "untreated")
    assert ours.index.tolist() == theirs.index.tolist()
    assert (
        ours["kind"] == theirs["type"].replace("Treated vs Untreated", "treated vs never treated").str.lower()
    ).all()
    case = {"within": 1e-9, "what": "bacon_decomposition", "package": PACKAGE}
    agrees(ours["estimate"], theirs["estimate"], **case, case=f"bacon.{name}, estimates")
    agrees(ours["weight"], theirs["weight"], **case, case=f"bacon.{name}, weights")
    agrees(ours["weight"] @ ours["estimate"], values["sum"], **case, case=f"bacon.{name}, sum")
    assert ours["weight"].sum() == pytest.approx(1, abs=1e-12)


def test_weights_by_kind_are_those_of_r(agrees):
    ours = apm.bacon_decomposition(oracle_panel("castle"))
    for row in BACON["bacon.castle"]["by_type"]:
        kind = row["type"].replace("Treated vs Untreated", "treated vs never treated").lower()
        part = ours[ours["kind"] == kind]
        agrees(
            [part["weight"].sum(), part["weight"] @ part["estimate"]], [row["weight"], row["we"]], within=1e-9,
            what="bacon_decomposition", package=PACKAGE, case=f"bacon.castle, {kind}",
        )  # fmt: skip
    assert len(ours) == BACON["bacon.castle"]["n"]


def test_the_decomposition_with_controls_is_that_of_r(agrees):
    values = BACON["bacon.castle.cov"]
    panel = oracle_panel("castle", covariates=["l_pop", "l_income"])
    ours = apm.bacon_decomposition(panel, controls=["l_pop", "l_income"])
    within = ours[ours["kind"] == "within cohorts"].iloc[0]
    case = {"within": 1e-9, "what": "bacon_decomposition", "package": PACKAGE}
    agrees(
        [within["weight"], within["estimate"]], [values["omega"], values["beta_hat_w"]], **case,
        case="bacon.castle.cov, within",
    )  # fmt: skip
    between = keyed(ours[ours["kind"] != "within cohorts"])
    theirs = keyed(pd.DataFrame(values["two_by_twos"]), "treated", "untreated")
    assert between.index.tolist() == theirs.index.tolist()
    agrees(between["estimate"], theirs["estimate"], **case, case="bacon.castle.cov, estimates")
    # R scales the weights between cohorts to one.
    agrees(between["weight"] / (1 - within["weight"]), theirs["weight"], **case, case="bacon.castle.cov, weights")


@few
@given(controls=st.sampled_from([(), ("x",), ("x", "z")]), **panels)
def test_the_weighted_mean_of_the_comparisons_is_the_two_way_coefficient(
    make_frame, make_panel, seed, never, weights, controls
):
    panel = staggered(make_frame, make_panel, seed, never, weights)
    parts = apm.bacon_decomposition(panel, controls=controls)
    assert parts["weight"].min() > 0
    assert parts["weight"].sum() == pytest.approx(1, abs=1e-10)
    coefficient = apm.twfe(panel, controls=controls).table["estimate"][0]
    assert parts["weight"] @ parts["estimate"] == pytest.approx(coefficient, abs=1e-10)


@pytest.mark.parametrize("controls", [[], ["x"]])
def test_the_decomposition_does_not_depend_on_order_names_level_or_clock(make_frame, make_panel, controls):
    frame = make_frame(seed=4)
    frame["x"] = np.random.default_rng(0).normal(size=len(frame))
    one = apm.bacon_decomposition(make_panel(frame, covariates=["x"]), controls=controls)
    moved = frame.sample(frac=1, random_state=1).assign(
        y=lambda f: 1000 * f["y"] + 1e8, year=lambda f: f["year"] + 7, cohort=lambda f: f["cohort"] + 7,
        unit=lambda f: "u" + f["unit"].astype(str),
    )  # fmt: skip
    other = apm.bacon_decomposition(make_panel(moved, covariates=["x"]), controls=controls)
    np.testing.assert_allclose(other["estimate"], 1000 * one["estimate"], rtol=1e-8, atol=1e-5)
    np.testing.assert_allclose(other["weight"], one["weight"], rtol=0, atol=1e-12)
    assert other["kind"].tolist() == one["kind"].tolist()


@pytest.mark.parametrize("weights", [None, "unit"])
def test_comparisons_and_weights_need_no_rows_in_memory(make_frame, make_panel, weights):
    frame = make_frame(seed=4, weights=weights)
    columns = {"weights": "weight" if weights else None}
    one, other = (make_panel(data, **columns) for data in (frame, duckdb.connect().from_df(frame)))
    tables = [apm.bacon_decomposition(panel) for panel in (one, other)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-9)
    pd.testing.assert_frame_equal(*(apm.treatment_weights(apm.twfe(panel)) for panel in (one, other)), rtol=1e-9)
    pd.testing.assert_series_equal(*(apm.negative_weights(apm.twfe(panel)) for panel in (one, other)), rtol=1e-9)


def test_units_treated_from_the_first_period_are_left_out_as_by_twfe(make_frame, make_panel):
    frame = make_frame(starts=(2010, 2012, 2014, None))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = apm.bacon_decomposition(make_panel(frame))
    assert any("treated from the first period" in str(w.message) for w in caught)
    assert 2010 not in set(parts["treated"]) | set(parts["comparison"])
    assert parts["weight"] @ parts["estimate"] == pytest.approx(apm.twfe(make_panel(frame)).table["estimate"][0])


# -- weights of effects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["castle", "sim_staggered"])
def test_weights_of_effects_are_those_of_diff_diff(name, agrees):
    from diff_diff import twowayfeweights

    panel = oracle_panel(name)
    frame = panel.to_frame().rename(columns={"cohort": "start"})
    frame["treated"] = (frame["year"] >= frame["start"]).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = twowayfeweights(frame, outcome=panel.outcome, unit=panel.unit, time="year", treatment="treated")
    case = {"within": 1e-9, "package": "diff-diff 3.13.0", "case": name}
    agrees(apm.negative_weights(apm.twfe(panel))["sd_zero"], theirs.sigma_fe, what="negative_weights", **case)
    cells = theirs.weights.merge(frame, on=[panel.unit, "year"]).query("treated == 1")
    expected = cells.groupby(["start", "year"])["weight"].sum()
    table = apm.treatment_weights(apm.twfe(panel))
    assert [(row.cohort, row.period) for row in table.itertuples()] == list(expected.index)
    agrees(table["weight"], expected, what="treatment_weights", **case)


@few
@given(**panels)
def test_the_two_way_coefficient_is_the_weighted_sum_of_effects(make_frame, make_panel, seed, never, weights):
    starts = (2012, 2013, None) if never else (2012, 2013, 2015)
    frame = make_frame(seed=seed, starts=starts, weights=weights, noise=0.0, effect=np.zeros_like)
    random = np.random.default_rng(seed)
    effects = {(g, t): random.normal() for g in (2012, 2013, 2015) for t in range(2010, 2016)}
    treated = (frame["year"] >= frame["cohort"]).to_numpy()
    keys = zip(frame["cohort"].fillna(0).astype(int), frame["year"], strict=True)
    frame["y"] += np.where(treated, [effects.get(key, 0.0) for key in keys], 0.0)
    estimate = apm.twfe(make_panel(frame, weights=None if weights is None else "weight"))
    table = apm.treatment_weights(estimate)
    mixed = sum(row.weight * effects[row.cohort, row.period] for row in table.itertuples())
    assert estimate.table["estimate"][0] == pytest.approx(mixed, abs=1e-10)
    assert table["weight"].sum() == pytest.approx(1, abs=1e-12)
    assert table["share"].sum() == pytest.approx(1, abs=1e-12)


def test_weights_are_those_of_residualised_treatment_in_a_ragged_panel(make_frame, make_panel):
    frame = make_frame(seed=7, drop=0.15)
    treated = (frame["year"] >= frame["cohort"]).to_numpy(dtype=float)
    dummies = pd.get_dummies(frame[["unit", "year"]].astype(str), dtype=float).to_numpy()
    residual = treated - dummies @ np.linalg.lstsq(dummies, treated)[0]
    expected = pd.Series(residual * treated / (residual @ treated)).groupby([frame["cohort"], frame["year"]]).sum()
    table = apm.treatment_weights(apm.twfe(make_panel(frame))).set_index(["cohort", "period"])
    np.testing.assert_allclose(table["weight"], expected[expected.index.isin(table.index)], atol=1e-12)
    assert (table["relative_time"] >= 0).all()


@pytest.mark.parametrize(
    "estimator", [apm.callaway_santanna, apm.sun_abraham, apm.imputation], ids=lambda estimator: estimator.__name__
)
def test_averages_of_modern_estimators_weigh_every_effect_by_its_share(estimator, make_frame, make_panel):
    simple = estimator(make_panel(make_frame(starts=(2012, 2013, None)))).aggregate("simple")
    table = apm.treatment_weights(simple)
    np.testing.assert_allclose(table["weight"], table["share"], atol=1e-12)
    summary = apm.negative_weights(simple)
    assert summary["negative"] == 0
    assert math.isinf(summary["sd_zero"])
    assert math.isinf(summary["sd_opposite"])


def test_no_smaller_differences_between_effects_explain_the_estimate_away():
    # Dense optimum over effects in place of the formula; the early cohorts of this panel have negative weights.
    frame = pd.DataFrame({"unit": np.repeat(np.arange(9), 8), "year": np.tile(np.arange(8), 9)})
    frame["start"] = np.repeat([1.0, 2, 6], 24)
    frame["y"] = np.random.default_rng(3).normal(size=72) + 3.0 * (frame["year"] >= frame["start"])
    estimate = apm.twfe(apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="start"))
    table, summary = apm.treatment_weights(estimate), apm.negative_weights(estimate)
    weight, share, size = table["weight"].to_numpy(), table["share"].to_numpy(), estimate.table["estimate"][0]
    assert summary["negative"] == (weight < 0).sum() > 0
    assert summary["negative_sum"] == pytest.approx(weight[weight < 0].sum())

    def spread(effects):
        return share @ (effects - share @ effects) ** 2

    reach = {"type": "eq", "fun": lambda effects: weight @ effects - size}
    start = size * weight / (weight @ weight)
    zero = minimize(
        spread, start, constraints=[reach, {"type": "eq", "fun": lambda effects: share @ effects}], tol=1e-14
    )
    assert summary["sd_zero"] == pytest.approx(math.sqrt(zero.fun), rel=1e-5)
    opposite = minimize(
        spread, np.minimum(start, 0), constraints=[reach], bounds=[(None, 0)] * len(weight), tol=1e-14,
        options={"maxiter": 500},
    )  # fmt: skip
    assert size > 0
    assert summary["sd_opposite"] == pytest.approx(math.sqrt(opposite.fun), rel=1e-4)


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_a_ragged_panel_is_refused(make_frame, make_panel):
    with pytest.raises(apm.EstimationError, match=r"needs a balanced panel and \d+ of 360 unit-periods"):
        apm.bacon_decomposition(make_panel(make_frame(drop=0.1)))


def test_weights_that_change_over_time_are_refused(make_frame, make_panel):
    with pytest.raises(apm.EstimationError, match="constant within units: give each unit one weight"):
        apm.bacon_decomposition(make_panel(make_frame(weights="cell"), weights="weight"))


def test_one_cohort_without_others_is_refused(make_frame, make_panel):
    with pytest.raises(apm.EstimationError, match="All units start treatment in 2012: there is nobody"):
        apm.bacon_decomposition(make_panel(make_frame(starts=(2012,))))


def test_a_control_that_is_no_covariate_is_refused(make_frame, make_panel):
    with pytest.raises(apm.EstimationError, match=r"names 'age', which is no covariate of the panel \(there: none\)"):
        apm.bacon_decomposition(make_panel(make_frame()), controls=["age"])


def test_a_term_before_treatment_has_no_weights_that_sum_to_one(make_frame, make_panel):
    estimate = apm.event_study(make_panel(make_frame()))
    with pytest.raises(apm.ApmkitError, match="sum to 0, not to one"):
        apm.negative_weights(estimate, "relative_time=-2")
    with pytest.raises(apm.ApmkitError, match="Name one of the"):
        apm.negative_weights(estimate)
    assert apm.negative_weights(estimate, "relative_time=0")["effects"] > 0
