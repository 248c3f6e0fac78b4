"""Comprehensive Primary Care Plus: monthly fees, an incentive paid in advance, and a part of visit fees upfront."""

from __future__ import annotations

import datetime
from numbers import Integral, Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.options import numbers
from apmkit.payment.fee_for_service import fees_of
from apmkit.payment.inputs import attributed, per_practice, rules_in_force, too_few
from apmkit.payment.practices import Practices
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, RulesInForce


def cpc_plus(
    practices: Practices,
    *,
    on: str | datetime.date,
    rules: Rulebook | None = None,
    track: int = 1,
    region_risk=None,
    quality=1.0,
    utilisation=1.0,
    upfront_share: float | None = None,
    expected_fees=None,
) -> Payment:
    """A year of Medicare's payment under Comprehensive Primary Care Plus (CPC+), fee-for-service included.

    Three things come to the fees. A care management fee for each attributed beneficiary and month, by risk tier:
    the quarter of the region's risk scores in which the beneficiary is; in Track 2 the top tenth, and whoever has
    dementia, are in a complex tier. An incentive paid in advance, of which a practice repays what it does not earn.
    And in Track 2 a share s of the expected visit fees E is paid in advance with a supplement of 10 %, while each
    claim is cut by that share: s x 1.1 x E - s x fees.

    Parameters
    ----------
    practices : Practices
        In the US. Columns of patients: `fees`, `risk_score`; where given `enrolled` (attributed; else all are),
        `months`, `dementia` (Track 2), `fees_after_hours`, `fees_outside_basket`.
    on : str or date
        A day of the year paid, 2017 to 2021.
    rules : Rulebook, optional
        Other rules than the shipped ones, for instance from `with_values`.
    track : int
        1 or 2.
    region_risk : array of float, optional
        Risk scores of the region's beneficiaries, which set the limits of the tiers. Without them the attributed
        beneficiaries stand for the region.
    quality, utilisation : float, array of shape (n,) or Series by practice
        Share of the two parts of the incentive that a practice earns, 0 to 1.
    upfront_share : float, optional
        Share of visit fees paid in advance in Track 2; without it the lowest on offer that year.
    expected_fees : float, array of shape (n,) or Series by practice, optional
        Visit fees of attributed beneficiaries that Medicare expects, from history. Without them the year's own fees in
        the basket, so that a further visit would also raise the advance; give history to find what a visit earns.

    Returns
    -------
    Payment
        Components `fees_in_basket`, `fees_after_hours`, `fees_outside_basket`, `care_management_fee`,
        `incentive_in_advance`, `incentive_repaid` (at most 0), and in Track 2 `upfront_payment` and
        `claims_reduction` (at most 0). Details: attributed beneficiaries, beneficiaries by tier, mean fee.

    Raises
    ------
    PaymentError
        The track is unknown, a share is not on offer or out of bounds, or a column is missing.
    RulesError
        CPC+ was not in force on that day.

    References
    ----------
    Centers for Medicare & Medicaid Services, CPC+ Payment Methodologies, 1 January 2017; each value's own
    source is in `rules` of the result.

    Examples
    --------
    >>> patients = pd.DataFrame({"practice": "A", "age": 70, "sex": ["F", "F", "M", "M"], "fees": 500.0,
    ...                          "risk_score": [0.5, 0.8, 1.1, 1.6]})
    >>> practices = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="US")
    >>> paid = cpc_plus(practices, on="2018-01-01", utilisation=0.5)
    >>> paid.table.loc["A"].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'fees_in_basket': 2000.0, 'care_management_fee': 720.0, 'incentive_in_advance': 120.0, 'incentive_repaid': -30.0,
     'total': 2810.0}
    """
    terms = rules_in_force("cpc_plus", rules, on, practices)
    if not isinstance(track, Integral) or isinstance(track, bool) or track not in (1, 2):
        raise PaymentError(f"CPC+ has no track {track!r}; write 1 or 2.")
    own = attributed(practices)
    months = practices.patient("months") * own
    fee = _list_of(terms, f"track{track}.care_management_fee")
    limits = _limits(terms, track)
    if len(fee) != len(limits) + 1:
        raise PaymentError(
            f"track{track}.care_management_fee has {len(fee)} fees for {len(limits) + 1} tiers; give one for each."
        )
    tier, notes = _tiers(practices, limits, track, own, region_risk)
    practice_months = practices.sums(months)
    earnable = {part: practice_months * terms[f"track{track}.incentive_{part}"] for part in ("quality", "utilisation")}
    missed = {
        part: earnable[part] * (1 - per_practice(share, part, practices, most=1.0))
        for part, share in (("quality", quality), ("utilisation", utilisation))
    }
    components = {
        **fees_of(practices),
        "care_management_fee": practices.sums(fee[tier] * months),
        "incentive_in_advance": sum(earnable.values()),
        "incentive_repaid": -sum(missed.values()),
    }
    beneficiaries = practices.sums(own)
    with np.errstate(invalid="ignore"):
        details = pd.DataFrame(
            {
                "attributed": beneficiaries.astype(int),
                **{
                    ("complex" if k == 4 else f"tier_{k + 1}"): practices.sums((tier == k) & own).astype(int)
                    for k in range(len(fee))
                },
                "mean_fee": components["care_management_fee"] / practice_months,
            },
            index=practices.index,
        )
    if track == 2:
        hybrid, share, about_history = _hybrid(practices, terms, own, upfront_share, expected_fees)
        components |= hybrid
        details["upfront_share"] = share
        notes += about_history
    elif upfront_share is not None or expected_fees is not None:
        raise PaymentError("Track 1 pays nothing upfront; leave upfront_share and expected_fees out, or take track=2.")
    return Payment.from_components(
        model=f"CPC+ Track {track}",
        currency=practices.currency,
        components=components,
        index=practices.index,
        details=details,
        terms=[terms],
        notes=(*notes, *too_few(practices, beneficiaries, terms["minimum_beneficiaries"]), *practices.notes),
    )


