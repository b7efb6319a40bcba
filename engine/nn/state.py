"""state_dict and load_state_dict: a module's tensors by dotted name, out and in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from mmap import mmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..dtype import Array, cast
from ..errors import EngineError
from ..tensor import Tensor
from .parameter import Buffer, Parameter

if TYPE_CHECKING:
    from .module import Module


class StateDictError(EngineError, RuntimeError):
    """Weights whose names or shapes are not the module's; the message lists all of them."""


class IncompatibleKeys(NamedTuple):
    """What load_state_dict left as it was, and what it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def named_state(module: Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers with their dotted names, shared ones under each of theirs."""
    for path, part in module.named_modules(prefix=prefix, remove_duplicate=False):
        dotted = f"{path}." if path else ""
        yield from ((dotted + name, tensor) for name, tensor in part._own_state())


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Give each part of the module its share of the state dict, then name all that did not fit."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"load_state_dict: expected a mapping of names to tensors, met {type(state_dict).__name__}")
    metadata = getattr(state_dict, "_metadata", None) or {}
    state = OrderedDict(state_dict)
    keys = IncompatibleKeys([], [])
    errors: list[str] = []
    for prefix, part in module.named_modules(remove_duplicate=False):
        dotted = f"{prefix}." if prefix else ""
        local = {**metadata.get(prefix, {}), "assign": assign}
        part._load_from_state_dict(state, dotted, local, strict, *keys, errors)
    known = {name for name, _ in named_state(module)}
    keys.unexpected_keys.extend(key for key in state if key not in known)
    if (strict and any(keys)) or errors:
        raise StateDictError(_complaint(module, state, keys, errors, strict))
    return keys


def load_part(
    module: Module, state: Mapping[str, Any], prefix: str, assign: bool, missing_keys: list[str], errors: list[str]
) -> None:
    """Load the tensors that a module holds itself, not its children's."""
    for name, tensor in module._own_state():
        if prefix + name not in state:
            missing_keys.append(prefix + name)
        elif complaint := _misfit(prefix + name, state[prefix + name], tensor):
            errors.append(complaint)
        else:
            _take(module, name, tensor, state[prefix + name], assign)


def _misfit(key: str, given: Any, tensor: Tensor) -> str | None:
    if not isinstance(given, (Tensor, np.ndarray)):
        return f"{key}: expected a tensor, met {type(given).__name__}"
    if given.shape != tensor.shape:
        return f"size mismatch for {key}: the checkpoint has {_size(given.shape)}, the model {_size(tensor.shape)}"
    return None


def _size(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _take(module: Module, name: str, tensor: Tensor, given: Any, assign: bool) -> None:
    array = given.array if isinstance(given, Tensor) else given
    if assign and isinstance(tensor, Parameter) and not isinstance(given, Parameter):
        tensor.array = array  # still the same parameter to whoever shares it
    elif assign:
        setattr(module, name, given if isinstance(given, Tensor) else Buffer(array))
    elif isinstance(tensor, Parameter):
        _take_parameter(tensor, array)
    else:
        np.copyto(tensor.array, cast(array, tensor.dtype))
        tensor.version[0] += 1


def _take_parameter(parameter: Parameter, array: Array) -> None:
    """Borrow what lies in a mapped file, copy what is in memory: its owner may go on and change it."""
    fitting = cast(array, parameter.dtype)
    if fitting is not array or not _in_a_file(array):
        parameter.fill_from(fitting)
    else:
        parameter.borrow(array)


def _in_a_file(array: Array) -> bool:
    """Whether the memory is a mapped file's."""
    base: Any = array
    while base is not None:
        if isinstance(base, (mmap, np.memmap)):
            return True
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return False


def _complaint(
    module: Module, state: Mapping[str, Any], keys: IncompatibleKeys, errors: list[str], strict: bool
) -> str:
    lines = [f"the state dict does not fit {type(module).__name__}:"]
    if strict and keys.missing_keys:
        lines.append(f"missing keys: {', '.join(keys.missing_keys)}")
    if strict and keys.unexpected_keys:
        lines.append(f"unexpected keys: {', '.join(keys.unexpected_keys)}")
    lines += [*errors, *_hints(state)]
    return "\n  ".join(lines)


def _hints(state: Mapping[str, Any]) -> list[str]:
    """What to do about the wrappings that checkpoints commonly come in."""
    if state and all(key.startswith("module.") for key in state):
        return [
            "every key begins with 'module.', as DataParallel saves them; "
            "load {key.removeprefix('module.'): value for key, value in state.items()}"
        ]
    for wrapping in ("state_dict", "model_state_dict", "model"):
        if isinstance(state.get(wrapping), Mapping):
            return [f"the weights seem to lie one level down; load state[{wrapping!r}]"]
    return []
