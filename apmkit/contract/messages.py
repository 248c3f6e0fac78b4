"""What is wrong with a record, in one sentence with file, line, field and remedy."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError

_MESSAGES = {
    "missing": "is missing",
    "string_type": "must be a text; put it in quotes",
    "string_too_short": "is an empty text; write something or leave it out",
    "bool_type": "must be true or false",
    "too_short": "needs at least one entry",
    "tuple_type": "must be a list",
    "model_type": "must be names with values, one 'name: value' a line",
    "dict_type": "must be names with values, one 'name: value' a line",
    "none_required": "must be left out",
}


def sentence(error: ValidationError, given: Any, file: str) -> str:
    """The first thing that is wrong, with file, line, field and remedy."""
    first = error.errors()[0]
    line, path = getattr(given, "line", None), []
    for part in [*first["loc"], *([first["ctx"]["key"]] if first["type"] == "unknown_field" else [])]:
        if isinstance(given, list | tuple) and isinstance(part, int):
            given = given[part]
            path.append(str(part + 1))
            line = getattr(given, "line", line)
        elif isinstance(given, dict) and part in given:
            line = getattr(given, "lines", {}).get(part, line)
            given = given[part]
            path.append(part)
        elif first["type"] == "missing":
            path.append(str(part))
    place = file if line is None else f"{file}, line {line}"
    field = ".".join(path)
    if first["type"] == "literal_error":
        allowed = first["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        near = difflib.get_close_matches(str(given), allowed, n=1)
        meant = f"did you mean {near[0]}?" if near else f"write {', '.join(allowed[:-1])} or {allowed[-1]}."
        return f"{place}: {field} cannot be {given!r}; {meant}"
    if first["type"] == "string_pattern_mismatch":
        wanted = {"^[a-z]": "small letters, digits and _", r"^\d{4}": "a day as YYYY-MM-DD (or YYYY, in quotes)"}
        want = next((w for start, w in wanted.items() if first["ctx"]["pattern"].startswith(start)), "a doi, 10. ...")
        return f"{place}: {field} is {given!r}, but must be {want}."
    if first["type"] in _MESSAGES:
        return f"{place}: {field or 'a contract'} {_MESSAGES[first['type']]}."
    # Messages of pydantic name no field; those written here do.
    message = f"{field}: {first['msg']}" if "url" in first else first["msg"]
    return f"{place}: {message}" if message.endswith(("?", ".")) else f"{place}: {message}."
