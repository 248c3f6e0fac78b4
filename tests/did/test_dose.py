"""Effects by dose: the numbers of diff-diff, moderndid and polynomial regressions, and how often intervals cover."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apmkit as apm
from apmkit.errors import DesignWarning

EXPECTED = Path(__file__).parents[1] / "expected" / "did" / "moderndid_dose.json"
GRID = [1.0, 2.0, 3.0]
COLUMNS = {"unit": "unit", "time": "year", "outcome": "y", "cohort": "start", "covariates": ["dose"]}
DESIGNS = {"two periods": (2, (2,)), "one cohort": (5, (3,)), "staggered": (5, (3, 4))}
few = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32 - 1)
pytestmark = pytest.mark.usefixtures("quiet")


def dosed(n_periods=5, starts=(3, 4), n_units=300, seed=0):
    """Periods from 1; doses from 0.5 to 4 with effect 1 + dose + 0.3 dose^2 in every period under treatment."""
    random = np.random.default_rng(seed)
    start = random.choice([*starts, np.inf], n_units)
    dose = np.where(np.isfinite(start), random.uniform(0.5, 4, n_units), 0.0)
    year = np.arange(1, n_periods + 1)
    y = random.normal(size=(n_units, 1)) + random.normal(size=n_periods) + random.normal(size=(n_units, n_periods))
    y += (year >= start[:, None]) * (1 + dose + 0.3 * dose**2)[:, None]
    return pd.DataFrame({
        "unit": np.repeat(np.arange(n_units), n_periods), "year": np.tile(year, n_units), "y": y.ravel(),
        "start": np.repeat(np.where(np.isinf(start), np.nan, start), n_periods), "dose": np.repeat(dose, n_periods),
    })  # fmt: skip


def panel_of(frame, **columns):
    return apm.Panel(frame, **{**COLUMNS, **columns})


def both(panel, **options):
    return [apm.dose_response(panel, dose="dose", effect=effect, **options) for effect in ("ATT", "ACRT")]


# -- other packages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knots", [0, 1])
@pytest.mark.parametrize("design", DESIGNS)
def test_effects_by_dose_are_those_of_diff_diff(design, knots, agrees):
    from diff_diff import ContinuousDiD

    frame = dosed(*DESIGNS[design])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ContinuousDiD(degree=3, num_knots=knots, dvals=np.array(GRID)).fit(
            frame.assign(start=frame["start"].fillna(0)), outcome="y", unit="unit", time="year", first_treat="start",
            dose="dose", aggregate="dose",
        )  # fmt: skip
    level, slope = both(panel_of(frame), doses=GRID, knots=knots)
    case = {"within": 1e-9, "what": "dose_response", "package": "diff-diff 3.13.0"}
    for ours, mean, curve in (
        (level, theirs.overall_att, theirs.dose_response_att),
        (slope, theirs.overall_acrt, theirs.dose_response_acrt),
    ):
        agrees(ours.table["estimate"], [mean, *curve.effects], **case, case=f"{design}, {knots} knots, {ours.estimand}")
        if design != "staggered":
            agrees(ours.table["se"][1:], curve.se, **case, case=f"{design}, {knots} knots, {ours.estimand}, se")
    if design != "staggered":
        agrees(level.table["se"][0], theirs.overall_att_se, **case, case=f"{design}, {knots} knots, mean, se")


def test_standard_errors_of_diff_diff_lack_the_error_of_the_shares_of_cohorts(agrees):
    from diff_diff import ContinuousDiD

    frame = dosed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ContinuousDiD(degree=3, dvals=np.array(GRID)).fit(
            frame.assign(start=frame["start"].fillna(0)), outcome="y", unit="unit", time="year", first_treat="start",
            dose="dose", aggregate="dose",
        )  # fmt: skip
    panel = panel_of(frame)
    treated = np.isfinite(panel.cohorts)
    for whole, curve in zip(
        both(panel, doses=GRID), (theirs.dose_response_att, theirs.dose_response_acrt), strict=True
    ):
        influence = whole.influence.to_numpy().copy()
        for cohort in (3, 4):
            alone = panel.restrict((panel.cohorts == cohort) | ~treated)
            own = apm.dose_response(alone, dose="dose", effect=whole.estimand, doses=GRID).table["estimate"]
            share_part = (own - whole.table["estimate"]).to_numpy() / treated.sum()
            influence[panel.cohorts == cohort] -= share_part
        se = np.sqrt((influence**2).sum(axis=0))
        agrees(se[1:], curve.se, within=1e-9, what="dose_response", package="diff-diff 3.13.0",
               case=f"staggered, {whole.estimand}, se without shares")  # fmt: skip


@pytest.mark.parametrize("name", json.loads(EXPECTED.read_text())["entries"])
def test_effects_by_dose_are_those_of_moderndid(name, agrees):
    fixture = json.loads(EXPECTED.read_text())
    entry = fixture["entries"][name]
    level, slope = both(panel_of(dosed(*DESIGNS[entry["design"]])), doses=GRID, knots=entry["knots"])
    values = entry["values"]
    case = {"within": 1e-9, "what": "dose_response", "package": f"moderndid {fixture['version']}", "case": name}
    agrees(level.table["estimate"], [values["overall_att"], *values["att_d"]], **case)
    agrees(slope.table["estimate"], [values["overall_acrt"], *values["acrt_d"]], **case)


@pytest.mark.parametrize("control", ["never_treated", "not_yet_treated"])
def test_the_mean_level_is_the_mean_of_callaway_santanna_by_cohort(control):
    panel = panel_of(dosed())
    ours = apm.dose_response(panel, dose="dose", control=control).term("ATT").table.iloc[0]
    theirs = apm.callaway_santanna(panel, control=control).aggregate("cohort").overall.table.iloc[0]
    assert ours["estimate"] == pytest.approx(theirs["estimate"], abs=1e-12)
    assert ours["se"] == pytest.approx(theirs["se"], abs=1e-12)


def test_a_straight_line_between_two_periods_is_least_squares_with_robust_errors():
    import statsmodels.api as sm

    frame = dosed(*DESIGNS["two periods"])
    wide = frame.pivot(index="unit", columns="year", values="y")
    treated = frame.groupby("unit")["start"].first().notna()
    dose = frame.groupby("unit")["dose"].first()[treated]
    fit = sm.OLS((wide[2] - wide[1])[treated], sm.add_constant(dose)).fit(cov_type="HC0")
    row = apm.dose_response(panel_of(frame), dose="dose", effect="ACRT", degree=1, doses=[2]).table.iloc[1]
    assert row["estimate"] == pytest.approx(fit.params["dose"], abs=1e-10)
    assert row["se"] == pytest.approx(fit.bse["dose"], abs=1e-10)


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("drop", [0.0, 0.1])
def test_effects_are_weighted_polynomial_regressions_of_changes_in_every_cell(drop, weights):
    frame = dosed(seed=3)
    random = np.random.default_rng(8)
    frame["w"] = random.uniform(0.5, 2, 300)[frame["unit"]] if weights else 1.0
    frame = frame[random.random(len(frame)) >= drop]
    level, slope = both(panel_of(frame, weights=weights), degree=2, doses=GRID)
    wide = frame.pivot(index="unit", columns="year", values="y")
    start, dose, w = (frame.groupby("unit")[name].first() for name in ("start", "dose", "w"))
    levels, slopes, shares = [], [], []
    for cohort in (3, 4):
        curves = []
        for year in range(cohort, 6):
            change = (wide[year] - wide[cohort - 1]).dropna()
            own, other = change[start[change.index] == cohort], change[start[change.index].isna()]
            line = np.polynomial.Polynomial.fit(dose[own.index], own, 2, w=np.sqrt(w[own.index]))
            at = np.array(GRID)
            curves.append([line(at) - np.average(other, weights=w[other.index]), line.deriv()(at)])
        level_of, slope_of = np.mean(curves, axis=0)
        levels.append(level_of)
        slopes.append(slope_of)
        shares.append(w[level.panel.units[level.panel.cohorts == cohort]].sum())
    np.testing.assert_allclose(level.table["estimate"][1:], np.average(levels, axis=0, weights=shares), atol=1e-9)
    np.testing.assert_allclose(slope.table["estimate"][1:], np.average(slopes, axis=0, weights=shares), atol=1e-9)


# -- properties --------------------------------------------------------------------------------------------------------


@few
@given(seed=seeds, knots=st.integers(0, 2))
def test_order_names_level_currency_and_clock_do_not_matter(seed, knots):
    frame = dosed(seed=seed)
    names = np.random.default_rng(seed).permutation(300)
    moved = frame.sample(frac=1, random_state=seed % 1000).assign(
        unit=lambda f: names[f["unit"]].astype(str), y=lambda f: 100 * (f["y"] + 1e6), year=lambda f: f["year"] + 9,
        start=lambda f: f["start"] + 9,
    )  # fmt: skip
    for one, other in zip(both(panel_of(frame), knots=knots), both(panel_of(moved), knots=knots), strict=True):
        np.testing.assert_allclose(other.table["estimate"], 100 * one.table["estimate"], rtol=1e-7, atol=1e-5)
        np.testing.assert_allclose(other.covariance, 1e4 * one.covariance, rtol=1e-6, atol=1e-4)


@few
@given(seed=seeds, factor=st.sampled_from([1e-3, 60.0, 1e4]))
def test_the_unit_of_the_dose_changes_slopes_and_not_levels(seed, factor):
    frame = dosed(seed=seed)
    level, slope = both(panel_of(frame), knots=1)
    scaled = both(panel_of(frame.assign(dose=factor * frame["dose"])), knots=1)
    np.testing.assert_allclose(scaled[0].table["estimate"], level.table["estimate"], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(factor * scaled[1].table["estimate"], slope.table["estimate"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(factor * scaled[1].table["se"], slope.table["se"], rtol=1e-6)


def test_slopes_are_the_derivative_of_levels():
    panel = panel_of(dosed())
    step = 1e-5
    level = apm.dose_response(panel, dose="dose", knots=2, doses=[1 - step, 1 + step, 3 - step, 3 + step])
    slope = apm.dose_response(panel, dose="dose", effect="ACRT", knots=2, doses=[1, 3])
    values = level.table["estimate"].to_numpy()[1:]
    np.testing.assert_allclose(np.diff(values)[::2] / (2 * step), slope.table["estimate"][1:], rtol=1e-6)


def test_influence_of_units_gives_the_covariance_and_sums_to_zero():
    for result in both(panel_of(dosed()), knots=1):
        influence = result.influence.to_numpy()
        np.testing.assert_allclose(influence.T @ influence, result.covariance, atol=1e-12)
        np.testing.assert_allclose(influence.sum(axis=0), 0, atol=1e-10)


@pytest.mark.parametrize(("effect", "control"), [("ATT", "never_treated"), ("ACRT", "not_yet_treated")])
def test_influence_is_the_change_of_the_effect_with_the_weight_of_a_unit(effect, control):
    frame = dosed(4, (3, 4), 60)
    frame["site"] = frame["unit"] % 10
    own = np.random.default_rng(1).uniform(0.5, 2, 60)

    def fit(weights, **columns):
        panel = panel_of(frame.assign(w=weights[frame["unit"]]), weights="w", **columns)
        return apm.dose_response(panel, dose="dose", effect=effect, control=control, degree=2, doses=GRID)

    steps = 1e-5 * np.diag(own)
    change = [(fit(own + h).table["estimate"] - fit(own - h).table["estimate"]) / 2e-5 for h in steps]
    sums = pd.DataFrame(np.array(change)).groupby(np.arange(60) % 10).sum()
    se = fit(own, cluster="site").table["se"]
    np.testing.assert_allclose(se, np.sqrt((sums**2).sum()), rtol=1e-6)


def test_doses_of_units_not_treated_in_the_panel_do_not_matter():
    frame = dosed()
    planned = frame.assign(dose=np.where(frame["start"].isna(), 99.0, frame["dose"]))
    for one, other in zip(both(panel_of(frame)), both(panel_of(planned)), strict=True):
        pd.testing.assert_frame_equal(one.table, other.table)


def test_the_assumption_is_named_by_the_result():
    level, slope = both(panel_of(dosed()), doses=[2])
    assert (level.estimand, level.diagnostics["assumption"]) == ("ATT", "parallel trends")
    assert (slope.estimand, slope.diagnostics["assumption"]) == ("ACRT", "strong parallel trends")
    assert "rose by" in level.term("ATT").sentence()


@pytest.mark.slow
def test_intervals_cover_levels_slopes_and_their_means_in_95_percent():
    outside = {}
    for seed in range(1000):
        panel = panel_of(dosed(3, (2, 3), 900, seed))
        level, slope = both(panel, degree=2, doses=[1, 3])
        # Doses are uniform on 0.5 to 4: mean 2.25, mean of squares 6.0833.
        truths = {"ATT": [1 + 2.25 + 0.3 * 73 / 12, 2.3, 6.7], "ACRT": [1 + 0.6 * 2.25, 1.6, 2.8]}
        for result in (level, slope):
            truth, table = truths[result.estimand], result.table
            outside.setdefault(result.estimand, []).append((table["ci_low"] > truth) | (table["ci_high"] < truth))
    for estimand, misses in outside.items():
        share = np.mean(misses, axis=0)
        assert (share >= 0.035).all(), (estimand, share)
        assert (share <= 0.065).all(), (estimand, share)


# -- bad input ---------------------------------------------------------------------------------------------------------


def refuses(match, frame=None, columns=None, **options):
    frame = dosed() if frame is None else frame
    with pytest.raises(apm.EstimationError, match=match):
        apm.dose_response(panel_of(frame, **(columns or {})), **{"dose": "dose", **options})


def test_a_dose_outside_the_panel_is_refused():
    refuses(r"dose names 'hours', which is no covariate of the panel \(there: dose\)", dose="hours")


def test_a_dose_that_changes_within_units_is_refused():
    frame = dosed()
    refuses(
        "changes within 2 units, first unit 3:",
        frame.assign(dose=frame["dose"] + frame["unit"].isin([3, 7]) * frame["year"]),
    )


def test_a_treated_unit_without_dose_is_refused():
    frame = dosed()
    unit = frame.loc[frame["start"].notna(), "unit"].iloc[0]
    refuses(
        rf"Column 'dose' is 0 for unit {unit}, which is treated \(1 such units\)",
        frame.assign(dose=frame["dose"].where(frame["unit"] != unit, 0.0)),
    )


def test_one_dose_for_all_is_refused():
    frame = dosed()
    refuses("is 2 for every treated unit: there is no dose response", frame.assign(dose=2.0))


def test_few_distinct_doses_are_refused():
    frame = dosed()
    frame["dose"] = frame["dose"].round().clip(1, 3)
    refuses("Cohort 3 in 3 has .* 3 distinct doses, too few for a spline of 4 coefficients: lower degree", frame)
    refuses("knots=5 fall together", frame, knots=5)
    apm.dose_response(panel_of(frame), dose="dose", degree=2)


def test_few_treated_units_are_refused():
    refuses("has .* treated units .*too few for a spline of 4 coefficients", dosed(n_units=10))


@pytest.mark.parametrize(
    "options",
    [{"effect": "slope"}, {"control": "anyone"}, {"degree": 0}, {"degree": 1.5}, {"knots": -1}, {"knots": True}],
    ids=str,
)
def test_unknown_arguments_are_refused_by_name(options):
    refuses(next(iter(options)) + "=", **options)


def test_doses_outside_those_observed_are_refused():
    refuses(r"doses hold 9, outside the doses of treated units in column 'dose', 0\.5\d* to 3\.9\d*", doses=[1, 9])
    refuses("doses are empty", doses=[])


def test_weights_that_change_over_time_are_refused():
    frame = dosed()
    frame["w"] = np.random.default_rng(0).uniform(1, 2, len(frame))
    refuses("needs weights that are constant within units", frame, {"weights": "w"})


def test_nobody_to_compare_with_is_refused():
    frame = dosed()
    refuses("No unit is never treated in this panel: use control='not_yet_treated'", frame[frame["start"].notna()])


def test_effects_without_a_comparison_are_named():
    frame = dosed()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        apm.dose_response(panel_of(frame[frame["start"].notna()]), dose="dose", control="not_yet_treated")
    texts = [str(w.message) for w in caught if issubclass(w.category, DesignWarning)]
    assert any("no comparison identifies: 4 (ATT(3, 4), ATT(3, 5), ATT(4, 4), ATT(4, 5))" in text for text in texts)


def test_a_cohort_whose_doses_do_not_reach_is_named():
    frame = dosed()
    frame["dose"] = np.where(frame["start"] == 4, frame["dose"] / 2, frame["dose"])
    with pytest.warns(DesignWarning, match=r"cohort 4 \(0\.2\d* to 1\.9\d*\) holds no doses as low or as high"):
        apm.dose_response(panel_of(frame), dose="dose", doses=[1, 3])
