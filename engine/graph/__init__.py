"""Graphs: a model as a flat list of operations, captured by running it, changed by passes, run by executors."""

from .capture import capture
from .interpret import interpret
from .ir import Extent, Graph, Node, Value
from .module import GraphModule, Imported
from .recording import CaptureError
from .store import load as load_graph
from .store import save as save_graph

__all__ = [
    "CaptureError", "Extent", "Graph", "GraphModule", "Imported", "Node", "Value", "capture", "interpret", "load_graph",
    "save_graph",
]  # fmt: skip
