"""Two-way fixed effects with controls, against R's fixest and linearmodels' PanelOLS."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apmkit as apm
from apmkit.did.two_way import TwoWay
from apmkit.errors import DesignWarning

EXPECTED = Path(__file__).parents[1] / "expected" / "did"
ENTRIES = {
    name: entry["values"]
    for name, entry in json.loads((EXPECTED / "fixest_controls.json").read_text())["entries"].items()
}
few = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
panels = {
    "seed": st.integers(0, 2**32 - 1),
    "drop": st.sampled_from([0.0, 0.1]),
    "weights": st.sampled_from([None, "unit", "cell"]),
}
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def controlled(make_frame, make_panel):
    """A frame with controls `age` (changes over time) and `size` (of the unit), and its panel."""

    def make(seed, drop=0.0, weights=None, cluster="unit"):
        frame = make_frame(seed=seed, drop=drop, weights=weights)
        random = np.random.default_rng(seed)
        treated = frame["year"] >= frame["cohort"]
        frame["age"] = random.normal(40, 5, size=len(frame)) + 2 * treated
        frame["size"] = random.normal(size=60)[frame["unit"]]
        frame["y"] += 0.3 * frame["age"] + 0.2 * (frame["year"] - 2010) * frame["size"]
        return frame, panel_of(frame, make_panel, cluster=cluster)

    return make


def panel_of(frame, make_panel, **columns):
    weights = "weight" if "weight" in frame else None
    return make_panel(frame, covariates=["age", "size"], weights=weights, **columns)


def both(panel):
    return apm.twfe(panel, controls=["age", "size"])


def test_controls_that_are_constant_within_units_enter_by_period_as_in_r(agrees):
    theirs = pd.DataFrame(ENTRIES["fixest.sim_staggered.twfe.x"])
    frame = pd.read_csv(EXPECTED / "sim_staggered.csv")
    frame["cohort"] = frame["cohort"].replace(0, np.nan)
    panel = apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort", covariates=["x1", "x2"])
    result = apm.twfe(panel, controls=["x1", "x2"])
    ours = pd.concat([result.table, result.details["controls"]])
    names = theirs["term"].str.replace(r"year::(\d+):(\w+)", r"\2 in \1", regex=True).replace("D", "ATT")
    assert ours["term"].tolist() == names.tolist()
    for column, expected in (("estimate", "estimate"), ("se", "se"), ("p_value", "p")):
        agrees(ours[column], theirs[expected], within=1e-8, what="twfe", package="R fixest 0.14.2",
               case=f"fixest.sim_staggered.twfe.x, {column}")  # fmt: skip


@pytest.mark.parametrize("cluster", ["unit", "state"])
@pytest.mark.parametrize("weights", [None, "unit", "cell"])
@pytest.mark.parametrize("drop", [0.0, 0.15])
def test_controls_of_both_kinds_are_those_of_panel_ols(drop, weights, cluster, controlled, agrees):
    from linearmodels.panel import PanelOLS

    frame, panel = controlled(5, drop, weights, cluster)
    result = apm.twfe(panel, controls=["age", "size"], small_sample="none")
    indexed = frame.set_index(["unit", "year"], drop=False)
    design = pd.DataFrame({"D": (indexed["year"] >= indexed["cohort"]).astype(float), "age": indexed["age"]})
    for year in range(2011, 2016):
        design[year] = indexed["size"] * (indexed["year"] == year)
    weight = None if weights is None else indexed["weight"]
    model = PanelOLS(indexed["y"], design, weights=weight, entity_effects=True, time_effects=True)
    by = indexed[cluster].to_frame("c")
    fit = model.fit(cov_type="clustered", clusters=by, group_debias=False, debiased=False)
    # linearmodels counts unit and period effects in its factor.
    factor = np.sqrt((panel.n_obs - len(panel.units) - len(panel.periods) + 1) / panel.n_obs)
    ours = pd.concat([result.table, result.details["controls"]])
    case = {"package": "linearmodels 7.1", "case": f"controls, drop={drop}, weights={weights}, by {cluster}"}
    agrees(ours["estimate"], fit.params, within=1e-8, what="twfe", **case)
    agrees(ours["se"], fit.std_errors * factor, within=1e-8, what="twfe", **case)


def test_r2_within_r2_and_rmse_of_the_fit_are_those_of_r(agrees):
    values = ENTRIES["fixest.castle.twfe"]
    frame = pd.read_csv(EXPECTED / "castle.csv")
    frame["cohort"] = frame["state"].map(frame[frame["post"] > 0].groupby("state")["year"].min())
    panel = apm.Panel(frame, unit="state", time="year", outcome="l_homicide", cohort="cohort")
    result = apm.twfe(panel)
    effects = TwoWay(np.ones(len(panel.units)), np.ones(panel.outcomes.shape))
    y, d = effects.residual(np.stack([panel.outcomes, panel.treated]))
    left = ((y - result.table["estimate"][0] * d) ** 2).sum()
    total = ((panel.outcomes - panel.outcomes.mean()) ** 2).sum()
    ours = [result.n_obs, 1 - left / total, 1 - left / (y**2).sum(), np.sqrt(left / result.n_obs)]
    theirs = [values[name] for name in ("nobs", "r2", "wr2", "rmse")]
    agrees(ours, theirs, within=1e-10, what="twfe", package="R fixest 0.14.2",
           case="fixest.castle.twfe, fit")  # fmt: skip


# -- properties --------------------------------------------------------------------------------------------------------


@few
@given(**panels)
def test_order_names_level_and_currency_do_not_matter(controlled, make_panel, seed, drop, weights):
    frame, panel = controlled(seed, drop, weights)
    names = np.random.default_rng(seed).permutation(60)
    moved = frame.sample(frac=1, random_state=seed % 1000).assign(
        unit=lambda f: names[f["unit"]].astype(str), y=lambda f: 1000 * (f["y"] + 1e6)
    )
    one, other = both(panel), both(panel_of(moved, make_panel))
    np.testing.assert_allclose(other.table["estimate"], 1000 * one.table["estimate"], rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(other.table["se"], 1000 * one.table["se"], rtol=1e-8, atol=1e-6)


@few
@given(**panels)
def test_level_and_unit_of_a_control_do_not_matter(controlled, make_panel, seed, drop, weights):
    frame, panel = controlled(seed, drop, weights)
    moved = panel_of(frame.assign(age=1e8 + frame["age"], size=-12 * frame["size"]), make_panel)
    one, other = both(panel), both(moved)
    np.testing.assert_allclose(other.table["estimate"], one.table["estimate"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(other.table["se"], one.table["se"], rtol=0, atol=1e-7)
    controls, changed = one.details["controls"]["estimate"], other.details["controls"]["estimate"]
    np.testing.assert_allclose(changed[1:], controls[1:] / -12, rtol=0, atol=1e-7)


@few
@given(**panels)
def test_weights_of_units_give_the_estimate_and_influence_the_variance(controlled, seed, drop, weights):
    _, panel = controlled(seed, drop, weights)
    result = both(panel)
    np.testing.assert_allclose((result.influence**2).sum(), result.table["se"] ** 2, rtol=1e-9)
    effects = apm.treatment_weights(result)
    assert effects["weight"].sum() == pytest.approx(1, abs=1e-9)
    assert 0 <= apm.negative_weights(result)["negative"] <= len(effects)


@pytest.mark.slow
def test_size_is_five_percent_where_a_control_carries_the_trend():
    # Units with a large `size` start earlier and grow faster: without it a true null would be rejected far too often.
    rejected, naive = [], []
    for seed in range(1000):
        random = np.random.default_rng(seed)
        size = random.normal(size=150)
        start = np.where(size + random.normal(size=150) > 0.3, random.integers(2, 4, 150), np.inf)
        noise = np.cumsum(random.normal(size=(150, 5)), axis=1) * 0.5 + random.normal(size=(150, 5))
        y = np.arange(5) * size[:, None] * 0.3 + noise
        frame = pd.DataFrame({"unit": np.repeat(np.arange(150), 5), "year": np.tile(np.arange(5), 150), "y": y.ravel(),
                              "size": np.repeat(size, 5), "start": np.repeat(start, 5)})  # fmt: skip
        columns = {"unit": "unit", "time": "year", "outcome": "y", "cohort": "start", "covariates": ["size"]}
        panel = apm.Panel(frame.replace(np.inf, np.nan), **columns)
        rejected.append(apm.twfe(panel, controls=["size"]).table["p_value"][0] < 0.05)
        naive.append(apm.twfe(panel).table["p_value"][0] < 0.05)
    assert 0.035 <= np.mean(rejected) <= 0.065
    assert np.mean(naive) > 0.3


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_a_control_outside_the_panel_is_refused_with_those_there(controlled):
    _, panel = controlled(1)
    with pytest.raises(
        apm.EstimationError, match=r"names 'sex', which is no covariate of the panel \(there: age, size\)"
    ):
        apm.twfe(panel, controls=["age", "sex"])
    with pytest.raises(apm.EstimationError, match="names 'age' twice"):
        apm.twfe(panel, controls=["age", "age"])


def test_a_control_that_follows_treatment_is_refused(make_frame, make_panel):
    frame = make_frame()
    frame["on"] = (frame["year"] >= frame["cohort"]).astype(float)
    with pytest.raises(apm.EstimationError, match="does not vary beyond units, periods and on: leave out the control"):
        apm.twfe(make_panel(frame, covariates=["on"]), controls=["on"])


def test_controls_that_change_nothing_are_refused(make_frame, make_panel):
    frame = make_frame()
    frame["calendar"] = frame["year"] ** 2 / 1000
    with pytest.raises(apm.EstimationError, match="Unit and period effects explain calendar: leave such controls out"):
        apm.twfe(make_panel(frame, covariates=["calendar"]), controls="calendar")


def test_collinear_controls_are_named_and_left_out(controlled, make_panel):
    frame, panel = controlled(1)
    frame["months"] = 12 * frame["age"]
    doubled = make_panel(frame, covariates=["age", "months"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = apm.twfe(doubled, controls=["age", "months"])
    messages = [str(w.message) for w in caught if issubclass(w.category, DesignWarning)]
    assert messages == ["Left out controls that unit effects, period effects or earlier controls explain: 1 (months)."]
    assert result.table["estimate"][0] == pytest.approx(apm.twfe(panel, controls="age").table["estimate"][0], abs=1e-10)
    assert result.details["controls"]["term"].tolist() == ["age"]
