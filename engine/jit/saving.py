"""save(), which writes a module of a program as an archive that PyTorch loads and our own reader maps.

Source: torch/csrc/jit/serialization/export_module.cpp; the pickles are those of pickler.cpp.
"""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Mapping
from typing import IO, Any

from ..dtype import Array
from ..errors import FormatError
from ..formats.mapping import FilePath
from ..formats.saving import Pickler
from ..formats.writing import add_record, replacing
from ..nn.module import Module
from .values import Member, NamedResult, ScriptClass, ScriptObject

_ROOT = "archive"
OPERATORS = 10  # the version of the operators' meanings. Source: caffe2/serialize/versions.h


def save(module: Module, path: FilePath, extra_files: Mapping[str, bytes | str] | None = None) -> None:
    """Write a module with its code and its present state; all or nothing. Source: torch.jit.save."""
    program = vars(module).get("_program")
    if program is None:
        raise FormatError("a part of a program cannot be saved alone; save the whole module")
    texts = program.texts  # and by then all that the classes declare
    constants, objects = _ObjectPickler(), _ObjectPickler()
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        add_record(archive, file, f"{_ROOT}/data.pkl", objects.pickle(module))
        add_record(archive, file, f"{_ROOT}/byteorder", b"little")
        _write_storages(archive, file, "data", objects.storages)
        for name, text in texts.items():
            add_record(archive, file, f"{_ROOT}/code/{name.replace('.', '/')}.py", text)
        for name, content in (extra_files or {}).items():
            add_record(
                archive, file, f"{_ROOT}/extra/{name}", content.encode() if isinstance(content, str) else content
            )
        add_record(archive, file, f"{_ROOT}/constants.pkl", constants.pickle(tuple(program.constants)))
        _write_storages(archive, file, "constants", constants.storages)
        number, below = program.version, ".data/version" if program.version > 5 else "version"
        add_record(archive, file, f"{_ROOT}/{below}", f"{number}\n".encode())


def _write_storages(archive: zipfile.ZipFile, file: IO[bytes], folder: str, storages: list[Array]) -> None:
    for key, storage in enumerate(storages):
        add_record(archive, file, f"{_ROOT}/{folder}/{key}", storage.data)


class _ObjectPickler(Pickler):
    """Writes modules, objects, named tuples and enum members beside plain values."""

    def _value(self, value: Any, depth: int) -> None:
        if isinstance(value, (Module, ScriptObject)):
            self._object(value, depth)
        elif isinstance(value, NamedResult):
            raise FormatError(f"a {type(value).__name__} among a module's attributes cannot be saved")
        elif isinstance(value, Member):
            self._class_name(value.cls.name)
            self._value(value.value, depth + 1)
            self._out += b"\x85R"
        else:
            super()._value(value, depth)

    def _class_name(self, name: str) -> None:
        module, _, last = name.rpartition(".")
        self._global(module, last)

    def _object(self, value: Any, depth: int) -> None:
        if self._recalled(id(value)):
            return
        cls: ScriptClass = value._class if isinstance(value, Module) else value.cls
        if "__getstate__" in cls.methods:
            raise FormatError(f"{cls.name} saves its state by a method of its own, which cannot be written")
        attributes = value.held() if isinstance(value, Module) else value.values
        self._class_name(cls.name)
        self._out += b")\x81}("
        for name, item in attributes.items():
            self._name(name)
            self._typed(item, cls.types.get(name), depth + 1)
        self._out += b"ub"
        self._alive.append(value)
        self._remember(id(value))

    def _typed(self, item: Any, declared: ast.expr | None, depth: int) -> None:
        """A list or dict says its type beside it, which an empty one does not show."""
        if not isinstance(item, (list, dict)) or declared is None:
            self._value(item, depth)
            return
        self._global("torch.jit._pickle", "restore_type_tag")
        self._value(item, depth)
        self._name(ast.unparse(declared))
        self._out += b"\x86R"
