"""What a process that workers are forked from has imported, and what each of them does not share with the others."""

from __future__ import annotations

import sys
from importlib import import_module

from .loading import BUILTIN

PACKAGE = __name__.partition(".")[0]
OTHERS = (f"{PACKAGE}.engine.models", f"{PACKAGE}.engine.onnx", f"{PACKAGE}.engine.export", "PIL.JpegImagePlugin",
          "PIL.PngImagePlugin", "importlib.metadata", "yaml")  # fmt: skip


def warm_up() -> None:
    """Import all that most models need, so that workers find it there and share its memory. It starts no thread."""
    for name in (*OTHERS, *(reference.partition(":")[0] for reference in BUILTIN.values())):
        import_module(name)
    from ..engine.executors import executor_named

    for executor in ("numpy", "auto"):
        executor_named(executor)


def begin_anew(threads: int) -> None:
    """Draw random numbers of one's own, and let products use so many threads; in a process that was just forked.

    Where the engine is not there yet, and so NumPy is not, they begin anew by themselves when they come.
    """
    if f"{PACKAGE}.engine" not in sys.modules:
        return
    import numpy as np

    from ..engine.executors import blas
    from ..engine.generator import default_generator

    np.random.seed()  # the ones that handlers draw without a generator
    default_generator.numpy = np.random.default_rng()
    blas.set_threads(threads)
