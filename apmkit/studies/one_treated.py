"""What studies of one treated state or province share: outcomes in words, effects, starts that never were."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

import apmkit as apm
from apmkit.errors import DesignWarning
from apmkit.estimate import Estimate

METHODS: dict[str, Callable[..., Estimate]] = {
    "synthetic_control": apm.synthetic_control,
    "synthetic_control_intercept": partial(apm.synthetic_control, intercept=True),
    "synthetic_did": apm.synthetic_did,
    "difference_in_differences": apm.difference_in_differences,
}


@dataclass(frozen=True)
class Measure:
    """An outcome: words for it, its unit, and which years the model cannot have touched."""

    words: str
    axis: str
    unit: str
    figure: str
    per: str
    first_year: int
    last_untouched: int
    fiscal: bool = False
    tested: bool = True

    def write(self, value: float) -> str:
        """An amount without its sign."""
        return f"{self.figure.format(abs(value))} {self.per}"

    def span(self, values) -> str:
        """The lowest and the highest of several amounts, with their signs; one amount if they read alike."""
        ends = [self._signed(value) for value in (min(values), max(values))]
        return f"{' to '.join(dict.fromkeys(ends))} {self.per}"

    def _signed(self, value: float) -> str:
        figure, zero = self.figure.format(abs(value)), self.figure.format(0)
        return f"minus {figure}" if value < 0 and figure != zero else figure

    def year(self, year: int) -> str:
        """A year as the source names it."""
        return f"{year}-{(year + 1) % 100:02d}" if self.fiscal else str(year)

    def years(self, years) -> str:
        """Several years: the one, or the first and the last."""
        return self.year(years[0]) if len(years) == 1 else f"{self.year(years[0])} to {self.year(years[-1])}"


def quietly(estimator: Callable[..., Estimate], /, *given, **options) -> Estimate:
    """What an estimator finds; a poor fit is not warned of, since the page says it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        return estimator(*given, **options)


def pretended_starts(
    panel: apm.Panel, method: Callable[..., Estimate], fewest_before: int = 3, **options
) -> pd.DataFrame:
    """Effects of starts that never were, in the years before treatment; a sound design finds none.

    Each run ends with the last year before the true start. A start is left out if its few years before are followed
    exactly: then many mixes fit, and the gap would depend on which of them is taken.

    Returns
    -------
    DataFrame
        `start`, `estimate`, `pre_rmspe`, and `rank` and `p_value`, which may be missing.
    """
    before, rows = panel.periods[panel.periods < panel.cohorts.min()], []
    for start in before[fewest_before:]:
        found = quietly(apm.in_time_placebo, panel, int(start), method=method, **options)
        if fits_exactly(found):
            continue
        row, checks = found.table.iloc[0], found.diagnostics
        rows.append((int(start), row["estimate"], checks["pre_rmspe"], checks.get("rank"), row["p_value"]))
    return pd.DataFrame(rows, columns=["start", "estimate", "pre_rmspe", "rank", "p_value"])


def fits_exactly(estimate: Estimate) -> bool:
    """Whether the comparison runs through the treated unit in every year before treatment."""
    return bool(estimate.diagnostics["pre_rmspe"] <= 1e-6 * abs(estimate.details["path"]["treated"].mean()))


def equal_weights(estimate: Estimate) -> bool:
    """Whether no donor counts more than another."""
    return bool(np.ptp(estimate.details["donor_weights"]["weight"]) < 1e-9)


def years_after(estimate: Estimate) -> list[int]:
    """Treated periods."""
    return estimate.details["path"]["period"].iloc[estimate.diagnostics["n_pre_periods"] :].to_list()


def estimates_of(found: Mapping[str, Estimate]) -> pd.Series:
    """The one number of each estimate, by name."""
    return pd.Series({name: estimate.table["estimate"].iloc[0] for name, estimate in found.items()})
