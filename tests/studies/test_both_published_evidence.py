"""The study of published evidence: what is comparable, what is pooled, and why not."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

import apmkit as apm
from apmkit import datasets, studies
from apmkit.studies import StudyError
from apmkit.studies import both_published_evidence as evidence
from apmkit.studies import both_published_evidence_figures as figures
from apmkit.studies import both_published_evidence_words as words
from apmkit.studies.both_published_evidence_rows import FAMILIES, OUTCOMES, current_rows, evidence_rows

mpl.use("Agg")
STUDY = studies.get("both/published_evidence")


@pytest.fixture
def rows():
    return current_rows()


@pytest.fixture
def defaults():
    return STUDY.parameters()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_units_are_made_alike(rows):
    effect = rows.set_index("id")["effect"]
    assert effect["US040"] == pytest.approx(-29.2 * 4)
    assert effect["US001"] == -11 * 12
    assert effect["CA012"] == pytest.approx(np.log(1.27))
    assert effect["CA002"] == pytest.approx(np.log(1.2))


def test_standard_errors_are_those_of_the_table_where_it_has_them(rows):
    same_unit = rows[rows["se"].notna() & (rows["scale"] == "log")]
    assert np.allclose(same_unit["effect_se"], same_unit["se"], atol=2e-6)
    per_year = rows.set_index("id").loc["US087"]
    assert per_year["effect_se"] == pytest.approx(per_year["se"], abs=1e-4)


def test_every_row_has_a_known_family_outcome_and_verdict(rows):
    assert set(rows["family"]) <= set(FAMILIES)
    assert set(rows["outcome_group"]) <= set(OUTCOMES)
    assert rows["verdict"].value_counts().to_dict() == {
        **{"better": 46, "unclear": 20, "not tested": 19, "context": 15},
        **{"worse": 9, "either way": 6, "retracted": 1},
    }


def test_one_group_of_the_table_can_be_pooled(rows, defaults):
    groups = evidence.group_table(rows, defaults)
    poolable = groups[groups["why_not"] == ""]
    assert poolable[["family", "outcome_group", "rows", "programmes"]].to_numpy().tolist() == [
        ["Blended capitation", "Emergency visits", 3, 2]
    ]
    assert groups["rows"].sum() == len(rows)


def test_the_mean_is_the_multilevel_one_shown_in_percent(rows, defaults):
    log = np.log([1.2, 1.27, 1.10])
    width = np.log(np.array([1.25, 1.31, 1.13]) / [1.15, 1.23, 1.07])
    frame = pd.DataFrame({"estimate": log, "se": width / (2 * 1.959964), "study": ["a", "b", "b"]})
    with pytest.warns(apm.errors.DesignWarning):
        expected = apm.multilevel_meta_analysis(frame, study="study").table.iloc[0]
    found = evidence.pool(rows, defaults).table.iloc[0]
    assert found["estimate"] == pytest.approx(100 * np.expm1(expected["estimate"]), rel=1e-6)
    assert found["ci_high"] == pytest.approx(100 * np.expm1(expected["ci_high"]), rel=1e-5)


def test_the_average_of_a_programme_has_the_variance_of_correlated_errors():
    data = pd.DataFrame({"label": ["x", "y"], "program": "p", "estimate": [1.0, 3.0], "se": [0.3, 0.4]})
    row = evidence.composites(data, correlation=0.5).iloc[0]
    assert (row["estimate"], row["se"] ** 2) == (2.0, pytest.approx((0.09 + 0.16 + 2 * 0.5 * 0.12) / 4))


def test_a_prediction_interval_is_wider_than_that_of_the_mean(rows, defaults):
    found = evidence.pool(rows, defaults)
    low, high = found.details["prediction"].loc[0, ["low", "high"]]
    mean = found.table.iloc[0]
    assert low < mean["ci_low"] < mean["estimate"] < mean["ci_high"] < high


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"group": "shared_savings_spending"}, "no row has a standard error to rely on"),
        ({"group": "cpc_spending"}, "all usable rows are of one programme"),
        ({"group": "capitation_after_hours"}, "one usable row"),
        ({"method": "DL"}, "dependence=multilevel needs method=REML"),
        ({"method": "fixed", "dependence": "composite"}, "use small_sample=false"),
    ],
)
def test_what_cannot_be_pooled_is_refused_with_the_reason(choice, reason):
    with pytest.raises(StudyError, match=reason):
        STUDY.parameters(**choice)


def test_a_retracted_or_narrow_row_is_never_usable(rows, defaults):
    reasons = evidence.why_not(rows, defaults).set_axis(rows["id"])
    assert reasons["US056"] == "the article was retracted"
    assert reasons["CA084"] == "its interval is narrower than 5 units of its last digit"
    assert reasons["CA034"] == "a level, a trend, an association or a review"
    assert reasons["CA002"] == ""


def test_rows_on_which_the_readings_differ_can_be_dropped(rows):
    told = rows.set_index("id")["second_reading"]
    assert told["CA004"].startswith("estimate -6.5, not -6")
    assert told[["CA002", "US001"]].tolist() == ["agrees", "none"]


def test_a_third_programme_narrows_the_prediction(rows, defaults):
    table = datasets.load("published_effects")
    new = table.query("id == 'CA012'").assign(id="X001", program="invented", estimate=-5.0, ci_low=-12.0, ci_high=3.0)
    with_new = evidence_rows(pd.concat([table, new.assign(interval_steps=15)], ignore_index=True))
    before, after = (evidence.pool(t, defaults) for t in (rows, with_new))
    assert after.diagnostics["programmes"] == 3
    assert after.table["estimate"][0] < before.table["estimate"][0]
    assert after.details["prediction"]["high"][0] < before.details["prediction"]["high"][0]


def test_a_model_that_the_table_does_not_know_is_a_family_of_its_own(defaults):
    new = datasets.load("published_effects").query("id == 'CA012'").assign(id="X001", model="something new")
    table = evidence_rows(pd.concat([datasets.load("published_effects"), new], ignore_index=True))
    assert table.set_index("id").loc["X001", "family"] == "something new"
    figures.gap_map(table)


def test_the_sentence_says_where_all_rows_are_from_and_when_no_variance_was_found(rows):
    nested, averaged = (STUDY.run(STUDY.parameters(dependence=way)).sentences for way in ("multilevel", "composite"))
    assert nested[0].endswith("from 3 estimates of 2 programmes, all in Ontario.")
    assert nested[1].startswith("The effect of another programme may lie anywhere from -52.3% to")
    assert averaged[1].endswith("with 2 programmes that is close to a guess.")
    fixed = STUDY.run(STUDY.parameters(dependence="independent", method="fixed", small_sample=False))
    assert "nothing to predict" in fixed.sentences[1]


def test_the_default_mean_is_that_of_a_likelihood_written_out():
    """Nothing between programmes: the restricted likelihood of the variance within them, by its formula."""
    low, y, high = np.log([[1.15, 1.2, 1.25], [1.23, 1.27, 1.31], [1.07, 1.1, 1.13]]).T
    variance = ((high - low) / (2 * 1.959963985)) ** 2

    def likelihood(within):
        weight = 1 / (variance + within)
        mean = (weight * y).sum() / weight.sum()
        return np.log(variance + within).sum() + np.log(weight.sum()) + (weight * (y - mean) ** 2).sum()

    within = minimize_scalar(likelihood, bounds=(1e-6, 0.1), method="bounded", options={"xatol": 1e-12}).x
    weight = 1 / (variance + within)
    mean = STUDY.run().estimates["mean"]
    assert mean.table["estimate"][0] == pytest.approx(100 * np.expm1((weight * y).sum() / weight.sum()), abs=1e-4)
    found = mean.details["heterogeneity"]["estimate"]
    assert found["tau2 between studies"] == pytest.approx(0, abs=1e-8)
    assert found["tau2 within studies"] == pytest.approx(within, rel=1e-5)


def test_figures_and_words_hold_for_p_values_too(rows):
    parameters = STUDY.parameters(group="shared_savings_spending", uncertainty="exact_p_values", sources="all")
    found = evidence.pool(rows, parameters)
    group = evidence.GROUPS["shared_savings_spending"]
    figures.forest_rows(rows, parameters, group)
    figures.forests(rows, parameters, evidence.GROUPS)
    figures.rounding(rows, parameters)
    assert "USD -87 per person-year" in evidence.sentences(found, group)[0]
    assert words.zero_sentence(found, group) == "The interval includes no effect."
    assert "p = " in words.egger_sentence(rows, parameters)
    assert len(words.by_dependence(rows, parameters)) == 6


def test_living_table_has_every_row_and_a_reason_for_most(rows, defaults):
    table = figures.living_table(rows, defaults)
    assert len(table) == 116
    assert (table["Effect"] == "in words only").sum() == rows["estimate"].isna().sum()
