"""Sums, means and extremes along some dims."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...graph.plan import Step
from .activation import number
from .workshop import Call, Candidates, Workshop

REDUCTIONS = {"sum": np.add, "mean": np.add, "amax": np.maximum, "amin": np.minimum, "prod": np.multiply}


def reduction(step: Step, shop: Workshop) -> Candidates:
    """One of REDUCTIONS, by NumPy's own loops."""
    x, out = step.inputs[0], step.output
    assert isinstance(x, np.ndarray)
    dim, keep = step.attributes.get("dim"), step.attributes.get("keepdim", False)
    dims = tuple(range(x.ndim)) if dim is None else dim
    calls: list[Call] = [partial(REDUCTIONS[step.op].reduce, x, dims, None, out, keep)]
    if step.op == "mean":
        calls.append(partial(np.multiply, out, number(out.size / x.size), out))
    return {"in place": lambda: [calls]}
