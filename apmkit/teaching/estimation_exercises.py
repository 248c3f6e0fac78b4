"""Exercises on what a reform did, and on how sure one can be."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from apmkit.teaching.exercise import Exercise, Solution, normal, pick, pick_several

if TYPE_CHECKING:
    from apmkit.panel import Panel

_STATES = (
    *("AK", "AL", "AR", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "HI", "IA", "ID", "IL", "IN", "KS", "KY"),
    *("LA", "MA", "ME", "MI", "MN", "MO", "MS", "MT", "NC", "ND", "NE", "NH", "NJ", "NM", "NV", "NY", "OH", "OK"),
    *("OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VA", "WA", "WI", "WV", "WY"),
)
"""Without Maryland and Vermont, which had reforms of their own."""
_SPENDING = "spending_per_capita_standardised"
_ADMISSIONS = "Ambulatory Care Sensitive Conditions: Overall"
_PERIOD = 2011


# -- a study with another window ---------------------------------------------------------------------------------------


def _window(random: Random) -> dict[str, Any]:
    from apmkit.studies.us_mssp_downside_risk import OUTCOMES

    outcomes = [name for name in OUTCOMES if name not in ("savings_rate", "quality_score")]
    return {
        "outcome": pick(random, outcomes),
        "control": pick(random, ("not_yet_treated", "never_treated")),
        "first_year": pick(random, (2013, 2014, 2015, 2016)),
        "last_year": pick(random, (2021, 2022, 2023)),
        "leave_out_years": pick(
            random, ([], ["2019"], ["2020"], ["2021"], ["2019", "2020"], ["2019", "2021"], ["2020", "2021"])
        ),
    }


def _ask_window(given) -> str:
    without = f", without {' and '.join(given['leave_out_years'])}" if given["leave_out_years"] else ""
    others = given["control"].replace("_", " ").replace("treated", "at two-sided risk")
    return (
        f"Repeat the study with the outcome `{given['outcome']}`, the years {given['first_year']} to "
        f"{given['last_year']}{without}, and ACOs {others} as the comparison.\n\nWhat is the estimated effect of "
        "two-sided risk? `apmkit results` shows it in the column `estimate`. In your sentence say what the interval "
        "cannot rule out."
        "\n\n`apmkit datasets show mssp` says what each column means."
    )


def _start_window(given) -> str:
    years = ",".join(given["leave_out_years"])
    options = {name: given[name] for name in ("outcome", "control", "first_year", "last_year")}
    options |= {"leave_out_years": years} if years else {}
    chosen = " ".join(f"-p {name}={value}" for name, value in options.items())
    return f"apmkit run us/mssp_downside_risk {chosen}\napmkit results"


def _solve_window(given) -> Solution:
    from apmkit import studies

    study = studies.get("us/mssp_downside_risk")

    def effect(**parameters) -> float:
        with warnings.catch_warnings(action="ignore"):
            return float(study.run(study.parameters(**parameters)).estimates["att"].table["estimate"].iloc[0])

    other = "never_treated" if given["control"] == "not_yet_treated" else "not_yet_treated"
    return Solution(
        effect(**given),
        {
            "it is the effect against the other comparison group": effect(**{**given, "control": other}),
            "it is the effect with all years of the study": effect(outcome=given["outcome"], control=given["control"]),
        },
    )


# -- staggered adoption, simulated -------------------------------------------------------------------------------------


def _seed(random: Random) -> dict[str, Any]:
    return {"seed": int(random.random() * 2**48)}


def clinics(given: Mapping[str, Any]) -> pd.DataFrame:
    """Sixty made-up clinics over ten years, some of which start a payment model; effects grow with time."""
    random = Random(given["seed"])
    first, growth = -4 * random.random(), -2 - 6 * random.random()
    years = range(2010, 2020)
    shocks = [normal(random, 3 * place, 4) for place, _ in enumerate(years)]
    rows = []
    for clinic in range(1, 61):
        start = (2013, 2015, 2017, None)[clinic % 4]
        level = normal(random, 400, 40)
        for year, shock in zip(years, shocks, strict=True):
            effect = 0 if start is None or year < start else first + growth * (year - start)
            visits = round(level + shock + effect + normal(random, 0, 5), 2)
            rows.append((f"C{clinic:02d}", year, start, visits))
    return pd.DataFrame(rows, columns=["clinic", "year", "start", "ed_visits_per_1000"]).astype({"start": "Int64"})


def _ask_clinics(given) -> str:
    return (
        "Sixty clinics were observed over ten years. Three quarters of them started a payment model, in three "
        "waves. One row is a clinic in a year: `start` is its first year under the model, empty if never, and "
        "`ed_visits_per_1000` its patients' visits to the emergency department. Estimate the effect on them by "
        "two-way fixed effects, and by Callaway and Sant'Anna with never-treated clinics as the comparison "
        "(aggregation `simple`).\n\nBy how much does two-way fixed effects differ: its estimate less the other? In "
        "your sentence say why it differs."
    )


def _start_clinics(given) -> str:
    return f"""import pandas as pd

