"""The one result type: its table, its words, and what it writes."""

import copy
import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import apmkit as apm
from apmkit.estimate import Estimate

COLUMNS = ["term", "estimate", "se", "ci_low", "ci_high", "p_value"]


def made(values, variances, terms=None, **fields):
    terms = pd.DataFrame({"term": terms or [f"t{i}" for i in range(len(values))]})
    defaults = {
        "estimand": "ATT",
        "estimator": "made up",
        "outcome": "visits",
        "n_obs": 1200,
        "n_units": 300,
        "n_clusters": 20,
    }
    return Estimate.from_covariance(terms, np.array(values), np.diag(variances), **{**defaults, **fields})


@pytest.fixture(scope="module")
def panel():
    random = np.random.default_rng(7)
    unit, year = np.repeat(np.arange(60), 5), np.tile(np.arange(2018, 2023), 60)
    start = np.array([2020, 2021, np.nan])[unit % 3]
    y = random.normal(size=60)[unit] + random.normal(size=300) + 2.0 * (year >= start)
    frame = pd.DataFrame({"unit": unit, "year": year, "y": y, "start": start, "state": unit % 10})
    return apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="start", cluster="state")


# -- table -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("df", "reference"), [(math.inf, stats.norm), (7, stats.t(7))])
def test_intervals_and_p_values_follow_from_the_reference_distribution(df, reference):
    table = made([1.0, -3.0, 0.0], [1.0, 4.0, 0.25], degrees_of_freedom=df, level=0.9).table
    se = np.array([1.0, 2.0, 0.5])
    assert table.columns.tolist() == COLUMNS
    np.testing.assert_allclose(table["se"], se)
    np.testing.assert_allclose(table["ci_low"], table["estimate"] - reference.ppf(0.95) * se)
    np.testing.assert_allclose(table["ci_high"], table["estimate"] + reference.ppf(0.95) * se)
    np.testing.assert_allclose(table["p_value"], 2 * reference.sf(np.abs(table["estimate"] / se)))


def test_a_p_value_far_in_the_tail_is_small_and_not_zero():
    assert made([30.0], [1.0]).table["p_value"][0] == pytest.approx(2 * stats.norm.sf(30), rel=1e-10)


def test_no_variance_leaves_no_p_value():
    table = made([1.0], [0.0]).table
    assert table["se"][0] == 0
    assert np.isnan(table["p_value"][0])


def test_given_p_values_stand():
    result = made([1.0], [np.nan], p_values=np.array([0.125]))
    assert result.table["p_value"].tolist() == [0.125]
    assert np.isnan(result.table["ci_low"][0])


def test_labels_of_terms_follow_the_numbers(panel):
    table = apm.callaway_santanna(panel).table
    assert table.columns.tolist() == [*COLUMNS, "cohort", "period", "relative_time"]
    assert table["cohort"].dtype.kind == table["period"].dtype.kind == table["relative_time"].dtype.kind == "i"
    assert (table["relative_time"] == table["period"] - table["cohort"]).all()


def test_what_is_no_covariance_is_refused():
    with pytest.raises(ValueError, match="The variance of 't1' is negative: the covariance given is not a covariance"):
        made([1.0, 2.0], [1.0, -0.5])
    with pytest.raises(ValueError, match=r"level=1\.5 is not between 0 and 1"):
        made([1.0], [1.0], level=1.5)


def test_another_level_changes_the_intervals_and_nothing_else(panel):
    result = apm.callaway_santanna(panel)
    wider = result.with_level(0.99)
    assert wider.level == 0.99
    half = stats.norm.ppf(0.995) * result.table["se"]
    np.testing.assert_allclose(wider.table["ci_high"], result.table["estimate"] + half)
    same = ["term", "estimate", "se", "p_value", "cohort", "period", "relative_time"]
    pd.testing.assert_frame_equal(wider.table[same], result.table[same])
    pd.testing.assert_frame_equal(wider.table, apm.callaway_santanna(panel, level=0.99).table)
    assert wider.aggregate("simple").level == 0.99
    with pytest.raises(ValueError, match="level=99 is not between 0 and 1"):
        result.with_level(99)


