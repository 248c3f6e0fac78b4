"""Weighting agrees with statsmodels and with dense estimating equations; balance is exact where promised."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import optimize, special

import apmkit as apm
from apmkit.errors import ApmkitError, EstimationError

few = settings(
    max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ROLES = {"outcome": "cost", "treatment": "joined", "covariates": ["risk", "age", "sex"]}
ESTIMATORS = {
    "ipw ATT": lambda frame, **o: apm.inverse_probability_weighting(frame, **{**ROLES, **o}),
    "ipw ATE": lambda frame, **o: apm.inverse_probability_weighting(frame, **{**ROLES, "estimand": "ATE", **o}),
    "aipw ATT": lambda frame, **o: apm.augmented_ipw(frame, **{**ROLES, **o}),
    "aipw ATE": lambda frame, **o: apm.augmented_ipw(frame, **{**ROLES, "estimand": "ATE", **o}),
    "entropy": lambda frame, **o: apm.entropy_balancing(frame, **{**ROLES, **o}),
    "entropy, two moments": lambda frame, **o: apm.entropy_balancing(frame, **{**ROLES, "moments": 2, **o}),
}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="module")
def births():
    """Cattaneo's (2010) births, shipped with the tests of statsmodels."""
    import statsmodels.treatment

    folder = Path(statsmodels.treatment.__file__).parent / "tests" / "results"
    return pd.read_csv(folder / "cataneo2.csv")


BIRTHS = {"outcome": "bweight", "treatment": "mbsmoke_",
          "covariates": ["mmarried_", "mage", "mage2", "fbaby_", "medu"]}  # fmt: skip
OF_BIRTHS = ["prenatal1_", "mmarried_", "mage", "fbaby_"]


@pytest.fixture(scope="module")
def of_statsmodels(births):
    from statsmodels.discrete.discrete_model import Logit
    from statsmodels.regression.linear_model import OLS
    from statsmodels.treatment.treatment_effects import TreatmentEffect

    logit = Logit.from_formula("mbsmoke_ ~ " + " + ".join(BIRTHS["covariates"]), births).fit(disp=0, tol=1e-14)
    model = OLS.from_formula("bweight ~ " + " + ".join(OF_BIRTHS), births)
    return TreatmentEffect(model, births["mbsmoke_"].to_numpy(), results_select=logit)


def sandwich_of_statsmodels(found):
    """Standard error of the effect from its estimating equations.

    Its own differs by up to 5e-5: it differentiates them on one side only.
    """
    model, solution = found.results_gmm.model, found.results_gmm.params
    np.testing.assert_allclose(model.momcond(solution).mean(axis=0), 0, atol=1e-7)
    steps = 1e-5 * np.diag(np.maximum(np.abs(solution), 1e-2))
    slope = np.column_stack([
        (model.momcond(solution + h) - model.momcond(solution - h)).sum(axis=0) / (2 * h.max()) for h in steps
    ])  # fmt: skip
    influence = np.linalg.solve(slope, model.momcond(solution).T)[0]
    return (influence @ influence) ** 0.5


@pytest.mark.parametrize(("estimand", "group"), [("ATE", "all"), ("ATT", 1)])
def test_inverse_probability_weighting_of_births_is_that_of_statsmodels(
    agrees, births, of_statsmodels, estimand, group
):
    ours = apm.inverse_probability_weighting(births, **BIRTHS, estimand=estimand).table.iloc[0]
    effect = of_statsmodels.ipw(effect_group=group, return_results=False)[0]
    agrees(ours["estimate"], effect, within=1e-9, what="inverse_probability_weighting",
           package="statsmodels TreatmentEffect", case=f"{estimand} on births")  # fmt: skip
    agrees(ours["se"], sandwich_of_statsmodels(of_statsmodels.ipw(effect_group=group)), within=1e-6,
           what="inverse_probability_weighting", package="statsmodels TreatmentEffect",
           case=f"{estimand} on births, standard error")  # fmt: skip


