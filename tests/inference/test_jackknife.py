"""The jackknife over clusters, effective clusters, and the figure of influence."""

import duckdb
import matplotlib as mpl
import numpy as np
import pytest

import apmkit as apm
from apmkit.errors import ApmkitError, DesignWarning
from apmkit.plots import cluster_influence

pytestmark = pytest.mark.usefixtures("quiet")
mpl.use("Agg")


def simple(panel):
    return apm.callaway_santanna(panel).aggregate("simple")


def test_the_table_says_what_the_estimate_is_without_each_cluster(make_frame, make_panel):
    frame = make_frame(missing=0.1)
    result = apm.jackknife(make_panel(frame, cluster="state"), simple)
    rows = result.details["leave_one_out"]
    assert sorted(rows["cluster"]) == list(range(10))
    for row in rows.itertuples():
        without = simple(make_panel(frame[frame["state"] != row.cluster], cluster="state"))
        assert row.estimate == pytest.approx(without.table["estimate"][0], abs=1e-12)
    np.testing.assert_allclose(rows["change"], rows["estimate"] - result.table["estimate"][0], atol=1e-12)
    assert rows["change"].abs().is_monotonic_decreasing
    assert result.table["se"][0] == pytest.approx(np.sqrt(0.9 * (rows["change"] ** 2).sum()))
    np.testing.assert_allclose(rows["change_in_se"], rows["change"] / result.table["se"][0])
    assert result.degrees_of_freedom == 9


def test_the_jackknife_of_a_regression_is_cr3(castle, agrees):
    direct = apm.jackknife(castle, apm.twfe)
    agrees(direct.table["se"], apm.cluster_variance(apm.twfe(castle), "CR3").table["se"], within=1e-12,
           what="jackknife", package="apmkit cluster_variance", case="castle CR3")  # fmt: skip


def test_a_term_that_needs_a_cluster_has_no_standard_error(castle):
    with pytest.warns(DesignWarning, match=r"Without state Florida \(and without 1 more\) there is no estimate of rel"):
        result = apm.jackknife(castle, apm.event_study)
    missing = result.table["se"].isna()
    assert result.table["term"][missing].tolist() == ["relative_time=-9", "relative_time=5"]
    assert np.isfinite(result.table["se"][~missing]).all()


def test_a_lone_treated_cluster_leaves_nothing_to_say(make_frame, make_panel):
    panel = make_panel(make_frame(n_states=12, starts=(2012, *[np.nan] * 11)), cluster="state")
    with pytest.warns(DesignWarning, match="Without state 0 there is no estimate of ATT"):
        result = apm.jackknife(panel, apm.twfe)
    assert np.isnan(result.table["se"][0])


def test_only_estimates_are_taken(make_frame, make_panel):
    with pytest.raises(ApmkitError, match="The estimator gives float: it must give an Estimate"):
        apm.jackknife(make_panel(make_frame()), lambda panel: 1.0)


# -- effective clusters ------------------------------------------------------------------------------------------------


def test_equal_clusters_all_count(make_frame, make_panel):
    frame = make_frame(n_units=20, n_states=20, starts=(2012, np.nan))
    assert apm.effective_clusters(apm.twfe(make_panel(frame)))["ATT"] == pytest.approx(20)


@pytest.mark.parametrize("columns", [{}, {"weights": "by_unit"}, {"weights": "by_row"}])
def test_effective_clusters_follow_the_definition_of_carter_schnepel_steigerwald(columns, make_frame, make_panel):
    panel = make_panel(make_frame(missing=0.1), cluster="state", **columns)
    found = apm.effective_clusters(apm.twfe(panel))["ATT"]
    unit, period = np.nonzero(panel.observed)
    root = np.ones(len(unit))
    if panel.weights is not None:
        root = np.sqrt(panel.weights[unit] if panel.weights.ndim == 1 else panel.weights[unit, period])
    x = root[:, None] * np.column_stack(
        [panel.treated[unit, period], unit[:, None] == np.arange(len(panel.units)),
         period[:, None] == np.arange(1, len(panel.periods))]
    )  # fmt: skip
    row = np.linalg.pinv(x)[0]
    gamma = np.bincount(panel.cluster_codes[unit], weights=row**2)
    g = len(gamma)
    assert found == pytest.approx(g / (1 + ((gamma / gamma.mean() - 1) ** 2).mean()), rel=1e-9)


def test_an_estimate_without_weights_on_outcomes_has_no_effective_clusters(castle):
    with pytest.raises(ApmkitError, match="has no weights on outcomes from which to count clusters"):
        apm.effective_clusters(apm.driscoll_kraay(apm.twfe(castle)))


# -- the figure --------------------------------------------------------------------------------------------------------


def test_the_figure_shows_the_clusters_that_change_most(castle):
    result = apm.jackknife(castle, apm.twfe)
    ax = cluster_influence(result, top=5)
    names = [label.get_text() for label in ax.get_yticklabels()]
    rows = result.details["leave_one_out"].head(5)
    assert names == [f"without {cluster}" for cluster in rows["cluster"]]
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), rows["estimate"])
    assert "l_homicide" in ax.get_xlabel()


def test_the_figure_refuses_what_it_cannot_show(castle):
    with pytest.raises(ApmkitError, match="make it with jackknife"):
        cluster_influence(apm.twfe(castle))
    several = apm.jackknife(castle, apm.event_study)
    with pytest.raises(ApmkitError, match="Name one of the 14 terms"):
        cluster_influence(several)
    with pytest.raises(ApmkitError, match="top=0 shows no cluster"):
        cluster_influence(several, "relative_time=0", top=0)


def test_a_panel_of_a_file_and_what_is_no_estimator_are_refused(make_frame, make_panel, tmp_path):
    duckdb.from_df(make_frame()).write_parquet(str(tmp_path / "rows.parquet"))
    for columns in ({}, {"cluster": "state"}):
        panel = make_panel(str(tmp_path / "rows.parquet"), **columns)
        with pytest.raises(ApmkitError, match="A panel of a file or relation keeps sums over groups"):
            apm.jackknife(panel, apm.twfe)
    panel = make_panel(make_frame())
    with pytest.raises(ApmkitError, match="estimator is of type Estimate: give a function that takes a panel"):
        apm.jackknife(panel, apm.twfe(panel))


def test_effective_clusters_are_the_same_where_weights_are_made_in_blocks(make_frame, make_panel, monkeypatch):
    from apmkit.did import blocks

    frame = make_frame(missing=0.1)
    frame["weight"] = np.random.default_rng(0).uniform(0.5, 2.0, len(frame))
    panel = make_panel(frame, weights="weight", cluster="state")
    whole = apm.effective_clusters(apm.callaway_santanna(panel))
    monkeypatch.setattr(blocks, "_BLOCK", 500)
    estimate = apm.callaway_santanna(panel)
    assert isinstance(estimate.combination.weights, blocks.Blockwise)
    np.testing.assert_allclose(apm.effective_clusters(estimate), whole, rtol=1e-12)
