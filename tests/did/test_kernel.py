"""The kernel gives one result by every way to it: grouped or unit by unit, by cross-products or by scores."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.did import blocks
from apmkit.did.kernel import Combination, Groups, Moments
from apmkit.did.two_way import TwoWay

ESTIMATORS = {
    "twfe": apm.twfe,
    "event_study": apm.event_study,
    "sun_abraham": apm.sun_abraham,
    "never_treated": apm.callaway_santanna,
    "not_yet_treated": lambda panel: apm.callaway_santanna(panel, control="not_yet_treated"),
    "universal": lambda panel: apm.callaway_santanna(panel, base_period="universal"),
    "cross_sections": lambda panel: apm.callaway_santanna(panel, unbalanced="repeated_cross_sections"),
    "imputation": apm.imputation,
    "two_stage": apm.two_stage,
    "two_stage_event": lambda panel: apm.two_stage(panel, by="event"),
}
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS.keys())
pytestmark = pytest.mark.usefixtures("quiet")


def assert_same(one, other, atol=1e-10):
    assert one.table["term"].tolist() == other.table["term"].tolist()
    np.testing.assert_allclose(one.table["estimate"], other.table["estimate"], rtol=0, atol=atol)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=0, atol=atol)


def assert_same_with_averages(one, other, atol=1e-10):
    assert_same(one, other, atol)
    if "cohort" in one.table:
        for by in ("simple", "event", "cohort", "calendar"):
            assert_same(one.aggregate(by), other.aggregate(by), atol)


@every_estimator
@pytest.mark.parametrize("cluster", ["unit", "state"])
@pytest.mark.parametrize("weights", [None, "unit"])
def test_every_unit_as_its_own_group_gives_the_numbers_of_cohorts_as_groups(
    estimator, cluster, weights, make_frame, make_panel, monkeypatch
):
    frame = make_frame(weights=weights)
    column = None if weights is None else "weight"
    by_cohort = estimator(make_panel(frame, cluster=cluster, weights=column))
    assert by_cohort.diagnostics["groups"] == 4

    def unit_by_unit(panel):
        weight = np.ones(len(panel.units)) if panel.weights is None else panel.weights
        profile = panel.observed.astype(float)
        return Groups(panel, np.arange(len(weight)), panel.cohorts, weight, profile)

    monkeypatch.setattr(Groups, "of", unit_by_unit)
    by_unit = estimator(make_panel(frame, cluster=cluster, weights=column))
    assert by_unit.diagnostics["groups"] == 60
    assert_same_with_averages(by_cohort, by_unit)


@every_estimator
def test_weights_by_cell_that_do_not_change_give_the_numbers_of_weights_by_unit(estimator, make_frame, make_panel):
    panel = make_panel(make_frame(weights="unit", drop=0.1), weights="weight")
    per_cell = panel.restrict(np.ones(len(panel.units), dtype=bool))
    per_cell.weights = np.where(panel.observed, panel.weights[:, None], 0.0)
    one, other = estimator(panel), estimator(per_cell)
    assert panel.weights.ndim == 1
    assert other.diagnostics["groups"] == len(other.panel.units)
    assert_same_with_averages(one, other)


@every_estimator
def test_covariance_by_cross_products_is_the_one_by_scores(estimator, make_frame, make_panel):
    result = estimator(make_panel(make_frame(n_units=200)))
    score = result.influence.to_numpy()
    assert score.shape == (200, len(result.table))
    np.testing.assert_allclose(result.covariance, score.T @ score, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["never_treated", "not_yet_treated", "universal", "cross_sections", "imputation"])
@pytest.mark.parametrize("weights", [None, "cell"])
@pytest.mark.parametrize("cluster", ["unit", "state"])
def test_weights_made_in_blocks_of_groups_give_the_numbers_of_all_at_once(
    name, weights, cluster, make_frame, make_panel, monkeypatch
):
    columns = {"cluster": cluster, "weights": None if weights is None else "weight"}
    panel = make_panel(make_frame(drop=0.15, weights=weights), **columns)
    whole = ESTIMATORS[name](panel)
    monkeypatch.setattr(blocks, "_BLOCK", 300)
    parts = ESTIMATORS[name](panel)
    assert isinstance(parts.combination.weights, blocks.Blockwise)
    assert len(parts.combination.weights.parts) > 5
    assert_same_with_averages(whole, parts, 1e-12)
    np.testing.assert_allclose(parts.combination.weights, whole.combination.weights, rtol=0, atol=1e-14)
    pd.testing.assert_frame_equal(whole.influence, parts.influence)
    term = whole.table["term"].iloc[-1]
    pd.testing.assert_frame_equal(whole.weights(term), parts.weights(term))
    # joblib sends results between processes so; these bytes never leave the test.
    assert_same(whole.term(term), pickle.loads(pickle.dumps(parts)).term(term), 1e-12)


@every_estimator
def test_clusters_of_one_unit_give_the_covariance_of_units(estimator, make_frame, make_panel):
    frame = make_frame().assign(same=lambda f: f["unit"] + 1000)
    assert_same_with_averages(estimator(make_panel(frame)), estimator(make_panel(frame, cluster="same")), 1e-12)


@every_estimator
def test_outcomes_without_noise_are_recovered_and_leave_no_variance(estimator, make_frame, make_panel):
    result = estimator(make_panel(make_frame(noise=0.0, effect=lambda exposure: 2.0)))
    since = result.table[result.table.get("relative_time", pd.Series(0, index=result.table.index)) >= 0]
    np.testing.assert_allclose(since["estimate"], 2.0, rtol=0, atol=1e-12)
    if result.diagnostics.get("unbalanced") != "repeated_cross_sections":
        assert result.table["se"].max() < 1e-12


@every_estimator
@pytest.mark.parametrize("drop", [0.0, 0.15])
@pytest.mark.parametrize("weights", [None, "unit", "cell"])
def test_an_estimate_is_its_weights_times_the_outcomes(estimator, drop, weights, make_frame, make_panel):
    result = estimator(
        make_panel(make_frame(drop=drop, weights=weights), weights=None if weights is None else "weight")
    )
    groups, outcomes = result.combination.moments.groups, np.nan_to_num(result.panel.outcomes)
    per_unit = np.ones(len(outcomes)) if weights != "unit" else result.panel.weights
    by_hand = np.einsum("jit,it,i->j", result.combination.weights[:, groups.of_unit], outcomes, per_unit)
    np.testing.assert_allclose(by_hand, result.table["estimate"], rtol=0, atol=1e-10)


@every_estimator
@pytest.mark.parametrize("drop", [0.0, 0.15])
def test_weights_on_cells_cancel_over_cohorts_and_over_time(estimator, drop, make_frame, make_panel):
    result = estimator(make_panel(make_frame(drop=drop)))
    for term in result.table["term"]:
        cells = result.weights(term)
        np.testing.assert_allclose(cells.sum(axis=0), 0.0, atol=1e-10)
        if drop == 0 or result.diagnostics.get("unbalanced") != "repeated_cross_sections":
            np.testing.assert_allclose(cells.sum(axis=1), 0.0, atol=1e-10)


@pytest.mark.parametrize("name", ["sun_abraham", "never_treated", "not_yet_treated", "imputation"])
def test_weights_on_the_treated_cells_of_an_effect_are_one_there_and_zero_elsewhere(name, make_frame, make_panel):
    result = ESTIMATORS[name](make_panel(make_frame()))
    since = result.table[result.table["relative_time"] >= 0]
    assert len(since) == 9
    for row in since.itertuples():
        cells = result.weights(row.term)
        treated = np.array([[g != "never" and p >= g for p in cells.columns] for g in cells.index])
        expected = np.zeros(cells.shape)
        expected[cells.index.get_loc(row.cohort), cells.columns.get_loc(row.period)] = 1.0
        np.testing.assert_allclose(cells.to_numpy()[treated], expected[treated], atol=1e-10)


def test_two_way_fixed_effects_weight_late_effects_of_early_cohorts_negatively(make_frame, make_panel):
    panel = make_panel(make_frame(n_periods=10, starts=(2011, 2018, 2018, None)))
    cells = apm.twfe(panel).weights()
    assert cells.index.tolist() == [2011, 2018, "never"]
    assert cells.loc[2011, 2019] < -0.01
    treated = pd.concat([cells.loc[2011, 2011:], cells.loc[2018, 2018:]])
    assert treated.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["sun_abraham", "never_treated", "imputation"])
@pytest.mark.parametrize("by", ["simple", "event", "cohort", "calendar"])
def test_weights_of_an_average_are_the_average_of_the_weights(name, by, make_frame, make_panel):
    result = ESTIMATORS[name](make_panel(make_frame(n_units=62)))
    average = result.aggregate(by)
    label = {"simple": None, "event": "relative_time", "cohort": "cohort", "calendar": "period"}[by]
    sizes = result.panel.cohort_sizes
    table = result.table if by == "event" else result.table[result.table["relative_time"] >= 0]
    for row in average.table.itertuples():
        members = table if label is None else table[table[label] == getattr(row, label)]
        size = members["cohort"].map(sizes).to_numpy(dtype=float)
        mean = sum(s * result.weights(term) for s, term in zip(size, members["term"], strict=True)) / size.sum()
        np.testing.assert_allclose(average.weights(row.term), mean, rtol=0, atol=1e-12)
        assert row.estimate == pytest.approx(np.average(members["estimate"], weights=size), abs=1e-12)


def test_moments_of_larger_clusters_add_up_to_those_of_units(make_frame, make_panel):
    frame = make_frame(weights="unit")
    units = Moments.of(Groups.of(make_panel(frame, weights="weight")))
    states = Moments.of(Groups.of(make_panel(frame, weights="weight", cluster="state")))
    np.testing.assert_allclose(units.total, states.total, rtol=0, atol=1e-12)
    np.testing.assert_allclose(units.squares, states.squares, rtol=0, atol=1e-12)
    assert len(states.rows) < len(units.rows)


def test_a_combination_carries_its_small_sample_factor_into_covariance_and_influence(make_frame, make_panel):
    combination = apm.twfe(make_panel(make_frame()), small_sample="none").combination
    larger = replace(combination, factor=4.0)
    assert isinstance(larger, Combination)
    np.testing.assert_allclose(larger.covariance(), 4 * combination.covariance())
    np.testing.assert_allclose(larger.influence(), 2 * combination.influence())


def test_the_two_way_projection_leaves_nothing_of_unit_and_period_effects():
    random = np.random.default_rng(1)
    profile = random.uniform(0.5, 2.0, size=(6, 5)) * (random.uniform(size=(6, 5)) < 0.8)
    effects = TwoWay(random.integers(1, 9, size=6).astype(float), profile)
    regressor = random.normal(size=(6, 1)) + random.normal(size=(1, 5))
    np.testing.assert_allclose(effects.residual(regressor)[profile > 0], 0.0, atol=1e-12)
