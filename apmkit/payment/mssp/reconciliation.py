"""The settlement against what CMS published: every ACO-year, and every one that differs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.mssp.aco_years import AcoYears
from apmkit.payment.mssp.minimum_savings_rate import rate_of_size
from apmkit.payment.mssp.settlement import settle_mssp
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, rulebook

_DOLLAR = 1.0
_TOLERANCE = 0.001
_NEAR = 1e-9
# CMS has never printed fewer decimal places of these fractions, and more than 12 are not read.
_LEAST_PLACES = {"minimum_savings_rate": 4, "quality_score": 4, "final_sharing_rate": 2, "final_loss_rate": 4}
_MOST_PLACES = 12
_PUBLISHED = (
    "aco_id",
    "aco_name",
    "two_sided",
    "beneficiaries",
    "benchmark_minus_expenditures",
    "generated_savings",
    "earned_savings",
    "disaster_adjustment",
    "met_quality_standard",
    "performance_months",
    *_LEAST_PLACES,
)


@dataclass(frozen=True, eq=False)
class Reconciliation:
    """ACO-years settled and compared with the published amounts.

    Attributes
    ----------
    years : DataFrame
        One row per performance year: `acos`; of those that were paid `paid`, `within_dollar`, `within_rounding` (within
        $1 and what the rounding of published rates can make), `within_0.1%`, `exact_rate` (whose rate is published
        exactly, or whose payment is the limit) and `exact_within_dollar`; `published_paid` and `rebuilt_paid` (USD);
        the same of losses: `owing`, `losses_within_dollar`, `losses_within_0.1%`, `published_owed`, `rebuilt_owed`;
        and `exceptions`.
    exceptions : DataFrame
        Every ACO-year that the columns do not settle by the rule alone: `year`, `aco_id`, `aco_name`, `track`,
        `published`, `rebuilt`, `difference` (USD), `agrees` (within $1 and rounding, or 0.1 %), `reason`.
    rows : DataFrame
        Every ACO-year: `published`, `rebuilt`, `rounding` (USD that rounded rates can make), `exact_rate`.
    payment : Payment
        The settlement.
    """

    years: pd.DataFrame
    exceptions: pd.DataFrame
    rows: pd.DataFrame
    payment: Payment

    def summary(self) -> str:
        """What was rebuilt, in a sentence for each side."""
        paid, owed = self.years["paid"].sum(), self.years["owing"].sum()
        return (
            f"{self.years['within_0.1%'].sum():,} of {paid:,} paid ACO-years are rebuilt within 0.1 % "
            f"({self.years['within_dollar'].sum():,} within $1, and {self.years['exact_within_dollar'].sum():,} of the "
            f"{self.years['exact_rate'].sum():,} whose rate is published exactly). "
            f"{self.years['losses_within_0.1%'].sum():,} of {owed:,} losses owed are rebuilt within 0.1 %. "
            f"{len(self.exceptions):,} ACO-years are listed with their reason, "
            f"{(~self.exceptions['agrees']).sum():,} of them because the amounts differ."
        )

    def __repr__(self) -> str:
        return self.summary()


def published_aco_years(data: pd.DataFrame | None = None, *, rules: Rulebook | None = None) -> pd.DataFrame:
    """Published ACO-years as a table for `settle_mssp`, with rates as fine as the columns allow.

    Published rates are rounded. A minimum savings rate is worked out from the number of beneficiaries wherever that
    agrees with the printed one; a sharing or loss rate from the highest rate and the quality score wherever the rule of
    the year scales by quality and that agrees with the printed rate. The disaster adjustment is printed for the whole
    year, also where an ACO is settled for six months of 2019. Expenditures are the benchmark less the printed
    difference, which is rounded once where its two parts are rounded twice.

    Parameters
    ----------
    data : DataFrame, optional
        In the layout of ``apmkit.load("mssp")``, which is the default, with the years a user added.

    Returns
    -------
    pandas.DataFrame
        The columns of `settle_mssp`; `rate_rounding`, how far the sharing or loss rate can be from the exact one; and
        `minimum_of_size`, whether the minimum savings rate is that of the table.
    """
    if data is None:
        from apmkit import datasets

        data = datasets.load("mssp")
    for column in _PUBLISHED:
        if not isinstance(data, pd.DataFrame) or column not in data:
            raise PaymentError(f"The published results have no column {column}; give them as apmkit.load('mssp') does.")
    data = data.reset_index(drop=True)
    table = AcoYears(data, rules or rulebook("mssp"))
    unit = {name: _half_unit(name, data) for name in _LEAST_PLACES}
    every = np.full(len(data), True)

    minimum, n = table.numbers("minimum_savings_rate"), table.numbers("beneficiaries")
    of_size = np.full(len(data), np.nan)
    for terms, rows in table.years_of(n >= 1):
        of_size[rows] = rate_of_size(n[rows], terms)
    of_table = np.abs(of_size - minimum) <= unit["minimum_savings_rate"] + _NEAR

    score, printed = data["quality_score"].to_numpy(float), data["final_sharing_rate"].to_numpy(float)
    highest = table.rule("sharing_rate", every, of_track=True)
    short = (data["benchmark_minus_expenditures"] / data["benchmark"]).to_numpy() < minimum
    most = highest * table.rule("below_minimum.share_of_rate", short, absent=1.0)
    by_score = table.rule("quality.rule", every, equals="score") == 1
    score_error = highest * unit["quality_score"]
    agrees = np.abs(most * score - printed) <= unit["final_sharing_rate"] + score_error + _NEAR
    scaled = agrees & (by_score | (printed != most))
    exact = (printed == most) & (~scaled | (score == 1))
    rounding = np.where(scaled, score_error, unit["final_sharing_rate"])

    loss_rate, of_score = data["final_loss_rate"].to_numpy(float), 1 - highest * score
    near = np.abs(of_score - loss_rate) <= unit["final_loss_rate"] + score_error + _NEAR

    part_of_year = np.minimum(data["performance_months"] / 12, 1)
    failed = printed == 0
    return data.assign(
        expenditures=data["benchmark"] - data["benchmark_minus_expenditures"],
        minimum_savings_rate=np.where(of_table, of_size, minimum),
        minimum_of_size=of_table,
        final_sharing_rate=np.where(scaled, most * score, printed),
        final_loss_rate=np.where(near & table.has_rule("loss_rate_floor"), of_score, loss_rate),
        met_quality_standard=np.where(failed, 0.0, table.numbers("met_quality_standard")),
        disaster_adjustment=data["disaster_adjustment"] * part_of_year,
        rate_rounding=np.where(exact | failed | np.isnan(printed), 0.0, rounding),
    )


def reconcile_mssp(data: pd.DataFrame | None = None, *, rules: Rulebook | None = None) -> Reconciliation:
    """Settle every published ACO-year and compare it with what CMS published.

    Participant revenue is not published, so losses are held to the limit on the benchmark alone; where a limit on
    revenue applied, the rebuilt loss is too high and the ACO-year is an exception. Amounts are before advance payments
    are recouped, as CMS publishes them.

    Parameters
    ----------
    data : DataFrame, optional
        In the layout of ``apmkit.load("mssp")``, which is the default, with the years a user added.
    rules : Rulebook, optional
        Rules to use in place of the shipped ones.

    Returns
    -------
    Reconciliation

    Examples
    --------
    >>> from apmkit import load
    >>> found = reconcile_mssp(load("mssp").query("year == 2022"))
    >>> found.years.loc[2022, ["paid", "within_dollar", "owing"]].tolist()
    [304, 304, 0]
    """
    acos = published_aco_years(data, rules=rules)
    payment = settle_mssp(acos, rules=rules, unknown_revenue="benchmark")
    details = payment.details.reset_index(drop=True)
    published, rebuilt = acos["earned_savings"].to_numpy(float), payment.total.to_numpy()
    rounding = acos["rate_rounding"].to_numpy() * details["generated_savings"].abs().to_numpy()
    binds = (payment.table["payment_limit"] < 0).to_numpy()
    rows = acos[["year", "aco_id", "aco_name", "track"]].assign(
        published=published,
        rebuilt=rebuilt,
        difference=rebuilt - published,
        rounding=np.where(binds, 0.0, rounding),
    )
    rows["exact_rate"] = rows["rounding"] < _DOLLAR / 2
    gap = rows["difference"].abs()
    rows["within_dollar"] = gap <= _DOLLAR
    rows["within_rounding"] = gap <= _DOLLAR + rows["rounding"]
    rows["within_0.1%"] = gap <= np.maximum(_DOLLAR, _TOLERANCE * rows["published"].abs())
    exceptions = _exceptions(rows, acos, payment)
    return Reconciliation(_by_year(rows, exceptions), exceptions, rows, payment)


def _half_unit(column: str, data: pd.DataFrame) -> np.ndarray:
    """Half a unit of the last place to which a column is printed in each year, read from its values."""

    def places(values: pd.Series) -> int:
        known = values.dropna().to_numpy()
        tried = range(_LEAST_PLACES[column], _MOST_PLACES)
        return next((n for n in tried if np.allclose(known, np.round(known, n), rtol=0, atol=1e-11)), _MOST_PLACES)

    return 0.5 * 10.0 ** -data.groupby("year")[column].transform(places).to_numpy(float)


def _by_year(rows: pd.DataFrame, exceptions: pd.DataFrame) -> pd.DataFrame:
    paid, owing = rows[rows["published"] > 0], rows[rows["published"] < 0]
    counted = paid.groupby("year")[["within_dollar", "within_rounding", "within_0.1%", "exact_rate"]].sum()
    of_losses = owing.groupby("year")[["within_dollar", "within_0.1%"]].sum()
    years = pd.DataFrame({"acos": rows.groupby("year").size(), "paid": paid.groupby("year").size()})
    years = years.join(counted)
    years["exact_within_dollar"] = (paid["exact_rate"] & paid["within_dollar"]).groupby(paid["year"]).sum()
    years["published_paid"] = paid.groupby("year")["published"].sum()
    years["rebuilt_paid"] = rows[rows["rebuilt"] > 0].groupby("year")["rebuilt"].sum()
    years["owing"] = owing.groupby("year").size()
    years = years.join(of_losses.add_prefix("losses_"))
    years["published_owed"] = -owing.groupby("year")["published"].sum()
    years["rebuilt_owed"] = -rows[rows["rebuilt"] < 0].groupby("year")["rebuilt"].sum()
    years["exceptions"] = exceptions.groupby("year").size()
    money = [name for name in years if name.startswith(("published", "rebuilt"))]
    years = years.fillna(0)
    return years.astype({name: float if name in money else int for name in years})


def _exceptions(rows: pd.DataFrame, acos: pd.DataFrame, payment: Payment) -> pd.DataFrame:
    """Every row that the columns do not settle by the rule alone; the first reason that holds is given."""
    details = payment.details.reset_index(drop=True)
    table = payment.table.reset_index(drop=True)
    before_relief = -(table["shared_losses"] + table["loss_limit"])
    implied = acos["disaster_adjustment"].abs().fillna(0) - acos["earned_savings"].clip(upper=0)
    limited = ~details["revenue_known"] & (implied < before_relief - _DOLLAR)
    agrees = rows["within_rounding"] | rows["within_0.1%"]
    cancelled = before_relief.gt(0) & rows["published"].eq(0) & rows["rebuilt"].eq(0)
    unpaid = rows["published"].eq(0) & details["reason"].eq("Quality standard not met: no savings shared")
    one_sided = acos["generated_savings"].lt(0) & details["reason"].eq("One-sided track: losses are not shared")
    own_minimum = ~acos["minimum_of_size"] & ~acos["two_sided"]
    amounts = implied.map("${:,.0f} where the rule without revenue gives $".format) + before_relief.map(
        "{:,.0f}; a limit on participant revenue, which is not published, can make it lower".format
    )
    left = acos["mid_year_termination"].eq(True).fillna(False).astype(bool) if "mid_year_termination" in acos else False
    reasons = [
        (left & ~agrees, "Left the program during the year, so that savings are not paid and losses are pro-rated"),
        (cancelled & limited, "Loss cancelled by the disaster adjustment, which is " + amounts),
        (limited, "Loss before the disaster adjustment is " + amounts),
        (cancelled, "Loss cancelled by the disaster adjustment"),
        (unpaid, "Past the minimum savings rate and unpaid: quality standard not met"),
        (one_sided & agrees, "Negative generated savings on a one-sided track, which owes nothing"),
        (own_minimum & agrees, "Minimum savings rate outside the table, set for an ACO of this size"),
        (~agrees, "The rules give another amount, and the columns do not say why"),
    ]
    text = pd.Series("", index=rows.index)
    for holds, reason in reasons:
        text = text.mask(holds & text.eq(""), reason)
    found = rows[["year", "aco_id", "aco_name", "track", "published", "rebuilt", "difference"]]
    return found.assign(agrees=agrees, reason=text)[text.ne("")].reset_index(drop=True)
