"""Published effects: as printed, traps marked, and a reader's rows join them."""

import gzip

import numpy as np
import pytest

from apmkit import datasets
from apmkit.datasets import evidence
from apmkit.datasets.store import SHIPPED
from apmkit.datasets.tables import read_csv


@pytest.fixture(scope="module")
def raw():
    return read_csv(gzip.decompress((SHIPPED / "published_effects.csv.gz").read_bytes()), "published_effects.csv")


@pytest.fixture
def effects():
    return datasets.load("published_effects")


def test_half_of_the_rows_have_an_interval(effects):
    assert (len(effects), effects["ci_low"].notna().sum()) == (116, 58)


def test_the_retracted_article_is_a_flag_without_a_number(effects):
    retracted = effects[effects["retracted"]]
    assert retracted["id"].tolist() == ["US056"]
    assert retracted["estimate"].isna().all()


def test_width_of_an_interval_is_counted_in_its_last_printed_digit(effects):
    steps = effects.set_index("id")["interval_steps"]
    assert steps[["CA084", "CA002", "CA011", "US004", "CA073"]].tolist() == [1, 10, 4, 24, 91652]


def test_asymmetric_intervals_that_the_codebook_lists_are_asymmetric(effects):
    rows = effects.set_index("id").loc[["US004", "US030", "CA038", "CA044", "CA084"]]
    log = (rows["scale"] == "log").to_numpy()[:, None]
    ends = rows[["ci_low", "estimate", "ci_high"]].to_numpy()
    ends = np.where(log, np.log(np.where(log, ends, 1)), ends)
    assert not np.isclose(ends[:, 1] - ends[:, 0], ends[:, 2] - ends[:, 1]).any()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ci_low": ""}, "one end of the interval is missing"),
        ({"estimate": "2"}, "the interval does not enclose the estimate"),
        ({"se": "0.5"}, "the standard error is not the one that the interval gives"),
        ({"se": "-1"}, "a standard error is not above zero"),
        ({"notes": "Retracted"}, "a retracted article has a number"),
        ({"outcome": ""}, "an id, a model, an author, an outcome or a unit is blank"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named(raw, change, rule):
    row = raw[raw["id"] == "CA002"].assign(**change)
    broken = evidence.effect_rules(evidence.published_effects(row))
    assert broken[rule].all()


def test_added_rows_join_the_table_and_may_replace_one(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path / "data"))
    row = raw[raw["id"] == "CA002"]
    row.assign(id="X001", estimate="1.1", ci_low="1.05", ci_high="1.16", se="", se_source="").to_csv(
        tmp_path / "mine.csv", index=False
    )
    datasets.add("published_effects", tmp_path / "mine.csv")
    assert len(datasets.load("published_effects")) == 117
    row.assign(notes="read again").to_csv(tmp_path / "again.csv", index=False)
    with pytest.raises(datasets.DataError, match="already has CA002"):
        datasets.add("published_effects", tmp_path / "again.csv")
    datasets.add("published_effects", tmp_path / "again.csv", replace=True)
    frame = datasets.load("published_effects").set_index("id")
    assert (len(frame), frame.loc["CA002", "notes"], frame.loc["X001", "interval_steps"]) == (117, "read again", 11)


def test_a_row_that_cannot_be_is_refused(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path / "data"))
    raw[raw["id"] == "CA002"].assign(id="X001", estimate="3").to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(datasets.DataError, match="does not enclose the estimate"):
        datasets.add("published_effects", tmp_path / "mine.csv")


def test_the_readings_differ_where_a_range_was_read_as_a_number(effects):
    second = datasets.load("published_effects_second_reading").dropna(subset="first_reading")
    both = second.merge(effects, left_on="first_reading", right_on="id", suffixes=("", "_first"))
    assert len(both) == len(second)
    differ = both[both["estimate"] != both["estimate_first"]]
    assert differ["first_reading"].tolist() == ["CA004"]
    ranges = both[both["ci_low"].notna() & both["ci_low_first"].isna()]
    assert ranges["unit"].unique().tolist() == ["% (range, not CI)"]
