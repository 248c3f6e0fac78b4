"""The numbers of R's did, fixest, did2s and didimputation; the call that made each stands in the fixture."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import apmkit as apm

EXPECTED = Path(__file__).parents[1] / "expected" / "did"
FIXTURES = {
    name: json.loads((EXPECTED / f"{name}.json").read_text()) for name in ("did", "fixest", "did2s", "didimputation")
}
ENTRIES = {name: entry["values"] for fixture in FIXTURES.values() for name, entry in fixture["entries"].items()}
PACKAGES = {name: f"R {fixture['package']} {fixture['version']}" for name, fixture in FIXTURES.items()}
BY_BOOTSTRAP = "did.sim_staggered.none.nevertreated.dr.state.unweighted"
ATT_GT = [name for name in ENTRIES if name.startswith("did.") and name != BY_BOOTSTRAP]
REGRESSIONS = [name for name in ENTRIES if not name.startswith("did.")]
AGGREGATES = {"event": "dynamic", "cohort": "group_agg", "calendar": "calendar"}
LABELS = {"event": "relative_time", "cohort": "cohort", "calendar": "period"}

pytestmark = pytest.mark.usefixtures("quiet")


@cache
def _frame(name):
    frame = pd.read_csv(EXPECTED / f"{name}.csv")
    if name == "castle":
        start = frame[frame["post"] > 0].groupby("state")["year"].min()
        return frame.assign(cohort=frame["state"].map(start))
    return frame.assign(cohort=frame["cohort"].replace(0, np.nan))


def _panel(name, **columns):
    outcome, unit = ("l_homicide", "state") if name == "castle" else ("y", "unit")
    return apm.Panel(_frame(name), unit=unit, time="year", outcome=outcome, cohort="cohort", **columns)


@cache
def _att_gt(name):
    parts = name.split(".")
    weights = {"weights": "weight"} if parts[-1] == "weighted" else {}
    return apm.callaway_santanna(
        _panel(parts[1], **weights),
        control={"nevertreated": "never_treated", "notyettreated": "not_yet_treated"}[parts[3]],
        base_period="universal" if parts[-1] == "universal" else "varying",
        unbalanced="repeated_cross_sections" if parts[1] == "sim_ragged" else "pairs",
    )


@pytest.mark.parametrize("name", ATT_GT)
def test_effects_of_cohorts_and_periods_are_those_of_r_did(name, agrees):
    values = pd.DataFrame({key: ENTRIES[name][key] for key in ("group", "t", "att", "se")})
    expected = values.dropna().set_index(["group", "t"])  # the base period itself has no standard error
    table = _att_gt(name).table.set_index(["cohort", "period"])
    assert len(table) == len(expected)
    ours = table.loc[expected.index, ["estimate", "se"]]
    agrees(ours, expected, within=1e-11, what="callaway_santanna", package=PACKAGES["did"], case=name)


@pytest.mark.parametrize("name", ATT_GT)
def test_averages_and_their_overall_means_are_those_of_r_did(name, agrees):
    simple = ENTRIES[name]["simple"]
    ours = [_att_gt(name).aggregate("simple").table[["estimate", "se"]]]
    theirs = [[[simple["overall_att"], simple["overall_se"]]]]
    for by, kind in AGGREGATES.items():
        expected, result = ENTRIES[name][kind], _att_gt(name).aggregate(by)
        rows = pd.DataFrame({key: expected[key] for key in ("egt", "att_egt", "se_egt")}).dropna().set_index("egt")
        table = result.table.set_index(LABELS[by])
        assert sorted(table.index) == sorted(rows.index)
        ours += [table.loc[rows.index, ["estimate", "se"]], result.overall.table[["estimate", "se"]]]
        theirs += [rows, [[expected["overall_att"], expected["overall_se"]]]]
    about = {"what": "aggregate", "package": PACKAGES["did"], "case": name}
    agrees(np.concatenate(ours), np.concatenate(theirs), within=1e-11, **about)


def test_clustered_standard_errors_of_r_did_average_within_clusters_where_ours_add_up(agrees):
    # did 2.3.0 bootstraps the mean influence of each cluster, which is the variance of the estimate only where clusters
    # are of one size. Rebuilt from our unit-level influence that way, R's random standard errors come out.
    values = pd.DataFrame({key: ENTRIES[BY_BOOTSTRAP][key] for key in ("group", "t", "att", "se")})
    values = values.dropna().set_index(["group", "t"])
    by_unit = apm.callaway_santanna(_panel("sim_staggered"))
    table = by_unit.table.set_index(["cohort", "period"]).loc[values.index]
    about = {"what": "callaway_santanna", "package": PACKAGES["did"]}
    agrees(table["estimate"], values["att"], within=1e-11, case=f"{BY_BOOTSTRAP}, estimates", **about)

    panel = _panel("sim_staggered", cluster="state")
    influence = pd.DataFrame(by_unit.influence.to_numpy() * len(panel.units))
    means = influence.groupby(panel.cluster_codes).mean()
    n_clusters = len(means)
    se = np.sqrt(((means - means.mean()) ** 2).sum() / (n_clusters - 1) / n_clusters)
    ratio = se / values["se"].to_numpy()
    agrees(ratio, np.ones(len(ratio)), within=0.04, case=f"{BY_BOOTSTRAP}, ratio to random standard errors", **about)

    sums = by_unit.influence.groupby(panel.cluster_codes).sum()
    np.testing.assert_allclose(
        apm.callaway_santanna(panel).table["se"], np.sqrt((sums**2).sum()).to_numpy(), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("cluster", ["unit", "state"])
def test_callaway_santanna_from_the_last_period_before_treatment_is_sun_abraham(cluster):
    panel = _panel("sim_staggered", cluster=cluster)
    ours = apm.callaway_santanna(panel, base_period="universal").table.set_index("term")
    regression = apm.sun_abraham(panel)
    saturated = regression.table.set_index("term").loc[ours.index]
    np.testing.assert_allclose(ours["estimate"], saturated["estimate"], rtol=0, atol=1e-12)
    factor = np.sqrt(regression.diagnostics["variance_factor"])
    np.testing.assert_allclose(ours["se"] * factor, saturated["se"], rtol=0, atol=1e-12)


def _function(name):
    package, _, kind, *_ = name.split(".")
    return {"did2s": "two_stage", "didimputation": "imputation"}.get(
        package, "sun_abraham" if kind == "sunab" else kind
    )


def _estimate(name):
    package, data, *rest = name.split(".")
    kind = rest[0]
    if package in ("did2s", "didimputation"):
        panel = _panel(data, cluster=rest[0])
        by = "event" if rest[1] == "es" else "simple"
        return apm.two_stage(panel, by=by) if package == "did2s" else apm.imputation(panel).aggregate(by)
    if rest[-1] == "weighted":
        return apm.twfe(_panel(data, weights="weight"))
    panel = _panel(data, cluster=rest[1]) if len(rest) > 1 else _panel(data)
    if kind == "sunab":
        return apm.sun_abraham(panel).aggregate("simple" if rest[2] == "att" else "event")
    return {"twfe": apm.twfe, "event_study": apm.event_study}[kind](panel)


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regressions_and_imputations_are_those_of_r(name, agrees):
    expected, result = ENTRIES[name], _estimate(name)
    package = name.split(".")[0]
    table = result.table
    if "relative_time" in table:
        table = table.set_index("relative_time").loc[[int(term.split("::")[-1]) for term in expected["term"]]]
    assert len(table) == len(expected["term"])
    # fixest demeans a ragged panel, and did2s and didimputation any panel, only to their own tolerance.
    exact = package == "fixest" and "ragged" not in name
    tolerance = 1e-11 if exact else 2e-9 if package == "fixest" else 2e-7
    about = {"what": _function(name), "package": PACKAGES[package]}
    agrees(table["estimate"], expected["estimate"], within=tolerance, case=f"{name}, estimates", **about)
    agrees(table["se"], expected["se"], within=tolerance, case=f"{name}, standard errors", **about)
    if "p" in expected:
        p_values = table["p_value"]
        if package == "did2s":
            # Its second stage is read as a regression, by the t distribution; ours is by the normal.
            p_values = 2 * stats.t.sf(np.abs(table["estimate"] / table["se"]), result.n_obs - len(table))
        agrees(p_values, expected["p"], within=tolerance, case=f"{name}, p-values", **about)
    if "nobs" in expected:
        assert result.n_obs == expected["nobs"]


def test_units_without_untreated_periods_are_counted_where_did2s_leaves_them_out():
    result = apm.two_stage(_panel("sim_ragged"))
    assert result.diagnostics["left_out"]["units without any untreated period"]["count"] == 22
    assert result.table["estimate"][0] == pytest.approx(0.4964958, abs=5e-8)  # dense least squares on the same rows
