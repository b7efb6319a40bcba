"""WorkflowSpec: the YAML of a workflow as a type, its graph checked (contract: workflows, section 1)."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NoReturn

from ..errors import InvalidDag, InvalidWorkflow
from ..yaml_files import Mapping as Marked
from ..yaml_files import read_mapping

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """One node, and how it is run; durations are seconds. Without a `url` it is a function of the handler file."""

    name: str
    url: str | None = None
    min_workers: int = 1
    max_workers: int = 1
    batch_size: int = 1
    max_batch_delay: float = 0.05
    retry_attempts: int = 1
    timeout: float = 10.0
    parents: tuple[str, ...] = ()


KEYS: dict[str, tuple[str, int, float]] = {
    "min-workers": ("min_workers", 0, 1),
    "max-workers": ("max_workers", 1, 1),
    "batch-size": ("batch_size", 1, 1),
    "max-batch-delay": ("max_batch_delay", 0, 0.001),
    "retry-attempts": ("retry_attempts", 0, 1),
    "timeout-ms": ("timeout", 1, 0.001),
}
"""A key of the file → the field it sets, the least value, and what a unit of it is of the field's."""


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """A workflow's nodes, parents before children, and its graph as it stands in the file."""

    nodes: tuple[Node, ...]
    dag: Mapping[str, tuple[str, ...]]
    defaults: Node
    """What the file says for all models, where it ends."""
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)
    """Where each node stands first in the graph."""

    @property
    def leaves(self) -> list[str]:
        """The nodes whose answers are the workflow's."""
        return [node.name for node in self.nodes if not self.dag.get(node.name)]

    @classmethod
    def read(cls, path: Path, functions: str | None) -> WorkflowSpec:
        """Read a workflow's YAML; `functions` is the text of its handler file, which is looked through and not run.

        Raises: InvalidDag where the graph is none, InvalidWorkflow for all else; the message names the line.
        """
        try:
            values, marked = read_mapping(path)
        except (OSError, ValueError) as error:
            raise InvalidWorkflow(str(error)) from error
        return _Reader(path.name, values, marked).spec(functions)


