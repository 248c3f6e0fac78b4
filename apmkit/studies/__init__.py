"""Case studies: what each takes, how it is run, swept over parameters and recorded.

    >>> from apmkit import studies
    >>> "canada/bc_lfp" in studies.names()
    True

To write a study, read `apmkit.studies.study`.
"""

import importlib

_HOMES = {
    "Parameters": "apmkit.studies.parameters",
    "Result": "apmkit.studies.study",
    "Study": "apmkit.studies.study",
    "StudyError": "apmkit.studies.study",
    "record": "apmkit.studies.study",
    "show_parameters": "apmkit.studies.page_parts",
    "show_specifications": "apmkit.studies.page_parts",
    "show_what_if": "apmkit.studies.page_parts",
    "get": "apmkit.studies.registry",
    "names": "apmkit.studies.registry",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'apmkit.studies' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted(__all__)
