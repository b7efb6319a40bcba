"""When two results of programs are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numserve.engine import Tensor


def same(met: Any, expected: Any, within: float = 1e-5) -> bool:
    """Whether two results are alike: tensors in shape, dtype and (nearly) values, all else exactly."""
    if isinstance(expected, Tensor):
        if not isinstance(met, Tensor) or (met.shape, met.dtype) != (expected.shape, expected.dtype):
            return False
        scale = float(np.abs(expected.array.astype(np.float64)).max(initial=0)) or 1.0
        return bool(np.allclose(met.array, expected.array, 0, within * scale, equal_nan=True))
    if isinstance(expected, (list, tuple)):
        return isinstance(met, (list, tuple)) and len(met) == len(expected) and all(map(same, met, expected))
    if isinstance(expected, dict):
        return met.keys() == expected.keys() and all(same(met[k], expected[k]) for k in expected)
    return bool(met == expected or (met != met and expected != expected))
