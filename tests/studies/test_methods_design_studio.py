"""The design studio: what can be worked out by hand, rules between parameters, and files of one's own."""

import hashlib
import json

import numpy as np
import pytest

from apmkit import studies
from apmkit.contract import classify, gallery, preferred_design
from apmkit.payment import fee_for_service, ontario_fho
from apmkit.studies import StudyError
from apmkit.studies import methods_design_studio as design
from apmkit.studies import methods_design_studio_words as words

STUDY = studies.get("methods/design_studio")
SMALL = {"panel_size": 300, "seed": 3}
MINE = """name: my_blend
title: My blend
country: Canada
finance:
  payments:
    - name: capitation
      type: capitation
      linked_to_quality: false
      engine: alberta_blended_capitation
      rules: alberta
      rule_values: {capitation_share: 0.5, fee_share: 0.5}
"""


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text(MINE, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def bench():
    return design.studio(STUDY.parameters(**SMALL))


def test_the_headline_is_the_gain_of_the_sickest_fifth_of_practices_less_that_of_the_healthiest(bench):
    practices = bench.practices
    fees = fee_for_service(practices, on=bench.day).total
    fho = ontario_fho(practices, on=bench.day).total
    gain = ((fho * fees.sum() / fho.sum() - fees) / practices.n_patients).to_numpy()
    people = practices.patients
    order = people.groupby("practice")["risk_score"].mean().to_numpy().argsort()
    fifths = np.arange(len(order)) * 5 // len(order)
    row = STUDY.run(STUDY.parameters(**SMALL)).estimates["gap"].table
    high, low = gain[order[fifths == 4]].mean(), gain[order[fifths == 0]].mean()
    np.testing.assert_allclose(row["estimate"], [high - low, high, low])
    assert row["ci_low"].isna().all()


@pytest.mark.parametrize("name", list(gallery()))
def test_every_contract_of_the_gallery_has_a_page_and_a_score(name):
    parameters = STUDY.parameters(contract=name, **SMALL)
    bench, result = design.studio(parameters), STUDY.run(parameters)
    counts = preferred_design(gallery(name))["verdict"].value_counts()
    score = result.estimates["score"].table.set_index("term")["estimate"]
    assert {verdict: number for verdict, number in score.items() if number} == counts.to_dict()
    assert next(iter(bench.models)) == design.BASE
    assert 3 <= len(bench.models) <= 4
    assert bench.subject in bench.models
    assert (result.headline == "gap") == bench.simulated == (name in design.LABELS)
    assert classify(gallery(name)).category.partition(" or ")[0].removeprefix("outside ") in result.sentences[0]
    if not bench.simulated and name != "physician_fee_schedule":
        assert "is not computed for practices" in result.sentences[1]


def test_models_that_rest_on_values_in_doubt_are_marked(bench):
    assert list(bench.models) == [design.BASE, "FHO †", "FHG †", "Alberta †"]
    assert "BC LFP" in design.studio(STUDY.parameters(contract="bc_lfp", **SMALL)).models


def test_sicker_patients_have_higher_scores_cost_more_and_visit_more_but_less_than_in_proportion():
    well, sick = (design.practices_of(STUDY.parameters(mean_risk=m, **SMALL), "Canada") for m in (1.0, 1.5))
    means = {
        name: sick.patient(name).mean() / well.patient(name).mean() for name in ("risk_score", "visits", "spending")
    }
    assert means["risk_score"] == pytest.approx(1.5)
    assert means["visits"] == pytest.approx(1.5**0.5, rel=0.02)
    assert means["spending"] == pytest.approx(1.5, rel=0.05)


def test_more_unlike_practices_have_risks_further_apart():
    spread = []
    for sd in (0.0, 0.15, 0.5):
        practices = design.practices_of(STUDY.parameters(risk_spread=sd, **SMALL), "US")
        spread.append((practices.sums(practices.patient("risk_score")) / practices.n_patients).std())
    assert spread == sorted(spread)


def test_the_dial_pays_a_visit_by_the_share_that_is_left_of_its_fee():
    dials = [
        STUDY.run(STUDY.parameters(capitation_share=s, contract="ontario_fht", **SMALL)).estimates["dial"].table
        for s in (0, 0.25, 1)
    ]
    visit = [table.set_index("term").loc["visit", "estimate"] for table in dials]
    np.testing.assert_allclose(visit, np.array([1, 0.75, 0]) * visit[0], atol=0.01)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"against": "cpc_plus_track_1"},
            "of another country and currency; name one or two of ontario_fhg, ontario_fhn",
        ),
        ({"against": "ontario_fho"}, "against=ontario_fho is the contract itself; name another."),
        ({"against": "ontario_fhg,ontario_fhn,bc_lfp"}, "names 3; name one or two."),
        ({"against": "mssp_track_1"}, "against='mssp_track_1' is not allowed"),
        ({"contract": "ontario"}, "or the path of a .yml file."),
        ({"mean_risk": 3}, "mean_risk=3 is not allowed; give a number from 0.7 to 1.5."),
    ],
)
def test_parameters_that_do_not_fit_are_refused(values, sentence):
    with pytest.raises(StudyError) as refused:
        STUDY.parameters(**values)
    assert sentence in str(refused.value)


