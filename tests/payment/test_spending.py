import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apmkit
from apmkit.errors import PaymentError
from apmkit.payment import path_to_target, price_and_quantity, primary_care_share, reference_shares

SPENDING = pd.DataFrame(
    [
        ("family medicine", "office", 30.0),
        ("general internal medicine", "outpatient", 20.0),
        ("family medicine", "inpatient", 5.0),
        ("nurse practitioner", "office", 12.0),
        ("obstetrics and gynaecology", "office", 8.0),
        ("obstetrics and gynaecology", "outpatient", 7.0),
        ("behavioural health", "outpatient", 10.0),
        ("emergency medicine", "outpatient", 40.0),
        ("general surgery", "outpatient", 60.0),
        ("hospital", "inpatient", 808.0),
    ],
    columns=["provider", "setting", "amount"],
)


def test_the_narrow_share_counts_office_and_outpatient_care_of_primary_care_physicians():
    row = primary_care_share(SPENDING).loc["all"]
    assert row.to_dict() == {"primary_care": 50.0, "total": 1000.0, "share": 0.05}


def test_the_broad_share_adds_other_clinicians_and_office_gynaecology():
    assert primary_care_share(SPENDING, "broad").loc["all", "primary_care"] == 50 + 12 + 8 + 10


def test_shares_are_worked_out_by_payer():
    both = pd.concat([SPENDING.assign(payer="Medicare"), SPENDING.iloc[[0, 9]].assign(payer="Medicaid")])
    table = primary_care_share(both, by="payer")
    assert table.index.name == "payer"
    assert table["share"].to_dict() == {"Medicaid": 30 / 838, "Medicare": 0.05}


@given(st.lists(st.floats(0, 1e9), min_size=len(SPENDING), max_size=len(SPENDING)), st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_the_broad_share_is_never_smaller_and_neither_knows_the_currency(amounts, rate):
    table = SPENDING.assign(amount=np.array(amounts) + 1)
    narrow, broad = (primary_care_share(table, definition)["share"].item() for definition in ("narrow", "broad"))
    assert 0 <= narrow <= broad <= 1
    assert primary_care_share(table.assign(amount=table["amount"] * rate))["share"].item() == pytest.approx(narrow)


def test_words_that_miss_by_a_letter_are_refused_and_not_left_out():
    with pytest.raises(
        PaymentError, match=r"provider 'Family Medicine' is not counted .* did you mean 'family medicin"
    ):
        primary_care_share(SPENDING.replace("family medicine", "Family Medicine"))
    with pytest.raises(PaymentError, match=r"setting 'out-patient' is not counted .* did you mean 'outpatient'"):
        primary_care_share(SPENDING.replace("outpatient", "out-patient"))


def test_the_end_of_a_name_that_counts_is_refused_and_not_left_out():
    with pytest.raises(PaymentError, match=r"'internal medicine' is not counted .* 'general internal medicine'"):
        primary_care_share(SPENDING.replace("general internal medicine", "internal medicine"))


def test_spending_of_unknown_payers_is_refused_and_not_dropped():
    payers = SPENDING.assign(payer=["Medicare"] * 9 + [None])
    with pytest.raises(PaymentError, match="The column payer of spending is missing in some rows"):
        primary_care_share(payers, by="payer")


def test_bad_spending_is_refused_with_the_remedy():
    with pytest.raises(PaymentError, match="definition is 'wide'; write narrow or broad"):
        primary_care_share(SPENDING, "wide")
    with pytest.raises(PaymentError, match="has no column payer, which is needed; it has provider, setting, amount"):
        primary_care_share(SPENDING, by="payer")
    with pytest.raises(PaymentError, match="No row of spending is primary care; its providers are family medicine,"):
        primary_care_share(SPENDING.assign(provider="hospital"))
    with pytest.raises(PaymentError, match="amount of provider hospital is -1; it must be at least 0"):
        primary_care_share(SPENDING.replace(808.0, -1.0))
    with pytest.raises(PaymentError, match="Nothing was spent in all"):
        primary_care_share(SPENDING.assign(amount=0.0))


def test_published_shares_carry_their_source():
    table = reference_shares().set_index(["what", "year"])
    assert table.loc[("United States, narrow definition", 2013), "share"] == 0.062
    assert table.loc[("United States, narrow definition", 2020), "share"] == 0.046
    assert table.loc[("OECD countries, mean", 2016), "share"] == 0.078
    assert table.loc[("Target of the State of Oregon", 2023), "share"] == 0.12
    assert table["citation"].str.contains("Milbank").all()


def test_the_path_of_two_years_is_that_by_hand():
    # 5 % to 7.2 % of a total that grows by 10 %: primary care grows by 1.1 x sqrt(1.44) - 1 = 32 % a year
    path = path_to_target(0.05, 0.072, 2, total_spending=1000.0, total_growth=0.1)
    assert path["total"].tolist() == pytest.approx([1000, 1100, 1210])
    assert path["primary_care"].tolist() == pytest.approx([50, 66, 87.12])
    assert path["primary_care_growth"].tolist()[1:] == pytest.approx([0.32, 0.32])
    assert path["other_growth"].tolist()[1:] == pytest.approx([1034 / 950 - 1, 1122.88 / 1034 - 1])
    assert path["added"].tolist() == pytest.approx([0, 11, 26.62])


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.integers(1, 40), st.floats(-0.05, 0.2))
@settings(max_examples=40, deadline=None)
def test_a_path_ends_at_its_target_and_spends_the_total(share, target, years, growth):
    path = path_to_target(share, target, years, total_spending=1e9, total_growth=growth)
    assert path["share"].iloc[-1] == pytest.approx(target)
    np.testing.assert_allclose(path["primary_care"] + path["other"], path["total"])
    np.testing.assert_allclose(path["primary_care"] / path["total"], path["share"])
    assert path["primary_care_growth"].iloc[1:].std(ddof=0) < 1e-9


