import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import aco_reach, next_generation_aco, rulebook
from apmkit.payment.reach import shared_by_corridor
from apmkit.payment.rulebook import RulesError

PROFESSIONAL = [(0, 0.05, 0.5), (0.05, 0.1, 0.35), (0.1, 0.15, 0.15), (0.15, np.inf, 0.05)]
GLOBAL = [(0, 0.25, 1), (0.25, 0.35, 0.5), (0.35, 0.5, 0.25), (0.5, np.inf, 0.1)]
GLOBAL_2026 = [(0, 0.1, 1), (0.1, 0.35, 0.5), (0.35, 0.5, 0.25), (0.5, np.inf, 0.1)]
# Discount of the global option, withhold and its bands.
YEARS = {
    "2022-01-01": (0.02, 0.05, GLOBAL),
    "2024-12-31": (0.03, 0.02, GLOBAL),
    "2025-01-01": (0.04, 0.02, GLOBAL),
    "2026-01-01": (0.04, 0.05, GLOBAL_2026),
}


def aco(**columns):
    return pd.DataFrame([{"aco": "A", "benchmark": 100e6, "spending": 90e6, "quality_score": 1.0, **columns}])


@pytest.mark.parametrize(
    ("on", "option", "columns", "total"),
    [
        # no discount, all of the withhold earned: 10 % saved, 5 at 50 % and 5 at 35 %
        ("2023-01-01", "professional", {}, 4_250_000.00),
        ("2023-01-01", "professional", {"spending": 110e6}, -4_250_000.00),
        # 20 %: 5 x 0.5 + 5 x 0.35 + 5 x 0.15 + 5 x 0.05
        ("2023-01-01", "professional", {"spending": 80e6}, 5_250_000.00),
        # discount 3 %: 97 - 90, all of it below 25 %
        ("2023-01-01", "global", {}, 7_000_000.00),
        # half of the 2 % withhold lost: 96 - 90
        ("2023-01-01", "global", {"quality_score": 0.5}, 6_000_000.00),
        # 98 - 68.6 = 30 % of 98: 24.5 + half of 4.9
        ("2021-07-01", "global", {"spending": 68.6e6}, 26_950_000.00),
        # 2026: 96 - 76.8 = 20 % of 96: 9.6 + half of 9.6
        ("2026-01-01", "global", {"spending": 76.8e6}, 14_400_000.00),
        # 2025: the whole 19.2
        ("2025-01-01", "global", {"spending": 76.8e6}, 19_200_000.00),
    ],
)
def test_an_aco_is_settled_as_by_hand(on, option, columns, total):
    assert aco_reach(aco(**columns), on=on, option=option).total["A"] == total


def plain(benchmark, spending, quality, discount, withhold, bands):
    final = benchmark * (1 - discount - withhold * (1 - quality))
    size, kept = abs(final - spending) / final, 0.0
    for start, end, share in bands:
        if size > start:
            kept += share * (min(size, end) - start) * final
    return kept if spending < final else -kept


ACOS = st.lists(
    st.fixed_dictionaries(
        {"benchmark": st.floats(1e6, 1e9), "ratio": st.floats(0, 2.5), "quality_score": st.floats(0, 1)}
    ),
    min_size=1,
    max_size=8,
).map(lambda rows: pd.DataFrame(rows).assign(aco=range(len(rows)), spending=lambda t: t["benchmark"] * t["ratio"]))


