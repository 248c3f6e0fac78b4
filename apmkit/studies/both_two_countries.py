"""How differently do the two countries pay physicians, and can a lesson travel?"""

from __future__ import annotations

import math
from typing import Literal

import pandas as pd
from pydantic import Field, model_validator

import apmkit as apm
from apmkit.contract import Contract, classify, gallery
from apmkit.datasets.states import PROVINCES
from apmkit.studies import Parameters, Result, Study, StudyError
from apmkit.studies.arithmetic import calculated

_NAMES = {code: name for name, code in PROVINCES.items()}
TEN = ("AB", "BC", "MB", "NB", "NL", "NS", "ON", "PE", "QC", "SK")

MEASURES = {
    "alternative_share": "alternative share of clinical payments",
    "alternative_per_person": "alternative clinical payments per person",
    "fee_for_service_per_person": "fee-for-service clinical payments per person",
    "payments_per_person": "physicians' clinical payments per person",
}
"""Words for each measure."""

COMPARABLE = {
    "What a physician was paid": "no: Canada's payments are of provinces to all their physicians; the US tables used "
    "here have no payments to physicians",
    "Level of spending per person": "no: purchasing power takes the currency away, but it is everybody in Canada and "
    "original Medicare in the US",
    "Growth of spending since a year": "in part: above the inflation of each country, but of different people",
    "Spread between provinces or states": "in part: it has no unit, but the people differ",
    "Reach of new payment": "in part: a share of money in Canada, a share of people in the US",
    "Kind of contract": "yes: the same record and the same framework",
}
"""What can be set side by side, and why not."""


class TwoCountriesParameters(Parameters):
    """Parameters of the study; see ``apmkit studies both/two_countries``."""

    place: Literal[("CA", *TEN)] = Field("CA", description="Canada, or the province of the headline.")
    measure: Literal[tuple(MEASURES)] = Field(
        "alternative_share", description="What changed: the share of alternative payments, or payments per person."
    )
    first_year: int = Field(1999, ge=1999, le=2015, description="First fiscal year, by the year in which it starts.")
    last_year: int = Field(
        2023, ge=2012, le=2035, description="Last fiscal year, or the last one in the data if that is earlier."
    )
    flagged: Literal["leave_out", "keep"] = Field(
        "leave_out", description="Values that CIHI marks or that jump: under-counts, estimates, New Brunswick 2022-23."
    )
    average_years: int = Field(1, ge=1, le=3, description="Years averaged at each end.")
    dollars: Literal["current", "constant", "purchasing_power"] = Field(
        "current",
        description="Payments per person in current CAD, at prices of the last year, or in US dollars by PPP.",
    )
    spending_from: int = Field(2014, ge=2014, le=2020, description="Year in which spending per person is set to 100.")

    @model_validator(mode="after")
    def _consistent(self):
        if self.last_year - self.first_year < 2 * self.average_years - 1:
            raise ValueError(
                f"first_year={self.first_year} and last_year={self.last_year} are too close for "
                f"average_years={self.average_years}; the years at both ends overlap"
            )
        if self.measure == "alternative_share" and self.dollars != "current":
            raise ValueError(
                f"dollars={self.dollars} is for payments per person, and measure=alternative_share is a share"
            )
        return self


def unit(parameters: TwoCountriesParameters) -> str:
    """The unit of the measure, as on an axis.

    >>> unit(TwoCountriesParameters(measure="payments_per_person"))
    'CAD per person, current dollars'
    """
    if parameters.measure == "alternative_share":
        return "percentage points"
    return {
        "current": "CAD per person, current dollars",
        "constant": f"CAD per person, prices of {apm.load('npdb_payments')['fiscal_year_start'].max()}",
        "purchasing_power": "USD per person, purchasing power parity",
    }[parameters.dollars]


def price_levels(country: str) -> pd.DataFrame:
    """Prices and purchasing power parity of one country by year."""
    return apm.load("price_levels").query("country == @country").set_index("year")[["prices", "ppp"]]


def province_years(dollars: str = "current") -> pd.DataFrame:
    """Payments by province and fiscal year, Canada included.

    Parameters
    ----------
    dollars : str
        Of the payments per person, as in the parameters. A fiscal year takes the prices of the calendar year in which
        it starts.

    Returns
    -------
    DataFrame
        `province` (code), `year` in which the fiscal year starts, `alternative_share` (percent), the three payments per
        person (over the population of 1 July of `year`), `payments` (CAD) and `flag`, missing if there is none.
    """
    paid = apm.load("npdb_payments").rename(columns={"fiscal_year_start": "year"})
    frame = paid.merge(apm.load("population"), on=["province", "year"], how="left")
    level = price_levels("Canada")
    cost = {
        "current": pd.Series(1.0, index=level.index),
        "constant": level["prices"] / level["prices"].get(paid["year"].max(), math.nan),
        "purchasing_power": level["ppp"],
    }[dollars]
    people = frame["population"] * frame["year"].map(cost)
    return pd.DataFrame(
        {
            "province": frame["province"],
            "year": frame["year"],
            "alternative_share": 100 * frame["alternative_share"],
            "alternative_per_person": frame["alternative_payments"] / people,
            "fee_for_service_per_person": frame["fee_for_service_payments"] / people,
            "payments_per_person": frame["payments"] / people,
            "payments": frame["payments"],
            "flag": frame["flag"],
        }
    ).sort_values(["province", "year"], ignore_index=True)


