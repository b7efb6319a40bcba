"""Writing graphs of ours as ONNX: a rule for each primitive, by family."""

from . import elementwise, layers, placing, shaping
from .writer import OPSET, RULES, Writer, unsupported

__all__ = ["OPSET", "RULES", "Writer", "elementwise", "layers", "placing", "shaping", "unsupported"]
