"""What estimates rule out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.inference import equivalence
from tests.inference.event_studies import event_study


def single(value, se, **fields):
    defaults = {
        "estimand": "ATT",
        "estimator": "made",
        "outcome": "visits",
        "n_obs": 90,
        "n_units": 30,
        "n_clusters": 30,
    }
    terms = pd.DataFrame({"term": ["ATT"]})
    return Estimate.from_covariance(terms, np.array([value]), np.array([[se**2]]), **{**defaults, **fields})


def test_the_two_one_sided_tests_are_those_of_statsmodels(agrees):
    import statsmodels
    from statsmodels.stats.weightstats import DescrStatsW

    sample = np.random.default_rng(1).normal(0.1, 1.0, size=40)
    described = DescrStatsW(sample)
    row = equivalence(single(sample.mean(), described.std_mean, degrees_of_freedom=39), 0.5)
    theirs = described.ttost_mean(-0.5, 0.5)[0]
    agrees(row["p_value"], theirs, within=1e-12, what="equivalence", package=f"statsmodels {statsmodels.__version__}",
           case="mean of 40 draws")  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(0.1, 2), st.floats(0.55, 0.99))
def test_the_smallest_margin_is_where_the_p_value_is_the_size_of_the_test(value, se, level):
    estimate = single(value, se)
    rules_out = equivalence(estimate, 1.0, level=level)["rules_out"]
    assert equivalence(estimate, rules_out, level=level)["p_value"] == pytest.approx(1 - level)
    row = equivalence(estimate, 1.0, level=level)
    assert rules_out == pytest.approx(max(abs(row["low"]), abs(row["high"])))


def test_the_sentence_names_the_outcome_and_the_margin():
    assert equivalence(single(0.3, 0.5), 1.5)["sentence"] == (
        "visits: the data rule out a rise or fall of more than 1.13 (95% confidence)."
    )
    study = event_study([-3, -2, 0], [0.1, -0.4, 3.0], np.eye(3) * 0.01)
    row = equivalence(study, 1.0)
    assert row["term"] == "time -2"
    assert row["sentence"] == (
        "y: the data rule out a difference in trends before treatment of more than 0.57 (95% confidence)."
    )


def test_what_is_ruled_out_is_rounded_up():
    for value in np.linspace(0.1, 2.0, 20):
        row = equivalence(single(value, 0.31), 5.0)
        said = float(row["sentence"].split("more than ")[1].split()[0])
        assert row["rules_out"] <= said < row["rules_out"] + 0.01


def test_a_reference_period_in_the_table_is_left_out():
    study = event_study([-3, -2, 0], [0.1, -0.4, 3.0], np.eye(3) * 0.01)
    with_reference = event_study([-3, -2, -1, 0], [0.1, -0.4, 0.0, 3.0], np.diag([0.01, 0.01, 0.0, 0.01]))
    assert equivalence(with_reference, 1.0)["rules_out"] == equivalence(study, 1.0)["rules_out"]


def test_each_term_has_its_own_degrees_of_freedom():
    study = Estimate.from_covariance(
        pd.DataFrame({"term": ["a", "b"]}), np.array([0.2, 0.1]), np.eye(2) * 0.04,
        degrees_of_freedom=np.array([4.0, 30.0]), estimand="ATT", estimator="made", outcome="y", n_obs=100, n_units=40,
        n_clusters=40,
    )  # fmt: skip
    row = equivalence(study, 1.0, "b", level=0.975)
    assert [row["low"], row["high"]] == pytest.approx(study.table.loc[1, ["ci_low", "ci_high"]].tolist())


def test_all_terms_must_lie_within_the_margin():
    study = event_study([-3, -2, 0], [0.1, -0.4, 3.0], np.diag([0.04, 0.01, 0.01]))
    row = equivalence(study, 0.5)
    each = [equivalence(study, 0.5, term)["p_value"] for term in ("time -3", "time -2")]
    assert row["p_value"] == max(each)
    assert row["p_value"] == pytest.approx(stats.norm.cdf((0.4 - 0.5) / 0.1))
    assert equivalence(study, 0.5, ["time -2", "time 0"])["p_value"] > 0.99


@pytest.mark.slow
def test_the_size_at_the_margin_is_that_of_the_test():
    random = np.random.default_rng(0)
    accepted = sum(equivalence(single(value, 0.2), 1.0)["p_value"] <= 0.05 for value in random.normal(1.0, 0.2, 1_000))
    assert 35 <= accepted <= 65


@pytest.mark.parametrize(
    ("estimate", "options", "message"),
    [
        (single(0.1, 1.0), {"margin": 0}, "margin=0 must be above zero"),
        (single(0.1, 1.0), {"margin": -1.0}, "margin=-1.0 must be above zero"),
        (single(0.1, 1.0), {"margin": np.inf}, "must be above zero"),
        (None, {"margin": 1.0}, "An Estimate is needed, not NoneType"),
        (single(0.1, 1.0), {"margin": 1.0, "level": 0.4}, "level=0.4 is not between 0.5 and 1"),
        (single(0.1, 1.0), {"margin": 1.0, "terms": "x"}, "There is no term 'x': the terms are ATT"),
        (single(0.1, 1.0), {"margin": 1.0, "terms": []}, "No term is named"),
        (single(0.1, np.nan), {"margin": 1.0}, "has no standard error"),
        (single(0.1, 0.0), {"margin": 1.0}, "has no standard error"),
        (event_study([0, 1], [1.0, 2.0], np.eye(2)), {"margin": 1.0}, "no term before treatment: name the terms"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(estimate, options, message):
    with pytest.raises(ApmkitError, match=message):
        equivalence(estimate, **options)
