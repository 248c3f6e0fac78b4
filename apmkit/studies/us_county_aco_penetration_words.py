"""Sentences of the study of ACO penetration by county; each follows the numbers it is given."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

import apmkit as apm
from apmkit.estimate import Estimate
from apmkit.studies.us_county_aco_penetration import UNITS, CountyPenetrationParameters
from apmkit.words import excludes_zero, rounded, shown_p


def drift_sentence(event: Estimate, parameters: CountyPenetrationParameters) -> str:
    """What the years before the program say of parallel trends."""
    if parameters.trends == "differential":
        return (
            "Each county's own line of 2007-2011 has been taken out, so that the years before are near zero by "
            "construction and test nothing."
        )
    p = float(event.joint_test()["p_value"])
    before = event.table[event.table["relative_time"] < 0]
    if p < 0.05:
        return (
            f"Taken together the {len(before)} estimates before the program differ from zero ({shown_p(p)}): counties "
            "of different dose were not on parallel paths."
        )
    return (
        f"Taken together the {len(before)} estimates before the program do not differ from zero by more than chance "
        f"({shown_p(p)}), which is no proof of parallel paths."
    )


def growth_sentence(event: Estimate, parameters: CountyPenetrationParameters) -> str:
    """How the estimates go on after 2014, although the dose does not."""
    after = event.table[event.table["relative_time"] >= 2]
    if len(after) < 2:
        return "The window ends in 2014, so that nothing can be said of later years."
    first, last = after.iloc[0], after.iloc[-1]
    unit, se = UNITS[parameters.scale], last.se
    text = (
        f"From {first.term} to {last.term} the estimate goes from {rounded(first.estimate, se)} to "
        f"{rounded(last.estimate, se)} {unit}, though the dose of this page stands still."
    )
    if abs(last.estimate) > 1.3 * abs(first.estimate):
        text += " ACOs that came later, slow learning or trends that differ would all look like this."
    return text


def balance_sentence(found: Mapping[str, Estimate]) -> str:
    """Which characteristics go with the dose."""
    differ = [name for name, each in found.items() if excludes_zero(each)]
    if not differ:
        return "None of these goes with the dose by more than chance; what is not in the table may."
    return f"By more than chance the dose goes with: {'; '.join(differ)}. So the dose was not drawn by lot."


def pretended_sentence(found: Mapping[int, Estimate], unit: str) -> str:
    """What false starts find."""
    differ = [str(start) for start, each in found.items() if excludes_zero(each)]
    values = [each.table["estimate"].iloc[0] for each in found.values()]
    se = min(each.table["se"].iloc[0] for each in found.values())
    text = f"Pretended starts give {rounded(min(values), se)} to {rounded(max(values), se)} {unit}."
    if differ:
        return f"{text} The intervals of {', '.join(differ)} exclude zero, in years without any ACO."
    return f"{text} All intervals include zero."


def direction_sentence(early: Mapping[int, Estimate], found: Estimate) -> str:
    """Which way the drift before the program would bend the estimate, if it went on or turned back."""
    before = sum(each.table["estimate"].iloc[0] for each in early.values())
    same = before * found.table["estimate"].iloc[0] > 0
    way = "rose" if before > 0 else "fell"
    on = "would alone produce an estimate of this sign" if same else "would hide a part of the estimate"
    back = "hide a part of it" if same else "alone produce an estimate of this sign"
    return (
        f"Before the program cost {way} with the dose. Had that gone on, it {on}. Had it turned back, as unusual "
        f"changes often do (regression to the mean), it would {back}. The data do not say which."
    )


def possible_sentence(per_person: pd.Series) -> str:
    """The effect per assigned person if only these were affected."""
    low, high = sorted(per_person[["ci_low", "ci_high"]])
    return (
        f"If nobody but the assigned had been affected, the estimate means a change of {per_person['estimate']:.1f} "
        f"percent of the mean cost for each of them (95% CI {low:.1f} to {high:.1f}). With 80 % power the design finds "
        f"{per_person['detectable']:.1f} percent."
    )


def curve_sentence(levels: Estimate, cost: float, parameters: CountyPenetrationParameters) -> str:
    """The level at the lowest dose shown, per assigned person."""
    row = levels.table[levels.table["dose"].notna()].iloc[1]
    each = row.estimate / (row.dose / 100)
    share = each if parameters.scale == "log" else 100 * each / cost
    return (
        f"At a dose of {row.dose:.0f} percent the level, spread over the assigned alone, would be a change of "
        f"{share:.0f} percent in their cost."
    )


def evaluated_words(cost: float) -> str:
    """What McWilliams et al. (2016) found on patients of the first two cohorts, beside the mean cost of counties."""
    effects = apm.load("published_effects").set_index("id").loc[["US043", "US044"], "estimate"]
    return (
        f"{effects.iloc[0]:.0f} dollars a patient in 2013 for ACOs that began in 2012 and {effects.iloc[1]:.0f} for "
        f"those of 2013, {100 * effects.iloc[0] / cost:.1f} and {100 * effects.iloc[1] / cost:.1f} percent of the mean "
        "cost here"
    )


def bounds_sentence(found: Mapping[str, Estimate], unit: str) -> str:
    """How much suppressed cells can matter."""
    values = [each.table["estimate"].iloc[0] for each in found.values()]
    se = next(iter(found.values())).table["se"].iloc[0]
    return (
        f"The slope lies between {rounded(min(values), se)} and {rounded(max(values), se)} {unit} under all three, "
        f"a range of {abs(max(values) - min(values)) / se:.1f} standard errors."
    )


def range_sentence(found: Mapping[str, Estimate], unit: str) -> str:
    """From where to where the estimates of other choices go, and how many intervals exclude zero."""
    values = pd.Series({name: each.table["estimate"].iloc[0] for name, each in found.items()})
    se = found["as chosen"].table["se"].iloc[0]
    outside = sum(excludes_zero(each) for each in found.values())
    return (
        f"The {len(values)} estimates go from {rounded(values.min(), se)} ({values.idxmin()}) to "
        f"{rounded(values.max(), se)} {unit} ({values.idxmax()}); {outside or 'none'} of the intervals "
        f"{'excludes' if outside < 2 else 'exclude'} zero."
    )


def states_sentence(slopes: pd.Series, found: Estimate, unit: str) -> str:
    """How far one state decides."""
    se, own = found.table["se"].iloc[0], found.table["estimate"].iloc[0]
    most = (slopes - own).abs().idxmax()
    return (
        f"Without one state at a time the slope goes from {rounded(slopes.min(), se)} to {rounded(slopes.max(), se)} "
        f"{unit}; {most} moves it most."
    )


def policy_sentence(found: Estimate, event: Estimate, parameters: CountyPenetrationParameters) -> str:
    """What the headline means, given the years before."""
    drifts = parameters.trends == "parallel" and float(event.joint_test()["p_value"]) < 0.05
    row = found.table.iloc[0]
    if not excludes_zero(found):
        return "A region with more ACO patients cannot be said to have become cheaper or dearer, by this design."
    way = "less" if row.estimate < 0 else "more"
    text = f"Where more patients were assigned to ACOs, Medicare came to spend {way} per beneficiary."
    if drifts:
        return f"{text} Since these counties were on paths of their own before, it does not show that ACOs did it."
    return f"{text} That it was the ACOs rests on trends that this page can only look at before the program."
