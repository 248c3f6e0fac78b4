"""What a case study is: typed parameters, one estimation, one result.

A study has three parts that carry its name. For ``us/example``:

1. The module ``apmkit/studies/us_example.py`` holds the parameters and the headline estimation::

       from typing import Literal

       from pydantic import Field

       import apmkit as apm
       from apmkit.studies import Parameters, Result, Study


       class ExampleParameters(Parameters):
           outcome: Literal["spending", "visits"] = Field("spending", description="Outcome to study.")
           first_year: int = Field(2014, ge=2013, le=2019, description="First year of the window.")
           drop_covid: bool = Field(False, description="Leave out 2020 and 2021.")
           leave_out: tuple[Literal["on", "qc"], ...] = Field((), description="Provinces to leave out.")


       def estimate(parameters: ExampleParameters) -> Result:
           panel = ...  # load, select, apm.Panel(...)
           effect = apm.callaway_santanna(panel).aggregate("simple")
           return Result(
               estimates={"att": effect, "twfe": apm.twfe(panel)},
               headline="att",
               sentences=(effect.sentence("Spending", unit="dollars"),),
               notes=("The savings rate depends on the benchmark by construction.",),
               axis="Effect on spending per beneficiary, dollars a year",
           )


       STUDY = Study(
           name="us/example",
           title="Did spending fall?",
           country="United States",
           data=("mssp",),
           Parameters=ExampleParameters,
           estimate=estimate,
           grid={"first_year": (2013, 2014, 2015), "drop_covid": (False, True), "leave_out": ((), ("on",))},
       )

   `grid` names the choices that others could reasonably have made, the defaults among them, numbers from low to high;
   other parameters stay at their defaults. The page shows all combinations that the rules allow, so their number is
   limited. `axis` is what the headline measures and its unit, as on an axis: combinations that differ in it are not
   compared with each other.

   Every parameter has a default, one line of description, and a closed set of values: `Literal`, `bool`, an `int` or
   `float` with ``ge`` and ``le``, or a tuple of a `Literal`. Only a `NameOrFile` lets the user give a file of their own
   beside names; a result carries its checksum. A rule between parameters is a pydantic
   ``model_validator(mode="after")`` that raises `ValueError` with one sentence. The estimation reads nothing but its
   parameters and registered data, and draws random numbers from a seed, so that a sweep gives the same numbers on any
   number of workers.

2. The notebook ``notebooks/us/example.ipynb`` has a cell tagged ``parameters`` with plain assignments, equal in names
   and defaults to the class (lists stand for tuples). The next cell checks them, the last code cell records the
   result::

       outcome = "spending"                                     # the cell tagged "parameters"
       first_year = 2014
       drop_covid = False
       leave_out = []

       from apmkit import studies                               # the next cell

       study = studies.get("us/example")
       parameters = study.from_cell(globals())

       studies.show_parameters(study, parameters)               # under "Rerun this page"
       result = study.run(parameters)                           # somewhere between
       studies.show_specifications(study, parameters, source="CMS; own calculation.")    # near the end
       studies.show_what_if(study, parameters, source="CMS; own calculation.")           # after it
       studies.record(result)                                   # the last code cell

   The three that show something say all that is to be said: the table of parameters and the commands, the
   specification curve and its sentence, the menus to try other choices.

3. The name in `NAMES` of ``apmkit/studies/registry.py``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, create_model

from apmkit.errors import ApmkitError
from apmkit.studies.parameters import Parameters, as_typed

if TYPE_CHECKING:
    import pandas as pd

    from apmkit.estimate import Estimate
    from apmkit.studies.own_data import OwnData

MIME = "application/vnd.apmkit.result+json"
"""Type of the notebook output that holds a recorded result."""


class StudyError(ApmkitError):
    """A study, a parameter or a value that does not exist; the message says what does."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a study found.

    Attributes
    ----------
    estimates : mapping of str to Estimate
        All estimates to keep, by a short name.
    headline : str
        Name of the estimate that answers the question; its first term is the one number shown in lists.
    sentences : tuple of str
        The finding in plain words, with its uncertainty.
    notes : tuple of str
        What a reader must know before using the number.
    axis : str
        What the first term of the headline measures, with its unit; a study with a grid needs it.
    study, parameters
        Set by `Study.run`.
    """

    estimates: Mapping[str, Estimate]
    headline: str
    sentences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    axis: str = ""
    study: Study | None = None
    parameters: Parameters | None = None

    def __post_init__(self):
        if self.headline not in self.estimates:
            raise StudyError(f"The headline {self.headline!r} is not among the estimates {', '.join(self.estimates)}.")
        object.__setattr__(self, "estimates", MappingProxyType(dict(self.estimates)))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, with checksums of the data and versions of the software.

        Raises
        ------
        StudyError
            The result does not come from `Study.run`.
        """
        if self.study is None or self.parameters is None:
            raise StudyError("This result names no study: get it from study.run(parameters).")
        estimates = {name: json.loads(estimate.to_json()) for name, estimate in self.estimates.items()}
        return {
            "study": self.study.name,
            "parameters": self.parameters.plain(),
            "headline": self.headline,
            "estimates": estimates,
            "sentences": list(self.sentences),
            "notes": list(self.notes),
            "data": self.study.checksums() | self.parameters.checksums(),
            "versions": versions(),
        }


