"""What stands in arguments: dtypes by their numbers, numbers in tensors, and what only matters to other devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dtype import (
    DType,
    bfloat16,
    bool_,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from ..errors import DtypeError
from ..tensor import Tensor

# Source: c10/core/ScalarType.h. NumPy keeps bfloat16 as float32, so that asking a tensor gives 6 for both.
DTYPES: dict[int, DType] = {
    0: uint8, 1: int8, 2: int16, 3: int32, 4: int64, 5: float16, 6: float32,
    7: float64, 9: complex64, 10: complex128, 11: bool_, 15: bfloat16,
    27: uint16, 28: uint32, 29: uint64,
}  # fmt: skip
CODES = {dtype.name: code for code, dtype in DTYPES.items()}


def dtype_of(code: int | DType | None) -> DType | None:
    """The dtype of a number; None stays."""
    if code is None or isinstance(code, DType):
        return code
    if code not in DTYPES:
        raise DtypeError(f"dtype number {code}: the engine has none of that type")
    return DTYPES[code]


def number(value: Any) -> Any:
    """A number, also out of a tensor of one element."""
    return value.item() if isinstance(value, Tensor) else value


def sizes(values: Any) -> tuple[int, ...]:
    """Sizes as a tuple of integers."""
    return tuple([v if type(v) is int else int(v) for v in ((values,) if isinstance(values, int) else values)])


def several(values: int | Sequence[int] | None) -> int | tuple[int, ...] | None:
    """A dim, several dims as a tuple, or None for all."""
    return values if values is None or isinstance(values, int) else tuple(values)
