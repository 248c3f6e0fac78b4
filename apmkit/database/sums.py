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
    def of_units(cls, cohorts, observed, rows, cluster, place) -> Sums:
        """Sums of units from one row each; `observed` is None where all periods are, `place` is that of the first."""
        n, weight = len(rows), rows[:, -1]
        first, of_unit = alike(cohorts, observed)
        order = np.argsort(of_unit, kind="stable")
        starts = np.searchsorted(of_unit[order], np.arange(len(first)))
        units = np.diff(np.append(starts, n))
        rows, weight = rows.take(order, axis=0), weight[order]
        total = np.add.reduceat(rows, starts, axis=0)
        unweighted = (weight == 1).all()
        squares = total if unweighted else np.add.reduceat(rows * weight[:, None], starts, axis=0)
        early = starts[:, None] + np.arange(10)
        earliest = np.where(np.arange(10) < units[:, None], order[np.minimum(early, n - 1)] + place, -1)
        seen = np.ones((len(first), rows.shape[1] - 1), dtype=bool) if observed is None else observed[first]
        cluster = None if cluster is None else cluster[order]
        packed = _packed(rows, of_unit[order], cluster, np.ones(n, dtype=np.int64))
        return cls(cohorts[first], seen, units, total, squares, *packed, earliest)

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
        order_of_rows = np.argsort(group, kind="stable")
        rows, members = self.rows[order_of_rows], self.members[order_of_rows]
        cluster = None if self.cluster is None else self.cluster[order_of_rows]
        return Sums(
            self.cohorts[first],
            self.observed[first],
            added(self.units),
            added(self.total),
            added(self.squares),
            *_packed(rows, group[order_of_rows], cluster, members),
            _earliest(self.first, of_group, len(first)),
        )


def alike(cohorts: np.ndarray, observed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The first of each set of rows with one cohort and the same observed periods, and the set of each row."""
    labels = np.unique(cohorts)
    of_row = np.searchsorted(labels, cohorts)
    first = np.empty(len(labels), dtype=np.int64)
    first[of_row[::-1]] = np.arange(len(of_row))[::-1]  # the last that is set stays
    if observed is not None and not observed.all():
        n_periods = observed.shape[1]
        if n_periods + len(labels).bit_length() < 63:
            code = (of_row << n_periods) + observed @ (1 << np.arange(n_periods))
        else:
            code = np.column_stack([of_row, np.packbits(observed, axis=1)])
        _, first, of_row = np.unique(code, axis=0, return_index=True, return_inverse=True)
    # Sixteen bits are sorted in linear time.
    return first, of_row.ravel().astype(np.uint16 if len(first) < 2**16 else np.int64)


def _packed(rows, group, cluster, members):
    """Rows sorted by group made fewer: one for each cluster, or the triangular factor where that is shorter."""
    if cluster is not None:
        order = np.lexsort((cluster, group))
        group, cluster = group[order], cluster[order]
        new = np.flatnonzero(np.append(True, (group[1:] != group[:-1]) | (cluster[1:] != cluster[:-1])))
        rows, members = (np.add.reduceat(values[order], new, axis=0) for values in (rows, members))
        return rows, group[new], cluster[new], members
    width = rows.shape[1]
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    sizes = np.diff(np.append(starts, len(group)))
    large = np.flatnonzero(sizes > width)
    if not len(large):
        return rows, group, None, members
    factors = [_factor(rows[starts[i] : starts[i] + sizes[i]]) for i in large]
    counted = np.zeros((len(large), width), dtype=members.dtype)
    counted[:, 0] = np.add.reduceat(members, starts)[large]
    loose = np.repeat(sizes <= width, sizes)
    of_row = np.concatenate([group[loose], np.repeat(group[starts[large]], width)])
    order = np.argsort(of_row, kind="stable")
    rows, members = np.concatenate([rows[loose], *factors]), np.concatenate([members[loose], counted.ravel()])
    return rows[order], of_row[order], None, members[order]


def _factor(rows):
    """Upper triangular matrix with the cross-products of `rows`."""
    products = rows.T @ rows
    try:
        factor = np.linalg.cholesky(products, upper=True)
    except np.linalg.LinAlgError:
        factor = np.zeros_like(products)
    # Products of columns that nearly explain each other have lost the digits of the difference.
    if (np.diag(factor) ** 2 > 1e-3 * np.diag(products)).all():
        return factor
    return np.linalg.qr(rows, mode="r")


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
