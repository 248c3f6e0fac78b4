"""What does blended capitation pay for? Ontario, Alberta and British Columbia on the same synthetic patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

import apmkit as apm
from apmkit.payment import (
    ModelComparison,
    Payment,
    Practices,
    alberta_blended_capitation,
    bc_lfp,
    compare_models,
    fee_for_service,
    ontario_fhg,
    ontario_fho,
)
from apmkit.studies import Parameters, Result, Study, StudyError
from apmkit.studies.arithmetic import calculated
from apmkit.studies.canada_blended_capitation_experiments import bonus_table, by_place
from apmkit.studies.canada_blended_capitation_words import cad, finding, marginal_mark, marginal_sentence

MODELS = ("Fee-for-service", "FHG", "FHN", "FHO", "Alberta", "BC LFP")
PUBLISHED = {
    "urban": ("Practice in a city", "lower"),
    "visits": ("Visits to the practice", "lower"),
    "after_hours": ("Visits after hours", "lower"),
    "emergency": ("Emergency visits", "higher"),
}
"""What goes with a lower or a higher access bonus in Glazier et al. (2019)."""

FACTS = {
    "Mean bonus per physician": "over CAD 17,000",
    "Mean in the group with the highest bonus": "CAD 36,570",
    "Mean in the group with the lowest bonus": "none",
}
"""Access bonus as reported by Glazier et al. (2019) and the news about it; by the name to show."""

_BEGAN = {"Alberta": "2016-11-01", "BC LFP": "2023-02-01"}
_PHYSICIANS = 3
_AGES = ((0, "0-14"), (15, "15-44"), (45, "45-64"), (65, "65-74"), (75, "75 and over"))
_ELSEWHERE = ((0, "none"), (1, "1"), (2, "2 or 3"), (4, "4 or more"))


class BlendedCapitationParameters(Parameters):
    """Parameters of the study; see ``apmkit studies canada/blended_capitation``."""

    rules_on: Literal["2012-04-01", "2019-04-01", "2024-05-01"] = Field(
        "2019-04-01", description="Day whose rules pay; a province that began later pays by its first ones."
    )
    base: Literal["Fee-for-service", "FHG"] = Field(
        "Fee-for-service", description="Model that gains and losses are measured against."
    )
    budget: Literal["same_total", "as_ruled"] = Field(
        "same_total", description="Compare models scaled to pay as much in all as the base, or as their rates are."
    )
    panel_size: int = Field(1888, ge=600, le=2500, description="Mean patients per physician.")
    outside_use: float = Field(0.24, ge=0.0, le=0.6, description="Share of visits that go to other family doctors.")
    n_practices: int = Field(30, ge=20, le=80, description="Synthetic practices, of three physicians on average.")
    seed: int = Field(1, ge=0, le=9999, description="Seed of the synthetic patients.")


def practices_of(
    parameters: BlendedCapitationParameters,
    *,
    year: int = 0,
    panel_size: int | None = None,
    n_practices: int | None = None,
    assumptions: Mapping[str, float] | None = None,
) -> Practices:
    """The synthetic practices, with other visits in another year; every other number is an assumption of the library.

    Raises
    ------
    StudyError
        All practices of this draw are in cities, or none.
    """
    practices = apm.synthetic_practices(
        "Ontario",
        n_practices=n_practices or parameters.n_practices,
        physicians=_PHYSICIANS,
        patients_per_physician=panel_size or parameters.panel_size,
        assumptions={"elsewhere": parameters.outside_use, **(assumptions or {})},
        year=year,
        seed=parameters.seed,
    )
    if practices.practices["urban"].nunique() < 2:
        raise StudyError(
            f"With seed={parameters.seed} and n_practices={parameters.n_practices} no practice is outside the cities; "
            "give another seed or more practices."
        )
    return practices


def days(parameters: BlendedCapitationParameters) -> dict[str, str]:
    """The day whose rules pay under each model; ISO dates sort as text."""
    return {model: max(parameters.rules_on, _BEGAN.get(model, "")) for model in MODELS}


def models_of(parameters: BlendedCapitationParameters) -> dict:
    """The models to compare, as `compare_models` takes them."""
    on = days(parameters)
    engines = (
        (fee_for_service, {}),
        (ontario_fhg, {}),
        (ontario_fho, {"model": "FHN"}),
        (ontario_fho, {"model": "FHO"}),
        (alberta_blended_capitation, {}),
        (bc_lfp, {}),
    )
    return {model: (engine, {"on": on[model], **terms}) for model, (engine, terms) in zip(MODELS, engines, strict=True)}


def payments(practices: Practices, parameters: BlendedCapitationParameters) -> dict[str, Payment]:
    """What each model pays."""
    return {model: engine(practices, **terms) for model, (engine, terms) in models_of(parameters).items()}


def compared(
    practices: Practices, parameters: BlendedCapitationParameters, years: Sequence[Practices] = ()
) -> ModelComparison:
    """Revenue under all models, scaled to the total of the base where the parameters say so.

    Parameters
    ----------
    practices : Practices
    years : sequence of Practices
        The same patients in other years, for the variance from year to year.
    """
    comparison = compare_models(
        practices,
        models_of(parameters),
        base=parameters.base,
        draws=len(years),
        redraw=lambda year: years[year - 1],
    )
    return comparison.at_same_total() if parameters.budget == "same_total" else comparison


def by_component(found: Mapping[str, Payment], practices: Practices) -> pd.DataFrame:
    """CAD per physician by component (rows) and model, over all practices."""
    physicians = practices.practice("physicians").sum()
    return pd.DataFrame({model: payment.table.sum() / physicians for model, payment in found.items()})


def patient_groups(practices: Practices) -> dict[str, pd.Series]:
    """Each patient's group by age, by risk (fifths) and by visits to other family doctors."""
    people = practices.patients
    fifth = pd.qcut(
        people["risk_score"], 5, labels=["lowest fifth", "second fifth", "third fifth", "fourth fifth", "highest fifth"]
    )
    banded = {
        name: pd.cut(
            people[column], [*(start for start, _ in bands), np.inf], right=False, labels=[b for _, b in bands]
        )
        for name, column, bands in (("Age", "age", _AGES), ("Visits elsewhere", "visits_elsewhere", _ELSEWHERE))
    }
    return {"Age": banded["Age"], "Risk": fifth, "Visits elsewhere": banded["Visits elsewhere"]}


