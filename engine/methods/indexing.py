"""Indexing: what may stand in square brackets, and the methods that pick and place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from ..dtype import Array, Number
from ..errors import DtypeError, OutOfRangeError, ShapeError
from ..ops import indexing as ops
from ..ops.comparison import masked_fill
from ..tracing import values_of
from .base import Methods, in_place


class Parts(NamedTuple):
    """An index taken apart: numbers, slices and new dims first, then positions along dims of what these leave."""

    basic: tuple[int | slice | None, ...]
    positions: tuple[Any, ...]
    dims: tuple[int, ...]


class IndexingMethods(Methods):
    """Square brackets, gather and scatter."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Self:
        """The part that `index` selects: a view for numbers, slices, None and Ellipsis, else a copy."""
        parts = taken_apart(index, self.array.shape)
        x = self._apply(ops.getitem, index=parts.basic) if parts.basic or not parts.dims else self
        return x._apply(ops.index, *parts.positions, dims=parts.dims) if parts.dims else x

    def __setitem__(self, index: Any, value: Any) -> None:
        """Replace the part that `index` selects by `value`, which broadcasts."""
        if self._records(value) and _is_mask(index, self.array.shape) and np.ndim(getattr(value, "array", value)) == 0:
            mask = index.reshape((*index.array.shape, *[1] * (self.array.ndim - index.array.ndim)))
            self._become(self._before()._apply(masked_fill, mask, value))
            return
        basic, positions, dims = taken_apart(index, self.array.shape)
        before = self._before()
        if not self._records(value):
            plain = [getattr(p, "array", p) for p in (value, *positions)]
            ops.assign(before.array[(*basic, ...)], plain[0], tuple(plain[1:]), dims)
            self._changed()
        elif not dims:
            self._become(before._apply(ops.setitem, value, index=basic))
        elif not basic:
            self._become(before._apply(ops.index_put, value, *positions, dims=dims))
        else:
            inner = before._apply(ops.getitem, index=basic)
            inner = inner._apply(ops.index_put, value, *positions, dims=dims)
            self._become(before._apply(ops.setitem, inner, index=basic))

    def gather(self, dim: int, index: Self) -> Self:
        """The elements that the index names along a dim. Source: torch.gather."""
        return self._apply(ops.gather, index, dim=dim)

    def scatter(self, dim: int, index: Self, src: Self | Number) -> Self:
        """A copy with elements of `src` where the index says along a dim. Source: torch.scatter."""
        return self._apply(ops.scatter, index, src, dim=dim)

    def scatter_add(self, dim: int, index: Self, src: Self) -> Self:
        """A copy with elements of `src` added where the index says along a dim. Source: torch.scatter_add."""
        return self._apply(ops.scatter_add, index, src, dim=dim)

    def index_select(self, dim: int, index: Self) -> Self:
        """The slices that a vector of positions names along a dim. Source: torch.index_select."""
        if index.array.ndim > 1:
            raise ShapeError(f"index_select: an index of {index.array.shape}; expected a vector")
        return self._apply(ops.index, index.reshape(-1), dims=(dim_at(dim, self.array.ndim),))  # type: ignore[attr-defined]

    def index_add(self, dim: int, index: Self, source: Self, *, alpha: Number = 1) -> Self:
        """A copy with slices of `source` added at positions along a dim. Source: torch.index_add."""
        value: Any = source if alpha == 1 else source * alpha  # type: ignore[operator]
        return self._index_put(dim, index, value, accumulate=True)

    def index_copy(self, dim: int, index: Self, source: Self) -> Self:
        """A copy with slices of `source` at positions along a dim. Source: torch.index_copy."""
        return self._index_put(dim, index, source, accumulate=False)

    def index_fill(self, dim: int, index: Self, value: Number) -> Self:
        """A copy with a value in the slices at positions along a dim. Source: torch.index_fill."""
        return self._index_put(dim, index, np.asarray(value, self.array.dtype), accumulate=False)

    def _index_put(self, dim: int, index: Self, value: Any, accumulate: bool) -> Self:
        return self._apply(ops.index_put, value, index, dims=(dim_at(dim, self.array.ndim),), accumulate=accumulate)

    def index_put(self, indices: Sequence[Self], values: Self, accumulate: bool = False) -> Self:
        """A copy with values at positions of the first dims. Source: torch.index_put."""
        dims = tuple(range(len(indices)))
        return self._apply(ops.index_put, values, *indices, dims=dims, accumulate=accumulate)

    def masked_select(self, mask: Self) -> Self:
        """The elements where the mask holds, as a vector. Source: torch.masked_select."""
        shape = np.broadcast_shapes(self.array.shape, mask.array.shape)
        x: Any = self
        return x.expand(shape)[mask.expand(shape)]  # type: ignore[no-any-return,attr-defined]

    def masked_scatter(self, mask: Self, source: Self) -> Self:
        """A copy with the elements of `source`, in order, where the mask holds. Source: torch.masked_scatter."""
        positions = np.broadcast_to(values_of(mask, "masked_scatter() by the mask"), self.array.shape).nonzero()
        value: Any = source
        value = value.reshape(-1)[: len(positions[0])]
        return self._apply(ops.index_put, value, *positions, dims=tuple(range(len(positions))))

    def take(self, index: Self) -> Self:
        """The elements at positions of the flattened tensor. Source: torch.take."""
        flat: Any = self
        return flat.reshape(-1)[index]  # type: ignore[no-any-return]

    def take_along_dim(self, indices: Self, dim: int | None = None) -> Self:
        """As gather, with broadcasting of what is beside the dim. Source: torch.take_along_dim."""
        x: Any = self
        if dim is None:
            return x.reshape(-1).gather(0, indices.reshape(-1))  # type: ignore[attr-defined,no-any-return]
        at = dim_at(dim, self.array.ndim)
        sizes = [max(n, m) for n, m in zip(self.array.shape, indices.array.shape, strict=True)]
        whole = [n if d != at else self.array.shape[at] for d, n in enumerate(sizes)]
        picks = [n if d != at else indices.array.shape[at] for d, n in enumerate(sizes)]
        return x.expand(whole).gather(at, indices.expand(picks))  # type: ignore[attr-defined,no-any-return]

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """The positions of elements other than 0, one a row, or a vector for each dim. Source: torch.nonzero."""
        rows = self._apply(ops.nonzero)
        return tuple(rows[:, d] for d in range(rows.array.shape[1])) if as_tuple else rows

    def argwhere(self) -> Self:
        """The positions of elements other than 0, one a row. Source: torch.argwhere."""
        return self._apply(ops.nonzero)

    scatter_ = in_place(scatter)
    scatter_add_ = in_place(scatter_add)
    index_add_ = in_place(index_add)
    index_copy_ = in_place(index_copy)
    index_fill_ = in_place(index_fill)
    index_put_ = in_place(index_put)
    masked_scatter_ = in_place(masked_scatter)


