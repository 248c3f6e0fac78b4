"""Conformal inference: Chernozhukov, Wuethrich & Zhu (2021)."""

import numpy as np
import pandas as pd
import pytest

from apmkit.errors import DesignWarning, PanelError
from apmkit.panel import Panel
from apmkit.synth import conformal_intervals, conformal_test, synthetic_control
from apmkit.synth.simplex import simplex_least_squares

METHODS = (
    "synthetic_control",
    "synthetic_control_intercept",
    "augmented_synthetic_control",
    "synthetic_did",
    "difference_in_differences",
)
pytestmark = pytest.mark.filterwarnings("ignore:.*misses the treated:apmkit.errors.DesignWarning")


def panel_of(outcomes, n_post):
    n, n_periods = outcomes.shape
    years = 2000 + np.arange(n_periods)
    start = np.where(np.arange(n) == 0, years[-n_post], np.nan)
    frame = pd.DataFrame(
        {"unit": np.repeat(np.arange(n), n_periods), "year": np.tile(years, n), "y": outcomes.ravel(),
         "start": np.repeat(start, n_periods)}
    )  # fmt: skip
    return Panel(frame, unit="unit", time="year", outcome="y", cohort="start")


@pytest.fixture
def outcomes():
    rng = np.random.default_rng(7)
    factors = rng.normal(size=(2, 25)).cumsum(axis=1)
    return rng.uniform(size=(8, 2)) @ factors + 0.4 * rng.normal(size=(8, 25))


def by_hand(residual, n_post, q=1.0):
    n = len(residual)
    shifts = [np.roll(residual, shift) for shift in range(n)]
    values = [(np.sum(np.abs(s[-n_post:]) ** q) / np.sqrt(n_post)) ** (1 / q) for s in shifts]
    return values[0], np.mean(np.array(values) >= values[0] - 1e-12)


@pytest.mark.parametrize("q", [1.0, 2.0])
def test_the_test_ranks_residuals_of_a_fit_to_all_periods_among_their_shifts(outcomes, q):
    effect = np.array([0.5, -0.2, 1.0])
    null = outcomes.copy()
    null[0, -3:] -= effect
    panel = panel_of(outcomes, 3)
    did = null[0] - null[1:].mean(axis=0)
    weights = simplex_least_squares((null[1:] - null[0]).T[None])[0]
    for method, residual in (
        ("difference_in_differences", did - did.mean()),
        ("synthetic_control", null[0] - weights @ null[1:]),
    ):
        found = conformal_test(panel, method=method, null=effect, q=q)
        statistic, p_value = by_hand(residual, 3, q)
        assert found["statistic"] == pytest.approx(statistic, rel=1e-6)
        assert found["p_value"] == pytest.approx(p_value)
        assert found["p_value_floor"] == pytest.approx(1 / 25)


def test_random_orders_repeat_with_the_seed_and_come_close_to_shifts_of_noise():
    panel = panel_of(np.random.default_rng(3).normal(size=(8, 40)), 4)
    one, same = (conformal_test(panel, permutations="iid", draws=999, seed=1) for _ in range(2))
    pd.testing.assert_series_equal(one, same)
    assert one["n_permutations"] == 1000
    assert one["p_value"] == pytest.approx(conformal_test(panel)["p_value"], abs=0.2)


@pytest.mark.parametrize("method", METHODS)
def test_effects_inside_an_interval_are_accepted_and_those_outside_are_not(outcomes, method):
    # The last period alone, with the same periods before treatment. Synthetic DiD's ridge depends on their number.
    alone = panel_of(np.delete(outcomes, -2, axis=1), 1)
    panel = alone if method == "synthetic_did" else panel_of(outcomes, 2)
    last = conformal_intervals(panel, method=method, level=0.9).table.iloc[-1]
    width = last["ci_high"] - last["ci_low"]

    def p_value(effect):
        return conformal_test(alone, method=method, null=effect)["p_value"]

    assert p_value(0.0) == pytest.approx(last["p_value"])
    for end, outward in ((last["ci_low"], -1), (last["ci_high"], 1)):
        assert p_value(end - outward * 1e-6 * width) > 0.1
        assert p_value(end + outward * 1e-6 * width) <= 0.1 + 1e-12
        assert p_value(end + outward * 10 * width) <= 0.1 + 1e-12


def test_intervals_of_difference_in_differences_have_a_closed_form(outcomes):
    panel = panel_of(outcomes, 1)
    found = conformal_intervals(panel, method="difference_in_differences", level=0.95).table.iloc[0]
    gap = outcomes[0] - outcomes[1:].mean(axis=0)
    # The null effect c is accepted if |u_T| <= one of the other |u_t|: bisect both ends by brute force.
    grid = np.linspace(found["estimate"] - 5, found["estimate"] + 5, 20_001)
    paths = np.tile(gap, (len(grid), 1))
    paths[:, -1] -= grid
    residual = np.abs(paths - paths.mean(axis=1, keepdims=True))
    accepted = grid[(residual >= residual[:, -1:]).mean(axis=1) > 0.05 + 1e-12]
    assert [found["ci_low"], found["ci_high"]] == pytest.approx([accepted.min(), accepted.max()], abs=6e-4)


