"""The element types of ONNX tensors, and how the values of each are carried in arrays.

Types that NumPy lacks are carried by a wider one: bfloat16 and the floats of 8 and 4 bits as float32, integers of 4
and 2 bits as int8 or uint8. An array of these only ever holds values that the type itself can hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..dtype import Array, round_to_bfloat16
from ..errors import DtypeError, FormatError


@dataclass(frozen=True, slots=True)
class Minifloat:
    """A floating type of 8 or 4 bits; `nan` are the codes that are no number, `inf` says whether there are infinities.

    Source: https://onnx.ai/onnx/technical/float8.html and float4.html.
    """

    exponent: int
    mantissa: int
    bias: int
    nan: tuple[int, ...] = ()
    inf: bool = False
    signed: bool = True

    @property
    def values(self) -> Array:
        """What each code stands for."""
        return _values(self)

    def codes(self, array: Array, saturate: bool = True) -> Array:
        """The codes of the nearest values, ties to the even code; beyond the greatest: that, or NaN or infinity."""
        positive = 1 << (self.exponent + self.mantissa)
        values = self.values[:positive]
        finite = np.flatnonzero(np.isfinite(values))
        steps = values[finite].astype(np.float64)
        size = np.abs(np.asarray(array, np.float64))
        above = np.clip(np.searchsorted(steps, np.where(np.isnan(size), 0, size)), 1, len(steps) - 1)
        low, high = steps[above - 1], steps[above]
        middle = (low + high) / 2
        up = (size > middle) | ((size == middle) & (finite[above] % 2 == 0))
        codes = np.where(up, finite[above], finite[above - 1])
        codes = self._overflown(codes, size, steps, saturate)
        minus = np.signbit(array) if self.signed else np.zeros(size.shape, bool)
        lost = np.isnan(np.asarray(array, np.float64))
        if not self.signed and self.exponent == 8:
            lost |= np.signbit(array) & (size > 0)
        if self.nan == (positive,):  # the types without a negative zero keep NaN there
            codes = np.where(minus & (codes > 0) & (codes < positive), codes + positive, codes)
        else:
            codes = np.where(minus, codes + positive, codes)
        return np.where(lost, self.nan[0] if self.nan else 0, codes).astype(np.uint8)

    def _overflown(self, codes: Array, size: Array, steps: Array, saturate: bool) -> Array:
        beyond = size > steps[-1]
        if saturate or not self.nan:
            return np.where(beyond, len(steps) - 1, codes)
        # What rounds to the greatest value does not overflow.
        too_much = size >= steps[-1] + (steps[-1] - steps[-2]) / 2
        return np.where(too_much, len(steps) if self.inf else self.nan[0], codes)

    def round(self, array: Array, saturate: bool = True) -> Array:
        """The nearest values, as float32."""
        return np.asarray(self.values[self.codes(array, saturate)])


@cache
def _values(kind: Minifloat) -> Array:
    codes = 1 << (kind.exponent + kind.mantissa + kind.signed)
    result = np.empty(codes, np.float32)
    for code in range(codes):
        minus = kind.signed and code >> (kind.exponent + kind.mantissa)
        power = code >> kind.mantissa & ((1 << kind.exponent) - 1)
        part = code & ((1 << kind.mantissa) - 1)
        if code in kind.nan:
            value = math.nan
        elif kind.inf and power == (1 << kind.exponent) - 1 and not part:
            value = math.inf
        elif power or not kind.mantissa:
            value = math.ldexp(1 + part / (1 << kind.mantissa), power - kind.bias)
        else:
            value = math.ldexp(part / (1 << kind.mantissa), 1 - kind.bias)
        result[code] = -value if minus else value
    result.flags.writeable = False
    return result


@dataclass(frozen=True, slots=True)
class Element:
    """An element type: its number and name in ONNX, what carries its values, and the bits it takes in a file."""

    code: int
    name: str
    carrier: np.dtype[Any]
    bits: int
    mini: Minifloat | None = None

    @property
    def narrow(self) -> bool:
        """Whether the carrier can hold values that the type cannot."""
        return self.bits < self.carrier.itemsize * 8 and self.name != "string"

    def hold(self, array: Array, saturate: bool = True) -> Array:
        """The array with every value as the type has it, in the carrier."""
        if self.name == "bfloat16":
            return round_to_bfloat16(np.asarray(array, np.float32))
        if self.mini is not None:
            return self.mini.round(array, saturate)
        if self.narrow:
            return self._wrapped(array)
        return np.asarray(array).astype(self.carrier, copy=False)

    def _wrapped(self, array: Array) -> Array:
        """The lowest bits of whole numbers, as ONNX casts them."""
        whole = np.asarray(array).astype(np.int64) & ((1 << self.bits) - 1)
        if self.carrier.kind == "i":
            whole = np.where(whole >> (self.bits - 1) != 0, whole - (1 << self.bits), whole)
        return whole.astype(self.carrier)

    def decode(self, data: Array, count: int) -> Array:
        """Little-endian bytes of a file as an array of `count` values; parts of a byte come low bits first."""
        if self.bits < 8:
            parts = 8 // self.bits
            shifts = np.arange(parts, dtype=np.uint8) * np.uint8(self.bits)
            codes = (data[:, None] >> shifts & np.uint8((1 << self.bits) - 1)).reshape(-1)[:count]
            return self.from_codes(codes)
        if self.mini is not None:
            return self.from_codes(data)
        if self.name == "bfloat16":
            return (data.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
        return data.view(self.carrier.newbyteorder("<") if self.carrier.itemsize > 1 else self.carrier)

    def from_codes(self, codes: Array) -> Array:
        """Whole numbers that are the bits of values as the values."""
        if self.mini is not None:
            return np.asarray(self.mini.values[codes.astype(np.intp) & ((1 << self.bits) - 1)])
        if self.name == "bfloat16":
            return (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if self.name == "float16":
            return codes.astype(np.uint16).view(np.float16)
        if self.narrow:
            return self._wrapped(codes)
        return codes.astype(self.carrier)

    def encode(self, array: Array) -> Array:
        """The values as the little-endian bytes that a file has."""
        if self.mini is not None:
            codes = self.mini.codes(array).reshape(-1)
        elif self.name == "bfloat16":
            rounded = round_to_bfloat16(np.ascontiguousarray(array, np.float32)).view(np.uint32) >> np.uint32(16)
            return rounded.astype("<u2").reshape(-1).view(np.uint8)
        elif self.bits < 8:
            codes = (array.astype(np.int64) & ((1 << self.bits) - 1)).astype(np.uint8).reshape(-1)
        else:
            return np.ascontiguousarray(array, self.carrier.newbyteorder("<")).reshape(-1).view(np.uint8)
        if self.bits == 8:
            return codes
        parts = 8 // self.bits
        whole = np.zeros(-(-codes.size // parts) * parts, np.uint8)
        whole[: codes.size] = codes
        shifts = np.arange(parts, dtype=np.uint8) * np.uint8(self.bits)
        return np.asarray(np.bitwise_or.reduce(whole.reshape(-1, parts) << shifts, axis=1))


# Source: onnx/onnx.proto, TensorProto.DataType.
_PLAIN = {
    1: ("float", "f4"), 2: ("uint8", "u1"), 3: ("int8", "i1"), 4: ("uint16", "u2"), 5: ("int16", "i2"),
    6: ("int32", "i4"), 7: ("int64", "i8"), 8: ("string", "O"), 9: ("bool", "?"), 10: ("float16", "f2"),
    11: ("double", "f8"), 12: ("uint32", "u4"), 13: ("uint64", "u8"), 14: ("complex64", "c8"),
    15: ("complex128", "c16"),
}  # fmt: skip
_NARROW = {
    16: ("bfloat16", "f4", 16, None),
    17: ("float8e4m3fn", "f4", 8, Minifloat(4, 3, 7, nan=(0x7F, 0xFF))),
    18: ("float8e4m3fnuz", "f4", 8, Minifloat(4, 3, 8, nan=(0x80,))),
    19: ("float8e5m2", "f4", 8, Minifloat(5, 2, 15, nan=(0x7F, 0x7D, 0x7E, 0xFD, 0xFE, 0xFF), inf=True)),
    20: ("float8e5m2fnuz", "f4", 8, Minifloat(5, 2, 16, nan=(0x80,))),
    21: ("uint4", "u1", 4, None),
    22: ("int4", "i1", 4, None),
    23: ("float4e2m1", "f4", 4, Minifloat(2, 1, 1)),
    24: ("float8e8m0", "f4", 8, Minifloat(8, 0, 127, nan=(0xFF,), signed=False)),
    25: ("uint2", "u1", 2, None),
    26: ("int2", "i1", 2, None),
}
ELEMENTS = {code: Element(code, name, np.dtype(c), np.dtype(c).itemsize * 8) for code, (name, c) in _PLAIN.items()} | {
    code: Element(code, name, np.dtype(c), bits, mini) for code, (name, c, bits, mini) in _NARROW.items()
}
_BY_CARRIER = {e.carrier: e for e in ELEMENTS.values() if not e.narrow}
STRING = ELEMENTS[8]


def element(code: int) -> Element:
    """The element type of a number; FormatError where there is none."""
    if code not in ELEMENTS:
        raise FormatError(f"an element type of number {code}; expected one of 1 to {max(ELEMENTS)}")
    return ELEMENTS[code]


def element_of(array: Array) -> Element:
    """The element type that an array is by itself."""
    dtype = np.dtype(object) if array.dtype.kind in "UTSO" else array.dtype.newbyteorder("=")
    if dtype not in _BY_CARRIER:
        raise DtypeError(f"arrays of {array.dtype} have no ONNX type")
    return _BY_CARRIER[dtype]