def dim_at(dim: int, ndim: int) -> int:
    """A dim counted from the front; OutOfRangeError where there is none."""
    most = max(ndim, 1)
    if not -most <= dim < most:
        raise OutOfRangeError(f"dim {dim} is out of range; a tensor of {ndim} dims has {-most} to {most - 1}")
    return dim % most


def taken_apart(index: Any, shape: tuple[int, ...]) -> Parts:
    """An index as PyTorch reads it: basic items work first, and positions then count the dims that these left."""
    items = [_item(i) for i in (index if isinstance(index, tuple) else (index,))]
    items = _without_ellipsis(items, shape)
    basic: list[int | slice | None] = []
    positions: list[Any] = []
    dims: list[int] = []
    here = there = 0  # the dim of the tensor, and of what the basic items leave
    for item in items:
        if item is None:
            basic.append(None)
            there += 1
        elif isinstance(item, int):
            basic.append(_checked(item, here, shape))
            here += 1
        elif isinstance(item, slice):
            basic.append(_forward(item))
            here, there = here + 1, there + 1
        else:
            found = _positions(item, here, shape)
            dims += range(there, there + len(found))
            positions += found
            whole = _dims_taken(item) == 0  # a single bool: a new dim, kept or emptied
            basic += [None] if whole else [slice(None)] * len(found)
            here, there = here + (0 if whole else len(found)), there + len(found)
    plain = all(b == slice(None) for b in basic)
    return Parts(() if plain and dims else tuple(basic), tuple(positions), tuple(dims))


