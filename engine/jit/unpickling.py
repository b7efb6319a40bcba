"""The objects of an archive: data.pkl and constants.pkl, read by the allow-list reader."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from ..device import device
from ..dtype import Array
from ..errors import EngineError, FormatError
from ..formats import builders
from ..formats.allowed import NAMES, StorageClass, refuse
from ..formats.elements import Element
from ..formats.limits import Limits, quote
from ..formats.machine import Builder, Language, Name
from ..formats.pickle import read_pickle
from ..formats.results import RawTensor, to_tensor
from ..formats.storage import QuantizedRecord, SparseRecord, Storage, TensorRecord
from ..formats.zip import Archive
from ..nn.parameter import Parameter
from .functions import BUDGET
from .module import ScriptModule
from .program import Program
from .values import ScriptClass, ScriptObject

_MOST_TURNS = 100_000  # that loops may take while a program is loaded
_STORAGE_ID = (str, StorageClass, str, str, int)
_PLAIN = (str, bool, int, float, complex, type(None), device)


class ObjectRecord:
    """An object as the pickle describes it: the name of its class, what it was made of, and its state."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name = name
        self.arguments = arguments
        self.state: Any = None


class Objects:
    """Reads the pickles of one archive; a storage is one piece of memory, however often it is named."""

    def __init__(self, archive: Archive, limits: Limits, big_endian: bool) -> None:
        self._archive, self._limits, self._big_endian = archive, limits, big_endian
        self._storages: dict[str, Storage] = {}
        self._makers: list[_Maker] = []
        self.constant_records: tuple[Any, ...] = ()

    def made(self) -> Iterator[tuple[Any, Any]]:
        """Each record that was read with what it became, parts before wholes, the constants first."""
        for maker in self._makers:
            yield from maker.made_of_records()

    def constants(self) -> list[Any]:
        """The entries of constants.pkl; none where there is no such record."""
        if "constants.pkl" not in self._archive:
            return []
        root = self._read("constants.pkl", "constants/")
        if type(root) is not tuple:
            raise FormatError("constants.pkl is no tuple; the file is damaged")
        self.constant_records = root
        maker = self._maker(None)
        return [maker.made(item) for item in root]

    def module(self, program: Program) -> ScriptModule:
        """The module of data.pkl."""
        maker = self._maker(program)
        module = maker.made(self._read("data.pkl", "data/"))
        if not isinstance(module, ScriptModule):
            raise FormatError(f"the archive holds a {type(module).__name__} and not a module")
        maker.set_states()
        return module

    def _maker(self, program: Program | None) -> _Maker:
        self._makers.append(_Maker(program, self._limits))
        return self._makers[-1]

    def _read(self, record: str, folder: str) -> Any:
        language = Language(_Names(), refuse, _fill, partial(self._storage, folder))
        root, _ = read_pickle(self._archive.read(record), 0, language, self._limits)
        return root

    def _storage(self, folder: str, identifier: Any) -> Storage:
        parts = identifier if type(identifier) is tuple else ()
        if tuple(map(type, parts)) != _STORAGE_ID or parts[0] != "storage":
            raise FormatError("a persistent id other than a storage's; the file is damaged")
        _, kind, key, _, length = parts
        path = folder + key
        if path not in self._storages:
            fetch = partial(self._fetch, path, kind.element, length)
            self._storages[path] = Storage(kind.element, length, fetch, self._big_endian)
        return self._storages[path]

    def _fetch(self, path: str, element: Element, length: int) -> Array:
        data = self._archive.array(path)
        wanted = length * element.itemsize
        if len(data) < wanted:
            raise FormatError(f"storage {quote(path)} has {len(data)} bytes; {wanted} are declared")
        return data[:wanted]


class _Names(Mapping[Name, object]):
    """The names a pickle may use: a checkpoint's, PyTorch's own helpers, and all below __torch__ as inert records."""

    def __init__(self) -> None:
        self._classes: dict[Name, Builder] = {}

    def __getitem__(self, name: Name) -> object:
        if name in self._classes:
            return self._classes[name]
        full = ".".join(name)
        if full.startswith("__torch__."):
            builder = Builder(full, lambda *arguments: ObjectRecord(full, arguments))
            self._classes[name] = builder
            return builder
        found = _HELPERS.get(full) or NAMES.get(name)
        if found is None:
            raise KeyError(full)
        return found

    def __iter__(self) -> Iterator[Name]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


def _list(items: Any) -> list[Any]:
    return builders.need(items, list)