def test_estimates_are_the_gaps_of_the_method_and_nothing_is_random(prop99):
    shorter = prop99.restrict(prop99.units != "", prop99.periods <= 1993)
    estimate = conformal_intervals(shorter, level=0.9)
    gaps = synthetic_control(shorter, placebo=None).details["path"].set_index("period")["gap"]
    np.testing.assert_array_equal(estimate.table["estimate"], gaps.loc[1989:])
    assert list(estimate.table["relative_time"]) == list(range(5))
    assert (estimate.table["ci_low"] < estimate.table["estimate"]).all()
    assert (estimate.table["ci_high"] > estimate.table["estimate"]).all()
    assert (estimate.table["ci_high"] < 0).all()
    assert "90% CI" in estimate.term("gap in 1993").sentence()


def test_scale_and_level_of_the_outcome_move_the_intervals_with_it(outcomes):
    def ends(values):
        table = conformal_intervals(panel_of(values, 2), method="synthetic_did", level=0.9).table
        return table[["ci_low", "ci_high"]].to_numpy()

    np.testing.assert_allclose(ends(1000 * outcomes), 1000 * ends(outcomes), rtol=1e-6)
    np.testing.assert_allclose(ends(outcomes + 1e8), ends(outcomes), atol=1e-5)


def test_too_few_periods_give_no_bound_and_a_warning(outcomes):
    with pytest.warns(DesignWarning, match=r"give no bound at level 0.99: p-values cannot be below 0.042"):
        estimate = conformal_intervals(panel_of(outcomes, 2), level=0.99)
    assert np.isinf(estimate.table[["ci_low", "ci_high"]]).all(axis=None)
    assert estimate.table["p_value"].notna().all()


def test_a_bad_fit_withholds_intervals(outcomes):
    with pytest.warns(DesignWarning, match="withheld"):
        estimate = conformal_intervals(panel_of(outcomes, 2), max_pre_fit=1e-3, level=0.9)
    assert estimate.table[["ci_low", "ci_high", "p_value"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lasso"}, "method='lasso' is not known: give one of synthetic_control"),
        ({"null": [1.0]}, r"null has shape \(1,\): give one finite effect, or one for each of 2 periods"),
        ({"null": np.nan}, "give one finite effect"),
        ({"permutations": "block"}, "permutations='block' is not known"),
        ({"q": 0.5}, "q=0.5"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_the_remedy(outcomes, options, message):
    with pytest.raises(PanelError, match=message):
        conformal_test(panel_of(outcomes, 2), **options)


def test_a_level_outside_zero_and_one_is_refused(outcomes):
    with pytest.raises(PanelError, match="level=95 is not between"):
        conformal_intervals(panel_of(outcomes, 2), level=95)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_size_and_coverage_over_time(method):
    rng = np.random.default_rng(11)
    p = np.empty(1000)
    for i in range(len(p)):
        factors = rng.normal(size=(2, 20))
        values = rng.uniform(size=(7, 2)) @ factors + rng.normal(size=(7, 20))
        p[i] = conformal_test(panel_of(values, 1), method=method)["p_value"]
    # With 20 periods p is one of 0.05, 0.10, ... and exact; an interval covers where its level's test accepts.
    assert 0.035 <= (p <= 0.05 + 1e-12).mean() <= 0.065
    assert (p > 0.1 + 1e-12).mean() == pytest.approx(0.9, abs=0.03)


def test_a_nearly_perfect_fit_before_treatment_has_an_interval_with_ends():
    # Twelve donors can follow four years before treatment almost exactly; the fifth year then sets the scale.
    random = np.random.default_rng(3)
    donors = 1_000 + random.normal(size=(12, 1)) * 100 + 20 * random.normal(size=(12, 5))
    target = donors[:4].mean(axis=0) + np.array([1e-9, -1e-9, 1e-9, 0.0, 30.0])
    result = conformal_intervals(panel_of(np.vstack([target, donors]), 1), level=0.8)
    (row,) = result.table.itertuples()
    assert -1_000 < row.ci_low < row.estimate < row.ci_high < 1_000
    panel = panel_of(np.vstack([target, donors]), 1)
    outside = (
        conformal_test(panel, null=row.ci_high + 5.0)["p_value"],
        conformal_test(panel, null=row.ci_low - 5.0)["p_value"],
    )
    assert max(outside) <= 0.2 + 1e-12
