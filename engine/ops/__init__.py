"""The primitives: each operator's kernel and gradient, in one table."""

from . import elementwise, indexing
from .primitive import PRIMITIVES, Primitive, primitive

__all__ = ["PRIMITIVES", "Primitive", "elementwise", "indexing", "primitive"]
