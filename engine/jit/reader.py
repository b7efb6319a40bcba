"""load(), which makes a module of a TorchScript archive."""

from __future__ import annotations

from mmap import mmap
from os import PathLike
from shutil import copyfileobj
from tempfile import NamedTemporaryFile
from typing import IO, Any

from ..errors import FormatError, ScriptError
from ..formats.detection import TORCHSCRIPT, detect
from ..formats.limits import DEFAULT, Limits, quote
from ..formats.mapping import FilePath, map_file
from ..formats.zip import Archive
from ..garbage import without_collections
from ..tensor import Tensor
from .index import Index, Opened
from .module import ScriptModule
from .program import Program
from .unpickling import Objects

_CODE, _SUFFIX = "code/", ".py"


class TorchScript:
    """Reads what torch.jit.save writes; weights stay mapped in the file until they are written to."""

    def __init__(self, limits: Limits = DEFAULT, indexed: bool = True) -> None:
        self._limits, self._indexed = limits, indexed

    def matches(self, path: FilePath) -> bool:
        """Whether the content is of this form."""
        return detect(path) == TORCHSCRIPT

    def load(self, path: FilePath) -> ScriptModule:
        """The module that was saved."""
        try:
            with without_collections():
                return self._opened(path, map_file(path))
        except FormatError as error:
            raise type(error)(f"TorchScript: {error}") from error
        except RecursionError as error:
            raise FormatError("TorchScript: the program is nested too deeply") from error

    def _opened(self, path: FilePath, data: mmap) -> ScriptModule:
        """The module as an index tells it, or as it is read and put into one."""
        index = Index.of(path, data, self._limits) if self._indexed else None
        known = index.opened(_texts) if index else None
        if known:
            return _finished(known)
        archive = Archive(data, self._limits)
        opened, objects = _read(archive, self._limits)
        if index:
            index.keep(archive, opened, objects)
        return _finished(opened)


def load(
    f: FilePath | IO[bytes],
    map_location: Any = None,
    _extra_files: dict[str, Any] | None = None,
    _restore_shapes: bool = False,
) -> ScriptModule:
    """The module in a TorchScript archive, ready to be called. Source: torch.jit.load.

    `map_location` has no meaning here: everything is on the CPU. `_extra_files` is filled with the files it names.
    Nothing of the file is run by Python: its code is compiled by an allow-list compiler to closures over the engine's
    operators. Raises: FormatError where the file is damaged, unsafe or no archive; MissingOperatorsError, which names
    all of them, where the program asks for operators that the engine lacks.
    """
    if not isinstance(f, (str, PathLike)):
        with NamedTemporaryFile(prefix="program-") as file:  # what was mapped stays when its name is gone
            copyfileobj(f, file)
            file.flush()
            return _loaded(file.name, _extra_files, indexed=False)
    return _loaded(f, _extra_files, indexed=True)


def _loaded(f: FilePath, extra_files: dict[str, Any] | None, indexed: bool) -> ScriptModule:
    try:
        module = TorchScript(indexed=indexed).load(f)
        if extra_files:
            archive = Archive(map_file(f))
            extra_files.update({name: archive.read(f"extra/{name}") for name in extra_files})
        return module
    except FormatError as error:
        if str(f) in str(error):
            raise
        raise type(error)(f"{f}: {error}") from error


def read(archive: Archive, limits: Limits = DEFAULT) -> ScriptModule:
    """The module of an open archive."""
    return _finished(_read(archive, limits)[0])


def _read(archive: Archive, limits: Limits) -> tuple[Opened, Objects]:
    objects = Objects(archive, limits, _is_big_endian(archive))
    constants = objects.constants()
    program = Program(_texts(archive), constants, _version(archive))
    return Opened(objects.module(program), program, constants), objects


def _finished(opened: Opened) -> ScriptModule:
    """The module, ready to be called."""
    module = opened.module
    _hook(module)
    own = vars(module)
    own["_program"] = opened.program
    own["_buffers"] |= {f"CONSTANTS.c{n}": c for n, c in enumerate(opened.constants) if isinstance(c, Tensor)}
    own["_transient_buffers"] |= {name for name in own["_buffers"] if name.startswith("CONSTANTS.")}
    if not any("training" in part._where for part in module.modules() if isinstance(part, ScriptModule)):
        module.eval()  # frozen: it can do nothing else
    return module


def _hook(module: ScriptModule) -> None:
    try:
        module.hook()
    except ScriptError as error:
        raise FormatError(f"TorchScript: a hook that is not there: {error}") from error


def _texts(archive: Archive) -> dict[str, bytes]:
    """The code's files by the names of the modules that they are."""
    start = f"{archive.root}/{_CODE}"
    names = [name[len(start) :] for name in archive.records if name.startswith(start) and name.endswith(_SUFFIX)]
    if not names:
        raise FormatError("the archive holds no code")
    return {name[: -len(_SUFFIX)].replace("/", "."): archive.read(_CODE + name) for name in names}


def _version(archive: Archive) -> int:
    """The version of the operators: under `version` for low numbers, `.data/version` from 6 on."""
    name = next((n for n in ("version", ".data/version") if n in archive), None)
    if name is None:
        raise FormatError("the archive does not say its version; the file is incomplete")
    text = archive.read(name).strip()
    if not text.isdigit() or len(text) > 4:
        raise FormatError(f"version {quote(text.decode('latin-1'))}; expected a number")
    return int(text)


def _is_big_endian(archive: Archive) -> bool:
    return "byteorder" in archive and archive.read("byteorder").strip() == b"big"
