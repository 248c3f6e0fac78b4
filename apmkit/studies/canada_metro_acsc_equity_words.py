"""Outcomes of the study of avoidable hospital stays, and how what is found about them is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from apmkit.estimate import Estimate

STEP = 10.0
"""Percentage points of alternative share to which estimates refer."""

NAMES = {
    "AB": "Alberta",
    "BC": "British Columbia",
    "MB": "Manitoba",
    "NB": "New Brunswick",
    "NL": "Newfoundland and Labrador",
    "NS": "Nova Scotia",
    "ON": "Ontario",
    "SK": "Saskatchewan",
}


@dataclass(frozen=True)
class Outcome:
    """An outcome: words for it, and its unit."""

    words: str
    short: str
    axis: str
    unit: str
    digits: int = 1

    def number(self, value: float, sign: str = "") -> str:
        """A number with its decimals."""
        return f"{value:{sign},.{self.digits}f}"

    def amount(self, value: float, sign: str = "") -> str:
        """A number with its unit; of a logarithm with the factor that it is."""
        factor = f" (a factor of {np.exp(value):.2f})" if self.unit == "log points" else ""
        return f"{self.number(value, sign)} {self.unit}{factor}"


OUTCOMES = {
    "slope_index": Outcome(
        words="the gap in {} between the poorest and the richest end of a city",
        short="the slope index",
        axis="Slope index of inequality\n(stays per 100,000 people a year)",
        unit="stays per 100,000 people",
    ),
    "relative_index": Outcome(
        words="the relative gap in {} between the poorest and the richest end of a city",
        short="the relative index",
        axis="Relative index of inequality\n(logarithm)",
        unit="log points",
        digits=2,
    ),
    "rate": Outcome(
        words="the rate of {} in a whole city",
        short="the rate",
        axis="Age-standardised rate\n(stays per 100,000 people a year)",
        unit="stays per 100,000 people",
    ),
}


@dataclass(frozen=True)
class Condition:
    """Stays counted: words for them, and the indicator in the data set."""

    words: str
    indicator: str


_ACSC = "Ambulatory Care Sensitive Conditions"
CONDITIONS = {
    "overall": Condition("avoidable hospital stays", f"{_ACSC}: Overall"),
    "copd": Condition("stays for chronic lung disease", f"{_ACSC}: COPD"),
    "heart_failure": Condition("stays for heart failure", f"{_ACSC}: Congestive Heart Failure"),
    "diabetes": Condition("stays for diabetes", f"{_ACSC}: Diabetes"),
    "asthma": Condition("stays for asthma", f"{_ACSC}: Asthma"),
    "angina": Condition("stays for angina", f"{_ACSC}: Angina"),
    "epilepsy": Condition("stays for seizures", f"{_ACSC}: Grand Mal Status and Other Epileptic Convulsions"),
    "injury": Condition("stays for injury", "Injury Hospitalization"),
    "falls": Condition("stays for falls", "Falls Injury Hospitalization"),
}

PLACEBOS = ("injury", "falls")
"""Stays that the pay of family doctors should hardly move."""

METHOD_WORDS = {
    "CR1": "clustered, usual (CR1)",
    "CR2": "clustered, small sample (CR2)",
    "wild bootstrap (webb)": "wild cluster bootstrap, Webb's weights",
    "permutation of the estimate": "doses handed round among provinces",
    "permutation of the t statistic": "the same, ranked by t statistic",
}


def finding(estimate: Estimate, measure: Outcome, condition: Condition) -> str:
    """The slope in plain words, with its interval."""
    row = estimate.table.iloc[0]
    return (
        f"For every {STEP:.0f} points that the alternative share of payments rose more than elsewhere, "
        f"{measure.words.format(condition.words)} changed by {measure.amount(row['estimate'], '+')} "
        f"(95% CI {measure.number(row['ci_low'], '+')} to {measure.number(row['ci_high'], '+')})."
    )


def inference_sentence(estimate: Estimate) -> str:
    """What the ways of inference for few clusters say."""
    p = estimate.details["inference"].set_index("method")["p_value"]
    rows = (
        ("CR2", "CR2"),
        ("the wild bootstrap", "wild bootstrap (webb)"),
        ("permutation", "permutation of the estimate"),
    )
    small = sum(p[method] <= 0.05 for _, method in rows)
    told = ", ".join(f"{_p_value(p[method])} by {name}" for name, method in rows)
    verdict = {0: "None is at 0.05 or below", len(rows): "All are at 0.05 or below"}.get(
        small, f"{small} of {len(rows)} {'is' if small == 1 else 'are'} at 0.05 or below, so they disagree"
    )
    return f"With {estimate.n_clusters} provinces, p is {told}. {verdict}."


def _p_value(p: float) -> str:
    """Two decimals, or three where two would hide on which side of 0.05 it lies."""
    return f"{p:.3f}" if round(p, 2) == 0.05 else f"{p:.2f}"


def caution() -> str:
    """What two periods cannot show."""
    return "This is an association: two periods allow no test at all of whether the cities moved alike before."


def dose_sentence(doses: pd.Series) -> str:
    """How doses are spread: beside the unit of the slope, and whether one gap between them makes two groups."""
    ordered = doses.sort_values()
    steps, span = ordered.diff().iloc[1:], np.ptp(doses)
    text = f"The doses run from {ordered.iloc[0]:.1f} to {ordered.iloc[-1]:.1f} percentage points."
    if span < STEP:
        text += (
            f" No two provinces are {STEP:.0f} points apart: that is the unit of the slope, not a change anyone saw."
        )
    if steps.max() < span / 2:
        return f"{text} Between neighbours they are at most {steps.max():.1f} points apart."
    at = int(np.argmax(steps))
    low, high = ordered.iloc[: at + 1], ordered.iloc[at + 1 :]
    named = [", ".join(NAMES[code] for code in part.index) for part in (low, high)]
    return (
        f"{text} They fall into two clumps with {steps.max():.1f} points between them: {named[0]} up to "
        f"{low.iloc[-1]:.1f}, and {named[1]} from {high.iloc[0]:.1f}. So the slope is close to a comparison of "
        f"{len(low)} provinces with {len(high)}."
    )


def gradient_sentence(rows: pd.DataFrame, used: pd.DataFrame) -> str:
    """How many gradients are clear, how many are no line, and how many rose.

    Parameters
    ----------
    rows : DataFrame
        From `area_periods`.
    used : DataFrame
        From `changes`.
    """
    clear = (rows["slope_index"] > 1.96 * rows["slope_index_se"]).sum()
    bent = (rows["lack_of_fit_p"] < 0.05).sum()
    rose = (used["change"] > 0).sum()
    return (
        f"In {clear} of {len(rows)} areas and periods the poorest end has clearly more stays. In {bent} a straight "
        f"line does not fit the five rates: the index is then a summary, not a description. Between the periods the "
        f"measure chosen rose in {rose} of {len(used)} areas."
    )


def weights_sentence(frame: pd.DataFrame, between: float, measure: Outcome) -> str:
    """What weights by published errors would do; `between` comes from `between_areas`."""
    alone = 1 / frame["se"] ** 2
    top, own = alone.idxmax(), measure.number(frame["se"].median())
    return (
        f"The published errors of the changes have a median of {own}; true changes of areas of like dose differ by a "
        f"standard deviation of {measure.number(between)}. Weights of 1/se\u00b2 would give {top} "
        f"{alone.max() / alone.sum():.0%} of all weight, for an accuracy that is not what limits this design."
    )


def without_sentence(table: pd.DataFrame, measure: Outcome) -> str:
    """How far one province decides; `table` comes from `without_each_province`."""
    low, high = table["estimate"].idxmin(), table["estimate"].idxmax()
    signs = "keeps its sign" if table["estimate"].min() * table["estimate"].max() > 0 else "changes its sign"
    small = int((table["permutation_p"] <= 0.05).sum())
    ends = [f"{measure.number(table.loc[code, 'estimate'])} (without {NAMES[code]})" for code in (low, high)]
    return (
        f"Without one province the slope runs from {ends[0]} to {ends[1]} {measure.unit}; it {signs}. The "
        f"permutation p is at 0.05 or below in {small} of {len(table)}."
    )


def placebo_sentence(found: Mapping[str, Estimate], chosen: str, digits: int) -> str:
    """Whether placebo outcomes move as much as the condition asked about."""
    slope = {name: e.table["estimate"].iloc[0] for name, e in found.items()}
    same = [n for n in PLACEBOS if slope[n] * slope[chosen] > 0 and abs(slope[n]) >= 0.5 * abs(slope[chosen])]
    told = " and ".join(f"{slope[name]:+.{digits}f} for {CONDITIONS[name].words}" for name in PLACEBOS)
    if chosen in PLACEBOS:
        return f"The condition chosen is itself a placebo. Its slope is {slope[chosen]:+.{digits}f}."
    verdict = (
        "A placebo moves the same way by half as much or more: what moved with the dose need not be doctors' pay."
        if same
        else "Neither moves the same way by half as much. That is no proof: their intervals are wide too."
    )
    return f"The slope is {slope[chosen]:+.{digits}f} for {CONDITIONS[chosen].words}; it is {told}. {verdict}"
