"""ONNX models, read and written without the onnx package."""

from .exporter import export
from .model import OnnxModel
from .reader import load, read

__all__ = ["OnnxModel", "export", "load", "read"]
