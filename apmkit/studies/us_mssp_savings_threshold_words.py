"""Sentences of the study of the minimum savings rate; each follows the numbers it is given."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from apmkit.estimate import Estimate
from apmkit.studies.us_mssp_savings_threshold import OUTCOMES, SavingsThresholdParameters, detectable, outcome_words
from apmkit.words import rounded, shown_p


def interval(found: Estimate) -> str:
    """Estimate and interval with as many decimals as the standard error bears."""
    row = found.table.iloc[0]
    low, high = rounded(row.ci_low, row.se), rounded(row.ci_high, row.se)
    return f"{rounded(row.estimate, row.se)} (95% CI {low} to {high})"


def comparison_sentence(plain: Estimate, found: Estimate, parameters: SavingsThresholdParameters) -> str:
    """The plain difference of paid and unpaid beside the jump."""
    name, unit = outcome_words(parameters.outcome, parameters.years_after), OUTCOMES[parameters.outcome][1]
    return (
        f"Paid less unpaid ACOs, all of them, differ in the {name} by {interval(plain)} {unit}. At the minimum itself, "
        f"where luck decides who is paid, the difference is {interval(found)}."
    )


def density_sentence(test: pd.Series) -> str:
    """What the density says about ACOs choosing their side."""
    p = shown_p(test["p_value"])
    if test["p_value"] < 0.05:
        return f"The density jumps at the minimum by more than chance ({p}): some ACOs seem to have chosen their side."
    return f"The density does not jump by more than chance ({p})."


def before_sentence(table: pd.DataFrame) -> str:
    """How many covariates jump."""
    jumps = table.loc[table["p, adjusted"] < 0.05, "Known before"]
    if len(jumps):
        return (
            f"Of {len(table)}, these jump by more than chance: {'; '.join(jumps)}. The groups differ in more than pay."
        )
    low = table["p, adjusted"].min()
    return f"None of the {len(table)} jumps by more than chance (smallest adjusted {shown_p(low)})."


def range_sentence(found: Mapping[str, Estimate], unit: str) -> str:
    """From where to where the estimates of other choices go, and how many intervals exclude zero."""
    rows = pd.concat([each.table.iloc[[0]] for each in found.values()], ignore_index=True)
    outside = int(((rows["ci_low"] > 0) | (rows["ci_high"] < 0)).sum())
    digits = rows["se"].median()
    return (
        f"The {len(rows)} estimates go from {rounded(rows['estimate'].min(), digits)} to "
        f"{rounded(rows['estimate'].max(), digits)} {unit}; {outside or 'none'} of the intervals "
        f"{'excludes' if outside < 2 else 'exclude'} zero."
    )


def groups_sentence(table: pd.DataFrame) -> str:
    """Whether any part of the sample stands out after adjustment for their number."""
    found = table.loc[table["p, adjusted"] < 0.05].iloc[:, 0]
    if len(found):
        return f"After adjustment for {len(table)} tests these stand out: {'; '.join(found)}."
    raw = int((table["p"] < 0.05).sum())
    some = f" {raw} would, if each were the only test." if raw else ""
    return f"After adjustment for {len(table)} tests no part stands out.{some}"


def outcomes_sentence(every: pd.DataFrame) -> str:
    """What all outcomes say together."""
    found = every.loc[every["p_holm"] < 0.05, "outcome"]
    if len(found):
        return f"After adjustment for {len(every)} tests there is an effect on: {'; '.join(found)}."
    return f"After adjustment for {len(every)} tests none shows an effect."


def placebo_sentence(table: pd.DataFrame) -> str:
    """What false cutoffs find."""
    found = int((table["p_value"] < 0.05).sum())
    return (
        f"Of {len(table)} false cutoffs {found or 'none'} {'show' if found > 1 else 'shows'} a jump at the 5 % level; "
        "their bandwidths are their own, and their intervals wide."
    )


def power_sentence(found: Estimate, payment: Estimate, parameters: SavingsThresholdParameters) -> str:
    """What this study could have found, beside the size of the payment."""
    unit = OUTCOMES[parameters.outcome][1]
    row = found.table.iloc[0]
    return (
        f"With 80 % power this design finds an effect of {rounded(detectable(found), row.se)} {unit} or more. "
        f"The payment that starts at the minimum is {payment.table['estimate'].iloc[0]:.1f} percent of the benchmark."
    )


def policy_sentence(found: Estimate, parameters: SavingsThresholdParameters) -> str:
    """What the headline means for a payer."""
    row = found.table.iloc[0]
    name, unit = outcome_words(parameters.outcome, parameters.years_after), OUTCOMES[parameters.outcome][1]
    if row.ci_low <= 0 <= row.ci_high:
        low, high = rounded(row.ci_low, row.se), rounded(row.ci_high, row.se)
        return (
            f"Nothing here shows that the payment itself moved the {name}. An effect between {low} and {high} {unit} "
            "stays possible."
        )
    direction = "lower" if row.estimate < 0 else "higher"
    return f"ACOs at the minimum that were paid had a {direction} {name} than those that just missed it."
