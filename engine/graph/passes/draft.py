"""Draft, a graph being written anew by a pass: what is kept, what is added, and what stands for what was there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

from ...dtype import Array, of
from ..ir import Graph, Node, Operand, Shape, Value


class Draft:
    """A pass goes through `graph.nodes` in order and keeps, replaces or leaves out each of them.

    What nothing reads in the end is dropped, so that a pass which replaces the last of some nodes by one that does the
    work of all of them need not take the others out.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants: dict[str, Array] = dict(graph.constants)
        self.made: dict[str, Node] = {}
        self._nodes: list[Node] = []
        self._readers = {name: len(nodes) for name, nodes in graph.users().items()}
        self._outputs = {value.name for value in graph.outputs}
        self._stand_ins: dict[str, Value] = {}
        self._taken = {v.name for v in graph.inputs} | set(graph.constants) | set(graph.producers())
        self._derived: dict[Hashable, Value] = {}

    # What is there

    def now(self, operand: Operand) -> Operand:
        """What an operand of the old graph is in the new one."""
        return self._stand_ins.get(operand.name, operand) if isinstance(operand, Value) else operand

    def maker(self, operand: Operand) -> Node | None:
        """The node of the new graph that makes a value; None for inputs, constants and numbers."""
        operand = self.now(operand)
        return self.made.get(operand.name) if isinstance(operand, Value) else None

    def array(self, operand: Operand) -> Array | None:
        """The array of a constant; None for anything else."""
        operand = self.now(operand)
        return self.constants.get(operand.name) if isinstance(operand, Value) else None

    def number(self, operand: Operand) -> float | None:
        """The value of a number, or of a constant that is just one."""
        if isinstance(operand, (bool, int, float)):
            return float(operand)
        array = self.array(operand)
        plain = array is not None and array.size == 1 and array.dtype.kind in "fiu"
        return float(array.reshape(-1)[0]) if array is not None and plain else None

    def is_between(self, value: Operand) -> bool:
        """Whether a value of the old graph is read just once, and is no output: it may vanish inside a larger node."""
        return isinstance(value, Value) and self._readers.get(value.name) == 1 and value.name not in self._outputs

    def is_unread(self, value: Value) -> bool:
        """Whether nothing reads a value of the old graph."""
        return value.name not in self._readers and value.name not in self._outputs

    # What is written

    def keep(self, node: Node, **changes: Any) -> Node:
        """Write a node with its inputs as they are now, and other changes."""
        changes.setdefault("inputs", node.inputs)
        changes["inputs"] = tuple(map(self.now, changes["inputs"]))
        node = replace(node, **changes)
        self._nodes.append(node)
        self.made.update((output.name, node) for output in node.outputs)
        return node

    def add(
        self, op: str, inputs: tuple[Operand, ...], like: Value, shape: Shape, /, layer: str = "", **attributes: Any
    ) -> Value:
        """Write a new node; its output has the dtype of a value, and a name that begins as that one's."""
        output = Value(self.fresh(like.name), shape, like.dtype)
        self.keep(Node(op, inputs, (output,), attributes, layer))
        return output

    def stand_in(self, value: Value, other: Value) -> None:
        """Have another value read wherever an old one was."""
        now = self.now(other)
        assert isinstance(now, Value)
        self._stand_ins[value.name] = now

    def constant(self, stem: str, array: Array) -> Value:
        """A new constant."""
        value = Value(self.fresh(stem), array.shape, of(array))
        self.constants[value.name] = array
        return value

    def derived(self, stem: str, key: Hashable, make: Callable[[], Array]) -> Value:
        """A constant made of others, once for each key: weights that are shared stay so."""
        if key not in self._derived:
            self._derived[key] = self.constant(stem, make())
        return self._derived[key]

    def fresh(self, stem: str) -> str:
        """A name that is not taken: the stem itself, or with a number."""
        stem = stem.partition("~")[0]
        name, number = stem, 1
        while name in self._taken:
            name, number = f"{stem}~{number}", number + 1
        self._taken.add(name)
        return name

    def release(self, value: Value) -> None:
        """Let a new value have the name of an old one that is no longer made."""
        self._taken.discard(value.name)

    def finish(self) -> Graph:
        """The new graph, without what nothing reads."""
        outputs = tuple(self.now(value) for value in self.graph.outputs)
        return without_unread(self.graph, outputs, self._nodes, self.constants)


def bias_beside(weight: Value) -> str:
    """The name of a bias that a layer has from now on, by its weight's."""
    stem = weight.name.partition("~")[0]
    return f"{stem.removesuffix('weight')}bias" if stem.endswith("weight") else f"{stem}.bias"


def without_unread(graph: Graph, outputs: tuple[Any, ...], nodes: list[Node], constants: Mapping[str, Array]) -> Graph:
    """A graph of those nodes and constants that the outputs need."""
    needed = {value.name for value in outputs}
    kept = []
    for node in reversed(nodes):
        if any(output.name in needed for output in node.outputs):
            kept.append(node)
            needed.update(value.name for value in node.values)
    return replace(
        graph,
        outputs=outputs,
        nodes=tuple(reversed(kept)),
        constants={name: array for name, array in constants.items() if name in needed},
    )
