"""Shape, views, and arranging elements anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ..errors import ShapeError
from ..ops import indexing
from ..ops import shape as ops
from ..ops.unary import contiguous
from ..ops.windows import channels_last
from ..size import Size
from ..tracing import values_of
from .base import Methods, in_place
from .indexing import dim_at


def sizes_of(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3), ((2, 3),) and ([2, 3],) all mean 2 and 3."""
    if len(sizes) == 1 and not hasattr(sizes[0], "__index__"):
        return tuple([int(n) for n in sizes[0]])
    if len(sizes) == 1 and isinstance(sizes[0], Methods) and sizes[0].array.ndim:
        return tuple([int(n) for n in values_of(sizes[0], "sizes")])
    return tuple([int(n) for n in sizes])


class ShapeMethods(Methods):
    """Shape and views."""

    __slots__ = ()

    @property
    def shape(self) -> Size:
        """Size along each dim."""
        return Size(self.array.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along one dim. Source: torch.Tensor.size."""
        return Size(self.array.shape) if dim is None else self.array.shape[self._at(dim)]

    def dim(self) -> int:
        """How many dims there are. Source: torch.Tensor.dim."""
        return self.array.ndim

    ndimension = dim

    @property
    def ndim(self) -> int:
        """How many dims there are."""
        return self.array.ndim

    def numel(self) -> int:
        """How many elements there are. Source: torch.numel."""
        return self.array.size

    nelement = numel

    def stride(self, dim: int | None = None) -> Any:
        """Steps in elements along each dim, or along one. Source: torch.Tensor.stride."""
        steps = tuple(n // self.array.itemsize for n in self.array.strides)
        return steps if dim is None else steps[self._at(dim)]

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in the order of the dims. Source: torch.Tensor.is_contiguous."""
        return self.array.flags.c_contiguous

    def _at(self, dim: int) -> int:
        return dim_at(dim, self.array.ndim)

    def reshape(self, *shape: Any) -> Self:
        """The elements in another shape; one size may be -1. Source: torch.reshape."""
        return self._apply(ops.reshape, shape=sizes_of(shape))

    def view(self, *shape: Any) -> Self:
        """As reshape, sharing memory; ShapeError where that needs a copy, unless of a layer's channels-last result.

        Source: torch.Tensor.view.
        """
        view = self._apply(ops.reshape, shape=sizes_of(shape))
        if self.array.size and not np.may_share_memory(view.array, self.array) and not channels_last(self.array):
            raise ShapeError(
                f"view: {self.array.shape} with strides {self.stride()} cannot be seen as {sizes_of(shape)} "
                "without a copy; use .reshape(...)"
            )
        return view

    def view_as(self, other: Self) -> Self:
        """view() in another tensor's shape. Source: torch.Tensor.view_as."""
        return self.view(other.array.shape)

    def reshape_as(self, other: Self) -> Self:
        """reshape() in another tensor's shape. Source: torch.Tensor.reshape_as."""
        return self.reshape(other.array.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Self:
        """The dims from start to end as one. Source: torch.flatten."""
        shape = self.array.shape
        start, end = self._at(start_dim), self._at(end_dim)
        if start > end:
            raise ShapeError(f"flatten: start_dim {start_dim} is behind end_dim {end_dim} in {shape}")
        if start == end and shape:
            return self
        return self.reshape(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Self:
        """One dim as several. Source: torch.unflatten."""
        at, shape = self._at(dim), self.array.shape
        known = math.prod(n for n in sizes if n != -1)
        filled = [shape[at] // known if n == -1 and known else n for n in sizes]
        if math.prod(filled) != shape[at]:
            raise ShapeError(
                f"unflatten: dim {dim} of {shape} has size {shape[at]}, which is not that of {tuple(sizes)}"
            )
        return self.reshape(*shape[:at], *filled, *shape[at + 1 :])

    def ravel(self) -> Self:
        """All dims as one. Source: torch.ravel."""
        return self.reshape(-1)

    def squeeze(self, dim: int | Sequence[int] | None = None) -> Self:
        """Without dims of size 1, all or those named. Source: torch.squeeze."""
        ndim = self.array.ndim
        chosen = range(ndim) if dim is None else [self._at(d) for d in ([dim] if isinstance(dim, int) else dim)]
        return self.reshape([n for d, n in enumerate(self.array.shape) if n != 1 or d not in chosen])

    def unsqueeze(self, dim: int) -> Self:
        """With a new dim of size 1. Source: torch.unsqueeze."""
        at = dim_at(dim, self.array.ndim + 1)
        return self.reshape(*self.array.shape[:at], 1, *self.array.shape[at:])

    def permute(self, *dims: Any) -> Self:
        """The dims in another order. Source: torch.permute."""
        return self._apply(ops.permute, dims=sizes_of(dims))

    def transpose(self, dim0: int, dim1: int) -> Self:
        """Two dims exchanged. Source: torch.transpose."""
        dims = list(range(self.array.ndim))
        if dims:
            a, b = self._at(dim0), self._at(dim1)
            dims[a], dims[b] = dims[b], dims[a]
        return self._apply(ops.permute, dims=tuple(dims))

    swapaxes = swapdims = transpose

    def t(self) -> Self:
        """A matrix turned; vectors stay. Source: torch.t."""
        if self.array.ndim > 2:
            raise ShapeError(f"t: {self.array.shape}: expected at most 2 dims; use .transpose(dim0, dim1)")
        return self.permute(*reversed(range(self.array.ndim)))

    @property
    def T(self) -> Self:
        """The dims in reverse. Source: torch.Tensor.T."""
        return self.permute(*reversed(range(self.array.ndim)))

    @property
    def mT(self) -> Self:
        """The last two dims exchanged. Source: torch.Tensor.mT."""
        return self.transpose(-2, -1)

    @property
    def H(self) -> Self:
        """A matrix turned and conjugated. Source: torch.Tensor.H."""
        return self.transpose(0, 1)

    def movedim(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Self:
        """Dims moved to other places, the rest in order. Source: torch.movedim."""
        froms = [self._at(d) for d in ([source] if isinstance(source, int) else source)]
        tos = [self._at(d) for d in ([destination] if isinstance(destination, int) else destination)]
        order = [d for d in range(self.array.ndim) if d not in froms]
        for to, source_dim in sorted(zip(tos, froms, strict=True)):
            order.insert(to, source_dim)
        return self.permute(*order)

    moveaxis = movedim

    def expand(self, *shape: Any) -> Self:
        """Dims of size 1 stretched without a copy; -1 leaves a size. Source: torch.Tensor.expand."""
        return self._apply(ops.expand, shape=sizes_of(shape))

    broadcast_to = expand

    def expand_as(self, other: Self) -> Self:
        """expand() to another tensor's shape. Source: torch.Tensor.expand_as."""
        return self.expand(other.array.shape)

    def repeat(self, *repeats: Any) -> Self:
        """The whole, so many times along each dim. Source: torch.Tensor.repeat."""
        times = sizes_of(repeats)
        if len(times) < self.array.ndim:
            raise ShapeError(
                f"repeat: {self.array.shape} by {times}: expected a number for each of {self.array.ndim} dims"
            )
        return self._apply(ops.repeat, repeats=times)

    def tile(self, *dims: Any) -> Self:
        """As repeat, where missing numbers are 1. Source: torch.tile."""
        times = sizes_of(dims)
        return self.repeat((1,) * (self.array.ndim - len(times)) + times)

    def repeat_interleave(self, repeats: Any, dim: int | None = None) -> Self:
        """Each element so many times in a row; along a dim, or flattened. Source: torch.repeat_interleave."""
        x = self.reshape(-1) if dim is None else self
        at = x._at(dim or 0)
        times = values_of(repeats, "repeat_interleave()") if isinstance(repeats, Methods) else repeats
        return x._apply(indexing.index, np.repeat(np.arange(x.array.shape[at]), times), dims=(at,))

    def narrow(self, dim: int, start: int, length: int) -> Self:
        """`length` slices along a dim from `start` on, a view. Source: torch.narrow."""
        at = self._at(dim)
        size = self.array.shape[at]
        first = start + size if start < 0 else start
        if not 0 <= first <= first + length <= size:
            raise ShapeError(f"narrow: {length} from {start} on do not fit dim {dim} of {self.array.shape}")
        return self._slice(at, first, first + length)

    def _slice(self, at: int, start: int, stop: int) -> Self:
        return self._apply(indexing.getitem, index=(*[slice(None)] * at, slice(start, stop)))

    def select(self, dim: int, index: int) -> Self:
        """One slice along a dim, without that dim, a view. Source: torch.select."""
        key: Any = self
        return key[(*[slice(None)] * self._at(dim), index)]  # type: ignore[no-any-return]

    def split(self, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Self, ...]:
        """Views of so many slices along a dim, the last may have fewer; or of the sizes given. Source: torch.split."""
        at = self._at(dim)
        size = self.array.shape[at]
        if isinstance(split_size_or_sections, int):
            step = split_size_or_sections
            if step <= 0 and size:
                raise ShapeError(f"split: a size of {step}; expected at least 1")
            sizes = [min(step, size - start) for start in range(0, size, step)] if size else [0]
        else:
            sizes = [int(n) for n in split_size_or_sections]
        if sum(sizes) != size:
            raise ShapeError(
                f"split: dim {dim} of {self.array.shape} has size {size}; the sections {sizes} add up to {sum(sizes)}"
            )
        starts = [sum(sizes[:n]) for n in range(len(sizes))]
        return tuple(self._slice(at, start, start + n) for start, n in zip(starts, sizes, strict=True))

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Self, ...]:
        """At most so many views of equal size along a dim, the last may be smaller. Source: torch.chunk."""
        if chunks < 1:
            raise ShapeError(f"chunk: {chunks} chunks; expected at least 1")
        return self.split(max(-(-self.array.shape[self._at(dim)] // chunks), 1), dim)

    def unbind(self, dim: int = 0) -> tuple[Self, ...]:
        """All slices along a dim, without that dim. Source: torch.unbind."""
        return tuple(self.select(dim, n) for n in range(self.array.shape[self._at(dim)]))

    def flip(self, *dims: Any) -> Self:
        """The order along dims turned round, a copy. Source: torch.flip."""
        return self._apply(ops.flip, dims=tuple(self._at(d) for d in sizes_of(dims)))

    def fliplr(self) -> Self:
        """Columns in reverse. Source: torch.fliplr."""
        return self.flip(1)

    def flipud(self) -> Self:
        """Rows in reverse. Source: torch.flipud."""
        return self.flip(0)

    def roll(self, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Self:
        """Elements moved along dims, round the ends. Source: torch.roll."""
        by = (shifts,) if isinstance(shifts, int) else tuple(shifts)
        along = (dims,) if isinstance(dims, int) else None if dims is None else tuple(dims)
        return self._apply(ops.roll, shifts=by, dims=along)

    def tril(self, diagonal: int = 0) -> Self:
        """With 0 above a diagonal. Source: torch.tril."""
        return self._apply(ops.tril, diagonal=diagonal)

    def triu(self, diagonal: int = 0) -> Self:
        """With 0 below a diagonal. Source: torch.triu."""
        return self._apply(ops.triu, diagonal=diagonal)

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Self:
        """The diagonal of two dims as the last dim, a view. Source: torch.diagonal."""
        return self._apply(ops.diagonal, offset=offset, dim1=dim1, dim2=dim2)

    def diag(self, diagonal: int = 0) -> Self:
        """The diagonal of a matrix; or a matrix with a vector on its diagonal. Source: torch.diag."""
        if self.array.ndim == 2:
            return self.diagonal(diagonal).clone()  # type: ignore[attr-defined,no-any-return]
        if self.array.ndim != 1:
            raise ShapeError(f"diag: {self.array.shape}: expected a vector or a matrix")
        size = len(self.array) + abs(diagonal)
        square = self._plain(np.zeros((size, size), self.array.dtype))
        how = {"offset": diagonal, "dim1": 0, "dim2": 1}
        return square._apply(ops.place, self, view=ops.diagonal, how=how)

    def trace(self) -> Self:
        """The sum of a matrix's diagonal. Source: torch.trace."""
        return self.diagonal().sum()  # type: ignore[attr-defined,no-any-return]

    def unfold(self, dimension: int, size: int, step: int) -> Self:
        """Windows along a dim as a new last dim, a view. Source: torch.Tensor.unfold."""
        return self._apply(ops.window, dim=self._at(dimension), size=size, step=step)

    def tensor_split(self, indices_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Self, ...]:
        """So many views along a dim, of nearly equal sizes; or cut at the places given. Source: torch.tensor_split."""
        size = self.array.shape[self._at(dim)]
        if isinstance(indices_or_sections, int):
            least, more = divmod(size, indices_or_sections)
            return self.split([least + (n < more) for n in range(indices_or_sections)], dim)
        cuts = [0, *(min(n, size) for n in indices_or_sections), size]
        return self.split([max(b - a, 0) for a, b in zip(cuts, cuts[1:], strict=False)], dim)

    def rot90(self, k: int = 1, dims: Sequence[int] = (0, 1)) -> Self:
        """Turned by k quarters in the plane of two dims. Source: torch.rot90."""
        a, b = dims
        turns = {0: self, 1: self.flip(b).transpose(a, b), 2: self.flip(a, b), 3: self.transpose(a, b).flip(b)}
        return turns[k % 4]

    def contiguous(self) -> Self:
        """This tensor where its elements lie in order, else a copy where they do. Source: torch.Tensor.contiguous."""
        return self if self.is_contiguous() else self._apply(contiguous)

    tril_ = in_place(tril)
    triu_ = in_place(triu)
