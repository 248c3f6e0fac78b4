"""What models of primary care payment ask of practices and take beside them, checked at the door."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.practices import Practices
from apmkit.payment.rulebook import Rulebook, RulesInForce, rules_on
from apmkit.payment.tables import has_optional


def rules_in_force(
    programme: str, rules: Rulebook | None, on: str | datetime.date, practices: Practices
) -> RulesInForce:
    """The shipped rules of a programme on a day, or those given instead; they must be of the practices' country.

    Raises
    ------
    PaymentError
        The practices are none or of the other country, or `rules` is no Rulebook.
    RulesError
        The day is none.
    """
    check_practices(practices)
    terms = rules_on(on, programme, rules)
    if terms.rulebook.country != practices.country:
        raise PaymentError(
            f"{terms.rulebook.title} pays practices in {terms.rulebook.country}, but these are in {practices.country}; "
            "take another model."
        )
    return terms


def check_practices(practices: Practices) -> None:
    """Refuse what are no practices."""
    if not isinstance(practices, Practices):
        raise PaymentError(f"Practices are needed, not {type(practices).__name__}: make them by Practices(...).")


def attributed(practices: Practices) -> np.ndarray:
    """Which patients a US model counts as the practice's own: those enrolled, or all where that is not given."""
    if not has_optional(practices.patients, "enrolled", "patients"):
        return np.ones(len(practices.patients), dtype=bool)
    return practices.patient("enrolled") == 1


def too_few(practices: Practices, beneficiaries: np.ndarray, least: float) -> list[str]:
    """What to say of practices with fewer attributed beneficiaries than a model asks for."""
    small = practices.index[beneficiaries < least]
    if not len(small):
        return []
    whose = f"practice {small[0]} has" if len(small) == 1 else f"{len(small)} practices (first {small[0]}) have"
    return [f"Not eligible, paid here all the same: {whose} fewer than {least:g} attributed beneficiaries."]


def per_practice(
    values, name: str, practices: Practices, *, least: float = 0.0, most: float = np.inf, columns: int | None = None
) -> np.ndarray:
    """A number for all practices, or one for each, as an array in the order of `practices.index`.

    Parameters
    ----------
    values : float, array of shape (n,) or (n, columns), or Series by practice
        A Series is put in order by its index.
    name : str
        What it is called in an error.
    practices : Practices
        The n practices.
    least, most : float
        Bounds.
    columns : int, optional
        With it, the result has shape (n, columns).

    Raises
    ------
    PaymentError
        It is not numeric, has another shape, lacks a practice, or leaves the bounds.
    """
    n = len(practices.index)
    if isinstance(values, pd.Series | pd.DataFrame):
        if not values.index.is_unique:
            twice = values.index[values.index.duplicated()][0]
            raise PaymentError(f"{name} has more than one value for practice {twice}; give each one.")
        if len(absent := practices.index.difference(values.index)):
            raise PaymentError(f"{name} has no value for practice {absent[0]}; give one for each.")
        values = values.reindex(practices.index)
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise PaymentError(f"{name} is not numeric; give a number, or one for each practice.") from None
    shape = (n,) if columns is None else (n, columns)
    if columns is not None and values.shape == (n,):
        values = values[:, None]
    try:
        values = np.broadcast_to(values, shape)
    except ValueError:
        raise PaymentError(f"{name} has shape {values.shape}; give one number, or an array of shape {shape}.") from None
    if not np.isfinite(values).all():
        raise PaymentError(f"{name} is missing or infinite for some practices; give a finite number for each.")
    if (wrong := (values < least) | (values > most)).any():
        value = values[wrong][0]
        bounds = f"at least {least:g}" if np.isinf(most) else f"from {least:g} to {most:g}"
        share = f"; write {value / 100:g} for {value:g} %" if most <= 1 < value <= 100 else ""
        raise PaymentError(f"{name} is {value:g}, but must be {bounds}{share}.")
    return values
