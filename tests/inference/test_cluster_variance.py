"""Cluster variances: the numbers of R, of dense formulas and of another package."""

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
from apmkit.errors import ApmkitError, DesignWarning, EstimationError

EXPECTED = Path(__file__).parents[1] / "expected" / "inference"
FROM_R = json.loads((EXPECTED / "castle.json").read_text())
R, VERSIONS = FROM_R["entries"], FROM_R["R_packages"]
PYFIXEST = json.loads((EXPECTED / "pyfixest.json").read_text())
quick = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

pytestmark = pytest.mark.usefixtures("quiet")


def se(estimate):
    return estimate.table["se"].to_numpy()


# -- R -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "name", "options"),
    [
        ("sandwich.castle.vcovCL", "HC0", {"kind": "CR0"}),
        ("sandwich.castle.vcovCL", "HC1", {"kind": "CR1", "fixed_effects": "full"}),
        ("plm.castle", "HC0", {"kind": "CR0"}),
        ("plm.castle", "sss", {"kind": "CR1", "fixed_effects": "none"}),
        ("plm.castle", "double", {"kind": "CR0", "by": "two_way"}),
    ],
)
def test_standard_errors_are_those_of_sandwich_and_plm(entry, name, options, castle, agrees):
    result = apm.cluster_variance(apm.twfe(castle), **options)
    package = entry.partition(".")[0]
    agrees(result.table["estimate"], R[entry]["values"]["coef"], within=1e-12, what="twfe",
           package=f"R {package} {VERSIONS[package]}", case=entry)  # fmt: skip
    agrees(se(result), R[entry]["values"][name], within=1e-12, what="cluster_variance",
           package=f"R {package} {VERSIONS[package]}", case=f"{entry} {name}")  # fmt: skip


def test_driscoll_kraay_standard_errors_are_those_of_plm(castle, agrees):
    agrees(se(apm.driscoll_kraay(apm.twfe(castle))), R["plm.castle"]["values"]["DK"], within=1e-12,
           what="driscoll_kraay", package=f"R plm {VERSIONS['plm']}", case="plm.castle DK")  # fmt: skip


def test_cr1_with_nested_effects_is_what_the_estimator_gives(castle):
    estimate = apm.event_study(castle)
    np.testing.assert_allclose(apm.cluster_variance(estimate, "CR1").covariance, estimate.covariance, rtol=1e-12)


# -- dense formulas ----------------------------------------------------------------------------------------------------


def dense(panel, regressors):
    """Rows of a regression on unit, period and given regressors, times the root of weights; residuals; clusters."""
    unit, period = np.nonzero(panel.observed)
    weights = np.ones(len(unit))
    if panel.weights is not None:
        weights = panel.weights[unit] if panel.weights.ndim == 1 else panel.weights[unit, period]
    x = np.column_stack(
        [
            *(regressor[unit, period] for regressor in regressors),
            unit[:, None] == np.arange(len(panel.units)),
            period[:, None] == np.arange(1, len(panel.periods)),
        ]
    ).astype(float)
    root = np.sqrt(weights)
    x, y = x * root[:, None], panel.outcomes[unit, period] * root
    return x, y - x @ np.linalg.lstsq(x, y)[0], panel.cluster_codes[unit]


def dense_cr2(x, residuals, clusters, columns):
    """CR2 and its degrees of freedom from the full hat matrix (Pustejovsky and Tipton 2018)."""
    bread = np.linalg.pinv(x.T @ x)
    makes_residuals = np.eye(len(x)) - x @ bread @ x.T
    scores, vectors = [], []
    for cluster in np.unique(clusters):
        own = np.flatnonzero(clusters == cluster)
        values, turn = np.linalg.eigh(makes_residuals[np.ix_(own, own)])
        root = np.where(values > 1e-9, np.maximum(values, 1e-9) ** -0.5, 0.0)
        adjusted = (turn * root) @ turn.T @ x[own] @ bread[:, columns]
        scores.append(adjusted.T @ residuals[own])
        vectors.append(makes_residuals[:, own] @ adjusted)
    df = []
    for j in range(len(columns)):
        products = np.array([v[:, j] for v in vectors]) @ np.array([v[:, j] for v in vectors]).T
        df.append(np.trace(products) ** 2 / (products**2).sum())
    return np.transpose(scores) @ np.array(scores), np.array(df)


