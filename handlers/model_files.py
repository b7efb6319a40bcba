"""A model out of its archive's files: the class in the model file, the weights in the serialized file."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import engine
from ..engine import formats
from ..engine.errors import FormatError
from .errors import HandlerError
from .modules import ModelDirectory, list_classes_from_module


def model_class(folder: Path, model_file: str) -> type[Any]:
    """The only class that the model file defines."""
    if not (folder / model_file).is_file():
        raise HandlerError(f"Missing the {model_file} file: the manifest names it and the archive does not hold it")
    module = ModelDirectory.enter(folder).load(model_file.partition(".")[0])
    classes = list_classes_from_module(module)
    if len(classes) != 1:
        names = ", ".join(each.__name__ for each in classes) or "none"
        raise HandlerError(
            f"Expected only one class as model definition. {model_file} defines {len(classes)}: {names}",
            where=model_file,
            hint="imported classes do not count: move the others to a file of their own, packed with --extra-files",
        )
    return classes[0]


def state_dict(path: Path, library: ModuleType) -> MutableMapping[str, Any]:
    """The weights in a file, by name, in a dict that the model may change."""
    if not path.is_file():
        raise HandlerError(f"the archive does not hold {path.name}, which the manifest names as its serialized file")
    if library is engine:
        return formats.state_dict_of(formats.load(path))
    weights: MutableMapping[str, Any] = library.load(path, map_location="cpu", weights_only=True)
    return weights


def program(model_pt_path: str | None) -> engine.nn.Module:
    """The program in a serialized file that needs no model file: TorchScript and the like.

    Raises: HandlerError where there is none.
    """
    if model_pt_path is None:
        raise _nothing("the manifest names neither a model file nor a serialized file")
    path = Path(model_pt_path)
    if not path.is_file():
        raise _nothing(f"the archive does not hold {path.name}, which the manifest names as its serialized file")
    try:
        loaded = formats.load(path)
    except FormatError as error:
        raise _nothing(str(error)) from error
    if not isinstance(loaded, engine.nn.Module):
        raise _nothing(f"{path.name} holds weights alone; pack the file of the class they belong to with --model-file")
    return loaded


def _nothing(reason: str) -> HandlerError:
    return HandlerError(f"No model weights could be loaded: {reason}")
