"""A contract is read strictly: every mistake is one sentence with the line, the field and the remedy."""

import copy
import json

import pytest

from apmkit.contract import (
    Contract,
    ContractError,
    Gap,
    category_moves,
    classify,
    compare,
    completeness,
    describe,
    design_score,
    engines,
    gallery,
    gaps,
    read_contract,
    task_matrix,
    template,
)

HEAD = "name: mine\ntitle: Mine\ncountry: US\n"
FINANCE = "finance:\n  payments:\n    - name: fees\n      type: fee_for_service\n      engine: fee_for_service\n"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_shortest_contract_reads(write):
    contract = Contract.from_yaml(write(HEAD + FINANCE))
    assert [payment.type for payment in contract.payments] == ["fee_for_service"]
    assert read_contract(write(HEAD + FINANCE)) == contract


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEAD, "mine.yml, line 1: finance is missing."),
        (HEAD + "finance:\n  payments: []\n", "line 5: finance.payments needs at least one entry."),
        (HEAD + "finance:\n  payments: 3\n", "line 5: finance.payments must be a list."),
        (HEAD + FINANCE + "      downsde: true\n", "line 9: payment has no field downsde; did you mean downside?"),
        (HEAD + FINANCE + "      zzz: 1\n", "line 9: payment has no field zzz; it may have unconfirmed, name"),
        (HEAD + "populaton: {covered: all}\n" + FINANCE, "contract has no field populaton; did you mean population?"),
        (HEAD + FINANCE + "      downside: 1\n", "line 9: finance.payments.1.downside must be true or false."),
        (HEAD + FINANCE + "      downside: yes\n", "line 9: YAML reads yes as a truth value"),
        (HEAD + FINANCE + "      amount: 12\n", "line 9: finance.payments.1.amount must be a text; put it in quotes."),
        (
            HEAD + FINANCE + "      amount: {gap: lost}\n",
            "amount.gap cannot be 'lost'; write not published, not found or",
        ),
        (HEAD + FINANCE + "      risk_adjustment: age\n", "cannot be 'age'; write none, age and sex or health status."),
        (HEAD + FINANCE + "      scope: hospitals\n", "scope cannot be 'hospitals'; did you mean hospital?"),
        (HEAD + FINANCE + "      targets: [visit]\n", "targets.1 cannot be 'visit'; did you mean visits?"),
        (
            HEAD + FINANCE.replace("fee_for_service", "episode", 1) + "      paid: per act\n",
            "line 6: episode is paid in advance or afterwards, not per act.",
        ),
        (HEAD + FINANCE + "      paid: in advance\n", "line 6: fee_for_service is paid per act, not in advance."),
        (
            HEAD + FINANCE + "      no_engine: because\n",
            "payment fees needs either engine, or no_engine with the reason.",
        ),
        (HEAD + FINANCE + FINANCE[20:], "two payments are called fees; give each its own."),
        (
            HEAD + FINANCE + "      unconfirmed: [amount]\n",
            "unconfirmed names amount, which is not a filled field here.",
        ),
        (HEAD + FINANCE.replace("fee_for_service", "capitaton", 1), "cannot be 'capitaton'; did you mean capitation?"),
        (HEAD + FINANCE.replace("fee_for_service", "shared_risk", 1), "type: shared_savings with downside: true."),
        (HEAD.replace("US", "USA") + FINANCE, "line 3: country cannot be 'USA'; did you mean US?"),
        (HEAD.replace("mine", "Mine!") + FINANCE, "name is 'Mine!', but must be small letters, digits and _."),
        (HEAD + "starts: 2010\n" + FINANCE, "line 4: starts must be a text; put it in quotes."),
        (HEAD + 'starts: "in 2010"\n' + FINANCE, "starts is 'in 2010', but must be a day as YYYY-MM-DD"),
        (HEAD + "starts: 2010-13-45\n" + FINANCE, "line 4: 2010-13-45 is no day of the calendar."),
        (
            HEAD + FINANCE + "placement: {categories: [9Z], citation: A, status: primary}\n",
            "line 9: placement.categories.1 cannot be '9Z'; write 1, 2A,",
        ),
        (
            HEAD + FINANCE + "      unconfirmed: [unconfirmed]\n",
            "unconfirmed names unconfirmed, which is not a filled field here.",
        ),
        (HEAD + FINANCE + "      terms: [track]\n", "line 9: finance.payments.1.terms must be names with values"),
        (HEAD + FINANCE + "      terms: {track: [1]}\n", "line 9: track must be one number, text, true or false."),
        (HEAD + FINANCE + "      rule_values: {rate: 1}\n", "line 6: payment fees has rule_values without rules."),
        (HEAD + "population: 3\n" + FINANCE, "line 4: population must be names with values"),
        (HEAD + "population:\n  covered: ''\n" + FINANCE, "line 5: population.covered is an empty text"),
        (HEAD + FINANCE + "sources:\n  - citation: A book\n    status: primary\n", "sources.1.supports is missing."),
        (
            HEAD + FINANCE + "sources:\n  - {citation: A, supports: [finance], status: primary, doi: x}\n",
            "sources.1.doi is 'x', but must be a doi, 10. ....",
        ),
        (HEAD + HEAD + FINANCE, "line 4: name is given twice; give it once."),
        ("- a list\n", "mine.yml must hold names with values"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line_and_the_remedy(write, text, sentence):
    with pytest.raises(ContractError) as caught:
        Contract.from_yaml(write(text))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("mine.yml")


JUNK = [None, True, 0, -1.5, "", "junk", [], ["junk"], [[]], {}, {"gap": 3}, {"gap": "not found", "more": 1}]


def leaves(value, path=()):
    """The paths of all parts of nested mappings and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield (*path, key)
        yield from leaves(part, (*path, key))


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_whatever_stands_in_a_field_the_contract_reads_or_one_sentence_says_what_is_wrong(junk):
    given = json.loads(gallery("aco_reach_global").model_dump_json())
    sentences = []
    for path in leaves(given):
        record = copy.deepcopy(given)
        at = record
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = junk
        try:
            Contract.from_dict(record, "junk")
        except ContractError as error:
            sentences.append(str(error))
    assert sentences
    for sentence in sentences:
        assert sentence.startswith("junk: ")
        assert sentence.endswith((".", "?"))
        assert "\n" not in sentence


@pytest.mark.parametrize("name", [None, 3, ["bc_lfp"], "a\0b.yml"], ids=repr)
def test_what_can_be_neither_a_name_nor_a_file_is_refused(name):
    with pytest.raises(ContractError, match=r"names no contract; give a name|is no path of a file"):
        read_contract(name)


@pytest.mark.parametrize(
    "function", [classify, category_moves, compare, completeness, describe, design_score, engines, gaps, task_matrix]
)
def test_a_name_in_place_of_a_contract_is_refused_with_what_to_give(function):
    with pytest.raises(ContractError, match=r"'bc_lfp' is no contract; give one, such as gallery\('bc_lfp'\)"):
        function(*["bc_lfp"] * (2 if function is compare else 1))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ContractError, match=r"absent\.yml cannot be read"):
        read_contract(tmp_path / "absent.yml")


def test_a_name_outside_the_gallery_is_refused_with_a_suggestion():
    with pytest.raises(ContractError, match="did you mean ontario_fho"):
        read_contract("ontario_fhoo")
    with pytest.raises(ContractError, match="choose one of aco_reach_global"):
        gallery("qqq")


def test_a_change_is_a_copy_and_is_checked():
    contract = gallery("mssp_basic_e")
    changed = contract.change("shared_savings", downside=False, amount={"gap": "not found"})
    assert contract.payments[1].downside is True
    assert changed.payments[1].downside is False
    assert changed.payments[1].amount == Gap(gap="not found")
    assert contract.change(title="Other").title == "Other"
    with pytest.raises(ContractError, match="has no payment 'savings'; it has fees, shared_savings"):
        contract.change("savings", downside=False)
    with pytest.raises(ContractError, match="did you mean downside"):
        contract.change("shared_savings", downsid=False)
    with pytest.raises(ContractError, match="must be true or false"):
        contract.change("shared_savings", downside="no")


def test_a_contract_cannot_be_altered_in_place():
    with pytest.raises(ValueError, match="frozen"):
        gallery("bc_lfp").title = "Other"


def test_the_template_reads_at_once_and_everything_in_it_is_a_gap(write):
    contract = Contract.from_yaml(write(template("mine")))
    table = completeness(contract)
    assert contract.name == "mine"
    assert table.loc["All themes", ["filled", "missing"]].tolist() == [0, 0]
    assert (table.drop(index="All themes")["absent"] > 0).all()
    assert classify(contract).category == "1 or 2C"


def test_completeness_counts_filled_absent_and_missing_by_theme():
    contract = Contract.from_dict(
        {
            "name": "mine",
            "title": "Mine",
            "country": "Canada",
            "population": {
                "covered": "Everybody",
                "attribution": {"gap": "not published", "note": "asked in May"},
                "eligibility": {"gap": "does not apply"},
                "unconfirmed": ["covered"],
            },
            "finance": {"payments": [{"name": "pay", "type": "salary", "engine": "salary", "risk_adjustment": "none"}]},
            "sources": [{"citation": "A", "supports": ["population", "finance"], "status": "primary"}],
        }
    )
    row = completeness(contract).loc["Population and scope of care"]
    assert row.to_dict() == {
        "fields": 5, "filled": 1, "unconfirmed": 1, "absent": 1, "missing": 3, "share": 0.2, "sources": 1,
    }  # fmt: skip
    states = gaps(contract).set_index("field")["state"]
    assert states["attribution"] == "not published"
    assert states["covered"] == "unconfirmed"
    assert states["services"] == "missing"
    assert gaps(contract).set_index("field").loc["attribution", "note"] == "asked in May"
    # Without an adjustment for risk there is no cap on it to ask for.
    assert "pay.risk_adjustment_cap" not in states
    total = completeness(contract).loc["All themes"]
    assert total["fields"] == total[["filled", "absent", "missing"]].sum()
    assert total["sources"] == 1
