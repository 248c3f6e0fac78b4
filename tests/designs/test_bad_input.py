"""What every design refuses, says, or keeps of the data it is given."""

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.errors import ApmkitError, DesignWarning

RANDOM = np.random.default_rng(0)
N = 300
PEOPLE = pd.DataFrame(RANDOM.normal(size=(N, 7)), columns=["y", "x", "w", "z", "run", "prev", "next"])
PEOPLE["d"] = (PEOPLE["z"] + RANDOM.normal(size=N) > 0) * 1
PEOPLE["site"] = np.arange(N) % 40
SERIES = pd.DataFrame({"t": np.arange(48), "y": RANDOM.normal(size=48)})
BOTH = pd.concat([SERIES.assign(area="a"), SERIES.assign(area="b", y=RANDOM.normal(size=48))], ignore_index=True)
WEIGHTED = {"outcome": "y", "treatment": "d", "covariates": ["x", "w"], "cluster": "site"}
CALLS = {
    "interrupted_time_series": (SERIES, {"time": "t", "outcome": "y", "start": 24}),
    "comparative_interrupted_time_series": (
        BOTH, {"time": "t", "outcome": "y", "group": "area", "treated": "a", "start": 24}),
    "regression_discontinuity": (PEOPLE, {"outcome": "y", "running": "run", "covariates": ["x"], "cluster": "site"}),
    "covariate_tests": (PEOPLE, {"covariates": ["x"], "running": "run"}),
    "placebo_cutoffs": (PEOPLE, {"outcome": "y", "running": "run"}),
    "bandwidth_sensitivity": (PEOPLE, {"outcome": "y", "running": "run"}),
    "density_test": (PEOPLE, {"running": "run"}),
    "density_curves": (PEOPLE, {"running": "run"}),
    "instrumental_variables": (
        PEOPLE, {"outcome": "y", "treatment": "d", "instruments": ["z"], "controls": ["x"], "cluster": "site"}),
    "inverse_probability_weighting": (PEOPLE, WEIGHTED),
    "augmented_ipw": (PEOPLE, WEIGHTED),
    "entropy_balancing": (PEOPLE, WEIGHTED),
    "balance_table": (PEOPLE, {"treatment": "d", "covariates": ["x"]}),
    "regression_to_the_mean": (
        PEOPLE, {"earlier": "prev", "before": "y", "after": "next", "threshold": 1.0, "cluster": "site"}),
}  # fmt: skip
every_design = pytest.mark.parametrize("name", CALLS)


@every_design
@pytest.mark.parametrize("data", [None, {"y": [1.0]}, [], "file.csv"])
def test_data_are_a_frame_with_rows(name, data):
    frame, options = CALLS[name]
    with pytest.raises(ApmkitError, match="must be a pandas DataFrame"):
        getattr(apm, name)(data, **options)
    with pytest.raises(ApmkitError, match="have no rows"):
        getattr(apm, name)(frame.iloc[:0], **options)


@every_design
@pytest.mark.filterwarnings("error::RuntimeWarning", "ignore::apmkit.errors.DesignWarning")
def test_columns_are_named_by_text_and_hold_finite_real_numbers(name):
    frame, options = CALLS[name]
    roles = {role: column for role, column in options.items() if np.isin(column, frame.columns).all()}
    for role, column in roles.items():
        one = column if isinstance(column, str) else column[0]
        for wrong in (5, ["nope"], [5], 5.0, *([["y"], []] if isinstance(column, str) else [])):
            with pytest.raises(ApmkitError, match="column"):
                getattr(apm, name)(frame, **{**options, role: wrong})
        if role in ("cluster", "group", "treated"):
            continue
        values = frame[one]
        dates = pd.Series(pd.date_range("2020-01-01", periods=len(frame), freq="MS"), index=frame.index)
        for wrong in (values + 0j, values.where(frame.index != 3), values.astype(str), dates, values.astype("category"),
                      values.astype(float).where(frame.index != 3, 1e200)):  # fmt: skip
            with pytest.raises(ApmkitError, match=f"Column '{one}'"):
                getattr(apm, name)(frame.assign(**{one: wrong}), **options)


