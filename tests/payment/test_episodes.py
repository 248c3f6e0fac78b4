import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import PaymentError
from apmkit.payment import Practices, bpci_advanced, cjr, episodes_of, rulebook, synthetic_practices
from apmkit.payment.rulebook import RulesError

MONEY = st.integers(0, 5_000_000_000).map(lambda cents: cents / 100)
QUALITY = {"excellent": 0.015, "good": 0.01, "acceptable": 0.0, "below acceptable": 0.0}
# Performance years 1 to 5 of 42 CFR 510.300 and 510.305: hospital share, repayment discount, stop-gain, stop-loss.
YEARS = {
    "2016-12-31": (2 / 3, 0.02, 0.05, 0.0),
    "2017-01-01": (2 / 3, 0.02, 0.05, 0.05),
    "2018-01-01": (1 / 3, 0.02, 0.10, 0.10),
    "2019-01-01": (0.0, 0.03, 0.20, 0.20),
    "2020-06-30": (0.0, 0.03, 0.20, 0.20),
}


def bundle(**changed):
    row = {
        "initiator": "A",
        "category": "sepsis",
        "type": "medical",
        "episodes": 100,
        "spending": 2_800_000.0,
        "benchmark_price": 30_000.0,
        "quality_score": 0.75,
    }
    return pd.DataFrame([{**row, **changed}])


def knees(**changed):
    row = {
        "hospital": "A",
        "category": "470",
        "episodes": 100,
        "spending": 2_400_000.0,
        "hospital_price": 27_000.0,
        "regional_price": 24_000.0,
        "quality": "acceptable",
    }
    return pd.DataFrame([{**row, **changed}])


@pytest.mark.parametrize(
    ("on", "changed", "total", "reason"),
    [
        # target 100 x 30,000 x 0.97 = 2,910,000; 110,000 below; less 10 % x 0.25 of it = 2,750
        ("2020-01-01", {}, 107_250.00, "paid"),
        # medical discount 2 % from 2023: target 2,940,000; 140,000 x 0.975
        ("2023-01-01", {}, 136_500.00, "paid"),
        # the surgical one stays 3 %
        ("2023-01-01", {"type": "surgical"}, 107_250.00, "paid"),
        # 90,000 above; relieved of 10 % x 0.75 of it = 6,750
        ("2020-01-01", {"spending": 3e6}, -83_250.00, "repays"),
        # 1,410,000 below, 1,374,750 after quality; limit 20 % of 2,910,000
        ("2020-01-01", {"spending": 1.5e6}, 582_000.00, "paid up to the stop-gain limit"),
        ("2020-01-01", {"spending": 5e6}, -582_000.00, "repays up to the stop-loss limit"),
        ("2020-01-01", {"spending": 2.91e6}, 0.0, "none: spending is at the target"),
    ],
)
def test_a_bundle_is_settled_as_by_hand(on, changed, total, reason):
    payment = bpci_advanced(bundle(**changed), on=on)
    assert payment.total["A"] == total
    assert payment.details.loc["A", "reason"] == reason


@pytest.mark.parametrize(
    ("on", "changed", "total", "reason"),
    [
        # 2/3 x 27,000 + 1/3 x 24,000 = 26,000; x 0.97 = 25,220 a piece, 122,000 below; 5 % of 2,522,000 = 126,100
        ("2017-01-01", {}, 122_000.00, "paid"),
        # excellent: 2,600,000 x 0.985 = 2,561,000; 161,000 below; limit 128,050
        ("2017-01-01", {"quality": "excellent"}, 128_050.00, "paid up to the stop-gain limit"),
        ("2017-01-01", {"quality": "below acceptable"}, 0.0, "no payment: quality below acceptable"),
        # 1/3 x 27,000 + 2/3 x 24,000 = 25,000; x 0.97 = 24,250
        ("2018-01-01", {}, 25_000.00, "paid"),
        # region only: 24,000 x 0.97 = 23,280 a piece, 72,000 above
        ("2019-01-01", {}, -72_000.00, "repays"),
        # repayment in 2018 at 2 %: 25,000 x 0.98 = 24,500 a piece; between 24,250 and 24,500 no money moves
        ("2018-01-01", {"spending": 2.44e6}, 0.0, "none: spending lies between the targets of payment and repayment"),
        ("2018-01-01", {"spending": 2.5e6}, -50_000.00, "repays"),
        ("2016-04-01", {"spending": 9e6}, 0.0, "no repayment: the stop-loss limit is zero"),
        # 5 % and 3 % (rural) of 2,600,000 x 0.98
        ("2017-01-01", {"spending": 9e6}, -127_400.00, "repays up to the stop-loss limit"),
        ("2017-01-01", {"spending": 9e6, "rural": True}, -76_440.00, "repays up to the stop-loss limit"),
        # from October 2021 an excellent hospital has no discount
        ("2021-10-01", {"quality": "excellent", "spending": 2.3e6}, 100_000.00, "paid"),
    ],
)
def test_joint_replacement_is_settled_as_by_hand(on, changed, total, reason):
    payment = cjr(knees(**changed), on=on)
    assert payment.total["A"] == total
    assert payment.details.loc["A", "reason"] == reason


