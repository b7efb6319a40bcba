"""Calls: of operators, of the program's own functions and methods, and those that are forms of the language."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from ..aten import OPERATORS, shown, to_bool, to_float, to_int
from ..errors import ScriptError
from ..formats.limits import quote
from . import access
from .expressions import Expressions
from .functions import Expression, Function
from .syntax import chain
from .types import NUMBERS, test_of
from .values import ScriptClass

_CONVERSIONS: dict[str, Callable[..., Any]] = {
    "int": to_int, "float": to_float, "bool": to_bool, "complex": OPERATORS["aten::Complex"], "str": shown,
    "sorted": OPERATORS["aten::sorted"], "print": OPERATORS["prim::Print"], "len": OPERATORS["aten::len"],
    "wait": OPERATORS["aten::wait"],
}  # fmt: skip
_SPECIAL_CALLS = {
    "annotate": "annotated",
    "unchecked_cast": "annotated",
    "uninitialized": "uninitialized",
    "getattr": "got",
    "hasattr": "has",
    "isinstance": "is_instance",
    "fork": "forked",
}


class Calls(Expressions):
    """Compiles calls."""

    def call(self, node: Any) -> Expression:
        """A call, by what it calls."""
        target = node.func
        if isinstance(target, ast.Name) and target.id not in self.places:
            if target.id in _SPECIAL_CALLS:
                special: Expression = getattr(self, _SPECIAL_CALLS[target.id])(node)
                return special
            if target.id in _CONVERSIONS:
                return self._calling(_CONVERSIONS[target.id], node)
        names = chain(target)
        if names and names[0] in ("torch", "ops") and names[0] not in self.places:
            if names[1:] == ["prim", "isinstance"]:
                return self.is_instance(node)
            return self._calling(self._operator(names, node), node)
        if names and names[0] == "__torch__":
            return self._calling_own(names, node)
        if isinstance(target, ast.Attribute):
            return self._calling_method(target, node)
        function, (args, named) = self.expression(target), self._arguments(node)
        return lambda f: _callable(function(f))(*[a(f) for a in args], **{k: v(f) for k, v in named})

    def _arguments(self, node: Any) -> tuple[list[Expression], list[tuple[str, Expression]]]:
        if any(k.arg is None for k in node.keywords):
            self.refuse(node, "** in a call")
        return self.expressions(node.args), [(k.arg, self.expression(k.value)) for k in node.keywords]

    def _calling(self, function: Callable[..., Any], node: Any) -> Expression:
        args, named = self._arguments(node)
        if named:
            return lambda f: function(*[a(f) for a in args], **{k: v(f) for k, v in named})
        if len(args) == 1:
            only = args[0]
            return lambda f: function(only(f))
        if len(args) == 2:
            first, second = args
            return lambda f: function(first(f), second(f))
        return lambda f: function(*[a(f) for a in args])

    def _calling_own(self, names: list[str], node: Any) -> Expression:
        """A function of the program, a named tuple, or __new__ of a class."""
        if names[-1] == "__new__":
            cls = self._resolved(".".join(names[:-1]), node)
            return lambda f: access.new(cls)
        value = self._resolved(".".join(names), node)
        if isinstance(value, ScriptClass):
            if value.tuple_type is None:
                self.refuse(node, f"{value.name} is called, which is no named tuple")
            return self._calling(value.tuple_type, node)
        if not isinstance(value, Function):
            self.refuse(node, f"{quote('.'.join(names))} cannot be called")
        return self._calling(value, node)

    def _calling_method(self, target: ast.Attribute, node: Any) -> Expression:
        owner, name, (args, named) = self.expression(target.value), target.attr, self._arguments(node)
        return lambda f: access.call_method(owner(f), name, [a(f) for a in args], {k: v(f) for k, v in named})

    # Calls that are forms of the language

    def annotated(self, node: Any) -> Expression:
        """annotate(T, x): x; a one-element tensor becomes a number where T is one."""
        if len(node.args) != 2:
            self.refuse(node, "annotate(…) and its like take a type and a value")
        kind, value = node.args[0], self.expression(node.args[1])
        if isinstance(kind, ast.Name) and kind.id in NUMBERS and node.func.id == "annotate":
            read = self.program.operator("aten::ScalarImplicit")
            return lambda f: _plain(value(f), read)
        return value

    def uninitialized(self, node: Any) -> Expression:
        """uninitialized(T): what is never read."""
        return lambda f: None

    def got(self, node: Any) -> Expression:
        """getattr(x, "0"): an attribute whose name is none in code."""
        owner, name = self._owner_and_name(node)
        return lambda f: access.attribute(owner(f), name)

    def has(self, node: Any) -> Expression:
        """hasattr(x, "a")."""
        owner, name = self._owner_and_name(node)
        return lambda f: access.has_attribute(owner(f), name)

    def _owner_and_name(self, node: Any) -> tuple[Expression, str]:
        if len(node.args) != 2 or not isinstance(node.args[1], ast.Constant) or type(node.args[1].value) is not str:
            self.refuse(node, "getattr(…) takes an object and a name in quotes")
        return self.expression(node.args[0]), node.args[1].value

    def is_instance(self, node: Any) -> Expression:
        """isinstance(x, T), or one of several types."""
        if len(node.args) != 2:
            self.refuse(node, "isinstance(…) takes a value and types")
        value, test = self.expression(node.args[0]), test_of(node.args[1], self.program.resolve)
        return lambda f: test(value(f))

    def forked(self, node: Any) -> Expression:
        """fork(function, …): run at once; wait(…) gives what came out."""
        function, *args = self.expressions(node.args)
        return lambda f: _callable(function(f))(*[a(f) for a in args])


def _plain(value: Any, read: Callable[..., Any]) -> Any:
    return read(value) if hasattr(value, "array") else value


def _callable(function: Any) -> Callable[..., Any]:
    if not isinstance(function, Function) and type(function) is not _LAMBDA:
        raise ScriptError(f"a {type(function).__name__} cannot be called")
    return function


_LAMBDA = type(lambda: None)