def regressors_of(name, panel):
    relative = panel.periods - panel.cohorts[:, None]
    if name == "twfe":
        return apm.twfe(panel), [panel.treated]
    if name == "event_study":
        estimate = apm.event_study(panel)
        return estimate, [relative == e for e in estimate.table["relative_time"]]
    estimate = apm.sun_abraham(panel)
    own = panel.cohorts[:, None]
    rows = estimate.table[["cohort", "period"]].itertuples(index=False)
    return estimate, [(own == cohort) & (panel.periods == period) for cohort, period in rows]


PANELS = {
    "balanced": {},
    "ragged": {"missing": 0.15},
    "weighted": {"missing": 0.1, "weights": "by_unit"},
    "weights that change": {"weights": "by_row"},
}


def panel_of(make_frame, make_panel, missing=0.0, cluster="state", seed=3, **columns):
    return make_panel(make_frame(missing=missing, seed=seed), cluster=cluster, **columns)


@pytest.mark.parametrize("cluster", ["state", "unit"])
@pytest.mark.parametrize("kind", PANELS)
@pytest.mark.parametrize("name", ["twfe", "event_study", "sun_abraham"])
def test_cr2_and_its_degrees_of_freedom_follow_the_dense_formulas(name, kind, cluster, make_frame, make_panel):
    panel = panel_of(make_frame, make_panel, cluster=cluster, **PANELS[kind])
    estimate, regressors = regressors_of(name, panel)
    covariance, df = dense_cr2(*dense(estimate.panel, regressors), np.arange(len(regressors)))
    result = apm.cluster_variance(estimate, "CR2")
    np.testing.assert_allclose(result.covariance, covariance, rtol=0, atol=1e-10 * covariance.max())
    np.testing.assert_allclose(result.table["df"], df, rtol=1e-8)


@pytest.mark.parametrize("kind", PANELS)
def test_cr3_is_the_change_of_the_estimate_when_a_cluster_is_left_out(kind, make_frame, make_panel):
    panel = panel_of(make_frame, make_panel, **PANELS[kind])
    closed, direct = apm.cluster_variance(apm.event_study(panel, bins=(-2, 1)), "CR3"), apm.jackknife(
        panel, lambda part: apm.event_study(part, bins=(-2, 1))
    )  # fmt: skip
    np.testing.assert_allclose(closed.covariance, direct.covariance, rtol=1e-9)


def test_cr2_of_an_average_is_the_average_of_cr2(make_frame, make_panel):
    saturated = apm.sun_abraham(panel_of(make_frame, make_panel))
    averaged, every = apm.cluster_variance(saturated.aggregate("event")), apm.cluster_variance(saturated)
    relative, size = saturated.table["relative_time"].to_numpy(), saturated.combination.size
    matrix = (relative == averaged.table["relative_time"].to_numpy()[:, None]) * size
    matrix = matrix / matrix.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(averaged.covariance, matrix @ every.covariance.to_numpy() @ matrix.T, atol=1e-12)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2", "CR3"])
def test_arrays_give_the_variance_of_the_panel(kind, make_frame, make_panel):
    panel = panel_of(make_frame, make_panel, missing=0.1)
    x, residuals, clusters = dense(panel, [panel.treated])
    covariance, df = apm.cluster_covariance(x, residuals, clusters, kind="CR2" if kind == "CR3" else kind)
    expected = apm.cluster_variance(apm.twfe(panel), "CR2" if kind == "CR3" else kind, fixed_effects="full")
    if kind == "CR3":  # the unit effects of a state are not identified without it, the effect of treatment is
        with pytest.raises(EstimationError, match=r"Column 1 of x is not identified without cluster .*: CR3 does not"):
            apm.cluster_covariance(x, residuals, clusters, kind="CR3")
        return
    assert covariance[0, 0] == pytest.approx(expected.covariance.iloc[0, 0], rel=1e-9)
    assert df[0] == pytest.approx(expected.table["df"].iloc[0] if kind == "CR2" else 9.0, rel=1e-8)


