"""Sentences of the study of two-sided risk; each follows the numbers it is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

import apmkit as apm
from apmkit.estimate import Estimate
from apmkit.studies import Result
from apmkit.studies.us_mssp_downside_risk import DownsideRiskParameters, drift_before, mean_without, select, words
from apmkit.words import excludes_zero, rounded, shown_p


def in_short_sentence(groups: Mapping[str, pd.DataFrame], latest: int) -> str:
    """How many switched, and how many of the others had left; `groups` as in `by_side`."""
    never = groups["never"]
    return (
        f"{len(groups['switched'])} ACOs switched. Of the {len(never)} that never did, "
        f"{(never['last_seen'] < latest).mean():.0%} had left by {latest}, so late years are compared with the few "
        "that stayed and did not switch. What happened to patients of ACOs that left is not in these files."
    )


def drift_sentence(event: Estimate) -> str:
    """What the years before the switch say of parallel trends."""
    p = drift_before(event)
    if p is None:
        return "This estimator gives no estimates before the switch that could be tested together."
    before = int((event.table["relative_time"] < 0).sum())
    together = f"Taken together, the {before} estimates before the switch"
    if p < 0.05:
        return f"{together} differ from zero by more than chance ({shown_p(p)}): trends were not parallel."
    return (
        f"{together} do not differ from zero by more than chance ({shown_p(p)}). That is no proof of parallel trends."
    )


def first_year_sentence(event: Estimate, panel: apm.Panel, unit: str) -> str:
    """The estimate in the first year of two-sided risk, and on how many ACOs the first and the last year rest."""
    first = event.term("relative_time=0").table.iloc[0]
    band = event.uniform_band().set_index("term").loc["relative_time=0"]
    includes = band["low"] <= 0 <= band["high"]
    at_risk = panel.periods[None, :] - panel.cohorts[:, None]
    counts = pd.Series(at_risk[panel.observed & np.isfinite(at_risk) & (at_risk >= 0)]).value_counts().sort_index()
    return (
        f"In the first year the estimate is {rounded(first['estimate'], first['se'])} {unit} (95% interval "
        f"{rounded(first['ci_low'], first['se'])} to {rounded(first['ci_high'], first['se'])}; the band for all years "
        f"{'includes' if includes else 'excludes'} zero). It rests on {counts.iloc[0]} ACOs; year "
        f"{int(counts.index[-1])} rests on {counts.iloc[-1]}."
    )


def estimator_sentence(parameters: DownsideRiskParameters) -> str:
    """How the estimator of the page compares, and what two-way fixed effects would do instead."""
    control = "have not yet switched" if parameters.control == "not_yet_treated" else "never switch"
    approach = {
        "callaway_santanna": f"The estimator here compares each cohort only with ACOs that {control}",
        "imputation": "The estimator here predicts each outcome after the switch from ACO and year effects, fitted to "
        "years without two-sided risk only",
        "sun_abraham": "The estimator here gives each cohort its own effect in each year, against ACOs that never "
        "switch",
        "twfe": "The estimator here is one regression with ACO and year effects. It also uses ACOs already switched as "
        "controls, which misleads when effects grow with time",
    }[parameters.estimator]
    if parameters.estimator == "twfe":
        return f"{approach}."
    return (
        f"{approach}; two-way fixed effects would also use ACOs already switched, which misleads when effects grow "
        "with time."
    )


def estimate_text(result: Result, chosen: pd.DataFrame, parameters: DownsideRiskParameters) -> str:
    """The headline, what it rests on and what the design could have found, as paragraphs in Markdown."""
    att, (_, unit) = result.estimates["att"], words(parameters)
    se = att.table["se"].iloc[0]
    detectable = apm.minimum_detectable_effect(att)["minimum_detectable_effect"].item()
    left_out = "; ".join(f"{what}: {who['count']}" for what, who in att.diagnostics["left_out"].items())
    rests = f"This averages all years since the switch. It uses {att.n_obs:,} rows of {att.n_units:,} ACOs. "
    if left_out:
        rests += f"Left out are {left_out}. "
    if parameters.scale == "level":
        mean = mean_without(chosen, parameters.outcome)
        rests += f"The mean without two-sided risk is {rounded(mean, se)} {unit}."
    else:
        rests += "A log point of 0.01 is about one percent."
    power = (
        f"A study of this size would find an effect of {rounded(detectable, se)} {unit} four times out of five, at the "
        "5% level."
    )
    return "\n\n".join([f"**{' '.join(result.sentences)}**", rests, power])


def alternatives_sentence(found: Mapping[str, Estimate], impossible: Mapping[str, str]) -> str:
    """How many estimates are falls or rises, and which intervals exclude zero; both as in `alternatives`."""
    points = [each.table["estimate"].iloc[0] for each in found.values()]
    clear = [name for name, each in found.items() if excludes_zero(each)]
    return (
        f"Of {len(found)} estimates, {sum(p < 0 for p in points)} are falls and {sum(p >= 0 for p in points)} are "
        "rises; "
        + (f"without zero in the interval: {', '.join(clear)}." if clear else "no interval excludes zero.")
        + "".join(f" Not possible: {name} ({why})" for name, why in impossible.items())
    )


def bounds_sentence(ranges: pd.DataFrame, se: float, unit: str) -> str:
    """How far exit alone can move the estimate; `ranges` as in `exit_ranges`."""
    worst, tenths = ranges.loc[0.0], ranges.loc[0.1]
    if np.isclose(worst["low"], worst["high"]):
        return "No ACO of this sample leaves before the window ends, so exit does not matter here."
    crosses = tenths["low"] < 0 < tenths["high"]
    return (
        f"Between the tenths the estimate could lie anywhere from {rounded(tenths['low'], se)} to "
        f"{rounded(tenths['high'], se)} {unit}: "
        f"{'exit alone leaves even its sign open' if crosses else 'even then its sign stays the same'}. "
        f"In the worst case, the most extreme change ever seen, it could lie from {rounded(worst['low'], se)} to "
        f"{rounded(worst['high'], se)}."
    )


def counted_sentence(clear: bool) -> str:
    """Whether who is counted changes with the switch."""
    if not clear:
        return "None of these changes is clear."
    return (
        "At least one of these changes is clear: part of any change in spending or use after the switch is a change in "
        "who is counted."
    )


def policy_sentence(tried: Mapping[str, Estimate], frame: pd.DataFrame, parameters: DownsideRiskParameters) -> str:
    """The interval on spending beside what an ACO had to save to be paid.

    Parameters
    ----------
    tried : mapping of str to Estimate
        From `alternatives`, for spending per person in dollars.
    frame : DataFrame
        From `aco_years`.
    parameters : DownsideRiskParameters
        Those of `tried`.
    """
    latest = frame["year"].max()
    needed = frame[frame["year"] == latest].groupby("two_sided")["minimum_savings_rate"].median()
    mean = mean_without(select(frame, parameters), parameters.outcome)
    falls = {name: -100 * each.table["ci_low"].iloc[0] / mean for name, each in tried.items()}
    highest = 100 * tried["as chosen"].table["ci_high"].iloc[0] / mean
    minimum = 100 * needed[True]
    reach = sum(fall >= minimum for fall in falls.values())
    wider = ", and the bounds for those that left are wider still" if parameters.sample == "all" else ""
    return (
        f"On spending, the interval runs from {-falls['as chosen']:+.1f}% to {highest:+.1f}% of the mean. In {latest} "
        f"an ACO had to save at least its minimum savings rate to be paid, at the median {needed[True]:.1%} under "
        f"two-sided and {needed[False]:.1%} under one-sided risk. Of {len(tried)} choices, {reach} have an interval "
        f"that reaches a fall of {minimum:.1f}%{wider}. So a fall of that size is "
        f"{'not excluded' if reach else 'unlikely'}."
    )
