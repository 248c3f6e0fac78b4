"""Instrumental variables agree with linearmodels, R and dense algebra; the Anderson-Rubin set with a grid."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

import apmkit as apm
from apmkit.designs.instrumental_variables import in_words
from apmkit.errors import ApmkitError, EstimationError

few = settings(
    max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ROLES = {"outcome": "y", "treatment": "d"}
KINDS = {"unadjusted": {"errors": "unadjusted"}, "robust": {"errors": "robust"}, "cluster": {"cluster": "group"}}
every_kind = pytest.mark.parametrize("kind", KINDS)
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def card():
    from linearmodels.datasets import card

    frame = card.load()
    controls = ["exper", "expersq", "black", "smsa", "south", "smsa66", *(f"reg66{i}" for i in range(2, 10))]
    return frame, controls


def parts(frame, instruments, controls):
    ones = np.column_stack([np.ones(len(frame)), frame[controls]])
    return frame["y"].to_numpy(), frame["d"].to_numpy(), frame[instruments].to_numpy(), ones


def meat(rows, frame, kind):
    """Sum of products of rows, or of their sums within clusters."""
    if kind == "cluster":
        rows = pd.get_dummies(frame["group"], dtype=float).to_numpy().T @ rows
    return rows.T @ rows


def anderson_rubin(frame, instruments, controls, kind, beta):
    """p-value of the instruments in the regression of y - beta d on instruments and controls, by dense algebra."""
    y, d, z, ones = parts(frame, instruments, controls)
    x = np.column_stack([z, ones])
    n, k, q = *x.shape, z.shape[1]
    r = y - beta * d
    bread = np.linalg.inv(x.T @ x)
    b = bread @ x.T @ r
    e = r - x @ b
    if kind == "unadjusted":
        v, df = bread * (e @ e) / (n - k), n - k
    else:
        v, df = bread @ meat(x * e[:, None], frame, kind) @ bread * n / (n - k), n - k
        if kind == "cluster":
            g = frame["group"].nunique()
            v, df = v * (n - 1) / n * g / (g - 1), g - 1
    return stats.f.sf(b[:q] @ np.linalg.solve(v[:q, :q], b[:q]) / q, q, df)


@every_kind
@pytest.mark.parametrize("instruments", [["z0"], ["z0", "z1"]])
@pytest.mark.parametrize("method", ["2sls", "liml"])
def test_estimate_and_tests_are_those_of_linearmodels(agrees, make_encouraged, kind, instruments, method):
    from linearmodels.iv import IV2SLS, IVGMM, IVLIML

    frame = make_encouraged()
    ours = apm.instrumental_variables(
        frame, **ROLES, instruments=instruments, controls="w", method=method, **KINDS[kind]
    )
    options = {"cov_type": "clustered", "clusters": frame["group"]} if kind == "cluster" else {"cov_type": kind}
    arguments = frame["y"], frame[["w"]].assign(one=1.0), frame["d"], frame[instruments]
    fit = {"2sls": IV2SLS, "liml": IVLIML}[method](*arguments).fit(debiased=True, **options)
    row, found = ours.table.iloc[0], ours.diagnostics
    pairs = [(row["estimate"], fit.params["d"]), (row["se"], fit.std_errors["d"])]
    hausman = fit.wu_hausman() if kind == "unadjusted" else fit.wooldridge_regression
    pairs += [(found["wu_hausman_p"], hausman.pval)]
    if len(instruments) > 1:
        weights = {"weight_type": "clustered", "clusters": frame["group"]} if kind == "cluster" else {}
        j = fit.sargan if kind == "unadjusted" else IVGMM(*arguments, **weights).fit().j_stat
        pairs += [(found["overidentification_p"], j.pval)]
    agrees(*zip(*pairs, strict=True), within=1e-9, what="instrumental_variables", package="linearmodels",
           case=f"{method}, {kind}, {len(instruments)} instruments")  # fmt: skip


@every_kind
def test_two_stage_least_squares_is_the_dense_formula(make_encouraged, kind):
    frame = make_encouraged()
    result = apm.instrumental_variables(frame, **ROLES, instruments=["z0", "z1"], controls=["w"], **KINDS[kind])
    y, d, z, ones = parts(frame, ["z0", "z1"], ["w"])
    x, everything = np.column_stack([ones, d]), np.column_stack([ones, z])
    fitted = everything @ np.linalg.lstsq(everything, x, rcond=None)[0]
    bread = np.linalg.inv(fitted.T @ x)
    beta = bread @ fitted.T @ y
    e, (n, k) = y - x @ beta, x.shape
    middle = fitted.T @ fitted * (e @ e) / n if kind == "unadjusted" else meat(fitted * e[:, None], frame, kind)
    factor = n / (n - k) * ((n - 1) / n * 30 / 29 if kind == "cluster" else 1)
    covariance = factor * bread @ middle @ bread
    row = result.table.iloc[0]
    np.testing.assert_allclose([row["estimate"], row["se"]], [beta[-1], covariance[-1, -1] ** 0.5], rtol=1e-9)
    df = 29 if kind == "cluster" else n - k
    np.testing.assert_allclose(row["p_value"], 2 * stats.t.sf(abs(row["estimate"] / row["se"]), df), rtol=1e-9)


@every_kind
@pytest.mark.parametrize("strength", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("count", [1, 3])
def test_the_anderson_rubin_set_is_that_of_a_grid(make_encouraged, kind, strength, count):
    instruments = [f"z{j}" for j in range(count)]
    for seed in range(2):
        frame = make_encouraged(120, seed, strength, instruments=count)
        result = apm.instrumental_variables(frame, **ROLES, instruments=instruments, controls="w", **KINDS[kind])
        intervals = result.details["anderson_rubin"].to_numpy()
        grid = np.concatenate([np.linspace(-8, 8, 41), [-1e5, 1e5]])
        ends = intervals[np.isfinite(intervals)]
        inside = np.array([((beta >= intervals[:, 0]) & (beta <= intervals[:, 1])).any() for beta in grid])
        accepted = np.array([anderson_rubin(frame, instruments, ["w"], kind, beta) for beta in grid]) >= 0.05
        assert (inside == accepted).all()
        at_ends = [anderson_rubin(frame, instruments, ["w"], kind, beta) for beta in ends]
        np.testing.assert_allclose(at_ends, 0.05, rtol=1e-6)
        np.testing.assert_allclose(
            result.diagnostics["anderson_rubin_p"], anderson_rubin(frame, instruments, ["w"], kind, 0.0), rtol=1e-8
        )


def test_the_set_can_be_one_interval_two_rays_the_line_or_empty(make_encouraged):
    shapes = set()
    for seed in range(9):
        for strength in (0.0, 0.1, 0.5):
            frame = make_encouraged(100, seed, strength)
            frame["y"] += 0.4 * frame["z0"] * (seed % 3 == 0) * 3  # an instrument that is not valid
            result = apm.instrumental_variables(frame, **ROLES, instruments=["z0", "z1"], errors="unadjusted")
            intervals = result.details["anderson_rubin"].to_numpy()
            shapes.add((len(intervals), int(np.isfinite(intervals).sum())))
    assert {(0, 0), (1, 0), (1, 2), (2, 2)} <= shapes


@pytest.mark.parametrize(
    ("intervals", "words"),
    [
        ([], "95% Anderson-Rubin set: empty; no effect fits all instruments, so at least one is not valid"),
        ([(0.5, 1.25)], "95% Anderson-Rubin set: 0.5 to 1.25"),
        ([(-np.inf, np.inf)], "95% Anderson-Rubin set: every number; the instruments say nothing about the effect"),
        ([(1.0, 2.0), (3.0, np.inf)],
         "95% Anderson-Rubin set: 1 to 2 and above 3; the instruments are too weak to bound the effect"),
    ],
)  # fmt: skip
def test_the_set_is_said_in_words(intervals, words):
    assert in_words(intervals, 0.95) == words


def test_one_strong_instrument_gives_the_classical_first_stage(agrees, make_encouraged):
    import statsmodels.api as sm

    frame = make_encouraged()
    result = apm.instrumental_variables(frame, **ROLES, instruments=["z0", "z1"], controls="w", errors="unadjusted")
    x = sm.add_constant(frame[["z0", "z1", "w"]])
    fit = sm.OLS(frame["d"], x).fit()
    f = fit.f_test("z0 = 0, z1 = 0").fvalue
    columns = ["estimate", "se", "p_value"]
    stage = result.details["first_stage"][columns].to_numpy()
    theirs = np.column_stack([fit.params, fit.bse, fit.pvalues])[1:3]
    agrees(stage, theirs, within=1e-9, what="instrumental_variables", package="statsmodels OLS", case="first stage")
    np.testing.assert_allclose([result.diagnostics["effective_f"], result.diagnostics["first_stage_f"]], f, rtol=1e-9)


def test_effective_f_is_the_sum_of_squares_over_the_trace_of_its_variance(make_encouraged):
    frame = make_encouraged(instruments=3)
    names = ["z0", "z1", "z2"]
    result = apm.instrumental_variables(frame, **ROLES, instruments=names, controls="w")
    _, d, z, ones = parts(frame, names, ["w"])
    residual = np.eye(len(d)) - ones @ np.linalg.inv(ones.T @ ones) @ ones.T
    z, d = residual @ z, residual @ d
    values, vectors = np.linalg.eigh(z.T @ z)
    z = z @ vectors / np.sqrt(values)  # orthonormal by another way
    pi = z.T @ d
    v = d - z @ pi
    spread = (z * v[:, None]).T @ (z * v[:, None]) * len(d) / (len(d) - 5)
    np.testing.assert_allclose(result.diagnostics["effective_f"], pi @ pi / np.trace(spread), rtol=1e-9)
    # Noncentral chi-square with the mean and the noncentrality of the worst case (Montiel Olea & Pflueger, eq. 8).
    draws = np.random.default_rng(0)
    k = (
        np.trace(spread) ** 2
        * 21
        / (np.trace(spread @ spread) + 20 * np.trace(spread) * np.linalg.eigvalsh(spread)[-1])
    )
    simulated = np.quantile(draws.noncentral_chisquare(k, 10 * k, 400_000) / k, 0.95)
    np.testing.assert_allclose(result.diagnostics["effective_f_critical"], simulated, rtol=5e-3)


CARD = {"one instrument": ["nearc4"], "two instruments": ["nearc4", "nearc2"]}


@pytest.mark.parametrize("case", ["one instrument", "two instruments"])
@pytest.mark.parametrize("controlled", [True, False])
def test_returns_to_schooling_are_those_of_r(expected, agrees, card, case, controlled):
    frame, controls = card
    entry = expected["ivmodel.card"]
    values = entry[case + (", controls" if controlled else "")]
    roles = {"outcome": "lwage", "treatment": "educ", "instruments": CARD[case], "errors": "unadjusted",
             "controls": controls if controlled else []}  # fmt: skip
    words = {"what": "instrumental_variables", "package": entry["source"]}
    result = apm.instrumental_variables(frame, **roles)
    # Within 1e-6: the wages that linearmodels ships are rounded to six decimals.
    agrees(result.details["anderson_rubin"], values["ar_ci"], within=1e-6, case=f"Card, {case}, set", **words)
    if "ar_p" in values:
        agrees(result.diagnostics["anderson_rubin_p"], values["ar_p"], within=1e-6, case=f"Card, {case}, p", **words)
    for method in {"tsls", "liml"} & set(values):
        result = apm.instrumental_variables(frame, method=method.replace("tsls", "2sls"), **roles)
        ours = result.table[["estimate", "se", "p_value"]]
        agrees(ours, values[method], within=1e-6, case=f"Card, {case}, {method}", **words)


@every_kind
@few
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([-100.0, 0.01]))
def test_order_of_rows_units_of_measure_and_level_do_not_matter(make_encouraged, kind, seed, factor):
    frame = make_encouraged(seed=seed)
    roles = {**ROLES, "instruments": ["z0", "z1"], "controls": "w", **KINDS[kind]}
    one = apm.instrumental_variables(frame, **roles)
    moved = frame.sample(frac=1, random_state=seed).assign(
        y=lambda f: f["y"] * factor + 1e8 * abs(factor),
        z0=lambda f: 1e6 + 30 * f["z0"],
        group=lambda f: 900 - f["group"],
    )
    other = apm.instrumental_variables(moved, **roles)
    np.testing.assert_allclose(other.table["estimate"], factor * one.table["estimate"], rtol=1e-6)
    np.testing.assert_allclose(other.table["se"], abs(factor) * one.table["se"], rtol=1e-6)
    np.testing.assert_allclose(other.diagnostics["effective_f"], one.diagnostics["effective_f"], rtol=1e-8)
    intervals = np.sort(other.details["anderson_rubin"] / factor, axis=None)
    np.testing.assert_allclose(intervals, np.sort(one.details["anderson_rubin"], axis=None), rtol=1e-5)


def test_weak_instruments_are_warned_of(make_encouraged, messages):
    frame = make_encouraged(strength=0.02)
    _, texts = messages(lambda: apm.instrumental_variables(frame, **ROLES, instruments="z0"))
    assert len(texts) == 1
    assert "Weak instruments: the effective F of z0 is" in texts[0]
    assert "below 23.1" in texts[0]


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        ({}, {"instruments": []}, ApmkitError, "instruments is empty"),
        ({}, {"instruments": "nearby"}, ApmkitError, "instruments='nearby' is not a column"),
        ({}, {"instruments": "d"}, ApmkitError, "'d' is both treatment and instruments: give it one role"),
        ({"z0": 1.0}, {}, ApmkitError, "Column 'z0' does not vary"),
        ({"d": 1.0}, {}, ApmkitError, "Column 'd' does not vary"),
        ({"y": 1e8}, {}, EstimationError, "Column 'y' does not vary"),
        ({"z1": lambda f: 3 * f["z0"] - 2 * f["w"]}, {"instruments": ["z0", "z1"]}, ApmkitError,
         "Column 'z1' is a sum of multiples of the columns before it"),
        ({"z0": lambda f: f["w"] + 5}, {}, ApmkitError, "Column 'z0' is a sum of multiples"),
        ({"d": lambda f: 2 * f["w"]}, {}, EstimationError, "Column 'd' follows from the controls"),
        ({"w": lambda f: f["w"].mask(f.index == 9)}, {}, ApmkitError, "Column 'w' is missing in 1 of 300 rows"),
        ({"w": lambda f: f["w"].mask(f.index == 9, np.inf)}, {}, ApmkitError, "Column 'w' holds inf at index 9"),
        ({"group": 1}, {"cluster": "group"}, ApmkitError, "'group' holds one cluster, 1"),
        ({"group": lambda f: f["group"] % 2}, {"cluster": "group", "instruments": ["z0", "z1"]}, EstimationError,
         "2 clusters cannot carry 2 instruments"),
        ({"z0": lambda f: 2 * f["d"]}, {}, EstimationError, "Instruments and controls determine 'd' exactly"),
        ({"z0": np.tile([1.0, -1.0], 150), "d": np.repeat([1.0, -1.0], 150)}, {"controls": []}, EstimationError,
         "The instruments do not move 'd' at all"),
        ({}, {"method": "gmm"}, ApmkitError, "method='gmm' is not known"),
        ({}, {"errors": "hac"}, ApmkitError, "errors='hac' is not known"),
        ({}, {"level": 95}, ApmkitError, "level=95 is not between 0 and 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(make_encouraged, change, options, error, words):
    frame = make_encouraged().assign(**change)
    with pytest.raises(error, match=words):
        apm.instrumental_variables(frame, **{**ROLES, "instruments": "z0", "controls": "w", **options})


def test_a_few_rows_are_refused(make_encouraged):
    with pytest.raises(EstimationError, match="4 rows cannot carry 2 instruments and 3 coefficients"):
        apm.instrumental_variables(make_encouraged().iloc[:4], **ROLES, instruments=["z0", "z1"], controls="w")
