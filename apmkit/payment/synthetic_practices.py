"""Made-up patients and practices, on which every payment model for primary care runs."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.options import check_seed
from apmkit.payment.practice_assumptions import AGE_BANDS, RATES, assumed
from apmkit.payment.practices import Practices


def synthetic_practices(
    country: str = "US",
    *,
    n_practices: int = 20,
    physicians: int = 4,
    patients_per_physician: float | None = None,
    assumptions: Mapping[str, float] | None = None,
    year: int = 0,
    seed: int = 0,
) -> Practices:
    """Practices with made-up patients: age, sex, morbidity, visits, hospital use and spending.

    Morbidity is lognormal, rises with age and has mean 1. Patients' own rates of visits are gamma with a mean that
    rises with morbidity, so that visits are negative binomial; some are after hours, some to other doctors. Practices
    differ in size, morbidity, visits, hours, quality and place: in cities more visits are to other doctors. Every
    number is an assumption that `practice_assumptions` lists with its source or reason.

    Parameters
    ----------
    country : str
        "US" (Medicare patients, USD) or "Ontario" (patients of all ages, CAD).
    n_practices : int
    physicians : int
        Mean number in a practice, at least one each.
    patients_per_physician : float, optional
        Mean; by default the assumption of that name.
    assumptions : mapping of str to float, optional
        Other values for some assumptions, by name.
    year : int
        The same patients have other visits and spending in another year.
    seed : int

    Returns
    -------
    Practices
        Marked synthetic. Beside the columns that `Practices` describes, patients have `ed_visits_less_urgent` (of
        `ed_visits`), `episode` ("joint replacement" or empty) and `episode_spending` (of `spending`); practices
        have `urban`, `hours`, `quality_score` and rates of preventive care.

    Raises
    ------
    PaymentError
        The country has no assumptions, a number is too small, or an assumption is unknown or impossible.

    Examples
    --------
    >>> practices = synthetic_practices("Ontario", n_practices=5, patients_per_physician=300, seed=1)
    >>> practices.country, practices.synthetic, len(practices.index)
    ('Canada', True, 5)
    >>> float(practices.patients["risk_score"].mean().round(3))
    1.0
    """
    a = assumed(country, assumptions)
    per_physician = a["patients_per_physician"] if patients_per_physician is None else patients_per_physician
    _check(n_practices, physicians, per_physician, year)
    check_seed(seed)
    lasting = np.random.default_rng([seed, 0])
    yearly = np.random.default_rng([seed, 1, year])

    doctors = 1 + lasting.poisson(physicians - 1, n_practices)
    sizes = np.maximum(np.rint(doctors * per_physician * _lognormal(lasting, a["panel_sd"], n_practices)), 1)
    names = np.array([f"P{number:0{len(str(n_practices))}d}" for number in range(1, n_practices + 1)])
    of = np.repeat(np.arange(n_practices), sizes.astype(int))

    practices = _practices(lasting, a, names, doctors)
    urban = practices["urban"].to_numpy()
    patients = _people(lasting, a, country, of, n_practices)
    patients.insert(0, "practice", _taken(names, of))
    rate, elsewhere, after_hours = _habits(lasting, a, patients, urban, of, n_practices)
    _add_visits(yearly, a, patients, rate, elsewhere, after_hours)
    _add_hospital(yearly, a, patients, urban[of])
    return Practices(patients, practices, country="US" if country == "US" else "Canada", synthetic=True)


def _check(n_practices, physicians, per_physician, year):
    for name, value in (("n_practices", n_practices), ("physicians", physicians)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise PaymentError(f"{name}={value!r} leaves nobody to pay: give a whole number of at least 1.")
    if not isinstance(year, Integral) or year < 0:
        raise PaymentError(f"year={year!r} is not a whole number of at least 0: number the years from 0.")
    if not isinstance(per_physician, Real) or not 1 <= per_physician < 1e6:
        raise PaymentError(
            f"patients_per_physician={per_physician!r} leaves an empty panel or none that fits: give at least 1."
        )


def _practices(random, a, names, doctors):
    n = len(names)
    table = pd.DataFrame({"practice": names, "physicians": doctors, "urban": random.random(n) < a["urban"]})
    table["hours"] = np.rint(doctors * a["hours_per_physician"] * _lognormal(random, a["hours_sd"], n))
    rates = {"quality_score": a["quality"], **{name: a[name] for name in RATES}}
    for name, mean in rates.items():
        table[name] = np.clip(random.normal(mean, a["quality_sd"], n), 0, 1).round(3)
    return table


def _people(random, a, country, of, n_practices):
    n = len(of)
    edges, shares, _ = AGE_BANDS[country]
    age = np.floor(np.interp(random.random(n), np.append(0, np.cumsum(shares) / sum(shares)), edges))
    log_risk = a["risk_by_decade"] * age / 10 + random.normal(0, a["risk_sd"], n)
    log_risk += random.normal(0, a["practice_risk_sd"], n_practices)[of]
    risk = np.exp(log_risk - log_risk.mean())
    return pd.DataFrame(
        {
            "age": age.astype(int),
            "sex": _taken(["M", "F"], random.random(n) < a["female"]),
            "risk_score": risk / risk.mean(),
            "enrolled": random.random(n) < a["enrolled"],
        }
    )


def _habits(random, a, patients, urban, of, n_practices):
    """Each patient's rate of visits, and the chances that one is elsewhere, or in the practice after hours."""
    n = len(of)
    rate = patients["risk_score"].to_numpy() ** a["visits_by_risk"]
    rate *= _lognormal(random, a["practice_visits_sd"], n_practices)[of]
    if a["visits_dispersion"]:
        rate *= random.gamma(1 / a["visits_dispersion"], a["visits_dispersion"], n)
    rate /= rate.sum()
    old = np.interp(patients["age"], [25, 80], [1, a["elsewhere_old"]])
    of_practice = np.where(urban, 1, a["elsewhere_rural"]) * _lognormal(random, a["elsewhere_sd"], n_practices)
    elsewhere = old * of_practice[of]
    # The share is one of visits, so patients with many visits count for more.
    elsewhere = np.minimum(a["elsewhere"] * elsewhere / max(elsewhere @ rate, 1e-9), 0.95)
    after_hours = np.minimum(a["after_hours"] * _lognormal(random, a["after_hours_sd"], n_practices), 1)[of]
    return a["visits"] * n * rate, elsewhere, after_hours