def test_a_file_of_ones_own_pays_by_its_own_values_and_the_result_keeps_its_checksum(mine, monkeypatch):
    monkeypatch.chdir(mine.parent)
    parameters = STUDY.parameters(contract="mine.yml", against="alberta_blended_capitation", **SMALL)
    bench = design.studio(parameters)
    assert bench.subject == "my blend (own file) †"
    marginal = design.marginal_of(bench, parameters, bench.models)["mean"]
    fee = marginal[design.BASE, "visit"]
    assert marginal[bench.subject, "visit"] == pytest.approx(0.5 * fee, abs=0.01)
    assert marginal["Alberta †", "visit"] == pytest.approx(0.15 * fee, abs=0.01)
    record = STUDY.run(parameters).to_dict()
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert record["data"] == {"contract": digest}
    assert digest in record["notes"][-1]
    assert json.loads(json.dumps(record))["parameters"]["contract"] == str(mine)


@pytest.mark.parametrize(
    ("was", "is_", "sentence"),
    [
        ("Canada", "US", "mine.yml: .* pays practices in Canada, but these are in US"),
        ("alberta_blended", "alberta_blend", r"did you mean alberta_blended_capitation\?$"),
        ("{capitation_share: 0.5", "{capitation_share: 50", "mine.yml: capitation_share "),
        ("{capitation_share", "{capitation_shares", "mine.yml: .*capitation_share"),
        ("rules: alberta", "rules: ontario", "mine.yml: "),
        ("linked_to_quality: false", "linked_to_quality: no", "mine.yml, line 8: YAML reads no as a truth value"),
    ],
)
def test_a_file_that_could_not_be_paid_is_refused_before_anything_runs(mine, was, is_, sentence):
    mine.write_text(MINE.replace(was, is_), encoding="utf-8")
    with pytest.raises(StudyError, match=sentence) as refused:
        STUDY.parameters(contract=mine)
    assert "\n" not in str(refused.value)


def test_the_gap_moves_with_one_choice_at_a_time_and_starts_with_the_choice_of_the_page(bench):
    parameters = STUDY.parameters(**SMALL)
    choices = design.gaps_under_other_choices(bench, parameters)
    assert choices.loc["As chosen"].equals(design.gap_of(bench).rename("As chosen"))
    np.testing.assert_allclose(choices["gap"], choices["sickest"] - choices["healthiest"])
    assert choices["gap"].nunique() == len(choices)
    assert (
        choices.loc["Practices more alike: spread 0.05", "gap"] > choices.loc["Practices less alike: spread 0.3", "gap"]
    )


def test_words_follow_the_numbers(bench):
    choices = design.gaps_under_other_choices(bench, STUDY.parameters(**SMALL))
    assert "changes its sign among" in words.ranged(
        choices.assign(gap=choices["gap"] - choices["gap"].mean()), "X", "CAD"
    )
    assert "has the same sign in all" in words.ranged(choices.assign(gap=choices["gap"].abs() + 1), "X", "CAD")
    assert words.amount(-0.5, "CAD") == "minus CAD 0.50"
    assert words.amount(-0.001, "CAD") == "CAD 0.00"
