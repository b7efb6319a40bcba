"""Limits, what the machine does at best on a number of threads, as it is measured here and now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from .. import nn
from ..compiled import compile_module
from ..executors import Pool
from ..tensor import Tensor

PRODUCTS = ((448, 256, 256), (448, 512, 512), (1024, 1024, 1024))
"""Rows, features in, features out: products that stay in a cache, where arithmetic is all that counts."""
READ_BYTES = 128 << 20
"""What each thread reads: more than caches hold."""
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Limits:
    """Operations on numbers a second, in units of 10⁹, and bytes a second, likewise."""

    gflops: float
    gbytes: float

    def seconds(self, flops: int, moved: int) -> float:
        """The least time for so many operations and bytes: the roofline."""
        return max(flops / self.gflops, moved / self.gbytes) / 1e9

    def __str__(self) -> str:
        return f"{self.gflops:.0f} GFLOP/s, {self.gbytes:.0f} GB/s"


def measure(executor: str = "auto", threads: int = 1) -> Limits:
    """The rate of the best product of matrices that an executor or NumPy computes, and that of reading memory."""
    products = [_product(executor, threads, *sizes) for sizes in PRODUCTS]
    return Limits(max([*products, _blas(threads)]), _reading(threads))


def _product(executor: str, threads: int, rows: int, features: int, out: int) -> float:
    x = Tensor(np.ones((rows, features), np.float32))
    compiled = compile_module(nn.Linear(features, out).eval(), x, executor=executor, threads=threads)
    if compiled.graph is None:
        return 0.0
    return 2e-9 * rows * features * out / min(step.seconds for step in compiled.profile(rows, 3 * ROUNDS) if step.flops)


def _blas(threads: int) -> float:
    size = 1024
    arrays = [[np.ones((size, size), np.float32) for _ in range(3)] for _ in range(threads)]
    return 2e-9 * size**3 * threads / _together([partial(np.dot, a, b, out=c) for a, b, c in arrays])


def _reading(threads: int) -> float:
    arrays = [np.ones(READ_BYTES // 4, np.float32) for _ in range(threads)]
    return 1e-9 * READ_BYTES * threads / _together([partial(np.dot, x, x) for x in arrays])


def _together(calls: list[Callable[[], object]]) -> float:
    """The least seconds in which threads make one call each."""
    pool, best = Pool(len(calls)), float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        pool.run([[call] for call in calls])
        best = min(best, time.perf_counter() - start)
    return best
