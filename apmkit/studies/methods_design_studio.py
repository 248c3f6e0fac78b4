"""A contract on the bench: described, classified, scored, and paid out beside others on synthetic patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, model_validator

from apmkit.contract import (
    Contract,
    ContractError,
    classify,
    gallery,
    practice_model,
    practice_payments,
    preferred_design,
    read_contract,
)
from apmkit.errors import ApmkitError
from apmkit.estimate import Estimate
from apmkit.payment import (
    ModelComparison,
    Practices,
    capitation_dial,
    compare_models,
    fee_for_service,
    marginal_revenue,
    practice_assumptions,
    synthetic_practices,
)
from apmkit.studies import Parameters, Result, Study
from apmkit.studies import methods_design_studio_words as words
from apmkit.studies.arithmetic import calculated
from apmkit.studies.parameters import NameOrFile, is_file

BASE = "Fee-for-service"
CURRENCY = {"US": "USD", "Canada": "CAD"}
DAYS = {"US": "2021-07-01", "Canada": "2024-05-01"}
"""A day of each country on which the rules of all its contracts with pay for practices hold."""

LABELS = {
    "cpc_plus_track_1": "CPC+ track 1",
    "cpc_plus_track_2": "CPC+ track 2",
    "primary_care_first": "Primary Care First",
    "ontario_fhg": "FHG",
    "ontario_fhn": "FHN",
    "ontario_fho": "FHO",
    "alberta_blended_capitation": "Alberta",
    "bc_lfp": "BC LFP",
}
"""The contracts of the gallery with pay of their own for practices, by the name to show."""

_USUAL = {
    "US": ("cpc_plus_track_2", "primary_care_first", "cpc_plus_track_1"),
    "Canada": ("ontario_fhg", "alberta_blended_capitation", "ontario_fho"),
}
_FLAVOURS = {"US": "US", "Canada": "Ontario"}
_PRACTICES, _PHYSICIANS, _FIFTHS = 24, 3, 5

Model = tuple[Callable, Mapping[str, Any]]


def own_model(contract: Contract) -> Model | None:
    """What pays practices under a contract; none where that is fees alone, or nothing that can be computed."""
    if not practice_payments(contract)["computed"].any():
        return None
    model = practice_model(contract, on=DAYS[contract.country])
    return None if model[0] is fee_for_service else model


def _readable(path: Path) -> Contract:
    """The contract of a user's file, once a few patients could be paid by it."""
    contract = read_contract(path)
    try:
        if (model := own_model(contract)) is not None:
            few = synthetic_practices(_FLAVOURS[contract.country], n_practices=2, patients_per_physician=50)
            compare_models(few, {contract.name: model})
    except ContractError:
        raise
    except ApmkitError as error:
        raise ContractError(f"{path.name}: {error}") from None
    return contract


class DesignStudioParameters(Parameters):
    """Parameters of the studio; see ``apmkit studies methods/design_studio``."""

    contract: Annotated[str, NameOrFile(tuple(gallery()), _readable)] = Field(
        "ontario_fho", description="The contract on the bench: a name of the gallery, or your own file."
    )
    against: tuple[Literal[tuple(LABELS)], ...] = Field(
        (), description="One or two contracts of its country to pay beside it; none: the page chooses two."
    )
    panel_size: int = Field(600, ge=300, le=2500, description="Mean patients per physician.")
    mean_risk: float = Field(1.0, ge=0.7, le=1.5, description="How sick patients are: mean risk, 1 as assumed.")
    risk_spread: float = Field(
        0.15, ge=0.0, le=0.5, description="How unlike practices are: standard deviation of their log risk."
    )
    capitation_share: float = Field(0.5, ge=0.0, le=1.0, description="Share of fees that capitation replaces.")
    seed: int = Field(1, ge=0, le=9999, description="Seed of the synthetic patients.")

    @model_validator(mode="after")
    def _against_fits(self):
        if len(self.against) > 2:
            raise ValueError(f"against={','.join(self.against)} names {len(self.against)}; name one or two")
        if self.contract in self.against:
            raise ValueError(f"against={self.contract} is the contract itself; name another")
        country = read_contract(self.contract).country
        for name in self.against:
            if gallery(name).country != country:
                fit = ", ".join(each for each in LABELS if gallery(each).country == country and each != self.contract)
                raise ValueError(f"against={name} is of another country and currency; name one or two of {fit}")
        return self