def test_within_a_fixed_total_what_primary_care_gains_other_spending_loses():
    path = path_to_target(0.046, 0.12, 10, total_spending=100.0)
    assert (path["total"] == 100).all()
    np.testing.assert_allclose(path["added"], path["other"].iloc[0] - path["other"])


def test_paths_that_cannot_be_are_refused():
    for arguments, message in (
        ((4.6, 0.12, 10), "share is 4.6; give a share between 0 and 1, so 0.046 for 4.6 %"),
        ((0.046, 0, 10), "target is 0"),
        ((0.046, 0.12, 0), "years is 0; give a whole number of at least 1"),
        ((0.046, 0.12, 2.5), "years is 2.5"),
        ((0.046, 0.12, True), "years is True"),
        (("4.6", 0.12, 2), "share is '4.6'; give a share between 0 and 1"),
    ):
        with pytest.raises(PaymentError, match=message):
            path_to_target(*arguments)
    with pytest.raises(PaymentError, match="total_spending is -1"):
        path_to_target(0.05, 0.1, 2, total_spending=-1)
    for growth in (-1, 4, "0.04", float("nan")):
        with pytest.raises(PaymentError, match=r"total_growth is .*, so 0.04 for 4 %"):
            path_to_target(0.05, 0.1, 2, total_growth=growth)


SERVICES = pd.DataFrame(
    {"price_0": [10.0, 200.0], "price_1": [12.0, 190.0], "quantity_0": [100.0, 4.0], "quantity_1": [90.0, 6.0]},
    index=["visits", "scans"],
)


def test_price_and_quantity_of_two_services_are_those_by_hand():
    parts = price_and_quantity(SERVICES)
    # visits: +2 at 95 and -10 at 11; scans: -10 at 5 and +2 at 195
    assert parts["price"].tolist() == [190.0, -50.0]
    assert parts["quantity"].tolist() == [-110.0, 390.0]
    assert parts["change"].tolist() == [80.0, 340.0]


def test_laspeyres_and_paasche_leave_the_interaction_apart():
    old, new = (price_and_quantity(SERVICES, method=method) for method in ("laspeyres", "paasche"))
    assert old["price"].tolist() == [200.0, -40.0]
    assert old["quantity"].tolist() == [-100.0, 400.0]
    assert old["interaction"].tolist() == [-20.0, -20.0]
    assert new["price"].tolist() == [180.0, -60.0]
    assert new["interaction"].tolist() == [20.0, 20.0]
    symmetric = price_and_quantity(SERVICES)
    for part in ("price", "quantity"):
        np.testing.assert_allclose(symmetric[part], (old[part] + new[part]) / 2)


AMOUNT = st.floats(0.01, 1e5)
CATEGORIES = st.lists(st.tuples(AMOUNT, AMOUNT, AMOUNT, AMOUNT), min_size=1, max_size=8).map(
    lambda rows: pd.DataFrame(rows, columns=["price_0", "price_1", "quantity_0", "quantity_1"])
)