def _add_visits(random, a, patients, rate, elsewhere, after_hours):
    everywhere = random.poisson(rate)
    away = random.binomial(everywhere, elsewhere)
    visits = everywhere - away
    late = random.binomial(visits, after_hours)
    fees_late, fees_day, fees_away = (_fees(random, a, count, a["fee"]) for count in (late, visits - late, away))
    patients["visits"] = visits
    patients["visits_after_hours"] = late
    patients["visits_elsewhere"] = away
    patients["fees"] = (fees_late + fees_day).round(2)
    patients["fees_after_hours"] = fees_late
    patients["fees_elsewhere"] = fees_away
    patients["fees_outside_basket"] = _fees(random, a, visits, a["fee_outside_basket"])


def _fees(random, a, visits, mean):
    """Sums of gamma fees over visits, in cents."""
    if a["fee_cv"] < 1e-6:
        return (visits * mean).round(2)
    shape = a["fee_cv"] ** -2
    return random.gamma(visits * shape, mean / shape).round(2)


def _add_hospital(random, a, patients, urban):
    n, risk, age = len(patients), patients["risk_score"].to_numpy(), patients["age"].to_numpy()
    ed = risk ** a["ed_by_risk"] * np.where(urban, 1, a["ed_rural"])
    patients["ed_visits"] = random.poisson(a["ed_visits"] * ed / ed.mean())
    patients["ed_visits_less_urgent"] = random.binomial(patients["ed_visits"], a["ed_less_urgent"])
    patients["admissions"] = random.poisson(a["admissions"] * risk)
    old = age >= a["joint_replacement_age"]
    chance = a["joint_replacement"] * old / max(old.mean(), 1 / n)
    replaced = random.random(n) < chance
    patients["episode"] = _taken(["", "joint replacement"], replaced)
    cost = a["spending_by_joint_replacement"] * _lognormal(random, a["joint_replacement_sd"], n)
    patients["episode_spending"] = np.where(replaced, cost, 0).round(2)

    fees = patients["fees"] + patients["fees_elsewhere"] + patients["fees_outside_basket"]
    known = fees + patients["ed_visits"] * a["spending_by_ed_visit"] + patients["episode_spending"]
    in_hospital = a["spending_by_admission"] * _lognormal(random, a["spending_sd"], n)
    rest = a["spending"] - (
        a["visits"] * (a["fee"] + (1 - a["elsewhere"]) * a["fee_outside_basket"])
        + a["ed_visits"] * a["spending_by_ed_visit"]
        + a["joint_replacement"] * a["spending_by_joint_replacement"]
        + a["admissions"] * a["spending_by_admission"]
    )
    if rest < 0:
        raise PaymentError(
            f"The assumption spending={a['spending']:,.0f} is {-rest:,.0f} less than visits, ED visits, admissions and "
            "joint replacements cost: raise it or lower those."
        )
    other = rest * risk * _lognormal(random, a["spending_sd"], n)
    patients["spending"] = (known + patients["admissions"] * in_hospital + other).round(2)


def _taken(words, positions):
    """A column of words from a few; faster than from an array of as many."""
    return pd.Series(words).array.take(np.asarray(positions, dtype=int))


def _lognormal(random, sd, n):
    """Draws of mean 1."""
    return np.exp(random.normal(-(sd**2) / 2, sd, n))
