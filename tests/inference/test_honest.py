"""Sensitivity to trends that are not parallel."""

import json
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from scipy import optimize, special, stats

import apmkit as apm
from apmkit.errors import ApmkitError, DesignWarning
from apmkit.inference import breakdown, sensitivity
from apmkit.inference.coefficients import Coefficients
from apmkit.inference.honest import original_interval
from apmkit.inference.relative_magnitudes import _inequalities, _least_favourable, _reject
from tests.inference.event_studies import event_study, random_study, study_of_diff_diff

EXPECTED = Path(__file__).parents[1] / "expected" / "inference"
R = json.loads((EXPECTED / "honestdid.json").read_text())
PACKAGE = f"R HonestDiD {R['R_packages']['HonestDiD']}"


@pytest.fixture(scope="module")
def published():
    """Estimates of Benzarti and Carloni (2019): 2008 is the reference, treatment begins in 2009."""
    data = json.loads((EXPECTED / "BCdata_EventStudy.json").read_text())
    return event_study(np.array(data["timeVec"]) - 2009, data["betahat"], data["sigma"])


# -- agreement ---------------------------------------------------------------------------------------------------------


def test_the_interval_under_parallel_trends_is_that_of_r(published, agrees):
    (row,) = R["entries"]["honest.BC.original"]["values"]
    agrees(original_interval(published), [row["lb"], row["ub"]], within=1e-10, what="sensitivity", package=PACKAGE,
           case="honest.BC.original")  # fmt: skip


@pytest.mark.parametrize(("case", "weights"), [("honest.BC.SD", "first"), ("honest.BC.SD.avg", "average")])
def test_smoothness_intervals_are_those_of_r_up_to_its_simulated_critical_value(published, agrees, case, weights):
    rows = pd.DataFrame(R["entries"][case]["values"])
    ours = sensitivity(published, "smoothness", rows["M"], weights=weights)
    agrees(ours[["low", "high"]], rows[["lb", "ub"]], within=1e-4, what="sensitivity", package=PACKAGE, case=case)


def test_the_critical_value_that_r_simulates_explains_what_differs(published):
    # At M = 0 half-lengths are the critical value times a standard error, and HonestDiD draws with a fixed seed.
    ratios = []
    for case, weights in (("honest.BC.SD", "first"), ("honest.BC.SD.avg", "average")):
        theirs, ours = R["entries"][case]["values"][0], sensitivity(published, "smoothness", 0, weights=weights).iloc[0]
        ratios.append((theirs["ub"] - theirs["lb"]) / (ours["high"] - ours["low"]))
        assert theirs["ub"] + theirs["lb"] == pytest.approx(ours["high"] + ours["low"], abs=5e-6)
    assert ratios[0] == pytest.approx(ratios[1], abs=1e-6)
    monte_carlo = np.sqrt(0.05 * 0.95 / 1e6) / (2 * stats.norm.pdf(stats.norm.ppf(0.975)))
    assert abs(ratios[0] - 1) * stats.norm.ppf(0.975) < 3 * monte_carlo


def test_relative_magnitudes_intervals_are_those_of_r_to_a_step_of_its_grid(published, agrees):
    rows = pd.DataFrame(R["entries"]["honest.BC.RM"]["values"])
    ours = sensitivity(published, m=rows["Mbar"])
    # HonestDiD searches 1,000 points up to 20 standard errors from zero, where its last interval is cut off.
    end = 20 * published.table["se"][4]
    step = 2 * end / 999
    assert rows["ub"].iloc[-1] == pytest.approx(end, rel=1e-9)
    assert ours["high"].iloc[-1] > end + 50 * step
    ours["high"] = np.minimum(ours["high"], end)
    agrees(ours[["low", "high"]], rows[["lb", "ub"]], within=step, what="sensitivity", package=PACKAGE,
           case="honest.BC.RM")  # fmt: skip


