"""Payment errors by risk group, the cap on risk growth and the money that better coding brings."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import ApmkitError
from apmkit.payment import (
    PaymentTerms,
    Practices,
    calibrate_effort,
    coding_drift,
    reward_one_task,
    risk_adjustment_effect,
    synthetic_practices,
)
from apmkit.plots import payment as figures

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def two():
    """A practice of risk 0.5 and one of 1.5; women cost 100 and 300, men 500 and 1100."""
    patients = pd.DataFrame(
        {
            "practice": ["A", "A", "B", "B"],
            "age": 70,
            "sex": ["F", "M", "F", "M"],
            "risk_score": [0.2, 0.8, 1.0, 2.0],
            "spending": [100.0, 500.0, 300.0, 1100.0],
        }
    )
    return Practices(patients, pd.DataFrame({"practice": ["A", "B"], "physicians": 1}), country="US")


@pytest.fixture(scope="module")
def many():
    return synthetic_practices("US", n_practices=30, patients_per_physician=200, seed=6)


def test_payments_by_hand(two):
    table = risk_adjustment_effect(two, growth=[0.05, 0.0], by="practices", groups=2)
    payments = table["payment"].unstack("group")
    assert payments.loc["none"].tolist() == [500, 500]
    assert payments.loc["age_sex"].tolist() == [500, 500]  # women 200 and men 800 in both practices
    assert payments.loc["morbidity"].tolist() == [250, 750]
    assert payments.loc["morbidity_capped"].tolist() == pytest.approx([250 * 1.03 / 1.05, 750])
    assert table.loc[("none", 1), "error"] == 200
    assert table.loc[("none", 1), "error_share"] == pytest.approx(2 / 3)
    assert (table["patients"] == 2).all()


def test_groups_of_patients_by_hand(two):
    table = risk_adjustment_effect(two, groups=2)
    assert table.loc["age_sex", "payment"].tolist() == [500, 500]
    assert table.loc["age_sex", "spending"].tolist() == [300, 700]
    assert table.loc["morbidity", "risk"].tolist() == pytest.approx([0.5, 1.5])


@pytest.mark.parametrize("by", ["patients", "practices"])
def test_the_first_three_ways_pay_the_same_in_all_and_the_cap_less(many, by):
    table = risk_adjustment_effect(many, by=by)
    total = (table["payment"] * table["patients"]).groupby("method").sum()
    spent = many.patient("spending").sum()
    assert total[["none", "age_sex", "morbidity"]].tolist() == pytest.approx([spent] * 3)
    assert total["morbidity_capped"] == pytest.approx(spent * 1.03 / 1.05)


def test_without_adjustment_the_sick_are_paid_too_little_and_morbidity_mends_most_of_it(many):
    error = risk_adjustment_effect(many)["error"].unstack("method")
    assert error.loc[1, "none"] > 0 > error.loc[5, "none"]
    assert abs(error.loc[5, "morbidity"]) < abs(error.loc[5, "age_sex"]) < abs(error.loc[5, "none"])


def test_the_cap_limits_growth_and_leaves_a_fall_alone(many):
    fallen = risk_adjustment_effect(many, growth=-0.1)["payment"].unstack("method")
    pd.testing.assert_series_equal(fallen["morbidity_capped"], fallen["morbidity"], check_names=False)


def test_money_for_coding_by_hand(two):
    table = coding_drift(two, drift=[0.10, 0.0], years=1)
    # Owed: 500 and 1500. Scores of A rise by 10 %, those of all by 2.5 %.
    last = table.xs(1, level="year")
    assert last["payment"].tolist() == pytest.approx([2050, 2015, 2000, 500 * 1.03 + 1500 / 1.025])
    assert last.loc["uncapped", "overpayment"] == pytest.approx(50)
    assert last.loc["uncapped", "overpayment_share"] == pytest.approx(0.025)
    assert last.loc["uncapped", "score"] == pytest.approx(1.025)
    assert last.loc["normalised", "moved"] == pytest.approx(1500 - 1500 / 1.025)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.2), st.integers(1, 6), st.floats(0, 0.1))
def test_no_cap_pays_more_than_itself_and_normalisation_pays_nothing_for_equal_drift(drift, years, cap):
    practices = synthetic_practices("US", n_practices=3, patients_per_physician=20, seed=1)
    share = coding_drift(practices, drift=drift, years=years, cap=cap)["overpayment_share"]
    assert (share["capped"] <= cap + 1e-9).all()
    assert (share["capped"] <= share["uncapped"] + 1e-9).all()
    assert np.allclose(share["normalised"], 0, atol=1e-9)
    assert share["uncapped"].iloc[-1] == pytest.approx((1 + drift) ** years - 1)


def test_normalisation_moves_money_to_those_who_code_more(many):
    drift = np.where(np.arange(30) < 15, 0.05, 0.0)
    table = coding_drift(many, drift=drift, years=4)
    assert table.loc["normalised", "moved"].is_monotonic_increasing
    assert table.loc[("normalised", 4), "moved"] > table.loc[("normalised_capped", 4), "moved"] > 0
    assert table.loc[("uncapped", 0), "moved"] == pytest.approx(0, abs=1e-3)


def test_growth_and_drift_by_practice_are_put_in_order_by_name(two):
    rates = np.array([0.05, 0.0])
    backwards = pd.Series(rates[::-1], index=two.index[::-1])
    by_name = [risk_adjustment_effect(two, growth=backwards, groups=2), coding_drift(two, drift=backwards)]
    in_order = [risk_adjustment_effect(two, growth=rates, groups=2), coding_drift(two, drift=rates)]
    for one, other in zip(by_name, in_order, strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: risk_adjustment_effect(p, cap=3), "0.03 for 3 %"),
        (lambda p: risk_adjustment_effect(p, growth=5), "0.05 for 5 %"),
        (lambda p: risk_adjustment_effect(p, growth=[0.1, 0.2, 0.3]), "give one number, or an array"),
        (lambda p: risk_adjustment_effect(p, growth=-1), "from -0.99 to 1"),
        (lambda p: risk_adjustment_effect("p"), "Practices are needed"),
        (lambda p: risk_adjustment_effect(p, by="region"), "patients or practices"),
        (lambda p: risk_adjustment_effect(p, groups=5), "groups=5 do not fit 4 patients"),
        (lambda p: risk_adjustment_effect(p.change({"spending": 0.0})), "spending of all patients is 0"),
        (lambda p: coding_drift(p.change({"spending": 0.0})), "spending of all patients is 0"),
        (lambda p: coding_drift(p, drift=2), "0.02 for 2 %"),
        (lambda p: coding_drift(p, drift="two"), "drift is not numeric"),
        (lambda p: coding_drift(p, years=0), "years=0"),
        (lambda p: coding_drift(p, years=10**6), "from 1 to 100"),
        (lambda p: coding_drift(5), "Practices are needed"),
        (lambda p: coding_drift(p, cap=-0.1), "0.03 for 3 %"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(two, call, words):
    with pytest.raises(ApmkitError, match=words) as error:
        call(two)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["marginal_revenue", "risk_adjustment", "coding_drift", "effort", "multitask"])
@pytest.mark.parametrize("wrong", [pd.DataFrame({"x": [1]}), 5])
def test_figures_refuse_another_table_and_say_which_they_draw(name, wrong):
    with pytest.raises(ApmkitError, match=r"There is no column .*: give what .* returns"):
        getattr(figures, name)(wrong)


def test_figures_show_the_numbers_of_their_tables(many):
    table = risk_adjustment_effect(many)
    bars = figures.risk_adjustment(table).patches
    assert [bar.get_height() for bar in bars] == pytest.approx(table["error"].tolist())
    drift = coding_drift(many, years=3)
    lines = figures.coding_drift(drift).lines[:4]
    drawn = [line.get_ydata().tolist() for line in lines]
    assert drawn == [pytest.approx((100 * drift.loc[m, "overpayment_share"]).tolist()) for m in drift.index.unique(0)]


def test_figures_of_behaviour_show_both_studies_and_both_rewards():
    terms = [PaymentTerms(share, 0.3) for share in (0.0, 0.5, 1.0)]
    responses = pd.concat([calibrate_effort(name).respond(terms) for name in ("some_2020", "hong_2024")])
    ax = figures.effort(responses)
    services = responses.query("scenario == 'hong_2024' and outcome == 'services'")
    np.testing.assert_allclose(ax.lines[2].get_xydata()[:, 1], 100 * services["change"])
    assert len(ax.collections) == 2  # bands only where the study gives intervals
    table = reward_one_task([0, 1])
    ax = figures.multitask(table)
    assert ax.lines[2].get_ydata().tolist() == pytest.approx(
        table.query("rewarded == 'intermediate'")["unmeasured"].tolist()
    )
    assert ax.lines[5].get_linestyle() == "--"