def name_of(place: str) -> str:
    """The name of a province, or Canada.

    >>> name_of("NS"), name_of("CA")
    ('Nova Scotia', 'Canada')
    """
    return _NAMES.get(place, "Canada")


def fiscal(year: int) -> str:
    """A fiscal year as CIHI writes it.

    >>> fiscal(1999)
    '1999-00'
    """
    return f"{year}-{(year + 1) % 100:02d}"


def usable(frame: pd.DataFrame, place: str, parameters: TwoCountriesParameters) -> pd.Series:
    """The measure of one place by year, within the window, flagged values left out if asked for."""
    own = frame[(frame["province"] == place) & frame["year"].between(parameters.first_year, parameters.last_year)]
    if parameters.flagged == "leave_out":
        own = own[own["flag"].isna()]
    return own.set_index("year")[parameters.measure].dropna()


def change(frame: pd.DataFrame, place: str, parameters: TwoCountriesParameters) -> pd.Series:
    """The first and the last level of one place and the change between them.

    Returns
    -------
    Series
        `first`, `last`, `change` in units of the measure, `first_year` and `last_year` of the outermost years used.

    Raises
    ------
    StudyError
        Too few years are left.
    """
    values, ends = usable(frame, place, parameters), parameters.average_years
    if len(values) < 2 * ends:
        raise StudyError(f"{name_of(place)} has {len(values)} usable years and needs {2 * ends}: widen the window.")
    first, last = values.iloc[:ends].mean(), values.iloc[-ends:].mean()
    return pd.Series({"first": first, "last": last, "change": last - first, "first_year": values.index[0],
                      "last_year": values.index[-1]})  # fmt: skip


def changes(frame: pd.DataFrame, parameters: TwoCountriesParameters) -> pd.DataFrame:
    """`change` of Canada and each of the ten provinces; index is the place."""
    return pd.DataFrame({place: change(frame, place, parameters) for place in ("CA", *TEN)}).T


def contributions(frame: pd.DataFrame, parameters: TwoCountriesParameters) -> pd.DataFrame:
    """The change of the ten provinces' share taken apart, exactly.

    Each province contributes its own change times its mean weight in payments; what is left is that weights moved
    between provinces of different shares. First and last year are those in which no province is flagged, if flagged
    values are left out.

    Returns
    -------
    DataFrame
        Index place; `within` and `between` in percentage points. They add up to the change of the ten together.
    """
    ten = frame[frame["province"].isin(TEN) & frame["year"].between(parameters.first_year, parameters.last_year)]
    if parameters.flagged == "leave_out":
        ten = ten[~ten["year"].isin(ten.loc[ten["flag"].notna(), "year"])]
    ends = ten[ten["year"].isin([ten["year"].min(), ten["year"].max()])]
    share = ends.pivot(index="province", columns="year", values="alternative_share")
    paid = ends.pivot(index="province", columns="year", values="payments")
    weight = paid / paid.sum()
    start, end = share.columns
    overall = (share * weight).sum().mean()
    found = pd.DataFrame(
        {
            "within": weight.mean(axis=1) * (share[end] - share[start]),
            "between": (share.mean(axis=1) - overall) * (weight[end] - weight[start]),
        }
    )
    found.attrs = {"first_year": int(start), "last_year": int(end)}
    return found


def crosswalk() -> pd.DataFrame:
    """For each Canadian contract the US contract that pays by the most similar mix of payments.

    Returns
    -------
    DataFrame
        One row a Canadian contract: `canada`, its `category`, `nearest` US contract, its `us_category`, `overlap` of
        payment types (shared over all, 0 to 1; ties by the nearness of scope), `shared` and `only_canada`, `only_us`
        types.
    """
    contracts = gallery().values()
    ours = [contract for contract in contracts if contract.country == "US"]
    rows = []
    for contract in (c for c in contracts if c.country == "Canada"):
        best = max(ours, key=lambda other, own=contract: (_overlap(own, other), _same_scope(own, other)))
        here, there = types(contract), types(best)
        rows.append(
            {
                "canada": contract.title,
                "category": _category(contract),
                "nearest": best.title,
                "us_category": _category(best),
                "overlap": _overlap(contract, best),
                "shared": here & there,
                "only_canada": here - there,
                "only_us": there - here,
            }
        )
    return pd.DataFrame(rows)