@pytest.mark.parametrize("m", [0.0, 0.1, 0.5, 2.0])
def test_smoothness_intervals_are_as_short_as_those_of_diff_diff(agrees, m):
    import diff_diff

    results, study = study_of_diff_diff()
    theirs = diff_diff.HonestDiD(method="smoothness", M=m, l_vec=np.array([1.0, 0, 0])).fit(results)
    ours = sensitivity(study, "smoothness", m).iloc[0]
    package = f"diff-diff {diff_diff.__version__}"
    agrees(ours["high"] - ours["low"], theirs.ci_ub - theirs.ci_lb, within=1e-8, what="sensitivity", package=package,
           case=f"length, smoothness m={m}")  # fmt: skip
    # The length is flat around its minimum, so the middle is known less well.
    agrees([ours["low"], ours["high"]], [theirs.ci_lb, theirs.ci_ub], within=1e-4, what="sensitivity", package=package,
           case=f"ends, smoothness m={m}")  # fmt: skip


# -- independent computation -------------------------------------------------------------------------------------------


class Unbiased:
    """Estimators without bias under a linear trend, by free numbers, and their worst bias from a basis of bends."""

    def __init__(self, coefficients, weights):
        k, steps = coefficients.n_before, coefficients.steps
        normal = -steps[:k].astype(float)
        self.one = np.concatenate([normal * (weights @ steps[k:]) / (normal @ normal), weights])
        self.basis = np.linalg.svd(normal[None, :])[2][1:]
        self.bends = np.diff(np.insert(np.eye(len(steps)), k, 0.0, axis=0), 2, axis=0)
        self.inverse = np.linalg.pinv(self.bends.T)

    def vector(self, free):
        return self.one + np.pad(free @ self.basis, (0, len(self.one) - self.basis.shape[1]))

    def worst_bias(self, free, m):
        return m * np.abs(self.inverse @ self.vector(free)).sum()


