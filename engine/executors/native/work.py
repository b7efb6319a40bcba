"""Work, a native step with what it needs, and the helpers that builders of all kinds share."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...dtype import Array
from ...graph.memory import aligned
from ...graph.plan import Input, Step
from ...ops.lowered import activation_of
from ..packed import Packed
from .library import Library
from .structures import Activation, Finish, Kind

FEW_ROWS = 64  # so few that a tile that is not full makes a difference
L2_BYTES = 1 << 20  # what a thread's working set should stay under: the smaller of the usual second-level caches

_NAMES = {
    "sigmoid": Activation.SIGMOID,
    "tanh": Activation.TANH,
    "silu": Activation.SILU,
    "gelu": Activation.GELU,
    "gelu_tanh": Activation.GELU_TANH,
    "hardswish": Activation.HARDSWISH,
    "hardsigmoid": Activation.HARDSIGMOID,
}


class Unsupported(Exception):
    """A step that no native kernel computes: the NumPy executor's turn."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One native step: its kernel's arguments, units, floats of scratch a thread needs, arrays to keep alive.

    `cold` are its weights, which a model's run finds outside the near caches.
    """

    kind: Kind
    arguments: ctypes.Structure
    units: int
    scratch: int = 0
    kept: tuple[Any, ...] = ()
    cold: tuple[Array, ...] = ()


Maker = Callable[[], list[Work]]
Candidates = Mapping[str, Maker]


@dataclass(frozen=True, slots=True)
class Shop:
    """What builders need to know: the library's vectors, how many threads, and where packed weights are kept."""

    library: Library
    threads: int
    exact: bool = False
    packed: Packed = field(default_factory=Packed)

    @property
    def lanes(self) -> int:
        """Floats of a vector."""
        return self.library.lanes

    def padded(self, channels: int) -> int:
        """Channels rounded up to whole vectors."""
        return -(-channels // self.lanes) * self.lanes

    def widest(self, rows: int) -> int:
        """Vectors of a panel for so many rows: the most, or one less where that leaves less of the tiles unfilled."""
        most, by = self.library.max_vectors, self.library.rows
        if not by[most - 1] <= rows <= FEW_ROWS:
            return most
        return min((most, most - 1), key=lambda v: -(-rows // by[v]) * by[v])

    def vector(self, values: Array, fill: float = 0.0) -> Array:
        """A constant of one value a channel, filled up to whole vectors."""

        def make() -> Array:
            out = aligned((self.padded(values.size),))
            out.fill(fill)
            out[: values.size] = values
            return out

        return self.packed.get(values, ("vector", self.lanes, fill), make)


def builder_of(step: Step, builders: Mapping[str, Callable[[Step, Shop], Candidates]], shop: Shop) -> Candidates | None:
    """What can compute a step, or None."""
    if step.op not in builders or not all(_is_plain(i) for i in (*step.inputs, *step.outputs)):
        return None
    try:
        return builders[step.op](step, shop)
    except Unsupported:
        return None


def _is_plain(value: Input) -> bool:
    return not isinstance(value, np.ndarray) or (value.dtype == np.float32 and value.size > 0)


def array(step: Step, index: int) -> Array:
    """An input that must be an array."""
    value = step.inputs[index]
    if not isinstance(value, np.ndarray):
        raise Unsupported
    return value


def optional(step: Step, index: int) -> Array | None:
    """An input that is an array or not given."""
    return array(step, index) if len(step.inputs) > index and step.inputs[index] is not None else None


def constant(step: Step, index: int) -> Array:
    """An input that must be the same in every run, as it is packed once."""
    if not step.constant[index]:
        raise Unsupported
    return array(step, index)


def address(x: Array | None) -> int | None:
    """Where an array's first element lies; None stays None, a null pointer."""
    return None if x is None else x.ctypes.data


def pitch(x: Array) -> int:
    """Floats from one row of the last dim to the next, which must be the same throughout."""
    steps = [(size, stride // 4) for size, stride in zip(x.shape[:-1], x.strides[:-1], strict=True) if size > 1]
    if x.shape[-1] > 1 and x.strides[-1] != 4:
        raise Unsupported
    for (_, outer), (size, inner) in zip(steps, steps[1:], strict=False):
        if outer != size * inner:
            raise Unsupported
    return steps[-1][1] if steps else x.shape[-1]


def matrix(x: Array) -> tuple[int, int, int]:
    """Rows, columns and pitch of an array seen as a matrix of its last dim."""
    return int(np.prod(x.shape[:-1], dtype=np.int64)), x.shape[-1], pitch(x)


def finish_of(text: str) -> Finish:
    """The structure of an activation by its name in lowered graphs."""
    name, numbers = activation_of(text)
    if name == "":
        return Finish(Activation.IDENTITY, -np.inf, np.inf)
    if name == "relu":
        return Finish(Activation.CLAMP, 0, np.inf)
    if name == "relu6":
        return Finish(Activation.CLAMP, 0, 6)
    if name == "clamp":
        return Finish(Activation.CLAMP, *numbers)
    if name == "leaky_relu":
        return Finish(Activation.LEAKY_RELU, numbers[0], 0)
    if name not in _NAMES:
        raise Unsupported
    return Finish(_NAMES[name], 0, 0)


def share(count: int, threads: int, least: int = 1) -> int:
    """How many of `count` things a unit takes, so that each thread gets some units and none is tiny."""
    units = 1 if threads == 1 else 4 * threads
    return max(least, -(-count // units))
