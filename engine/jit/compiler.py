"""Compiling functions: every form that a program may use becomes a closure over a frame; all others are refused.

What is allowed is what torch/csrc/jit/serialization/python_print.cpp writes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import FormatError, ScriptError
from ..formats.limits import quote
from . import access
from .calls import Calls
from .expressions import Program
from .functions import BUDGET, FIRST, RESULT, Block, Expression, Frame, Function, Statement
from .syntax import DEEPEST


def compile_function(node: ast.FunctionDef, function: Function, program: Program, file: str) -> None:
    """Give a function its body."""
    _Compiler(program, file, function, None).function(node)


class _Compiler(Calls):
    """Compiles one function."""

    def function(self, node: ast.FunctionDef) -> None:
        for name in (*self.target.parameters, *_assigned(node.body)):
            self.places.setdefault(name, FIRST + len(self.places))
        defaults = node.args.defaults
        first = len(self.target.parameters) - len(defaults)
        self.target.defaults = {first + n: self.expression(default) for n, default in enumerate(defaults)}
        self.target.size = FIRST + len(self.places)
        self.target.body = self.block(node.body)

    def block(self, nodes: Sequence[ast.stmt]) -> Block:
        self.depth += 1
        if self.depth > DEEPEST:
            self.refuse(nodes[0], f"blocks nested more than {DEEPEST} deep")
        statements = [(n.lineno, self.statement(n)) for n in nodes if not isinstance(n, ast.Pass)]
        self.depth -= 1
        return Block(statements)

    def statement(self, node: ast.stmt) -> Statement:
        name = _STATEMENTS.get(type(node))
        if name is None:
            self.refuse(node)
        compiled: Statement = getattr(self, name)(node)
        return compiled

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
                BUDGET.spend()
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
                BUDGET.spend()
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
        nested = Function(f"{self.target.name}.{node.name}", parameters_of(node, self.file), self.file)
        compiler = _Compiler(self.program, self.file, nested, self)
        compiler.depth = self.depth
        compiler.function(node)
        place = self.places[node.name]

        def define(f: Frame) -> bool:
            f[place] = lambda *args, **named: nested.run(f, args, named)
            return False

        return define


def parameters_of(node: ast.FunctionDef, file: str) -> list[str]:
    """The names of a function's parameters."""
    given = node.args
    if given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.kw_defaults or node.decorator_list:
        raise FormatError(f"{file}:{node.lineno}: {quote(node.name)} has parameters or decorators of an unknown kind")
    names = [a.arg for a in given.args]
    if len(set(names)) < len(names):
        raise FormatError(f"{file}:{node.lineno}: {quote(node.name)} has two parameters of one name")
    return names


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


_STATEMENTS: dict[type, str] = {
    ast.Assign: "assignment",
    ast.AnnAssign: "assignment",
    ast.Expr: "expression_statement",
    ast.Return: "returning",
    ast.If: "branching",
    ast.For: "counting",
    ast.While: "looping",
    ast.With: "entering",
    ast.FunctionDef: "defining",
}
