"""The reach of new payment in the United States, and spending per person in both countries."""

from __future__ import annotations

import pandas as pd

import apmkit as apm
from apmkit.studies.both_two_countries import TEN, province_years


def us_reach() -> pd.DataFrame:
    """How far shared savings reach in original Medicare, in percent of beneficiaries.

    Returns
    -------
    DataFrame
        Index year; `in_aco` and `two_sided`: beneficiaries assigned to ACOs, and to ACOs under two-sided risk, over the
        beneficiaries in original Medicare of all states. 2019 lacks ACOs of half a year.
    """
    assigned = apm.load("mssp").dropna(subset="beneficiaries")
    people = apm.load("gv_state").groupby("year")["ffs_beneficiaries"].sum()
    total = assigned.groupby("year")["beneficiaries"].sum()
    risk = assigned[assigned["two_sided"].astype(bool)].groupby("year")["beneficiaries"].sum()
    return pd.DataFrame({"in_aco": 100 * total / people, "two_sided": 100 * risk / people}).dropna()


def spending() -> pd.DataFrame:
    """Spending per person by province and by state, each in its own currency.

    Returns
    -------
    DataFrame
        `country`, `place`, `year`, `spending`, `forecast`. Canada: all health spending per person, CAD. United States:
        original Medicare per beneficiary, USD.
    """
    canada = apm.load("nhex").query("use_of_funds == 'Total'")
    states = apm.load("gv_state")
    parts = [
        pd.DataFrame({"country": "Canada", "place": canada["province"], "year": canada["year"],
                      "spending": canada["per_capita"], "forecast": canada["status"] == "forecast"}),
        pd.DataFrame({"country": "United States", "place": states["state"], "year": states["year"],
                      "spending": states["spending_per_capita"], "forecast": False}),
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def spending_index(frame: pd.DataFrame, base: int) -> pd.DataFrame:
    """Spending per person above consumer prices, the year `base` at 100.

    Parameters
    ----------
    frame : DataFrame
        From `spending`.
    """
    prices = apm.load("price_levels").set_index(["country", "year"])["prices"]
    from_base = frame[frame["year"] >= base]
    real = from_base["spending"] / prices.reindex(pd.MultiIndex.from_frame(from_base[["country", "year"]])).to_numpy()
    first = real.where(from_base["year"] == base).groupby([from_base["country"], from_base["place"]]).transform("max")
    return from_base.assign(index=100 * real / first).dropna(subset="index")


def levels() -> pd.DataFrame:
    """Spending per person in the last year with a parity, in the currency of each country and by purchasing power.

    Returns
    -------
    DataFrame
        One row for each of: physicians' clinical payments and all health spending in the provinces, original Medicare
        in the states. `what`, `currency`, and `lowest`, `median` and `highest` place, each also as `<name>_ppp`.
        The year is in `attrs`.
    """
    ppp = apm.load("price_levels").dropna(subset="ppp").set_index(["country", "year"])["ppp"]
    year = int(ppp.index.get_level_values("year").max())
    paid = province_years().query("year == @year").set_index("province").loc[list(TEN), "payments_per_person"]
    all_care = spending().query("year == @year").groupby("country")["spending"]
    rows = []
    for what, country, values in (
        ("Physicians' clinical payments, all residents", "Canada", paid),
        ("All health spending, all residents", "Canada", all_care.get_group("Canada")),
        ("Original Medicare, its beneficiaries", "United States", all_care.get_group("United States")),
    ):
        found = {"lowest": values.min(), "median": values.median(), "highest": values.max()}
        by_power = {f"{name}_ppp": value / ppp[country, year] for name, value in found.items()}
        rows.append({"what": what, "currency": "CAD" if country == "Canada" else "USD", **found, **by_power})
    table = pd.DataFrame(rows)
    table.attrs = {"year": year}
    return table


def spread(frame: pd.DataFrame) -> pd.DataFrame:
    """How much spending differs between places in each year: standard deviation over mean, in percent.

    Parameters
    ----------
    frame : DataFrame
        From `spending`.
    """
    by = frame.groupby(["country", "year"])["spending"]
    return (100 * by.std() / by.mean()).unstack("country")
