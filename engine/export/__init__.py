"""Programs of torch.export (`.pt2`): JSON and raw weights, read and run over the engine's tensors."""

from .program import ExportedProgram
from .reader import load

__all__ = ["ExportedProgram", "load"]
