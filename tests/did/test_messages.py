"""What an estimator refuses or leaves out, it says: what, how many, which, and what to do."""

import warnings

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.errors import DesignWarning, EstimationError, PanelError

ESTIMATORS = [
    apm.twfe,
    apm.event_study,
    apm.sun_abraham,
    apm.callaway_santanna,
    apm.imputation,
    apm.two_stage,
]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda f: f.__name__)


def messages(call):
    """The result of a call and the texts of the warnings it gave, all of them pointing at this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    assert all(issubclass(w.category, DesignWarning) and w.filename == __file__ for w in caught)
    return result, [str(w.message) for w in caught]


# -- refused -----------------------------------------------------------------------------------------------------------


@every_estimator
def test_a_panel_in_which_nobody_starts_treatment_is_refused(estimator, make_frame, make_panel):
    with pytest.raises(
        EstimationError,
        match=r"No unit of 'y' starts treatment after the first period 2010 and by the last 2015: .* check the cohort",
    ):
        estimator(make_panel(make_frame(starts=(None,))))


@every_estimator
def test_a_panel_in_which_all_are_treated_from_the_start_is_refused(estimator, make_frame, make_panel):
    with pytest.raises(EstimationError, match="No unit of 'y' starts treatment after the first period 2010"):
        estimator(make_panel(make_frame(starts=(2009, 2010))))


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (apm.twfe, "every unit starts at the same time, or none is left to compare with; add units that start later"),
        (apm.event_study, "every unit starts at the same time, or none is left to compare with; add units that start"),
        (apm.sun_abraham, "All units start treatment in 2012: there is nobody to compare with; add units that start"),
        (apm.callaway_santanna, "No unit is never treated in this panel: use control='not_yet_treated', or add units"),
        (
            apm.imputation,
            "Every period with treated units lacks untreated ones: .* add units that start later or never",
        ),
        (apm.two_stage, "Every period with treated units lacks untreated ones: .* add units that start later or never"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
def test_a_panel_without_units_to_compare_with_is_refused(estimator, sentence, make_frame, make_panel):
    with pytest.raises(EstimationError, match=sentence):
        estimator(make_panel(make_frame(starts=(2012,))))


def test_not_yet_treated_controls_that_do_not_exist_are_refused(make_frame, make_panel):
    with pytest.raises(EstimationError, match="none is left to compare with under control='not_yet_treated'"):
        apm.callaway_santanna(make_panel(make_frame(starts=(2012,))), control="not_yet_treated")


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
def test_an_event_study_known_only_up_to_a_straight_line_is_refused(make_frame, make_panel):
    panel = make_panel(make_frame(starts=(2012, 2014)))
    with pytest.raises(EstimationError, match=r"without units that are never treated, .* only up to a straight line"):
        apm.event_study(panel)
    assert len(apm.event_study(panel, bins=(-2, 2)).table) == 4


def test_an_event_study_without_its_reference_is_refused(make_frame, make_panel):
    frame = make_frame(starts=(2012, 2014, None)).query("year in (2010, 2012, 2014)")
    with pytest.raises(
        EstimationError, match=r"relative time -1: there is no reference; .* number its periods 1, 2, 3"
    ):
        apm.event_study(make_panel(frame))


@pytest.mark.parametrize("bins", [(-1, 3), (-3, -1), (0, 2)])
def test_bins_that_swallow_the_reference_are_refused(bins, make_frame, make_panel):
    with pytest.raises(EstimationError, match=r"bins=\(.*\) must be whole numbers, at most -2 and at least 0"):
        apm.event_study(make_panel(make_frame()), bins=bins)


@every_estimator
def test_an_unknown_small_sample_factor_is_refused(estimator, make_frame, make_panel):
    with pytest.raises(EstimationError, match="small_sample='HC3' is not known: give 'none' or 'fixest'"):
        estimator(make_panel(make_frame()), small_sample="HC3")


@every_estimator
@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_that_is_no_probability_is_refused(estimator, level, make_frame, make_panel):
    with pytest.raises(ValueError, match=f"level={level} is not between 0 and 1: give 0.95"):
        estimator(make_panel(make_frame()), level=level)


@pytest.mark.parametrize(
    ("option", "allowed"),
    [
        ("control", "'never_treated' or 'not_yet_treated'"),
        ("base_period", "'varying' or 'universal'"),
        ("unbalanced", "'pairs' or 'repeated_cross_sections'"),
    ],
)
def test_an_unknown_option_of_callaway_santanna_is_refused(option, allowed, make_frame, make_panel):
    with pytest.raises(EstimationError, match=f"{option}='no' is not known: give {allowed}"):
        apm.callaway_santanna(make_panel(make_frame()), **{option: "no"})


def test_an_unknown_form_of_the_two_stage_estimator_is_refused(make_frame, make_panel):
    with pytest.raises(EstimationError, match="by='cohort' is not known: give 'simple' or 'event'"):
        apm.two_stage(make_panel(make_frame()), by="cohort")


def test_an_unknown_average_is_refused(make_frame, make_panel):
    with pytest.raises(ValueError, match="by='dynamic' is not known: give one of 'simple', 'event', 'cohort'"):
        apm.callaway_santanna(make_panel(make_frame())).aggregate("dynamic")


def test_an_average_of_what_is_not_by_cohort_and_period_is_refused(make_frame, make_panel):
    panel = make_panel(make_frame())
    with pytest.raises(ValueError, match=r"does not give effects by cohort and period, .* use callaway_santanna"):
        apm.twfe(panel).aggregate("simple")
    with pytest.raises(ValueError, match="This result is already aggregated by 'event': aggregate the"):
        apm.callaway_santanna(panel).aggregate("event").aggregate("simple")


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
def test_more_effects_than_rows_can_carry_are_refused(make_panel):
    frame = pd.DataFrame(
        {"unit": [1, 1, 2, 2], "year": [1, 2, 1, 2], "y": [1.0, 2, 3, 5], "cohort": [2, 2, None, None]}
    )
    result = apm.twfe(make_panel(frame))
    assert result.table["estimate"][0] == pytest.approx(-1.0)
    late = frame[~((frame["unit"] == 2) & (frame["year"] == 1))]
    with pytest.raises((EstimationError, PanelError)):
        apm.twfe(make_panel(late))


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
@pytest.mark.parametrize("estimator", [apm.twfe, apm.event_study, apm.sun_abraham])
def test_cross_sections_are_refused_where_unit_effects_need_two_rows(estimator, make_panel):
    frame = pd.DataFrame(
        {"unit": range(40), "year": [1, 2] * 20, "y": np.arange(40.0), "cohort": [2, None, None, 2] * 10}
    )
    with pytest.raises(EstimationError, match="Every unit is observed once: check column 'unit', or use callaway_sant"):
        estimator(make_panel(frame))
    by_means = apm.callaway_santanna(make_panel(frame), unbalanced="repeated_cross_sections")
    assert by_means.table["term"].tolist() == ["ATT(2, 2)"]


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
def test_one_cluster_left_after_setting_aside_the_always_treated_is_refused(make_frame, make_panel):
    frame = make_frame(starts=(2009, 2012, None)).assign(side=lambda f: np.where(f["cohort"] == 2009, "early", "rest"))
    with pytest.raises(PanelError, match=r"One cluster of column 'side', 'rest', is left .* choose a finer cluster"):
        apm.twfe(make_panel(frame, cluster="side"))


# -- left out, counted and named ---------------------------------------------------------------------------------------


@every_estimator
def test_units_treated_from_the_first_period_are_left_out_counted_and_named(estimator, make_frame, make_panel):
    frame = make_frame()
    always = make_frame(n_units=2, starts=(2008,), seed=3).assign(unit=lambda f: "early " + f["unit"].astype(str))
    panel = make_panel(pd.concat([frame.assign(unit=frame["unit"].astype(str)), always]))
    result, texts = messages(lambda: estimator(panel))
    reason = "units treated from the first period 2010"
    assert texts == [f"Left out {reason}: 2 (early 0, early 1)."]
    assert result.diagnostics["left_out"] == {reason: {"count": 2, "first": ["early 0", "early 1"]}}
    assert f"left out: {reason}: 2" in result.summary()
    without = estimator(make_panel(frame))
    np.testing.assert_allclose(result.table["estimate"], without.table["estimate"], atol=1e-12)
    np.testing.assert_allclose(result.covariance, without.covariance, atol=1e-12)


@every_estimator
def test_a_period_that_only_always_treated_units_reach_leaves_no_trace(estimator, make_frame, make_panel):
    frame = make_frame()
    early = pd.DataFrame({"unit": [900, 900], "year": [2009, 2010], "y": [1.0, 2.0], "cohort": 2009.0, "state": 0})
    result, texts = messages(lambda: estimator(make_panel(pd.concat([frame, early]))))
    assert texts == ["Left out units treated from the first period 2009: 1 (900)."]
    without = estimator(make_panel(frame))
    np.testing.assert_allclose(result.table["estimate"], without.table["estimate"], atol=1e-12)
    np.testing.assert_allclose(result.covariance, without.covariance, atol=1e-12)


def test_many_names_are_cut_to_ten_and_the_rest_counted(make_frame, make_panel):
    frame = make_frame(starts=(2010, 2012, None))
    result, texts = messages(lambda: apm.twfe(make_panel(frame)))
    assert texts[0].endswith("2010: 20 (0, 3, 6, 9, 12, 15, 18, 21, 24, 27 and 10 more).")
    assert result.n_units == 40


@pytest.mark.parametrize("estimator", [apm.imputation, apm.two_stage])
def test_units_that_enter_treated_are_left_out_of_imputation(estimator, make_frame, make_panel):
    frame = make_frame().query("not (cohort == 2012 and unit < 12 and year < 2012)")
    result, texts = messages(lambda: estimator(make_panel(frame)))
    assert texts == ["Left out units without any untreated period: 3 (0, 4, 8)."]
    assert result.n_units == 57


@pytest.mark.parametrize("estimator", [apm.imputation, apm.two_stage, apm.sun_abraham])
def test_periods_without_untreated_units_are_left_out_and_named(estimator, make_frame, make_panel):
    panel = make_panel(make_frame(starts=(2012, 2014)))
    result, texts = messages(lambda: estimator(panel))
    assert texts == ["Left out periods in which no unit is untreated: 2 (2014, 2015)."]
    assert result.n_obs == 60 * 4


def test_sun_abraham_leaves_out_a_cohort_that_is_only_seen_under_treatment(make_frame, make_panel):
    frame = make_frame(starts=(2012, 2014, None))
    frame = frame[~((frame["cohort"] == 2012) & (frame["year"] < 2012))]
    result, texts = messages(lambda: apm.sun_abraham(make_panel(frame)))
    assert texts[0].startswith("Left out units of cohorts never observed before treatment: 20 (0, 3, 6,")
    without = apm.sun_abraham(make_panel(frame[frame["cohort"] != 2012]))
    np.testing.assert_allclose(result.table["estimate"], without.table["estimate"], atol=1e-12)


def test_sun_abraham_refuses_cohorts_that_are_all_seen_only_under_treatment(make_frame, make_panel):
    frame = make_frame(starts=(2012, None)).query("not (cohort == 2012 and year < 2012)")
    with pytest.raises(
        EstimationError, match="No treated cohort is observed before its treatment: add earlier periods"
    ):
        apm.sun_abraham(make_panel(frame))


@pytest.mark.parametrize("estimator", [apm.twfe, apm.event_study, apm.sun_abraham, apm.callaway_santanna])
def test_units_observed_once_are_left_out(estimator, make_frame, make_panel):
    frame = make_frame().query("unit != 7 or year == 2013")
    result, texts = messages(lambda: estimator(make_panel(frame)))
    assert texts == ["Left out units observed once, which show no change: 1 (7)."]
    assert result.n_obs == 59 * 6


def test_effects_without_a_comparison_are_named_and_not_reported(make_frame, make_panel):
    frame = make_frame(starts=(2012, 2014))
    result, texts = messages(lambda: apm.callaway_santanna(make_panel(frame), control="not_yet_treated"))
    assert result.table["term"].tolist() == ["ATT(2012, 2011)", "ATT(2012, 2012)", "ATT(2012, 2013)",
                                             "ATT(2014, 2011)"]  # fmt: skip
    assert texts == [
        "Left out effects that no comparison identifies: 6 (ATT(2012, 2014), ATT(2012, 2015), ATT(2014, 2012), "
        "ATT(2014, 2013), ATT(2014, 2014), ATT(2014, 2015))."
    ]


def test_effects_known_only_relative_to_each_other_are_not_reported(make_frame, make_panel):
    # Cohort 2012 is one unit seen to 2012 and another seen from 2013: nothing ties the second to the time before.
    frame = make_frame(starts=(2012, 2014, None)).query(
        "cohort != 2012 or (unit == 0 and year <= 2012) or (unit == 3 and year >= 2013)"
    )
    result, texts = messages(lambda: apm.sun_abraham(make_panel(frame)))
    told = result.table.loc[result.table["cohort"] == 2012, "term"].tolist()
    assert told == ["ATT(2012, 2010)", "ATT(2012, 2012)"]
    assert texts[0] == (
        "Left out effects that no comparison identifies: 3 (ATT(2012, 2013), ATT(2012, 2014), ATT(2012, 2015))."
    )


def test_sun_abraham_refers_to_the_last_period_before_treatment_where_years_are_skipped(make_frame, make_panel):
    frame = make_frame(starts=(2012, 2014, None)).query("year in (2010, 2012, 2014)")
    saturated = apm.sun_abraham(make_panel(frame))
    compared = apm.callaway_santanna(make_panel(frame), base_period="universal")
    assert saturated.table["term"].tolist() == compared.table["term"].tolist()
    np.testing.assert_allclose(saturated.table["estimate"], compared.table["estimate"], rtol=0, atol=1e-12)


@every_estimator
def test_a_cohort_that_starts_between_two_periods_counts_as_treated_from_the_second(estimator, make_frame, make_panel):
    frame = make_frame(starts=(2011, 2013, None)).query("year in (2010, 2012, 2014)")
    later = frame.assign(cohort=frame["cohort"] + 1)
    one = estimator(make_panel(frame))
    if estimator is apm.event_study:
        assert one.table["relative_time"].tolist() == [-3, 1, 3]
        return
    np.testing.assert_allclose(one.table["estimate"], estimator(make_panel(later)).table["estimate"], atol=1e-12)


# -- warned of ---------------------------------------------------------------------------------------------------------


@every_estimator
def test_a_cohort_of_one_unit_is_warned_of(estimator, make_frame, make_panel):
    frame = make_frame().query("cohort != 2013 or unit == 1")
    _, texts = messages(lambda: estimator(make_panel(frame)))
    assert texts == [
        "Cohort 2013 holds a single unit: the standard error of its own effects cannot be trusted; "
        "read averages over cohorts, or use synthetic control."
    ]


@every_estimator
def test_a_cohort_within_one_cluster_is_warned_of(estimator, make_frame, make_panel):
    frame = make_frame(n_units=120, n_clusters=40).query("cohort != 2013 or state == 4")
    _, texts = messages(lambda: estimator(make_panel(frame, cluster="state")))
    assert len(texts) == 1
    assert texts[0].startswith("Cohort 2013 holds a single state: the standard error")


@every_estimator
def test_clusters_of_one_unit_are_warned_of(estimator, make_frame, make_panel):
    frame = make_frame(n_units=120, n_clusters=40)
    frame = frame.assign(state=lambda f: np.where(f["unit"] < 3, 100 + f["unit"], f["state"]))
    _, texts = messages(lambda: estimator(make_panel(frame, cluster="state")))
    assert texts == [
        "3 of 42 clusters of 'state' hold one unit: the variance within such a cluster is not seen; "
        "prefer coarser clusters."
    ]


@every_estimator
def test_a_sound_design_is_not_warned_of(estimator, make_frame, make_panel):
    _, texts = messages(lambda: estimator(make_panel(make_frame(n_units=120, n_clusters=40), cluster="state")))
    assert texts == []


@every_estimator
def test_few_clusters_are_warned_of_once_with_what_to_use(estimator, make_frame, make_panel):
    result, texts = messages(lambda: estimator(make_panel(make_frame(), cluster="state")))
    assert texts == [
        "12 clusters of 'state' are few (fewer than 30): standard errors may be too small; for a regression use "
        "cluster_variance with 'CR2' or wild_bootstrap, otherwise compare with randomisation_test."
    ]
    assert result.diagnostics["treated_clusters"] == 12
    assert result.diagnostics["few_clusters"]


@every_estimator
@pytest.mark.parametrize("cluster", ["unit", "state"])
def test_a_single_treated_cluster_is_warned_of_once_with_what_to_use(estimator, cluster, make_frame, make_panel):
    kept = "cohort != cohort or " + ("unit == 12" if cluster == "unit" else "state == 4")
    frame = make_frame(starts=(2013, None), n_units=120, n_clusters=40).query(kept)
    result, texts = messages(lambda: estimator(make_panel(frame, cluster=cluster)))
    assert [text for text in texts if "hold one unit" not in text] == [
        f"A single {cluster}, {12 if cluster == 'unit' else 4}, is treated: cluster standard errors and the wild "
        "bootstrap fail there; use randomisation_test or synthetic control."
    ]
    assert result.diagnostics["treated_clusters"] == 1


def test_an_effect_that_rests_on_one_cluster_is_warned_of(make_frame):
    frame = make_frame()
    first = frame["cohort"].min()
    units = frame.loc[frame["cohort"] == first, "unit"].unique()
    last = frame["year"].max()
    thin = frame[~(frame["unit"].isin(units[1:]) & (frame["year"] == last))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        panel = apm.Panel(thin, unit="unit", time="year", outcome="y", cohort="cohort")
    for estimator in (apm.callaway_santanna, apm.sun_abraham, apm.imputation):
        with pytest.warns(DesignWarning, match=rf"Only one unit is observed under ATT\({first:.0f}, {last}\)"):
            estimator(panel)


def test_uneven_periods_are_warned_of(make_frame):
    frame = make_frame()
    year = sorted(frame["year"].unique())[1]
    panel = apm.Panel(frame[frame["year"] != year], unit="unit", time="year", outcome="y", cohort="cohort")
    with pytest.warns(DesignWarning, match=f"not evenly spaced, first between {year - 1} and {year + 1}"):
        apm.callaway_santanna(panel)


def test_weights_by_the_chance_of_staying_correct_for_exit():
    # The effect grows with a trait that also makes treated units leave: those that stay show too little of it.
    random = np.random.default_rng(3)
    n, periods = 6000, np.arange(4)
    trait, treated = random.integers(0, 2, n), random.integers(0, 2, n)
    chance = np.where((treated == 1) & (trait == 1), 0.6, 0.95)
    stays = random.random((n, 4)) < chance[:, None]
    stays[:, :2] = True
    seen = np.logical_and.accumulate(stays, axis=1)
    y = random.normal(size=(n, 4)) + (periods >= 2) * (treated * (1.0 + 2 * trait))[:, None]
    weight = chance[:, None] ** -np.clip(periods - 1.0, 0, None)
    unit, period = np.nonzero(seen)
    frame = pd.DataFrame({"unit": unit, "year": period, "y": y[seen], "w": weight[seen],
                          "start": np.where(treated == 1, 2.0, np.nan)[unit]})  # fmt: skip
    columns = {"unit": "unit", "time": "year", "outcome": "y", "cohort": "start"}
    truth = 1.0 + 2 * trait[treated == 1].mean()
    for estimator in (apm.callaway_santanna, apm.imputation):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = estimator(apm.Panel(frame, **columns)).term("ATT(2, 3)").table.iloc[0]
            weighed = estimator(apm.Panel(frame, weights="w", **columns)).term("ATT(2, 3)").table.iloc[0]
        assert abs(plain["estimate"] - truth) > 4 * plain["se"]
        assert abs(weighed["estimate"] - truth) < 2 * weighed["se"]


def test_units_that_no_comparison_uses_do_not_count_in_the_shares_of_cohorts(make_frame, make_panel):
    frame = make_frame()
    first, last = frame["cohort"].min(), frame["year"].max()
    entrants = frame[frame["cohort"] == first].copy()
    entrants = entrants[entrants["year"] >= first].assign(unit=lambda f: f["unit"] + 1000)
    result, texts = messages(lambda: apm.callaway_santanna(make_panel(pd.concat([frame, entrants]))))
    without = apm.callaway_santanna(make_panel(frame))
    named = entrants["unit"].nunique()
    assert any(text.startswith(f"Left out units without any untreated period: {named} (") for text in texts)
    for by in ("simple", "event", "calendar"):
        pd.testing.assert_frame_equal(result.aggregate(by).table, without.aggregate(by).table)
    assert result.n_units == without.n_units
    assert last in without.table["period"].to_numpy()


@every_estimator
def test_what_is_no_panel_is_refused(estimator, make_frame):
    with pytest.raises(EstimationError, match=r"takes a Panel, not DataFrame: apmkit.Panel\(data, unit="):
        estimator(make_frame())


@every_estimator
def test_a_single_unit_to_compare_with_is_warned_of(estimator, make_frame, make_panel):
    frame = make_frame()
    never = frame.loc[frame["cohort"].isna(), "unit"].unique()
    _, texts = messages(lambda: estimator(make_panel(frame[~frame["unit"].isin(never[1:])])))
    assert any(text.startswith(f"A single unit, {never[0]}, is never treated") for text in texts)


@pytest.mark.parametrize("bins", [3, "a", (-2.5, 1.5), (None, 2)])
def test_bins_that_are_no_whole_numbers_are_refused(bins, make_frame, make_panel):
    with pytest.raises(EstimationError, match=r"bins=.* whole numbers"):
        apm.event_study(make_panel(make_frame()), bins=bins)


@every_estimator
def test_an_outcome_without_variation_is_warned_of(estimator, make_frame, make_panel):
    panel = make_panel(make_frame().assign(y=7.0))
    _, said = messages(lambda: estimator(panel))
    assert any("does not vary beyond unit effects" in text for text in said)
