"""The parameters of a study: typed, each with a default, a line of description and a closed set of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator

_NONE = "none"


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
                    "or int or float with ge and le."
                )

    @classmethod
    def choices(cls, name: str) -> tuple:
        """Values of a `Literal` or `bool` parameter, the members a tuple may have; empty for a number."""
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
    def _bounds(cls, name: str) -> tuple:
        metadata = cls.model_fields[name].metadata
        return tuple(next((getattr(m, end) for m in metadata if hasattr(m, end)), None) for end in ("ge", "le"))

    @classmethod
    def allowed(cls, name: str) -> str:
        """What a parameter may be, in words."""
        choices = cls.choices(name)
        if choices:
            return (f"{_NONE}, or any of " if cls.takes_several(name) else "") + ", ".join(map(as_typed, choices))
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
