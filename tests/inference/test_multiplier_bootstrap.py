"""The multiplier bootstrap: R did's standard errors, and the covariance it must return to."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.errors import ApmkitError

DID = Path(__file__).parents[1] / "expected" / "did"
pytestmark = pytest.mark.usefixtures("quiet")


def test_draws_on_the_mean_influence_of_states_give_the_standard_errors_of_r_did(make_panel, agrees):
    # R did 2.3.0 takes means of the influence in clusters, not sums, and signs; both simulations err by half a percent.
    entry = json.loads((DID / "did.json").read_text())["entries"]
    values = entry["did.sim_staggered.none.nevertreated.dr.state.unweighted"]["values"]
    frame = pd.read_csv(DID / "sim_staggered.csv").assign(cohort=lambda f: f["cohort"].replace(0, np.nan))
    estimate = apm.callaway_santanna(make_panel(frame))
    assert estimate.table["cohort"].tolist() == values["group"]
    assert estimate.table["period"].tolist() == values["t"]
    means = (
        len(estimate.influence) * estimate.influence.groupby(make_panel(frame, cluster="state").cluster_codes).mean()
    )
    by_state = replace(
        estimate,
        combination=SimpleNamespace(influence=lambda: means.to_numpy() / len(means)),
        panel=SimpleNamespace(clusters=means.index),
    )
    table = apm.multiplier_bootstrap(by_state, weights="rademacher", draws=50_000)
    agrees(table["se"] / values["se"], np.ones(len(table)), within=0.02, what="multiplier_bootstrap",
           package="R did 2.3.0", case="se by state, ratio to R's simulation")  # fmt: skip


@pytest.mark.parametrize("weights", ["mammen", "rademacher", "webb"])
def test_standard_errors_and_band_return_to_the_covariance(weights, make_frame, make_panel):
    estimate = apm.callaway_santanna(make_panel(make_frame(n_units=400))).aggregate("event")
    table = apm.multiplier_bootstrap(estimate, weights=weights, draws=20_000)
    np.testing.assert_allclose(table["se"], estimate.table["se"], rtol=0.03)
    np.testing.assert_allclose(table["ci_low"], estimate.table["ci_low"], atol=0.02)
    band = estimate.uniform_band(draws=20_000)
    np.testing.assert_allclose(table["band_high"], band["high"], atol=0.03)
    assert (table["band_low"] < table["ci_low"]).all()


def test_level_moves_intervals_and_seed_moves_draws(make_frame, make_panel):
    estimate = apm.callaway_santanna(make_panel(make_frame())).aggregate("simple")
    wide, narrow = (apm.multiplier_bootstrap(estimate, level=level, draws=999) for level in (0.99, 0.9))
    assert wide["se"][0] == narrow["se"][0]
    assert wide["ci_low"][0] < narrow["ci_low"][0]
    assert wide["band_low"][0] < narrow["band_low"][0]
    assert apm.multiplier_bootstrap(estimate, draws=999, seed=1)["se"][0] != wide["se"][0]


def test_bad_input_is_refused(make_frame, make_panel):
    estimate = apm.callaway_santanna(make_panel(make_frame())).aggregate("simple")
    for options, match in (
        ({"draws": 10}, "draws=10 is too few: give a whole number"),
        ({"weights": "exponential"}, "weights='exponential' is not known"),
        ({"level": 1.0}, "level=1.0 is not between 0 and 1"),
    ):
        with pytest.raises(ApmkitError, match=match):
            apm.multiplier_bootstrap(estimate, **options)
    with pytest.raises(ApmkitError, match="Driscoll-Kraay has no influence function: ask the estimate as it was bef"):
        apm.multiplier_bootstrap(apm.driscoll_kraay(apm.twfe(make_panel(make_frame()))))
    flat = apm.callaway_santanna(make_panel(make_frame().assign(y=1.0))).aggregate("simple")
    with pytest.raises(ApmkitError, match="No term varies between clusters: there is nothing to resample"):
        apm.multiplier_bootstrap(flat)
