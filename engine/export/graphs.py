"""Compiling graphs: nodes become steps over a frame, a list of the values of their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import autograd
from ..aten import find
from ..device import CPU
from ..dtype import DTYPES
from ..errors import FormatError, ScriptError
from ..formats.limits import quote
from ..graph.recording import PROGRAMS
from ..jit.functions import located
from .items import field, floating, need, only
from .schema import ARITHMETIC, ELEMENTS

Frame = list[Any]
Getter = Callable[[Frame], Any]
DEEPEST = 50  # graphs within one another

_PLAIN: dict[str, type] = {"as_int": int, "as_bool": bool, "as_string": str}
_LISTS: dict[str, type] = {"as_ints": int, "as_bools": bool, "as_strings": str}
_SYMBOLS = ("as_sym_int", "as_sym_bool", "as_sym_float")
# What has no meaning where all tensors are strided and on the CPU.
_PASSED_OVER = {"as_device": CPU, "as_layout": 0, "as_memory_format": 0, "as_none": None}


@dataclass(frozen=True)
class Step:
    """One node: what it runs, on what, and where its results go."""

    name: str
    function: Callable[..., Any]
    args: tuple[Getter, ...]
    named: tuple[tuple[str, Getter], ...]
    keep: Callable[[Frame, Any], None]


class CompiledGraph:
    """A graph that runs on a list of values."""

    def __init__(self, inputs: Sequence[int], steps: Sequence[Step], outputs: Sequence[Getter], size: int) -> None:
        self.inputs, self.steps, self.outputs, self.size = tuple(inputs), tuple(steps), tuple(outputs), size

    def run(self, values: Sequence[Any]) -> list[Any]:
        """The outputs."""
        if len(values) != len(self.inputs):
            raise ScriptError(f"a graph takes {len(self.inputs)} values; met {len(values)}")
        frame: Frame = [None] * self.size
        for place, value in zip(self.inputs, values, strict=True):
            if place >= 0:
                frame[place] = value
        for step in self.steps:
            try:
                named = {name: get(frame) for name, get in step.named}
                step.keep(frame, step.function(*[get(frame) for get in step.args], **named))
            except Exception as error:
                located(error, f"node {step.name}")
        return [get(frame) for get in self.outputs]

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledGraph:
        return self


PROGRAMS[CompiledGraph.run.__code__] = lambda names: f"node {names['step'].name}"


class GraphCompiler:
    """Compiles a graph and those within it; `missing` collects the operators that the engine lacks."""

    def __init__(self, missing: set[str], depth: int = 0) -> None:
        if depth > DEEPEST:
            raise FormatError(f"graphs nested more than {DEEPEST} deep")
        self.missing, self.depth = missing, depth
        self.places: dict[str, int] = {}

    def compiled(self, graph: Any) -> CompiledGraph:
        """The graph, ready to run."""
        inputs = [self._input(item) for item in field(graph, "inputs", list)]
        steps = [self._step(node) for node in field(graph, "nodes", list)]
        outputs = [self.argument(item) for item in field(graph, "outputs", list)]
        return CompiledGraph(inputs, steps, outputs, len(self.places))

    def _input(self, item: Any) -> int:
        """The place of an input; -1 for a constant, which the graph itself knows."""
        kind, content = only(item, "an input")
        if kind == "as_tensor":
            return self._place(field(content, "name", str))
        if kind in _SYMBOLS and isinstance(content, dict) and "as_name" in content:
            return self._place(field(content, "as_name", str))
        return -1

    def _place(self, name: str) -> int:
        return self.places.setdefault(name, len(self.places))

    # Nodes

    def _step(self, node: Any) -> Step:
        target = field(node, "target", str)
        args: list[Getter] = []
        named: list[tuple[str, Getter]] = []
        for item in field(node, "inputs", list):
            value = self.argument(field(item, "arg", dict))
            if isinstance(item, dict) and item.get("kind") == 2:
                named.append((field(item, "name", str), value))
            else:
                args.append(value)
        outputs = field(node, "outputs", list)
        name = node.get("name") if type(node.get("name")) is str else target
        return Step(quote(name)[1:-1], self._function(target), tuple(args), tuple(named), self._kept(outputs))

    def _function(self, target: str) -> Callable[..., Any]:
        if target in ARITHMETIC:
            return ARITHMETIC[target]
        if target in _HIGHER_ORDER:
            return _HIGHER_ORDER[target]
        parts = target.split(".")
        if parts[:2] == ["torch", "ops"] and len(parts) in (4, 5):
            function = find(f"{parts[2]}::{parts[3]}")
            if function is not None:
                return function
            self.missing.add(quote(f"{parts[2]}::{parts[3]}")[1:-1])
        else:
            self.missing.add(quote(target)[1:-1])
        return _unknown

    def _kept(self, outputs: list[Any]) -> Callable[[Frame, Any], None]:
        if not outputs:
            return lambda f, result: None
        if len(outputs) == 1:
            kind, content = only(outputs[0], "an output")
            if kind == "as_tensors":
                return self._spread([self._output({"as_tensor": item}) for item in need(content, list, "outputs")])
            place = self._output(outputs[0])

            def keep(f: Frame, result: Any) -> None:
                f[place] = result[0] if isinstance(result, Outputs) else result

            return keep
        return self._spread([self._output(item) for item in outputs])

    def _output(self, item: Any) -> int:
        kind, content = only(item, "an output")
        if kind == "as_tensor":
            return self._place(field(content, "name", str))
        if kind in _SYMBOLS:
            return self._place(field(content, "as_name", str))
        if kind == "as_none":
            return self._place("")
        raise FormatError(f"an output of kind {quote(kind)}, which programs do not have here")

    def _spread(self, places: list[int]) -> Callable[[Frame, Any], None]:
        def spread(f: Frame, result: Any) -> None:
            if not isinstance(result, (list, tuple)) or len(result) < len(places):
                raise ScriptError(f"a node gives other than {len(places)} results")
            for place, value in zip(places, result, strict=False):
                f[place] = value

        return spread

    # Arguments

    def argument(self, item: Any) -> Getter:
        """How an argument is found when a step runs."""
        kind, content = only(item, "an argument")
        if kind == "as_tensor":
            return self._named(field(content, "name", str))
        if kind in _SYMBOLS:
            return self._symbol(content)
        if kind == "as_graph":
            inner = GraphCompiler(self.missing, self.depth + 1).compiled(field(content, "graph", dict))
            return lambda f: inner
        if kind in ("as_tensors", "as_optional_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats"):
            return self._several(kind, need(content, list, kind))
        if kind == "as_optional_tensor":
            return self.argument(content)
        if kind == "as_nested_tensors":
            rows = [self._several("as_tensors", need(row, list, kind)) for row in need(content, list, kind)]
            return lambda f: [row(f) for row in rows]
        value = self._constant(kind, content)
        return lambda f: value

    def _constant(self, kind: str, content: Any) -> Any:
        if kind in _PLAIN:
            return need(content, _PLAIN[kind], kind)
        if kind == "as_float":
            return floating(content)
        if kind in _LISTS:
            return [need(value, _LISTS[kind], kind) for value in need(content, list, kind)]
        if kind == "as_floats":
            return [floating(value) for value in need(content, list, kind)]
        if kind == "as_scalar_type":
            return DTYPES[self._element(need(content, int, kind))]
        if kind in _PASSED_OVER:
            return _PASSED_OVER[kind]
        raise FormatError(f"an argument of kind {quote(kind)}, which programs do not have here")

    def _element(self, number: int) -> str:
        name = ELEMENTS.get(number, "")
        if name not in DTYPES:
            raise FormatError(f"dtype {name or number}: the engine cannot compute with it")
        return name

    def _named(self, name: str) -> Getter:
        if name not in self.places:
            raise FormatError(f"the graph reads {quote(name)}, which nothing makes before")
        place = self.places[name]
        return lambda f: f[place]

    def _symbol(self, content: Any) -> Getter:
        kind, value = only(content, "a size")
        if kind == "as_name":
            return self._named(need(value, str, "a size"))
        if type(value) not in (int, float, bool):
            raise FormatError(f"a size is {quote(value)}")
        return lambda f: value

    def _several(self, kind: str, items: list[Any]) -> Getter:
        if kind == "as_tensors":
            parts = [self._named(field(item, "name", str)) for item in items]
        elif kind == "as_optional_tensors":
            parts = [self.argument(item) for item in items]
        else:
            parts = [self._symbol(item) for item in items]
        return lambda f: [part(f) for part in parts]


class Outputs(list[Any]):
    """The results of a graph within the graph: of one result, the result itself is meant."""


def _unknown(*_: Any, **__: Any) -> None:
    """Stands for a missing operator until all of them are known."""


# Nodes that hold graphs. Source: torch/_higher_order_ops.


def _graph(value: Any) -> CompiledGraph:
    if not isinstance(value, CompiledGraph):
        raise ScriptError("a node that runs a graph has none")
    return value


def _cond(test: Any, then: Any, otherwise: Any, operands: Sequence[Any] = ()) -> Outputs:
    return Outputs(_graph(then if bool(test) else otherwise).run(operands))


def _while(test: Any, body: Any, carried: Sequence[Any], more: Sequence[Any] = ()) -> Outputs:
    values = list(carried)
    while bool(_graph(test).run([*values, *more])[0]):
        values = _graph(body).run([*values, *more])
    return Outputs(values)


def _with_gradients(enabled: bool, graph: Any, *operands: Any) -> Outputs:
    """no_grad() and enable_grad() inside of a program; gradients are never wanted more than they are outside."""
    if enabled:
        return Outputs(_graph(graph).run(operands))
    with autograd.no_grad():
        return Outputs(_graph(graph).run(operands))


def _with_autocast(_device: Any, _dtype: Any, _enabled: Any, _cache: Any, graph: Any, *operands: Any) -> Outputs:
    """Autocast: everything stays in the types that it has."""
    return Outputs(_graph(graph).run(operands))


_HIGHER_ORDER: dict[str, Callable[..., Any]] = {
    "torch.ops.higher_order.cond": _cond,
    "torch.ops.higher_order.while_loop": _while,
    "torch.ops.higher_order.wrap_with_set_grad_enabled": _with_gradients,
    "torch.ops.higher_order.wrap_with_autocast": _with_autocast,
}