def test_a_result_cannot_be_changed(panel):
    result = apm.twfe(panel)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.level = 0.5
    with pytest.raises(TypeError):
        result.diagnostics["left_out"] = {}
    copy = result.to_frame()
    copy["estimate"] = 0.0
    assert result.table["estimate"][0] != 0.0


# -- words -------------------------------------------------------------------------------------------------------------


def test_a_clear_fall_is_told_with_the_near_end_first():
    words = made([-12.0], [9.0]).sentence("ED visits", unit="per 1,000")
    assert words == "ED visits fell by 12.0 per 1,000 (95% CI 6.1 to 17.9)."


def test_a_clear_rise_is_told():
    assert made([1234.5], [10_000.0]).sentence() == "visits rose by 1,234 (95% CI 1,039 to 1,430)."


def test_an_unclear_change_is_told_with_what_it_cannot_rule_out():
    words = made([-0.5], [1.0], level=0.9).sentence()
    assert words == (
        "visits: no clear change. The estimate is a fall of 0.5; "
        "the data cannot rule out a fall of 2.1 or a rise of 1.1 (90% CI)."
    )


def test_a_level_of_half_percents_is_not_rounded():
    assert "(99.5% CI" in made([10.0], [1.0], level=0.995).sentence()


def test_digits_can_be_chosen():
    assert made([3.14159], [0.01]).sentence(digits=3) == "visits rose by 3.142 (95% CI 2.946 to 3.338)."


def test_inference_by_permutation_tells_p_and_its_floor():
    result = made([-2.0], [np.nan], p_values=np.array([1 / 9]), diagnostics={"p_value_floor": 1 / 9})
    assert result.sentence() == (
        "visits: the estimate is a fall of 2.00 (permutation p = 0.111; with these donors p cannot be below 0.111)."
    )
    without_floor = made([-2.0], [np.nan], p_values=np.array([0.25]))
    assert without_floor.sentence() == "visits: the estimate is a fall of 2.00 (permutation p = 0.250)."
    bare = made([2.0], [np.nan], p_values=np.array([np.nan]))
    assert bare.sentence() == "visits: the estimate is a rise of 2.00."


def test_the_summary_holds_sentence_table_and_size():
    result = made(
        [2.0], [0.25], terms=["ATT"], diagnostics={"left_out": {"units of a kind": {"count": 3, "first": []}}}
    )
    text = result.summary()
    assert text == repr(result)
    for part in (
        "made up: ATT on visits",
        "1,200 rows, 300 units, 20 clusters",
        "left out: units of a kind: 3",
        result.sentence(),
    ):
        assert part in text
    assert result.sentence() not in made([2.0, 3.0], [0.25, 1.0]).summary()


def test_html_is_escaped():
    html = made([1.0], [1.0], terms=["<b>t</b>"], outcome="a < b & c")._repr_html_()
    assert "a &lt; b &amp; c" in html
    assert "&lt;b&gt;t&lt;/b&gt;" in html
    assert "<b>" not in html


# -- written -----------------------------------------------------------------------------------------------------------


def test_json_is_strict_and_holds_the_result(panel):
    result = apm.callaway_santanna(panel)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    written = json.loads(result.to_json(), parse_constant=refuse)
    assert [row["term"] for row in written["table"]] == result.table["term"].tolist()
    assert [row["estimate"] for row in written["table"]] == result.table["estimate"].tolist()
    assert written["table"][0]["cohort"] == 2020
    np.testing.assert_array_equal(written["covariance"], result.covariance)
    assert (written["n_obs"], written["n_units"], written["n_clusters"]) == (300, 60, 10)
    assert written["diagnostics"]["control"] == "never_treated"
    assert written["provenance"]["data_sha256"] == panel.checksum


def test_missing_and_infinite_numbers_become_null():
    result = made([1.0], [np.nan], diagnostics={"ratio": np.inf, "list": [np.float64("nan"), 1]})
    written = json.loads(result.to_json())
    assert written["table"][0]["se"] is None
    assert written["covariance"] == [[None]]
    assert written["diagnostics"] == {"ratio": None, "list": [None, 1]}


