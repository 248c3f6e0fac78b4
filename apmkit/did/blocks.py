"""Weights on outcomes where groups are so many that not all can be kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_BLOCK = 4_000_000


@dataclass(frozen=True, eq=False)
class Blockwise:
    """Weights made for a block of groups at a time, where all would be too many to keep.

    Attributes
    ----------
    shape : (int, int, int)
        Terms, groups, periods.
    parts : list of slice
        Blocks of groups.
    block : callable
        Weights of such a slice, shape (terms, groups in the slice, periods).
    """

    shape: tuple[int, int, int]
    parts: list[slice]
    block: Callable[[slice], np.ndarray]

    def __len__(self) -> int:
        return self.shape[0]

    def smallest(self) -> Blockwise | np.ndarray:
        """An array where it is small."""
        return np.asarray(self) if math.prod(self.shape) <= 2 * _BLOCK else self

    def __getitem__(self, terms) -> Blockwise | np.ndarray:
        """The array of one term, or the weights of several."""
        if np.ndim(terms) == 0 and not isinstance(terms, slice):
            return np.concatenate([self.block(part)[terms] for part in self.parts])
        if isinstance(terms, slice) and terms == slice(None):
            return self
        return self.averaged(np.eye(self.shape[0])[terms])

    def averaged(self, matrix: np.ndarray) -> Blockwise | np.ndarray:
        """Linear combinations `matrix` (rows, terms) of the terms."""
        shape = (len(matrix), *self.shape[1:])
        of_terms = self.block
        return Blockwise(shape, self.parts, lambda part: np.tensordot(matrix, of_terms(part), axes=(1, 0))).smallest()

    def __reduce__(self):
        return np.asarray, (np.asarray(self),)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.concatenate([self.block(part) for part in self.parts], axis=1)


def blocks_of_groups(shape: tuple[int, int, int]) -> list[slice]:
    """Slices of the groups for which weights of this shape are small."""
    step = max(1, _BLOCK // (shape[0] * shape[2]))
    return [slice(a, min(a + step, shape[1])) for a in range(0, shape[1], step)]
