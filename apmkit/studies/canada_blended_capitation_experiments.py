"""Experiments of the study of blended capitation: the access bonus, more and less capitation, effort, two days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from apmkit.payment import (
    PaymentTerms,
    Practices,
    alberta_blended_capitation,
    calibrate_effort,
    compare_models,
    illustrative_schedule,
    marginal_revenue,
    ontario_fho,
    respond_practices,
    rulebook,
)

BEFORE, AFTER = "2019-04-01", "2024-05-01"
"""Days before and after Ontario ended three of its preventive bonuses."""

STUDIES = {"Somé 2020": "some_2020", "Hong 2024": "hong_2024"}
"""Two studies of physicians who moved from FHG to FHO, by the name to show."""

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_DAY = "2016-11-01"  # the shares are replaced, so any day of Alberta's rules will do


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


def dial(practices: Practices, share: float, *, health_profile: bool = True, negation: bool = False) -> tuple:
    """A model that pays `share` of a capitation rate and the rest of each fee, at the same total for every share.

    Alberta's engine with other shares. The base rate is such that full capitation pays for all enrolled patients what
    their fees are. Rates differ by age and sex, and by health profile unless that is off. With `negation` the same
    share of each fee elsewhere is taken back.
    """
    groups = None if health_profile else {0: 1.0}
    pure = rulebook("alberta").with_values({"capitation_share": 1, "fee_share": 0, "negation.share": 0})
    rate = 100.0
    paid = alberta_blended_capitation(
        practices, on=_DAY, rules=pure, schedule=illustrative_schedule(rate), health_profile=groups
    ).table["capitation"]
    fees = (practices.patient("fees") * practices.patient("enrolled")).sum()
    rules = rulebook("alberta").with_values(
        {"capitation_share": share, "fee_share": 1 - share, "negation.share": share if negation else 0}
    )
    schedule = illustrative_schedule(rate * fees / paid.sum())
    terms = {"on": _DAY, "rules": rules, "schedule": schedule, "health_profile": groups}
    return alberta_blended_capitation, terms


def dials(practices: Practices, *, health_profile: bool = True, negation: bool = False) -> dict[str, tuple]:
    """The dial at five positions, by a label such as "25 %"."""
    return {
        f"{share:.0%}": dial(practices, share, health_profile=health_profile, negation=negation) for share in _SHARES
    }


def dial_table(practices: Practices, years: Sequence[Practices]) -> pd.DataFrame:
    """What changes from 0 to 100 % capitation; `years` are the same patients in other years.

    Returns
    -------
    DataFrame
        By share: `per_patient`, `sd_between` and `sd_within` (CAD per patient), the marginal pay of a `visit`, a
        `visit_elsewhere` (with negation) and an `enrolled_patient`.
    """
    models = dials(practices)
    summary = compare_models(practices, models, draws=len(years), redraw=lambda year: years[year - 1]).summary
    charged = {f"{label}, charged": model for label, model in dials(practices, negation=True).items()}
    more = marginal_revenue(practices, models | charged)["mean"].unstack("change")
    table = summary[["per_patient", "sd_between", "sd_within"]].join(more[["visit", "enrolled_patient"]])
    return table.assign(visit_elsewhere=more.loc[list(charged), "visit_elsewhere"].to_numpy()).set_axis(_SHARES)


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
