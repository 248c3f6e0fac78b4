"""Real data of payment reform in the US and Canada: a registry with sources and codebooks, and one tidy frame each.

>>> from apmkit import datasets
>>> frame = datasets.load("unmet_need")
>>> list(frame.columns)
['year', 'province', 'unmet_need']
"""

from apmkit.datasets.adding import add
from apmkit.datasets.catalogue import Column, DataError, DataFile, Dataset, describe, names
from apmkit.datasets.checking import check, years
from apmkit.datasets.loading import aco_identifiers, load
from apmkit.datasets.store import checksum, user_data_folder, withheld

__all__ = [
    "Column",
    "DataError",
    "DataFile",
    "Dataset",
    "aco_identifiers",
    "add",
    "check",
    "checksum",
    "describe",
    "load",
    "names",
    "user_data_folder",
    "withheld",
    "years",
]