def test_cr3_of_arrays_is_the_change_of_the_coefficients_when_a_cluster_is_left_out():
    random = np.random.default_rng(4)
    clusters = random.integers(0, 8, 90)
    x = np.column_stack([np.ones(90), random.normal(size=90), clusters < 4])
    weights, y = random.uniform(0.5, 2, 90), random.normal(size=90) + random.normal(size=8)[clusters]

    def fit(rows):
        root = np.sqrt(weights[rows])
        return np.linalg.lstsq(x[rows] * root[:, None], y[rows] * root)[0]

    whole = fit(np.full(90, True))
    change = np.array([fit(clusters != g) - whole for g in range(8)])
    covariance, df = apm.cluster_covariance(x, y - x @ whole, clusters, weights=weights, kind="CR3")
    np.testing.assert_allclose(covariance, 7 / 8 * change.T @ change, rtol=1e-10)
    assert (df == 7).all()


@pytest.mark.parametrize("kind", ["CR0", "CR1"])
def test_two_way_variance_is_by_states_plus_by_years_less_by_both(kind, make_frame, make_panel):
    panel = panel_of(make_frame, make_panel, missing=0.1)
    x, residuals, clusters = dense(panel, [panel.treated])
    years = np.nonzero(panel.observed)[1]
    parts = [
        apm.cluster_covariance(x, residuals, c, kind="CR0")[0][0, 0] for c in (clusters, years, clusters * 9 + years)
    ]
    n, t = panel.n_obs, len(panel.periods)
    factor = t / (t - 1) * (n - 1) / (n - 2) if kind == "CR1" else 1.0
    result = apm.cluster_variance(apm.twfe(panel), kind, by="two_way")
    assert result.covariance.iloc[0, 0] == pytest.approx(factor * (parts[0] + parts[1] - parts[2]), rel=1e-10)
    assert result.degrees_of_freedom == t - 1


def test_controls_enter_cr2(make_frame, make_panel):
    frame = make_frame(missing=0.1).assign(x=lambda f: np.sin(3 * f["unit"] + f["year"] ** 2))
    panel = make_panel(frame, cluster="state", covariates=["x"])
    covariance, df = dense_cr2(*dense(panel, [panel.treated, panel.covariates["x"]]), [0])
    result = apm.cluster_variance(apm.twfe(panel, controls=["x"]))
    assert result.covariance.iloc[0, 0] == pytest.approx(covariance[0, 0], rel=1e-9)
    assert result.table["df"][0] == pytest.approx(df[0], rel=1e-8)


def test_a_panel_of_a_file_gives_the_same_where_clusters_hold_several_units(make_frame, make_panel, tmp_path):
    frame = make_frame(missing=0.1)
    duckdb.from_df(frame).write_parquet(str(tmp_path / "rows.parquet"))
    one, other = (make_panel(data, cluster="state") for data in (frame, str(tmp_path / "rows.parquet")))
    for variance in (apm.cluster_variance, lambda e: apm.cluster_variance(e, by="two_way", kind="CR0"),
                     apm.driscoll_kraay):  # fmt: skip
        np.testing.assert_allclose(se(variance(apm.twfe(one))), se(variance(apm.twfe(other))), rtol=1e-9)
    assert apm.wild_bootstrap(apm.twfe(one))["p_value"][0] == apm.wild_bootstrap(apm.twfe(other))["p_value"][0]
    units = apm.twfe(make_panel(str(tmp_path / "rows.parquet")))
    assert se(apm.cluster_variance(units, "CR0"))[0] > 0
    for call in (apm.cluster_variance, apm.wild_bootstrap, apm.effective_clusters):
        with pytest.raises(ApmkitError, match="keeps no scores of single units"):
            call(units)


