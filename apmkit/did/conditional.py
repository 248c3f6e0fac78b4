"""Effects of cohorts and periods given covariates: which units are compared, and what each comparison gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from apmkit.did.doubly_robust import TRIMMED, NotConverged, NotIdentified, Slice, linear_form
from apmkit.did.kernel import Combination, Groups, Moments
from apmkit.did.scores import Scores, sums_by_cluster
from apmkit.errors import EstimationError, warn
from apmkit.panel import Panel

NEAR_ONE = 0.99
WEIGHTS_KEPT = 20_000_000


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Which units each effect compares, and when.

    Attributes
    ----------
    cohort : ndarray, shape (terms,)
    t, base : ndarray of int, shape (terms,)
        Positions of the period of the effect and of the one it is compared with.
    untreated_until : ndarray, shape (terms,)
        Units of other cohorts that start after this period serve as comparison; infinity for never-treated units.
    """

    cohort: np.ndarray
    t: np.ndarray
    base: np.ndarray
    untreated_until: np.ndarray

    def controls(self, cohorts: np.ndarray, terms=slice(None)) -> np.ndarray:
        """Whether each of `cohorts` serves as comparison, shape (terms, len(cohorts))."""
        later = cohorts > np.atleast_1d(self.untreated_until[terms])[:, None]
        return (later | np.isinf(cohorts)) & (cohorts != np.atleast_1d(self.cohort[terms])[:, None])


