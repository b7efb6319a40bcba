"""NumPy's BLAS: held at one thread, as the engine divides work itself, and asked how fast it is."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

PATTERNS = ("../numpy.libs/*openblas*", ".dylibs/*openblas*", "../numpy.libs/*openblas*.dll")
SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads")


@lru_cache(maxsize=1)
def hold_at_one_thread() -> bool:
    """Whether a library was found and told; where not, OPENBLAS_NUM_THREADS=1 in the environment does it."""
    return set_threads(1)


def set_threads(count: int) -> bool:
    """Have NumPy's products use so many threads; whether a library was found and told."""
    home = Path(np.__file__).parent
    for path in (p for pattern in PATTERNS for p in sorted(home.glob(pattern))):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in SETTERS:
            if hasattr(library, name):
                getattr(library, name)(count)
                return True
    return False


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
