"""Operators that draw random numbers. The numbers are NumPy's; models with these run eager."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...generator import default_generator
from ...graph.recording import CaptureError
from ..calls import Call
from ..elements import element
from ..items import Item
from .table import operator

Draw = Callable[[np.random.Generator, Sequence[int]], np.ndarray]


def dice(at: Call) -> np.random.Generator:
    """The source of numbers: begun anew where the model names a seed. CaptureError in a graph."""
    if at.run.recording is not None:
        raise CaptureError(f"runs eager: {at.where} draws random numbers")
    seed = at.attributes.get("seed")
    if seed is None:
        return default_generator.numpy
    return np.random.default_rng(abs(hash(seed.value)) if isinstance(seed.value, (int, float)) else 0)


def _drawn(at: Call, shape: Sequence[int], default: int, draw: Draw) -> Item:
    kind = element(at.integer("dtype", default))
    return Item(kind.hold(draw(dice(at), shape)), kind)


def _normal(at: Call) -> Draw:
    mean, scale = at.number("mean", 0.0), at.number("scale", 1.0)
    return lambda numbers, shape: numbers.normal(mean, scale, shape)


def _uniform(at: Call) -> Draw:
    low, high = at.number("low", 0.0), at.number("high", 1.0)
    return lambda numbers, shape: numbers.uniform(low, high, shape)


@operator("RandomNormal")
def random_normal(at: Call) -> Item:
    """Numbers around a mean."""
    return _drawn(at, at.integers("shape"), 1, _normal(at))


@operator("RandomNormalLike")
def random_normal_like(at: Call, x: Item) -> Item:
    """Numbers around a mean, in the shape of a tensor."""
    return _drawn(at, x.shape, x.element.code, _normal(at))


@operator("RandomUniform")
def random_uniform(at: Call) -> Item:
    """Numbers between bounds."""
    return _drawn(at, at.integers("shape"), 1, _uniform(at))


@operator("RandomUniformLike")
def random_uniform_like(at: Call, x: Item) -> Item:
    """Numbers between bounds, in the shape of a tensor."""
    return _drawn(at, x.shape, x.element.code, _uniform(at))


@operator("Bernoulli")
def bernoulli(at: Call, x: Item) -> Item:
    """1 as often as the tensor says, else 0."""
    kind = element(at.integer("dtype", x.element.code))
    chances = at.values(x, "the chances")
    return Item(kind.hold(dice(at).uniform(size=x.shape) < chances), kind)


@operator("Multinomial")
def multinomial(at: Call, x: Item) -> Item:
    """Classes drawn by the logarithms of their chances."""
    kind, count = element(at.integer("dtype", 6)), at.integer("sample_size", 1)
    logs = at.values(x, "the chances").astype(np.float64)
    chances = np.exp(logs - logs.max(1, keepdims=True))
    numbers = dice(at)
    rows = [numbers.choice(len(row), count, p=row / row.sum()) for row in chances]
    return Item(kind.hold(np.array(rows)), kind)
