"""Trees, how arguments and results lie in tuples, lists and dicts. Source: torch/utils/_pytree.py, treespec_dumps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import FormatError, ScriptError
from ..formats.limits import quote
from ..jit.values import NamedResult, tuple_type
from .items import field, need

_DEEPEST = 50
_DICTS = ("builtins.dict", "collections.OrderedDict", "collections.defaultdict")


@dataclass(frozen=True)
class Tree:
    """A place for one value (kind ""), or a tuple, list, dict or named tuple of trees."""

    kind: str
    parts: tuple[Tree, ...] = ()
    keys: tuple[Any, ...] = ()
    make: type[NamedResult] | None = None

    @property
    def size(self) -> int:
        """How many values there are places for."""
        return sum(part.size for part in self.parts) if self.kind else 1

    def built(self, values: Sequence[Any]) -> Any:
        """The values in their places."""
        return self._built(iter(values))

    def _built(self, values: Iterator[Any]) -> Any:
        if not self.kind:
            return next(values)
        parts = [part._built(values) for part in self.parts]
        if self.kind in _DICTS:
            return dict(zip(self.keys, parts, strict=True))
        if self.make is not None:
            return self.make(*parts)
        return tuple(parts) if self.kind == "builtins.tuple" else parts

    def leaves(self, item: Any) -> list[Any]:
        """The values of an object that is such a tree. Raises: ScriptError where it is another."""
        if not self.kind:
            return [item]
        if self.kind in _DICTS:
            if not isinstance(item, dict) or set(item) != set(self.keys):
                raise ScriptError(f"expected a dict of {', '.join(map(str, self.keys))}")
            items = [item[key] for key in self.keys]
        elif not isinstance(item, (tuple, list)) or len(item) != len(self.parts):
            raise ScriptError(f"expected {len(self.parts)} values in a {self.kind.rpartition('.')[2]}")
        else:
            items = list(item)
        return [leaf for part, inner in zip(self.parts, items, strict=True) for leaf in part.leaves(inner)]


def read_tree(text: str, names: Any) -> Tree:
    """A tree out of its JSON; `names` are the fields of named tuples by the names of their types."""
    try:
        version, root = need(json.loads(text), list, "a tree")
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a tree of values is no JSON: {quote(str(error))}") from error
    if version != 1:
        raise FormatError(f"a tree of values of version {quote(version)}; 1 is known")
    return _tree(root, names, 0)


def _tree(item: Any, names: Any, depth: int) -> Tree:
    if depth > _DEEPEST:
        raise FormatError(f"values nested more than {_DEEPEST} deep")
    kind = need(item, dict, "a tree").get("type")
    parts = tuple(_tree(part, names, depth + 1) for part in field(item, "children_spec", list))
    if kind is None:
        return Tree("")
    if kind in ("builtins.tuple", "builtins.list"):
        return Tree(kind, parts)
    context = item.get("context")
    if kind in _DICTS:
        keys = _keys(context)
        if len(keys) != len(parts):
            raise FormatError("a dict with other than one value a key")
        return Tree(kind, parts, keys)
    if kind == "collections.namedtuple":
        name = str(context).strip('"')
        fields = tuple(need(names, dict, "fields of named tuples").get(name, ()))
        if len(fields) != len(parts) or not all(type(f) is str for f in fields):
            raise FormatError(f"a named tuple {quote(name)} whose fields are not told")
        return Tree(kind, parts, make=tuple_type(name, fields, ()))
    raise FormatError(f"the program takes or gives a {quote(kind)}; expected tensors in tuples, lists and dicts")


def _keys(context: Any) -> tuple[Any, ...]:
    try:
        keys = json.loads(context) if isinstance(context, str) else context
    except (ValueError, RecursionError) as error:
        raise FormatError("the keys of a dict are no JSON") from error
    if isinstance(keys, dict):
        keys = keys.get("dict_context") or keys.get("keys")
    if not isinstance(keys, list) or not all(isinstance(k, (str, int)) for k in keys):
        raise FormatError("the keys of a dict are other than text and numbers")
    return tuple(keys)
