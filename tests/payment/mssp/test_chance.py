"""Chance of payment in closed form, by settling simulated ACOs, and beside what was published."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import apmkit
from apmkit.errors import PaymentError
from apmkit.payment.mssp import minimum_savings_rate, settle_mssp
from apmkit.payment.mssp.chance import chance_of_payment, expected_payment, payments_and_chance
from apmkit.payment.mssp.savings_spread import SavingsSpread, sampling_spread, savings_spread
from apmkit.plots.payment import chance

mpl.use("Agg")
WIDE = SavingsSpread("test", 0.02**2, 3.0**2, np.array([[0.01**2, 2.0**2], [0.03**2, 4.0**2]]), 0.9, 0, 0, "")


def simulated(n, draws, track, year, minimum, seed=7, per_head=12_000):
    """Settled payments of ACOs without effect, drawn at random."""
    rate = np.random.default_rng(seed).normal(0, WIDE.standard_deviation(n), draws)
    frame = pd.DataFrame({"year": year, "track": track, "beneficiaries": n, "benchmark": n * per_head}, range(draws))
    frame = frame.assign(
        expenditures=frame["benchmark"] * (1 - rate), minimum_savings_rate=minimum, quality_score=1.0,
        met_quality_standard=True, revenue_category="high", agreement_start="2019-07-01",
    )  # fmt: skip
    return settle_mssp(frame, unknown_revenue="benchmark").total


def normal_part(low, high, sd):
    """E[S; low < S < high] of a normal S around 0."""
    return sd * (stats.norm.pdf(low / sd) - stats.norm.pdf(high / sd))


def test_a_chance_by_hand():
    table = chance_of_payment(10_000, spread=sampling_spread(), year=2022)
    # 2.14 / 100 = 2.14 % against 3 %: 1 - Phi(1.4027) = 0.0804
    assert table["chance_of_savings"].item() == pytest.approx(0.0804, abs=2e-4)
    assert table["chance_of_losses"].item() == 0


@pytest.mark.parametrize(
    ("track", "year", "minimum"), [("BASIC E", 2023, 0.01), ("ENHANCED", 2019, 0.02), ("3", 2018, 0.0)]
)
def test_on_two_sided_tracks_losses_are_as_likely_as_savings(track, year, minimum):
    table = chance_of_payment([5_000, 50_000], spread=WIDE, year=year, track=track, minimum_savings_rate=minimum)
    np.testing.assert_allclose(table["chance_of_losses"], table["chance_of_savings"])


@pytest.mark.parametrize(
    ("track", "year", "minimum"), [("1", 2016, None), ("BASIC E", 2023, 0.02), ("ENHANCED", 2023, 0.005)]
)
def test_the_share_paid_and_the_mean_payment_agree_with_simulated_settlements(track, year, minimum):
    n, draws = 8_000, 200_000
    rate = minimum_savings_rate(n) if minimum is None else minimum
    total = simulated(n, draws, track, year, rate)
    table = chance_of_payment(n, spread=WIDE, year=year, track=track, minimum_savings_rate=minimum).iloc[0]
    assert (total > 0).mean() == pytest.approx(table["chance_of_savings"], abs=0.005)
    assert (total < 0).mean() == pytest.approx(table["chance_of_losses"], abs=0.005)
    expected = expected_payment(
        n, spread=WIDE, year=year, track=track, minimum_savings_rate=minimum, benchmark_per_beneficiary=12_000
    ).iloc[0]
    error = 4 * total.std() / np.sqrt(draws)
    assert total.mean() == pytest.approx(expected["expected_payment"], abs=error)


@pytest.mark.parametrize(
    ("track", "rate", "cap", "loss_rate", "loss_limit"),
    [("BASIC E", 0.50, 0.10, 0.30, 0.04), ("ENHANCED", 0.75, 0.20, 0.40, 0.15), ("BASIC B", 0.40, 0.10, 0.0, 1.0)],
)
def test_expected_amounts_agree_with_the_truncated_normal_in_closed_form(track, rate, cap, loss_rate, loss_limit):
    n, minimum, benchmark = 1_500, 0.02, 1_500 * 10_000
    sd = float(WIDE.standard_deviation(n))
    table = expected_payment(
        n, spread=WIDE, year=2024, track=track, minimum_savings_rate=minimum, benchmark_per_beneficiary=10_000
    ).iloc[0]
    net = 0.98 * rate
    savings = net * normal_part(minimum, cap / net, sd) + cap * stats.norm.sf(cap / net / sd)
    assert table["expected_savings"] == pytest.approx(benchmark * savings, rel=0.003)
    owed = 0.0
    if loss_rate:
        at_limit = loss_limit / loss_rate
        owed = -loss_rate * normal_part(minimum, at_limit, sd) - loss_limit * stats.norm.sf(at_limit / sd)
    assert table["expected_losses"] == pytest.approx(benchmark * owed, rel=0.003)
    assert table["expected_payment"] == pytest.approx(table["expected_savings"] + table["expected_losses"])
    assert table["share_of_benchmark"] == pytest.approx(table["expected_payment"] / benchmark)


def test_in_the_emergency_years_losses_are_cancelled_but_still_counted_as_reached():
    shared = {"spread": WIDE, "year": 2021, "track": "BASIC E", "minimum_savings_rate": 0.01}
    assert expected_payment(5_000, benchmark_per_beneficiary=1e4, **shared)["expected_losses"].item() == 0
    assert chance_of_payment(5_000, **shared)["chance_of_losses"].item() > 0.3


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(5_000, 200_000),
    minimum=st.sampled_from([0.0, 0.005, 0.01, 0.02]),
    effect=st.floats(-0.03, 0.03),
)
def test_a_higher_minimum_a_larger_panel_and_a_lower_effect_never_raise_the_chance(n, minimum, effect):
    def of(n, minimum, effect):
        options = {"year": 2023, "track": "ENHANCED", "minimum_savings_rate": minimum, "effect": effect}
        return chance_of_payment(n, spread=WIDE, **options)["chance_of_savings"].item()

    here = of(n, minimum, effect)
    assert 0 <= here <= 1
    assert of(n, minimum + 0.01, effect) <= here
    assert of(n, minimum, effect - 0.01) <= here
    if effect <= minimum:
        assert of(2 * n, minimum, effect) <= here


def test_intervals_hold_the_ends_of_the_bootstrap():
    table = chance_of_payment([5_000, 20_000], spread=WIDE, year=2016, track="1").iloc[0]
    ends = stats.norm.sf(0.039 / np.sqrt([0.01**2 + 4 / 5_000, 0.03**2 + 16 / 5_000]))
    low, high = np.quantile(ends, [0.05, 0.95])
    assert (table["savings_low"], table["savings_high"]) == pytest.approx((low, high))


def test_published_shares_are_those_of_the_data_and_every_row_is_counted():
    data = apmkit.load("mssp")
    table = payments_and_chance(data, [sampling_spread(), WIDE])
    assert table["acos"].sum() == len(data)
    row = table[(table["year"] == 2016) & (table["size"] == "10,000 to 19,999")].iloc[0]
    some = data[(data["year"] == 2016) & data["beneficiaries"].between(10_000, 19_999)]
    assert row["share_paid"] == (some["earned_savings"] > 0).mean()
    assert row["share_past"] == (some["savings_rate"] >= some["minimum_savings_rate"]).mean()
    chances = stats.norm.sf(some["minimum_savings_rate"] / WIDE.standard_deviation(some["beneficiaries"]))
    assert row["chance by test"] == pytest.approx(chances.mean())
    # Wilson's interval solves (p - share)^2 = z^2 p (1 - p) / n
    for end in (row["past_low"], row["past_high"]):
        assert (end - row["share_past"]) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / row["acos"], rel=1e-5)


def test_if_there_were_no_effect_published_shares_would_be_the_chances():
    random = np.random.default_rng(2)
    n = np.exp(random.normal(9.4, 0.7, 40_000)).round()
    data = pd.DataFrame({"year": 2016, "beneficiaries": n, "minimum_savings_rate": minimum_savings_rate(n)})
    data["savings_rate"] = random.normal(size=len(n)) * WIDE.standard_deviation(n)
    data["earned_savings"] = 0.0
    table = payments_and_chance(data, [WIDE], by_year=False)
    for row in table.itertuples():
        assert table.loc[row.Index, "chance by test"] == pytest.approx(row.share_past, abs=4 * 0.5 / row.acos**0.5)


def test_the_figure_shows_chances_bands_and_published_shares():
    data = apmkit.load("mssp").query("year <= 2015")
    spread = savings_spread(data, n_boot=10)
    sizes = [5_000, 10_000, 50_000]
    fixed = chance_of_payment(sizes, spread=spread, year=2019, track="ENHANCED", minimum_savings_rate=0.01)
    curves = pd.concat([chance_of_payment(sizes, spread=spread, year=2015, track="1"), fixed])
    observed = payments_and_chance(data, [spread], by_year=False)
    ax = chance(curves, observed)
    by_label = dict(zip(ax.get_legend_handles_labels()[1], ax.get_legend_handles_labels()[0], strict=True))
    drawn = by_label["published savings rates, minimum 1%"].get_ydata()
    np.testing.assert_allclose(drawn, 100 * fixed["chance_of_savings"])
    points = by_label["published share past the minimum"].lines[0].get_ydata()
    np.testing.assert_allclose(points, 100 * observed["share_past"])
    plt.close("all")
    with pytest.raises(PaymentError, match="There is no column spread"):
        chance(observed)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_assigned": 0}, "is 0; give at least 1"),
        ({"n_assigned": [5_000, np.nan]}, "is nan; give at least 1"),
        ({"spread": 0.02}, "spread is of type float; give what savings_spread"),
        ({"minimum_savings_rate": 2.0}, "minimum_savings_rate is 2; give a share of the benchmark, 0.02 for 2 %"),
        ({"minimum_savings_rate": [0.01, 0.02]}, "2 minimum savings rates do not go with 1 sizes"),
        ({"effect": 2.0}, "effect is 2.0; give a share"),
        ({"track": "BASIC E", "year": 2016}, "there was no basic_e in 2016"),
        ({"track": "gold"}, "there is no track 'gold'"),
    ],
)
def test_bad_questions_are_refused(options, says):
    with pytest.raises(PaymentError, match=says):
        chance_of_payment(**{"n_assigned": 5_000, "spread": WIDE, "year": 2022, **options})


def test_bad_amounts_and_results_are_refused():
    with pytest.raises(PaymentError, match="benchmark_per_beneficiary=-1 and n_points=4000 must be above 0"):
        expected_payment(5_000, spread=WIDE, year=2022, benchmark_per_beneficiary=-1)
    with pytest.raises(PaymentError, match="takes no disaster; what is alike for all may be quality_score"):
        expected_payment(5_000, spread=WIDE, year=2022, benchmark_per_beneficiary=1e4, disaster=0)
    for options, says in [
        ({"sizes": [9, 5]}, r"sizes is \[9, 5\]"),
        ({"spreads": WIDE}, "must be a list of SavingsSpread"),
    ]:
        with pytest.raises(PaymentError, match=says):
            payments_and_chance(apmkit.load("mssp"), **{"spreads": [WIDE], **options})
    with pytest.raises(PaymentError, match="no column earned_savings"):
        payments_and_chance(apmkit.load("mssp").drop(columns="earned_savings"), [WIDE])
