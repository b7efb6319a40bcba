"""How much slower a model runs when both cores have other work: latency should grow in proportion, and not collapse.

python benchmarks/contention.py [--model squeezenet1_0] [--rounds 25]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np
from numserve.engine import Tensor, models
from numserve.engine.compiled import CompiledModel, compile_module

Key = tuple[str, int]  # executor, threads


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Other processes that use all the time they get."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        time.sleep(1)
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def latencies(compiled: dict[Key, CompiledModel], x: Tensor, rounds: int) -> dict[Key, tuple[float, float]]:
    """Median and longest time of each, in milliseconds, all taking turns."""
    times: dict[Key, list[float]] = {key: [] for key in compiled}
    for _ in range(rounds):
        for key, model in compiled.items():
            start = time.perf_counter()
            model(x)
            times[key].append(1e3 * (time.perf_counter() - start))
    return {key: (median(all_of), max(all_of)) for key, all_of in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="squeezenet1_0")
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args()
    x = Tensor(np.random.default_rng(0).random((1, 3, 224, 224), np.float32))
    module = getattr(models, given.model)().eval()
    compiled = {(e, t): compile_module(module, x, executor=e, threads=t) for e in ("numpy", "native") for t in (1, 2)}
    latencies(compiled, x, 3)
    idle = latencies(compiled, x, given.rounds)
    with busy(2):
        contended = latencies(compiled, x, given.rounds)
    print("| executor, threads | idle: median, longest ms | two busy loops: median, longest ms | times |")
    print("|---|---|---|---|")
    for key, (usual, longest) in idle.items():
        slow, slowest = contended[key]
        print(f"| {key[0]}, {key[1]} | {usual:.1f}, {longest:.1f} | {slow:.1f}, {slowest:.1f} | {slow / usual:.1f} |")


if __name__ == "__main__":
    main()
