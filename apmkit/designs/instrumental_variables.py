"""Instrumental variables, with intervals that hold when instruments are weak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, stats

from apmkit.columns import checksum, finite
from apmkit.designs.sample import (
    check_columns,
    clusters,
    covariance_of,
    dependent_columns,
    matrix,
    names_of,
    standardised,
)
from apmkit.errors import ApmkitError, EstimationError, warn
from apmkit.estimate import Estimate
from apmkit.options import check_level


def instrumental_variables(
    data: pd.DataFrame,
    *,
    outcome: str,
    treatment: str,
    instruments: str | Sequence[str],
    controls: str | Sequence[str] = (),
    method: str = "2sls",
    errors: str = "robust",
    cluster: str | None = None,
    level: float = 0.95,
) -> Estimate:
    """Effect of a treatment that people choose, from instruments that move it and nothing else.

    Two-stage least squares or LIML, with an intercept. The Anderson-Rubin set beside it keeps its level however weak
    the instruments are. It is found exactly, from the real roots of a quadratic matrix polynomial, and can be one
    interval, two rays, the whole line or empty. The robust covariance is one of large samples: with 200 heteroskedastic
    rows the set missed the truth in 6.6 % of 1,000 samples instead of 5 %; with 500 rows it kept its level.
    Where the effective F is below its critical value, read that set in place of the table.

    Parameters
    ----------
    data : DataFrame
        One row per observation.
    outcome, treatment : str
        Columns of numbers.
    instruments, controls : str or list of str
        Columns of numbers; instruments at least one.
    method : {"2sls", "liml"}
        LIML is less biased when there are many or weak instruments.
    errors : {"robust", "unadjusted"}
        Heteroskedasticity-robust covariance, or the classical one. Not used with `cluster`.
    cluster : str, optional
        Column with the level at which errors are correlated.
    level : float
        Level of the intervals and of the Anderson-Rubin set.

    Returns
    -------
    Estimate
        One term, the treatment; t(n - k) with the factor n/(n-k), by clusters t(G - 1) with G/(G-1) (n-1)/(n-k).
        `details["anderson_rubin"]`: one row per interval of the set (`low`, `high`), none if it is empty;
        `details["first_stage"]`: coefficients of the instruments. `diagnostics`: `anderson_rubin` in words, and its
        p-value of no effect; `effective_f` and `effective_f_critical`, above which the bias of two-stage least squares
        is at most 10 % of its worst case with 95 % confidence (simplified procedure); `first_stage_f`; `wu_hausman_p`
        against exogenous treatment (robust: Wooldridge's regression); `overidentification_p` with several instruments:
        Sargan's test, or if robust Hansen's J.

    Raises
    ------
    ApmkitError
        A column or an option is unusable, does not vary or follows from others.
    EstimationError
        There are fewer rows or clusters than coefficients.

    References
    ----------
    Anderson & Rubin (1949), Ann Math Stat 20; Montiel Olea & Pflueger (2013), J Bus Econ Stat 31, sections 3.1 and 4;
    Andrews, Stock & Sun (2019), Annu Rev Econ 11, section 5 (robust Anderson-Rubin). Computed with linearmodels.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(0)
    >>> near, health = random.integers(0, 2, 500), random.normal(size=500)
    >>> enrolled = (2 * near + health + random.normal(size=500) > 1) * 1.0
    >>> cost = 10 - 2 * enrolled - health + random.normal(size=500)
    >>> frame = pd.DataFrame({"cost": cost, "enrolled": enrolled, "near": near})
    >>> result = instrumental_variables(frame, outcome="cost", treatment="enrolled", instruments="near")
    >>> result.diagnostics["anderson_rubin"]
    '95% Anderson-Rubin set: -2.193 to -1.296'
    """
    instruments, controls = names_of(instruments, "instruments"), names_of(controls, "controls")
    columns = check_columns(
        data, {"cluster": cluster}, outcome=outcome, treatment=treatment, instruments=instruments, controls=controls
    )
    check_level(level)
    if not instruments:
        raise ApmkitError("instruments is empty: name at least one column that moves the treatment.")
    if method not in ("2sls", "liml"):
        raise ApmkitError(f"method={method!r} is not known: give '2sls' or 'liml'.")
    if errors not in ("robust", "unadjusted"):
        raise ApmkitError(f"errors={errors!r} is not known: give 'robust' or 'unadjusted', or a cluster column.")
    x = standardised(matrix(data, controls), controls)
    z = standardised(np.column_stack([x, matrix(data, instruments)]), [*controls, *instruments])[:, len(controls) :]
    d, y = finite(data, treatment), finite(data, outcome)
    unit = matrix(data, instruments).std(axis=0)
    if not np.ptp(y) > 1e-12 * np.abs(y).max():
        raise EstimationError(f"Column {outcome!r} does not vary: there is nothing to explain.")
    if dependent_columns(np.column_stack([x, standardised(d[:, None], [treatment])])):
        raise EstimationError(f"Column {treatment!r} follows from the controls: leave out the control that repeats it.")
    d, y = d - d.mean(), y - y.mean()
    at, n_clusters = clusters(data, cluster)
    n, k, q = len(y), x.shape[1] + 2, z.shape[1]
    if n < k + q or n_clusters <= q:
        few = f"{n} rows" if n < k + q else f"{n_clusters} clusters"
        raise EstimationError(f"{few} cannot carry {q} instruments and {k} coefficients: use fewer, or more data.")

    try:
        from linearmodels.iv import IV2SLS, IVGMM, IVLIML
    except ModuleNotFoundError:
        raise ApmkitError("Instrumental variables need linearmodels: pip install 'apmkit[notebooks]'.") from None

    kind = "cluster" if cluster else errors
    ones = np.column_stack([np.ones(n), x])
    reduced = _ReducedForm.of(y, d, z, ones, at, n_clusters, kind, [outcome, treatment])
    options = {"cov_type": "clustered", "clusters": at} if cluster else {"cov_type": errors}
    fit = {"2sls": IV2SLS, "liml": IVLIML}[method](y, ones, d, z).fit(debiased=True, **options)
    df = n_clusters - 1 if cluster else n - k
    effective, critical = reduced.effective_f()
    if effective < critical:
        warn(
            f"Weak instruments: the effective F of {', '.join(instruments)} is {effective:.1f}, below {critical:.1f}: "
            "read the Anderson-Rubin set in place of the interval."
        )
    intervals = reduced.anderson_rubin(level)
    overidentified = {}
    if q > 1 and kind == "unadjusted":
        overidentified = {"overidentification": "Sargan", "overidentification_p": float(fit.sargan.pval)}
    elif q > 1:
        weights = {"weight_type": "clustered", "clusters": at} if cluster else {"weight_type": "robust"}
        j = IVGMM(y, ones, d, z, **weights).fit(iter_limit=2).j_stat
        overidentified = {"overidentification": "Hansen J", "overidentification_p": float(j.pval)}
    return Estimate.from_covariance(
        pd.DataFrame({"term": [treatment]}),
        fit.params.to_numpy()[-1:],
        fit.cov.to_numpy()[-1:, -1:],
        level=level,
        degrees_of_freedom=df,
        estimand="local average treatment effect",
        estimator={"2sls": "two-stage least squares", "liml": "LIML"}[method],
        outcome=outcome,
        n_obs=n,
        n_units=n,
        n_clusters=n_clusters,
        diagnostics={
            "errors": kind,
            "reference_distribution": "t(clusters - 1)" if cluster else "t(n - k)",
            "instruments": instruments,
            "anderson_rubin": in_words(intervals, level),
            "anderson_rubin_p": reduced.p_value(0.0),
            "effective_f": effective,
            "effective_f_critical": critical,
            "first_stage_f": reduced.first_stage_f(),
            "wu_hausman_p": float((fit.wu_hausman() if kind == "unadjusted" else fit.wooldridge_regression).pval),
            **overidentified,
        },
        details={
            "anderson_rubin": pd.DataFrame(intervals, columns=["low", "high"], dtype=float),
            "first_stage": reduced.first_stage(instruments, unit),
        },
        call=f"instrumental_variables({outcome!r}, treatment={treatment!r}, instruments={instruments!r}, "
        f"method={method!r}, errors={kind!r})",
        data_sha256=checksum(data, columns),
    )


def in_words(intervals: list[tuple[float, float]], level: float) -> str:
    """An Anderson-Rubin set in words.

    >>> in_words([(-np.inf, -2.0), (3.5, np.inf)], 0.95)
    '95% Anderson-Rubin set: everything but -2 to 3.5; the instruments are too weak to bound the effect'
    """
    name = f"{100 * level:.6g}% Anderson-Rubin set"
    if not intervals:
        return f"{name}: empty; no effect fits all instruments, so at least one is not valid"
    if intervals == [(-np.inf, np.inf)]:
        return f"{name}: every number; the instruments say nothing about the effect"
    if intervals[0][0] == -np.inf and intervals[-1][1] == np.inf and len(intervals) == 2:
        text = f"everything but {intervals[0][1]:.4g} to {intervals[1][0]:.4g}"
    else:
        text = " and ".join(
            f"above {low:.4g}" if high == np.inf
            else f"below {high:.4g}" if low == -np.inf
            else f"{low:.4g} to {high:.4g}"
            for low, high in intervals
        )  # fmt: skip
    unbounded = intervals[0][0] == -np.inf or intervals[-1][1] == np.inf
    return f"{name}: {text}" + ("; the instruments are too weak to bound the effect" if unbounded else "")


@dataclass(frozen=True, eq=False)
class _ReducedForm:
    """Outcome (first) and treatment (second) on orthonormal instruments, controls partialled out.

    Attributes
    ----------
    coefficients : ndarray, shape (2, q)
    covariance : ndarray, shape (2, q, 2, q)
    rotation : ndarray, shape (q, q)
        Takes coefficients on orthonormal instruments to those on the instruments.
    df : int
        Of the reference distribution.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    rotation: np.ndarray
    df: int

    @classmethod
    def of(cls, y, d, z, ones, at, n_clusters, kind, names) -> _ReducedForm:
        base = np.linalg.qr(ones)[0]
        own, triangle = np.linalg.qr(z - base @ (base.T @ z))
        both = np.column_stack([y, d])
        both = both - base @ (base.T @ both)
        coefficients = both.T @ own
        residuals = both - own @ coefficients.T
        left = (residuals**2).sum(axis=0) / (both**2).sum(axis=0)
        if (left < 1e-20).any():
            copied = names[int(left.argmin())]
            raise EstimationError(f"Instruments and controls determine {copied!r} exactly: leave out copies of it.")
        if (coefficients[1] @ coefficients[1]) <= 1e-20 * (both[:, 1] @ both[:, 1]):
            raise EstimationError(f"The instruments do not move {names[1]!r} at all: find others.")
        n, q = z.shape
        free = n - ones.shape[1] - q
        if kind == "unadjusted":
            covariance = np.einsum("ab,jk->ajbk", residuals.T @ residuals / free, np.eye(q))
        else:
            scores = (residuals[:, :, None] * own[:, None, :]).reshape(n, 2 * q)
            factor = (n - 1) / free if n_clusters < n else n / free
            covariance = factor * covariance_of(scores, at, n_clusters).reshape(2, q, 2, q)
        return cls(coefficients, covariance, linalg.inv(triangle), n_clusters - 1 if kind == "cluster" else free)

    def statistic(self, beta: float) -> float:
        """Anderson-Rubin statistic of the hypothesis that the effect is `beta`."""
        contrast = np.array([1.0, -beta])
        gap = contrast @ self.coefficients
        spread = np.einsum("a,ajbk,b->jk", contrast, self.covariance, contrast)
        return float(gap @ np.linalg.solve(spread, gap)) / len(gap)

    def p_value(self, beta: float) -> float:
        return float(stats.f.sf(self.statistic(beta), self.coefficients.shape[1], self.df))

    def anderson_rubin(self, level: float) -> list[tuple[float, float]]:
        """Intervals of the effects that the test does not reject.

        The test changes its mind where det(c V(beta) - D(beta) D(beta)') = 0, with D the reduced form at `beta`, V its
        covariance and c the critical value: a quadratic matrix polynomial, whose roots are generalised eigenvalues.
        """
        q = self.coefficients.shape[1]
        critical = stats.f.ppf(level, q, self.df)
        unit = np.sqrt(np.trace(self.covariance[0, :, 0]) / np.trace(self.covariance[1, :, 1]))
        scale = np.array([1.0, unit])
        (a, b), v = self.coefficients * scale[:, None], self.covariance * scale[:, None, None, None]
        v = v * scale[:, None]
        constant = q * critical * v[0, :, 0] - np.outer(a, a)
        linear = -q * critical * (v[0, :, 1] + v[1, :, 0]) + np.outer(a, b) + np.outer(b, a)
        square = q * critical * v[1, :, 1] - np.outer(b, b)
        zero, one = np.zeros((q, q)), np.eye(q)
        roots = linalg.eigvals(np.block([[zero, one], [-constant, -linear]]), np.block([[one, zero], [zero, square]]))
        roots = roots[np.isfinite(roots)]
        real = np.sort(roots.real[np.abs(roots.imag) < 1e-7 * (1 + np.abs(roots.real))]) * unit
        if len(real) == 0:
            return [(-np.inf, np.inf)] if self.statistic(0.0) <= critical else []
        inside = [real[0] - unit, *(real[1:] + real[:-1]) / 2, real[-1] + unit]
        ends = [-np.inf, *real, np.inf]
        intervals = []
        for low, high, beta in zip(ends[:-1], ends[1:], inside, strict=True):
            if self.statistic(beta) <= critical:
                joined = intervals and intervals[-1][1] == low
                intervals.append((intervals.pop()[0] if joined else float(low), float(high)))
        return intervals

    def effective_f(self) -> tuple[float, float]:
        """Effective F and its critical value by Patnaik's approximation, for a bias of 10 % of the worst case."""
        spread = self.covariance[1, :, 1]
        trace, x = np.trace(spread), 10.0
        largest = np.linalg.eigvalsh(spread)[-1]
        k = trace**2 * (1 + 2 * x) / ((spread**2).sum() + 2 * x * trace * largest)
        return float(self.coefficients[1] @ self.coefficients[1] / trace), float(stats.ncx2.ppf(0.95, k, x * k) / k)

    def first_stage_f(self) -> float:
        """Wald statistic of all instruments over their number."""
        b = self.coefficients[1]
        return float(b @ np.linalg.solve(self.covariance[1, :, 1], b)) / len(b)

    def first_stage(self, names: list[str], unit: np.ndarray) -> pd.DataFrame:
        turn = self.rotation / unit[:, None]
        estimates, se = turn @ self.coefficients[1], np.sqrt(np.diag(turn @ self.covariance[1, :, 1] @ turn.T))
        p_values = 2 * stats.t.sf(np.abs(estimates / se), self.df)
        return pd.DataFrame({"term": names, "estimate": estimates, "se": se, "p_value": p_values})
