"""Operators that join tensors, and part them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..functions import cat, meshgrid, stack
from ..tensor import Tensor
from .arguments import sizes
from .table import aten


@aten("cat", "concat", "concatenate")
def _(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """A vector without elements counts for nothing, whatever the others' shape."""
    filled = [t for t in tensors if t.array.shape != (0,)] or tensors[:1]
    return filled[0] if len(filled) == 1 and len(tensors) > 1 else cat(filled, dim)


@aten("stack")
def _(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    return stack(tensors, dim)


@aten("hstack")
def _(tensors: Sequence[Tensor]) -> Tensor:
    return cat(tensors, 0 if tensors[0].array.ndim < 2 else 1)


@aten("vstack")
def _(tensors: Sequence[Tensor]) -> Tensor:
    return cat([t.unsqueeze(0) if t.array.ndim < 2 else t for t in tensors])


@aten("split")
def _(self: Any, split_size: Any = None, dim: int = 0) -> Any:
    """Of a tensor; of text at a separator, as often as `dim` says or always."""
    if isinstance(self, str):
        return self.split(split_size, dim or -1)
    return list(self.split(split_size if isinstance(split_size, int) else sizes(split_size), dim))


@aten("split_with_sizes", "unsafe_split_with_sizes", "unsafe_split")
def _(self: Tensor, split_sizes: Any, dim: int = 0) -> list[Tensor]:
    return list(self.split(split_sizes if isinstance(split_sizes, int) else sizes(split_sizes), dim))


@aten("chunk", "unsafe_chunk")
def _(self: Tensor, chunks: int, dim: int = 0) -> list[Tensor]:
    return list(self.chunk(chunks, dim))


@aten("tensor_split")
def _(self: Tensor, indices_or_sections: Any, dim: int = 0) -> list[Tensor]:
    return list(self.tensor_split(indices_or_sections, dim))


@aten("unbind")
def _(self: Tensor, dim: int = 0) -> list[Tensor]:
    return list(self.unbind(dim))


@aten("meshgrid")
def _(tensors: Sequence[Tensor], *, indexing: str = "ij") -> list[Tensor]:
    return list(meshgrid(*tensors, indexing=indexing))
