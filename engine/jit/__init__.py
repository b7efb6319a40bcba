"""TorchScript: programs that PyTorch saved, compiled by a compiler of our own and run over the engine's tensors."""

from .module import ScriptModule
from .reader import load
from .saving import save
from .tracing import script, trace

__all__ = ["ScriptModule", "load", "save", "script", "trace"]
