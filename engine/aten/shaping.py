"""Operators that see elements in other shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError, UnsupportedOpError
from ..functions import broadcast_tensors, cat
from ..nn import functional
from ..tensor import Tensor
from .arguments import number, several, sizes
from .table import aten, enter, in_place


@aten("view", "_unsafe_view", "reshape", "_reshape_alias")
def _(self: Tensor, size: Any, *_: Any) -> Tensor:
    """A view that PyTorch could take may be a copy here, where the elements lie otherwise."""
    if isinstance(size, int):
        raise UnsupportedOpError("view: the same bits as another dtype are not there")
    return self.reshape(sizes(size))


@aten("as_strided")
def _(self: Tensor, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
    """Elements of a tensor that lies in order, by the distances between them: the tensor itself, or a copy of some."""
    x, shape, steps, start = self.array, sizes(size), sizes(stride), int(storage_offset or 0)
    if not x.flags.c_contiguous:
        raise UnsupportedOpError("as_strided: the tensor's elements do not lie in order")
    if tuple(x.shape) == shape and not start and _reach(x.shape, steps) == _reach(x.shape, _in_order(x.shape)):
        return self
    places = np.full((1,) * len(shape), start)
    for dim, (count, step) in enumerate(zip(shape, steps, strict=True)):
        along = np.arange(count) * step
        places = places + along.reshape(-1, *(1,) * (len(shape) - dim - 1))
    if places.size and (places.min() < 0 or places.max() >= x.size):
        raise ShapeError(f"as_strided: {shape} by {steps} from {start} leaves the {x.size} elements that there are")
    return self.reshape(-1)[Tensor(places)]


def _in_order(shape: Sequence[int]) -> list[int]:
    """How far apart the elements of each dim are where all lie in order."""
    return [math.prod(shape[d + 1 :]) for d in range(len(shape))]


def _reach(shape: Sequence[int], steps: Sequence[int]) -> list[int]:
    """The steps that are taken at all."""
    return [step for n, step in zip(shape, steps, strict=True) if n > 1]


@aten("view_as", "reshape_as")
def _(self: Tensor, other: Tensor) -> Tensor:
    return self.reshape(other.array.shape)


@aten("flatten")
def _(self: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    return self.flatten(start_dim, end_dim)


@aten("unflatten")
def _(self: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    return self.unflatten(dim, [int(n) for n in sizes])


@aten("ravel")
def _(self: Tensor) -> Tensor:
    return self.ravel()


@aten("squeeze")
def _(self: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    return self.squeeze(dim)


@aten("unsqueeze")
def _(self: Tensor, dim: int) -> Tensor:
    return self.unsqueeze(dim)


@aten("permute")
def _(self: Tensor, dims: Sequence[int]) -> Tensor:
    return self.permute(sizes(dims))


@aten("transpose", "swapaxes", "swapdims")
def _(self: Tensor, dim0: int, dim1: int) -> Tensor:
    return self.transpose(dim0, dim1)


@aten("t")
def _(self: Tensor) -> Tensor:
    return self.t()


@aten("numpy_T")
def _(self: Tensor) -> Tensor:
    return self.T


@aten("mT")
def _(self: Tensor) -> Tensor:
    return self.mT


@aten("movedim", "moveaxis")
def _(self: Tensor, source: Any, destination: Any) -> Tensor:
    return self.movedim(source, destination)


@aten("expand")
def _(self: Tensor, size: Sequence[int], *, implicit: bool = False) -> Tensor:
    return self.expand(sizes(size))


@aten("broadcast_to")
def _(self: Tensor, size: Sequence[int]) -> Tensor:
    return self.expand(sizes(size))


@aten("expand_as")
def _(self: Tensor, other: Tensor) -> Tensor:
    return self.expand(other.array.shape)


@aten("broadcast_tensors")
def _(tensors: Sequence[Tensor]) -> list[Tensor]:
    return list(broadcast_tensors(*tensors))


@aten("repeat")
def _(self: Tensor, repeats: Sequence[int]) -> Tensor:
    return self.repeat(sizes(repeats))


@aten("tile")
def _(self: Tensor, dims: Sequence[int]) -> Tensor:
    return self.tile(sizes(dims))


@aten("repeat_interleave")
def _(self: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    if repeats is None:  # (repeats) alone: each number that often
        return Tensor(np.arange(self.size(0))).repeat_interleave(self)
    return self.repeat_interleave(repeats, dim)


@aten("flip")
def _(self: Tensor, dims: Sequence[int]) -> Tensor:
    return self.flip(sizes(dims))


@aten("roll")
def _(self: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    return self.roll(several(shifts) or 0, several(dims) if dims != () and dims != [] else None)


@aten("rot90")
def _(self: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    return self.rot90(k, dims)


@aten("tril")
def _(self: Tensor, diagonal: int = 0) -> Tensor:
    return self.tril(diagonal)


@aten("triu")
def _(self: Tensor, diagonal: int = 0) -> Tensor:
    return self.triu(diagonal)


@aten("diagonal")
def _(self: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    return self.diagonal(offset, dim1, dim2)


@aten("diag")
def _(self: Tensor, diagonal: int = 0) -> Tensor:
    return self.diag(diagonal)


@aten("unfold")
def _(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    return self.unfold(dimension, size, step)


@aten("atleast_1d")
def _(self: Tensor) -> Tensor:
    return self if self.dim() else self.reshape(1)


@aten("atleast_2d")
def _(self: Tensor) -> Tensor:
    return self if self.dim() > 1 else self.reshape(1, -1)


@aten("diff")
def _(self: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    ends = [t for t in (prepend, self, append) if t is not None]
    return (cat(ends, dim) if len(ends) > 1 else self).diff(n, dim)


@aten("diag_embed")
def _(self: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    size = self.size(-1) + abs(offset)
    square = self.new_zeros([*self.array.shape[:-1], size, size])
    square.diagonal(offset, -2, -1).copy_(self)
    return square.movedim((-2, -1), (dim1, dim2))


@aten("fliplr")
def _(self: Tensor) -> Tensor:
    return self.fliplr()


@aten("flipud")
def _(self: Tensor) -> Tensor:
    return self.flipud()


@aten("_shape_as_tensor")
def _(self: Tensor) -> Tensor:
    return Tensor(np.array(self.array.shape, np.int64))


@aten("pad")
def _(self: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    return functional.pad(self, sizes(pad), mode, value)


@aten("constant_pad_nd")
def _(self: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    return functional.pad(self, sizes(pad), "constant", number(value))


def _padding(mode: str) -> Any:
    def padded(self: Tensor, padding: Sequence[int]) -> Tensor:
        return functional.pad(self, sizes(padding), mode)

    return padded


for _dims in (1, 2, 3):
    enter(f"reflection_pad{_dims}d", _padding("reflect"))
    enter(f"replication_pad{_dims}d", _padding("replicate"))


@aten("size")
def _(self: Any, dim: int | None = None) -> Any:
    return list(self.array.shape) if dim is None else self.size(dim)


@aten("sym_size")
def _(self: Tensor, dim: int) -> int:
    return int(self.size(dim))


@aten("stride")
def _(self: Tensor, dim: int | None = None) -> Any:
    return list(self.stride()) if dim is None else self.stride(dim)


@aten("dim")
def _(self: Tensor) -> int:
    return self.array.ndim


@aten("numel", "sym_numel")
def _(self: Tensor) -> int:
    return self.array.size


@aten("is_contiguous")
def _(self: Tensor, memory_format: int = 0) -> bool:
    return self.is_contiguous()


@aten("contiguous")
def _(self: Tensor, *, memory_format: int = 0) -> Tensor:
    return self.contiguous()


for _name in ("squeeze", "unsqueeze", "transpose", "t"):

    def _renewed(self: Tensor, *args: Any, _name: str = _name) -> Tensor:
        """The tensor itself with another shape, over the same memory."""
        self.array = getattr(self.detach(), _name)(*args).array
        return self

    enter(f"{_name}_", _renewed)
enter("tril_", in_place("tril"))
enter("triu_", in_place("triu"))
