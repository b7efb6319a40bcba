"""The element types that weight files know, and how their bits lie in NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dtype import DTYPES, Array, DType


@dataclass(frozen=True, slots=True)
class Element:
    """An element type of a file: its name as torch says it, and the NumPy dtype that holds its bits.

    `parts` is 2 for complex numbers, whose halves are swapped one by one in big-endian files.
    """

    name: str
    bits: np.dtype[Any]
    parts: int = 1

    @property
    def itemsize(self) -> int:
        """Bytes an element takes in the file."""
        return self.bits.itemsize

    @property
    def dtype(self) -> DType | None:
        """The engine's dtype of that name; None where values can only be kept as bits (float8, complex32, …)."""
        return DTYPES.get(self.name)

    def to_native(self, data: Array) -> Array:
        """Bytes of a big-endian file as bytes of a little-endian one."""
        width = self.itemsize // self.parts
        whole = len(data) // width * width
        return np.ascontiguousarray(data[:whole].reshape(-1, width)[:, ::-1]).reshape(-1)


# torch's name → the bits in NumPy. Source: c10/core/ScalarType.h.
_BITS = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2",
    "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "i1", "bool": "?",
    "uint8": "u1", "uint16": "<u2", "uint32": "<u4", "uint64": "<u8",
    "float8_e4m3fn": "u1", "float8_e5m2": "u1", "float8_e4m3fnuz": "u1", "float8_e5m2fnuz": "u1",
    "float8_e8m0fnu": "u1", "float4_e2m1fn_x2": "u1",
    "qint8": "i1", "quint8": "u1", "qint32": "<i4", "quint4x2": "u1", "quint2x4": "u1",
}  # fmt: skip
_COMPLEX_BITS = {"complex32": "<u4", "complex64": "<c8", "complex128": "<c16"}

ELEMENTS = {name: Element(name, np.dtype(bits)) for name, bits in _BITS.items()} | {
    name: Element(name, np.dtype(bits), parts=2) for name, bits in _COMPLEX_BITS.items()
}

# Storage class of a checkpoint → element. Source: torch/storage.py, _dtype_to_storage_type_map.
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}  # fmt: skip

# Source: safetensors/src/tensor.rs, Dtype. The types of less than a byte (F4, F6_…) are not among them.
SAFETENSORS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "C64": "complex64",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "BOOL": "bool",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