def test_augmented_ipw_of_births_is_that_of_statsmodels(agrees, births, of_statsmodels):
    ours = apm.augmented_ipw(births, **BIRTHS, outcome_covariates=OF_BIRTHS, estimand="ATE").table.iloc[0]
    found = of_statsmodels.aipw()
    agrees(ours["estimate"], found.effect[0], within=1e-9, what="augmented_ipw",
           package="statsmodels TreatmentEffect", case="ATE on births")  # fmt: skip
    agrees(ours["se"], sandwich_of_statsmodels(found), within=1e-6, what="augmented_ipw",
           package="statsmodels TreatmentEffect", case="ATE on births, standard error")  # fmt: skip


# -- dense estimating equations ----------------------------------------------------------------------------------------


def stacked(name, frame):
    """Estimating equations of the effect and all nuisance parameters, one row per observation, and a start."""
    d, y = frame["joined"].to_numpy(), frame["cost"].to_numpy()
    x = np.column_stack([np.ones(len(d)), frame[["risk", "age", "sex"]]])
    k = x.shape[1]

    def ipw(theta, ate):
        effect, mean0, gamma = theta[0], theta[1], theta[2:]
        p = special.expit(x @ gamma)
        w1, w0 = (1 / p, 1 / (1 - p)) if ate else (np.ones(len(d)), p / (1 - p))
        return np.column_stack([d * w1 * (y - mean0 - effect), (1 - d) * w0 * (y - mean0), x * (d - p)[:, None]])

    def aipw(theta, ate):
        effect, gamma, b0, b1 = theta[0], theta[1 : k + 1], theta[k + 1 : 2 * k + 1], theta[2 * k + 1 :]
        p, m0 = special.expit(x @ gamma), x @ b0
        models = [x * (d - p)[:, None], x * ((1 - d) * (y - m0))[:, None]]
        if ate:
            m1 = x @ b1
            score = m1 - m0 + d * (y - m1) / p - (1 - d) * (y - m0) / (1 - p) - effect
            models.append(x * (d * (y - m1))[:, None])
        else:
            score = d * (y - m0 - effect) - (1 - d) * p / (1 - p) * (y - m0)
        return np.column_stack([score, *models])

    def entropy(theta, moments):
        c = x[:, 1:]
        if moments == 2:
            c = np.column_stack([c, c[:, :2] ** 2])
        c = (c - c.mean(axis=0)) / c.std(axis=0)
        q = c.shape[1]
        effect, mean0, target, turn = theta[0], theta[1], theta[2 : q + 2], theta[q + 2 :]
        w = (1 - d) * np.exp((c - target) @ turn)
        return np.column_stack([d * (y - mean0 - effect), w * (y - mean0), (c - target) * d[:, None],
                                (c - target) * w[:, None]])  # fmt: skip

    method, _, kind = name.replace(",", "").partition(" ")
    if method == "ipw":
        return (lambda theta: ipw(theta, kind == "ATE")), np.zeros(2 + k)
    if method == "aipw":
        return (lambda theta: aipw(theta, kind == "ATE")), np.zeros(1 + k * (3 if kind == "ATE" else 2))
    moments, q = (2, 5) if kind else (1, 3)
    return (lambda theta: entropy(theta, moments)), np.zeros(2 + 2 * q)


def leverage_of_regression(frame, moments):
    """Of each row in its group's regression: a mean of the treated, a weighted line through the untreated."""
    treated, covariates = frame["joined"].to_numpy() == 1, frame[["risk", "age", "sex"]].to_numpy()
    if moments == 2:
        covariates = np.column_stack([covariates, covariates[:, :2] ** 2])
    weights = ESTIMATORS["entropy"](frame, moments=moments).details["weights"]["weight"].to_numpy()
    root = np.sqrt(weights * ~treated)[:, None] * np.column_stack([np.ones(len(frame)), covariates])
    return np.where(treated, 1 / treated.sum(), np.diag(root @ np.linalg.pinv(root)))


