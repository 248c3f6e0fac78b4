"""What is found about blended capitation, in words, and which of its values are in doubt."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from apmkit.payment import Payment, rulebook
from apmkit.words import listed

MARKS = {"unconfirmed": "†", "partly confirmed": "‡"}
"""Signs beside a number that rests on a value of this status."""

_PROGRAMMES = {"FHG": "ontario", "FHN": "ontario", "FHO": "ontario", "Alberta": "alberta", "BC LFP": "bc_lfp"}
_COMPREHENSIVE = "comprehensive_care.illustrative_base_rate"
_VISIT = {
    "FHG": ("fhg.comprehensive_premium",),
    "FHN": ("shadow_billing_premium",),
    "FHO": ("shadow_billing_premium",),
    "Alberta": ("fee_share",),
    "BC LFP": ("hourly_rate", "visit_rate"),
}
_ELSEWHERE = {
    "FHN": ("fhn.access_bonus_share", "fhn.illustrative_base_rate"),
    "FHO": ("fho.access_bonus_share", "fho.illustrative_base_rate"),
    "Alberta": ("negation.share", "negation.floor"),
}
_ENROLLED = {
    "FHG": (_COMPREHENSIVE,),
    "FHN": ("fhn.illustrative_base_rate", _COMPREHENSIVE),
    "FHO": ("fho.illustrative_base_rate", _COMPREHENSIVE),
    "Alberta": ("illustrative_base_rate", "illustrative_health_profile"),
    "BC LFP": ("complexity_rate",),
}
_COMPONENTS = {
    "comprehensive_premium": ("fhg.comprehensive_premium",),
    "after_hours_premium": ("after_hours_premium",),
    "comprehensive_care": (_COMPREHENSIVE,),
    "shadow_billing": ("shadow_billing_premium",),
    "capitation": ("illustrative_base_rate", "illustrative_health_profile"),
    "blended_fees": ("fee_share",),
    "negation": ("negation.share", "negation.floor"),
    "time": ("hourly_rate",),
    "visits": ("visit_rate",),
    "panel_complexity": ("complexity_rate",),
    "roster_disincentive": ("fhn.rate_above_limit",),
}


def mark(model: str, names: tuple[str, ...], on: str) -> str:
    """The sign of the least certain of the named values of a model on a day; empty where all are confirmed."""
    if not names:
        return ""
    parameters = rulebook(_PROGRAMMES[model]).parameters
    dated = (parameters[name].on(pd.Timestamp(on).date()) for name in names)
    found = {value.status for value in dated if value is not None}
    return next((sign for status, sign in MARKS.items() if status in found), "")


def marginal_mark(model: str, change: str, on: str) -> str:
    """The sign of what a change pays."""
    late = ("after_hours_premium",) if _PROGRAMMES.get(model) == "ontario" else ()
    names = {
        "visit": _VISIT.get(model, ()),
        "visit_after_hours": (*_VISIT.get(model, ()), *late),
        "visit_elsewhere": _ELSEWHERE.get(model, ()),
        "emergency_visit": (),
        "enrolled_patient": (*_ENROLLED.get(model, ()), *_VISIT.get(model, ()), *late),
    }
    return mark(model, names[change], on)


def component_mark(model: str, component: str, on: str) -> str:
    """The sign of a component of a model's pay."""
    if model == "Fee-for-service" or component in ("total", "fees", "fees_outside_basket"):
        return ""
    if component in ("base_capitation", "access_bonus"):
        rate, share = f"{model.lower()}.illustrative_base_rate", f"{model.lower()}.access_bonus_share"
        return mark(model, (rate,) if component == "base_capitation" else (rate, share), on)
    if component == "preventive_bonuses":
        return mark(model, tuple(f"preventive.{name}" for name in _categories(model, on)), on)
    if component == "fees_not_enrolled":
        return mark(model, ("hard_cap",) if model in ("FHN", "FHO") else (), on)
    return mark(model, _COMPONENTS.get(component, ()), on)


def _categories(model: str, on: str) -> list[str]:
    name = "preventive.fhg_categories" if model == "FHG" else "preventive.capitation_categories"
    return rulebook("ontario").on(on)[name]


def cad(value: float) -> str:
    """An amount in whole dollars; "minus" stands before it where it is negative."""
    return f"{'minus ' if round(value) < 0 else ''}CAD {abs(value):,.0f}"


