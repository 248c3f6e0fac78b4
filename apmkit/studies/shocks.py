"""Shocks of simulated worlds."""

from __future__ import annotations

import numpy as np

PERSISTENCE = 0.5
"""Share of a shock that carries over to the next period; assumed."""


def fading(innovations: np.ndarray) -> np.ndarray:
    """Stationary shocks from independent ones of the same standard deviation; shape (series, periods).

    >>> fading(np.array([[2.0, 0.0, 0.0]])).tolist()
    [[2.0, 1.0, 0.5]]
    """
    shocks = innovations.copy()
    for t in range(1, shocks.shape[1]):
        shocks[:, t] = PERSISTENCE * shocks[:, t - 1] + np.sqrt(1 - PERSISTENCE**2) * innovations[:, t]
    return shocks
