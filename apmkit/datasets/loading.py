"""From files to frames: which loader reads which data set, and how added files join the shipped ones."""

from collections.abc import Sequence

import pandas as pd

from apmkit.datasets import canada, geographic_variation, mssp, store
from apmkit.datasets.catalogue import DataError, Dataset, describe
from apmkit.datasets.store import Source
from apmkit.datasets.tables import read_csv, require_valid

_TABLES = {
    "gv_county": geographic_variation.county,
    "gv_state": geographic_variation.state,
    "life_expectancy": canada.life_expectancy,
    "metro_hospitalisation": canada.metropolitan_hospitalisation,
    "mssp_county_assignment": geographic_variation.aco_county_assignment,
    "nhex": canada.health_expenditure,
    "npdb_payments": canada.physician_payments,
    "physicians": canada.physicians,
    "population": canada.population,
    "unmet_need": canada.unmet_need,
}


def load(name: str) -> pd.DataFrame:
    """One data set as a tidy frame; its columns, units and known problems stand in `describe(name)`.

    Files that a user added count as part of the data set. Every file is checked against its SHA-256 first.

    Raises
    ------
    DataError
        If the name is unknown, or a file is missing, changed or truncated.

    Examples
    --------
    >>> load("mssp").groupby("year")["two_sided"].sum().loc[[2013, 2023]].tolist()
    [5, 302]
    """
    dataset = describe(name)
    return build(dataset, store.sources(dataset))


def build(dataset: Dataset, sources: Sequence[Source]) -> pd.DataFrame:
    """The tidy frame of some of a data set's files, checked against the codebook."""
    if dataset.name == "mssp":
        crosswalk = mssp.read_crosswalk(next(source.data for source in sources if source.year is None))
        tables = {source.year: read_csv(source.data, source.name) for source in sources if source.year is not None}
        frame = mssp.tidy(tables, crosswalk, dataset)
        frame = frame.sort_values(["year", "aco_id"], ignore_index=True)
    else:
        frame = _TABLES[dataset.name](joined_table(dataset, sources))
    return require_valid(frame, dataset)


def joined_table(dataset: Dataset, sources: Sequence[Source]) -> pd.DataFrame:
    """The published table, in which the years of an added file stand for the shipped ones."""
    tables = [read_table(dataset, source) for source in sorted(sources, key=lambda source: source.added)]
    shipped, added = tables[0], tables[1:]
    for table in added:
        kept = shipped[~shipped[dataset.period_column].isin(table[dataset.period_column])]
        shipped = pd.concat([kept, table], ignore_index=True)
    return shipped


def read_table(dataset: Dataset, source: Source) -> pd.DataFrame:
    """One file in the published layout, columns in that order.

    Raises
    ------
    DataError
        If a column of the layout is missing.
    """
    table = read_csv(source.data, source.name)
    if missing := [column for column in dataset.layout if column not in table]:
        raise DataError(
            f"{source.name} lacks {', '.join(map(repr, missing))}; the columns of {dataset.name} are "
            f"{', '.join(dataset.layout)}."
        )
    return table[list(dataset.layout)]
