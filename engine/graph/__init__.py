"""Graphs: a model as a flat list of operations, captured by running it, changed by passes, run by executors."""

from .capture import capture
from .interpret import interpret
from .ir import Extent, Graph, Node, Value
from .module import GraphModule, Imported
from .recording import CaptureError

__all__ = ["CaptureError", "Extent", "Graph", "GraphModule", "Imported", "Node", "Value", "capture", "interpret"]