@every_estimator
@pytest.mark.parametrize("cluster", [None, "clinic"])
def test_standard_errors_are_the_sandwich_of_all_estimating_equations(make_people, name, cluster):
    frame = make_people(500, seed=4)
    ours = ESTIMATORS[name](frame, cluster=cluster).table.iloc[0]
    equations, start = stacked(name, frame)
    solution = optimize.root(lambda theta: equations(theta).mean(axis=0), start, tol=1e-13).x
    np.testing.assert_allclose(ours["estimate"], solution[0], rtol=1e-7)
    steps = 1e-5 * np.eye(len(start))
    slope = np.column_stack(
        [(equations(solution + h).sum(axis=0) - equations(solution - h).sum(axis=0)) / 2e-5 for h in steps]
    )
    influence = np.linalg.solve(slope, equations(solution).T)[0]
    if "entropy" in name:
        influence = influence / np.sqrt(1 - leverage_of_regression(frame, moments=2 if "two" in name else 1))
    if cluster:
        sums = pd.Series(influence).groupby(frame["clinic"].to_numpy()).sum()
        variance = (sums**2).sum() * len(sums) / (len(sums) - 1)
    else:
        variance = (influence**2).sum()
    np.testing.assert_allclose(ours["se"], variance**0.5, rtol=1e-6)


def test_entropy_balancing_is_a_weighted_regression_with_its_hc2_errors(make_people, agrees):
    from statsmodels.regression.linear_model import OLS, WLS

    frame = make_people(500, seed=4)
    ours = ESTIMATORS["entropy"](frame)
    treated, weights = frame["joined"] == 1, ours.details["weights"]["weight"]
    gap = frame[["risk", "age", "sex"]] - frame.loc[treated, ["risk", "age", "sex"]].mean()
    line = WLS(frame["cost"][~treated], gap[~treated].assign(one=1.0), weights[~treated]).fit(cov_type="HC2")
    left = frame["cost"][treated] - gap[treated] @ line.params[:3]
    mean = OLS(left, np.ones(len(left))).fit(cov_type="HC2")
    theirs = [mean.params["const"] - line.params["one"], np.hypot(mean.bse["const"], line.bse["one"])]
    agrees(ours.table[["estimate", "se"]].iloc[0], theirs, within=1e-9, what="entropy_balancing",
           package="statsmodels WLS", case="HC2")  # fmt: skip


# -- balance -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moments", [1, 2, 3])
def test_entropy_balancing_is_exact_in_every_moment_and_has_the_form_of_its_solution(make_people, moments):
    frame = make_people()
    result = ESTIMATORS["entropy"](frame, moments=moments)
    weights, d = result.details["weights"]["weight"].to_numpy(), frame["joined"].to_numpy() == 1
    x = frame[["risk", "age", "sex"]].to_numpy()
    features = [x, *(x[:, :2] ** power for power in range(2, moments + 1))]
    features = np.column_stack(features)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    np.testing.assert_allclose(weights[~d] @ features[~d], features[d].mean(axis=0), atol=1e-10)
    np.testing.assert_allclose([weights[d].sum(), weights[~d].sum()], 1, rtol=1e-12)
    # The maximum of entropy: log weights are linear in what is balanced.
    design = np.column_stack([np.ones((~d).sum()), features[~d]])
    logs = np.log(weights[~d])
    np.testing.assert_allclose(design @ np.linalg.lstsq(design, logs, rcond=None)[0], logs, atol=1e-7)
    if moments > 1:
        table = result.details["balance"]
        np.testing.assert_allclose(table.loc[["risk", "age"], "difference_after"], 0, atol=1e-9)
        np.testing.assert_allclose(table.loc[["risk", "age"], "variance_ratio_after"], 1, atol=0.02)


