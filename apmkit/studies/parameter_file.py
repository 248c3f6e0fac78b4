"""Read parameters from a YAML file."""

from __future__ import annotations

from pathlib import Path

import yaml

from apmkit.studies.study import StudyError


def read_parameters(path: Path) -> dict[str, str | list[str]]:
    """Parameters of a file, each a text or a list of texts: YAML's own reading makes Ontario's ON a truth value.

    Raises
    ------
    StudyError
        The file is no YAML, holds no names with values, is nested, or gives a name twice.
    """
    write = "write one 'name: value' on each line"
    try:
        top = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise StudyError(f"{path} is not YAML{line}: {write}.") from None
    if not isinstance(top, yaml.MappingNode) or not top.value:
        raise StudyError(f"{path} holds no parameters: {write}.")
    values: dict[str, str | list[str]] = {}
    for key, node in top.value:
        several = isinstance(node, yaml.SequenceNode)
        if not all(isinstance(part, yaml.ScalarNode) for part in (key, *(node.value if several else [node]))):
            raise StudyError(f"{path} is nested in line {key.start_mark.line + 1}: {write}, a list as [a, b].")
        if key.value in values:
            raise StudyError(f"{path} gives {key.value} twice: give it once.")
        values[key.value] = [part.value for part in node.value] if several else node.value
    return values
