"""Sentences of the study of practices that move from enhanced fees to blended capitation."""

from __future__ import annotations

import pandas as pd

from apmkit.estimate import Estimate


def signed(value: float, digits: int = 1) -> str:
    """A percentage with its sign.

    >>> signed(-0.04), signed(7.96)
    ('0.0%', '+8.0%')
    """
    text = f"{value:+.{digits}f}%"
    return text if float(text[:-1]) else f"{0:.{digits}f}%"


def finding(estimate: Estimate, truth: float, words: str, estimator: str) -> str:
    """Truth and estimate in one sentence, and whether the interval holds the truth."""
    row = estimate.table.iloc[0]
    holds = row["ci_low"] <= truth <= row["ci_high"]
    return (
        f"In this simulation the switch truly changes {words} by {signed(truth)}. {estimator} finds "
        f"{signed(row['estimate'])} (95% CI {signed(row['ci_low'])} to {signed(row['ci_high'])}): the interval "
        + ("holds the truth." if holds else "misses the truth.")
    )


def held_sentence(estimates: dict[str, Estimate], truths: dict[str, float], names: dict[str, str]) -> str:
    """Which intervals of one history hold the truth."""
    misses = [
        names[name]
        for name, found in estimates.items()
        if not found.table["ci_low"].iloc[0] <= truths[name] <= found.table["ci_high"].iloc[0]
    ]
    if not misses:
        return f"Here all {len(estimates)} intervals hold the truth."
    held = len(estimates) - len(misses)
    verb = "holds" if held == 1 else "hold"
    return f"Here {held} of {len(estimates)} intervals {verb} the truth; the others miss it: {'; '.join(misses)}."


def worlds_list(table: pd.DataFrame, names: dict[str, str]) -> str:
    """A list in Markdown: in each world, the estimators whose intervals hold the truth in fewer than 80% of draws."""
    parts = []
    for world, rows in table.groupby("world", sort=False):
        fail = rows[rows["coverage"] < 0.8]
        if fail.empty:
            said = "every estimator's intervals hold the truth in at least 80% of draws"
        elif len(fail) == len(rows):
            said = "all estimators fail"
        else:
            said = f"these fail: {'; '.join(names[name] for name in fail['estimator'])}"
        parts.append(f"* **{world}**: {said}.")
    return "\n".join(parts)


def readings_sentences(readings: pd.DataFrame) -> tuple[str, str]:
    """What would have to be true beside the effect, for each scenario."""
    some, hong = readings.loc["some_2020"], readings.loc["hong_2024"]

    def found(row: pd.Series, kind: str) -> str:
        return f"{signed(row[kind])} (95% CI {signed(row[f'{kind}_low'])} to {signed(row[f'{kind}_high'])})"

    less = "less" if some["needed"] < 0 else "more"
    return (
        f"**If Somé et al. are right** ({signed(some['truth'], 0)} after hours): suppose that practices that switch "
        f"had {abs(some['needed']):.0f}% {less} work after hours all along. Then the comparison across practices finds "
        f"{found(some, 'across')}, and the comparison over time in the same data {found(some, 'within')}.",
        f"**If Hong et al. are right** ({signed(hong['truth'], 0)} after hours): suppose that work after hours in "
        f"practices that switch changed by {signed(hong['needed'])} *every year*, beyond the others, without the "
        f"switch. Then the comparison over time finds {found(hong, 'within')}, but the comparison across practices "
        f"{found(hong, 'across')}.",
    )


def reconcile_sentence(readings: pd.DataFrame) -> str:
    """The two studies in one sentence."""
    some, hong = readings.loc["some_2020"], readings.loc["hong_2024"]
    signs = f"both {signed(some['truth'], 0)} and {signed(hong['truth'], 0)}"
    return (
        f"One truth cannot be {signs} after hours. Two designs can give both signs on one truth: where the effect is "
        f"{signed(some['truth'], 0)}, a comparison across practices finds {signed(some['across'], 0)} if those that "
        f"switched had {abs(some['needed']):.0f}% less work after hours all along."
    )


def pay_sentence(pay: pd.DataFrame) -> str:
    """What the switch would do to pay; capitation rates are made up, and marked."""
    mean = pay.mean()
    return (
        f"On the same work FHG pays CAD {mean['fhg']:.0f}† a patient and year on average and FHO "
        f"CAD {mean['fho']:.0f}†; after the responses of Somé et al. FHO pays CAD {mean['fho_some_2020']:.0f}†, after "
        f"those of Hong et al. CAD {mean['fho_hong_2024']:.0f}†."
    )


def selection_sentence(switches: pd.Series, level: pd.Series, drift: pd.Series) -> str:
    """How those who switch differed before, in level and in trend."""
    gap, per_year = (100 * (values[switches].mean() - values[~switches].mean()) for values in (level, drift))
    return (
        f"Before anyone switches, practices that will switch have {abs(gap):.0f}% {'less' if gap < 0 else 'more'} of "
        f"this outcome than those that will stay, and it {'falls' if per_year < 0 else 'rises'} by "
        f"{abs(per_year):.1f}% a year beyond theirs (differences of logs, in percent)."
    )
