"""Random weights of clusters for bootstraps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from apmkit.errors import ApmkitError
from apmkit.options import check_draws, check_seed

Kind = Literal["rademacher", "webb", "mammen"]
BLOCK = 4_000_000
"""Numbers in a block of draws."""

GOLDEN = math.sqrt(5)
POINTS = {
    "rademacher": (np.array([-1.0, 1.0]), None),
    "webb": (np.array([-math.sqrt(1.5), -1.0, -math.sqrt(0.5), math.sqrt(0.5), 1.0, math.sqrt(1.5)]), None),
    "mammen": (
        np.array([(1 - GOLDEN) / 2, (1 + GOLDEN) / 2]),
        np.array([(GOLDEN + 1) / (2 * GOLDEN), (GOLDEN - 1) / (2 * GOLDEN)]),
    ),
}
"""Values of the bootstrap weights and their probabilities; none means equal ones."""


@dataclass(frozen=True)
class ClusterWeights:
    """Weights of the clusters, drawn in blocks; all of them where they are few."""

    n_clusters: int
    kind: Kind
    draws: int
    enumerated: bool
    seed: int

    @classmethod
    def of(cls, n_clusters: int, kind: Kind, draws: int, seed: int) -> ClusterWeights:
        """Checked options; all signs are used once where there are no more than `draws` ways to choose them.

        Raises
        ------
        ApmkitError
            The weights are not known, `draws` is too small, or the seed is none.
        """
        if not isinstance(kind, str) or kind not in POINTS:
            raise ApmkitError(f"weights={kind!r} is not known: give {', '.join(map(repr, POINTS))}.")
        check_draws(draws)
        check_seed(seed)
        every = kind == "rademacher" and n_clusters <= math.log2(draws + 1)
        return cls(n_clusters, kind, 2**n_clusters if every else draws, every, seed)

    def blocks(self) -> Iterator[np.ndarray]:
        """Weights, shape (n_clusters, draws of the block)."""
        random = np.random.default_rng(self.seed)
        points, odds = POINTS[self.kind]
        size = max(1, BLOCK // self.n_clusters)
        for start in range(0, self.draws, size):
            shape = (self.n_clusters, min(size, self.draws - start))
            if self.enumerated:
                code = np.arange(start, start + shape[1])
                yield 2.0 * ((code >> np.arange(self.n_clusters)[:, None]) & 1) - 1.0
            elif self.kind == "rademacher":
                bits = np.unpackbits(np.frombuffer(random.bytes(-(-shape[0] * shape[1] // 8)), dtype=np.uint8))
                yield 2.0 * bits[: shape[0] * shape[1]].reshape(shape) - 1.0
            elif odds is None:
                yield points[random.integers(0, len(points), size=shape, dtype=np.uint8)]
            else:
                yield points[(random.random(shape) >= odds[0]).astype(np.intp)]
