"""The parameters of a study: typed, each with a default, a line of description and a closed set of values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError, core_schema

_NONE = "none"


@dataclass(frozen=True)
class NameOrFile:
    """Marks a text parameter that is one of `names`, or the path of a YAML file of the user's own.

    ``contract: Annotated[str, NameOrFile(names, read_contract)] = Field("bc_lfp", description=...)``. A file becomes an
    absolute path and is read by `check` before anything runs; its error is the sentence that refuses the parameter.
    """

    names: tuple[str, ...]
    check: Callable[[Path], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def _read(self, value: Any) -> str:
        if not is_file(value):
            if value in self.names:
                return value
            raise PydanticCustomError("no_name", "neither a name nor a file")
        try:
            path = Path(value).expanduser().resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"{str(value)!r} is no path of a file ({error}); give another") from None
        self.check(path)
        return str(path)


def is_file(value: Any) -> bool:
    """Whether a value of a `NameOrFile` parameter is meant as a path: it ends in .yml or .yaml."""
    return isinstance(value, str | Path) and Path(value).suffix in (".yml", ".yaml")


class Parameters(BaseModel):
    """Parameters of a study; `apmkit.studies.study` says how to write a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **_):
        for name, info in cls.model_fields.items():
            if info.is_required() or not info.description or "\n" in info.description:
                raise TypeError(f"Parameter {name!r} of {cls.__name__} needs a default and a description of one line.")
            if cls.takes_several(name) and _NONE in cls.choices(name):
                raise TypeError(f"Parameter {name!r} of {cls.__name__}: {_NONE!r} stands for no value at all.")
            if not cls.choices(name) and None in cls._bounds(name):
                raise TypeError(
                    f"Parameter {name!r} of {cls.__name__} allows too much: use Literal, bool, a tuple of a Literal, "
                    "int or float with ge and le, or NameOrFile."
                )

    @classmethod
    def choices(cls, name: str) -> tuple:
        """Values of a `Literal` or `bool`, the members a tuple may have, the names beside a file; none for a number."""
        if (file := cls._file(name)) is not None:
            return file.names
        annotation = cls.model_fields[name].annotation
        if cls.takes_several(name):
            annotation = get_args(annotation)[0]
        if annotation is bool:
            return (False, True)
        return get_args(annotation) if get_origin(annotation) is Literal else ()

    @classmethod
    def takes_several(cls, name: str) -> bool:
        """Whether the parameter is a tuple of values."""
        return get_origin(cls.model_fields[name].annotation) is tuple

    @classmethod
    def _file(cls, name: str) -> NameOrFile | None:
        return next((mark for mark in cls.model_fields[name].metadata if isinstance(mark, NameOrFile)), None)

    @classmethod
    def _bounds(cls, name: str) -> tuple:
        metadata = cls.model_fields[name].metadata
        return tuple(next((getattr(m, end) for m in metadata if hasattr(m, end)), None) for end in ("ge", "le"))

    @classmethod
    def some_values(cls, name: str) -> tuple:
        """Values for an example: all of a `Literal` or `bool`, single members of a tuple, both ends of a number."""
        choices = cls.choices(name) or cls._bounds(name)
        return tuple((choice,) for choice in choices) if cls.takes_several(name) else choices

    @classmethod
    def allowed(cls, name: str) -> str:
        """What a parameter may be, in words."""
        choices = cls.choices(name)
        if choices:
            words = (f"{_NONE}, or any of " if cls.takes_several(name) else "") + ", ".join(map(as_typed, choices))
            return words if cls._file(name) is None else f"{words}, or the path of a .yml file"
        low, high = cls._bounds(name)
        kind = "whole number" if cls.model_fields[name].annotation is int else "number"
        return f"{kind} from {low} to {high}"

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, values: Any) -> Any:
        """Take values as typed at a command line or in a file: ``2019`` for a literal 2019, ``a,b`` or ``none``."""
        if not isinstance(values, Mapping):
            return values
        read = dict(values)
        for name, value in [(k, v) for k, v in values.items() if k in cls.model_fields]:
            same = {as_typed(choice): choice for choice in cls.choices(name)}
            if cls.takes_several(name):
                if isinstance(value, str):
                    value = [] if value == _NONE else [part for part in value.split(",") if part]
                if isinstance(value, list | tuple):
                    value = tuple(same.get(part, part) if isinstance(part, str) else part for part in value)
            read[name] = same.get(value, value) if isinstance(value, str) else value
        return read

    @model_validator(mode="after")
    def _each_once(self):
        for name in filter(self.takes_several, type(self).model_fields):
            members = getattr(self, name)
            if len(set(members)) < len(members):
                raise ValueError(f"{name}={as_typed(members)} names a value twice; name each once")
        return self

    def checksums(self) -> dict[str, str]:
        """SHA-256 of the user's own files, by the parameter that names them."""
        given = {name: getattr(self, name) for name in filter(self._file, type(self).model_fields)}
        return {name: hashlib.sha256(Path(v).read_bytes()).hexdigest() for name, v in given.items() if is_file(v)}

    def plain(self) -> dict[str, Any]:
        """Values by name, fit for JSON and for a notebook cell."""
        return self.model_dump(mode="json")

    def changed(self) -> dict[str, Any]:
        """The values that differ from the defaults."""
        defaults = type(self)().plain()
        return {name: value for name, value in self.plain().items() if value != defaults[name]}


def as_typed(value: Any) -> str:
    """A value as it is typed at the command line.

    >>> [as_typed(value) for value in (2019, False, ("on", "qc"), ())]
    ['2019', 'false', 'on,qc', 'none']
    """
    if isinstance(value, bool):
        return str(value).lower()
    return (",".join(map(as_typed, value)) or _NONE) if isinstance(value, tuple | list) else str(value)