def _item(item: Any) -> Any:
    """One item as None, an int, a slice, Ellipsis, or an array or tensor of positions."""
    if item is None or item is ... or isinstance(item, (slice, Methods)):
        return _number(item) if isinstance(item, Methods) else item
    if isinstance(item, (bool, np.bool_)):
        return np.asarray(item)
    if isinstance(item, (int, np.integer)):
        return int(item)
    if isinstance(item, (list, tuple, range, np.ndarray)):
        array = np.asarray(
            [values_of(i, "a list as an index") if isinstance(i, Methods) else i for i in item]
            if not isinstance(item, np.ndarray)
            else item
        )
        return array.astype(np.int64) if array.size == 0 and array.dtype.kind == "f" else array
    if hasattr(item, "__index__"):
        return int(item.__index__())
    raise DtypeError(f"{type(item).__name__} cannot be an index; expected int, slice, None, ..., list or tensor")


def _number(tensor: Methods) -> Any:
    """A 0-d integer tensor is the number in it."""
    if tensor.array.ndim or tensor.array.dtype.kind not in "iu":
        return tensor
    return int(values_of(tensor, "an index"))


def _dims_taken(item: Any) -> int:
    array = getattr(item, "array", item)
    if item is None:
        return 0
    return int(array.ndim) if isinstance(array, np.ndarray) and array.dtype in (np.bool_, np.uint8) else 1


def _without_ellipsis(items: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """The items with full slices in place of an Ellipsis."""
    places = [n for n, item in enumerate(items) if item is ...]
    taken = sum(_dims_taken(item) for item in items if item is not ...)
    if len(places) > 1:
        raise OutOfRangeError("an index can hold one Ellipsis (...) only")
    if taken > len(shape):
        raise OutOfRangeError(f"too many indices: {taken} for a tensor of {len(shape)} dims, {shape}")
    if places:
        items[places[0] : places[0] + 1] = [slice(None)] * (len(shape) - taken)
    return items


def _checked(number: int, dim: int, shape: tuple[int, ...]) -> int:
    if not -shape[dim] <= number < shape[dim]:
        raise OutOfRangeError(f"index {number} is out of bounds for dim {dim} with size {shape[dim]}")
    return number


def _forward(part: slice) -> slice:
    if part.step is not None and int(part.step) <= 0:
        raise ShapeError(f"slice step {part.step}: expected a step greater than zero; use .flip() to turn round")
    bounds = (None if b is None else int(b.__index__()) for b in (part.start, part.stop, part.step))
    return slice(*bounds)


def _positions(item: Any, dim: int, shape: tuple[int, ...]) -> list[Any]:
    """The positions that an array or tensor stands for; a mask stands for those where it holds."""
    array: Array = getattr(item, "array", item)
    if array.dtype not in (np.bool_, np.uint8):
        return [item]
    part = shape[dim : dim + array.ndim]
    if array.shape != part:
        raise OutOfRangeError(f"a mask of shape {array.shape} does not fit {part}, dims {dim} and on of {shape}")
    if isinstance(item, Methods):
        values_of(item, "indexing by a mask")
    return list(array.nonzero()) if array.ndim else [np.arange(int(array))]


def _is_mask(index: Any, shape: tuple[int, ...]) -> bool:
    """Whether an index is one tensor of bools that fits the first dims."""
    return (
        isinstance(index, Methods)
        and index.array.dtype == np.bool_
        and (0 < index.array.ndim <= len(shape) and index.array.shape == shape[: index.array.ndim])
    )
