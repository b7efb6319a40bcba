"""What a process that workers are forked from has imported, and what each of them does not share with the others."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from ..engine.executors import blas, executor_named
from ..engine.generator import default_generator
from .loading import BUILTIN

OTHERS = ("numserve.engine.models", "numserve.engine.onnx", "numserve.engine.export", "PIL.JpegImagePlugin",
          "PIL.PngImagePlugin", "yaml")  # fmt: skip


def warm_up() -> None:
    """Import all that most workers need, so that they find it there and share its memory. It starts no thread."""
    for name in (*OTHERS, *(reference.partition(":")[0] for reference in BUILTIN.values())):
        import_module(name)
    for executor in ("numpy", "auto"):
        executor_named(executor)


def begin_anew(threads: int) -> None:
    """Draw random numbers of one's own, and let products use so many threads; in a process that was just forked."""
    np.random.seed()  # the ones that handlers draw without a generator
    default_generator.numpy = np.random.default_rng()
    blas.set_threads(threads)
