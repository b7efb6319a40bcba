"""interpret(), which runs a graph node by node through the primitives: slow, and what executors must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtype import Array, of
from ..errors import DtypeError, EngineError, UnsupportedOpError
from ..ops import PRIMITIVES
from .ir import Graph, Node, Operand, Value


def interpret(graph: Graph, arrays: Sequence[Array], batch: int | None = None) -> list[Array]:
    """The outputs for these inputs; the batch is read off their shapes.

    Raises: ShapeError or DtypeError, before any work, where the inputs are not the graph's.
    """
    batch = _checked_batch(graph, arrays, batch)
    fixed = graph.at(batch)
    there: dict[str, Any] = {v.name: a for v, a in zip(fixed.inputs, arrays, strict=True)}
    given = set(there)
    last = {v.name: node for node in fixed.nodes for v in node.values}
    kept = given | {v.name for v in fixed.outputs}
    for node in fixed.nodes:
        for value, array in zip(node.outputs, run_node(node, there, graph), strict=True):
            there[value.name] = array
        for value in node.values:
            if last[value.name] is node and value.name not in kept:
                there.pop(value.name, None)
    return [np.array(_read(v, there, graph)) for v in fixed.outputs]


def run_node(node: Node, there: dict[str, Any], graph: Graph) -> tuple[Array, ...]:
    """The outputs of one node out of the arrays that are there, by name, and the graph's constants."""
    primitive = PRIMITIVES.get(node.op)
    if primitive is None:
        raise _placed(UnsupportedOpError(f"no primitive is called {node.op!r}"), node)
    try:
        result = primitive.run(*(_read(i, there, graph) for i in node.inputs), **node.attributes)
    except EngineError as error:
        raise _placed(error, node) from None
    return result if isinstance(result, tuple) else (np.asarray(result),)


def _placed(error: EngineError, node: Node) -> EngineError:
    error.layer = error.layer or node.layer
    return error


def _read(operand: Operand, there: dict[str, Any], graph: Graph) -> Any:
    if not isinstance(operand, Value):
        return operand
    return graph.constants[operand.name] if operand.name in graph.constants else there[operand.name]


def _checked_batch(graph: Graph, arrays: Sequence[Array], batch: int | None) -> int:
    found = graph.batch_of([a.shape for a in arrays])
    if batch is not None and graph.polymorphic and batch != found:
        raise EngineError(f"interpret: the inputs are a batch of {found}; met batch={batch}")
    for value, array in zip(graph.inputs, arrays, strict=True):
        if of(array).numpy != value.dtype.numpy:
            raise DtypeError(f"input {value.name!r}: met {of(array).name}; expected {value.dtype.name}")
    return found