# -- other packages ----------------------------------------------------------------------------------------------------


def test_two_way_and_jackknife_variances_are_those_of_pyfixest(castle, agrees):
    package, entries = f"pyfixest {PYFIXEST['version']}", PYFIXEST["entries"]
    estimate = apm.twfe(castle)
    agrees(se(apm.cluster_variance(estimate, "CR1", by="two_way")), entries["castle.CRV1.two_way"]["se"], within=1e-10,
           what="cluster_variance", package=package, case="castle.CRV1.two_way")  # fmt: skip
    # pyfixest has G/(G-1) (n-1)/(n-K) before the sum of squared changes, the jackknife (G-1)/G.
    factor = (49 / 50) ** 2 / (549 / 538)
    agrees(se(apm.cluster_variance(estimate, "CR3")), np.sqrt(factor) * entries["castle.CRV3"]["se"], within=1e-8,
           what="cluster_variance", package=package, case="castle.CRV3 without its factor")  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_cr2_and_its_degrees_of_freedom_are_those_of_diff_diff(seed, make_frame, make_panel, agrees):
    from diff_diff import linalg

    panel = panel_of(make_frame, make_panel, missing=0.1 * seed, seed=seed)
    result = apm.cluster_variance(apm.twfe(panel))
    x, residuals, clusters = dense(panel, [panel.treated])
    covariance, df = linalg.compute_robust_vcov(x, residuals, clusters, vcov_type="hc2_bm", return_dof=True)
    case = f"CR2 and Satterthwaite, random panel {seed}"
    agrees([*se(result), *result.table["df"]], [covariance[0, 0] ** 0.5, df[0]], within=1e-8, what="cluster_variance",
           package="diff-diff", case=case)  # fmt: skip


def test_cr2_without_leverage_between_clusters_is_welchs_test():
    # Two means: CR2 is the sum of the variances of the means, the degrees of freedom are Satterthwaite's.
    random = np.random.default_rng(0)
    n = np.array([6, 15])
    group = np.repeat([0, 1], n)
    y = random.normal(size=21) * np.where(group, 3.0, 1.0)
    x = np.column_stack([np.ones(21), group])
    covariance, df = apm.cluster_covariance(x, y - x @ np.linalg.lstsq(x, y)[0], np.arange(21))
    variances = np.array([y[group == g].var(ddof=1) for g in (0, 1)]) / n
    assert covariance[1, 1] == pytest.approx(variances.sum(), rel=1e-12)
    # Under equal variances in all rows: (1/6 + 1/15)^2 / (1/(36 x 5) + 1/(225 x 14)).
    assert df[1] == pytest.approx((1 / 6 + 1 / 15) ** 2 / (1 / (36 * 5) + 1 / (225 * 14)), rel=1e-12)


# -- properties --------------------------------------------------------------------------------------------------------


@quick
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_and_names_of_units_change_nothing(seed, make_frame, make_panel):
    frame = make_frame(seed=seed, missing=0.1)
    names = np.random.default_rng(seed).permutation(1000)[: frame["unit"].max() + 1]
    moved = frame.sample(frac=1, random_state=seed).assign(unit=lambda f: names[f["unit"]])
    one, other = (apm.cluster_variance(apm.twfe(make_panel(f, cluster="state"))) for f in (frame, moved))
    np.testing.assert_allclose(se(one), se(other), rtol=1e-10)
    np.testing.assert_allclose(one.table["df"], other.table["df"], rtol=1e-8)


@quick
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-4, 1e4), shift=st.sampled_from([0.0, 1e8]))
def test_currency_scales_and_a_constant_changes_nothing(seed, scale, shift, make_frame, make_panel):
    frame = make_frame(seed=seed)
    moved = frame.assign(y=scale * frame["y"] + shift * max(scale, 1.0))
    for make in (apm.cluster_variance, lambda e: apm.cluster_variance(e, "CR1", by="two_way"), apm.driscoll_kraay):
        one, other = (make(apm.twfe(make_panel(f, cluster="state"))) for f in (frame, moved))
        np.testing.assert_allclose(scale * se(one), se(other), rtol=1e-4 if shift else 1e-10)


