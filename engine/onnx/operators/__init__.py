"""ONNX operators by family: what each means in primitives, in one table."""

from . import (
    activation,
    attention,
    control,
    convolution,
    elementwise,
    indexing,
    linear,
    losses,
    normalization,
    pooling,
    quantization,
    recurrent,
    reduction,
    resizing,
    sequences,
    shaping,
)
from .table import OPERATORS, operator

__all__ = [
    "OPERATORS",
    "activation",
    "attention",
    "control",
    "convolution",
    "elementwise",
    "indexing",
    "linear",
    "losses",
    "normalization",
    "operator",
    "pooling",
    "quantization",
    "recurrent",
    "reduction",
    "resizing",
    "sequences",
    "shaping",
]