import apmkit as apm

clinics = pd.read_csv("{given["file"]}")
panel = apm.Panel(clinics, unit="clinic", time="year", outcome="ed_visits_per_1000", cohort="start")"""


def _solve_clinics(given) -> Solution:
    import apmkit as apm

    panel = apm.Panel(clinics(given), unit="clinic", time="year", outcome="ed_visits_per_1000", cohort="start")
    twfe = float(apm.twfe(panel).table["estimate"].iloc[0])
    other = float(apm.callaway_santanna(panel, control="never_treated").aggregate("simple").table["estimate"].iloc[0])
    return Solution(
        twfe - other,
        {
            "it is the estimate of two-way fixed effects alone": twfe,
            "it is that of Callaway and Sant'Anna alone": other,
        },
    )


# -- donors ------------------------------------------------------------------------------------------------------------


def _donors(random: Random) -> dict[str, Any]:
    # Six: with five years before the reform, more donors could fit in many ways and the answer would not be one number.
    return {"donors": pick_several(random, _STATES, 6), "last_year": pick(random, (2022, 2023, 2024))}


def _states(states, last_year: int, *, starts: Mapping[str, int]) -> Panel:
    import apmkit as apm

    table = apm.load("gv_state")
    table = table[table["state"].isin([*starts, *states]) & (table["year"] <= last_year)]
    table = table.assign(start=table["state"].map(starts))
    with warnings.catch_warnings(action="ignore"):
        return apm.Panel(table, unit="state", time="year", outcome=_SPENDING, cohort="start")


def _ask_donors(given) -> str:
    return (
        "Since 2019 Maryland answers for the total cost of care of its Medicare patients. Build a synthetic "
        f"Maryland for `{_SPENDING}` of the years 2014 to {given['last_year']}, with these donors only: "
        f"{', '.join(given['donors'])}.\n\nWhat is the mean gap between Maryland and its synthetic control in the "
        f"years 2019 to {given['last_year']}? In your sentence say what the fit before 2019 tells you."
        "\n\n`apmkit datasets show gv_state` says what each column means."
    )


def _start_donors(given) -> str:
    return f"""import apmkit as apm

donors = {given["donors"]}
states = apm.load("gv_state")
states = states[states["state"].isin(["MD", *donors]) & (states["year"] <= {given["last_year"]})]
states = states.assign(start=states["state"].map({{"MD": 2019}}))"""


def _solve_donors(given) -> Solution:
    import apmkit as apm

    panel = _states(given["donors"], given["last_year"], starts={"MD": 2019})
    with warnings.catch_warnings(action="ignore"):
        gap = apm.synthetic_control(panel, placebo=None).table["estimate"].iloc[0]
        parallel = apm.difference_in_differences(panel, placebo=None).table["estimate"].iloc[0]
    return Solution(
        float(gap), {"it is difference-in-differences, which gives all donors the same weight": float(parallel)}
    )


# -- power -------------------------------------------------------------------------------------------------------------


def _plan(random: Random) -> dict[str, Any]:
    return {
        "states": pick_several(random, _STATES, 30),
        "treated": 4 + int(random.random() * 9),
        "before": pick(random, (2, 3)),
        "after": pick(random, (2, 3)),
    }


def _ask_plan(given) -> str:
    return (
        f"A payment reform is planned in {given['treated']} states, to be compared with {30 - given['treated']} "
        f"others by difference-in-differences over {given['before']} years before and {given['after']} after. The "
        f"outcome is `{_SPENDING}`. Take the scatter from the years 2014 to 2024 of these states, with Maryland and "
        f"Vermont marked as treated from 2014: {', '.join(given['states'])}.\n\nWhich effect can the study find with "
        "a chance of 80 percent, at the 5 percent level?"
        "\n\n`apmkit datasets show gv_state` says what each column means."
    )


def _start_plan(given) -> str:
    return f"""import apmkit as apm

