"""Upfront payment: cash follows from timing by hand, totals are equal where they should be, advances add up."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit import studies
from apmkit.studies import StudyError
from apmkit.studies import us_upfront_payment as upfront
from apmkit.studies import us_upfront_payment_figures as figures
from apmkit.studies import us_upfront_payment_tables as tables
from apmkit.studies import us_upfront_payment_words as words
from apmkit.studies.us_upfront_payment_aco import Assumptions, aco_years, advance_of

mpl.use("Agg")

STUDY = studies.get("us/upfront_payment")


@pytest.fixture(scope="module")
def started():
    return upfront.start(STUDY.parameters())


@pytest.fixture(scope="module")
def table(started):
    return upfront.measures(started)


def test_at_equal_totals_every_model_brings_the_running_costs_to_the_cent(started):
    costs = 5 * (started.before + started.nurse).sum()
    for flow in started.equal["new"].values():
        closing = flow.by_practice["closing_balance"]
        assert closing.abs().max() < 0.5
        assert flow.by_practice["costs"].sum() == pytest.approx(costs, abs=1)


def test_the_need_at_equal_totals_is_months_of_costs_counted_by_hand(started, table):
    month = (started.before / started.physicians / 12).median()
    nurse = 2_000
    # Fees a month late: two months of costs are due before the first money, or of the raise alone if old claims come.
    assert table.loc["fee_for_service", "need_new"] == pytest.approx(2 * (month + nurse), rel=1e-4)
    assert table.loc["fee_for_service", "need_existing"] == pytest.approx(month + 2 * nurse, rel=1e-4)
    # The settlement of the first year can be used in month 22: 21 months of the nurse, and the last month of costs.
    assert table.loc["shared_savings", "need_existing"] == pytest.approx(month + 21 * nurse, rel=1e-4)
    assert table.loc["advance", "need_existing"] == pytest.approx(month + 21 * nurse, rel=1e-4)
    low = {m: f.by_practice["lowest_month"].median() for m, f in started.equal["existing"].items()}
    assert (low["shared_savings"], low["advance"]) == (21, 45)


def test_more_patients_a_physician_help_where_money_follows_patients(table):
    many = upfront.measures(upfront.start(STUDY.parameters(patients=400), opens=()))
    for model in set(upfront.MODELS) - {"fee_for_service"}:
        assert many.loc[model, "pay"] - many.loc["fee_for_service", "pay"] > 2 * (
            table.loc[model, "pay"] - table.loc["fee_for_service", "pay"]
        )
    assert many.loc["advance", "can_start"] > 0.9 > 0.1 >= table.loc["advance", "can_start"]


def test_before_the_start_each_practice_breaks_even_under_fees(started):
    assert np.allclose(started.before, started.payments["fee_for_service"].total)
    nurse_only = STUDY.parameters(start_up=0)
    surplus = upfront.measures(upfront.start(nurse_only, opens=()))["surplus"]
    assert surplus["fee_for_service"] == pytest.approx(-24_000, abs=1)


def test_shared_savings_follow_from_the_rule_and_the_advance_is_taken_back_once():
    spending = 10_000.0
    years = aco_years([0.0, 0.04], spending).xs(0.04, level="rate")
    earned = 0.98 * 0.4 * 0.04 * spending * 8_000
    assert years["earned"].tolist() == pytest.approx([earned] * 5)
    assert years["recouped"].sum() == pytest.approx(advance_of(Assumptions()).total.sum())
    assert years["balance"].iloc[-1] == 0
    none = aco_years([0.0, 0.04], spending).xs(0.0, level="rate")
    assert none[["earned", "recouped"]].sum().sum() == 0
    # A fifth has the highest score, the others are spread evenly over the bands of the rule.
    mean = 0.2 * 45 + 0.8 * (10 * (20 + 24 + 28 + 32 + 36 + 40) + 16 * 45) / 100
    assert none["balance"].iloc[-1] == pytest.approx(250_000 + 8 * 8_000 * mean)


def test_an_aco_never_ends_with_less_for_the_advance_and_owes_only_what_was_not_taken():
    savings = tables.savings_table(12_000.0, (0.0, 0.01, 0.03, 0.05))
    assert (savings["kept_advanced"] >= savings["kept_alone"] - 0.01).all()
    assert np.allclose(savings["balance"], savings["advanced"] - savings["recouped"])
    assert savings["balance"].is_monotonic_decreasing
    text = words.recoupment_in_words(savings)
    assert "keeps the whole advance" in text
    assert "From savings of 3.0% a year on" in text


def test_a_lag_matters_to_a_practice_that_opens_and_not_to_one_that_exists():
    need = {
        (existing, lag): upfront.measures(
            upfront.start(STUDY.parameters(existing=existing, claims_lag=lag), opens=(), models=("shared_savings",))
        ).loc["shared_savings", "need"]
        for existing in (True, False)
        for lag in (1, 3)
    }
    assert need[True, 1] == pytest.approx(need[True, 3])
    assert need[False, 3] > need[False, 1] > need[True, 1]


def test_models_are_marked_where_and_only_where_their_rules_are_in_doubt(started):
    paid = {**started.payments, "advance": advance_of(Assumptions())}
    marked = {model for model in upfront.MODELS if upfront.label(model).endswith("†")}
    assert marked == {model for model, payment in paid.items() if payment.unconfirmed}
    assert marked == {model for model in upfront.MODELS if words.named(model).endswith("†")}
    shown = tables.doubtful_values(started).set_index("parameter")["value"]
    assert shown["track2.upfront_shares"] == "0.4; 0.65"
    assert shown["population_payment"].startswith("risk from 0, amount 28; risk from 1.2")
    assert set(tables.doubtful_values(started)["model"]) == {upfront.label(model) for model in marked}


def test_published_advances_add_up_and_no_aco_gives_back_more_than_it_got():
    advances = tables.published_advances()
    assert np.allclose(advances["advanced"], advances["recouped"] + advances["outstanding"])
    frame = apm.load("mssp")
    inside = frame[frame["aco_id"].isin(advances.index)]
    assert advances["recouped"].sum() == pytest.approx(inside["advance_payment_recouped"].sum())
    # The evaluation by Abt Associates (2020): more than half of the funds came back.
    assert 0.5 < advances["recouped"].sum() / advances["advanced"].sum() < 0.75
    text = words.published_in_words(advances)
    assert f"{(advances['advanced'] > 0).sum()} ACOs of that model with an advance" in text


def test_the_finding_follows_the_model_and_the_numbers():
    result = STUDY.run(STUDY.parameters(model="advance"))
    row = result.estimates["advance"].table.set_index("term")["estimate"]
    assert result.headline == "advance"
    assert words.usd(row["need"]) in result.sentences[0]
    assert words.usd(row["need_equal_totals"]) in result.sentences[1]
    assert result.estimates["advance"].table["ci_low"].isna().all()
    assert any("synthetic" in note for note in result.notes)


def test_sentences_turn_with_the_numbers(started, table):
    told = words.in_short(table, 144)
    assert "with 144 Medicare patients a physician" in told
    assert "at most one in ten can start under fee-for-service, shared savings alone" in told
    assert "of all practices 50% under fee-for-service, 50% under CPC+" in words.in_short(
        table.assign(can_start=0.5), 9
    )
    assert "and the need is the same" in words.equal_totals_in_words(table, started)
    poor = table.assign(pay=table["pay"].where(table.index != "shared_savings", table.loc["fee_for_service", "pay"]))
    assert "less than the nurse costs" in words.as_paid_in_words(poor, started)
    varied = pd.DataFrame({"advance": [1_000.0, 1_000.0, 9_000.0]}, index=["As chosen", "No costs", "Nurse twice"])
    told = words.range_in_words(varied, ("advance",))
    assert 'it runs from USD 1,000 to USD 9,000, moved most by "nurse twice"' in told


def test_other_choices_change_one_thing_each():
    varied = tables.varied(STUDY.parameters(physicians=1), ("advance",))["advance"]
    assert varied["Nurse at twice the cost"] > varied["As chosen"] >= varied["Nurse at half the cost"]
    assert varied["Half of the CPC+ incentive repaid"] == varied["As chosen"]


def test_a_whole_nurse_costs_the_solo_physician_the_share_of_four():
    found = upfront.start(STUDY.parameters(physicians=1), Assumptions(whole_nurses=True), opens=())
    assert (found.nurse == 12 * 8_000).all()
    days = tables.by_size(STUDY.parameters(), ("advance",))
    medians = days.groupby(["nurse", "physicians"])["advance"].median()
    assert medians["Whole nurses only", 4] == medians["Nurses shared", 4]
    assert medians["Whole nurses only", 1] > 5 * medians["Whole nurses only", 4]
    assert "either way" in words.size_in_words(days, "advance")


def test_figures_draw_every_model(started, table):
    for ax in (figures.balances(started.paid, started), figures.who_can_start(started)):
        assert {text.get_text() for text in ax.texts} == set(map(upfront.label, upfront.MODELS))
    assert len(figures.totals(started, table).patches) == len(upfront.MODELS)
    assert len(figures.arrivals(started).figure.axes) == len(upfront.MODELS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "capitation"}, "one of fee_for_service, cpc_plus_1"),
        ({"physicians": 0}, "whole number from 1 to 8"),
        ({"savings_rate": 4}, "number from -0.05 to 0.15"),
    ],
)
def test_parameters_out_of_bounds_are_refused_in_one_sentence(values, message):
    with pytest.raises(StudyError, match=message):
        STUDY.parameters(**values)
