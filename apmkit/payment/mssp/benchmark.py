"""Benchmarks of the Medicare Shared Savings Program from a user's own inputs, step by step."""

from __future__ import annotations

import datetime
import html
from dataclasses import dataclass

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.mssp.benchmark_steps import EnrolmentTable, Steps
from apmkit.payment.mssp.risk_ratio import risk_ratios
from apmkit.payment.result import doubts
from apmkit.payment.rulebook import Rulebook, RulesInForce, rules_on

_BASE_YEARS = ("by1", "by2", "by3")
_NOTES = (
    "The public use files do not print the trend factors, regional spending and limits that a benchmark rests on: this "
    "calculation cannot be checked on published columns.",
    "Spending must come truncated at the 99th percentile, with completed claims and without indirect medical "
    "education and disproportionate share payments.",
)
_NOTES_2024 = (
    "From 2024 the health equity (population) adjustment, the easing of negative regional adjustments of single "
    "enrolment types for ACOs with many dual eligible or high-risk beneficiaries, and the limit on growth of regional "
    "risk scores are not worked out here.",
    "updated_without_prospective_trend is the benchmark with the national-regional blend alone: where spending passes "
    "the updated benchmark by the minimum loss rate, losses are measured against it if they are smaller so, and where "
    "spending is below it the ACO neither owes nor shares (42 CFR 425.652(b)(5)).",
)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Benchmarks of ACOs, and how each came about.

    Attributes
    ----------
    table : DataFrame
        One row per ACO. USD per head: `historical_benchmark` (with its adjustment), `regional_adjustment`,
        `prior_savings_adjustment`, `updated_benchmark`, and from 2024 `updated_without_prospective_trend`;
        `adjusted_by` (regional, prior savings, none); `person_years`; `benchmark` (USD of the year, for settlement).
    steps : DataFrame
        One row per ACO and step: `aco`, `step`, `formula` in words, each enrolment type, `total`, `unit`, `citation`,
        `status`. The total is weighted by person years of base year 3 up to the historical benchmark, of the
        performance year after it; factors and weights have none.
    rules : DataFrame
        The dated values it rests on.
    notes : tuple of str
        What a reader must know beside the numbers.
    """

    table: pd.DataFrame
    steps: pd.DataFrame
    rules: pd.DataFrame
    notes: tuple[str, ...]

    def of(self, aco) -> pd.DataFrame:
        """The steps of one ACO.

        Raises
        ------
        PaymentError
            There is no such ACO.
        """
        if aco not in self.table.index:
            raise PaymentError(f"There is no ACO {aco!r} among the {len(self.table):,} of this benchmark.")
        return self.steps[self.steps["aco"] == aco].drop(columns="aco").reset_index(drop=True)

    def to_frame(self) -> pd.DataFrame:
        """One row per ACO, as `table`."""
        return self.table

    def summary(self) -> str:
        """Benchmarks of the first ACOs, and what to know beside them."""
        shown = self.table[["historical_benchmark", "updated_benchmark", "benchmark"]].head(10)
        rows = shown.to_string(float_format="{:,.2f}".format)
        more = [f"... and {len(self.table) - 10:,} more"] if len(self.table) > 10 else []
        return "\n".join(["Medicare Shared Savings Program benchmark, USD", rows, *more, *self.notes])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return self.table.to_html(max_rows=20, float_format="{:,.2f}".format, border=0) + f"<ul>{notes}</ul>"


def mssp_benchmark(
    acos: pd.DataFrame,
    *,
    agreement_start: str | datetime.date,
    agreement_period: int = 1,
    times_regional: int = 1,
    prior_savings: float | pd.Series = 0.0,
    rules: Rulebook | None = None,
) -> Benchmark:
    """Benchmarks of ACOs whose agreement periods began on one day, by the rules of that day.

    Base years are brought to base year 3 and weighted, the regional (or prior savings) adjustment is added, and the sum
    follows risk scores and spending growth to the performance year, each by enrolment type.

    Parameters
    ----------
    acos : DataFrame
        Four rows per ACO. Always: `aco`; `enrolment` ("esrd", "disabled", "aged_dual", "aged_nondual");
        `person_years_by3`, `person_years` (performance year); `spending_by1`, `spending_by2`, `spending_by3` (USD per
        head); `risk_by1`, `risk_by2`, `risk_by3` (mean HCC risk scores, national mean 1). By the rule in force also:

        * `national_trend_by1`, `national_trend_by2`, `regional_trend_by1`, `regional_trend_by2`: factors to base
          year 3, 1.03 for growth of 3 %;
        * `national_update`, `regional_update`, `prospective_update`: factors from base year 3 to the performance year;
        * `national_growth`: the same in USD per head, for the flat dollar update before July 2019;
        * `national_share`: the ACO's share of assignable beneficiaries in its region, the weight of national factors;
        * `regional_spending` (of base year 3, at the ACO's risk), `national_spending`: USD per head;
        * `risk`: mean HCC score of the performance year; from 2024 also `demographic_by3`, `demographic`;
        * `risk_ratio_new`, `risk_ratio_continuous`, `demographic_ratio_continuous`, `continuous_share`: before July
          2019, ratios to base year 3 and the share of the continuously assigned.
    agreement_start : str or date
        First day of the agreement period, which settles the rules for all its years.
    agreement_period : int
        1 for the first, 2 or more for later ones.
    times_regional : int
        How many times, this one counted, the ACO has been subject to a regional adjustment.
    prior_savings : float or Series
        Average pro-rated savings per head of the three years before, USD; a Series by ACO.
    rules : Rulebook, optional
        Default: those that ship with apmkit.

    Raises
    ------
    PaymentError
        A column is missing or out of range, an ACO lacks an enrolment type or has it twice, base-year weights do not
        sum to 1, or a benchmark is not above 0.
    RulesError
        The agreement began before the rule existed.

    References
    ----------
    42 CFR 425.601, 425.602, 425.603, 425.652 to 425.660; each step of the result has its own citation.

    Examples
    --------
    >>> acos = pd.DataFrame({"aco": "A1", "enrolment": ["esrd", "disabled", "aged_dual", "aged_nondual"],
    ...     "person_years_by3": [100, 900, 1000, 8000], "person_years": [100, 900, 1000, 8000]})
    >>> acos[["spending_by1", "spending_by2", "spending_by3"]] = 10_000.0
    >>> acos[["risk_by1", "risk_by2", "risk_by3", "risk_ratio_new", "risk_ratio_continuous",
    ...     "demographic_ratio_continuous", "national_trend_by1", "national_trend_by2"]] = 1.0
    >>> acos = acos.assign(continuous_share=0.8, national_growth=300.0)
    >>> mssp_benchmark(acos, agreement_start="2015-01-01").table["updated_benchmark"]
    aco
    A1    10300.0
    Name: updated_benchmark, dtype: float64
    """
    for name, number in {"agreement_period": agreement_period, "times_regional": times_regional}.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise PaymentError(f"{name} is {number!r}; give a whole number from 1.")
    terms = rules_on(agreement_start, "mssp", rules)
    period = "benchmark.first" if agreement_period == 1 else "benchmark.renewal"
    types = terms["benchmark.enrolment_types"]
    inputs = EnrolmentTable(acos, types)
    steps = Steps(inputs.acos, types, terms)
    heads_by3, heads = inputs.grid("person_years_by3", least=0), inputs.grid("person_years", least=0)
    for name, values in {"person_years_by3": heads_by3, "person_years": heads}.items():
        if (empty := values.sum(axis=1) == 0).any():
            raise PaymentError(f"aco {inputs.acos[int(np.argmax(empty))]} has no {name}; give them by enrolment type.")

    base = _base(inputs, terms, steps, period, heads_by3)
    regional = _regional(inputs, terms, steps, period, base, heads_by3, times_regional)
    prior = _prior_savings(inputs, terms, steps, prior_savings, agreement_period, heads_by3)
    regional_total, prior_total = _mean(regional, heads_by3), _mean(prior, heads_by3)
    by_prior = (prior_total > regional_total) & (prior_total > 0)
    adjustment = np.where(by_prior[:, None], prior, regional)
    historical = base + adjustment
    _above_zero(_mean(historical, heads), inputs.acos)
    steps.add(
        "historical benchmark",
        "weighted base years plus the higher of regional and prior savings adjustment",
        historical,
        _mean(historical, heads_by3),
        "USD per head",
        ["benchmark.enrolment_types"],
    )
    ratio = risk_ratios(inputs, terms, steps, historical * heads)
    updated, two_way = _update(inputs, terms, steps, period, historical * ratio)
    for step, values in {"updated benchmark": updated, "updated without prospective trend": two_way}.items():
        if values is not None:
            steps.add(
                step,
                "historical benchmark times risk ratio, updated",
                values,
                _mean(values, heads),
                "USD per head",
                [f"{period}.update"],
            )
    per_head = _above_zero(_mean(updated, heads), inputs.acos)
    dollars = updated * heads
    steps.add(
        "benchmark",
        "updated benchmark times person years",
        dollars,
        dollars.sum(axis=1),
        "USD",
        ["benchmark.enrolment_types"],
    )
    table = {
        "historical_benchmark": _mean(historical, heads_by3),
        "regional_adjustment": regional_total,
        "prior_savings_adjustment": prior_total,
        "adjusted_by": np.select([by_prior, (regional != 0).any(axis=1)], ["prior savings", "regional"], "none"),
        "updated_benchmark": per_head,
        **({} if two_way is None else {"updated_without_prospective_trend": _mean(two_way, heads)}),
        "person_years": heads.sum(axis=1),
        "benchmark": dollars.sum(axis=1),
    }
    notes = (*_NOTES, *(_NOTES_2024 if two_way is not None else ()), *doubts(terms.used))
    return Benchmark(pd.DataFrame(table, index=inputs.acos), steps.frame(), terms.used, notes)


def _above_zero(per_head: np.ndarray, acos: pd.Index) -> np.ndarray:
    if (wrong := ~(per_head > 0)).any():
        row = int(np.argmax(wrong))
        raise PaymentError(
            f"The benchmark of aco {acos[row]} comes out at {per_head[row]:,.2f} USD per head; it must be above 0, so "
            "look at its spending, growth and adjustments."
        )
    return per_head


def _mean(values: np.ndarray, heads: np.ndarray) -> np.ndarray:
    return (values * heads).sum(axis=1) / heads.sum(axis=1)


def _base(inputs: EnrolmentTable, terms: RulesInForce, steps: Steps, period: str, heads: np.ndarray) -> np.ndarray:
    """Spending of the base years at the level and risk of base year 3, weighted."""
    weights = terms[f"{period}.base_year_weights"]
    if len(weights) != 3 or abs(sum(weights) - 1) > 1e-9 or min(weights) < 0:
        raise PaymentError(
            f"{period}.base_year_weights are {weights}, which sum to {sum(weights):g}; give three that sum to 1."
        )
    kind = terms[f"{period}.trend"]
    risk = {year: inputs.grid(f"risk_{year}", above=0) for year in _BASE_YEARS}
    base = np.zeros_like(risk["by3"])
    for year, weight in zip(_BASE_YEARS, weights, strict=True):
        spending = inputs.grid(f"spending_{year}", least=0)
        steps.add(f"spending {year}", "as given", spending, None, "USD per head", ["benchmark.enrolment_types"])
        if year != "by3":
            trend = inputs.blend(kind, f"trend_{year}")
            steps.add(f"trend {year} to by3", _FORMULAS[kind], trend, None, "factor", [f"{period}.trend"])
            spending = spending * trend * risk["by3"] / risk[year]
            steps.add(
                f"spending {year} at by3",
                f"spending {year} times trend times risk score by3 / {year}",
                spending,
                None,
                "USD per head",
                ["benchmark.enrolment_types"],
            )
        base += weight * spending
    words = ", ".join(f"{weight:.3g}" for weight in weights)
    steps.add(
        "weighted base years",
        f"base years 1, 2, 3 times {words}",
        base,
        _mean(base, heads),
        "USD per head",
        [f"{period}.base_year_weights"],
    )
    return base


_FORMULAS = {
    "national": "national factor",
    "regional": "regional factor",
    "blend": "national share times national factor plus the rest times regional factor",
    "national dollars": "plus national growth in dollars",
    "blend and prospective trend": "prospective weight times prospective trend plus the rest times the blend",
}


def _regional(
    inputs: EnrolmentTable, terms: RulesInForce, steps: Steps, period: str, base: np.ndarray, heads, times: int
) -> np.ndarray:
    """The regional adjustment by enrolment type; 0 where the agreement has none."""
    names = [f"{period}.regional_weights_{side}" for side in ("below", "above")]
    if names[0] not in terms:
        return np.zeros_like(base)
    difference = inputs.grid("regional_spending", above=0) - base
    total = _mean(difference, heads)
    steps.add(
        "difference to region", "regional spending less weighted base years", difference, total, "USD per head", names
    )
    below, above = (terms[name][min(times, len(terms[name])) - 1] for name in names)
    weight = np.where(total >= 0, below, above)[:, None]
    adjustment = weight * difference
    words = f"difference times {below:g} if the ACO spends less than its region over all types, else {above:g}"
    kept = "benchmark.regional_adjustment_if_negative"
    caps = [f"benchmark.regional_cap_{side}" for side in ("below", "above")]
    if caps[0] in terms:
        low, high = (terms[cap] for cap in caps)
        national = inputs.grid("national_spending", above=0)
        adjustment = np.clip(adjustment, low * national, high * national)
        names = [*names, *caps]
        words += f", held from {100 * low:g} % to {100 * high:g} % of national spending"
    if (share := terms[kept]) != 1:
        adjustment = np.where(_mean(adjustment, heads)[:, None] > 0, 1, share) * adjustment
        names = [*names, kept]
        words += f"; times {share:g} where it is not above 0 over all types"
    steps.add("regional adjustment", words, adjustment, _mean(adjustment, heads), "USD per head", names)
    return adjustment


def _prior_savings(
    inputs: EnrolmentTable, terms: RulesInForce, steps: Steps, given, agreement_period: int, heads: np.ndarray
) -> np.ndarray:
    """The prior savings adjustment, the same for all enrolment types."""
    if isinstance(given, pd.Series):
        lacking = inputs.acos.difference(given.index)
        if len(lacking):
            raise PaymentError(f"prior_savings has no value for aco {lacking[0]}; give one for each.")
        given = given.loc[inputs.acos].to_numpy(dtype=float)
    savings = np.broadcast_to(np.asarray(given, dtype=float), len(inputs.acos))
    if not np.isfinite(savings).all():
        raise PaymentError("prior_savings must be numbers, USD per head; 0 where there are none.")
    if not savings.any():
        return np.zeros(heads.shape)
    if agreement_period == 1:
        raise PaymentError("A first agreement period has no prior savings: leave prior_savings at 0.")
    names = ["benchmark.prior_savings_share"]
    share = terms[names[0]]
    adjustment = share * np.maximum(savings, 0)
    words = f"prior savings times {share:g}, at least 0"
    if "benchmark.prior_savings_cap" in terms:
        names.append("benchmark.prior_savings_cap")
        cap = terms[names[1]]
        adjustment = np.minimum(adjustment, cap * _mean(inputs.grid("national_spending", above=0), heads))
        words += f", at most {100 * cap:g} % of national spending"
    by_type = np.repeat(adjustment[:, None], heads.shape[1], axis=1)
    steps.add("prior savings adjustment", words, by_type, adjustment, "USD per head", names)
    return by_type


def _update(
    inputs: EnrolmentTable, terms: RulesInForce, steps: Steps, period: str, benchmark: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """The benchmark at the performance year, and from 2024 also without the prospective trend."""
    name = f"{period}.update"
    kind = terms[name]
    if kind == "national dollars":
        growth = inputs.grid("national_growth")
        steps.add("update", _FORMULAS[kind], growth, None, "USD per head", [name])
        return benchmark + growth, None
    if kind != "blend and prospective trend":
        factor = inputs.blend(kind, "update")
        steps.add("update", _FORMULAS[kind], factor, None, "factor", [name])
        return benchmark * factor, None
    two_way = inputs.blend("blend", "update")
    steps.add("update without prospective trend", _FORMULAS["blend"], two_way, None, "factor", [name])
    weight = terms["benchmark.prospective_weight"]
    factor = weight * inputs.factor("prospective_update") + (1 - weight) * two_way
    steps.add("update", _FORMULAS[kind], factor, None, "factor", [name, "benchmark.prospective_weight"])
    return benchmark * factor, benchmark * two_way
