"""TorchScript: programs that PyTorch saved, compiled by a compiler of our own and run over the engine's tensors."""

from .objects import ScriptModule
from .reader import load

__all__ = ["ScriptModule", "load"]
