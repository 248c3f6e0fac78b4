"""The HCP-LAN category follows from the fields by the framework's definitions, and a gap leaves open what it may."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.contract import (
    CATEGORIES,
    PAYMENT_TYPES,
    Contract,
    classify,
    compare,
    design_score,
    gallery,
    placements,
    task_matrix,
)
from apmkit.contract.terms import PAID

PAYMENT = {
    "amount": "as agreed", "base": "each patient", "scope": "total cost", "part": "main", "risk_adjustment": "none",
    "linked_to_quality": True, "downside": False, "no_engine": "a test",
}  # fmt: skip
GAP = {"gap": "not found"}


def payment(kind, name="pay", **values):
    paid = PAID.get(kind, ("in advance",))[0]
    return {**PAYMENT, "name": name, "type": kind, "paid": paid, **values}


def contract(*payments, **values):
    return Contract.from_dict(
        {"name": "mine", "title": "Mine", "country": "US", "finance": {"payments": list(payments)}, **values}
    )


def category(*payments, **values):
    return classify(contract(*payments, **values)).category


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("fee_for_service", {"linked_to_quality": False}, "1"),
        ("fee_for_service", {}, "2C"),
        ("care_management_fee", {"linked_to_quality": False}, "2A"),
        ("infrastructure_payment", {}, "2A"),
        ("pay_for_reporting", {}, "2B"),
        ("performance_bonus", {}, "2C"),
        ("performance_bonus", {"linked_to_quality": False}, "1"),
        ("shared_savings", {}, "3A"),
        ("shared_savings", {"downside": True}, "3B"),
        ("shared_savings", {"downside": True, "linked_to_quality": False}, "3N"),
        ("episode", {"paid": "afterwards", "downside": True}, "3B"),
        ("episode", {"paid": "afterwards"}, "3A"),
        ("episode", {"paid": "in advance", "scope": "condition"}, "4A"),
        ("capitation", {"scope": "primary care"}, "4A"),
        ("capitation", {"scope": "condition"}, "4A"),
        ("capitation", {}, "4B"),
        ("capitation", {"linked_to_quality": False}, "4N"),
        ("global_budget", {"scope": "hospital"}, "4B"),
        ("global_budget", {"linked_to_quality": False}, "4N"),
        ("global_budget", {"paid": "afterwards", "downside": True}, "3B"),
        ("salary", {}, "outside the framework"),
        ("hourly", {}, "outside the framework"),
    ],
)
def test_one_payment_is_placed_by_the_definitions(kind, values, expected):
    assert category(payment(kind, **values)) == expected


def test_a_budget_in_an_integrated_system_is_4c_where_the_record_says_so():
    for said, expected in ((True, "4C"), (False, "4B"), (GAP, "4B")):
        assert category(payment("global_budget"), providers={"payer_and_provider_are_one": said}) == expected


known = st.fixed_dictionaries(
    {
        "linked_to_quality": st.booleans(),
        "downside": st.booleans(),
        "scope": st.sampled_from(["primary care", "condition", "hospital", "total cost"]),
        "part": st.sampled_from(["main", "supplement"]),
    }
)
kinds = st.sampled_from(sorted(PAYMENT_TYPES))


@st.composite
def payments(draw, unknown=False):
    values = draw(known)
    if unknown:
        for field in draw(st.sets(st.sampled_from(sorted(values)))):
            values[field] = draw(st.sampled_from([GAP, None]))
    kind = draw(kinds)
    if unknown and draw(st.booleans()):
        return payment(kind, **{**values, "paid": draw(st.sampled_from([GAP, None]))})
    if len(PAID.get(kind, ())) != 1:
        values["paid"] = draw(st.sampled_from(["in advance", "afterwards"]))
    return payment(kind, **values)


def named(listed):
    return [{**each, "name": f"pay_{place}"} for place, each in enumerate(listed)]


@settings(deadline=None)
@given(known)
def test_adding_downside_moves_shared_savings_from_3a_to_3b(values):
    fees = payment("fee_for_service", "fees", linked_to_quality=False)
    linked = {**values, "linked_to_quality": True}
    assert category(fees, payment("shared_savings", **{**linked, "downside": False})) == "3A"
    assert category(fees, payment("shared_savings", **{**linked, "downside": True})) == "3B"


@settings(deadline=None)
@given(payments())
def test_removing_the_link_to_quality_moves_categories_3_and_4_to_n(given_payment):
    before = category(given_payment)
    after = category({**given_payment, "linked_to_quality": False})
    if before[0] in "34":
        assert after == f"{before[0]}N"
    else:
        assert after in ("1", "2A", "2B", "outside the framework")


@settings(max_examples=40, deadline=None)
@given(st.lists(payments(), min_size=1, max_size=4))
def test_a_fully_known_contract_has_one_category_from_the_framework(listed):
    found = classify(contract(*named(listed)))
    assert found.category in [*CATEGORIES, "outside the framework"]
    assert set(found.parts) <= set(CATEGORIES)
    assert bool(found.nearest) == (found.category == "outside the framework")
    assert found.reason
    assert found.payments["reason"].str.endswith(".").all()


@settings(max_examples=40, deadline=None)
@given(st.lists(payments(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_the_payments_does_not_matter(listed, random):
    listed = named(listed)
    shuffled = random.sample(listed, len(listed))
    assert category(*listed) == category(*shuffled)


@settings(max_examples=25, deadline=None)
@given(payments(unknown=True), payments(), st.booleans())
def test_a_gap_leaves_open_exactly_the_categories_that_its_values_lead_to(first, second, size_unknown):
    listed = named([first, {**second, "part": GAP} if size_unknown else second])
    anytime = ("in advance", "afterwards")
    choices = {
        "paid": {each["name"]: PAID.get(each["type"], anytime) for each in listed},
        "linked_to_quality": (True, False),
        "downside": (True, False),
        "scope": ("primary care", "condition", "hospital", "total cost"),
        "part": ("main", "supplement"),
    }
    gaps = [(at, field) for at, each in enumerate(listed) for field in choices if each[field] in (GAP, None)]
    reached = set()
    values_of = [choices["paid"][listed[at]["name"]] if field == "paid" else choices[field] for at, field in gaps]
    for values in itertools.product(*values_of):
        filled = [dict(each) for each in listed]
        for (at, field), value in zip(gaps, values, strict=True):
            filled[at][field] = value
        reached.add(category(*filled))
    assert set(category(*listed).split(" or ")) == reached


def test_a_choice_of_the_provider_gives_both_categories_and_names_the_choice():
    found = classify(gallery("aco_reach_global"))
    assert found.category == "3B or 4B"
    assert "chooses total_care_capitation." in found.reason
    without = gallery("aco_reach_global").change("total_care_capitation", part="supplement")
    assert classify(without).category == "3B"


def test_a_gap_is_named_where_it_decides_and_only_there():
    listed = payment("shared_savings", downside={"gap": "not published", "note": "secret"}, amount=GAP)
    reason = classify(contract(listed)).reason
    assert "downside (not published: secret)" in reason
    assert "amount" not in reason
    assert "main part" not in reason


def test_pay_by_time_has_a_nearest_category():
    assert classify(gallery("ontario_chc")).nearest == ("4N",)
    assert classify(gallery("bc_lfp")).nearest == ("1", "4N")
    assert "nearest is 4N" in classify(gallery("ontario_chc")).summary()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("physician_fee_schedule", "1"),
        ("cpc_plus_track_1", "2C"),
        ("primary_care_first", "4A"),
        ("mssp_track_1", "3A"),
        ("mssp_basic_e", "3B"),
        ("mssp_enhanced", "3B"),
        ("bpci_advanced", "3B"),
        ("maryland_global_budget", "4B"),
        ("ontario_fhg", "2C"),
        ("ontario_fho", "4N"),
        ("ontario_fht", "2A"),
        ("alberta_pcn", "2A"),
        ("alberta_blended_capitation", "4N"),
        ("quebec_gmf", "2A"),
    ],
)
def test_well_known_contracts_are_placed_where_the_definitions_put_them(name, expected):
    assert classify(gallery(name)).category == expected


def test_every_difference_from_a_placement_elsewhere_has_its_reason_and_no_reason_stands_without_one():
    table = placements()
    assert len(table) >= 20
    assert (table["why"].ne("") == ~table["agrees"].astype(bool)).all()
    assert table.index[~table["agrees"].astype(bool)].tolist() == [
        "aco_reach_global",
        "aco_reach_professional",
        "alternative_quality_contract",
        "cpc_plus_track_2",
    ]


def test_a_summary_says_where_a_placement_elsewhere_differs():
    text = classify(gallery("alternative_quality_contract")).summary()
    assert "Placed as 3B + 4B elsewhere" in text
    assert "unconfirmed" in text
    assert "elsewhere" not in classify(gallery("mssp_basic_e")).summary()


@pytest.mark.parametrize("gap", [None, GAP], ids=["missing", "gap"])
@pytest.mark.parametrize("kind", sorted(PAYMENT_TYPES))
def test_a_payment_of_which_only_the_type_is_known_is_placed_judged_and_described(kind, gap):
    fields = dict.fromkeys(["amount", "base", "scope", "paid", "part", "risk_adjustment", "linked_to_quality"], gap)
    bare = contract({"name": "pay", "type": kind, "no_engine": "a test", **fields})
    found = classify(bare)
    assert set(found.category.split(" or ")) <= {*CATEGORIES, "outside the framework"}
    assert "main part (" not in found.reason
    assert "met" in design_score(bare)
    assert len(task_matrix(bare)) == 9
    assert not compare(bare, bare)["differs"].any()