def test_the_discount_of_a_good_hospital_in_the_first_year_is_that_of_its_reconciliation_report():
    assert cjr(knees(quality="good"), on="2016-12-31").details.loc["A", "discount_rate"] == pytest.approx(0.02)


def test_gains_of_one_category_offset_losses_of_another():
    both = pd.concat([bundle(), bundle(category="stroke", spending=3_020_000.0)], ignore_index=True)
    payment = bpci_advanced(both, on="2020-01-01")
    assert payment.table.loc["A", ["quality", "stop_limit", "total"]].abs().max() == 0
    assert payment.details.loc["A", "reason"] == "none: spending is at the target"


def test_the_quality_score_of_an_initiator_is_the_mean_over_episodes():
    both = pd.concat([bundle(quality_score=1.0), bundle(category="stroke", episodes=300, quality_score=0.0)])
    assert bpci_advanced(both, on="2020-01-01").details.loc["A", "quality_score"] == 0.25


def rows_of(name, **columns):
    return st.lists(
        st.fixed_dictionaries(
            {name: st.sampled_from("ABC"), "episodes": st.integers(1, 500), "spending": MONEY, **columns}
        ),
        min_size=1,
        max_size=8,
    ).map(lambda rows: pd.DataFrame(rows).assign(category=range(len(rows))))


BUNDLES = rows_of(
    "initiator",
    type=st.sampled_from(["medical", "surgical"]),
    benchmark_price=MONEY.map(lambda money: money / 1000),
    quality_score=st.floats(0, 1),
)
JOINTS = rows_of(
    "hospital",
    hospital_price=MONEY.map(lambda money: money / 1000),
    regional_price=MONEY.map(lambda money: money / 1000),
)


def plain_bundle(rows, medical):
    """The rule in words, one initiator at a time, for comparison."""
    target = spent = weight = score = 0.0
    for row in rows.to_dict("records"):
        target += row["episodes"] * row["benchmark_price"] * (1 - (medical if row["type"] == "medical" else 0.03))
        spent += row["spending"]
        weight += row["episodes"]
        score += row["episodes"] * row["quality_score"]
    score /= weight
    amount = target - spent
    amount *= 1 - 0.1 * (1 - score) if amount > 0 else 1 - 0.1 * score
    return min(max(amount, -0.2 * target), 0.2 * target)


@given(BUNDLES, st.sampled_from([("2020-01-01", 0.03), ("2024-01-01", 0.02)]))
@settings(max_examples=40, deadline=None)
def test_bundles_agree_with_a_plain_reading_and_add_up(rows, day):
    payment = bpci_advanced(rows, on=day[0])
    for name, own in rows.groupby("initiator"):
        assert payment.total[name] == pytest.approx(plain_bundle(own, day[1]), abs=0.03)
    cents = (payment.table * 100).round()
    assert (cents[payment.components].sum(axis=1) == cents["total"]).all()
    target = payment.table["benchmark"] + payment.table["discount"]
    assert (payment.total.abs() <= 0.2 * target + 0.0051).all()


