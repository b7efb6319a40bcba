"""Values, operands and attributes as plain JSON, and back; what comes from a file is believed in nothing."""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..dtype import DTYPES, DType
from ..errors import FormatError
from ..formats.limits import quote
from ..ops import PRIMITIVES
from ..ops.primitive import Primitive
from .ir import Extent, Size, Value

MOST_DIMS = 64  # of a NumPy array
LARGEST = 1 << 62
DEEPEST = 100  # lists in lists


def write_value(value: Value) -> list[Any]:
    """[name, dtype, sizes], where a size that follows the batch is a list [a, b]."""
    sizes = [[s.a, s.b] if isinstance(s, Extent) else int(s) for s in value.shape]
    return [value.name, value.dtype.name, sizes]


def read_value(item: Any) -> Value:
    """What write_value() wrote."""
    name, dtype, sizes = parts_of(item, 3, "a value")
    if type(sizes) is not list or len(sizes) > MOST_DIMS:
        raise FormatError(f"value {quote(name)} has no list of at most {MOST_DIMS} sizes")
    return Value(text(name), tuple(map(_size, sizes)), _dtype(dtype))


def _size(item: Any) -> Size:
    if type(item) is list:
        a, b = (_integer(part) for part in parts_of(item, 2, "a size"))
        if a < 1:
            raise FormatError("a size that follows the batch and does not grow with it")
        return Extent(a, b)
    if _integer(item) < 0:
        raise FormatError(f"a size of {quote(item)}; expected 0 or more")
    return int(item)


def write_item(item: Any) -> Any:
    """An operand or attribute. Raises: FormatError for what no graph holds."""
    if item is None or isinstance(item, (bool, str)):
        return item
    if isinstance(item, (int, np.integer)):
        return int(item)
    if isinstance(item, (float, np.floating)):
        return float(item) if math.isfinite(item) else {"float": str(float(item))}
    if isinstance(item, list):
        return [write_item(part) for part in item]
    for kind, (is_one, write, _) in _KINDS.items():
        if isinstance(item, is_one):
            return {kind: write(item)}
    raise FormatError(f"a graph with a {type(item).__name__} in it cannot be saved")


def read_item(item: Any, values: Mapping[str, Value], depth: int = 0) -> Any:
    """What write_item() wrote; `values` are those that may be meant, by name."""
    if item is None or isinstance(item, (bool, str, float)):
        return item
    if isinstance(item, int):
        return _integer(item)
    if depth > DEEPEST:
        raise FormatError(f"attributes nested more than {DEEPEST} deep")
    if isinstance(item, list):
        return [read_item(part, values, depth + 1) for part in item]
    kind, content = only_entry(item)
    if kind == "value":
        return known(content, values)
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind not in _KINDS:
        raise FormatError(f"an attribute of the unknown kind {quote(kind)}")
    return _KINDS[kind][2](content, lambda part: read_item(part, values, depth + 1))


def known(name: Any, values: Mapping[str, Value]) -> Value:
    """The value of that name."""
    if text(name) not in values:
        raise FormatError(f"{quote(name)} is read before anything makes it")
    return values[name]


def _read_extent(content: Any, _: Any) -> Extent:
    a, b = (_integer(part) for part in parts_of(content, 2, "an extent"))
    return Extent(a, b)


def _read_complex(content: Any, read: Callable[[Any], Any]) -> complex:
    real, imaginary = (read(part) for part in parts_of(content, 2, "a complex number"))
    if type(real) is not float or type(imaginary) is not float:
        raise FormatError("a complex number whose parts are not floats")
    return complex(real, imaginary)


def _read_tuple(content: Any, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    return tuple(read(part) for part in parts_of(content, None, "a tuple"))


def _read_slice(content: Any, read: Callable[[Any], Any]) -> slice:
    bounds = [read(part) for part in parts_of(content, 3, "a slice")]
    if not all(b is None or isinstance(b, Extent) or type(b) is int for b in bounds):
        raise FormatError("a slice whose bounds are not integers")
    return slice(*bounds)


def _read_dict(content: Any, read: Callable[[Any], Any]) -> dict[str, Any]:
    if type(content) is not dict:
        raise FormatError("a dict that is none")
    return {name: read(part) for name, part in content.items()}


def _dtype(name: Any, _: Any = None) -> DType:
    if type(name) is not str or name not in DTYPES:
        raise FormatError(f"dtype {quote(name)}; expected one of {', '.join(DTYPES)}")
    return DTYPES[name]


def _primitive(name: Any, _: Any) -> Primitive:
    if type(name) is not str or name not in PRIMITIVES:
        raise FormatError(f"an attribute that names the operation {quote(name)}, which is not there")
    return PRIMITIVES[name]


# The name of a kind: whose objects it is for, how they are written, how they are read (with a reader of their parts).
_KINDS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any, Callable[[Any], Any]], Any]]] = {
    "value": (Value, lambda v: v.name, _dtype),
    "extent": (Extent, lambda e: [e.a, e.b], _read_extent),
    "dtype": (DType, lambda d: d.name, _dtype),
    "primitive": (Primitive, lambda p: p.name, _primitive),
    "complex": (complex, lambda c: [write_item(c.real), write_item(c.imag)], _read_complex),
    "tuple": (tuple, lambda t: [write_item(part) for part in t], _read_tuple),
    "slice": (slice, lambda s: [write_item(part) for part in (s.start, s.stop, s.step)], _read_slice),
    "dict": (dict, lambda d: {text(name): write_item(part) for name, part in d.items()}, _read_dict),
}


def check_structure(item: Any, outputs: int, depth: int = 0) -> None:
    """Refuse what take_apart() does not give for so many outputs."""
    kind, content = only_entry(item)
    if depth > DEEPEST:
        raise FormatError(f"a result nested more than {DEEPEST} deep")
    if kind == "output":
        if type(content) is not int or not 0 <= content < outputs:
            raise FormatError(f"the result holds output {quote(content)} of {outputs}")
    elif kind == "value":
        if not (content is None or isinstance(content, (bool, int, float, str))):
            raise FormatError("the result holds a constant that is not plain")
    elif kind in ("tuple", "list"):
        for part in parts_of(content, None, "a tuple"):
            check_structure(part, outputs, depth + 1)
    elif kind == "dict" or _is_name(kind.removeprefix("named:")):
        if type(content) is not dict or (kind != "dict" and not all(map(_is_name, content))):
            raise FormatError("the result holds fields without names")
        for part in content.values():
            check_structure(part, outputs, depth + 1)
    else:
        raise FormatError(f"the result holds something of the unknown kind {quote(kind)}")


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def only_entry(item: Any) -> tuple[str, Any]:
    """The key and the content of a JSON object that has one entry."""
    if type(item) is not dict or len(item) != 1:
        raise FormatError(f"{quote(item)} where an object of one entry is expected")
    ((kind, content),) = item.items()
    return kind, content


def parts_of(item: Any, count: int | None, what: str) -> list[Any]:
    """A JSON list, of so many parts."""
    if type(item) is not list or (count is not None and len(item) != count):
        raise FormatError(f"{what} that is not a list{f' of {count}' if count else ''}")
    return item


def text(item: Any) -> str:
    """Text."""
    if type(item) is not str:
        raise FormatError(f"{quote(item)} where text is expected")
    return item


def _integer(item: Any) -> int:
    if type(item) is not int or abs(item) > LARGEST:
        raise FormatError(f"{quote(item)} where an integer is expected")
    return item