@dataclass(frozen=True, eq=False)
class Study:
    """A case study.

    Attributes
    ----------
    name : str
        ``country/subject``; also the path of the notebook.
    title : str
        The question.
    country : str
    data : tuple of str
        Names in `apmkit.datasets` of the data it reads.
    Parameters : subclass of Parameters
    estimate : function of Parameters that returns a Result
        A function at the top of a module, so that workers can find it.
    grid : mapping of str to tuple
        Reasonable values of some parameters; their combinations are the study's specification curve.
    own : tuple of OwnData
        Files of the user's own that it reads.
    latest : mapping of str to (str, int)
        Parameters whose default follows the last year of a data set: which one, and how many years before its end. A
        bulletin moves them with the data.

    Raises
    ------
    StudyError
        A value of the grid is not allowed, the default is not in it, or it has one value only.
    """

    name: str
    title: str
    country: str
    data: tuple[str, ...]
    Parameters: type[Parameters]
    estimate: Callable[[Any], Result] = field(repr=False)
    grid: Mapping[str, tuple] = field(default_factory=dict, repr=False)
    own: tuple[OwnData, ...] = ()
    latest: Mapping[str, tuple[str, int]] = field(default_factory=dict, repr=False)

    def __post_init__(self):
        checked = {n: tuple(getattr(self.each_alone(**{n: v}), n) for v in self.grid[n]) for n in self.grid}
        for name, values in checked.items():
            default = self.Parameters.model_fields[name].default
            if default not in values or len(set(values)) < max(2, len(values)):
                raise StudyError(
                    f"{self.name}: the grid has {name}={', '.join(map(as_typed, values))}; give at least two values, "
                    f"each once, the default {as_typed(default)} among them."
                )
        object.__setattr__(self, "grid", checked)

    @property
    def notebook(self) -> Path:
        """Path of the notebook."""
        return notebooks_folder() / f"{self.name}.ipynb"

    def parameters(self, **values) -> Parameters:
        """Checked parameters; defaults for those not given.

        Raises
        ------
        StudyError
            A name or value is not allowed; one sentence says what is.
        """
        return self._read(self.Parameters, values)

    def each_alone(self, **values) -> Parameters:
        """Parameters whose names, types and ranges are checked, and not the rules between them.

        Raises
        ------
        StudyError
            A name or value is not allowed; one sentence says what is.
        """
        return self._read(_without_rules(self.Parameters), values)

    def _read(self, model: type[Parameters], values: Mapping[str, Any]) -> Parameters:
        try:
            return model(**values)
        except ValidationError as error:
            faults = "; ".join(map(self._fault, error.errors()))
            raise StudyError(f"{self.name}: {faults}{'' if faults.endswith('?') else '.'}") from None

    def from_cell(self, namespace: Mapping[str, Any]) -> Parameters:
        """Checked parameters of a notebook, whose `parameters` cell set them: ``study.from_cell(globals())``.

        Raises
        ------
        StudyError
            A parameter is not set, or a value is not allowed.
        """
        absent = [name for name in self.Parameters.model_fields if name not in namespace]
        if absent:
            raise StudyError(f"The cell tagged 'parameters' does not set {', '.join(absent)}: {self.name} needs each.")
        return self.parameters(**{name: namespace[name] for name in self.Parameters.model_fields})

    def checksums(self) -> dict[str, str]:
        """SHA-256 of the data it reads, by the name of the data set or of the user's file.

        Raises
        ------
        DataError
            A file is absent, changed or truncated.
        OwnDataError
            A file of the user's own is absent.
        """
        from apmkit import datasets

        return {name: datasets.checksum(name) for name in self.data} | {own.name: own.checksum() for own in self.own}

    def run(self, parameters: Parameters | None = None) -> Result:
        """The estimation with these parameters, the defaults if none are given; no notebook is run."""
        parameters = self.parameters() if parameters is None else parameters
        return replace(self.estimate(parameters), study=self, parameters=parameters)

    def parameter_table(self) -> pd.DataFrame:
        """Parameters; columns `name`, `meaning`, `default`, `allowed`, all text."""
        import pandas as pd

        rows = [
            (name, info.description, as_typed(info.default), self.Parameters.allowed(name))
            for name, info in self.Parameters.model_fields.items()
        ]
        return pd.DataFrame(rows, columns=["name", "meaning", "default", "allowed"])

    def _fault(self, error) -> str:
        if not error["loc"] or error["type"] == "value_error":
            return error["msg"].removeprefix("Value error, ").rstrip(".")
        name = str(error["loc"][0])
        known = list(self.Parameters.model_fields)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            return f"no parameter {name!r}{meant}, only {', '.join(known)}"
        return f"{name}={error['input']!r} is not allowed; give {self._one_of(name)}"

    def _one_of(self, name: str) -> str:
        allowed = self.Parameters.allowed(name)
        if not self.Parameters.choices(name):
            return f"a {allowed}"
        return allowed if self.Parameters.takes_several(name) else f"one of {allowed}"


@cache
def _without_rules(model: type[Parameters]) -> type[Parameters]:
    fields = {name: (info.annotation, info) for name, info in model.model_fields.items()}
    return create_model(model.__name__, __base__=Parameters, **fields)


def record(result: Result) -> None:
    """Show a result in a notebook and leave it in the executed copy, where `apmkit run` finds it.

    Parameters
    ----------
    result : Result
        From `Study.run`.
    """
    from IPython.display import display

    display({MIME: result.to_dict(), "text/plain": "\n".join(result.sentences)}, raw=True)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    import platform
    from importlib.metadata import version

    from apmkit import __version__

    packages = {name: version(name) for name in ("numpy", "pandas", "scipy")}
    return {"apmkit": __version__, "python": platform.python_version(), **packages}


def repository() -> Path | None:
    """The checkout that apmkit runs from; none when it was installed from a wheel."""
    above = Path(__file__).resolve().parents[2]
    return above if (above / "pyproject.toml").is_file() and (above / "notebooks").is_dir() else None


def notebooks_folder() -> Path:
    """Where the notebooks are: in the repository, or beside this module when apmkit was installed from a wheel."""
    return (repository() or Path(__file__).resolve().parent) / "notebooks"
