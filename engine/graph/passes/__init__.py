"""The passes: each a function from graph to graph that keeps its meaning."""

from .lowering import PASSES, lower

__all__ = ["PASSES", "lower"]