@given(CATEGORIES)
@settings(max_examples=40, deadline=None)
def test_the_symmetric_split_adds_up_and_turns_around_with_time(table):
    parts = price_and_quantity(table, mix=True)
    scale = parts[["spending_0", "spending_1"]].to_numpy().sum()
    np.testing.assert_allclose(parts["price"] + parts["quantity"], parts["change"], atol=1e-9 * scale)
    np.testing.assert_allclose(parts["volume"] + parts["mix"], parts["quantity"], atol=1e-9 * scale)
    back = price_and_quantity(table, prices=("price_1", "price_0"), quantities=("quantity_1", "quantity_0"), mix=True)
    for part in ("price", "quantity", "volume", "mix"):
        np.testing.assert_allclose(back[part], -parts[part], atol=1e-9 * scale)


@given(CATEGORIES)
@settings(max_examples=25, deadline=None)
def test_the_symmetric_split_is_the_shapley_value(table):
    situations = [("price", "quantity"), table]
    expected = dict.fromkeys(situations[0], 0.0)
    for order in itertools.permutations(situations[0]):
        now = {"price": table["price_0"], "quantity": table["quantity_0"]}
        for factor in order:
            before = (now["price"] * now["quantity"]).sum()
            now[factor] = table[f"{factor}_1"]
            expected[factor] += ((now["price"] * now["quantity"]).sum() - before) / 2
    parts = price_and_quantity(table).sum()
    for factor, value in expected.items():
        assert parts[factor] == pytest.approx(value, abs=1e-9 * (parts["spending_0"] + parts["spending_1"]))


def test_more_of_everything_is_volume_and_a_changed_composition_is_mix():
    more = price_and_quantity(SERVICES.assign(quantity_1=SERVICES["quantity_0"] * 2), mix=True)
    np.testing.assert_allclose(more["mix"], 0, atol=1e-9)
    other = price_and_quantity(SERVICES.assign(quantity_1=[98.0, 6.0]), mix=True)
    np.testing.assert_allclose(other["volume"], 0, atol=1e-9)


def test_mix_is_taken_within_each_group():
    two = pd.concat([SERVICES.assign(state="MD"), (SERVICES * 3).assign(state="PA")])
    together = price_and_quantity(two, mix=True, by="state")
    apart = price_and_quantity((SERVICES * 3), mix=True)
    pd.testing.assert_frame_equal(together.iloc[2:], apart)


def test_maryland_is_dearer_than_its_neighbour_by_prices_and_not_by_quantities():
    states = apmkit.load("gv_state").query("year == 2013 + 6").set_index("state")
    quantity = states["spending_per_capita_standardised"]
    price = states["spending_per_capita"] / quantity
    pair = {"price_0": price["PA"], "price_1": price["MD"], "quantity_0": quantity["PA"], "quantity_1": quantity["MD"]}
    parts = price_and_quantity(pd.DataFrame([pair])).iloc[0]
    assert parts["change"] == pytest.approx(states.loc["MD", "spending_per_capita"] - parts["spending_0"])
    assert parts["price"] > 0.95 * parts["change"]
    assert parts["price"] + parts["quantity"] == pytest.approx(parts["change"])


def test_bad_categories_are_refused_with_the_remedy():
    with pytest.raises(PaymentError, match="method is 'fisher'; write bennet, laspeyres or paasche"):
        price_and_quantity(SERVICES, method="fisher")
    with pytest.raises(PaymentError, match="mix needs the symmetric split"):
        price_and_quantity(SERVICES, method="paasche", mix=True)
    with pytest.raises(PaymentError, match="by is for the split of mix only"):
        price_and_quantity(SERVICES.assign(state="MD"), by="state")
    with pytest.raises(PaymentError, match="price_1 of category scans is -1; it must be at least 0"):
        price_and_quantity(SERVICES.assign(price_1=[1.0, -1.0]))
    with pytest.raises(PaymentError, match="A group has no quantity at all"):
        price_and_quantity(SERVICES.assign(quantity_0=0.0), mix=True)
    for prices in ("price", ("price_0",), ("price_0", "price_1", "price_2")):
        with pytest.raises(PaymentError, match=r"prices is .*; name two columns"):
            price_and_quantity(SERVICES, prices=prices)
    with pytest.raises(PaymentError, match="categories must be a DataFrame, not dict"):
        price_and_quantity({})