def plain_joints(rows, quality, share, repayment, gain, loss):
    expected = spent = 0.0
    for row in rows.to_dict("records"):
        expected += row["episodes"] * (share * row["hospital_price"] + (1 - share) * row["regional_price"])
        spent += row["spending"]
    paid_target = expected * (1 - 0.03 + QUALITY[quality])
    repaid_target = expected * (1 - repayment + QUALITY[quality])
    if spent < paid_target:
        return 0.0 if quality == "below acceptable" else min(paid_target - spent, gain * paid_target)
    return max(min(repaid_target - spent, 0.0), -loss * repaid_target)


@given(JOINTS, st.sampled_from(sorted(QUALITY)), st.sampled_from(sorted(YEARS)))
@settings(max_examples=40, deadline=None)
def test_joint_replacement_agrees_with_a_plain_reading_and_adds_up(rows, quality, on):
    payment = cjr(rows.assign(quality=quality), on=on)
    for name, own in rows.groupby("hospital"):
        assert payment.total[name] == pytest.approx(plain_joints(own, quality, *YEARS[on]), abs=0.03)
    cents = (payment.table * 100).round()
    assert (cents[payment.components].sum(axis=1) == cents["total"]).all()


@given(BUNDLES, st.floats(0, 1e6))
@settings(max_examples=25, deadline=None)
def test_whoever_spends_less_is_paid_no_less(rows, saved):
    less = rows.assign(spending=np.maximum(rows["spending"] - saved, 0))
    paid = (bpci_advanced(table, on="2020-01-01").total for table in (less, rows))
    assert (next(paid) >= next(paid) - 0.02).all()


@given(JOINTS, st.floats(0, 1e6), st.sampled_from(sorted(QUALITY)), st.sampled_from(sorted(YEARS)))
@settings(max_examples=25, deadline=None)
def test_a_hospital_that_spends_less_is_paid_no_less(rows, saved, quality, on):
    less = rows.assign(spending=np.maximum(rows["spending"] - saved, 0))
    paid = (cjr(table.assign(quality=quality), on=on).total for table in (less, rows))
    assert (next(paid) >= next(paid) - 0.02).all()


@given(BUNDLES, st.sampled_from([0.5, 3.0, 1.37]))
@settings(max_examples=25, deadline=None)
def test_another_currency_scales_what_is_paid(rows, rate):
    other = rows.assign(spending=rows["spending"] * rate, benchmark_price=rows["benchmark_price"] * rate)
    ours, theirs = (bpci_advanced(table, on="2020-01-01").total for table in (rows, other))
    assert np.abs(theirs - rate * ours).max() <= 0.05 * (1 + rate)


def test_order_of_the_rows_does_not_matter():
    rows = pd.concat([bundle(initiator=name, spending=money) for name, money in (("A", 2e6), ("B", 3e6), ("C", 4e6))])
    ours, theirs = bpci_advanced(rows, on="2020-01-01").total, bpci_advanced(rows[::-1], on="2020-01-01").total
    pd.testing.assert_series_equal(ours, theirs.loc[ours.index])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"quality_score": 75.0}, "quality_score of initiator A is 75; it must be from 0 to 1, so 0.75 for 75 %"),
        ({"type": "Medical"}, "type of initiator A is 'Medical'; write medical or surgical"),
        ({"episodes": 0}, "episodes of initiator A is 0; it must be at least 1"),
        ({"spending": -1.0}, "spending of initiator A is -1; it must be at least 0"),
        ({"spending": float("nan")}, "spending of initiator A is missing or infinite"),
        ({"spending": "much"}, "The column spending of episodes is not numeric"),
        ({"initiator": None}, "The column initiator of episodes is missing in some rows"),
    ],
)
def test_bad_bundles_are_refused_with_the_row_and_the_remedy(changed, message):
    with pytest.raises(PaymentError, match=message):
        bpci_advanced(bundle(**changed), on="2020-01-01")


