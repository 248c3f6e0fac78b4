"""Models are compared on the same patients: sums, variances, groups and marginal pay worked by hand."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import (
    Payment,
    Practices,
    alberta_blended_capitation,
    bc_lfp,
    compare_models,
    cpc_plus,
    fee_for_service,
    marginal_revenue,
    ontario_fhg,
    ontario_fho,
    primary_care_first,
    rulebook,
    salary,
    synthetic_practices,
)
from apmkit.plots import payment as figures

mpl.use("Agg")
ON = "2014-04-01"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def fees(practices, share=1.0):
    """Fees, in part."""
    return paid(practices, share * practices.sums(practices.patient("fees")))


def capitation(practices, rate=100.0, most=np.inf):
    """So much a patient on the roster, up to a cap for a practice, less what is billed elsewhere."""
    rosters = practices.sums(practices.patient("enrolled") * rate)
    return paid(practices, np.minimum(rosters, most) - practices.sums(practices.patient("fees_elsewhere")))


def paid(practices, amounts):
    return Payment.from_components(
        model="A model", currency=practices.currency, components={"all": amounts}, index=practices.index
    )


@pytest.fixture
def four():
    """Two practices of two patients, one of whom is not on the roster."""
    patients = pd.DataFrame(
        {
            "practice": ["A", "A", "B", "B"],
            "age": [20, 40, 60, 80],
            "sex": ["F", "M", "F", "M"],
            "risk_score": [0.4, 0.6, 1.2, 1.8],
            "enrolled": [True, False, True, True],
            "visits": [1, 1, 4, 2],
            "visits_after_hours": [0, 0, 1, 0],
            "visits_elsewhere": [2, 0, 0, 0],
            "fees": [50.0, 30.0, 250.0, 110.0],
            "fees_after_hours": [0.0, 0.0, 60.0, 0.0],
            "fees_elsewhere": [70.0, 0.0, 0.0, 0.0],
        }
    )
    table = pd.DataFrame({"practice": ["A", "B"], "physicians": [1, 2], "hours": [100.0, 200.0]})
    return Practices(patients, table, country="Canada")


@pytest.fixture(scope="module")
def ontario():
    return synthetic_practices("Ontario", n_practices=10, patients_per_physician=200, seed=1)


def test_revenue_and_its_summary_by_hand(four):
    comparison = compare_models(four, {"fees": fees, "capitation": (capitation, {"rate": 200})})
    assert comparison.revenue.loc["A"].tolist() == [80, 130]
    assert comparison.revenue.loc["B"].tolist() == [360, 400]
    summary = comparison.summary.loc["capitation"]
    assert summary["total"] == 530
    assert summary["per_patient"] == pytest.approx(132.5)
    assert summary["per_physician"] == pytest.approx(530 / 3)
    assert summary["sd_between"] == pytest.approx(np.std([65, 200], ddof=1))
    assert summary["gain"] == 90
    assert summary["gainers"] == 1
    assert np.isnan(summary["sd_within"])
    assert comparison.changes["capitation"].tolist() == [25, 20]


def test_gains_are_measured_against_the_base_asked_for(four):
    models = {"fees": fees, "capitation": (capitation, {"rate": 200})}
    one, other = (compare_models(four, models, base=base) for base in models)
    np.testing.assert_allclose(one.changes["capitation"], -other.changes["fees"])


@pytest.mark.parametrize(("by", "lows"), [("risk", [0.5, 1.5]), ("age", [30, 70]), ("outside_use", [0, 0.5])])
def test_gains_by_groups_of_practices(four, by, lows):
    gains = compare_models(four, {"fees": fees, "capitation": (capitation, {"rate": 200})}).gains(by, groups=2)
    assert gains.loc["capitation", "low"].tolist() == pytest.approx(lows)
    expected = [20, 25] if by == "outside_use" else [25, 20]
    assert gains.loc["capitation", "change"].tolist() == pytest.approx(expected)
    assert (gains["practices"] == 1).all()


def test_groups_keep_the_order_of_models_and_of_risk(ontario):
    gains = compare_models(ontario, {"z": fees, "y": (fees, {"share": 0.5}), "a": (fees, {"share": 2})}).gains()
    assert gains.index.tolist() == [(model, group) for model in "ya" for group in range(1, 6)]
    assert gains.loc["a", "low"].is_monotonic_increasing
    assert (gains.loc["y", "gainers"] == 0).all()
    assert (gains.loc["a", "gainers"] == 1).all()


def test_capitation_shifts_chance_from_the_practice_and_fees_leave_it(ontario):
    def year(draw):
        return synthetic_practices("Ontario", n_practices=10, patients_per_physician=200, seed=1, year=draw)

    def roster(practices):
        return paid(practices, practices.sums(practices.patient("enrolled")))

    models = {"roster": roster, "fees": fees, "half": (fees, {"share": 0.5})}
    within = compare_models(ontario, models, draws=6, redraw=year).summary["sd_within"]
    assert within["roster"] == 0
    assert within["fees"] > 0
    assert within["half"] == pytest.approx(within["fees"] / 2, rel=1e-3)


def test_patients_drawn_again_vary_as_the_mean_of_patients_does(ontario):
    within = compare_models(ontario, {"fees": fees}, draws=200, seed=5).within["fees"]
    by_practice = ontario.patients.groupby("practice")["fees"]
    expected = by_practice.std() * np.sqrt(ontario.n_patients)
    np.testing.assert_allclose(within / expected, 1, atol=0.25)
    again = compare_models(ontario, {"fees": fees}, draws=3, seed=5).within
    pd.testing.assert_frame_equal(again, compare_models(ontario, {"fees": fees}, draws=3, seed=5).within)


def test_marginal_pay_by_hand(four):
    models = {"fees": fees, "capitation": (capitation, {"rate": 200})}
    table = marginal_revenue(four, models, patients=1)
    # Mean fee of a visit: 80 / 2 in A, 360 / 6 in B. The only patient on the roster of A has fees of 50.
    assert table.loc[("fees", "visit")].tolist() == [50, 40, 60]
    assert table.loc[("fees", "visit_after_hours")].tolist() == [50, 40, 60]
    assert table.loc[("fees", "visit_elsewhere")].tolist() == [0, 0, 0]
    assert table.loc[("capitation", "visit")].tolist() == [0, 0, 0]
    assert table.loc[("capitation", "visit_elsewhere")].tolist() == [-50, -60, -40]
    assert table.loc[("capitation", "enrolled_patient"), "lowest"] == 130
    assert table.loc[("capitation", "enrolled_patient"), "highest"] == 200
    assert table.loc[("fees", "enrolled_patient"), "lowest"] == 50


def test_marginal_pay_stops_at_a_cap(four):
    table = marginal_revenue(four, {"capped": (capitation, {"rate": 200, "most": 200})}, patients=1)
    assert table.loc[("capped", "enrolled_patient"), "highest"] == 0


def test_no_model_of_canada_reads_an_emergency_visit_and_a_model_that_does_is_seen(ontario):
    def by_emergency(practices):
        return paid(practices, -100 * practices.sums(practices.patient("ed_visits")))

    models = {"FHO": (ontario_fho, {"on": ON}), "LFP": (bc_lfp, {"on": "2024-04-01"}), "charged": by_emergency}
    table = marginal_revenue(ontario, models).xs("emergency_visit", level="change")
    assert table["mean"].to_dict() == {"FHO": 0, "LFP": 0, "charged": -100}


def test_a_visit_takes_hours_where_hours_are_paid(four):
    def hourly(practices):
        return paid(practices, 100 * practices.practice("hours"))

    table = marginal_revenue(four, {"hourly": hourly}, hours_per_visit=0.2, patients=7)
    assert table.loc[("hourly", "visit")].tolist() == pytest.approx([20, 20, 20])
    assert table.loc[("hourly", "visit_elsewhere"), "mean"] == 0


def test_changes_of_columns_that_are_absent_are_left_out(four):
    few = Practices(four.patients[["practice", "age", "sex", "visits", "fees"]], four.practices, country="Canada")
    assert marginal_revenue(few, {"fees": fees}).index.get_level_values("change").tolist() == [
        "visit",
        "enrolled_patient",
    ]


def test_a_model_may_have_any_name(four):
    models = {"all": fees, "group": (fees, {"share": 0.5}), "by": (fees, {"share": 2})}
    gains = compare_models(four, models).gains("risk", groups=2)
    assert gains.loc["group", "change"].tolist() == [-20, -90]
    assert gains.loc["by", "change"].tolist() == [40, 180]
    assert gains["low"].tolist() == [0.5, 1.5] * 2


def test_the_models_of_canada_pay_for_what_they_say(ontario):
    models = {
        "FFS": (fee_for_service, {"on": ON}),
        "FHG": (ontario_fhg, {"on": ON}),
        "FHO": (ontario_fho, {"on": ON}),
        "Salary": (salary, {"on": ON, "salary": 250_000}),
        "Alberta": (alberta_blended_capitation, {"on": "2018-04-01"}),
        "LFP": (bc_lfp, {"on": "2024-04-01"}),
    }
    marginal = marginal_revenue(ontario, models)
    table = marginal["mean"].unstack("change")
    fee = table.loc["FFS", "visit"]
    terms = rulebook("ontario").on(ON)
    shadow, premium = terms["shadow_billing_premium"], terms["after_hours_premium"]
    assert table.loc["FHO", "visit"] == pytest.approx(shadow * fee, abs=0.01)
    assert table.loc["FHO", "visit_after_hours"] == pytest.approx((shadow + premium) * fee, abs=0.01)
    assert table.loc["FHG", "visit"] == pytest.approx((1 + terms["fhg.comprehensive_premium"]) * fee, abs=0.01)
    assert -fee - 0.01 <= table.loc["FHO", "visit_elsewhere"] < 0
    assert (table["emergency_visit"] == 0).all()
    assert table.loc["Alberta", "visit_elsewhere"] == pytest.approx(-fee, abs=0.01)
    assert table.loc["LFP", "visit"] == pytest.approx(25 + 130 / 4)
    assert (table.loc["Salary"] == 0).all()
    assert (table.loc[["FHO", "Alberta"], "enrolled_patient"] > 100).all()
    comparison = compare_models(ontario, models)
    assert any(note.startswith("FHO: ") for note in comparison.notes)
    assert any("FHO: This rests on values that are" in note for note in marginal.attrs["notes"])
    assert comparison.notes.count(ontario.notes[0]) == 1


def test_the_models_of_the_us_run_on_its_patients():
    practices = synthetic_practices("US", n_practices=6, patients_per_physician=200, seed=2)
    models = {
        "FFS": (fee_for_service, {"on": "2018-01-01"}),
        "CPC+ 1": (cpc_plus, {"on": "2018-01-01", "track": 1}),
        "CPC+ 2": (cpc_plus, {"on": "2018-01-01", "track": 2}),
        "PCF": (primary_care_first, {"on": "2022-01-01"}),
    }
    table = marginal_revenue(practices, models)["mean"].unstack("change")
    assert table.loc["PCF", "visit"] < table.loc["CPC+ 1", "visit"] == pytest.approx(table.loc["FFS", "visit"], 1e-3)
    assert (compare_models(practices, models).summary["gain"].iloc[1:] > 0).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: compare_models(p, {}), "at least one model"),
        (lambda p: compare_models(p, [fees]), "at least one model"),
        (lambda p: compare_models(p, {"fees": "fees"}), "'fees' is no function"),
        (lambda p: compare_models(p, {"fees": (fees, "2018-01-01")}), "'fees' is no function"),
        (lambda p: compare_models(p, {"FHO": ontario_fho}), "cannot be called: missing a required .*argument: 'on'"),
        (lambda p: compare_models(p, {"FHO": (ontario_fho, {"onn": "2014-04-01"})}), "cannot be called"),
        (lambda p: compare_models(p, {"fees": fees}, base=["fees"]), "is not among the models"),
        (lambda p: compare_models(p, {"fees": fees}, draws=2, redraw=7), "redraw is of type int"),
        (lambda p: marginal_revenue(p, {"fees": fees}, patients=True), "patients=True"),
        (lambda p: compare_models(None, {"fees": fees}), "Practices are needed"),
        (lambda p: marginal_revenue(p.patients, {"fees": fees}), "Practices are needed"),
        (lambda p: compare_models(p, {"fees": fees}, base="FHO"), "'FHO' is not among the models: fees"),
        (lambda p: compare_models(p, {"fees": fees}, draws=1), "at least 2"),
        (lambda p: compare_models(p, {"fees": fees}, draws=2, redraw=lambda d: synthetic_practices()), "Draw 1"),
        (lambda p: compare_models(p, {"total": lambda q: 3}), "does not return a Payment"),
        (lambda p: compare_models(p, {"fees": fees}).gains("income"), "risk, age or outside_use"),
        (lambda p: compare_models(p, {"fees": fees}).gains(groups=3), "groups=3 do not fit 2 practices"),
        (lambda p: marginal_revenue(p, {"fees": fees}, patients=0), "patients=0"),
        (lambda p: marginal_revenue(p, {"fees": fees}, hours_per_visit=-1), "hours_per_visit=-1"),
        (lambda p: marginal_revenue(p.change({"enrolled": [0, 0, 1, 1]}), {"fees": fees}), "Practice A has no enr"),
        (lambda p: compare_models(p, {"fees": fees}).plot(), "only the base"),
        (lambda p: compare_models(p, {"fees": fees}).gains(groups=2), "only the base"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(four, call, words):
    with pytest.raises(ApmkitError, match=words) as error:
        call(four)
    assert "\n" not in str(error.value)


def test_models_of_another_country_are_refused(four):
    def dollars(practices):
        return Payment.from_components(
            model="US", currency="USD", components={"all": np.ones(2)}, index=practices.index
        )

    with pytest.raises(PaymentError, match="pays in USD, but these practices are paid in CAD"):
        compare_models(four, {"US": dollars})


def test_the_figure_of_gains_shows_each_practice(four):
    comparison = compare_models(four, {"fees": fees, "capitation": (capitation, {"rate": 200})})
    ax = comparison.plot("risk")
    points = next(line for line in ax.lines if line.get_marker() == "o").get_xydata()
    np.testing.assert_allclose(points, [[0.5, 25], [1.5, 20]])
    assert ax.get_ylabel() == "Gain against fees, CAD per patient"


def test_the_figure_of_marginal_pay_has_a_bar_for_each_model_and_change(four):
    table = marginal_revenue(four, {"fees": fees, "capitation": capitation}, patients=1)
    ax = figures.marginal_revenue(table, currency="CAD")
    by_change = table["mean"].unstack("model", sort=False)[["fees", "capitation"]]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx(by_change.to_numpy().ravel().tolist())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fees", "capitation"] * 4


def test_the_figure_of_a_payment_ends_at_its_total(ontario):
    payment = ontario_fho(ontario, on=ON)
    bars = payment.plot().patches
    assert bars[-1].get_width() == pytest.approx(payment.total.sum())
    assert bars[-2].get_x() + bars[-2].get_width() == pytest.approx(payment.total.sum())


def test_at_the_same_total_one_factor_for_each_model_gives_all_the_total_of_the_base():
    practices = synthetic_practices("Ontario", n_practices=6, patients_per_physician=100, seed=1)
    models = {"fees": (fee_for_service, {"on": "2019-04-01"}), "FHO": (ontario_fho, {"on": "2019-04-01"})}
    before = compare_models(practices, models, draws=2)
    after = before.at_same_total()
    np.testing.assert_allclose(after.revenue.sum(), before.revenue["fees"].sum())
    for table in ("revenue", "within"):
        ratio = getattr(after, table) / getattr(before, table)
        np.testing.assert_allclose(ratio, ratio.iloc[[0]].to_numpy().repeat(len(ratio), axis=0))
        assert (ratio["fees"] == 1).all()
    nothing = compare_models(practices, {"none": (salary, {"on": "2019-04-01", "salary": 0})})
    with pytest.raises(PaymentError, match=r"Model 'none' pays 0\.00 in all"):
        nothing.at_same_total()
