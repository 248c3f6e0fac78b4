"""Figures from Estimates: one palette, intervals always, units on the axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmkit.plots.clusters import cluster_influence
from apmkit.plots.contracts import contract_categories, contract_tasks
from apmkit.plots.designs import change_of_selected, interrupted_series, love
from apmkit.plots.did import bacon, dose_response
from apmkit.plots.discontinuity import bandwidths, density, discontinuity
from apmkit.plots.effects import event_study, intervals, weights_heatmap
from apmkit.plots.payment import (
    capitation_dial,
    cash,
    chance,
    coding_drift,
    components,
    effort,
    gains_and_losses,
    marginal_revenue,
    multitask,
    risk_adjustment,
)
from apmkit.plots.power import power
from apmkit.plots.revisions import revisions
from apmkit.plots.shown import show
from apmkit.plots.specification import specification_curve
from apmkit.plots.style import PALETTE, broken_lines, name_ends, source, use_style
from apmkit.plots.synthesis import forest, funnel
from apmkit.plots.synthetic import donor_weights, gap_intervals, placebo_gaps, synthetic_paths
from apmkit.plots.tiers import outcomes
from apmkit.plots.trends import pretrend, sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from apmkit.estimate import Estimate

__all__ = [
    "PALETTE",
    "bacon",
    "bandwidths",
    "broken_lines",
    "capitation_dial",
    "cash",
    "chance",
    "change_of_selected",
    "cluster_influence",
    "coding_drift",
    "components",
    "contract_categories",
    "contract_tasks",
    "density",
    "discontinuity",
    "donor_weights",
    "dose_response",
    "effort",
    "event_study",
    "forest",
    "funnel",
    "gains_and_losses",
    "gap_intervals",
    "interrupted_series",
    "intervals",
    "love",
    "marginal_revenue",
    "multitask",
    "name_ends",
    "outcomes",
    "placebo_gaps",
    "plot",
    "power",
    "pretrend",
    "revisions",
    "risk_adjustment",
    "sensitivity",
    "show",
    "source",
    "specification_curve",
    "synthetic_paths",
    "use_style",
    "weights_heatmap",
]


# The figure of an estimate with such a detail.
_FIGURES = {
    "path": synthetic_paths,
    "series": interrupted_series,
    "balance": love,
    "references": change_of_selected,
    "bins": discontinuity,
}


def plot(estimate: Estimate, **options) -> Axes:
    """The figure that fits an estimate: event study, paths of a synthetic control, forest of studies, or intervals."""
    if "studies" in estimate.details and len(estimate.table) == 1:
        return forest(estimate, **options)
    if "path" in estimate.details and "period" in estimate.table:
        return gap_intervals(estimate, **options)
    for detail, figure in _FIGURES.items():
        if detail in estimate.details:
            return figure(estimate, **options)
    if "dose" in estimate.table:
        return dose_response(estimate, **options)
    if "relative_time" in estimate.table and "cohort" not in estimate.table:
        return event_study(estimate, **options)
    return intervals({row.term: estimate for row in estimate.table.itertuples()}, **options)
