"""Passes that leave out what need not be computed: in every run, twice, or at all."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from ...dtype import DType
from ..interpret import run_node
from ..ir import Extent, Graph, Node, Value, each
from .draft import Draft, without_unread

FEW_BYTES = 1 << 16  # of constants whose content is compared
MOST_BYTES = 1 << 26  # of a constant that is made out of smaller ones


def remove_dead(graph: Graph) -> Graph:
    """Leave out nodes and constants that no output depends on."""
    return without_unread(graph, graph.outputs, list(graph.nodes), graph.constants)


def fold_constants(graph: Graph) -> Graph:
    """Compute once what depends on constants alone."""
    draft = Draft(graph)
    for node in graph.nodes:
        if not _is_foldable(node, draft):
            draft.keep(node)
            continue
        for value, array in zip(node.outputs, run_node(node, {}, _constants_of(draft)), strict=True):
            draft.constants[value.name] = np.asarray(array)
    return draft.finish()


def _constants_of(draft: Draft) -> Graph:
    return Graph((), (), (), draft.constants)


def _is_foldable(node: Node, draft: Draft) -> bool:
    known = all(draft.array(value) is not None for value in node.values)
    if not known or any(isinstance(size, Extent) for value in node.outputs for size in value.shape):
        return False
    found: list[Any] = [operand for operand in node.inputs if isinstance(operand, Extent)]
    each(dict(node.attributes), lambda item: found.append(item) if isinstance(item, Extent) else None)
    made = sum(math.prod(s for s in v.shape if isinstance(s, int)) * v.dtype.itemsize for v in node.outputs)
    return not found and made <= MOST_BYTES


def merge_equal(graph: Graph) -> Graph:
    """Compute once what several nodes compute alike, and keep small constants of the same content once."""
    draft = Draft(graph)
    _merge_constants(draft)
    known: dict[Hashable, Node] = {}
    for node in graph.nodes:
        key = _key(node, draft)
        if key is not None and (first := known.get(key)):
            for value, other in zip(node.outputs, first.outputs, strict=True):
                draft.stand_in(value, other)
            continue
        kept = draft.keep(node)
        if key is not None:
            known[key] = kept
    return draft.finish()


def _merge_constants(draft: Draft) -> None:
    known: dict[Hashable, Value] = {}
    for value in {v.name: v for node in draft.graph.nodes for v in node.values}.values():
        array = draft.constants.get(value.name)
        if array is not None and array.nbytes <= FEW_BYTES:
            draft.stand_in(value, known.setdefault((value.dtype, array.shape, array.tobytes()), value))


def _key(node: Node, draft: Draft) -> Hashable | None:
    """What two nodes agree in that compute the same; None where an attribute cannot be compared."""
    operands = tuple(
        now.name if isinstance(now := draft.now(operand), Value) else (type(now).__name__, str(now))
        for operand in node.inputs
    )
    try:
        key = (node.op, operands, tuple(v.dtype for v in node.outputs), _frozen(node.attributes))
        hash(key)
    except TypeError:
        return None
    return key


def _frozen(item: Any) -> Hashable:
    if isinstance(item, Mapping):
        return tuple((name, _frozen(part)) for name, part in sorted(item.items()))
    if isinstance(item, (tuple, list)):
        return type(item).__name__, tuple(map(_frozen, item))
    if isinstance(item, slice):
        return "slice", _frozen((item.start, item.stop, item.step))
    if isinstance(item, DType):
        return item.name
    return type(item).__name__, item
