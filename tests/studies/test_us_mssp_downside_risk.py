"""The study of two-sided risk: who is counted where, and sentences that follow their numbers."""

import pandas as pd
import pytest

from apmkit import studies
from apmkit.studies import us_mssp_downside_risk as mssp
from apmkit.studies import us_mssp_downside_risk_figures as figures
from apmkit.studies import us_mssp_downside_risk_words as words

STUDY = studies.get("us/mssp_downside_risk")


@pytest.fixture(scope="module")
def frame():
    return mssp.aco_years()


@pytest.fixture(scope="module")
def default():
    return STUDY.run()


def test_every_aco_is_on_one_side_and_those_with_a_switch_changed_side(frame):
    sides = mssp.by_side(frame)
    assert sum(map(len, sides.values())) == frame["aco_id"].nunique()
    seen = frame.groupby("aco_id")["two_sided"].agg(["first", "any"])
    assert set(sides["switched"]["aco_id"]) == set(seen.index[~seen["first"] & seen["any"]])
    assert set(sides["never"]["aco_id"]) == set(seen.index[~seen["any"]])
    shown = figures.sides_table(frame)
    assert shown["Number"].tolist() == [len(side) for side in sides.values()]
    assert figures.tracks_table(frame).iloc[:, 1:].to_numpy().sum() == len(sides["switched"])


def test_the_gap_of_2019_counts_acos_that_it_hides():
    rows = pd.DataFrame(
        [
            ("A", 2019, "2016-01-01", 6), ("A", 2020, "2019-07-01", 12), ("B", 2020, "2019-07-01", 12),
            ("C", 2020, "2020-01-01", 12),
        ],
        columns=["aco_id", "year", "agreement_start", "performance_months"],
    )  # fmt: skip
    assert mssp.gap_of_2019(rows) == (1, 1)


def test_the_text_of_the_estimate_has_its_headline_its_rows_and_its_unit(frame, default):
    parameters = STUDY.parameters()
    chosen = mssp.select(frame, parameters)
    att = default.estimates["att"]
    text = words.estimate_text(default, chosen, parameters)
    assert text.startswith(f"**{default.sentences[0]}")
    assert f"{att.n_obs:,} rows of {att.n_units:,} ACOs" in text
    assert "log point" not in text
    before = chosen[chosen["cohort"].isna() | (chosen["year"] < chosen["cohort"])]
    assert mssp.mean_without(chosen, "spending_per_capita") == before["spending_per_capita"].mean()
    log = STUDY.parameters(scale="log")
    assert "A log point of 0.01" in words.estimate_text(STUDY.run(log), mssp.select(frame, log), log)


def test_sentences_follow_their_numbers(default):
    ranges = pd.DataFrame({"low": [-90.0, -20.0], "high": [80.0, 10.0]}, index=[0.0, 0.1])
    assert "anywhere from -20 to 10 dollars: exit alone leaves" in words.bounds_sentence(ranges, 20.0, "dollars")
    assert "from -90 to 80." in words.bounds_sentence(ranges, 20.0, "dollars")
    assert "sign stays the same" in words.bounds_sentence(ranges - 30, 20.0, "dollars")
    assert "exit does not matter" in words.bounds_sentence(ranges * 0, 20.0, "dollars")
    att = default.estimates["att"]
    fall = att.table["estimate"].iloc[0] < 0
    found = words.alternatives_sentence({"as chosen": att}, {"up to 2019": "too short"})
    assert found.startswith(f"Of 1 estimates, {int(fall)} are falls and {int(not fall)} are rises")
    assert found.endswith("Not possible: up to 2019 (too short)")
    p = mssp.drift_before(default.estimates["event"])
    assert ("were not parallel" in words.drift_sentence(default.estimates["event"])) == (p < 0.05)
    assert "None" in words.counted_sentence(False)


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        ({}, "have not yet switched; two-way"),
        ({"control": "never_treated"}, "never switch; two-way"),
        ({"estimator": "imputation"}, "predicts each outcome"),
        ({"estimator": "sun_abraham"}, "its own effect in each year"),
        ({"estimator": "twfe"}, "one regression"),
    ],
)
def test_the_estimator_is_named_as_chosen(chosen, text):
    sentence = words.estimator_sentence(STUDY.parameters(**chosen))
    assert text in sentence
    assert sentence.count("misleads") == 1


def test_a_fall_as_large_as_the_minimum_is_excluded_only_if_no_interval_reaches_it(frame, default):
    parameters, att = STUDY.parameters(), default.estimates["att"]
    latest = frame[(frame["year"] == frame["year"].max()) & frame["two_sided"]]
    mean = mssp.mean_without(mssp.select(frame, parameters), "spending_per_capita")
    reached = -att.table["ci_low"].iloc[0] / mean >= latest["minimum_savings_rate"].median()
    sentence = words.policy_sentence({"as chosen": att}, frame, parameters)
    assert ("is not excluded" in sentence) == reached
    assert "bounds for those that left" in sentence
    balanced = STUDY.parameters(sample="balanced")
    assert "bounds for those that left" not in words.policy_sentence({"as chosen": att}, frame, balanced)
