"""What the design studio finds, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from apmkit.contract import Classification, Contract, practice_payments
from apmkit.contract.classification import OUTSIDE
from apmkit.payment import coding_drift

if TYPE_CHECKING:
    from apmkit.payment.practices import Practices
    from apmkit.studies.methods_design_studio import Studio


def placed(contract: Contract, found: Classification, counts: Mapping[str, int]) -> str:
    """Category, reason and score of a contract."""
    code, _, rule = found.reason.partition(": ")
    where = f"is {code}" if code == OUTSIDE else f"is in category {code}"
    why = f"{where}: {_low(rule)}" if code == found.category else f"may be in category {found.category}. {found.reason}"
    return (
        f"By the HCP-LAN framework, {contract.title} {why} The {sum(counts.values())} criteria of the preferred "
        f"design: {', '.join(f'{number} {verdict}' for verdict, number in counts.items() if number)}."
    )


def found(bench: Studio, numbers: Mapping[str, pd.Series]) -> list[str]:
    """Who gains by sickness and what one more visit pays; or why neither is computed for the contract."""
    if not numbers:
        return [not_simulated(bench)]
    gap, more, money = numbers["gap"], numbers["marginal"], bench.currency
    return [
        f"In this simulation, with {bench.subject} paying as much in all as fee-for-service would, the fifth of "
        f"practices with the sickest patients gets {_more(gap['sickest'], money)} per patient than under fees, and the "
        f"fifth with the healthiest {_more(gap['healthiest'], money)}.",
        f"By the rates of {bench.subject}, one more visit pays a practice {amount(more['visit'], money)}, one more "
        f"enrolled patient {amount(more['enrolled_patient'], money)}.",
    ]


def not_simulated(bench: Studio) -> str:
    """Why what practices receive under a contract is not computed, payment by payment."""
    table = practice_payments(bench.contract)
    left = table[~table["computed"]]
    name = bench.contract.title
    if left.empty:
        return f"Practices under {name} are paid fees alone, so it is the base of the comparison."
    why = "; ".join(f"{payment}: {how}" for payment, how in left["how"].items())
    rest = "Practices are shown with their fees alone" if table["computed"].any() else "The page pays fees in its place"
    return f"What {name} pays beyond fees is not computed for practices ({why}). {rest}."


def dial(more: pd.Series, share: float) -> str:
    """What one more visit and patient pay where capitation replaces a share of fees."""
    return (
        f"On Canadian practices, a blend in which capitation replaces {share:.0%} of fees pays "
        f"{amount(more['visit'], 'CAD')} for one more visit and {amount(more['enrolled_patient'], 'CAD')} for one more "
        "enrolled patient †."
    )


def amount(value: float, money: str) -> str:
    """An amount with two digits, "minus" before it where it is negative."""
    return f"{'minus ' if round(value, 2) < 0 else ''}{money} {abs(value):,.2f}"


def _more(value: float, money: str) -> str:
    return f"{money} {abs(value):,.2f} {'more' if value >= 0 else 'less'}"


def known(table: pd.DataFrame) -> str:
    """How much of the record is filled; `table` comes from `completeness`."""
    row = table.loc["All themes"]
    least = table.drop(index="All themes")["share"].idxmin()
    return (
        f"{row['filled']:.0f} of {row['fields']:.0f} fields are filled, {row['unconfirmed']:.0f} of them unconfirmed; "
        f"{row['absent']:.0f} are stated gaps and {row['missing']:.0f} are missing. Least is known of this theme: "
        f"{least.lower()}."
    )


def moves(table: pd.DataFrame, category: str) -> str:
    """How many single changes move the category; `table` comes from `category_moves`."""
    if table.empty:
        return f"No change of one field of one payment moves it out of {category}: that takes two, or another payment."
    reached = "; ".join(sorted(set(table["category"])))
    one = len(table) == 1
    return (
        f"{'One change' if one else f'{len(table)} changes'} of a single field would move it from {category} to "
        f"{reached}."
    )


def spread(summary: pd.DataFrame, money: str) -> str:
    """Where revenue per patient differs least and most; `summary` belongs to a comparison at the same total."""
    between = summary["sd_between"]
    low, high = between.idxmin(), between.idxmax()
    return (
        f"At the same total, revenue per patient differs least between practices under {low} (standard deviation "
        f"{amount(between[low], money)}) and most under {high} ({amount(between[high], money)})."
    )


def adjusted(effect: pd.DataFrame, money: str) -> str:
    """How far payment misses the cost of the sickest fifth of patients; `effect` from `risk_adjustment_effect`."""
    last = effect.index.get_level_values("group").max()
    miss = {name: _signed(value, money, 0) for name, value in effect["error"].xs(last, level="group").items()}
    return (
        f"For the fifth of patients with the highest risk, a rate that is the same for all misses the cost of care by "
        f"{miss['none']} a year, one by age and sex by {miss['age_sex']}, one by risk score by {miss['morbidity']}, "
        f"and the last with a cap on growth by {miss['morbidity_capped']}."
    )


def coded(practices: Practices, *, rise: float = 0.02, cap: float = 0.03) -> str:
    """What better coding costs after five years, if every practice's risk scores rise alike."""
    drift = coding_drift(practices, drift=rise, cap=cap)
    year = drift.index.get_level_values("year").max()
    over = drift["overpayment_share"].xs(year, level="year")
    return (
        f"If every practice wrote down {rise:.0%} more risk a year while nobody got sicker, after {year} years a payer "
        f"would pay too much by {over['uncapped']:.1%} without a cap, by {over['capped']:.1%} if growth above "
        f"{cap:.0%} is not paid, and by {over['normalised']:.1%} if scores are divided by their mean."
    )


def ranged(choices: pd.DataFrame, subject: str, money: str) -> str:
    """How the gap moves with other choices; `choices` comes from `gaps_under_other_choices`."""
    gap = choices["gap"]
    sign = "has the same sign in all" if (gap > 0).all() or (gap < 0).all() else "changes its sign among"
    return (
        f"Under {subject} the gap between practices with the sickest and the healthiest patients {sign} {len(gap)} "
        f"choices; it goes from {_signed(gap.min(), money)} ({_low(gap.idxmin())}) to {_signed(gap.max(), money)} "
        f"({_low(gap.idxmax())})."
    )


def _signed(value: float, money: str, digits: int = 2) -> str:
    return f"{'plus' if value >= 0 else 'minus'} {money} {abs(value):,.{digits}f}"


def _low(name: str) -> str:
    return name[0].lower() + name[1:]


def dialled(table: pd.DataFrame) -> str:
    """What full capitation changes against full fees; `table` comes from `capitation_dial_table`."""
    first, last = table.iloc[0], table.iloc[-1]
    return (
        f"One more visit brings {amount(first['visit'], 'CAD')} under fees alone and {amount(last['visit'], 'CAD')} "
        f"under capitation alone. Revenue per patient differs between practices by a standard deviation of "
        f"{amount(first['sd_between'], 'CAD')} and {amount(last['sd_between'], 'CAD')}."
    )
