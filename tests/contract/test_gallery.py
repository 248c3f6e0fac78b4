"""The gallery: every contract reads, rests on sources, and names engines that exist."""

import pandas as pd
import pytest

from apmkit import payment
from apmkit.contract import (
    CATEGORIES,
    TASKS,
    THEMES,
    Contract,
    ContractError,
    classify,
    compare,
    completeness,
    describe,
    design_score,
    engines,
    gallery,
    gallery_table,
    preferred_design,
    task_matrix,
    tasks,
)
from apmkit.contract.contracts import GALLERY
from apmkit.contract.preferred_design import VERDICTS
from apmkit.contract.tasks import LEVELS

NAMES = sorted(gallery())


def test_the_gallery_has_contracts_from_both_countries():
    countries = pd.Series({name: contract.country for name, contract in gallery().items()}).value_counts()
    assert countries["US"] >= 12
    assert countries["Canada"] >= 8


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.yml")), ids=lambda path: path.stem)
def test_a_gallery_file_reads_and_is_named_after_its_contract(path):
    assert Contract.from_yaml(path).name == path.stem


@pytest.mark.parametrize("name", NAMES)
def test_what_is_filled_rests_on_a_source_and_no_field_is_missing_without_a_word(name):
    table = completeness(gallery(name))
    assert (table.loc[table["filled"] > 0, "sources"] > 0).all()
    assert (table["missing"] == 0).all()
    assert table.loc["All themes", "share"] > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_every_engine_and_rules_file_of_a_contract_exists(name):
    table = engines(gallery(name))
    for engine, rules, why in table.itertuples(index=False):
        assert (engine == "") == bool(why)
        assert engine == "" or callable(getattr(payment, engine))
        assert rules == "" or payment.rulebook(rules).parameters


def test_an_engine_that_does_not_exist_is_refused_with_a_suggestion():
    contract = gallery("ontario_fho")
    with pytest.raises(ContractError, match="names the engine 'ontario_fh'; did you mean ontario_fh"):
        engines(contract.change("base_capitation", engine="ontario_fh"))
    with pytest.raises(ContractError, match=r"names the rules file 'ontaria'; did you mean ontario\?"):
        engines(contract.change("base_capitation", rules="ontaria"))


def test_placements_elsewhere_name_categories_of_the_framework():
    for contract in gallery().values():
        if contract.placement is not None:
            assert set(contract.placement.categories) <= set(CATEGORIES)


def test_the_table_of_the_gallery_has_a_row_for_each_contract_in_words():
    table = gallery_table()
    assert table.index.tolist() == list(gallery())
    assert table.loc["ontario_chc", "category"] == "outside the framework (nearest 4N)"
    assert table.loc["mssp_basic_e", ["category", "engines", "placed elsewhere"]].tolist() == ["3B", "settle_mssp", ""]
    assert table.loc["cpc_plus_track_2", "placed elsewhere"] == "2A + 2C + 4A"


# -- the preferred design ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_criterion_has_a_verdict_a_reason_and_a_field(name):
    table = preferred_design(gallery(name))
    assert len(table) == 8
    assert set(table["verdict"]) <= set(VERDICTS)
    assert table[["reason", "field"]].ne("").all(axis=None)
    assert design_score(gallery(name)).startswith(f"{(table['verdict'] == 'met').sum()} of 8 met")


def ideal():
    """A contract with every feature of the preferred design."""
    base = {
        "name": "budget", "type": "capitation", "scope": "total cost", "paid": "in advance", "part": "main",
        "risk_adjustment": "health status", "linked_to_quality": False, "downside": True, "no_engine": "a test",
    }  # fmt: skip
    bonus = {**base, "name": "bonus", "type": "performance_bonus", "part": "supplement", "linked_to_quality": True}
    return Contract.from_dict(
        {
            "name": "ideal", "title": "Ideal", "country": "Canada",
            "population": {"known": "before the year"},
            "finance": {"payments": [base, bonus], "risk_limits": ["corridors"]},
            "providers": {"payee": "multidisciplinary group"},
        }
    )  # fmt: skip


def test_a_contract_with_every_feature_meets_every_criterion():
    assert design_score(ideal()) == "8 of 8 met"


