"""safetensors files: mapped when read, written as a whole.

Source: the format's description in the README of huggingface/safetensors: the length of the header in 8 bytes, the
header as JSON (name → dtype, shape, data_offsets; `__metadata__` for text), then the data without gaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from mmap import mmap
from typing import Any

import numpy as np

from ..dtype import Array
from ..errors import FormatError
from ..tensor import Tensor
from .detection import SAFETENSORS, detect
from .elements import ELEMENTS, Element
from .elements import SAFETENSORS as CODES
from .limits import quote
from .mapping import FilePath, map_file, window
from .results import RawTensor
from .storage import values_of
from .writing import replacing

_LARGEST_HEADER = 100_000_000
_LARGEST_STRUCTURE = 4_000_000  # brackets and commas: what JSON makes many small objects of
_CODE_OF = {element: code for code, element in CODES.items()}
_KEYS = {"dtype", "shape", "data_offsets"}


class Safetensors:
    """Reads a file into a dict of tensors that stay mapped until they are written to."""

    def matches(self, path: FilePath) -> bool:
        """Whether the content is of this form."""
        return detect(path) == SAFETENSORS

    def load(self, path: FilePath) -> dict[str, Tensor | RawTensor]:
        """Name → tensor."""
        data = map_file(path)
        header, start = _header(data)
        header.pop("__metadata__", None)
        spans = {name: _Span(name, entry) for name, entry in header.items()}
        _refuse_gaps(list(spans.values()), len(data) - start)
        return {name: span.tensor(data, start) for name, span in spans.items()}


def read_metadata(path: FilePath) -> dict[str, str]:
    """The text that the writer put beside the tensors."""
    metadata = _header(map_file(path))[0].get("__metadata__", {})
    if type(metadata) is not dict or not all(type(value) is str for value in metadata.values()):
        raise FormatError(f"{path}: __metadata__ that is not text to text")
    return metadata


def _header(data: mmap) -> tuple[dict[str, Any], int]:
    """The header and where the data begins."""
    length = int.from_bytes(data[:8], "little")
    if length > _LARGEST_HEADER:
        raise FormatError(f"a safetensors header of {length} bytes; at most {_LARGEST_HEADER} are allowed")
    text = window(data, 8, length).tobytes()
    if sum(text.count(sign) for sign in (b"[", b"{", b",")) > _LARGEST_STRUCTURE:
        raise FormatError("a safetensors header of more values than any set of weights has")
    try:
        header = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a safetensors header that is not JSON: {error}") from error
    if type(header) is not dict:
        raise FormatError("a safetensors header that is not a JSON object")
    return header, 8 + length


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FormatError("a safetensors header that has one name twice")
    return found


class _Span:
    """One tensor's entry in the header, checked by itself."""

    def __init__(self, name: str, entry: Any) -> None:
        if type(entry) is not dict or entry.keys() != _KEYS:
            raise FormatError(f"tensor {quote(name)} is not described by {', '.join(sorted(_KEYS))}")
        self.name = name
        self.element = _element(name, entry["dtype"])
        self.shape = _integers(name, entry["shape"])
        offsets = _integers(name, entry["data_offsets"])
        if len(offsets) != 2 or len(self.shape) > 64:
            raise FormatError(f"tensor {quote(name)} has {len(self.shape)} sizes and {len(offsets)} offsets")
        self.begin, self.end = offsets
        size = math.prod(self.shape) * self.element.itemsize
        if self.end - self.begin != size:
            raise FormatError(
                f"tensor {quote(name)} takes {quote(size)} bytes by its shape, {self.end - self.begin} by its offsets"
            )

    def tensor(self, data: mmap, start: int) -> Tensor | RawTensor:
        """The tensor over mapped memory."""
        values = values_of(window(data, start + self.begin, self.end - self.begin), self.element)
        try:
            array = values.reshape(self.shape)
        except ValueError as error:
            raise FormatError(f"tensor {quote(self.name)} has a shape that NumPy cannot hold: {error}") from error
        return Tensor(array) if self.element.dtype else RawTensor(self.element.name, array.shape, array)


def _element(name: str, code: Any) -> Element:
    if type(code) is not str or code not in CODES:
        raise FormatError(f"tensor {quote(name)} is of type {quote(code)}; expected one of {', '.join(CODES)}")
    return ELEMENTS[CODES[code]]


def _integers(name: str, values: Any) -> tuple[int, ...]:
    if type(values) is not list or not all(type(n) is int and 0 <= n < 1 << 63 for n in values):
        raise FormatError(f"tensor {quote(name)} has sizes or offsets that are not integers from 0 up")
    return tuple(values)


def _refuse_gaps(spans: list[_Span], available: int) -> None:
    """The tensors must fill the data exactly, one after the other."""
    position = 0
    for span in sorted(spans, key=lambda span: (span.begin, span.end)):
        if span.begin != position:
            what = "overlaps the one before it" if span.begin < position else "leaves a hole before it"
            raise FormatError(f"tensor {quote(span.name)} {what} in the safetensors file")
        position = span.end
    if position != available:
        raise FormatError(
            f"a safetensors file with {available} bytes of data for tensors of {position}; it may be cut off"
        )


def save_file(
    tensors: Mapping[str, Tensor | RawTensor], path: FilePath, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors, the widest types first so that every one is aligned when mapped.

    Raises: FormatError for a name or a dtype that the format has no word for.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    arrays, position = [], 0
    for name in sorted(tensors, key=lambda name: (-_elements(tensors[name]).itemsize, name)):
        tensor, array = tensors[name], _elements(tensors[name])
        dtype = tensor.dtype if isinstance(tensor, RawTensor) else tensor.dtype.name
        if name == "__metadata__" or dtype not in _CODE_OF:
            raise FormatError(f"tensor {quote(name)} of {dtype} cannot be written as safetensors")
        end = position + array.nbytes
        header[name] = {"dtype": _CODE_OF[dtype], "shape": list(array.shape), "data_offsets": [position, end]}
        arrays.append(array)
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(_little_endian(array).data)


def _elements(tensor: Tensor | RawTensor) -> Array:
    return tensor.bits if isinstance(tensor, RawTensor) else tensor.array


def _little_endian(array: Array) -> Array:
    """The elements in order, as the bytes they take in the file."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