def test_provenance_names_call_data_versions_and_seed(panel):
    provenance = apm.callaway_santanna(panel, control="not_yet_treated", level=0.9).provenance
    assert provenance["call"] == (
        "callaway_santanna(panel, control='not_yet_treated', base_period='varying', unbalanced='pairs', "
        "small_sample='none', level=0.9)"
    )
    assert provenance["data_sha256"] == panel.checksum
    assert set(provenance["versions"]) == {"apmkit", "numpy", "pandas", "scipy"}
    assert provenance["versions"]["numpy"] == np.__version__
    assert provenance["seed"] is None
    assert made([1.0], [1.0], seed=5).provenance["seed"] == 5


@pytest.mark.parametrize("name", ["twfe", "event_study", "sun_abraham", "callaway_santanna", "imputation", "two_stage"])
def test_the_call_in_the_provenance_gives_the_result_again(name, panel):
    result = getattr(apm, name)(panel, level=0.8, small_sample="none")
    call = result.provenance["call"]
    assert call.startswith(f"{name}(panel, ")
    options = dict(part.split("=") for part in call.removeprefix(f"{name}(panel, ").removesuffix(")").split(", "))
    literal = {key: json.loads(value.replace("'", '"').replace("None", "null")) for key, value in options.items()}
    pd.testing.assert_frame_equal(getattr(apm, name)(panel, **literal).table, result.table)


# -- delegated ---------------------------------------------------------------------------------------------------------


def test_influence_is_by_cluster_and_its_cross_product_is_the_covariance(panel):
    for result in (apm.twfe(panel), apm.callaway_santanna(panel).aggregate("event")):
        influence = result.influence
        assert influence.index.tolist() == list(range(10))
        assert influence.columns.tolist() == result.table["term"].tolist()
        np.testing.assert_allclose(influence.T @ influence, result.covariance, atol=1e-12)
    with pytest.raises(ValueError, match="made up has no influence function: joint_test and uniform_band need its cov"):
        _ = made([1.0], [1.0]).influence
    with pytest.raises(ValueError, match="made up has no influence function: its inference is by permutation"):
        _ = made([1.0], [np.nan]).influence


def test_overall_belongs_to_rows_that_were_averaged(panel):
    result = apm.callaway_santanna(panel)
    event = result.aggregate("event")
    since = event.table[event.table["relative_time"] >= 0]
    assert event.overall.table["estimate"][0] == pytest.approx(since["estimate"].mean())
    for bare in (result, result.aggregate("simple"), event.overall):
        with pytest.raises(ValueError, match=r'call aggregate\("event"\) first'):
            _ = bare.overall


def test_joint_test_and_band_are_those_of_the_inference_room(panel):
    from apmkit.inference import joint_test, uniform_band

    event = apm.event_study(panel)
    pd.testing.assert_series_equal(event.joint_test(), joint_test(event))
    pd.testing.assert_frame_equal(event.uniform_band(0.9, seed=4), uniform_band(event, 0.9, seed=4))


def test_weights_ask_for_a_term_where_there_are_several(panel):
    result = apm.callaway_santanna(panel)
    with pytest.raises(ValueError, match=r"Name one of the 8 terms, for instance term='ATT\(2020, 2019\)'"):
        result.weights()
    with pytest.raises(ValueError, match=r"There is no term 'ATT': the terms are ATT\(2020, 2019\), "):
        result.weights("ATT")
    cells = result.aggregate("simple").weights()
    assert cells.index.tolist() == [2020, 2021, "never"]
    assert cells.columns.tolist() == [2018, 2019, 2020, 2021, 2022]
    with pytest.raises(ValueError, match="made up has no weights on cohort x period cells"):
        made([1.0], [1.0]).weights()


def test_the_call_names_every_step_after_the_estimator(panel):
    result = apm.callaway_santanna(panel)
    assert result.aggregate("event").overall.call == f"{result.call}.aggregate('event').overall"
    again = result.aggregate("cohort").term("cohort=2020").with_level(0.9)
    assert again.call == f"{result.call}.aggregate('cohort').term('cohort=2020').with_level(0.9)"


def test_the_checksum_is_of_the_panel_given_also_where_units_are_left_out(panel):
    rows = panel.to_frame()
    rows.loc[rows["unit"] == 1, "cohort"] = 2018.0
    given = apm.Panel(rows, unit="unit", time="year", outcome="y", cohort="cohort")
    with pytest.warns(apm.DesignWarning, match="treated from the first period 2018"):
        result = apm.twfe(given)
    assert result.n_units == 59
    assert result.provenance["data_sha256"] == given.checksum


