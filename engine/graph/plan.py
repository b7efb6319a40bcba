"""Plan, a graph for one batch with all memory laid out: a flat list of steps over views that are bound once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..dtype import Array
from .costs import flops_of, moved_by
from .ir import Graph, Node, Operand, Value
from .layout import Layout
from .memory import aligned
from .shapes import check_shapes

Input = Array | bool | int | float | complex | None


@dataclass(frozen=True, eq=False)
class Step:
    """One operation over bound arrays; `constant` says which inputs never change, `name` the layer it stands in."""

    op: str
    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Array, ...]
    attributes: Mapping[str, Any]
    constant: tuple[bool, ...]
    flops: int
    bytes: int

    @property
    def output(self) -> Array:
        """The first output, for most operations the only one."""
        return self.outputs[0]

    def __str__(self) -> str:
        """Operation, inputs beside constant vectors, outputs, millions of operations on numbers, and the layer."""
        named = " ".join(filter(None, (self.op, self.attributes.get("activation"))))
        met = [_met(i) for i, fixed in zip(self.inputs, self.constant, strict=True) if not _is_minor(i, fixed)]
        flow = f"{', '.join(met)} → {', '.join(map(_met, self.outputs))}"
        return f"{named:<28} {flow:<48} {self.flops / 1e6:8.1f}  {self.name or '-'}"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a plan: the arena, how much of what lies in it is slabs, what it would be unshared, and constants."""

    arena: int
    slabs: int
    unshared: int
    constants: int


@dataclass(frozen=True, eq=False)
class Plan:
    """A graph for one batch: the caller's inputs are copied into `inputs`, the steps run in order, `outputs` is read.

    All arrays are views of buffers that the plan owns: it may be run by one thread at a time.
    """

    graph: Graph
    batch: int
    threads: int
    steps: tuple[Step, ...]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    memory: Memory
    arena: Array = field(repr=False)

    @property
    def flops(self) -> int:
        """Operations on numbers that a run takes, by the direct algorithms."""
        return sum(step.flops for step in self.steps)

    def __str__(self) -> str:
        m = self.memory
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return "\n".join([
            f"plan for a batch of {self.batch}, {threads}: {len(self.steps)} steps, {self.flops / 1e9:.2f} GFLOP",
            f"    # {'operation':<28} {'shapes':<48} {'MFLOP':>8}  layer",
            *(f"{number:5d} {step}" for number, step in enumerate(self.steps)),
            f"arena {_size(m.arena)} for buffers of {_size(m.unshared)}, of which {_size(m.slabs)} slabs; "
            f"constants {_size(m.constants)}",
        ])  # fmt: skip


def plan(graph: Graph, batch: int, threads: int = 1) -> Plan:
    """Lay out a graph for one batch and number of threads.

    Raises: ShapeError where an operation does not give what the graph says, as executors believe it.
    """
    fixed = graph.at(batch)
    check_shapes(fixed)
    layout = Layout.of(fixed)
    memory = aligned((layout.arena,), np.uint8)
    memory.fill(0)
    arrays = layout.bind(memory)
    steps = tuple(_steps(layout, arrays))
    constants = sum({id(a): a.nbytes for a in layout.constants.values()}.values())
    return Plan(
        graph,
        batch,
        threads,
        steps,
        tuple(arrays[v.name] for v in layout.graph.inputs),
        tuple(arrays[v.name] for v in layout.graph.outputs),
        Memory(layout.arena, layout.slabs, layout.unshared, constants),
        memory,
    )


def _steps(layout: Layout, arrays: Mapping[str, Array]) -> Iterator[Step]:
    for node in layout.running:
        inputs = tuple(arrays[i.name] if isinstance(i, Value) else _plain(i) for i in node.inputs)
        outputs = tuple(arrays[o.name] for o in node.outputs)
        constant = tuple(not isinstance(i, Value) or i.name in layout.constants for i in node.inputs)
        flops = flops_of(node.op, _arrays(inputs), outputs)
        yield Step(node.op, _name(node), inputs, outputs, node.attributes, constant, flops, moved_by(inputs, outputs))


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _met(item: Input) -> str:
    """A shape as 1x224x224x3; a number as it is."""
    return "x".join(map(str, item.shape)) or "scalar" if isinstance(item, np.ndarray) else str(item)


def _is_minor(item: Input, fixed: bool) -> bool:
    """Whether an input is a bias, scale or bound, or missing."""
    return item is None or (fixed and isinstance(item, np.ndarray) and item.ndim < 2)


def _plain(operand: Operand) -> Input:
    assert operand is None or isinstance(operand, (bool, int, float, complex)), "at(batch) leaves no Extent"
    return operand


def _arrays(inputs: Sequence[Input]) -> list[Array]:
    return [i for i in inputs if isinstance(i, np.ndarray)]


def _name(node: Node) -> str:
    return node.layer or node.output.name
