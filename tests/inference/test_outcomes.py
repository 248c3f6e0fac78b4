"""Several outcomes at once."""

import duckdb
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from scipy import stats

import apmkit as apm
from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.inference import adjust_p_values, joint_test, outcome_report, romano_wolf

METHODS = {"holm": "holm", "benjamini_hochberg": "fdr_bh"}


@pytest.mark.parametrize("method", METHODS)
def test_adjusted_p_values_are_those_of_statsmodels(agrees, method):
    import statsmodels
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(3).uniform(size=30) ** 2
    p[4] = p[7]
    agrees(adjust_p_values(p, method), multipletests(p, method=METHODS[method])[1], within=1e-12,
           what="adjust_p_values", package=f"statsmodels {statsmodels.__version__}", case=method)  # fmt: skip


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.sampled_from(list(METHODS)), st.randoms())
def test_adjustment_keeps_the_order_raises_p_and_ignores_the_order_given(p, method, shuffle):
    adjusted = adjust_p_values(p, method)
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    order = list(range(len(p)))
    shuffle.shuffle(order)
    np.testing.assert_allclose(adjust_p_values(np.array(p)[order], method), adjusted[order])


def outcomes(seed, effects=(0.0, 0.0, 0.0, 0.0), units=60, correlation=0.8, periods=2):
    """Panels of several outcomes of the same units, correlated between outcomes; the effect of each by its twfe."""
    random, k = np.random.default_rng(seed), len(effects)
    covariance = np.full((k, k), correlation) + (1 - correlation) * np.eye(k)
    noise = random.multivariate_normal(np.zeros(k), covariance, size=units * periods)
    frame = pd.DataFrame({"unit": np.repeat(np.arange(units), periods), "t": np.tile(np.arange(periods), units)})
    frame["start"] = np.where(frame["unit"] % 2, periods - 1.0, np.nan)
    treated = (frame["t"] >= frame["start"]).to_numpy()
    estimates = {}
    for j, effect in enumerate(effects):
        frame[f"y{j}"] = noise[:, j] + effect * treated
        estimates[f"y{j}"] = apm.twfe(apm.Panel(frame, unit="unit", time="t", outcome=f"y{j}", cohort="start"))
    return estimates


def test_romano_wolf_is_a_step_down_over_the_joint_distribution_of_all_statistics():
    estimates = outcomes(1, effects=(1.5, 0.8, 0.3, 0.0))
    adjusted = romano_wolf(estimates, draws=200_000)
    influence = np.column_stack([estimate.influence.iloc[:, 0] for estimate in estimates.values()])
    se = np.array([estimate.table["se"][0] for estimate in estimates.values()])
    observed = np.array([abs(estimate.table["estimate"][0]) for estimate in estimates.values()]) / se
    random, df = np.random.default_rng(9), estimates["y0"].degrees_of_freedom
    draws = random.standard_normal((40_000, len(influence))) @ influence / se
    if np.isfinite(df):
        draws /= np.sqrt(random.chisquare(df, len(draws)) / df)[:, None]
    left, largest, expected = list(range(4)), 0.0, np.empty(4)
    while left:
        step = max(left, key=lambda j: observed[j])
        largest = max(largest, (np.abs(draws[:, left]).max(axis=1) >= observed[step]).mean())
        expected[step] = largest
        left.remove(step)
    np.testing.assert_allclose(adjusted, expected, atol=0.01)
    raw = np.array([estimate.table["p_value"][0] for estimate in estimates.values()])
    assert (adjusted.to_numpy() >= raw - 0.005).all()
    assert (adjusted.to_numpy() <= adjust_p_values(raw) + 0.005).all()


def test_outcomes_that_are_the_same_cost_nothing():
    estimates = outcomes(2, effects=(0.6, 0.6, 0.6), correlation=1.0)
    adjusted = romano_wolf(estimates, draws=100_000)
    np.testing.assert_allclose(adjusted, [e.table["p_value"][0] for e in estimates.values()], atol=0.005)