@pytest.mark.parametrize("seed", range(6))
def test_no_general_optimiser_finds_a_shorter_smoothness_interval(seed):
    random = np.random.default_rng(seed)
    study = random_study(seed, before=seed % 3 + 1)
    coefficients = Coefficients.of(study)
    weights = random.normal(size=len(coefficients.times) - coefficients.n_before)
    estimators = Unbiased(coefficients, weights)

    def half(free, m):
        v = estimators.vector(free)
        sd = np.sqrt(v @ coefficients.covariance @ v)
        t = estimators.worst_bias(free, m) / sd
        return sd * optimize.brentq(lambda c: special.ndtr(c - t) - special.ndtr(-c - t) - 0.95, t, t + 3, xtol=1e-13)

    for m in (0.0, 0.05, 0.6):
        row = sensitivity(study, "smoothness", m, weights=weights).iloc[0]
        shortest = half(np.zeros(seed % 3), m)
        for start in random.normal(size=(3, seed % 3)) if seed % 3 else ():
            options = {"xatol": 1e-9, "fatol": 1e-13, "maxfev": 3_000}
            found = optimize.minimize(half, start, (m,), method="Nelder-Mead", options=options)
            shortest = min(shortest, found.fun)
        assert (row["high"] - row["low"]) / 2 == pytest.approx(shortest, rel=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_bias_of_an_estimator_is_that_of_a_linear_program(seed):
    coefficients = Coefficients.of(random_study(seed))
    random = np.random.default_rng(seed)
    estimators = Unbiased(coefficients, random.normal(size=len(coefficients.times) - coefficients.n_before))
    free = random.normal(size=coefficients.n_before - 1)
    bends = np.vstack([estimators.bends, -estimators.bends])
    program = optimize.linprog(-estimators.vector(free), A_ub=bends, b_ub=np.full(len(bends), 0.7), bounds=(None, None))
    assert estimators.worst_bias(free, 0.7) == pytest.approx(-program.fun, rel=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_smoothness_of_zero_extrapolates_the_linear_trend_by_generalised_least_squares(seed):
    study = random_study(seed)
    coefficients = Coefficients.of(study)
    k, n = coefficients.n_before, len(coefficients.times)
    design = np.column_stack([coefficients.steps, np.vstack([np.zeros((k, n - k)), np.eye(n - k)])])
    inverse = np.linalg.inv(coefficients.covariance)
    variance = np.linalg.inv(design.T @ inverse @ design)
    effects = variance @ design.T @ inverse @ coefficients.estimates
    half = stats.norm.ppf(0.975) * np.sqrt(variance[1, 1])
    row = sensitivity(study, "smoothness", 0).iloc[0]
    np.testing.assert_allclose([row["low"], row["high"]], [effects[1] - half, effects[1] + half], rtol=1e-6, atol=1e-6)


def moments(coefficients, largest, m):
    """Rows for |change of the violation| <= m x largest after treatment, and the matrix of the nuisance effects."""
    k = coefficients.n_before
    after = coefficients.changes[k:]
    rows = np.vstack([after - m * largest, -after - m * largest])
    return rows, np.sqrt(np.einsum("ij,jk,ik->i", rows, coefficients.covariance, rows))


def dual(y, x, sd):
    """Largest gamma'y with gamma >= 0, gamma'x = 0, gamma'sd = 1, and where."""
    program = optimize.linprog(-y, A_eq=np.vstack([x.T, sd]), b_eq=np.r_[np.zeros(x.shape[1]), 1.0])
    assert program.status == 0
    return -program.fun, program.x


@pytest.mark.parametrize("seed", range(6))
def test_the_conditional_test_is_that_of_linear_programs(seed):
    """Andrews, Roth and Pakes (2023) as they write it: programs over all moments, bounds of truncation by bisection."""
    random = np.random.default_rng(seed)
    study = random_study(seed, before=2, after=int(random.integers(2, 5)))
    coefficients, m = Coefficients.of(study), float(random.uniform(0.2, 2))
    k, covariance = 2, coefficients.covariance
    n_after = len(coefficients.times) - k
    weights = random.normal(size=n_after)
    largest = coefficients.changes[:k][seed % 2] * (1 if seed % 3 else -1)
    rows, sd = moments(coefficients, largest, m)
    two = np.vstack([np.r_[np.zeros(k), weights], largest])
    estimates = two @ coefficients.estimates
    forms = _inequalities(coefficients.changes[k:], largest, m, weights, covariance)
    others = np.linalg.svd(weights[None, :])[2][1:].T
    unit = weights / (weights @ weights)
    centre = estimates[0]
    for theta in centre + np.linspace(-3, 3, 3) * np.sqrt(two[0] @ covariance @ two[0]):
        y = rows @ (coefficients.estimates - np.r_[np.zeros(k), unit * theta])
        x = rows[:, k:] @ others
        value, gamma = dual(y, x, sd)
        statistics = forms @ [centre - theta, estimates[1]]
        assert statistics.max() == pytest.approx(value, abs=1e-9)

        spread = rows @ covariance @ rows.T
        variance = gamma @ spread @ gamma
        if variance < 1e-12:
            continue
        direction = spread @ gamma / variance
        rest = y - direction * value

        def stays(c, rest=rest, direction=direction, x=x):
            return dual(rest + direction * c, x, sd)[0] - c < 1e-9

        def bound(far, value=value, stays=stays):
            if stays(far):
                return -np.inf if far < value else np.inf
            near = value
            for _ in range(25):
                middle = (near + far) / 2
                near, far = (middle, far) if stays(middle) else (near, middle)
            return near

        low, high, critical = bound(value - 20), bound(value + 20), value + random.uniform(0.1, 3)
        high = min(high, critical)
        if not value > 0:
            assert not _reject(statistics[:, None], np.eye(len(statistics)), critical, 0.5)[0]
            continue
        tail = stats.norm.sf(value, scale=np.sqrt(variance)) - stats.norm.sf(high, scale=np.sqrt(variance))
        tail /= stats.norm.sf(low, scale=np.sqrt(variance)) - stats.norm.sf(high, scale=np.sqrt(variance))
        loadings = forms @ np.linalg.cholesky(two @ covariance @ two.T)
        for size in (tail * 0.99, tail * 1.01):
            rejected = _reject(statistics[:, None], loadings @ loadings.T, critical, size)
            assert rejected[0] == (tail < size)


def test_the_least_favourable_critical_value_is_that_of_draws():
    random = np.random.default_rng(0)
    for _ in range(5):
        loadings = random.normal(size=(6, 2))
        largest = (random.standard_normal((400_000, 2)) @ loadings.T).max(axis=1)
        critical = _least_favourable(loadings, 0.95)
        assert (largest <= critical).mean() == pytest.approx(0.95, abs=0.0015)
    # Exact where there is one direction, and its opposite.
    assert _least_favourable(np.array([[1.0, 0.0], [-1.0, 0.0]]), 0.95) == pytest.approx(1.959963984540054, abs=1e-6)


# -- properties --------------------------------------------------------------------------------------------------------

KINDS = ["relative_magnitudes", "smoothness"]


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-6, 0.5, 1e6]), kind=st.sampled_from(KINDS))
@settings(max_examples=15, deadline=None)
def test_intervals_follow_the_currency_the_sign_and_no_order_of_rows(seed, scale, kind):
    study = random_study(seed)
    m = np.array([0.3])
    row = sensitivity(study, kind, m).iloc[0]
    times, values, covariance = study.table["relative_time"], study.table["estimate"], study.covariance.to_numpy()
    in_units = m * scale if kind == "smoothness" else m
    other = sensitivity(event_study(times, values * scale, covariance * scale**2), kind, in_units).iloc[0]
    np.testing.assert_allclose(other[["low", "high"]] / scale, row[["low", "high"]], rtol=1e-5, atol=1e-6)
    mirrored = sensitivity(event_study(times, -values, covariance), kind, m).iloc[0]
    np.testing.assert_allclose([-mirrored["high"], -mirrored["low"]], [row["low"], row["high"]], rtol=1e-5, atol=1e-6)
    negative = sensitivity(study, kind, m, weights={0: -1.0}).iloc[0]
    np.testing.assert_allclose([-negative["high"], -negative["low"]], [row["low"], row["high"]], rtol=1e-5, atol=1e-6)
    order = np.random.default_rng(seed).permutation(len(times))
    shuffled = event_study(times.to_numpy()[order], values.to_numpy()[order], covariance[np.ix_(order, order)])
    np.testing.assert_allclose(sensitivity(shuffled, kind, m).iloc[0], row, rtol=1e-9)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_larger_violations_give_longer_intervals(seed):
    study = random_study(seed)
    for kind in KINDS:
        table = sensitivity(study, kind, [0, 0.1, 0.5, 2])
        assert (np.diff(table["high"] - table["low"]) > -1e-9).all()


