"""From whatever a checkpoint holds to the state_dict in it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..errors import FormatError
from ..nn.module import Module
from ..tensor import Tensor
from .limits import quote
from .results import QuantizedTensor, RawTensor, SparseTensor

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PARALLEL = "module."
_TENSORS = (Tensor, RawTensor, QuantizedTensor, SparseTensor)


def state_dict_of(checkpoint: object) -> OrderedDict[str, Any]:
    """The state_dict in what load() gives, to be changed at will: plain, under a usual name, or a module's.

    The prefix `module.` that DataParallel puts before every name is taken off.
    Raises: FormatError where there is none, or more than one.
    """
    if isinstance(checkpoint, Module):
        checkpoint = checkpoint.state_dict()
    if _is_state_dict(checkpoint):
        return _without_prefix(checkpoint)
    if not isinstance(checkpoint, Mapping):
        raise FormatError(f"the checkpoint holds {_describe(checkpoint)}; expected a state_dict: names and tensors")
    found = [name for name in _WRAPPERS if _is_state_dict(checkpoint.get(name))]
    if len(found) > 1:
        raise FormatError(
            f"the checkpoint holds several state_dicts ({', '.join(found)}); save the one to serve by itself"
        )
    if not found:
        raise FormatError(
            f"no state_dict among {_listing(checkpoint)}; expected tensors by name, or {' or '.join(_WRAPPERS)}"
        )
    return _without_prefix(checkpoint[found[0]])


def _is_state_dict(value: object) -> bool:
    """Names and tensors; a module may add state of another type under a name that ends in _extra_state."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and (isinstance(item, _TENSORS) or name.endswith("_extra_state"))
        for name, item in value.items()
    )


def _without_prefix(state: Any) -> OrderedDict[str, Any]:
    metadata = getattr(state, "_metadata", None)
    parallel = bool(state) and all(name.startswith(_PARALLEL) for name in state)
    if parallel:
        state = {name.removeprefix(_PARALLEL): item for name, item in state.items()}
        metadata = metadata and {_inner(path): entry for path, entry in metadata.items()}
    plain = OrderedDict(state)
    if metadata is not None:
        plain.__dict__["_metadata"] = OrderedDict(metadata)
    return plain


def _inner(path: str) -> str:
    """The path of a module inside what DataParallel wrapped."""
    return f"{path}.".removeprefix(_PARALLEL).removesuffix(".")


def _describe(value: object) -> str:
    if isinstance(value, _TENSORS):
        return f"one tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _listing(checkpoint: Mapping[Any, Any]) -> str:
    """The first names and what is under them."""
    shown = [f"{quote(name)} ({_describe(item)})" for name, item in list(checkpoint.items())[:8]]
    return ", ".join(shown) + (", …" if len(checkpoint) > 8 else "")