@dataclass(frozen=True, eq=False)
class Strata:
    """Units of one group with the same covariates, or single units where covariates have many values.

    Attributes
    ----------
    groups : Groups
        The strata as groups of the kernel.
    x : ndarray, shape (n_strata, 1 or n_periods, 1 + covariates)
        A one and the standardised covariates.
    of_units : bool
        Whether each stratum is one unit.
    """

    groups: Groups
    x: np.ndarray
    of_units: bool

    @classmethod
    def of(cls, panel: Panel, names: Sequence[str], n_terms: int) -> Strata:
        """Strata of a panel, as units where they would be too many to keep a weight for each of their cells."""
        x = _standardised(panel, names)
        width = len(panel.periods) + 1
        most = min(len(panel.units) // width, WEIGHTS_KEPT // (n_terms * width))
        groups = Groups.of(panel)
        code = groups.of_unit
        for column in x.reshape(len(x), -1)[:, 1:].T:
            if code.max() >= most:
                break
            values, own = np.unique(column, return_inverse=True)
            _, code = np.unique(code * len(values) + own, return_inverse=True)
        if code.max() >= most:
            n_units, weights = len(panel.units), panel.weights
            varying = weights is not None and weights.ndim == 2
            mass = np.ones(n_units) if weights is None or varying else weights
            profile = weights if varying else panel.observed.astype(float)
            return cls(Groups(panel, np.arange(n_units), panel.cohorts, mass, profile), x, True)
        _, first = np.unique(code, return_index=True)
        mass = np.bincount(code, weights=panel.weights).astype(float)
        profile = groups.profile[groups.of_unit[first]]
        return cls(Groups(panel, code, panel.cohorts[first], mass, profile), x[first], False)


def _standardised(panel: Panel, names: Sequence[str]) -> np.ndarray:
    """A one and the covariates with mean zero and unit variance, shape (n_units, 1 or n_periods, 1 + covariates)."""
    values = [np.atleast_2d(panel.covariates[name].T).T for name in names]
    width = max(v.shape[1] for v in values)
    columns, kept = [np.ones((len(panel.units), width))], []
    for name, v in zip(names, values, strict=True):
        v = v - np.nanmean(v)
        scale = np.nanmax(np.abs(v))
        if scale <= 1e-12 * np.nanmax(np.abs(panel.covariates[name]), initial=1e-300):
            warn(f"Covariate {name!r} does not vary in the estimation sample: it adjusts for nothing.")
            continue
        v = v / scale
        columns.append(np.broadcast_to(np.nan_to_num(v / np.sqrt(np.nanmean(v**2))), (len(v), width)))
        kept.append(name)
    x = np.stack(columns, axis=2)
    flat = x.reshape(-1, x.shape[2])
    _, r = np.linalg.qr(flat)
    left = np.abs(np.diag(r)) / np.sqrt(len(flat))
    if (left < 1e-7).any():
        collinear = int(np.argmax(left < 1e-7))
        others = " and ".join(repr(name) for name in kept[: collinear - 1])
        raise EstimationError(f"Covariate {kept[collinear - 1]!r} follows from {others}: leave one of them out.")
    return x


@dataclass
class Overlap:
    """Propensity scores of the comparisons, as they come."""

    strata: Strata
    rows: list[dict] = field(default_factory=list)
    near_one: set[int] = field(default_factory=set)
    trimmed: set[int] = field(default_factory=set)

    def add(self, terms: np.ndarray, rows: np.ndarray, treated: np.ndarray, p: np.ndarray) -> None:
        self.near_one |= set(rows[p >= NEAR_ONE].tolist())
        self.trimmed |= set(rows[~treated & (p >= TRIMMED)].tolist())
        lowest, treated_high, control_high = p.min(), p[treated].max(), p[~treated].max()
        self.rows += [
            {"at": j, "lowest": lowest, "highest_treated": treated_high, "highest_comparison": control_high}
            for j in terms
        ]

    def units(self, strata: set[int]) -> list[str]:
        panel = self.strata.groups.panel
        return [str(unit) for unit in panel.units[np.isin(self.strata.groups.of_unit, list(strata))]]

    def table(self, terms: pd.Series) -> pd.DataFrame:
        """Per effect, the lowest propensity score and the highest of a treated and of a comparison unit."""
        frame = pd.DataFrame(self.rows).sort_values("at", ignore_index=True)
        frame.insert(0, "term", terms.to_numpy()[frame.pop("at")])
        return frame

    def diagnostics(self) -> dict:
        """Range of the scores and the units near one; warns of them."""
        near, trimmed = self.units(self.near_one), self.units(self.trimmed)
        if near:
            named = ", ".join(near[:10]) + (f" and {len(near) - 10:,} more" if len(near) > 10 else "")
            warn(
                f"Weak overlap: the propensity score reaches {NEAR_ONE} for {len(near):,} "
                f"unit{'s' * (len(near) != 1)} ({named}), so that few comparison units stand in for many; of these "
                f"{len(trimmed):,} comparison units at {TRIMMED} or above get no weight: use fewer covariates, or "
                "leave out units that have no counterpart."
            )
        frame = pd.DataFrame(self.rows)
        return {
            "lowest": float(frame["lowest"].min()),
            "highest": float(frame[["highest_treated", "highest_comparison"]].to_numpy().max()),
            "near_one": {"count": len(near), "first": near[:10]},
            "trimmed": {"count": len(trimmed), "first": trimmed[:10]},
        }


@dataclass(frozen=True, eq=False)
class Compared:
    """What comparisons gave, with or without covariates.

    Attributes
    ----------
    moments : Moments
    identified : ndarray of bool, shape (terms,)
    unidentified : dict of str to list of int
        Why the other terms have no estimate.
    weights, centring : ndarray, shapes (terms, n_groups, n_periods) and (terms, n_groups), or None
        As in `kernel.Combination`.
    estimates, scores : ndarray, shapes (terms,) and (terms, n_clusters), or None
        Where each unit is a stratum and weights would be too many.
    overlap : Overlap, or None
        Where there are propensity scores.
    """

    moments: Moments
    identified: np.ndarray
    unidentified: dict[str, list[int]]
    weights: np.ndarray | None = None
    centring: np.ndarray | None = None
    estimates: np.ndarray | None = None
    scores: np.ndarray | None = None
    overlap: Overlap | None = None

    def combination(self, factor: float, cohort: np.ndarray) -> Combination | Scores:
        """The identified terms, with what their averages need; `cohort` names the cohort of each."""
        groups = self.moments.groups if self.scores is None else Groups.of(self.moments.groups.panel)
        share_mass = groups.profile.sum(axis=1) / np.count_nonzero(groups.profile, axis=1)
        size = np.array([(groups.n * share_mass)[groups.cohorts == g].sum() for g in cohort])
        kept = slice(None) if self.identified.all() else self.identified
        if self.scores is None:
            return Combination(self.moments, self.weights[kept], self.centring[kept], factor, size, share_mass)
        return Scores(groups, self.estimates[kept], self.scores[kept], factor, size, share_mass)


def conditional(panel: Panel, comparisons: Comparisons, names: Sequence[str], method: str, by_pairs: bool) -> Compared:
    """Effects of cohorts and periods given the covariates `names`.

    Comparisons of the same units differ in the outcome only, so one propensity score and one set of regressions
    serve all of them.
    """
    n_terms, n_periods = len(comparisons.t), len(panel.periods)
    strata = Strata.of(panel, names, n_terms)
    groups = strata.groups
    moments = Moments.of(groups, centre_units=by_pairs)
    total = np.ascontiguousarray(moments.total.T)
    weights = None if strata.of_units else np.zeros((n_terms, len(groups.n), n_periods))
    centring = None if strata.of_units else np.zeros((n_terms, len(groups.n)))
    scores = np.zeros((n_terms, len(panel.clusters))) if strata.of_units else None
    estimates, identified = np.zeros(n_terms), np.zeros(n_terms, dtype=bool)
    unidentified, overlap = {}, None if method == "outcome_regression" else Overlap(strata)
    for terms in _same_units(panel, strata, comparisons, by_pairs):
        t, base = comparisons.t[terms], comparisons.base[terms]
        parts = [(groups.profile[:, t[0]], t, 1.0), (groups.profile[:, base[0]], base, -1.0)]
        if by_pairs:
            later, earlier = max(t[0], base[0]), min(t[0], base[0])
            both = (groups.profile[:, later] > 0) & (groups.profile[:, earlier] > 0)
            parts = [(np.where(both, groups.profile[:, later], 0.0), None, 1.0)]
        own = groups.cohorts == comparisons.cohort[terms[0]]
        member = own | comparisons.controls(groups.cohorts, terms[0])[0]
        rows = np.flatnonzero(member & np.any([profile > 0 for profile, _, _ in parts], axis=0))
        treated, slices = own[rows], []
        for profile, at, sign in parts:
            y = (total[t] - total[base] if at is None else total[at])[:, rows].T
            x = strata.x[rows, min(strata.x.shape[1] - 1, earlier if at is None else at[0])]
            x = np.asfortranarray(x)  # products with a weight for each stratum then run along memory
            per_unit = profile[rows]
            slices.append(Slice(sign, x, groups.n[rows] * per_unit, per_unit[:, None] * y))
        try:
            form = linear_form(slices, treated, method, by_pairs=by_pairs)
        except NotIdentified as reason:
            unidentified.setdefault(str(reason), []).extend(terms.tolist())
            continue
        except NotConverged:
            raise EstimationError(
                f"The propensity score of cohort {comparisons.cohort[terms[0]]} did not converge: use fewer "
                "covariates, take logs of skewed ones, or method='outcome_regression'."
            ) from None
        identified[terms] = True
        if overlap is not None:
            overlap.add(terms, rows, treated, form.propensity)
        if strata.of_units:
            estimates[terms] = sum(a @ s.y for a, s in zip(form.weights, slices, strict=True))
            score = sum(
                a[:, None] * s.y - s.mass[:, None] * c
                for a, c, s in zip(form.weights, form.centrings, slices, strict=True)
            )
            scores[terms] = sums_by_cluster(panel, score.T, rows)
            continue
        for a, c, (profile, at, _) in zip(form.weights, form.centrings, parts, strict=True):
            per_cell = profile[rows] * a
            centring[np.ix_(terms, rows)] += (profile[rows, None] * c).T
            for column, direction in ((t, 1.0), (base, -1.0)) if at is None else ((at, 1.0),):
                for j, period in zip(terms, column, strict=True):
                    weights[j, rows, period] += direction * per_cell
    return Compared(moments, identified, unidentified, weights, centring, estimates, scores, overlap)


def _same_units(panel: Panel, strata: Strata, comparisons: Comparisons, by_pairs: bool) -> list[np.ndarray]:
    """Terms that compare the same units with the same weights and covariates."""
    steady = panel.is_balanced and (panel.weights is None or panel.weights.ndim == 1) and strata.x.shape[1] == 1
    first, second = comparisons.t, comparisons.base
    if by_pairs:
        first, second = np.minimum(first, second), np.maximum(first, second)
    known = comparisons.controls(np.unique(strata.groups.cohorts))
    key = np.column_stack([comparisons.cohort, known, *([] if steady else [first, second])])
    _, of_term = np.unique(key, axis=0, return_inverse=True)
    return [np.flatnonzero(of_term.ravel() == k) for k in range(of_term.max() + 1)]
