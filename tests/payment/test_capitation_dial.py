"""The dial replaces a share of fees by capitation and leaves the total where it is."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from apmkit import plots
from apmkit.errors import PaymentError
from apmkit.payment import capitation_dial, capitation_dial_table, synthetic_practices

mpl.use("Agg")


@pytest.fixture(scope="module")
def practices():
    return synthetic_practices("Ontario", n_practices=6, patients_per_physician=300, seed=4)


def test_fees_of_enrolled_patients_are_replaced_in_the_share_asked_for(practices):
    engine, terms = capitation_dial(practices, 0.3)
    table = engine(practices, **terms).table
    people = practices.patients
    enrolled = people["fees"][people["enrolled"]].sum()
    assert table["capitation"].sum() == pytest.approx(0.3 * enrolled, rel=1e-6)
    assert table["blended_fees"].sum() == pytest.approx(0.7 * enrolled, rel=1e-6)
    assert (table["negation"] == 0).all()


def test_the_positions_asked_for_are_those_of_the_table(practices):
    table = capitation_dial_table(practices, shares=(0.0, 0.15, 1.0))
    assert table.index.tolist() == [0.0, 0.15, 1.0]
    np.testing.assert_allclose(table["visit"], (1 - table.index) * table["visit"].iloc[0], atol=0.01)
    assert table["sd_within"].isna().all()


def test_rates_by_age_and_sex_alone_pay_alike_for_the_sick_and_the_well(practices):
    worse = practices.change(patients={"risk_score": practices.patient("risk_score") * 3})
    by_age, by_health = (
        engine(worse, **terms).total.sum() / engine(practices, **terms).total.sum()
        for engine, terms in (capitation_dial(practices, 1.0, health_profile=health) for health in (False, True))
    )
    assert by_age == pytest.approx(1)
    assert by_health > 1.01


@pytest.mark.parametrize("share", [-0.1, 1.5, 50, float("nan"), "half", None])
def test_what_is_no_share_is_refused_in_a_sentence(practices, share):
    with pytest.raises(PaymentError, match=r"is no share of fees: give 0\.5 for 50 %") as refused:
        capitation_dial(practices, share)
    assert "\n" not in str(refused.value)


def test_patients_without_fees_are_refused(practices):
    with pytest.raises(PaymentError, match="no fees that a rate could replace"):
        capitation_dial(practices.change(patients={"enrolled": False}), 0.5)
    with pytest.raises(PaymentError, match="Practices are needed, not str"):
        capitation_dial("practices", 0.5)


def test_the_figure_draws_every_column_and_refuses_another_table(practices):
    table = capitation_dial_table(practices, shares=(0.0, 1.0))
    ax = plots.capitation_dial(table, share=0.5)
    assert [len(panel.lines) for panel in ax.figure.axes] == [5, 3]
    plt.close("all")
    with pytest.raises(PaymentError, match="give what capitation_dial_table returns"):
        plots.capitation_dial(table.drop(columns="visit"))
