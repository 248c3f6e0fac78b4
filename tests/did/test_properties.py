"""What must not matter does not, and what must scale does."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apmkit as apm

ESTIMATORS = {
    "twfe": lambda panel: apm.twfe(panel, small_sample="none"),
    "event_study": lambda panel: apm.event_study(panel, small_sample="none"),
    "sun_abraham": lambda panel: apm.sun_abraham(panel, small_sample="none"),
    "never_treated": apm.callaway_santanna,
    "not_yet_treated": lambda panel: apm.callaway_santanna(panel, control="not_yet_treated"),
    "universal": lambda panel: apm.callaway_santanna(panel, base_period="universal"),
    "cross_sections": lambda panel: apm.callaway_santanna(panel, unbalanced="repeated_cross_sections"),
    "imputation": apm.imputation,
    "two_stage": apm.two_stage,
    "two_stage_by_event": lambda panel: apm.two_stage(panel, by="event"),
}
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS.keys())
few = settings(
    max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32 - 1)
panels = {"drop": st.sampled_from([0.0, 0.1]), "weights": st.sampled_from([None, "unit", "cell"]), "seed": seeds}
pytestmark = pytest.mark.usefixtures("quiet")


def weighted(frame):
    return {"weights": "weight" if "weight" in frame else None}


def both(result):
    """The result and, where there is one, its average."""
    return [result, result.aggregate("event")] if "cohort" in result.table else [result]


def assert_scaled(one, other, estimate=1.0, covariance=1.0, atol=1e-10):
    for a, b in zip(both(one), both(other), strict=True):
        np.testing.assert_allclose(b.table["estimate"], estimate * a.table["estimate"], rtol=1e-9, atol=atol)
        np.testing.assert_allclose(b.covariance, covariance * a.covariance, rtol=1e-9, atol=atol)


@every_estimator
@few
@given(**panels)
def test_order_of_rows_and_names_of_units_do_not_matter(estimator, make_frame, make_panel, drop, weights, seed):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    names = np.random.default_rng(seed).permutation(60)
    renamed = frame.sample(frac=1, random_state=seed % 1000).assign(unit=lambda f: names[f["unit"]].astype(str))
    assert_scaled(estimator(make_panel(frame, **weighted(frame))), estimator(make_panel(renamed, **weighted(frame))))


@every_estimator
@few
@given(factor=st.sampled_from([-1000.0, -1.0, 1e-3, 7.0]), **panels)
def test_effects_are_in_units_of_the_outcome(estimator, make_frame, make_panel, drop, weights, seed, factor):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    one = estimator(make_panel(frame, **weighted(frame)))
    other = estimator(make_panel(frame.assign(y=frame["y"] * factor), **weighted(frame)))
    assert_scaled(one, other, factor, factor**2, atol=1e-10 * factor**2)


@every_estimator
@few
@given(years=st.sampled_from([-2009, 7, 100]), **panels)
def test_the_clock_may_start_anywhere(estimator, make_frame, make_panel, drop, weights, seed, years):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    moved = frame.assign(year=frame["year"] + years, cohort=frame["cohort"] + years)
    one, other = (estimator(make_panel(f, **weighted(frame))) for f in (frame, moved))
    assert_scaled(one, other)
    if "period" in one.table:
        assert (other.table["period"] - one.table["period"]).eq(years).all()


@every_estimator
@few
@given(**panels)
def test_a_level_of_a_hundred_million_does_not_matter(estimator, make_frame, make_panel, drop, weights, seed):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    raised = frame.assign(y=frame["y"] + 1e8)
    one, other = (estimator(make_panel(f, **weighted(frame))) for f in (frame, raised))
    assert_scaled(one, other, atol=1e-6)


@every_estimator
@few
@given(**panels)
def test_effects_of_periods_do_not_matter(estimator, make_frame, make_panel, drop, weights, seed):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    moved = frame.assign(y=frame["y"] + np.array([5.0, -3, 8, 0, 2, 11])[frame["year"] - 2010])
    one, other = (estimator(make_panel(f, **weighted(frame))) for f in (frame, moved))
    assert_scaled(one, other)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "cross_sections"])
@few
@given(**panels)
def test_effects_of_units_do_not_matter(name, make_frame, make_panel, drop, weights, seed):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    moved = frame.assign(y=frame["y"] + 100 * np.random.default_rng(seed).normal(size=60)[frame["unit"]])
    one, other = (ESTIMATORS[name](make_panel(f, **weighted(frame))) for f in (frame, moved))
    assert_scaled(one, other)


@every_estimator
@few
@given(**panels)
def test_a_second_copy_of_every_unit_halves_the_variance(estimator, make_frame, make_panel, drop, weights, seed):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    twice = pd.concat([frame, frame.assign(unit=frame["unit"] + 1000)])
    one, other = (estimator(make_panel(f, **weighted(frame))) for f in (frame, twice))
    assert_scaled(one, other, covariance=0.5)


@every_estimator
@few
@given(**panels)
def test_a_second_copy_in_the_same_cluster_adds_nothing(estimator, make_frame, make_panel, drop, weights, seed):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    twice = pd.concat([frame, frame.assign(unit=frame["unit"] + 1000)])
    one, other = (estimator(make_panel(f, cluster="state", **weighted(frame))) for f in (frame, twice))
    assert_scaled(one, other)


# The variance of the imputation estimator centres on a mean by squared weights, so there weights are not copies.
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "imputation"])
@few
@given(drop=panels["drop"], seed=seeds)
def test_a_weight_of_two_is_a_second_copy_in_the_same_cluster(name, make_frame, make_panel, drop, seed):
    frame = make_frame(drop=drop, seed=seed).assign(weight=lambda f: 1.0 + f["unit"] % 2)
    odd = frame[frame["unit"] % 2 == 1]
    copied = pd.concat([frame, odd.assign(unit=odd["unit"] + 1000)])
    one = ESTIMATORS[name](make_panel(copied, cluster="state"))
    other = ESTIMATORS[name](make_panel(frame, cluster="state", weights="weight"))
    assert_scaled(one, other)


@every_estimator
@few
@given(**{**panels, "weights": st.sampled_from(["unit", "cell"])})
def test_only_the_ratio_of_weights_matters(estimator, make_frame, make_panel, drop, weights, seed):
    frame = make_frame(drop=drop, weights=weights, seed=seed)
    heavier = frame.assign(weight=frame["weight"] * 1e4)
    one, other = (estimator(make_panel(f, weights="weight")) for f in (frame, heavier))
    assert_scaled(one, other)
