"""Tensors out of data, of constants and of ranges; the random ones are in random.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import require_cpu
from .dtype import Array, DType, Number, cast, complex64, float32, of
from .errors import DtypeError, ShapeError
from .methods.shape import sizes_of as size_of
from .tensor import Tensor
from .tracing import TRACING, values_of

__all__ = [
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "frombuffer", "full", "full_like",
    "linspace", "logspace", "ones", "ones_like", "tensor", "tril_indices", "triu_indices", "zeros", "zeros_like",
]  # fmt: skip


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of the data: numbers, nested sequences, arrays or tensors.

    Python floats become float32 and integers int64. Source: torch.tensor.
    """
    require_cpu(device)
    return Tensor(_array(data, dtype, copy=True), requires_grad)


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A tensor over the data, sharing memory where it is an array or tensor of that dtype. Source: torch.as_tensor."""
    require_cpu(device)
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
        data = values_of(data, "tensor()")
    typed = isinstance(data, (np.ndarray, np.generic))
    try:
        array = np.array(data) if copy or not typed else np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"tensor: the rows of the data differ in length: {error}") from error
    if dtype is None and not typed:
        dtype = {"d": float32, "D": complex64}.get(array.dtype.char)
    of(array)
    return array if dtype is None else cast(array, dtype)


def zeros(*size: Any, dtype: DType = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All zeros. Source: torch.zeros."""
    require_cpu(device)
    return Tensor(np.zeros(size_of(size), dtype.numpy), requires_grad)


def ones(*size: Any, dtype: DType = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """All ones. Source: torch.ones."""
    require_cpu(device)
    return Tensor(np.ones(size_of(size), dtype.numpy), requires_grad)


def empty(*size: Any, dtype: DType = float32, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Values that happen to be there. Source: torch.empty."""
    require_cpu(device)
    make = np.empty if TRACING.watcher is None else np.zeros  # who watches sees the same in every run
    return Tensor(make(size_of(size), dtype.numpy), requires_grad)


def full(
    size: Sequence[int],
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """All `fill_value`, in its own dtype unless told. Source: torch.full."""
    require_cpu(device)
    return Tensor(np.full(tuple(size), _array(fill_value, dtype, copy=False)), requires_grad)


def zeros_like(input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the same shape and dtype. Source: torch.zeros_like."""
    return zeros(input.array.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the same shape and dtype. Source: torch.ones_like."""
    return ones(input.array.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Whatever is there, of the same shape and dtype. Source: torch.empty_like."""
    return empty(input.array.shape, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Tensor,
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`fill_value` in the same shape and dtype. Source: torch.full_like."""
    return full(input.array.shape, fill_value, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … below end; int64 where all three are integers. Source: torch.arange."""
    require_cpu(device)
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise ShapeError(f"arange: a step of {step} does not lead from {start} to {end}")
    whole = all(isinstance(n, int) for n in (start, end, step))
    array = np.arange(start, end, step, dtype=np.int64 if whole else np.float64)
    return Tensor(cast(array, dtype) if dtype else array if whole else array.astype(np.float32), requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: DType = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` evenly spaced values with both ends. Source: torch.linspace."""
    require_cpu(device)
    return Tensor(np.linspace(start, end, steps).astype(dtype.numpy), requires_grad)


def logspace(start: float, end: float, steps: int, base: float = 10.0, *, dtype: DType = float32) -> Tensor:
    """`steps` powers of a base, with evenly spaced exponents. Source: torch.logspace."""
    return Tensor(np.logspace(start, end, steps, base=base).astype(dtype.numpy))


def eye(
    n: int, m: int | None = None, *, dtype: DType = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones on the diagonal. Source: torch.eye."""
    require_cpu(device)
    return Tensor(np.eye(n, m, dtype=dtype.numpy), requires_grad)


def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """The positions on and below a diagonal, as two rows. Source: torch.tril_indices."""
    return Tensor(np.stack(np.tril_indices(row, offset, col)).astype(np.int64))


def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """The positions on and above a diagonal, as two rows. Source: torch.triu_indices."""
    return Tensor(np.stack(np.triu_indices(row, offset, col)).astype(np.int64))