def pay_by_group(practices: Practices, parameters: BlendedCapitationParameters) -> pd.DataFrame:
    """What the patients of a group bring: pay with them less pay without them, in CAD per patient of the group.

    Without them the practice is smaller: physicians shrink with patients and hours with visits. Caps and floors count,
    so that groups need not add up to the total.

    Returns
    -------
    DataFrame
        By `kind` and `group`: CAD per patient under each model, scaled as the comparison is.
    """
    models = models_of(parameters)
    whole = {model: engine(practices, **terms).total.sum() for model, (engine, terms) in models.items()}
    factor = {model: whole[parameters.base] / whole[model] for model in models}
    visits, rows = practices.sums(practices.patient("visits")), {}
    for kind, groups in patient_groups(practices).items():
        for group in groups.cat.categories:
            gone = (groups == group).to_numpy()
            if not gone.any() or np.bincount(practices.rows[~gone], minlength=len(practices.index)).min() == 0:
                continue  # nobody in the group, or a practice of nobody else
            rest = Practices(practices.patients[~gone], practices.practices, "Canada", practices.synthetic)
            rest = rest.change(
                practices={
                    "physicians": practices.practice("physicians") * rest.n_patients / practices.n_patients,
                    "hours": practices.practice("hours") * rest.sums(rest.patient("visits")) / np.maximum(visits, 1),
                }
            )
            rows[kind, group] = {
                model: (whole[model] - engine(rest, **terms).total.sum())
                / gone.sum()
                * (factor[model] if parameters.budget == "same_total" else 1)
                for model, (engine, terms) in models.items()
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["kind", "group"])


