"""Going through a model's nodes in order: names and what they stand for, functions, graphs inside nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import EngineError, FormatError
from ..formats.limits import quote
from ..graph.recording import CaptureError
from .calls import Call
from .items import Item, Thing
from .operators import OPERATORS
from .records import AttributeRecord, FunctionRecord, GraphRecord, ModelRecord, NodeRecord
from .running import Run

DEPTH = 64
BROKEN = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip


@dataclass(slots=True)
class Scope:
    """The names of a graph, and beyond them those of the graph around it."""

    values: dict[str, Thing]
    outer: Scope | None = None

    def __getitem__(self, name: str) -> Thing:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        raise FormatError(f"the value {quote(name)} is read, yet nothing makes it")


@dataclass(slots=True)
class Evaluation:
    """One way through a model."""

    model: ModelRecord
    run: Run
    depth: int = 0
    opsets: Mapping[str, int] = field(default_factory=dict)

    def graph(self, graph: GraphRecord, values: dict[str, Thing], outer: Scope | None = None) -> list[Thing]:
        """The outputs of a graph whose inputs and initialisers have these values."""
        scope = Scope(values, outer)
        self._nodes(graph.nodes, scope, {info.name for info in graph.outputs})
        return [scope[info.name] for info in graph.outputs]

    def _nodes(self, nodes: Sequence[NodeRecord], scope: Scope, kept: set[str]) -> None:
        last = _last_uses(nodes)
        for place, node in enumerate(nodes):
            inputs = [scope[name] if name else None for name in node.inputs]
            results = self._node(node, inputs, scope)
            for name, result in zip(node.outputs, results, strict=False):
                if name:
                    scope.values[name] = result
            for name in node.inputs:
                if last.get(name) == place and name not in kept:
                    scope.values.pop(name, None)

    def _node(self, node: NodeRecord, inputs: Sequence[Thing], scope: Scope) -> Sequence[Thing]:
        self.run.step()
        function = self.model.functions.get((node.domain, node.op, node.overload))
        if function is not None:
            return self._function(function, node, inputs)
        self.run.layer = node.name or next(filter(None, node.outputs), node.op)
        version = self.opsets.get(node.domain, 1)
        call = Call(self.run, node, version, lambda graph, given: self._inner(graph, given, scope))
        try:
            result = OPERATORS[node.domain, node.op](call, *inputs)
        except CaptureError:
            raise
        except EngineError as error:
            raise _located(error, call) from error
        except BROKEN as error:
            raise FormatError(f"{call.where}: {type(error).__name__}: {error}") from error
        return result if isinstance(result, tuple) else (result,)

    def _inner(self, graph: GraphRecord, given: Sequence[Thing], scope: Scope) -> list[Thing]:
        if len(given) > len(graph.inputs):
            raise FormatError(f"a graph with {len(graph.inputs)} inputs is given {len(given)}")
        values: dict[str, Thing] = {record.name: record for record in _initial(graph)}
        values.update({info.name: value for info, value in zip(graph.inputs, given, strict=False)})
        return self._deeper(self.opsets).graph(graph, values, scope)

    def _function(self, function: FunctionRecord, node: NodeRecord, inputs: Sequence[Thing]) -> list[Thing]:
        given = [*inputs, *[None] * (len(function.inputs) - len(inputs))]
        values: dict[str, Thing] = dict(zip(function.inputs, given, strict=False))
        inside = self._deeper({**self.opsets, **function.opsets})
        scope = Scope(values)
        attributes = {**function.defaults, **node.attributes}
        inside._nodes([_filled(n, attributes) for n in function.nodes], scope, set(function.outputs))
        return [scope[name] for name in function.outputs]

    def _deeper(self, opsets: Mapping[str, int]) -> Evaluation:
        if self.depth >= DEPTH:
            raise FormatError(f"graphs and functions inside one another, more than {DEPTH} deep")
        return Evaluation(self.model, self.run, self.depth + 1, opsets)


def _initial(graph: GraphRecord) -> list[Item]:
    """The initialisers of an inner graph, which the reader has made items of."""
    items: list[Any] = list(graph.initializers)
    return [item for item in items if isinstance(item, Item)]


def _last_uses(nodes: Sequence[NodeRecord]) -> dict[str, int]:
    """The last node that reads each name, itself or in a graph inside it."""
    return {name: place for place, node in enumerate(nodes) for name in names_read(node)}


def names_read(node: NodeRecord) -> set[str]:
    """The names that a node reads, itself or in a graph inside it."""
    names = set(node.inputs)
    for attribute in node.attributes.values():
        for graph in graphs_of(attribute):
            names |= {info.name for info in graph.outputs}
            for inner in graph.nodes:
                names |= names_read(inner)
    return names


def graphs_of(attribute: AttributeRecord) -> Sequence[GraphRecord]:
    """The graphs in an attribute."""
    values = attribute.value if isinstance(attribute.value, tuple) else (attribute.value,)
    return [value for value in values if isinstance(value, GraphRecord)]


def _filled(node: NodeRecord, given: Mapping[str, AttributeRecord]) -> NodeRecord:
    """A function's node with the attributes that it takes from the function's call."""
    attributes: dict[str, AttributeRecord] = {}
    for name, attribute in node.attributes.items():
        if not attribute.reference:
            attributes[name] = _inside(attribute, given)
        elif attribute.reference in given:
            attributes[name] = replace(given[attribute.reference], name=name)
    return replace(node, attributes=attributes)


def _inside(attribute: AttributeRecord, given: Mapping[str, AttributeRecord]) -> AttributeRecord:
    graphs = graphs_of(attribute)
    if not graphs:
        return attribute
    filled: Any = tuple(replace(g, nodes=[_filled(n, given) for n in g.nodes]) for g in graphs)
    return replace(attribute, value=filled if isinstance(attribute.value, tuple) else filled[0])


def _located(error: EngineError, call: Call) -> EngineError:
    """The error with the node that it happened in, told once."""
    if getattr(error, "located", False):
        return error
    located = type(error)(f"{call.where}: {error}")
    located.located = True  # type: ignore[attr-defined]
    return located
