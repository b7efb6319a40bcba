"""The primitives: each operator's kernel and gradient, in one table."""

from . import (
    activation,
    comparison,
    convolution,
    elementwise,
    indexing,
    matmul,
    normalization,
    pooling,
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
    "comparison",
    "convolution",
    "elementwise",
    "indexing",
    "matmul",
    "normalization",
    "pooling",
    "primitive",
    "reduction",
    "shape",
    "sorting",
    "unary",
    "upsampling",
]
