"""Operators that pick elements and put them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import OutOfRangeError, UnsupportedOpError
from ..functions import bucketize, searchsorted
from ..tensor import Tensor
from .arguments import number
from .containers import item_of
from .table import aten, enter, in_place

_FAR = 1 << 62  # beyond any size: "to the end"


@aten("select")
def _(self: Any, dim: int, index: Any = None) -> Any:
    """Of a tensor; of a list, where `dim` is the index."""
    return self.select(dim, int(number(index))) if isinstance(self, Tensor) else item_of(self, dim)


@aten("slice")
def _(self: Any, *args: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    """Of a tensor (dim, start, end, step); of a list or text (start, end, step)."""
    if not isinstance(self, Tensor):
        start, end, step = (*args, *(start, end, step)[len(args) :])
        return self[start:end:step]
    dim, start, end, step = (*args, *(dim, start, end, step)[len(args) :])
    stop = None if end is None or end >= _FAR else int(end)
    part = slice(int(start) if start else None, stop, None if step is None or step == 1 else int(step))
    if part == slice(None):
        return self.view_as(self) if not self.array.ndim else self[...]
    return self[(*[slice(None)] * self._at(dim or 0), part)]


@aten("narrow")
def _(self: Tensor, dim: int, start: Any, length: int) -> Tensor:
    return self.narrow(dim, int(number(start)), length)


def _key(indices: Sequence[Tensor | None]) -> tuple[Any, ...]:
    return tuple(slice(None) if index is None else index for index in indices)


@aten("index", "_unsafe_index")
def _(self: Any, indices: Any, *bounds: int) -> Any:
    """Of a tensor; of a list or text, where an item is."""
    if isinstance(self, Tensor):
        return self[_key(indices)]
    if indices not in self:
        raise OutOfRangeError("index: the item is not there")
    return self.index(indices, *(b for b in bounds if b >= 0))


@aten("index_put_", "_index_put_impl_")
def index_put_(
    self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False, unsafe: bool = False
) -> Tensor:
    """Values to where the indices say, in place, replacing what is there or added to it."""
    if accumulate and all(i is not None and i.array.dtype.kind == "i" for i in indices):
        return self._become(self._before().index_put([i for i in indices if i is not None], values, True))
    key = _key(indices)
    self[key] = self[key] + values if accumulate else values
    return self


@aten("index_put", "_unsafe_index_put")
def _(self: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    return index_put_(self.clone(), indices, values, accumulate)


@aten("index_select")
def _(self: Tensor, dim: int, index: Tensor) -> Tensor:
    return self.index_select(dim, index)


@aten("index_add")
def _(self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    return self.index_add(dim, index, source, alpha=alpha)


@aten("index_copy")
def _(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    return self.index_copy(dim, index, source)


@aten("index_fill")
def _(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    return self.index_fill(dim, index, number(value))


@aten("gather")
def _(self: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    return self.gather(dim, index)


@aten("take")
def _(self: Tensor, index: Tensor) -> Tensor:
    return self.take(index)


@aten("take_along_dim")
def _(self: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    return self.take_along_dim(indices, dim)


@aten("scatter")
def _(
    self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    if reduce is not None and reduce != "add":
        raise UnsupportedOpError(f"scatter: reduce={reduce!r} is not there; expected 'add'")
    put = value if src is None else src
    if reduce is None:
        return self.scatter(dim, index, put)
    return self.scatter_add(dim, index, put if isinstance(put, Tensor) else self.new_full(index.array.shape, put))


@aten("scatter_reduce")
def _(self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    if reduce != "sum" or not include_self:
        raise UnsupportedOpError(f"scatter_reduce: reduce={reduce!r}, include_self={include_self} is not there")
    return self.scatter_add(dim, index, src)


@aten("scatter_add")
def _(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    return self.scatter_add(dim, index, src)


@aten("masked_select")
def _(self: Tensor, mask: Tensor) -> Tensor:
    return self.masked_select(mask)


@aten("masked_scatter")
def _(self: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    return self.masked_scatter(mask, source)


@aten("nonzero")
def _(self: Tensor) -> Tensor:
    return self.nonzero()  # type: ignore[no-any-return]


@aten("nonzero_numpy")
def _(self: Tensor) -> list[Tensor]:
    return list(self.nonzero(as_tuple=True))


@aten("argwhere")
def _(self: Tensor) -> Tensor:
    return self.argwhere()


@aten("select_scatter")
def _(self: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    changed = self.clone()
    changed.select(dim, index).copy_(src)
    return changed


@aten("slice_scatter")
def _(
    self: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    changed = self.clone()
    part = slice(start, None if end is None or end >= _FAR else end, step)
    changed[(*[slice(None)] * self._at(dim), part)] = src
    return changed


@aten("searchsorted")
def _(
    sorted_sequence: Tensor, self: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:  # fmt: skip
    found = searchsorted(sorted_sequence, self, right=right, side=side)
    return found.int() if out_int32 else found


@aten("bucketize")
def _(self: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    found = bucketize(self, boundaries, right=right)
    return found.int() if out_int32 else found


for _name in ("index_add", "index_copy", "index_fill", "scatter", "scatter_add", "masked_scatter"):
    enter(f"{_name}_", in_place(_name))