@quick
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["CR0", "CR2", "CR3"]))
def test_weights_that_are_all_equal_change_nothing(seed, kind, make_frame, make_panel):
    frame = make_frame(seed=seed, missing=0.1).assign(seven=7.0)
    plain, weighted = (make_panel(frame, cluster="state", **w) for w in ({}, {"weights": "seven"}))
    one, other = (apm.cluster_variance(apm.event_study(p), kind) for p in (plain, weighted))
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-8, atol=1e-12)


def test_the_influence_of_clusters_is_that_of_the_variance_asked_for(make_frame, make_panel):
    for kind in ("CR0", "CR1", "CR2", "CR3"):
        result = apm.cluster_variance(apm.event_study(panel_of(make_frame, make_panel)), kind)
        np.testing.assert_allclose(result.influence.T @ result.influence, result.covariance, atol=1e-12)


def test_each_term_has_its_own_degrees_of_freedom(make_frame, make_panel):
    result = apm.cluster_variance(apm.event_study(panel_of(make_frame, make_panel)))
    table = result.table
    assert np.ptp(table["df"]) > 0.1
    assert result.degrees_of_freedom == table["df"].min()
    np.testing.assert_allclose(
        table["p_value"], 2 * stats.t.sf((table["estimate"] / table["se"]).abs(), table["df"]), rtol=1e-10
    )
    assert result.diagnostics["reference_distribution"] == "t(Satterthwaite)"
    assert result.diagnostics["cluster_variance"] == "CR2"


# -- bad input and weak designs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "HC1"}, "kind='HC1' is not known: give 'CR0'"),
        ({"by": "year"}, "by='year' is not known: give 'cluster' or 'two_way'"),
        ({"fixed_effects": "all"}, "fixed_effects='all' is not known: give 'none'"),
        ({"kind": "CR2", "by": "two_way"}, "CR2 is not defined for two ways of clustering: give kind='CR1'"),
    ],
)
def test_unknown_options_are_refused(options, match, make_frame, make_panel):
    with pytest.raises(EstimationError, match=match):
        apm.cluster_variance(apm.twfe(panel_of(make_frame, make_panel)), **options)


def test_estimates_without_a_regression_are_refused(make_frame, make_panel):
    panel = make_panel(make_frame().assign(x=lambda f: np.cos(f["unit"])), covariates=["x"])
    for estimate in (apm.callaway_santanna(panel), apm.callaway_santanna(panel, covariates=["x"])):
        for call in (apm.cluster_variance, apm.driscoll_kraay, apm.wild_bootstrap):
            with pytest.raises(EstimationError, match="Callaway-Sant'Anna is no two-way fixed effects regression"):
                call(estimate)


def test_another_variance_is_asked_for_after_aggregation(make_frame, make_panel):
    saturated = apm.sun_abraham(panel_of(make_frame, make_panel))
    for other in (apm.cluster_variance(saturated), apm.cluster_variance(saturated, "CR1", by="two_way")):
        with pytest.raises(ApmkitError, match=r"is a variance of these terms, not of their averages: aggregate first"):
            other.aggregate("simple")
    with pytest.raises(ApmkitError, match="CR2 is a variance of these terms"):
        _ = apm.cluster_variance(saturated.aggregate("event")).overall


def test_terms_that_leave_no_period_free_have_no_variance_over_periods(make_frame, make_panel):
    saturated = apm.sun_abraham(panel_of(make_frame, make_panel))
    with pytest.raises(EstimationError, match=r"The scores of ATT\(2012, 2010\), .* sum to zero in every period"):
        apm.driscoll_kraay(saturated)
    with pytest.warns(DesignWarning, match="shocks to periods leave no trace and the two-way variance is too small"):
        apm.cluster_variance(saturated, "CR1", by="two_way")


