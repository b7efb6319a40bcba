"""Element types: their names, their NumPy counterparts and PyTorch's rules for mixing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DtypeError

Array = NDArray[Any]
Number = bool | int | float | complex

BOOL, INTEGER, FLOATING, COMPLEX = range(4)
_CATEGORY = {"b": BOOL, "i": INTEGER, "u": INTEGER, "f": FLOATING, "c": COMPLEX}


@dataclass(frozen=True, slots=True, repr=False)
class DType:
    """An element type; `numpy` is what arrays of it hold."""

    name: str
    numpy: np.dtype[Any]

    @property
    def category(self) -> int:
        """BOOL < INTEGER < FLOATING < COMPLEX."""
        return _CATEGORY[self.numpy.kind]

    @property
    def is_floating_point(self) -> bool:
        """Whether values have a fraction (complex ones do not count)."""
        return self.category == FLOATING

    @property
    def is_complex(self) -> bool:
        """Whether values are complex."""
        return self.category == COMPLEX

    @property
    def itemsize(self) -> int:
        """Bytes an element takes in memory."""
        return self.numpy.itemsize

    def __repr__(self) -> str:
        return f"numserve.{self.name}"


bool_ = DType("bool", np.dtype(np.bool_))
uint8 = DType("uint8", np.dtype(np.uint8))
uint16 = DType("uint16", np.dtype(np.uint16))
uint32 = DType("uint32", np.dtype(np.uint32))
uint64 = DType("uint64", np.dtype(np.uint64))
int8 = DType("int8", np.dtype(np.int8))
int16 = DType("int16", np.dtype(np.int16))
int32 = DType("int32", np.dtype(np.int32))
int64 = DType("int64", np.dtype(np.int64))
float16 = DType("float16", np.dtype(np.float16))
float32 = DType("float32", np.dtype(np.float32))
float64 = DType("float64", np.dtype(np.float64))
complex64 = DType("complex64", np.dtype(np.complex64))
complex128 = DType("complex128", np.dtype(np.complex128))
# NumPy has no bfloat16: values are rounded to it and kept as float32.
bfloat16 = DType("bfloat16", np.dtype(np.float32))

DTYPES = {
    d.name: d
    for d in (
        bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64,
        float16, bfloat16, float32, float64, complex64, complex128,
    )
}  # fmt: skip
_BY_NUMPY = {d.numpy: d for d in DTYPES.values() if d is not bfloat16}


_OTHER_NAMES = {"float": float32, "double": float64, "half": float16, "long": int64, "int": int32, "short": int16}


def named(name: DType | str | type) -> DType:
    """A dtype by its name ("float32", "torch.long"), or by the Python type bool, int or float."""
    if isinstance(name, DType):
        return name
    if isinstance(name, type):
        return {bool: bool_, int: int64, float: float32, complex: complex64}[name]
    short = name.rpartition(".")[2]
    found = DTYPES.get(short) or _OTHER_NAMES.get(short)
    if found is None:
        raise DtypeError(f"dtype {name!r}: expected one of {', '.join(DTYPES)}")
    return found


def of(array: Array) -> DType:
    """The DType of an array; DtypeError where the engine has none (text, objects, records)."""
    try:
        return _BY_NUMPY[array.dtype]
    except KeyError:
        return _BY_NUMPY[_native(array.dtype)]


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    native = dtype.newbyteorder("=")
    if native not in _BY_NUMPY:
        raise DtypeError(f"arrays of {dtype} cannot be tensors; expected one of {', '.join(DTYPES)}")
    return native


def round_to_bfloat16(array: Array) -> Array:
    """float32 values rounded to the nearest bfloat16, ties to even, still as float32; NaN stays NaN."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(array), array, rounded.view(np.float32)).astype(np.float32, copy=False)


def cast(array: Array, dtype: DType) -> Array:
    """The array as `dtype`; the same array where it is that already."""
    if dtype is bfloat16:
        return round_to_bfloat16(array.astype(np.float32, copy=False))
    return array.astype(dtype.numpy, copy=False)


def promote_types(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """The type two arrays of dims meet in: as NumPy's, but an integer never widens a float (torch.promote_types)."""
    if a == b:
        return a
    above, below = (a, b) if _CATEGORY[a.kind] >= _CATEGORY[b.kind] else (b, a)
    if _CATEGORY[above.kind] >= FLOATING and _CATEGORY[below.kind] < FLOATING:
        return above
    return np.promote_types(a, b)


def _of_number(value: Number) -> np.dtype[Any]:
    if isinstance(value, (bool, np.bool_)):
        return bool_.numpy
    if isinstance(value, (int, np.integer)):
        return int64.numpy
    if isinstance(value, (float, np.floating)):
        return float32.numpy
    if isinstance(value, (complex, np.complexfloating)):
        return complex64.numpy
    raise DtypeError(f"expected a tensor or a number, met {type(value).__name__}")


def _meet(strong: np.dtype[Any] | None, weak: np.dtype[Any] | None) -> np.dtype[Any] | None:
    """A weaker operand counts only where its category is the higher one."""
    if strong is None or weak is None:
        return strong or weak
    if _CATEGORY[strong.kind] >= _CATEGORY[weak.kind]:
        return strong
    if weak.kind == "c" and strong.kind == "f":
        return complex128.numpy if strong == float64.numpy else complex64.numpy
    return promote_types(strong, weak)


def result_dtype(*operands: Array | Number) -> np.dtype[Any]:
    """The dtype an operation on these gives: arrays with dims beat 0-d arrays beat Python numbers.

    Source: torch.result_type.
    """
    if len(operands) == 2 and (quick := _of_two(*operands)):
        return quick
    tiers: list[np.dtype[Any] | None] = [None, None, None]
    for operand in operands:
        if isinstance(operand, np.ndarray):
            tier, dtype = (0 if operand.ndim else 1), operand.dtype
        else:
            tier, dtype = 2, _of_number(operand)
        met = tiers[tier]
        tiers[tier] = dtype if met is None else promote_types(met, dtype)
    result = _meet(_meet(tiers[0], tiers[1]), tiers[2])
    assert result is not None, "an operation needs an operand"
    return result


def _of_two(a: Array | Number, b: Array | Number) -> np.dtype[Any] | None:
    """The answer for the commonest pairs, two arrays of one dtype or a float array and a number; else None."""
    if type(a) is np.ndarray:
        if type(b) is np.ndarray:
            return a.dtype if a.dtype is b.dtype else None
        if a.dtype.kind == "f" and (type(b) is float or type(b) is int):
            return a.dtype
    return None


def number_as(value: Number, dtype: np.dtype[Any]) -> Any:
    """A Python number as a NumPy scalar; integers that do not fit wrap around."""
    try:
        return dtype.type(value)
    except OverflowError:
        return np.array(value).astype(dtype)[()]


class finfo:
    """What a floating dtype can hold: eps, max, min, tiny, bits. Source: torch.finfo."""

    def __init__(self, type: DType = float32) -> None:
        info = np.finfo(type.numpy)
        coarse = type is bfloat16
        self.dtype = type.name
        self.bits = 16 if coarse else info.bits
        self.eps = 2.0**-7 if coarse else float(info.eps)
        self.max = 2.0**128 - 2.0**120 if coarse else float(info.max)
        self.min = -self.max
        self.tiny = self.smallest_normal = float(info.tiny)


class iinfo:
    """What an integer dtype can hold: max, min, bits. Source: torch.iinfo."""

    def __init__(self, type: DType) -> None:
        info = np.iinfo(type.numpy)
        self.dtype, self.bits, self.max, self.min = type.name, info.bits, int(info.max), int(info.min)
