"""Index, what an archive was found to hold: kept beside it, so that whoever opens it again need not read it all.

A program of many parts takes longer to be read than its weights to be mapped. Once it was read, found right and
compiled, its classes, objects, and where in the file each tensor lies are written down as JSON, in the folder that the
processes which serve it have in common (sharing.py). With the index, objects are made at once, and code is compiled
when it first runs. It is for the same file, release and operators alone; one that is not right is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ..aten import OPERATORS
from ..dtype import DTYPES, Array
from ..errors import EngineError
from ..formats.limits import Limits
from ..formats.mapping import FilePath
from ..formats.storage import TensorRecord
from ..formats.writing import staged
from ..formats.zip import Archive, directory_of
from ..sharing import folder_in_common
from ..tensor import Tensor
from .functions import Function
from .module import ScriptModule
from .program import Program
from .unpickling import ObjectRecord, Objects, instance_of
from .values import ScriptClass, ScriptObject

logger = logging.getLogger(__name__)

VERSION = 1
_LARGEST = 64 << 20
_ELEMENTS = {dtype.numpy.str: dtype.numpy for dtype in DTYPES.values()}
_PLAIN = (str, bool, int, float, type(None))
_SEQUENCES: dict[str, type[list[Any]] | type[tuple[Any, ...]]] = {"list": list, "tuple": tuple}
_KINDS = ("module", "object")
_WRONG = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, EngineError)


class _NotKept(Exception):
    """There is something in an archive that an index does not hold."""


@dataclass(frozen=True)
class Opened:
    """What opening an archive gives."""

    module: ScriptModule
    program: Program
    constants: Sequence[Any]


class Index:
    """The index of one mapped file, in a folder; `key` says what it is of."""

    def __init__(self, folder: Path, file: Path, data: mmap, limits: Limits) -> None:
        self._path, self._data, self._limits = folder / f"{file.name}.json", data, limits
        status = file.stat()
        parts = (_release(), b"%d %d" % (status.st_size, status.st_mtime_ns), directory_of(data))
        self._key = hashlib.sha256(b"\0".join(parts)).hexdigest().encode()

    @classmethod
    def of(cls, file: FilePath, data: mmap, limits: Limits) -> Index | None:
        """Where a file's index is, or is to be; None where processes have no folder in common.

        Raises: FormatError where the file is no zip archive.
        """
        folder = folder_in_common()
        return cls(folder, Path(file), data, limits) if folder else None

    def opened(self, read: Callable[[Archive], Mapping[str, bytes]]) -> Opened | None:
        """What the index says the archive holds, `read` giving its code later; None where there is no right index."""
        try:
            content = self._content()
            if content is None:
                return None
            return _opened(content, self._data, lambda: read(Archive(self._data, self._limits)))
        except FileNotFoundError:
            return None
        except (OSError, *_WRONG) as error:
            logger.warning("%s is not used: %s: %s", self._path, type(error).__name__, error)
            return None

    def keep(self, archive: Archive, opened: Opened, objects: Objects) -> None:
        """Write the index of what was opened, where all of it can be told; that it cannot be written is no error."""
        if any(record.size and not record.checksum for record in archive.records.values()):
            return  # the directory would not tell another file from this one
        try:
            body = json.dumps(_Writer(self._data, opened, objects).content(), separators=(",", ":")).encode()
            self._path.parent.mkdir(exist_ok=True)
            with staged(self._path) as partial:
                partial.write_bytes(b"%s %s\n%s" % (self._key, _digest(body), body))
        except (OSError, _NotKept) as error:
            logger.debug("%s is not kept: %s", self._path, error)

    def _content(self) -> dict[str, Any] | None:
        """What is written in it; None where that is of another file or release."""
        with self._path.open("rb") as file:
            head, _, body = file.read(_LARGEST).partition(b"\n")
        key, _, digest = head.partition(b" ")
        if digest != _digest(body):
            raise ValueError("it is damaged")
        return json.loads(body) if key == self._key else None


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


@cache
def _release() -> bytes:
    """What decides what is made of a file, and whether it is refused."""
    return " ".join([str(VERSION), __version__, *sorted(OPERATORS)]).encode()


class _Writer:
    """Tells what was opened as plain data. In lists of items, a list [n] stands for the value of number n."""

    def __init__(self, data: mmap, opened: Opened, objects: Objects) -> None:
        self._start, self._size = np.frombuffer(data, np.uint8).__array_interface__["data"][0], len(data)
        self._opened, self._objects = opened, objects
        self._numbers: dict[int, int] = {}
        self._classes: dict[str, int] = {}
        self._outlines: dict[str, int] = {}
        self._told: list[Any] = []
        self._named: list[Any] = []

    def content(self) -> dict[str, Any]:
        """The whole index. Raises: _NotKept."""
        values = []
        for record, value in self._objects.made():
            values.append(self._value(record, value))
            self._numbers[id(record)] = len(values) - 1
        return {
            "version": self._opened.program.version,
            "outlines": self._told,
            "classes": self._named,
            "values": values,
            "constants": self._items(self._objects.constant_records),
            "root": len(values) - 1,
        }

    def _value(self, record: Any, value: Any) -> list[Any]:
        kind = type(record)
        if kind is TensorRecord:
            return self._tensor(value)
        if kind in (list, tuple):
            return [kind.__name__, self._items(record)]
        if kind in (dict, OrderedDict):
            return ["dict", self._items(record.keys()), self._items(record.values())]
        if kind is ObjectRecord and isinstance(value, (ScriptModule, ScriptObject)) and not record.arguments:
            cls = value._class if isinstance(value, ScriptModule) else value.cls
            return ["object", self._class(cls), self._item(record.state)]
        raise _NotKept(f"the archive holds a {type(value).__name__}")

    def _tensor(self, tensor: Tensor) -> list[Any]:
        array = tensor.array
        if not array.size:
            return ["empty", array.dtype.str, array.shape, tensor.requires_grad]
        plain = array.flags.c_contiguous
        first = array.__array_interface__["data"][0]
        end = first + array.nbytes if plain else np.lib.array_utils.byte_bounds(array)[1]
        if not self._start <= first < end <= self._start + self._size or array.dtype.str not in _ELEMENTS:
            raise _NotKept("a tensor is not used as it lies in the file")
        strides = None if plain else array.strides
        return ["tensor", array.dtype.str, first - self._start, array.shape, strides, tensor.requires_grad]

    def _items(self, items: Iterable[Any]) -> list[Any]:
        return [self._item(item) for item in items]

    def _item(self, item: Any) -> Any:
        if type(item) in _PLAIN:
            return item
        if id(item) not in self._numbers:
            raise _NotKept(f"the archive holds a {type(item).__name__}")
        return [self._numbers[id(item)]]

    def _class(self, cls: ScriptClass) -> int:
        if cls.name not in self._classes:
            if cls.kind not in _KINDS or "__setstate__" in cls.methods:
                raise _NotKept(f"{cls.name} is a class of its own kind")
            outline = [
                cls.kind, cls.parameters, cls.buffers, cls.pre_hooks, cls.hooks,
                {name: self._literal(value) for name, value in cls.constants.items()},
                {name: function.parameters for name, function in cls.methods.items()},
            ]  # fmt: skip
            place = self._outlines.setdefault(repr(outline), len(self._told))
            if place == len(self._told):
                self._told.append(outline)
            self._classes[cls.name] = len(self._named)
            self._named.append([cls.name, place])
        return self._classes[cls.name]

    def _literal(self, value: Any) -> Any:
        """A constant of a class, as JSON gives it back."""
        if type(value) in (list, tuple):
            return {type(value).__name__: [self._literal(item) for item in value]}
        if type(value) not in _PLAIN:
            raise _NotKept(f"a class has a {type(value).__name__} as a constant")
        return value


class _IndexedProgram(Program):
    """A program that was found right before, of which an index tells the classes; compiled when it first runs."""

    def __init__(self, version: int, read: Callable[[], Mapping[str, bytes]]) -> None:
        super().__init__(None, [], version)
        self._read = read
        self._lock = threading.RLock()

    @property
    def texts(self) -> dict[str, bytes]:
        """The code's files."""
        self.complete()
        return super().texts

    def complete(self) -> None:
        """Compile everything, once. Raises: FormatError where the file is not what it was."""
        with self._lock:
            if not super().texts:
                self.compile(self._read())

    def declare(self, name: str, outline: Sequence[Any]) -> ScriptClass:
        """A class by what is known of it before its code is read."""
        kind, *lists, constants, methods = outline
        if kind not in _KINDS or type(name) is not str:
            raise ValueError("a class of no kind or name")
        cls = self.declared[name] = ScriptClass(name, kind)
        cls.parameters, cls.buffers, cls.pre_hooks, cls.hooks = map(_names, lists)
        cls.constants.update((constant, _literal(told)) for constant, told in constants.items())
        for method, parameters in methods.items():
            cls.methods[method] = Function(f"{name}.{method}", _names(parameters), later=self.complete)
        if not cls.methods.keys() >= {*cls.pre_hooks, *cls.hooks}:
            raise ValueError(f"{name} has hooks that are not there")
        return cls


