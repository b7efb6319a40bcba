"""Recordings of one module, lined up: what they share is the graph, and sizes that follow the batch are Extents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtype import Array, of
from .ir import Extent, Graph, Node, Shape, Value
from .recording import CaptureError, Event, Recording, Ref, Slot

SHAPED = {"reshape", "expand"}


def align(recordings: Sequence[Recording]) -> Graph:
    """The graph that all recordings are runs of; CaptureError where they differ by more than sizes."""
    return _Alignment(recordings).graph()


class Differ(Exception):
    """Items that no size explains."""


class _Alignment:
    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings = recordings
        self.first = recordings[0]
        self.batches = [r.batch for r in recordings]
        self.names = _names(self.first)
        self.values: dict[int, Value] = {}
        self.constants: dict[str, Array] = {}
        self.opening: list[Node] = []

    def graph(self) -> Graph:
        self._check_lengths()
        for number in range(self.first.inputs):
            slots = self._slots(number)
            self.values[number] = Value(self.names[number], self._shape(slots), slots[0].dtype)
        nodes = [self._node(events) for events in zip(*(r.events for r in self.recordings), strict=True)]
        outputs = tuple(self._value(number) for number in self.first.outputs)
        inputs = tuple(self.values[n] for n in range(self.first.inputs))
        graph = Graph(inputs, outputs, (*self.opening, *nodes), self.constants, self.first.structure)
        return graph.validate()

    def _check_lengths(self) -> None:
        for other in self.recordings[1:]:
            for mine, theirs in zip(self.first.events, other.events, strict=False):
                if (mine.op, mine.results) != (theirs.op, theirs.results):
                    ways = f"{mine.op} at {mine.place}, {theirs.op} at {theirs.place}"
                    raise CaptureError(f"runs eager: two runs took different ways: {ways}")
            if len(self.first.events) != len(other.events) or self.first.outputs != other.outputs:
                raise CaptureError("runs eager: two runs took different ways near their end")
            if self.first.structure != other.structure:
                raise CaptureError("runs eager: two runs gave results of different structure")

    def _slots(self, number: int) -> list[Slot]:
        return [r.slots[number] for r in self.recordings]

    def _node(self, events: Sequence[Event]) -> Node:
        event = events[0]
        try:
            operands = self.unified([e.operands for e in events])
            inputs = tuple(self._value(o.number) if isinstance(o, Ref) else o for o in operands)
            outputs = tuple(self._result(number) for number in event.results)
            attributes = {} if event.op in SHAPED else self.unified([e.attributes for e in events])
        except Differ as difference:
            raise CaptureError(f"runs eager: {event.op} at {event.place}: {difference}") from None
        if event.op in SHAPED:
            attributes = {"shape": outputs[0].shape}
        return Node(event.op, inputs, outputs, attributes, event.layer)

    def _result(self, number: int) -> Value:
        slots = self._slots(number)
        value = Value(self.names[number], self._shape(slots), slots[0].dtype)
        self.values[number] = value
        return value

    def _value(self, number: int) -> Value:
        """A value; a constant at its first use."""
        if number not in self.values:
            self.values[number] = self._constant(number)
        return self.values[number]

    def _constant(self, number: int) -> Value:
        slots, name = self._slots(number), self.names[number]
        arrays = [s.array for s in slots if s.array is not None]
        if len(arrays) == len(slots) and len({a.shape for a in arrays}) == 1 and _same(arrays):
            return self._kept(name, arrays[0])
        try:
            return self._following(name, slots, arrays)
        except Differ as difference:
            what = f"{slots[0].name!r}" if slots[0].name else "a tensor that was computed past the engine's operations"
            raise CaptureError(f"runs eager: {what}, used at {slots[0].place}: {difference}") from None

    def _kept(self, name: str, array: Array) -> Value:
        shown = array.view()
        shown.flags.writeable = False
        self.constants[name] = shown
        return Value(name, array.shape, of(array))

    def _following(self, name: str, slots: Sequence[Slot], arrays: Sequence[Array]) -> Value:
        """A constant whose shape follows the batch: the same all along it, or counted through."""
        shape = self._shape(slots)
        if all(isinstance(size, int) for size in shape):
            raise Differ("its values differ between runs")
        along = tuple(slice(0, 1) if isinstance(size, Extent) else slice(None) for size in shape)
        parts = [a[along] for a in arrays]
        uniform = all(
            np.array_equal(a, np.broadcast_to(p, a.shape), equal_nan=a.dtype.kind == "f")
            for a, p in zip(arrays, parts, strict=True)
        )
        if uniform and _same(parts):
            part = self._kept(f"{name}.part", np.ascontiguousarray(parts[0]))
            value = Value(name, shape, slots[0].dtype)
            self.opening.append(Node("expand", (part,), (value,), {"shape": shape}))
            return value
        return self._counted(name, shape, arrays)

    def _counted(self, name: str, shape: Shape, arrays: Sequence[Array]) -> Value:
        """Whole numbers that grow by the same along the batch, as arange gives them: a running sum of ones."""
        axes = [axis for axis, size in enumerate(shape) if isinstance(size, Extent)]
        if len(axes) != 1 or arrays[0].dtype != np.int64:
            raise Differ("its values differ between runs")
        axis = axes[0]
        longest = max(arrays, key=lambda a: a.shape[axis])
        start = longest.take([0], axis)
        step = longest.take([1], axis) - start if longest.shape[axis] > 1 else np.ones_like(start)
        for array in arrays:
            counts = np.arange(array.shape[axis]).reshape([-1 if d == axis else 1 for d in range(array.ndim)])
            if not np.array_equal(array, start + step * counts):
                raise Differ("its values differ between runs")
        return self._running(name, shape, axis, start, step)

    def _running(self, name: str, shape: Shape, axis: int, start: Array, step: Array) -> Value:
        """The value start, start + step, … along an axis, as nodes at the graph's opening."""
        if (step == step.flat[0]).all():
            step = step[(slice(0, 1),) * step.ndim]
        one = self._kept(f"{name}.step", step)
        along = tuple(shape[axis] if d == axis else size for d, size in enumerate(step.shape))
        before = start - step
        same = (before == before.flat[0]).all()
        first = int(before.flat[0]) if same else self._kept(f"{name}.start", before)
        whole = along if same else shape
        steps, sums = (Value(f"{name}{end}", along, one.dtype) for end in (".steps", ".sums"))
        value = Value(name, shape, one.dtype)
        result = value if whole == shape else Value(f"{name}.row", whole, one.dtype)
        self.opening += [
            Node("expand", (one,), (steps,), {"shape": along}),
            Node("cumsum", (steps,), (sums,), {"dim": axis}),
            Node("add", (sums, first), (result,)),
        ]
        if result is not value:
            self.opening.append(Node("expand", (result,), (value,), {"shape": shape}))
        return value

    def _shape(self, slots: Sequence[Slot]) -> Shape:
        if len({s.dtype for s in slots}) > 1:
            raise CaptureError(f"runs eager: two runs gave different dtypes at {slots[0].place}")
        try:
            return tuple(self.unified([s.shape for s in slots]))
        except Differ as difference:
            raise CaptureError(f"runs eager: the shape at {slots[0].place}: {difference}") from None

    def unified(self, items: Sequence[Any]) -> Any:
        """One item for all recordings, with Extents where numbers follow the batch."""
        first = items[0]
        if any(type(i) is not type(first) for i in items):
            raise Differ(f"met {' and '.join(map(repr, items))}")
        if isinstance(first, (tuple, list)) and not isinstance(first, Ref):
            return type(first)(self.unified(parts) for parts in self._columns(items))
        if isinstance(first, dict):
            names = [tuple(i) for i in items]
            values = self._columns([tuple(i.values()) for i in items])
            return dict(zip(self.unified(names), map(self.unified, values), strict=True))
        if isinstance(first, slice):
            return slice(*self.unified([(i.start, i.stop, i.step) for i in items]))
        return self._unified_leaf(items)

    def _columns(self, items: Sequence[Any]) -> Any:
        if len({len(i) for i in items}) > 1:
            raise Differ(f"met {' and '.join(map(repr, items))}")
        return zip(*items, strict=True)

    def _unified_leaf(self, items: Sequence[Any]) -> Any:
        first = items[0]
        if all(i is first or i == first or (i != i and first != first) for i in items):
            return int(first) if isinstance(first, np.integer) else first
        if isinstance(first, (int, np.integer)) and not isinstance(first, bool):
            return self._extent([int(i) for i in items])
        raise Differ(f"met {' and '.join(map(repr, items))}, which no batch explains")

    def _extent(self, sizes: Sequence[int]) -> Extent:
        (n, m), (a, b) = self.batches[:2], sizes[:2]
        if n != m and (b - a) % (m - n) == 0:
            extent = Extent((b - a) // (m - n), a - n * ((b - a) // (m - n)))
            if all(extent.at(batch) == size for batch, size in zip(self.batches, sizes, strict=True)):
                return extent
        raise Differ(f"met {' and '.join(map(str, sizes))} for batches of {' and '.join(map(str, self.batches))}")


def _same(arrays: Sequence[Array]) -> bool:
    first = arrays[0]
    return all(a is first or np.array_equal(first, a, equal_nan=a.dtype.kind in "fc") for a in arrays[1:])


def _names(recording: Recording) -> list[str]:
    """A name for every value: its own, or that of the operation that makes it and a number."""
    made = {number: event.op for event in recording.events for number in event.results}
    counts: Counter[str] = Counter()
    taken = {slot.name for slot in recording.slots if slot.name}
    names = []
    for number, slot in enumerate(recording.slots):
        stem = made.get(number, "constant")
        name = slot.name
        while not name:
            candidate = f"{stem}_{counts[stem]}"
            counts[stem] += 1
            name = candidate if candidate not in taken else ""
        names.append(name)
    return names