def test_a_variance_that_kept_no_sums_gives_no_other(make_frame, make_panel):
    result = apm.driscoll_kraay(apm.twfe(panel_of(make_frame, make_panel)))
    with pytest.raises(EstimationError, match="Driscoll-Kraay keeps no sums of the regression: give the estimate as"):
        apm.cluster_variance(result)


@pytest.mark.parametrize("lags", [-1, 6, 1.5])
def test_lags_beyond_the_periods_are_refused(lags, make_frame, make_panel):
    with pytest.raises(EstimationError, match=rf"lags={lags} is not a whole number from 0 to 5"):
        apm.driscoll_kraay(apm.twfe(panel_of(make_frame, make_panel)), lags)


def test_few_periods_are_warned_of_by_driscoll_kraay(make_frame, make_panel):
    with pytest.warns(DesignWarning, match="Driscoll-Kraay standard errors rest on 6 periods"):
        apm.driscoll_kraay(apm.twfe(panel_of(make_frame, make_panel)))


def test_terms_that_rest_on_one_cluster_are_warned_of_and_have_no_cr3(castle):
    estimate = apm.event_study(castle)
    with pytest.warns(
        DesignWarning, match=r"Not identified without one state \(Florida, Montana\): relative_time=-9, "
    ):
        result = apm.cluster_variance(estimate, "CR3")
    missing = result.table["se"].isna()
    assert result.table["term"][missing].tolist() == ["relative_time=-9", "relative_time=5"]
    assert (result.table["se"][~missing] > se(estimate)[~missing]).all()
    with pytest.warns(DesignWarning, match="their CR2 variance is too small"):
        apm.cluster_variance(estimate, "CR2")


def arrays(**changes):
    random = np.random.default_rng(0)
    given_ = {"x": np.column_stack([np.ones(12), random.normal(size=12)]), "residuals": random.normal(size=12),
              "clusters": np.repeat(["a", "b", "c"], 4)}  # fmt: skip
    return {**given_, **changes}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"residuals": np.ones(3)}, r"residuals \(3,\), clusters \(12,\): give \(n, k\)"),
        ({"residuals": np.full(12, np.nan)}, "hold a missing or infinite number: drop such rows"),
        ({"clusters": np.repeat("a", 12)}, "clusters holds one cluster, a: a variance needs several"),
        ({"clusters": np.array([None, *"bcdefghijkl"], dtype=object)}, "hold a missing or infinite number"),
        ({"x": np.ones((12, 2))}, "The regressors are collinear: leave one of them out"),
        ({"x": np.column_stack([np.ones(12), np.zeros(12)])}, "The regressors are collinear"),
        ({"x": np.ones((12, 12))}, "12 rows cannot carry 12 coefficients: drop regressors"),
        ({"weights": np.zeros(12)}, "weights must be one finite number above zero for each row"),
        ({"kind": "HC3"}, "kind='HC3' is not known"),
    ],
)
def test_bad_arrays_are_refused(changes, match):
    with pytest.raises(EstimationError, match=match):
        apm.cluster_covariance(**arrays(**changes))


def test_a_panel_without_rows_to_spare_refuses_to_count_all_effects():
    frame = pd.DataFrame({"unit": np.repeat(range(3), 2), "year": [1, 2] * 3, "y": [0.0, 1, 2, 4, 1, 0],
                          "cohort": np.repeat([2, 2, np.nan], 2)})  # fmt: skip
    estimate = apm.event_study(apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort"))
    assert se(apm.cluster_variance(estimate, "CR1", fixed_effects="full"))[0] > 0  # 1 effect, 2 years, 2 units: 5 of 6
    pair = apm.twfe(apm.Panel(frame[2:], unit="unit", time="year", outcome="y", cohort="cohort"))
    with pytest.raises(EstimationError, match="4 rows cannot carry 4 coefficients: give fixed_effects='nested'"):
        apm.cluster_variance(pair, "CR1", fixed_effects="full")
