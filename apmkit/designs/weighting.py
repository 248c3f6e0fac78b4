"""Cross-sections made comparable by weights: inverse probability, entropy balancing, doubly robust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import linalg

from apmkit.columns import checksum, finite
from apmkit.designs.balance import balance, check_estimand, effective_sizes
from apmkit.designs.entropy import entropy_weights
from apmkit.designs.propensity import Propensity, fit_propensity, overlapping
from apmkit.designs.sample import check_columns, clusters, covariance_of, matrix, names_of, standardised, two_groups
from apmkit.errors import ApmkitError, EstimationError, warn
from apmkit.estimate import Estimate


def inverse_probability_weighting(
    data: pd.DataFrame,
    *,
    outcome: str,
    treatment: str,
    covariates: str | Sequence[str],
    estimand: str = "ATT",
    trim: float | None = None,
    cluster: str | None = None,
    level: float = 0.95,
) -> Estimate:
    """Difference in means after weighting by the inverse of the probability of the treatment received.

    The probability is a logit in the covariates. Weights are scaled to sum to one in each group (Hajek), and the
    standard error counts the estimation of the logit. Nothing is adjusted for that is not among the covariates.

    Parameters
    ----------
    data : DataFrame
        One row per observation.
    outcome, treatment : str
        Columns: numbers, and 0 or 1.
    covariates : str or list of str
        Columns of numbers known before treatment; enter squares and products as columns of their own.
    estimand : {"ATT", "ATE"}
        Effect on the treated or on everyone.
    trim : float, optional
        Leave out rows whose propensity is closer than this to 0 or 1 (ATT: to 1), and fit again.
    cluster : str, optional
        Column with the level at which errors are correlated.
    level : float
        Level of the intervals.

    Returns
    -------
    Estimate
        One term, normal reference distribution, factor G/(G-1) with clusters. `details["balance"]` as from
        `balance_table`; `details["weights"]`: row label, `treated`, `propensity`, `weight`. `diagnostics`:
        `effective_sample_size` of each group, `propensity_range`, `largest_difference` (standardised, after weighting).

    Raises
    ------
    ApmkitError
        A column or an option is unusable, a covariate does not vary or follows from others.
    EstimationError
        Covariates separate the groups, or a group has fewer than two rows.

    References
    ----------
    Hirano & Imbens (2001), Health Serv Outcomes Res Methodol 2; Lunceford & Davidian (2004), Stat Med 23,
    eqs. 11 and 19.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(0)
    >>> risk = random.normal(size=1000)
    >>> joined = (risk + random.normal(size=1000) > 0) * 1
    >>> frame = pd.DataFrame({"joined": joined, "risk": risk, "cost": 5 + 2 * risk - joined + random.normal(size=1000)})
    >>> result = inverse_probability_weighting(frame, outcome="cost", treatment="joined", covariates="risk")
    >>> print(result.sentence("Cost"))
    Cost fell by 0.92 (95% CI 0.60 to 1.24).
    """
    sample = _Sample.read(data, outcome, treatment, covariates, cluster, estimand)
    sample, score = _with_overlap(sample, estimand, trim)
    d, y, p = sample.treated, sample.outcomes, score.probability
    odds = p / (1 - p)
    # Weights of each group with their derivatives by the linear index of the logit.
    w1, w0 = (np.ones(len(y)), odds) if estimand == "ATT" else (1 / p, 1 / (1 - p))
    slope1, slope0 = (np.zeros(len(y)), odds) if estimand == "ATT" else (-(1 - p) / p, odds)
    effect, influence = 0.0, np.zeros(len(y))
    for sign, group, w, slope in ((1, d, w1, slope1), (-1, ~d, w0, slope0)):
        total = (w * group).sum()
        mean = (w * group) @ y / total
        gap = group * (y - mean) / total
        effect += sign * mean
        influence += sign * (w * gap + score.influence @ (score.regressors.T @ (slope * gap)))
    return sample.estimate(
        effect, influence, np.where(d, w1, w0), estimand, level, estimator="inverse probability weighting",
        name="inverse_probability_weighting", score=score, trim=trim,
    )  # fmt: skip


def augmented_ipw(
    data: pd.DataFrame,
    *,
    outcome: str,
    treatment: str,
    covariates: str | Sequence[str],
    outcome_covariates: str | Sequence[str] | None = None,
    estimand: str = "ATT",
    trim: float | None = None,
    cluster: str | None = None,
    level: float = 0.95,
) -> Estimate:
    """Doubly robust effect: right if either the logit of treatment or the linear model of the outcome is right.

    The outcome is regressed on covariates by least squares in each group (ATT: among the untreated); inverse
    probability weights are then put on the residuals. Weights are not rescaled, as in Stata's `teffects aipw`. The
    standard error counts the estimation of both models and holds if one of them is wrong.

    Parameters
    ----------
    data, outcome, treatment, covariates, estimand, trim, cluster, level
        As in `inverse_probability_weighting`; `covariates` enter the logit.
    outcome_covariates : str or list of str, optional
        Columns of the outcome model; those of the logit by default.

    Returns
    -------
    Estimate
        As from `inverse_probability_weighting`.

    Raises
    ------
    ApmkitError, EstimationError
        As in `inverse_probability_weighting`; or the outcome model has more coefficients than a group has rows.

    References
    ----------
    Robins, Rotnitzky & Zhao (1994), J Am Stat Assoc 89; Lunceford & Davidian (2004), Stat Med 23, eq. 9 (ATE);
    Mercatanti & Li (2014), Ann Appl Stat 8, eq. 7 (ATT). Standard errors: Stefanski & Boos (2002), Am Stat 56.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(0)
    >>> risk = random.normal(size=1000)
    >>> joined = (risk + random.normal(size=1000) > 0) * 1
    >>> frame = pd.DataFrame({"joined": joined, "risk": risk, "cost": 5 + 2 * risk - joined + random.normal(size=1000)})
    >>> result = augmented_ipw(frame, outcome="cost", treatment="joined", covariates="risk")
    >>> print(result.sentence("Cost"))
    Cost fell by 0.95 (95% CI 0.75 to 1.16).
    """
    names = names_of(covariates if outcome_covariates is None else outcome_covariates, "outcome_covariates")
    sample = _Sample.read(data, outcome, treatment, covariates, cluster, estimand, names)
    sample, score = _with_overlap(sample, estimand, trim)
    d, y, p = sample.treated, sample.outcomes, score.probability
    n, odds = len(y), p / (1 - p)
    x = np.column_stack([np.ones(n), standardised(sample.of_outcome, names)])
    fit0, influence0 = _outcome_model(x, y, ~d, names)
    if estimand == "ATT":
        total, w1, w0, slope1, slope0 = d.sum(), np.ones(n), odds, np.zeros(n), odds
        fit1, influence1 = y, np.zeros_like(influence0)
        base = d * (y - fit0)
        turn0 = -x.T @ (d - (~d) * w0) / total
    else:
        total, w1, w0, slope1, slope0 = n, 1 / p, 1 / (1 - p), -(1 - p) / p, odds
        fit1, influence1 = _outcome_model(x, y, d, names)
        base = fit1 - fit0
        turn0 = -x.T @ (1 - (~d) * w0) / total
    turn1 = x.T @ (1 - d * w1) / total
    gap1, gap0 = d * (y - fit1), (~d) * (y - fit0)
    terms = base + w1 * gap1 - w0 * gap0
    effect = terms.sum() / total
    influence = (terms - effect * (d if estimand == "ATT" else 1)) / total
    influence += score.influence @ (score.regressors.T @ (slope1 * gap1 - slope0 * gap0)) / total
    influence += influence1 @ turn1 + influence0 @ turn0
    return sample.estimate(
        effect, influence, np.where(d, w1, w0), estimand, level, estimator="augmented inverse probability weighting",
        name="augmented_ipw", score=score, trim=trim,
    )  # fmt: skip


def entropy_balancing(
    data: pd.DataFrame,
    *,
    outcome: str,
    treatment: str,
    covariates: str | Sequence[str],
    moments: int = 1,
    cluster: str | None = None,
    level: float = 0.95,
) -> Estimate:
    """Effect on the treated, with untreated rows weighted so that covariates agree exactly.

    Among all weights that give the untreated the covariate means of the treated (and higher moments), those closest to
    equal ones in entropy. The standard error counts the estimation of the weights: it is that of the weighted
    regression of untreated outcomes on the covariates, with residuals over the root of one less their leverage (HC2).
    The plain sandwich rejects too often where few rows carry much weight.

    Parameters
    ----------
    data, outcome, treatment, covariates, cluster, level
        As in `inverse_probability_weighting`.
    moments : int
        Powers that are balanced: 1 for means, 2 for variances too, 3 for skewness too. A power that is no
        smaller than the number of values of a column says nothing new and is left out.

    Returns
    -------
    Estimate
        As from `inverse_probability_weighting`, without propensities.

    Raises
    ------
    ApmkitError
        A column or an option is unusable, a covariate does not vary or follows from others.
    EstimationError
        No weights can balance the covariates.

    References
    ----------
    Hainmueller (2012), Polit Anal 20, eqs. 6 to 10 (dual problem, Newton's method); Zhao & Percival (2017), J Causal
    Inference 5 (double robustness and standard errors); MacKinnon & White (1985), J Econom 29 (HC2).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(0)
    >>> risk = random.normal(size=1000)
    >>> joined = (risk + random.normal(size=1000) > 0) * 1
    >>> frame = pd.DataFrame({"joined": joined, "risk": risk, "cost": 5 + 2 * risk - joined + random.normal(size=1000)})
    >>> result = entropy_balancing(frame, outcome="cost", treatment="joined", covariates="risk", moments=2)
    >>> print(result.sentence("Cost"))
    Cost fell by 0.95 (95% CI 0.73 to 1.16).
    """
    if not isinstance(moments, Integral) or isinstance(moments, bool) or moments not in (1, 2, 3):
        raise ApmkitError(f"moments={moments!r} is not 1, 2 or 3: give 1 to balance means.")
    sample = _Sample.read(data, outcome, treatment, covariates, cluster, "ATT")
    d, y = sample.treated, sample.outcomes
    x = standardised(sample.covariates, sample.names)
    distinct = [len(np.unique(column)) for column in x.T]
    powers = [
        (x[:, j] ** power, f"{sample.names[j]}^{power}")
        for power in range(2, moments + 1)
        for j, values in enumerate(distinct)
        if values > power
    ]
    names = [*sample.names, *(name for _, name in powers)]
    features = standardised(np.column_stack([x, *(values for values, _ in powers)]), names)
    target = features[d].mean(axis=0)
    weights = np.zeros(len(y))
    weights[~d] = entropy_weights(features[~d] - target, names, treatment)
    gap = features - target
    mean0 = weights @ y
    spread = linalg.pinvh((gap * weights[:, None]).T @ gap)
    slopes = spread @ gap.T @ (weights * (y - mean0))
    mean1 = y[d].mean()
    residual = y - gap @ slopes
    influence = np.where(d, (residual - mean1) / d.sum(), -weights * (residual - mean0))
    leverage = np.where(d, 1 / d.sum(), weights * (1 + np.einsum("ij,jk,ik->i", gap, spread, gap)))
    influence /= np.sqrt(np.maximum(1 - leverage, 1e-12))
    return sample.estimate(
        mean1 - mean0, influence, np.where(d, 1 / d.sum(), weights), "ATT", level, estimator="entropy balancing",
        name="entropy_balancing",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Sample:
    """Rows of a cross-section; outcomes less their mean."""

    outcome: str
    treatment: str
    names: list[str]
    index: pd.Index
    treated: np.ndarray
    outcomes: np.ndarray
    covariates: np.ndarray
    of_outcome: np.ndarray
    cluster: np.ndarray
    n_clusters: int
    data_sha256: str
    n_trimmed: int = 0

    @classmethod
    def read(cls, data, outcome, treatment, covariates, cluster, estimand, of_outcome=()) -> _Sample:
        names = names_of(covariates, "covariates")
        columns = check_columns(data, {"cluster": cluster}, outcome=outcome, treatment=treatment, covariates=names)
        columns += check_columns(data, outcome=outcome, treatment=treatment, outcome_covariates=list(of_outcome))
        check_estimand(estimand)
        if not names:
            raise ApmkitError("covariates is empty: name what treated and untreated rows differ in.")
        treated = two_groups(data, treatment)
        if min(treated.sum(), (~treated).sum()) < 2:
            raise EstimationError(f"Column {treatment!r} has a group of one row: a comparison needs two in each.")
        smallest = int(min(treated.sum(), (~treated).sum()))
        if smallest < len(names) + 5:
            warn(f"Column {treatment!r} has a group of {smallest} rows for {len(names)} covariates: its standard error "
                 "cannot be trusted; use fewer covariates.")  # fmt: skip
        y = finite(data, outcome)
        if np.ptp(y) <= 1e-12 * np.abs(y).max():
            raise EstimationError(f"Column {outcome!r} does not vary: there is nothing to compare.")
        at, n_clusters = clusters(data, cluster)
        return cls(outcome, treatment, names, data.index, treated, y - y.mean(), matrix(data, names),
                   matrix(data, of_outcome), at, n_clusters, checksum(data, list(dict.fromkeys(columns))))  # fmt: skip

    def part(self, kept: np.ndarray) -> _Sample:
        at, cluster = np.unique(self.cluster[kept], return_inverse=True)
        y = self.outcomes[kept]
        return _Sample(self.outcome, self.treatment, self.names, self.index[kept], self.treated[kept], y - y.mean(),
                       self.covariates[kept], self.of_outcome[kept], cluster, len(at), self.data_sha256,
                       int((~kept).sum()))  # fmt: skip

    def estimate(
        self, effect, influence, weights, estimand, level, *, estimator, name, score=None, trim=None
    ) -> Estimate:
        d = self.treated
        weights = weights / np.where(d, weights[d].sum(), weights[~d].sum())
        table = balance(self.covariates, self.names, d, weights, estimand)
        differences = table["difference_after"].abs()
        largest = float(differences.max()) if differences.notna().any() else np.nan
        if largest > 0.1:
            warn(f"{differences.idxmax()!r} still differs by {largest:.2f} standard deviations after weighting: above "
                 "0.1 is commonly held to be too much; add squares or products to covariates.")  # fmt: skip
        rows = {"row": self.index, "treated": d, "weight": weights}
        found = {}
        if score is not None:
            rows["propensity"] = score.probability
            found["propensity_range"] = [float(score.probability.min()), float(score.probability.max())]
        return Estimate.from_covariance(
            pd.DataFrame({"term": [self.treatment]}),
            np.array([effect]),
            covariance_of(influence[:, None], self.cluster, self.n_clusters),
            level=level,
            estimand=estimand,
            estimator=estimator,
            outcome=self.outcome,
            n_obs=len(d),
            n_units=len(d),
            n_clusters=self.n_clusters,
            diagnostics={
                "left_out": {f"propensity beyond trim={trim}": {"count": self.n_trimmed}} if self.n_trimmed else {},
                "reference_distribution": "normal",
                "variance_factor": self.n_clusters / (self.n_clusters - 1) if self.n_clusters < len(d) else 1.0,
                "effective_sample_size": effective_sizes(d, weights),
                "largest_difference": largest,
                **found,
            },
            details={"balance": table, "weights": pd.DataFrame(rows)},
            call=f"{name}({self.outcome!r}, treatment={self.treatment!r}, covariates={self.names!r}, "
            f"estimand={estimand!r})",
            data_sha256=self.data_sha256,
        )


def _with_overlap(sample: _Sample, estimand: str, trim: float | None) -> tuple[_Sample, Propensity]:
    score = fit_propensity(sample.treated, standardised(sample.covariates, sample.names), sample.names)
    kept = overlapping(score.probability, estimand, trim)
    if kept.all():
        return sample, score
    if min((kept & sample.treated).sum(), (kept & ~sample.treated).sum()) < 2:
        raise EstimationError(f"trim={trim} leaves fewer than two rows in a group: the groups do not overlap.")
    sample = sample.part(kept)
    if sample.n_clusters < 2:
        raise EstimationError(f"trim={trim} leaves one cluster: standard errors need several; trim less.")
    warn(f"trim={trim} leaves out {sample.n_trimmed:,} of {len(kept):,} rows: the effect is for those that are left.")
    return sample, fit_propensity(sample.treated, standardised(sample.covariates, sample.names), sample.names)


def _outcome_model(x, y, group, names) -> tuple[np.ndarray, np.ndarray]:
    """Fitted values of least squares in a group, and the influence of each row on its coefficients."""
    own = x * group[:, None]
    if group.sum() <= x.shape[1] or np.linalg.matrix_rank(own) < x.shape[1]:
        raise EstimationError(
            f"The {group.sum():,} rows of one group cannot carry an outcome model of {', '.join(names)}: "
            "some do not vary there or follow from others; leave them out of outcome_covariates."
        )
    inverse = np.linalg.inv(own.T @ own)
    fitted = x @ (inverse @ (own.T @ y))
    return fitted, (own * (y - fitted)[:, None]) @ inverse
