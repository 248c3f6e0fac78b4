"""What a panel keeps when its rows stay in a database: sums over units that look alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over groups of units that share a cohort and the periods in which they are observed; they add up.

    With y the outcomes of a unit by period, zero where it is not observed, and w its weight, the row of a unit is
    (w y, w), of n_periods + 1 numbers.

    Attributes
    ----------
    cohorts : ndarray, shape (n_groups,)
    observed : ndarray of bool, shape (n_groups, n_periods)
    units : ndarray of int, shape (n_groups,)
    total, squares : ndarray, shape (n_groups, n_periods + 1)
        Sums of the rows of units, and of the rows times w.
    rows : ndarray, shape (n_rows, n_periods + 1)
        With clusters, sums by group and cluster. Where units are the clusters, rows of units, or where a group has
        more than n_periods + 1 of them the triangular factor of their cross-products: fewer rows with the same
        cross-products, and no loss of digits.
    group : ndarray of int, shape (n_rows,)
        Sorted.
    cluster : ndarray of int, shape (n_rows,), or None
    members : ndarray of int, shape (n_rows,)
        Units behind a row; zero for rows of a factor but its first.
    first : ndarray of int, shape (n_groups, 10)
        Places of the first ten units of a group in the order of the units; -1 where there are fewer.
    """

    cohorts: np.ndarray
    observed: np.ndarray
    units: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    rows: np.ndarray
    group: np.ndarray
    cluster: np.ndarray | None
    members: np.ndarray
    first: np.ndarray

    @classmethod
    def of_units(cls, cohorts, outcomes, weights, cluster, place) -> Sums:
        """Sums of units from one value each; `outcomes` (n_units, n_periods) are missing where not observed."""
        observed = ~np.isnan(outcomes)
        weight = np.ones(len(outcomes)) if weights is None else weights
        rows = np.column_stack([np.where(observed, outcomes, 0.0) * weight[:, None], weight])
        one = np.ones(len(rows), dtype=np.int64)
        first = np.full((len(rows), 10), -1)
        first[:, 0] = place
        squares = rows if weights is None else rows * weight[:, None]
        return cls(cohorts, observed, one, rows, squares, rows, np.arange(len(rows)), cluster, one, first).pooled()

    @classmethod
    def merged(cls, parts: list[Sums]) -> Sums:
        """Sums over the units of all parts."""
        offsets = np.cumsum([0, *(len(part.units) for part in parts[:-1])])
        joined = {
            name: None if getattr(parts[0], name) is None else np.concatenate([getattr(part, name) for part in parts])
            for name in cls.__dataclass_fields__
        }
        joined["group"] = np.concatenate([part.group + o for part, o in zip(parts, offsets, strict=True)])
        return cls(**joined).pooled()

    def restricted(self, groups: np.ndarray, periods: np.ndarray, cohorts: np.ndarray) -> Sums:
        """The groups and periods where the masks are true, with these cohorts for the groups that stay."""
        kept, columns = groups[self.group], np.append(periods, True)
        return Sums(
            cohorts,
            self.observed[groups][:, periods],
            self.units[groups],
            self.total[groups][:, columns],
            self.squares[groups][:, columns],
            self.rows[kept][:, columns],
            (np.cumsum(groups) - 1)[self.group[kept]],
            None if self.cluster is None else self.cluster[kept],
            self.members[kept],
            self.first[groups],
        ).pooled()

    def pooled(self) -> Sums:
        """The same sums with groups that look alike made one."""
        first, of_group = alike(self.cohorts, self.observed)
        order = np.argsort(of_group, kind="stable")
        starts = np.searchsorted(of_group[order], np.arange(len(first)))

        def added(values):
            return np.add.reduceat(values[order], starts, axis=0)

        group = of_group[self.group]
        if self.cluster is None:
            rows, group, members = _factored(self.rows, group, self.members)
            cluster = None
        else:
            by_cluster = np.lexsort((self.cluster, group))
            group, cluster = group[by_cluster], self.cluster[by_cluster]
            new = np.flatnonzero(np.append(True, (np.diff(group) != 0) | (np.diff(cluster) != 0)))
            rows, members = (np.add.reduceat(v[by_cluster], new, axis=0) for v in (self.rows, self.members))
            group, cluster = group[new], cluster[new]
        return Sums(
            self.cohorts[first],
            self.observed[first],
            added(self.units),
            added(self.total),
            added(self.squares),
            rows,
            group,
            cluster,
            members,
            _earliest(self.first, of_group, len(first)),
        )


def alike(cohorts: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of each set of rows with one cohort and the same observed periods, and the set of each row."""
    _, code = np.unique(cohorts, return_inverse=True)
    if not observed.all():
        n_periods = observed.shape[1]
        if n_periods + int(code.max()).bit_length() < 63:
            code = (code << n_periods) + observed @ (1 << np.arange(n_periods))
        else:
            code = np.column_stack([code, np.packbits(observed, axis=1)])
    _, first, of_row = np.unique(code, axis=0, return_index=True, return_inverse=True)
    return first, of_row.ravel()


def _factored(rows, group, members):
    """Rows sorted by group, those of large groups replaced by the triangular factor of their cross-products."""
    order = np.argsort(group, kind="stable")
    rows, group, members = rows[order], group[order], members[order]
    width = rows.shape[1]
    present, starts, sizes = np.unique(group, return_index=True, return_counts=True)
    large = np.flatnonzero(sizes > width)
    if not len(large):
        return rows, group, members
    factors = np.concatenate([np.linalg.qr(rows[starts[i] : starts[i] + sizes[i]], mode="r") for i in large])
    counted = np.zeros((len(large), width), dtype=members.dtype)
    counted[:, 0] = np.add.reduceat(members, starts)[large]
    loose = np.repeat(sizes <= width, sizes)
    group = np.concatenate([group[loose], np.repeat(present[large], width)])
    order = np.argsort(group, kind="stable")
    rows, members = np.concatenate([rows[loose], factors]), np.concatenate([members[loose], counted.ravel()])
    return rows[order], group[order], members[order]


def _earliest(first, of_group, n_groups):
    """The ten smallest places of each set of groups."""
    place, group = first.ravel(), np.repeat(of_group, first.shape[1])
    place, group = place[place >= 0], group[place >= 0]
    order = np.lexsort((place, group))
    place, group = place[order], group[order]
    rank = np.arange(len(place)) - np.searchsorted(group, group)
    kept = np.full((n_groups, first.shape[1]), -1)
    early = rank < first.shape[1]
    kept[group[early], rank[early]] = place[early]
    return kept
