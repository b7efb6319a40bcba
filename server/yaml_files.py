"""YAML files: plain data alone, with the lines that messages name; those of archives are of bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .properties import InvalidConfiguration

YAML_BYTES = 1 << 20
YAML_NODES = 100_000


class Mapping:
    """A mapping as it stands in a file: `lines` has the line of each key, `inner` the mappings among the values."""

    def __init__(self, node: yaml.Node | None) -> None:
        """Read the marks of `node`."""
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        named = [(key, value) for key, value in pairs if isinstance(key, yaml.ScalarNode)]
        self.lines = {key.value: _line(key) for key, _ in named}
        self.twice = {key.value: _line(key) for key, _ in named if self.lines[key.value] != _line(key)}
        """The keys that stand there more than once, with the line of the first."""
        self._values = {key.value: value for key, value in named}

    def inner(self, key: str) -> Mapping:
        """The mapping under a key; an empty one where there is none."""
        return Mapping(self._values.get(key))


def read_yaml(path: Path) -> tuple[dict[Any, Any], dict[str, int]]:
    """A YAML mapping and the line of each of its top keys.

    Raises: ValueError where it is none, too large, or holds more than plain data.
    """
    values, mapping = read_mapping(path)
    return values, mapping.lines


def read_named(setting: str, path: Path) -> dict[Any, Any]:
    """The mapping in a file that a setting names; the operator's own, so of any size.

    Raises: InvalidConfiguration naming the setting, the file and the line.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidConfiguration(
            f"Invalid configuration: {setting} {path} cannot be read: {_one_line(error)}"
        ) from error
    if not isinstance(found, dict):
        raise InvalidConfiguration(f"Invalid configuration: {setting} {path}: expected a mapping")
    return found


def read_mapping(path: Path) -> tuple[dict[Any, Any], Mapping]:
    """A YAML mapping, and where what stands in the file. Raises as `read_yaml`."""
    if path.stat().st_size > YAML_BYTES:
        raise ValueError(f"{path.name}: {path.stat().st_size} bytes; a YAML file may have {YAML_BYTES} at most")
    try:
        loader = yaml.SafeLoader(path.read_bytes())
        node = loader.get_single_node()
        if node is None:
            return {}, Mapping(None)
        _expanded(node, {})
        values = loader.construct_document(node)
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error
    except Exception as error:  # PyYAML's constructors raise whatever a wrong tag leads them to
        raise ValueError(f"{path.name} is no readable YAML: {_one_line(error)}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path.name}: expected a mapping of keys, met a {type(values).__name__}")
    return values, Mapping(node)


def _expanded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many nodes the document has once every alias is written out; refuses too many, and circles."""
    if id(node) not in sizes:
        sizes[id(node)] = YAML_NODES + 1  # met again before it is counted: a circle
        sizes[id(node)] = 1 + sum(_expanded(child, sizes) for child in _children(node))
    if sizes[id(node)] > YAML_NODES:
        raise yaml.MarkedYAMLError(problem="its aliases make it too large", problem_mark=node.start_mark)
    return sizes[id(node)]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _one_line(error: Exception) -> str:
    """PyYAML spreads an error over lines; what a reader needs is where it is, and where what it breaks began."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if not isinstance(error, yaml.MarkedYAMLError) or not error.problem_mark:
        return getattr(error, "problem", None) or str(error)
    line, begun = error.problem_mark.line + 1, error.context_mark and error.context_mark.line + 1
    context = f" {error.context}, begun in line {begun}" if begun and begun != line else ""
    return f"line {line}: {error.problem}{context}"
