"""Sentences of the study of screening bonuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from apmkit.estimate import Estimate
from apmkit.payment import rulebook

if TYPE_CHECKING:
    from apmkit.studies.canada_screening_bonus import ScreeningBonusParameters


def described(last_period: str, model_launch: bool, comparison: bool) -> str:
    """What an analysis does, in a few words."""
    launch = ", launch modelled" if model_launch else ""
    return f"{'Two series' if comparison else 'One series'} to {last_period}{launch}"


def number(value: float) -> str:
    """Two decimals with a real minus sign."""
    return f"{value:.2f}".replace("-", "−") if round(value, 2) else "0.00"


def with_interval(estimate: Estimate) -> str:
    """The first term and its interval."""
    row = estimate.table.iloc[0]
    return f"{number(row['estimate'])} [95% CI {number(row['ci_low'])} to {number(row['ci_high'])}]"


def holds(estimate: Estimate, truth: float) -> bool:
    """Whether the interval of the first term holds the truth."""
    row = estimate.table.iloc[0]
    return bool(row["ci_low"] <= truth <= row["ci_high"])


def finding(estimate: Estimate, parameters: ScreeningBonusParameters, unit: str) -> str:
    """The chosen analysis beside the truth."""
    analysis = described(parameters.last_period, parameters.model_launch, parameters.comparison)
    return (
        f"In this simulated world the bonus changes the {parameters.measure} by {number(parameters.truth)} {unit}. The "
        f"analysis chosen ({analysis[0].lower()}{analysis[1:]}) finds {with_interval(estimate)}; its interval "
        f"{'holds' if holds(estimate, parameters.truth) else 'misses'} the truth."
    )


def choices_sentence(every: Mapping[str, Estimate], parameters: ScreeningBonusParameters, unit: str) -> str:
    """How far analyses of the same data are apart."""
    values = pd.Series({name: found.table["estimate"].iloc[0] for name, found in every.items()})
    right = sum(holds(found, parameters.truth) for found in every.values())
    low, high = values.idxmin(), values.idxmax()
    return (
        f"{len(every)} analyses of the same simulated data give {number(values[low])} ({low}) to "
        f"{number(values[high])} ({high}) {unit}; {right} of their intervals hold the truth."
    )


def worlds_sentence(found: Mapping[str, Estimate], truths: Mapping[str, float], unit: str) -> str:
    """What one series says in each of two worlds."""
    told = [
        f"“{name}”: {with_interval(estimate)}, and the truth is {number(truths[name])}"
        for name, estimate in found.items()
    ]
    return f"What one series, without the launch in the model, finds where {'; where '.join(told)} ({unit})."


def trial_sentence(scores: pd.DataFrame, draws: int, unit: str) -> str:
    """The analyses with the least and the most coverage, and the one with the largest bias."""
    worst, best = (scores.loc[getattr(scores["coverage"], at)()] for at in ("idxmin", "idxmax"))
    biased = scores.loc[scores["bias"].abs().idxmax()]
    if worst["coverage"] == best["coverage"]:
        span = f"{worst['coverage']:.0%} of the intervals of every analysis hold the truth"
    else:
        span = (
            f"the share of intervals that hold the truth runs from {worst['coverage']:.0%} ({worst['analysis']}) to "
            f"{best['coverage']:.0%} ({best['analysis']})"
        )
    return (
        f"Over {draws} draws of this world, {span}. The mean error is largest for "
        f"{biased['analysis'][0].lower()}{biased['analysis'][1:]}: {number(biased['bias'])} {unit}."
    )


def trial_table(scores: pd.DataFrame, unit: str) -> pd.DataFrame:
    """The trial with the column names a reader sees."""
    return pd.DataFrame(
        {
            "Analysis": scores["analysis"],
            f"Bias, {unit}": [
                f"{number(bias)} (± {1.96 * error:.2f})"
                for bias, error in zip(scores["bias"], scores["bias_se"], strict=True)
            ],
            "Intervals that hold the truth": scores["coverage"].map("{:.0%}".format),
            "Intervals that exclude zero": scores["rejects"].map("{:.0%}".format),
            "Median width of the intervals": scores["width"].map("{:.2f}".format),
            "Draws with a warning": scores["warned"].map("{:.0%}".format),
        }
    )


def bonus_table() -> pd.DataFrame:
    """Ontario's bonus for colorectal screening from its first day, with the mark of a value in doubt."""
    rule = rulebook("ontario").parameters["preventive.colorectal"].history[0]
    mark = {"unconfirmed": " †", "partly confirmed": " ‡"}.get(rule.status, "")
    steps = pd.DataFrame(rule.value)
    return pd.DataFrame(
        {
            "Patients of the target group screened, at least": [f"{share:.0%}{mark}" for share in steps["at_least"]],
            "CAD per physician and year": [f"{bonus:,.0f}{mark}" for bonus in steps["bonus"]],
            "More than the step before": [
                f"{more:,.0f}{mark}" for more in steps["bonus"].diff().fillna(steps["bonus"])
            ],
        }
    )


def published() -> dict[str, str]:
    """Slopes of colorectal screening before and after the bonus by Kiran et al. (2014), and their difference."""
    import apmkit as apm

    rows = apm.load("published_effects").set_index("id").loc[["CA023", "CA024"]]
    before, after = (f"{row.estimate:.1f} [{row.ci_low:.1f}, {row.ci_high:.1f}]" for row in rows.itertuples())
    return {"before": before, "after": after, "change": f"{rows['estimate'].diff().iloc[1]:.1f}"}
