"""Controls in a two-way fixed effects regression: every unit is a group of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import qr

from apmkit.did.kernel import Groups
from apmkit.did.sample import Sample
from apmkit.did.two_way import TwoWay
from apmkit.errors import EstimationError
from apmkit.panel import Panel


def unit_groups(panel: Panel) -> Groups:
    """Every unit as its own group, for what differs between units of a cohort."""
    weights, n_units = panel.weights, len(panel.units)
    profile, n = panel.observed.astype(float), np.ones(n_units)
    if weights is not None and weights.ndim == 2:
        profile = weights
    elif weights is not None:
        n = weights
    return Groups(panel, np.arange(n_units), panel.cohorts, n, profile)


def known_covariates(panel: Panel, names: str | Sequence[str], role: str) -> list[str]:
    """The covariates of the panel that an argument names, one or several.

    Raises
    ------
    EstimationError
        A name is no covariate of the panel, or given twice.
    """
    try:
        names = [names] if isinstance(names, str) else list(names)
    except TypeError:
        raise EstimationError(f"{role}={names!r} names no covariates: give one name or a list of names.") from None
    for name in names:
        if not isinstance(name, str) or name not in panel.covariates:
            known = ", ".join(panel.covariates) or "none"
            raise EstimationError(
                f"{role} names {name!r}, which is no covariate of the panel (there: {known}): build the panel with "
                f"covariates=[{name!r}]."
            )
        if names.count(name) > 1:
            raise EstimationError(f"{role} names {name!r} twice: name it once.")
    return names


def control_regressors(sample: Sample, controls: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names and values, shape (regressors, n_units, n_periods), of the controls that can enter.

    A covariate that changes over time is one regressor; one that is constant within units enters once for each period
    but the first, as unit effects explain the rest. A regressor that unit and period effects or earlier regressors
    explain is left out with a warning.

    Raises
    ------
    EstimationError
        None can enter, or they explain treatment.
    """
    panel = sample.panel
    names, values = [], []
    for name in controls:
        covariate = panel.covariates[name]
        covariate = covariate - np.nanmean(covariate)
        if covariate.ndim == 2:
            names.append(name)
            values.append(np.where(panel.observed, covariate, 0.0))
            continue
        for t in range(1, len(panel.periods)):
            names.append(f"{name} in {panel.periods[t]}")
            dummy = np.zeros(panel.observed.shape)
            dummy[:, t] = covariate
            values.append(dummy * panel.observed)
    groups = unit_groups(panel)
    regressors = np.concatenate([np.array(values), groups.treated[None]])
    root = np.sqrt(groups.mass)
    residual = TwoWay(groups.n, groups.profile).residual(regressors) * root
    scale = np.sqrt(((regressors * root) ** 2).sum(axis=(1, 2)))
    columns = residual.reshape(len(scale), -1).T / np.where(scale > 0, scale, 1.0)
    diagonal = np.zeros(len(scale))
    found = np.diag(qr(columns, mode="r")[0])
    diagonal[: len(found)] = np.abs(found)
    *enters, effect = diagonal > 1e-9
    explained = [name for name, kept in zip(names, enters, strict=True) if not kept]
    sample.note("controls that unit effects, period effects or earlier controls explain", explained)
    if not any(enters):
        raise EstimationError(
            f"Unit and period effects explain {', '.join(controls)}: leave such controls out, they change nothing."
        )
    if not effect:
        raise EstimationError(
            f"Treatment does not vary beyond units, periods and {', '.join(controls)}: leave out the control that "
            "follows treatment."
        )
    return [name for name in names if name not in explained], regressors[:-1][enters]
