"""The door: what a Panel accepts, what it refuses, and in which words."""

import warnings

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.errors import DesignWarning, PanelError
from apmkit.panel import Panel

COLUMNS = {"unit": "clinic", "time": "year", "outcome": "visits", "cohort": "start"}


@pytest.fixture
def frame():
    """Three clinics in two regions over four years; a starts in 2012, c in 2013."""
    return pd.DataFrame(
        {
            "clinic": np.repeat(["a", "b", "c"], 4),
            "year": [2010, 2011, 2012, 2013] * 3,
            "visits": np.arange(12) / 10,
            "start": np.repeat([2012, np.nan, 2013], 4),
            "region": np.repeat(["north", "south", "south"], 4),
            "patients": np.repeat([100.0, 200, 300], 4),
        }
    )


def panel_of(frame, **columns):
    return Panel(frame, **{**COLUMNS, **columns})


def refused(frame, sentence, **columns):
    with pytest.raises(PanelError, match=sentence) as caught:
        panel_of(frame, **columns)
    assert "np." not in str(caught.value)
    assert "\n" not in str(caught.value)


# -- accepted ----------------------------------------------------------------------------------------------------------


def test_rows_in_any_order_become_units_by_periods(frame):
    panel = panel_of(frame.sample(frac=1, random_state=1), cluster="region", weights="patients")
    assert panel.units.tolist() == ["a", "b", "c"]
    assert panel.periods.tolist() == [2010, 2011, 2012, 2013]
    np.testing.assert_array_equal(panel.outcomes, np.arange(12).reshape(3, 4) / 10)
    assert panel.cohorts.tolist() == [2012, np.inf, 2013]
    assert panel.clusters[panel.cluster_codes].tolist() == ["north", "south", "south"]
    assert panel.weights.tolist() == [100, 200, 300]
    assert panel.is_balanced
    assert panel.n_obs == 12
    assert panel.treated.sum() == 3
    assert panel.cohort_sizes.to_dict() == {2012: 1, 2013: 1, "never": 1}


def test_the_cluster_is_the_unit_unless_another_is_named(frame):
    panel = panel_of(frame)
    assert panel.cluster == "clinic"
    assert panel.clusters.equals(panel.units)


def test_a_treatment_column_of_zero_and_one_gives_the_cohort(frame):
    switched = frame.assign(on=(frame["year"] >= frame["start"]).astype(int))
    for dtype in (int, bool, float, "Int64", "boolean"):
        panel = panel_of(switched.assign(on=switched["on"].astype(dtype)), cohort=None, treatment="on")
        assert panel.cohorts.tolist() == [2012, np.inf, 2013]


def test_a_cohort_after_the_last_period_is_not_treated_here(frame):
    late = frame.assign(start=frame["start"].replace(2013, 2014))
    assert panel_of(late).cohorts.tolist() == [2012, np.inf, np.inf]
    infinite = frame.assign(start=frame["start"].fillna(np.inf))
    assert panel_of(infinite).cohorts.tolist() == [2012, np.inf, 2013]


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_units_and_clusters_may_be_text_of_any_type(frame, dtype):
    typed = frame.astype({"clinic": dtype, "region": dtype})
    one, other = panel_of(frame, cluster="region"), panel_of(typed, cluster="region")
    assert other.units.tolist() == ["a", "b", "c"]
    assert other.clusters.tolist() == ["north", "south"]
    np.testing.assert_array_equal(one.outcomes, other.outcomes)


def test_categories_that_do_not_occur_are_no_units(frame):
    part = frame.astype({"clinic": "category", "region": "category"}).query("clinic != 'b'")
    panel = panel_of(part, cluster="region")
    assert panel.units.tolist() == ["a", "c"]
    assert panel.clusters.tolist() == ["north", "south"]


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "Int64", "float64"])
def test_units_may_be_numbers_of_any_type(frame, dtype):
    numbers = frame.assign(
        clinic=frame["clinic"]
        .map({"a": -120, "b": 5, "c": 120} if dtype != "uint8" else {"a": 0, "b": 5, "c": 255})
        .astype(dtype)
    )
    panel = panel_of(numbers)
    assert panel.units.tolist() == sorted(numbers["clinic"].unique())
    np.testing.assert_array_equal(panel.outcomes, np.arange(12).reshape(3, 4) / 10)


