"""The registry of data sets: what each is, who published it, under which terms, and what its columns mean."""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apmkit import strict_yaml
from apmkit.errors import ApmkitError

REGISTRY = Path(__file__).parent / "registry"

Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DataError(ApmkitError):
    """A data set, a data file or a name of one that cannot be used; the message is one sentence with the remedy."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataFile(_Record):
    """One published file as it is shipped.

    `sha256` is of the published file before compression; `year` is set where the publisher gives one file a year.
    """

    name: Text
    rows: int
    sha256: Sha256
    copy_used: Text
    year: int | None = None
    note: str = ""


class Column(_Record):
    """One column of the tidy frame: unit, meaning, name in the published file, years and the range values must keep."""

    column: Text
    unit: Text
    meaning: Text
    source: str | None = None
    years: str | None = None
    within: tuple[float, float] | None = None

    def covers(self, year: int) -> bool:
        """Whether the publisher gives this column for `year`."""
        if self.years is None:
            return True
        spans = ([int(end) for end in span.split("-")] for span in self.years.split(", "))
        return any(span[0] <= year <= span[-1] for span in spans)


class Dataset(_Record):
    """One data set of the registry.

    `layout` and `period_column` describe the published table; they are absent where each year is a file of its own.
    `how_to_get` says where to download a table whose licence keeps it out of the installed package.
    """

    name: Text
    title: Text
    publisher: Text
    licence: Text
    licence_url: Text
    source_url: Text
    citation: Text
    attribution: Text
    unit_of_observation: Text
    key: tuple[Text, ...]
    years: tuple[int, int]
    files: tuple[DataFile, ...]
    known_problems: tuple[Text, ...]
    codebook: tuple[Column, ...]
    layout: tuple[Text, ...] = ()
    period_column: str | None = None
    how_to_get: str | None = None

    @property
    def columns(self) -> list[str]:
        """Names of the columns that `load` returns, in order."""
        return [column.column for column in self.codebook]


def read_record(path: Path) -> Dataset:
    """Read one YAML file of the registry; unknown keys and wrong types are refused."""
    try:
        return Dataset.model_validate(strict_yaml.read(path))
    except strict_yaml.YamlError as error:
        raise DataError(f"Registry file {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"Registry file {path.name} is wrong at {where!r}: {first['msg']}.") from None


@cache
def _registry() -> dict[str, Dataset]:
    records = (read_record(path) for path in sorted(REGISTRY.glob("*.yml")))
    return {record.name: record for record in records}


def names() -> list[str]:
    """Names of the data sets, in alphabetical order.

    Examples
    --------
    >>> "mssp" in names()
    True
    """
    return sorted(_registry())


def describe(name: str) -> Dataset:
    """The registry's record of one data set: source, licence, files, known problems and codebook.

    Raises
    ------
    DataError
        If there is no data set of that name.

    Examples
    --------
    >>> describe("population").publisher
    'Statistics Canada'
    """
    if name not in _registry():
        raise DataError(f"There is no data set {name!r}; choose one of {', '.join(names())}.")
    return _registry()[name]
