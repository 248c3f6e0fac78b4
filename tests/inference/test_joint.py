"""Joint tests of several effects."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from apmkit.errors import DesignWarning
from apmkit.estimate import Estimate
from apmkit.inference import joint_test


def estimate(values, covariance, **fields):
    terms = pd.DataFrame({"term": [f"t{i}" for i in range(len(values))], "relative_time": range(-2, len(values) - 2)})
    defaults = {"estimand": "ATT", "estimator": "made", "outcome": "y", "n_obs": 90, "n_units": 30, "n_clusters": 30}
    return Estimate.from_covariance(terms, np.array(values), np.array(covariance), **{**defaults, **fields})


@pytest.fixture
def made():
    root = np.random.default_rng(4).normal(size=(4, 4))
    return estimate([0.5, -1.0, 2.0, 0.3], root @ root.T)


def test_the_statistic_is_walds(made):
    v = made.covariance.to_numpy()[:2, :2]
    b = made.table["estimate"].to_numpy()[:2]
    result = joint_test(made)
    assert result["statistic"] == pytest.approx(b @ np.linalg.solve(v, b))
    assert result["df"] == 2
    assert result["p_value"] == pytest.approx(stats.chi2.sf(result["statistic"], 2))


def test_a_t_distribution_as_reference_makes_it_an_f_test(made):
    finite = estimate(made.table["estimate"], made.covariance, degrees_of_freedom=19)
    chi, f = joint_test(made, ["t0", "t2", "t3"]), joint_test(finite, ["t0", "t2", "t3"])
    assert f["statistic"] == pytest.approx(chi["statistic"] / 3)
    assert f["p_value"] == pytest.approx(stats.f.sf(f["statistic"], 3, 19))


@pytest.mark.parametrize("df", [np.inf, 7])
def test_a_test_of_one_term_is_its_own_test(made, df):
    one = estimate(made.table["estimate"], made.covariance, degrees_of_freedom=df)
    assert joint_test(one, ["t1"])["p_value"] == pytest.approx(one.table["p_value"][1])


def test_scales_of_the_terms_do_not_matter(made):
    scale = np.array([1e-6, 1.0, 1e6, 1.0])
    scaled = estimate(made.table["estimate"] * scale, made.covariance.to_numpy() * np.outer(scale, scale))
    assert joint_test(scaled, list(made.table["term"]))["statistic"] == pytest.approx(
        joint_test(made, list(made.table["term"]))["statistic"]
    )


def test_a_term_that_repeats_another_adds_no_degree_of_freedom(made):
    doubled = np.eye(3)[[0, 1, 1]]
    values = doubled @ made.table["estimate"].to_numpy()[:3]
    again = estimate(values, doubled @ made.covariance.to_numpy()[:3, :3] @ doubled.T)
    result = joint_test(again, ["t0", "t1", "t2"])
    assert result["df"] == 2
    assert result["statistic"] == pytest.approx(joint_test(made, ["t0", "t1"])["statistic"])


def test_it_agrees_with_statsmodels_on_clustered_ols():
    import statsmodels.api as sm

    random = np.random.default_rng(8)
    x, clusters = sm.add_constant(random.normal(size=(200, 3))), np.repeat(np.arange(25), 8)
    fit = sm.OLS(random.normal(size=200), x).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    wald = fit.f_test(np.eye(4)[1:])
    made = estimate(fit.params, fit.cov_params(), degrees_of_freedom=24)
    result = joint_test(made, ["t1", "t2", "t3"])
    assert result["statistic"] == pytest.approx(wald.fvalue)
    assert result["p_value"] == pytest.approx(wald.pvalue)


def test_what_cannot_be_tested_is_refused(made):
    with pytest.raises(ValueError, match="There is no term 't9': the terms are t0, t1, t2, t3"):
        joint_test(made, ["t0", "t9"])
    with pytest.raises(ValueError, match="No term is named: the terms are t0"):
        joint_test(made, [])
    after = estimate([1.0], [[1.0]])
    with pytest.raises(ValueError, match="no covariance"):
        joint_test(estimate([1.0, 2.0], np.full((2, 2), np.nan)), ["t0"])
    later = after.table.assign(relative_time=0)
    without = estimate([1.0], [[1.0]])
    object.__setattr__(without, "table", later)
    with pytest.raises(ValueError, match="There is no term before treatment: name the terms to test"):
        joint_test(without)
    object.__setattr__(without, "table", later.drop(columns="relative_time"))
    with pytest.raises(ValueError, match="These estimates have no relative time: name the terms to test"):
        joint_test(without)


def test_too_few_clusters_for_the_terms_are_refused_or_warned_of(made):
    few = estimate(made.table["estimate"], made.covariance, n_clusters=4)
    with pytest.raises(ValueError, match="4 clusters cannot test 4 terms together: name fewer terms"):
        joint_test(few, list(made.table["term"]))
    with pytest.warns(DesignWarning, match="2 terms are tested together with 4 clusters: such a test rejects far too"):
        joint_test(few)


def test_terms_without_variance_are_refused():
    with pytest.raises(ValueError, match="These terms have no variance"):
        joint_test(estimate([0.0, 0.0], np.zeros((2, 2)), degrees_of_freedom=19))


def test_a_singular_covariance_that_the_estimates_contradict_is_refused():
    same = np.ones((2, 2))
    assert joint_test(estimate([1.0, 1.0], same), ["t0", "t1"])["df"] == 1
    with pytest.raises(ValueError, match="The covariance of these terms is singular"):
        joint_test(estimate([1.0, 1.1], same), ["t0", "t1"])


def test_a_missing_estimate_or_no_estimate_is_refused():
    with pytest.raises(ValueError, match="has no covariance of 't1'"):
        joint_test(estimate([1.0, np.nan], np.eye(2)), ["t0", "t1"])
    with pytest.raises(ValueError, match="An Estimate is needed, not DataFrame"):
        joint_test(pd.DataFrame())