def test_the_balance_table_holds_weighted_means_and_variances(make_people):
    frame = make_people(200)
    result = ESTIMATORS["ipw ATE"](frame)
    frame["w"] = result.details["weights"]["weight"].to_numpy()
    table = apm.balance_table(frame, treatment="joined", covariates=ROLES["covariates"], weights="w", estimand="ATE")
    pd.testing.assert_frame_equal(table, result.details["balance"])
    pd.testing.assert_frame_equal(table, apm.balance_table(result))
    one, zero = (frame[frame["joined"] == value] for value in (1, 0))
    unit = np.sqrt((one["age"].var() + zero["age"].var()) / 2)
    row = table.loc["age"]
    np.testing.assert_allclose(row["difference_before"], (one["age"].mean() - zero["age"].mean()) / unit)
    np.testing.assert_allclose(row["variance_ratio_before"], one["age"].var() / zero["age"].var())
    means = [np.average(part["age"], weights=part["w"]) for part in (one, zero)]
    np.testing.assert_allclose(row["difference_after"], (means[0] - means[1]) / unit)
    spread = []
    for part, mean in zip((one, zero), means, strict=True):
        w = part["w"] / part["w"].sum()
        spread.append((w * (part["age"] - mean) ** 2).sum() / (1 - (w**2).sum()))
    np.testing.assert_allclose(row["variance_ratio_after"], spread[0] / spread[1])
    sizes = result.diagnostics["effective_sample_size"]
    np.testing.assert_allclose(sizes["treated"], one["w"].sum() ** 2 / (one["w"] ** 2).sum())
    plain = apm.balance_table(frame, treatment="joined", covariates="age")
    assert plain.loc["age", "difference_before"] == plain.loc["age", "difference_after"]


def test_estimates_of_nobody_weighted_have_no_balance_table(make_series):
    result = apm.interrupted_time_series(make_series(), time="t", outcome="y", start=30)
    with pytest.raises(ApmkitError, match="interrupted time series has no balance table"):
        apm.balance_table(result)


def test_augmented_ipw_is_right_if_one_of_its_models_is(make_people):
    """With the true outcome model of nearly no noise the logit may be anything, and the other way round."""
    random = np.random.default_rng(0)
    x = random.normal(size=20_000)
    d = (random.uniform(size=20_000) < special.expit(x)) * 1
    frame = pd.DataFrame({"joined": d, "x": x, "cube": np.exp(x), "cost": 2 * d + np.exp(x)})
    for estimand in ("ATT", "ATE"):
        roles = {"outcome": "cost", "treatment": "joined", "estimand": estimand}
        outcome_right = apm.augmented_ipw(frame, **roles, covariates="x", outcome_covariates=["cube"])
        np.testing.assert_allclose(outcome_right.table["estimate"], 2, atol=1e-9)
        logit_right = apm.augmented_ipw(frame, **roles, covariates="x", outcome_covariates=["x"]).table.iloc[0]
        assert abs(logit_right["estimate"] - 2) < 4 * logit_right["se"]


# -- what must not matter ----------------------------------------------------------------------------------------------


