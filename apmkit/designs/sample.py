"""Columns of cross-sections and time series, checked at the door of a design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from apmkit.columns import codes, finite, first_row, show, some
from apmkit.errors import ApmkitError, warn
from apmkit.inference.few_clusters import FEW

SEVERAL = ("covariates", "outcome_covariates", "instruments", "controls")
"""Roles of several columns."""


def check_columns(data: pd.DataFrame, optional: Mapping[str, str | None] | None = None, /, **roles: str | list) -> list:
    """The columns that roles name; refuses what is no DataFrame, has no rows, or lacks one of them.

    A role names one column, or if in `SEVERAL` a list of them; those of `optional` may be None.
    """
    if not isinstance(data, pd.DataFrame):
        raise ApmkitError(f"data must be a pandas DataFrame, not {type(data).__name__}: read the file first.")
    seen = {}
    given = {role: column for role, column in (optional or {}).items() if column is not None}
    for role, columns in (roles | given).items():
        for column in columns if role in SEVERAL else [columns]:
            if not isinstance(column, str):
                raise ApmkitError(f"{role}={column!r} is not the name of a column: give it as text.")
            if column not in data.columns:
                raise ApmkitError(
                    f"{role}={column!r} is not a column of the data; the columns are {some(list(data.columns))}."
                )
            if isinstance(data[column], pd.DataFrame):
                raise ApmkitError(f"{role}={column!r} names {data[column].shape[1]} columns of the data: keep one.")
            if column in seen and "cluster" not in (role, seen[column]):
                raise ApmkitError(f"Column {column!r} is both {seen[column]} and {role}: give it one role.")
            seen[column] = role
    if len(data) == 0:
        raise ApmkitError("The data have no rows: check the filter that made them.")
    return list(seen)


def names_of(columns: str | Sequence[str], role: str) -> list[str]:
    """One column or several as a list."""
    if isinstance(columns, str):
        return [columns]
    try:
        return list(columns)
    except TypeError:
        raise ApmkitError(f"{role}={columns!r} names no columns: give one name or a list of names.") from None


def two_groups(data: pd.DataFrame, column: str) -> np.ndarray:
    """Which rows hold 1 in a column of 0 and 1 that has both, shape (n_rows,)."""
    values = finite(data, column)
    other = ~np.isin(values, (0.0, 1.0))
    if other.any():
        raise ApmkitError(f"Column {column!r} holds {values[other][0]:g}: give 1 for the treated and 0 for the others.")
    if values.min() == values.max():
        raise ApmkitError(
            f"Column {column!r} holds {values[0]:g} in all {len(values):,} rows: a comparison needs both 0 and 1."
        )
    return values == 1


def matrix(data: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Finite numbers of several columns, shape (n_rows, n_columns)."""
    return np.column_stack([finite(data, column) for column in columns]) if columns else np.empty((len(data), 0))


def standardised(values: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    """Columns less their means in units of their standard deviations; constants and repetitions are refused."""
    centred = values - values.mean(axis=0)
    scale = centred.std(axis=0)
    flat = scale <= 1e-12 * np.abs(values).max(axis=0, initial=0.0)
    if flat.any():
        column = columns[int(np.flatnonzero(flat)[0])]
        raise ApmkitError(f"Column {column!r} does not vary: check it or leave it out.")
    centred = centred / scale
    dependent = dependent_columns(centred)
    if dependent:
        raise ApmkitError(
            f"Column {columns[dependent[0]]!r} is a sum of multiples of the columns before it "
            f"({some([c for i, c in enumerate(columns) if i not in dependent])}): leave it out."
        )
    return centred


def dependent_columns(values: np.ndarray) -> list[int]:
    """Positions of columns that those before them determine."""
    if values.shape[1] == 0:
        return []
    triangle = np.abs(np.diag(np.linalg.qr(values, mode="r")))
    scale = np.linalg.norm(values, axis=0)[: len(triangle)]
    return list(np.flatnonzero(triangle <= 1e-9 * scale)) + list(range(len(triangle), values.shape[1]))


def clusters(data: pd.DataFrame, column: str | None) -> tuple[np.ndarray, int]:
    """Cluster of each row and the number of clusters; each row is its own without a column."""
    if column is None:
        return np.arange(len(data)), len(data)
    if data[column].isna().any():
        raise ApmkitError(f"Column {column!r} {first_row(data, data[column].isna())}: fill or drop such rows.")
    at, labels = codes(data[column])
    if len(labels) < 2:
        raise ApmkitError(
            f"Column {column!r} holds one cluster, {show(labels[0])}: standard errors need several; choose a finer one."
        )
    if len(labels) < FEW:
        warn(
            f"{len(labels)} clusters of {column!r} are few (fewer than {FEW}): standard errors may be too small; use "
            "finer clusters if errors are independent between them."
        )
    return at, len(labels)


def covariance_of(influence: np.ndarray, cluster: np.ndarray, n_clusters: int) -> np.ndarray:
    """Covariance of estimates from the influence of each row, shape (n_rows, terms), summed within clusters.

    Clusters larger than a row carry the factor G/(G-1).
    """
    if n_clusters == len(influence):
        return influence.T @ influence
    sums = np.zeros((n_clusters, influence.shape[1]))
    np.add.at(sums, cluster, influence)
    return n_clusters / (n_clusters - 1) * sums.T @ sums
