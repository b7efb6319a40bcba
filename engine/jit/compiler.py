"""Compiling functions: every form that a program may use becomes a closure over a frame; all others are refused.

What is allowed is what torch/csrc/jit/serialization/python_print.cpp writes.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, Protocol

from ..aten import OPERATORS, shown, to_bool, to_float, to_int
from ..errors import FormatError, ScriptError
from ..formats.limits import quote
from . import access
from .functions import FIRST, OUTER, RESULT, Block, Expression, Frame, Function, Statement
from .syntax import DEEPEST, chain
from .types import NUMBERS, test_of
from .values import ScriptClass

_CONVERSIONS: dict[str, Callable[..., Any]] = {
    "int": to_int, "float": to_float, "bool": to_bool, "complex": OPERATORS["aten::Complex"], "str": shown,
    "sorted": OPERATORS["aten::sorted"], "print": OPERATORS["prim::Print"], "len": OPERATORS["aten::len"],
    "wait": OPERATORS["aten::wait"],
}  # fmt: skip
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


def compile_function(node: ast.FunctionDef, function: Function, program: Program, file: str) -> None:
    """Give a function its body."""
    _Compiler(program, file, function, None).function(node)


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


class _Compiler:
    """Compiles one function; `outer` compiles the one around it."""

    def __init__(self, program: Program, file: str, function: Function, outer: _Compiler | None) -> None:
        self.program, self.file, self.target, self.outer = program, file, function, outer
        self.places: dict[str, int] = {}
        self.depth = 0

    def function(self, node: ast.FunctionDef) -> None:
        for name in (*self.target.parameters, *_assigned(node.body)):
            self.places.setdefault(name, FIRST + len(self.places))
        defaults = node.args.defaults
        first = len(self.target.parameters) - len(defaults)
        self.target.defaults = {first + n: self.expression(default) for n, default in enumerate(defaults)}
        self.target.size = FIRST + len(self.places)
        self.target.body = self.block(node.body)

    def refuse(self, node: ast.AST, what: str | None = None) -> NoReturn:
        line = getattr(node, "lineno", 0)
        raise FormatError(f"{self.file}:{line}: {what or f'{type(node).__name__} is no part of TorchScript'}")

    # Statements

    def block(self, nodes: Sequence[ast.stmt]) -> Block:
        self.depth += 1
        if self.depth > DEEPEST:
            self.refuse(nodes[0], f"blocks nested more than {DEEPEST} deep")
        statements = [(n.lineno, self.statement(n)) for n in nodes if not isinstance(n, ast.Pass)]
        self.depth -= 1
        return Block(self.file, statements)

    def statement(self, node: ast.stmt) -> Statement:
        compile_it = _STATEMENTS.get(type(node))
        return compile_it(self, node) if compile_it else self.refuse(node)

    def assignment(self, node: Any) -> Statement:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if len(targets) != 1 or node.value is None:
            self.refuse(node, "an assignment to several targets or of nothing")
        value = self.expression(node.value)
        target = targets[0]
        if isinstance(target, ast.Name):
            place = self.places[target.id]

            def assign(f: Frame) -> bool:
                f[place] = value(f)
                return False

            return assign
        if isinstance(target, ast.Attribute):
            owner, name = self.expression(target.value), target.attr

            def change(f: Frame) -> bool:
                access.change_attribute(owner(f), name, value(f))
                return False

            return change
        if isinstance(target, ast.Tuple) and all(isinstance(t, ast.Name) for t in target.elts):
            return self._unpacking([self.places[t.id] for t in target.elts if isinstance(t, ast.Name)], value)
        self.refuse(target, "an assignment to something other than names and attributes")

    def _unpacking(self, places: list[int], value: Expression) -> Statement:
        def unpack(f: Frame) -> bool:
            items = value(f)
            if not isinstance(items, (tuple, list)) or len(items) != len(places):
                met = f"{len(items)}" if isinstance(items, (tuple, list)) else f"a {type(items).__name__}"
                raise ScriptError(f"expected {len(places)} values to unpack, met {met}")
            for place, item in zip(places, items, strict=True):
                f[place] = item
            return False

        return unpack

    def expression_statement(self, node: Any) -> Statement:
        value = self.expression(node.value)

        def evaluate(f: Frame) -> bool:
            value(f)
            return False

        return evaluate

    def returning(self, node: Any) -> Statement:
        if node.value is None:
            return lambda f: True
        value = self.expression(node.value)

        def give(f: Frame) -> bool:
            f[RESULT] = value(f)
            return True

        return give

    def branching(self, node: Any) -> Statement:
        test, then, otherwise = self.expression(node.test), self.block(node.body).run, self.block(node.orelse).run

        def branch(f: Frame) -> bool:
            return then(f) if test(f) else otherwise(f)

        return branch

    def counting(self, node: Any) -> Statement:
        calls_range = isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name)
        if not calls_range or node.iter.func.id != "range" or node.orelse or not isinstance(node.target, ast.Name):
            self.refuse(node, "a loop over something other than range(…)")
        bounds = self.expressions(node.iter.args)
        if not 1 <= len(bounds) <= 3 or node.iter.keywords:
            self.refuse(node, "range(…) takes 1 to 3 numbers")
        place, body = self.places[node.target.id], self.block(node.body).run

        def count(f: Frame) -> bool:
            for number in range(*[int(bound(f)) for bound in bounds]):
                f[place] = number
                if body(f):
                    return True
            return False

        return count

    def looping(self, node: Any) -> Statement:
        if node.orelse:
            self.refuse(node, "a loop with else")
        test, body = self.expression(node.test), self.block(node.body).run

        def loop(f: Frame) -> bool:
            while test(f):
                if body(f):
                    return True
            return False

        return loop

    def entering(self, node: Any) -> Statement:
        if len(node.items) != 1 or node.items[0].optional_vars is not None:
            self.refuse(node, "with … as …")
        manager, body = self.expression(node.items[0].context_expr), self.block(node.body).run

        def enter(f: Frame) -> bool:
            entered = manager(f)
            access.call_method(entered, "__enter__", [], {})
            try:
                return body(f)
            finally:
                access.call_method(entered, "__exit__", [None, None, None], {})

        return enter

    def defining(self, node: Any) -> Statement:
        """A nested function, which sees the names around it."""
        nested = Function(f"{self.target.name}.{node.name}", parameters_of(node, self.file))
        compiler = _Compiler(self.program, self.file, nested, self)
        compiler.depth = self.depth
        compiler.function(node)
        place = self.places[node.name]

        def define(f: Frame) -> bool:
            f[place] = lambda *args, **named: nested.run(f, args, named)
            return False

        return define

    # Expressions

    def expressions(self, nodes: Sequence[ast.expr]) -> list[Expression]:
        return [self.expression(n) for n in nodes]

    def expression(self, node: ast.expr) -> Expression:
        compile_it = _EXPRESSIONS.get(type(node))
        if compile_it is None:
            self.refuse(node)
        self.depth += 1
        if self.depth > 3 * DEEPEST:
            self.refuse(node, f"expressions nested more than {3 * DEEPEST} deep")
        compiled = compile_it(self, node)
        self.depth -= 1
        return compiled

    def constant(self, node: Any) -> Expression:
        value = node.value
        if not isinstance(value, _LITERALS):
            self.refuse(node, f"a constant of type {type(value).__name__}")
        return lambda f: value

    def name(self, node: Any) -> Expression:
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

    def call(self, node: Any) -> Expression:
        target = node.func
        if isinstance(target, ast.Name) and target.id not in self.places:
            special = _SPECIAL_CALLS.get(target.id)
            if special is not None:
                return special(self, node)
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

    def tuple_of(self, node: Any) -> Expression:
        items = self.expressions(node.elts)
        return lambda f: tuple([item(f) for item in items])

    def list_of(self, node: Any) -> Expression:
        items = self.expressions(node.elts)
        return lambda f: [item(f) for item in items]

    def dict_of(self, node: Any) -> Expression:
        if None in node.keys:
            self.refuse(node, "** in a dict")
        keys, values = self.expressions(node.keys), self.expressions(node.values)
        return lambda f: {key(f): value(f) for key, value in zip(keys, values, strict=True)}

    def subscript(self, node: Any) -> Expression:
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
        if not isinstance(node.op, ast.USub):
            self.refuse(node.op)
        value, negate = self.expression(node.operand), OPERATORS["aten::neg"]
        return lambda f: negate(value(f))

    def sum_of(self, node: Any) -> Expression:
        """A complex number, the only thing that is written as a sum."""
        value = literal(node, self.file)
        return lambda f: value

    def choice(self, node: Any) -> Expression:
        test, then, otherwise = self.expressions([node.test, node.body, node.orelse])
        return lambda f: then(f) if test(f) else otherwise(f)

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
        return lambda f: None

    def got(self, node: Any) -> Expression:
        owner, name = self._owner_and_name(node)
        return lambda f: access.attribute(owner(f), name)

    def has(self, node: Any) -> Expression:
        owner, name = self._owner_and_name(node)
        return lambda f: access.has_attribute(owner(f), name)

    def _owner_and_name(self, node: Any) -> tuple[Expression, str]:
        if len(node.args) != 2 or not isinstance(node.args[1], ast.Constant) or type(node.args[1].value) is not str:
            self.refuse(node, "getattr(…) takes an object and a name in quotes")
        return self.expression(node.args[0]), node.args[1].value

    def is_instance(self, node: Any) -> Expression:
        if len(node.args) != 2:
            self.refuse(node, "isinstance(…) takes a value and types")
        value, test = self.expression(node.args[0]), test_of(node.args[1], self.program.resolve)
        return lambda f: test(value(f))

    def forked(self, node: Any) -> Expression:
        """fork(function, …): run at once; wait(…) gives what came out."""
        function, *args = self.expressions(node.args)
        return lambda f: _callable(function(f))(*[a(f) for a in args])


def parameters_of(node: ast.FunctionDef, file: str) -> list[str]:
    """The names of a function's parameters."""
    given = node.args
    if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.kw_defaults or node.decorator_list:
        raise FormatError(f"{file}:{node.lineno}: {quote(node.name)} has parameters or decorators of an unknown kind")
    names = [a.arg for a in given.args]
    if len(set(names)) < len(names):
        raise FormatError(f"{file}:{node.lineno}: {quote(node.name)} has two parameters of one name")
    return names


