"""The studies there are."""

from __future__ import annotations

import difflib
import importlib

from apmkit.studies.study import Study, StudyError

NAMES = (
    "us/mssp_downside_risk",
    "us/mssp_settlement",
    "us/mssp_savings_threshold",
    "us/county_aco_penetration",
    "us/upfront_payment",
    "us/maryland_global_budgets",
    "us/vermont_all_payer",
    "canada/bc_lfp",
    "canada/blended_capitation",
    "canada/ontario_capitation_wave",
    "canada/fhg_to_fho",
    "canada/metro_acsc_equity",
    "canada/screening_bonus",
    "both/published_evidence",
    "both/two_countries",
    "methods/design_studio",
    "methods/estimators_on_trial",
    "methods/weights",
)
"""``us/mssp_downside_risk`` is `STUDY` in ``apmkit/studies/us_mssp_downside_risk.py``."""


def names() -> tuple[str, ...]:
    """Names of all studies.

    >>> "canada/bc_lfp" in names()
    True
    """
    return NAMES


def get(name: str) -> Study:
    """The study of this name.

    Raises
    ------
    StudyError
        There is no such study; the message lists those there are.
    """
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise StudyError(f"There is no study {name!r}{meant}: the studies are {', '.join(NAMES)}.")
    return importlib.import_module(f"apmkit.studies.{name.replace('/', '_')}").STUDY
