"""A contract becomes a model that pays practices, by its engine, its own terms and its own values of the rules."""

import pytest

from apmkit.contract import (
    Contract,
    ContractError,
    category_moves,
    classify,
    gallery,
    practice_model,
    practice_payments,
)
from apmkit.payment import alberta_blended_capitation, cpc_plus, ontario_fho, rulebook, synthetic_practices
from apmkit.payment.rulebook import RulesError

DAY = {"US": "2021-07-01", "Canada": "2024-05-01"}
FEES = {"name": "fees", "type": "fee_for_service", "engine": "fee_for_service"}


@pytest.fixture(scope="module")
def canada():
    return synthetic_practices("Ontario", n_practices=5, patients_per_physician=200, seed=2)


def contract(*payments):
    return Contract.from_dict(
        {"name": "mine", "title": "Mine", "country": "Canada", "finance": {"payments": list(payments)}}
    )


def paid(described, practices):
    engine, terms = practice_model(described, on=DAY[described.country])
    return engine(practices, **terms)


def test_the_gallery_pays_by_the_engine_and_terms_of_each_contract(canada):
    fhn = paid(gallery("ontario_fhn"), canada)
    assert fhn.table.equals(ontario_fho(canada, on=DAY["Canada"], model="FHN").table)
    assert not fhn.table.equals(paid(gallery("ontario_fho"), canada).table)
    us = synthetic_practices("US", n_practices=5, patients_per_physician=100, seed=2)
    for track in (1, 2):
        assert paid(gallery(f"cpc_plus_track_{track}"), us).table.equals(cpc_plus(us, on=DAY["US"], track=track).table)


@pytest.mark.parametrize("name", list(gallery()))
def test_every_contract_of_the_gallery_is_either_computed_or_says_why_not(name):
    described = gallery(name)
    table = practice_payments(described)
    assert table["how"].str.len().gt(5).all()
    if table["computed"].any():
        people = synthetic_practices("US" if described.country == "US" else "Ontario", n_practices=3, seed=1)
        assert (paid(described, people).total > 0).all()
    else:
        with pytest.raises(ContractError, match=r"No payment of .* can be computed for practices"):
            practice_model(described, on=DAY[described.country])


def test_values_of_a_contract_replace_those_of_the_rules(canada):
    alberta = gallery("alberta_blended_capitation")
    half = alberta.change("capitation", rule_values={"capitation_share": 0.5, "fee_share": 0.5})
    rules = rulebook("alberta").with_values({"capitation_share": 0.5, "fee_share": 0.5})
    expected = alberta_blended_capitation(canada, on=DAY["Canada"], rules=rules)
    assert paid(half, canada).table.equals(expected.table)
    assert (paid(half, canada).table["blended_fees"] > paid(alberta, canada).table["blended_fees"]).all()
    with pytest.raises(RulesError, match="capitation_shares"):
        paid(alberta.change("capitation", rule_values={"capitation_shares": 0.5}), canada)
    with pytest.raises(RulesError, match="capitation_share"):
        paid(alberta.change("capitation", rule_values={"capitation_share": 50}), canada)


def test_what_cannot_be_one_model_is_refused():
    with pytest.raises(ContractError, match="bc_lfp and ontario_fho, each of which pays for all"):
        practice_model(
            contract(*({**FEES, "name": e, "engine": e} for e in ("bc_lfp", "ontario_fho"))), on="2024-05-01"
        )
    twice = [{**FEES, "name": m.lower(), "engine": "ontario_fho", "terms": {"model": m}} for m in ("FHO", "FHN")]
    with pytest.raises(ContractError, match="give model as 'FHO' and as 'FHN'; give it once"):
        practice_model(contract(*twice), on="2024-05-01")
    for term in ("schedule", "rules", "on", "practices", "group"):
        with pytest.raises(ContractError, match=f"the term '{term}' of ontario_fho; "):
            practice_model(contract({**FEES, "engine": "ontario_fho", "terms": {term: "x"}}), on="2024-05-01")
    with pytest.raises(ContractError, match="names the engine 'access_bonus'; write fee_for_service, "):
        practice_model(contract({**FEES, "engine": "access_bonus"}), on="2024-05-01")


def test_a_salary_is_paid_once_the_contract_gives_it(canada):
    pay = {"name": "pay", "type": "salary", "engine": "salary"}
    assert "salary needs salary" in practice_payments(contract(pay)).loc["pay", "how"]
    total = paid(contract({**pay, "terms": {"salary": 200_000}}), canada).total
    assert (total == 200_000 * canada.practice("physicians")).all()


def test_every_move_listed_moves_the_category_and_one_that_is_known_is_among_them():
    described = gallery("mssp_basic_e")
    moves = category_moves(described)
    assert {("shared_savings", "downside", "3A"), ("shared_savings", "linked_to_quality", "3N")} <= set(
        moves[["payment", "field", "category"]].itertuples(index=False, name=None)
    )
    assert classify(described).category not in set(moves["category"])
    assert category_moves(gallery("ontario_fho"))[["field", "was", "becomes", "category"]].to_numpy().tolist() == [
        ["linked_to_quality", "no", "yes", "4A"]
    ]