def _limits(terms: RulesInForce, track: int) -> np.ndarray:
    """Shares of the region's beneficiaries at which the tiers above the lowest begin."""
    shares = np.append(_list_of(terms, "tier_limits"), [terms["track2.complex_limit"]] if track == 2 else [])
    if not (np.diff(shares, prepend=0, append=1) > 0).all():
        raise PaymentError(f"The limits of the risk tiers are {shares.tolist()}; let them rise between 0 and 1.")
    return shares


def _tiers(
    practices: Practices, shares: np.ndarray, track: int, own: np.ndarray, region_risk
) -> tuple[np.ndarray, list[str]]:
    """The tier of each patient, 0 the lowest, and how it was found."""
    score, notes = practices.patient("risk_score"), []
    if not own.any():
        raise PaymentError("No patient is attributed: enrolled is false in every row; mark those that are.")
    if region_risk is None:
        region = score[own]
        notes.append("Limits of the risk tiers are those of the attributed beneficiaries themselves, not of a region.")
    else:
        region = numbers(region_risk, "region_risk").ravel()
        if not len(region) or not (np.isfinite(region) & (region > 0)).all():
            raise PaymentError("region_risk must hold risk scores above 0; drop missing ones.")
    tier = np.searchsorted(np.quantile(region, shares), score, side="left")
    if track == 2:
        if "dementia" in practices.patients:
            tier = np.where(practices.patient("dementia") > 0, len(shares), tier)
        else:
            notes.append("Without a column dementia of patients, the complex tier is the top tenth of risk alone.")
    return tier, notes


def _list_of(terms: RulesInForce, name: str) -> np.ndarray:
    """A rule that is a list, as numbers."""
    values = numbers(terms[name], name)
    if values.ndim != 1 or not len(values) or not (np.isfinite(values) & (values >= 0)).all():
        raise PaymentError(f"{name} must be a list of numbers of 0 or more.")
    return values


def _hybrid(
    practices: Practices, terms: RulesInForce, own: np.ndarray, upfront_share: float | None, expected_fees
) -> tuple[dict[str, np.ndarray], float, list[str]]:
    """Components of the hybrid payment, the share chosen, and what it rests on."""
    offered = _list_of(terms, "track2.upfront_shares").tolist()
    share = min(offered) if upfront_share is None else upfront_share
    if not isinstance(share, Real) or share not in offered:
        raise PaymentError(
            f"upfront_share={share!r} was not on offer on {terms.day}; choose one of {', '.join(map(str, offered))}."
        )
    fees = practices.sums(practices.patient("fees") * own)
    notes = ["Fees in the basket stand for the visit fees of which a part is paid in advance."]
    if expected_fees is None:
        expected = fees
        notes.append("Expected fees are taken to be this year's own.")
    else:
        expected = per_practice(expected_fees, "expected_fees", practices)
    return (
        {
            "upfront_payment": share * (1 + terms["track2.upfront_supplement"]) * expected,
            "claims_reduction": -share * fees,
        },
        share,
        notes,
    )
