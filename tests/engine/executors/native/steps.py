"""Steps made by hand, run by the native kernels and by the primitives that say what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numserve.engine.executors.native.executor import BUILDERS
from numserve.engine.executors.native.library import NativeUnavailable, find, load, runnable
from numserve.engine.executors.native.program import Segment, scratch_for
from numserve.engine.executors.native.work import Shop, builder_of
from numserve.engine.graph.memory import aligned
from numserve.engine.graph.plan import Step
from numserve.engine.ops import PRIMITIVES

try:
    VARIANTS = runnable(find())
except NativeUnavailable as error:
    pytest.skip(str(error), allow_module_level=True)
CONSTANT = {"conv_nhwc": (1, 2, 4, 5), "gemm": (1, 2), "affine_nhwc": (1, 2), "layer_norm": (1, 2)}


def make(op: str, *inputs: Any, pitch: int = 0, **attributes: Any) -> Step:
    """A step over arrays of its own; `pitch` lies between its pixels beyond their channels, in a wider buffer."""
    expected = np.asarray(PRIMITIVES[op].run(*inputs, **attributes))
    wide = aligned((*expected.shape[:-1], expected.shape[-1] + pitch))
    wide.fill(np.nan)
    constant = tuple(i in CONSTANT.get(op, ()) for i in range(len(inputs)))
    return Step(op, op, inputs, (wide[..., : expected.shape[-1]],), attributes, constant, 0, 0)


def reference(step: Step) -> np.ndarray:
    return np.asarray(PRIMITIVES[step.op].run(*step.inputs, **step.attributes))


def outputs(step: Step, variant: str, threads: int = 1, exact: bool = False) -> dict[str, np.ndarray]:
    """What each candidate computes."""
    library = load(variant)
    candidates = builder_of(step, BUILDERS, Shop(library, threads, exact))
    assert candidates, f"no native kernel computes {step}"
    found = {}
    for name, build in candidates.items():
        works = build()
        step.output.fill(np.nan)
        Segment(library, works, scratch_for(works, threads))()
        found[name] = step.output.copy()
    return found


def check(step: Step, tolerance: float = 3e-6) -> None:
    """Every candidate of every variant, on one thread and two, against the primitive."""
    expected = reference(step)
    scale = np.abs(expected).max() + 1e-30
    for variant in VARIANTS:
        for threads in (1, 2):
            for name, met in outputs(step, variant, threads).items():
                error = np.abs(met - expected).max() / scale
                assert error < tolerance * (3 if "winograd" in name else 1), (variant, threads, name, error)


def random(seed: int, *shape: int, pitch: int = 0) -> np.ndarray:
    """Normal numbers, aligned; with a pitch, a view of a wider array whose other floats are NaN."""
    wide = aligned((*shape[:-1], shape[-1] + pitch))
    wide.fill(np.nan)
    view = wide[..., : shape[-1]]
    view[...] = np.random.default_rng(seed).standard_normal(shape)
    return view
