"""Writing checkpoints in torch's zip form: what torch.load(weights_only=True) reads, and our own reader maps.

Source: torch/serialization.py, _save; the pickle opcodes are those of Lib/pickletools.py, protocol 2.
"""

from __future__ import annotations

import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..dtype import DTYPES, Array, DType
from ..errors import FormatError
from ..tensor import Tensor
from .elements import STORAGES
from .limits import DEFAULT
from .mapping import FilePath
from .writing import add_record, replacing

_STORAGE_OF = {element: storage for storage, element in STORAGES.items()}


def save(value: object, path: FilePath) -> None:
    """Write a state_dict, or dicts and lists of tensors, numbers and text, as torch.save would; all or nothing.

    Tensors that are the same window on the same memory stay tied. Containers are written as often as they occur.
    Raises: FormatError for a value of another type.
    """
    pickler = Pickler()
    pickle = pickler.pickle(value)
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        add_record(archive, file, "archive/data.pkl", pickle)
        add_record(archive, file, "archive/byteorder", b"little")
        for key, storage in enumerate(pickler.storages):
            add_record(archive, file, f"archive/data/{key}", storage.data)
        add_record(archive, file, "archive/version", b"3\n")


class Pickler:
    """Writes one value; tensors' elements are put aside as storages."""

    def __init__(self) -> None:
        self.storages: list[Array] = []
        self._out = bytearray(b"\x80\x02")
        self._memo: dict[object, int] = {}  # a name, or the id of a tensor → its place in the pickle's memo
        self._keys: dict[tuple[Any, ...], int] = {}  # a window on memory → its storage
        self._alive: list[object] = []

    def pickle(self, value: object) -> bytes:
        """The whole pickle."""
        self._value(value, 0)
        return bytes(self._out + b".")

    def _value(self, value: Any, depth: int) -> None:
        if depth > DEFAULT.depth:
            raise FormatError(f"values nested more than {DEFAULT.depth} deep (or in themselves) cannot be saved")
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | float | str | bytes):
            self._scalar(value)
        elif isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, DType):
            self._global("torch", value.name)
        elif isinstance(value, Mapping):
            self._mapping(value, depth)
        elif isinstance(value, list | tuple):
            self._sequence(value, depth)
        else:
            raise FormatError(
                f"a {type(value).__name__} cannot be saved; expected tensors, numbers, text and containers of them"
            )

    def _scalar(self, value: bool | int | float | str | bytes | None) -> None:
        if value is None:
            self._out += b"N"
        elif isinstance(value, bool):
            self._out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self._integer(value)
        elif isinstance(value, float):
            self._out += b"G" + struct.pack(">d", value)
        elif isinstance(value, str):
            self._name(value)
        else:  # protocol 2 has no bytes
            self._global("_codecs", "encode")
            self._text(value.decode("latin-1"))
            self._name("latin1")
            self._out += b"\x86R"

    def _integer(self, value: int) -> None:
        if 0 <= value < 256:
            self._out += bytes((ord("K"), value))
            return
        if -(1 << 31) <= value < 1 << 31:
            self._out += b"J" + value.to_bytes(4, "little", signed=True)
            return
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        if len(data) > 255:
            raise FormatError(f"an integer of {len(data)} bytes cannot be saved; at most 255")
        self._out += b"\x8a" + bytes([len(data)]) + data

    def _text(self, value: str) -> None:
        data = value.encode()
        self._out += b"X" + len(data).to_bytes(4, "little") + data

    def _name(self, value: str) -> None:
        """Text that will hardly stand here alone."""
        if not self._recalled(value):
            self._text(value)
            self._remember(value)

    def _global(self, module: str, name: str) -> None:
        if not self._recalled((module, name)):
            self._out += f"c{module}\n{name}\n".encode()
            self._remember((module, name))

    def _recalled(self, key: object) -> bool:
        """Write that it is what was remembered under the key, if something was."""
        place = self._memo.get(key)
        if place is not None:
            self._out += _numbered("h", "j", place)
        return place is not None

    def _remember(self, key: object) -> None:
        """Have the latest value remembered under the key."""
        self._memo[key] = len(self._memo)
        self._out += _numbered("q", "r", self._memo[key])

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> None:
        ordered = isinstance(value, OrderedDict)
        if ordered:
            self._empty_ordered_dict()
        else:
            self._out += b"}"
        self._out += b"("
        for key, item in value.items():
            if not isinstance(key, str | int | float | bool | bytes | tuple):
                raise FormatError(f"a {type(key).__name__} cannot be saved as a key; expected text or numbers")
            self._value(key, depth + 1)
            self._value(item, depth + 1)
        self._out += b"u"
        if ordered and (metadata := getattr(value, "_metadata", None)) is not None:
            self._value({"_metadata": metadata}, depth + 1)
            self._out += b"b"

    def _empty_ordered_dict(self) -> None:
        self._global("collections", "OrderedDict")
        self._out += b")R"

    def _sequence(self, value: list[Any] | tuple[Any, ...], depth: int) -> None:
        is_list = isinstance(value, list)
        self._out += b"](" if is_list else b"("
        for item in value:
            self._value(item, depth + 1)
        self._out += b"e" if is_list else b"t"

    def _tensor(self, tensor: Tensor) -> None:
        """A call of the function that torch rebuilds tensors with, remembered so that the same tensor stays one."""
        if self._recalled(id(tensor)):
            return
        storage = _STORAGE_OF.get(tensor.dtype.name)
        shape = tensor.array.shape
        self._global("torch._utils", "_rebuild_tensor_v2" if storage else "_rebuild_tensor_v3")
        self._out += b"("
        self._persistent_id(tensor, storage)
        self._integer(0)
        self._sequence(shape, 0)
        self._sequence(_row_major(shape), 0)
        self._scalar(tensor.requires_grad)
        self._empty_ordered_dict()
        if storage is None:
            self._global("torch", tensor.dtype.name)
        self._out += b"tR"
        self._alive.append(tensor)
        self._remember(id(tensor))

    def _persistent_id(self, tensor: Tensor, storage: str | None) -> None:
        """The storage; dtypes without a storage class of their own count in bytes."""
        key = self._key(tensor.array)
        self._out += b"("
        self._name("storage")
        self._global(*(("torch", storage) if storage else ("torch.storage", "UntypedStorage")))
        self._text(str(key))
        self._name("cpu")
        self._integer(tensor.array.size if storage else tensor.array.nbytes)
        self._out += b"tQ"

    def _key(self, array: Array) -> int:
        window = (array.ctypes.data, array.dtype, array.shape, array.strides)
        if not array.size or window not in self._keys:
            if array.dtype.newbyteorder("=").name not in DTYPES:
                raise FormatError(f"a tensor of {array.dtype} cannot be saved")
            self._keys[window] = len(self.storages)
            little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            self.storages.append(little.reshape(-1).view(np.uint8))
            self._alive.append(array)
        return self._keys[window]


def _numbered(short: str, long: str, place: int) -> bytes:
    """An opcode with a place in the memo, of one byte or of four."""
    return bytes((ord(short), place)) if place < 256 else long.encode() + place.to_bytes(4, "little")


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous array, in elements."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
