"""GraphModule, a graph as a module; Imported, any module that knows its graph without being watched as it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..dtype import Array
from ..errors import ShapeError
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..tensor import Tensor
from .interpret import interpret
from .ir import Graph
from .structure import put_together, take_apart


class Imported(Module):
    """A model that was read from a file, and for inference alone. capture() asks it for its graph."""

    def __init__(self) -> None:
        super().__init__()
        self.eval()

    def graph_for(self, *examples: Any, **named: Any) -> Graph:
        """The graph for inputs like the examples. Raises: CaptureError where it can only run eager."""
        raise NotImplementedError(f"{type(self).__name__} has no graph_for(); define one")

    def keep_state(self, arrays: Mapping[str, Array]) -> None:
        """Hold arrays as parameters (floats) and buffers; dots in their names make parts. No float is copied."""
        for name, array in arrays.items():
            home, last = _home(self, name)
            if array.dtype.kind in "fc":
                parameter = Parameter(array, requires_grad=False)
                parameter.borrow(array)
                home._parameters[last] = parameter  # the name is free: _home() has looked
            else:
                home.register_buffer(last, Tensor(array if array.flags.writeable else array.copy()))
            self._places[name] = (home, last)

    @property
    def state(self) -> dict[str, Array]:
        """The arrays that keep_state() was given, as they are now, by the same names."""
        return {name: getattr(home, last).array for name, (home, last) in self._places.items()}

    @property
    def _places(self) -> dict[str, tuple[Module, str]]:
        places: dict[str, tuple[Module, str]] = vars(self).setdefault("_where_state_is", {})
        return places


def _home(module: Module, name: str) -> tuple[Module, str]:
    """Where an array of this name can be kept, and the name it has there."""
    *path, last = name.split(".")
    if any(not part for part in (*path, last)):
        path, last = [], name.replace(".", "_")
    home = module
    for depth, part in enumerate(path):
        found = home._modules.get(part)
        if found is None and _has(home, part):  # a tensor or a method has that name
            path, last = path[:depth], "_".join((*path[depth:], last))
            break
        if found is None:
            found = Module().eval()
            home.register_module(part, found)
        home = found
    while not last or _has(home, last):
        last += "_"
    return home, last


def _has(module: Module, name: str) -> bool:
    """Whether a module has an attribute; Module.__getattr__ takes its time to say that there is none."""
    return hasattr(type(module), name) or name in vars(module) or module._home(name) is not None


class GraphModule(Imported):
    """A graph that can be called like any module; its constants are the parameters and buffers."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph
        self.keep_state(graph.constants)

    @property
    def graph(self) -> Graph:
        """The graph with the constants as they are now."""
        return replace(self._graph, constants=self.state)

    def graph_for(self, *examples: Any, **named: Any) -> Graph:
        """The graph. Raises: ShapeError where the examples do not fit it."""
        self._graph.batch_of([tensor.array.shape for tensor in self._tensors(examples, named)])
        return self.graph

    def forward(self, *args: Any, **named: Any) -> Any:
        """Run node by node; compile_module() runs it fast."""
        arrays = [tensor.array for tensor in self._tensors(args, named)]
        return put_together(self._graph.structure, [Tensor(array) for array in interpret(self.graph, arrays)])

    def extra_repr(self) -> str:
        """The inputs and outputs."""
        inputs, outputs = (", ".join(map(str, values)) for values in (self._graph.inputs, self._graph.outputs))
        return f"({inputs}) → ({outputs}), {len(self._graph.nodes)} nodes"

    def _tensors(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> list[Tensor]:
        """The inputs in order, those given by name at the end."""
        names = [value.name for value in self._graph.inputs]
        tensors = take_apart(list(args))[1]
        rest = names[len(tensors) :]
        if set(rest) != set(named):
            raise ShapeError(f"the graph has the inputs {', '.join(names)}; met {len(tensors)} and {sorted(named)}")
        return [*tensors, *(named[name] for name in rest)]
