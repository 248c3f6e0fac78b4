"""Where health spending goes: the share of primary care, the path to a larger one, and price against quantity."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.rulebook import Rulebook, rules_on
from apmkit.payment.tables import Table

_DEFINED_ON = "2020-01-01"
_DEFINITIONS = ("narrow", "broad")
_METHODS = ("bennet", "laspeyres", "paasche")


def primary_care_share(
    spending: pd.DataFrame, definition: str = "narrow", *, by: str | None = None, rules: Rulebook | None = None
) -> pd.DataFrame:
    """Primary care as a share of all spending.

    Narrow: office and outpatient spending on family medicine, general internal medicine, general paediatrics, general
    practice and geriatrics. Broad: also on nurse practitioners, physician assistants and behavioural health, and
    office spending on obstetrics and gynaecology.

    Parameters
    ----------
    spending : DataFrame
        `provider` (type, in the words above and any other), `setting` ("office", "outpatient" and any other) and
        `amount` (money, not negative). All spending must be in it, not only primary care.
    definition : str
        "narrow" or "broad".
    by : str, optional
        A column to work out shares by, for instance a payer or a year.
    rules : Rulebook, optional
        Definitions of your own; the shipped ones by default.

    Returns
    -------
    DataFrame
        One row per value of `by`, or one named "all": `primary_care`, `total` (money) and `share`.

    Raises
    ------
    PaymentError
        The definition is unknown, a column is absent or out of bounds, a provider looks misspelt, nothing was spent, or
        nothing of it is primary care.

    References
    ----------
    Milbank Memorial Fund, primary care scorecard, financing.

    Examples
    --------
    >>> spending = pd.DataFrame({"provider": ["family medicine", "nurse practitioner", "hospital"],
    ...                          "setting": ["office", "office", "inpatient"], "amount": [50.0, 20.0, 930.0]})
    >>> primary_care_share(spending)["share"].item(), primary_care_share(spending, "broad")["share"].item()
    (0.05, 0.07)
    """
    if definition not in _DEFINITIONS:
        raise PaymentError(f"definition is {definition!r}; write narrow or broad.")
    terms = rules_on(_DEFINED_ON, "primary_care_spending", rules)
    parts = [dict(terms[f"definition.{name}"]) for name in _DEFINITIONS]
    counted = parts[0] | (parts[1] if definition == "broad" else {})
    table = Table(spending, "spending", "provider")
    amount = table.numbers("amount", least=0)
    for column in ("setting", *([by] if by else [])):
        Table(spending, "spending", column)
    either = parts[0] | parts[1]
    _spelling(spending["provider"], list(either))
    _spelling(spending["setting"], sorted(set().union(*either.values())))
    pairs = pd.MultiIndex.from_frame(spending[["provider", "setting"]])
    inside = pairs.isin([(provider, setting) for provider, settings in counted.items() for setting in settings])
    if not inside.any():
        raise PaymentError(
            f"No row of spending is primary care; its providers are {', '.join(counted)}, and any other."
        )
    groups = spending[by] if by else pd.Series("all", index=spending.index)
    sums = pd.DataFrame({"primary_care": amount * inside, "total": amount}).groupby(groups.to_numpy()).sum()
    if (sums["total"] == 0).any():
        raise PaymentError(f"Nothing was spent in {sums.index[sums['total'] == 0][0]}; leave it out.")
    return sums.assign(share=sums["primary_care"] / sums["total"]).rename_axis(by)


def reference_shares(rules: Rulebook | None = None) -> pd.DataFrame:
    """Published primary care shares and one target, to set beside your own; their definitions differ.

    Examples
    --------
    >>> reference_shares()[["what", "year", "share"]].head(2)  # doctest: +NORMALIZE_WHITESPACE
                                    what  year  share
    0  United States, narrow definition  2013  0.062
    1  United States, narrow definition  2020  0.046
    """
    table = rules_on(_DEFINED_ON, "primary_care_spending", rules).rulebook.table()
    table = table[table["parameter"].str.startswith(("reference.", "target."))]
    years = [day.year for day in table["effective"]]
    shares = pd.DataFrame({"what": table["label"], "year": years, "share": table["value"].astype(float)})
    return shares.join(table[["status", "citation", "note"]]).reset_index(drop=True)


def path_to_target(
    share: float, target: float, years: int, *, total_spending: float = 1.0, total_growth: float = 0.0
) -> pd.DataFrame:
    """Primary care spending, year by year, on the way from one share of all spending to another.

    Primary care grows at one rate, (1 + total growth) x (target / share)^(1 / years) - 1. Without growth of the total
    this is a shift out of other spending; with it, other spending may still grow, only more slowly.

    Parameters
    ----------
    share, target : float
        Primary care now and at the end, as shares of all spending.
    years : int
        How many years it takes.
    total_spending : float
        All spending now; with the default of 1 all amounts are shares of it.
    total_growth : float
        Of all spending, a year.

    Returns
    -------
    DataFrame
        By year from 0 (now): `total`, `primary_care`, `other`, `share`, `primary_care_growth`, `other_growth` (since
        the year before) and `added`, primary care spending above what the share of today would give.

    Raises
    ------
    PaymentError
        A share is not between 0 and 1, there is not one year, or an amount is out of bounds.

    Examples
    --------
    >>> path = path_to_target(0.046, 0.12, 10, total_spending=100.0, total_growth=0.04)
    >>> path.loc[10, ["share", "primary_care_growth", "other_growth", "added"]].round(3).to_dict()
    {'share': 0.12, 'primary_care_growth': 0.145, 'other_growth': 0.027, 'added': 10.954}
    """
    for name, value in (("share", share), ("target", target)):
        if not isinstance(value, Real) or not 0 < value < 1:
            raise PaymentError(f"{name} is {value!r}; give a share between 0 and 1, so 0.046 for 4.6 %.")
    if not isinstance(years, Integral) or isinstance(years, bool) or years < 1:
        raise PaymentError(f"years is {years!r}; give a whole number of at least 1.")
    if not isinstance(total_spending, Real) or not 0 < total_spending < math.inf:
        raise PaymentError(f"total_spending is {total_spending!r}; give an amount above 0.")
    if not isinstance(total_growth, Real) or not -1 < total_growth < 1:
        raise PaymentError(f"total_growth is {total_growth!r}; give a share a year, from -1 to 1, so 0.04 for 4 %.")
    year = np.arange(years + 1)
    total = total_spending * (1 + total_growth) ** year
    shares = share * (target / share) ** (year / years)
    primary = total * shares
    table = pd.DataFrame(
        {"total": total, "primary_care": primary, "other": total - primary, "share": shares},
        index=pd.Index(year, name="year"),
    )
    growth = table[["primary_care", "other"]].pct_change().add_suffix("_growth")
    return table.join(growth).assign(added=primary - total * share)


def price_and_quantity(
    table: pd.DataFrame,
    *,
    prices: Sequence[str] = ("price_0", "price_1"),
    quantities: Sequence[str] = ("quantity_0", "quantity_1"),
    method: str = "bennet",
    by: str | None = None,
    mix: bool = False,
) -> pd.DataFrame:
    """Split a change of spending, or a saving against a benchmark, into what prices and what quantities did.

    Bennet's symmetric split takes each change at the mean of the other factor: price = (p1 - p0) (q0 + q1) / 2,
    quantity = (q1 - q0) (p0 + p1) / 2. It is the Shapley value of the two factors, and adds up exactly. Laspeyres
    takes both at the first situation, Paasche at the second; what is then left is `interaction`.

    Parameters
    ----------
    table : DataFrame
        One row per category of service: two columns of prices and two of quantities, not negative. The first of each
        is the situation compared with (before, or the benchmark), the second the one compared (after, or actual).
    prices, quantities : pair of str
        Those columns.
    method : str
        "bennet", "laspeyres" or "paasche".
    by : str, optional
        With `mix`: a column of groups, for instance states, within which shares are taken.
    mix : bool
        Split quantity further into `volume` (all units together) and `mix` (the categories' shares of them), each at
        the mean of the other. Only where all categories have the same unit, and with Bennet.

    Returns
    -------
    DataFrame
        Rows of `table`: `spending_0`, `spending_1`, `change`, `price`, `quantity`, and `interaction`, or `volume` and
        `mix`. Sum over rows for the whole; the parts add up to `change` in each.

    Raises
    ------
    PaymentError
        A column is absent or out of bounds, the method is unknown, or a group has no quantity to take shares of.

    Notes
    -----
    A price here is whatever the quantity is paid at: a new service without an old price needs one given. The split is
    accounting, and says nothing on why either part changed.

    References
    ----------
    Bennet, T. L. (1920), The theory of measurement of changes in cost of living, Journal of the Royal Statistical
    Society 83, 455-462. Diewert, W. E. (2005), Index number theory using differences rather than ratios, American
    Journal of Economics and Sociology 64, 311-360.

    Examples
    --------
    Medicare spending per person in Maryland against Pennsylvania, with standardised spending for the quantity and
    actual over standardised spending for the price: Maryland is dearer by its prices, which the State sets.

    >>> import apmkit
    >>> states = apmkit.load("gv_state").query("year == 2019").set_index("state")
    >>> quantity = states["spending_per_capita_standardised"]
    >>> price = states["spending_per_capita"] / quantity
    >>> pair = pd.DataFrame({"price_0": [price["PA"]], "price_1": [price["MD"]],
    ...                      "quantity_0": [quantity["PA"]], "quantity_1": [quantity["MD"]]})
    >>> price_and_quantity(pair)[["change", "price", "quantity"]].round(0).astype(int).to_dict("list")
    {'change': [1604], 'price': [1617], 'quantity': [-13]}
    """
    if method not in _METHODS:
        raise PaymentError(f"method is {method!r}; write {', '.join(_METHODS[:-1])} or {_METHODS[-1]}.")
    if mix and method != "bennet":
        raise PaymentError(f"mix needs the symmetric split: write method='bennet', not {method!r}.")
    if by and not mix:
        raise PaymentError("by is for the split of mix only: write mix=True, or sum the rows of each group yourself.")
    frame = table.assign(category=table.index.map(str)) if isinstance(table, pd.DataFrame) else table
    read = Table(frame, "categories", "category")
    for name, pair in (("prices", prices), ("quantities", quantities)):
        if isinstance(pair, str) or len(pair) != 2:
            raise PaymentError(
                f"{name} is {pair!r}; name two columns, the situation compared with and the one compared."
            )
    (p0, p1), (q0, q1) = ([read.numbers(column, least=0) for column in pair] for pair in (prices, quantities))
    parts = pd.DataFrame({"spending_0": p0 * q0, "spending_1": p1 * q1}, index=table.index)
    parts["change"] = parts["spending_1"] - parts["spending_0"]
    weight = {"bennet": 0.5, "laspeyres": 0.0, "paasche": 1.0}[method]
    parts["price"] = (p1 - p0) * (q0 + weight * (q1 - q0))
    parts["quantity"] = (q1 - q0) * (p0 + weight * (p1 - p0))
    if method != "bennet":
        parts["interaction"] = parts["change"] - parts["price"] - parts["quantity"]
    if mix:
        group = np.zeros(len(table), dtype=int) if by is None else Table(frame, "categories", by).groups()[0]
        all0, all1 = (np.bincount(group, weights=q)[group] for q in (q0, q1))
        if ((all0 == 0) | (all1 == 0)).any():
            raise PaymentError("A group has no quantity at all in one of the two situations; leave it out.")
        part0, part1, price = q0 / all0, q1 / all1, (p0 + p1) / 2
        parts["volume"] = price * (all1 - all0) * (part0 + part1) / 2
        parts["mix"] = price * (part1 - part0) * (all0 + all1) / 2
    return parts


def _spelling(words: pd.Series, known: list[str]) -> None:
    """Refuse words that are nearly, or the end of, one that counts as primary care: they would be left out."""
    for word in words.astype(str).unique():
        near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.85)
        near = near or [name for name in known if name.endswith(f" {word.lower().strip()}")]
        if near and word not in known:
            raise PaymentError(f"The {words.name} {word!r} is not counted as primary care; did you mean {near[0]!r}?")
