"""NumPy values inside a pickle, rebuilt by our own code: NumPy's would take object arrays, which are pickles again."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import FormatError
from .limits import quote
from .machine import Inert
from .storage import ArrayRecord

_PLAIN = re.compile(r"[?biufc](1|2|4|8|16)?|[SU]\d{1,4}")


class NumpyDtype(Inert):
    """A numpy.dtype of numbers or text; its byte order arrives by BUILD."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        code = code.decode("ascii") if type(code) is bytes else code
        if type(code) is not str or not _PLAIN.fullmatch(code):
            raise FormatError(f"a NumPy array of dtype {quote(code)}; only numbers and text are read")
        self.dtype = np.dtype(code)

    def fill(self, state: Any) -> None:
        """Take the byte order out of (version, order, subdtype, names, fields, …)."""
        if type(state) is not tuple or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise FormatError("a NumPy dtype with fields or sub-arrays; only plain ones are read")
        order = state[1].decode("ascii") if type(state[1]) is bytes else state[1]
        if order not in ("<", ">", "=", "|"):
            raise FormatError(f"a NumPy dtype of byte order {quote(order)}")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder("<" if order == "<" else ">")


def _dtype(value: Any) -> np.dtype[Any]:
    if not isinstance(value, NumpyDtype):
        raise FormatError("a NumPy value whose dtype is not one; the file is damaged")
    return value.dtype


def _raw(value: Any) -> bytes:
    """The bytes; Python 2 wrote them as text."""
    if type(value) is str:
        return value.encode("latin-1")
    if type(value) not in (bytes, bytearray):
        raise FormatError("a NumPy array of Python objects; only numbers and text are read")
    return bytes(value)


def scalar(dtype: Any, data: Any = b"") -> Any:
    """numpy._core.multiarray.scalar."""
    raw = _raw(data)
    if len(raw) != _dtype(dtype).itemsize:
        raise FormatError(f"a NumPy number of {len(raw)} bytes; its dtype has {_dtype(dtype).itemsize}")
    return _numbers(raw, _dtype(dtype))[0]


def reconstruct(kind: Any, shape: Any, code: Any) -> ArrayRecord:
    """numpy._core.multiarray._reconstruct: an empty array, filled by BUILD."""
    return ArrayRecord()


def _numbers(raw: bytes, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "b":
        return np.frombuffer(raw, np.uint8).astype(np.bool_)  # NumPy counts on bools being 0 or 1
    return np.frombuffer(raw, dtype)


def _shaped(raw: bytes, dtype: np.dtype[Any], shape: Any, order: Any) -> Array:
    if type(shape) is not tuple or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise FormatError("a NumPy array whose shape is not a tuple of sizes")
    return _numbers(raw, dtype).reshape(shape, order=order).copy("K")


def fill_array(record: ArrayRecord, state: Any) -> None:
    """numpy.ndarray.__setstate__: (version, shape, dtype, Fortran order, bytes)."""
    if type(state) is not tuple or len(state) != 5:
        raise FormatError("a NumPy array whose state is not of five parts; the file is damaged")
    _, shape, dtype, fortran, data = state
    record.array = _shaped(_raw(data), _dtype(dtype), shape, "F" if fortran else "C")


def from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> ArrayRecord:
    """numpy._core.numeric._frombuffer, which protocol 5 uses."""
    if order not in ("C", "F", "K"):
        raise FormatError(f"a NumPy array in order {quote(order)}")
    array = _shaped(_raw(data), _dtype(dtype), shape, "F" if order == "F" else "C")
    return ArrayRecord(array if axes is None else array.transpose(axes))
