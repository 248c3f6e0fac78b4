"""Interrupted time series agree with statsmodels and with dense algebra, and refuse what they cannot use."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

import apmkit as apm
from apmkit.errors import ApmkitError, EstimationError

few = settings(
    max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ROLES = {"time": "t", "outcome": "y"}


def design(t, start, season=None):
    on = (t >= start) * 1.0
    columns = [np.ones(len(t)), t - start, on, on * (t - start)]
    if season:
        columns += [(t % season == j) * 1.0 for j in range(1, season)]
    return np.column_stack(columns)


@pytest.mark.parametrize("season", [None, 4, 12])
@pytest.mark.parametrize("lags", [0, 3])
def test_newey_west_is_that_of_statsmodels(agrees, make_series, season, lags):
    import statsmodels.api as sm

    frame = make_series(80, seed=3)
    ours = apm.interrupted_time_series(frame, **ROLES, start=30, errors="newey_west", lags=lags, season=season)
    fit = sm.OLS(frame["y"].to_numpy(), design(frame["t"].to_numpy(), 30, season)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}, use_t=True
    )
    columns = ["estimate", "se", "p_value", "ci_low", "ci_high"]
    theirs = np.column_stack([fit.params, fit.bse, fit.pvalues, fit.conf_int()])
    case = f"season {season}, {lags} lags"
    agrees(ours.details["coefficients"][columns], theirs, within=1e-8, what="interrupted_time_series",
           package="statsmodels OLS, HAC", case=case)  # fmt: skip
    np.testing.assert_allclose(ours.table.loc[:1, columns], theirs[2:4], rtol=1e-8)


def test_newey_west_is_the_dense_sum_over_pairs_of_periods_also_across_gaps(make_series, quiet):
    frame = make_series(70).drop(index=[4, 5, 50])
    result = apm.interrupted_time_series(frame, **ROLES, start=30, transition=3, errors="newey_west")
    kept = frame[(frame["t"] < 30) | (frame["t"] >= 33)]
    t, n = kept["t"].to_numpy(), len(kept)
    x = design(t, 33)
    beta = np.linalg.solve(x.T @ x, x.T @ kept["y"])
    e, lags = kept["y"].to_numpy() - x @ beta, int(4 * (n / 100) ** (2 / 9))
    middle = np.zeros((4, 4))
    for i in range(n):
        for j in range(n):
            middle += max(0, 1 - abs(t[i] - t[j]) / (lags + 1)) * e[i] * e[j] * np.outer(x[i], x[j])
    bread = np.linalg.inv(x.T @ x)
    covariance = n / (n - 4) * bread @ middle @ bread
    assert result.diagnostics["lags"] == lags
    np.testing.assert_allclose(result.table["estimate"][:2], beta[2:], rtol=1e-10)
    np.testing.assert_allclose(result.covariance.iloc[:2, :2], covariance[2:, 2:], rtol=1e-9)
    steps = np.array([t[t >= 33].mean() - 33, t[-1] - 33])
    contrasts = np.column_stack([np.ones(2), steps])
    np.testing.assert_allclose(result.table["estimate"][2:], contrasts @ beta[2:], rtol=1e-10)
    np.testing.assert_allclose(
        result.table["se"][2:] ** 2, np.diag(contrasts @ covariance[2:, 2:] @ contrasts.T), rtol=1e-9
    )


@pytest.mark.parametrize("order", [1, 2])
def test_autoregressive_errors_maximise_the_restricted_likelihood_of_statsmodels(agrees, make_series, order):
    """statsmodels integrates the coefficients out by a diffuse state: the same likelihood by another way."""
    from statsmodels.tools.numdiff import approx_fprime, approx_hess3
    from statsmodels.tsa.statespace.initialization import Initialization
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    frame = make_series(80, seed=5, rho=0.5)
    ours = apm.interrupted_time_series(frame, **ROLES, start=30, lags=order)
    phi = ours.diagnostics["autoregression"]
    x = design(frame["t"].to_numpy() * 1.0, 30) / np.array([1, 10, 1, 10])
    y = frame["y"].to_numpy() - frame["y"].mean()
    model = SARIMAX(y, exog=x, order=(order, 0, 0), mle_regression=False)
    states = Initialization(order + 4)
    states.set((0, order), "stationary")
    states.set((order, order + 4), "diffuse")
    model.ssm.initialize(states)
    model.loglikelihood_burn = 0
    found = np.append(phi, 1.0)
    for _ in range(8):
        slope = approx_fprime(found, model.loglike, centered=True)
        found = found - np.linalg.solve(approx_hess3(found, model.loglike), slope)
    agrees(phi, found[:order], within=1e-6, what="interrupted_time_series", package="statsmodels SARIMAX",
           case=f"AR({order}) by restricted likelihood, parameters")  # fmt: skip
    fit = model.smooth(found)
    states = fit.smoothed_state[order:, -1] / np.array([1, 10, 1, 10])
    agrees(ours.table["estimate"][:2], states[2:], within=1e-6, what="interrupted_time_series",
           package="statsmodels SARIMAX", case=f"AR({order}), level and slope")  # fmt: skip


@pytest.mark.parametrize("errors", ["ar", "newey_west"])
def test_season_transition_and_gaps_together_are_the_dense_regression(make_series, errors, quiet):
    from statsmodels.tsa.arima_process import ArmaProcess

    frame = make_series(90, seed=3, start=45).drop(index=[10, 11, 50, 70])
    options = {"season": 4, "transition": 3, "lags": 2, "errors": errors}
    result = apm.interrupted_time_series(frame, **ROLES, start=45, **options)
    used = frame[(frame["t"] < 45) | (frame["t"] >= 48)]
    t, y = used["t"].to_numpy(), used["y"].to_numpy()
    x, distance, n = design(t, 48, 4), np.abs(np.subtract.outer(t, t)), len(t)
    if errors == "ar":
        process = ArmaProcess(np.append(1, -np.array(result.diagnostics["autoregression"])), [1.0])
        solved = np.linalg.solve(process.acovf(90)[distance], np.column_stack([x, y]))
        bread = np.linalg.inv(x.T @ solved[:, :-1])
        beta = bread @ x.T @ solved[:, -1]
        scale = (y - x @ beta) @ (solved[:, -1] - solved[:, :-1] @ beta) / (n - 7)
        covariance = scale * bread
    else:
        beta, bread = np.linalg.lstsq(x, y)[0], np.linalg.inv(x.T @ x)
        scores = x * (y - x @ beta)[:, None]
        covariance = n / (n - 7) * bread @ scores.T @ np.clip(1 - distance / 3, 0, None) @ scores @ bread
    contrasts = np.zeros((4, 7))
    contrasts[:, 2:4] = [[1, 0], [0, 1], [1, (frame["t"][frame["t"] >= 48] - 48).mean()], [1, 89 - 48]]
    np.testing.assert_allclose(result.table["estimate"], contrasts @ beta, rtol=1e-9)
    np.testing.assert_allclose(result.table["se"], np.sqrt(np.diag(contrasts @ covariance @ contrasts.T)), rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_coefficients_and_covariance_are_generalised_least_squares(make_series, order, quiet):
    """Given the autoregression, against the inverse of the covariance of an exact simulation of its moments."""
    from statsmodels.tsa.arima_process import ArmaProcess

    frame = make_series(60, seed=2).drop(index=[11, 40])
    result = apm.interrupted_time_series(frame, **ROLES, start=30, lags=order)
    t = frame["t"].to_numpy()
    process = ArmaProcess(np.append(1, -np.array(result.diagnostics["autoregression"])), [1.0])
    v = linalg.toeplitz(process.acovf(60))[np.ix_(t, t)]
    x, y = design(t, 30), frame["y"].to_numpy()
    bread = np.linalg.inv(x.T @ np.linalg.solve(v, x))
    beta = bread @ x.T @ np.linalg.solve(v, y)
    e = y - x @ beta
    scale = e @ np.linalg.solve(v, e) / (len(y) - 4)
    np.testing.assert_allclose(result.details["coefficients"]["estimate"], beta, rtol=1e-7)
    np.testing.assert_allclose(result.details["coefficients"]["se"], np.sqrt(np.diag(scale * bread)), rtol=1e-7)

    def restricted(u):
        process = ArmaProcess(np.append(1, -np.array(u)), [1.0])
        if not process.isstationary:
            return np.inf
        w = linalg.toeplitz(process.acovf(60))[np.ix_(t, t)]
        information = x.T @ np.linalg.solve(w, x)
        r = y - x @ np.linalg.solve(information, x.T @ np.linalg.solve(w, y))
        quadratic = r @ np.linalg.solve(w, r)
        logs = np.linalg.slogdet(w)[1] + np.linalg.slogdet(information)[1]
        return logs / 2 + (len(y) - 4) / 2 * np.log(quadratic / (len(y) - 4))

    # No neighbour is more likely. Written with innovation variance one, as the likelihood is free of its scale.
    phi = np.array(result.diagnostics["autoregression"])
    best = restricted(phi)
    steps = 1e-3 * np.vstack([np.eye(order), -np.eye(order)])
    assert all(restricted(phi + step) > best for step in steps)


def test_degrees_of_freedom_are_satterthwaites_from_the_curvature_of_the_restricted_likelihood(make_series):
    """In the autoregression and the variance themselves: the ratio is free of how the errors are written."""
    frame = make_series(60, seed=2, rho=0.5)
    result = apm.interrupted_time_series(frame, **ROLES, start=30)
    t, y = frame["t"].to_numpy(), frame["y"].to_numpy()
    x, distance = design(t, 30), np.abs(np.subtract.outer(t, t))

    def parts(theta):
        v = theta[1] * theta[0] ** distance
        information = x.T @ np.linalg.solve(v, x)
        e = y - x @ np.linalg.solve(information, x.T @ np.linalg.solve(v, y))
        logs = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
        return (logs + e @ np.linalg.solve(v, e)) / 2, np.diag(np.linalg.inv(information))[2:]

    phi = result.diagnostics["autoregression"][0]
    v = phi**distance
    information = x.T @ np.linalg.solve(v, x)
    e = y - x @ np.linalg.solve(information, x.T @ np.linalg.solve(v, y))
    theta = np.array([phi, e @ np.linalg.solve(v, e) / 56])
    steps = np.diag([1e-3, 1e-3 * theta[1]])
    size = np.diag(steps)
    curvature = [[parts(theta + g + h)[0] - parts(theta + g - h)[0] - parts(theta - g + h)[0] + parts(theta - g - h)[0]
                  for g in steps] for h in steps] / (4 * np.outer(size, size))  # fmt: skip
    slopes = np.array([(parts(theta + h)[1] - parts(theta - h)[1]) / (2 * h.max()) for h in steps])
    spread = np.einsum("pk,pq,qk->k", slopes, np.linalg.inv(curvature), slopes)
    df = 2 * parts(theta)[1] ** 2 / spread
    np.testing.assert_allclose(result.table["df"][:2], df, rtol=1e-3)
    np.testing.assert_allclose(
        result.table["p_value"], 2 * stats.t.sf(abs(result.table["estimate"] / result.table["se"]), result.table["df"])
    )


def test_a_control_series_gives_the_interactions_of_the_regression_of_both(make_series):
    control = make_series(60, seed=1, level=0, slope=0)
    both = pd.concat([make_series(60).assign(area="MD"), control.assign(area="VA")])
    result = apm.comparative_interrupted_time_series(
        both, **ROLES, group="area", treated="MD", start=30, errors="newey_west"
    )
    x = design(both["t"].to_numpy(), 30)
    g = (both["area"] == "MD").to_numpy()[:, None]
    beta = np.linalg.lstsq(np.column_stack([x, g * x]), both["y"], rcond=None)[0]
    np.testing.assert_allclose(result.details["coefficients"]["estimate"], beta[4:], atol=1e-10)
    difference = make_series(60).assign(y=lambda f: f["y"] - control["y"])
    alone = apm.interrupted_time_series(difference, **ROLES, start=30, errors="newey_west")
    np.testing.assert_allclose(result.covariance, alone.covariance, rtol=1e-10)
    assert list(result.details["groups"]) == ["period", "treated", "control"]


def test_diagnostics_of_residuals_are_those_of_statsmodels(agrees, make_series):
    import statsmodels.api as sm
    from statsmodels.stats.diagnostic import acorr_ljungbox
    from statsmodels.stats.stattools import durbin_watson

    frame = make_series(80)
    result = apm.interrupted_time_series(frame, **ROLES, start=30, errors="newey_west")
    residuals = sm.OLS(frame["y"].to_numpy(), design(frame["t"].to_numpy(), 30)).fit().resid
    box = acorr_ljungbox(residuals, lags=[10]).iloc[0]
    found = result.diagnostics
    ours = [found["durbin_watson"], found["ljung_box"], found["ljung_box_p"]]
    agrees(ours, [durbin_watson(residuals), box["lb_stat"], box["lb_pvalue"]], within=1e-9,
           what="interrupted_time_series", package="statsmodels", case="Durbin-Watson, Ljung-Box")  # fmt: skip
    acf = sm.tsa.acf(residuals, nlags=24)[1:]
    np.testing.assert_allclose(result.details["autocorrelation"]["autocorrelation"], acf, atol=1e-10)


def test_harmonics_at_every_frequency_are_the_same_as_dummies(make_series):
    frame = make_series(96)
    fits = [
        apm.interrupted_time_series(frame, **ROLES, start=48, season=12, errors="newey_west", **options)
        for options in ({}, {"harmonics": 6})
    ]
    np.testing.assert_allclose(fits[0].table["estimate"], fits[1].table["estimate"], rtol=1e-9)
    np.testing.assert_allclose(fits[0].covariance, fits[1].covariance, rtol=1e-8)


@pytest.mark.parametrize("errors", ["ar", "newey_west"])
def test_another_event_is_a_second_break_that_stays_in_the_path_without_the_rule(make_series, errors):
    frame = make_series(80, seed=5)
    options = {**ROLES, "start": 30, "other_event": 55, "errors": errors}
    plain = apm.interrupted_time_series(frame, **options)
    later = (frame["t"] >= 55) * (7 - 0.3 * (frame["t"] - 55))
    moved = apm.interrupted_time_series(frame.assign(y=frame["y"] + later), **options)
    np.testing.assert_allclose(moved.table[["estimate", "se"]], plain.table[["estimate", "se"]], atol=1e-5)
    path, before = moved.details["series"], plain.details["series"]
    np.testing.assert_allclose(path["counterfactual"], before["counterfactual"] + later, atol=1e-4)
    coefficients = moved.details["coefficients"].set_index("term")["estimate"]
    x = np.column_stack([design(frame["t"].to_numpy(), 30), frame["t"] >= 55, (frame["t"] >= 55) * (frame["t"] - 55)])
    if errors == "newey_west":
        np.testing.assert_allclose(coefficients, np.linalg.lstsq(x, frame["y"] + later)[0], rtol=1e-8)


def test_the_series_in_details_adds_up(make_series):
    result = apm.interrupted_time_series(make_series(), **ROLES, start=30, transition=2, after=[2, 10])
    series = result.details["series"].set_index("period")
    later = series.loc[32:]
    np.testing.assert_allclose(later["fitted"] - later["counterfactual"], later["effect"], rtol=1e-9)
    np.testing.assert_allclose(series.loc[:29, "fitted"], series.loc[:29, "counterfactual"])
    assert series.loc[30:31, ["fitted", "effect"]].isna().all(axis=None)
    table = result.table.set_index("term")
    for k in (2, 10):
        row = table.loc[f"effect after {k}"]
        np.testing.assert_allclose(
            series.loc[30 + k, ["effect", "effect_low", "effect_high"]].astype(float),
            row[["estimate", "ci_low", "ci_high"]].astype(float),
        )
    np.testing.assert_allclose(table.loc["mean effect", "estimate"], later["effect"].mean(), rtol=1e-9)
    np.testing.assert_allclose(table.loc["effect after 2", "estimate"], table.loc["level change", "estimate"])


@pytest.mark.parametrize("errors", ["ar", "newey_west"])
@few
@given(seed=st.integers(0, 10_000), shift=st.sampled_from([-400, 7, 2000]), factor=st.sampled_from([-50.0, 1e-3]))
def test_order_of_rows_clock_level_and_currency_do_not_matter(make_series, errors, seed, shift, factor):
    frame = make_series(seed=seed)
    one = apm.interrupted_time_series(frame, **ROLES, start=30, errors=errors)
    moved = frame.sample(frac=1, random_state=seed).assign(t=lambda f: f["t"] + shift, y=lambda f: f["y"] * factor)
    other = apm.interrupted_time_series(moved, **ROLES, start=30 + shift, errors=errors)
    off = other.table["estimate"] - factor * one.table["estimate"]
    assert (off.abs() < 1e-5 * other.table["se"]).all()
    np.testing.assert_allclose(other.table["se"], abs(factor) * one.table["se"], rtol=1e-6)
    np.testing.assert_allclose(other.table["p_value"], one.table["p_value"], rtol=1e-4, atol=1e-12)
    raised = apm.interrupted_time_series(frame.assign(y=frame["y"] + 1e8), **ROLES, start=30, errors=errors)
    np.testing.assert_allclose(raised.table["estimate"], one.table["estimate"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(raised.table["se"], one.table["se"], rtol=1e-5)


def interrupted(**change):
    def call(make):
        frame = change.get("frame", lambda f: f)(make())
        options = {k: v for k, v in change.items() if k != "frame"}
        return apm.interrupted_time_series(frame, **{**ROLES, "start": 30, **options})

    return call


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (interrupted(outcome="cost"), ApmkitError, r"outcome='cost' is not a column of the data; .* 't', 'y'"),
        (interrupted(outcome="t"), ApmkitError, "Column 't' is both time and outcome"),
        (interrupted(frame=lambda f: f.iloc[:0]), ApmkitError, "no rows"),
        (interrupted(frame=lambda f: f.to_dict()), ApmkitError, "must be a pandas DataFrame, not dict"),
        (interrupted(frame=lambda f: pd.concat([f, f[f["t"] == 7]])), ApmkitError, "'t' repeats in 1 row, first 7"),
        (interrupted(frame=lambda f: f.assign(t=f["t"] + 0.5)), ApmkitError, "Column 't' holds 0.5: give whole"),
        (interrupted(frame=lambda f: f.assign(y=f["y"].where(f["t"] != 3))), ApmkitError, "'y' is missing in 1 of 60"),
        (interrupted(frame=lambda f: f.assign(y=3.0)), EstimationError, "does not vary around its line"),
        (interrupted(frame=lambda f: f.assign(y=1e8 + f["t"])), EstimationError, "does not vary around its line"),
        (interrupted(start=2), EstimationError, "has 2 periods before start=2 and 58 after"),
        (interrupted(start=59), EstimationError, "59 periods before start=59 and 1 after"),
        (interrupted(start=30.0), ApmkitError, "start=30.0 is not a whole number"),
        (interrupted(errors="hac"), ApmkitError, "errors='hac' is not known: give 'ar' or 'newey_west'"),
        (interrupted(lags=0), ApmkitError, "lags=0 is not a whole number of at least 1"),
        (interrupted(lags=56), EstimationError, "lags=56 is too many for 60 points and 4 coefficients"),
        (interrupted(season=1), ApmkitError, "season=1 is not a whole number of at least 2"),
        (interrupted(harmonics=2), ApmkitError, "harmonics needs season"),
        (interrupted(season=12, harmonics=7), ApmkitError, "harmonics=7 is more than half of season=12"),
        (interrupted(season=52, frame=lambda f: f.iloc[:55]), EstimationError, "55 points cannot carry 55 coeff"),
        (interrupted(after=31), ApmkitError, "after=31 is 61, past the last period 59: give at most 29"),
        (interrupted(after=1, transition=2), ApmkitError, "after=1 is not a whole number of at least 2"),
        (interrupted(level=95), ApmkitError, "level=95 is not between 0 and 1"),
        (interrupted(other_event=0), ApmkitError, "other_event=0 is not a whole number of at least 1: give its first"),
        (interrupted(other_event=30), EstimationError, "'other level change' cannot be told from the other coeff"),
        (interrupted(other_event=59), EstimationError, "'other slope change' cannot be told from the other coeff"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_sentence(make_series, call, error, words):
    with pytest.raises(error, match=words) as caught:
        call(make_series)
    assert str(caught.value).count(". ") == 0


def test_a_season_that_the_periods_cannot_tell_is_named(make_series):
    frame = make_series(60)[lambda f: f["t"] % 4 != 3]
    with pytest.raises(EstimationError, match="'season 4' cannot be told from the other coefficients"):
        apm.interrupted_time_series(frame, **ROLES, start=30, season=4)


def test_few_points_gaps_and_random_walks_are_warned_of(make_series, messages):
    _, texts = messages(lambda: apm.interrupted_time_series(make_series(37), **ROLES, start=30))
    assert any("30 points before and 7 after start=30: with fewer than 8" in text for text in texts)
    frame = make_series().drop(index=[3, 4])
    _, texts = messages(lambda: apm.interrupted_time_series(frame, **ROLES, start=30))
    assert texts == ["2 periods of 't' missing between 0 and 59: taken as gaps."]
    walk = make_series(80, seed=4, rho=1.0)
    _, texts = messages(lambda: apm.interrupted_time_series(walk, **ROLES, start=40))
    assert len(texts) == 1
    assert texts[0].startswith("The errors are close to a random walk")


def test_a_control_needs_two_groups_and_common_periods(make_series, messages):
    both = pd.concat([make_series(60).assign(area="MD"), make_series(60, seed=1).assign(area="VA")])
    roles = {**ROLES, "group": "area", "start": 30}
    with pytest.raises(ApmkitError, match="treated='DC' is not in column 'area', which holds 'MD', 'VA'"):
        apm.comparative_interrupted_time_series(both, **roles, treated="DC")
    three = pd.concat([both, make_series(60, seed=2).assign(area="DC")])
    with pytest.raises(ApmkitError, match=r"'area' holds 3 values, .* mean of several controls"):
        apm.comparative_interrupted_time_series(three, **roles, treated="MD")
    apart = both.assign(t=both["t"] + 100 * (both["area"] == "VA"))
    with (
        pytest.raises(EstimationError, match="no period of 't' in common"),
        pytest.warns(apm.DesignWarning, match="120 periods"),
    ):
        apm.comparative_interrupted_time_series(apart, **roles, treated="MD")
    short = both[(both["area"] == "MD") | (both["t"] > 1)]
    result, texts = messages(lambda: apm.comparative_interrupted_time_series(short, **roles, treated="MD"))
    assert texts == ["2 periods of 't' with one series only, first 0: left out."]
    assert result.diagnostics["left_out"]["periods with one series only"]["count"] == 2