@dataclass(frozen=True, eq=False)
class Studio:
    """A contract, those beside it, and the practices that all of them pay.

    `models` are those to pay, fees first, then the contract if it has pay of its own for practices, then the others;
    † in a label marks rules in doubt. `subject` is the label that the page follows: the contract, else the first other.
    """

    contract: Contract
    others: tuple[Contract, ...]
    practices: Practices
    models: dict[str, Model]
    subject: str
    simulated: bool

    @property
    def currency(self) -> str:
        """USD or CAD."""
        return CURRENCY[self.contract.country]

    @property
    def day(self) -> str:
        """The day whose rules pay."""
        return DAYS[self.contract.country]


def practices_of(
    parameters: DesignStudioParameters, country: str, *, year: int = 0, assumptions: Mapping[str, float] | None = None
) -> Practices:
    """Synthetic practices of a country, as sick and as unlike as the parameters say.

    With mean risk m, risk scores, admissions and spending are m times those assumed; visits and emergency visits rise
    by the assumed elasticities.
    """
    given = tuple((assumptions or {}).items())
    p = parameters
    return _practices(_FLAVOURS[country], p.panel_size, p.mean_risk, p.risk_spread, p.seed, year, given)


@lru_cache(maxsize=8)
def _practices(flavour, panel_size, mean_risk, risk_spread, seed, year, assumptions) -> Practices:
    a = practice_assumptions(flavour)["value"].to_dict() | dict(assumptions)
    scaled = {
        "visits": a["visits"] * mean_risk ** a["visits_by_risk"],
        "ed_visits": a["ed_visits"] * mean_risk ** a["ed_by_risk"],
        "admissions": a["admissions"] * mean_risk,
        "spending": a["spending"] * mean_risk,
    }
    practices = synthetic_practices(
        flavour,
        n_practices=_PRACTICES,
        physicians=_PHYSICIANS,
        patients_per_physician=panel_size,
        assumptions={"practice_risk_sd": risk_spread, **dict(assumptions), **scaled},
        year=year,
        seed=seed,
    )
    return practices.change(patients={"risk_score": practices.patient("risk_score") * mean_risk})


def studio(parameters: DesignStudioParameters) -> Studio:
    """The contract of the parameters with its practices and what it is paid beside."""
    contract = read_contract(parameters.contract)
    usual = [name for name in _USUAL[contract.country] if name != parameters.contract][:2]
    others = tuple(gallery(name) for name in parameters.against or usual)
    practices = practices_of(parameters, contract.country)
    own = is_file(parameters.contract)
    named = {
        _label(each, own and each is contract): model
        for each in (contract, *others)
        if (model := own_model(each)) is not None
    }
    models = {
        f"{label}{' †' if engine(practices, **terms).unconfirmed else ''}": (engine, terms)
        for label, (engine, terms) in named.items()
    }
    return Studio(
        contract=contract,
        others=others,
        practices=practices,
        models={BASE: (fee_for_service, {"on": DAYS[contract.country]}), **models},
        subject=next(iter(models)),
        simulated=own_model(contract) is not None,
    )


def _label(contract: Contract, own_file: bool) -> str:
    if own_file:
        return f"{contract.name.replace('_', ' ')} (own file)"
    return LABELS.get(contract.name, contract.title)


def compared(bench: Studio, parameters: DesignStudioParameters, *, years: int = 0) -> ModelComparison:
    """What all models pay, as their rules say; `years` further years of the same patients give the variance in time."""
    later = [practices_of(parameters, bench.contract.country, year=year) for year in range(1, years + 1)]
    return compare_models(bench.practices, bench.models, draws=years, redraw=lambda year: later[year - 1])


def gap_of(bench: Studio, practices: Practices | None = None) -> pd.Series:
    """Gain per patient over fees, at the same total, of practices with the sickest and with the healthiest patients.

    Returns
    -------
    Series
        `gap` (sickest less healthiest), `sickest` and `healthiest`: means of the last and first fifth by mean risk.
    """
    models = {label: bench.models[label] for label in (BASE, bench.subject)}
    gains = compare_models(practices or bench.practices, models).at_same_total().gains("risk", groups=_FIFTHS)["change"]
    low, high = gains[bench.subject, 1], gains[bench.subject, _FIFTHS]
    return pd.Series({"gap": high - low, "sickest": high, "healthiest": low})


