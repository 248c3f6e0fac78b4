"""A panel of a file or relation gives the numbers, the names and the refusals of the same rows in memory."""

import pickle
import warnings

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import apmkit as apm
from apmkit.database import reading, source
from apmkit.database.source import quote
from apmkit.database.sums import Sums
from apmkit.errors import ApmkitError, DesignWarning, EstimationError, PanelError

COLUMNS = {"unit": "clinic", "time": "year", "outcome": "visits", "cohort": "start"}
ESTIMATORS = {
    "twfe": apm.twfe,
    "event_study": apm.event_study,
    "sun_abraham": apm.sun_abraham,
    "never_treated": apm.callaway_santanna,
    "not_yet_treated": lambda panel: apm.callaway_santanna(panel, control="not_yet_treated"),
    "cross_sections": lambda panel: apm.callaway_santanna(panel, unbalanced="repeated_cross_sections"),
    "imputation": apm.imputation,
    "two_stage": lambda panel: apm.two_stage(panel, by="event"),
}
PANELS = {
    "balanced": {},
    "ragged": {"drop": 0.03, "ends": True},
    "gapped": {"drop": 0.15},
    "unit_weighted": {"weighted": True},
    "ragged_unit_weighted": {"drop": 0.1, "weighted": True},
}
few = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def make_frame(n_units=80, n_periods=6, drop=0.0, ends=False, weighted=False, seed=0, noise=1.0, level=0.0):
    """Staggered adoption in 2012, 2013, 2014 or never; one row per observed unit and year, sorted by unit."""
    random = np.random.default_rng(seed)
    unit, year = np.repeat(np.arange(n_units), n_periods), np.tile(2010 + np.arange(n_periods), n_units)
    start = np.array([2012, 2013, 2014, np.nan])[np.arange(n_units) % 4]
    y = level + random.normal(size=n_units)[unit] + random.normal(size=n_periods)[year - 2010]
    y += np.where(year >= start[unit], 1.0, 0.0) + noise * random.normal(size=len(unit))
    frame = pd.DataFrame(
        {"clinic": unit, "year": year, "visits": y, "start": start[unit], "region": unit * 12 // n_units}
    )
    frame["patients"] = random.uniform(0.5, 3.0, size=n_units)[unit] if weighted else 1.0
    keep = random.uniform(size=len(frame)) >= drop
    if ends:
        first, last = random.integers(0, 3, n_units), n_periods - random.integers(0, 3, n_units)
        keep &= (year - 2010 >= first[unit]) & (year - 2010 < last[unit])
    return frame[keep].reset_index(drop=True)


def stored(frame):
    """The frame as a relation; the connection lives as long as the relation."""
    return duckdb.connect().from_df(frame)


def panel_of(data, **columns):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return apm.Panel(data, **{**COLUMNS, **columns})


def told(call, *arguments, **options):
    """What a call returns, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call(*arguments, **options)
    return result, [str(w.message) for w in caught if w.category is DesignWarning]


def assert_same(one, other, atol=1e-10):
    assert one.table["term"].tolist() == other.table["term"].tolist()
    np.testing.assert_allclose(one.table["estimate"], other.table["estimate"], rtol=0, atol=atol)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=0, atol=atol)


def assert_same_with_averages(one, other, atol=1e-10):
    assert_same(one, other, atol)
    if "cohort" in one.table:
        for by in ("simple", "event", "cohort", "calendar"):
            assert_same(one.aggregate(by), other.aggregate(by), atol)


# -- the numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS.keys())
@pytest.mark.parametrize("kind", PANELS.values(), ids=PANELS.keys())
@pytest.mark.parametrize("cluster", ["clinic", "region"])
def test_every_estimator_gives_the_numbers_names_and_warnings_of_rows_in_memory(estimator, kind, cluster):
    frame = make_frame(**kind)
    columns = {"cluster": cluster, "weights": "patients" if "weighted" in kind else None}
    one, other = panel_of(frame, **columns), panel_of(stored(frame), **columns)
    assert repr(one) == repr(other)
    (in_memory, warned), (in_database, warned_too) = told(estimator, one), told(estimator, other)
    assert_same_with_averages(in_memory, in_database)
    assert warned == warned_too
    for name in ("n_obs", "n_units", "n_clusters"):
        assert getattr(in_memory, name) == getattr(in_database, name)
    assert in_memory.diagnostics == in_database.diagnostics
    pd.testing.assert_frame_equal(
        in_memory.weights(in_memory.table["term"][0]), in_database.weights(in_memory.table["term"][0]), rtol=1e-9
    )


def test_tests_and_bands_are_those_of_rows_in_memory():
    frame = make_frame()
    one, other = (apm.event_study(panel_of(data)) for data in (frame, stored(frame)))
    pd.testing.assert_series_equal(one.joint_test(), other.joint_test(), rtol=1e-8)
    pd.testing.assert_frame_equal(one.uniform_band(seed=1), other.uniform_band(seed=1), rtol=1e-6)


def test_a_parquet_file_and_its_shards_by_a_pattern_give_the_numbers_of_the_frame(tmp_path):
    frame = make_frame(drop=0.1)
    con = duckdb.connect()
    con.from_df(frame).write_parquet(str(tmp_path / "all.parquet"))
    for i in range(3):
        con.from_df(frame[frame["clinic"] // 30 == i]).write_parquet(str(tmp_path / f"shard_{i}.parquet"))
    expected = apm.callaway_santanna(panel_of(frame))
    for data in (tmp_path / "all.parquet", str(tmp_path / "shard_*.parquet")):
        assert_same_with_averages(expected, apm.callaway_santanna(panel_of(data)))


def test_rows_in_any_order_give_the_same_numbers_and_the_same_checksum():
    frame = make_frame(drop=0.1)
    one, other = panel_of(stored(frame)), panel_of(stored(frame.sample(frac=1, random_state=1)))
    assert_same_with_averages(apm.imputation(one), apm.imputation(other))
    assert one.checksum == other.checksum
    assert one.checksum != panel_of(stored(frame.assign(visits=frame["visits"] + 1e-9))).checksum


def test_units_cut_by_the_end_of_a_batch_are_put_together():
    frame = make_frame(n_units=45_000, drop=0.05)
    assert len(frame) > 2 * 122_880  # rows of a batch
    assert_same(apm.imputation(panel_of(frame)), apm.imputation(panel_of(stored(frame))))


@pytest.mark.parametrize("order", ["clinic, year", "clinic DESC, year", "hash(clinic, year)"])
@pytest.mark.parametrize("cluster", ["clinic", "region"])
def test_a_file_read_in_several_streams_gives_the_numbers_names_and_warnings_of_one(
    order, cluster, monkeypatch, tmp_path
):
    frame = make_frame(drop=0.1)
    frame = frame.assign(clinic="c" + frame["clinic"].astype(str).str.zfill(3), on=frame["year"] >= frame["start"])
    path = tmp_path / "panel.parquet"
    duckdb.connect().from_df(frame).order(order).write_parquet(str(path))
    columns = {**COLUMNS, "cohort": None, "treatment": "on", "cluster": cluster}
    monkeypatch.setattr(reading.os, "cpu_count", lambda: 3)
    one, warned = told(apm.Panel, path, **columns)
    monkeypatch.setattr(source, "ROWS_APART", 100)
    other, warned_too = told(apm.Panel, path, **columns)
    assert len(other.source.parts(3)) == 3
    assert warned == warned_too
    assert one.first_units(one.observed[:, 0]) == other.first_units(other.observed[:, 0])
    assert_same_with_averages(apm.imputation(one), apm.imputation(other))
    duckdb.connect().from_df(_set("visits", np.nan)(frame)).write_parquet(str(path))
    with pytest.raises(PanelError, match="is missing in 1 of"):
        apm.Panel(path, **columns)


@pytest.mark.parametrize("cluster", ["clinic", "region"])
@pytest.mark.parametrize("at_once", [1, 7])
def test_sums_of_a_few_units_at_a_time_add_up(cluster, at_once, monkeypatch):
    frame = make_frame(drop=0.1)
    whole = apm.event_study(panel_of(stored(frame), cluster=cluster))
    monkeypatch.setattr(reading, "_UNITS_AT_ONCE", at_once)
    monkeypatch.setattr(reading, "batches", lambda relation: iter(_in_pieces(relation)))
    assert_same(whole, apm.event_study(panel_of(stored(frame), cluster=cluster)))


def _in_pieces(relation, size=13):
    columns = relation.fetchnumpy()
    columns["cohort"] = np.ma.filled(columns["cohort"], np.nan)
    for start in range(0, len(columns["step"]), size):
        yield {name: np.asarray(values[start : start + size]) for name, values in columns.items()}


@few
@given(seed=st.integers(0, 2**32 - 1), drop=st.sampled_from([0.0, 0.2]), parts=st.integers(1, 5))
def test_merging_of_shards_gives_the_sums_of_the_whole(seed, drop, parts):
    random = np.random.default_rng(seed)
    n, t = 300, 5
    observed = random.uniform(size=(n, t)) >= drop
    observed[:, 0] = True
    weight = random.uniform(0.5, 2.0, size=n)
    rows = np.column_stack([random.normal(size=(n, t)) * observed, np.ones(n)]) * weight[:, None]
    cohorts = random.choice([2.0, 3.0, np.inf], size=n)
    cluster = random.integers(0, 9, size=n)
    for of_units in (None, cluster):
        whole = Sums.of_units(cohorts, observed, rows, of_units, 0)
        cuts = np.sort(random.integers(1, n, size=parts - 1))
        shards = [
            Sums.of_units(cohorts[i], observed[i], rows[i], None if of_units is None else cluster[i], i[0])
            for i in np.split(np.arange(n), cuts)
            if len(i)
        ]
        merged = Sums.merged(shards)
        for name in ("cohorts", "observed", "units", "first"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(merged, name))
        for name in ("total", "squares"):
            np.testing.assert_allclose(getattr(whole, name), getattr(merged, name), rtol=0, atol=1e-11)
        assert merged.members.sum() == n
        for g in range(len(whole.units)):
            one, other = whole.rows[whole.group == g], merged.rows[merged.group == g]
            np.testing.assert_allclose(one.T @ one, other.T @ other, rtol=0, atol=1e-10)


def test_a_factor_of_rows_without_noise_keeps_all_digits():
    quiet, level = make_frame(noise=0.0), 1e8
    result = apm.callaway_santanna(panel_of(stored(quiet)))
    np.testing.assert_allclose(result.table["estimate"][result.table["relative_time"] >= 0], 1.0, rtol=0, atol=1e-12)
    assert result.table["se"].max() < 1e-12
    one, other = (apm.twfe(panel_of(stored(make_frame(level=shift)))) for shift in (0.0, level))
    assert_same(one, other, 1e-7)


def test_effects_of_units_a_million_times_the_noise_do_not_blur_the_standard_errors():
    frame = make_frame(n_units=400)
    frame["visits"] += 1e6 * np.random.default_rng(3).normal(size=400)[frame["clinic"]]
    one, other = (apm.callaway_santanna(panel_of(data)) for data in (frame, stored(frame)))
    np.testing.assert_allclose(one.table["se"], other.table["se"], rtol=1e-8)


# -- the door ----------------------------------------------------------------------------------------------------------


def test_units_and_clusters_may_be_text_and_names_may_need_quotes():
    frame = make_frame()
    plain = apm.twfe(panel_of(frame, cluster="region"))
    frame = frame.assign(clinic="c" + frame["clinic"].astype(str), region="r" + frame["region"].astype(str))
    odd = {"clinic": 'the "clinic"', "year": "year; DROP", "visits": "visits' net", "region": "a region"}
    columns = {"unit": odd["clinic"], "time": odd["year"], "outcome": odd["visits"], "cluster": odd["region"]}
    result = apm.twfe(panel_of(stored(frame.rename(columns=odd)), **columns))
    assert_same(plain, result)
    assert quote('a"b') == '"a""b"'


@pytest.mark.parametrize("dtype", ["int8", "bool", "float64"])
def test_a_treatment_column_gives_the_cohorts(dtype):
    frame = make_frame(drop=0.1)
    on = (frame["year"] >= frame["start"]).astype(dtype)
    switched = frame.assign(on=on)
    one, warned = told(apm.Panel, switched, **{**COLUMNS, "cohort": None}, treatment="on")
    other, warned_too = told(apm.Panel, stored(switched), **{**COLUMNS, "cohort": None}, treatment="on")
    assert one.cohort_sizes.to_dict() == other.cohort_sizes.to_dict()
    assert warned == warned_too
    assert any("Not observed just before" in text for text in warned)


@pytest.mark.parametrize("far", [0, 300], ids=["near", "far"])
def test_cohorts_may_be_near_or_far_apart_whole_or_fractions(far):
    frame = make_frame(drop=0.1).assign(start=lambda f: f["start"].where(f["start"] != 2014, 2014 + far))
    expected = apm.callaway_santanna(panel_of(frame))
    for kind in ("SMALLINT", "UBIGINT", "DOUBLE"):
        relation = stored(frame).project(f"clinic, year, visits, nullif(start, 'nan')::{kind} AS start")
        assert_same_with_averages(expected, apm.callaway_santanna(panel_of(relation)))


def test_periods_may_be_far_apart_and_of_any_whole_type():
    frame = make_frame(drop=0.1).assign(
        year=lambda f: (f["year"] - 2005) * 1000.0, start=lambda f: (f["start"] - 2005) * 1000
    )
    one, other = panel_of(frame), panel_of(stored(frame))
    assert one.periods.tolist() == other.periods.tolist()
    assert_same(apm.twfe(one), apm.twfe(other))


def test_a_placebo_start_and_parts_are_those_of_rows_in_memory():
    frame = make_frame(drop=0.05, n_periods=8).assign(start=lambda f: f["start"] + 2)
    one, other = panel_of(frame), panel_of(stored(frame))
    assert_same(apm.twfe(one.backdate(2012)), apm.twfe(other.backdate(2012)))
    early = one.periods < 2016
    part, part_too = one.restrict(one.cohorts > 0, early), other.restrict(other.cohorts > 0, early)
    assert part.cohort_sizes.to_dict() == part_too.cohort_sizes.to_dict()
    assert part.n_obs == part_too.n_obs


def test_units_left_out_are_named():
    frame = make_frame().assign(clinic=lambda f: "clinic " + f["clinic"].astype(str).str.zfill(3))
    frame.loc[frame["clinic"] < "clinic 013", "start"] = 2010
    one, other = (apm.twfe(panel_of(data)).diagnostics["left_out"] for data in (frame, stored(frame)))
    assert one == other
    assert one["units treated from the first period 2010"]["count"] == 13


def test_gaps_are_counted_and_warned_of_as_in_memory():
    frame = make_frame(drop=0.1)
    (_, one), (_, other) = (told(apm.Panel, data, **COLUMNS) for data in (frame, stored(frame)))
    assert one == other
    assert "unit-periods are not observed" in one[0]


def _set(column, value, rows=(5,)):
    def change(frame):
        frame = frame.copy()
        frame[column] = frame[column].astype(object if value is None or isinstance(value, str) else float)
        frame.loc[list(rows), column] = value
        return frame.infer_objects()

    return change


REFUSED = {
    "no rows": (lambda f: f[:0], {}, "The data have no rows"),
    "no column": (lambda f: f, {"outcome": "costs"}, "outcome='costs' is not a column of the data"),
    "outcome missing": (
        _set("visits", np.nan),
        {},
        "Column 'visits' is missing in 1 of 480 rows, first for clinic 0 in year 2015",
    ),
    "outcome infinite": (
        _set("visits", np.inf),
        {},
        "Column 'visits' holds inf for clinic 0 in year 2015: drop or mend",
    ),
    "outcome text": (lambda f: f.assign(visits="many"), {}, "Column 'visits' is of type VARCHAR, first value 'many'"),
    "unit missing": (_set("clinic", np.nan), {}, "Column 'clinic' is missing in 1 of 480 rows, first in year 2015"),
    "time missing": (_set("year", np.nan), {}, "Column 'year' is missing in 1 of 480 rows, first for clinic 0"),
    "cluster missing": (_set("region", np.nan), {"cluster": "region"}, "Column 'region' is missing in 1 of 480 rows"),
    "time fraction": (_set("year", 2010.5), {}, "Column 'year' holds 2010.5: give whole numbers"),
    "time date": (lambda f: f.assign(year=pd.to_datetime(f["year"].astype(str))), {}, "is of type TIMESTAMP.*year"),
    "one period": (lambda f: f[f["year"] == 2010], {}, "Column 'year' holds one period, 2010"),
    "twice": (lambda f: pd.concat([f, f[5:7]]), {}, "repeat in 2 rows, first clinic 0 in 2015: keep one row"),
    "cohort changes": (
        _set("start", 2014.0),
        {},
        "Column 'start' changes within 1 unit, first clinic 0: give each unit",
    ),
    "cohort fraction": (lambda f: f.assign(start=2011.5), {}, "Column 'start' holds 2011.5: give whole numbers"),
    "cohort zero": (lambda f: f.fillna({"start": 0}), {}, "Column 'start' holds 0, before the first period 2010"),
    "cluster changes": (
        _set("region", 3),
        {"cluster": "region"},
        "Column 'region' changes within 1 unit, first clinic 0",
    ),
    "one cluster": (
        lambda f: f.assign(region=7),
        {"cluster": "region"},
        "Column 'region' holds one cluster, 7: standard",
    ),
    "one unit": (lambda f: f[f["clinic"] == 4], {}, "Column 'clinic' holds one cluster, 4: standard"),
    "weight zero": (
        lambda f: f.assign(patients=0.0),
        {"weights": "patients"},
        "has 480 weights not above zero, first 0 for clinic 0",
    ),
    "weight missing": (_set("patients", np.nan), {"weights": "patients"}, "Column 'patients' is missing in 1 of 480"),
    "weight changes": (
        _set("patients", 2.0),
        {"weights": "patients"},
        "changes within 1 unit, first clinic 0: read the rows",
    ),
    "treatment off": (
        lambda f: f.assign(on=(f["year"] == 2012).astype(int)),
        {"cohort": None, "treatment": "on"},
        "Treatment 'on' switches off for 80 units, first clinic 0 in 2013: these designs need",
    ),
    "treatment half": (
        lambda f: f.assign(on=0.5),
        {"cohort": None, "treatment": "on"},
        "Column 'on' holds 0.5 for clinic 0 in year 2010: tr",
    ),
    "gap": (lambda f: f.drop(index=8), {"balanced": True}, "first clinic 1 in 2012: complete the data or leave out"),
    "covariates": (
        lambda f: f,
        {"covariates": ["patients"]},
        "covariates=.'patients'. belong to single units.*read the rows",
    ),
}


@pytest.mark.parametrize(("change", "columns", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_in_memory_is_refused_here_in_one_sentence(change, columns, sentence):
    with pytest.raises(PanelError, match=sentence) as caught:
        panel_of(stored(change(make_frame())), **columns)
    assert "\n" not in str(caught.value)


def test_a_path_that_is_no_parquet_file_is_refused(tmp_path):
    (tmp_path / "text.parquet").write_text("no parquet")
    for path in (tmp_path / "text.parquet", tmp_path / "absent.parquet"):
        with pytest.raises(PanelError, match=r"cannot be read as parquet .*: give the path of a file"):
            panel_of(path)


def test_a_panel_whose_units_share_no_pattern_is_refused_when_its_sums_grow_too_large(monkeypatch):
    monkeypatch.setattr(reading, "_MOST_BYTES", 1_000)
    with pytest.raises(PanelError, match=r"fall into .* groups by cohort, observed periods and cluster"):
        panel_of(stored(make_frame(drop=0.3)))


def test_what_needs_single_units_says_so_and_how_to_get_it():
    panel = panel_of(stored(make_frame()))
    remedy = r"read the rows into memory: Panel\(relation.df\(\), ...\)"
    for name in ("units", "outcomes", "weights", "cluster_codes"):
        with pytest.raises(PanelError, match=remedy):
            getattr(panel, name)
    with pytest.raises(PanelError, match=remedy):
        panel.to_frame()
    with pytest.raises(EstimationError, match=remedy):
        apm.twfe(panel).combination.influence()
    with pytest.raises(ApmkitError, match=remedy):
        _ = apm.twfe(panel).influence
    with pytest.raises(AttributeError):
        _ = panel.nothing


def test_an_estimate_of_a_file_can_be_pickled_and_one_of_a_relation_says_why_not(tmp_path):
    frame, path = make_frame(), tmp_path / "panel.parquet"
    stored(frame).write_parquet(str(path))
    result = apm.twfe(panel_of(path))
    # joblib sends results between processes so; these bytes never leave the test.
    copy = pickle.loads(pickle.dumps(result))
    assert_same(result, copy)
    assert copy.panel.first_units(copy.panel.cohorts == 2012) == result.panel.first_units(result.panel.cohorts == 2012)
    with pytest.raises(PanelError, match="cannot be copied or pickled: write it to a parquet file"):
        pickle.dumps(apm.twfe(panel_of(stored(frame))))


def test_influence_of_larger_clusters_is_that_of_rows_in_memory():
    frame = make_frame(drop=0.1)
    one, other = (apm.twfe(panel_of(data, cluster="region")).influence for data in (frame, stored(frame)))
    pd.testing.assert_frame_equal(one, other, rtol=1e-8)
