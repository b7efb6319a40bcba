"""Tensors out of data, of constants and of ranges; the random ones are in random.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .dtype import Array, DType, Number, cast, float32, of
from .errors import DtypeError, ShapeError
from .tensor import Tensor


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the data: numbers, nested sequences, arrays or tensors.

    Python floats become float32 and integers int64. Source: torch.tensor.
    """
    return Tensor(_array(data, dtype, copy=True), requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A tensor over the data, sharing memory where it is an array or tensor of that dtype. Source: torch.as_tensor."""
    if isinstance(data, Tensor) and dtype is None:
        return data
    return Tensor(_array(data, dtype, copy=False))


def from_numpy(array: Array) -> Tensor:
    """A tensor over the array, sharing memory. Source: torch.from_numpy."""
    if not isinstance(array, np.ndarray):
        raise DtypeError(f"from_numpy: expected an ndarray, met {type(array).__name__}")
    of(array)
    return Tensor(array)


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0) -> Tensor:
    """A 1-d tensor over a buffer's bytes, sharing memory. Source: torch.frombuffer."""
    return Tensor(np.frombuffer(buffer, dtype.numpy, count, offset))


def _array(data: Any, dtype: DType | None, copy: bool) -> Array:
    if isinstance(data, Tensor):
        data = data.array
    typed = isinstance(data, (np.ndarray, np.generic))
    try:
        array = np.array(data) if copy or not typed else np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"tensor: the rows of the data differ in length: {error}") from error
    if dtype is None and not typed and array.dtype == np.float64:
        dtype = float32
    of(array)
    return array if dtype is None else cast(array, dtype)


def _size(size: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3), ((2, 3),) and ([2, 3],) all mean shape (2, 3)."""
    dims = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    return tuple(int(n) for n in dims)


def zeros(*size: Any, dtype: DType = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All zeros. Source: torch.zeros."""
    return Tensor(np.zeros(_size(size), dtype.numpy), requires_grad)


def ones(*size: Any, dtype: DType = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All ones. Source: torch.ones."""
    return Tensor(np.ones(_size(size), dtype.numpy), requires_grad)


def empty(*size: Any, dtype: DType = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Values that happen to be there. Source: torch.empty."""
    return Tensor(np.empty(_size(size), dtype.numpy), requires_grad)


def full(size: Sequence[int], fill_value: Number, *, dtype: DType | None = None, device: Any = None) -> Tensor:
    """All `fill_value`, in its own dtype unless told. Source: torch.full."""
    return Tensor(np.full(tuple(size), _array(fill_value, dtype, copy=False)))


def zeros_like(input: Tensor, *, dtype: DType | None = None) -> Tensor:
    """Zeros of the same shape and dtype. Source: torch.zeros_like."""
    return Tensor(np.zeros(input.shape, (dtype or input.dtype).numpy))


def ones_like(input: Tensor, *, dtype: DType | None = None) -> Tensor:
    """Ones of the same shape and dtype. Source: torch.ones_like."""
    return Tensor(np.ones(input.shape, (dtype or input.dtype).numpy))


def empty_like(input: Tensor, *, dtype: DType | None = None) -> Tensor:
    """Whatever is there, of the same shape and dtype. Source: torch.empty_like."""
    return Tensor(np.empty(input.shape, (dtype or input.dtype).numpy))


def full_like(input: Tensor, fill_value: Number, *, dtype: DType | None = None) -> Tensor:
    """`fill_value` in the same shape and dtype. Source: torch.full_like."""
    return Tensor(np.full(input.shape, fill_value, (dtype or input.dtype).numpy))


def arange(
    start: float, end: float | None = None, step: float = 1, *, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """start, start + step, … below end; int64 where all three are integers. Source: torch.arange."""
    if end is None:
        start, end = 0, start
    whole = all(isinstance(n, int) for n in (start, end, step))
    array = np.arange(start, end, step, dtype=np.int64 if whole else np.float64)
    return Tensor(cast(array, dtype) if dtype else array if whole else array.astype(np.float32))


def linspace(start: float, end: float, steps: int, *, dtype: DType = float32) -> Tensor:
    """`steps` evenly spaced values with both ends. Source: torch.linspace."""
    return Tensor(np.linspace(start, end, steps).astype(dtype.numpy))


def eye(n: int, m: int | None = None, *, dtype: DType = float32) -> Tensor:
    """Ones on the diagonal. Source: torch.eye."""
    return Tensor(np.eye(n, m, dtype=dtype.numpy))
