"""Helpers of all functions: numbers by dim, primitives as tensors, writing in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ...autograd import is_grad_enabled
from ...errors import ShapeError
from ...ops.primitive import Primitive
from ...tensor import Tensor, apply
from ...tracing import TRACING

Size = int | Sequence[int]
OptionalSize = Size | None


def many(value: Size, dims: int) -> tuple[int, ...]:
    """One number a dim."""
    values = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    if len(values) not in (1, dims):
        raise ShapeError(f"met {len(values)} numbers {values}; expected 1 or {dims}, one a dim")
    return values * dims if len(values) == 1 else values


def one(primitive: Primitive, *operands: Any, **attributes: Any) -> Tensor:
    """The only output of a primitive, run on tensors."""
    return cast(Tensor, apply(primitive, *operands, **attributes))


def bent(primitive: Primitive, input: Tensor, inplace: bool, **attributes: Any) -> Tensor:
    """An activation, in place where that is asked for."""
    if not inplace:
        return one(primitive, input, **attributes)
    return input._become(one(primitive, input._before(), **attributes))


def is_free(input: Tensor) -> bool:
    """Whether the input's memory may be written to without a word to its history."""
    unseen = not (input.requires_grad and is_grad_enabled()) and TRACING.watcher is None
    return input.array.flags.writeable and unseen


def changed(input: Tensor) -> Tensor:
    """The input, whose memory was written to directly."""
    input.version[0] += 1
    return input
