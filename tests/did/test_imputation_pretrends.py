"""Differences before treatment among untreated observations; imputation beside extended two-way fixed effects."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

import apmkit as apm

PYFIXEST = json.loads((Path(__file__).parents[1] / "expected" / "did" / "pyfixest_leads.json").read_text())
few = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
pytestmark = pytest.mark.usefixtures("quiet")
SHAPES = {
    "balanced": {},
    "ragged": {"drop": 0.15, "ends": True},
    "all treated in the end": {"starts": (2012, 2013, 2015)},
}


def untreated_with_leads(frame, periods):
    rows = frame[~(frame["year"] >= frame["cohort"])].copy()
    rows = rows[rows.groupby("unit")["year"].transform("size") > 1]
    leads = [f"lead{e}" for e in range(periods, 0, -1)]
    for e, name in zip(range(periods, 0, -1), leads, strict=True):
        rows[name] = (rows["year"] - rows["cohort"] == -e).astype(float)
    return rows, leads


@pytest.mark.parametrize("cluster", ["unit", "state"])
@pytest.mark.parametrize("weights", [None, "unit", "cell"])
@pytest.mark.parametrize("shape", SHAPES)
def test_leads_are_a_regression_on_untreated_rows(shape, weights, cluster, make_frame, make_panel):
    frame = make_frame(seed=2, weights=weights, **SHAPES[shape])
    result = apm.imputation_pretrends(make_panel(frame, cluster=cluster, weights=weights and "weight"), periods=2)
    rows, leads = untreated_with_leads(frame, 2)
    w = rows.get("weight", pd.Series(1.0, rows.index)).to_numpy()
    z = pd.get_dummies(rows[["unit", "year"]].astype(str), dtype=float).to_numpy() * np.sqrt(w)[:, None]
    xy = rows[[*leads, "y"]].to_numpy() * np.sqrt(w)[:, None]
    xy = xy - z @ np.linalg.lstsq(z, xy)[0]
    x, y = xy[:, :-1], xy[:, -1]
    bread = np.linalg.inv(x.T @ x)
    beta = bread @ x.T @ y
    scores = pd.DataFrame(x * (y - x @ beta)[:, None]).groupby(rows[cluster].to_numpy()).sum().to_numpy()
    g, n, k = len(scores), len(rows), 2 + rows["year"].nunique()
    covariance = bread @ scores.T @ scores @ bread * g / (g - 1) * (n - 1) / (n - k)
    np.testing.assert_allclose(result.table["estimate"], beta, atol=1e-9)
    np.testing.assert_allclose(result.covariance, covariance, atol=1e-9)
    assert result.n_obs == n
    test = result.joint_test()
    f = beta @ np.linalg.solve(covariance, beta) / 2
    assert test["statistic"] == pytest.approx(f, rel=1e-9)
    assert test["p_value"] == pytest.approx(stats.f.sf(f, 2, g - 1), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_leads_are_those_of_pyfixest(shape, make_frame, make_panel, agrees):
    expected = PYFIXEST["entries"][shape]
    table = apm.imputation_pretrends(
        make_panel(make_frame(seed=6, **SHAPES[shape])), periods=2, small_sample="none"
    ).table
    case = {"within": 1e-9, "what": "imputation_pretrends", "package": f"pyfixest {PYFIXEST['version']}"}
    agrees(table["estimate"], expected["estimate"], **case, case=f"{shape}, estimates")
    agrees(table["se"], expected["se"], **case, case=f"{shape}, standard errors")


def extended(frame, terms, cluster):
    """Wooldridge's regression: unit and year effects, and a dummy for each cohort and year under treatment."""
    w = frame.get("weight", pd.Series(1.0, frame.index)).to_numpy()
    cells = [(frame["cohort"] == row.cohort) & (frame["year"] == row.period) for row in terms.itertuples()]
    z = pd.get_dummies(frame[["unit", "year"]].astype(str), dtype=float).to_numpy() * np.sqrt(w)[:, None]
    xy = np.column_stack([*cells, frame["y"]]).astype(float) * np.sqrt(w)[:, None]
    xy = xy - z @ np.linalg.lstsq(z, xy)[0]
    x, y = xy[:, :-1], xy[:, -1]
    bread = np.linalg.inv(x.T @ x)
    beta = bread @ x.T @ y
    scores = pd.DataFrame(x * (y - x @ beta)[:, None]).groupby(frame[cluster].to_numpy()).sum().to_numpy()
    g, n, k = len(scores), len(frame), len(beta) + frame["year"].nunique()
    return beta, bread @ scores.T @ scores @ bread * g / (g - 1) * (n - 1) / (n - k)


