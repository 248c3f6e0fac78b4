"""The study of settlements: what lasts, who is paid, what chance and other rules would have paid, and its sentences."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

import apmkit as apm
from apmkit import studies
from apmkit.payment import mssp, rulebook
from apmkit.studies import StudyError
from apmkit.studies import us_mssp_settlement as settlement
from apmkit.studies import us_mssp_settlement_figures as figures
from apmkit.studies import us_mssp_settlement_luck as luck
from apmkit.studies import us_mssp_settlement_money as money
from apmkit.studies import us_mssp_settlement_words as words

mpl.use("Agg")

STUDY = studies.get("us/mssp_settlement")


@pytest.fixture(scope="module")
def frame():
    return settlement.window(STUDY.parameters())


@pytest.fixture(scope="module")
def default():
    return STUDY.run()


@pytest.fixture(scope="module")
def three(frame):
    return luck.spreads(frame)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_the_headline_is_the_correlation_of_pairs_worked_out_by_pandas(frame, default):
    rate = frame["savings_rate"] - frame.groupby("year")["savings_rate"].transform("mean")
    wide = frame.assign(rate=rate).pivot(index="aco_id", columns="year", values="rate")
    years = wide.columns[:-1]
    both = pd.concat([wide[[y, y + 1]].dropna().set_axis(["a", "b"], axis=1) for y in years])
    row = default.estimates["persistence"].table.iloc[0]
    assert row["estimate"] == pytest.approx(both["a"].corr(both["b"]), abs=1e-12)
    assert default.headline == "persistence"


def test_clustered_intervals_agree_with_the_library_that_resamples_acos(frame, default):
    resampled = mssp.savings_reliability(frame, n_boot=400).set_index("pairs_of_years")
    formula = default.estimates["persistence"].table.set_index("term")
    names = {
        "all pairs": "1 year apart",
        "one agreement": "1 year apart, one agreement period",
        "two agreements": "1 year apart, two agreement periods",
    }
    for ours, theirs in names.items():
        assert formula.loc[ours, "estimate"] == pytest.approx(resampled.loc[theirs, "correlation"], abs=1e-12)
        for end in ("ci_low", "ci_high"):
            assert formula.loc[ours, end] == pytest.approx(resampled.loc[theirs, end], abs=0.02)


def test_the_difference_of_agreements_is_the_difference_of_its_terms_with_their_covariance(default):
    found = default.estimates["persistence"]
    table, covariance = found.table.set_index("term"), found.covariance
    one, two = "one agreement", "two agreements"
    difference = table.loc["one less two agreements"]
    assert difference["estimate"] == pytest.approx(table.loc[one, "estimate"] - table.loc[two, "estimate"])
    variance = covariance.loc[one, one] + covariance.loc[two, two] - 2 * covariance.loc[one, two]
    assert difference["se"] == pytest.approx(np.sqrt(variance))


def test_shuffled_partners_of_the_same_year_do_not_correlate(frame):
    drawn = luck.shuffled(luck.pairs(frame, 1), draws=100)
    assert abs(drawn.mean()) < 0.01
    assert np.abs(drawn).max() < 0.1


def test_shares_past_the_minimum_are_those_of_the_library_and_of_the_columns(frame, default, three):
    estimate = default.estimates["past_minimum"].table.set_index("term")
    by_year = luck.past_by_year(frame, three)
    np.testing.assert_allclose(estimate["estimate"], by_year["share_past"])
    n = frame.groupby("year").size().to_numpy()
    share = estimate["estimate"].to_numpy()
    np.testing.assert_allclose(estimate["se"], np.sqrt(share * (1 - share) / n), rtol=0.1)


def test_every_cheque_is_rebuilt_and_all_that_differ_are_exceptions(frame, default):
    table = default.estimates["rebuilt"].table.set_index("term")
    assert table.loc["paid", "estimate"] == (frame["earned_savings"] > 0).sum()
    assert table.loc["within_0.1%", "estimate"] == table.loc["paid", "estimate"]
    assert table["ci_low"].isna().all()
    found = mssp.reconcile_mssp(frame)
    differ = ~(found.rows["within_rounding"] | found.rows["within_0.1%"])
    assert set(found.rows.loc[differ, "aco_id"]) <= set(found.exceptions.loc[~found.exceptions["agrees"], "aco_id"])
    table = figures.exceptions_table(found.exceptions)
    together = table["ACO"].str.extract(r"^(\d+) ACO-years$")[0].dropna().astype(int)
    assert together.sum() + len(table) - len(together) == len(found.exceptions)
    assert (table["Agree"] == "no").sum() == (~found.exceptions["agrees"]).sum()


def test_an_interval_of_independent_rows_is_wilsons():
    rows = pd.DataFrame({"aco_id": [f"A{i}" for i in range(50)], "paid": [True] * 20 + [False] * 30, "by": "x"})
    row = money.shares(rows, "by").loc["x"]
    # Fifty clusters of one row count as 49 independent rows, by the small-sample factor of the variance.
    assert (row["low"], row["high"]) == pytest.approx(proportion_confint(0.4 * 49, 49, method="wilson"))
    doubled = money.shares(pd.concat([rows, rows]), "by").loc["x"]
    assert (doubled["low"], doubled["high"]) == pytest.approx((row["low"], row["high"]))
    none = money.shares(rows.assign(paid=False), "by").loc["x"]
    assert none["low"] == 0
    assert 0 < none["high"] < 0.1


@pytest.mark.parametrize("year", [2013, 2018, 2020, 2023])
def test_the_rules_in_force_are_the_scenario_that_changes_nothing(year):
    base = money.what_if(year, rulebook("mssp"))
    published = apm.load("mssp").query("year == @year")["earned_savings"]
    assert base["paid"] == pytest.approx(published.clip(lower=0).sum(), rel=1e-4)
    assert base["paid_acos"] == (published > 0).sum()


def test_a_higher_sharing_rate_pays_in_proportion_and_a_lower_minimum_never_less():
    rules = rulebook("mssp")
    base = money.what_if(2022, rules)
    higher = money.what_if(2022, rules.with_values({"enhanced.sharing_rate": 0.9}))
    acos = mssp.published_aco_years().query("year == 2022")
    enhanced = acos.loc[acos["track"] == "ENHANCED", "earned_savings"].clip(lower=0).sum()
    assert higher["paid"] - base["paid"] == pytest.approx(enhanced * (0.9 / 0.75 - 1), rel=1e-3)
    nets = [money.what_if(2022, rules, minimum=m)["paid"] for m in (0.0, 0.01, 0.03, 0.05)]
    assert nets == sorted(nets, reverse=True)


def test_near_misses_got_nothing_and_would_get_their_sharing_rate_of_all_savings():
    missed = money.near_misses(2023)
    assert (missed["savings_rate"] < missed["minimum_savings_rate"]).all()
    assert (missed["would_be"] / missed["saved"]).between(0.98 * 0.4 - 1e-6, 0.98 * 0.75 + 1e-6).all()


@pytest.mark.parametrize("year", [2013, 2017, 2021, 2023])
def test_the_cliff_is_zero_below_the_minimum_and_jumps_to_the_first_dollar(year):
    lines = money.cliff(year)
    for _, line in lines.groupby("track"):
        minimum = line["minimum"].iloc[0]
        below = line[(line["savings_rate"] >= 0) & (line["savings_rate"] < minimum - 1e-9)]
        assert (below["payment"] == 0).all()
        at = line[line["savings_rate"] > minimum - 1e-9].iloc[0]
        assert at["payment"] > 0.3 * minimum
    assert lines["track"].nunique() == 2


def test_chance_pays_more_the_wider_the_spread_and_the_bill_keeps_what_happened(three):
    bill = money.bill_by_chance(2023, three)
    assert bill["paid"].iloc[1:].is_monotonic_increasing
    published = apm.load("mssp").query("year == 2023")["earned_savings"]
    assert bill.loc["as published", "paid"] == published.clip(lower=0).sum()


@pytest.mark.parametrize("aco", STUDY.Parameters.choices("aco"))
def test_every_aco_that_can_be_chosen_is_explained_down_to_what_was_settled(aco):
    row = settlement.chosen_aco(STUDY.parameters(aco=aco))
    steps = mssp.explain_settlement(row, unknown_revenue="benchmark")
    sentence = words.cheque_sentence(row.iloc[0], steps["value"].iloc[-1])
    assert ("one of the exceptions" in sentence) is (aco == "A1241-2023")
    assert figures.steps_table(steps)["Value"].str.len().gt(3).all()


def test_the_invented_benchmark_says_what_cannot_be_checked():
    example = money.made_up_benchmark()
    assert any("cannot be checked" in note for note in example.notes)
    assert example.table["benchmark"].item() > 0


def test_sentences_follow_the_numbers(frame, default, three):
    by_year = luck.past_by_year(frame, three)
    assert f"{by_year['share_past'].iloc[-1]:.0%}".rstrip("%") in words.share_sentence(by_year, "published")
    nothing = by_year.assign(past_low=0.0)
    assert "in 0 of 11 years." in words.spell_sentence(nothing)
    assert words.spell_sentence(by_year.assign(past_low=1.0)).startswith(
        "The interval of the share lies above the upper bound of chance in 11 of 11 years. From"
    )
    short = luck.persistence(luck.pairs(frame[frame["year"] < 2015], 1))
    assert "two agreements" not in short.table["term"].tolist()
    assert "too few ACOs" in words.agreement_sentence(short)
    lasts = default.estimates["persistence"]
    assert "less lasts once the benchmark is set anew" in words.agreement_sentence(lasts)
    assert words.dollars(-1_234_567) == "USD 1.23 million"
    assert words.dollars(25e9) == "USD 25.0 billion"
    options = money.scenarios(2023, 0.05)
    assert "less in 2023" in words.policy_sentence(options, 2023)
    assert "more in 2023" in words.policy_sentence(money.scenarios(2023, 0.0), 2023)
    empty = money.near_misses(2023).head(0)
    assert words.miss_sentence(empty, 2023) == "In 2023 no ACO saved without reaching its minimum."


def test_figures_show_every_group_and_year(frame, three):
    ax = figures.who_is_paid(money.groups(frame))
    assert len(ax.get_yticklabels()) == 10 + 5 + 2
    by_year = luck.past_by_year(frame, three)
    assert len(figures.share_by_year(by_year).get_lines()[0].get_xdata()) == 11
    found = luck.pairs(frame, 1)
    assert len(figures.lasting(found, 1).containers) == 10
    assert figures.funnel(frame, three, 2023).get_ylabel() == "Savings rate of 2023, %"
    figures.cliff_figure(money.cliff(2023))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first_year": 2023}, "hold no two years 1 apart"),
        ({"first_year": 2020, "lag": 4}, "hold no two years 4 apart"),
        ({"last_year": 2030}, "is after the last performance year in the data"),
        ({"aco": "A0000-2020"}, "give one of A1409-2018"),
        ({"what_if_minimum": 2}, "number from 0.0 to 0.1"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused_in_one_sentence(values, message):
    with pytest.raises(StudyError, match=message) as caught:
        STUDY.parameters(**values)
    assert "\n" not in str(caught.value)


def test_too_few_acos_are_refused(frame):
    with pytest.raises(StudyError, match="Fewer than 30 ACOs"):
        luck.persistence(luck.pairs(frame[frame["beneficiaries"] > 150_000], 1))
