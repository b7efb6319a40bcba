"""What a process that workers are forked from has imported, and what each of them does not share with the others."""

from __future__ import annotations

import sys
from importlib import import_module

from .loading import BUILTIN

PACKAGE = __name__.partition(".")[0]
WITH_NUMPY = ("numpy", "numpy.random", f"{PACKAGE}.blas")
OTHERS = (f"{PACKAGE}.engine.models", f"{PACKAGE}.engine.onnx", f"{PACKAGE}.engine.export", "PIL.JpegImagePlugin",
          "PIL.PngImagePlugin", "importlib.metadata", "yaml")  # fmt: skip


def warm_up(with_engine: bool = True) -> None:
    """Import what most models need, or NumPy alone, so that workers find it there and share it. It starts no thread."""
    for name in WITH_NUMPY:
        import_module(name)
    if not with_engine:
        return
    for name in (*OTHERS, *(reference.partition(":")[0] for reference in BUILTIN.values())):
        import_module(name)
    from ..engine.executors import executor_named

    for executor in ("numpy", "auto"):
        executor_named(executor)


def begin_anew(threads: int) -> None:
    """Draw random numbers of one's own, and let products use so many threads; in a process that was just forked.

    What is not there yet begins anew by itself when it comes.
    """
    if "numpy" not in sys.modules:
        return
    import numpy as np

    from ..blas import set_threads

    np.random.seed()  # the ones that handlers draw without a generator
    set_threads(threads)
    if f"{PACKAGE}.engine" in sys.modules:
        from ..engine.generator import default_generator

        default_generator.numpy = np.random.default_rng()