def test_numbers_far_apart_name_units_as_well(frame):
    panel = panel_of(frame.assign(clinic=frame["clinic"].map({"a": 3, "b": 10**15, "c": -(10**15)})))
    assert panel.units.tolist() == [-(10**15), 3, 10**15]
    assert panel.outcomes[:, 0].tolist() == [0.8, 0.0, 0.4]


def test_nullable_columns_give_the_numbers_of_plain_ones(frame):
    nullable = frame.astype({"year": "Int64", "start": "Int64", "visits": "Float64", "patients": "Int64"})
    one, other = panel_of(frame, weights="patients"), panel_of(nullable, weights="patients")
    assert one.checksum == other.checksum


def test_periods_may_be_floats_that_are_whole(frame):
    assert panel_of(frame.astype({"year": float})).periods.dtype == np.int64


def test_weights_that_change_over_time_are_kept_by_period(frame):
    panel = panel_of(frame.assign(patients=np.arange(1.0, 13.0)), weights="patients")
    np.testing.assert_array_equal(panel.weights, np.arange(1.0, 13.0).reshape(3, 4))


def test_weights_are_zero_where_a_unit_is_not_observed(frame):
    with pytest.warns(DesignWarning, match="Ragged panel"):
        panel = panel_of(frame.assign(patients=np.arange(1.0, 13.0)).drop(index=5), weights="patients")
    assert panel.weights[1].tolist() == [5, 0, 7, 8]


def test_gaps_are_counted_by_kind_and_warned_of_where_the_panel_is_made(frame):
    with pytest.warns(DesignWarning) as caught:
        panel = panel_of(frame.drop(index=[0, 5, 10, 11]))
    assert str(caught[0].message) == (
        "Ragged panel: 4 of 12 unit-periods are not observed (1 of them inside a unit's own span, "
        "the rest before it enters or after it leaves). Estimators use what is observed."
    )
    assert caught[0].filename == __file__
    assert not panel.is_balanced
    assert panel.n_obs == 8
    assert panel.n_interior_gaps == 1
    assert "4 unit-periods not observed" in repr(panel)


def test_a_panel_without_treatment_is_warned_of(frame):
    with pytest.warns(DesignWarning, match="No unit is treated by the last period, 2013: only donors or controls here"):
        panel_of(frame.assign(start=None))


def test_units_that_enter_already_treated_are_warned_of_where_only_treatment_is_known(frame):
    switched = frame.assign(on=(frame["year"] >= frame["start"]).astype(int)).query("clinic != 'a' or year >= 2012")
    with pytest.warns(
        DesignWarning, match=r"enter: 1 unit, first clinic 'a' in 2012; .* give cohort if it was earlier"
    ):
        panel = panel_of(switched, cohort=None, treatment="on")
    assert panel.cohorts[0] == 2012


def test_a_sound_panel_is_not_warned_of(frame):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        panel_of(frame, cluster="region", weights="patients", balanced=True)


def test_the_data_frame_is_left_as_it_was(frame):
    before = frame.copy()
    apm.twfe(panel_of(frame, weights="patients"))
    pd.testing.assert_frame_equal(frame, before)


# -- refused -----------------------------------------------------------------------------------------------------------


def test_data_that_are_no_frame_are_refused(frame):
    refused(
        frame.to_dict("list"),
        "data must be a pandas DataFrame, the path of a parquet file or a DuckDB relation, not dict",
    )


def test_an_empty_frame_is_refused(frame):
    refused(frame.iloc[:0], "The data have no rows: check the filter that made them")


def test_cohort_and_treatment_together_or_neither_are_refused(frame):
    refused(frame, "Give cohort or treatment, not both", treatment="start")
    refused(frame, r"Give cohort \(first treated period, missing if never\) or treatment", cohort=None)


@pytest.mark.parametrize("role", ["unit", "time", "outcome", "cohort", "cluster", "weights"])
def test_an_unknown_column_is_refused_with_the_known_ones(frame, role):
    refused(
        frame, f"{role}='no' is not a column of the data; the columns are 'clinic', 'year', 'visits'", **{role: "no"}
    )


