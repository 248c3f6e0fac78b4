"""Difference-in-differences with a continuous dose of treatment: Callaway, Goodman-Bacon and Sant'Anna (2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy.interpolate import BSpline

from apmkit.did.controls import known_covariates, unit_groups
from apmkit.did.kernel import Combination, Moments, finish
from apmkit.did.sample import Sample
from apmkit.errors import EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.options import numbers
from apmkit.panel import Panel


def dose_response(
    panel: Panel,
    *,
    dose: str,
    effect: Literal["ATT", "ACRT"] = "ATT",
    degree: int = 3,
    knots: int = 0,
    doses: Sequence[float] | None = None,
    control: Literal["never_treated", "not_yet_treated"] = "never_treated",
    level: float = 0.95,
) -> Estimate:
    """Effect of treatment by its dose: the level at each dose, or the slope from one dose to the next.

    The level ATT(d) is the effect of dose d, against none, on units that took dose d. It rests on parallel trends: in
    the absence of treatment the mean outcome of units of every dose would have changed like that of untreated units.
    The slope ACRT(d), the effect of a little more dose, and every comparison of levels at two doses, needs strong
    parallel trends: units of every dose would have changed alike at each dose, so that nobody chose a dose by what it
    would do for them. Without it a slope mixes the effect of the dose with who took it.

    Parameters
    ----------
    panel : Panel
    dose : str
        Covariate of the panel with the dose of each unit, constant within units and above zero for units that are ever
        treated. The dose of units not treated in the panel is not used.
    effect : {"ATT", "ACRT"}
        Level or slope.
    degree : int
        Degree of the B-spline in the dose.
    knots : int
        Interior knots, at even quantiles of the doses of treated units.
    doses : sequence of float, optional
        Where to evaluate; the 5%, 10%, ..., 95% quantiles of the doses of treated units by default.
    control : {"never_treated", "not_yet_treated"}
        Who stands in for the treated: units never treated in the panel, or all units not treated by the later period.
    level : float
        Level of the confidence intervals.

    Returns
    -------
    Estimate
        The first term is the mean over treated units, ``"ATT"`` or ``"ACRT"``; then one term for each of `doses`, in
        the column `dose`. Levels are in units of the outcome, slopes per unit of dose. Each cohort and period under
        treatment has its own spline; periods of a cohort count equally, cohorts by their treated units, as in R
        ``contdid``. The standard errors carry the error of the cohorts' shares and, for the mean slope, that of the
        doses; diff-diff 3.13 leaves both out. moderndid 0.2.0 has the same estimates, other standard errors (it builds
        the spline of its influence functions on the range of `doses`), and in staggered panels other interior knots
        (it counts a unit once for each treated period).

    Raises
    ------
    EstimationError
        The dose is no covariate of the panel, changes within units, or is not above zero for a treated unit; a cohort
        has too few units or distinct doses for the spline; `doses` lie outside those observed; no unit to compare with.

    References
    ----------
    Callaway, B., Goodman-Bacon, A. and Sant'Anna, P. (2024), Difference-in-differences with a continuous treatment,
    NBER Working Paper 32117, assumptions PT and SPT and theorem 3.1 onwards.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "clinic": list("aabbccddeeff"), "year": [2020, 2021] * 6, "hours": [1, 1, 2, 2, 3, 3, 4, 4, 0, 0, 0, 0],
    ...     "visits": [5.0, 4, 6, 4, 5, 2, 9, 5, 7, 7, 3, 3], "start": [2021] * 8 + [None] * 4,
    ... })
    >>> panel = Panel(
    ...     frame, unit="clinic", time="year", outcome="visits", cohort="start", covariates=["hours"]
    ... )
    >>> levels = dose_response(panel, dose="hours", degree=1, doses=[2, 3])
    >>> levels.table[["term", "estimate"]].round(6).to_dict("split")["data"]
    [['ATT', -2.5], ['ATT(2)', -2.0], ['ATT(3)', -3.0]]
    >>> float(dose_response(panel, dose="hours", effect="ACRT", degree=1).table["estimate"].iloc[0].round(6))
    -1.0
    """
    for name, value, allowed in (
        ("effect", effect, ("ATT", "ACRT")),
        ("control", control, ("never_treated", "not_yet_treated")),
    ):
        if value not in allowed:
            raise EstimationError(f"{name}={value!r} is not known: give {allowed[0]!r} or {allowed[1]!r}.")
    sample = Sample.of(panel)
    sample.drop_never_untreated()
    sample.drop_seen_once()
    panel, given = sample.panel, _doses(sample.panel, dose)
    if panel.weights is not None and panel.weights.ndim == 2:
        raise EstimationError(
            "A dose response needs weights that are constant within units: give each unit one weight."
        )
    ever = np.isfinite(panel.cohorts)
    spline = _Spline.of(given[ever], degree, knots, dose)
    doses = np.quantile(given[ever], np.arange(1, 20) / 20) if doses is None else _grid(doses, given[ever], dose)
    mass = np.ones(len(given)) if panel.weights is None else panel.weights

    at = spline(doses, effect == "ACRT")
    # Of a unit's weight in the sums: the kernel multiplies by the weight of the unit itself.
    weights = np.zeros((1 + len(doses), *panel.outcomes.shape))
    centring = np.zeros(weights.shape[:2])
    by_cohort = {}
    y = np.where(panel.observed, panel.outcomes - np.nanmean(panel.outcomes, axis=0), 0.0)
    for cell in _cells(sample, mass, control):
        treated, controls, change = cell.treated, cell.controls, y[:, cell.after] - y[:, cell.before]
        where = f"Cohort {cell.cohort:.0f} in {panel.periods[cell.after]}"
        own, centre = np.zeros(centring.shape), np.zeros(centring.shape)
        own[:, treated], centre[:, treated] = _of_treated(
            spline, given[treated], at, mass[treated], change[treated], effect, where
        )
        if effect == "ATT":
            own[:, controls] = -1 / mass[controls].sum()
            centre[:, controls] = own[:, controls] * np.average(change[controls], weights=mass[controls])
        weights[:, :, cell.after] += cell.share * own
        weights[:, :, cell.before] -= cell.share * own
        centring += cell.share * centre
        by_cohort[cell.cohort] = by_cohort.get(cell.cohort, 0.0) + cell.share * (own @ (mass * change))
    _add_shares(by_cohort, panel.cohorts, mass, centring)
    _warn_of_reach(by_cohort, panel.cohorts, given, doses, dose)

    names = [effect, *(f"{effect}({d:.10g})" for d in doses)]
    moments = Moments.of(unit_groups(panel))
    terms = pd.DataFrame({"term": names, "dose": np.concatenate([[np.nan], doses])})
    sample.warn_of_lone_clusters(moments, terms)
    assumption = "parallel trends" if effect == "ATT" else "strong parallel trends"
    result = finish(
        Combination(moments, weights, centring, 1.0, np.ones(len(terms))), terms, sample=sample,
        estimator="dose response", small_sample="none", level=level,
        call=f"dose_response(panel, dose={dose!r}, effect={effect!r}, degree={degree}, knots={knots}, "
        f"doses={[float(d) for d in doses]}, control={control!r}, level={level})",
        diagnostics={"dose": dose, "assumption": assumption, "coefficients": at.shape[1],
                     "interior_knots": spline.interior.tolist()},
    )  # fmt: skip
    return replace(result, estimand=effect)


@dataclass(frozen=True)
class _Cell:
    """A cohort in a period under treatment, compared with the period before treatment."""

    cohort: float
    after: int
    before: int
    treated: np.ndarray
    controls: np.ndarray
    share: float


@dataclass(frozen=True)
class _Spline:
    """B-splines of a dose, clamped at the smallest and largest."""

    knots: np.ndarray
    degree: int
    interior: np.ndarray

    @classmethod
    def of(cls, given: np.ndarray, degree: int, knots: int, dose: str) -> _Spline:
        for name, value, least in (("degree", degree, 1), ("knots", knots, 0)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise EstimationError(f"{name}={value!r} is no whole number of at least {least}.")
        low, high = given.min(), given.max()
        if low == high:
            raise EstimationError(
                f"Column {dose!r} is {low:g} for every treated unit: there is no dose response; use callaway_santanna."
            )
        interior = np.quantile(given, np.arange(1, knots + 1) / (knots + 1))
        if len(np.unique(np.concatenate([[low], interior, [high]]))) < knots + 2:
            raise EstimationError(f"knots={knots} fall together at the doses in column {dose!r}: give fewer.")
        ends = np.repeat([low, high], degree + 1)
        return cls(np.concatenate([ends[: degree + 1], interior, ends[degree + 1 :]]), degree, interior)

    def __call__(self, x: np.ndarray, derivative: bool = False) -> np.ndarray:
        """The basis functions, or their first derivatives, shape (len(x), coefficients)."""
        functions = BSpline(self.knots, np.eye(len(self.knots) - self.degree - 1), self.degree)
        return functions(np.clip(x, self.knots[0], self.knots[-1]), nu=int(derivative))


def _doses(panel: Panel, dose: str) -> np.ndarray:
    (dose,) = known_covariates(panel, [dose], "dose")
    given = panel.covariates[dose]
    if given.ndim == 2:
        changes = np.nanmax(given, axis=1) > np.nanmin(given, axis=1)
        raise EstimationError(
            f"Column {dose!r} changes within {int(changes.sum()):,} units, first {panel.unit} "
            f"{panel.units[int(changes.argmax())]}: give the dose of a unit as one number in all its periods."
        )
    none = np.isfinite(panel.cohorts) & (given <= 0)
    if none.any():
        raise EstimationError(
            f"Column {dose!r} is {given[none][0]:g} for {panel.unit} {panel.units[int(none.argmax())]}, which is "
            f"treated ({int(none.sum()):,} such units): a dose is above zero; give units without treatment no cohort."
        )
    return given


def _grid(doses: Sequence[float], given: np.ndarray, dose: str) -> np.ndarray:
    grid = np.unique(numbers(doses, "doses"))
    outside = ~((grid >= given.min()) & (grid <= given.max()))
    if outside.any() or not len(grid):
        what = f"hold {grid[outside][0]:g}, outside" if len(grid) else "are empty; choose from"
        raise EstimationError(
            f"doses {what} the doses of treated units in column {dose!r}, {given.min():g} to {given.max():g}."
        )
    return grid


def _cells(sample: Sample, mass: np.ndarray, control: str) -> list[_Cell]:
    """Cohorts and periods with someone to compare with, and their shares."""
    panel = sample.panel
    cohorts, periods, seen = panel.cohorts, panel.periods, panel.observed
    if control == "never_treated" and not np.isinf(cohorts).any():
        raise EstimationError(
            "No unit is never treated in this panel: use control='not_yet_treated', or add units that never start."
        )
    cells, bare = [], []
    for cohort in np.unique(cohorts[np.isfinite(cohorts)]):
        before = int(np.searchsorted(periods, cohort)) - 1
        found = []
        for after in range(before + 1, len(periods)):
            both = seen[:, before] & seen[:, after]
            treated = both & (cohorts == cohort)
            later = np.isinf(cohorts) if control == "never_treated" else cohorts > periods[after]
            if treated.any() and (both & later).any():
                found.append((cohort, after, before, treated, both & later))
            else:
                bare.append(f"ATT({cohort:.0f}, {periods[after]})")
        size = mass[cohorts == cohort].sum()
        cells += [(*cell, size / len(found)) for cell in found]
    sample.note("effects that no comparison identifies", bare)
    if not cells:
        raise EstimationError(
            "No cohort has a unit to compare with after it starts: add units that start later or never."
        )
    total = sum(cell[-1] for cell in cells)
    return [_Cell(*cell[:-1], cell[-1] / total) for cell in cells]


def _of_treated(spline, given, at, mass, change, effect, where) -> tuple[np.ndarray, np.ndarray]:
    """Weights on the changes of treated units and their centring: mean effect first, then the effect at each dose."""
    basis = spline(given)
    gram = (basis * mass[:, None]).T @ basis
    n_coefficients = len(gram)
    rank = np.linalg.matrix_rank(gram / np.trace(gram), tol=1e-12, hermitian=True)
    if len(given) <= n_coefficients or rank < n_coefficients:
        raise EstimationError(
            f"{where} has {len(given)} treated units with {len(np.unique(given))} distinct doses, too few for a spline "
            f"of {n_coefficients} coefficients: lower degree or knots, or merge cohorts."
        )
    solve = np.linalg.solve(gram, basis.T)
    coefficients = solve @ (mass * change)
    by_dose, fitted = at @ solve, basis @ coefficients
    total = mass.sum()
    if effect == "ATT":
        mean = np.full(len(given), 1 / total)
        centre = mean * np.average(change, weights=mass)
    else:
        slopes = spline(given, derivative=True)
        mean = (mass @ slopes / total) @ solve
        # The doses are a sample too: slopes at other doses would have another mean.
        slope = slopes @ coefficients
        centre = mean * fitted - (slope - np.average(slope, weights=mass)) / total
    return np.vstack([mean, by_dose]), np.vstack([centre, by_dose * fitted])


def _add_shares(by_cohort: dict, cohorts: np.ndarray, mass: np.ndarray, centring: np.ndarray) -> None:
    """Move the centring by the error of the shares of the cohorts, which are estimated too."""
    counted = np.isin(cohorts, list(by_cohort))
    total = mass[counted].sum()
    effect = sum(by_cohort.values())
    for cohort, contribution in by_cohort.items():
        own = cohorts == cohort
        difference = contribution * total / mass[own].sum() - effect
        centring[:, own] -= difference[:, None] / total


def _warn_of_reach(by_cohort: dict, cohorts: np.ndarray, given: np.ndarray, doses: np.ndarray, dose: str) -> None:
    short = [
        f"{cohort:.0f} ({given[cohorts == cohort].min():g} to {given[cohorts == cohort].max():g})"
        for cohort in by_cohort
        if doses.min() < given[cohorts == cohort].min() or doses.max() > given[cohorts == cohort].max()
    ]
    if short:
        warn(
            f"Effects are shown for doses from {doses.min():g} to {doses.max():g} of {dose!r}, and cohort "
            f"{', '.join(short)} holds no doses as low or as high: its curve is extrapolated there; give doses within."
        )
