"""trace() and script(): what a module of the engine does, written as a TorchScript program."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import EngineError, FormatError
from ..graph import Graph, capture
from ..graph.structure import Structure
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..tensor import Tensor
from .arguments import structure_of, taken_out, type_of
from .emitter import Emitter
from .module import ScriptModule
from .program import Program
from .rules import RULES
from .saving import OPERATORS

_ROOT = "__torch__"
_PARTS = "__torch__.parts"

Argument = tuple[str, Structure]  # the name, "" where it is by position, and how tensors lie in it


def trace(
    func: Module,
    example_inputs: Any = (),
    check_trace: bool = True,
    strict: bool = True,
    *,
    example_kwarg_inputs: Mapping[str, Any] | None = None,
) -> ScriptModule:
    """A program of what the module does to inputs like the examples: a tensor, or several arguments.

    An argument is a tensor, or a tuple, list or dict of arguments; those of a list or dict are alike. The program is
    right for every batch where the module treats batches alike, and always checked. The weights are shared with the
    module. Raises: CaptureError where what the module does depends on values. Source: torch.jit.trace.
    """
    if isinstance(func, ScriptModule):
        return func
    arguments = tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    named = dict(sorted((example_kwarg_inputs or {}).items()))
    given = [("", structure_of(item)) for item in arguments]
    given += [(name, structure_of(item)) for name, item in named.items()]
    return program_of(func, capture(func, *arguments, named=named), given)


def script(module: Module, example_inputs: Sequence[tuple[Any, ...]] | None = None) -> ScriptModule:
    """A program of what the module does, which must not depend on values. Source: torch.jit.script.

    The engine learns what a module does by running it, so that an example is needed: [(input, …)].
    Raises: CaptureError where what the module does depends on values.
    """
    if isinstance(module, ScriptModule):
        return module
    if not example_inputs:
        raise EngineError(
            f"script: {type(module).__name__} is run to see what it does; pass example_inputs=[(tensor, …)], or use "
            "trace(module, example)"
        )
    return trace(module, tuple(example_inputs[0]))


def program_of(module: Module, graph: Graph, arguments: Sequence[Argument] | None = None) -> ScriptModule:
    """The program of a module whose forward() a graph stands for; by default each of its arguments is a tensor."""
    return _Writer(module, graph, arguments or [("", {"output": n}) for n in range(len(graph.inputs))]).program()


@dataclass
class _Part:
    """What one module of the tree holds."""

    kind: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    parts: dict[str, _Part] = field(default_factory=dict)

    def at(self, path: Sequence[str]) -> _Part:
        """The part at a path, made where it is not there."""
        here = self
        for name in path:
            here = here.parts.setdefault(name, _Part("Module"))
        return here


class _Writer:
    """Writes one captured module."""

    def __init__(self, module: Module, graph: Graph, arguments: Sequence[Argument]) -> None:
        self._module, self._graph, self._arguments = module, graph, arguments
        self._state = dict([*module.named_parameters(remove_duplicate=False), *_buffers(module)])
        self._constants: list[Tensor] = []
        self._classes: list[str] = []
        self._counts: dict[str, int] = {}
        self._names: dict[tuple[str, ...], str] = {}  # what classes are declared as → their names

    def program(self) -> ScriptModule:
        """The program, compiled and with the weights in place."""
        tree = self._tree()
        root = f"{_ROOT}.{_identifier(type(self._module).__name__)}"
        forward = self._forward(root)
        names: dict[int, str] = {}
        lines = self._declarations(tree, names)
        names[id(tree)] = self._class(root, [*lines, *(f"  {line}" for line in forward)])
        texts = {_ROOT: self._classes.pop().encode()}
        if self._classes:
            texts[_PARTS] = "".join(self._classes).encode()
        program = Program(texts, self._constants, OPERATORS)
        made = self._made(tree, names, program, {})
        vars(made)["_program"] = program
        return made.eval()

    def _tree(self) -> _Part:
        root = _Part(type(self._module).__name__)
        for path, part in self._module.named_modules(remove_duplicate=False):
            root.at(path.split(".") if path else []).kind = type(part).__name__
        for name, tensor in self._state.items():
            *above, last = name.split(".")
            root.at(above).tensors[last] = tensor
        return root

    # Code

    def _forward(self, root: str) -> list[str]:
        """The lines of forward()."""
        lines: list[str] = []
        names: dict[str, str] = {}
        taken = {v.name for v in self._graph.inputs}
        for number, (name, array) in enumerate(self._graph.constants.items()):
            short = f"w{number}"
            while short in taken:
                short += "_"
            taken.add(short)
            names[name] = short
            if name in self._state:
                lines.append(f"{short} = {_access(name)}")
            else:
                self._constants.append(Tensor(np.array(array)))
                lines.append(f"{short} = CONSTANTS.c{len(self._constants) - 1}")
        emitter = Emitter(self._graph, names, [name for name, item in self._arguments if name and "output" not in item])
        parameters, opening = self._parameters(emitter)
        lines = [*opening, *lines, *emitter.body(RULES)]
        result, kind = self._result(emitter, self._graph.structure)
        given = "".join(f",\n    {name}: {type_}" for name, type_ in parameters)
        return [f"def forward(self: {root}{given}) -> {kind}:", *(f"  {line}" for line in lines), f"  return {result}"]

    def _parameters(self, emitter: Emitter) -> tuple[list[tuple[str, str]], list[str]]:
        """(the names and types of what forward() is given, the lines that take the inputs out of it)."""
        tensors, parameters, lines = iter(emitter.inputs), [], []
        for number, (name, structure) in enumerate(self._arguments, 1):
            plain = "output" in structure
            own = next(tensors) if plain else name or emitter.fresh(f"argument_{number}")
            parameters.append((own, type_of(structure)))
            if not plain:
                lines += taken_out(structure, own, tensors, emitter.fresh, emitter.text)
        return parameters, lines

    def _result(self, emitter: Emitter, structure: Any) -> tuple[str, str]:
        """(the expression of the result, its type)."""
        if structure is None:
            outputs = emitter.operands(self._graph.outputs)
            if len(outputs) == 1:
                return outputs[0], "Tensor"
            return f"({', '.join(outputs)})", f"Tuple[{', '.join(['Tensor'] * len(outputs))}]"
        ((kind, content),) = structure.items()
        if kind == "output":
            return emitter.operand(self._graph.outputs[content]), "Tensor"
        if kind == "value":
            return emitter.text(content), "NoneType" if content is None else type(content).__name__
        if kind in ("tuple", "list"):
            return self._sequence(emitter, kind, content)
        if kind == "dict":
            return self._dict(emitter, content)
        parts = [self._result(emitter, part) for part in content.values()]
        name = f"{_PARTS}.{_identifier(kind.partition(':')[2])}"
        fields = "".join(f"  {f} : {t}\n" for f, (_, t) in zip(content, parts, strict=True))
        self._classes.append(f"class {name.rpartition('.')[2]}(NamedTuple):\n{fields}")
        return f"{name}({', '.join(text for text, _ in parts)})", name

    def _sequence(self, emitter: Emitter, kind: str, content: Any) -> tuple[str, str]:
        parts = [self._result(emitter, part) for part in content]
        inner = ", ".join(text for text, _ in parts)
        kinds = [t for _, t in parts]
        if kind == "tuple":
            return f"({inner}{',' if len(parts) == 1 else ''})", f"Tuple[{', '.join(kinds)}]"
        if len(set(kinds)) > 1:
            raise FormatError(f"the module gives a list of {' and '.join(sorted(set(kinds)))}; a program's are alike")
        return f"annotate(List[{(kinds or ['Tensor'])[0]}], [{inner}])", f"List[{(kinds or ['Tensor'])[0]}]"

    def _dict(self, emitter: Emitter, content: Mapping[str, Any]) -> tuple[str, str]:
        parts = {name: self._result(emitter, part) for name, part in content.items()}
        kinds = sorted({t for _, t in parts.values()}) or ["Tensor"]
        if len(kinds) > 1:
            raise FormatError(f"the module gives a dict of {' and '.join(kinds)}; a program's values are alike")
        inner = ", ".join(f"{emitter.text(name)}: {text}" for name, (text, _) in parts.items())
        return f"annotate(Dict[str, {kinds[0]}], {{{inner}}})", f"Dict[str, {kinds[0]}]"

    def _declare(self, part: _Part, names: dict[int, str]) -> str:
        """The name of a part's class, which comes after those of its own parts; parts that are alike have one class."""
        kind, lines = _identifier(part.kind), self._declarations(part, names)
        key = (kind, *lines)
        if key not in self._names:
            number = self._counts[kind] = self._counts.get(kind, -1) + 1
            self._names[key] = self._class(f"{_PARTS}.{kind}_{number}", lines)
        names[id(part)] = self._names[key]
        return names[id(part)]

    def _class(self, name: str, lines: Sequence[str]) -> str:
        self._classes.append("\n".join([f"class {name.rpartition('.')[2]}(Module):", *lines, ""]))
        return name

    def _declarations(self, part: _Part, names: dict[int, str]) -> list[str]:
        """What a part holds, line by line."""
        types = {attribute: self._declare(child, names) for attribute, child in part.parts.items()}
        parameters = [a for a, t in part.tensors.items() if isinstance(t, Parameter)]
        buffers = [a for a in part.tensors if a not in parameters]
        lines = [f"  __parameters__ = [{_listed(parameters)}]", f"  __buffers__ = [{_listed(buffers)}]"]
        lines += [_declared(a, "Tensor") for a in part.tensors]
        return [*lines, "  training : bool", *(_declared(a, kind) for a, kind in types.items())]

    # Weights

    def _made(
        self, part: _Part, names: Mapping[int, str], program: Program, shared: dict[int, Parameter]
    ) -> ScriptModule:
        module = ScriptModule(program.class_of(names[id(part)]))
        parts = {name: self._made(child, names, program, shared) for name, child in part.parts.items()}
        shared |= {id(t): t for t in part.tensors.values() if isinstance(t, Parameter)}
        module.hold({**part.tensors, "training": False, **parts}, shared)
        return module


def _buffers(module: Module) -> list[tuple[str, Tensor]]:
    """All buffers, each under every name that it has."""
    return list(module.named_buffers(remove_duplicate=False))


def _identifier(name: str) -> str:
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return plain if plain[:1].isalpha() else f"M{plain}"


def _access(name: str) -> str:
    """self.layer1.0.weight, where names that are none in code are asked for by getattr."""
    here = "self"
    for part in name.split("."):
        here = f"{here}.{part}" if part.isidentifier() else f'getattr({here}, "{part}")'
    return here


def _declared(name: str, kind: str) -> str:
    return f"  {name} : {kind}" if name.isidentifier() else f'  __annotations__["{name}"] = {kind}'


def _listed(names: Sequence[str]) -> str:
    return "".join(f'"{name}", ' for name in names)
