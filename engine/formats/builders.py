"""The functions that a pickle may call, by our own code: each checks plain data and makes a record or a value of it."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import replace
from typing import Any, TypeVar

from ..device import device
from ..errors import FormatError
from .elements import Element
from .limits import quote
from .machine import scalar_key
from .storage import ArrayRecord, QuantizedRecord, SparseRecord, Storage, TensorRecord

T = TypeVar("T")
_TEXT_CODECS = frozenset({"latin1", "latin-1", "utf-8", "utf8", "ascii"})


def need(value: Any, kind: type[T]) -> T:
    """The value, if it is exactly of that kind."""
    if type(value) is not kind:
        raise FormatError(f"the pickle has {quote(value)} where a {kind.__name__} belongs; the file is damaged")
    return value


def _sizes(values: Any) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > 64:
        raise FormatError("a tensor's sizes and strides must be tuples of at most 64 integers")
    return tuple([need(n, int) for n in values])


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


def rebuild_tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, flags: Any = None
) -> TensorRecord:
    """torch._utils._rebuild_tensor_v3: the dtype is told beside the storage."""
    record = rebuild_tensor(storage, offset, size, stride, requires_grad, hooks, flags)
    return replace(record, element=need(dtype, Element))


def rebuild_parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    """torch._utils._rebuild_parameter and its like: a tensor that may require a gradient."""
    if type(data) in (QuantizedRecord, SparseRecord):
        return data
    return replace(need(data, TensorRecord), requires_grad=need(requires_grad, bool))


def rebuild_quantized(
    storage: Any, offset: Any, size: Any, stride: Any, quantizer: Any, requires_grad: Any = False, hooks: Any = None
) -> QuantizedRecord:
    """torch._utils._rebuild_qtensor."""
    return QuantizedRecord(rebuild_tensor(storage, offset, size, stride), need(quantizer, tuple))


def rebuild_sparse(layout: Any, parts: Any) -> SparseRecord:
    """torch._utils._rebuild_sparse_tensor."""
    return SparseRecord(need(layout, str), need(parts, tuple))


def rebuild_from_numpy(data: Any, dtype: Any, device: Any, requires_grad: Any) -> Any:
    """torch._utils._rebuild_device_tensor_from_numpy: how tensors of other devices are saved."""
    return ArrayRecord(need(data, ArrayRecord).array, is_tensor=True)


def make_device(kind: Any, index: Any = None) -> device:
    """torch.device."""
    return device(need(kind, str)[:64], None if index is None else need(index, int))


def encode(text: Any, codec: Any = "utf-8") -> bytes:
    """_codecs.encode, which protocol 2 writes bytes with; text codecs only."""
    if need(codec, str) not in _TEXT_CODECS:
        raise FormatError(
            f"the pickle encodes text by {quote(codec)}; expected one of {', '.join(sorted(_TEXT_CODECS))}"
        )
    return need(text, str).encode(codec)


def make_bytearray(data: Any = b"", codec: Any = None) -> bytearray:
    """bytearray, of bytes or of text; never of a size."""
    return bytearray(need(data, bytes) if codec is None else encode(data, codec))


def make_bytes() -> bytes:
    """No bytes, as protocol 2 writes them; bytes(n) would allocate."""
    return b""


def _scalars(values: Any) -> list[Any]:
    if type(values) not in (list, tuple):
        raise FormatError("the pickle makes a set of something other than a list")
    return [scalar_key(value) for value in values]


def make_set(values: Any = ()) -> set[Any]:
    """set, of scalars."""
    return set(_scalars(values))


def make_frozenset(values: Any = ()) -> frozenset[Any]:
    """frozenset, of scalars."""
    return frozenset(_scalars(values))


def make_complex(real: Any, imaginary: Any = 0.0) -> complex:
    """complex."""
    return complex(need(real, float), need(imaginary, float))


def _bounds(arguments: tuple[Any, ...]) -> list[Any]:
    if not all(n is None or type(n) is int for n in arguments):
        raise FormatError("a slice or range whose bounds are not integers")
    return list(arguments)


def make_slice(*bounds: Any) -> slice:
    """slice, of integers."""
    return slice(*_bounds(bounds))


def make_range(*bounds: Any) -> range:
    """range, of integers."""
    return range(*_bounds(bounds))


def make_size(values: Any = ()) -> tuple[int, ...]:
    """torch.Size, as a tuple."""
    return _sizes(values)


def make_ordered_dict(pairs: Any = ()) -> OrderedDict[Any, Any]:
    """collections.OrderedDict, of pairs."""
    if type(pairs) not in (list, tuple) or not all(type(pair) in (list, tuple) for pair in pairs):
        raise FormatError("an OrderedDict made of something other than pairs")
    return OrderedDict((scalar_key(key), value) for key, value in pairs)


def make_counter(counts: Any = None) -> Counter[Any]:
    """collections.Counter."""
    return Counter(need(counts, dict) if counts is not None else {})


def make_default_dict(factory: Any = None) -> dict[Any, Any]:
    """collections.defaultdict, as a dict: its factory is not made."""
    return {}


def make_layout(name: Any) -> str:
    """torch.serialization._get_layout, by its name."""
    return need(name, str)
