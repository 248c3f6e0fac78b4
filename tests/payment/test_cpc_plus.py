"""CPC+ pays by the published tiers; a second, plain implementation pays the same."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import PaymentError
from apmkit.payment import Practices, cpc_plus, fee_for_service, rulebook
from apmkit.payment.rulebook import RulesError

RULES = rulebook("cpc_plus")
REGION = [0.4, 0.8, 1.2, 1.6, 2.0]  # quartiles 0.8, 1.2, 1.6; nine tenths at 1.84


def year(country="US", **columns):
    patients = {
        "practice": ["A", "A", "B", "B", "B", "B"],
        "age": 70,
        "sex": "F",
        "risk_score": [0.8, 0.9, 1.5, 1.7, 1.9, 1.9],
        "enrolled": [True, True, True, True, True, False],
        "months": [12, 6, 12, 12, 12, 12],
        "fees": [500.0, 300.0, 100.0, 100.0, 100.0, 1000.0],
    }
    practices = pd.DataFrame({"practice": ["A", "B"], "physicians": [1, 1]})
    return Practices(pd.DataFrame(patients | columns), practices, country=country)


def simulated(seed, n=60):
    random = np.random.default_rng(seed)
    patients = pd.DataFrame(
        {
            "practice": random.permutation(np.arange(n) % 3),
            "age": 70,
            "sex": "F",
            "risk_score": random.lognormal(0, 0.7, n),
            "enrolled": random.random(n) < 0.8,
            "months": random.integers(0, 13, n),
            "fees": random.gamma(2, 200, n).round(2),
            "dementia": random.random(n) < 0.1,
        }
    )
    return Practices(patients, pd.DataFrame({"practice": [2, 0, 1], "physicians": [1, 2, 3]}), country="US")


def test_track_1_worked_by_hand():
    paid = cpc_plus(year(), on="2018-06-01", region_risk=REGION, quality=0.6, utilisation=0.0)
    # A: tier 1 (a score at the limit is below it) for 12 months, tier 2 for 6: 12 x 6 + 6 x 8 = 120.
    # B: tier 3 and twice tier 4: 12 x 16 + 24 x 30 = 912; the patient who is not attributed brings fees only.
    assert paid.table["care_management_fee"].tolist() == [120, 912]
    # 18 and 36 months x 2.50 in advance; repaid are 40 % of 1.25 and all of the other 1.25.
    assert paid.table["incentive_in_advance"].tolist() == [45, 90]
    assert paid.table["incentive_repaid"].tolist() == [-(18 * 0.5 + 18 * 1.25), -(36 * 0.5 + 36 * 1.25)]
    assert paid.table["fees_in_basket"].tolist() == [800, 1300]
    assert paid.total.tolist() == [800 + 120 + 45 - 31.5, 1300 + 912 + 90 - 63]
    assert paid.details[["tier_1", "tier_2", "tier_3", "tier_4"]].to_numpy().tolist() == [[1, 1, 0, 0], [0, 0, 1, 2]]
    assert paid.details["mean_fee"].tolist() == [120 / 18, 912 / 36]


def test_track_2_worked_by_hand():
    paid = cpc_plus(year(), on="2019-01-01", track=2, region_risk=REGION, upfront_share=0.4)
    # B: tier 3, tier 4 and complex (1.9 is above 1.84): 12 x (19 + 33 + 100) = 1,824.
    assert paid.table["care_management_fee"].tolist() == [12 * 9 + 6 * 11, 1824]
    assert paid.table["incentive_in_advance"].tolist() == [18 * 4, 36 * 4]
    # 40 % of claims of the attributed (800 and 300) are not paid; 1.1 times that is paid upfront.
    assert paid.table["claims_reduction"].tolist() == [-320, -120]
    assert paid.table["upfront_payment"].tolist() == [352, 132]
    assert "track2.upfront_shares" in " ".join(paid.unconfirmed)


def test_dementia_puts_a_beneficiary_into_the_complex_tier_of_track_2_only():
    with_dementia = year(dementia=[True, False, False, False, False, False])
    second = cpc_plus(with_dementia, on="2019-01-01", track=2, region_risk=REGION)
    assert second.table["care_management_fee"]["A"] == 12 * 100 + 6 * 11
    first = cpc_plus(with_dementia, on="2019-01-01", region_risk=REGION)
    assert first.table["care_management_fee"]["A"] == 12 * 6 + 6 * 8


def test_on_a_regions_own_quartiles_the_mean_fees_are_those_that_cms_published():
    n = 1000
    patients = pd.DataFrame({"practice": 1, "age": 70, "sex": "M", "fees": 1.0, "risk_score": np.linspace(0.1, 3, n)})
    region = Practices(patients, pd.DataFrame({"practice": [1], "physicians": [9]}), country="US")
    assert cpc_plus(region, on="2017-01-01").details["mean_fee"].item() == 15
    # 0.25 x (9 + 11 + 19) + 0.15 x 33 + 0.1 x 100; the published 28 also counts dementia below the top tenth.
    assert cpc_plus(region, on="2017-01-01", track=2).details["mean_fee"].item() == pytest.approx(24.7)


def test_a_further_visit_pays_less_when_a_part_is_paid_upfront_from_history():
    def more(fee, **options):
        before, after = (
            cpc_plus(
                year(fees=[500.0 + extra, 300, 100, 100, 100, 1000]), on="2019-01-01", region_risk=REGION, **options
            )
            for extra in (0.0, fee)
        )
        return after.total["A"] - before.total["A"]

    assert more(100) == pytest.approx(100)
    assert more(100, track=2, upfront_share=0.65, expected_fees=[800, 300]) == pytest.approx(35)
    # Without history the advance follows the year's own fees.
    assert more(100, track=2, upfront_share=0.65) == pytest.approx(100 - 65 + 1.1 * 65)


def test_without_a_share_track_2_pays_the_lowest_on_offer_that_year():
    shares = [cpc_plus(year(), on=f"{y}-07-01", track=2).details["upfront_share"].iloc[0] for y in (2017, 2018, 2019)]
    assert shares == [0.1, 0.25, 0.4]


def plain(practices, track, share, quality, utilisation):
    """The same rules once more, patient by patient, without NumPy's quantiles or sums."""
    rows = practices.patients.to_dict("records")
    scores = sorted(row["risk_score"] for row in rows if row["enrolled"])

    def limit(part):
        place = part * (len(scores) - 1)
        below = int(place)
        above = min(below + 1, len(scores) - 1)
        return scores[below] + (place - below) * (scores[above] - scores[below])

    fees = {1: [6, 8, 16, 30], 2: [9, 11, 19, 33, 100]}[track]
    limits = [limit(0.25), limit(0.5), limit(0.75)] + ([limit(0.9)] if track == 2 else [])
    incentive = {1: 1.25, 2: 2.0}[track]
    totals = dict.fromkeys(practices.index, 0.0)
    for row in rows:
        total = row["fees"]
        if row["enrolled"]:
            tier = sum(row["risk_score"] > bound for bound in limits)
            if track == 2 and row["dementia"]:
                tier = 4
            total += row["months"] * (fees[tier] + incentive * quality + incentive * utilisation)
            if track == 2:
                total += share * 1.1 * row["fees"] - share * row["fees"]
        totals[row["practice"]] += total
    return list(totals.values())


