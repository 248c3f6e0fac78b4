"""Published effects: as printed, traps marked, and a reader's rows join them."""

import gzip

import numpy as np
import pandas as pd
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
        ({"ci_low": ""}, "one of ci_low and ci_high is blank; give both or none"),
        ({"estimate": "2"}, "ci_low to ci_high does not enclose estimate; check the three"),
        ({"se": "0.5"}, "se is not the one that ci_low and ci_high give; leave it blank"),
        ({"se": "-1"}, "se is not above zero; leave it blank"),
        ({"notes": "Retracted"}, "a retracted article has an estimate; leave it blank"),
        ({"scale": "identity"}, "scale is log for a unit that is no ratio, or identity for a ratio; change scale"),
        ({"unit": "percent change"}, "scale is log for a unit that is no ratio, or identity for a ratio; change scale"),
        ({"outcome": ""}, "id, model, program, evaluation_author, outcome or unit is blank; fill it in"),
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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"estimate": "3"},
            r"In 1 of 2 rows ci_low to ci_high does not enclose estimate; check the three \(first: X001\)",
        ),
        ({"estimate": "one"}, r"Column 'estimate' holds 'one' in row 3 \(X001\), which is not a number"),
        ({"country": "Ontario"}, r"Column 'country' holds 'Ontario' in row 3 \(X001\); known are US, CA, CA-AB"),
        ({"year": "2025.5"}, r"Column 'year' holds '2025.5' in row 3 \(X001\), not a whole number"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_row_column_and_remedy(raw, tmp_path, monkeypatch, change, reason):
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path / "data"))
    row = raw[raw["id"] == "CA002"]
    pd.concat([row.assign(id="X000"), row.assign(id="X001", **change)]).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(datasets.DataError, match=reason):
        datasets.add("published_effects", tmp_path / "mine.csv")


def test_the_readings_differ_where_a_range_was_read_as_a_number(effects):
    second = datasets.load("published_effects_second_reading").dropna(subset="first_reading")
    both = second.merge(effects, left_on="first_reading", right_on="id", suffixes=("", "_first"))
    assert len(both) == len(second)
    differ = both[both["estimate"] != both["estimate_first"]]
    assert differ["first_reading"].tolist() == ["CA004"]
    ranges = both[both["ci_low"].notna() & both["ci_low_first"].isna()]
    assert ranges["unit"].unique().tolist() == ["% (range, not CI)"]