def _names(told: Any) -> tuple[str, ...]:
    if type(told) is not list or not all(type(name) is str for name in told):
        raise ValueError("no list of names")
    return tuple(told)


def _literal(told: Any) -> Any:
    """A constant of a class."""
    if type(told) is not dict:
        return told
    ((kind, items),) = told.items()
    return _SEQUENCES[kind](map(_literal, items))


def _mapped(data: mmap, element: str, offset: int, shape: Sequence[int], strides: Sequence[int] | None) -> Array:
    """A window on the file. Raises: ValueError where it reaches out of it, or shows bytes as bools that are none."""
    if offset < 0:  # NumPy checks where it ends
        raise ValueError("a tensor lies before the file")
    array = np.ndarray(shape, _ELEMENTS[element], data, offset, strides)
    if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError("a tensor of bools that are none")
    return array


def _opened(content: Mapping[str, Any], data: mmap, read: Callable[[], Mapping[str, bytes]]) -> Opened:
    """What an index says there is."""
    if type(content["version"]) is not int:
        raise ValueError("no version")
    program = _IndexedProgram(content["version"], read)
    classes = [program.declare(name, content["outlines"][place]) for name, place in content["classes"]]
    made: list[Any] = []
    shared: dict[int, Any] = {}

    def items(found: Sequence[Any]) -> list[Any]:
        return [made[item[0]] if type(item) is list else item for item in found]

    for kind, *told in content["values"]:
        if kind == "tensor":
            *place, grad = told
            made.append(Tensor(_mapped(data, *place), grad is True))
        elif kind == "object":
            cls, state = told
            made.append(instance_of(classes[cls], made[state[0]], shared))
        elif kind == "dict":
            made.append(dict(zip(items(told[0]), items(told[1]), strict=True)))
        elif kind == "empty":
            made.append(Tensor(np.empty((0,), _ELEMENTS[told[0]]).reshape(told[1]), told[2] is True))
        else:
            made.append(_SEQUENCES[kind](items(told[0])))
    constants = items(content["constants"])
    program.constants = constants
    module = made[content["root"]]
    if not isinstance(module, ScriptModule):
        raise ValueError("it is not of a module")
    return Opened(module, program, constants)
