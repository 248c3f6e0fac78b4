"""Donor weights of several cohorts that belong together (Ben-Michael, Feller & Rothstein 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apmkit.errors import EstimationError
from apmkit.synth.comparison import Comparison, Fit, fit, pooled
from apmkit.synth.simplex import simplex_least_squares
from apmkit.synth.weights import TIES_ONLY

_PENALTY = 300.0
_ROUNDS = 100
_SETTLED = 1e-11


@dataclass(frozen=True, eq=False)
class PooledWeights:
    """Minimises nu pooled^2 + (1 - nu) separate^2, both relative to the fit of each cohort by itself.

    With d_kl the gap of cohort k, l periods before treatment, and p_k its share of the treated units, separate^2 is the
    p-weighted mean over k of the mean of d_kl^2 over l, and pooled^2 the mean over l of the square of sum_k p_k d_kl.

    Attributes
    ----------
    comparisons : list of Comparison
    nu : float, optional
        Found for each set by `heuristic` where None.
    intercept : bool
    """

    comparisons: Sequence[Comparison]
    nu: float | None
    intercept: bool

    def __call__(self, treated: Sequence[np.ndarray], donors: np.ndarray) -> list[Fit]:
        """Fits of each cohort, from treated sets (sets, n) of each and donor sets (sets, m)."""
        weights = self._weights(self._paths(treated, donors), self._share(treated))
        fits = []
        for comparison, own, sets in zip(self.comparisons, weights, treated, strict=True):
            n_pre = comparison.n_pre
            time_weights = np.full((len(sets), n_pre), 1 / n_pre if self.intercept else 0.0)
            fits.append(fit(comparison, lambda *_, w=own, t=time_weights: (w, t), sets, donors))
        return fits

    def heuristic(self, treated: Sequence[np.ndarray], donors: np.ndarray) -> np.ndarray:
        """Distance of the average over the average distance when each cohort is fitted by itself, shape (sets,)."""
        paths, share = self._paths(treated, donors), self._share(treated)
        return _ratio([(w[:, None] @ p)[:, 0] for w, p in zip(self._apart(paths), paths, strict=True)], share)

    def _share(self, treated) -> np.ndarray:
        sizes = np.array([sets.shape[1] for sets in treated], dtype=float)
        return sizes / sizes.sum()

    def _paths(self, treated, donors) -> list[np.ndarray]:
        """Treated less each donor before treatment, shape (sets, m, n_pre) for each cohort."""
        paths = []
        for comparison, sets in zip(self.comparisons, treated, strict=True):
            n_pre = comparison.n_pre
            path = pooled(comparison, sets)[:, None, :n_pre] - comparison.outcomes[donors][:, :, :n_pre]
            if self.intercept:
                path = path - path.mean(axis=2, keepdims=True)
            paths.append(path)
        return paths

    def _ties(self) -> float:
        return TIES_ONLY * max(comparison.noise for comparison in self.comparisons)

    def _apart(self, paths) -> list[np.ndarray]:
        """Weights of each cohort by itself."""
        return [simplex_least_squares(p.transpose(0, 2, 1) / np.sqrt(p.shape[2]), self._ties()) for p in paths]

    def _weights(self, paths, share) -> list[np.ndarray]:
        """All weights at once, each cohort's times its share, as one simplex with the sum of each cohort held.

        The sums are held by the method of multipliers (Bertsekas 1982, ch. 2): a quadratic penalty whose target moves
        by what is missing, so that the sums become exact while the problem stays well-conditioned.
        """
        apart = self._apart(paths)
        if self.nu == 0 or len(paths) == 1:
            return apart
        n_sets, m, _ = paths[0].shape
        longest = max(p.shape[2] for p in paths)
        gaps = [(w[:, None] @ p)[:, 0] for w, p in zip(apart, paths, strict=True)]
        floor = (1e-9 * max(float(np.abs(p).max()) for p in paths)) ** 2
        separate = sum(s * np.square(g).mean(axis=1) for s, g in zip(share, gaps, strict=True))
        together = np.square(_average(gaps, share)).mean(axis=1)
        nu = _ratio(gaps, share) if self.nu is None else np.full(n_sets, self.nu)
        for_pooled = np.sqrt(nu / np.maximum(together, floor) / longest)
        for_separate = np.sqrt((1 - nu) / np.maximum(separate, floor))

        rows = np.zeros((n_sets, longest + sum(p.shape[2] for p in paths), len(paths) * m))
        start = longest
        for k, path in enumerate(paths):
            n_pre, own = path.shape[2], slice(k * m, (k + 1) * m)
            columns = path.transpose(0, 2, 1)
            rows[:, longest - n_pre : longest, own] = for_pooled[:, None, None] * columns
            rows[:, start : start + n_pre, own] = for_separate[:, None, None] / np.sqrt(n_pre * share[k]) * columns
            start += n_pre
        rows /= np.abs(rows).max(axis=(1, 2), keepdims=True)
        ridge = self._ties() / max(float(np.abs(p).max()) for p in paths)
        member = np.repeat(np.eye(len(paths)), m, axis=1)
        weights, missing = np.empty((n_sets, len(paths) * m)), np.zeros((n_sets, len(paths)))
        open_ = np.arange(n_sets)
        for _ in range(_ROUNDS):
            target = share[:, None] - missing[open_][:, :, None]
            points = np.concatenate([rows[open_], _PENALTY * (member - target)], axis=1)
            weights[open_] = simplex_least_squares(points, ridge)
            short = weights[open_] @ member.T - share
            missing[open_] += short
            open_ = open_[np.abs(short).max(axis=1) > _SETTLED]
            if not len(open_):
                parts = np.split(weights, len(paths), axis=1)
                return [part / part.sum(axis=1, keepdims=True) for part in parts]
        raise EstimationError(
            f"The weights of {len(paths)} cohorts did not settle in {_ROUNDS} rounds: give nu= or a smaller one."
        )


def _ratio(gaps: Sequence[np.ndarray], share: np.ndarray) -> np.ndarray:
    """Length of the average gap over the average length, shape (sets,); 0 where all fit."""
    mean = np.sqrt(np.square(_average(gaps, share)).sum(axis=1))
    each = sum(s * np.sqrt(np.square(g).sum(axis=1)) for s, g in zip(share, gaps, strict=True))
    return np.divide(mean, each, out=np.zeros_like(mean), where=each > 0)


def _average(gaps: Sequence[np.ndarray], share: np.ndarray) -> np.ndarray:
    """Average gap by time before treatment, counted back from it; cohorts not yet observed add nothing."""
    longest = max(g.shape[1] for g in gaps)
    total = np.zeros((len(gaps[0]), longest))
    for g, s in zip(gaps, share, strict=True):
        total[:, longest - g.shape[1] :] += s * g
    return total
