"""Slabs: buffers into whose parts the inputs of a concatenation are written, so that nothing is left to be joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .ir import Graph, Node, Value
from .memory import Place, dense

# Operations on rows of numbers without gaps, which may lie at a distance from each other; all others take any strides.
ROWS = frozenset({
    "conv_nhwc", "gemm", "affine_nhwc", "max_pool_nhwc", "avg_pool_nhwc", "mean_nhwc", "layer_norm", "softmax",
    "log_softmax", "lstm", "gru", "rnn",
})  # fmt: skip
# Operations whose output is their input seen otherwise.
VIEWS = frozenset({"reshape", "permute", "getitem", "expand"})

Places = dict[str, Place]


def place_slabs(graph: Graph) -> Places:
    """Where the parts of concatenations, and what a permute turns round, are to be written.

    Concatenations are looked at last to first: an input that has a place in a larger slab keeps it, and one whose
    inputs lie side by side in a slab already is a part of it itself.
    """
    places: Places = {}
    makers = graph.producers()
    for node in reversed(graph.nodes):
        if is_join(node):
            _place_parts(node, places, makers)
        elif node.op == "permute":
            _place_turned(node, places, graph, makers)
    return places


def is_join(node: Node) -> bool:
    """Whether a node joins rows: a concatenation along the last dim."""
    return node.op == "cat" and node.attributes.get("dim", 0) in (-1, len(node.output.shape) - 1)


def _place_parts(node: Node, places: Places, makers: Mapping[str, Node]) -> None:
    parts = [v for v in node.inputs if isinstance(v, Value)]
    out = node.output
    if out.name not in places and (joined := _side_by_side(parts, places)):
        places[out.name] = replace(joined, shape=_sizes(out))
        return
    slab = places.setdefault(out.name, Place.whole(out.name, _sizes(out), out.dtype.numpy))
    start, last = 0, len(out.shape) - 1
    for part in parts:
        size = _sizes(part)[last]
        maker = makers.get(part.name)
        if part.name not in places and _writes(maker) and part.dtype == out.dtype:
            places[part.name] = slab.part(last, start, size)
        start += size


def _side_by_side(parts: list[Value], places: Places) -> Place | None:
    """The first part's place, where all parts have one, each beginning where the one before ends."""
    met = [places.get(part.name) for part in parts]
    first = met[0]
    if first is None:
        return None
    end = first.offset
    for place in met:
        if place is None or (place.root, place.strides, place.offset) != (first.root, first.strides, end):
            return None
        end += place.shape[-1] * place.strides[-1]
    return first


def _place_turned(node: Node, places: Places, graph: Graph, makers: Mapping[str, Node]) -> None:
    """Have the input of a permute written in the order of its output, so that the permute is a view."""
    before, after = node.inputs[0], node.output
    if not isinstance(before, Value) or {before.name, after.name} & places.keys() or graph.is_constant(before):
        return
    maker = makers.get(before.name)
    alone = len(graph.consumers(before)) == 1 and before.name not in {v.name for v in graph.outputs}
    if alone and (maker is None or (maker.op not in ROWS and maker.op not in VIEWS)):
        dims = [d % len(after.shape) for d in node.attributes["dims"]]
        strides = dense(_sizes(after), after.dtype.numpy.itemsize)
        back = tuple(strides[i] for i in np.argsort(dims))
        places[before.name] = Place(before.name, 0, _sizes(before), back, before.dtype.numpy)


def _writes(maker: Node | None) -> bool:
    """Whether there is a node that writes, and can write a part of longer rows."""
    return maker is not None and (maker.op not in VIEWS or maker.op == "permute")


def _sizes(value: Value) -> tuple[int, ...]:
    return tuple(int(size) for size in value.shape)  # type: ignore[arg-type]
