"""How physicians change their work when pay changes: a model of two tasks, calibrated to two studies that disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from apmkit.errors import PaymentError
from apmkit.options import check_level, check_seed
from apmkit.payment.inputs import check_practices
from apmkit.payment.practices import Practices
from apmkit.payment.result import doubts
from apmkit.payment.rulebook import Rulebook, pooled, rules_on

if TYPE_CHECKING:
    import datetime

# By scenario: source, and each outcome's relative change from FHG to FHO with its 95 % interval, if one is given.
_STUDIES = {
    "some_2020": (
        "Somé, Devlin, Mehta, Zaric and Sarma (2020), Health Economics: physicians who switch, 2006-2014; per year, no "
        "intervals in the abstract",
        {
            "services": (-0.15, None),
            "after_hours": (0.08, None),
            "outside_basket": (0.15, None),
            "not_enrolled": (-0.05, None),
        },
    ),
    "hong_2024": (
        "Hong, Devlin, Zaric, Thind and Sarma (2024), European Journal of Health Economics 25:363, "
        "doi 10.1007/s10198-023-01591-w: 6,184 physicians, 2012-2017, weighted comparison",
        {
            "services": (-0.14, (-0.15, -0.13)),
            "after_hours": (-0.27, (-0.29, -0.25)),
            "ed_less_urgent": (0.27, (0.23, 0.31)),
            "ed_urgent": (0.10, (0.07, 0.13)),
        },
    ),
}
SCENARIOS = tuple(_STUDIES)
# Neither study reports referrals. A third one of the same move gives a range over its models, which is no interval.
_REFERRALS = 0.06
_ON_REFERRALS = (
    "Referrals to specialists come from a third study of the same move: 5 to 7 % more a year (Sarma, Mehta, Devlin, "
    "Kpelitse and Li 2018, Health Economics 27:1533), here 6 %. That they move in proportion to services under other "
    "terms is assumed and untested; another study (Chami, seminar of the Canadian Centre for Health Economics) found "
    "more referrals but no more visits to specialists."
)
_HIGHEST_PREMIUM = 2.0
_DRAWS = 4_000


@dataclass(frozen=True)
class PaymentTerms:
    """What a dollar of fees for services of the basket, to enrolled patients, earns beside fixed pay.

    Parameters
    ----------
    capitation_share : float
        Share of fees that capitation replaces: 0 for fee-for-service, 1 for pure capitation or salary.
    after_hours_premium : float
        Share of fees that is added after hours.
    comprehensive_premium : float
        Share of fees that is added at all hours.

    Raises
    ------
    PaymentError
        A share is not between 0 and 1, or a premium not between 0 and 2.

    Examples
    --------
    >>> PaymentTerms(capitation_share=0.85, after_hours_premium=0.3).prices.round(2).tolist()
    [0.15, 0.45]
    """

    capitation_share: float
    after_hours_premium: float = 0.0
    comprehensive_premium: float = 0.0

    def __post_init__(self):
        for name, most in (
            ("capitation_share", 1),
            ("after_hours_premium", _HIGHEST_PREMIUM),
            ("comprehensive_premium", _HIGHEST_PREMIUM),
        ):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= value <= most:
                hint = f"; {value:g} % is {value / 100:g}" if isinstance(value, Real) and most < value <= 100 else ""
                raise PaymentError(f"{name}={value!r} must be a share of fees from 0 to {most:g}{hint}.")

    @property
    def prices(self) -> np.ndarray:
        """Pay per dollar of fees in regular hours and after hours."""
        regular = 1 - self.capitation_share + self.comprehensive_premium
        return np.array([regular, regular + self.after_hours_premium])


@dataclass(frozen=True, eq=False)
class EffortModel:
    """A physician who divides effort between services in regular hours and after hours.

    Work q (fee value by task, one in all before the change) maximises ``prices . q + intrinsic . q - q' cost q / 2``:
    income, benefit to patients and a convex cost, in which one task may crowd out the other. So work is linear in
    prices, with responses K = cost^-1. Outcomes that a study reports beside the tasks (emergency visits, services
    outside the basket, patients not enrolled) move in proportion to all services, an assumption; those it does not
    report are absent, save referrals to specialists, which a third study of the same move gives.

    Attributes
    ----------
    scenario : str
        "some_2020" or "hong_2024".
    source : str
    before, after : PaymentTerms
        FHG and FHO, between which the study compares.
    work : array of shape (2,)
        Fee value of the tasks before.
    responses : array of shape (2, 2)
        Change of work by a change of prices.
    targets : DataFrame
        By outcome: `change`, `ci_low`, `ci_high` as published, relative to before; `referrals` from a third study.
    rules : DataFrame
        The dated values from which the prices come.
    notes : tuple of str
    """

    scenario: str
    source: str
    before: PaymentTerms
    after: PaymentTerms
    work: np.ndarray
    responses: np.ndarray
    targets: pd.DataFrame
    rules: pd.DataFrame
    notes: tuple[str, ...]
    _relative_elasticity: float = field(repr=False, default=1.0)

    @property
    def cost(self) -> np.ndarray:
        """Matrix of the convex cost of effort; a positive entry beside the diagonal means that tasks compete."""
        return np.linalg.inv(self.responses)

    @property
    def intrinsic(self) -> np.ndarray:
        """Benefit of the first unit of each task beside income, in dollars per dollar of fees."""
        return self.cost @ self.work - self.before.prices

    @property
    def elasticities(self) -> pd.DataFrame:
        """Elasticities of each task (rows) to each price (columns), before the change."""
        tasks = ["regular_hours", "after_hours"]
        values = self.responses * self.before.prices / self.work[:, None]
        return pd.DataFrame(values, index=pd.Index(tasks, name="task"), columns=tasks)

    def respond(
        self, terms: PaymentTerms | Sequence[PaymentTerms], *, level: float = 0.95, seed: int = 0
    ) -> pd.DataFrame:
        """Changes of work and of what depends on it, relative to before, under other terms.

        Parameters
        ----------
        terms : PaymentTerms or sequence of them
        level : float
            Level of the intervals, which carry the published intervals of the targets, taken as independent.
        seed : int
            For the draws of targets.

        Returns
        -------
        DataFrame
            One row for each of the terms and each outcome: `scenario`, the terms, `outcome`, `change`, `ci_low`,
            `ci_high` (missing where the study gives no intervals).

        Raises
        ------
        PaymentError
            The terms are no PaymentTerms, or so far from those of the study that work would be negative.
        """
        check_level(level)
        check_seed(seed)
        several = terms if isinstance(terms, Sequence) else [terms]
        if not len(several) or not all(isinstance(each, PaymentTerms) for each in several):
            raise PaymentError("terms must be PaymentTerms, one or several: PaymentTerms(capitation_share=0.85).")
        prices = np.array([each.prices for each in several])
        targets = self.targets["change"].to_numpy()
        change = self._changes(targets[None], prices)[0]
        if (change < -1).any():
            raise PaymentError(
                f"Under {several[int(np.argmin(change.min(axis=1)))]} the model leaves less than no work: these terms "
                "are too far from those that the study compared."
            )
        half = (self.targets["ci_high"] - self.targets["ci_low"]).to_numpy() / 2
        # Without a published interval the errors, and all that rests on them, are missing.
        errors = np.random.default_rng(seed).normal(0, half / special.ndtri(0.975), (_DRAWS, len(half)))
        drawn = self._changes(targets + errors, prices)
        low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        outcomes = ["regular_hours", *self.targets.index]
        parts = [
            pd.DataFrame(
                {
                    "scenario": self.scenario,
                    **vars(each),
                    "outcome": outcomes,
                    "change": change[i],
                    "ci_low": low[i],
                    "ci_high": high[i],
                }
            )
            for i, each in enumerate(several)
        ]
        return pd.concat(parts, ignore_index=True)

    def _changes(self, targets, prices):
        """Draws x terms x outcomes: regular hours, then the outcomes of `targets`."""
        share = self.work[1]
        responses = _responses(targets[:, :2], self.work, self.before, self.after, self._relative_elasticity)
        moved = np.einsum("dij,tj->dti", responses, prices - self.before.prices)
        services = moved.sum(axis=2)
        slopes = targets[:, 2:] / targets[:, :1]
        linked = services[..., None] * slopes[:, None, :]
        tasks = np.stack([moved[..., 0] / (1 - share), services, moved[..., 1] / share], axis=2)
        return np.concatenate([tasks, linked], axis=2)


def calibrate_effort(
    scenario: str,
    *,
    on: str | datetime.date = "2012-04-01",
    rules: Rulebook | None = None,
    after_hours_share: float = 0.09,
    relative_elasticity: float = 1.0,
) -> EffortModel:
    """The model of effort that reproduces one of two opposing studies of Ontario's move from FHG to FHO.

    Both find fewer services in the basket. After hours, Somé et al. find more of them and Hong et al. fewer; the two
    are never averaged. The first gives changes per year, taken as those of a year's services, not of their growth.

    Two targets (services at all hours, and those after hours) determine two numbers: the elasticity of a task to its
    own price, and the response of a task to the price of the other. That the own elasticities of the tasks have a given
    ratio is an assumption which the targets do not test. With equal ones the tasks compete in the first study and go
    together in the second; with an elasticity after hours of three times that in regular hours they compete in both.

    Parameters
    ----------
    scenario : str
        "some_2020" or "hong_2024".
    on : str or date
        Day of the rules that give the prices; by default one within both studies.
    rules : Rulebook, optional
        The shipped rules `ontario` unless given.
    after_hours_share : float
        Of services before the change; 9 % of visits to enrolling physicians in Lapointe-Shaw et al. (2023).
    relative_elasticity : float
        Elasticity of services after hours over that in regular hours, each to its own price.

    Returns
    -------
    EffortModel

    Raises
    ------
    PaymentError
        The scenario is unknown, a number is impossible, or no convex cost of effort gives the targets.

    References
    ----------
    Holmstrom, B. and Milgrom, P. (1991), Multitask principal-agent analyses, Journal of Law, Economics, & Organization
    7:24-52. Targets: Somé et al. (2020) and Hong et al. (2024), read in their abstracts.

    Examples
    --------
    >>> model = calibrate_effort("some_2020")
    >>> reached = model.respond(model.after).set_index("outcome")["change"]
    >>> reached[["services", "after_hours"]].round(6).tolist()
    [-0.15, 0.08]
    """
    if scenario not in SCENARIOS:
        raise PaymentError(f"There is no scenario {scenario!r}: write {' or '.join(SCENARIOS)}.")
    if not isinstance(after_hours_share, Real) or not 0 < after_hours_share < 1:
        raise PaymentError(f"after_hours_share={after_hours_share!r} must be between 0 and 1, such as 0.09 for 9 %.")
    if not isinstance(relative_elasticity, Real) or not 0 < relative_elasticity < np.inf:
        raise PaymentError(f"relative_elasticity={relative_elasticity!r} must be above 0; 1 makes both tasks alike.")
    terms = rules_on(on, "ontario", rules)
    premium = terms["after_hours_premium"]
    before = PaymentTerms(0, premium, terms["fhg.comprehensive_premium"])
    after = PaymentTerms(1 - terms["shadow_billing_premium"], premium)
    source, outcomes = _STUDIES[scenario]
    published = {**outcomes, "referrals": (_REFERRALS, None)}
    targets = pd.DataFrame.from_dict(
        {name: (change, *(interval or (np.nan, np.nan))) for name, (change, interval) in published.items()},
        orient="index",
        columns=["change", "ci_low", "ci_high"],
    ).rename_axis("outcome")
    work = np.array([1 - after_hours_share, after_hours_share])
    wanted = targets["change"].to_numpy()[None, :2]
    if np.allclose(after.prices, before.prices):
        raise PaymentError("FHG and FHO pay the same under these rules, so that no response can be calibrated.")
    responses = _responses(wanted, work, before, after, relative_elasticity)[0]
    if not (np.linalg.eigvalsh(responses) > 0).all():
        raise PaymentError(
            f"With relative_elasticity={relative_elasticity:g} and after_hours_share={after_hours_share:g} no convex "
            f"cost of effort gives the results of {scenario}: choose values nearer to 1 and 0.09."
        )
    notes = (f"A model calibrated to one of two opposing studies: {source}.", _ON_REFERRALS, *doubts(terms.used))
    return EffortModel(
        scenario, source, before, after, work, responses, targets, pooled([terms]), notes, relative_elasticity
    )


def _responses(targets, work, before, after, ratio):
    """K by draw (rows of `targets`: services, after hours), from K dp = dq and own elasticities of a given ratio."""
    step, price = after.prices - before.prices, before.prices
    late = work[1] * targets[:, 1]
    moved = np.column_stack([targets[:, 0] - late, late])
    own = work / price * np.array([1, ratio])
    system = np.array([[own[0] * step[0], step[1]], [own[1] * step[1], step[0]]])
    elasticity, cross = np.linalg.solve(system, moved.T)
    responses = np.empty((len(targets), 2, 2))
    responses[:, 0, 0], responses[:, 1, 1] = elasticity * own[0], elasticity * own[1]
    responses[:, 0, 1] = responses[:, 1, 0] = cross
    return responses


def respond_practices(practices: Practices, model: EffortModel, terms: PaymentTerms) -> Practices:
    """The practices as they would be under other terms of pay, to run payment models on.

    Expected numbers: visits and fees of enrolled patients are scaled by the response of regular hours and of after
    hours; services outside the basket, patients not enrolled and emergency visits only if the study measured them.
    Visits elsewhere, admissions and spending stay, as neither study measured them; referrals are no column of patients.
    The practices are taken to be paid as ``model.before``. The result is marked synthetic, as a simulation.

    Parameters
    ----------
    practices : Practices
        With `visits`, `visits_after_hours`, `fees`, `fees_after_hours`; for "hong_2024" also `ed_visits` and
        `ed_visits_less_urgent`, for "some_2020" `fees_outside_basket`.
    model : EffortModel
    terms : PaymentTerms

    Raises
    ------
    PaymentError
        A column is missing, or part of a column exceeds the whole.
    """
    check_practices(practices)
    if not isinstance(model, EffortModel):
        raise PaymentError(f"An EffortModel is needed, not {type(model).__name__}: give what calibrate_effort returns.")
    if not isinstance(terms, PaymentTerms):
        raise PaymentError("terms must be PaymentTerms, here one alone: PaymentTerms(capitation_share=0.85).")
    change = model.respond(terms).set_index("outcome")["change"]
    enrolled = practices.patient("enrolled") if "enrolled" in practices.patients else 1.0
    others = 1 + change.get("not_enrolled", 0.0)
    regular, late = (
        enrolled * (1 + change[task]) + (1 - enrolled) * others for task in ("regular_hours", "after_hours")
    )
    columns = {}
    for name in ("visits", "fees"):
        part, rest = _parts(practices, name, f"{name}_after_hours")
        columns[f"{name}_after_hours"] = late * part
        columns[name] = late * part + regular * rest
    if "outside_basket" in change:
        columns["fees_outside_basket"] = practices.patient("fees_outside_basket") * (1 + change["outside_basket"])
    if "ed_urgent" in change:
        less, urgent = _parts(practices, "ed_visits", "ed_visits_less_urgent")
        columns["ed_visits_less_urgent"] = less * (1 + change["ed_less_urgent"])
        columns["ed_visits"] = columns["ed_visits_less_urgent"] + urgent * (1 + change["ed_urgent"])
    return Practices(practices.patients.assign(**columns), practices.practices, practices.country, synthetic=True)


def _parts(practices, whole, part):
    values, rest = practices.patient(part), practices.patient(whole) - practices.patient(part)
    if (rest < -1e-6).any():
        raise PaymentError(f"{part} exceeds {whole} in row {int(np.argmin(rest)) + 1}: it must be a part of it.")
    return values, np.maximum(rest, 0)
