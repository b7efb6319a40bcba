"""The primitives: each operator's kernel and gradient, in one table."""

from . import comparison, elementwise, indexing, matmul, reduction, shape, unary
from .primitive import PRIMITIVES, Primitive, primitive

__all__ = [
    "PRIMITIVES",
    "Primitive",
    "comparison",
    "elementwise",
    "indexing",
    "matmul",
    "primitive",
    "reduction",
    "shape",
    "unary",
]
