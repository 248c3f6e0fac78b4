"""What do published evaluations of payment models say together, and which of them may be pooled?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import stats

import apmkit as apm
from apmkit.datasets.states import PROVINCES
from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study, StudyError
from apmkit.studies.both_published_evidence_rows import current_rows, no_effect, on_logarithms, shown

_PROVINCE_OF = {code: name for name, code in PROVINCES.items()}
SHARED_ERROR = 0.5
"""Correlation taken between the sampling errors of two rows of one programme, when they are averaged."""


@dataclass(frozen=True)
class Group:
    """Rows that ask one question: one model family, one outcome, one effect measure."""

    title: str
    family: str
    outcome: str
    measure: str
    unit: str

    @property
    def axis(self) -> str:
        """What the mean effect measures, as on an axis."""
        return f"{self.title}, {self.unit}"

    def write(self, value: float) -> str:
        """A number with its unit.

        >>> GROUPS["shared_savings_spending"].write(-116.8)
        'USD -117 per person-year'
        """
        if self.measure == "percent":
            return f"{value:+.1f}%"
        if self.measure.startswith("USD"):
            return f"USD {value:+,.0f} {self.measure.removeprefix('USD ')}"
        return f"{value:.2f} ({self.unit})"


_RELATIVE = "percent difference"
GROUPS = {
    "capitation_emergency": Group(
        "Emergency visits under blended capitation, against enhanced fee-for-service",
        *("Blended capitation", "Emergency visits", "percent", _RELATIVE),
    ),
    "capitation_after_hours": Group(
        "After-hours care under blended capitation, against enhanced fee-for-service",
        *("Blended capitation", "After-hours care", "percent", _RELATIVE),
    ),
    "capitation_services": Group(
        "Visits and services under blended capitation, against enhanced fee-for-service",
        *("Blended capitation", "Visits and services", "percent", _RELATIVE),
    ),
    "shared_savings_spending": Group(
        "Medicare spending under shared savings (ACOs)",
        *("Shared-savings ACOs", "Spending", "USD per person-year", "USD per person-year"),
    ),
    "cpc_spending": Group(
        "Medicare spending under Comprehensive Primary Care",
        *("Comprehensive Primary Care", "Spending", "USD per person-year", "USD per person-year"),
    ),
    "quality_contract_spending": Group(
        "Spending under a global budget with quality bonus",
        *("Global budget and quality bonus", "Spending", "percent", _RELATIVE),
    ),
    "bundle_spending": Group(
        "Spending per episode under joint replacement bundles",
        *("Episode bundles", "Spending", "USD per episode", "USD per episode"),
    ),
    "network_admissions": Group(
        "Hospital admissions in Alberta's primary care networks",
        *("Primary care networks", "Hospital stays", "risk ratio", "risk ratio"),
    ),
}
"""The groups of the parameter `group`."""


class PublishedEvidenceParameters(Parameters):
    """Parameters of the study; see ``apmkit studies both/published_evidence``."""

    group: Literal[tuple(GROUPS)] = Field(
        "capitation_emergency", description="Model family, outcome and effect measure to pool."
    )
    uncertainty: Literal["intervals", "exact_p_values"] = Field(
        "intervals",
        description="What gives a standard error: intervals alone, or exact p-values too.",
    )
    least_steps: int = Field(
        5, ge=1, le=20, description="Least width of an interval, in units of its last printed digit, to be pooled."
    )
    sources: Literal["no_conference", "all"] = Field(
        "no_conference", description="Whether numbers read in conference abstracts and seminars are pooled."
    )
    disagreements: Literal["drop", "keep"] = Field(
        "drop", description="Whether rows are pooled on which the second reading disagrees."
    )
    dependence: Literal["multilevel", "composite", "independent"] = Field(
        "multilevel", description="How rows of one programme count: nested, averaged first, or wrongly as independent."
    )
    method: Literal["REML", "DL", "PM", "fixed"] = Field(
        "REML", description="Variance between programmes: REML, DerSimonian-Laird, Paule-Mandel, or none."
    )
    small_sample: bool = Field(True, description="Correct for few programmes (CR2, or Knapp and Hartung).")

    @model_validator(mode="after")
    def _consistent(self):
        if self.dependence == "multilevel" and self.method != "REML":
            raise ValueError(f"method={self.method} is not for nested rows; dependence=multilevel needs method=REML")
        if self.method == "fixed" and self.small_sample:
            raise ValueError("method=fixed has no variance between programmes to correct for; use small_sample=false")
        own = group_rows(current_rows(), GROUPS[self.group])
        if refusal := not_poolable(own, why_not(own, self)):
            raise ValueError(f"group={self.group} is not pooled with these choices: {refusal}")
        return self


def group_rows(rows: pd.DataFrame, group: Group) -> pd.DataFrame:
    """Rows of `current_rows` that belong to a group."""
    same = (rows["family"] == group.family) & (rows["outcome_group"] == group.outcome)
    return rows[same & (rows["measure"] == group.measure)]


def why_not(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> pd.Series:
    """For each row the first reason not to pool it, empty if there is none.

    Parameters
    ----------
    rows : DataFrame
        From `current_rows` or `evidence_rows`.
    """
    narrow = (rows["se_from"] == "interval") & (rows["interval_steps"] < parameters.least_steps)
    reasons = {
        "the article was retracted": rows["retracted"],
        "a level, a trend, an association or a review": rows["verdict"] == "context",
        "no number": rows["effect"].isna(),
        "no interval": (rows["se_from"] == "nothing")
        | ((rows["se_from"] == "p-value") & (parameters.uncertainty == "intervals")),
        f"its interval is narrower than {parameters.least_steps} units of its last digit": narrow,
        "read in a conference abstract": rows["conference"] & (parameters.sources == "no_conference"),
        "the second reading disagrees": ~rows["second_reading"].isin(["none", "agrees"])
        & (parameters.disagreements == "drop"),
    }
    found = pd.Series("", index=rows.index)
    for reason, applies in reasons.items():
        found = found.mask((found == "") & applies, reason)
    return found


def not_poolable(rows: pd.DataFrame, reasons: pd.Series) -> str:
    """Why the rows of a group cannot be pooled, empty if they can.

    Parameters
    ----------
    rows : DataFrame
        Rows of one group.
    reasons : Series
        From `why_not`.
    """
    usable = rows[reasons == ""]
    if usable.empty:
        most = reasons.value_counts().index[0] if len(reasons) else "the table has none"
        return f"no row has a standard error to rely on (most often: {most})"
    if len(usable) == 1:
        return "one usable row"
    if usable["program"].drop_duplicates().size == 1:
        return "all usable rows are of one programme, and share people or years"
    return ""


def group_table(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> pd.DataFrame:
    """Every narrow group of the table and whether it can be pooled.

    Returns
    -------
    DataFrame
        `family`, `outcome_group`, `measure`, `rows`, `programmes`, `with_interval`, `usable` and `why_not`, empty where
        the group can be pooled.
    """
    reasons = why_not(rows, parameters)
    found = []
    for (family, outcome, measure), part in rows.groupby(["family", "outcome_group", "measure"], sort=False):
        own = reasons[part.index]
        counts = (len(part), part["program"].nunique(), part["ci_low"].notna().sum(), (own == "").sum())
        found.append((family, outcome, measure, *counts, not_poolable(part, own)))
    names = ["family", "outcome_group", "measure", "rows", "programmes", "with_interval", "usable", "why_not"]
    return pd.DataFrame(found, columns=names)


def pool(rows: pd.DataFrame, parameters: PublishedEvidenceParameters, group: Group | None = None) -> Estimate:
    """Mean effect of a group, as shown: percent, a ratio or dollars.

    Parameters
    ----------
    rows : DataFrame
        From `current_rows` or `evidence_rows`.
    group : Group, optional
        By default the one that the parameters name.

    Returns
    -------
    Estimate
        One term. `details` holds `studies` (rows that were pooled, or averages of a programme), `heterogeneity` and
        `prediction`, where the true effect of another programme may lie. `diagnostics` counts rows, programmes and
        places.

    Raises
    ------
    StudyError
        The rows cannot be pooled.
    """
    group = GROUPS[parameters.group] if group is None else group
    own = group_rows(rows, group)
    reasons = why_not(own, parameters)
    if refusal := not_poolable(own, reasons):
        raise StudyError(f"{group.title}: not pooled, since {refusal}.")
    usable = own[reasons == ""]
    data = usable[["label", "program", "effect", "effect_se"]].rename(columns={"effect": "estimate", "effect_se": "se"})
    nested = data["program"].duplicated().any()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if parameters.dependence == "multilevel" and nested:
            found = apm.multilevel_meta_analysis(data, study="program", label="label", robust=parameters.small_sample)
            found = replace(found, details=dict(found.details) | {"prediction": _nested_prediction(found)})
        else:
            data = composites(data) if parameters.dependence != "independent" else data
            options = {"method": parameters.method, "knapp_hartung": parameters.small_sample}
            found = apm.meta_analysis(data, label="label", **options)
    places = usable["province"].map(_PROVINCE_OF).fillna(usable["country"].replace("US", "the United States"))
    counts = {"rows_pooled": len(usable), "programmes": usable["program"].nunique(), "places": sorted(set(places))}
    return as_shown(found, group, counts)


def composites(data: pd.DataFrame, correlation: float = SHARED_ERROR) -> pd.DataFrame:
    """One row for each programme: the mean of its rows, whose sampling errors are taken to be correlated.

    References
    ----------
    Borenstein, M., Hedges, L. V., Higgins, J. P. T. and Rothstein, H. R. (2009), Introduction to Meta-Analysis, ch. 24.
    """
    found = []
    for program, part in data.groupby("program", sort=False):
        se = part["se"].to_numpy()
        shared = correlation * np.outer(se, se)
        np.fill_diagonal(shared, se**2)
        label = part["label"].iloc[0] if len(part) == 1 else f"{program} ({len(part)} rows)"
        found.append((label, program, part["estimate"].mean(), math.sqrt(shared.sum()) / len(part)))
    return pd.DataFrame(found, columns=["label", "program", "estimate", "se"])


def _nested_prediction(found: Estimate) -> pd.DataFrame:
    """Interval for the true effect of one more outcome of one more programme."""
    row, spread = found.table.iloc[0], found.details["heterogeneity"]["estimate"]
    total = math.sqrt(row["se"] ** 2 + spread["tau2 between studies"] + spread["tau2 within studies"])
    df = found.degrees_of_freedom
    quantile = stats.norm.ppf(0.5 + found.level / 2) if math.isinf(df) else stats.t.ppf(0.5 + found.level / 2, df)
    centre = row["estimate"]
    return pd.DataFrame({"low": [centre - quantile * total], "high": [centre + quantile * total], "level": found.level})


def as_shown(found: Estimate, group: Group, counts: Mapping[str, object]) -> Estimate:
    """An estimate of comparable effects on the scale that readers see; standard errors by the delta method."""
    table, details = found.table.copy(), dict(found.details)
    slope = 1.0
    if on_logarithms(group.measure):
        slope = float(np.exp(table["estimate"].iloc[0])) * (100 if group.measure == "percent" else 1)
    table["se"] *= slope
    for name in ("estimate", "ci_low", "ci_high"):
        table[name] = shown(table[name], group.measure)
    details["studies"] = (
        details["studies"]
        .drop(columns="se")
        .assign(**{name: shown(details["studies"][name], group.measure) for name in ("estimate", "ci_low", "ci_high")})
    )
    if "prediction" in details:
        ends = {name: shown(details["prediction"][name], group.measure) for name in ("low", "high")}
        details["prediction"] = details["prediction"].assign(**ends)
    scale = "logarithms" if on_logarithms(group.measure) else "differences"
    diagnostics = dict(found.diagnostics) | counts | {"pooled_as": scale}
    return replace(found, table=table, covariance=found.covariance * slope**2, details=details,
                   diagnostics=diagnostics, outcome=group.title)  # fmt: skip


def sentences(found: Estimate, group: Group) -> tuple[str, str]:
    """Mean effect with its interval, and what a new place may find."""
    row, given = found.table.iloc[0], found.diagnostics
    level, n = f"{100 * found.level:.6g}%", given["programmes"]
    where = f", all in {given['places'][0]}" if len(given["places"]) == 1 else ""
    first = (
        f"{group.title}: mean effect {group.write(row.estimate)} ({level} CI {group.write(row.ci_low)} to "
        f"{group.write(row.ci_high)}), from {given['rows_pooled']} estimates of {n} programmes{where}."
    )
    if "prediction" not in found.details:
        return (
            first,
            "With one true effect for all there is nothing to predict: this choice denies that effects differ.",
        )
    low, high = (group.write(end) for end in found.details["prediction"].loc[0, ["low", "high"]])
    spread = found.details["heterogeneity"]["estimate"]
    if spread[spread.index.str.startswith("tau2")].sum() > 0:
        return first, f"The effect of another programme may lie anywhere from {low} to {high}."
    return first, (
        f"The programmes differ no more than chance would have them, so the same interval, {low} to {high}, would hold "
        f"for another one; with {n} programmes that is close to a guess."
    )


def estimate(parameters: PublishedEvidenceParameters) -> Result:
    """The mean effect of the chosen group."""
    group = GROUPS[parameters.group]
    rows = current_rows()
    found = pool(rows, parameters)
    own = group_rows(rows, group)
    left_out = (why_not(own, parameters) != "").sum()
    notes = [
        "Numbers were read in abstracts and summaries; check a number in its article before you quote it.",
        f"{left_out} of the {len(own)} rows of this group are shown and not pooled.",
    ]
    if found.diagnostics["programmes"] < 5:
        notes.append("With fewer than five programmes the variance between them is close to a guess.")
    if parameters.dependence == "independent":
        notes.append("Rows of one programme are not independent: the interval is too narrow.")
    if parameters.uncertainty == "exact_p_values":
        notes.append("Standard errors from p-values take the estimate as normal and the p-value as exact.")
    return Result({"mean": found}, "mean", sentences(found, group), tuple(notes), group.axis)


def leave_out_each(rows: pd.DataFrame, parameters: PublishedEvidenceParameters) -> pd.DataFrame:
    """The mean effect without each usable row in turn; `problem` says why there is none."""
    group = GROUPS[parameters.group]
    own = group_rows(rows, group)
    found = []
    for index in own.index[why_not(own, parameters) == ""]:
        try:
            row = pool(rows.drop(index=index), parameters).table.iloc[0]
            found.append((own.loc[index, "label"], row["estimate"], row["ci_low"], row["ci_high"], ""))
        except ApmkitError as error:
            found.append((own.loc[index, "label"], math.nan, math.nan, math.nan, str(error).partition(": ")[2]))
    return pd.DataFrame(found, columns=["left_out", "estimate", "ci_low", "ci_high", "problem"])


def includes_no_effect(found: Estimate, group: Group) -> bool:
    """Whether the interval of the mean includes no effect."""
    row = found.table.iloc[0]
    return bool(row.ci_low <= no_effect(group.measure) <= row.ci_high)


STUDY = Study(
    name="both/published_evidence",
    title="What do published evaluations say together, and which may be pooled?",
    country="Both countries",
    data=("published_effects", "published_effects_second_reading"),
    Parameters=PublishedEvidenceParameters,
    estimate=estimate,
    grid={
        "group": ("capitation_emergency", "capitation_after_hours", "shared_savings_spending"),
        "uncertainty": ("intervals", "exact_p_values"),
        "least_steps": (4, 5),
        "dependence": ("multilevel", "composite", "independent"),
        "method": ("REML", "DL"),
        "small_sample": (False, True),
    },
)
