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
    clock = clock_for(threads)
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


def clock_for(threads: int) -> Callable[[], float]:
    """What one thread does is told by its CPU time, also where the machine is busy; what several do, by the clock."""
    return time.thread_time if threads == 1 else time.perf_counter


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
        self.gflops = 2e-9 * 2048**3 * _rate(threads, _product)
        self.gbytes = 4e-9 * 2**25 * _rate(threads, _reading)

    def __str__(self) -> str:
        return f"{self.gflops:.0f} GFLOP/s, {self.gbytes:.0f} GB/s"


def _product() -> Call:
    a, b, c = (np.ones((2048, 2048), np.float32) for _ in range(3))
    return lambda: np.dot(a, b, out=c)


def _reading() -> Call:
    x = np.ones(2**25, np.float32)
    return lambda: np.dot(x, x)


def _rate(threads: int, make: Callable[[], Call], rounds: int = 7) -> float:
    """Calls a second that so many threads make at the same time, each by the least CPU time of its rounds."""
    least = [float("inf")] * threads

    def work(number: int, call: Call) -> None:
        for _ in range(rounds):
            least[number] = min(least[number], _seconds(call, 1, time.thread_time))

    workers = [threading.Thread(target=work, args=(number, make())) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(1 / seconds for seconds in least)


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
