"""The study of the minimum savings rate: its running variable, its jump and its sentences."""

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import studies
from apmkit.studies import StudyError
from apmkit.studies import us_mssp_savings_threshold as threshold
from apmkit.studies import us_mssp_savings_threshold_figures as figures
from apmkit.studies import us_mssp_savings_threshold_words as words

STUDY = studies.get("us/mssp_savings_threshold")


@pytest.fixture(scope="module")
def frame():
    return threshold.aco_years()


@pytest.fixture(scope="module")
def default():
    return STUDY.run()


def test_the_margin_reaches_zero_exactly_where_savings_were_counted(frame):
    some = frame[frame["minimum_savings_rate"] > 0]
    assert ((some["margin"] >= 0) == (some["generated_savings"] > 0)).all()


def test_the_payment_rules_pay_whom_cms_paid():
    agree, of_all = threshold.rules_agree(apm.load("mssp"))
    assert agree == of_all > 4_000


def test_outcomes_are_those_of_the_asked_for_year_of_the_same_aco(frame):
    later = threshold.aco_years(2)
    published = apm.load("mssp").set_index(["aco_id", "year"])
    for table, ahead in ((frame, 1), (later, 2)):
        row = table[table["next_quality_score"].notna()].iloc[100]
        known = published.loc[(row["aco_id"], row["year"] + ahead)]
        assert row["next_quality_score"] == pytest.approx(100 * known["quality_score"])
        growth = np.log(known["spending_per_capita"] / row["spending_per_capita"])
        assert row["next_spending_growth"] == pytest.approx(100 * growth)
        assert table.loc[table["year"] + ahead > table["year"].max(), "next_leaves"].isna().all()
        left = table[table["next_leaves"] == 100].iloc[0]
        assert (left["aco_id"], left["year"] + ahead) not in published.index


def test_the_headline_is_the_fuzzy_jump_of_the_library(frame, default):
    parameters = STUDY.parameters()
    chosen = threshold.select(frame, parameters).dropna(subset=["spending_growth"])
    direct = apm.regression_discontinuity(
        chosen, outcome="spending_growth", running="margin", treatment="paid", cluster="aco_id"
    )
    row = default.estimates["effect"].table.iloc[0]
    assert row["estimate"] == pytest.approx(direct.table["estimate"].iloc[0])
    assert default.headline == "effect"
    assert default.estimates["paid_share"].table["estimate"].iloc[0] == pytest.approx(1, abs=0.02)


def test_acos_with_a_minimum_of_zero_have_no_jump_in_their_payment_and_are_left_out(frame):
    parameters = STUDY.parameters()
    assert (threshold.select(frame, parameters)["minimum_savings_rate"] > 0).all()
    zero = frame[frame["minimum_savings_rate"] == 0].assign(payment=lambda f: f["payment"])
    near = zero[zero["margin"].between(0, 0.5)]
    assert near["payment"].max() < 0.5


def test_outcomes_have_no_differences_between_years(frame):
    chosen = threshold.select(frame, STUDY.parameters())
    for outcome in threshold.OUTCOMES:
        assert chosen.groupby("year")[outcome].mean().abs().max() < 1e-9


def test_the_plain_comparison_is_the_difference_of_means(frame, default):
    chosen = threshold.select(frame, STUDY.parameters()).dropna(subset=["spending_growth"])
    means = chosen.groupby("paid")["spending_growth"].mean()
    assert default.estimates["plain_comparison"].table["estimate"].iloc[0] == pytest.approx(means[1] - means[0])


def test_a_planted_effect_is_found(frame):
    parameters = STUDY.parameters(effect="passing")
    chosen = threshold.select(frame, parameters)
    before = threshold.jump(chosen, parameters).table["estimate"].iloc[0]
    bandwidth = threshold.jump(chosen, parameters).details["bandwidths"].loc[0, ["h", "b"]]
    planted = chosen.assign(spending_growth=chosen["spending_growth"] + 3 * (chosen["margin"] >= 0))
    rows = planted.dropna(subset=["spending_growth"])
    after = apm.regression_discontinuity(
        rows, outcome="spending_growth", running="margin", cluster="aco_id", bandwidth=tuple(bandwidth)
    )
    assert after.table["estimate"].iloc[0] - before == pytest.approx(3)


def test_sentences_follow_their_numbers():
    table = pd.DataFrame({"what": ["a", "b"], "p": [0.01, 0.9], "p, adjusted": [0.02, 0.9]})
    assert "a" in words.groups_sentence(table)
    assert "no part stands out" in words.groups_sentence(table.assign(**{"p, adjusted": 0.5}))
    assert "chosen their side" in words.density_sentence(pd.Series({"p_value": 0.01}))
    assert "does not jump" in words.density_sentence(pd.Series({"p_value": 0.5}))


def test_a_clear_effect_is_not_called_a_change_of_an_effect():
    told = STUDY.run(STUDY.parameters(outcome="leaves", years_after=3)).sentences[0]
    assert told.startswith("Being paid lowered the chance of having left the program the third year after by ")


def test_tables_of_parts_adjust_for_their_number(frame):
    parts, too_small = threshold.subgroups(frame, STUDY.parameters())
    table = figures.estimates_table(parts, "ACO-years")
    assert len(table) + len(too_small) == 10
    assert (table["p, adjusted"] >= table["p"]).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"last_year": 2030}, "has no next year in the data"),
        ({"first_year": 2022, "last_year": 2020}, "keep no year"),
        ({"bandwidth": 9}, "number from 0.4 to 3"),
        ({"years_after": 4}, "number from 1 to 3"),
        ({"years_after": 3, "first_year": 2021}, "beyond 2023, the last year in the data"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused_in_one_sentence(values, message):
    with pytest.raises(StudyError, match=message) as caught:
        STUDY.parameters(**values)
    assert "\n" not in str(caught.value)


def test_too_few_acos_are_refused(frame):
    with pytest.raises(StudyError, match="too few for a discontinuity"):
        threshold.select(frame, STUDY.parameters(first_year=2013, last_year=2013, risk="two_sided"))
