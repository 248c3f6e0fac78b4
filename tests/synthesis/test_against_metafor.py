"""The thirteen trials of the BCG vaccine: numbers of R's metafor, with the call in the fixture."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

EXPECTED = Path(__file__).parents[1] / "expected" / "synthesis"
FIXTURE = json.loads((EXPECTED / "metafor.json").read_text())
ENTRIES = {name: entry["values"] for name, entry in FIXTURE["entries"].items()}
PACKAGE = f"R metafor {FIXTURE['R_packages']['metafor']}"
TRIALS = pd.read_csv(EXPECTED / "dat.bcg.csv")
SYNTHESES = {
    **{f"metafor.bcg.{name}": {"method": name} for name in ("REML", "DL", "ML", "EB", "SJ", "HS", "HE")},
    "metafor.bcg.FE": {"method": "fixed"},
    "metafor.bcg.REML.knha": {"knapp_hartung": True},
    "metafor.bcg.REML.ablat": {"moderators": ["ablat"]},
}


@pytest.fixture(scope="module")
def ratios():
    counts = {"treated_events": "tpos", "treated_others": "tneg", "control_events": "cpos", "control_others": "cneg"}
    return apm.log_risk_ratio(TRIALS, **counts).assign(ablat=TRIALS["ablat"], author=TRIALS["author"])


def test_log_risk_ratios_are_those_of_metafor(ratios, agrees):
    case = "metafor.bcg.escalc"
    expected = ENTRIES[case]
    ours = [*ratios["estimate"], *ratios["se"] ** 2]
    agrees(ours, expected["yi"] + expected["vi"], within=1e-11, what="log_risk_ratio", package=PACKAGE, case=case)


@pytest.mark.parametrize("case", SYNTHESES)
def test_means_and_heterogeneity_are_those_of_metafor(case, ratios, agrees):
    result, expected = apm.meta_analysis(ratios, **SYNTHESES[case]), ENTRIES[case]
    table, spread = result.table, result.details["heterogeneity"]["estimate"]
    ours = [*table["estimate"], *table["se"], *table["estimate"] / table["se"], *table["p_value"], *table["ci_low"],
            *table["ci_high"]]  # fmt: skip
    theirs = np.hstack([expected[key] for key in ("beta", "se", "zval", "pval", "ci_lb", "ci_ub")])
    ours += [spread["tau2"], spread["I2"], spread["H2"], result.diagnostics["Q"], result.diagnostics["Q_p_value"]]
    theirs = [*theirs, *(expected[key] for key in ("tau2", "I2", "H2", "QE", "QEp"))]
    if case != "metafor.bcg.FE":
        ours.append(result.diagnostics["tau2_se"])
        theirs.append(expected["se_tau2"])
    if case == "metafor.bcg.REML.ablat":
        ours += [result.diagnostics[key] for key in ("R2", "QM", "QM_p_value")]
        theirs += [expected[key] for key in ("R2", "QM", "QMp")]
    assert result.n_obs == expected["k"]
    agrees(ours, theirs, within=1e-6, what="meta_analysis", package=PACKAGE, case=case)


def test_interval_of_the_variance_is_that_of_metafor_to_the_tolerance_of_its_root_search(ratios, agrees):
    case = "metafor.bcg.confint_tau2"
    ours, expected = apm.meta_analysis(ratios, tolerance=1e-12).details["heterogeneity"], ENTRIES[case]
    theirs = np.column_stack([expected[key] for key in ("est", "lb", "ub")])
    # R's uniroot stops within 1e-4 of the root; the bounds here solve Q = quantile, which the next test checks.
    agrees(ours, theirs, within=2e-4, what="meta_analysis (interval of tau2)", package=PACKAGE, case=case)


def test_bounds_of_the_variance_solve_the_profile_equation(ratios):
    from scipy import stats

    result = apm.meta_analysis(ratios)
    for bound, quantile in (("low", 0.975), ("high", 0.025)):
        weights = 1 / (ratios["se"] ** 2 + result.details["heterogeneity"].loc["tau2", bound])
        mean = np.average(ratios["estimate"], weights=weights)
        q = float((weights * (ratios["estimate"] - mean) ** 2).sum())
        assert q == pytest.approx(stats.chi2.ppf(quantile, 12), rel=1e-10)


def test_egger_test_is_that_of_metafor(ratios, agrees):
    case, result = "metafor.bcg.regtest", apm.egger_test(ratios)
    expected = [ENTRIES[case]["zval"], ENTRIES[case]["pval"]]
    agrees(result[["statistic", "p_value"]], expected, within=1e-6, what="egger_test", package=PACKAGE, case=case)


def test_leaving_out_each_trial_gives_the_means_of_metafor(ratios, agrees):
    case = "metafor.bcg.leave1out"
    result, expected = apm.leave_one_out(ratios, label="author"), ENTRIES[case]
    keys = ["estimate", "se", "tau2", "I2"]
    assert result["left_out"].tolist() == TRIALS["author"].tolist()
    agrees(
        result[keys].T, [expected[key] for key in keys], within=1e-6, what="leave_one_out", package=PACKAGE, case=case
    )


def test_published_mean_is_found_again(ratios):
    result, published = apm.meta_analysis(ratios), ENTRIES["published.bcg"]
    spread = result.details["heterogeneity"]["estimate"]
    assert round(result.table["estimate"][0], 4) == published["est"]
    assert round(spread["tau2"], 4) == published["tau2"]
    assert round(spread["I2"], 2) == published["I2"]


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_a_small_tolerance_reaches_the_maximum_of_the_likelihood(method, ratios):
    result = apm.meta_analysis(ratios, method=method, moderators=["ablat"], tolerance=1e-12)
    y, variance = ratios["estimate"].to_numpy(), ratios["se"].to_numpy() ** 2
    design = np.column_stack([np.ones(13), ratios["ablat"]])

    def loss(tau2):
        w = 1 / (variance + tau2)
        gram = design.T @ (design * w[:, None])
        residual = y - design @ np.linalg.solve(gram, design.T @ (w * y))
        value = -np.log(w).sum() + (w * residual**2).sum()
        return value + (np.linalg.slogdet(gram)[1] if method == "REML" else 0.0)

    tau2 = result.details["heterogeneity"].loc["tau2", "estimate"]
    step = 1e-4 * tau2
    slope = (loss(tau2 + step) - loss(tau2 - step)) / (2 * step)
    bend = (loss(tau2 + step) - 2 * loss(tau2) + loss(tau2 - step)) / step**2
    assert abs(slope / bend) < 1e-6 * tau2
