"""Layout, the places of all values of a graph for one batch: slabs, views, and an arena packed by lives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..dtype import Array
from .interpret import run_node
from .ir import Graph, Node, Value
from .memory import Life, Place, at_home, pack
from .slabs import ROWS, VIEWS, is_join, place_slabs

FOREVER = 1 << 60


@dataclass
class Layout:
    """Where every value lies, and which nodes are left to run."""

    graph: Graph
    constants: dict[str, Array]
    places: dict[str, Place] = field(default_factory=dict)
    running: list[Node] = field(default_factory=list)
    lives: dict[str, Life] = field(default_factory=dict)
    arena: int = 0

    @classmethod
    def of(cls, graph: Graph) -> Layout:
        """Lay out a graph that has plain sizes alone."""
        graph, constants = _fold(graph)
        layout = cls(graph, {name: at_home(array) for name, array in constants.items()}, place_slabs(graph))
        for value in graph.inputs:
            layout._give(value)
        for node in graph.nodes:
            layout._enter(node)
        layout._live()
        layout.arena = pack(list(layout.lives.values()))
        return layout

    @property
    def unshared(self) -> int:
        """Bytes of all buffers, had each memory of its own."""
        return sum(life.size for life in self.lives.values())

    @property
    def slabs(self) -> int:
        """Bytes of the buffers that concatenations are written into part by part."""
        joins = {self.places[node.output.name].root for node in self.graph.nodes if is_join(node)}
        return sum(life.size for root, life in self.lives.items() if root in joins)

    def bind(self, memory: Array) -> dict[str, Array]:
        """The arrays of all values in the arena, and the constants."""
        buffers = {root: memory[life.offset : life.offset + life.size] for root, life in self.lives.items()}
        return {name: place.bind(buffers[place.root]) for name, place in self.places.items()} | self.constants

    def _enter(self, node: Node) -> None:
        """Find places for a node's outputs; it runs unless these are in place already."""
        if node.op in VIEWS and node.output.name not in self.places and (place := self._view(node)):
            self.places[node.output.name] = place
            return
        for value in node.outputs:
            self._give(value)
        if not self._is_in_place(node):
            self.running.append(node)

    def _give(self, value: Value) -> None:
        if value.name not in self.places:
            self.places[value.name] = Place.whole(value.name, _sizes(value), value.dtype.numpy)

    def _view(self, node: Node) -> Place | None:
        """The output as a view of the input, where all who read it can."""
        source = node.inputs[0]
        if not isinstance(source, Value) or source.name not in self.places:
            return None
        place = _seen(node, self.places[source.name])
        if place is None or (not place.is_rows and any(n.op in ROWS for n in self.graph.consumers(node.output))):
            return None
        return place

    def _is_in_place(self, node: Node) -> bool:
        """Whether a concatenation's parts are where it has them, or a view is where it is seen."""
        out = self.places[node.output.name]
        if node.op == "permute" and isinstance(source := node.inputs[0], Value) and source.name in self.places:
            return _seen(node, self.places[source.name]) == out
        if not is_join(node):
            return False
        start = 0
        for part in node.inputs:
            if not isinstance(part, Value) or part.name not in self.places:
                return False
            size = int(part.shape[-1])  # type: ignore[arg-type]
            if self.places[part.name] != out.part(len(out.shape) - 1, start, size):
                return False
            start += size
        return True

    def _live(self) -> None:
        """From the first step that writes a buffer to the last one that reads it, through whatever view."""
        sizes = {v.name: (v.dtype.numpy.itemsize, _sizes(v)) for n in self.graph.nodes for v in n.outputs}
        sizes |= {v.name: (v.dtype.numpy.itemsize, _sizes(v)) for v in self.graph.inputs}
        self.lives = {
            place.root: Life(math.prod(sizes[place.root][1]) * sizes[place.root][0], FOREVER, -1)
            for place in self.places.values()
        }
        for value in self.graph.inputs:
            self._needed(value, -1)
        for step, node in enumerate(self.running):
            for value in (*node.outputs, *node.values):
                self._needed(value, step)
        for value in self.graph.outputs:
            self._needed(value, FOREVER)

    def _needed(self, value: Value, step: int) -> None:
        if value.name in self.constants:
            return
        life = self.lives[self.places[value.name].root]
        life.first, life.last = min(life.first, step), max(life.last, step)


def _seen(node: Node, place: Place) -> Place | None:
    """The output of a node of VIEWS as a view of its input's place, if it can be one."""
    if node.op == "reshape":
        return place.reshaped(_sizes(node.output))
    if node.op == "permute":
        return place.seen(lambda x: x.transpose(node.attributes["dims"]))
    if node.op == "getitem":
        return place.seen(lambda x: x[(*node.attributes["index"], ...)])
    return place.seen(lambda x: np.broadcast_to(x, _sizes(node.output)))


def _fold(graph: Graph) -> tuple[Graph, dict[str, Array]]:
    """What is the same in every run, done once: nodes that read constants alone, such as a first state of zeros."""
    constants: dict[str, Any] = dict(graph.constants)
    left = []
    for node in graph.nodes:
        if all(value.name in constants for value in node.values):
            for value, array in zip(node.outputs, run_node(node, constants, graph), strict=True):
                constants[value.name] = np.asarray(array)
        else:
            left.append(node)
    return replace(graph, nodes=tuple(left), constants=constants), _read(left, graph, constants)


def _read(nodes: list[Node], graph: Graph, constants: Mapping[str, Array]) -> dict[str, Array]:
    names = {v.name for n in nodes for v in n.values} | {v.name for v in graph.outputs}
    return {name: array for name, array in constants.items() if name in names}


def _sizes(value: Value) -> tuple[int, ...]:
    return tuple(int(size) for size in value.shape)  # type: ignore[arg-type]