def types(contract: Contract) -> frozenset[str]:
    """The types of payment of a contract."""
    return frozenset(payment.type for payment in contract.payments)


def _overlap(one: Contract, other: Contract) -> float:
    return len(types(one) & types(other)) / len(types(one) | types(other))


def scopes(contract: Contract) -> frozenset[str]:
    """The care that the payments of a contract cover, where the record says so."""
    return frozenset(payment.scope for payment in contract.payments if isinstance(payment.scope, str))


def _same_scope(one: Contract, other: Contract) -> float:
    union = scopes(one) | scopes(other)
    return len(scopes(one) & scopes(other)) / len(union) if union else 0.0


def _category(contract: Contract) -> str:
    found = classify(contract)
    return f"outside (nearest {' and '.join(found.nearest)})" if found.nearest else found.category


def scope_table() -> pd.DataFrame:
    """Contracts of each country by the widest care that they pay for or hold providers to account for."""
    order = ["primary care", "physician services", "condition", "hospital", "total cost"]
    rows = [
        (contract.country, max(scopes(contract), key=order.index), contract.title)
        for contract in gallery().values()
        if scopes(contract)
    ]
    frame = pd.DataFrame(rows, columns=["country", "scope", "title"])
    return frame.groupby(["scope", "country"]).size().unstack(fill_value=0).reindex(order, fill_value=0)


def sentence(row: pd.Series, parameters: TwoCountriesParameters) -> str:
    """The change of one place in words; it is arithmetic and has no interval."""
    first, last = (fiscal(int(row[end])) for end in ("first_year", "last_year"))
    if parameters.measure == "alternative_share":
        ends, size = [f"{row[end]:.1f}%" for end in ("first", "last")], f"{abs(row['change']):.1f} percentage points"
    else:
        money, basis = unit(parameters).split(" per person, ")
        ends = [f"{money} {row[end]:,.0f}" for end in ("first", "last")]
        size = f"{money} {abs(row['change']):,.0f} ({basis})"
    move = "rose" if row["change"] > 0 else "fell"
    when = f"from {ends[0]} in {first} to {ends[1]} in {last}"
    if (n := parameters.average_years) > 1:
        when = f"from {ends[0]}, the mean of {n} years from {first}, to {ends[1]}, that of {n} years to {last}"
    return (
        f"In {name_of(parameters.place)} the {MEASURES[parameters.measure]} {move} by {size}, {when}. "
        "This is a full count and has no interval."
    )


def estimate(parameters: TwoCountriesParameters) -> Result:
    """The change of the chosen place, and of all others beside it."""
    frame = province_years(parameters.dollars)
    table = changes(frame, parameters)
    words = MEASURES[parameters.measure]
    order = [parameters.place, *(place for place in table.index if place != parameters.place)]
    every = calculated(
        map(name_of, order), table.loc[order, "change"], estimand="change between two years",
        estimator="Difference of published amounts", outcome=words, n_obs=len(frame), n_units=len(order),
    )  # fmt: skip
    notes = ["Alternative payments cover all physicians and every mode but fee-for-service: no measure of one model."]
    if parameters.measure != "alternative_share":
        notes.append(
            {
                "current": "Amounts are in current dollars: part of a rise is inflation.",
                "constant": "Amounts are deflated by consumer prices of all Canada, not by the prices of care.",
                "purchasing_power": "The parity is that of the whole economy, not of care; its last years are missing.",
            }[parameters.dollars]
        )
    if parameters.flagged == "keep":
        notes.append("Under-counted, estimated and jumping values are in use.")
    axis = f"Change of {words}, {name_of(parameters.place)}, {unit(parameters)}"
    return Result({"change": every}, "change", (sentence(table.loc[parameters.place], parameters),), tuple(notes), axis)


STUDY = Study(
    name="both/two_countries",
    title="How differently do the two countries pay physicians, and can a lesson travel?",
    country="Both countries",
    data=("npdb_payments", "population", "nhex", "gv_state", "mssp", "price_levels", "published_effects"),
    Parameters=TwoCountriesParameters,
    estimate=estimate,
    grid={
        "place": ("CA", "ON", "QC", "BC", "NS", "NB"),
        "measure": ("alternative_share", "alternative_per_person"),
        "dollars": ("current", "constant", "purchasing_power"),
        "first_year": (1999, 2005),
        "flagged": ("leave_out", "keep"),
        "average_years": (1, 3),
    },
)
