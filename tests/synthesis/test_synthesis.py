"""What a synthesis does with any studies: properties, several estimates per study, figures, bad input."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

import apmkit as apm
from apmkit import plots
from apmkit.errors import DesignWarning

METHODS = ["fixed", "DL", "HE", "HS", "SJ", "ML", "REML", "PM", "EB"]


def studies(seed, k=8, tau=0.3, errors=(0.1, 0.5)):
    random = np.random.default_rng(seed)
    se = random.uniform(*errors, k)
    return pd.DataFrame({"estimate": 0.2 + tau * random.normal(size=k) + se * random.normal(size=k), "se": se})


def nested(seed, n_studies=12):
    random = np.random.default_rng(seed)
    study = np.repeat(np.arange(n_studies), random.integers(1, 5, n_studies))
    se = random.uniform(0.05, 0.2, len(study))
    y = 0.3 + 0.3 * random.normal(size=n_studies)[study] + 0.15 * random.normal(size=len(study))
    return pd.DataFrame({"study": study, "estimate": y + se * random.normal(size=len(study)), "se": se})


def quiet(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return function(*args, **options)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(METHODS), scale=st.sampled_from([1e-4, 7.0, 1e5]))
def test_order_and_currency_do_not_matter(seed, method, scale):
    data = studies(seed)
    result = apm.meta_analysis(data, method=method, tolerance=1e-12)
    other = apm.meta_analysis(data.sample(frac=1, random_state=1) * scale, method=method, tolerance=1e-12)
    columns = ["estimate", "se", "ci_low", "ci_high"]
    np.testing.assert_allclose(other.table[columns] / scale, result.table[columns], rtol=1e-7, atol=1e-9)
    spread = "estimate"
    assert other.details["heterogeneity"].loc["I2", spread] == pytest.approx(
        result.details["heterogeneity"].loc["I2", spread], abs=1e-5
    )


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), shift=st.sampled_from([-40.0, 3.0, 1e4]))
def test_adding_a_constant_to_every_estimate_moves_the_mean_alone(seed, shift):
    data = studies(seed)
    result = apm.meta_analysis(data, tolerance=1e-12)
    moved = apm.meta_analysis(data.assign(estimate=data["estimate"] + shift), tolerance=1e-12)
    assert moved.table["estimate"][0] - shift == pytest.approx(result.table["estimate"][0], abs=1e-7)
    assert moved.table["se"][0] == pytest.approx(result.table["se"][0], rel=1e-6)


def test_equal_estimates_have_no_heterogeneity():
    data = pd.DataFrame({"estimate": [0.5] * 5, "se": [0.1, 0.2, 0.3, 0.2, 0.1]})
    for method in METHODS:
        result = apm.meta_analysis(data, method=method)
        assert result.table["estimate"][0] == pytest.approx(0.5)
        assert result.details["heterogeneity"].loc["tau2", "estimate"] == pytest.approx(0, abs=1e-9)
    assert result.details["heterogeneity"].loc["tau2", "high"] < 0.2


def test_prediction_interval_carries_the_spread_of_true_effects():
    result = apm.meta_analysis(studies(3, k=30, tau=0.5))
    spread = result.details["heterogeneity"].loc["tau2", "estimate"]
    (row,) = result.details["prediction"].itertuples()
    half = 1.959963984540054 * np.sqrt(spread + result.table["se"][0] ** 2)
    assert (row.high - row.low) / 2 == pytest.approx(half, rel=1e-9)
    assert "prediction" not in apm.meta_analysis(studies(3), method="fixed").details


def test_fixed_effect_is_the_mean_weighted_by_precision():
    data = studies(5)
    result = apm.meta_analysis(data, method="fixed")
    assert result.table["estimate"][0] == pytest.approx(np.average(data["estimate"], weights=data["se"] ** -2.0))
    assert result.details["studies"]["weight"].sum() == pytest.approx(100)


def test_variances_of_the_multilevel_model_maximise_the_restricted_likelihood():
    data = nested(1)
    result = quiet(apm.multilevel_meta_analysis, data, study="study")
    same = np.equal.outer(data["study"].to_numpy(), data["study"].to_numpy())
    one, y = np.ones(len(data)), data["estimate"].to_numpy()

    def loss(theta):
        inverse = np.linalg.inv(np.diag(data["se"] ** 2 + theta[1]) + theta[0] * same)
        gram = one @ inverse @ one
        residual = y - one @ inverse @ y / gram
        return -np.linalg.slogdet(inverse)[1] + np.log(gram) + residual @ inverse @ residual

    found = result.details["heterogeneity"]["estimate"].to_numpy()[:2]
    best = optimize.minimize(loss, [0.05, 0.02], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    np.testing.assert_allclose(found, best.x, atol=2e-6)
    assert loss(found) <= best.fun + 1e-10


def test_model_variance_is_that_of_generalised_least_squares():
    data = nested(2)
    result = apm.multilevel_meta_analysis(data, study="study", robust=False)
    between, within = result.details["heterogeneity"]["estimate"].to_numpy()[:2]
    same = np.equal.outer(data["study"].to_numpy(), data["study"].to_numpy())
    inverse = np.linalg.inv(np.diag(data["se"] ** 2 + within) + between * same)
    assert result.table["se"][0] == pytest.approx(inverse.sum() ** -0.5, rel=1e-10)
    assert result.table["estimate"][0] == pytest.approx((inverse @ data["estimate"]).sum() / inverse.sum(), rel=1e-10)


def test_robust_variance_of_balanced_studies_is_that_of_their_means():
    # With equal numbers of estimates and equal errors CR2 of the mean is the variance of study means, with k - 1
    # degrees of freedom.
    random = np.random.default_rng(0)
    y = random.normal(size=(9, 3))
    data = pd.DataFrame({"study": np.repeat(np.arange(9), 3), "estimate": y.ravel(), "se": 0.2})
    result = apm.multilevel_meta_analysis(data, study="study")
    means = y.mean(axis=1)
    assert result.table["se"][0] == pytest.approx(means.std(ddof=1) / 3, rel=1e-9)
    assert result.table["df"][0] == pytest.approx(8, rel=1e-9)


def test_multilevel_does_not_depend_on_order_or_names():
    data = nested(4)
    result = quiet(apm.multilevel_meta_analysis, data, study="study")
    other = data.sample(frac=1, random_state=3).assign(study=lambda d: "s" + d["study"].astype(str))
    np.testing.assert_allclose(
        quiet(apm.multilevel_meta_analysis, other, study="study").table.drop(columns="term").astype(float),
        result.table.drop(columns="term").astype(float), rtol=1e-6,
    )  # fmt: skip


def rejections(make, fit, draws=1_000):
    return np.mean([quiet(fit, make(seed)).table["p_value"][0] < 0.05 for seed in range(draws)])


def null(seed):
    data = studies(seed, errors=(0.2, 0.4))
    return data.assign(estimate=data["estimate"] - 0.2)


@pytest.mark.slow
def test_knapp_hartung_rejects_a_true_null_as_often_as_it_claims():
    assert 0.035 <= rejections(null, lambda data: apm.meta_analysis(data, knapp_hartung=True)) <= 0.065


@pytest.mark.slow
def test_normal_intervals_of_few_studies_are_too_short():
    few = rejections(lambda seed: studies(seed, k=5).assign(estimate=lambda d: d["estimate"] - 0.2), apm.meta_analysis)
    assert few > 0.08


@pytest.mark.slow
def test_fixed_effect_rejects_as_often_as_it_claims_where_effects_are_the_same():
    def same(seed):
        data = studies(seed, tau=0.0)
        return data.assign(estimate=data["estimate"] - 0.2)

    assert 0.035 <= rejections(same, lambda data: apm.meta_analysis(data, method="fixed")) <= 0.065


@pytest.mark.slow
def test_robust_multilevel_rejects_as_often_as_it_claims_when_errors_within_studies_are_correlated():
    def draw(seed):
        data = nested(seed, n_studies=15)
        random = np.random.default_rng(seed + 77_777)
        shared = 0.15 * random.normal(size=15)[data["study"]]
        return data.assign(estimate=data["estimate"] - 0.3 + shared)

    rate = rejections(draw, lambda data: apm.multilevel_meta_analysis(data, study="study"), draws=1_000)
    assert 0.035 <= rate <= 0.065


BAD = {
    "one study": (lambda d: apm.meta_analysis(d.head(1)), "at least two studies and there is 1"),
    "zero error": (lambda d: apm.meta_analysis(d.assign(se=0.0)), "'se' holds 0 at index 0"),
    "negative error": (lambda d: apm.meta_analysis(d.assign(se=-d["se"])), "a standard error is above zero"),
    "missing": (lambda d: apm.meta_analysis(d.assign(estimate=np.nan)), "'estimate' is missing in 8 of 8 rows"),
    "absent": (
        lambda d: apm.meta_analysis(d, se="sd"),
        "'sd' is not a column of the data; the columns are estimate, se",
    ),
    "method": (lambda d: apm.meta_analysis(d, method="ZZ"), "method='ZZ' is not known"),
    "constant moderator": (
        lambda d: apm.meta_analysis(d.assign(x=1.0), moderators=["x"]),
        "Moderator 'x' does not vary beyond intercept",
    ),
    "too many": (
        lambda d: apm.meta_analysis(d.head(2).assign(x=[1.0, 2.0]), moderators=["x"]),
        "2 studies cannot carry 2 coefficients",
    ),
    "level": (lambda d: apm.meta_analysis(d, level=95), "level=95 is not between 0 and 1"),
    "fixed with t": (lambda d: apm.meta_analysis(d, method="fixed", knapp_hartung=True), "belongs to random effects"),
    "no nesting": (
        lambda d: apm.multilevel_meta_analysis(d.assign(study=range(8)), study="study"),
        "No study in 'study' has several estimates",
    ),
    "one study nested": (
        lambda d: apm.multilevel_meta_analysis(d.assign(study="a"), study="study"),
        r"Column 'study' has too few studies \(1\)",
    ),
    "equal errors": (lambda d: apm.egger_test(d.assign(se=0.2)), "All standard errors in 'se' are alike"),
    "method of the test": (lambda d: apm.egger_test(d, method="ZZ"), "method='ZZ' is not known"),
    "tolerance": (lambda d: apm.egger_test(d, tolerance=0), "tolerance=0 is not a small share"),
    "level nested": (lambda d: apm.multilevel_meta_analysis(d, study="label", level="95%"), "level='95%' is not"),
    "nothing to leave": (lambda d: apm.leave_one_out(None), "data must be a pandas DataFrame, not NoneType"),
    "alike nested": (
        lambda d: apm.multilevel_meta_analysis(d.assign(estimate=0.3, study=[0, 0, 1, 1, 2, 2, 3, 3]), study="study"),
        "the robust standard error is zero: give robust=False",
    ),
    "alike": (
        lambda d: apm.meta_analysis(d.assign(estimate=0.3), knapp_hartung=True),
        "Knapp and Hartung's standard error is zero: give knapp_hartung=False",
    ),
    "two to leave": (lambda d: apm.leave_one_out(d.head(2)), "it needs at least three"),
    "frame": (lambda d: apm.meta_analysis([1, 2]), "data must be a pandas DataFrame, not list"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_met_with_one_sentence(case):
    call, words = BAD[case]
    with pytest.raises(apm.ApmkitError, match=words):
        call(studies(0))


def test_few_studies_are_warned_of():
    with pytest.warns(DesignWarning, match="fewer than ten"):
        apm.egger_test(studies(0))


def test_risk_ratio_adds_a_half_to_studies_with_an_empty_cell_and_refuses_an_empty_group():
    names = {"treated_events": "a", "treated_others": "b", "control_events": "c", "control_others": "d"}
    counts = pd.DataFrame({"a": [0, 4], "b": [10, 6], "c": [3, 5], "d": [7, 5]})
    result = apm.log_risk_ratio(counts, **names)
    assert result["estimate"][0] == pytest.approx(np.log((0.5 / 11) / (3.5 / 11)))
    assert result["estimate"][1] == pytest.approx(np.log((4 / 10) / (5 / 10)))
    with pytest.raises(apm.PanelError, match="nobody in it at index 1"):
        apm.log_risk_ratio(counts.assign(a=[0, 0], b=[10, 0]), **names)
    with pytest.raises(apm.PanelError, match="'c' holds -3 at index 0"):
        apm.log_risk_ratio(counts.assign(c=[-3, 5]), **names)


def test_forest_shows_every_study_and_the_mean_and_funnel_every_study():
    data = studies(9).assign(name=[f"Study {i}" for i in range(8)])
    result = apm.meta_analysis(data, label="name")
    ax = result.plot()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [*data["name"], "Mean effect"]
    assert len(plots.funnel(result).collections[0].get_offsets()) == 8
    with pytest.raises(apm.ApmkitError, match="no single mean effect"):
        plots.forest(apm.meta_analysis(data.assign(x=range(8)), moderators=["x"]))


@pytest.mark.parametrize("method", ["fixed", "DL", "HE", "HS", "SJ", "ML", "REML", "PM", "EB"])
def test_a_constant_moves_the_mean_effect_and_nothing_else(method):
    data, moved = studies(0), studies(0).assign(estimate=lambda d: d["estimate"] + 1e8)
    for fit in (
        lambda d: apm.meta_analysis(d, method=method),
        lambda d: apm.multilevel_meta_analysis(d.assign(study=np.arange(len(d)) // 2), study="study"),
    ):
        one, other = fit(data), fit(moved)
        assert other.table["estimate"][0] - 1e8 == pytest.approx(one.table["estimate"][0], abs=1e-7)
        assert other.table["se"][0] == pytest.approx(one.table["se"][0], rel=1e-6)
    if method != "fixed":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DesignWarning)
            one, other = (apm.egger_test(d, method=method)["statistic"] for d in (data, moved))
        assert other == pytest.approx(one, rel=1e-6)


def test_the_provenance_has_a_checksum_of_the_columns_used():
    frame = pd.DataFrame({"estimate": [0.1, 0.4, 0.2], "se": [0.1, 0.2, 0.1], "x": [1.0, 2.0, 4.0]})
    first = apm.meta_analysis(frame).provenance["data_sha256"]
    assert first == apm.meta_analysis(frame[::-1].assign(x=0.0)).provenance["data_sha256"]
    assert first != apm.meta_analysis(frame, moderators=["x"]).provenance["data_sha256"]
    assert first != apm.meta_analysis(frame.assign(se=0.3)).provenance["data_sha256"]
