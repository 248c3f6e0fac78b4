"""What the page on published evidence says: sentences that follow the run, and its small tables."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

import apmkit as apm
from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.studies.both_published_evidence import (
    GROUPS,
    Group,
    PublishedEvidenceParameters,
    group_rows,
    includes_no_effect,
    leave_out_each,
    pool,
    why_not,
)
from apmkit.studies.both_published_evidence_rows import FAMILIES, no_effect


def count_sentence(rows: pd.DataFrame, groups: pd.DataFrame) -> str:
    """How much of the table can be pooled."""
    poolable = int((groups["why_not"] == "").sum())
    few = {0: "none can", 1: "one can"}.get(poolable, f"{poolable} can")
    return (
        f"The table has {len(rows)} published effects, {rows['ci_low'].notna().sum()} of them with an interval. They "
        f"fall into {len(groups)} narrow groups, of which {few} be pooled by the rules of this page."
    )


def table_sentence(rows: pd.DataFrame) -> str:
    """What the table holds."""
    by_country = rows["country"].value_counts()
    years = rows["year"]
    return (
        f"The table holds {len(rows)} effects of {rows['model'].nunique()} payment models: {by_country.get('US', 0)} "
        f"from the United States and {by_country.get('Canada', 0)} from Canada, published from {years.min()} to "
        f"{years.max()}."
    )


def traps(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> str:
    """The reasons not to pool single rows, counted."""
    reasons = why_not(rows, parameters)
    counts = reasons[reasons != ""].value_counts()
    lines = [f"* {count} row{'s' * (count > 1)}: {reason}" for reason, count in counts.items()]
    many = rows["program"].duplicated(keep=False).sum()
    return (
        f"{(reasons != '').sum()} of the {len(rows)} rows cannot be pooled whatever stands beside them. By the first "
        "reason that applies:\n\n" + "\n".join(lines) + f"\n\n{many} rows share a programme with another row, and "
        f"mostly people or years with it: they are not independent.{_unknown_models(rows)}"
    )


def _unknown_models(rows: pd.DataFrame) -> str:
    names = sorted(set(rows["model"]) - {model for models in FAMILIES.values() for model in models})
    if not names:
        return ""
    return f" In no family, and so compared with nothing: {'; '.join(names)}."


def second_reading_sentence(rows: pd.DataFrame) -> str:
    """How far the second reading agrees."""
    told = rows["second_reading"]
    read, differ = told != "none", rows[~told.isin(["none", "agrees"])]
    text = (
        f"{read.sum()} of the {(rows['country'] == 'Canada').sum()} Canadian rows were read a second time. "
        f"In {(told == 'agrees').sum()} of them estimate and interval are the same."
    )
    for row in differ.itertuples():
        text += f" {row.id} ({row.author}, {row.outcome}) differs: {row.second_reading}."
    return text


def retracted_sentence(rows: pd.DataFrame) -> str:
    """Which rows are of retracted articles."""
    gone = rows[rows["retracted"]]
    if gone.empty:
        return "No row is of a retracted article."
    names = ", ".join(f"{row.id} ({row.author} {row.year}, {row.program})" for row in gone.itertuples())
    return f"Of a retracted article: {names}."


def map_sentence(rows: pd.DataFrame) -> str:
    """Counts by verdict, and which outcomes nobody in a country has looked at."""
    count = rows["verdict"].value_counts()
    text = (
        f"{count.get('better', 0)} effects read as better, {count.get('worse', 0)} as worse, {count.get('unclear', 0)} "
        f"cannot be told from no effect, and {count.get('not tested', 0)} have neither an interval nor a p-value."
    )
    for country, name in (("US", "the United States"), ("Canada", "Canada")):
        counted = rows[(rows["country"] == country) & (rows["verdict"] != "context")]
        thin = counted["outcome_group"].value_counts().reindex(rows["outcome_group"].unique(), fill_value=0)
        missing = sorted(thin[thin == 0].index)
        if missing:
            text += f" For {name} the table has nothing on: {', '.join(name.lower() for name in missing)}."
    return text


def narrowest_sentence(rows: pd.DataFrame) -> str:
    """The narrowest interval of the table as an example."""
    row = rows.loc[rows["interval_steps"].idxmin()]
    units = "one unit" if row["interval_steps"] == 1 else f"{row['interval_steps']:.0f} units"
    ends = f"{row['ci_low']:g} to {row['ci_high']:g}"
    return f"An interval printed as {ends} ({row['id']}) is {units} of its last digit wide."


def narrow_sentence(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> str:
    """How many intervals are too narrow to give a standard error."""
    given = rows["interval_steps"].dropna()
    narrow = (given < parameters.least_steps).sum()
    return (
        f"{narrow} of the {len(given)} intervals are narrower than {parameters.least_steps} units of their last digit. "
        "Narrow intervals are those of precise studies: the most precise evidence is the least usable as printed."
    )


def zero_sentence(found: Estimate, group: Group) -> str:
    """Whether the interval of the mean includes no effect."""
    return f"The interval {'includes' if includes_no_effect(found, group) else 'lies on one side of'} no effect."


def spread_sentence(found: Estimate) -> str:
    """How many programmes stand behind the mean and what that allows."""
    n = found.diagnostics["programmes"]
    df = found.degrees_of_freedom
    freedom = "is 1 degree" if round(df, 0) == 1 else f"are {df:.0f} degrees"
    count = "a normal distribution is assumed" if np.isinf(df) else f"there {freedom} of freedom"
    return f"With {n} programmes {count}."


def by_dependence(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> pd.DataFrame:
    """The mean under each way to count rows of one programme, and each method that goes with it."""
    ways = {
        "Nested in programmes (REML, CR2)": ("multilevel", "REML", True),
        "Nested in programmes (REML)": ("multilevel", "REML", False),
        "Averaged by programme (REML, Knapp-Hartung)": ("composite", "REML", True),
        "Averaged by programme (DerSimonian-Laird)": ("composite", "DL", False),
        "As if independent (DerSimonian-Laird)": ("independent", "DL", False),
        "As if independent, one true effect": ("independent", "fixed", False),
    }
    group, found = GROUPS[parameters.group], []
    for name, (dependence, method, small_sample) in ways.items():
        changed = {"dependence": dependence, "method": method, "small_sample": small_sample}
        mean = pool(rows, parameters.model_copy(update=changed))
        row = mean.table.iloc[0]
        predicted = mean.details.get("prediction")
        ends = "none" if predicted is None else _span(*predicted.loc[0, ["low", "high"]], group)
        found.append((name, group.write(row.estimate), _span(row.ci_low, row.ci_high, group), ends))
    return pd.DataFrame(found, columns=["How rows count", "Mean effect", "95% interval", "Prediction interval"])


def _span(low: float, high: float, group: Group) -> str:
    return f"{group.write(low)} to {group.write(high)}"


def currency_note(groups: dict[str, Group]) -> str:
    """A note on dollars, if a group is in dollars."""
    dollars = any(group.measure.startswith("USD") for group in groups.values())
    return "Dollars are those of each study's own years." if dollars else ""


def without_each(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> pd.DataFrame:
    """The mean without each row in turn, as a reader sees it."""
    group = GROUPS[parameters.group]
    found = [
        (row.left_out, row.problem, "")
        if row.problem
        else (row.left_out, group.write(row.estimate), _span(row.ci_low, row.ci_high, group))
        for row in leave_out_each(rows, parameters).itertuples()
    ]
    return pd.DataFrame(found, columns=["Left out", "Mean effect of the others", "95% interval"])


def fragile_sentence(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> str:
    """How many of the means without one row have an interval that includes no effect."""
    found = leave_out_each(rows, parameters)
    left, zero = found["estimate"].notna().sum(), no_effect(GROUPS[parameters.group].measure)
    if not left:
        return "Without any one of its rows there is nothing left to average: the mean hangs on each of them."
    includes = ((found["ci_low"] <= zero) & (found["ci_high"] >= zero)).sum()
    none = f", and in {len(found) - left} nothing is left to average" if left < len(found) else ""
    return f"Of {len(found)} ways to drop one row, the interval includes no effect in {includes}{none}."


def egger_sentence(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> str:
    """The test for small-study effects, where it is possible, and what it is worth."""
    own = group_rows(rows, GROUPS[parameters.group])
    usable = own[why_not(own, parameters) == ""].rename(columns={"effect": "estimate", "se": "printed"})
    usable = usable.rename(columns={"effect_se": "se"})[["label", "se"]].assign(estimate=own["effect"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p = apm.egger_test(usable)["p_value"]
    except ApmkitError as error:
        return f"Here it cannot be made: {error}"
    return (
        f"Here it gives p = {p:.2f} from {len(usable)} rows. With fewer than ten the test hardly ever detects "
        "anything, and rows of one programme are not independent: read it as no answer."
    )


def opposite_sentence(rows: pd.DataFrame) -> str:
    """After-hours care under blended capitation: what two evaluations say."""
    pair = rows[rows["id"].isin(["CA008", "CA011"])]
    told = [f"{row.estimate:+g} {row.unit} ({row.id}, {row.design})" for row in pair.itertuples()]
    return (
        f"On after-hours care under blended capitation, two evaluations of one province disagree: {' and '.join(told)}."
    )


def pair_table(rows: pd.DataFrame, ids: tuple[str, ...]) -> pd.DataFrame:
    """Some rows with their designs and effects as printed."""
    some = rows[rows["id"].isin(ids)]
    return pd.DataFrame(
        {
            "Row": some["id"],
            "Outcome": some["outcome"] + ", " + some["unit"],
            "Design": some["design"],
            "Effect": [f"{row.estimate:g} [{row.ci_low:g}, {row.ci_high:g}]" for row in some.itertuples()],
            "Reads as": some["verdict"],
        }
    )


def policy(rows: pd.DataFrame, groups: pd.DataFrame, found: Estimate, group: Group) -> str:
    """What the table and the mean allow to say."""
    count = rows["verdict"].value_counts()
    clear = "" if includes_no_effect(found, group) else " in these programmes"
    direction = "cannot be told from no effect" if includes_no_effect(found, group) else "lies clear of no effect"
    poolable = int((groups["why_not"] == "").sum())
    verdicts = rows.groupby("family")["verdict"].agg(set)
    mixed = verdicts[[{"better", "worse"} <= found_here for found_here in verdicts]].index
    beside = f", and {len(mixed)} model families have both better and worse ones" if len(mixed) else ""
    return (
        f"The mean of the chosen group {direction}{clear}. It is a statement about {found.diagnostics['programmes']} "
        "programmes and no forecast for another one.\n\n"
        f"The larger finding is the state of the evidence. Of {len(groups)} questions that somebody evaluated, "
        f"{poolable} can be answered by more than one programme with usable numbers. {count.get('not tested', 0)} "
        "effects were announced without any measure of their uncertainty. A payer that wants to copy a success should "
        "first ask in which row of the map it lies, whether a second programme found it too, and what stands beside it "
        f"in that row: {count.get('worse', 0)} effects here are for the worse{beside}."
    )
