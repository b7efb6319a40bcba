"""How fast NumPy's BLAS is, which is held at one thread (numserve/blas.py), as the engine divides work itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np


@lru_cache(maxsize=1)
def speed() -> float:
    """Operations a second that one thread's products reach at best here, measured the first time."""
    size = 320
    a, b, out = (np.ones((size, size), np.float32) for _ in range(3))
    return 2 * size**3 / seconds(lambda: np.matmul(a, b, out))


def seconds(call: Callable[[], Any], rounds: int = 8) -> float:
    """The least time that a call takes, of the thread's own, which is the same on a busy machine."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return min(times)