def beside_facts(bonus: pd.DataFrame, on: str) -> pd.DataFrame:
    """The simulated access bonus beside the published one, with the column names a reader sees."""
    sorted_ = bonus["bonus"].sort_values()
    fifth = max(len(sorted_) // 5, 1)
    sign = marginal_mark("FHO", "visit_elsewhere", on)
    simulated = (sorted_.mean(), sorted_.tail(fifth).mean(), sorted_.head(fifth).mean())
    return pd.DataFrame(
        {
            "Access bonus of a year": list(FACTS),
            "Published": list(FACTS.values()),
            "Simulated": [f"{cad(value)}{sign}" if value >= 0.5 else "none" for value in simulated],
        }
    )


def bonus_links(parameters: BlendedCapitationParameters) -> pd.DataFrame:
    """How the share of the bonus that is kept goes with what patients do, over 200 practices with panels of 600.

    Returns
    -------
    DataFrame
        By measure: Spearman's rank `correlation` with `ci_low` and `ci_high` (missing where nothing varies), and the
        direction `published` in Glazier et al. (2019).

    References
    ----------
    Fieller, Hartley and Pearson (1957), Biometrika 44:470-481 (variance of the transformed rank correlation).
    """
    practices = practices_of(parameters, panel_size=600, n_practices=200)
    ranks = bonus_table(practices, parameters.rules_on).astype(float).rank()
    correlation = np.array([ranks["kept"].corr(ranks[name]) for name in PUBLISHED])
    z, half = np.arctanh(correlation), 1.96 * np.sqrt(1.06 / (len(ranks) - 3))
    words, direction = zip(*PUBLISHED.values(), strict=True)
    return pd.DataFrame(
        {"correlation": correlation, "ci_low": np.tanh(z - half), "ci_high": np.tanh(z + half), "published": direction},
        index=list(words),
    )


def bonus_under_other_choices(parameters: BlendedCapitationParameters) -> pd.DataFrame:
    """Share of the highest bonus that practices keep, by place, under other assumptions and other draws.

    Panels are of 600, which changes amounts and not shares.
    """
    choices: dict[str, tuple[dict, dict]] = {
        "As chosen": ({}, {}),
        **{f"Outside use {share:.0%}": ({"outside_use": share}, {}) for share in (0.1, 0.2, 0.3, 0.4)},
        "As many walk-in clinics outside cities": ({}, {"elsewhere_rural": 1.0}),
        "Emergency visits alike everywhere": ({}, {"ed_rural": 1.0}),
        "Fee of CAD 30 a visit": ({}, {"fee": 30.0}),
        "Fee of CAD 50 a visit": ({}, {"fee": 50.0}),
        **{f"Other draw {i}": ({"seed": (parameters.seed + i) % 10_000}, {}) for i in (1, 2, 3, 4)},
    }
    rows = {}
    for name, (change, assumptions) in choices.items():
        varied = parameters.model_copy(update=change)
        try:
            practices = practices_of(varied, panel_size=600, assumptions=assumptions)
        except StudyError:  # a draw without practices outside the cities
            continue
        rows[name] = by_place(bonus_table(practices, varied.rules_on))["kept"]
    return pd.DataFrame.from_dict(rows, orient="index")


def estimate(parameters: BlendedCapitationParameters) -> Result:
    """The access bonus by place, what one more visit pays in each model, and revenue with its spread."""
    practices = practices_of(parameters)
    place = by_place(bonus_table(practices, parameters.rules_on))
    priced = apm.marginal_revenue(practices, models_of(parameters))
    marginal = priced["mean"]
    summary = compared(practices, parameters).summary

    def plain(terms, values, estimand, outcome, **details):
        return calculated(
            terms, values, estimand=estimand, outcome=outcome,
            estimator="Payment rules applied to synthetic practices", n_obs=len(practices.patients),
            n_units=len(practices.index), seed=parameters.seed, details=details,
        )  # fmt: skip

    return Result(
        estimates={
            "bonus_gap": plain(
                ["outside cities less in cities", "outside cities", "in cities"],
                place.loc[["difference", "outside cities", "in cities"], "bonus"],
                "Mean access bonus of a FHO",
                "CAD per physician and year",
            ),
            "marginal": plain(
                [f"{model}: {change}" for model, change in marginal.index],
                marginal,
                "Marginal pay",
                "CAD",
                marginal=priced,
            ),
            "revenue": plain(list(summary.index), summary["per_physician"], "Revenue", "CAD per physician and year"),
            "spread": plain(
                list(summary.index), summary["sd_between"], "SD of revenue over practices", "CAD per patient and year"
            ),
        },
        headline="bonus_gap",
        sentences=(finding(place, parameters.rules_on), marginal_sentence(marginal, parameters.rules_on)),
        notes=(
            "The patients and practices are synthetic: no amount is that of a real practice.",
            "Capitation rates are illustrative, made up for teaching, and other values of the rules are unconfirmed.",
            "Numbers follow from the rules by arithmetic and have no interval.",
        ),
        axis="Access bonus outside cities less in cities, CAD per physician and year",
    )


STUDY = Study(
    name="canada/blended_capitation",
    title="What does blended capitation pay for?",
    country="Simulation",
    data=(),
    Parameters=BlendedCapitationParameters,
    estimate=estimate,
    grid={
        "rules_on": ("2019-04-01", "2024-05-01"),  # those of 2012 pay these patients as those of 2019
        "outside_use": (0.1, 0.24, 0.4),
        "panel_size": (1400, 1888, 2400),
    },
)
