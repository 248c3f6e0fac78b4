"""Which units and periods an estimator uses, and what is said of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from apmkit.errors import EstimationError, warn
from apmkit.panel import Panel

if TYPE_CHECKING:
    from apmkit.did.kernel import Moments


@dataclass
class Sample:
    """The part of a panel that an estimator uses, and a record of the rest."""

    panel: Panel
    given: Panel
    left_out: dict[str, dict] = field(default_factory=dict)

    @classmethod
    def of(cls, panel: Panel) -> Sample:
        """Set apart units treated from the first period: they have no time before treatment.

        Raises
        ------
        EstimationError
            No unit starts treatment within the panel.
        """
        if not isinstance(panel, Panel):
            raise EstimationError(
                f"An estimator takes a Panel, not {type(panel).__name__}: apmkit.Panel(data, unit=..., time=..., "
                "outcome=..., cohort=...)."
            )
        sample = cls(panel, panel)
        in_time = np.isfinite(panel.cohorts) & (panel.cohorts > panel.periods[0])
        # Without them the first period may be empty, and the next one the first.
        while in_time.any() and (always := sample.panel.cohorts <= sample.panel.periods[0]).any():
            sample.drop(always, f"units treated from the first period {sample.panel.periods[0]}")
            in_time = np.isfinite(sample.panel.cohorts)
        if not in_time.any():
            raise EstimationError(
                f"No unit of {panel.outcome!r} starts treatment after the first period {panel.periods[0]} "
                f"and by the last {panel.periods[-1]}: there is no effect to estimate; check the cohort column."
            )
        steps, times = np.unique(np.diff(sample.panel.periods), return_counts=True)
        if len(steps) > 1:
            uneven = np.flatnonzero(np.diff(sample.panel.periods) != steps[times.argmax()])
            warn(
                f"Periods are not evenly spaced, first between {sample.panel.periods[uneven[0]]} and "
                f"{sample.panel.periods[uneven[0] + 1]}: relative time is their plain difference; number the periods "
                "1, 2, 3 if each should count as one."
            )
        return sample

    def drop(self, units: np.ndarray, reason: str) -> None:
        """Leave out the units where the mask over rows of the panel is true, and remember how many and which."""
        if units.any():
            first = [str(label) for label in self.panel.first_units(units)]
            self.note(reason, first, int(self.panel.counts[units].sum()))
            self.panel = self.panel.restrict(~units)

    def drop_never_untreated(self) -> None:
        """Leave out units that are under treatment in every period in which they are observed."""
        untreated = self.panel.observed & ~self.panel.treated
        self.drop(~untreated.any(axis=1), "units without any untreated period")
        if not np.isfinite(self.panel.cohorts).any():
            raise EstimationError(
                "No treated unit is observed before its treatment: there is nothing to compare with; "
                "add earlier periods."
            )

    def drop_seen_once(self) -> None:
        """Leave out units observed in one period: they show no change."""
        once = self.panel.observed.sum(axis=1) == 1
        if once.all():
            raise EstimationError(
                f"Every unit is observed once: check column {self.panel.unit!r}, or use callaway_santanna with "
                "unbalanced='repeated_cross_sections'."
            )
        self.drop(once, "units observed once, which show no change")

    def note(self, reason: str, names: list[str], count: int | None = None) -> None:
        """Record and warn of what is left out; `count` where `names` are not all."""
        if not names:
            return
        first, count = names[:10], count or len(names)
        self.left_out[reason] = {"count": count, "first": first}
        more = f" and {count - len(first):,} more" if count > len(first) else ""
        warn(f"Left out {reason}: {count:,} ({', '.join(first)}{more}).")

    def warn_of_lone_clusters(self, moments: Moments, terms: pd.DataFrame) -> None:
        """Warn of effects that rest on one treated cluster, and of clusters that hold one unit."""
        panel = self.panel
        cohorts, counts = moments.clusters_of_cells()
        lone = counts.max(axis=1) == 1
        if panel.cluster == panel.unit:
            untreated = np.isinf(panel.cohorts)
            never = panel.first_units(untreated, 1) if panel.counts[untreated].sum() == 1 else []
        else:
            group = np.repeat(np.arange(len(moments.groups.n)), np.diff(moments.starts))
            never = panel.clusters[np.unique(moments.cluster[np.isinf(moments.groups.cohorts[group])])]
        if len(never) == 1:
            warn(
                f"A single {panel.cluster}, {never[0]}, is never treated: the standard error of a "
                "comparison with it cannot be trusted; add some, or compare with units not yet treated."
            )
        # One treated cluster in all is told when the estimate is finished.
        if lone.any() and len(cohorts) > 1:
            warn(
                f"Cohort {', '.join(f'{g:.0f}' for g in cohorts[lone])} holds a single {panel.cluster}: the standard "
                "error of its own effects cannot be trusted; read averages over cohorts, or use synthetic control."
            )
        if "cohort" in terms and "period" in terms:
            row, column = np.searchsorted(cohorts, terms["cohort"]), np.searchsorted(panel.periods, terms["period"])
            alone = (counts[row, column] == 1) & ~lone[row]
            if alone.any():
                thin = terms["term"][alone].tolist()
                more = f" and {len(thin) - 10} more" if len(thin) > 10 else ""
                warn(
                    f"Only one {panel.cluster} is observed under {', '.join(thin[:10])}{more}: the standard error of "
                    "such an effect cannot be trusted; read averages."
                )
        if panel.cluster != panel.unit:
            single = int((panel.cluster_sizes == 1).sum())
            if single:
                warn(
                    f"{single} of {panel.n_clusters} clusters of {panel.cluster!r} hold one unit: "
                    "the variance within such a cluster is not seen; prefer coarser clusters."
                )
