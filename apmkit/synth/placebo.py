"""Placebo inference: what the method finds where nothing was treated."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import pandas as pd

from apmkit.synth.comparison import Comparison, Fit, Weigh, fit

_EXACT_FIT = 1e-8

Statistic = Literal["rmspe_ratio", "absolute_effect"]


@dataclass(frozen=True, eq=False)
class Placebos:
    """The method applied to units as if they had been treated, and to all others as donors.

    Two kinds answer two questions. `among_all` draws from all units, so that the treated unit serves as a donor of the
    placebos (Abadie, Diamond & Hainmueller 2010, sec. 2.4). Treated and placebos then go through the same steps, and
    the rank of the treated is uniform when treatment was assigned at random and has no effect. `among_donors` draws
    from the donors and leaves the treated units out, so that their effect does not enter the variance (Arkhangelsky et
    al. 2021, algorithm 4). Ranks among these are not uniform: each placebo has one donor less than the treated unit.

    Attributes
    ----------
    labels : list of str or of units, length n_placebos
    fit : Fit
    enumerated : bool
        Whether these are all the placebos there are.
    """

    labels: list
    fit: Fit
    enumerated: bool

    @classmethod
    def among_all(cls, comparison: Comparison, weigh: Weigh, draws: int, seed: int) -> Placebos:
        """Sets of all units, as many as are treated, other than the treated set itself."""
        units = np.arange(len(comparison.panel.units))
        return cls._of(comparison, weigh, units, draws, seed, comparison.treated)

    @classmethod
    def among_donors(cls, comparison: Comparison, weigh: Weigh, draws: int, seed: int) -> Placebos | None:
        """Sets of donors, as many as units are treated; None where no donor would be left."""
        if len(comparison.donors) <= len(comparison.treated):
            return None
        return cls._of(comparison, weigh, comparison.donors, draws, seed, None)

    @classmethod
    def _of(cls, comparison, weigh, pool, draws, seed, left_out):
        """All sets of `pool` if there are at most `draws` of them or one treated unit, else `draws` random ones."""
        n = len(comparison.treated)
        enumerated = n == 1 or comb(len(pool), n) - (left_out is not None) <= draws
        if enumerated:
            chosen = np.array(list(combinations(range(len(pool)), n)))
            if left_out is not None:
                chosen = chosen[(pool[chosen] != left_out).any(axis=1)]
        else:
            rng = np.random.default_rng(seed)
            order = rng.permuted(np.broadcast_to(np.arange(len(pool)), (draws, len(pool))), axis=1)
            chosen = order[:, :n]
        plays = np.zeros((len(chosen), len(pool)), dtype=bool)
        np.put_along_axis(plays, chosen, True, axis=1)
        rest = np.broadcast_to(pool, plays.shape)[~plays].reshape(len(chosen), -1)
        units = comparison.panel.units
        labels = [units[pool[row[0]]] if n == 1 else f"set {i + 1}" for i, row in enumerate(chosen)]
        return cls(labels, fit(comparison, weigh, pool[chosen], rest), enumerated)


def statistic(estimated: Fit, kind: Statistic, scale: float) -> np.ndarray:
    """What is ranked. Fits closer than 1e-8 of `scale` before treatment count as equally close."""
    if kind == "absolute_effect":
        return np.abs(estimated.effect)
    return estimated.post_rmspe / np.maximum(estimated.pre_rmspe, _EXACT_FIT * scale)


def rank_p_value(observed: float, placebos: np.ndarray) -> float:
    """Share of placebos and the treated whose statistic is at least as large as that of the treated."""
    return float((1 + (placebos >= observed * (1 - 1e-9)).sum()) / (1 + len(placebos)))


def placebo_frames(
    placebos: Placebos, observed: float, values: np.ndarray, scale: float, periods: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per placebo with its rank among all placebos and the treated (1 is largest); its gaps, long."""
    estimated = placebos.fit
    above = np.searchsorted(np.sort(-values), -values, side="left")
    frame = pd.DataFrame(
        {
            "unit": placebos.labels,
            "estimate": estimated.effect,
            "pre_rmspe": estimated.pre_rmspe,
            "post_rmspe": estimated.post_rmspe,
            "ratio": statistic(estimated, "rmspe_ratio", scale),
            "rank": 1 + above + (observed > values),
        }
    )
    gaps = pd.DataFrame(
        {
            "unit": np.repeat(frame["unit"].to_numpy(), len(periods)),
            "period": np.tile(periods, len(frame)),
            "gap": estimated.gap.ravel(),
        }
    )
    return frame, gaps
