"""The names a checkpoint may use, and the plain data that stands for each.

This table is the whole of what a file can reach. Source: the reduce functions of torch/_tensor.py and torch/_utils.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

from ..errors import FormatError
from . import builders, numpy_objects
from .builders import need
from .elements import ELEMENTS, STORAGES, Element
from .limits import quote
from .machine import Builder, Inert, Language, Name
from .storage import ArrayRecord

ADVICE = "torch.save(model.state_dict(), 'weights.pth')"
_SCHEMES = (
    "per_tensor_affine", "per_tensor_symmetric",
    "per_channel_affine", "per_channel_symmetric", "per_channel_affine_float_qparams",
)  # fmt: skip


class StorageClass(Inert):
    """Stands for torch.FloatStorage and its like: only their element type matters."""

    __slots__ = ("element",)

    def __init__(self, element: Element) -> None:
        self.element = element


class Marker(Inert):
    """Stands for a class that is mentioned, never made: torch.Tensor as the type of a tensor."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor with Python attributes; the attributes are not kept."""
    if not isinstance(function, Builder) or function.name not in _TENSORS:
        raise FormatError(f"the pickle makes a tensor by {quote(getattr(function, 'name', function))}")
    return function.build(need(arguments, tuple))


_TENSORS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": builders.rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": builders.rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": builders.rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": builders.rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": builders.rebuild_parameter,
    "torch._utils._rebuild_qtensor": builders.rebuild_quantized,
    "torch._utils._rebuild_sparse_tensor": builders.rebuild_sparse,
    "torch._utils._rebuild_device_tensor_from_numpy": builders.rebuild_from_numpy,
    "torch.nn.parameter.Parameter": builders.rebuild_parameter,
}
_VALUES: dict[str, Callable[..., Any]] = {
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch.serialization._get_layout": builders.make_layout,
    "torch.device": builders.make_device,
    "torch.Size": builders.make_size,
    "collections.OrderedDict": builders.make_ordered_dict,
    "collections.Counter": builders.make_counter,
    "collections.defaultdict": builders.make_default_dict,
    "_codecs.encode": builders.encode,
    "numpy.dtype": numpy_objects.NumpyDtype,
}
# Protocol 2 says __builtin__, as Python 2 did.
_BUILTINS: dict[str, Callable[..., Any]] = {
    "bytearray": builders.make_bytearray,
    "bytes": builders.make_bytes,
    "set": builders.make_set,
    "frozenset": builders.make_frozenset,
    "complex": builders.make_complex,
    "slice": builders.make_slice,
    "range": builders.make_range,
    "xrange": builders.make_range,
}
_NUMPY: dict[str, Callable[..., Any]] = {
    "multiarray.scalar": numpy_objects.scalar,
    "multiarray._reconstruct": numpy_objects.reconstruct,
    "numeric._frombuffer": numpy_objects.from_buffer,
}


def _names() -> dict[Name, object]:
    functions = _TENSORS | _VALUES
    for prefix in ("builtins", "__builtin__"):
        functions |= {f"{prefix}.{name}": function for name, function in _BUILTINS.items()}
    for prefix in ("numpy.core", "numpy._core"):
        functions |= {f"{prefix}.{name}": function for name, function in _NUMPY.items()}
    names: dict[str, object] = {name: Builder(name, function) for name, function in functions.items()}
    names |= {f"torch.{name}": element for name, element in ELEMENTS.items()}
    names |= {f"torch.{name}": name for name in _SCHEMES}
    for storage, element in STORAGES.items():
        names[f"torch.{storage}"] = names[f"torch.cuda.{storage}"] = StorageClass(ELEMENTS[element])
    for untyped in ("torch.storage.UntypedStorage", "torch.storage._UntypedStorage"):
        names[untyped] = StorageClass(ELEMENTS["uint8"])
    for name in ("torch.Tensor", "numpy.ndarray", "builtins.list", "__builtin__.list", "builtins.dict", "builtins.int"):
        names[name] = Marker(name)
    return {_split(name): value for name, value in names.items()}


def _split(name: str) -> Name:
    module, _, attribute = name.rpartition(".")
    return module, attribute


NAMES = _names()


def refuse(name: Name, at_the_top: bool) -> NoReturn:
    """Say what the file is, judging by a name that it may not use."""
    full = quote(".".join(name))
    if name[0].startswith(("torch.nn.", "torchvision.models.")):
        raise FormatError(f"this is a whole pickled module ({full}), not weights: where it was written, do {ADVICE}")
    if at_the_top:
        raise FormatError(
            f"the file holds one object made by {full}, not weights; if it is a module that was saved whole, "
            f"do {ADVICE} where it was written"
        )
    raise FormatError(
        f"the file asks for {full}, which is none of the types that weights are made of, and was not imported; "
        f"save tensors, numbers and text only, as {ADVICE} does"
    )


def fill(target: Any, state: Any) -> None:
    """BUILD: give an object its state; only a state_dict's `_metadata` and NumPy's objects have any."""
    if type(target) is OrderedDict:
        if "_metadata" in need(state, dict):
            target.__dict__["_metadata"] = _metadata(state["_metadata"])
    elif isinstance(target, numpy_objects.NumpyDtype):
        target.fill(state)
    elif type(target) is ArrayRecord:
        numpy_objects.fill_array(target, state)
    else:
        raise FormatError(f"the pickle sets attributes of {quote(target)}; no checkpoint needs that")


def _metadata(entries: Any) -> OrderedDict[str, dict[str, Any]]:
    """Module path → {"version": number}; what is not of that form is not kept."""
    if not isinstance(entries, dict):
        return OrderedDict()
    return OrderedDict(
        (path, {key: item for key, item in entry.items() if type(item) in (int, str, bool, float)})
        for path, entry in entries.items()
        if type(path) is str and type(entry) is dict and len(entry) <= 16
    )


def language(persistent: Callable[[Any], Any]) -> Language:
    """The language of checkpoints, with persistent ids as one of its two forms has them."""
    return Language(NAMES, refuse, fill, persistent)
