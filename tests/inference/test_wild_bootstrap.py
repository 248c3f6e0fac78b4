"""The wild cluster bootstrap: R's numbers, every sample regressed anew, and its size with few clusters."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apmkit as apm
from apmkit.errors import ApmkitError, DesignWarning, EstimationError

FIXTURE = json.loads((Path(__file__).parents[1] / "expected" / "inference" / "castle.json").read_text())
quick = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

pytestmark = pytest.mark.usefixtures("quiet")


def test_p_value_interval_and_t_are_those_of_fwildclusterboot(castle, agrees):
    expected = FIXTURE["entries"]["boottest.castle"]["values"]
    package = f"R fwildclusterboot {FIXTURE['R_packages']['fwildclusterboot']}"
    # lm counts the effects of states; the p value does not depend on the factor.
    estimate = apm.cluster_variance(apm.twfe(castle), "CR1", fixed_effects="full")
    row = apm.wild_bootstrap(estimate, draws=99_999).iloc[0]
    case = "boottest.castle"
    agrees(row["t"], expected["t"], within=1e-11, what="wild_bootstrap", package=package, case=f"{case} t")
    agrees(row["p_value"], expected["p"], within=0.003, what="wild_bootstrap", package=package, case=f"{case} p")
    agrees(row[["ci_low", "ci_high"]], expected["ci"], within=0.002, what="wild_bootstrap", package=package,
           case=f"{case} interval")  # fmt: skip
    assert row["p_value_error"] == pytest.approx(0.0012, abs=1e-4)
    assert apm.wild_bootstrap(apm.twfe(castle), draws=99_999).iloc[0]["p_value"] == row["p_value"]


def regression(panel, regressors):
    """Rows, outcome and clusters of the regression; columns of interest first. Weighted by the root of the weights."""
    unit, period = np.nonzero(panel.observed)
    root = np.ones(len(unit)) if panel.weights is None else np.sqrt(panel.weights[unit])
    x = np.column_stack(
        [*(r[unit, period] for r in regressors), unit[:, None] == np.arange(len(panel.units)),
         period[:, None] == np.arange(1, len(panel.periods))]
    ).astype(float)  # fmt: skip
    return x * root[:, None], panel.outcomes[unit, period] * root, panel.cluster_codes[unit]


def every_t(x, y, clusters, column, null, restricted=True):
    """t of the data, and of the samples made with every choice of signs, each regressed anew."""
    pseudo = np.linalg.pinv(x)
    n_clusters = clusters.max() + 1

    def t_of(y, null):
        b = pseudo @ y
        scores = np.bincount(clusters, weights=pseudo[column] * (y - x @ b), minlength=n_clusters)
        return (b[column] - null) / np.sqrt((scores**2).sum())

    if restricted:
        others = np.delete(x, column, axis=1)
        fitted = null * x[:, column] + others @ np.linalg.lstsq(others, y - null * x[:, column])[0]
        centre = null
    else:
        fitted, centre = x @ (pseudo @ y), (pseudo @ y)[column]
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=n_clusters)))
    return t_of(y, null), np.array([t_of(fitted + s[clusters] * (y - fitted), centre) for s in signs])


def share(t, draws):
    return np.mean(np.abs(draws) >= abs(t) * (1 - 1e-8))


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("columns", [{}, {"weights": "by_unit"}])
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_p_values_are_those_of_regressing_every_sample_anew(missing, columns, restricted, make_frame, make_panel):
    panel = make_panel(make_frame(n_states=7, n_units=20, missing=missing, seed=2), cluster="state", **columns)
    estimate = apm.event_study(panel, bins=(-2, 0))
    relative = np.clip(panel.periods - panel.cohorts[:, None], -2, 0)
    x, y, clusters = regression(panel, [relative == -2, relative == 0])
    result = apm.wild_bootstrap(estimate, restricted=restricted)
    assert (result["draws"] == 128).all()
    assert (result["p_value_error"] == 0).all()
    for column in (0, 1):
        t, draws = every_t(x, y, clusters, column, 0.0, restricted)
        assert result["p_value"][column] == share(t, draws)
        assert result["t"][column] == pytest.approx(t / np.sqrt(estimate.combination.factor), rel=1e-9)


@pytest.mark.parametrize("restricted", [True, False])
def test_the_interval_holds_what_the_test_does_not_reject(restricted, make_frame, make_panel):
    panel = make_panel(make_frame(n_states=8, seed=5), cluster="state")
    x, y, clusters = regression(panel, [panel.treated])
    row = apm.wild_bootstrap(apm.twfe(panel), restricted=restricted).iloc[0]
    width = row["ci_high"] - row["ci_low"]
    for bound, inwards in ((row["ci_low"], 1), (row["ci_high"], -1)):
        inside, outside = (
            share(*every_t(x, y, clusters, 0, bound + step * inwards * width, restricted)) for step in (1e-6, -1e-6)
        )
        assert outside <= 0.05 < inside


@pytest.mark.parametrize("seed", range(2))
def test_p_values_are_those_of_diff_diff(seed, make_frame, make_panel, agrees):
    from diff_diff import wild_bootstrap_se

    panel = make_panel(make_frame(n_states=10, n_units=30, missing=0.1, seed=seed), cluster="state")
    x, y, clusters = regression(panel, [panel.treated])
    theirs = wild_bootstrap_se(x, y, y, clusters, 0, n_bootstrap=1024)
    ours = apm.wild_bootstrap(apm.twfe(panel), draws=1024).iloc[0]
    # The two samples that are the data, and ties with them, count here.
    agrees(ours["p_value"], theirs.p_value, within=2 / 1024 + 1e-12, what="wild_bootstrap", package="diff-diff",
           case=f"p, all signs, random panel {seed}")  # fmt: skip


@pytest.mark.parametrize("weights", ["webb", "mammen", "rademacher"])
def test_all_weights_agree_with_many_clusters(weights, make_frame, make_panel):
    panel = make_panel(make_frame(n_units=300, seed=1))
    estimate = apm.twfe(panel)
    row = apm.wild_bootstrap(estimate, weights=weights, draws=4_999, seed=3).iloc[0]
    assert row["ci_low"] == pytest.approx(estimate.table["ci_low"][0], abs=0.03)
    assert row["ci_high"] == pytest.approx(estimate.table["ci_high"][0], abs=0.03)
    assert row["draws"] == 4_999


def test_webb_weights_have_mean_zero_and_variance_one_and_six_values():
    from apmkit.inference.cluster_weights import ClusterWeights

    for kind, points, third in (("webb", 6, 0.0), ("rademacher", 2, 0.0), ("mammen", 2, 1.0)):
        drawn = np.hstack(list(ClusterWeights.of(20, kind, 50_000, 0).blocks()))
        assert drawn.shape == (20, 50_000)
        assert len(np.unique(drawn)) == points
        for power, moment in ((1, 0.0), (2, 1.0), (3, third)):
            assert (drawn**power).mean() == pytest.approx(moment, abs=0.008)


def test_the_same_seed_gives_the_same_and_blocks_do_not_matter(make_frame, make_panel, monkeypatch):
    estimate = apm.twfe(make_panel(make_frame(seed=1)))
    one, same = (apm.wild_bootstrap(estimate, draws=999, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one, same)
    assert apm.wild_bootstrap(estimate, draws=999, seed=5)["p_value"][0] != one["p_value"][0]
    every = apm.wild_bootstrap(apm.twfe(make_panel(make_frame(seed=1), cluster="state")))
    monkeypatch.setattr("apmkit.inference.cluster_weights.BLOCK", 97)
    pd.testing.assert_frame_equal(every, apm.wild_bootstrap(apm.twfe(make_panel(make_frame(seed=1), cluster="state"))))


@quick
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), shift=st.sampled_from([0.0, 1e8]))
def test_rows_names_currency_and_a_constant_change_no_p_value(seed, scale, shift, make_frame, make_panel):
    frame = make_frame(seed=seed, n_states=8)
    random = np.random.default_rng(seed)
    names = random.permutation(1000)
    moved = frame.sample(frac=1, random_state=seed).assign(
        unit=lambda f: names[f["unit"]], state=lambda f: names[f["state"]], y=lambda f: scale * (f["y"] + shift)
    )
    one, other = (apm.wild_bootstrap(apm.twfe(make_panel(f, cluster="state"))).iloc[0] for f in (frame, moved))
    assert one["p_value"] == other["p_value"]
    assert other["ci_low"] == pytest.approx(scale * one["ci_low"], rel=1e-4, abs=1e-5 * scale)


def test_one_term_by_name_is_its_row_of_all_terms(castle):
    estimate = apm.sun_abraham(castle).aggregate("event")
    every = apm.wild_bootstrap(estimate, draws=499).set_index("term")
    one = apm.wild_bootstrap(estimate, "relative_time=0", draws=499).set_index("term")
    pd.testing.assert_frame_equal(one, every.loc[["relative_time=0"]])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"weights": "normal"}, "weights='normal' is not known: give 'rademacher'"),
        ({"draws": 50}, "draws=50 is too few: give a whole number of at least 99"),
        ({"level": 95}, "level=95 is not between 0 and 1"),
        ({"level": "95%"}, "level='95%' is not between 0 and 1"),
        ({"seed": -1}, "seed=-1 is not a whole number of at least zero"),
        ({"seed": None}, "seed=None is not a whole number of at least zero"),
        ({"weights": ["webb"]}, "is not known: give 'rademacher'"),
        ({"term": "effect"}, "There is no term 'effect': the terms are ATT"),
    ],
)
def test_bad_options_are_refused(options, match, make_frame, make_panel):
    with pytest.raises(ApmkitError, match=match):
        apm.wild_bootstrap(apm.twfe(make_panel(make_frame())), **options)


def test_an_estimate_with_cr2_is_refused(make_frame, make_panel):
    estimate = apm.cluster_variance(apm.twfe(make_panel(make_frame())))
    with pytest.raises(EstimationError, match=r"give it the estimate as it was before cluster_variance\('CR2'\)"):
        apm.wild_bootstrap(estimate)


def test_an_outcome_that_never_varies_is_refused(make_frame, make_panel):
    estimate = apm.twfe(make_panel(make_frame().assign(y=1.0)))
    with pytest.raises(EstimationError, match="'ATT' has no variance between clusters: there is nothing to resample"):
        apm.wild_bootstrap(estimate)


def test_few_signs_are_warned_of_and_leave_the_interval_without_bounds(make_frame, make_panel):
    estimate = apm.twfe(make_panel(make_frame(n_states=5, seed=1), cluster="state"))
    with pytest.warns(DesignWarning, match="5 clusters have 32 choices of signs, so p values come in steps of 0.0625"):
        row = apm.wild_bootstrap(estimate).iloc[0]
    assert row["p_value"] >= 2 / 32
    assert np.isinf([row["ci_low"], row["ci_high"]]).all()


def test_one_treated_cluster_is_warned_of(make_frame, make_panel):
    frame = make_frame(n_states=12, starts=(2012, *[np.nan] * 11))
    with pytest.warns(DesignWarning, match="1 of 12 clusters of 'state' is treated: the wild bootstrap fails there"):
        apm.wild_bootstrap(apm.twfe(make_panel(frame, cluster="state")))
