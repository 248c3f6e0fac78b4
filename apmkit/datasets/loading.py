"""From files to frames: which loader reads which data set, and how added files join the shipped ones."""

from collections.abc import Sequence

import pandas as pd

from apmkit.datasets import canada, evidence, geographic_variation, mssp, prices, store
from apmkit.datasets.catalogue import DataError, Dataset, describe
from apmkit.datasets.store import Source
from apmkit.datasets.tables import broken, read_csv, require_valid

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
    "price_levels": prices.price_levels,
    "published_effects": evidence.published_effects,
    "published_effects_second_reading": evidence.second_reading,
    "unmet_need": canada.unmet_need,
}

_RULES = {
    "gv_county": geographic_variation.county_rules,
    "metro_hospitalisation": canada.hospitalisation_rules,
    "mssp": mssp.rules,
    "npdb_payments": canada.payment_rules,
    "physicians": canada.physician_rules,
    "population": canada.population_rules,
    "published_effects": evidence.effect_rules,
    "published_effects_second_reading": evidence.second_reading_rules,
}

# What was built last of each data set. Files are read and checked each time, which takes a fiftieth of building; a
# sweep over 200 sets of parameters then builds each table once.
_kept: dict[str, tuple[Dataset, list[tuple[str, str]], pd.DataFrame]] = {}


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
    sources = store.sources(dataset)
    made_of = [(source.name, source.sha256) for source in sources]
    kept = _kept.get(name)
    if kept is None or kept[0] is not dataset or kept[1] != made_of:
        _kept[name] = kept = (dataset, made_of, build(dataset, sources))
    frame = kept[2]
    if (year := store.withheld_year(name)) is not None:  # a table of all years has no file of that year to leave out
        frame = frame[(frame[year_columns(dataset)] != year).all(axis=1)].reset_index(drop=True)
    return frame.copy()


def year_columns(dataset: Dataset) -> list[str]:
    """The columns that hold years; a table of periods has two."""
    return [entry.column for entry in dataset.codebook if entry.unit == "year"]


def aco_identifiers() -> pd.DataFrame:
    """The CMS crosswalk of ACOs: `aco_id` (2018 and later), `first_agreement_start`, `aco_num` (until 2017).

    >>> aco_identifiers().columns.tolist()
    ['aco_id', 'first_agreement_start', 'aco_num']
    """
    return _crosswalk(store.sources(describe("mssp")))


def _crosswalk(sources: Sequence[Source]) -> pd.DataFrame:
    return mssp.read_crosswalk(next(source.data for source in sources if source.year is None))


def build(dataset: Dataset, sources: Sequence[Source]) -> pd.DataFrame:
    """The tidy frame of some of a data set's files, checked against the codebook."""
    if dataset.name == "mssp":
        crosswalk = _crosswalk(sources)
        by_year = {source.year: read_csv(source.data, source.name) for source in sources if source.year is not None}
        frame = mssp.tidy(by_year, crosswalk, dataset)
        frame = frame.sort_values(["year", "aco_id"], ignore_index=True)
    else:
        frame = _TABLES[dataset.name](joined_table(dataset, sources))
    return require_valid(frame, dataset)


def broken_rules(dataset: Dataset, frame: pd.DataFrame) -> list[str]:
    """One sentence for each accounting rule of the data set that rows of its frame break."""
    rules = _RULES.get(dataset.name)
    return broken(frame, rules(frame), dataset) if rules else []


def joined_table(dataset: Dataset, sources: Sequence[Source]) -> pd.DataFrame:
    """The published table, in which the years of an added file stand for the shipped ones."""
    table, *added = [read_table(dataset, source) for source in sorted(sources, key=lambda source: source.added)]
    for newer in added:
        table = replace_periods(dataset, table, newer)
    return table


def replace_periods(dataset: Dataset, older: pd.DataFrame, newer: pd.DataFrame) -> pd.DataFrame:
    """Both tables; where they hold the same period, the newer rows."""
    kept = older[~older[dataset.period_column].isin(newer[dataset.period_column])]
    return pd.concat([kept, newer], ignore_index=True)


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