def test_no_violation_of_relative_magnitudes_is_the_interval_of_parallel_trends(published):
    for weights in ("first", "average", [0, 1, 0, -1]):
        row = sensitivity(published, m=0, weights=weights).iloc[0]
        np.testing.assert_allclose(row[["low", "high"]], original_interval(published, weights=weights), atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_enters_the_interval_at_the_breakdown_value_and_not_before(published, kind):
    m = breakdown(published, kind)
    table = sensitivity(published, kind, [0.9999 * m, 1.0001 * m])
    assert table["low"][0] > 0 > table["low"][1]


def test_breakdown_is_zero_where_the_interval_holds_zero_anyway():
    study = event_study([-2, 0], [0.1, 0.2], np.eye(2))
    assert breakdown(study) == breakdown(study, "smoothness") == 0.0


def test_weights_can_be_a_mapping_a_word_or_numbers(published):
    first = sensitivity(published, m=1)
    pd.testing.assert_frame_equal(sensitivity(published, m=1, weights={0: 1.0}), first)
    pd.testing.assert_frame_equal(sensitivity(published, m=1, weights=[1, 0, 0, 0]), first)
    average = sensitivity(published, m=1, weights="average")
    pd.testing.assert_frame_equal(sensitivity(published, m=1, weights=[0.25] * 4), average)
    assert not np.allclose(average, first)


def test_the_default_bounds_start_at_none_and_reach_what_the_data_allow(published):
    assert sensitivity(published)["m"].tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
    bounds = sensitivity(published, "smoothness")["m"]
    before = np.append(published.table["estimate"][:4], 0.0)
    assert bounds[0] == 0
    assert bounds.iloc[-1] > np.abs(np.diff(before, 2)).max()
    single = event_study([-2, 0], [0.1, 2.0], [[0.25, 0.1], [0.1, 0.25]])
    assert sensitivity(single, "smoothness")["m"].iloc[-1] == 0.5


# -- estimators --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def panel():
    random = np.random.default_rng(5)
    unit, year = np.repeat(np.arange(150), 7), np.tile(np.arange(2017, 2024), 150)
    frame = pd.DataFrame({"unit": unit, "year": year, "start": np.array([2020, np.nan])[unit % 2]})
    frame["visits"] = random.normal(size=len(frame)) + 2.0 * (year >= frame["start"])
    return apm.Panel(frame, unit="unit", time="year", outcome="visits", cohort="start")


def test_event_studies_with_a_reference_period_are_taken_and_changes_from_year_to_year_refused(panel):
    universal = apm.callaway_santanna(panel, base_period="universal").aggregate("event")
    table = universal.sensitivity(m=[0, 1])
    pd.testing.assert_frame_equal(table, sensitivity(universal, m=[0, 1]))
    assert (table["low"] < 2).all()
    assert (table["high"] > 2).all()
    study = apm.event_study(panel)
    np.testing.assert_allclose(study.table["estimate"], universal.table["estimate"])
    np.testing.assert_allclose(study.sensitivity(m=1)[["low", "high"]], table[["low", "high"]].iloc[1:], rtol=0.02)
    with pytest.raises(ApmkitError, match="base_period='universal'"):
        apm.callaway_santanna(panel).aggregate("event").sensitivity()


def test_a_row_of_zeros_for_the_reference_is_accepted():
    plain = event_study([-3, -2, 0], [0.1, 0.2, 1.0], np.eye(3))
    covariance = np.zeros((4, 4))
    covariance[np.ix_([0, 1, 3], [0, 1, 3])] = np.eye(3)
    pd.testing.assert_frame_equal(
        sensitivity(event_study([-3, -2, -1, 0], [0.1, 0.2, 0.0, 1.0], covariance)), sensitivity(plain)
    )


def test_with_anticipation_the_reference_is_earlier():
    diagnostics = {"anticipation": 1}
    early = event_study([-4, -3, -1, 0, 1], [0.1, 0.2, 0.3, 1.0, 1.1], np.eye(5), diagnostics=diagnostics)
    plain = event_study([-3, -2, 0, 1, 2], [0.1, 0.2, 0.3, 1.0, 1.1], np.eye(5))
    for kind in KINDS:
        pd.testing.assert_frame_equal(sensitivity(early, kind, 1), sensitivity(plain, kind, 1, weights={1: 1.0}))


GOOD = event_study([-3, -2, 0, 1], [0.1, 0.2, 1.0, 1.1], np.eye(4))
SINGULAR = np.ones((3, 3))
UNTIMED = replace(GOOD, table=GOOD.table.drop(columns="relative_time"))


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        (GOOD, {"kind": "linear"}, "kind='linear' is not known"),
        (GOOD, {"m": -1}, "m=-1 cannot bound"),
        (GOOD, {"m": [0, np.nan]}, "m=nan cannot bound"),
        (GOOD, {"m": []}, "must be one number or a list"),
        (GOOD, {"m": "much"}, "m must hold numbers only"),
        (event_study([-2.5, 0], [0, 1.0], np.eye(2)), {}, "Relative time -2.5 is not a whole number"),
        (GOOD, {"level": 1.5}, "level=1.5 is not between"),
        (GOOD, {"weights": "last"}, "weights='last' is not known"),
        (GOOD, {"weights": [1.0]}, "2 finite numbers"),
        (GOOD, {"weights": [0, 0]}, "not all zero"),
        (GOOD, {"weights": [np.inf, 0]}, "finite numbers"),
        (GOOD, {"weights": {5: 1.0}}, "relative time 5, which has no effect"),
        (event_study([0, 1], [1.0, 1.1], np.eye(2)), {}, "no coefficient before the reference"),
        (event_study([-3, -2], [1.0, 1.1], np.eye(2)), {}, "no coefficient after the reference"),
        (event_study([-4, -2, 0], [0, 1.0, 1.1], np.eye(3)), {}, "is missing: -3"),
        (event_study([-4, -2, 0, 2], [0, 0.1, 1.0, 1.1], np.eye(4)), {}, "is missing: -3"),
        (event_study([-2, -2, 0], [0, 1.0, 1.1], np.eye(3)), {}, "occurs twice: -2"),
        (event_study([-2, -1, 0], [0, 1.0, 1.1], np.eye(3)), {}, "-1 has an estimate of its own"),
        (event_study([-3, -2, 0], [0, 1.0, 1.1], SINGULAR), {}, "is singular"),
        (event_study([-3, -2, 0], [0, 1.0, 1.1], np.diag([1.0, 0, 1])), {}, "is singular"),
        (event_study([-3, -2, 0], [0, 1.0, 1.1], np.full((3, 3), np.nan)), {}, "no covariance"),
        (GOOD.with_level(0.9).term("time 0"), {}, "no coefficient before"),
        (UNTIMED, {}, "not an event study"),
        ("results", {}, "An Estimate is needed, not str"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_one_sentence(study, options, message):
    with pytest.raises(ApmkitError, match=message) as raised:
        sensitivity(study, **options)
    assert str(raised.value).count(". ") == 0


def test_few_clusters_are_warned_of():
    with pytest.warns(DesignWarning, match="19 clusters stand behind"):
        sensitivity(event_study([-3, -2, 0, 1], [0.1, 0.2, 1.0, 1.1], np.eye(4), n_clusters=19), m=1)


# -- simulation --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "m"), [("relative_magnitudes", 1.0), ("smoothness", 0.4)])
@pytest.mark.parametrize("violation", ["worst", "none", "random"])
def test_intervals_cover_the_effect_at_their_level_under_violations_within_the_bound(kind, m, violation):
    random = np.random.default_rng(11)
    times = [-4, -3, -2, 0, 1]
    root = random.normal(size=(5, 7))
    covariance = root @ root.T / 20
    covered = 0
    for _ in range(1_000):
        if violation == "none":
            delta = np.zeros(5)
        elif kind == "smoothness":
            bends = np.full(4, m) if violation == "worst" else random.uniform(-m, m, 4)
            path = np.r_[0, np.cumsum(np.r_[0.3, 0.3 + np.cumsum(bends)])]
            delta = np.delete(path - path[3], 3)
        else:
            before = np.array([0.5, -0.8, 0.6]) if violation == "worst" else random.normal(size=3)
            after = m * np.abs(before).max() * (np.ones(2) if violation == "worst" else random.uniform(-1, 1, 2))
            path = np.r_[0, np.cumsum(np.r_[before, after])]
            delta = np.delete(path - path[3], 3)
        estimates = delta + np.array([0, 0, 0, 1.0, 2.0]) + random.multivariate_normal(np.zeros(5), covariance)
        row = sensitivity(event_study(times, estimates, covariance), kind, m, weights="average").iloc[0]
        covered += row["low"] <= 1.5 <= row["high"]
    assert covered >= 940