@given(ACOS, st.sampled_from(sorted(YEARS)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_settlement_agrees_with_a_plain_reading_and_adds_up(acos, on, full):
    payment = aco_reach(acos, on=on, option="global" if full else "professional")
    discount, withhold, bands = YEARS[on]
    for row in acos.to_dict("records"):
        terms = (discount, withhold, bands) if full else (0, withhold, PROFESSIONAL)
        money = plain(row["benchmark"], row["spending"], row["quality_score"], *terms)
        assert payment.total[row["aco"]] == pytest.approx(money, abs=0.05)
    cents = (payment.table * 100).round()
    assert (cents[payment.components].sum(axis=1) == cents["total"]).all()


@given(ACOS, st.floats(0, 1e8), st.sampled_from(["professional", "global"]))
@settings(max_examples=25, deadline=None)
def test_whoever_saves_more_is_paid_no_less_and_never_more_than_was_saved(acos, saved, option):
    less = acos.assign(spending=np.maximum(acos["spending"] - saved, 0))
    payments = [aco_reach(table, on="2024-01-01", option=option) for table in (less, acos)]
    assert (payments[0].total >= payments[1].total - 0.05).all()
    for payment in payments:
        saving = payment.total - payment.table["medicare_share"]
        assert (payment.total.abs() <= saving.abs() + 0.05).all()
        assert (payment.total * saving >= -0.01).all()


@given(ACOS, st.sampled_from([0.5, 3.0]))
@settings(max_examples=25, deadline=None)
def test_another_currency_scales_what_is_shared(acos, rate):
    other = acos.assign(benchmark=acos["benchmark"] * rate, spending=acos["spending"] * rate)
    ours, theirs = (aco_reach(table, on="2024-01-01").total for table in (acos, other))
    assert np.abs(theirs - rate * ours).max() <= 0.05 * (1 + rate)


def test_the_narrower_corridor_of_2026_is_marked_as_partly_confirmed():
    assert aco_reach(aco(), on="2026-01-01", option="global").unconfirmed == ["aco_reach.corridors.global"]
    assert aco_reach(aco(), on="2025-01-01", option="global").unconfirmed == []


def test_what_is_left_out_is_said():
    assert "Stop-loss" in aco_reach(aco(), on="2025-01-01").notes[0]


@pytest.mark.parametrize(
    ("on", "arrangement", "cap", "spending", "total"),
    [
        # 10 % saved, within a cap of 15 %: 80 % of it, less 2 %
        ("2017-01-01", "partial", 0.15, 90e6, 7_840_000.00),
        ("2017-01-01", "full", 0.15, 90e6, 9_800_000.00),
        ("2017-01-01", "full", 0.05, 90e6, 4_900_000.00),
        # losses bear no sequestration
        ("2017-01-01", "partial", 0.05, 110e6, -4_000_000.00),
        # 85 % from 2019; what was paid for 2019 and 2020 was free of sequestration
        ("2018-12-31", "partial", 0.15, 90e6, 7_840_000.00),
        ("2019-01-01", "partial", 0.15, 90e6, 8_500_000.00),
        ("2020-12-31", "full", 0.15, 90e6, 10_000_000.00),
        ("2021-01-01", "full", 0.15, 90e6, 9_800_000.00),
    ],
)
def test_a_next_generation_aco_is_settled_as_by_hand(on, arrangement, cap, spending, total):
    payment = next_generation_aco(aco(spending=spending), on=on, cap=cap, arrangement=arrangement)
    assert payment.total["A"] == total


@given(ACOS, st.floats(0.05, 0.15), st.sampled_from(["partial", "full"]))
@settings(max_examples=25, deadline=None)
def test_a_next_generation_aco_stays_within_its_cap_and_adds_up(acos, cap, arrangement):
    payment = next_generation_aco(acos, on="2018-01-01", cap=cap, arrangement=arrangement)
    assert (payment.total.to_numpy() <= cap * 0.98 * acos["benchmark"] + 0.05).all()
    assert (payment.total.to_numpy() >= -cap * acos["benchmark"] - 0.05).all()
    cents = (payment.table * 100).round()
    assert (cents[payment.components].sum(axis=1) == cents["total"]).all()


def test_bad_input_is_refused_with_the_remedy():
    for columns, message in (
        ({"quality_score": 90}, "quality_score of aco A is 90; it must be from 0 to 1, so 0.9 for 90 %"),
        ({"benchmark": -1.0}, "benchmark of aco A is -1; it must be at least 0.01"),
        ({"spending": None}, "spending of aco A is missing"),
    ):
        with pytest.raises(PaymentError, match=message):
            aco_reach(aco(**columns), on="2024-01-01")
    with pytest.raises(PaymentError, match="option is 'total'; write professional or global"):
        aco_reach(aco(), on="2024-01-01", option="total")
    with pytest.raises(PaymentError, match=r"cap is 0\.2; an ACO chooses from 0.05 to 0.15 of its benchmark"):
        next_generation_aco(aco(), on="2018-01-01", cap=0.2)
    with pytest.raises(PaymentError, match="arrangement is 'A'; write partial"):
        next_generation_aco(aco(), on="2018-01-01", cap=0.1, arrangement="A")
    with pytest.raises(PaymentError, match=r"cap is '0\.1'; an ACO chooses"):
        next_generation_aco(aco(), on="2018-01-01", cap="0.1")
    with pytest.raises(PaymentError, match="The table of ACOs has the column spending twice; keep one"):
        aco_reach(pd.concat([aco(), aco()[["spending"]]], axis=1), on="2024-01-01")
    with pytest.raises(PaymentError, match="begin at 0 and let each start above the last"):
        shared_by_corridor(np.ones(1), np.ones(1), [{"from": 0.1, "share": 1}])


@pytest.mark.parametrize("on", ["2021-03-31", "2027-01-01"])
def test_reach_is_not_settled_before_the_model_or_after_it(on):
    with pytest.raises(RulesError, match="was not in force"):
        aco_reach(aco(), on=on)


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([], "Each row of risk corridors needs the numbers from and share"),
        ([{"from": 0}], "Each row of risk corridors needs the numbers from and share"),
        ([{"from": 0, "share": "half"}], "Each row of risk corridors needs the numbers from and share"),
        ([0.5], "Each row of risk corridors needs the numbers from and share"),
        ([{"from": 0, "share": 75}], r"keep \[75.0\]; each is a share from 0 to 1"),
    ],
)
def test_corridors_that_cannot_share_are_refused(bands, message):
    rules = rulebook("aco_reach").with_values({"corridors.professional": bands})
    with pytest.raises(ApmkitError, match=message):
        aco_reach(aco(), on="2024-01-01", rules=rules)


def test_corridors_of_ones_own_can_be_tried():
    rules = rulebook("aco_reach").with_values({"corridors.global": [{"from": 0, "share": 0.75}]})
    assert aco_reach(aco(), on="2023-01-01", option="global", rules=rules).total["A"] == 5_250_000.00
