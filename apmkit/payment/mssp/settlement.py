"""Settlement of the Medicare Shared Savings Program: what each ACO is paid or owes for a year."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.mssp.aco_years import FIRST_YEAR, AcoYears
from apmkit.payment.mssp.minimum_savings_rate import rate_of_size
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, rulebook

_BY_SCORE = ("score", "standard or score")  # quality rules under which a score scales the sharing rate
_HALF_A_CENT = 0.005  # money is counted in cents: savings less than this short of the minimum reach it

REASONS = (
    "Spending equals the benchmark",
    "Savings below the minimum savings rate",
    "Savings shared",
    "Savings shared, held to the payment limit",
    "Savings below the minimum shared at the reduced rate for low-revenue ACOs",
    "Quality standard not met: no savings shared",
    "One-sided track: losses are not shared",
    "Losses within the minimum loss rate",
    "Losses owed",
    "Losses owed, held to the loss limit",
    "Losses cancelled: extreme and uncontrollable circumstances",
)


def settle_mssp(
    acos: pd.DataFrame,
    *,
    rules: Rulebook | None = None,
    unknown_revenue: Literal["refuse", "benchmark"] = "refuse",
) -> Payment:
    """Settle ACO-years: shared savings paid, shared losses owed, and how each amount came about.

    With benchmark B, expenditures X and minimum rate m, savings are shared from the first dollar if B - X >= m B, and
    losses on two-sided tracks if X - B >= m B. An ACO is paid min((1 - s) r (B - X), c B) with sharing rate r,
    sequestration s and payment limit c; it owes min(l (X - B), limit), less what extreme and uncontrollable
    circumstances take off. The rules are those in force on the last day of the performance year.

    Parameters
    ----------
    acos : DataFrame
        One row per ACO and performance year, columns named as in ``apmkit.load("mssp")``. Money in USD over the
        performance year, rates as fractions. Always needed:

        `year`, `track` (as "BASIC E" or "basic_e"), `benchmark`, `expenditures`.

        Needed where they decide, else left empty or out:

        * `beneficiaries` (assigned): the minimum savings rate of one-sided ACOs, and shares below it from 2024;
        * `minimum_savings_rate`: chosen by two-sided ACOs; wins over the table for one-sided ones;
        * `quality_score` (0 to 1), `met_quality_standard`, `met_alternative_standard`: the sharing rate, and the loss
          rate of Tracks 2 and 3 and ENHANCED; before 2021 the standard counts as met unless it is False;
        * `final_sharing_rate`, `final_loss_rate`: as published; they win over rates worked out from quality;
        * `participant_revenue` (Part A and B revenue of the ACO's participants): the loss limit of Track 1+ and BASIC;
        * `loss_limit`: in USD, wins over the limits of the track;
        * `disaster_adjustment` (0 or below): by how much a loss shrinks; if it is missing, by the months of the
          COVID-19 public health emergency;
        * `revenue_category` ("low" or "high"), `agreement_start`: shares below the minimum savings rate from 2024; the
          first also tells on Track 1+ whether revenue limits losses; the second on Track 2 how many years the ACO has
          been on it, so give the `loss_limit` of an ACO that was on it in an earlier agreement;
        * `advance_investment_balance`: what CMS recoups from shared savings;
        * `aco_id`: names the rows.
    rules : Rulebook, optional
        Rules to use in place of the shipped ones, for instance ``rulebook("mssp").with_values(...)``.
    unknown_revenue : str
        What to do with a loss whose limit depends on a revenue that is not given: "refuse" it, or apply the limit on
        the "benchmark" alone, which no limit exceeds; such rows are marked in `details` and counted in `notes`.

    Returns
    -------
    Payment
        Components: `shared_savings`, `sequestration`, `payment_limit`, `advance_investment_recoupment`,
        `shared_losses`, `loss_limit`, `disaster_adjustment`. Positive amounts are paid to the ACO. Details: `track`,
        `savings_rate`, `minimum_savings_rate`, `generated_savings`, `sharing_rate`, `loss_rate`, `revenue_known`,
        `reason`.

    Raises
    ------
    PaymentError
        A value cannot be used or one that decides is missing; the message names the ACO-year and the remedy.

    References
    ----------
    42 CFR 425.604 (Track 1), 425.605 (BASIC), 425.606 (Track 2), 425.610 (Track 3, ENHANCED), 425.630(g).

    Examples
    --------
    >>> aco = {"year": 2022, "track": "BASIC B", "beneficiaries": 10_000, "met_quality_standard": True}
    >>> payment = settle_mssp(pd.DataFrame([{**aco, "benchmark": 100e6, "expenditures": 95e6}]))
    >>> payment.table.loc[0, ["shared_savings", "sequestration", "total"]].tolist()
    [2000000.0, -40000.0, 1960000.0]
    >>> payment.details["reason"].tolist()
    ['Savings shared']
    """
    if unknown_revenue not in ("refuse", "benchmark"):
        raise PaymentError(f"unknown_revenue is {unknown_revenue!r}; write refuse or benchmark.")
    table = AcoYears(acos, rules or rulebook("mssp"))
    benchmark = table.benchmark
    difference = benchmark - table.expenditures
    two_sided = table.has_rule("loss_rate", "loss_rate_floor")
    minimum = _minimum_rate(table, two_sided)

    enough = np.abs(difference) >= minimum * benchmark - _HALF_A_CENT
    saved, lost = enough & (difference > 0), enough & (difference < 0) & two_sided
    reduced = _shares_below_minimum(table, (difference > 0) & ~saved)
    inside = (1 - table.rule("sharing.first_dollar", saved | lost, absent=1.0)) * minimum * benchmark
    shared = np.abs(difference) - inside

    rate = _sharing_rate(table, saved, reduced)
    amount = np.where(saved | reduced, rate, 0) * shared
    sequestration = table.rule("sequestration.rate", amount > 0, absent=0.0)
    most = table.rule("payment_limit", amount > 0, of_track=True, absent=0.0) * benchmark
    earned = (
        _cents(amount),
        _cents((1 - sequestration) * amount),
        _cents(np.minimum((1 - sequestration) * amount, most)),
    )
    balance = np.nan_to_num(table.numbers("advance_investment_balance"))

    loss_rate = _loss_rate(table, lost)
    loss = np.where(lost, loss_rate, 0) * shared
    emergency = table.rule("disaster.emergency_months", loss > 0, absent=0.0) / 12
    limit, revenue_known = _loss_limit(table, loss)
    guessed = ~revenue_known & (emergency < 1)
    if unknown_revenue == "refuse":
        table.require(
            "participant_revenue",
            guessed,
            "it limits this loss: give it or the loss_limit, or choose unknown_revenue='benchmark' "
            "(--unknown-revenue benchmark)",
        )
    limited = np.minimum(loss, limit)
    owed = _cents(loss), _cents(limited), _cents(limited - _disaster_relief(table, limited, emergency))

    components = {
        "shared_savings": earned[0],
        "sequestration": earned[1] - earned[0],
        "payment_limit": earned[2] - earned[1],
        "advance_investment_recoupment": -np.minimum(_cents(balance), earned[2]),
        "shared_losses": -owed[0],
        "loss_limit": owed[0] - owed[1],
        "disaster_adjustment": owed[1] - owed[2],
    }
    reason = np.select(
        [
            difference == 0,
            (saved | reduced) & (rate == 0),
            reduced,
            saved & (earned[2] < earned[1]),
            saved,
            difference > 0,
            ~two_sided,
            ~lost,
            owed[2] == 0,
            owed[1] < owed[0],
        ],
        [0, 5, 4, 3, 2, 1, 6, 7, 10, 9],
        8,
    )
    details = pd.DataFrame(
        {
            "track": table.track,
            "savings_rate": difference / benchmark,
            "minimum_savings_rate": minimum,
            "generated_savings": np.where(saved | reduced | lost, difference, 0.0),
            "sharing_rate": rate,
            "loss_rate": loss_rate,
            "revenue_known": revenue_known,
            "reason": pd.Categorical.from_codes(reason, REASONS),
        },
        index=table.index,
    )
    return Payment.from_components(
        model=table.rules.title,
        currency=table.rules.currency,
        components=components,
        index=table.index,
        details=details,
        terms=table.readings,
        notes=_notes(guessed),
    )


def _cents(amount: np.ndarray) -> np.ndarray:
    """Amounts to the cent: each step of the settlement is rounded, and components are the differences of steps."""
    return np.rint(amount * 100) / 100


def _minimum_rate(table: AcoYears, two_sided: np.ndarray) -> np.ndarray:
    given = table.numbers("minimum_savings_rate").copy()
    missing = np.isnan(given)
    choices = ", ".join(
        f"{choice:g}" for choice in table.rules.parameter("minimum_savings_rate.choices").history[-1].value
    )
    table.require(
        "minimum_savings_rate",
        missing & two_sided,
        f"give the rate that this two-sided ACO chose, one of {choices} or minimum_savings_rate(n) for a variable one",
    )
    if not missing.any():
        return given
    n = table.needed("beneficiaries", missing, "give the assigned beneficiaries or the minimum_savings_rate")
    if (small := missing & (n < 1)).any():
        raise PaymentError(f"{table.place(small)}: beneficiaries is {n[small][0]:g}; give at least 1.")
    for terms, rows in table.years_of(missing):
        given[rows] = rate_of_size(n[rows], terms)
    return given


def _shares_below_minimum(table: AcoYears, rows: np.ndarray) -> np.ndarray:
    """Rows that share savings below the minimum savings rate: BASIC ACOs of low revenue from 2024 (425.605(h))."""
    rows = rows & table.is_basic() & ~np.isnan(table.rule("below_minimum.share_of_rate", rows))
    if not rows.any():
        return rows
    why = "it decides whether savings below the minimum are shared"
    table.require("revenue_category", rows & np.isnan(table.low_revenue), why)
    table.require("agreement_start", rows & np.isnat(table.agreement_start), why)
    n = table.needed("beneficiaries", rows, why)
    new = np.full(len(rows), False)
    for terms, members in table.years_of(rows):
        new[members] = table.agreement_start[members] >= np.datetime64(terms["below_minimum.agreement_from"])
    return new & (table.low_revenue == 1) & (n >= table.rule("below_minimum.assigned_beneficiaries", rows))


def _sharing_rate(table: AcoYears, saved: np.ndarray, reduced: np.ndarray) -> np.ndarray:
    """Final sharing rates where savings are shared, else NaN: as given, else by the rule on quality of the year."""
    rows, given = saved | reduced, table.numbers("final_sharing_rate")
    open_ = rows & np.isnan(given)
    rate = np.where(rows, given, np.nan)
    if not open_.any():
        return rate
    by_score, by_either = (table.rule("quality.rule", open_, equals=text) == 1 for text in _BY_SCORE)
    met, alternative = table.numbers("met_quality_standard"), table.numbers("met_alternative_standard")
    table.require(
        "met_quality_standard",
        open_ & ~by_score & np.isnan(met),
        "write True or False, or give the final_sharing_rate",
    )
    second = by_either & (met == 0) & (alternative == 1)
    score = table.needed(
        "quality_score", (open_ & by_score & (met != 0)) | second, "give it from 0 to 1, or give the final_sharing_rate"
    )
    part = np.select([(by_score & (met != 0)) | second, met == 1], [score, 1.0], 0.0)
    part *= np.where(reduced, table.rule("below_minimum.share_of_rate", open_ & reduced), 1)
    return np.where(open_, part * table.rule("sharing_rate", open_, of_track=True), rate)


def _loss_rate(table: AcoYears, lost: np.ndarray) -> np.ndarray:
    """Loss rates where losses are shared, else NaN: as given, fixed, or 1 less highest sharing rate times quality."""
    given = table.numbers("final_loss_rate")
    rate = np.where(np.isnan(given), table.rule("loss_rate", lost, of_track=True), given)
    scaled = lost & np.isnan(rate)
    if scaled.any():
        score, met = table.numbers("quality_score"), table.numbers("met_quality_standard")
        by_score, by_either = (table.rule("quality.rule", scaled, equals=text) == 1 for text in _BY_SCORE)
        failed = (met == 0) & ~(by_either & (table.numbers("met_alternative_standard") == 1))
        unknown = scaled & ~by_score & np.isnan(met)
        table.require("met_quality_standard", unknown, "write True or False, or give the final_loss_rate")
        table.require(
            "quality_score", scaled & ~failed & np.isnan(score), "losses scale with it; give it or the final_loss_rate"
        )
        low, high, highest = (
            table.rule(name, scaled, of_track=True) for name in ("loss_rate_floor", "loss_rate_ceiling", "sharing_rate")
        )
        by_quality = np.clip(1 - highest * score, low, high)
        rate = np.where(scaled, np.where(failed, high, by_quality), rate)
    return np.where(lost, rate, np.nan)


def _loss_limit(table: AcoYears, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss limits in USD, and whether the revenue that a limit depends on is known."""
    limit, owes = table.numbers("loss_limit"), loss > 0
    by_rule = owes & np.isnan(limit)
    known = np.full(len(loss), True)
    if not by_rule.any():
        return np.where(owes, limit, np.inf), known
    share = table.rule("loss_limit_benchmark", by_rule, of_track=True)
    early = by_rule & table.has_rule("loss_limit_first_year")
    if early.any():
        start = table.agreement_start
        table.require(
            "agreement_start", early & np.isnat(start), "the loss limit grows over its years; or give the loss_limit"
        )
        began = np.maximum(start.astype("datetime64[Y]").astype(float) + 1970, FIRST_YEAR)
        for nth, name in enumerate(("loss_limit_first_year", "loss_limit_second_year")):
            rows = early & (table.year - began == nth)
            share = np.where(rows, table.rule(name, rows, of_track=True), share)
    of_benchmark = share * table.benchmark
    exempt = (table.low_revenue == 0) & np.asarray(table.track == "track_1_plus")
    of_revenue = by_rule & table.has_rule("loss_limit_revenue") & ~exempt
    revenue = table.numbers("participant_revenue")
    known = ~(of_revenue & np.isnan(revenue))
    by_revenue = table.rule("loss_limit_revenue", of_revenue, of_track=True) * revenue
    limit = np.where(by_rule, np.fmin(of_benchmark, by_revenue), limit)
    return np.where(owes, limit, np.inf), known


def _disaster_relief(table: AcoYears, loss: np.ndarray, emergency: np.ndarray) -> np.ndarray:
    """What extreme and uncontrollable circumstances take off a loss: all of it in a year that was one emergency."""
    given = -table.numbers("disaster_adjustment")
    relief = np.where(np.isnan(given) | (emergency >= 1), emergency * loss, given)
    return np.minimum(relief, loss)


def _notes(guessed: np.ndarray) -> list[str]:
    if not guessed.any():
        return []
    return [
        f"In {guessed.sum():,} of {len(guessed):,} rows the loss limit depends on a participant revenue that is not "
        "given; the limit on the benchmark was applied, so the loss shown is the highest it can be."
    ]
