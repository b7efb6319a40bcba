"""How time is taken: engines in turns, with pauses, the least of many rounds; and what the machine could do at best."""

from __future__ import annotations

import gc
import platform
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

PAUSE = 0.03  # spinning threads of one engine must not tax the next
SHORT = 0.1  # seconds: calls under this are repeated unmeasured first, so that they find the caches they leave
SAMPLE = 0.004  # seconds that one measurement takes at least

Call = Callable[[], Any]


def fastest(calls: Mapping[str, Call], rounds: int, threads: int) -> dict[str, float]:
    """The least seconds of each call, taken in turns: of the thread where there is one, else by the clock."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    rough = {name: _seconds(call, 1, time.perf_counter) for name, call in calls.items()}
    repeats = {name: max(1, int(SAMPLE / max(1e-6, seconds))) for name, seconds in rough.items()}
    best = dict.fromkeys(calls, float("inf"))
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in calls.items():
                time.sleep(PAUSE)
                if rough[name] < SHORT:
                    _seconds(call, repeats[name], clock)
                best[name] = min(best[name], _seconds(call, repeats[name], clock))
    finally:
        gc.enable()
    return best


def _seconds(call: Call, repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


class Limits:
    """What the machine does at best on a number of threads, as NumPy's BLAS shows it: the rate of a large product of
    matrices (the rate of fused multiply-adds, less what a product loses), and of reading a large array."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.gflops = 2e-9 * 2048**3 * threads / _together(threads, _product)
        self.gbytes = 1e-9 * 4 * 2**25 * threads / _together(threads, _reading)

    def __str__(self) -> str:
        return f"{self.gflops:.0f} GFLOP/s, {self.gbytes:.0f} GB/s"


def _product() -> Call:
    a, b, c = (np.ones((2048, 2048), np.float32) for _ in range(3))
    return lambda: np.dot(a, b, out=c)


def _reading() -> Call:
    x = np.ones(2**25, np.float32)
    return lambda: np.dot(x, x)


def _together(threads: int, make: Callable[[], Call], rounds: int = 7) -> float:
    """The least seconds in which so many threads make one call each."""
    calls = [make() for _ in range(threads)]
    best = float("inf")
    for _ in range(rounds):
        workers = [threading.Thread(target=call) for call in calls[1:]]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        calls[0]()
        for worker in workers:
            worker.join()
        best = min(best, time.perf_counter() - start)
    return best


def counted(threads: int) -> str:
    """A number of threads, in words."""
    return f"{threads} thread{'s' * (threads > 1)}"


def machine() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def commit() -> str:
    """The commit that is measured, "-dirty" where files differ from it; "unknown" outside a clone."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=7"]
    result = subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True)
    return result.stdout.strip() or "unknown"
