"""Power and minimum detectable effects: formulas, dense least squares, statsmodels and simulation."""

import math
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import apmkit as apm
from apmkit import plots
from apmkit.errors import ApmkitError, DesignWarning, PanelError
from apmkit.inference import Precision

mpl.use("Agg")


def history(n=120, periods=12, seed=0, correlation=0.6, clusters=None, shift=0.0):
    """A panel without treatment whose errors are serially correlated."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(n, periods))
    for t in range(1, periods):
        noise[:, t] += correlation * noise[:, t - 1]
    group = np.arange(n) % (clusters or n)
    if clusters:
        noise += random.normal(size=(clusters, periods))[group]
    frame = pd.DataFrame({"unit": np.repeat(np.arange(n), periods), "time": np.tile(np.arange(periods), n)})
    frame["y"] = (noise + 2 * random.normal(size=(n, 1)) + np.arange(periods)).ravel() + shift
    frame["group"], frame["start"] = np.repeat(group, periods), np.nan
    return panel_of(frame, cluster="group" if clusters else None)


def panel_of(frame, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return apm.Panel(frame, unit="unit", time="time", outcome="y", cohort="start", **options)


def result(se, df=math.inf):
    return apm.Estimate.from_covariance(
        pd.DataFrame({"term": ["effect"]}), np.array([1.0]), np.array([[se**2]]), degrees_of_freedom=df,
        estimand="ATT", estimator="a trial", outcome="y", n_obs=20, n_units=20, n_clusters=20,
    )  # fmt: skip


# -- from a standard error ---------------------------------------------------------------------------------------------


def mde(study, **options):
    return apm.minimum_detectable_effect(study, **options)["minimum_detectable_effect"].item()


@pytest.mark.parametrize("n", [5, 12, 200])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_two_groups_are_as_in_statsmodels(n, power, agrees):
    import statsmodels
    from statsmodels.stats.power import TTestIndPower

    study = result(math.sqrt(2 / n), df=2 * n - 2)
    package, case = f"statsmodels {statsmodels.__version__}", f"{n} in each group, power {power}"
    theirs = TTestIndPower().solve_power(nobs1=n, alpha=0.05, power=power)
    agrees(mde(study, power=power), theirs, within=1e-6, what="minimum_detectable_effect", package=package, case=case)
    effects = np.array([-0.4, 0.0, 0.3, 0.5])
    theirs = [TTestIndPower().power(effect, n, 0.05) for effect in effects]
    agrees(
        apm.power_curve(study, effects)["power"], theirs, within=1e-8, what="power_curve", package=package, case=case
    )


def test_with_the_normal_distribution_it_is_the_sum_of_two_quantiles():
    expected = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert mde(result(2.0)) == pytest.approx(2 * expected, rel=1e-5)
    assert mde(result(2.0, df=30)) == pytest.approx(2 * (stats.t.ppf(0.975, 30) + stats.t.ppf(0.8, 30)), rel=0.01)


@settings(max_examples=20, deadline=None)
@given(se=st.floats(1e-6, 1e6), df=st.sampled_from([1, 3, 20, math.inf]), power=st.floats(0.1, 0.99))
def test_power_at_the_minimum_detectable_effect_is_the_power_asked_for(se, df, power):
    study = Precision("plan", se, df)
    effect = mde(study, power=power)
    curve = apm.power_curve(study, [effect, -effect, 0.0])["power"]
    np.testing.assert_allclose(curve, [power, power, 0.05], atol=1e-8)


def test_every_term_of_an_estimate_has_its_own():
    event = apm.Estimate.from_covariance(
        pd.DataFrame({"term": ["a", "b"]}), np.zeros(2), np.diag([1.0, 4.0]), estimand="ATT", estimator="e",
        outcome="y", n_obs=9, n_units=9, n_clusters=9,
    )  # fmt: skip
    table = apm.minimum_detectable_effect(event)
    assert table["term"].tolist() == ["a", "b"]
    assert table["minimum_detectable_effect"][1] == pytest.approx(2 * table["minimum_detectable_effect"][0])
    with pytest.raises(ApmkitError, match=r"there are 2: choose one, for instance term\('a'\)"):
        apm.power_curve(event)


# -- difference-in-differences -----------------------------------------------------------------------------------------


def test_the_precision_is_the_formula_of_burlig_preonas_and_woerman():
    m, r, treated, controls = 3, 4, 20, 30
    panel = history(n=90, periods=m + r)
    covariance = np.cov(panel.outcomes.T)
    variance = np.diag(covariance).mean()
    off = ~np.eye(m + r, dtype=bool)
    before, after = covariance[:m, :m][off[:m, :m]].mean(), covariance[m:, m:][off[m:, m:]].mean()
    across = covariance[:m, m:].mean()
    # Variances before and after enter by their own means; the paper takes them for equal.
    first, last = np.diag(covariance)[:m].mean(), np.diag(covariance)[m:].mean()
    assert (m * first + r * last) / (m + r) == pytest.approx(variance)
    formula = first / m + last / r + (m - 1) / m * before + (r - 1) / r * after - 2 * across
    plan = apm.did_precision(panel, treated=treated, controls=controls, before=m, after=r)
    assert plan.se == pytest.approx(math.sqrt(formula * (1 / treated + 1 / controls)), rel=1e-10)
    assert plan.degrees_of_freedom == 48


def test_windows_are_pooled_and_treated_or_missing_cells_left_out():
    panel = history(n=40, periods=6)
    changes = [panel.outcomes[:, s + 2] - panel.outcomes[:, s : s + 2].mean(axis=1) for s in range(4)]
    variance = np.mean([np.var(change, ddof=1) for change in changes])
    plan = apm.did_precision(panel, treated=10, controls=10, before=2, after=1)
    assert plan.se == pytest.approx(math.sqrt(variance / 5), rel=1e-10)
    frame = panel.to_frame().drop(columns="cohort").assign(start=lambda f: np.where(f["unit"] < 10, 3.0, np.nan))
    frame.loc[frame["time"].ge(3) & frame["unit"].lt(10), "y"] += 100
    frame = frame[~((frame["unit"] == 20) & (frame["time"] == 1))]
    spoilt = apm.did_precision(panel_of(frame), treated=10, controls=10, before=2, after=1)
    keep = [
        np.arange(40) != 20,
        (np.arange(40) >= 10) & (np.arange(40) != 20),
        np.arange(40) >= 10,
        np.arange(40) >= 10,
    ]
    sums = [((c[k] - c[k].mean()) ** 2).sum() for c, k in zip(changes, keep, strict=True)]
    expected = sum(sums) / sum(k.sum() - 1 for k in keep)
    assert spoilt.se == pytest.approx(math.sqrt(expected / 5), rel=1e-10)


def test_a_constant_and_the_currency_move_nothing_but_the_unit():
    plan = {"treated": 20, "controls": 20, "before": 3, "after": 3}
    one = apm.did_precision(history(), **plan).se
    assert apm.did_precision(history(shift=1e8), **plan).se == pytest.approx(one, rel=1e-6)
    frame = history().to_frame().assign(y=lambda f: 1.3 * f["y"], start=np.nan).drop(columns="cohort")
    assert apm.did_precision(panel_of(frame.sample(frac=1, random_state=1)), **plan).se == pytest.approx(1.3 * one)


@pytest.mark.parametrize("clusters", [None, 60])
def test_the_precision_is_the_spread_of_placebo_estimates(clusters):
    panel = history(n=240, periods=8, seed=3, clusters=clusters)
    plan = apm.did_precision(panel, treated=20, controls=20, before=4, after=4)
    random = np.random.default_rng(5)
    change = panel.outcomes[:, 4:].mean(axis=1) - panel.outcomes[:, :4].mean(axis=1)
    means = pd.Series(change).groupby(panel.cluster_codes).mean().to_numpy()
    spread = np.std([np.diff(random.permutation(means)[:40].reshape(2, 20).mean(axis=1)) for _ in range(4_000)])
    assert plan.se == pytest.approx(spread, rel=0.04)


# -- trials ------------------------------------------------------------------------------------------------------------


def test_a_cluster_trial_has_the_variance_of_its_cluster_means():
    sd, icc, size, k = 3.0, 0.1, 25, (12, 15)
    variance = sd**2 * (icc + (1 - icc) / size)
    plan = apm.cluster_trial_precision(sd=sd, icc=icc, clusters=k, cluster_size=size)
    assert plan.se == pytest.approx(math.sqrt(variance * (1 / 12 + 1 / 15)), rel=1e-12)
    assert plan.degrees_of_freedom == 25
    uneven = apm.cluster_trial_precision(sd=sd, icc=icc, clusters=k, cluster_size=size, cv=0.5)
    assert (uneven.se / plan.se) ** 2 == pytest.approx((1 + (1.25 * size - 1) * icc) / (1 + (size - 1) * icc))
    alone = apm.cluster_trial_precision(sd=sd, icc=0, clusters=k, cluster_size=1)
    assert alone.se == pytest.approx(sd * math.sqrt(1 / 12 + 1 / 15))


STEPS = np.repeat(np.triu(np.ones((4, 5)), 1), 3, axis=0)


def test_a_stepped_wedge_is_the_formula_of_hussey_and_hughes():
    sd, icc, size = 2.0, 0.08, 15
    between, cell = sd**2 * icc, sd**2 * (1 - icc) / size
    clusters, periods = STEPS.shape
    u, w, v = STEPS.sum(), (STEPS.sum(axis=0) ** 2).sum(), (STEPS.sum(axis=1) ** 2).sum()
    formula = clusters * cell * (cell + periods * between) / (
        (clusters * u - w) * cell + (u**2 + clusters * periods * u - periods * w - clusters * v) * between
    )  # fmt: skip
    plan = apm.stepped_wedge_precision(sd=sd, icc=icc, schedule=STEPS, cluster_size=size)
    assert plan.se == pytest.approx(math.sqrt(formula), rel=1e-10)


@pytest.mark.parametrize("autocorrelation", [0.0, 0.7, 1.0])
def test_a_stepped_wedge_is_dense_least_squares_on_patients(autocorrelation):
    sd, icc, size = 2.0, 0.08, 2
    clusters, periods = STEPS.shape
    cluster, period, _ = (a.ravel() for a in np.indices((clusters, periods, size)))
    distance = np.abs(np.subtract.outer(period, period))
    same = np.equal.outer(cluster, cluster)
    covariance = sd**2 * (icc * same * autocorrelation**distance + (1 - icc) * np.eye(len(cluster)))
    design = np.column_stack([STEPS[cluster, period], np.equal.outer(period, np.arange(periods))])
    variance = np.linalg.inv(design.T @ np.linalg.solve(covariance, design))[0, 0]
    plan = apm.stepped_wedge_precision(
        sd=sd, icc=icc, schedule=pd.DataFrame(STEPS), cluster_size=size, autocorrelation=autocorrelation
    )
    assert plan.se == pytest.approx(math.sqrt(variance), rel=1e-10)


# -- simulation --------------------------------------------------------------------------------------------------------

PLAN = {"treated": 15, "controls": 25, "before": 4, "after": 3}


def test_simulated_power_agrees_with_the_formula():
    panel = history(n=200, periods=9)
    plan = apm.did_precision(panel, **PLAN)
    effects = np.array([0.0, 1.5, 2.8]) * plan.se
    simulated = apm.simulated_power(panel, apm.twfe, effects, **PLAN, draws=200, seed=2)
    analytic = apm.power_curve(plan, effects)["power"]
    error = np.sqrt(analytic * (1 - analytic) / 200)
    assert (np.abs(simulated["power"] - analytic) < 4 * error).all()
    np.testing.assert_allclose(
        simulated["simulation_error"], np.sqrt(simulated["power"] * (1 - simulated["power"]) / 200)
    )


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [None, 60])
def test_simulated_power_agrees_with_the_formula_in_many_draws(clusters):
    panel = history(n=240, periods=10, clusters=clusters)
    plan = apm.did_precision(panel, **PLAN)
    effects = np.array([0.0, 1.0, 2.0, 2.8]) * plan.se
    analytic = apm.power_curve(plan, effects)["power"]
    simulated = apm.simulated_power(panel, apm.twfe, effects, **PLAN, draws=1_000)["power"]
    assert (np.abs(simulated - analytic) < 4 * np.sqrt(analytic * (1 - analytic) / 1_000) + 0.01).all()
    assert 0.035 <= simulated[0] <= 0.065


def test_the_same_seed_gives_the_same_draws_and_whole_clusters_are_treated():
    panel = history(n=80, periods=8, clusters=40)
    seen = []

    def keep(placebo):
        seen.append(placebo)
        return apm.twfe(placebo)

    one = apm.simulated_power(panel, keep, [0.5], **PLAN, draws=5, seed=3)
    pd.testing.assert_frame_equal(one, apm.simulated_power(panel, apm.twfe, [0.5], **PLAN, draws=5, seed=3))
    for placebo in seen:
        treated = pd.Series(np.isfinite(placebo.cohorts)).groupby(placebo.cluster_codes)
        assert (treated.min() == treated.max()).all()
        assert treated.first().sum() == 15
        assert (placebo.n_clusters, len(placebo.periods)) == (40, 7)


def test_an_estimator_that_a_constant_effect_does_not_shift_is_refused():
    panel = history(n=80)

    def halved(placebo):
        fit = apm.twfe(placebo)
        return apm.Estimate.from_covariance(
            pd.DataFrame({"term": ["half"]}), fit.table["estimate"].to_numpy() / 2, fit.covariance.to_numpy(),
            estimand="ATT", estimator="half", outcome="y", n_obs=9, n_units=9, n_clusters=9,
        )  # fmt: skip

    with pytest.raises(ApmkitError, match=r"A constant effect of .* moves half from"):
        apm.simulated_power(panel, halved, [1.0], **PLAN, draws=2)
    with pytest.raises(ApmkitError, match="terms, and power is of one"):
        apm.simulated_power(panel, apm.callaway_santanna, [1.0], **PLAN, draws=2)


# -- messages and figure -----------------------------------------------------------------------------------------------

TRIAL = {"sd": 1.0, "icc": 0.05, "clusters": (5, 5), "cluster_size": 20}
WEDGE = {"sd": 1.0, "icc": 0.05, "schedule": STEPS, "cluster_size": 20}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mde(result(1.0), power=0.01), r"power=0.01 is not between 0.05 and 1"),
        (lambda: mde(result(1.0), level=95), "level=95 is not between 0 and 1"),
        (lambda: mde(result(0.0)), "without a standard error"),
        (lambda: mde(3.0), "not of float"),
        (lambda: apm.power_curve(result(1.0), [np.nan]), "effects must be finite numbers"),
        (lambda: apm.cluster_trial_precision(**TRIAL | {"icc": 1.0}), "icc=1.0 is not a share"),
        (lambda: apm.cluster_trial_precision(**TRIAL | {"sd": -1}), "sd=-1 is not a standard deviation"),
        (lambda: apm.cluster_trial_precision(**TRIAL | {"clusters": 10}), r"give \(treated, control\)"),
        (lambda: apm.cluster_trial_precision(**TRIAL | {"clusters": (1, 1)}), "no degree of freedom"),
        (lambda: apm.cluster_trial_precision(**TRIAL | {"cv": -1}), "cv=-1"),
        (lambda: apm.stepped_wedge_precision(**WEDGE | {"cluster_size": 0}), "cluster_size=0 is not usable"),
        (lambda: apm.stepped_wedge_precision(**WEDGE | {"schedule": STEPS * 2}), "not a table of 0 and 1"),
        (lambda: apm.stepped_wedge_precision(**WEDGE | {"schedule": STEPS[:3]}), "treats all clusters alike"),
        (lambda: apm.stepped_wedge_precision(**WEDGE, autocorrelation=2), "autocorrelation=2 is not between"),
        (lambda: apm.did_precision(history(), treated=1, controls=1, before=1, after=1), "no degree of freedom"),
        (lambda: apm.did_precision(history(), treated=9, controls=9, before=0, after=1), "before=0 is not a positive"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(call, message):
    with pytest.raises(ApmkitError, match=message):
        call()


def test_a_panel_without_room_for_the_plan_is_refused():
    with pytest.raises(PanelError, match="No 30 consecutive periods are without treatment"):
        apm.did_precision(history(), treated=9, controls=9, before=20, after=10)
    with pytest.raises(PanelError, match=r"No 7 consecutive periods have 200 clusters .* at most 120: draw fewer"):
        apm.simulated_power(history(), apm.twfe, [1.0], **PLAN | {"controls": 185})


def test_the_figure_shows_the_curves_their_target_and_names():
    plan = apm.stepped_wedge_precision(**WEDGE)
    curve = apm.power_curve(plan)
    simulated = curve.assign(simulation_error=0.01)
    ax = plots.power({"plan": curve, "simulated": simulated}, label="Visits")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), curve)
    assert ax.lines[2].get_ydata()[0] == 0.8
    assert len(ax.collections) == 1
    assert {text.get_text() for text in ax.texts} == {"plan", "simulated"}
    with pytest.raises(ApmkitError, match="no columns 'effect' and 'power'"):
        plots.power(curve.rename(columns={"power": "chance"}))
    with pytest.raises(ApmkitError, match="no curve"):
        plots.power({})
    plt.close("all")
