"""Money arrives when the timing says, to the cent, and the cash needed is what a day-by-day account shows."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import PaymentError
from apmkit.payment import (
    Costs,
    Payment,
    Practices,
    Timing,
    alberta_blended_capitation,
    bc_lfp,
    cash_flow,
    cpc_plus,
    fee_for_service,
    ontario_fhg,
    ontario_fho,
    primary_care_first,
    salary,
    synthetic_practices,
)
from apmkit.payment.advance_investment import advance_by_month, advance_investment_payments
from apmkit.payment.timing import CLAIMS, IN_ADVANCE_MONTHLY, TIMING


def year(**columns):
    patients = {
        "practice": ["P10", "P2", "P10"],
        "age": 70,
        "sex": "F",
        "fees": [1000.0, 4000.0, 200.0],
        "visits": [8, 30, 4],
    }
    return Practices(
        pd.DataFrame(patients | columns),
        pd.DataFrame({"practice": ["P10", "P2"], "physicians": [1, 2]}),
        country="US",
    )


def paid(amounts, practices=None, model="A model"):
    practices = practices or year()
    return Payment.from_components(
        model=model,
        currency="USD",
        components={name: np.broadcast_to(values, (2,)) for name, values in amounts.items()},
        index=practices.index,
    )


FREE = Costs(0, 0)


def test_claims_and_capitation_worked_by_hand():
    practices, costs = year(), Costs(per_physician=60, per_visit=10)
    # P10: fees of 1,200 a year, 100 a month from the end of month 2. Costs 60 + 12 visits x 10 / 12 = 70 a month.
    fees = cash_flow(paid({"fees_in_basket": [1200, 0]}), practices, costs=costs, opening_cash=[50, 0])
    table = fees.table.loc["P10"]
    assert table["fees_in_basket"].tolist() == [0] + [100] * 12
    assert table["fixed_costs"].tolist() == [-60] * 12 + [0]
    assert table["visit_costs"].tolist() == [-10] * 12 + [0]
    # Balance: 50 - 70 = -20, then 30 more each month up to 310, and in month 13 the last claims.
    assert table["balance"].tolist() == [-20 + 30 * k for k in range(12)] + [410]
    # The lowest point of month 2 is before the claims: -20 - 70 = -90; so 140 would have been enough to open with.
    assert table["lowest"].tolist()[:3] == [-20, -90, -60]
    need = fees.by_practice.loc["P10"]
    assert need.to_dict() == {
        "opening_cash": 50,
        "received": 1200,
        "costs": 840,
        "closing_balance": 410,
        "lowest_balance": -90,
        "lowest_month": 2,
        "months_below_zero": 4,
        "working_capital": 140,
    }
    # The same money on the first day of each month needs none.
    capitation = cash_flow(
        paid({"fees_in_basket": [1200, 0]}), practices, costs=costs, timing={"fees_in_basket": IN_ADVANCE_MONTHLY}
    )
    assert capitation.by_practice.loc["P10", "working_capital"] == 0
    assert capitation.table.loc["P10"]["lowest"].tolist() == [30 * k for k in range(1, 13)]


def test_incentives_in_advance_and_their_repayment_fall_at_both_ends():
    flow = cash_flow(paid({"incentive_in_advance": 90, "incentive_repaid": -40}), year(), costs=FREE)
    assert flow.balance.loc["P2"].tolist() == [90] * 20 + [50]
    assert flow.table.loc["P2"]["incentive_repaid"].tolist() == [0] * 20 + [-40]


def test_two_years_one_after_the_other():
    first, second = paid({"fees_in_basket": 1200}, model="Fees"), paid({"base_capitation": 2400}, model="Capitation")
    flow = cash_flow([first, second], year(), costs=Costs(10, 0))
    assert flow.model == "Fees, then Capitation"
    table = flow.table.loc["P10"]
    # In month 13 the last claims and the first capitation come together.
    assert table.loc[13, ["fees_in_basket", "base_capitation", "fixed_costs"]].tolist() == [100, 200, -10]
    assert table["fixed_costs"].tolist() == [-10] * 24
    assert flow.by_practice["received"].tolist() == [3600, 3600]


def test_an_advance_lowers_the_cash_needed_and_its_recoupment_is_paid_back():
    practices = year()
    money = paid({"fees_in_basket": [1200, 0]})
    without = cash_flow(money, practices, costs=Costs(60, 0))
    advance = np.zeros(21)
    advance[[0, 20]] = 150, -150
    with_ = cash_flow(money, practices, costs=Costs(60, 0), extra={"advance": advance})
    assert without.by_practice.loc["P10", "working_capital"] == 120
    assert with_.by_practice.loc["P10", "working_capital"] == 0
    assert with_.balance.loc["P10", 21] == without.balance.loc["P10", 13]
    by_practice = pd.DataFrame({1: [7.0, 5.0], 2: [0.0, 1.0]}, index=["P2", "P10"])
    loan = cash_flow(money, practices, costs=FREE, extra={"loan": by_practice, "gift": 3}).table
    assert loan.loc["P2"]["loan"].tolist()[:3] == [7, 0, 0]
    assert loan.loc["P10"]["loan"].tolist()[:3] == [5, 1, 0]
    assert loan.loc["P10"]["gift"].tolist()[:2] == [3, 0]
    # A Series is one amount by practice, as for opening_cash, never one by month.
    at_once = cash_flow(money, practices, costs=FREE, extra={"loan": pd.Series({"P10": 5.0, "P2": 7.0})}).table["loan"]
    assert at_once.unstack("month")[[1, 2]].loc[["P2", "P10"]].to_numpy().tolist() == [[7, 0], [5, 0]]


def test_advance_investment_payments_carry_a_practice_until_its_savings_come():
    practices = year()
    assigned = pd.DataFrame({"practice": ["P2", "P10"], "score": [100, 30], "beneficiaries": [100, 200]})
    advance = advance_investment_payments(assigned, on="2024-01-01", by="practice")
    years = [paid({"fees_in_basket": 12_000}, practices)] * 2
    flow = cash_flow(years, practices, costs=Costs(2000, 0), extra={"advance_investment": advance_by_month(advance)})
    table = flow.table["advance_investment"].unstack("month")
    # One payment of 250,000 and 45 a quarter for a score of 100: 4,500 in months 1, 4, ... 22.
    assert table.loc["P2", [1, 2, 4, 22, 25]].tolist() == [254_500, 0, 4_500, 4_500, 0]
    assert table.sum(axis=1).to_dict() == advance.total.to_dict()
    alone = cash_flow(years, practices, costs=Costs(2000, 0)).by_practice["working_capital"]
    assert (flow.by_practice["working_capital"] == 0).all()
    assert (alone > 0).all()


@given(cents=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20), parts=st.integers(1, 12))
def test_parts_add_up_to_the_cent_and_differ_by_one_at_most(cents, parts):
    split = Timing(tuple(range(1, parts + 1))).split(np.array(cents))
    assert split.sum(axis=1).tolist() == cents
    assert (np.ptp(split, axis=1) <= 1).all()
    # Left-over cents go first.
    assert (np.diff(np.abs(split), axis=1) <= 0).all()


def account(components, timing, physicians, visits, costs, opening):
    """A day-by-day account of one practice in whole cents, kept with plain Python."""
    events = []
    for name, cents in components.items():
        when = timing[name]
        part, left = divmod(abs(cents), len(when.months))
        for position, month in enumerate(when.months):
            amount = (part + (position < left)) * (1 if cents >= 0 else -1)
            events.append((month + when.lag, 1 if when.at_start else 3, amount))
    for total in (round(physicians * costs.per_physician * 12 * 100), round(visits * costs.per_visit * 100)):
        part, left = divmod(total, 12)
        events += [(month, 2, -(part + (month <= left))) for month in range(1, 13)]
    cash, low = opening, {}
    for month in range(1, max(event[0] for event in events) + 1):
        for step in (1, 2, 3):
            cash += sum(amount for at, when, amount in events if (at, when) == (month, step))
            if step > 1:
                low[month] = min(low.get(month, cash), cash)
    return cash, low


@given(
    amounts=st.lists(st.integers(-(10**7), 10**8), min_size=3, max_size=3),
    opening=st.integers(-(10**6), 10**6),
    lag=st.integers(0, 4),
    seed=st.integers(0, 100),
)
@settings(max_examples=50, deadline=None)
def test_a_plain_account_shows_the_same_lowest_balance(amounts, opening, lag, seed):
    random = np.random.default_rng(seed)
    timing = {
        name: Timing(
            tuple(sorted(random.choice(np.arange(1, 13), random.integers(1, 13), replace=False).tolist())),
            int(random.integers(0, 10)),
            bool(random.integers(2)),
        )
        for name in ("one", "two")
    }
    names = ["one", "two", "fees_in_basket"]
    practices, costs = year(), Costs(123.45, 6.78)
    flow = cash_flow(
        paid(dict(zip(names, np.array(amounts) / 100, strict=True))),
        practices,
        costs=costs,
        opening_cash=opening / 100,
        claims_lag=lag,
        timing=timing,
    )
    timing["fees_in_basket"] = Timing(CLAIMS.months, lag)
    need = flow.by_practice
    for name, physicians, visits in (("P10", 1, 12), ("P2", 2, 30)):
        cash, low = account(dict(zip(names, amounts, strict=True)), timing, physicians, visits, costs, opening)
        row = need.loc[name]
        assert round(row["closing_balance"] * 100) == cash
        assert round(row["lowest_balance"] * 100) == min(low.values())
        assert row["months_below_zero"] == sum(value < 0 for value in low.values())
        assert row["lowest_month"] == min(month for month, value in low.items() if value == min(low.values()))
        assert round(row["working_capital"] * 100) == max(opening - min(low.values()), 0)


ENGINES = {
    "US": [
        lambda p: fee_for_service(p, on="2021-01-01"),
        lambda p: salary(p, on="2021-01-01", salary=250_000.55, overhead=99_999.99),
        lambda p: cpc_plus(p, on="2019-01-01", quality=0.37),
        lambda p: cpc_plus(p, on="2019-01-01", track=2, utilisation=0.6),
        lambda p: primary_care_first(p, on="2021-01-01", adjustment=0.123),
        lambda p: primary_care_first(p, on="2023-01-01", adjustment=-0.05),
    ],
    "Ontario": [
        lambda p: fee_for_service(p, on="2021-01-01"),
        lambda p: ontario_fhg(p, on="2016-01-01"),
        lambda p: ontario_fho(p, on="2016-01-01"),
        lambda p: ontario_fho(p, on="2008-01-01", model="FHN"),
        lambda p: alberta_blended_capitation(p, on="2019-01-01"),
        lambda p: bc_lfp(p, on="2023-06-01"),
    ],
}


@pytest.mark.parametrize(("country", "engine"), [(c, e) for c, engines in ENGINES.items() for e in engines])
def test_each_model_of_primary_care_has_a_timing_and_its_months_add_up_to_its_year(country, engine):
    practices = synthetic_practices(country, n_practices=12, patients_per_physician=150, seed=3)
    year_paid = engine(practices)
    flow = cash_flow(year_paid, practices)
    cents = np.rint(flow.table[year_paid.components] * 100).groupby(level=0, sort=False).sum()
    assert (cents == np.rint(year_paid.table[year_paid.components] * 100)).all(axis=None)
    # Opening with exactly the working capital, cash touches zero and never goes below.
    need = flow.by_practice["working_capital"]
    enough = cash_flow(year_paid, practices, opening_cash=need).by_practice
    assert (enough["months_below_zero"] == 0).all()
    assert (enough["lowest_balance"][need > 0] == 0).all()


def test_the_illustrative_costs_break_even_together_under_fee_for_service_and_say_so():
    practices = synthetic_practices("US", n_practices=10, patients_per_physician=150, seed=1)
    flow = cash_flow(fee_for_service(practices, on="2021-01-01"), practices)
    sums = flow.by_practice.sum()
    assert sums["costs"] == pytest.approx(sums["received"], rel=1e-3)
    assert any("Costs are an assumption" in note for note in flow.notes)
    assert any("synthetic" in note for note in flow.notes)
    assert "given by the user" in cash_flow(paid({"salary": 1}), year(), costs=FREE).summary()


def test_slower_claims_need_more_cash_and_money_in_advance_less():
    practices = synthetic_practices("US", n_practices=10, patients_per_physician=150, seed=1)
    fees = fee_for_service(practices, on="2021-01-01")
    needs = [cash_flow(fees, practices, claims_lag=lag).by_practice["working_capital"] for lag in range(5)]
    assert all((later >= sooner).all() for sooner, later in pairwise(needs))
    plus = cash_flow(cpc_plus(practices, on="2019-01-01"), practices).by_practice["working_capital"]
    assert (plus <= needs[1]).all()


def test_all_timings_are_named_and_of_the_year():
    assert all(isinstance(timing, Timing) for timing in TIMING.values())


def test_the_figure_draws_the_cash_of_one_practice_and_of_all():
    plt = pytest.importorskip("matplotlib.pyplot")
    from apmkit.plots.payment import cash

    flows = {
        "Fees": cash_flow(paid({"fees_in_basket": 1200}), year(), costs=Costs(60, 0), opening_cash=[10, 20]),
        "Capitation": cash_flow(paid({"base_capitation": 1200}), year(), costs=Costs(60, 0)),
    }
    one = cash(flows, "P2")
    heights = one.lines[0].get_ydata()
    low = flows["Fees"].by_practice.loc["P2", "lowest_balance"]
    assert (heights[0], heights.min(), heights[-1]) == (20, low, flows["Fees"].balance.loc["P2"].iloc[-1])
    assert one.lines[0].get_xdata()[-1] == one.lines[2].get_xdata()[-1] == 13
    assert {text.get_text() for text in one.texts} >= {"Fees", "Capitation"}
    together = flows["Fees"].plot()
    assert together.lines[0].get_ydata()[-1] == flows["Fees"].balance.iloc[:, -1].sum()
    with pytest.raises(PaymentError, match="has no practice P3"):
        cash(flows, "P3")
    with pytest.raises(PaymentError, match="draws 1 to 7 flows, not 0"):
        cash({})
    for wrong in ({"Fees": 5}, flows["Fees"], [5]):
        with pytest.raises(PaymentError, match="cash draws what cash_flow returns"):
            cash(wrong)
    plt.close("all")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: cash_flow([], year()), "There is no payment"),
        (lambda: cash_flow(year(), year()), "A Payment is needed, not Practices"),
        (lambda: cash_flow([1], year()), "A Payment is needed, not int"),
        (lambda: cash_flow(paid({"salary": 1}), year().patients), "Practices are needed, not DataFrame"),
        (
            lambda: cash_flow(salary(synthetic_practices(n_practices=2), on="2021-01-01", salary=1), year()),
            "Salary pays other practices than those given",
        ),
        (lambda: cash_flow(paid({"tips": 1}), year(), costs=FREE), "tips has no timing; give timing={'tips': Timing("),
        (
            lambda: cash_flow(paid({"salary": 1}), year(), costs=FREE, timing={"salry": CLAIMS}),
            "timing has 'salry', which is no component; there are salary.",
        ),
        (
            lambda: cash_flow(paid({"salary": 1}), year(), claims_lag=-1),
            "claims_lag=-1 must be a whole number of months",
        ),
        (lambda: cash_flow(paid({"salary": 1}), year(), claims_lag=1.5), "claims_lag=1.5 must be a whole number"),
        (
            lambda: cash_flow(paid({"salary": 1}), year(), costs=Costs(-5, 0)),
            "per_physician is -5, but must be at least 0",
        ),
        (lambda: cash_flow(paid({"salary": 1}), year(), costs=100), "costs is of type int; give Costs("),
        (
            lambda: cash_flow(paid({"salary": 1}), year(), extra={"loan": [1, np.nan]}),
            "loan is missing or infinite",
        ),
        (
            lambda: cash_flow(paid({"salary": 1}), year(), extra={"salary": [1]}),
            "salary is a column of the cash flow already",
        ),
        (
            lambda: cash_flow(paid({"salary": 1}), year(), extra={"balance": [1]}),
            "balance is a column of the cash flow",
        ),
        (lambda: cash_flow(paid({"salary": 1}), year(), extra={"loan": np.ones((3, 4))}), "loan has shape (3, 4)"),
        (lambda: cash_flow(paid({"salary": 1}), year(), extra={"loan": []}), "loan in extra has no month"),
        (
            lambda: cash_flow(paid({"salary": 1}), year(), extra={"loan": pd.Series([5.0, 0.0])}),
            "no value for practice",
        ),
        (lambda: cash_flow(paid({"salary": 1}), year(), extra=[5]), "extra is of type list"),
        (lambda: cash_flow(paid({"salary": 1}), year(), timing=Timing((1,))), "timing is of type Timing"),
        (lambda: cash_flow(None, year()), "not NoneType"),
        (lambda: cash_flow(paid({"salary": 1}), year(), opening_cash=1e300), "opening_cash is 1e+300, too large"),
        (lambda: cash_flow(paid({"salary": 1}), year(), extra={"loan": -1e30}), "loan is -1e+30, too large"),
        (lambda: cash_flow(paid({"salary": 1}), year(), costs=Costs(1e30, 0)), "per_physician in a year is"),
        (lambda: cash_flow(paid({"salary": 1}), year(), claims_lag=10**7), "claims_lag=10000000"),
        (lambda: Timing(5), "months=5"),
        (lambda: Timing((1, 2, 2)), "must be months from 1 to 12 in order, each once"),
        (lambda: Timing((0, 1)), "must be months from 1 to 12 in order"),
        (lambda: Timing(()), "must be months from 1 to 12 in order"),
        (lambda: Timing((1,), lag=-2), "lag=-2 must be a whole number of months, 0 to 120"),
        (lambda: Costs.illustrative(year(), fixed_share=80), "fixed_share=80 must be a share from 0 to 1"),
        (lambda: Costs.illustrative(year(visits=0)), "No patient has a visit"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, sentence):
    with pytest.raises(PaymentError) as caught:
        make()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
