"""Regression discontinuity against dense formulas, its properties, its checks and its messages."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apmkit as apm
from apmkit.designs.discontinuity_fit import Side
from apmkit.errors import ApmkitError, DesignWarning, EstimationError, PanelError


def people(n=400, seed=0, decimals=None):
    random = np.random.default_rng(seed)
    x = 2 * random.beta(2, 3, size=n) - 1
    if decimals is not None:
        x = x.round(decimals)
    treated = (random.uniform(size=n) < np.where(x >= 0, 0.8, 0.15)).astype(int)
    y = 1 + x + 2 * x**2 + 0.7 * treated + 0.5 * random.normal(size=n)
    age, clinic = random.normal(size=n), random.integers(0, 40, n)
    return pd.DataFrame({"x": x, "y": y, "treated": treated, "age": age, "clinic": clinic})


def fit(frame, **options):
    return apm.regression_discontinuity(frame, **{"outcome": "y", "running": "x"} | options)


def numbers(estimate):
    return np.concatenate([estimate.table.select_dtypes(float).to_numpy()[0],
                           estimate.details["estimates"].select_dtypes(float).to_numpy().ravel()])  # fmt: skip


# -- dense formulas ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_conventional_estimate_is_weighted_least_squares_with_interactions(order):
    frame, h = people(), 0.6
    x, above = frame["x"].to_numpy(), frame["x"].to_numpy() >= 0
    weight = np.sqrt(np.clip(1 - np.abs(x) / h, 0, None))
    powers = x[:, None] ** np.arange(order + 1)
    design = np.hstack([powers, powers * above[:, None]])
    coefficients = np.linalg.lstsq(design * weight[:, None], frame["y"] * weight, rcond=None)[0]
    assert fit(frame, bandwidth=h, order=order).table["estimate"].item() == pytest.approx(
        coefficients[order + 1], abs=1e-10
    )


def test_with_one_bandwidth_the_robust_row_is_the_conventional_row_of_the_next_order():
    for order in (0, 1, 2):
        robust = fit(people(), bandwidth=0.6, order=order).details["estimates"].iloc[2]
        following = fit(people(), bandwidth=0.6, order=order + 1).details["estimates"].iloc[0]
        np.testing.assert_allclose(
            robust[["estimate", "se"]].astype(float), following[["estimate", "se"]].astype(float), rtol=1e-9
        )


@pytest.mark.parametrize("decimals", [None, 1, 2])
def test_nearest_neighbours_include_all_ties(decimals):
    frame = people(120, decimals=decimals)
    x = np.sort(frame["x"].to_numpy())
    y = frame["y"].to_numpy()[:, None]
    tolerance = 8 * np.finfo(float).eps
    ours = Side(x, y, np.empty((120, 0)), None, tolerance).influence(np.ones(120), np.empty((0, 120)))
    distance = np.abs(np.subtract.outer(x, x))
    np.fill_diagonal(distance, np.inf)
    near = distance <= np.sort(distance, axis=1)[:, [2]] + tolerance
    count = near.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, np.sqrt(count / (count + 1)) * (y - near @ y / count), atol=1e-12)


def test_a_fuzzy_estimate_with_uniform_weights_is_two_stage_least_squares():
    from linearmodels.iv import IV2SLS

    frame = people()
    near = frame[frame["x"].abs() <= 0.5].assign(one=1.0, above=lambda f: f["x"].ge(0) * 1.0)
    near["x_above"] = near["x"] * near["above"]
    model = IV2SLS(near["y"], near[["one", "x", "x_above"]], near["treated"], near["above"]).fit()
    ours = fit(frame, treatment="treated", bandwidth=0.5, kernel="uniform")
    assert ours.table["estimate"].item() == pytest.approx(model.params["treated"], abs=1e-10)


def test_with_full_compliance_fuzzy_is_sharp():
    frame = people().assign(treated=lambda f: f["x"].ge(0) * 1)
    np.testing.assert_allclose(numbers(fit(frame, treatment="treated")), numbers(fit(frame)), rtol=1e-9)


def test_clusters_on_both_sides_have_their_scores_added():
    frame, h = people(), 0.6
    near = frame[frame["x"].abs() <= h]
    influence = np.zeros(len(near))
    for sign, side in ((-1, near["x"] < 0), (1, near["x"] >= 0)):
        part = near[side]
        powers = part["x"].to_numpy()[:, None] ** np.arange(2)
        weights = np.linalg.pinv(powers)
        residuals = part["y"] - powers @ (weights @ part["y"])
        n, clusters = len(part), part["clinic"].nunique()
        influence[side] = sign * weights[0] * residuals * np.sqrt((n - 1) / (n - 2) * clusters / (clusters - 1))
    se = np.sqrt((pd.Series(influence).groupby(near["clinic"].to_numpy()).sum() ** 2).sum())
    ours = fit(frame, bandwidth=h, kernel="uniform", cluster="clinic").details["estimates"]
    assert ours.loc[0, "se"] == pytest.approx(se, rel=1e-10)


def test_a_fuzzy_design_with_covariates_and_clusters_is_that_of_the_formulas():
    """With one bandwidth the bias-corrected jump is that of the next order."""
    frame, h = people(800), 0.6
    x, above = frame["x"].to_numpy(), frame["x"].to_numpy() >= 0
    weight, both = np.clip(1 - np.abs(x) / h, 0, None), frame[["y", "treated"]].to_numpy(float)

    def jumps(values, order, *more):
        powers = x[:, None] ** np.arange(order + 1)
        design = np.column_stack([powers, powers * above[:, None], *more]) * np.sqrt(weight)[:, None]
        return np.linalg.lstsq(design, values * np.sqrt(weight)[:, None])[0][order + 1 :]

    linear = jumps(both, 1, frame["age"])
    adjusted = both - frame[["age"]].to_numpy() * linear[-1]
    jump, share = linear[0]
    gradient = np.array([1 / share, -jump / share**2])
    robust = jump / share + gradient @ (jumps(adjusted, 2)[0] - linear[0])
    scores = np.zeros(len(x))
    for sign, side in ((-1, ~above & (weight > 0)), (1, above & (weight > 0))):
        powers, root = x[side][:, None] ** np.arange(3), np.sqrt(weight[side])
        own = np.linalg.pinv(powers * root[:, None]) * root
        residuals = (adjusted[side] - powers @ (own @ adjusted[side])) @ gradient
        n, clusters = side.sum(), frame["clinic"][side].nunique()
        scores[side] = sign * np.sqrt((n - 1) / (n - 3) * clusters / (clusters - 1)) * own[0] * residuals
    se = np.sqrt((np.bincount(frame["clinic"], scores) ** 2).sum())
    ours = fit(frame, treatment="treated", covariates="age", cluster="clinic", bandwidth=h).details["estimates"]
    assert ours.loc[0, "estimate"] == pytest.approx(jump / share, rel=1e-9)
    np.testing.assert_allclose(ours.loc[2, ["estimate", "se"]].astype(float), [robust, se], rtol=1e-9)


def test_covariates_enter_as_in_one_regression_with_common_slopes():
    frame, h = people(), 0.6
    x, above = frame["x"].to_numpy(), frame["x"].to_numpy() >= 0
    design = np.column_stack([above, np.ones(len(x)), x, x * above, frame["age"]])
    weight = np.sqrt(np.clip(1 - np.abs(x) / h, 0, None))
    coefficients = np.linalg.lstsq(design * weight[:, None], frame["y"] * weight, rcond=None)[0]
    ours = fit(frame, bandwidth=h, covariates="age")
    assert ours.table["estimate"].item() == pytest.approx(coefficients[0], abs=1e-10)
    assert ours.details["covariates"]["slope"].item() == pytest.approx(coefficients[4], abs=1e-10)


# -- the result --------------------------------------------------------------------------------------------------------


def test_the_row_to_report_has_the_conventional_estimate_and_the_robust_interval():
    estimate = fit(people())
    row, rows = estimate.table.iloc[0], estimate.details["estimates"].set_index("method")
    assert row["estimate"] == rows.loc["conventional", "estimate"]
    for column in ("se", "ci_low", "ci_high", "p_value"):
        assert row[column] == pytest.approx(rows.loc["robust", column], rel=1e-12)
    assert rows.loc["bias-corrected", "se"] == rows.loc["conventional", "se"]
    assert estimate.n_obs == estimate.details["bandwidths"]["n_h"].sum()
    assert estimate.covariance.iloc[0, 0] == pytest.approx(row["se"] ** 2)
    assert estimate.diagnostics["bandwidth_rule"] == "least mean squared error"


def test_a_donut_leaves_out_and_counts_the_rows_next_to_the_cutoff():
    frame = people()
    inside = frame["x"].abs() < 0.05
    donut = fit(frame, donut=0.05, bandwidth=0.6)
    np.testing.assert_allclose(numbers(donut), numbers(fit(frame[~inside], bandwidth=0.6)), rtol=1e-10)
    assert donut.diagnostics["left_out"]["closer than the donut"]["count"] == inside.sum() > 0
    assert "closer than the donut" in donut.summary()


def test_the_curve_meets_the_cutoff_with_the_jump_of_the_estimate():
    estimate = fit(people(), cutoff=0.1)
    curve, bins = estimate.details["curve"], estimate.details["bins"]
    at = curve[np.isclose(curve["running"], 0.1)].set_index("side")["outcome"]
    assert at["above"] - at["below"] == pytest.approx(estimate.table["estimate"].item(), abs=1e-10)
    assert bins["n"].sum() == 400
    for side, rows in bins.groupby("side"):
        assert (rows["running"] >= 0.1).all() == (side == "above")


def test_bins_do_not_split_a_value():
    frame = people(600, decimals=1)
    with pytest.warns(DesignWarning, match="'x' repeats its values"):
        bins = fit(frame, bandwidth=0.7).details["bins"]
    assert len(bins) <= frame["x"].nunique()
    assert bins["n"].sum() == 600


def test_a_side_without_any_variation_has_few_bins():
    bins = fit(people().assign(y=lambda rows: np.where(rows["x"] < 0, 0.0, rows["y"]))).details["bins"]
    below = bins[bins["side"] == "below"]
    assert len(below) <= 20
    assert (below["outcome"] == 0).all()


# -- properties --------------------------------------------------------------------------------------------------------

seeds = st.integers(0, 10_000)


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
@settings(max_examples=8, deadline=None)
@given(seed=seeds, fuzzy=st.booleans(), kernel=st.sampled_from(["triangular", "epanechnikov", "uniform"]))
def test_order_of_rows_and_names_of_clusters_do_not_matter(seed, fuzzy, kernel):
    frame = people(seed=seed)
    options = {"kernel": kernel, "treatment": "treated" if fuzzy else None, "cluster": "clinic"}
    other = frame.sample(frac=1, random_state=seed).assign(clinic=lambda f: "c" + f["clinic"].astype(str))
    np.testing.assert_allclose(numbers(fit(other, **options)), numbers(fit(frame, **options)), rtol=1e-7, atol=1e-9)


@settings(max_examples=8, deadline=None)
@given(seed=seeds, scale=st.sampled_from([0.001, 7.0, 1000.0]), shift=st.sampled_from([-3.0, 50.0, 1e4]))
def test_the_bandwidth_follows_the_unit_and_origin_of_the_running_variable(seed, scale, shift):
    frame = people(seed=seed)
    one, other = fit(frame), fit(frame.assign(x=frame["x"] * scale + shift), cutoff=shift)
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=1e-5, atol=1e-8)
    for column in ("h", "b"):
        np.testing.assert_allclose(
            other.details["bandwidths"][column], scale * one.details["bandwidths"][column], rtol=1e-6
        )


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
@settings(max_examples=8, deadline=None)
@given(seed=seeds, fuzzy=st.booleans(), scale=st.sampled_from([0.01, 1.36, 1e6]))
def test_estimates_follow_the_currency_and_ignore_a_constant(seed, fuzzy, scale):
    frame = people(seed=seed)
    options = {"treatment": "treated" if fuzzy else None}
    one = fit(frame, **options)
    other = fit(frame.assign(y=frame["y"] * scale), **options)
    columns = ["estimate", "se", "ci_low", "ci_high"]
    np.testing.assert_allclose(other.table[columns], scale * one.table[columns], rtol=1e-7)
    shifted = fit(frame.assign(y=frame["y"] + 1e8), **options)
    np.testing.assert_allclose(numbers(shifted), numbers(one), rtol=1e-4, atol=1e-6)


@settings(max_examples=8, deadline=None)
@given(seed=seeds, scale=st.sampled_from([0.001, 7.0]), shift=st.sampled_from([-3.0, 50.0]))
def test_the_density_follows_the_unit_of_the_running_variable(seed, scale, shift):
    frame = people(seed=seed)
    one = apm.density_test(frame, running="x")
    moved = frame.assign(x=frame["x"] * scale + shift).sample(frac=1, random_state=seed)
    other = apm.density_test(moved, running="x", cutoff=shift)
    np.testing.assert_allclose(other[["statistic", "p_value"]], one[["statistic", "p_value"]], rtol=1e-5, atol=1e-7)
    assert other["bandwidth_above"] == pytest.approx(scale * one["bandwidth_above"], rel=1e-6)
    assert other["density_below"] * scale == pytest.approx(one["density_below"], rel=1e-6)


# -- checks of the design ----------------------------------------------------------------------------------------------


def test_covariate_tests_are_the_same_design_on_each_covariate_with_holm():
    frame = people().assign(sex=lambda f: f.index % 2)
    table = apm.covariate_tests(frame, covariates=["age", "sex"], running="x", order=2)
    assert table["covariate"].tolist() == ["age", "sex"]
    for row in table.itertuples():
        alone = fit(frame, outcome=row.covariate, order=2)
        assert row.estimate == alone.table["estimate"].item()
        assert [row.n_below, row.n_above] == alone.details["bandwidths"]["n_h"].tolist()
    low, high = np.sort(table["p_value"])
    assert sorted(table["p_holm"]) == pytest.approx([min(1, 2 * low), max(min(1, 2 * low), high)])


def test_placebo_cutoffs_use_one_side_of_the_true_cutoff():
    frame = people()
    table = apm.placebo_cutoffs(frame, outcome="y", running="x")
    below, above = frame[frame["x"] < 0], frame[frame["x"] >= 0]
    assert table["cutoff"].tolist() == [below["x"].median(), above["x"].median()]
    alone = fit(below, cutoff=below["x"].median())
    assert table["estimate"][0] == alone.table["estimate"].item()
    with pytest.raises(ApmkitError, match="holds the true cutoff 0"):
        apm.placebo_cutoffs(frame, outcome="y", running="x", cutoffs=[0.0])


def test_bandwidth_sensitivity_has_the_estimate_at_one():
    frame = people()
    table = apm.bandwidth_sensitivity(frame, outcome="y", running="x", multiples=[0.75, 1.0, 1.5])
    chosen = fit(frame)
    row = table[table["multiple"] == 1.0].iloc[0]
    assert row["estimate"] == pytest.approx(chosen.table["estimate"].item(), rel=1e-12)
    h = chosen.details["bandwidths"]["h"][0]
    np.testing.assert_allclose(table["bandwidth"], [0.75 * h, h, 1.5 * h])
    with pytest.raises(ApmkitError, match="multiples holds 0"):
        apm.bandwidth_sensitivity(frame, outcome="y", running="x", multiples=[0])


def test_pilot_constants_of_the_density_are_the_moments_of_a_uniform_kernel():
    from apmkit.designs.discontinuity_density import PILOT_CURVATURE, PILOT_DENSITY

    def variance_over_squared_bias(order, derivative):
        u, w = np.polynomial.legendre.leggauss(40)
        u, w = (u + 1) / 2, w / 2
        powers = u[:, None] ** np.arange(order + 1)
        slopes = np.linalg.solve((powers * w[:, None]).T @ powers, np.eye(order + 1))[derivative]
        # The influence of a row at u is the integral of the weight polynomial from u to one.
        after = np.polynomial.Polynomial(slopes).integ()
        bias = w @ (np.polynomial.Polynomial(slopes)(u) * u ** (order + 1))
        return w @ (after(1.0) - after(u)) ** 2 / bias**2

    assert variance_over_squared_bias(2, 1) / 4 * 6**2 == pytest.approx(PILOT_DENSITY, rel=1e-9)
    assert 5 / 4 * variance_over_squared_bias(4, 3) * 120**2 == pytest.approx(PILOT_CURVATURE, rel=1e-9)


def test_density_curves_meet_the_cutoff_with_the_tested_densities():
    frame = people()
    test, curves = apm.density_test(frame, running="x"), apm.density_curves(frame, running="x")
    at = curves[curves["running"] == 0].set_index("side")
    for side in ("below", "above"):
        assert at.loc[side, "density"] == pytest.approx(test[f"density_{side}"])
        half = 1.959963984540054 * test[f"se_{side}"]
        assert at.loc[side, "ci_high"] - at.loc[side, "density"] == pytest.approx(half)


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({"cutoff": 5.0}, {}, r"'x' runs from .* and has no row above the cutoff 5"),
        ({"cutoff": -5.0}, {}, r"no row below the cutoff -5"),
        (
            {"bandwidth": 1e-6},
            {},
            r"'x' has 0 distinct values in 0 rows within 1e-06 below the cutoff, and order 1 needs 3",
        ),
        ({"bandwidth": (0.5, 1e-6)}, {}, r"within 1e-06 below the cutoff"),
        ({"bandwidth": 0.5}, {"x": lambda f: np.where(f["x"] < 0, -0.1, f["x"])}, r"1 distinct value in \d+ rows"),
        ({"bandwidth": 0.5}, {"y": 3.0}, r"'y' does not vary within 0.5 of the cutoff"),
        ({"donut": 3.0}, {}, r"All rows are closer than donut=3 to the cutoff 0"),
        ({}, {"y": 3.0}, r"does not vary around its neighbours, so no bandwidth can be chosen: give bandwidth"),
        ({}, {"x": lambda f: np.where(f["x"] < 0, -0.1, f["x"])}, r"^1 distinct value of the .* give bandwidth"),
        (
            {"covariates": ["age", "twice"]},
            {"twice": lambda f: 2 * f["age"]},
            r"'twice' does not vary within .* beyond",
        ),
        ({"treatment": "treated"}, {"treated": lambda f: (f.index == 0) * 1}, r"does not jump at the cutoff"),
        ({"cluster": "clinic"}, {"clinic": lambda f: f["x"].ge(0) * 1}, r"in 1 cluster on one side"),
    ],
)
@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
def test_a_design_that_cannot_work_is_refused_with_the_remedy(options, change, message):
    frame = people()
    far = frame["x"].abs().sort_values().index  # the treated row of the case without a jump lies far from the cutoff
    frame = frame.loc[far[::-1]].reset_index(drop=True).assign(**change)
    with pytest.raises(EstimationError, match=message):
        fit(frame, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"outcome": "cost"}, ApmkitError, "outcome='cost' is not a column"),
        ({"kernel": "gauss"}, ApmkitError, "kernel='gauss' is not known"),
        ({"order": 1.5}, ApmkitError, "order=1.5 is not the order"),
        ({"order": -1}, ApmkitError, "order=-1"),
        ({"donut": -0.1}, ApmkitError, "donut=-0.1 is not a distance"),
        ({"bandwidth": -1}, ApmkitError, "bandwidth=-1 is not usable"),
        ({"bandwidth": (1, 2, 3)}, ApmkitError, "is not usable"),
        ({"level": 95}, ApmkitError, "level=95 is not between 0 and 1"),
        ({"cutoff": np.nan}, ApmkitError, "cutoff=nan is not a finite number"),
        ({"cutoff": "65"}, ApmkitError, "cutoff='65' is not a finite number"),
        ({"treatment": "age"}, ApmkitError, "Column 'age' holds"),
        ({"covariates": ["y"]}, ApmkitError, "both outcome and covariates"),
        ({"running": "missing"}, PanelError, "'missing' is missing in 1 of 400 rows"),
    ],
)
def test_unusable_input_is_named(options, error, message):
    frame = people().assign(missing=lambda f: f["x"].mask(f.index == 3))
    with pytest.raises(error, match=message):
        fit(frame, **options)


def test_a_weak_jump_of_treatment_is_warned_of():
    random = np.random.default_rng(0)
    frame = people().assign(treated=random.integers(0, 2, 400))
    with pytest.warns(DesignWarning, match=r"'treated' jumps by .* F = .*, below 10"):
        fit(frame, treatment="treated")


def test_few_clusters_are_warned_of_in_all_and_near_the_cutoff(messages):
    frame = people().assign(clinic=lambda f: np.arange(400) % 6)
    _, texts = messages(lambda: fit(frame, cluster="clinic", bandwidth=0.5))
    assert [text[:34] for text in texts] == ["6 clusters of 'clinic' are few (fe"]
    far = frame["clinic"].where(frame["x"].abs() < 0.5, 10 + np.arange(400) % 60)
    _, texts = messages(lambda: fit(frame.assign(clinic=far), cluster="clinic", bandwidth=0.5))
    assert [text[:45] for text in texts] == [
        "Column 'clinic' has 6 clusters below the cuto",
        "Column 'clinic' has 6 clusters above the cuto",
    ]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (people(60), {"cutoff": 0.5}, r"distinct values? above the cutoff, and 23 are needed"),
        (
            people(),
            {"bandwidth": 1e-5},
            r"distinct values? within 1e-05 of the cutoff on one side, and the test needs 4",
        ),
        (people(1), {}, "one row"),
        (people(), {"kernel": "gauss"}, "kernel='gauss' is not known"),
        (people(), {"cutoff": 9}, "has no row above"),
    ],
)
def test_a_density_that_cannot_be_tested_is_refused(frame, options, message):
    with pytest.raises(ApmkitError, match=message):
        apm.density_test(frame, running="x", **options)