@pytest.mark.parametrize(
    ("payment_name", "change", "criterion", "verdict"),
    [
        (None, {"providers": {"payee": "physician group"}}, "paid to a multidisciplinary provider group", "partly"),
        (None, {"providers": {"payee": "physician"}}, "paid to a multidisciplinary provider group", "not met"),
        (None, {"providers": {}}, "paid to a multidisciplinary provider group", "cannot be told"),
        ("budget", {"scope": "primary care"}, "for a cohesive set of care", "partly"),
        ("budget", {"scope": None}, "for a cohesive set of care", "cannot be told"),
        ("budget", {"type": "fee_for_service", "paid": "per act"}, "for a cohesive set of care", "not met"),
        (None, {"population": {"known": "after the year"}}, "for a predefined population", "partly"),
        (None, {"population": {"known": "no population"}}, "for a predefined population", "not met"),
        ("budget", {"type": "shared_savings", "paid": "afterwards"}, "fixed", "partly"),
        ("budget", {"type": "fee_for_service", "paid": "per act"}, "fixed", "not met"),
        ("budget", {"type": "salary", "paid": "by time"}, "fixed", "partly"),
        ("budget", {"risk_adjustment": "age and sex"}, "adjusted for the population's risk", "partly"),
        ("budget", {"risk_adjustment": "none"}, "adjusted for the population's risk", "not met"),
        ("budget", {"risk_adjustment": {"gap": "not found"}}, "adjusted for the population's risk", "cannot be told"),
        ("bonus", {"linked_to_quality": False}, "explicit reward of measured value", "not met"),
        ("bonus", {"linked_to_quality": None}, "explicit reward of measured value", "cannot be told"),
        ("bonus", {"type": "capitation", "paid": "in advance"}, "explicit reward of measured value", "partly"),
        ("bonus", {"part": "main"}, "which is small beside the base", "not met"),
        ("bonus", {"part": {"gap": "not found"}}, "which is small beside the base", "cannot be told"),
        ("bonus", {"linked_to_quality": False}, "which is small beside the base", "not met"),
    ],
)
def test_each_criterion_falls_when_its_field_does(payment_name, change, criterion, verdict):
    row = preferred_design(ideal().change(payment_name, **change)).loc[criterion]
    assert row["verdict"] == verdict


def test_without_limits_of_risk_the_criterion_fails_and_with_a_gap_it_cannot_be_told():
    for limits, verdict in (([], "not met"), ({"gap": "not published"}, "cannot be told"), (None, "cannot be told")):
        finance = {**ideal().model_dump()["finance"], "risk_limits": limits}
        table = preferred_design(ideal().change(finance=finance))
        assert table.loc["with measures that limit risk", "verdict"] == verdict


# -- tasks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_task_and_payment_has_a_level_and_a_reason(name):
    table = tasks(gallery(name))
    assert len(table) == len(TASKS) * len(gallery(name).payments)
    assert set(table["level"]) <= set(LEVELS)
    assert table["reason"].ne("").all()
    assert task_matrix(gallery(name)).shape == (len(TASKS), len(gallery(name).payments))


def test_fees_pay_visits_and_leave_the_team_unpaid_while_capitation_pays_the_team_in_advance():
    matrix = task_matrix(gallery("alberta_blended_capitation"))
    assert matrix.loc[TASKS["visits"], "fees_outside_basket"] == "paid per act"
    assert matrix.loc[TASKS["team"], "fees_outside_basket"] == "not paid"
    assert matrix.loc[TASKS["team"], "capitation"] == "paid in advance"


def test_capitation_without_adjustment_for_illness_discourages_complex_patients():
    contract = gallery("alberta_blended_capitation")
    levels = {
        adjustment: task_matrix(contract.change("capitation", risk_adjustment=adjustment)).loc[
            TASKS["complex"], "capitation"
        ]
        for adjustment in ("none", "age and sex", "health status")
    }
    assert list(levels.values()) == ["discouraged", "discouraged", "paid in advance"]
    unknown = contract.change("capitation", risk_adjustment={"gap": "not found"})
    assert task_matrix(unknown).loc[TASKS["complex"], "capitation"] == "cannot be told"


def test_a_payment_that_names_its_tasks_supports_those_and_no_others():
    matrix = task_matrix(gallery("ontario_fhg"))
    assert matrix["preventive_bonuses"].value_counts().to_dict() == {"not paid": len(TASKS) - 1, "rewarded": 1}
    assert matrix.loc[TASKS["prevention"], "preventive_bonuses"] == "rewarded"
    assert matrix.loc[TASKS["after_hours"], "after_hours_premium"] == "paid per act"


def test_a_hospital_budget_rewards_what_keeps_patients_out_of_hospital():
    matrix = task_matrix(gallery("maryland_global_budget"))
    assert matrix.loc[TASKS["coordination"], "budget"] == "rewarded"
    assert matrix.loc[TASKS["visits"], "budget"] == "not paid"


# -- comparison --------------------------------------------------------------------------------------------------------


def test_a_comparison_has_differences_first_and_every_field_once():
    a, b = gallery("ontario_fhg"), gallery("ontario_fho")
    table = compare(a, b)
    assert table.columns.tolist() == ["ontario_fhg", "ontario_fho", "differs"]
    assert table["differs"].is_monotonic_decreasing
    assert table.index.is_unique
    assert table.loc[("Result", "HCP-LAN category"), ["ontario_fhg", "ontario_fho"]].tolist() == ["2C", "4N"]
    assert set(describe(a).index) | set(describe(b).index) <= set(table.index)
    assert (table["differs"] == (table["ontario_fhg"] != table["ontario_fho"])).all()
    assert set(table.index.get_level_values("theme")) == {
        "Result", "Preferred design", "Contract", *THEMES.values()
    }  # fmt: skip


def test_a_contract_does_not_differ_from_itself():
    assert not compare(gallery("bc_lfp"), gallery("bc_lfp"))["differs"].any()


def test_every_category_of_the_gallery_is_one_of_the_framework():
    for contract in gallery().values():
        assert set(classify(contract).parts) <= set(CATEGORIES)
