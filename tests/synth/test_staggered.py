"""Several cohorts: each part against the method for one cohort, the whole against averages made here."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import DesignWarning, EstimationError, PanelError
from apmkit.panel import Panel
from apmkit.synth import (
    staggered_synthetic_control,
    staggered_synthetic_did,
    synthetic_control,
    synthetic_did,
)

METHODS = (staggered_synthetic_did, staggered_synthetic_control)
pytestmark = pytest.mark.filterwarnings("ignore:.*(misses the treated|withheld):apmkit.errors.DesignWarning")
STARTS = [2008, 2008, 2010, 2010, 2010]


def simulate(seed=0, starts=STARTS, n_donors=10, effect=0.0):
    rng = np.random.default_rng(seed)
    n, years = len(starts) + n_donors, 2000 + np.arange(14)
    start = np.array([*map(float, starts), *[np.nan] * n_donors])
    factors = rng.normal(size=(2, 14)).cumsum(axis=1)
    y = 10 + rng.uniform(size=(n, 2)) @ factors + 0.3 * rng.normal(size=(n, 14))
    y += effect * (years >= start[:, None])
    names = np.array([f"u{i:02d}" for i in range(n)])
    return pd.DataFrame(
        {"unit": np.repeat(names, 14), "year": np.tile(years, n), "y": y.ravel(), "start": np.repeat(start, 14)}
    )


def panel_of(frame):
    return Panel(frame, unit="unit", time="year", outcome="y", cohort="start")


def cohort_of(frame, start):
    return panel_of(frame[frame["start"].isna() | (frame["start"] == start)])


def value(estimate):
    return estimate.table["estimate"].iloc[0]


@pytest.mark.parametrize(
    ("method", "alone"),
    [
        (staggered_synthetic_did, synthetic_did),
        (lambda panel, **options: staggered_synthetic_control(panel, nu=0, **options), synthetic_control),
    ],
)
def test_effects_are_those_of_each_cohort_by_itself_averaged_by_treated_unit_periods(method, alone):
    frame = simulate(effect=2.0)
    each = [alone(cohort_of(frame, start), placebo=None) for start in (2008, 2010)]
    by_cohort = method(panel_of(frame), by="cohort", variance=None)
    np.testing.assert_allclose(by_cohort.table["estimate"], [value(e) for e in each], atol=1e-9)
    unit_periods = np.array([2 * 6, 3 * 4])
    together = unit_periods @ [value(e) for e in each] / unit_periods.sum()
    assert value(method(panel_of(frame), variance=None)) == pytest.approx(together, abs=1e-9)

    event = method(panel_of(frame), by="event", variance=None).table.set_index("relative_time")["estimate"]
    gaps = [e.details["path"].set_index("period")["gap"] for e in each]
    assert event[-8] == pytest.approx((2 * gaps[0][2000] + 3 * gaps[1][2002]) / 5, abs=1e-9)
    assert event[3] == pytest.approx((2 * gaps[0][2011] + 3 * gaps[1][2013]) / 5, abs=1e-9)
    assert event[5] == pytest.approx(gaps[0][2013], abs=1e-9)
    assert list(event.index) == list(range(-8, 6))


def test_one_cohort_is_the_method_for_one_cohort():
    frame = simulate(starts=[2008, 2008])
    panel = panel_of(frame)
    assert value(staggered_synthetic_did(panel, variance=None)) == value(synthetic_did(panel, placebo=None))
    for variance in ("jackknife", "bootstrap"):
        ours = staggered_synthetic_did(panel, variance=variance, draws=30).table
        theirs = synthetic_did(panel, variance=variance, draws=30).table
        pd.testing.assert_frame_equal(ours, theirs)
    assert value(staggered_synthetic_control(panel, variance=None)) == pytest.approx(
        value(synthetic_control(panel, placebo=None)), abs=1e-9
    )


def loss_of(frame, weights, nu, apart):
    """Pooled and separate squared distances for weights (cohorts, donors), relative to those of `apart`."""
    wide = frame.pivot(index="unit", columns="year", values="y").to_numpy()
    donors = wide[5:]

    def distances(w):
        first, second = wide[:2].mean(axis=0) - w[0] @ donors, wide[2:5].mean(axis=0) - w[1] @ donors
        separate = 0.4 * np.square(first[:8]).mean() + 0.6 * np.square(second[:10]).mean()
        mean = 0.6 * second[:10]
        mean[2:] += 0.4 * first[:8]
        return np.square(mean).mean(), separate

    pooled, separate = distances(weights)
    pooled_apart, separate_apart = distances(apart)
    return nu * pooled / pooled_apart + (1 - nu) * separate / separate_apart


def weights_of(estimate):
    return estimate.details["donor_weights"].pivot(index="cohort", columns="unit", values="weight").to_numpy()


@pytest.mark.parametrize("nu", [0.3, 0.9, 1.0])
def test_partially_pooled_weights_have_the_least_loss(nu):
    frame = simulate(4)
    panel = panel_of(frame)
    apart = weights_of(staggered_synthetic_control(panel, nu=0, variance=None))
    ours = weights_of(staggered_synthetic_control(panel, nu=nu, variance=None))
    np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-12)
    assert ours.min() >= 0
    # Karush-Kuhn-Tucker: within a cohort no weight can move down the loss. Central differences of a square are exact.
    steps = 1e-3 * np.eye(20).reshape(20, 2, 10)
    up, down = ([loss_of(frame, ours + sign * step, nu, apart) for step in steps] for sign in (1, -1))
    gradient = ((np.array(up) - down) / 2e-3).reshape(2, 10)
    slack = gradient - (gradient * ours).sum(axis=1, keepdims=True)
    assert slack.min() > -1e-9
    assert np.abs(slack[ours > 0]).max() < 1e-9
    assert loss_of(frame, ours, nu, apart) < loss_of(frame, apart, nu, apart)


def test_more_pooling_brings_the_average_closer_and_the_cohorts_apart():
    panel = panel_of(simulate(4))
    fits = [staggered_synthetic_control(panel, nu=nu, variance=None).diagnostics for nu in (0, 0.3, 0.6, 0.9, 1)]
    assert all(np.diff([f["pooled_rmspe"] for f in fits]) <= 1e-9)
    assert all(np.diff([f["separate_rmspe"] for f in fits]) >= -1e-9)


def test_nu_is_found_from_the_fits_of_each_cohort_by_itself():
    frame = simulate(5)
    gaps = [
        synthetic_control(cohort_of(frame, start), placebo=None).details["path"].set_index("period")["gap"]
        for start in (2008, 2010)
    ]
    first, second = gaps[0].loc[:2007].to_numpy(), gaps[1].loc[:2009].to_numpy()
    mean = 0.6 * second
    mean[2:] += 0.4 * first
    expected = np.linalg.norm(mean) / (0.4 * np.linalg.norm(first) + 0.6 * np.linalg.norm(second))
    found = staggered_synthetic_control(panel_of(frame), variance=None)
    assert found.diagnostics["nu"] == pytest.approx(expected, rel=1e-6)
    assert value(found) == pytest.approx(
        value(staggered_synthetic_control(panel_of(frame), nu=found.diagnostics["nu"], variance=None)), abs=1e-9
    )


def test_the_jackknife_leaves_out_each_unit_in_every_cohort():
    frame = simulate(6)
    full = staggered_synthetic_did(panel_of(frame), variance="jackknife")
    wide = frame.pivot(index="unit", columns="year", values="y")
    left_out = []
    for unit in wide.index:
        total = count = 0
        for start in (2008, 2010):
            alone = synthetic_did(cohort_of(frame, start), placebo=None)
            w = alone.details["donor_weights"].set_index("unit")["weight"].drop(unit, errors="ignore")
            treated = frame.loc[frame["start"] == start, "unit"].unique()
            treated = [u for u in treated if u != unit]
            gap = wide.loc[treated].mean() - (w / w.sum()) @ wide.loc[w.index]
            gap -= gap.loc[: start - 1] @ alone.details["time_weights"]["weight"].to_numpy()
            total += len(treated) * gap.loc[start:].sum()
            count += len(treated) * (2014 - start)
        left_out.append(total / count)
    n = len(left_out)
    assert full.table["se"].iloc[0] == pytest.approx(np.sqrt((n - 1) ** 2 / n * np.var(left_out, ddof=1)), rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_placebo_deals_the_cohorts_to_other_units(method):
    # Draw the same order as the method does and estimate the first deal on a panel made by hand.
    frame = simulate(7, n_donors=7)
    panel = panel_of(frame)
    order = np.random.default_rng(3).permuted(np.arange(12)[None], axis=1)[0]
    dealt = dict(zip(panel.units[order], [*map(float, STARTS), *[np.nan] * 7], strict=True))
    other = value(method(panel_of(frame.assign(start=frame["unit"].map(dealt))), variance=None))
    mine = method(panel, draws=1, seed=3)
    expected = (1 + (abs(other) >= abs(value(mine)))) / 2
    assert mine.table["p_value"].iloc[0] == expected


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_result_and_a_figure(method):
    panel = panel_of(simulate(8))
    one, same = (method(panel, by="event", draws=40, seed=2) for _ in range(2))
    pd.testing.assert_frame_equal(one.table, same.table)
    assert one.covariance.shape == (14, 14)
    ax = one.plot()
    assert ax.get_xlabel() == "Periods since treatment began"
    assert set(one.details) == {"cohorts", "cells", "donor_weights"}


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_names_currency_and_level_change_nothing_else(seed):
    frame = simulate(seed)
    shuffled = frame.sample(frac=1, random_state=seed)
    shuffled["unit"] = "v" + shuffled["unit"].str[:0:-1]
    for method in METHODS:
        estimate = value(method(panel_of(frame), variance=None))
        assert value(method(panel_of(shuffled), variance=None)) == pytest.approx(estimate, abs=1e-6)
        scaled = frame.assign(y=1e4 * frame["y"])
        assert value(method(panel_of(scaled), variance=None)) == pytest.approx(1e4 * estimate, rel=1e-6, abs=1e-4)
        raised = frame.assign(y=frame["y"] + 1e8)
        assert value(method(panel_of(raised), variance=None)) == pytest.approx(estimate, abs=1e-4)


def test_a_constant_added_to_one_unit_changes_nothing_where_distances_may_differ():
    frame = simulate(9)
    moved = frame.assign(y=frame["y"] + frame["unit"].map({"u00": 50.0, "u07": -9.0}).fillna(0))
    assert value(staggered_synthetic_did(panel_of(moved), variance=None)) == pytest.approx(
        value(staggered_synthetic_did(panel_of(frame), variance=None)), abs=1e-9
    )
    options = {"intercept": True, "variance": None}
    assert value(staggered_synthetic_control(panel_of(moved), **options)) == pytest.approx(
        value(staggered_synthetic_control(panel_of(frame), **options)), abs=1e-7
    )


def test_a_known_effect_is_found():
    for method in METHODS:
        effects = [value(method(panel_of(simulate(seed, effect=5.0)), variance=None)) for seed in range(12)]
        assert np.mean(effects) == pytest.approx(5, abs=4 * np.std(effects) / np.sqrt(12))


def test_a_bad_fit_withholds_p_value_and_interval():
    frame = simulate()
    for method in METHODS:
        with pytest.warns(DesignWarning, match="p-value and interval are withheld"):
            refused = method(panel_of(frame), max_pre_fit=1e-3, draws=5)
        assert refused.table[["se", "ci_low", "ci_high", "p_value"]].isna().all(axis=None)
        assert "withheld" in refused.diagnostics


def test_as_many_treated_as_donors_leave_no_standard_error():
    with pytest.warns(DesignWarning, match="No standard error"):
        estimate = staggered_synthetic_did(panel_of(simulate(n_donors=5)), draws=20)
    assert np.isnan(estimate.table["se"].iloc[0])
    assert estimate.table["p_value"].notna().all()


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (staggered_synthetic_did, {"by": "calendar"}, "by='calendar' is not known"),
        (staggered_synthetic_did, {"variance": "wild"}, "variance='wild' is not known"),
        (staggered_synthetic_did, {"draws": 0}, "draws=0 leaves no placebo"),
        (staggered_synthetic_control, {"nu": 1.5}, "nu=1.5 is not between 0 and 1"),
        (staggered_synthetic_control, {"variance": "jackknife"}, "keeps weights that belong together"),
        (staggered_synthetic_control, {"max_pre_fit": -1}, "max_pre_fit=-1 is not above zero"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_the_remedy(method, options, message):
    with pytest.raises(PanelError, match=message):
        method(panel_of(simulate()), **options)


def test_panels_that_cannot_serve_are_refused_with_the_remedy():
    early = simulate(starts=[2001, 2008])
    with pytest.raises(PanelError, match="Only 2000 lies before treatment in 2001: synthetic"):
        staggered_synthetic_did(panel_of(early))
    assert np.isfinite(value(staggered_synthetic_control(panel_of(early), variance=None)))
    with pytest.raises(PanelError, match="starts in 2000, and no earlier period"):
        staggered_synthetic_did(panel_of(simulate(starts=[2000, 2008])))
    with pytest.raises(PanelError, match="has 1 never-treated units"):
        staggered_synthetic_control(panel_of(simulate(n_donors=1)))
    for variance in ("jackknife", "bootstrap"):
        with pytest.raises(EstimationError, match="One unit, 'u00', is first treated in 2008"):
            staggered_synthetic_did(panel_of(simulate(starts=[2008, 2010, 2010])), variance=variance)
