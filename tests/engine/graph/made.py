"""Graphs made by capturing modules whose outputs depend on their inputs, and what tests ask of graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numserve import engine
from numserve.engine import Tensor, nn
from numserve.engine.graph import Graph, capture, interpret

TOLERANCE = 1e-4  # of the largest output


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def calibrated(module: nn.Module, *shape: int) -> nn.Module:
    """Norms with the statistics of what reaches them, and with scales and shifts of both signs, ready to be served."""
    dice = np.random.default_rng(len(shape))
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.momentum = None  # the mean of all batches
            if not layer.affine:
                continue
            layer.weight.array[...] = dice.uniform(0.5, 1.5, layer.weight.shape) * dice.choice(
                (-1, 1, 1, 1), layer.weight.shape
            )
            layer.bias.array[...] = dice.uniform(-0.5, 0.5, layer.bias.shape)
    with engine.no_grad():
        module.train()(Tensor(numbers(*shape, seed=7)))
    return module.eval()


class Formula(nn.Module):
    """A module that is a function of its inputs and of the layers that it is given by name."""

    def __init__(self, function: Callable[..., Any], layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.function, self.names = function, tuple(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs, *(getattr(self, name) for name in self.names))


def formula(function: Callable[..., Any], **layers: nn.Module) -> nn.Module:
    return Formula(function, layers)


def graph_of(module: nn.Module, *shapes: Sequence[int], dtype: Any = np.float32) -> Graph:
    return capture(module.eval(), *(Tensor(numbers(*shape).astype(dtype)) for shape in shapes))


def ops(graph: Graph) -> Counter[str]:
    return Counter(node.op for node in graph.nodes)


def outputs_of(module: nn.Module, *arrays: np.ndarray) -> list[np.ndarray]:
    with engine.no_grad():
        result: Any = module(*map(Tensor, arrays))
    return [r.numpy() for r in (result if isinstance(result, tuple) else (result,))]


def close(met: Sequence[np.ndarray], wanted: Sequence[np.ndarray], tolerance: float = TOLERANCE) -> None:
    """Whether arrays are alike, by the scale of the wanted ones, which must depend on something."""
    assert len(met) == len(wanted)
    for one, other in zip(met, wanted, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        if one.size:
            assert np.abs(one.astype(float) - other).max() <= tolerance * max(np.abs(other.astype(float)).max(), 1e-6)


def same_meaning(before: Graph, after: Graph, batches: Sequence[int] = (1, 3)) -> None:
    """Both give the same for inputs of several batches."""
    assert after.validate().inputs == before.inputs
    assert [(v.shape, v.dtype) for v in after.outputs] == [(v.shape, v.dtype) for v in before.outputs]
    for batch in batches if before.polymorphic else (0,):
        inputs = [_input(v.shape, v.dtype.numpy) for v in before.at(batch).inputs]
        close(interpret(after, inputs), interpret(before, inputs))


def done(apply: Callable[[Graph], Graph], graph: Graph) -> Graph:
    """What a pass makes of a graph, which must mean the same, and is left as it was."""
    before = str(graph)
    after = apply(graph)
    assert str(graph) == before
    same_meaning(graph, after)
    return after


def _input(shape: Any, dtype: Any) -> np.ndarray:
    return (numbers(*shape, seed=3) * 2).astype(dtype)
