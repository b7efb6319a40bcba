"""The NumPy executor: products by BLAS, everything else by NumPy's own loops, nothing allocated while it runs."""

from .executor import NumpyExecutor

__all__ = ["NumpyExecutor"]
