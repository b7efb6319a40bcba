"""Graphs: a model as a flat list of operations, captured by running it, changed by passes, run by executors."""

from .interpret import interpret
from .ir import Extent, Graph, Node, Value

__all__ = ["Extent", "Graph", "Node", "Value", "interpret"]
