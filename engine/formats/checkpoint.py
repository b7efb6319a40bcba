"""The reader of torch.save files in zip form, which torch writes since 1.6."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..dtype import Array
from ..errors import FormatError
from .allowed import StorageClass, language
from .detection import CHECKPOINT_ZIP, detect
from .elements import Element
from .limits import DEFAULT, Limits, quote
from .mapping import FilePath, map_file
from .pickle import read_pickle
from .results import finish
from .storage import Storage
from .zip import Archive


class ZipCheckpoint:
    """Reads `data.pkl`; storages stay mapped in the file until they are written to."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._limits = limits

    def matches(self, path: FilePath) -> bool:
        """Whether the content is of this form."""
        return detect(path) == CHECKPOINT_ZIP

    def load(self, path: FilePath) -> Any:
        """The object that was saved."""
        archive = Archive(map_file(path), self._limits)
        storages = _Storages(archive)
        root, _ = read_pickle(archive.read("data.pkl"), 0, language(storages.find), self._limits)
        return finish(root, self._limits)


class _Storages:
    """The storages of an archive by key: one for each record, however often the pickle names it."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._big_endian = _is_big_endian(archive)
        self._found: dict[str, Storage] = {}

    def find(self, identifier: Any) -> Storage:
        """What the persistent id ("storage", class, key, location, length) stands for; the location is a hint only."""
        match identifier:
            case ("storage", StorageClass() as kind, str(key), str(), int(length)):
                if key not in self._found:
                    fetch = partial(self._fetch, key, kind.element, length)
                    self._found[key] = Storage(kind.element, length, fetch, self._big_endian)
                return self._found[key]
        raise FormatError(
            "a persistent id other than a storage's; the file is damaged or was not written by torch.save"
        )

    def _fetch(self, key: str, element: Element, length: int) -> Array:
        data = self._archive.array(f"data/{key}")
        wanted = length * element.itemsize
        if len(data) < wanted:
            raise FormatError(f"storage {quote(key)} has {len(data)} bytes; {wanted} are declared")
        return data[:wanted]


def _is_big_endian(archive: Archive) -> bool:
    if "byteorder" not in archive:
        return False
    order = archive.read("byteorder").decode("ascii", "replace").strip()
    if order not in ("little", "big"):
        raise FormatError(f"byte order {quote(order)}; expected little or big")
    return order == "big"
