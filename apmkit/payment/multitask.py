"""What happens to the task that is not rewarded: intermediate against global outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.options import numbers


def reward_one_task(
    rewards: Sequence[float] | None = None,
    *,
    substitution: float = 0.6,
    weight: float = 0.3,
    elasticity: float = 0.3,
) -> pd.DataFrame:
    """Effort and outcome when a payer rewards one measured task, and when it rewards the outcome itself.

    A clinician divides effort between a measured task (an intermediate outcome, such as a rate of tests) and an
    unmeasured one (listening, coordination). Without reward both are 1; effort is linear in rewards, as with a
    quadratic cost: effort = 1 + elasticity x S reward, with ones on the diagonal of S and minus `substitution` beside
    it. The global outcome is ``weight x measured + (1 - weight) x unmeasured``. A reward of the measured task lowers it
    where ``substitution > weight / (1 - weight)``: effort moves to what is paid. The same reward of the outcome pays
    each task by its weight.

    Parameters
    ----------
    rewards : array of float, optional
        Pay per unit, in units in which the unrewarded benefit of a task is one; 0 to 1 by default.
    substitution : float
        How much effort a task draws from the other, from 0 up to but not including 1. Assumed.
    weight : float
        Of the measured task in the global outcome, from 0 to 1. Assumed.
    elasticity : float
        Response of a task to its own reward, above 0. Assumed.

    Returns
    -------
    DataFrame
        By `rewarded` ("intermediate" or "global") and `reward`: `measured`, `unmeasured`, `outcome` (1 without
        reward), `paid` (reward x what it is paid for).

    Raises
    ------
    PaymentError
        A number is impossible, or a reward is so high that no effort is left for the unmeasured task.

    References
    ----------
    Holmstrom, B. and Milgrom, P. (1991), Journal of Law, Economics, & Organization 7:24-52; for providers Eggleston, K.
    (2005), Multitasking and mixed systems for provider payment, Journal of Health Economics 24:211-223.

    Examples
    --------
    >>> reward_one_task([0, 1]).query("reward == 1")["outcome"].round(3).tolist()
    [0.964, 1.098]
    """
    for name, value, low, high in (
        ("substitution", substitution, 0, 1),
        ("weight", weight, 0, 1),
        ("elasticity", elasticity, 0, np.inf),
    ):
        if not isinstance(value, Real) or not low <= value <= high or (name != "weight" and value == high):
            raise PaymentError(f"{name}={value!r} is out of range: give a number from {low} to {high:g}, such as 0.3.")
    rewards = numbers(np.linspace(0, 1, 11) if rewards is None else rewards, "rewards")
    if rewards.ndim != 1 or not len(rewards) or not (np.isfinite(rewards) & (rewards >= 0)).all():
        raise PaymentError("rewards must be a list of finite numbers of at least 0.")
    value = np.array([weight, 1 - weight])
    response = elasticity * np.array([[1, -substitution], [-substitution, 1]])
    tables = []
    for rewarded, paid_for in (("intermediate", np.array([1.0, 0.0])), ("global", value)):
        effort = 1 + rewards[:, None] * (response @ paid_for)
        if (effort < 0).any():
            raise PaymentError(
                f"A reward of {rewards.max():g} leaves less than no effort for a task that is not rewarded: give "
                "smaller rewards, elasticity or substitution."
            )
        tables.append(
            pd.DataFrame(
                {
                    "rewarded": rewarded,
                    "reward": rewards,
                    "measured": effort[:, 0],
                    "unmeasured": effort[:, 1],
                    "outcome": effort @ value,
                    "paid": rewards * (effort @ paid_for),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