@every_design
def test_a_level_is_between_zero_and_one(name):
    frame, options = CALLS[name]
    if name in ("density_test", "balance_table"):
        return
    for level in (95, "0.9", True, np.nan, 0.0):
        with pytest.raises(ApmkitError, match=f"level={level!r} is not between 0 and 1"):
            getattr(apm, name)(frame, **options, level=level)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("interrupted_time_series", {"time": None}, "time=None is not the name of a column"),
        ("regression_discontinuity", {"kernel": ["uniform"]}, "is not known"),
        ("placebo_cutoffs", {"cutoffs": ["a"]}, "cutoff='a' is not a finite number"),
        ("placebo_cutoffs", {"cutoff": None}, "cutoff=None is not a finite number"),
        ("bandwidth_sensitivity", {"bandwidth": "wide"}, "bandwidth='wide' is not usable"),
        ("bandwidth_sensitivity", {"bandwidth": (1, 2, 3)}, "is not usable"),
        ("density_curves", {"points": 2.5}, "points=2.5 is not a whole number"),
        ("instrumental_variables", {"controls": None}, "controls=None names no columns"),
        ("entropy_balancing", {"moments": 2.0}, "moments=2.0 is not 1, 2 or 3"),
        ("entropy_balancing", {"covariates": [["x"]]}, r"covariates=\['x'\] is not the name"),
        ("regression_to_the_mean", {"threshold": "high"}, "threshold='high' is not a finite number"),
        ("regression_to_the_mean", {"reliability": "high"}, "reliability='high' is not from 0"),
        ("regression_to_the_mean", {"reference": ["normal"]}, "is not known"),
    ],
)
def test_an_option_of_the_wrong_type_is_refused(name, options, message):
    frame, given = CALLS[name]
    with pytest.raises(ApmkitError, match=message):
        getattr(apm, name)(frame, **given | options)


def test_one_number_stands_for_a_list_of_one():
    roles = {"outcome": "y", "running": "run"}
    assert apm.placebo_cutoffs(PEOPLE, cutoffs=0.5, **roles)["cutoff"].tolist() == [0.5]
    assert apm.bandwidth_sensitivity(PEOPLE, multiples=2, bandwidth=0.8, **roles)["bandwidth"].tolist() == [1.6]


def test_a_covariate_that_is_a_line_in_the_running_variable_is_refused():
    frame = PEOPLE.assign(line=2 * PEOPLE["run"] + 1)
    with pytest.raises(ApmkitError, match="'line' does not vary within the bandwidth beyond the running variable"):
        apm.regression_discontinuity(frame, outcome="y", running="run", covariates=["x", "line"])


@pytest.mark.parametrize("name", ["inverse_probability_weighting", "entropy_balancing"])
def test_few_clusters_and_small_groups_are_warned_of(name):
    with pytest.warns(DesignWarning, match="2 clusters of 'half' are few"):
        getattr(apm, name)(PEOPLE.assign(half=np.arange(N) % 2), **{**WEIGHTED, "cluster": "half"})
    with pytest.warns(DesignWarning, match="'d' has a group of 4 rows for 2 covariates"):
        getattr(apm, name)(PEOPLE.assign(d=(np.arange(N) % 75 == 0) * 1), **WEIGHTED)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_autoregression_of_a_year_is_found_without_noise():
    apm.interrupted_time_series(SERIES, time="t", outcome="y", start=24, lags=12)


@pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
@every_design
def test_the_provenance_has_a_checksum_of_the_columns_used(name):
    frame, options = CALLS[name]

    def checksum(frame):
        result = getattr(apm, name)(frame, **options)
        return result.provenance["data_sha256"] if isinstance(result, apm.Estimate) else None

    first = checksum(frame)
    if first is None:
        assert name in ("covariate_tests", "placebo_cutoffs", "bandwidth_sensitivity", "density_test",
                        "density_curves", "balance_table")  # fmt: skip
        return
    assert len(first) == 64
    assert first == checksum(frame.sample(frac=1, random_state=0).assign(more=1))
    changed = next(column for role, column in options.items() if role in ("outcome", "before"))
    assert first != checksum(frame.assign(**{changed: frame[changed] + (frame.index == 1)}))
