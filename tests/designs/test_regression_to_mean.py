"""The fall expected from selection agrees with its formula, with estimating equations and with simulation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

import apmkit as apm
from apmkit.errors import ApmkitError, EstimationError

few = settings(
    max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ROLES = {"before": "y1", "after": "y2"}
REFERENCES = ["earlier_selection", "earlier_line", "not_selected", "normal"]


def years(n=2000, seed=0, lasting=2.0, passing=2.0, effect=0.0, threshold=13.0):
    random = np.random.default_rng(seed)
    base = random.normal(10, lasting, size=n)
    y = base[:, None] + random.normal(0, passing, size=(n, 3))
    y[:, 2] += effect * (y[:, 1] > threshold)
    return pd.DataFrame(y, columns=["y0", "y1", "y2"]).assign(clinic=np.arange(n) % 50)


def test_the_normal_formula_is_the_mean_fall_of_a_bivariate_normal():
    """Barnett et al.: against numerical integration over the values above the threshold."""
    frame = years()
    x = frame["y1"]
    result = apm.regression_to_the_mean(frame, **ROLES, threshold=13, reliability=0.6, reference="normal")
    density = stats.norm(x.mean(), x.std(ddof=0)).pdf
    above = integrate.quad(density, 13, 40)[0]
    fall = integrate.quad(lambda v: (1 - 0.6) * (v - x.mean()) * density(v), 13, 40)[0] / above
    np.testing.assert_allclose(result.table["estimate"][1], -fall, rtol=1e-8)
    np.testing.assert_allclose(result.table["estimate"][0], (frame["y2"] - x)[x > 13].mean(), rtol=1e-10)


def test_lines_are_those_of_least_squares(agrees):
    import statsmodels.formula.api as smf

    frame = years(effect=-1.0)
    chosen = frame["y1"] > 13
    at = pd.DataFrame({column: [frame["y1"][chosen].mean()] for column in ("y0", "y1")})
    fits = {"earlier_line": smf.ols("y1 ~ y0", frame).fit(),
            "not_selected": smf.ols("y2 ~ y1", frame[~chosen]).fit()}  # fmt: skip
    result = apm.regression_to_the_mean(frame, **ROLES, threshold=13, earlier="y0")
    rows = result.details["references"].set_index("reference")
    for name, fit in fits.items():
        agrees(rows.loc[name, "expected"], (fit.predict(at) - at["y1"])[0], within=1e-10, package="statsmodels OLS",
               what="regression_to_the_mean", case=name)  # fmt: skip
    then = frame["y0"] > 13
    np.testing.assert_allclose(rows.loc["earlier_selection", "expected"], (frame["y1"] - frame["y0"])[then].mean())
    np.testing.assert_allclose(rows["remaining"] + rows["expected"], result.table["estimate"][0])


def stacked(name, frame, chosen, threshold):
    """Estimating equations of observed and expected change and all they use."""
    p, x, y = (frame[column].to_numpy() for column in ("y0", "y1", "y2"))
    s = chosen.to_numpy() * 1.0

    def equations(theta):
        observed, expected = theta[:2]
        columns = [s * (y - x - observed)]
        if name == "earlier_selection":
            columns += [(p > threshold) * (x - p - expected)]
        elif name == "normal":
            mean, sd, m0, sd0, r = theta[2:]
            z = (threshold - mean) / sd
            fall = (1 - r) * sd * stats.norm.pdf(z) / stats.norm.sf(z)
            columns += [np.full(len(x), expected + fall), x - mean, (x - mean) ** 2 - sd**2, p - m0,
                        (p - m0) ** 2 - sd0**2, (p - m0) * (x - mean) - r * sd * sd0]  # fmt: skip
        else:
            a, b, centre = theta[2:]
            u, v, w = (p, x, np.ones(len(x))) if name == "earlier_line" else (x, y, 1 - s)
            e = w * (v - a - b * (u - 10))
            columns += [np.full(len(x), expected - (a + b * (centre - 10) - centre)), e, e * (u - 10), s * (x - centre)]
        return np.column_stack(columns)

    start = {"earlier_selection": [0, 0], "normal": [-2, -2, 10, 3, 10, 3, 0.5]}.get(name, [-2, -2, 10, 0.5, 14])
    return equations, np.array(start, dtype=float)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("cluster", [None, "clinic"])
def test_standard_errors_are_the_sandwich_of_all_estimating_equations(name, cluster):
    frame = years(800, seed=3, effect=-0.5)
    options = {"threshold": 13, "earlier": "y0", "reference": name, "cluster": cluster}
    result = apm.regression_to_the_mean(frame, **ROLES, **options)
    equations, start = stacked(name, frame, frame["y1"] > 13, 13)
    solution = optimize.root(lambda theta: equations(theta).mean(axis=0), start, tol=1e-13).x
    np.testing.assert_allclose(result.table["estimate"][:2], solution[:2], rtol=1e-7)
    steps = 1e-5 * np.eye(len(start))
    slope = np.column_stack([(equations(solution + h) - equations(solution - h)).sum(axis=0) / 2e-5 for h in steps])
    influence = np.linalg.solve(slope, equations(solution).T)[:2].T
    if cluster:
        influence = pd.DataFrame(influence).groupby(frame["clinic"].to_numpy()).sum().to_numpy() * (50 / 49) ** 0.5
    covariance = influence.T @ influence
    np.testing.assert_allclose(result.covariance.iloc[:2, :2], covariance, rtol=1e-6, atol=1e-9)
    turn = np.array([[1, 0], [0, 1], [1, -1]])
    np.testing.assert_allclose(result.covariance, turn @ covariance @ turn.T, rtol=1e-5, atol=1e-9)
    row = result.details["references"].set_index("reference").loc[name]
    np.testing.assert_allclose([row["remaining"], row["se"]], result.table.loc[2, ["estimate", "se"]].astype(float))


def test_without_a_programme_the_whole_fall_is_selection_and_with_one_the_effect_remains():
    frame = years(200_000, effect=-1.0)
    rows = apm.regression_to_the_mean(frame, **ROLES, threshold=13, earlier="y0").details["references"]
    assert rows["reference"].tolist() == REFERENCES
    assert (abs(rows["remaining"] + 1) < 4 * rows["se"]).all()
    assert (rows["expected"] < -1.5).all()


def test_a_curve_bends_the_line_but_not_the_earlier_selection():
    """Log-normal spending: the placebo selection needs no shape."""
    frame = years(400_000).pipe(lambda f: np.exp(f[["y0", "y1", "y2"]] / 4))
    rows = apm.regression_to_the_mean(frame, **ROLES, threshold=30, earlier="y0").details["references"]
    z = (rows["remaining"] / rows["se"]).abs().to_numpy()
    assert z[0] < 3
    assert z[3] > 10


def test_a_column_of_the_selected_stands_in_for_the_threshold():
    frame = years().assign(joined=lambda f: (f["y1"] > 13) * 1)
    one = apm.regression_to_the_mean(frame, **ROLES, threshold=13, reference="not_selected")
    other = apm.regression_to_the_mean(frame, **ROLES, selected="joined")
    pd.testing.assert_frame_equal(one.table, other.table)
    earlier = apm.regression_to_the_mean(frame, **ROLES, selected="joined", earlier="y0")
    assert earlier.diagnostics["reference"] == "earlier_line"
    assert earlier.details["references"]["reference"].tolist() == ["earlier_line", "not_selected"]


@pytest.mark.parametrize("reference", REFERENCES)
@few
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_currency_and_level_do_not_matter(reference, seed):
    frame = years(500, seed=seed)
    options = {**ROLES, "earlier": "y0", "reference": reference}
    one = apm.regression_to_the_mean(frame, **options, threshold=12)
    moved = frame.sample(frac=1, random_state=seed)
    moved[["y0", "y1", "y2"]] = moved[["y0", "y1", "y2"]] * 100 + 1e8
    other = apm.regression_to_the_mean(moved, **options, threshold=12 * 100 + 1e8)
    np.testing.assert_allclose(other.table["estimate"], 100 * one.table["estimate"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(other.table["se"], 100 * one.table["se"], rtol=1e-5)
    again = one.table["estimate"]
    np.testing.assert_allclose(again[2], again[0] - again[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        ({}, {"threshold": None}, ApmkitError, "Give threshold or selected, one of them"),
        ({"s": 1}, {"selected": "s"}, ApmkitError, "Give threshold or selected, one of them"),
        ({}, {"threshold": 100}, EstimationError, "0 units with 'y1' above 100: two are needed; change the rule"),
        ({}, {"threshold": -100}, EstimationError, "All units have 'y1' above -100: give earlier"),
        ({}, {"reliability": 1.5}, ApmkitError, "reliability=1.5 is not from 0 to below 1"),
        ({}, {"reference": "placebo"}, ApmkitError, "reference='placebo' is not known: give one of earlier_selection"),
        ({}, {"reference": "earlier_line"}, EstimationError,
         "reference='earlier_line' .* cannot be had from these data, which allow not_selected"),
        ({"y1": 5.0}, {"threshold": 1}, EstimationError, "Column 'y1' does not vary"),
        ({"y0": 5.0}, {"earlier": "y0"}, EstimationError, "Column 'y0' does not vary"),
        ({"y2": lambda f: f["y2"].mask(f.index == 4)}, {}, ApmkitError, "Column 'y2' is missing in 1 of 2,000 rows"),
        ({}, {"before": "y2"}, ApmkitError, "Column 'y2' is both before and after"),
        ({"clinic": 1}, {"cluster": "clinic"}, ApmkitError, "'clinic' holds one cluster"),
        ({"s": 2}, {"selected": "s", "threshold": None}, ApmkitError, "Column 's' holds 2: give 1 for the treated"),
        ({}, {"level": 95}, ApmkitError, "level=95 is not between 0 and 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(change, options, error, words):
    with pytest.raises(error, match=words):
        apm.regression_to_the_mean(years().assign(**change), **{**ROLES, "threshold": 13, **options})


def test_selection_of_low_values_is_warned_of(messages):
    frame = years().assign(joined=lambda f: (f["y1"] < 8) * 1)
    _, texts = messages(lambda: apm.regression_to_the_mean(frame, **ROLES, selected="joined"))
    assert len(texts) == 1
    assert "below that of all units" in texts[0]