# Source: torch/jit/_pickle.py.
_HELPERS = {
    f"torch.jit._pickle.{name}": Builder(name, _list)
    for name in ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")
}
_HELPERS["torch.jit._pickle.restore_type_tag"] = Builder("restore_type_tag", lambda value, tag: value)


def _fill(target: Any, state: Any) -> None:
    if type(target) is not ObjectRecord or target.state is not None:
        raise FormatError(f"the pickle sets attributes of {quote(target)}; no archive needs that")
    target.state = state


class _Maker:
    """Makes what records describe: each object once, however often it is referred to."""

    def __init__(self, program: Program | None, limits: Limits) -> None:
        self._program, self._limits = program, limits
        self._made: dict[int, tuple[Any, Any]] = {}  # id → (the record, kept alive; what it became)
        self._open: set[int] = set()
        self._parameters: dict[int, Parameter] = {}
        self._later: list[tuple[Any, ScriptClass, Any]] = []
        self._depth = 0

    def made(self, record: Any) -> Any:
        """What a record describes."""
        kind = type(record)
        if kind in _PLAIN:
            return record
        if id(record) in self._made:
            return self._made[id(record)][1]
        if id(record) in self._open:
            raise FormatError("an object that contains itself; no program's does")
        if self._depth > self._limits.depth:
            raise FormatError(f"objects nested more than {self._limits.depth} deep; no program's are")
        self._open.add(id(record))
        self._depth += 1
        value = self._make(record, kind)
        self._depth -= 1
        self._made[id(record)] = (record, value)
        return value

    def made_of_records(self) -> Iterable[tuple[Any, Any]]:
        """Each record with what it became, parts before wholes."""
        return self._made.values()

    def set_states(self) -> None:
        """Call the __setstate__ of objects that have one, now that all objects are there."""
        BUDGET.left = _MOST_TURNS
        try:
            for owner, cls, state in self._later:
                cls.method("__setstate__")(owner, state)
        except (EngineError, RecursionError) as error:
            raise FormatError(f"the program fails while it sets its state: {error}") from error
        finally:
            BUDGET.left = None

    def _make(self, record: Any, kind: type) -> Any:
        if kind is TensorRecord:
            tensor = to_tensor(record)
            if isinstance(tensor, RawTensor):
                raise FormatError(f"a tensor of {tensor.dtype}, which the engine cannot compute with")
            return tensor
        if kind in (list, tuple):
            items = [self.made(item) for item in record]
            return items if kind is list else tuple(items)
        if kind in (dict, OrderedDict):
            return {key: self.made(value) for key, value in record.items()}
        if kind is ObjectRecord:
            return self._object(record)
        if kind in (QuantizedRecord, SparseRecord):
            what = "quantised" if kind is QuantizedRecord else "sparse"
            raise FormatError(f"the program holds a {what} tensor, which the engine cannot compute with")
        raise FormatError(f"the archive holds {quote(getattr(record, 'name', record))}, which programs do not")

    def _object(self, record: ObjectRecord) -> Any:
        if self._program is None:
            raise FormatError(f"a constant of class {quote(record.name)}; expected tensors, numbers and text")
        cls = self._program.class_of(record.name)
        arguments = [self.made(a) for a in record.arguments]
        if cls.kind == "enum":
            if len(arguments) != 1:
                raise FormatError(f"{cls.name} is made of {len(arguments)} values; expected one")
            return cls.member_of(arguments[0])
        if cls.tuple_type is not None:
            return cls.tuple_type(*arguments)
        if arguments or cls.kind == "interface":
            raise FormatError(f"{cls.name} cannot be made so")
        state = self.made(record.state)
        if "__setstate__" not in cls.methods:
            return instance_of(cls, state, self._parameters)
        owner = _blank(cls)
        self._later.append((owner, cls, state))
        return owner


def instance_of(cls: ScriptClass, state: Any, shared: dict[int, Parameter]) -> ScriptModule | ScriptObject:
    """An object with these attributes; `shared` are the parameters that there are, by the tensors they were made of."""
    owner = _blank(cls)
    if not isinstance(state, dict) or not all(type(name) is str for name in state):
        raise FormatError(f"the state of a {cls.name} is {quote(state)}; expected attributes by name")
    if isinstance(owner, ScriptModule):
        owner.hold(state, shared)
    else:
        owner.values.update(state)
    return owner


def _blank(cls: ScriptClass) -> ScriptModule | ScriptObject:
    return ScriptModule(cls) if cls.kind == "module" else ScriptObject(cls)
