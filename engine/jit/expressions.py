"""Expressions: names, constants, attributes and containers become closures over a frame."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from ..aten import OPERATORS
from ..errors import FormatError
from ..formats.limits import quote
from . import access
from .functions import OUTER, Expression, Function
from .syntax import DEEPEST, chain

_NUMBERS = {"inf": math.inf, "nan": math.nan, "infj": complex(0, math.inf), "nanj": complex(0, math.nan)}
_LITERALS = (int, float, complex, str, bool, type(None))


class Program(Protocol):
    """What the compiler asks the program that a function is part of."""

    def operator(self, name: str) -> Callable[..., Any]:
        """The row of an operator, as this program means it; one that is missing is noted."""
        ...

    def resolve(self, name: str) -> Any:
        """The function, class or enum member of a dotted name."""
        ...

    def constant(self, number: int) -> Any:
        """An entry of constants.pkl."""
        ...


def literal(node: ast.expr | None, file: str) -> Any:
    """A value that is written out: numbers, text, and lists and tuples of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, _LITERALS):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = literal(node.operand, file)
        if isinstance(value, (int, float, complex)):
            return -value
    if isinstance(node, ast.Name) and node.id in _NUMBERS:
        return _NUMBERS[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [literal(node.left, file), literal(node.right, file)]
        if all(isinstance(p, (int, float, complex)) for p in parts):
            return parts[0] + parts[1]
    if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) < 100_000:
        items = [literal(n, file) for n in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    raise FormatError(f"{file}:{getattr(node, 'lineno', 0)}: expected a number, text or a list of them")


class Expressions:
    """Compiles the expressions of one function; `outer` compiles the function around it."""

    def __init__(self, program: Program, file: str, function: Function, outer: Expressions | None) -> None:
        self.program, self.file, self.target, self.outer = program, file, function, outer
        self.places: dict[str, int] = {}
        self.depth = 0

    def refuse(self, node: ast.AST, what: str | None = None) -> NoReturn:
        """Refuse a form, with the line that it stands on."""
        line = getattr(node, "lineno", 0)
        raise FormatError(f"{self.file}:{line}: {what or f'{type(node).__name__} is no part of TorchScript'}")

    def expressions(self, nodes: Sequence[ast.expr]) -> list[Expression]:
        """Several expressions."""
        return [self.expression(n) for n in nodes]

    def expression(self, node: ast.expr) -> Expression:
        """The closure of an expression."""
        name = _EXPRESSIONS.get(type(node))
        if name is None:
            self.refuse(node)
        self.depth += 1
        if self.depth > 3 * DEEPEST:
            self.refuse(node, f"expressions nested more than {3 * DEEPEST} deep")
        compiled: Expression = getattr(self, name)(node)
        self.depth -= 1
        return compiled

    def constant(self, node: Any) -> Expression:
        """A number, text or None."""
        value = node.value
        if not isinstance(value, _LITERALS):
            self.refuse(node, f"a constant of type {type(value).__name__}")
        return lambda f: value

    def name(self, node: Any) -> Expression:
        """A name: of this function, of the one around it, or of a number."""
        return self._named(node.id, node)

    def _named(self, name: str, node: ast.AST) -> Expression:
        place = self.places.get(name)
        if place is not None:
            return lambda f: f[place]
        if self.outer is not None and name in self.outer.places:
            around = self.outer.places[name]
            return lambda f: f[OUTER][around]
        if name in _NUMBERS:
            value = _NUMBERS[name]
            return lambda f: value
        self.refuse(node, f"the name {quote(name)} is not known")

    def attribute(self, node: Any) -> Expression:
        """a.b: an attribute, a constant of the archive, an operator or a name of the program."""
        names = chain(node)
        if names and names[0] not in self.places:
            if names[0] == "__torch__":
                value = self._resolved(".".join(names), node)
                return lambda f: value
            if names[0] == "CONSTANTS" and len(names) == 2 and names[1][1:].isdecimal():
                number = int(names[1][1:])
                constant = self.program.constant(number)
                return lambda f: constant
            if names[0] in ("torch", "ops"):
                function = self._operator(names, node)
                return lambda f: function
        owner, name = self.expression(node.value), node.attr
        return lambda f: access.attribute(owner(f), name)

    def _resolved(self, name: str, node: ast.AST) -> Any:
        try:
            return self.program.resolve(name)
        except FormatError as error:
            self.refuse(node, str(error))

    def _operator(self, names: list[str], node: ast.AST) -> Callable[..., Any]:
        if names[0] == "torch" and len(names) == 2:
            return self.program.operator(f"aten::{names[1]}")
        if names[0] == "ops" and len(names) == 3:
            return self.program.operator(f"{names[1]}::{names[2]}")
        self.refuse(node, f"{quote('.'.join(names))} is no operator")

    def tuple_of(self, node: Any) -> Expression:
        """(a, b)."""
        items = self.expressions(node.elts)
        return lambda f: tuple([item(f) for item in items])

    def list_of(self, node: Any) -> Expression:
        """[a, b]."""
        items = self.expressions(node.elts)
        return lambda f: [item(f) for item in items]

    def dict_of(self, node: Any) -> Expression:
        """{a: b}."""
        if None in node.keys:
            self.refuse(node, "** in a dict")
        keys, values = self.expressions(node.keys), self.expressions(node.values)
        return lambda f: {key(f): value(f) for key, value in zip(keys, values, strict=True)}

    def subscript(self, node: Any) -> Expression:
        """a[b], a[b:c]: of lists, tuples, dicts and text."""
        container, get = self.expression(node.value), OPERATORS["aten::__getitem__"]
        if isinstance(node.slice, ast.Slice):
            first, last, step = [
                self.expression(b) if b is not None else None
                for b in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            return lambda f: get(container(f), slice(*(b and b(f) for b in (first, last, step))))
        index = self.expression(node.slice)
        return lambda f: get(container(f), index(f))

    def sign(self, node: Any) -> Expression:
        """-a."""
        if not isinstance(node.op, ast.USub):
            self.refuse(node.op)
        value, negate = self.expression(node.operand), OPERATORS["aten::neg"]
        return lambda f: negate(value(f))

    def sum_of(self, node: Any) -> Expression:
        """A complex number, the only thing that is written as a sum."""
        value = literal(node, self.file)
        return lambda f: value

    def choice(self, node: Any) -> Expression:
        """a if b else c."""
        test, then, otherwise = self.expressions([node.test, node.body, node.orelse])
        return lambda f: then(f) if test(f) else otherwise(f)


_EXPRESSIONS: dict[type, str] = {
    ast.Constant: "constant",
    ast.Name: "name",
    ast.Attribute: "attribute",
    ast.Call: "call",
    ast.Tuple: "tuple_of",
    ast.List: "list_of",
    ast.Dict: "dict_of",
    ast.Subscript: "subscript",
    ast.UnaryOp: "sign",
    ast.BinOp: "sum_of",
    ast.IfExp: "choice",
}