def gaps_under_other_choices(bench: Studio, parameters: DesignStudioParameters) -> pd.DataFrame:
    """`gap_of` in other draws, with other sickness and under other assumptions, one at a time; one row a choice."""
    choices: dict[str, tuple[dict, dict]] = {
        "As chosen": ({}, {}),
        **{f"Other draw {i}": ({"seed": (parameters.seed + i) % 10_000}, {}) for i in (1, 2, 3)},
        "Patients less sick: mean risk 0.8": ({"mean_risk": 0.8}, {}),
        "Patients sicker: mean risk 1.25": ({"mean_risk": 1.25}, {}),
        "Practices more alike: spread 0.05": ({"risk_spread": 0.05}, {}),
        "Practices less alike: spread 0.3": ({"risk_spread": 0.3}, {}),
        "Visits hardly rise with risk": ({}, {"visits_by_risk": 0.2}),
        "Visits rise as risk does": ({}, {"visits_by_risk": 1.0}),
        "Practices with one style of visits": ({}, {"practice_visits_sd": 0.0}),
    }
    rows = {}
    for name, (change, assumptions) in choices.items():
        varied = parameters.model_copy(update=change)
        rows[name] = gap_of(bench, practices_of(varied, bench.contract.country, assumptions=assumptions))
    return pd.DataFrame.from_dict(rows, orient="index")


def estimate(parameters: DesignStudioParameters) -> Result:
    """Category and score of the contract; who gains by sickness; what one more visit pays; the dial at one share."""
    bench = studio(parameters)
    verdicts = preferred_design(bench.contract)["verdict"].value_counts()
    counts = {verdict: int(verdicts.get(verdict, 0)) for verdict in ("met", "partly", "not met", "cannot be told")}
    dialled = practices_of(parameters, "Canada")
    share = capitation_dial(dialled, parameters.capitation_share)
    dial = marginal_revenue(dialled, {"dial": share}, seed=parameters.seed).loc["dial", "mean"]
    # Computed for the contract alone: another one's numbers would stand under its name.
    found = {}
    if bench.simulated:
        gap, more = gap_of(bench), marginal_of(bench, parameters, {bench.subject: bench.models[bench.subject]})
        found = {"gap": gap, "marginal": more.loc[bench.subject, "mean"]}
    unit = f"{bench.currency} per patient and year"

    def plain(values: Mapping | pd.Series, estimand: str, outcome: str) -> Estimate:
        terms, numbers = zip(*values.items(), strict=True)
        return calculated(
            terms, numbers, estimand=estimand, outcome=outcome,
            estimator="Payment rules applied to synthetic practices", n_obs=len(bench.practices.patients),
            n_units=len(bench.practices.index), seed=parameters.seed,
        )  # fmt: skip

    units = {"gap": ("Gain over fee-for-service at the same total", unit), "marginal": ("Marginal pay", bench.currency)}
    file = parameters.checksums().get("contract")
    return Result(
        estimates={
            **{name: plain(values, *units[name]) for name, values in found.items()},
            "score": plain(counts, "Criteria of the preferred design", "criteria"),
            "dial": plain(dial, f"Marginal pay with {parameters.capitation_share:.0%} capitation", "CAD"),
        },
        headline="gap" if found else "score",
        sentences=(
            words.placed(bench.contract, classify(bench.contract), counts),
            *words.found(bench, found),
            words.dial(dial, parameters.capitation_share),
        ),
        notes=(
            "The patients and practices are synthetic: no amount is that of a real practice, and none has an interval.",
            "† marks a model that rests on unconfirmed or only partly confirmed values of the rules.",
            *([f"The contract is the file {Path(parameters.contract).name}, SHA-256 {file}."] if file else []),
        ),
        axis=f"Gain of practices with the sickest over those with the healthiest patients, {unit}"
        if found
        else f"Criteria of the preferred design that are met, of {sum(counts.values())}",
    )


def marginal_of(bench: Studio, parameters: DesignStudioParameters, models: Mapping[str, Model]) -> pd.DataFrame:
    """What one more of each event pays; `models` is a part or all of those of the studio."""
    return marginal_revenue(bench.practices, models, seed=parameters.seed)


STUDY = Study(
    name="methods/design_studio",
    title="What does a contract do before anyone signs it?",
    country="Simulation",
    data=(),
    Parameters=DesignStudioParameters,
    estimate=estimate,
    grid={
        "contract": tuple(sorted(LABELS)),
        "risk_spread": (0.05, 0.15, 0.3),
        "capitation_share": (0.0, 0.5, 1.0),
    },
)
