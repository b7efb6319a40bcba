"""ExportedProgram, a program of torch.export as a module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DtypeError, ScriptError, ShapeError
from ..graph import CaptureError
from ..jit.module import signature_of
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..tensor import Tensor
from ..tracing import TRACING
from .graphs import CompiledGraph
from .trees import Tree


@dataclass(frozen=True)
class Input:
    """A value that the caller gives: a tensor of a shape (sizes, or names of sizes that are free), or a constant."""

    name: str
    shape: tuple[int | str, ...] | None = None
    dtype: str = ""
    constant: Any = None


@dataclass(frozen=True)
class Signature:
    """What the graph's inputs and outputs are.

    `state` are names of tensors for the first inputs, `mutations` names of buffers (or places among the user's inputs)
    that the first outputs are the new values of.
    """

    state: tuple[str, ...]
    inputs: tuple[Input, ...]
    mutations: tuple[str | int, ...]
    given: Tree
    names: tuple[str, ...]
    result: Tree
    ranges: dict[str, tuple[int, int]]


class Forward:
    """The forward() of a program, which says what its arguments are called."""

    def __init__(self, program: ExportedProgram, names: Sequence[str]) -> None:
        self.program = program
        self.__signature__ = signature_of(names, len(names))

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run it."""
        return self.program.run(*args, **named)


class ExportedProgram(Module):
    """A program of torch.export, for inference: parameters and buffers by the names they had, and a graph."""

    def __init__(
        self, graph: CompiledGraph, signature: Signature, state: dict[str, Tensor], transient: frozenset[str]
    ) -> None:
        super().__init__()
        own = vars(self)
        own["_compiled"], own["_signature"] = graph, signature
        own["forward"] = Forward(self, signature.names)
        own["_state"] = {name: self._hold(name, tensor, name in transient) for name, tensor in state.items()}
        self.eval()

    def _hold(self, name: str, tensor: Tensor, transient: bool) -> tuple[dict[str, Any], str]:
        """Keep a tensor under its dotted name; gives where it is kept."""
        *path, last = name.split(".")
        home: Module = self
        for part in path:
            found = home._modules.get(part)
            if found is None:
                found = home._modules[part] = Module().eval()
            home = found
        table = vars(home)["_parameters" if isinstance(tensor, Parameter) else "_buffers"]
        table[last] = tensor
        if transient:
            home._transient_buffers.add(last)
        return table, last

    def _tensor(self, name: str) -> Tensor:
        table, last = self._state[name]
        tensor: Tensor = table[last]
        return tensor

    def run(self, *args: Any, **named: Any) -> Any:
        """Run the graph; forward() is this with the names of the arguments."""
        signature: Signature = self._signature
        given = self._leaves(args, named)
        values = [*map(self._tensor, signature.state), *given]
        outputs = self._compiled.run(values)
        for target, output in zip(signature.mutations, outputs, strict=False):
            self._mutate(target, output, given)
        return signature.result.built(outputs[len(signature.mutations) :])

    def _mutate(self, target: str | int, output: Any, given: Sequence[Any]) -> None:
        if TRACING.watcher is not None:
            raise CaptureError(f"runs eager: the program changes {target!r}, which it keeps or is given")
        (given[target] if isinstance(target, int) else self._tensor(target)).copy_(output)

    def _leaves(self, args: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        """The caller's values, flat and checked."""
        signature: Signature = self._signature
        positional, keywords = signature.given.parts
        names = signature.names
        later = list(names[len(args) : len(positional.parts)])
        if named and set(later) <= set(named):
            args, named = (*args, *(named[name] for name in later)), {k: v for k, v in named.items() if k not in later}
        leaves = signature.given.leaves((args, {**dict.fromkeys(keywords.keys), **named}))
        sizes: dict[str, int] = {}
        for value, declared in zip(leaves, signature.inputs, strict=True):
            _check(value, declared, sizes)
        for name, size in sizes.items():
            low, high = signature.ranges.get(name, (0, size))
            if not low <= size <= high:
                raise ShapeError(f"a size is {size}; the program was exported for {low} to {high}")
        return leaves

    @property
    def declared(self) -> tuple[Input, ...]:
        """The values that it takes, in order."""
        signature: Signature = self._signature
        return signature.inputs

    def module(self) -> ExportedProgram:
        """The program itself, which is a module already. Source: torch.export.ExportedProgram.module."""
        return self

    def extra_repr(self) -> str:
        """What it takes."""
        return ", ".join(f"{i.name}: {i.dtype}{list(i.shape or ())}" for i in self._signature.inputs)


def _check(value: Any, declared: Input, sizes: dict[str, int]) -> None:
    """Refuse what the program was not exported for; `sizes` collects what the free sizes are."""
    if declared.shape is None:
        if value is not None and value != declared.constant:
            raise ScriptError(
                f"input {declared.name!r} is {value!r}; the program was exported for {declared.constant!r}"
            )
        return
    if not isinstance(value, Tensor):
        raise ScriptError(f"input {declared.name!r} is a {type(value).__name__}; expected a tensor")
    met = value.array.shape
    fits = len(met) == len(declared.shape) and all(
        size == (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
        for size, wanted in zip(met, declared.shape, strict=True)
    )
    if not fits:
        raise ShapeError(f"input {declared.name!r}: met shape {met}; expected {declared.shape}")
    if value.dtype.name != declared.dtype and not (declared.dtype == "bfloat16" and value.dtype.name == "float32"):
        raise DtypeError(f"input {declared.name!r}: met {value.dtype.name}; expected {declared.dtype}")
