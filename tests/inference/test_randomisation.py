"""Randomisation inference: exact by enumeration, the same by any road, and of the right size."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apmkit as apm
from apmkit.errors import ApmkitError, DesignWarning

quick = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
pytestmark = pytest.mark.usefixtures("quiet")


def two_groups(n_treated, n_units, seed=0, effect=1.0):
    random = np.random.default_rng(seed)
    unit, year = np.repeat(np.arange(n_units), 2), np.tile([2010, 2011], n_units)
    y = random.normal(size=2 * n_units) + effect * (unit < n_treated) * (year == 2011)
    cohort = np.where(unit < n_treated, 2011.0, np.nan)
    return pd.DataFrame({"unit": unit, "year": year, "y": y, "cohort": cohort, "region": unit % 2})


def simple(panel):
    return apm.callaway_santanna(panel).aggregate("simple")


def test_all_assignments_give_fishers_exact_p_value(make_panel):
    frame = two_groups(3, 9)
    change = frame.pivot(index="unit", columns="year", values="y").diff(axis=1)[2011].to_numpy()
    picks = [np.isin(np.arange(9), pick) for pick in itertools.combinations(range(9), 3)]
    differences = np.array([change[pick].mean() - change[~pick].mean() for pick in picks])
    result = apm.randomisation_test(make_panel(frame), apm.twfe)
    assert result["exact"]
    assert result["draws"] == math.comb(9, 3)
    assert result["p_value"] == np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12)
    assert result["statistic"] == pytest.approx(differences[0])
    assert result["p_value_error"] == 0


def test_cohorts_change_hands_within_strata_only(make_panel):
    frame = two_groups(4, 12)
    seen = []

    def estimator(panel):
        seen.append(tuple(np.isfinite(panel.cohorts)))
        return apm.twfe(panel).table["estimate"][0]

    panel = make_panel(frame, covariates=["region"])
    result = apm.randomisation_test(panel, estimator, within="region", draws=999)
    assert result["exact"]
    assert result["draws"] == math.comb(6, 2) ** 2
    assert len(set(seen[1:])) == result["draws"]
    regions = np.arange(12) % 2
    assert all(np.array(assignment)[regions == 0].sum() == 2 for assignment in seen)


@pytest.mark.parametrize("estimator", [apm.twfe, simple, apm.two_stage], ids=["twfe", "simple", "two_stage"])
@pytest.mark.parametrize("n_units", [12, 6])
def test_one_product_for_all_assignments_is_the_estimator_run_on_each(estimator, n_units, make_frame, make_panel):
    # In three cohorts of equal size 12 units have 34,650 assignments, 6 units 90.
    panel = make_panel(make_frame(n_units=n_units, n_states=n_units))
    fast = apm.randomisation_test(panel, estimator, draws=99, seed=2)
    slow = apm.randomisation_test(panel, lambda p: estimator(p).table["estimate"][0], draws=99, seed=2)
    assert fast["p_value"] == slow["p_value"]
    assert fast["draws"] == slow["draws"] == (99 if n_units == 12 else 90)


def test_an_estimator_that_looks_at_outcomes_is_run_on_each_assignment(make_frame, make_panel):
    panel = make_panel(make_frame(n_units=30, n_states=30))

    def largest(panel):
        estimate = apm.event_study(panel)
        return estimate.term(estimate.table["term"][estimate.table["estimate"].abs().argmax()])

    fast = apm.randomisation_test(panel, largest, draws=99)
    slow = apm.randomisation_test(panel, lambda p: largest(p).table["estimate"][0], draws=99)
    assert fast["p_value"] == slow["p_value"]


def test_clusters_ragged_panels_and_studentised_statistics_run(make_frame, make_panel):
    panel = make_panel(make_frame(missing=0.1), cluster="state")
    plain, studentised = (apm.randomisation_test(panel, simple, studentised=s, draws=99) for s in (False, True))
    row = simple(panel).table.iloc[0]
    assert plain["statistic"] == row["estimate"]
    assert studentised["statistic"] == pytest.approx(row["estimate"] / row["se"])
    assert plain["p_value"] != studentised["p_value"]
    assert plain["p_value_error"] == pytest.approx(np.sqrt(plain["p_value"] * (1 - plain["p_value"]) / 99))


def test_a_term_is_named(make_frame, make_panel):
    panel = make_panel(make_frame(n_units=20, n_states=20))
    result = apm.randomisation_test(panel, apm.event_study, term="relative_time=0", draws=99)
    assert result["statistic"] == apm.event_study(panel).term("relative_time=0").table["estimate"][0]
    with pytest.raises(ApmkitError, match=r"The estimate has \d terms: name one, for instance term='relative_time=-3'"):
        apm.randomisation_test(panel, apm.event_study, draws=99)


@quick
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), shift=st.sampled_from([0.0, 1e8]))
def test_rows_names_currency_and_a_constant_change_no_p_value(seed, scale, shift, make_panel):
    frame = two_groups(3, 8, seed)
    names = np.random.default_rng(seed).permutation(1000)
    moved = frame.sample(frac=1, random_state=seed).assign(
        unit=lambda f: names[f["unit"]], y=lambda f: scale * (f["y"] + shift)
    )
    one, other = (apm.randomisation_test(make_panel(f), apm.twfe)["p_value"] for f in (frame, moved))
    assert one == other


@pytest.mark.slow
def test_a_true_null_is_rejected_in_at_most_five_percent_with_one_treated_unit_or_skewed_outcomes(make_panel):
    random = np.random.default_rng(0)
    frame, rejected = two_groups(1, 21, effect=0.0), []
    for _ in range(1_000):
        frame["y"] = random.exponential(size=len(frame)) ** 2
        rejected.append(apm.randomisation_test(make_panel(frame), apm.twfe)["p_value"] <= 0.05)
    # One of 21 assignments: exactly 1/21.
    assert 0.035 <= np.mean(rejected) <= 0.065


def test_bad_input_is_refused(make_frame, make_panel):
    panel = make_panel(two_groups(3, 9), covariates=["region"])
    cases = [
        ({"draws": 5}, "draws=5 is too few: give a whole number of at least 99"),
        ({"seed": None}, "seed=None is not a whole number of at least zero"),
        ({"estimator": apm.twfe(panel)}, "estimator is of type Estimate: give a function that takes a panel"),
        ({"within": "zone"}, r"within='zone' is no covariate of the panel \(there: region\)"),
        ({"estimator": lambda p: 1.0, "studentised": True}, "The estimator gives a number: leave out term"),
        ({"estimator": lambda p: "x"}, "The estimator gives str: it must give an Estimate or a number"),
        ({"estimator": lambda p: np.nan}, "The statistic is nan for one assignment"),
    ]
    for options, match in cases:
        with pytest.raises(ApmkitError, match=match):
            apm.randomisation_test(panel, **{"estimator": apm.twfe, **options})
    within_states = make_panel(two_groups(3, 9).assign(state=lambda f: f["unit"] // 2), cluster="state")
    with pytest.raises(ApmkitError, match="state 1 holds units with different cohorts: cluster the panel by unit"):
        apm.randomisation_test(within_states, apm.twfe)
    varies = two_groups(3, 9).assign(zone=lambda f: f["year"] % 2)
    with pytest.raises(ApmkitError, match="within='zone' changes over time"):
        apm.randomisation_test(make_panel(varies, covariates=["zone"]), apm.twfe, within="zone")
    alone = two_groups(3, 9).assign(zone=lambda f: (f["unit"] < 3).astype(float))
    with pytest.raises(ApmkitError, match="Only one assignment is possible"):
        apm.randomisation_test(make_panel(alone, covariates=["zone"]), apm.twfe, within="zone")


def test_few_assignments_are_warned_of(make_panel):
    with pytest.warns(DesignWarning, match=r"Only 9 assignments are possible, so the p value cannot fall below 0.111"):
        apm.randomisation_test(make_panel(two_groups(1, 9)), apm.twfe)
