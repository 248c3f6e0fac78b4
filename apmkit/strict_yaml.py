"""YAML as people mean it: what the format would read as something else is refused, with the file and the line."""

from __future__ import annotations

import math
import re
from pathlib import Path

import yaml

from apmkit.errors import ApmkitError

_TAGS = {"map", "seq", "str", "bool", "null", "timestamp", "int", "float", "value", "merge"}
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_STRING, _BOOL, _NULL, _TIMESTAMP = (f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "null", "timestamp"))


class YamlError(ApmkitError):
    """A YAML file says something that can be read in two ways, or nothing; the message names the file and the line."""


class Mapping(dict):
    """A mapping of a file: `lines` gives the line on which each key stands, `line` that of its beginning."""

    def __init__(self, line: int):
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


def read(path: Path) -> Mapping:
    """The mapping that a YAML file holds: keys are texts, scalars texts, numbers, true, false or null.

    A number is written as in JSON and a truth value as true or false. Days stay texts. Everything else that YAML 1.1
    takes for something other than text (ON, yes, 012, 1:30, 1_000) must stand in quotes.

    Raises
    ------
    YamlError
        The file cannot be read, is no mapping, uses anchors or tags, repeats a key, or leaves a scalar in doubt.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "example.yml")
    >>> _ = file.write_text("province: ON")
    >>> read(file)
    Traceback (most recent call last):
        ...
    apmkit.strict_yaml.YamlError: example.yml, line 1: YAML reads ON as a truth value; put it in quotes, or write ...
    """
    name = path.name
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise YamlError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise YamlError(f"{name} is not UTF-8 text; save it as UTF-8.") from None
    except ValueError as error:
        raise YamlError(f"{str(path)!r} is no path of a file ({error}); give another.") from None
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if getattr(event, "anchor", None):
                raise YamlError(f"{_place(name, event)}: anchors and aliases are not read; write the value out.")
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(f"{name}, line {line}: this is not YAML ({error.problem}).") from None
    except yaml.YAMLError as error:
        raise YamlError(f"{name} is not YAML ({' '.join(str(error).split())}).") from None
    except RecursionError:
        raise YamlError(f"{name} is nested too deeply to read.") from None
    if not isinstance(top, yaml.MappingNode) or not top.value:
        raise YamlError(f"{name} must hold names with values, one 'name: value' a line.")
    return _value(top, name)


def _place(name: str, marked: yaml.Node | yaml.Event) -> str:
    return f"{name}, line {marked.start_mark.line + 1}"


def _value(node: yaml.Node, name: str):
    if node.tag.partition("2002:")[2] not in _TAGS:
        raise YamlError(f"{_place(name, node)}: tags such as {node.tag} are not read; write a plain value.")
    if isinstance(node, yaml.SequenceNode):
        return [_value(part, name) for part in node.value]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, name)
    found = Mapping(node.start_mark.line + 1)
    for key_node, value_node in node.value:
        key = _key(key_node, name)
        if key in found:
            raise YamlError(f"{_place(name, key_node)}: {key} is given twice; give it once.")
        found.lines[key] = key_node.start_mark.line + 1
        found[key] = _value(value_node, name)
    return found


def _key(node: yaml.Node, name: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise YamlError(f"{_place(name, node)}: a name must be one word, not a list or a mapping.")
    if node.value == "<<" and node.style is None:
        raise YamlError(f"{_place(name, node)}: merge keys (<<) are not read; write the values out.")
    if node.tag == _BOOL:
        raise YamlError(f"{_place(name, node)}: YAML reads the name {node.value} as a truth value; put it in quotes.")
    return node.value


def _scalar(node: yaml.ScalarNode, name: str) -> str | int | float | bool | None:
    text = node.value
    if node.style is not None or node.tag in (_STRING, _TIMESTAMP):
        if node.tag == _STRING and node.style is None and _NUMBER.fullmatch(text):
            raise YamlError(f"{_place(name, node)}: write the number {text} in plain digits, or put it in quotes.")
        if node.tag == _TIMESTAMP and node.style is None and not _DAY.fullmatch(text):
            raise YamlError(f"{_place(name, node)}: write the day {text} as YYYY-MM-DD, or put it in quotes.")
        return text
    if node.tag == _BOOL:
        if text not in ("true", "false"):
            raise YamlError(
                f"{_place(name, node)}: YAML reads {text} as a truth value; put it in quotes, or write true or false."
            )
        return text == "true"
    if node.tag == _NULL:
        if text != "null":
            raise YamlError(f"{_place(name, node)}: write a value or null; {text or 'an empty place'} is neither.")
        return None
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise YamlError(f"{_place(name, node)}: write the number {text} in plain digits, or put it in quotes.")
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
