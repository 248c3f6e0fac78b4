"""How the studies of one American state say what they found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate
from apmkit.studies.one_treated import Measure, equal_weights, estimates_of, fits_exactly, years_after
from apmkit.studies.us_states import METHOD_WORDS, exact_fits


def side(value: float) -> str:
    """Above or below."""
    return "below" if value < 0 else "above"


def evidence(estimate: Estimate) -> str:
    """Rank and p-value, or that they are withheld and why."""
    found, p = estimate.diagnostics, estimate.table["p_value"].iloc[0]
    if "withheld" in found:
        return (
            f"no p-value: before treatment the paths are {found['pre_fit']:.2f} standard deviations of the donors apart"
        )
    lowest = ", the lowest possible" if np.isclose(p, found["p_value_floor"]) else ""
    return f"rank {found['rank']} of {found['n_placebos'] + 1}, permutation p = {p:.2f}{lowest}"


def finding(estimate: Estimate, measure: Measure, state: str) -> str:
    """The gap after treatment in plain words, with its rank among placebos."""
    after, gap = years_after(estimate), estimate.table["estimate"].iloc[0]
    when = f"In {after[0]}" if len(after) == 1 else f"From {after[0]} to {after[-1]}"
    if gaps := sorted(set(range(after[0], after[-1])) - set(after)):
        when += f" without {' and '.join(map(str, gaps))}"
    return (
        f"{when}, {measure.words} in {state} lay on average {measure.write(gap)} {side(gap)} what the "
        f"comparison with {estimate.diagnostics['n_donors']} other states implies ({evidence(estimate)})."
    )


def shown(estimate: Estimate) -> str:
    """Whether the gap stands out among states, in one plain sentence."""
    found = estimate.diagnostics
    if "withheld" in found:
        return "The fit before is too poor to judge whether that is an effect."
    others = found["rank"] - 1
    text = f"{others or 'None'} of {found['n_placebos']} states without the model {'stands' if others < 2 else 'stand'}"
    return f"{'No effect is shown: ' if estimate.table['p_value'].iloc[0] > 0.05 else ''}{text} out as much."


def falls_and_rises(values) -> str:
    """How many of several estimates are falls, and how many rises."""
    falls = int((np.asarray(values) < 0).sum())
    rises = len(values) - falls
    return f"{falls} are falls and {rises} rises" if falls and rises else f"all are {'falls' if falls else 'rises'}"


def methods_sentence(found: Mapping[str, Estimate], measure: Measure) -> str:
    """Range, signs and p-values of the methods side by side."""
    values = estimates_of(found).to_list()
    known = [e.table["p_value"].iloc[0] for e in found.values() if "withheld" not in e.diagnostics]
    withheld = len(found) - len(known)
    text = f"{len(found)} methods give {measure.span(values)}: {falls_and_rises(values)}."
    if known:
        small = sum(p <= 0.05 for p in known)
        text += f" The smallest p is {min(known):.2f}; {small or 'none'} of {len(known)} "
        text += f"{'are' if small > 1 else 'is'} at 0.05 or below."
    return text + (f" For {withheld} the fit before is too poor to judge." if withheld else "")


def trends_sentence(found: Mapping[str, Estimate], measure: Measure) -> str:
    """What the two assumptions on trends give, and whether the answer changes."""
    parallel = found[METHOD_WORDS["difference_in_differences"]]
    differential = found[METHOD_WORDS["differential_trend"]]
    a, b = (e.table["estimate"].iloc[0] for e in (parallel, differential))
    apart = "The sign changes with the assumption." if a * b < 0 else f"They are {measure.write(b - a)} apart."
    return (
        f"Assume parallel trends, and the change is {measure.span([a])} ({evidence(parallel)}). Assume that the "
        f"earlier difference in trends went on, and it is {measure.span([b])} ({evidence(differential)}). {apart}"
    )


def fit_sentence(estimate: Estimate, measure: Measure) -> str:
    """How far the paths were apart before treatment, and in how many years."""
    found = estimate.diagnostics
    if fits_exactly(estimate):
        return (
            f"In the {found['n_pre_periods']} years before, the two paths are the same. That shows nothing: many mixes "
            f"of {found['n_donors']} donors fit so few years exactly, and over all of them the gap runs from "
            f"{measure.span(exact_fits(estimate))}. The one used spreads the weights most evenly."
        )
    gap = measure.write(found["pre_rmspe"])
    return f"In the {found['n_pre_periods']} years before, the paths are typically {gap} apart."


def donors_sentence(estimate: Estimate, without: pd.DataFrame, measure: Measure) -> str:
    """Who stands in for the state, and what one donor decides.

    Parameters
    ----------
    estimate : Estimate
    without : DataFrame
        From `leave_one_donor_out`.
    """
    weights, gap = estimate.details["donor_weights"], estimate.table["estimate"].iloc[0]
    if equal_weights(estimate):
        text = f"All {len(weights)} donors carry the same weight."
    else:
        top = weights.iloc[0]
        text = (
            f"{top['unit']} carries {top['weight']:.0%} of the weight; the comparison is as narrow as if it used "
            f"{estimate.diagnostics['effective_donors']:.1f} donors equally."
        )
    flips = int((without["estimate"] * gap < 0).sum())
    return (
        f"{text} Without one donor at a time the gap is {measure.span(without['estimate'])}; its sign changes in "
        f"{flips or 'none'} of {len(without)}."
    )


def starts_sentence(starts: pd.DataFrame, estimate: Estimate, measure: Measure) -> str:
    """What pretended starts show; `starts` comes from `pretended_starts`."""
    if starts.empty:
        return "There are too few years before treatment to pretend an earlier start. The design cannot be tested so."
    gap = abs(estimate.table["estimate"].iloc[0])
    larger = int((starts["estimate"].abs() >= gap).sum())
    n = len(starts)
    named = f"{starts['start'].iloc[0]}" if n == 1 else f"each year from {starts['start'].iloc[0]} to "
    named += "" if n == 1 else str(starts["start"].iloc[-1])
    return (
        f"Told that it began in {named}, before it did, the same method finds {measure.span(starts['estimate'])}; "
        f"{larger or 'none'} of {n} {'is' if larger == 1 else 'are'} at least as large as the estimate."
    )


def power_sentence(estimate: Estimate, measure: Measure, effect: float) -> str:
    """The effect that would have been found with a chance of 80%, beside the level of the state."""
    path = estimate.details["path"]
    level = path["treated"].iloc[estimate.diagnostics["n_pre_periods"] - 1]
    ranks = max(int(0.05 * (estimate.diagnostics["n_placebos"] + 1)), 1)
    largest = "gap is the largest" if ranks == 1 else f"gap is among the {ranks} largest"
    return (
        f"Call a state unusual when its {largest}. Then an effect of {measure.write(effect)}, {effect / level:.1%} of "
        "the last level before, would be found with a chance of 80%; a smaller one would more often be missed."
    )


def advantage_sentence(rows: pd.DataFrame, state: str) -> str:
    """How the share of Medicare Advantage grew in one state and in the median of the others.

    Parameters
    ----------
    rows : DataFrame
        From `state_years`.
    state : str
        Its name.
    """
    wide = 100 * rows.pivot_table(index="year", columns="area", values="ma_share")
    first, last = wide.index[0], wide.index[-1]
    grown = (wide.loc[last] - wide.loc[first]).drop(state)
    own = wide.loc[last, state] - wide.loc[first, state]
    return (
        f"From {first} to {last} the share in Medicare Advantage grew by {own:.0f} points in {state}, from "
        f"{wide.loc[first, state]:.0f}% to {wide.loc[last, state]:.0f}%, and by {grown.median():.0f} points in the "
        f"median of the others; it grew by more in {int((grown > own).sum())} of these {len(grown)}."
    )
