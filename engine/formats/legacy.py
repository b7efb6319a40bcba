"""The reader of torch.save files in legacy form, which torch wrote before 1.6 and still can."""

from __future__ import annotations

from functools import partial
from mmap import mmap
from typing import Any

from ..dtype import Array
from ..errors import FormatError
from .allowed import StorageClass, language
from .detection import CHECKPOINT_LEGACY, LEGACY_MAGIC, detect
from .limits import DEFAULT, Limits, quote
from .mapping import FilePath, map_file, window
from .pickle import read_pickle
from .results import finish
from .storage import Storage

_PROTOCOL = 1001


class LegacyCheckpoint:
    """Reads five pickles (magic, protocol, system, the object, storage keys), then binds the data behind them."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits

    def matches(self, path: FilePath) -> bool:
        """Whether the content is of this form."""
        return detect(path) == CHECKPOINT_LEGACY

    def load(self, path: FilePath) -> Any:
        """The object that was saved."""
        data, storages = map_file(path), _Storages()
        magic, position = self._plain(data, 0)
        protocol, position = self._plain(data, position)
        if (magic, protocol) != (LEGACY_MAGIC, _PROTOCOL):
            raise FormatError(f"a legacy checkpoint of protocol {quote(protocol)}; expected {_PROTOCOL}")
        # The third pickle tells of the writer's machine; data is little-endian on any (THPStorage_writeFileRaw).
        _, position = self._plain(data, position)
        root, position = read_pickle(data, position, language(storages.find), self._limits)
        keys, position = self._plain(data, position)
        storages.bind(data, position, keys)
        return finish(root, self._limits)

    def _plain(self, data: mmap, position: int) -> tuple[Any, int]:
        return read_pickle(data, position, language(_no_storages), self._limits)


def _no_storages(identifier: Any) -> Any:
    raise FormatError("a storage before the object that it belongs to; the file is damaged")


class _Storages:
    """The storages that the object names, and the views on them that files before 0.4 have."""

    def __init__(self) -> None:
        self._found: dict[str, Storage] = {}
        self._views: dict[str, Storage] = {}

    def find(self, identifier: Any) -> Any:
        """What ("storage", class, key, location, length, view) stands for, or ("module", class, file, source)."""
        match identifier:
            case ("storage", StorageClass() as kind, str(key), str(), int(length), view):
                base = self._found.setdefault(key, Storage(kind.element, length))
                return base if view is None else self._view(base, view)
            case ("module", kind, _, _):
                return kind
        raise FormatError("a persistent id of an unknown kind; the file is damaged or was not written by torch.save")

    def _view(self, base: Storage, view: Any) -> Storage:
        match view:
            case (str(key), int(offset), int(length)) if min(offset, length) >= 0 and offset + length <= base.length:
                if key not in self._views:
                    self._views[key] = Storage(base.element, length, partial(_part, base, offset, length))
                return self._views[key]
        raise FormatError("a storage view that leaves its storage; the file is damaged")

    def bind(self, data: mmap, position: int, keys: Any) -> None:
        """Find each storage's data, in the order of the keys: a count of 8 bytes, then the elements."""
        if type(keys) is not list or not all(type(key) is str for key in keys) or len(set(keys)) < len(keys):
            raise FormatError("a legacy checkpoint whose list of storages is none; the file is damaged")
        for key in keys:
            storage = self._found.get(key)
            length = int.from_bytes(window(data, position, 8).tobytes(), "little", signed=True)
            if storage is None or length != storage.length:
                raise FormatError(f"storage {quote(key)} has {length} elements; the pickle names another number")
            count = length * storage.element.itemsize
            window(data, position + 8, count)
            storage.bind(partial(window, data, position + 8, count))
            position += 8 + count


def _part(base: Storage, offset: int, length: int) -> Array:
    width = base.element.itemsize
    return base.share()[offset * width : (offset + length) * width]
