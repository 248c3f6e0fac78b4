"""Which tasks of primary care each payment supports: a theory from the type of payment, not a finding.

Bazemore et al. (2018) name teams, coordination, self-management support and communication as tasks that payment should
support; visits, calls and messages, access after hours, prevention and complex patients are added here. What follows
from a type of payment for a task is our reading, in the tables of this module. Where a contract names the tasks that a
payment is for (its `targets`), the payment supports those and no others.
"""

from __future__ import annotations

import pandas as pd

from apmkit.contract.record import Component, Contract, check_contract, filled
from apmkit.contract.terms import TASKS

LEVELS = ("paid per act", "paid in advance", "paid by time", "rewarded", "not paid", "discouraged", "cannot be told")
"""What a payment can do for a task."""

_BETWEEN_VISITS = ("calls", "team", "coordination", "self_management", "communication")

_FEES = {
    "visits": ("paid per act", "each visit has a fee"),
    "prevention": ("paid per act", "screening and vaccination have fees"),
    "after_hours": ("paid per act", "a visit at night has a fee, without a premium unless the contract names one"),
    "complex": ("discouraged", "long visits pay less for each hour than short ones"),
    **dict.fromkeys(_BETWEEN_VISITS, ("not paid", "a fee needs a listed act of the physician")),
}
_CAPITATION = {
    **dict.fromkeys(_BETWEEN_VISITS, ("paid in advance", "the amount comes whoever does the work, and however")),
    "visits": ("paid in advance", "covered, but one more visit earns nothing"),
    "prevention": ("paid in advance", "covered, and it saves later visits while the patient stays"),
    "after_hours": ("paid in advance", "covered, but one more hour earns nothing"),
}
_BY_TIME = {
    **dict.fromkeys(TASKS, ("paid by time", "time is paid, whatever it is used for")),
    "team": ("not paid", "it pays the physician's time only"),
    "after_hours": ("paid by time", "if the hours agreed include it"),
}
_MANAGEMENT = {
    **dict.fromkeys(TASKS, ("not paid", "fees or other payments are meant for it")),
    **dict.fromkeys((*_BETWEEN_VISITS, "complex"), ("paid in advance", "this is the work that the amount is for")),
}
_INFRASTRUCTURE = {
    **dict.fromkeys(TASKS, ("not paid", "it pays for staff and technology, not for care")),
    "team": ("paid in advance", "it can pay for staff"),
    "coordination": ("paid in advance", "it can pay for coordinators and records"),
}
_SETTLED = {
    **dict.fromkeys(TASKS, ("not paid", "it earns only what it saves elsewhere, and this mostly costs")),
    **dict.fromkeys(
        ("coordination", "after_hours", "complex", "self_management", "communication"),
        ("rewarded", "it can prevent hospital care, and a share of that is paid later"),
    ),
}
_EPISODE = {
    **dict.fromkeys(TASKS, ("not paid", "outside the episode")),
    "coordination": ("rewarded", "fewer readmissions and shorter stays afterwards leave more of the price"),
}
_HOSPITAL = {
    **dict.fromkeys(TASKS, ("not paid", "primary care is outside a hospital's budget")),
    **dict.fromkeys(
        ("coordination", "prevention", "complex"), ("rewarded", "an avoided admission leaves the budget as it is")
    ),
}
_THEORY = {
    "fee_for_service": _FEES,
    "capitation": _CAPITATION,
    "care_management_fee": _MANAGEMENT,
    "infrastructure_payment": _INFRASTRUCTURE,
    "pay_for_reporting": dict.fromkeys(TASKS, ("not paid", "it pays for data, not for care")),
    "performance_bonus": dict.fromkeys(TASKS, ("cannot be told", "the record names no task that it rewards")),
    "shared_savings": _SETTLED,
    "episode": _EPISODE,
    "salary": _BY_TIME,
    "hourly": _BY_TIME,
}
_TARGETED = {
    "fee_for_service": "paid per act",
    "performance_bonus": "rewarded",
    "shared_savings": "rewarded",
    "salary": "paid by time",
    "hourly": "paid by time",
}


def tasks(contract: Contract) -> pd.DataFrame:
    """What each payment of a contract does for each task of primary care, with the reason: our reading, no finding.

    Returns
    -------
    DataFrame
        One row a task and payment: task, payment, level (one of `LEVELS`), reason.

    References
    ----------
    Bazemore, A., Phillips, R.L., Glazier, R. and Tepper, J. (2018). Advancing primary care through alternative payment
    models. J Am Board Fam Med 31(3), 322-327. doi:10.3122/jabfm.2018.03.170297 (the tasks; not the table).

    Examples
    --------
    >>> from apmkit.contract import gallery
    >>> task_matrix(gallery("cpc_plus_track_1")).loc["Visits in person"].to_dict()
    {'fees': 'paid per act', 'care_management_fee': 'not paid', 'incentive': 'cannot be told'}
    """
    check_contract(contract)
    rows = [(TASKS[task], payment.name, *_support(payment, task)) for task in TASKS for payment in contract.payments]
    return pd.DataFrame(rows, columns=["task", "payment", "level", "reason"])


def task_matrix(contract: Contract) -> pd.DataFrame:
    """The levels of `tasks` as a matrix: one row a task, one column a payment."""
    table = tasks(contract).pivot(index="task", columns="payment", values="level")
    return table.loc[list(TASKS.values()), [payment.name for payment in contract.payments]]


def _support(payment: Component, task: str) -> tuple[str, str]:
    if payment.targets:
        if task in payment.targets:
            return _TARGETED.get(payment.type, "paid in advance"), "the contract names it"
        return "not paid", f"it is for {', '.join(TASKS[target].lower() for target in payment.targets)}"
    if payment.type in ("capitation", "global_budget") and payment.scope == "hospital":
        return _HOSPITAL[task]
    if payment.type in ("capitation", "global_budget"):
        return _complex(payment) if task == "complex" else _CAPITATION[task]
    return _THEORY[payment.type][task]


def _complex(payment: Component) -> tuple[str, str]:
    """A fixed amount draws complex patients in or keeps them away, by what it is adjusted for."""
    if not filled(payment.risk_adjustment):
        return "cannot be told", "whether the amount rises with illness is not known"
    if payment.risk_adjustment == "health status":
        return "paid in advance", "the amount rises with illness"
    return "discouraged", "the same amount is paid for patients of unlike illness (age and sex apart)"
