"""Several payment models on the same patients: what each pays, how steadily, who gains, what one more visit pays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.options import check_seed
from apmkit.payment.inputs import check_practices
from apmkit.payment.practices import Practices
from apmkit.payment.result import Payment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Model = Callable[[Practices], Payment] | tuple[Callable[..., Payment], Mapping]


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """What several models pay the same practices.

    Attributes
    ----------
    practices : Practices
    revenue : DataFrame
        Money by practice (rows) and model (columns).
    within : DataFrame
        SD of revenue over draws, by practice and model; no rows if nothing was drawn.
    base : str
        The model that gains and losses are measured against.
    currency : str
        USD or CAD.
    notes : tuple of str
        What the models said beside their numbers.
    """

    practices: Practices
    revenue: pd.DataFrame
    within: pd.DataFrame
    base: str
    currency: str
    notes: tuple[str, ...]

    @property
    def summary(self) -> pd.DataFrame:
        """Each model in a row.

        `total`; `per_patient`; `per_physician`; `sd_between`, of revenue per patient over practices; `sd_within`, of
        revenue per patient over draws, mean of practices; `gain`, of the total against the base; `gainers`, the share
        of practices that gain.
        """
        total, patients = self.revenue.sum(), self.practices.n_patients
        gain = self.revenue.sub(self.revenue[self.base], axis=0)
        return pd.DataFrame(
            {
                "total": total,
                "per_patient": total / patients.sum(),
                "per_physician": total / self.practices.practice("physicians").sum(),
                "sd_between": self.revenue.div(patients, axis=0).std(),
                "sd_within": self.within.div(patients, axis=0).mean() if len(self.within) else np.nan,
                "gain": gain.sum(),
                "gainers": (gain > 0).mean(),
            }
        ).rename_axis("model")

    def at_same_total(self) -> ModelComparison:
        """Every model multiplied by one factor of its own, so that all pay the total of the base.

        Raises
        ------
        PaymentError
            A model pays nothing in all, or takes money.
        """
        totals = self.revenue.sum()
        if not (totals > 0).all():
            label = totals.idxmin()
            raise PaymentError(f"Model {label!r} pays {totals[label]:,.2f} in all: no factor makes that another total.")
        factor = totals[self.base] / totals
        return replace(self, revenue=self.revenue * factor, within=self.within * factor)

    @property
    def changes(self) -> pd.DataFrame:
        """Revenue per patient of each practice under each other model, less that under the base."""
        others = self.revenue.drop(columns=self.base)
        if others.empty:
            raise PaymentError("There is only the base: compare at least two models to see who gains.")
        return others.sub(self.revenue[self.base], axis=0).div(self.practices.n_patients, axis=0)

    def gains(self, by: str = "risk", groups: int = 5) -> pd.DataFrame:
        """Who gains and who loses against the base, by groups of practices.

        Parameters
        ----------
        by : str
            "risk" (mean risk score), "age" (mean age) or "outside_use" (share of visits that go to other doctors).
        groups : int
            Number of groups with as many practices each: 5 for quintiles, the first the lowest.

        Returns
        -------
        DataFrame
            By `model` and `group`: `low` and `high` (range of `by`), `practices`, `change` (mean of revenue per
            patient against the base) and `gainers` (share of practices).

        Raises
        ------
        PaymentError
            `by` is unknown, there are fewer practices than groups, or no model beside the base.
        """
        values = practice_attribute(self.practices, by)
        group = quantile_groups(values, groups, "practices")
        tables = {
            model: pd.DataFrame({"group": group, "by": values, "change": change}).sort_values("group")
            for model, change in self.changes.items()
        }
        return (
            pd.concat(tables, names=["model"])
            .groupby(["model", "group"], sort=False)
            .agg(
                low=("by", "min"),
                high=("by", "max"),
                practices=("by", "size"),
                change=("change", "mean"),
                gainers=("change", lambda change: (change > 0).mean()),
            )
        )

    def plot(self, by: str = "risk", ax: Axes | None = None) -> Axes:
        """Change of each practice against the base, by its risk, age or outside use."""
        from apmkit.plots.payment import gains_and_losses

        return gains_and_losses(self, by=by, ax=ax)


def compare_models(
    practices: Practices,
    models: Mapping[str, Model],
    *,
    base: str | None = None,
    draws: int = 0,
    redraw: Callable[[int], Practices] | None = None,
    seed: int = 0,
) -> ModelComparison:
    """Pay the same practices by several models.

    Parameters
    ----------
    practices : Practices
    models : mapping of str to callable or (callable, mapping)
        By label, a function that takes practices and returns a Payment, or one with its keyword arguments, such as
        ``(ontario_fho, {"on": "2014-04-01"})``.
    base : str, optional
        Label that gains are measured against; the first by default.
    draws : int
        How often to draw again, for the variance within practices: at least 2, or 0 for none.
    redraw : callable, optional
        Gives the practices of draw 1, 2, ...: for instance other years of synthetic ones. By default patients are drawn
        from each practice with replacement.
    seed : int
        For the draws of patients.

    Returns
    -------
    ModelComparison

    Raises
    ------
    PaymentError
        There is no model, the base is not one of them, or a model pays other rows than the practices.

    Examples
    --------
    >>> from apmkit.payment import synthetic_practices
    >>> practices = synthetic_practices("Ontario", n_practices=10, patients_per_physician=200, seed=1)
    >>> def fees(practices, share=1.0):
    ...     components = {"fees": share * practices.sums(practices.patient("fees"))}
    ...     return Payment.from_components(model="Fees", currency="CAD", components=components, index=practices.index)
    >>> comparison = compare_models(practices, {"all": fees, "half": (fees, {"share": 0.5})})
    >>> comparison.summary["gainers"].tolist()
    [0.0, 0.0]
    >>> comparison.gains("risk", groups=2)["practices"].tolist()
    [5, 5]
    """
    check_practices(practices)
    payments = {label: pay(label, model, practices) for label, model in _checked(models).items()}
    base = next(iter(models)) if base is None else base
    if base not in list(models):
        raise PaymentError(f"The base {base!r} is not among the models: {', '.join(models)}.")
    if not isinstance(draws, Integral) or draws < 0 or draws == 1:
        raise PaymentError(f"draws={draws!r} gives no variance: give at least 2, or 0 for none.")
    check_seed(seed)
    if redraw is not None and not callable(redraw):
        raise PaymentError(f"redraw is of type {type(redraw).__name__}: give a function that takes the draw's number.")
    redraw = redraw or (lambda draw: _resampled(practices, np.random.default_rng([seed, draw])))
    drawn = []
    for draw in range(1, draws + 1):
        again = redraw(draw)
        check_practices(again)
        if not again.index.equals(practices.index):
            raise PaymentError(f"Draw {draw} has other practices: redraw must give the same practices each time.")
        drawn.append(np.column_stack([pay(label, model, again).total for label, model in models.items()]))
    within = np.std(drawn, axis=0, ddof=1) if drawn else np.empty((0, len(models)))
    return ModelComparison(
        practices=practices,
        revenue=pd.DataFrame({label: payment.total for label, payment in payments.items()}),
        within=pd.DataFrame(within, index=practices.index[: len(within)], columns=list(models)),
        base=base,
        currency=practices.currency,
        notes=_notes(payments, practices),
    )


def marginal_revenue(
    practices: Practices,
    models: Mapping[str, Model],
    *,
    patients: int = 10,
    hours_per_visit: float = 0.25,
    seed: int = 0,
) -> pd.DataFrame:
    """What one more visit, visit after hours, visit elsewhere, emergency visit or enrolled patient changes in pay.

    Each model is run again on changed practices, so that caps and floors count. The changes befall patients on the
    roster, drawn at random from each practice. A visit carries the mean fee of its practice; one more patient is a copy
    of such a patient, with all visits.

    Parameters
    ----------
    practices : Practices
        With `visits` and `fees`.
    models : mapping of str to callable or (callable, mapping)
        As `compare_models` takes them.
    patients : int
        How many patients of each practice have one more visit, or come in addition; pay is divided by it. With one, it
        is the exact marginal pay of a patient; more make it steadier where pay differs by age.
    hours_per_visit : float
        Hours a visit adds to `hours` of the practice, if that is known.
    seed : int

    Returns
    -------
    DataFrame
        By `model` and `change` (visit, visit_after_hours, visit_elsewhere, emergency_visit, enrolled_patient): `mean`,
        `lowest` and `highest` over practices, in currency. A change of columns that the patients lack is left out. An
        emergency visit adds to `ed_visits` alone. Its `attrs["notes"]` say what the models said beside their numbers.

    Raises
    ------
    PaymentError
        A practice has no enrolled patient, or a number cannot be used.
    """
    check_practices(practices)
    check_seed(seed)
    if not isinstance(patients, Integral) or isinstance(patients, bool) or patients < 1:
        raise PaymentError(f"patients={patients!r} changes nothing: give a whole number of at least 1.")
    if not isinstance(hours_per_visit, Real) or not 0 <= hours_per_visit < 24:
        raise PaymentError(f"hours_per_visit={hours_per_visit!r} is no length of a visit: give hours, such as 0.25.")
    payments = {label: pay(label, model, practices) for label, model in _checked(models).items()}
    changed = _changed(practices, patients, hours_per_visit, seed)  # keeps the sums that payments asked for
    rows = {}
    for label, model in models.items():
        before = payments[label].total.to_numpy()
        for change, after in changed.items():
            each = (pay(label, model, after).total.to_numpy() - before) / patients
            rows[label, change] = (each.mean(), each.min(), each.max())
    index = pd.MultiIndex.from_tuples(rows, names=["model", "change"])
    table = pd.DataFrame(list(rows.values()), index=index, columns=["mean", "lowest", "highest"])
    table.attrs["notes"] = _notes(payments, practices)
    return table


def practice_attribute(practices: Practices, by: str) -> np.ndarray:
    """Mean risk, mean age or outside use of each practice."""
    if by == "outside_use":
        own, away = (practices.sums(practices.patient(name)) for name in ("visits", "visits_elsewhere"))
        return away / np.maximum(own + away, 1)
    columns = {"risk": "risk_score", "age": "age"}
    if by not in columns:
        raise PaymentError(f"by={by!r} is unknown: write risk, age or outside_use.")
    return practices.sums(practices.patient(columns[by])) / practices.n_patients


def quantile_groups(values: np.ndarray, groups: int, what: str) -> np.ndarray:
    """The group of each value, from 1 for the lowest, with as many in each."""
    if not isinstance(groups, Integral) or not 1 <= groups <= len(values):
        raise PaymentError(f"groups={groups!r} do not fit {len(values):,} {what}: give a whole number from 1 to that.")
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") * groups // len(values) + 1


def pay(label: str, model: Model, practices: Practices) -> Payment:
    """What a model pays these practices, refused if it pays other rows or in another currency."""
    engine, terms = model if isinstance(model, tuple) else (model, {})
    try:
        signature(engine).bind(practices, **terms)
    except TypeError as error:
        raise PaymentError(
            f"Model {label!r} cannot be called: {error}; give it as (function, its keyword arguments)."
        ) from None
    payment = engine(practices, **terms)
    if not isinstance(payment, Payment) or not payment.table.index.equals(practices.index):
        raise PaymentError(f"Model {label!r} does not return a Payment with one row for each practice.")
    if payment.currency != practices.currency:
        raise PaymentError(
            f"Model {label!r} pays in {payment.currency}, but these practices are paid in {practices.currency}: use "
            "models and practices of one country."
        )
    return payment


def _notes(payments, practices):
    own = practices.notes
    said = [f"{label}: {note}" for label, payment in payments.items() for note in payment.notes if note not in own]
    return (*own, *said)


def _checked(models):
    if not isinstance(models, Mapping) or not models:
        raise PaymentError('models must name at least one model: {"FHO": (ontario_fho, {"on": "2014-04-01"})}.')
    for label, model in models.items():
        pair = isinstance(model, tuple) and len(model) == 2 and isinstance(model[1], Mapping)
        if not callable(model[0] if pair else model):
            raise PaymentError(f"Model {label!r} is no function of practices: give one, or (function, its arguments).")
    return models


def _picked(practices, random, eligible, number):
    """Positions of patients drawn with replacement: `number` of each practice (rows) among the eligible."""
    rows = np.flatnonzero(eligible)
    rows = rows[np.argsort(practices.rows[rows], kind="stable")]
    counts = np.bincount(practices.rows[rows], minlength=len(practices.index))
    if (counts == 0).any():
        name = practices.index[int(np.argmin(counts))]
        raise PaymentError(f"Practice {name} has no enrolled patient: enrol one or leave the practice out.")
    starts = np.cumsum(counts) - counts
    share = random.random((len(counts), number))
    return rows[starts[:, None] + (share * counts[:, None]).astype(int)]


def _resampled(practices, random):
    most = practices.n_patients.max()
    picked = _picked(practices, random, np.ones(len(practices.rows), dtype=bool), most)
    kept = np.arange(most) < practices.n_patients[:, None]
    patients = practices.patients.iloc[picked[kept]].reset_index(drop=True)
    return Practices(patients, practices.practices, practices.country, practices.synthetic)


def _changed(practices, number, hours_per_visit, seed):
    table = practices.patients
    enrolled = practices.patient("enrolled") if "enrolled" in table else np.ones(len(table))
    picked = _picked(practices, np.random.default_rng(seed), enrolled > 0, number).ravel()
    fees, visits = (practices.sums(practices.patient(name)) for name in ("fees", "visits"))
    mean = np.divide(fees, visits, out=np.full(len(fees), fees.sum() / max(visits.sum(), 1)), where=visits > 0)
    fee = mean[practices.rows[picked]]

    def more(*suffixes):
        names = [(f"{name}{suffix}", amount) for suffix in suffixes for name, amount in (("visits", 1), ("fees", fee))]
        return {name: _added(practices, name, picked, amount) for name, amount in names}

    longer = {}
    if "hours" in practices.practices:
        longer = {"hours": practices.practice("hours") + number * hours_per_visit}
    changes = {"visit": practices.change(more(""), longer)}
    if {"visits_after_hours", "fees_after_hours"} <= set(table):
        changes["visit_after_hours"] = practices.change(more("", "_after_hours"), longer)
    if {"visits_elsewhere", "fees_elsewhere"} <= set(table):
        changes["visit_elsewhere"] = practices.change(more("_elsewhere"))
    if "ed_visits" in table:
        changes["emergency_visit"] = practices.change({"ed_visits": _added(practices, "ed_visits", picked, 1)})
    patients = pd.concat([table, table.iloc[picked]], ignore_index=True)
    changes["enrolled_patient"] = Practices(patients, practices.practices, practices.country, practices.synthetic)
    return changes


def _added(practices, column, picked, amount):
    values = practices.patient(column).copy()
    np.add.at(values, picked, amount)
    return values
