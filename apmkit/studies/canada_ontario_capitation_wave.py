"""Why no effect of Ontario's move to capitation can be read off provincial totals: a design that does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit.datasets.states import PROVINCES
from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.studies import Parameters, Result, Study, one_treated
from apmkit.studies.canada_ontario_capitation_wave_words import MEASURES, TREATED, contrast, finding, verdict
from apmkit.studies.one_treated import METHODS, Measure, fits_exactly, quietly

CODES = ("AB", "BC", "MB", "NB", "NL", "NS", "ON", "PE", "QC", "SK")
NAMES = {code: name for name, code in PROVINCES.items() if code in CODES}

ESTIMATED_YEAR, ESTIMATED_DONOR = 2001, "Manitoba"
"""CIHI estimated alternative payments of Ontario in this fiscal year, and of this province in three."""

FEWEST_BEFORE, FEWEST_DONORS = 2, 3

SHIFTED = ("synthetic_control_intercept", "synthetic_did", "difference_in_differences")
"""Methods that allow a constant distance between Ontario and its comparison."""

STUDIES = ("Glazier et al.", "Kantarevic & Kralj", "Some, Devlin, Mehta, Zaric, Sarma", "Hong, Devlin, Zaric")
"""Authors, as the table of published effects begins their names, who compared Ontario's physicians or patients."""