@given(st.permutations(range(4)), st.sampled_from([1e-3, 1e4]))
@settings(max_examples=5, deadline=None)
def test_romano_wolf_ignores_the_order_and_the_currency_of_outcomes(order, scale):
    estimates = outcomes(4, effects=(1.0, 0.5, 0.2, 0.0))
    panel = estimates["y1"].panel.to_frame()
    panel["y1"] *= scale
    scaled = {**estimates, "y1": apm.twfe(apm.Panel(panel, unit="unit", time="t", outcome="y1", cohort="cohort"))}
    names = [f"y{j}" for j in order]
    adjusted = romano_wolf({name: scaled[name] for name in names}, draws=20_000)
    np.testing.assert_allclose(adjusted[list(estimates)], romano_wolf(estimates, draws=20_000), atol=0.015)
    assert adjusted.index.tolist() == names


@pytest.mark.slow
def test_romano_wolf_keeps_the_chance_of_any_false_finding():
    false = [(romano_wolf(outcomes(seed, effects=(0.0, 0.0, 0.0)), draws=999) <= 0.05).any() for seed in range(1_000)]
    assert 35 <= sum(false) <= 65


def published(value, se, outcome="y"):
    return Estimate.from_covariance(
        pd.DataFrame({"term": ["ATT"]}), np.array([value]), np.array([[se**2]]), estimand="ATT", estimator="published",
        outcome=outcome, n_obs=400, n_units=80, n_clusters=80,
    )  # fmt: skip


def test_a_report_adjusts_within_tiers_and_puts_global_outcomes_first():
    estimates = {"visits": published(3.0, 1.0), "screening": published(2.0, 1.0), "spending": published(-2.2, 1.0)}
    tiers = {"visits": "process", "screening": "process", "spending": "global"}
    report = outcome_report(estimates, tiers)
    assert report["outcome"].tolist() == ["spending", "visits", "screening"]
    assert report["tier"].tolist() == ["global", "process", "process"]
    p = [estimate.table["p_value"][0] for estimate in estimates.values()]
    np.testing.assert_allclose(report["p_adjusted"], [p[2], *adjust_p_values(p[:2])])
    np.testing.assert_allclose(report["tier_p_value"], [p[2], 2 * p[0], 2 * p[0]])
    false_discovery = outcome_report(estimates, tiers, method="benjamini_hochberg")
    np.testing.assert_allclose(false_discovery["p_adjusted"][1:], adjust_p_values(p[:2], "benjamini_hochberg"))


def test_the_joint_test_of_a_tier_uses_the_influence_of_clusters():
    estimates = outcomes(5, effects=(0.5, 0.5))
    report = outcome_report(estimates, {"y0": "global", "y1": "global"}, method="romano_wolf")
    frames = [estimate.influence.iloc[:, 0].to_numpy() for estimate in estimates.values()]
    values = np.array([estimate.table["estimate"][0] for estimate in estimates.values()])
    by_hand = Estimate.from_covariance(
        pd.DataFrame({"term": ["y0", "y1"]}), values, np.array([[a @ b for a in frames] for b in frames]),
        degrees_of_freedom=estimates["y0"].degrees_of_freedom, estimand="ATT", estimator="e", outcome="y", n_obs=1,
        n_units=60, n_clusters=60,
    )  # fmt: skip
    np.testing.assert_allclose(report["tier_p_value"], joint_test(by_hand, ["y0", "y1"])["p_value"])
    np.testing.assert_allclose(report["p_adjusted"], romano_wolf(estimates))