def _plain(value: Any, read: Callable[..., Any]) -> Any:
    return read(value) if hasattr(value, "array") else value


def _callable(function: Any) -> Callable[..., Any]:
    if not isinstance(function, Function) and type(function) is not _LAMBDA:
        raise ScriptError(f"a {type(function).__name__} cannot be called")
    return function


_LAMBDA = type(lambda: None)


def _assigned(nodes: Sequence[ast.stmt]) -> Iterator[str]:
    """The names that statements give values to."""
    for node in nodes:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                parts = target.elts if isinstance(target, ast.Tuple) else [target]
                yield from (part.id for part in parts if isinstance(part, ast.Name))
        elif isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            yield node.target.id
        for field in ("body", "orelse"):
            if not isinstance(node, ast.FunctionDef):
                yield from _assigned(getattr(node, field, ()))


_STATEMENTS: dict[type, Callable[[_Compiler, Any], Statement]] = {
    ast.Assign: _Compiler.assignment,
    ast.AnnAssign: _Compiler.assignment,
    ast.Expr: _Compiler.expression_statement,
    ast.Return: _Compiler.returning,
    ast.If: _Compiler.branching,
    ast.For: _Compiler.counting,
    ast.While: _Compiler.looping,
    ast.With: _Compiler.entering,
    ast.FunctionDef: _Compiler.defining,
}
_EXPRESSIONS: dict[type, Callable[[_Compiler, Any], Expression]] = {
    ast.Constant: _Compiler.constant,
    ast.Name: _Compiler.name,
    ast.Attribute: _Compiler.attribute,
    ast.Call: _Compiler.call,
    ast.Tuple: _Compiler.tuple_of,
    ast.List: _Compiler.list_of,
    ast.Dict: _Compiler.dict_of,
    ast.Subscript: _Compiler.subscript,
    ast.UnaryOp: _Compiler.sign,
    ast.BinOp: _Compiler.sum_of,
    ast.IfExp: _Compiler.choice,
}
_SPECIAL_CALLS: dict[str, Callable[[_Compiler, Any], Expression]] = {
    "annotate": _Compiler.annotated,
    "unchecked_cast": _Compiler.annotated,
    "uninitialized": _Compiler.uninitialized,
    "getattr": _Compiler.got,
    "hasattr": _Compiler.has,
    "isinstance": _Compiler.is_instance,
    "fork": _Compiler.forked,
}
