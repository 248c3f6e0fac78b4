"""Tables and figures of the study of British Columbia's payment model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd

from apmkit.estimate import Estimate
from apmkit.plots.style import PALETTE, axes, broken_lines, name_ends
from apmkit.studies import tables
from apmkit.studies.canada_bc_lfp_words import MEASURES, TREATED, by_other_methods
from apmkit.studies.one_treated import Measure, equal_weights

table = partial(tables.table, formats={"Its weight": "{:.2f}"})


def gap_table(estimates: Mapping[str, Estimate], measure: Measure, what: str = "Choice") -> pd.DataFrame:
    """Estimates side by side, with the column names a reader sees.

    Parameters
    ----------
    estimates : mapping of str to Estimate
    measure : Measure
    what : str
        Name of the first column, which holds the names of the estimates.

    Returns
    -------
    DataFrame
        One row per estimate: its name, the mean gap after treatment, the root mean squared gap before, the size of the
        comparison and, where tested, rank and p.
    """
    rows = []
    for name, estimate in estimates.items():
        found = estimate.diagnostics
        row = {
            what: name,
            f"Gap after ({measure.unit})": estimate.table["estimate"].iloc[0],
            f"Typical gap before ({measure.unit})": found["pre_rmspe"],
            "Donors": found["n_donors"],
            "Years before": found["n_pre_periods"],
            "Years after": found["n_post_periods"],
        }
        if "rank" in found:
            row |= {
                "Rank": f"{found['rank']} of {found['n_placebos'] + 1}",
                "p": estimate.table["p_value"].iloc[0],
            }
        rows.append(row)
    return pd.DataFrame(rows)


def outcome_table(found: Mapping[str, Mapping[str, Estimate]], chosen: str) -> pd.DataFrame:
    """The estimates for each outcome, with the column names a reader sees.

    Parameters
    ----------
    found : mapping of str to mapping of str to Estimate
        By outcome and method.
    chosen : str
        The method that is shown; the others give a range.
    """
    rows = []
    for outcome, methods in found.items():
        measure, estimate = MEASURES[outcome], methods[chosen]
        rows.append(
            {
                "Outcome": measure.axis,
                "Gap after": measure.span(estimate.table["estimate"].iloc[:1]),
                "Rank": f"{estimate.diagnostics['rank']} of {estimate.diagnostics['n_placebos'] + 1}"
                if measure.tested
                else "not tested",
                "By the other methods": by_other_methods(methods, chosen, measure),
                "Years before": estimate.diagnostics["n_pre_periods"],
                "Years after": estimate.diagnostics["n_post_periods"],
            }
        )
    return pd.DataFrame(rows)


def province_lines(frame: pd.DataFrame, estimate: Estimate, measure: Measure):
    """Figure: the outcome of every province; named are British Columbia, the provinces left out, the three
    donors of most weight and, where tested, the donor of the largest placebo gap.

    Parameters
    ----------
    frame : DataFrame
        From `province_years`.
    """
    panel = estimate.panel
    wide = frame.pivot_table(index="year", columns="province", values=panel.outcome)
    wide = wide.loc[panel.periods[0] : panel.periods[-1]]
    left_out = [name for name in wide if name not in panel.units]
    ax = axes(None)
    broken_lines(ax, wide.drop(columns=[TREATED, *left_out]), color=PALETTE["light"], lw=1.1)
    if left_out:
        broken_lines(ax, wide[left_out], color=PALETTE["grey"], lw=1.1, ls=":")
    broken_lines(ax, wide[[TREATED]], color=PALETTE["blue"], lw=2.4)
    ax.axvline(panel.cohorts.min() - 0.5, color=PALETTE["grey"], lw=0.9, ls=":")
    named = [] if equal_weights(estimate) else list(estimate.details["donor_weights"]["unit"].head(3))
    if "placebos" in estimate.details:
        placebos = estimate.details["placebos"].set_index("unit")["estimate"]
        named.append(placebos.abs().idxmax())
    last = wide.iloc[-1]
    ends = {name: (last[name], PALETTE["grey"]) for name in [*named, *left_out]}
    name_ends(ax, wide.index[-1], ends | {TREATED: (last[TREATED], PALETTE["blue"])})
    return ax
