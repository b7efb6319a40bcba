"""The native executor: kernels in C for what takes most time, the NumPy executor's for the rest."""

from .executor import NativeExecutor
from .library import Library, NativeUnavailable, load

__all__ = ["Library", "NativeExecutor", "NativeUnavailable", "load"]
