"""Simulated practices that move from enhanced fees to blended capitation by choice, with effects that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import apmkit as apm
from apmkit.payment import calibrate_effort, ontario_fhg, ontario_fho, respond_practices
from apmkit.studies.shocks import fading

if TYPE_CHECKING:
    from apmkit.studies.canada_fhg_to_fho import FhgToFhoParameters

YEARS = np.arange(2003, 2015)
WAVES = np.arange(2007, 2013)
"""Years in which practices switch, as many in each."""

SCENARIOS = {"some_2020": "Somé et al. (2020)", "hong_2024": "Hong et al. (2024)"}
COVARIATES = ("age", "risk", "outside_use", "urban")
"""What an evaluator knows of a practice beside its outcomes."""

RULES_ON = "2012-04-01"
"""Day of the payment rules: one within both studies, as in `calibrate_effort`."""


@dataclass(frozen=True)
class Outcome:
    """Words, and how an outcome moves without any switch: all numbers are assumptions.

    Attributes
    ----------
    words : str
    trend : float
        Common change a year, in logs.
    shock : float
        Standard deviation of a practice's yearly shock, in logs; half of it carries over to the next year.
    """

    words: str
    trend: float
    shock: float


OUTCOMES = {
    "services": Outcome("services in the capitated basket", -0.01, 0.06),
    "after_hours": Outcome("services after hours", 0.01, 0.15),
    "ed_less_urgent": Outcome("less-urgent emergency visits", 0.01, 0.10),
    "ed_urgent": Outcome("urgent emergency visits", 0.01, 0.08),
}
SWITCHERS = 0.5
"""Share of practices that switch by 2012."""
DRIFT_SD = 0.02
"""Standard deviation between practices of their own trend, in logs a year; half of its variance goes with age."""


@dataclass(frozen=True, eq=False)
class Start:
    """Practices before anyone switches, one row each; they do not depend on how practices choose.

    Attributes
    ----------
    covariates : DataFrame
        Columns `age` (of the lead physician, drawn without regard to anything else), `risk`, `outside_use`, `urban`.
    level : DataFrame
        By outcome: the log of its amount per patient under FHG, less the mean of practices.
    change : mapping of (scenario, outcome) to array
        Log change of the outcome when the practice moves to FHO.
    pay : DataFrame
        CAD per patient and year: `fhg`, `fho` on the same work, and `fho_<scenario>` on the work after the switch.
    """

    covariates: pd.DataFrame
    level: pd.DataFrame
    change: Mapping[tuple[str, str], np.ndarray]
    pay: pd.DataFrame


@lru_cache(maxsize=4)
def start_of(n_practices: int, seed: int) -> Start:
    """Draw the practices; all patients are enrolled, so that the published changes are those of a practice."""
    practices = apm.synthetic_practices(
        "Ontario", n_practices=n_practices, physicians=3, patients_per_physician=150,
        assumptions={"enrolled": 1.0}, seed=seed,
    )  # fmt: skip
    patients = practices.n_patients
    pay = {
        "fhg": ontario_fhg(practices, on=RULES_ON).total / patients,
        "fho": ontario_fho(practices, on=RULES_ON).total / patients,
    }
    before, change = _amounts(practices), {}
    for scenario in SCENARIOS:
        model = calibrate_effort(scenario, on=RULES_ON)
        after = respond_practices(practices, model, model.after)
        pay[f"fho_{scenario}"] = ontario_fho(after, on=RULES_ON).total / patients
        moved = np.log(_amounts(after) / before)
        change |= {(scenario, outcome): moved[outcome].to_numpy() for outcome in outcomes_of(scenario)}
    visits, elsewhere = (practices.sums(practices.patient(c)) for c in ("visits", "visits_elsewhere"))
    covariates = pd.DataFrame(
        {
            "age": np.random.default_rng([seed, 7]).normal(50, 9, n_practices),
            "risk": practices.sums(practices.patient("risk_score")) / patients,
            "outside_use": elsewhere / (visits + elsewhere),
            "urban": practices.practice("urban").astype(float),
        },
        index=practices.index,
    )
    level = np.log(before.div(patients, axis=0))
    return Start(covariates, level - level.mean(), change, pd.DataFrame(pay, index=practices.index))


def outcomes_of(scenario: str) -> list[str]:
    """The outcomes that a study measured; the other one did not look at emergency visits."""
    return [name for name in OUTCOMES if scenario == "hong_2024" or not name.startswith("ed_")]


def _amounts(practices) -> pd.DataFrame:
    """Amounts of each outcome by practice, at least one so that a tiny practice has a logarithm."""
    sums = {name: practices.sums(practices.patient(name)) for name in
            ("fees", "fees_after_hours", "ed_visits", "ed_visits_less_urgent")}  # fmt: skip
    table = {
        "services": sums["fees"],
        "after_hours": sums["fees_after_hours"],
        "ed_less_urgent": sums["ed_visits_less_urgent"],
        "ed_urgent": sums["ed_visits"] - sums["ed_visits_less_urgent"],
    }
    return pd.DataFrame(table, index=practices.index).clip(lower=1.0)


@dataclass(frozen=True, eq=False)
class World:
    """One simulated history; arrays have the shape (practices, years) and are in logs.

    Attributes
    ----------
    starts : array, shape (practices,)
        First year under FHO; infinity for practices that stay.
    untreated : array
        The outcome without any switch.
    effects : array
        What the switch adds, anticipation included.
    drift : array, shape (practices,)
        Each practice's own trend, a year.
    start : Start
    """

    starts: np.ndarray
    untreated: np.ndarray
    effects: np.ndarray
    drift: np.ndarray
    start: Start

    def truth(self, first: int, last: int) -> float:
        """Mean effect in percent over the practice-years under FHO from `first` to `last`."""
        seen = (self.starts[:, None] <= YEARS) & _window(first, last)
        return percent(self.effects[seen].mean())


def _window(first: int, last: int) -> np.ndarray:
    return np.isin(YEARS, np.arange(first, last + 1))


def percent(log_change: float) -> float:
    """A change in logs, in percent.

    >>> round(percent(np.log(0.73)), 6)
    -27.0
    """
    return float(100 * np.expm1(log_change))


def simulate(
    parameters: FhgToFhoParameters, random: np.random.Generator, *, gap: float = 0.0, push: float = 0.0
) -> World:
    """Draw who switches when, what happens without it, and what the switch does.

    Practices switch for money (what FHO would pay on today's work less what FHG pays, ``level_selection``), because
    their work is falling anyway (``trend_selection``), and by chance. Those with the strongest reasons go first.

    Parameters
    ----------
    parameters : FhgToFhoParameters
    random : Generator
    gap, push : float
        Added to the level, and to the yearly trend, of all that switch; in logs.
    """
    start = start_of(parameters.n_practices, parameters.seed)
    outcome, n = OUTCOMES[parameters.outcome], parameters.n_practices
    known = -_standardised(start.covariates["age"])
    drift = DRIFT_SD * _standardised(np.sqrt(0.5) * known + np.sqrt(0.5) * random.normal(size=n))
    gain = _standardised(start.pay["fho"] - start.pay["fhg"])
    wish = parameters.level_selection * gain - parameters.trend_selection * drift / DRIFT_SD
    order = np.argsort(-(wish + random.logistic(size=n)))
    per_wave = int(SWITCHERS * n / len(WAVES))
    starts = np.full(n, np.inf)
    starts[order[: per_wave * len(WAVES)]] = np.repeat(WAVES, per_wave)
    switches = np.isfinite(starts)

    shocks = fading(outcome.shock * random.normal(size=(n, len(YEARS))))
    time = YEARS - YEARS[0]
    level = start.level[parameters.outcome].to_numpy() + gap * switches
    untreated = level[:, None] + outcome.trend * time + (drift + push * switches)[:, None] * time + shocks
    change = start.change[parameters.scenario, parameters.outcome]
    effects = _effects(starts, change, parameters.heterogeneity, parameters.anticipation)
    return World(starts, untreated, effects, drift, start)


def _effects(starts, change, heterogeneity, anticipation) -> np.ndarray:
    """Effects that grow with time and are larger for those who went first, scaled to the published mean."""
    since = YEARS - starts[:, None]
    treated = since >= 0
    early = np.where(np.isfinite(starts), (WAVES.mean() - starts) / np.ptp(WAVES), 0.0)[:, None]
    size = (1 + 0.25 * heterogeneity * np.where(treated, since, 0)) * (1 + heterogeneity * early)
    size /= size[treated].mean()
    return change[:, None] * np.where(treated, size, np.where(since == -1, anticipation, 0.0))


def _standardised(values) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return (values - values.mean()) / values.std()


def rows_of(world: World, first: int, last: int) -> pd.DataFrame:
    """What an evaluator sees: `practice`, `year`, `outcome` (a log), `switch` (missing if never) and the covariates."""
    years = _window(first, last)
    n, periods = len(world.starts), int(years.sum())
    frame = world.start.covariates.loc[np.repeat(world.start.covariates.index, periods)].reset_index(names="practice")
    return frame.assign(
        year=np.tile(YEARS[years], n),
        outcome=(world.untreated + world.effects)[:, years].ravel(),
        switch=np.repeat(np.where(np.isinf(world.starts), np.nan, world.starts), periods),
    )