class _Reader:
    """Walks through one file; what it raises begins with the file's name and the line."""

    def __init__(self, file: str, values: dict[Any, Any], marked: Marked) -> None:
        self._file = file
        self._values = values
        self._marked = marked

    def spec(self, functions: str | None) -> WorkflowSpec:
        """The whole file."""
        models, defaults = self._models()
        dag, lines = self._dag()
        order = self._checked(dag, lines)
        parents = _parents(dag, lines)
        nodes = []
        for name in order:
            node = models.get(name) or replace(defaults, name=name, batch_size=1, max_batch_delay=0)
            if node.url is None:
                self._check_function(name, lines[name], functions, models)
            nodes.append(replace(node, parents=tuple(parents[name])))
        for name in models.keys() - set(order):
            logger.warning("%s: %s is no node of the dag and is not registered", self._at("models", name), name)
        return WorkflowSpec(tuple(nodes), dag, defaults, lines)

    def _models(self) -> tuple[dict[str, Node], Node]:
        """The models, and what holds for those that come after the last one."""
        defaults, models = Node(""), {}
        for key, value in self._section("models").items():
            if key in KEYS:
                defaults = replace(defaults, **self._setting(self._at("models", key), key, value))
            elif isinstance(value, dict):
                models[str(key)] = self._model(str(key), value, defaults)
            else:
                near = difflib.get_close_matches(str(key), KEYS, n=1)
                hint = f". Did you mean {near[0]}?" if near else ""
                self._refuse(
                    self._at("models", key), f"{key} is neither a setting nor a model, which is a mapping{hint}"
                )
        return models, defaults

    def _model(self, name: str, value: dict[Any, Any], defaults: Node) -> Node:
        node = replace(defaults, name=name)
        inner = self._marked.inner("models").inner(name)
        for key, given in value.items():
            line = f"{self._file} line {inner.lines.get(str(key), 0)}"
            if key == "url":
                node = replace(node, url=str(given))
            elif key in KEYS:
                node = replace(node, **self._setting(line, key, given))
            else:
                self._refuse(line, f"model {name} has no setting {key!r}; there are url, {', '.join(KEYS)}")
        if not node.url:
            self._refuse(self._at("models", name), f"model {name} has no url")
        return node

    def _setting(self, line: str, key: str, value: object) -> dict[str, Any]:
        name, least, unit = KEYS[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._refuse(line, f"{key}: expected a whole number of at least {least}, met {value!r}")
        return {name: value if unit == 1 else value * unit}

    def _dag(self) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
        """Each node that leads on, with those it leads to; and the line of each node."""
        marked = self._marked.inner("dag")
        dag: dict[str, tuple[str, ...]] = {}
        lines: dict[str, int] = {}
        for name, line in marked.twice.items():
            self._refuse(f"{self._file} line {line}", f"node {name} stands in the dag twice", InvalidDag)
        for key, value in self._section("dag").items():
            line = marked.lines.get(str(key), 0)
            following = [value] if isinstance(value, str) else [] if value is None else value
            if not isinstance(following, list) or not all(isinstance(each, str) for each in following):
                self._refuse(f"{self._file} line {line}", f"{key}: expected a list of nodes, met {value!r}", InvalidDag)
            dag[str(key)] = tuple(dict.fromkeys(following))
            lines[str(key)] = line
        for name, following in dag.items():
            for each in following:
                lines.setdefault(each, lines[name])
        return dag, lines

    def _checked(self, dag: Mapping[str, tuple[str, ...]], lines: Mapping[str, int]) -> list[str]:
        """The nodes, parents before children. Raises InvalidDag, beginning with TorchServe's words."""

        def refuse(words: str, name: str, why: str) -> NoReturn:
            raise InvalidDag(f"{words}: {self._file} line {lines[name]}: {why}")

        for name, following in dag.items():
            if name in following:
                refuse("Self loop exception", name, f"{name} leads to itself")
            for each in following:
                if name in dag.get(each, ()):
                    refuse("loop exception", name, f"{name} leads to {each}, and {each} to {name}")
        inner = {each for following in dag.values() for each in following}
        starts = [name for name in lines if name not in inner]
        if len(starts) > 1:
            refuse("DAG should have only one start node", starts[1], f"there are {', '.join(starts)}")
        try:
            order = list(TopologicalSorter(_parents(dag, lines)).static_order())
        except CycleError as error:
            circle = [str(name) for name in error.args[1][1:]]
            first = circle.index(min(circle, key=lambda name: lines[name]))
            circle = [*circle[first:], *circle[:first], circle[first]]
            refuse("Not a valid DAG", circle[0], f"{' → '.join(circle)} is a circle")
        if not starts:
            raise InvalidDag(f"DAG should have only one start node: {self._file}: the dag has no nodes")
        return order

    def _check_function(self, name: str, line: int, functions: str | None, models: Mapping[str, Node]) -> None:
        """See that a node which is no model can be a function of the handler file: its name stands there."""
        words = _words(functions or "")
        if name.isidentifier() and (name in words or "import *" in (functions or "")):
            return
        near = difflib.get_close_matches(name, [*models, *sorted(words)], n=1)
        where = "there is no handler file" if functions is None else "not in the handler file either"
        hint = f". Did you mean {near[0]}?" if near else ""
        self._refuse(f"{self._file} line {line}", f"node {name} is none of the models, and {where}{hint}", InvalidDag)

    def _section(self, key: str) -> dict[Any, Any]:
        value = self._values.get(key)
        if not isinstance(value, dict):
            line = self._marked.lines.get(key)
            self._refuse(self._file + (f" line {line}" if line else ""), f"{key}: expected a mapping, met {value!r}")
        return value

    def _at(self, section: str, key: object) -> str:
        return f"{self._file} line {self._marked.inner(section).lines.get(str(key), 0)}"

    @staticmethod
    def _refuse(where: str, why: str, kind: type[InvalidWorkflow] = InvalidWorkflow) -> NoReturn:
        raise kind(f"{where}: {why}")


def _parents(dag: Mapping[str, tuple[str, ...]], names: Mapping[str, int]) -> dict[str, list[str]]:
    """Each node with its parents, in the file's order."""
    parents: dict[str, list[str]] = {name: [] for name in names}
    for name, following in dag.items():
        for each in following:
            parents[each].append(name)
    return parents


def _words(text: str) -> set[str]:
    """All that may be a name in a Python file."""
    return {match[0] for match in re.finditer(r"[^\W\d]\w*", text)}
