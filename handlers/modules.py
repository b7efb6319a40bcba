"""The Python files of a model directory: how they are imported, and the classes they define.

While a directory is entered, it stands first on sys.path, and its files get an `import` that knows the aliases
(alias.py). Modules of a directory entered before are forgotten, so that two archives never see each other's files.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from .alias import aliased_builtins


class ArchiveLoader(SourceFileLoader):
    """Runs a file with builtins whose `__import__` answers torch, torchvision and ts."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the file."""
        module.__dict__["__builtins__"] = aliased_builtins()
        super().exec_module(module)


class ModelDirectory:
    """A model's directory as Python's import system sees it."""

    _entered: ModelDirectory | None = None

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @classmethod
    def enter(cls, root: Path) -> ModelDirectory:
        """Make the files of `root` importable, in place of those of the directory entered before."""
        directory = cls(root)
        before = cls._entered
        if before is not None and before.root == directory.root:
            return before
        if before is not None:
            before._leave()
        sys.path_hooks.insert(0, directory._hook)
        sys.path.insert(0, str(directory.root))
        sys.path_importer_cache.pop(str(directory.root), None)
        cls._entered = directory
        return directory

    @classmethod
    def leave(cls) -> None:
        """Take the directory entered last out of the import system again, with its modules."""
        if cls._entered is not None:
            cls._entered._leave()
            cls._entered = None

    def find(self, name: str, folder: str = "") -> Path | None:
        """The file or package of the directory that `import name` would run, or None."""
        base = (self.root / folder).resolve()
        if not base.is_relative_to(self.root):
            return None
        path = base.joinpath(*name.split("."))
        candidates = (path / "__init__.py", path.with_name(path.name + ".py"))
        return next((candidate for candidate in candidates if candidate.is_file()), None)

    def load(self, name: str, folder: str = "") -> ModuleType:
        """Import a module of the directory; `folder` is looked into first.

        Raises: whatever the file raises; ImportError where Python's own module of that name is in use already.
        """
        inner = (self.root / folder).resolve()
        if inner.is_relative_to(self.root) and str(inner) not in sys.path:
            sys.path.insert(0, str(inner))
        module = import_module(name)
        if not self._holds(module):
            raise ImportError(
                f"{name}.py has the name of a module that Python or the server uses itself; rename the file", name=name
            )
        return module

    def _hook(self, path: str) -> FileFinder:
        if not Path(path).is_relative_to(self.root):
            raise ImportError(f"{path} is not in the model directory", path=path)
        return FileFinder(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (ArchiveLoader, SOURCE_SUFFIXES))

    def _holds(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        return file is not None and Path(file).is_relative_to(self.root)

    def _loaded(self, module: ModuleType) -> bool:
        return isinstance(getattr(module, "__loader__", None), ArchiveLoader) and self._holds(module)

    def _leave(self) -> None:
        sys.path_hooks.remove(self._hook)
        sys.path[:] = [entry for entry in sys.path if not entry or not Path(entry).is_relative_to(self.root)]
        for name in [name for name, module in sys.modules.items() if self._loaded(module)]:
            del sys.modules[name]
        for path in [path for path in sys.path_importer_cache if Path(path).is_relative_to(self.root)]:
            del sys.path_importer_cache[path]


def list_classes_from_module(module: ModuleType, parent_class: type[Any] | None = None) -> list[type[Any]]:
    """The classes defined in a module, not those it imports; with `parent_class` only its subclasses."""
    own = [each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__]
    return own if parent_class is None else [each for each in own if issubclass(each, parent_class)]


def import_class(module_name: str, class_name: str | None = None) -> type[Any]:
    """A class of an importable module: the one of that name, or the first that the module defines."""
    module = import_module(module_name)
    if class_name:
        found: type[Any] = getattr(module, class_name)
        return found
    return list_classes_from_module(module)[0]
