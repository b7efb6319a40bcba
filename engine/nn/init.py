"""Initial values for parameters. Those of a blank parameter are drawn when they are first asked for.

Each call takes one number from the random generator, so that the same seed gives the same values in either case.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ..dtype import Array
from ..errors import EngineError, ShapeError
from ..generator import Generator, default_generator
from ..ops.special import erfinv
from ..tensor import Tensor
from .parameter import Parameter

T = TypeVar("T", bound=Tensor)
Draw = Callable[[Array, np.random.Generator], None]
_ROOT_2 = math.sqrt(2)


def _fill(tensor: T, draw: Draw, generator: Generator | None = None) -> T:
    """Let draw() write the values, now or when a blank parameter is first used."""
    seed = int((generator or default_generator).numpy.integers(2**63))
    if isinstance(tensor, Parameter):
        tensor.fill(lambda array: draw(array, np.random.default_rng(seed)))
    else:
        draw(tensor.array, np.random.default_rng(seed))
        tensor.version[0] += 1
    return tensor


def _unseen(tensor: T, write: Callable[[Array], None]) -> T:
    """Let write() give the values, which are not random."""
    if isinstance(tensor, Parameter):
        tensor.fill(write)
    else:
        write(tensor.array)
        tensor.version[0] += 1
    return tensor


def constant_(tensor: T, val: float) -> T:
    """The same value everywhere. Source: torch.nn.init.constant_."""
    return _unseen(tensor, lambda array: array.fill(val))


def zeros_(tensor: T) -> T:
    """Zeros. Source: torch.nn.init.zeros_."""
    return constant_(tensor, 0)


def ones_(tensor: T) -> T:
    """Ones. Source: torch.nn.init.ones_."""
    return constant_(tensor, 1)


def eye_(tensor: T) -> T:
    """Ones on the diagonal of a matrix. Source: torch.nn.init.eye_."""
    if len(tensor.shape) != 2:
        raise ShapeError(f"eye_: expected a matrix, met shape {tuple(tensor.shape)}")
    return _unseen(tensor, lambda array: np.copyto(array, np.eye(*array.shape, dtype=array.dtype)))


def dirac_(tensor: T, groups: int = 1) -> T:
    """The weights of a convolution that keeps its input. Source: torch.nn.init.dirac_."""

    def write(array: Array) -> None:
        array.fill(0)
        centre = tuple(size // 2 for size in array.shape[2:])
        outputs = len(array) // groups
        for group in range(groups):
            for channel in range(min(outputs, array.shape[1])):
                array[(group * outputs + channel, channel, *centre)] = 1

    return _unseen(tensor, write)


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> T:
    """Evenly from [a, b). Source: torch.nn.init.uniform_."""

    def draw(array: Array, numbers: np.random.Generator) -> None:
        values = numbers.random(array.shape, np.float64 if array.dtype == np.float64 else np.float32)
        values *= b - a
        values += a
        array[...] = values

    return _fill(tensor, draw, generator)


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> T:
    """From a normal distribution. Source: torch.nn.init.normal_."""

    def draw(array: Array, numbers: np.random.Generator) -> None:
        values = numbers.standard_normal(array.shape, np.float64 if array.dtype == np.float64 else np.float32)
        values *= std
        values += mean
        array[...] = values

    return _fill(tensor, draw, generator)


def trunc_normal_(
    tensor: T, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator | None = None
) -> T:
    """From the part of a normal distribution that lies in [a, b]. Source: torch.nn.init.trunc_normal_."""
    low, high = (a - mean) / std, (b - mean) / std
    share = (math.erf(high / _ROOT_2) - math.erf(low / _ROOT_2)) / 2

    def draw(array: Array, numbers: np.random.Generator) -> None:
        values = _rejecting(array, low, high, numbers) if share > 0.3 else _inverting(array, low, high, numbers)
        array[...] = np.clip(values * std + mean, a, b)

    return _fill(tensor, draw, generator)


def _rejecting(array: Array, low: float, high: float, numbers: np.random.Generator) -> Array:
    """Normal numbers, drawn again where they fall outside: quick where few do."""
    values = numbers.standard_normal(array.size, np.float32)
    outside = np.flatnonzero((values < low) | (values > high))
    while outside.size:
        values[outside] = again = numbers.standard_normal(outside.size, np.float32)
        outside = outside[(again < low) | (again > high)]
    return values.reshape(array.shape)


def _inverting(array: Array, low: float, high: float, numbers: np.random.Generator) -> Array:
    """Normal numbers between two bounds by the inverse of their distribution."""
    between = numbers.uniform(math.erf(low / _ROOT_2), math.erf(high / _ROOT_2), array.shape)
    return np.asarray(erfinv(between) * _ROOT_2)


def xavier_uniform_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Evenly, by Glorot's rule. Source: torch.nn.init.xavier_uniform_."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: T, gain: float = 1.0, generator: Generator | None = None) -> T:
    """Normal, by Glorot's rule. Source: torch.nn.init.xavier_normal_."""
    return normal_(tensor, 0, gain * math.sqrt(2 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> T:
    """Evenly, by He's rule. Source: torch.nn.init.kaiming_uniform_."""
    bound = math.sqrt(3) * calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> T:
    """Normal, by He's rule. Source: torch.nn.init.kaiming_normal_."""
    return normal_(tensor, 0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def orthogonal_(tensor: T, gain: float = 1, generator: Generator | None = None) -> T:
    """Rows (or columns, if fewer) at right angles. Source: torch.nn.init.orthogonal_."""
    if len(tensor.shape) < 2:
        raise ShapeError(f"orthogonal_: expected 2 dims or more, met shape {tuple(tensor.shape)}")

    def draw(array: Array, numbers: np.random.Generator) -> None:
        flat = numbers.standard_normal((len(array), array.size // len(array)))
        tall = flat if flat.shape[0] >= flat.shape[1] else flat.T
        q, r = np.linalg.qr(tall)
        q *= np.sign(np.diag(r))
        array[...] = gain * (q if tall is flat else q.T).reshape(array.shape)

    return _fill(tensor, draw, generator)


def sparse_(tensor: T, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> T:
    """A matrix from a normal distribution, with a share of each column zero. Source: torch.nn.init.sparse_."""

    def draw(array: Array, numbers: np.random.Generator) -> None:
        array[...] = numbers.standard_normal(array.shape) * std
        for column in range(array.shape[1]):
            array[numbers.permutation(len(array))[: math.ceil(sparsity * len(array))], column] = 0

    return _fill(tensor, draw, generator)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """What an activation's weights are scaled by to keep the variance. Source: torch.nn.init.calculate_gain."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    try:
        return _GAINS[nonlinearity]
    except KeyError:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise EngineError(f"calculate_gain: no gain for {nonlinearity!r}; expected one of {known}") from None


_GAINS = dict.fromkeys(
    ("linear", "sigmoid", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0
) | {"tanh": 5 / 3, "relu": _ROOT_2, "selu": 3 / 4}


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs an output of the layer has, and outputs an input."""
    shape = tensor.shape
    if len(shape) < 2:
        raise ShapeError(f"the fans of a layer need weights of 2 dims or more, met shape {tuple(shape)}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise EngineError(f"kaiming: mode {mode!r} is not there; expected 'fan_in' or 'fan_out'")
    fan_in, fan_out = _fans(tensor)
    return max(1, fan_in if mode == "fan_in" else fan_out)
