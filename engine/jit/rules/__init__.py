"""How graphs are written as TorchScript: a rule for each primitive."""

from . import elementwise, indexing, layers, reductions  # noqa: F401  # each enters its rules
from .table import NOT_WRITTEN, RULES

__all__ = ["NOT_WRITTEN", "RULES"]
