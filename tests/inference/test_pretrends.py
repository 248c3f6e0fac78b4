"""Power of pre-trend tests, and what passing one does."""

import numpy as np
import pytest
from scipy import stats

from apmkit.errors import ApmkitError
from apmkit.inference import pretrend_power, trend_after_pretest
from tests.inference.event_studies import event_study, random_study, study_of_diff_diff


@pytest.mark.parametrize(("form", "test"), [("nis", "individual"), ("wald", "joint")])
def test_power_and_detected_slope_are_those_of_diff_diff(agrees, form, test):
    import diff_diff

    results, study = study_of_diff_diff()
    package = f"diff-diff {diff_diff.__version__}"
    options = {"pretest_form": form, "violation_type": "linear"}
    theirs = diff_diff.PreTrendsPower(**options, power=0.8).fit(results)
    # Both integrate numerically, to about 1e-5.
    within = {"individual": 5e-5, "joint": 1e-9}[test]
    agrees(pretrend_power(study, power=0.8, test=test)["slope"], theirs.mdv, within=within, what="pretrend_power",
           package=package, case=f"slope, {test} test")  # fmt: skip
    theirs = diff_diff.PreTrendsPower(**options).fit(results, M=0.2)
    agrees(pretrend_power(study, 0.2, test=test)["power"], theirs.power, within=within, what="pretrend_power",
           package=package, case=f"power, {test} test")  # fmt: skip


@pytest.mark.parametrize("test", ["individual", "joint"])
@pytest.mark.parametrize("before", [1, 2, 4])
def test_power_and_means_after_passing_are_those_of_draws(test, before):
    study = random_study(before, before=before, after=2)
    covariance, k = study.covariance.to_numpy(), before
    slope = 0.6 * np.sqrt(covariance[0, 0]) / before
    trend = slope * np.r_[-k:0, 1:3]
    draws = np.random.default_rng(0).multivariate_normal(trend, covariance, size=300_000)
    if test == "individual":
        passed = (np.abs(draws[:, :k]) < 1.959964 * np.sqrt(np.diag(covariance))[:k]).all(axis=1)
    else:
        inverse = np.linalg.inv(covariance[:k, :k])
        passed = np.einsum("ni,ij,nj->n", draws[:, :k], inverse, draws[:, :k]) < stats.chi2.ppf(0.95, k)
    row = pretrend_power(study, slope, test=test)
    assert row["power"] == pytest.approx(1 - passed.mean(), abs=0.004)
    table = trend_after_pretest(study, slope, test=test)
    np.testing.assert_allclose(table["trend"], trend)
    error = 5 * draws.std(axis=0) / np.sqrt(passed.sum())
    assert (np.abs(table["if_passed"] - draws[passed].mean(axis=0)) < error).all()


@pytest.mark.parametrize("test", ["individual", "joint"])
@pytest.mark.parametrize("power", [0.5, 0.8])
def test_the_slope_found_has_the_power_asked_for(test, power):
    study = random_study(3, before=3, after=2)
    slope = pretrend_power(study, power=power, test=test)["slope"]
    assert pretrend_power(study, slope, test=test)["power"] == pytest.approx(power, abs=1e-5)
    assert pretrend_power(study, -slope, test=test)["power"] == pytest.approx(power, abs=1e-4)


def test_with_one_coefficient_before_the_power_has_a_closed_form():
    study = event_study([-2, 0], [0.3, 1.0], [[0.04, 0.01], [0.01, 0.04]])
    row = pretrend_power(study, 0.3)
    t = 0.3 / 0.2
    power = stats.norm.sf(1.959963984540054 - t) + stats.norm.cdf(-1.959963984540054 - t)
    np.testing.assert_allclose(row[["power", "size"]], [power, 0.05], atol=1e-12)
    assert row["bayes_factor"] == pytest.approx((1 - power) / 0.95)
    assert row["likelihood_ratio"] == pytest.approx(stats.norm.pdf(0.3, -0.3, 0.2) / stats.norm.pdf(0.3, 0, 0.2))


def test_the_likelihood_ratio_is_that_of_normal_densities():
    study = random_study(7, before=3, after=1)
    before, covariance = study.table["estimate"][:3], study.covariance.to_numpy()[:3, :3]
    trend = 0.1 * np.array([-3, -2, -1])
    ratio = stats.multivariate_normal.pdf(before, trend, covariance) / stats.multivariate_normal.pdf(
        before, np.zeros(3), covariance
    )
    assert pretrend_power(study, 0.1)["likelihood_ratio"] == pytest.approx(ratio)


def test_a_joint_test_has_its_size_and_tests_of_each_coefficient_more():
    study = random_study(1, before=4, after=1)
    assert pretrend_power(study, 0.0, test="joint")[["power", "size"]].tolist() == pytest.approx([0.05, 0.05])
    assert 0.05 < pretrend_power(study, 0.0)["size"] < 1 - 0.95**4
    assert pretrend_power(study, 0.0, level=0.9)["size"] > pretrend_power(study, 0.0)["size"]


def test_a_t_distribution_makes_a_test_harder_to_fail():
    study = random_study(1, before=2, after=1)
    few = event_study([-3, -2, 0], study.table["estimate"], study.covariance, degrees_of_freedom=5)
    for test in ("individual", "joint"):
        assert pretrend_power(few, 0.1, test=test)["power"] < pretrend_power(study, 0.1, test=test)["power"]


def test_the_same_seed_gives_the_same_numbers_and_another_nearly_so():
    study = random_study(2, before=3, after=1)
    one, two, other = (pretrend_power(study, 0.1, seed=seed) for seed in (1, 1, 2))
    assert (one == two).all()
    assert one["power"] == pytest.approx(other["power"], abs=1e-4)


GOOD = event_study([-3, -2, 0, 1], [0.1, 0.2, 1.0, 1.1], np.eye(4))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (pretrend_power, {"slope": 0.1, "power": 0.5}, "not both"),
        (pretrend_power, {"power": 1.0}, "power=1.0 is not between the size"),
        (pretrend_power, {"power": 0.01}, "power=0.01 is not between the size"),
        (pretrend_power, {"slope": np.inf}, "slope=inf is not a finite"),
        (pretrend_power, {"test": "wald"}, "test='wald' is not known"),
        (pretrend_power, {"level": 95}, "level=95 is not between"),
        (trend_after_pretest, {"slope": 50.0}, "passes the test less than once"),
        (trend_after_pretest, {"slope": np.nan}, "slope=nan is not a finite"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(function, options, message):
    with pytest.raises(ApmkitError, match=message):
        function(GOOD, **options)


def test_an_event_study_without_a_coefficient_before_treatment_is_refused():
    with pytest.raises(ApmkitError, match="no coefficient before"):
        pretrend_power(event_study([0, 1], [1.0, 1.1], np.eye(2)))