def test_a_level_holds_for_the_overall_number_too(panel):
    event = apm.callaway_santanna(panel).aggregate("event")
    assert event.with_level(0.5).overall.level == 0.5
    with pytest.raises(ValueError, match=r'call aggregate\("event"\) first'):
        _ = apm.callaway_santanna(panel).aggregate("simple").overall


def test_a_result_survives_a_deep_copy(panel):
    result = apm.callaway_santanna(panel).aggregate("event")
    copied = copy.deepcopy(result)
    pd.testing.assert_frame_equal(copied.table, result.table)
    pd.testing.assert_frame_equal(copied.overall.table, result.overall.table)
    assert copied.diagnostics == result.diagnostics
    with pytest.raises(TypeError):
        copied.diagnostics["left_out"] = {}


def test_a_sentence_is_about_one_term(panel):
    with pytest.raises(ValueError, match=r"says one number and there are \d+: choose one, for instance term\("):
        apm.callaway_santanna(panel).sentence()


def test_another_level_keeps_the_centre_of_an_interval_that_is_not_centred_on_its_estimate():
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, 2_000)
    data = pd.DataFrame({"x": x, "y": (x >= 0) + x**2 + random.normal(size=2_000)})
    wide = apm.regression_discontinuity(data, outcome="y", running="x", level=0.99)
    again = apm.regression_discontinuity(data, outcome="y", running="x").with_level(0.99)
    pd.testing.assert_frame_equal(again.table, wide.table)


def test_intervals_that_no_covariance_gave_are_not_lost_at_another_level():
    result = made([1.0], [np.nan])
    result.table.loc[0, ["ci_low", "ci_high"]] = [0.0, np.inf]
    with pytest.raises(ValueError, match=r"These intervals are not from a covariance: give made up level=0\.9"):
        result.with_level(0.9)


def test_published_numbers_that_do_not_fit_are_refused():
    terms = pd.DataFrame({"term": ["a", "b"]})
    numbers = {"estimand": "ATT", "estimator": "made", "outcome": "y", "n_obs": 9, "n_units": 9, "n_clusters": 9}
    for values, covariance, message in [
        ([1.0], np.eye(2), "There are 2 terms, but estimates of shape"),
        ([1.0, 2.0], np.eye(3), "There are 2 terms, but estimates of shape"),
        ([1.0, 2.0], [1.0, 1.0], "There are 2 terms, but estimates of shape"),
        (["a", 2.0], np.eye(2), "estimates must hold numbers only"),
        ([1.0, 2.0], [[1.0, 0.5], [0.4, 1.0]], "The covariance is not symmetric"),
        ([1.0, 2.0], [[np.inf, 0.0], [0.0, 1.0]], "An estimate or a variance is infinite"),
        ([1.0, 2.0], [[1.0, 0.0], [0.0, -1.0]], "The variance of 'b' is negative"),
    ]:
        with pytest.raises(ValueError, match=message):
            apm.Estimate.from_covariance(terms, values, covariance, **numbers)
    with pytest.raises(ValueError, match="terms has no column 'term'"):
        apm.Estimate.from_covariance(pd.DataFrame({"name": ["a"]}), [1.0], [[1.0]], **numbers)


def test_the_sentence_of_a_result_whose_inference_is_withheld_says_why():
    year = np.tile(np.arange(8), 6)
    unit = np.repeat(np.arange(6), 8)
    wave = np.where(unit == 0, 10.0 * (-1.0) ** year, np.sin(unit * year))
    frame = pd.DataFrame({"unit": unit, "year": year, "y": wave, "start": np.where(unit == 0, 6, np.nan)})
    with pytest.warns(UserWarning, match="withheld"):
        result = apm.synthetic_control(apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="start"))
    assert result.sentence().startswith("y: the estimate is a ")
    assert result.sentence().endswith(result.diagnostics["withheld"])


def test_one_of_a_kind_is_in_the_singular():
    terms = pd.DataFrame({"term": ["x"]})
    sizes = {"n_obs": 1_200, "n_units": 1, "n_clusters": 1}
    result = Estimate.from_covariance(
        terms, np.array([1.0]), np.eye(1), estimand="mean", estimator="By hand", outcome="y", **sizes
    )
    assert "1,200 rows, 1 unit, 1 cluster" in result.summary()