def finding(place: pd.DataFrame, on: str) -> str:
    """The access bonus outside cities and in them; `place` comes from `by_place`."""
    country, city = place.loc["outside cities"], place.loc["in cities"]
    gap, sign = country["bonus"] - city["bonus"], component_mark("FHO", "access_bonus", on)
    more = "as much as" if abs(gap) < 0.5 else f"{cad(abs(gap))}{sign} {'more' if gap > 0 else 'less'} than"
    return (
        f"In this simulation, a Family Health Organization paid by the rules of {on} keeps {country['kept']:.0%} of "
        f"its highest access bonus outside cities and {city['kept']:.0%} in cities: {more} in cities, per physician "
        "and year. This is arithmetic on synthetic patients and has no interval."
    )


def marginal_sentence(marginal: pd.Series, on: str) -> str:
    """What visits pay a FHO, with the signs of values in doubt; `marginal` has the mean of `marginal_revenue`."""
    visit, elsewhere, emergency = (
        f"{'minus ' if marginal['FHO', change] < -0.005 else ''}CAD {abs(marginal['FHO', change]):.2f}"
        f"{marginal_mark('FHO', change, on)}"
        for change in ("visit", "visit_elsewhere", "emergency_visit")
    )
    return (
        f"One more visit of its own pays an FHO {visit}, a visit of its patient to another family doctor {elsewhere} "
        f"on average, an emergency visit {emergency}."
    )


def spread_sentence(summary: pd.DataFrame, base: str) -> str:
    """Which model makes revenue per patient most alike; `summary` belongs to a comparison with years drawn."""
    between, within = summary["sd_between"], summary["sd_within"]
    low, high = between.idxmin(), between.idxmax()
    own = "" if base in (low, high) else f"; under {base} it is CAD {between[base]:.0f}"
    return (
        f"Between practices, revenue per patient differs least under {low} (standard deviation CAD {between[low]:.0f})"
        f" and most under {high} (CAD {between[high]:.0f}){own}. From one year "
        f"to the next, chance alone moves a practice by CAD {within.min():.1f} ({within.idxmin()}) to CAD "
        f"{within.max():.1f} ({within.idxmax()}) per patient."
    )


def total_sentence(summary: pd.DataFrame, base: str) -> str:
    """How far the totals of the models are apart before they are scaled."""
    others = summary["per_physician"].drop(base)
    return (
        f"By the shipped rates a physician would receive {cad(summary.loc[base, 'per_physician'])} under {base}, and "
        f"{cad(others.min())} ({others.idxmin()}) to {cad(others.max())} ({others.idxmax()}) under the others."
    )


def group_sentence(gains: pd.DataFrame) -> str:
    """The group that gains most and the one that loses most under each model; `gains` is CAD per patient."""
    clauses = []
    for model, values in gains.items():
        most, least = values.idxmax(), values.idxmin()
        clauses.append(
            f"{model}: {_signed(values[most])} for {_group(most)}, {_signed(values[least])} for {_group(least)}"
        )
    return f"Highest and lowest change per patient. {'; '.join(clauses)}."


def _signed(value: float) -> str:
    return f"{'plus' if value >= 0 else 'minus'} CAD {abs(value):,.0f}"


def _group(group: tuple[str, str]) -> str:
    kind, name = group
    visits = {"none": "no visits", "1": "one visit"}.get(name, f"{name} visits")
    return {"Age": f"ages {name}", "Risk": f"the {name} of risk"}.get(kind, f"patients with {visits} elsewhere")


def link_sentence(links: pd.DataFrame) -> str:
    """Which published directions the simulation shares; `links` comes from `bonus_links`."""
    sign = links["published"].map({"lower": -1, "higher": 1})
    clear = (links["ci_low"] * links["ci_high"] > 0) & links["correlation"].notna()
    kinds = {
        "shares the published direction for": clear & (links["correlation"] * sign > 0),
        "has the opposite one for": clear & (links["correlation"] * sign < 0),
        "shows no clear relation for": ~clear,
    }
    told = [
        f"{words} {listed(name[0].lower() + name[1:] for name in links.index[those])}"
        for words, those in kinds.items()
        if those.any()
    ]
    return f"The simulation {'; it '.join(told)}."


def redirect_sentence(moved: pd.DataFrame, share: float, costs: Mapping[str, float]) -> str:
    """What moving visits from other doctors to hospitals pays a practice, and costs; `costs` are assumptions."""
    fho, alberta = moved.loc["FHO", "per_visit"], moved.loc["Alberta", "per_visit"]
    return (
        f"If {share:.0%} of visits to other family doctors went to emergency departments instead, an FHO would gain "
        f"CAD {fho:.0f} and an Alberta clinic CAD {alberta:.0f} for each visit that moves. The synthetic patients' "
        f"emergency visit is assumed to cost CAD {costs['spending_by_ed_visit']:.0f}, their visit to a doctor CAD "
        f"{costs['fee']:.0f}."
    )


