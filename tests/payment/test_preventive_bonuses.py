import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmkit.errors import PaymentError
from apmkit.payment import rulebook
from apmkit.payment.preventive_bonuses import preventive_bonus

STEPS = {
    name: history.history[-1].value
    for name, history in rulebook("ontario").parameters.items()
    if name in {f"preventive.{kind}" for kind in ("flu65", "pap", "mammogram", "child_immunisation", "colorectal")}
}


@pytest.mark.parametrize("name", STEPS)
def test_each_step_is_paid_from_its_share_on_and_not_before(name):
    before = 0
    for step in STEPS[name]:
        below, at = preventive_bonus([step["at_least"] - 1e-6, step["at_least"]], STEPS[name])
        assert (below, at) == (before, step["bonus"])
        before = step["bonus"]


@given(st.lists(st.floats(0, 1), min_size=2))
def test_a_higher_rate_is_never_paid_less(rates):
    for steps in STEPS.values():
        assert (np.diff(preventive_bonus(sorted(rates), steps)) >= 0).all()


def test_a_share_that_arithmetic_leaves_just_below_the_step_is_paid():
    assert preventive_bonus([0.1 + 0.2 + 0.3 + 0.1 - 1e-16], STEPS["preventive.flu65"]).item() == 770


@pytest.mark.parametrize("steps", [[], [{"at_least": 0.6}], [0.6], [{"at_least": 0.6, "bonus": None}]])
def test_steps_without_their_share_or_bonus_are_refused(steps):
    with pytest.raises(PaymentError, match="Each row of a preventive bonus needs the numbers at_least and bonus"):
        preventive_bonus([0.7], steps)


@pytest.mark.parametrize("shares", [(0.8, 0.6), (0.6, 0.6), (0.6, 80)])
def test_steps_that_do_not_rise_or_are_no_shares_are_refused(shares):
    with pytest.raises(PaymentError, match="must rise from above 0 to at most 1"):
        preventive_bonus([0.7], [{"at_least": share, "bonus": 220} for share in shares])
