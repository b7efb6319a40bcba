"""ONNX models, read and written without the onnx package."""

from .model import OnnxModel
from .reader import load, read

__all__ = ["OnnxModel", "load", "read"]