@every_estimator
@few
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([-100.0, 0.01]))
def test_order_of_rows_units_of_measure_and_level_do_not_matter(make_people, name, seed, factor):
    frame = make_people(400, seed=seed)
    one = ESTIMATORS[name](frame, cluster="clinic")
    moved = frame.sample(frac=1, random_state=seed).assign(
        cost=lambda f: f["cost"] * factor, age=lambda f: 1000 + 30 * f["age"], clinic=lambda f: f["clinic"].astype(str)
    )
    other = ESTIMATORS[name](moved, cluster="clinic")
    np.testing.assert_allclose(other.table["estimate"], factor * one.table["estimate"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(other.table["se"], abs(factor) * one.table["se"], rtol=1e-7)
    raised = ESTIMATORS[name](frame.assign(cost=frame["cost"] + 1e8), cluster="clinic")
    np.testing.assert_allclose(raised.table["estimate"], one.table["estimate"], atol=1e-6)
    np.testing.assert_allclose(raised.table["se"], one.table["se"], rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "entropy" not in name])  # its leverage halves too
def test_every_row_twice_halves_the_variance(make_people, name):
    frame = make_people(300)
    one, two = ESTIMATORS[name](frame), ESTIMATORS[name](pd.concat([frame, frame]))
    np.testing.assert_allclose(two.table["estimate"], one.table["estimate"], rtol=1e-9)
    np.testing.assert_allclose(two.table["se"], one.table["se"] / 2**0.5, rtol=1e-9)
    clustered = ESTIMATORS[name](pd.concat([frame, frame]).assign(clinic=np.tile(np.arange(300), 2)), cluster="clinic")
    np.testing.assert_allclose(clustered.table["se"], one.table["se"] * (300 / 299) ** 0.5, rtol=1e-9)


# -- what is refused or warned of --------------------------------------------------------------------------------------


@every_estimator
@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        ({}, {"outcome": "spending"}, ApmkitError, "outcome='spending' is not a column"),
        ({}, {"covariates": []}, ApmkitError, "covariates is empty"),
        ({}, {"covariates": ["risk", "joined"]}, ApmkitError, "'joined' is both treatment and covariates"),
        ({"joined": 1}, {}, ApmkitError, "Column 'joined' holds 1 in all 800 rows"),
        ({"joined": lambda f: f["joined"] + 1}, {}, ApmkitError, "Column 'joined' holds 2: give 1 for the treated"),
        ({"joined": lambda f: (f.index == 3) * 1}, {}, EstimationError, "'joined' has a group of one row"),
        ({"cost": 5.0}, {}, EstimationError, "Column 'cost' does not vary"),
        ({"cost": lambda f: f["cost"].mask(f.index == 2)}, {}, ApmkitError, "'cost' is missing in 1 of 800 rows"),
        ({"age": 1e8}, {}, ApmkitError, "Column 'age' does not vary"),
        ({"sex": lambda f: 2 * f["risk"] - f["age"]}, {}, ApmkitError,
         "'sex' is a sum of multiples of the columns before it .'risk', 'age'."),
        ({"clinic": 1}, {"cluster": "clinic"}, ApmkitError, "'clinic' holds one cluster"),
        ({}, {"level": 0}, ApmkitError, "level=0 is not between 0 and 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(make_people, name, change, options, error, words):
    with pytest.raises(error, match=words):
        ESTIMATORS[name](make_people().assign(**change), **options)


SEPARATED = {"age": lambda f: f["age"] + 100 * f["joined"]}


@pytest.mark.parametrize("name", ["ipw ATT", "ipw ATE", "aipw ATT", "aipw ATE"])
def test_perfect_separation_names_the_covariate(make_people, name):
    with pytest.raises(EstimationError, match="The covariates, 'age' alone, tell rows with and without treatment"):
        ESTIMATORS[name](make_people().assign(**SEPARATED))
    together = {"age": lambda f: f["age"] + 100 * f["joined"] + 150 * f["sex"]}
    with pytest.raises(EstimationError, match="The covariates together tell rows with and without treatment"):
        ESTIMATORS[name](make_people().assign(**together))
    some = {"sex": lambda f: (f["joined"] == 1) & (f.index < 100)}
    with pytest.raises(EstimationError, match="tell rows with and without treatment apart for some values"):
        ESTIMATORS[name](make_people().assign(**some).astype({"sex": int}))


def test_entropy_balancing_ends_where_progress_is_lost_in_rounding(make_people):
    result = ESTIMATORS["entropy, two moments"](make_people(500, seed=140))
    assert result.diagnostics["largest_difference"] < 1e-10


def test_entropy_balancing_names_what_no_weights_reach(make_people):
    with pytest.raises(EstimationError, match="mean of 'age' among the treated is not inside the range of rows with"):
        ESTIMATORS["entropy"](make_people().assign(**SEPARATED))
    # Each mean is inside its range, the pair is outside of the hull.
    random = np.random.default_rng(1)
    x = random.uniform(-1, 1, size=(200, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "cost": random.normal(size=200)})
    frame["joined"] = (frame["a"] + frame["b"] > 0.2) * 1
    with pytest.raises(EstimationError, match="No weights on rows with 'joined' = 0 balance 'a', 'b' at once"):
        apm.entropy_balancing(frame, outcome="cost", treatment="joined", covariates=["a", "b"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: ESTIMATORS["ipw ATT"](f, estimand="ATU"), "estimand='ATU' is not known"),
        (lambda f: ESTIMATORS["ipw ATT"](f, trim=0.7), "trim=0.7 is not between 0 and 0.5"),
        (lambda f: ESTIMATORS["entropy"](f, moments=4), "moments=4 is not 1, 2 or 3"),
        (lambda f: apm.balance_table(f), "Give treatment and at least one of covariates"),
        (lambda f: apm.balance_table(f.assign(w=-1.0), treatment="joined", covariates="age", weights="w"),
         "Column 'w' holds -1: weights are zero or above"),
        (lambda f: apm.balance_table(f, treatment="joined", covariates="age", weights="joined"),
         "is both treatment and weights"),
        (lambda f: apm.balance_table(f.assign(w=f["joined"]), treatment="joined", covariates="age", weights="w"),
         "Column 'w' gives no weight to rows with 'joined' = 0"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_used_are_named(make_people, call, words):
    with pytest.raises(ApmkitError, match=words):
        call(make_people())


def test_a_small_group_cannot_carry_an_outcome_model(make_people):
    frame = make_people(60)
    few_controls = pd.concat([frame[frame["joined"] == 1], frame[frame["joined"] == 0].head(3)])
    with pytest.raises(EstimationError, match="3 rows of one group cannot carry an outcome model of risk, age, sex"):
        apm.augmented_ipw(few_controls, outcome="cost", treatment="joined", covariates="risk",
                          outcome_covariates=["risk", "age", "sex"])  # fmt: skip


def test_extreme_propensities_are_warned_of_and_trimmed(make_people, messages):
    random = np.random.default_rng(2)
    risk = random.normal(size=2000)
    joined = (random.uniform(size=2000) < special.expit(3 * risk)) * 1
    frame = pd.DataFrame({"joined": joined, "risk": risk, "cost": risk + random.normal(size=2000)})
    roles = {"outcome": "cost", "treatment": "joined", "covariates": "risk"}
    _, texts = messages(lambda: apm.inverse_probability_weighting(frame, **roles))
    assert any("with a propensity within 0.01 of 1, up to" in t and "trim=0.01 leaves them out" in t for t in texts)
    result, texts = messages(lambda: apm.inverse_probability_weighting(frame, **roles, trim=0.1, estimand="ATE"))
    left_out = result.diagnostics["left_out"]["propensity beyond trim=0.1"]["count"]
    assert result.n_obs == 2000 - left_out < 2000
    assert f"trim=0.1 leaves out {left_out:,} of 2,000 rows" in texts[0]
    # The same as leaving the rows out by hand and fitting again.
    kept = frame.loc[result.details["weights"]["row"]]
    again = apm.inverse_probability_weighting(kept, **roles, estimand="ATE")
    np.testing.assert_allclose(again.table["estimate"], result.table["estimate"])
    np.testing.assert_allclose(again.table["se"], result.table["se"])


def test_trimming_may_not_leave_one_group_or_one_cluster(make_people):
    frame = make_people(200)
    with pytest.raises(EstimationError, match=r"trim=0\.49 leaves fewer than two rows in a group"):
        ESTIMATORS["ipw ATE"](frame.head(12), trim=0.49)
    score = ESTIMATORS["ipw ATE"](frame).details["weights"]["propensity"].to_numpy()
    frame["clinic"] = (np.maximum(score, 1 - score) > 0.6) * 1
    with pytest.raises(EstimationError, match=r"trim=0\.4 leaves one cluster"):
        ESTIMATORS["ipw ATE"](frame, trim=0.4, cluster="clinic")


def test_powers_that_say_nothing_new_are_not_balanced_twice(make_people):
    frame = make_people().assign(age=lambda f: f["age"].rank(pct=True).mul(3).round())  # four values
    three = ESTIMATORS["entropy"](frame.assign(age=frame["age"].clip(upper=2)), moments=3)
    assert np.isfinite(three.table["se"]).all()


def test_what_stays_unbalanced_is_warned_of(messages):
    """Hardly any untreated row has high values, so no weights of a logit make up for it."""
    random = np.random.default_rng(3)
    x = random.normal(size=80)
    joined = (random.uniform(size=80) < special.expit(3 * x)) * 1
    frame = pd.DataFrame({"joined": joined, "x": np.exp(x), "cost": random.normal(size=80)})
    roles = {"outcome": "cost", "treatment": "joined", "covariates": "x"}
    result, texts = messages(lambda: apm.inverse_probability_weighting(frame, **roles))
    largest = result.diagnostics["largest_difference"]
    assert largest > 0.1
    assert any(f"'x' still differs by {largest:.2f} standard deviations after weighting" in text for text in texts)