def test_a_name_of_two_columns_is_refused(frame):
    refused(pd.concat([frame, frame[["visits"]]], axis=1), "outcome='visits' names 2 columns of the data: keep one")


@pytest.mark.parametrize("column", ["clinic", "year", "region", "visits", "patients"])
def test_a_missing_value_is_refused_and_located(frame, column):
    holed = frame.copy()
    holed[column] = holed[column].astype(object).where(holed.index != 5).infer_objects()
    refused(
        holed,
        f"Column '{column}' is missing in 1 of 12 rows, first at index 5: ",
        cluster="region",
        weights="patients",
    )


def test_a_missing_treatment_is_refused(frame):
    refused(frame, "Column 'start' is missing in 4 of 12 rows, first at index 4", cohort=None, treatment="start")


@pytest.mark.parametrize("column", ["visits", "patients"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_refused_and_located(frame, column, value):
    frame.loc[3, column] = value
    refused(frame, f"Column '{column}' holds {value} at index 3: drop or mend such rows", weights="patients")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_period_is_refused(frame, value):
    refused(frame.assign(year=frame["year"].replace(2013, value)), f"Column 'year' holds {value}: give whole numbers")


@pytest.mark.parametrize("column", ["visits", "patients"])
def test_numbers_kept_as_text_are_refused(frame, column):
    text = frame.assign(**{column: frame[column].astype(str)})
    refused(
        text,
        rf"Column '{column}' is of type str, first value '\d.*': it must be numeric; pandas.to_numeric converts text",
        weights="patients",
    )


@pytest.mark.parametrize("column", ["year", "start"])
def test_times_kept_as_text_are_refused(frame, column):
    text = frame.assign(**{column: frame[column].astype(str)})
    refused(text, f"Column '{column}' is of type str, first value '201.*': give whole numbers, .* pandas.to_numeric")


def test_dates_are_refused(frame):
    dates = frame.assign(year=pd.to_datetime(frame["year"].astype(str)))
    refused(
        dates, r"Column 'year' is of type datetime.*: give whole numbers, for instance the year, or quarters counted"
    )


def test_fractions_of_a_period_are_refused(frame):
    refused(frame.assign(year=frame["year"] + 0.25), "Column 'year' holds 2010.25: give whole numbers")
    refused(frame.assign(start=frame["start"] + 0.5), "Column 'start' holds 2012.5: give whole numbers")


def test_one_period_is_refused(frame):
    refused(frame[frame["year"] == 2011], "Column 'year' holds one period, 2011: a panel needs at least two")


def test_a_repeated_unit_and_period_is_refused_and_located(frame):
    refused(
        pd.concat([frame, frame.iloc[[6, 7]]]),
        "Columns 'clinic' and 'year' repeat in 2 rows, first clinic 'b' in 2012: keep one row for each",
    )
    numbered = frame.assign(clinic=np.repeat([1, 2, 3], 4))
    refused(pd.concat([numbered, numbered.iloc[[6]]]), "repeat in 1 row, first clinic 2 in 2012: keep one row")


def test_a_cohort_of_zero_for_never_treated_is_refused(frame):
    refused(
        frame.assign(start=frame["start"].fillna(0)),
        r"Column 'start' holds 0, before the first period 2010: mark "
        r"never-treated units by a missing value, for instance data\['start'\]\.replace\(0, float\('nan'\)\)",
    )
    from_one = frame.assign(year=frame["year"] - 2009, start=(frame["start"] - 2009).fillna(0))
    refused(from_one, "Column 'start' holds 0, before the first period 1")


def test_a_cohort_of_zero_is_a_period_where_time_begins_at_zero(frame):
    from_zero = frame.assign(year=frame["year"] - 2010, start=frame["start"] - 2012)
    assert panel_of(from_zero).cohorts.tolist() == [0, np.inf, 1]


@pytest.mark.parametrize(("column", "value"), [("start", 2011.0), ("start", np.nan), ("region", "west")])
def test_what_must_be_constant_within_a_unit_and_is_not_is_refused(frame, column, value):
    frame.loc[2, column] = value
    refused(
        frame,
        f"Column '{column}' changes within 1 unit, first clinic 'a': give each unit one value in all its rows",
        cluster="region",
    )


def test_treatment_that_switches_off_is_refused_and_located(frame):
    on = frame["year"].eq(2011) & frame["clinic"].isin(["b", "c"])
    refused(
        frame.assign(on=on.astype(int)),
        r"Treatment 'on' switches off for 2 units, first clinic 'b' in 2012: .* "
        "end such units there, or give cohort",
        cohort=None,
        treatment="on",
    )


def test_treatment_other_than_zero_and_one_is_refused(frame):
    refused(frame, "Column 'visits' holds 0.1: treatment is 0 or 1", cohort=None, treatment="visits")


def test_one_cluster_is_refused(frame):
    refused(
        frame.assign(region="all"),
        "Column 'region' holds one cluster, 'all': standard errors need several; choose",
        cluster="region",
    )
    refused(frame[frame["clinic"] == "a"], "Column 'clinic' holds one cluster, 'a'")


@pytest.mark.parametrize("value", [0.0, -2.5])
def test_a_weight_that_is_not_positive_is_refused_and_located(frame, value):
    frame.loc[7, "patients"] = value
    refused(
        frame,
        f"Column 'patients' has 1 weight not above zero, first {value:g} for clinic 'b': drop those rows or mend",
        weights="patients",
    )


def test_gaps_are_refused_where_the_panel_must_be_balanced(frame):
    refused(
        frame.drop(index=5),
        r"1 of 12 unit-periods are not observed .* first clinic 'b' in 2011: complete the data "
        "or leave out balanced=True",
        balanced=True,
    )


# -- parts, copies and checksums ---------------------------------------------------------------------------------------


def test_a_part_of_a_panel_is_a_panel_of_that_part(frame):
    whole = panel_of(frame, cluster="region", weights="patients")
    assert whole.is_balanced
    part = whole.restrict(whole.units != "b", whole.periods > 2010)
    alone = panel_of(frame.query("clinic != 'b' and year > 2010"), cluster="region", weights="patients")
    assert part.checksum == alone.checksum
    assert part.clusters.tolist() == ["north", "south"]
    assert part.cluster == "region"


def test_a_part_knows_anew_whether_it_is_balanced(frame):
    with pytest.warns(DesignWarning):
        ragged = panel_of(frame.drop(index=5))
    assert not ragged.is_balanced
    assert ragged.restrict(ragged.units != "b").is_balanced
    assert ragged.restrict(ragged.units != "a").observed.sum() == 7


def test_a_part_has_no_periods_without_units_and_no_units_without_periods(frame):
    with pytest.warns(DesignWarning):
        panel = panel_of(frame.query("clinic == 'a' or year > 2010"))
    part = panel.restrict(panel.units != "a")
    assert part.periods.tolist() == [2011, 2012, 2013]
    assert part.is_balanced
    early = panel.restrict(np.ones(3, dtype=bool), panel.periods < 2012)
    assert early.units.tolist() == ["a", "b", "c"]


def test_a_part_of_one_cluster_or_one_period_is_refused(frame):
    panel = panel_of(frame, cluster="region")
    with pytest.raises(PanelError, match=r"One cluster of column 'region', 'south', is left .* choose a finer cluster"):
        panel.restrict(panel.units != "a")
    with pytest.raises(
        PanelError, match=r"Column 'year' keeps 1 period in the estimation sample: .* use a longer panel"
    ):
        panel.restrict(np.ones(3, dtype=bool), panel.periods == 2011)


def test_a_panel_goes_back_to_rows(frame):
    with pytest.warns(DesignWarning):
        panel = panel_of(frame.drop(index=5), cluster="region")
    rows = panel.to_frame()
    assert list(rows.columns) == ["clinic", "year", "visits", "region", "cohort"]
    assert len(rows) == 11
    again = rows.merge(frame, on=["clinic", "year"])
    np.testing.assert_array_equal(again["visits_x"], again["visits_y"])
    np.testing.assert_array_equal(again["cohort"], again["start"])


def test_the_checksum_sees_the_data_and_not_the_order_of_rows(frame):
    checksum = panel_of(frame).checksum
    assert checksum == panel_of(frame.sample(frac=1, random_state=2)).checksum
    for column, value in (("visits", 9.0), ("clinic", "z"), ("start", 2011.0)):
        changed = frame.copy()
        changed.loc[changed["clinic"] == "a", column] = value if column != "visits" else changed["visits"] + 1e-9
        assert panel_of(changed).checksum != checksum
    assert panel_of(frame, weights="patients").checksum != checksum
    assert panel_of(frame, cluster="region").checksum != checksum


def test_cohorts_after_the_last_period_kept_count_as_never_treated(frame):
    panel = panel_of(frame)
    part = panel.restrict(np.ones(3, dtype=bool), panel.periods < 2013)
    again = panel_of(frame[frame["year"] < 2013])
    np.testing.assert_array_equal(part.cohorts, again.cohorts)
    assert part.checksum == again.checksum


def test_a_panel_can_be_backdated_for_a_placebo(frame):
    longer = pd.concat([frame, frame.assign(year=frame["year"] - 4)])
    panel = panel_of(longer)
    placebo = panel.backdate(2008)
    assert placebo.periods.tolist() == list(range(2006, 2012))
    assert placebo.cohorts.tolist() == [2008, np.inf, 2008]
    for period in (2006, 2012):
        with pytest.raises(PanelError, match=f"period={period} cannot be a placebo start; those that can: 2007"):
            panel.backdate(period)


def test_a_start_that_was_not_seen_is_warned_of(frame):
    frame["on"] = (frame["year"] >= frame["start"]).astype(int)
    gap = frame[~((frame["clinic"] == "a") & (frame["year"] == 2011))]
    with pytest.warns(DesignWarning) as caught:
        panel_of(gap, cohort=None, treatment="on")
    said = [str(w.message) for w in caught]
    assert any(
        "Not observed just before they are first seen treated: 1 unit, first clinic 'a' in 2012" in s for s in said
    )


def test_a_column_named_cohort_keeps_its_name_in_rows(frame):
    panel = panel_of(frame.rename(columns={"region": "cohort"}), cluster="cohort", weights="patients")
    rows = panel.to_frame()
    assert list(rows.columns) == ["clinic", "year", "visits", "cohort", "first_treated", "weights"]
    assert rows["cohort"].tolist() == frame["region"].tolist()
    assert rows["weights"].tolist() == frame["patients"].tolist()


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        (pd.to_datetime(["2010-01-01", "2011-01-01", "2012-01-01", "2013-01-01"] * 3), "take the year by .dt.year"),
        (pd.Categorical([2010, 2011, 2012, 2013] * 3), r"convert the category by .astype\(float\)"),
    ],
)
def test_time_that_is_no_number_is_refused_with_the_remedy_for_its_type(frame, values, remedy):
    frame["year"] = values
    refused(frame, f"Column 'year' is of type .*{remedy}")


