"""How what is found about settlements is said; every sentence follows the numbers it is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate

NO_EFFECT = {
    "sampling": "sampling alone",
    "year_to_year": "changes from year to year",
    "published": "published savings rates",
}
"""Names of the three spreads; `apmkit.payment.mssp.SavingsSpread.source` has the same."""

_LEVEL = 0.95


def percent(value: float, digits: int = 0) -> str:
    """A share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def dollars(value: float) -> str:
    """An amount of money in words, without its sign: thousands, millions or billions of USD."""
    size = abs(value)
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if size >= unit:
            return f"USD {size / unit:,.{2 if size < 10 * unit else 1}f} {name}"
    return f"USD {size:,.0f}"


def several(n: int, noun: str) -> str:
    """A count with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _interval(estimate: Estimate, term: str) -> str:
    row = estimate.term(term).table.iloc[0]
    return f"{row['estimate']:.2f} ({estimate.level:.0%} interval {row['ci_low']:.2f} to {row['ci_high']:.2f})"


def apart(lag: int) -> str:
    """The distance of two years in words."""
    return "one year apart" if lag == 1 else f"{lag} years apart"


def persistence_sentence(estimate: Estimate, lag: int) -> str:
    """How far a savings rate lasts, within and across agreements where both can be told."""
    terms = estimate.table["term"].tolist()
    text = (
        f"Savings rates of the same ACO {apart(lag)}, each less the mean of its year, correlate at "
        f"{_interval(estimate, terms[0])}."
    )
    if "one less two agreements" in terms:
        values = estimate.table.set_index("term")["estimate"]
        text += (
            f" Within one agreement the correlation is {values['one agreement']:.2f}, across two "
            f"{values['two agreements']:.2f}."
        )
    return text


def agreement_sentence(estimate: Estimate) -> str:
    """Whether less lasts once the benchmark is set anew."""
    terms = estimate.table["term"].tolist()
    if "one less two agreements" not in terms:
        return "In this window too few ACOs have both kinds of pairs to compare one agreement with two."
    row = estimate.term("one less two agreements").table.iloc[0]
    if row["ci_low"] > 0:
        verdict = "less lasts once the benchmark is set anew, as it would if part of what lasts is in the benchmark"
    elif row["ci_high"] < 0:
        verdict = "more lasts across agreements, which a lasting error of the benchmark does not explain"
    else:
        verdict = "the data do not tell whether less lasts once the benchmark is set anew"
    return f"The difference is {_interval(estimate, 'one less two agreements')}: {verdict}."


def _columns(by_year: pd.DataFrame, name: str) -> pd.Series:
    return by_year[f"chance by {NO_EFFECT[name]}"]


def share_sentence(by_year: pd.DataFrame, spread: str) -> str:
    """Shares past the minimum in the first and last year of a window, beside those by chance in the last."""
    first, last = by_year.iloc[0], by_year.iloc[-1]
    low, chosen, high = (_columns(by_year, name).iloc[-1] for name in ("sampling", spread, "published"))
    bounds = f"{percent(low)} (sampling alone) and {percent(high)} (all of the published spread)"
    between = "" if spread in ("sampling", "published") else f", {percent(chosen)} by {NO_EFFECT[spread]}"
    return (
        f"{percent(first['share_past'])} of ACOs passed their minimum savings rate in {by_year.index[0]} and "
        f"{percent(last['share_past'])} in {by_year.index[-1]}; without any effect it would be between {bounds} in "
        f"{by_year.index[-1]}{between}."
    )


def spell_sentence(by_year: pd.DataFrame) -> str:
    """In which years the published share is above all that chance without effect could do."""
    high = _columns(by_year, "published")
    above = by_year.index[by_year["past_low"] > high].tolist()
    inside = [year for year in by_year.index if year not in above]
    centred = by_year["share_past_centred"]
    text = f"The interval of the share lies above the upper bound of chance in {len(above)} of {len(by_year)} years"
    text += f" ({', '.join(map(str, above))})" if above and inside else ""
    text += f"; in {', '.join(map(str, inside))} it does not." if above and inside else "."
    rise = by_year["mean_savings_rate"].iloc[-1] - by_year["mean_savings_rate"].iloc[0]
    return (
        f"{text} From {by_year.index[0]} to {by_year.index[-1]} the mean savings rate moved by {100 * rise:+.1f} "
        f"percentage points, from {percent(by_year['mean_savings_rate'].iloc[0], 1)} to "
        f"{percent(by_year['mean_savings_rate'].iloc[-1], 1)}. Less the mean of each year, "
        f"{percent(centred.min())} to {percent(centred.max())} would pass in every year."
    )


def size_sentence(observed: pd.DataFrame) -> str:
    """Published shares by size beside the bounds of chance, as they are and less the mean of their year."""
    low, high = (observed[f"chance by {NO_EFFECT[name]}"] for name in ("sampling", "published"))
    above = int((observed["past_low"] > high).sum())
    centred = observed["share_past_centred"]
    inside = int(((centred >= low) & (centred <= high)).sum())
    return (
        f"The published share is clearly above the upper bound in {above} of {len(observed)} groups of size. Less the "
        f"mean savings rate of each year (open points) it lies between the bounds in {inside}: the distance between "
        "filled and open points is the mean saving against the benchmark, which all ACOs of a year have in common."
    )


def rebuilt_sentence(years: pd.DataFrame) -> str:
    """How many cheques and debts the rules give as published."""
    sums = years.sum()
    owing = int(sums["owing"])
    losses = f", and {int(sums['losses_within_0.1%'])} of {several(owing, 'debt')}" if owing else ""
    return f"The rules rebuild {int(sums['within_0.1%']):,} of {int(sums['paid']):,} cheques within 0.1 %{losses}."


def exceptions_sentence(exceptions: pd.DataFrame) -> str:
    """What the exceptions are: those that differ, and those that only need a word."""
    if exceptions.empty:
        return "In these years there is none."
    text = f"{several(len(exceptions), 'ACO-year')} need a word beside the rule."
    by_year = exceptions.loc[~exceptions["agrees"], "year"].value_counts().sort_index()
    if by_year.empty:
        return f"{text} All agree with what is published, for the reason given."
    where = ", ".join(f"{n} in {year}" for year, n in by_year.items())
    return (
        f"{text} In {by_year.sum()} the amounts differ ({where}). The others agree with what is published, for the "
        "reason given."
    )


def rounding_sentence(years: pd.DataFrame) -> str:
    """Where a cheque is rebuilt to the dollar and where rounding of published rates forbids it."""
    exact = years.index[years["within_dollar"] == years["paid"]].tolist()
    rest = years.drop(index=exact)
    text = f"To the dollar all cheques agree in {', '.join(map(str, exact))}." if exact else ""
    if rest.empty:
        return text
    share = rest["within_dollar"] / rest["paid"]
    fine = (rest["within_rounding"] == rest["paid"]).all()
    return (
        f"{text} In {', '.join(map(str, rest.index))} the published sharing rates are rounded, and "
        f"{percent(share.min())} to {percent(share.max())} agree to the dollar; "
        + ("the rounding explains every other cheque." if fine else "the rounding does not explain all others.")
    ).strip()


def cheque_sentence(given: pd.Series, total: float) -> str:
    """The rebuilt amount beside the published one."""
    published = float(given["earned_savings"])
    kind = "paid" if published > 0 else "owed" if published < 0 else "neither paid nor owed anything"
    name = f"{given['aco_name']} ({given['aco_id']}), track {given['track']}, {given['year']}"
    if published == 0:
        return f"{name}: published as {kind}; rebuilt the same." if total == 0 else f"{name}: published as {kind}."
    gap = total - published
    close = abs(gap) <= 1
    words = "the same to the dollar" if close else f"{dollars(gap)} {'more' if abs(total) > abs(published) else 'less'}"
    why = "" if close or abs(gap) <= 0.001 * abs(published) else "; it is one of the exceptions of its year"
    return f"{name}: CMS published USD {abs(published):,.0f} {kind}; the steps give {words}{why}."


def miss_sentence(missed: pd.DataFrame, year: int) -> str:
    """What the ACO just below its minimum gets, and would get just above it."""
    if missed.empty:
        return f"In {year} no ACO saved without reaching its minimum."
    row = missed.iloc[0]
    return (
        f"In {year} {row['aco_name']} saved {dollars(row['saved'])} and missed its minimum by {dollars(row['short'])}, "
        f"{percent(row['short'] / row['saved'])} of its savings. It was paid nothing; had it reached the minimum, the "
        f"same savings would have paid about {dollars(row['would_be'])}."
    )


def tails_sentence(outside: float, n: int) -> str:
    """How far the normal distribution holds in the tails."""
    verdict = "more" if outside > 1 - _LEVEL + 2 * np.sqrt(0.05 * 0.95 / n) else "about as many"
    return (
        f"Of {n:,} ACO-years, {percent(outside, 1)} lie outside the band in which {percent(_LEVEL)} of a normal "
        f"distribution would be: {verdict}{' than' if verdict == 'more' else ' as'} the assumption allows."
    )


def bill_sentence(bill: pd.DataFrame, year: int, spread: str) -> str:
    """What chance alone would have paid, beside what was paid."""
    paid = bill.loc["as published", "paid"]
    low, high, chosen = (bill.loc[name, "paid"] for name in ("sampling", "published", spread))
    middle = (
        "" if spread in ("sampling", "published") else f" {NO_EFFECT[spread][0].upper()}{NO_EFFECT[spread][1:]} give"
    )
    middle += f" {dollars(chosen)}," if middle else " The one chosen here is"
    return (
        f"In {year} {dollars(paid)} was paid. If every savings rate had been chance around zero, the same ACOs under "
        f"the same rules would have been paid {dollars(low)} (sampling alone) to {dollars(high)} (published spread) on "
        f"average.{middle} {percent(chosen / paid)} of what was paid."
    )


def next_sentence(table: pd.DataFrame, lag: int) -> str:
    """How often those paid and those not paid are paid again."""
    if not {"paid", "not paid"} <= set(table.index):
        return "All ACO-years of this window are of one kind."
    yes, no = table.loc["paid"], table.loc["not paid"]
    return (
        f"Of ACOs paid in one year and still there {'a year' if lag == 1 else f'{lag} years'} later, "
        f"{percent(yes['share'])} ({percent(yes['low'])} to {percent(yes['high'])}) were paid then too; of those not "
        f"paid, {percent(no['share'])} ({percent(no['low'])} to {percent(no['high'])})."
    )


def range_sentence(estimates: Mapping[str, Estimate]) -> str:
    """The range of the correlation over other choices."""
    values = {name: found.table["estimate"].iloc[0] for name, found in estimates.items()}
    least, most = min(values, key=values.get), max(values, key=values.get)
    return (
        f"Over {len(values)} choices the correlation runs from {values[least]:.2f} ({least}) to {values[most]:.2f} "
        f"({most})."
    )


def placebo_sentence(drawn: np.ndarray, observed: float) -> str:
    """What the same calculation finds where nothing can last."""
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    beyond = int((np.abs(drawn) >= abs(observed)).sum())
    return (
        f"Given the later savings rate of another ACO of the same year, drawn at random {len(drawn):,} times, the "
        f"correlation is {low:+.2f} to {high:+.2f} in {percent(_LEVEL)} of draws, and as far from zero as the true "
        f"{observed:.2f} in {beyond if beyond else 'none'}."
    )


def leavers_sentence(table: pd.DataFrame) -> str:
    """How the savings rates of those that leave differ."""
    if "gone" not in table.index or "seen again" not in table.index:
        return "No ACO leaves in this window."
    gone, stay = table.loc["gone"], table.loc["seen again"]
    return (
        f"{int(gone['size']):,} ACO-years are followed by no other. Their savings rates were on average "
        f"{100 * gone['mean']:+.1f} percentage points from the mean of their year, those of ACOs seen again "
        f"{100 * stay['mean']:+.1f}. What leavers would have saved next is not known, and the correlation is that of "
        "ACOs that stayed."
    )


def policy_sentence(options: pd.DataFrame, year: int) -> str:
    """What another minimum would have cost, by arithmetic."""
    row, base = options.iloc[1], options.iloc[0]
    change = row["change"]
    name = options.index[1][0].lower() + options.index[1][1:]
    move = "the same in" if abs(change) < 0.5 else f"{dollars(change)} {'more' if change > 0 else 'less'} in"
    return (
        f"With a {name}, and all else as it was, Medicare would have paid {move} {year} net of losses "
        f"({percent(change / base['net'], 1)} of what it paid net), to {int(row['paid_acos']):,} ACOs in place of "
        f"{int(base['paid_acos']):,}."
    )
