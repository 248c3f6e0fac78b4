"""What models of primary care payment take beside the practices, checked at the door."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.practices import Practices
from apmkit.payment.rulebook import Rulebook, RulesInForce, rulebook


def rules_in_force(
    programme: str, rules: Rulebook | None, on: str | datetime.date, practices: Practices
) -> RulesInForce:
    """The shipped rules of a programme on a day, or those given instead; they must be of the practices' country.

    Raises
    ------
    PaymentError
        `rules` is no Rulebook, or of the other country.
    """
    check_practices(practices)
    book = rulebook(programme) if rules is None else rules
    if not isinstance(book, Rulebook):
        raise PaymentError(
            f"rules is of type {type(book).__name__}; give a Rulebook, for instance rulebook('{programme}')."
        )
    if book.country != practices.country:
        raise PaymentError(
            f"{book.title} pays practices in {book.country}, but these are in {practices.country}; take another model."
        )
    return book.on(on)


def check_practices(practices: Practices) -> None:
    """Refuse what are no practices."""
    if not isinstance(practices, Practices):
        raise PaymentError(f"Practices are needed, not {type(practices).__name__}: make them by Practices(...).")


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
        share = f"; write {value / 100:g} for {value:g} %" if most <= 1 < abs(value) else ""
        raise PaymentError(f"{name} is {value:g}, but must be {bounds}{share}.")
    return values
