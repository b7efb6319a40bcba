"""The primitives: each operator's kernel and gradient, in one table."""

from . import (
    activation,
    attention,
    comparison,
    convolution,
    elementwise,
    indexing,
    loss,
    matmul,
    normalization,
    pooling,
    recurrent,
    reduction,
    shape,
    sorting,
    unary,
    upsampling,
)
from .primitive import PRIMITIVES, Primitive, primitive

__all__ = [
    "PRIMITIVES",
    "Primitive",
    "activation",
    "attention",
    "comparison",
    "convolution",
    "elementwise",
    "indexing",
    "loss",
    "matmul",
    "normalization",
    "pooling",
    "primitive",
    "recurrent",
    "reduction",
    "shape",
    "sorting",
    "unary",
    "upsampling",
]
