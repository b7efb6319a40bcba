"""The names a checkpoint may use, and the plain data that stands for each.

This table is the whole of what a file can reach. Source: the reduce functions of torch/_tensor.py and torch/_utils.py.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

from ..device import device
from ..errors import FormatError
from . import numpy_objects
from .elements import ELEMENTS, STORAGES, Element
from .limits import quote
from .machine import Builder, Inert, Language, Name, scalar_key
from .storage import ArrayRecord, QuantizedRecord, SparseRecord, Storage, TensorRecord

T = TypeVar("T")
ADVICE = "torch.save(model.state_dict(), 'weights.pth')"
_TEXT_CODECS = frozenset({"latin1", "latin-1", "utf-8", "utf8", "ascii"})
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


def need(value: Any, kind: type[T]) -> T:
    """The value, if it is exactly of that kind."""
    if type(value) is not kind:
        raise FormatError(f"the pickle has {quote(value)} where a {kind.__name__} belongs; the file is damaged")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > 64:
        raise FormatError("a tensor's sizes and strides must be tuples of at most 64 integers")
    return tuple([need(n, int) for n in values])


# Tensors.


def rebuild_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None, flags: Any = None
) -> TensorRecord:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2."""
    base = need(storage, Storage)
    marks = flags if type(flags) is dict else {}
    return TensorRecord(
        base,
        need(offset, int),
        _sizes(size),
        _sizes(stride),
        base.element,
        need(requires_grad, bool),
        conjugated=bool(marks.get("conj")),
        negated=bool(marks.get("neg")),
    )


def _rebuild_tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, flags: Any = None
) -> TensorRecord:
    record = rebuild_tensor(storage, offset, size, stride, requires_grad, hooks, flags)
    return replace(record, element=need(dtype, Element))


def _rebuild_parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    if type(data) in (QuantizedRecord, SparseRecord):
        return data
    return replace(need(data, TensorRecord), requires_grad=need(requires_grad, bool))


def _rebuild_quantized(
    storage: Any, offset: Any, size: Any, stride: Any, quantizer: Any, requires_grad: Any = False, hooks: Any = None
) -> QuantizedRecord:
    return QuantizedRecord(rebuild_tensor(storage, offset, size, stride), need(quantizer, tuple))


def _rebuild_sparse(layout: Any, parts: Any) -> SparseRecord:
    return SparseRecord(need(layout, str), need(parts, tuple))


def _rebuild_from_numpy(data: Any, dtype: Any, device: Any, requires_grad: Any) -> Any:
    return need(data, ArrayRecord)


def _rebuild_from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor with Python attributes; the attributes are not kept."""
    if not isinstance(function, Builder) or function.name not in _TENSORS:
        raise FormatError(f"the pickle makes a tensor by {quote(getattr(function, 'name', function))}")
    return function.build(need(arguments, tuple))


# Plain values.


def _device(kind: Any, index: Any = None) -> device:
    return device(need(kind, str)[:64], None if index is None else need(index, int))


def _encode(text: Any, codec: Any = "utf-8") -> bytes:
    if need(codec, str) not in _TEXT_CODECS:
        raise FormatError(
            f"the pickle encodes text by {quote(codec)}; expected one of {', '.join(sorted(_TEXT_CODECS))}"
        )
    return need(text, str).encode(codec)


def _bytearray(data: Any = b"", codec: Any = None) -> bytearray:
    return bytearray(need(data, bytes) if codec is None else _encode(data, codec))


def _empty_bytes() -> bytes:
    """How protocol 2 writes b""; bytes(n) would allocate."""
    return b""


def _scalars(values: Any) -> list[Any]:
    if type(values) not in (list, tuple):
        raise FormatError("the pickle makes a set of something other than a list")
    return [scalar_key(value) for value in values]


def _set(values: Any = ()) -> set[Any]:
    return set(_scalars(values))


def _frozenset(values: Any = ()) -> frozenset[Any]:
    return frozenset(_scalars(values))


def _complex(real: Any, imaginary: Any = 0.0) -> complex:
    return complex(need(real, float), need(imaginary, float))


def _bounds(arguments: tuple[Any, ...]) -> list[Any]:
    if not all(n is None or type(n) is int for n in arguments):
        raise FormatError("a slice or range whose bounds are not integers")
    return list(arguments)


def _slice(*bounds: Any) -> slice:
    return slice(*_bounds(bounds))


def _range(*bounds: Any) -> range:
    return range(*_bounds(bounds))


def _size(values: Any = ()) -> tuple[int, ...]:
    return _sizes(values)


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    if type(pairs) not in (list, tuple) or not all(type(pair) in (list, tuple) for pair in pairs):
        raise FormatError("an OrderedDict made of something other than pairs")
    return OrderedDict((scalar_key(key), value) for key, value in pairs)


def _counter(counts: Any = None) -> Counter[Any]:
    return Counter(need(counts, dict) if counts is not None else {})


def _default_dict(factory: Any = None) -> dict[Any, Any]:
    return {}


def _layout(name: Any) -> str:
    return need(name, str)


_TENSORS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._utils._rebuild_qtensor": _rebuild_quantized,
    "torch._utils._rebuild_sparse_tensor": _rebuild_sparse,
    "torch._utils._rebuild_device_tensor_from_numpy": _rebuild_from_numpy,
    "torch.nn.parameter.Parameter": _rebuild_parameter,
}
_VALUES: dict[str, Callable[..., Any]] = {
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch.serialization._get_layout": _layout,
    "torch.device": _device,
    "torch.Size": _size,
    "collections.OrderedDict": _ordered,
    "collections.Counter": _counter,
    "collections.defaultdict": _default_dict,
    "_codecs.encode": _encode,
    "numpy.dtype": numpy_objects.NumpyDtype,
}
# Protocol 2 says __builtin__, as Python 2 did.
_BUILTINS: dict[str, Callable[..., Any]] = {
    "bytearray": _bytearray,
    "bytes": _empty_bytes,
    "set": _set,
    "frozenset": _frozenset,
    "complex": _complex,
    "slice": _slice,
    "range": _range,
    "xrange": _range,
}
_NUMPY: dict[str, Callable[..., Any]] = {
    "multiarray.scalar": numpy_objects.scalar,
    "multiarray._reconstruct": numpy_objects.reconstruct,
    "numeric._frombuffer": numpy_objects.from_buffer,
}


def _names() -> dict[Name, object]:
    builders = _TENSORS | _VALUES
    for prefix in ("builtins", "__builtin__"):
        builders |= {f"{prefix}.{name}": function for name, function in _BUILTINS.items()}
    for prefix in ("numpy.core", "numpy._core"):
        builders |= {f"{prefix}.{name}": function for name, function in _NUMPY.items()}
    names: dict[str, object] = {name: Builder(name, function) for name, function in builders.items()}
    names |= {f"torch.{name}": element for name, element in ELEMENTS.items()}
    names |= {f"torch.{name}": name for name in _SCHEMES}
    for storage, element in STORAGES.items():
        names[f"torch.{storage}"] = names[f"torch.cuda.{storage}"] = StorageClass(ELEMENTS[element])
    names["torch.storage.UntypedStorage"] = StorageClass(ELEMENTS["uint8"])
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
        target.__dict__["_metadata"] = _metadata(need(state, dict).get("_metadata"))
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
