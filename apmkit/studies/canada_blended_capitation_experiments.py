"""Experiments of the study of blended capitation: the access bonus, effort, two days."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from apmkit.payment import (
    PaymentTerms,
    Practices,
    calibrate_effort,
    ontario_fho,
    respond_practices,
)

BEFORE, AFTER = "2019-04-01", "2024-05-01"
"""Days before and after Ontario ended three of its preventive bonuses."""

STUDIES = {"Somé 2020": "some_2020", "Hong 2024": "hong_2024"}
"""Two studies of physicians who moved from FHG to FHO, by the name to show."""


def bonus_table(practices: Practices, on: str) -> pd.DataFrame:
    """The FHO's access bonus of each practice beside what its patients do.

    Returns
    -------
    DataFrame
        By practice: `urban`; per physician `bonus` and `highest` (CAD); `kept` (bonus over highest); `elsewhere` (share
        of visits); per 1,000 patients `visits`, `after_hours`, `emergency`.
    """
    paid = ontario_fho(practices, on=on)
    physicians, people = practices.practice("physicians"), practices.n_patients
    own, away, late, emergency = (
        practices.sums(practices.patient(name))
        for name in ("visits", "visits_elsewhere", "visits_after_hours", "ed_visits")
    )
    highest = paid.details["access_bonus_maximum"]
    return pd.DataFrame(
        {
            "urban": practices.practices["urban"].to_numpy(),
            "bonus": paid.table["access_bonus"] / physicians,
            "highest": highest / physicians,
            "kept": paid.table["access_bonus"] / highest,
            "elsewhere": away / np.maximum(own + away, 1),
            "visits": 1000 * own / people,
            "after_hours": 1000 * late / people,
            "emergency": 1000 * emergency / people,
        },
        index=practices.index,
    )


def by_place(bonus: pd.DataFrame) -> pd.DataFrame:
    """Means over practices outside cities and in cities, their difference in the last row."""
    means = bonus.groupby("urban").mean().rename(index={False: "outside cities", True: "in cities"})
    means.loc["difference"] = means.loc["outside cities"] - means.loc["in cities"]
    return means


def redirected(practices: Practices, models: Mapping[str, tuple], share: float = 0.25) -> pd.DataFrame:
    """What models with a bonus or a charge for visits elsewhere pay once a share of those visits goes to hospitals.

    Returns
    -------
    DataFrame
        By model: `practice`, change of pay per physician, and `per_visit`, the same for each visit that moved.
    """
    away = practices.patient("visits_elsewhere")
    moved = practices.change(
        {
            "visits_elsewhere": away * (1 - share),
            "fees_elsewhere": practices.patient("fees_elsewhere") * (1 - share),
            "ed_visits": practices.patient("ed_visits") + away * share,
        }
    )
    physicians, visits = practices.practice("physicians").sum(), share * away.sum()
    rows = {}
    for model, (engine, terms) in models.items():
        gain = engine(moved, **terms).total.sum() - engine(practices, **terms).total.sum()
        rows[model] = {"practice": gain / physicians, "per_visit": gain / visits if visits else 0.0}
    return pd.DataFrame.from_dict(rows, orient="index")


def behaviour(practices: Practices, on: str) -> pd.DataFrame:
    """Practices of an FHG that become an FHO: with the same work, and as each of two opposing studies found.

    Returns
    -------
    DataFrame
        By case: CAD per physician as a FHO (`pay`), and relative changes of `services` (fees) and `after_hours`.
    """
    physicians = practices.practice("physicians").sum()
    rows = {}
    for name, scenario in {"Same work": None, **STUDIES}.items():
        worked = practices
        if scenario:
            model = calibrate_effort(scenario)
            worked = respond_practices(practices, model, model.after)
        rows[name] = {
            "pay": ontario_fho(worked, on=on).total.sum() / physicians,
            **{
                change: worked.patient(column).sum() / practices.patient(column).sum() - 1
                for change, column in (("services", "fees"), ("after_hours", "fees_after_hours"))
            },
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def effort_path() -> pd.DataFrame:
    """What each of two opposing studies implies on the way from FHG to FHO, for `apmkit.plots.payment.effort`."""
    path = []
    for name, scenario in STUDIES.items():
        model = calibrate_effort(scenario)
        before, after = model.before, model.after
        terms = [
            PaymentTerms(
                capitation_share=float(step * after.capitation_share),
                after_hours_premium=before.after_hours_premium,
                comprehensive_premium=float((1 - step) * before.comprehensive_premium),
            )
            for step in np.linspace(0, 1, 8)
        ]
        path.append(model.respond(terms).assign(scenario=name))
    return pd.concat(path, ignore_index=True)


def two_days(practices: Practices) -> pd.DataFrame:
    """The FHO's components per physician on the days before and after three bonuses ended, and the change."""
    physicians = practices.practice("physicians").sum()
    table = pd.DataFrame({day: ontario_fho(practices, on=day).table.sum() / physicians for day in (BEFORE, AFTER)})
    return table.assign(change=table[AFTER] - table[BEFORE])