chosen = {given["states"]}
states = apm.load("gv_state")
states = states[states["state"].isin(["MD", "VT", *chosen]) & (states["year"] <= 2024)]
states = states.assign(start=states["state"].map({{"MD": 2014, "VT": 2014}}))
past = apm.Panel(states, unit="state", time="year", outcome="{_SPENDING}", cohort="start")"""


def _solve_plan(given) -> Solution:
    import apmkit as apm

    past = _states(given["states"], 2024, starts={"MD": 2014, "VT": 2014})
    plan = apm.did_precision(
        past, treated=given["treated"], controls=30 - given["treated"], before=given["before"], after=given["after"]
    )
    found = apm.minimum_detectable_effect(plan).iloc[0]
    return Solution(
        float(found["minimum_detectable_effect"]),
        {
            "it is the standard error: ask which effect can be found with it": float(found["se"]),
            "an effect of this size is found every second time only": float(1.96 * found["se"]),
        },
    )


# -- synthesis ---------------------------------------------------------------------------------------------------------


def _areas(random: Random) -> dict[str, Any]:
    return {"areas": pick_several(random, sorted(_ratios().index), 10)}


def _ratios() -> pd.DataFrame:
    """By metropolitan area: the ratio of the rates of the poorest and the richest fifth, with its interval."""
    import apmkit as apm

    table = apm.load("metro_hospitalisation")
    here = (
        table["indicator"].eq(_ADMISSIONS) & table["first_fiscal_year"].eq(_PERIOD) & table["income_quintile"].eq(1)
    ).fillna(False)
    return (
        table[here].set_index("area")[["rate_ratio", "rate_ratio_ci_low", "rate_ratio_ci_high"]].astype(float).dropna()
    )


def _ask_areas(given) -> str:
    return (
        "The Canadian Institute for Health Information gives for each metropolitan area how many times as high the "
        "rate of avoidable hospitalisation is in the poorest fifth as in the richest, with a 95% interval "
        f"({_PERIOD}-12 to 2015-16). Your areas are {', '.join(given['areas'])}.\n\nTake logarithms, and the "
        "standard error from the width of the "
        'interval. What is the mean ratio by a random-effects meta-analysis (`method="DL"`), as a ratio? In your '
        "sentence say what to expect in one more area."
        "\n\n`apmkit datasets show metro_hospitalisation` says what each column means."
    )


def _start_areas(given) -> str:
    return f"""import numpy as np

import apmkit as apm

areas = {given["areas"]}
table = apm.load("metro_hospitalisation")
table = table[
    (table["indicator"] == "{_ADMISSIONS}")
    & (table["first_fiscal_year"] == {_PERIOD})
    & (table["income_quintile"] == 1)
    & table["area"].isin(areas)
]
table[["area", "rate_ratio", "rate_ratio_ci_low", "rate_ratio_ci_high"]]"""


def _solve_areas(given) -> Solution:
    import apmkit as apm

    chosen = _ratios().loc[given["areas"]]
    width = np.log(chosen["rate_ratio_ci_high"]) - np.log(chosen["rate_ratio_ci_low"])
    table = pd.DataFrame({"estimate": np.log(chosen["rate_ratio"]), "se": width / (2 * 1.959964)})
    mean = float(apm.meta_analysis(table, method="DL").table["estimate"].iloc[0])
    fixed = float(apm.meta_analysis(table, method="fixed").table["estimate"].iloc[0])
    return Solution(
        float(np.exp(mean)),
        {
            "it is the mean of logarithms: turn it into a ratio": mean,
            "it is the mean with a fixed effect": float(np.exp(fixed)),
            "it is the plain mean of the ratios": float(chosen["rate_ratio"].mean()),
        },
    )


EXERCISES = (
    Exercise(
        name="window",
        title="Does the answer depend on the years?",
        page="notebooks/us/mssp_downside_risk",
        minutes=45,
        needs="command",
        unit="units of the outcome",
        tolerance=0.002,
        draw=_window,
        question=_ask_window,
        start=_start_window,
        solve=_solve_window,
    ),
    Exercise(
        name="staggered",
        title="How far off are two-way fixed effects?",
        page="notebooks/methods/weights",
        minutes=60,
        needs="Python",
        unit="visits per 1,000",
        tolerance=0.002,
        draw=_seed,
        question=_ask_clinics,
        start=_start_clinics,
        solve=_solve_clinics,
        data=clinics,
    ),
    Exercise(
        name="donors",
        title="Who stands in for Maryland?",
        page="notebooks/methods/few_treated_units",
        minutes=60,
        needs="Python",
        unit="dollars per person and year",
        tolerance=0.01,
        draw=_donors,
        question=_ask_donors,
        start=_start_donors,
        solve=_solve_donors,
    ),
    Exercise(
        name="power",
        title="What can a planned study find?",
        page="notebooks/methods/power",
        minutes=45,
        needs="Python",
        unit="dollars per person and year",
        tolerance=0.01,
        draw=_plan,
        question=_ask_plan,
        start=_start_plan,
        solve=_solve_plan,
    ),
    Exercise(
        name="income_ratio",
        title="How unequal is avoidable hospitalisation?",
        page="notebooks/methods/synthesis",
        minutes=45,
        needs="Python",
        unit="times the rate of the richest fifth",
        tolerance=0.002,
        draw=_areas,
        question=_ask_areas,
        start=_start_areas,
        solve=_solve_areas,
    ),
)
