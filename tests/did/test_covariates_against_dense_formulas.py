"""The formulas of Sant'Anna and Zhao (2020) written out row by row, on random panels of every kind."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

EXPECTED = Path(__file__).parents[1] / "expected" / "did"
METHODS = ["doubly_robust", "inverse_probability", "outcome_regression"]
pytestmark = pytest.mark.usefixtures("quiet")


def ols(y, x, w):
    """Coefficients, and what each row adds to them."""
    gram = np.linalg.inv((x * w[:, None]).T @ x)
    b = gram @ (x.T @ (w * y))
    return b, (w * (y - x @ b))[:, None] * x @ gram


def propensity(d, x, w):
    """Fitted chances by logit, and what each row adds to the coefficients."""
    b = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ b))
        inverse = np.linalg.inv((x * (w * p * (1 - p))[:, None]).T @ x)
        b = b + inverse @ (x.T @ (w * (d - p)))
    return p, (w * (d - p))[:, None] * x @ inverse


def mean_of(values, w):
    """A weighted mean and what each row adds to it."""
    mean = (w * values).sum() / w.sum()
    return mean, w * (values - mean) / w.sum()


def in_a_panel(change, d, x, w, method):
    """Effect and the influence of each row, from changes of the outcome between two periods."""
    fitted, fit_influence, slope = np.zeros(len(d)), 0.0, np.zeros(x.shape[1])
    if method != "inverse_probability":
        b, fit_influence = ols(change, x, w * (1 - d))
        fitted = x @ b
    treated, treated_influence = mean_of(change - fitted, w * d)
    slope = (w * d) @ x / (w * d).sum()
    if method == "outcome_regression":
        return treated, treated_influence - fit_influence @ slope
    p, p_influence = propensity(d, x, w)
    odds = w * (1 - d) * p / (1 - p)
    control, control_influence = mean_of(change - fitted, odds)
    moment = (odds * (change - fitted - control)) @ x / odds.sum()
    influence = treated_influence - control_influence - p_influence @ moment
    if method == "doubly_robust":
        influence = influence - fit_influence @ (slope - odds @ x / odds.sum())
    return treated - control, influence


def in_cross_sections(y, post, d, x, w, method, sign_before=-1.0):
    """Effect and the influence of each row, from levels of the outcome in two periods."""
    effect, influence = 0.0, np.zeros(len(y))
    in_period = {1.0: post, -1.0: 1 - post}
    if method != "outcome_regression":
        p, p_influence = propensity(d, x, w)
    for sign, now in in_period.items():
        of_fit = 1.0 if sign > 0 else sign_before
        treated_x = (w * d * now) @ x / (w * d * now).sum()
        fitted = np.zeros(len(y))
        if method == "outcome_regression":
            b, fit_influence = ols(y, x, w * (1 - d) * now)
            part, own = mean_of(y, w * d * now)
            counterfactual, spread = mean_of(x @ b, w * d)
            effect += sign * (part - counterfactual)
            influence += sign * (own - spread - fit_influence @ ((w * d) @ x / (w * d).sum()))
            continue
        if method == "doubly_robust":
            b, fit_influence = ols(y, x, w * (1 - d) * now)
            g, treated_influence = ols(y, x, w * d * now)
            fitted = x @ b
        part, own = mean_of(y - fitted, w * d * now)
        odds = w * (1 - d) * now * p / (1 - p)
        control, control_own = mean_of(y - fitted, odds)
        moment = (odds * (y - fitted - control)) @ x / odds.sum()
        effect += sign * (part - control)
        influence += sign * (own - control_own - p_influence @ moment)
        if method == "doubly_robust":
            influence -= of_fit * (fit_influence @ (treated_x - odds @ x / odds.sum()))
            everywhere, everywhere_own = mean_of(x @ (g - b), w * d)
            here, here_own = mean_of(x @ (g - b), w * d * now)
            effect += sign * (everywhere - here)
            influence += sign * (everywhere_own - here_own)
            influence += sign * (treated_influence - fit_influence) @ ((w * d) @ x / (w * d).sum() - treated_x)
    return effect, influence


def rows_of(panel, names):
    """One row for each observed unit and period, with its weight and covariates."""
    unit, period = np.nonzero(panel.observed)
    weights = np.ones(panel.outcomes.shape)
    if panel.weights is not None:
        weights = panel.weights if panel.weights.ndim == 2 else np.repeat(panel.weights[:, None], len(panel.periods), 1)
    frame = pd.DataFrame({"unit": unit, "period": panel.periods[period], "y": panel.outcomes[unit, period]})
    frame["w"] = weights[unit, period]
    frame["cohort"] = panel.cohorts[unit]
    for name in names:
        values = panel.covariates[name]
        frame[name] = values[unit] if values.ndim == 1 else values[unit, period]
    return frame


def dense(panel, cohort, t, base, names, method, unbalanced, control="never_treated", sign_before=-1.0):
    """One effect and the influence of each cluster, from the rows of its two periods."""
    rows = rows_of(panel, names)
    own = rows["cohort"] == cohort
    other = np.isinf(rows["cohort"])
    if control == "not_yet_treated":
        other |= (rows["cohort"] > max(t, base)) & ~own
    rows = rows[(own | other) & rows["period"].isin([t, base])]
    influence = np.zeros(len(panel.units))
    if unbalanced == "pairs":
        rows = rows[rows["unit"].duplicated(keep=False)]
        first, last = (rows[rows["period"] == p].set_index("unit") for p in sorted([t, base]))
        change = (last["y"] - first["y"]).to_numpy() * np.sign(t - base)
        x = np.column_stack([np.ones(len(first)), first[names]])
        d = (first["cohort"] == cohort).to_numpy(float)
        effect, each = in_a_panel(change, d, x, last["w"].to_numpy(), method)
        influence[first.index] = each
    else:
        x = np.column_stack([np.ones(len(rows)), rows[names]])
        d, post = (rows["cohort"] == cohort).to_numpy(float), (rows["period"] == t).to_numpy(float)
        y, w = rows["y"].to_numpy(), rows["w"].to_numpy()
        effect, each = in_cross_sections(y, post, d, x, w, method, sign_before)
        np.add.at(influence, rows["unit"].to_numpy(), each)
    return effect, np.bincount(panel.cluster_codes, influence, len(panel.clusters))


def base_of(panel, row, base_period, anticipation=0):
    before = panel.periods[panel.periods + anticipation < row["cohort"]][-1]
    earlier = panel.periods[panel.periods < row["period"]]
    return before if base_period == "universal" else min(before, earlier[-1])


KINDS = {
    "balanced": {},
    "ragged": {"drop": 0.15},
    "weighted": {"weights": "unit"},
    "weights that change": {"weights": "cell", "drop": 0.1},
    "clustered": {"clustered": True, "weights": "unit", "drop": 0.1},
}


@pytest.fixture
def adjusted_panel(make_frame, make_panel):
    """A panel whose cohorts differ in two covariates, one of which may change over time."""

    def make(seed, *, varying=False, clustered=False, discrete=False, n_units=160, **options):
        frame = make_frame(n_units=n_units, n_periods=5, seed=seed, starts=(2012, 2013, None, None), **options)
        random = np.random.default_rng(seed)
        of_unit = random.normal(size=(n_units, 2))
        x = pd.DataFrame(of_unit, columns=["age", "risk"]).loc[frame["unit"]].reset_index(drop=True)
        x["age"] += 0.4 * frame["cohort"].notna()
        if discrete:
            x = (x > 0.5).astype(float) + (x > -0.5)
        if varying:
            x["risk"] += random.normal(size=len(frame)) * 0.5
        frame[["age", "risk"]] = x
        frame["y"] += 0.3 * (frame["year"] - 2010) * frame["age"] + 0.2 * frame["risk"]
        columns = {"covariates": ["age", "risk"]}
        columns |= {"weights": "weight"} if "weights" in options else {}
        columns |= {"cluster": "state"} if clustered else {}
        return make_panel(frame, **columns)

    return make


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unbalanced", ["pairs", "repeated_cross_sections"])
@pytest.mark.parametrize("kind", KINDS)
def test_effects_and_influence_are_those_of_the_formulas(kind, unbalanced, method, adjusted_panel):
    seed = 10 * list(KINDS).index(kind) + METHODS.index(method)
    control, base_period = [("never_treated", "varying"), ("not_yet_treated", "universal")][seed % 2]
    panel = adjusted_panel(seed, varying=seed % 3 == 0, discrete=seed % 4 == 1, **KINDS[kind])
    design = {"method": method, "unbalanced": unbalanced, "control": control}
    result = apm.callaway_santanna(panel, covariates=["age", "risk"], base_period=base_period, **design)
    influence = result.influence.to_numpy()
    assert len(result.table) == 8
    for j, row in result.table.iterrows():
        base = base_of(result.panel, row, base_period)
        effect, each = dense(result.panel, row["cohort"], row["period"], base, ["age", "risk"], **design)
        np.testing.assert_allclose(row["estimate"], effect, rtol=0, atol=1e-10)
        np.testing.assert_allclose(influence[:, j], each, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rule", [in_a_panel, in_cross_sections])
def test_influence_is_the_change_of_the_effect_with_the_weight_of_a_row(rule, method):
    random = np.random.default_rng(3)
    n = 120
    x = np.column_stack([np.ones(n), random.normal(size=(n, 2))])
    d = (random.uniform(size=n) < 1 / (1 + np.exp(-0.6 * x[:, 1]))).astype(float)
    y = x @ [1.0, 0.5, -0.5] + d + random.normal(size=n)
    given = (y, d, x) if rule is in_a_panel else (y, (np.arange(n) % 2).astype(float), d, x)
    _, influence = rule(*given, np.ones(n), method)
    for i in range(0, n, 10):
        more, less = (rule(*given, 1.0 + h * (np.arange(n) == i), method)[0] for h in (1e-5, -1e-5))
        assert influence[i] == pytest.approx((more - less) / 2e-5, abs=1e-8)


def test_r_has_the_wrong_sign_for_the_regression_before_treatment_in_repeated_cross_sections():
    # DRDID 1.2.3 (drdid_rc) adds what the regression of the earlier period contributes to the influence where it has to
    # be subtracted. With that sign its standard errors come out; the test above shows that ours is the derivative.
    frame = pd.read_csv(EXPECTED / "sim_ragged.csv")
    frame["cohort"] = frame["cohort"].replace(0, np.nan)
    names = ["x1", "x2"]
    panel = apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort", covariates=names)
    entries = json.loads((EXPECTED / "did_covariates.json").read_text())["entries"]
    values = entries["did.sim_ragged.x1x2.nevertreated.dr.unit.unweighted"]["values"]
    design = {"method": "doubly_robust", "unbalanced": "repeated_cross_sections"}
    table = apm.callaway_santanna(panel, covariates=names, **design).table.set_index(["cohort", "period"])
    for g, t, se in list(zip(values["group"], values["t"], values["se"], strict=True))[::4]:
        base = min(t - 1, g - 1)
        _, as_in_r = dense(panel, g, t, base, names, sign_before=1.0, **design)
        assert np.sqrt((as_in_r**2).sum()) == pytest.approx(se, abs=1e-11)
        _, derived = dense(panel, g, t, base, names, **design)
        assert table.loc[(g, t), "se"] == pytest.approx(np.sqrt((derived**2).sum()), abs=1e-11)


@pytest.mark.parametrize("control", ["never_treated", "not_yet_treated"])
@pytest.mark.parametrize("method", METHODS)
def test_anticipation_moves_the_start_of_every_cohort(method, control, make_frame, make_panel):
    frame = make_frame(n_units=160, n_periods=5, starts=(2012, 2013, None, None), weights="cell", drop=0.1)
    random = np.random.default_rng(4)
    frame["age"], frame["risk"] = random.normal(size=160)[frame["unit"]], random.normal(size=len(frame))
    roles = {"covariates": ["age", "risk"], "weights": "weight"}
    options = {"covariates": ["age", "risk"], "method": method, "control": control}
    late = apm.callaway_santanna(make_panel(frame, **roles), anticipation=1, **options)
    moved = make_panel(frame.assign(cohort=frame["cohort"] - 1), **roles)
    early = apm.callaway_santanna(moved, **options)
    pd.testing.assert_frame_equal(late.table[["estimate", "se"]], early.table[["estimate", "se"]], atol=1e-12)
    assert late.table["cohort"].tolist() == (early.table["cohort"] + 1).tolist()
    factored = apm.callaway_santanna(moved, small_sample="fixest", **options)
    ratio = factored.table["se"] / early.table["se"]
    np.testing.assert_allclose(ratio, np.sqrt(factored.diagnostics["variance_factor"]), rtol=1e-12)
    assert factored.diagnostics["variance_factor"] > 1