@pytest.mark.parametrize("cluster", ["unit", "state"])
@pytest.mark.parametrize("starts", [(2012, 2013, None), (2012, 2013, 2015)], ids=["never treated", "all treated"])
def test_imputation_is_extended_two_way_fixed_effects_with_its_standard_errors(starts, cluster, make_frame, make_panel):
    frame = make_frame(seed=9, starts=starts).query("year < 2015")
    result = apm.imputation(make_panel(frame, cluster=cluster), small_sample="fixest")
    beta, covariance = extended(frame, result.table, cluster)
    np.testing.assert_allclose(result.table["estimate"], beta, atol=1e-9)
    np.testing.assert_allclose(result.covariance, covariance, atol=1e-9)


def test_with_weights_imputation_has_the_estimates_of_extended_two_way_fixed_effects(make_frame, make_panel):
    frame = make_frame(seed=9, weights="unit")
    result = apm.imputation(make_panel(frame, weights="weight"), small_sample="fixest")
    beta, covariance = extended(frame, result.table, "unit")
    np.testing.assert_allclose(result.table["estimate"], beta, atol=1e-9)
    # Imputation centres on means weighted by squared weights, the regression on its own.
    np.testing.assert_allclose(result.table["se"], np.sqrt(np.diag(covariance)), rtol=0.1)


def test_in_a_ragged_panel_extended_two_way_fixed_effects_learns_from_treated_observations_too(make_frame, make_panel):
    frame = make_frame(seed=9, drop=0.1)
    result = apm.imputation(make_panel(frame))
    beta, _ = extended(frame, result.table, "unit")
    assert np.abs(result.table["estimate"] - beta).max() > 0.01


@few
@given(
    seed=st.integers(0, 2**32 - 1), drop=st.sampled_from([0.0, 0.1]), weights=st.sampled_from([None, "unit", "cell"])
)
def test_outcomes_under_treatment_order_names_level_and_currency_do_not_matter(
    seed, drop, weights, make_frame, make_panel
):
    frame = make_frame(seed=seed, drop=drop, weights=weights)
    names = np.random.default_rng(seed).permutation(60)
    moved = frame.sample(frac=1, random_state=seed % 1000).assign(
        unit=lambda f: names[f["unit"]].astype(str),
        y=lambda f: 1000 * (f["y"] + 1e6 + 50 * (f["year"] >= f["cohort"]) * f["year"]),
    )
    columns = {"weights": weights and "weight"}
    one, other = (apm.imputation_pretrends(make_panel(f, **columns), periods=1) for f in (frame, moved))
    np.testing.assert_allclose(other.table["estimate"], 1000 * one.table["estimate"], rtol=1e-8, atol=1e-5)
    np.testing.assert_allclose(other.table["se"], 1000 * one.table["se"], rtol=1e-8, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_leads_need_no_rows_in_memory(shape, make_frame, make_panel):
    frame = make_frame(seed=2, weights="unit", **SHAPES[shape])
    relation = duckdb.connect().from_df(frame)
    one, other = (
        apm.imputation_pretrends(make_panel(data, cluster="state", weights="weight"), periods=2)
        for data in (frame, relation)
    )
    pd.testing.assert_frame_equal(one.table, other.table, rtol=1e-9)
    assert one.n_obs == other.n_obs == len(untreated_with_leads(frame, 2)[0])


@pytest.mark.slow
def test_the_joint_test_rejects_parallel_trends_in_five_percent():
    rejected = []
    for seed in range(1000):
        random = np.random.default_rng(seed)
        start = random.choice([4.0, 5.0, np.nan], 200)
        y = np.cumsum(random.normal(size=(200, 7)), axis=1) + random.normal(size=(200, 7))
        frame = pd.DataFrame({"unit": np.repeat(np.arange(200), 7), "year": np.tile(np.arange(7), 200), "y": y.ravel(),
                              "start": np.repeat(start, 7)})  # fmt: skip
        panel = apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="start")
        rejected.append(apm.imputation_pretrends(panel, periods=3).joint_test()["p_value"] < 0.05)
    assert 0.035 <= np.mean(rejected) <= 0.065


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("periods", [0, -1, 2.5, True, "3"])
def test_periods_that_are_no_whole_number_are_refused(periods, make_frame, make_panel):
    with pytest.raises(apm.EstimationError, match="is no whole number above zero: give for instance periods=3"):
        apm.imputation_pretrends(make_panel(make_frame()), periods=periods)


def test_more_periods_than_there_are_before_treatment_are_refused(make_frame, make_panel):
    with pytest.raises(apm.EstimationError, match=r"no treated unit is observed earlier than that .* give at most 3"):
        apm.imputation_pretrends(make_panel(make_frame()), periods=4)
    assert len(apm.imputation_pretrends(make_panel(make_frame()), periods=3).table) == 3


def test_treatment_in_the_second_period_leaves_nothing_to_test(make_frame, make_panel):
    with pytest.raises(apm.EstimationError, match="periods=1: no treated unit is observed earlier"):
        apm.imputation_pretrends(make_panel(make_frame(starts=(2011, None))), periods=1)