@given(
    seed=st.integers(0, 10_000),
    track=st.sampled_from([1, 2]),
    quality=st.floats(0, 1),
    utilisation=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_a_plain_second_implementation_pays_the_same(seed, track, quality, utilisation):
    practices = simulated(seed)
    options = {"upfront_share": 0.65} if track == 2 else {}
    paid = cpc_plus(practices, on="2020-01-01", track=track, quality=quality, utilisation=utilisation, **options)
    assert paid.total.to_numpy() == pytest.approx(plain(practices, track, 0.65, quality, utilisation), abs=0.04)
    # To the cent: the total is the sum of the components.
    cents = np.rint(paid.table * 100).astype(int)
    assert (cents[paid.components].sum(axis=1) == cents["total"]).all()
    assert (paid.table["incentive_repaid"] <= 0).all()
    assert (paid.table["incentive_in_advance"] + paid.table["incentive_repaid"] >= 0).all()


@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_another_currency_scales_every_component(seed, factor):
    practices, book = simulated(seed), rulebook("cpc_plus")
    scaled = book.with_values(
        {
            "track2.care_management_fee": [factor * fee for fee in (9, 11, 19, 33, 100)],
            "track2.incentive_quality": 2 * factor,
            "track2.incentive_utilisation": 2 * factor,
        }
    )
    before = cpc_plus(practices, on="2019-01-01", track=2, quality=0.3)
    other = practices.change(patients={"fees": practices.patients["fees"] * factor})
    after = cpc_plus(other, on="2019-01-01", track=2, quality=0.3, rules=scaled)
    assert after.table.to_numpy() == pytest.approx(factor * before.table.to_numpy(), abs=0.05 * (1 + factor))


def test_a_better_practice_repays_less():
    repaid = [
        cpc_plus(year(), on="2018-01-01", quality=share).table["incentive_repaid"]["A"] for share in (0, 0.2, 0.7, 1)
    ]
    assert repaid == sorted(repaid)
    assert repaid[-1] == 0


def test_fees_for_service_are_the_same_as_without_the_model():
    paid, fees = cpc_plus(year(), on="2018-01-01"), fee_for_service(year(), on="2018-01-01")
    assert paid.table["fees_in_basket"].equals(fees.table["fees_in_basket"])


def test_small_practices_are_named():
    assert any("2 practices (first A) have fewer than 125" in note for note in cpc_plus(year(), on="2018-01-01").notes)


@pytest.mark.parametrize("day", ["2016-12-31", "2022-01-01"])
def test_the_model_pays_in_its_five_years_only(day):
    with pytest.raises(RulesError, match="was not in force"):
        cpc_plus(year(), on=day)


@pytest.mark.parametrize(
    ("practices", "options", "sentence"),
    [
        (year(), {"track": 3}, "CPC+ has no track 3; write 1 or 2"),
        (year("Canada"), {}, "pays practices in US, but these are in Canada"),
        (year(), {"quality": 73}, "quality is 73, but must be from 0 to 1; write 0.73 for 73 %"),
        (year(), {"utilisation": [-0.1, 1]}, "utilisation is -0.1, but must be from 0 to 1."),
        (year(), {"upfront_share": 0.4}, "Track 1 pays nothing upfront"),
        (
            year(),
            {"track": 2, "upfront_share": 0.3},
            "upfront_share=0.3 was not on offer on 2019-01-01; choose one of 0.4",
        ),
        (year(), {"track": 2, "expected_fees": [1, -5]}, "expected_fees is -5"),
        (year(), {"region_risk": []}, "region_risk must hold risk scores above 0"),
        (year(), {"rules": {"fee": 6}}, "rules is of type dict; give a Rulebook"),
        (year(), {"rules": rulebook("cpc_plus").with_values({"tier_limits": [0.5]})}, "has 4 fees for 2 tiers"),
        (year(), {"rules": RULES.with_values({"tier_limits": [0.75, 0.5, 0.25]})}, "let them rise between 0 and 1"),
        (year(), {"rules": RULES.with_values({"tier_limits": [25, 50, 75]})}, "let them rise between 0 and 1"),
        (
            year(),
            {"rules": RULES.with_values({"track1.care_management_fee": [6, "8", -16, 30]})},
            "numbers of 0 or more",
        ),
        (year(), {"track": 2, "rules": RULES.with_values({"track2.upfront_shares": []})}, "must be a list of numbers"),
        (year(), {"track": np.array([1, 2])}, "CPC+ has no track"),
        (year(), {"track": 2, "upfront_share": np.array([0.4, 0.65])}, "was not on offer"),
        (year(enrolled=False), {}, "No patient is attributed"),
        (year(risk_score=[0.0] * 6), {}, "risk_score of patients is 0 in row 1; it must be above 0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(practices, options, sentence):
    with pytest.raises(PaymentError) as caught:
        cpc_plus(practices, on="2019-01-01", **options)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