def test_outcomes_of_partly_other_units_depend_through_those_they_share():
    estimates = outcomes(8, effects=(0.5, 0.5))
    half = estimates["y1"].panel.to_frame().query("unit >= 20")
    estimates["y1"] = apm.twfe(apm.Panel(half, unit="unit", time="t", outcome="y1", cohort="cohort"))
    one, two = (estimate.influence.iloc[:, 0] for estimate in estimates.values())
    shared = one.index.intersection(two.index)
    correlation = (one[shared] @ two[shared]) / np.sqrt((one @ one) * (two @ two))
    t = np.array([estimate.table["estimate"][0] / estimate.table["se"][0] for estimate in estimates.values()])
    wald = (t @ np.linalg.solve([[1, correlation], [correlation, 1]], t)) / 2
    report = outcome_report(estimates, {"y0": "global", "y1": "global"})
    df = min(estimate.degrees_of_freedom for estimate in estimates.values())
    assert report["tier_p_value"][0] == pytest.approx(stats.f.sf(wald, 2, df))


SOME = outcomes(6, effects=(0.0, 0.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: adjust_p_values([]), "no p value"),
        (lambda: adjust_p_values([0.5, 1.2]), "p=1.2 is not a p value"),
        (lambda: adjust_p_values([0.5, np.nan]), "p=nan is not a p value"),
        (lambda: adjust_p_values([0.5], "bonferroni"), "method='bonferroni' is not known"),
        (lambda: romano_wolf(SOME, draws=10), "draws=10 is too few"),
        (lambda: romano_wolf({}), "give a dict of one for each outcome"),
        (lambda: romano_wolf({"a": published(1.0, 1.0)}), "no influence function"),
        (lambda: outcome_report({}, {}), "give a dict of one for each outcome"),
        (lambda: outcome_report(SOME, "global"), "tiers is of type str: give a dict"),
        (lambda: outcome_report(SOME, dict.fromkeys(SOME, "global"), method="bonferroni"), "method='bonferroni' is"),
        (lambda: romano_wolf({"a": None}), "An Estimate is needed, not NoneType"),
        (lambda: romano_wolf({"a": published(1.0, 0.0)}), "The estimate of 'a' has no p value: leave it out"),
        (lambda: outcome_report(SOME, {"y0": "global"}), "Outcome 'y1' has the tier None"),
        (lambda: outcome_report(SOME, {"y0": "global", "y1": "final"}), "'y1' has the tier 'final'"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(call, message):
    with pytest.raises(ApmkitError, match=message):
        call()


def test_estimates_of_other_clusters_or_several_terms_are_refused():
    panel = SOME["y1"].panel.to_frame()
    panel["unit"] = panel["unit"].map("clinic {}".format)
    other = apm.twfe(apm.Panel(panel, unit="unit", time="t", outcome="y1", cohort="cohort"))
    with pytest.raises(ApmkitError, match="'y0' and 'other' share no cluster"):
        romano_wolf({"y0": SOME["y0"], "other": other})
    frame = outcomes(7, effects=(0.0,), periods=4)["y0"].panel
    with pytest.raises(ApmkitError, match="The estimate of 'a' has 3 terms"):
        romano_wolf({"a": apm.event_study(frame)})


def test_a_tier_without_a_joint_covariance_has_the_smallest_p_value_of_holm(tmp_path):
    data = SOME["y0"].panel.to_frame().rename(columns={"cohort": "start"})
    data["pair"] = data["unit"] // 2
    duckdb.from_df(data).write_parquet(str(tmp_path / "rows.parquet"))
    columns = {"unit": "unit", "time": "t", "outcome": "y0", "cohort": "start"}
    of_file = apm.twfe(apm.Panel(str(tmp_path / "rows.parquet"), **columns))
    of_pairs = apm.twfe(apm.Panel(data, cluster="pair", **columns))
    for other in (of_file, of_pairs):
        report = outcome_report({"y0": SOME["y0"], "other": other}, {"y0": "global", "other": "global"})
        assert report["tier_p_value"][0] == report["p_adjusted"].min()
    with pytest.raises(ApmkitError, match="'y0' and 'other' share no cluster"):
        romano_wolf({"y0": SOME["y0"], "other": of_pairs})
