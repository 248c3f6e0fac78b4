"""From fees to capitation by one dial: a blend of both at the same total, and what changes with the share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.alberta import alberta_blended_capitation
from apmkit.payment.capitation import illustrative_schedule
from apmkit.payment.inputs import check_practices
from apmkit.payment.model_comparison import compare_models, marginal_revenue
from apmkit.payment.practices import Practices
from apmkit.payment.rulebook import rulebook

_DAY = "2016-11-01"  # the shares are replaced, so any day of Alberta's rules will do
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def capitation_dial(
    practices: Practices, share: float, *, health_profile: bool = True, negation: bool = False
) -> tuple[Callable, Mapping[str, Any]]:
    """A model that pays `share` of a capitation rate and the rest of each fee, at the same total for every share.

    Alberta's engine with other shares. The base rate is such that full capitation pays for all enrolled patients what
    their fees are. Relative rates by age, sex and health are illustrative.

    Parameters
    ----------
    practices : Practices
        Canadian. Patient columns as `alberta_blended_capitation` takes them.
    share : float
        Of fees that capitation replaces: 0 for fees alone, 1 for capitation alone.
    health_profile : bool
        Rates differ by health, not by age and sex alone.
    negation : bool
        The same share of each fee elsewhere is taken back.

    Returns
    -------
    tuple
        The engine and its keyword arguments, as `compare_models` takes them.

    Raises
    ------
    PaymentError
        `share` is no share, enrolled patients have no fees, practices are not Canadian, or a column is absent.

    Examples
    --------
    >>> from apmkit.payment import synthetic_practices
    >>> practices = synthetic_practices("Ontario", n_practices=4, patients_per_physician=200)
    >>> models = {share: capitation_dial(practices, share) for share in (0, 1)}
    >>> compare_models(practices, models).summary["per_patient"].diff().abs().iloc[1] < 0.01
    np.True_
    """
    check_practices(practices)
    if not isinstance(share, Real) or not 0 <= share <= 1:
        raise PaymentError(f"share={share!r} is no share of fees: give 0.5 for 50 %.")
    fees = (practices.patient("fees") * practices.patient("enrolled")).sum()
    if not fees > 0:
        raise PaymentError("Enrolled patients have no fees that a rate could replace: give fees, or enrol patients.")
    groups = None if health_profile else {0: 1.0}
    pure = rulebook("alberta").with_values({"capitation_share": 1, "fee_share": 0, "negation.share": 0})
    rate = 100.0
    paid = alberta_blended_capitation(
        practices, on=_DAY, rules=pure, schedule=illustrative_schedule(rate), health_profile=groups
    ).table["capitation"]
    rules = rulebook("alberta").with_values(
        {"capitation_share": share, "fee_share": 1 - share, "negation.share": share if negation else 0}
    )
    schedule = illustrative_schedule(rate * fees / paid.sum())
    terms = {"on": _DAY, "rules": rules, "schedule": schedule, "health_profile": groups}
    return alberta_blended_capitation, terms


def capitation_dial_table(
    practices: Practices, years: Sequence[Practices] = (), *, shares: Sequence[float] = _SHARES, seed: int = 0
) -> pd.DataFrame:
    """What changes from fees to capitation at the same total.

    Parameters
    ----------
    practices : Practices
        As `capitation_dial` takes them.
    years : sequence of Practices
        The same patients in other years, at least two, for the variance from year to year; or none.
    shares : sequence of float
        Positions of the dial, each once.
    seed : int
        For the patients who come once more.

    Returns
    -------
    DataFrame
        By share: `per_patient`, `sd_between` and `sd_within` (currency per patient), the marginal pay of a `visit`, an
        `enrolled_patient`, and a `visit_elsewhere` if the same share of its fee is taken back.
    """
    labels = [f"{share:g}" for share in shares]
    dials, charged = (
        {f"{label}{end}": capitation_dial(practices, share, negation=bool(end))
         for label, share in zip(labels, shares, strict=True)}
        for end in ("", ", charged")
    )  # fmt: skip
    summary = compare_models(practices, dials, draws=len(years), redraw=lambda year: years[year - 1]).summary
    more = marginal_revenue(practices, dials | charged, seed=seed)["mean"].unstack("change")
    table = summary[["per_patient", "sd_between", "sd_within"]].join(more[["visit", "enrolled_patient"]])
    table["visit_elsewhere"] = more.loc[list(charged), "visit_elsewhere"].to_numpy()
    return table.set_axis(pd.Index(shares, name="share"))