class OntarioParameters(Parameters):
    """Parameters of the study; see ``apmkit studies canada/ontario_capitation_wave``."""

    outcome: Literal[tuple(MEASURES)] = Field(
        "payments_per_capita", description="What may have changed: clinical payments, or all spending on physicians."
    )
    estimator: Literal[tuple(METHODS)] = Field(
        "synthetic_control", description="How Ontario is compared with the donor provinces."
    )
    start_year: int = Field(
        2002, ge=2001, le=2005, description="First treated year; Ontario's models began one by one from 2001 to 2007."
    )
    first_year: int = Field(1999, ge=1985, le=2000, description="First year used; payments by mode begin in 1999.")
    last_year: int = Field(2012, ge=2006, le=2016, description="Last year used.")
    donors: Literal["all", "least_moved"] = Field(
        "all", description="All nine provinces, or those whose alternative share rose by less than moved_points."
    )
    estimated_values: Literal["keep", "leave_out"] = Field(
        "keep", description="Estimated payments: keep them, or leave out the year 2001-02 and the province Manitoba."
    )
    moved_points: int = Field(
        5, ge=3, le=15, description="Percentage points of alternative share from which on a donor counts as treated."
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.first_year < self.measure.first_year:
            raise ValueError(
                f"first_year={self.first_year} is before {self.measure.first_year}, the first year of {self.outcome}; "
                "give a later one, or outcome=physician_spending"
            )
        if self.estimated_values == "leave_out" and self.outcome != "payments_per_capita":
            raise ValueError("estimated_values=leave_out concerns outcome=payments_per_capita only; give keep")
        years = len(self.years_before)
        if years < FEWEST_BEFORE:
            raise ValueError(
                f"first_year={self.first_year} leaves {years} year{'' if years == 1 else 's'} before "
                f"start_year={self.start_year} and {FEWEST_BEFORE} are needed; give an earlier first_year or a later "
                "start_year"
            )
        return self

    @property
    def measure(self) -> Measure:
        """The outcome."""
        return MEASURES[self.outcome]

    @property
    def year_left_out(self) -> int | None:
        """The year that is left out, if any."""
        return ESTIMATED_YEAR if self.estimated_values == "leave_out" else None

    @property
    def years_before(self) -> list[int]:
        """Years used before the start."""
        return [year for year in range(self.first_year, self.start_year) if year != self.year_left_out]


@cache
def province_years() -> pd.DataFrame:
    """One row per province and year from 1985.

    Returns
    -------
    DataFrame
        `province`, `year` (of payments: the calendar year in which the fiscal year starts), `payments_per_capita`
        (CAD, nominal, over the population of 1 July of `year`), `alternative_share` (percent of payments),
        `estimated` (alternative payments are CIHI's estimate) and `physician_spending` (CAD per person, nominal).
    """
    keys = ["province", "year"]
    payments = apm.load("npdb_payments").rename(columns={"fiscal_year_start": "year"})
    spending = apm.load("nhex").query("use_of_funds == 'Physicians'")
    frame = (
        apm.load("population")[[*keys, "population"]]
        .merge(payments[[*keys, "payments", "alternative_share", "flag"]], on=keys, how="left")
        .merge(spending[[*keys, "per_capita"]], on=keys, how="left")
    )
    frame = frame[frame["province"].isin(CODES) & (frame["year"] >= 1985)]
    return pd.DataFrame(
        {
            "province": frame["province"].map(NAMES),
            "year": frame["year"],
            "payments_per_capita": frame["payments"] / frame["population"],
            "alternative_share": frame["alternative_share"] * 100,
            "estimated": frame["flag"].eq("alternative payments estimated"),
            "physician_spending": frame["per_capita"],
        }
    ).sort_values(["province", "year"], ignore_index=True)


def share_rise(parameters: OntarioParameters) -> pd.Series:
    """Rise of each province's alternative share, in percentage points, largest first.

    From the last year used before the start (the first of payments by mode is 1999) to the last year used.
    """
    wide = province_years().pivot(index="year", columns="province", values="alternative_share")
    rise = wide.loc[parameters.last_year] - wide.loc[parameters.years_before[-1]]
    return rise.sort_values(ascending=False)


def province_panel(parameters: OntarioParameters) -> apm.Panel:
    """Ontario and its donors in the years to compare.

    Raises
    ------
    ApmkitError
        Fewer than three donors are left.
    """
    donors = [name for name in NAMES.values() if name != TREATED]
    if parameters.donors == "least_moved":
        rise = share_rise(parameters)
        donors = [name for name in donors if rise[name] < parameters.moved_points]
    if parameters.estimated_values == "leave_out":
        donors = [name for name in donors if name != ESTIMATED_DONOR]
    if len(donors) < FEWEST_DONORS:
        raise ApmkitError(
            f"Only {len(donors)} donors have an alternative share that rose by less than "
            f"moved_points={parameters.moved_points}: give more points, or donors=all."
        )
    frame = province_years()
    rows = frame[
        frame["year"].between(parameters.first_year, parameters.last_year)
        & frame["province"].isin([TREATED, *donors])
        & (frame["year"] != (parameters.year_left_out or 0))
    ]
    rows = rows.assign(start=np.where(rows["province"] == TREATED, float(parameters.start_year), np.nan))
    return apm.Panel(rows, unit="province", time="year", outcome=parameters.outcome, cohort="start", balanced=True)


def effect(panel: apm.Panel, method: str, **options) -> Estimate:
    """The gap by one method; a poor fit is not warned of, the table of conditions says it."""
    return quietly(METHODS[method], panel, **options)


def pretended_starts(panel: apm.Panel, method: str) -> pd.DataFrame:
    """Gaps for starts that never were, in the years before; none where there are too few years."""
    return one_treated.pretended_starts(panel, METHODS[method], FEWEST_BEFORE, placebo=None)


def contamination(estimate: Estimate, parameters: OntarioParameters) -> dict[str, float]:
    """How far the donors moved to alternative payment themselves.

    Returns
    -------
    dict
        `own` and `comparison`, the rise of the alternative share in percentage points, the latter weighted as the
        donors are; `moved`, how many donors rose by `moved_points` or more; `weight`, their part of the comparison.
    """
    rise = share_rise(parameters)
    weights = estimate.details["donor_weights"].set_index("unit")["weight"]
    moved = rise[weights.index] >= parameters.moved_points
    return {
        "own": float(rise[TREATED]),
        "comparison": float((rise[weights.index] * weights).sum()),
        "moved": int(moved.sum()),
        "weight": float(weights[moved].sum()),
    }


def outside_range(panel: apm.Panel) -> pd.DataFrame:
    """Ontario beside the lowest and the highest donor in each year before the start.

    Returns
    -------
    DataFrame
        By year: `own`, `low`, `high` and `outside`, which no weighted average of donors can then equal.
    """
    treated, before = np.isfinite(panel.cohorts), panel.periods < panel.cohorts.min()
    own, others = panel.outcomes[treated][0, before], panel.outcomes[~treated][:, before]
    low, high = others.min(axis=0), others.max(axis=0)
    rows = {"own": own, "low": low, "high": high, "outside": (own < low) | (own > high)}
    return pd.DataFrame(rows, index=pd.Index(panel.periods[before], name="year"))


def conditions(found: Mapping[str, Estimate], parameters: OntarioParameters) -> pd.DataFrame:
    """What the design needs, beside what there is.

    Parameters
    ----------
    found : mapping of str to Estimate
        By method, each for the panel of `parameters`.

    Returns
    -------
    DataFrame
        `condition`, `needed`, `found` (text) and `holds`.
    """
    measure, estimate = parameters.measure, found[parameters.estimator]
    panel, checks, gap = estimate.panel, estimate.diagnostics, estimate.table["estimate"].iloc[0]
    n_before, n_donors = checks["n_pre_periods"], checks["n_donors"]
    rows = [("Years before", f"more than the {n_donors} donors", f"{n_before}", n_before > n_donors)]

    if measure.fiscal:
        frame = province_years()
        used = frame[frame["estimated"] & frame["province"].isin(panel.units) & frame["year"].isin(panel.periods)]
        early = used[used["year"] < parameters.start_year]
        told = f"{len(early)} of {n_before * (n_donors + 1)} values before are estimates, {len(used)} in all years"
        rows.append(("Values measured", "no estimated values", told, used.empty))

    limit = 2.0 if parameters.estimator in SHIFTED else 0.25
    fit = "p-value withheld" if "withheld" in checks else f"{checks['pre_fit']:.2f}"
    exact = fits_exactly(estimate)
    rows.append(
        (
            "Fit before",
            f"at most {limit:g} standard deviations of the donors, and not exact by construction",
            f"{fit}{', exact' if exact else ''}",
            bool(checks["pre_fit"] <= limit and not (exact and n_before <= n_donors)),
        )
    )
    if parameters.estimator not in SHIFTED:
        outside = outside_range(panel)["outside"]
        told = f"outside in {outside.sum()} of {len(outside)} years"
        rows.append(("Ontario inside the range of the donors", "inside in every year before", told, not outside.any()))

    mixed = contamination(estimate, parameters)
    rows.append(
        (
            "Donors untreated",
            f"no weight on donors whose alternative share rose by {parameters.moved_points} points or more",
            f"{mixed['moved']} of {n_donors} did, with {mixed['weight']:.0%} of the weight",
            mixed["weight"] < 0.005,
        )
    )
    starts = pretended_starts(panel, parameters.estimator)
    larger = int((starts["estimate"].abs() >= abs(gap)).sum())
    told = f"{larger} of {len(starts)} at least as large" if len(starts) else "too few years to try any"
    rows.append(
        ("Nothing before the start", "pretended starts give smaller gaps", told, bool(len(starts)) and not larger)
    )
    values = [other.table["estimate"].iloc[0] for other in found.values()]
    told = f"{measure.span(values)}; {sum(v < 0 for v in values)} of {len(values)} negative"
    rows.append(("Methods agree", "one sign by every method", told, len(set(np.sign(values))) == 1))
    floor = checks.get("p_value_floor", 1 / (n_donors + 1))
    rows.append(("Chance can be told", "a smallest possible p of 0.05 or less", f"{floor:.2f}", floor <= 0.05))
    return pd.DataFrame(rows, columns=["condition", "needed", "found", "holds"])


def dose_points(parameters: OntarioParameters) -> pd.DataFrame:
    """Rise of the alternative share and of the outcome in every province, from before the start to the last year.

    Returns
    -------
    DataFrame
        By province: `rise` (percentage points) and `change` (percent of the level before).
    """
    wide = province_years().pivot(index="year", columns="province", values=parameters.outcome)
    change = 100 * (wide.loc[parameters.last_year] / wide.loc[parameters.years_before[-1]] - 1)
    return pd.DataFrame({"rise": share_rise(parameters), "change": change})


@cache
def published() -> pd.DataFrame:
    """Published comparisons of Ontario's physicians and patients; rows of the data set `published_effects`."""
    rows = apm.load("published_effects")
    switch = rows["model"].str.startswith("blended capitation v") & rows["province"].eq("ON")
    return rows[switch & rows["author"].str.startswith(STUDIES)].sort_values(["year", "id"], ignore_index=True)


def estimate(parameters: OntarioParameters) -> Result:
    """The gap between Ontario and its comparison, and why it is no effect."""
    measure, panel = parameters.measure, province_panel(parameters)
    found = {
        name: effect(panel, name, placebo="permutation" if name == parameters.estimator else None) for name in METHODS
    }
    chosen = found[parameters.estimator]
    table, mixed = conditions(found, parameters), contamination(chosen, parameters)
    sentences = (verdict(table), finding(chosen, measure), contrast(mixed))
    notes = tuple(f"{row.condition}: needed {row.needed}; found {row.found}." for row in table.itertuples())
    axis = f"Gap in {measure.words} in {TREATED} (not an effect), {measure.unit}"
    return Result(found, parameters.estimator, sentences, notes, axis)


STUDY = Study(
    name="canada/ontario_capitation_wave",
    title="Did Ontario's move to capitation change what physicians cost? A design that does not hold",
    country="Canada",
    data=("npdb_payments", "nhex", "population", "published_effects"),
    Parameters=OntarioParameters,
    estimate=estimate,
    grid={
        "outcome": tuple(MEASURES),
        "estimator": tuple(METHODS),
        "start_year": (2001, 2002, 2003, 2005),
        "first_year": (1985, 1999),
        "donors": ("all", "least_moved"),
        "estimated_values": ("keep", "leave_out"),
    },
)