def lost_sentence(bonus: pd.DataFrame) -> str:
    """How many practices have no bonus left to lose, and the mean beside the published ones."""
    none = int((bonus["bonus"] <= 0).sum())
    fifth = bonus["bonus"].nlargest(max(len(bonus) // 5, 1)).mean()
    return (
        f"{none or 'None'} of {len(bonus)} simulated practices {'has' if none == 1 else 'have'} no bonus left. The "
        f"mean is {cad(bonus['bonus'].mean())} per physician, and {cad(fifth)} in the fifth with the most."
    )


def range_sentence(choices: pd.DataFrame) -> str:
    """How the gap in the share kept moves with other assumptions and draws; `choices` are as in the study."""
    points = (100 * choices["difference"]).round()
    low, high = points.idxmin(), points.idxmax()
    told = {
        "As chosen": "as chosen",
        "As many walk-in clinics outside cities": "if visits go elsewhere as often outside cities",
        "Emergency visits alike everywhere": "if emergency visits are alike everywhere",
    }
    parts = [f"{_points(points[name])} {words}" for name, words in told.items() if name in points]
    return (
        "By how many percentage points more of the highest bonus practices outside cities keep than practices in "
        f"cities: {', '.join(parts)}. Over all {len(points)} choices it runs from {_points(points[low])} ({low}) to "
        f"{_points(points[high])} ({high})."
    )


def _points(value: float) -> str:
    return f"minus {abs(value):.0f}" if value < 0 else f"{abs(value):.0f}"


def dial_sentence(table: pd.DataFrame) -> str:
    """What full capitation changes against full fees; `table` comes from `capitation_dial_table`."""
    first, last = table.iloc[0], table.iloc[-1]
    return (
        f"From 0 to 100% capitation the total stays the same. What one more visit brings falls from CAD "
        f"{first['visit']:.0f} to CAD {last['visit']:.0f}. One more enrolled patient, who comes with visits, brings "
        f"CAD {first['enrolled_patient']:.0f} at 0% and CAD {last['enrolled_patient']:.0f} at 100%. The standard "
        f"deviation of revenue per patient goes from CAD {first['sd_between']:.1f} to CAD {last['sd_between']:.1f} "
        f"between practices and from CAD {first['sd_within']:.1f} to CAD {last['sd_within']:.1f} from year to year."
    )


def behaviour_sentence(table: pd.DataFrame) -> str:
    """The two opposing answers, side by side."""
    clauses = [
        f"{name}: services {row['services']:+.0%}, after hours {row['after_hours']:+.0%}, pay {cad(row['pay'])}"
        for name, row in table.iterrows()
    ]
    return f"{'; '.join(clauses)} per physician."


def two_days_sentence(table: pd.DataFrame) -> str:
    """What the FHO lost and gained between the two days; `table` comes from `two_days`."""
    change = table["change"]
    before, after = table.columns[:2]
    moved = [
        f"{name.replace('_', ' ')} {_signed(value)}"
        for name, value in change.drop("total").items()
        if abs(value) >= 0.5
    ]
    return (
        f"On the same patients, between {before} and {after} a physician's pay changes by {_signed(change['total'])}: "
        f"{', '.join(moved)}."
    )


def rules_table(found: Mapping[str, Payment]) -> pd.DataFrame:
    """The values on which the payments rest, with the column names a reader sees, the least certain first."""
    rules = pd.concat([payment.rules for payment in found.values()], ignore_index=True)
    rules = rules[~rules.duplicated(["programme", "parameter", "effective"])]
    labels = [
        rulebook(programme).parameters[name].label
        for programme, name in zip(rules["programme"], rules["parameter"], strict=True)
    ]
    order = {status: rank for rank, status in enumerate((*MARKS, "secondary", "reproduced", "primary"))}
    table = pd.DataFrame(
        {
            "Province": rules["programme"].map({"ontario": "Ontario", "alberta": "Alberta", "bc_lfp": "BC"}).to_numpy(),
            "Rule": labels,
            "Value": [_value(value) for value in rules["value"]],
            "Unit": rules["unit"].to_numpy(),
            "In force since": rules["effective"].astype(str).to_numpy(),
            "Status": [f"{status} {MARKS.get(status, '')}".strip() for status in rules["status"]],
        }
    )
    rank = rules["status"].map(order).to_numpy()
    return table.iloc[rank.argsort(kind="stable")].reset_index(drop=True)


def _value(value) -> str:
    if not isinstance(value, list):
        return str(value)
    if all(isinstance(step, dict) for step in value):
        return "; ".join(" from ".join(f"{number:g}" for number in reversed(step.values())) for step in value)
    return ", ".join(value) or "none"