def test_bad_tables_are_refused():
    with pytest.raises(PaymentError, match="There are no episodes"):
        bpci_advanced(bundle().iloc[:0], on="2020-01-01")
    with pytest.raises(PaymentError, match="episodes must be a DataFrame, not list"):
        cjr([], on="2020-01-01")
    with pytest.raises(PaymentError, match="has no column benchmark_price, which is needed; it has initiator,"):
        bpci_advanced(bundle().drop(columns="benchmark_price"), on="2020-01-01")
    with pytest.raises(PaymentError, match="initiator A has two rows of category sepsis; add them up"):
        bpci_advanced(pd.concat([bundle(), bundle()]), on="2020-01-01")
    with pytest.raises(PaymentError, match="has no column hospital_price"):
        cjr(knees().drop(columns="hospital_price"), on="2018-01-01")
    two = pd.concat([knees(), knees(category="469", quality="good")])
    with pytest.raises(PaymentError, match="hospital A has two values of quality"):
        cjr(two, on="2018-01-01")
    with pytest.raises(PaymentError, match="rural of hospital A is 2; write True or False"):
        cjr(knees(rural=2), on="2018-01-01")
    with pytest.raises(PaymentError, match="has a column Rural, but no rural; name it rural, or drop it"):
        cjr(knees(Rural=True), on="2018-01-01")
    with pytest.raises(PaymentError, match="rules is of type str; give a Rulebook"):
        cjr(knees(), on="2018-01-01", rules="cjr")


def test_rules_without_a_quality_category_are_refused():
    rules = rulebook("cjr").with_values({"quality.reduction": {"good": 0.01}})
    with pytest.raises(PaymentError, match=r"quality\.reduction of the rules has no excellent; give all of"):
        cjr(knees(), on="2018-01-01", rules=rules)


@pytest.mark.parametrize("on", ["2018-09-30", "2026-01-01"])
def test_bundles_are_not_settled_before_the_model_or_after_it(on):
    with pytest.raises(RulesError, match="was not in force"):
        bpci_advanced(bundle(), on=on)


@pytest.mark.parametrize("on", ["2016-03-31", "2025-01-01"])
def test_joint_replacement_is_not_settled_before_the_model_or_after_it(on):
    with pytest.raises(RulesError, match="was not in force"):
        cjr(knees(), on=on)


def test_prices_of_the_hospital_are_not_asked_for_once_only_the_region_counts():
    assert cjr(knees().drop(columns="hospital_price"), on="2019-01-01").total["A"] == -72_000


def test_what_is_paid_says_which_values_are_in_doubt():
    assert bpci_advanced(bundle(), on="2020-01-01").unconfirmed == ["bpci_advanced.quality.largest_adjustment"]
    assert "cjr.stop.gain" in cjr(knees(), on="2020-01-01").unconfirmed


def test_rules_of_ones_own_change_what_is_paid():
    rules = rulebook("bpci_advanced").with_values({"stop.gain": 0.01})
    assert bpci_advanced(bundle(), on="2020-01-01", rules=rules).total["A"] == 29_100.00


def test_episodes_of_a_panel_are_counted_and_summed_as_a_group_by_does():
    practices = synthetic_practices(seed=3)
    table = episodes_of(practices, {"joint replacement": 26_000.0}, {"joint replacement": "surgical"})
    patients = practices.patients[practices.patients["episode"] != ""]
    by_hand = patients.groupby("practice")["episode_spending"].agg(["size", "sum"])
    table = table.set_index("initiator")
    assert (table["episodes"] == by_hand["size"].loc[table.index]).all()
    np.testing.assert_allclose(table["spending"], by_hand["sum"].loc[table.index])


def test_what_is_paid_for_synthetic_patients_says_so():
    table = episodes_of(synthetic_practices(seed=3), {"joint replacement": 26e3}, {"joint replacement": "surgical"})
    assert "synthetic" in bpci_advanced(table, on="2020-01-01").notes[0]


def test_a_panel_without_usable_episodes_is_refused():
    patients = pd.DataFrame({"practice": ["A"], "age": [70], "sex": ["F"], "episode_spending": [9.0]})
    offices = pd.DataFrame({"practice": ["A"], "physicians": [1], "quality_score": [0.8]})

    def panel(**columns):
        return Practices(patients.assign(**columns), offices, country="US")

    with pytest.raises(PaymentError, match="Practices are needed, not DataFrame"):
        episodes_of(patients, {}, {})
    with pytest.raises(PaymentError, match="has no column episode"):
        episodes_of(panel(), {}, {})
    with pytest.raises(PaymentError, match="No patient has an episode"):
        episodes_of(panel(episode=""), {}, {})
    with pytest.raises(PaymentError, match="prices has no entry for 'hip'"):
        episodes_of(panel(episode="hip"), {"knee": 1.0}, {"hip": "surgical"})