def test_covariates_are_kept_by_unit_or_by_unit_and_period_and_follow_a_restriction():
    frame = pd.DataFrame(
        {"u": list("aabbcc"), "t": [1, 2] * 3, "y": range(6), "g": [2, 2, None, None, None, None],
         "size": [5, 5, 7, 7, 9, 9], "age": [1, 2, 3, 4, 5, 6]}
    )  # fmt: skip
    columns = {"unit": "u", "time": "t", "outcome": "y", "cohort": "g", "covariates": ["size", "age"]}
    panel = apm.Panel(frame, **columns)
    assert panel.covariates["size"].tolist() == [5, 7, 9]
    assert panel.covariates["age"].tolist() == [[1, 2], [3, 4], [5, 6]]
    part = panel.restrict(np.array([True, False, True]))
    assert part.covariates["size"].tolist() == [5, 9]
    assert part.covariates["age"].tolist() == [[1, 2], [5, 6]]
    assert panel.to_frame()["age"].tolist() == [1, 2, 3, 4, 5, 6]
    assert panel.checksum != apm.Panel(frame.assign(age=0), **columns).checksum
    with pytest.raises(apm.PanelError, match="'age' is missing in 1 of 6 rows"):
        apm.Panel(frame.assign(age=[1, 2, 3, 4, 5, None]), **columns)
    with pytest.raises(apm.PanelError, match="'sex' is not a column"):
        apm.Panel(frame, **(columns | {"covariates": ["sex"]}))
