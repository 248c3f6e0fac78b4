"""The one result type: what was estimated, how surely, and from what."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from apmkit.columns import count
from apmkit.errors import ApmkitError
from apmkit.options import check_covariance, check_level, numbers
from apmkit.panel import Panel


@dataclass(frozen=True, eq=False, repr=False)
class Estimate:
    """Estimates with their covariance, and everything needed to read, check and reuse them.

    Attributes
    ----------
    estimand : str
        What is estimated, for instance ``"ATT"``.
    estimator : str
        How, for instance ``"Callaway-Sant'Anna"``.
    table : DataFrame
        One row per term: `term`, `estimate`, `se`, `ci_low`, `ci_high`, `p_value`, and `cohort`, `period`,
        `relative_time` where they apply, `df` where it differs between terms. In units of the outcome.
    covariance : DataFrame, shape (terms, terms)
        Covariance of the estimates; missing where inference is by permutation.
    outcome : str
        Name of the outcome.
    n_obs, n_units, n_clusters : int
        Size of the estimation sample.
    diagnostics : mapping
        What was left out and why, the variance factor, the reference distribution, and checks of the design.
    details : mapping of str to DataFrame
        Supporting tables, for instance donor weights and the path of a synthetic control.
    level : float
        Level of the confidence intervals in `table`.
    degrees_of_freedom : float
        Of the reference t distribution; infinity for the normal. The smallest where terms differ.
    """

    estimand: str
    estimator: str
    table: pd.DataFrame
    covariance: pd.DataFrame
    outcome: str
    n_obs: int
    n_units: int
    n_clusters: int
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    level: float = 0.95
    degrees_of_freedom: float = math.inf
    call: str = ""
    seed: int | None = None
    data_sha256: str | None = None
    """Of the columns used, where the data are no panel."""
    panel: Panel | None = None
    """The estimation sample."""
    given: Panel | None = None
    """The panel from which the sample was taken, where they differ."""
    combination: Any = None
    """For difference-in-differences: the weights on outcomes (`apmkit.did.kernel.Combination`)."""
    aggregated_by: str | None = None
    """For an average of effects of cohorts and periods: how they were averaged."""

    def __post_init__(self):
        for name in ("diagnostics", "details"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __getstate__(self):
        return {name: dict(v) if isinstance(v, MappingProxyType) else v for name, v in vars(self).items()}

    def __setstate__(self, state):
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    @classmethod
    def from_covariance(
        cls,
        terms: pd.DataFrame,
        estimates: np.ndarray,
        covariance: np.ndarray,
        *,
        level: float = 0.95,
        degrees_of_freedom: float | np.ndarray = math.inf,
        p_values: np.ndarray | None = None,
        **fields,
    ) -> Estimate:
        """Build the table from terms (a `term` column and its labels), estimates and their covariance.

        Degrees of freedom are one number, or one for each term, which the table then shows.

        Raises
        ------
        ApmkitError
            `level` is not between 0 and 1, shapes do not fit, or the covariance is not one.
        """
        check_level(level)
        if "term" not in terms:
            raise ApmkitError("terms has no column 'term': give a DataFrame that names each estimate there.")
        estimates, covariance = numbers(estimates, "estimates"), numbers(covariance, "covariance")
        check_covariance(terms["term"].tolist(), estimates, covariance)
        variance = np.diag(covariance)
        se = np.sqrt(np.maximum(variance, 0))
        normal, df = bool(np.isinf(degrees_of_freedom).all()), degrees_of_freedom
        half = (special.ndtri(0.5 + level / 2) if normal else special.stdtrit(df, 0.5 + level / 2)) * se
        if p_values is None:
            t = -np.abs(np.divide(estimates, se, out=np.full(len(se), np.nan), where=se > 0))
            p_values = 2 * (special.ndtr(t) if normal else special.stdtr(df, t))
        interval = {"ci_low": estimates - half, "ci_high": estimates + half}
        columns = {"estimate": estimates, "se": se, **interval, "p_value": p_values}
        given = {name: column.array for name, column in terms.items()}
        columns = {"term": given.pop("term"), **columns, **given}
        if np.ndim(df):
            columns["df"], degrees_of_freedom = df, float(np.min(df))
        table = pd.DataFrame(columns)
        labels = pd.Index(table["term"].array, name="term")
        return cls(
            table=table,
            covariance=pd.DataFrame(covariance, index=labels, columns=labels),
            level=level,
            degrees_of_freedom=degrees_of_freedom,
            **fields,
        )

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def influence(self) -> pd.DataFrame:
        """Contribution of each cluster to each estimate, shape (clusters, terms); its cross-product is the covariance.

        Raises
        ------
        ApmkitError
            The estimator has no influence function.
        """
        if self.combination is None:
            variance, known = self.diagnostics.get("cluster_variance"), self.covariance.notna().to_numpy().all()
            why = "joint_test and uniform_band need its covariance only" if known else "its inference is by permutation"
            why = "ask the estimate as it was before" if variance else why
            raise ApmkitError(f"{variance or self.estimator} has no influence function: {why}.")
        return pd.DataFrame(self.combination.influence(), self.panel.clusters, pd.Index(self.table["term"]))

    @cached_property
    def provenance(self) -> Mapping[str, Any]:
        """How to get this result again: call, SHA-256 of the data, versions, seed."""
        from apmkit import __version__

        checksum = self.data_sha256 or getattr(self.given or self.panel, "checksum", None)
        return {
            "call": self.call,
            "data_sha256": checksum,
            "versions": {"apmkit": __version__, **{name: _version(name) for name in ("numpy", "pandas", "scipy")}},
            "seed": self.seed,
        }

    @property
    def overall(self) -> Estimate:
        """One number over the rows of an aggregated table, for instance the mean effect over all times since start.

        Raises
        ------
        ApmkitError
            The result is not an aggregation by event time, cohort or calendar time.
        """
        if self.aggregated_by in (None, "simple"):
            raise ApmkitError('overall belongs to an aggregated result: call aggregate("event") first.')
        from apmkit.did.aggregation import overall

        return overall(self)

    def term(self, name: str) -> Estimate:
        """The result of one term.

        Raises
        ------
        ApmkitError
            There is no such term.
        """
        names = self.table["term"].tolist()
        if name not in names:
            raise ApmkitError(f"There is no term {name!r}: the terms are {', '.join(names)}.")
        at = names.index(name)
        combination = self.combination
        if combination is not None:
            combination = combination.averaged(np.eye(len(names))[[at]], combination.size[[at]])
        return replace(
            self,
            table=self.table.iloc[[at]].reset_index(drop=True),
            covariance=self.covariance.iloc[[at], [at]],
            degrees_of_freedom=self.table["df"].iloc[at] if "df" in self.table else self.degrees_of_freedom,
            combination=combination,
            aggregated_by=None,
            call=f"{self.call}.term({name!r})",
        )

    def sentence(self, outcome: str | None = None, *, unit: str = "", digits: int | None = None) -> str:
        """A result of one term in plain words, with its uncertainty.

        Parameters
        ----------
        outcome : str, optional
            Words for the outcome; its column name by default.
        unit : str
            Unit of measure, written after each number.
        digits : int, optional
            Decimal places; enough for two significant digits of the standard error by default.

        Raises
        ------
        ApmkitError
            There are several terms.
        """
        from apmkit.words import sentence

        return sentence(self, outcome, unit, digits)

    def summary(self) -> str:
        """The sentence, the table and the size of the sample as text."""
        left_out = self.diagnostics.get("left_out", {})
        lines = [
            f"{self.estimator}: {self.estimand} on {self.outcome}",
            self._size,
            *(f"left out: {what}: {who['count']:,}" for what, who in left_out.items()),
            "",
            self.table.to_string(index=False, float_format=lambda v: f"{v:.5g}"),
        ]
        if len(self.table) == 1:
            lines += ["", self.sentence()]
        return "\n".join(lines)

    @property
    def _size(self) -> str:
        sizes = {"row": self.n_obs, "unit": self.n_units, "cluster": self.n_clusters}
        return ", ".join(count(number, noun) for noun, number in sizes.items())

    def to_frame(self) -> pd.DataFrame:
        """A copy of the table."""
        return self.table.copy()

    def to_json(self) -> str:
        """Table, covariance, diagnostics and provenance as JSON; a number that is missing or infinite becomes null."""
        return json.dumps(
            _plain(
                {
                    "estimand": self.estimand,
                    "estimator": self.estimator,
                    "outcome": self.outcome,
                    "level": self.level,
                    "degrees_of_freedom": self.degrees_of_freedom,
                    "n_obs": self.n_obs,
                    "n_units": self.n_units,
                    "n_clusters": self.n_clusters,
                    "table": self.table.to_dict("records"),
                    "covariance": self.covariance.to_numpy().tolist(),
                    "diagnostics": self.diagnostics,
                    "provenance": self.provenance,
                }
            ),
            allow_nan=False,
        )

    def _repr_html_(self) -> str:
        from html import escape

        head = f"{self.estimator}: {self.estimand} on {self.outcome}"
        foot = self._size
        body = self.table.to_html(index=False, float_format=lambda v: f"{v:.4g}", border=0, na_rep="")
        return f"<p><strong>{escape(head)}</strong><br>{escape(foot)}</p>{body}"

    def __repr__(self) -> str:
        return self.summary()

    # -- delegating ----------------------------------------------------------------------------------------------------

    def with_level(self, level: float) -> Estimate:
        """The same result with confidence intervals at another level."""
        labels = self.table.drop(columns=["estimate", "se", "ci_low", "ci_high", "p_value", "df"], errors="ignore")
        df = self.table["df"].to_numpy() if "df" in self.table else self.degrees_of_freedom
        fresh = Estimate.from_covariance(
            labels, self.table["estimate"].to_numpy(), self.covariance.to_numpy(), level=level,
            degrees_of_freedom=df, p_values=self.table["p_value"].to_numpy(),
            **{n: vars(self)[n] for n in ("estimand", "estimator", "outcome", "n_obs", "n_units", "n_clusters")},
        )  # fmt: skip
        table = fresh.table
        if (table["ci_low"].isna() & self.table["ci_low"].notna()).any():
            raise ApmkitError(f"These intervals are not from a covariance: give {self.estimator} level={level}.")
        # An interval need not be centred on its estimate: that of a discontinuity is not.
        off_centre = ((self.table["ci_low"] + self.table["ci_high"]) / 2 - self.table["estimate"]).fillna(0.0)
        table[["ci_low", "ci_high"]] = table[["ci_low", "ci_high"]].add(off_centre, axis=0)
        return replace(self, table=table, level=level, call=f"{self.call}.with_level({level})")

    def aggregate(self, by: str) -> Estimate:
        """Average effects of cohorts and periods.

        Parameters
        ----------
        by : {"simple", "event", "cohort", "calendar"}
            One number; by time since treatment; by first treated period; by period.
        """
        from apmkit.did.aggregation import aggregate

        return aggregate(self, by)

    def weights(self, term: str | None = None) -> pd.DataFrame:
        """Sum of the weights that one term puts on the outcomes of each cohort (rows) in each period (columns)."""
        from apmkit.did.kernel import cell_weights

        return cell_weights(self, term)

    def joint_test(self, terms: list[str] | None = None):
        """Wald test that all `terms` are zero; before-treatment terms of an event study by default."""
        from apmkit.inference.joint import joint_test

        return joint_test(self, terms)

    def uniform_band(self, level: float | None = None, *, draws: int = 9_999, seed: int = 0) -> pd.DataFrame:
        """Bounds that hold for all terms at once; columns `term`, `estimate`, `low`, `high`."""
        from apmkit.inference.bands import uniform_band

        return uniform_band(self, level, draws=draws, seed=seed)

    def sensitivity(self, kind: str = "relative_magnitudes", m=None, **options) -> pd.DataFrame:
        """Intervals that stay valid if trends are not parallel, by how far they may depart; from an event study."""
        from apmkit.inference.honest import sensitivity

        return sensitivity(self, kind, m, **options)

    def plot(self, **options):
        """The figure that fits this result; returns matplotlib Axes."""
        from apmkit.plots import plot

        return plot(self, **options)


@cache
def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


def _plain(value):
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray, pd.Index)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
