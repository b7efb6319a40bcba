"""NumPy's BLAS: how many threads it uses."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

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
